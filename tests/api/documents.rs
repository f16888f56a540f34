//! Discovery and OpenAPI: what is told of everything that a standalone server serves.

use std::collections::BTreeSet;

use http::Method;
use kube::CustomResourceExt;
use porch::{
    api::{PackageRev, Repository},
    apiserver::{Registry, Server, Settings},
    cache::Catalog,
    standalone::{ControlPlane, Definition, Persistence},
    sync::{Feed, Mirrors},
};
use serde_json::{Value, json};

use crate::{client::Client, engine, toy::Widgets};

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// Everything that a standalone server serves.
async fn everything() -> Client {
    let definitions = [Repository::crd(), PackageRev::crd()];
    let definitions = definitions
        .iter()
        .map(|crd| Definition::custom(crd).unwrap())
        .collect();
    let plane = ControlPlane::start(Persistence::Memory, definitions, &[])
        .await
        .unwrap();
    let client = plane.client();
    let catalog = Catalog::new(10);
    let feed = Feed::new(client.clone(), catalog.clone(), "default");
    let mirrors = Mirrors::new(std::env::temp_dir().join("porch-none"));
    let registry = plane.register(Registry::new());
    let registry = engine::serve(registry, &client, &feed, &mirrors);
    Client::of(Server::new(registry, Settings::default()))
}

fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let found = list
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item[key] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[tokio::test]
async fn the_old_documents_name_every_group_version_and_kind() {
    let client = everything().await;
    let groups = client.get("/apis").await.json();
    assert_eq!(groups["kind"], "APIGroupList");
    let porch = named(&groups["groups"], "name", "porch.kpt.dev");
    assert_eq!(
        porch["preferredVersion"]["groupVersion"],
        "porch.kpt.dev/v1alpha1"
    );
    let group = client.get("/apis/porch.kpt.dev").await.json();
    assert_eq!(
        (&group["kind"], &group["apiVersion"]),
        (&json!("APIGroup"), &json!("v1"))
    );
    let core = client.get("/api").await.json();
    assert_eq!(core, json!({ "kind": "APIVersions", "versions": ["v1"] }));
    let list = client.get("/apis/porch.kpt.dev/v1alpha1").await.json();
    assert_eq!(list["groupVersion"], "porch.kpt.dev/v1alpha1");
    let plurals: Vec<_> = list["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        plurals,
        [
            "packagerevisionresources",
            "packagerevisions",
            "packagerevisions/approval",
            "packages"
        ]
    );
    let verbs = [
        json!(["get", "list", "patch", "update", "watch"]),
        json!([
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch"
        ]),
        json!(["get", "patch", "update"]),
        json!(["create", "delete", "get", "list", "watch"]),
    ];
    for (resource, verbs) in list["resources"].as_array().unwrap().iter().zip(verbs) {
        assert_eq!(resource["verbs"], verbs);
        assert_eq!(resource["namespaced"], true);
    }
    let config = client
        .get("/apis/config.porch.kpt.dev/v1alpha1/")
        .await
        .json();
    assert_eq!(
        named(&config["resources"], "name", "repositories/status")["kind"],
        "Repository"
    );
    assert_eq!(client.get("/apis/none").await.code, 404);
    assert_eq!(client.get("/apis/porch.kpt.dev/v9").await.code, 404);
}

#[tokio::test]
async fn the_aggregated_document_is_known_by_its_media_type_and_asked_for_once() {
    let client = everything().await;
    for (path, group, kind) in [
        ("/apis", "porch.kpt.dev", "packagerevisions"),
        ("/api", "", "secrets"),
    ] {
        let told = client.accept(path, V2).await;
        let media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        assert_eq!(told.header("content-type"), media);
        let (etag, vary) = (told.header("etag"), told.header("vary"));
        assert_eq!((etag.len(), vary), (130, "Accept"));
        let document = told.json();
        let groups = document["items"].as_array().unwrap();
        let found = groups
            .iter()
            .find(|it| it["metadata"]["name"].as_str().unwrap_or_default() == group);
        let version = &found.unwrap()["versions"][0];
        assert_eq!(version["freshness"], "Current");
        for resource in version["resources"].as_array().unwrap() {
            assert!(resource["responseKind"]["kind"].is_string());
            assert!(["Namespaced", "Cluster"].contains(&resource["scope"].as_str().unwrap()));
        }
        named(&version["resources"], "resource", kind);
        let headers = [("accept", V2), ("if-none-match", etag)];
        let again = client.send(Method::GET, path, &headers, "").await;
        assert_eq!((again.code, again.bytes.len()), (304, 0));
    }
    let etag = client.accept("/apis", V2).await;
    let headers = [("accept", V2), ("if-none-match", etag.header("etag"))];
    let other = Client::of(Widgets::new().server());
    let other = other.send(Method::GET, "/apis", &headers, "").await;
    assert_eq!(
        other.code, 200,
        "who serves other kinds has another document"
    );
    let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    assert_eq!(client.accept("/apis", beta).await.code, 406);
}

/// Returns every reference in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => drop(found.insert(text.clone())),
                    other => references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Returns every kind that a schema says to be.
fn kinds(schemas: &Value) -> Vec<String> {
    let schemas = schemas.as_object().unwrap().values();
    let kinds = schemas.flat_map(|schema| {
        schema["x-kubernetes-group-version-kind"]
            .as_array()
            .into_iter()
            .flatten()
    });
    kinds.map(Value::to_string).collect()
}

fn assert_sound(document: &Value, place: &str, schemas: &Value) {
    let mut found = BTreeSet::new();
    references(document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let name = reference
            .strip_prefix(place)
            .unwrap_or_else(|| panic!("{reference}"));
        assert!(schemas[name].is_object(), "{reference} leads nowhere");
    }
    let told = kinds(schemas);
    let distinct: BTreeSet<_> = told.iter().collect();
    assert_eq!(
        told.len(),
        distinct.len(),
        "a kind has two schemas: {told:?}"
    );
}

#[tokio::test]
async fn every_reference_in_openapi_leads_somewhere_and_no_kind_is_told_twice() {
    let client = everything().await;
    let index = client.get("/openapi/v3").await.json();
    for (path, entry) in index["paths"].as_object().unwrap() {
        let url = entry["serverRelativeURL"].as_str().unwrap();
        let told = client.get(url).await;
        assert_eq!(told.header("cache-control"), "public, immutable", "{path}");
        let document = told.json();
        let schemas = &document["components"]["schemas"];
        assert_sound(&document, "#/components/schemas/", schemas);
        let stale = client.get(&format!("/openapi/v3/{path}?hash=0")).await;
        assert_eq!((stale.code, stale.header("cache-control")), (200, "public"));
    }
    let v2 = client.accept("/openapi/v2", "application/json").await;
    assert_sound(&v2.json(), "#/definitions/", &v2.json()["definitions"]);
    let proto = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    assert_eq!(client.accept("/openapi/v2", proto).await.code, 406);
    let headers = [("if-none-match", v2.header("etag"))];
    let again = client.send(Method::GET, "/openapi/v2", &headers, "").await;
    assert_eq!(again.code, 304);
}

#[tokio::test]
async fn openapi_offers_patches_only_where_they_are_taken() {
    let client = everything().await;
    let config = client
        .get("/openapi/v3/apis/config.porch.kpt.dev/v1alpha1")
        .await
        .json();
    let path = "/apis/config.porch.kpt.dev/v1alpha1/namespaces/{namespace}/repositories/{name}";
    let operation = &config["paths"][path]["patch"];
    named(&operation["parameters"], "name", "fieldValidation");
    let kind =
        json!({ "group": "config.porch.kpt.dev", "version": "v1alpha1", "kind": "Repository" });
    assert_eq!(operation["x-kubernetes-group-version-kind"], kind);
    let types: Vec<_> = operation["requestBody"]["content"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert!(
        !types.iter().any(|media| media.contains("strategic")),
        "{types:?}"
    );
    let v2 = client.get("/openapi/v2").await.json();
    assert_eq!(v2["paths"][path]["patch"]["consumes"], json!(types));
    let porch = client
        .get("/openapi/v3/apis/porch.kpt.dev/v1alpha1")
        .await
        .json();
    let path = "/apis/porch.kpt.dev/v1alpha1/namespaces/{namespace}/packagerevisions/{name}";
    assert!(porch["paths"][path]["patch"].is_object());
    let package = "/apis/porch.kpt.dev/v1alpha1/namespaces/{namespace}/packages/{name}";
    assert_eq!(porch["paths"][package]["patch"], Value::Null);
    assert!(porch["paths"][package]["delete"].is_object());
    let name = "com.github.nephio-project.porch.api.porch.v1alpha1.PackageRevisionSpec";
    let spec = &porch["components"]["schemas"][name]["properties"];
    assert_eq!(spec["tasks"]["type"], "array");
    assert!(spec["packageName"]["description"].is_string());
}

#[tokio::test]
async fn what_porch_kinds_never_take_is_told_and_reads_wait_until_everything_was_seen() {
    let client = everything().await;
    let here = "/apis/porch.kpt.dev/v1alpha1/namespaces/default";
    for (method, path, allowed) in [
        (Method::POST, "packagerevisionresources", "GET"),
        (
            Method::DELETE,
            "packagerevisionresources/a",
            "GET, PATCH, PUT",
        ),
        (Method::PUT, "packages/a", "DELETE, GET"),
        (Method::PATCH, "packages/a", "DELETE, GET"),
        (Method::DELETE, "packages", "GET, POST"),
    ] {
        let told = client
            .send(method, &format!("{here}/{path}"), &[], "{}")
            .await;
        assert_eq!((told.code, told.header("allow")), (405, allowed), "{path}");
    }
    for path in [
        "packagerevisions",
        "packages/a",
        "packagerevisionresources?watch=1",
    ] {
        let told = client.get(&format!("{here}/{path}")).await;
        assert_eq!(
            (told.code, told.header("retry-after")),
            (503, "1"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_index_leads_to_pages_that_are_there() {
    let client = everything().await;
    let index = client.get("/").await.json();
    for path in index["paths"].as_array().unwrap() {
        let told = client.get(path.as_str().unwrap()).await;
        assert_eq!(told.code, 200, "{path}");
    }
    let version = client.get("/version").await.json();
    assert!(
        version["gitVersion"]
            .as_str()
            .unwrap()
            .starts_with("v1.33.0")
    );
}

#[tokio::test]
async fn what_a_kind_lets_be_written_is_described_and_nothing_else() {
    let client = Client::of(Widgets::new().server());
    let document = client.get("/openapi/v3/apis/toys.example/v1").await.json();
    let object = "/apis/toys.example/v1/namespaces/{namespace}/widgets/{name}";
    let patches = json!([
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json"
    ]);
    for path in [object.to_owned(), format!("{object}/approval")] {
        let operation = &document["paths"][&path]["patch"];
        let content = operation["requestBody"]["content"].as_object().unwrap();
        assert_eq!(json!(content.keys().collect::<Vec<_>>()), patches, "{path}");
        let parameters = operation["parameters"].as_array().unwrap();
        let names: Vec<_> = parameters.iter().map(|one| &one["name"]).collect();
        let expected = ["pretty", "dryRun", "fieldManager", "fieldValidation"];
        assert_eq!(names, expected, "{path}");
        assert_eq!(operation["responses"]["201"], Value::Null, "{path}");
        let put = &document["paths"][&path]["put"]["requestBody"];
        let model = "#/components/schemas/example.toys.v1.Widget";
        assert_eq!(put["content"]["*/*"]["schema"]["$ref"], model, "{path}");
    }
    for path in [
        object,
        "/apis/toys.example/v1/namespaces/{namespace}/widgets",
    ] {
        let operation = &document["paths"][path]["delete"];
        for name in [
            "dryRun",
            "gracePeriodSeconds",
            "orphanDependents",
            "propagationPolicy",
        ] {
            named(&operation["parameters"], "name", name);
        }
    }
    let metadata = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let lists = &document["components"]["schemas"][metadata]["properties"];
    assert_eq!(
        lists["ownerReferences"]["x-kubernetes-patch-merge-key"],
        "uid"
    );
    assert_eq!(lists["finalizers"]["x-kubernetes-patch-strategy"], "merge");
    let v2 = client.get("/openapi/v2").await.json();
    assert_eq!(v2["paths"][object]["patch"]["consumes"], patches);
    let resources = client.get("/apis/toys.example/v1").await.json()["resources"].clone();
    let verbs = json!([
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch"
    ]);
    assert_eq!(named(&resources, "name", "widgets")["verbs"], verbs);
    let approval = named(&resources, "name", "widgets/approval");
    assert_eq!(
        (&approval["kind"], &approval["verbs"]),
        (&json!("Widget"), &json!(["get", "patch", "update"]))
    );
}
