//! Recount: rebuilds payment keys and daily sums from the rows.
//!
//! It works without a lease, beside running lanes: small transactions, each of which holds the lock on the
//! account's payments.

use chrono::NaiveDate;

use super::{Store, StoreError};
use crate::number::unsigned;

/// Rows of a range: its transaction delays the commits of pages that join payments.
const RANGE_ROWS: i64 = 1000;

/// A range of payments whose keys are rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecountedRange {
    /// Rows that got another key.
    pub moved: u64,
    /// The key after which the next range starts; none after the last range.
    pub last_key: Option<String>,
}

impl Store {
    /// Rebuilds the payment keys of the next range of an account's payments: those after a key, at first the
    /// empty text.
    pub async fn recount_payments(
        &self,
        account_id: &str,
        after: &str,
    ) -> Result<RecountedRange, StoreError> {
        let range = sqlx::query!(
            "SELECT moved, last_key FROM paysync.recount_payments($1, $2, $3)",
            account_id,
            after,
            RANGE_ROWS,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(RecountedRange {
            moved: range.moved.map_or(0, unsigned),
            last_key: range.last_key,
        })
    }

    /// The first and the last UTC day of an account's rows; none if it has no row with a time.
    pub async fn days(
        &self,
        account_id: &str,
    ) -> Result<Option<(NaiveDate, NaiveDate)>, StoreError> {
        let days = sqlx::query!(
            r#"
            SELECT (min(created_at) AT TIME ZONE 'UTC')::date AS first, (max(created_at) AT TIME ZONE 'UTC')::date AS last
            FROM paysync.transactions
            WHERE account_id = $1
            "#,
            account_id,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(days.first.zip(days.last))
    }

    /// Rebuilds the daily sums of an account, from the first to the last day; without a first day also those
    /// of all days before, without a last day those of all days after and of rows that have no time.
    pub async fn recount_daily_sums(
        &self,
        account_id: &str,
        first: Option<NaiveDate>,
        last: Option<NaiveDate>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "SELECT paysync.recount_daily_sums($1, coalesce($2::date, '-infinity'), coalesce($3::date, 'infinity'))",
            account_id,
            first,
            last,
        )
        .execute(self.one_shot())
        .await?;
        Ok(())
    }
}
