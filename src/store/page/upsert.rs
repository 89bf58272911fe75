//! The bulk write path of transactions that are new or different.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use sqlx::postgres::PgBindIterExt as _;
use uuid::Uuid;

use super::daily_sums;
use super::diff::RowKey;
use super::payments::{LEFT_KEY, OWN_KEY, Unjoined};
use crate::store::columns;
use crate::store::pool::DbWork;
use paysync_provider::Spec;
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
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    pub(crate) stale: u64,
    pub(crate) unjoined: Unjoined,
}

impl AddAssign for Written {
    fn add_assign(&mut self, part: Self) {
        self.inserted += part.inserted;
        self.updated += part.updated;
        self.unchanged += part.unchanged;
        self.stale += part.stale;
        self.unjoined.append(part.unjoined);
    }
}

/// Writes transactions, the versions that they replace, their payloads, and what they change in the daily
/// sums: `$1` account, `$2` provider, `$3` times of the requests, `$4` hashes, `$5` payloads, `$6` checksums, then
/// the columns.
static UPSERT: LazyLock<String> = LazyLock::new(|| {
    let (names, arrays) = (columns::names(), columns::arrays(7));
    let replaced = columns::assignments(|column| {
        let new = format!("incoming.{}", column.name);
        if column.is_personal {
            format!("CASE WHEN held.erased_at IS NULL THEN {new} END")
        } else {
            new
        }
    });
    let summed = daily_sums::COLUMNS;
    let sums = daily_sums::insert(&format!(
        "SELECT 1 AS sign, {summed} FROM written UNION ALL SELECT -1, {summed} FROM old"
    ));
    format!(
        "
        WITH incoming AS MATERIALIZED (
            SELECT *, (
                SELECT true FROM paysync.transactions AS held
                WHERE held.account_id = $1 AND held.provider_transaction_id = incoming.provider_transaction_id
            ) IS TRUE AS is_stored
            FROM UNNEST({arrays}, $4::uuid[], $5::text[], $6::bigint[], $3::timestamptz[])
                AS incoming({names}, payload_hash, payload, columns_hash, observed_at)
        ), old AS MATERIALIZED (
            -- The lock returns the newest version, also of a row that another lane has written since this statement began.
            SELECT held.*
            FROM incoming
            CROSS JOIN LATERAL (
                SELECT *
                FROM paysync.transactions AS held
                WHERE held.account_id = $1 AND held.provider_transaction_id = incoming.provider_transaction_id
                  AND held.payload_hash <> incoming.payload_hash
                  AND NOT paysync.is_older(incoming.updated_at, incoming.observed_at, held.updated_at, held.observed_at)
                FOR NO KEY UPDATE
            ) AS held
        ), kept AS (
            INSERT INTO paysync.transaction_history SELECT version_from, greatest(now(), version_from), * FROM old
            -- A row that was deleted by hand and read again begins with version 1 again.
            ON CONFLICT DO NOTHING
        ), updated AS (
            UPDATE paysync.transactions AS held SET
                provider = $2,
                observed_at = incoming.observed_at,
                version = held.version + 1,
                -- Of two transactions, the one that began first may write last.
                version_from = greatest(now(), held.version_from),
                changed_at = now(),
                -- Of an erased row, the personal columns stay empty.
                {replaced},
                payload_hash = incoming.payload_hash,
                columns_hash = incoming.columns_hash
            FROM old
            JOIN incoming USING (provider_transaction_id)
            WHERE held.account_id = $1 AND held.provider_transaction_id = old.provider_transaction_id
            RETURNING held.*
        ), inserted AS (
            INSERT INTO paysync.transactions (account_id, provider, observed_at, {names}, payload_hash, columns_hash, payment_key)
            SELECT $1, $2, observed_at, {names}, payload_hash, columns_hash, {OWN_KEY}
            FROM incoming
            -- Rows that are stored would be waited for here, in another order than above.
            WHERE NOT is_stored
            ON CONFLICT (account_id, provider_transaction_id) DO NOTHING
            RETURNING *
        ), written AS (
            SELECT * FROM inserted UNION ALL SELECT * FROM updated
        ), payloads AS (
            INSERT INTO paysync.raw_transactions (account_id, provider_transaction_id, payload)
            SELECT $1, incoming.provider_transaction_id, incoming.payload::json
            FROM incoming
            JOIN written USING (provider_transaction_id)
            WHERE written.erased_at IS NULL
            ON CONFLICT (account_id, provider_transaction_id) DO UPDATE SET payload = EXCLUDED.payload
        ), sums AS (
            {sums}
        )
        SELECT new.provider_transaction_id, new.version = 1, CASE WHEN new.version > 1 THEN {LEFT_KEY} END
        FROM written AS new
        LEFT JOIN old USING (provider_transaction_id)
        "
    )
});

/// Writes rows in bulk: all but their payments in one round trip. The statement compares the versions
/// again, because another lane may have written a row since the diff.
pub(crate) async fn upsert(
    connection: &mut DbWork<'_>,
    account_id: &str,
    spec: &Spec,
    records: &[Observed<'_, '_>],
) -> Result<Written, sqlx::Error> {
    let mut written = Written::default();
    let mut left = records.to_vec();
    while !left.is_empty() {
        let mut rows = write(connection, account_id, spec.code, &left).await?;
        left.retain(|row| {
            let Some((is_new, left_key)) = rows.remove(row.key().id) else {
                return true;
            };
            if is_new {
                written.inserted += 1;
                let row = &row.record.transaction;
                written.unjoined.push(row, spec.payment_links);
            } else {
                written.updated += 1;
                written.unjoined.left_keys.extend(left_key);
            }
            false
        });
        // Another lane was quicker with the others.
        left = remove_overtaken(connection, account_id, left, &mut written).await?;
    }
    Ok(written)
}

/// Writes the rows that are new, and those that replace an older version. Returns of each, by its id, whether
/// it is new, and the payment that it may have left.
async fn write(
    connection: &mut DbWork<'_>,
    account_id: &str,
    provider: &str,
    records: &[Observed<'_, '_>],
) -> Result<BTreeMap<String, (bool, Option<String>)>, sqlx::Error> {
    let transactions: Vec<&Transaction> = records.iter().map(|r| &r.record.transaction).collect();
    let payloads = records.iter().map(|r| r.record.payload.as_ref());
    let query = sqlx::query(UPSERT.as_str())
        .bind(account_id)
        .bind(provider)
        .bind(records.iter().map(|r| r.at).bind_iter())
        .bind(records.iter().map(|r| r.record.hash).bind_iter())
        .bind(payloads.bind_iter())
        .bind(transactions.iter().map(|t| t.columns_hash()).bind_iter());
    columns::bind(query, &transactions)
        .try_map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?))))
        .fetch(connection)
        .try_collect()
        .await
}

/// Counts the rows that are stored in the same version or in a newer one, and returns the others: they were
/// stored while the statement ran, in an older version.
async fn remove_overtaken<'p, 'a>(
    connection: &mut DbWork<'_>,
    account_id: &str,
    mut rows: Vec<Observed<'p, 'a>>,
    written: &mut Written,
) -> Result<Vec<Observed<'p, 'a>>, sqlx::Error> {
    if rows.is_empty() {
        return Ok(rows);
    }
    let ids: Vec<&str> = rows.iter().map(|row| row.key().id).collect();
    let hashes: Vec<Uuid> = rows.iter().map(|row| row.record.hash).collect();
    let stamps: Vec<_> = rows
        .iter()
        .map(|row| row.record.transaction.updated_at)
        .collect();
    let times: Vec<_> = rows.iter().map(|row| row.at).collect();
    let states = sqlx::query!(
        r#"
        SELECT incoming.id AS "id!", held.payload_hash = incoming.payload_hash AS "is_unchanged!",
               paysync.is_older(incoming.updated_at, incoming.observed_at, held.updated_at, held.observed_at) AS "is_stale!"
        FROM UNNEST($2::text[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
            AS incoming(id, payload_hash, updated_at, observed_at)
        JOIN paysync.transactions AS held ON held.account_id = $1 AND held.provider_transaction_id = incoming.id
        "#,
        account_id,
        &ids as &[&str],
        &hashes,
        &stamps as &[Option<DateTime<Utc>>],
        &times,
    )
    .fetch_all(connection)
    .await?;
    let mut overtaken = BTreeSet::new();
    for state in states {
        if state.is_unchanged {
            written.unchanged += 1;
        } else if state.is_stale {
            written.stale += 1;
        } else {
            continue;
        }
        overtaken.insert(state.id);
    }
    rows.retain(|row| !overtaken.contains(row.key().id));
    Ok(rows)
}
