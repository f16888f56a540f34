//! YAML: typed reading as Kubernetes' tools read it, in one place. Text in, values out; what bombs is refused.

use serde::de::DeserializeOwned;
use serde_saphyr::{Options, options};

/// The deepest nesting that is read.
const DEPTH: usize = 200;

/// Why a text is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Returns the first document of a text.
///
/// # Errors
/// [`Error`] with a short sentence: not YAML, not the type, or more than any honest document needs.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_saphyr::from_str_with_options(text, dialect())
        .map_err(|error| Error(short(&error.to_string())))
}

/// YAML 1.2 words for booleans and Go's octal numbers; budgets against bombs.
fn dialect() -> Options {
    options! {
        strict_booleans: true,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: DEPTH },
    }
}

/// Returns the first line of a message, as far as a person reads.
fn short(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}
