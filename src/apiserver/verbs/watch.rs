//! Every change after a version, as it happens.
//!
//! A watch holds a place in the history and no queue: it is pulled by its reader, one too slow falls off the end and is
//! told `410` in the stream, and one that is gone is dropped with its body.

use std::{sync::Arc, time::Duration, vec};

use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Ask, PATIENCE, caught_up};
use crate::{
    apiserver::{
        Failure, Problem, Resource, Told,
        answer::{Answer, PIECE},
        limits::Seat,
        metrics::Watched,
        query::ListOptions,
        selection::Selection,
        view::{Writing, failure},
    },
    cache::{Batch, Change, Expired, Follower, Version},
};

/// How long a watch lasts that does not say, in seconds; as long again at most, so that all do not end at once.
const LASTING: u64 = 1800;
/// How often a reader hears of the version though nothing changed.
const BOOKMARKS: Duration = Duration::from_mins(1);
/// How long before its end a watch tells the version, so that the next begins there.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a watch is given by the server.
pub(in crate::apiserver) struct Watching {
    /// Ends all watches.
    pub(in crate::apiserver) stop: CancellationToken,
    /// Counts this one while it lasts, and its events.
    pub(in crate::apiserver) watched: Watched,
    /// Its place among the watches.
    #[expect(dead_code, reason = "it is held, and given back with the watch")]
    pub(in crate::apiserver) seat: Seat,
}

/// Returns the changes that the request chooses, without end but for the time that it sets.
pub(in crate::apiserver) async fn watch<R: Resource>(
    resource: Arc<R>,
    ask: Ask,
    watching: Watching,
) -> Result<Answer, Failure> {
    let options = ask.query.list_options(true)?;
    let selection = Selection::parse(&*resource, &ask.place.namespace, &options)?;
    let begin = beginning(&options);
    let waits = matches!(begin, Begin::State { .. });
    caught_up(&resource, options.version.filter(|_| waits)).await?;
    let lasting = options.timeout.unwrap_or_else(|| {
        let spread = Uuid::new_v4().as_u64_pair().0 % LASTING;
        Duration::from_secs(LASTING + spread)
    });
    let deadline = Instant::now() + lasting;
    let mut events = Events {
        writing: Writing {
            resource,
            view: ask.format.view,
        },
        selection,
        watching,
        deadline,
        bookmark: options.bookmarks.then(|| next_bookmark(deadline)),
        columns: true,
        phase: Phase::Over,
    };
    events.phase = events.begin(&begin);
    let stream = stream::unfold(events, |mut events| async move {
        let piece = events.piece().await?;
        Some((Ok(piece), events))
    });
    Ok(Answer::Events(stream.boxed()))
}

/// Where a watch begins.
enum Begin {
    /// With everything there is; `marked` says whether the end of that is told.
    State { marked: bool },
    /// After a version.
    After(Version),
    /// After whatever is newest.
    Now,
}

fn beginning(options: &ListOptions) -> Begin {
    let version = options.version.filter(|version| *version > Version(0));
    match (options.send_initial, version) {
        (Some(true), _) => Begin::State {
            marked: options.bookmarks,
        },
        (None, None) => Begin::State { marked: false },
        (Some(false), None) => Begin::Now,
        (_, Some(version)) => Begin::After(version),
    }
}

fn next_bookmark(deadline: Instant) -> Instant {
    let jitter = Duration::from_millis(Uuid::new_v4().as_u64_pair().0 % 5000);
    let farewell = deadline.checked_sub(FAREWELL).unwrap_or(deadline);
    let next = Instant::now() + BOOKMARKS - jitter;
    if farewell > Instant::now() {
        next.min(farewell)
    } else {
        next
    }
}

/// What a watch is about to do.
enum Phase<T> {
    /// Telling what was there when it began.
    State {
        objects: vec::IntoIter<Arc<T>>,
        follower: Follower<T>,
        marked: bool,
    },
    /// Waiting for a version that was not seen yet.
    Ahead(Version),
    /// Telling what changes; some of it may have been handed out, and not told yet.
    Live {
        follower: Follower<T>,
        pending: vec::IntoIter<Arc<Change<T>>>,
    },
    /// Telling why it ends.
    Failing(Failure),
    /// Nothing more.
    Over,
}

/// One watch.
struct Events<R: Resource> {
    writing: Writing<R>,
    selection: Selection,
    watching: Watching,
    deadline: Instant,
    /// When the next bookmark is due, for those who want them.
    bookmark: Option<Instant>,
    /// Whether a table's columns are still to be told.
    columns: bool,
    phase: Phase<R::Object>,
}

/// What a live watch has to tell next.
enum Next<T> {
    Changes(Result<Batch<T>, Expired>),
    Bookmark,
    End,
}

impl<R: Resource> Events<R> {
    fn begin(&self, begin: &Begin) -> Phase<R::Object> {
        let store = self.writing.resource.store();
        match *begin {
            Begin::Now => self.follow(store.version()),
            Begin::After(version) if version > store.version() => Phase::Ahead(version),
            Begin::After(version) => self.follow(version),
            Begin::State { marked } => {
                let snapshot = store.snapshot();
                let objects: Vec<_> = snapshot
                    .objects
                    .values()
                    .filter(|object| self.selection.matches(object.as_ref()))
                    .cloned()
                    .collect();
                match store.follow(snapshot.version) {
                    Ok(follower) => Phase::State {
                        objects: objects.into_iter(),
                        follower,
                        marked,
                    },
                    Err(expired) => Phase::Failing(too_old(expired)),
                }
            }
        }
    }

    fn follow(&self, version: Version) -> Phase<R::Object> {
        match self.writing.resource.store().follow(version) {
            Ok(follower) => live(follower, Vec::new()),
            Err(expired) => Phase::Failing(too_old(expired)),
        }
    }

    /// Returns the next events; nothing when the watch is over. What is lost when this is dropped, nobody waited for.
    async fn piece(&mut self) -> Option<Bytes> {
        loop {
            let mut out = BytesMut::new();
            let phase = std::mem::replace(&mut self.phase, Phase::Over);
            self.phase = match self.step(phase, &mut out).await {
                Ok(phase) => phase,
                Err(problem) => Phase::Failing(failure(self.writing.resource.kind(), problem)),
            };
            if !out.is_empty() {
                return Some(out.freeze());
            }
            if matches!(self.phase, Phase::Over) {
                return None;
            }
        }
    }

    async fn step(
        &mut self,
        phase: Phase<R::Object>,
        out: &mut BytesMut,
    ) -> Result<Phase<R::Object>, Problem> {
        Ok(match phase {
            Phase::State {
                mut objects,
                follower,
                marked,
            } => {
                while out.len() < PIECE
                    && let Some(object) = objects.next()
                {
                    self.event("ADDED", &object, out).await?;
                }
                if !objects.as_slice().is_empty() {
                    return Ok(Phase::State {
                        objects,
                        follower,
                        marked,
                    });
                }
                if marked {
                    self.mark(follower.version(), true, out);
                }
                live(follower, Vec::new())
            }
            Phase::Ahead(version) => self.wait(version).await,
            Phase::Live {
                follower,
                mut pending,
            } => {
                while out.len() < PIECE
                    && let Some(change) = pending.next()
                {
                    self.change(&change, out).await?;
                }
                if !out.is_empty() || !pending.as_slice().is_empty() {
                    return Ok(Phase::Live { follower, pending });
                }
                self.go_on(follower, out).await
            }
            Phase::Failing(failure) => {
                fail(&failure, out);
                Phase::Over
            }
            Phase::Over => Phase::Over,
        })
    }

    /// Waits for whatever is next once everything known was told.
    async fn go_on(
        &mut self,
        mut follower: Follower<R::Object>,
        out: &mut BytesMut,
    ) -> Phase<R::Object> {
        match self.next(&mut follower).await {
            Next::End => Phase::Over,
            Next::Changes(Err(expired)) => Phase::Failing(too_old(expired)),
            Next::Changes(Ok(batch)) => live(follower, batch.changes),
            Next::Bookmark => {
                self.mark(follower.version(), false, out);
                self.bookmark = Some(next_bookmark(self.deadline));
                live(follower, Vec::new())
            }
        }
    }

    async fn wait(&self, version: Version) -> Phase<R::Object> {
        let resource = &self.writing.resource;
        tokio::select! {
            () = self.watching.stop.cancelled() => Phase::Over,
            () = tokio::time::sleep_until(self.deadline) => Phase::Over,
            waited = resource.wait_for(version, PATIENCE) => match waited {
                Ok(()) => self.follow(version),
                Err(_) => Phase::Failing(too_old(Expired {
                    asked: version,
                    oldest: resource.store().version(),
                })),
            },
        }
    }

    async fn next(&self, follower: &mut Follower<R::Object>) -> Next<R::Object> {
        let bookmark = self.bookmark.unwrap_or(self.deadline);
        tokio::select! {
            biased;
            () = self.watching.stop.cancelled() => Next::End,
            () = tokio::time::sleep_until(self.deadline) => Next::End,
            () = tokio::time::sleep_until(bookmark), if self.bookmark.is_some() => Next::Bookmark,
            batch = follower.next() => Next::Changes(batch),
        }
    }

    /// Writes what a change is to this reader: an object that comes into the selection is added, one that leaves it is
    /// deleted, and what happens outside does not happen.
    async fn change(
        &mut self,
        change: &Change<R::Object>,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        let chosen = |object: &Arc<R::Object>| self.selection.matches(object.as_ref());
        let was = change.was.as_ref().is_some_and(chosen);
        let is = change.is.as_ref().filter(|object| chosen(object));
        match (was, is) {
            (false, Some(object)) => self.event("ADDED", object, out).await,
            (true, Some(object)) => self.event("MODIFIED", object, out).await,
            (true, None) => match change.last() {
                Some(object) => self.event("DELETED", object, out).await,
                None => Ok(()),
            },
            (false, None) => Ok(()),
        }
    }

    async fn event(
        &mut self,
        type_: &str,
        object: &Arc<R::Object>,
        out: &mut BytesMut,
    ) -> Result<(), Problem> {
        let before = out.len();
        open(type_, out);
        let columns = std::mem::take(&mut self.columns);
        let written = self.writing.single(object, columns, out).await;
        if written.is_err() {
            out.truncate(before);
        }
        written?;
        out.put_slice(b"}\n");
        self.watching.watched.event(out.len() - before);
        Ok(())
    }

    fn mark(&mut self, version: Version, initial: bool, out: &mut BytesMut) {
        let annotations = initial.then(|| json!({ "k8s.io/initial-events-end": "true" }));
        open("BOOKMARK", out);
        let columns = std::mem::take(&mut self.columns);
        self.writing.bookmark(version, annotations, columns, out);
        out.put_slice(b"}\n");
    }
}

fn live<T>(follower: Follower<T>, changes: Vec<Arc<Change<T>>>) -> Phase<T> {
    Phase::Live {
        follower,
        pending: changes.into_iter(),
    }
}

fn open(type_: &str, out: &mut BytesMut) {
    out.put_slice(b"{\"type\":\"");
    out.put_slice(type_.as_bytes());
    out.put_slice(b"\",\"object\":");
}

fn fail(failure: &Failure, out: &mut BytesMut) {
    if let Failure::Internal(why) = failure {
        tracing::error!(%why, "watch failed");
    }
    open("ERROR", out);
    out.put_slice(Told::from(failure).to_json().to_string().as_bytes());
    out.put_slice(b"}\n");
}

fn too_old(expired: Expired) -> Failure {
    Failure::Expired {
        message: expired.to_string(),
        continue_token: None,
    }
}
