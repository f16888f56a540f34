//! What a deed does to the refs of a repository: commits on a workbench, and edits that each name the value they replace.
//! In come a deed and what the refs are taken to be; out comes a plan, to be pushed whole. Nothing is sent here.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::git::{
    Error, NewCommit, Person, RefEdit, Refs, Scope, Workbench, approval_message, deletion_ref,
};

/// Content of a package's files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What is to be done with one package revision in Git.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Gives a draft these files.
    Write {
        /// All files of the package.
        files: Arc<Files>,
        /// The draft as it is, if there is one.
        draft: Option<Draft>,
        /// Of a new draft, a tree of the same repository that the files come from: what is the same keeps its mode, and
        /// need not be sent.
        before: Option<String>,
        /// Whether it is proposed then.
        propose: bool,
    },
    /// Makes a draft a proposal.
    Propose {
        /// The draft.
        draft: Draft,
    },
    /// Makes a proposal a draft again.
    Reject {
        /// The proposal.
        draft: Draft,
    },
    /// Makes a proposal a published revision: on the branch, with a tag.
    Publish {
        /// The proposal.
        draft: Draft,
        /// Number of the revision.
        number: i64,
    },
    /// Marks a published revision as one that is to be deleted.
    ProposeDeletion {
        /// Its commit.
        commit: String,
        /// The number in its tag; less than one for the package on the branch.
        number: i64,
    },
    /// Takes that mark away.
    Keep {
        /// What the mark points at.
        commit: String,
        /// As in `ProposeDeletion`.
        number: i64,
    },
    /// Takes a draft or a proposal away.
    Discard {
        /// Full name of its ref.
        reference: String,
        /// What that points at.
        commit: String,
        /// Whether it goes whatever it points at by now.
        whatever: bool,
    },
    /// Takes a published revision away: its tag and its mark. The branch stays as it is.
    Withdraw {
        /// Full name of its tag.
        tag: String,
        /// The commit that the tag stands for.
        commit: String,
        /// Whether it goes whatever it stands for by now.
        whatever: bool,
        /// Number of the revision.
        number: i64,
        /// Whether it is marked.
        marked: bool,
    },
    /// Takes a package off the branch.
    Remove {
        /// What its mark points at, if it is marked.
        mark: Option<String>,
    },
}

/// A draft or a proposal, as it was when somebody decided what to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its commit.
    pub commit: String,
    /// The tree of its package.
    pub tree: String,
}

/// A deed, where it is done, and by whom.
#[derive(Clone, Debug)]
pub struct Work {
    /// What is to be done.
    pub deed: Deed,
    /// Directory of the package from the root of the repository.
    pub directory: String,
    /// The workspace.
    pub workspace: String,
    /// Message of the commit, if there is one; that of a publication is made when the number is known.
    pub message: String,
    /// Who does it.
    pub author: Person,
    /// When.
    pub time: Timestamp,
}

impl Work {
    /// Returns whether a plan can be made anew when this ref was not what it was taken to be: the branch moves for many
    /// reasons, a mark means the same wherever it points, and what is to go may go as it is.
    #[must_use]
    pub fn replans(&self, scope: &Scope, reference: &str) -> bool {
        let mark = reference.starts_with("refs/heads/deletionProposed/");
        let going = matches!(self.deed, Deed::Discard { .. } | Deed::Withdraw { .. });
        let numbered = matches!(self.deed, Deed::Publish { .. });
        if numbered && reference.starts_with("refs/tags/") {
            // There are other numbers.
            return true;
        }
        mark || going || reference == scope.branch_ref()
    }
}

/// Edits that belong together, and what they bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In an order of which every beginning is sound.
    pub edits: Vec<RefEdit>,
    /// The new commit, or the one that is kept.
    pub commit: String,
    /// The tree of the package in it.
    pub tree: String,
    /// Whether the branch moves.
    pub moves_branch: bool,
    /// The number of the revision that it publishes.
    pub number: Option<i64>,
}

/// What the refs are taken to be.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Head of the registered branch, as it was seen last and as the plans before make it; nothing if there is none.
    pub head: Option<String>,
    /// All refs as they were just seen, if they were looked at: a plan made before did not fit.
    pub refs: Option<Arc<Refs>>,
}

impl View {
    /// Returns what a mark points at; `taken` if that was not looked at.
    fn mark(&self, name: &str, taken: Option<&String>) -> Option<String> {
        match &self.refs {
            Some(refs) => refs.get(name).map(|target| target.id.clone()),
            None => taken.cloned(),
        }
    }

    /// Returns the number for the next revision of the package in a directory: `wanted`, or one more than any that a tag
    /// has, if the tags were looked at and it is not to be had.
    fn number(&self, directory: &str, wanted: i64) -> i64 {
        let prefix = format!("refs/tags/{directory}/v");
        let tags = self.refs.iter().flat_map(|refs| refs.iter());
        let numbers = tags.filter_map(|(name, _)| name.strip_prefix(&prefix)?.parse::<i64>().ok());
        let highest = numbers.max().unwrap_or_default();
        wanted.max(highest + 1)
    }

    /// Returns the id that a ref has which stands for `commit`, or for anything if it is to go `whatever` it is.
    fn id(&self, name: &str, commit: &str, whatever: bool) -> Option<String> {
        let Some(refs) = &self.refs else {
            return Some(commit.into());
        };
        match refs.get(name) {
            Some(target) if whatever || target.commit == commit => Some(target.id.clone()),
            Some(_) => Some(commit.into()),
            None => None,
        }
    }
}

/// Returns what `work` does to the refs; then `view` is as it will be after it.
///
/// # Errors
/// [`Error::BranchMissing`] if there is no branch to begin or publish on; [`Error::Corrupt`], [`Error::Local`] if the mirror can't be
/// read; [`Error::Refused`] for files that no tree may hold.
pub fn plan(
    work: &Work,
    scope: &Scope,
    view: &mut View,
    bench: &mut Workbench<'_>,
) -> Result<Plan, Error> {
    let place = Place { work, scope };
    match &work.deed {
        Deed::Write {
            files,
            draft,
            before,
            propose,
        } => {
            let tree = draft.as_ref().map(|draft| &draft.tree);
            let before = tree.or(before.as_ref()).map(String::as_str);
            let tree = bench.package_tree(files, before)?;
            place.write((view, bench), tree, draft.as_ref(), *propose)
        }
        Deed::Propose { draft } => Ok(moved(draft, &place.draft(), &place.proposal())),
        Deed::Reject { draft } => Ok(moved(draft, &place.proposal(), &place.draft())),
        Deed::Publish { draft, number } => place.publish(view, bench, draft, *number),
        Deed::ProposeDeletion { commit, number } => {
            let name = place.mark(*number);
            let now = view.mark(&name, None);
            Ok(taken(vec![edit(&name, now.as_ref(), Some(commit))]))
        }
        Deed::Keep { commit, number } => {
            let name = place.mark(*number);
            let now = view.mark(&name, Some(commit));
            Ok(taken(vec![edit(&name, now.as_ref(), None)]))
        }
        Deed::Discard {
            reference,
            commit,
            whatever,
        } => {
            let id = view.id(reference, commit, *whatever);
            Ok(taken(vec![edit(reference, id.as_ref(), None)]))
        }
        Deed::Withdraw { .. } => Ok(place.withdraw(view)),
        Deed::Remove { mark } => place.remove(view, bench, mark.as_ref()),
    }
}

/// Where a deed is done.
struct Place<'a> {
    work: &'a Work,
    scope: &'a Scope,
}

impl Place<'_> {
    fn draft(&self) -> String {
        format!(
            "refs/heads/drafts/{}/{}",
            self.work.directory, self.work.workspace
        )
    }

    fn proposal(&self) -> String {
        format!(
            "refs/heads/proposed/{}/{}",
            self.work.directory, self.work.workspace
        )
    }

    fn mark(&self, number: i64) -> String {
        deletion_ref(&self.work.directory, &self.work.workspace, number)
    }

    fn write(
        &self,
        (view, bench): (&View, &mut Workbench<'_>),
        tree: String,
        draft: Option<&Draft>,
        propose: bool,
    ) -> Result<Plan, Error> {
        // A draft without a branch under it could never be published, nor be found by a scan.
        let base = match draft {
            Some(draft) => draft.commit.clone(),
            None => self.head(view)?,
        };
        let commit = self.commit(
            bench,
            (Some(&base), &[base.as_str()]),
            Some(&tree),
            &self.work.message,
        )?;
        let from = draft.map(|draft| &draft.commit);
        let edits = match from {
            Some(from) if propose => vec![
                edit(&self.proposal(), None, Some(&commit)),
                edit(&self.draft(), Some(from), None),
            ],
            from => vec![edit(&self.draft(), from, Some(&commit))],
        };
        Ok(Plan {
            edits,
            commit,
            tree,
            moves_branch: false,
            number: None,
        })
    }

    fn publish(
        &self,
        view: &mut View,
        bench: &mut Workbench<'_>,
        draft: &Draft,
        number: i64,
    ) -> Result<Plan, Error> {
        let head = self.head(view)?;
        let parents = [head.as_str(), draft.commit.as_str()];
        let number = view.number(&self.work.directory, number);
        let message = approval_message(&self.work.directory, &self.work.workspace, number);
        let commit = self.commit(bench, (Some(&head), &parents), Some(&draft.tree), &message)?;
        let tag = format!("refs/tags/{}/v{number}", self.work.directory);
        let edits = vec![
            edit(&self.scope.branch_ref(), Some(&head), Some(&commit)),
            edit(&tag, None, Some(&commit)),
            edit(&self.proposal(), Some(&draft.commit), None),
        ];
        view.head = Some(commit.clone());
        Ok(Plan {
            edits,
            commit,
            tree: draft.tree.clone(),
            moves_branch: true,
            number: Some(number),
        })
    }

    fn withdraw(&self, view: &View) -> Plan {
        let Deed::Withdraw {
            tag,
            commit,
            whatever,
            number,
            marked,
        } = &self.work.deed
        else {
            return taken(Vec::new());
        };
        let mark = self.mark(*number);
        let now = view.mark(&mark, Some(commit).filter(|_| *marked));
        let id = view.id(tag, commit, *whatever);
        taken(vec![
            edit(&mark, now.as_ref(), None),
            edit(tag, id.as_ref(), None),
        ])
    }

    fn remove(
        &self,
        view: &mut View,
        bench: &mut Workbench<'_>,
        mark: Option<&String>,
    ) -> Result<Plan, Error> {
        let head = self.head(view)?;
        let name = self.mark(-1);
        let mark = view.mark(&name, mark);
        let mut plan = taken(vec![edit(&name, mark.as_ref(), None)]);
        if bench.tree_of(&head, &self.work.directory)?.is_none() {
            return Ok(plan);
        }
        let commit = self.commit(
            bench,
            (Some(&head), &[head.as_str()]),
            None,
            &self.work.message,
        )?;
        plan.edits
            .push(edit(&self.scope.branch_ref(), Some(&head), Some(&commit)));
        plan.commit.clone_from(&commit);
        plan.moves_branch = true;
        view.head = Some(commit);
        Ok(plan)
    }

    fn head(&self, view: &View) -> Result<String, Error> {
        view.head.clone().ok_or_else(|| Error::BranchMissing {
            branch: self.scope.branch.clone(),
        })
    }

    fn commit(
        &self,
        bench: &mut Workbench<'_>,
        (base, parents): (Option<&str>, &[&str]),
        tree: Option<&str>,
        message: &str,
    ) -> Result<String, Error> {
        bench.commit(&NewCommit {
            base,
            parents,
            directory: &self.work.directory,
            tree,
            author: &self.work.author,
            time: self.work.time,
            message,
        })
    }
}

fn moved(draft: &Draft, from: &str, to: &str) -> Plan {
    Plan {
        edits: vec![
            edit(to, None, Some(&draft.commit)),
            edit(from, Some(&draft.commit), None),
        ],
        commit: draft.commit.clone(),
        tree: draft.tree.clone(),
        moves_branch: false,
        number: None,
    }
}

fn edit(name: &str, from: Option<&String>, to: Option<&String>) -> RefEdit {
    RefEdit {
        name: name.into(),
        from: from.cloned(),
        to: to.cloned(),
    }
}

/// Returns a plan that makes no commit. What is as it should be is left out.
fn taken(mut edits: Vec<RefEdit>) -> Plan {
    edits.retain(|edit| edit.from != edit.to);
    Plan {
        edits,
        commit: String::new(),
        tree: String::new(),
        moves_branch: false,
        number: None,
    }
}

/// Returns whether a plan finds every ref as those before it leave it.
#[must_use]
pub fn follows<'a>(plan: &Plan, before: &(impl Iterator<Item = &'a Plan> + Clone)) -> bool {
    let left = |name: &str| {
        let all = before.clone().flat_map(|plan| &plan.edits);
        all.filter(|edit| edit.name == name).last()
    };
    let fits = |edit: &RefEdit| left(&edit.name).is_none_or(|known| known.to == edit.from);
    plan.edits.iter().all(fits)
}

/// Returns the edits of plans that are pushed together: a ref that several move goes from what the first expects to where
/// the last leaves it.
#[must_use]
pub fn join<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Vec<RefEdit> {
    let mut joined: Vec<RefEdit> = Vec::new();
    for edit in plans.into_iter().flat_map(|plan| &plan.edits) {
        match joined.iter_mut().find(|known| known.name == edit.name) {
            Some(known) => known.to.clone_from(&edit.to),
            None => joined.push(edit.clone()),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(edits: &[(&str, Option<&str>, Option<&str>)]) -> Plan {
        let edits = edits.iter().map(|(name, from, to)| {
            let (from, to) = (from.map(String::from), to.map(String::from));
            edit(name, from.as_ref(), to.as_ref())
        });
        Plan {
            edits: edits.collect(),
            commit: String::new(),
            tree: String::new(),
            moves_branch: false,
            number: None,
        }
    }

    #[test]
    fn plans_are_joined_only_if_each_stands_on_those_before_it() {
        let one = plan(&[("main", Some("a"), Some("b")), ("p/v1", None, Some("b"))]);
        let other = plan(&[("main", Some("b"), Some("c")), ("q/v1", None, Some("c"))]);
        let rival = plan(&[("main", Some("b"), Some("d")), ("p/v1", None, Some("d"))]);
        let stale = plan(&[("main", Some("a"), Some("e"))]);
        assert!(follows(&one, &[].iter().copied()));
        assert!(follows(&other, &[&one].into_iter()));
        assert!(!follows(&rival, &[&one].into_iter()), "two of one tag");
        assert!(!follows(&stale, &[&one].into_iter()));
        let joined = plan(&[
            ("main", Some("a"), Some("c")),
            ("p/v1", None, Some("b")),
            ("q/v1", None, Some("c")),
        ]);
        assert_eq!(join([&one, &other]), joined.edits);
    }
}
