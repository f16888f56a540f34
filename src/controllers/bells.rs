//! The managers of this process that can be told to look at once, by the names of their Repositories. In come names, out
//! goes whether somebody heard. Nobody waits here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::Notify;

use super::repository::Name;

/// The bells of this process; clones share them.
#[derive(Clone, Default)]
pub struct Bells {
    /// Held for moments.
    hung: Arc<Mutex<HashMap<Name, Arc<Notify>>>>,
}

/// A bell that hangs; taken down when it is dropped.
pub struct Bell {
    bells: Bells,
    name: Name,
    manager: Arc<Notify>,
}

impl Bells {
    /// Makes the manager of a Repository look now; returns whether it is in this process.
    #[must_use]
    pub fn ring(&self, name: &Name) -> bool {
        let hung = self.hung();
        let bell = hung.get(name);
        bell.inspect(|manager| manager.notify_one()).is_some()
    }

    /// Hangs the bell of a Repository's manager.
    pub(super) fn hang(&self, name: Name, manager: Arc<Notify>) -> Bell {
        self.hung().insert(name.clone(), manager.clone());
        Bell {
            bells: self.clone(),
            name,
            manager,
        }
    }

    fn hung(&self) -> MutexGuard<'_, HashMap<Name, Arc<Notify>>> {
        self.hung.lock().expect("nobody panics with the lock held")
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let mut hung = self.bells.hung();
        // The place may be a successor's by now.
        if hung
            .get(&self.name)
            .is_some_and(|known| Arc::ptr_eq(known, &self.manager))
        {
            hung.remove(&self.name);
        }
    }
}
