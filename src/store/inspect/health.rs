//! The health of streams, for `paysync status` and the HTTP port. Reads only.

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgRange;

use crate::store::progress::range;
use crate::store::{Store, StoreError};
use paysync_provider::model::IntervalSet;

/// A row of the view `sync_health`, with the state of the account.
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
    /// How large `lag_seconds` may be.
    pub expected_lag_seconds: i64,
    /// Seconds of wanted time that is neither covered nor being read.
    pub gap_seconds: i64,
    /// Open windows.
    pub open_windows: i64,
    /// Open windows that fill older gaps.
    pub backfill_windows: i64,
    /// Items in quarantine.
    pub quarantined_items: i64,
    /// Whether an operator paused the account.
    pub paused: bool,
    /// Why the stream or its account waits for an operator.
    pub suspended_reason: Option<String>,
    /// The last error.
    pub last_error: Option<String>,
    /// What an operator can do about it.
    pub hint: Option<String>,
}

impl Store {
    /// The health of all streams, by account and name.
    pub async fn health(&self) -> Result<Vec<StreamHealth>, StoreError> {
        Ok(sqlx::query_as!(
            StreamHealth,
            r#"
            SELECT health.account_id AS "account_id!", health.provider AS "provider!", health.stream AS "stream!",
                   health.role AS "role!", health.wanted_from AS "wanted_from!",
                   lower(streams.coverage) AS covered_from, health.covered_until,
                   health.lag_seconds AS "lag_seconds!", health.expected_lag_seconds AS "expected_lag_seconds!", health.gap_seconds AS "gap_seconds!",
                   health.open_windows AS "open_windows!",
                   (
                       SELECT count(*) FROM paysync.windows
                       WHERE (windows.account_id, windows.stream) = (health.account_id, health.stream)
                         AND outcome IS NULL AND lane = 'backfill'
                   ) AS "backfill_windows!", health.quarantined_items AS "quarantined_items!",
                   health.paused AS "paused!", health.suspended_reason, health.last_error, health.hint
            FROM paysync.sync_health AS health
            JOIN paysync.streams USING (account_id, stream)
            ORDER BY health.account_id, health.stream
            "#,
        )
        .fetch_all(self.one_shot())
        .await?)
    }
}

/// The covered time of a stream, and the time being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamCoverage {
    /// The account.
    pub account_id: String,
    /// The stream.
    pub stream: String,
    /// The coverage.
    pub covered: IntervalSet,
    /// The open windows that fill gaps.
    pub filling: IntervalSet,
    /// Seconds of older history that were covered in the last ten minutes.
    pub recent_seconds: i64,
}

/// The items read in one minute.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Minute {
    /// Its start.
    pub minute: DateTime<Utc>,
    /// Items of the windows that closed in the minute.
    pub items: i64,
    /// Items that were inserted or updated.
    pub written: i64,
}

/// Items in quarantine for one reason.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct QuarantineReason {
    /// The account.
    pub account_id: String,
    /// The stream.
    pub stream: String,
    /// Why, one word.
    pub reason: String,
    /// Why, in words, of the item seen last.
    pub detail: String,
    /// How many.
    pub items: i64,
    /// When one was last seen.
    pub last_seen_at: DateTime<Utc>,
}

impl Store {
    /// The coverage of all streams.
    pub async fn coverage(&self) -> Result<Vec<StreamCoverage>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT streams.account_id, streams.stream,
                   ARRAY(SELECT unnest(coverage)) AS "covered!: Vec<PgRange<DateTime<Utc>>>",
                   ARRAY(
                       SELECT tstzrange(window_start, window_end) FROM paysync.windows
                       WHERE (windows.account_id, windows.stream) = (streams.account_id, streams.stream)
                         AND outcome IS NULL AND lane IN ('live', 'backfill')
                   ) AS "filling!: Vec<PgRange<DateTime<Utc>>>",
                   coalesce(recent.seconds, 0)::bigint AS "recent_seconds!"
            FROM paysync.streams
            LEFT JOIN (
                SELECT account_id, stream, sum(extract(epoch FROM window_end - window_start)) AS seconds
                FROM paysync.windows
                WHERE closed_at > now() - interval '10 minutes' AND outcome = 'closed' AND lane = 'backfill'
                GROUP BY account_id, stream
            ) AS recent USING (account_id, stream)
            "#,
        )
        .fetch_all(self.one_shot())
        .await?;
        let rows = rows.into_iter().map(|row| StreamCoverage {
            account_id: row.account_id,
            stream: row.stream,
            covered: range::to_set(&row.covered),
            filling: range::to_set(&row.filling),
            recent_seconds: row.recent_seconds,
        });
        Ok(rows.collect())
    }

    /// The items read in each minute of the last hour, oldest first, including minutes without any.
    pub async fn last_hour(&self) -> Result<Vec<Minute>, StoreError> {
        Ok(sqlx::query_as!(
            Minute,
            r#"
            SELECT minute AS "minute!", coalesce(sum(items), 0)::bigint AS "items!",
                   coalesce(sum(inserted + updated), 0)::bigint AS "written!"
            FROM generate_series(date_trunc('minute', now()) - interval '59 minutes', now(), interval '1 minute') AS minute
            LEFT JOIN paysync.windows ON closed_at >= minute AND closed_at < minute + interval '1 minute'
                AND closed_at > now() - interval '1 hour' AND outcome IS NOT NULL AND lane <> 'audit'
            GROUP BY minute
            ORDER BY minute
            "#,
        )
        .fetch_all(self.one_shot())
        .await?)
    }

    /// Why items are in quarantine, the most recent reasons first; without payloads.
    pub async fn quarantine_reasons(&self) -> Result<Vec<QuarantineReason>, StoreError> {
        Ok(sqlx::query_as!(
            QuarantineReason,
            r#"
            SELECT account_id, stream, reason, count(*) AS "items!", max(last_seen_at) AS "last_seen_at!",
                   (array_agg(detail ORDER BY last_seen_at DESC))[1] AS "detail!"
            FROM paysync.quarantine
            GROUP BY account_id, stream, reason
            ORDER BY max(last_seen_at) DESC
            LIMIT 100
            "#,
        )
        .fetch_all(self.one_shot())
        .await?)
    }
}
