//! Renews the leases of this process while their accounts are read.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::store::Store;
use crate::store::account::Lease;

/// The leases that this process holds.
#[derive(Debug, Default)]
pub(crate) struct LeaseKeeper {
    held: Mutex<BTreeMap<String, HeldLease>>,
}

/// A lease that the keeper renews; all clones see the same.
#[derive(Debug, Clone)]
pub(crate) struct HeldLease {
    pub(crate) lease: Lease,
    /// Canceled when the lease is lost.
    pub(crate) lost: CancellationToken,
    /// Asks the work under the lease to end after the page that is being stored.
    pub(crate) stop: CancellationToken,
    end: watch::Sender<Instant>,
}

impl HeldLease {
    /// Whether another process may hold the lease by now. After a pause of the whole process this shows it
    /// before any timer does.
    pub(crate) fn is_over(&self) -> bool {
        self.lost.is_cancelled() || self.has_ended()
    }

    fn has_ended(&self) -> bool {
        *self.end.borrow() <= Instant::now()
    }
}

impl LeaseKeeper {
    /// Begins to renew a lease; `stop` is canceled when it should be released.
    pub(crate) fn keep(&self, lease: Lease, ttl: Duration, stop: CancellationToken) -> HeldLease {
        let held = HeldLease {
            end: watch::Sender::new(Instant::from_std(lease.asked) + ttl),
            lost: CancellationToken::new(),
            lease,
            stop,
        };
        let account_id = held.lease.account_id.clone();
        self.lock().insert(account_id, held.clone());
        held
    }

    /// Ends the renewal of a lease.
    pub(crate) fn forget(&self, account_id: &str) {
        self.lock().remove(account_id);
    }

    /// Whether this process holds the account's lease.
    pub(crate) fn holds(&self, account_id: &str) -> bool {
        self.lock().contains_key(account_id)
    }

    /// How many leases are held and not being released.
    pub(crate) fn held(&self) -> usize {
        let held = self.lock();
        let staying = held.values().filter(|held| !held.stop.is_cancelled());
        staying.count()
    }

    /// Begins to release leases, until `share` are left.
    pub(crate) fn release_excess(&self, share: usize) {
        let held = self.lock();
        let kept = held.values().filter(|held| !held.stop.is_cancelled());
        for held in kept.skip(share) {
            debug!(account.id = %held.lease.account_id, "releasing the lease to another process");
            held.stop.cancel();
        }
    }

    /// Renews all leases by one statement three times in each `ttl`. A lease that ends all the same is lost at
    /// once: a database that does not answer proves nothing.
    pub(crate) async fn run(&self, store: &Store, ttl: Duration, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval(ttl / 3);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop
            .run_until_cancelled(self.tick(&mut ticks))
            .await
            .is_some()
        {
            let lease = |held: &HeldLease| held.lease.clone();
            let leases: Vec<Lease> = self.lock().values().map(lease).collect();
            metrics::gauge!(crate::telemetry::LEASES)
                .set(u32::try_from(leases.len()).unwrap_or(u32::MAX));
            if leases.is_empty() {
                continue;
            }
            let asked = Instant::now();
            let renewal = tokio::time::timeout(ttl / 3, store.renew(&leases, ttl));
            tokio::select! {
                renewal = renewal => match renewal {
                    Ok(Ok(renewed)) => self.after_renewal(&leases, &renewed, asked + ttl),
                    Ok(Err(error)) => debug!(error = %error, "leases could not be renewed"),
                    Err(_) => debug!("leases could not be renewed in time"),
                },
                () = self.drop_ended() => {}
            }
        }
    }

    /// Waits for the next tick, and drops leases that end meanwhile.
    async fn tick(&self, ticks: &mut tokio::time::Interval) {
        tokio::select! {
            _ = ticks.tick() => {}
            () = self.drop_ended() => {}
        }
    }

    /// Drops each lease at its end, from when another process may take it. Never returns.
    async fn drop_ended(&self) {
        loop {
            let next = {
                let held = self.lock();
                let alive = held.values().filter(|held| !held.lost.is_cancelled());
                alive.map(|held| *held.end.borrow()).min()
            };
            let Some(next) = next else {
                return std::future::pending().await;
            };
            tokio::time::sleep_until(next).await;
            for held in self.lock().values() {
                if held.has_ended() && !held.lost.is_cancelled() {
                    warn!(account.id = %held.lease.account_id, "the lease expired before it could be renewed");
                    held.lost.cancel();
                }
            }
        }
    }

    fn after_renewal(&self, asked: &[Lease], renewed: &[String], end: Instant) {
        let held = self.lock();
        for held in held.values().filter(|held| asked.contains(&held.lease)) {
            if renewed.contains(&held.lease.account_id) {
                held.end.send_replace(end);
            } else {
                debug!(account.id = %held.lease.account_id, "the lease is lost: taken over, expired, or the account is paused");
                held.lost.cancel();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, HeldLease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
