//! What controllers ask for that bring declared objects into a cluster, again and again: dry runs to compare with, applies
//! by force, other managers' shares taken over. What is as it was declared is left alone, whatever became of it meanwhile.

use serde_json::{Value, json};

use crate::desk::{Answer, Desk, Examined, MERGE, STEPS, merge};

const APPLY: &str = "application/apply-patch+yaml";
/// As Flux and Argo CD name themselves.
const FLUX: &str = "kustomize-controller";
const ARGO: &str = "argocd-controller";
const NAME: &str = "r.p.w1";
const REVISION: &str = "packagerevisions/r.p.w1";
const FILES: &str = "packagerevisionresources/r.p.w1";

/// A Kptfile with a pipeline that changes files.
const KPTFILE: &str = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: p\npipeline:\n  mutators:\n  - image: set-namespace:v0.4\n    configMap:\n      namespace: green\n";
const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm\ndata:\n  word: one\n";

/// Applies by force as a manager, or only asks what would come of it.
async fn apply(desk: &Desk, (manager, dry): (&str, bool), object: &Value) -> Answer {
    let place = match object["kind"].as_str() {
        Some("PackageRevision") => REVISION,
        _ => FILES,
    };
    let dry = if dry { "&dryRun=All" } else { "" };
    let uri = format!("{place}?fieldManager={manager}&force=true{dry}");
    desk.patch(&uri, APPLY, object).await
}

fn declared(desk: &Desk, more: Value) -> Value {
    let mut object = json!({
        "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevision",
        "metadata": {
            "name": NAME, "namespace": desk.namespace,
            "labels": { "kustomize.toolkit.fluxcd.io/name": "packages" },
        },
        "spec": { "repository": "r", "packageName": "p", "workspaceName": "w1" },
    });
    merge(&mut object, more);
    object
}

fn files(desk: &Desk, files: &Value) -> Value {
    json!({
        "apiVersion": "porch.kpt.dev/v1alpha1", "kind": "PackageRevisionResources",
        "metadata": { "name": NAME, "namespace": desk.namespace }, "spec": { "resources": files },
    })
}

/// Returns who owns something, as `manager/Operation`, sorted.
fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array();
    let name = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        format!("{}/{}", text("manager"), text("operation"))
    };
    let mut all: Vec<_> = entries.into_iter().flatten().map(name).collect();
    all.sort();
    all
}

/// Files that a pipeline changes are declared as its functions are given them, before and after they are published.
pub async fn what_is_declared_is_left_alone_once_it_is_there(examined: &Examined) {
    let desk = Desk::open(examined, "declared").await;
    let revision = declared(&desk, json!({}));
    apply(&desk, (FLUX, false), &revision).await.is(201);
    let wanted = files(&desk, &json!({ "Kptfile": KPTFILE, "cm.yaml": MAP }));
    let made = apply(&desk, (FLUX, false), &wanted).await.is(200);
    let stored = made["spec"]["resources"]["cm.yaml"].as_str().unwrap();
    assert!(stored.contains("namespace: green"), "{stored}");
    assert!(made["status"]["renderStatus"]["result"]["items"].is_array());
    is_left_alone(&desk, &[&revision, &wanted]).await;
    desk.turn(NAME, "Proposed").await.is(200);
    is_left_alone(&desk, &[&revision, &wanted]).await;
    desk.approve(NAME, "Published").await.is(200);
    is_left_alone(&desk, &[&revision, &wanted]).await;
    // Another who declares the same takes it over, and changes nothing else.
    let before = desk.everything();
    let taken = apply(&desk, (ARGO, false), &wanted).await.is(200);
    assert!(owners(&taken).contains(&format!("{ARGO}/Apply")), "{taken}");
    assert_eq!(desk.files(NAME).await["spec"], taken["spec"]);
    for changed in [
        json!({ "Kptfile": KPTFILE, "cm.yaml": MAP.replace("one", "two") }),
        json!({ "Kptfile": KPTFILE.replace("green", "blue"), "cm.yaml": MAP }),
        json!({ "Kptfile": format!("# A remark.\n{KPTFILE}"), "cm.yaml": MAP }),
        json!({ "Kptfile": KPTFILE.replace("set-namespace", "none-such"), "cm.yaml": MAP }),
        json!({ "Kptfile": KPTFILE, "cm.yaml": MAP, "more.yaml": MAP }),
        json!({ "Kptfile": KPTFILE, "../cm.yaml": MAP }),
        json!({ "Kptfile": "kind: Kptfile\n", "cm.yaml": MAP }),
    ] {
        for dry in [true, false] {
            let refused = apply(&desk, (FLUX, dry), &files(&desk, &changed)).await;
            refused.says(422, "Invalid", "; package must be Draft");
        }
    }
    assert_eq!(desk.everything(), before);
}

/// Checks that whoever compares sees no difference, and that whoever applies all the same writes nothing.
async fn is_left_alone(desk: &Desk, objects: &[&Value]) {
    let before = desk.everything();
    for object in objects {
        let place = match object["kind"].as_str() {
            Some("PackageRevision") => REVISION,
            _ => FILES,
        };
        let live = desk.get(place).await.is(200);
        let dry = apply(desk, (FLUX, true), object).await.is(200);
        assert_eq!(dry, live, "nothing would change");
        let done = apply(desk, (FLUX, false), object).await.is(200);
        assert_eq!(
            (&done["metadata"], &done["spec"]),
            (&live["metadata"], &live["spec"])
        );
    }
    assert_eq!(desk.everything(), before);
}

/// A controller knows by the answer to a dry run what would be made and what would change; so it writes only then.
pub async fn controllers_compare_before_they_apply(examined: &Examined) {
    let desk = Desk::open(examined, "compared").await;
    let wanted = declared(&desk, json!({}));
    desk.get(REVISION).await.says(404, "NotFound", NAME);
    let dry = apply(&desk, (FLUX, true), &wanted).await.is(201);
    // What is not there yet has no version: this is how Flux tells.
    assert_eq!(dry["metadata"]["resourceVersion"], Value::Null);
    let made = apply(&desk, (FLUX, false), &wanted).await.is(201);
    assert_eq!(owners(&made), [format!("{FLUX}/Apply")]);
    // What drifts is shown, and brought back.
    let drift = json!({ "metadata": { "labels": { "kustomize.toolkit.fluxcd.io/name": "mine" } } });
    let drifted = desk.patch(REVISION, MERGE, &drift).await.is(200);
    let dry = apply(&desk, (FLUX, true), &wanted).await.is(200);
    assert_eq!(
        dry["metadata"]["labels"], made["metadata"]["labels"],
        "it would be brought back"
    );
    assert_eq!(desk.revision(NAME).await, drifted, "and was not");
    let back = apply(&desk, (FLUX, false), &wanted).await.is(200);
    assert_eq!(back["metadata"]["labels"], made["metadata"]["labels"]);
    // What cannot be changed is said so that a controller that is told to may make it anew.
    let other = declared(&desk, json!({ "spec": { "workspaceName": "w2" } }));
    let refused = apply(&desk, (FLUX, true), &other).await;
    refused.says(422, "Invalid", "immutable");
    // It is pruned as what nobody declares any more; what is published is not, until somebody proposes that.
    let published = desk.publish("q", "w1", json!({})).await;
    let background =
        json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" });
    desk.delete_with(REVISION, &background).await.is(200);
    desk.get(REVISION).await.says(404, "NotFound", NAME);
    let kept = desk
        .delete_with("packagerevisions/r.q.w1", &background)
        .await;
    assert!(
        kept.code == 403 || kept.code == 409 || kept.code == 422,
        "{kept:?}"
    );
    assert_eq!(desk.revision("r.q.w1").await, published);
}

/// What kubectl applied becomes the controller's, by a patch of who owns what: Flux's way. And Argo CD's older way, by itself: a
/// merge patch that brings along what was applied the last time.
pub async fn controllers_take_over_what_others_applied(examined: &Examined) {
    const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let desk = Desk::open(examined, "taken-over").await;
    let old = declared(
        &desk,
        json!({ "metadata": { "labels": { "old": "1" }, "annotations": { LAST: "{}" } } }),
    );
    let uri = desk.path("packagerevisions?fieldManager=kubectl-client-side-apply");
    let made = desk.post(&uri, &old).await.is(201);
    assert_eq!(owners(&made), ["kubectl-client-side-apply/Update"]);
    let entries = made["metadata"]["managedFields"].as_array().unwrap();
    let mut mine = entries[0].clone();
    mine["manager"] = FLUX.into();
    mine["operation"] = "Apply".into();
    let steps = json!([
        { "op": "remove", "path": "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration" },
        { "op": "replace", "path": "/metadata/managedFields", "value": [mine] },
    ]);
    let uri = format!("{REVISION}?fieldManager={FLUX}");
    let taken = desk.patch(&uri, STEPS, &steps).await.is(200);
    assert_eq!(owners(&taken), [format!("{FLUX}/Apply")]);
    assert_eq!(taken["metadata"]["annotations"], Value::Null);
    let wanted = declared(&desk, json!({}));
    let applied = apply(&desk, (FLUX, false), &wanted).await.is(200);
    assert_eq!(
        applied["metadata"]["labels"], wanted["metadata"]["labels"],
        "what is declared no more goes"
    );
    // The older way: what goes is told by null, and the annotation is part of the patch.
    let last = wanted.to_string();
    let patch = json!({ "metadata": {
        "annotations": { LAST: last },
        "labels": { "kustomize.toolkit.fluxcd.io/name": null, "app.kubernetes.io/instance": "packages" },
    } });
    let uri = format!("{REVISION}?fieldManager={ARGO}");
    let patched = desk.patch(&uri, MERGE, &patch).await.is(200);
    assert_eq!(
        patched["metadata"]["labels"],
        json!({ "app.kubernetes.io/instance": "packages" })
    );
    assert_eq!(patched["metadata"]["annotations"], json!({ LAST: last }));
    let again = desk.patch(&uri, MERGE, &patch).await.is(200);
    assert_eq!(again, patched);
    let refs = desk.refs();
    assert!(refs.contains(&"heads/drafts/p/w1".to_owned()), "{refs:?}");
}
