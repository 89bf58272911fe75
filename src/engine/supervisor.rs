//! Which accounts this process works on: leases taken, tasks started, leases given back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::account::Account;
use super::keeper::{Keeper, Kept};
use super::memory::PageMemory;
use super::outage::Outage;
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
    /// Memory for the pages in work.
    pub page_memory: PageMemory,
    /// What is kept how long.
    pub retention: Retention,
    /// This process, for operators: host and process id.
    pub holder: String,
}

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
        let house = {
            let (engine, keeping) = (engine.clone(), keeping.clone());
            tokio::spawn(async move { engine.keep_house(&keeping).await })
        };
        let mut outage = Outage::default();
        while !stop.is_cancelled() {
            let mut pause = match engine.take_free(&mut work, stop).await {
                Ok(()) => {
                    outage.settle();
                    engine.lease_ttl / 3
                }
                Err(error) => outage.note(&engine.store, &error).await,
            };
            loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => break,
                    Some(ended) = work.tasks.join_next(), if !work.tasks.is_empty() => match failure(ended) {
                        // All accounts meet the same: they are waited for, and then tried together.
                        Some(error) => pause = outage.note(&engine.store, &error).await,
                        None => break,
                    },
                    Ok(()) = engines.changed() => {
                        engine = engines.borrow_and_update().clone();
                        work.leave_all_but(&engine.accounts);
                        break;
                    }
                    () = stop.cancelled() => break,
                }
            }
        }
        while let Some(ended) = work.tasks.join_next().await {
            if let Some(error) = failure(ended) {
                outage.note(&engine.store, &error).await;
            }
        }
        keeping.cancel();
        if let Err(error) = engine.store.withdraw(&engine.holder).await {
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

    /// Works on an account, and gives its lease back.
    pub(super) async fn under_lease(
        &self,
        account: &Arc<Account>,
        lease: Lease,
        keeper: &Keeper,
        kept: Kept,
        stop: CancellationToken,
        until: Until,
    ) -> Result<Ended, StoreError> {
        if let Some(idle) = lease.idle {
            account.client.take_over(idle);
        }
        let lost = kept.lost.clone();
        let reader = Reader {
            store: self.store.clone(),
            clock: self.clock.clone(),
            account: account.clone(),
            page_memory: self.page_memory.clone(),
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
        let kept = keeper.keep(lease.clone(), engine.lease_ttl, stop.clone());
        let started = (account.clone(), stop.clone());
        self.started.insert(account.id.clone(), started);
        self.tasks.spawn(async move {
            engine
                .under_lease(&account, lease, &keeper, kept, stop, Until::Stopped)
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
