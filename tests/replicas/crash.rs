//! Every write, killed at every place where it can be: after a restart and one look Git and records agree, the user's half
//! is there with what landed and only with it, nothing half-made was shown to anybody, and the same request again succeeds
//! or is told that there is nothing left to do.

use std::time::Duration;

use porch::sync::{Death, Point};
use serde_json::{Value, json};

use crate::{
    rig::{Answer, Replica, Role, Way, World, draft, hook, until, until_none},
    truth::disagreement,
    witness::Moment,
};

/// Where a write that touches Git may be killed when all goes well.
const WAY: [(Point, u32); 7] = [
    (Point::BeforeIntent, 0),
    (Point::AfterIntent, 0),
    (Point::AfterPush, 0),
    (Point::BetweenRecords, 0),
    (Point::BetweenRecords, 1),
    (Point::BetweenRecords, 2),
    (Point::AfterRecords, 0),
];
/// Where one may be that the Git server refuses.
const REFUSED: [(Point, u32); 2] = [(Point::BeforeTakeBack, 0), (Point::AfterTakeBack, 0)];
/// Where one may be that touches no Git.
const PLAIN: [(Point, u32); 2] = [(Point::BeforeMetadata, 0), (Point::AfterMetadata, 0)];

/// A write.
struct Write {
    what: &'static str,
    /// Stages of the life of `p.w` that come before.
    before: &'static [&'static str],
    request: fn(&str) -> (&'static str, String, Option<Value>),
    /// What the same is told once it was done.
    again: u16,
    /// Name of the object that shows whether it was done.
    shows: fn(&str) -> String,
    /// Whether an object says that it was.
    done: fn(Option<&Value>) -> bool,
}

fn lifecycle(p: &str, to: &str) -> (&'static str, String, Option<Value>) {
    let way = if to == "Published" { "/approval" } else { "" };
    let patch = json!({"metadata": {"annotations": {"half": to}}, "spec": {"lifecycle": to}});
    (
        "PATCH",
        format!("packagerevisions/r.{p}.w{way}"),
        Some(patch),
    )
}

fn create(p: &str, workspace: &str, tasks: &Value) -> (&'static str, String, Option<Value>) {
    let mut object = draft(p, workspace, tasks);
    object["metadata"]["annotations"] = json!({"half": "made"});
    ("POST", "packagerevisions".into(), Some(object))
}

fn delete(name: &str) -> (&'static str, String, Option<Value>) {
    ("DELETE", format!("packagerevisions/{name}"), None)
}

fn own(p: &str) -> String {
    format!("r.{p}.w")
}

fn is(object: Option<&Value>, field: &str, value: &str) -> bool {
    object
        .and_then(|it| it.pointer(field))
        .is_some_and(|found| found == value)
}

fn at(object: Option<&Value>, lifecycle: &str) -> bool {
    is(object, "/spec/lifecycle", lifecycle)
}

const DRAFT: &[&str] = &[];
const PROPOSED: &[&str] = &["Proposed"];
const PUBLISHED: &[&str] = &["Proposed", "Published"];
const LEAVING: &[&str] = &["Proposed", "Published", "DeletionProposed"];
/// Not even a draft.
const NOTHING: &[&str] = &["nothing"];

/// Every write that touches Git.
#[rustfmt::skip]
const WRITES: &[Write] = &[
    Write { what: "create by init", before: NOTHING, again: 409, shows: own, done: |it| it.is_some(),
        request: |p| create(p, "w", &json!([{"type": "init", "init": {"description": "d"}}])) },
    Write { what: "create by clone", before: PUBLISHED, again: 409, shows: |p| format!("r.{p}-c.w"), done: |it| it.is_some(),
        request: |p| create(&format!("{p}-c"), "w", &json!([{"type": "clone", "clone": {"upstreamRef": {"upstreamRef": {"name": own(p)}}}}])) },
    Write { what: "create by edit", before: PUBLISHED, again: 409, shows: |p| format!("r.{p}.w2"), done: |it| it.is_some(),
        request: |p| create(p, "w2", &json!([{"type": "edit", "edit": {"sourceRef": {"name": own(p)}}}])) },
    Write { what: "replace files", before: DRAFT, again: 200, shows: own, done: |it| is(it, "/files/a.txt", "new"),
        request: |p| ("PATCH", format!("packagerevisionresources/{}", own(p)), Some(json!({"spec": {"resources": {"a.txt": "new"}}}))) },
    Write { what: "Kptfile metadata", before: DRAFT, again: 200, shows: own, done: |it| is(it, "/spec/packageMetadata/labels/l", "v"),
        request: |p| ("PATCH", format!("packagerevisions/{}", own(p)), Some(json!({"spec": {"packageMetadata": {"labels": {"l": "v"}}}}))) },
    Write { what: "propose", before: DRAFT, again: 200, shows: own, done: |it| at(it, "Proposed"),
        request: |p| lifecycle(p, "Proposed") },
    Write { what: "reject", before: PROPOSED, again: 200, shows: own, done: |it| at(it, "Draft"),
        request: |p| lifecycle(p, "Draft") },
    Write { what: "approve", before: PROPOSED, again: 422, shows: own, done: |it| at(it, "Published"),
        request: |p| lifecycle(p, "Published") },
    Write { what: "propose deletion", before: PUBLISHED, again: 200, shows: own, done: |it| at(it, "DeletionProposed"),
        request: |p| lifecycle(p, "DeletionProposed") },
    Write { what: "undo", before: LEAVING, again: 422, shows: own, done: |it| at(it, "Published"),
        request: |p| lifecycle(p, "Published") },
    Write { what: "delete a draft", before: DRAFT, again: 404, shows: own, done: |it| it.is_none(),
        request: |p| delete(&own(p)) },
    Write { what: "delete a proposal", before: PROPOSED, again: 404, shows: own, done: |it| it.is_none(),
        request: |p| delete(&own(p)) },
    Write { what: "delete a published one", before: LEAVING, again: 404, shows: own, done: |it| it.is_none(),
        request: |p| delete(&own(p)) },
    Write { what: "delete a placeholder", before: &["Proposed", "Published", "placeholder leaving"], again: 404, shows: |p| format!("r.{p}.main"), done: |it| it.is_none(),
        request: |p| delete(&format!("r.{p}.main")) },
    Write { what: "create a package", before: NOTHING, again: 409, shows: |p| format!("r.{p}.v1"), done: |it| it.is_some(),
        request: |p| ("POST", "packages".into(), Some(json!({"apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PorchPackage",
            "metadata": {"namespace": "default"}, "spec": {"repository": "r", "packageName": p}}))) },
    Write { what: "delete a package", before: DRAFT, again: 404, shows: own, done: |it| it.is_none(),
        request: |p| ("DELETE", format!("packages/r.{p}"), None) },
];

/// Two replicas: one that writes and is killed, one that only listens.
struct Stage {
    world: World,
    refusing: std::path::PathBuf,
}

impl Stage {
    fn set() -> Self {
        let world = World::start(Way::Http);
        let refusing = world.bare().join("refusing");
        hook(&world.bare(), "update", "test ! -e refusing");
        Self { world, refusing }
    }

    async fn replicas(&self) -> [Replica; 2] {
        let leads = Some(Duration::from_hours(1));
        let role = Role {
            leads,
            ..Role::leader("a")
        };
        [
            Replica::start(&self.world, role).await,
            Replica::start(&self.world, Role::follower("b")).await,
        ]
    }
}

/// Brings `p.w` to where the write begins.
async fn prepare(replica: &Replica, write: &Write, p: &str) {
    let steps = match write.before {
        [first, ..] if *first == "nothing" => return,
        steps => steps,
    };
    let mut object = draft(p, "w", &json!([]));
    object["metadata"]["labels"] = json!({"kept": "always"});
    replica.post("packagerevisions", object).await.unwrap();
    for step in steps {
        let done = match *step {
            "placeholder leaving" => {
                replica
                    .lifecycle(&format!("r.{p}.main"), "DeletionProposed")
                    .await
            }
            step => replica.lifecycle(&own(p), step).await,
        };
        done.unwrap_or_else(|told| panic!("{}, {step}: {told:?}", write.what));
    }
}

async fn send(replica: &Replica, write: &Write, p: &str) -> Answer {
    let (method, path, body) = (write.request)(p);
    replica.ask(method, &path, body).await
}

/// Kills the replica in the middle of a write; returns whether it came to that point.
async fn kill_at(
    replica: &mut Replica,
    write: &Write,
    p: &str,
    (point, spared): (Point, u32),
) -> bool {
    replica.failpoints.arm(point, Death::Hang, spared);
    let failpoints = replica.failpoints.clone();
    let hung = tokio::select! {
        _ = send(replica, write, p) => false,
        () = until("the point", || !failpoints.is_armed()) => true,
    };
    replica.failpoints.disarm();
    if hung {
        replica.kill();
    }
    hung
}

async fn object(replica: &Replica, write: &Write, p: &str) -> Option<Value> {
    let name = (write.shows)(p);
    let mut object = match replica.get(&format!("packagerevisions/{name}")).await {
        Ok(object) => object,
        Err(told) if told.code == 404 => return None,
        Err(told) => panic!("{}: {told:?}", write.what),
    };
    // It may go between the two.
    let files = replica
        .get(&format!("packagerevisionresources/{name}"))
        .await
        .ok()?;
    object["files"] = files["spec"]["resources"].clone();
    Some(object)
}

async fn agreed(stage: &Stage, replicas: &[Replica; 2], what: &str) {
    for replica in replicas {
        until_none(what, async || disagreement(&stage.world, replica).await).await;
    }
}

/// The user's half is there with the half that is in Git, and only with it.
fn is_whole(write: &Write, object: Option<&Value>, what: &str) {
    let Some(object) = object else { return };
    if !matches!(write.before, ["nothing"])
        && object["metadata"]["name"]
            .as_str()
            .unwrap()
            .rsplit('.')
            .next()
            == Some("w")
        && !write.what.contains("clone")
    {
        assert_eq!(object["metadata"]["labels"]["kept"], "always", "{what}");
    }
    let half = &object["metadata"]["annotations"]["half"];
    let (_, _, body) = (write.request)("p");
    let Some(wanted) = body
        .as_ref()
        .and_then(|body| body.pointer("/metadata/annotations/half"))
    else {
        return;
    };
    let done = (write.done)(Some(object));
    assert_eq!(half == wanted, done, "{what}: {object}");
}

/// Nothing half-made was ever shown.
fn were_whole(write: &Write, moments: &[Moment], what: &str) {
    for revision in moments.iter().filter_map(|moment| moment.is.as_ref()) {
        let mut object: Value = serde_json::from_slice(revision.body()).unwrap();
        if write.what.starts_with("create") || object["metadata"]["annotations"]["half"].is_string()
        {
            object["files"] = json!({"a.txt": "new"});
            is_whole(write, Some(&object), &format!("{what}, as it was told"));
        }
    }
}

async fn one_case(
    stage: &Stage,
    replicas: &mut [Replica; 2],
    (write, p): (&Write, &str),
    at: (Point, u32),
) -> bool {
    let what = format!("{} killed at {at:?}", write.what);
    prepare(&replicas[0], write, p).await;
    let refused = REFUSED.contains(&at);
    if refused {
        std::fs::write(&stage.refusing, "").unwrap();
    }
    let killed = kill_at(&mut replicas[0], write, p, at).await;
    if refused {
        std::fs::remove_file(&stage.refusing).unwrap();
    }
    if !killed {
        return false;
    }
    replicas[0].restart(&stage.world).await;
    agreed(stage, replicas, &what).await;
    let found = object(&replicas[0], write, p).await;
    let landed = matches!(
        at.0,
        Point::AfterPush | Point::BetweenRecords | Point::AfterRecords | Point::AfterMetadata
    );
    assert_eq!((write.done)(found.as_ref()), landed, "{what}: {found:?}");
    is_whole(write, found.as_ref(), &what);
    let again = send(&replicas[0], write, p).await;
    let code = again.as_ref().map_or_else(|told| told.code, |_| 200);
    let wanted = if landed { write.again } else { 200 };
    assert_eq!(code, wanted, "{what}, again: {again:?}");
    agreed(stage, replicas, &format!("{what}, and again")).await;
    let found = object(&replicas[0], write, p).await;
    assert!((write.done)(found.as_ref()), "{what}, and again: {found:?}");
    is_whole(write, found.as_ref(), &what);
    for replica in replicas.iter() {
        were_whole(write, &replica.witness.moments(&(write.shows)(p)), &what);
        assert_eq!(replica.witness.complaints(), [""; 0], "{what}");
    }
    true
}

#[test]
fn a_write_that_is_killed_anywhere_is_done_or_not_done() {
    let stage = Stage::set();
    stage.world.run(async {
        let mut replicas = stage.replicas().await;
        let mut kills = 0;
        for (number, write) in WRITES.iter().enumerate() {
            let mut own = 0;
            for (nth, at) in WAY.iter().chain(&REFUSED).enumerate() {
                let p = format!("p{number}-{nth}");
                let killed = one_case(&stage, &mut replicas, (write, &p), *at).await;
                own += usize::from(killed);
                // Only what has neighbours has something between its records.
                assert!(
                    killed || at.0 == Point::BetweenRecords,
                    "{} never came to {at:?}",
                    write.what
                );
            }
            kills += own;
        }
        println!("{kills} kills of {} writes", WRITES.len());
        assert!(kills >= WRITES.len() * 6);
    });
}

#[test]
fn metadata_alone_is_written_or_not_written() {
    let write = Write {
        what: "metadata",
        before: DRAFT,
        request: |p| {
            (
                "PATCH",
                format!("packagerevisions/{}", own(p)),
                Some(json!({"metadata": {"labels": {"l": "v"}}})),
            )
        },
        again: 200,
        shows: own,
        done: |it| is(it, "/metadata/labels/l", "v"),
    };
    let stage = Stage::set();
    stage.world.run(async {
        let mut replicas = stage.replicas().await;
        for (nth, at) in PLAIN.into_iter().enumerate() {
            let p = format!("p{nth}");
            assert!(
                one_case(&stage, &mut replicas, (&write, &p), at).await,
                "{at:?}"
            );
        }
    });
}

/// Among replicas that know each other by Leases: the other one settles what the dead one began, once that is known to be
/// dead and not before.
#[test]
fn what_a_dead_replica_began_another_one_ends() {
    let stage = Stage::set();
    let world = &stage.world;
    world.run(async {
        let survivor = Replica::start(world, Role::leader("a").among(crate::rig::SHORT)).await;
        let cases: [(&Write, Point); 4] = [
            (&WRITES[0], Point::AfterIntent),
            (&WRITES[0], Point::AfterPush),
            (&WRITES[7], Point::AfterIntent),
            (&WRITES[7], Point::AfterPush),
        ];
        for (nth, (write, at)) in cases.into_iter().enumerate() {
            let (p, what) = (format!("p{nth}"), format!("{} at {at:?}", write.what));
            let mut victim =
                Replica::start(world, Role::follower("b").among(crate::rig::SHORT)).await;
            prepare(&victim, write, &p).await;
            assert!(kill_at(&mut victim, write, &p, (at, 0)).await);
            until_none(&what, async || disagreement(world, &survivor).await).await;
            let found = object(&survivor, write, &p).await;
            assert_eq!(
                (write.done)(found.as_ref()),
                at == Point::AfterPush,
                "{what}: {found:?}"
            );
            is_whole(write, found.as_ref(), &what);
            were_whole(write, &survivor.witness.moments(&(write.shows)(&p)), &what);
        }
        assert_eq!(survivor.witness.complaints(), [""; 0]);
    });
}

/// A push whose answer is lost arrives after everybody has looked.
#[test]
fn a_push_that_comes_late_is_found() {
    let stage = Stage::set();
    let world = &stage.world;
    world.run(async {
        let replica = Replica::start(world, Role::leader("a")).await;
        for (nth, write) in WRITES.iter().enumerate() {
            let (p, what) = (format!("p{nth}"), format!("{} that comes late", write.what));
            prepare(&replica, write, &p).await;
            world
                .server
                .behave(|it| it.push_held = Some(Duration::from_millis(1500)));
            let told = send(&replica, write, &p).await.unwrap_err();
            assert_eq!(told.code, 503, "{what}: {told:?}");
            world.server.behave(|it| it.push_held = None);
            let early = object(&replica, write, &p).await;
            assert!(!(write.done)(early.as_ref()), "{what}: told too early");
            is_whole(write, early.as_ref(), &what);
            // Whoever writes meanwhile loses nothing by it.
            let patch = json!({"metadata": {"annotations": {"meanwhile": "yes"}}});
            if early.is_some() {
                let late = format!("packagerevisions/{}", (write.shows)(&p));
                replica.patch(&late, patch).await.unwrap();
            }
            until_none(&what, async || {
                let found = object(&replica, write, &p).await;
                (!(write.done)(found.as_ref())).then(|| "it is not there yet".into())
            })
            .await;
            until_none(&what, async || disagreement(world, &replica).await).await;
            if let Some(found) = object(&replica, write, &p).await {
                if early.is_some() {
                    assert_eq!(
                        found["metadata"]["annotations"]["meanwhile"], "yes",
                        "{what}"
                    );
                }
                is_whole(write, Some(&found), &what);
            }
            were_whole(write, &replica.witness.moments(&(write.shows)(&p)), &what);
        }
        assert_eq!(replica.witness.complaints(), [""; 0]);
    });
}
