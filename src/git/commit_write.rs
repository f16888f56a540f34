//! Commits as upstream makes them: one directory replaced, everything else as it was. In come ids, people and words, out
//! comes the id of the new commit. A name is cleaned of what Git forbids; nothing else is judged.

use std::{collections::BTreeMap, fmt::Write};

use git2::{ObjectType, Oid};
use jiff::Timestamp;

use super::{Error, Workbench, message::INITIAL, tree_write::parts, workbench::whole_id};

/// Who makes every commit, whoever wrote it.
const COMMITTER: (&str, &str) = ("Package Orchestration Service", "porch@kpt.dev");
/// The only file of a branch that Porch begins.
const README: (&str, &str) = ("README.md", "Created by porch");

/// Who wrote a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Name; where it is empty, the e-mail stands for it.
    pub name: String,
    /// E-mail; may be empty.
    pub email: String,
}

impl Person {
    /// Returns Porch itself, which commits what it does on nobody's behalf.
    #[must_use]
    pub fn porch() -> Self {
        let (name, email) = COMMITTER;
        Self {
            name: name.into(),
            email: email.into(),
        }
    }

    /// Returns `<name> <<e-mail>>` without what Git forbids there; Porch's if nothing is left.
    fn signature(&self) -> String {
        let email = clean(&self.email);
        let name = clean(&self.name);
        match (name.is_empty(), email.is_empty()) {
            (true, true) => format!("{} <{}>", COMMITTER.0, COMMITTER.1),
            (true, false) => format!("{email} <{email}>"),
            _ => format!("{name} <{email}>"),
        }
    }
}

fn clean(text: &str) -> String {
    let allowed = text
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, '<' | '>'));
    allowed.collect::<String>().trim().into()
}

/// A commit to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewCommit<'a> {
    /// The commit whose tree is kept but for the directory; nothing is the empty tree.
    pub base: Option<&'a str>,
    /// Its parents, first one first.
    pub parents: &'a [&'a str],
    /// The directory that changes, from the root; empty for the root.
    pub directory: &'a str,
    /// What the directory becomes. Nothing: it goes, and directories above it that would be empty.
    pub tree: Option<&'a str>,
    /// Who wrote it.
    pub author: &'a Person,
    /// When it is written and made.
    pub time: Timestamp,
    /// Its message, byte for byte.
    pub message: &'a str,
}

impl Workbench<'_> {
    /// Makes a commit, also where nothing changes, and returns its id.
    ///
    /// # Errors
    /// [`Error::Refused`] for what is no id, a directory that must not be written or is a file, a message with NUL;
    /// [`Error::Corrupt`] when the base, a parent or the tree is absent; [`Error::TooLarge`].
    pub fn commit(&mut self, new: &NewCommit<'_>) -> Result<String, Error> {
        let base = new.base.map(whole_id).transpose()?;
        let root = base.map(|id| self.root_of(id)).transpose()?;
        let tree = new.tree.map(whole_id).transpose()?;
        if let Some(tree) = tree {
            self.read(tree, ObjectType::Tree)?;
        }
        let parts = match new.directory {
            "" => Vec::new(),
            directory => parts(directory)?,
        };
        let grafted = self.graft(root, &parts, tree)?;
        let root = grafted.unwrap_or_else(|| self.store(ObjectType::Tree, Vec::new()));
        self.record(root, new)
    }

    /// Makes the commit that begins a branch, and returns its id: for a repository that lacks the registered one.
    ///
    /// # Errors
    /// None that a sound mirror has.
    pub fn first_commit(&mut self, time: Timestamp) -> Result<String, Error> {
        let files = BTreeMap::from([(README.0.to_string(), README.1.into())]);
        let tree = self.package_tree(&files, None)?;
        self.commit(&NewCommit {
            base: None,
            parents: &[],
            directory: "",
            tree: Some(&tree),
            author: &Person::porch(),
            time,
            message: INITIAL,
        })
    }

    /// Stores a commit of this tree.
    fn record(&mut self, root: Oid, new: &NewCommit<'_>) -> Result<String, Error> {
        if new.message.contains('\0') {
            return Err(Error::Refused("a message must not contain NUL".into()));
        }
        let mut text = format!("tree {root}\n");
        for parent in new.parents {
            self.read(whole_id(parent)?, ObjectType::Commit)?;
            writeln!(text, "parent {parent}").expect("memory takes every line");
        }
        let seconds = new.time.as_second().max(0);
        let (author, committer) = (new.author.signature(), Person::porch().signature());
        write!(
            text,
            "author {author} {seconds} +0000\ncommitter {committer} {seconds} +0000\n\n{}",
            new.message
        )
        .expect("memory takes every line");
        let id = self.store(ObjectType::Commit, text.into_bytes());
        self.commits.push((id, new.directory.into()));
        Ok(id.to_string())
    }
}
