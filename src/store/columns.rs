//! The columns of a transaction in SQL: names, arrays to unnest, assignments, and rows that are read.
//!
//! All of it follows from [`Transaction::COLUMNS`], where a column is declared once. Names and values
//! are in that order everywhere, so that no value reaches another column.

use sqlx::postgres::{PgArguments, PgBindIterExt as _, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _};

use paysync_provider::model::{Column, Field, Transaction};

/// Identifies the row within its account, and never changes.
const KEY: &str = "provider_transaction_id";

/// The names: `a, b, c`.
pub(super) fn names() -> String {
    list(|column| Some(column.name.to_owned()))
}

/// The names in a table or row: `t.a, t.b, t.c`.
pub(super) fn names_of(table: &str) -> String {
    list(|column| Some(format!("{table}.{}", column.name)))
}

/// One array parameter per column, numbered from `first`: `$6::text[], $7::numeric[]`.
pub(super) fn arrays(first: usize) -> String {
    let mut numbers = first..;
    list(|column| {
        Some(format!(
            "${}::{}[]",
            numbers.next()?,
            column.field.sql_type()
        ))
    })
}

/// Sets all columns but the key: `a = value(a), b = value(b)`.
pub(super) fn assignments(value: impl Fn(&Column) -> String) -> String {
    list(|column| (column.name != KEY).then(|| format!("{} = {}", column.name, value(column))))
}

/// Sets all text columns but the key, as [`assignments`].
pub(super) fn text_assignments(value: impl Fn(&Column) -> String) -> String {
    list(|column| {
        let is_text = matches!(column.field, Field::Text { .. }) && column.name != KEY;
        is_text.then(|| format!("{} = {}", column.name, value(column)))
    })
}

/// Empties the columns that may name a person: `a = NULL, b = NULL`.
pub(super) fn emptied_personal() -> String {
    list(|column| {
        column
            .is_personal
            .then(|| format!("{} = NULL", column.name))
    })
}

fn list(part: impl FnMut(&Column) -> Option<String>) -> String {
    let parts: Vec<String> = Transaction::COLUMNS.iter().filter_map(part).collect();
    parts.join(", ")
}

/// Binds the parameters of [`arrays`].
pub(super) fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    rows: &[&Transaction],
) -> Query<'q, Postgres, PgArguments> {
    Transaction::COLUMNS.iter().fold(query, |query, column| {
        let rows = rows.iter();
        match column.field {
            Field::Text { get, .. } => query.bind(rows.map(|row| get(row)).bind_iter()),
            Field::Numeric { get, .. } => query.bind(rows.map(|row| get(row)).bind_iter()),
            Field::Timestamptz { get, .. } => query.bind(rows.map(|row| get(row)).bind_iter()),
            Field::Boolean { get, .. } => query.bind(rows.map(|row| get(row)).bind_iter()),
        }
    })
}

/// Reads a row that begins with all columns, in the order of [`names`].
///
/// # Errors
/// Also if a newer version of paysync wrote a word that this one does not know.
pub(super) fn read(row: &PgRow) -> Result<Transaction, sqlx::Error> {
    let mut transaction = Transaction::default();
    for (index, column) in Transaction::COLUMNS.iter().enumerate() {
        match column.field {
            Field::Text { set, .. } => {
                set(&mut transaction, row.try_get(index)?)
                    .map_err(|word| unknown(column, &word))?;
            }
            Field::Numeric { set, .. } => set(&mut transaction, row.try_get(index)?),
            Field::Timestamptz { set, .. } => set(&mut transaction, row.try_get(index)?),
            Field::Boolean { set, .. } => set(&mut transaction, row.try_get(index)?),
        }
    }
    Ok(transaction)
}

fn unknown(column: &Column, word: &str) -> sqlx::Error {
    let message = format!(
        "{} {word} was written by a newer version of paysync",
        column.name
    );
    sqlx::Error::Decode(message.into())
}
