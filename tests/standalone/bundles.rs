//! Repositories of the world over smart HTTP, opened in every way: what is served is what git's command line says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    count::Count,
    git_server::{GitServer, git, git_command},
    odd::odd,
    process::{API, Porch, repository, secret, start},
    repository::bundles,
};

/// Puts real repositories below `root` where there are any, else one that holds everything odd; returns their names.
fn repositories(root: &Path) -> Vec<String> {
    let odd = odd();
    let mut sources = bundles();
    // The first one is read most often.
    sources.sort_by_key(|bundle| bundle.metadata().unwrap().len());
    if sources.is_empty() {
        sources.push(odd.bare());
    }
    let mut names = Vec::new();
    for (number, source) in sources.into_iter().enumerate() {
        let (source, name) = (source.canonicalize().unwrap(), format!("r{number}"));
        let source = source.to_str().unwrap();
        git(
            root,
            &["clone", "-q", "--mirror", source, &format!("{name}.git")],
        );
        names.push(name);
    }
    names
}

/// A server, what its repositories say in `spec.git`, and the Secret for it.
type Way = (GitServer, String, String);

/// Serves one directory in every way in which a repository can be opened.
fn ways(root: &Path) -> Vec<Way> {
    let way = |server: GitServer, name: &str, authorization: &str, secret: String| {
        server.behave(|behaviour| behaviour.authorization = Some(authorization.into()));
        let reference = format!("    secretRef:\n      name: {name}\n");
        (server, reference, secret)
    };
    let old = GitServer::http(root);
    old.behave(|behaviour| behaviour.old_protocol = true);
    let tls = GitServer::https(root);
    let ca = String::from_utf8(tls.ca().unwrap()).unwrap();
    let basic = |name: &str, ca: &[(&str, &str)]| {
        let keys = [&[("username", "me"), ("password", "sesame")], ca].concat();
        secret(name, "kubernetes.io/basic-auth", &keys)
    };
    let bearer = secret("bearer", "Opaque", &[("bearerToken", "t0ken")]);
    let tls_secret = basic("tls", &[("ca.crt", &ca)]);
    let me = "Basic bWU6c2VzYW1l";
    vec![
        (GitServer::http(root), String::new(), String::new()),
        (old, String::new(), String::new()),
        way(GitServer::http(root), "basic", me, basic("basic", &[])),
        way(GitServer::http(root), "bearer", "Bearer t0ken", bearer),
        way(tls, "tls", me, tls_secret),
    ]
}

/// Registers the first repository in every way, and each of the others in another one. Returns the names with those of
/// their repositories.
fn register(porch: &Porch, names: &[String], ways: &[Way]) -> BTreeMap<String, String> {
    let mut manifest: String = ways.iter().map(|(_, _, secret)| secret.as_str()).collect();
    let mut registered = BTreeMap::new();
    let first = (0..ways.len()).map(|way| (0, way));
    let others = (1..names.len()).map(|number| (number, (number + 1) % ways.len()));
    for (number, way) in first.chain(others) {
        let (server, reference, _) = &ways[way];
        let (source, name) = (&names[number], format!("{}-{way}", names[number]));
        let url = server.url(&format!("{source}.git"));
        manifest.push_str(&repository(&name, &url, reference));
        registered.insert(name, source.clone());
    }
    porch.applied(&manifest);
    for name in registered.keys() {
        porch.until_ready(name);
    }
    registered
}

/// Returns what git says of a repository as our API would say it: package, workspace, revision, ref, commit, lifecycle.
/// Names that Kubernetes cannot have are left out.
fn expected(bare: &Path) -> BTreeSet<String> {
    let nameable = |text: &str| {
        text.split(['/', '.']).all(|part| {
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !part.is_empty()
                && part.chars().all(good)
                && !part.starts_with('-')
                && !part.ends_with('-')
        })
    };
    let lines = Count::of(bare, "main", "").expected();
    let mut revisions = BTreeMap::new();
    for words in lines.iter().map(|line| line.split(' ').collect::<Vec<_>>()) {
        let (directory, workspace, revision) = (words[1], words[2], words[3]);
        let (short, commit, state) = (short(words[0]), words[4], words[7]);
        if nameable(directory) && nameable(workspace) {
            let told = format!("{directory} {workspace} {revision} {short} {commit} {state}");
            // A name that a proposal and a publication have is the publication's.
            let place = (directory.to_owned(), workspace.to_owned());
            revisions
                .entry(place)
                .or_insert_with(Vec::new)
                .push((state == "Proposed", told));
        }
    }
    let chosen = revisions
        .into_values()
        .map(|rivals| rivals.into_iter().min().unwrap());
    chosen.map(|(_, told)| told).collect()
}

fn short(reference: &str) -> &str {
    let tag = reference.strip_prefix("refs/tags/");
    tag.or(reference.strip_prefix("refs/heads/")).unwrap()
}

fn shown(revision: &Value) -> String {
    let (spec, git) = (&revision["spec"], &revision["status"]["selfLock"]["git"]);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    format!(
        "{} {} {} {} {} {}",
        text(&spec["packageName"]),
        text(&spec["workspaceName"]),
        spec["revision"].as_i64().unwrap_or_default(),
        text(&git["ref"]),
        text(&git["commit"]),
        text(&spec["lifecycle"])
    )
}

fn items(list: &Value) -> &Vec<Value> {
    list["items"].as_array().unwrap()
}

#[test]
fn repositories_of_the_world_are_served_as_git_has_them_however_they_are_opened() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("git");
    std::fs::create_dir(&root).unwrap();
    let (names, ways) = (repositories(&root), ways(&root));
    let porch = start(&home.path().join("data"), &[]);
    let registered = register(&porch, &names, &ways);
    let everything = porch.raw(&format!("{API}/packagerevisions"));
    let packages = porch.raw(&format!("{API}/packages"));
    let repositories = porch.raw("/apis/config.porch.kpt.dev/v1alpha1/repositories");
    let counts: BTreeMap<_, _> = names
        .iter()
        .map(|name| (name.clone(), expected(&root.join(format!("{name}.git")))))
        .collect();
    for (name, source) in &registered {
        let expected = &counts[source];
        let of = |list: &Value| -> Vec<Value> {
            let all = items(list).iter();
            let own = all.filter(|item| item["spec"]["repository"] == name.as_str());
            own.cloned().collect()
        };
        let revisions = of(&everything);
        let served: BTreeSet<_> = revisions.iter().map(shown).collect();
        assert_eq!(&served, expected, "{name}");
        assert_eq!(
            served.len(),
            revisions.len(),
            "{name}: nothing is served twice"
        );
        check_packages(&revisions, &of(&packages));
        let known = items(&repositories).iter();
        let status = &known
            .clone()
            .find(|it| it["metadata"]["name"] == name.as_str())
            .unwrap()["status"];
        assert_eq!(status["packageCount"], served.len(), "{status}");
    }
    check_files(&porch, &root, &registered);
    let metrics = porch.kubectl(&["get", "--raw", "/metrics"]);
    for (name, source) in &registered {
        let count = counts[source].len();
        for line in [
            format!(
                "porch_repository_package_revisions{{namespace=\"default\",repository=\"{name}\"}} {count}"
            ),
            format!(
                "porch_repository_sync_failures_total{{namespace=\"default\",repository=\"{name}\"}} 0"
            ),
        ] {
            assert!(metrics.contains(&line), "{line}\n{metrics}");
        }
    }
    let told = porch.log() + &porch.kubectl(&["get", "repositories,events", "-o", "yaml"]);
    assert!(
        !told.contains("sesame") && !told.contains("t0ken"),
        "{told}"
    );
}

/// Checks that packages are what their revisions make them, and that the latest of each is marked, and none else.
fn check_packages(revisions: &[Value], packages: &[Value]) {
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for revision in revisions {
        let number = revision["spec"]["revision"].as_i64().unwrap_or_default();
        let newest = newest
            .entry(revision["spec"]["packageName"].as_str().unwrap())
            .or_default();
        *newest = (*newest).max(number);
    }
    let packages = packages.iter().map(|package| {
        let latest = package["status"]["latestRevision"]
            .as_i64()
            .unwrap_or_default();
        (package["spec"]["packageName"].as_str().unwrap(), latest)
    });
    assert_eq!(packages.collect::<BTreeMap<_, _>>(), newest);
    for revision in revisions {
        let spec = &revision["spec"];
        let newest = newest[spec["packageName"].as_str().unwrap()];
        let is_newest = newest > 0 && spec["revision"] == newest;
        let label = &revision["metadata"]["labels"]["kpt.dev/latest-revision"];
        assert_eq!(*label == "true", is_newest, "{revision}");
    }
}

/// Checks every file of every revision, byte for byte by its blob's id.
fn check_files(porch: &Porch, root: &Path, registered: &BTreeMap<String, String>) {
    let list = porch.raw(&format!("{API}/packagerevisionresources"));
    let revisions = porch.raw(&format!("{API}/packagerevisions"));
    assert_eq!(items(&list).len(), items(&revisions).len());
    let mut trees = BTreeMap::new();
    for (item, revision) in items(&list).iter().zip(items(&revisions)) {
        for path in ["name", "resourceVersion", "uid"] {
            assert_eq!(item["metadata"][path], revision["metadata"][path]);
        }
        let bare = root.join(format!(
            "{}.git",
            registered[item["spec"]["repository"].as_str().unwrap()]
        ));
        let lock = &revision["status"]["selfLock"]["git"];
        let (commit, directory) = (
            lock["commit"].as_str().unwrap(),
            lock["directory"].as_str().unwrap(),
        );
        let place = format!("{commit}:{directory}");
        let blobs = trees
            .entry((bare.clone(), place.clone()))
            .or_insert_with(|| listing(&bare, &place));
        assert_eq!(
            &served_blobs(item, &bare, &place),
            blobs,
            "{}",
            item["metadata"]["name"]
        );
    }
}

/// Returns the blobs of a tree by their paths, as git lists them.
fn listing(bare: &PathBuf, place: &str) -> BTreeMap<String, String> {
    let listed = git(bare, &["ls-tree", "-r", "-z", "--full-tree", place]);
    let lines = listed.split('\0').filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_once('\t').unwrap())
        .filter(|(facts, _)| facts.contains(" blob "))
        .map(|(facts, path)| {
            (
                path.to_owned(),
                facts.rsplit(' ').next().unwrap().to_owned(),
            )
        })
        .collect()
}

/// Returns the ids that the served files have as blobs; of those that are named as binary, what git says, once it is sure
/// that they are.
fn served_blobs(item: &Value, bare: &Path, place: &str) -> BTreeMap<String, String> {
    let hash = |content: &[u8]| git2::Oid::hash_object(git2::ObjectType::Blob, content).unwrap();
    let files = item["spec"]["resources"].as_object().unwrap().iter();
    let texts = files.map(|(path, text)| {
        (
            path.clone(),
            hash(text.as_str().unwrap().as_bytes()).to_string(),
        )
    });
    let binary = item["metadata"]["annotations"]["porch.kpt.dev/binary-files"].as_str();
    let binary = binary
        .into_iter()
        .flat_map(|names| names.split(','))
        .map(|path| {
            let shown = git_command(bare)
                .args(["show", &format!("{place}/{path}")])
                .output()
                .unwrap();
            assert!(
                std::str::from_utf8(&shown.stdout).is_err(),
                "{path} is text"
            );
            (path.to_owned(), hash(&shown.stdout).to_string())
        });
    texts.chain(binary).collect()
}
