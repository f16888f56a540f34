//! A clone of a real package from a repository that nobody registered, beside a bare push of a commit with the same files.
//!
//! The package is of a bundle of real repositories, in the directory that `PORCH_TEST_BUNDLES` names; without one it is left out.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Pushes,
    git_server::{GitServer, git},
    many, median,
    server::Server,
    time,
};

/// The bundle, and the directory of the package in it: Deployments, roles and large definitions of kinds.
const BUNDLE: &str = "nephio-example-packages.bundle";
const PACKAGE: &str = "nephio-controllers";

/// Measures clones, and prints how long they take.
pub fn measure(rounds: usize) {
    let directory = std::env::var_os("PORCH_TEST_BUNDLES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let bundle = directory.join(BUNDLE);
    if !bundle.exists() {
        println!("\nno {BUNDLE}: clones of a real package are not measured");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let served = home.path().join("served");
    many::repository(&served.join("many.git"), 10, 10);
    let bundle = bundle.display().to_string();
    git(
        &served,
        &["clone", "--quiet", "--bare", &bundle, "real.git"],
    );
    let git_server = GitServer::http(&served);
    let porch = Server::start(&home.path().join("data"));
    porch.register(&git_server.url("many.git"));
    let pushes = Pushes::new(&git_server.url("many.git"), home.path());
    let source = git_server.url("real.git");
    let tree = pushes.fetched(&source, PACKAGE);
    let (mut bare, mut clones) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let commit = pushes.commit_of(&tree, &format!("clone {round}"));
        bare.push(time(|| pushes.by_git(&commit, round)));
        let name = format!("clone-{round}");
        clones.push(time(|| porch.clone_of(&name, &source, PACKAGE)));
    }
    print(&bare, &clones);
}

fn print(bare: &[Duration], clones: &[Duration]) {
    let (first, push) = (clones[0], median(bare.to_vec()));
    let clone = median(clones.to_vec());
    let ratio = clone.as_secs_f64() / push.as_secs_f64();
    println!(
        "\nclone of {PACKAGE}: {clone:.1?} (the first, with its fetch, {first:.1?}), git push of the same files {push:.1?}: {ratio:.2} of it"
    );
}
