//! The walls of the house, as tests: who may know whom, how long a file or a function may be, and that nothing lies around
//! unused. The rules are README's; what breaks one is listed with its place.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Lowest first. Rooms on one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    &["api", "yaml", "certificate"],
    &["package"],
    &["git", "cache", "render"],
    &["sync"],
    &["engine"],
    &["apiserver", "controllers"],
    &["standalone"],
];

/// `api` names the lifecycle, which is a value type of `package`; the one look upwards.
const EXCEPTIONS: &[(&str, &str)] = &[("api", "package")];

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 60;

/// Words that may stand in some places only.
const CONFINED: &[(&str, &[&str])] = &[
    ("git2::", &["git"]),
    ("StatusCode::", &["apiserver/status.rs"]),
    (
        "kube::Client",
        &[
            "sync",
            "engine/records",
            "controllers",
            "apiserver/identity",
            "apiserver/authz",
            "main.rs",
            "serve",
            "standalone",
            "wiring.rs",
        ],
    ),
    ("std::env::var", &["config"]),
];

struct Source {
    /// Path below `src`, `/` between directories.
    path: String,
    /// Everything before the tests.
    body: String,
}

impl Source {
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.trim_end_matches(".rs")
    }

    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.body.lines().enumerate();
        numbered
            .map(|(at, line)| (at + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    fn walk(directory: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let (root, mut files) = (root(), Vec::new());
    walk(&root, &mut files);
    let read = |file: PathBuf| Source {
        path: file
            .strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/"),
        body: fs::read_to_string(&file)
            .unwrap()
            .replace("#[cfg(test)]\npub(super) mod ", "#[cfg(test)]\nmod ")
            .split("#[cfg(test)]\nmod ")
            .next()
            .unwrap()
            .into(),
    };
    let is_test =
        |source: &Source| source.path.ends_with("/tests.rs") || source.path.contains("/tests/");
    let all = files.into_iter().map(read);
    all.filter(|source| !is_test(source)).collect()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms named after `crate::`, as `crate::room` and as `crate::{room::…, room}`.
fn rooms_named(text: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let letters = text.trim_start().chars();
        letters
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut rooms = BTreeSet::new();
    for (at, found) in text.match_indices("crate::") {
        let rest = &text[at + found.len()..];
        match rest.strip_prefix('{') {
            None => rooms.extend([word(rest)]),
            Some(group) => rooms.extend(members(group).into_iter().map(word)),
        }
    }
    rooms.retain(|room| floor(room).is_some());
    rooms
}

/// The members of a brace group, up to its closing brace.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(&group[start..at]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
}

#[test]
fn rooms_look_only_down() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(here) = floor(source.room()) else {
            continue;
        };
        let code: Vec<&str> = source.code_lines().map(|(_, line)| line).collect();
        for other in rooms_named(&code.join("\n")) {
            let allowed = EXCEPTIONS.contains(&(source.room(), &other));
            if other != source.room() && !allowed && floor(&other).unwrap() >= here {
                wrong.push(format!("{} must not know {other}", source.path));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn words_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (word, places) in CONFINED {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            let found = source.code_lines().filter(|(_, line)| line.contains(word));
            wrong.extend(found.map(|(at, _)| format!("{}:{at} says {word}", source.path)));
        }
    }
    assert_none(&wrong);
}

#[test]
fn files_say_what_they_are_for_and_are_short() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !source.body.starts_with("//!") {
            wrong.push(format!("{} does not say what it is for", source.path));
        }
        let lines = source.body.lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!("{} has {lines} lines", source.path));
        }
    }
    assert_none(&wrong);
}

#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    for source in sources() {
        let mut open: Vec<(usize, usize, String)> = Vec::new();
        for (at, line) in source.body.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if line.contains("fn ")
                && line
                    .trim_start()
                    .starts_with(|c: char| c.is_ascii_lowercase())
            {
                open.push((at, indent, line.trim().into()));
            } else if line.trim() == "}" {
                while open.last().is_some_and(|(_, start, _)| *start >= indent) {
                    let (start, _, name) = open.pop().unwrap();
                    if at - start + 1 > LONGEST_FUNCTION {
                        wrong.push(format!(
                            "{}:{} {name} has {} lines",
                            source.path,
                            start + 1,
                            at - start + 1
                        ));
                    }
                }
            }
        }
    }
    assert_none(&wrong);
}

/// Every file is named by its door: `mod.rs` beside it or, for a door, the one above.
#[test]
fn no_file_is_an_orphan() {
    let (root, mut wrong) = (root(), Vec::new());
    for source in sources() {
        let path = root.join(&source.path);
        let (directory, stem) = (
            path.parent().unwrap(),
            path.file_stem().unwrap().to_str().unwrap(),
        );
        let (house, name) = match stem {
            "lib" | "main" => continue,
            "mod" => (
                directory.parent().unwrap(),
                directory.file_name().unwrap().to_str().unwrap(),
            ),
            _ => (directory, stem),
        };
        let door = house.join(if house == root { "lib.rs" } else { "mod.rs" });
        let text = fs::read_to_string(&door).unwrap_or_default();
        if !text
            .lines()
            .any(|line| line.ends_with(&format!("mod {name};")))
        {
            wrong.push(format!("{} is named by nobody", source.path));
        }
    }
    assert_none(&wrong);
}

/// What README's map names is there, and what is there is on the map.
#[test]
fn the_map_in_readme_is_true() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let mut name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            name.push('/');
        }
        if !readme.contains(&format!("`src/{name}`")) {
            wrong.push(format!("README's map lacks `src/{name}`"));
        }
    }
    for (at, _) in readme.match_indices("`src/") {
        let path: String = readme[at + 1..].chars().take_while(|c| *c != '`').collect();
        if !Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).exists() {
            wrong.push(format!("README names {path}, which is not there"));
        }
    }
    assert_none(&wrong);
}
