//! What becomes of those who depend on an object that goes, and who holds the object until then (meta/v1
//! `DeletionPropagation` and its finalizers).

/// The finalizer of an object that waits for its dependents to go.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents are to be set free first.
pub const ORPHAN: &str = "orphan";

/// What becomes of those who depend on an object that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay.
    Orphan,
}

impl Propagation {
    /// Returns who holds an object with these finalizers once it is to go, if the caller says so what becomes of its
    /// dependents: the finalizers of others, and the one that the garbage collector takes away when it is done.
    #[must_use]
    pub fn holders<'a>(
        said: Option<Self>,
        finalizers: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let now: Vec<&str> = finalizers.into_iter().collect();
        let ours = match said {
            Some(Self::Background) => None,
            Some(Self::Foreground) => Some(FOREGROUND),
            Some(Self::Orphan) => Some(ORPHAN),
            None => [ORPHAN, FOREGROUND]
                .into_iter()
                .find(|ours| now.contains(ours)),
        };
        let others = now
            .into_iter()
            .filter(|name| ![ORPHAN, FOREGROUND].contains(name));
        others.chain(ours).map(String::from).collect()
    }
}
