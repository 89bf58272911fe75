//! The ledger of windows.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::types::Json;

use super::range;
use crate::failpoint::failpoint;
use crate::plan::{Lane, Planned};
use crate::store::account::Lease;
use crate::store::page::{PageContext, PageCounts, Then};
use crate::store::session::Work;
use crate::store::{Store, StoreError};
use paysync_provider::Checkpoint;
use paysync_provider::model::Window;

/// A window being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWindow {
    /// Its number in the ledger.
    pub id: i64,
    /// The stream it belongs to.
    pub stream: String,
    /// The window, its lane and tier.
    pub planned: Planned,
    /// Where the next page starts.
    pub checkpoint: Option<Checkpoint>,
    /// Pages stored already.
    pub pages: i64,
    /// Items in them.
    pub items: i64,
    /// Times in a row that reading it failed.
    pub failures: i32,
    /// Not to be read before this instant.
    pub retry_at: Option<DateTime<Utc>>,
}

/// Why reading a window failed, for the ledger and for operators.
#[derive(Debug, Clone, Copy)]
pub struct WindowFailure<'a> {
    /// What happened.
    pub error: &'a str,
    /// What an operator can do.
    pub hint: &'a str,
    /// How long to wait before the next attempt.
    pub pause: Duration,
    /// Whether to read the window again from its first page.
    pub restart: bool,
}

impl Store {
    /// The windows of an account that have no outcome yet.
    pub async fn open_windows(&self, account_id: &str) -> Result<Vec<OpenWindow>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT window_id, stream, lane, within_seconds, window_start, window_end, pages, items, failures, retry_at,
                   checkpoint AS "checkpoint: Json<Checkpoint>"
            FROM paysync.windows
            WHERE account_id = $1 AND outcome IS NULL
            "#,
            account_id,
        )
        .fetch_all(self.once())
        .await?;
        let open = rows.into_iter().filter_map(|row| {
            // The table's CHECKs allow no other word and no empty window.
            let window = Window::new(row.window_start, row.window_end)?;
            let lane = Lane::from_word(&row.lane)?;
            Some(OpenWindow {
                id: row.window_id,
                stream: row.stream,
                planned: Planned {
                    window,
                    lane,
                    tier: row.within_seconds.map(TimeDelta::seconds),
                },
                checkpoint: row.checkpoint.map(|Json(checkpoint)| checkpoint),
                pages: row.pages,
                items: row.items,
                failures: row.failures,
                retry_at: row.retry_at,
            })
        });
        Ok(open.collect())
    }

    /// Records a failure on the window and on its stream.
    pub async fn fail_window(
        &self,
        lease: &Lease,
        window_id: i64,
        failure: WindowFailure<'_>,
    ) -> Result<(), StoreError> {
        failpoint("fail_window.before");
        sqlx::query!(
            r#"
            WITH failed AS (
                UPDATE paysync.windows
                SET failures = failures + 1,
                    error = $4,
                    hint = $5,
                    retry_at = clock_timestamp() + make_interval(secs => $6::bigint / 1000.0),
                    checkpoint = CASE WHEN $7 THEN NULL ELSE checkpoint END
                FROM paysync.accounts
                WHERE windows.account_id = $1 AND window_id = $3 AND outcome IS NULL
                  AND accounts.account_id = windows.account_id AND accounts.lease_token = $2
                RETURNING stream
            )
            UPDATE paysync.streams
            SET last_error = $4, last_error_hint = $5, last_error_at = clock_timestamp()
            FROM failed
            WHERE streams.account_id = $1 AND streams.stream = failed.stream
            "#,
            lease.account_id,
            lease.token,
            window_id,
            failure.error,
            failure.hint,
            i64::try_from(failure.pause.as_millis()).unwrap_or(i64::MAX),
            failure.restart,
        )
        .execute(self.once())
        .await?;
        failpoint("fail_window.after");
        Ok(())
    }
}

/// Moves a window on: its checkpoint and counts, and with its outcome the coverage.
///
/// # Errors
/// [`StoreError::LeaseLost`] or [`StoreError::WindowGone`] if this process may not move it any more.
pub(crate) async fn move_window(
    connection: &mut Work<'_>,
    lease: &Lease,
    page: &PageContext<'_>,
    counts: &PageCounts,
    then: &Then,
) -> Result<(), StoreError> {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let (outcome, checkpoint, length, halves) = match then {
        Then::More(checkpoint) => (None, Some(Json(checkpoint)), None, None),
        Then::Close { length, .. } => (Some("closed"), None, *length, None),
        Then::Split { halves, length } => (Some("split"), None, Some(*length), Some(*halves)),
    };
    let refuted = matches!(then, Then::Close { refuted: true, .. });
    let halves: Vec<_> = halves
        .into_iter()
        .flat_map(|(left, right)| [left, right])
        .map(range::of_window)
        .collect();
    let proof = sqlx::query!(
        r#"
        WITH lease AS (
            -- Shared by this process's windows; a takeover waits for the commit.
            SELECT account_id FROM paysync.accounts WHERE account_id = $1 AND lease_token = $2 FOR SHARE
        ), stream AS (
            -- The windows of a stream close one after another: closed_at is the order in which coverage changed.
            SELECT FROM paysync.streams JOIN lease USING (account_id)
            WHERE streams.stream = $18 AND $5::text IS NOT NULL
            FOR NO KEY UPDATE OF streams
        ), moved AS (
            UPDATE paysync.windows
            SET checkpoint = $4::jsonb,
                outcome = $5,
                closed_at = CASE WHEN $5::text IS NOT NULL THEN clock_timestamp() END,
                pages = pages + 1,
                items = items + $6,
                inserted = inserted + $7,
                updated = updated + $8,
                unchanged = unchanged + $9,
                stale = stale + $10,
                duplicate = duplicate + $11,
                quarantined = quarantined + $12,
                outside = outside + $13,
                provider_count = coalesce($14, provider_count),
                failures = 0, error = NULL, hint = NULL, retry_at = NULL
            FROM lease
            WHERE windows.account_id = lease.account_id AND window_id = $3 AND outcome IS NULL
              AND ($5::text IS NULL OR EXISTS (SELECT FROM stream))
            RETURNING windows.account_id, stream, lane, within_seconds, tstzrange(window_start, window_end) AS span
        ), halves AS (
            INSERT INTO paysync.windows (account_id, stream, lane, within_seconds, window_start, window_end)
            SELECT moved.account_id, stream, lane, within_seconds, lower(half), upper(half)
            FROM moved CROSS JOIN UNNEST($16::tstzrange[]) AS half
        ), grown AS (
            UPDATE paysync.streams
            SET coverage = CASE
                    WHEN $17 THEN coverage - tstzmultirange(moved.span)
                    WHEN $5 = 'closed' AND lane IN ('live', 'backfill', 'rescan')
                        THEN coverage + tstzmultirange(moved.span)
                    ELSE coverage
                END,
                window_seconds = coalesce($15, window_seconds),
                last_error = NULL,
                last_error_hint = NULL,
                suspended_reason = NULL,
                hint = NULL,
                suspended_at = NULL
            FROM moved
            WHERE streams.account_id = moved.account_id AND streams.stream = moved.stream AND $5::text IS NOT NULL
        ), reread AS (
            UPDATE paysync.rescans
            SET remaining = remaining - tstzmultirange(moved.span)
            FROM moved
            WHERE rescans.account_id = moved.account_id AND rescans.stream = moved.stream
              AND rescans.lane = moved.lane AND rescans.within_seconds = moved.within_seconds AND $5 = 'closed'
        )
        SELECT EXISTS (SELECT FROM lease) AS "leased!", EXISTS (SELECT FROM moved) AS "moved!"
        "#,
        lease.account_id,
        lease.token,
        page.window.id,
        checkpoint as Option<Json<&Checkpoint>>,
        outcome,
        signed(counts.items),
        signed(counts.inserted),
        signed(counts.updated),
        signed(counts.unchanged),
        signed(counts.stale),
        signed(counts.duplicate),
        signed(counts.quarantined),
        signed(counts.outside),
        page.provider_count.map(signed),
        length.map(|length| length.num_seconds().max(1)),
        &halves,
        refuted,
        page.window.stream,
    )
    .fetch_one(connection)
    .await?;
    match (proof.leased, proof.moved) {
        (true, true) => Ok(()),
        (false, _) => Err(StoreError::LeaseLost),
        (true, false) => Err(StoreError::WindowGone),
    }
}
