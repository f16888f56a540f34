//! Many at once: exactly one of those who want the same gets it, and nobody's change is lost.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, Examined, MERGE, merge};

/// Counts those who won; everybody else must have been told 409 in one of these ways.
fn winners(answers: &[Answer], success: u16, others: &[&str]) -> usize {
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.code == success);
    for answer in lost {
        let message = answer.body["message"].as_str().unwrap_or_default();
        let known = others.iter().any(|words| message.contains(words));
        assert!(known, "{}: {}", answer.code, answer.body);
        assert!(matches!(answer.code, 404 | 409), "{}", answer.body);
    }
    won.len()
}

const BUSY: &str = "another request is already in progress";
const MODIFIED: &str = "the object has been modified";

/// Twenty want the same.
pub async fn of_many_equal_writes_one_wins(examined: &Examined) {
    let desk = Desk::open(examined, "equal").await;
    let all = join_all((0..20).map(|_| desk.ask("p", "w1", json!({})))).await;
    assert_eq!(winners(&all, 201, &[BUSY, "already exists"]), 1);
    assert!(all.iter().any(|it| {
        it.body["message"]
            .as_str()
            .is_some_and(|it| it.contains(BUSY))
    }));
    let count =
        |reference: &str| desk.at_home(&["rev-list", "--count", &format!("main..{reference}")]);
    assert_eq!(count("drafts/p/w1"), "1");
    let mut files = desk.files("r.p.w1").await;
    files["spec"]["resources"]["x.txt"] = "x".into();
    let all = join_all((0..20).map(|_| desk.put("packagerevisionresources/r.p.w1", &files))).await;
    assert_eq!(
        winners(
            &all,
            200,
            &[
                "another request is already in progress on package revision resources",
                MODIFIED
            ]
        ),
        1
    );
    assert_eq!(count("drafts/p/w1"), "2");
    let mut object = desk.revision("r.p.w1").await;
    object["spec"]["lifecycle"] = "Proposed".into();
    let all = join_all((0..20).map(|_| desk.put("packagerevisions/r.p.w1", &object))).await;
    assert_eq!(
        winners(
            &all,
            200,
            &[
                "another request is already in progress on package revision",
                MODIFIED
            ]
        ),
        1
    );
    let mut object = desk.revision("r.p.w1").await;
    object["spec"]["lifecycle"] = "Published".into();
    let all =
        join_all((0..20).map(|_| desk.put("packagerevisions/r.p.w1/approval", &object))).await;
    assert_eq!(winners(&all, 200, &[BUSY, MODIFIED]), 1);
    assert_eq!(desk.refs(), ["heads/main", "tags/known/v1", "tags/p/v1"]);
    desk.turn("r.p.w1", "DeletionProposed").await.is(200);
    let all = join_all((0..20).map(|_| desk.delete("packagerevisions/r.p.w1"))).await;
    assert_eq!(winners(&all, 200, &[BUSY, "not found"]), 1);
    assert_eq!(desk.refs(), ["heads/main", "tags/known/v1"]);
}

/// Fifty patch one object, none of them names a version: all of them succeed, on a draft and on what is published.
pub async fn patches_without_a_version_all_succeed(examined: &Examined) {
    let desk = Desk::open(examined, "patches").await;
    desk.make("p", "w1", json!({})).await;
    for name in ["r.p.w1", "r.known.v1"] {
        let patch = async |number: usize| {
            let patch = json!({ "metadata": { "labels": { format!("l{number}"): "yes" } } });
            desk.patch(&format!("packagerevisions/{name}"), MERGE, &patch)
                .await
        };
        let all = join_all((0..50).map(patch)).await;
        for answer in all {
            answer.is(200);
        }
        let labels = desk.revision(name).await["metadata"]["labels"].clone();
        let own = labels
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| key.starts_with('l'));
        assert_eq!(own.count(), 50);
    }
    // Files too: each adds one.
    let write = async |number: usize| desk.write("r.p.w1", &format!("f{number}.txt"), "x").await;
    for answer in join_all((0..10).map(write)).await {
        answer.is(200);
    }
    let tree = desk.tree("drafts/p/w1:p");
    assert_eq!(tree.iter().filter(|path| path.starts_with('f')).count(), 10);
}

/// Twenty packages are published at once: all of them are on the branch, each with its tag.
pub async fn many_are_published_at_once(examined: &Examined) {
    let desk = Desk::open(examined, "publish").await;
    let one = async |number: usize| {
        let package = format!("group{}/p{number}", number % 3);
        let made = desk.make(&package, "w1", json!({})).await;
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        desk.turn(&name, "Proposed").await.is(200);
        desk.approve(&name, "Published").await.is(200)
    };
    let all = join_all((0..20).map(one)).await;
    assert!(all.iter().all(|it| it["spec"]["revision"] == 1));
    let line = desk.at_home(&["rev-list", "--first-parent", "main"]);
    let tags: Vec<_> = desk
        .refs()
        .into_iter()
        .filter(|it| it.starts_with("tags/group"))
        .collect();
    assert_eq!(tags.len(), 20);
    for tag in tags {
        let commit = desk.commit(&format!("refs/{tag}")).unwrap();
        assert!(line.contains(&commit), "{tag} is not on the branch");
    }
    let kptfiles = desk
        .tree("main")
        .into_iter()
        .filter(|path| path.ends_with("/Kptfile"));
    assert_eq!(kptfiles.count(), 21, "no package was lost");
    assert!(
        !desk
            .refs()
            .iter()
            .any(|it| it.contains("proposed") || it.contains("drafts"))
    );
    desk.look("r").await;
    assert_eq!(desk.names("packagerevisions").await.len(), 2 * 21);
    two_of_one_package(&desk).await;
}

async fn two_of_one_package(desk: &Desk) {
    let edit =
        json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": { "name": "r.known.v1" } } }] });
    for workspace in ["one", "two"] {
        let mut spec = edit.clone();
        merge(&mut spec, json!({}));
        let made = desk.make("known", workspace, spec).await;
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        desk.turn(&name, "Proposed").await.is(200);
    }
    let both = ["r.known.one", "r.known.two"].map(|name| desk.approve(name, "Published"));
    let both = join_all(both).await;
    let mut numbers: Vec<Value> = both
        .into_iter()
        .map(|it| it.is(200)["spec"]["revision"].clone())
        .collect();
    numbers.sort_by_key(Value::as_i64);
    assert_eq!(numbers, [2, 3]);
    let (two, three) = (
        desk.commit("refs/tags/known/v2"),
        desk.commit("refs/tags/known/v3"),
    );
    assert!(two.is_some() && three.is_some() && two != three);
    let latest = desk
        .get("packagerevisions?labelSelector=kpt.dev/latest-revision%3Dtrue")
        .await
        .is(200);
    let latest = latest["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["spec"]["packageName"] == "known");
    let latest: Vec<_> = latest.map(|it| it["spec"]["revision"].clone()).collect();
    assert_eq!(latest, [3], "one is the latest");
}
