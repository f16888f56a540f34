//! `create-setters`: comments that say of which setters a value is made, where it is made of the values that the config names.

use std::{cmp::Reverse, collections::BTreeSet};

use serde_json::Value;

use super::{
    super::{Failure, Item, List},
    apply_setters::MARK,
    config,
    document::Document,
    path::{self, Step},
    report, resource,
};
use crate::{
    api::{ResultField, ResultItem},
    yaml,
};

/// The setters of the config.
struct Setters {
    /// Names and values, longer values first.
    scalars: Vec<(String, String)>,
    /// Names and the values of their lists, in no order.
    lists: Vec<(String, BTreeSet<String>)>,
}

/// Puts comments behind the values of the setters that the config names.
pub(super) fn run(list: &mut List) -> Result<Vec<ResultItem>, Failure> {
    let setters = match Setters::of(list.config.as_ref()) {
        Ok(setters) => setters,
        Err(why) => {
            let why = format!("failed to create setters: {why}");
            return Err(report::failure(list, why));
        }
    };
    let List {
        items,
        config,
        audience,
    } = list;
    let mut reports = Vec::new();
    for item in items {
        audience.check()?;
        // What says what the setters are is not made of them.
        let is_config = config.as_ref() == Some(&item.object);
        if !is_config && resource::kind(&item.object) != "Kptfile" {
            setters.put(item, &mut reports);
        }
    }
    Ok(report::or_else(reports, "no matches for input setter(s)"))
}

impl Setters {
    fn of(config: Option<&Value>) -> Result<Self, String> {
        let (mut scalars, mut lists) = (Vec::new(), Vec::new());
        for (name, value) in config::data(config)? {
            match yaml::from_str(&value) {
                Ok(Value::Array(items)) => lists.push((name, texts(&items))),
                _ if value.trim().is_empty() => {}
                _ => scalars.push((name, value)),
            }
        }
        if scalars.is_empty() && lists.is_empty() {
            return Err("input setters list cannot be empty".into());
        }
        scalars.sort_by_cached_key(|(name, value)| (Reverse(value.len()), name.clone()));
        Ok(Self { scalars, lists })
    }

    /// Puts comments into one resource.
    fn put(&self, item: &mut Item, reports: &mut Vec<ResultItem>) {
        let comments = self.comments(&item.object);
        if comments.is_empty() {
            return;
        }
        let mut document = Document::of(item);
        let put = comments.iter().map(|(way, pattern)| {
            let comment = format!("{MARK}{pattern}");
            (path::pointer(way), comment)
        });
        let changed = document.comment(&put.collect::<Vec<_>>());
        for ((way, pattern), changed) in comments.iter().zip(changed) {
            reports.extend(changed.then(|| told(item, way, pattern)));
        }
        document.give(item);
    }

    /// Returns the patterns of values, by the ways to them.
    fn comments(&self, object: &Value) -> Vec<(Vec<Step>, String)> {
        let value = |way: &[Step]| object.pointer(&path::pointer(way));
        let lists = path::lists(object).into_iter().filter_map(|way| {
            let pattern = self.of_list(value(&way)?)?;
            Some((way, pattern))
        });
        let mut comments: Vec<_> = lists.collect();
        let chosen: Vec<Vec<Step>> = comments.iter().map(|(way, _)| way.clone()).collect();
        let leaves = path::leaves(object).into_iter();
        let leaves = leaves.filter(|way| !chosen.iter().any(|list| way.starts_with(list)));
        comments.extend(leaves.filter_map(|way| {
            let pattern = self.of_scalar(&config::text(value(&way)?))?;
            Some((way, pattern))
        }));
        comments
    }

    fn of_list(&self, list: &Value) -> Option<String> {
        let items = list.as_array().filter(|items| !items.is_empty())?;
        let has_inner = items.iter().any(|item| item.is_object() || item.is_array());
        let texts = texts(items);
        let mut setters = self.lists.iter().filter(|_| !has_inner);
        let (name, _) = setters.find(|(_, values)| *values == texts)?;
        Some(format!("${{{name}}}"))
    }

    /// Returns the pattern of a value; nothing if no setter is in it.
    fn of_scalar(&self, text: &str) -> Option<String> {
        if text.contains('\n') {
            return None;
        }
        let mut parts = vec![Part::Text(text.to_owned())];
        for (name, value) in &self.scalars {
            let cut = parts.into_iter().flat_map(|part| part.cut(value, name));
            parts = cut.collect();
        }
        let has_setter = parts.iter().any(|part| matches!(part, Part::Setter(_)));
        has_setter.then(|| parts.iter().map(Part::written).collect())
    }
}

fn texts(items: &[Value]) -> BTreeSet<String> {
    items.iter().map(config::text).collect()
}

/// A part of a value.
enum Part {
    Text(String),
    Setter(String),
}

impl Part {
    /// Returns the part with a setter wherever the value of that is in its text.
    fn cut(self, value: &str, name: &str) -> Vec<Self> {
        let Self::Text(text) = self else {
            return vec![self];
        };
        let mut parts = Vec::new();
        for (at, piece) in text.split(value).enumerate() {
            if at > 0 {
                parts.push(Self::Setter(name.into()));
            }
            parts.push(Self::Text(piece.into()));
        }
        parts
    }

    fn written(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Setter(name) => format!("${{{name}}}"),
        }
    }
}

fn told(item: &Item, way: &[Step], pattern: &str) -> ResultItem {
    let message = format!("Added line comment \"kpt-set: {pattern}\"");
    let mut told = report::about(item, report::info(message));
    told.field = Some(ResultField {
        path: path::dotted(way),
        ..ResultField::default()
    });
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::samples::{config_map, fails, list, unchanged_when_repeated},
        *,
    };

    #[test]
    fn comments_say_of_what_values_are_made() {
        let data = json!({"n": "4", "image": "nginx", "tag": "1.16.1", "long": "nginx-long", "env": "- b\n- a\n", "none": ""});
        for (before, after) in [
            ("replicas: 4\n", "replicas: 4 # kpt-set: ${n}\n"),
            (
                "image: \"nginx:1.16.1\" # old\n",
                "image: \"nginx:1.16.1\" # kpt-set: ${image}:${tag}\n",
            ),
            (
                "a: nginx-long-nginx\n",
                "a: nginx-long-nginx # kpt-set: ${long}-${image}\n",
            ),
            (
                "# top\ne:\n  - a\n  - b\nb: c\n",
                "# top\ne: # kpt-set: ${env}\n  - a\n  - b\nb: c\n",
            ),
            ("e: [a, b]\nb: c\n", "e: [a, b] # kpt-set: ${env}\nb: c\n"),
            (
                "e:\n- a\n- nginx\n",
                "e:\n- a\n- nginx # kpt-set: ${image}\n",
            ),
            ("e: {a: nginx}\n", "e: {a: nginx}\n"),
            ("e: |\n  nginx\n  more\n", "e: |\n  nginx\n  more\n"),
            ("e: []\nf: other\n", "e: []\nf: other\n"),
            ("kind: Kptfile\na: nginx\n", "kind: Kptfile\na: nginx\n"),
        ] {
            let mut given = list(&[before], config_map(&data));
            let object = given.items[0].object.clone();
            let told = unchanged_when_repeated(run, &mut given);
            assert_eq!(
                (&*given.items[0].text, &given.items[0].object),
                (after, &object)
            );
            assert_eq!(told[0].field.is_some(), before != after, "{before}");
        }
    }

    #[test]
    fn what_is_wrong_fails() {
        for (config, why) in [
            (
                Value::Null,
                "failed to create setters: FunctionConfig is missing",
            ),
            (
                config_map(&json!({"a": ""})),
                "failed to create setters: input setters list cannot be empty",
            ),
        ] {
            fails(run, &mut list(&["a: b\n"], config), why);
        }
    }
}
