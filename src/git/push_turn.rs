//! Turns of pushes into a repository of this machine, one after another, each with a note of what it is about to lock. A
//! lock of Git is a file and outlives whoever made it; the note and its own lock, which the kernel ends with its holder,
//! tell those of a killed process from those of somebody at work. In comes a repository, out goes the turn.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use super::RefEdit;

/// The note, beside the repository's refs; empty while nobody pushes. Git takes no notice of it.
const NOTE: &str = "porch-push";
/// Somebody at work holds a lock for less than this: git's own patience is half of it.
const AT_WORK: Duration = Duration::from_millis(200);

/// A turn, until it is dropped.
pub(super) struct Turn {
    note: File,
}

impl Turn {
    /// Waits for others of our kind, removes the locks of one that was killed, and notes what is going to be locked.
    ///
    /// # Errors
    /// Those of the disk: nothing may be locked then.
    pub(super) fn take(common: &Path, edits: &[RefEdit]) -> io::Result<Self> {
        let options = &mut File::options();
        let mut note = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(common.join(NOTE))?;
        note.lock()?;
        let mut left = String::new();
        note.read_to_string(&mut left)?;
        remove_left(common, &left)?;
        let names: String = edits.iter().map(|edit| edit.name.clone() + "\n").collect();
        note.set_len(0)?;
        note.rewind()?;
        note.write_all(names.as_bytes())?;
        note.sync_data()?;
        Ok(Self { note })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // If it stays, the next turn looks for locks that are not there.
        let _ = self.note.set_len(0);
    }
}

/// Removes the locks that are noted and that nobody works under.
fn remove_left(common: &Path, note: &str) -> io::Result<()> {
    let whole = note.split_inclusive('\n');
    let names: Vec<&str> = whole.filter_map(|line| line.strip_suffix('\n')).collect();
    if names.is_empty() {
        return Ok(());
    }
    let refs = names
        .iter()
        .filter(|name| name.starts_with("refs/") && git2::Reference::is_valid_name(name));
    let locks = refs
        .chain(&["packed-refs"])
        .map(|name| common.join(format!("{name}.lock")));
    let held: Vec<(PathBuf, SystemTime)> = locks
        .filter_map(|lock| changed(&lock).map(|at| (lock, at)))
        .collect();
    if held.is_empty() {
        return Ok(());
    }
    thread::sleep(AT_WORK);
    for (lock, at) in held {
        if changed(&lock) == Some(at) {
            tracing::warn!(lock = %lock.display(), "a killed push left a lock, which is removed");
            fs::remove_file(&lock)?;
        }
    }
    Ok(())
}

fn changed(lock: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(lock).ok()?.modified().ok()
}
