//! Random commands of several writers through two replicas, while processes are killed, strangers push and the Git server
//! fails. Afterwards Git, the records, both lists and what was told all along must agree, and nothing may be lost that
//! anybody was told of as done.
//!
//! `PORCH_SEED` names one seed, `PORCH_SEEDS` how many there are, `PORCH_COMMANDS` how many commands each has.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Mutex,
    time::Duration,
};

use futures::future::join_all;
use porch::sync::{Death, Point, lease::Terms};
use serde_json::{Value, json};

use crate::{
    git_server::{Behaviour, git_command, git_fed},
    rig::{Answer, Replica, Role, Way, World, dead, draft, until, until_none},
    truth::{disagreement, of_server},
};

/// Marsaglia's xorshift: chance that can be had again.
struct Chance(u64);

impl Chance {
    /// Returns a number below the bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// How many write at once.
const WRITERS: usize = 4;
/// How many stories are told at once.
const AT_ONCE: u64 = 5;
/// So short that a busy machine takes some for dead that live: that must do no harm either.
const TERMS: Terms = Terms {
    lasting: Duration::from_secs(1),
    renewed_within: Duration::from_millis(800),
    every: Duration::from_millis(150),
};

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(default)
}

#[test]
fn whatever_befalls_them_nothing_is_lost_doubled_or_overwritten() {
    let commands = number("PORCH_COMMANDS", 200);
    let seeds: Vec<u64> = match number("PORCH_SEED", 0) {
        0 => (1..=number("PORCH_SEEDS", 6)).collect(),
        seed => vec![seed],
    };
    let due = Mutex::new(seeds.into_iter());
    let done = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(seed) = due.lock().unwrap().next() else {
                        return;
                    };
                    let told = std::panic::catch_unwind(|| tell(seed, commands));
                    let tally = told
                        .unwrap_or_else(|_| panic!("PORCH_SEED={seed} PORCH_COMMANDS={commands}"));
                    done.lock().unwrap().add(&tally);
                }
            });
        }
    });
    println!("{:?}", done.lock().unwrap());
}

/// What came of commands, so that a test that does nothing is found out.
#[derive(Debug, Default)]
struct Tally {
    stories: u64,
    done: u64,
    refused: BTreeMap<u16, u64>,
    kills: u64,
    strangers: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.stories += other.stories;
        self.done += other.done;
        self.kills += other.kills;
        self.strangers += other.strangers;
        for (code, count) in &other.refused {
            *self.refused.entry(*code).or_default() += count;
        }
    }
}

/// What writers were told of as done.
#[derive(Default)]
struct Promises {
    /// Lines in files, by object.
    lines: Vec<(String, String)>,
    /// Annotations, by object.
    annotations: Vec<(String, String)>,
    /// Revisions that were made.
    made: Vec<String>,
}

fn tell(seed: u64, commands: u64) -> Tally {
    let world = World::start(Way::Http);
    world.run(async {
        let mut story = Story::begin(&world, seed).await;
        for batch in 0..commands / WRITERS as u64 {
            story.batch(batch).await;
        }
        story.end().await
    })
}

struct Story<'w> {
    world: &'w World,
    chance: Chance,
    /// Two that write, and one that only listens and is never killed.
    replicas: [Replica; 3],
    promises: Promises,
    tally: Tally,
}

/// What a writer is to do.
#[derive(Debug)]
enum Command {
    Create(String, String),
    Append(String, String),
    Annotate(String, String),
    Lifecycle(String, &'static str),
    Delete(String),
}

impl<'w> Story<'w> {
    async fn begin(world: &'w World, seed: u64) -> Self {
        let leads = Some(Duration::from_millis(400));
        let first = Role {
            leads,
            ..Role::leader("a")
        };
        let replicas = [
            Replica::start(world, first.among(TERMS)).await,
            Replica::start(world, Role::follower("b").among(TERMS)).await,
            Replica::start(world, Role::follower("c").among(TERMS)).await,
        ];
        let tally = Tally {
            stories: 1,
            ..Tally::default()
        };
        Self {
            world,
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            replicas,
            promises: Promises::default(),
            tally,
        }
    }

    async fn batch(&mut self, batch: u64) {
        self.fault();
        let victim = usize::from(self.chance.below(2) == 0);
        let armed = self.chance.below(6) == 0;
        if armed {
            let which = usize::try_from(self.chance.below(9)).unwrap();
            let spared = u32::try_from(self.chance.below(3)).unwrap();
            self.replicas[victim]
                .failpoints
                .arm(Point::ALL[which], Death::Hang, spared);
        }
        let sudden = self.chance.below(20) == 0;
        let stranger = self.chance.below(4) == 0;
        let commands: Vec<(usize, Command)> = (0..WRITERS)
            .map(|writer| {
                (
                    usize::from(self.chance.below(2) == 0),
                    self.command(batch, writer),
                )
            })
            .collect();
        let replicas = &self.replicas;
        let all = join_all(
            commands
                .iter()
                .map(|(which, command)| do_it(&replicas[*which], command)),
        );
        let doom = &replicas[victim];
        let killing = async {
            if sudden {
                tokio::time::sleep(Duration::from_millis(30)).await;
                doom.kill();
            } else if armed {
                until("the point", || !doom.failpoints.is_armed()).await;
                doom.kill();
            }
            std::future::pending::<()>().await;
        };
        let answers = tokio::select! {
            answers = all => answers,
            () = killing => Vec::new(),
        };
        doom.failpoints.disarm();
        if stranger {
            self.stranger(batch);
        }
        for ((which, command), answer) in commands.into_iter().zip(answers) {
            // What a process says while it dies is not said.
            let alive = self.replicas[which].is_alive();
            let answer = answer.map_err(|told| if alive { told } else { dead("killed") });
            self.heard(command, answer);
        }
        for which in 0..2 {
            if !self.replicas[which].is_alive() {
                self.tally.kills += 1;
                self.replicas[which].restart(self.world).await;
            }
        }
    }

    /// Has the Git server behave for a while as servers do.
    fn fault(&mut self) {
        let fault = self.chance.below(12);
        self.world.server.behave(|it| {
            *it = Behaviour::default();
            match fault {
                0 => it.push_lost = true,
                1 => it.push_held = Some(Duration::from_millis(300)),
                2 => it.push_late = Some(Duration::from_millis(100)),
                3 => it.status = Some(503),
                _ => {}
            }
        });
    }

    fn command(&mut self, batch: u64, writer: usize) -> Command {
        let token = format!("t{batch}x{writer}");
        let known: Vec<(String, String)> = of_server(&self.replicas[2])
            .into_iter()
            .filter(|(name, _)| !name.starts_with("r.s"))
            .map(|(name, shown)| (name, shown.lifecycle))
            .collect();
        if known.is_empty() || self.chance.below(5) == 0 {
            let (package, workspace) = (self.chance.below(4), self.chance.below(3));
            return Command::Create(format!("p{package}"), format!("w{workspace}"));
        }
        let which = usize::try_from(self.chance.below(known.len() as u64)).unwrap();
        let (name, lifecycle) = known[which].clone();
        match (lifecycle.as_str(), self.chance.below(10)) {
            (_, 0 | 1) => Command::Annotate(name, token),
            ("Draft", 2..=5) => Command::Append(name, token),
            ("Draft", 6..=8) => Command::Lifecycle(name, "Proposed"),
            ("Proposed", 2..=6) | ("DeletionProposed", 2..=4) => {
                Command::Lifecycle(name, "Published")
            }
            ("Proposed", 7 | 8) => Command::Lifecycle(name, "Draft"),
            ("Published", 2..=4) => Command::Lifecycle(name, "DeletionProposed"),
            _ => Command::Delete(name),
        }
    }

    fn heard(&mut self, command: Command, answer: Answer) {
        if let Err(told) = answer {
            assert!(
                [0, 403, 404, 409, 422, 503, 504].contains(&told.code),
                "{command:?}: {told:?}"
            );
            *self.tally.refused.entry(told.code).or_default() += 1;
            return;
        }
        self.tally.done += 1;
        match command {
            Command::Create(package, workspace) => {
                self.promises.made.push(format!("r.{package}.{workspace}"));
            }
            Command::Append(name, line) => self.promises.lines.push((name, line)),
            Command::Annotate(name, key) => self.promises.annotations.push((name, key)),
            Command::Lifecycle(..) | Command::Delete(_) => {}
        }
    }

    /// A stranger does something to Git, if nobody is faster.
    fn stranger(&mut self, batch: u64) {
        self.tally.strangers += 1;
        let all = self
            .world
            .git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let all: Vec<(&str, &str)> = all
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        let drafts: Vec<_> = all
            .iter()
            .filter(|(name, _)| name.starts_with("refs/heads/drafts/"))
            .collect();
        let main = all
            .iter()
            .find(|(name, _)| *name == "refs/heads/main")
            .unwrap()
            .1;
        let draft = match drafts.len() {
            0 => None,
            some => Some(*drafts[usize::try_from(self.chance.below(some as u64)).unwrap()]),
        };
        match (draft, self.chance.below(6)) {
            (Some((name, head)), 0 | 1) => {
                let package = name.split('/').nth(3).unwrap();
                let text = text_at(self.world, head, package).unwrap_or_default();
                let made = self.import(batch, head, package, &format!("{text}stranger{batch}\n"));
                self.move_ref(name, &made, head);
            }
            // Drafts that are forced back, and that go.
            (Some((name, head)), 2) => {
                let package = name.split('/').nth(3).unwrap();
                let made = self.import(batch, main, package, "forced\n");
                self.move_ref(name, &made, head);
            }
            (Some((name, head)), 3) => {
                let _ = git_command(&self.world.bare())
                    .args(["update-ref", "-d", name, head])
                    .output();
            }
            (_, 4) => {
                let made = self.import(batch, main, &format!("s{batch}"), "theirs\n");
                let name = format!("refs/tags/s{batch}/v1");
                self.world.git(&["update-ref", &name, &made]);
            }
            _ => {
                let made = self.import(batch, main, "elsewhere", &format!("{batch}\n"));
                self.move_ref("refs/heads/main", &made, main);
            }
        }
    }

    fn move_ref(&self, name: &str, to: &str, from: &str) {
        let _ = git_command(&self.world.bare())
            .args(["update-ref", name, to, from])
            .output();
    }

    /// Makes a commit with another text in a package, in no branch.
    fn import(&self, batch: u64, from: &str, package: &str, text: &str) -> String {
        let mut kptfile = String::new();
        if package != "elsewhere" {
            let words =
                format!("apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: {package}\n");
            let length = words.len();
            kptfile = format!("M 100644 inline {package}/Kptfile\ndata {length}\n{words}\n");
        }
        let reference = format!("refs/strangers/{batch}");
        let script = format!(
            "commit {reference}\ncommitter S <s@example.com> 1700000000 +0000\ndata 6\ntheirs\nfrom {from}\n{kptfile}M 100644 inline {package}/log.txt\ndata {}\n{text}\ndone\n",
            text.len()
        );
        git_fed(
            &self.world.bare(),
            &["fast-import", "--quiet", "--done"],
            &script,
        );
        let made = self.world.git(&["rev-parse", &reference]);
        self.world.git(&["update-ref", "-d", &reference]);
        made
    }

    async fn end(mut self) -> Tally {
        self.world.server.behave(|it| *it = Behaviour::default());
        // What a server that gave up still holds comes within this time.
        tokio::time::sleep(Duration::from_millis(400)).await;
        for replica in &self.replicas {
            until_none("agreement in the end", async || {
                disagreement(self.world, replica).await
            })
            .await;
        }
        let listener = &self.replicas[2];
        let newest = listener.catalog.seen();
        until("all have seen all", || {
            self.replicas.iter().all(|it| it.catalog.seen() >= newest)
        })
        .await;
        let state = listener.witness.state();
        for replica in &self.replicas {
            assert_eq!(replica.witness.complaints(), [""; 0]);
            until("list and watch are one", || {
                let objects = replica.catalog.revisions().snapshot().objects;
                objects.len() == replica.witness.state().len()
            })
            .await;
            assert_eq!(
                replica.witness.state(),
                state,
                "both replicas tell the same"
            );
        }
        self.promises_are_kept();
        self.nothing_was_overwritten();
        std::mem::take(&mut self.tally)
    }

    /// Whatever was told as done was there, and annotations stayed as long as their object.
    fn promises_are_kept(&self) {
        let witness = &self.replicas[2].witness;
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for name in witness.names() {
            let all = told.entry(name.clone()).or_default();
            let mut kept: (Option<String>, BTreeSet<String>) = Default::default();
            for moment in witness.moments(&name) {
                let Some(is) = moment.is else {
                    kept = Default::default();
                    continue;
                };
                let uid = is.record().metadata.uid.clone();
                if kept.0 != uid {
                    kept = (uid, BTreeSet::new());
                }
                let now: BTreeSet<String> = is
                    .record()
                    .spec
                    .metadata
                    .annotations
                    .keys()
                    .cloned()
                    .collect();
                assert!(
                    kept.1.is_subset(&now),
                    "{name} lost {:?}",
                    kept.1.difference(&now)
                );
                all.extend(now.iter().cloned());
                kept.1 = now;
            }
        }
        for name in &self.promises.made {
            assert!(told.contains_key(name), "{name} was made and never seen");
        }
        for (name, key) in &self.promises.annotations {
            assert!(
                told[name].contains(key),
                "{key} of {name} was promised and never seen"
            );
        }
    }

    /// Every push of a draft kept what it found; every push of the branch stood on what it found.
    fn nothing_was_overwritten(&self) {
        let log = std::fs::read_to_string(self.world.bare().join("pushed.log")).unwrap_or_default();
        let mut lines: HashMap<String, String> = HashMap::new();
        for entry in log.lines() {
            let parts: Vec<&str> = entry.split(' ').collect();
            let [old, new, name] = parts[..] else {
                panic!("{entry}")
            };
            let (is_new, is_gone) = (old.starts_with("000000"), new.starts_with("000000"));
            if name == "refs/heads/main" {
                assert_eq!(
                    self.world
                        .git(&["rev-list", "--count", &format!("{new}..{old}")]),
                    "0",
                    "{entry}"
                );
            }
            if name.starts_with("refs/tags/") {
                assert!(is_new || is_gone, "a tag was moved: {entry}");
            }
            let Some(rest) = name.strip_prefix("refs/heads/drafts/") else {
                continue;
            };
            if is_gone {
                continue;
            }
            let (package, workspace) = rest.split_once('/').unwrap();
            let after = text_at(self.world, new, package).unwrap_or_default();
            if !is_new {
                let before = text_at(self.world, old, package).unwrap_or_default();
                assert!(
                    after.starts_with(&before),
                    "{entry}: {before:?} became {after:?}"
                );
            }
            lines
                .entry(format!("r.{package}.{workspace}"))
                .or_default()
                .push_str(&after);
        }
        for (name, line) in &self.promises.lines {
            let all = lines.get(name).map_or("", String::as_str);
            assert!(
                all.lines().any(|it| it == line),
                "{line} of {name} was promised and never pushed"
            );
        }
    }
}

async fn do_it(replica: &Replica, command: &Command) -> Answer {
    match command {
        Command::Create(package, workspace) => {
            let latest = of_server(replica)
                .into_iter()
                .find(|(name, shown)| shown.latest && name.starts_with(&format!("r.{package}.")));
            let tasks = latest.map_or(
                json!([]),
                |(name, _)| json!([{"type": "edit", "edit": {"sourceRef": {"name": name}}}]),
            );
            replica
                .post("packagerevisions", draft(package, workspace, &tasks))
                .await
        }
        Command::Append(name, line) => append(replica, name, line).await,
        Command::Annotate(name, key) => {
            let mut annotations = json!({});
            annotations[key.as_str()] = "yes".into();
            let patch = json!({"metadata": {"annotations": annotations}});
            replica
                .patch(&format!("packagerevisions/{name}?timeout=5s"), patch)
                .await
        }
        Command::Lifecycle(name, to) => replica.lifecycle(name, to).await,
        Command::Delete(name) => replica.delete(&format!("packagerevisions/{name}")).await,
    }
}

/// Adds a line to a file of exactly the version that was read.
async fn append(replica: &Replica, name: &str, line: &str) -> Answer {
    let path = format!("packagerevisionresources/{name}");
    let mut object = replica.get(&path).await?;
    let text = object["spec"]["resources"]["log.txt"]
        .as_str()
        .unwrap_or_default();
    object["spec"]["resources"]["log.txt"] = Value::String(format!("{text}{line}\n"));
    replica.put(&path, object).await
}

fn text_at(world: &World, commit: &str, package: &str) -> Option<String> {
    let output = git_command(&world.bare())
        .args(["cat-file", "blob", &format!("{commit}:{package}/log.txt")])
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}
