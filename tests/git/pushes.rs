//! Pushes that are done, and what they cost.

use std::{collections::BTreeMap, slice::from_ref};

use porch::git::{Pack, Pushed, RefEdit, Refusal, Refused, Workbench, list_refs, list_some, push};

use crate::{
    git_server::git,
    scene::{MAIN, Scene, edit, files},
};

fn done() -> Pushed {
    Pushed {
        refused: Vec::new(),
        atomic: true,
    }
}

#[test]
fn a_push_is_one_request_once_the_server_is_known() {
    let scene = Scene::new();
    let head = scene.id(MAIN).unwrap();
    let (commit, pack) = scene.commit("b", "1");
    let advertisement = "GET /bare.git/info/refs?service=git-receive-pack";
    let request = "POST /bare.git/git-receive-pack";
    let draft = "refs/heads/drafts/b/w";
    scene.server.requests();
    let made = push(&scene.access, &[pack], &[edit(draft, "", &commit)]);
    assert_eq!(made.unwrap(), done());
    assert_eq!(scene.server.requests(), [advertisement, request]);
    for edits in [
        vec![edit(draft, &commit, &head)],
        vec![
            edit(draft, &head, ""),
            edit("refs/tags/b/v1", "", &commit),
            edit(MAIN, &head, &commit),
        ],
        vec![edit("refs/tags/b/v1", &commit, "")],
    ] {
        // Moves need no pack of their own.
        assert_eq!(push(&scene.access, &[], &edits).unwrap(), done());
        assert_eq!(scene.server.requests(), [request]);
    }
    assert_eq!(scene.server.connections(), 1);
    assert_eq!(push(&scene.access, &[], &[]).unwrap().refused, []);
    assert_eq!(scene.server.requests(), [""; 0]);
    assert_eq!(
        scene.repository.bare_refs(),
        BTreeMap::from([(MAIN.to_string(), commit)])
    );
    git(&scene.repository.bare(), &["fsck", "--full", "--strict"]);
}

#[test]
fn packs_of_several_plans_travel_together() {
    let scene = Scene::new();
    let (one, first) = scene.commit("b", "1");
    let (two, second) = scene.commit("c", "1");
    let edits = [
        edit("refs/heads/drafts/b/w", "", &one),
        edit("refs/heads/drafts/c/w", "", &two),
    ];
    // Both hold the same blob.
    assert_eq!(
        Pack::joined(&[first.clone(), second.clone()]).len(),
        first.len() + second.len() - 2
    );
    assert_eq!(
        push(&scene.access, &[first, second], &edits).unwrap(),
        done()
    );
    git(&scene.repository.bare(), &["fsck", "--full", "--strict"]);
}

#[test]
fn some_refs_are_asked_for_by_name() {
    let scene = Scene::new();
    scene.repository.git(&["branch", "mainly"]);
    scene.repository.git(&["tag", "-a", "-m", "x", "a/v1"]);
    scene.repository.push();
    let names = [MAIN, "refs/tags/a/v1", "refs/heads/absent"];
    for (old_protocol, access) in [
        (false, scene.fresh_access()),
        (true, scene.fresh_access()),
        (false, scene.repository.file()),
    ] {
        scene
            .server
            .behave(|behaviour| behaviour.old_protocol = old_protocol);
        let all = list_refs(&access).unwrap();
        let some = list_some(&access, &names).unwrap();
        assert_eq!(some.len(), 2);
        assert!(
            some.iter()
                .all(|(name, target)| all.get(name) == Some(target))
        );
    }
}

#[test]
fn every_lost_lease_is_told_and_nothing_is_overwritten() {
    for kind in ["atomic", "plain", "file"] {
        let scene = Scene::new();
        scene.repository.set(
            "receive.advertiseAtomic",
            if kind == "plain" { "false" } else { "true" },
        );
        let access = if kind == "file" {
            scene.repository.file()
        } else {
            scene.fresh_access()
        };
        let head = scene.id(MAIN).unwrap();
        let (commit, pack) = scene.commit("b", "1");
        let (other, others) = scene.commit("b", "2");
        let there = "refs/heads/drafts/b/there";
        let made = push(
            &access,
            &[others],
            &[edit(there, "", &head), edit("refs/tags/b/v1", "", &other)],
        );
        assert_eq!(made.unwrap().refused, [], "{kind}");
        let before = scene.repository.bare_refs();
        for lost in [
            edit(there, "", &commit),
            edit(there, &commit, &other),
            edit(there, &other, &head),
            edit(there, &other, ""),
            edit("refs/heads/absent", &head, &commit),
            edit("refs/tags/b/v1", "", &commit),
            edit("refs/tags/b/v1", &head, &commit),
        ] {
            let alone = push(&access, from_ref(&pack), from_ref(&lost)).unwrap();
            let moved = Refused {
                name: lost.name.clone(),
                why: Refusal::Moved,
            };
            assert_eq!(alone.refused, from_ref(&moved), "{kind} {lost:?}");
            assert_eq!(scene.repository.bare_refs(), before, "{kind} {lost:?}");
            if kind == "plain" {
                continue;
            }
            let good = edit("refs/heads/drafts/b/new", "", &commit);
            let neighbour = Refused {
                name: good.name.clone(),
                why: Refusal::Neighbour,
            };
            for edits in [[good.clone(), lost.clone()], [lost.clone(), good.clone()]] {
                let both = push(&access, from_ref(&pack), &edits).unwrap();
                let mut refused = both.refused;
                refused.sort_by_key(|one| one.name == good.name);
                assert_eq!(
                    refused,
                    [moved.clone(), neighbour.clone()],
                    "{kind} {edits:?}"
                );
                assert_eq!(scene.repository.bare_refs(), before, "{kind} {edits:?}");
            }
        }
    }
}

#[test]
fn without_atomic_edits_are_made_one_by_one_up_to_the_first_that_is_refused() {
    let scene = Scene::new();
    scene.repository.set("receive.advertiseAtomic", "false");
    let head = scene.id(MAIN).unwrap();
    let (commit, pack) = scene.commit("b", "1");
    let edits = [
        edit("refs/heads/one", "", &commit),
        edit(MAIN, &commit, &head),
        edit("refs/heads/two", "", &commit),
    ];
    let pushed = push(&scene.access, from_ref(&pack), &edits).unwrap();
    let refused = |name: &str, why| Refused {
        name: name.into(),
        why,
    };
    let want = vec![
        refused(MAIN, Refusal::Moved),
        refused("refs/heads/two", Refusal::Neighbour),
    ];
    assert_eq!(pushed.refused, want);
    assert!(!pushed.atomic);
    let refs = scene.repository.bare_refs();
    assert_eq!(
        (refs.len(), &refs["refs/heads/one"], &refs[MAIN]),
        (2, &commit, &head)
    );
    let edits = [
        edit("refs/heads/one", &commit, ""),
        edit(MAIN, &head, &commit),
        edit("refs/tags/b/v1", "", &commit),
    ];
    assert_eq!(
        push(&scene.access, from_ref(&pack), &edits).unwrap(),
        done()
    );
    assert_eq!(scene.repository.bare_refs().len(), 2);
    git(&scene.repository.bare(), &["fsck", "--full", "--strict"]);
}

#[test]
fn edits_that_are_none_are_refused_before_anybody_is_asked() {
    let scene = Scene::new();
    let head = scene.id(MAIN).unwrap();
    let zeros = "0".repeat(40);
    scene.server.requests();
    for edits in [
        vec![edit(MAIN, "", "")],
        vec![edit("main", "", &head)],
        vec![edit("refs/notes/x", "", &head)],
        vec![edit("refs/heads/a b", "", &head)],
        vec![edit("refs/heads/a\n", "", &head)],
        vec![edit("refs/heads/../x", "", &head)],
        vec![edit("refs/heads/x.lock", "", &head)],
        vec![edit(MAIN, &head[..39], &head)],
        vec![edit(MAIN, &head.to_uppercase(), &head)],
        vec![edit(MAIN, &zeros, &head)],
        vec![edit(MAIN, &head, &zeros)],
        vec![edit(MAIN, &head, &head), edit(MAIN, &head, "")],
    ] {
        for access in [scene.fresh_access(), scene.repository.file()] {
            let refused = push(&access, &[], &edits);
            assert!(
                matches!(refused, Err(porch::git::Error::Refused(_))),
                "{edits:?}: {refused:?}"
            );
        }
    }
    assert!(scene.server.requests().is_empty());
}

/// Marsaglia's xorshift: chance that can be had again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// Returns a plan of one to four edits, some with leases that are out of date.
fn plan(chance: &mut Chance, model: &BTreeMap<String, String>, commits: &[String]) -> Vec<RefEdit> {
    let mut edits: Vec<RefEdit> = Vec::new();
    for _ in 0..=chance.below(4) {
        let name = ["refs/heads/r", "refs/tags/t/v", "refs/heads/drafts/p/w"][chance.below(3)];
        let name = format!("{name}{}", chance.below(4));
        if edits.iter().any(|edit| edit.name == name) {
            continue;
        }
        let any = |chance: &mut Chance| commits[chance.below(commits.len())].clone();
        let from = match chance.below(5) {
            0 => None,
            1 => Some(any(chance)),
            _ => model.get(&name).cloned(),
        };
        let to = (from.is_none() || chance.below(3) > 0).then(|| any(chance));
        edits.push(RefEdit { name, from, to });
    }
    edits
}

#[test]
fn random_plans_do_to_the_refs_what_they_do_to_a_model() {
    for (kind, seed) in [("atomic", 11), ("plain", 12), ("file", 13)] {
        let scene = Scene::new();
        let atomic = kind != "plain";
        scene
            .repository
            .set("receive.advertiseAtomic", &atomic.to_string());
        let access = if kind == "file" {
            scene.repository.file()
        } else {
            scene.fresh_access()
        };
        let mut chance = Chance(seed);
        let made: Vec<_> = (0..5)
            .map(|number| scene.commit("p", &number.to_string()))
            .collect();
        let packs: Vec<_> = made.iter().map(|(_, pack)| pack.clone()).collect();
        let commits: Vec<_> = made.into_iter().map(|(commit, _)| commit).collect();
        let mut model = scene.repository.bare_refs();
        for round in 0..60 {
            if round % 7 == 3 {
                git(&scene.repository.bare(), &["pack-refs", "--all"]);
            }
            let edits = plan(&mut chance, &model, &commits);
            let pushed = push(&access, &packs, &edits).unwrap();
            let is_lost = |edit: &RefEdit| model.get(&edit.name) != edit.from.as_ref();
            let first = edits.iter().position(is_lost).unwrap_or(edits.len());
            let made = match (first < edits.len(), atomic) {
                (true, true) => 0,
                _ => first,
            };
            let names: Vec<_> = edits[made..].iter().map(|edit| &edit.name).collect();
            let told: BTreeMap<_, _> = pushed
                .refused
                .iter()
                .map(|it| (&it.name, &it.why))
                .collect();
            assert_eq!(
                pushed.refused.iter().map(|it| &it.name).collect::<Vec<_>>(),
                names,
                "{kind} {round} {edits:?}"
            );
            for (edit, why) in edits
                .iter()
                .filter_map(|edit| Some((edit, told.get(&edit.name)?)))
            {
                let want = is_lost(edit) && **why == Refusal::Moved || **why == Refusal::Neighbour;
                assert!(want, "{kind} {round} {edit:?} {why:?}");
            }
            assert!(
                told.is_empty() || told.values().any(|why| **why == Refusal::Moved),
                "{kind} {round} {told:?}"
            );
            for edit in edits.iter().filter(|edit| !told.contains_key(&&edit.name)) {
                match &edit.to {
                    Some(to) => drop(model.insert(edit.name.clone(), to.clone())),
                    None => drop(model.remove(&edit.name)),
                }
            }
            assert_eq!(
                scene.repository.bare_refs(),
                model,
                "{kind} {round} {edits:?}"
            );
        }
        git(&scene.repository.bare(), &["fsck", "--full", "--strict"]);
    }
}

#[test]
fn writers_at_once_on_one_ref_win_one_at_a_time() {
    for kind in ["http", "file"] {
        let scene = Scene::new();
        let access = if kind == "file" {
            scene.repository.file()
        } else {
            scene.fresh_access()
        };
        let name = "refs/heads/drafts/p/w";
        let made: Vec<_> = (0..6)
            .map(|number| scene.commit("p", &number.to_string()))
            .collect();
        let wins: Vec<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = made
                .iter()
                .map(|(commit, pack)| {
                    let access = access.clone();
                    scope.spawn(move || {
                        push(&access, from_ref(pack), &[edit(name, "", commit)]).unwrap()
                    })
                })
                .collect();
            writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect()
        });
        let winners: Vec<_> = wins
            .iter()
            .zip(&made)
            .filter(|(pushed, _)| pushed.refused.is_empty())
            .collect();
        assert_eq!(winners.len(), 1, "{kind} {wins:?}");
        assert_eq!(scene.id(name).as_ref(), Some(&winners[0].1.0), "{kind}");
        let lost = wins.iter().flat_map(|pushed| &pushed.refused);
        assert!(
            lost.into_iter()
                .all(|refused| refused.why == Refusal::Moved),
            "{kind} {wins:?}"
        );
    }
}

#[test]
fn a_name_is_free_again_when_what_was_below_it_is_gone() {
    for kind in ["http", "file"] {
        let scene = Scene::new();
        let access = match kind {
            "file" => scene.repository.file(),
            _ => scene.fresh_access(),
        };
        let head = scene.id(MAIN).unwrap();
        let (below, above) = ("refs/heads/drafts/p/q/w", "refs/heads/drafts/p");
        for packed in [false, true] {
            let made = push(&access, &[], &[edit(below, "", &head)]).unwrap();
            assert_eq!(made.refused, [], "{kind}");
            if packed {
                git(&scene.repository.bare(), &["pack-refs", "--all"]);
            }
            let blocked = push(&access, &[], &[edit(above, "", &head)]).unwrap();
            let why = &blocked.refused[0].why;
            assert!(
                matches!(why, Refusal::Declined(words) if words.contains(below)),
                "{kind} {why:?}"
            );
            for next in [
                edit(below, &head, ""),
                edit(above, "", &head),
                edit(above, &head, ""),
            ] {
                let pushed = push(&access, &[], from_ref(&next)).unwrap();
                assert_eq!(pushed.refused, [], "{kind} {next:?}");
            }
        }
    }
}

#[test]
fn a_large_push_into_a_directory_is_one_pack() {
    let scene = Scene::new();
    let mirror = scene.mirror();
    let head = scene.id(MAIN).unwrap();
    let mut bench = Workbench::new(&mirror).unwrap();
    let all: Vec<_> = (0..300)
        .map(|number| (format!("d{}/f{number}", number % 7), number.to_string()))
        .collect();
    let all: Vec<_> = all
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_str()))
        .collect();
    let tree = bench.package_tree(&files(&all), None).unwrap();
    let commit = bench
        .commit(&porch::git::NewCommit {
            base: Some(&head),
            parents: &[&head],
            directory: "many",
            tree: Some(&tree),
            author: &crate::scene::author(),
            time: crate::scene::time(),
            message: "m",
        })
        .unwrap();
    for access in [scene.repository.file(), scene.access.clone()] {
        let from = scene.id("refs/heads/x").unwrap_or_default();
        let pushed = push(
            &access,
            &[bench.pack()],
            &[edit("refs/heads/x", &from, &commit)],
        )
        .unwrap();
        assert_eq!(pushed.refused, []);
        let listed = git(
            &scene.repository.bare(),
            &["ls-tree", "-r", "--name-only", "x:many"],
        );
        assert_eq!(listed.lines().count(), 300);
        git(&scene.repository.bare(), &["fsck", "--full", "--strict"]);
    }
}
