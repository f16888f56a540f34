//! What writing metadata costs beside the same write of an object of a CRD of the same shape, on the same kube-apiserver in the
//! same run. Nothing is asserted: machines differ. `e2e/run --bench` builds the server for release and prints the table.

use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Client;
use serde_json::{Value, json};

use crate::{
    desk::{Answer, Desk, Examined, JSON, MERGE, STEPS},
    differential::{GROUP, define},
    server::Server,
};

const APPLY: &str = "application/apply-patch+yaml";
/// How often each write is made, and how often before that counts.
const ROUNDS: usize = 200;
const WARMING: usize = 20;
/// How many objects are written at once.
const WRITERS: usize = 16;

/// One way to objects of the same shape.
struct Way {
    name: &'static str,
    examined: Examined,
    collection: String,
    head: Value,
}

impl Way {
    fn uri(&self, object: usize) -> String {
        format!("{}/{}", self.collection, name(object))
    }

    async fn send(&self, method: &str, uri: &str, (kind, body): (&str, &Value)) -> Answer {
        let body = body.to_string().into_bytes();
        self.examined.send(method, uri, (kind, body)).await
    }

    async fn live(&self, object: usize) -> Value {
        let uri = self.uri(object);
        let answer = self.examined.send("GET", &uri, (JSON, Vec::new())).await;
        answer.is(200)
    }

    /// Makes one write, and returns how long the answer took. What a PUT puts is read before that.
    async fn write(&self, deed: &str, object: usize, mark: &str) -> Duration {
        let uri = self.uri(object);
        let (method, query, kind, body) = match deed {
            "label" => {
                let body = json!({ "metadata": { "labels": { "mark": mark } } });
                ("PATCH", "", MERGE, body)
            }
            "patch" => {
                let path = "/metadata/annotations/mark";
                let body = json!([{ "op": "add", "path": path, "value": mark }]);
                ("PATCH", "", STEPS, body)
            }
            "apply" => {
                let mut body = self.head.clone();
                body["metadata"] = json!({ "name": name(object), "labels": { "applied": mark } });
                ("PATCH", "?fieldManager=bench", APPLY, body)
            }
            _ => {
                let mut body = self.live(object).await;
                body["metadata"]["labels"]["put"] = mark.into();
                ("PUT", "", JSON, body)
            }
        };
        let begun = Instant::now();
        let answer = self
            .send(method, &format!("{uri}{query}"), (kind, &body))
            .await;
        let took = begun.elapsed();
        answer.is(200);
        took
    }
}

fn name(object: usize) -> String {
    format!("r.p{object:02}.w1")
}

fn ways(server: &Server, desk: &Desk) -> [Way; 2] {
    let client: Client = server.plane().client();
    let way = |name, api: &str, plural: &str, kind: &str| Way {
        name,
        examined: Examined {
            client: client.clone(),
            user: "admin".into(),
            prefix: String::new(),
        },
        collection: format!("/apis/{api}/namespaces/{}/{plural}", desk.namespace),
        head: json!({ "apiVersion": api, "kind": kind }),
    };
    [
        way(
            "an object of a CRD",
            &format!("{GROUP}/v1alpha1"),
            "mirrors",
            "Mirror",
        ),
        way(
            "a package revision",
            "porch.kpt.dev/v1alpha1",
            "packagerevisions",
            "PackageRevision",
        ),
    ]
}

/// Makes the objects, alike on both sides.
async fn fill(desk: &Desk, [mirror, ours]: &[Way; 2]) {
    for object in 0..WRITERS {
        desk.make(&format!("p{object:02}"), "w1", json!({})).await;
        let annotated = json!({ "metadata": { "annotations": { "first": "0" } } });
        let annotated = ours
            .send("PATCH", &ours.uri(object), (MERGE, &annotated))
            .await;
        let made = annotated.is(200);
        let mut copy = mirror.head.clone();
        copy["metadata"] = json!({ "name": name(object), "annotations": { "first": "0" } });
        copy["spec"] = made["spec"].clone();
        copy["status"] = made["status"].clone();
        let uri = &mirror.collection;
        mirror.send("POST", uri, (JSON, &copy)).await.is(201);
    }
}

fn quantile(taken: &mut [Duration], part: f64) -> Duration {
    taken.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a short list"
    )]
    let at = (taken.len() as f64 * part) as usize;
    taken[at.min(taken.len() - 1)]
}

async fn one_by_one(ways: &[Way; 2], deed: &str) {
    let mut taken = [Vec::new(), Vec::new()];
    for round in 0..WARMING + ROUNDS {
        for (way, taken) in ways.iter().zip(&mut taken) {
            let took = way.write(deed, 0, &format!("m{round}")).await;
            if round >= WARMING {
                taken.push(took);
            }
        }
    }
    let bare = quantile(&mut taken[0], 0.5).as_secs_f64();
    for (way, taken) in ways.iter().zip(&mut taken) {
        let median = quantile(taken, 0.5);
        println!(
            "{deed:<7} {:<20} {median:>10.2?}  x {:.2}  p95 {:>10.2?}",
            way.name,
            median.as_secs_f64() / bare,
            quantile(taken, 0.95),
        );
    }
}

async fn many_at_once(ways: &[Way; 2]) {
    for way in ways {
        let begun = Instant::now();
        let each = (0..WRITERS).map(|object| async move {
            for round in 0..ROUNDS / 4 {
                way.write("label", object, &format!("n{round}")).await;
            }
        });
        futures::stream::iter(each)
            .buffer_unordered(WRITERS)
            .collect::<Vec<()>>()
            .await;
        let writes = WRITERS * (ROUNDS / 4);
        let took = begun.elapsed() / u32::try_from(writes).unwrap();
        println!(
            "label   {:<20} {took:>10.2?}  each, {WRITERS} at once",
            way.name
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "bench"]
async fn writes_beside_a_crd() {
    let server = Server::start("write-figures").await;
    define(&server).await;
    let desk = Desk::open(&server.examined, "figures").await;
    let ways = ways(&server, &desk);
    fill(&desk, &ways).await;
    for deed in ["label", "patch", "apply", "update"] {
        one_by_one(&ways, deed).await;
    }
    many_at_once(&ways).await;
    server.end().await;
}
