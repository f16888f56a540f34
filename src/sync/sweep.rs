//! What is read of a repository at once, when there is much of it: whole packages, so that what is written of one is right
//! at once, and each part before the next, so that users see it while the rest is read. In come the refs that must be read,
//! out go those whose turn it is. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::git::{RefKind, Refs, Scope, classify};

/// How many refs are read at once, about; of very many a part of them, since each part costs a look at all.
const PART: usize = 500;
const PARTS: usize = 10;

/// How far the reading of a repository has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many revisions were read.
    pub read: usize,
    /// How many there are to read.
    pub of: usize,
}

/// What was read since a look began.
#[derive(Debug, Default)]
pub struct Sweep {
    /// Refs whose turn it was, with what they pointed at: one that can't be settled now stays due, and must hold up no other.
    tried: HashMap<String, String>,
    /// The refs whose objects were brought into the mirror.
    pub fetched: Option<Refs>,
    /// Whether the mirror was made anew: what can't be read after that is the repository's fault.
    pub healed: bool,
}

/// What is read now, and what later.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub now: HashSet<String>,
    pub later: HashSet<String>,
    /// How far the reading has come before this part; nothing if there is one part only.
    pub progress: Option<Progress>,
}

impl Sweep {
    /// Returns what begins when the mirror was just thrown away.
    pub fn of_a_new_mirror() -> Self {
        Self {
            healed: true,
            ..Self::default()
        }
    }

    /// Returns the next part of the `due` refs; the registered branch belongs to the last one.
    pub fn part(&mut self, scope: &Scope, mut due: HashSet<String>, refs: &Refs) -> Part {
        let id = |name: &str| {
            refs.get(name)
                .map(|target| target.id.clone())
                .unwrap_or_default()
        };
        let is_new = |name: &&String| self.tried.get(*name).is_none_or(|tried| *tried != id(name));
        let fresh: Vec<String> = due.iter().filter(is_new).cloned().collect();
        let before = self.tried.len();
        let progress = Progress {
            read: before,
            of: before + fresh.len(),
        };
        let mut later = HashSet::new();
        let size = PART.max(progress.of.div_ceil(PARTS));
        if fresh.len() > size {
            later = rest(scope, fresh, size);
            due.retain(|name| !later.contains(name));
        }
        let several = before > 0 || !later.is_empty();
        self.tried
            .extend(due.iter().map(|name| (name.clone(), id(name))));
        if later.is_empty() {
            due.insert(scope.branch_ref());
        } else {
            later.insert(scope.branch_ref());
        }
        Part {
            now: due,
            later,
            progress: several.then_some(progress),
        }
    }
}

/// Returns the refs whose turn comes later: all but those of the first packages, as many as make a part.
fn rest(scope: &Scope, refs: Vec<String>, size: usize) -> HashSet<String> {
    let mut packages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in refs {
        let directory = match classify(&name, scope) {
            RefKind::Tag { directory, .. }
            | RefKind::Draft { directory, .. }
            | RefKind::Proposed { directory, .. } => directory,
            RefKind::Branch
            | RefKind::DeletionProposed { .. }
            | RefKind::Malformed
            | RefKind::Other => String::new(),
        };
        packages.entry(directory).or_default().push(name);
    }
    let mut taken = 0;
    let mut later = HashSet::new();
    for names in packages.into_values() {
        if taken >= size {
            later.extend(names);
        } else {
            taken += names.len();
        }
    }
    later
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::RefTarget;

    /// Refs of so many packages with so many published revisions each.
    fn refs(packages: usize, revisions: usize) -> Refs {
        let names: Vec<String> = (0..packages)
            .flat_map(|package| {
                (1..=revisions).map(move |number| format!("refs/tags/p{package}/v{number}"))
            })
            .collect();
        let id = "a".repeat(40);
        let target = RefTarget {
            id: id.clone(),
            commit: id,
        };
        let each = names.iter().map(|name| (name.as_str(), target.clone()));
        each.collect()
    }

    fn all(refs: &Refs) -> HashSet<String> {
        refs.iter().map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn little_is_read_at_once_with_the_branch() {
        let (scope, refs) = (Scope::new("main", ""), refs(10, 3));
        let part = Sweep::default().part(&scope, all(&refs), &refs);
        assert_eq!(part.now.len(), 31);
        assert_eq!((part.later.len(), part.progress), (0, None));
    }

    #[test]
    fn much_is_read_in_parts_of_whole_packages_and_what_stays_due_holds_up_nothing() {
        let (scope, refs) = (Scope::new("main", ""), refs(400, 7));
        let (mut sweep, mut read) = (Sweep::default(), HashSet::new());
        let package = |name: &String| name.rsplit_once('/').unwrap().0.to_owned();
        let mut parts = 0;
        loop {
            // Nothing can be settled: all stays due.
            let part = sweep.part(&scope, all(&refs), &refs);
            parts += 1;
            let progress = part.progress.unwrap();
            assert_eq!((progress.read, progress.of), (read.len(), 2800));
            let packages: HashSet<String> = part.now.iter().map(package).collect();
            assert!(
                part.later
                    .iter()
                    .all(|name| !packages.contains(&package(name)) || *name == scope.branch_ref())
            );
            read.extend(part.now);
            if part.later.is_empty() {
                break;
            }
            assert!(part.later.contains(&scope.branch_ref()));
        }
        assert_eq!(parts, 6);
        assert_eq!(read.len(), 2801);
    }

    #[test]
    fn a_ref_that_moved_meanwhile_is_read_again() {
        let (scope, before) = (Scope::new("main", ""), refs(200, 3));
        let mut sweep = Sweep::default();
        let first = sweep.part(&scope, all(&before), &before);
        let moved = first.now.iter().next().unwrap().clone();
        let target = RefTarget {
            id: "b".repeat(40),
            commit: "b".repeat(40),
        };
        let after = before.iter().map(|(name, known)| {
            let target = if name == moved { &target } else { known };
            (name, target.clone())
        });
        let after: Refs = after.collect();
        let due = first.later.iter().chain([&moved]).cloned().collect();
        let second = sweep.part(&scope, due, &after);
        assert!(second.now.contains(&moved));
    }
}
