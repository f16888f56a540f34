//! The package revisions that refs and trees hold (upstream's Git layout). In come a mirror and its refs, out comes what
//! was found and what was passed over. Nothing is fetched here, no name is judged beyond what Git needs, and one odd ref
//! never hides another.

use std::{collections::HashMap, sync::Arc};

use git2::{ObjectType, Odb, Oid};
use jiff::Timestamp;

use super::{
    Error, Mirror, RefKind, RefTarget, Refs, Scope, classify,
    commit::{self, Commit},
    history::History,
    lifecycle, tree,
    walk::Walk,
};
use crate::{
    api::{KptfileObserved, Task},
    package::{Lifecycle, PLACEHOLDER, kptfile, revision_number},
};

/// A package revision, as Git has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Name of the package, relative to the registered directory; empty for that directory itself.
    pub package: String,
    /// Its directory from the root of the repository.
    pub directory: String,
    /// Its workspace.
    pub workspace: String,
    /// -1 the branch (or a tag without a number), 0 unpublished, else the published number.
    pub revision: i64,
    /// Full name of its ref.
    pub reference: String,
    /// Its commit.
    pub commit: String,
    /// The tree of its directory.
    pub tree: String,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// The task that created it.
    pub task: Option<Task>,
    /// Who wrote its commit; of the branch, the newest commit that names the package.
    pub author_email: String,
    /// When that was.
    pub author_time: Option<Timestamp>,
    /// What its Kptfile says.
    pub kptfile: KptfileObserved,
}

/// Something that looks like a package revision and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Full name of the ref.
    pub reference: String,
    /// Directory from the root of the repository.
    pub path: String,
    /// Why, as a sentence.
    pub why: String,
}

/// A ref that could not be read: nothing is known of what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Full name of the ref.
    pub reference: String,
    /// Id of what it points at.
    pub id: String,
    /// Why, as a sentence.
    pub why: String,
    /// Whether the mirror may be to blame, so that a new one may help.
    pub damaged: bool,
}

/// What one ref holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A package revision.
    Found(Box<Found>),
    /// Something that should have been one.
    Skipped(Skipped),
    /// Nothing that concerns Porch: another branch, the tag of something else.
    Nothing,
}

/// What a scan saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// Package revisions.
    pub found: Vec<Found>,
    /// What was passed over.
    pub skipped: Vec<Skipped>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// Head of the registered branch; nothing if it is missing.
    pub head: Option<String>,
}

/// Reads package revisions, and remembers what cannot change. One for each mirror and scope.
pub struct Scanner {
    scope: Scope,
    history: History,
    walk: Walk,
    /// Kptfiles of the branch's packages by blob: most are the same at the next look.
    kptfiles: HashMap<Oid, Arc<KptfileObserved>>,
    /// Refs that hold nothing, with the id that was looked at: they stay due, and must cost nothing.
    barren: HashMap<String, (String, Reading)>,
}

/// Where in a repository a revision is.
struct Spot<'a> {
    reference: &'a str,
    directory: &'a str,
    workspace: &'a str,
    revision: i64,
}

impl Scanner {
    /// Returns a scanner that knows nothing yet.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            history: History::default(),
            walk: Walk::default(),
            kptfiles: HashMap::new(),
            barren: HashMap::new(),
        }
    }

    /// Returns what is scanned.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns everything that the wanted refs hold. The mirror has their objects. What `wanted` is asked are full names
    /// of refs, the registered branch among them. A ref that can't be read is told as such and hides no other.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the mirror can't be read at all. Nothing was found then, and nothing was absent.
    pub fn scan(
        &mut self,
        mirror: &Mirror,
        refs: &Refs,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Scan, Error> {
        mirror.odb()?;
        let branch = self.scope.branch_ref();
        let mut scan = Scan {
            head: refs.get(&branch).map(|target| target.commit.clone()),
            ..Scan::default()
        };
        for (name, target) in refs.iter().filter(|(name, _)| wanted(name)) {
            let read = if *name == branch {
                self.scan_branch(mirror, refs, &mut scan)
            } else {
                self.scan_ref(mirror, refs, name, &mut scan)
            };
            if let Err(error) = read {
                scan.unread.push(unread(name, target, &error));
            }
        }
        self.barren.retain(|name, _| refs.contains(name));
        Ok(scan)
    }

    fn scan_branch(&mut self, mirror: &Mirror, refs: &Refs, scan: &mut Scan) -> Result<(), Error> {
        let (found, skipped) = self.read_branch(mirror, refs)?;
        scan.found.extend(found);
        scan.skipped.extend(skipped);
        Ok(())
    }

    fn scan_ref(
        &mut self,
        mirror: &Mirror,
        refs: &Refs,
        name: &str,
        scan: &mut Scan,
    ) -> Result<(), Error> {
        match self.read_ref(mirror, refs, name)? {
            Reading::Found(found) => scan.found.push(*found),
            Reading::Skipped(skipped) => scan.skipped.push(skipped),
            Reading::Nothing => {}
        }
        Ok(())
    }

    /// Returns what one tag, draft or proposal holds; of every other ref: nothing.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::TooLarge`].
    pub fn read_ref(&mut self, mirror: &Mirror, refs: &Refs, name: &str) -> Result<Reading, Error> {
        let Some(target) = refs.get(name) else {
            return Ok(Reading::Nothing);
        };
        if let Some((_, reading)) = self.barren.get(name).filter(|(id, _)| *id == target.id) {
            return Ok(reading.clone());
        }
        let reading = self.look(mirror, refs, (name, target))?;
        if matches!(reading, Reading::Found(_)) {
            self.barren.remove(name);
        } else {
            self.barren
                .insert(name.into(), (target.id.clone(), reading.clone()));
        }
        Ok(reading)
    }

    fn look(
        &mut self,
        mirror: &Mirror,
        refs: &Refs,
        (name, target): (&str, &RefTarget),
    ) -> Result<Reading, Error> {
        let (directory, last, published) = match self.named(name) {
            Ok(named) => named,
            Err(reading) => return Ok(reading),
        };
        let odb = mirror.odb()?;
        let Some((id, commit)) = read_commit(&odb, target)? else {
            return Ok(skipped(name, &directory, "it does not point at a commit"));
        };
        let Some((tree, blob)) = package_at(&odb, &commit, &directory)? else {
            let why = "its commit has no Kptfile in this directory";
            return Ok(if published {
                Reading::Nothing
            } else {
                skipped(name, &directory, why)
            });
        };
        let (workspace, revision) = if published {
            published_as(&commit, &directory, last)
        } else {
            (last, 0)
        };
        let spot = Spot {
            reference: name,
            directory: &directory,
            workspace: &workspace,
            revision,
        };
        self.history.add(&odb, id)?;
        let found = Found {
            commit: target.commit.clone(),
            tree: tree.to_string(),
            task: self.history.task(id, &directory, &workspace),
            author_time: moment(commit.author_time),
            author_email: commit.author_email,
            kptfile: self.kptfile(&odb, blob)?.as_ref().clone(),
            ..self.found(refs, &spot)
        };
        Ok(Reading::Found(Box::new(found)))
    }

    /// Returns the directory of the revision that a ref names, what follows it, and whether it is published; else what
    /// is to be said of the ref.
    fn named(&self, name: &str) -> Result<(String, String, bool), Reading> {
        match classify(name, &self.scope) {
            RefKind::Draft {
                directory,
                workspace,
            }
            | RefKind::Proposed {
                directory,
                workspace,
            } => Ok((directory, workspace, false)),
            RefKind::Tag { directory, text } => Ok((directory, text, true)),
            RefKind::Malformed => {
                let why = "a draft or proposal needs a package and a workspace in its name";
                Err(skipped(name, "", why))
            }
            RefKind::Branch | RefKind::DeletionProposed { .. } | RefKind::Other => {
                Err(Reading::Nothing)
            }
        }
    }

    /// Returns the packages on the registered branch; of a missing branch: none.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::TooLarge`].
    pub fn read_branch(
        &mut self,
        mirror: &Mirror,
        refs: &Refs,
    ) -> Result<(Vec<Found>, Vec<Skipped>), Error> {
        let reference = self.scope.branch_ref();
        let Some(target) = refs.get(&reference) else {
            return Ok((Vec::new(), Vec::new()));
        };
        let odb = mirror.odb()?;
        let head = Oid::from_str(&target.commit)
            .map_err(|error| Error::Corrupt(error.message().into()))?;
        let commit = commit::read(&odb, head)?;
        let Some(root) = root(&odb, &commit, &self.scope.directory)? else {
            return Ok((Vec::new(), Vec::new()));
        };
        self.history.add(&odb, head)?;
        self.history.look_at_branch(head);
        let level = self.walk.packages(&odb, root)?;
        let mut kptfiles = HashMap::with_capacity(level.packages.len());
        let mut found = Vec::with_capacity(level.packages.len());
        for place in level.packages {
            let kptfile = self.kptfile(&odb, place.kptfile)?;
            found.push(self.placeholder(refs, target, (&place.path, place.tree), &kptfile));
            kptfiles.insert(place.kptfile, kptfile);
        }
        self.kptfiles = kptfiles;
        let skip = |(path, why): (String, String)| Skipped {
            reference: reference.clone(),
            path: self.scope.full_path(&path),
            why,
        };
        Ok((found, level.skipped.into_iter().map(skip).collect()))
    }

    fn placeholder(
        &self,
        refs: &Refs,
        head: &RefTarget,
        (package, tree): (&str, Oid),
        kptfile: &KptfileObserved,
    ) -> Found {
        let directory = self.scope.full_path(package);
        let spot = Spot {
            reference: &self.scope.branch_ref(),
            directory: &directory,
            workspace: &self.scope.branch,
            revision: PLACEHOLDER,
        };
        let author = self.history.author(&directory).cloned().unwrap_or_default();
        Found {
            commit: head.commit.clone(),
            tree: tree.to_string(),
            author_email: author.email.to_string(),
            author_time: moment(author.time),
            kptfile: kptfile.clone(),
            ..self.found(refs, &spot)
        }
    }

    /// Returns a revision as far as refs alone tell.
    fn found(&self, refs: &Refs, spot: &Spot<'_>) -> Found {
        let key = (spot.workspace, spot.revision);
        Found {
            package: self
                .scope
                .package(spot.directory)
                .unwrap_or_default()
                .into(),
            directory: spot.directory.into(),
            workspace: spot.workspace.into(),
            revision: spot.revision,
            reference: spot.reference.into(),
            commit: String::new(),
            tree: String::new(),
            lifecycle: lifecycle(refs, spot.reference, spot.directory, key),
            task: None,
            author_email: String::new(),
            author_time: None,
            kptfile: KptfileObserved::default(),
        }
    }

    fn kptfile(&self, odb: &Odb<'_>, blob: Oid) -> Result<Arc<KptfileObserved>, Error> {
        if let Some(known) = self.kptfiles.get(&blob) {
            return Ok(known.clone());
        }
        let (size, kind) = odb
            .read_header(blob)
            .map_err(|error| Error::object(blob, &error))?;
        if kind != ObjectType::Blob {
            return Err(Error::Corrupt(format!("object {blob} is no blob")));
        }
        let id = blob.to_string();
        if size > kptfile::LIMIT {
            return Ok(Arc::new(kptfile::too_large(&id, size)));
        }
        let object = odb
            .read(blob)
            .map_err(|error| Error::object(blob, &error))?;
        Ok(Arc::new(kptfile::observe(&id, object.data())))
    }
}

fn unread(reference: &str, target: &RefTarget, error: &Error) -> Unread {
    Unread {
        reference: reference.into(),
        id: target.id.clone(),
        why: match error {
            Error::Corrupt(why) => why.clone(),
            other => other.to_string(),
        },
        damaged: matches!(error, Error::Corrupt(_) | Error::Local(_)),
    }
}

fn skipped(reference: &str, path: &str, why: &str) -> Reading {
    Reading::Skipped(Skipped {
        reference: reference.into(),
        path: path.into(),
        why: why.into(),
    })
}

/// Returns the commit that a ref points at, directly or by one annotated tag; nothing if it points elsewhere.
fn read_commit(odb: &Odb<'_>, target: &RefTarget) -> Result<Option<(Oid, Commit)>, Error> {
    let oid =
        |text: &str| Oid::from_str(text).map_err(|error| Error::Corrupt(error.message().into()));
    let (id, commit) = (oid(&target.id)?, oid(&target.commit)?);
    let kind = |id: Oid| {
        odb.read_header(id)
            .map_err(|error| Error::object(id, &error))
    };
    if id != commit {
        // Upstream peels one level: a tag of a tag is no revision.
        let tag = tree::read(odb, id, ObjectType::Tag)?;
        if !tag
            .data()
            .split(|byte| *byte == b'\n')
            .any(|line| line == b"type commit")
        {
            return Ok(None);
        }
    }
    match kind(commit)?.1 {
        ObjectType::Commit => Ok(Some((commit, commit::read(odb, commit)?))),
        _ => Ok(None),
    }
}

/// Returns the directory of a commit's tree.
fn root(odb: &Odb<'_>, commit: &Commit, directory: &str) -> Result<Option<Oid>, Error> {
    let tree = commit
        .tree
        .ok_or_else(|| Error::Corrupt("a commit has no tree".into()))?;
    tree::descend(odb, tree, directory)
}

/// Returns the tree and the Kptfile of a package.
fn package_at(
    odb: &Odb<'_>,
    commit: &Commit,
    directory: &str,
) -> Result<Option<(Oid, Oid)>, Error> {
    let Some(tree) = root(odb, commit, directory)? else {
        return Ok(None);
    };
    Ok(tree::kptfile(odb, tree)?.map(|blob| (tree, blob)))
}

/// Returns the workspace and the number of a tagged revision. The workspace is the commit's word, else made of the
/// number; it is the text itself if that is no number.
fn published_as(commit: &Commit, directory: &str, text: String) -> (String, i64) {
    let revision = revision_number(&text);
    if revision == PLACEHOLDER {
        return (text, revision);
    }
    let mut named = commit
        .annotations
        .iter()
        .filter(|annotation| annotation.package == directory);
    let named = named.find(|annotation| !annotation.workspace.is_empty());
    let workspace = named.map_or_else(
        || format!("v{revision}"),
        |annotation| annotation.workspace.clone(),
    );
    (workspace, revision)
}

/// Returns a moment, or nothing for one that no calendar has.
fn moment(seconds: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_second(seconds?).ok()
}
