//! The rules of `metadata`, the same for every kind.
//!
//! In comes an object's metadata as the caller gave it; out goes everything that is wrong with it, in the words of
//! apimachinery. It must not know a kind.

use serde_json::{Map, Value};

use super::FieldError;

/// Longest name of an object, and longest prefix of a qualified name.
const MOST_SUBDOMAIN: usize = 253;
/// Longest label of a domain name, longest label value, longest last part of a qualified name.
const MOST_LABEL: usize = 63;
/// Largest sum of an object's annotations.
const MOST_ANNOTATIONS: usize = 256 * 1024;
/// How many errors of one member are told, roughly: a body has room for more than a caller could be sent.
const MOST_ERRORS: usize = 100;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What a name must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// RFC 1123 subdomain.
    Subdomain,
    /// RFC 1123 label.
    Label,
}

/// Returns everything that is wrong with an object's metadata.
#[must_use]
pub fn check_metadata(metadata: &Value, naming: Naming) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    check_name(metadata["name"].as_str().unwrap_or(""), naming, &mut wrong);
    check_labels(&metadata["labels"], &mut wrong);
    check_annotations(&metadata["annotations"], &mut wrong);
    let most = wrong.len() + MOST_ERRORS;
    for (index, finalizer) in list(&metadata["finalizers"]).enumerate() {
        if wrong.len() >= most {
            break;
        }
        let name = finalizer.as_str().unwrap_or("");
        if !is_qualified(name) {
            wrong.push(FieldError::invalid(
                format!("metadata.finalizers[{index}]"),
                finalizer,
                QUALIFIED,
            ));
        }
    }
    check_owners(&metadata["ownerReferences"], &mut wrong);
    wrong
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn check_name(name: &str, naming: Naming, wrong: &mut Vec<FieldError>) {
    let field = "metadata.name";
    let value = Value::from(name);
    if name.is_empty() {
        wrong.push(FieldError::required(
            field,
            "name or generateName is required",
        ));
        return;
    }
    let detail = match naming {
        Naming::Subdomain if name.len() > MOST_SUBDOMAIN => "must be no more than 253 characters",
        Naming::Subdomain if !name.split('.').all(is_label) => SUBDOMAIN,
        Naming::Label if name.len() > MOST_LABEL => "must be no more than 63 characters",
        Naming::Label if !is_label(name) => LABEL,
        _ => return,
    };
    wrong.push(FieldError::invalid(field, &value, detail));
}

fn check_labels(labels: &Value, wrong: &mut Vec<FieldError>) {
    let most = wrong.len() + MOST_ERRORS;
    for (key, value) in members(labels) {
        if wrong.len() >= most {
            break;
        }
        if !is_qualified(key) {
            wrong.push(FieldError::invalid(
                "metadata.labels",
                &key.as_str().into(),
                QUALIFIED,
            ));
        }
        let text = value.as_str().unwrap_or("");
        if text.len() > MOST_LABEL {
            wrong.push(FieldError::invalid(
                "metadata.labels",
                value,
                "must be no more than 63 characters",
            ));
        } else if !text.is_empty() && !is_word(text) {
            wrong.push(FieldError::invalid("metadata.labels", value, VALUE));
        }
    }
}

fn check_annotations(annotations: &Value, wrong: &mut Vec<FieldError>) {
    let most = wrong.len() + MOST_ERRORS;
    let mut size = 0;
    for (key, value) in members(annotations) {
        size += key.len() + value.as_str().map_or(0, str::len);
        if wrong.len() < most && !is_qualified(&key.to_lowercase()) {
            wrong.push(FieldError::invalid(
                "metadata.annotations",
                &key.as_str().into(),
                QUALIFIED,
            ));
        }
    }
    if size > MOST_ANNOTATIONS {
        wrong.push(FieldError::too_long(
            "metadata.annotations",
            MOST_ANNOTATIONS,
        ));
    }
}

fn check_owners(owners: &Value, wrong: &mut Vec<FieldError>) {
    let most = wrong.len() + MOST_ERRORS;
    for (index, owner) in list(owners).enumerate() {
        if wrong.len() >= most {
            break;
        }
        for member in ["apiVersion", "kind", "name", "uid"] {
            if owner[member].as_str().is_none_or(str::is_empty) {
                let field = format!("metadata.ownerReferences[{index}].{member}");
                wrong.push(FieldError::required(field, "must not be empty"));
            }
        }
    }
    if list(owners)
        .filter(|owner| owner["controller"] == true)
        .count()
        > 1
    {
        let detail = "Only one reference can have Controller set to true";
        wrong.push(FieldError::invalid(
            "metadata.ownerReferences",
            owners,
            detail,
        ));
    }
}

/// Returns whether the text is an RFC 1123 label but for its length.
fn is_label(text: &str) -> bool {
    let good =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    !text.is_empty() && text.chars().all(good) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_word(text: &str) -> bool {
    let edge = |letter: char| letter.is_ascii_alphanumeric();
    let good = |letter: char| edge(letter) || matches!(letter, '-' | '_' | '.');
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(good)
}

/// Returns whether the text is a name with an optional domain before it: `example.com/name`.
fn is_qualified(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let domain = |prefix: &str| prefix.len() <= MOST_SUBDOMAIN && prefix.split('.').all(is_label);
    prefix.is_none_or(domain) && name.len() <= MOST_LABEL && is_word(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn good_metadata_is_let_through() {
        let metadata = json!({
            "name": "a.b-c", "labels": {"x.io/Y_1": "v.1", "z": ""}, "annotations": {"A/b": "anything at all"},
            "finalizers": ["porch.kpt.dev/f"], "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"}],
        });
        assert_eq!(check_metadata(&metadata, Naming::Subdomain), []);
    }

    #[test]
    fn bad_metadata_is_named_by_its_field() {
        for (metadata, naming, field) in [
            (json!({}), Naming::Subdomain, "metadata.name"),
            (json!({"name": "A"}), Naming::Subdomain, "metadata.name"),
            (json!({"name": "a..b"}), Naming::Subdomain, "metadata.name"),
            (json!({"name": "a.b"}), Naming::Label, "metadata.name"),
            (
                json!({"name": "a".repeat(64)}),
                Naming::Label,
                "metadata.name",
            ),
            (
                json!({"name": "a", "labels": {"-": "x"}}),
                Naming::Label,
                "metadata.labels",
            ),
            (
                json!({"name": "a", "labels": {"x": "a b"}}),
                Naming::Label,
                "metadata.labels",
            ),
            (
                json!({"name": "a", "annotations": {"a/b/c": ""}}),
                Naming::Label,
                "metadata.annotations",
            ),
            (
                json!({"name": "a", "annotations": {"a": "x".repeat(300_000)}}),
                Naming::Label,
                "metadata.annotations",
            ),
            (
                json!({"name": "a", "finalizers": [""]}),
                Naming::Label,
                "metadata.finalizers[0]",
            ),
            (
                json!({"name": "a", "ownerReferences": [{"kind": "K", "name": "n", "uid": "u"}]}),
                Naming::Label,
                "metadata.ownerReferences[0].apiVersion",
            ),
        ] {
            let wrong = check_metadata(&metadata, naming);
            assert_eq!(
                wrong
                    .iter()
                    .map(|wrong| wrong.field.as_str())
                    .collect::<Vec<_>>(),
                [field]
            );
        }
    }
}
