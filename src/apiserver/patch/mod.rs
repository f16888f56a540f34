//! Patches: read once, applied to whatever the object is then.
//!
//! In comes the body of a PATCH; out goes an object with the patch applied, or why that can't be. The result is not looked
//! at: whether it still is an object of its kind, the one says who has the kind. Nothing here may grow without bounds,
//! whatever a patch says.

mod operations;
mod strategic;

use json_patch::PatchOperation;
use serde_json::Value;

use super::{Failure, PatchKind, document};

pub use strategic::Lists;

/// A patch that was understood.
#[derive(Clone, Debug)]
pub struct Patch {
    steps: Steps,
    /// What a strict reader has against the patch itself.
    pub complaints: Vec<String>,
}

#[derive(Clone, Debug)]
enum Steps {
    Operations(Vec<PatchOperation>),
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    /// Returns the patch in a body.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] if it can't be understood, [`Failure::TooMuch`] if it says too much;
    /// [`Failure::UnsupportedMediaType`] for [`PatchKind::Apply`], which is no patch of what there is.
    pub fn parse(kind: PatchKind, body: &[u8]) -> Result<Self, Failure> {
        let bad = |why: String| Failure::BadRequest(format!("error decoding patch: {why}"));
        if kind == PatchKind::Json {
            let (operations, complaints) = operations::parse(body)?;
            return Ok(Self {
                steps: Steps::Operations(operations),
                complaints,
            });
        }
        let read = document::parse(body).map_err(|error| bad(error.to_string()))?;
        if !read.value.is_object() {
            return Err(bad("it is no object".into()));
        }
        let steps = match kind {
            PatchKind::Merge => Steps::Merge(read.value),
            PatchKind::Strategic => Steps::Strategic(read.value),
            PatchKind::Apply | PatchKind::Json => {
                let why = "an apply is no patch of what there is";
                return Err(Failure::UnsupportedMediaType(why.into()));
            }
        };
        Ok(Self {
            steps,
            complaints: read.complaints,
        })
    }

    /// Returns `object` as the patch wants it. `lists` are those that a strategic patch merges.
    ///
    /// # Errors
    /// [`Failure::Unprocessable`] or [`Failure::BadRequest`] if the patch can't be applied to this object.
    pub fn apply(&self, object: &Value, lists: &Lists) -> Result<Value, Failure> {
        let mut value = object.clone();
        match &self.steps {
            Steps::Operations(operations) => operations::apply(&mut value, operations)?,
            Steps::Merge(patch) => json_patch::merge(&mut value, patch),
            Steps::Strategic(patch) => strategic::apply(&mut value, patch, lists)?,
        }
        Ok(value)
    }

    /// Returns what a refusal shows if `made` is no object of its kind: of a strategic patch itself, as kube-apiserver does.
    #[must_use]
    pub fn shown<'a>(&'a self, made: &'a Value) -> &'a Value {
        match &self.steps {
            Steps::Strategic(patch) => patch,
            Steps::Operations(_) | Steps::Merge(_) => made,
        }
    }

    /// Returns the version that the patch puts into the object: its caller wants no other changed.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match &self.steps {
            Steps::Operations(operations) => operations::version(operations),
            Steps::Merge(patch) | Steps::Strategic(patch) => {
                patch["metadata"]["resourceVersion"].as_str()
            }
        }
    }
}
