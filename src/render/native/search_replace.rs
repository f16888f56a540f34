//! `search-replace`: values found by what they say, where they are and in which file, given other values or comments.

use regex::{Captures, Regex};
use serde_json::{Value, json};

use super::{
    super::{Failure, Item, List},
    config,
    document::Document,
    path::{self, Step},
    path_pattern::{PathPattern, file_pattern},
    report,
};
use crate::{
    api::{ResultField, ResultItem},
    yaml::Scalar,
};

/// What is looked for, and what is done with it. What is not given is any, or not done.
struct Wish {
    value: Option<String>,
    regex: Option<Regex>,
    path: Option<PathPattern>,
    file: Option<Regex>,
    put_value: Option<String>,
    put_comment: Option<String>,
}

/// Finds values, and changes them as the config says.
pub(super) fn run(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    let wish = match Wish::of(list.config.as_ref()) {
        Ok(wish) => wish,
        Err(why) => return Err(report::failure(list, why)),
    };
    let List {
        items,
        config,
        audience,
    } = list;
    let mut reports = Vec::new();
    for item in items {
        audience.check()?;
        // What says what to look for is not what is looked for.
        if config.as_ref() != Some(&item.object) && wish.is_for_file(&item.place.path) {
            wish.fulfil(item, &mut reports);
        }
    }
    Ok(report::or_else(reports, "no matches"))
}

impl Wish {
    fn of(config: Option<&Value>) -> Result<Self, String> {
        let mut wish = Self {
            value: None,
            regex: None,
            path: None,
            file: None,
            put_value: None,
            put_comment: None,
        };
        for (key, value) in config::data(config)? {
            wish.take(&key, value)?;
        }
        let is_any = wish.value.is_none() && wish.regex.is_none();
        if is_any && wish.path.is_none() && wish.file.is_none() {
            return Err(
                "one of `by-value`, `by-value-regex`, `by-path` and `by-file-path` must be given"
                    .into(),
            );
        }
        Ok(wish)
    }

    fn take(&mut self, key: &str, value: String) -> Result<(), String> {
        let is_given = !value.is_empty();
        let regex = |text: &str| {
            let regex = Regex::new(text);
            regex.map_err(|error| format!("`{key}` can't be understood: {error}"))
        };
        match key {
            "by-value" => self.value = is_given.then_some(value),
            "by-value-regex" if is_given => self.regex = Some(regex(&format!("^(?:{value})$"))?),
            "by-path" => self.path = is_given.then(|| PathPattern::of(&value)),
            "by-file-path" if is_given => self.file = Some(regex(&file_pattern(&value))?),
            "put-value" => self.put_value = is_given.then_some(value),
            "put-comment" => self.put_comment = is_given.then_some(value),
            "by-value-regex" | "by-file-path" => {}
            _ => return Err(format!("`{key}` is not known to search-replace")),
        }
        Ok(())
    }

    fn is_for_file(&self, path: &str) -> bool {
        self.file.as_ref().is_none_or(|file| file.is_match(path))
    }

    /// Changes what is looked for in one resource.
    fn fulfil(&self, item: &mut Item, reports: &mut Vec<ResultItem>) {
        let mut ways = path::leaves(&item.object);
        ways.retain(|way| self.is_match(&item.object, way));
        let missing = self.missing(&item.object);
        if ways.is_empty() && missing.is_none() {
            return;
        }
        let mut document = Document::of(item);
        let (mut scalars, mut comments) = (Vec::new(), Vec::new());
        for way in &ways {
            let value = config::text(value_at(&item.object, way));
            let scalar = self.scalar(&item.object, way);
            reports.push(match &scalar {
                Some(new) => mutated(item, way, &new.scalar),
                None => told(item, way, format!("Matched field value {value:?}")),
            });
            scalars.extend(scalar);
            comments.extend(self.comment(path::pointer(way), &value));
        }
        document.set_scalars(&scalars);
        if let Some((way, value)) = missing {
            document.change(|object| make(object, &way, value));
            reports.push(mutated(item, &way, value));
            comments.extend(self.comment(path::pointer(&way), value));
        }
        document.comment(&comments);
        document.give(item);
    }

    fn is_match(&self, object: &Value, way: &[Step]) -> bool {
        let text = config::text(value_at(object, way));
        self.value.as_ref().is_none_or(|asked| *asked == text)
            && self
                .regex
                .as_ref()
                .is_none_or(|asked| asked.is_match(&text))
            && self.path.as_ref().is_none_or(|asked| asked.fits(way))
    }

    /// Returns a field to make, and its value: one that is named by its path alone and is not there.
    fn missing(&self, object: &Value) -> Option<(Vec<Step>, &str)> {
        if self.value.is_some() || self.regex.is_some() {
            return None;
        }
        let way = self.path.as_ref()?.plain()?;
        let value = self.put_value.as_deref()?;
        is_missing(object, &way).then_some((way, value))
    }

    /// Returns what a value becomes, if it shall be another.
    fn scalar(&self, object: &Value, way: &[Step]) -> Option<Scalar> {
        let put = self.put_value.as_ref()?;
        let (old, at) = (value_at(object, way), path::pointer(way));
        Some(Scalar {
            scalar: self.filled(put, &config::text(old)),
            is_text: old.is_string() && path::is_text(object, &at),
            at,
            place: None,
        })
    }

    /// Returns the comment of a value, if it shall have one.
    fn comment(&self, pointer: String, old: &str) -> Option<(String, String)> {
        let put = self.put_comment.as_ref()?;
        let comment = self.filled(put, old).replace(['\n', '\r'], " ");
        Some((pointer, format!("# {comment}")))
    }

    /// Returns a text with what the groups of the expression found in the old value.
    fn filled(&self, text: &str, old: &str) -> String {
        let captures = self.regex.as_ref().and_then(|regex| regex.captures(old));
        captures.map_or_else(|| text.into(), |captures| fill(text, &captures))
    }
}

fn fill(text: &str, captures: &Captures) -> String {
    let groups = captures.iter().enumerate().skip(1);
    groups.fold(text.to_owned(), |text, (at, group)| {
        let found = group.map(|group| group.as_str()).unwrap_or_default();
        text.replace(&format!("${{{at}}}"), found)
    })
}

fn value_at<'a>(object: &'a Value, way: &[Step]) -> &'a Value {
    object.pointer(&path::pointer(way)).unwrap_or(&Value::Null)
}

fn mutated(item: &Item, way: &[Step], value: &str) -> ResultItem {
    told(item, way, format!("Mutated field value to {value:?}"))
}

/// Returns whether a field is not there and can be made.
fn is_missing(object: &Value, way: &[Step]) -> bool {
    let mut value = object;
    for step in way {
        let (Step::Key(key), Value::Object(map)) = (step, value) else {
            return false;
        };
        match map.get(key) {
            None => return true,
            Some(inner) => value = inner,
        }
    }
    false
}

fn make(object: &mut Value, way: &[Step], value: &str) {
    let (mut inner, pointer) = (object, path::pointer(way));
    let is_text = path::is_text(inner, &pointer);
    for step in way {
        let Step::Key(key) = step else { return };
        if inner.is_null() {
            *inner = json!({});
        }
        let Value::Object(map) = inner else { return };
        inner = map.entry(key.as_str()).or_insert(Value::Null);
    }
    *inner = super::document::plain(value, is_text);
}

fn told(item: &Item, way: &[Step], message: String) -> ResultItem {
    let mut told = report::about(item, report::info(message));
    told.field = Some(ResultField {
        path: path::dotted(way),
        ..ResultField::default()
    });
    told
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{config_map, fails, list},
        *,
    };

    const TEXT: &str = "# top\nkind: K\nmetadata:\n  name: dep-a # n\n  labels: {app: dep-b}\nspec:\n  port: 80\n  list:\n  - port: 80\n    name: x\n  - y: \"80\"\n";

    fn after(data: &Value) -> (String, Vec<String>) {
        let mut given = list(&[TEXT], config_map(data));
        let told = run(&mut given).unwrap();
        let item = &given.items[0];
        let read: Value = crate::yaml::from_str(&item.text).unwrap();
        assert_eq!(read, item.object);
        let told = told.iter().map(|told| match &told.field {
            Some(field) => format!("{}: {}", field.path, told.message),
            None => told.message.clone(),
        });
        (item.text.to_string(), told.collect())
    }

    #[test]
    fn values_and_comments_are_put() {
        for (data, changes) in [
            (
                json!({"by-path": "spec.**.port", "put-value": "81"}),
                vec![
                    ("  port: 80\n  list", "  port: 81\n  list"),
                    ("- port: 80", "- port: 81"),
                ],
            ),
            (
                json!({"by-value": "80", "by-path": "spec.list[*].*", "put-value": "81"}),
                vec![("- port: 80", "- port: 81"), ("\"80\"", "\"81\"")],
            ),
            (
                json!({"by-path": "spec.list[1].y", "put-comment": "kpt-set: ${y}"}),
                vec![("\"80\"", "\"80\" # kpt-set: ${y}")],
            ),
            (
                json!({"by-value-regex": "dep-(.*)", "by-path": "metadata.name", "put-value": "my-${1}", "put-comment": "kpt-set: my-${1}-${x}"}),
                vec![("dep-a # n", "my-a # kpt-set: my-a-${x}")],
            ),
            (
                json!({"by-path": "metadata.namespace", "put-value": "new"}),
                vec![(
                    "labels: {app: dep-b}\n",
                    "labels: {app: dep-b}\n  namespace: new\n",
                )],
            ),
            (
                json!({"by-value": "x", "put-value": "5", "by-file-path": "**/file?.yaml"}),
                vec![("name: x", "name: 5")],
            ),
            (
                json!({"by-value": "dep-b", "put-value": "5"}),
                vec![("{app: dep-b}", "{app: \"5\"}")],
            ),
        ] {
            let (text, told) = after(&data);
            let want = changes.iter().fold(TEXT.to_owned(), |text, (from, to)| {
                text.replacen(from, to, 1)
            });
            assert_eq!(text, want, "{data}");
            assert_eq!(told.len(), changes.len(), "{told:?}");
        }
    }

    #[test]
    fn what_is_found_is_told_and_what_is_not_stays() {
        let (text, told) = after(&json!({"by-value-regex": "dep"}));
        assert_eq!((text.as_str(), told), (TEXT, vec!["no matches".to_owned()]));
        let (text, told) = after(&json!({"by-value-regex": "dep-.*"}));
        assert_eq!(text, TEXT);
        assert_eq!(
            told,
            [
                "metadata.name: Matched field value \"dep-a\"",
                "metadata.labels.app: Matched field value \"dep-b\""
            ]
        );
        for data in [
            json!({"by-value": "x", "put-value": "5", "by-file-path": "dir/*.yaml"}),
            json!({"by-value": "none", "by-path": "metadata.namespace", "put-value": "new"}),
            json!({"by-path": "metadata.*.none", "put-value": "new"}),
            json!({"by-path": "kind.none", "put-value": "new"}),
            json!({"by-path": "metadata", "put-value": "new"}),
        ] {
            assert_eq!(after(&data).0, TEXT, "{data}");
        }
    }

    #[test]
    fn the_config_itself_is_left_alone() {
        let text = "apiVersion: v1\nkind: ConfigMap\ndata: {by-value: a, put-value: b}\n";
        let mut given = list(&[text, "x: a\n"], Value::Null);
        given.config = Some(given.items[0].object.clone());
        run(&mut given).unwrap();
        assert_eq!(
            (&*given.items[0].text, &*given.items[1].text),
            (text, "x: b\n")
        );
    }

    #[test]
    fn what_is_wrong_fails() {
        for (config, why) in [
            (Value::Null, "FunctionConfig is missing"),
            (
                config_map(&json!({"put-value": "x"})),
                "one of `by-value`, ",
            ),
            (
                config_map(&json!({"by-valu": "x"})),
                "`by-valu` is not known",
            ),
            (
                config_map(&json!({"by-value-regex": "("})),
                "`by-value-regex` can't be understood",
            ),
        ] {
            fails(run, &mut list(&[TEXT], config), why);
        }
    }
}
