//! The declaration of a transaction's columns beside the catalogue of a migrated database.

use std::collections::BTreeSet;

use paysync_provider::model::{Field, Transaction};
use sqlx::PgPool;

/// Columns that the store fills itself.
const OWN: [&str; 11] = [
    "account_id",
    "provider",
    "payment_key",
    "payload_hash",
    "columns_hash",
    "version",
    "version_from",
    "first_seen_at",
    "observed_at",
    "changed_at",
    "erased_at",
];

/// Columns of a replaced version.
const OF_VERSIONS: [&str; 2] = ["valid_from", "valid_to"];

/// Name, type, and whether it is never null.
type Described = (String, String, bool);

/// What a migrated table says, but of these columns.
async fn catalogue(pool: &PgPool, table: &str, own: &[&str]) -> BTreeSet<Described> {
    let columns: Vec<Described> = sqlx::query_as(
        "SELECT attname::text, replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz'),
                attnotnull
         FROM pg_attribute
         WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
    )
    .bind(table)
    .fetch_all(pool)
    .await
    .unwrap();
    let is_own = |(name, ..): &Described| own.contains(&name.as_str());
    let found = columns.iter().filter(|column| is_own(column)).count();
    assert_eq!(found, own.len(), "{table} lacks a column of {own:?}");
    columns
        .into_iter()
        .filter(|column| !is_own(column))
        .collect()
}

#[sqlx::test(migrations = "./migrations")]
async fn each_column_is_declared_with_its_type(pool: PgPool) {
    let nothing = Transaction::default();
    let declared: BTreeSet<Described> = Transaction::COLUMNS
        .iter()
        .map(|column| {
            let is_required =
                matches!(column.field, Field::Text { get, .. } if get(&nothing).is_some());
            let sql_type = column.field.sql_type().to_owned();
            (column.name.to_owned(), sql_type, is_required)
        })
        .collect();
    assert_eq!(
        declared.len(),
        Transaction::COLUMNS.len(),
        "one has two lines"
    );
    assert_eq!(
        catalogue(&pool, "paysync.transactions", &OWN).await,
        declared
    );
    let own = [&OWN[..], &OF_VERSIONS].concat();
    let history = "paysync.transaction_history";
    assert_eq!(catalogue(&pool, history, &own).await, declared);
}
