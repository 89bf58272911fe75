//! The history of one row, for `paysync why`. Reads only.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::types::Json;

use crate::store::{Store, StoreError};

/// A version of a row: the current one or a replaced one.
#[derive(Debug, Clone)]
pub struct Version {
    /// When it was stored.
    pub valid_from: DateTime<Utc>,
    /// When it was replaced; none for the current version.
    pub valid_to: Option<DateTime<Utc>>,
    /// All columns in the table's order, as text or null, so that amounts stay exact.
    pub columns: Map<String, Value>,
}

/// A span of a stream that contains a row, or contained it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamSpan {
    /// The stream.
    pub stream: String,
    /// First instant.
    pub from: DateTime<Utc>,
    /// Last instant.
    pub to: DateTime<Utc>,
}

/// A window of the ledger that may have read a row.
#[derive(Debug, Clone, Serialize)]
pub struct CandidateWindow {
    /// The stream.
    pub stream: String,
    /// Number of the window.
    pub window_id: i64,
    /// Why it was read.
    pub lane: String,
    /// First instant.
    pub window_start: DateTime<Utc>,
    /// First instant after it.
    pub window_end: DateTime<Utc>,
    /// `closed`, `split`, `dropped`; none while it is open.
    pub outcome: Option<String>,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// When it got its outcome.
    pub closed_at: Option<DateTime<Utc>>,
    /// Pages stored.
    pub pages: i64,
    /// Items in them.
    pub items: i64,
    /// Items that were new.
    pub inserted: i64,
    /// Items that replaced an older version.
    pub updated: i64,
    /// Items that were stored already, unchanged.
    pub unchanged: i64,
    /// Items older than the version stored.
    pub stale: i64,
    /// Items that occurred again in their page.
    pub duplicate: i64,
    /// Items put into quarantine.
    pub quarantined: i64,
    /// The provider's own count.
    pub provider_count: Option<i64>,
    /// Its last error, or what an audit found.
    pub error: Option<String>,
}

/// An item in quarantine, without its payload.
#[derive(Debug, Clone, Serialize)]
pub struct QuarantineSummary {
    /// The stream that brought it.
    pub stream: String,
    /// Why, one word.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
    /// Start of the window that last brought it.
    pub window_start: DateTime<Utc>,
    /// End of that window.
    pub window_end: DateTime<Utc>,
    /// How often it was seen.
    pub times_seen: i64,
    /// When it was first seen.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last seen.
    pub last_seen_at: DateTime<Utc>,
}

impl Store {
    /// All versions of a row, oldest first, the current one last; empty if it was never stored.
    pub async fn versions(&self, account_id: &str, id: &str) -> Result<Vec<Version>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT valid_from AS "valid_from!", valid_to,
                   -- Each value as text: an amount would lose digits as a JSON number.
                   (SELECT json_object_agg(key, value) FROM json_each_text(version))
                       AS "columns!: Json<Map<String, Value>>"
            FROM (
                SELECT transaction_history.version AS number, valid_from, valid_to, row_to_json(transaction_history) AS version
                FROM paysync.transaction_history
                WHERE account_id = $1 AND provider_transaction_id = $2
                UNION ALL
                SELECT transactions.version, version_from, NULL, row_to_json(transactions)
                FROM paysync.transactions
                WHERE account_id = $1 AND provider_transaction_id = $2
            ) AS versions
            ORDER BY number
            "#,
            account_id,
            id,
        )
        .fetch_all(self.one_shot())
        .await?;
        let versions = rows.into_iter().map(|row| Version {
            valid_from: row.valid_from,
            valid_to: row.valid_to,
            columns: row.columns.0,
        });
        Ok(versions.collect())
    }

    /// Whether the payload of a row is stored.
    pub async fn has_payload(&self, account_id: &str, id: &str) -> Result<bool, StoreError> {
        let held = sqlx::query_scalar!(
            r#"
            SELECT EXISTS (
                SELECT FROM paysync.raw_transactions WHERE account_id = $1 AND provider_transaction_id = $2
            ) AS "held!"
            "#,
            account_id,
            id,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(held)
    }

    /// The windows of the ledger that touch one of these spans, newest first, at most `limit`.
    pub async fn candidate_windows(
        &self,
        account_id: &str,
        places: &[StreamSpan],
        limit: i64,
    ) -> Result<Vec<CandidateWindow>, StoreError> {
        let streams: Vec<String> = places.iter().map(|place| place.stream.clone()).collect();
        let (from, to): (Vec<_>, Vec<_>) =
            places.iter().map(|place| (place.from, place.to)).unzip();
        let windows = sqlx::query_as!(
            CandidateWindow,
            r#"
            SELECT stream, window_id, lane, window_start, window_end, outcome, opened_at, closed_at, pages, items,
                   inserted, updated, unchanged, stale, duplicate, quarantined, provider_count, error
            FROM paysync.windows
            WHERE account_id = $1
              AND EXISTS (
                  SELECT FROM UNNEST($2::text[], $3::timestamptz[], $4::timestamptz[]) AS place(stream, first, last)
                  -- Both bounds are inclusive, as requests send them.
                  WHERE place.stream = windows.stream AND window_start <= place.last AND window_end >= place.first
              )
            ORDER BY opened_at DESC, window_id DESC
            LIMIT $5
            "#,
            account_id,
            &streams,
            &from,
            &to,
            limit,
        )
        .fetch_all(self.one_shot())
        .await?;
        Ok(windows)
    }

    /// The items in quarantine with this id, those seen last first.
    pub async fn quarantine_of(
        &self,
        account_id: &str,
        id: &str,
    ) -> Result<Vec<QuarantineSummary>, StoreError> {
        let held = sqlx::query_as!(
            QuarantineSummary,
            r#"
            SELECT stream, reason, detail, window_start, window_end, times_seen, first_seen_at, last_seen_at
            FROM paysync.quarantine
            WHERE account_id = $1 AND provider_transaction_id = $2
            ORDER BY last_seen_at DESC, stream, payload_hash
            "#,
            account_id,
            id,
        )
        .fetch_all(self.one_shot())
        .await?;
        Ok(held)
    }
}
