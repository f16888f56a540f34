//! Days of trouble on paused time: Git servers that fail in every way, strangers who push and write history anew, users who
//! change Repositories, take them away in the middle of their clone and register them again, passwords that are lost and found,
//! mirrors that break, processes that begin anew, with their disk and without it. Whenever it is quiet, the records say what
//! Git says, read by git itself, and users have lost nothing; and in the night nothing is written. `SOAK_SEED`, `SOAK_DAYS`,
//! `SOAK_NIGHT` (hours) and `SOAK_REPOSITORIES` choose another course, a longer one, and a wider one.

use std::{collections::BTreeMap, fs, time::Duration};

use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use porch::git::Timeouts;
use serde_json::json;

use crate::{
    git_server::Behaviour,
    place::{Chance, Place, recorded},
    world::{World, condition},
};

/// How much time a nap is.
const PACE: Duration = Duration::from_secs(30);

/// Files of a mirror are gone.
fn damage(world: &World, chance: &mut Chance) {
    let Ok(mirrors) = fs::read_dir(world.directory.path().join("cache")) else {
        return;
    };
    let mut mirrors: Vec<_> = mirrors.map(|entry| entry.unwrap().path()).collect();
    mirrors.sort();
    if mirrors.is_empty() {
        return;
    }
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
        place.behave(Behaviour::default());
        place.find_password(world).await;
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

/// Nothing happens for some hours: everybody is looked at, and no record is written.
async fn night(world: &World, places: &[Place], hours: u64, told: &str) {
    let versions = || {
        let records = places.iter().flat_map(|place| {
            let (_, records) = world.catalog.records_of("default", &place.name);
            records
        });
        let versions = records.map(|record| (record.name_any(), record.resource_version()));
        versions.collect::<BTreeMap<_, _>>()
    };
    let before = versions();
    world.wait(hours * 3600 / PACE.as_secs()).await;
    assert_eq!(versions(), before, "{told}: written in the night");
    for place in places {
        let repository = world.repository(&place.name).await;
        let ready = condition(&repository, "Ready").unwrap();
        assert_eq!(ready.status, "True", "{told}: {ready:?}");
    }
}

/// Gives labels to some revisions, and returns all that were given.
async fn label(world: &World, labels: &mut BTreeMap<String, String>, chance: &mut Chance) {
    let names: Vec<String> = world
        .served()
        .iter()
        .map(|name| name.trim_end_matches('*').to_owned())
        .collect();
    if names.is_empty() {
        return;
    }
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

/// How many of each deed there were.
type Deeds = BTreeMap<&'static str, usize>;

/// Another process goes on, perhaps on another disk.
async fn restart(mut world: World, chance: &mut Chance) -> World {
    if chance.below(4) == 0 {
        world.stop().await;
        // What wrote to it may not have ended yet.
        let _ = fs::remove_dir_all(world.directory.path().join("cache"));
    }
    let mut world = world.restart();
    world.pace = PACE;
    world.limit = Duration::MAX;
    world.catalog.until_ready().await;
    world
}

/// Something happens.
async fn happen(
    mut world: World,
    places: &mut [Place],
    (labels, deeds): (&mut BTreeMap<String, String>, &mut Deeds),
    chance: &mut Chance,
) -> World {
    let number = chance.below(places.len());
    let place = &mut places[number];
    let deed = match chance.below(20) {
        0..=6 => {
            place.push(chance);
            "pushes"
        }
        7..=11 => {
            place.fail(chance);
            "faults"
        }
        12 => {
            damage(&world, chance);
            "broken mirrors"
        }
        13 | 14 => {
            place.change(&world, chance).await;
            "changed Repositories"
        }
        15 => {
            place.lose_password(&world, chance).await;
            "lost passwords"
        }
        16 => {
            place.find_password(&world).await;
            "found passwords"
        }
        17 => {
            place.register_anew(&world, chance).await;
            // Its revisions are others now, whatever they are called.
            let own = format!("{}.", place.name);
            labels.retain(|name, _| !name.starts_with(&own));
            "registered anew"
        }
        _ => {
            world = restart(world, chance).await;
            "restarts"
        }
    };
    *deeds.entry(deed).or_default() += 1;
    world
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_the_records_say_what_git_says_when_it_is_quiet_again() {
    let (seed, days) = (
        from_environment("SOAK_SEED", 1),
        from_environment("SOAK_DAYS", 2),
    );
    let dark = from_environment("SOAK_NIGHT", 1);
    let count = usize::try_from(from_environment("SOAK_REPOSITORIES", 4)).unwrap();
    let mut chance = Chance(seed);
    // Little patience: what hangs is waited for in real time.
    let timeouts = Timeouts {
        connect: Duration::from_secs(1),
        idle: Duration::from_millis(250),
        whole: Duration::from_secs(2),
    };
    // What is asked costs real time; what befalls them is not less for being asked less often.
    let mut world = World::start_asking((timeouts, Duration::from_mins(20))).await;
    world.pace = PACE;
    world.limit = Duration::MAX;
    let mut places = Vec::new();
    for number in 0..count {
        places.push(Place::new(&world, number).await);
    }
    settle(&world, &places, "the beginning").await;
    let begun = tokio::time::Instant::now();
    let (mut labels, mut deeds, mut kept) = (BTreeMap::new(), Deeds::new(), 0);
    for day in 0..days {
        let told = format!("seed {seed}, day {day}");
        for _ in 0..3 * count {
            world = happen(world, &mut places, (&mut labels, &mut deeds), &mut chance).await;
            label(&world, &mut labels, &mut chance).await;
            world.wait(chance.below(60) as u64).await;
        }
        settle(&world, &places, &told).await;
        night(&world, &places, dark, &told).await;
        labels.retain(|name, value| {
            let Some(record) = world.catalog.record("default", name) else {
                return false;
            };
            let kept = record.spec.metadata.labels.get("mine");
            assert_eq!(kept, Some(&*value), "{told}: {name}");
            true
        });
        kept += labels.len();
    }
    let hours = begun.elapsed().as_secs() / 3600;
    println!(
        "seed {seed}: {days} days, {hours} hours, {count} repositories, {kept} labels found again, {deeds:?}"
    );
}
