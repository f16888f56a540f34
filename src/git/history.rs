//! The history of a repository as far as it tells how packages came to be: who made which revision by what task, and who
//! touched a package last. Every commit is read once, ever; what was never annotated costs nothing.

use std::{
    collections::{BinaryHeap, HashMap, HashSet},
    sync::Arc,
};

use git2::{Odb, Oid};

use super::{Error, commit};
use crate::api::Task;

/// How far clocks of committers may differ, in seconds: searches look this much further back.
const SKEW: i64 = 86_400;
/// Stands where a commit has no such parent.
const NONE: u32 = u32::MAX;

/// A commit, as little of it as can be.
#[derive(Clone, Copy)]
struct Node {
    /// When it was made, in seconds.
    time: i64,
    /// Its first two parents.
    parents: [u32; 2],
}

/// Who wrote an annotated commit, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Author {
    pub(super) email: Arc<str>,
    pub(super) time: Option<i64>,
}

/// A task that created a revision, and the commit that says so.
struct Made {
    node: u32,
    /// The task's number among the texts, as JSON: many are the same, and few are ever asked for.
    task: u32,
}

/// What an annotated commit says.
struct Mark {
    /// The packages that it names, by their numbers among the texts.
    packages: Box<[u32]>,
    /// Its author's address, by its number among the texts.
    email: u32,
    time: Option<i64>,
}

/// Texts, each of them kept once.
#[derive(Default)]
struct Texts {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).expect("fewer than 2^32 texts fit in memory");
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    fn text(&self, number: u32) -> &Arc<str> {
        &self.texts[number as usize]
    }
}

/// All commits that were ever reached.
#[derive(Default)]
pub(super) struct History {
    /// Commits by id.
    index: HashMap<Oid, u32>,
    /// Commits by number.
    nodes: Vec<Node>,
    /// The parents of octopus merges beyond the second.
    more: HashMap<u32, Vec<u32>>,
    /// Creation tasks by package and workspace, in two steps so that a search copies nothing.
    made: HashMap<u32, HashMap<Box<str>, Vec<Made>>>,
    /// What annotated commits say.
    marks: HashMap<u32, Mark>,
    /// Packages, addresses and tasks.
    texts: Texts,
    /// The branch as it was last looked at.
    branch: Branch,
}

/// What the commits of the branch say.
#[derive(Default)]
struct Branch {
    head: Option<u32>,
    commits: HashSet<u32>,
    /// The newest annotated commit of each package: when it was made, and by whom.
    authors: HashMap<u32, (i64, Author)>,
}

impl History {
    /// Takes in everything that is reachable from a commit.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::TooLarge`].
    pub(super) fn add(&mut self, odb: &Odb<'_>, tip: Oid) -> Result<(), Error> {
        let mut due = Vec::new();
        if !self.index.contains_key(&tip) {
            self.number(tip);
            due.push(tip);
        }
        let begun = self.nodes.len().saturating_sub(1);
        let done = self.read_all(odb, due);
        if done.is_err() {
            // What was only half taken in would look complete next time.
            self.forget(begun);
        }
        done
    }

    fn read_all(&mut self, odb: &Odb<'_>, mut due: Vec<Oid>) -> Result<(), Error> {
        while let Some(id) = due.pop() {
            let commit = commit::read(odb, id)?;
            let node = self.index[&id];
            let mut parents = Vec::with_capacity(commit.parents.len());
            for parent in &commit.parents {
                if !self.index.contains_key(parent) {
                    due.push(*parent);
                }
                parents.push(self.number(*parent));
            }
            self.link(node, commit.time, &parents);
            self.mark(node, commit);
        }
        Ok(())
    }

    fn number(&mut self, id: Oid) -> u32 {
        let fresh = u32::try_from(self.nodes.len()).expect("fewer than 2^32 commits fit in memory");
        let number = *self.index.entry(id).or_insert(fresh);
        if number == fresh {
            let parents = [NONE; 2];
            self.nodes.push(Node { time: 0, parents });
        }
        number
    }

    fn link(&mut self, node: u32, time: i64, parents: &[u32]) {
        let parent = |at: usize| parents.get(at).copied().unwrap_or(NONE);
        self.nodes[node as usize] = Node {
            time,
            parents: [parent(0), parent(1)],
        };
        if parents.len() > 2 {
            self.more.insert(node, parents[2..].to_vec());
        }
    }

    fn mark(&mut self, node: u32, commit: commit::Commit) {
        if commit.annotations.is_empty() {
            return;
        }
        let mut packages = Vec::with_capacity(commit.annotations.len());
        for annotation in commit.annotations {
            let package = self.texts.number(&annotation.package);
            let workspace = if annotation.workspace.is_empty() {
                annotation.revision
            } else {
                annotation.workspace
            };
            if let Some(task) = annotation.task {
                self.make(node, package, workspace, &task);
            }
            packages.push(package);
        }
        let mark = Mark {
            packages: packages.into(),
            email: self.texts.number(&commit.author_email),
            time: commit.author_time,
        };
        self.marks.insert(node, mark);
    }

    fn make(&mut self, node: u32, package: u32, workspace: String, task: &Task) {
        let task = serde_json::to_string(task).expect("a task has string keys");
        let task = self.texts.number(&task);
        let of_package = self.made.entry(package).or_default();
        let made = of_package.entry(workspace.into());
        // Almost all are made once.
        made.or_insert_with(|| Vec::with_capacity(1))
            .push(Made { node, task });
    }

    /// Forgets all commits from a number on.
    fn forget(&mut self, from: usize) {
        let kept = |node: u32| (node as usize) < from;
        self.index.retain(|_, node| kept(*node));
        self.nodes.truncate(from);
        self.more.retain(|node, _| kept(*node));
        self.marks.retain(|node, _| kept(*node));
        for all in self.made.values_mut().flat_map(HashMap::values_mut) {
            all.retain(|made| kept(made.node));
        }
    }

    fn parents(&self, node: u32) -> impl Iterator<Item = u32> {
        let first = self.nodes[node as usize].parents;
        let more = self.more.get(&node).into_iter().flatten().copied();
        first
            .into_iter()
            .filter(|parent| *parent != NONE)
            .chain(more)
    }

    /// Returns the task that created a revision: the first one found backwards from its commit, which was taken in.
    pub(super) fn task(&self, commit: Oid, package: &str, workspace: &str) -> Option<Task> {
        let package = self.texts.numbers.get(package)?;
        let made = self.made.get(package)?.get(workspace)?;
        let oldest = made
            .iter()
            .map(|made| self.nodes[made.node as usize].time)
            .min()?
            - SKEW;
        let start = *self.index.get(&commit)?;
        let mut due = BinaryHeap::from([(self.nodes[start as usize].time, start)]);
        let mut seen = HashSet::from([start]);
        while let Some((_, node)) = due.pop() {
            if let Some(made) = made.iter().find(|made| made.node == node) {
                let task = serde_json::from_str(self.texts.text(made.task));
                return Some(task.expect("it was written from a task"));
            }
            for parent in self.parents(node) {
                let time = self.nodes[parent as usize].time;
                if time >= oldest && seen.insert(parent) {
                    due.push((time, parent));
                }
            }
        }
        None
    }

    /// Looks at the branch as it is now; its head was taken in.
    pub(super) fn look_at_branch(&mut self, head: Oid) {
        let Some(head) = self.index.get(&head).copied() else {
            return;
        };
        if self.branch.head == Some(head) {
            return;
        }
        let mut branch = std::mem::take(&mut self.branch);
        if !self.advance(&mut branch, head) {
            branch = Branch::default();
            self.advance(&mut branch, head);
        }
        branch.head = Some(head);
        self.branch = branch;
    }

    /// Takes in what the branch has beyond what it had; returns whether its old head is still in it.
    fn advance(&self, branch: &mut Branch, head: u32) -> bool {
        let mut met = branch.head.is_none();
        let mut due = vec![head];
        while let Some(node) = due.pop() {
            met |= branch.head == Some(node);
            if !branch.commits.insert(node) {
                continue;
            }
            self.credit(branch, node);
            due.extend(self.parents(node));
        }
        met
    }

    fn credit(&self, branch: &mut Branch, node: u32) {
        let time = self.nodes[node as usize].time;
        let Some(mark) = self.marks.get(&node) else {
            return;
        };
        for package in &mark.packages {
            let newest = branch
                .authors
                .get(package)
                .map_or(i64::MIN, |(time, _)| *time);
            if time > newest {
                let author = Author {
                    email: self.texts.text(mark.email).clone(),
                    time: mark.time,
                };
                branch.authors.insert(*package, (time, author));
            }
        }
    }

    /// Returns who touched a package on the branch last.
    pub(super) fn author(&self, package: &str) -> Option<&Author> {
        let package = self.texts.numbers.get(package)?;
        self.branch.authors.get(package).map(|(_, author)| author)
    }
}
