//! Where a request is going: its path, parsed once and decoded once, for the router, the authorizer and the metrics alike.
//!
//! In comes method, path and query; out goes a [`Target`]. What Kubernetes' own `RequestInfo` makes of a path is law here;
//! segments that are empty, `.` or `..` are refused, so that nobody behind can read a path in another way.

use http::Method;
use percent_encoding::percent_decode_str;

use super::Failure;

/// Where a request is going.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To objects of a kind.
    Objects(Place),
    /// Anywhere else: the segments of the path.
    Page(Vec<String>),
}

/// A place below a group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// API group; empty for the core group.
    pub(super) group: String,
    /// Version.
    pub(super) version: String,
    /// Plural name of the kind.
    pub(super) resource: String,
    /// Namespace; empty if the path names none.
    pub(super) namespace: String,
    /// Name; empty for a collection.
    pub(super) name: String,
    /// Subresource; empty for the object itself.
    pub(super) subresource: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Action {
    /// Returns the verb as authorization and discovery spell it.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Returns what `method` asks for, with or without a name in the path.
    pub(super) fn of(method: &Method, named: bool, watch: bool) -> Option<Self> {
        Some(match (method, named) {
            (&Method::GET, true) => Self::Get,
            (&Method::GET, false) if watch => Self::Watch,
            (&Method::GET, false) => Self::List,
            (&Method::POST, _) => Self::Create,
            (&Method::PUT, true) => Self::Update,
            (&Method::PATCH, true) => Self::Patch,
            (&Method::DELETE, true) => Self::Delete,
            (&Method::DELETE, false) => Self::DeleteCollection,
            _ => return None,
        })
    }

    /// Returns the method that asks for it.
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Get | Self::List | Self::Watch => "GET",
            Self::Create => "POST",
            Self::Update => "PUT",
            Self::Patch => "PATCH",
            Self::Delete | Self::DeleteCollection => "DELETE",
        }
    }
}

impl Target {
    /// Returns where `path`, as it was sent, goes.
    ///
    /// # Errors
    /// [`Failure::NoRoute`] for a path that is not UTF-8 or has segments that mean something else elsewhere.
    pub(super) fn parse(path: &str) -> Result<Self, Failure> {
        let decoded = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| Failure::NoRoute)?;
        let path = decoded.strip_prefix('/').unwrap_or(&decoded);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Ok(Self::Page(Vec::new()));
        }
        let segments: Vec<&str> = path.split('/').collect();
        if segments.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(Failure::NoRoute);
        }
        match segments.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => place("", version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => place(group, version, rest),
            other => Ok(Self::Page(other.iter().map(|&part| part.into()).collect())),
        }
    }
}

fn place(group: &str, version: &str, rest: &[&str]) -> Result<Target, Failure> {
    let (namespace, rest) = match rest {
        ["namespaces", _, "status" | "finalize", ..] => ("", rest),
        ["namespaces", namespace, below @ ..] if !below.is_empty() => (*namespace, below),
        _ => ("", rest),
    };
    let [resource, below @ ..] = rest else {
        return Err(Failure::NoRoute);
    };
    let (name, subresource) = match below {
        [] => ("", ""),
        [name] => (*name, ""),
        [name, subresource] => (*name, *subresource),
        _ => return Err(Failure::NoRoute),
    };
    Ok(Target::Objects(Place {
        group: group.into(),
        version: version.into(),
        resource: (*resource).into(),
        namespace: namespace.into(),
        name: name.into(),
        subresource: subresource.into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(path: &str) -> [String; 6] {
        match Target::parse(path) {
            Ok(Target::Objects(at)) => [
                at.group,
                at.version,
                at.resource,
                at.namespace,
                at.name,
                at.subresource,
            ],
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn paths_of_objects_are_read_as_kubernetes_reads_them() {
        for (path, place) in [
            ("/apis/g/v/foos", ["g", "v", "foos", "", "", ""]),
            ("/apis/g/v/foos/", ["g", "v", "foos", "", "", ""]),
            ("/apis/g/v/foos/a", ["g", "v", "foos", "", "a", ""]),
            (
                "/apis/g/v/namespaces/n/foos",
                ["g", "v", "foos", "n", "", ""],
            ),
            (
                "/apis/g/v/namespaces/n/foos/a/status",
                ["g", "v", "foos", "n", "a", "status"],
            ),
            (
                "/apis/g/v/namespaces/n/foos/a%2Fstatus",
                ["g", "v", "foos", "n", "a", "status"],
            ),
            ("/api/v1/namespaces", ["", "v1", "namespaces", "", "", ""]),
            (
                "/api/v1/namespaces/n",
                ["", "v1", "namespaces", "", "n", ""],
            ),
            (
                "/api/v1/namespaces/n/finalize",
                ["", "v1", "namespaces", "", "n", "finalize"],
            ),
            (
                "/api/v1/namespaces/n/secrets",
                ["", "v1", "secrets", "n", "", ""],
            ),
        ] {
            assert_eq!(placed(path), place, "{path}");
        }
    }

    #[test]
    fn everything_else_is_a_page() {
        for (path, segments) in [
            ("/", vec![]),
            ("", vec![]),
            ("/apis", vec!["apis"]),
            ("/apis/g/v", vec!["apis", "g", "v"]),
            ("/api/v1/", vec!["api", "v1"]),
            ("/livez/ping", vec!["livez", "ping"]),
        ] {
            let segments = segments.into_iter().map(String::from).collect();
            assert_eq!(Target::parse(path), Ok(Target::Page(segments)), "{path}");
        }
    }

    #[test]
    fn paths_that_mean_something_else_elsewhere_are_refused() {
        for path in [
            "/apis/g/v//foos",
            "/apis/g/v/foos/..",
            "/apis/g/v/foos/%2e%2e/bars",
            "/apis/g/v/./foos",
            "/apis/g/v/foos/a%2F%2Fb",
            "/apis/g/v/foos/%ff",
            "/apis/g/v/namespaces/n/foos/a/b/c",
            "//apis",
        ] {
            assert_eq!(Target::parse(path), Err(Failure::NoRoute), "{path}");
        }
    }
}
