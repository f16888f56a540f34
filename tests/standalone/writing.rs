//! Writing with kubectl, line by line as the README and `config/` say it, and what git says of it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::{
    forms::{self, Kubectl},
    git_server::git,
    pipeline::{self, Pipeline},
    process::{Porch, eventually, repository, secret, small, start},
    ssh_server::{SshServer, key, private},
};

struct Demo {
    home: tempfile::TempDir,
    porch: Porch,
}

fn demo() -> Demo {
    let home = tempfile::tempdir().unwrap();
    let porch = start(home.path(), &["--demo"]);
    porch.until_ready("demo");
    Demo { home, porch }
}

impl Demo {
    fn git(&self, words: &[&str]) -> String {
        git(&self.home.path().join("demo.git"), words)
            .trim_end()
            .to_owned()
    }

    fn refs(&self) -> Vec<String> {
        let all = self.git(&["for-each-ref", "--format=%(refname)"]);
        all.lines().map(str::to_owned).collect()
    }
}

/// Runs kubectl with a text on its stdin, which must succeed.
fn pipe(porch: &Porch, words: &[&str], text: &str) -> String {
    let output = porch.piped(words, text);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {words:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

fn lifecycle(porch: &Porch, name: &str) -> String {
    let words = [
        "get",
        "packagerevision",
        name,
        "-o",
        "jsonpath={.spec.lifecycle}",
    ];
    porch.kubectl(&words)
}

fn turn(porch: &Porch, name: &str, lifecycle: &str) {
    let patch = format!("{{\"spec\":{{\"lifecycle\":\"{lifecycle}\"}}}}");
    porch.kubectl(&[
        "patch",
        "packagerevision",
        name,
        "--type=merge",
        "-p",
        &patch,
    ]);
}

fn approve(porch: &Porch, name: &str) {
    let approval = config().join("approval.yaml");
    porch.kubectl(&[
        "patch",
        "packagerevision",
        name,
        "--subresource=approval",
        "--type=merge",
        "--patch-file",
        approval.to_str().unwrap(),
    ]);
}

fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn example(name: &str) -> String {
    let text = fs::read_to_string(config().join(format!("packagerevision-{name}.yaml"))).unwrap();
    assert!(text.starts_with("# "), "{name} teaches nothing");
    text
}

#[test]
fn a_user_writes_with_kubectl_from_the_first_draft_to_the_end() {
    let demo = demo();
    let porch = &demo.porch;
    let words = ["get", "packagerevisions", "--watch-only", "--no-headers"];
    let mut watching = porch.kubectl_command(&words).spawn().unwrap();
    let told = BufReader::new(watching.stdout.take().unwrap()).lines();
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        told.map_while(Result::ok)
            .all(|line| tell.send(line).is_ok())
    });
    // Nothing says that a watch has begun: what comes first is written until it is seen.
    let mark = [
        "annotate",
        "packagerevision",
        "demo.basens.v1",
        "--overwrite",
    ];
    let mut count = 0;
    eventually("the watch", || {
        count += 1;
        porch.kubectl(&[&mark[..], &[&format!("mark={count}")]].concat());
        heard
            .recv_timeout(std::time::Duration::from_millis(300))
            .ok()
    });
    let created = pipe(
        porch,
        &["create", "--validate=strict", "-f", "-"],
        &example("init"),
    );
    assert_eq!(
        created,
        "packagerevision.porch.kpt.dev/demo.hello.v1 created\n"
    );
    edit_files(&demo);
    let wait = [
        "wait",
        "packagerevision/demo.hello.v1",
        "--for=jsonpath={.spec.lifecycle}=Published",
        "--timeout=60s",
    ];
    let waiting = porch.kubectl_command(&wait).spawn().unwrap();
    turn(porch, "demo.hello.v1", "Proposed");
    approve(porch, "demo.hello.v1");
    let waited = waiting.wait_with_output().unwrap();
    assert!(waited.status.success(), "{waited:?}");
    assert!(
        demo.git(&["show", "hello/v1:hello/cm.yaml"])
            .contains("word: one # ours")
    );
    second_revision(&demo);
    let refused = porch.kubectl_fails(&["delete", "packagerevision", "demo.hello.v1"]);
    assert!(
        refused.contains("must be proposed for deletion"),
        "{refused}"
    );
    turn(porch, "demo.hello.v1", "DeletionProposed");
    porch.kubectl(&[
        "delete",
        "packagerevision",
        "demo.hello.v1",
        "--wait",
        "--timeout=30s",
    ]);
    assert!(!demo.refs().contains(&"refs/tags/hello/v1".to_owned()));
    let mut lines = Vec::new();
    eventually("the story", || {
        lines.extend(
            heard
                .try_iter()
                .filter(|line| line.starts_with("demo.hello.v1 ")),
        );
        lines
            .last()
            .is_some_and(|line: &String| line.contains("DeletionProposed"))
            .then_some(())
    });
    let mut story: Vec<&str> = lines
        .iter()
        .map(|line| line.split_whitespace().nth(5).unwrap())
        .collect();
    story.dedup();
    assert_eq!(
        story,
        ["Draft", "Proposed", "Published", "DeletionProposed"]
    );
    watching.kill().unwrap();
    watching.wait().unwrap();
}

/// As with an editor: get, change a line, replace.
fn edit_files(demo: &Demo) {
    let porch = &demo.porch;
    let words = [
        "get",
        "packagerevisionresources",
        "demo.hello.v1",
        "-o",
        "yaml",
    ];
    let files = porch.kubectl(&words);
    let map = "    cm.yaml: |\n      # The greeting.\n      apiVersion: v1\n      kind: ConfigMap\n      metadata:\n        name: cm\n      data:\n        word: one # ours\n";
    let edited = files.replace("  resources:\n", &format!("  resources:\n{map}"));
    assert_ne!(edited, files);
    pipe(porch, &["replace", "-f", "-"], &edited);
    let stored = demo.git(&["show", "drafts/hello/v1:hello/cm.yaml"]);
    assert!(stored.starts_with("# The greeting.\n"), "{stored}");
    let old = porch.piped(
        &["replace", "-f", "-"],
        &edited.replace("word: one", "word: two"),
    );
    let told = String::from_utf8(old.stderr).unwrap();
    assert!(
        !old.status.success() && told.contains("the object has been modified"),
        "{told}"
    );
    let mut command = porch.kubectl_command(&["edit", "packagerevisionresources", "demo.hello.v1"]);
    command.env("KUBE_EDITOR", "sed -i 's/# The greeting/# A greeting/'");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let stored = demo.git(&["show", "drafts/hello/v1:hello/cm.yaml"]);
    assert!(stored.starts_with("# A greeting.\n"), "{stored}");
}

fn second_revision(demo: &Demo) {
    let porch = &demo.porch;
    let next = example("edit")
        .replace("demo.basens.v3", "demo.hello.v2")
        .replace("basens\n", "hello\n")
        .replace("workspaceName: v3", "workspaceName: v2")
        .replace("demo.basens.labels", "demo.hello.v1");
    pipe(porch, &["apply", "-f", "-"], &next);
    // Who applies the same again changes nothing; who applies a label has it.
    let again = pipe(porch, &["apply", "-f", "-"], &next);
    assert!(
        again.contains("unchanged") || again.contains("configured"),
        "{again}"
    );
    let labelled = next.replace(
        "  namespace: default\n",
        "  namespace: default\n  labels:\n    mark: applied\n",
    );
    pipe(porch, &["apply", "-f", "-"], &labelled);
    let label = porch.kubectl(&[
        "get",
        "packagerevision",
        "demo.hello.v2",
        "-o",
        "jsonpath={.metadata.labels.mark}",
    ]);
    assert_eq!(label, "applied");
    turn(porch, "demo.hello.v2", "Proposed");
    turn(porch, "demo.hello.v2", "Draft");
    turn(porch, "demo.hello.v2", "Proposed");
    approve(porch, "demo.hello.v2");
    let number = porch.kubectl(&[
        "get",
        "packagerevision",
        "demo.hello.v2",
        "-o",
        "jsonpath={.spec.revision}",
    ]);
    assert_eq!(number, "2");
    let latest = porch.kubectl(&[
        "get",
        "packagerevisions",
        "-l",
        "kpt.dev/latest-revision=true",
        "-o",
        "name",
    ]);
    assert!(
        latest.contains("demo.hello.v2") && !latest.contains("demo.hello.v1"),
        "{latest}"
    );
}

#[test]
fn kubectl_has_every_form_that_writes() {
    let demo = demo();
    let kubectl = Kubectl::new(demo.porch.kubeconfig(), "default");
    forms::check(&kubectl, "demo");
}

#[test]
fn the_examples_of_config_work_as_they_are() {
    let demo = demo();
    let porch = &demo.porch;
    for name in ["init", "clone", "edit"] {
        pipe(
            porch,
            &["create", "--validate=strict", "-f", "-"],
            &example(name),
        );
    }
    // The public repository is not asked by a test: the demo's own stands for it, as the example says.
    let own = porch.kubectl(&[
        "get",
        "repository",
        "demo",
        "-o",
        "jsonpath={.spec.git.repo}",
    ]);
    let from_git = example("clone-git")
        .replace("https://github.com/kptdev/kpt.git", &own)
        .replace("ref: package-examples/nginx/v0.9", "ref: v1")
        .replace("directory: package-examples/nginx", "directory: basens");
    pipe(
        porch,
        &["create", "--validate=strict", "-f", "-"],
        &from_git,
    );
    for (name, package) in [
        ("demo.hello.v1", "hello"),
        ("demo.team-a.v1", "team-a"),
        ("demo.team-b.v1", "team-b"),
        ("demo.basens.v3", "basens"),
    ] {
        assert_eq!(lifecycle(porch, name), "Draft");
        let workspace = name.rsplit('.').next().unwrap();
        let kptfile = demo.git(&[
            "show",
            &format!("drafts/{package}/{workspace}:{package}/Kptfile"),
        ]);
        assert!(kptfile.contains(&format!("name: {package}")), "{kptfile}");
    }
    let dry = ["create", "--dry-run=server", "--validate=strict", "-f"];
    let path = config().join("packagerevision-init.yaml");
    let told = porch.kubectl_fails(&[&dry[..], &[path.to_str().unwrap()]].concat());
    assert!(
        told.contains("AlreadyExists") && told.contains("demo.hello.v1"),
        "{told}"
    );
    approve(porch, "demo.networking.gateway.listener");
    assert_eq!(
        lifecycle(porch, "demo.networking.gateway.listener"),
        "Published"
    );
    assert!(
        demo.refs()
            .contains(&"refs/tags/networking/gateway/v2".to_owned())
    );
    for name in ["demo.team-a.v1", "demo.basens.v3"] {
        turn(porch, name, "Proposed");
        approve(porch, name);
    }
    let strictly = ["create", "--validate=strict", "-f", "-"];
    pipe(porch, &strictly, &example("upgrade"));
    let kptfile = demo.git(&["show", "drafts/team-a/v2:team-a/Kptfile"]);
    assert!(
        kptfile.contains("name: team-a") && kptfile.contains("ref: basens/v3"),
        "{kptfile}"
    );
    let pipeline = config().join("pipeline.yaml");
    let rendered = porch.kubectl(&[
        "patch",
        "packagerevisionresources",
        "demo.hello.v1",
        "--type=merge",
        "--patch-file",
        pipeline.to_str().unwrap(),
        "-o",
        "jsonpath={.spec.resources.greeting\\.yaml}{.status.renderStatus.result.exitCode}",
    ]);
    assert!(
        rendered.contains("namespace: hello") && rendered.contains("# said to everybody"),
        "{rendered}"
    );
    assert!(rendered.ends_with('0'), "{rendered}");
    let mut strict = example("init").replace("v1\n", "v9\n");
    strict.push_str("  colour: red\n");
    let told = porch.piped(&["create", "--validate=strict", "-f", "-"], &strict);
    assert!(!told.status.success(), "{told:?}");
}

#[test]
fn a_repository_that_nobody_looked_at_has_a_status_that_says_so() {
    let demo = demo();
    let new = repository("new", "https://git.example.com/new.git", "");
    let words = ["create", "-f", "-", "-o", "json", "--show-managed-fields"];
    let made: Value = serde_json::from_str(&pipe(&demo.porch, &words, &new)).unwrap();
    // Whoever waits as kstatus does waits on.
    assert_eq!(made["status"], json!({ "observedGeneration": -1 }));
    let owners = made["metadata"]["managedFields"].to_string();
    assert!(
        owners.contains("f:repo") && !owners.contains("f:status"),
        "{owners}"
    );
}

#[test]
fn a_pipeline_does_what_readme_says() {
    let demo = demo();
    let fleet = demo.home.path().join("fleet.git");
    let words = ["init", "--quiet", "--bare", "--initial-branch=main"];
    git(
        demo.home.path(),
        &[&words[..], &[fleet.to_str().unwrap()]].concat(),
    );
    let address = format!("file://{}", fleet.display());
    let typed = Pipeline::new(demo.porch.kubeconfig(), "default", &address);
    pipeline::follow(&typed);
    pipeline::prune(&typed);
}

#[test]
fn what_a_kill_interrupts_is_never_seen_by_halves() {
    let home = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let porch = start(home.path(), &["--demo"]);
        porch.until_ready("demo");
        let writers: Vec<_> = (0..6)
            .map(|number| {
                let text = example("init").replace("hello", &format!("kill{round}x{number}"));
                let mut command = porch.kubectl_command(&["create", "-f", "-"]);
                let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
                child
                    .stdin
                    .take()
                    .unwrap()
                    .write_all(text.as_bytes())
                    .unwrap();
                child
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(150 + 200 * round));
        porch.kill();
        let created = writers
            .into_iter()
            .enumerate()
            .filter_map(|(number, child)| {
                let output = child.wait_with_output().unwrap();
                output.status.success().then_some(number)
            });
        let created: Vec<usize> = created.collect();
        agrees(home.path(), round, &created);
    }
}

/// Starts anew, looks once, and compares what is served with what git has.
fn agrees(home: &Path, round: u64, created: &[usize]) {
    let porch = start(home, &["--demo"]);
    porch.until_ready("demo");
    porch.look("demo");
    let refs = git(
        &home.join("demo.git"),
        &[
            "for-each-ref",
            "--format=%(refname:short)",
            "refs/heads/drafts/",
        ],
    );
    let names = porch.kubectl(&[
        "get",
        "packagerevisions",
        "-o",
        "name",
        "--field-selector=spec.lifecycle=Draft",
    ]);
    let names: Vec<&str> = names
        .lines()
        .map(|line| line.split_once('/').unwrap().1)
        .collect();
    let mut drafts: Vec<String> = refs
        .lines()
        .map(|line| {
            format!(
                "demo.{}",
                line.strip_prefix("drafts/").unwrap().replace('/', ".")
            )
        })
        .collect();
    drafts.sort();
    assert_eq!(names, drafts);
    for number in created {
        let name = format!("demo.kill{round}x{number}.v1");
        assert!(names.contains(&name.as_str()), "{name} was promised");
    }
    for number in 0..6 {
        let text = example("init").replace("hello", &format!("kill{round}x{number}"));
        let name = format!("demo.kill{round}x{number}.v1");
        let again = porch.piped(&["create", "-f", "-"], &text);
        let told = String::from_utf8_lossy(&again.stderr).into_owned();
        assert_eq!(
            again.status.success(),
            !names.contains(&name.as_str()),
            "{name}: {told}"
        );
        assert!(
            again.status.success() || told.contains("already exists"),
            "{told}"
        );
        let label = porch.kubectl(&[
            "get",
            "packagerevision",
            &name,
            "-o",
            "jsonpath={.metadata.labels.example\\.com/team}",
        ]);
        assert_eq!(label, "platform", "the user's half of {name}");
    }
    assert_eq!(porch.terminate(), Some(0));
}

#[test]
fn a_draft_is_written_and_published_over_ssh() {
    let (home, origin) = (tempfile::tempdir().unwrap(), small());
    let server = SshServer::start(key(3), &key(1));
    let porch = start(home.path(), &[]);
    let keys = [
        ("ssh-privatekey", private(&key(1))),
        ("known_hosts", server.known_hosts()),
    ];
    let keys = keys.each_ref().map(|(name, text)| (*name, text.as_str()));
    porch.applied(&secret("keys", "kubernetes.io/ssh-auth", &keys));
    let url = server.url(&origin.bare());
    porch.applied(&repository("r", &url, "    secretRef:\n      name: keys\n"));
    porch.until_ready("r");
    let draft = "apiVersion: porch.kpt.dev/v1alpha1\nkind: PackageRevision\nmetadata: {namespace: default}\n\
        spec: {repository: r, packageName: hello, workspaceName: w1, tasks: [{type: init, init: {}}]}\n";
    pipe(&porch, &["create", "-f", "-"], draft);
    let refs = || git(&origin.bare(), &["for-each-ref", "--format=%(refname)"]);
    assert!(refs().contains("refs/heads/drafts/hello/w1"), "{}", refs());
    turn(&porch, "r.hello.w1", "Proposed");
    approve(&porch, "r.hello.w1");
    assert!(refs().contains("refs/tags/hello/v1"), "{}", refs());
    assert!(!refs().contains("drafts/hello"), "{}", refs());
    let told =
        porch.log() + &porch.kubectl(&["get", "repositories,events,packagerevs", "-o", "yaml"]);
    let hidden = private(&key(1));
    assert!(
        hidden
            .lines()
            .skip(1)
            .take(3)
            .all(|line| !told.contains(line))
    );
}
