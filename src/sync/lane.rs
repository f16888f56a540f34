//! Where writes to one Git repository meet: while a push is under way the next ones gather, and then go together.
//!
//! In come works with what they declare before they are sent; out goes what became of each. Every ref is leased, and each
//! work is judged for itself: a joint push that is refused is repeated one by one, so nobody's write fails for another's.
//! What is only planned may be given up; what was sent is finished, whoever listens. It decides nothing about records.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use futures::future::{BoxFuture, join_all};
use kube::Client;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use super::{
    Error, Mirrors, Target,
    plan::{Plan, Work},
    road::{Drafted, How, Road, has_landed},
    secrets::{self, Keys},
};
use crate::git::{self, Access, Address, Pack, Pushed, RefEdit, Refusal};

/// How many works go in one push.
const TOGETHER: usize = 64;
/// How often a work is planned anew because the branch has moved.
pub(super) const ATTEMPTS: usize = 5;
/// How long a ref that is locked is left alone at first; then twice as long, and so on.
const LOCKED: Duration = Duration::from_millis(25);

/// The longest wait for those who were answered just now and come again: without it every other push of a crowd goes with one.
const GATHERING: Duration = Duration::from_millis(25);

/// How long a lane is kept in which nobody is, with its open connections and the credentials that these were opened with.
const IDLE: Duration = Duration::from_mins(5);

/// What is done when a plan is made, before it is sent: it says whether to go on.
pub type Declare = Box<dyn FnMut(&Plan) -> BoxFuture<'static, bool> + Send>;

/// Why a work was not done.
#[derive(Debug)]
pub enum Failure {
    /// A ref is not what the work was made for: somebody was faster.
    Lost {
        /// Its full name.
        reference: String,
    },
    /// The server refused, in these words.
    Declined(String),
    /// Whoever asked for it no longer wants it.
    Stopped,
    /// Nothing was done.
    Undone(Error),
    /// It was sent, and what became of it is not known.
    Uncertain(Error),
}

impl Failure {
    /// Returns this failure of a work that may have been done all the same.
    fn doubted(self) -> Self {
        let why = match self {
            Self::Uncertain(error) | Self::Undone(error) => return Self::Uncertain(error),
            Self::Lost { reference } => format!("{reference} has moved since"),
            Self::Declined(words) => words,
            Self::Stopped => "nobody waited for it any more".into(),
        };
        Self::Uncertain(Error::Unavailable(why))
    }
}

/// The lanes of this process, one for each Repository; clones share them.
#[derive(Clone)]
pub struct Lanes {
    parts: Arc<Parts>,
}

struct Parts {
    client: Client,
    mirrors: Mirrors,
    /// By the UID of the Repository; a lane in which nobody is takes itself away. Held for moments.
    lanes: Mutex<HashMap<String, mpsc::UnboundedSender<Job>>>,
}

/// A work that waits.
struct Job {
    target: Target,
    work: Work,
    declare: Declare,
    /// Whether it was sent, and the answer was lost.
    sent: bool,
    answer: oneshot::Sender<Result<Plan, Failure>>,
}

impl Lanes {
    /// Returns lanes to the repositories of these mirrors.
    #[must_use]
    pub fn new(client: Client, mirrors: Mirrors) -> Self {
        let parts = Parts {
            client,
            mirrors,
            lanes: Mutex::default(),
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Does a work, and returns what it did.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn push(
        &self,
        target: Target,
        work: Work,
        declare: Declare,
    ) -> Result<Plan, Failure> {
        let uid = target.subject.uid.clone();
        let (answer, answered) = oneshot::channel();
        let job = Job {
            target,
            work,
            declare,
            sent: false,
            answer,
        };
        if !self.enter(&uid, job) {
            return Err(Failure::Undone(Error::Unavailable(
                "the writes of this repository have ended, please try again".into(),
            )));
        }
        answered.await.unwrap_or_else(|_| {
            let why = "a write ended badly; look in the server's log";
            Err(Failure::Uncertain(Error::Unavailable(why.into())))
        })
    }

    /// Returns a way to a repository, beside the lane.
    pub(super) async fn road(&self, target: Target) -> Result<Road, Error> {
        let namespace = &target.subject.namespace;
        let client = &self.parts.client;
        let keys = secrets::keys(client, namespace, target.secret.as_deref()).await?;
        let mirrors = self.parts.mirrors.clone();
        Ok(Road {
            place: mirrors.place(&target),
            access: mirrors.access(target.address.clone(), &keys),
            target,
            mirrors,
        })
    }

    /// Puts a job into its lane; returns whether it is there. A lane that is open stays so as long as the lock is held.
    fn enter(&self, uid: &str, job: Job) -> bool {
        let mut lanes = self.parts.lanes();
        let open = lanes.get(uid).filter(|lane| !lane.is_closed());
        let lane = open.cloned().unwrap_or_else(|| self.open(uid));
        let entered = lane.send(job).is_ok();
        lanes.insert(uid.into(), lane);
        entered
    }

    fn open(&self, uid: &str) -> mpsc::UnboundedSender<Job> {
        let (sender, jobs) = mpsc::unbounded_channel();
        let lane = Lane {
            uid: uid.into(),
            parts: Arc::downgrade(&self.parts),
            client: self.parts.client.clone(),
            mirrors: self.parts.mirrors.clone(),
            opened: None,
        };
        tokio::spawn(lane.run(jobs));
        sender
    }
}

impl Parts {
    fn lanes(&self) -> MutexGuard<'_, HashMap<String, mpsc::UnboundedSender<Job>>> {
        self.lanes.lock().expect("nobody panics with the lock held")
    }
}

/// The writes to one repository, one push after another.
struct Lane {
    uid: String,
    /// Those that know this lane.
    parts: Weak<Parts>,
    client: Client,
    mirrors: Mirrors,
    /// Open connections, for as long as the address and the credentials are the same.
    opened: Option<(Address, Keys, Access)>,
}

impl Lane {
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut last = (Duration::ZERO, 0);
        loop {
            let first = match timeout(IDLE, jobs.recv()).await {
                Ok(Some(first)) => first,
                Ok(None) => return,
                Err(_) if self.leave(&mut jobs) => return,
                Err(_) => continue,
            };
            let mut waiting = VecDeque::from([first]);
            gather(&mut waiting, &mut jobs);
            let (took, served) = last;
            if waiting.len().max(served) > 1 && waiting.len() < TOGETHER {
                tokio::time::sleep((took / 20).min(GATHERING)).await;
                gather(&mut waiting, &mut jobs);
            }
            let (begun, many) = (Instant::now(), waiting.len());
            while let Some(first) = waiting.pop_front() {
                let target = first.target.clone();
                let (same, others) = waiting.into_iter().partition(|job| job.target == target);
                waiting = others;
                let same: VecDeque<Job> = same;
                self.serve(&target, [first].into_iter().chain(same).collect())
                    .await;
            }
            last = (begun.elapsed(), many);
        }
    }

    /// Takes this lane away if nobody is in it; returns whether it is gone.
    fn leave(&self, jobs: &mut mpsc::UnboundedReceiver<Job>) -> bool {
        let Some(parts) = self.parts.upgrade() else {
            return true;
        };
        // Whoever enters holds the lock.
        let mut lanes = parts.lanes();
        let empty = jobs.is_empty();
        if empty {
            lanes.remove(&self.uid);
        }
        empty
    }

    /// Does works that are for one target.
    async fn serve(&mut self, target: &Target, jobs: Vec<Job>) {
        let road = match self.open(target).await {
            Ok(road) => road,
            Err(error) => return refuse_all(jobs, &error),
        };
        let rest = if jobs.len() > 1 {
            together(&road, jobs).await
        } else {
            jobs
        };
        for mut job in rest {
            let sent = job.sent;
            let done = alone(&road, &mut job).await;
            // What a push did whose answer was lost may show later: nothing may be taken back for certain.
            let done = done.map_err(|failure| if sent { failure.doubted() } else { failure });
            // Whoever asked may have gone: the deed is done all the same.
            let _ = job.answer.send(done);
        }
    }

    async fn open(&mut self, target: &Target) -> Result<Road, Error> {
        let namespace = &target.subject.namespace;
        let keys = secrets::keys(&self.client, namespace, target.secret.as_deref()).await?;
        let known = self
            .opened
            .as_ref()
            .filter(|(address, known, _)| (address, known) == (&target.address, &keys));
        let access = if let Some((_, _, access)) = known {
            access.clone()
        } else {
            let access = self.mirrors.access(target.address.clone(), &keys);
            self.opened = Some((target.address.clone(), keys, access.clone()));
            access
        };
        Ok(Road {
            mirrors: self.mirrors.clone(),
            place: self.mirrors.place(target),
            target: target.clone(),
            access,
        })
    }
}

/// Takes what waits, as much as goes together.
fn gather(waiting: &mut VecDeque<Job>, jobs: &mut mpsc::UnboundedReceiver<Job>) {
    while waiting.len() < TOGETHER
        && let Ok(next) = jobs.try_recv()
    {
        waiting.push_back(next);
    }
}

/// Does as many works as can be done in one push, and returns the others.
async fn together(road: &Road, jobs: Vec<Job>) -> Vec<Job> {
    let works = jobs.iter().map(|job| job.work.clone()).collect();
    let Ok(Drafted { plans, pack }) = road.draft(works, (None, false)).await else {
        return jobs;
    };
    let (mut fit, mut plans_of_fit, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for (job, plan) in jobs.into_iter().zip(plans) {
        match plan {
            Ok(plan) => {
                fit.push(job);
                plans_of_fit.push(plan);
            }
            Err(_) => rest.push(job),
        }
    }
    let left = joint(road, fit, (plans_of_fit, pack)).await;
    left.into_iter().chain(rest).collect()
}

/// Does works as they are planned in one push, and returns those that are still to be done.
async fn joint(road: &Road, mut jobs: Vec<Job>, (plans, pack): (Vec<Plan>, Pack)) -> Vec<Job> {
    let both = jobs.iter_mut().zip(&plans);
    let declared = join_all(both.map(|(job, plan)| (job.declare)(plan))).await;
    if !declared.into_iter().all(|yes| yes) {
        // Whoever is left may have been planned on one who has gone.
        return jobs;
    }
    match road.send(vec![pack], &plans).await {
        // A server that promises nothing has made those edits that it did not refuse.
        Ok(pushed) if pushed.refused.is_empty() || !pushed.atomic => {
            let refused = |edit: &RefEdit| pushed.refused.iter().any(|it| it.name == edit.name);
            answer(jobs, &plans, |plan| !plan.edits.iter().any(refused))
        }
        Err(git::Error::Uncertain(_)) => {
            for job in &mut jobs {
                job.sent = true;
            }
            let branch = road.target.subject.scope.branch_ref();
            match road.refresh().await {
                Ok(refs) => answer(jobs, &plans, |plan| has_landed(&refs, &branch, &plan.edits)),
                Err(_) => jobs,
            }
        }
        _ => jobs,
    }
}

/// Answers those whose plans are `done`, and returns the others.
fn answer(jobs: Vec<Job>, plans: &[Plan], done: impl Fn(&Plan) -> bool) -> Vec<Job> {
    let mut rest = Vec::new();
    for (job, plan) in jobs.into_iter().zip(plans) {
        if done(plan) {
            let _ = job.answer.send(Ok(plan.clone()));
        } else {
            rest.push(job);
        }
    }
    rest
}

/// Does one work in a push of its own; what has moved meanwhile is looked at, and then it is planned anew.
async fn alone(road: &Road, job: &mut Job) -> Result<Plan, Failure> {
    let scope = &road.target.subject.scope;
    let (mut refs, mut whole) = (None, false);
    let mut last = scope.branch_ref();
    let mut locked = false;
    for attempt in 0..ATTEMPTS {
        if locked {
            tokio::time::sleep(LOCKED * (1 << attempt)).await;
        }
        let drafted = planned(road, job.work.clone(), (refs.clone(), whole)).await?;
        let Some((plan, pack)) = drafted else {
            refs = Some(Arc::new(road.refresh().await.map_err(Failure::Undone)?));
            continue;
        };
        if !(job.declare)(&plan).await {
            return Err(Failure::Stopped);
        }
        if plan.edits.is_empty() {
            return Ok(plan);
        }
        last = match try_once(road, &plan, pack).await? {
            Tried::Done => return Ok(plan),
            Tried::Moved(reference) => reference,
            Tried::Incomplete => {
                whole = true;
                refs = Some(Arc::new(road.refresh().await.map_err(Failure::Undone)?));
                continue;
            }
        };
        let seen = road.refresh().await.map_err(Failure::Undone)?;
        if has_landed(&seen, &scope.branch_ref(), &plan.edits) {
            // An attempt whose answer was lost had done it: the same work makes the same commit.
            return Ok(plan);
        }
        locked = stands(&plan, &seen, &last);
        if !locked && !job.work.replans(scope, &last) {
            break;
        }
        refs = Some(Arc::new(seen));
    }
    if locked {
        let why = format!("{last} is locked: somebody else is changing it, or died meanwhile");
        return Err(Failure::Undone(Error::Unavailable(why)));
    }
    Err(Failure::Lost { reference: last })
}

/// Returns whether a ref is what a plan expects, so that nothing but a lock of somebody can have been in its way.
fn stands(plan: &Plan, seen: &git::Refs, reference: &str) -> bool {
    let mut own = plan.edits.iter().filter(|edit| edit.name == reference);
    own.any(|edit| seen.get(reference).map(|now| &now.id) == edit.from.as_ref())
}

/// Returns a plan and its objects; nothing if the mirror must be brought up to date first.
pub(super) async fn planned(
    road: &Road,
    work: Work,
    how: How,
) -> Result<Option<(Plan, Pack)>, Failure> {
    let fresh = how.0.is_some();
    let drafted = road.draft(vec![work], how);
    let Drafted { plans, pack } = drafted.await.map_err(Failure::Undone)?;
    match plans.into_iter().next() {
        Some(Ok(plan)) => Ok(Some((plan, pack))),
        // The mirror lacks what another process made.
        Some(Err(git::Error::Corrupt(_) | git::Error::BranchMissing { .. })) if !fresh => Ok(None),
        Some(Err(error)) => Err(Failure::Undone(error.into())),
        None => Err(Failure::Stopped),
    }
}

/// What became of one attempt.
pub(super) enum Tried {
    Done,
    /// This ref was not what it was taken to be.
    Moved(String),
    /// The server has forgotten what the mirror still knows.
    Incomplete,
}

async fn try_once(road: &Road, plan: &Plan, pack: Pack) -> Result<Tried, Failure> {
    match road.send(vec![pack], [plan]).await {
        Ok(pushed) => judge(&road.target, pushed),
        Err(git::Error::Uncertain(why)) => {
            let refs = road.refresh().await.map_err(Failure::Uncertain)?;
            let branch = road.target.subject.scope.branch_ref();
            if has_landed(&refs, &branch, &plan.edits) {
                return Ok(Tried::Done);
            }
            Err(Failure::Uncertain(Error::Git(git::Error::Uncertain(why))))
        }
        Err(error) => Err(Failure::Undone(error.into())),
    }
}

/// Returns what became of an attempt. Of several refs that moved, the one that can't be planned anew is told.
pub(super) fn judge(target: &Target, pushed: Pushed) -> Result<Tried, Failure> {
    let branch = target.subject.scope.branch_ref();
    let mut moved: Option<String> = None;
    for refused in pushed.refused {
        match refused.why {
            Refusal::Declined(words) => return Err(Failure::Declined(words)),
            Refusal::Incomplete(_) => return Ok(Tried::Incomplete),
            Refusal::Moved if moved.is_none() || refused.name != branch => {
                moved = Some(refused.name);
            }
            // Another edit of the same push is to blame, and is told.
            Refusal::Moved | Refusal::Neighbour => {}
        }
    }
    Ok(moved.map_or(Tried::Done, Tried::Moved))
}

fn refuse_all(jobs: Vec<Job>, error: &Error) {
    for job in jobs {
        let _ = job.answer.send(Err(Failure::Undone(error.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lane_in_which_nobody_is_takes_itself_away() {
        let nobody = tower::service_fn(async |_: http::Request<kube::client::Body>| {
            Err::<http::Response<kube::client::Body>, _>("nobody is asked")
        });
        let directory = std::env::temp_dir().join("porch-no-mirrors");
        let lanes = Lanes::new(Client::new(nobody, "default"), Mirrors::new(directory));
        let lane = lanes.open("u");
        lanes.parts.lanes().insert("u".into(), lane.clone());
        tokio::time::sleep(IDLE / 2).await;
        assert!(!lane.is_closed() && lanes.parts.lanes().contains_key("u"));
        tokio::time::sleep(IDLE).await;
        assert!(lane.is_closed() && lanes.parts.lanes().is_empty());
        assert!(
            !lanes.open("u").is_closed(),
            "there is another when it is needed"
        );
    }
}
