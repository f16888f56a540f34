//! What goes wrong in the world, and what must go on nevertheless: power cuts, servers that hang, namespaces that go.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    git_server::GitServer,
    many,
    process::{
        Porch, eventually, refused_in, repository, revisions, secret, small, start, start_in,
        start_on_a_small_disk,
    },
    proxy::Proxy,
};

/// Returns what the `Ready` condition of a Repository says, once it is not true.
fn trouble(porch: &Porch, name: &str) -> String {
    let path = "jsonpath={.status.conditions[?(@.reason==\"Error\")].message}";
    eventually(&format!("{name} is in trouble"), || {
        let told = porch.kubectl(&["get", "repository", name, "-o", path]);
        (!told.is_empty()).then_some(told)
    })
}

#[test]
fn a_process_that_is_killed_during_its_first_look_goes_on_where_it_was() {
    let home = tempfile::tempdir().unwrap();
    let (root, data) = (home.path().join("served"), home.path().join("data"));
    many::repository(&root.join("many.git"), 40, 6);
    let server = GitServer::http(&root);
    let porch = start(&data, &[]);
    porch.applied(&repository("many", &server.url("many.git"), ""));
    porch.kill();

    let porch = start(&data, &[]);
    let records = "/apis/config.porch.kpt.dev/v1alpha1/packagerevs?limit=1";
    eventually("the first record", || {
        let list = porch.raw(records);
        (!list["items"].as_array().unwrap().is_empty()).then_some(())
    });
    porch.kill();

    let porch = start(&data, &[]);
    porch.until_ready("many");
    let found = revisions(&porch);
    assert_eq!(found.len(), 40 * 7);
    let latest = |it: &&Value| it["metadata"]["labels"]["kpt.dev/latest-revision"] == "true";
    let latest: Vec<_> = found.iter().filter(latest).collect();
    assert_eq!(latest.len(), 40);
    assert!(latest.iter().all(|it| it["spec"]["revision"] == 6));
    // What the next look finds is what is there: it writes nothing.
    porch.look("many");
    assert_eq!(revisions(&porch), found);
}

#[test]
fn a_server_that_hangs_delays_no_other_and_its_repository_can_go() {
    let home = tempfile::tempdir().unwrap();
    let git = small();
    let (quick, hanging) = (GitServer::http(git.root()), GitServer::http(git.root()));
    hanging.behave(|behaviour| behaviour.delay = Some(Duration::from_mins(10)));
    let porch = start(home.path(), &[]);
    let mut manifest: String = (0..5)
        .map(|number| {
            let url = hanging.url(&format!("bare-{number}.git"));
            repository(&format!("slow-{number}"), &url, "")
        })
        .collect();
    manifest.push_str(&repository("quick", &quick.url("bare.git"), ""));
    let begun = Instant::now();
    porch.applied(&manifest);
    porch.until_ready("quick");
    git.git(&["tag", "a/v2"]);
    git.push();
    porch.look("quick");
    assert_eq!(revisions(&porch).len(), 3);
    let slow =
        porch.raw("/apis/config.porch.kpt.dev/v1alpha1/namespaces/default/repositories/slow-0");
    assert_eq!(slow["status"]["conditions"][0]["reason"], "Reconciling");
    porch.kubectl(&["delete", "repository", "slow-0", "--timeout=10s"]);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(porch.terminate(), Some(0));
}

#[test]
fn a_schedule_is_kept_and_a_bad_one_is_told() {
    let home = tempfile::tempdir().unwrap();
    let git = small();
    let server = GitServer::http(git.root());
    let porch = start(home.path(), &[]);
    let manifest = |schedule: &str| {
        let url = server.url("bare.git");
        repository(
            "r",
            &url,
            &format!("  sync:\n    schedule: \"{schedule}\"\n"),
        )
    };
    porch.applied(&manifest("@every 1s"));
    porch.until_ready("r");
    git.git(&["tag", "a/v2"]);
    git.push();
    eventually("the new tag, without being told", || {
        (revisions(&porch).len() == 3).then_some(())
    });
    porch.applied(&manifest("now and then"));
    let message = eventually("the schedule is told", || {
        let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].message}";
        let told = porch.kubectl(&["get", "repository", "r", "-o", path]);
        told.contains("schedule").then_some(told)
    });
    assert!(
        message.contains("spec.sync.schedule") && message.contains("now and then"),
        "{message}"
    );
    let listed = porch.kubectl(&["get", "repository", "r", "-o", "wide"]);
    assert!(listed.contains("now and then"), "{listed}");
}

#[test]
fn a_namespace_that_goes_takes_everything_along_but_git() {
    let home = tempfile::tempdir().unwrap();
    let git = small();
    let before = git.git(&["ls-remote", git.bare().to_str().unwrap()]);
    let server = GitServer::http(git.root());
    let porch = start(home.path(), &[]);
    porch.kubectl(&["create", "namespace", "team"]);
    let manifest = repository("r", &server.url("bare.git"), "");
    porch.applied(&manifest.replace("  name: r\n", "  name: r\n  namespace: team\n"));
    porch.kubectl(&[
        "-n",
        "team",
        "wait",
        "--for=condition=Ready",
        "repository/r",
        "--timeout=30s",
    ]);
    porch.applied(&manifest);
    porch.until_ready("r");
    assert_eq!(
        porch
            .kubectl(&["get", "packagerevisions", "-A", "-o", "name"])
            .lines()
            .count(),
        4
    );
    porch.kubectl(&["delete", "namespace", "team", "--timeout=30s"]);
    let left = porch.kubectl(&["get", "packagerevisions", "-A", "--no-headers"]);
    assert!(
        left.lines().count() == 2 && !left.contains("team"),
        "{left}"
    );
    let records = porch.kubectl(&[
        "get",
        "packagerevs,repositories,secrets",
        "-n",
        "team",
        "-o",
        "name",
    ]);
    assert_eq!(records, "");
    assert_eq!(
        git.git(&["ls-remote", git.bare().to_str().unwrap()]),
        before
    );
    assert_eq!(
        std::fs::read_dir(home.path().join("mirrors"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn credentials_that_are_missing_or_wrong_are_told_and_others_are_used_at_once() {
    let home = tempfile::tempdir().unwrap();
    let git = small();
    let server = GitServer::https(git.root());
    server.behave(|behaviour| behaviour.authorization = Some("Basic bWU6c2VzYW1l".into()));
    let porch = start(home.path(), &[]);
    let reference = "    secretRef:\n      name: keys\n";
    porch.applied(&repository("r", &server.url("bare.git"), reference));
    let told = trouble(&porch, "r");
    assert!(
        told.contains("default/keys") && told.contains("not found"),
        "{told}"
    );
    let ca = String::from_utf8(server.ca().unwrap()).unwrap();
    let keys = |password: &str, ca: &[(&str, &str)]| {
        let data = [&[("username", "me"), ("password", password)], ca].concat();
        secret("keys", "kubernetes.io/basic-auth", &data)
    };
    for (keys, expected) in [
        (keys("", &[]), "the key password is missing or empty"),
        (keys("sesame", &[]), "tls: "),
        (keys("sesame", &[("ca.crt", "no certificate")]), "ca.crt"),
        (
            keys("op3n-it", &[("ca.crt", &ca)]),
            "authentication required",
        ),
    ] {
        porch.applied(&keys);
        porch.look("r");
        let told = trouble(&porch, "r");
        assert!(told.contains(expected), "{expected}: {told}");
    }
    porch.applied(&keys("sesame", &[("ca.crt", &ca)]));
    porch.look("r");
    porch.until_ready("r");
    assert_eq!(revisions(&porch).len(), 2);
    let told =
        porch.log() + &porch.kubectl(&["get", "repositories,events,packagerevs", "-o", "yaml"]);
    for hidden in ["sesame", "op3n-it", "bWU6c2VzYW1l"] {
        assert!(!told.contains(hidden), "{told}");
    }
    let events = porch.kubectl(&["get", "events", "--no-headers"]);
    assert!(
        events.contains("Repository/r") || events.contains("repository/r"),
        "{events}"
    );
}

#[test]
fn the_proxies_of_the_environment_are_used_and_bad_ones_are_told_by_name() {
    let home = tempfile::tempdir().unwrap();
    let (git, proxy) = (small(), Proxy::start());
    let server = GitServer::http(git.root());
    let told = refused_in(home.path(), &[("HTTPS_PROXY", "socks5://u:hunter2@host")]);
    assert!(
        told.contains("HTTPS_PROXY: ") && !told.contains("hunter2"),
        "{told}"
    );
    let (url, none) = (proxy.url("u:hunter2@"), "10.0.0.0/8,.example.org");
    let porch = start_in(home.path(), &[("http_proxy", &url), ("NO_PROXY", none)]);
    let url = server.url("bare.git");
    let far = url.replace("localhost", "git.example.test");
    porch.applied(&repository("far", &far, ""));
    porch.until_ready("far");
    let asked = proxy.requests();
    assert!(asked[0].starts_with(&format!("POST {far}/")), "{asked:?}");
    porch.applied(&repository(
        "near",
        &url,
        "    branch: other\n    createBranch: true\n",
    ));
    porch.until_ready("near");
    assert!(
        !proxy
            .requests()
            .iter()
            .any(|line| line.contains("localhost"))
    );
    porch.applied(&repository("direct", &far.replace(".test", ".org"), ""));
    let told = trouble(&porch, "direct");
    assert!(!told.contains("proxy"), "{told}");
    let told = porch.log() + &porch.kubectl(&["get", "repositories,events", "-o", "yaml"]);
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_full_disk_is_told_and_everything_else_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let (git, large) = (small(), small());
    // Nothing makes these bytes fewer.
    let mut state = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'0' + u8::try_from(state >> 58).unwrap())
    })
    .take(48 << 20)
    .collect();
    large.write("a/noise", &noise);
    large.commit("much");
    large.push();
    let server = GitServer::http(git.root());
    let mighty = GitServer::http(large.root());
    let porch = start_on_a_small_disk(&home.path().join("data"), 32 << 10);
    porch.applied(&repository("large", &mighty.url("bare.git"), ""));
    let told = trouble(&porch, "large");
    assert!(
        told.contains("the disk does not take what was fetched"),
        "{told}"
    );
    porch.applied(&repository("r", &server.url("bare.git"), ""));
    porch.until_ready("r");
    assert_eq!(revisions(&porch).len(), 2);
    let events = porch.kubectl(&["get", "events", "--no-headers"]);
    assert!(events.contains("DiskFailed"), "{events}");
    porch.kubectl(&["delete", "repository", "large", "--timeout=10s"]);
    assert_eq!(porch.terminate(), Some(0));
    // With room again, all is read.
    let porch = start(&home.path().join("data"), &[]);
    porch.applied(&repository("large", &mighty.url("bare.git"), ""));
    porch.until_ready("large");
    assert_eq!(revisions(&porch).len(), 4);
}

#[test]
fn a_repository_that_another_is_in_the_way_of_is_told_so_and_is_not_written_to() {
    let home = tempfile::tempdir().unwrap();
    let git = small();
    let server = GitServer::http(git.root());
    let porch = start(home.path(), &[]);
    porch.applied(&repository("first", &server.url("bare.git"), ""));
    porch.until_ready("first");
    porch.applied(&repository("second", &server.url("bare.git"), ""));
    eventually("the conflict is told", || {
        let listed = porch.kubectl(&["get", "repository", "second", "-o", "wide"]);
        listed
            .contains("Repository conflict with existing repository: default/first")
            .then_some(())
    });
    let draft = "apiVersion: porch.kpt.dev/v1alpha1\nkind: PackageRevision\nmetadata: {namespace: default}\nspec:\n  \
                 repository: second\n  packageName: b\n  workspaceName: w\n  tasks: [{type: init, init: {}}]\n";
    let refused = porch.piped(&["create", "-f", "-"], draft);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{refused:?}");
    assert!(told.contains("conflict with existing repository"), "{told}");
    assert_eq!(revisions(&porch).len(), 2);
    porch.kubectl(&["delete", "repository", "first", "--timeout=10s"]);
    porch.until_ready("second");
    assert!(porch.piped(&["create", "-f", "-"], draft).status.success());
}
