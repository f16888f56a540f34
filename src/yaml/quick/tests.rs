//! What is read and changed here beside what the libraries make of the same: whatever is not declined has to be equal.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{
        edit, outline,
        outline::{Mark, Thing},
        read, walk,
    },
    *,
};

/// A document as people write them.
const TEXT: &str = "# Copyright\napiVersion: apps/v1\nkind: Deployment\nmetadata: # kpt-merge: n/app\n  name: app # kpt-set: ${app}\n  namespace: \"old\"\n  labels: {app: app, tier: \"1\"}\n\n  # about annotations\n  annotations:\n    # why\n    note: 'it''s' # here\nspec:\n  replicas: 4   # kpt-set: ${count}\n  paused: false\n  template:\n    spec:\n      containers:\n        - name: web # kpt-set: ${app}-web\n          image: nginx:1.16 # kpt-set: nginx:${tag}\n          args: [--port, \"8080\", -v]\n          command:\n            - sh\n            - -c\n            - |\n              # no comment\n              echo \"${x}\"\n\n        # the second\n        - name: side\n          resources: {}\n          note: >-\n            folded\n            text\n      volumes:\n      - name: v\n        configMap:\n          name: app\n# the end\n";

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    fn is_one_of(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

const KEYS: &[&str] = &[
    "name", "a", "b-c", "d.e/f", "G_h", "'q'", "\"r s\"", "spec", "x1", "on", "image",
];
const SCALARS: &[&str] = &[
    "x",
    "a b",
    "1",
    "-1",
    "0",
    "0644",
    "1.10",
    "1e3",
    "0x1f",
    "12345678901234567890",
    "true",
    "False",
    "null",
    "~",
    "on",
    "\"q\"",
    "\"a\\nb\"",
    "\"\\u00e9\"",
    "'s'",
    "'it''s'",
    "''",
    "\"\"",
    "http://a.b:80/c#d",
    "nginx:1.16",
    "10.0.0.1",
    "500m",
    "-x",
    "--x",
    "2020-01-01",
    "12:30:45",
    "a#b",
    "é",
    ".inf",
    ".5",
    "/a/b",
    "${x}",
    "{}",
    "[]",
    "{a: 1}",
    "[a, 'b c', -1]",
    "{a: [1, {b: \"c\"}]}",
    "[a: b]",
    "{a, b}",
    "&x y",
    "*x",
    "!t x",
    "a: b",
    "- a",
    "\"open",
    "@a",
    "%a",
    "`a",
    "? a",
    "a\\b",
    "=",
    "<<",
    "x y: z",
    "x:",
    "1_000",
    "+1",
    "0o7",
    "nan",
    "[a,]",
    "[a,b]",
    "{a: http://b}",
    "(a)",
    "^a$",
];

/// A text that may be a document.
fn text(dice: &mut Dice) -> String {
    let mut out = String::from(dice.pick(&[
        "",
        "",
        "",
        "---\n",
        "# c\n",
        "\n",
        "# c\n---\n",
        "--- # c\n",
    ]));
    map(dice, 0, 0, &mut out);
    out.push_str(dice.pick(&[
        "",
        "",
        "",
        "# end\n",
        "\n",
        "\n# end\n",
        "...\n",
        "  # end\n",
    ]));
    out
}

fn between(dice: &mut Dice, indent: usize, out: &mut String) {
    if dice.is_one_of(8) {
        out.push('\n');
    }
    if dice.is_one_of(8) {
        let indent = [indent, indent, indent, indent + 2, 0][dice.roll(5)];
        out.extend([
            " ".repeat(indent).as_str(),
            dice.pick(&["# c\n", "#\n", "# d: e\n"]),
        ]);
    }
}

fn map(dice: &mut Dice, indent: usize, depth: usize, out: &mut String) {
    let start = dice.roll(KEYS.len());
    for at in 0..=dice.roll(4) {
        let is_first_of_item = at == 0 && out.ends_with("- ");
        if !is_first_of_item {
            between(dice, indent, out);
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(KEYS[(start + at) % KEYS.len()]);
        out.push(':');
        value(dice, indent, depth, out);
    }
}

fn value(dice: &mut Dice, indent: usize, depth: usize, out: &mut String) {
    match dice.roll(if depth > 3 { 6 } else { 10 }) {
        0..5 => {
            out.push(' ');
            scalar(dice, out);
        }
        5 => block(dice, indent, out),
        6 | 7 => {
            behind(dice, out);
            let deeper = [2, 2, 2, 4, 1][dice.roll(5)];
            map(dice, indent + deeper, depth + 1, out);
        }
        _ => {
            behind(dice, out);
            let deeper = [0, 2, 2, 4][dice.roll(4)];
            list(dice, indent + deeper, depth + 1, out);
        }
    }
}

fn scalar(dice: &mut Dice, out: &mut String) {
    // Most of them are good.
    let most = if dice.is_one_of(6) { SCALARS.len() } else { 37 };
    out.push_str(SCALARS[dice.roll(most)]);
    behind(dice, out);
}

fn behind(dice: &mut Dice, out: &mut String) {
    out.push_str(dice.pick(&["", "", "", "", " # c", "   # d ", " ", " #"]));
    out.push('\n');
}

fn block(dice: &mut Dice, indent: usize, out: &mut String) {
    out.push_str(dice.pick(&[" |", " |", " |-", " >", " >-", " |+", " |2", " | # c"]));
    out.push('\n');
    let indent = " ".repeat(indent + 2);
    for _ in 0..=dice.roll(3) {
        out.extend([
            indent.as_str(),
            dice.pick(&["t", "# t", "t: u", "- t", "  t"]),
            "\n",
        ]);
        out.push_str(dice.pick(&["", "", "", "", "\n", "  \n", "        \n"]));
    }
}

fn list(dice: &mut Dice, indent: usize, depth: usize, out: &mut String) {
    for _ in 0..=dice.roll(3) {
        between(dice, indent, out);
        out.extend([" ".repeat(indent).as_str(), "- "]);
        match dice.roll(if depth > 3 { 2 } else { 5 }) {
            0 | 1 => scalar(dice, out),
            2 | 3 => map(dice, indent + 2, depth + 1, out),
            _ => value(dice, indent, depth, out),
        }
    }
}

/// Puts something odd into a text, or takes something out of it.
fn spoil(dice: &mut Dice, text: &mut String) {
    let places: Vec<usize> = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let at = dice.roll(places.len());
    if dice.is_one_of(2) {
        let end = (at + dice.roll(4)).min(places.len() - 1);
        text.replace_range(places[at]..places[end], "");
        return;
    }
    let odd = dice.pick(&[
        " ", "\n", "  ", "#", " #", ":", ": ", "- ", "-", "'", "\"", "|", ">", "{", "}", "[", "]",
        ",", "&a ", "*a", "!", "%", "\t", "\r", "---\n", "...\n", "? ", "\\", "a", "0", "~",
        "\u{a0}", "\u{2028}", "\u{feff}", "é", "<<",
    ]);
    text.insert_str(places[at], odd);
}

/// A value that differs from another one as those differ that functions make.
fn change(dice: &mut Dice, value: &mut Value) {
    match value {
        Value::Object(map) => {
            if dice.is_one_of(6) {
                let at = dice.roll(map.len() + 1);
                let key = dice.pick(&["new", "n.e/w", "on", "z 1", "0"]);
                if !map.contains_key(key) {
                    map.shift_insert(at, key.into(), fresh(dice));
                }
            }
            if dice.is_one_of(40) && !map.is_empty() {
                let keys: Vec<String> = map.keys().cloned().collect();
                map.shift_remove(&keys[dice.roll(keys.len())]);
            }
            for (_, inner) in map {
                change(dice, inner);
            }
        }
        Value::Array(items) => {
            if dice.is_one_of(12) {
                items.push(fresh(dice));
            }
            for inner in items {
                change(dice, inner);
            }
        }
        other if dice.is_one_of(6) => *other = fresh(dice),
        _ => {}
    }
}

fn fresh(dice: &mut Dice) -> Value {
    let text = "long words ".repeat(20);
    let all = [
        json!("new"),
        json!("it's"),
        json!("a: b"),
        json!("on"),
        json!(""),
        json!("a\nb\n"),
        json!(7),
        json!(true),
        json!(null),
        json!({}),
        json!([]),
        json!({"k": {"l": ["m", {"n": 1, "o": []}]}}),
        json!(["p", {"q": "r", "s": "t"}]),
        json!("#"),
        json!(1.5),
        json!("é"),
        json!("~"),
        json!(text),
        json!([["x"], []]),
        json!("|a|"),
    ];
    all[dice.roll(all.len())].clone()
}

fn sample(seed: u64) -> (Dice, String) {
    let mut dice = Dice(seed | 1);
    for _ in 0..8 {
        dice.roll(2);
    }
    let mut text = if dice.is_one_of(4) {
        TEXT.to_owned()
    } else {
        text(&mut dice)
    };
    for _ in 0..[0, 0, 1, 2, 5][dice.roll(5)] {
        spoil(&mut dice, &mut text);
    }
    if dice.is_one_of(8) {
        text = format!("{text}---\n{}", self::text(&mut dice));
    }
    (dice, text)
}

/// Things as far as anybody can tell them apart.
fn seen(things: Vec<Thing>) -> Vec<Thing> {
    let seen = things.into_iter().map(|thing| Thing {
        value: thing.value.filter(|value| !value.is_empty()),
        ..thing
    });
    seen.collect()
}

fn same_values(text: &str) -> Result<(), TestCaseError> {
    let Some(values) = documents(text) else {
        return Ok(());
    };
    let slow = read::all(text);
    prop_assert_eq!(slow.as_ref(), Ok(&values), "{:?}", text);
    // Values are equal whatever the order of their members is.
    let written = |values: &Vec<Value>| Value::from(values.clone()).to_string();
    prop_assert_eq!(
        slow.as_ref().map(written),
        Ok(written(&values)),
        "{:?}",
        text
    );
    Ok(())
}

fn same_outline(text: &str) -> Result<(), TestCaseError> {
    for mark in [Mark::Name, Mark::Place] {
        let Some((things, comments)) = outlined(text, mark) else {
            continue;
        };
        let slow = walk::outlined(text, mark);
        prop_assert!(slow.is_some(), "{:?}", text);
        let (slow_things, slow_comments) = slow.unwrap();
        prop_assert_eq!(seen(things), seen(slow_things), "{:?}", text);
        prop_assert_eq!(comments, slow_comments, "{:?}", text);
    }
    Ok(())
}

fn same_change(text: &str, dice: &mut Dice) -> Result<bool, TestCaseError> {
    let mut values = documents(text).unwrap_or_default();
    let (Some(value), true) = (values.pop(), values.is_empty()) else {
        return Ok(false);
    };
    let mut wanted = value.clone();
    change(dice, &mut wanted);
    let Some(changed) = rewritten(text, &wanted) else {
        return Ok(false);
    };
    let slow = edit::slowly(text, &[value], std::slice::from_ref(&wanted));
    prop_assert_eq!(
        slow.as_deref(),
        Ok(changed.as_str()),
        "{:?} {}",
        text,
        wanted
    );
    Ok(changed != text)
}

proptest! {
    #[test]
    fn what_is_read_is_what_the_library_reads(seed: u64) {
        same_values(&sample(seed).1)?;
    }

    #[test]
    fn things_and_comments_are_where_the_library_finds_them(seed: u64) {
        same_outline(&sample(seed).1)?;
    }

    #[test]
    fn what_is_changed_is_what_the_library_makes_of_it(seed: u64) {
        let (mut dice, text) = sample(seed);
        same_change(&text, &mut dice)?;
    }
}

#[test]
fn documents_as_people_write_them_are_not_declined() {
    let one = documents(TEXT).unwrap();
    assert_eq!(Ok(&one), read::all(TEXT).as_ref());
    assert!(outline::Outline::placed(TEXT).is_some());
    same_outline(TEXT).unwrap();
    let many = format!("# head\n---\n{TEXT}---\n{TEXT}");
    assert_eq!(documents(&many).map(|all| all.len()), Some(2));
    let mut wanted = one[0].clone();
    wanted["metadata"]["namespace"] = json!("new");
    wanted["metadata"]["annotations"]["more"] = json!("yes");
    wanted["spec"]["replicas"] = json!(5);
    wanted["spec"]["template"]["metadata"] = json!({"labels": {"a": "b"}});
    let changed = rewritten(TEXT, &wanted).unwrap();
    assert_eq!(
        edit::slowly(TEXT, &one, &[wanted]).as_deref(),
        Ok(changed.as_str())
    );
    // The samples would prove little if nearly all of them were declined.
    let samples = || (1..2_000).map(|seed: u64| sample(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let read = samples().filter(|(_, text)| documents(text).is_some());
    assert!(read.count() > 300);
    let changed = samples().filter_map(|(mut dice, text)| same_change(&text, &mut dice).ok());
    assert!(changed.filter(|is_changed| *is_changed).count() > 50);
}
