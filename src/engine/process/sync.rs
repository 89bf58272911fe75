//! Reads each account once, until everything wanted is covered.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::engine::account::Account;
use crate::engine::account_loop::Ended;
use crate::engine::account_loop::schedule::RunMode;
use crate::engine::lease_keeper::LeaseKeeper;
use crate::engine::maintenance::run_after_sync;
use crate::engine::process::Engine;
use crate::engine::process::outage::Outage;
use crate::engine::progress::ACCOUNT;
use crate::store::StoreError;

/// How one account's sync ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything wanted is covered.
    Covered,
    /// Something could not be read in time.
    GaveUp,
    /// Another process holds the account.
    NotLeased,
    /// An operator paused it.
    Paused,
    /// Stopped by a signal.
    Stopped,
}

/// Each account with its outcome.
pub type SyncReport = Vec<(Arc<Account>, Outcome)>;

/// How one try of an account ended.
enum Tried {
    Ended(Ended),
    /// Another process holds it.
    NotFree,
    Paused,
}

impl Engine {
    /// Reads each account until everything wanted now is covered.
    pub async fn sync(
        &self,
        give_up_after: Duration,
        stop: &CancellationToken,
    ) -> Result<SyncReport, StoreError> {
        let keeper = Arc::new(LeaseKeeper::default());
        let stop_keeper = CancellationToken::new();
        let outage = Arc::<tokio::sync::Mutex<Outage>>::default();
        let mut tasks = JoinSet::new();
        for account in &self.accounts {
            let (engine, account, keeper, stop) =
                (self.clone(), account.clone(), keeper.clone(), stop.clone());
            let outage = outage.clone();
            tasks.spawn(async move {
                let outcome = engine
                    .sync_account(&account, &keeper, &outage, give_up_after, &stop)
                    .await;
                (account, outcome)
            });
        }
        let all = async {
            let mut report = Vec::with_capacity(self.accounts.len());
            while let Some(ended) = tasks.join_next().await {
                match ended {
                    Ok((account, outcome)) => report.push((account, outcome?)),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
            Ok::<_, StoreError>(report)
        };
        let mut report = tokio::select! {
            report = all => report?,
            () = keeper.run(&self.store, self.lease_ttl, &stop_keeper) => Vec::new(),
        };
        report.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        run_after_sync(&self.store, self.retention, stop).await;
        Ok(report)
    }

    async fn sync_account(
        &self,
        account: &Arc<Account>,
        keeper: &LeaseKeeper,
        outage: &tokio::sync::Mutex<Outage>,
        give_up_after: Duration,
        stop: &CancellationToken,
    ) -> Result<Outcome, StoreError> {
        // The sync reads what was wanted when it began, however often it has to begin again.
        let mut begun = None;
        let started = Instant::now();
        // When it last made progress, and the pages read until then.
        let mut progressed = (started, 0);
        let mut waiting = false;
        loop {
            if stop.is_cancelled() {
                return Ok(Outcome::Stopped);
            }
            let mut pause = self.lease_ttl.min(Duration::from_secs(3)) / 6;
            match self
                .try_account(account, keeper, stop, give_up_after, &mut begun)
                .await
            {
                Ok(Tried::Paused) => return Ok(Outcome::Paused),
                Ok(Tried::NotFree) => {
                    if !waiting {
                        info!(account.id = %account.id, "waiting for the lease of another process");
                        waiting = true;
                    }
                    // A dead process's lease expires.
                    if started.elapsed() > give_up_after.max(self.lease_ttl * 2) {
                        return Ok(Outcome::NotLeased);
                    }
                }
                Ok(Tried::Ended(Ended::Covered)) => return Ok(Outcome::Covered),
                Ok(Tried::Ended(Ended::GaveUp | Ended::Crashed)) => return Ok(Outcome::GaveUp),
                Ok(Tried::Ended(Ended::Stopped)) => {}
                Err(error) => {
                    let pages = account.progress.pages();
                    if pages > progressed.1 {
                        progressed = (Instant::now(), pages);
                    }
                    if progressed.0.elapsed() > give_up_after {
                        return Err(error);
                    }
                    pause = outage
                        .lock()
                        .await
                        .record_failure(&self.store, &error)
                        .await;
                    account
                        .progress
                        .record_failure(ACCOUNT, &error.to_string(), error.hint());
                }
            }
            let _stopped: Option<()> = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Works on an account if it is free.
    async fn try_account(
        &self,
        account: &Arc<Account>,
        keeper: &LeaseKeeper,
        stop: &CancellationToken,
        give_up_after: Duration,
        begun: &mut Option<DateTime<Utc>>,
    ) -> Result<Tried, StoreError> {
        let one = std::slice::from_ref(&account.id);
        let leases = self
            .store
            .acquire(one, &self.holder, self.lease_ttl, 1)
            .await?;
        let Some(lease) = leases.into_iter().next() else {
            let paused = self.store.account(&account.id).await?.paused;
            return Ok(if paused {
                Tried::Paused
            } else {
                Tried::NotFree
            });
        };
        self.store.lift_suspension(&account.id, true).await?;
        let mode = RunMode::Once {
            now: *begun.get_or_insert_with(|| self.clock.planning_time(lease.now())),
            give_up_after,
        };
        let stop = stop.child_token();
        let handle = keeper.keep(lease.clone(), self.lease_ttl, stop.clone());
        let ended = self.run_leased(account, lease, keeper, handle, stop, mode);
        Ok(Tried::Ended(ended.await?))
    }
}
