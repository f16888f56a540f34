//! The answer of a function taken apart: its items, each with its own text, and its results.
//!
//! An answer in blocks, as most functions write it, is cut at its lines, so that comments are found again and no limit of one document
//! falls on the whole. Any other form is read as a whole, and its items have no text.

use serde_json::Value;

use crate::yaml;

/// What a function answered.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// The resources, each with the text that it was read from, empty if it has none of its own.
    pub(super) items: Vec<(Value, String)>,
    /// What it reported.
    pub(super) results: Value,
}

/// Returns what a text says.
///
/// # Errors
/// A sentence: it is no list of resources.
pub(super) fn read(text: &str) -> Result<Answer, String> {
    if text.trim().is_empty() {
        return Err("the function answered nothing, where a ResourceList must be".into());
    }
    match in_blocks(text) {
        Some(answer) => Ok(answer),
        None => whole(text),
    }
}

fn whole(text: &str) -> Result<Answer, String> {
    let read = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => yaml::from_str::<Value>(text)
            .map_err(|error| format!("the function's answer cannot be read: {error}"))?,
    };
    if read.get("kind").and_then(Value::as_str) != Some("ResourceList") {
        return Err("the function's answer is no ResourceList".into());
    }
    let items = match read.get("items") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.clone(),
        Some(_) => return Err("the items of the function's answer are no list".into()),
    };
    let items = items.into_iter().map(|item| (item, String::new()));
    Ok(Answer {
        items: items.collect(),
        results: read.get("results").cloned().unwrap_or_default(),
    })
}

/// Returns what a text in blocks says; nothing if it is of any other form.
fn in_blocks(text: &str) -> Option<Answer> {
    let mut answer = Answer::default();
    let mut is_list = false;
    for (key, section) in sections(text)? {
        match key {
            "kind" => is_list = member(key, section)? == "ResourceList",
            "results" => answer.results = member(key, section)?,
            "items" => answer.items = items(section)?,
            _ => {}
        }
    }
    is_list.then_some(answer)
}

/// Returns the value of a member of the answer.
fn member(key: &str, section: &str) -> Option<Value> {
    let mut read = yaml::documents(section).ok()?;
    read.pop().filter(|_| read.is_empty())?.get(key).cloned()
}

/// Returns the members of the answer, each with its lines; nothing if it is no map in blocks.
fn sections(text: &str) -> Option<Vec<(&str, &str)>> {
    let text = text.strip_prefix("---\n").unwrap_or(text);
    let (mut sections, mut open): (Vec<(&str, usize)>, _) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let is_inside = line.trim().is_empty() || line.starts_with([' ', '#', '-']);
        if line.starts_with("---") || line.starts_with('\t') {
            return None;
        }
        if !is_inside {
            let (key, _) = line.split_once(':')?;
            let is_word = key.chars().all(|c| c.is_ascii_alphanumeric());
            let is_new = sections.iter().all(|(other, _)| *other != key);
            sections.push((key, open));
            if !is_word || !is_new {
                return None;
            }
        }
        open += line.len();
    }
    let ends: Vec<usize> = sections.iter().skip(1).map(|(_, start)| *start).collect();
    let ends = ends.into_iter().chain([text.len()]);
    let cut = sections.iter().zip(ends);
    Some(
        cut.map(|((key, start), end)| (*key, &text[*start..end]))
            .collect(),
    )
}

/// Returns the items of the list that a section is.
fn items(section: &str) -> Option<Vec<(Value, String)>> {
    let (head, body) = section.split_once('\n').unwrap_or((section, ""));
    if head.trim_end() != "items:" {
        let value = member("items", section)?;
        let items = value.as_array()?.iter();
        return Some(items.map(|item| (item.clone(), String::new())).collect());
    }
    let texts = texts(body)?.into_iter();
    let read = texts.map(|text| {
        let mut read = yaml::documents(&text).ok()?;
        let value = read.pop().filter(|_| read.is_empty())?;
        Some((value, text))
    });
    read.collect()
}

fn width(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Returns the texts of the items of a list in blocks, each as a document of its own; nothing if it is none.
fn texts(body: &str) -> Option<Vec<String>> {
    let indent = body.lines().find(|line| is_said(line)).map_or(0, width);
    let is_start = |line: &str| {
        let rest = line.get(indent..).filter(|_| width(line) == indent);
        rest.is_some_and(|rest| rest.trim_end() == "-" || rest.starts_with("- "))
    };
    let (mut items, mut above): (Vec<Vec<&str>>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in body.lines() {
        if is_start(line) {
            above.push(line);
            items.push(std::mem::take(&mut above));
        } else if is_said(line) || width(line) > indent {
            let item = items.last_mut()?;
            item.append(&mut above);
            item.push(line);
        } else {
            above.push(line);
        }
    }
    let items = items.iter();
    Some(items.map(|lines| document(lines, indent)).collect())
}

/// Returns whether a line says something.
fn is_said(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with('#')
}

/// Returns the lines of an item as those of a document.
fn document(lines: &[&str], indent: usize) -> String {
    let first = lines.iter().position(|line| is_said(line));
    let unmarked = lines.iter().enumerate().map(|(at, line)| {
        let rest = line.get(indent + 1..).filter(|_| Some(at) == first);
        rest.map_or_else(|| (*line).into(), |rest| " ".repeat(indent + 1) + rest)
    });
    let unmarked: Vec<String> = unmarked.collect();
    let depth = unmarked.iter().find(|line| is_said(line));
    let depth = depth.map_or(0, |line| width(line));
    let cut = unmarked.iter().map(|line| {
        let line = &line[width(line).min(depth)..];
        format!("{line}\n")
    });
    cut.collect()
}
