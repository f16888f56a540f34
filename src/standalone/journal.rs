//! The store on disk: what was acknowledged is in it, whenever the process is killed.
//!
//! In come changes in the order of their versions; they are made durable together, as many as wait. Out comes, at the
//! start, all that is in it. It must never acknowledge what is not durable, and never need repair.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use super::Error;
use crate::cache::Version;

/// The format of the store that this build writes.
const FORMAT: u64 = 1;
/// What the store says of itself: `format`, and `version`, the newest ever given.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Objects by `group/plural/namespace/name`, as they are served.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
/// Memory for pages of the database, in bytes: objects are kept in memory as they are served, so little suffices.
const CACHE: usize = 2 << 20;
/// The database's file within the data directory.
const FILE: &str = "objects.redb";

/// One change of one object: its key, and its bytes unless it is gone.
pub type Change = (String, Option<Bytes>);

/// The store on disk, held by this process alone.
pub struct Journal {
    database: Database,
    directory: PathBuf,
}

/// What the store holds.
pub struct Content {
    /// Keys and bytes of every object, in order.
    pub objects: Vec<(String, Vec<u8>)>,
    /// The newest version ever given.
    pub version: Version,
}

impl Journal {
    /// Opens the store in `directory`, which is made if it is missing.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process holds it, [`Error::Newer`] if a later build wrote it, [`Error::Storage`] if
    /// the disk says no.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let storage = |why: String| Error::Storage {
            directory: directory.to_owned(),
            why,
        };
        fs::create_dir_all(directory).map_err(|error| storage(error.to_string()))?;
        let opened = Database::builder()
            .set_cache_size(CACHE)
            .create(directory.join(FILE));
        let database = opened.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => Error::InUse(directory.to_owned()),
            other => storage(other.to_string()),
        })?;
        let journal = Self {
            database,
            directory: directory.to_owned(),
        };
        let found = journal
            .prepare()
            .map_err(|error| storage(error.to_string()))?;
        if found > FORMAT {
            return Err(Error::Newer {
                directory: directory.to_owned(),
                found,
                known: FORMAT,
            });
        }
        Ok(journal)
    }

    /// Makes the tables, and returns the format that the store has.
    fn prepare(&self) -> Result<u64, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(true);
        let found = {
            let mut meta = transaction.open_table(META)?;
            let found = meta.get("format")?.map(|found| found.value());
            if found.is_none() {
                meta.insert("format", FORMAT)?;
            }
            transaction.open_table(OBJECTS)?;
            found.unwrap_or(FORMAT)
        };
        transaction.commit()?;
        Ok(found)
    }

    /// Returns all that is in the store.
    ///
    /// # Errors
    /// [`Error::Storage`] if it can't be read.
    pub fn content(&self) -> Result<Content, Error> {
        self.read().map_err(|error| self.failed(&error))
    }

    fn read(&self) -> Result<Content, redb::Error> {
        let transaction = self.database.begin_read()?;
        let version = transaction.open_table(META)?.get("version")?;
        let mut objects = Vec::new();
        for entry in transaction.open_table(OBJECTS)?.iter()? {
            let (key, value) = entry?;
            objects.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(Content {
            objects,
            version: Version(version.map_or(0, |version| version.value())),
        })
    }

    /// Makes changes durable, all or none, and `version` the newest ever given.
    ///
    /// # Errors
    /// [`Error::Storage`]; then nothing is changed.
    pub fn commit(
        &self,
        changes: impl Iterator<Item = Change>,
        version: Version,
    ) -> Result<(), Error> {
        self.write(changes, version)
            .map_err(|error| self.failed(&error))
    }

    fn write(
        &self,
        changes: impl Iterator<Item = Change>,
        version: Version,
    ) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        // Without it a kill would cost a walk through the whole file at the next start.
        transaction.set_quick_repair(true);
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            for (key, change) in changes {
                match change {
                    Some(bytes) => objects.insert(key.as_str(), bytes.as_ref())?,
                    None => objects.remove(key.as_str())?,
                };
            }
            transaction.open_table(META)?.insert("version", version.0)?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn failed(&self, error: &redb::Error) -> Error {
        Error::Storage {
            directory: self.directory.clone(),
            why: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str) -> Change {
        (key.into(), Some(Bytes::from_static(b"{}")))
    }

    #[test]
    fn what_was_committed_is_there_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        assert_eq!(journal.content().unwrap().version, Version(0));
        journal
            .commit([put("a"), put("b")].into_iter(), Version(2))
            .unwrap();
        journal
            .commit([("a".into(), None)].into_iter(), Version(3))
            .unwrap();
        drop(journal);
        let content = Journal::open(directory.path()).unwrap().content().unwrap();
        assert_eq!(content.objects, [("b".to_owned(), b"{}".to_vec())]);
        assert_eq!(content.version, Version(3));
    }

    #[test]
    fn a_second_holder_is_refused_with_the_directory_named() {
        let directory = tempfile::tempdir().unwrap();
        let _first = Journal::open(directory.path()).unwrap();
        let second = Journal::open(directory.path()).err().unwrap();
        assert!(matches!(&second, Error::InUse(path) if path == directory.path()));
        assert!(second.to_string().contains("in use by another process"));
    }

    #[test]
    fn a_store_of_a_later_build_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        let transaction = journal.database.begin_write().unwrap();
        transaction
            .open_table(META)
            .unwrap()
            .insert("format", FORMAT + 1)
            .unwrap();
        transaction.commit().unwrap();
        drop(journal);
        let refused = Journal::open(directory.path()).err().unwrap();
        assert!(matches!(
            refused,
            Error::Newer {
                found: 2,
                known: 1,
                ..
            }
        ));
    }
}
