//! Programs written in Go, with client-go's informers and controller-runtime's cache, through kube-apiserver.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use porch::package::Lifecycle;
use serde_json::Value;

use crate::{
    copy::Chance,
    plane::{self, eventually},
    rig::Rig,
};

/// Version and mark of what a program knows, by name.
type Known = BTreeMap<String, (String, String)>;

/// A program that keeps a copy.
struct Follower {
    child: Child,
    asked: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Follower {
    fn start(
        program: &Path,
        kubeconfig: &Path,
        namespace: &str,
        (way, streaming): (&str, bool),
    ) -> Self {
        let log = kubeconfig.with_extension(format!("{way}-{streaming}.log"));
        let mut child = Command::new(program)
            .arg(format!("-kubeconfig={}", kubeconfig.display()))
            .arg(format!("-namespace={namespace}"))
            .arg(format!("-way={way}"))
            .env("KUBE_FEATURE_WatchListClient", streaming.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap();
        Self {
            asked: child.stdin.take().unwrap(),
            told: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Returns what it knows now.
    fn known(&mut self) -> Known {
        writeln!(self.asked).unwrap();
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds the program, once for every state of its source.
fn build() -> PathBuf {
    let directory = plane::root().join("e2e/clients");
    let program = directory.join("bin/follower");
    let mut command = Command::new("go");
    command.current_dir(&directory).env("CGO_ENABLED", "0");
    command
        .args(["build", "-mod=readonly", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(".");
    let done = command.output().expect("this test needs Go on the PATH");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_in_go_end_up_exactly_where_the_server_is() {
    let program = tokio::task::spawn_blocking(build).await.unwrap();
    let rig = Rig::start("go").await;
    let (subject, trouble) = rig.aggregated().await;
    let kubeconfig = rig.plane.directory("go").join("admin");
    let wire = trouble.address();
    let admin = rig
        .plane
        .kubeconfig_with(wire, &rig.plane.user("admin", "system:masters"));
    std::fs::write(&kubeconfig, admin.to_string()).unwrap();
    let ways = [
        ("informer", false),
        ("informer", true),
        ("metadata", false),
        ("metadata", true),
        ("cache", false),
        ("cache", true),
    ];
    let start = |way| Follower::start(&program, &kubeconfig, &subject.namespace, way);
    let mut followers = ways.map(start);
    let mut chance = Chance(4711);
    let mut there: Vec<String> = Vec::new();
    for step in 0..400 {
        let name = format!("pkg{}.v{}", chance.below(8), chance.below(5));
        match there.iter().position(|it| *it == name) {
            None => {
                subject.create(&name, Lifecycle::Draft).await;
                there.push(name);
            }
            Some(at) if chance.below(4) == 0 => {
                subject.delete(&name).await;
                there.remove(at);
            }
            Some(_) => drop(subject.label(&name, &step.to_string()).await),
        }
        match step {
            100 => trouble.cut(),
            200 => trouble.relist(),
            300 => trouble.restart().await,
            _ => {}
        }
    }
    let last = subject.create("the.last", Lifecycle::Draft).await;
    let served = served(&subject, last).await;
    for (follower, (way, streaming)) in followers.iter_mut().zip(ways) {
        eventually(&format!("{way}, streaming: {streaming}"), async || {
            (follower.known() == served).then_some(())
        })
        .await;
    }
    drop(followers);
    rig.end().await;
}

/// Returns what is served at a version or later.
async fn served(subject: &crate::subject::Subject, version: u64) -> Known {
    let uri = format!(
        "{}?resourceVersion={version}",
        subject.path("packagerevisions")
    );
    let list = eventually("the list", async || {
        let (code, list) = subject.get(&uri, "application/json").await;
        (code == 200).then_some(list)
    })
    .await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let known = |item: &Value| {
        let metadata = &item["metadata"];
        let state = (
            text(&metadata["resourceVersion"]),
            text(&metadata["labels"]["mark"]),
        );
        (text(&metadata["name"]), state)
    };
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(known)
        .collect()
}
