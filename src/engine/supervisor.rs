//! Which accounts this process works on: leases taken, tasks started, leases given back.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::account::Account;
use super::keeper::{Keeper, Kept};
use super::outage::Outage;
use super::progress::ACCOUNT;
use super::window::Reader;
use super::work::{Ended, Until, work};
use crate::clock::Clock;
use crate::config::Retention;
use crate::store::account::Lease;
use crate::store::{Store, StoreError};

/// The engine of one process.
#[derive(Clone)]
pub struct Engine {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The accounts of the configuration.
    pub accounts: Vec<Arc<Account>>,
    /// How long a lease lasts after the last sign of life.
    pub lease_ttl: Duration,
    /// What is kept how long.
    pub retention: Retention,
    /// This process, for operators: host and process id.
    pub holder: String,
}

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

/// What became of one try of an account.
enum Tried {
    Ended(Ended),
    /// Another process holds it.
    NotFree,
    Paused,
}

/// How a sync ended: each account with its outcome.
pub type SyncReport = Vec<(Arc<Account>, Outcome)>;

impl Engine {
    /// Makes the configured accounts known to the database.
    pub async fn register(&self) -> Result<(), StoreError> {
        for account in &self.accounts {
            self.store
                .register_account(&account.id, account.spec.code, &account.time_zone)
                .await?;
        }
        Ok(())
    }

    /// Works on every account that is free, until it is stopped: soft, each finishes its page.
    pub async fn run(&self, stop: &CancellationToken) {
        let keeper = Arc::new(Keeper::default());
        let keeping = CancellationToken::new();
        let kept = {
            let (engine, keeper, keeping) = (self.clone(), keeper.clone(), keeping.clone());
            tokio::spawn(async move { keeper.run(&engine.store, engine.lease_ttl, &keeping).await })
        };
        let house = {
            let (engine, keeping) = (self.clone(), keeping.clone());
            tokio::spawn(async move { engine.keep_house(&keeping).await })
        };
        let mut tasks: JoinSet<Result<(), StoreError>> = JoinSet::new();
        let mut outage = Outage::default();
        while !stop.is_cancelled() {
            let mut pause = match self.take_free(&keeper, &mut tasks, stop).await {
                Ok(()) => {
                    outage.settle();
                    self.lease_ttl / 3
                }
                Err(error) => outage.note(&self.store, &error).await,
            };
            loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => break,
                    Some(ended) = tasks.join_next(), if !tasks.is_empty() => match failure(ended) {
                        // All accounts meet the same: they are waited for, and then tried together.
                        Some(error) => pause = outage.note(&self.store, &error).await,
                        None => break,
                    },
                    () = stop.cancelled() => break,
                }
            }
        }
        while let Some(ended) = tasks.join_next().await {
            if let Some(error) = failure(ended) {
                outage.note(&self.store, &error).await;
            }
        }
        keeping.cancel();
        if let Err(error) = self.store.withdraw(&self.holder).await {
            tracing::debug!(error = %error, "the process could not sign off; its sign of life runs out");
        }
        if let Err(error) = kept.await {
            warn!(error = %error, "the lease keeper ended badly");
        }
        if let Err(error) = house.await {
            warn!(error = %error, "the housekeeping ended badly");
        }
    }

    /// Takes what is free, up to this process's share of the accounts, and gives back what is more.
    async fn take_free(
        &self,
        keeper: &Arc<Keeper>,
        tasks: &mut JoinSet<Result<(), StoreError>>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let processes = self.store.announce(&self.holder, self.lease_ttl).await?;
        let processes = usize::try_from(processes).unwrap_or(usize::MAX).max(1);
        let share = self.accounts.len().div_ceil(processes);
        keeper.give_back_beyond(share);
        let room = share.saturating_sub(keeper.held());
        let free: Vec<String> = self
            .accounts
            .iter()
            .filter(|account| !keeper.holds(&account.id))
            .map(|account| account.id.clone())
            .collect();
        if free.is_empty() || room == 0 {
            return Ok(());
        }
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let leases = self
            .store
            .acquire(&free, &self.holder, self.lease_ttl, room)
            .await?;
        for lease in leases {
            let Some(account) = self
                .accounts
                .iter()
                .find(|account| account.id == lease.account_id)
            else {
                continue;
            };
            // A restart is an operator's sign that it may be tried again.
            self.store.lift_suspension(&account.id, true).await?;
            let (engine, keeper, stop) = (self.clone(), keeper.clone(), stop.child_token());
            let account = account.clone();
            let kept = keeper.keep(lease.clone(), self.lease_ttl, stop.clone());
            tasks.spawn(async move {
                engine
                    .under_lease(&account, lease, &keeper, kept, stop, Until::Stopped)
                    .await
                    .map(|_| ())
            });
        }
        Ok(())
    }

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

    /// Works on an account, and gives its lease back.
    async fn under_lease(
        &self,
        account: &Arc<Account>,
        lease: Lease,
        keeper: &Keeper,
        kept: Kept,
        stop: CancellationToken,
        until: Until,
    ) -> Result<Ended, StoreError> {
        if let Some(idle) = lease.idle {
            account.wire.take_over(idle);
        }
        let lost = kept.lost.clone();
        let reader = Reader {
            store: self.store.clone(),
            clock: self.clock.clone(),
            account: account.clone(),
            lease: lease.clone(),
            kept,
            stop,
        };
        let mut working = tokio::spawn(work(reader, until));
        let ended = tokio::select! {
            ended = &mut working => ended.unwrap_or_else(|error| {
                tracing::error!(account.id = %account.id, error = %error, "the work on an account crashed: please report it");
                Ok(Ended::Crashed)
            }),
            () = lost.cancelled() => {
                // Whatever is in flight may not be stored any more: let it go.
                working.abort();
                Ok(Ended::Stopped)
            }
        };
        keeper.forget(&account.id);
        if let Err(error) = self.store.release(std::slice::from_ref(&lease)).await {
            tracing::debug!(account.id = %account.id, error = %error, "the lease could not be given back; it runs out");
        }
        ended
    }
}

/// What the database did to the work on an account.
fn failure(ended: Result<Result<(), StoreError>, tokio::task::JoinError>) -> Option<StoreError> {
    match ended {
        Ok(ended) => ended.err(),
        Err(error) => {
            tracing::error!(error = %error, "an account's task ended badly; it is taken up again");
            None
        }
    }
}
