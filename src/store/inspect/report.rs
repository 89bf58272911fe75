//! Sums and proofs for an account and a time, for `paysync report`. Reads only.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::store::{Store, StoreError};
use paysync_provider::model::Window;

/// Rows of one day, currency, kind and status.
#[derive(Debug, Clone, Serialize)]
pub struct Total {
    /// The day of their creation in the account's time zone.
    pub day: NaiveDate,
    /// Their currency.
    pub currency: Option<String>,
    /// Their kind.
    pub kind: String,
    /// Their status.
    pub status: String,
    /// How many.
    pub transactions: i64,
    /// Exact sum of their amounts in major units, of successful rows the paid amounts; none if an amount is unknown.
    pub amount: Option<String>,
}

/// A closed window: proof that it was read, or that the provider counted it.
#[derive(Debug, Clone, Serialize)]
pub struct ClosedWindow {
    /// Number of the window.
    pub window_id: i64,
    /// The stream.
    pub stream: String,
    /// Why it was read.
    pub lane: String,
    /// First instant.
    pub window_start: DateTime<Utc>,
    /// First instant after it.
    pub window_end: DateTime<Utc>,
    /// When it was read to its end.
    pub closed_at: DateTime<Utc>,
    /// Items that it brought; of an audit, the rows stored at that time.
    pub items: i64,
    /// The provider's own count.
    pub provider_count: Option<i64>,
    /// Of an audit: the provider's count minus the rows stored at that time; if positive, rows are missing here.
    pub difference: Option<i64>,
    /// Of an audit: whether its doubt is unresolved.
    pub is_open: bool,
}

/// An interval that was not read.
#[derive(Debug, Clone, Serialize)]
pub struct Gap {
    /// The stream.
    pub stream: String,
    /// First instant.
    pub from: DateTime<Utc>,
    /// First instant after it.
    pub to: DateTime<Utc>,
}

impl Store {
    /// Sums of the rows created in a span, by day, currency, kind and status, without test rows.
    pub async fn totals(&self, account_id: &str, span: Window) -> Result<Vec<Total>, StoreError> {
        Ok(sqlx::query_as!(
            Total,
            r#"
            SELECT (created_at AT TIME ZONE accounts.time_zone)::date AS "day!", currency, kind, status,
                   count(*) AS "transactions!",
                   CASE WHEN bool_and(paysync.summed_amount(status, paid_amount, amount) IS NOT NULL)
                       THEN sum(paysync.summed_amount(status, paid_amount, amount)) END::text AS amount
            FROM paysync.transactions
            JOIN paysync.accounts USING (account_id)
            WHERE account_id = $1 AND created_at >= $2 AND created_at < $3 AND is_test IS NOT TRUE
            GROUP BY 1, currency, kind, status
            ORDER BY 1, currency, kind, status
            "#,
            account_id,
            span.start(),
            span.end(),
        )
        .fetch_all(self.one_shot())
        .await?)
    }

    /// The closed windows of the history streams that touch a span, if they are not folded yet.
    pub async fn closed_windows(
        &self,
        account_id: &str,
        span: Window,
    ) -> Result<Vec<ClosedWindow>, StoreError> {
        Ok(sqlx::query_as!(
            ClosedWindow,
            r#"
            SELECT windows.window_id, windows.stream, windows.lane, windows.window_start, windows.window_end,
                   windows.closed_at AS "closed_at!", windows.items, windows.provider_count,
                   -- The provider may count the very end of a window: rows of that second account for a larger count.
                   CASE WHEN windows.lane <> 'audit' THEN NULL
                        WHEN windows.provider_count < windows.items THEN windows.provider_count - windows.items
                        ELSE greatest(0, windows.provider_count - windows.items - windows.outside)
                   END AS difference,
                   EXISTS (
                       SELECT FROM paysync.count_doubts
                       WHERE count_doubts.account_id = windows.account_id AND count_doubts.window_id = windows.window_id
                   ) AS "is_open!"
            FROM paysync.windows
            JOIN paysync.streams USING (account_id, stream)
            WHERE windows.account_id = $1 AND windows.outcome = 'closed' AND streams.role = 'history'
              AND windows.lane IN ('live', 'backfill', 'rescan', 'audit')
              AND windows.window_start < $3 AND windows.window_end > $2
            ORDER BY windows.stream, windows.window_start, windows.window_id
            "#,
            account_id,
            span.start(),
            span.end(),
        )
        .fetch_all(self.one_shot())
        .await?)
    }

    /// The intervals of a span that a history stream of the account has not covered.
    pub async fn uncovered(&self, account_id: &str, span: Window) -> Result<Vec<Gap>, StoreError> {
        Ok(sqlx::query_as!(
            Gap,
            r#"
            SELECT stream, lower(gap) AS "from!", upper(gap) AS "to!"
            FROM paysync.streams
            CROSS JOIN LATERAL unnest(tstzmultirange(tstzrange($2, $3)) - coverage) AS gap
            WHERE account_id = $1 AND role = 'history'
            ORDER BY stream, gap
            "#,
            account_id,
            span.start(),
            span.end(),
        )
        .fetch_all(self.one_shot())
        .await?)
    }
}
