//! Which revision of a package is the latest, so decided that two never are, however many decide at once and however old
//! what they see is. Pure: records and what Git holds in, marks out.
//!
//! Whoever marks a revision has seen it *claim* that: by a write under way that publishes it, or by `awaitsLatest` in its
//! record, which is written for this and no other purpose. Of the claims of a package the first counts, by the versions of
//! their records; and before a mark is set, all others are taken away. So of two that are marked at once, the one that
//! claimed later would have been marked by somebody who saw the other's claim, or the mark that came of it.

use std::collections::{BTreeMap, HashMap};

use super::{
    candidate::Candidate,
    settle::{Records, Stand},
    subject::Subject,
};
use crate::{api::PackageRev, cache::view, package::PackageKey};

/// What the records of a package say of its latest revision.
#[derive(Debug, Default)]
struct Standing {
    /// One that is marked and must stay so for now: no other may be.
    bound: Option<String>,
    /// The one that is marked.
    marked: Vec<String>,
    /// The first claim: its version and its record.
    claim: Option<(u64, String)>,
}

/// Marks the latest revision of each package as its record is to say it: of a package of which no record knows, at once.
pub(super) fn mark(
    subject: &Subject,
    records: &Records<'_>,
    wanted: &mut BTreeMap<String, Candidate<'_>>,
) {
    let standings = standings(subject, records);
    let mut newest: HashMap<PackageKey, (i64, String)> = HashMap::new();
    for (name, candidate) in wanted.iter() {
        let observed = &candidate.observed;
        if observed.lifecycle.is_published() && observed.revision >= 1 {
            let best = newest.entry(candidate.key.package.clone()).or_default();
            *best = std::mem::take(best).max((observed.revision, name.clone()));
        }
    }
    for (name, candidate) in wanted.iter_mut() {
        let package = &candidate.key.package;
        let newest = newest.get(package).map(|(_, name)| name);
        let own = newest == Some(name);
        (candidate.latest, candidate.awaits) = match standings.get(package) {
            None => (own, false),
            Some(standing) => match (&standing.bound, newest) {
                (Some(bound), _) => (bound == name, candidate.observed.awaits_latest),
                (None, Some(newest)) if !standing.lets(newest) => {
                    (standing.marked.contains(name), own)
                }
                (None, _) => (own, false),
            },
        };
    }
}

impl Standing {
    /// Returns whether this revision may be marked now, or is.
    fn lets(&self, name: &String) -> bool {
        self.marked.contains(name) || self.claim.as_ref().is_some_and(|(_, first)| first == name)
    }
}

fn standings(subject: &Subject, records: &Records<'_>) -> HashMap<PackageKey, Standing> {
    let mut all: HashMap<PackageKey, Standing> = HashMap::new();
    for (name, (record, stand)) in records {
        let Some(observed) = view::observed(record).filter(|_| *stand != Stand::Foreign) else {
            continue;
        };
        let standing = all.entry(subject.key_of(observed).package).or_default();
        if observed.latest {
            standing.marked.push((*name).to_string());
            if matches!(stand, Stand::Fixed | Stand::Writing) {
                standing.bound = Some((*name).to_string());
            }
        }
        if observed.awaits_latest || publishes(record) {
            let claim = (version(record), (*name).to_string());
            let first = standing
                .claim
                .take()
                .map_or(claim.clone(), |it| it.min(claim));
            standing.claim = Some(first);
        }
    }
    all
}

/// Returns whether a write of a record is under way that publishes its revision.
fn publishes(record: &PackageRev) -> bool {
    let (Some(observed), Some(intent)) = (view::observed(record), &record.spec.intent) else {
        return false;
    };
    let tags = format!("refs/tags/{}/", observed.git.directory);
    let mut brought = intent.edits.iter().filter(|edit| edit.to.is_some());
    intent.is_open() && brought.any(|edit| edit.ref_.starts_with(&tags))
}

fn version(record: &PackageRev) -> u64 {
    let version = record.metadata.resource_version.as_ref();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{HashSet, VecDeque},
        sync::Arc,
    };

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::{
        super::{
            fate::Fate,
            settle::{
                Edit, Look, settle,
                tests::{World, found, id},
            },
        },
        *,
    };
    use crate::{
        api::{IntendedEdit, Intent},
        git::{RefTarget, Refs},
    };

    const WRITERS: usize = 3;

    /// One who decides: a writer of the draft of its number, or one who only looks.
    #[derive(Default)]
    struct Actor {
        /// What it is about to write.
        pending: VecDeque<Edit>,
        /// What a looker saw of the records.
        saw: Option<World>,
        /// The number of the tag that a writer brings or takes away.
        brings: Option<i64>,
        takes: Option<String>,
        pushed: bool,
        dead: bool,
    }

    struct Model {
        world: World,
        /// Writers, then lookers.
        actors: Vec<Actor>,
        commits: u8,
    }

    impl Model {
        fn new() -> Self {
            let drafts: Vec<String> = (0..WRITERS)
                .map(|at| format!("heads/proposed/a/w{at}"))
                .collect();
            let mut refs = vec![("tags/a/v1", 'b')];
            refs.extend(drafts.iter().map(|name| (name.as_str(), 'c')));
            let mut world = World::new(&refs, &[("a", 'e')]);
            while !world.settle().is_empty() {}
            let actors = (0..WRITERS + 2).map(|_| Actor::default()).collect();
            Self {
                world,
                actors,
                commits: 0,
            }
        }

        fn next_number(&self) -> i64 {
            let tags = self
                .world
                .refs
                .keys()
                .filter_map(|name| name.strip_prefix("refs/tags/a/v"));
            tags.filter_map(|text| text.parse().ok()).max().unwrap_or(0) + 1
        }

        fn commit(&mut self) -> char {
            self.commits += 1;
            char::from(b'0' + self.commits % 10)
        }

        fn step(&mut self, what: u8, who: usize) {
            let looker = WRITERS + who % 2;
            let writer = who % WRITERS;
            match what {
                0 => self.begin(writer),
                1 => self.push(writer),
                2 => self.settle(writer),
                3 => self.agree(writer),
                4..=7 => self.write(who % self.actors.len()),
                8 => self.actors[looker].saw = Some(self.world.clone()),
                9 => self.look(looker, who.is_multiple_of(3)),
                10 => self.kill(writer),
                11 => {
                    let (number, commit) = (self.next_number(), self.commit());
                    self.world.push(&format!("tags/a/v{number}"), commit);
                }
                _ => self.begin_deletion(writer, who),
            }
        }

        fn declare(&mut self, name: &str, id: String, edit: IntendedEdit) {
            let mut record = self.world.records[name].clone();
            record.spec.intent = Some(Intent {
                id,
                edits: vec![edit],
                ..Intent::default()
            });
            assert!(self.world.try_write(Edit::Replace(record)));
        }

        fn free(&self, name: &str) -> bool {
            let record = self.world.records.get(name);
            record.is_some_and(|record| record.spec.intent.as_ref().is_none_or(|it| !it.is_open()))
        }

        fn begin(&mut self, writer: usize) {
            let name = format!("r.a.w{writer}");
            let draft = self
                .world
                .refs
                .contains_key(&format!("refs/heads/proposed/a/w{writer}"));
            let actor = &self.actors[writer];
            if !draft
                || !self.free(&name)
                || actor.dead
                || actor.brings.is_some()
                || actor.takes.is_some()
            {
                return;
            }
            let number = self.next_number();
            self.actors[writer].brings = Some(number);
            let edit = IntendedEdit {
                ref_: format!("refs/tags/a/v{number}"),
                from: None,
                to: Some(id('d')),
            };
            self.declare(&name, format!("w{writer}"), edit);
        }

        fn begin_deletion(&mut self, writer: usize, which: usize) {
            let published = self
                .world
                .records
                .iter()
                .filter(|(_, record)| record.spec.observed.as_ref().unwrap().revision > 0);
            let names: Vec<String> = published.map(|(name, _)| name.clone()).collect();
            let Some(name) = names.get(which % names.len().max(1)).cloned() else {
                return;
            };
            let actor = &self.actors[writer];
            if !self.free(&name) || actor.dead || actor.brings.is_some() || actor.takes.is_some() {
                return;
            }
            let reference = self.world.observed(&name).git.ref_.clone();
            self.actors[writer].takes = Some(name.clone());
            self.declare(
                &name,
                format!("w{writer}"),
                IntendedEdit {
                    ref_: reference,
                    from: Some(id('d')),
                    to: None,
                },
            );
        }

        fn own(&self, writer: usize) -> String {
            self.actors[writer]
                .takes
                .clone()
                .unwrap_or_else(|| format!("r.a.w{writer}"))
        }

        /// Whether the intent in the record is still this writer's.
        fn holds(&self, writer: usize) -> bool {
            let record = self.world.records.get(&self.own(writer));
            let intent = record.and_then(|record| record.spec.intent.as_ref());
            intent.is_some_and(|intent| intent.id == format!("w{writer}"))
        }

        fn push(&mut self, writer: usize) {
            let actor = &self.actors[writer];
            if actor.dead || actor.pushed {
                return;
            }
            if let Some(number) = actor.brings {
                let tag = format!("refs/tags/a/v{number}");
                let draft = format!("refs/heads/proposed/a/w{writer}");
                if self.world.refs.contains_key(&tag) || !self.world.refs.contains_key(&draft) {
                    return self.give_up(writer);
                }
                self.world.refs.remove(&draft);
                self.world.refs.insert(tag.clone(), 'd');
                self.world
                    .aliases
                    .push(found("a", &format!("w{writer}"), number, &tag, 'd', 'd'));
                self.actors[writer].pushed = true;
            } else if let Some(name) = actor.takes.clone() {
                let reference = self
                    .world
                    .records
                    .get(&name)
                    .map(|record| record.spec.observed.as_ref().unwrap().git.ref_.clone());
                if let Some(reference) = reference {
                    self.world.refs.remove(&reference);
                }
                self.actors[writer].pushed = true;
            }
        }

        fn give_up(&mut self, writer: usize) {
            if self.holds(writer) {
                let mut record = self.world.records[&self.own(writer)].clone();
                record.spec.intent = None;
                assert!(self.world.try_write(Edit::Replace(record)));
            }
            self.actors[writer] = Actor::default();
        }

        /// The records as one sees them who sees only what was written so far, and the refs as these records tell.
        fn told(&self, writer: usize) -> Refs {
            let observed = self
                .world
                .records
                .values()
                .map(|record| record.spec.observed.as_ref().unwrap());
            let mut refs: BTreeMap<String, String> = observed
                .map(|it| (it.git.ref_.clone(), it.git.commit.clone()))
                .collect();
            let actor = &self.actors[writer];
            if let Some(number) = actor.brings {
                refs.remove(&format!("refs/heads/proposed/a/w{writer}"));
                refs.insert(format!("refs/tags/a/v{number}"), id('d'));
            }
            if let Some(record) = actor
                .takes
                .as_ref()
                .and_then(|name| self.world.records.get(name))
            {
                refs.remove(&record.spec.observed.as_ref().unwrap().git.ref_);
            }
            let targets = refs.iter().map(|(name, commit)| {
                (
                    name.as_str(),
                    RefTarget {
                        id: commit.clone(),
                        commit: commit.clone(),
                    },
                )
            });
            targets.collect()
        }

        fn decide(&self, writer: usize, look: Look) -> VecDeque<Edit> {
            let records: Vec<_> = self.world.records.values().cloned().map(Arc::new).collect();
            let unread = HashSet::from(["refs/heads/main".to_owned()]);
            let settlement = settle(
                &self.world.subject,
                &records,
                &self.told(writer),
                Look { unread, ..look },
            );
            settlement.packages.into_iter().flatten().collect()
        }

        fn settle(&mut self, writer: usize) {
            let actor = &self.actors[writer];
            if actor.dead || !actor.pushed || !self.holds(writer) {
                return;
            }
            let own = self.own(writer);
            let brought = actor.brings.map(|number| {
                found(
                    "a",
                    &format!("w{writer}"),
                    number,
                    &format!("refs/tags/a/v{number}"),
                    'd',
                    'd',
                )
            });
            let look = Look {
                found: brought.into_iter().collect(),
                fates: HashMap::from([(own.clone(), Fate::Landed)]),
                ..Look::default()
            };
            let mut edits = self.decide(writer, look);
            edits.retain(|edit| match edit {
                Edit::Delete(record) => record.metadata.name.as_ref() == Some(&own),
                _ => true,
            });
            self.actors[writer].pending = edits;
        }

        fn agree(&mut self, writer: usize) {
            let actor = &self.actors[writer];
            if actor.dead || !actor.pushed || self.holds(writer) || !actor.pending.is_empty() {
                return;
            }
            let mut edits = self.decide(writer, Look::default());
            edits.retain(|edit| matches!(edit, Edit::Replace(_)));
            if edits.is_empty() {
                self.actors[writer] = Actor::default();
            } else {
                self.actors[writer].pending = edits;
            }
        }

        fn write(&mut self, who: usize) {
            if let Some(edit) = self.actors[who].pending.pop_front()
                && !self.world.try_write(edit)
            {
                self.actors[who].pending.clear();
            }
        }

        /// `hasty` lookers take everybody for dead.
        fn look(&mut self, who: usize, hasty: bool) {
            let Some(mut saw) = self.actors[who].saw.take() else {
                return;
            };
            saw.refs.clone_from(&self.world.refs);
            saw.aliases.clone_from(&self.world.aliases);
            let fates = saw.records.iter().filter_map(|(name, record)| {
                let intent = record.spec.intent.as_ref()?;
                let writer: usize = intent.id[1..].parse().unwrap();
                let landed = intent.edits.iter().all(|edit| match &edit.to {
                    Some(to) => saw.refs.get(&edit.ref_).is_some_and(|now| id(*now) == *to),
                    None => !saw.refs.contains_key(&edit.ref_),
                });
                let alive = !hasty && !self.actors[writer].dead;
                Some((
                    name.clone(),
                    Fate::of(intent, landed, alive, Timestamp::UNIX_EPOCH)?,
                ))
            });
            saw.fates = fates.collect();
            let (settlement, _) = saw.look();
            self.actors[who].pending = settlement.packages.into_iter().flatten().collect();
        }

        fn kill(&mut self, writer: usize) {
            self.actors[writer] = Actor {
                dead: true,
                ..Actor::default()
            };
        }

        fn latest(&self) -> Vec<&String> {
            let marked = self
                .world
                .records
                .iter()
                .filter(|(_, record)| is_latest(record));
            marked.map(|(name, _)| name).collect()
        }

        /// Everybody dies, and one looks until there is nothing to do.
        fn end(&mut self) {
            (0..WRITERS).for_each(|writer| self.kill(writer));
            for round in 0.. {
                self.actors[WRITERS].saw = Some(self.world.clone());
                self.look(WRITERS, true);
                if self.actors[WRITERS].pending.is_empty() {
                    break;
                }
                while !self.actors[WRITERS].pending.is_empty() {
                    self.write(WRITERS);
                }
                assert!(round < 10, "it comes to rest");
            }
        }
    }

    fn is_latest(record: &PackageRev) -> bool {
        record.spec.observed.as_ref().unwrap().latest
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn two_are_never_the_latest_and_in_the_end_the_newest_is(
            steps in proptest::collection::vec((0..13_u8, 0..30_usize), 1..80)
        ) {
            let mut model = Model::new();
            for (at, (what, who)) in steps.iter().enumerate() {
                model.step(*what, *who);
                prop_assert!(model.latest().len() < 2, "{:?} after {:?}", model.latest(), &steps[..=at]);
            }
            model.end();
            let published = model.world.records.iter().filter_map(|(name, record)| {
                Some((record.spec.observed.as_ref()?.revision, name)).filter(|(revision, _)| *revision > 0)
            });
            let newest: Vec<&String> = published.max().map(|(_, name)| name).into_iter().collect();
            prop_assert_eq!(model.latest(), newest);
        }
    }
}
