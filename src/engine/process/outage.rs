//! A database outage: logged when it begins, once for each cause, and when it is over; the pauses between
//! tries grow.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::store::{Store, StoreError};
use crate::transport::retry;

/// An outage is over when nothing has failed for this long. That is longer than a connection is waited for:
/// whatever began in the outage has failed by then.
const OVER_AFTER: Duration = Duration::from_secs(12);

/// The database outage that a process sees, if there is one.
#[derive(Debug, Default)]
pub(super) struct Outage {
    last_failure: Option<Instant>,
    /// Hints logged since it began.
    warned: BTreeSet<&'static str>,
    /// Failures in a row.
    failures: u32,
    /// Whether only a connection was lost, by the last failure.
    is_cut: bool,
}

impl Outage {
    /// Records that the database could not be used. Returns how long to leave it alone.
    pub(super) async fn record_failure(&mut self, store: &Store, error: &StoreError) -> Duration {
        // A pool's timeout hides its cause.
        let cause = match error {
            StoreError::Away(sqlx::Error::PoolTimedOut) => store.reach().await.err(),
            _ => None,
        };
        let error = cause.as_ref().unwrap_or(error);
        self.warn_once(error);
        self.pause_after(error)
    }

    fn warn_once(&mut self, error: &StoreError) {
        let hint = error.hint();
        if self.warned.insert(hint) {
            let cause = error.cause().map(ToString::to_string).unwrap_or_default();
            warn!(error = %error, cause, hint, "the database cannot be used; waiting for it");
        }
    }

    fn pause_after(&mut self, error: &StoreError) -> Duration {
        self.last_failure = Some(Instant::now());
        self.is_cut = error.is_cut();
        let bound = retry::database_backoff(self.failures);
        self.failures += 1;
        retry::jittered(bound)
    }

    /// Records that the database answered.
    pub(super) fn record_success(&mut self) {
        if self.is_cut {
            // Only a connection was lost, and a new one has replaced it.
            self.failures = 0;
        }
        let is_over = |last: Instant| last.elapsed() > OVER_AFTER;
        if self.last_failure.is_some_and(is_over) {
            info!("the database is back");
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(kind: std::io::ErrorKind) -> StoreError {
        sqlx::Error::Io(kind.into()).into()
    }

    fn full() -> StoreError {
        StoreError::Away(sqlx::Error::PoolTimedOut)
    }

    #[tokio::test(start_paused = true)]
    async fn each_cause_is_logged_once_until_it_is_over() {
        let mut outage = Outage::default();
        let refused = away(std::io::ErrorKind::ConnectionRefused);
        for error in [&refused, &refused, &full()] {
            outage.warn_once(error);
            outage.pause_after(error);
        }
        assert_eq!(outage.warned.len(), 2);
        tokio::time::advance(OVER_AFTER).await;
        outage.record_success();
        assert_eq!(outage.warned.len(), 2, "not quiet for long enough");
        tokio::time::advance(Duration::from_secs(1)).await;
        outage.record_success();
        assert!(outage.warned.is_empty() && outage.last_failure.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_replaced_soon_and_a_full_disk_left_alone() {
        let mut outage = Outage::default();
        let quarter = Duration::from_millis(250);
        for _ in 0..100 {
            assert!(outage.pause_after(&away(std::io::ErrorKind::ConnectionReset)) <= quarter);
            outage.record_success();
        }
        let pauses: Vec<Duration> = (0..100)
            .map(|_| {
                let pause = outage.pause_after(&full());
                outage.record_success();
                pause
            })
            .collect();
        let long = Duration::from_secs(5);
        assert!(pauses.iter().any(|pause| *pause > long), "{pauses:?}");
    }
}
