//! Comments carried from one text of a document to another that lost them.
//!
//! A comment is above what follows it, or behind what is on its line. What it is about is found again by its path; what is in a list, by
//! its name, by its text, or by its place. Text that takes no comment keeps its bytes.

use std::{collections::BTreeSet, str::FromStr};

use yaml_edit::YamlFile;

use super::{outline::Outline, quick, read};

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
    let had: BTreeSet<String> = comments(old).into_iter().collect();
    if comments(new).iter().all(|comment| had.contains(comment)) {
        // Most often there are none.
        return text.into();
    }
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
    if let Some(comments) = quick::comments(text) {
        return comments;
    }
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
