//! Replay: stored payloads are read, and rows that come out differently are corrected.
//!
//! It works beside the daemon without a lease: it moves no checkpoint, and corrects a row only if it is
//! still the version that was read.

pub mod quarantine;

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::{PgBindIterExt as _, PgRow};
use uuid::Uuid;

use crate::number::unsigned;
use crate::store::error::refused_data;
use crate::store::page::bisect::Bisection;
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
    /// When this version was stored.
    pub changed_at: DateTime<Utc>,
}

/// A row as it should be, and the version it was read from.
#[derive(Debug, Clone)]
pub struct Correction {
    /// The row.
    pub transaction: Transaction,
    /// The version's payload.
    pub hash: Uuid,
    /// When the version was stored.
    pub changed_at: DateTime<Utc>,
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
        SELECT {names}, payload_hash, changed_at, payload
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

/// Corrects rows that are still the version that was read: `$1` account, `$2` hashes and `$3` times of the
/// versions, then the columns.
static CORRECT: LazyLock<String> = LazyLock::new(|| {
    let (names, arrays) = (columns::names(), columns::arrays(4));
    let replaced = columns::assignments(|column| format!("correct.{}", column.name));
    format!(
        "
        WITH correct AS (
            SELECT correct.*
            FROM UNNEST({arrays}, $2::uuid[], $3::timestamptz[]) WITH ORDINALITY
                AS correct({names}, payload_hash, changed_at, place)
            JOIN paysync.transactions AS held
                ON held.account_id = $1 AND held.provider_transaction_id = correct.provider_transaction_id
            -- Still the version that was read: a newer one wins.
            WHERE (held.payload_hash, held.changed_at) = (correct.payload_hash, correct.changed_at)
              -- A person who was erased since then stays erased.
              AND held.erased_at IS NULL
            ORDER BY correct.place
            FOR NO KEY UPDATE OF held
        )
        UPDATE paysync.transactions AS held SET changed_at = now(), {replaced}
        FROM correct
        WHERE held.account_id = $1 AND held.provider_transaction_id = correct.provider_transaction_id
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
                changed_at: row.try_get("changed_at")?,
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
        let mut corrected = Corrected::default();
        let mut parts = Bisection::new(&corrections);
        while let Some(part) = parts.next() {
            let mut savepoint = transaction.begin().await?;
            match update(&mut savepoint, account_id, part).await {
                Ok(rows) => {
                    savepoint.commit().await?;
                    corrected.written += rows;
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
        transaction.commit().await?;
        connection.return_to_pool();
        Ok(corrected)
    }
}

async fn update(
    connection: &mut DbWork<'_>,
    account_id: &str,
    corrections: &[&Correction],
) -> Result<u64, sqlx::Error> {
    let transactions: Vec<&Transaction> = corrections.iter().map(|c| &c.transaction).collect();
    let query = sqlx::query(CORRECT.as_str())
        .bind(account_id)
        .bind(corrections.iter().map(|c| c.hash).bind_iter())
        .bind(corrections.iter().map(|c| c.changed_at).bind_iter());
    let updated = columns::bind(query, &transactions)
        .execute(connection)
        .await?;
    Ok(updated.rows_affected())
}
