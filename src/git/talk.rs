//! A conversation with one repository, by whatever way its address names: what every way has in common. In come requests of
//! Git's protocol, out come answers as streams, and errors that hold nothing but the address and what the server said.

use std::{io::Read, sync::Arc};

use ureq::{Agent, Body, http::Response};

use super::{
    Access, Error, http,
    link::Dialect,
    receive::Abilities,
    ssh::{Bounded, Run},
};

/// A conversation with one repository.
#[derive(Clone, Copy)]
pub(super) struct Talk<'a> {
    pub(super) access: &'a Access,
    /// Connections for HTTP; others have none that stay open.
    pub(super) agent: &'a Agent,
}

/// Returns the connections for a conversation.
///
/// # Errors
/// [`Error::Refused`] for certificates that are none; [`Error::Unreachable`] when nobody wants to hear of the server.
pub(super) fn agent(access: &Access) -> Result<Arc<Agent>, Error> {
    let link = &access.link;
    let agent = link.agent(|| http::agent(access))?;
    if link.has_ended() {
        // Whoever ended the link may have seen no agent yet.
        Agent::clone(&agent).shutdown();
        return Err(Error::Unreachable(format!("{}: given up", access.address)));
    }
    Ok(agent)
}

impl<'a> Talk<'a> {
    /// Returns the conversation; nothing is dialled yet.
    pub(super) fn new(access: &'a Access, agent: &'a Agent) -> Self {
        Self { access, agent }
    }

    /// Returns the protocol that the server is known to speak.
    pub(super) fn dialect(&self) -> Dialect {
        self.access.link.learned().dialect
    }

    /// Remembers the protocol that the server speaks.
    pub(super) fn speaks(&self, dialect: Dialect) {
        self.access.link.learn(|learned| learned.dialect = dialect);
    }

    /// Returns what the server is known to do with a push.
    pub(super) fn abilities(&self) -> Option<Arc<Abilities>> {
        self.access.link.learned().abilities
    }

    /// Remembers what the server can do with a push.
    pub(super) fn can(&self, abilities: Arc<Abilities>) {
        self.access
            .link
            .learn(|learned| learned.abilities = Some(abilities));
    }

    /// Forgets what may have changed since it was learned: where the repository lives, and what can be done with a push.
    pub(super) fn forget(&self) {
        self.access.link.learn(|learned| {
            learned.base = None;
            learned.abilities = None;
        });
    }

    /// Returns the error of a change whose answer was lost.
    pub(super) fn uncertain(&self, why: &dyn std::fmt::Display) -> Error {
        let at = &self.access.address;
        Error::Uncertain(format!(
            "{at}: whether the push was done is not known: {why}"
        ))
    }

    /// Returns an error that says what the server said.
    pub(super) fn told(&self, words: &[u8]) -> Error {
        let words: String = String::from_utf8_lossy(words)
            .chars()
            .filter(|c| !c.is_control())
            .take(500)
            .collect();
        Error::Protocol(format!("{}: remote error: {words}", self.access.address))
    }

    /// Returns the answer of `service` to a request, which may have so many bytes.
    ///
    /// # Errors
    /// Every error of a server.
    pub(super) fn ask(
        &self,
        service: &'static str,
        body: &[u8],
        dialect: Dialect,
        limit: u64,
    ) -> Result<Box<dyn Read>, Error> {
        match self.access.address.shell() {
            Some(shell) => {
                let newer = dialect != Dialect::Zero;
                let mut run = Run::start(self.access, shell, service, newer)?;
                let spoken = run.greeted(*self)?;
                if dialect == Dialect::Two && spoken != Dialect::Two {
                    let why = "the server speaks the original protocol";
                    return Err(Error::Protocol(format!("{}: {why}", self.access.address)));
                }
                run.tell(body)?;
                Ok(Box::new(Bounded::new(run, limit)))
            }
            None => Ok(bounded(self.post(service, body, dialect)?, limit)),
        }
    }

    /// Returns what `service` says before anybody asks: its refs, or that it speaks protocol 2.
    ///
    /// # Errors
    /// Every error of a server.
    pub(super) fn greeting(
        &self,
        service: &'static str,
        limit: u64,
    ) -> Result<Box<dyn Read>, Error> {
        match self.access.address.shell() {
            Some(shell) => {
                let mut run = Run::start(self.access, shell, service, true)?;
                run.tell(b"0000")?;
                Ok(Box::new(Bounded::new(run, limit)))
            }
            None => Ok(bounded(self.advertisement(service)?, limit)),
        }
    }

    /// Returns whether connections are kept for the next exchange, if an answer is read to its end.
    pub(super) fn keeps_connections(&self) -> bool {
        self.access.address.shell().is_none()
    }
}

/// Returns the body of an answer, of which so many bytes are read.
pub(super) fn bounded(response: Response<Body>, limit: u64) -> Box<dyn Read> {
    let body = response.into_body().into_with_config();
    Box::new(body.limit(limit).reader())
}
