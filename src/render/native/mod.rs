//! Functions in this program, by the names that they have in the kpt functions catalogue.

mod apply_replacements;
mod apply_setters;
mod config;
mod create_setters;
mod depends_on;
mod document;
mod ensure_name_substring;
mod field;
mod name_references;
mod path;
mod path_pattern;
mod pattern;
mod put_pairs;
mod report;
mod resource;
mod scope;
mod search_replace;
mod set_annotations;
mod set_image;
mod set_labels;
mod set_namespace;
mod upsert_resource;

use super::Native;

/// Returns the function of this name; nothing for one that is not in this program.
#[must_use]
pub fn native(name: &str) -> Option<Native> {
    Some(match name {
        "apply-replacements" => apply_replacements::run,
        "apply-replacements-v0.1.1" => apply_replacements::run_where_found,
        "apply-setters" => apply_setters::run,
        "create-setters" => create_setters::run,
        "ensure-name-substring" => ensure_name_substring::run,
        "search-replace" => search_replace::run,
        "set-annotations" => set_annotations::run,
        "set-image" => set_image::run,
        "set-labels" => set_labels::run,
        "set-namespace" => set_namespace::run,
        "starlark" => super::starlark,
        "upsert-resource" => upsert_resource::run,
        _ => return None,
    })
}

#[cfg(test)]
mod samples;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::yaml;

    /// A document as people write them, with much that is to survive.
    const TEXT: &str = "# Copyright\n---\n# about the app\napiVersion: apps/v1\nkind: Deployment\nmetadata: # kpt-merge: n/app\n  name: app # kpt-set: ${app}\n  namespace: \"old\"\n\n  annotations:\n    # why\n    note: 'it''s' # here\nspec:\n  replicas: 4   # kpt-set: ${count}\n  template:\n    spec:\n      containers:\n        - name: web # kpt-set: ${app}-web\n          image: nginx:1.16 # kpt-set: nginx:${tag}\n          args: [a, \"b\"] # kpt-set: ${args}\n          command:\n            - sh\n            - -c\n            - |\n              # no comment\n              echo \"${x}\"\n# the end\n";

    #[test]
    fn unknown_names_have_no_function() {
        for name in ["", "starlarks", "set-labels:v0.2", "Set-Labels"] {
            assert!(native(name).is_none(), "{name}");
        }
    }

    /// Functions with a config of each that is in order, and has something to do.
    const CONFIGS: &[(&str, &str)] = &[
        ("set-labels", "data: {team: team-t}"),
        ("set-annotations", "data: {a: b}"),
        ("set-namespace", "data: {namespace: new}"),
        ("apply-setters", "data: {app: shop}"),
        ("set-image", "data: {name: nginx, newTag: '1.18'}"),
        (
            "search-replace",
            "data: {by-path: metadata.name, put-value: x}",
        ),
        ("ensure-name-substring", "data: {prepend: dev-}"),
        ("create-setters", "data: {team: old}"),
        ("upsert-resource", "metadata: {name: n}"),
        (
            "starlark",
            "data: {source: 'x = [n for n in range(100000)]'}",
        ),
        (
            "apply-replacements",
            "apiVersion: fn.kpt.dev/v1alpha1\nkind: ApplyReplacements\nreplacements:\n- source: {kind: Deployment}\n  targets: [{select: {kind: Deployment}, fieldPaths: [spec.x], options: {create: true}}]",
        ),
    ];

    #[test]
    fn no_function_works_on_for_nobody() {
        for (name, config) in CONFIGS {
            let config: Value = yaml::from_str(config).unwrap();
            let mut whole = json!({"apiVersion": "v1", "kind": "ConfigMap"});
            let members = config.as_object().unwrap().clone();
            whole.as_object_mut().unwrap().extend(members);
            let run = native(name).unwrap();
            let mut given = samples::list(&[TEXT], whole);
            run(&mut given.clone()).unwrap_or_else(|why| panic!("{name}: {why:?}"));
            given.audience.leave();
            let told = run(&mut given).expect_err(name);
            assert!(told.message.contains("cancelled"), "{name}: {told:?}");
        }
    }

    #[test]
    fn texts_and_objects_agree_after_every_function() {
        let mut given = samples::list(&[TEXT], Value::Null);
        for (name, data) in [
            ("set-labels", json!({"team": "team-t"})),
            ("set-namespace", json!({"namespace": "new"})),
            (
                "apply-setters",
                json!({"app": "shop", "count": "5", "tag": "1.17", "args": "- c\n- d\n"}),
            ),
            ("set-annotations", json!({"a": "b"})),
            ("set-image", json!({"name": "nginx", "newTag": "1.18"})),
            (
                "search-replace",
                json!({"by-path": "metadata.name", "put-value": "store", "put-comment": "kpt-set: ${app}"}),
            ),
            ("ensure-name-substring", json!({"prepend": "dev-"})),
            ("create-setters", json!({"five": "5", "team": "team-t"})),
        ] {
            given.config = Some(samples::config_map(&data));
            let run = native(name).unwrap();
            run(&mut given).unwrap();
            let item = &given.items[0];
            let text = yaml::rewrite(&item.text, std::slice::from_ref(&item.object));
            let text = text.unwrap_or_else(|error| panic!("{name}: {error}"));
            for kept in [
                "# Copyright\n",
                "# about the app\n",
                "metadata: # kpt-merge: n/app\n",
                "    # why\n    note: 'it''s' # here\n",
                "              # no comment\n              echo \"${x}\"\n",
                "# the end\n",
            ] {
                assert!(text.contains(kept), "{name}: {kept}{text}");
            }
        }
        let item = &given.items[0];
        let text = yaml::rewrite(&item.text, std::slice::from_ref(&item.object)).unwrap();
        for line in [
            "  name: dev-store # kpt-set: ${app}\n",
            "  replicas: 5 # kpt-set: ${five}\n",
            "image: nginx:1.18 # kpt-set: nginx:${tag}\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
