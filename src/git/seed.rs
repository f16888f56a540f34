//! A repository made from nothing, with a small history: the demo, and tests.

use std::{fs, path::Path};

use git2::{Oid, Repository, Signature, build::TreeUpdateBuilder};

use super::{Error, prepare};

/// One commit of the history; each stands on the one before.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The commit's message.
    pub message: &'a str,
    /// Files that it adds or replaces: path and content.
    pub files: &'a [(&'a str, &'a str)],
    /// Refs that point at it, by full name.
    pub refs: &'a [&'a str],
    /// Whether the next commit stands on this one; a draft that is not published does not carry the branch on.
    pub carries: bool,
}

/// Makes a bare repository at `directory` with this history. Whoever looks finds all of it or nothing.
///
/// # Errors
/// [`Error::Local`] if the directory is there already, or can't be written.
pub fn seed(directory: &Path, branch: &str, steps: &[Step<'_>]) -> Result<(), Error> {
    prepare()?;
    let beside = directory.with_extension("partial");
    let _ = fs::remove_dir_all(&beside);
    write(&beside, branch, steps).map_err(|error| Error::local(&beside, &error.message()))?;
    fs::rename(&beside, directory).map_err(|error| Error::local(directory, &error))
}

fn write(directory: &Path, branch: &str, steps: &[Step<'_>]) -> Result<(), git2::Error> {
    let repository = Repository::init_bare(directory)?;
    repository.set_head(&format!("refs/heads/{branch}"))?;
    let mut parent = None;
    for step in steps {
        let commit = commit(&repository, parent, step)?;
        for name in step.refs {
            repository.reference(name, commit, true, "")?;
        }
        if step.carries {
            parent = Some(commit);
        }
    }
    Ok(())
}

fn commit(
    repository: &Repository,
    parent: Option<Oid>,
    step: &Step<'_>,
) -> Result<Oid, git2::Error> {
    let parent = parent
        .map(|parent| repository.find_commit(parent))
        .transpose()?;
    let before = match &parent {
        Some(parent) => parent.tree()?,
        None => repository.find_tree(repository.treebuilder(None)?.write()?)?,
    };
    let mut update = TreeUpdateBuilder::new();
    for (path, content) in step.files {
        let blob = repository.blob(content.as_bytes())?;
        update.upsert(*path, blob, git2::FileMode::Blob);
    }
    let tree = repository.find_tree(update.create_updated(repository, &before)?)?;
    let author = Signature::now("Porch", "porch@kpt.dev")?;
    let parents: Vec<_> = parent.iter().collect();
    repository.commit(None, &author, &author, step.message, &tree, &parents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_repository_has_its_refs_and_files() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("seed.git");
        let step = |message, files, refs, carries| Step {
            message,
            files,
            refs,
            carries,
        };
        let steps = [
            step(
                "one",
                &[("a/Kptfile", "1")],
                &["refs/heads/main", "refs/tags/a/v1"][..],
                true,
            ),
            step(
                "draft",
                &[("a/Kptfile", "2")],
                &["refs/heads/drafts/a/v2"],
                false,
            ),
            step("two", &[("b/c/Kptfile", "3")], &["refs/heads/main"], true),
        ];
        seed(&directory, "main", &steps).unwrap();
        let repository = Repository::open_bare(&directory).unwrap();
        let text = |spec: &str| {
            let object = repository.revparse_single(spec).unwrap();
            String::from_utf8(object.as_blob().unwrap().content().to_vec()).unwrap()
        };
        assert_eq!(text("refs/tags/a/v1:a/Kptfile"), "1");
        assert_eq!(text("refs/heads/drafts/a/v2:a/Kptfile"), "2");
        assert_eq!(
            text("main:a/Kptfile"),
            "1",
            "a draft does not carry the branch on"
        );
        assert_eq!(text("main:b/c/Kptfile"), "3");
        assert!(
            seed(&directory, "main", &steps).is_err(),
            "what is there is not replaced"
        );
    }
}
