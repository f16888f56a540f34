//! What one access to a repository keeps between its exchanges: open connections, and what was learned of the server. Clones
//! of an access share it. It knows no protocol.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;
use ureq::Agent;
use url::Url;

use super::{Error, receive::Abilities};

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
    /// Made when first needed: reading certificates takes its time.
    agent: OnceLock<Agent>,
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
    /// Returns the connections, made if there are none yet.
    ///
    /// # Errors
    /// Those of making them.
    pub(super) fn agent(
        &self,
        make: impl FnOnce() -> Result<Agent, Error>,
    ) -> Result<&Agent, Error> {
        if self.agent.get().is_none() {
            // Two at once make two agents; one of them stays.
            let _ = self.agent.set(make()?);
        }
        Ok(self.agent.get().expect("an agent was just set"))
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
        self.learned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends what is under way, in whatever thread, and lets nothing begin.
    pub(super) fn end(&self) {
        self.ended.cancel();
        if let Some(agent) = self.agent.get() {
            agent.clone().shutdown();
        }
    }

    /// Changes what was learned.
    pub(super) fn learn(&self, change: impl FnOnce(&mut Learned)) {
        change(&mut self.learned.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
