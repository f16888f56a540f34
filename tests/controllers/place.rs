//! A repository for the soak: its Git server, which fails in every way, strangers who push to it, who may read it, and what
//! git itself says that it holds.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    git_server::{Behaviour, GitServer},
    world::{Git, World, serve},
};

/// Packages of each repository.
const PACKAGES: [&str; 3] = ["a", "b", "net/c"];

/// What looks like chance and is none (Knuth's constants).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// So many tags, and so many drafts, may a repository have.
const MOST: usize = 24;

/// A repository, and the Repository that is registered for it.
pub struct Place {
    pub name: String,
    git: Git,
    pub server: GitServer,
    /// Whether the Repository is said to hold deployments.
    pub deployment: bool,
    /// What opens the server; the Secret may say something else.
    password: usize,
    /// The next numbers: of a tag, a draft, a commit, a password.
    next: usize,
}

/// What is known of a revision: its state, its number, whether it is the latest, commit (of the branch's nothing, since that
/// moves without it) and tree, and whether it is a deployment.
pub type Known = (String, i64, bool, String, String, bool);

impl Place {
    pub async fn new(world: &World, number: usize) -> Self {
        let name = format!("r{number}");
        let git = Git::new(world, &name);
        for package in PACKAGES {
            git.package(package, "one");
        }
        git.push(&["main", "main:refs/tags/a/v1"]);
        let server = serve(world);
        let place = Self {
            name,
            git,
            server,
            deployment: false,
            password: 1,
            next: 2,
        };
        place.behave(Behaviour::default());
        place.find_password(world).await;
        place.register(world).await;
        place
    }

    pub async fn register(&self, world: &World) {
        let spec = json!({
            "type": "git", "deployment": self.deployment,
            "git": {"repo": self.server.url(&format!("{}.git", self.name)), "secretRef": {"name": self.name}},
        });
        world.register(&self.name, spec).await;
    }

    /// Has the server behave so, and let those in who know the password.
    pub fn behave(&self, mut behaviour: Behaviour) {
        let proof = STANDARD.encode(format!("user:{}", self.password));
        behaviour.authorization = Some(format!("Basic {proof}"));
        self.server.behave(|it| *it = behaviour);
    }

    /// Another password opens the server, and nobody says so; or the Secret goes.
    pub async fn lose_password(&mut self, world: &World, chance: &mut Chance) {
        if chance.below(3) == 0 {
            // It may be gone already.
            let _ = secrets(world)
                .delete(&self.name, &DeleteParams::default())
                .await;
            return;
        }
        self.next += 1;
        self.password = self.next;
        let proof = STANDARD.encode(format!("user:{}", self.password));
        self.server
            .behave(|it| it.authorization = Some(format!("Basic {proof}")));
    }

    /// The Secret says what opens the server.
    pub async fn find_password(&self, world: &World) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.name}, "type": "kubernetes.io/basic-auth",
            "data": {"username": STANDARD.encode("user"), "password": STANDARD.encode(self.password.to_string())},
        });
        let params = PatchParams::apply("soak").force();
        let applied = secrets(world)
            .patch(&self.name, &params, &Patch::Apply(secret))
            .await;
        applied.unwrap();
    }

    /// A user changes the Repository.
    pub async fn change(&mut self, world: &World, chance: &mut Chance) {
        let spec: Value = match chance.below(6) {
            0 | 1 => {
                self.deployment = !self.deployment;
                json!({"deployment": self.deployment})
            }
            2 => json!({"description": format!("of {}", chance.below(1000))}),
            3 => {
                let schedules = ["*/7 * * * *", "@every 11m", "@hourly", "", "nonsense"];
                json!({"sync": {"schedule": chance.of(&schedules)}})
            }
            4 => {
                let at = world.now() + std::time::Duration::from_secs(chance.below(600) as u64);
                json!({"sync": {"runOnceAt": at.to_string()}})
            }
            _ => {
                json!({"git": {"author": format!("a{}", chance.below(9)), "email": "a@example.com"}})
            }
        };
        world.patch(&self.name, json!({"spec": spec})).await;
    }

    /// The Repository is taken away, perhaps in the middle of its clone, and registered anew; perhaps again and again. Nothing
    /// of it may be left in between.
    pub async fn register_anew(&self, world: &World, chance: &mut Chance) {
        loop {
            if chance.below(2) == 0 {
                self.behave(Behaviour {
                    hang_after: Some(chance.below(3000)),
                    ..Behaviour::default()
                });
            }
            world.wait(chance.below(4) as u64).await;
            let deleted = world
                .repositories()
                .delete(&self.name, &DeleteParams::default())
                .await;
            deleted.unwrap();
            let mut naps = 0;
            while let Some(left) = world.repositories().get_opt(&self.name).await.unwrap() {
                naps += 1;
                assert!(naps < 100, "it never goes: {:?}", left.status);
                world.nap().await;
            }
            let records = world.records().list(&<_>::default()).await.unwrap();
            let left = records
                .iter()
                .filter(|it| it.spec.repository.name == self.name);
            assert_eq!(left.count(), 0, "{}: records are left", self.name);
            self.register(world).await;
            if chance.below(3) > 0 {
                return;
            }
        }
    }

    fn refs(&self, below: &str) -> Vec<String> {
        let words = ["ls-remote", "origin", below];
        let listed = self.git.git(&words);
        let names = listed.lines().filter_map(|line| line.split('\t').nth(1));
        names.map(Into::into).collect()
    }

    /// Removes one of these refs, or many where there are too many.
    fn remove(&self, below: &str, chance: &mut Chance) {
        let mut all = self.refs(below);
        let many = if all.len() > MOST { MOST / 2 } else { 1 };
        let mut gone = Vec::new();
        while gone.len() < many && !all.is_empty() {
            gone.push(format!(":{}", all.swap_remove(chance.below(all.len()))));
        }
        if !gone.is_empty() {
            let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
            self.git.push(&gone);
        }
    }

    /// A stranger pushes something.
    pub fn push(&mut self, chance: &mut Chance) {
        let package = chance.of(&PACKAGES);
        self.next += 1;
        let number = self.next;
        match chance.below(8) {
            0 | 1 => {
                self.git.package(package, &format!("change {number}"));
                self.git
                    .push(&["main", &format!("main:refs/tags/{package}/v{number}")]);
            }
            2 => self
                .git
                .push(&[&format!("main:refs/heads/drafts/{package}/w{number}")]),
            3 => {
                self.remove("refs/tags/*", chance);
            }
            4 => {
                self.remove("refs/heads/drafts/*", chance);
                self.remove("refs/heads/proposed/*", chance);
            }
            5 => {
                // History is written anew, and a tag moves.
                self.git.git(&[
                    "commit",
                    "-q",
                    "--amend",
                    "--allow-empty",
                    "-m",
                    &format!("anew {number}"),
                ]);
                let tags = self.refs("refs/tags/*");
                if !tags.is_empty() {
                    self.git
                        .push(&["main", &format!("main:{}", chance.of(&tags))]);
                }
            }
            6 => {
                let drafts = self.refs("refs/heads/drafts/*");
                if !drafts.is_empty() {
                    let draft = chance.of(&drafts).clone();
                    let proposed = draft.replace("/drafts/", "/proposed/");
                    self.git
                        .push(&[&format!("main:{proposed}"), &format!(":{draft}")]);
                }
            }
            _ => {
                self.git.package(package, &format!("main {number}"));
                self.git.push(&["main"]);
            }
        }
    }

    /// The server begins to fail, or to work again in another way.
    pub fn fail(&self, chance: &mut Chance) {
        let fault: Behaviour = match chance.below(9) {
            0 => Behaviour {
                status: Some(*chance.of(&[401, 403, 404, 429, 500, 503, 504])),
                ..Behaviour::default()
            },
            1 => Behaviour {
                status: Some(503),
                retry_after: Some(chance.below(2000).to_string()),
                ..Behaviour::default()
            },
            2 => Behaviour {
                cut_after: Some(chance.below(2000)),
                ..Behaviour::default()
            },
            3 => Behaviour {
                garbage: Some(b"0000".to_vec()[..chance.below(4)].to_vec()),
                ..Behaviour::default()
            },
            4 => Behaviour {
                pack: Some(b"000dpackfile\n0009\x01PACK0000".to_vec()),
                ..Behaviour::default()
            },
            5 => Behaviour {
                refs: Some(Vec::new()),
                ..Behaviour::default()
            },
            6 => Behaviour {
                hang_after: Some(chance.below(500)),
                ..Behaviour::default()
            },
            7 => Behaviour {
                redirect: Some("http://elsewhere.invalid/r.git".into()),
                old_protocol: true,
                ..Behaviour::default()
            },
            _ => Behaviour {
                old_protocol: true,
                ..Behaviour::default()
            },
        };
        self.behave(fault);
    }

    /// Returns what git says that the repository holds, by the names of the revisions.
    pub fn held(&self) -> BTreeMap<String, Known> {
        let mut found = Vec::new();
        let listed = self.git.git(&["ls-remote", "origin"]);
        for line in listed.lines() {
            let (commit, name) = line.split_once('\t').unwrap();
            let states = [
                ("refs/tags/", "Published"),
                ("refs/heads/drafts/", "Draft"),
                ("refs/heads/proposed/", "Proposed"),
            ];
            for (below, state) in states {
                if let Some(rest) = name.strip_prefix(below) {
                    let (package, last) = rest.rsplit_once('/').unwrap();
                    found.push((package, last, state, commit));
                }
            }
            if name == "refs/heads/main" {
                found.extend(PACKAGES.map(|package| (package, "main", "Published", commit)));
            }
        }
        let places = found
            .iter()
            .map(|(package, _, _, commit)| format!("{commit}:{package}"));
        let places: Vec<String> = places.collect();
        let bare = format!("--git-dir={}", self.git.bare.display());
        let words: Vec<&str> = [&*bare, "rev-parse"]
            .into_iter()
            .chain(places.iter().map(|it| &**it))
            .collect();
        let trees = self.git.git(&words);
        let revision = |last: &str, state: &str| match last {
            "main" => -1,
            _ if state == "Published" => last[1..].parse().unwrap(),
            _ => 0,
        };
        let newest = |package: &str| {
            let of_it = found.iter().filter(|it| it.0 == package);
            of_it
                .map(|it| revision(it.1, it.2))
                .max()
                .unwrap_or_default()
        };
        let known = found.iter().zip(trees.lines()).map(|(it, tree)| {
            let (package, last, state, commit) = *it;
            let number = revision(last, state);
            let name = format!("{}.{}.{last}", self.name, package.replace('/', "."));
            let commit = if number < 0 { "" } else { commit };
            let latest = number > 0 && number == newest(package);
            (
                name,
                (
                    state.to_owned(),
                    number,
                    latest,
                    commit.to_owned(),
                    tree.to_owned(),
                    self.deployment,
                ),
            )
        });
        known.collect()
    }
}

/// Returns what the records say of a Repository's revisions.
pub fn recorded(world: &World, name: &str) -> BTreeMap<String, Known> {
    let (_, records) = world.catalog.records_of("default", name);
    let known = records.iter().map(|record| {
        let observed = record.spec.observed.as_ref().unwrap();
        let state = observed.lifecycle.as_str().to_owned();
        let commit = if observed.revision < 0 {
            ""
        } else {
            &observed.git.commit
        };
        let known = (
            state,
            observed.revision,
            observed.latest,
            commit.to_owned(),
            observed.git.tree.clone(),
            observed.deployment,
        );
        (kube::ResourceExt::name_any(&**record), known)
    });
    known.collect()
}

fn secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.client.clone(), "default")
}
