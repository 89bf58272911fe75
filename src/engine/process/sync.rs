//! Reads each account once, until everything wanted is covered.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::engine::account::Account;
use crate::engine::account_loop::Outcome;
use crate::engine::account_loop::schedule::RunMode;
use crate::engine::lease_keeper::LeaseKeeper;
use crate::engine::maintenance::run_after_sync;
use crate::engine::process::Engine;
use crate::engine::process::outage::Outage;
use crate::engine::progress::ACCOUNT;
use crate::store::StoreError;

/// Each account with its outcome.
pub type SyncReport = Vec<(Arc<Account>, Outcome)>;

impl Engine {
    /// Reads each account until everything wanted now is covered.
    pub async fn sync(
        &self,
        give_up_after: Duration,
        stop: &CancellationToken,
    ) -> Result<SyncReport, StoreError> {
        let (keeper, outage) = (LeaseKeeper::default(), Mutex::default());
        let (keeper, outage) = (&keeper, &outage);
        let accounts = self.accounts.iter().map(|account| async move {
            let outcome = self.sync_account(account, keeper, outage, give_up_after, stop);
            Ok::<_, StoreError>((account.clone(), outcome.await?))
        });
        let never = CancellationToken::new();
        let mut report = tokio::select! {
            report = try_join_all(accounts) => report?,
            () = keeper.run(&self.store, self.lease_ttl, &never) => Vec::new(),
        };
        report.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        run_after_sync(&self.store, self.retention, stop).await;
        Ok(report)
    }

    async fn sync_account(
        &self,
        account: &Arc<Account>,
        keeper: &LeaseKeeper,
        outage: &Mutex<Outage>,
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
                Ok(Outcome::Stopped) => {}
                Ok(Outcome::NotLeased) => {
                    if !waiting {
                        info!(account.id = %account.id, "waiting for the lease of another process");
                        waiting = true;
                    }
                    // A dead process's lease expires.
                    if started.elapsed() > give_up_after.max(self.lease_ttl * 2) {
                        return Ok(Outcome::NotLeased);
                    }
                }
                Ok(outcome) => return Ok(outcome),
                Err(error) => {
                    let pages = account.progress.totals().pages;
                    if pages > progressed.1 {
                        progressed = (Instant::now(), pages);
                    }
                    if progressed.0.elapsed() > give_up_after {
                        return Err(error);
                    }
                    let mut outage = outage.lock().await;
                    pause = outage.record_failure(&self.store, &error).await;
                    let progress = &account.progress;
                    progress.record_failure(ACCOUNT, &error.to_string(), error.hint());
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
    ) -> Result<Outcome, StoreError> {
        let one = std::slice::from_ref(&account.id);
        let leases = self.store.acquire(one, &self.holder, self.lease_ttl, 1);
        let Some(lease) = leases.await?.into_iter().next() else {
            let paused = self.store.account(&account.id).await?.paused;
            return Ok(if paused {
                Outcome::Paused
            } else {
                Outcome::NotLeased
            });
        };
        self.store.lift_suspension(&account.id, true).await?;
        let mode = RunMode::Once {
            now: *begun.get_or_insert_with(|| self.clock.planning_time(lease.now())),
            give_up_after,
        };
        let handle = keeper.keep(lease, self.lease_ttl, stop.child_token());
        self.run_leased(account, keeper, handle, mode).await
    }
}
