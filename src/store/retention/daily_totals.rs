//! The entries that `daily_totals` is made of: folded into one per key, and never lost.

use crate::number::unsigned;
use crate::store::{Store, StoreError};

/// Which days are folded. A day is written anew as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Those whose new entries are as many as the folded ones: a day of many kinds to which a row is added
    /// now and then is not written anew for each.
    Crowded,
    /// All that have new entries.
    All,
}

impl Store {
    /// Folds the new entries of at most `days` days of accounts with those of the same day; returns how
    /// many entries there were. Whoever reads meanwhile sees the same sums.
    pub async fn fold_daily_sums(&self, fold: Fold, days: i64) -> Result<u64, StoreError> {
        let folded = sqlx::query_scalar!(
            r#"
            WITH fresh AS (
                -- The entries without a day are few, and stay as they are.
                SELECT account_id, day, count(*) AS entries
                FROM paysync.daily_sums
                WHERE NOT is_folded AND day IS NOT NULL
                GROUP BY account_id, day
            ), crowded AS (
                SELECT account_id, day
                FROM fresh
                WHERE $2 OR entries >= (
                    SELECT count(*)
                    FROM paysync.daily_sums AS folded
                    WHERE folded.account_id = fresh.account_id AND folded.day = fresh.day AND folded.is_folded
                )
                LIMIT $1
            ), taken AS (
                -- Each entry is taken once: what another process folds now is left to it.
                SELECT entry.ctid AS place
                FROM paysync.daily_sums AS entry
                JOIN crowded USING (account_id, day)
                FOR UPDATE OF entry SKIP LOCKED
            ), gone AS (
                DELETE FROM paysync.daily_sums AS entry
                USING taken
                WHERE entry.ctid = taken.place
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
