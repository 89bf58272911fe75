//! Folding of the entries behind the view `daily_totals` into one entry per key.

use crate::number::unsigned;
use crate::store::{Store, StoreError};

/// Which days are folded. Folding a day rewrites all of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Days with at least as many new entries as folded ones: a large day is not rewritten for each row
    /// that is added to it.
    Due,
    /// All days that have new entries.
    All,
}

impl Store {
    /// Folds the new entries of at most `days` days, each of one account; returns how many entries there
    /// were. Readers see the same sums before, meanwhile and after.
    pub async fn fold_daily_sums(&self, fold: Fold, days: i64) -> Result<u64, StoreError> {
        let folded = sqlx::query_scalar!(
            r#"
            WITH fresh AS (
                SELECT account_id, day, count(*) AS entries
                FROM paysync.daily_sums
                WHERE NOT is_folded
                GROUP BY account_id, day
            ), due AS (
                SELECT account_id, day
                FROM fresh
                WHERE $2 OR entries >= (
                    SELECT count(*)
                    FROM paysync.daily_sums AS folded
                    WHERE folded.account_id = fresh.account_id AND folded.day = fresh.day AND folded.is_folded
                )
                LIMIT $1
            ), free AS (
                -- An account whose sums another process folds or rebuilds is left to it.
                SELECT account_id
                FROM paysync.payment_locks
                WHERE account_id IN (SELECT account_id FROM due)
                FOR UPDATE SKIP LOCKED
            ), taken AS (
                SELECT account_id, day, entry.entry_id
                FROM free
                JOIN due USING (account_id)
                JOIN paysync.daily_sums AS entry USING (account_id, day)
                FOR UPDATE OF entry
            ), gone AS (
                DELETE FROM paysync.daily_sums AS entry
                USING taken
                WHERE entry.account_id = taken.account_id AND entry.day = taken.day AND entry.entry_id = taken.entry_id
                RETURNING entry.*
            ), kept AS (
                INSERT INTO paysync.daily_sums
                    (account_id, day, currency, kind, status, transactions, amount, unknown_amounts, is_folded)
                SELECT account_id, day, currency, kind, status, sum(transactions), sum(amount), sum(unknown_amounts), true
                FROM gone
                GROUP BY account_id, day, currency, kind, status
                HAVING sum(transactions) <> 0 OR sum(amount) <> 0 OR sum(unknown_amounts) <> 0
            )
            SELECT count(*) AS "folded!" FROM gone
            "#,
            days,
            fold == Fold::All,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(unsigned(folded))
    }
}
