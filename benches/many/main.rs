//! A thousand repositories in one process: what they cost while nothing happens, and while one of them is pushed to every
//! second.
//!
//! `cargo bench --bench many` makes 1,000 bare repositories of one package with 10 published revisions each (others with
//! `PORCH_BENCH_REPOSITORIES`, `PORCH_BENCH_REVISIONS`; `PORCH_BENCH_SECONDS` says how long each part lasts), serves them over
//! smart HTTP on loopback, and has a `porch standalone` of its own follow them. Processor time is that of this process alone,
//! whatever else the machine does. It needs `git`.

#[path = "../../tests/support/git_server.rs"]
mod git_server;
#[path = "../../tests/support/many.rs"]
mod many;
#[path = "../support/process.rs"]
mod process;
mod world;

use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use git_server::{GitServer, git};
use process::Server;
use world::World;

/// The package of each repository, as `many` makes it.
const PACKAGE: &str = "team-00/package-0000";

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("a debug build measures itself: use `cargo bench`");
        std::process::exit(1);
    }
    let number = |name: &str, default: usize| -> usize {
        let text = std::env::var(name).ok();
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let repositories = number("PORCH_BENCH_REPOSITORIES", 1_000);
    let revisions = number("PORCH_BENCH_REVISIONS", 10);
    let seconds = number("PORCH_BENCH_SECONDS", 60);
    let home = tempfile::tempdir().unwrap();
    let served = home.path().join("served");
    println!("{repositories} repositories x {revisions} revisions");
    make(&served, repositories, revisions);
    let git = GitServer::http(&served);
    let key = home.path().join("key");
    std::fs::write(&key, world::SECRET).unwrap();
    let words = ["--webhook-secret-file", key.to_str().unwrap()];
    let world = World::new(Server::start_with(&home.path().join("data"), &words), git);

    first_sync(&world, repositories, revisions);
    // What the first sync left to do.
    sleep(Duration::from_secs(15));
    idle(&world, seconds);
    pushes(&world, (&served, home.path()), (repositories, seconds));
}

/// Makes the repositories: one, and copies of it.
fn make(served: &Path, repositories: usize, revisions: usize) {
    let first = served.join(format!("{}.git", name(0)));
    many::repository(&first, 1, revisions);
    for number in 1..repositories {
        let copy = served.join(format!("{}.git", name(number)));
        git(
            served,
            &[
                "clone",
                "-q",
                "--mirror",
                first.to_str().unwrap(),
                copy.to_str().unwrap(),
            ],
        );
    }
}

fn name(number: usize) -> String {
    format!("r{number:04}")
}

fn first_sync(world: &World, repositories: usize, revisions: usize) {
    let (begun, before) = (Instant::now(), world.processor());
    world.register((0..repositories).map(name));
    world.until_ready(repositories);
    let (took, used) = (begun.elapsed(), world.processor().saturating_sub(before));
    assert_eq!(world.count(), repositories * (revisions + 1));
    println!("first sync until all are Ready | {took:.1?} | processor {used:.1?}");
    println!(
        "  memory: {} MB, at most {} MB",
        world.memory("VmRSS"),
        world.memory("VmHWM")
    );
}

fn idle(world: &World, seconds: usize) {
    let before = world.processor();
    let looks = world.looks();
    sleep(Duration::from_secs(seconds as u64));
    let used = world.processor().saturating_sub(before);
    println!(
        "nothing moves for {seconds} s | {:.1} % of one core | {} looks",
        percent(used, seconds),
        world.looks() - looks
    );
    println!(
        "  memory: {} MB, at most {} MB",
        world.memory("VmRSS"),
        world.memory("VmHWM")
    );
}

/// Pushes to one repository after the other, and waits for what its webhook leads to, beside what can't be done without.
fn pushes(world: &World, (served, home): (&Path, &Path), (repositories, seconds): (usize, usize)) {
    let (before, begun) = (world.processor(), Instant::now());
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let events = world.watch();
    for second in 0..seconds {
        let due = begun + Duration::from_secs(second as u64);
        sleep(due.saturating_duration_since(Instant::now()));
        let name = name(second * 7 % repositories);
        let repository = served.join(format!("{name}.git"));
        let clone = home.join(format!("clone-{second}"));
        git(
            home,
            &[
                "clone",
                "-q",
                "--mirror",
                &world.url(&name),
                clone.to_str().unwrap(),
            ],
        );
        let workspace = format!("pushed-{second}");
        publish(&repository, &workspace);
        let at = Instant::now();
        world.tell(&name);
        let revision = format!("{name}.{}.{workspace}", PACKAGE.replace('/', "."));
        ours.push(events.until(&revision).duration_since(at));
        let at = Instant::now();
        git(&clone, &["fetch", "-q", "origin"]);
        world.write(&format!("{name}.{}.v1", PACKAGE.replace('/', ".")));
        bare.push(at.elapsed());
    }
    let took = begun.elapsed();
    let used = world.processor().saturating_sub(before);
    let share = used.as_secs_f64() / took.as_secs_f64() * 100.0;
    println!("one push a second for {took:.0?} | {share:.1} % of one core");
    println!(
        "  memory: {} MB, at most {} MB",
        world.memory("VmRSS"),
        world.memory("VmHWM")
    );
    let (ours, bare) = (median(ours), median(bare));
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    println!(
        "push to event by webhook, beside git fetch and one write | {ours:.1?} | {bare:.1?} | {ratio:.2}"
    );
}

/// Publishes one more revision: the branch moves, and a tag comes.
fn publish(repository: &Path, workspace: &str) {
    let message = format!(
        "Approve\n\nkpt:{{\"package\":\"{PACKAGE}\",\"workspaceName\":\"{workspace}\",\"revision\":\"0\"}}\n"
    );
    let tree = ["commit-tree", "main^{tree}", "-p", "main", "-m", &message];
    let commit = git(repository, &tree);
    let commit = commit.trim();
    git(repository, &["update-ref", "refs/heads/main", commit]);
    let draft = format!("refs/heads/drafts/{PACKAGE}/{workspace}");
    git(repository, &["update-ref", &draft, commit]);
}

fn percent(used: Duration, seconds: usize) -> f64 {
    used.as_secs_f64() / Duration::from_secs(seconds as u64).as_secs_f64() * 100.0
}

fn median(mut taken: Vec<Duration>) -> Duration {
    taken.sort_unstable();
    taken[taken.len() / 2]
}
