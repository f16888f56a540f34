//! Which images stand for which functions: what FunctionConfigs say, over the table of this program. Pure.
//!
//! In come the specs of FunctionConfigs, and then images; out go functions of this program by name, and executables by path. What a
//! spec says of functions in pods is for others.

use std::{
    collections::{HashMap, HashSet},
    path::{Component, Path},
};

use regex::{Regex, RegexBuilder};

use super::{
    DEFAULT_IMAGE_PREFIX, catalogued,
    image::{is_name, is_tag, parts},
    images::{LATEST, named, names},
    versions::Constraint,
};
use crate::api::{BinaryExecutor, FunctionConfigSpec, GoExecutor};

/// How much memory a regular expression may take: it is not this program's own.
const MOST_REGEX: usize = 64 << 10;

/// What is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Refusal {
    /// Path of the field.
    pub field: String,
    /// Why, in a sentence.
    pub why: String,
}

impl Refusal {
    fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        let (field, why) = (field.into(), why.into());
        Self { field, why }
    }
}

/// What an image stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The function of this program that has this name.
    Here(&'static str),
    /// The executable at this path in the directory of functions.
    Executable(&'a str),
}

/// Which images stand for which functions.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What stands before an image that has no home, without the last slash.
    home: String,
    /// Whether there is a directory of functions: else executables are somebody else's.
    has_directory: bool,
    /// What FunctionConfigs say, by the names of images.
    rows: HashMap<String, Row>,
}

/// What a FunctionConfig says of the images of one name.
#[derive(Clone, Debug)]
struct Row {
    here: Option<Claim<&'static str>>,
    executable: Option<Claim<String>>,
}

/// Images, by their homes and tags, that stand for one function.
#[derive(Clone, Debug)]
struct Claim<T> {
    /// Patterns of homes; any will do without one.
    homes: Vec<Regex>,
    tags: Tags,
    function: T,
}

/// Tags, each as it is, and constraints on those that are versions.
#[derive(Clone, Debug, Default)]
struct Tags {
    exact: HashSet<String>,
    constraints: Vec<Constraint>,
}

impl Tags {
    /// Returns those of a field. What can be a tag is one: upstream has meant `v0.4` as the tag, and later as all its patches.
    fn read(field: &str, tags: &[String]) -> Result<Self, Refusal> {
        let mut read = Self::default();
        for (index, tag) in tags.iter().enumerate() {
            if is_tag(tag) {
                read.exact.insert(tag.clone());
                continue;
            }
            let constraint = Constraint::parse(tag).ok_or_else(|| {
                let why = format!("{tag:?} is neither a tag of an image nor a constraint on them");
                Refusal::new(format!("{field}[{index}]"), why)
            })?;
            read.constraints.push(constraint);
        }
        Ok(read)
    }

    fn has(&self, tag: &str) -> bool {
        self.exact.contains(tag) || self.constraints.iter().any(|it| it.has(tag))
    }
}

impl<T> Claim<T> {
    fn has(&self, home: &str, tag: &str) -> bool {
        let is_home = self.homes.is_empty() || self.homes.iter().any(|it| it.is_match(home));
        is_home && self.tags.has(tag)
    }
}

impl Table {
    /// Returns the table of this program alone, for images of the catalogue and below `home`.
    #[must_use]
    pub fn new(home: &str, has_directory: bool) -> Self {
        Self {
            home: home.trim_end_matches('/').into(),
            has_directory,
            rows: HashMap::new(),
        }
    }

    /// Has a FunctionConfig say who runs the images of a name; it takes the place of another of the same name.
    ///
    /// # Errors
    /// [`Refusal`]: the first thing that is wrong with it. The table is as it was.
    pub fn put(&mut self, spec: &FunctionConfigSpec) -> Result<(), Refusal> {
        if !is_name(&spec.image) {
            let why = format!(
                "{:?} is not the last part of an image's path, without a tag",
                spec.image
            );
            return Err(Refusal::new("spec.image", why));
        }
        let own = self.homes(&spec.prefixes)?;
        let here = spec.go_executor.as_ref().map(|go| {
            let usual = [String::new(), regex::escape(DEFAULT_IMAGE_PREFIX)];
            let homes = [self.homes(&usual)?, own.clone()].concat();
            here(&spec.image, go, homes)
        });
        let executable = spec.binary_executor.as_ref();
        let executable = executable.map(|binary| self::executable(binary, own));
        let row = Row {
            here: here.transpose()?,
            executable: executable.transpose()?.filter(|_| self.has_directory),
        };
        self.rows.insert(spec.image.clone(), row);
        Ok(())
    }

    /// Returns the patterns of homes.
    fn homes(&self, prefixes: &[String]) -> Result<Vec<Regex>, Refusal> {
        let patterns = prefixes.iter().enumerate().map(|(index, prefix)| {
            let prefix = prefix.trim_end_matches('/');
            let own = regex::escape(&self.home);
            let pattern = if prefix.is_empty() {
                own.as_str()
            } else {
                prefix
            };
            // By itself first: what closes a group that it has not opened would open this one.
            let whole = compiled(pattern).and_then(|_| compiled(&format!("^(?:{pattern})$")));
            whole.map_err(|_| {
                let field = format!("spec.prefixes[{index}]");
                Refusal::new(field, format!("{prefix:?} is no regular expression"))
            })
        });
        patterns.collect()
    }

    /// Returns what an image stands for; nothing for one that is not known, and for a digest, which says exactly which image is meant.
    #[must_use]
    pub fn find(&self, image: &str) -> Option<Found<'_>> {
        let (path, tag, digest) = parts(image);
        let (home, name) = path.rsplit_once('/').unwrap_or((&*self.home, path));
        let (Some(row), None) = (self.rows.get(name), digest) else {
            return catalogued(image, &self.home).map(Found::Here);
        };
        let tag = tag.unwrap_or(LATEST);
        let here = row.here.as_ref();
        let executable = row.executable.as_ref();
        if let Some(claim) = here.filter(|it| it.has(home, tag)) {
            return Some(Found::Here(claim.function));
        }
        if let Some(claim) = executable.filter(|it| it.has(home, tag)) {
            return Some(Found::Executable(&claim.function));
        }
        let own = catalogued(image, &self.home).filter(|_| here.is_none());
        own.map(Found::Here)
    }
}

fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(MOST_REGEX).build()
}

fn here(
    image: &str,
    executor: &GoExecutor,
    homes: Vec<Regex>,
) -> Result<Claim<&'static str>, Refusal> {
    let id = executor.id.as_deref().filter(|id| !id.is_empty());
    let id = id.unwrap_or(image);
    let function = named(id).ok_or_else(|| {
        let known = names().collect::<Vec<_>>().join(", ");
        let why = format!("{id:?} is no function of this server; there are {known}");
        Refusal::new("spec.goExecutor.id", why)
    })?;
    Ok(Claim {
        homes,
        tags: Tags::read("spec.goExecutor.tags", &executor.tags)?,
        function,
    })
}

fn executable(executor: &BinaryExecutor, homes: Vec<Regex>) -> Result<Claim<String>, Refusal> {
    let path = &executor.path;
    if !is_inside(path) {
        let why = format!("{path:?} does not lead to a file in the directory of functions");
        return Err(Refusal::new("spec.binaryExecutor.path", why));
    }
    Ok(Claim {
        homes,
        tags: Tags::read("spec.binaryExecutor.tags", &executor.tags)?,
        function: path.clone(),
    })
}

fn is_inside(path: &str) -> bool {
    let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_));
    let stays = |part: &Component<'_>| is_name(part) || matches!(part, Component::CurDir);
    let parts: Vec<_> = Path::new(path).components().collect();
    parts.iter().all(stays) && parts.iter().any(is_name) && !path.contains('\0')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        Found::{Executable, Here},
        *,
    };

    const HOME: &str = "registry.example.com/mirror";

    fn spec(spec: &Value) -> FunctionConfigSpec {
        serde_json::from_value(spec.clone()).unwrap()
    }

    fn table(specs: &[Value]) -> Table {
        let mut table = Table::new(&format!("{HOME}/"), true);
        for one in specs {
            table.put(&spec(one)).unwrap();
        }
        table
    }

    fn check(table: &Table, images: &[(&str, Option<Found<'_>>)]) {
        for (image, found) in images {
            assert_eq!(table.find(image), *found, "{image}");
        }
    }

    #[test]
    fn a_function_of_this_program_is_found_by_home_name_and_tag() {
        let set_namespace = table(&[json!({
            "image": "set-namespace", "prefixes": ["", "docker.io/ours/", "localhost:5000/[a-c]+"],
            "goExecutor": { "tags": ["v0.4", "v9", "latest"] },
        })]);
        let here = Some(Here("set-namespace"));
        let digest = format!("set-namespace:v9@sha256:{}", "0".repeat(64));
        check(
            &set_namespace,
            &[
                ("set-namespace:v9", here.clone()),
                ("set-namespace", here.clone()),
                ("registry.example.com/mirror/set-namespace:v9", here.clone()),
                (
                    "ghcr.io/kptdev/krm-functions-catalog/set-namespace:v9",
                    here.clone(),
                ),
                ("docker.io/ours/set-namespace:v9", here.clone()),
                ("localhost:5000/abc/set-namespace:v9", here.clone()),
                ("localhost:5000/abcd/set-namespace:v9", None),
                ("docker.io/ours/more/set-namespace:v9", None),
                ("xdocker.io/ours/set-namespace:v9", None),
                ("registryxexample.com/mirror/set-namespace:v9", None),
                // The row of this program is replaced: its tags count no more, and neither do its homes.
                ("set-namespace:v0.4.1", None),
                ("gcr.io/kpt-fn/set-namespace:v0.4", None),
                (&digest, None),
                // Other names are as they were.
                ("gcr.io/kpt-fn/set-labels:v0.2", Some(Here("set-labels"))),
            ],
        );
    }

    #[test]
    fn an_id_names_the_function_and_an_image_may_be_called_otherwise() {
        let table = table(&[
            json!({ "image": "ours", "goExecutor": { "tags": ["v1"], "id": "set-labels" } }),
            json!({ "image": "apply-replacements", "goExecutor": {
                "tags": ["v0.1.4"], "id": "apply-replacements-v0.1.1" } }),
        ]);
        check(
            &table,
            &[
                ("ours:v1", Some(Here("set-labels"))),
                ("ours:v2", None),
                (
                    "apply-replacements:v0.1.4",
                    Some(Here("apply-replacements-v0.1.1")),
                ),
                ("apply-replacements:v0.1.1", None),
            ],
        );
    }

    #[test]
    fn tags_are_exact_and_constraints_are_for_all_that_satisfy_them() {
        let table = table(&[json!({ "image": "set-namespace",
            "goExecutor": { "tags": ["v0.3", "~0.4", ">= v0.6.0 < v0.7.0"] } })]);
        let here = Some(Here("set-namespace"));
        check(
            &table,
            &[
                ("set-namespace:v0.3", here.clone()),
                ("set-namespace:v0.3.1", None),
                ("set-namespace:v0.4", here.clone()),
                ("set-namespace:v0.4.5", here.clone()),
                ("set-namespace:v0.5", None),
                ("set-namespace:v0.6.2", here),
                ("set-namespace:latest", None),
                ("set-namespace", None),
            ],
        );
    }

    #[test]
    fn an_executable_is_found_before_the_function_that_is_here_anyway() {
        let table = table(&[
            json!({ "image": "set-labels", "prefixes": ["gcr.io/kpt-fn"],
                "binaryExecutor": { "tags": ["v0.2.0", "v9"], "path": "labels/two" } }),
            json!({ "image": "own", "binaryExecutor": { "tags": ["v1"], "path": "./own" } }),
        ]);
        check(
            &table,
            &[
                (
                    "gcr.io/kpt-fn/set-labels:v0.2.0",
                    Some(Executable("labels/two")),
                ),
                (
                    "gcr.io/kpt-fn/set-labels:v9",
                    Some(Executable("labels/two")),
                ),
                ("gcr.io/kpt-fn/set-labels:v0.2.1", Some(Here("set-labels"))),
                ("set-labels:v0.2.0", Some(Here("set-labels"))),
                ("set-labels:v9", None),
                (
                    "anywhere.example.com/at/all/own:v1",
                    Some(Executable("./own")),
                ),
                ("own:v1", Some(Executable("./own"))),
                ("own", None),
            ],
        );
        let both = self::table(&[json!({ "image": "starlark",
            "goExecutor": { "tags": ["v1"] },
            "binaryExecutor": { "tags": ["v1", "v2"], "path": "starlark" } })]);
        check(
            &both,
            &[
                ("starlark:v1", Some(Here("starlark"))),
                ("starlark:v2", Some(Executable("starlark"))),
                ("starlark:v0.5", None),
            ],
        );
    }

    #[test]
    fn executables_and_pods_are_somebody_elses_where_there_is_no_directory() {
        let mut table = Table::new(HOME, false);
        for one in [
            json!({ "image": "set-labels", "binaryExecutor": { "tags": ["v0.2.0"], "path": "labels" } }),
            json!({ "image": "starlark", "podExecutor": { "tags": ["v0.5.0"] } }),
        ] {
            table.put(&spec(&one)).unwrap();
        }
        check(
            &table,
            &[
                ("set-labels:v0.2.0", Some(Here("set-labels"))),
                ("starlark:v0.5.0", Some(Here("starlark"))),
            ],
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field_and_changes_nothing() {
        let go = |tags: &[&str]| json!({ "image": "starlark", "goExecutor": { "tags": tags } });
        let binary = |path: &str| json!({ "image": "starlark", "binaryExecutor": { "tags": ["v1"], "path": path } });
        let image = |image: &str| json!({ "image": image, "goExecutor": { "tags": ["v1"], "id": "starlark" } });
        for (wrong, field) in [
            (image("ghcr.io/a/starlark"), "spec.image"),
            (image("starlark:v1"), "spec.image"),
            (image(""), "spec.image"),
            (
                json!({ "image": "starlark", "goExecutor": { "tags": ["v1"], "id": "none" } }),
                "spec.goExecutor.id",
            ),
            (
                json!({ "image": "ours", "goExecutor": { "tags": ["v1"] } }),
                "spec.goExecutor.id",
            ),
            (go(&["v1", "~0.4-rc"]), "spec.goExecutor.tags[1]"),
            (go(&[""]), "spec.goExecutor.tags[0]"),
            (binary("/bin/sh"), "spec.binaryExecutor.path"),
            (binary("../sh"), "spec.binaryExecutor.path"),
            (binary("a/../../sh"), "spec.binaryExecutor.path"),
            (binary(""), "spec.binaryExecutor.path"),
            (binary("."), "spec.binaryExecutor.path"),
            (
                json!({ "image": "starlark", "prefixes": ["", "a)|(b"], "goExecutor": { "tags": ["v1"] } }),
                "spec.prefixes[1]",
            ),
            (
                json!({ "image": "starlark", "prefixes": ["a{1000}{1000}"], "goExecutor": { "tags": ["v1"] } }),
                "spec.prefixes[0]",
            ),
        ] {
            let mut table = table(&[]);
            let refusal = table.put(&spec(&wrong)).unwrap_err();
            assert_eq!(refusal.field, field, "{refusal}");
            assert_eq!(table.find("starlark:v1"), None);
            assert_eq!(table.find("starlark:v0.5"), Some(Here("starlark")));
        }
        let none = table(&[]).put(&spec(&image("ours"))).err();
        assert_eq!(none, None);
    }
}
