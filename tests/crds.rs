//! The definitions in `crds/` are those that `porch crds` prints.

use std::{fs, path::Path};

#[test]
fn crds_are_fresh() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut there: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "kustomization.yaml")
        .collect();
    there.sort();
    let generated = porch::crds::files();
    let mut wanted: Vec<String> = generated.iter().map(|(name, _)| name.clone()).collect();
    wanted.sort();
    assert_eq!(there, wanted, "files of crds/");
    for (name, text) in generated {
        let stored = fs::read_to_string(directory.join(&name)).unwrap();
        assert!(
            stored == text,
            "crds/{name} is stale: make it anew with `cargo run -- crds --directory crds`"
        );
    }
}

#[test]
fn kube_apiserver_knows_every_format_and_warns_of_none() {
    // Those of OpenAPI and of apiextensions that are used here.
    let known = ["int32", "int64", "double", "date-time", "duration"];
    for (name, text) in porch::crds::files() {
        let formats = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("format: "));
        for format in formats {
            assert!(known.contains(&format), "{name}: {format}");
        }
    }
}
