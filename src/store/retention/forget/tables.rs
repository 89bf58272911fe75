//! The tables that have rows of an account, and the statements that empty them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::number::signed;
use crate::store::pool::DbWork;
use crate::store::{Store, StoreError};

/// Rows of a table removed by one transaction: some tens of milliseconds of work.
const BATCH: i64 = 2000;

/// Tables whose rows belong to a transaction; each batch removes the same ids from all of them. `transactions`
/// comes first, as in all statements that lock rows.
const ROWS: [&str; 3] = ["transactions", "raw_transactions", "transaction_history"];

/// The other tables, in the order in which they are emptied, before the rows. Those that can be large have the
/// columns that their key goes on with, the others are emptied at once.
const OTHERS: [(&str, &[&str]); 6] = [
    ("daily_sums", &["day"]),
    ("quarantine", &["stream", "payload_hash"]),
    ("windows", &["window_id"]),
    ("window_totals", &[]),
    ("rescans", &[]),
    ("streams", &[]),
];

/// Counts the rows of an account `$1` in each of [`tables`].
static COUNT: LazyLock<String> = LazyLock::new(|| {
    let counts = tables()
        .map(|table| format!("(SELECT count(*) FROM paysync.{table} WHERE account_id = $1)"));
    format!("SELECT ARRAY[{}]", counts.collect::<Vec<_>>().join(", "))
});

/// Removes the rows of an account `$1` from [`ROWS`]: first the statements for the ids after `$2` up to `$3`,
/// then those for all after `$2`.
static REMOVE_ROWS: LazyLock<[[String; 2]; 3]> = LazyLock::new(|| {
    ROWS.map(|table| {
        let all = format!(
            "DELETE FROM paysync.{table} WHERE account_id = $1 AND provider_transaction_id > $2"
        );
        [format!("{all} AND provider_transaction_id <= $3"), all]
    })
});

/// Removes a batch of rows of an account `$1` from each of [`OTHERS`]. They are found by their key, as a
/// distributed table has no other address, and by arrays, as the planner may answer a join by reading all rows
/// of the account. A batch ends with a whole day; an item that several streams brought may exceed it.
static REMOVE_OTHERS: LazyLock<[String; 6]> = LazyLock::new(|| {
    OTHERS.map(|(table, key)| {
        let all = format!("DELETE FROM paysync.{table} WHERE account_id = $1");
        if key.is_empty() {
            return all;
        }
        let names = key.join(", ");
        let is_next = key.iter().map(|name| format!(" AND {name} = ANY(ARRAY(SELECT {name} FROM batch))"));
        format!(
            "WITH batch AS MATERIALIZED (
                SELECT {names} FROM paysync.{table} WHERE account_id = $1 ORDER BY {names} LIMIT {BATCH}
            ) {all}{}",
            is_next.collect::<String>()
        )
    })
});

/// Rows by table.
pub type RowCounts = BTreeMap<String, i64>;

/// What a batch removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Batch {
    /// Sums, quarantine, ledger and streams: first.
    Others,
    /// Transactions with their payloads and versions, in the order of their ids.
    Transactions {
        /// The last id that was removed.
        after: String,
    },
    /// All of it is removed.
    Nothing,
}

impl Store {
    /// How many rows each table has of an account.
    pub async fn rows_of_account(&self, account_id: &str) -> Result<RowCounts, StoreError> {
        let counts: Vec<i64> = sqlx::query_scalar(COUNT.as_str())
            .bind(account_id)
            .fetch_one(self.one_shot())
            .await?;
        Ok(tables().map(str::to_owned).zip(counts).collect())
    }
}

/// Removes a batch from the first of [`OTHERS`] that is not empty.
pub(super) async fn remove_others(
    work: &mut DbWork<'_>,
    account_id: &str,
) -> Result<(RowCounts, Batch), sqlx::Error> {
    for ((table, _), sql) in OTHERS.iter().zip(&*REMOVE_OTHERS) {
        let delete = sqlx::query(sql.as_str()).bind(account_id);
        let rows = delete.execute(&mut *work).await?.rows_affected();
        if rows > 0 {
            let removed = RowCounts::from([((*table).to_owned(), signed(rows))]);
            return Ok((removed, Batch::Others));
        }
    }
    let after = String::new();
    Ok((RowCounts::new(), Batch::Transactions { after }))
}

/// Removes a batch from [`ROWS`]: everything with the next ids.
pub(super) async fn remove_rows(
    work: &mut DbWork<'_>,
    account_id: &str,
    after: &str,
) -> Result<(RowCounts, Batch), sqlx::Error> {
    // The planner expects a small part of the table of each account, and would read and sort all rows of a large one.
    sqlx::query!("SET LOCAL enable_sort = off")
        .execute(&mut *work)
        .await?;
    let last = sqlx::query_scalar!(
        r#"
        SELECT provider_transaction_id
        FROM paysync.transactions
        WHERE account_id = $1 AND provider_transaction_id > $2
        ORDER BY provider_transaction_id
        LIMIT 1 OFFSET $3
        "#,
        account_id,
        after,
        BATCH - 1,
    )
    .fetch_optional(&mut *work)
    .await?;
    let mut removed = RowCounts::new();
    for (table, [up_to_last, all]) in ROWS.iter().zip(&*REMOVE_ROWS) {
        let delete = match &last {
            Some(last) => sqlx::query(up_to_last.as_str())
                .bind(account_id)
                .bind(after)
                .bind(last),
            None => sqlx::query(all.as_str()).bind(account_id).bind(after),
        };
        let rows = delete.execute(&mut *work).await?.rows_affected();
        removed.insert((*table).to_owned(), signed(rows));
    }
    let next = last.map_or(Batch::Nothing, |after| Batch::Transactions { after });
    Ok((removed, next))
}

/// The tables that have rows of an account.
fn tables() -> impl Iterator<Item = &'static str> {
    ROWS.into_iter().chain(OTHERS.map(|(table, _)| table))
}
