//! A Kptfile changed in place: what is not changed keeps its bytes, and so do all comments and unknown fields.
//!
//! A value that says what it shall say already is left as it is written: `version: 1.10` is not quoted because the API shows a
//! string.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    super::Problem,
    read::{self, Kptfile, Stated, Texts},
};
use crate::{
    api::{Condition, GitLock, PackageMetadata, ReadinessGate},
    yaml,
};

/// The annotation that says which resource of the upstream a resource was; written by clone, never by users.
pub const UPSTREAM_IDENTIFIER: &str = "internal.kpt.dev/upstream-identifier";

/// The members of a Kptfile, in upstream's order.
const MEMBERS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "upstream",
    "upstreamLock",
    "info",
    "pipeline",
    "inventory",
    "status",
];
/// The members of its metadata.
const METADATA: &[&str] = &["name", "namespace", "labels", "annotations"];
/// The members of its status.
const STATUS: &[&str] = &["conditions", "renderStatus"];
/// Those of `info` that come before the gates: all.
const INFO: &[&str] = &[];

/// Where a package came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Address of the repository, as it may be shown.
    pub repo: String,
    /// Directory of the package from the root of the repository.
    pub directory: String,
    /// Branch, tag or commit that was asked for.
    pub reference: String,
    /// The commit that this was.
    pub commit: String,
}

impl From<GitLock> for Origin {
    fn from(lock: GitLock) -> Self {
        Self {
            repo: lock.repo,
            directory: lock.directory,
            reference: lock.ref_,
            commit: lock.commit,
        }
    }
}

/// What shall be otherwise in a Kptfile.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// `metadata.name`.
    Name(String),
    /// `upstream` and `upstreamLock`, each as a whole.
    Origin(Origin),
    /// These labels and annotations are added or overwritten, others kept.
    Merge(PackageMetadata),
    /// The labels are these.
    Labels(BTreeMap<String, String>),
    /// The annotations are these.
    Annotations(BTreeMap<String, String>),
    /// `info.readinessGates` are these: those that are there stay where they are, new ones come last.
    ReadinessGates(Vec<ReadinessGate>),
    /// `status.conditions` are these: those that are there stay where they are, new ones come last.
    Conditions(Vec<Condition>),
    /// The one of `status.conditions` with its type is this; if there is none, it comes last.
    Condition(Condition),
    /// `status.renderStatus` is this, as a whole, or is not there.
    RenderStatus(Option<Value>),
}

/// Returns a Kptfile with the changes; the very same bytes when it says all of them already. The annotation
/// [`UPSTREAM_IDENTIFIER`] is never set or overwritten, only left out.
///
/// # Errors
/// [`Problem::Unreadable`]: it is no Kptfile. [`Problem::Unwritable`]: it is of a form that can't be changed so.
pub fn edit(content: &[u8], changes: &[Change]) -> Result<Vec<u8>, Problem> {
    let read = read::read(content).map_err(Problem::Unreadable)?;
    let text = read::text(content).map_err(Problem::Unreadable)?;
    let mut values =
        yaml::documents(text).map_err(|error| Problem::Unreadable(error.to_string()))?;
    let Some(Value::Object(kptfile)) = values.first_mut() else {
        return Err(Problem::Unreadable("the Kptfile is no map".into()));
    };
    for one in changes {
        apply(kptfile, &read, one);
    }
    let made = yaml::rewrite(text, &values);
    let made = made.map_err(|error| Problem::Unwritable(error.to_string()))?;
    Ok(made.into_bytes())
}

fn apply(kptfile: &mut Map<String, Value>, read: &Kptfile, change: &Change) {
    let metadata = read.metadata.as_ref();
    let labels = metadata.and_then(|metadata| metadata.labels.as_ref());
    let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
    match change {
        Change::Name(name) => {
            let metadata = member(kptfile, "metadata", MEMBERS);
            place(metadata, "name", METADATA, name.as_str().into());
        }
        Change::Origin(origin) => set_origin(kptfile, origin),
        Change::Merge(new) => {
            set_texts(kptfile, "labels", labels, &new.labels, true);
            set_texts(kptfile, "annotations", annotations, &new.annotations, true);
        }
        Change::Labels(new) => set_texts(kptfile, "labels", labels, new, false),
        Change::Annotations(new) => set_texts(kptfile, "annotations", annotations, new, false),
        Change::ReadinessGates(gates) => set_gates(kptfile, gates),
        Change::Conditions(conditions) => {
            let status = read.status.as_ref();
            let stated = status.and_then(|status| status.conditions.as_deref());
            set_conditions(kptfile, stated.unwrap_or_default(), conditions);
        }
        Change::Condition(condition) => {
            let status = read.status.as_ref();
            let stated = status.and_then(|status| status.conditions.as_deref());
            set_condition(kptfile, stated.unwrap_or_default(), condition);
        }
        Change::RenderStatus(status) => set_render_status(kptfile, status.as_ref()),
    }
}

/// Puts a member where upstream's order has it.
fn place(map: &mut Map<String, Value>, key: &str, order: &[&str], value: Value) {
    if let Some(present) = map.get_mut(key) {
        *present = value;
        return;
    }
    let rank = |key: &str| order.iter().position(|one| *one == key);
    let mine = rank(key);
    let earlier =
        |other: &String| mine.is_none() || rank(other).is_some_and(|rank| Some(rank) < mine);
    let at = map.keys().rposition(earlier).map_or(0, |at| at + 1);
    map.shift_insert(at, key.into(), value);
}

/// Sets or takes away what stands at a path of one or two keys; a new member goes where upstream's order has it.
pub(in crate::package) fn set_member(kptfile: &mut Value, path: &[&str], value: Option<Value>) {
    let Some(map) = kptfile.as_object_mut() else {
        return;
    };
    match (path, value) {
        ([key], Some(value)) => place(map, key, MEMBERS, value),
        ([outer, key], Some(value)) => {
            let order = if *outer == "metadata" { METADATA } else { INFO };
            place(member(map, outer, MEMBERS), key, order, value);
        }
        ([key], None) => {
            map.shift_remove(*key);
        }
        ([outer, key], None) => {
            let outer = map.get_mut(*outer).and_then(Value::as_object_mut);
            outer.and_then(|outer| outer.shift_remove(*key));
        }
        _ => {}
    }
}

/// Returns the map that is a member, which it is made if it is none.
fn member<'a>(
    map: &'a mut Map<String, Value>,
    key: &str,
    order: &[&str],
) -> &'a mut Map<String, Value> {
    if !map.get(key).is_some_and(Value::is_object) {
        place(map, key, order, json!({}));
    }
    let made = map.get_mut(key).and_then(Value::as_object_mut);
    made.expect("it was made a map")
}

fn set_origin(kptfile: &mut Map<String, Value>, origin: &Origin) {
    let directory = origin.directory.strip_prefix('/');
    let directory = directory.unwrap_or(&origin.directory);
    let repo = normal_address(&origin.repo);
    let mut git = json!({"repo": repo, "directory": directory, "ref": origin.reference});
    let upstream = json!({"type": "git", "git": git});
    git["commit"] = origin.commit.as_str().into();
    let lock = json!({"type": "git", "git": git});
    place(kptfile, "upstream", MEMBERS, upstream);
    place(kptfile, "upstreamLock", MEMBERS, lock);
}

/// Returns the address of a repository as upstream writes it: with `.git`.
fn normal_address(repo: &str) -> String {
    if repo.strip_suffix(".git").is_some() {
        return repo.into();
    }
    format!("{repo}.git")
}

/// Sets labels or annotations; what reads as it shall already is left as it is written.
fn set_texts(
    kptfile: &mut Map<String, Value>,
    name: &str,
    written: Option<&Texts>,
    new: &BTreeMap<String, String>,
    keep: bool,
) {
    let nothing = Texts::new();
    let written = written.unwrap_or(&nothing);
    let stays = |key: &str| keep || new.contains_key(key);
    let has = |(key, value): &(&String, &String)| {
        let said = written
            .get(*key)
            .map(|said| said.as_deref().unwrap_or_default());
        said == Some(value.as_str())
    };
    let is_new = |pair: &(&String, &String)| pair.0 != UPSTREAM_IDENTIFIER && !has(pair);
    let changed: Vec<_> = new.iter().filter(is_new).collect();
    if changed.is_empty() && written.keys().all(|key| stays(key)) {
        return;
    }
    let metadata = member(kptfile, "metadata", MEMBERS);
    let texts = member(metadata, name, METADATA);
    texts.retain(|key, _| stays(key));
    for (key, value) in changed {
        texts.insert(key.clone(), value.as_str().into());
    }
    if texts.is_empty() {
        metadata.shift_remove(name);
    }
}

fn set_gates(kptfile: &mut Map<String, Value>, gates: &[ReadinessGate]) {
    let key = "conditionType";
    let present = items(kptfile, "info", "readinessGates");
    let is_wanted = |item: &Value| gates.iter().any(|gate| item[key] == gate.condition_type);
    let mut wanted: Vec<Value> = present
        .iter()
        .filter(|item| is_wanted(item))
        .cloned()
        .collect();
    for gate in gates {
        if !wanted.iter().any(|item| item[key] == gate.condition_type) {
            wanted.push(json!({key: gate.condition_type}));
        }
    }
    set_items(kptfile, ("info", INFO), "readinessGates", (present, wanted));
}

fn set_conditions(kptfile: &mut Map<String, Value>, stated: &[Stated], conditions: &[Condition]) {
    let present = items(kptfile, "status", "conditions");
    let find = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    let mut wanted = Vec::new();
    for (item, said) in present.iter().zip(stated) {
        if let Some(condition) = find(said.type_.as_deref().unwrap_or_default()) {
            wanted.push(with_condition(item.clone(), said, condition));
        }
    }
    for condition in conditions {
        let type_ = Some(condition.type_.as_str());
        if !stated.iter().any(|said| said.type_.as_deref() == type_) {
            let item = json!({"type": condition.type_});
            wanted.push(with_condition(item, &Stated::default(), condition));
        }
    }
    set_items(kptfile, ("status", STATUS), "conditions", (present, wanted));
}

fn set_condition(kptfile: &mut Map<String, Value>, stated: &[Stated], condition: &Condition) {
    let (present, mut wanted) = (items(kptfile, "status", "conditions"), Vec::new());
    let mut is_there = false;
    for (at, item) in present.iter().enumerate() {
        let said = stated
            .get(at)
            .filter(|said| said.type_.as_ref() == Some(&condition.type_));
        is_there |= said.is_some();
        let item = item.clone();
        wanted.push(match said {
            Some(said) => with_condition(item, said, condition),
            None => item,
        });
    }
    if !is_there {
        let item = json!({"type": condition.type_});
        wanted.push(with_condition(item, &Stated::default(), condition));
    }
    set_items(kptfile, ("status", STATUS), "conditions", (present, wanted));
}

fn set_render_status(kptfile: &mut Map<String, Value>, status: Option<&Value>) {
    match status {
        Some(new) => place(
            member(kptfile, "status", MEMBERS),
            "renderStatus",
            STATUS,
            new.clone(),
        ),
        None => {
            if let Some(status) = kptfile.get_mut("status").and_then(Value::as_object_mut) {
                status.shift_remove("renderStatus");
            }
        }
    }
}

/// Returns a condition with what is new in it.
fn with_condition(mut item: Value, said: &Stated, condition: &Condition) -> Value {
    let Some(map) = item.as_object_mut() else {
        return item;
    };
    for (key, said, new) in [
        ("status", &said.status, &condition.status),
        ("reason", &said.reason, &condition.reason),
        ("message", &said.message, &condition.message),
    ] {
        if new.is_empty() {
            map.shift_remove(key);
        } else if said.as_ref() != Some(new) {
            map.insert(key.into(), new.as_str().into());
        }
    }
    item
}

/// Returns the items of a list that is a member of a member.
fn items(kptfile: &Map<String, Value>, outer: &str, inner: &str) -> Vec<Value> {
    let list = kptfile.get(outer).and_then(|map| map.get(inner));
    list.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn set_items(
    kptfile: &mut Map<String, Value>,
    (outer, order): (&str, &[&str]),
    inner: &str,
    (present, wanted): (Vec<Value>, Vec<Value>),
) {
    if present == wanted {
        return;
    }
    let map = member(kptfile, outer, MEMBERS);
    if wanted.is_empty() {
        map.shift_remove(inner);
    } else {
        place(map, inner, order, wanted.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::kptfile::observe;

    const TEXT: &str = "# Ours.\napiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: # kpt-merge: /x\n  name: x # the name\n  labels:\n    # about l\n    l: 1.10 # number\n    gone: \"1\"\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\n    internal.kpt.dev/upstream-identifier: '|a|b|c'\ninfo:\n  description: d # what it is\n  unheard: [of]\n  readinessGates:\n  - conditionType: a # gate a\n  # about b\n  - conditionType: b\npipeline:\n  mutators: [] # none\nstatus:\n  conditions:\n    # about r\n    - type: r\n      status: False # sadly\n      reason: R\n      lastSeen: today\n";

    fn changed(text: &str, changes: &[Change]) -> String {
        String::from_utf8(edit(text.as_bytes(), changes).unwrap()).unwrap()
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    }

    fn gates(types: &[&str]) -> Vec<ReadinessGate> {
        let gate = |type_: &&str| ReadinessGate {
            condition_type: (*type_).into(),
        };
        types.iter().map(gate).collect()
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.into(),
            status: status.into(),
            reason: reason.into(),
            message: String::new(),
        }
    }

    #[test]
    fn only_the_lines_that_must_are_changed() {
        for (change, from, to) in [
            (Change::Name("z".into()), "name: x #", "name: z #"),
            (
                Change::Merge(PackageMetadata {
                    labels: texts(&[("gone", "2"), ("new", "on")]),
                    annotations: texts(&[]),
                }),
                "    gone: \"1\"\n",
                "    gone: \"2\"\n    new: \"on\"\n",
            ),
            (
                Change::Labels(texts(&[("l", "1.10")])),
                "    gone: \"1\"\n",
                "",
            ),
            (
                Change::Labels(texts(&[("l", "1.1"), ("gone", "1")])),
                "l: 1.10 #",
                "l: \"1.1\" #",
            ),
            (
                Change::ReadinessGates(gates(&["c", "b", "a"])),
                "  - conditionType: b\n",
                "  - conditionType: b\n  - conditionType: c\n",
            ),
            (
                Change::ReadinessGates(gates(&["a"])),
                "  - conditionType: b\n",
                "",
            ),
            (
                Change::Conditions(vec![condition("r", "True", "R")]),
                "status: False #",
                "status: \"True\" #",
            ),
            (
                Change::Conditions(vec![condition("r", "False", "")]),
                "      reason: R\n",
                "",
            ),
            (
                Change::Conditions(vec![
                    condition("new", "Unknown", ""),
                    condition("r", "False", "R"),
                ]),
                "      lastSeen: today\n",
                "      lastSeen: today\n    - type: new\n      status: Unknown\n",
            ),
            (
                Change::Condition(condition("r", "True", "R")),
                "status: False #",
                "status: \"True\" #",
            ),
            (
                Change::Condition(condition("new", "True", "")),
                "      lastSeen: today\n",
                "      lastSeen: today\n    - type: new\n      status: \"True\"\n",
            ),
            (
                Change::RenderStatus(Some(json!({"mutationSteps": [{"exitCode": 0}]}))),
                "      lastSeen: today\n",
                "      lastSeen: today\n  renderStatus:\n    mutationSteps:\n    - exitCode: 0\n",
            ),
            (Change::RenderStatus(None), "", ""),
            (
                Change::Annotations(texts(&[("config.kubernetes.io/local-config", "true")])),
                "    internal.kpt.dev/upstream-identifier: '|a|b|c'\n",
                "",
            ),
        ] {
            assert!(TEXT.contains(from));
            assert_eq!(changed(TEXT, &[change]), TEXT.replace(from, to));
        }
    }

    #[test]
    fn what_it_says_already_changes_no_byte() {
        let said = observe("b", TEXT.as_bytes());
        for text in [TEXT.to_owned(), TEXT.replace('\n', "\r\n")] {
            let same = [
                Change::Name("x".into()),
                Change::Labels(said.labels.to_map()),
                Change::Annotations(said.annotations.to_map()),
                Change::Merge(PackageMetadata {
                    labels: said.labels.to_map(),
                    annotations: said.annotations.to_map(),
                }),
                Change::ReadinessGates(said.readiness_gates.clone()),
                Change::Conditions(said.conditions.clone()),
            ];
            assert_eq!(changed(&text, &same), text);
        }
    }

    #[test]
    fn nobody_writes_the_identifier_of_clones() {
        let mine = texts(&[
            (UPSTREAM_IDENTIFIER, "mine"),
            ("config.kubernetes.io/local-config", "true"),
        ]);
        let merge = Change::Merge(PackageMetadata {
            labels: texts(&[]),
            annotations: mine.clone(),
        });
        assert_eq!(changed(TEXT, &[merge]), TEXT);
        assert_eq!(changed(TEXT, &[Change::Annotations(mine.clone())]), TEXT);
        let bare = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: x\n";
        let got = changed(bare, &[Change::Annotations(mine)]);
        assert_eq!(
            got,
            format!("{bare}  annotations:\n    config.kubernetes.io/local-config: \"true\"\n")
        );
    }

    #[test]
    fn new_members_are_put_in_upstreams_order() {
        let origin = Origin {
            repo: "http://x/y".into(),
            directory: "/d/e".into(),
            reference: "d/e/v1".into(),
            commit: "c".into(),
        };
        let bare = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: x\n  annotations:\n    a: b\ninfo:\n  description: d\n";
        let got = changed(
            bare,
            &[
                Change::Origin(origin),
                Change::Labels(texts(&[("l", "1")])),
                Change::Conditions(vec![condition("t", "True", "")]),
                Change::ReadinessGates(gates(&["g"])),
            ],
        );
        assert_eq!(
            got,
            "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: x\n  labels:\n    l: \"1\"\n  annotations:\n    a: b\nupstream:\n  type: git\n  git:\n    repo: http://x/y.git\n    directory: d/e\n    ref: d/e/v1\nupstreamLock:\n  type: git\n  git:\n    repo: http://x/y.git\n    directory: d/e\n    ref: d/e/v1\n    commit: c\ninfo:\n  description: d\n  readinessGates:\n    - conditionType: g\nstatus:\n  conditions:\n  - type: t\n    status: \"True\"\n"
        );
    }

    #[test]
    fn what_is_set_is_read_back() {
        let nasty = texts(&[
            ("a", "on"),
            ("b", "0644"),
            ("c", "~"),
            ("d", ""),
            ("e", "a: b # c"),
            ("f", "x\ny\n"),
            ("g", "\"'\u{e9}\u{2028}\t"),
        ]);
        for text in [
            TEXT,
            "apiVersion: kpt.dev/v1\nkind: Kptfile\n",
            "{apiVersion: kpt.dev/v1, kind: Kptfile, metadata: {name: x}}",
            "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  labels:\n  annotations: {}\nstatus:\ninfo: {}",
        ] {
            let conditions = vec![
                condition("t", "True", "it's: \"odd\" # no"),
                condition("u", "Unknown", "- a"),
            ];
            let got = changed(
                text,
                &[
                    Change::Labels(nasty.clone()),
                    Change::Annotations(nasty.clone()),
                    Change::ReadinessGates(gates(&["x/y", "on"])),
                    Change::Conditions(conditions.clone()),
                ],
            );
            let said = observe("b", got.as_bytes());
            assert_eq!(said.labels.to_map(), nasty, "{got}");
            assert_eq!(said.annotations.to_map(), nasty, "{got}");
            assert_eq!(said.readiness_gates, gates(&["x/y", "on"]), "{got}");
            assert_eq!(said.conditions, conditions, "{got}");
            let nothing = changed(
                &got,
                &[
                    Change::Labels(texts(&[])),
                    Change::Annotations(texts(&[])),
                    Change::ReadinessGates(vec![]),
                    Change::Conditions(vec![]),
                ],
            );
            let said = observe("b", nothing.as_bytes());
            assert!(
                said.labels.is_empty() && said.annotations.is_empty() && said.problem.is_empty(),
                "{nothing}"
            );
            assert!(
                said.readiness_gates.is_empty() && said.conditions.is_empty(),
                "{nothing}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_or_changed_is_told() {
        let name = [Change::Name("y".into())];
        for text in ["", "not: [yaml", "apiVersion: v1\nkind: ConfigMap\n"] {
            assert!(
                matches!(edit(text.as_bytes(), &name), Err(Problem::Unreadable(_))),
                "{text}"
            );
        }
        let shared =
            "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: &m\n  name: x\ninventory: *m\n";
        assert!(matches!(
            edit(shared.as_bytes(), &name),
            Err(Problem::Unwritable(_))
        ));
    }
}
