//! All objects of all kinds, and the one line in which they change.
//!
//! In come transactions, each computed on the newest state, one after another; out go objects to the stores that readers
//! see, once they are durable. One counter gives every version. It knows no rule of any kind, and must not show what a
//! kill could take back.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
};

use imbl::OrdMap;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    Definition, Error, Object,
    journal::{self, Journal},
};
use crate::{
    apiserver::Failure,
    cache::{Entry, Name, Store, Version},
};

/// How many changes of each kind a watch can look back at.
const HISTORY: usize = 8192;
/// How many transactions are made durable together at most; bounds one commit.
const TOGETHER: usize = 512;

/// Where objects are kept.
#[derive(Clone, Debug)]
pub enum Persistence {
    /// In this directory, for good.
    Disk(PathBuf),
    /// Nowhere: gone with the process. Nothing blocks, so that tests can pause time.
    Memory,
}

type Objects = OrdMap<Name, Arc<Object>>;

/// The objects of one kind.
pub struct Table {
    /// Their kind.
    pub definition: Arc<Definition>,
    /// What readers see.
    pub store: Arc<Store<Object>>,
}

/// The newest state: what the next transaction is computed on. It may be ahead of what readers see.
#[derive(Clone)]
struct Head {
    /// One for each table.
    objects: Vec<Objects>,
    /// The newest version given.
    version: Version,
}

struct Shared {
    tables: Vec<Table>,
    /// Held while a transaction is computed and handed on, so that they are handed on in the order of their versions.
    head: Mutex<Head>,
}

/// All objects of all kinds.
pub struct Storage {
    shared: Arc<Shared>,
    /// The way to the journal's thread; nothing when objects are kept in memory only, or after the end.
    queue: Mutex<Option<mpsc::Sender<Batch>>>,
    /// Whether there is a journal: then no queue means the end.
    durable: bool,
    /// The journal's thread, waited for at the end so that the directory is free again.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One change of one object.
struct Staged {
    table: usize,
    name: Name,
    version: Version,
    is: Option<Arc<Object>>,
}

/// What one transaction changes, and who waits for it.
struct Batch {
    staged: Vec<Staged>,
    version: Version,
    done: oneshot::Sender<Result<(), String>>,
}

impl Storage {
    /// Opens the storage of these kinds. Blocks while a directory is read.
    ///
    /// # Errors
    /// [`Error`], if the directory can't be used or holds what can't be read.
    pub fn open(
        persistence: &Persistence,
        definitions: Vec<Arc<Definition>>,
    ) -> Result<Self, Error> {
        let tables: Vec<Table> = definitions
            .into_iter()
            .map(|definition| Table {
                definition,
                store: Arc::new(Store::new(HISTORY)),
            })
            .collect();
        let (journal, head) = match persistence {
            Persistence::Memory => (None, empty(tables.len())),
            Persistence::Disk(directory) => {
                let journal = Journal::open(directory)?;
                let head = restored(&journal, &tables)?;
                (Some(journal), head)
            }
        };
        for (table, objects) in tables.iter().zip(&head.objects) {
            table.store.replace(objects.clone(), head.version);
        }
        let shared = Arc::new(Shared {
            tables,
            head: Mutex::new(head),
        });
        let (queue, thread) = journal
            .map(|journal| start(journal, shared.clone()))
            .unzip();
        Ok(Self {
            shared,
            durable: queue.is_some(),
            queue: Mutex::new(queue),
            thread: Mutex::new(thread),
        })
    }

    /// Returns the kinds with what readers see of them.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.shared.tables
    }

    /// Computes a transaction on the newest state and makes it last; returns when readers see it. If the caller goes
    /// away meanwhile, it is finished all the same.
    ///
    /// # Errors
    /// Whatever `act` returns: then nothing is changed. [`Failure::Unavailable`] if it can't be made durable.
    pub async fn transact<R>(
        &self,
        act: impl FnOnce(&mut Transaction<'_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let (result, done) = {
            let mut head = self.shared.lock();
            let mut transaction = Transaction::on(&head, &self.shared.tables);
            let result = act(&mut transaction)?;
            let done = self.hand_on(&mut head, transaction)?;
            (result, done)
        };
        match done.await {
            Ok(Ok(())) => Ok(result),
            Ok(Err(why)) => Err(unavailable(why)),
            Err(_) => Err(unavailable("the store is closed".into())),
        }
    }

    /// Computes a transaction on the newest state and forgets it.
    ///
    /// # Errors
    /// Whatever `act` returns.
    pub fn rehearse<R>(
        &self,
        act: impl FnOnce(&mut Transaction<'_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let head = self.shared.lock();
        act(&mut Transaction::on(&head, &self.shared.tables))
    }

    fn hand_on(
        &self,
        head: &mut Head,
        transaction: Transaction<'_>,
    ) -> Result<oneshot::Receiver<Result<(), String>>, Failure> {
        let (done, waits) = oneshot::channel();
        let Transaction { next, staged, .. } = transaction;
        let batch = Batch {
            staged,
            version: next.version,
            done,
        };
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref() {
            // A transaction that changes nothing waits too: what it saw may not be durable yet.
            Some(queue) => queue
                .send(batch)
                .map_err(|_| unavailable("the store is closed".into()))?,
            None if self.durable => return Err(unavailable("the store is closed".into())),
            None => self.shared.publish(vec![batch]),
        }
        *head = next;
        Ok(waits)
    }

    /// Ends the storage: what was handed on is made durable, then the directory is free. Blocks meanwhile.
    pub fn close(&self) {
        drop(
            self.queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of the object store ended by a panic");
        }
    }
}

fn unavailable(message: String) -> Failure {
    Failure::Unavailable {
        message,
        retry_after: 1,
    }
}

fn empty(tables: usize) -> Head {
    Head {
        objects: vec![Objects::new(); tables],
        version: Version(1),
    }
}

fn restored(journal: &Journal, tables: &[Table]) -> Result<Head, Error> {
    let content = journal.content()?;
    let mut head = empty(tables.len());
    head.version = head.version.max(content.version);
    for (key, bytes) in content.objects {
        let place = tables
            .iter()
            .position(|table| key.starts_with(&prefix(&table.definition)));
        // A kind that this build does not know is left where it is.
        let Some(table) = place else { continue };
        let selectable = &tables[table].definition.kind.selectable;
        let object =
            Object::restore(&bytes, selectable).map_err(|why| Error::Damaged { key, why })?;
        head.objects[table].insert(object.name().clone(), Arc::new(object));
    }
    Ok(head)
}

fn prefix(definition: &Definition) -> String {
    format!("{}/{}/", definition.kind.group, definition.kind.plural)
}

fn start(journal: Journal, shared: Arc<Shared>) -> (mpsc::Sender<Batch>, JoinHandle<()>) {
    let (queue, waiting) = mpsc::channel();
    let run = move || {
        while let Ok(first) = waiting.recv() {
            let more = waiting.try_iter().take(TOGETHER);
            let batches: Vec<Batch> = std::iter::once(first).chain(more).collect();
            match shared.persist(&journal, &batches) {
                Ok(()) => shared.publish(batches),
                Err(error) => shared.take_back(batches, &waiting, &error),
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("journal".into())
        .spawn(run);
    (
        queue,
        thread.expect("a process that starts can start a thread"),
    )
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Head> {
        // The head is only ever replaced whole: a panic beside it does it no harm.
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn persist(&self, journal: &Journal, batches: &[Batch]) -> Result<(), Error> {
        let changed = batches.iter().any(|batch| !batch.staged.is_empty());
        let Some(last) = batches.last().filter(|_| changed) else {
            return Ok(());
        };
        let staged = batches.iter().flat_map(|batch| &batch.staged);
        journal.commit(staged.map(|staged| self.change(staged)), last.version)
    }

    fn change(&self, staged: &Staged) -> journal::Change {
        let prefix = prefix(&self.tables[staged.table].definition);
        let key = format!("{prefix}{}/{}", staged.name.namespace, staged.name.name);
        (key, staged.is.as_ref().map(|object| object.body().clone()))
    }

    /// Shows readers what is durable, then tells those who wait.
    fn publish(&self, batches: Vec<Batch>) {
        let version = batches
            .iter()
            .filter(|batch| !batch.staged.is_empty())
            .map(|batch| batch.version)
            .max();
        let mut waiting = Vec::with_capacity(batches.len());
        for batch in batches {
            for staged in batch.staged {
                let store = &self.tables[staged.table].store;
                match staged.is {
                    Some(object) => store.put(object),
                    None => store.remove(&staged.name, staged.version),
                }
            }
            waiting.push(batch.done);
        }
        if let Some(version) = version {
            self.tables
                .iter()
                .for_each(|table| table.store.advance(version));
        }
        for done in waiting {
            // Nobody waits if the caller has gone.
            let _ = done.send(Ok(()));
        }
    }

    /// Forgets what could not be made durable, and whatever was computed on it. Versions are not given twice.
    fn take_back(&self, batches: Vec<Batch>, waiting: &mpsc::Receiver<Batch>, error: &Error) {
        tracing::error!(%error, "objects can't be stored");
        let mut head = self.lock();
        let snapshots = self
            .tables
            .iter()
            .map(|table| table.store.snapshot().objects);
        head.objects = snapshots.collect();
        for batch in batches.into_iter().chain(waiting.try_iter()) {
            let _ = batch.done.send(Err("the object store can't write".into()));
        }
    }
}

/// Changes that become real together, or not at all.
pub struct Transaction<'a> {
    next: Head,
    tables: &'a [Table],
    staged: Vec<Staged>,
}

impl<'a> Transaction<'a> {
    fn on(head: &Head, tables: &'a [Table]) -> Self {
        Self {
            next: head.clone(),
            tables,
            staged: Vec::new(),
        }
    }

    /// Returns the kinds, in the order of their numbers.
    #[must_use]
    pub fn tables(&self) -> &'a [Table] {
        self.tables
    }

    /// Returns the number of a core kind.
    #[must_use]
    pub fn core(&self, plural: &str) -> Option<usize> {
        let kinds = self.tables.iter().map(|table| &table.definition.kind);
        kinds
            .enumerate()
            .find(|(_, kind)| kind.group.is_empty() && kind.plural == plural)
            .map(|found| found.0)
    }

    /// Returns the object of this name, if there is one.
    #[must_use]
    pub fn get(&self, table: usize, name: &Name) -> Option<&Arc<Object>> {
        self.next.objects[table].get(name)
    }

    /// Returns the objects of a kind in a namespace, or all of them for an empty one.
    pub fn list(&self, table: usize, namespace: &str) -> Vec<Arc<Object>> {
        let objects = &self.next.objects[table];
        if namespace.is_empty() {
            return objects.values().cloned().collect();
        }
        let from = Name::new(namespace, "");
        let within = objects
            .range(from..)
            .take_while(|(name, _)| name.namespace == namespace);
        within.map(|(_, object)| object.clone()).collect()
    }

    /// Puts an object in its place under a new version, and returns it.
    pub fn put(&mut self, table: usize, value: Value) -> Arc<Object> {
        let version = self.advance();
        let selectable = &self.tables[table].definition.kind.selectable;
        let object = Arc::new(Object::new(value, version, selectable));
        let name = object.name().clone();
        self.next.objects[table].insert(name.clone(), object.clone());
        self.staged.push(Staged {
            table,
            name,
            version,
            is: Some(object.clone()),
        });
        object
    }

    /// Takes an object away, and returns the version of that.
    pub fn remove(&mut self, table: usize, name: &Name) -> Version {
        let version = self.advance();
        self.next.objects[table].remove(name);
        self.staged.push(Staged {
            table,
            name: name.clone(),
            version,
            is: None,
        });
        version
    }

    fn advance(&mut self) -> Version {
        self.next.version = Version(self.next.version.0 + 1);
        self.next.version
    }
}
