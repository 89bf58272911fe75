//! The stored rows for `paysync verify`: with their payloads, and compared with what is derived from them. Reads
//! only.

use std::sync::LazyLock;

use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use uuid::Uuid;

use crate::number::unsigned;
use crate::store::{Store, StoreError, columns};
use paysync_provider::model::Transaction;

/// A row and its payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The columns.
    pub transaction: Transaction,
    /// Code of the provider that it was read from.
    pub provider: String,
    /// The hash of the payload that it was made of.
    pub hash: Uuid,
    /// The checksum of its columns; none if it was written by hand.
    pub columns_hash: Option<i64>,
    /// The payload; none if there is none.
    pub payload: Option<String>,
    /// Whether the payload may be missing because it expired or was erased.
    pub may_be_missing: bool,
}

/// Reads rows with their payloads: `$1` account, `$2` the last id that was read, at most `$3` rows.
static ROWS_AFTER: LazyLock<String> = LazyLock::new(|| {
    let names = columns::names_of("held");
    format!(
        "
        SELECT {names}, held.provider, held.payload_hash, held.columns_hash, raw.payload,
               held.erased_at IS NOT NULL OR coalesce(held.version_from < accounts.payloads_from, false) AS may_be_missing
        FROM (
            SELECT *
            FROM paysync.transactions
            WHERE account_id = $1 AND provider_transaction_id > $2
            ORDER BY provider_transaction_id
            -- A limit that the planner does not see: see the statement of replay.
            LIMIT (SELECT $3)
        ) AS held
        CROSS JOIN (SELECT payloads_from FROM paysync.accounts WHERE account_id = $1) AS accounts
        LEFT JOIN LATERAL (
            SELECT payload::text AS payload
            FROM paysync.raw_transactions AS raw
            WHERE raw.account_id = $1 AND raw.provider_transaction_id = held.provider_transaction_id
            OFFSET 0
        ) AS raw ON true
        ORDER BY held.provider_transaction_id
        "
    )
});

/// A difference between what is stored and what the rows say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Deviations {
    /// How many.
    pub count: u64,
    /// One of them.
    pub example: Option<String>,
}

impl Store {
    /// Passes at most `limit` rows after the id `after` to `see`, in the order of ids, one in memory at a time;
    /// returns the last id if there may be more.
    ///
    /// # Errors
    /// Also if a newer version of paysync wrote a word that this one does not know.
    pub async fn each_row(
        &self,
        account_id: &str,
        after: &str,
        limit: u32,
        mut see: impl FnMut(Row),
    ) -> Result<Option<String>, StoreError> {
        let mut session = self.session().await?;
        let mut work = session.autocommit().await?;
        let mut rows = sqlx::query(ROWS_AFTER.as_str())
            .bind(account_id)
            .bind(after)
            .bind(i64::from(limit))
            .fetch(&mut work);
        let mut seen = 0;
        let mut last = None;
        while let Some(row) = rows.try_next().await? {
            let row = Row {
                transaction: columns::read(&row)?,
                provider: row.try_get("provider")?,
                hash: row.try_get("payload_hash")?,
                columns_hash: row.try_get("columns_hash")?,
                payload: row.try_get("payload")?,
                may_be_missing: row.try_get("may_be_missing")?,
            };
            seen += 1;
            last = Some(row.transaction.provider_transaction_id.clone());
            see(row);
        }
        drop(rows);
        work.commit().await?;
        session.return_to_pool();
        Ok(last.filter(|_| seen == limit))
    }

    /// The rows with another payment key than they should have, among `limit` rows in the order of their keys
    /// after the key `after`, at first the empty text; and the last key, if there may be more.
    pub async fn misplaced_rows(
        &self,
        account_id: &str,
        after: &str,
        limit: u32,
    ) -> Result<(Deviations, Option<String>), StoreError> {
        let found = sqlx::query!(
            r#"SELECT misplaced AS "misplaced!", example, last_key FROM paysync.check_payments($1, $2, $3)"#,
            account_id,
            after,
            i64::from(limit),
        )
        .fetch_one(self.one_shot())
        .await?;
        let misplaced = Deviations {
            count: unsigned(found.misplaced),
            example: found.example,
        };
        Ok((misplaced, found.last_key))
    }

    /// The sums by day, currency, kind and status that are not those of the rows. One statement: rows and their
    /// sums are seen together.
    pub async fn wrong_sums(&self, account_id: &str) -> Result<Deviations, StoreError> {
        let found = sqlx::query!(
            r#"
            SELECT count(*) AS "count!",
                   min(concat_ws(' ', coalesce(nullif(day, 'infinity')::text, 'without a day'), currency, kind, status)) AS example
            FROM (
                SELECT day, currency, kind, status
                FROM (
                    SELECT day, currency, kind, status, transactions, amount, unknown_amounts
                    FROM paysync.counted_daily_sums($1, '-infinity', 'infinity')
                    UNION ALL
                    SELECT day, currency, kind, status, -transactions, -amount, -unknown_amounts
                    FROM paysync.daily_sums
                    WHERE account_id = $1
                ) AS sums
                GROUP BY day, currency, kind, status
                HAVING sum(transactions) <> 0 OR sum(amount) <> 0 OR sum(unknown_amounts) <> 0
            ) AS wrong
            "#,
            account_id,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(Deviations {
            count: unsigned(found.count),
            example: found.example,
        })
    }
}
