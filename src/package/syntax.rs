//! The forms of names in Kubernetes, with its sentences (k8s.io/apimachinery `util/validation`). Pure text.

/// Longest label of DNS, label value, or last part of a qualified name, in bytes.
pub(super) const LABEL: usize = 63;
/// Longest object name, or first part of a qualified name, in bytes.
pub(super) const NAME: usize = 253;

const NO_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const NO_PREFIX: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const NO_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const NO_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const TOO_LONG: &str = "must be no more than 63 characters";

/// Returns whether the text is a lowercase label of DNS (RFC 1123).
pub(super) fn is_label(text: &str) -> bool {
    text.len() <= LABEL && has_label_letters(text)
}

fn has_label_letters(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Returns nothing if the text is a lowercase label of DNS, else why not; of several reasons, all.
pub(super) fn label(text: &str) -> Result<(), String> {
    let long = (text.len() > LABEL).then_some(TOO_LONG);
    let odd = (!has_label_letters(text)).then_some(NO_LABEL);
    let why: Vec<&str> = long.into_iter().chain(odd).collect();
    if why.is_empty() {
        return Ok(());
    }
    Err(why.join(","))
}

/// Returns nothing if the text is a name with or without a domain before it, such as `example.com/name`; else why not.
pub(super) fn qualified(text: &str) -> Result<(), &'static str> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let is_domain = |prefix: &str| prefix.len() <= NAME && prefix.split('.').all(is_label);
    if prefix.is_some_and(|prefix| !is_domain(prefix)) {
        return Err(NO_PREFIX);
    }
    match name {
        "" => Err("name part must be non-empty"),
        name if name.len() > LABEL => Err("name part must be no more than 63 characters"),
        name if !is_word(name) => Err(NO_NAME),
        _ => Ok(()),
    }
}

/// Returns nothing if the text can be the value of a label, else why not.
pub(super) fn label_value(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Ok(()),
        text if text.len() > LABEL => Err(TOO_LONG),
        text if !is_word(text) => Err(NO_VALUE),
        _ => Ok(()),
    }
}

fn is_word(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| edge(c) || matches!(c, '-' | '_' | '.');
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(inner)
}

/// Returns nothing if the text can be the name of a package: labels with `/` between them, in all no longer than one label, as
/// upstream can read it; else why not.
pub(super) fn package_name(text: &str) -> Result<(), String> {
    if text.starts_with('/') || text.ends_with('/') {
        return Err("must not start or end with '/'".into());
    }
    if text.contains("//") {
        return Err("consecutive '/' characters are not allowed".into());
    }
    label(&text.replace('/', ""))?;
    text.split('/').try_for_each(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names_are_labels_between_slashes() {
        let (long, split) = (
            "x".repeat(64),
            format!("{}/{}", "x".repeat(32), "y".repeat(32)),
        );
        for (name, why) in [
            ("", "a lowercase RFC 1123 label must"),
            ("/", "start or end"),
            ("/a", "start or end"),
            ("a/", "start or end"),
            ("a//b", "consecutive '/' characters are not allowed"),
            ("a-/b", "a lowercase RFC 1123 label must"),
            ("a/-b", "a lowercase RFC 1123 label must"),
            ("A", "a lowercase RFC 1123 label must"),
            ("a.b", "a lowercase RFC 1123 label must"),
            ("a_b", "a lowercase RFC 1123 label must"),
            ("../a", "a lowercase RFC 1123 label must"),
            ("a\n", "a lowercase RFC 1123 label must"),
            ("é", "a lowercase RFC 1123 label must"),
            (long.as_str(), "must be no more than 63 characters"),
            (split.as_str(), "must be no more than 63 characters"),
        ] {
            let told = package_name(name).unwrap_err();
            assert!(told.contains(why), "{name:?}: {told}");
        }
        for name in ["a", "a/b", "a-b/c-1/0", &"x".repeat(63)] {
            assert_eq!(package_name(name), Ok(()), "{name}");
        }
    }
}
