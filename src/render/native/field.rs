//! Fields that resources of some kinds have, as data, and the way to them. In come objects and tables, out come changed objects.

use serde_json::{Value, json};

use super::{config, resource};

/// Any group, version or kind.
pub(super) const ANY: &str = "*";

/// A field that resources of some kinds have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// Group of the API; empty for the core group.
    pub(super) group: &'a str,
    /// Version of the API.
    pub(super) version: &'a str,
    /// Kind.
    pub(super) kind: &'a str,
    /// Keys with `/` between them; `[]` behind a key says that it is a list, which is never made. Lists are walked anyway.
    pub(super) path: &'a str,
    /// Whether it is made where it is missing.
    pub(super) create: bool,
}

/// Returns a field of all versions of a kind that is made where it is missing.
pub(super) const fn made<'a>(group: &'a str, kind: &'a str, path: &'a str) -> Field<'a> {
    Field {
        group,
        version: ANY,
        kind,
        path,
        create: true,
    }
}

/// Returns a field of all versions of a kind that is changed only where it is.
pub(super) const fn found<'a>(group: &'a str, kind: &'a str, path: &'a str) -> Field<'a> {
    Field {
        create: false,
        ..made(group, kind, path)
    }
}

impl<'a> Field<'a> {
    /// Returns the field as a config describes it.
    pub(super) fn described(value: &'a Value) -> Result<Self, String> {
        let at = |key: &str| Some(resource::text(value, key)).filter(|text| !text.is_empty());
        let path = at("/path");
        Ok(Self {
            group: at("/group").unwrap_or(ANY),
            version: at("/version").unwrap_or(ANY),
            kind: at("/kind").unwrap_or(ANY),
            path: path.ok_or("a field of functionConfig has no `path`")?,
            create: value.get("create").map(config::text).as_deref() == Some("true"),
        })
    }

    /// Returns whether a resource is of the field's kind.
    pub(super) fn fits(&self, object: &Value) -> bool {
        self.is_of(resource::group_version(object), resource::kind(object))
    }

    /// Returns whether it is a field of a kind.
    fn is_of(&self, (group, version): (&str, &str), kind: &str) -> bool {
        let own = [
            (self.kind, kind),
            (self.group, group),
            (self.version, version),
        ];
        own.iter().all(|(asked, has)| *asked == ANY || asked == has)
    }

    /// Changes the field of a resource, of lists in every item. What is missing is not changed, or is null before the change.
    pub(super) fn change(&self, object: &mut Value, change: Change<'_>) -> Result<(), String> {
        if !self.fits(object) {
            return Ok(());
        }
        let walk = Walk {
            path: self.path,
            create: self.create,
        };
        walk.on(object, &steps(self.path), change)
    }
}

/// Fields taken apart once, to be changed in many resources.
pub(super) struct Fields<'a>(Vec<(&'a Field<'a>, Vec<Step>)>);

impl<'a> Fields<'a> {
    pub(super) fn of(fields: impl Iterator<Item = &'a Field<'a>>) -> Self {
        Self(fields.map(|field| (field, steps(field.path))).collect())
    }

    /// Changes those fields of a resource that its kind has, in their order. See [`Field::change`].
    pub(super) fn change(&self, object: &mut Value, change: Change<'_>) -> Result<(), String> {
        let (version, kind) = (resource::group_version(object), resource::kind(object));
        let fields = self.0.iter();
        let fitting: Vec<_> = fields
            .filter(|(field, _)| field.is_of(version, kind))
            .collect();
        fitting.into_iter().try_for_each(|(field, steps)| {
            let walk = Walk {
                path: field.path,
                create: field.create,
            };
            walk.on(object, steps, &mut *change)
        })
    }
}

/// What is done to a field; a sentence says why it can't be.
pub(super) type Change<'a> = &'a mut dyn FnMut(&mut Value) -> Result<(), String>;

/// Returns the fields that a config describes in a list.
pub(super) fn described<'a>(config: &'a Value, list: &str) -> Result<Vec<Field<'a>>, String> {
    let fields = config.get(list).and_then(Value::as_array);
    let fields = fields.into_iter().flatten();
    fields.map(Field::described).collect()
}

struct Step {
    key: String,
    is_list: bool,
}

/// Returns the keys of a path; a `/` behind a backslash belongs to its key.
fn steps(path: &str) -> Vec<Step> {
    let marked = path.replace("\\/", "\0");
    let parts = marked.split('/').filter(|part| !part.is_empty());
    let step = |part: &str| {
        let key = part.strip_suffix("[]");
        Step {
            is_list: key.is_some(),
            key: key.unwrap_or(part).replace('\0', "/"),
        }
    };
    parts.map(step).collect()
}

struct Walk<'a> {
    path: &'a str,
    create: bool,
}

impl Walk<'_> {
    fn on(&self, value: &mut Value, steps: &[Step], change: Change<'_>) -> Result<(), String> {
        if let Value::Array(items) = value {
            let mut items = items.iter_mut();
            return items.try_for_each(|item| self.on(item, steps, &mut *change));
        }
        let Some((step, rest)) = steps.split_first() else {
            return change(value);
        };
        if value.is_null() && self.create {
            *value = json!({});
        }
        let Some(map) = value.as_object_mut() else {
            let why = format!("`{}` can't be set: what is on the way is no map", self.path);
            return if self.create { Err(why) } else { Ok(()) };
        };
        let is_there = map.get(&step.key).is_some_and(|inner| !inner.is_null());
        if !is_there && (!self.create || step.is_list) {
            return Ok(());
        }
        let inner = map.entry(step.key.as_str()).or_insert(Value::Null);
        self.on(inner, rest, change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_and_made() {
        let thing =
            json!({"apiVersion": "g/v1", "kind": "K", "a": {"l": [{"x": "1"}, {}], "n": null}});
        for (field, pointers) in [
            (found("g", "K", "a/l[]/x"), vec!["/a/l/0/x"]),
            (found("g", "K", "a/l/x"), vec!["/a/l/0/x"]),
            (made(ANY, ANY, "a/l/x"), vec!["/a/l/0/x", "/a/l/1/x"]),
            (made("g", "K", "a/m[]/x"), vec![]),
            (found("g", "K", "a/n/x"), vec![]),
            (made("g", "K", "a/n/x\\/y"), vec!["/a/n/x~1y"]),
            (made("g", "K", "b/c"), vec!["/b/c"]),
            (made("", "K", "b/c"), vec![]),
            (made("g", "L", "b/c"), vec![]),
        ] {
            let mut changed = thing.clone();
            let mut set = |value: &mut Value| {
                *value = json!("new");
                Ok(())
            };
            field.change(&mut changed, &mut set).unwrap();
            for pointer in &pointers {
                assert_eq!(changed.pointer(pointer), Some(&json!("new")), "{field:?}");
            }
            assert_eq!(changed == thing, pointers.is_empty(), "{field:?}");
        }
        let mut text = json!({"a": "text"});
        let told = made(ANY, ANY, "a/b").change(&mut text, &mut |_| Ok(()));
        assert!(told.unwrap_err().contains("`a/b`"));
        assert_eq!(
            found(ANY, ANY, "a/b").change(&mut text, &mut |_| Err("no".into())),
            Ok(())
        );
    }
}
