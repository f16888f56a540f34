//! The way to one Git repository, for writes: what is planned on its mirror, what is sent to its server, and what the
//! server has now. In come works and plans, out goes what became of them. It decides nothing: a lane does.

use std::sync::Arc;

use super::{
    Error, Mirrors, Target,
    plan::{Plan, View, Work, follows, join, plan},
    store::{Branch, Place},
};
use crate::git::{self, Access, Pack, Pushed, RefEdit, Workbench};

/// How to plan: on these refs, if they were just looked at; and whether to send what the server should have too.
pub type How = (Option<Arc<git::Refs>>, bool);

/// Plans that stand on each other, and the objects that they need.
pub struct Drafted {
    pub plans: Vec<Result<Plan, git::Error>>,
    pub pack: Pack,
}

/// The way to one repository.
pub struct Road {
    pub mirrors: Mirrors,
    pub place: Arc<Place>,
    pub target: Target,
    pub access: Access,
}

impl Road {
    /// Plans works, each on what those before it do.
    pub async fn draft(&self, works: Vec<Work>, (refs, whole): How) -> Result<Drafted, Error> {
        let scope = self.target.subject.scope.clone();
        let known = self.place.branch(&scope.branch_ref());
        let place = self.place.clone();
        self.mirrors
            .read(&self.place, move |mirror| {
                let head = match known {
                    Branch::At(head) => Some(head),
                    Branch::Absent => None,
                    Branch::Unknown => {
                        let refs = place.refs(mirror)?;
                        refs.head(&scope).ok().map(|it| it.commit.clone())
                    }
                };
                let view = View { head, refs };
                let mut bench = Workbench::new(mirror)?;
                let plans = plan_all(&works, &scope, view, &mut bench);
                let pack = if whole {
                    bench.whole_pack()?
                } else {
                    bench.pack()
                };
                Ok(Drafted { plans, pack })
            })
            .await
            .or_else(|error| match error {
                // There is no mirror yet: said as of a plan, so that it is fetched.
                Error::Git(git::Error::Corrupt(why)) => Ok(Drafted {
                    plans: vec![Err(git::Error::Corrupt(why))],
                    pack: Pack::default(),
                }),
                other => Err(other),
            })
    }

    /// Pushes; what came to pass is in the mirror then.
    pub async fn send<'a>(
        &self,
        packs: Vec<Pack>,
        plans: impl IntoIterator<Item = &'a Plan> + Clone,
    ) -> Result<Pushed, git::Error> {
        let (edits, head) = (join(plans.clone()), self.head_after(plans));
        let (access, place) = (self.access.clone(), self.place.clone());
        let pushed = self
            .mirrors
            .exchange(&self.access, move || {
                let pushed = git::push(&access, &packs, &edits)?;
                if pushed.refused.is_empty() {
                    place.keep(&packs);
                    if let Some((branch, head)) = head {
                        place.note_branch(branch, head);
                    }
                }
                Ok(pushed)
            })
            .await;
        self.mirrors.keep_up(&self.place);
        pushed.map_err(|error| match error {
            Error::Git(error) => error,
            other => git::Error::Uncertain(other.to_string()),
        })
    }

    /// Asks what would become of a plan now, and changes nothing.
    pub async fn ask(&self, plan: &Plan) -> Result<Pushed, Error> {
        let (access, edits) = (self.access.clone(), plan.edits.clone());
        let asked = move || git::rehearse(&access, &edits);
        self.mirrors.exchange(&self.access, asked).await
    }

    /// Returns what the branch is after these plans, if they move it.
    fn head_after<'a>(
        &self,
        plans: impl IntoIterator<Item = &'a Plan>,
    ) -> Option<(String, Option<String>)> {
        let moved = plans.into_iter().filter(|plan| plan.moves_branch).last()?;
        let branch = self.target.subject.scope.branch_ref();
        Some((branch, Some(moved.commit.clone())))
    }

    /// Brings the mirror up to what the server has now.
    pub async fn refresh(&self) -> Result<git::Refs, Error> {
        let refs = self.mirrors.list_refs(self.access.clone()).await?;
        let refs = refs.relevant(&self.target.subject.scope);
        self.mirrors
            .fetch(&self.place, self.access.clone(), refs)
            .await
    }
}

/// Plans works, each on what those before it do. One that wants a ref to be what they do not leave it as is refused: two of
/// them would be taken for one.
fn plan_all(
    works: &[Work],
    scope: &git::Scope,
    mut view: View,
    bench: &mut Workbench<'_>,
) -> Vec<Result<Plan, git::Error>> {
    let mut all: Vec<Result<Plan, git::Error>> = Vec::new();
    for work in works {
        let mut after = view.clone();
        let planned = plan(work, scope, &mut after, bench);
        let planned = planned.and_then(|plan| {
            let odds = "it is at odds with another write of the same push";
            let fits = follows(&plan, &all.iter().flatten());
            fits.then_some(plan)
                .ok_or_else(|| git::Error::Refused(odds.into()))
        });
        if planned.is_ok() {
            view = after;
        }
        all.push(planned);
    }
    all
}

/// Returns whether the refs say that edits were made, all of them: a server need not make all or none. The branch may have
/// gone on since, if a tag says that it was there.
pub fn has_landed(refs: &git::Refs, branch: &str, edits: &[RefEdit]) -> bool {
    let tagged = edits
        .iter()
        .any(|edit| edit.name != branch && edit.to.is_some());
    let mut due = edits.iter().filter(|edit| !tagged || edit.name != branch);
    due.all(|edit| refs.get(&edit.name).map(|it| &it.commit) == edit.to.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::RefTarget;

    #[test]
    fn a_push_has_landed_if_all_of_it_is_there() {
        let id = |letter: &str| letter.repeat(40);
        let refs = |refs: &[(&str, &str)]| -> git::Refs {
            let each = refs.iter().map(|(name, letter)| {
                let target = RefTarget {
                    id: id(letter),
                    commit: id(letter),
                };
                (*name, target)
            });
            each.collect()
        };
        let edit = |name: &str, to: Option<&str>| RefEdit {
            name: name.into(),
            from: None,
            to: to.map(id),
        };
        let (branch, tag, draft) = (
            "refs/heads/main",
            "refs/tags/a/v1",
            "refs/heads/proposed/a/w",
        );
        let publish = [
            edit(branch, Some("b")),
            edit(tag, Some("b")),
            edit(draft, None),
        ];
        for (now, edits, want) in [
            (refs(&[(branch, "b"), (tag, "b")]), &publish[..], true),
            (refs(&[(branch, "c"), (tag, "b")]), &publish[..], true),
            (refs(&[(branch, "b")]), &publish[..], false),
            (
                refs(&[(branch, "b"), (tag, "b"), (draft, "d")]),
                &publish[..],
                false,
            ),
            (refs(&[(branch, "b")]), &publish[..1], true),
            (refs(&[(branch, "c")]), &publish[..1], false),
            (refs(&[]), &publish[2..], true),
            (refs(&[(draft, "d")]), &publish[2..], false),
        ] {
            assert_eq!(has_landed(&now, branch, edits), want, "{now:?} {edits:?}");
        }
    }
}
