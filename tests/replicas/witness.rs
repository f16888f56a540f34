//! One who follows a replica from its first moment to its last, notes all that it was told, and complains of what nobody
//! may ever be told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use porch::cache::{Catalog, Name, Revision, Version};

/// How much is told of what went before a complaint.
const STORY: usize = 16;

/// What was told of one object.
#[derive(Clone, Debug)]
pub struct Moment {
    pub name: String,
    /// The object as it is then; nothing if it is gone.
    pub is: Option<Arc<Revision>>,
}

/// What was told, in its order.
#[derive(Default)]
struct History {
    moments: Vec<Moment>,
    state: BTreeMap<String, Arc<Revision>>,
    newest: Version,
    complaints: Vec<String>,
}

/// One who follows; clones share what was told.
#[derive(Clone, Default)]
pub struct Witness {
    history: Arc<Mutex<History>>,
}

impl Witness {
    /// Returns one who follows a catalog, on the threads of the caller.
    pub fn of(catalog: &Catalog) -> Self {
        let witness = Self::default();
        let version = witness.begin(catalog);
        tokio::spawn(witness.clone().follow(catalog.clone(), version));
        witness
    }

    fn begin(&self, catalog: &Catalog) -> Version {
        let snapshot = catalog.revisions().snapshot();
        let objects: Vec<_> = snapshot.objects.iter().collect();
        self.history().begin(&objects, snapshot.version);
        snapshot.version
    }

    async fn follow(self, catalog: Catalog, mut from: Version) {
        loop {
            let mut follower = catalog.revisions().follow(from).unwrap();
            while let Ok(batch) = follower.next().await {
                let mut history = self.history();
                for change in &batch.changes {
                    history.hear(change.version, change.was.as_ref(), change.is.as_ref());
                }
            }
            from = self.begin(&catalog);
        }
    }

    /// Takes over what an earlier process told: this one may tell nothing older.
    pub fn inherit(&self, earlier: &Self) {
        let mut earlier = std::mem::take(&mut *earlier.history());
        let mut own = self.history();
        if own.newest < earlier.newest {
            let (old, new) = (earlier.newest, own.newest);
            own.complaints
                .push(format!("a restart went back from {old} to {new}"));
        }
        earlier.moments.append(&mut own.moments);
        own.moments = earlier.moments;
        earlier.complaints.append(&mut own.complaints);
        own.complaints = earlier.complaints;
    }

    /// Returns what nobody should have been told.
    pub fn complaints(&self) -> Vec<String> {
        self.history().complaints.clone()
    }

    /// Returns what was told of an object, in its order.
    pub fn moments(&self, name: &str) -> Vec<Moment> {
        let history = self.history();
        let own = history.moments.iter().filter(|moment| moment.name == name);
        own.cloned().collect()
    }

    /// Returns the names of all objects that were ever told of.
    pub fn names(&self) -> std::collections::BTreeSet<String> {
        let history = self.history();
        history
            .moments
            .iter()
            .map(|moment| moment.name.clone())
            .collect()
    }

    /// Returns what list and watch make together.
    pub fn state(&self) -> BTreeMap<String, Version> {
        let history = self.history();
        let pair = |(name, revision): (&String, &Arc<Revision>)| (name.clone(), version(revision));
        history.state.iter().map(pair).collect()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }
}

impl History {
    fn begin(&mut self, objects: &[(&Name, &Arc<Revision>)], version: Version) {
        if version < self.newest {
            self.complaints
                .push(format!("a list at {version} after {}", self.newest));
        }
        self.newest = version;
        self.state.clear();
        for (name, revision) in objects {
            self.note(&name.name, Some(revision));
        }
        self.check();
    }

    fn hear(&mut self, at: Version, was: Option<&Arc<Revision>>, is: Option<&Arc<Revision>>) {
        let name = was
            .or(is)
            .map(|it| it.record().metadata.name.clone().unwrap());
        let name = name.unwrap();
        if at <= self.newest {
            self.complaints
                .push(format!("{name}: {at} after {}", self.newest));
        }
        if self.state.get(&name).map(version) != was.map(version) {
            self.complaints
                .push(format!("{name}: something was lost or doubled before {at}"));
        }
        self.newest = at;
        self.note(&name, is);
        self.check();
    }

    fn note(&mut self, name: &str, is: Option<&Arc<Revision>>) {
        match is {
            Some(is) => self.state.insert(name.into(), is.clone()),
            None => self.state.remove(name),
        };
        let (name, is) = (name.to_owned(), is.cloned());
        self.moments.push(Moment { name, is });
    }

    /// Returns what was told of these objects last.
    fn story(&self, names: &[&str]) -> String {
        let own = self.moments.iter().rev();
        let own = own.filter(|moment| names.contains(&moment.name.as_str()));
        let lines = own.take(STORY).map(|moment| {
            let Some(is) = &moment.is else {
                return format!("{} is gone\n", moment.name);
            };
            let (observed, intent) = (is.observed(), &is.record().spec.intent);
            format!(
                "{} {}: {:?} v{}, latest {}, {intent:?}\n",
                version(is),
                moment.name,
                observed.lifecycle,
                observed.revision,
                observed.latest
            )
        });
        lines.collect()
    }

    /// No package ever has two revisions of one number, or two that are the latest.
    fn check(&mut self) {
        let (mut latest, mut numbers) = (BTreeMap::new(), BTreeMap::new());
        let mut complaints = Vec::new();
        for (name, revision) in &self.state {
            let observed = revision.observed();
            let package = observed.package.clone();
            if observed.latest
                && let Some(other) = latest.insert(package.clone(), name)
            {
                complaints.push(format!(
                    "{name} and {other} are both the latest at {}:\n{}",
                    self.newest,
                    self.story(&[name, other])
                ));
            }
            if observed.revision > 0
                && let Some(other) = numbers.insert((package, observed.revision), name)
            {
                complaints.push(format!(
                    "{name} and {other} have one number at {}",
                    self.newest
                ));
            }
        }
        self.complaints.append(&mut complaints);
    }
}

fn version(revision: &Arc<Revision>) -> Version {
    porch::cache::version_of(revision.record()).unwrap()
}
