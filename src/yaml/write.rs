//! Whole documents written out. Strings that an older reader would take for something else (`on`, `0644`) are quoted.

use serde::Serialize;
use serde_json::{Map, Value};

/// Returns the value as one YAML document.
///
/// # Errors
/// If the value holds what YAML can't, such as a map with maps for keys.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(value)
}

/// Returns the value as one YAML document in the style of kpt: two spaces, lists no deeper than their key, single quotes around
/// what only needs quotes for its signs.
#[must_use]
pub fn emit(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

fn write(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => write_map(map, indent, out),
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                write_item(item, indent, out);
            }
        }
        _ => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
}

fn write_map(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (key, value) in map {
        out.push_str(&" ".repeat(indent));
        out.push_str(&scalar(&key.as_str().into()));
        out.push(':');
        let deeper = match value {
            Value::Object(map) if !map.is_empty() => 2,
            Value::Array(items) if !items.is_empty() => 0,
            _ => {
                out.push(' ');
                write(value, indent, out);
                continue;
            }
        };
        out.push('\n');
        write(value, indent + deeper, out);
    }
}

fn write_item(item: &Value, indent: usize, out: &mut String) {
    let mut inner = String::new();
    write(item, indent + 2, &mut inner);
    out.push_str(&" ".repeat(indent));
    out.push_str("- ");
    out.push_str(inner.trim_start_matches(' '));
}

/// Returns a value that takes one line.
fn scalar(value: &Value) -> String {
    let plain = to_string(value).unwrap_or_default();
    let plain = plain.trim_end_matches('\n');
    if plain.contains('\n') || plain.starts_with(['|', '>']) {
        // JSON is YAML, and has no line breaks.
        return value.to_string();
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_.+~-".contains(c);
    let quoted = plain
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match quoted {
        Some(text) if !text.chars().all(is_word) && !text.contains(['\\', '\'']) => {
            format!("'{text}'")
        }
        // Where kpt writes bars, in the names of resources, it quotes them all.
        None if plain.contains('|') && !plain.contains('\'') => format!("'{plain}'"),
        _ => plain.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::yaml;

    #[test]
    fn values_are_written_as_kpt_does() {
        let value = json!({
            "a": {"b": ["x", {"c": "true", "d": []}, ["y"], {}], "e": {}},
            "f": "|Kind|default|x", "g": "on", "h": null, "i": 1, "j": false, "k": "a: b",
        });
        let text = "a:\n  b:\n  - x\n  - c: \"true\"\n    d: []\n  - - \"y\"\n  - {}\n  e: {}\nf: '|Kind|default|x'\ng: \"on\"\nh: null\ni: 1\nj: false\nk: 'a: b'\n";
        assert_eq!(emit(&value), text);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let long = "word ".repeat(100);
        for text in [
            "",
            " ",
            "a\nb\n",
            "\n",
            "it's",
            "\"",
            "\\",
            "'\"\\",
            "# a",
            "- a",
            "a #b",
            "a: ",
            ":",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "a|b",
            "'a|b",
            "it's|b",
            "|",
            "|-",
            ">",
            "{a",
            "[a",
            "?",
            "? a",
            "|",
            ">",
            "~",
            "null",
            "0644",
            "0o7",
            "1e3",
            "1_000",
            ".inf",
            "=",
            "<<",
            "2020-01-01",
            "12:30:45",
            "\t",
            "a\tb",
            "\r\n",
            "\u{e9}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\u{7f}",
            "\u{1f600}",
            "---",
            "...",
            "--- a",
            long.as_str(),
        ] {
            let value = json!({text: [text, {"k": text}], "m": text});
            let written = emit(&value);
            assert_eq!(yaml::documents(&written).unwrap(), [value], "{written}");
        }
    }
}
