//! A `porch standalone` process of a test's own: on a free port, in a directory of its own, ended with the test.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc::Receiver,
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::repository::{KPTFILE, Repository};

/// Where the objects of the default namespace are.
pub const API: &str = "/apis/porch.kpt.dev/v1alpha1/namespaces/default";

pub struct Porch {
    child: Child,
    kubeconfig: PathBuf,
    /// The first line on stdout.
    pub ready: String,
    log: Arc<Mutex<String>>,
}

/// Starts a server on `directory` and returns once it says that it serves.
pub fn start(directory: &Path, words: &[&str]) -> Porch {
    start_as(command(directory, words))
}

/// Starts a server with more in its environment.
pub fn start_in(directory: &Path, environment: &[(&str, &str)]) -> Porch {
    let mut command = command(directory, &[]);
    command.envs(environment.iter().copied());
    start_as(command)
}

/// Starts a server whose files can't be longer than so many blocks of 512 bytes (of 1,024 in some shells): to it, the disk is
/// full then.
pub fn start_on_a_small_disk(directory: &Path, blocks: u32) -> Porch {
    let whole = command(directory, &[]);
    let mut limited = Command::new("sh");
    limited
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""))
        .arg("sh")
        .arg(whole.get_program())
        .args(whole.get_args())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    start_as(limited)
}

fn start_as(mut command: Command) -> Porch {
    let mut child = command.spawn().unwrap();
    let mut ready = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    BufReader::new(stdout).read_line(&mut ready).unwrap();
    let kubeconfig = ready.trim_end().strip_prefix("ready: export KUBECONFIG=");
    let Some(kubeconfig) = kubeconfig.map(PathBuf::from) else {
        let _ = child.kill();
        let mut told = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        panic!("not ready: {ready:?}\n{told}");
    };
    let log = drain(child.stderr.take().unwrap());
    Porch {
        child,
        kubeconfig,
        ready,
        log,
    }
}

/// Returns what becomes of a process that is not expected to serve.
pub fn refused(directory: &Path, words: &[&str]) -> Output {
    command(directory, words).output().unwrap()
}

/// Returns what a process says on stderr that does not serve with this in its environment.
pub fn refused_in(directory: &Path, environment: &[(&str, &str)]) -> String {
    let mut command = command(directory, &[]);
    let output = command.envs(environment.iter().copied()).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into()
}

pub fn command(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_porch"));
    command
        .args(["standalone", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory)
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Logs are read so that the process never waits for a reader, and shown if the test fails.
fn drain(stderr: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let log = Arc::<Mutex<String>>::default();
    let kept = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            println!("porch: {line}");
            kept.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    log
}

impl Porch {
    /// Returns the kubeconfig that it wrote.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs kubectl to its end.
    pub fn try_kubectl(&self, words: &[&str]) -> Output {
        self.kubectl_command(words)
            .output()
            .expect("these tests need kubectl on the PATH")
    }

    /// Runs kubectl, which must succeed, and returns what it printed.
    pub fn kubectl(&self, words: &[&str]) -> String {
        let output = self.try_kubectl(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {words:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs kubectl, which must fail, and returns what it said.
    pub fn kubectl_fails(&self, words: &[&str]) -> String {
        let output = self.try_kubectl(words);
        assert!(
            !output.status.success(),
            "kubectl {words:?} succeeded: {output:?}"
        );
        String::from_utf8(output.stderr).unwrap()
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) -> Output {
        self.piped(&["apply", "-f", "-"], manifest)
    }

    /// Returns a kubectl command that has not been started.
    pub fn kubectl_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.kubeconfig.parent().unwrap())
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs kubectl with a text on its stdin.
    pub fn piped(&self, words: &[&str], text: &str) -> Output {
        let mut command = self.kubectl_command(words);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Asks the process to end and returns its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        signal(&self.child, "TERM");
        self.child.wait().unwrap().code()
    }

    /// Ends the process as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Returns what else the process printed on stdout, once it has ended.
    pub fn terminate_and_read(mut self) -> (Option<i32>, String) {
        signal(&self.child, "TERM");
        let mut rest = String::new();
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Porch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process of the test's own.
pub fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap()
            .success()
    );
}

/// Waits until `look` finds something, for half a minute.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A Repository as users write it; `more` are further lines of its `spec.git`.
pub fn repository(name: &str, url: &str, more: &str) -> String {
    format!(
        "apiVersion: config.porch.kpt.dev/v1alpha1\nkind: Repository\nmetadata:\n  name: {name}\nspec:\n  type: git\n  git:\n    repo: {url}\n{more}---\n"
    )
}

/// A Secret as users write it.
pub fn secret(name: &str, type_: &str, data: &[(&str, &str)]) -> String {
    let lines = data
        .iter()
        .map(|(key, value)| format!("  {key}: {}\n", json!(value)));
    let data = lines.collect::<Vec<_>>().concat();
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\ntype: {type_}\nstringData:\n{data}---\n"
    )
}

impl Porch {
    /// Applies a manifest, which must succeed.
    pub fn applied(&self, manifest: &str) {
        let output = self.apply(manifest);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{manifest}\n{told}");
    }

    /// Waits until the `Ready` condition of a Repository is true.
    pub fn until_ready(&self, repository: &str) {
        let what = format!("repository/{repository}");
        self.kubectl(&["wait", "--for=condition=Ready", &what, "--timeout=60s"]);
    }

    /// Returns what a path of the API answers.
    pub fn raw(&self, path: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", "--raw", path])).unwrap()
    }

    /// Has the server look at a repository, and waits until everything that it saw there is served.
    pub fn look(&self, repository: &str) {
        /// Each look has its own moment, all of them long ago.
        static MOMENTS: AtomicU32 = AtomicU32::new(0);
        let moment = MOMENTS.fetch_add(1, Ordering::Relaxed);
        let at = format!("2020-01-01T00:{:02}:{:02}Z", moment / 60, moment % 60);
        let patch = format!("{{\"spec\":{{\"sync\":{{\"runOnceAt\":\"{at}\"}}}}}}");
        self.kubectl(&[
            "patch",
            "repository",
            repository,
            "--type=merge",
            "-p",
            &patch,
        ]);
        let done = format!("--for=jsonpath={{.status.observedRunOnceAt}}={at}");
        let what = format!("repository/{repository}");
        self.kubectl(&["wait", &what, &done, "--timeout=30s"]);
    }

    /// Follows the events of a kind from now on; `selector` is a parameter of the query, or nothing.
    pub fn watch(&self, kind: &str, selector: &str) -> Watch {
        let path = format!("{API}/{kind}");
        let listed = self.raw(&format!("{path}?limit=1"));
        let version = listed["metadata"]["resourceVersion"].as_str().unwrap();
        let from = format!("{path}?watch=1&resourceVersion={version}&{selector}");
        let mut child = self
            .kubectl_command(&["get", "--raw", &from])
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Watch { child, events }
    }

    /// Returns the address that is served.
    pub fn server(&self) -> String {
        self.setting("{.clusters[0].cluster.server}")
    }

    /// Returns the token that opens it.
    pub fn token(&self) -> String {
        self.setting("{.users[0].user.token}")
    }

    /// Returns the certificate of its authority (PEM).
    pub fn authority(&self) -> Vec<u8> {
        let data = self.setting("{.clusters[0].cluster.certificate-authority-data}");
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap()
    }

    fn setting(&self, path: &str) -> String {
        let path = format!("jsonpath={path}");
        self.kubectl(&["config", "view", "--raw", "-o", &path])
    }

    /// Returns what was logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

/// One who follows; ends when dropped.
pub struct Watch {
    child: Child,
    events: Receiver<Value>,
}

impl Watch {
    /// Returns the next events, as many as these, each as `describe` says it, in any order.
    pub fn next(&self, expected: &[&str], describe: impl Fn(&Value) -> String) {
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            let event = self.events.recv_timeout(Duration::from_secs(20));
            let event = event.unwrap_or_else(|_| panic!("only {seen:#?} of {expected:#?}"));
            if event["type"] != "BOOKMARK" {
                let type_ = event["type"].as_str().unwrap();
                seen.push(format!("{type_} {}", describe(&event["object"])));
            }
        }
        seen.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(seen, expected);
    }

    /// Returns the names of the next objects that are deleted, as many as these, sorted; passes over other events.
    pub fn next_deleted(&self, number: usize) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < number {
            let event = self.events.recv_timeout(Duration::from_secs(20));
            let event = event.unwrap_or_else(|_| panic!("only {seen:#?}"));
            if event["type"] == "DELETED" {
                let name = event["object"]["metadata"]["name"].as_str().unwrap();
                seen.push(name.to_owned());
            }
        }
        seen.sort_unstable();
        seen
    }

    /// Returns whether nothing more comes for a moment.
    pub fn is_silent(&self) -> bool {
        let more = self.events.recv_timeout(Duration::from_millis(300));
        more.map_or(true, |event| event["type"] == "BOOKMARK")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the package revisions of the default namespace.
pub fn revisions(porch: &Porch) -> Vec<Value> {
    let list = porch.raw(&format!("{API}/packagerevisions"));
    list["items"].as_array().unwrap().clone()
}

/// Returns a repository with one package that is published once.
pub fn small() -> Repository {
    let git = Repository::new();
    git.write("a/Kptfile", KPTFILE);
    git.commit("a package");
    git.git(&["tag", "a/v1"]);
    git.push();
    git
}
