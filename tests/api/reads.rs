//! GET and LIST, negotiation, routing and refusals.

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Client, TABLE},
    toy::Widgets,
};

const ALL: &str = "/apis/toys.example/v1/widgets";
const IN_A: &str = "/apis/toys.example/v1/namespaces/a/widgets";

fn filled() -> (std::sync::Arc<Widgets>, Client) {
    let widgets = Widgets::new();
    for (namespace, name, color) in [
        ("b", "one", "red"),
        ("a", "two", "red"),
        ("a", "one", "blue"),
        ("a", "three", "red"),
        ("c", "one", "red"),
    ] {
        widgets.put(namespace, name, &json!({ "color": color }), color);
    }
    let client = Client::of(widgets.server());
    (widgets, client)
}

fn names(list: &Value) -> Vec<String> {
    let name = |item: &Value| {
        let metadata = &item["metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap().to_owned();
        format!("{}/{}", text("namespace"), text("name"))
    };
    list["items"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn a_list_is_sorted_and_knows_its_version() {
    let (_, client) = filled();
    let list = client.get(ALL).await.json();
    assert_eq!(list["kind"], "WidgetList");
    assert_eq!(list["apiVersion"], "toys.example/v1");
    assert_eq!(list["metadata"], json!({ "resourceVersion": "6" }));
    assert_eq!(
        names(&list),
        ["a/one", "a/three", "a/two", "b/one", "c/one"]
    );
    assert_eq!(list["items"][0]["kind"], "Widget");
    let list = client.get(IN_A).await.json();
    assert_eq!(names(&list), ["a/one", "a/three", "a/two"]);
    let empty = Client::of(Widgets::new().server()).get(ALL).await;
    assert_eq!(
        empty.text(),
        "{\"kind\":\"WidgetList\",\"apiVersion\":\"toys.example/v1\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}\n"
    );
}

#[tokio::test]
async fn selectors_choose_together() {
    let (_, client) = filled();
    for (query, chosen) in [
        (
            "fieldSelector=metadata.name%3Done",
            vec!["a/one", "b/one", "c/one"],
        ),
        ("fieldSelector=metadata.namespace%3Db", vec!["b/one"]),
        ("fieldSelector=spec.color%21%3Dred", vec!["a/one"]),
        (
            "labelSelector=color%3Dred&fieldSelector=metadata.name%3Done",
            vec!["b/one", "c/one"],
        ),
        ("labelSelector=color+in+(blue,green)", vec!["a/one"]),
        ("labelSelector=!color", vec![]),
        (
            "unknown=parameter",
            vec!["a/one", "a/three", "a/two", "b/one", "c/one"],
        ),
    ] {
        let list = client.get(&format!("{ALL}?{query}")).await.json();
        assert_eq!(names(&list), chosen, "{query}");
    }
}

#[tokio::test]
async fn pages_are_of_one_version_whatever_happens_meanwhile() {
    let (widgets, client) = filled();
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let page = client
            .get(&format!("{ALL}?limit=2&continue={token}"))
            .await
            .json();
        assert_eq!(page["metadata"]["resourceVersion"], "6");
        pages.push((names(&page), page["metadata"]["remainingItemCount"].clone()));
        widgets.put("a", &format!("new{}", pages.len()), &json!({}), "red");
        widgets.remove("b", "one");
        match page["metadata"]["continue"].as_str() {
            Some(next) => token = next.into(),
            None => break,
        }
    }
    let expected = [
        (vec!["a/one".to_owned(), "a/three".into()], json!(3)),
        (vec!["a/two".into(), "b/one".into()], json!(1)),
        (vec!["c/one".into()], Value::Null),
    ];
    assert_eq!(pages, expected);
}

#[tokio::test]
async fn a_page_whose_version_is_gone_is_told_how_to_go_on() {
    let widgets = std::sync::Arc::new(Widgets::with_history(2));
    for name in ["a", "b", "c"] {
        widgets.put("n", name, &json!({}), "red");
    }
    let client = Client::of(widgets.server());
    let first = client.get(&format!("{ALL}?limit=1")).await.json();
    let token = first["metadata"]["continue"].as_str().unwrap();
    for name in ["d", "e", "f"] {
        widgets.put("n", name, &json!({}), "red");
    }
    let gone = client.get(&format!("{ALL}?limit=1&continue={token}")).await;
    assert_eq!(gone.code, 410);
    assert_eq!(gone.json()["reason"], "Expired");
    let status = gone.json();
    let token = status["metadata"]["continue"].as_str().unwrap();
    let rest = client.get(&format!("{ALL}?continue={token}")).await.json();
    assert_eq!(names(&rest), ["n/b", "n/c", "n/d", "n/e", "n/f"]);
    let exact = client
        .get(&format!(
            "{ALL}?resourceVersion=2&resourceVersionMatch=Exact"
        ))
        .await;
    assert_eq!(
        (exact.code, exact.json()["reason"].as_str()),
        (410, Some("Expired"))
    );
}

#[tokio::test]
async fn versions_mean_what_kubernetes_says() {
    let (widgets, client) = filled();
    widgets.remove("a", "one");
    for (query, version, count) in [
        ("", "7", 4),
        ("resourceVersion=0", "7", 4),
        ("resourceVersion=0&limit=1", "7", 4),
        ("resourceVersion=3", "7", 4),
        (
            "resourceVersion=6&resourceVersionMatch=NotOlderThan",
            "7",
            4,
        ),
        ("resourceVersion=6&resourceVersionMatch=Exact", "6", 5),
        ("resourceVersion=6&limit=10", "6", 5),
        ("resourceVersion=1&resourceVersionMatch=Exact", "1", 0),
    ] {
        let list = client.get(&format!("{ALL}?{query}")).await.json();
        assert_eq!(list["metadata"]["resourceVersion"], version, "{query}");
        assert_eq!(names(&list).len(), count, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_not_seen_yet_is_waited_for() {
    let (widgets, client) = filled();
    for uri in [
        format!("{ALL}?resourceVersion=8"),
        format!("{IN_A}/one?resourceVersion=8"),
        format!(
            "{ALL}?watch=1&resourceVersion=8&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        ),
    ] {
        let told = client.get(&uri).await;
        assert_eq!(told.code, 504, "{uri}");
        assert_eq!(told.header("retry-after"), "1");
        assert_eq!(
            told.message(),
            "Timeout: Too large resource version: 8, current: 6"
        );
        let causes = &told.json()["details"]["causes"];
        assert_eq!(causes[0]["reason"], "ResourceVersionTooLarge");
    }
    let later = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        widgets.put("a", "x", &json!({}), "red");
        widgets.put("a", "y", &json!({}), "red");
    };
    let uri = format!("{ALL}?resourceVersion=8");
    let (list, ()) = tokio::join!(client.get(&uri), later);
    assert_eq!(list.json()["metadata"]["resourceVersion"], "8");
}

#[tokio::test]
async fn a_table_has_rows_with_what_was_asked_to_be_in_them() {
    let (_, client) = filled();
    let accept = format!("{TABLE},application/json");
    let table = client
        .accept(&format!("{IN_A}?limit=1"), &accept)
        .await
        .json();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(table["metadata"]["remainingItemCount"], 2);
    let column = json!({ "name": "Name", "type": "string", "format": "name", "description": "", "priority": 0 });
    assert_eq!(table["columnDefinitions"][0], column);
    assert_eq!(table["rows"][0]["cells"], json!(["one", "blue"]));
    let object = &table["rows"][0]["object"];
    assert_eq!(object["kind"], "PartialObjectMetadata");
    assert_eq!(object["metadata"]["labels"]["color"], "blue");
    assert_eq!(object["spec"], Value::Null);
    for (include, kind) in [("Object", json!("Widget")), ("None", Value::Null)] {
        let uri = format!("{IN_A}/one?includeObject={include}");
        let table = client.accept(&uri, &accept).await.json();
        assert_eq!(table["rows"][0]["object"]["kind"], kind);
    }
    let bogus = client
        .accept(&format!("{ALL}?includeObject=bogus"), &accept)
        .await;
    assert_eq!(bogus.code, 400);
}

#[tokio::test]
async fn metadata_alone_is_served_to_those_who_want_no_more() {
    let (_, client) = filled();
    let list = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = client.accept(IN_A, list).await.json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(list["items"][0]["spec"], Value::Null);
    let one = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let one = client.accept(&format!("{IN_A}/one"), one).await.json();
    assert_eq!(one["kind"], "PartialObjectMetadata");
    assert_eq!(one["metadata"]["name"], "one");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_form_that_is_accepted() {
    let (_, client) = filled();
    let missing = format!("{IN_A}/none");
    let json = client.get(&missing).await;
    for (accept, media) in [
        ("application/yaml", "application/yaml"),
        ("text/plain, application/yaml;q=0.5", "application/yaml"),
        ("text/plain", "application/json"),
        (TABLE, "application/json"),
    ] {
        let told = client.accept(&missing, accept).await;
        assert_eq!(told.header("content-type"), media, "{accept}");
        if media == "application/yaml" {
            let status: Value = serde_saphyr::from_slice(&told.bytes).unwrap();
            assert_eq!((told.code, status), (404, json.json()), "{accept}");
        } else {
            assert_eq!(told.json()["kind"], "Status", "{accept}");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_a_status() {
    let (_, client) = filled();
    let route = "the server could not find the requested resource";
    let method = "the server does not allow this method on the requested resource";
    for (verb, uri, code, message) in [
        (
            Method::GET,
            format!("{IN_A}/none"),
            404,
            "widgets.toys.example \"none\" not found",
        ),
        (
            Method::GET,
            "/apis/toys.example/v1/gadgets".into(),
            404,
            route,
        ),
        (
            Method::GET,
            "/apis/toys.example/v2/widgets".into(),
            404,
            route,
        ),
        (Method::GET, format!("{IN_A}/one/nothing"), 404, route),
        (Method::GET, format!("{ALL}/one"), 404, route),
        (Method::GET, "/nowhere".into(), 404, route),
        (Method::GET, format!("{IN_A}/%2e%2e"), 404, route),
        (Method::POST, ALL.into(), 405, method),
        (Method::DELETE, ALL.into(), 405, method),
        (Method::PUT, IN_A.into(), 405, method),
        (Method::DELETE, format!("{IN_A}/one/approval"), 405, method),
        (Method::POST, format!("{IN_A}/one"), 405, method),
        (Method::POST, "/apis".into(), 405, method),
        (
            Method::GET,
            format!("{ALL}?resourceVersion=abc"),
            400,
            "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax",
        ),
        (
            Method::GET,
            format!("{ALL}?continue=x&resourceVersion=5"),
            400,
            "specifying resource version is not allowed when using continue",
        ),
        (
            Method::GET,
            format!("{ALL}?fieldSelector=spec.size%3D1"),
            400,
            "\"spec.size\" is not a known field selector",
        ),
        (
            Method::GET,
            format!("{ALL}?watch=1&fieldSelector=spec.size%3D1"),
            400,
            "\"spec.size\" is not a known field selector",
        ),
        (
            Method::GET,
            format!("{ALL}?sendInitialEvents=true"),
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
        ),
        (
            Method::GET,
            format!("{ALL}?timeout=x"),
            400,
            "invalid timeout specified in the request URL - time: invalid duration \"x\"",
        ),
    ] {
        let told = client.send(verb.clone(), &uri, &[], "").await;
        assert_eq!(
            (told.code, told.message().as_str()),
            (code, message),
            "{verb} {uri}"
        );
        assert_eq!(
            told.header("content-type"),
            "application/json",
            "{verb} {uri}"
        );
        assert_eq!(
            !told.header("allow").is_empty(),
            code == 405,
            "{verb} {uri}"
        );
    }
    let head = client.send(Method::HEAD, ALL, &[], "").await;
    assert_eq!(head.code, 405);
    let missing = client.get(&format!("{IN_A}/none")).await.json();
    let details = json!({ "name": "none", "group": "toys.example", "kind": "widgets" });
    assert_eq!(missing["details"], details);
    assert_eq!(client.accept(ALL, "text/html").await.code, 406);
}

#[tokio::test]
async fn what_is_broken_is_never_said_to_be_absent() {
    let mut widgets = Widgets::with_history(10);
    widgets.broken = true;
    let widgets = std::sync::Arc::new(widgets);
    widgets.put("a", "one", &json!({}), "red");
    let client = Client::of(widgets.server());
    for uri in [ALL.to_owned(), format!("{IN_A}/one")] {
        let told = client.get(&uri).await;
        assert_eq!((told.code, told.header("retry-after")), (503, "1"), "{uri}");
        assert_eq!(told.message(), "the shop is closed");
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_kubernetes_answers_have() {
    let (_, client) = filled();
    let given = [("audit-id", "my-id")];
    for uri in [ALL, "/nowhere", "/version"] {
        let told = client.send(Method::GET, uri, &given, "").await;
        assert_eq!(told.header("audit-id"), "my-id");
        assert_eq!(told.header("cache-control"), "no-cache, private");
        assert_eq!(client.get(uri).await.header("audit-id").len(), 36);
    }
}

#[tokio::test]
async fn a_large_list_comes_whole_and_packed_for_those_who_can_unpack() {
    let widgets = Widgets::new();
    for number in 0..3000 {
        widgets.put(
            "a",
            &format!("widget-{number:05}"),
            &json!({}),
            &"x".repeat(50),
        );
    }
    let client = Client::of(widgets.server());
    let plain = client.get(ALL).await;
    assert_eq!(names(&plain.json()).len(), 3000);
    let packed = client
        .send(
            Method::GET,
            ALL,
            &[("accept-encoding", "gzip, deflate")],
            "",
        )
        .await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.bytes.len() * 5 < plain.bytes.len());
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(&packed.bytes[..]);
    std::io::Read::read_to_end(&mut reader, &mut unpacked).unwrap();
    assert_eq!(unpacked, plain.bytes);
    let yaml = client.accept(IN_A, "application/yaml").await;
    assert_eq!(yaml.header("content-type"), "application/yaml");
    let read: Value = serde_saphyr::from_slice(&yaml.bytes).unwrap();
    assert_eq!(read, plain.json());
}
