//! Messages that came before: servers send one again when its answer was lost, and anybody who saw one can. In come the
//! names that servers give to what they deliver, out goes whether one was acted on. The name is no part of what is signed,
//! so this spares work and proves nothing. Bounded; each replica has its own.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;

/// So many are remembered.
const MOST: usize = 4096;
/// Headers with a name that no other delivery has, but for the same one again: GitHub; Gitea and Forgejo; Gogs; Bitbucket;
/// GitLab. What GitLab calls the UUID of an event is shared by those that follow from each other.
const NAMES: [&str; 5] = [
    "x-github-delivery",
    "x-gitea-delivery",
    "x-gogs-delivery",
    "x-request-uuid",
    "idempotency-key",
];

/// A delivery, of a fixed size whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivery([u8; 32]);

impl Delivery {
    /// Returns what was delivered to a path; nothing if it has no name. Servers may give one name to what tells different
    /// things of one event, so what it says is a part of it.
    #[must_use]
    pub fn of(
        headers: &HeaderMap,
        repository: Option<&(String, String)>,
        message: &[u8],
    ) -> Option<Self> {
        let named = NAMES.iter().find_map(|name| headers.get(*name));
        let name = named.filter(|name| !name.is_empty())?;
        // No name of an object has a slash, or the byte between the parts.
        let path = repository.map_or_else(String::new, |(namespace, name)| {
            format!("{namespace}/{name}")
        });
        let said = digest(&SHA256, message);
        let text = [path.as_bytes(), &[0], name.as_bytes(), &[0], said.as_ref()].concat();
        let hash = digest(&SHA256, &text);
        hash.as_ref().try_into().ok().map(Self)
    }
}

/// The deliveries that were acted on last.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// Held for moments.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    all: HashSet<Delivery>,
    /// In the order in which they came.
    order: VecDeque<Delivery>,
}

impl Deliveries {
    /// Returns whether a delivery was acted on.
    #[must_use]
    pub fn has(&self, delivery: Delivery) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.all.contains(&delivery)
    }

    /// Takes note that a delivery was acted on.
    pub fn note(&self, delivery: Delivery) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.all.insert(delivery) {
            return;
        }
        known.order.push_back(delivery);
        if known.order.len() > MOST
            && let Some(oldest) = known.order.pop_front()
        {
            known.all.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(name: &'static str, value: &str, path: Option<(&str, &str)>) -> Option<Delivery> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let path = path.map(|(namespace, name)| (namespace.into(), name.into()));
        Delivery::of(&headers, path.as_ref(), b"it")
    }

    #[test]
    fn a_delivery_is_known_by_its_name_and_path() {
        let first = delivery("x-github-delivery", "1", None);
        assert!(first.is_some());
        assert_eq!(first, delivery("x-gitea-delivery", "1", None));
        assert_eq!(first, delivery("idempotency-key", "1", None));
        assert_ne!(first, delivery("x-github-delivery", "2", None));
        assert_ne!(first, delivery("x-github-delivery", "1", Some(("a", "b"))));
        let mut headers = HeaderMap::new();
        headers.insert("x-github-delivery", "1".parse().unwrap());
        assert_ne!(first, Delivery::of(&headers, None, b"another"));
        for (name, value) in [
            ("x-gitlab-event-uuid", "1"),
            ("x-github-delivery", ""),
            ("etag", "1"),
        ] {
            assert_eq!(delivery(name, value, None), None, "{name}");
        }
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let deliveries = Deliveries::default();
        let one = |number: usize| delivery("x-github-delivery", &number.to_string(), None).unwrap();
        for number in 0..=MOST {
            assert!(!deliveries.has(one(number)));
            deliveries.note(one(number));
            deliveries.note(one(number));
            assert!(deliveries.has(one(number)));
        }
        assert!(!deliveries.has(one(0)));
        assert!(deliveries.has(one(1)));
        assert_eq!(deliveries.known.lock().unwrap().all.len(), MOST);
    }
}
