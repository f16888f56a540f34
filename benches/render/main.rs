//! Renders and merges, measured in this process: each figure stands beside reading and printing the same documents with no more than
//! the YAML library, which is the least that anything which changes documents has to do.
//!
//! `cargo bench --bench render`. Times are medians; machines differ by 30 %, so compare within a run only. `PORCH_BENCH_ROUNDS` says
//! how often each is measured.

mod packages;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use packages::{FUNCTIONS, changed, merged, package};
use porch::{
    package::{
        Files,
        upgrade::{Strategy, upgrade},
    },
    render::{Functions, Options, render},
    yaml,
};

/// How many resources a package has.
const SIZES: [usize; 3] = [10, 100, 1_000];
/// The most that five functions over the largest of these may take.
const GOAL: Duration = Duration::from_millis(100);
/// The functions of a pipeline of five.
const FIVE: [&str; 5] = [
    "set-namespace",
    "set-labels",
    "set-annotations",
    "apply-setters",
    "set-image",
];

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("a debug build measures itself: use `cargo bench`");
        std::process::exit(1);
    }
    let rounds = std::env::var("PORCH_BENCH_ROUNDS");
    let rounds: usize = rounds.ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let functions = Functions::new("", None, None, runtime.handle().clone());
    println!("what | resources | ours | read and print them | ratio | each");
    for (name, _) in FUNCTIONS {
        for size in SIZES {
            one(name, &[name], size, rounds, &functions);
        }
    }
    let last = SIZES.map(|size| one("five functions", &FIVE, size, rounds, &functions));
    let [.., largest] = last;
    for size in SIZES {
        let again = rendered(&package(&FIVE, size), &functions);
        measured(
            "five functions, nothing to do",
            size,
            &again,
            rounds,
            || {
                black_box(render(&again, &functions.current(), &Options::default()));
            },
        );
    }
    for size in SIZES {
        merge(size, rounds);
    }
    let verdict = if largest <= GOAL { "met" } else { "missed" };
    println!("goal of {GOAL:?} for five functions: {verdict}, {largest:.1?}");
}

/// Measures a render of a package with these functions.
fn one(
    what: &str,
    functions: &[&str],
    size: usize,
    rounds: usize,
    runners: &Functions,
) -> Duration {
    let files = package(functions, size);
    let made = rendered(&files, runners);
    let changed = files
        .iter()
        .filter(|(path, content)| made[*path] != **content);
    assert!(changed.count() > size / 4, "{what} changes next to nothing");
    measured(what, size, &files, rounds, || {
        black_box(render(&files, &runners.current(), &Options::default()));
    })
}

fn rendered(files: &Files, runners: &Functions) -> Files {
    let made = render(files, &runners.current(), &Options::default());
    assert_eq!(made.error, None);
    made.files
}

/// Measures an upgrade of a package whose every resource both sides changed.
fn merge(size: usize, rounds: usize) {
    let old = package(&[], size);
    let [new, local] = ["theirs", "ours"].map(|who| changed(&old, who));
    let upgraded = || upgrade(&old, &new, &local, Strategy::ResourceMerge).unwrap();
    assert!(merged(&upgraded()), "a side is missing");
    measured("merge", size, &old, rounds, || {
        black_box(upgraded());
    });
}

/// Prints and returns how long something takes, beside reading and printing the documents that it is done to.
fn measured(
    what: &str,
    size: usize,
    files: &Files,
    rounds: usize,
    mut done: impl FnMut(),
) -> Duration {
    let (mut ours, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(time(&mut done));
        beside.push(time(|| read_and_print(files)));
    }
    let (ours, beside) = (median(ours), median(beside));
    let ratio = ours.as_secs_f64() / beside.as_secs_f64();
    let each = ours / u32::try_from(size).unwrap();
    println!("{what} | {size} | {ours:.2?} | {beside:.2?} | {ratio:.1} | {each:.1?}");
    ours
}

fn read_and_print(files: &Files) {
    for content in files.values() {
        let text = std::str::from_utf8(content).unwrap();
        for document in yaml::documents(text).unwrap() {
            black_box(yaml::to_string(&document).unwrap());
        }
    }
}

fn time(done: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    done();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
