//! Functions that are not in the program, as a user gives them to it: a directory of executables, or nothing.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Output, Stdio},
};

use serde_json::Value;

use crate::{
    process::{Porch, command, eventually, start},
    processes::{can_be_enclosed, sleepers},
};

/// Marks every resource of a `ResourceList`, and says so.
const MARKER: &str = r"#!/bin/sh
sed 's/^  kind: ConfigMap$/  kind: ConfigMap\n  immutable: true/'
echo marked >&2
";

fn executable(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// How kubectl replaces what it reads.
const REPLACE: [&str; 5] = ["replace", "-f", "-", "-o", "json"];

/// Replaces the files of a draft of the demo; returns what kubectl said.
fn replace(porch: &Porch, image: &str) -> Output {
    porch.piped(&REPLACE, &draft(porch, image))
}

/// Begins to replace the files of a draft of the demo.
fn begin(porch: &Porch, image: &str) -> Child {
    let object = draft(porch, image);
    let mut child = porch
        .kubectl_command(&REPLACE)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(object.as_bytes()).unwrap();
    child
}

/// Returns a draft of the demo with a file and a function.
fn draft(porch: &Porch, image: &str) -> String {
    let name = "demo.basens.quota";
    let object = porch.kubectl(&["get", "packagerevisionresources", name, "-o", "json"]);
    let mut object: Value = serde_json::from_str(&object).unwrap();
    let kptfile = format!(
        "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: basens\npipeline:\n  mutators:\n  - image: {image}\n"
    );
    object["spec"]["resources"]["Kptfile"] = kptfile.into();
    object["spec"]["resources"]["own.yaml"] =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: own # ours\n".into();
    object.to_string()
}

#[test]
fn functions_of_a_directory_run_and_others_are_told_to_be_missing() {
    let (home, functions) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    executable(functions.path(), "marker", MARKER);
    executable(
        functions.path(),
        "marker@v2",
        "#!/bin/sh\necho no two >&2\nexit 3\n",
    );
    let directory = functions.path().to_str().unwrap();
    let porch = start(home.path(), &["--demo", "--functions", directory]);
    porch.until_ready("demo");
    let done = replace(&porch, "example.com/ours/marker:v1");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{told}");
    let object: Value = serde_json::from_slice(&done.stdout).unwrap();
    let own = object["spec"]["resources"]["own.yaml"].as_str().unwrap();
    assert!(
        own.contains("immutable: true") && own.contains("name: own # ours"),
        "{own}"
    );
    let ran = &object["status"]["renderStatus"]["result"]["items"][0];
    assert_eq!(ran["image"], "example.com/ours/marker:v1");
    assert_eq!(ran["stderr"].as_str().map(str::trim), Some("marked"));
    let when = &object["status"]["renderStatus"]["result"]["metadata"];
    let took = when["annotations"]["porch.kpt.dev/function-durations"].as_str();
    assert!(took.is_some_and(|took| took.starts_with("marker:v1 ")));
    assert!(when["creationTimestamp"].is_string(), "{when}");
    for (image, words) in [
        ("example.com/ours/marker:v2", "no two"),
        (
            "example.com/ours/other:v1",
            "function not available: example.com/ours/other:v1",
        ),
    ] {
        let done = replace(&porch, image);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && told.contains(words), "{told}");
    }
    failures_are_told_to_all(&porch);
    assert_eq!(porch.terminate(), Some(0));
}

/// Whoever was not there sees it too: what ran, for how long, and what failed.
fn failures_are_told_to_all(porch: &Porch) {
    let name = "demo.basens.quota";
    eventually("what is told of the renders", || {
        let told = porch.kubectl(&["describe", "packagerevision", name]);
        let words = [
            "Rendered ",
            "1 function(s) in ",
            "marker:v1 ",
            "RenderFailed",
            "no two",
        ];
        words.iter().all(|words| told.contains(words)).then_some(())
    });
    // A failure that is stored tells its status and its words.
    let wish = r#"{"metadata":{"annotations":{"porch.kpt.dev/push-on-render-failure":"true"}}}"#;
    porch.kubectl(&["patch", "packagerevision", name, "--type=merge", "-p", wish]);
    let done = replace(porch, "example.com/ours/marker:v2");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        told.contains("pushed to remote despite render failure"),
        "{told}"
    );
    let file = "jsonpath={.spec.resources.Kptfile}";
    let kptfile = porch.kubectl(&["get", "packagerevisionresources", name, "-o", file]);
    for words in ["exitCode: 3", "stderr: \"no two\\n\""] {
        assert!(kptfile.contains(words), "{kptfile}");
    }
}

/// Puts one more resource at the end of the list that it is given.
fn adder(path: &str, more: &str) -> String {
    format!(
        "#!/bin/sh\ncat\ncat <<'EOF'\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: x\n    annotations:\n      internal.config.kubernetes.io/path: {path}\n      internal.config.kubernetes.io/index: '0'\n{more}EOF\n"
    )
}

/// Answers with this, whatever it is given.
fn parrot(answer: &str) -> String {
    format!("#!/bin/sh\ncat >/dev/null\ncat <<'EOF'\n{answer}\nEOF\n")
}

#[test]
fn hostile_functions_are_told_for_what_they_did_and_change_nothing() {
    const LIST: &str = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:";
    let own = "\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: own";
    let laughs = (1..40).map(|at| {
        let inner = format!("*a{}, ", at - 1).repeat(9);
        format!("\n  a{at}: &a{at} [{inner}]")
    });
    let laughs = format!("{LIST}{own}\n  a0: &a0 [x]{}", laughs.collect::<String>());
    let hostile = [
        ("garbage", parrot("not: [yaml"), "makes no sense"),
        ("silence", parrot(""), "makes no sense"),
        ("another", parrot("kind: ConfigMap"), "makes no sense"),
        ("laughs", parrot(&laughs), "makes no sense"),
        (
            "eraser",
            parrot(&format!("{LIST} []")),
            "returned no resources",
        ),
        (
            "beheader",
            parrot(&format!("{LIST}{own}")),
            "must not delete the Kptfile",
        ),
        ("outsider", adder("../x.yaml", ""), "outside of package"),
        ("climber", adder("a/../../x.yaml", ""), "outside of package"),
        ("twin", adder("own.yaml", ""), "already exists"),
        ("painter", adder("picture.txt", ""), "must not write"),
        (
            "flood",
            "#!/bin/sh\nhead -c 104857600 /dev/zero\n".into(),
            "answered with more than",
        ),
        (
            "corpse",
            "#!/bin/sh\nhead -c 100\nkill -9 $$\n".into(),
            "killed by signal 9",
        ),
    ];
    let (home, functions) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, script, _) in &hostile {
        executable(functions.path(), name, script);
    }
    let thief = adder("../own.yaml", "");
    executable(functions.path(), "thief", &thief);
    let directory = functions.path().to_str().unwrap();
    let porch = start(home.path(), &["--demo", "--functions", directory]);
    porch.until_ready("demo");
    let now = || {
        porch.kubectl(&[
            "get",
            "packagerevisionresources",
            "demo.basens.quota",
            "-o",
            "json",
        ])
    };
    let before = now();
    let refused = |object: &str, words: &str| {
        let done = porch.piped(&REPLACE, object);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            !done.status.success() && told.contains(words),
            "{words}: {told}"
        );
        assert_eq!(now(), before, "{words}");
    };
    for (name, _, words) in &hostile {
        refused(&draft(&porch, &format!("example.com/bad/{name}:v1")), words);
    }
    // One of a package in the package, which reaches for what is not its own.
    let mut object: Value =
        serde_json::from_str(&draft(&porch, "example.com/bad/thief:v1")).unwrap();
    let files = object["spec"]["resources"].as_object_mut().unwrap();
    let root = files["Kptfile"].as_str().unwrap().to_owned();
    files.insert("sub/Kptfile".into(), root.clone().into());
    let (bare, _) = root.split_once("pipeline:").unwrap();
    files.insert("Kptfile".into(), bare.into());
    refused(&object.to_string(), "outside of package");
    assert_eq!(porch.terminate(), Some(0));
}

/// Sleeps in sessions of its own, and waits.
fn sleeper(seconds: &str) -> String {
    format!(
        "#!/bin/sh\nsetsid sleep {seconds} &\nsetsid sh -c 'setsid sleep {seconds} &'\nsleep {seconds}\n"
    )
}

#[test]
fn a_caller_who_goes_away_makes_room_for_the_next() {
    let (home, functions) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    executable(functions.path(), "marker", MARKER);
    executable(
        functions.path(),
        "sleeper",
        "#!/bin/sh\nsleep 98771\nsleep 98771\n",
    );
    let directory = functions.path().to_str().unwrap();
    let words = ["--functions", directory, "--function-timeout", "1h"];
    let words = [&["--demo", "--max-renders", "1"][..], &words].concat();
    let porch = start(home.path(), &words);
    porch.until_ready("demo");
    let mut first = begin(&porch, "example.com/ours/sleeper:v1");
    eventually("a function that runs", || {
        (sleepers("98771") > 0).then_some(())
    });
    first.kill().unwrap();
    first.wait().unwrap();
    let done = replace(&porch, "example.com/ours/marker:v1");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{told}");
    assert_eq!(sleepers("98771"), 0);
    assert_eq!(porch.terminate(), Some(0));
}

#[test]
fn functions_end_with_a_server_that_is_killed() {
    if !can_be_enclosed() {
        return;
    }
    let (home, functions) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    executable(functions.path(), "sleeper", &sleeper("98772"));
    let directory = functions.path().to_str().unwrap();
    let porch = start(home.path(), &["--demo", "--functions", directory]);
    porch.until_ready("demo");
    let mut asked = begin(&porch, "example.com/ours/sleeper:v1");
    eventually("a function that runs", || {
        (sleepers("98772") == 3).then_some(())
    });
    porch.kill();
    eventually("the end of the function", || {
        (sleepers("98772") == 0).then_some(())
    });
    asked.wait().unwrap();
}

#[test]
fn a_directory_of_functions_that_is_not_there_is_told_at_once() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing");
    let output = command(home.path(), &["--functions", missing.to_str().unwrap()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && told.contains("--functions") && told.contains("missing"),
        "{told}"
    );
}

/// A FunctionConfig as users write it.
fn config(spec: &str) -> String {
    format!(
        "apiVersion: config.porch.kpt.dev/v1alpha1\nkind: FunctionConfig\nmetadata: {{name: ours}}\nspec: {spec}\n"
    )
}

/// Waits until the status of a FunctionConfig says this.
fn until_told(porch: &Porch, name: &str, path: &str, wanted: &str) {
    eventually(wanted, || {
        let path = format!("jsonpath={{.status.{path}}}");
        let told = porch.kubectl(&["get", "functionconfig", name, "-o", &path]);
        told.starts_with(wanted).then_some(())
    });
}

#[test]
fn a_function_config_says_who_runs_an_image_without_a_restart() {
    let (home, functions) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    executable(functions.path(), "one", MARKER);
    executable(
        functions.path(),
        "two",
        "#!/bin/sh\necho two says no >&2\nexit 3\n",
    );
    let directory = functions.path().to_str().unwrap();
    let words = ["--demo", "--functions", directory];
    let porch = start(home.path(), &words);
    porch.until_ready("demo");
    let image = "example.com/functions/ours:v1";
    let is_missing = |porch: &Porch| {
        let done = replace(porch, image);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        told.contains("function not available").then_some(())
    };
    is_missing(&porch).unwrap();
    let one = "{image: ours, prefixes: [example.com/functions], binaryExecutor: {path: one, tags: [v1, v1.0]}}";
    porch.applied(&config(one));
    until_told(&porch, "ours", "apiServerObservedGeneration", "1");
    let done = replace(&porch, image);
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{told}");
    let shown = porch.kubectl(&["get", "functionconfigs"]);
    let cells: Vec<_> = shown.split_whitespace().collect();
    let titles = "NAME IMAGE GO BINARY SERVER APPLIED ERROR AGE";
    let row = "ours ours [\"v1\",\"v1.0\"] 1";
    assert!(
        cells.join(" ").starts_with(&format!("{titles} {row} ")),
        "{shown}"
    );

    porch.applied(&config(&one.replace("path: one", "path: two")));
    until_told(&porch, "ours", "apiServerObservedGeneration", "2");
    let told = String::from_utf8_lossy(&replace(&porch, image).stderr).into_owned();
    assert!(told.contains("two says no"), "{told}");
    // What was said is said again by a server that starts anew, from its first render on.
    assert_eq!(porch.terminate(), Some(0));
    let porch = start(home.path(), &words);
    let told = String::from_utf8_lossy(&replace(&porch, image).stderr).into_owned();
    assert!(told.contains("two says no"), "{told}");

    porch.applied(&config(&one.replace("path: one", "path: ../one")));
    until_told(&porch, "ours", "error", "spec.binaryExecutor.path: ");
    is_missing(&porch).unwrap();
    let none = porch.apply(&config("{image: ours}"));
    let told = String::from_utf8_lossy(&none.stderr).into_owned();
    let rule = "At least one configuration must be specified";
    // An apply takes away what it does not name.
    assert!(!none.status.success() && told.contains(rule), "{told}");
    porch.applied(&config(one));
    until_told(&porch, "ours", "apiServerObservedGeneration", "4");
    porch.kubectl(&["delete", "functionconfig", "ours", "--timeout=30s"]);
    eventually("the end of the function", || is_missing(&porch));

    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/functionconfig.yaml");
    porch.kubectl(&["apply", "--validate=strict", "-f", example]);
    for name in ["team-labels", "set-namespace"] {
        until_told(&porch, name, "apiServerObservedGeneration", "1");
    }
    assert_eq!(porch.terminate(), Some(0));
}
