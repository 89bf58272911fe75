//! A database that cannot be used: told when it begins, with each cause and what helps, and when it is
//! over; in between it is left alone for longer and longer.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::store::{Store, StoreError};
use crate::transport::retry;

/// It is over when this long nothing has failed. Longer than a connection is waited for: what began
/// in the outage has failed by then.
const QUIET: Duration = Duration::from_secs(12);

/// What one process knows of the database's trouble.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// When something last failed.
    last: Option<Instant>,
    /// Hints that were told since it began.
    told: BTreeSet<&'static str>,
    /// Failures in a row.
    tries: u32,
    /// Whether only a connection was lost, as far as is known.
    is_cut: bool,
}

impl Outage {
    /// Notes that the database could not be used. Returns how long to leave it alone.
    pub(super) async fn note(&mut self, store: &Store, error: &StoreError) -> Duration {
        // A pool only says that it waited in vain.
        let why = match error {
            StoreError::Away(sqlx::Error::PoolTimedOut) => store.reach().await.err(),
            _ => None,
        };
        self.tell(why.as_ref().unwrap_or(error))
    }

    fn tell(&mut self, error: &StoreError) -> Duration {
        let hint = error.hint();
        if self.told.insert(hint) {
            let cause = error.cause().map(ToString::to_string).unwrap_or_default();
            warn!(error = %error, cause, hint, "the database cannot be used; waiting for it");
        }
        self.last = Some(Instant::now());
        self.is_cut = error.is_cut();
        let bound = retry::between_tries(self.tries);
        self.tries += 1;
        retry::jittered(bound)
    }

    /// Notes that it answers.
    pub(super) fn settle(&mut self) {
        if self.is_cut {
            // There is a new connection, so that was all.
            self.tries = 0;
        }
        if self.last.is_some_and(|last| last.elapsed() > QUIET) {
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
    async fn each_cause_is_told_once_until_it_is_over() {
        let mut outage = Outage::default();
        let refused = away(std::io::ErrorKind::ConnectionRefused);
        outage.tell(&refused);
        outage.tell(&refused);
        outage.tell(&full());
        assert_eq!(outage.told.len(), 2);
        tokio::time::advance(QUIET).await;
        outage.settle();
        assert_eq!(outage.told.len(), 2, "not quiet for long enough");
        tokio::time::advance(Duration::from_secs(1)).await;
        outage.settle();
        assert!(outage.told.is_empty() && outage.last.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_replaced_soon_and_a_full_disk_left_alone() {
        let mut outage = Outage::default();
        let quarter = Duration::from_millis(250);
        for _ in 0..100 {
            assert!(outage.tell(&away(std::io::ErrorKind::ConnectionReset)) <= quarter);
            outage.settle();
        }
        let pauses: Vec<Duration> = (0..100)
            .map(|_| {
                let pause = outage.tell(&full());
                outage.settle();
                pause
            })
            .collect();
        let long = Duration::from_secs(5);
        assert!(pauses.iter().any(|pause| *pause > long), "{pauses:?}");
    }
}
