//! Programs written in Go, with client-go's informers and controller-runtime's cache, through kube-apiserver.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use porch::package::Lifecycle;
use serde_json::{Value, json};

use crate::{
    copy::Chance,
    desk::{Desk, JSON, MERGE},
    forms::{self, Kubectl},
    git_server::Behaviour,
    plane::{self, eventually},
    rig::Rig,
    server::Server,
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

/// Builds a program of a package, once for every state of its source, and returns where it is.
pub fn build(name: &str, package: &str) -> PathBuf {
    let directory = plane::root().join("e2e/clients");
    let program = directory.join("bin").join(name);
    let mut command = Command::new("go");
    command.current_dir(&directory).env("CGO_ENABLED", "0");
    command
        .args(["build", "-mod=readonly", "-buildvcs=false", "-o"])
        .arg(&program)
        .arg(package);
    let done = command.output().expect("this test needs Go on the PATH");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_in_go_end_up_exactly_where_the_server_is() {
    let program = tokio::task::spawn_blocking(|| build("follower", "."))
        .await
        .unwrap();
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

/// A day of a repository as its users live it, with strangers who push: from the first draft to the last deletion.
async fn a_day(desk: &Desk) -> String {
    let mut last = String::new();
    for (hour, package) in ["net", "upf", "smf", "amf"].into_iter().enumerate() {
        desk.publish(package, "w1", json!({})).await;
        let name = format!("r.{package}.w2");
        let source = json!({ "name": format!("r.{package}.w1") });
        let edit = json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": source } }] });
        desk.make(package, "w2", edit).await;
        desk.write(&name, "notes.txt", "first\n").await.is(200);
        desk.stranger(
            &format!("drafts/{package}/w2"),
            &format!("{package}/theirs.txt"),
            "theirs\n",
        );
        desk.look("r").await;
        let label = json!({ "metadata": { "labels": { "mark": format!("hour-{hour}") } } });
        let uri = format!("packagerevisions/{name}");
        desk.patch(&uri, MERGE, &label).await.is(200);
        desk.turn(&name, "Proposed").await.is(200);
        desk.approve(&name, "Draft").await.is(200);
        desk.turn(&name, "Proposed").await.is(200);
        desk.approve(&name, "Published").await.is(200);
        let old = format!("r.{package}.w1");
        desk.turn(&old, "DeletionProposed").await.is(200);
        desk.delete(&format!("packagerevisions/{old}"))
            .await
            .is(200);
        desk.make(
            package,
            "w3",
            json!({ "tasks": [{ "type": "edit", "edit": { "sourceRef": { "name": name } } }] }),
        )
        .await;
        if hour % 2 == 1 {
            desk.delete(&format!("packagerevisions/r.{package}.w3"))
                .await
                .is(200);
        }
    }
    let made = desk.make("the/last", "w1", json!({})).await;
    last.push_str(made["metadata"]["resourceVersion"].as_str().unwrap());
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_in_go_follow_a_day_in_the_life_of_a_repository() {
    let program = tokio::task::spawn_blocking(|| build("follower", "."))
        .await
        .unwrap();
    let server = Server::start("day").await;
    let desk = Desk::open(&server.examined, "life").await;
    let plane = server.plane();
    let kubeconfig = plane.directory("day").join("admin");
    let admin = plane.kubeconfig("admin", "system:masters");
    std::fs::write(&kubeconfig, admin.to_string()).unwrap();
    let ways = [
        ("informer", false),
        ("informer", true),
        ("metadata", true),
        ("cache", false),
    ];
    let start = |way| Follower::start(&program, &kubeconfig, &desk.namespace, way);
    let mut followers = ways.map(start);
    let evening = a_day(&desk).await;
    let list = desk
        .get(&format!("packagerevisions?resourceVersion={evening}"))
        .await
        .is(200);
    let expected = known(&list);
    assert!(expected.len() > 12, "{expected:?}");
    for (follower, (way, streaming)) in followers.iter_mut().zip(ways) {
        eventually(&format!("{way}, streaming: {streaming}"), async || {
            (follower.known() == expected).then_some(())
        })
        .await;
    }
    drop(followers);
    server.end().await;
}

/// Runs the program in one of the ways that follow nothing, with these lines on its input; returns the lines it printed.
async fn write(kubeconfig: &Path, words: &[String], lines: Vec<Value>) -> Vec<Value> {
    let program = tokio::task::spawn_blocking(|| build("follower", "."))
        .await
        .unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!("-kubeconfig={}", kubeconfig.display()))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn().unwrap();
        let mut asked = child.stdin.take().unwrap();
        for line in lines {
            writeln!(asked, "{line}").unwrap();
        }
        drop(asked);
        child.wait_with_output().unwrap()
    };
    let done = tokio::task::spawn_blocking(run).await.unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
    let printed = String::from_utf8(done.stdout).unwrap();
    let read = |line: &str| serde_json::from_str(line).unwrap();
    printed.lines().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_in_go_try_again_until_nothing_is_lost() {
    let server = Server::start("contend").await;
    let desk = Desk::open(&server.examined, "contend").await;
    desk.make("p", "w1", json!({})).await;
    let words = [
        "-way=contend".into(),
        format!("-namespace={}", desk.namespace),
        "-name=r.p.w1".into(),
    ];
    let told = write(&server.kubeconfig(), &words, Vec::new()).await;
    assert_eq!(told, [json!({ "count": "48", "lines": 9 })]);
    let stored = desk.at_home(&["show", "drafts/p/w1:p/count.txt"]);
    assert_eq!(stored.lines().count(), 9);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_in_go_understand_what_they_are_refused_for() {
    let few = ["--max-mutating-requests-inflight=1".to_owned()];
    let server = Server::start_with("understood", &few).await;
    let desk = Desk::open(&server.examined, "told").await;
    let old = desk.make("p", "w1", json!({})).await;
    let label = |mark: &str| json!({ "metadata": { "labels": { "mark": mark } } });
    let uri = desk.path("packagerevisions/r.p.w1");
    let made = desk.path("packagerevisions");
    desk.patch("packagerevisions/r.p.w1", MERGE, &label("new"))
        .await
        .is(200);
    let question = |method: &str, path: &str, type_: &str, body: &Value| {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        json!({ "Method": method, "Path": path, "Type": type_, "Body": body })
    };
    let draft = |package: &str| desk.draft(package, "w1", json!({}));
    let understand = async |questions: Vec<Value>| {
        let words = ["-way=understand".to_owned()];
        write(&server.kubeconfig(), &words, questions).await
    };
    let future = format!("{uri}?resourceVersion=99999999999");
    let told = understand(vec![
        question("PUT", &uri, JSON, &old),
        question("POST", &made, JSON, &draft("p")),
        question("GET", &format!("{future}&timeout=4s"), JSON, &Value::Null),
    ])
    .await;
    assert_eq!(
        [&told[0]["conflict"], &told[1]["exists"], &told[2]["tooNew"]],
        [true, true, true],
        "{told:#?}"
    );
    assert_eq!(told[2]["timeout"], true);
    // The Git server has no time.
    desk.server.behave(|it| it.status = Some(503));
    let told = understand(vec![question("POST", &made, JSON, &draft("q"))]).await;
    assert_eq!(told[0]["unavailable"], true, "{told:#?}");
    assert!(told[0]["delay"].as_u64().unwrap() > 0);
    desk.server.behave(|it| *it = Behaviour::default());
    // One write at a time is taken, and that takes long.
    let late = Duration::from_secs(5);
    desk.server.behave(|it| it.push_late = Some(late));
    let slow = desk.ask("slow", "w1", json!({}));
    let hurried = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut patient = question("PATCH", &uri, MERGE, &label("patient"));
        let hasty = question("PATCH", &uri, MERGE, &label("hasty"));
        patient["Patient"] = true.into();
        understand(vec![hasty, patient]).await
    };
    let (slow, told) = tokio::join!(slow, hurried);
    slow.is(201);
    assert_eq!(told[0]["tooMany"], true, "{told:#?}");
    assert_eq!(told[0]["delay"], 1);
    assert_eq!(told[1]["ok"], true, "client-go has waited as it was told");
    let short = format!("{made}?timeout=1s");
    let told = understand(vec![question("POST", &short, JSON, &draft("short"))]).await;
    assert_eq!(told[0]["timeout"], true, "{told:#?}");
    desk.server.behave(|it| *it = Behaviour::default());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the same table runs against standalone, and this takes a minute"]
async fn kubectl_has_every_form_that_writes_in_a_cluster() {
    let server = Server::start("forms").await;
    let desk = Desk::open(&server.examined, "forms").await;
    let kubeconfig = server.plane().directory("forms").join("admin");
    let admin = server.plane().kubeconfig("admin", "system:masters");
    std::fs::write(&kubeconfig, admin.to_string()).unwrap();
    let kubectl = Kubectl::new(&kubeconfig, &desk.namespace);
    let forms = move || forms::check(&kubectl, "r");
    tokio::task::spawn_blocking(forms).await.unwrap();
    server.end().await;
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
    known(&list)
}

/// Returns what somebody knows who has this list.
fn known(list: &Value) -> Known {
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
