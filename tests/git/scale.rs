//! What a repository of 1,000 packages with 10 published revisions each costs, beside git's own command line.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use porch::git::{Access, Address, Mirror, Scanner, Scope, list_refs};

use crate::{
    git_server::{GitServer, git, git_fed},
    repository::{KPTFILE, Repository},
};

const PACKAGES: usize = 1000;
const REVISIONS: usize = 10;

/// Writes the history that as many approvals leave: a draft commit and a merge for each revision, and a tag.
fn stream() -> String {
    let mut out = String::from("blob\nmark :1\ndata 5\nhello\n");
    let mut commit = |reference: &str,
                      (mark, parents): (usize, String),
                      message: &str,
                      change: &str| {
        let time = 1_700_000_000 + mark;
        writeln!(out, "commit {reference}\nmark :{mark}\nauthor A <a@b> {time} +0000\ncommitter C <c@d> {time} +0000").unwrap();
        write!(
            out,
            "data {}\n{message}\n{parents}{change}\n",
            message.len()
        )
        .unwrap();
    };
    commit(
        "refs/heads/main",
        (2, String::new()),
        "begin",
        "M 100644 :1 README\n",
    );
    let mut head = 2;
    let mut tags = String::new();
    for revision in 1..=REVISIONS {
        for package in 0..PACKAGES {
            let path = format!("team-{:02}/package-{package:04}", package % 20);
            let kptfile = format!(
                "{KPTFILE}  labels:\n    revision: \"{revision}\"\n    package: \"{package}\"\n"
            );
            let task = if revision == 1 { "init" } else { "edit" };
            let (draft, merge) = (head + 1, head + 2);
            let note = format!(
                "draft\n\n\nkpt:{{\"package\":\"{path}\",\"workspaceName\":\"w{revision}\",\"revision\":\"0\",\"task\":{{\"type\":\"{task}\"}}}}\n"
            );
            let data = format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: p{package}\ndata:\n  revision: \"{revision}\"\n"
            );
            let change = format!(
                "M 100644 inline {path}/Kptfile\ndata {}\n{kptfile}\nM 100644 inline {path}/cm.yaml\ndata {}\n{data}\n",
                kptfile.len(),
                data.len()
            );
            commit(
                "refs/heads/scratch",
                (draft, format!("from :{head}\n")),
                &note,
                &change,
            );
            let note = format!(
                "Approving package revision {path}/{revision}\n\nkpt:{{\"package\":\"{path}\",\"workspaceName\":\"w{revision}\",\"revision\":\"{revision}\"}}\n"
            );
            commit(
                "refs/heads/main",
                (merge, format!("from :{head}\nmerge :{draft}\n")),
                &note,
                &change,
            );
            writeln!(tags, "reset refs/tags/{path}/v{revision}\nfrom :{merge}\n").unwrap();
            head = merge;
        }
    }
    out + &tags
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let done = work();
    let took = begun.elapsed();
    eprintln!("{what}: {took:?}");
    (took, done)
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or_default().to_string()
}

#[test]
#[ignore = "a measurement: run by name, built for release"]
fn ten_thousand_revisions() {
    let repository = Repository::new();
    let bare = repository.bare();
    git_fed(&bare, &["fast-import", "--quiet"], &stream());
    git(&bare, &["update-ref", "-d", "refs/heads/scratch"]);
    git(&bare, &["repack", "-adq"]);
    git(&bare, &["pack-refs", "--all"]);
    let server = GitServer::http(repository.root());
    let url = server.url("bare.git");
    let access = Access::anonymous(Address::parse(&url, false).unwrap());
    timed("git clone --mirror", || {
        git(
            repository.root(),
            &["clone", "-q", "--mirror", &url, "clone.git"],
        )
    });
    timed("git ls-remote", || {
        git(&bare, &["ls-remote", "-q", &url]).len()
    });
    eprintln!("{}", memory());
    let (_, refs) = timed("list_refs, first", || list_refs(&access).unwrap());
    assert_eq!(refs.len(), PACKAGES * REVISIONS + 1);
    timed("list_refs, again", || list_refs(&access).unwrap());
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    timed("fetch, first", || mirror.fetch(&access, &refs).unwrap());
    eprintln!("{}", memory());
    timed("fetch, nothing new", || {
        mirror.fetch(&access, &refs).unwrap();
    });
    timed("refs of the mirror", || mirror.refs().unwrap());
    let mut scanner = Scanner::new(Scope::new("main", ""));
    let (_, scan) = timed("scan, first", || {
        scanner.scan(&mirror, &refs, &|_| true).unwrap()
    });
    assert_eq!(scan.found.len(), PACKAGES * (REVISIONS + 1));
    assert!(
        scan.found
            .iter()
            .all(|found| found.task.is_some() == (found.revision > 0))
    );
    eprintln!("{}", memory());
    timed("scan of the branch, again", || {
        scanner
            .scan(&mirror, &refs, &|name| name == "refs/heads/main")
            .unwrap()
    });
    timed("scan, again", || {
        scanner.scan(&mirror, &refs, &|_| true).unwrap()
    });
    let cold = || {
        Scanner::new(Scope::new("main", ""))
            .scan(&mirror, &refs, &|_| true)
            .unwrap()
    };
    timed("scan by a new scanner", cold);
}
