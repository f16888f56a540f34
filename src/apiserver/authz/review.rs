//! Whether the cluster allows it: a `SubjectAccessReview` with exactly what is asked for, kept for a moment.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::Attributes;
use crate::apiserver::{
    Identity,
    delegate::{self, Answers},
    query::Query,
    request::Action,
};

/// The longest question whose answer is kept; longer ones are rarely asked twice.
const LONGEST_KEPT: usize = 10_000;

/// Asks the cluster who may do what. Clones share what they were told.
#[derive(Clone)]
pub struct AccessReviews {
    api: Api<SubjectAccessReview>,
    allowed: Duration,
    denied: Duration,
    answers: Arc<Answers<Answer>>,
}

/// What the cluster says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Allowed,
    /// With the reason, which may be empty.
    Denied(String),
}

impl AccessReviews {
    /// Returns one who asks through `client`, and takes a yes and a no for good so long.
    #[must_use]
    pub fn new(client: Client, allowed: Duration, denied: Duration) -> Self {
        Self {
            api: Api::all(client),
            allowed,
            denied,
            answers: Arc::new(Answers::new()),
        }
    }

    /// Returns whether `who` may.
    ///
    /// # Errors
    /// Why the cluster does not say: then nobody may.
    pub(super) async fn may(
        &self,
        who: &Identity,
        what: &Attributes<'_>,
    ) -> Result<Answer, String> {
        let spec = spec(who, what);
        let question = serde_json::to_vec(&spec).map_err(|error| error.to_string())?;
        if let Some(answer) = self.answers.get(&question) {
            return Ok(answer);
        }
        let answer = self.review(spec).await?;
        if question.len() <= LONGEST_KEPT {
            let lasting = match answer {
                Answer::Allowed => self.allowed,
                Answer::Denied(_) => self.denied,
            };
            self.answers.keep(&question, answer.clone(), lasting);
        }
        Ok(answer)
    }

    async fn review(&self, spec: SubjectAccessReviewSpec) -> Result<Answer, String> {
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let params = PostParams::default();
        let told = delegate::ask(|| self.api.create(&params, &review)).await?;
        let status = told.status.ok_or("the answer has no status")?;
        if status.allowed && status.denied != Some(true) {
            return Ok(Answer::Allowed);
        }
        Ok(Answer::Denied(status.reason.unwrap_or_default()))
    }
}

impl std::fmt::Debug for AccessReviews {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("AccessReviews")
    }
}

fn spec(who: &Identity, what: &Attributes<'_>) -> SubjectAccessReviewSpec {
    let extra: BTreeMap<String, Vec<String>> = who.extra.clone();
    let mut spec = SubjectAccessReviewSpec {
        user: text(&who.user),
        uid: text(&who.uid),
        groups: Some(who.groups.clone()).filter(|groups| !groups.is_empty()),
        extra: Some(extra).filter(|extra| !extra.is_empty()),
        ..SubjectAccessReviewSpec::default()
    };
    match what {
        Attributes::Page { verb, path } => {
            spec.non_resource_attributes = Some(NonResourceAttributes {
                path: text(path),
                verb: text(verb),
            });
        }
        Attributes::Objects(action, place, query) => {
            let mut attributes = ResourceAttributes {
                verb: text(action.verb()),
                group: text(&place.group),
                version: text(&place.version),
                resource: text(&place.resource),
                subresource: text(&place.subresource),
                namespace: text(&place.namespace),
                name: text(&place.name),
                ..ResourceAttributes::default()
            };
            select(&mut attributes, *action, query);
            spec.resource_attributes = Some(attributes);
        }
    }
    spec
}

/// Adds which objects of a collection are asked for: some may see a part that may not see the whole (KEP-4601).
fn select(attributes: &mut ResourceAttributes, action: Action, query: &Query) {
    if !matches!(
        action,
        Action::List | Action::Watch | Action::DeleteCollection
    ) {
        return;
    }
    let raw = |name| query.get(name).and_then(text);
    attributes.field_selector = raw("fieldSelector").map(|raw| FieldSelectorAttributes {
        raw_selector: Some(raw),
        requirements: None,
    });
    attributes.label_selector = raw("labelSelector").map(|raw| LabelSelectorAttributes {
        raw_selector: Some(raw),
        requirements: None,
    });
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::apiserver::request::Place;

    fn asked(what: &Attributes<'_>) -> Value {
        let mut who = Identity::new("jane", ["dev".to_owned()]);
        who.uid = "7".into();
        who.extra.insert("scopes".into(), vec!["a".into()]);
        let mut spec = serde_json::to_value(spec(&who, what)).unwrap();
        let who = json!({
            "user": "jane", "uid": "7", "groups": ["dev", "system:authenticated"], "extra": {"scopes": ["a"]}
        });
        let spec = spec.as_object_mut().unwrap();
        for (key, value) in who.as_object().unwrap() {
            assert_eq!(spec.remove(key).as_ref(), Some(value));
        }
        Value::Object(spec.clone())
    }

    #[test]
    fn the_cluster_is_asked_for_exactly_what_is_asked_for() {
        let place = |namespace: &str, name: &str, subresource: &str| Place {
            group: "porch.kpt.dev".into(),
            version: "v1alpha1".into(),
            resource: "packagerevisions".into(),
            namespace: namespace.into(),
            name: name.into(),
            subresource: subresource.into(),
        };
        let base = json!({"group": "porch.kpt.dev", "version": "v1alpha1", "resource": "packagerevisions"});
        let with = |more: Value| {
            let mut all = base.clone();
            let more = more.as_object().unwrap().clone();
            all.as_object_mut().unwrap().extend(more);
            json!({ "resourceAttributes": all })
        };
        let query = Query::parse("fieldSelector=metadata.name%3Da&labelSelector=tier+in+(x)");
        for (action, at, asks) in [
            (
                Action::Get,
                place("n", "a", ""),
                json!({"verb": "get", "namespace": "n", "name": "a"}),
            ),
            (
                Action::Patch,
                place("n", "a", "approval"),
                json!({"verb": "patch", "namespace": "n", "name": "a", "subresource": "approval"}),
            ),
            (
                Action::Watch,
                place("", "", ""),
                json!({"verb": "watch",
                    "fieldSelector": {"rawSelector": "metadata.name=a"},
                    "labelSelector": {"rawSelector": "tier in (x)"}}),
            ),
            (
                Action::Create,
                place("n", "", ""),
                json!({"verb": "create", "namespace": "n"}),
            ),
        ] {
            let what = Attributes::Objects(action, &at, &query);
            assert_eq!(asked(&what), with(asks));
        }
        let page = Attributes::Page {
            verb: "get",
            path: "/metrics",
        };
        assert_eq!(
            asked(&page),
            json!({"nonResourceAttributes": {"path": "/metrics", "verb": "get"}})
        );
    }
}
