//! Which accounts this process works on: leases taken, tasks started, leases given back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::account::Account;
use super::keeper::Keeper;
use super::progress::ACCOUNT;
use super::window::Reader;
use super::work::{Ended, Until, work};
use crate::clock::Clock;
use crate::store::account::Lease;
use crate::store::{Store, StoreError};
use crate::transport::retry;

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
        let (_unchanging, engines) = watch::channel(self.clone());
        Self::follow(engines, stop).await;
    }

    /// The same with accounts that may change meanwhile. What is the same account as before is left
    /// alone; the others end softly, and start again as they are now, if they are there at all.
    pub async fn follow(mut engines: watch::Receiver<Self>, stop: &CancellationToken) {
        let mut engine = engines.borrow_and_update().clone();
        let mut work = Work::default();
        let keeping = CancellationToken::new();
        let kept = {
            let (engine, keeper, keeping) = (engine.clone(), work.keeper.clone(), keeping.clone());
            tokio::spawn(async move { keeper.run(&engine.store, engine.lease_ttl, &keeping).await })
        };
        let mut away = 0;
        while !stop.is_cancelled() {
            let pause = match engine.take_free(&mut work, stop).await {
                Ok(()) => {
                    if away > 0 {
                        info!("the database is back");
                    }
                    away = 0;
                    engine.lease_ttl / 3
                }
                Err(error) => {
                    away += 1;
                    if away == 1 {
                        warn!(error = %error, cause = source(&error), "the database cannot be used; waiting for it");
                    }
                    retry::jittered(retry::between_runs(away).min(Duration::from_secs(10)))
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Some(ended) = work.tasks.join_next(), if !work.tasks.is_empty() => note_end(ended),
                Ok(()) = engines.changed() => {
                    engine = engines.borrow_and_update().clone();
                    work.leave_all_but(&engine.accounts);
                }
                () = stop.cancelled() => {}
            }
        }
        while let Some(ended) = work.tasks.join_next().await {
            note_end(ended);
        }
        keeping.cancel();
        if let Err(error) = engine.store.withdraw(&engine.holder).await {
            tracing::debug!(error = %error, "the process could not sign off; its sign of life runs out");
        }
        if let Err(error) = kept.await {
            warn!(error = %error, "the lease keeper ended badly");
        }
    }

    /// Takes what is free, up to this process's share of the accounts, and gives back what is more.
    async fn take_free(&self, work: &mut Work, stop: &CancellationToken) -> Result<(), StoreError> {
        if !work.registered {
            self.register().await?;
            work.registered = true;
        }
        let keeper = &work.keeper;
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
            work.start(self, account, lease, stop.child_token());
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
        let mut tasks = JoinSet::new();
        for account in &self.accounts {
            let (engine, account, keeper, stop) =
                (self.clone(), account.clone(), keeper.clone(), stop.clone());
            tasks.spawn(async move {
                let outcome = engine
                    .sync_account(&account, &keeper, give_up_after, &stop)
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
        Ok(report)
    }

    async fn sync_account(
        &self,
        account: &Arc<Account>,
        keeper: &Arc<Keeper>,
        give_up_after: Duration,
        stop: &CancellationToken,
    ) -> Result<Outcome, StoreError> {
        let until = Until::Covered {
            now: self.clock.now(),
            give_up_after,
        };
        let started = Instant::now();
        let mut away_since: Option<Instant> = None;
        let mut waiting = false;
        loop {
            if stop.is_cancelled() {
                return Ok(Outcome::Stopped);
            }
            let ended = match self.acquire_one(account).await {
                Ok(Some(lease)) => {
                    away_since = None;
                    self.store.lift_suspension(&account.id, true).await?;
                    let stop = stop.child_token();
                    let lost = keeper.keep(lease.clone(), stop.clone());
                    self.under_lease(account, lease, keeper, lost, stop, until)
                        .await
                }
                Ok(None) if self.store.account(&account.id).await?.paused => {
                    return Ok(Outcome::Paused);
                }
                Ok(None) => {
                    if !waiting {
                        info!(account.id = %account.id, "waiting for the lease of another process");
                        waiting = true;
                    }
                    // A dead process's lease runs out by itself.
                    if started.elapsed() > give_up_after.max(self.lease_ttl * 2) {
                        return Ok(Outcome::NotLeased);
                    }
                    Ok(Ended::Stopped)
                }
                Err(error) => Err(error),
            };
            match ended {
                Ok(Ended::Covered) => return Ok(Outcome::Covered),
                Ok(Ended::GaveUp | Ended::Crashed) => return Ok(Outcome::GaveUp),
                Ok(Ended::Stopped) => {}
                Err(error) if away_since.is_some_and(|since| since.elapsed() > give_up_after) => {
                    return Err(error);
                }
                Err(error) => {
                    away_since.get_or_insert_with(Instant::now);
                    let message = error.to_string();
                    let told = account.progress.trouble(
                        ACCOUNT,
                        &message,
                        "paysync waits for the database",
                    );
                    if told.is_some() {
                        warn!(account.id = %account.id, error = %error, cause = source(&error), "the database cannot be used; waiting for it");
                    }
                }
            }
            let pause = self.lease_ttl.min(Duration::from_secs(3)) / 6;
            let _stopped: Option<()> = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    async fn acquire_one(&self, account: &Account) -> Result<Option<Lease>, StoreError> {
        let leases = self
            .store
            .acquire(
                std::slice::from_ref(&account.id),
                &self.holder,
                self.lease_ttl,
                1,
            )
            .await?;
        Ok(leases.into_iter().next())
    }

    /// Works on an account, and gives its lease back.
    async fn under_lease(
        &self,
        account: &Arc<Account>,
        lease: Lease,
        keeper: &Keeper,
        lost: CancellationToken,
        stop: CancellationToken,
        until: Until,
    ) -> Result<Ended, StoreError> {
        let reader = Reader {
            store: self.store.clone(),
            clock: self.clock.clone(),
            account: account.clone(),
            lease: lease.clone(),
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

/// What a process works on.
#[derive(Default)]
struct Work {
    keeper: Arc<Keeper>,
    tasks: JoinSet<Result<(), StoreError>>,
    /// The accounts started last, each with the token that ends the work on it softly.
    started: BTreeMap<String, (Arc<Account>, CancellationToken)>,
    /// Whether the database knows the accounts as they are now.
    registered: bool,
}

impl Work {
    fn start(
        &mut self,
        engine: &Engine,
        account: &Arc<Account>,
        lease: Lease,
        stop: CancellationToken,
    ) {
        let (engine, keeper, account) = (engine.clone(), self.keeper.clone(), account.clone());
        let lost = keeper.keep(lease.clone(), stop.clone());
        let started = (account.clone(), stop.clone());
        self.started.insert(account.id.clone(), started);
        self.tasks.spawn(async move {
            engine
                .under_lease(&account, lease, &keeper, lost, stop, Until::Stopped)
                .await
                .map(|_| ())
        });
    }

    /// Begins to end what is none of these accounts any more.
    fn leave_all_but(&mut self, accounts: &[Arc<Account>]) {
        self.registered = false;
        self.started.retain(|_, (account, stop)| {
            let stays = accounts.iter().any(|other| Arc::ptr_eq(account, other));
            if !stays {
                stop.cancel();
            }
            stays
        });
    }
}

fn note_end(ended: Result<Result<(), StoreError>, tokio::task::JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            warn!(error = %error, cause = source(&error), "the work on an account ended; it is taken up again");
        }
        Err(error) => {
            tracing::error!(error = %error, "an account's task ended badly; it is taken up again");
        }
    }
}

fn source(error: &StoreError) -> String {
    std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default()
}
