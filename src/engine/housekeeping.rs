//! Housekeeping: folds daily totals and old windows of the ledger, and deletes what the configuration
//! lets go.
//!
//! It works in small batches beside the reading, in a task of its own. One of the processes does it
//! for all; that two do is harmless. Whatever it cannot do now it does an hour later.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::supervisor::Engine;
use crate::config::Retention;
use crate::store::retention::daily_totals::Fold;
use crate::store::{Store, StoreError};
use crate::transport::retry;

/// Time between two rounds of the daemon.
const INTERVAL: Duration = Duration::from_hours(1);

/// Time between two foldings of the daily totals: those who ask for them add up what is not folded.
const TOTALS_INTERVAL: Duration = Duration::from_mins(1);

/// Days of accounts whose totals are folded by one statement.
const DAYS: i64 = 100;

/// Statements that one folding of totals takes at most; what is left is the next one's.
const FOLDINGS: u32 = 1000;

/// Rows looked at by one statement: a few milliseconds of work.
const BATCH: u32 = 1000;

/// Payloads looked at by one statement: few of them are let go by each round.
const PAYLOADS: i64 = 5000;

/// Time that the daemon leaves to others between two batches.
const PAUSE: Duration = Duration::from_millis(50);

/// Batches that a sync, which is waited for, does at its end.
const BATCHES_OF_A_SYNC: u32 = 100;

/// What a round may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Batches at most of each stream or account and each kind of what is kept; what is left is the next round's.
    pub batches: u32,
    /// Time between two of them.
    pub pause: Duration,
}

/// What a round did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tidied {
    /// Windows folded.
    pub windows: u64,
    /// Replaced versions of transactions deleted.
    pub versions: u64,
    /// Payloads deleted.
    pub payloads: u64,
    /// Items in quarantine deleted.
    pub quarantined: u64,
}

impl Engine {
    /// Keeps house until it is stopped, unless another process does.
    pub(super) async fn keep_house(&self, stop: &CancellationToken) {
        tokio::join!(self.keep_tidying(stop), self.keep_folding_totals(stop));
    }

    async fn keep_folding_totals(&self, stop: &CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(TOTALS_INTERVAL))
            .await
            .is_some()
        {
            match self.store.is_leader(&self.holder).await {
                Ok(true) => note_totals(self.fold_totals(Fold::Due, stop).await),
                Ok(false) => {}
                Err(error) => note_totals(Err(error)),
            }
        }
    }

    /// Folds the daily totals; returns how many entries there were.
    async fn fold_totals(&self, fold: Fold, stop: &CancellationToken) -> Result<u64, StoreError> {
        let mut folded = 0;
        for _ in 0..FOLDINGS {
            if stop.is_cancelled() {
                break;
            }
            match self.store.fold_daily_sums(fold, DAYS).await? {
                0 => break,
                entries => folded += entries,
            }
        }
        Ok(folded)
    }

    /// Once an hour.
    async fn keep_tidying(&self, stop: &CancellationToken) {
        // The first round comes when all processes have told that they are alive.
        let mut pause = retry::jittered(self.lease_ttl.min(INTERVAL));
        let effort = Effort {
            batches: u32::MAX,
            pause: PAUSE,
        };
        while stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            match self.store.is_leader(&self.holder).await {
                Ok(true) => {
                    note_totals(self.fold_totals(Fold::All, stop).await);
                    note(self.tidy(effort, stop).await);
                }
                Ok(false) => debug!("another process keeps house"),
                Err(error) => note(Err(error)),
            }
            pause = INTERVAL / 2 + retry::jittered(INTERVAL);
        }
    }

    /// The housekeeping that a sync does.
    pub(super) async fn keep_house_once(&self, stop: &CancellationToken) {
        note_totals(self.fold_totals(Fold::Due, stop).await);
        let effort = Effort {
            batches: BATCHES_OF_A_SYNC,
            pause: Duration::ZERO,
        };
        note(self.tidy(effort, stop).await);
    }

    /// One round over all that the database holds.
    pub async fn tidy(
        &self,
        effort: Effort,
        stop: &CancellationToken,
    ) -> Result<Tidied, StoreError> {
        let round = Round {
            store: &self.store,
            retention: self.retention,
            effort,
            stop,
        };
        round.run().await
    }
}

/// A round under way.
struct Round<'a> {
    store: &'a Store,
    retention: Retention,
    effort: Effort,
    stop: &'a CancellationToken,
}

impl Round<'_> {
    async fn run(self) -> Result<Tidied, StoreError> {
        let mut tidied = Tidied::default();
        let streams = self.store.stream_names().await?;
        for (account, stream) in &streams {
            if let Some(age) = self.retention.windows {
                tidied.windows += self.fold_windows(account, stream, age).await?;
            }
        }
        let mut accounts: Vec<&str> = streams.iter().map(|(account, _)| &**account).collect();
        accounts.dedup();
        let limit = i64::from(BATCH);
        for account in accounts {
            if let Some(age) = self.retention.history {
                let mut left = self.effort.batches;
                let mut deleted = u64::from(BATCH);
                while deleted == u64::from(BATCH) && self.may_go_on(&mut left).await {
                    deleted = self.store.delete_versions(account, age, limit).await?;
                    tidied.versions += deleted;
                }
            }
            if let Some(age) = self.retention.raw {
                tidied.payloads += self.drop_payloads(account, age).await?;
            }
            if let Some(age) = self.retention.quarantine {
                let mut left = self.effort.batches;
                let mut deleted = u64::from(BATCH);
                while deleted == u64::from(BATCH) && self.may_go_on(&mut left).await {
                    deleted = self.store.delete_quarantined(account, age, limit).await?;
                    tidied.quarantined += deleted;
                }
            }
        }
        Ok(tidied)
    }

    async fn fold_windows(
        &self,
        account: &str,
        stream: &str,
        age: Duration,
    ) -> Result<u64, StoreError> {
        let before = self.store.foldable_before(account, stream, age).await?;
        let mut left = self.effort.batches;
        let mut windows = 0;
        let mut next = Some(0);
        while let Some(after) = next
            && self.may_go_on(&mut left).await
        {
            let folded = self
                .store
                .fold_windows(account, stream, before, after, BATCH.into())
                .await?;
            windows += folded.windows;
            next = folded.next;
        }
        Ok(windows)
    }

    async fn drop_payloads(&self, account: &str, age: Duration) -> Result<u64, StoreError> {
        if self.stop.is_cancelled() {
            return Ok(0);
        }
        let Some(letting) = self.store.begin_payload_expiry(account, age).await? else {
            return Ok(0);
        };
        let mut left = self.effort.batches;
        let mut payloads = 0;
        let mut next = Some(letting.after);
        while let Some(after) = next
            && self.may_go_on(&mut left).await
        {
            let dropped = self
                .store
                .delete_payloads(account, letting.before, &after, PAYLOADS)
                .await?;
            payloads += dropped.payloads;
            next = dropped.next;
        }
        Ok(payloads)
    }

    /// Leaves others their time, and counts the batches that are left.
    async fn may_go_on(&self, left: &mut u32) -> bool {
        let Some(fewer) = left.checked_sub(1) else {
            return false;
        };
        *left = fewer;
        let pause = tokio::time::sleep(self.effort.pause);
        self.stop.run_until_cancelled(pause).await.is_some()
    }
}

fn note(round: Result<Tidied, StoreError>) {
    match round {
        Ok(tidied) if tidied == Tidied::default() => debug!("there was nothing to tidy"),
        Ok(tidied) => info!(
            windows = tidied.windows,
            versions = tidied.versions,
            payloads = tidied.payloads,
            quarantined = tidied.quarantined,
            "old windows were folded, what retention lets go was deleted"
        ),
        Err(error) => note_failure(&error),
    }
}

fn note_totals(folding: Result<u64, StoreError>) {
    match folding {
        Ok(entries) => debug!(entries, "daily totals were folded"),
        Err(error) => note_failure(&error),
    }
}

fn note_failure(error: &StoreError) {
    // The work on the accounts meets the same, and tells it.
    if error.passes() {
        debug!(error = %error, "housekeeping has to wait");
        return;
    }
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    let hint = error.hint();
    warn!(error = %error, cause, hint, "housekeeping failed; it is tried again");
}
