//! Functions outside of this program: executables on this machine, and a function runner that is called over gRPC.
//!
//! In comes an image with a `ResourceList` as text, out comes the text that the function answered and what it said besides. What it
//! says is not understood here, and not believed: time, memory and every answer are bounded. The only part of this room that starts
//! processes and uses the network.

mod confine;
#[cfg(target_os = "linux")]
mod enclosure;
mod executables;
mod image;
mod message;
mod run;
mod runner;
mod scratch;

pub use confine::Confines;
pub use executables::Executables;
pub use message::{EvaluateFunctionRequest, EvaluateFunctionResponse, PATH};
pub use runner::{Runner, RunnerLimits};

/// What a function answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluated {
    /// The `ResourceList` that it gave back, as it wrote it.
    pub list: String,
    /// What it said besides, cut where it says too much.
    pub log: String,
}

/// Why a function elsewhere gave no answer, by what can be done next. Every one tells the image in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElsewhereError {
    /// Nobody there knows the function: ask another.
    #[error("{0}")]
    NotFound(String),
    /// The runner can't be reached, or went away while it worked: try again.
    #[error("{0}")]
    Unavailable(String),
    /// It took longer than it may.
    #[error("{0}")]
    TimedOut(String),
    /// What was given to it, or what it answered, is more than may be.
    #[error("{0}")]
    TooLarge(String),
    /// The function failed, or what runs it.
    #[error("{words}")]
    Failed {
        /// Why.
        words: String,
        /// The `ResourceList` that it gave back nevertheless, with its results.
        list: Option<String>,
        /// What it said besides, if that is known.
        log: String,
        /// The status that its process ended with, if that is known.
        exit_code: Option<i32>,
    },
}

impl ElsewhereError {
    /// Returns a failure that has no list.
    fn failed(words: String) -> Self {
        Self::Failed {
            words,
            list: None,
            log: String::new(),
            exit_code: None,
        }
    }
}
