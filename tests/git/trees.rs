//! Files of packages, and trees that mean harm.

use std::collections::BTreeSet;

use porch::git::{
    Error, File, Limits, Mirror, Scanner, Scope, file_count, files, list_refs, paths,
};

use crate::repository::{KPTFILE, Repository, copy_objects, raw_tree, sync};

#[test]
fn files_are_read_by_tree_as_they_are() {
    let repository = Repository::new();
    repository.write("p/Kptfile", KPTFILE);
    repository.write("p/deep/er/file", "text\r\n");
    std::fs::write(repository.work().join("p/binary"), [0, 159, 255]).unwrap();
    std::os::unix::fs::symlink("../outside", repository.work().join("p/link")).unwrap();
    let first = repository.commit("one");
    repository.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{first},p/module"),
    ]);
    repository.git(&["update-index", "--chmod=+x", "p/deep/er/file"]);
    repository.git(&["commit", "-q", "-m", "two"]);
    repository.push();
    let (mirror, _, scan) = sync(
        &repository.file(),
        &repository.mirror(),
        &Scope::new("main", ""),
    );
    let tree = &scan.found[0].tree;
    let file = |path: &str, content: &[u8]| File {
        path: path.into(),
        content: content.into(),
    };
    let want = vec![
        file("Kptfile", KPTFILE.as_bytes()),
        file("binary", &[0, 159, 255]),
        file("deep/er/file", b"text\r\n"),
        file("link", b"../outside"),
    ];
    assert_eq!(files(&mirror, tree, Limits::default()).unwrap(), want);
    assert_eq!(
        paths(&mirror, tree).unwrap(),
        want.iter()
            .map(|file| file.path.clone())
            .collect::<Vec<_>>()
    );
    assert_eq!(file_count(&mirror, tree).unwrap(), 4);
    let bytes = want.iter().map(|file| file.content.len()).sum();
    assert!(files(&mirror, tree, Limits { files: 4, bytes }).is_ok());
    for limits in [
        Limits { files: 3, bytes },
        Limits {
            files: 4,
            bytes: bytes - 1,
        },
    ] {
        assert!(matches!(
            files(&mirror, tree, limits),
            Err(Error::TooLarge(_))
        ));
    }
    for none in ["nonsense", "", &"1".repeat(39), &"1".repeat(41)] {
        let read = files(&mirror, none, Limits::default());
        assert!(matches!(read, Err(Error::Refused(_))), "{none}: {read:?}");
    }
    let absent = files(&mirror, &"1".repeat(40), Limits::default());
    assert!(matches!(absent, Err(Error::Corrupt(_))), "{absent:?}");
}

#[test]
fn hostile_trees_are_refused_and_hide_nothing() {
    let repository = Repository::new();
    repository.write("p/Kptfile", KPTFILE);
    repository.commit("good");
    let blob = repository.git(&["rev-parse", "HEAD:p/Kptfile"]);
    let good = repository.git(&["rev-parse", "HEAD:p"]);
    for name in ["..", ".", ".git", ".GIT", "git~1", "a/b", ".git "] {
        let bad = raw_tree(
            &repository,
            &[("100644", name, &blob), ("100644", "Kptfile", &blob)],
        );
        let root = raw_tree(
            &repository,
            &[
                ("40000", name, &good),
                ("40000", "bad", &bad),
                ("40000", "p", &good),
            ],
        );
        let commit = repository.git(&["commit-tree", "-m", "hostile", &root]);
        let to = repository.bare();
        copy_objects(&repository.work().join(".git/objects"), &to.join("objects"));
        repository.update_refs(&[("refs/heads/main".into(), commit)]);
        let (mirror, _, scan) = sync(
            &repository.file(),
            &repository.mirror(),
            &Scope::new("main", ""),
        );
        let found: BTreeSet<_> = scan
            .found
            .iter()
            .map(|found| found.directory.as_str())
            .collect();
        assert_eq!(found, ["bad", "p"].into(), "{name:?}");
        assert_eq!(scan.skipped.len(), 1, "{name:?}: {:?}", scan.skipped);
        let read = files(&mirror, &bad, Limits::default());
        assert!(matches!(read, Err(Error::Refused(_))), "{name:?}: {read:?}");
        Mirror::remove(&repository.mirror()).unwrap();
    }
}

#[test]
fn trees_that_multiply_are_refused_before_memory_is_gone() {
    let repository = Repository::new();
    repository.write("p/Kptfile", KPTFILE);
    repository.commit("good");
    let mut tree = repository.git(&["rev-parse", "HEAD:p"]);
    for _ in 0..12 {
        let names: Vec<_> = (0..10).map(|number| format!("d{number}")).collect();
        let entries: Vec<_> = names
            .iter()
            .map(|name| ("40000", name.as_str(), tree.as_str()))
            .collect();
        tree = raw_tree(&repository, &entries);
    }
    let commit = repository.git(&["commit-tree", "-m", "bomb", &tree]);
    copy_objects(
        &repository.work().join(".git/objects"),
        &repository.bare().join("objects"),
    );
    repository.update_refs(&[("refs/heads/main".into(), commit)]);
    let refs = list_refs(&repository.file()).unwrap();
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    mirror.fetch(&repository.file(), &refs).unwrap();
    let read = Scanner::new(Scope::new("main", "")).read_branch(&mirror, &refs);
    assert!(matches!(read, Err(Error::TooLarge(_))), "{read:?}");
    let read = files(&mirror, &tree, Limits::default());
    assert!(matches!(read, Err(Error::TooLarge(_))), "{read:?}");
}

#[test]
fn a_ref_that_cannot_be_read_is_told_and_hides_no_other() {
    let repository = Repository::new();
    repository.write("p/Kptfile", KPTFILE);
    let good = repository.commit("good");
    let blob = repository.git(&["rev-parse", "HEAD:p/Kptfile"]);
    let package = raw_tree(&repository, &[("40000", "Kptfile", &blob)]);
    let tree_that_is_a_file = raw_tree(&repository, &[("40000", "p", &blob)]);
    let file_that_is_a_tree = raw_tree(&repository, &[("100644", "Kptfile", &package)]);
    let file_that_is_a_tree = raw_tree(&repository, &[("40000", "p", &file_that_is_a_tree)]);
    let mut lines = vec![
        ("refs/tags/p/v1".to_string(), good.clone()),
        ("refs/heads/drafts/p/w".to_string(), good),
    ];
    for (name, tree) in [
        ("refs/tags/p/v2", &tree_that_is_a_file),
        ("refs/heads/main", &tree_that_is_a_file),
        ("refs/heads/proposed/p/x", &file_that_is_a_tree),
    ] {
        let commit = repository.git(&["commit-tree", "-m", "broken", tree]);
        lines.push((name.into(), commit));
    }
    copy_objects(
        &repository.work().join(".git/objects"),
        &repository.bare().join("objects"),
    );
    repository.update_refs(&lines);
    let refs = list_refs(&repository.file()).unwrap();
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    // What git would not send, but a hostile server would.
    copy_objects(
        &repository.bare().join("objects"),
        &repository.mirror().join("objects"),
    );
    let mut scanner = Scanner::new(Scope::new("main", ""));
    for _ in 0..2 {
        let scan = scanner.scan(&mirror, &refs, &|_| true).unwrap();
        let found: Vec<_> = scan.found.iter().map(|it| it.reference.as_str()).collect();
        assert_eq!(found, ["refs/heads/drafts/p/w", "refs/tags/p/v1"]);
        let unread: Vec<_> = scan.unread.iter().map(|it| it.reference.as_str()).collect();
        assert_eq!(
            unread,
            [
                "refs/heads/main",
                "refs/heads/proposed/p/x",
                "refs/tags/p/v2"
            ]
        );
        for it in &scan.unread {
            assert!(it.damaged && it.why.contains("object"), "{it:?}");
            assert_eq!(it.id, refs.get(&it.reference).unwrap().id);
        }
    }
}
