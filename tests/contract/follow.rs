//! Followers as kube-rs writes them, through thousands of changes and all kinds of trouble: at the end each of them must
//! know exactly what the server knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, future::join_all};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject},
    runtime::watcher::{self, Event, watcher},
};
use porch::package::Lifecycle;
use serde_json::Value;
use tokio::sync::watch;

use crate::{rig::Trouble, subject::Subject};

/// What a follower knows: the version and the mark of every object by its name.
type Known = BTreeMap<String, (String, String)>;

/// How long a follower may take to know everything once nothing changes any more.
const PATIENCE: Duration = Duration::from_mins(1);

/// Changes records at random, makes trouble meanwhile, and checks that every follower ends up with what is served.
pub async fn check(subject: &Subject, trouble: &Trouble, changes: usize) {
    let (tell, told) = watch::channel(None);
    let plain = || watcher::Config::default();
    let configs = [
        ("a list of pages, then a watch", plain().page_size(7)),
        ("one list, then a watch", plain().any_semantic()),
        ("a streaming list", plain().streaming_lists()),
        ("marked ones only", plain().labels("mark=yes")),
        (
            "marked ones only, streaming",
            plain().labels("mark=yes").streaming_lists(),
        ),
    ];
    let followers = configs.map(|(name, config)| {
        let narrow = name.starts_with("marked");
        let api = revisions(subject);
        tokio::spawn(follow(api, config, told.clone(), (name, narrow)))
    });
    change(subject, trouble, changes).await;
    let last = subject.create("the.last", Lifecycle::Draft).await;
    let last = last.max(subject.label("the.last", "yes").await);
    tell.send_replace(Some(served(subject, last).await));
    for done in join_all(followers).await {
        done.unwrap();
    }
}

fn revisions(subject: &Subject) -> Api<DynamicObject> {
    let kind = ApiResource {
        group: "porch.kpt.dev".into(),
        version: "v1alpha1".into(),
        api_version: "porch.kpt.dev/v1alpha1".into(),
        kind: "PackageRevision".into(),
        plural: "packagerevisions".into(),
    };
    Api::namespaced_with(subject.client.clone(), &subject.namespace, &kind)
}

async fn change(subject: &Subject, trouble: &Trouble, changes: usize) {
    let mut dice = Dice(42);
    let mut there: BTreeSet<String> = BTreeSet::new();
    for step in 0..changes {
        let name = format!("pkg{}.v{}", dice.roll(8), dice.roll(5));
        match (there.contains(&name), dice.roll(4)) {
            (false, _) => {
                subject.create(&name, Lifecycle::ALL[dice.roll(4)]).await;
                there.insert(name);
            }
            (true, 0) => {
                subject.delete(&name).await;
                there.remove(&name);
            }
            (true, mark) => {
                let mark = if mark == 1 { "no" } else { "yes" };
                subject.label(&name, mark).await;
            }
        }
        match step % 250 {
            60 => trouble.cut(),
            120 => trouble.relist(),
            180 => trouble.restart().await,
            _ => {}
        }
    }
}

/// Returns what is served at `version` or later.
async fn served(subject: &Subject, version: u64) -> Known {
    let uri = format!(
        "{}?resourceVersion={version}",
        subject.path("packagerevisions")
    );
    for _ in 0..20 {
        let (code, list) = subject.get(&uri, "").await;
        if code == 200 {
            let items = list["items"].as_array().unwrap().iter();
            return items.map(known_value).collect();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the list never came");
}

fn known_value(item: &Value) -> (String, (String, String)) {
    let metadata = &item["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&metadata["name"]),
        (
            text(&metadata["resourceVersion"]),
            text(&metadata["labels"]["mark"]),
        ),
    )
}

fn known(object: &DynamicObject) -> (String, (String, String)) {
    let version = object.resource_version().unwrap();
    let mark = object.labels().get("mark").cloned().unwrap_or_default();
    (object.name_any(), (version, mark))
}

async fn follow(
    api: Api<DynamicObject>,
    config: watcher::Config,
    mut told: watch::Receiver<Option<Known>>,
    (name, narrow): (&'static str, bool),
) {
    let mut events = watcher(api, config).boxed();
    let (mut now, mut list) = (Known::new(), Known::new());
    let mut end: Option<tokio::time::Instant> = None;
    loop {
        let expected = told.borrow_and_update().clone();
        if let Some(mut expected) = expected {
            expected.retain(|_, (_, mark)| !narrow || mark == "yes");
            if now == expected {
                return;
            }
            let end = *end.get_or_insert_with(|| tokio::time::Instant::now() + PATIENCE);
            assert!(
                tokio::time::Instant::now() < end,
                "{name}: knows {now:#?}\nbut there is {expected:#?}"
            );
        }
        let event = tokio::select! {
            event = events.next() => event.unwrap(),
            _ = told.changed() => continue,
            () = tokio::time::sleep(Duration::from_secs(1)) => continue,
        };
        match event {
            Ok(Event::Init) => list.clear(),
            Ok(Event::InitApply(object)) => list.extend([known(&object)]),
            Ok(Event::InitDone) => now = std::mem::take(&mut list),
            Ok(Event::Apply(object)) => now.extend([known(&object)]),
            Ok(Event::Delete(object)) => {
                let (key, (gone, _)) = known(&object);
                let was = now.remove(&key);
                let (was, _) =
                    was.unwrap_or_else(|| panic!("{name}: {key} was deleted but never there"));
                assert!(
                    newer(&gone, &was),
                    "{name}: {key} was deleted at {gone}, not after {was}"
                );
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn newer(one: &str, other: &str) -> bool {
    one.parse::<u64>().unwrap() > other.parse::<u64>().unwrap()
}

/// Chance that comes again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}
