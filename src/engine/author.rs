//! Who writes, as Git is told (upstream's rules): the authenticated user, unless the Repository says otherwise.

use crate::{api::Repository, git::Person};

/// Who Porch is in Git.
const PORCH: (&str, &str) = ("Package Orchestration Service", "porch@kpt.dev");

/// Who makes a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// User name.
    pub user: String,
    /// Whether that was proved.
    pub authenticated: bool,
}

impl Caller {
    /// Returns the author of what this caller writes to a Repository.
    #[must_use]
    pub fn author(&self, repository: &Repository) -> Person {
        let git = repository.spec.git.as_ref();
        let (name, email) = git.map_or(("", ""), |git| (git.author.as_str(), git.email.as_str()));
        let person = |name: &str, email: &str| Person {
            name: name.into(),
            email: email.into(),
        };
        match (name, email) {
            ("", "") if self.authenticated && !self.user.is_empty() => {
                person(&self.user, &self.user)
            }
            ("", "") => person(PORCH.0, PORCH.1),
            ("", email) => person(email, email),
            (name, email) => person(name, email),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{GitRepository, RepositorySpec};

    #[test]
    fn the_author_is_the_repositorys_word_or_the_user() {
        let alice = Caller {
            user: "alice".into(),
            authenticated: true,
        };
        let nobody = Caller {
            user: "system:anonymous".into(),
            authenticated: false,
        };
        for (caller, author, email, want) in [
            (&alice, "", "", ("alice", "alice")),
            (&nobody, "", "", PORCH),
            (&alice, "Bot", "bot@x", ("Bot", "bot@x")),
            (&alice, "Bot", "", ("Bot", "")),
            (&alice, "", "bot@x", ("bot@x", "bot@x")),
        ] {
            let mut repository = Repository::new("r", RepositorySpec::default());
            repository.spec.git = Some(GitRepository {
                author: author.into(),
                email: email.into(),
                ..GitRepository::default()
            });
            let told = caller.author(&repository);
            assert_eq!((told.name.as_str(), told.email.as_str()), want);
        }
    }
}
