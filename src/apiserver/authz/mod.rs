//! Who may do what. In comes who asks and what for; out goes a refusal, or nothing.
//!
//! The members of `system:masters` may do everything. Of everybody else the cluster is asked, or, where there is no cluster,
//! they may discover what is served and nothing more. A question without an answer is a refusal.

mod review;

use review::Answer;

pub use review::AccessReviews;

use super::{
    Failure, Identity, Subject,
    query::Query,
    request::{Action, Place},
};

/// What is asked for, as authorization sees it.
pub(super) enum Attributes<'a> {
    /// Something done with objects; the query tells with which of a collection.
    Objects(Action, &'a Place, &'a Query),
    /// Something done with a page.
    Page {
        /// The HTTP method in lower case.
        verb: &'a str,
        /// The decoded path.
        path: &'a str,
    },
}

/// What everybody known may read.
const OPEN: [&str; 6] = ["/api", "/apis", "/healthz", "/livez", "/readyz", "/version"];

/// One who says who may do what.
#[derive(Clone, Debug, Default)]
pub enum Authorizer {
    /// Masters may do everything, everybody known may discover: for a server whose one user owns it.
    #[default]
    Masters,
    /// Masters may do everything; the cluster says what others may.
    Cluster(Box<AccessReviews>),
}

impl Authorizer {
    /// Returns if `who` may do `what`.
    ///
    /// # Errors
    /// [`Failure::Forbidden`] in Kubernetes' words; [`Failure::Internal`] if the cluster does not say.
    pub(super) async fn check(&self, who: &Identity, what: &Attributes<'_>) -> Result<(), Failure> {
        if who.is_master() {
            return Ok(());
        }
        match self {
            Self::Masters if what.is_open() => Ok(()),
            Self::Masters => Err(what.refusal(who, "")),
            Self::Cluster(reviews) => match reviews.may(who, what).await {
                Ok(Answer::Allowed) => Ok(()),
                Ok(Answer::Denied(reason)) => Err(what.refusal(who, &reason)),
                Err(why) => Err(Failure::Internal(format!(
                    "the cluster does not say who may do what: {why}"
                ))),
            },
        }
    }
}

impl Attributes<'_> {
    fn is_open(&self) -> bool {
        let Self::Page { verb: "get", path } = self else {
            return false;
        };
        let below = |root: &str| {
            path.strip_prefix(root)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        OPEN.contains(path) || ["/api", "/apis", "/openapi"].into_iter().any(below)
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Objects(_, place, _) => {
                Subject::new(&*place.group, &*place.resource, &*place.name)
            }
            Self::Page { .. } => Subject::default(),
        }
    }

    /// Returns the refusal, with the reason that the cluster gave, if any.
    fn refusal(&self, who: &Identity, reason: &str) -> Failure {
        let mut why = self.words(&who.user);
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        Failure::forbidden(self.subject(), why)
    }

    fn words(&self, user: &str) -> String {
        let (action, place) = match self {
            Self::Objects(action, place, _) => (action, place),
            Self::Page { verb, path } => {
                let path = escape(path);
                return format!("User \"{}\" cannot {verb} path \"{path}\"", escape(user));
            }
        };
        let resource = match place.subresource.as_str() {
            "" => place.resource.clone(),
            below => format!("{}/{below}", place.resource),
        };
        let scope = match place.namespace.as_str() {
            "" => "at the cluster scope".into(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        format!(
            "User \"{}\" cannot {} resource {resource:?} in API group {:?} {scope}",
            escape(user),
            action.verb(),
            place.group,
        )
    }
}

/// Returns `text` as it may stand in a page that a browser shows.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::Told;

    #[tokio::test]
    async fn refusals_are_in_kubernetes_words() {
        let place = |namespace: &str, name: &str, subresource: &str| Place {
            group: "g".into(),
            version: "v".into(),
            resource: "foos".into(),
            namespace: namespace.into(),
            name: name.into(),
            subresource: subresource.into(),
        };
        let (query, masters) = (Query::default(), Authorizer::Masters);
        let (one, all, below) = (
            place("n", "a", ""),
            place("", "", ""),
            place("n", "a", "status"),
        );
        for (attributes, text) in [
            (
                Attributes::Objects(Action::Get, &one, &query),
                "foos.g \"a\" is forbidden: User \"u&lt;\" cannot get resource \"foos\" in API group \"g\" in the namespace \"n\"",
            ),
            (
                Attributes::Objects(Action::List, &all, &query),
                "foos.g is forbidden: User \"u&lt;\" cannot list resource \"foos\" in API group \"g\" at the cluster scope",
            ),
            (
                Attributes::Objects(Action::Patch, &below, &query),
                "foos.g \"a\" is forbidden: User \"u&lt;\" cannot patch resource \"foos/status\" in API group \"g\" in the namespace \"n\"",
            ),
            (
                Attributes::Page {
                    verb: "get",
                    path: "/metrics",
                },
                "forbidden: User \"u&lt;\" cannot get path \"/metrics\"",
            ),
        ] {
            let refused = masters.check(&Identity::new("u<", []), &attributes).await;
            assert_eq!(Told::from(&refused.unwrap_err()).message, text);
            let refused = attributes.refusal(&Identity::new("u<", []), "too late");
            assert_eq!(Told::from(&refused).message, format!("{text}: too late"));
            let master = masters.check(&Identity::master("u"), &attributes).await;
            assert_eq!(master, Ok(()));
        }
    }

    #[tokio::test]
    async fn everybody_known_may_discover() {
        for (path, open) in [
            ("/apis", true),
            ("/apis/g/v", true),
            ("/openapi/v3/apis/g/v", true),
            ("/version", true),
            ("/livez", true),
            ("/livez/ping", false),
            ("/metrics", false),
            ("/apisx", false),
        ] {
            let attributes = Attributes::Page { verb: "get", path };
            let who = Identity::new("u", []);
            let told = Authorizer::Masters.check(&who, &attributes).await;
            assert_eq!(told.is_ok(), open, "{path}");
        }
    }
}
