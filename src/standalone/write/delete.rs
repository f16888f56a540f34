//! An object goes, or many do; a namespace goes with all that is in it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Deed, update::finalizers};
use crate::{
    apiserver::{DeleteTerms, Failure, Written},
    cache::{Entry, FieldSelector, Fields, LabelSelector, Malformed, Name},
    standalone::{
        Object,
        object::{metadata_mut, text},
    },
};

/// Namespaces without which nothing works.
const LASTING: &[&str] = &["default", "kube-system"];

impl Deed<'_, '_> {
    /// Deletes the object that the request names.
    pub(super) fn delete(&mut self) -> Result<Written, Failure> {
        let terms = DeleteTerms::of(self.write, &self.definition.api_version())?;
        let live = self.live()?;
        let subject = self.definition.kind_subject(&live.name().name);
        terms.check(&live.value(), subject)?;
        if self.is_namespace() && LASTING.contains(&live.name().name.as_str()) {
            let subject = self.definition.subject(&live.name().name);
            return Err(Failure::forbidden(
                subject,
                "this namespace may not be deleted",
            ));
        }
        let answer = match self.dismiss(&live) {
            Some(held) => held.body().clone(),
            None => self.gone(&live).to_string().into(),
        };
        Ok(Written::Deleted(answer))
    }

    /// Deletes everything that the selectors choose, and returns it as a list.
    pub(super) fn delete_collection(&mut self) -> Result<Written, Failure> {
        let terms = DeleteTerms::of(self.write, &self.definition.api_version())?;
        let chosen = self.chosen()?;
        let mut items = Vec::with_capacity(chosen.len());
        for object in chosen {
            let subject = self.definition.kind_subject(&object.name().name);
            terms.check(&object.value(), subject)?;
            let lasting = self.is_namespace() && LASTING.contains(&object.name().name.as_str());
            if !lasting {
                items.push(self.dismiss(&object).unwrap_or(object).value());
            }
        }
        let kind = &self.definition.kind.list_kind;
        let list = json!({"kind": kind, "apiVersion": self.definition.api_version(), "metadata": {}, "items": items});
        Ok(Written::Deleted(list.to_string().into()))
    }

    fn chosen(&self) -> Result<Vec<Arc<Object>>, Failure> {
        let options = &self.write.options;
        let bad = |error: Malformed| Failure::BadRequest(error.to_string());
        let labels = LabelSelector::parse(&options.label_selector).map_err(bad)?;
        let known = Fields::Plain(&self.definition.kind.selectable);
        let fields = FieldSelector::parse(&options.field_selector, known).map_err(bad)?;
        let all = self.transaction.list(self.table, &self.write.namespace);
        Ok(all
            .into_iter()
            .filter(|object| {
                labels.matches(|key| object.label(key)) && fields.matches(object.as_ref())
            })
            .collect())
    }

    /// Lets an object go. Returns it if somebody holds it still.
    fn dismiss(&mut self, live: &Arc<Object>) -> Option<Arc<Object>> {
        if self.is_namespace() {
            return self.dismiss_namespace(live);
        }
        let moment = self.moment();
        let held = dismissed(self.transaction, self.table, live, &moment);
        self.close_namespace(&live.name().namespace);
        held
    }

    /// Marks a namespace as going, lets go all that is in it, and takes it away if nothing is left.
    fn dismiss_namespace(&mut self, live: &Arc<Object>) -> Option<Arc<Object>> {
        let name = live.name().clone();
        let moment = self.moment();
        let mut value = live.value();
        if text(&value, "/metadata/deletionTimestamp").is_empty() {
            metadata_mut(&mut value).insert("deletionTimestamp".into(), moment.clone());
            value["status"]["phase"] = "Terminating".into();
            self.put(value);
        }
        for table in 0..self.transaction.tables().len() {
            if table == self.table {
                continue;
            }
            for object in self.transaction.list(table, &name.name) {
                dismissed(self.transaction, table, &object, &moment);
            }
        }
        self.close_namespace(&name.name);
        self.transaction.get(self.table, &name).cloned()
    }

    /// Takes away an object that only waited for its last finalizer, which `value` no longer has. Returns its last
    /// state, or nothing if it waits still.
    pub(super) fn finish(&mut self, value: &Value) -> Option<Arc<Object>> {
        let name = Name::new(
            text(value, "/metadata/namespace"),
            text(value, "/metadata/name"),
        );
        let held =
            !finalizers(value).is_empty() || (self.is_namespace() && !self.is_empty(&name.name));
        if held {
            return None;
        }
        let version = self.transaction.remove(self.table, &name);
        self.close_namespace(&name.namespace);
        Some(Arc::new(Object::new(
            value.clone(),
            version,
            &self.definition.kind.selectable,
        )))
    }

    /// Takes a namespace away that is going, if nothing is left in it.
    fn close_namespace(&mut self, namespace: &str) {
        let name = Name::new("", namespace);
        let Some(table) = self
            .transaction
            .core("namespaces")
            .filter(|_| !namespace.is_empty())
        else {
            return;
        };
        let Some(value) = self
            .transaction
            .get(table, &name)
            .map(|found| found.value())
        else {
            return;
        };
        let going = !text(&value, "/metadata/deletionTimestamp").is_empty();
        if going && finalizers(&value).is_empty() && self.is_empty(namespace) {
            self.transaction.remove(table, &name);
        }
    }

    fn is_empty(&self, namespace: &str) -> bool {
        let mut tables = 0..self.transaction.tables().len();
        tables.all(|table| self.transaction.list(table, namespace).is_empty())
    }

    fn is_namespace(&self) -> bool {
        self.transaction.core("namespaces") == Some(self.table)
    }

    /// Returns the `Status` that tells of an object that is gone.
    fn gone(&self, object: &Object) -> Value {
        let value = object.value();
        let mut details = json!({
            "name": object.name().name, "group": self.definition.kind.group, "kind": self.definition.kind.plural, "uid": value["metadata"]["uid"],
        });
        if self.definition.kind.group.is_empty() {
            details
                .as_object_mut()
                .map(|details| details.remove("group"));
        }
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
    }
}

/// Takes an object away; or marks and returns it, if somebody holds it.
fn dismissed(
    transaction: &mut super::Transaction<'_>,
    table: usize,
    live: &Arc<Object>,
    moment: &Value,
) -> Option<Arc<Object>> {
    let mut value = live.value();
    if finalizers(&value).is_empty() {
        transaction.remove(table, live.name());
        return None;
    }
    if !text(&value, "/metadata/deletionTimestamp").is_empty() {
        return Some(live.clone());
    }
    let metadata = metadata_mut(&mut value);
    metadata.insert("deletionTimestamp".into(), moment.clone());
    metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
        metadata.insert("generation".into(), (generation + 1).into());
    }
    Some(transaction.put(table, value))
}
