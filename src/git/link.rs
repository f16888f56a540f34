//! What one access to a repository keeps between its exchanges: open connections, and what was learned of the server. Clones
//! of an access share it. It knows no protocol.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio_util::sync::CancellationToken;
use ureq::Agent;
use url::Url;

use super::{Error, receive::Abilities};

/// So many links keep connections: each holds a socket, its buffers and certificates, and few need them again soon.
const MOST: usize = 64;

/// The links that may keep connections, the one that was used last at the end.
static WARM: Mutex<VecDeque<Weak<Link>>> = Mutex::new(VecDeque::new());

/// Which protocol a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Not yet known: the newer is tried.
    #[default]
    Unknown,
    /// Protocol version 2.
    Two,
    /// The original protocol.
    Zero,
}

/// The connections to one repository, and what was learned of its server.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Made when needed: reading certificates takes its time. Nothing while nobody talks and others do.
    agent: Mutex<Option<Arc<Agent>>>,
    /// Behind a lock since clones of one access may be used at once; it is held for the copy alone.
    learned: Mutex<Learned>,
    /// Nobody wants to hear of this server any more, by this link.
    ended: CancellationToken,
}

/// What was learned of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Learned {
    /// Which protocol it speaks.
    pub(super) dialect: Dialect,
    /// Where the repository said that it lives, on the same authority.
    pub(super) base: Option<Url>,
    /// What the server can do with a push; nothing until it was asked.
    pub(super) abilities: Option<Arc<Abilities>>,
}

impl Link {
    /// Returns the connections, made if there are none. They stay for the next exchange, unless many other repositories are
    /// asked before that.
    ///
    /// # Errors
    /// Those of making them.
    pub(super) fn agent(
        self: &Arc<Self>,
        make: impl FnOnce() -> Result<Agent, Error>,
    ) -> Result<Arc<Agent>, Error> {
        let agent = {
            let mut kept = locked(&self.agent);
            match &*kept {
                Some(agent) => agent.clone(),
                None => kept.insert(Arc::new(make()?)).clone(),
            }
        };
        self.stay_warm();
        Ok(agent)
    }

    /// Makes this the last of the links that keep connections, and those that are too many close theirs.
    fn stay_warm(self: &Arc<Self>) {
        let own = Arc::downgrade(self);
        let mut warm = locked(&WARM);
        warm.retain(|link| link.strong_count() > 0 && !link.ptr_eq(&own));
        warm.push_back(own);
        let excess = warm.len().saturating_sub(MOST);
        let cooled: Vec<Weak<Self>> = warm.drain(..excess).collect();
        let busy = cooled.into_iter().filter(|link| {
            let link = link.upgrade();
            link.is_some_and(|link| !link.cool_down())
        });
        // Whoever talks now is seen to when others come.
        for link in busy {
            warm.push_front(link);
        }
    }

    /// Closes connections unless somebody uses them; returns whether there are none now.
    fn cool_down(&self) -> bool {
        let mut kept = locked(&self.agent);
        if kept.as_ref().is_some_and(|it| Arc::strong_count(it) > 1) {
            return false;
        }
        *kept = None;
        true
    }

    /// Returns whether nobody wants to hear of the server any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Returns what tells that nobody wants to hear of the server any more.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Returns what was learned so far.
    pub(super) fn learned(&self) -> Learned {
        locked(&self.learned).clone()
    }

    /// Ends what is under way, in whatever thread, and lets nothing begin.
    pub(super) fn end(&self) {
        self.ended.cancel();
        if let Some(agent) = &*locked(&self.agent) {
            Agent::clone(agent).shutdown();
        }
    }

    /// Changes what was learned.
    pub(super) fn learn(&self, change: impl FnOnce(&mut Learned)) {
        change(&mut locked(&self.learned));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(link: &Arc<Link>) -> Arc<Agent> {
        link.agent(|| Ok(Agent::new_with_defaults())).unwrap()
    }

    #[test]
    fn of_many_links_those_keep_connections_that_were_used_last_or_are_in_use() {
        let used = Arc::<Link>::default();
        let held = agent(&used);
        let links: Vec<Arc<Link>> = (0..MOST * 3).map(|_| Arc::default()).collect();
        for link in &links {
            agent(link);
        }
        let keeps = |link: &Arc<Link>| locked(&link.agent).is_some();
        assert!(links.iter().filter(|link| keeps(link)).count() <= MOST);
        assert!(links.last().is_some_and(keeps));
        assert!(Arc::ptr_eq(&held, &agent(&used)), "what is used stays");
        drop(held);
        for link in &links {
            agent(link);
        }
        assert!(!keeps(&used));
    }
}
