//! `ensure-name-substring`: a prefix or suffix on the names of all resources that have it not, and on what refers to these by name.

use serde_json::Value;

use super::{
    super::{Failure, Item, List},
    config,
    depends_on::{self, Reference},
    field::{self, ANY, Field, found},
    name_references::{self, Rename, Renames},
    report, resource, scope,
};
use crate::api::ResultItem;

const OWN: &str = "EnsureNameSubstring";

/// Kinds whose names mean something to others than this package.
const LEFT_ALONE: &[&str] = &[
    "APIService",
    "CustomResourceDefinition",
    "Kptfile",
    "Namespace",
];

/// What is wanted.
struct Wish {
    substring: String,
    is_behind: bool,
}

/// Puts the substring that the config names on all names.
pub(super) fn run(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    match ensure(list) {
        Ok(0) => Ok(vec![report::info(
            "all names have the substring. no value changed",
        )]),
        Ok(changed) => Ok(vec![report::info(format!("{changed} name(s) changed"))]),
        Err(why) => Err(report::failure(list, why)),
    }
}

fn ensure(list: &mut List) -> Result<usize, String> {
    let List {
        items,
        config,
        audience,
    } = list;
    let config = config.as_ref().ok_or_else(|| config::missing(OWN))?;
    let wish = Wish::of(config)?;
    let more = field::described(config, "additionalNameFields")?;
    let own = found(ANY, ANY, "metadata/name");
    let mut changed = 0;
    let mut renames = Renames::default();
    for item in items.iter_mut() {
        audience.check()?;
        if LEFT_ALONE.contains(&resource::kind(&item.object)) {
            continue;
        }
        let before = Reference::to(
            &item.object,
            scope::namespace(&item.object).unwrap_or_default(),
        );
        if wish.put(&own, &mut item.object)? > 0 {
            let new = resource::name(&item.object).to_owned();
            renames.add(Rename { before, new });
            changed += 1;
        }
        for field in &more {
            changed += wish.put(field, &mut item.object)?;
        }
    }
    for item in items {
        audience.check()?;
        follow(item, &renames);
    }
    Ok(changed)
}

/// Lets a resource refer to others by their new names.
fn follow(item: &mut Item, renames: &Renames) {
    name_references::follow(&mut item.object, renames);
    depends_on::change(&mut item.object, &mut |reference: &mut Reference| {
        let mut renames = renames.of(&reference.name);
        let rename = renames.find(|rename| rename.before == *reference);
        if let Some(rename) = rename {
            reference.name.clone_from(&rename.new);
        }
    });
}

impl Wish {
    fn of(config: &Value) -> Result<Self, String> {
        let (substring, mode) = if config::is_config_map(config) {
            let pairs = config::pairs(config.get("data"));
            let [(mode, substring)] = pairs.as_slice() else {
                return Err(
                    "`data` must have one of `prepend` and `append`, and nothing else".into(),
                );
            };
            (substring.clone(), mode.clone())
        } else if resource::kind(config) == OWN {
            let text = |key| config::text_at(config, key);
            (text("substring"), text("editMode"))
        } else {
            return Err(config::unknown(config, OWN));
        };
        if substring.is_empty() {
            return Err("the substring should not be empty".into());
        }
        let is_behind = match mode.as_str() {
            "append" => true,
            "" | "prepend" => false,
            other => return Err(format!("{other:?} is neither `prepend` nor `append`")),
        };
        Ok(Self {
            substring,
            is_behind,
        })
    }

    /// Puts the substring on a field of a resource; returns how many values changed.
    fn put(&self, field: &Field<'_>, object: &mut Value) -> Result<usize, String> {
        let mut changed = 0;
        field.change(object, &mut |value| {
            let old = config::text(value);
            let is_name = value.is_string() || value.is_null() && field.create;
            if is_name && !old.contains(&self.substring) {
                *value = self.with(&old).into();
                changed += 1;
            }
            Ok(())
        })?;
        Ok(changed)
    }

    fn with(&self, name: &str) -> String {
        if self.is_behind {
            return format!("{name}{}", self.substring);
        }
        format!("{}{name}", self.substring)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::samples::{config_map, fails, list, unchanged_when_repeated},
        *,
    };

    #[test]
    fn names_get_the_substring_once() {
        for (data, kind, name, want) in [
            (json!({"prepend": "dev-"}), "Pod", "a", "dev-a"),
            (json!({"append": "-dev"}), "Pod", "a", "a-dev"),
            (json!({"prepend": "dev-"}), "Pod", "my-dev-a", "my-dev-a"),
            (json!({"prepend": "dev-"}), "Namespace", "a", "a"),
            (json!({"prepend": "dev-"}), "Kptfile", "a", "a"),
        ] {
            let text = format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n");
            let mut given = list(&[&text, "kind: Nameless\n"], config_map(&data));
            unchanged_when_repeated(run, &mut given);
            assert_eq!(resource::name(&given.items[0].object), want);
            assert_eq!(given.items[1].object, json!({"kind": "Nameless"}));
        }
    }

    #[test]
    fn references_follow() {
        let config = json!({"apiVersion": "fn.kpt.dev/v1alpha1", "kind": "EnsureNameSubstring", "substring": "x-",
            "additionalNameFields": [{"kind": "Own", "path": "spec/name"}]});
        let mut given = list(
            &[
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: n}\n",
                "apiVersion: my.io/v1\nkind: Own\nmetadata: {name: o, namespace: n, annotations: {config.kubernetes.io/depends-on: '/namespaces/n/ConfigMap/c,/namespaces/m/ConfigMap/c'}}\nspec: {name: p}\n",
                "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n}\nspec: {volumes: [{configMap: {name: c}}, {configMap: {name: other}}]}\n",
                "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: m}\nspec: {volumes: [{configMap: {name: c}}]}\n",
            ],
            config,
        );
        let told = unchanged_when_repeated(run, &mut given);
        assert_eq!(told[0].message, "5 name(s) changed");
        let [_, own, pod, elsewhere] = [0, 1, 2, 3].map(|at| &given.items[at].object);
        assert_eq!(own["spec"]["name"], "x-p");
        assert_eq!(
            resource::annotation(own, "config.kubernetes.io/depends-on"),
            "/namespaces/n/ConfigMap/x-c,/namespaces/m/ConfigMap/c"
        );
        let volumes = json!([{"configMap": {"name": "x-c"}}, {"configMap": {"name": "other"}}]);
        assert_eq!(pod["spec"]["volumes"], volumes);
        assert_eq!(elsewhere["spec"]["volumes"][0]["configMap"]["name"], "c");
    }

    #[test]
    fn what_is_wrong_fails() {
        for (config, why) in [
            (Value::Null, "FunctionConfig is missing"),
            (json!({"kind": "X"}), "unknown functionConfig Kind=X"),
            (config_map(&json!({})), "`data` must have one of"),
            (
                config_map(&json!({"append": "a", "prepend": "b"})),
                "and nothing else",
            ),
            (config_map(&json!({"append": ""})), "should not be empty"),
            (config_map(&json!({"insert": "a"})), "\"insert\" is neither"),
        ] {
            fails(run, &mut list(&["kind: A\n"], config), why);
        }
    }
}
