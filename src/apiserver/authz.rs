//! Who may do what. In comes who asks and what for; out goes a refusal, or nothing.
//!
//! The members of `system:masters` may do everything, and everybody known may discover what is served. Asking the cluster
//! (a `SubjectAccessReview`) is the next step of [`Attributes::check`]; it must fail closed.

use super::{
    Failure, Identity, Subject,
    identity::MASTERS,
    request::{Action, Place},
};

/// What is asked for, as authorization sees it.
pub(super) enum Attributes<'a> {
    /// Something done with objects.
    Objects(Action, &'a Place),
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

impl Attributes<'_> {
    /// Returns if `who` may.
    ///
    /// # Errors
    /// [`Failure::Forbidden`] in Kubernetes' words.
    pub(super) fn check(&self, who: &Identity) -> Result<(), Failure> {
        if who.groups.iter().any(|group| group == MASTERS) || self.is_open() {
            return Ok(());
        }
        Err(Failure::forbidden(self.subject(), self.refusal(&who.user)))
    }

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
            Self::Objects(_, place) => Subject::new(&*place.group, &*place.resource, &*place.name),
            Self::Page { .. } => Subject::default(),
        }
    }

    fn refusal(&self, user: &str) -> String {
        let (action, place) = match self {
            Self::Objects(action, place) => (action, place),
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

    #[test]
    fn refusals_are_in_kubernetes_words() {
        let place = |namespace: &str, name: &str, subresource: &str| Place {
            group: "g".into(),
            version: "v".into(),
            resource: "foos".into(),
            namespace: namespace.into(),
            name: name.into(),
            subresource: subresource.into(),
        };
        let (one, all, below) = (
            place("n", "a", ""),
            place("", "", ""),
            place("n", "a", "status"),
        );
        for (attributes, text) in [
            (
                Attributes::Objects(Action::Get, &one),
                "foos.g \"a\" is forbidden: User \"u&lt;\" cannot get resource \"foos\" in API group \"g\" in the namespace \"n\"",
            ),
            (
                Attributes::Objects(Action::List, &all),
                "foos.g is forbidden: User \"u&lt;\" cannot list resource \"foos\" in API group \"g\" at the cluster scope",
            ),
            (
                Attributes::Objects(Action::Patch, &below),
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
            let refused = attributes.check(&Identity::new("u<", [])).unwrap_err();
            assert_eq!(Told::from(&refused).message, text);
            assert_eq!(attributes.check(&Identity::master("u")), Ok(()));
        }
    }

    #[test]
    fn everybody_known_may_discover() {
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
            let told = attributes.check(&Identity::new("u", []));
            assert_eq!(told.is_ok(), open, "{path}");
        }
    }
}
