//! What a push brings, as the scan of it would find it: so that what the writer records and what a later scan sees are one.
//! Pure.

use jiff::Timestamp;

use crate::{
    api::{KptfileObserved, Observed, Task},
    git::{self, Found, Scope},
    package::{Lifecycle, PLACEHOLDER, kptfile},
    sync::{Plan, Work},
};

/// A revision that is written, as far as it is known before it is planned.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Name of the package, relative to the registered directory.
    pub package: String,
    /// -1 the branch, 0 unpublished, else the published number.
    pub revision: i64,
    /// Full name of the ref where it is then.
    pub reference: String,
    /// The task that created it.
    pub task: Option<Task>,
    /// What its Kptfile says.
    pub kptfile: KptfileObserved,
    /// What Git says of it now, for deeds that make no commit.
    pub now: Option<Box<Observed>>,
}

impl Outline {
    /// Returns the outline of a revision that is known.
    #[must_use]
    pub fn of(observed: &Observed) -> Self {
        Self {
            package: observed.package.clone(),
            revision: observed.revision,
            reference: observed.git.ref_.clone(),
            task: observed.tasks.first().cloned(),
            kptfile: observed.kptfile.clone(),
            now: Some(Box::new(observed.clone())),
        }
    }

    /// Returns the revision that a plan makes of this.
    #[must_use]
    pub fn found(&self, work: &Work, plan: &Plan) -> Found {
        match &self.now {
            Some(now) if plan.commit.is_empty() => self.kept(work, now),
            _ => self.made(work, plan),
        }
    }

    fn kept(&self, work: &Work, now: &Observed) -> Found {
        let plan = Plan {
            edits: Vec::new(),
            commit: now.git.commit.clone(),
            tree: now.git.tree.clone(),
            moves_branch: false,
            number: None,
        };
        Found {
            author_email: now.published_by.clone(),
            author_time: now.published_at.as_ref().map(|time| time.0),
            ..self.made(work, &plan)
        }
    }

    fn made(&self, work: &Work, plan: &Plan) -> Found {
        Found {
            package: self.package.clone(),
            directory: work.directory.clone(),
            workspace: work.workspace.clone(),
            revision: self.revision,
            reference: self.reference.clone(),
            commit: plan.commit.clone(),
            tree: plan.tree.clone(),
            // The refs say it.
            lifecycle: Lifecycle::Published,
            task: self.task.clone(),
            author_email: work.author.email.clone(),
            author_time: whole_second(work.time),
            kptfile: self.kptfile.clone(),
        }
    }

    /// Returns the package on the branch, as a publication of this leaves it.
    #[must_use]
    pub fn placeholder(&self, scope: &Scope, work: &Work, plan: &Plan) -> Found {
        Found {
            workspace: scope.branch.clone(),
            revision: PLACEHOLDER,
            reference: scope.branch_ref(),
            task: None,
            ..self.found(work, plan)
        }
    }
}

/// Returns what a Kptfile with this content says.
#[must_use]
pub fn kptfile_of(content: &[u8]) -> KptfileObserved {
    kptfile::observe(&git::blob_id(content), content)
}

/// Returns a moment as a commit keeps it.
fn whole_second(time: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(time.as_second()).ok()
}
