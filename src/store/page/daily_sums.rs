//! What the rows of a transaction change in the totals by day.

use std::sync::LazyLock;

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};

use crate::store::pool::DbWork;
use paysync_provider::model::Transaction;

/// The columns of a row that its entry in the sums depends on.
pub(crate) const COLUMNS: &str = "created_at, currency, kind, status, paid_amount, amount, is_test";

/// Appends to the sums of the account `$1` what these rows add, or take away: `rows` selects `sign` and the
/// [`COLUMNS`].
pub(crate) fn insert(rows: &str) -> String {
    format!(
        "
        INSERT INTO paysync.daily_sums (account_id, day, currency, kind, status, transactions, amount, unknown_amounts)
        SELECT $1, day, currency, kind, status,
               sum(sign), coalesce(sum(sign * amount), 0), coalesce(sum(sign) FILTER (WHERE amount IS NULL), 0)
        FROM (
            SELECT sign, coalesce((created_at AT TIME ZONE coalesce(account.time_zone, 'UTC'))::date, 'infinity') AS day,
                   currency, kind, status,
                   paysync.summed_amount(status, paid_amount, amount) AS amount
            FROM ({rows}) AS summed
            LEFT JOIN (
                -- A change of the time zone rebuilds all sums: it waits for this transaction, or this one for it.
                SELECT time_zone FROM paysync.accounts WHERE account_id = $1 FOR KEY SHARE
            ) AS account ON true
            WHERE is_test IS NOT TRUE
        ) AS entry
        GROUP BY day, currency, kind, status
        -- Most changes move no total.
        HAVING sum(sign) <> 0 OR sum(sign * amount) <> 0 OR sum(sign) FILTER (WHERE amount IS NULL) <> 0
        "
    )
}

/// Rows that were copied, as far as the sums depend on them.
#[derive(Default)]
pub(super) struct NewRows {
    created_at: Vec<Option<DateTime<Utc>>>,
    currency: Vec<Option<String>>,
    kind: Vec<&'static str>,
    status: Vec<&'static str>,
    paid_amount: Vec<Option<BigDecimal>>,
    amount: Vec<Option<BigDecimal>>,
    is_test: Vec<Option<bool>>,
}

impl NewRows {
    /// Remembers a row that has been sent.
    pub(super) fn push(&mut self, row: Transaction) {
        self.created_at.push(row.created_at);
        self.currency.push(row.currency);
        self.kind.push(row.kind.as_str());
        self.status.push(row.status.as_str());
        self.paid_amount.push(row.paid_amount);
        self.amount.push(row.amount);
        self.is_test.push(row.is_test);
    }

    /// Appends to the sums what the rows add.
    pub(super) async fn add(
        self,
        work: &mut DbWork<'_>,
        account_id: &str,
    ) -> Result<(), sqlx::Error> {
        static ADD: LazyLock<String> = LazyLock::new(|| {
            insert(&format!(
                "SELECT 1 AS sign, * FROM UNNEST(
                    $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::numeric[], $7::numeric[], $8::boolean[]
                ) AS new({COLUMNS})"
            ))
        });
        sqlx::query(ADD.as_str())
            .bind(account_id)
            .bind(self.created_at)
            .bind(self.currency)
            .bind(self.kind)
            .bind(self.status)
            .bind(self.paid_amount)
            .bind(self.amount)
            .bind(self.is_test)
            .execute(work)
            .await?;
        Ok(())
    }
}
