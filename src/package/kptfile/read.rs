//! A Kptfile as far as the API shows it. Read leniently: what cannot be understood is told, never fatal.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    api::{Condition, GitLock, KptfileObserved, Locator, Pairs, ReadinessGate},
    yaml,
};

/// Largest Kptfile that is read, in bytes.
pub const LIMIT: usize = 1 << 20;

/// A map as people write it: values may be missing.
pub(super) type Texts = BTreeMap<String, Option<String>>;

/// The parts of a Kptfile that the API shows; the rest is not looked at.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Kptfile {
    api_version: Option<String>,
    kind: Option<String>,
    pub(super) metadata: Option<Metadata>,
    upstream: Option<Upstream>,
    upstream_lock: Option<Lock>,
    info: Option<About>,
    pub(super) status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    name: Option<String>,
    pub(super) labels: Option<Texts>,
    pub(super) annotations: Option<Texts>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Upstream {
    git: Option<Place>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Lock {
    #[serde(rename = "type")]
    type_: Option<String>,
    git: Option<Place>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Place {
    repo: Option<String>,
    directory: Option<String>,
    #[serde(rename = "ref")]
    ref_: Option<String>,
    commit: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct About {
    readiness_gates: Option<Vec<Gate>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Gate {
    condition_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) conditions: Option<Vec<Stated>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Stated {
    #[serde(rename = "type")]
    pub(super) type_: Option<String>,
    pub(super) status: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

/// Returns what a Kptfile says; `blob` is its object id. A file that is no Kptfile gives a `problem` and nothing else.
#[must_use]
pub fn observe(blob: &str, content: &[u8]) -> KptfileObserved {
    if content.len() > LIMIT {
        return too_large(blob, content.len());
    }
    match read(content) {
        Ok(kptfile) => observed(blob, kptfile),
        Err(problem) => KptfileObserved {
            blob: blob.into(),
            problem,
            ..KptfileObserved::default()
        },
    }
}

/// Returns what is told of a Kptfile that was not read for its size, in bytes.
#[must_use]
pub fn too_large(blob: &str, size: usize) -> KptfileObserved {
    KptfileObserved {
        blob: blob.into(),
        problem: format!("the Kptfile has {size} bytes, more than {LIMIT}"),
        ..KptfileObserved::default()
    }
}

/// Returns nothing when a Kptfile is one that may be stored, else why it is none: one document, of the version that is understood,
/// with a name.
///
/// # Errors
/// A sentence.
pub fn check(content: &[u8]) -> Result<(), String> {
    if content.len() > LIMIT {
        return Err(too_large("", content.len()).problem);
    }
    let kptfile = read(content)?;
    let text = text(content)?;
    if yaml::documents(text)
        .map_err(|error| unreadable(&error))?
        .len()
        != 1
    {
        return Err("the Kptfile must be one document".into());
    }
    let name = kptfile.metadata.and_then(|metadata| metadata.name);
    match name.as_deref() {
        None | Some("") => Err("the Kptfile must have a metadata.name".into()),
        Some(_) => Ok(()),
    }
}

/// Returns the text of a Kptfile.
pub(super) fn text(content: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(content).map_err(|_| "the Kptfile is not UTF-8".into())
}

fn unreadable(error: &yaml::Error) -> String {
    format!("the Kptfile cannot be read: {error}")
}

/// Returns a Kptfile as far as it is understood; else a sentence.
pub(super) fn read(content: &[u8]) -> Result<Kptfile, String> {
    let text = text(content)?;
    let read: Option<Kptfile> = yaml::from_str(text).map_err(|error| unreadable(&error))?;
    let kptfile = read.ok_or("the Kptfile is empty")?;
    let version = kptfile.api_version.as_deref().unwrap_or_default();
    let kind = kptfile.kind.as_deref().unwrap_or_default();
    match (version, kind) {
        ("kpt.dev/v1", "Kptfile") => Ok(kptfile),
        ("kpt.dev/v1alpha1" | "kpt.dev/v1alpha2", "Kptfile") => {
            Err(format!("old resource version {version:?} found in Kptfile"))
        }
        _ => Err(format!(
            "unknown resource type \"{version}, Kind={kind}\" found in Kptfile"
        )),
    }
}

fn observed(blob: &str, kptfile: Kptfile) -> KptfileObserved {
    let upstream_lock = upstream_lock(&kptfile);
    let metadata = kptfile.metadata.unwrap_or_default();
    let gates = kptfile.info.and_then(|about| about.readiness_gates);
    let conditions = kptfile.status.and_then(|status| status.conditions);
    KptfileObserved {
        blob: blob.into(),
        problem: String::new(),
        labels: texts(metadata.labels),
        annotations: texts(metadata.annotations),
        readiness_gates: gates.unwrap_or_default().into_iter().map(gate).collect(),
        conditions: conditions
            .unwrap_or_default()
            .into_iter()
            .map(condition)
            .collect(),
        upstream_lock,
    }
}

fn texts(map: Option<Texts>) -> Pairs {
    let pairs = map.unwrap_or_default().into_iter();
    pairs
        .map(|(key, value)| (key, value.unwrap_or_default()))
        .collect()
}

fn gate(gate: Gate) -> ReadinessGate {
    ReadinessGate {
        condition_type: gate.condition_type.unwrap_or_default(),
    }
}

/// Returns a condition; a status that is none of Kubernetes' three is `Unknown`.
fn condition(stated: Stated) -> Condition {
    let known = stated
        .status
        .filter(|status| matches!(status.as_str(), "True" | "False" | "Unknown"));
    Condition {
        type_: stated.type_.unwrap_or_default(),
        status: known.unwrap_or_else(|| "Unknown".into()),
        reason: stated.reason.unwrap_or_default(),
        message: stated.message.unwrap_or_default(),
    }
}

/// Returns the lock, only if `upstream`, `upstream.git` and `upstreamLock` are all there (upstream's reading).
fn upstream_lock(kptfile: &Kptfile) -> Locator {
    let (Some(Upstream { git: Some(_) }), Some(lock)) = (&kptfile.upstream, &kptfile.upstream_lock)
    else {
        return Locator::default();
    };
    Locator {
        type_: lock.type_.clone().unwrap_or_default(),
        git: lock.git.as_ref().map(git_lock),
    }
}

fn git_lock(place: &Place) -> GitLock {
    GitLock {
        repo: place.repo.clone().unwrap_or_default(),
        directory: place.directory.clone().unwrap_or_default(),
        ref_: place.ref_.clone().unwrap_or_default(),
        commit: place.commit.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HEAD: &str = "apiVersion: kpt.dev/v1\nkind: Kptfile\n";

    fn shown(rest: &str) -> serde_json::Value {
        let observed = observe("b", format!("{HEAD}{rest}").as_bytes());
        let mut value = serde_json::to_value(observed).unwrap();
        value.as_object_mut().unwrap().remove("blob");
        value
    }

    #[test]
    fn what_the_api_shows_is_read() {
        for (text, want) in [
            ("", json!({})),
            ("metadata:\n", json!({})),
            (
                "metadata:\n  name: x\n  labels: {a: b, version: 1.10, gone: }\n  annotations:\n    config.kubernetes.io/local-config: \"true\"\n",
                json!({"labels": {"a": "b", "version": "1.10", "gone": ""}, "annotations": {"config.kubernetes.io/local-config": "true"}}),
            ),
            (
                "info:\n  description: d\n  unheard: [of]\n  readinessGates:\n  - conditionType: a\n  - conditionType: b\n",
                json!({"readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]}),
            ),
            (
                "status:\n  conditions:\n  - {type: a, status: 'True', reason: R, message: M}\n  - {type: b, status: Maybe}\n  - type: c\n  - {type: d, status: False}\n",
                json!({"conditions": [
                    {"type": "a", "status": "True", "reason": "R", "message": "M"},
                    {"type": "b", "status": "Unknown"},
                    {"type": "c", "status": "Unknown"},
                    {"type": "d", "status": "False"}]}),
            ),
            (
                "upstream:\n  type: git\n  git: {repo: r, directory: d, ref: x}\nupstreamLock:\n  type: git\n  git: {repo: r, directory: d, ref: v1, commit: c}\n",
                json!({"upstreamLock": {"type": "git", "git": {"repo": "r", "directory": "d", "ref": "v1", "commit": "c"}}}),
            ),
            (
                "upstreamLock:\n  type: git\n  git: {repo: r, commit: c}\n",
                json!({}),
            ),
            (
                "upstream: {type: git}\nupstreamLock: {type: git, git: {repo: r}}\n",
                json!({}),
            ),
            ("upstream: {git: {repo: r}}\n", json!({})),
            (
                "upstream: {git: {repo: r}}\nupstreamLock: {type: git}\n",
                json!({"upstreamLock": {"type": "git"}}),
            ),
            ("---\nnot: [yaml", json!({})),
        ] {
            let want = {
                let mut want = want;
                let map = want.as_object_mut().unwrap();
                map.entry("upstreamLock").or_insert(json!(null));
                want
            };
            let mut got = shown(text);
            got.as_object_mut()
                .unwrap()
                .entry("upstreamLock")
                .or_insert(json!(null));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn what_is_no_kptfile_is_told_and_gives_nothing_else() {
        let huge = format!("{HEAD}#{}", "x".repeat(LIMIT));
        for (content, word) in [
            (&b"not: [yaml"[..], "cannot be read"),
            (b"\xff\xfe\x00", "UTF-8"),
            (b"", "empty"),
            (b"just text", "cannot be read"),
            (b"- a\n- b\n", "cannot be read"),
            (
                b"apiVersion: kpt.dev/v1alpha2\nkind: Kptfile\nmetadata: {labels: {a: b}}\n",
                "old resource version",
            ),
            (
                b"apiVersion: v1\nkind: ConfigMap\n",
                "unknown resource type",
            ),
            (
                b"apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: {labels: [a]}\n",
                "cannot be read",
            ),
            (huge.as_bytes(), "more than"),
        ] {
            let observed = observe("b", content);
            assert!(
                observed.problem.contains(word),
                "{word}: {}",
                observed.problem
            );
            let bare = KptfileObserved {
                blob: "b".into(),
                problem: observed.problem.clone(),
                ..KptfileObserved::default()
            };
            assert_eq!(observed, bare);
        }
    }
}
