//! Executables that tests write: what a good one answers, and that a hostile one ends in bounded time, alone and with nothing left.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, Instant},
};

use porch::render::elsewhere::{Confines, ElsewhereError, Evaluated, Executables};
use tempfile::TempDir;

use crate::{
    EMPTY,
    processes::{can_be_enclosed, sleepers},
};

type Judge = fn(&ElsewhereError) -> bool;

/// A directory of executables and one to work in.
struct Place {
    files: TempDir,
    scratch: TempDir,
}

impl Place {
    fn new() -> Self {
        let (files, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        Self { files, scratch }
    }

    /// A place with one executable: a script of the shell.
    fn with(name: &str, script: &str) -> Self {
        let place = Self::new();
        put(&place.files.path().join(name), script);
        place
    }

    async fn evaluate(&self, image: &str, confines: Confines) -> Result<Evaluated, ElsewhereError> {
        let executables =
            Executables::new(self.files.path(), self.scratch.path(), confines).unwrap();
        executables.evaluate(image, EMPTY.into()).await
    }

    fn assert_clean(&self) {
        let left = fs::read_dir(self.scratch.path()).unwrap().count();
        assert_eq!(left, 0, "something is left in the scratch directory");
    }
}

fn put(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn soon() -> Confines {
    Confines {
        time: Duration::from_secs(3),
        memory: 256 << 20,
        answer: 1 << 20,
        log: 1 << 10,
    }
}

#[tokio::test]
async fn a_good_one_gets_the_list_and_gives_one_back() {
    let place = Place::with("echo@v1", "echo said >&2; cat");
    let answer = place.evaluate("ghcr.io/x/echo:v1", soon()).await.unwrap();
    let (list, log) = (EMPTY.to_string(), "said\n".to_string());
    assert_eq!(answer, Evaluated { list, log });
    place.assert_clean();
}

#[tokio::test]
async fn the_exact_tag_goes_before_any() {
    let place = Place::with("f@v1", "echo exact");
    put(&place.files.path().join("f"), "echo any");
    for (image, answer) in [("f:v1", "exact\n"), ("a/f:v2", "any\n"), ("f", "any\n")] {
        assert_eq!(place.evaluate(image, soon()).await.unwrap().list, answer);
    }
}

#[tokio::test]
async fn what_is_not_an_executable_in_the_directory_is_not_found() {
    let place = Place::new();
    let (inside, outside) = (place.files.path(), place.scratch.path());
    put(&outside.join("secret"), "echo secret");
    symlink(outside.join("secret"), inside.join("link")).unwrap();
    fs::write(inside.join("plain"), "#!/bin/sh\n").unwrap();
    fs::create_dir(inside.join("directory")).unwrap();
    let up = format!("x/../{}/secret", outside.file_name().unwrap().display());
    for image in [
        "link",
        "plain",
        "directory",
        "missing",
        "..",
        ".",
        "",
        "f:../secret",
        &up,
    ] {
        let told = place.evaluate(image, soon()).await.unwrap_err();
        let words = format!("function {image:?} not found");
        assert_eq!(told, ElsewhereError::NotFound(words));
    }
}

#[tokio::test]
async fn a_link_within_the_directory_is_followed() {
    let place = Place::with("data", "echo here");
    symlink("data", place.files.path().join("f")).unwrap();
    assert_eq!(place.evaluate("f", soon()).await.unwrap().list, "here\n");
}

#[tokio::test]
async fn a_failure_keeps_the_list_with_its_results_and_nothing_else() {
    for (script, words, list, (log, exit_code)) in [
        (
            "cat; echo bad >&2; exit 3",
            "failed to execute function \"f\": exit status 3 (bad)",
            Some(EMPTY),
            ("bad\n", Some(3)),
        ),
        (
            "echo junk; exit 1",
            "failed to execute function \"f\": exit status 1 ()",
            None,
            ("", Some(1)),
        ),
        (
            "kill -9 $$",
            "failed to execute function \"f\": killed by signal 9 ()",
            None,
            ("", None),
        ),
        (
            "kill -TERM 0",
            "failed to execute function \"f\": killed by signal 15 ()",
            None,
            ("", None),
        ),
        (
            "echo odd >&2; printf '\\377'",
            "failed to parse the output of function \"f\": it is not UTF-8",
            None,
            ("odd\n", Some(0)),
        ),
    ] {
        let place = Place::with("f", script);
        let told = place.evaluate("f", soon()).await.unwrap_err();
        let (words, list) = (words.into(), list.map(Into::into));
        let want = ElsewhereError::Failed {
            words,
            list,
            log: log.into(),
            exit_code,
        };
        assert_eq!(told, want, "{script}");
    }
}

#[tokio::test]
async fn it_has_no_environment_an_empty_directory_and_no_network() {
    let script = "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=; ls -A; touch x; readlink /proc/self/ns/net";
    let place = Place::with("f", script);
    let answer = place.evaluate("f", soon()).await.unwrap();
    let network = |text: &Path| text.to_str().unwrap().to_string() + "\n";
    let mine = network(&fs::read_link("/proc/self/ns/net").unwrap());
    assert_eq!(answer.list.lines().count(), 1, "{}", answer.list);
    if can_be_enclosed() {
        assert_ne!(answer.list, mine);
    }
    place.assert_clean();
}

#[tokio::test]
async fn hostile_ones_end_in_time() {
    let is_late: Judge = |told: &ElsewhereError| matches!(told, ElsewhereError::TimedOut(_));
    let is_large: Judge = |told: &ElsewhereError| matches!(told, ElsewhereError::TooLarge(_));
    let is_failed: Judge = |told: &ElsewhereError| matches!(told, ElsewhereError::Failed { .. });
    let cases: &[(&str, Judge)] = &[
        ("while :; do :; done", is_late),
        ("trap '' TERM INT HUP; sleep 1000", is_late),
        ("exec >&- 2>&- <&-; sleep 1000", is_late),
        ("head -c 104857600 /dev/zero", is_large),
        (
            "cat; while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done",
            is_large,
        ),
        ("x=x; while :; do x=$x$x; done", is_failed),
        ("head -c 1073741824 /dev/zero > big", is_failed),
        ("exec /does/not/exist", is_failed),
    ];
    for (script, is_right) in cases {
        let (place, begun) = (Place::with("f", script), Instant::now());
        let told = place.evaluate("f", soon()).await.unwrap_err();
        assert!(is_right(&told), "{script}: {told:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{script}");
        place.assert_clean();
    }
}

#[tokio::test]
async fn a_log_is_cut_and_does_not_hold_the_function_up() {
    let place = Place::with("f", "head -c 104857600 /dev/zero >&2; echo done");
    let answer = place.evaluate("f", soon()).await.unwrap();
    assert_eq!(
        (answer.list.as_str(), answer.log.len()),
        ("done\n", 1 << 10)
    );
}

#[tokio::test]
async fn input_that_is_not_read_is_no_failure() {
    let place = Place::with("f", "exec <&-; echo done");
    let executables = Executables::new(place.files.path(), place.scratch.path(), soon()).unwrap();
    let list = "x".repeat(10 << 20);
    assert_eq!(
        executables.evaluate("f", list).await.unwrap().list,
        "done\n"
    );
}

async fn assert_no_sleepers(seconds: &str) {
    for _ in 0..100 {
        if sleepers(seconds) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a process of the function lives on");
}

#[tokio::test]
async fn children_end_with_the_function() {
    // The child holds the pipes: the answer does not wait for it.
    let place = Place::with("f", "sleep 98761 & echo done");
    let answer = place.evaluate("f", soon()).await.unwrap();
    assert_eq!(answer.list, "done\n");
    assert_no_sleepers("98761").await;
}

#[tokio::test]
async fn children_end_with_the_time() {
    let place = Place::with("f", "echo stuck >&2; sleep 98762 & sleep 98762 & wait");
    let told = place.evaluate("f", soon()).await.unwrap_err();
    let words = "function \"f\" did not end within 3 seconds (stuck)".to_string();
    assert_eq!(told, ElsewhereError::TimedOut(words));
    assert_no_sleepers("98762").await;
}

/// Starts sleepers in sessions of their own, as children and as orphans, and does not wait for them.
const RUNAWAYS: &str = "for way in 1 2 3; do setsid sleep SECONDS & setsid sh -c 'sleep SECONDS & setsid sleep SECONDS &' & done";

#[tokio::test]
async fn runaways_end_with_the_function_its_time_and_its_caller() {
    if !can_be_enclosed() {
        return;
    }
    for (seconds, rest, is_well) in [
        ("98764", "; sleep 1; echo done", true),
        ("98765", "; setsid sleep 98765; wait", false),
        ("98766", "; sleep 1; kill -9 $$", false),
    ] {
        let script = RUNAWAYS.replace("SECONDS", seconds) + rest;
        let place = Place::with("f", &script);
        let ended = place.evaluate("f", soon()).await;
        assert_eq!(ended.is_ok(), is_well, "{script}: {ended:?}");
        assert_no_sleepers(seconds).await;
        place.assert_clean();
    }
    let script = RUNAWAYS.replace("SECONDS", "98767") + "; sleep 98767";
    let place = Place::with("f", &script);
    let call = place.evaluate("f", soon());
    let given_up = tokio::time::timeout(Duration::from_secs(1), call).await;
    assert!(given_up.is_err());
    assert_no_sleepers("98767").await;
}

#[tokio::test]
async fn it_can_neither_see_nor_kill_who_started_it() {
    if !can_be_enclosed() {
        return;
    }
    let me = std::process::id();
    let script = format!("kill -9 {me} $PPID; cat /proc/{me}/environ; echo $$ $PPID");
    let place = Place::with("f", &script);
    let answer = place.evaluate("f", soon()).await.unwrap();
    assert_eq!(answer.list, "2 1\n", "{}", answer.log);
}

#[tokio::test]
async fn children_end_when_the_caller_goes_away() {
    let place = Place::with("f", "sleep 98763 & wait");
    let call = place.evaluate("f", soon());
    let given_up = tokio::time::timeout(Duration::from_secs(1), call).await;
    assert!(given_up.is_err());
    assert_no_sleepers("98763").await;
    place.assert_clean();
}
