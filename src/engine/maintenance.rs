//! Maintenance: folds daily totals and old windows of the ledger, and deletes what has outlived its retention.
//!
//! It works in small batches beside the reading, in a task of its own. One of the processes does it for all;
//! two at once do no harm. The next round, an hour later, does the rest.

use std::time::Duration;

use futures_util::TryFutureExt as _;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Retention;
use crate::store::retention::daily_totals::Fold;
use crate::store::{Store, StoreError};
use crate::transport::retry;

/// Time between two rounds of the daemon.
const INTERVAL: Duration = Duration::from_hours(1);

/// Time between two folds of the daily totals: a query of them adds up what is not folded.
const TOTALS_INTERVAL: Duration = Duration::from_mins(1);

/// Days of accounts whose totals are folded by one statement.
const DAYS: i64 = 100;

/// Statements that fold totals at once; what is left is folded by the next.
const MAX_FOLDS: u32 = 1000;

/// Rows examined by one statement: a few milliseconds of work.
const BATCH: u32 = 1000;

/// Payloads examined by one statement: few of them expire in each round.
const PAYLOADS: i64 = 5000;

/// Pause of the daemon between two batches, in which others use the database.
const PAUSE: Duration = Duration::from_millis(50);

/// Batches at the end of a sync, whose user waits for it.
const BATCHES_OF_A_SYNC: u32 = 100;

/// What a round may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Batches at most of each stream or account and each kind of data; the next round does the rest.
    pub batches: u32,
    /// Time between two of them.
    pub pause: Duration,
}

/// What a round did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RoundReport {
    /// Windows folded.
    pub windows: u64,
    /// Replaced versions of transactions deleted.
    pub versions: u64,
    /// Payloads deleted.
    pub payloads: u64,
    /// Items in quarantine deleted.
    pub quarantined: u64,
}

/// Runs the maintenance until it is stopped, while this process is the leader.
pub(super) async fn run_maintenance(
    store: &Store,
    retention: Retention,
    holder: &str,
    lease_ttl: Duration,
    stop: &CancellationToken,
) {
    let rounds = async {
        // The first round comes when all processes have announced themselves.
        let mut pause = retry::jittered(lease_ttl.min(INTERVAL));
        let budget = Budget {
            batches: u32::MAX,
            pause: PAUSE,
        };
        while goes_on_after(pause, stop).await {
            match store.is_leader(holder).await {
                Ok(true) => {
                    log_totals(fold_totals(store, Fold::All, stop).await);
                    log_round(run_round(store, retention, budget, stop).await);
                }
                Ok(false) => debug!("another process runs the maintenance"),
                Err(error) => log_failure(&error),
            }
            pause = INTERVAL / 2 + retry::jittered(INTERVAL);
        }
    };
    let totals = async {
        while goes_on_after(TOTALS_INTERVAL, stop).await {
            match store.is_leader(holder).await {
                Ok(true) => log_totals(fold_totals(store, Fold::Due, stop).await),
                Ok(false) => {}
                Err(error) => log_failure(&error),
            }
        }
    };
    tokio::join!(rounds, totals);
}

/// The maintenance at the end of a sync.
pub(super) async fn run_after_sync(store: &Store, retention: Retention, stop: &CancellationToken) {
    log_totals(fold_totals(store, Fold::Due, stop).await);
    let budget = Budget {
        batches: BATCHES_OF_A_SYNC,
        pause: Duration::ZERO,
    };
    log_round(run_round(store, retention, budget, stop).await);
}

/// Folds the daily totals; returns how many entries were folded.
async fn fold_totals(
    store: &Store,
    fold: Fold,
    stop: &CancellationToken,
) -> Result<u64, StoreError> {
    let mut folded = 0;
    for _ in 0..MAX_FOLDS {
        if stop.is_cancelled() {
            break;
        }
        match store.fold_daily_sums(fold, DAYS).await? {
            0 => break,
            entries => folded += entries,
        }
    }
    Ok(folded)
}

/// One round over all streams and accounts of the database.
pub async fn run_round(
    store: &Store,
    retention: Retention,
    budget: Budget,
    stop: &CancellationToken,
) -> Result<RoundReport, StoreError> {
    let mut report = RoundReport::default();
    let limit = i64::from(BATCH);
    let streams = store.stream_names().await?;
    for (account, stream) in &streams {
        if let Some(age) = retention.windows {
            let before = store.foldable_before(account, stream, age).await?;
            let fold = |after| async move {
                let batch = store.fold_windows(account, stream, before, after, limit);
                batch.await.map(|batch| (batch.windows, batch.next))
            };
            report.windows += run_batches(budget, stop, 0, fold).await?;
        }
    }
    let mut accounts: Vec<&str> = streams.iter().map(|(account, _)| &**account).collect();
    accounts.dedup();
    // A batch that is not full is the last one.
    let next = |deleted: u64| (deleted, (deleted == u64::from(BATCH)).then_some(()));
    for account in accounts {
        if let Some(age) = retention.history {
            let delete = |()| store.delete_versions(account, age, limit).map_ok(next);
            report.versions += run_batches(budget, stop, (), delete).await?;
        }
        if let Some(age) = retention.raw
            && !stop.is_cancelled()
            && let Some(expiry) = store.begin_payload_expiry(account, age).await?
        {
            let before = expiry.before;
            let delete = |after: String| async move {
                let batch = store.delete_payloads(account, before, &after, PAYLOADS);
                batch.await.map(|batch| (batch.payloads, batch.next))
            };
            report.payloads += run_batches(budget, stop, expiry.after, delete).await?;
        }
        if let Some(age) = retention.quarantine {
            let delete = |()| store.delete_quarantined(account, age, limit).map_ok(next);
            report.quarantined += run_batches(budget, stop, (), delete).await?;
        }
    }
    Ok(report)
}

/// Runs batch after batch, each from where the one before ended, until one is the last, the budget is used up
/// or the round is stopped. Returns the sum of what they did.
async fn run_batches<T, F>(
    budget: Budget,
    stop: &CancellationToken,
    first: T,
    batch: impl Fn(T) -> F,
) -> Result<u64, StoreError>
where
    F: Future<Output = Result<(u64, Option<T>), StoreError>>,
{
    let mut done = 0;
    let mut next = Some(first);
    for _ in 0..budget.batches {
        let Some(after) = next else { break };
        if !goes_on_after(budget.pause, stop).await {
            break;
        }
        let (count, rest) = batch(after).await?;
        done += count;
        next = rest;
    }
    Ok(done)
}

/// Pauses; false if the maintenance is stopped.
async fn goes_on_after(pause: Duration, stop: &CancellationToken) -> bool {
    let pause = tokio::time::sleep(pause);
    stop.run_until_cancelled(pause).await.is_some()
}

fn log_round(round: Result<RoundReport, StoreError>) {
    match round {
        Ok(report) if report == RoundReport::default() => debug!("maintenance had nothing to do"),
        Ok(report) => info!(
            windows = report.windows,
            versions = report.versions,
            payloads = report.payloads,
            quarantined = report.quarantined,
            "maintenance folded old windows and deleted expired data"
        ),
        Err(error) => log_failure(&error),
    }
}

fn log_totals(folded: Result<u64, StoreError>) {
    match folded {
        Ok(entries) => debug!(entries, "daily totals folded"),
        Err(error) => log_failure(&error),
    }
}

fn log_failure(error: &StoreError) {
    // The work on the accounts has the same failure, and logs it.
    if error.passes() {
        debug!(error = %error, "maintenance is delayed");
        return;
    }
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    let hint = error.hint();
    warn!(error = %error, cause, hint, "maintenance failed; it is retried");
}
