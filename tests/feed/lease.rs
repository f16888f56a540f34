//! One process of all does the work, whatever befalls the others: Leases over a control plane in memory, on paused time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::Api;
use porch::sync::lease::{Lease, Terms};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Fate, HOME, Misfortune};

/// How many work at this moment, and how many ever did so at once.
#[derive(Clone, Default)]
struct Floor {
    working: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Replica {
    fate: Arc<Fate>,
    held: watch::Receiver<bool>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Replica {
    /// Starts a process that takes `slow` to end its work.
    fn start(cluster: &Cluster, name: &str, floor: &Floor, slow: Duration) -> Self {
        let fate = Arc::<Fate>::default();
        let client = cluster.client_with(&fate);
        let lease = Lease::new(client, HOME, "porch-sync-0", name, Terms::default());
        let (held, stop) = (lease.held(), CancellationToken::new());
        let (floor, until) = (floor.clone(), stop.clone());
        let running = lease.run(until, move |lost| {
            let floor = floor.clone();
            async move {
                let _at_work = AtWork::begin(floor);
                lost.cancelled().await;
                sleep(slow).await;
            }
        });
        Self {
            fate,
            held,
            stop,
            running: tokio::spawn(running),
        }
    }

    fn holds(&self) -> bool {
        *self.held.borrow()
    }

    /// Waits until it holds the Lease, or does not; returns how long that took.
    async fn until(&mut self, holds: bool) -> Duration {
        let begun = Instant::now();
        let changed = self.held.wait_for(|held| *held == holds);
        let changed = timeout(Duration::from_mins(5), changed).await;
        changed.expect("it happens").unwrap();
        begun.elapsed()
    }
}

struct AtWork(Floor);

impl AtWork {
    fn begin(floor: Floor) -> Self {
        let now = floor.working.fetch_add(1, Ordering::SeqCst) + 1;
        floor.most.fetch_max(now, Ordering::SeqCst);
        Self(floor)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_many_holds_it_and_keeps_it() {
    let (cluster, floor) = (Cluster::start(&[HOME]).await, Floor::default());
    let names = ["a", "b", "c", "d"];
    let replicas = names.map(|name| Replica::start(&cluster, name, &floor, Duration::ZERO));
    sleep(Duration::from_secs(5)).await;
    let holding = |replicas: &[Replica]| replicas.iter().position(Replica::holds);
    let first = holding(&replicas);
    assert!(first.is_some());
    for _ in 0..600 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(holding(&replicas), first);
        assert_eq!(floor.working.load(Ordering::SeqCst), 1);
    }
    let leases: Api<Object> = Api::namespaced(cluster.client(), HOME);
    let spec = leases.get("porch-sync-0").await.unwrap().spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), first.map(|at| names[at]));
    assert_eq!(spec.lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_cut_off_ends_before_another_begins() {
    // Work that ends at once, late, and only when it is dropped.
    for slow in [0, 3, 3600] {
        let (cluster, floor) = (Cluster::start(&[HOME]).await, Floor::default());
        let slow = Duration::from_secs(slow);
        let mut a = Replica::start(&cluster, "a", &floor, slow);
        a.until(true).await;
        let mut b = Replica::start(&cluster, "b", &floor, slow);
        for round in 0..10 {
            let (holder, other) = if round % 2 == 0 {
                (&mut a, &mut b)
            } else {
                (&mut b, &mut a)
            };
            sleep(Duration::from_millis(7_300)).await;
            assert!(holder.holds() && !other.holds());
            holder.fate.set(Some(Misfortune::Outage));
            let took = other.until(true).await;
            assert!(took <= Duration::from_secs(15 + 2 + 2), "{took:?}");
            assert!(!holder.holds());
            holder.fate.set(None);
        }
        assert_eq!(floor.most.load(Ordering::SeqCst), 1, "{slow:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_holder_is_followed_within_the_time_of_the_lease() {
    let (cluster, floor) = (Cluster::start(&[HOME]).await, Floor::default());
    let mut a = Replica::start(&cluster, "a", &floor, Duration::ZERO);
    a.until(true).await;
    let mut b = Replica::start(&cluster, "b", &floor, Duration::ZERO);
    sleep(Duration::from_secs(5)).await;
    a.running.abort();
    let took = b.until(true).await;
    assert!(took > Duration::from_secs(10), "{took:?}");
    assert!(took <= Duration::from_secs(19), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_stops_gives_it_back_when_its_work_has_ended() {
    let (cluster, floor) = (Cluster::start(&[HOME]).await, Floor::default());
    let slow = Duration::from_secs(30);
    let mut a = Replica::start(&cluster, "a", &floor, slow);
    a.until(true).await;
    let mut b = Replica::start(&cluster, "b", &floor, slow);
    sleep(Duration::from_secs(5)).await;
    a.stop.cancel();
    let took = b.until(true).await;
    assert!(
        took >= slow && took <= slow + Duration::from_secs(3),
        "{took:?}"
    );
    a.running.await.unwrap();
    assert_eq!(floor.most.load(Ordering::SeqCst), 1);
}
