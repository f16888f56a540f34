//! A served repository with one package, a mirror of it, and what tests do to them again and again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use porch::git::{Access, Address, Mirror, NewCommit, Pack, Person, RefEdit, Workbench, list_refs};

use crate::{
    git_server::GitServer,
    repository::{KPTFILE, Repository},
};

pub const MAIN: &str = "refs/heads/main";

pub struct Scene {
    pub repository: Repository,
    pub server: GitServer,
    pub access: Access,
}

impl Scene {
    /// A repository with the package `a` on its branch.
    pub fn new() -> Self {
        let repository = Repository::new();
        repository.write("a/Kptfile", KPTFILE);
        repository.write("README.md", "hello");
        repository.commit("one");
        repository.push();
        repository.set("receive.fsckObjects", "true");
        let server = GitServer::http(repository.root());
        let address = Address::parse(&server.url("bare.git"), false).unwrap();
        Self {
            access: Access::anonymous(address),
            repository,
            server,
        }
    }

    /// Returns an access that nobody used before.
    pub fn fresh_access(&self) -> Access {
        Access::anonymous(self.access.address.clone())
    }

    /// Returns the mirror, brought up to date.
    pub fn mirror(&self) -> Mirror {
        let mirror = Mirror::open(&self.repository.mirror()).unwrap();
        let refs = list_refs(&self.repository.file()).unwrap();
        mirror.fetch(&self.repository.file(), &refs).unwrap();
        mirror
    }

    /// Returns what a ref is.
    pub fn id(&self, name: &str) -> Option<String> {
        self.repository.bare_refs().remove(name)
    }

    /// Makes a commit on the branch's head with a package `directory` of one file; returns it with its pack.
    pub fn commit(&self, directory: &str, content: &str) -> (String, Pack) {
        let mirror = self.mirror();
        let mut bench = Workbench::new(&mirror).unwrap();
        let tree = bench
            .package_tree(&files(&[("Kptfile", content)]), None)
            .unwrap();
        let head = self.id(MAIN);
        let parents: Vec<_> = head.iter().map(String::as_str).collect();
        let commit = bench
            .commit(&NewCommit {
                base: head.as_deref(),
                parents: &parents,
                directory,
                tree: Some(&tree),
                author: &author(),
                time: time(),
                message: "a change",
            })
            .unwrap();
        (commit, bench.pack())
    }
}

pub fn author() -> Person {
    Person {
        name: "system:admin".into(),
        email: "admin@example.com".into(),
    }
}

pub fn time() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

pub fn files(all: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let pair = |(path, content): &(&str, &str)| ((*path).to_string(), content.as_bytes().to_vec());
    all.iter().map(pair).collect()
}

/// Returns an edit; an empty text is a ref that is absent.
pub fn edit(name: &str, from: &str, to: &str) -> RefEdit {
    let value = |text: &str| (!text.is_empty()).then(|| text.to_string());
    RefEdit {
        name: name.into(),
        from: value(from),
        to: value(to),
    }
}
