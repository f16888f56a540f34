//! What the query of a request says: typed, and checked in the words of Kubernetes.
//!
//! In comes the part behind the `?`; out go [`Query`] and what the verbs make of it. Unknown parameters are ignored, as
//! kube-apiserver ignores them; of repeated ones the first counts.

use std::time::Duration;

use serde_json::Value;

use super::{Failure, FieldError, FieldValidation, Subject, WriteOptions};
use crate::cache::Version;

/// The parameters of a request, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

/// How a list's version relates to the one asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Exact,
    NotOlderThan,
}

/// What a reader of a collection asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListOptions {
    /// The version named; nothing if none was.
    pub(super) version: Option<Version>,
    /// What the version means.
    pub(super) version_match: Option<Match>,
    /// At most so many; zero is all.
    pub(super) limit: usize,
    /// The token of the page before; may be empty.
    pub(super) continue_token: String,
    /// Whether a watch wants bookmarks.
    pub(super) bookmarks: bool,
    /// Whether a watch begins with what is there.
    pub(super) send_initial: Option<bool>,
    /// How long a watch lasts.
    pub(super) timeout: Option<Duration>,
    /// Selectors as they were sent.
    pub(super) labels: String,
    pub(super) fields: String,
}

impl Query {
    /// Returns the parameters in `text`.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = url::form_urlencoded::parse(text.as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// Returns the first value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns every value of `name`.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().into()
    }

    /// Returns whether `name` is there and is not `0` or `false`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.choice(name).unwrap_or(false)
    }

    fn choice(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        Some(value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| {
            let why = format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
            Failure::BadRequest(why)
        })?;
        Ok(Some(number))
    }

    /// Returns how many objects are wanted at most; zero is all.
    fn limit(&self) -> Result<usize, Failure> {
        let limit = self.number("limit")?.unwrap_or_default();
        Ok(usize::try_from(limit).unwrap_or(0))
    }

    /// Returns the version named by `resourceVersion`.
    pub(super) fn version(&self) -> Result<Option<Version>, Failure> {
        let text = self.get("resourceVersion").unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(version) if digits => Ok(Some(version)),
            _ => Err(Failure::BadRequest(format!(
                "invalid resource version: resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))),
        }
    }

    /// Returns how long the request may take at most: what it says, but never more than `most`.
    pub(super) fn deadline(&self, most: Duration) -> Result<Duration, Failure> {
        let Some(text) = self.get("timeout").filter(|text| !text.is_empty()) else {
            return Ok(most);
        };
        match duration(text) {
            Some(asked) if asked.is_zero() => Ok(most),
            Some(asked) => Ok(asked.min(most)),
            None => Err(Failure::BadRequest(format!(
                "invalid timeout specified in the request URL - time: invalid duration {text:?}"
            ))),
        }
    }

    /// Returns what a reader of a collection asks for.
    pub(super) fn list_options(&self, watch: bool) -> Result<ListOptions, Failure> {
        let seconds = self.number("timeoutSeconds")?;
        let options = ListOptions {
            version: self.version()?,
            version_match: None,
            limit: self.limit()?,
            continue_token: self.text("continue"),
            bookmarks: self.flag("allowWatchBookmarks"),
            send_initial: self.choice("sendInitialEvents"),
            timeout: seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            labels: self.text("labelSelector"),
            fields: self.text("fieldSelector"),
        };
        let version_match = self.get("resourceVersionMatch").unwrap_or_default();
        let errors = if watch {
            watch_errors(&options, version_match)
        } else {
            list_errors(&options, version_match)
        };
        refuse("ListOptions", errors)?;
        let version_match = match version_match {
            "Exact" => Some(Match::Exact),
            "NotOlderThan" => Some(Match::NotOlderThan),
            _ => None,
        };
        Ok(ListOptions {
            version_match,
            ..options
        })
    }

    /// Returns what a writer asks for; `kind` names the options, such as `CreateOptions`.
    pub(super) fn write_options(&self, kind: &str) -> Result<WriteOptions, Failure> {
        let mut errors = Vec::new();
        let dry_runs: Vec<&str> = self.all("dryRun").filter(|text| !text.is_empty()).collect();
        if dry_runs.iter().any(|text| *text != "All") {
            let value = Value::from(dry_runs.clone());
            errors.push(FieldError::not_supported("dryRun", &value, &["All"]));
        }
        let field_manager = self.text("fieldManager");
        if field_manager.len() > MANAGER {
            errors.push(FieldError::too_long("fieldManager", MANAGER));
        }
        let mut letters = field_manager.char_indices();
        if let Some((at, letter)) = letters.find(|(_, letter)| letter.is_control()) {
            let value = Value::from(field_manager.as_str());
            let code = u32::from(letter);
            let detail = format!("invalid character U+{code:04X} (at position {at})");
            errors.push(FieldError::invalid("fieldManager", &value, &detail));
        }
        let field_validation = match self.get("fieldValidation").unwrap_or_default() {
            "" | "Warn" => FieldValidation::Warn,
            "Strict" => FieldValidation::Strict,
            "Ignore" => FieldValidation::Ignore,
            other => {
                let choices = ["", "Ignore", "Strict", "Warn"];
                let value = Value::from(other);
                errors.push(FieldError::not_supported(
                    "fieldValidation",
                    &value,
                    &choices,
                ));
                FieldValidation::Warn
            }
        };
        refuse(kind, errors)?;
        // Nothing here waits before it goes; what makes no sense is refused all the same.
        self.number("gracePeriodSeconds")?;
        Ok(WriteOptions {
            dry_run: !dry_runs.is_empty(),
            field_manager,
            force: self.flag("force"),
            field_validation,
            label_selector: self.text("labelSelector"),
            field_selector: self.text("fieldSelector"),
            propagation_policy: self.text("propagationPolicy"),
            orphan_dependents: self.choice("orphanDependents"),
            limit: self.limit()?,
        })
    }
}

/// Longest name of a field manager, in bytes.
const MANAGER: usize = 128;
const VERSION_MATCH: &str = "resourceVersionMatch";
const INITIAL: &str = "sendInitialEvents";

fn refuse(kind: &str, errors: Vec<FieldError>) -> Result<(), Failure> {
    if errors.is_empty() {
        return Ok(());
    }
    let subject = Subject::new("meta.k8s.io", kind, "");
    Err(Failure::Invalid { subject, errors })
}

fn list_errors(options: &ListOptions, version_match: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut forbid = |detail: &str| errors.push(FieldError::forbidden(VERSION_MATCH, detail));
    if !version_match.is_empty() {
        if options.version.is_none() {
            forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if !options.continue_token.is_empty() {
            forbid("resourceVersionMatch is forbidden when continue is provided");
        }
        if version_match == "Exact" && options.version == Some(Version(0)) {
            forbid("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
    }
    if !matches!(version_match, "" | "Exact" | "NotOlderThan") {
        let choices = ["Exact", "NotOlderThan", ""];
        errors.push(FieldError::not_supported(
            VERSION_MATCH,
            &version_match.into(),
            &choices,
        ));
    }
    if options.send_initial.is_some() {
        let detail = "sendInitialEvents is forbidden for list";
        errors.push(FieldError::forbidden(INITIAL, detail));
    }
    errors
}

fn watch_errors(options: &ListOptions, version_match: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if options.send_initial.is_none() {
        if !version_match.is_empty() {
            let detail =
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden(VERSION_MATCH, detail));
        }
        return errors;
    }
    if version_match != "NotOlderThan" {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(FieldError::forbidden(VERSION_MATCH, detail));
        if !version_match.is_empty() {
            let error =
                FieldError::not_supported(VERSION_MATCH, &version_match.into(), &["NotOlderThan"]);
            errors.push(error);
        }
    }
    errors
}

/// Returns the length of time that Go reads in `text`, such as `1m30s`.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let end = unit
            .find(|letter: char| letter.is_ascii_digit() || letter == '.')
            .unwrap_or(unit.len());
        total += number
            * match &unit[..end] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &unit[end..];
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(total).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str, watch: bool) -> String {
        match Query::parse(query).list_options(watch) {
            Err(Failure::Invalid { errors, .. }) => errors
                .iter()
                .map(|error| format!("{}: {}", error.field, error.message))
                .collect::<Vec<_>>()
                .join("; "),
            Err(Failure::BadRequest(why)) => why,
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn nonsense_in_a_list_is_refused_in_kubernetes_words() {
        for (query, why) in [
            (
                "resourceVersionMatch=Exact",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
            (
                "resourceVersion=0&resourceVersionMatch=Exact",
                "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ),
            (
                "resourceVersion=1&resourceVersionMatch=x",
                "resourceVersionMatch: Unsupported value: \"x\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
            ),
            (
                "continue=x&resourceVersion=1&resourceVersionMatch=Exact",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
            ),
            (
                "sendInitialEvents=true",
                "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
            ),
            (
                "resourceVersion=abc",
                "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax",
            ),
            ("limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ] {
            assert_eq!(refused(query, false), why, "{query}");
        }
    }

    #[test]
    fn nonsense_in_a_watch_is_refused_in_kubernetes_words() {
        for (query, why) in [
            (
                "resourceVersionMatch=NotOlderThan",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
            (
                "sendInitialEvents=true",
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            (
                "sendInitialEvents=true&resourceVersionMatch=Exact",
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan; resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\"",
            ),
            (
                "resourceVersion=+5",
                "invalid resource version: resourceVersion: Invalid value: \" 5\": strconv.ParseUint: parsing \" 5\": invalid syntax",
            ),
        ] {
            assert_eq!(refused(query, true), why, "{query}");
        }
    }

    #[test]
    fn flags_are_true_unless_they_say_no() {
        for (query, on) in [
            ("watch", true),
            ("watch=", true),
            ("watch=yes", true),
            ("watch=1", true),
            ("watch=0", false),
            ("watch=False", false),
            ("", false),
        ] {
            assert_eq!(Query::parse(query).flag("watch"), on, "{query}");
        }
    }

    #[test]
    fn timeouts_are_read_as_go_reads_them() {
        for (text, length) in [
            ("1s", Some(1000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1500)),
            ("250ms", Some(250)),
            ("0", Some(0)),
            ("1", None),
            ("x", None),
            ("s", None),
            ("-1s", None),
        ] {
            assert_eq!(duration(text), length.map(Duration::from_millis), "{text}");
        }
        let most = Duration::from_mins(1);
        let deadline = |query| Query::parse(query).deadline(most);
        assert_eq!(deadline("timeout=2h"), Ok(most));
        assert_eq!(deadline("timeout=1s"), Ok(Duration::from_secs(1)));
        assert!(matches!(deadline("timeout=x"), Err(Failure::BadRequest(_))));
    }
}
