//! Days of trouble on paused time: Git servers that fail in every way, strangers who push, users who change Repositories,
//! mirrors that break, processes that begin anew. Whenever it is quiet, the records say what Git says, read by git itself,
//! and users have lost nothing. `SOAK_SEED` and `SOAK_DAYS` choose another course, and a longer one.

use std::{collections::BTreeMap, fs, time::Duration};

use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use porch::git::Timeouts;
use serde_json::json;

use crate::{
    git_server::{Behaviour, GitServer},
    world::{Git, World, condition, serve},
};

/// Packages of each repository.
const PACKAGES: [&str; 3] = ["a", "b", "net/c"];

/// What looks like chance and is none (Knuth's constants).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

struct Place {
    name: String,
    git: Git,
    server: GitServer,
    /// The next numbers: of a tag, a draft, a commit.
    next: usize,
}

impl Place {
    async fn new(world: &World, number: usize) -> Self {
        let name = format!("r{number}");
        let git = Git::new(world, &name);
        for package in PACKAGES {
            git.package(package, "one");
        }
        git.push(&["main", "main:refs/tags/a/v1"]);
        let server = serve(world);
        let url = server.url(&format!("{name}.git"));
        world
            .register(&name, json!({"type": "git", "git": {"repo": url}}))
            .await;
        let next = 2;
        Self {
            name,
            git,
            server,
            next,
        }
    }

    fn refs(&self, below: &str) -> Vec<String> {
        let words = ["ls-remote", "origin", below];
        let listed = self.git.git(&words);
        let names = listed.lines().filter_map(|line| line.split('\t').nth(1));
        names.map(Into::into).collect()
    }

    /// A stranger pushes something.
    fn push(&mut self, chance: &mut Chance) {
        let package = chance.of(&PACKAGES);
        self.next += 1;
        let number = self.next;
        match chance.below(8) {
            0 | 1 => {
                self.git.package(package, &format!("change {number}"));
                self.git
                    .push(&["main", &format!("main:refs/tags/{package}/v{number}")]);
            }
            2 => self
                .git
                .push(&[&format!("main:refs/heads/drafts/{package}/w{number}")]),
            3 => {
                let tags = self.refs("refs/tags/*");
                if !tags.is_empty() {
                    self.git.push(&[&format!(":{}", chance.of(&tags))]);
                }
            }
            4 => {
                let drafts = self.refs("refs/heads/drafts/*");
                if !drafts.is_empty() {
                    self.git.push(&[&format!(":{}", chance.of(&drafts))]);
                }
            }
            5 => {
                // History is written anew, and a tag moves.
                self.git.git(&[
                    "commit",
                    "-q",
                    "--amend",
                    "--allow-empty",
                    "-m",
                    &format!("anew {number}"),
                ]);
                let tags = self.refs("refs/tags/*");
                if !tags.is_empty() {
                    self.git
                        .push(&["main", &format!("main:{}", chance.of(&tags))]);
                }
            }
            6 => {
                let drafts = self.refs("refs/heads/drafts/*");
                if !drafts.is_empty() {
                    let draft = chance.of(&drafts).clone();
                    let proposed = draft.replace("/drafts/", "/proposed/");
                    self.git
                        .push(&[&format!("main:{proposed}"), &format!(":{draft}")]);
                }
            }
            _ => {
                self.git.package(package, &format!("main {number}"));
                self.git.push(&["main"]);
            }
        }
    }

    fn fail(&self, chance: &mut Chance) {
        let fault: Behaviour = match chance.below(9) {
            0 => Behaviour {
                status: Some(*chance.of(&[401, 403, 404, 429, 500, 503, 504])),
                ..Behaviour::default()
            },
            1 => Behaviour {
                status: Some(503),
                retry_after: Some(chance.below(2000).to_string()),
                ..Behaviour::default()
            },
            2 => Behaviour {
                cut_after: Some(chance.below(2000)),
                ..Behaviour::default()
            },
            3 => Behaviour {
                garbage: Some(b"0000".to_vec()[..chance.below(4)].to_vec()),
                ..Behaviour::default()
            },
            4 => Behaviour {
                pack: Some(b"000dpackfile\n0009\x01PACK0000".to_vec()),
                ..Behaviour::default()
            },
            5 => Behaviour {
                refs: Some(Vec::new()),
                ..Behaviour::default()
            },
            6 => Behaviour {
                hang_after: Some(chance.below(500)),
                ..Behaviour::default()
            },
            7 => Behaviour {
                redirect: Some("http://elsewhere.invalid/r.git".into()),
                old_protocol: true,
                ..Behaviour::default()
            },
            _ => Behaviour {
                old_protocol: true,
                ..Behaviour::default()
            },
        };
        self.server.behave(|it| *it = fault);
    }

    /// Names of the revisions that Git holds, with the state of each.
    fn held(&self) -> BTreeMap<String, String> {
        let mut held = BTreeMap::new();
        let mut add = |package: &str, workspace: &str, state: &str| {
            let package = package.replace('/', ".");
            let name = format!("{}.{package}.{workspace}", self.name);
            held.insert(name, state.to_owned());
        };
        for (below, state) in [
            ("refs/tags/", "Published"),
            ("refs/heads/drafts/", "Draft"),
            ("refs/heads/proposed/", "Proposed"),
        ] {
            for name in self.refs(&format!("{below}*")) {
                let (package, last) = name[below.len()..].rsplit_once('/').unwrap();
                add(package, last, state);
            }
        }
        for package in PACKAGES {
            add(package, "main", "Published");
        }
        held
    }
}

/// What the records of a Repository say: names and states, and how many are the latest.
fn recorded(world: &World, name: &str) -> BTreeMap<String, String> {
    let (_, records) = world.catalog.records_of("default", name);
    let each = records.iter().map(|record| {
        let observed = record.spec.observed.as_ref().unwrap();
        (record.name_any(), observed.lifecycle.as_str().to_owned())
    });
    each.collect()
}

fn damage(world: &World, chance: &mut Chance) {
    let mirrors = fs::read_dir(world.directory.path().join("cache")).unwrap();
    let mut mirrors: Vec<_> = mirrors.map(|entry| entry.unwrap().path()).collect();
    mirrors.sort();
    let Ok(entries) = fs::read_dir(chance.of(&mirrors).join("objects/pack")) else {
        return;
    };
    for file in entries.map(|entry| entry.unwrap().path()) {
        if chance.below(2) == 0 {
            // Who has it open keeps what was there.
            let _ = fs::remove_file(file);
        }
    }
}

/// All is well with every server; waits until everything is read.
async fn settle(world: &World, places: &[Place], told: &str) {
    for place in places {
        place.server.behave(|it| *it = Behaviour::default());
    }
    let begun = world.now();
    for place in places {
        let mut naps = 0;
        loop {
            let repository = world.repository(&place.name).await;
            let status = repository.status.clone().unwrap_or_default();
            let fresh = status.last_full_sync_time.is_some_and(|at| at.0 > begun);
            let ready = condition(&repository, "Ready").is_some_and(|it| it.status == "True");
            if fresh && ready {
                break;
            }
            naps += 1;
            assert!(naps < 1000, "{told}: {:?}", repository.status);
            world.nap().await;
        }
        assert_eq!(
            recorded(world, &place.name),
            place.held(),
            "{told}: {}",
            place.name
        );
    }
}

/// Gives labels to some revisions, and returns all that were given.
async fn label(world: &World, labels: &mut BTreeMap<String, String>, chance: &mut Chance) {
    let names: Vec<String> = world
        .served()
        .iter()
        .map(|name| name.trim_end_matches('*').to_owned())
        .collect();
    let name = chance.of(&names).clone();
    let value = format!("l{}", chance.below(1000));
    let patch = json!({"spec": {"metadata": {"labels": {"mine": value}}}});
    let (records, params) = (world.records(), PatchParams::default());
    let patched = records.patch(&name, &params, &Patch::Merge(patch)).await;
    // It may be gone by now.
    if patched.is_ok() {
        labels.insert(name, value);
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_the_records_say_what_git_says_when_it_is_quiet_again() {
    let (seed, days) = (
        from_environment("SOAK_SEED", 1),
        from_environment("SOAK_DAYS", 2),
    );
    let mut chance = Chance(seed);
    // Little patience: what hangs is waited for in real time.
    let mut world = World::start_with(Timeouts {
        connect: Duration::from_secs(1),
        idle: Duration::from_millis(500),
        whole: Duration::from_secs(3),
    })
    .await;
    world.pace = Duration::from_secs(10);
    let mut places = Vec::new();
    for number in 0..4 {
        places.push(Place::new(&world, number).await);
    }
    settle(&world, &places, "the beginning").await;
    let mut labels = BTreeMap::new();
    for day in 0..days {
        let told = format!("seed {seed}, day {day}");
        for _ in 0..12 {
            let number = chance.below(places.len());
            match chance.below(10) {
                0..=3 => places[number].push(&mut chance),
                4..=6 => places[number].fail(&mut chance),
                7 => damage(&world, &mut chance),
                8 => {
                    let deployment = chance.below(2) == 0;
                    let name = &places[number].name;
                    let patch = json!({"spec": {"deployment": deployment}});
                    world.patch(name, patch).await;
                }
                _ => {
                    world = world.restart();
                    world.pace = Duration::from_secs(10);
                    world.catalog.until_ready().await;
                }
            }
            label(&world, &mut labels, &mut chance).await;
            world.wait(chance.below(200) as u64).await;
        }
        settle(&world, &places, &told).await;
        labels.retain(|name, value| {
            let Some(record) = world.catalog.record("default", name) else {
                return false;
            };
            let kept = record.spec.metadata.labels.get("mine");
            assert_eq!(kept, Some(&*value), "{told}: {name}");
            true
        });
    }
    println!("seed {seed}: {days} days, {} labels kept", labels.len());
}
