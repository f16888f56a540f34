//! Refs and objects over the wire.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use porch::git::{
    Access, Address, Credentials, Error, Mirror, Refs, Scope, Secret, Timeouts, list_refs,
};

use crate::{
    git_server::{GitServer, git},
    repository::{KPTFILE, Repository, sync},
};

/// Returns what git's command line says of a repository's branches and tags: name to id and commit.
fn expected(repository: &Repository) -> BTreeMap<String, (String, String)> {
    let format = "--format=%(refname) %(objectname) %(*objectname)";
    let text = git(
        &repository.bare(),
        &["for-each-ref", format, "refs/heads", "refs/tags"],
    );
    text.lines()
        .map(|line| {
            let parts: Vec<_> = line.trim_end().split(' ').collect();
            let commit = parts.get(2).unwrap_or(&parts[1]);
            (
                parts[0].to_string(),
                (parts[1].to_string(), (*commit).to_string()),
            )
        })
        .collect()
}

fn plain(refs: &Refs) -> BTreeMap<String, (String, String)> {
    let pair = |(name, target): (&str, &porch::git::RefTarget)| {
        (name.to_string(), (target.id.clone(), target.commit.clone()))
    };
    refs.iter().map(pair).collect()
}

/// A repository with branches, a plain tag, an annotated tag and a package.
fn small() -> Repository {
    let repository = Repository::new();
    repository.write("a/Kptfile", KPTFILE);
    repository.commit("one");
    repository.git(&["tag", "a/v1"]);
    repository.git(&["tag", "-a", "-m", "annotated", "a/v2"]);
    repository.git(&["branch", "drafts/a/w1"]);
    repository.push();
    repository
}

fn access(url: &str) -> Access {
    Access::anonymous(Address::parse(url, false).unwrap())
}

fn with(url: &str, credentials: Credentials, ca: Option<Vec<u8>>) -> Access {
    let address = Address::parse(url, false).unwrap();
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        whole: Duration::from_secs(20),
    };
    Access::new(address, credentials, ca, timeouts)
}

#[test]
fn a_thousand_repositories_do_not_hold_a_thousand_connections() {
    let repository = small();
    let server = GitServer::http(repository.root());
    let all: Vec<Access> = (0..150).map(|_| access(&server.url("bare.git"))).collect();
    for access in &all {
        list_refs(access).unwrap();
    }
    let (opened, soon) = (
        server.connections(),
        Instant::now() + Duration::from_secs(10),
    );
    while server.open_connections() > 100 {
        let open = server.open_connections();
        assert!(Instant::now() < soon, "{open} of {opened} are open");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Those asked last keep theirs.
    list_refs(all.last().unwrap()).unwrap();
    assert_eq!(server.connections(), opened);
}

#[test]
fn refs_are_those_of_git_in_one_exchange_and_old_servers_are_understood() {
    let repository = small();
    let server = GitServer::http(repository.root());
    let access = access(&server.url("bare.git"));
    let refs = list_refs(&access).unwrap();
    assert_eq!(plain(&refs), expected(&repository));
    assert_eq!(server.requests(), ["POST /bare.git/git-upload-pack"]);
    server.behave(|behaviour| behaviour.old_protocol = true);
    let fresh = Access::anonymous(access.address.clone());
    assert_eq!(list_refs(&fresh).unwrap(), refs);
    assert_eq!(list_refs(&fresh).unwrap(), refs);
    let asked = server.requests();
    assert_eq!(
        asked.last().unwrap(),
        "GET /bare.git/info/refs?service=git-upload-pack"
    );
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(
        plain(&list_refs(&repository.file()).unwrap()),
        expected(&repository)
    );
}

#[test]
fn an_empty_repository_has_no_refs() {
    let repository = Repository::new();
    let server = GitServer::http(repository.root());
    for old_protocol in [false, true] {
        server.behave(|behaviour| behaviour.old_protocol = old_protocol);
        let access = access(&server.url("bare.git"));
        let refs = list_refs(&access).unwrap();
        assert!(refs.is_empty());
        Mirror::open(&repository.mirror())
            .unwrap()
            .fetch(&access, &refs)
            .unwrap();
        let missing = refs.head(&Scope::new("main", "")).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "branch \"main\" not found in repository"
        );
    }
}

#[test]
fn a_mirror_follows_every_move_of_the_repository() {
    for kind in ["http", "old", "file"] {
        let repository = small();
        let server = GitServer::http(repository.root());
        server.behave(|behaviour| behaviour.old_protocol = kind == "old");
        let access = if kind == "file" {
            repository.file()
        } else {
            access(&server.url("bare.git"))
        };
        let follow = || {
            let refs = list_refs(&access).unwrap();
            assert_eq!(plain(&refs), expected(&repository), "{kind}");
            let mirror = Mirror::open(&repository.mirror()).unwrap();
            mirror.fetch(&access, &refs).unwrap();
            assert_eq!(mirror.refs().unwrap(), refs, "{kind}");
            let listed = git(
                &repository.mirror(),
                &["for-each-ref", "--format=%(refname) %(objectname)"],
            );
            let want: Vec<_> = refs
                .iter()
                .map(|(name, target)| format!("{name} {}", target.id))
                .collect();
            assert_eq!(listed.lines().collect::<Vec<_>>(), want, "{kind}");
            git(
                &repository.mirror(),
                &["fsck", "--full", "--strict", "--connectivity-only"],
            );
        };
        follow();
        repository.write("a/x", "1");
        repository.commit("two");
        repository.git(&["tag", "-f", "a/v1"]);
        repository.push();
        follow();
        repository.git(&["branch", "-D", "drafts/a/w1"]);
        repository.git(&["branch", "drafts/a/w1/deeper"]);
        repository.push();
        follow();
        repository.git(&["checkout", "-q", "--orphan", "else"]);
        repository.write("b/Kptfile", KPTFILE);
        repository.commit("another history");
        repository.git(&["branch", "-M", "main"]);
        repository.push();
        follow();
        repository.git(&["tag", "-d", "a/v1", "a/v2"]);
        repository.push();
        follow();
    }
}

#[test]
fn what_did_not_move_is_not_fetched_and_what_moved_a_little_costs_little() {
    let repository = small();
    for number in 0..50 {
        repository.write(&format!("big/{number}"), &"x".repeat(number * 1000));
        repository.commit("more");
    }
    repository.push();
    let server = GitServer::http(repository.root());
    let access = access(&server.url("bare.git"));
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    mirror.fetch(&access, &list_refs(&access).unwrap()).unwrap();
    server.requests();
    mirror.fetch(&access, &list_refs(&access).unwrap()).unwrap();
    assert_eq!(
        server.requests().len(),
        1,
        "only the list of refs was asked for"
    );
    repository.write("a/x", "1");
    repository.commit("one more");
    repository.push();
    mirror.fetch(&access, &list_refs(&access).unwrap()).unwrap();
    let packs = std::fs::read_dir(repository.mirror().join("objects/pack")).unwrap();
    let sizes = packs
        .filter_map(Result::ok)
        .filter(|file| file.path().extension().is_some_and(|end| end == "pack"));
    let smallest = sizes
        .map(|file| file.metadata().unwrap().len())
        .min()
        .unwrap();
    assert!(smallest < 3000, "the second pack has {smallest} bytes");
}

#[test]
fn credentials_open_and_their_lack_is_told_without_showing_them() {
    let repository = small();
    let server = GitServer::https(repository.root());
    let ca = server.ca();
    let url = server.url("bare.git");
    let basic = |password: &str| Credentials::Basic {
        username: "user".into(),
        password: Secret::new(password),
    };
    server.behave(|behaviour| behaviour.authorization = Some("Basic dXNlcjpzM2NyM3Q=".into()));
    let good = with(&url, basic("s3cr3t"), ca.clone());
    let (_, refs, scan) = sync(&good, &repository.mirror(), &Scope::new("main", ""));
    assert_eq!(plain(&refs), expected(&repository));
    assert_eq!(scan.found.len(), 4);
    assert!(
        server
            .requests()
            .iter()
            .all(|line| line.starts_with("POST")),
        "sent at once, without a challenge"
    );
    for bad in [
        basic("wr0ng"),
        Credentials::Anonymous,
        Credentials::Bearer(Secret::new("t0k3n")),
    ] {
        let access = with(&url, bad, ca.clone());
        let error = list_refs(&access).unwrap_err();
        assert!(matches!(error, Error::Unauthorized(_)), "{error:?}");
        let shown = format!("{error} {error:?} {access:?}");
        assert!(shown.contains("authentication required"), "{shown}");
        assert!(
            !shown.contains("wr0ng") && !shown.contains("t0k3n") && !shown.contains("Basic d"),
            "{shown}"
        );
    }
    server.behave(|behaviour| behaviour.authorization = Some("Bearer t0k3n".into()));
    let bearer = with(&url, Credentials::Bearer(Secret::new("t0k3n")), ca.clone());
    assert_eq!(list_refs(&bearer).unwrap(), refs);
    let broken = with(&url, Credentials::Bearer(Secret::new("t0k3n\n")), ca);
    let error = list_refs(&broken).unwrap_err();
    assert!(
        matches!(&error, Error::Refused(text) if !text.contains("t0k3n")),
        "{error:?}"
    );
}

#[test]
fn two_accesses_to_one_host_keep_their_own_certificates_and_credentials() {
    let repository = small();
    let server = GitServer::https(repository.root());
    let url = server.url("bare.git");
    assert!(list_refs(&with(&url, Credentials::Anonymous, server.ca())).is_ok());
    let stranger = list_refs(&with(&url, Credentials::Anonymous, None)).unwrap_err();
    assert!(matches!(stranger, Error::Certificate(_)), "{stranger:?}");
    let other = GitServer::https(repository.root());
    let wrong = list_refs(&with(&url, Credentials::Anonymous, other.ca())).unwrap_err();
    assert!(matches!(wrong, Error::Certificate(_)), "{wrong:?}");
    let none = list_refs(&with(
        &url,
        Credentials::Anonymous,
        Some(b"no PEM".to_vec()),
    ))
    .unwrap_err();
    assert!(matches!(none, Error::Certificate(_)), "{none:?}");
}

#[test]
fn every_refusal_of_a_server_has_its_own_error() {
    let repository = small();
    let server = GitServer::http(repository.root());
    let url = server.url("bare.git");
    for (status, word) in [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (429, "Throttled"),
        (500, "Unreachable"),
        (503, "Unreachable"),
        (418, "Protocol"),
        (302, "Refused"),
    ] {
        server.behave(|behaviour| behaviour.status = Some(status));
        let error = list_refs(&access(&url)).unwrap_err();
        assert!(
            format!("{error:?}").starts_with(word),
            "{status}: {error:?}"
        );
    }
    server.behave(|behaviour| behaviour.status = None);
    let error = list_refs(&access(&server.url("absent.git"))).unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error:?}");
    assert!(error.to_string().starts_with("repository not found"));
    let garbage: [&[u8]; 6] = [
        b"<html>hello</html>",
        b"",
        b"0000",
        b"ffff",
        b"0008ERR ",
        b"001e# service=git-upload-pack\n",
    ];
    for bytes in garbage {
        server.behave(|behaviour| behaviour.garbage = Some(bytes.to_vec()));
        let listed = list_refs(&access(&url));
        if bytes == b"0000" {
            assert!(listed.unwrap().is_empty());
        } else {
            assert!(
                matches!(listed, Err(Error::Protocol(_))),
                "{bytes:?}: {listed:?}"
            );
        }
    }
}

#[test]
fn servers_that_are_absent_or_slow_are_told_apart() {
    let repository = small();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let quick = |url: &str| {
        let timeouts = Timeouts {
            connect: Duration::from_millis(500),
            idle: Duration::from_millis(300),
            whole: Duration::from_secs(2),
        };
        let address = Address::parse(url, false).unwrap();
        list_refs(&Access::new(
            address,
            Credentials::Anonymous,
            None,
            timeouts,
        ))
        .unwrap_err()
    };
    let silent = quick(&format!("http://127.0.0.1:{port}/r.git"));
    assert!(matches!(silent, Error::TimedOut(_)), "{silent:?}");
    drop(listener);
    // A place that is taken and where nobody listens: what was silent has a caller in its queue, whom its end resets, and
    // a port that is given back may be somebody else's at once.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = quick(&format!("http://127.0.0.1:{port}/r.git"));
    assert!(
        matches!(&refused, Error::Unreachable(text) if text.contains("connection refused")),
        "{refused:?}"
    );
    let nowhere = quick("http://no-such-host.invalid/r.git");
    assert!(
        matches!(&nowhere, Error::Unreachable(_) | Error::TimedOut(_)),
        "{nowhere:?}"
    );
    let server = GitServer::http(repository.root());
    server.behave(|behaviour| behaviour.delay = Some(Duration::from_secs(5)));
    let slow = quick(&server.url("bare.git"));
    assert!(matches!(slow, Error::TimedOut(_)), "{slow:?}");
}

#[test]
fn an_answer_cut_short_changes_nothing() {
    let repository = small();
    let server = GitServer::http(repository.root());
    let access = access(&server.url("bare.git"));
    let refs = list_refs(&access).unwrap();
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    for bytes in [0, 3, 20, 100, 300] {
        server.behave(|behaviour| behaviour.cut_after = Some(bytes));
        let error = mirror.fetch(&access, &refs).unwrap_err();
        assert!(
            matches!(error, Error::Protocol(_) | Error::Unreachable(_)),
            "{bytes}: {error:?}"
        );
        assert!(mirror.refs().unwrap().is_empty());
        let listed = list_refs(&access).unwrap_err();
        assert!(
            matches!(listed, Error::Protocol(_) | Error::Unreachable(_)),
            "{bytes}: {listed:?}"
        );
    }
    server.behave(|behaviour| behaviour.cut_after = None);
    mirror.fetch(&access, &refs).unwrap();
    assert_eq!(mirror.refs().unwrap(), refs);
}

#[test]
fn redirects_are_followed_at_home_and_refused_elsewhere() {
    let repository = small();
    let server = GitServer::http(repository.root());
    let moved = server.url("old-name.git");
    let home = server.url("bare.git");
    server.behave(|behaviour| behaviour.redirect = Some(home.clone()));
    let access = access(&moved);
    let refs = list_refs(&access).unwrap();
    assert_eq!(plain(&refs), expected(&repository));
    Mirror::open(&repository.mirror())
        .unwrap()
        .fetch(&access, &refs)
        .unwrap();
    let stranger = GitServer::http(repository.root());
    server.behave(|behaviour| behaviour.redirect = Some(stranger.url("bare.git")));
    let credentials = Credentials::Bearer(Secret::new("t0k3n"));
    let error = list_refs(&with(&moved, credentials, None)).unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    assert!(stranger.requests().is_empty(), "nothing was sent elsewhere");
}

#[test]
fn a_damaged_mirror_is_told_and_a_new_one_takes_its_place() {
    let repository = small();
    let access = repository.file();
    let directory = repository.mirror();
    let scope = Scope::new("main", "");
    sync(&access, &directory, &scope);
    std::fs::remove_file(directory.join("HEAD")).unwrap();
    assert!(matches!(Mirror::open(&directory), Err(Error::Corrupt(_))));
    Mirror::remove(&directory).unwrap();
    Mirror::remove(&directory).unwrap();
    assert!(Mirror::find(&directory).unwrap().is_none());
    let (mirror, refs, scan) = sync(&access, &directory, &scope);
    drop(mirror);
    for entry in std::fs::read_dir(directory.join("objects/pack")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let mirror = Mirror::open(&directory).unwrap();
    let read = porch::git::Scanner::new(scope.clone()).scan(&mirror, &refs, &|_| true);
    let read = read.unwrap();
    assert!(read.found.is_empty() && read.skipped.is_empty(), "{read:?}");
    assert_eq!(read.unread.len(), refs.len());
    assert!(read.unread.iter().all(|it| it.damaged), "{read:?}");
    mirror.fetch(&access, &refs).unwrap();
    let again = porch::git::Scanner::new(scope)
        .scan(&mirror, &refs, &|_| true)
        .unwrap();
    assert_eq!(again, scan);
}

#[test]
fn a_repository_of_another_object_format_is_not_taken_for_an_empty_one() {
    let repository = Repository::new();
    git(
        repository.root(),
        &["init", "-q", "--object-format=sha256", "long"],
    );
    let long = repository.root().join("long");
    git(&long, &["commit", "-q", "--allow-empty", "-m", "one"]);
    let server = GitServer::http(repository.root());
    for old_protocol in [false, true] {
        server.behave(|behaviour| behaviour.old_protocol = old_protocol);
        let listed = list_refs(&access(&server.url("long/.git")));
        assert!(
            matches!(&listed, Err(Error::Protocol(text)) if text.contains("sha256")),
            "{listed:?}"
        );
    }
}

#[test]
fn names_that_would_leave_the_mirror_are_not_taken_in() {
    let repository = small();
    let server = GitServer::http(repository.root());
    let id = "a".repeat(40);
    let line = |text: String| format!("{:04x}{text}", text.len() + 4);
    let names = [
        "refs/heads/../../x",
        "refs/heads/a\tb",
        "refs/heads/x.lock",
        "refs/tags/a//b",
        "/etc/passwd",
        "refs/notes/x",
        "HEAD",
        "refs/heads/good",
    ];
    let list: String = names
        .iter()
        .map(|name| line(format!("{id} {name}\n")))
        .collect();
    server.behave(|behaviour| behaviour.garbage = Some(format!("{list}0000").into_bytes()));
    let refs = list_refs(&access(&server.url("bare.git"))).unwrap();
    assert_eq!(
        refs.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["refs/heads/good"]
    );
}

#[test]
fn whoever_hangs_up_waits_no_longer_and_asks_no_more() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/r.git", silent.local_addr().unwrap());
    let long = Duration::from_hours(1);
    let timeouts = Timeouts {
        connect: long,
        idle: long,
        whole: long,
    };
    let address = Address::parse(&url, false).unwrap();
    let access = Access::new(address, Credentials::Anonymous, None, timeouts);
    let asking = {
        let access = access.clone();
        std::thread::spawn(move || list_refs(&access))
    };
    let (stream, _) = silent.accept().unwrap();
    access.hang_up();
    let told = asking.join().unwrap();
    assert!(told.is_err(), "{told:?}");
    drop(stream);
    let told = list_refs(&access).unwrap_err();
    assert!(told.to_string().ends_with("given up"), "{told}");
}

#[test]
fn a_server_that_says_when_to_come_again_is_taken_at_its_word() {
    let repository = small();
    let server = GitServer::http(repository.root());
    for (status, after) in [(429, 7), (503, 120)] {
        server.behave(|behaviour| {
            behaviour.status = Some(status);
            behaviour.retry_after = Some(after.to_string());
        });
        let told = list_refs(&access(&server.url("bare.git"))).unwrap_err();
        let wanted = Duration::from_secs(after);
        assert!(
            matches!(&told, Error::Later { after, .. } if *after == wanted),
            "{status}: {told:?}"
        );
    }
}

#[test]
fn what_a_mirror_has_lost_is_fetched_again_though_it_still_holds_what_came_after() {
    let repository = small();
    let server = GitServer::http(repository.root());
    let access = access(&server.url("bare.git"));
    let fetch = || {
        let refs = list_refs(&access).unwrap();
        let mirror = Mirror::open(&repository.mirror()).unwrap();
        mirror.fetch(&access, &refs).unwrap();
    };
    let packs = || -> std::collections::BTreeSet<std::path::PathBuf> {
        let entries = std::fs::read_dir(repository.mirror().join("objects/pack")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    fetch();
    let first = packs();
    repository.write("later", "later");
    repository.commit("later");
    repository.push();
    fetch();
    // The commit of a tag is lost, and the branch that was built on it is there.
    for file in first {
        std::fs::remove_file(file).unwrap();
    }
    fetch();
    git(&repository.mirror(), &["fsck", "--full", "--strict"]);
}
