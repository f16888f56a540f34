//! What clients were told, written down, and whether it can be true: a list is what there was at its version, and what
//! follows it is everything that happened since, in order, each event once, nothing else.
//!
//! What really happened is told by the records' own watch of kube-apiserver.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Versions of what there is, by name.
pub type Known = BTreeMap<String, u64>;

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Added,
    Modified,
    Deleted,
}

/// One thing that a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A list, at a version.
    List(u64, Known),
    /// A watch that began after a version.
    Watch(u64),
    /// An event: what became of which object, at which version.
    Event(Deed, String, u64),
    /// That there was nothing else up to a version.
    Bookmark(u64),
}

/// What happened, in order.
#[derive(Clone, Default)]
pub struct Truth(pub Vec<(Deed, String, u64)>);

/// What a client was told that can't be.
#[derive(Debug, PartialEq, Eq)]
pub struct Lie(pub String);

impl fmt::Display for Lie {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Truth {
    /// Returns what there was at a version.
    pub fn at(&self, version: u64) -> Known {
        let mut known = Known::new();
        for (deed, name, at) in self.0.iter().take_while(|it| it.2 <= version) {
            match deed {
                Deed::Deleted => known.remove(name),
                Deed::Added | Deed::Modified => known.insert(name.clone(), *at),
            };
        }
        known
    }

    /// Returns what happened first after a version.
    fn after(&self, version: u64) -> Option<&(Deed, String, u64)> {
        self.0.get(self.0.partition_point(|it| it.2 <= version))
    }

    /// Returns what the client knew in the end, if all that it was told can be true.
    ///
    /// # Errors
    /// The first that can't be.
    pub fn check(&self, history: &[Told]) -> Result<Known, Lie> {
        let (mut newest, mut known, mut begun) = (0, Known::new(), false);
        for (number, told) in history.iter().enumerate() {
            let lie = |why: String| Err(Lie(format!("{number}: {told:?}, {why}")));
            match told {
                Told::List(version, _) if *version < newest => {
                    return lie(format!("after {newest}"));
                }
                Told::List(version, list) if *list != self.at(*version) => {
                    return lie(format!("but there was {:?}", self.at(*version)));
                }
                Told::List(version, list) => {
                    (newest, known, begun) = (*version, list.clone(), true);
                }
                _ if !begun => return lie("before any list".into()),
                Told::Watch(from) if *from != newest => return lie(format!("after {newest}")),
                Told::Watch(_) => {}
                Told::Bookmark(version) => {
                    let missed = self.after(newest).filter(|it| it.2 <= *version);
                    if *version < newest || missed.is_some() {
                        return lie(format!("after {newest}; then came {missed:?}"));
                    }
                    newest = *version;
                }
                Told::Event(deed, name, version) => {
                    let event = (*deed, name.clone(), *version);
                    let next = self.after(newest);
                    if next != Some(&event) {
                        return lie(format!("after {newest}; then came {next:?}"));
                    }
                    newest = *version;
                    match deed {
                        Deed::Deleted => known.remove(name),
                        Deed::Added | Deed::Modified => known.insert(name.clone(), newest),
                    };
                }
            }
        }
        Ok(known)
    }
}

/// A client that lists, watches, resumes, and writes down what it is told.
pub struct Observer {
    pub name: &'static str,
    api: Api<DynamicObject>,
    known: Known,
    newest: u64,
    /// What it was told.
    pub history: Vec<Told>,
}

impl Observer {
    pub fn new(name: &'static str, client: Client, namespace: &str) -> Self {
        Self {
            name,
            api: Api::namespaced_with(client, namespace, &kind()),
            known: Known::new(),
            newest: 0,
            history: Vec::new(),
        }
    }

    /// Observes until what is known is what is told to be there, or there is no more time.
    pub async fn run(mut self, told: watch::Receiver<Option<Known>>) -> Self {
        let mut listed = false;
        loop {
            if told.has_changed().is_err() || self.is_done(&told) {
                return self;
            }
            listed = if listed {
                self.watch(&told).await
            } else {
                self.list().await
            };
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn is_done(&self, told: &watch::Receiver<Option<Known>>) -> bool {
        told.borrow().as_ref() == Some(&self.known)
    }

    /// Begins anew with a list that is not older than what was told; returns whether it came.
    async fn list(&mut self) -> bool {
        let params = ListParams {
            resource_version: Some(self.newest.to_string()).filter(|it| it != "0"),
            ..ListParams::default()
        };
        let Ok(list) = self.api.list(&params).await else {
            return false;
        };
        self.newest = number(list.metadata.resource_version.as_deref());
        let pair = |it: &DynamicObject| (it.name_any(), version_of(it));
        self.known = list.items.iter().map(pair).collect();
        self.history
            .push(Told::List(self.newest, self.known.clone()));
        true
    }

    /// Goes on from the newest version known; returns whether it may go on so.
    async fn watch(&mut self, told: &watch::Receiver<Option<Known>>) -> bool {
        let params = WatchParams::default().timeout(20);
        let began = self.api.watch(&params, &self.newest.to_string()).await;
        let Ok(stream) = began else {
            return !began.is_err_and(|error| is_expired(&error));
        };
        self.history.push(Told::Watch(self.newest));
        let mut stream = stream.boxed();
        loop {
            if self.is_done(told) {
                return true;
            }
            match timeout(Duration::from_millis(300), stream.try_next()).await {
                Err(_) if told.has_changed().is_err() => return true,
                Err(_) => {}
                Ok(Ok(Some(event))) => {
                    if !self.take(event) {
                        return false;
                    }
                }
                Ok(Ok(None) | Err(_)) => return true,
            }
        }
    }

    /// Takes an event; returns whether the watch may be resumed after it.
    fn take(&mut self, event: WatchEvent<DynamicObject>) -> bool {
        let (deed, object) = match event {
            WatchEvent::Added(object) => (Deed::Added, object),
            WatchEvent::Modified(object) => (Deed::Modified, object),
            WatchEvent::Deleted(object) => (Deed::Deleted, object),
            WatchEvent::Bookmark(mark) => {
                self.newest = number(Some(&mark.metadata.resource_version));
                self.history.push(Told::Bookmark(self.newest));
                return true;
            }
            WatchEvent::Error(status) => return status.code != 410,
        };
        let name = object.name_any();
        self.newest = version_of(&object);
        match deed {
            Deed::Deleted => self.known.remove(&name),
            Deed::Added | Deed::Modified => self.known.insert(name.clone(), self.newest),
        };
        self.history.push(Told::Event(deed, name, self.newest));
        true
    }
}

/// Writes down what happens to the records of a namespace, which is empty, until it is dropped.
pub struct Scribe {
    written: Arc<Mutex<Truth>>,
    writing: tokio::task::JoinHandle<()>,
}

impl Scribe {
    pub async fn start(client: Client, namespace: &str) -> Self {
        let kind = ApiResource::erase::<porch::api::PackageRev>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
        let list = api.list(&ListParams::default()).await.unwrap();
        assert_eq!(list.items.len(), 0, "it is empty");
        let from = list.metadata.resource_version.unwrap();
        let written = Arc::<Mutex<Truth>>::default();
        let writing = tokio::spawn(write(api, from, written.clone()));
        Self { written, writing }
    }

    /// Returns what happened until now.
    pub fn truth(&self) -> Truth {
        self.written.lock().unwrap().clone()
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

async fn write(api: Api<DynamicObject>, mut from: String, written: Arc<Mutex<Truth>>) {
    loop {
        let params = WatchParams::default().timeout(290);
        if let Ok(stream) = api.watch(&params, &from).await {
            let mut stream = stream.boxed();
            while let Ok(Some(event)) = stream.try_next().await {
                from = match note(event, &written) {
                    Some(version) => version,
                    None => catch_up(&api, &written).await,
                };
            }
        }
        // The cluster may be away for a while.
        sleep(Duration::from_millis(100)).await;
    }
}

/// Writes an event down, and returns its version; nothing if there is more to be known than is told.
fn note(event: WatchEvent<DynamicObject>, written: &Mutex<Truth>) -> Option<String> {
    let (deed, object) = match event {
        WatchEvent::Added(object) => (Deed::Added, object),
        WatchEvent::Modified(object) => (Deed::Modified, object),
        WatchEvent::Deleted(object) => (Deed::Deleted, object),
        WatchEvent::Bookmark(mark) => return Some(mark.metadata.resource_version),
        WatchEvent::Error(status) if status.code == 410 => return None,
        WatchEvent::Error(status) => panic!("{status:?}"),
    };
    let event = (deed, object.name_any(), version_of(&object));
    written.lock().unwrap().0.push(event);
    object.resource_version()
}

/// Writes down what a server that was started anew no longer tells: each object changed at most once, and none went.
async fn catch_up(api: &Api<DynamicObject>, written: &Mutex<Truth>) -> String {
    let list = loop {
        if let Ok(list) = api.list(&ListParams::default()).await {
            break list;
        }
        sleep(Duration::from_millis(100)).await;
    };
    let mut truth = written.lock().unwrap();
    let known = truth.at(u64::MAX);
    let there: Known = list
        .items
        .iter()
        .map(|it| (it.name_any(), version_of(it)))
        .collect();
    assert!(known.keys().all(|name| there.contains_key(name)));
    let mut missed: Vec<_> = there
        .into_iter()
        .filter(|(name, at)| known.get(name) != Some(at))
        .map(|(name, at)| {
            let known = known.contains_key(&name);
            let deed = if known { Deed::Modified } else { Deed::Added };
            (deed, name, at)
        })
        .collect();
    missed.sort_by_key(|it| it.2);
    truth.0.extend(missed);
    list.metadata.resource_version.unwrap()
}

fn kind() -> ApiResource {
    ApiResource {
        group: "porch.kpt.dev".into(),
        version: "v1alpha1".into(),
        api_version: "porch.kpt.dev/v1alpha1".into(),
        kind: "PackageRevision".into(),
        plural: "packagerevisions".into(),
    }
}

fn is_expired(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

fn number(version: Option<&str>) -> u64 {
    version.unwrap_or_default().parse().unwrap()
}

fn version_of(object: &DynamicObject) -> u64 {
    number(object.resource_version().as_deref())
}

#[test]
fn a_history_is_believed_only_if_it_can_be_true() {
    use Deed::{Added, Deleted, Modified};
    let event = |deed, name: &str, at| (deed, name.to_owned(), at);
    let truth = Truth(vec![
        event(Added, "a", 3),
        event(Added, "b", 5),
        event(Modified, "a", 8),
        event(Deleted, "b", 9),
    ]);
    let list = |version, items: &[(&str, u64)]| {
        let pair = |(name, at): &(&str, u64)| ((*name).to_owned(), *at);
        Told::List(version, items.iter().map(pair).collect())
    };
    let told = |deed, name: &str, at| Told::Event(deed, name.into(), at);
    let (one, watch) = (list(4, &[("a", 3)]), Told::Watch(4));
    let (b, a, gone) = (
        told(Added, "b", 5),
        told(Modified, "a", 8),
        told(Deleted, "b", 9),
    );
    let whole = vec![
        one.clone(),
        watch.clone(),
        b.clone(),
        Told::Bookmark(7),
        Told::Watch(7),
        a.clone(),
        gone.clone(),
    ];
    assert_eq!(truth.check(&whole), Ok(truth.at(9)));
    let relisted = vec![one.clone(), list(8, &[("a", 8), ("b", 5)]), gone.clone()];
    assert_eq!(truth.check(&relisted), Ok(truth.at(9)));
    let start = [one.clone(), watch.clone()];
    let lies = [
        ("no list", vec![b.clone()]),
        ("a list that lacks one", vec![list(5, &[("a", 3)])]),
        ("a list that is ahead", vec![list(4, &[("a", 3), ("b", 5)])]),
        ("a list with an old object", vec![list(9, &[("a", 3)])]),
        ("a list that goes back", vec![list(9, &[("a", 8)]), one]),
        (
            "a lost event",
            [&start[..], std::slice::from_ref(&a)].concat(),
        ),
        (
            "a doubled event",
            [&start[..], &[b.clone(), b.clone()]].concat(),
        ),
        ("out of order", [&start[..], &[a, b]].concat()),
        (
            "another deed",
            [&start[..], &[told(Modified, "b", 5)]].concat(),
        ),
        (
            "another object",
            [&start[..], &[told(Added, "c", 5)]].concat(),
        ),
        (
            "an early bookmark",
            [&start[..], &[Told::Bookmark(5)]].concat(),
        ),
        (
            "a bookmark that goes back",
            [&start[..], &[Told::Bookmark(3)]].concat(),
        ),
        ("a watch from elsewhere", vec![list(9, &[("a", 8)]), watch]),
        (
            "one that never was",
            vec![list(9, &[("a", 8)]), told(Added, "d", 10)],
        ),
    ];
    for (what, history) in lies {
        assert!(truth.check(&history).is_err(), "{what}");
    }
}
