//! A package in a Git repository that nobody registered, read once. In comes where it is said to be, out come its files and
//! the commit that they are of. Nothing of it is kept, and what opens it is a Secret of the caller's own namespace.

use std::sync::Arc;

use uuid::Uuid;

use super::{Error, Means, secrets, store::Place};
use crate::{
    api::{GitLock, GitPackage},
    git::{self, Access, Address, Limits, Mirror, RefTarget, Refs, Workbench},
};

/// Files by path, in Git's order.
type Contents = Vec<(String, Vec<u8>)>;

/// A package that was read from elsewhere.
pub struct Foreign {
    /// Its files by path, in Git's order.
    pub files: Contents,
    /// Where it is, down to the commit.
    pub lock: GitLock,
}

/// Reads the package that `source` names.
///
/// # Errors
/// [`Error::Invalid`] with the field of `source` that must change; every error of reading.
pub async fn foreign(
    means: &Means,
    allow_file: bool,
    namespace: &str,
    source: &GitPackage,
) -> Result<Foreign, Error> {
    let address = Address::parse(&source.repo, allow_file);
    let address = address.map_err(|error| invalid("git.repo", error.to_string()))?;
    let secret = Some(source.secret_ref.name.as_str()).filter(|name| !name.is_empty());
    let keys = secrets::keys(&means.client, namespace, secret).await?;
    let access = means.mirrors.access(address, &keys);
    let refs = means.mirrors.list_refs(access.clone()).await?;
    let directory = directory(&source.directory)?;
    let wanted = choose(&refs, &directory, &source.ref_).ok_or_else(|| missing(source))?;
    let id = format!("foreign-{}", Uuid::new_v4());
    let place = means.mirrors.lone_place(&id);
    let read = read(means, (&place, access), (wanted, &directory), source).await;
    if let Err(error) = means.mirrors.remove(&id).await {
        tracing::warn!(%error, "what was read from elsewhere could not be removed");
    }
    let (files, commit) = read?;
    let lock = GitLock {
        repo: source.repo.clone(),
        directory,
        ref_: source.ref_.clone(),
        commit,
    };
    Ok(Foreign { files, lock })
}

/// Fewest digits of a commit's id that name it: git prints no fewer.
const FEWEST_DIGITS: usize = 7;

/// What is to be read: one ref, or a commit that some ref reaches, by its id or how that begins.
enum Wanted {
    Ref(String, RefTarget),
    Commit(String, Refs),
}

async fn read(
    means: &Means,
    (place, access): (&Arc<Place>, Access),
    (wanted, directory): (Wanted, &str),
    source: &GitPackage,
) -> Result<(Contents, String), Error> {
    let (refs, id) = match wanted {
        Wanted::Ref(name, target) => {
            let id = target.commit.clone();
            let refs: Refs = [(name.as_str(), target)].into_iter().collect();
            (refs, id)
        }
        Wanted::Commit(id, refs) => (refs, id),
    };
    means.mirrors.fetch(place, access, refs).await?;
    let path = directory.to_owned();
    let found = means
        .mirrors
        .read(place, move |mirror| files(mirror, &id, &path))
        .await?;
    found.ok_or_else(|| {
        let why = format!("cannot find package {}@{}", source.directory, source.ref_);
        invalid("git.directory", why)
    })
}

/// Returns the files of a package and the whole id of their commit; nothing if there is none, or no such commit.
fn files(
    mirror: &Mirror,
    commit: &str,
    directory: &str,
) -> Result<Option<(Contents, String)>, git::Error> {
    let Some(commit) = mirror.commit_of(commit) else {
        return Ok(None);
    };
    let Some(tree) = Workbench::new(mirror)?.tree_of(&commit, directory)? else {
        return Ok(None);
    };
    let files = git::files(mirror, &tree, Limits::default())?;
    let files: Vec<_> = files
        .into_iter()
        .map(|file| (file.path, file.content))
        .collect();
    Ok(files
        .iter()
        .any(|(path, _)| path == "Kptfile")
        .then_some((files, commit)))
}

/// Returns what a text names, in upstream's order: the package's own tag or branch, then any, then a commit.
fn choose(refs: &Refs, directory: &str, text: &str) -> Option<Wanted> {
    let text = text.strip_prefix("refs/heads/").unwrap_or(text);
    let text = text.strip_prefix("refs/tags/").unwrap_or(text);
    if text.is_empty() {
        return None;
    }
    let own = format!("{directory}/{text}");
    let names = [own.as_str(), text]
        .into_iter()
        .flat_map(|name| [format!("refs/tags/{name}"), format!("refs/heads/{name}")]);
    for name in names {
        if let Some(target) = refs.get(&name) {
            return Some(Wanted::Ref(name, target.clone()));
        }
    }
    let has_length = (FEWEST_DIGITS..=40).contains(&text.len());
    let is_id = has_length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| Wanted::Commit(text.to_lowercase(), refs.clone()))
}

/// Returns a directory as Git has it.
fn directory(text: &str) -> Result<String, Error> {
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if parts.contains(&"..") || text.chars().any(char::is_control) {
        let why = format!("directory {text:?} leads out of the repository");
        return Err(invalid("git.directory", why));
    }
    Ok(parts.join("/"))
}

fn missing(source: &GitPackage) -> Error {
    let why = format!(
        "cannot find git reference {:?} (tried it below {:?}, and alone)",
        source.ref_, source.directory
    );
    invalid("git.ref", why)
}

fn invalid(field: &'static str, why: String) -> Error {
    Error::Invalid { field, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_the_packages_own_tag_before_any_other() {
        let id = |letter: &str| letter.repeat(40);
        let target = |letter: &str| RefTarget {
            id: id(letter),
            commit: id(letter),
        };
        let refs: Refs = [
            ("refs/tags/a/v1", target("1")),
            ("refs/tags/v1", target("2")),
            ("refs/heads/a/w", target("3")),
            ("refs/heads/main", target("4")),
        ]
        .into_iter()
        .collect();
        for (directory, text, want) in [
            ("a", "v1", Some("1")),
            ("b", "v1", Some("2")),
            ("a", "w", Some("3")),
            ("a", "main", Some("4")),
            ("a", "refs/heads/main", Some("4")),
            ("b", "a/v1", Some("1")),
            ("a", "v2", None),
            ("a", "", None),
        ] {
            let chosen = choose(&refs, directory, text).map(|wanted| match wanted {
                Wanted::Ref(_, target) => target.commit,
                Wanted::Commit(..) => String::new(),
            });
            assert_eq!(chosen, want.map(id), "{directory} {text}");
        }
        let commit = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";
        for id in [commit, &commit[..7]] {
            assert!(
                matches!(choose(&refs, "a", id), Some(Wanted::Commit(found, _)) if found == id)
            );
        }
        assert!(choose(&refs, "a", &commit[..6]).is_none());
    }

    #[test]
    fn a_directory_stays_in_the_repository() {
        assert_eq!(directory("/a//b/./").unwrap(), "a/b");
        assert!(directory("a/../../b").is_err());
        assert!(directory("a\0b").is_err());
    }
}
