//! The gauges of `/metrics` that tell how the streams are.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use metrics::gauge;

use crate::engine::Engine;
use crate::telemetry::{
    EXPECTED_LAG_SECONDS, GAP_SECONDS, LAG_SECONDS, OPEN_WINDOWS, QUARANTINED_ITEMS, SUSPENDED,
};

/// The streams whose gauges were set, by account and name.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    told: Mutex<BTreeSet<[String; 2]>>,
}

impl Gauges {
    /// Sets them for the streams of this configuration; leaves them where the database is away.
    pub(super) async fn set(&self, engine: &Engine) {
        let Ok(health) = engine.store.health().await else {
            return;
        };
        let mut gone = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = BTreeSet::new();
        for stream in health {
            let account = engine.accounts.iter().find(|a| a.id == stream.account_id);
            if account.is_none_or(|account| account.stream(&stream.stream).is_none()) {
                continue;
            }
            let name = [stream.account_id, stream.stream];
            let gauges = [
                (LAG_SECONDS, stream.lag_seconds),
                (EXPECTED_LAG_SECONDS, stream.expected_lag_seconds),
                (GAP_SECONDS, stream.gap_seconds),
                (OPEN_WINDOWS, stream.open_windows),
                (QUARANTINED_ITEMS, stream.quarantined_items),
                (SUSPENDED, i64::from(stream.suspended_reason.is_some())),
            ];
            for (gauge, value) in gauges {
                // Thirty-two bits of seconds are 68 years.
                set(
                    gauge,
                    &name,
                    f64::from(i32::try_from(value).unwrap_or(i32::MAX)),
                );
            }
            gone.remove(&name);
            told.insert(name);
        }
        // No alert may go on about an account that was taken out of the configuration.
        for name in &*gone {
            for gauge in ALL {
                set(gauge, name, f64::NAN);
            }
        }
        *gone = told;
    }
}

const ALL: [&str; 6] = [
    LAG_SECONDS,
    EXPECTED_LAG_SECONDS,
    GAP_SECONDS,
    OPEN_WINDOWS,
    QUARANTINED_ITEMS,
    SUSPENDED,
];

fn set(gauge: &'static str, [account, stream]: &[String; 2], value: f64) {
    let labels = [("account", account.clone()), ("stream", stream.clone())];
    gauge!(gauge, &labels).set(value);
}
