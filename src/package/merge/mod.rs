//! Three-way merge: what changed from an origin to its update, put into a local text that changed too.
//!
//! The local text is changed in place, so its comments, order and quotes stay; where both sides changed the same thing, upstream
//! wins. Values and texts in, texts out.

mod document;
mod fields;
mod file;
mod kptfile;
mod lists;

use super::{MOST_BYTES_OF_FILE, upgrade::UpgradeError};

pub(super) use document::is_same;
pub(super) use file::{merge_file, merge_whole};
pub(super) use kptfile::{is_same_kptfile, merge_kptfile, without_render};

/// Three versions of one thing, each of which may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Versions<T> {
    /// What both others were made from.
    pub origin: Option<T>,
    /// What upstream made of it.
    pub updated: Option<T>,
    /// What was made of it here.
    pub local: Option<T>,
}

impl<T: PartialEq> Versions<T> {
    /// Returns what the merge is: of a thing that at most one side changed, or both in the same way.
    ///
    /// # Errors
    /// The three as they are, if the merge has to look inside.
    fn settled(self) -> Result<Option<T>, Self> {
        if self.origin == self.updated || self.local == self.updated {
            return Ok(self.local);
        }
        if self.local == self.origin {
            return Ok(self.updated);
        }
        Err(self)
    }

    /// Returns the same parts of the three.
    pub(super) fn map<U>(self, part: impl Fn(T) -> Option<U>) -> Versions<U> {
        Versions {
            origin: self.origin.and_then(&part),
            updated: self.updated.and_then(&part),
            local: self.local.and_then(&part),
        }
    }

    /// Returns the three, lent.
    fn as_ref(&self) -> Versions<&T> {
        Versions {
            origin: self.origin.as_ref(),
            updated: self.updated.as_ref(),
            local: self.local.as_ref(),
        }
    }

    /// Returns those that are there: the local one, the origin, the updated one.
    fn present(&self) -> impl Iterator<Item = &T> {
        let all = [&self.local, &self.origin, &self.updated];
        all.into_iter().flatten()
    }
}

/// Returns the text of a file; one that is larger than anybody may send is not read.
fn text_of<'a>(path: &str, content: &'a [u8]) -> Result<&'a str, UpgradeError> {
    if content.len() > MOST_BYTES_OF_FILE {
        let why = format!("it has more than {MOST_BYTES_OF_FILE} bytes");
        return Err(UpgradeError::unreadable(path, &why));
    }
    std::str::from_utf8(content).map_err(|_| UpgradeError::unreadable(path, &"it is not UTF-8"))
}
