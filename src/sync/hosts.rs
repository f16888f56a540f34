//! The Git servers, and how much of this process each may hold. In comes who is to be asked, out goes a place, or that the
//! server is left alone for now. A server that hangs holds its own share and nobody else's; one that answers nobody is
//! asked by one at a time until it does.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::Error;
use crate::git::{self, Access};

/// How many exchanges may be under way for all looks, and for all those whom somebody waits for. Most only wait, so there
/// are many; together they stay below the number of threads that may block.
const ALL: usize = 192;
/// How many of them one server may hold.
const SHARE: usize = 24;
/// So many repositories of a server that did not answer, one after the other, mean that the server does not.
const SILENT: usize = 3;
/// How long a silent server is left alone; then one asks, and it is left alone for that long again.
const ALONE: Duration = Duration::from_secs(30);
/// So many servers are remembered; beyond it those of which nothing is to be remembered are forgotten.
const KNOWN: usize = 1000;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A look in the background.
    Look,
    /// A request that somebody waits for.
    Request,
}

/// The servers that this process asks.
pub struct Hosts {
    /// By scheme, host and port. Held for moments.
    known: Mutex<HashMap<String, Arc<Host>>>,
    all: Gates,
}

/// Places for those who look, and for those whom somebody waits for: neither waits for the other's kind.
struct Gates {
    looks: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

struct Host {
    gates: Gates,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Repositories that were not answered since the last answer; as many as matter.
    silent: BTreeSet<String>,
    /// Whether the last of them was waited for in vain.
    slow: bool,
    /// Until when nobody looks.
    alone: Option<Instant>,
}

/// A place at a server, and among all.
pub struct Seat {
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Gates {
    fn new(places: usize) -> Self {
        Self {
            looks: Arc::new(Semaphore::new(places)),
            requests: Arc::new(Semaphore::new(places)),
        }
    }

    async fn pass(&self, asker: Asker) -> OwnedSemaphorePermit {
        let gate = match asker {
            Asker::Look => &self.looks,
            Asker::Request => &self.requests,
        };
        let permit = gate.clone().acquire_owned().await;
        permit.expect("gates are never closed")
    }
}

impl Hosts {
    /// Returns the servers, none of which was asked yet.
    pub fn new() -> Self {
        Self {
            known: Mutex::default(),
            all: Gates::new(ALL),
        }
    }

    /// Waits for a place. Whoever waits for one at its server holds none of all; who came first has it first.
    pub async fn seat(&self, access: &Access, asker: Asker) -> Seat {
        let host = self.host(access);
        let host = host.gates.pass(asker).await;
        Seat {
            _host: host,
            _all: self.all.pass(asker).await,
        }
    }

    /// Returns whether a look may ask a server now. One that answered nobody is asked by the first who comes after a while.
    ///
    /// # Errors
    /// [`Error::Silent`].
    pub fn admit(&self, access: &Access) -> Result<(), Error> {
        let host = self.host(access);
        let (mut state, now) = (host.state(), Instant::now());
        match state.alone {
            None => Ok(()),
            Some(until) if until > now => Err(Error::Silent {
                server: access.address.server(),
                after: until - now,
                slow: state.slow,
            }),
            Some(_) => {
                state.alone = Some(now + ALONE);
                Ok(())
            }
        }
    }

    /// Notes whether a server answered, whatever it said.
    pub fn note<T>(&self, access: &Access, result: &Result<T, git::Error>) {
        let host = self.host(access);
        let mut state = host.state();
        match result {
            Err(error @ (git::Error::TimedOut(_) | git::Error::Unreachable(_))) => {
                state.slow = matches!(error, git::Error::TimedOut(_));
                if state.silent.len() < SILENT {
                    state.silent.insert(access.address.as_str().into());
                }
                if state.silent.len() >= SILENT {
                    state.alone = Some(Instant::now() + ALONE);
                }
            }
            // This machine, or nobody was asked.
            Err(git::Error::Local(_) | git::Error::Corrupt(_) | git::Error::Refused(_)) => {}
            _ => *state = State::default(),
        }
    }

    fn host(&self, access: &Access) -> Arc<Host> {
        let mut known = self.known.lock().expect("nobody panics with the lock held");
        if known.len() >= KNOWN {
            known.retain(|_, host| Arc::strong_count(host) > 1 || host.state().alone.is_some());
        }
        let host = known.entry(access.address.server()).or_insert_with(|| {
            Arc::new(Host {
                gates: Gates::new(SHARE),
                state: Mutex::default(),
            })
        });
        host.clone()
    }
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the lock held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Address;

    fn access(path: &str) -> Access {
        let address = Address::parse(&format!("https://example.com/{path}"), false);
        Access::anonymous(address.unwrap())
    }

    fn silence() -> Result<(), git::Error> {
        Err(git::Error::TimedOut("x".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_answers_nobody_is_asked_by_one_at_a_time_until_it_does() {
        let hosts = Hosts::new();
        // One repository that hangs is not the server's silence.
        for _ in 0..10 {
            hosts.note(&access("a"), &silence());
            assert!(hosts.admit(&access("b")).is_ok());
        }
        for path in ["b", "c"] {
            hosts.note(&access(path), &silence());
        }
        let refused = hosts.admit(&access("d")).unwrap_err();
        let waits = matches!(&refused, Error::Silent { after, .. } if *after == ALONE);
        assert!(waits, "{refused:?}");
        let other = Address::parse("https://example.org/a", false).unwrap();
        assert!(hosts.admit(&Access::anonymous(other)).is_ok());
        tokio::time::advance(ALONE).await;
        assert!(hosts.admit(&access("d")).is_ok());
        assert!(hosts.admit(&access("a")).is_err(), "one asks already");
        // What a server says, even if it is no, is an answer.
        let said = Err::<(), _>(git::Error::Forbidden("x".into()));
        hosts.note(&access("d"), &said);
        assert!(hosts.admit(&access("a")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_holds_no_more_than_its_share_and_looks_are_in_no_requests_way() {
        let (hosts, wait) = (Hosts::new(), Duration::from_secs(1));
        let seat = async |path: &str, asker| {
            let access = access(path);
            tokio::time::timeout(wait, hosts.seat(&access, asker)).await
        };
        let mut held = Vec::new();
        for _ in 0..SHARE {
            held.push(seat("a", Asker::Look).await.unwrap());
        }
        assert!(seat("b", Asker::Look).await.is_err());
        assert!(seat("b", Asker::Request).await.is_ok());
        let other = Access::anonymous(Address::parse("https://example.org/a", false).unwrap());
        let elsewhere = tokio::time::timeout(wait, hosts.seat(&other, Asker::Look));
        assert!(elsewhere.await.is_ok());
        held.pop();
        assert!(seat("b", Asker::Look).await.is_ok());
    }
}
