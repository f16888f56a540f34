//! The files of a package as a client sends them: which names they may have, how much they may be, and that there is a Kptfile.
//!
//! Only what a client writes is judged here. What is in Git already was not always judged, and is read as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Violation, kptfile};
use crate::yaml;

/// Content by path from the package's root, `/` between directories; text or not.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The file that makes a directory a package.
pub const KPTFILE: &str = "Kptfile";
/// Most files of a package.
pub const MOST_FILES: usize = 10_000;
/// Most bytes of one file: YAML beyond this is data in disguise, and takes seconds to read.
pub const MOST_BYTES_OF_FILE: usize = 4 << 20;
/// Most bytes of all files together: what fits into a request of upstream's size, several times over.
pub const MOST_BYTES: usize = 32 << 20;
/// Most directories above a file.
pub const MOST_DEPTH: usize = 32;
/// Most bytes of a path: what a checkout on any system can hold below a directory of its own.
pub const MOST_BYTES_OF_PATH: usize = 1024;
/// Most bytes of one part of a path: what file systems take.
pub const MOST_BYTES_OF_NAME: usize = 255;

/// Returns all that is wrong with the files that a package shall have; nothing when they can be stored.
#[must_use]
pub fn check_files(files: &Files) -> Vec<Violation> {
    let mut wrong = amounts(files);
    if !wrong.is_empty() {
        // What is too much is not read further.
        return wrong;
    }
    for (path, content) in files {
        let bad = bad_path(path).or_else(|| bad_content(path, content));
        wrong.extend(bad.map(|why| Violation::invalid(field(path), shown(path), why)));
    }
    wrong.extend(clashes(files));
    wrong.extend(root(files));
    wrong
}

/// Returns the path of a field of `spec.resources`.
fn field(path: &str) -> String {
    format!("spec.resources[{}]", shown(path))
}

/// Returns a path as it can be told: short, and without what a terminal would obey.
fn shown(path: &str) -> String {
    let visible = path.chars().filter(|c| !c.is_control());
    visible.take(256).collect()
}

fn amounts(files: &Files) -> Vec<Violation> {
    if files.len() > MOST_FILES {
        return vec![Violation::too_many("spec.resources", MOST_FILES)];
    }
    let large = |(path, content): (&String, &Vec<u8>)| {
        let large = content.len() > MOST_BYTES_OF_FILE;
        large.then(|| Violation::too_long(field(path), MOST_BYTES_OF_FILE))
    };
    let mut wrong: Vec<_> = files.iter().filter_map(large).collect();
    let all: usize = files.values().map(Vec::len).sum();
    if all > MOST_BYTES {
        wrong.push(Violation::too_long("spec.resources", MOST_BYTES));
    }
    wrong
}

/// Returns why a path can't be that of a file of a package.
fn bad_path(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("must not be empty".into());
    }
    if path.len() > MOST_BYTES_OF_PATH {
        return Some(format!("must be no more than {MOST_BYTES_OF_PATH} bytes"));
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return Some("must not contain backslashes or control characters".into());
    }
    if path.starts_with('/') {
        return Some("must be relative to the package".into());
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > MOST_DEPTH + 1 {
        return Some(format!("must have no more than {MOST_DEPTH} directories"));
    }
    parts.into_iter().find_map(bad_part)
}

fn bad_part(part: &str) -> Option<String> {
    if matches!(part, "" | "." | "..") {
        return Some("must not have empty parts, '.' or '..'".into());
    }
    if part.len() > MOST_BYTES_OF_NAME {
        return Some(format!(
            "must have no part of more than {MOST_BYTES_OF_NAME} bytes"
        ));
    }
    (!is_harmless(part.as_bytes())).then(|| "must not name Git's own directory".into())
}

/// Returns whether a name can be that of a file or directory of a package: no way out of it, and nothing that a
/// checkout would take for Git's own directory on any system.
#[must_use]
pub fn is_harmless(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name).to_lowercase();
    let visible: String = text.chars().filter(|c| !is_ignorable(*c)).collect();
    // To Windows a backslash is a slash.
    let mut parts = visible.split('\\');
    !name.is_empty()
        && !name.contains(&b'/')
        && name != b"."
        && name != b".."
        && !parts.any(is_gits_own)
}

/// Returns whether a checkout on some system would take a name for that of Git's own directory.
fn is_gits_own(name: &str) -> bool {
    let stem = name.split(':').next().unwrap_or_default();
    matches!(stem.trim_end_matches([' ', '.']), ".git" | "git~1")
}

/// Characters that HFS+ ignores in names (git's `fsck` lists them).
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

fn bad_content(path: &str, content: &[u8]) -> Option<String> {
    if !is_yaml(path) {
        return None;
    }
    let Ok(text) = std::str::from_utf8(content) else {
        return Some("must be YAML: it is not UTF-8".into());
    };
    let problem = yaml::problem(text)?;
    Some(format!("must be YAML: {problem}"))
}

/// Returns whether a file is said to be YAML by its name.
pub(super) fn is_yaml(path: &str) -> bool {
    let name = name_of(path);
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    matches!(ending, Some("yaml" | "yml"))
}

/// Returns whether a file holds resources by its name: YAML, or a Kptfile.
pub(super) fn is_resource(path: &str) -> bool {
    name_of(path) == KPTFILE || is_yaml(path)
}

/// Returns the last part of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Returns the paths that can't be in one directory on every system: those that differ only by case, at any depth, and those
/// that are both a file and a directory.
fn clashes(files: &Files) -> Vec<Violation> {
    let mut spelled: BTreeMap<String, &str> = BTreeMap::new();
    let mut directories = BTreeSet::new();
    let mut wrong = Vec::new();
    for path in files.keys() {
        let ends = path.match_indices('/').map(|(at, _)| at);
        let twin = ends.chain([path.len()]).find_map(|end| {
            let part = &path[..end];
            let first = *spelled.entry(part.to_lowercase()).or_insert(part);
            (first != part).then_some(first)
        });
        if let Some(twin) = twin {
            let why = format!("must not differ from {twin:?} only by case");
            wrong.push(Violation::invalid(field(path), shown(path), why));
        }
        directories.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
    }
    let both = files
        .keys()
        .filter(|path| directories.contains(path.as_str()));
    wrong.extend(both.map(|path| {
        let why = "must not be a file and a directory";
        Violation::invalid(field(path), shown(path), why)
    }));
    wrong
}

/// Returns what is wrong with the Kptfile at the root.
fn root(files: &Files) -> Option<Violation> {
    let Some(content) = files.get(KPTFILE) else {
        let why = "package must contain Kptfile at root";
        return Some(Violation::required(field(KPTFILE), why));
    };
    let why = kptfile::check(content).err()?;
    Some(Violation::invalid(
        field(KPTFILE),
        Value::from(KPTFILE),
        why,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: x\n";

    fn files(more: &[(&str, &[u8])]) -> Files {
        let kptfile = [(KPTFILE, GOOD.as_bytes())];
        let all = kptfile.iter().chain(more);
        all.map(|(path, content)| ((*path).into(), content.to_vec()))
            .collect()
    }

    #[test]
    fn paths_that_are_no_paths_everywhere_are_refused() {
        let long = format!("a/{}", "x".repeat(256));
        let longer = vec!["x".repeat(250); 5].join("/");
        let deep = "d/".repeat(33) + "f";
        for path in [
            "",
            "/a",
            "a/",
            "a//b",
            "./a",
            "a/./b",
            "../a",
            "a/..",
            "a/../b",
            "a\\b",
            "..\\a",
            "C:\\a",
            "a\0b",
            "a\nb",
            "a\x1b[2Jb",
            "a\u{85}b",
            ".git/config",
            "a/.GIT/config",
            "git~1/x",
            ".git./x",
            ".g\u{200c}it/x",
            ".git:x/y",
            ".git ",
            long.as_str(),
            longer.as_str(),
            deep.as_str(),
        ] {
            let wrong = check_files(&files(&[(path, b"x")]));
            assert_eq!(wrong.len(), 1, "{path:?}: {wrong:?}");
            assert!(wrong[0].field.starts_with("spec.resources["), "{path:?}");
            assert!(!wrong[0].field.chars().any(char::is_control), "{path:?}");
        }
        let deep = "d/".repeat(32) + "f";
        for path in [
            "a",
            "a/b",
            ".gitignore",
            ".github/x",
            ".gitmodules",
            "...",
            "a..b",
            "-x",
            "über/ü",
            "a b",
            "C:a",
            deep.as_str(),
            "\u{1f600}",
        ] {
            assert_eq!(check_files(&files(&[(path, b"\xff\0")])), [], "{path:?}");
        }
    }

    #[test]
    fn paths_that_clash_somewhere_are_refused() {
        for (paths, word) in [
            (["a", "A"], "by case"),
            (["kptfile", "x"], "by case"),
            (["d/a", "D/b"], "by case"),
            (["ÜB", "üb"], "by case"),
            (["a/b/c", "a/B/c"], "by case"),
            (["a", "a/b"], "a file and a directory"),
            (["a/b", "a/b/c/d"], "a file and a directory"),
            (["a/b.c", "a/b.c/d"], "a file and a directory"),
        ] {
            let wrong = check_files(&files(&paths.map(|path| (path, &b""[..]))));
            assert!(
                wrong.len() == 1 && wrong[0].detail.contains(word),
                "{paths:?}: {wrong:?}"
            );
        }
        assert_eq!(
            check_files(&files(&[("a/b", b""), ("a/c", b""), ("ab", b"")])),
            []
        );
    }

    #[test]
    fn what_calls_itself_yaml_is_yaml() {
        for (path, content) in [
            ("a.yaml", &b"not: [yaml"[..]),
            ("d/a.yml", b"a: 1\na: 2\n"),
            ("a.yaml", b"\xff"),
            ("a.yaml", b"a: 1\n---\n- b: [\n"),
            ("a.yaml", b"a:\n\t- b\n"),
        ] {
            let wrong = check_files(&files(&[(path, content)]));
            assert_eq!(wrong.len(), 1, "{path:?} {content:?}");
            assert_eq!(wrong[0].field, format!("spec.resources[{path}]"));
            assert!(wrong[0].detail.starts_with("must be YAML: "), "{wrong:?}");
        }
        for (path, content) in [
            ("a.yaml", &b""[..]),
            ("a.yaml", b"# only a comment\n"),
            ("a.yaml", b"a: 1\n---\nb: 2\n---\n"),
            ("a.yml", b"- a\n"),
            ("a.txt", b"not: [yaml"),
            ("a.YAML", b"not: [yaml"),
            ("yaml", b"not: [yaml"),
            ("d/Kptfile", b"not: [yaml"),
        ] {
            assert_eq!(
                check_files(&files(&[(path, content)])),
                [],
                "{path:?} {content:?}"
            );
        }
    }

    #[test]
    fn a_package_has_a_kptfile_at_its_root() {
        let mut none = files(&[("a/Kptfile", GOOD.as_bytes())]);
        none.remove(KPTFILE);
        assert_eq!(
            check_files(&none),
            [Violation::required(
                "spec.resources[Kptfile]",
                "package must contain Kptfile at root"
            )]
        );
        for (content, word) in [
            (&b""[..], "empty"),
            (b"not: [yaml", "cannot be read"),
            (b"apiVersion: kpt.dev/v1\nkind: Kptfile\n", "metadata.name"),
            (
                b"apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: {name: ''}\n",
                "metadata.name",
            ),
            (
                b"apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: {name: [a]}\n",
                "cannot be read",
            ),
            (
                b"apiVersion: kpt.dev/v1alpha1\nkind: Kptfile\nmetadata: {name: a}\n",
                "old resource version",
            ),
            (
                b"apiVersion: v1\nkind: Kptfile\nmetadata: {name: a}\n",
                "unknown resource type",
            ),
            (
                b"apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: {name: a}\n---\na: 1\n",
                "one document",
            ),
            (b"\xff", "UTF-8"),
        ] {
            let mut files = files(&[]);
            files.insert(KPTFILE.into(), content.to_vec());
            let wrong = check_files(&files);
            assert!(
                wrong.len() == 1 && wrong[0].detail.contains(word),
                "{word}: {wrong:?}"
            );
        }
    }

    #[test]
    fn too_much_is_refused_before_it_is_read() {
        let many: Files = (0..=MOST_FILES)
            .map(|n| (n.to_string(), Vec::new()))
            .collect();
        assert_eq!(
            check_files(&many),
            [Violation::too_many("spec.resources", MOST_FILES)]
        );
        let large = vec![b'['; MOST_BYTES_OF_FILE + 1];
        let wrong = check_files(&files(&[("a.yaml", &large)]));
        assert_eq!(
            wrong,
            [Violation::too_long(
                "spec.resources[a.yaml]",
                MOST_BYTES_OF_FILE
            )]
        );
        let most = vec![b'x'; MOST_BYTES_OF_FILE];
        let names: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        let all: Vec<(&str, &[u8])> = names
            .iter()
            .map(|name| (name.as_str(), &most[..]))
            .collect();
        assert_eq!(
            check_files(&files(&all)),
            [Violation::too_long("spec.resources", MOST_BYTES)]
        );
        assert_eq!(check_files(&files(&all[1..])), []);
    }

    #[test]
    fn names_that_lead_out_or_into_git_are_not_harmless() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            ".git",
            ".GIT",
            ".Git",
            ".git.",
            ".git ",
            "GIT~1",
            ".g\u{200c}it",
            ".git::$INDEX_ALLOCATION",
            "a\\.git",
            ".git\\hooks",
        ] {
            assert!(!is_harmless(name.as_bytes()), "{name:?}");
        }
        for name in [
            "Kptfile",
            ".gitignore",
            ".github",
            "...",
            "a..b",
            "git",
            "über",
            "a b",
            ".gitmodules",
        ] {
            assert!(is_harmless(name.as_bytes()), "{name:?}");
        }
        assert!(is_harmless(b"\xff\xfe"));
    }
}
