//! Two Repositories on one Git repository: which of them is served, and which is told that another is in its way. In come
//! all Repositories, out goes who is in the way of one. By upstream's rules, which compare addresses letter by letter. Pure.

use std::sync::Arc;

use kube::ResourceExt;

use super::status;
use crate::api::{REPOSITORY_CONFLICT, Repository};

/// Returns namespace and name of the Repository that is in the way of this one: the first of those that are served.
#[must_use]
pub fn rival(repository: &Repository, all: &[Arc<Repository>]) -> Option<String> {
    let same = neighbours(repository, all);
    let own = same.iter().position(|it| it.uid() == repository.uid())?;
    first_in_the_way(repository, &same[..own])
}

/// Returns the same of one that is not there yet, or would go where it is not yet: it comes after all others.
#[must_use]
pub fn rival_of_newcomer(repository: &Repository, all: &[Arc<Repository>]) -> Option<String> {
    let mut same = neighbours(repository, all);
    same.retain(|it| name(it) != name(repository));
    first_in_the_way(repository, &same)
}

/// Returns whether what is served of two Repositories is in the same place.
#[must_use]
pub fn is_same_place(one: &Repository, other: &Repository) -> bool {
    place(one) == place(other) && directory(one) == directory(other)
}

/// Returns those of the same place that stay, in the order in which they are served.
fn neighbours<'a>(repository: &Repository, all: &'a [Arc<Repository>]) -> Vec<&'a Repository> {
    let Some(place) = place(repository) else {
        return Vec::new();
    };
    let all = all.iter().map(|it| &**it);
    let mut same: Vec<&Repository> = all
        .filter(|other| {
            other.metadata.deletion_timestamp.is_none() && self::place(other) == Some(place)
        })
        .collect();
    same.sort_by_cached_key(|it| seniority(it));
    same
}

/// Returns the first of those before it that is served and in its way.
fn first_in_the_way(repository: &Repository, before: &[&Repository]) -> Option<String> {
    let mut served: Vec<&Repository> = Vec::new();
    for candidate in before {
        if !served.iter().any(|other| clash(candidate, other)) {
            served.push(candidate);
        }
    }
    served
        .into_iter()
        .find(|other| clash(repository, other))
        .map(name)
}

/// Returns namespace and name.
fn name(repository: &Repository) -> String {
    let namespace = repository.namespace().unwrap_or_default();
    format!("{namespace}/{}", repository.name_any())
}

/// Returns the Repositories that were told of another in their way, and may have it no more.
#[must_use]
pub fn waiting(all: &[Arc<Repository>]) -> Vec<Arc<Repository>> {
    let waits = |it: &&Arc<Repository>| is_told(it);
    all.iter().filter(waits).cloned().collect()
}

fn is_told(repository: &Repository) -> bool {
    let ready = repository.status.as_ref().and_then(status::ready);
    ready.is_some_and(|ready| ready.reason == REPOSITORY_CONFLICT)
}

/// Returns address and branch.
fn place(repository: &Repository) -> Option<(&str, &str)> {
    let git = repository.spec.git.as_ref()?;
    Some((&git.repo, &git.branch))
}

/// Returns the order in which Repositories of one place are served: the older first; of those of one second the one that
/// was not told otherwise.
fn seniority(repository: &Repository) -> impl Ord + use<> {
    let born = repository.metadata.creation_timestamp.as_ref();
    (
        born.map(|at| at.0),
        is_told(repository),
        repository.namespace(),
        repository.name_any(),
    )
}

/// Returns whether two Repositories of one place can't both be: they would show the same packages.
fn clash(one: &Repository, other: &Repository) -> bool {
    let (first, second) = (directory(one), directory(other));
    if first == second {
        return one.namespace() == other.namespace();
    }
    let holds = |outer: &str, inner: &str| {
        outer.is_empty()
            || inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    holds(first, second) || holds(second, first)
}

fn directory(repository: &Repository) -> &str {
    let git = repository.spec.git.as_ref();
    let directory = git.and_then(|git| git.directory.as_deref());
    directory.unwrap_or_default().trim_matches('/')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn repository(name: &str, second: u32, directory: &str) -> Repository {
        let (namespace, name) = name.split_once('/').unwrap();
        serde_json::from_value(json!({
            "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "Repository",
            "metadata": {
                "namespace": namespace, "name": name, "uid": format!("{namespace}/{name}"),
                "creationTimestamp": format!("2030-01-01T00:00:{second:02}Z"),
            },
            "spec": {"type": "git", "git": {"repo": "https://example.com/r", "directory": directory}},
        }))
        .unwrap()
    }

    fn rivals(all: Vec<Repository>) -> Vec<Option<String>> {
        let all: Vec<Arc<Repository>> = all.into_iter().map(Arc::new).collect();
        all.iter().map(|it| rival(it, &all)).collect()
    }

    #[test]
    fn what_shows_the_same_packages_is_refused_to_the_younger() {
        let named = |name: &str| Some(name.to_owned());
        for (one, other, want) in [
            (("a/r", ""), ("a/s", ""), named("a/r")),
            (("a/r", "x"), ("a/s", "/x/"), named("a/r")),
            (("a/r", "x"), ("b/s", "x"), None),
            (("a/r", ""), ("b/s", ""), None),
            (("a/r", ""), ("b/s", "x"), named("a/r")),
            (("a/r", "x/y"), ("b/s", "x"), named("a/r")),
            (("a/r", "x"), ("b/s", "x/y"), named("a/r")),
            (("a/r", "x"), ("a/s", "xy"), None),
            (("a/r", "x"), ("a/s", "y"), None),
        ] {
            let all = vec![repository(one.0, 1, one.1), repository(other.0, 2, other.1)];
            assert_eq!(rivals(all), [None, want.clone()], "{one:?} {other:?}");
            let younger_first = vec![repository(other.0, 2, other.1), repository(one.0, 1, one.1)];
            assert_eq!(rivals(younger_first), [want, None], "{one:?} {other:?}");
        }
    }

    #[test]
    fn other_branches_and_addresses_and_what_goes_are_in_nobodys_way() {
        type Change = fn(&mut Repository);
        let changes: [Change; 4] = [
            |it| it.spec.git.as_mut().unwrap().branch = "other".into(),
            |it| it.spec.git.as_mut().unwrap().repo = "https://example.com/r.git".into(),
            |it| it.spec.git = None,
            |it| it.metadata.deletion_timestamp = it.metadata.creation_timestamp.clone(),
        ];
        for change in changes {
            let mut first = repository("a/r", 1, "");
            change(&mut first);
            assert_eq!(rivals(vec![first, repository("a/s", 2, "")])[1], None);
        }
    }

    #[test]
    fn a_newcomer_comes_after_all_others_and_is_not_in_its_own_way() {
        let all = [
            repository("a/one", 1, "x"),
            repository("a/two", 2, "x/y"),
            repository("a/three", 3, "z"),
        ];
        let all = all.map(Arc::new);
        let rival = |name, directory| rival_of_newcomer(&repository(name, 0, directory), &all);
        assert_eq!(rival("a/new", "x"), Some("a/one".into()));
        // The second is not served, the first is.
        assert_eq!(rival("a/new", "x/y/v"), Some("a/one".into()));
        assert_eq!(rival("b/new", "z"), None);
        assert_eq!(rival("b/new", "z/u"), Some("a/three".into()));
        assert_eq!(rival("a/three", "z"), None);
        assert_eq!(rival("a/three", "x"), Some("a/one".into()));
        let [one, two, _] = &all;
        assert!(is_same_place(one, &repository("b/other", 9, "/x/")));
        assert!(!is_same_place(one, two));
        let mut moved = repository("a/one", 1, "x");
        moved.spec.git.as_mut().unwrap().branch = "other".into();
        assert!(!is_same_place(one, &moved));
    }

    #[test]
    fn one_that_is_refused_is_in_nobodys_way_itself() {
        let all = vec![
            repository("a/one", 1, "x/y"),
            repository("a/two", 2, "x"),
            repository("a/three", 3, "x/z"),
        ];
        assert_eq!(rivals(all), [None, Some("a/one".into()), None]);
    }

    #[test]
    fn of_one_second_the_one_that_is_served_already_stays() {
        let mut told = repository("a/aaa", 1, "");
        told.status = serde_json::from_value(json!({"conditions": [{
            "type": "Ready", "status": "False", "reason": REPOSITORY_CONFLICT, "message": "", "lastTransitionTime": "2030-01-01T00:00:00Z",
        }]}))
        .unwrap();
        let all = vec![told, repository("a/zzz", 1, "")];
        assert_eq!(rivals(all), [Some("a/zzz".into()), None]);
    }
}
