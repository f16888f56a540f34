//! Comments behind values, and single values, read and changed in the text of a document. What is asked for by a JSON pointer is found in
//! maps and lists of several lines; what is inside of `{}` and `[]` is not.

use std::{collections::HashMap, ops::Range};

use serde_json::Value;

use super::{
    comments::means_the_same,
    outline::{Outline, Place, STEP},
    quick, read, write,
};

/// Returns the comments behind values, each with the JSON pointer of its value, in the order of the text. The comment of a list of
/// several lines stands behind its key.
#[must_use]
pub fn line_comments(text: &str) -> Vec<(String, String)> {
    let commented = commented(text).into_iter();
    commented.map(|it| (it.at, it.comment)).collect()
}

/// A value with a comment behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commented {
    /// JSON pointer of the value.
    pub at: String,
    /// The comment, with its `#`.
    pub comment: String,
    /// The bytes of the value in the text, if it is no map or list of several lines.
    pub value: Option<Range<usize>>,
}

/// Returns the values with comments behind them, as [`line_comments`] does, with their places in the text.
#[must_use]
pub fn commented(text: &str) -> Vec<Commented> {
    let Some(outline) = Outline::placed(text) else {
        return Vec::new();
    };
    let behind = outline.comments.iter();
    let behind = behind.filter(|comment| comment.place == Place::Behind);
    let told = behind.filter_map(|comment| {
        let thing = outline.thing(comment)?;
        Some(Commented {
            at: pointer(&thing.path),
            comment: comment.text.clone(),
            value: thing.value.clone(),
        })
    });
    told.collect()
}

/// Returns the text with comments behind the values that JSON pointers name, in place of others; those that can't be there are left
/// out. A comment begins with `#` and has one line.
#[must_use]
pub fn with_line_comments(text: &str, comments: &[(String, String)]) -> String {
    let Some(outline) = Outline::placed(text) else {
        return text.into();
    };
    let places = places(&outline);
    let found = comments.iter().filter_map(|(at, comment)| {
        let thing = places.get(path(at).as_str())?;
        Some((*thing, comment.as_str()))
    });
    let found: Vec<_> = found.collect();
    let changed = outline.with_behind(&found);
    if means_the_same(&changed, text) {
        return changed;
    }
    // One of them would be something else there: which one is found one by one.
    found.iter().fold(text.to_owned(), |text, comment| {
        let outline = Outline::placed(&text);
        let changed = outline.map(|outline| outline.with_behind(&[*comment]));
        let changed = changed.filter(|changed| means_the_same(changed, &text));
        changed.unwrap_or(text)
    })
}

/// Returns the things of an outline by their paths.
fn places<'a>(outline: &'a Outline) -> HashMap<&'a str, usize> {
    // Of several with one path the first one.
    let things = outline.things.iter().enumerate().rev();
    things
        .map(|(at, thing)| (thing.path.as_str(), at))
        .collect()
}

/// A scalar to write.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// JSON pointer of the value that it replaces.
    pub at: String,
    /// What it says.
    pub scalar: String,
    /// Whether it has to be a text: else, if it has no quotes, it is what YAML takes it for.
    pub is_text: bool,
    /// The bytes of the value in the text, where they are known: [`Commented::value`] of the same text.
    pub place: Option<Range<usize>>,
}

/// A text with other scalars.
#[derive(Debug)]
pub struct Scalars {
    /// The text.
    pub text: String,
    /// What it says.
    pub value: Value,
    /// The places of those scalars that have to be written in another way.
    pub left: Vec<usize>,
}

/// Returns a text that says `old` with other scalars, in the quotes that those before them have; nothing if it can't be changed so.
#[must_use]
pub fn with_scalars(text: &str, old: &Value, scalars: &[Scalar]) -> Option<Scalars> {
    let are_known = scalars.iter().all(|scalar| scalar.place.is_some());
    // What is known need not be searched for: an outline is another reading.
    let outline = if are_known {
        None
    } else {
        Some(Outline::placed(text)?)
    };
    let places = outline.as_ref().map(places);
    let range = |scalar: &Scalar| {
        let found = match (&outline, &places) {
            (Some(outline), Some(places)) => {
                let thing = *places.get(path(&scalar.at).as_str())?;
                outline.things[thing].value.clone()
            }
            _ => scalar.place.clone(),
        };
        found.filter(|range| !range.is_empty())
    };
    let (mut puts, mut left) = (Vec::new(), Vec::new());
    for (at, scalar) in scalars.iter().enumerate() {
        let range = range(scalar);
        let forms = range.clone().and_then(|range| forms(&text[range], scalar));
        match (range, forms) {
            (Some(range), Some(forms)) => puts.push((range, forms)),
            _ => left.push(at),
        }
    }
    puts.sort_by_key(|(range, _)| range.start);
    let written = scalars.iter().enumerate();
    let written = written.filter(|(at, _)| !left.contains(at));
    let written: Vec<&Scalar> = written.map(|(_, scalar)| scalar).collect();
    let mut tries = (0..MOST_FORMS).map(|number| put(text, &puts, number));
    let (text, value) = tries.find_map(|text| {
        let value = said(&text, old, &written)?;
        Some((text, value))
    })?;
    Some(Scalars { text, value, left })
}

/// A scalar can be written in so many ways.
const MOST_FORMS: usize = 3;

fn put(text: &str, puts: &[(Range<usize>, Vec<String>)], number: usize) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for (range, forms) in puts {
        let form = forms.get(number).or(forms.last());
        out.push_str(&text[at..range.start]);
        out.push_str(form.map(String::as_str).unwrap_or_default());
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}

/// Returns the ways to write a scalar where another one is, the best one first.
fn forms(old: &str, scalar: &Scalar) -> Option<Vec<String>> {
    let Scalar {
        scalar, is_text, ..
    } = scalar;
    let double = Value::from(scalar.as_str()).to_string();
    let is_one_line = !scalar.contains(|c: char| c.is_control());
    match old.chars().next()? {
        '"' => Some(vec![double]),
        _ if scalar.is_empty() => Some(vec![double]),
        '\'' if is_one_line => Some(vec![format!("'{}'", scalar.replace('\'', "''")), double]),
        '\'' => Some(vec![double]),
        '|' | '>' | '&' | '*' | '!' | '{' | '[' => None,
        _ if old.contains('\n') => None,
        _ => {
            let emitted = write::emit(&Value::from(scalar.as_str()));
            let emitted = emitted.trim_end_matches('\n').to_owned();
            // What an older reader would take for something else is quoted, unless that is what it is here too.
            let is_plain = !is_text && is_no_text(scalar);
            let plain = is_plain.then(|| scalar.to_owned());
            Some(plain.into_iter().chain([emitted, double]).collect())
        }
    }
}

/// Returns whether something without quotes is a number, true, false, or null.
fn is_no_text(plain: &str) -> bool {
    if plain.contains(char::is_whitespace) {
        return false;
    }
    let read = quick::word(plain);
    let read = read.unwrap_or_else(|| read::from_str::<Value>(plain).unwrap_or_default());
    read.is_number() || read.is_boolean() || matches!(plain, "null" | "~")
}

/// Returns what a text says, if that is the scalars, and else what the old one said.
fn said(text: &str, old: &Value, scalars: &[&Scalar]) -> Option<Value> {
    let mut said = read::documents(text).ok()?;
    let [new] = said.as_mut_slice() else {
        return None;
    };
    let mut put = Vec::new();
    for scalar in scalars {
        let (value, was) = (new.pointer_mut(&scalar.at)?, old.pointer(&scalar.at)?);
        let is_said = match &*value {
            Value::String(text) => *text == scalar.scalar,
            other => !scalar.is_text && !other.is_object() && !other.is_array(),
        };
        if !is_said {
            return None;
        }
        put.push((&scalar.at, std::mem::replace(value, was.clone())));
    }
    if new != old {
        return None;
    }
    for (at, value) in put.into_iter().rev() {
        *new.pointer_mut(at)? = value;
    }
    Some(new.take())
}

/// Returns the path in an outline of a JSON pointer.
fn path(pointer: &str) -> String {
    let path = pointer.replace('/', STEP.encode_utf8(&mut [0; 4]));
    path.replace("~1", "/").replace("~0", "~")
}

/// Returns the JSON pointer of a path of an outline.
fn pointer(path: &str) -> String {
    let escaped = path.replace('~', "~0").replace('/', "~1");
    escaped.replace(STEP, "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_line_comment(text: &str, at: &str, comment: &str) -> Option<String> {
        let changed = with_line_comments(text, &[(at.into(), comment.into())]);
        (changed != text).then_some(changed)
    }

    fn with_scalar(text: &str, at: &str, scalar: &str, is_text: bool) -> Option<String> {
        let (at, scalar) = (at.into(), scalar.into());
        let old = read::from_str(text).ok()?;
        let known = commented(text).into_iter().find(|it| it.at == at);
        let scalar = Scalar {
            at,
            scalar,
            is_text,
            place: None,
        };
        let searched = with_scalars(text, &old, std::slice::from_ref(&scalar));
        if let Some(place) = known.and_then(|it| it.value) {
            let placed = Scalar {
                place: Some(place),
                ..scalar
            };
            let placed = with_scalars(text, &old, &[placed]);
            let told = |made: Option<&Scalars>| {
                made.map(|made| (made.text.clone(), made.value.clone(), made.left.clone()))
            };
            assert_eq!(told(placed.as_ref()), told(searched.as_ref()), "{text}");
        }
        let Scalars { text, left, .. } = searched?;
        left.is_empty().then_some(text)
    }

    const TEXT: &str = "# top\nkind: K # kind\nmeta/data: # about it\n  name: 'x' # c\nempty: # nothing\nlist: # l\n- a # first\n# above\n- name: x # n\n  v: 1.10 # v\n- - deep # d\nflow: [a,\n  b] # f\nplain: word\nbig: | # b\n  # none\n  text\n";

    #[test]
    fn comments_are_found_by_what_is_before_them() {
        let want = [
            ("/kind", "# kind"),
            ("/meta~1data", "# about it"),
            ("/meta~1data/name", "# c"),
            ("/empty", "# nothing"),
            ("/list", "# l"),
            ("/list/0", "# first"),
            ("/list/1/name", "# n"),
            ("/list/1/v", "# v"),
            ("/list/2/0", "# d"),
            ("/flow", "# f"),
            ("/big", "# b"),
        ];
        let want = want.map(|(at, comment)| (at.to_owned(), comment.to_owned()));
        assert_eq!(line_comments(TEXT), want);
        assert_eq!(line_comments(&format!("---\n{TEXT}")), want);
        for none in [
            "",
            "a",
            "not: [yaml",
            "{a: 1} # x\n",
            "a: 1\n---\nb: 1 # x\n",
        ] {
            assert_eq!(line_comments(none), [], "{none}");
        }
    }

    #[test]
    fn comments_are_put_and_replaced() {
        for (at, line, want) in [
            ("/kind", "kind: K # kind\n", "kind: K # new\n"),
            ("/plain", "plain: word\n", "plain: word # new\n"),
            ("/list", "list: # l\n", "list: # new\n"),
            ("/list/1/v", "  v: 1.10 # v\n", "  v: 1.10 # new\n"),
            ("/flow", "  b] # f\n", "  b] # new\n"),
            ("/big", "big: | # b\n", "big: | # new\n"),
            ("/empty", "empty: # nothing\n", "empty: # new\n"),
        ] {
            let got = with_line_comment(TEXT, at, "# new").unwrap();
            assert_eq!(got, TEXT.replace(line, want), "{at}");
            let windows = with_line_comment(&TEXT.replace('\n', "\r\n"), at, "# new");
            assert_eq!(windows.unwrap(), got.replace('\n', "\r\n"));
        }
        assert_eq!(with_line_comment(TEXT, "/flow/0", "# new"), None);
        assert_eq!(with_line_comment(TEXT, "/none", "# new"), None);
        assert_eq!(
            with_line_comment("a: b", "/a", "# new").unwrap(),
            "a: b # new"
        );
    }

    #[test]
    fn scalars_keep_their_quotes() {
        for (old, scalar, want) in [
            ("x", "z", Some("z")),
            ("x", "8080", Some("8080")),
            ("x", "a: b", Some("'a: b'")),
            ("x", "a #b", Some("'a #b'")),
            ("x", "5 #b", Some("'5 #b'")),
            ("x", "#b", Some("'#b'")),
            ("x", "~", Some("~")),
            ("x", "on", Some("\"on\"")),
            ("x", "", Some("\"\"")),
            ("x", "a\nb", Some("\"a\\nb\"")),
            ("80", "true", Some("true")),
            ("\"4\"", "5", Some("\"5\"")),
            ("'4'", "it's", Some("'it''s'")),
            ("'4'", "a\nb", Some("\"a\\nb\"")),
            ("null", "x", Some("x")),
            ("|\n  x", "y", None),
            ("&a x", "z", Some("&a z")),
            ("[x]", "y", None),
        ] {
            let text = |value: &str| format!("a:\n  k: {value} # c\nb: 1\n");
            let got = with_scalar(&text(old), "/a/k", scalar, false);
            if old.contains('\n') {
                assert_eq!(
                    with_scalar(&format!("k: {old}\n"), "/k", scalar, false),
                    None
                );
            } else {
                assert_eq!(got, want.map(text), "{old} {scalar}");
            }
        }
        let got = with_scalar("k: x\n", "/k", "8080", true);
        assert_eq!(got.unwrap(), "k: \"8080\"\n");
        assert_eq!(with_scalar("a: &x b\nk: *x\n", "/a", "c", false), None);
        assert_eq!(with_scalar("k: # empty\n", "/k", "x", false), None);
    }

    #[test]
    fn many_are_put_at_once() {
        let scalar = |at: &str, scalar: &str| Scalar {
            at: at.into(),
            scalar: scalar.into(),
            is_text: false,
            place: None,
        };
        let text = "a: x # a\nb: # none\nc: 'y'\nd: &d 1\ne: 5\n";
        let scalars = [
            scalar("/e", "6"),
            scalar("/b", "n"),
            scalar("/c", "z: #"),
            scalar("/a", "a: b"),
            scalar("/none", ""),
        ];
        let old = read::from_str(text).unwrap();
        let changed = with_scalars(text, &old, &scalars).unwrap();
        let Scalars {
            text: made,
            value,
            left,
        } = changed;
        assert_eq!(value, read::from_str::<Value>(&made).unwrap());
        assert_eq!(made, "a: 'a: b' # a\nb: # none\nc: 'z: #'\nd: &d 1\ne: 6\n");
        assert_eq!(left, [1, 4]);
        let comments = [("/e", "# e"), ("/none", "# none"), ("/a", "# new")];
        let comments = comments.map(|(at, comment)| (at.to_owned(), comment.to_owned()));
        let changed = with_line_comments(text, &comments);
        assert_eq!(
            changed,
            "a: x # new\nb: # none\nc: 'y'\nd: &d 1\ne: 5 # e\n"
        );
        // What is no comment there spoils nothing else.
        let comments = [("/e", "# e"), ("/a", "no comment")];
        let comments = comments.map(|(at, comment)| (at.to_owned(), comment.to_owned()));
        let changed = with_line_comments(text, &comments);
        assert_eq!(changed, "a: x # a\nb: # none\nc: 'y'\nd: &d 1\ne: 5 # e\n");
    }
}
