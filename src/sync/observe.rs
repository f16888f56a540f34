//! What was read of a revision, in the form in which its record keeps it. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::subject::Subject;
use crate::{
    api::{FORMAT, GitObserved, KptfileObserved, Observed},
    git::{Found, Refs, lifecycle},
};

/// Largest half of a record that Git may fill, in bytes of JSON: well below what etcd takes for one object (1.5 MB), with
/// room for the user's half and for the owners of its fields.
const LIMIT: usize = 256 << 10;

/// Returns what was read of a revision as its record keeps it; whether it is the latest is not known yet.
#[must_use]
pub fn observe(subject: &Subject, refs: &Refs, found: Found) -> Observed {
    let git = GitObserved {
        repo: subject.address.clone(),
        directory: found.directory,
        ref_: found.reference,
        commit: found.commit,
        tree: found.tree,
    };
    let mut observed = Observed {
        format: FORMAT,
        package: found.package,
        workspace: found.workspace,
        revision: found.revision,
        lifecycle: found.lifecycle,
        latest: false,
        awaits_latest: false,
        deployment: subject.deployment,
        git,
        tasks: found.task.into_iter().collect(),
        kptfile: found.kptfile,
        published_by: String::new(),
        published_at: None,
    };
    observed.lifecycle = lifecycle_of(refs, &observed);
    if observed.lifecycle.is_published() {
        observed.published_by = found.author_email;
        observed.published_at = found.author_time.map(Time);
    }
    cut(&mut observed);
    observed
}

/// Returns the lifecycle that the refs give a revision now.
#[must_use]
pub fn lifecycle_of(refs: &Refs, observed: &Observed) -> crate::package::Lifecycle {
    let key = (observed.workspace.as_str(), observed.revision);
    lifecycle(refs, &observed.git.ref_, &observed.git.directory, key)
}

/// Takes away what makes a record too large, and says so in it.
fn cut(observed: &mut Observed) {
    let size =
        |observed: &Observed| serde_json::to_vec(observed).map_or(usize::MAX, |json| json.len());
    let full = size(observed);
    if full <= LIMIT {
        return;
    }
    let blob = std::mem::take(&mut observed.kptfile.blob);
    let problem = format!("too large to be shown: {full} bytes, {LIMIT} at most");
    observed.kptfile = KptfileObserved {
        blob,
        problem,
        ..KptfileObserved::default()
    };
    if size(observed) > LIMIT {
        observed.tasks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::Task, git::Scope};

    fn found() -> Found {
        Found {
            package: "a".into(),
            directory: "dir/a".into(),
            workspace: "w".into(),
            revision: 1,
            reference: "refs/tags/dir/a/v1".into(),
            commit: "c".into(),
            tree: "t".into(),
            lifecycle: crate::package::Lifecycle::Published,
            task: None,
            author_email: "a@b".into(),
            author_time: None,
            kptfile: KptfileObserved::default(),
        }
    }

    fn subject() -> Subject {
        Subject {
            namespace: "default".into(),
            name: "r".into(),
            uid: "u".into(),
            deployment: true,
            address: "https://example.com/r.git".into(),
            scope: Scope::new("main", "dir"),
        }
    }

    #[test]
    fn what_would_not_fit_is_cut_and_said() {
        let huge = "x".repeat(LIMIT);
        let mut labels = found();
        labels.kptfile.labels = [("a".to_owned(), huge.clone())].into_iter().collect();
        labels.kptfile.blob = "b".into();
        labels.task = Some(Task::default());
        let cut = observe(&subject(), &Refs::default(), labels);
        assert!(
            cut.kptfile.problem.contains("too large"),
            "{}",
            cut.kptfile.problem
        );
        assert_eq!(
            (cut.kptfile.labels.len(), cut.kptfile.blob.as_str()),
            (0, "b")
        );
        assert_eq!(cut.tasks.len(), 1);

        let mut task = found();
        let type_ = huge;
        task.task = Some(Task {
            type_,
            ..Task::default()
        });
        let cut = observe(&subject(), &Refs::default(), task);
        assert!(cut.tasks.is_empty());
        assert!(serde_json::to_vec(&cut).unwrap().len() < LIMIT);
    }

    #[test]
    fn only_what_is_published_has_a_publisher() {
        let mut draft = found();
        draft.reference = "refs/heads/drafts/dir/a/w".into();
        draft.revision = 0;
        let observed = observe(&subject(), &Refs::default(), draft);
        assert_eq!(observed.lifecycle, crate::package::Lifecycle::Draft);
        assert_eq!(observed.published_by, "");
        let observed = observe(&subject(), &Refs::default(), found());
        assert_eq!(observed.published_by, "a@b");
        assert!(observed.deployment);
    }
}
