//! The daemon: takes its share of the accounts' leases, starts their work, and releases them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::engine::account::Account;
use crate::engine::account_loop::schedule::RunMode;
use crate::engine::lease_keeper::LeaseKeeper;
use crate::engine::maintenance::run_maintenance;
use crate::engine::process::Engine;
use crate::engine::process::outage::Outage;
use crate::store::StoreError;
use crate::store::account::Lease;

impl Engine {
    /// Works on every account that is free until it is stopped; each account finishes its page then.
    pub async fn run(&self, stop: &CancellationToken) {
        let (_unchanging, engines) = watch::channel(self.clone());
        Self::follow(engines, stop).await;
    }

    /// The same for accounts that may change meanwhile. An account that is the same as before goes on; the
    /// work on a changed one ends after its page, and starts again as it is configured now.
    pub async fn follow(mut engines: watch::Receiver<Self>, stop: &CancellationToken) {
        let mut engine = engines.borrow_and_update().clone();
        let mut running = RunningAccounts::default();
        let stop_services = CancellationToken::new();
        let renewals = {
            let (engine, stop) = (engine.clone(), stop_services.clone());
            let keeper = running.keeper.clone();
            tokio::spawn(async move { keeper.run(&engine.store, engine.lease_ttl, &stop).await })
        };
        let maintenance = {
            let (engine, stop) = (engine.clone(), stop_services.clone());
            tokio::spawn(async move {
                let (store, holder) = (&engine.store, &engine.holder);
                run_maintenance(store, engine.retention, holder, engine.lease_ttl, &stop).await;
            })
        };
        let mut outage = Outage::default();
        while !stop.is_cancelled() {
            let mut pause = match engine.acquire_leases(&mut running, stop).await {
                Ok(()) => {
                    outage.record_success();
                    engine.lease_ttl / 3
                }
                Err(error) => outage.record_failure(&engine.store, &error).await,
            };
            loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => break,
                    Some(ended) = running.tasks.join_next(), if !running.tasks.is_empty() => match store_error(ended) {
                        // All accounts have the same failure: they are started again together.
                        Some(error) => pause = outage.record_failure(&engine.store, &error).await,
                        None => break,
                    },
                    Ok(()) = engines.changed() => {
                        engine = engines.borrow_and_update().clone();
                        running.stop_all_but(&engine.accounts);
                        break;
                    }
                    () = stop.cancelled() => break,
                }
            }
        }
        while let Some(ended) = running.tasks.join_next().await {
            if let Some(error) = store_error(ended) {
                outage.record_failure(&engine.store, &error).await;
            }
        }
        stop_services.cancel();
        if let Err(error) = engine.store.withdraw(&engine.holder).await {
            debug!(error = %error, "the process could not be withdrawn; its announcement expires");
        }
        if let Err(error) = renewals.await {
            warn!(error = %error, "the lease keeper crashed");
        }
        if let Err(error) = maintenance.await {
            warn!(error = %error, "the maintenance crashed");
        }
    }

    /// Acquires free leases up to this process's share of the accounts, and releases the excess.
    async fn acquire_leases(
        &self,
        running: &mut RunningAccounts,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        if !running.registered {
            self.register().await?;
            running.registered = true;
        }
        let keeper = &running.keeper;
        let processes = self.store.announce(&self.holder, self.lease_ttl).await?;
        let processes = usize::try_from(processes).unwrap_or(usize::MAX).max(1);
        let share = self.accounts.len().div_ceil(processes);
        keeper.release_excess(share);
        let room = share.saturating_sub(keeper.held());
        let ids = self.accounts.iter().map(|account| &account.id);
        let free: Vec<String> = ids.filter(|id| !keeper.holds(id)).cloned().collect();
        if free.is_empty() || room == 0 {
            return Ok(());
        }
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let store = &self.store;
        let leases = store.acquire(&free, &self.holder, self.lease_ttl, room);
        for lease in leases.await? {
            let mut accounts = self.accounts.iter();
            let Some(account) = accounts.find(|account| account.id == lease.account_id) else {
                continue;
            };
            // A restart may be the operator's repair.
            self.store.lift_suspension(&account.id, true).await?;
            running.start(self, account, lease, stop.child_token());
        }
        Ok(())
    }
}

/// The accounts that the process works on.
#[derive(Default)]
struct RunningAccounts {
    keeper: Arc<LeaseKeeper>,
    tasks: JoinSet<Result<(), StoreError>>,
    /// The accounts started last, each with the token that asks its work to end after the page.
    started: BTreeMap<String, (Arc<Account>, CancellationToken)>,
    /// Whether the database knows the accounts as they are now.
    registered: bool,
}

impl RunningAccounts {
    fn start(
        &mut self,
        engine: &Engine,
        account: &Arc<Account>,
        lease: Lease,
        stop: CancellationToken,
    ) {
        let (engine, keeper, account) = (engine.clone(), self.keeper.clone(), account.clone());
        let held = keeper.keep(lease, engine.lease_ttl, stop.clone());
        let started = (account.clone(), stop);
        self.started.insert(account.id.clone(), started);
        self.tasks.spawn(async move {
            let run = engine.run_leased(&account, &keeper, held, RunMode::Daemon);
            run.await.map(|_| ())
        });
    }

    /// Asks all other accounts to end after their page.
    fn stop_all_but(&mut self, accounts: &[Arc<Account>]) {
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

/// Why the database ended the work on an account, if it did.
fn store_error(ended: Result<Result<(), StoreError>, JoinError>) -> Option<StoreError> {
    match ended {
        Ok(ended) => ended.err(),
        Err(error) => {
            error!(error = %error, "an account's task crashed; it is started again");
            None
        }
    }
}
