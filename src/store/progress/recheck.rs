//! Rechecks of covered time: rows that are not final, and stored rows beside the provider's count.

use chrono::{DateTime, Utc};

use crate::failpoint::failpoint;
use crate::number::unsigned;
use crate::store::account::Lease;
use crate::store::page::transition::move_window;
use crate::store::page::{PageContext, PageCounts, WindowTransition};
use crate::store::progress::range;
use crate::store::progress::window::{OpenWindow, WindowFailure};
use crate::store::{Store, StoreError};
use paysync_provider::model::{Status, Window};

/// A row that may still change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonFinalRow {
    /// The provider's id.
    pub id: String,
    /// When the provider created it.
    pub created_at: DateTime<Utc>,
}

/// The stored rows of a window, to be compared with the provider's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCount {
    /// Rows created in the window, and its items in quarantine.
    pub rows: u64,
    /// Rows created in the second after it: a provider may count them as well.
    pub at_end: u64,
}

impl StoredCount {
    /// Whether the provider counts more rows than are stored.
    pub const fn is_short_of(&self, provider_count: u64) -> bool {
        provider_count > self.rows + self.at_end
    }

    /// Whether the provider counts as many rows as are stored.
    pub const fn matches(&self, provider_count: u64) -> bool {
        provider_count >= self.rows && !self.is_short_of(provider_count)
    }
}

impl Store {
    /// Rows created in a window with one of these statuses, oldest first, from the row `from` on.
    pub async fn non_final_rows(
        &self,
        account_id: &str,
        window: Window,
        statuses: &[Status],
        from: Option<&NonFinalRow>,
        limit: u32,
    ) -> Result<Vec<NonFinalRow>, StoreError> {
        let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
        let rows = sqlx::query!(
            r#"
            SELECT provider_transaction_id, created_at AS "created_at!"
            FROM paysync.transactions
            WHERE account_id = $1 AND created_at >= $2 AND created_at < $3 AND status = ANY($4)
              AND (created_at, provider_transaction_id) >= ($2, $5)
            ORDER BY created_at, provider_transaction_id
            LIMIT $6
            "#,
            account_id,
            from.map_or(window.start(), |row| row.created_at),
            window.end(),
            &statuses as &[&str],
            from.map_or("", |row| row.id.as_str()),
            i64::from(limit),
        )
        .fetch_all(self.one_shot())
        .await?;
        let rows = rows.into_iter().map(|row| NonFinalRow {
            id: row.provider_transaction_id,
            created_at: row.created_at,
        });
        Ok(rows.collect())
    }

    /// Counts the stored rows of a stream's window. Test rows do not count: they have streams of their own.
    pub async fn stored_count(
        &self,
        account_id: &str,
        window: &OpenWindow,
    ) -> Result<StoredCount, StoreError> {
        let span = window.planned.window;
        let row = sqlx::query!(
            r#"
            SELECT count(*) FILTER (WHERE created_at < $3) AS "rows!",
                   count(*) FILTER (WHERE created_at >= $3) AS "at_end!",
                   (
                       SELECT count(*) FROM paysync.quarantine
                       WHERE account_id = $1 AND stream = $4 AND tstzrange(window_start, window_end) && $5
                   ) AS "quarantined!"
            FROM paysync.transactions
            WHERE account_id = $1 AND created_at >= $2 AND created_at < $3 + interval '1 second' AND is_test IS NOT TRUE
            "#,
            account_id,
            span.start(),
            span.end(),
            window.stream,
            range::of_window(span),
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(StoredCount {
            rows: unsigned(row.rows) + unsigned(row.quarantined),
            at_end: unsigned(row.at_end),
        })
    }

    /// Closes an audit. If the provider counts more rows than are stored, the window becomes a gap again.
    pub async fn close_audit(
        &self,
        lease: &Lease,
        context: &PageContext<'_>,
        stored: StoredCount,
    ) -> Result<(), StoreError> {
        let counts = PageCounts {
            items: stored.rows,
            unchanged: stored.rows,
            outside: stored.at_end,
            ..PageCounts::default()
        };
        let count = context.provider_count;
        let transition = WindowTransition::Close {
            length: None,
            refuted: count.is_some_and(|count| stored.is_short_of(count)),
        };
        let mut connection = self.session().await?;
        failpoint("audit.close.before");
        let mut alone = connection.autocommit().await?;
        move_window(&mut alone, lease, context, &counts, &transition).await?;
        alone.commit().await?;
        failpoint("audit.close.after");
        connection.return_to_pool();
        Ok(())
    }

    /// Gives up a pass over a tier because the provider refuses it. The next pass begins when it is due.
    pub async fn give_up_pass(
        &self,
        lease: &Lease,
        window: &OpenWindow,
        failure: WindowFailure<'_>,
    ) -> Result<(), StoreError> {
        failpoint("give_up_pass.before");
        sqlx::query!(
            r#"
            WITH dropped AS (
                UPDATE paysync.windows
                SET outcome = 'dropped', closed_at = now(), error = $4, hint = $5
                FROM paysync.accounts
                WHERE windows.account_id = $1 AND window_id = $3 AND outcome IS NULL
                  AND accounts.account_id = windows.account_id AND accounts.lease_token = $2
                RETURNING windows.account_id, stream, lane, within_seconds
            )
            UPDATE paysync.rescans
            SET remaining = '{}'
            FROM dropped
            WHERE (rescans.account_id, rescans.stream, rescans.lane, rescans.within_seconds)
                = (dropped.account_id, dropped.stream, dropped.lane, dropped.within_seconds)
            "#,
            lease.account_id,
            lease.token,
            window.id,
            failure.error,
            failure.hint,
        )
        .execute(self.one_shot())
        .await?;
        failpoint("give_up_pass.after");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_window_may_be_counted_or_not() {
        let stored = StoredCount {
            rows: 10,
            at_end: 2,
        };
        assert!(stored.matches(10) && stored.matches(12));
        assert!(!stored.matches(9) && !stored.is_short_of(9));
        assert!(stored.is_short_of(13) && !stored.matches(13));
    }
}
