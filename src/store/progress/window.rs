//! The ledger of windows.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::types::Json;

use crate::failpoint::failpoint;
use crate::number::milliseconds;
use crate::plan::{Lane, Planned};
use crate::store::account::Lease;
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
        .fetch_all(self.one_shot())
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
            milliseconds(failure.pause),
            failure.restart,
        )
        .execute(self.one_shot())
        .await?;
        failpoint("fail_window.after");
        Ok(())
    }
}
