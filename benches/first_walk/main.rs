//! The first walk, measured on whole processes: each figure stands beside the bare thing in the same run.
//!
//! `cargo bench` makes a repository of 1,000 packages with 10 published revisions each (smaller with `PORCH_BENCH_PACKAGES`
//! and `PORCH_BENCH_REVISIONS`), serves it over smart HTTP on loopback, and lets a `porch standalone` of its own read it.
//! It needs `git`. Times are medians; machines differ by 30 %, so compare within a run only.

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

use git_server::GitServer;
use porch::git::{Access, Address, list_refs};
use server::Server;

fn main() {
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

    let mirror = time(|| clone(&url, &home.path().join("clone.git")));
    let server = Server::start(&home.path().join("first"), &[]);
    let first = time(|| server.register(&url, expected));
    println!("first sync until Ready        {first:>10.0?}");
    println!(
        "  memory at most              {:>7} MB",
        server.peak() / 1024
    );
    let records = server.records();
    let bare = Server::start(&home.path().join("records"), &[]);
    let written = time(|| bare.write(&records));
    println!("  git clone --mirror          {mirror:>10.0?}");
    println!("  the same records alone      {written:>10.0?}");
    println!(
        "  ratio                       {:>10.2}",
        first.as_secs_f64() / (mirror + written).as_secs_f64()
    );
    drop(bare);

    lists(&server);
    watchers(&server, 1_000);
    no_op(&url);
    warm(server, &home.path().join("first"), expected);
}

/// LIST as JSON and as Table, beside the same bytes from memory over the same TLS.
fn lists(server: &Server) {
    let path = "/apis/porch.kpt.dev/v1alpha1/packagerevisions";
    for (name, accept) in [
        ("JSON", "application/json"),
        ("Table", "application/json;as=Table;v=v1;g=meta.k8s.io"),
    ] {
        let bytes = server.get(path, accept).len();
        let listed = median(9, || drop(server.get(path, accept)));
        println!("LIST as {name:<22}{listed:>10.1?}  {:.1} MB", mega(bytes));
    }
    let records = "/apis/config.porch.kpt.dev/v1alpha1/packagerevs";
    let bytes = server.get(records, "application/json").len();
    let listed = median(9, || drop(server.get(records, "application/json")));
    println!(
        "  the records themselves      {listed:>10.1?}  {:.1} MB",
        mega(bytes)
    );
    let name = "/apis/porch.kpt.dev/v1alpha1/namespaces/default/packagerevisions/many.team-00.package-0000.v1";
    println!(
        "GET                           {:>10.2?}",
        median(99, || drop(server.get(name, "application/json")))
    );
    println!(
        "  /livez                      {:>10.2?}",
        median(99, || drop(server.get("/livez", "application/json")))
    );
}

/// How long until all watchers know of one change, and what they cost.
fn watchers(server: &Server, count: usize) {
    let before = server.resident();
    let watchers = server.watch(count);
    let after = server.resident();
    let told = watchers.told_of(|| server.touch_one());
    println!(
        "{count} watchers, one change      {told:>10.1?}  {:.1} kB each",
        tenths(after.saturating_sub(before) * 10 / count)
    );
}

/// A look at a repository that did not move, beside `git ls-remote`.
fn no_op(url: &str) {
    let access = Access::anonymous(Address::parse(url, false).unwrap());
    let ours = median(15, || drop(list_refs(&access).unwrap()));
    let theirs = median(15, || {
        let output = Command::new("git")
            .args(["ls-remote", "--quiet", url])
            .output()
            .unwrap();
        assert!(output.status.success());
    });
    println!("no-op look at the remote      {ours:>10.1?}");
    println!("  git ls-remote, with process {theirs:>10.1?}");
}

/// From start to the whole list, with everything there.
fn warm(server: Server, directory: &Path, expected: usize) {
    drop(server);
    let begun = Instant::now();
    let server = Server::start(directory, &[]);
    let ready = begun.elapsed();
    assert_eq!(server.count(), expected);
    println!("warm start until ready        {ready:>10.0?}");
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
