//! The paths of a definition's printed columns: the part of JSONPath that such columns are written in.
//!
//! In comes `.status.conditions[?(@.type=='Ready')].status`; out goes the first value there. It must not fail on an
//! object: what is not there is nothing.

use serde_json::Value;

/// A path into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `.name` or `['name']`.
    Member(String),
    /// `[3]`.
    Index(usize),
    /// `[*]`; only the first is ever asked for.
    Any,
    /// `[?(@.member=='value')]`.
    Where { member: String, value: String },
}

impl Path {
    /// Returns the path that `text` says, or nothing if it says something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, left) = if let Some(inner) = rest.strip_prefix('[') {
                let end = closing(inner)?;
                (bracket(&inner[..end])?, &inner[end + 1..])
            } else {
                let name = rest.strip_prefix('.')?;
                let end = name.find(['.', '[']).unwrap_or(name.len());
                (Step::Member(name[..end].to_owned()), &name[end..])
            };
            steps.push(step);
            rest = left;
        }
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// Returns the first value there.
    #[must_use]
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        let found = self.0.iter().try_fold(value, |at, step| step.of(at))?;
        (!found.is_null()).then_some(found)
    }
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Member(name) => value.get(name),
            Self::Index(index) => value.get(*index),
            Self::Any => value.as_array()?.first(),
            Self::Where { member, value: is } => value
                .as_array()?
                .iter()
                .find(|item| item.get(member).and_then(Value::as_str) == Some(is)),
        }
    }
}

/// Returns where the bracket ends; one within quotes ends nothing.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    text.char_indices().find_map(|(at, letter)| match quote {
        Some(open) if open == letter => {
            quote = None;
            None
        }
        None if letter == '\'' || letter == '"' => {
            quote = Some(letter);
            None
        }
        None if letter == ']' => Some(at),
        _ => None,
    })
}

fn bracket(text: &str) -> Option<Step> {
    if text == "*" {
        return Some(Step::Any);
    }
    if let Some(name) = unquote(text) {
        return Some(Step::Member(name));
    }
    if let Some(condition) = text
        .strip_prefix("?(@.")
        .and_then(|text| text.strip_suffix(')'))
    {
        let (member, value) = condition.split_once("==")?;
        return Some(Step::Where {
            member: member.trim().to_owned(),
            value: unquote(value.trim())?,
        });
    }
    text.parse().ok().map(Step::Index)
}

fn unquote(text: &str) -> Option<String> {
    let quote = text
        .chars()
        .next()
        .filter(|first| matches!(first, '\'' | '"'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    Some(inner.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_finds_what_it_names_and_nothing_else() {
        let object = json!({
            "metadata": {"labels": {"a/b.c": "x"}},
            "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}], "n": 0},
        });
        for (path, found) in [
            (
                ".status.conditions[?(@.type=='Ready')].status",
                json!("True"),
            ),
            (
                ".status.conditions[?(@.type==\"Other\")].status",
                json!("False"),
            ),
            (".status.conditions[?(@.type=='Gone')].status", Value::Null),
            (".status.conditions[0].type", json!("Other")),
            (".status.conditions[*].type", json!("Other")),
            (".metadata.labels['a/b.c']", json!("x")),
            (".status.n", json!(0)),
            (".status.none.deeper", Value::Null),
        ] {
            let parsed = Path::parse(path).unwrap();
            assert_eq!(
                parsed.find(&object).cloned().unwrap_or(Value::Null),
                found,
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "spec", ".a[", ".a[x]", ".a[?(@.b=1)]"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }
}
