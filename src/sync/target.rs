//! What a Repository object asks for, checked. In comes the object as users wrote it; out goes where to look and with what,
//! or the field that is wrong. No address that may hold a password is ever repeated. Pure.

use kube::ResourceExt;

use super::{Error, Subject};
use crate::{
    api::{GitRepository, Repository},
    git::{Address, Scope},
};

/// Where to look, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What the records depend on.
    pub subject: Subject,
    /// The checked address.
    pub address: Address,
    /// Name of the Secret that opens it; nothing if it is open to all.
    pub secret: Option<String>,
    /// Whether the branch should be made where it is missing.
    pub create_branch: bool,
}

impl Target {
    /// Returns what a Repository asks for; `file://` addresses only if `allow_file`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field.
    pub fn of(repository: &Repository, allow_file: bool) -> Result<Self, Error> {
        let spec = &repository.spec;
        if !matches!(spec.type_.as_str(), "git" | "") {
            let why = format!("type {:?} not supported", spec.type_);
            return Err(invalid("spec.type", why));
        }
        let git = spec.git.as_ref();
        let git = git.ok_or_else(|| invalid("spec.git", "git property is required"))?;
        if git.repo.is_empty() {
            return Err(invalid("spec.git.repo", "git.repo property is required"));
        }
        let address = Address::parse(&git.repo, allow_file)
            .map_err(|error| invalid("spec.git.repo", error.to_string()))?;
        let subject = Subject {
            namespace: repository.namespace().unwrap_or_default(),
            name: repository.name_any(),
            uid: repository.uid().unwrap_or_default(),
            deployment: spec.deployment,
            address: address.as_str().into(),
            scope: scope(git)?,
        };
        Ok(Self {
            subject,
            address,
            secret: Some(git.secret_ref.name.clone()).filter(|name| !name.is_empty()),
            create_branch: git.create_branch,
        })
    }
}

fn scope(git: &GitRepository) -> Result<Scope, Error> {
    if !is_branch(&git.branch) {
        let why = format!(
            "branch name {:?} invalid: Git allows no such name",
            git.branch
        );
        return Err(invalid("spec.git.branch", why));
    }
    let directory = git.directory.as_deref().unwrap_or_default();
    if directory.split('/').any(|part| part == "..") || directory.chars().any(char::is_control) {
        let why = format!("directory {directory:?} leads out of the repository");
        return Err(invalid("spec.git.directory", why));
    }
    Ok(Scope::new(&git.branch, directory))
}

/// Returns whether Git allows a branch of this name (git-check-ref-format).
fn is_branch(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && part.strip_suffix(".lock").is_none()
    };
    let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    name != "@"
        && name != "HEAD"
        && !name.starts_with('-')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(odd)
        && name.split('/').all(part)
}

fn invalid(field: &'static str, why: impl Into<String>) -> Error {
    Error::Invalid {
        field,
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(change: fn(&mut Repository)) -> Repository {
        let mut repository = Repository::new("r", crate::api::RepositorySpec::default());
        repository.metadata.namespace = Some("default".into());
        repository.spec.type_ = "git".into();
        repository.spec.git = Some(GitRepository {
            repo: "https://example.com/r.git".into(),
            ..GitRepository::default()
        });
        change(&mut repository);
        repository
    }

    fn git(repository: &mut Repository) -> &mut GitRepository {
        repository.spec.git.as_mut().unwrap()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field_and_without_passwords() {
        type Change = fn(&mut Repository);
        let cases: &[(Change, &str)] = &[
            (
                |it| it.spec.type_ = "oci".into(),
                "spec.type: type \"oci\" not supported",
            ),
            (
                |it| it.spec.git = None,
                "spec.git: git property is required",
            ),
            (
                |it| git(it).repo.clear(),
                "spec.git.repo: git.repo property is required",
            ),
            (
                |it| git(it).repo = "ftp://example.com/r".into(),
                "spec.git.repo: ",
            ),
            (|it| git(it).repo = "file:///r".into(), "spec.git.repo: "),
            (
                |it| git(it).repo = "https://me:hunter2@example.com/r".into(),
                "spec.git.repo: ",
            ),
            (
                |it| git(it).branch = "a..b".into(),
                "spec.git.branch: branch name \"a..b\" invalid",
            ),
            (|it| git(it).branch = "a b".into(), "spec.git.branch: "),
            (|it| git(it).branch = String::new(), "spec.git.branch: "),
            (
                |it| git(it).directory = Some("a/../..".into()),
                "spec.git.directory: ",
            ),
        ];
        for (change, expected) in cases {
            let told = Target::of(&repository(*change), false)
                .unwrap_err()
                .to_string();
            assert!(told.starts_with(expected), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_repository_says_where_to_look() {
        let target = Target::of(&repository(|_| ()), false).unwrap();
        assert_eq!(target.subject.scope, Scope::new("main", ""));
        assert_eq!(target.secret, None);
        let target = repository(|it| {
            git(it).directory = Some("/a//b/".into());
            git(it).branch = "nested/release".into();
            git(it).secret_ref.name = "s".into();
        });
        let target = Target::of(&target, false).unwrap();
        assert_eq!(target.subject.scope.directory, "a/b");
        assert_eq!(target.subject.scope.branch, "nested/release");
        assert_eq!(target.secret.as_deref(), Some("s"));
    }
}
