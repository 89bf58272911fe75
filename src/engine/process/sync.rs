//! One reading of each account, until everything wanted is covered.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::engine::account::Account;
use crate::engine::account_loop::{Ended, Until};
use crate::engine::lease_keeper::Keeper;
use crate::engine::process::outage::Outage;
use crate::engine::process::supervisor::Engine;
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

/// How a sync ended: each account with its outcome.
pub type SyncReport = Vec<(Arc<Account>, Outcome)>;

/// What became of one try of an account.
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
        let keeper = Arc::new(Keeper::default());
        let keeping = CancellationToken::new();
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
            () = keeper.run(&self.store, self.lease_ttl, &keeping) => Vec::new(),
        };
        report.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        self.keep_house_once(stop).await;
        Ok(report)
    }

    async fn sync_account(
        &self,
        account: &Arc<Account>,
        keeper: &Keeper,
        outage: &tokio::sync::Mutex<Outage>,
        give_up_after: Duration,
        stop: &CancellationToken,
    ) -> Result<Outcome, StoreError> {
        // Everything wanted when the work begins, however often it has to begin again.
        let mut begun = None;
        let started = Instant::now();
        // When it was last seen to go forward, and the pages read until then.
        let mut forward = (started, 0);
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
                    // A dead process's lease runs out by itself.
                    if started.elapsed() > give_up_after.max(self.lease_ttl * 2) {
                        return Ok(Outcome::NotLeased);
                    }
                }
                Ok(Tried::Ended(Ended::Covered)) => return Ok(Outcome::Covered),
                Ok(Tried::Ended(Ended::GaveUp | Ended::Crashed)) => return Ok(Outcome::GaveUp),
                Ok(Tried::Ended(Ended::Stopped)) => {}
                Err(error) => {
                    let pages = account.progress.pages();
                    if pages > forward.1 {
                        forward = (Instant::now(), pages);
                    }
                    if forward.0.elapsed() > give_up_after {
                        return Err(error);
                    }
                    pause = outage.lock().await.note(&self.store, &error).await;
                    account
                        .progress
                        .trouble(ACCOUNT, &error.to_string(), error.hint());
                }
            }
            let _stopped: Option<()> = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Works on an account if it is free.
    async fn try_account(
        &self,
        account: &Arc<Account>,
        keeper: &Keeper,
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
        let until = Until::Covered {
            now: *begun.get_or_insert_with(|| self.clock.agreed(lease.now())),
            give_up_after,
        };
        let stop = stop.child_token();
        let kept = keeper.keep(lease.clone(), self.lease_ttl, stop.clone());
        let ended = self.under_lease(account, lease, keeper, kept, stop, until);
        Ok(Tried::Ended(ended.await?))
    }
}
