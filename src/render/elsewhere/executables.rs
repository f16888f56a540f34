//! Functions that are executables in a directory of this machine, as upstream's exec evaluator runs them.
//!
//! Who puts files into the directory decides what runs with this server's user. A function is kept from the network, from memory and
//! time beyond its limits and from this process; it can read what that user can read.

use std::{
    io,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use serde_json::Value;
use tokio::fs;

use super::{
    Confines, ElsewhereError, Evaluated,
    image::file_names,
    run::{Cut, Ended, run},
    scratch::Scratch,
};
use crate::yaml;

/// A directory of executables, one for each function.
#[derive(Clone, Debug)]
pub struct Executables {
    /// Where they are, without symbolic links.
    directory: PathBuf,
    /// Where each run gets an empty directory.
    scratch: PathBuf,
    confines: Confines,
}

impl Executables {
    /// Returns the executables of a directory. A function `…/NAME:TAG` is the file `NAME@TAG`, or else `NAME`; symbolic links may lead
    /// to files in the directory, and nowhere else. Below `scratch` each run gets an empty directory to work in.
    ///
    /// # Errors
    /// If one of the directories is not there.
    pub fn new(directory: &Path, scratch: &Path, confines: Confines) -> io::Result<Self> {
        Ok(Self {
            directory: directory.canonicalize()?,
            scratch: scratch.canonicalize()?,
            confines,
        })
    }

    /// Returns what a function made of a `ResourceList`. When the caller goes away, all its processes are killed.
    ///
    /// # Errors
    /// [`ElsewhereError`]: there is no such file, it took or answered too much, or it ended with another status than 0.
    pub async fn evaluate(&self, image: &str, list: String) -> Result<Evaluated, ElsewhereError> {
        self.run_file(image, self.find(image).await, list).await
    }

    /// Returns the same of the executable at a path in the directory, whatever the image is called.
    ///
    /// # Errors
    /// Those of [`Executables::evaluate`].
    pub async fn evaluate_at(
        &self,
        path: &str,
        image: &str,
        list: String,
    ) -> Result<Evaluated, ElsewhereError> {
        self.run_file(image, self.file(path).await, list).await
    }

    /// Returns whether there is an executable for an image.
    pub async fn knows(&self, image: &str) -> bool {
        self.find(image).await.is_some()
    }

    /// Returns whether there is an executable at a path in the directory.
    pub async fn has(&self, path: &str) -> bool {
        self.file(path).await.is_some()
    }

    async fn run_file(
        &self,
        image: &str,
        file: Option<PathBuf>,
        list: String,
    ) -> Result<Evaluated, ElsewhereError> {
        let not_found = || ElsewhereError::NotFound(format!("function {image:?} not found"));
        let file = file.ok_or_else(not_found)?;
        let scratch = Scratch::below(&self.scratch).map_err(|error| broken(image, &error))?;
        match run(&file, scratch.path(), &list, self.confines).await {
            Ok(ended) => judge(image, ended),
            Err((cut, log)) => Err(self.told(image, &cut, log.trim_end())),
        }
    }

    /// Returns the file of an image.
    async fn find(&self, image: &str) -> Option<PathBuf> {
        for name in file_names(image) {
            let found = self.file(&name).await;
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Returns the file at a path: there, a file, executable, and not outside of the directory.
    async fn file(&self, path: &str) -> Option<PathBuf> {
        let path = fs::canonicalize(self.directory.join(path)).await.ok()?;
        let metadata = fs::metadata(&path).await.ok()?;
        let is_executable = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
        (is_executable && path.starts_with(&self.directory)).then_some(path)
    }

    fn told(&self, image: &str, cut: &Cut, log: &str) -> ElsewhereError {
        let Confines { time, answer, .. } = self.confines;
        let said = match log {
            "" => String::new(),
            log => format!(" ({log})"),
        };
        match cut {
            Cut::TimedOut => ElsewhereError::TimedOut(format!(
                "function {image:?} did not end within {} seconds{said}",
                time.as_secs_f32()
            )),
            Cut::TooLarge => ElsewhereError::TooLarge(format!(
                "function {image:?} answered with more than {answer} bytes{said}"
            )),
            Cut::Io(error) => broken(image, error),
        }
    }
}

fn broken(image: &str, error: &io::Error) -> ElsewhereError {
    ElsewhereError::failed(format!("failed to execute function {image:?}: {error}"))
}

fn judge(image: &str, ended: Ended) -> Result<Evaluated, ElsewhereError> {
    let Ended {
        status,
        answer,
        log,
    } = ended;
    let list = String::from_utf8(answer);
    if !status.success() {
        let words = format!(
            "failed to execute function {image:?}: {} ({})",
            shown(status),
            log.trim_end()
        );
        return Err(ElsewhereError::Failed {
            words,
            list: list.ok().filter(|text| is_list(text)),
            log,
            exit_code: status.code(),
        });
    }
    let Ok(list) = list else {
        let words = format!("failed to parse the output of function {image:?}: it is not UTF-8");
        return Err(ElsewhereError::Failed {
            words,
            list: None,
            log,
            exit_code: status.code(),
        });
    };
    Ok(Evaluated { list, log })
}

/// Returns how a process ended, in the words of Go.
fn shown(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (_, Some(signal)) => format!("killed by signal {signal}"),
        _ => status.to_string(),
    }
}

fn is_list(text: &str) -> bool {
    let kind = |value: Value| value.get("kind").is_some_and(|kind| kind == "ResourceList");
    yaml::from_str(text).is_ok_and(kind)
}
