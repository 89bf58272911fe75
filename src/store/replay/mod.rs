//! Replay: stored payloads are read, and rows that come out differently are corrected.
//!
//! It works beside the daemon without a lease: it moves no checkpoint, and corrects a row only if it is
//! still the version that was read.

pub mod quarantine;

use std::sync::LazyLock;

use sqlx::Row as _;
use sqlx::postgres::{PgBindIterExt as _, PgRow};
use uuid::Uuid;

use crate::number::{count, unsigned};
use crate::store::error::refused_data;
use crate::store::page::bisect::Bisection;
use crate::store::page::daily_sums;
use crate::store::page::payments::{self, LEFT_KEY, Unjoined};
use crate::store::pool::DbWork;
use crate::store::{Store, StoreError, columns};
use paysync_provider::model::Transaction;

/// Rows read at once, at most.
pub(super) const BATCH_ROWS: i64 = 1000;

/// Bytes of payload after which a batch ends; its last payload may exceed them.
pub(super) const BATCH_BYTES: i64 = 16 << 20;

/// A row with its payload.
#[derive(Debug, Clone)]
pub struct StoredRow {
    /// The row.
    pub transaction: Transaction,
    /// The item that the row was made from, redacted.
    pub payload: String,
    /// XXH3-128 of `payload`.
    pub hash: Uuid,
    /// Number of the version.
    pub version: i64,
}

/// A row as it should be, and the version it was read from.
#[derive(Debug, Clone)]
pub struct Correction {
    /// The row.
    pub transaction: Transaction,
    /// The version's payload.
    pub hash: Uuid,
    /// Number of the version.
    pub version: i64,
}

/// What correcting rows did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Corrected {
    /// Rows written.
    pub written: u64,
    /// Ids of rows that PostgreSQL refused, with its SQLSTATE.
    pub refused: Vec<(String, String)>,
}

/// Reads the next rows with their payloads: `$1` account, `$2` provider, `$3` the last id that was read, at
/// most `$4` rows and `$5` bytes.
static STORED_AFTER: LazyLock<String> = LazyLock::new(|| {
    let names = columns::names();
    format!(
        "
        SELECT {names}, payload_hash, version, payload
        FROM (
            SELECT *, sum(octet_length(payload)) OVER (ORDER BY provider_transaction_id) - octet_length(payload) AS before
            FROM (
                SELECT held.*, raw.payload::text AS payload
                FROM paysync.transactions AS held
                JOIN paysync.raw_transactions AS raw USING (account_id, provider_transaction_id)
                WHERE account_id = $1 AND held.provider = $2
                  -- On both tables, or a merge join would start over with each batch.
                  AND held.provider_transaction_id > $3 AND raw.provider_transaction_id > $3
                ORDER BY provider_transaction_id
                LIMIT $4
            ) AS next
        ) AS batch
        WHERE before < $5
        ORDER BY provider_transaction_id
        "
    )
});

/// Corrects rows that are still the version that was read: `$1` account, `$2` hashes and `$3` numbers of the
/// versions, `$4` checksums, then the columns. Returns the payments that a row may have left.
static CORRECT: LazyLock<String> = LazyLock::new(|| {
    let (names, arrays) = (columns::names(), columns::arrays(5));
    let corrected = columns::assignments(|column| format!("correct.{}", column.name));
    let (stored, wanted) = (columns::names_of("held"), columns::names_of("correct"));
    let summed = daily_sums::COLUMNS;
    let sums = daily_sums::insert(&format!(
        "SELECT 1 AS sign, {summed} FROM new UNION ALL SELECT -1, {summed} FROM old"
    ));
    format!(
        "
        WITH correct AS MATERIALIZED (
            SELECT * FROM UNNEST({arrays}, $2::uuid[], $3::bigint[], $4::bigint[]) AS correct({names}, payload_hash, version, columns_hash)
        ), old AS MATERIALIZED (
            SELECT held.*
            FROM correct
            CROSS JOIN LATERAL (
                SELECT *
                FROM paysync.transactions AS held
                WHERE held.account_id = $1 AND held.provider_transaction_id = correct.provider_transaction_id
                  -- Still the version that was read: a newer one wins.
                  AND (held.payload_hash, held.version) = (correct.payload_hash, correct.version)
                  -- A person who was erased since then stays erased.
                  AND held.erased_at IS NULL
                  -- Another replay may have been here.
                  AND ({stored}) IS DISTINCT FROM ({wanted})
                FOR NO KEY UPDATE
            ) AS held
        ), new AS (
            UPDATE paysync.transactions AS held SET changed_at = now(), columns_hash = correct.columns_hash, {corrected}
            FROM old
            JOIN correct USING (provider_transaction_id)
            WHERE held.account_id = $1 AND held.provider_transaction_id = old.provider_transaction_id
            RETURNING held.*
        ), sums AS (
            {sums}
        )
        SELECT {LEFT_KEY}
        FROM new
        JOIN old USING (provider_transaction_id)
        "
    )
});

impl Store {
    /// The number of a provider's rows whose payload is gone.
    pub async fn rows_without_payload(
        &self,
        account_id: &str,
        provider: &str,
    ) -> Result<u64, StoreError> {
        let rows = sqlx::query_scalar!(
            r#"
            SELECT count(*) AS "count!"
            FROM paysync.transactions AS held
            WHERE account_id = $1 AND provider = $2 AND NOT EXISTS (
                SELECT FROM paysync.raw_transactions AS raw
                WHERE raw.account_id = $1 AND raw.provider_transaction_id = held.provider_transaction_id
            )
            "#,
            account_id,
            provider,
        )
        .fetch_one(self.one_shot())
        .await?;
        Ok(unsigned(rows))
    }

    /// The next rows made from a provider's items, in the order of their ids; empty after the last.
    ///
    /// # Errors
    /// Also if a newer version of paysync wrote a word that this one does not know.
    pub async fn stored_after(
        &self,
        account_id: &str,
        provider: &str,
        after: &str,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let rows = sqlx::query(STORED_AFTER.as_str())
            .bind(account_id)
            .bind(provider)
            .bind(after)
            .bind(BATCH_ROWS)
            .bind(BATCH_BYTES)
            .fetch_all(self.one_shot())
            .await?;
        let stored = |row: PgRow| {
            Ok(StoredRow {
                transaction: columns::read(&row)?,
                payload: row.try_get("payload")?,
                hash: row.try_get("payload_hash")?,
                version: row.try_get("version")?,
            })
        };
        rows.into_iter().map(stored).collect()
    }

    /// Corrects rows, in one transaction. A row that was written since it was read stays as it is.
    pub async fn correct(
        &self,
        account_id: &str,
        corrections: &[Correction],
    ) -> Result<Corrected, StoreError> {
        let mut corrections: Vec<&Correction> = corrections.iter().collect();
        // In the order in which pages write rows: another order could deadlock with them.
        corrections.sort_by_key(|c| &c.transaction.provider_transaction_id);
        let mut connection = self.session().await?;
        let mut transaction = connection.begin().await?;
        let (mut corrected, mut unjoined) = (Corrected::default(), Unjoined::default());
        let mut parts = Bisection::new(&corrections);
        while let Some(part) = parts.next() {
            let mut savepoint = transaction.begin().await?;
            match update(&mut savepoint, account_id, part).await {
                Ok(left) => {
                    savepoint.commit().await?;
                    corrected.written += count(left.len());
                    unjoined.left_keys.extend(left.into_iter().flatten());
                }
                Err(error) => {
                    savepoint.rollback().await?;
                    let Some(detail) = refused_data(&error) else {
                        return Err(error.into());
                    };
                    if let Some(row) = parts.halve(part) {
                        let id = row.transaction.provider_transaction_id.clone();
                        corrected.refused.push((id, detail));
                    }
                }
            }
        }
        payments::join(&mut transaction, account_id, &unjoined).await?;
        transaction.commit().await?;
        connection.return_to_pool();
        Ok(corrected)
    }
}

/// Returns for each row that was corrected the payment that it may have left.
async fn update(
    connection: &mut DbWork<'_>,
    account_id: &str,
    corrections: &[&Correction],
) -> Result<Vec<Option<String>>, sqlx::Error> {
    let transactions: Vec<&Transaction> = corrections.iter().map(|c| &c.transaction).collect();
    let query = sqlx::query(CORRECT.as_str())
        .bind(account_id)
        .bind(corrections.iter().map(|c| c.hash).bind_iter())
        .bind(corrections.iter().map(|c| c.version).bind_iter())
        .bind(transactions.iter().map(|t| t.columns_hash()).bind_iter());
    columns::bind(query, &transactions)
        .try_map(|row| row.try_get(0))
        .fetch_all(connection)
        .await
}
