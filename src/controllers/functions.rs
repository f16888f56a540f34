//! FunctionConfigs: which images stand for which functions, as the objects of one namespace say it.
//!
//! In comes a watch of that namespace; out go tables for the renders to come, and in each object's status what came of it. Every
//! replica follows by itself and comes to the same; who is first writes the status. An object that is gone says nothing, whoever
//! saw it go, so none is held by a finalizer.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use kube_runtime::{
    WatchStreamExt,
    watcher::{self, Event, watcher},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use super::RETRY;
use crate::{
    api::{FunctionConfig, FunctionConfigSpec, FunctionConfigStatus},
    render::{Functions, Table},
};

/// How long one watch lasts, in seconds; a stream that died silently is found out a little later.
const WATCH_SECONDS: u32 = 60;
/// How long a status may take to be written, while everything else waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long trouble is told after it was seen: longer than it takes to be seen again.
const MEMORY: Duration = Duration::from_mins(2);
/// The owner of the fields of the status.
const OWNER: &str = "porch-server";

/// Follows the FunctionConfigs of a namespace until it is dropped.
pub struct FunctionConfigs {
    progress: watch::Receiver<Progress>,
    task: JoinHandle<()>,
}

/// How far the following has come, for those who ask.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Whether the objects were read once.
    was_read: bool,
    /// What keeps it from following; nothing while all is well.
    stream: Option<Trouble>,
    /// Why a status could not be written.
    status: Option<String>,
}

/// Why there is no following.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trouble {
    /// A sentence.
    why: String,
    /// Whether it does not pass by itself: the kind is not known, or may not be read.
    lasts: bool,
    seen: Instant,
}

impl Trouble {
    /// Returns whether it is still there, as far as one can know: a stream that goes on has nothing to say of that.
    fn is_fresh(&self) -> bool {
        self.seen.elapsed() < MEMORY
    }
}

impl FunctionConfigs {
    /// Starts to follow those of `namespace`, for these functions.
    #[must_use]
    pub fn follow(client: &Client, namespace: &str, functions: Arc<Functions>) -> Self {
        let kind = ApiResource::erase::<FunctionConfig>(&());
        let (sender, progress) = watch::channel(Progress::default());
        let follower = Follower {
            objects: Api::namespaced_with(client.clone(), namespace, &kind),
            functions,
            known: BTreeMap::new(),
            staged: BTreeMap::new(),
            told: HashMap::new(),
            progress: sender,
        };
        Self {
            progress,
            task: tokio::spawn(follower.run()),
        }
    }

    /// Waits until they were read once.
    pub async fn until_read(&self) {
        let mut progress = self.progress.clone();
        // The sender lives as long as the task, and that as long as this.
        let _ = progress.wait_for(|it| it.was_read).await;
    }

    /// Returns what says whether renders go by what the objects say. One that may not read them does without, and says so: others
    /// could do no better.
    pub fn check(&self) -> impl Fn() -> Result<String, String> + Send + Sync + 'static + use<> {
        let progress = self.progress.clone();
        move || judged(&progress.borrow())
    }
}

impl Drop for FunctionConfigs {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn judged(progress: &Progress) -> Result<String, String> {
    let trouble = progress.stream.as_ref();
    match (progress.was_read, trouble) {
        (false, None) => Err("the FunctionConfigs were not read yet".into()),
        (false, Some(trouble)) if !trouble.lasts => Err(trouble.why.clone()),
        (_, Some(trouble)) if !progress.was_read || trouble.is_fresh() => Ok(trouble.why.clone()),
        _ => Ok(progress.status.clone().unwrap_or_default()),
    }
}

/// A FunctionConfig, as far as it matters.
struct Object {
    uid: String,
    version: String,
    generation: i64,
    created: Option<Timestamp>,
    /// Whether somebody holds what was deleted: it says nothing any more.
    leaves: bool,
    /// What it says, or why that can't be read.
    spec: Result<FunctionConfigSpec, String>,
    status: FunctionConfigStatus,
}

impl From<DynamicObject> for Object {
    fn from(object: DynamicObject) -> Self {
        let (metadata, data) = (object.metadata, object.data);
        let spec = FunctionConfigSpec::deserialize(&data["spec"]);
        Self {
            uid: metadata.uid.unwrap_or_default(),
            version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.map(|at| at.0),
            leaves: metadata.deletion_timestamp.is_some(),
            spec: spec.map_err(|error| format!("spec: {error}")),
            status: FunctionConfigStatus::deserialize(&data["status"]).unwrap_or_default(),
        }
    }
}

type Objects = BTreeMap<String, Object>;

/// What came of an object: nothing if all is well, else why it changes nothing.
type Verdict = Option<String>;

/// Puts what the objects say into a table, and returns what came of each. Of several for one image the first that is sound counts:
/// one that is called like the image, or else the oldest.
fn decide<'a>(objects: &'a Objects, table: &mut Table) -> Vec<(&'a str, &'a Object, Verdict)> {
    let present = objects.iter().filter(|(_, object)| !object.leaves);
    let mut present: Vec<_> = present.collect();
    present.sort_by_key(|(name, object)| {
        let image = object.spec.as_ref().map(|spec| &spec.image).ok();
        (image != Some(*name), object.created, *name)
    });
    let mut holders = HashMap::<&str, &str>::new();
    let decided = present.into_iter().map(|(name, object)| {
        let verdict = object.spec.as_ref().map_err(Clone::clone).and_then(|spec| {
            if let Some(holder) = holders.get(&*spec.image) {
                let image = &spec.image;
                return Err(format!(
                    "spec.image: FunctionConfig {holder:?} is for {image:?} already"
                ));
            }
            table.put(spec).map_err(|refusal| refusal.to_string())?;
            holders.insert(&spec.image, name);
            Ok(())
        });
        (&**name, object, verdict.err())
    });
    decided.collect()
}

/// Returns the patch of a status by which it tells a verdict; nothing if it does already. The version keeps an old verdict from
/// a newer object.
fn patch(object: &Object, verdict: &Verdict) -> Option<Value> {
    let status = &object.status;
    let (is_told, status) = match verdict {
        Some(why) => (status.error == *why, json!({ "error": why })),
        None => (
            status.error.is_empty() && status.api_server_observed_generation == object.generation,
            json!({ "apiServerObservedGeneration": object.generation, "error": null }),
        ),
    };
    let metadata = json!({ "resourceVersion": object.version });
    (!is_told).then(|| json!({ "metadata": metadata, "status": status }))
}

/// Who follows.
struct Follower {
    objects: Api<DynamicObject>,
    functions: Arc<Functions>,
    /// The objects that there are, by name.
    known: Objects,
    /// Those of a list that has not come to its end.
    staged: Objects,
    /// What was written of objects, by UID: generation and verdict. A replica that comes to another verdict, since its flags
    /// are other ones, writes it once; so two never write against each other for ever.
    told: HashMap<String, (i64, Verdict)>,
    progress: watch::Sender<Progress>,
}

impl Follower {
    async fn run(mut self) {
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        let mut stream = pin!(watcher(self.objects.clone(), config).default_backoff());
        let mut again = None;
        loop {
            let next = async move {
                match again {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let has_changed = tokio::select! {
                event = stream.next() => match event {
                    Some(Ok(event)) => self.take(event),
                    Some(Err(error)) => {
                        self.report(&error);
                        false
                    }
                    None => return,
                },
                () = next => true,
            };
            if has_changed {
                again = self.act().await;
            }
        }
    }

    /// Takes an event, and returns whether there is something to act on.
    fn take(&mut self, event: Event<DynamicObject>) -> bool {
        let named = |object: DynamicObject| {
            let name = object.metadata.name.clone().unwrap_or_default();
            (name, Object::from(object))
        };
        match event {
            Event::Init => self.staged.clear(),
            Event::InitApply(object) => self.staged.extend([named(object)]),
            Event::InitDone => {
                self.known = std::mem::take(&mut self.staged);
                return true;
            }
            Event::Apply(object) => {
                self.known.extend([named(object)]);
                return true;
            }
            Event::Delete(object) => return self.known.remove(&named(object).0).is_some(),
        }
        false
    }

    fn report(&self, error: &watcher::Error) {
        let refused = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        };
        let trouble = Trouble {
            why: format!("cannot follow FunctionConfigs: {error}"),
            lasts: matches!(refused, Some(403 | 404)),
            seen: Instant::now(),
        };
        self.progress.send_modify(|progress| {
            let before = progress.stream.as_ref().filter(|it| it.is_fresh());
            if before.is_none_or(|before| before.why != trouble.why) {
                tracing::warn!("{}", trouble.why);
            }
            progress.stream = Some(trouble);
        });
    }

    /// Has renders go by what the objects say, and tells them so. Returns when to try again, if something could not be told.
    async fn act(&mut self) -> Option<Instant> {
        let mut table = self.functions.table();
        let decided = decide(&self.known, &mut table);
        self.functions.follow(table);
        self.progress.send_modify(|progress| {
            progress.was_read = true;
            progress.stream = None;
        });
        let present = |uid: &String| decided.iter().any(|(_, object, _)| object.uid == *uid);
        self.told.retain(|uid, _| present(uid));
        let mut failed = None;
        for (name, object, verdict) in decided {
            let new = (object.generation, verdict);
            let Some(patch) = patch(object, &new.1) else {
                continue;
            };
            if self.told.get(&object.uid) == Some(&new) {
                continue;
            }
            match tell(&self.objects, name, patch).await {
                Ok(true) => {
                    self.told.insert(object.uid.clone(), new);
                }
                Ok(false) => {}
                Err(why) => failed = Some(format!("the status of FunctionConfig {name}: {why}")),
            }
        }
        let again = failed.is_some().then(|| Instant::now() + RETRY);
        self.progress.send_if_modified(|progress| {
            let is_news = progress.status != failed;
            if let Some(why) = failed.as_ref().filter(|_| is_news) {
                tracing::warn!("{why}");
            }
            progress.status = failed;
            is_news
        });
        again
    }
}

/// Patches a status, and returns whether it is written. Where the object has changed meanwhile, the stream will bring that.
async fn tell(objects: &Api<DynamicObject>, name: &str, patch: Value) -> Result<bool, String> {
    let params = PatchParams {
        field_manager: Some(OWNER.into()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(patch);
    let done = timeout(PATIENCE, objects.patch_status(name, &params, &patch)).await;
    match done {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_not_found() => {
            Ok(false)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the cluster does not answer".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Found;

    fn objects(all: &[(&str, &str, Value)]) -> Objects {
        let object = |(name, created, spec): &(&str, &str, Value)| {
            let object = json!({
                "apiVersion": "config.porch.kpt.dev/v1alpha1", "kind": "FunctionConfig",
                "metadata": { "name": name, "uid": name, "generation": 3, "resourceVersion": "7",
                    "creationTimestamp": format!("2030-01-01T00:00:{created}Z") },
                "spec": spec,
            });
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            ((*name).to_owned(), Object::from(object))
        };
        all.iter().map(object).collect()
    }

    fn go(image: &str, tag: &str) -> Value {
        json!({ "image": image, "goExecutor": { "tags": [tag], "id": "starlark" } })
    }

    #[test]
    fn of_several_for_one_image_the_first_sound_one_counts() {
        let unsound = json!({ "image": "a", "goExecutor": { "tags": ["v0"], "id": "none" } });
        let cases = [
            (
                vec![("x", "01", go("a", "v1")), ("y", "00", go("a", "v2"))],
                "v2",
                vec!["x"],
            ),
            (
                vec![("x", "01", go("a", "v1")), ("y", "01", go("a", "v2"))],
                "v1",
                vec!["y"],
            ),
            (
                vec![("x", "00", go("a", "v1")), ("a", "01", go("a", "v2"))],
                "v2",
                vec!["x"],
            ),
            (
                vec![("a", "00", unsound), ("y", "01", go("a", "v2"))],
                "v2",
                vec!["a"],
            ),
            (
                vec![
                    ("a", "00", json!({ "tags": 7 })),
                    ("y", "01", go("a", "v2")),
                ],
                "v2",
                vec!["a"],
            ),
        ];
        for (all, tag, refused) in cases {
            let (objects, mut table) = (objects(&all), Table::new("", true));
            let decided = decide(&objects, &mut table);
            let wrong = decided.iter().filter(|(.., verdict)| verdict.is_some());
            assert_eq!(wrong.map(|(name, ..)| *name).collect::<Vec<_>>(), refused);
            let found = ["v1", "v2"].map(|tag| table.find(&format!("a:{tag}")));
            let wanted = ["v1", "v2"].map(|it| (it == tag).then_some(Found::Here("starlark")));
            assert_eq!(found, wanted, "{all:?}");
        }
    }

    #[test]
    fn who_is_second_is_told_who_is_first_and_who_leaves_says_nothing() {
        let mut objects = objects(&[("x", "00", go("a", "v1")), ("y", "01", go("a", "v2"))]);
        let told = |objects: &Objects| {
            let mut table = Table::new("", true);
            let decided = decide(objects, &mut table);
            let told = decided
                .into_iter()
                .map(|(name, _, why)| (name.to_owned(), why));
            told.collect::<Vec<_>>()
        };
        let why = "spec.image: FunctionConfig \"x\" is for \"a\" already".to_owned();
        let both = [("x".to_owned(), None), ("y".to_owned(), Some(why))];
        assert_eq!(told(&objects), both);
        objects.get_mut("x").unwrap().leaves = true;
        assert_eq!(told(&objects), [("y".to_owned(), None)]);
    }

    #[test]
    fn a_status_is_patched_only_where_it_says_something_else() {
        let mut object = objects(&[("x", "00", go("a", "v1"))]).remove("x").unwrap();
        let wrong = Some("spec.image: no".to_owned());
        let good = json!({ "metadata": { "resourceVersion": "7" },
            "status": { "apiServerObservedGeneration": 3, "error": null } });
        assert_eq!(patch(&object, &None), Some(good.clone()));
        let bad = json!({ "metadata": { "resourceVersion": "7" }, "status": { "error": "spec.image: no" } });
        assert_eq!(patch(&object, &wrong), Some(bad));
        object.status.api_server_observed_generation = 3;
        assert_eq!(patch(&object, &None), None);
        object.status.error = "spec.image: no".into();
        assert_eq!(patch(&object, &wrong), None);
        assert_eq!(patch(&object, &None), Some(good));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_read_yet_is_waited_for_unless_it_may_never_be() {
        let trouble = |lasts, seen| Trouble {
            why: "no".into(),
            lasts,
            seen,
        };
        let long_ago = Instant::now();
        tokio::time::advance(MEMORY).await;
        let now = Instant::now();
        for (was_read, stream, told) in [
            (false, None, Err("the FunctionConfigs were not read yet")),
            (false, Some(trouble(false, now)), Err("no")),
            (false, Some(trouble(false, long_ago)), Err("no")),
            (false, Some(trouble(true, now)), Ok("no")),
            (false, Some(trouble(true, long_ago)), Ok("no")),
            (true, Some(trouble(false, now)), Ok("no")),
            (true, Some(trouble(false, long_ago)), Ok("status")),
            (true, None, Ok("status")),
        ] {
            let progress = Progress {
                was_read,
                stream,
                status: Some("status".into()),
            };
            assert_eq!(judged(&progress), told.map(Into::into).map_err(Into::into));
        }
    }
}
