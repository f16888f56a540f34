//! A `porch standalone` process of a test's own: on a free port, in a directory of its own, ended with the test.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

pub struct Porch {
    child: Child,
    kubeconfig: PathBuf,
    /// The first line on stdout.
    pub ready: String,
}

/// Starts a server on `directory` and returns once it says that it serves.
pub fn start(directory: &Path, words: &[&str]) -> Porch {
    let mut child = command(directory, words).spawn().unwrap();
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
    drain(child.stderr.take().unwrap());
    Porch {
        child,
        kubeconfig,
        ready,
    }
}

/// Returns what becomes of a process that is not expected to serve.
pub fn refused(directory: &Path, words: &[&str]) -> Output {
    command(directory, words).output().unwrap()
}

fn command(directory: &Path, words: &[&str]) -> Command {
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
fn drain(stderr: impl Read + Send + 'static) {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            println!("porch: {line}");
        }
    });
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
        let mut child = self
            .kubectl_command(&["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), manifest.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
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

/// Runs git in `directory`, shut off from the user's configuration.
pub fn git(directory: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(directory)
        .args([
            "-c",
            "user.name=Stranger",
            "-c",
            "user.email=stranger@example.com",
        ])
        .args(words)
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("HOME", "/nonexistent")])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {words:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}
