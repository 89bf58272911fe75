//! The bulk write path of transactions that are new or different.

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use sqlx::postgres::PgBindIterExt as _;
use uuid::Uuid;

use super::diff::RowKey;
use crate::number::{count, unsigned};
use crate::store::columns;
use crate::store::pool::DbWork;
use paysync_provider::item::Record;
use paysync_provider::model::Transaction;

/// A record, and when the request was sent that brought it: with the provider's stamp, this is its
/// version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed<'p, 'a> {
    pub(crate) record: &'p Record<'a>,
    pub(crate) at: DateTime<Utc>,
}

impl<'p> Observed<'p, '_> {
    pub(crate) fn key(&self) -> RowKey<'p> {
        RowKey {
            id: &self.record.transaction.provider_transaction_id,
            hash: self.record.hash,
            version: Some((self.record.transaction.updated_at, self.at)),
        }
    }
}

/// What a bulk upsert did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    pub(crate) stale: u64,
}

impl AddAssign for Written {
    fn add_assign(&mut self, part: Self) {
        self.inserted += part.inserted;
        self.updated += part.updated;
        self.unchanged += part.unchanged;
        self.stale += part.stale;
    }
}

/// Writes transactions and their payloads: `$1` account, `$2` provider, `$3` times of the requests, `$4` hashes,
/// `$5` payloads, then the columns.
static UPSERT: LazyLock<String> = LazyLock::new(|| {
    let (names, arrays) = (columns::names(), columns::arrays(6));
    let replaced = columns::assignments(|column| {
        let new = format!("EXCLUDED.{}", column.name);
        if column.is_personal {
            format!("CASE WHEN held.erased_at IS NULL THEN {new} END")
        } else {
            new
        }
    });
    format!(
        "
        WITH incoming AS (
            SELECT *
            FROM UNNEST({arrays}, $4::uuid[], $5::text[], $3::timestamptz[])
                AS incoming({names}, payload_hash, payload, observed_at)
        ), written AS (
            INSERT INTO paysync.transactions AS held (account_id, provider, observed_at, {names}, payload_hash)
            SELECT $1, $2, observed_at, {names}, payload_hash
            FROM incoming
            -- Of an erased row, the personal columns stay empty.
            ON CONFLICT (account_id, provider_transaction_id) DO UPDATE SET
                provider = EXCLUDED.provider,
                observed_at = EXCLUDED.observed_at,
                changed_at = now(),
                {replaced},
                payload_hash = EXCLUDED.payload_hash
            WHERE held.payload_hash <> EXCLUDED.payload_hash
              AND NOT paysync.is_older(EXCLUDED.updated_at, EXCLUDED.observed_at, held.updated_at, held.observed_at)
            -- Not by a system column: distributed and partitioned tables have none to return.
            RETURNING provider_transaction_id, first_seen_at = now() AS inserted, held.erased_at IS NOT NULL AS erased
        ), kept AS (
            INSERT INTO paysync.raw_transactions (account_id, provider_transaction_id, payload)
            SELECT $1, incoming.provider_transaction_id, incoming.payload::json
            FROM incoming
            JOIN written USING (provider_transaction_id)
            WHERE NOT written.erased
            ON CONFLICT (account_id, provider_transaction_id) DO UPDATE SET payload = EXCLUDED.payload
        )
        SELECT provider_transaction_id, inserted FROM written
        "
    )
});

/// Writes rows in bulk: transaction and payload in one round trip. The statement compares the versions
/// again, because another lane may have written a row since the diff.
pub(crate) async fn upsert(
    connection: &mut DbWork<'_>,
    account_id: &str,
    provider: &str,
    records: &[Observed<'_, '_>],
) -> Result<Written, sqlx::Error> {
    if records.is_empty() {
        return Ok(Written::default());
    }
    let transactions: Vec<&Transaction> = records.iter().map(|r| &r.record.transaction).collect();
    let query = sqlx::query(UPSERT.as_str())
        .bind(account_id)
        .bind(provider)
        .bind(records.iter().map(|r| r.at).bind_iter())
        .bind(records.iter().map(|r| r.record.hash).bind_iter())
        .bind(
            records
                .iter()
                .map(|r| r.record.payload.as_ref())
                .bind_iter(),
        );
    let rows: Vec<(String, bool)> = columns::bind(query, &transactions)
        .try_map(|row| FromRow::from_row(&row))
        .fetch_all(&mut *connection)
        .await?;

    let inserted = rows.iter().filter(|(_, inserted)| *inserted).count();
    let mut written = Written {
        inserted: count(inserted),
        updated: count(rows.len() - inserted),
        ..Written::default()
    };
    if rows.len() < records.len() {
        // Another lane was quicker with some of them: what are they now?
        let known: BTreeSet<&str> = rows.iter().map(|(id, _)| id.as_str()).collect();
        let overtaken: Vec<&Record<'_>> = records
            .iter()
            .map(|r| r.record)
            .filter(|record| !known.contains(record.transaction.provider_transaction_id.as_str()))
            .collect();
        written.unchanged = count_unchanged(connection, account_id, &overtaken).await?;
        written.stale = count(overtaken.len()) - written.unchanged;
    }
    Ok(written)
}

/// How many of these rows are stored unchanged.
async fn count_unchanged(
    connection: &mut DbWork<'_>,
    account_id: &str,
    records: &[&Record<'_>],
) -> Result<u64, sqlx::Error> {
    let ids: Vec<&str> = records
        .iter()
        .map(|r| r.transaction.provider_transaction_id.as_str())
        .collect();
    let hashes: Vec<Uuid> = records.iter().map(|r| r.hash).collect();
    let equal = sqlx::query_scalar!(
        r#"
        SELECT count(*) AS "count!"
        FROM UNNEST($2::text[], $3::uuid[]) AS asked(provider_transaction_id, payload_hash)
        JOIN paysync.transactions AS held
            ON held.account_id = $1 AND held.provider_transaction_id = asked.provider_transaction_id
        WHERE held.payload_hash = asked.payload_hash
        "#,
        account_id,
        &ids as &[&str],
        &hashes,
    )
    .fetch_one(connection)
    .await?;
    Ok(unsigned(equal))
}
