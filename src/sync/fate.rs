//! What became of a write whose writer is gone, or is done: judged by the refs alone, never by what somebody meant to do.
//! Pure: a record and refs in, a fate out.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{Intent, PackageRev};

/// How long a write that did not come to pass is remembered: a push that was on its way may still arrive.
const REMEMBERED: Duration = Duration::from_hours(1);

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Git has what it was to bring.
    Landed,
    /// Git does not have it, and nobody is there any more who could bring it; since when that is known.
    Lapsed(Timestamp),
    /// It lapsed so long ago that it never comes.
    Forgotten,
}

impl Fate {
    /// Returns the fate of a write: `landed` says what the refs say, `alive` whether its process lives. Nothing while the
    /// writer itself will see to it.
    #[must_use]
    pub fn of(intent: &Intent, landed: bool, alive: bool, now: Timestamp) -> Option<Self> {
        let lapsed = intent.lapsed.as_ref().map(|at| at.0);
        match (landed, lapsed) {
            (true, Some(_)) => Some(Self::Landed),
            (true, None) => (!alive).then_some(Self::Landed),
            (false, Some(at)) if is_over(at, now) => Some(Self::Forgotten),
            (false, Some(at)) => Some(Self::Lapsed(at)),
            (false, None) => (!alive).then_some(Self::Lapsed(now)),
        }
    }

    /// Returns the record as it is without its revision, which Git does not hold; nothing if it is to go.
    #[must_use]
    pub fn without_revision(self, record: &PackageRev) -> Option<PackageRev> {
        match self {
            // A creation that may still come: nobody sees its record, and whoever creates the same may replace it.
            Self::Lapsed(at) if record.spec.observed.is_none() => Some(lapsed(record, at)),
            _ => None,
        }
    }

    /// Returns the record as it is with its revision, which Git holds, but for what Git says of it.
    #[must_use]
    pub fn with_revision(self, record: &PackageRev) -> PackageRev {
        let mut new = match self {
            Self::Lapsed(at) => return lapsed(record, at),
            Self::Landed | Self::Forgotten => record.clone(),
        };
        let intent = new.spec.intent.take();
        let metadata = intent.and_then(|intent| intent.metadata);
        if let (Self::Landed, Some(metadata)) = (self, metadata) {
            new.spec.metadata = metadata;
        }
        new
    }
}

/// Returns the record with its write noted as one that did not come to pass.
fn lapsed(record: &PackageRev, at: Timestamp) -> PackageRev {
    let mut new = record.clone();
    if let Some(intent) = &mut new.spec.intent {
        intent.lapsed = Some(Time(at));
    }
    new
}

fn is_over(lapsed: Timestamp, now: Timestamp) -> bool {
    lapsed
        .checked_add(REMEMBERED)
        .is_ok_and(|until| until <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::UserMetadata;

    fn moment(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn refs_alone_say_what_became_of_a_write() {
        let open = Intent::default();
        let lapsed = Intent {
            lapsed: Some(Time(moment(1000))),
            ..Intent::default()
        };
        for (intent, landed, alive, now, fate) in [
            (&open, true, true, 0, None),
            (&open, false, true, 0, None),
            (&open, true, false, 0, Some(Fate::Landed)),
            (&open, false, false, 7, Some(Fate::Lapsed(moment(7)))),
            // What comes late is found, whoever lives.
            (&lapsed, true, false, 1001, Some(Fate::Landed)),
            (&lapsed, true, true, 1001, Some(Fate::Landed)),
            (&lapsed, false, true, 4599, Some(Fate::Lapsed(moment(1000)))),
            (&lapsed, false, true, 4600, Some(Fate::Forgotten)),
        ] {
            let at = moment(now);
            assert_eq!(
                Fate::of(intent, landed, alive, at),
                fate,
                "{intent:?} {landed} {alive} {now}"
            );
        }
    }

    #[test]
    fn the_users_half_comes_with_what_landed_and_only_with_it() {
        let mut record = PackageRev::default();
        let label = |value: &str| UserMetadata {
            labels: [("a".to_string(), value.to_string())].into(),
            ..UserMetadata::default()
        };
        record.spec.metadata = label("before");
        record.spec.intent = Some(Intent {
            metadata: Some(label("after")),
            ..Intent::default()
        });
        let landed = Fate::Landed.with_revision(&record);
        assert_eq!(
            (landed.spec.metadata, landed.spec.intent),
            (label("after"), None)
        );
        let lapsed = Fate::Lapsed(moment(1)).with_revision(&record);
        assert_eq!(lapsed.spec.metadata, label("before"));
        assert_eq!(lapsed.spec.intent.unwrap().lapsed, Some(Time(moment(1))));
        let forgotten = Fate::Forgotten.with_revision(&record);
        assert_eq!(
            (forgotten.spec.metadata, forgotten.spec.intent),
            (label("before"), None)
        );
    }

    #[test]
    fn a_creation_that_did_not_come_to_pass_is_kept_for_a_while_and_other_records_go() {
        let mut record = PackageRev::default();
        record.spec.intent = Some(Intent::default());
        assert!(Fate::Lapsed(moment(1)).without_revision(&record).is_some());
        assert!(Fate::Forgotten.without_revision(&record).is_none());
        assert!(Fate::Landed.without_revision(&record).is_none());
        record.spec.observed = Some(crate::api::Observed::default());
        assert!(Fate::Lapsed(moment(1)).without_revision(&record).is_none());
    }
}
