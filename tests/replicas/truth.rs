//! What Git holds, told by git's own command line, in the words of the API; and whether a server agrees.

use std::collections::BTreeMap;

use crate::rig::{Replica, World};

/// A revision as Git has it, or as a server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub lifecycle: String,
    pub revision: i64,
    pub latest: bool,
    /// Full name of the ref.
    pub reference: String,
    /// The commit; of the package on the branch nothing, for the branch moves without it.
    pub commit: String,
}

pub type All = BTreeMap<String, Shown>;

/// Returns all revisions that Git holds.
pub fn of_git(world: &World) -> All {
    let format = "--format=%(refname)%09%(objectname)%09%(contents)%00";
    let listed = world.git(&["for-each-ref", format]);
    let refs: Vec<(&str, &str, &str)> = listed
        .split('\0')
        .filter_map(|entry| {
            let mut parts = entry.trim_start().splitn(3, '\t');
            Some((parts.next()?, parts.next()?, parts.next()?))
        })
        .collect();
    let marks: Vec<&str> = refs
        .iter()
        .filter_map(|(name, ..)| name.strip_prefix("refs/heads/deletionProposed/"))
        .collect();
    let mut all = All::new();
    // What is later in life wins over what is earlier and has the same name.
    for stage in ["refs/heads/drafts/", "refs/heads/proposed/", "refs/tags/"] {
        for (name, commit, message) in &refs {
            if let Some(rest) = name.strip_prefix(stage) {
                let (name, shown) = revision(stage, rest, (commit, message), &marks);
                all.insert(name, shown);
            }
        }
    }
    on_branch(world, &marks, &mut all);
    mark_latest(&mut all);
    all
}

fn revision(
    stage: &str,
    rest: &str,
    (commit, message): (&str, &str),
    marks: &[&str],
) -> (String, Shown) {
    let (directory, last) = rest.rsplit_once('/').unwrap();
    let number = last
        .strip_prefix('v')
        .and_then(|number| number.parse().ok());
    let tag = stage == "refs/tags/";
    let workspace = if tag {
        workspace(message).unwrap_or(last)
    } else {
        last
    };
    let lifecycle = match stage {
        "refs/heads/drafts/" => "Draft",
        "refs/heads/proposed/" => "Proposed",
        _ if marks.contains(&rest) => "DeletionProposed",
        _ => "Published",
    };
    let shown = Shown {
        lifecycle: lifecycle.into(),
        revision: if tag { number.unwrap_or_default() } else { 0 },
        latest: false,
        reference: format!("{stage}{rest}"),
        commit: commit.into(),
    };
    (named(directory, workspace), shown)
}

/// Returns the workspace that the message of a publication names.
fn workspace(message: &str) -> Option<&str> {
    let rest = message.split("\"workspaceName\":\"").nth(1)?;
    rest.split('"').next()
}

fn named(directory: &str, workspace: &str) -> String {
    format!("r.{}.{workspace}", directory.replace('/', "."))
}

fn on_branch(world: &World, marks: &[&str], all: &mut All) {
    let Some(_) = world.head("refs/heads/main") else {
        return;
    };
    let files = world.git(&["ls-tree", "-r", "--name-only", "refs/heads/main"]);
    for directory in files
        .lines()
        .filter_map(|file| file.strip_suffix("/Kptfile"))
    {
        let marked = marks.contains(&format!("{directory}/main").as_str());
        let shown = Shown {
            lifecycle: if marked {
                "DeletionProposed"
            } else {
                "Published"
            }
            .into(),
            revision: -1,
            latest: false,
            reference: "refs/heads/main".into(),
            commit: String::new(),
        };
        all.insert(named(directory, "main"), shown);
    }
}

fn mark_latest(all: &mut All) {
    let mut newest: BTreeMap<String, (i64, String)> = BTreeMap::new();
    for (name, shown) in all.iter().filter(|(_, shown)| shown.revision > 0) {
        let (package, _) = name.rsplit_once('.').unwrap();
        let best = newest.entry(package.into()).or_default();
        *best = std::mem::take(best).max((shown.revision, name.clone()));
    }
    for (_, name) in newest.values() {
        all.get_mut(name).unwrap().latest = true;
    }
}

/// Returns all revisions that a server shows.
pub fn of_server(replica: &Replica) -> All {
    let snapshot = replica.catalog.revisions().snapshot();
    let shown = snapshot.objects.iter().map(|(name, revision)| {
        let observed = revision.observed();
        let branch = observed.git.ref_ == "refs/heads/main";
        let shown = Shown {
            lifecycle: observed.lifecycle.as_str().into(),
            revision: observed.revision,
            latest: observed.latest,
            reference: observed.git.ref_.clone(),
            commit: if branch {
                String::new()
            } else {
                observed.git.commit.clone()
            },
        };
        (name.name.clone(), shown)
    });
    shown.collect()
}

/// Returns in what a server does not agree with Git, or is not done.
pub async fn disagreement(world: &World, replica: &Replica) -> Option<String> {
    let (git, server) = (of_git(world), of_server(replica));
    for name in git.keys().chain(server.keys()) {
        let (git, server) = (git.get(name), server.get(name));
        if git != server {
            return Some(format!(
                "{name}: Git has {git:?}, and {} shows {server:?}",
                replica.role.name
            ));
        }
    }
    let records = world
        .records()
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    let open = records.items.iter().find(|record| {
        let intent = record.spec.intent.as_ref();
        intent.is_some_and(porch::api::Intent::is_open)
    });
    open.map(|record| format!("a write is still open: {record:?}"))
}
