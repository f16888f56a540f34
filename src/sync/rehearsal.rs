//! What would become of a write: planned like one that is done, and asked of the server, but not sent. In comes a work, out
//! goes its plan or why it would fail. Nothing is changed but the mirror, which is brought up to date where that is needed.
//! What only a push finds out, such as the word of a hook, is not known then.

use std::sync::Arc;

use super::{
    Target,
    lane::{ATTEMPTS, Failure, Lanes, Tried, judge, planned},
    plan::{Plan, Work},
    road::{Road, has_landed},
};

impl Lanes {
    /// Returns the plan of a work that could be done now.
    ///
    /// # Errors
    /// [`Failure`], as [`Lanes::push`].
    pub async fn rehearse(&self, target: Target, work: &Work) -> Result<Plan, Failure> {
        let road = self.road(target).await.map_err(Failure::Undone)?;
        rehearsed(&road, work).await
    }
}

async fn rehearsed(road: &Road, work: &Work) -> Result<Plan, Failure> {
    let scope = &road.target.subject.scope;
    let mut refs = None;
    let mut last = scope.branch_ref();
    for _ in 0..ATTEMPTS {
        let drafted = planned(road, work.clone(), (refs.clone(), false)).await?;
        let Some((plan, _)) = drafted else {
            refs = Some(Arc::new(road.refresh().await.map_err(Failure::Undone)?));
            continue;
        };
        let asked = road.ask(&plan).await.map_err(Failure::Undone)?;
        last = match judge(&road.target, asked)? {
            Tried::Moved(reference) => reference,
            Tried::Done | Tried::Incomplete => return Ok(plan),
        };
        let seen = road.refresh().await.map_err(Failure::Undone)?;
        if has_landed(&seen, &scope.branch_ref(), &plan.edits) {
            return Ok(plan);
        }
        if !work.replans(scope, &last) {
            break;
        }
        refs = Some(Arc::new(seen));
    }
    Err(Failure::Lost { reference: last })
}
