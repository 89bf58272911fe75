//! How each stream is doing, for `status` and the HTTP port.

use chrono::{DateTime, Utc};

use super::{Store, StoreError};

/// A row of the view `sync_health`, with the account's own state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHealth {
    /// The account.
    pub account_id: String,
    /// Code of its provider.
    pub provider: String,
    /// The stream.
    pub stream: String,
    /// `history` or `change`.
    pub role: String,
    /// First instant that must be covered.
    pub wanted_from: DateTime<Utc>,
    /// Start of the oldest covered instant.
    pub covered_from: Option<DateTime<Utc>>,
    /// End of the newest covered instant.
    pub covered_until: Option<DateTime<Utc>>,
    /// Now minus `covered_until`.
    pub lag_seconds: i64,
    /// How large `lag_seconds` may rightly be.
    pub expected_lag_seconds: i64,
    /// Time wanted and neither covered nor being read.
    pub gap_seconds: i64,
    /// Windows being read.
    pub open_windows: i64,
    /// Items in quarantine.
    pub quarantined_items: i64,
    /// Stopped by an operator.
    pub paused: bool,
    /// Why it waits for an operator.
    pub suspended_reason: Option<String>,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Store {
    /// The health of all streams, by account and name.
    pub async fn health(&self) -> Result<Vec<StreamHealth>, StoreError> {
        let rows = sqlx::query_as!(
            StreamHealth,
            r#"
            SELECT health.account_id AS "account_id!", health.provider AS "provider!", health.stream AS "stream!",
                   health.role AS "role!", health.wanted_from AS "wanted_from!",
                   lower(streams.coverage) AS covered_from, health.covered_until,
                   health.lag_seconds AS "lag_seconds!", health.expected_lag_seconds AS "expected_lag_seconds!", health.gap_seconds AS "gap_seconds!",
                   health.open_windows AS "open_windows!", health.quarantined_items AS "quarantined_items!",
                   health.paused AS "paused!", health.suspended_reason, health.last_error, health.hint
            FROM paysync.sync_health AS health
            JOIN paysync.streams USING (account_id, stream)
            ORDER BY health.account_id, health.stream
            "#,
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows)
    }
}
