//! Patterns of paths: of fields, such as `spec.**.port`, and of files, such as `**/setters.yaml`. In come patterns, out come answers
//! and regular expressions.

use super::path::Step;

/// A pattern of the paths of fields.
pub(super) struct PathPattern(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    /// A key.
    Key(String),
    /// Any one key.
    AnyKey,
    /// An item of a list.
    At(usize),
    /// Any one item.
    AnyItem,
    /// Any steps, or none.
    Any,
}

impl PathPattern {
    /// Returns a pattern taken apart. A `.` or `[` behind a backslash belongs to its key.
    pub(super) fn of(text: &str) -> Self {
        let (mut parts, mut part, mut is_escaped) = (Vec::new(), String::new(), false);
        let (mut end, mut is_inside) = (
            |part: &mut String| parts.extend(read(&std::mem::take(part))),
            false,
        );
        for c in text.chars() {
            match c {
                _ if is_escaped => part.push(c),
                '\\' => {}
                '.' if !is_inside => end(&mut part),
                '[' => {
                    end(&mut part);
                    part.push(c);
                }
                _ => part.push(c),
            }
            is_inside = !is_escaped && (c == '[' || is_inside && c != ']');
            is_escaped = c == '\\' && !is_escaped;
        }
        end(&mut part);
        Self(parts)
    }

    /// Returns whether a way is one of the pattern's.
    pub(super) fn fits(&self, way: &[Step]) -> bool {
        fits(&self.0, way)
    }

    /// Returns the only way of a pattern that names nothing but keys.
    pub(super) fn plain(&self) -> Option<Vec<Step>> {
        let step = |part: &Part| match part {
            Part::Key(key) => Some(Step::Key(key.clone())),
            _ => None,
        };
        self.0.iter().map(step).collect()
    }
}

fn read(part: &str) -> Option<Part> {
    let item = part
        .strip_prefix('[')
        .and_then(|part| part.strip_suffix(']'));
    match (part, item) {
        ("", _) => None,
        ("*", _) => Some(Part::AnyKey),
        ("**", _) => Some(Part::Any),
        (_, Some("*")) => Some(Part::AnyItem),
        (_, Some(at)) => at.parse().ok().map(Part::At),
        (key, None) => Some(Part::Key(key.into())),
    }
}

fn fits(parts: &[Part], way: &[Step]) -> bool {
    let Some((part, rest)) = parts.split_first() else {
        return way.is_empty();
    };
    if *part == Part::Any {
        return (0..=way.len()).any(|at| fits(rest, &way[at..]));
    }
    let Some((step, left)) = way.split_first() else {
        return false;
    };
    let is_fit = match (part, step) {
        (Part::Key(asked), Step::Key(key)) => asked == key,
        (Part::At(asked), Step::At(at)) => asked == at,
        (Part::AnyKey, Step::Key(_)) | (Part::AnyItem, Step::At(_)) => true,
        _ => false,
    };
    is_fit && fits(rest, left)
}

/// Returns the regular expression of a pattern of files.
pub(super) fn file_pattern(text: &str) -> String {
    let (mut out, mut rest, mut depth) = (String::from("^"), text, 0_u32);
    while let Some(c) = rest.chars().next() {
        let begins = out.len() == 1 || out.ends_with('/');
        if begins && rest.starts_with("**/") {
            out.push_str("(?:.*/)?");
            rest = rest[3..].trim_start_matches("**/");
            continue;
        }
        if begins && rest == "**" {
            out.push_str(".*");
            break;
        }
        let taken = match c {
            '[' => class(rest, &mut out),
            '\\' => {
                let next = rest.chars().nth(1).unwrap_or(c);
                out.push_str(&regex::escape(&next.to_string()));
                1 + next.len_utf8()
            }
            _ => one(c, &mut depth, &mut out),
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    out.push('$');
    out
}

fn one(c: char, depth: &mut u32, out: &mut String) -> usize {
    match c {
        '*' => out.push_str("[^/]*"),
        '?' => out.push_str("[^/]"),
        '{' => {
            *depth += 1;
            out.push_str("(?:");
        }
        '}' if *depth > 0 => {
            *depth -= 1;
            out.push(')');
        }
        ',' if *depth > 0 => out.push('|'),
        _ => out.push_str(&regex::escape(&c.to_string())),
    }
    c.len_utf8()
}

/// Writes a class of characters; returns how much of the text it was.
fn class(text: &str, out: &mut String) -> usize {
    let Some(end) = text[1..].find(']') else {
        out.push_str("\\[");
        return 1;
    };
    let inner = &text[1..=end];
    let negated = inner.strip_prefix(['^', '!']);
    out.push_str(if negated.is_some() { "[^/" } else { "[" });
    for c in negated.unwrap_or(inner).chars() {
        if matches!(c, '[' | '&' | '~' | '^') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push(']');
    end + 2
}

#[cfg(test)]
mod tests {
    use regex::Regex;
    use serde_json::json;

    use super::{
        super::path::{dotted, leaves},
        *,
    };

    #[test]
    fn fields_are_chosen_by_their_paths() {
        let object =
            json!({"a": {"b": [{"c": 1}, {"c": 2}], "d": {"c": 3}, "c": 4, "x.y": 5}, "c": 6});
        for (pattern, want) in [
            ("a.c", vec!["a.c"]),
            ("a.*.c", vec!["a.d.c"]),
            ("a.**.c", vec!["a.b[0].c", "a.b[1].c", "a.d.c", "a.c"]),
            ("**.c", vec!["a.b[0].c", "a.b[1].c", "a.d.c", "a.c", "c"]),
            ("a.b[1].c", vec!["a.b[1].c"]),
            ("a.b[*].c", vec!["a.b[0].c", "a.b[1].c"]),
            ("a.x\\.y", vec!["a.x.y"]),
            ("a", vec![]),
        ] {
            let pattern_of = PathPattern::of(pattern);
            let mut ways = leaves(&object);
            ways.retain(|way| pattern_of.fits(way));
            let got: Vec<String> = ways.iter().map(|way| dotted(way)).collect();
            assert_eq!(got, want, "{pattern}");
        }
        assert_eq!(PathPattern::of("a.*").plain(), None);
        assert_eq!(PathPattern::of("a.b").plain().unwrap().len(), 2);
    }

    #[test]
    fn files_are_chosen_by_their_paths() {
        let files = [
            "baz.yaml",
            "bar/baz.yaml",
            "foo/baz.yaml",
            "foo/bar/baz.yaml",
            "foo/bar/bor/baz.yaml",
            "foo/bat.yml",
            "a[b.yaml",
        ];
        for (pattern, want) in [
            ("**/baz.yaml", vec![0, 1, 2, 3, 4]),
            ("foo/**/baz.yaml", vec![2, 3, 4]),
            ("foo/*/baz.yaml", vec![3]),
            ("foo/**", vec![2, 3, 4, 5]),
            ("foo/**.yml", vec![5]),
            ("*.yaml", vec![0, 6]),
            ("foo/ba?.{yaml,yml}", vec![2, 5]),
            ("[a-b]az.yaml", vec![0]),
            ("[!b]az.yaml", vec![]),
            ("a\\[b.yaml", vec![6]),
            ("a[b.yaml", vec![6]),
            ("baz-yaml", vec![]),
        ] {
            let regex = Regex::new(&file_pattern(pattern)).unwrap();
            let numbered = files.iter().enumerate();
            let got = numbered.filter(|(_, file)| regex.is_match(file));
            let got: Vec<usize> = got.map(|(at, _)| at).collect();
            assert_eq!(got, want, "{pattern}");
        }
    }
}
