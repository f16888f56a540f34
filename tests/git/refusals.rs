//! Pushes that are not done, and how that is told.

use std::{slice::from_ref, time::Duration};

use porch::git::{
    Access, Address, Credentials, Error, NewCommit, Pushed, Refusal, Secret, Timeouts, Workbench,
    list_refs, list_some, push,
};

use crate::{
    git_server::{GitServer, git},
    scene::{MAIN, Scene, author, edit, files, time},
};

/// Returns what was refused: names and words, `moved`, `neighbour`, `incomplete`.
fn told(pushed: &Pushed) -> Vec<(String, String)> {
    let words = |why: &Refusal| match why {
        Refusal::Moved => "moved".to_string(),
        Refusal::Neighbour => "neighbour".into(),
        Refusal::Incomplete(_) => "incomplete".into(),
        Refusal::Declined(words) => words.clone(),
    };
    pushed
        .refused
        .iter()
        .map(|it| (it.name.clone(), words(&it.why)))
        .collect()
}

#[test]
fn hooks_and_rules_say_no_in_their_own_words() {
    for atomic in ["true", "false"] {
        let scene = Scene::new();
        scene.repository.set("receive.advertiseAtomic", atomic);
        let head = scene.id(MAIN).unwrap();
        let (commit, pack) = scene.commit("b", "1");
        let good = edit("refs/heads/good", "", &commit);
        let bad = edit("refs/heads/bad", "", &commit);
        let access = scene.fresh_access();

        scene.repository.hook(
            "pre-receive",
            "printf '\\033[31mGitLab: no pushes\\033[0m\\rtoday\\n\\007' >&2; exit 1",
        );
        let pushed = push(&access, from_ref(&pack), &[good.clone(), bad.clone()]).unwrap();
        let words = "pre-receive hook declined: GitLab: no pushes today".to_string();
        assert_eq!(told(&pushed)[0], (good.name.clone(), words.clone()));
        let other = if atomic == "true" {
            &words
        } else {
            "neighbour"
        };
        assert_eq!(told(&pushed)[1], (bad.name.clone(), other.to_string()));
        scene.repository.hook("pre-receive", "exit 0");

        scene.repository.hook(
            "update",
            "case $1 in */bad) echo 'bad is frozen'; exit 1;; esac",
        );
        for edits in [[good.clone(), bad.clone()], [bad.clone(), good.clone()]] {
            let pushed = push(&access, from_ref(&pack), &edits).unwrap();
            let told: std::collections::BTreeMap<_, _> = told(&pushed).into_iter().collect();
            assert!(
                told[&bad.name].starts_with("hook declined: bad is frozen"),
                "{told:?}"
            );
            if atomic == "true" || edits[0] == bad {
                assert_eq!(told[&good.name], "neighbour");
                assert_eq!(scene.id(&good.name), None);
            } else {
                assert!(!told.contains_key(&good.name));
                let gone = push(&access, &[], &[edit(&good.name, &commit, "")]).unwrap();
                assert_eq!(gone.refused, []);
            }
        }
        scene.repository.hook("update", "exit 0");

        scene.repository.hook(
            "reference-transaction",
            "test $1 != prepared || { echo 'not now' >&2; exit 1; }",
        );
        // Git ends here without a report, whatever it did before.
        let aborted = push(&access, from_ref(&pack), from_ref(&good)).unwrap_err();
        assert!(matches!(aborted, Error::Uncertain(_)), "{aborted:?}");
        assert_eq!(scene.id(&good.name), None);
        scene.repository.hook("reference-transaction", "exit 0");

        let made = push(&access, from_ref(&pack), from_ref(&good)).unwrap();
        assert_eq!(made.refused, []);
        scene.repository.set("receive.denyNonFastForwards", "true");
        scene.repository.set("receive.denyDeletes", "true");
        for (refused, words) in [
            (edit(&good.name, &commit, &head), "non-fast-forward"),
            (edit(&good.name, &commit, ""), "deletion prohibited"),
            (edit(MAIN, &head, ""), "prohibited"),
            (
                edit("refs/heads/good/below", "", &head),
                "failed to update ref",
            ),
        ] {
            for access in [access.clone(), scene.repository.file()] {
                let pushed = push(&access, &[], from_ref(&refused)).unwrap();
                let told = told(&pushed);
                let words = if words.starts_with("failed") {
                    "exists"
                } else {
                    words
                };
                assert!(
                    told.len() == 1 && told[0].1.contains(words),
                    "{refused:?}: {told:?}"
                );
            }
        }
        let refs = scene.repository.bare_refs();
        assert_eq!((refs.len(), &refs[&good.name]), (2, &commit));
    }
}

#[test]
fn objects_that_the_server_forgot_are_told_and_a_whole_pack_helps() {
    let scene = Scene::new();
    scene.repository.set("receive.fsckObjects", "false");
    let mirror = scene.mirror();
    let head = scene.id(MAIN).unwrap();
    let mut bench = Workbench::new(&mirror).unwrap();
    let forgotten = bench
        .package_tree(&files(&[("Kptfile", "1"), ("a/b", "2")]), None)
        .unwrap();
    mirror.keep(&bench.pack()).unwrap();
    let mut bench = Workbench::new(&mirror).unwrap();
    let all = files(&[("Kptfile", "1"), ("a/b", "2"), ("new", "3")]);
    let tree = bench.package_tree(&all, Some(&forgotten)).unwrap();
    let commit = bench
        .commit(&NewCommit {
            base: Some(&head),
            parents: &[&head],
            directory: "p",
            tree: Some(&tree),
            author: &author(),
            time: time(),
            message: "m",
        })
        .unwrap();
    let good = scene.commit("c", "4");
    let packs = [bench.pack(), good.1];
    let lacking = edit("refs/heads/x", "", &commit);
    for edits in [
        vec![lacking.clone()],
        vec![lacking.clone(), edit("refs/heads/good", "", &good.0)],
    ] {
        let pushed = push(&scene.access, &packs, &edits).unwrap();
        assert_eq!(
            told(&pushed),
            [("refs/heads/x".into(), "incomplete".into())],
            "{pushed:?}"
        );
        // Git goes on with the others, though it was asked not to.
        assert_eq!(pushed.atomic, edits.len() == 1);
        assert_eq!(scene.repository.bare_refs().len(), edits.len());
    }
    scene.repository.set("receive.fsckObjects", "true");
    for unpacked in ["100", "1"] {
        scene.repository.set("receive.unpackLimit", unpacked);
        let pushed = push(&scene.access, &[bench.pack()], from_ref(&lacking)).unwrap();
        assert_eq!(told(&pushed)[0].1, "incomplete", "{pushed:?}");
    }
    let pushed = push(&scene.access, &[bench.whole_pack().unwrap()], &[lacking]).unwrap();
    assert_eq!(pushed.refused, []);
    git(&scene.repository.bare(), &["fsck", "--full", "--strict"]);
    let absent = "1".repeat(40);
    for access in [scene.access.clone(), scene.repository.file()] {
        let pushed = push(&access, &[], &[edit("refs/heads/y", "", &absent)]).unwrap();
        assert_eq!(
            told(&pushed),
            [("refs/heads/y".into(), "incomplete".into())],
            "{pushed:?}"
        );
    }
}

/// An advertisement of receive-pack.
fn advertisement(abilities: &str) -> Vec<u8> {
    let first = format!("{} capabilities^{{}}\0{abilities}", "0".repeat(40));
    let service = line("# service=git-receive-pack\n");
    format!("{service}0000{}0000", line(&first)).into_bytes()
}

#[test]
fn servers_that_can_do_less_are_asked_for_less() {
    let scene = Scene::new();
    let (commit, pack) = scene.commit("b", "1");
    let name = "refs/heads/x";
    let (make, gone) = (edit(name, "", &commit), edit("refs/tags/x", &commit, ""));
    let bare = |report: &[&str]| {
        (report.iter().map(|text| line(text)).collect::<String>() + "0000").into_bytes()
    };
    for (abilities, edits, answer, want) in [
        (
            "report-status",
            vec![make.clone()],
            bare(&["unpack ok\n", "ok refs/heads/x\n"]),
            "Ok(Pushed { refused: [], atomic: true })",
        ),
        (
            "report-status",
            vec![make.clone()],
            bare(&["unpack ok\n", "ng refs/heads/x hook declined\n"]),
            "Declined(\"hook declined\")",
        ),
        (
            "report-status",
            vec![make.clone()],
            bare(&["unpack ok\n", "ng refs/heads/x stale info\n"]),
            "why: Moved",
        ),
        (
            "report-status delete-refs",
            vec![gone.clone()],
            bare(&["unpack ok\n", "ok refs/tags/x\n"]),
            "Ok(Pushed { refused: [], atomic: true })",
        ),
        (
            "report-status",
            vec![make.clone(), gone.clone()],
            bare(&[]),
            "Neighbour }, Refused { name: \"refs/tags/x\", why: Declined(\"the server does not delete refs\") }]",
        ),
        (
            "delete-refs",
            vec![make.clone()],
            bare(&[]),
            "Err(Protocol(",
        ),
        (
            "report-status object-format=sha256",
            vec![make.clone()],
            bare(&[]),
            "Err(Protocol(\"object format sha256",
        ),
    ] {
        scene.server.behave(|behaviour| {
            behaviour.garbage = Some(advertisement(abilities));
            behaviour.push = Some((200, answer.clone()));
        });
        let told = format!("{:?}", push(&scene.fresh_access(), from_ref(&pack), &edits));
        assert!(told.contains(want), "{abilities}: {told}");
    }
    for advertisement in [&b""[..], b"0000", b"<html>", b"0010ERR no such"] {
        scene
            .server
            .behave(|behaviour| behaviour.garbage = Some(advertisement.to_vec()));
        let told = push(&scene.fresh_access(), from_ref(&pack), from_ref(&make));
        assert!(matches!(told, Err(Error::Protocol(_))), "{told:?}");
    }
}

#[test]
fn every_status_has_its_error_and_only_those_that_leave_it_open_say_so() {
    let scene = Scene::new();
    let (commit, pack) = scene.commit("b", "1");
    let edits = [edit("refs/heads/x", "", &commit)];
    push(
        &scene.access,
        &[],
        &[edit(
            MAIN,
            &scene.id(MAIN).unwrap(),
            &scene.id(MAIN).unwrap(),
        )],
    )
    .unwrap();
    for (status, word) in [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (408, "Uncertain"),
        (413, "TooLarge"),
        (301, "Protocol"),
        (307, "Protocol"),
        (400, "Protocol"),
        (418, "Protocol"),
        (429, "Throttled"),
        (500, "Uncertain"),
        (502, "Uncertain"),
        (503, "Uncertain"),
        (504, "Uncertain"),
        (507, "Full"),
    ] {
        scene
            .server
            .behave(|behaviour| behaviour.push = Some((status, b"no".to_vec())));
        scene.server.requests();
        let error = push(&scene.access, from_ref(&pack), &edits).unwrap_err();
        assert!(
            format!("{error:?}").starts_with(word),
            "{status}: {error:?}"
        );
        let posts = scene
            .server
            .requests()
            .iter()
            .filter(|line| line.starts_with("POST"))
            .count();
        let again = matches!(status, 301 | 307 | 400 | 404);
        assert_eq!(posts, if again { 2 } else { 1 }, "{status}");
    }
    scene.server.behave(|behaviour| behaviour.push = None);
    for (status, word) in [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (429, "Throttled"),
        (500, "Unreachable"),
        (503, "Unreachable"),
    ] {
        scene
            .server
            .behave(|behaviour| behaviour.status = Some(status));
        let error = push(&scene.fresh_access(), from_ref(&pack), &edits).unwrap_err();
        assert!(
            format!("{error:?}").starts_with(word),
            "{status}: {error:?}"
        );
    }
    scene.server.behave(|behaviour| behaviour.status = None);
    assert_eq!(scene.id("refs/heads/x"), None);
    let pushed = push(&scene.access, &[pack], &edits).unwrap();
    assert_eq!(pushed.refused, [], "and after all of that it goes on");
}

fn line(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fn banded(report: &str, words: &str) -> Vec<u8> {
    let words = if words.is_empty() {
        String::new()
    } else {
        line(&format!("\u{2}{words}"))
    };
    format!("{words}{}0000", line(&format!("\u{1}{report}"))).into_bytes()
}

#[test]
fn reports_of_every_shape_are_understood() {
    let scene = Scene::new();
    let (commit, pack) = scene.commit("b", "1");
    let name = "refs/heads/x";
    let edits = [edit(name, "", &commit)];
    let report = |text: &[&str]| text.iter().map(|text| line(text)).collect::<String>() + "0000";
    let unpack = |why: &str| {
        report(&[
            &format!("unpack {why}\n"),
            "ng refs/heads/x unpacker error\n",
        ])
    };
    let fatal = line("\u{3}out of memory").into_bytes();
    for (answer, want) in [
        (
            banded(&report(&["unpack ok\n", "ok refs/heads/x\n"]), ""),
            "Ok(Pushed { refused: []",
        ),
        (
            banded(
                &report(&[
                    "unpack ok\n",
                    "ok refs/heads/x\n",
                    "option refname refs/heads/y\n",
                    "option forced-update\n",
                ]),
                "hello",
            ),
            "Ok(Pushed { refused: []",
        ),
        (
            banded(
                &report(&[
                    "unpack ok",
                    "ng refs/heads/x protected branch hook declined",
                ]),
                "no",
            ),
            "Declined(\"protected branch hook declined: no\")",
        ),
        (
            banded(&report(&["unpack ok", "ng refs/heads/x"]), ""),
            "Declined(\"refused\")",
        ),
        (
            banded(
                &unpack("index-pack abnormal exit"),
                "error: file write error: No space left on device",
            ),
            "Err(Full(",
        ),
        (
            banded(
                &unpack("index-pack abnormal exit"),
                "fatal: pack exceeds maximum allowed size",
            ),
            "Err(TooLarge(",
        ),
        (
            banded(
                &unpack("index-pack abnormal exit"),
                "error: object 1: fsck error in packed object",
            ),
            "Declined(\"unpack failed: index-pack abnormal exit: error",
        ),
        (
            banded(
                &unpack("index-pack abnormal exit"),
                "fatal: pack has 1 unresolved deltas",
            ),
            "Incomplete(",
        ),
        (
            banded(&unpack("unpack-objects abnormal exit"), ""),
            "Err(Unreachable(",
        ),
        (banded(&report(&["unpack ok\n"]), ""), "Err(Uncertain("),
        (banded("", "killed"), "Err(Uncertain("),
        // Words that leave it open: the refs are looked at, and this one is what it should be.
        (
            banded(
                &report(&["unpack ok\n", "ng refs/heads/x failed to update ref\n"]),
                "",
            ),
            "Declined(\"failed to update ref\")",
        ),
        (fatal, "Err(Uncertain(\""),
        (b"0000".to_vec(), "Err(Uncertain("),
        (Vec::new(), "Err(Uncertain("),
        (b"<html>hello</html>".to_vec(), "Err(Uncertain("),
        (line("ERR access denied").into_bytes(), "Err(Protocol("),
    ] {
        scene
            .server
            .behave(|behaviour| behaviour.push = Some((200, answer.clone())));
        let told = format!("{:?}", push(&scene.access, from_ref(&pack), &edits));
        assert!(
            told.contains(want),
            "{}: {told}",
            String::from_utf8_lossy(&answer)
        );
    }
}

/// Returns an access that waits so long for the next byte, and so long in all; in milliseconds.
fn patient(scene: &Scene, idle: u64, whole: u64) -> Access {
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        idle: Duration::from_millis(idle),
        whole: Duration::from_millis(whole),
    };
    Access::new(
        scene.access.address.clone(),
        Credentials::Anonymous,
        None,
        timeouts,
    )
}

#[test]
fn a_lost_answer_is_told_as_such_though_the_push_was_done() {
    for kind in ["lost", "late", "slow", "cut"] {
        let scene = Scene::new();
        let (commit, pack) = scene.commit("b", "1");
        let access = match kind {
            "slow" => patient(&scene, 60_000, 4000),
            _ => patient(&scene, 4000, 60_000),
        };
        let head = scene.id(MAIN).unwrap();
        push(&access, &[], &[edit(MAIN, &head, &head)]).unwrap();
        scene.server.behave(|behaviour| match kind {
            "lost" => behaviour.push_lost = true,
            "late" | "slow" => behaviour.push_late = Some(Duration::from_mins(1)),
            _ => behaviour.cut_after = Some(9),
        });
        scene.server.requests();
        let name = "refs/heads/x";
        let error = push(&access, from_ref(&pack), &[edit(name, "", &commit)]).unwrap_err();
        assert!(matches!(error, Error::Uncertain(_)), "{kind}: {error:?}");
        assert_eq!(
            scene.server.requests().len(),
            1,
            "{kind}: it is not sent again"
        );
        let is_done = || {
            let now = list_some(&scene.repository.file(), &[name]).unwrap();
            now.get(name).is_some_and(|target| target.id == commit)
        };
        let mut tries = 0;
        while kind != "cut" && !is_done() {
            tries += 1;
            assert!(tries < 300, "{kind}: it is done in the end");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_server_that_stalls_leaves_it_open_and_one_that_is_absent_does_not() {
    let scene = Scene::new();
    let mirror = scene.mirror();
    let mut bench = Workbench::new(&mirror).unwrap();
    let noise = (0..4_000_000_u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let noise: Vec<u8> = noise.map(|number| number.to_be_bytes()[0]).collect();
    let tree = bench
        .package_tree(&[("noise".to_string(), noise)].into(), None)
        .unwrap();
    let commit = bench
        .commit(&NewCommit {
            base: None,
            parents: &[],
            directory: "p",
            tree: Some(&tree),
            author: &author(),
            time: time(),
            message: "m",
        })
        .unwrap();
    let edits = [edit("refs/heads/x", "", &commit)];
    let access = patient(&scene, 4000, 60_000);
    let head = scene.id(MAIN).unwrap();
    push(&access, &[], &[edit(MAIN, &head, &head)]).unwrap();
    scene
        .server
        .behave(|behaviour| behaviour.delay = Some(Duration::from_mins(1)));
    let stalled = push(&access, &[bench.pack()], &edits).unwrap_err();
    assert!(matches!(stalled, Error::Uncertain(_)), "{stalled:?}");
    let asking = push(&patient(&scene, 4000, 60_000), &[bench.pack()], &edits).unwrap_err();
    assert!(
        matches!(asking, Error::TimedOut(_)),
        "nothing was sent: {asking:?}"
    );
    drop(scene.server);
    let gone = push(&access, &[bench.pack()], &edits).unwrap_err();
    assert!(
        matches!(gone, Error::Unreachable(_) | Error::Uncertain(_)),
        "{gone:?}"
    );
    let gone = push(&access, &[bench.pack()], &edits).unwrap_err();
    assert!(
        matches!(gone, Error::Unreachable(_)),
        "nothing was sent: {gone:?}"
    );
}

#[test]
fn credentials_are_sent_at_once_and_their_lack_is_told() {
    let scene = Scene::new();
    let server = GitServer::https(scene.repository.root());
    let (commit, pack) = scene.commit("b", "1");
    let edits = [edit("refs/heads/x", "", &commit)];
    server.behave(|behaviour| behaviour.authorization = Some("Bearer t0k3n".into()));
    let address = Address::parse(&server.url("bare.git"), false).unwrap();
    let with = |token: &str, ca| {
        let credentials = Credentials::Bearer(Secret::new(token));
        Access::new(address.clone(), credentials, ca, Timeouts::default())
    };
    let wrong = push(&with("wr0ng", server.ca()), from_ref(&pack), &edits).unwrap_err();
    assert!(matches!(wrong, Error::Unauthorized(_)), "{wrong:?}");
    let stranger = push(&with("t0k3n", None), from_ref(&pack), &edits).unwrap_err();
    assert!(matches!(stranger, Error::Certificate(_)), "{stranger:?}");
    let good = with("t0k3n", server.ca());
    assert_eq!(push(&good, from_ref(&pack), &edits).unwrap().refused, []);
    server.behave(|behaviour| behaviour.authorization = Some("Bearer other".into()));
    let late = push(&good, &[pack], &edits).unwrap_err();
    assert!(matches!(late, Error::Unauthorized(_)), "{late:?}");
}

#[test]
fn a_server_that_moved_is_found_again_and_one_that_refuses_a_size_says_so() {
    let scene = Scene::new();
    let (commit, pack) = scene.commit("b", "1");
    let address = Address::parse(&scene.server.url("old-name.git"), false).unwrap();
    let access = Access::anonymous(address);
    let home = scene.server.url("bare.git");
    scene
        .server
        .behave(|behaviour| behaviour.redirect = Some(home.clone()));
    let pushed = push(
        &access,
        from_ref(&pack),
        &[edit("refs/heads/x", "", &commit)],
    )
    .unwrap();
    assert_eq!(pushed.refused, []);
    std::fs::rename(
        scene.repository.bare(),
        scene.repository.root().join("moved.git"),
    )
    .unwrap();
    let home = scene.server.url("moved.git");
    scene
        .server
        .behave(|behaviour| behaviour.redirect = Some(home.clone()));
    let pushed = push(&access, &[], &[edit("refs/heads/x", &commit, "")]).unwrap();
    assert_eq!(pushed.refused, []);
    let moved = scene.repository.root().join("moved.git");
    git(&moved, &["config", "receive.maxInputSize", "100"]);
    let error = push(&access, &[pack], &[edit("refs/heads/x", "", &commit)]).unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)), "{error:?}");
}

#[test]
fn objects_that_are_not_to_the_servers_liking_are_declined_in_its_words() {
    let scene = Scene::new();
    let mirror = scene.mirror();
    let mut bench = Workbench::new(&mirror).unwrap();
    let modules = "[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=x\n";
    let tree = bench
        .package_tree(&files(&[(".gitmodules", modules)]), None)
        .unwrap();
    let commit = bench
        .commit(&NewCommit {
            base: None,
            parents: &[],
            directory: "",
            tree: Some(&tree),
            author: &author(),
            time: time(),
            message: "m",
        })
        .unwrap();
    let edits = [edit("refs/heads/x", "", &commit)];
    let pushed = push(&scene.access, &[bench.pack()], &edits).unwrap();
    let words = &told(&pushed)[0].1;
    assert!(
        words.starts_with("unpack failed") && words.contains("gitmodulesUrl"),
        "{words}"
    );
    assert_eq!(scene.id("refs/heads/x"), None);
}

#[test]
fn directories_without_git_and_branches_in_use_are_refused() {
    let scene = Scene::new();
    let (commit, pack) = scene.commit("b", "1");
    let head = scene.id(MAIN).unwrap();
    let at = |path: &std::path::Path| {
        let text = format!("file://{}", path.display());
        Access::anonymous(Address::parse(&text, true).unwrap())
    };
    let nowhere = push(
        &at(scene.repository.root()),
        &[],
        &[edit(MAIN, &head, &commit)],
    )
    .unwrap_err();
    assert!(matches!(nowhere, Error::NotFound(_)), "{nowhere:?}");
    let work = at(&scene.repository.work());
    let pushed = push(&work, from_ref(&pack), &[edit(MAIN, &head, &commit)]).unwrap();
    assert_eq!(told(&pushed)[0].1, "branch is currently checked out");
    let lock = scene.repository.bare().join("refs/heads/x.lock");
    std::fs::write(&lock, "").unwrap();
    let edits = [
        edit("refs/heads/x", "", &commit),
        edit("refs/heads/y", "", &commit),
    ];
    for access in [scene.repository.file(), scene.access.clone()] {
        let pushed = push(&access, from_ref(&pack), &edits).unwrap();
        let told: Vec<_> = told(&pushed).into_iter().map(|(_, words)| words).collect();
        assert_eq!(told, ["moved", "neighbour"], "{pushed:?}");
    }
    std::fs::remove_file(lock).unwrap();
    assert_eq!(
        push(&scene.repository.file(), &[pack], &edits)
            .unwrap()
            .refused,
        []
    );
}

#[test]
fn locks_that_a_killed_push_left_are_in_nobodys_way() {
    const CHILD: &str = "PORCH_TEST_PUSH_INTO";
    let names = ["refs/heads/x/1", "refs/heads/x/2", "refs/tags/x/v1"];
    let flip = |access: &Access, head: &str| {
        let now = list_refs(access).unwrap();
        let edits = names.map(|name| match now.get(name) {
            Some(at) => edit(name, &at.id, ""),
            None => edit(name, "", head),
        });
        push(access, &[], &edits).unwrap()
    };
    if let Ok(directory) = std::env::var(CHILD) {
        // This is the one that is killed.
        let access = Access::anonymous(Address::parse(&directory, true).unwrap());
        let head = list_refs(&access).unwrap().get(MAIN).unwrap().id.clone();
        loop {
            flip(&access, &head);
        }
    }
    let scene = Scene::new();
    let (access, head) = (scene.repository.file(), scene.id(MAIN).unwrap());
    for round in 0..20 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", std::thread::current().name().unwrap()])
            .env(CHILD, access.address.to_string())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(100 + 7 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let pushed = flip(&access, &head);
        assert_eq!(pushed.refused, [], "after {round} others");
    }
    // Whoever is at work keeps his lock.
    let lock = scene.repository.bare().join("refs/heads/x/1.lock");
    // The directory goes with the last ref in it.
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    std::fs::write(&lock, "").unwrap();
    assert_eq!(told(&flip(&access, &head))[0].1, "moved");
    assert!(lock.exists());
}
