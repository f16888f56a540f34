//! From a place and a method to a kind and what is to be done with it; or to the exact refusal.

use http::Method;

use super::{
    Failure, Kind, Subject,
    endpoint::Endpoint,
    query::Query,
    registry::Registry,
    request::{Action, Place},
};

/// Returns the kind at `place`, and what `method` asks of it.
///
/// # Errors
/// [`Failure::NoRoute`] if nothing is served there; [`Failure::MethodNotAllowed`] or [`Failure::NotSupported`] if
/// something is, but not so.
pub(super) fn route<'a>(
    registry: &'a Registry,
    place: &Place,
    method: &Method,
    query: &Query,
) -> Result<(&'a Endpoint, Action), Failure> {
    let endpoint = registry.find(place).ok_or(Failure::NoRoute)?;
    let kind = endpoint.resource.kind();
    let named = !place.name.is_empty();
    let (here, everywhere) = (!place.namespace.is_empty(), !named);
    if here != kind.namespaced && !(kind.namespaced && everywhere) {
        return Err(Failure::NoRoute);
    }
    let verbs = verbs(kind, place)?;
    let fits = |action: Action| match action {
        Action::List | Action::Watch => !named,
        Action::DeleteCollection => !named && here == kind.namespaced,
        Action::Create => here == kind.namespaced && named != place.subresource.is_empty(),
        _ => named,
    };
    let possible = |action: Action| {
        let writes = !matches!(action, Action::Get | Action::List | Action::Watch);
        let can = !writes || endpoint.writer.is_some();
        fits(action) && can && verbs.iter().any(|verb| verb == action.verb())
    };
    let action = Action::of(method, named, query.flag("watch"));
    match action {
        Some(action) if possible(action) => Ok((endpoint, action)),
        other => Err(refuse(
            kind,
            other.filter(|action| fits(*action)),
            allow(possible),
        )),
    }
}

/// Returns what a caller is told who asks a kind for what it has not.
fn refuse(kind: &Kind, action: Option<Action>, allow: Vec<&'static str>) -> Failure {
    let refusal = action.and_then(|action| {
        let mut all = kind.refusals.iter();
        let found = all.find(|refusal| refusal.verb == action.verb());
        let watch = (action == Action::Watch).then(|| "watch".to_owned());
        found.map(|refusal| refusal.action.clone()).or(watch)
    });
    match refusal {
        None => Failure::MethodNotAllowed { allow },
        Some(action) => Failure::NotSupported {
            action,
            subject: Subject::new(&*kind.group, &*kind.plural, ""),
            allow,
        },
    }
}

fn verbs<'a>(kind: &'a Kind, place: &Place) -> Result<&'a [String], Failure> {
    if place.subresource.is_empty() {
        return Ok(&kind.verbs);
    }
    let mut below = kind.subresources.iter();
    let found = below.find(|below| below.name == place.subresource);
    found.map(|below| &*below.verbs).ok_or(Failure::NoRoute)
}

fn allow(possible: impl Fn(Action) -> bool) -> Vec<&'static str> {
    let mut methods: Vec<&'static str> = [
        Action::Delete,
        Action::DeleteCollection,
        Action::Get,
        Action::List,
        Action::Watch,
        Action::Patch,
        Action::Create,
        Action::Update,
    ]
    .into_iter()
    .filter(|action| possible(*action))
    .map(Action::method)
    .collect();
    methods.dedup();
    methods
}
