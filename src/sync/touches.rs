//! When to touch the marker: after each list, when a reader asks, and every half minute.
//!
//! In come those occasions; out go touches, one at a time and at most one a second, and their versions for the catalog. A
//! touch that fails is told as a problem and tried again. It knows nothing of the stream but whether its list is complete.

use std::{future, pin::Pin, sync::atomic::Ordering, time::Duration};

use kube_runtime::utils::Backoff;
use tokio::time::Instant;

use super::feed::Parts;
use crate::cache::Version;

/// Between two touches of the marker, whoever asks for them.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Between two touches when nobody asks: moves bookmarks on, and shows that the stream is alive.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);
/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A touch under way.
type Touch<'a> = Pin<Box<dyn Future<Output = Result<Version, String>> + Send + 'a>>;

/// When to touch the marker, and what came of it.
pub(super) struct Touches<'a> {
    feed: &'a Parts,
    /// Whether the stream's list is complete: a touch before that proves nothing.
    pub listed: bool,
    /// The touch under way.
    touch: Option<Touch<'a>>,
    /// When the last one began.
    last: Option<Instant>,
    /// When the next one begins, unless a reader asks for it sooner.
    due: Option<Instant>,
    /// Whether the next one is for nobody in particular: another replica can do that.
    routine: bool,
    pause: Pause,
}

impl<'a> Touches<'a> {
    pub fn new(feed: &'a Parts) -> Self {
        Self {
            feed,
            listed: false,
            touch: None,
            last: None,
            due: None,
            routine: false,
            pause: Pause::default(),
        }
    }

    /// Stops touching, and forgets the one under way: it was for a stream that is no more.
    pub fn stop(&mut self) {
        self.listed = false;
        self.touch = None;
        self.due = None;
    }

    /// Touches now, for a stream whose list is complete.
    pub fn start(&mut self) {
        self.listed = true;
        self.due = Some(Instant::now());
        self.routine = false;
    }

    /// Touches as soon as may be.
    pub fn hurry(&mut self) {
        let soonest = self
            .last
            .map_or_else(Instant::now, |last| last + AT_MOST_EVERY);
        self.due = Some(self.due.map_or(soonest, |due| due.min(soonest)));
        self.routine = false;
    }

    /// Does the next thing that there is to do: begins a touch, or takes its answer. Safe to cancel.
    pub async fn next(&mut self) {
        if !self.listed {
            return future::pending().await;
        }
        if let Some(touch) = &mut self.touch {
            let answer = touch.await;
            self.touch = None;
            self.take(answer);
            return;
        }
        tokio::select! {
            () = at(self.due) => self.begin(),
            () = self.feed.catalog.wanted() => self.hurry(),
        }
    }

    fn begin(&mut self) {
        let idle = self.routine && !self.feed.keeping.load(Ordering::Relaxed);
        if idle {
            self.due = Some(Instant::now() + AT_LEAST_EVERY);
            return;
        }
        self.last = Some(Instant::now());
        self.touch = Some(Box::pin(self.feed.marker.touch()));
    }

    fn take(&mut self, answer: Result<Version, String>) {
        self.routine = answer.is_ok();
        match answer {
            Ok(version) => {
                self.pause.reset();
                self.tell(None);
                self.feed.catalog.touched(version);
                self.expect(version);
                self.due = Some(Instant::now() + AT_LEAST_EVERY);
            }
            Err(problem) => {
                self.tell(Some(problem));
                self.due = self.pause.next().map(|pause| Instant::now() + pause);
            }
        }
    }

    /// Notes a version that the stream is to bring, unless an older one is awaited still.
    fn expect(&self, version: Version) {
        let seen = self.feed.catalog.seen();
        let mut problems = self.feed.problems();
        if problems.awaited.is_none_or(|(older, _)| older <= seen) {
            problems.awaited = Some((version, Instant::now()));
        }
    }

    fn tell(&self, problem: Option<String>) {
        let mut problems = self.feed.problems();
        if problems.marker != problem {
            if let Some(problem) = &problem {
                tracing::warn!(%problem);
            }
            problems.marker = problem;
        }
    }
}

/// Waits until a moment; without one, for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => future::pending().await,
    }
}

/// Pauses after failures: a fifth of a second, then twice as long each time, up to [`LONGEST_PAUSE`].
#[derive(Default)]
pub(super) struct Pause {
    failures: u32,
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(200 << self.failures.min(6));
        self.failures += 1;
        Some(pause.min(LONGEST_PAUSE))
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {
        self.failures = 0;
    }
}
