//! Others who write to the same repository, and servers that do not do what they should: nothing is overwritten, nothing is
//! half done, and the caller is told what can be done about it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    desk::{Answer, Desk, Examined, MERGE, version},
    git_server::{Behaviour, GitServer, git},
};

/// Somebody pushes between a read and a write.
pub async fn a_strangers_push_is_never_overwritten(examined: &Examined) {
    let desk = Desk::open(examined, "strangers").await;
    desk.make("p", "w1", json!({})).await;
    for step in ["files", "lifecycle", "content", "approval"] {
        let place = if step == "approval" {
            "proposed"
        } else {
            "drafts"
        };
        let (mut object, mut files) = (desk.revision("r.p.w1").await, desk.files("r.p.w1").await);
        let theirs = desk.stranger(&format!("{place}/p/w1"), &format!("p/{step}.txt"), "theirs");
        let told = match step {
            "files" => {
                files["spec"]["resources"]["own.txt"] = "own".into();
                desk.put("packagerevisionresources/r.p.w1", &files).await
            }
            "lifecycle" => {
                object["spec"]["lifecycle"] = "Proposed".into();
                desk.put("packagerevisions/r.p.w1", &object).await
            }
            "content" => {
                object["spec"]["packageMetadata"]["labels"] = json!({ "a": "b" });
                desk.put("packagerevisions/r.p.w1", &object).await
            }
            _ => {
                object["spec"]["lifecycle"] = "Published".into();
                desk.put("packagerevisions/r.p.w1/approval", &object).await
            }
        };
        told.says(409, "Conflict", "the object has been modified");
        assert_eq!(
            desk.commit(&format!("{place}/p/w1")),
            Some(theirs),
            "{step}"
        );
        // What they did can be read at once, and the next attempt stands on it.
        let now = desk.files("r.p.w1").await;
        assert_eq!(now["spec"]["resources"][format!("{step}.txt")], "theirs");
        if step == "content" {
            desk.turn("r.p.w1", "Proposed").await.is(200);
        }
    }
    let done = desk.approve("r.p.w1", "Published").await.is(200);
    assert_eq!(done["spec"]["revision"], 1);
    let tree = desk.tree("main");
    for step in ["files", "lifecycle", "content", "approval"] {
        assert!(tree.contains(&format!("p/{step}.txt")), "{tree:?}");
    }
    // A tag that was taken behind our back is not moved: the next number is.
    git(&desk.git.bare(), &["tag", "q/v1", "main~1"]);
    let tag = desk.commit("refs/tags/q/v1");
    let done = desk.publish("q", "w1", json!({})).await;
    assert_eq!(desk.commit("refs/tags/q/v1"), tag);
    assert!(
        desk.commit("refs/tags/q/v2").is_some() || done["spec"]["revision"] == 2,
        "{done}"
    );
    // A draft that was made behind our back is not overwritten either.
    git(&desk.git.bare(), &["branch", "drafts/s/w1", "main"]);
    let theirs = desk.commit("drafts/s/w1");
    desk.ask("s", "w1", json!({}))
        .await
        .says(409, "AlreadyExists", "r.s.w1");
    assert_eq!(desk.commit("drafts/s/w1"), theirs);
    // A patch without a version is computed anew on what they did.
    desk.make("t", "w1", json!({})).await;
    desk.stranger("drafts/t/w1", "t/theirs.txt", "theirs");
    desk.write("r.t.w1", "own.txt", "own").await.is(200);
    let tree = desk.tree("drafts/t/w1:t");
    assert!(
        tree.contains(&"theirs.txt".into()) && tree.contains(&"own.txt".into()),
        "{tree:?}"
    );
    // What they took away is gone.
    git(&desk.git.bare(), &["branch", "-D", "drafts/t/w1"]);
    let told = desk.write("r.t.w1", "own.txt", "more").await;
    assert!(matches!(told.code, 404 | 409), "{}", told.body);
    assert_eq!(desk.commit("drafts/t/w1"), None);
    desk.get("packagerevisions/r.t.w1")
        .await
        .says(404, "NotFound", "not found");
}

/// Refs that somebody has locked, for a moment or because he died meanwhile.
pub async fn locked_refs(examined: &Examined) {
    let desk = ready(examined, "locked").await;
    let refs = [
        "heads/drafts/new/w1",
        "heads/drafts/p/w1",
        "heads/drafts/p/w1",
        "heads/main",
        "heads/drafts/s/w1",
    ];
    for (step, name) in ALL.into_iter().zip(refs) {
        let lock = desk.git.bare().join(format!("refs/{name}.lock"));
        std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
        std::fs::write(&lock, "").unwrap();
        let told = attempt(&desk, step, "").await;
        told.says(503, "ServiceUnavailable", &format!("refs/{name} is locked"));
        assert_eq!(told.retry_after.as_deref(), Some("5"), "{step}");
        let (unlocked, done) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_millis(400)).await;
                std::fs::remove_file(&lock).unwrap();
            },
            attempt(&desk, step, "")
        );
        let () = unlocked;
        assert!(done.code < 300, "{step}: {}", done.body);
    }
}

/// Every kind of write.
const ALL: [&str; 5] = ["create", "files", "propose", "approve", "delete"];

async fn attempt(desk: &Desk, step: &str, more: &str) -> Answer {
    let patch = |lifecycle: &str| json!({ "spec": { "lifecycle": lifecycle } });
    match step {
        "create" => {
            let uri = format!("{}{more}", desk.path("packagerevisions"));
            desk.post(&uri, &desk.draft("new", "w1", json!({}))).await
        }
        "files" => {
            let patch = json!({ "spec": { "resources": { "x.txt": "x" } } });
            desk.patch(
                &format!("packagerevisionresources/r.p.w1{more}"),
                MERGE,
                &patch,
            )
            .await
        }
        "propose" => {
            desk.patch(
                &format!("packagerevisions/r.p.w1{more}"),
                MERGE,
                &patch("Proposed"),
            )
            .await
        }
        "approve" => {
            desk.patch(
                &format!("packagerevisions/r.q.w1/approval{more}"),
                MERGE,
                &patch("Published"),
            )
            .await
        }
        _ => desk.delete(&format!("packagerevisions/r.s.w1{more}")).await,
    }
}

/// Opens a desk where every write can be attempted.
async fn ready(examined: &Examined, name: &str) -> Desk {
    let desk = Desk::open(examined, name).await;
    for package in ["p", "q", "s"] {
        desk.make(package, "w1", json!({})).await;
    }
    desk.turn("r.q.w1", "Proposed").await.is(200);
    desk
}

async fn state(desk: &Desk) -> (String, Value) {
    let mut items = desk.get("packagerevisions").await.is(200)["items"].clone();
    for item in items.as_array_mut().unwrap() {
        // An intent that came and went moved it.
        item["metadata"]["resourceVersion"] = Value::Null;
    }
    (desk.everything(), items)
}

/// How a server behaves, the status, reason and words for it, and whether to try again later.
type Case = (fn(&mut Behaviour), u16, &'static str, &'static str, bool);

/// The Git server says no in every way that it can.
pub async fn servers_that_refuse(examined: &Examined) {
    let desk = ready(examined, "refuse").await;
    let before = state(&desk).await;
    desk.hook("echo 'Only on Tuesdays.' >&2; exit 1");
    for step in ALL {
        let told = attempt(&desk, step, "").await;
        told.says(403, "Forbidden", "the Git server refused the change");
        told.says(403, "Forbidden", "Only on Tuesdays.");
        assert_eq!(state(&desk).await, before, "{step}");
    }
    desk.unhook();
    let behave = |change: fn(&mut Behaviour)| desk.server.behave(change);
    let cases: [Case; 6] = [
        (
            |it| it.authorization = Some("Basic x".into()),
            403,
            "Forbidden",
            "refuses its credentials",
            false,
        ),
        (
            |it| it.status = Some(403),
            403,
            "Forbidden",
            "refuses its credentials",
            false,
        ),
        (
            |it| it.push = Some((413, Vec::new())),
            413,
            "RequestEntityTooLarge",
            "",
            false,
        ),
        (
            |it| it.push = Some((429, Vec::new())),
            503,
            "ServiceUnavailable",
            "rate limit",
            true,
        ),
        (
            |it| it.push = Some((503, Vec::new())),
            503,
            "ServiceUnavailable",
            "503",
            true,
        ),
        (
            |it| it.status = Some(404),
            503,
            "ServiceUnavailable",
            "repository not found",
            true,
        ),
    ];
    for (change, code, reason, words, later) in cases {
        behave(change);
        for step in ALL {
            let told = attempt(&desk, step, "").await;
            told.says(code, reason, words);
            assert_eq!(told.retry_after.is_some(), later, "{words}");
            assert_eq!(
                told.body["details"]["retryAfterSeconds"].is_number(),
                later,
                "{words}"
            );
        }
        behave(|it| *it = Behaviour::default());
        assert_eq!(state(&desk).await, before, "{words}");
    }
    for step in ALL {
        let done = attempt(&desk, step, "").await;
        assert!(matches!(done.code, 200 | 201), "{step}: {}", done.body);
    }
}

/// A dry run is told what the deed would be told, as far as that can be known without a push; and nothing is changed.
pub async fn dry_runs_ask_the_git_server(examined: &Examined) {
    const DRY: &str = "?dryRun=All";
    let mut desk = ready(examined, "asked").await;
    let before = state(&desk).await;
    let behave = |desk: &Desk, change: fn(&mut Behaviour)| desk.server.behave(change);
    for step in ALL {
        let told = attempt(&desk, step, DRY).await;
        assert!(matches!(told.code, 200 | 201), "{step}: {}", told.body);
    }
    let cases: [Case; 4] = [
        (
            |it| it.read_only = true,
            403,
            "Forbidden",
            "refuses its credentials",
            false,
        ),
        (
            |it| it.authorization = Some("Basic x".into()),
            403,
            "Forbidden",
            "refuses its credentials",
            false,
        ),
        (
            |it| it.status = Some(429),
            503,
            "ServiceUnavailable",
            "rate limit",
            true,
        ),
        (
            |it| it.status = Some(404),
            503,
            "ServiceUnavailable",
            "repository not found",
            true,
        ),
    ];
    for (change, code, reason, words, later) in cases {
        behave(&desk, change);
        for step in ALL {
            let told = attempt(&desk, step, DRY).await;
            told.says(code, reason, words);
            assert_eq!(told.retry_after.is_some(), later, "{words}");
        }
        behave(&desk, |it| *it = Behaviour::default());
        assert_eq!(state(&desk).await, before, "{words}");
    }
    // What strangers did is seen, and not recorded.
    let bare = desk.git.bare();
    git(&bare, &["branch", "drafts/new/w1", "main"]);
    git(&bare, &["tag", "q/v1", "main"]);
    desk.stranger("drafts/p/w1", "p/theirs.txt", "theirs");
    desk.stranger("main", "theirs.txt", "theirs");
    let before = state(&desk).await;
    let uri = desk.path("packagerevisions?dryRun=All");
    let new = desk.post(&uri, &desk.draft("new", "w1", json!({}))).await;
    new.says(409, "AlreadyExists", "r.new.w1");
    for step in ["files", "propose"] {
        let told = attempt(&desk, step, DRY).await;
        told.says(409, "Conflict", "the object has been modified");
    }
    let approved = attempt(&desk, "approve", DRY).await.is(200);
    assert_eq!(approved["spec"]["revision"], 2, "the first tag is taken");
    attempt(&desk, "delete", DRY).await.is(200);
    assert_eq!(state(&desk).await, before);
    // Nobody listens any more.
    let root = desk.root().to_owned();
    let other = tokio::task::spawn_blocking(move || GitServer::http(&root));
    drop(std::mem::replace(&mut desk.server, other.await.unwrap()));
    for step in ALL {
        let told = attempt(&desk, step, DRY).await;
        told.says(
            503,
            "ServiceUnavailable",
            "the Git server does not take changes now",
        );
    }
}

/// The Git server is gone, and comes back.
pub async fn a_server_that_is_gone(examined: &Examined) {
    let mut desk = ready(examined, "gone").await;
    let before = state(&desk).await;
    let root = desk.root().to_owned();
    let gone = desk.url();
    // Another one takes its place here; nobody listens at the old address any more.
    let other = tokio::task::spawn_blocking(move || GitServer::http(&root))
        .await
        .unwrap();
    drop(std::mem::replace(&mut desk.server, other));
    assert_ne!(desk.url(), gone);
    for step in ALL {
        let told = attempt(&desk, step, "").await;
        told.says(
            503,
            "ServiceUnavailable",
            "the Git server does not take changes now",
        );
        assert!(told.retry_after.is_some());
    }
    assert_eq!(state(&desk).await, before);
    assert!(
        desk.files("r.p.w1").await["spec"]["resources"]["Kptfile"].is_string(),
        "what is known is read"
    );
    let patch = json!({ "metadata": { "labels": { "a": "b" } } });
    desk.patch("packagerevisions/r.p.w1", MERGE, &patch)
        .await
        .is(200);
}

/// Answers that are lost or late: what was done is told as done, and nothing is done twice.
pub async fn answers_that_are_lost_or_late(examined: &Examined) {
    let desk = ready(examined, "lost").await;
    desk.server.behave(|it| it.push_lost = true);
    for step in ALL {
        let done = attempt(&desk, step, "").await;
        assert!(matches!(done.code, 200 | 201), "{step}: {}", done.body);
    }
    desk.server.behave(|it| *it = Behaviour::default());
    assert_eq!(
        desk.refs(),
        [
            "heads/drafts/new/w1",
            "heads/main",
            "heads/proposed/p/w1",
            "tags/known/v1",
            "tags/q/v1"
        ]
    );
    let before = desk.get("packagerevisions").await.is(200)["items"].clone();
    desk.look("r").await;
    assert_eq!(desk.get("packagerevisions").await.is(200)["items"], before);
    // The caller's time is over before the server answers: the deed is finished all the same.
    desk.server
        .behave(|it| it.push_late = Some(Duration::from_secs(4)));
    let told = desk
        .post(
            &format!("{}?timeout=1s", desk.path("packagerevisions")),
            &desk.draft("slow", "w1", json!({})),
        )
        .await;
    told.says(504, "Timeout", "");
    let again = desk.ask("slow", "w1", json!({})).await;
    assert_eq!(again.code, 409, "{}", again.body);
    let made = desk
        .eventually("the deed", async || {
            let got = desk.get("packagerevisions/r.slow.w1").await;
            (got.code == 200).then_some(got.body)
        })
        .await;
    assert_eq!(made["spec"]["lifecycle"], "Draft");
    desk.server.behave(|it| *it = Behaviour::default());
    assert_eq!(
        desk.at_home(&["rev-list", "--count", "main..drafts/slow/w1"]),
        "1"
    );
    desk.turn("r.slow.w1", "Proposed").await.is(200);
    let now = desk.revision("r.slow.w1").await;
    assert!(version(&now).parse::<u64>().unwrap() > version(&made).parse::<u64>().unwrap());
}
