//! The text that a function is given.

use serde_json::Value;

use super::{
    super::{Item, List},
    annotations,
};
use crate::yaml;

/// Returns the list as a `ResourceList` in YAML: every resource says in its annotations where it is kept, and has the comments of
/// its document.
#[must_use]
pub fn encode(list: &List) -> String {
    let mut out = String::from("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:");
    out.push_str(if list.items.is_empty() { " []\n" } else { "\n" });
    for (at, item) in list.items.iter().enumerate() {
        out.push_str(&listed_item(item, at + 1));
    }
    if let Some(config) = &list.config {
        out.push_str("functionConfig:");
        let is_block = config.as_object().is_some_and(|config| !config.is_empty());
        out.push_str(if is_block { "\n" } else { " " });
        let indent = if is_block { "  " } else { "" };
        for line in yaml::emit(config).split_inclusive('\n') {
            out.extend([indent, line]);
        }
    }
    out
}

/// Returns a resource as an item of a list.
fn listed_item(item: &Item, id: usize) -> String {
    let wanted = annotations::annotated(item, id);
    // Without comments there is nothing to keep that a function could see.
    let has_comments = item.text.contains('#') && !item.text.trim_start().starts_with('{');
    let kept = has_comments.then(|| with_comments(&item.text, &wanted));
    kept.flatten()
        .unwrap_or_else(|| listed(&yaml::emit(&wanted)))
}

/// Returns the item with the comments of its document; nothing if that can't be done.
fn with_comments(text: &str, wanted: &Value) -> Option<String> {
    let wanted = std::slice::from_ref(wanted);
    let text = yaml::rewrite(&without_mark(text), wanted).ok()?;
    let item = listed(&text);
    let read = yaml::documents(&item).ok()?;
    (read == [Value::Array(wanted.to_vec())]).then_some(item)
}

/// Returns a document without the line that begins it; what else is on that line stays.
fn without_mark(text: &str) -> String {
    text.strip_prefix("---").map_or_else(
        || text.into(),
        |rest| {
            let (line, rest) = rest.split_once('\n').unwrap_or((rest, ""));
            match line.trim() {
                "" => rest.into(),
                line => format!("{line}\n{rest}"),
            }
        },
    )
}

/// Returns a document as an item of a list. Comments above it stay above the item.
fn listed(text: &str) -> String {
    let mut out = String::new();
    let mut is_begun = false;
    for line in text.lines() {
        let is_blank = line.trim().is_empty();
        let is_above = !is_begun && (is_blank || line.trim_start().starts_with('#'));
        let before = match is_begun {
            _ if is_above || is_blank => "",
            true => "  ",
            false => "- ",
        };
        is_begun |= !is_above;
        out.extend([before, line, "\n"]);
    }
    out
}
