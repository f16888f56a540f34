//! The order of every write that touches Git: intent, push, settle, wait until the own reflector has seen it. In comes what
//! is to be done and what the records say then, out goes the record. What was begun is finished in a task of its own,
//! whoever listens; what was not sent is taken back.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    About, Call, Engine, Error, Record,
    declared::{Declared, declaring},
    found::Outline,
    locks::Lock,
    records::Records,
    surroundings::Home,
};
use crate::{
    api::{PackageRev, UserMetadata},
    cache::{Name, Version, name_of},
    git::Found,
    package::RevisionKey,
    sync::{self, Aftermath, Failure, Plan, Point, Work, agree_on_latest, settle_push},
};

/// What a write stands on.
#[derive(Clone, Debug)]
pub enum Base {
    /// Nothing: it is new.
    New,
    /// The record as it was when the write was computed.
    Known(Record),
}

/// A write that touches Git.
pub struct Undertaking {
    /// The Repository.
    pub home: Home,
    /// The revision.
    pub key: RevisionKey,
    /// What it stands on.
    pub base: Base,
    /// What is done to Git.
    pub work: Work,
    /// The user's half as it is then; nothing if it stays.
    pub metadata: Option<UserMetadata>,
    /// The revision as it is then; nothing if the refs alone say it, or if it is gone.
    pub outline: Option<Outline>,
    /// Whether a publication puts the package on the branch.
    pub publishes: bool,
}

/// How a write ended that did not come to pass.
#[derive(Debug)]
pub enum Setback {
    /// The record is not what the write stands on.
    Changed,
    /// This ref is not what the write stands on; what a stranger did was recorded since.
    Lost(String),
    /// The caller is told.
    Told(Error),
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        Self::Told(error)
    }
}

impl Engine {
    /// Carries out a write, and returns the record as it is then; nothing if it is gone. `lock` is held until the end, even
    /// if the caller's time is over before.
    ///
    /// # Errors
    /// [`Setback`].
    pub(super) async fn carry_out(
        &self,
        undertaking: Undertaking,
        lock: Lock,
        call: &Call,
    ) -> Result<Option<Record>, Setback> {
        let (engine, task_call) = (self.clone(), call.clone());
        let deed = tokio::spawn(async move {
            let _lock = lock;
            engine.finish(undertaking, &task_call).await
        });
        match timeout_at(call.deadline, deed).await {
            Ok(Ok(done)) => done,
            Ok(Err(broken)) => Err(Error::Internal(broken.to_string()).into()),
            Err(_) => Err(Error::TimedOut.into()),
        }
    }

    async fn finish(
        &self,
        undertaking: Undertaking,
        call: &Call,
    ) -> Result<Option<Record>, Setback> {
        let subject = undertaking.home.target.subject.clone();
        let records = Records::new(&self.sync().client, &subject.namespace);
        let declared = Arc::new(Mutex::new(Declared::new(self, &undertaking, records, call)));
        let target = undertaking.home.target.clone();
        let pushed =
            self.means()
                .lanes
                .push(target, undertaking.work.clone(), declaring(&declared));
        match pushed.await {
            Ok(plan) => {
                self.sync().failpoints.pass(Point::AfterPush).await;
                let version = declared.lock().await.version();
                let settled = self.settle(&undertaking, plan, (declared, version)).await;
                self.sync().failpoints.pass(Point::AfterRecords).await;
                Ok(settled?)
            }
            Err(failure) => {
                self.sync().failpoints.pass(Point::BeforeTakeBack).await;
                let setback = self.give_up(&undertaking, &declared, failure).await;
                self.sync().failpoints.pass(Point::AfterTakeBack).await;
                Err(setback)
            }
        }
    }

    /// Records what was pushed, and waits until it can be read here.
    async fn settle(
        &self,
        undertaking: &Undertaking,
        plan: Plan,
        (declared, version): (Arc<Mutex<Declared>>, Version),
    ) -> Result<Option<Record>, Error> {
        let catalog = self.means().feed.catalog();
        let name = undertaking.key.name();
        let subject = &undertaking.home.target.subject;
        // Git has it: whatever the reflector's trouble, it is recorded when that is over.
        while let Err(late) = self.see(version).await {
            tracing::warn!(%late, name, "what was pushed waits to be recorded");
        }
        let push = undertaking.aftermath(&declared.lock().await.intent.id, Some(plan));
        let version = settle_push(self.sync(), &push).await;
        self.see(version).await?;
        if let (Base::Known(record), None) = (&undertaking.base, &undertaking.outline) {
            self.see_gone(record).await?;
        }
        Ok(catalog.record(&subject.namespace, &name))
    }

    /// Waits until the own reflector has seen that a record is gone; nobody is told the version of that.
    pub(super) async fn see_gone(&self, record: &PackageRev) -> Result<(), Error> {
        let (catalog, name) = (self.means().feed.catalog(), name_of(record));
        let end = Instant::now() + SEEN;
        loop {
            let next = Version(catalog.seen().0 + 1);
            let known = catalog.record(&name.namespace, &name.name);
            if known.is_none_or(|known| known.metadata.uid != record.metadata.uid) {
                return Ok(());
            }
            if Instant::now() > end {
                return self.see(next).await;
            }
            let _ = catalog.wait_for(next, BREATH).await;
        }
    }

    /// Waits until the own reflector has seen a version.
    pub(super) async fn see(&self, version: Version) -> Result<(), Error> {
        let seen = self.means().feed.catalog().wait_for(version, SEEN).await;
        seen.map_err(|late| Error::Unavailable {
            why: format!("the change was made, and can't be read here yet: {late}"),
            after: 1,
        })
    }

    /// Takes back what was declared, and returns what is to be told.
    async fn give_up(
        &self,
        undertaking: &Undertaking,
        declared: &Arc<Mutex<Declared>>,
        failure: Failure,
    ) -> Setback {
        let mut declared = declared.lock().await;
        let uncertain = matches!(failure, Failure::Uncertain(_));
        if uncertain {
            let newest = declared.lapse((self.sync().clock)()).await;
            let _ = self.see(newest).await;
        } else {
            let made = declared.made();
            let newest = declared.take_back().await;
            let _ = self.see(newest).await;
            if let Some(made) = made {
                let _ = self.see_gone(&made).await;
            }
        }
        if undertaking.publishes {
            // Others have waited to see whether this becomes the latest.
            let nothing = undertaking.aftermath(&declared.intent.id, None);
            agree_on_latest(self.sync(), &nothing, Version::default()).await;
        }
        if matches!(failure, Failure::Lost { .. }) {
            self.look(undertaking).await;
        }
        match declared.setback.take() {
            Some(setback) if matches!(failure, Failure::Stopped) => setback,
            _ => setback(failure, &undertaking.home),
        }
    }

    /// Asks the Git server whether a write could be carried out, and changes nothing. What it would be is known better then.
    pub(super) async fn rehearse(
        &self,
        undertaking: &mut Undertaking,
        call: &Call,
    ) -> Result<(), Setback> {
        let target = undertaking.home.target.clone();
        let asked = self.means().lanes.rehearse(target, &undertaking.work);
        let asked = timeout_at(call.deadline, asked).await;
        let asked = asked.map_err(|_| Error::TimedOut)?;
        let plan = asked.map_err(|failure| setback(failure, &undertaking.home))?;
        let directory = &undertaking.work.directory;
        if let (Some(number), Some(outline)) = (plan.number, &mut undertaking.outline) {
            outline.revision = number;
            outline.reference = format!("refs/tags/{directory}/v{number}");
        }
        Ok(())
    }

    /// Records what a stranger did to the Repository, so that whoever tries again starts from what is.
    async fn look(&self, undertaking: &Undertaking) {
        let looked = sync::look_now(self.sync(), &undertaking.home.target).await;
        if let Err(error) = looked {
            tracing::warn!(%error, "a repository that somebody else wrote to could not be read");
        }
    }
}

/// How long what was written may take to come round.
const SEEN: Duration = Duration::from_secs(30);
/// The longest wait for what may have been seen already.
const BREATH: Duration = Duration::from_millis(250);

impl Undertaking {
    /// Returns what follows from a plan that came to pass; of none, as much as there is.
    fn aftermath(&self, intent: &str, plan: Option<Plan>) -> Aftermath {
        Aftermath {
            subject: self.home.target.subject.clone(),
            key: self.key.clone(),
            intent: intent.into(),
            found: plan
                .as_ref()
                .map(|plan| self.found(plan))
                .unwrap_or_default(),
            branch: plan.as_ref().is_some_and(|plan| plan.moves_branch),
            edits: plan.map(|plan| plan.edits).unwrap_or_default(),
        }
    }

    fn found(&self, plan: &Plan) -> Vec<Found> {
        let Some(outline) = &self.outline else {
            return Vec::new();
        };
        let mut own = outline.found(&self.work, plan);
        if let Some(number) = plan.number {
            own.revision = number;
            own.reference = format!("refs/tags/{}/v{number}", self.work.directory);
        }
        let scope = &self.home.target.subject.scope;
        let branch = self
            .publishes
            .then(|| outline.placeholder(scope, &self.work, plan));
        [own].into_iter().chain(branch).collect()
    }
}

/// Returns how a write ended that was not brought to Git.
fn setback(failure: Failure, home: &Home) -> Setback {
    let told = match failure {
        Failure::Lost { reference } => return Setback::Lost(reference),
        Failure::Stopped => Error::TimedOut,
        Failure::Declined(words) => Error::Forbidden {
            about: About::Request,
            why: format!("the Git server refused the change: {words}"),
        },
        Failure::Undone(error) => told(&error, home),
        Failure::Uncertain(error) => Error::Unavailable {
            why: format!("the Git server did not say whether it took the change: {error}"),
            after: 10,
        },
    };
    told.into()
}

/// Returns what a caller is told whose change could not be brought to Git.
pub(super) fn told(error: &sync::Error, home: &Home) -> Error {
    use crate::git::Error as Git;
    let repository = || About::Repository(home.target.subject.name.clone());
    let why = error.to_string();
    let later = |after| Error::Unavailable {
        why: format!("the Git server does not take changes now: {why}"),
        after,
    };
    match error {
        sync::Error::Credentials(_) => Error::Forbidden {
            about: repository(),
            why,
        },
        sync::Error::Git(git) => match git {
            Git::Unauthorized(_) | Git::Forbidden(_) => Error::Forbidden {
                about: repository(),
                why: format!("the Git server refuses its credentials: {why}"),
            },
            Git::BranchMissing { .. } => Error::Forbidden {
                about: repository(),
                why,
            },
            Git::TooLarge(_) => Error::TooLarge(why),
            Git::Refused(_) => Error::Malformed(why),
            Git::Throttled(_) => later(60),
            Git::Later { after, .. } => later(u32::try_from(after.as_secs()).unwrap_or(60)),
            Git::NotFound(_) | Git::Certificate(_) | Git::HostKey(_) => later(30),
            _ => later(5),
        },
        _ => later(5),
    }
}

/// Returns the name of a revision in the namespace of its Repository.
pub(super) fn name_in(home: &Home, key: &RevisionKey) -> Name {
    Name::new(&home.target.subject.namespace, key.name())
}
