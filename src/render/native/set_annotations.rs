//! `set-annotations`: annotations on every resource and on the templates of pods in it.

use super::{
    super::{Failure, List},
    field::{ANY, Field, made},
    put_pairs::Putting,
};
use crate::api::ResultItem;

const TEMPLATE: &str = "spec/template/metadata/annotations";

/// Where resources have annotations.
const FIELDS: &[Field] = &[
    made(ANY, ANY, "metadata/annotations"),
    made("", "ReplicationController", TEMPLATE),
    made("apps", "Deployment", TEMPLATE),
    made("apps", "ReplicaSet", TEMPLATE),
    made("apps", "DaemonSet", TEMPLATE),
    made("apps", "StatefulSet", TEMPLATE),
    made("batch", "Job", TEMPLATE),
    made("batch", "CronJob", "spec/jobTemplate/metadata/annotations"),
    made(
        "batch",
        "CronJob",
        "spec/jobTemplate/spec/template/metadata/annotations",
    ),
];

const ANNOTATIONS: Putting = Putting {
    own: "SetAnnotations",
    member: "annotations",
    more: "additionalAnnotationFields",
    fields: FIELDS,
    word: "annotation",
};

/// Sets the annotations that the config names.
pub(super) fn run(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    ANNOTATIONS.run(list)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::samples::{config_map, fails, list, unchanged_when_repeated},
        *,
    };

    #[test]
    fn annotations_are_set_where_kinds_have_them() {
        let pod = json!({"metadata": {"annotations": {"a": "1", "b": "x"}}});
        let own = json!({"apiVersion": "fn.kpt.dev/v1alpha1", "kind": "SetAnnotations", "annotations": {"a": "1", "b": "x"},
            "additionalAnnotationFields": [{"path": "data/notes", "kind": "Own", "create": true}]});
        for config in [config_map(&json!({"a": 1, "b": "x"})), own.clone()] {
            let mut given = list(
                &[
                    "apiVersion: v1\nkind: Service\nmetadata: {name: s, annotations: {a: '0', z: 'y'}}\n",
                    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n",
                    "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\n",
                    "apiVersion: my.io/v1\nkind: Own\nspec: {template: {}}\n",
                ],
                config.clone(),
            );
            let told = unchanged_when_repeated(run, &mut given);
            assert_eq!(told[0].message, "annotations set on 4 resource(s)");
            let [service, deployment, cron, other] = [0, 1, 2, 3].map(|at| &given.items[at].object);
            assert_eq!(
                service["metadata"]["annotations"],
                json!({"a": "1", "z": "y", "b": "x"})
            );
            assert_eq!(service.get("spec"), None);
            assert_eq!(deployment["spec"]["template"], pod);
            assert_eq!(cron["spec"]["jobTemplate"]["metadata"], pod["metadata"]);
            assert_eq!(cron["spec"]["jobTemplate"]["spec"]["template"], pod);
            assert_eq!(other["spec"], json!({"template": {}}));
            let notes = (config == own).then_some(&pod["metadata"]["annotations"]);
            assert_eq!(other.pointer("/data/notes"), notes);
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let unknown = json!({"apiVersion": "v1", "kind": "Secret"});
        for (config, why) in [
            (Value::Null, "FunctionConfig is missing"),
            (config_map(&json!({})), "`data` should not be empty"),
            (unknown, "unknown functionConfig Kind=Secret ApiVersion=v1"),
        ] {
            fails(run, &mut list(&["kind: A\n"], config), why);
        }
        let mut odd = list(
            &["kind: A\nmetadata: {name: n, annotations: text}\n"],
            config_map(&json!({"a": "b"})),
        );
        fails(run, &mut odd, "A \"n\": what should be a map is none");
    }
}
