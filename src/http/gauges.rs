//! The gauges of `/metrics` that describe the streams.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use metrics::gauge;

use crate::engine::Engine;
use crate::telemetry::{
    EXPECTED_LAG_SECONDS, GAP_SECONDS, LAG_SECONDS, OPEN_WINDOWS, QUARANTINED_ITEMS, SUSPENDED,
};

type Labels = [(&'static str, String); 2];

/// The gauges of all streams.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    /// Those that are set, with their labels.
    exported: Mutex<BTreeSet<(&'static str, Labels)>>,
}

impl Gauges {
    /// Sets the gauges of the streams of this configuration; leaves them unchanged if the database is away.
    pub(super) async fn set(&self, engine: &Engine) {
        let Ok(health) = engine.store.health().await else {
            return;
        };
        let mut exported = self.exported.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = BTreeSet::new();
        for stream in health {
            let account = engine.accounts.iter().find(|a| a.id == stream.account_id);
            if account.is_none_or(|account| account.stream(&stream.stream).is_none()) {
                continue;
            }
            let labels = [("account", stream.account_id), ("stream", stream.stream)];
            for (gauge, value) in [
                (LAG_SECONDS, stream.lag_seconds),
                (EXPECTED_LAG_SECONDS, stream.expected_lag_seconds),
                (GAP_SECONDS, stream.gap_seconds),
                (OPEN_WINDOWS, stream.open_windows),
                (QUARANTINED_ITEMS, stream.quarantined_items),
                (SUSPENDED, i64::from(stream.suspended_reason.is_some())),
            ] {
                // 32 bits of seconds are 68 years.
                gauge!(gauge, &labels).set(i32::try_from(value).unwrap_or(i32::MAX));
                current.insert((gauge, labels.clone()));
            }
        }
        // An alert about an account that was removed from the configuration must end.
        for (gauge, labels) in exported.difference(&current) {
            gauge!(*gauge, labels).set(f64::NAN);
        }
        *exported = current;
    }
}
