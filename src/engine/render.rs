//! Rendering, as a write needs it, and what else is heavy: off the threads that answer others, so many at once, and given up with its
//! request. In come files that are to be stored, out come these files as their pipelines leave them.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::Semaphore, time::timeout_at};

use super::{Call, Engine, Error, report::Report};
use crate::{
    package::{Files, KPTFILE, Violation, has_pipeline},
    render::{self, Audience, Functions, Options, Rendered},
    yaml,
};

/// Files of fewer bytes are worked on where they are: to go aside takes longer.
const LIGHT: usize = 256 << 10;

/// Who renders; clones share it.
#[derive(Clone)]
pub struct Renderer {
    functions: Arc<Functions>,
    /// What is counted of functions.
    tally: render::Tally,
    /// What stands before an image that has no home.
    prefix: Arc<str>,
    /// How long a function of this program may take.
    limit: Duration,
    /// So many render at once; a heavy package delays only those that wait with it.
    turns: Arc<Semaphore>,
}

impl Renderer {
    /// Returns one that has these functions, for so many renders at once; `prefix` stands before an image that
    /// has no home.
    #[must_use]
    pub fn new(functions: Functions, prefix: &str, at_once: usize) -> Self {
        Self {
            tally: functions.tally().clone(),
            functions: Arc::new(functions),
            prefix: prefix.into(),
            limit: Options::default().limit,
            turns: Arc::new(Semaphore::new(at_once)),
        }
    }
}

impl Renderer {
    /// Returns the functions, for somebody to say which images stand for which.
    #[must_use]
    pub fn functions(&self) -> Arc<Functions> {
        self.functions.clone()
    }

    /// Returns the same, in which each function of this program may take so long.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Returns what is counted of functions.
    #[must_use]
    pub fn tally(&self) -> &render::Tally {
        &self.tally
    }

    fn render(&self, files: &Files, audience: Audience) -> Rendered {
        let options = Options {
            image_prefix: &self.prefix,
            audience,
            limit: self.limit,
        };
        render::render(files, &self.functions.current(), &options)
    }
}

impl Engine {
    /// Renders files.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::Internal`]. That a pipeline fails is none: what is rendered says so.
    pub(super) async fn render(&self, files: Files, call: &Call) -> Result<Rendered, Error> {
        let renderer = self.means().renderer.clone();
        let audience = Audience::default();
        // Dropped with this request: whoever runs then is told that nobody waits.
        let _leaves = audience.guard();
        if is_light([&files]) && has_pipeline(&files).is_none() {
            return Ok(renderer.render(&files, audience));
        }
        let work = move || renderer.render(&files, audience);
        self.aside(work, call).await
    }

    /// Returns what work on files comes to, which is done where it is if it is light, else as by [`Engine::aside`].
    ///
    /// # Errors
    /// As [`Engine::aside`].
    pub(super) async fn weighed<T: Send + 'static>(
        &self,
        is_light: bool,
        work: impl FnOnce() -> T + Send + 'static,
        call: &Call,
    ) -> Result<T, Error> {
        if is_light {
            return Ok(work());
        }
        self.aside(work, call).await
    }

    /// Returns what heavy work comes to, which is done off the threads that answer others, when it is its turn.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::Internal`].
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        call: &Call,
    ) -> Result<T, Error> {
        let turns = self.means().renderer.turns.clone();
        let turn = timeout_at(call.deadline, turns.acquire_owned()).await;
        let turn = turn
            .map_err(|_| Error::TimedOut)?
            .expect("nobody closes it");
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        let done = timeout_at(call.deadline, work).await;
        let done = done.map_err(|_| Error::TimedOut)?;
        done.map_err(|broken| Error::Internal(broken.to_string()))
    }

    /// Renders files that are stored only as their pipelines leave them.
    ///
    /// # Errors
    /// What a failed pipeline says, about this field; every error of [`Engine::render`].
    pub(super) async fn rendered(
        &self,
        files: Files,
        (name, field): (&str, &str),
        call: &Call,
    ) -> Result<(Files, Report), Error> {
        let rendered = self.render(files, call).await?;
        match rendered.error {
            Some(why) => Err(failed(name, field, NOT_PUSHED, &why)),
            None => Ok((rendered.files, Report::of(&rendered.steps, None))),
        }
    }
}

/// Returns whether work on files is light.
pub(super) fn is_light<'a>(files: impl IntoIterator<Item = &'a Files>) -> bool {
    let contents = files.into_iter().flat_map(Files::values);
    contents.map(Vec::len).sum::<usize>() < LIGHT
}

/// Returns whether files differ in what the last render reported in their Kptfile, if in anything.
pub(super) fn only_reports(one: &Files, other: &Files) -> bool {
    let kptfile = |files: &Files| {
        let content = files.get(KPTFILE).map(Vec::as_slice).unwrap_or_default();
        let text = String::from_utf8_lossy(content).into_owned();
        let mut kptfile: Value = yaml::from_str(&text).unwrap_or(Value::String(text));
        if let Some(status) = kptfile.get_mut("status").and_then(Value::as_object_mut) {
            status.remove("renderStatus");
        }
        kptfile
    };
    others(one).eq(others(other)) && kptfile(one) == kptfile(other)
}

/// Returns the files but for the Kptfile of the package.
fn others(files: &Files) -> impl Iterator<Item = (&String, &Vec<u8>)> {
    files.iter().filter(|(path, _)| *path != KPTFILE)
}

/// What became of the files of a failed render (upstream's words).
pub(super) const NOT_PUSHED: &str =
    "Package NOT pushed to remote. Fix locally (until 'kpt fn render' succeeds) and retry.";
/// What became of them if their owner wants them stored all the same (upstream's words).
pub(super) const PUSHED: &str = "Package pushed to remote despite render failure.";

/// Returns that a pipeline failed: it is the package that must be changed.
pub(super) fn failed(name: &str, field: &str, fate: &str, why: &str) -> Error {
    let why = format!("error rendering package in kpt function pipeline. {fate} Details: {why}");
    Error::Invalid {
        name: name.into(),
        violations: vec![Violation::forbidden(field, why)],
    }
}
