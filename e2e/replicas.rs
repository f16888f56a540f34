//! Two replicas behind a balancer, one of them killed now and then: whoever lists and watches through both is told one
//! story. Versions never go back, nothing is lost, doubled or out of order, and a list plus its watch is the final state.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::join_all;
use kube::{Api, Client, api::ListParams};
use porch::package::Lifecycle;
use serde_json::Value;
use tokio::{sync::watch, time::sleep};

use crate::{
    copy::Chance,
    history::{Known, Observer, Scribe, Told},
    plane::{self, Balancer, eventually},
    rig::Rig,
    served::{self, Replica},
    subject::Subject,
};

/// Changes records at random.
async fn change(subject: &Subject, changes: usize, writer: u64, seed: u64) {
    let mut chance = Chance(7919 * (seed * 10 + writer));
    let mut there = BTreeSet::new();
    for _ in 0..changes {
        let name = format!("p{writer}.v{}x{}", chance.below(6), chance.below(4));
        if there.insert(name.clone()) {
            let lifecycle = Lifecycle::ALL[usize::try_from(chance.below(4)).unwrap()];
            subject.create(&name, lifecycle).await;
        } else if chance.below(4) == 0 {
            subject.delete(&name).await;
            there.remove(&name);
        } else {
            subject.label(&name, &chance.below(9).to_string()).await;
        }
        // So that replicas come and go while something happens.
        sleep(Duration::from_millis(chance.below(8))).await;
    }
}

/// Reads without pause; a reader is never refused while one replica is ready. Returns how often it read.
async fn read(client: Client, uri: String, stop: watch::Receiver<Option<Known>>) -> usize {
    let mut reads = 0;
    while stop.borrow().is_none() {
        let request = http::Request::get(&uri).body(Vec::new()).unwrap();
        let list: Value = client.request(request).await.unwrap();
        assert_eq!(list["kind"], "PackageRevisionList");
        reads += 1;
        sleep(Duration::from_millis(20)).await;
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_behind_a_balancer_tell_one_story_while_one_at_a_time_is_killed() {
    histories(4, 250).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn two_replicas_tell_one_story_for_long() {
    histories(60, 400).await;
}

/// What one run showed.
#[derive(Default)]
struct Shown {
    histories: usize,
    lists: usize,
    watches: usize,
    events: usize,
}

/// Records and checks histories through a balancer and past it, again and again; in every run each replica is killed once.
/// The first run has the seed of `PORCH_E2E_SEED`, or 1; the others the next.
async fn histories(runs: u64, changes: usize) {
    let rig = Rig::start("history").await;
    let other = Replica::start(&rig.plane, "history-other").await;
    let replicas = [&*rig.replica, &other];
    let servers = replicas.map(|it| (it.address(), it.client(&rig.plane)));
    let balancer = Balancer::before(servers.into()).await;
    served::register(&rig.plane, balancer.address).await;
    let seed = std::env::var("PORCH_E2E_SEED").ok();
    let seed = seed.map_or(1, |text| text.parse::<u64>().unwrap());
    let mut shown = Shown::default();
    for seed in seed..seed + runs {
        history(
            &rig,
            &replicas,
            balancer.address,
            (seed, changes),
            &mut shown,
        )
        .await;
    }
    let Shown {
        histories,
        lists,
        watches,
        events,
    } = shown;
    println!(
        "seeds {seed} to {}: {runs} runs, {} kills, {histories} histories of {lists} lists, {watches} watches, {events} events",
        seed + runs - 1,
        2 * runs,
    );
    assert!(
        watches > histories,
        "no watch was ever resumed: the test tests little"
    );
    drop(balancer);
    served::register(&rig.plane, rig.replica.address()).await;
    assert_eq!(other.terminate(), Some(0));
    rig.end().await;
}

async fn history(
    rig: &Rig,
    replicas: &[&Replica; 2],
    balancer: SocketAddr,
    (seed, changes): (u64, usize),
    shown: &mut Shown,
) {
    let subject = rig.another("history").await;
    let namespace = &subject.namespace;
    let scribe = Scribe::start(rig.plane.client(), namespace).await;
    let (tell, told) = watch::channel(None);
    let direct = |address| {
        let user = rig.plane.user("admin", "system:masters");
        Client::try_from(plane::config(rig.plane.kubeconfig_with(address, &user))).unwrap()
    };
    let observers = [
        ("aggregated", rig.plane.client()),
        ("aggregated too", rig.plane.client()),
        ("balanced", direct(balancer)),
        ("balanced too", direct(balancer)),
        ("one", direct(replicas[0].address())),
        ("other", direct(replicas[1].address())),
    ];
    let observers = observers.map(|(name, client)| {
        tokio::spawn(Observer::new(name, client, namespace).run(told.clone()))
    });
    let killing = async {
        for replica in replicas {
            sleep(Duration::from_millis(700)).await;
            replica.kill();
            sleep(Duration::from_millis(300)).await;
            replica.begin(&rig.plane).await;
        }
    };
    tokio::join!(
        killing,
        change(&subject, changes / 2, 1, seed),
        change(&subject, changes / 2, 2, seed)
    );
    let newest = subject.create("the.last", Lifecycle::Draft).await;
    eventually("everything is written down", async || {
        let last = scribe.truth().0.last().map(|it| it.2);
        (last >= Some(newest)).then_some(())
    })
    .await;
    let truth = scribe.truth();
    let all = truth.at(u64::MAX);
    tell.send_replace(Some(all.clone()));
    let mut ended = Box::pin(join_all(observers));
    let ended = tokio::select! {
        ended = &mut ended => ended,
        // Those who never get there are let go, so that what they were told can be looked at.
        () = sleep(Duration::from_mins(1)) => {
            drop(tell);
            ended.await
        }
    };
    for observer in ended {
        let observer = observer.unwrap();
        let (name, history) = (observer.name, &observer.history);
        let known = truth.check(history);
        let known = known.unwrap_or_else(|lie| panic!("seed {seed}, {name}: {lie}"));
        assert_eq!(known, all, "seed {seed}, {name}: {:?}", history.last());
        shown.count(history);
    }
    rig.leave(&subject.namespace).await;
}

impl Shown {
    fn count(&mut self, history: &[Told]) {
        self.histories += 1;
        for told in history {
            match told {
                Told::List(..) => self.lists += 1,
                Told::Watch(_) => self.watches += 1,
                Told::Event(..) => self.events += 1,
                Told::Bookmark(_) => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_read() {
    let rig = Rig::start("rolling").await;
    let other = Replica::start(&rig.plane, "rolling-other").await;
    let replicas = [&*rig.replica, &other];
    let servers = replicas.map(|it| (it.address(), it.client(&rig.plane)));
    let balancer = Balancer::before(servers.into()).await;
    served::register(&rig.plane, balancer.address).await;
    let (subject, _wire) = rig.aggregated().await;
    subject.create("net.upf.v1", Lifecycle::Published).await;
    let (tell, told) = watch::channel(None);
    let uri = subject.path("packagerevisions");
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut config = rig.plane.config();
            // Refusals are to be seen, not to be waited out.
            config.default_retry = false;
            let client = Client::try_from(config).unwrap();
            tokio::spawn(read(client, uri.clone(), told.clone()))
        })
        .collect();
    let polling = tokio::spawn(discover(rig.plane.client(), told.clone()));
    for replica in [0, 1, 0, 1] {
        let (replica, plane) = (replicas[replica], rig.plane.clone());
        sleep(Duration::from_millis(500)).await;
        assert_eq!(tokio::task::block_in_place(|| replica.terminate()), Some(0));
        replica.begin(&plane).await;
        // As long as a cluster takes to see that it is ready.
        sleep(Duration::from_millis(500)).await;
    }
    tell.send_replace(Some(Known::new()));
    for reader in readers {
        assert!(reader.await.unwrap() > 20, "too few reads");
    }
    assert!(polling.await.unwrap() > 20, "too few looks at discovery");
    drop(balancer);
    served::register(&rig.plane, rig.replica.address()).await;
    assert_eq!(other.terminate(), Some(0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_takes_over_the_repositories_of_one_that_was_killed() {
    let rig = Rig::start("takeover").await;
    let other = Arc::new(Replica::start(&rig.plane, "takeover-other").await);
    let holder = async || holder(&rig.plane).await;
    let first = eventually("somebody holds the Lease", holder).await;
    let (dead, alive) = if first.contains("other") {
        (other.clone(), rig.replica.clone())
    } else {
        (rig.replica.clone(), other.clone())
    };
    dead.kill();
    eventually("another holds the Lease", async || {
        holder().await.filter(|now| *now != first)
    })
    .await;
    served::register(&rig.plane, alive.address()).await;
    dead.begin(&rig.plane).await;
    assert_eq!(other.terminate(), Some(0));
    served::register(&rig.plane, rig.replica.address()).await;
    rig.end().await;
}

/// Polls what kube-apiserver tells of our group until it is told to end, once that is current; it must stay so. Returns how
/// often it was asked.
async fn discover(client: Client, end: watch::Receiver<Option<Known>>) -> usize {
    // It was just registered.
    for _ in 0..600 {
        if freshness(&client).await.is_some_and(|it| it == "Current") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let mut asked = 0;
    while end.borrow().is_none() {
        assert_eq!(freshness(&client).await, Some("Current".into()));
        asked += 1;
        sleep(Duration::from_millis(50)).await;
    }
    asked
}

/// Returns how fresh kube-apiserver says that it is what it tells of our group; nothing if it tells nothing.
async fn freshness(client: &Client) -> Option<Value> {
    const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let request = http::Request::get("/apis").header("accept", AGGREGATED);
    let request = request.body(Vec::new()).unwrap();
    let found: Value = client.request(request).await.unwrap();
    let groups = found["items"].as_array()?.iter();
    let mut ours = groups.filter(|group| group["metadata"]["name"] == "porch.kpt.dev");
    Some(ours.next()?["versions"][0]["freshness"].clone())
}

/// Returns who works on the Repositories.
async fn holder(plane: &plane::Plane) -> Option<String> {
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
        Api::namespaced(plane.client(), plane::HOME);
    let leases = leases.list(&ListParams::default()).await.unwrap();
    // Each process that writes has one of its own besides.
    let named = |it: &k8s_openapi::api::coordination::v1::Lease| {
        let name = it.metadata.name.as_deref().unwrap_or_default();
        name.starts_with("porch-sync-")
    };
    let held = leases
        .items
        .into_iter()
        .filter(named)
        .find_map(|it| it.spec?.holder_identity);
    held.filter(|it| !it.is_empty())
}
