//! What is wrong with one field of an object, in the words of Kubernetes. Data only.

use serde_json::Value;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `spec.tasks[0].type`.
    pub field: String,
    /// What kind of wrong it is.
    pub kind: ViolationKind,
    /// Why, in a sentence; may be empty.
    pub detail: String,
}

/// What can be wrong with a field (k8s.io/apimachinery `field.ErrorType`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// It is missing.
    Required,
    /// This value won't do.
    Invalid(Value),
    /// It may not be set so.
    Forbidden,
    /// This value is none of the supported ones.
    NotSupported {
        /// The value.
        value: Value,
        /// What would do.
        supported: Vec<&'static str>,
    },
    /// This value is there twice.
    Duplicate(Value),
    /// It is longer than so many bytes.
    TooLong(usize),
    /// There are more than so many.
    TooMany(usize),
}

impl Violation {
    /// Returns that a value is missing.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, ViolationKind::Required, detail)
    }

    /// Returns that `value` won't do.
    pub fn invalid(
        field: impl Into<String>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(field, ViolationKind::Invalid(value.into()), detail)
    }

    /// Returns that the field may not be set so.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, ViolationKind::Forbidden, detail)
    }

    /// Returns that `value` is none of `supported`.
    pub fn not_supported(
        field: impl Into<String>,
        value: impl Into<Value>,
        supported: &[&'static str],
    ) -> Self {
        let (value, supported) = (value.into(), supported.to_vec());
        Self::new(field, ViolationKind::NotSupported { value, supported }, "")
    }

    /// Returns that `value` is there twice.
    pub fn duplicate(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(field, ViolationKind::Duplicate(value.into()), "")
    }

    /// Returns that a value is longer than `most` bytes.
    pub fn too_long(field: impl Into<String>, most: usize) -> Self {
        let detail = format!("may not be more than {most} bytes");
        Self::new(field, ViolationKind::TooLong(most), detail)
    }

    /// Returns that there are more than `most`.
    pub fn too_many(field: impl Into<String>, most: usize) -> Self {
        let detail = format!("must have at most {most} items");
        Self::new(field, ViolationKind::TooMany(most), detail)
    }

    fn new(field: impl Into<String>, kind: ViolationKind, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        Self {
            field,
            kind,
            detail,
        }
    }
}
