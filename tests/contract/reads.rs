//! GET, LIST and single watches of the three kinds.

use porch::package::Lifecycle;
use serde_json::{Value, json};

use crate::subject::Subject;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Checks everything that can be read.
pub async fn check(subject: &Subject) {
    empty(subject).await;
    subject.create("net.upf.v1", Lifecycle::Published).await;
    subject.create("net.upf.v2", Lifecycle::Draft).await;
    subject.create("amf.v1", Lifecycle::Proposed).await;
    let version = subject.label("amf.v1", "yes").await;
    one(subject, version).await;
    chosen(subject, version).await;
    pages(subject, version).await;
    tables(subject, version).await;
    packages(subject, version).await;
    refusals(subject).await;
}

async fn empty(subject: &Subject) {
    for plural in ["packagerevisions", "packagerevisionresources", "packages"] {
        let (code, list) = subject.get(&subject.path(plural), "").await;
        assert_eq!((code, &list["items"]), (200, &json!([])), "{plural}");
        let version: u64 = list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(version > 0);
    }
}

async fn one(subject: &Subject, version: u64) {
    let uri = format!(
        "{}/repo.amf.v1?resourceVersion={version}",
        subject.path("packagerevisions")
    );
    let (code, object) = subject.get(&uri, "").await;
    assert_eq!(code, 200);
    assert_eq!(object["kind"], "PackageRevision");
    assert_eq!(object["apiVersion"], "porch.kpt.dev/v1alpha1");
    assert_eq!(object["metadata"]["resourceVersion"], version.to_string());
    assert_eq!(object["metadata"]["labels"], json!({ "mark": "yes" }));
    assert_eq!(object["spec"]["lifecycle"], "Proposed");
    assert_eq!(object["spec"]["packageName"], "amf");
    assert_eq!(object["status"]["publishTimestamp"], Value::Null);
    let created = object["metadata"]["creationTimestamp"].as_str().unwrap();
    assert!(created.len() == 20 && created.ends_with('Z'), "{created}");
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

async fn chosen(subject: &Subject, version: u64) {
    let all = ["repo.amf.v1", "repo.net.upf.v1", "repo.net.upf.v2"];
    for (query, expected) in [
        ("", &all[..]),
        ("&fieldSelector=spec.lifecycle%3DDraft", &all[2..]),
        (
            "&fieldSelector=spec.lifecycle%3DDraft,spec.lifecycle%3DProposed",
            &[all[0], all[2]][..],
        ),
        ("&fieldSelector=spec.packageName%3Dnet/upf", &all[1..]),
        (
            "&fieldSelector=spec.packageName%3Dupf,spec.revision%3Dv1",
            &all[1..2],
        ),
        ("&fieldSelector=spec.revision%3D0", &[all[0], all[2]][..]),
        ("&fieldSelector=spec.workspaceName%3Dv2", &all[2..]),
        ("&fieldSelector=spec.repository%3Dother", &[]),
        ("&fieldSelector=metadata.name%3Drepo.amf.v1", &all[..1]),
        ("&labelSelector=mark%3Dyes", &all[..1]),
        ("&labelSelector=!mark", &all[1..]),
    ] {
        let path = subject.path("packagerevisions");
        let uri = format!("{path}?resourceVersion={version}{query}");
        let (code, list) = subject.get(&uri, "").await;
        assert_eq!((code, &list["kind"]), (200, &json!("PackageRevisionList")));
        assert_eq!(names(&list), expected, "{query}");
    }
}

async fn pages(subject: &Subject, version: u64) {
    let path = subject.path("packagerevisions");
    let (_, first) = subject.get(&format!("{path}?limit=2"), "").await;
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let listed = first["metadata"]["resourceVersion"].as_str().unwrap();
    assert!(listed.parse::<u64>().unwrap() >= version);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = subject
        .get(&format!("{path}?limit=2&continue={token}"), "")
        .await;
    assert_eq!(second["metadata"], json!({ "resourceVersion": listed }));
    assert_eq!(names(&second), ["repo.net.upf.v2"]);
}

async fn tables(subject: &Subject, version: u64) {
    let uri = format!(
        "{}?resourceVersion={version}",
        subject.path("packagerevisions")
    );
    let (_, table) = subject.get(&uri, TABLE).await;
    let columns = table["columnDefinitions"].as_array().unwrap();
    let narrow: Vec<_> = columns
        .iter()
        .filter(|it| it["priority"] == 0)
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        narrow,
        [
            "Name",
            "Package",
            "WorkspaceName",
            "Revision",
            "Latest",
            "Lifecycle",
            "Repository"
        ]
    );
    let cells = table["rows"][1]["cells"].as_array().unwrap();
    let expected = json!([
        "repo.net.upf.v1",
        "net/upf",
        "v1",
        1,
        false,
        "Published",
        "repo"
    ]);
    assert_eq!(&cells[..7], expected.as_array().unwrap().as_slice());
    assert_eq!(cells.len(), columns.len());
    assert_eq!(cells[7], "drafts/net.upf/v1");
}

async fn packages(subject: &Subject, version: u64) {
    let uri = format!("{}?resourceVersion={version}", subject.path("packages"));
    let (_, list) = subject.get(&uri, "").await;
    assert_eq!(list["kind"], "PorchPackageList");
    assert_eq!(names(&list), ["repo.amf", "repo.net.upf"]);
    assert_eq!(list["items"][1]["status"]["latestRevision"], 1);
    assert_eq!(list["items"][0]["spec"]["packageName"], "amf");
}

async fn refusals(subject: &Subject) {
    for (end, code, message) in [
        (
            "packagerevisions/none",
            404,
            "packagerevisions.porch.kpt.dev \"none\" not found",
        ),
        (
            "packages/none",
            404,
            "packages.porch.kpt.dev \"none\" not found",
        ),
        (
            "packagerevisions?fieldSelector=status.x%3Dy",
            400,
            "\"status.x\" is not a known field selector",
        ),
        (
            "packagerevisions?fieldSelector=spec.lifecycle%3Dx",
            400,
            "unsupported fieldSelector value \"x\" for field \"spec.lifecycle\"",
        ),
        (
            "packagerevisions?labelSelector=a+in+(",
            400,
            "unable to parse requirement: ",
        ),
        (
            "packagerevisions?watch=1&resourceVersion=x",
            400,
            "invalid resource version: ",
        ),
        (
            "packagerevisions?sendInitialEvents=true",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: ",
        ),
        (
            "nothing",
            404,
            "the server could not find the requested resource",
        ),
    ] {
        let (told, status) = subject.get(&subject.path(end), "").await;
        assert_eq!(
            (told, &status["kind"], &status["code"]),
            (code, &json!("Status"), &json!(code)),
            "{end}"
        );
        let text = status["message"].as_str().unwrap();
        assert!(text.starts_with(message), "{end}: {text}");
    }
}
