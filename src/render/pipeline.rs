//! The pipeline of a Kptfile: read strictly, for a word that is misspelled must not make a function run otherwise than its author meant.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{image, krm, selector::Selector, tree::Tree};
use crate::{package::kptfile, yaml};

/// Why functions by `exec` do not run here.
const NO_EXECUTABLES: &str = "must run with `--allow-exec` option to allow running function binaries; this server runs none: name an `image`";

/// What a render needs of a Kptfile.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Kptfile {
    metadata: Option<Metadata>,
    pipeline: Option<Pipeline>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Pipeline {
    mutators: Option<Vec<Function>>,
    validators: Option<Vec<Function>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Function {
    image: Option<String>,
    exec: Option<String>,
    tag: Option<String>,
    name: Option<String>,
    config_path: Option<String>,
    config_map: Option<BTreeMap<String, Option<String>>>,
    selectors: Option<Vec<Selector>>,
    exclude: Option<Vec<Selector>>,
}

/// What a function of a pipeline does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// It changes resources.
    #[default]
    Mutator,
    /// It judges them; what it changes does not count.
    Validator,
}

/// A function of a pipeline as it is to be run.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) kind: Kind,
    /// Its name in the pipeline; may be empty.
    pub(super) name: String,
    /// Its image, with its tag or digest.
    pub(super) image: String,
    pub(super) config: Config,
    pub(super) selectors: Vec<Selector>,
    pub(super) exclude: Vec<Selector>,
}

/// The config of a function.
#[derive(Debug)]
pub(super) enum Config {
    /// It has none.
    None,
    /// It is written in the pipeline.
    Inline(Value),
    /// It is a file of the package, which said this when the render began. Functions before it may change it.
    File {
        /// Path from the directory of the package.
        path: String,
        /// Directory of the package.
        package: String,
        /// What it said.
        value: Value,
    },
}

impl Kptfile {
    /// Returns what a Kptfile says.
    ///
    /// # Errors
    /// A sentence: it is none, or its pipeline has what no pipeline has.
    pub(super) fn read(path: &str, content: &[u8]) -> Result<Self, String> {
        kptfile::check(content).map_err(|why| format!("invalid pipeline: {path}: {why}"))?;
        let text = String::from_utf8_lossy(content);
        yaml::from_str(&text).map_err(|why| format!("invalid pipeline: {path} is invalid: {why}"))
    }

    /// Returns whether an annotation says yes.
    pub(super) fn says(&self, annotation: &str) -> bool {
        let metadata = self.metadata.as_ref();
        let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
        let value = annotations.and_then(|annotations| annotations.get(annotation));
        value.is_some_and(|value| {
            value
                .as_deref()
                .unwrap_or_default()
                .eq_ignore_ascii_case("true")
        })
    }
}

/// Where a package's pipeline is looked at.
pub(super) struct Reader<'a> {
    pub(super) tree: &'a Tree<'a>,
    /// Directory of the package.
    pub(super) package: &'a str,
    /// Before images without a directory.
    pub(super) image_prefix: &'a str,
}

impl Reader<'_> {
    /// Returns the functions of a pipeline, in their order: mutators first.
    ///
    /// # Errors
    /// A sentence that names the file and the field.
    pub(super) fn calls(&self, kptfile: &Kptfile) -> Result<Vec<Call>, String> {
        let Some(pipeline) = &kptfile.pipeline else {
            return Ok(Vec::new());
        };
        let lists = [
            ("mutators", &pipeline.mutators, Kind::Mutator),
            ("validators", &pipeline.validators, Kind::Validator),
        ];
        let calls = lists.into_iter().flat_map(|(list, functions, kind)| {
            let numbered = functions.iter().flatten().enumerate();
            numbered.map(move |(at, function)| {
                let field = format!("pipeline.{list}[{at}]");
                self.call(function, kind, &field)
            })
        });
        calls.collect()
    }

    fn invalid(&self, field: &str, why: &str) -> String {
        let file = krm::joined(self.package, crate::package::KPTFILE);
        format!("invalid pipeline: {file} is invalid: field `{field}`: {why}")
    }

    fn call(&self, function: &Function, kind: Kind, field: &str) -> Result<Call, String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (image, exec) = (text(&function.image), text(&function.exec));
        match (image.is_empty(), exec.is_empty()) {
            (true, true) => {
                return Err(self.invalid(field, "must specify a function (`image`) to execute"));
            }
            (false, false) => {
                return Err(self.invalid(
                    field,
                    "must not specify both `image` and `exec` at the same time",
                ));
            }
            (true, false) => return Err(self.invalid(&format!("{field}.exec"), NO_EXECUTABLES)),
            (false, true) => {}
        }
        if !image::is_image(&image) {
            let why = format!("function name {image:?} is invalid");
            return Err(self.invalid(&format!("{field}.image"), &why));
        }
        let image = image::resolved(&image, &text(&function.tag), self.image_prefix);
        Ok(Call {
            kind,
            name: text(&function.name),
            image: image.map_err(|why| self.invalid(&format!("{field}.tag"), &why))?,
            config: self.config(function, field)?,
            selectors: function.selectors.clone().unwrap_or_default(),
            exclude: function.exclude.clone().unwrap_or_default(),
        })
    }

    fn config(&self, function: &Function, field: &str) -> Result<Config, String> {
        match (&function.config_path, &function.config_map) {
            (Some(_), Some(map)) if !map.is_empty() => {
                let why = "functionConfig must not specify both `configMap` and `configPath` at the same time";
                Err(self.invalid(field, why))
            }
            (Some(path), _) => {
                let config = self.config_file(path);
                config.map_err(|why| {
                    self.invalid(&format!("{field}.configPath"), &format!("{path:?}: {why}"))
                })
            }
            (None, Some(map)) if !map.is_empty() => Ok(Config::Inline(config_map(map))),
            (None, _) => Ok(Config::None),
        }
    }

    fn config_file(&self, path: &str) -> Result<Config, String> {
        if path.trim().is_empty() {
            return Err("path must not be empty".into());
        }
        if path.starts_with('/') {
            return Err("path must be relative".into());
        }
        let clean = krm::cleaned(path).ok_or("path must not be outside the package")?;
        if clean == crate::package::KPTFILE {
            return Err("functionConfig must not be the Kptfile that names it".into());
        }
        let full = krm::joined(self.package, &clean);
        let is_own = self.tree.home(&full).0 == self.package;
        let layout = self.tree.layouts.get(full.as_str()).filter(|_| is_own);
        let layout = layout.ok_or("functionConfig must exist in the current package")?;
        let [document] = layout.documents.as_slice() else {
            let count = layout.documents.len();
            return Err(match count {
                0 => "functionConfig must hold a config".into(),
                _ => format!("functionConfig must not contain more than one config, got {count}"),
            });
        };
        if let Some(why) = krm::problem(&full, &document.value) {
            return Err(format!("functionConfig: {why}"));
        }
        let value = document.value.clone();
        Ok(Config::File {
            path: clean,
            package: self.package.into(),
            value,
        })
    }
}

/// Returns the ConfigMap that a `configMap` stands for.
fn config_map(map: &BTreeMap<String, Option<String>>) -> Value {
    let data = map.iter().map(|(key, value)| {
        let value = value.clone().unwrap_or_default();
        (key.clone(), value.into())
    });
    let data: Map<String, Value> = data.collect();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "function-input"},
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{package::Files, render::Audience};

    fn files(pipeline: &str) -> Files {
        let kptfile = format!(
            "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: p\npipeline:\n{pipeline}"
        );
        let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
        let sub = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: s\n";
        let pairs = [
            ("Kptfile", kptfile.as_str()),
            ("d/config.yaml", config),
            ("two.yaml", &format!("{config}---\n{config}")),
            ("none.yaml", "# nothing\n"),
            (
                "odd.yaml",
                "apiVersion: kustomize.config.k8s.io/v1\nkind: K\n",
            ),
            ("config.txt", config),
            (".krmignore", "ignored.yaml"),
            ("ignored.yaml", config),
            ("sub/Kptfile", sub),
            ("sub/config.yaml", config),
        ];
        pairs
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
            .into()
    }

    fn calls(pipeline: &str) -> Result<Vec<Call>, String> {
        let files = files(pipeline);
        let kptfile = Kptfile::read("Kptfile", &files["Kptfile"])?;
        let tree = Tree::read(&files, &Audience::default())?;
        let reader = Reader {
            tree: &tree,
            package: "",
            image_prefix: "p.io/",
        };
        reader.calls(&kptfile)
    }

    #[test]
    fn a_pipeline_is_read_with_its_configs() {
        let calls = calls("  mutators:\n  - image: a\n    name: first\n    configMap: {b: 1.10, a: on, c: }\n  - image: x/b:v1\n    configPath: ./d/../d/config.yaml\n    selectors: [{kind: K}]\n  validators:\n  - {image: c, tag: v2, configMap: {}, exclude: [{name: n}]}\n").unwrap();
        let told: Vec<_> = calls
            .iter()
            .map(|call| (call.kind, call.name.as_str(), call.image.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (Kind::Mutator, "first", "p.io/a:latest"),
                (Kind::Mutator, "", "x/b:v1"),
                (Kind::Validator, "", "p.io/c:v2")
            ]
        );
        let Config::Inline(map) = &calls[0].config else {
            panic!("{:?}", calls[0]);
        };
        assert_eq!(
            yaml::emit(map),
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: function-input\ndata:\n  a: \"on\"\n  b: \"1.10\"\n  c: \"\"\n"
        );
        assert!(matches!(&calls[1].config, Config::File { path, .. } if path == "d/config.yaml"));
        assert!(matches!(calls[2].config, Config::None));
        assert_eq!((calls[1].selectors.len(), calls[2].exclude.len()), (1, 1));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_file_and_field() {
        for (function, field, word) in [
            ("{}", "pipeline.mutators[0]", "must specify a function"),
            (
                "{image: a, exec: b}",
                "pipeline.mutators[0]",
                "both `image` and `exec`",
            ),
            ("{exec: b}", "pipeline.mutators[0].exec", "--allow-exec"),
            (
                "{image: 'A b'}",
                "pipeline.mutators[0].image",
                "\"A b\" is invalid",
            ),
            (
                "{image: a, tag: '>1'}",
                "pipeline.mutators[0].tag",
                "constraint \">1\"",
            ),
            (
                "{image: a, configPath: x, configMap: {a: b}}",
                "pipeline.mutators[0]",
                "both `configMap` and `configPath`",
            ),
            (
                "{image: a, configPath: ' '}",
                "pipeline.mutators[0].configPath",
                "must not be empty",
            ),
            (
                "{image: a, configPath: /x}",
                "pipeline.mutators[0].configPath",
                "must be relative",
            ),
            (
                "{image: a, configPath: d/../../x}",
                "pipeline.mutators[0].configPath",
                "outside the package",
            ),
            (
                "{image: a, configPath: x.yaml}",
                "pipeline.mutators[0].configPath",
                "must exist in the current",
            ),
            (
                "{image: a, configPath: config.txt}",
                "pipeline.mutators[0].configPath",
                "must exist in the current",
            ),
            (
                "{image: a, configPath: ignored.yaml}",
                "pipeline.mutators[0].configPath",
                "must exist in the current",
            ),
            (
                "{image: a, configPath: sub/config.yaml}",
                "pipeline.mutators[0].configPath",
                "must exist in the current",
            ),
            (
                "{image: a, configPath: two.yaml}",
                "pipeline.mutators[0].configPath",
                "more than one config, got 2",
            ),
            (
                "{image: a, configPath: none.yaml}",
                "pipeline.mutators[0].configPath",
                "must hold a config",
            ),
            (
                "{image: a, configPath: Kptfile}",
                "pipeline.mutators[0].configPath",
                "must not be the Kptfile",
            ),
        ] {
            let told = calls(&format!("  mutators:\n  - {function}\n")).unwrap_err();
            let start = format!("invalid pipeline: Kptfile is invalid: field `{field}`: ");
            assert!(
                told.starts_with(&start) && told.contains(word),
                "{function}: {told}"
            );
        }
    }

    #[test]
    fn words_that_no_pipeline_has_are_told() {
        for pipeline in [
            "  mutators:\n  - {image: a, selector: []}\n",
            "  mutators:\n  - {image: a, selectors: [{nmae: x}]}\n",
            "  mutator: []\n",
            "  mutators: x\n",
        ] {
            let told = calls(pipeline).unwrap_err();
            assert!(
                told.starts_with("invalid pipeline: Kptfile is invalid: "),
                "{told}"
            );
        }
        let told = Kptfile::read(
            "s/Kptfile",
            b"apiVersion: kpt.dev/v1alpha1\nkind: Kptfile\nmetadata: {name: x}\n",
        );
        assert!(
            told.unwrap_err()
                .starts_with("invalid pipeline: s/Kptfile: old resource version")
        );
    }
}
