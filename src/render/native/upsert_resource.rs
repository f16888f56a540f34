//! `upsert-resource`: the resource that is the config, or the items of one of kind `List`, put in the place of the one of the same group,
//! kind, namespace and name, or added.

use std::sync::Arc;

use serde_json::Value;

use super::{
    super::{Failure, Item, List, Place},
    config, report, resource,
};
use crate::api::ResultItem;

/// Puts the resources of the config into the list.
pub(super) fn run(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    let wanted = match wanted(list.config.as_ref()) {
        Ok(wanted) => wanted,
        Err(why) => return Err(report::failure(list, why)),
    };
    let mut reports = Vec::new();
    for object in wanted {
        list.audience.check()?;
        reports.push(upsert(list, object));
    }
    Ok(reports)
}

fn wanted(config: Option<&Value>) -> Result<Vec<Value>, String> {
    let config = config.ok_or("FunctionConfig is missing. Expect the resource to upsert")?;
    let items = config.get("items").and_then(Value::as_array);
    let many = items.filter(|_| resource::is(config, "v1", "List"));
    let mut wanted = many.cloned().unwrap_or_else(|| vec![config.clone()]);
    for object in &mut wanted {
        if resource::kind(object).is_empty() || resource::name(object).is_empty() {
            let kind = config::text_at(object, "kind");
            return Err(format!(
                "the resource to upsert of kind {kind:?} must have `kind` and `metadata.name`"
            ));
        }
        resource::publish(object);
    }
    Ok(wanted)
}

fn upsert(list: &mut List, object: Value) -> ResultItem {
    let List { items, config, .. } = list;
    // The config itself may be in the list; what is there for the function only is not what it is to replace.
    let is_config =
        |item: &Item| resource::is_local(&item.object) && config.as_ref() == Some(&item.object);
    let mut same = items.iter_mut();
    let same = same.find(|item| !is_config(item) && identity(&item.object) == identity(&object));
    let (item, told) = match same {
        Some(item) if item.object == object => (item, "resource is up-to-date"),
        Some(item) => {
            item.object = object;
            (item, "resource replaced")
        }
        None => {
            items.push(Item {
                object,
                place: Place::default(),
                text: Arc::default(),
            });
            let at = items.len() - 1;
            (&mut items[at], "resource added")
        }
    };
    report::about(item, report::info(told))
}

/// Returns group, kind, namespace and name.
fn identity(object: &Value) -> [&str; 4] {
    let (group, _) = resource::group_version(object);
    [
        group,
        resource::kind(object),
        resource::namespace(object),
        resource::name(object),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::samples::{fails, list, unchanged_when_repeated},
        *,
    };

    const SERVICE: &str =
        "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: n}\nspec: {a: b}\n";

    fn service(name: &str, namespace: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": {"new": 1}})
    }

    #[test]
    fn resources_are_replaced_or_added() {
        for (config, told, len) in [
            (service("s", "n"), "resource replaced", 1),
            (service("t", "n"), "resource added", 2),
            (service("s", "m"), "resource added", 2),
            (
                json!({"apiVersion": "v1", "kind": "List", "items": [service("s", "n")]}),
                "resource replaced",
                1,
            ),
        ] {
            let object = config.pointer("/items/0").unwrap_or(&config).clone();
            let mut given = list(&[SERVICE], config);
            let reports = unchanged_when_repeated(run, &mut given);
            assert_eq!(
                (reports[0].message.as_str(), given.items.len()),
                (told, len)
            );
            let last = given.items.last().unwrap();
            assert_eq!(last.object, object);
            let path = if len == 1 { "file0.yaml" } else { "" };
            assert_eq!(last.place.path, path);
        }
    }

    #[test]
    fn a_config_in_the_package_stays_and_its_resource_is_no_config() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {config.kubernetes.io/local-config: 'true'}}\n";
        let config = list(&[text], Value::Null).items[0].object.clone();
        let mut given = list(&[text, SERVICE], config);
        unchanged_when_repeated(run, &mut given);
        assert_eq!(given.items.len(), 3);
        assert_eq!(&*given.items[0].text, text);
        assert_eq!(
            given.items[2].object,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}})
        );
    }

    #[test]
    fn what_is_wrong_fails() {
        fails(
            run,
            &mut list(&[SERVICE], Value::Null),
            "FunctionConfig is missing",
        );
        fails(
            run,
            &mut list(&[SERVICE], json!({"kind": "A"})),
            "must have `kind` and `metadata.name`",
        );
    }
}
