//! Ways to values in a resource. In come objects, out come ways, pointers, and paths as people read them.

use serde_json::Value;

/// A step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To the member of a map.
    Key(String),
    /// To the item of a list.
    At(usize),
}

/// Returns the ways to all values that are neither map nor list, in their order.
pub(super) fn leaves(object: &Value) -> Vec<Vec<Step>> {
    let mut found = Vec::new();
    collect(object, &mut Vec::new(), &mut |way, value| {
        if !value.is_object() && !value.is_array() {
            found.push(way.to_vec());
        }
    });
    found
}

/// Returns the ways to all lists, in their order.
pub(super) fn lists(object: &Value) -> Vec<Vec<Step>> {
    let mut found = Vec::new();
    collect(object, &mut Vec::new(), &mut |way, value| {
        if value.is_array() {
            found.push(way.to_vec());
        }
    });
    found
}

fn collect(value: &Value, way: &mut Vec<Step>, visit: &mut dyn FnMut(&[Step], &Value)) {
    visit(way, value);
    let steps: Vec<(Step, &Value)> = match value {
        Value::Object(map) => {
            let members = map.iter();
            let members = members.map(|(key, inner)| (Step::Key(key.clone()), inner));
            members.collect()
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.map(|(at, inner)| (Step::At(at), inner)).collect()
        }
        _ => return,
    };
    for (step, inner) in steps {
        way.push(step);
        collect(inner, way, visit);
        way.pop();
    }
}

/// Returns the JSON pointer of a way.
pub(super) fn pointer(way: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) => ["/", &key.replace('~', "~0").replace('/', "~1")].concat(),
        Step::At(at) => ["/", &at.to_string()].concat(),
    };
    way.iter().map(step).collect()
}

/// Returns the way that a JSON pointer names, to a value or a list; nothing if it leads to none.
pub(super) fn way(object: &Value, pointer: &str) -> Option<Vec<Step>> {
    let mut value = object;
    let steps = pointer.strip_prefix('/')?.split('/').map(|step| {
        let key = step.replace("~1", "/").replace("~0", "~");
        let step = match value {
            Value::Object(map) => {
                value = map.get(&key)?;
                Step::Key(key)
            }
            Value::Array(items) => {
                let at = key.parse().ok()?;
                value = items.get(at)?;
                Step::At(at)
            }
            _ => return None,
        };
        Some(step)
    });
    let way: Option<Vec<Step>> = steps.collect();
    way.filter(|_| !value.is_object())
}

/// Returns a way as people read it, such as `spec.ports[0].name`.
pub(super) fn dotted(way: &[Step]) -> String {
    let mut out = String::new();
    for step in way {
        match step {
            Step::Key(key) if out.is_empty() => out.push_str(key),
            Step::Key(key) => out.extend([".", key]),
            Step::At(at) => out.extend(["[", &at.to_string(), "]"]),
        }
    }
    out
}

/// Returns whether what is at a pointer has to be a text, whatever it looks like: a label, an annotation, or a datum of a `ConfigMap`.
pub(super) fn is_text(object: &Value, pointer: &str) -> bool {
    let is_map = super::resource::is(object, "v1", "ConfigMap");
    let below = |parent: &str| pointer.starts_with(parent);
    below("/metadata/labels/") || below("/metadata/annotations/") || is_map && below("/data/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ways_are_found_and_told() {
        let object = json!({"a": {"b/c": [1, {"d": null}, []]}, "e": {}});
        let ways = leaves(&object);
        let told: Vec<_> = ways.iter().map(|way| (pointer(way), dotted(way))).collect();
        let want = [("/a/b~1c/0", "a.b/c[0]"), ("/a/b~1c/1/d", "a.b/c[1].d")];
        assert_eq!(
            told,
            want.map(|(pointer, path)| (pointer.into(), path.into()))
        );
        for way in ways.into_iter().chain(lists(&object)) {
            assert_eq!(super::way(&object, &pointer(&way)), Some(way));
        }
        for none in ["", "/e", "/a/b", "/a/b~1c/9", "/a/b~1c/x", "/a/b~1c/0/x"] {
            assert_eq!(way(&object, none), None, "{none}");
        }
        let ways = lists(&object);
        let told: Vec<_> = ways.iter().map(|way| dotted(way)).collect();
        assert_eq!(told, ["a.b/c", "a.b/c[2]"]);
    }
}
