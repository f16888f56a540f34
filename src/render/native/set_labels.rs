//! `set-labels`: labels on every resource, on the templates of pods in it, and in the selectors that look for them.

use super::{
    super::{Failure, List},
    field::{ANY, Field, found, made},
    put_pairs::Putting,
};
use crate::api::ResultItem;

const TEMPLATE: &str = "spec/template/metadata/labels";
const SELECTOR: &str = "spec/selector/matchLabels";
const SPREAD: &str = "spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels";
const NEAR_PREFERRED: &str = "spec/template/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels";
const NEAR_REQUIRED: &str = "spec/template/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels";
const FAR_PREFERRED: &str = "spec/template/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels";
const FAR_REQUIRED: &str = "spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels";

/// Where resources have labels, and look for them.
const FIELDS: &[Field] = &[
    made(ANY, ANY, "metadata/labels"),
    made("", "Service", "spec/selector"),
    made("", "ReplicationController", "spec/selector"),
    made("", "ReplicationController", TEMPLATE),
    made("apps", "Deployment", SELECTOR),
    made("apps", "Deployment", TEMPLATE),
    found("apps", "Deployment", SPREAD),
    found("apps", "Deployment", NEAR_PREFERRED),
    found("apps", "Deployment", NEAR_REQUIRED),
    found("apps", "Deployment", FAR_PREFERRED),
    found("apps", "Deployment", FAR_REQUIRED),
    made("apps", "ReplicaSet", SELECTOR),
    made("apps", "ReplicaSet", TEMPLATE),
    made("apps", "DaemonSet", SELECTOR),
    made("apps", "DaemonSet", TEMPLATE),
    made("apps", "StatefulSet", SELECTOR),
    made("apps", "StatefulSet", TEMPLATE),
    found("apps", "StatefulSet", SPREAD),
    found("apps", "StatefulSet", NEAR_PREFERRED),
    found("apps", "StatefulSet", NEAR_REQUIRED),
    found("apps", "StatefulSet", FAR_PREFERRED),
    found("apps", "StatefulSet", FAR_REQUIRED),
    made(
        "apps",
        "StatefulSet",
        "spec/volumeClaimTemplates[]/metadata/labels",
    ),
    found("batch", "Job", SELECTOR),
    made("batch", "Job", TEMPLATE),
    found(
        "batch",
        "CronJob",
        "spec/jobTemplate/spec/selector/matchLabels",
    ),
    made("batch", "CronJob", "spec/jobTemplate/metadata/labels"),
    made(
        "batch",
        "CronJob",
        "spec/jobTemplate/spec/template/metadata/labels",
    ),
    found("policy", "PodDisruptionBudget", SELECTOR),
    found(
        "networking.k8s.io",
        "NetworkPolicy",
        "spec/podSelector/matchLabels",
    ),
    found(
        "networking.k8s.io",
        "NetworkPolicy",
        "spec/ingress/from/podSelector/matchLabels",
    ),
    found(
        "networking.k8s.io",
        "NetworkPolicy",
        "spec/egress/to/podSelector/matchLabels",
    ),
];

const LABELS: Putting = Putting {
    own: "SetLabels",
    member: "labels",
    more: "additionalLabelFields",
    fields: FIELDS,
    word: "label",
};

/// Sets the labels that the config names.
pub(super) fn run(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    LABELS.run(list)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::samples::{config_map, fails, list, unchanged_when_repeated},
        *,
    };

    #[test]
    fn labels_are_set_where_kinds_have_them_or_look_for_them() {
        let own =
            json!({"apiVersion": "fn.kpt.dev/v1alpha1", "kind": "SetLabels", "labels": {"a": "1"}});
        // Resource, pointers that shall have the label, pointers that shall not be there.
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: {name: k}\n",
                &["/metadata/labels"],
                &["/spec"],
            ),
            (
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n",
                &[
                    "/metadata/labels",
                    "/spec/selector/matchLabels",
                    "/spec/template/metadata/labels",
                ],
                &["/spec/template/spec"],
            ),
            (
                "apiVersion: apps/v1\nkind: StatefulSet\nspec: {volumeClaimTemplates: [{}], template: {spec: {topologySpreadConstraints: [{labelSelector: {matchLabels: {}}}, {}], affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {matchLabels: {z: y}}}]}}}}}\n",
                &[
                    "/spec/volumeClaimTemplates/0/metadata/labels",
                    "/spec/template/spec/topologySpreadConstraints/0/labelSelector/matchLabels",
                    "/spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector/matchLabels",
                ],
                &[
                    "/spec/template/spec/topologySpreadConstraints/1/labelSelector",
                    "/spec/template/spec/affinity/podAffinity",
                ],
            ),
            (
                "apiVersion: v1\nkind: Service\n",
                &["/metadata/labels", "/spec/selector"],
                &["/spec/selector/matchLabels"],
            ),
            (
                "apiVersion: serving.knative.dev/v1\nkind: Service\n",
                &["/metadata/labels"],
                &["/spec"],
            ),
            (
                "apiVersion: batch/v1\nkind: Job\n",
                &["/spec/template/metadata/labels"],
                &["/spec/selector"],
            ),
            (
                "apiVersion: batch/v1\nkind: CronJob\n",
                &[
                    "/spec/jobTemplate/metadata/labels",
                    "/spec/jobTemplate/spec/template/metadata/labels",
                ],
                &["/spec/jobTemplate/spec/selector", "/spec/template"],
            ),
            (
                "apiVersion: policy/v1\nkind: PodDisruptionBudget\nspec: {selector: {}}\n",
                &["/metadata/labels"],
                &["/spec/selector/matchLabels"],
            ),
            (
                "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {podSelector: {matchLabels: {}}, ingress: [{from: [{podSelector: {matchLabels: {}}}, {namespaceSelector: {}}]}]}\n",
                &[
                    "/spec/podSelector/matchLabels",
                    "/spec/ingress/0/from/0/podSelector/matchLabels",
                ],
                &["/spec/ingress/0/from/1/podSelector", "/spec/egress"],
            ),
        ];
        for config in [config_map(&json!({"a": "1"})), own] {
            for (text, there, absent) in cases {
                let mut given = list(&[text], config.clone());
                unchanged_when_repeated(run, &mut given);
                let object = &given.items[0].object;
                for pointer in *there {
                    assert_eq!(
                        object.pointer(&format!("{pointer}/a")),
                        Some(&json!("1")),
                        "{text}{pointer}"
                    );
                }
                for pointer in *absent {
                    assert_eq!(object.pointer(pointer), None, "{text}{pointer}");
                }
            }
        }
    }

    #[test]
    fn what_is_there_is_told_and_what_is_wrong_fails() {
        let text = "kind: A\nmetadata: {labels: {a: b}}\n";
        let mut given = list(&[text], config_map(&json!({"a": "b"})));
        let told = run(&mut given).unwrap();
        assert_eq!(
            told[0].message,
            "all labels are already set. no value changed"
        );
        fails(
            run,
            &mut list(&[text], Value::Null),
            "FunctionConfig is missing",
        );
        let other = json!({"apiVersion": "fn.kpt.dev/v1alpha1", "kind": "SetLabel"});
        fails(
            run,
            &mut list(&[text], other),
            "unknown functionConfig Kind=SetLabel",
        );
    }
}
