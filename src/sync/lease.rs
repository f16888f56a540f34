//! A Lease: one process of all does the work that it stands for.
//!
//! In comes the name of a `coordination.k8s.io/v1` Lease and the work; the work runs while the Lease is held, and is told
//! when it must end. A Lease is taken and renewed by a write that names the version it replaces, so two never win; how long
//! it lasts is measured by this machine's own clock alone, from before a write was sent, so a holder ends before another
//! begins, whatever their clocks say. What is written under it must stand on its own: no clock is a lock.

use std::{pin::pin, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease as Object, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How long a Lease lasts, and how often its holder renews it: the numbers of Kubernetes' own components.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// After how long without renewal others may take it.
    pub lasting: Duration,
    /// After how long without renewal its holder must stop.
    pub renewed_within: Duration,
    /// Between two attempts.
    pub every: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lasting: Duration::from_secs(15),
            renewed_within: Duration::from_secs(10),
            every: Duration::from_secs(2),
        }
    }
}

/// A Lease that this process would like to hold.
pub struct Lease {
    api: Api<Object>,
    name: String,
    /// Who this process is; no other may have the same name.
    holder: String,
    terms: Terms,
    /// Whether it is held now, for whoever wants to know.
    held: watch::Sender<bool>,
    /// What was seen last, and when it was new.
    seen: Option<(Object, Instant)>,
}

impl Lease {
    /// Returns the Lease `name` for a process that is called `holder`, which must be unique.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, holder: &str, terms: Terms) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.into(),
            holder: holder.into(),
            terms,
            held: watch::Sender::new(false),
            seen: None,
        }
    }

    /// Returns whether it is held, now and later.
    #[must_use]
    pub fn held(&self) -> watch::Receiver<bool> {
        self.held.subscribe()
    }

    /// Does the work whenever the Lease is held, until `stop`; then gives it back. The work must end when its token is
    /// cancelled; if it does not do so in time, it is dropped.
    pub async fn run<F>(mut self, stop: CancellationToken, work: impl Fn(CancellationToken) -> F)
    where
        F: Future<Output = ()>,
    {
        while !stop.is_cancelled() {
            let Some(renewed) = self.attempt().await else {
                tokio::select! {
                    () = sleep(self.terms.every) => {}
                    () = stop.cancelled() => {}
                }
                continue;
            };
            tracing::info!(lease = self.name, holder = self.holder, "holding the Lease");
            self.held.send_replace(true);
            let lost = stop.child_token();
            let until = self.hold(renewed, &lost, work(lost.clone())).await;
            self.held.send_replace(false);
            tracing::info!(
                lease = self.name,
                holder = self.holder,
                "no longer holding the Lease"
            );
            if Instant::now() < until {
                self.give_back().await;
            }
        }
    }

    /// Works and renews until the work ended. Returns when the Lease as it was renewed last must be given up.
    async fn hold(
        &mut self,
        mut renewed: Instant,
        lost: &CancellationToken,
        work: impl Future<Output = ()>,
    ) -> Instant {
        let mut work = pin!(work);
        loop {
            let (soon, latest) = (
                Instant::now() + self.terms.every,
                renewed + self.terms.renewed_within,
            );
            tokio::select! {
                biased;
                () = &mut work => return latest,
                () = sleep_until(latest) => break,
                again = async { sleep_until(soon).await; self.attempt().await } => match again {
                    Some(again) => renewed = again,
                    None if self.is_others() => break,
                    None => {}
                },
            }
        }
        lost.cancel();
        let end = renewed + self.terms.lasting;
        if timeout_at(end, &mut work).await.is_err() {
            tracing::error!(
                lease = self.name,
                "work under a lost Lease had to be cut off"
            );
        }
        renewed
    }

    /// Returns whether somebody else was seen to hold it.
    fn is_others(&self) -> bool {
        let seen = self.seen.as_ref().map(|(object, _)| holder_of(object));
        seen.is_some_and(|holder| holder != self.holder)
    }

    /// Tries to take or renew the Lease. Returns the moment from which it is held, or nothing if it is not.
    async fn attempt(&mut self) -> Option<Instant> {
        let before = Instant::now();
        let patience = before + self.terms.renewed_within / 2;
        let told = timeout_at(patience, self.write()).await;
        match told {
            Ok(Ok(true)) => Some(before),
            Ok(Ok(false)) => None,
            Ok(Err(error)) => {
                tracing::warn!(lease = self.name, %error, "the Lease could not be taken or renewed");
                None
            }
            Err(_) => {
                tracing::warn!(lease = self.name, "no answer about the Lease in time");
                None
            }
        }
    }

    /// Writes that this process holds the Lease, if it may.
    async fn write(&mut self) -> kube::Result<bool> {
        let Some(found) = self.api.get_opt(&self.name).await? else {
            let new = self.next(&Object::default());
            let made = self.api.create(&PostParams::default(), &new).await;
            return self.took(made);
        };
        // Not from before it was read: what is found may have been written since.
        let now = Instant::now();
        self.note(&found, now);
        if holder_of(&found) != self.holder && !self.is_free(&found, now) {
            return Ok(false);
        }
        let next = self.next(&found);
        let params = PostParams::default();
        let made = self.api.replace(&self.name, &params, &next).await;
        self.took(made)
    }

    /// Notes what the Lease is. It is new when its version is, not when its time says so.
    fn note(&mut self, found: &Object, now: Instant) {
        let version = &found.metadata.resource_version;
        let same = |(known, _): &(Object, _)| known.metadata.resource_version == *version;
        if !self.seen.as_ref().is_some_and(same) {
            self.seen = Some((found.clone(), now));
        }
    }

    fn is_free(&self, found: &Object, now: Instant) -> bool {
        if holder_of(found).is_empty() {
            return true;
        }
        let told = found
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_duration_seconds);
        let told = told.and_then(|seconds| u64::try_from(seconds).ok());
        let lasting = told.map_or(self.terms.lasting, Duration::from_secs);
        let since = self.seen.as_ref().map(|(_, since)| *since);
        since.is_some_and(|since| now >= since + lasting)
    }

    /// Returns the Lease as it is when this process holds it.
    fn next(&self, found: &Object) -> Object {
        let known = found.spec.clone().unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let kept = known.holder_identity.as_ref() == Some(&self.holder);
        let transitions = known.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: i32::try_from(self.terms.lasting.as_secs()).ok(),
            acquire_time: known.acquire_time.filter(|_| kept).or(Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(!kept)),
            ..LeaseSpec::default()
        };
        Object {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..found.metadata.clone()
            },
            spec: Some(spec),
        }
    }

    fn took(&mut self, made: kube::Result<Object>) -> kube::Result<bool> {
        match made {
            Ok(object) => {
                self.seen = Some((object, Instant::now()));
                Ok(true)
            }
            // Somebody was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says that nobody holds it, so that the next one need not wait. If that fails, it lapses.
    async fn give_back(&mut self) {
        let Some((mut object, _)) = self.seen.take() else {
            return;
        };
        if let Some(spec) = &mut object.spec {
            spec.holder_identity = None;
        }
        let params = PostParams::default();
        let replaced = self.api.replace(&self.name, &params, &object);
        let deadline = Instant::now() + self.terms.every;
        if !matches!(timeout_at(deadline, replaced).await, Ok(Ok(_))) {
            tracing::info!(
                lease = self.name,
                "the Lease could not be given back; it lapses"
            );
        }
    }
}

/// Returns who holds a Lease; empty if nobody.
fn holder_of(object: &Object) -> &str {
    let spec = object.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}
