//! Package revisions: what the room finds is what git's command line says is there, on repositories of the world and on
//! ones made to hold everything odd.

use std::collections::BTreeSet;

use porch::{
    api::Task,
    git::{Found, Mirror, Reading, RefKind, Scan, Scanner, Scope, classify, lifecycle, list_refs},
    package::Lifecycle,
};

use crate::{
    count::Count,
    git_server::GitServer,
    odd::{message, odd},
    repository::{KPTFILE, Repository, bundles, sync},
};

#[test]
fn repositories_of_the_world_hold_what_git_says() {
    for bundle in bundles() {
        let repository = Repository::of_bundle(&bundle);
        let server = GitServer::http(repository.root());
        let address = porch::git::Address::parse(&server.url("bare.git"), false).unwrap();
        let access = porch::git::Access::anonymous(address);
        let mut total = 0;
        for (branch, directory) in [
            ("main", ""),
            ("main", "nephio"),
            ("main", "workloads/oai"),
            ("v6", "infra"),
            ("absent", ""),
        ] {
            let count = Count::of(&repository.bare(), branch, directory);
            let (_, refs, scan) = sync(
                &access,
                &repository.mirror(),
                &Scope::new(branch, directory),
            );
            count.check(&scan);
            assert_eq!(
                scan.head.as_deref(),
                refs.get(&format!("refs/heads/{branch}"))
                    .map(|target| target.commit.as_str())
            );
            total += scan.found.len();
        }
        assert!(total > 20, "{} holds something", bundle.display());
    }
}

#[test]
fn a_repository_with_everything_odd_holds_what_git_says() {
    let repository = odd();
    for (branch, directory) in [
        ("main", ""),
        ("main", "deploy/edge"),
        ("main", "deploy"),
        ("main", "a"),
        ("nested/release", ""),
        ("main", "absent"),
        ("main", "README.md"),
    ] {
        let mut count = Count::of(&repository.bare(), branch, directory);
        let chain = "refs/tags/a/v5";
        count.refs.remove(chain);
        let (_, _, scan) = sync(
            &repository.file(),
            &repository.mirror(),
            &Scope::new(branch, directory),
        );
        count.check(&scan);
    }
}

fn find<'a>(scan: &'a Scan, reference: &str, directory: &str) -> &'a Found {
    let mut all = scan
        .found
        .iter()
        .filter(|found| found.reference == reference && found.directory == directory);
    let found = all
        .next()
        .unwrap_or_else(|| panic!("{reference} {directory} was found"));
    assert!(all.next().is_none());
    found
}

#[test]
fn what_is_passed_over_is_told_with_its_reason() {
    let repository = odd();
    let (_, _, scan) = sync(
        &repository.file(),
        &repository.mirror(),
        &Scope::new("main", ""),
    );
    let told: BTreeSet<_> = scan
        .skipped
        .iter()
        .map(|skipped| format!("{} {:?}", skipped.reference, skipped.path))
        .collect();
    let want = [
        "refs/heads/drafts/absent/w1 \"absent\"",
        "refs/heads/drafts/foo \"\"",
        "refs/heads/main \"\"",
        "refs/heads/main \"directory/Kptfile\"",
        "refs/heads/proposed/foo \"\"",
        "refs/tags/a/v5 \"a\"",
        "refs/tags/a/v6 \"a\"",
    ];
    assert_eq!(told, want.map(str::to_string).into());
    assert!(scan.skipped.iter().all(|skipped| !skipped.why.is_empty()));
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
fn workspaces_tasks_authors_and_states_come_from_commits_and_refs() {
    let repository = odd();
    let (_, _, scan) = sync(
        &repository.file(),
        &repository.mirror(),
        &Scope::new("main", ""),
    );
    for (reference, directory, workspace, revision, state, task) in [
        (
            "refs/tags/life/v1",
            "life",
            "w1",
            1,
            Lifecycle::Published,
            Some("init"),
        ),
        (
            "refs/heads/proposed/life/w1",
            "life",
            "w1",
            0,
            Lifecycle::Proposed,
            Some("init"),
        ),
        (
            "refs/heads/drafts/life/w2",
            "life",
            "w2",
            0,
            Lifecycle::Draft,
            Some("edit"),
        ),
        (
            "refs/heads/drafts/life/again",
            "life",
            "again",
            0,
            Lifecycle::Draft,
            Some("init"),
        ),
        (
            "refs/tags/old/v1",
            "old",
            "v1",
            1,
            Lifecycle::Published,
            Some("init"),
        ),
        (
            "refs/heads/main",
            "life",
            "main",
            -1,
            Lifecycle::Published,
            None,
        ),
        (
            "refs/heads/main",
            "broken",
            "main",
            -1,
            Lifecycle::DeletionProposed,
            None,
        ),
        (
            "refs/tags/a/v1",
            "a",
            "v1",
            1,
            Lifecycle::DeletionProposed,
            None,
        ),
        (
            "refs/tags/a/v1.0.0",
            "a",
            "v1.0.0",
            -1,
            Lifecycle::DeletionProposed,
            None,
        ),
        ("refs/tags/a/02", "a", "v2", 2, Lifecycle::Published, None),
        ("refs/tags/a/v4", "a", "v4", 4, Lifecycle::Published, None),
        (
            "refs/tags/a/b/v1",
            "a/b",
            "v1",
            1,
            Lifecycle::Published,
            None,
        ),
        (
            "refs/heads/drafts/a/w-early",
            "a",
            "w-early",
            0,
            Lifecycle::Draft,
            None,
        ),
    ] {
        let found = find(&scan, reference, directory);
        let task = task.map(str::to_string);
        assert_eq!(
            (found.workspace.as_str(), found.revision),
            (workspace, revision),
            "{reference}"
        );
        assert_eq!(found.lifecycle, state, "{reference}");
        assert_eq!(
            found.task.as_ref().map(|task: &Task| task.type_.clone()),
            task,
            "{reference}"
        );
    }
    let edit = find(&scan, "refs/heads/drafts/life/w2", "life")
        .task
        .clone()
        .unwrap();
    assert_eq!(edit.edit.unwrap().source_ref.unwrap().name, "r.life.w1");
    let placeholder = find(&scan, "refs/heads/main", "life");
    assert_eq!(placeholder.author_email, "author@example.com");
    let approval = find(&scan, "refs/tags/life/v1", "life");
    assert_eq!(placeholder.author_time, approval.author_time);
    let bare = find(&scan, "refs/heads/main", "a");
    assert_eq!((bare.author_email.as_str(), bare.author_time), ("", None));
    let broken = find(&scan, "refs/heads/main", "broken");
    assert!(!broken.kptfile.problem.is_empty());
}

#[test]
fn a_scan_of_what_moved_finds_what_a_scan_of_everything_finds() {
    let repository = odd();
    let scope = Scope::new("main", "");
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    let mut scanner = Scanner::new(scope.clone());
    let mut look = || {
        let refs = list_refs(&repository.file()).unwrap();
        mirror.fetch(&repository.file(), &refs).unwrap();
        let warm = scanner.scan(&mirror, &refs, &|_| true).unwrap();
        let cold = Scanner::new(scope.clone())
            .scan(&mirror, &refs, &|_| true)
            .unwrap();
        assert_eq!(warm, cold);
        let one = |name: &str| name == "refs/tags/life/v1";
        let part = scanner.scan(&mirror, &refs, &one).unwrap();
        assert_eq!(
            part.found,
            warm.found
                .into_iter()
                .filter(|found| one(&found.reference))
                .collect::<Vec<_>>()
        );
    };
    look();
    repository.write("a/x", "1");
    repository.commit(&message(
        "Approving",
        r#"{"package":"a","workspaceName":"w7","revision":"7"}"#,
    ));
    repository.git(&["tag", "a/v7"]);
    repository.push();
    look();
    repository.git(&["mv", "a", "moved"]);
    repository.git(&["tag", "-f", "foo/1.0", "a/v1"]);
    repository.commit("a is elsewhere now");
    repository.git(&["branch", "-D", "deletionProposed/a/v1"]);
    repository.push();
    look();
    repository.git(&["reset", "-q", "--hard", "HEAD~4"]);
    repository.push();
    look();
    repository.git(&["checkout", "-q", "--orphan", "fresh"]);
    repository.write("only/Kptfile", KPTFILE);
    repository.commit("begun anew");
    repository.git(&["branch", "-M", "main"]);
    repository.push();
    look();
}

#[test]
fn a_ref_that_holds_nothing_is_looked_at_again_when_it_moves() {
    let repository = Repository::new();
    repository.write("x", "1");
    repository.commit("nothing yet");
    repository.git(&["tag", "p/v1"]);
    repository.git(&["branch", "drafts/p/w"]);
    repository.push();
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    let mut scanner = Scanner::new(Scope::new("main", ""));
    let mut read = |name: &str| {
        let refs = list_refs(&repository.file()).unwrap();
        mirror.fetch(&repository.file(), &refs).unwrap();
        scanner.read_ref(&mirror, &refs, name).unwrap()
    };
    assert_eq!(read("refs/tags/p/v1"), Reading::Nothing);
    assert!(matches!(read("refs/heads/drafts/p/w"), Reading::Skipped(_)));
    assert!(matches!(read("refs/heads/drafts/p/w"), Reading::Skipped(_)));
    assert_eq!(read("refs/heads/absent"), Reading::Nothing);
    repository.write("p/Kptfile", KPTFILE);
    repository.commit("now");
    repository.git(&["tag", "-f", "p/v1"]);
    repository.git(&["branch", "-f", "drafts/p/w"]);
    repository.push();
    assert!(matches!(read("refs/tags/p/v1"), Reading::Found(_)));
    assert!(matches!(read("refs/heads/drafts/p/w"), Reading::Found(_)));
}

#[test]
fn names_of_refs_mean_what_upstream_means() {
    let kind =
        |name: &str, branch: &str, directory: &str| classify(name, &Scope::new(branch, directory));
    let draft = |directory: &str, workspace: &str| RefKind::Draft {
        directory: directory.into(),
        workspace: workspace.into(),
    };
    let tag = |directory: &str, text: &str| RefKind::Tag {
        directory: directory.into(),
        text: text.into(),
    };
    for (name, branch, directory, want) in [
        ("refs/heads/main", "main", "", RefKind::Branch),
        (
            "refs/heads/nested/release",
            "nested/release",
            "",
            RefKind::Branch,
        ),
        ("refs/heads/drafts/a/w", "drafts/a/w", "", RefKind::Branch),
        ("refs/heads/other", "main", "", RefKind::Other),
        ("refs/heads/mainly", "main", "", RefKind::Other),
        ("refs/heads/drafts/a/b/w", "main", "", draft("a/b", "w")),
        ("refs/heads/drafts/a", "main", "", RefKind::Malformed),
        ("refs/heads/proposed/a", "main", "x", RefKind::Malformed),
        ("refs/heads/drafts", "main", "", RefKind::Other),
        ("refs/heads/draftsy/a/w", "main", "", RefKind::Other),
        ("refs/heads/drafts/d/a/w", "main", "/d/", draft("d/a", "w")),
        ("refs/heads/drafts/d/w", "main", "d", draft("d", "w")),
        ("refs/heads/drafts/dx/a/w", "main", "d", RefKind::Other),
        ("refs/heads/drafts/x/a/w", "main", "d", RefKind::Other),
        ("refs/tags/a/v1", "main", "", tag("a", "v1")),
        ("refs/tags/a/b/1.0", "main", "", tag("a/b", "1.0")),
        ("refs/tags/v1", "main", "", RefKind::Other),
        ("refs/tags/e/f/v1", "main", "e//f/", tag("e/f", "v1")),
        ("refs/tags/e/v1", "main", "e/f", RefKind::Other),
        ("refs/notes/a/v1", "main", "", RefKind::Other),
    ] {
        assert_eq!(
            kind(name, branch, directory),
            want,
            "{name} {branch} {directory}"
        );
    }
    let proposal = kind("refs/heads/deletionProposed/a/v1", "main", "");
    assert!(matches!(proposal, RefKind::DeletionProposed { text, .. } if text == "v1"));
}

#[test]
fn lifecycles_need_refs_alone() {
    let repository = odd();
    let refs = list_refs(&repository.file()).unwrap();
    for (reference, directory, workspace, revision, want) in [
        ("refs/heads/drafts/a/w", "a", "w", 0, Lifecycle::Draft),
        ("refs/heads/proposed/a/w", "a", "w", 0, Lifecycle::Proposed),
        ("refs/tags/a/v1", "a", "any", 1, Lifecycle::DeletionProposed),
        ("refs/tags/a/v2", "a", "v1", 2, Lifecycle::Published),
        (
            "refs/tags/a/v1.0.0",
            "a",
            "v1.0.0",
            -1,
            Lifecycle::DeletionProposed,
        ),
        (
            "refs/heads/main",
            "broken",
            "main",
            -1,
            Lifecycle::DeletionProposed,
        ),
        ("refs/heads/main", "a", "main", -1, Lifecycle::Published),
        (
            "refs/heads/drafts/x",
            "a",
            "drafts/x",
            -1,
            Lifecycle::Published,
        ),
    ] {
        assert_eq!(
            lifecycle(&refs, reference, directory, (workspace, revision)),
            want,
            "{reference}"
        );
    }
}
