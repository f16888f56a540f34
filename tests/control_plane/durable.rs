//! What was acknowledged is there, whenever the process was killed; and one process at a time.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams, WatchParams},
};
use porch::standalone::{Error, Persistence};

use crate::{secret, start};

/// Tells the child process of a test where to write.
const DIRECTORY: &str = "CONTROL_PLANE_DIRECTORY";
/// How often a writer is killed.
const KILLS: usize = 20;

fn disk(directory: &Path) -> Persistence {
    Persistence::Disk(directory.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_objects_outlive_the_process_and_old_watches_are_told_to_begin_anew() {
    let directory = tempfile::tempdir().unwrap();
    let plane = start(disk(directory.path())).await;
    let secrets: Api<Secret> = Api::default_namespaced(plane.client());
    let first = secrets
        .create(&PostParams::default(), &secret("a", "1"))
        .await
        .unwrap();
    secrets
        .create(&PostParams::default(), &secret("b", "1"))
        .await
        .unwrap();
    secrets.delete("b", &DeleteParams::default()).await.unwrap();
    let before = secrets.list(&ListParams::default()).await.unwrap();
    drop(secrets);
    plane.close().await;

    let plane = start(disk(directory.path())).await;
    let secrets: Api<Secret> = Api::default_namespaced(plane.client());
    let after = secrets.list(&ListParams::default()).await.unwrap();
    assert_eq!(after.items, std::slice::from_ref(&first));
    let version = |version: &Option<String>| version.as_ref().unwrap().parse::<u64>().unwrap();
    assert!(
        version(&after.metadata.resource_version) >= version(&before.metadata.resource_version)
    );
    let old = secrets
        .watch(&WatchParams::default(), &first.resource_version().unwrap())
        .await
        .unwrap();
    let told: Vec<_> = futures::StreamExt::collect(old).await;
    let expired = |event: &Result<kube::api::WatchEvent<Secret>, kube::Error>| match event {
        Ok(kube::api::WatchEvent::Error(status)) => status.code == 410,
        _ => false,
    };
    assert!(told.first().is_some_and(expired), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = start(disk(directory.path())).await;
    let definitions = crate::definitions();
    let second =
        porch::standalone::ControlPlane::start(disk(directory.path()), definitions, &[]).await;
    assert!(matches!(second.err().unwrap(), Error::InUse(_)));
    first.close().await;
    start(disk(directory.path())).await;
}

/// Not a test of its own: the process that is killed by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let plane = start(disk(Path::new(&directory))).await;
    let secrets: Api<Secret> = Api::default_namespaced(plane.client());
    let from = secrets
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .len();
    let writers = (0..4).map(|writer| {
        let secrets = secrets.clone();
        tokio::spawn(async move {
            for number in from.. {
                let name = format!("s{writer}-{number}");
                let made = secrets
                    .create(&PostParams::default(), &secret(&name, "x"))
                    .await
                    .unwrap();
                println!("wrote {name} {}", made.resource_version().unwrap());
            }
        })
    });
    futures::future::join_all(writers).await;
}

fn writer(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "durable::a_writer_that_is_killed", "--nocapture"]);
    command
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

fn needs_repair(directory: &Path) -> bool {
    let repaired = Arc::new(AtomicBool::new(false));
    let seen = repaired.clone();
    let mut builder = redb::Database::builder();
    builder.set_repair_callback(move |_| seen.store(true, Ordering::SeqCst));
    builder.open(directory.join("objects.redb")).unwrap();
    repaired.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_survives_a_kill_at_any_moment() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(String, u64)> = Vec::new();
    for kill in 0..KILLS {
        let mut child = writer(directory.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut written = lines.map_while(Result::ok).filter_map(|line| {
            let (_, rest) = line.split_once("wrote ")?;
            let (name, version) = rest.split_once(' ')?;
            Some((name.to_owned(), version.parse().ok()?))
        });
        acknowledged.extend(written.next());
        // Long enough for some writes, and never the same moment.
        std::thread::sleep(Duration::from_micros(1_500 * kill as u64));
        child.kill().unwrap();
        acknowledged.extend(written);
        child.wait().unwrap();
    }
    assert!(
        acknowledged.len() > KILLS,
        "the writers wrote: {}",
        acknowledged.len()
    );
    assert!(
        !needs_repair(directory.path()),
        "a kill must cost nothing at the next start"
    );
    let plane = start(disk(directory.path())).await;
    let secrets: Api<Secret> = Api::default_namespaced(plane.client());
    let list = secrets.list(&ListParams::default()).await.unwrap();
    let version: u64 = list.metadata.resource_version.unwrap().parse().unwrap();
    let kept: std::collections::BTreeMap<String, String> = list
        .items
        .iter()
        .map(|secret| (secret.name_any(), secret.resource_version().unwrap()))
        .collect();
    for (name, given) in &acknowledged {
        assert_eq!(kept.get(name), Some(&given.to_string()), "{name}");
        assert!(*given <= version);
    }
    let mut versions: Vec<u64> = acknowledged.iter().map(|written| written.1).collect();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(
        versions.len(),
        acknowledged.len(),
        "no version is given twice"
    );
}
