//! Commits as they are stored, and the lines in their messages by which packages remember how they came to be.
//! Lenient: a commit by anybody, however odd its author, is read.

use git2::{ObjectType, Odb, Oid};
use serde::Deserialize;

use super::{Error, tree};
use crate::api::Task;

/// What is read of a commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Commit {
    /// Its tree.
    pub(super) tree: Option<Oid>,
    /// Its parents, first one first.
    pub(super) parents: Vec<Oid>,
    /// E-mail of its author.
    pub(super) author_email: String,
    /// When it was written, in seconds.
    pub(super) author_time: Option<i64>,
    /// When it was made, in seconds; commits are ordered by it.
    pub(super) time: i64,
    /// The lines of its message that are Porch's.
    pub(super) annotations: Vec<Annotation>,
}

/// Returns a commit.
///
/// # Errors
/// [`Error::Corrupt`] when it is missing or no commit; [`Error::TooLarge`].
pub(super) fn read(odb: &Odb<'_>, id: Oid) -> Result<Commit, Error> {
    Ok(parse(tree::read(odb, id, ObjectType::Commit)?.data()))
}

/// Returns what the bytes of a commit say.
pub(super) fn parse(data: &[u8]) -> Commit {
    let mut commit = Commit::default();
    let mut rest = data;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        header(line, &mut commit);
    }
    commit.annotations = annotations(rest);
    commit
}

fn header(line: &[u8], commit: &mut Commit) {
    let id = |text: &[u8]| {
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| Oid::from_str(text).ok())
    };
    if let Some(text) = line.strip_prefix(b"tree ") {
        commit.tree = id(text);
    } else if let Some(text) = line.strip_prefix(b"parent ") {
        commit.parents.extend(id(text));
    } else if let Some(text) = line.strip_prefix(b"author ") {
        (commit.author_email, commit.author_time) = signature(text);
    } else if let Some(text) = line.strip_prefix(b"committer ") {
        commit.time = signature(text).1.unwrap_or_default();
    }
}

/// Returns the e-mail and the time of `<name> <<e-mail>> <seconds> <zone>`.
fn signature(text: &[u8]) -> (String, Option<i64>) {
    let text = String::from_utf8_lossy(text);
    let Some((who, when)) = text.rsplit_once('>') else {
        return (String::new(), None);
    };
    let email = who.rsplit_once('<').map_or("", |(_, email)| email);
    let seconds = when
        .split_whitespace()
        .next()
        .and_then(|seconds| seconds.parse().ok());
    (email.trim().into(), seconds)
}

/// One `kpt:` line of a commit message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotation {
    /// Full path of the package.
    pub package: String,
    /// Its workspace; empty in very old repositories.
    pub workspace: String,
    /// `0` for a draft, the number of a publication, or, in very old repositories, what the workspace is now.
    pub revision: String,
    /// The task that the commit did, if it is one that creates revisions.
    pub task: Option<Task>,
}

/// The line as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    package: Option<String>,
    workspace_name: Option<String>,
    revision: Option<String>,
    task: Option<Task>,
}

/// Returns the annotations of a commit message; lines that cannot be understood are passed over.
#[must_use]
pub fn annotations(message: &[u8]) -> Vec<Annotation> {
    let lines = message.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| annotation(line.trim_ascii().strip_prefix(b"kpt:")?))
        .collect()
}

fn annotation(json: &[u8]) -> Option<Annotation> {
    let line: Line = serde_json::from_slice(json).ok()?;
    let creates =
        |task: &Task| matches!(task.type_.as_str(), "init" | "clone" | "edit" | "upgrade");
    Some(Annotation {
        package: line.package.unwrap_or_default(),
        workspace: line.workspace_name.unwrap_or_default(),
        revision: line.revision.unwrap_or_default(),
        task: line.task.filter(creates),
    })
}
