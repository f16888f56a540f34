//! Where in a text everything stands, and its comments with what they are about. In comes a text, out comes its outline, and texts with
//! other comments.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{quick, walk};

/// What separates the steps of a path: no key has it.
pub(super) const STEP: char = '\0';
/// The path of what is behind the last thing of a document; those of things begin with a step.
pub(super) const END: &str = "end";

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
#[derive(Debug, PartialEq)]
pub(super) struct Thing {
    /// Keys, and marks of items, from the root.
    pub(super) path: String,
    /// The line where it begins.
    pub(super) first: usize,
    /// The line behind which its comment stands: that of its key, or the last one of its value.
    pub(super) last: usize,
    /// The bytes of its value, if that is no map or list of several lines.
    pub(super) value: Option<Range<usize>>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Comment {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) place: Place,
}

/// By what an item of a list is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// By its name, its text, or else its place.
    Name,
    /// By its place.
    Place,
}

/// Where a comment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Above,
    Behind,
}

/// Comments of one place of one thing.
pub(super) struct Note<'a> {
    pub(super) path: &'a str,
    pub(super) place: Place,
    pub(super) texts: Vec<&'a str>,
}

impl<'a> Outline<'a> {
    /// Returns the outline of a text; nothing if it is not one map.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        Self::marked(text, Mark::Name)
    }

    /// Returns the outline of a text, with items known by their places; nothing if it is not one map.
    pub(super) fn placed(text: &'a str) -> Option<Self> {
        Self::marked(text, Mark::Place)
    }

    fn marked(text: &'a str, mark: Mark) -> Option<Self> {
        let found = quick::outlined(text, mark);
        let (things, comments) = found.or_else(|| walk::outlined(text, mark))?;
        let numbered = things.iter().enumerate();
        let by_last = numbered.map(|(at, thing)| (thing.last, at)).collect();
        Some(Self {
            lines: text.split_inclusive('\n').collect(),
            things,
            by_last,
            comments,
        })
    }

    /// Returns the path of what a comment is about.
    pub(super) fn subject(&self, comment: &Comment) -> &str {
        self.thing(comment).map_or(END, |thing| &thing.path)
    }

    /// Returns what a comment is about; nothing if it is behind the last thing.
    pub(super) fn thing(&self, comment: &Comment) -> Option<&Thing> {
        match comment.place {
            Place::Above => {
                let next = self
                    .things
                    .partition_point(|thing| thing.first <= comment.line);
                self.things.get(next)
            }
            Place::Behind => self.by_last.get(&comment.line).map(|at| &self.things[*at]),
        }
    }

    /// Returns the comments by what they are about.
    pub(super) fn notes(&self) -> Vec<Note<'_>> {
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
    pub(super) fn lost_in(&self, other: &Self) -> Vec<Note<'_>> {
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
    pub(super) fn with(&self, notes: &[Note]) -> String {
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

/// Returns where the lines of a text begin.
pub(super) fn line_starts(text: &str) -> Vec<usize> {
    let mut next = 0;
    let lines = text.split_inclusive('\n');
    let start = |line: &str| {
        next += line.len();
        next - line.len()
    };
    lines.map(start).collect()
}

/// Returns the line of a byte.
pub(super) fn line_of(starts: &[usize], at: usize) -> usize {
    let after = starts.partition_point(|start| *start <= at);
    after.saturating_sub(1)
}
