//! Keeps the leases of this process alive while their accounts are worked on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::store::Store;
use crate::store::account::Lease;

/// The leases held, each with the token that ends the work under it.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    held: Mutex<BTreeMap<String, Held>>,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    lost: CancellationToken,
    /// Asks the work under it to end softly.
    stop: CancellationToken,
    renewed: Instant,
}

impl Keeper {
    /// Takes a lease into care; the token given back is canceled when the lease is lost, `stop` when
    /// it should be given back.
    pub(crate) fn keep(&self, lease: Lease, stop: CancellationToken) -> CancellationToken {
        let lost = CancellationToken::new();
        let held = Held {
            lease,
            lost: lost.clone(),
            stop,
            renewed: Instant::now(),
        };
        self.lock().insert(held.lease.account_id.clone(), held);
        lost
    }

    /// Lets go of a lease.
    pub(crate) fn forget(&self, account_id: &str) {
        self.lock().remove(account_id);
    }

    /// Whether the account is worked on by this process.
    pub(crate) fn holds(&self, account_id: &str) -> bool {
        self.lock().contains_key(account_id)
    }

    /// How many leases are held and not being given back.
    pub(crate) fn held(&self) -> usize {
        let held = self.lock();
        held.values()
            .filter(|held| !held.stop.is_cancelled())
            .count()
    }

    /// Begins to give leases back, until `share` are left.
    pub(crate) fn give_back_beyond(&self, share: usize) {
        let held = self.lock();
        let kept = held.values().filter(|held| !held.stop.is_cancelled());
        for held in kept.skip(share) {
            debug!(account.id = %held.lease.account_id, "the account is left to another process");
            held.stop.cancel();
        }
    }

    /// Renews all leases in one statement, three times as often as they would end.
    pub(crate) async fn run(&self, store: &Store, ttl: Duration, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval(ttl / 3);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let leases: Vec<Lease> = self
                .lock()
                .values()
                .map(|held| held.lease.clone())
                .collect();
            metrics::gauge!(crate::telemetry::LEASES)
                .set(u32::try_from(leases.len()).unwrap_or(u32::MAX));
            if leases.is_empty() {
                continue;
            }
            match store.renew(&leases, ttl).await {
                Ok(renewed) => self.after_renewal(&leases, &renewed),
                Err(error) => {
                    debug!(error = %error, "leases could not be renewed");
                    self.drop_expired(ttl);
                }
            }
        }
    }

    fn after_renewal(&self, asked: &[Lease], renewed: &[String]) {
        let mut held = self.lock();
        for lease in asked {
            let Some(entry) = held
                .get_mut(&lease.account_id)
                .filter(|entry| entry.lease == *lease)
            else {
                continue;
            };
            if renewed.contains(&lease.account_id) {
                entry.renewed = Instant::now();
            } else {
                debug!(account.id = %lease.account_id, "the lease is gone: taken over, or the account is paused");
                entry.lost.cancel();
            }
        }
    }

    /// Without the database nobody can prove a lease; past its end another process may have it.
    fn drop_expired(&self, ttl: Duration) {
        for entry in self
            .lock()
            .values()
            .filter(|entry| entry.renewed.elapsed() >= ttl)
        {
            if !entry.lost.is_cancelled() {
                debug!(account.id = %entry.lease.account_id, "the lease ran out while the database was away");
                entry.lost.cancel();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
