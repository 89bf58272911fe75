//! Retention: old windows are folded into sums; old versions, payloads and quarantined items are deleted.
//!
//! It works in small batches, without a lease, beside running lanes and other processes.

pub mod daily_totals;
pub mod erase;
pub mod forget;

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::number::{milliseconds, unsigned};
use crate::store::{Store, StoreError};

/// What folding a batch of windows did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    /// Windows folded.
    pub windows: u64,
    /// The window after which the next batch starts; none after the last batch.
    pub next: Option<i64>,
}

/// An expiry of payloads that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadExpiry {
    /// Payloads of versions that are older than this instant expire.
    pub before: DateTime<Utc>,
    /// The id after which the next batch starts.
    pub after: String,
}

/// What deleting a batch of payloads did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedPayloads {
    /// Payloads deleted.
    pub payloads: u64,
    /// The id after which the next batch starts; none after the last batch.
    pub next: Option<String>,
}

impl Store {
    /// Whether this process is the leader, the first of the live processes by name: it runs the maintenance for all.
    pub async fn is_leader(&self, holder: &str) -> Result<bool, StoreError> {
        let first = sqlx::query_scalar!(
            r#"
            SELECT NOT EXISTS (
                SELECT FROM paysync.processes WHERE alive_until >= clock_timestamp() AND holder < $1
            ) AS "first!"
            "#,
            holder,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(first)
    }

    /// All streams that the database knows, configured or not: account and name.
    pub async fn stream_names(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT account_id, stream FROM paysync.streams ORDER BY account_id, stream"
        )
        .fetch_all(self.one_shot())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.account_id, row.stream))
            .collect())
    }

    /// The instant before which a stream's windows may be folded, if their outcome is older than `age`. It
    /// is no later than the stream's oldest doubt: a window that closed after the doubt may resolve it. A
    /// doubt that arises later is younger than the windows that are folded now.
    pub async fn foldable_before(
        &self,
        account_id: &str,
        stream: &str,
        age: Duration,
    ) -> Result<DateTime<Utc>, StoreError> {
        let before = sqlx::query_scalar!(
            r#"
            SELECT least(now() - make_interval(secs => $3::bigint / 1000.0), min(closed_at)) AS "before!"
            FROM paysync.count_doubts
            WHERE account_id = $1 AND stream = $2
            "#,
            account_id,
            stream,
            milliseconds(age),
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(before)
    }

    /// Folds a batch of a stream's windows: of the `limit` windows after the number `after`, those that got
    /// their outcome before an instant. Their sums go to `window_totals`, their time to `streams.folded`.
    pub async fn fold_windows(
        &self,
        account_id: &str,
        stream: &str,
        before: DateTime<Utc>,
        after: i64,
        limit: i64,
    ) -> Result<Folded, StoreError> {
        let row = sqlx::query!(
            r#"
            WITH mine AS (
                -- One process folds a stream at a time. It waits only for this row, and holds no other meanwhile, so
                -- that it cannot deadlock.
                SELECT stream FROM paysync.streams WHERE account_id = $1 AND stream = $2 FOR NO KEY UPDATE
            ), batch AS (
                SELECT window_id, outcome IS NOT NULL AND closed_at < $3 AS is_old
                FROM paysync.windows
                WHERE account_id = $1 AND stream = $2 AND window_id > $4
                ORDER BY window_id
                LIMIT $5
            ), folded AS (
                -- Windows that another process folded while this one waited are gone by now.
                DELETE FROM paysync.windows
                USING mine, batch
                WHERE windows.account_id = $1 AND windows.window_id = batch.window_id AND batch.is_old
                RETURNING windows.*
            ), summed AS (
                INSERT INTO paysync.window_totals AS held (
                    account_id, stream, lane, day, windows, pages, items,
                    inserted, updated, unchanged, stale, duplicate, quarantined, outside
                )
                SELECT account_id, stream, lane, (closed_at AT TIME ZONE 'UTC')::date AS day, count(*), sum(pages), sum(items),
                       sum(inserted), sum(updated), sum(unchanged), sum(stale), sum(duplicate), sum(quarantined), sum(outside)
                FROM folded
                GROUP BY account_id, stream, lane, day
                ON CONFLICT (account_id, stream, lane, day) DO UPDATE SET
                    windows = held.windows + EXCLUDED.windows,
                    pages = held.pages + EXCLUDED.pages,
                    items = held.items + EXCLUDED.items,
                    inserted = held.inserted + EXCLUDED.inserted,
                    updated = held.updated + EXCLUDED.updated,
                    unchanged = held.unchanged + EXCLUDED.unchanged,
                    stale = held.stale + EXCLUDED.stale,
                    duplicate = held.duplicate + EXCLUDED.duplicate,
                    quarantined = held.quarantined + EXCLUDED.quarantined,
                    outside = held.outside + EXCLUDED.outside
            ), remembered AS (
                UPDATE paysync.streams
                SET folded = folded + read.spans
                FROM (
                    SELECT range_agg(tstzrange(window_start, window_end)) AS spans
                    FROM folded
                    WHERE outcome = 'closed' AND lane IN ('live', 'backfill', 'rescan')
                ) AS read
                WHERE account_id = $1 AND stream = $2 AND read.spans IS NOT NULL
            )
            SELECT (SELECT count(*) FROM folded) AS "windows!",
                   -- Numbers grow with time: after a full batch without an old window there is no old one.
                   (SELECT max(window_id) FROM batch HAVING count(*) = $5 AND bool_or(is_old)) AS next
            "#,
            account_id,
            stream,
            before,
            after,
            limit,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(Folded {
            windows: unsigned(row.windows),
            next: row.next,
        })
    }

    /// Deletes at most `limit` of an account's versions that were replaced longer ago than `age`;
    /// returns how many.
    pub async fn delete_versions(
        &self,
        account_id: &str,
        age: Duration,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let deleted = sqlx::query!(
            r#"
            DELETE FROM paysync.transaction_history
            USING (
                SELECT account_id, provider_transaction_id, version
                FROM paysync.transaction_history
                WHERE account_id = $1 AND valid_to < now() - make_interval(secs => $2::bigint / 1000.0)
                LIMIT $3
                FOR UPDATE SKIP LOCKED
            ) AS old
            WHERE transaction_history.account_id = old.account_id
              AND transaction_history.provider_transaction_id = old.provider_transaction_id
              AND transaction_history.version = old.version
            "#,
            account_id,
            milliseconds(age),
            limit,
        )
        .execute(self.one_shot())
        .await?;
        Ok(deleted.rows_affected())
    }

    /// Begins to delete an account's payloads that are older than `age`, counted from when their version was stored,
    /// or resumes it where the last round ended. A new expiry begins a day after the one before, at the
    /// earliest; until then there is none, nor for an unknown account. The expiry is stored before anything
    /// is deleted, so that a missing payload is known to have expired.
    pub async fn begin_payload_expiry(
        &self,
        account_id: &str,
        age: Duration,
    ) -> Result<Option<PayloadExpiry>, StoreError> {
        let expiry = sqlx::query_as!(
            PayloadExpiry,
            r#"
            WITH kept AS (
                SELECT now() - make_interval(secs => $2::bigint / 1000.0) AS kept_from
            )
            UPDATE paysync.accounts
            SET payloads_from = CASE WHEN payloads_after IS NULL THEN kept_from ELSE payloads_from END,
                payloads_after = coalesce(payloads_after, '')
            FROM kept
            WHERE account_id = $1
              AND (payloads_after IS NOT NULL OR payloads_from IS NULL OR payloads_from <= kept_from - interval '1 day')
            -- The configured age may have grown since.
            RETURNING least(payloads_from, kept_from) AS "before!", payloads_after AS "after!"
            "#,
            account_id,
            milliseconds(age),
        )
        .fetch_optional(self.one_shot())
        .await?;
        Ok(expiry)
    }

    /// Deletes a batch of an account's payloads: of the `limit` payloads after the id `after`, those whose
    /// version is older than an instant. Stores where the next batch starts.
    pub async fn delete_payloads(
        &self,
        account_id: &str,
        before: DateTime<Utc>,
        after: &str,
        limit: i64,
    ) -> Result<DeletedPayloads, StoreError> {
        let row = sqlx::query!(
            r#"
            WITH batch AS (
                SELECT provider_transaction_id
                FROM paysync.raw_transactions
                WHERE account_id = $1 AND provider_transaction_id > $3
                ORDER BY provider_transaction_id
                LIMIT $4
            ), old AS (
                -- A row that is being changed gets a new payload: it is skipped.
                SELECT held.provider_transaction_id
                FROM batch
                JOIN paysync.transactions AS held
                    ON held.account_id = $1 AND held.provider_transaction_id = batch.provider_transaction_id
                WHERE held.version_from < $2
                FOR NO KEY UPDATE OF held SKIP LOCKED
            ), dropped AS (
                DELETE FROM paysync.raw_transactions AS raw
                USING old
                WHERE raw.account_id = $1 AND raw.provider_transaction_id = old.provider_transaction_id
                RETURNING raw.provider_transaction_id
            )
            SELECT (SELECT count(*) FROM dropped) AS "payloads!",
                   (SELECT max(provider_transaction_id) FROM batch HAVING count(*) = $4) AS next
            "#,
            account_id,
            before,
            after,
            limit,
        )
        .fetch_one(self.one_shot())
        .await?;
        // Not in the statement that locks rows: it waits for pages that hold the account, and others would wait
        // for the rows meanwhile.
        sqlx::query!(
            "UPDATE paysync.accounts SET payloads_after = $2 WHERE account_id = $1",
            account_id,
            row.next,
        )
        .execute(self.one_shot())
        .await?;
        Ok(DeletedPayloads {
            payloads: unsigned(row.payloads),
            next: row.next,
        })
    }

    /// Deletes at most `limit` of an account's items in quarantine that were last seen longer ago than
    /// `age`; returns how many.
    pub async fn delete_quarantined(
        &self,
        account_id: &str,
        age: Duration,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let deleted = sqlx::query!(
            r#"
            DELETE FROM paysync.quarantine
            USING (
                SELECT account_id, stream, payload_hash
                FROM paysync.quarantine
                WHERE account_id = $1 AND last_seen_at < now() - make_interval(secs => $2::bigint / 1000.0)
                LIMIT $3
                FOR UPDATE SKIP LOCKED
            ) AS old
            WHERE quarantine.account_id = old.account_id
              AND quarantine.stream = old.stream
              AND quarantine.payload_hash = old.payload_hash
            "#,
            account_id,
            milliseconds(age),
            limit,
        )
        .execute(self.one_shot())
        .await?;
        Ok(deleted.rows_affected())
    }
}
