//! `apply-replacements`: values of one resource copied into fields of others, as kustomize's replacements do it.

mod field_path;
mod select;

use serde_json::Value;

use self::{
    field_path::FieldPath,
    select::{Id, Selector},
};
use super::{
    super::{Audience, Failure, Item, List},
    config, report, resource,
};
use crate::{api::ResultItem, yaml};

const OWN: &str = "ApplyReplacements";

/// What becomes of a field that a selected target does not have, and that is not to be made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// The function fails.
    Fails,
    /// The target is left as it is: until kustomize 5, it was so.
    IsPassed,
}

/// Makes the replacements that the config names.
pub(super) fn run(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    told(list, Missing::Fails)
}

/// Makes the replacements that the config names in the fields that there are, as the function did until v0.1.1.
pub(super) fn run_where_found(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    told(list, Missing::IsPassed)
}

fn told(list: &mut List, missing: Missing) -> Result<Vec<ResultItem>, Failure> {
    match replace(list, missing) {
        Ok(()) => Ok(Vec::new()),
        Err(why) => Err(report::failure(list, why)),
    }
}

fn replace(list: &mut List, missing: Missing) -> Result<(), String> {
    let List {
        items,
        config,
        audience,
    } = list;
    let config = config
        .as_ref()
        .ok_or_else(|| format!("FunctionConfig is missing. Expect `{OWN}.v1alpha1.fn.kpt.dev`"))?;
    if !config::is_own(config, OWN) {
        return Err(format!(
            "received functionConfig of kind {} and apiVersion {}, only functionConfig of kind {OWN} and apiVersion {} is supported",
            resource::kind(config),
            resource::api_version(config),
            config::OWN_VERSION
        ));
    }
    let replacements = members(config, "replacements");
    replacements
        .iter()
        .try_for_each(|replacement| replace_one((items, audience), replacement, missing))
}

fn members<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn replace_one(
    (items, audience): (&mut [Item], &Audience),
    replacement: &Value,
    missing: Missing,
) -> Result<(), String> {
    let source = replacement.get("source").filter(|source| !source.is_null());
    let source = source.ok_or("replacements must specify a source")?;
    let targets = members(replacement, "targets");
    if targets.is_empty() {
        return Err("replacements must specify at least one target".into());
    }
    let value = value_of(items, source)?;
    for target in targets {
        audience.check()?;
        let target = Target::of(target)?;
        for item in items.iter_mut() {
            target.set(&mut item.object, &value, missing)?;
        }
    }
    Ok(())
}

/// Returns the value that is copied.
fn value_of(items: &mut [Item], source: &Value) -> Result<Value, String> {
    let selector = Selector::of(source)?;
    let mut found = items
        .iter_mut()
        .filter(|item| selector.selects(&item.object));
    let id = selector.id();
    let item = found
        .next()
        .ok_or_else(|| format!("nothing selected by {id}"))?;
    if found.next().is_some() {
        return Err(format!("multiple matches for selector {id}"));
    }
    let path = FieldPath::of(path_or_name(source));
    let value = path.first(&item.object).cloned().unwrap_or_default();
    if value.is_null() {
        let id = Id::of(&item.object);
        let path = path.text();
        return Err(format!(
            "fieldPath `{path}` is missing for replacement source {id}"
        ));
    }
    Options::of(source)?.part(value)
}

fn path_or_name(source: &Value) -> &str {
    match resource::text(source, "/fieldPath") {
        "" => "metadata.name",
        path => path,
    }
}

/// How a value is copied.
struct Options {
    /// Empty if the whole value is.
    delimiter: String,
    index: i64,
    create: bool,
}

impl Options {
    fn of(owner: &Value) -> Result<Self, String> {
        let options = &owner["options"];
        let index = match config::text_at(options, "index").as_str() {
            "" => Ok(0),
            index => index
                .parse()
                .map_err(|_| format!("options.index {index} is no whole number")),
        };
        Ok(Self {
            delimiter: config::text_at(options, "delimiter"),
            index: index?,
            create: config::text_at(options, "create") == "true",
        })
    }

    /// Returns the part of a value that is asked for.
    fn part(&self, value: Value) -> Result<Value, String> {
        if self.delimiter.is_empty() {
            return Ok(value);
        }
        let text = scalar(&value)?;
        let index = usize::try_from(self.index).ok();
        let part = index.and_then(|index| text.split(&self.delimiter).nth(index));
        let part = part.ok_or_else(|| {
            let index = self.index;
            format!("options.index {index} is out of bounds for value {text}")
        })?;
        Ok(part.into())
    }

    /// Puts a value in the place of another, or in that of its part.
    fn put(&self, target: &mut Value, value: &Value) -> Result<(), String> {
        if self.delimiter.is_empty() {
            match (is_scalar(target), is_scalar(value)) {
                (true, true) => put_text(target, value, &config::text(value)),
                _ => *target = value.clone(),
            }
            return Ok(());
        }
        let (text, part) = (scalar(target)?, scalar(value)?);
        let mut parts: Vec<&str> = text.split(&self.delimiter).collect();
        match usize::try_from(self.index) {
            Err(_) => parts.insert(0, &part),
            Ok(index) if index < parts.len() => parts[index] = &part,
            Ok(_) => parts.push(&part),
        }
        let text = parts.join(&self.delimiter);
        put_text(target, value, &text);
        Ok(())
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn scalar(value: &Value) -> Result<String, String> {
    if is_scalar(value) {
        return Ok(config::text(value));
    }
    Err("delimiter option can only be used with scalar nodes".into())
}

/// Puts a text in the place of a value, which stays of its type if it can.
fn put_text(target: &mut Value, value: &Value, text: &str) {
    *target = match target {
        Value::Null => value.clone(),
        Value::String(_) => text.into(),
        _ => {
            let read = yaml::from_str::<Value>(text).ok().filter(is_scalar);
            read.filter(|read| !read.is_null())
                .unwrap_or_else(|| text.into())
        }
    };
}

/// Where a value is copied to.
struct Target<'a> {
    select: Selector<'a>,
    reject: Vec<Selector<'a>>,
    paths: Vec<FieldPath<'a>>,
    options: Options,
}

impl<'a> Target<'a> {
    fn of(target: &'a Value) -> Result<Self, String> {
        let select = target.get("select").filter(|select| !select.is_null());
        let select = select.ok_or("target must specify resources to select")?;
        let reject = members(target, "reject").iter().map(Selector::of);
        let paths = members(target, "fieldPaths").iter();
        let mut paths: Vec<_> = paths.filter_map(Value::as_str).map(FieldPath::of).collect();
        if paths.is_empty() {
            paths.push(FieldPath::of("metadata.name"));
        }
        Ok(Self {
            select: Selector::of(select)?,
            reject: reject.collect::<Result<_, _>>()?,
            paths,
            options: Options::of(target)?,
        })
    }

    fn set(&self, object: &mut Value, value: &Value, missing: Missing) -> Result<(), String> {
        let is_rejected = self.reject.iter().any(|reject| reject.selects(object));
        if is_rejected || !self.select.selects(object) {
            return Ok(());
        }
        let create = self.options.create;
        for path in &self.paths {
            let found = path.all(object, create);
            let is_passed = !create && missing == Missing::IsPassed;
            if found.is_empty() && !is_passed {
                let deed = if create { "find or create" } else { "find" };
                let path = path.text();
                return Err(format!(
                    "unable to {deed} field {path:?} in replacement target {}",
                    Id::of(object)
                ));
            }
            for pointer in found {
                if let Some(target) = object.pointer_mut(&pointer) {
                    self.options.put(target, value)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::samples::{fails, list, unchanged_when_repeated},
        *,
    };

    const SOURCE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {host: 'a:b:c', port: '8080'}\nspec: {x: 1, l: [{n: a, v: 7}]}\n";
    const TARGET: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, labels: {app: x}, annotations: {a.b/c: old}}\nspec:\n  replicas: 1\n  image: 'n:1'\n  containers:\n  - {name: one, env: [{name: E, value: v}]}\n  - {name: two}\n";

    fn config(source: &Value, target: &Value) -> Value {
        let mut source = source.clone();
        source["kind"] = json!("ConfigMap");
        let mut target = target.clone();
        if target.get("select").is_none() {
            target["select"] = json!({"kind": "Deployment"});
        }
        json!({"apiVersion": "fn.kpt.dev/v1alpha1", "kind": "ApplyReplacements", "replacements": [{"source": source, "targets": [target]}]})
    }

    /// Asserts what is at a pointer of the target after a replacement with a source and a target.
    fn copies(cases: &[(Value, Value, &str, Value)]) {
        for (source, target, pointer, want) in cases {
            let mut given = list(&[SOURCE, TARGET], config(source, target));
            unchanged_when_repeated(run, &mut given);
            assert_eq!(
                given.items[1].object.pointer(pointer),
                Some(want),
                "{target}"
            );
        }
    }

    fn to(path: &str) -> Value {
        json!({"fieldPaths": [path]})
    }

    fn from(path: &str) -> Value {
        json!({"fieldPath": path})
    }

    #[test]
    fn values_are_copied_and_stay_of_their_type() {
        let part = json!({"fieldPath": "data.host", "options": {"delimiter": ":", "index": 1}});
        let put = json!({"fieldPaths": ["spec.image"], "options": {"delimiter": ":", "index": 1}});
        let spec = json!({"x": 1, "l": [{"n": "a", "v": 7}]});
        copies(&[
            (json!({}), json!({}), "/metadata/name", json!("c")),
            (
                from("data.port"),
                to("spec.replicas"),
                "/spec/replicas",
                json!(8080),
            ),
            (from("spec.x"), to("spec.image"), "/spec/image", json!("1")),
            (
                from("spec.l.[n=a].v"),
                to("spec.replicas"),
                "/spec/replicas",
                json!(7),
            ),
            (
                from("spec.l.0.v"),
                to("spec.replicas"),
                "/spec/replicas",
                json!(7),
            ),
            (from("spec"), to("spec"), "/spec", spec),
            (part, json!({}), "/metadata/name", json!("b")),
            (from("data.port"), put, "/spec/image", json!("n:8080")),
        ]);
    }

    #[test]
    fn fields_are_found_or_made() {
        let made = |path: &str| json!({"fieldPaths": [path], "options": {"create": true}});
        let (annotation, variable) = ("/metadata/annotations/a.b~1c", "/spec/containers/1/env");
        let (one, two) = (
            "spec.containers.[name=one].env.[name=E].value",
            "spec.containers.[name=two].env.[name=F].value",
        );
        copies(&[
            (
                json!({}),
                to("metadata.annotations.a\\.b/c"),
                annotation,
                json!("c"),
            ),
            (
                json!({}),
                to("metadata.annotations.[a.b/c]"),
                annotation,
                json!("c"),
            ),
            (
                json!({}),
                to(one),
                "/spec/containers/0/env/0/value",
                json!("c"),
            ),
            (
                json!({}),
                to("spec.containers.*.name"),
                "/spec/containers/1/name",
                json!("c"),
            ),
            (
                json!({}),
                made(two),
                variable,
                json!([{"name": "F", "value": "c"}]),
            ),
            (json!({}), made("new.a.b"), "/new", json!({"a": {"b": "c"}})),
        ]);
    }

    #[test]
    fn targets_are_selected_and_rejected() {
        for (target, is_chosen) in [
            (json!({"reject": [{"name": "d"}]}), false),
            (json!({"reject": [{"name": "e"}]}), true),
            (
                json!({"select": {"labelSelector": "app in (x, y), !z"}}),
                true,
            ),
            (
                json!({"select": {"kind": "Deployment", "labelSelector": "app!=x"}}),
                false,
            ),
            (json!({"select": {"annotationSelector": "a.b/c=old"}}), true),
            (
                json!({"select": {"group": "apps", "version": "v1", "namespace": "default"}}),
                true,
            ),
            (
                json!({"select": {"kind": "Deployment", "namespace": "n"}}),
                false,
            ),
        ] {
            let want = if is_chosen { "c" } else { "d" };
            copies(&[(json!({}), target, "/metadata/name", json!(want))]);
        }
    }

    #[test]
    fn parts_are_put_before_and_behind() {
        for (index, want) in [(-1, "c:n:1"), (2, "n:1:c"), (9, "n:1:c")] {
            let target = json!({"fieldPaths": ["spec.image"], "options": {"delimiter": ":", "index": index}});
            let mut given = list(&[SOURCE, TARGET], config(&json!({}), &target));
            run(&mut given).unwrap();
            assert_eq!(given.items[1].object["spec"]["image"], want);
        }
    }

    #[test]
    fn a_field_that_is_not_there_fails_only_later_versions() {
        let both = json!({"fieldPaths": ["spec.none.[kind=K].name", "spec.image"]});
        let given = || list(&[SOURCE, TARGET], config(&json!({}), &both));
        fails(run, &mut given(), "unable to find field \"spec.none");
        let mut passed = given();
        unchanged_when_repeated(run_where_found, &mut passed);
        let mut want = given();
        want.items[1].object["spec"]["image"] = json!("c");
        assert_eq!(passed, want);
        let made = json!({"fieldPaths": ["spec.image.x"], "options": {"create": true}});
        let mut made = list(&[SOURCE, TARGET], config(&json!({}), &made));
        fails(run_where_found, &mut made, "unable to find or create");
    }

    #[test]
    fn what_is_wrong_fails() {
        let own = |replacements: Value| json!({"apiVersion": "fn.kpt.dev/v1alpha1", "kind": "ApplyReplacements", "replacements": replacements});
        let (none, image) = (json!({}), json!({"fieldPaths": ["spec.image"]}));
        for (config, why) in [
            (Value::Null, "FunctionConfig is missing"),
            (
                json!({"apiVersion": "v1", "kind": "X"}),
                "received functionConfig of kind X and apiVersion v1, only functionConfig of kind ApplyReplacements and apiVersion fn.kpt.dev/v1alpha1 is supported",
            ),
            (own(json!([{"targets": [image]}])), "must specify a source"),
            (
                own(json!([{"source": {"kind": "ConfigMap"}}])),
                "at least one target",
            ),
            (
                own(json!([{"source": {"kind": "ConfigMap"}, "targets": [{}]}])),
                "target must specify resources to select",
            ),
            (
                own(json!([{"source": {"kind": "X", "name": "y"}, "targets": [image]}])),
                "nothing selected by X.[noVer].[noGrp]/y.[noNs]",
            ),
            (
                own(json!([{"source": {"version": "v1"}, "targets": [image]}])),
                "multiple matches for selector [noKind].v1.[noGrp]/[noName].[noNs]",
            ),
            (
                config(&json!({"fieldPath": "data.none"}), &image),
                "fieldPath `data.none` is missing for replacement source ConfigMap.v1.[noGrp]/c.[noNs]",
            ),
            (
                config(
                    &json!({"fieldPath": "data", "options": {"delimiter": ":"}}),
                    &image,
                ),
                "delimiter option can only be used with scalar nodes",
            ),
            (
                config(&json!({"options": {"delimiter": ":", "index": 3}}), &image),
                "options.index 3 is out of bounds for value c",
            ),
            (
                config(&none, &json!({"fieldPaths": ["spec.none"]})),
                "unable to find field \"spec.none\" in replacement target",
            ),
            (
                config(
                    &none,
                    &json!({"fieldPaths": ["spec.image.x"], "options": {"create": true}}),
                ),
                "unable to find or create field \"spec.image.x\"",
            ),
            (
                config(&none, &json!({"options": {"index": "one"}})),
                "options.index one is no whole number",
            ),
            (
                config(&none, &json!({"select": {"labelSelector": "a in b"}})),
                "labelSelector \"a in b\" can't be understood",
            ),
        ] {
            fails(run, &mut list(&[SOURCE, TARGET], config), why);
        }
    }
}
