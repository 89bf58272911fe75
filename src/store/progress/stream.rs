//! Streams: their coverage, open windows and passes, and the suspension that stops one.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::postgres::types::PgRange;

use crate::failpoint::failpoint;
use crate::plan::{Lane, Pass, Plan, Progress};
use crate::store::account::Lease;
use crate::store::progress::range;
use crate::store::progress::window::OpenWindow;
use crate::store::{Store, StoreError};
use paysync_provider::model::Window;

/// A stream as it is stored.
#[derive(Debug, Clone)]
pub struct StreamState {
    /// Its name.
    pub stream: String,
    /// Its coverage, open windows and passes.
    pub progress: Progress,
    /// The open windows, in no order.
    pub open: Vec<OpenWindow>,
    /// Since when it waits for an operator; none if it does not.
    pub suspended_at: Option<DateTime<Utc>>,
}

/// A stream to be registered.
#[derive(Debug, Clone)]
pub struct NewStream<'a> {
    /// Its name.
    pub stream: &'a str,
    /// `history` or `change`.
    pub role: &'a str,
    /// First instant that must be covered.
    pub wanted_from: DateTime<Utc>,
    /// How large its lag may be.
    pub expected_lag: TimeDelta,
    /// Length of the first window.
    pub length: TimeDelta,
}

/// What forgetting an interval of a stream costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForgetPreview {
    /// The stream.
    pub stream: String,
    /// Covered seconds in the interval.
    pub seconds: i64,
    /// Open windows that overlap it.
    pub open_windows: i64,
    /// Estimated rows that will be read again; none if the ledger has no figures.
    pub rows: Option<i64>,
    /// Estimated requests for them.
    pub requests: Option<i64>,
}

impl Store {
    /// Registers a stream. An earlier `wanted_from` opens a gap; a later one keeps all coverage.
    pub async fn register_stream(
        &self,
        account_id: &str,
        new: &NewStream<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            INSERT INTO paysync.streams (account_id, stream, role, wanted_from, expected_lag_seconds, window_seconds)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (account_id, stream) DO UPDATE SET
                role = EXCLUDED.role,
                wanted_from = EXCLUDED.wanted_from,
                expected_lag_seconds = EXCLUDED.expected_lag_seconds
            WHERE (streams.role, streams.wanted_from, streams.expected_lag_seconds)
                IS DISTINCT FROM (EXCLUDED.role, EXCLUDED.wanted_from, EXCLUDED.expected_lag_seconds)
            "#,
            account_id,
            new.stream,
            new.role,
            new.wanted_from,
            new.expected_lag.num_seconds().max(0),
            new.length.num_seconds().max(1),
        )
        .execute(self.one_shot())
        .await?;
        Ok(())
    }

    /// All streams of an account with their open windows and passes.
    ///
    /// Three statements see three instants. Windows are read first: one that closes in between is then
    /// both open and covered, which is harmless; read last, it would be neither.
    pub async fn streams(&self, account_id: &str) -> Result<Vec<StreamState>, StoreError> {
        let open = self.open_windows(account_id).await?;
        let passes = self.passes(account_id).await?;
        let rows = sqlx::query!(
            r#"
            SELECT stream, wanted_from, window_seconds, suspended_at,
                   ARRAY(SELECT unnest(coverage)) AS "coverage!: Vec<PgRange<DateTime<Utc>>>"
            FROM paysync.streams
            WHERE account_id = $1
            ORDER BY stream
            "#,
            account_id,
        )
        .fetch_all(self.one_shot())
        .await?;
        let streams = rows.into_iter().map(|row| {
            let passes = passes.iter().filter(|(stream, _)| *stream == row.stream);
            let open = open.iter().filter(|window| window.stream == row.stream);
            StreamState {
                progress: Progress {
                    wanted_from: row.wanted_from,
                    coverage: range::to_set(&row.coverage),
                    open: open.clone().map(|window| window.planned).collect(),
                    length: TimeDelta::seconds(row.window_seconds),
                    passes: passes.map(|(_, pass)| pass.clone()).collect(),
                },
                open: open.cloned().collect(),
                suspended_at: row.suspended_at,
                stream: row.stream.clone(),
            }
        });
        Ok(streams.collect())
    }

    async fn passes(&self, account_id: &str) -> Result<Vec<(String, Pass)>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT stream, lane, within_seconds, started_at,
                   ARRAY(SELECT unnest(remaining)) AS "remaining!: Vec<PgRange<DateTime<Utc>>>"
            FROM paysync.rescans
            WHERE account_id = $1
            "#,
            account_id,
        )
        .fetch_all(self.one_shot())
        .await?;
        let passes = rows.into_iter().filter_map(|row| {
            let pass = Pass {
                // The table's CHECK allows no other word.
                lane: Lane::from_word(&row.lane)?,
                within: TimeDelta::seconds(row.within_seconds),
                started_at: row.started_at,
                remaining: range::to_set(&row.remaining),
            };
            Some((row.stream, pass))
        });
        Ok(passes.collect())
    }

    /// Opens the windows of a plan and begins its passes, in one transaction; returns the windows with
    /// their numbers.
    pub async fn open(
        &self,
        lease: &Lease,
        stream: &str,
        wanted_until: DateTime<Utc>,
        plan: &Plan,
    ) -> Result<Vec<OpenWindow>, StoreError> {
        failpoint("open.before");
        let mut connection = self.session().await?;
        let mut transaction = connection.begin().await?;
        let held = sqlx::query_scalar!(
            r#"SELECT 1 AS "held!" FROM paysync.accounts WHERE account_id = $1 AND lease_token = $2 FOR SHARE"#,
            lease.account_id,
            lease.token,
        )
        .fetch_optional(&mut transaction)
        .await?;
        if held.is_none() {
            return Err(StoreError::LeaseLost);
        }
        for pass in &plan.begin {
            sqlx::query!(
                r#"
                INSERT INTO paysync.rescans (account_id, stream, lane, within_seconds, started_at, remaining)
                VALUES ($1, $2, $3, $4, $5, coalesce((SELECT range_agg(span) FROM unnest($6::tstzrange[]) AS span), '{}'))
                ON CONFLICT (account_id, stream, lane, within_seconds)
                DO UPDATE SET started_at = EXCLUDED.started_at, remaining = EXCLUDED.remaining
                "#,
                lease.account_id,
                stream,
                pass.lane.as_str(),
                pass.within.num_seconds(),
                pass.started_at,
                &range::of_set(&pass.remaining),
            )
            .execute(&mut transaction)
            .await?;
        }
        failpoint("open.begun");
        let mut opened = Vec::with_capacity(plan.open.len());
        if !plan.open.is_empty() {
            let starts: Vec<_> = plan.open.iter().map(|p| p.window.start()).collect();
            let ends: Vec<_> = plan.open.iter().map(|p| p.window.end()).collect();
            let lanes: Vec<&str> = plan.open.iter().map(|p| p.lane.as_str()).collect();
            let tiers = plan.open.iter().map(|p| p.tier.map(|t| t.num_seconds()));
            let tiers: Vec<Option<i64>> = tiers.collect();
            let ids = sqlx::query_scalar!(
                r#"
                WITH wanted AS (
                    UPDATE paysync.streams SET wanted_until = $3 WHERE account_id = $1 AND stream = $2
                )
                INSERT INTO paysync.windows (account_id, stream, lane, within_seconds, window_start, window_end)
                SELECT $1, $2, planned.lane, planned.tier, planned.start_at, planned.end_at
                FROM UNNEST($4::text[], $5::bigint[], $6::timestamptz[], $7::timestamptz[]) WITH ORDINALITY
                    AS planned(lane, tier, start_at, end_at, place)
                ORDER BY planned.place
                RETURNING window_id
                "#,
                lease.account_id,
                stream,
                wanted_until,
                &lanes as &[&str],
                &tiers as &[Option<i64>],
                &starts,
                &ends,
            )
            .fetch_all(&mut transaction)
            .await?;
            let windows = ids.into_iter().zip(&plan.open);
            opened.extend(windows.map(|(id, planned)| OpenWindow {
                id,
                stream: stream.to_owned(),
                planned: *planned,
                checkpoint: None,
                pages: 0,
                items: 0,
                failures: 0,
                retry_at: None,
            }));
        }
        failpoint("open.commit.before");
        transaction.commit().await?;
        failpoint("open.commit.after");
        connection.return_to_pool();
        Ok(opened)
    }

    /// Marks a stream as waiting for an operator.
    pub async fn suspend_stream(
        &self,
        lease: &Lease,
        stream: &str,
        reason: &str,
        hint: &str,
    ) -> Result<(), StoreError> {
        failpoint("suspend_stream.before");
        let updated = sqlx::query!(
            r#"
            UPDATE paysync.streams
            SET suspended_reason = $4, hint = $5, suspended_at = clock_timestamp()
            FROM paysync.accounts
            WHERE streams.account_id = $1 AND stream = $3
              AND accounts.account_id = streams.account_id AND accounts.lease_token = $2
            "#,
            lease.account_id,
            lease.token,
            stream,
            reason,
            hint,
        )
        .execute(self.one_shot())
        .await?;
        failpoint("suspend_stream.after");
        let is_held = updated.rows_affected() == 1;
        is_held.then_some(()).ok_or(StoreError::LeaseLost)
    }

    /// What [`Store::forget_coverage`] would do now, stream by stream; writes nothing.
    pub async fn preview_forget(
        &self,
        account_id: &str,
        stream: Option<&str>,
        span: Window,
    ) -> Result<Vec<ForgetPreview>, StoreError> {
        Ok(sqlx::query_as!(
            ForgetPreview,
            r#"
            SELECT streams.stream, forgotten.seconds::bigint AS "seconds!", taken.windows AS "open_windows!",
                   round(forgotten.seconds * read.items / nullif(read.seconds, 0))::bigint AS rows,
                   round(forgotten.seconds * read.pages / nullif(read.seconds, 0))::bigint AS requests
            FROM paysync.streams
            CROSS JOIN LATERAL (
                SELECT coalesce(sum(extract(epoch FROM upper(part) - lower(part))), 0) AS seconds
                FROM unnest(streams.coverage * tstzmultirange($3::tstzrange)) AS part
            ) AS forgotten
            CROSS JOIN LATERAL (
                SELECT count(*) AS windows
                FROM paysync.windows
                WHERE windows.account_id = streams.account_id AND windows.stream = streams.stream
                  AND outcome IS NULL AND tstzrange(window_start, window_end) && $3
            ) AS taken
            CROSS JOIN LATERAL (
                -- Of a window that reaches beyond the interval, only the part inside counts. Time that was read twice
                -- counts once: the figures are means per second.
                SELECT sum(items * part / whole) FILTER (WHERE outcome = 'closed') AS items,
                       sum(pages * part / whole) AS pages,
                       sum(part) FILTER (WHERE outcome = 'closed') AS seconds
                FROM paysync.windows
                CROSS JOIN LATERAL (
                    SELECT extract(epoch FROM window_end - window_start) AS whole,
                           extract(epoch FROM least(window_end, upper($3)) - greatest(window_start, lower($3))) AS part
                ) AS length
                WHERE windows.account_id = streams.account_id AND windows.stream = streams.stream
                  AND outcome IN ('closed', 'split') AND lane IN ('live', 'backfill')
                  AND tstzrange(window_start, window_end) && $3
            ) AS read
            WHERE streams.account_id = $1 AND ($2::text IS NULL OR streams.stream = $2)
              AND (streams.coverage && $3 OR taken.windows > 0)
            ORDER BY streams.stream
            "#,
            account_id,
            stream,
            range::of_window(span),
        )
        .fetch_all(self.one_shot())
        .await?)
    }

    /// Removes an interval from the coverage, so that it is read again, and drops the open windows over it.
    /// Returns the number of streams that changed.
    pub async fn forget_coverage(
        &self,
        account_id: &str,
        stream: Option<&str>,
        span: Window,
    ) -> Result<u64, StoreError> {
        let updated = sqlx::query!(
            r#"
            WITH dropped AS (
                UPDATE paysync.windows
                SET outcome = 'dropped', closed_at = now()
                WHERE account_id = $1 AND ($2::text IS NULL OR stream = $2) AND outcome IS NULL
                  AND tstzrange(window_start, window_end) && $3
            )
            UPDATE paysync.streams
            SET coverage = coverage - tstzmultirange($3)
            WHERE account_id = $1 AND ($2::text IS NULL OR stream = $2) AND coverage && $3
            "#,
            account_id,
            stream,
            range::of_window(span),
        )
        .execute(self.one_shot())
        .await?;
        Ok(updated.rows_affected())
    }
}
