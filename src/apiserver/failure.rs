//! Why a caller does not get what it asked for, named by its meaning. What that is in HTTP, `status` says.
//!
//! In comes nothing; every verb and every writer makes these. They must not carry what the caller may not read, but for
//! [`Failure::Internal`], whose text only the log shows.

use serde_json::{Map, Value};

/// What a failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// API group; empty for the core group.
    pub group: String,
    /// Resource (plural); the kind where Kubernetes says the kind.
    pub resource: String,
    /// Name of the object; may be empty.
    pub name: String,
}

impl Subject {
    /// Returns the subject `name` among `resource` of `group`.
    pub fn new(
        group: impl Into<String>,
        resource: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            group: group.into(),
            resource: resource.into(),
            name: name.into(),
        }
    }

    /// Returns `resource.group`, or `resource` of the core group.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() {
            return self.resource.clone();
        }
        format!("{}.{}", self.resource, self.group)
    }

    pub(super) fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        for (key, value) in [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.resource),
        ] {
            if !value.is_empty() {
                details.insert(key.into(), value.as_str().into());
            }
        }
        details
    }
}

/// One reason among several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// One word for machines.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The field it is about; may be empty.
    pub field: String,
}

impl Cause {
    pub(super) fn to_json(&self) -> Value {
        let mut cause = Map::new();
        for (key, value) in [
            ("reason", &self.reason),
            ("message", &self.message),
            ("field", &self.field),
        ] {
            if !value.is_empty() {
                cause.insert(key.into(), value.as_str().into());
            }
        }
        Value::Object(cause)
    }
}

/// What is wrong with one field of an object. Its text is that of k8s.io/apimachinery `field.Error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, such as `spec.tasks[0].type`.
    pub field: String,
    /// One word for machines, such as `FieldValueRequired`.
    pub reason: &'static str,
    /// What is wrong, without the field.
    pub message: String,
}

impl FieldError {
    /// Returns that a value is missing.
    #[must_use]
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::made(field, "FieldValueRequired", "Required value", detail)
    }

    /// Returns that `value` won't do.
    #[must_use]
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let head = format!("Invalid value: {}", quoted(value));
        Self::made(field, "FieldValueInvalid", &head, detail)
    }

    /// Returns that `value` is of the wrong type.
    #[must_use]
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let head = format!("Invalid value: {}", quoted(value));
        Self::made(field, "FieldValueTypeInvalid", &head, detail)
    }

    /// Returns that `value` is none of `supported`.
    #[must_use]
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let head = format!("Unsupported value: {}", quoted(value));
        let choices: Vec<String> = supported.iter().map(|one| format!("{one:?}")).collect();
        let detail = format!("supported values: {}", choices.join(", "));
        Self::made(field, "FieldValueNotSupported", &head, &detail)
    }

    /// Returns that the field may not be set so.
    #[must_use]
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::made(field, "FieldValueForbidden", "Forbidden", detail)
    }

    /// Returns that `value` is there twice.
    #[must_use]
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let head = format!("Duplicate value: {}", quoted(value));
        Self::made(field, "FieldValueDuplicate", &head, "")
    }

    /// Returns that a value is longer than `most` bytes.
    #[must_use]
    pub fn too_long(field: impl Into<String>, most: usize) -> Self {
        let detail = format!("may not be more than {most} bytes");
        Self::made(field, "FieldValueTooLong", "Too long", &detail)
    }

    /// Returns that a change names no version, and must.
    #[must_use]
    pub fn unversioned() -> Self {
        let head = "Invalid value: 0";
        let detail = "must be specified for an update";
        Self::made(
            "metadata.resourceVersion",
            "FieldValueInvalid",
            head,
            detail,
        )
    }

    fn made(field: impl Into<String>, reason: &'static str, head: &str, detail: &str) -> Self {
        let message = if detail.is_empty() {
            head.to_owned()
        } else {
            format!("{head}: {detail}")
        };
        Self {
            field: field.into(),
            reason,
            message,
        }
    }

    pub(super) fn cause(&self) -> Cause {
        Cause {
            reason: self.reason.into(),
            message: self.message.clone(),
            field: self.field.clone(),
        }
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

/// Why a caller does not get what it asked for, named by its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request makes no sense.
    BadRequest(String),
    /// Nobody knows who asks.
    Unauthorized,
    /// Who asks may not; the reason follows `is forbidden: `.
    Forbidden {
        /// What it is about.
        subject: Subject,
        /// Why.
        why: String,
        /// Machine-readable reasons.
        causes: Vec<Cause>,
    },
    /// There is no such object.
    NotFound(Subject),
    /// There is no such path.
    NoRoute,
    /// The path is there, the method is not.
    MethodNotAllowed {
        /// The methods that are.
        allow: Vec<&'static str>,
    },
    /// The kind does not support what was asked for: `watch is not supported on resources of kind "…"`.
    NotSupported {
        /// The verb.
        action: String,
        /// The kind's group and plural.
        subject: Subject,
        /// The methods that are.
        allow: Vec<&'static str>,
    },
    /// None of the accepted media types can be made; the sentence says which can.
    NotAcceptable(String),
    /// The body is of an unknown type; the sentence says which are known.
    UnsupportedMediaType(String),
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The same, in other words: too many of something.
    TooMuch(String),
    /// There is one of this name already.
    AlreadyExists(Subject),
    /// No free name was found for a `generateName`.
    NameTaken(Subject),
    /// Somebody was faster, or a precondition does not hold; the reason follows `Operation cannot be fulfilled on …: `.
    Conflict {
        /// What it is about.
        subject: Subject,
        /// Why.
        why: String,
    },
    /// An apply met fields of other owners.
    ApplyConflict {
        /// How many there are, and whose, as a sentence.
        message: String,
        /// One for each field.
        causes: Vec<Cause>,
    },
    /// The object is well-formed, and refused.
    Invalid {
        /// Group, **kind** and name.
        subject: Subject,
        /// Everything that is wrong with it.
        errors: Vec<FieldError>,
    },
    /// A JSON patch could not be applied.
    Unprocessable,
    /// The history asked for is gone; with the token to go on with, if it was a page that was asked for.
    Expired {
        /// What is gone.
        message: String,
        /// The token to go on with.
        continue_token: Option<String>,
    },
    /// A version was asked for that is not known yet.
    TooNew {
        /// The version asked for.
        asked: u64,
        /// The newest known.
        current: u64,
    },
    /// It took too long.
    Timeout,
    /// The caller is one of too many.
    TooManyRequests(String),
    /// Not now: the caller may try again after so many seconds.
    Unavailable {
        /// Why.
        message: String,
        /// After how many seconds.
        retry_after: u32,
    },
    /// For a reason that only the log tells.
    Internal(String),
}

impl Failure {
    /// Returns that the object has been changed since the version that the caller names.
    #[must_use]
    pub fn modified(subject: Subject) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::Conflict {
            subject,
            why: why.into(),
        }
    }

    /// Returns that who asks may not.
    #[must_use]
    pub fn forbidden(subject: Subject, why: impl Into<String>) -> Self {
        Self::Forbidden {
            subject,
            why: why.into(),
            causes: Vec::new(),
        }
    }
}
