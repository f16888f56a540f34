//! Functions that are not in the program, as a user gives them to it: a directory of executables, or nothing.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use crate::process::{Porch, command, eventually, start};

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

/// Replaces the files of a draft of the demo; returns what kubectl said.
fn replace(porch: &Porch, image: &str) -> std::process::Output {
    let name = "demo.basens.quota";
    let object = porch.kubectl(&["get", "packagerevisionresources", name, "-o", "json"]);
    let mut object: Value = serde_json::from_str(&object).unwrap();
    let kptfile = format!(
        "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata:\n  name: basens\npipeline:\n  mutators:\n  - image: {image}\n"
    );
    object["spec"]["resources"]["Kptfile"] = kptfile.into();
    object["spec"]["resources"]["own.yaml"] =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: own # ours\n".into();
    porch.piped(&["replace", "-f", "-", "-o", "json"], &object.to_string())
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
    assert_eq!(porch.terminate(), Some(0));
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
