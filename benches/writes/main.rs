//! Writes, measured on a whole process over real smart HTTP: each figure stands beside a bare push to the same server in the
//! same run, once by `git` with the start of its process, and once by our own client alone, which is the least that any
//! write can cost.
//!
//! `cargo bench --bench writes`. It needs `git`. Times are medians; machines differ by 30 %, so compare within a run only.
//! `PORCH_BENCH_ROUNDS` says how often each write is measured; the word `clones` measures nothing but clones of a real package.

mod clones;
#[path = "../../tests/support/git_server.rs"]
mod git_server;
#[path = "../../tests/support/many.rs"]
mod many;
mod server;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use git_server::{GitServer, git};
use porch::git::{Access, Address, RefEdit, push};
use server::Server;

/// Many who write at once.
const WRITERS: usize = 16;

fn main() {
    let rounds = std::env::var("PORCH_BENCH_ROUNDS");
    let rounds: usize = rounds.ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    if std::env::args().any(|word| word == "clones") {
        return clones::measure(rounds);
    }
    let few = world(10, 10, rounds);
    let many = world(1_000, 10, rounds);
    println!(
        "\n{:<22}{:>12}{:>12}{:>9}",
        "ratio to git push", "100 tags", "10,000 tags", "worse"
    );
    for ((what, few), (_, many)) in few.iter().zip(&many) {
        println!(
            "{what:<22}{few:>12.2}{many:>12.2}{:>8.0}%",
            (many / few - 1.0) * 100.0
        );
    }
    clones::measure(rounds);
}

/// Measures every write in a repository of so many tags, and returns the ratios to a push by `git`.
fn world(packages: usize, revisions: usize, rounds: usize) -> Vec<(&'static str, f64)> {
    let home = tempfile::tempdir().unwrap();
    let served = home.path().join("served");
    let bare = served.join("many.git");
    many::repository(&bare, packages, revisions);
    git(&bare, &["config", "receive.autogc", "false"]);
    let git_server = GitServer::http(&served);
    let url = git_server.url("many.git");
    let porch = Server::start(&home.path().join("data"));
    porch.register(&url);
    println!("\n{} tags, {rounds} rounds", packages * revisions);
    let bare_pushes = Pushes::new(&url, home.path());
    let mut taken: Vec<(&'static str, Vec<Duration>)> = Vec::new();
    for round in 0..rounds {
        for (what, time) in one_life(&porch, &bare_pushes, round) {
            match taken.iter_mut().find(|(known, _)| *known == what) {
                Some((_, times)) => times.push(time),
                None => taken.push((what, vec![time])),
            }
        }
    }
    let medians: Vec<(&str, Duration)> = taken
        .into_iter()
        .map(|(what, times)| (what, median(times)))
        .collect();
    let of = |name: &str| {
        medians
            .iter()
            .find(|(what, _)| *what == name)
            .unwrap()
            .1
            .as_secs_f64()
    };
    for (what, time) in &medians {
        let (git, own) = (time.as_secs_f64() / of(GIT), time.as_secs_f64() / of(OWN));
        println!("{what:<26}{time:>10.1?}  {git:>5.2} of git push  {own:>5.2} of a bare request");
    }
    together(&porch, &git_server);
    medians
        .iter()
        .filter(|(what, _)| ![GIT, OWN].contains(what))
        .map(|(what, time)| (*what, time.as_secs_f64() / of(GIT)))
        .collect()
}

const GIT: &str = "git push";
const OWN: &str = "the bare request";

/// The whole life of a revision, and bare pushes beside it.
fn one_life(porch: &Server, pushes: &Pushes, round: usize) -> Vec<(&'static str, Duration)> {
    let package = format!("bench-{round}");
    let name = format!("many.{package}.w");
    let commit = pushes.commit(&package);
    vec![
        (GIT, time(|| pushes.by_git(&commit, round))),
        (OWN, time(|| pushes.by_client(round))),
        ("create", time(|| porch.create(&package))),
        ("replace resources", time(|| porch.replace(&name, "more"))),
        ("propose", time(|| porch.lifecycle(&name, "Proposed"))),
        ("approve", time(|| porch.lifecycle(&name, "Published"))),
        (
            "propose deletion",
            time(|| porch.lifecycle(&name, "DeletionProposed")),
        ),
        ("delete", time(|| porch.delete(&name))),
    ]
}

/// Sixteen writers of sixteen drafts beside one, where each round trip takes long.
fn together(porch: &Server, server: &GitServer) {
    let names: Vec<String> = (0..WRITERS)
        .map(|writer| format!("together-{writer}"))
        .collect();
    for name in &names {
        porch.create(name);
    }
    server.behave(|it| it.delay = Some(Duration::from_millis(300)));
    let revision = |name: &String| format!("many.{name}.w");
    let one = time(|| {
        for round in 0..4 {
            porch.replace(&revision(&names[0]), &format!("one-{round}"));
        }
    });
    let all = time(|| {
        for round in 0..4 {
            let names = names.iter().map(revision);
            porch.replace_all(names, &format!("all-{round}"));
        }
    });
    server.behave(|it| it.delay = None);
    let (one, all) = (4.0 / one.as_secs_f64(), 4.0 * 16.0 / all.as_secs_f64());
    println!(
        "{WRITERS} writers at 300 ms      {all:>6.1} writes a second, one writer {one:.2}: {:.1} times",
        all / one
    );
}

/// Equal commits, pushed without us.
struct Pushes {
    work: std::path::PathBuf,
    access: Access,
    head: String,
}

impl Pushes {
    fn new(url: &str, home: &Path) -> Self {
        let work = home.join("work");
        git(
            home,
            &[
                "clone",
                "--quiet",
                "--single-branch",
                "--depth=1",
                "--no-tags",
                url,
                "work",
            ],
        );
        git(&work, &["config", "push.default", "nothing"]);
        let head = git(&work, &["rev-parse", "HEAD"]).trim().to_owned();
        let access = Access::anonymous(Address::parse(url, false).unwrap());
        Self { work, access, head }
    }

    /// Pushes a branch with a new commit.
    fn by_git(&self, commit: &str, round: usize) {
        let to = format!("{commit}:refs/heads/bare/git-{round}");
        git(&self.work, &["push", "--quiet", "--atomic", "origin", &to]);
    }

    /// Sends one request with one edit of a ref: no objects, no process.
    fn by_client(&self, round: usize) {
        let edit = RefEdit {
            name: format!("refs/heads/bare/client-{round}"),
            from: None,
            to: Some(self.head.clone()),
        };
        let pushed = push(&self.access, &[], &[edit]).unwrap();
        assert_eq!(pushed.refused, []);
    }

    fn commit(&self, words: &str) -> String {
        let tree = git(&self.work, &["rev-parse", "HEAD^{tree}"]);
        self.commit_of(tree.trim(), words)
    }

    fn commit_of(&self, tree: &str, words: &str) -> String {
        let commit = git(
            &self.work,
            &["commit-tree", "-p", &self.head, "-m", words, tree],
        );
        commit.trim().to_owned()
    }

    /// Fetches the main branch of another repository, and returns the tree of a directory in it.
    fn fetched(&self, url: &str, directory: &str) -> String {
        git(&self.work, &["fetch", "--quiet", "--depth=1", url, "main"]);
        let tree = git(
            &self.work,
            &["rev-parse", &format!("FETCH_HEAD:{directory}")],
        );
        tree.trim().to_owned()
    }
}

fn time(deed: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    deed();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
