//! Repositories over SSH: a real server that runs real Git.

use std::time::Duration;

use porch::git::{
    Access, Address, Credentials, Error, HostKeys, Mirror, Refs, Secret, SshKeys, Timeouts,
    list_refs, list_some, push,
};
use russh::keys::PrivateKey;

use crate::{
    git_server::git,
    repository::Repository,
    scene::{MAIN, Scene, edit},
    ssh_server::{SshServer, key, private},
};

/// Two keys of users, and the host's.
const ANN: u8 = 1;
const BOB: u8 = 2;
const HOST: u8 = 3;
/// An RSA key; nothing opens to it but a server of a test.
const RSA: &str = include_str!("../support/rsa.pem");

fn server() -> SshServer {
    SshServer::start(key(HOST), &key(ANN))
}

fn access_with(url: &str, key: &str, known_hosts: &str) -> Access {
    let hosts = HostKeys::parse(known_hosts).unwrap();
    let keys = SshKeys::parse(Some(key), None, hosts).unwrap();
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(2),
        whole: Duration::from_secs(20),
    };
    let address = Address::parse(url, false).unwrap();
    Access::new(address, Credentials::Ssh(keys), None, timeouts)
}

fn access(server: &SshServer, repository: &Repository) -> Access {
    let url = server.url(&repository.bare());
    access_with(&url, &private(&key(ANN)), &server.known_hosts())
}

fn followed(repository: &Repository, access: &Access) -> Refs {
    let refs = list_refs(access).unwrap();
    assert_eq!(refs, list_refs(&repository.file()).unwrap());
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    mirror.fetch(access, &refs).unwrap();
    assert_eq!(mirror.refs().unwrap(), refs);
    git(
        &repository.mirror(),
        &["fsck", "--full", "--strict", "--connectivity-only"],
    );
    refs
}

#[test]
fn a_repository_is_followed_and_pushed_to_in_both_protocols() {
    for old_protocol in [false, true] {
        let (scene, server) = (Scene::new(), server());
        server.behave(|behaviour| behaviour.old_protocol = old_protocol);
        scene
            .repository
            .git(&["tag", "-a", "-m", "annotated", "a/v1"]);
        scene.repository.push();
        let access = access(&server, &scene.repository);
        followed(&scene.repository, &access);
        server.commands();
        // What did not move costs one exchange.
        let (before, refs) = (server.connections(), list_refs(&access).unwrap());
        assert_eq!(server.commands(), ["git-upload-pack"]);
        assert_eq!(server.connections(), before + 1);
        let mirror = Mirror::open(&scene.repository.mirror()).unwrap();
        mirror.fetch(&access, &refs).unwrap();
        assert_eq!(server.commands(), [] as [String; 0]);

        let (head, tag) = (scene.id(MAIN).unwrap(), "refs/tags/b/v1");
        let (commit, pack) = scene.commit("b", "x");
        let edits = [edit(MAIN, &head, &commit), edit(tag, "", &commit)];
        let pushed = push(&access, std::slice::from_ref(&pack), &edits).unwrap();
        assert_eq!((pushed.refused, pushed.atomic), (vec![], true));
        assert_eq!(server.commands(), ["git-receive-pack"]);
        assert_eq!(scene.id(MAIN).as_ref(), Some(&commit));
        assert_eq!(scene.id(tag), Some(commit));
        // A lease that does not hold is refused, and its neighbour with it.
        let (other, pack) = scene.commit("c", "x");
        let edits = [
            edit(MAIN, &head, &other),
            edit("refs/tags/c/v1", "", &other),
        ];
        let pushed = push(&access, std::slice::from_ref(&pack), &edits).unwrap();
        assert_eq!(pushed.refused.len(), 2, "{pushed:?}");
        assert_eq!(scene.id("refs/tags/c/v1"), None);
        followed(&scene.repository, &access);
        let some = list_some(&access, &[tag]).unwrap();
        assert_eq!(some.len(), 1);
    }
}

#[test]
fn much_is_read_and_written() {
    let (scene, server) = (Scene::new(), server());
    for number in 0..10u32 {
        // Noise that does not compress.
        let noise: Vec<String> = (0..4000u32)
            .map(|at| format!("{:x}", (at ^ number << 16).wrapping_mul(2_654_435_761)))
            .collect();
        scene
            .repository
            .write(&format!("a/{number}"), &noise.join(" "));
    }
    scene.repository.commit("much");
    scene.repository.push();
    let access = access(&server, &scene.repository);
    followed(&scene.repository, &access);
    let noise: Vec<String> = (0..200_000u32)
        .map(|at| format!("{:x}", at.wrapping_mul(2_654_435_761)))
        .collect();
    let (commit, pack) = scene.commit("b", &noise.join(" "));
    assert!(pack.bytes().len() > 600_000);
    let edits = [edit(MAIN, &scene.id(MAIN).unwrap(), &commit)];
    let pushed = push(&access, std::slice::from_ref(&pack), &edits).unwrap();
    assert_eq!(pushed.refused, []);
    followed(&scene.repository, &access);
}

#[test]
fn an_empty_repository_gets_its_first_branch() {
    for old_protocol in [false, true] {
        let (scene, server, repository) = (Scene::new(), server(), Repository::new());
        server.behave(|behaviour| behaviour.old_protocol = old_protocol);
        let access = access(&server, &repository);
        assert!(list_refs(&access).unwrap().is_empty());
        let (commit, pack) = scene.commit("b", "x");
        // The commit stands on others, which are not there.
        let edits = [edit(MAIN, "", &commit)];
        let pushed = push(&access, std::slice::from_ref(&pack), &edits).unwrap();
        assert_eq!(pushed.refused.len(), 1, "{pushed:?}");
        assert!(list_refs(&access).unwrap().is_empty());
    }
}

#[test]
fn paths_reach_the_server_as_they_were_written() {
    let (scene, server) = (Scene::new(), server());
    let odd = scene.repository.root().join("it's $(odd)!;`x`.git");
    std::os::unix::fs::symlink(scene.repository.bare(), &odd).unwrap();
    let url = server.url(&odd).replace('`', "%60").replace(' ', "%20");
    // A space in a path is none of a repository's.
    assert!(Address::parse(&url, false).is_err());
    let odd = scene.repository.root().join("it's$(odd)!;`x`.git");
    std::os::unix::fs::symlink(scene.repository.bare(), &odd).unwrap();
    let access = access_with(
        &server.url(&odd),
        &private(&key(ANN)),
        &server.known_hosts(),
    );
    assert!(!list_refs(&access).unwrap().is_empty());
}

/// Returns the error of listing and that of pushing, which must not have been done.
fn errors(scene: &Scene, access: &Access) -> (Error, Error) {
    let listed = list_refs(access).unwrap_err();
    let (commit, pack) = scene.commit("b", "x");
    let edits = [edit(MAIN, &scene.id(MAIN).unwrap(), &commit)];
    let pushed = push(access, std::slice::from_ref(&pack), &edits).unwrap_err();
    assert_ne!(scene.id(MAIN), Some(commit));
    (listed, pushed)
}

#[test]
fn a_server_that_is_not_known_hears_nothing() {
    let (scene, server) = (Scene::new(), server());
    let url = server.url(&scene.repository.bare());
    let ann = private(&key(ANN));
    let port = url.split([':', '/']).nth(4).unwrap().to_string();
    let line = |host: &str, number: u8| {
        format!(
            "{host} {}\n",
            key(number).public_key().to_openssh().unwrap()
        )
    };
    let here = format!("[localhost]:{port}");
    for (known_hosts, want) in [
        (String::new(), "no key of this server is known"),
        (line("localhost", HOST), "no key of this server is known"),
        (
            line("[localhost]:1", HOST),
            "no key of this server is known",
        ),
        (line(&here, BOB), "known_hosts has another"),
        (line(&here, HOST) + &line("@revoked *", HOST), "revoked"),
        (
            format!("{here} {}", rsa().public_key().to_openssh().unwrap()),
            "no key of the kinds",
        ),
    ] {
        let access = access_with(&url, &ann, &known_hosts);
        let (listed, pushed) = errors(&scene, &access);
        for error in [listed, pushed] {
            assert!(matches!(error, Error::HostKey(_)), "{error:?}");
            assert!(error.to_string().contains(want), "{want}: {error}");
        }
    }
    let told = list_refs(&access_with(&url, &ann, ""))
        .unwrap_err()
        .to_string();
    assert!(
        told.contains(&format!("ssh-keyscan -p {port} localhost")),
        "{told}"
    );
    assert_eq!(server.commands(), [] as [String; 0]);
    // A server that is known by another key is not, though nothing else changed.
    let access = access_with(&url, &ann, &server.known_hosts());
    assert!(list_refs(&access).is_ok());
    let server = server.replaced(key(BOB), &key(ANN));
    let told = list_refs(&access).unwrap_err();
    assert!(matches!(told, Error::HostKey(_)), "{told:?}");
    assert_eq!(server.commands(), [] as [String; 0]);
}

fn rsa() -> PrivateKey {
    russh::keys::decode_secret_key(RSA, None).unwrap()
}

#[test]
fn keys_open_or_do_not() {
    let (scene, server) = (Scene::new(), server());
    let (url, known_hosts) = (server.url(&scene.repository.bare()), server.known_hosts());
    let bob = access_with(&url, &private(&key(BOB)), &known_hosts);
    let (listed, pushed) = errors(&scene, &bob);
    for error in [listed, pushed] {
        assert!(matches!(error, Error::Unauthorized(_)), "{error:?}");
        assert!(
            error.to_string().contains("does not take this key"),
            "{error}"
        );
    }
    server.behave(|behaviour| behaviour.keys = vec![rsa().public_key().to_openssh().unwrap()]);
    assert!(list_refs(&access_with(&url, RSA, &known_hosts)).is_ok());
    // What opens the one way opens not the other.
    let address = Address::parse(&url, false).unwrap();
    let password = || Secret::new("hunter2");
    let basic = Credentials::Basic {
        username: "u".into(),
        password: password(),
    };
    for credentials in [
        Credentials::Anonymous,
        basic,
        Credentials::Bearer(password()),
    ] {
        let access = Access::new(address.clone(), credentials, None, Timeouts::default());
        let told = list_refs(&access).unwrap_err();
        assert!(matches!(told, Error::Unauthorized(_)), "{told:?}");
        assert!(told.to_string().contains("known_hosts"), "{told}");
    }
    let web = access_with(&scene.server.url("bare.git"), RSA, &known_hosts);
    let told = list_refs(&web).unwrap_err();
    assert!(matches!(told, Error::Unauthorized(_)), "{told:?}");
    let proxied = access_with(&url, RSA, &known_hosts);
    let proxied = proxied.through(Some(
        porch::git::Proxy::parse("http://u:hunter2@host").unwrap(),
    ));
    let told = list_refs(&proxied).unwrap_err().to_string();
    assert!(
        told.contains("proxy") && !told.contains("hunter2"),
        "{told}"
    );
}

#[test]
fn what_servers_say_is_told_by_what_can_be_done() {
    let (scene, server) = (Scene::new(), server());
    let nowhere = server.url(&scene.repository.root().join("nowhere.git"));
    let missing = access_with(&nowhere, &private(&key(ANN)), &server.known_hosts());
    let told = list_refs(&missing).unwrap_err();
    assert!(matches!(told, Error::NotFound(_)), "{told:?}");
    let access = access(&server, &scene.repository);
    for (words, kind) in [
        ("ERROR: Repository not found.\n", "NotFound"),
        (
            "remote: The project you were looking for could not be found or you don't have permission",
            "NotFound",
        ),
        ("ERROR: Permission to a/b.git denied to c.\n", "Forbidden"),
        (
            "ERROR: The key you are authenticating with has been marked as read only.\n",
            "Forbidden",
        ),
        ("something else went wrong\x1b[31m", "Protocol"),
    ] {
        server.behave(|behaviour| behaviour.says = Some((words.into(), 1)));
        let (listed, pushed) = errors(&scene, &access);
        for error in [listed, pushed] {
            assert!(format!("{error:?}").starts_with(kind), "{words}: {error:?}");
            let shown = words.trim_end().replace('\x1b', "");
            assert!(error.to_string().contains(&shown), "{error}");
        }
    }
    server.behave(|behaviour| {
        behaviour.says = None;
        behaviour.refuses = true;
    });
    let (listed, pushed) = errors(&scene, &access);
    assert!(matches!(listed, Error::Forbidden(_)), "{listed:?}");
    assert!(matches!(pushed, Error::Forbidden(_)), "{pushed:?}");
}

#[test]
fn a_line_that_is_cut_or_silent_is_told_and_a_push_is_uncertain_only_once_it_was_sent() {
    let (scene, server) = (Scene::new(), server());
    let access = access(&server, &scene.repository);
    server.behave(|behaviour| behaviour.hangs = true);
    let (listed, pushed) = errors(&scene, &access);
    assert!(matches!(listed, Error::TimedOut(_)), "{listed:?}");
    assert!(matches!(pushed, Error::TimedOut(_)), "{pushed:?}");
    server.behave(|behaviour| {
        behaviour.hangs = false;
        behaviour.cut_after = Some(40);
    });
    let (listed, pushed) = errors(&scene, &access);
    assert!(matches!(listed, Error::Unreachable(_)), "{listed:?}");
    assert!(matches!(pushed, Error::Unreachable(_)), "{pushed:?}");
    // Long enough for what the server can do, and not for what became of the push.
    let greeting = git(
        &scene.repository.bare(),
        &["receive-pack", "--http-backend-info-refs", "."],
    );
    server.behave(|behaviour| behaviour.cut_after = Some(greeting.len() + 8));
    let (commit, pack) = scene.commit("b", "x");
    let edits = [edit(MAIN, &scene.id(MAIN).unwrap(), &commit)];
    let pushed = push(&access, std::slice::from_ref(&pack), &edits).unwrap_err();
    assert!(matches!(pushed, Error::Uncertain(_)), "{pushed:?}");
    assert_eq!(scene.id(MAIN), Some(commit), "it was done, in fact");
    server.behave(|behaviour| behaviour.cut_after = None);
    let refs = list_refs(&access).unwrap();
    server.behave(|behaviour| behaviour.cut_after = Some(400));
    let mirror = Mirror::open(&scene.repository.mirror()).unwrap();
    let before = mirror.refs().unwrap();
    assert!(mirror.fetch(&access, &refs).is_err());
    assert_ne!(before, refs);
    assert_eq!(mirror.refs().unwrap(), before);
    server.behave(|behaviour| behaviour.cut_after = None);
    followed(&scene.repository, &access);
}

#[test]
fn whoever_hangs_up_waits_for_nobody() {
    let (scene, server) = (Scene::new(), server());
    server.behave(|behaviour| behaviour.hangs = true);
    let url = server.url(&scene.repository.bare());
    let hosts = HostKeys::parse(&server.known_hosts()).unwrap();
    let keys = SshKeys::parse(Some(&private(&key(ANN))), None, hosts).unwrap();
    let address = Address::parse(&url, false).unwrap();
    let access = Access::new(address, Credentials::Ssh(keys), None, Timeouts::default());
    let waiting = std::thread::spawn({
        let access = access.clone();
        move || list_refs(&access)
    });
    while server.commands().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    access.hang_up();
    let told = waiting.join().unwrap().unwrap_err();
    assert!(told.to_string().ends_with("given up"), "{told}");
    assert!(list_refs(&access).is_err(), "nothing begins any more");
}
