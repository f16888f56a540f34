//! What mirrors come to when they are fetched into for long: packs, and what force pushes left behind.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use porch::git::{
    Access, Address, Due, Kept, Mirror, Refs, Rewrite, Scanner, Scope, Workbench, list_refs,
};

use crate::{
    git_server::{GitServer, git},
    repository::{KPTFILE, Repository},
};

const DAY: Duration = Duration::from_hours(24);

fn access(url: &str) -> Access {
    Access::anonymous(Address::parse(url, false).unwrap())
}

fn packs(mirror: &Path) -> usize {
    let files = fs::read_dir(mirror.join("objects/pack")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|end| end == "pack"))
        .count()
}

/// Says by its time that a file was written long ago.
fn age(file: &Path) {
    let open = fs::OpenOptions::new().write(true).open(file).unwrap();
    open.set_modified(SystemTime::now() - 3 * DAY).unwrap();
}

/// Returns how many packs there were, and are; nothing if somebody else was at it, such as a process that another test was
/// about to start and that had our lock for a moment.
fn packs_of(kept: Kept) -> Option<(usize, usize)> {
    (kept != Kept::default()).then_some(kept.packs)
}

/// Drops what nobody wants.
fn dropped(mirror: &Mirror, within: Duration) -> Kept {
    loop {
        if let Some(wanted) = mirror.want(within).unwrap() {
            return match mirror.rewrite(wanted).unwrap() {
                Rewrite::Needless(kept) => kept,
                Rewrite::Ready(rewritten) => mirror.supplant(rewritten, within).unwrap(),
            };
        }
        // Somebody else is at it, such as a process that another test was about to start and that had our lock for a moment.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Text that no delta and no compression makes small.
fn noise(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    };
    (0..1000).map(|_| next()).collect()
}

/// Git itself finds everything that these refs reach.
fn holds(mirror: &Path, refs: &Refs) {
    for (name, target) in refs.iter() {
        let listed = git(mirror, &["rev-list", "--objects", &target.id]);
        assert!(!listed.is_empty(), "{name}");
    }
    git(mirror, &["fsck", "--full", "--strict"]);
}

#[test]
fn a_mirror_that_is_fetched_into_for_long_stays_small_and_whole() {
    let repository = Repository::new();
    repository.write("a/Kptfile", KPTFILE);
    repository.commit("begin");
    repository.push();
    let server = GitServer::http(repository.root());
    let access = access(&server.url("bare.git"));
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    let other = Mirror::open(&repository.mirror()).unwrap();
    let mut joined = Vec::new();
    for number in 0..60 {
        repository.write("a/x", &number.to_string());
        repository.commit("more");
        repository.push();
        mirror.fetch(&access, &list_refs(&access).unwrap()).unwrap();
        match mirror.due() {
            Due::Nothing => {}
            Due::Join => joined.extend(packs_of(mirror.join_packs().unwrap())),
            Due::Drop => panic!("it is new"),
        }
    }
    eprintln!("packs before and after: {joined:?}");
    assert_eq!(joined.len(), 1);
    assert!(
        (41..50).contains(&joined[0].0) && joined[0].1 <= 6,
        "{joined:?}"
    );
    assert!(packs(&repository.mirror()) <= 25);
    let refs = mirror.refs().unwrap();
    holds(&repository.mirror(), &refs);
    let scan =
        |mirror: &Mirror| Scanner::new(Scope::new("main", "")).scan(mirror, &refs, &|_| true);
    assert_eq!(
        scan(&mirror).unwrap(),
        scan(&other).unwrap(),
        "one that was open all the while reads on"
    );
}

/// A mirror with two holders, into which a branch was fetched that was forced elsewhere again and again. Returns what was
/// there first.
fn forced(repository: &Repository, access: &Access) -> (Refs, String) {
    repository.write("a/Kptfile", KPTFILE);
    repository.commit("begin");
    repository.git(&["tag", "-a", "-m", "one", "a/v1"]);
    repository.git(&["tag", "-a", "-m", "of a tag", "a/v2", "a/v1"]);
    repository.git(&["branch", "drafts/a/w"]);
    repository.git(&["branch", "side"]);
    repository.git(&["checkout", "-q", "drafts/a/w"]);
    repository.push();
    let mirror = Mirror::open(&repository.mirror()).unwrap();
    let mut first = String::new();
    for number in 0..20 {
        repository.write("a/x", &noise(number));
        repository.git(&["add", "-A"]);
        repository.git(&["commit", "-q", "--amend", "-m", &format!("draft {number}")]);
        repository.push();
        let refs = list_refs(access).unwrap();
        mirror.bring(access, &refs).unwrap();
        mirror
            .hold("one", &refs.clone().relevant(&Scope::new("main", "")))
            .unwrap();
        let draft = refs.get("refs/heads/drafts/a/w").unwrap().commit.clone();
        if first.is_empty() {
            first = draft;
        }
    }
    // What the other holder alone wants.
    repository.git(&["checkout", "-q", "side"]);
    repository.write("b/x", "side");
    repository.commit("side");
    repository.push();
    let refs = list_refs(access).unwrap();
    let other = refs.clone().relevant(&Scope::new("side", ""));
    mirror.bring(access, &other).unwrap();
    mirror.hold("other", &other).unwrap();
    (refs, first)
}

#[test]
fn what_force_pushes_leave_behind_is_dropped_in_time_and_nothing_else() {
    let repository = Repository::new();
    let server = GitServer::http(repository.root());
    let access = access(&server.url("bare.git"));
    let (refs, first) = forced(&repository, &access);
    let path = repository.mirror();
    let reader = Mirror::open(&path).unwrap();
    let mirror = Mirror::open(&path).unwrap();
    // What was pushed from here and is in no ref of a holder yet.
    let mut bench = Workbench::new(&mirror).unwrap();
    let pushed = bench.first_commit(jiff::Timestamp::now()).unwrap();
    mirror.keep(&bench.pack()).unwrap();

    // A record may name the first draft: it went less than a day ago.
    let kept = dropped(&mirror, DAY);
    assert_eq!(kept.objects.0, kept.objects.1);
    assert!(Mirror::open(&path).unwrap().contains(&first));

    let size = |path: &Path| -> u64 {
        let files = fs::read_dir(path.join("objects/pack")).unwrap();
        files.map(|it| it.unwrap().metadata().unwrap().len()).sum()
    };
    let before = size(&path);
    let recent = fs::read_to_string(path.join("recent")).unwrap();
    let (drafts, newest): (Vec<_>, Vec<_>) =
        recent.lines().partition(|line| !line.ends_with(&pushed));
    assert_eq!((drafts.len(), newest.len()), (19, 1), "{recent}");
    // The drafts are old now, the push is not.
    let old = drafts.iter().map(|line| line.split_once(' ').unwrap().1);
    let old = old.flat_map(|id| ["1000000000 ", id, "\n"]);
    let old: String = old.collect();
    fs::write(path.join("recent"), format!("{old}{}\n", newest[0])).unwrap();
    let kept = dropped(&mirror, DAY);
    eprintln!("{kept:?}, {before} bytes before, {} after", size(&path));
    assert!(kept.packs.0 > 20 && kept.packs.1 == 1, "{kept:?}");
    assert!(kept.objects.1 < kept.objects.0 / 2, "{kept:?}");
    assert!(size(&path) < before / 2);
    let fresh = Mirror::open(&path).unwrap();
    assert!(!fresh.contains(&first), "nobody can want it");
    assert!(fresh.contains(&pushed));
    holds(&path, &refs);
    assert_eq!(
        fs::read_to_string(path.join("recent"))
            .unwrap()
            .lines()
            .count(),
        1
    );
    // Whoever had it open reads on.
    let scan =
        |mirror: &Mirror| Scanner::new(Scope::new("side", "")).scan(mirror, &refs, &|_| true);
    assert_eq!(scan(&reader).unwrap(), scan(&fresh).unwrap());
    // The next fetch goes on from there.
    repository.write("b/x", "again");
    repository.commit("again");
    repository.push();
    let refs = list_refs(&access).unwrap();
    fresh.bring(&access, &refs).unwrap();
    holds(&path, &refs);
}

#[test]
fn what_comes_to_be_wanted_while_a_mirror_is_written_anew_is_kept() {
    let repository = Repository::new();
    let server = GitServer::http(repository.root());
    let access = access(&server.url("bare.git"));
    let (_, first) = forced(&repository, &access);
    let path = repository.mirror();
    let mirror = Mirror::open(&path).unwrap();
    let wanted = loop {
        if let Some(wanted) = mirror.want(Duration::ZERO).unwrap() {
            break wanted;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let Rewrite::Ready(rewritten) = mirror.rewrite(wanted).unwrap() else {
        panic!("there is much to drop");
    };
    // A stranger makes the draft what it was at first: nothing is fetched for it, all of it is in packs that are to go. And
    // the branch goes on: that is fetched, on top of what was wanted before.
    repository.git(&["checkout", "-q", "main"]);
    repository.git(&["branch", "-q", "-f", "drafts/a/w", &first]);
    repository.write("a/x", &noise(77));
    repository.commit("more");
    repository.push();
    let refs = list_refs(&access).unwrap();
    assert!(mirror.contains(&first));
    let other = Mirror::open(&path).unwrap();
    other.bring(&access, &refs).unwrap();
    other.hold("one", &refs).unwrap();
    let kept = mirror.supplant(rewritten, Duration::ZERO).unwrap();
    eprintln!("{kept:?}");
    assert!(kept.packs.0 > 20 && kept.packs.1 <= 3, "{kept:?}");
    holds(&path, &refs);
    let fresh = Mirror::open(&path).unwrap();
    assert!(fresh.contains(&first));
}

#[test]
fn what_a_holder_wants_that_cannot_be_read_keeps_everything() {
    let repository = Repository::new();
    let server = GitServer::http(repository.root());
    let access = access(&server.url("bare.git"));
    let (_, first) = forced(&repository, &access);
    let path = repository.mirror();
    let before = packs(&path);
    fs::write(path.join("holders/other"), "nonsense\n").unwrap();
    let mirror = Mirror::open(&path).unwrap();
    let failed = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        mirror.want(Duration::ZERO).is_err()
    });
    assert!(failed);
    assert_eq!(packs(&path), before);
    assert!(mirror.contains(&first));
    // When that holder is gone, nobody can want what it wanted.
    Mirror::release(&path, "other").unwrap();
    assert_eq!(Mirror::holders(&path), ["one"]);
    let kept = dropped(&mirror, Duration::ZERO);
    assert_eq!(kept.packs.1, 1);
}

#[test]
fn upkeep_is_due_in_time_and_mends_what_a_killed_one_left() {
    let repository = Repository::new();
    let server = GitServer::http(repository.root());
    let access = access(&server.url("bare.git"));
    let (refs, _) = forced(&repository, &access);
    let path = repository.mirror();
    let mirror = Mirror::open(&path).unwrap();
    assert_eq!(
        mirror.due(),
        Due::Nothing,
        "a new mirror has nothing to drop"
    );
    age(&path.join("pruned"));
    assert_eq!(mirror.due(), Due::Drop);
    // Killed after the new pack was there, and in the middle of removing the old ones.
    let store = path.join("objects/pack");
    let copy = repository.root().join("copy");
    git(
        repository.root(),
        &["clone", "-q", "--mirror", path.to_str().unwrap(), "x.git"],
    );
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(&store).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    dropped(&mirror, Duration::ZERO);
    assert_eq!(mirror.due(), Due::Nothing);
    let (mut half, mut whole) = (Vec::new(), 0);
    for file in fs::read_dir(&copy).unwrap() {
        let file = file.unwrap();
        let (name, end) = (file.path(), file.path().extension().unwrap().to_owned());
        if end == "pack" && half.len() < 3 {
            // Its index went first.
            half.push(name.file_stem().unwrap().to_owned());
        }
        if end == "pack" || !half.contains(&name.file_stem().unwrap().to_owned()) {
            let to = store.join(file.file_name());
            fs::copy(file.path(), &to).unwrap();
            whole += 1;
        }
    }
    assert!(whole > 20);
    holds(&path, &refs);
    for pack in &half {
        let _ = fs::remove_file(store.join(pack).with_extension("idx"));
        age(&store.join(pack).with_extension("pack"));
    }
    let tmp = store.join("tmp_pack_x");
    fs::write(&tmp, "half").unwrap();
    age(&tmp);
    let kept = dropped(&mirror, Duration::ZERO);
    assert_eq!((kept.packs.1, packs(&path)), (1, 1), "{kept:?}");
    assert!(!tmp.exists());
    holds(&path, &refs);
}
