//! Typed reading as Kubernetes' tools read YAML. Text in, values out; what bombs is refused.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Options, alias_limits, budget, options};

use super::quick;

/// How many nodes aliases may add: more than any honest document needs, and little time.
const REPLAYED: usize = 20_000;

/// Why a text is not what was asked for: one short sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// Returns an error with the first line of a reason.
    pub(super) fn told(reason: &impl ToString) -> Self {
        Self(short(&reason.to_string()))
    }
}

/// Returns the first document of a text; what follows it is not looked at.
///
/// # Errors
/// [`Error`]: not YAML, not the type, or more than any honest document needs.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    first(text, &dialect())
}

/// Returns the same for a reader that judges for itself of names that are there twice in one mapping: it is given both.
///
/// # Errors
/// [`Error`] as [`from_str`] has it, and whatever the reader finds.
pub fn from_str_with_duplicates<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut options = dialect();
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    first(text, &options)
}

fn first<T: DeserializeOwned>(text: &str, options: &Options) -> Result<T, Error> {
    if let Ok(value) = serde_saphyr::from_str_with_options(text, options.clone()) {
        return Ok(value);
    }
    // Reading piece by piece stops after the first document, and costs more: it is for the few that need it.
    let mut pieces = text.as_bytes();
    let first = serde_saphyr::read_with_options(&mut pieces, options.clone()).next();
    first
        .unwrap_or_else(|| serde_saphyr::from_str_with_options("null", options.clone()))
        .map_err(|error| Error::told(&error))
}

/// Returns the values of all documents of a text; one without a document has none.
///
/// # Errors
/// [`Error`]: not YAML, or more than any honest document needs.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    quick::documents(text).map_or_else(|| all(text), Ok)
}

/// Returns why the documents of a text can't be read; nothing if they can.
#[must_use]
pub fn problem(text: &str) -> Option<Error> {
    if quick::is_read(text) {
        return None;
    }
    documents(text).err()
}

/// Returns the same as [`documents`], read by the library.
pub(super) fn all(text: &str) -> Result<Vec<Value>, Error> {
    let mut pieces = text.as_bytes();
    let read = serde_saphyr::read_with_options(&mut pieces, dialect());
    read.map(|value| value.map_err(|error| Error::told(&error)))
        .collect()
}

/// Returns what a text without comments says that is nothing but one scalar; nothing if it can't be read.
pub(super) fn alone(text: &str) -> Option<Value> {
    serde_saphyr::from_str_with_options(text, dialect()).ok()
}

/// The words for booleans of YAML 1.2, the octal numbers of Go, and budgets against bombs.
fn dialect() -> Options {
    options! {
        strict_booleans: true,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: budget! { max_events: 500_000 },
        alias_limits: alias_limits! { max_total_replayed_events: REPLAYED },
    }
}

/// Returns the first line of a message, as far as a person reads.
fn short(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt::Write, time::Instant};

    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_what_kubernetes_takes_them_for() {
        for (text, value) in [
            ("true", json!(true)),
            ("on", json!("on")),
            ("yes", json!("yes")),
            ("0644", json!(420)),
            ("1", json!(1)),
            ("'1'", json!("1")),
            ("~", json!(null)),
            ("", json!(null)),
            ("# nothing\n", json!(null)),
            ("a: 1\n---\nb: 2\n", json!({"a": 1})),
            ("a: 1\n---\nnot: [yaml", json!({"a": 1})),
            ("---\na: [x, {b: c}]\n", json!({"a": ["x", {"b": "c"}]})),
            ("{\"a\": {\"b\": []}}", json!({"a": {"b": []}})),
        ] {
            assert_eq!(from_str::<Value>(text).as_ref(), Ok(&value), "{text:?}");
        }
    }

    #[test]
    fn a_problem_is_what_keeps_documents_from_being_read() {
        for text in [
            "",
            "a: 1\n",
            "a: .inf\n",
            "a: 1\na: 2\n",
            "- a\n",
            "a: [b\n",
            "a: 1\n---\nb: c: d\n",
            "a: |\n  b\n",
            "# a\n---\nb: 1\n",
            "a: &x 1\nb: *x\n",
            "a: *x\n",
        ] {
            assert_eq!(problem(text), all(text).err(), "{text:?}");
        }
    }

    #[test]
    fn a_scalar_read_as_a_string_keeps_its_letters() {
        let read: BTreeMap<String, Option<String>> =
            from_str("a: 1.10\nb: true\nc: 0644\nd: ~\ne: on\n").unwrap();
        let want = [
            ("a", Some("1.10")),
            ("b", Some("true")),
            ("c", Some("0644")),
            ("d", None),
            ("e", Some("on")),
        ];
        let want = want.map(|(key, value)| (key.to_string(), value.map(str::to_string)));
        assert_eq!(read, BTreeMap::from(want));
    }

    #[test]
    fn what_is_not_yaml_or_a_bomb_is_refused_soon_and_in_one_line() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..10 {
            let below = level - 1;
            let inner = vec![format!("*a{below}"); 10].join(",");
            writeln!(bomb, "a{level}: &a{level} [{inner}]").unwrap();
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in [
            "not: [yaml",
            "a: b: c",
            "a: 1\na: 2\n",
            bomb.as_str(),
            deep.as_str(),
        ] {
            let begun = Instant::now();
            let told = from_str::<Value>(text).unwrap_err().to_string();
            assert!(
                !told.is_empty() && told.len() <= 800 && !told.contains('\n'),
                "{told}"
            );
            assert!(begun.elapsed().as_secs() < 5, "{told}");
        }
    }
}
