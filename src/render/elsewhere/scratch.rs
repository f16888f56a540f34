//! An empty directory for one run of a function, gone with it.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// A directory of its own, removed with all that is in it when this is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Returns a new directory below another; nobody else may look into it.
    ///
    /// # Errors
    /// If it can't be made.
    pub(super) fn below(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("function-{}", uuid::Uuid::new_v4()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "what a function left behind can't be removed");
        }
    }
}
