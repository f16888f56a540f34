//! What the kinds of `porch.kpt.dev` that can be changed have in common: who asks, as the engine is told, and what the
//! engine refuses, as callers are told.

use bytes::Bytes;
use serde::Serialize;

use crate::{
    api,
    apiserver::{Failure, FieldError, Request, Subject},
    cache::view,
    engine::{About, Begin, Call, Caller, Error, Record},
    package::{Violation, ViolationKind},
};

/// The group of those who proved who they are.
const AUTHENTICATED: &str = "system:authenticated";

/// Returns a request as the engine is told of it.
pub fn call(request: &Request) -> Call {
    let caller = request.caller.clone();
    let mut groups = request.user.groups.iter();
    Call {
        caller: Caller {
            user: request.user.user.clone(),
            authenticated: groups.any(|group| group == AUTHENTICATED),
        },
        manager: request.field_manager.clone(),
        dry_run: request.dry_run,
        deadline: request.deadline(),
        begin: Begin::if_(move || caller.begin().is_ok()),
    }
}

/// A kind of ours, as far as refusals name it.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Its kind.
    pub kind: &'static str,
    /// Its plural.
    pub plural: &'static str,
}

/// What an engine's request can fail with: the engine's word, or that of the machinery, which is passed on.
#[derive(Debug)]
pub enum Refusal {
    Engine(Box<Error>),
    Machinery(Box<Failure>),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Machinery(Box::new(failure))
    }
}

impl Named {
    /// Returns what the caller is told of a refusal about the object `name` of this kind.
    pub fn tell(self, refusal: Refusal, name: &str) -> Failure {
        match refusal {
            Refusal::Engine(error) => self.failure(*error, name),
            Refusal::Machinery(failure) => *failure,
        }
    }

    /// Returns what the caller is told of an error about the object `name` of this kind.
    pub fn failure(self, error: Error, name: &str) -> Failure {
        match error {
            Error::Malformed(why) => Failure::BadRequest(why),
            Error::Invalid { name, violations } => Failure::Invalid {
                subject: Subject::new(api::GROUP, self.kind, name),
                errors: violations.into_iter().map(field_error).collect(),
            },
            Error::NotFound(about) => Failure::NotFound(self.subject(about, name)),
            Error::AlreadyExists(about) => Failure::AlreadyExists(self.subject(about, name)),
            Error::Conflict(why) | Error::Busy(why) => Failure::Conflict {
                subject: self.subject(About::Request, name),
                why,
            },
            Error::Modified => Failure::modified(self.subject(About::Request, name)),
            Error::Forbidden { about, why } => Failure::forbidden(self.subject(about, name), why),
            Error::TooLarge(why) => Failure::TooMuch(why),
            Error::Unavailable { why, after } => Failure::Unavailable {
                message: why,
                retry_after: after,
            },
            Error::TimedOut => Failure::Timeout,
            Error::Internal(why) => Failure::Internal(why),
        }
    }

    fn subject(self, about: About, name: &str) -> Subject {
        match about {
            About::Request => Subject::new(api::GROUP, self.plural, name),
            About::Revision(name) => Subject::new(api::GROUP, "packagerevisions", name),
            About::Package(name) => Subject::new(api::GROUP, "packages", name),
            About::Repository(name) => Subject::new(api::CONFIG_GROUP, "repositories", name),
            About::Namespace(name) => Subject::new("", "namespaces", name),
        }
    }
}

fn field_error(violation: Violation) -> FieldError {
    let Violation {
        field,
        kind,
        detail,
    } = violation;
    match kind {
        ViolationKind::Required => FieldError::required(field, &detail),
        ViolationKind::Invalid(value) => FieldError::invalid(field, &value, &detail),
        ViolationKind::Forbidden => FieldError::forbidden(field, &detail),
        ViolationKind::NotSupported { value, supported } => {
            FieldError::not_supported(field, &value, &supported)
        }
        ViolationKind::Duplicate(value) => FieldError::duplicate(field, &value),
        ViolationKind::TooLong(most) => FieldError::too_long(field, most),
        ViolationKind::TooMany(most) => FieldError::too_many(field, most),
    }
}

/// Returns the `PackageRevision` that a record shows, as one line of JSON.
pub fn shown(record: &Record) -> Result<Bytes, Failure> {
    let revision = view::package_revision(record);
    let revision = revision.ok_or_else(|| Failure::Internal("a record shows nothing".into()))?;
    encoded(&revision)
}

/// Returns an object as one line of JSON.
pub fn encoded(object: &impl Serialize) -> Result<Bytes, Failure> {
    let json = serde_json::to_vec(object);
    json.map(Bytes::from)
        .map_err(|error| Failure::Internal(error.to_string()))
}
