//! Replay: stored rows are read, and those that today's code reads or redacts differently are corrected.
//!
//! It works beside the daemon without a lease: it moves no checkpoint, and corrects a row only if it is
//! still the version that was read.

pub mod quarantine;
pub mod redaction;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sqlx::Row as _;
use sqlx::postgres::{PgBindIterExt as _, PgRow};
use uuid::Uuid;

use crate::store::error::refused_data;
use crate::store::page::bisect::Bisection;
use crate::store::page::daily_sums;
use crate::store::page::payments::{self, LEFT_KEY, Unjoined};
use crate::store::pool::DbWork;
use crate::store::{Store, StoreError, columns};
use paysync_provider::model::{Column, Transaction};

/// Rows read at once, at most.
pub(super) const BATCH_ROWS: i64 = 1000;

/// Bytes of payload after which a batch ends; its last payload may exceed them.
pub(super) const BATCH_BYTES: i64 = 16 << 20;

/// A stored row.
#[derive(Debug, Clone)]
pub struct StoredRow {
    /// The row.
    pub transaction: Transaction,
    /// Code of the provider whose item it was made from.
    pub provider: String,
    /// The item, as it was redacted when it was stored; none if it expired or the row was erased.
    pub payload: Option<String>,
    /// XXH3-128 of the version's payload.
    pub hash: Uuid,
    /// The checksum of its columns; none if it was written by hand.
    pub columns_hash: Option<i64>,
    /// Number of the version.
    pub version: i64,
    /// Whether a person was erased from the row.
    pub is_erased: bool,
}

/// A payload as today's rules redact it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedPayload {
    /// The item.
    pub text: String,
    /// Its hash, by which a re-scan compares it with what the provider sends.
    pub hash: Uuid,
}

/// A row as it should be, and the version it was read from.
#[derive(Debug, Clone)]
pub struct Correction {
    /// The row.
    pub transaction: Transaction,
    /// The payload; none if it stays.
    pub payload: Option<RedactedPayload>,
    /// Hash of the version's payload.
    pub hash: Uuid,
    /// The checksum that the row gets.
    pub columns_hash: Option<i64>,
    /// Number of the version.
    pub version: i64,
    /// Whether a person was erased from the row.
    pub is_erased: bool,
}

impl Correction {
    /// Another version of a row's columns, and another payload if it does not stay. A row that was changed by hand
    /// keeps its checksum, which says so.
    pub fn of(
        stored: &StoredRow,
        transaction: Transaction,
        payload: Option<RedactedPayload>,
    ) -> Self {
        let is_intact = stored.columns_hash == Some(stored.transaction.columns_hash());
        let columns_hash = is_intact.then(|| transaction.columns_hash());
        Self {
            transaction,
            payload,
            hash: stored.hash,
            columns_hash: columns_hash.or(stored.columns_hash),
            version: stored.version,
            is_erased: stored.is_erased,
        }
    }
}

/// What correcting rows did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Corrected {
    /// Ids of the rows written.
    pub written: BTreeSet<String>,
    /// Ids of rows that PostgreSQL refused, with its SQLSTATE.
    pub refused: Vec<(String, String)>,
}

/// Reads the next rows with their payloads: `$1` account, `$2` the last id that was read, at most `$3` rows
/// and `$4` bytes.
static STORED_AFTER: LazyLock<String> = LazyLock::new(|| {
    let names = columns::names();
    format!(
        "
        SELECT {names}, provider, payload, payload_hash, columns_hash, version, erased_at IS NOT NULL AS is_erased
        FROM (
            SELECT *, sum(bytes) OVER (ORDER BY provider_transaction_id) - bytes AS before
            FROM (
                SELECT held.*, raw.payload, coalesce(octet_length(raw.payload), 0) AS bytes
                FROM (
                    SELECT *
                    FROM paysync.transactions
                    WHERE account_id = $1 AND provider_transaction_id > $2
                    ORDER BY provider_transaction_id
                    -- A limit that the planner does not see: however few rows it expects of the account, it reads them in
                    -- the order of the index, and not all of them for each batch.
                    LIMIT (SELECT $3)
                ) AS held
                LEFT JOIN LATERAL (
                    -- OFFSET 0 for the same reason: one index lookup per row.
                    SELECT payload::text AS payload
                    FROM paysync.raw_transactions AS raw
                    WHERE raw.account_id = $1 AND raw.provider_transaction_id = held.provider_transaction_id
                    OFFSET 0
                ) AS raw ON true
            ) AS next
        ) AS batch
        WHERE before < $4
        ORDER BY provider_transaction_id
        "
    )
});

/// Corrects rows that are still the version that was read: `$1` account, `$2` hashes and `$3` numbers of the
/// versions, `$4` whether they are erased, `$5` hashes and `$6` checksums that they get, `$7` payloads, null if
/// they stay, then the columns. Returns the ids, and the payments that a row may have left.
static CORRECT: LazyLock<String> = LazyLock::new(|| {
    let (names, arrays) = (columns::names(), columns::arrays(8));
    let corrected = columns::assignments(|Column { name, .. }| {
        // An equal amount keeps its trailing zeros.
        format!("CASE WHEN held.{name} = correct.{name} THEN held.{name} ELSE correct.{name} END")
    });
    let (stored, wanted) = (columns::names_of("held"), columns::names_of("correct"));
    let summed = daily_sums::COLUMNS;
    let sums = daily_sums::insert(&format!(
        "SELECT 1 AS sign, {summed} FROM new UNION ALL SELECT -1, {summed} FROM old"
    ));
    format!(
        "
        WITH correct AS MATERIALIZED (
            SELECT * FROM UNNEST({arrays}, $2::uuid[], $3::bigint[], $4::boolean[], $5::uuid[], $6::bigint[], $7::text[])
                AS correct({names}, payload_hash, version, is_erased, redacted_hash, columns_hash, payload)
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
                  AND (held.erased_at IS NOT NULL) = correct.is_erased
                  -- Another replay may have been here.
                  AND (correct.payload IS NOT NULL OR ({stored}) IS DISTINCT FROM ({wanted}))
                FOR NO KEY UPDATE
            ) AS held
        ), new AS (
            UPDATE paysync.transactions AS held
            SET changed_at = now(), payload_hash = correct.redacted_hash, columns_hash = correct.columns_hash, {corrected}
            FROM old
            JOIN correct USING (provider_transaction_id)
            WHERE held.account_id = $1 AND held.provider_transaction_id = old.provider_transaction_id
            RETURNING held.*
        ), payloads AS (
            -- Only where there still is one: an expired payload does not come back.
            UPDATE paysync.raw_transactions AS raw
            SET payload = correct.payload::json
            FROM new
            JOIN correct USING (provider_transaction_id)
            WHERE raw.account_id = $1 AND raw.provider_transaction_id = new.provider_transaction_id
              AND correct.payload IS NOT NULL
        ), sums AS (
            {sums}
        )
        SELECT new.provider_transaction_id, {LEFT_KEY}
        FROM new
        JOIN old USING (provider_transaction_id)
        "
    )
});

impl Store {
    /// The next rows of an account, in the order of their ids; empty after the last.
    ///
    /// # Errors
    /// Also if a newer version of paysync wrote a word that this one does not know.
    pub async fn stored_after(
        &self,
        account_id: &str,
        after: &str,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let rows = sqlx::query(STORED_AFTER.as_str())
            .bind(account_id)
            .bind(after)
            .bind(BATCH_ROWS)
            .bind(BATCH_BYTES)
            .fetch_all(self.one_shot())
            .await?;
        let stored = |row: PgRow| {
            Ok(StoredRow {
                transaction: columns::read(&row)?,
                provider: row.try_get("provider")?,
                payload: row.try_get("payload")?,
                hash: row.try_get("payload_hash")?,
                columns_hash: row.try_get("columns_hash")?,
                version: row.try_get("version")?,
                is_erased: row.try_get("is_erased")?,
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
                Ok(rows) => {
                    savepoint.commit().await?;
                    for (id, left_key) in rows {
                        corrected.written.insert(id);
                        unjoined.left_keys.extend(left_key);
                    }
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

/// Returns for each row that was corrected its id and the payment that it may have left.
async fn update(
    connection: &mut DbWork<'_>,
    account_id: &str,
    corrections: &[&Correction],
) -> Result<Vec<(String, Option<String>)>, sqlx::Error> {
    let transactions: Vec<&Transaction> = corrections.iter().map(|c| &c.transaction).collect();
    let hash = |c: &&Correction| c.payload.as_ref().map_or(c.hash, |payload| payload.hash);
    let payloads = corrections.iter().map(|c| c.payload.as_ref());
    let texts = payloads.map(|payload| payload.map(|it| it.text.as_str()));
    let query = sqlx::query(CORRECT.as_str())
        .bind(account_id)
        .bind(corrections.iter().map(|c| c.hash).bind_iter())
        .bind(corrections.iter().map(|c| c.version).bind_iter())
        .bind(corrections.iter().map(|c| c.is_erased).bind_iter())
        .bind(corrections.iter().map(hash).bind_iter())
        .bind(corrections.iter().map(|c| c.columns_hash).bind_iter())
        .bind(texts.bind_iter());
    columns::bind(query, &transactions)
        .try_map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .fetch_all(connection)
        .await
}
