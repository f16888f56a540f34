//! The garbage collector of the cluster, and the namespace controller: what depends on a package revision, and what a
//! package revision depends on, goes as with every other kind, by our rules; and Git is never touched by mistake.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    desk::{Answer, Desk, JSON, MERGE, STEPS},
    server::Server,
};

/// How long the garbage collector may take to hear of a resource that it did not know.
const HEARING: Duration = Duration::from_mins(3);
/// How long it is watched what it does with a deletion that is refused.
const WATCHED: Duration = Duration::from_secs(6);
/// How long a namespace may take to go.
const ENDING: Duration = Duration::from_secs(30);

/// Waits longer than a desk does.
async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !look().await {
        assert!(begun.elapsed() < HEARING, "never: {what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// One who makes owners and dependents.
struct Family<'a>(&'a Desk);

impl Family<'_> {
    fn maps(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.0.namespace)
    }

    /// Makes a ConfigMap, and returns what names it in its dependents.
    async fn map(&self, name: &str, metadata: Value) -> Value {
        let mut map =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
        crate::desk::merge(&mut map["metadata"], metadata);
        let made = self.0.post(&self.maps(), &map).await.is(201);
        owner(&made)
    }

    /// Makes a draft of a package, and returns what names it in its dependents.
    async fn draft(&self, package: &str, metadata: Value) -> Value {
        let mut draft = self.0.draft(package, "w1", json!({}));
        crate::desk::merge(&mut draft["metadata"], metadata);
        let uri = self.0.path("packagerevisions");
        owner(&self.0.post(&uri, &draft).await.is(201))
    }

    /// Returns the metadata of a ConfigMap; nothing if it is gone.
    async fn at(&self, map: &str) -> Option<Value> {
        let uri = format!("{}/{map}", self.maps());
        let answer = self.0.examined.send("GET", &uri, (JSON, Vec::new())).await;
        (answer.code != 404).then(|| answer.is(200)["metadata"].clone())
    }

    /// Returns the metadata of a draft; nothing if it is gone.
    async fn of(&self, package: &str) -> Option<Value> {
        let answer = self
            .0
            .get(&format!("packagerevisions/r.{package}.w1"))
            .await;
        (answer.code != 404).then(|| answer.is(200)["metadata"].clone())
    }

    async fn delete_map(&self, map: &str, policy: &str) -> Answer {
        let uri = format!("{}/{map}?propagationPolicy={policy}", self.maps());
        self.0
            .examined
            .send("DELETE", &uri, (JSON, Vec::new()))
            .await
    }

    async fn delete(&self, package: &str, policy: &str) -> Answer {
        let uri = format!("packagerevisions/r.{package}.w1?propagationPolicy={policy}");
        self.0.delete(&uri).await
    }

    /// Lets go of a ConfigMap.
    async fn free(&self, map: &str) {
        let uri = format!("{}/{map}", self.maps());
        let steps = json!([{ "op": "remove", "path": "/metadata/finalizers" }]);
        let body = (STEPS, steps.to_string().into_bytes());
        self.0.examined.send("PATCH", &uri, body).await.is(200);
    }
}

/// Returns what names an object in its dependents.
fn owner(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"],
        "name": metadata["name"], "uid": metadata["uid"],
    })
}

/// Returns metadata of what an owner has.
fn owned(owner: &Value) -> Value {
    json!({ "ownerReferences": [owner] })
}

/// Returns metadata of what an owner has who waits for its end.
fn blocking(owner: &Value) -> Value {
    let mut owner = owner.clone();
    owner["blockOwnerDeletion"] = true.into();
    owned(&owner)
}

fn held(mut metadata: Value) -> Value {
    metadata["finalizers"] = json!(["example.com/held"]);
    metadata
}

/// Owners that go, and take along what may go; what is published stays and says so.
async fn dependents_go_after_their_owner(server: &Server, desk: &Desk) {
    let family = Family(desk);
    let owner = family.map("owner", json!({})).await;
    family.draft("p", owned(&owner)).await;
    desk.publish("q", "w1", json!({})).await;
    let patch = json!({ "metadata": owned(&owner) });
    let patched = desk.patch("packagerevisions/r.q.w1", MERGE, &patch).await;
    patched.is(200);
    let free = family.draft("s", json!({})).await;
    family.map("tail", owned(&free)).await;
    family.draft("t", owned(&free)).await;
    family.delete_map("owner", "Background").await.is(200);
    family.delete("s", "Background").await.is(200);
    assert_eq!(family.of("s").await, None, "it does not wait for anybody");
    for package in ["p", "t"] {
        until("a draft is collected", async || {
            family.of(package).await.is_none()
        })
        .await;
        let branch = format!("drafts/{package}/w1");
        assert_eq!(desk.commit(&branch), None, "its branch went with it");
    }
    until("what a draft owned is collected", async || {
        family.at("tail").await.is_none()
    })
    .await;
    // What is published goes when its deletion is proposed, and not before.
    until("the refusal is told", async || !told(desk).await.is_empty()).await;
    let refused = refusals(server).await;
    tokio::time::sleep(WATCHED).await;
    let more = refusals(server).await - refused;
    assert!(more <= 12.0, "{more} deletions were refused in {WATCHED:?}");
    let told = told(desk).await;
    let [event] = &told[..] else {
        panic!("it is told once: {told:#?}")
    };
    let note = event["message"].as_str().unwrap();
    assert!(note.contains("must be proposed for deletion"), "{note}");
    assert_eq!(event["type"], "Warning");
    let now = desk.revision("r.q.w1").await;
    assert_eq!(now["spec"]["lifecycle"], "Published");
    assert!(desk.commit("refs/tags/q/v1").is_some());
    desk.turn("r.q.w1", "DeletionProposed").await.is(200);
    until("the proposed deletion is collected", async || {
        family.of("q").await.is_none()
    })
    .await;
    assert_eq!(desk.commit("refs/tags/q/v1"), None);
}

/// Returns the events that tell that the published revision stays.
async fn told(desk: &Desk) -> Vec<Value> {
    let uri = format!(
        "/api/v1/namespaces/{}/events?fieldSelector=involvedObject.name%3Dr.q.w1,reason%3DDeletionRefused",
        desk.namespace
    );
    let list = desk.examined.send("GET", &uri, (JSON, Vec::new())).await;
    list.is(200)["items"].as_array().unwrap().clone()
}

/// Returns how many deletions of package revisions the server has refused.
async fn refusals(server: &Server) -> f64 {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = server.direct().request_text(request).await.unwrap();
    let words = [
        "apiserver_request_total{",
        "resource=\"packagerevisions\"",
        "verb=\"DELETE\"",
        "code=\"403\"",
    ];
    let lines = text
        .lines()
        .filter(|line| words.iter().all(|word| line.contains(word)));
    lines
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// An owner that waits for those who block its end, and for no others; and one that sets them free.
async fn owners_wait_for_their_dependents(desk: &Desk) {
    let family = Family(desk);
    let front = family.draft("front", json!({})).await;
    family.map("blocks", held(blocking(&front))).await;
    family.map("loose", held(owned(&front))).await;
    let going = family.delete("front", "Foreground").await.is(200);
    assert_eq!(
        going["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    assert!(going["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 0);
    let parted = family.draft("parted", json!({})).await;
    family.map("kept", blocking(&parted)).await;
    family.draft("heir", blocking(&parted)).await;
    // What is said of a package is said of its revisions.
    let package = "packages/r.parted?propagationPolicy=Orphan";
    desk.delete(package).await.is(200);
    until("the dependents are set free", async || {
        family.of("parted").await.is_none()
    })
    .await;
    assert_eq!(desk.commit("drafts/parted/w1"), None);
    for metadata in [family.at("kept").await, family.of("heir").await] {
        let metadata = metadata.expect("it stays");
        assert_eq!(metadata["ownerReferences"], Value::Null);
    }
    until("the dependent that blocks is to go", async || {
        let blocks = family.at("blocks").await.expect("it is held");
        blocks["deletionTimestamp"].is_string()
    })
    .await;
    let waits = family.of("front").await.expect("it waits");
    assert_eq!(waits["finalizers"], json!(["foregroundDeletion"]));
    let files = desk.files("r.front.w1").await;
    assert!(files["spec"]["resources"]["Kptfile"].is_string());
    assert!(desk.commit("drafts/front/w1").is_some());
    family.free("blocks").await;
    until("nothing blocks it any more", async || {
        family.of("front").await.is_none()
    })
    .await;
    assert_eq!(desk.commit("drafts/front/w1"), None);
    family.free("loose").await;
    until("the other went after it", async || {
        family.at("loose").await.is_none()
    })
    .await;
}

/// A draft that blocks the end of its owner, and one that is set free.
async fn a_draft_keeps_its_owner_waiting(desk: &Desk) {
    let family = Family(desk);
    let lord = family.map("lord", json!({})).await;
    family.draft("slow", held(blocking(&lord))).await;
    let giver = family.map("giver", json!({})).await;
    family.draft("gift", blocking(&giver)).await;
    family.delete_map("lord", "Foreground").await.is(200);
    family.delete_map("giver", "Orphan").await.is(200);
    until("the draft is to go", async || {
        let slow = family.of("slow").await.expect("it is held");
        slow["deletionTimestamp"].is_string()
    })
    .await;
    assert!(family.at("lord").await.is_some(), "it waits");
    let files = desk.files("r.slow.w1").await;
    assert!(files["spec"]["resources"]["Kptfile"].is_string());
    let free = json!({ "metadata": { "finalizers": null } });
    let freed = desk.patch("packagerevisions/r.slow.w1", MERGE, &free).await;
    freed.is(200);
    until("both are gone", async || {
        family.of("slow").await.is_none() && family.at("lord").await.is_none()
    })
    .await;
    assert_eq!(desk.commit("drafts/slow/w1"), None);
    until("the owner has gone without it", async || {
        family.at("giver").await.is_none()
    })
    .await;
    let gift = family.of("gift").await.expect("it stays");
    assert_eq!(gift["ownerReferences"], Value::Null);
    assert!(desk.commit("drafts/gift/w1").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_garbage_collector_deletes_by_the_rules_of_users() {
    let server = Server::start("collected").await;
    let desk = Desk::open(&server.examined, "owned").await;
    desk.make("nobodys", "w1", json!({})).await;
    // Of whom it has not heard, it does not wait for.
    let family = Family(&desk);
    let first = family.map("first", json!({})).await;
    family.draft("first", owned(&first)).await;
    family.delete_map("first", "Background").await.is(200);
    until("the garbage collector knows revisions", async || {
        family.of("first").await.is_none()
    })
    .await;
    let logged = server.plane().manager_log().len();
    tokio::join!(
        dependents_go_after_their_owner(&server, &desk),
        owners_wait_for_their_dependents(&desk),
        a_draft_keeps_its_owner_waiting(&desk),
    );
    let log = server.plane().manager_log();
    let ours = log[logged..].lines().filter(|line| line.contains("porch"));
    // What is published may not be collected, and the collector says so each time.
    let errors: Vec<&str> = ours
        .filter(|line| line.starts_with(['E', 'W']) && !line.contains("DeletionProposed"))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    // What nobody owns is nobody's business.
    let nobodys = desk.revision("r.nobodys.w1").await;
    assert_eq!(nobodys["spec"]["lifecycle"], "Draft");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_deleted_ends_and_leaves_git_as_it_is() {
    let server = Server::start("ending").await;
    let desk = Desk::open(&server.examined, "gone").await;
    desk.make("p", "w1", json!({})).await;
    desk.publish("q", "w1", json!({})).await;
    desk.publish("s", "w1", json!({})).await;
    desk.turn("r.s.w1", "DeletionProposed").await.is(200);
    let held = json!({ "metadata": { "finalizers": ["example.com/held"] } });
    desk.patch("packagerevisions/r.p.w1", MERGE, &held)
        .await
        .is(200);
    let before = desk.everything();
    let uri = format!("/api/v1/namespaces/{}", desk.namespace);
    let nothing = || (JSON, Vec::new());
    let code = desk.examined.send("DELETE", &uri, nothing()).await.code;
    assert_eq!(code, 200);
    let told = desk.ask("late", "w1", json!({})).await;
    assert!(matches!(told.code, 403 | 404), "{}", told.body);
    // A user's finalizer holds its revision, and with it the namespace.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let now = desk.examined.send("GET", &uri, nothing()).await.is(200);
    assert_eq!(now["status"]["phase"], "Terminating");
    let free = json!({ "metadata": { "finalizers": null } });
    let freed = desk.patch("packagerevisions/r.p.w1", MERGE, &free).await;
    assert!(matches!(freed.code, 200 | 404), "{}", freed.body);
    until("the namespace is gone", async || {
        desk.examined.send("GET", &uri, nothing()).await.code == 404
    })
    .await;
    assert_eq!(desk.everything(), before, "Git is as it was");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_with_much_in_it_is_gone_in_half_a_minute() {
    let server = Server::start("much").await;
    let desk = Desk::open(&server.examined, "full").await;
    for package in ["a", "b", "c", "d"] {
        desk.publish(package, "w1", json!({})).await;
        let source = json!({ "name": format!("r.{package}.w1") });
        let edit = json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": source } }] });
        desk.make(package, "w2", edit).await;
    }
    let nobody = json!({ "git": { "repo": "http://127.0.0.1:9/r.git" } });
    desk.register("unreachable", nobody).await;
    let before = desk.everything();
    let uri = format!("/api/v1/namespaces/{}", desk.namespace);
    let nothing = || (JSON, Vec::new());
    let begun = Instant::now();
    desk.examined.send("DELETE", &uri, nothing()).await.is(200);
    until("the namespace is gone", async || {
        desk.examined.send("GET", &uri, nothing()).await.code == 404
    })
    .await;
    let took = begun.elapsed();
    println!("a namespace went in {took:.1?}");
    assert!(took < ENDING, "{took:?}");
    assert_eq!(desk.everything(), before, "Git is as it was");
    server.end().await;
}
