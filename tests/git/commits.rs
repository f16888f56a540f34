//! Commits as they are made here, seen by git's command line.

use std::{collections::BTreeMap, slice::from_ref, time::Duration};

use porch::{
    api::{CloneTask, EditTask, InitTask, PackageRevisionRef, Task, UpgradeTask, UpstreamPackage},
    git::{
        Due, Error, Limits, Mirror, NewCommit, Person, Reading, Scanner, Scope, Workbench,
        approval_message, deletion_message, list_refs, push, task_message,
    },
    package::Lifecycle,
};

use crate::{
    git_server::git,
    odd::odd,
    repository::{KPTFILE, Repository, bundles, sync},
    scene::{MAIN, Scene, author, edit, files, time},
};

fn new<'a>(author: &'a Person, message: &'a str) -> NewCommit<'a> {
    NewCommit {
        base: None,
        parents: &[],
        directory: "",
        tree: None,
        author,
        time: time(),
        message,
    }
}

fn init() -> Task {
    Task {
        type_: "init".into(),
        init: Some(InitTask {
            description: "a <b> & \"c\"\u{2028}\u{1}".into(),
            ..InitTask::default()
        }),
        ..Task::default()
    }
}

#[test]
fn messages_are_upstreams_byte_for_byte() {
    let reference = |name: &str| PackageRevisionRef { name: name.into() };
    let clone = Task {
        type_: "clone".into(),
        clone: Some(CloneTask {
            upstream_ref: UpstreamPackage {
                upstream_ref: Some(reference("r.p.v1")),
                ..UpstreamPackage::default()
            },
        }),
        ..Task::default()
    };
    let edit = Task {
        type_: "edit".into(),
        edit: Some(EditTask {
            source_ref: Some(reference("r.p.v1")),
        }),
        ..Task::default()
    };
    let upgrade = Task {
        type_: "upgrade".into(),
        upgrade: Some(UpgradeTask {
            old_upstream_ref: reference("o"),
            new_upstream_ref: reference("n"),
            local_package_revision_ref: reference("l"),
            strategy: "copy-merge".into(),
        }),
        ..Task::default()
    };
    let only = |kind: &str| Task {
        type_: kind.into(),
        ..Task::default()
    };
    for (task, subject, json) in [
        (
            Some(init()),
            "Creating new empty revision",
            r#","task":{"type":"init","init":{"description":"a \u003cb\u003e \u0026 \"c\"\u2028\u0001"}}"#,
        ),
        (
            Some(clone),
            "Creating new revision by cloning",
            r#","task":{"type":"clone","clone":{"upstreamRef":{"upstreamRef":{"name":"r.p.v1"}}}}"#,
        ),
        (
            Some(edit),
            "Creating new revision by copying previous revision",
            r#","task":{"type":"edit","edit":{"sourceRef":{"name":"r.p.v1"}}}"#,
        ),
        (
            Some(upgrade),
            "Upgrading revision",
            r#","task":{"type":"upgrade","upgrade":{"oldUpstreamRef":{"name":"o"},"newUpstreamRef":{"name":"n"},"localPackageRevisionRef":{"name":"l"},"strategy":"copy-merge"}}"#,
        ),
        (
            Some(only("render")),
            "Rendering package",
            r#","task":{"type":"render"}"#,
        ),
        (
            Some(only("push")),
            "Intermediate commit: push",
            r#","task":{"type":"push"}"#,
        ),
        (
            Some(only("x\nkpt:{}")),
            "Intermediate commit: x kpt:{}",
            r#","task":{"type":"x\nkpt:{}"}"#,
        ),
        (None, "Intermediate commit", ""),
    ] {
        let want = format!(
            "{subject}\n\n\nkpt:{{\"package\":\"a/b\",\"workspaceName\":\"w\",\"revision\":\"0\"{json}}}\n"
        );
        assert_eq!(task_message("a/b", "w", task.as_ref()), want);
    }
    assert_eq!(
        approval_message("a/b", "w", 3),
        "Approving package revision a/b/3\n\nkpt:{\"package\":\"a/b\",\"workspaceName\":\"w\",\"revision\":\"3\"}\n"
    );
    assert_eq!(deletion_message("a/b"), "Delete a/b");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one life, told whole")]
fn a_life_written_here_is_read_by_git_and_by_the_scanner() {
    let scene = Scene::new();
    let mirror = scene.mirror();
    let head = scene.id(MAIN).unwrap();
    let mut bench = Workbench::new(&mirror).unwrap();
    let tree = bench
        .package_tree(
            &files(&[("Kptfile", KPTFILE), ("deep/er/x.yaml", "x: 1\n")]),
            None,
        )
        .unwrap();
    let directory = "net/upf";
    let message = task_message(directory, "w1", Some(&init()));
    let draft = bench
        .commit(&NewCommit {
            base: Some(&head),
            parents: &[&head],
            directory,
            tree: Some(&tree),
            ..new(&author(), &message)
        })
        .unwrap();
    assert_eq!(
        bench.tree_of(&draft, directory).unwrap(),
        Some(tree.clone())
    );
    assert_eq!(
        bench
            .tree_of(&draft, "net/upf/deep/er")
            .unwrap()
            .map(|id| id.len()),
        Some(40)
    );
    assert_eq!(bench.tree_of(&draft, "net/upf/Kptfile").unwrap(), None);
    let draft_ref = "refs/heads/drafts/net/upf/w1";
    let first = bench.pack();
    push(
        &scene.access,
        from_ref(&first),
        &[edit(draft_ref, "", &draft)],
    )
    .unwrap();

    // Chained: the mirror was not told of the draft.
    let mut bench = Workbench::new(&mirror).unwrap();
    bench.take_in(&first);
    let approval = approval_message(directory, "w1", 1);
    let merge = bench
        .commit(&NewCommit {
            base: Some(&head),
            parents: &[&head, &draft],
            directory,
            tree: Some(&tree),
            ..new(&author(), &approval)
        })
        .unwrap();
    assert_eq!(bench.pack().len(), 1, "the trees were in the first pack");
    let pushed = push(
        &scene.access,
        &[bench.pack()],
        &[
            edit(MAIN, &head, &merge),
            edit("refs/tags/net/upf/v1", "", &merge),
            edit(draft_ref, &draft, ""),
        ],
    )
    .unwrap();
    assert_eq!(pushed.refused, []);

    let bare = scene.repository.bare();
    let show = |format: &str| {
        git(
            &bare,
            &["log", "-1", &format!("--format={format}"), "net/upf/v1"],
        )
    };
    assert_eq!(show("%P").trim(), format!("{head} {draft}"));
    assert_eq!(
        show("%an <%ae> %at %ai").trim(),
        "system:admin <admin@example.com> 1700000000 2023-11-14 22:13:20 +0000"
    );
    assert_eq!(
        show("%cn <%ce>").trim(),
        "Package Orchestration Service <porch@kpt.dev>"
    );
    let raw = git(&bare, &["cat-file", "commit", &draft]);
    assert_eq!(raw.split_once("\n\n").unwrap().1, message);
    let listed = git(&bare, &["ls-tree", "-r", "main"]);
    let listed: Vec<_> = listed
        .lines()
        .map(|line| line.split_at(6))
        .map(|(mode, rest)| (mode, rest.split_once('\t').unwrap().1))
        .collect();
    assert_eq!(
        listed,
        [
            ("100644", "README.md"),
            ("100644", "a/Kptfile"),
            ("100644", "net/upf/Kptfile"),
            ("100644", "net/upf/deep/er/x.yaml")
        ]
    );
    git(&bare, &["fsck", "--full", "--strict"]);

    let mirror = scene.mirror();
    let refs = list_refs(&scene.access).unwrap();
    let mut scanner = Scanner::new(Scope::new("main", ""));
    let Reading::Found(found) = scanner
        .read_ref(&mirror, &refs, "refs/tags/net/upf/v1")
        .unwrap()
    else {
        panic!("the tag holds a revision");
    };
    assert_eq!((found.workspace.as_str(), found.revision), ("w1", 1));
    assert_eq!(
        (found.task.clone(), found.lifecycle),
        (Some(init()), Lifecycle::Published)
    );
    assert_eq!(
        (found.author_email.as_str(), found.author_time),
        ("admin@example.com", Some(time()))
    );
    assert_eq!(
        (found.tree.as_str(), found.commit.as_str()),
        (tree.as_str(), merge.as_str())
    );
}

#[test]
fn modes_are_kept_where_nothing_changed_and_only_there() {
    let repository = Repository::new();
    repository.write("p/Kptfile", KPTFILE);
    repository.write("p/run", "#!/bin/sh\n");
    repository.write("p/deep/run", "1");
    repository.write("p/plain", "plain");
    repository.write("p/was-link-content", "../outside");
    std::os::unix::fs::symlink("Kptfile", repository.work().join("p/link")).unwrap();
    std::os::unix::fs::symlink("plain", repository.work().join("p/changed-link")).unwrap();
    let first = repository.commit("one");
    repository.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{first},p/module"),
    ]);
    repository.git(&["update-index", "--chmod=+x", "p/run", "p/deep/run"]);
    repository.git(&["commit", "-q", "-m", "two"]);
    repository.push();
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    mirror
        .fetch(&repository.file(), &list_refs(&repository.file()).unwrap())
        .unwrap();
    let before = repository.git(&["rev-parse", "HEAD:p"]);
    let head = repository.git(&["rev-parse", "HEAD"]);
    let mut bench = Workbench::new(&mirror).unwrap();
    let all = files(&[
        ("Kptfile", KPTFILE),
        ("run", "#!/bin/sh\n"),
        ("deep/run", "2"),
        ("link", "Kptfile"),
        ("changed-link", "other"),
        ("plain/now-a-directory", "x"),
    ]);
    let tree = bench.package_tree(&all, Some(&before)).unwrap();
    let commit = bench
        .commit(&NewCommit {
            base: Some(&head),
            parents: &[&head],
            directory: "p",
            tree: Some(&tree),
            ..new(&author(), "m")
        })
        .unwrap();
    let pushed = push(
        &repository.file(),
        &[bench.pack()],
        &[edit(MAIN, &head, &commit)],
    )
    .unwrap();
    assert_eq!(pushed.refused, []);
    let listed = git(&repository.bare(), &["ls-tree", "-r", "main:p"]);
    let listed: BTreeMap<_, _> = listed
        .lines()
        .map(|line| (line.split_once('\t').unwrap().1, &line[..6]))
        .collect();
    let want = [
        ("Kptfile", "100644"),
        ("changed-link", "100644"),
        ("deep/run", "100644"),
        ("link", "120000"),
        ("plain/now-a-directory", "100644"),
        ("run", "100755"),
    ];
    assert_eq!(listed, want.into());
    git(&repository.bare(), &["fsck", "--full", "--strict"]);
    let same = bench.package_tree(&all, Some(&tree)).unwrap();
    assert_eq!(same, tree, "what is written again is the same");
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
fn what_is_removed_takes_empty_directories_along_and_nothing_else() {
    let repository = Repository::new();
    for path in [
        "x/y/p/Kptfile",
        "x/y/p/more/f",
        "x/q/Kptfile",
        "y.txt",
        "y/z/Kptfile",
        "y-z",
    ] {
        repository.write(path, KPTFILE);
    }
    let head = repository.commit("one");
    repository.push();
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    mirror
        .fetch(&repository.file(), &list_refs(&repository.file()).unwrap())
        .unwrap();
    let mut bench = Workbench::new(&mirror).unwrap();
    for (directory, want) in [
        ("x/y/p", vec!["x/q/Kptfile", "y-z", "y.txt", "y/z/Kptfile"]),
        ("x/y", vec!["x/q/Kptfile", "y-z", "y.txt", "y/z/Kptfile"]),
        ("x", vec!["y-z", "y.txt", "y/z/Kptfile"]),
        (
            "y/z",
            vec![
                "x/q/Kptfile",
                "x/y/p/Kptfile",
                "x/y/p/more/f",
                "y-z",
                "y.txt",
            ],
        ),
        (
            "absent/p",
            vec![
                "x/q/Kptfile",
                "x/y/p/Kptfile",
                "x/y/p/more/f",
                "y-z",
                "y.txt",
                "y/z/Kptfile",
            ],
        ),
        (
            "y.txt/p",
            vec![
                "x/q/Kptfile",
                "x/y/p/Kptfile",
                "x/y/p/more/f",
                "y-z",
                "y.txt",
                "y/z/Kptfile",
            ],
        ),
        ("", vec![]),
    ] {
        let commit = bench
            .commit(&NewCommit {
                base: Some(&head),
                parents: &[&head],
                directory,
                ..new(&author(), directory)
            })
            .unwrap();
        let name = format!("refs/heads/gone/{commit}");
        let pushed = push(
            &repository.file(),
            &[bench.pack()],
            &[edit(&name, "", &commit)],
        )
        .unwrap();
        assert_eq!(pushed.refused, []);
        let listed = git(
            &repository.bare(),
            &["ls-tree", "-r", "--name-only", &commit],
        );
        assert_eq!(listed.lines().collect::<Vec<_>>(), want, "{directory:?}");
        let trees = git(
            &repository.bare(),
            &["ls-tree", "-r", "-d", "--name-only", &commit],
        );
        assert!(
            !trees.lines().any(|line| line == "x/y") || directory != "x/y/p",
            "{trees}"
        );
    }
    git(&repository.bare(), &["fsck", "--full", "--strict"]);
    let tree = bench
        .package_tree(&files(&[("Kptfile", "1")]), None)
        .unwrap();
    let blocked = bench.commit(&NewCommit {
        base: Some(&head),
        directory: "y.txt/p",
        tree: Some(&tree),
        ..new(&author(), "m")
    });
    assert!(
        matches!(&blocked, Err(Error::Refused(text)) if text.contains("y.txt")),
        "{blocked:?}"
    );
    assert_eq!(bench.tree_of(&head, "absent").unwrap(), None);
}

#[test]
fn paths_that_must_not_be_are_refused() {
    let scene = Scene::new();
    let mirror = scene.mirror();
    let mut bench = Workbench::new(&mirror).unwrap();
    for path in [
        "",
        "/a",
        "a/",
        "a//b",
        "./a",
        "a/./b",
        "../a",
        "a/../b",
        ".git/config",
        "a/.GIT/x",
        "a/git~1",
        "a/.g\u{200c}it",
        "a\0b",
        "a/.git ",
        "x\\.git\\hooks",
        "a/.git::$INDEX_ALLOCATION",
    ] {
        let refused = bench.package_tree(&files(&[("Kptfile", "1"), (path, "2")]), None);
        assert!(
            matches!(refused, Err(Error::Refused(_))),
            "{path:?}: {refused:?}"
        );
        if !path.is_empty() {
            let tree = bench
                .package_tree(&files(&[("Kptfile", "1")]), None)
                .unwrap();
            let refused = bench.commit(&NewCommit {
                directory: path,
                tree: Some(&tree),
                ..new(&author(), "m")
            });
            assert!(
                matches!(refused, Err(Error::Refused(_))),
                "{path:?}: {refused:?}"
            );
        }
    }
    let twice = bench.package_tree(&files(&[("a", "1"), ("a/b", "2")]), None);
    assert!(matches!(twice, Err(Error::Refused(_))), "{twice:?}");
    let twice = bench.package_tree(&files(&[("a-", "1"), ("a/b/c", "2"), ("a/b", "3")]), None);
    assert!(matches!(twice, Err(Error::Refused(_))), "{twice:?}");
    for path in ["d/".repeat(100) + "f", "x".repeat(5000)] {
        let deep = bench.package_tree(&files(&[(&path, "1")]), None);
        assert!(matches!(deep, Err(Error::TooLarge(_))), "{deep:?}");
    }
    for id in ["", "1234", &"1".repeat(39), "main"] {
        let none = bench.tree_of(id, "");
        assert!(matches!(none, Err(Error::Refused(_))), "{none:?}");
    }
    let absent = "1".repeat(40);
    for new in [
        NewCommit {
            base: Some(&absent),
            ..new(&author(), "m")
        },
        NewCommit {
            parents: &[&absent],
            ..new(&author(), "m")
        },
        NewCommit {
            tree: Some(&absent),
            ..new(&author(), "m")
        },
    ] {
        let none = bench.commit(&new);
        assert!(matches!(none, Err(Error::Corrupt(_))), "{none:?}");
    }
    let nul = bench.commit(&new(&author(), "a\0b"));
    assert!(matches!(nul, Err(Error::Refused(_))), "{nul:?}");
}

#[test]
fn every_name_makes_a_commit_that_git_accepts() {
    let scene = Scene::new();
    let mirror = scene.mirror();
    let mut bench = Workbench::new(&mirror).unwrap();
    for (number, (name, email, want)) in [
        (
            "system:serviceaccount:a:b",
            "system:serviceaccount:a:b",
            "system:serviceaccount:a:b <system:serviceaccount:a:b>",
        ),
        ("", "a@b", "a@b <a@b>"),
        ("A", "", "A <>"),
        ("", "", "Package Orchestration Service <porch@kpt.dev>"),
        ("<>\n", " ", "Package Orchestration Service <porch@kpt.dev>"),
        (
            "a <x>\nauthor b <c> 1 +0000",
            "d>\n\0e",
            "a xauthor b c 1 +0000 <de>",
        ),
        ("ünï", "ü@ï", "ünï <ü@ï>"),
    ]
    .into_iter()
    .enumerate()
    {
        let person = Person {
            name: name.into(),
            email: email.into(),
        };
        let time = jiff::Timestamp::from_second([1_700_000_000, -5][number % 2]).unwrap();
        let commit = bench
            .commit(&NewCommit {
                time,
                ..new(&person, "m")
            })
            .unwrap();
        let pushed = push(
            &scene.repository.file(),
            &[bench.pack()],
            &[edit(&format!("refs/heads/n{number}"), "", &commit)],
        )
        .unwrap();
        assert_eq!(pushed.refused, []);
        let shown = git(
            &scene.repository.bare(),
            &["log", "-1", "--format=%an <%ae>", &commit],
        );
        assert_eq!(shown.trim_end_matches('\n'), want);
    }
    git(&scene.repository.bare(), &["fsck", "--full", "--strict"]);
}

#[test]
fn only_what_is_new_is_sent_and_a_whole_pack_needs_nothing() {
    let scene = Scene::new();
    let mirror = scene.mirror();
    let head = scene.id(MAIN).unwrap();
    let mut bench = Workbench::new(&mirror).unwrap();
    let mut all = files(&[("Kptfile", KPTFILE), ("d/same", "1"), ("e/other", "2")]);
    let before = bench.package_tree(&all, None).unwrap();
    assert_eq!(bench.pack().len(), 6, "three blobs in three trees");
    mirror.keep(&bench.pack()).unwrap();
    assert_eq!(
        porch::git::paths(&mirror, &before).unwrap(),
        ["Kptfile", "d/same", "e/other"]
    );

    let mut bench = Workbench::new(&mirror).unwrap();
    assert_eq!(bench.package_tree(&all, Some(&before)).unwrap(), before);
    assert!(bench.pack().is_empty(), "nothing changed");
    all.insert("d/same".into(), b"3".to_vec());
    let tree = bench.package_tree(&all, Some(&before)).unwrap();
    assert_eq!(bench.pack().len(), 3, "one blob in two trees");
    let commit = bench
        .commit(&NewCommit {
            base: Some(&head),
            parents: &[&head],
            directory: "b/c",
            tree: Some(&tree),
            ..new(&author(), "m")
        })
        .unwrap();
    assert_eq!(
        bench.pack().len(),
        6,
        "and two trees above it, and the commit"
    );
    assert_eq!(bench.whole_pack().unwrap().len(), 9);
    mirror.keep(&bench.pack()).unwrap();
    mirror.keep(&porch::git::Pack::default()).unwrap();
    assert!(mirror.contains(&commit));
    git(&scene.repository.mirror(), &["fsck", "--full", "--strict"]);
    let mut unchanged = Workbench::new(&mirror).unwrap();
    unchanged
        .commit(&NewCommit {
            base: Some(&commit),
            parents: &[&commit],
            directory: "b/c",
            tree: Some(&tree),
            ..new(&author(), "again")
        })
        .unwrap();
    assert_eq!(unchanged.pack().len(), 1, "the commit alone");
}

#[test]
fn a_mirror_that_keeps_every_push_stays_small() {
    let scene = Scene::new();
    let mirror = scene.mirror();
    for number in 0..60 {
        let mut bench = Workbench::new(&mirror).unwrap();
        let tree = bench
            .package_tree(&files(&[("x", &number.to_string())]), None)
            .unwrap();
        mirror.keep(&bench.pack()).unwrap();
        if mirror.due() == Due::Join {
            mirror.join_packs().unwrap();
        }
        assert_eq!(porch::git::paths(&mirror, &tree).unwrap(), ["x"]);
    }
    let packs = std::fs::read_dir(scene.repository.mirror().join("objects/pack")).unwrap();
    let packs = packs
        .filter_map(Result::ok)
        .filter(|file| file.path().extension().is_some_and(|end| end == "pack"));
    assert!(packs.count() <= 41);
}

#[test]
fn any_number_may_keep_packs_in_a_mirror_while_it_is_fetched_into_and_read() {
    let scene = Scene::new();
    drop(scene.mirror());
    let directory = scene.repository.mirror();
    let keep = |thread: usize| {
        let mirror = Mirror::open(&directory).unwrap();
        for number in 0..50 {
            let mut bench = Workbench::new(&mirror).unwrap();
            let content = format!("{thread} {number}");
            let tree = bench
                .package_tree(&files(&[("x", &content)]), None)
                .unwrap();
            mirror.keep(&bench.pack()).unwrap();
            let read = porch::git::files(&mirror, &tree, Limits::default()).unwrap();
            assert_eq!(read[0].content, content.as_bytes());
        }
    };
    let fetch = || {
        for number in 0..30 {
            let (commit, pack) = scene.commit("p", &number.to_string());
            let name = format!("refs/heads/f{number}");
            push(&scene.access, &[pack], &[edit(&name, "", &commit)]).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..3 {
            scope.spawn(move || keep(thread));
        }
        scope.spawn(fetch);
        scope.spawn(|| {
            let mirror = Mirror::open(&directory).unwrap();
            for _ in 0..200 {
                mirror.join_packs().unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    });
    scene.mirror();
    git(&directory, &["fsck", "--full", "--strict"]);
}

#[test]
fn a_branch_is_begun_in_an_empty_repository() {
    for served in [true, false] {
        let scene = Scene::new();
        let empty = Repository::new();
        let server = crate::git_server::GitServer::http(empty.root());
        let url = server.url("bare.git");
        let address = porch::git::Address::parse(&url, false).unwrap();
        let access = if served {
            porch::git::Access::anonymous(address)
        } else {
            empty.file()
        };
        let mirror = scene.mirror();
        let mut bench = Workbench::new(&mirror).unwrap();
        let commit = bench.first_commit(time()).unwrap();
        let pushed = push(&access, &[bench.pack()], &[edit(MAIN, "", &commit)]).unwrap();
        assert_eq!(pushed.refused, []);
        assert_eq!(
            git(&empty.bare(), &["show", "main:README.md"]),
            "Created by porch"
        );
        let raw = git(&empty.bare(), &["cat-file", "commit", "main"]);
        let (head, message) = raw.split_once("\n\n").unwrap();
        assert_eq!(message, "Initial commit: Creating main branch");
        assert!(head.contains("\nauthor Package Orchestration Service <porch@kpt.dev> 1700000000 +0000\ncommitter Package"), "{head}");
        assert!(!head.contains("parent"));
        git(&empty.bare(), &["fsck", "--full", "--strict"]);
    }
}

/// Writes every package of a branch anew: the same files must make the same ids, and what is taken out and put back must
/// leave the same tree.
fn rewrite(repository: &Repository) -> usize {
    let scope = Scope::new("main", "");
    let (mirror, refs, scan) = sync(&repository.file(), &repository.mirror(), &scope);
    let head = &refs.head(&scope).unwrap().commit;
    let mut bench = Workbench::new(&mirror).unwrap();
    let root = bench.tree_of(head, "").unwrap();
    let placeholders = scan.found.iter().filter(|found| found.revision == -1);
    let (nobody, mut count) = (Person::default(), 0);
    for found in placeholders.filter(|found| found.reference == MAIN) {
        let read = porch::git::files(&mirror, &found.tree, Limits::default()).unwrap();
        let all = read.into_iter().map(|file| (file.path, file.content));
        let tree = bench
            .package_tree(&all.collect(), Some(&found.tree))
            .unwrap();
        assert_eq!(tree, found.tree, "{}", found.directory);
        let change = |base, tree| NewCommit {
            base: Some(base),
            parents: &[],
            directory: &found.directory,
            tree,
            ..new(&nobody, "m")
        };
        let without = bench.commit(&change(head, None)).unwrap();
        assert_eq!(bench.tree_of(&without, &found.directory).unwrap(), None);
        let back = bench.commit(&change(&without, Some(&tree))).unwrap();
        assert_eq!(
            bench.tree_of(&back, "").unwrap(),
            root,
            "{}",
            found.directory
        );
        count += 1;
    }
    count
}

#[test]
fn packages_of_the_world_are_written_as_they_were() {
    assert!(rewrite(&odd()) > 5);
    for bundle in bundles() {
        let repository = Repository::of_bundle(&bundle);
        assert!(rewrite(&repository) > 5, "{}", bundle.display());
    }
}
