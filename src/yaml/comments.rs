//! Comments carried from one text of a document to another that lost them.
//!
//! A comment is above what follows it, or behind what is on its line. What it is about is found again by its path; what is in a list, by
//! its name, by its text, or by its place. Text that takes no comment keeps its bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    str::FromStr,
};

use yaml_edit::{Mapping, Sequence, YamlFile, YamlNode};

use super::read;

/// What separates the steps of a path: no key has it.
pub(super) const STEP: char = '\0';
/// The path of what is behind the last thing of a document; those of things begin with a step.
pub(super) const END: &str = "end";

/// Returns the text `new` of one document with the comments of `old` that it has not; where it has other ones, they stay, and
/// where it can't take one, it stays as it is.
#[must_use]
pub fn with_comments(new: &str, old: &str) -> String {
    let (Some(from), Some(to)) = (Outline::of(old), Outline::of(new)) else {
        return new.into();
    };
    let healed = to.with(&from.lost_in(&to));
    if healed == new || !means_the_same(&healed, new) {
        return new.into();
    }
    healed
}

/// Returns the text of one document with the comments that came into another text of it, from `old` to `new`: only where neither
/// `old` nor the text has one. What was taken away or changed since `old` stays so.
#[must_use]
pub fn with_new_comments(text: &str, old: &str, new: &str) -> String {
    let outlines = (Outline::of(text), Outline::of(old), Outline::of(new));
    let (Some(to), Some(before), Some(after)) = outlines else {
        return text.into();
    };
    let notes = before.notes();
    let taken: BTreeSet<_> = notes.iter().map(|note| (note.path, note.place)).collect();
    let known: BTreeSet<_> = notes.iter().flat_map(|note| &note.texts).collect();
    let mut come = after.lost_in(&to);
    come.retain(|note| {
        let is_known = note.texts.iter().any(|text| known.contains(text));
        !is_known && !taken.contains(&(note.path, note.place))
    });
    let made = to.with(&come);
    if means_the_same(&made, text) {
        made
    } else {
        text.into()
    }
}

/// Returns the comments of a text, in its order, without what is around them; none if it can't be read.
#[must_use]
pub fn comments(text: &str) -> Vec<String> {
    let file = YamlFile::from_str(text);
    let said = |file: YamlFile| {
        let comments = file.comments();
        comments
            .map(|comment| comment.text().trim_end().to_owned())
            .collect()
    };
    file.map(said).unwrap_or_default()
}

pub(super) fn means_the_same(one: &str, other: &str) -> bool {
    let other = read::documents(other);
    read::documents(one).is_ok_and(|one| other.is_ok_and(|other| one == other))
}

/// Where in a text the things are that can have comments, and the comments.
pub(super) struct Outline<'a> {
    lines: Vec<&'a str>,
    /// In the order of the text.
    pub(super) things: Vec<Thing>,
    /// The last thing whose comment stands behind a line.
    by_last: BTreeMap<usize, usize>,
    pub(super) comments: Vec<Comment>,
}

/// A member of a map or an item of a list.
pub(super) struct Thing {
    /// Keys, and marks of items, from the root.
    pub(super) path: String,
    /// The line where it begins.
    first: usize,
    /// The line behind which its comment stands: that of its key, or the last one of its value.
    last: usize,
    /// The bytes of its value, if that is no map or list of several lines.
    pub(super) value: Option<Range<usize>>,
}

pub(super) struct Comment {
    line: usize,
    pub(super) text: String,
    pub(super) place: Place,
}

/// By what an item of a list is known.
type Mark = fn(&YamlNode, usize) -> String;

/// Where a comment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Above,
    Behind,
}

/// Comments of one place of one thing.
struct Note<'a> {
    path: &'a str,
    place: Place,
    texts: Vec<&'a str>,
}

impl<'a> Outline<'a> {
    /// Returns the outline of a text; nothing if it is not one map.
    fn of(text: &'a str) -> Option<Self> {
        Self::marked(text, mark)
    }

    /// Returns the outline of a text, with items known by their places; nothing if it is not one map.
    pub(super) fn placed(text: &'a str) -> Option<Self> {
        Self::marked(text, |_, at| at.to_string())
    }

    fn marked(text: &'a str, mark: Mark) -> Option<Self> {
        let file = YamlFile::from_str(text).ok()?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut walk = Walk::new(text, &lines, mark);
        let comments = file.comments().map(|comment| {
            let start = comment.byte_range().start as usize;
            let line = walk.line(start);
            let before = &text[walk.starts[line]..start];
            let place = if before.trim().is_empty() {
                Place::Above
            } else {
                Place::Behind
            };
            let text = comment.text().trim_end().to_owned();
            Comment { line, text, place }
        });
        let comments = comments.collect();
        let documents: Vec<_> = file.documents().collect();
        let [document] = documents.as_slice() else {
            return None;
        };
        walk.map(&document.as_mapping()?, "");
        let things = walk.things;
        let numbered = things.iter().enumerate();
        let by_last = numbered.map(|(at, thing)| (thing.last, at)).collect();
        Some(Self {
            lines,
            things,
            by_last,
            comments,
        })
    }

    /// Returns the path of what a comment is about.
    pub(super) fn subject(&self, comment: &Comment) -> &str {
        let found = match comment.place {
            Place::Above => {
                let next = self
                    .things
                    .partition_point(|thing| thing.first <= comment.line);
                self.things.get(next)
            }
            Place::Behind => self.by_last.get(&comment.line).map(|at| &self.things[*at]),
        };
        found.map_or(END, |thing| &thing.path)
    }

    /// Returns the comments by what they are about.
    fn notes(&self) -> Vec<Note<'_>> {
        let mut notes: Vec<Note> = Vec::new();
        for comment in &self.comments {
            let (path, place) = (self.subject(comment), comment.place);
            match notes.last_mut() {
                Some(last) if last.path == path && last.place == place => {
                    last.texts.push(&comment.text);
                }
                _ => notes.push(Note {
                    path,
                    place,
                    texts: vec![&comment.text],
                }),
            }
        }
        notes
    }

    /// Returns the comments that another text of the document has not, in places where it has none.
    fn lost_in(&self, other: &Self) -> Vec<Note<'_>> {
        let mut there: BTreeMap<&str, usize> = BTreeMap::new();
        for comment in &other.comments {
            *there.entry(&comment.text).or_default() += 1;
        }
        let mut is_there = |text: &str| {
            let left = there.get_mut(text).filter(|left| **left > 0);
            left.map(|left| *left -= 1).is_some()
        };
        let notes = other.notes();
        let taken: BTreeSet<_> = notes.iter().map(|note| (note.path, note.place)).collect();
        let mut lost = self.notes();
        for note in &mut lost {
            note.texts.retain(|text| !is_there(text));
        }
        lost.retain(|note| !note.texts.is_empty() && !taken.contains(&(note.path, note.place)));
        lost
    }

    /// Returns the text with notes.
    fn with(&self, notes: &[Note]) -> String {
        let mut above: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        let mut behind: BTreeMap<usize, String> = BTreeMap::new();
        // Of several with one path the first one.
        let numbered = self.things.iter().enumerate().rev();
        let by_path: BTreeMap<&str, usize> = numbered
            .map(|(at, thing)| (thing.path.as_str(), at))
            .collect();
        for note in notes {
            if note.path == END {
                above
                    .entry(self.lines.len())
                    .or_default()
                    .extend(&note.texts);
                continue;
            }
            let Some(at) = by_path.get(note.path).copied() else {
                continue;
            };
            match note.place {
                Place::Above if self.begins_its_line(at) => {
                    above
                        .entry(self.things[at].first)
                        .or_default()
                        .extend(&note.texts);
                }
                Place::Behind if self.ends_its_line(at) => {
                    behind.insert(self.things[at].last, note.texts.join(" "));
                }
                _ => {}
            }
        }
        self.laid_out(&above, &behind)
    }

    /// Returns the text with comments behind things, in place of others; those of lines that do not end with their thing are left out.
    pub(super) fn with_behind(&self, comments: &[(usize, &str)]) -> String {
        let mut lines: Vec<String> = self.lines.iter().map(|line| (*line).into()).collect();
        for (at, comment) in comments {
            if self.ends_its_line(*at) {
                let line = self.things[*at].last;
                lines[line] = self.line_with(line, comment);
            }
        }
        lines.concat()
    }

    /// Returns a line with a comment behind it, in place of the one that it has.
    fn line_with(&self, line: usize, comment: &str) -> String {
        let mut comments = self.comments.iter();
        let before = comments
            .find(|other| other.line == line && other.place == Place::Behind)
            .map_or("", |other| other.text.as_str());
        let text = self.lines[line];
        let bare = text.trim_end_matches(['\r', '\n']);
        let ending = &text[bare.len()..];
        let kept = bare.trim_end();
        let kept = kept.strip_suffix(before).unwrap_or(kept);
        format!("{} {comment}{ending}", kept.trim_end())
    }

    fn begins_its_line(&self, at: usize) -> bool {
        at == 0 || self.things[at - 1].first != self.things[at].first
    }

    fn ends_its_line(&self, at: usize) -> bool {
        let line = self.things[at].last;
        let next = self.things.get(at + 1);
        next.is_none_or(|next| next.first > line)
    }

    fn laid_out(
        &self,
        above: &BTreeMap<usize, Vec<&str>>,
        behind: &BTreeMap<usize, String>,
    ) -> String {
        let ending = if self
            .lines
            .first()
            .is_some_and(|line| line.ends_with("\r\n"))
        {
            "\r\n"
        } else {
            "\n"
        };
        let mut out = String::new();
        for (at, line) in self.lines.iter().enumerate() {
            let indent = &line[..line.len() - line.trim_start_matches(' ').len()];
            for text in above.get(&at).into_iter().flatten() {
                out.extend([indent, text, ending]);
            }
            match behind.get(&at) {
                Some(text) => {
                    let bare = line.trim_end_matches(['\r', '\n']);
                    out.extend([bare, " ", text, &line[bare.len()..]]);
                }
                None => out.push_str(line),
            }
        }
        for text in above.get(&self.lines.len()).into_iter().flatten() {
            if !out.ends_with('\n') {
                out.push_str(ending);
            }
            out.extend([text, ending]);
        }
        out
    }
}

/// A way through a document, in the order of its text.
struct Walk<'a> {
    text: &'a str,
    /// Where the lines start.
    starts: Vec<usize>,
    things: Vec<Thing>,
    mark: Mark,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str, lines: &[&str], mark: Mark) -> Self {
        let mut at = 0;
        let start = |line: &&str| {
            at += line.len();
            at - line.len()
        };
        let starts = lines.iter().map(start).collect();
        let things = Vec::new();
        Self {
            text,
            starts,
            things,
            mark,
        }
    }

    /// Returns the line of a byte.
    fn line(&self, at: usize) -> usize {
        let after = self.starts.partition_point(|start| *start <= at);
        after.saturating_sub(1)
    }

    fn map(&mut self, map: &Mapping, path: &str) {
        if map.is_flow_style() {
            return;
        }
        for entry in map.entries() {
            let Some(key) = entry.key_node() else {
                continue;
            };
            let name = key
                .as_scalar()
                .map(yaml_edit::Scalar::as_string)
                .unwrap_or_default();
            let path = format!("{path}{STEP}{name}");
            let first = self.line(key.byte_range().start as usize);
            self.thing(&path, first, entry.value_node().as_ref());
        }
    }

    fn list(&mut self, list: &Sequence, path: &str) {
        if list.is_flow_style() {
            return;
        }
        for (at, item) in list.values().enumerate() {
            let path = format!("{path}{STEP}{}", (self.mark)(&item, at));
            let first = self.line(start(&item));
            self.thing(&path, first, Some(&item));
        }
    }

    /// Puts down a thing, and what is in it.
    fn thing(&mut self, path: &str, first: usize, value: Option<&YamlNode>) {
        let map = value.and_then(YamlNode::as_mapping);
        let map = map.filter(|map| !map.is_flow_style() && !map.is_empty());
        let items = value.and_then(YamlNode::as_sequence);
        let items = items.filter(|items| !items.is_flow_style() && !items.is_empty());
        let is_block = map.is_some() || items.is_some();
        let end = value.filter(|_| !is_block);
        let last = end.map_or(first, |value| self.end(value, first));
        self.things.push(Thing {
            path: path.into(),
            first,
            last,
            value: end.map(|value| self.written(value)),
        });
        if let Some(map) = map {
            self.map(map, path);
        } else if let Some(items) = items {
            self.list(items, path);
        }
    }

    /// Returns the line behind which the comment of a value stands.
    fn end(&self, value: &YamlNode, first: usize) -> usize {
        let range = self.written(value);
        if range.is_empty() {
            return first;
        }
        if self.text[range.clone()].starts_with(['|', '>']) {
            return self.line(range.start);
        }
        self.line(range.end - 1)
    }

    /// Returns the bytes of a value, without the space behind it.
    fn written(&self, value: &YamlNode) -> Range<usize> {
        let range = value.byte_range();
        let (start, end) = (range.start as usize, range.end as usize);
        start..start + self.text[start..end].trim_end().len()
    }
}

/// Returns by what an item is known: its name, its text, or its place.
fn mark(item: &YamlNode, at: usize) -> String {
    if let Some(scalar) = item.as_scalar() {
        return format!("={}", scalar.as_string());
    }
    let named = item.as_mapping().and_then(|map| map.get("name"));
    let name = named.as_ref().and_then(YamlNode::as_scalar);
    name.map_or_else(|| format!("#{at}"), |name| format!("@{}", name.as_string()))
}

/// Returns where a value begins.
fn start(value: &YamlNode) -> usize {
    if let Some(key) = value.as_mapping().and_then(|map| map.keys().next()) {
        return key.byte_range().start as usize;
    }
    if let Some(item) = value.as_sequence().and_then(Sequence::first) {
        return start(&item);
    }
    value.byte_range().start as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# top\n# of all\napiVersion: v1 # version\nkind: K\n\n# about metadata\nmetadata: # kpt-merge: /n\n  name: n # kpt-set: ${n}\n  labels:\n    # about a\n    a: b\nspec:\n  list:\n  # first\n  - name: x # the x\n    v: 1\n  - name: y\n    # about v\n    v: 2 # two\n  words:\n  - one # 1\n  - two # 2\n  text: | # header\n    # no comment\n    more\n  folded: 'a\n    b' # behind\n  flow: {a: 1} # flown\n# the end\n";

    #[test]
    fn lost_comments_come_back_where_they_were() {
        let bare = "apiVersion: v1\nkind: K\n\nmetadata:\n  name: n\n  labels:\n    a: b\nspec:\n  list:\n  - name: x\n    v: 1\n  - name: y\n    v: 2\n  words:\n  - one\n  - two\n  text: |\n    # no comment\n    more\n  folded: 'a\n    b'\n  flow: {a: 1}\n";
        assert_eq!(with_comments(bare, OLD), OLD);
        let windows = bare.replace('\n', "\r\n");
        assert_eq!(with_comments(&windows, OLD), OLD.replace('\n', "\r\n"));
    }

    #[test]
    fn what_was_written_anew_keeps_its_form() {
        // As a client writes that sorts keys and indents lists.
        let new = "apiVersion: v1\nkind: K\nmetadata:\n    labels:\n        a: \"c\"\n        z: new\n    name: \"m\"\nspec:\n    flow:\n        a: 1\n    list:\n        - name: y\n          v: 3\n        - v: 1\n          name: x\n    words:\n        - zero\n        - two";
        let want = "# top\n# of all\napiVersion: v1 # version\nkind: K\n# about metadata\nmetadata: # kpt-merge: /n\n    labels:\n        # about a\n        a: \"c\"\n        z: new\n    name: \"m\" # kpt-set: ${n}\nspec:\n    flow: # flown\n        a: 1\n    list:\n        - name: y\n          # about v\n          v: 3 # two\n        # first\n        - v: 1\n          name: x # the x\n    words:\n        - zero\n        - two # 2\n# the end\n";
        assert_eq!(with_comments(new, OLD), want);
        assert_eq!(with_comments(want, OLD), want);
    }

    #[test]
    fn what_has_its_comments_or_others_keeps_its_bytes() {
        for (new, old) in [
            (OLD, OLD),
            ("a: 1 # mine\n", "a: 1 # yours\n"),
            ("# mine\na: 1\n", "# yours\na: 1\n"),
            // Something was put between a comment and what it was about.
            ("# about b\nc: 0\nb: 1\n", "# about b\nb: 1\n"),
            ("c: 1\n", "# about b\nb: 1 # b\n"),
            ("{a: 1}\n", "# about a\na: 1 # a\n"),
            ("- a\n", "# x\n- a # a\n"),
            ("not: [yaml\n", "not: 1 # x\n"),
            ("a: 1\n", "not: [yaml # x\n"),
            ("a: 1\n", "a: 1\n"),
            ("", "a: 1 # x\n"),
        ] {
            assert_eq!(with_comments(new, old), new);
        }
    }

    #[test]
    fn comments_that_are_new_come_and_others_stay_away() {
        for (text, old, new, want) in [
            (
                "a: 1\nb: 2\n",
                "a: 1\n",
                "a: 1 # a\nb: 2 # b\n",
                "a: 1 # a\nb: 2 # b\n",
            ),
            ("a: 1\n", "a: 1 # a\n", "a: 1 # a\n", "a: 1\n"),
            ("a: 1\n", "a: 1 # a\n", "a: 1 # other\n", "a: 1\n"),
            ("a: 1 # mine\n", "a: 1\n", "a: 1 # new\n", "a: 1 # mine\n"),
            ("b: 1\n", "# x\na: 1\nb: 1\n", "a: 1\n# x\nb: 1\n", "b: 1\n"),
            ("a: 1\n", "a: 1\n", "a: 1\nc: 1 # c\n", "a: 1\n"),
            ("a: 1\n", "", "# new\na: 1\n", "a: 1\n"),
        ] {
            assert_eq!(with_new_comments(text, old, new), want, "{text:?}");
        }
        assert_eq!(comments("# a \nb: '# c' # d\n"), ["# a", "# d"]);
    }

    #[test]
    fn comments_go_where_the_text_takes_them() {
        for (new, old, want) in [
            ("a:\n  b: 1\n", "a: {b: 1} # x\n", "a: # x\n  b: 1\n"),
            ("a: {b: 1}\n", "a: # x\n  b: 1 # y\n", "a: {b: 1} # x\n"),
            ("a:\nb: 1\n", "a: # x\nb: 1\n", "a: # x\nb: 1\n"),
            ("a: |-\n  t\n", "a: t # x\n", "a: |- # x\n  t\n"),
            ("a: t\n", "a: |- # x\n  t\n", "a: t # x\n"),
            (
                "a:\n- - 1\n  - 2\n",
                "a:\n# x\n- - 1 # one\n  - 2 # two\n",
                "a:\n# x\n- - 1 # one\n  - 2 # two\n",
            ),
            (
                "a: &x 1\nb: *x\n",
                "a: 1 # a\nb: 1 # b\n",
                "a: &x 1 # a\nb: *x # b\n",
            ),
            ("\"a\": 1\n", "a: 1 # a\n", "\"a\": 1 # a\n"),
            ("a: 1", "a: 1\n# z\n", "a: 1\n# z\n"),
            (
                "a: 1\nb: 2\n",
                "a: 1\n\n# x\n\n# y\nb: 2\n",
                "a: 1\n# x\n# y\nb: 2\n",
            ),
            ("---\na: 1\n", "# c\n---\na: 1\n", "---\n# c\na: 1\n"),
            (
                "a: 1\na-b: 2\n",
                "a: 1 # s\na-b: 2 # s\n",
                "a: 1 # s\na-b: 2 # s\n",
            ),
        ] {
            assert_eq!(with_comments(new, old), want, "{new}");
        }
    }
}
