//! The gauges of `/metrics` that tell how the streams are.

use metrics::gauge;

use crate::engine::Engine;
use crate::telemetry::{
    EXPECTED_LAG_SECONDS, GAP_SECONDS, LAG_SECONDS, OPEN_WINDOWS, QUARANTINED_ITEMS, SUSPENDED,
};

/// Sets them for the streams of this configuration; leaves them where the database is away.
pub(super) async fn set(engine: &Engine) {
    let Ok(health) = engine.store.health().await else {
        return;
    };
    for stream in health {
        let account = engine.accounts.iter().find(|a| a.id == stream.account_id);
        if account.is_none_or(|account| account.stream(&stream.stream).is_none()) {
            continue;
        }
        let set = |name: &'static str, value: i64| {
            let labels = [
                ("account", stream.account_id.clone()),
                ("stream", stream.stream.clone()),
            ];
            // Thirty-two bits of seconds are 68 years.
            gauge!(name, &labels).set(f64::from(i32::try_from(value).unwrap_or(i32::MAX)));
        };
        set(LAG_SECONDS, stream.lag_seconds);
        set(EXPECTED_LAG_SECONDS, stream.expected_lag_seconds);
        set(GAP_SECONDS, stream.gap_seconds);
        set(OPEN_WINDOWS, stream.open_windows);
        set(QUARANTINED_ITEMS, stream.quarantined_items);
        set(SUSPENDED, i64::from(stream.suspended_reason.is_some()));
    }
}
