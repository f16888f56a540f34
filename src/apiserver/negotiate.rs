//! In which form a caller wants its answer, and in which it sent its body.
//!
//! In come the headers and the query; out goes a [`Format`]. It is settled before anything is done, so that a refusal has
//! no effect.

use http::{HeaderMap, header};

use super::{Failure, PatchKind, query::Query, request::Action};

/// How the answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Format {
    /// Which encoding.
    pub(super) encoding: Encoding,
    /// What of an object is shown.
    pub(super) view: View,
    /// Whether people will read it.
    pub(super) pretty: bool,
    /// Whether the caller can unpack gzip.
    pub(super) gzip: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    #[default]
    Json,
    Yaml,
}

/// What of an object is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    /// All of it.
    #[default]
    Whole,
    /// Its metadata.
    Partial,
    /// A row of a table.
    Table(Include),
}

/// What of an object a table's row holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Include {
    #[default]
    Metadata,
    Object,
    Nothing,
}

/// The media types that can be made, as they are told to those who want another.
const MADE: &str = "application/json, application/yaml";

/// One clause of an `Accept` header.
struct Clause<'a> {
    media: &'a str,
    weight: f32,
    convert: Option<(&'a str, &'a str, &'a str)>,
    pretty: bool,
}

/// Returns the form that the answer to `action` has; `plain` says that no table is made of it.
///
/// # Errors
/// [`Failure::NotAcceptable`] if none that is accepted can be made; [`Failure::BadRequest`] for a table with rows of an
/// unknown kind.
pub(super) fn format(
    headers: &HeaderMap,
    query: &Query,
    action: Action,
    plain: bool,
) -> Result<Format, Failure> {
    let clause = clauses(headers).into_iter().find_map(|clause| {
        let found = accept(&clause, action);
        let found = found.filter(|(_, view)| !plain || !matches!(view, View::Table(_)));
        found.map(|found| (found, clause.pretty))
    });
    let Some(((encoding, view), pretty)) = clause else {
        return Err(Failure::NotAcceptable(format!(
            "only the following media types are accepted: {MADE}"
        )));
    };
    let view = match view {
        View::Table(_) => View::Table(include(query)?),
        other => other,
    };
    Ok(Format {
        encoding,
        view,
        pretty: action != Action::Watch && is_pretty(headers, query, pretty),
        gzip: action != Action::Watch && takes_gzip(headers),
    })
}

/// Returns the form of an answer that is no object: JSON unless YAML is preferred, whatever is accepted.
pub(super) fn plain(headers: &HeaderMap, query: &Query) -> Format {
    let clause = clauses(headers)
        .into_iter()
        .find_map(|clause| Some((encoding(clause.media)?, clause.pretty)));
    let (encoding, pretty) = clause.unwrap_or_default();
    Format {
        encoding,
        view: View::Whole,
        pretty: is_pretty(headers, query, pretty),
        gzip: takes_gzip(headers),
    }
}

/// Returns whether `Accept` has a clause for aggregated discovery, version 2, before one for plain JSON.
pub(super) fn wants_aggregated(headers: &HeaderMap) -> Result<bool, Failure> {
    for clause in clauses(headers) {
        let json = encoding(clause.media) == Some(Encoding::Json);
        match clause.convert {
            Some(("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2")) if json => {
                return Ok(true);
            }
            None if json => return Ok(false),
            _ => {}
        }
    }
    let message = "only the following media types are accepted: application/json, application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    Err(Failure::NotAcceptable(message.into()))
}

/// Returns whether JSON is among what is accepted.
pub(super) fn accepts_json(headers: &HeaderMap) -> bool {
    clauses(headers)
        .iter()
        .any(|clause| encoding(clause.media) == Some(Encoding::Json))
}

/// Returns how one is told what is wrong: as the first acceptable clause says, in JSON if there is none.
pub(super) fn of_refusals(headers: &HeaderMap) -> Encoding {
    let clauses = clauses(headers);
    let mut known = clauses.iter().filter_map(|clause| encoding(clause.media));
    known.next().unwrap_or(Encoding::Json)
}

/// Returns whether the body is a server-side apply.
pub(super) fn is_apply(headers: &HeaderMap) -> bool {
    content_type(headers) == PatchKind::Apply.media_type()
}

/// Returns the media type of the body, in lower case and without parameters; JSON if it has none.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default().trim();
    if media.is_empty() {
        return "application/json".into();
    }
    media.to_ascii_lowercase()
}

fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|text| !text.trim().is_empty())
        .map(clause)
        .collect();
    if clauses.is_empty() {
        clauses.push(clause("*/*"));
    }
    clauses.retain(|clause| clause.weight > 0.0);
    clauses.sort_by(|one, other| other.weight.total_cmp(&one.weight));
    clauses
}

fn clause(text: &str) -> Clause<'_> {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let (mut weight, mut pretty) = (1.0, false);
    let (mut name, mut group, mut version) = ("", "", "");
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim().trim_matches('"');
        match key.trim() {
            "q" => weight = value.parse().unwrap_or(0.0),
            "as" => name = value,
            "g" => group = value,
            "v" => version = value,
            "pretty" => pretty = value == "1",
            _ => {}
        }
    }
    let convert = (!name.is_empty()).then_some((name, group, version));
    Clause {
        media,
        weight,
        convert,
        pretty,
    }
}

fn encoding(media: &str) -> Option<Encoding> {
    match media.to_ascii_lowercase().as_str() {
        "application/json" | "*/*" | "application/*" => Some(Encoding::Json),
        "application/yaml" => Some(Encoding::Yaml),
        _ => None,
    }
}

fn accept(clause: &Clause<'_>, action: Action) -> Option<(Encoding, View)> {
    let encoding = encoding(clause.media)?;
    if action == Action::Watch && encoding == Encoding::Yaml {
        return None;
    }
    let list = action == Action::List;
    let reads = matches!(action, Action::Get | Action::List | Action::Watch);
    let view = match clause.convert {
        None => View::Whole,
        Some(("Table", "meta.k8s.io", "v1" | "v1beta1")) if reads => View::Table(Include::Metadata),
        Some(("PartialObjectMetadata", "meta.k8s.io", "v1" | "v1beta1")) if !list => View::Partial,
        Some(("PartialObjectMetadataList", "meta.k8s.io", "v1" | "v1beta1")) if list => {
            View::Partial
        }
        Some(_) => return None,
    };
    Some((encoding, view))
}

fn include(query: &Query) -> Result<Include, Failure> {
    match query.get("includeObject").unwrap_or_default() {
        "" | "Metadata" => Ok(Include::Metadata),
        "Object" => Ok(Include::Object),
        "None" => Ok(Include::Nothing),
        other => Err(Failure::BadRequest(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
        ))),
    }
}

fn is_pretty(headers: &HeaderMap, query: &Query, asked: bool) -> bool {
    if let Some(text) = query.get("pretty") {
        return matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True");
    }
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let people = ["curl", "Wget", "Mozilla/5.0"];
    asked || people.iter().any(|start| agent.starts_with(start))
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|text| {
            let mut parts = text.split(';').map(str::trim);
            let gzip = parts.next() == Some("gzip");
            gzip && !parts.any(|part| part == "q=0" || part == "q=0.0")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

    fn asked(accept: &str, action: Action) -> Result<(Encoding, View), Failure> {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(header::ACCEPT, accept.parse().unwrap());
        }
        format(&headers, &Query::default(), action, false).map(|found| (found.encoding, found.view))
    }

    #[test]
    fn the_first_acceptable_clause_wins() {
        let whole = (Encoding::Json, View::Whole);
        let table = (Encoding::Json, View::Table(Include::Metadata));
        let partial = (Encoding::Json, View::Partial);
        let yaml = (Encoding::Yaml, View::Whole);
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        let both = format!("{TABLE},application/json");
        for (accept, action, found) in [
            ("", Action::List, whole),
            ("*/*", Action::List, whole),
            ("application/json;charset=utf-8", Action::List, whole),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                Action::Get,
                whole,
            ),
            ("application/yaml", Action::Get, yaml),
            (
                "application/json;q=0.5, application/yaml",
                Action::Get,
                yaml,
            ),
            ("application/yaml,application/json", Action::Watch, whole),
            (both.as_str(), Action::List, table),
            (TABLE, Action::Watch, table),
            (metadata, Action::List, partial),
            (
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                Action::Watch,
                partial,
            ),
            (
                "application/json;as=Nonsense;g=meta.k8s.io;v=v1,application/json",
                Action::List,
                whole,
            ),
        ] {
            assert_eq!(asked(accept, action), Ok(found), "{accept}");
        }
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        for (accept, action) in [
            ("text/html", Action::List),
            ("application/vnd.kubernetes.protobuf", Action::Get),
            (
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                Action::List,
            ),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Action::Get,
            ),
            ("application/json;q=0", Action::Get),
            ("application/yaml", Action::Watch),
        ] {
            let refused = asked(accept, action);
            assert!(
                matches!(refused, Err(Failure::NotAcceptable(_))),
                "{accept}"
            );
        }
    }

    #[test]
    fn discovery_is_aggregated_only_for_those_who_ask_for_version_two() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        for (accept, aggregated) in [
            (format!("{v2},{beta}"), Some(true)),
            (format!("{v2},{beta},application/json"), Some(true)),
            (format!("{beta},application/json"), Some(false)),
            ("application/json".into(), Some(false)),
            (beta.into(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_aggregated(&headers).ok(), aggregated, "{accept}");
        }
    }
}
