//! Every version of every YAML file of the real repositories, where there are any; and a few that are odder than those.

use std::collections::BTreeSet;

use crate::{
    git_server::git,
    packages::contents,
    repository::{Repository, bundles},
};

/// One file: its name, and its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    pub name: String,
    pub text: String,
}

const ODD: &[(&str, &str)] = &[
    (
        "Kptfile",
        "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: x",
    ),
    (
        "Kptfile",
        "# a\n---\n# b\napiVersion: kpt.dev/v1 # c\nkind: Kptfile\nmetadata: # d\n    # e\n    name: x # f\n    labels: {a: b} # g\n# h\n",
    ),
    (
        "Kptfile",
        "{\"apiVersion\": \"kpt.dev/v1\", \"kind\": \"Kptfile\", \"metadata\": {\"name\": \"x\"}}\n",
    ),
    (
        "Kptfile",
        "apiVersion: kpt.dev/v1\r\nkind: Kptfile\r\nmetadata:\r\n  name: x\r\n  annotations: {}\r\nstatus:\r\n",
    ),
    (
        "Kptfile",
        "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: x\ninfo:\n  description: |\n    two\n\n    lines # no comment\n\n\n",
    ),
    ("a.yaml", "# only\n---\n---\na: 1\n...\n"),
    (
        "a.yaml",
        "a: &x {b: c}\nmetadata:\n  name: n\n  labels: *x\n",
    ),
    (
        "a.yaml",
        "metadata:\n  name: |\n    n\nkind: >-\n  folded # text\n  more\n",
    ),
    (
        "a.yaml",
        "kind: List\nitems:\n- metadata:\n    name: a # a\n  # b\n- metadata:\n    name: b\n",
    ),
    ("a.yaml", "? a\n: b # c\nmetadata: {name: n}\n"),
    ("a.yaml", "{{ if .Values }}\na: 1\n{{ end }}\n"),
];

/// Returns the odd files.
pub fn odd() -> Vec<Text> {
    let odd = ODD.iter().map(|(name, text)| Text {
        name: (*name).into(),
        text: (*text).into(),
    });
    odd.collect()
}

/// Returns all distinct files of the real repositories.
pub fn real() -> BTreeSet<Text> {
    let repositories = bundles().into_iter();
    repositories
        .flat_map(|bundle| texts(&Repository::of_bundle(&bundle)))
        .collect()
}

fn texts(repository: &Repository) -> Vec<Text> {
    let listed = git(&repository.bare(), &["rev-list", "--all", "--objects"]);
    let objects = listed.lines().filter_map(|line| line.split_once(' '));
    let is_wanted = |name: &str| {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        name == "Kptfile" || matches!(ending, Some("yaml" | "yml"))
    };
    let wanted: Vec<(&str, &str)> = objects
        .map(|(id, path)| (id, path.rsplit('/').next().unwrap()))
        .filter(|(_, name)| is_wanted(name))
        .collect();
    let mut contents = contents(repository, wanted.iter().map(|(id, _)| *id)).into_iter();
    let texts = wanted.iter().filter_map(|(_, name)| {
        let text = String::from_utf8(contents.next().unwrap()).ok()?;
        let name = (*name).into();
        Some(Text { name, text })
    });
    texts.collect()
}

/// Numbers that are the same in every run.
pub struct Chance(pub u64);

impl Chance {
    /// Returns a number below `most`.
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}
