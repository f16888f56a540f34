//! Rendering, as a write needs it: off the threads that answer others, so many at once, and given up with its request. In
//! come files that are to be stored, out come these files as their pipelines leave them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::Value;
use tokio::{sync::Semaphore, time::timeout_at};

use super::{Call, Engine, Error};
use crate::{
    package::{Files, KPTFILE, Violation, has_pipeline},
    render::{self, Functions, Options, Rendered},
    yaml,
};

/// Who renders; clones share it.
#[derive(Clone)]
pub struct Renderer {
    functions: Arc<Functions>,
    /// What is counted of functions.
    tally: render::Tally,
    /// What stands before an image that has no home.
    prefix: Arc<str>,
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

    /// Returns what is counted of functions.
    #[must_use]
    pub fn tally(&self) -> &render::Tally {
        &self.tally
    }

    fn render(&self, files: &Files, is_cancelled: &dyn Fn() -> bool) -> Rendered {
        let options = Options {
            image_prefix: &self.prefix,
            is_cancelled,
        };
        render::render(files, &self.functions.current(), &options)
    }
}

/// Stops a render when whoever waits for it has gone.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Engine {
    /// Renders files.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::Internal`]. That a pipeline fails is none: what is rendered says so.
    pub(super) async fn render(&self, files: Files, call: &Call) -> Result<Rendered, Error> {
        let renderer = self.means().renderer.clone();
        if has_pipeline(&files).is_none() {
            return Ok(renderer.render(&files, &|| false));
        }
        let turn = timeout_at(call.deadline, renderer.turns.clone().acquire_owned()).await;
        let turn = turn
            .map_err(|_| Error::TimedOut)?
            .expect("nobody closes it");
        let stopped = Arc::new(AtomicBool::new(false));
        let _stop = Stop(stopped.clone());
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            renderer.render(&files, &|| stopped.load(Ordering::Relaxed))
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
    ) -> Result<Files, Error> {
        let rendered = self.render(files, call).await?;
        match rendered.error {
            Some(why) => Err(failed(name, field, NOT_PUSHED, &why)),
            None => Ok(rendered.files),
        }
    }
}

/// Returns whether files differ in what the last render reported in their Kptfile, if in anything.
pub(super) fn only_reports(one: &Files, other: &Files) -> bool {
    let rest = |files: &Files| {
        let mut files = files.clone();
        let kptfile = files.remove(KPTFILE).unwrap_or_default();
        let text = String::from_utf8_lossy(&kptfile).into_owned();
        let mut kptfile: Value = yaml::from_str(&text).unwrap_or(Value::String(text));
        if let Some(status) = kptfile.get_mut("status").and_then(Value::as_object_mut) {
            status.remove("renderStatus");
        }
        (files, kptfile)
    };
    rest(one) == rest(other)
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
