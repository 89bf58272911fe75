//! What one process works on: the accounts it leases, until it is stopped or once.

mod outage;
mod supervisor;
pub(super) mod sync;

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument as _, debug, error, error_span};

use crate::clock::Clock;
use crate::config::Retention;
use crate::engine::account::Account;
use crate::engine::account_loop::schedule::RunMode;
use crate::engine::account_loop::{Outcome, run_account};
use crate::engine::lease_keeper::{HeldLease, LeaseKeeper};
use crate::engine::page_memory::PageMemory;
use crate::engine::read::context::ReadContext;
use crate::store::{Store, StoreError};
use crate::telemetry::SPANS;

/// The engine of one process.
#[derive(Clone)]
pub struct Engine {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The accounts of the configuration.
    pub accounts: Vec<Arc<Account>>,
    /// How long a lease lasts without renewal.
    pub lease_ttl: Duration,
    /// Memory for the pages that are fetched and not stored yet.
    pub page_memory: PageMemory,
    /// How long each kind of data is kept.
    pub retention: Retention,
    /// Identifies this process to operators: host and process id.
    pub holder: String,
}

impl Engine {
    /// Registers the configured accounts in the database.
    pub async fn register(&self) -> Result<(), StoreError> {
        for account in &self.accounts {
            self.store
                .register_account(&account.id, account.spec.code, &account.time_zone)
                .await?;
        }
        Ok(())
    }

    /// Works on an account under a lease that the keeper renews, and releases it.
    async fn run_leased(
        &self,
        account: &Arc<Account>,
        keeper: &LeaseKeeper,
        held: HeldLease,
        mode: RunMode,
    ) -> Result<Outcome, StoreError> {
        if let Some(idle) = held.lease.idle {
            account.client.take_over(idle);
        }
        let context = ReadContext {
            store: self.store.clone(),
            clock: self.clock.clone(),
            account: account.clone(),
            page_memory: self.page_memory.clone(),
            held: held.clone(),
        };
        let span = error_span!(target: SPANS, "account", account.id = %account.id);
        let mut running = tokio::spawn(run_account(context, mode).instrument(span));
        let ended = tokio::select! {
            ended = &mut running => ended.unwrap_or_else(|error| {
                error!(account.id = %account.id, error = %error, "the work on an account crashed: please report it");
                Ok(Outcome::GaveUp)
            }),
            () = held.lost.cancelled() => {
                // Whatever is in flight may not be stored any more.
                running.abort();
                Ok(Outcome::Stopped)
            }
        };
        keeper.forget(&account.id);
        if let Err(error) = self.store.release(std::slice::from_ref(&held.lease)).await {
            debug!(account.id = %account.id, error = %error, "the lease could not be released; it expires");
        }
        ended
    }
}
