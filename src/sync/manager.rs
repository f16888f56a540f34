//! The sync manager of one Repository: a task that looks at it when it is time. In come orders from the reconciler, out
//! goes what became of each look. It decides when to look; what follows from a look is not its business. It never waits
//! for another Repository's manager, and ends at once when it is dropped.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::Client;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};
use tracing::Instrument;

use super::{
    Error, Failpoints, Mirrors, Processes, Progress, Seen, Tally, Target, look::Looker, patience,
    schedule::Schedule,
};
use crate::cache::Catalog;

/// The longest sleep: clocks are set, and machines are put to sleep.
const NAP: Duration = Duration::from_secs(30);

/// Tells the time. The machine's, but for tests.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What every manager works with; clones share it.
#[derive(Clone)]
pub struct Means {
    /// The cluster.
    pub client: Client,
    /// The records.
    pub catalog: Catalog,
    /// The mirrors.
    pub mirrors: Mirrors,
    /// Where looks are counted.
    pub tally: Tally,
    /// Who writes.
    pub processes: Processes,
    /// Where writes may be killed.
    pub failpoints: Failpoints,
    /// The time.
    pub clock: Clock,
}

/// How often to look.
#[derive(Clone, Debug)]
pub enum Rhythm {
    /// This long after the last look.
    Interval(Duration),
    /// As the Repository's own schedule says.
    Schedule(Schedule),
}

impl Rhythm {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Interval(interval) => after.checked_add(*interval).ok(),
            Self::Schedule(schedule) => schedule.next(after),
        }
    }
}

/// What a manager is to do.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Where to look.
    pub target: Target,
    /// How often.
    pub rhythm: Rhythm,
    /// A moment at which to look once more.
    pub run_once_at: Option<Timestamp>,
    /// The value of `run_once_at` that was acted on last, as far as is known from outside.
    pub acted_on: Option<Timestamp>,
    /// The generation of the Repository that these orders follow from.
    pub generation: i64,
}

/// What became of the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The generation of the Repository that was looked for.
    pub generation: i64,
    /// What was seen, or why nothing was.
    pub result: Result<Seen, Trouble>,
    /// When the look ended.
    pub at: Timestamp,
    /// When the next one is due; nothing if only a change can help.
    pub next: Option<Timestamp>,
    /// The value of `run_once_at` that was acted on.
    pub acted_on: Option<Timestamp>,
}

/// Why looks fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The last failure, as a sentence without a secret in it.
    pub message: String,
    /// Its kind as one word.
    pub kind: &'static str,
    /// How many looks in a row failed in this way.
    pub tries: u32,
}

/// The sync manager of one Repository. Dropped, it ends at once.
pub struct Manager {
    /// The newest orders; the manager follows the last ones only.
    orders: watch::Sender<Orders>,
    outcome: watch::Receiver<Option<Outcome>>,
    /// How far the look under way has come, if it has much to read.
    progress: watch::Receiver<Option<Progress>>,
    /// Says that it is time to look, whatever the clock says.
    poke: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Manager {
    /// Starts a manager. It calls `tell` after each outcome.
    #[must_use]
    pub fn start(orders: Orders, means: &Means, tell: impl Fn() + Send + Sync + 'static) -> Self {
        let subject = &orders.target.subject;
        let span = tracing::info_span!(
            "sync",
            namespace = subject.namespace,
            repository = subject.name
        );
        let (told, outcome) = watch::channel(None);
        let (reading, progress) = watch::channel(None);
        let poke = Arc::new(Notify::new());
        let background = Means {
            mirrors: means.mirrors.for_looks(),
            ..means.clone()
        };
        let looker = Looker::new(&background, &orders.target);
        let orders = watch::Sender::new(orders);
        let task = Task {
            mirrors: means.mirrors.clone(),
            orders: orders.subscribe(),
            told,
            poke: poke.clone(),
            looker,
            catalog: means.catalog.clone(),
            tally: means.tally.clone(),
            clock: means.clock.clone(),
            tell: Box::new(tell),
            reading,
            last: None,
            poked: false,
        };
        let task = tokio::spawn(task.run().instrument(span));
        Self {
            orders,
            outcome,
            progress,
            poke,
            task,
        }
    }

    /// Gives new orders. It looks at once if they say where to look otherwise than the last ones did.
    pub fn order(&self, orders: Orders) {
        self.orders.send_replace(orders);
    }

    /// Makes it look now.
    pub fn poke(&self) {
        self.poke.notify_one();
    }

    /// Returns what makes it look now, for those who know nothing else of it.
    #[must_use]
    pub fn bell(&self) -> Arc<Notify> {
        self.poke.clone()
    }

    /// Returns what became of the last look; nothing before the first one ended.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.borrow().clone()
    }

    /// Returns how far the look under way has come, if it has much to read.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        *self.progress.borrow()
    }

    /// Ends it, and waits until it has let go of everything.
    pub async fn stop(mut self) {
        self.task.abort();
        // However it ended, it has.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    /// Tells when to begin.
    mirrors: Mirrors,
    orders: watch::Receiver<Orders>,
    told: watch::Sender<Option<Outcome>>,
    poke: Arc<Notify>,
    looker: Looker,
    catalog: Catalog,
    tally: Tally,
    clock: Clock,
    tell: Box<dyn Fn() + Send + Sync>,
    reading: watch::Sender<Option<Progress>>,
    last: Option<Last>,
    /// Somebody asked for a look.
    poked: bool,
}

/// The last look.
struct Last {
    target: Target,
    at: Timestamp,
    /// The value of `run_once_at` that was acted on, by this task or before it.
    acted_on: Option<Timestamp>,
    result: Result<Seen, Failure>,
}

/// Why a look failed, and what is to be done about it.
struct Failure {
    trouble: Trouble,
    retry_after: Option<Duration>,
    /// Another version of the Secret than this may help.
    secret: Option<String>,
}

impl Task {
    async fn run(mut self) {
        // Without the records everything would seem new.
        self.catalog.until_ready().await;
        self.begin().await;
        loop {
            let orders = self.orders.borrow_and_update().clone();
            let due = self.due(&orders);
            let now = (self.clock)();
            if due.is_some_and(|due| due <= now) {
                self.look(&orders).await;
                self.publish(&orders);
            } else {
                self.publish(&orders);
                self.pause(due, now).await;
            }
        }
    }

    /// Waits until it is time for the first look. What an earlier process left settled is served meanwhile; what nobody has
    /// read yet, and what writes left open, does not wait for the others.
    async fn begin(&mut self) {
        let orders = self.orders.borrow().clone();
        let subject = &orders.target.subject;
        let (_, records) = self.catalog.records_of(&subject.namespace, &subject.name);
        if records.is_empty() || records.iter().any(|record| record.spec.intent.is_some()) {
            return;
        }
        let mut other = self.orders.clone();
        tokio::select! {
            () = sleep(self.mirrors.patience()) => {}
            () = self.poke.notified() => {}
            _ = other.wait_for(|now| now.target != orders.target || now.run_once_at != orders.run_once_at) => {}
        }
    }

    /// Returns when to look next: long ago, if never or elsewhere so far; never, if only a change can help.
    fn due(&self, orders: &Orders) -> Option<Timestamp> {
        let Some(last) = self
            .last
            .as_ref()
            .filter(|last| last.target == orders.target)
        else {
            return Some(Timestamp::UNIX_EPOCH);
        };
        let once = orders.run_once_at.filter(|at| Some(*at) != last.acted_on);
        let next = match &last.result {
            _ if self.poked => Some(Timestamp::UNIX_EPOCH),
            Ok(_) => orders.rhythm.next(last.at),
            Err(failure) => failure
                .retry_after
                .and_then(|wait| last.at.checked_add(wait).ok()),
        };
        once.into_iter().chain(next).min()
    }

    async fn look(&mut self, orders: &Orders) {
        self.poked = false;
        let began = (self.clock)();
        let before = self.last.take();
        let known = before
            .as_ref()
            .map_or(orders.acted_on, |last| last.acted_on);
        let since = Instant::now();
        let result = self.look_unless_elsewhere(&orders.target).await;
        self.reading.send_replace(None);
        let Some(result) = result else {
            // What is looked for instead is in the new orders.
            self.looker.give_up();
            return;
        };
        let at = (self.clock)();
        let subject = &orders.target.subject;
        self.tally.looked(subject, &result, (at, since.elapsed()));
        let result = result.map_err(|error| {
            tracing::warn!(%error, "the repository could not be synchronised");
            let before = before.and_then(|last| last.result.err());
            self.failure(&error, before, &subject.uid)
        });
        self.last = Some(Last {
            target: orders.target.clone(),
            at,
            acted_on: orders.run_once_at.filter(|at| *at <= began).or(known),
            result,
        });
    }

    /// Returns what became of a look; nothing if it was given up, since it is to be looked elsewhere or with something else.
    async fn look_unless_elsewhere(&mut self, target: &Target) -> Option<Result<Seen, Error>> {
        let (reading, tell) = (&self.reading, &self.tell);
        let progress = |progress| {
            reading.send_replace(Some(progress));
            tell();
        };
        let mut orders = self.orders.clone();
        let elsewhere = async {
            let other = orders.wait_for(|orders| orders.target != *target);
            if other.await.is_err() {
                // Whoever gave the orders is gone, and with it the handle that ends this task.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            result = self.looker.look(target, &progress) => Some(result),
            () = elsewhere => None,
        }
    }

    fn failure(&self, error: &Error, before: Option<Failure>, uid: &str) -> Failure {
        let about = error.is_about_credentials();
        let kind = error.kind();
        let before = before.filter(|before| before.trouble.kind == kind);
        let before = before.map_or(0, |before| before.trouble.tries);
        // A look that asked nobody is no try.
        let asked = !matches!(error, Error::Silent { .. });
        let tries = before.saturating_add(asked.into());
        Failure {
            trouble: Trouble {
                message: error.to_string(),
                kind,
                tries,
            },
            retry_after: patience::wait(error, tries, uid),
            secret: self
                .looker
                .secret_version()
                .filter(|_| about)
                .map(Into::into),
        }
    }

    fn publish(&self, orders: &Orders) {
        let next = self.due(orders);
        let Some(last) = &self.last else { return };
        let outcome = Outcome {
            generation: orders.generation,
            result: last
                .result
                .as_ref()
                .map(Clone::clone)
                .map_err(|failure| failure.trouble.clone()),
            at: last.at,
            next,
            acted_on: last.acted_on,
        };
        let told = self.told.send_if_modified(|known| {
            let new = known.as_ref() != Some(&outcome);
            if new {
                *known = Some(outcome);
            }
            new
        });
        if told {
            (self.tell)();
        }
    }

    /// Waits until it may be time to look, or something else has happened.
    async fn pause(&mut self, due: Option<Timestamp>, now: Timestamp) {
        let wait = due.map_or(NAP, |due| {
            Duration::try_from(due.duration_since(now)).unwrap_or_default()
        });
        tokio::select! {
            ordered = self.orders.changed() => if ordered.is_err() {
                // Whoever gave the orders is gone, and with it the handle that ends this task.
                std::future::pending::<()>().await;
            },
            () = self.poke.notified() => self.poked = true,
            () = sleep(wait.min(NAP)) => self.poked |= self.has_other_secret().await,
        }
    }

    /// Returns whether a Secret that did not open the repository has changed since.
    async fn has_other_secret(&self) -> bool {
        let Some(Last {
            target,
            result: Err(failure),
            ..
        }) = &self.last
        else {
            return false;
        };
        match &failure.secret {
            Some(tried) => self
                .looker
                .secret_now(target)
                .await
                .is_some_and(|now| now != *tried),
            None => false,
        }
    }
}
