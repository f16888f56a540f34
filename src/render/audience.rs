//! Those for whom a package is rendered. In comes that they went away, or how long they wait; out goes that what is done for them is to
//! end soon, which every function of this program asks as often as it can. It ends nothing by itself.

use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

/// Those who wait for what a render makes. Clones are the same; the default stays for ever.
#[derive(Clone, Debug, Default)]
pub struct Audience {
    gone: CancellationToken,
    /// How long they wait for one function, and until when that is.
    patience: Option<(Duration, Instant)>,
}

impl Audience {
    /// Returns the same audience, which waits no longer than this for what is done now.
    #[must_use]
    pub fn within(&self, time: Duration) -> Self {
        let end = Instant::now().checked_add(time);
        Self {
            gone: self.gone.clone(),
            patience: end.map(|end| (time, end)),
        }
    }

    /// Returns whether nobody is there any longer.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Returns nothing while somebody waits.
    ///
    /// # Errors
    /// A sentence: nobody does.
    pub fn check(&self) -> Result<(), String> {
        if self.is_gone() {
            return Err(gone());
        }
        match self.patience {
            Some((time, end)) if Instant::now() > end => Err(format!(
                "the function did not end within {} seconds",
                time.as_secs_f32()
            )),
            _ => Ok(()),
        }
    }

    /// Returns what `doing` comes to, which is dropped where it stands when nobody waits any longer.
    ///
    /// # Errors
    /// A sentence: nobody does.
    pub async fn stays_for<T>(&self, doing: impl Future<Output = T>) -> Result<T, String> {
        let done = self.gone.run_until_cancelled(doing).await;
        done.ok_or_else(gone)
    }

    /// Says that nobody waits any longer.
    pub fn leave(&self) {
        self.gone.cancel();
    }

    /// Returns a guard: when it is dropped, nobody waits any longer.
    #[must_use]
    pub fn guard(&self) -> DropGuard {
        self.gone.clone().drop_guard()
    }
}

fn gone() -> String {
    "the render was cancelled".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_leaves_is_gone_for_all() {
        let audience = Audience::default();
        let (other, guard) = (audience.clone(), audience.guard());
        assert_eq!(other.check(), Ok(()));
        assert_eq!(other.stays_for(async { 1 }).await, Ok(1));
        drop(guard);
        assert!(other.is_gone() && other.check().is_err());
        assert!(other.stays_for(std::future::pending::<()>()).await.is_err());
        assert!(!Audience::default().is_gone());
    }

    #[test]
    fn who_waits_too_long_waits_no_more_for_that() {
        let audience = Audience::default();
        let late = audience.within(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(1));
        let told = late.check().unwrap_err();
        assert_eq!(told, "the function did not end within 0 seconds");
        assert!(!late.is_gone() && audience.check().is_ok());
        assert!(late.within(Duration::MAX).check().is_ok());
        audience.leave();
        assert!(late.check().unwrap_err().contains("cancelled"));
    }
}
