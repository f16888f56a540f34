//! Which processes write: each shows that it lives by a Lease of its own, so that others know when a write that it began
//! will not be finished by it. In comes the id in an open intent; out goes whether its writer may still be there. No clock
//! is a lock: what a dead process sent may arrive all the same, and is found then.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Error,
    lease::{Lease, Terms},
};

/// What precedes the id in the name of a process' Lease.
const PREFIX: &str = "porch-process-";

/// This process and those that it knows of; clones share what was seen.
#[derive(Clone)]
pub struct Processes {
    /// The id of this process; no two have the same.
    id: Arc<str>,
    /// Nothing where no other process can live: a lock on the data keeps them out.
    others: Option<Others>,
}

#[derive(Clone)]
struct Others {
    leases: Api<Object>,
    terms: Terms,
    /// Versions of Leases by name, and since when they are seen so: only this machine's clock is asked. Held for moments.
    seen: Arc<Mutex<HashMap<String, (String, Instant)>>>,
}

impl Processes {
    /// Returns a process that is alone: every other one that ever wrote is dead.
    #[must_use]
    pub fn alone() -> Self {
        Self {
            id: Uuid::new_v4().to_string().into(),
            others: None,
        }
    }

    /// Returns a process among others, whose Leases are in `namespace`.
    #[must_use]
    pub fn among(client: Client, namespace: &str, terms: Terms) -> Self {
        let others = Others {
            leases: Api::namespaced(client, namespace),
            terms,
            seen: Arc::default(),
        };
        Self {
            id: Uuid::new_v4().to_string().into(),
            others: Some(others),
        }
    }

    /// Returns whether it is alone: then nobody beside it looks after the objects either, such as a garbage collector.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.others.is_none()
    }

    /// Returns the id of this process.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Shows that this process lives, until `stop`.
    pub async fn live(self, client: Client, namespace: String, stop: CancellationToken) {
        let Some(others) = &self.others else {
            return;
        };
        let name = format!("{PREFIX}{}", self.id);
        let lease = Lease::new(client, &namespace, &name, &self.id, others.terms);
        lease
            .run(stop, |lost| async move { lost.cancelled().await })
            .await;
        // One that stays is taken for that of a dead process, and removed by others.
        let _ = others.leases.delete(&name, &DeleteParams::default()).await;
    }

    /// Returns those of these processes that may still finish what they began.
    ///
    /// # Errors
    /// [`Error::Cluster`]: it is not known who lives.
    pub async fn alive(&self, ids: &HashSet<String>) -> Result<HashSet<String>, Error> {
        let mut alive: HashSet<String> =
            ids.iter().filter(|id| **id == *self.id).cloned().collect();
        let strangers = ids.iter().any(|id| **id != *self.id);
        if let (Some(others), true) = (&self.others, strangers) {
            alive.extend(
                others
                    .renewed()
                    .await?
                    .into_iter()
                    .filter(|id| ids.contains(id)),
            );
        }
        Ok(alive)
    }
}

impl Others {
    /// Returns the processes whose Leases were renewed not long ago, as this one saw it: twice the time that they last, to be
    /// sure. Leases of others are removed.
    async fn renewed(&self) -> Result<Vec<String>, Error> {
        let listed = self.leases.list(&ListParams::default()).await;
        let listed = listed.map_err(|error| Error::cluster("cannot list Leases", &error))?;
        let now = Instant::now();
        let (mut alive, mut gone) = (Vec::new(), Vec::new());
        for lease in listed.items {
            let name = lease.metadata.name.unwrap_or_default();
            let Some(id) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let version = lease.metadata.resource_version.unwrap_or_default();
            if self.since(&name, version, now) + self.terms.lasting * 2 > now {
                alive.push(id.to_owned());
            } else {
                gone.push(name);
            }
        }
        for name in gone {
            // Whoever does not succeed tries again at the next look.
            let _ = self.leases.delete(&name, &DeleteParams::default()).await;
        }
        Ok(alive)
    }

    /// Returns since when a Lease is seen at this version.
    fn since(&self, name: &str, version: String, now: Instant) -> Instant {
        let mut seen = self.seen.lock().expect("nobody panics with the lock held");
        let known = seen.get(name).filter(|(known, _)| *known == version);
        let since = known.map_or(now, |(_, since)| *since);
        seen.insert(name.into(), (version, since));
        since
    }
}
