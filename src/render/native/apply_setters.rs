//! `apply-setters`: new values where a comment says of which setters a value is made, such as `tag: "1" # kpt-set: ${tag}`.

use serde_json::{Value, json};

use super::{
    super::{Failure, Item, List},
    config,
    document::Document,
    path,
    path::Step,
    pattern::{Given, Pattern},
    report, resource,
};
use crate::{
    api::{ResultField, ResultItem},
    yaml::{self, Commented, Scalar},
};

/// How the comment of a setter begins.
pub(super) const MARK: &str = "# kpt-set: ";

/// Sets the values of the setters that the config names.
pub(super) fn run(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    let given = given(list.config.as_ref()).map_err(|why| report::failure(list, told(&why)))?;
    let mut reports = Vec::new();
    for item in &mut list.items {
        list.audience.check()?;
        match set(item, &given) {
            Ok(done) => reports.extend(done),
            Err(why) => return Err(failure(item, &why, reports)),
        }
    }
    Ok(report::or_else(reports, "no matches for input setter(s)"))
}

fn told(why: &str) -> String {
    format!("failed to apply setters: {why}")
}

fn failure(item: &Item, why: &str, mut results: Vec<ResultItem>) -> Failure {
    let message = told(&format!("{}: {why}", resource::told(item)));
    results.push(report::about(item, report::error(&*message)));
    Failure {
        message,
        results,
        ..Failure::default()
    }
}

fn given(config: Option<&Value>) -> Result<Given, String> {
    let pairs = config::data(config)?;
    if pairs.is_empty() {
        return Err("input setters list cannot be empty".into());
    }
    Ok(pairs.into_iter().collect())
}

/// Sets the values in one resource; returns a report of each.
fn set(item: &mut Item, given: &Given) -> Result<Vec<ResultItem>, String> {
    if !item.text.contains(MARK) {
        return Ok(Vec::new());
    }
    let about = report::about(item, ResultItem::default());
    let mut document = Document::taken(item);
    let done = set_in(&mut document, given);
    let reports = done.map(|done| {
        let reports = done.iter().map(|(pointer, value)| {
            let way = path::way(document.object(), pointer);
            told_of(&about, way.as_deref(), value)
        });
        reports.collect()
    });
    document.give(item);
    reports
}

/// Sets the values in a document; returns their pointers, and what they say now.
fn set_in(document: &mut Document, given: &Given) -> Result<Vec<(String, String)>, String> {
    let asked = |comment: &str| {
        let pattern = comment.strip_prefix(MARK);
        pattern.is_some_and(|pattern| Pattern::of(pattern).is_given(given))
    };
    let mut comments = document.commented();
    comments.retain(|it| asked(&it.comment));
    // Lists come last: what is in them goes with them.
    let object = document.object();
    let is_list = |it: &Commented| object.pointer(&it.at).is_some_and(Value::is_array);
    let (lists, scalars): (Vec<_>, Vec<_>) = comments.into_iter().partition(is_list);
    let mut puts = Vec::new();
    for commented in scalars {
        puts.extend(scalar(object, commented, given)?);
    }
    let mut done: Vec<_> = puts
        .iter()
        .map(|put| (put.at.clone(), put.scalar.clone()))
        .collect();
    document.set_scalars(&puts);
    for Commented { at, comment, .. } in lists {
        let value = set_list(document, &at, pattern(&comment), given)?;
        done.extend(value.map(|value| (at, value)));
    }
    Ok(done)
}

fn pattern(comment: &str) -> &str {
    comment.strip_prefix(MARK).unwrap_or_default().trim()
}

/// Returns what a value becomes, if it is no map and changes.
fn scalar(object: &Value, commented: Commented, given: &Given) -> Result<Option<Scalar>, String> {
    let Commented { at, comment, value } = commented;
    let Some(current) = object.pointer(&at).filter(|value| !value.is_object()) else {
        return Ok(None);
    };
    let text = config::text(current);
    let scalar = Pattern::of(pattern(&comment)).value(given, &text);
    let scalar = scalar.map_err(|missing| unresolved(&missing))?;
    let is_text = current.is_string() && path::is_text(object, &at);
    let put = Scalar {
        at,
        scalar,
        is_text,
        place: value,
    };
    Ok(Some(put).filter(|put| put.scalar != text))
}

fn unresolved(missing: &[&str]) -> String {
    let missing: Vec<String> = missing.iter().map(|name| format!("${{{name}}}")).collect();
    format!(
        "values for setters [{}] must be provided",
        missing.join(" ")
    )
}

fn set_list(
    document: &mut Document,
    pointer: &str,
    pattern: &str,
    given: &Given,
) -> Result<Option<String>, String> {
    let name = Pattern::of(pattern).single();
    let name = name.ok_or_else(|| format!("invalid setter pattern for array node: {pattern:?}"))?;
    let value = given.get(name).map(String::as_str).unwrap_or_default();
    let list = match value.trim() {
        "" => json!([]),
        _ => yaml::from_str(value).unwrap_or_default(),
    };
    if !list.is_array() {
        return Err(format!(
            "input to array setter must be an array of values, but found {value:?}"
        ));
    }
    let changed = document.set(pointer, list);
    Ok(changed.then(|| value.trim().into()))
}

fn told_of(about: &ResultItem, way: Option<&[Step]>, value: &str) -> ResultItem {
    let said = report::info(format!("set field value to {value:?}"));
    ResultItem {
        field: Some(ResultField {
            path: way.map(path::dotted).unwrap_or_default(),
            ..ResultField::default()
        }),
        resource_ref: about.resource_ref.clone(),
        file: about.file.clone(),
        ..said
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{config_map, fails, list, unchanged_when_repeated},
        *,
    };

    fn made_of(text: &str, data: &Value) -> (String, Vec<String>) {
        let mut given = list(&[text], config_map(data));
        let told = unchanged_when_repeated(run, &mut given);
        let item = &given.items[0];
        assert_eq!(yaml::from_str::<Value>(&item.text).unwrap(), item.object);
        let told = told.iter().map(|told| match &told.field {
            Some(field) => format!("{}: {}", field.path, told.message),
            None => told.message.clone(),
        });
        (item.text.to_string(), told.collect())
    }

    #[test]
    fn values_are_set_and_all_else_keeps_its_bytes() {
        for (before, data, after) in [
            (
                "replicas: 4 # kpt-set: ${n}\n",
                json!({"n": "3"}),
                "replicas: 3 # kpt-set: ${n}\n",
            ),
            (
                "# top\na:\n- image: \"nginx:1.16.1\" # kpt-set: nginx:${tag}\n\n- b: 1   # other\n",
                json!({"tag": "1.2", "x": "y"}),
                "# top\na:\n- image: \"nginx:1.2\" # kpt-set: nginx:${tag}\n\n- b: 1   # other\n",
            ),
            (
                "image: nginx:1 # kpt-set: ${image}:${tag}\n",
                json!({"tag": "2"}),
                "image: nginx:2 # kpt-set: ${image}:${tag}\n",
            ),
            (
                "a: b # kpt-set: ${a}\n",
                json!({"a": ""}),
                "a: \"\" # kpt-set: ${a}\n",
            ),
            (
                "a: '4' # kpt-set: ${a}\n",
                json!({"a": "5"}),
                "a: '5' # kpt-set: ${a}\n",
            ),
            (
                "a: # kpt-set: ${a}\nb: 1\n",
                json!({"a": "x"}),
                "a: x # kpt-set: ${a}\nb: 1\n",
            ),
            (
                "a: x # kpt-set: ${a}\n",
                json!({"a": "true"}),
                "a: true # kpt-set: ${a}\n",
            ),
            (
                "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: x # kpt-set: ${a}\n",
                json!({"a": "1"}),
                "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: \"1\" # kpt-set: ${a}\n",
            ),
            (
                "e: # kpt-set: ${env}\n  - dev\n  - stage\nb: 1\n",
                json!({"env": "- prod\n- dev\n"}),
                "e: # kpt-set: ${env}\n  - prod\n  - dev\nb: 1\n",
            ),
            (
                "e: # kpt-set: ${env}\n- dev\n- stage\n",
                json!({"env": "[a]"}),
                "e: # kpt-set: ${env}\n- a\n",
            ),
        ] {
            let (text, told) = made_of(before, &data);
            assert_eq!(text, after);
            assert!(told[0].contains(": set field value to \""), "{told:?}");
        }
        let (_, told) = made_of("s:\n- a\n- b: 1 # kpt-set: ${x}\n", &json!({"x": "2"}));
        assert_eq!(told, ["s[1].b: set field value to \"2\""]);
    }

    #[test]
    fn lists_are_emptied_and_filled() {
        for (before, value, after) in [
            ("e: # kpt-set: ${env}\n- dev\nb: 1\n", "", json!([])),
            ("e: [dev] # kpt-set: ${env}\nb: 1\n", "", json!([])),
            (
                "e: [] # kpt-set: ${env}\nb: 1\n",
                "- a\n- b",
                json!(["a", "b"]),
            ),
            (
                "e: [a] # kpt-set: ${env}\nb: 1\n",
                "[c, d]",
                json!(["c", "d"]),
            ),
        ] {
            let (text, _) = made_of(before, &json!({"env": value}));
            let read: Value = yaml::from_str(&text).unwrap();
            assert_eq!(read, json!({"e": after, "b": 1}), "{text}");
            let comments = yaml::line_comments(&text);
            assert_eq!(
                comments,
                [("/e".to_string(), "# kpt-set: ${env}".to_string())],
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_asked_for_stays() {
        for text in [
            "a: b # kpt-set: ${other}\n",
            "a: b #kpt-set: ${a}\n",
            "a: b # kpt-set: a\n",
            "# kpt-set: ${a}\na: b\n",
            "m: # kpt-set: ${a}\n  k: v\n",
            "a: v # kpt-set: ${a}\n",
            "not: one # about ${a}\n",
        ] {
            let (after, told) = made_of(text, &json!({"a": "v"}));
            assert_eq!(
                (after.as_str(), told),
                (text, vec!["no matches for input setter(s)".to_owned()])
            );
        }
    }

    #[test]
    fn what_other_functions_changed_is_kept() {
        let mut given = list(
            &["a: b # kpt-set: ${a}\nm: {}\n"],
            config_map(&json!({"a": "c"})),
        );
        given.items[0].object["m"]["n"] = json!("new");
        run(&mut given).unwrap();
        assert_eq!(given.items[0].object, json!({"a": "c", "m": {"n": "new"}}));
        assert!(given.items[0].text.contains("a: c # kpt-set: ${a}\n"));
    }

    #[test]
    fn what_is_wrong_fails() {
        for (text, config, why) in [
            (
                "a: b\n",
                Value::Null,
                "failed to apply setters: FunctionConfig is missing",
            ),
            (
                "a: b\n",
                config_map(&json!({})),
                "failed to apply setters: input setters list cannot be empty",
            ),
            (
                "kind: K\na: b # kpt-set: ${a}-${b}-${c}\n",
                config_map(&json!({"a": "x"})),
                "values for setters [${b} ${c}] must be provided",
            ),
            (
                "a: # kpt-set: x-${a}\n- b\n",
                config_map(&json!({"a": "x"})),
                "invalid setter pattern for array node: \"x-${a}\"",
            ),
            (
                "a: # kpt-set: ${a}\n- b\n",
                config_map(&json!({"a": "x"})),
                "input to array setter must be an array of values, but found \"x\"",
            ),
        ] {
            fails(run, &mut list(&[text], config), why);
        }
    }
}
