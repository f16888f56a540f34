//! The first walk, measured on whole processes: each figure stands beside the bare thing in the same run.
//!
//! `cargo bench` makes a repository of 1,000 packages with 10 published revisions each (smaller with `PORCH_BENCH_PACKAGES`
//! and `PORCH_BENCH_REVISIONS`), serves it over smart HTTP on loopback, and lets a `porch standalone` of its own read it.
//! It needs `git`. Both sides are release builds. Times are medians; machines differ by 30 %, so compare within a run only.

mod bare;
#[path = "../../tests/support/git_server.rs"]
mod git_server;
#[path = "../../tests/support/many.rs"]
mod many;
mod server;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use bare::Bare;
use git_server::GitServer;
use server::Server;

/// The most memory that a first sync may take, in megabytes.
const MEMORY: f64 = 150.0;

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("a debug build measures itself: use `cargo bench`");
        std::process::exit(1);
    }
    // `cargo bench` passes flags of the standard harness; there is nothing to choose here.
    let number = |name: &str, default: usize| -> usize {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let packages = number("PORCH_BENCH_PACKAGES", 1_000);
    let revisions = number("PORCH_BENCH_REVISIONS", 10);
    let home = tempfile::tempdir().unwrap();
    let repository = home.path().join("served/many.git");
    println!("{packages} packages x {revisions} revisions, placeholders beside them");
    many::repository(&repository, packages, revisions);
    let git = GitServer::http(&home.path().join("served"));
    let url = git.url("many.git");
    let expected = packages * (revisions + 1);

    println!("what | ours | beside it | ratio");
    let server = first_sync(home.path(), &url, expected);
    lists(&server);
    watchers(&server, 1_000);
    no_op(&server, &url);
    written(&server, expected);
    warm(server, home.path(), expected);
}

/// A first sync, beside a mirror by git and the same records written alone; and the memory it took.
fn first_sync(home: &Path, url: &str, expected: usize) -> Server {
    let server = Server::start(&home.join("first"));
    let first = time(|| {
        server.register(url);
        assert_eq!(server.count(), expected);
    });
    let peak = mega(server.peak() * 1024);
    let mirror = time(|| clone(url, &home.join("clone.git")));
    let records = server.records();
    let bare = Server::start(&home.join("records"));
    let written = time(|| bare.write(&records));
    row(
        "first sync until Ready (at most 1.5)",
        first,
        mirror + written,
    );
    println!(
        "  of that: git clone --mirror {mirror:.1?}, the same records written alone {written:.1?}"
    );
    println!(
        "memory of a first sync at most | {peak:.1} MB | {MEMORY} MB allowed | {:.2}",
        peak / MEMORY
    );
    server
}

/// LIST as JSON and as Table, beside the same bytes from memory over the same TLS; GET beside the least that can be asked.
fn lists(server: &Server) {
    let path = "/apis/porch.kpt.dev/v1alpha1/packagerevisions";
    for (name, accept) in [
        ("JSON", "application/json"),
        ("Table", "application/json;as=Table;v=v1;g=meta.k8s.io"),
    ] {
        let bytes = server.get(path, accept);
        let what = format!("LIST as {name}, {:.1} MB", mega(bytes.len()));
        let bare = Bare::start(bytes);
        let listed = median(15, || drop(server.get(path, accept)));
        row(&what, listed, median(15, || drop(bare.get())));
    }
    let name = "/apis/porch.kpt.dev/v1alpha1/namespaces/default/packagerevisions/many.team-00.package-0000.v1";
    let got = median(99, || drop(server.get(name, "application/json")));
    let least = median(99, || drop(server.get("/livez", "application/json")));
    row("GET, beside /livez", got, least);
}

/// How long until all watchers know of one change, beside one watcher alone; and what they cost.
fn watchers(server: &Server, count: usize) {
    let told = |watchers: &server::Watchers| {
        let mut taken: Vec<_> = (0..5)
            .map(|_| watchers.told_of(|| server.touch_one()))
            .collect();
        taken.sort_unstable();
        taken[taken.len() / 2]
    };
    let one = told(&server.watch(1));
    let before = server.resident();
    let watchers = server.watch(count);
    let after = server.resident();
    row(
        &format!("{count} watchers told of a change, beside one"),
        told(&watchers),
        one,
    );
    let each = tenths(after.saturating_sub(before) * 10 / count);
    println!("  memory of each watcher: {each:.1} kB");
}

/// A sync of a repository that did not move, as the server counts it, beside `git ls-remote`.
fn no_op(server: &Server, url: &str) {
    let ours = server.looks(9);
    let git = |words: &[&str]| {
        let output = Command::new("git").args(words).output().unwrap();
        assert!(output.status.success());
    };
    let theirs = median(15, || git(&["ls-remote", "--quiet", url]));
    let process = median(15, || git(&["--version"]));
    row(
        "no-op sync, beside git ls-remote (at most 1.2)",
        ours,
        theirs,
    );
    row(
        "  beside git ls-remote without its process",
        ours,
        theirs.saturating_sub(process),
    );
}

/// Every revision labelled once: how long each write took, and what it costs to know who owns what.
fn written(server: &Server, count: usize) {
    let before = server.resident();
    let took = time(|| server.label_all());
    let after = server.resident();
    let each = took / u32::try_from(count).unwrap();
    println!("all {count} revisions labelled | {took:.1?} | {each:.1?} each");
    let grown = tenths(after.saturating_sub(before) * 10 / count);
    println!(
        "  memory: {:.1} MB before, {:.1} MB after, {grown:.1} kB each",
        mega(before * 1024),
        mega(after * 1024)
    );
}

/// From start until ready with everything there, beside a start with nothing.
fn warm(server: Server, home: &Path, expected: usize) {
    drop(server);
    let empty = time(|| drop(Server::start(&home.join("empty"))));
    let begun = Instant::now();
    let server = Server::start(&home.join("first"));
    let ready = begun.elapsed();
    assert_eq!(server.count(), expected);
    row("warm start until ready, beside an empty one", ready, empty);
    println!("  memory then: {:.1} MB", mega(server.peak() * 1024));
}

fn row(what: &str, ours: Duration, beside: Duration) {
    let ratio = ours.as_secs_f64() / beside.as_secs_f64();
    println!("{what} | {ours:.1?} | {beside:.1?} | {ratio:.2}");
}

fn clone(url: &str, to: &Path) {
    let output = Command::new("git")
        .args(["clone", "--quiet", "--mirror", url])
        .arg(to)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn time(deed: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    deed();
    begun.elapsed()
}

fn median(times: usize, mut deed: impl FnMut()) -> Duration {
    let mut taken: Vec<_> = (0..times).map(|_| time(&mut deed)).collect();
    taken.sort_unstable();
    taken[times / 2]
}

fn mega(bytes: usize) -> f64 {
    tenths(bytes / 100_000)
}

fn tenths(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / 10.0
}
