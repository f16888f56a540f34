//! Places in a write where a process may be killed, for tests to kill it there. Without the feature `failpoints` there is
//! nothing here but names: what is served to users has no way in.

/// A place in a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Before the intent is written.
    BeforeIntent,
    /// The intent is in the record, and Git knows nothing.
    AfterIntent,
    /// Git has it, and no record says so.
    AfterPush,
    /// Some of what follows is recorded.
    BetweenRecords,
    /// All of it is recorded, and nobody was answered.
    AfterRecords,
    /// The push was refused, and the intent is still there.
    BeforeTakeBack,
    /// The intent is taken back, and nobody was answered.
    AfterTakeBack,
    /// Before metadata alone is written.
    BeforeMetadata,
    /// Metadata alone is written, and nobody was answered.
    AfterMetadata,
}

impl Point {
    /// Every place, in the order of a write.
    pub const ALL: [Self; 9] = [
        Self::BeforeIntent,
        Self::AfterIntent,
        Self::AfterPush,
        Self::BetweenRecords,
        Self::AfterRecords,
        Self::BeforeTakeBack,
        Self::AfterTakeBack,
        Self::BeforeMetadata,
        Self::AfterMetadata,
    ];
}

/// Where to be killed; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Failpoints {
    #[cfg(feature = "failpoints")]
    armed: std::sync::Arc<std::sync::Mutex<Option<armed::Armed>>>,
}

impl Failpoints {
    /// Goes on, unless this is where to be killed.
    #[cfg(feature = "failpoints")]
    pub async fn pass(&self, point: Point) {
        self.meet(point).await;
    }

    /// Goes on.
    #[cfg(not(feature = "failpoints"))]
    pub fn pass(&self, _: Point) -> std::future::Ready<()> {
        std::future::ready(())
    }
}

#[cfg(feature = "failpoints")]
mod armed {
    //! What happens at a place where it was wanted.

    use super::{Failpoints, Point};

    /// How a process dies.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Death {
        /// It is gone, as by `kill -9`.
        Abort,
        /// Its write goes nowhere from here, as if it were gone; the test does the rest.
        Hang,
    }

    #[derive(Debug)]
    pub(super) struct Armed {
        point: Point,
        death: Death,
        /// How often it is passed before.
        spared: u32,
    }

    impl Failpoints {
        /// Has the process die when it comes to `point` once it has passed that `spared` times.
        pub fn arm(&self, point: Point, death: Death, spared: u32) {
            *self.armed.lock().expect("nobody panics with the lock held") = Some(Armed {
                point,
                death,
                spared,
            });
        }

        /// Returns whether the place was not come to yet.
        #[must_use]
        pub fn is_armed(&self) -> bool {
            let armed = self.armed.lock().expect("nobody panics with the lock held");
            armed.is_some()
        }

        /// Lets the process live.
        pub fn disarm(&self) {
            *self.armed.lock().expect("nobody panics with the lock held") = None;
        }

        pub(super) async fn meet(&self, point: Point) {
            match self.death(point) {
                None => {}
                Some(Death::Abort) => std::process::abort(),
                Some(Death::Hang) => std::future::pending().await,
            }
        }

        fn death(&self, point: Point) -> Option<Death> {
            let mut armed = self.armed.lock().expect("nobody panics with the lock held");
            let here = armed.as_mut().filter(|armed| armed.point == point)?;
            if here.spared > 0 {
                here.spared -= 1;
                return None;
            }
            let death = here.death;
            if death == Death::Hang {
                *armed = None;
            }
            Some(death)
        }
    }
}

#[cfg(feature = "failpoints")]
pub use armed::Death;
