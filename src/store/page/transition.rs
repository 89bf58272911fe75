//! The statement that ends a page: it moves the window and proves the lease.

use sqlx::types::Json;

use super::{PageContext, PageCounts, WindowTransition};
use crate::number::signed;
use crate::store::StoreError;
use crate::store::account::Lease;
use crate::store::pool::DbWork;
use crate::store::progress::range;
use paysync_provider::Checkpoint;

/// Moves the window: its checkpoint and counts, and its outcome with the coverage.
///
/// # Errors
/// [`StoreError::LeaseLost`] and [`StoreError::WindowGone`] if this process may no longer write it.
pub(crate) async fn move_window(
    connection: &mut DbWork<'_>,
    lease: &Lease,
    page: &PageContext<'_>,
    counts: &PageCounts,
    transition: &WindowTransition,
) -> Result<(), StoreError> {
    let (outcome, checkpoint, length, halves) = match transition {
        WindowTransition::More(checkpoint) => (None, Some(Json(checkpoint)), None, None),
        WindowTransition::Close { length, .. } => (Some("closed"), None, *length, None),
        WindowTransition::Split { halves, length } => {
            (Some("split"), None, Some(*length), Some(*halves))
        }
    };
    let refuted = matches!(transition, WindowTransition::Close { refuted: true, .. });
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
