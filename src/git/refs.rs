//! The refs of a repository at one moment. Names in here were checked: they can stand in a file of refs.

use std::collections::BTreeMap;

use super::{Error, layout::Scope};

/// What a ref points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefTarget {
    /// Id of the object, 40 hexadecimal digits: a commit, or the tag object of an annotated tag.
    pub id: String,
    /// Id of the commit; the same as `id` where nothing had to be peeled.
    pub commit: String,
}

/// Branches and tags by their full names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    targets: BTreeMap<String, RefTarget>,
}

impl Refs {
    /// Returns what a ref points at.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RefTarget> {
        self.targets.get(name)
    }

    /// Returns whether there is such a ref.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.targets.contains_key(name)
    }

    /// Returns all refs, ordered by name.
    #[must_use = "an iterator does nothing by itself"]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &RefTarget)> {
        self.targets
            .iter()
            .map(|(name, target)| (name.as_str(), target))
    }

    /// Returns how many refs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Returns the head of the registered branch.
    ///
    /// # Errors
    /// [`Error::BranchMissing`].
    pub fn head(&self, scope: &Scope) -> Result<&RefTarget, Error> {
        let branch = scope.branch.clone();
        self.get(&scope.branch_ref())
            .ok_or(Error::BranchMissing { branch })
    }

    /// Returns the refs that Porch looks at: the registered branch, drafts, proposals, deletion proposals and tags.
    #[must_use]
    pub fn relevant(mut self, scope: &Scope) -> Self {
        let main = scope.branch_ref();
        let places = [
            "refs/tags/",
            "refs/heads/drafts/",
            "refs/heads/proposed/",
            "refs/heads/deletionProposed/",
        ];
        let wanted =
            |name: &str| name == main || places.iter().any(|place| name.starts_with(place));
        self.targets.retain(|name, _| wanted(name));
        self
    }

    /// Takes in a ref, unless its name or its ids are none that Git allows: those are left out, as a repository cannot
    /// hold them. Only branches and tags are taken.
    pub(super) fn insert(&mut self, name: &str, id: &str, commit: Option<&str>) {
        let place = name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
        let commit = commit.unwrap_or(id);
        if place && git2::Reference::is_valid_name(name) && is_id(id) && is_id(commit) {
            let target = RefTarget {
                id: id.into(),
                commit: commit.into(),
            };
            self.targets.insert(name.into(), target);
        }
    }

    /// Gives a ref that was taken in the commit behind its tag object.
    pub(super) fn peel(&mut self, name: &str, commit: &str) {
        if let (Some(target), true) = (self.targets.get_mut(name), is_id(commit)) {
            target.commit = commit.into();
        }
    }
}

impl<'a> FromIterator<(&'a str, RefTarget)> for Refs {
    /// Takes in what Git allows, as from a server.
    fn from_iter<I: IntoIterator<Item = (&'a str, RefTarget)>>(refs: I) -> Self {
        let mut all = Self::default();
        for (name, target) in refs {
            all.insert(name, &target.id, Some(&target.commit));
        }
        all
    }
}

/// Returns whether this is an object id: 40 lowercase hexadecimal digits.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 40
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
