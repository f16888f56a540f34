//! What happens to mirrors and to refs while nobody looks: damage is found and mended, what is gone meanwhile is no error,
//! and a repository of any size and any names hides nothing.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use futures::StreamExt;
use kube::ResourceExt;
use kube_runtime::{WatchStreamExt, watcher};
use serde_json::json;

use crate::{
    many,
    world::{Git, World, condition, serve},
};

pub fn packs(mirror: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(mirror.join("objects/pack")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|it| it == end))
        .collect()
}

/// Changes what a file holds; packs are written so that nobody may.
fn change(file: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    // In place: a new file would leave those who have the old one open alone.
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = fs::OpenOptions::new().write(true).open(file).unwrap();
    open.set_len(bytes.len() as u64).unwrap();
    open.write_all_at(&bytes, 0).unwrap();
}

type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 9] = [
    ("packs cut in half", |mirror| {
        for pack in packs(mirror, "pack") {
            change(&pack, |bytes| bytes.truncate(bytes.len() / 2));
        }
    }),
    ("packs of no byte", |mirror| {
        for pack in packs(mirror, "pack") {
            change(&pack, Vec::clear);
        }
    }),
    ("packs with other bytes", |mirror| {
        for pack in packs(mirror, "pack") {
            change(&pack, |bytes| {
                let end = bytes.len() - 20;
                bytes[12..end].iter_mut().for_each(|byte| *byte ^= 0x55);
            });
        }
    }),
    ("no packs", |mirror| {
        let all = ["pack", "idx"]
            .into_iter()
            .flat_map(|end| packs(mirror, end));
        all.for_each(|file| fs::remove_file(file).unwrap());
    }),
    ("no indexes", |mirror| {
        for index in packs(mirror, "idx") {
            fs::remove_file(index).unwrap();
        }
    }),
    ("indexes cut short", |mirror| {
        for index in packs(mirror, "idx") {
            change(&index, |bytes| bytes.truncate(100));
        }
    }),
    ("no HEAD", |mirror| {
        fs::remove_file(mirror.join("HEAD")).unwrap();
    }),
    ("refs that are none", |mirror| {
        for refs in fs::read_dir(mirror.join("holders")).unwrap() {
            fs::write(refs.unwrap().path(), b"\xff\xfe nonsense\n").unwrap();
        }
    }),
    ("a file in its place", |mirror| {
        fs::remove_dir_all(mirror).unwrap();
        fs::write(mirror, b"what is this?").unwrap();
    }),
];

/// Returns the directory of the mirror that a Repository holds.
pub fn mirror_of(world: &World, uid: &str) -> PathBuf {
    let mirrors = fs::read_dir(world.directory.path().join("cache")).unwrap();
    let mut mirrors = mirrors.map(|entry| entry.unwrap().path());
    mirrors
        .find(|mirror| mirror.join("holders").join(uid).exists())
        .unwrap()
}

/// Reads the files of a revision, and compares them with what was pushed. A look may be mending the mirror at this moment:
/// who is told to come again comes again.
pub async fn has_files(world: &World, name: &str, words: &str) {
    let record = world.catalog.record("default", name).unwrap();
    let mut told = String::new();
    for _ in 0..5 {
        match world.contents.files(&record).await {
            Ok(files) => {
                let files: BTreeMap<_, _> = files.into_iter().collect();
                assert_eq!(files["README.md"], words.as_bytes(), "{name}");
                return;
            }
            Err(error) => told = error.to_string(),
        }
        world.wait(5).await;
    }
    panic!("{name}: {told}");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_mirror_is_made_anew_by_itself_under_a_running_server_and_a_new_one() {
    let mut world = World::start().await;
    let server = serve(&world);
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    git.push(&["main", "main:refs/tags/a/v1"]);
    for restarted in [false, true] {
        let mut damaged = Vec::new();
        for (number, (what, damage)) in DAMAGES.into_iter().enumerate() {
            for readers_first in [false, true] {
                let name = format!("r{number}{readers_first}{restarted}");
                let branch = format!("side-{name}");
                git.push(&[&format!("main:refs/heads/{branch}")]);
                // Another address of the same repository has a mirror of its own.
                let other = world.directory.path().join(format!("{name}.git"));
                symlink(&git.bare, other).unwrap();
                let url = server.url(&format!("{name}.git"));
                world
                    .register(
                        &name,
                        json!({"type": "git", "git": {"repo": url, "branch": branch}}),
                    )
                    .await;
                let repository = world.until_reason(&name, "Ready").await;
                let (record, uid) = (format!("{name}.a.v1"), repository.uid().unwrap());
                let version = world.catalog.record("default", &record).unwrap().uid();
                // Somebody has it open.
                has_files(&world, &record, "one").await;
                damage(&mirror_of(&world, &uid));
                damaged.push((what, name, branch, record, version, readers_first));
            }
        }
        if restarted {
            world = world.restart();
            world.catalog.until_ready().await;
        }
        for (what, name, branch, record, version, readers_first) in damaged {
            if readers_first {
                has_files(&world, &record, "one").await;
            }
            git.package(&format!("b-{name}"), &name);
            git.push(&[&format!("main:refs/heads/{branch}")]);
            world
                .patch(
                    &name,
                    json!({"spec": {"sync": {"runOnceAt": "2029-01-01T00:00:00Z"}}}),
                )
                .await;
            let new = format!("{name}.b-{name}.{branch}");
            while world.catalog.record("default", &new).is_none() {
                world.nap().await;
            }
            has_files(&world, &new, &name).await;
            has_files(&world, &record, "one").await;
            let now = world.catalog.record("default", &record).unwrap().uid();
            assert_eq!(now, version, "{what}: the record is the same");
            let ready = world.until_reason(&name, "Ready").await;
            assert_eq!(
                condition(&ready, "Complete").unwrap().status,
                "True",
                "{what}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_ref_that_goes_or_moves_between_list_and_pack_is_no_error() {
    let world = World::start().await;
    let server = serve(&world);
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    git.push(&["main", "main:refs/tags/a/v1"]);
    world
        .register(
            "r",
            json!({"type": "git", "git": {"repo": server.url("origin.git")}}),
        )
        .await;
    world.until_served(&["r.a.main", "r.a.v1*"]).await;
    for (number, then) in [
        "git update-ref -d refs/heads/drafts/a/w",
        "git update-ref refs/heads/drafts/a/w main",
    ]
    .into_iter()
    .enumerate()
    {
        git.git(&["checkout", "-q", "-b", "side"]);
        git.package("a", &format!("side {number}"));
        git.push(&["side:refs/heads/drafts/a/w"]);
        git.git(&["checkout", "-q", "main"]);
        git.git(&["branch", "-q", "-D", "side"]);
        // What it pointed at is gone for good.
        let script =
            format!("!{then} && git reflog expire --expire=now --all && git gc -q --prune=now; #");
        let words = [
            "-c".to_owned(),
            format!("alias.later={script}"),
            "later".to_owned(),
        ];
        server.behave(|it| it.before_pack = Some((git.bare.clone(), words.into())));
        world.patch("r", json!({"spec": {"sync": {"runOnceAt": format!("2029-01-0{}T00:00:00Z", number + 1)}}})).await;
        let mut taken = false;
        for _ in 0..600 {
            let ready = world.repository("r").await;
            let told = condition(&ready, "Ready").unwrap();
            assert_eq!(told.reason, "Ready", "{then}: {}", told.message);
            server.behave(|it| taken = it.before_pack.is_none());
            world.nap().await;
        }
        assert!(taken, "{then}: no pack was asked for");
        let expected: &[&str] = if number == 0 {
            &["r.a.main", "r.a.v1*"]
        } else {
            &["r.a.main", "r.a.v1*", "r.a.w"]
        };
        world.until_served(expected).await;
    }
}

fn line(text: &[u8]) -> Vec<u8> {
    let mut out = format!("{:04x}", text.len() + 4).into_bytes();
    out.extend_from_slice(text);
    out
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_refs_and_names_from_hell_hide_nothing() {
    let world = World::start().await;
    let server = serve(&world);
    let git = Git::new(&world, "origin");
    git.package("a", "one");
    git.push(&["main"]);
    let commit = git.git(&["rev-parse", "main"]);
    let mut names: Vec<Vec<u8>> = [
        &b"refs/heads/main"[..],
        b"refs/tags/a/v1",
        b"refs/heads/drafts/a/w",
        b"refs/tags/../../../etc/passwd",
        b"refs/heads/drafts/../a/x",
        b"refs/heads/drafts/a/.hidden",
        b"refs/heads/drafts/a/w.lock",
        b"refs/heads/drafts/a/with space",
        b"refs/heads/drafts/a/star*",
        b"refs/heads/drafts/a/\x07bell",
        b"refs/heads/drafts/a/\xff\xfe",
        b"refs/heads/drafts//a//w2",
        b"refs/heads/drafts/a/w3/",
        b"refs/heads/drafts/alone",
        b"refs/heads/drafts/",
        b"refs/heads/-rf",
        b"refs/heads/@{-1}",
        b"HEAD",
        b"refs/tags/a/v99999999999999999999",
        b"refs/tags/a/v-1",
        "refs/heads/drafts/a/\u{202e}gnol".as_bytes(),
    ]
    .map(<[u8]>::to_vec)
    .into();
    names.push([&b"refs/heads/drafts/a/"[..], &vec![b'l'; 60_000]].concat());
    names.extend((0..100_000).map(|number| format!("refs/tags/release-{number}/v1").into_bytes()));
    let lines = names
        .iter()
        .map(|name| [commit.as_bytes(), b" ", name, b"\n"].concat());
    let mut refs: Vec<u8> = lines.flat_map(|text| line(&text)).collect();
    refs.extend_from_slice(b"0000");
    server.behave(|it| it.refs = Some(refs));
    world
        .register(
            "r",
            json!({"type": "git", "git": {"repo": server.url("origin.git")}}),
        )
        .await;
    world.until_reason("r", "Ready").await;
    let names = world.served();
    for expected in ["r.a.main", "r.a.v1*", "r.a.w"] {
        assert!(
            names.iter().any(|it| it == expected),
            "{expected}: {names:?}"
        );
    }
    assert!(names.len() < 8, "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_tells_how_far_it_is_and_what_it_read_is_served_meanwhile() {
    let world = World::start().await;
    let bare = world.directory.path().join("many.git");
    fs::create_dir(&bare).unwrap();
    many::repository(&bare, 130, 10);
    let (client, catalog) = (world.repositories(), world.catalog.clone());
    let told = tokio::spawn(async move {
        let stream = watcher(client, watcher::Config::default()).applied_objects();
        let mut stream = std::pin::pin!(stream);
        let mut told = Vec::new();
        while let Some(Ok(repository)) = stream.next().await {
            let Some(ready) = condition(&repository, "Ready").cloned() else {
                continue;
            };
            told.push((ready.message, catalog.revisions().snapshot().objects.len()));
            if ready.status == "True" {
                break;
            }
        }
        told
    });
    let url = format!("file://{}", bare.display());
    world
        .register("r", json!({"type": "git", "git": {"repo": url}}))
        .await;
    let ready = world.until_reason("r", "Ready").await;
    assert_eq!(ready.status.unwrap().package_count, Some(130 * 11));
    let told = told.await.unwrap();
    let steps = told.iter().filter_map(|(message, served)| {
        let rest = message.strip_prefix("Repository reconciliation in progress: reading ")?;
        let read = rest.strip_suffix(" of 1,300 package revisions")?;
        Some((read.replace(',', "").parse::<usize>().unwrap(), *served))
    });
    let steps: Vec<(usize, usize)> = steps.collect();
    assert!(steps.iter().any(|(read, _)| *read > 0), "{told:?}");
    assert!(
        steps
            .iter()
            .all(|(read, served)| served >= read && *read <= 1300),
        "{steps:?}"
    );
    assert!(steps.is_sorted(), "{steps:?}");
}
