//! The rules of a definition that its schema can't say, in CEL.
//!
//! In comes a definition's schema, once, and then objects, new and old. Out goes what the rules have against them.

use kube_cel::{CompiledSchema, ValidationError};
use serde_json::Value;

use crate::apiserver::FieldError;

/// The rules of a definition (`x-kubernetes-validations`), compiled once.
#[derive(Debug)]
pub struct Rules(CompiledSchema);

impl Rules {
    /// Returns the rules in `schema`; nothing if it has none.
    ///
    /// # Errors
    /// The first rule that can't be compiled.
    pub fn compile(schema: &Value) -> Result<Option<Self>, String> {
        if !schema.to_string().contains("\"x-kubernetes-validations\"") {
            return Ok(None);
        }
        let compiled = kube_cel::compile_schema(schema);
        match uncompiled(&compiled) {
            Some(why) => Err(why),
            None => Ok(Some(Self(compiled))),
        }
    }

    /// Returns what the rules have against the object; rules of transition are asked only if there was one before.
    #[must_use]
    pub fn check(&self, object: &Value, before: Option<&Value>) -> Vec<FieldError> {
        let found = kube_cel::validate_compiled(&self.0, object, before);
        found.map_or_else(
            |found| found.as_slice().iter().map(broken).collect(),
            |()| Vec::new(),
        )
    }
}

/// Returns a rule's refusal in kube-apiserver's words: rules stand at what has parts, which is not shown.
fn broken(error: &ValidationError) -> FieldError {
    let path = &error.field_path;
    let field = if path.is_empty() { "<nil>" } else { path };
    FieldError::broken(field, &error.message)
}

fn uncompiled(schema: &CompiledSchema) -> Option<String> {
    let own = schema.compilation_errors().first().map(ToString::to_string);
    let below = schema
        .properties
        .values()
        .chain(schema.items.as_deref())
        .chain(schema.additional_properties.as_deref());
    own.or_else(|| {
        let mut below = below;
        below.find_map(uncompiled)
    })
}
