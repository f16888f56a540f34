//! What must be written so that the records say what Git says. Pure: records and a look at the repository in, edits out.
//!
//! It never touches the user's half of a record, a record with a write under way, or one in a newer format; and it never
//! takes for absent what could not be read.

use std::{
    collections::{BTreeMap, HashMap, HashSet, btree_map::Entry},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    adopt,
    candidate::{Candidate, Known, is_same_place, lost, note, rank},
    credit::{Creditor, SYNC_MANAGER, credit},
    due::is_current,
    fate::Fate,
    latest,
    observe::{lifecycle_of, observe},
    subject::Subject,
};
use crate::{
    api::{FORMAT, Observed, PackageRev},
    cache::view,
    git::{Found, RefKind, Refs, classify},
    package::PackageKey,
};

/// What was read of a repository in one look.
#[derive(Debug, Default)]
pub struct Look {
    /// The revisions of the refs that were read.
    pub found: Vec<Found>,
    /// Refs that should have been read and could not: nothing is known of what they hold.
    pub unread: HashSet<String>,
    /// What became of the writes that records tell of, by the record's name; of others it is not known.
    pub fates: HashMap<String, Fate>,
    /// When it was read.
    pub now: Timestamp,
}

/// A change of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Writes a new record.
    Create(PackageRev),
    /// Writes over the record if it still has the version in here.
    Replace(PackageRev),
    /// Takes the record away if it still has the version in here.
    Delete(Arc<PackageRev>),
}

/// What must be written.
#[derive(Debug, Default)]
pub struct Settlement {
    /// Edits of each package, to be made in their order: the old latest loses its label before the new one gets it. An
    /// edit that fails holds up the rest of its package.
    pub packages: Vec<Vec<Edit>>,
    /// What Git holds and is not served, and why.
    pub notes: Vec<Note>,
    /// Whether something was put off until these edits are made: look again then.
    pub again: bool,
    /// How many revisions are served once these edits are made.
    pub served: usize,
}

/// Something in Git that is not served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Its ref, or its place.
    pub what: String,
    /// Why not.
    pub why: String,
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.what, self.why)
    }
}

/// Returns what must be written so that `records`, all those of the Repository, say what the look at these refs saw.
#[must_use]
pub fn settle(
    subject: &Subject,
    records: &[Arc<PackageRev>],
    refs: &Refs,
    look: Look,
) -> Settlement {
    let mut settling = Settling::new(subject, records, refs, &look);
    let candidates = settling.candidates(look.found);
    let wanted = settling.choose(candidates);
    settling.write(wanted)
}

/// Records by their names.
pub(super) type Records<'a> = BTreeMap<&'a str, (&'a Arc<PackageRev>, Stand)>;

/// What may become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It may be replaced or deleted.
    Free,
    /// A write is under way: Git tells what it is worth, but it stays as it is.
    Writing,
    /// A write that was under way is over, and Git tells how.
    Over(Fate),
    /// What it says stands, whatever the look saw: it is newer than this program, or Git could not be read.
    Fixed,
    /// It belongs to an earlier Repository: it must go.
    Foreign,
}

struct Settling<'a> {
    subject: &'a Subject,
    refs: &'a Refs,
    records: Records<'a>,
    /// Whether everything was read that had to be.
    complete: bool,
    /// Packages of which something could not be read: a revision of theirs may be there, though its old ref is not.
    unsure: HashSet<String>,
    now: Timestamp,
    out: Settlement,
}

impl<'a> Settling<'a> {
    fn new(
        subject: &'a Subject,
        records: &'a [Arc<PackageRev>],
        refs: &'a Refs,
        look: &Look,
    ) -> Self {
        let stands = records.iter().map(|record| {
            let name = record.metadata.name.as_deref().unwrap_or_default();
            (name, (record, stand(subject, refs, look, record)))
        });
        Self {
            subject,
            refs,
            records: stands.collect(),
            complete: look.unread.is_empty(),
            unsure: look
                .unread
                .iter()
                .filter_map(|name| directory(&classify(name, &subject.scope)))
                .collect(),
            now: look.now,
            out: Settlement::default(),
        }
    }

    /// Returns every revision that Git holds: what was read, and what records say of refs that have not moved.
    fn candidates(&self, found: Vec<Found>) -> Vec<Candidate<'a>> {
        let mut all: Vec<Candidate<'a>> = self
            .records
            .values()
            .filter_map(|it| self.kept(*it))
            .collect();
        let known: HashSet<String> = all.iter().map(|it| it.observed.git.ref_.clone()).collect();
        let branch = self.subject.scope.branch_ref();
        let read = found
            .into_iter()
            .filter(|it| it.reference == branch || !known.contains(&it.reference));
        all.extend(read.map(|found| {
            let observed = observe(self.subject, self.refs, found);
            Candidate {
                key: self.subject.key_of(&observed),
                observed: Known::Read(Box::new(observed)),
                latest: false,
                awaits: false,
                fixed: false,
            }
        }));
        all
    }

    /// Returns what a record says that need not be read.
    fn kept(&self, (record, stand): (&'a Arc<PackageRev>, Stand)) -> Option<Candidate<'a>> {
        let observed = view::observed(record)?;
        let fixed = stand == Stand::Fixed;
        let current = stand != Stand::Foreign && is_current(self.subject, self.refs, observed);
        if !fixed && !current {
            return None;
        }
        Some(Candidate {
            key: self.subject.key_of(observed),
            observed: if fixed {
                Known::Kept(observed)
            } else {
                self.renewed(observed)
            },
            latest: false,
            awaits: false,
            fixed,
        })
    }

    /// Returns what a record says, as the Repository and the refs have it now.
    fn renewed(&self, observed: &'a Observed) -> Known<'a> {
        let (deployment, address) = (self.subject.deployment, &self.subject.address);
        let lifecycle = lifecycle_of(self.refs, observed);
        let now = (lifecycle, deployment, address);
        if (observed.lifecycle, observed.deployment, &observed.git.repo) == now {
            return Known::Kept(observed);
        }
        let mut observed = Box::new(observed.clone());
        observed.lifecycle = lifecycle;
        observed.deployment = deployment;
        observed.git.repo.clone_from(address);
        Known::Read(observed)
    }

    /// Returns the one revision to serve under each name, and tells of the others.
    fn choose(&mut self, candidates: Vec<Candidate<'a>>) -> BTreeMap<String, Candidate<'a>> {
        let mut wanted = BTreeMap::new();
        let mut losers = Vec::new();
        for candidate in candidates {
            if let Err(why) = candidate.key.check() {
                self.out.notes.push(note(&candidate, why.to_string()));
                continue;
            }
            match wanted.entry(candidate.key.name()) {
                Entry::Vacant(free) => {
                    free.insert(candidate);
                }
                Entry::Occupied(mut chosen) if rank(&candidate) < rank(chosen.get()) => {
                    losers.push((chosen.key().clone(), chosen.insert(candidate)));
                }
                Entry::Occupied(chosen) => losers.push((chosen.key().clone(), candidate)),
            }
        }
        let told = losers.iter().filter_map(|(name, loser)| {
            let chosen = wanted.get(name)?;
            (!is_same_place(loser, chosen)).then(|| lost(name, loser, chosen))
        });
        self.out.notes.extend(told);
        latest::mark(self.subject, &self.records, &mut wanted);
        wanted
    }

    /// Returns the edits that make the records as wanted.
    fn write(mut self, mut wanted: BTreeMap<String, Candidate<'a>>) -> Settlement {
        let mut edits: BTreeMap<PackageKey, Vec<(Place, Edit)>> = BTreeMap::new();
        let mut add = |key: PackageKey, edit: Edit| {
            edits.entry(key).or_default().push((place(&edit), edit));
        };
        self.out.served = wanted.len();
        for (name, (record, stand)) in std::mem::take(&mut self.records) {
            let candidate = wanted.remove(name);
            match self.judge(record, stand, candidate.as_ref()) {
                Verdict::Keep => {}
                Verdict::Replace(new) => add(
                    self.package_of(record, candidate.as_ref()),
                    Edit::Replace(*new),
                ),
                Verdict::Delete => {
                    // What is to have the name gets it when the name is free.
                    self.out.again |= candidate.is_some();
                    add(self.package_of(record, None), Edit::Delete(record.clone()));
                }
            }
        }
        for (name, candidate) in wanted {
            let mut record = self.subject.record(&name);
            record.spec.observed = Some(candidate.observed());
            add(candidate.key.package, Edit::Create(record));
        }
        self.out.packages = edits.into_values().map(in_order).collect();
        self.out.notes.sort();
        self.out.notes.dedup();
        self.out
    }

    fn judge(
        &self,
        record: &PackageRev,
        stand: Stand,
        candidate: Option<&Candidate<'_>>,
    ) -> Verdict {
        match (stand, candidate) {
            (Stand::Fixed | Stand::Writing, _) => Verdict::Keep,
            (Stand::Over(fate), None) => match fate.without_revision(record) {
                Some(kept) => replaced(kept, record),
                None => Verdict::Delete,
            },
            (Stand::Over(fate), Some(candidate)) => {
                self.renew(record, fate.with_revision(record), candidate)
            }
            // What upstream left and nobody read yet may be a revision that could not be read now.
            (Stand::Free, None) if record.spec.observed.is_none() && !self.complete => {
                Verdict::Keep
            }
            (Stand::Free, None) if self.is_unsure(record) => Verdict::Keep,
            (Stand::Foreign, _) | (Stand::Free, None) => Verdict::Delete,
            (Stand::Free, Some(candidate)) => {
                self.renew(record, self.credited(record, candidate), candidate)
            }
        }
    }

    /// Returns a record in which what a stranger changed is no longer the user's who set it.
    fn credited(&self, record: &PackageRev, candidate: &Candidate<'_>) -> PackageRev {
        let mut record = record.clone();
        let user = &mut record.spec.metadata;
        let is_owned = user.managed_fields.is_some() || user.files_managed_fields.is_some();
        let Some(old) = record.spec.observed.as_ref().filter(|_| is_owned) else {
            return record;
        };
        let new = candidate.observed();
        if let Some(managed) = &mut user.managed_fields {
            let stranger = Creditor {
                manager: SYNC_MANAGER,
                now: self.now,
            };
            managed.change(|managed| credit(managed, (old, &new), &stranger));
        }
        if old.git.tree != new.git.tree {
            // Which of the files they changed is not known: all are the sync manager's then.
            user.files_managed_fields = None;
        }
        record
    }

    /// Returns whether a revision may have gone on to a ref that could not be read, as a draft does when it is published.
    fn is_unsure(&self, record: &PackageRev) -> bool {
        let observed = record.spec.observed.as_ref();
        observed.is_some_and(|observed| {
            observed.revision == 0 && self.unsure.contains(&observed.git.directory)
        })
    }

    /// Returns what becomes of a record whose revision is there; `new` is the record without what Git says now.
    fn renew(
        &self,
        record: &PackageRev,
        mut new: PackageRev,
        candidate: &Candidate<'_>,
    ) -> Verdict {
        let old = record.spec.observed.as_ref();
        if old.is_some_and(|old| self.subject.key_of(old) != candidate.key) {
            // Another revision had this name: its user's metadata is not for this one.
            return Verdict::Delete;
        }
        if adopt::is_incumbents(&new) {
            adopt::adopt(&mut new);
        }
        self.subject.claim(&mut new);
        let mut observed = candidate.observed();
        if let Some(old) =
            old.filter(|old| old.git.ref_ == observed.git.ref_ && old.git.tree == observed.git.tree)
            && observed.git.ref_ == self.subject.scope.branch_ref()
        {
            // A placeholder is its tree: that the branch moved elsewhere is no change of it.
            observed.git.commit.clone_from(&old.git.commit);
        }
        new.spec.observed = Some(observed);
        replaced(new, record)
    }

    fn package_of(&self, record: &PackageRev, candidate: Option<&Candidate<'_>>) -> PackageKey {
        let observed = record.spec.observed.as_ref();
        let key = candidate.map(|it| it.key.package.clone());
        key.or_else(|| observed.map(|it| self.subject.key_of(it).package))
            .unwrap_or_else(|| self.subject.key("", "").package)
    }
}

/// What becomes of a record.
enum Verdict {
    Keep,
    Replace(Box<PackageRev>),
    Delete,
}

fn replaced(new: PackageRev, record: &PackageRev) -> Verdict {
    if same(&new, record) {
        Verdict::Keep
    } else {
        Verdict::Replace(Box::new(new))
    }
}

/// Returns the directory of the package that a ref is about.
fn directory(kind: &RefKind) -> Option<String> {
    match kind {
        RefKind::Tag { directory, .. }
        | RefKind::Draft { directory, .. }
        | RefKind::Proposed { directory, .. } => Some(directory.clone()),
        _ => None,
    }
}

fn stand(subject: &Subject, refs: &Refs, look: &Look, record: &PackageRev) -> Stand {
    if subject.disowns(record) {
        return Stand::Foreign;
    }
    if record.spec.intent.is_some() {
        let name = record.metadata.name.as_deref().unwrap_or_default();
        let fate = look.fates.get(name);
        return fate.map_or(Stand::Writing, |fate| Stand::Over(*fate));
    }
    let Some(observed) = &record.spec.observed else {
        return Stand::Free;
    };
    // One that is so new that it says nothing here stays too.
    let place = &observed.git.ref_;
    let newer = observed.format > FORMAT && (place.is_empty() || refs.contains(place));
    if newer || look.unread.contains(&observed.git.ref_) {
        Stand::Fixed
    } else {
        Stand::Free
    }
}

/// Where an edit stands among those of its package: labels go before they come.
type Place = (u8, i64, String);

fn place(edit: &Edit) -> Place {
    let (step, record) = match edit {
        Edit::Delete(record) => (0, record.as_ref()),
        Edit::Replace(record) | Edit::Create(record) => (1, record),
    };
    let observed = record.spec.observed.as_ref();
    let latest = observed.is_some_and(|it| it.latest);
    let published = observed.is_some_and(|it| it.lifecycle.is_published() && it.revision > 0);
    let step = match (step, latest, published) {
        (0, ..) => 0,
        (_, true, _) => 3,
        (_, false, true) => 1,
        (_, false, false) => 2,
    };
    let name = record.metadata.name.clone().unwrap_or_default();
    (step, observed.map_or(0, |it| it.revision), name)
}

fn in_order(mut edits: Vec<(Place, Edit)>) -> Vec<Edit> {
    edits.sort_by(|(one, _), (other, _)| one.cmp(other));
    edits.into_iter().map(|(_, edit)| edit).collect()
}

/// Returns whether two records would be stored alike.
fn same(one: &PackageRev, other: &PackageRev) -> bool {
    let stored = |record: &PackageRev| serde_json::to_value((&record.metadata, &record.spec)).ok();
    one == other || stored(one) == stored(other)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        api::{Intent, RECORD_FINALIZER},
        git::{RefTarget, Scope},
        package::Lifecycle,
        sync::due::due,
    };

    /// A repository and its records, and what is written to them.
    #[derive(Clone)]
    pub(in crate::sync) struct World {
        pub(in crate::sync) subject: Subject,
        pub(in crate::sync) records: BTreeMap<String, PackageRev>,
        /// Refs with their commits.
        pub(in crate::sync) refs: BTreeMap<String, char>,
        /// Packages on the branch with their trees.
        branch: BTreeMap<String, char>,
        unread: HashSet<String>,
        pub(in crate::sync) fates: HashMap<String, Fate>,
        /// What is found in refs whose names do not say it.
        pub(in crate::sync) aliases: Vec<Found>,
        version: u64,
    }

    pub(in crate::sync) fn id(letter: char) -> String {
        letter.to_string().repeat(40)
    }

    impl World {
        pub(in crate::sync) fn new(refs: &[(&str, char)], branch: &[(&str, char)]) -> Self {
            let mut world = Self {
                subject: Subject {
                    namespace: "default".into(),
                    name: "r".into(),
                    uid: "u1".into(),
                    deployment: false,
                    address: "https://example.com/r.git".into(),
                    scope: Scope::new("main", ""),
                },
                records: BTreeMap::new(),
                refs: BTreeMap::from([("refs/heads/main".into(), 'a')]),
                branch: branch
                    .iter()
                    .map(|(path, tree)| ((*path).into(), *tree))
                    .collect(),
                unread: HashSet::new(),
                fates: HashMap::new(),
                aliases: Vec::new(),
                version: 0,
            };
            for (name, commit) in refs {
                world.push(name, *commit);
            }
            world
        }

        pub(in crate::sync) fn push(&mut self, name: &str, commit: char) {
            self.refs.insert(format!("refs/{name}"), commit);
        }

        fn drop(&mut self, name: &str) {
            self.refs.remove(&format!("refs/{name}")).unwrap();
        }

        /// What a scan finds in a ref: the workspace of a tag is its text, unless the text says `v1@w`.
        fn found(reference: &str, commit: char) -> Option<Found> {
            let rest = reference.strip_prefix("refs/")?;
            let (directory, last) = rest.rsplit_once('/')?;
            let (directory, revision) = if let Some(directory) = directory.strip_prefix("tags/") {
                (directory, crate::package::revision_number(last))
            } else {
                let draft = directory.strip_prefix("heads/drafts/");
                (
                    draft.or_else(|| directory.strip_prefix("heads/proposed/"))?,
                    0,
                )
            };
            Some(found(directory, last, revision, reference, commit, commit))
        }

        pub(in crate::sync) fn look(&self) -> (Settlement, Vec<Arc<PackageRev>>) {
            let targets = self.refs.iter().map(|(name, commit)| {
                let (id, commit) = (id(*commit), id(*commit));
                (name.as_str(), RefTarget { id, commit })
            });
            let refs: Refs = targets.collect();
            let records: Vec<_> = self.records.values().cloned().map(Arc::new).collect();
            let due = due(&self.subject, &records, &refs);
            let read = due.iter().filter(|name| !self.unread.contains(*name));
            let mut found: Vec<_> = read
                .filter_map(|name| {
                    let alias = self.aliases.iter().find(|it| it.reference == *name);
                    alias
                        .cloned()
                        .or_else(|| Self::found(name, self.refs[name]))
                })
                .collect();
            let head = self
                .refs
                .get("refs/heads/main")
                .filter(|_| !self.unread.contains("refs/heads/main"));
            let placeholders = self
                .branch
                .iter()
                .filter_map(|(path, tree)| Some(found_on_branch(path, *head?, *tree)));
            found.extend(placeholders);
            let unread = self.unread.clone();
            let fates = self.fates.clone();
            let look = Look {
                found,
                unread,
                fates,
                ..Look::default()
            };
            (settle(&self.subject, &records, &refs, look), records)
        }

        /// Looks once and writes; returns what was written, as words.
        pub(in crate::sync) fn settle(&mut self) -> Vec<String> {
            let (settlement, _) = self.look();
            let mut names = Vec::new();
            for edit in settlement.packages.into_iter().flatten() {
                names.push(self.write(edit));
            }
            let unique: std::collections::BTreeSet<_> = names
                .iter()
                .map(|told| told.trim_start_matches(['+', '~', '-']).split('[').next())
                .collect();
            assert_eq!(
                unique.len(),
                names.len(),
                "one name is written twice: {names:?}"
            );
            names
        }

        /// Looks and writes until there is nothing to do.
        fn rest(&mut self) -> Vec<String> {
            let mut all = Vec::new();
            loop {
                let mut now = self.settle();
                if now.is_empty() {
                    return all;
                }
                all.append(&mut now);
            }
        }

        /// Writes, if nobody was faster; returns whether it did.
        pub(in crate::sync) fn try_write(&mut self, edit: Edit) -> bool {
            let (name, version) = match &edit {
                Edit::Create(record) | Edit::Replace(record) => {
                    (&record.metadata.name, &record.metadata.resource_version)
                }
                Edit::Delete(record) => (&record.metadata.name, &record.metadata.resource_version),
            };
            let now = self
                .records
                .get(name.as_ref().unwrap())
                .map(|now| now.metadata.resource_version.clone());
            let fits = now.unwrap_or_default() == *version;
            if fits {
                self.write(edit);
            }
            fits
        }

        fn write(&mut self, edit: Edit) -> String {
            self.version += 1;
            let (sign, mut record) = match edit {
                Edit::Create(record) => ("+", record),
                Edit::Replace(record) => ("~", record),
                Edit::Delete(record) => {
                    let name = record.metadata.name.clone().unwrap();
                    self.records.remove(&name).unwrap();
                    return format!("-{name}");
                }
            };
            let name = record.metadata.name.clone().unwrap();
            let version = record
                .metadata
                .resource_version
                .replace(self.version.to_string());
            let was = self
                .records
                .get(&name)
                .and_then(|was| was.metadata.resource_version.clone());
            assert_eq!(
                version, was,
                "{sign}{name} is written over the version it was made from"
            );
            let observed = record.spec.observed.as_ref().unwrap();
            let latest = match (observed.latest, observed.awaits_latest) {
                (true, _) => "[latest]",
                (_, true) => "[awaits]",
                _ => "",
            };
            self.records.insert(name.clone(), record);
            format!("{sign}{name}{latest}")
        }

        pub(in crate::sync) fn observed(&mut self, name: &str) -> &mut Observed {
            self.records
                .get_mut(name)
                .unwrap()
                .spec
                .observed
                .as_mut()
                .unwrap()
        }
    }

    pub(in crate::sync) fn found(
        directory: &str,
        workspace: &str,
        revision: i64,
        reference: &str,
        commit: char,
        tree: char,
    ) -> Found {
        Found {
            package: directory.into(),
            directory: directory.into(),
            workspace: workspace.into(),
            revision,
            reference: reference.into(),
            commit: id(commit),
            tree: id(tree),
            lifecycle: Lifecycle::Published,
            task: None,
            author_email: String::new(),
            author_time: None,
            kptfile: crate::api::KptfileObserved::default(),
        }
    }

    fn found_on_branch(path: &str, head: char, tree: char) -> Found {
        found(path, "main", -1, "refs/heads/main", head, tree)
    }

    #[test]
    fn everything_found_is_written_once_and_then_nothing() {
        let mut world = World::new(
            &[
                ("tags/a/v1", 'b'),
                ("tags/a/v2", 'c'),
                ("heads/drafts/a/w3", 'd'),
                ("heads/proposed/b/c/w", 'd'),
            ],
            &[("a", 'e'), ("b/c", 'f')],
        );
        assert_eq!(
            world.settle(),
            [
                "+r.a.v1",
                "+r.a.main",
                "+r.a.w3",
                "+r.a.v2[latest]",
                "+r.b.c.main",
                "+r.b.c.w"
            ]
        );
        assert_eq!(world.settle(), [""; 0]);
        let record = &world.records["r.a.w3"];
        assert_eq!(
            record.metadata.finalizers,
            Some(vec![RECORD_FINALIZER.into()])
        );
        assert_eq!(record.metadata.owner_references, None);
        assert_eq!(
            record.metadata.labels.as_ref().unwrap()[crate::api::REPOSITORY_LABEL],
            "r"
        );
        assert_eq!(
            (
                record.spec.repository.name.as_str(),
                record.spec.repository.uid.as_str()
            ),
            ("r", "u1")
        );
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_others_push_moves_what_it_should_and_nothing_else() {
        type Push = fn(&mut World);
        let cases: &[(&str, Push, &[&str])] = &[
            (
                "publishing moves the latest label, and the old latest loses it first",
                |world| world.push("tags/a/v3", 'd'),
                &["+r.a.v3[awaits]", "~r.a.v2", "~r.a.v3[latest]"],
            ),
            (
                "deleting the latest gives the label back",
                |world| world.drop("tags/a/v2"),
                &["-r.a.v2", "~r.a.v1[awaits]", "~r.a.v1[latest]"],
            ),
            (
                "deleting an old revision touches no other",
                |world| world.drop("tags/a/v1"),
                &["-r.a.v1"],
            ),
            (
                "a branch that moves without the tree is no change",
                |world| world.push("heads/main", 'f'),
                &[],
            ),
            (
                "a tree that moves is one",
                |world| {
                    world.push("heads/main", 'f');
                    world.branch.insert("a".into(), '9');
                },
                &["~r.a.main"],
            ),
            (
                "a package that leaves the branch leaves its tags",
                |world| world.branch.clear(),
                &["-r.a.main"],
            ),
            (
                "a branch that is gone takes its placeholders along",
                |world| world.drop("heads/main"),
                &["-r.a.main"],
            ),
            (
                "a draft that moves is written",
                |world| world.push("heads/drafts/a/w", 'f'),
                &["~r.a.w"],
            ),
            (
                "a tag that was forced elsewhere is written",
                |world| world.push("tags/a/v2", 'f'),
                &["~r.a.v2[latest]"],
            ),
            (
                "a proposal keeps the record of its draft",
                |world| {
                    world.drop("heads/drafts/a/w");
                    world.push("heads/proposed/a/w", 'd');
                },
                &["~r.a.w"],
            ),
            (
                "a proposal wins over its draft",
                |world| world.push("heads/proposed/a/w", 'f'),
                &["~r.a.w"],
            ),
            (
                "a proposed deletion is a change of lifecycle",
                |world| world.push("heads/deletionProposed/a/v1", 'b'),
                &["~r.a.v1"],
            ),
            (
                "the latest stays the latest when its deletion is proposed",
                |world| world.push("heads/deletionProposed/a/v2", 'c'),
                &["~r.a.v2[latest]"],
            ),
            (
                "so may the placeholder's be",
                |world| world.push("heads/deletionProposed/a/main", 'a'),
                &["~r.a.main"],
            ),
            (
                "other branches are nobody's",
                |world| world.push("heads/feature", 'f'),
                &[],
            ),
            (
                "a tag that is no number is published and never the latest",
                |world| world.push("tags/a/stable", 'f'),
                &["+r.a.stable"],
            ),
            (
                "a deployment repository is told on every revision",
                |world| world.subject.deployment = true,
                &["~r.a.v1", "~r.a.main", "~r.a.w", "~r.a.v2[latest]"],
            ),
            (
                "everything gone is everything gone",
                |world| {
                    world.refs.clear();
                    world.branch.clear();
                },
                &["-r.a.main", "-r.a.w", "-r.a.v1", "-r.a.v2"],
            ),
        ];
        for (what, push, expected) in cases {
            let mut world = World::new(
                &[
                    ("tags/a/v1", 'b'),
                    ("tags/a/v2", 'c'),
                    ("heads/drafts/a/w", 'd'),
                ],
                &[("a", 'e')],
            );
            world.settle();
            push(&mut world);
            assert_eq!(world.rest(), *expected, "{what}");
        }
    }

    #[test]
    fn a_placeholder_keeps_its_commit_until_its_tree_moves() {
        let mut world = World::new(&[], &[("a", 'e'), ("b", 'e')]);
        world.settle();
        world.push("heads/main", 'f');
        world.branch.insert("b".into(), '9');
        world.push("heads/deletionProposed/a/main", 'f');
        assert_eq!(world.settle(), ["~r.a.main", "~r.b.main"]);
        assert_eq!(world.observed("r.a.main").git.commit, id('a'));
        assert_eq!(world.observed("r.b.main").git.commit, id('f'));
    }

    #[test]
    fn what_could_not_be_read_is_neither_changed_nor_gone() {
        let mut world = World::new(
            &[("tags/a/v1", 'b'), ("heads/drafts/a/w", 'd')],
            &[("a", 'e')],
        );
        world.settle();
        world.push("heads/drafts/a/w", 'f');
        world.push("tags/a/v2", 'c');
        world.branch.clear();
        for name in ["refs/heads/main", "refs/heads/drafts/a/w", "refs/tags/a/v2"] {
            world.unread.insert(name.into());
        }
        assert_eq!(world.settle(), [""; 0]);
        world.unread.clear();
        assert_eq!(world.settle(), ["-r.a.main", "+r.a.v2[awaits]", "~r.a.w"]);
        assert_eq!(world.settle(), ["~r.a.v1", "~r.a.v2[latest]"]);
    }

    #[test]
    fn a_draft_whose_publication_could_not_be_read_is_not_taken_for_gone() {
        let drafts = [("heads/drafts/a/w", 'b'), ("heads/drafts/b/w", 'b')];
        let mut world = World::new(&drafts, &[]);
        world.settle();
        for (name, _) in drafts {
            world.drop(name);
        }
        world.push("tags/a/v1", 'b');
        world.unread.insert("refs/tags/a/v1".into());
        assert_eq!(world.settle(), ["-r.b.w"]);
        world.unread.clear();
        assert_eq!(world.settle(), ["-r.a.w", "+r.a.v1[awaits]"]);
    }

    #[test]
    fn a_record_with_a_write_under_way_is_left_alone() {
        let mut world = World::new(&[("tags/a/v1", 'b'), ("heads/drafts/a/w", 'd')], &[]);
        world.settle();
        let open = |world: &mut World, name: &str| {
            world.records.get_mut(name).unwrap().spec.intent = Some(Intent::default());
        };
        open(&mut world, "r.a.w");
        world.push("heads/drafts/a/w", 'f');
        assert_eq!(world.settle(), [""; 0]);
        world.drop("heads/drafts/a/w");
        assert_eq!(world.settle(), [""; 0]);
        // The label stays where it cannot be taken from.
        open(&mut world, "r.a.v1");
        world.push("tags/a/v2", 'c');
        assert_eq!(world.settle(), ["+r.a.v2"]);
        world.records.get_mut("r.a.v1").unwrap().spec.intent = None;
        assert_eq!(world.settle(), ["~r.a.v2[awaits]"]);
        assert_eq!(world.settle(), ["~r.a.v1", "~r.a.v2[latest]"]);
    }

    #[test]
    fn an_older_format_is_computed_anew_and_a_newer_one_is_left_alone() {
        let mut world = World::new(&[("tags/a/v1", 'b'), ("tags/a/v2", 'c')], &[("a", 'e')]);
        world.settle();
        world.observed("r.a.v1").format = FORMAT - 1;
        world.observed("r.a.main").format = FORMAT - 1;
        assert_eq!(world.settle(), ["~r.a.v1", "~r.a.main"]);
        assert_eq!(world.observed("r.a.v1").format, FORMAT);

        world.observed("r.a.v2").format = FORMAT + 1;
        world.observed("r.a.main").format = FORMAT + 1;
        world.push("tags/a/v2", 'f');
        world.push("heads/deletionProposed/a/v2", 'f');
        world.branch.insert("a".into(), '9');
        let (settlement, _) = world.look();
        assert_eq!((settlement.packages.len(), settlement.notes), (0, vec![]));
        // Nor one that is so new that nothing of it is understood.
        let known = world.observed("r.a.v1").clone();
        *world.observed("r.a.v1") = Observed {
            format: FORMAT + 1,
            ..Observed::default()
        };
        let (settlement, _) = world.look();
        assert_eq!((settlement.packages.len(), settlement.notes), (0, vec![]));
        *world.observed("r.a.v1") = known;
        world.drop("tags/a/v2");
        assert_eq!(world.settle(), ["-r.a.v2", "~r.a.v1[awaits]"]);
    }

    #[test]
    fn of_two_revisions_with_one_name_the_first_by_key_is_served_and_the_other_told() {
        let mut world = World::new(&[("tags/a/b/v1", 'b'), ("heads/drafts/a/b.c", 'd')], &[]);
        world.push("heads/drafts/a/b/c", 'e');
        let (settlement, _) = world.look();
        assert_eq!(settlement.notes.len(), 1);
        let told = settlement.notes[0].to_string();
        assert!(
            told.contains("drafts/a/b/c") && told.contains("r.a.b.c"),
            "{told}"
        );
        assert_eq!(world.settle(), ["+r.a.b.c", "+r.a.b.v1[latest]"]);
        assert_eq!(
            world.observed("r.a.b.c").git.ref_,
            "refs/heads/drafts/a/b.c"
        );
        // The name is free first, then given: labels of one are not for the other.
        world
            .records
            .get_mut("r.a.b.c")
            .unwrap()
            .spec
            .metadata
            .labels
            .insert("mine".into(), "1".into());
        world.drop("heads/drafts/a/b.c");
        assert!(world.look().0.again);
        assert_eq!(world.settle(), ["-r.a.b.c"]);
        assert_eq!(world.settle(), ["+r.a.b.c"]);
        assert!(world.records["r.a.b.c"].spec.metadata.labels.is_empty());
    }

    #[test]
    fn of_two_tags_of_one_revision_the_one_that_porch_makes_is_served() {
        for other in ["tags/a/1", "tags/a/v01", "tags/a/+1"] {
            let mut world = World::new(&[("tags/a/v1", 'b'), (other, 'c')], &[]);
            let found = World::found("refs/tags/a/v1", 'b').unwrap();
            world.aliases = vec![Found {
                reference: format!("refs/{other}"),
                commit: id('c'),
                ..found
            }];
            assert_eq!(world.settle(), ["+r.a.v1[latest]"], "{other}");
            assert_eq!(world.observed("r.a.v1").git.ref_, "refs/tags/a/v1");
            assert_eq!(world.look().0.notes.len(), 1);
            assert_eq!(world.settle(), [""; 0]);
        }
    }

    #[test]
    fn what_has_no_name_is_told_and_not_served() {
        let world = World::new(
            &[("tags/Upper/v1", 'b'), ("heads/drafts/a_b/w", 'c')],
            &[("", 'd'), ("ok", 'e')],
        );
        let (settlement, _) = world.look();
        let told: Vec<_> = settlement
            .notes
            .iter()
            .map(|note| note.what.as_str())
            .collect();
        assert_eq!(
            told,
            [
                "refs/heads/drafts/a_b/w",
                "refs/heads/main:",
                "refs/tags/Upper/v1"
            ]
        );
        assert_eq!(settlement.served, 1);
    }

    #[test]
    fn the_users_half_stays_and_an_earlier_repositorys_goes() {
        let mut world = World::new(&[("tags/a/v1", 'b')], &[]);
        world.settle();
        let user = &mut world.records.get_mut("r.a.v1").unwrap().spec.metadata;
        user.labels.insert("mine".into(), "1".into());
        user.finalizers.push("mine/held".into());
        world.push("tags/a/v1", 'c');
        assert_eq!(world.settle(), ["~r.a.v1[latest]"]);
        assert_eq!(world.records["r.a.v1"].spec.metadata.labels["mine"], "1");

        world.subject.uid = "u2".into();
        assert!(world.look().0.again);
        assert_eq!(world.settle(), ["-r.a.v1"]);
        assert_eq!(world.settle(), ["+r.a.v1[latest]"]);
        assert!(world.records["r.a.v1"].spec.metadata.labels.is_empty());
    }

    #[test]
    fn what_upstream_left_is_adopted_when_it_is_read() {
        let mut world = World::new(&[("tags/a/v1", 'b')], &[]);
        for name in ["r.a.v1", "r.gone.v1"] {
            let mut record = PackageRev::default();
            record.metadata.name = Some(name.into());
            record.metadata.resource_version = Some("1".into());
            record.metadata.labels = Some(BTreeMap::from([("mine".into(), "1".into())]));
            world.records.insert(name.into(), record);
        }
        world.unread.insert("refs/tags/a/v1".into());
        assert_eq!(world.settle(), [""; 0]);
        world.unread.clear();
        assert_eq!(world.settle(), ["-r.gone.v1", "~r.a.v1[latest]"]);
        assert_eq!(world.records["r.a.v1"].spec.metadata.labels["mine"], "1");
        assert_eq!(world.settle(), [""; 0]);
    }

    #[test]
    fn nothing_new_is_marked_while_another_write_publishes() {
        let refs = [("tags/a/v1", 'b'), ("heads/proposed/a/w", 'c')];
        let mut world = World::new(&refs, &[]);
        world.settle();
        let publishing = crate::api::IntendedEdit {
            ref_: "refs/tags/a/v2".into(),
            to: Some(id('c')),
            ..Default::default()
        };
        let intent = Intent {
            edits: vec![publishing],
            ..Intent::default()
        };
        world.records.get_mut("r.a.w").unwrap().spec.intent = Some(intent);
        world.push("tags/a/v3", 'd');
        assert_eq!(world.settle(), ["+r.a.v3[awaits]"]);
        assert_eq!(world.settle(), [""; 0], "the first stays the latest");
        world.records.get_mut("r.a.w").unwrap().spec.intent = None;
        assert_eq!(world.settle(), ["~r.a.v1", "~r.a.v3[latest]"]);
    }
}
