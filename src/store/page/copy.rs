//! New rows by COPY: what a page brings that is not stored yet, as fast as PostgreSQL takes rows.
//!
//! The rows go in PostgreSQL's binary format, which is what it keeps: no text is parsed but JSON.
//! A row that another lane stored in the meantime makes all of it fail; then the upsert does it.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgConnection, PgCopyIn};
use sqlx::{Encode, Postgres};
use uuid::Uuid;

use super::daily_sums::NewRows;
use super::upsert::Written;
use crate::store::columns;
use crate::store::pool::DbWork;
use paysync_provider::Spec;
use paysync_provider::item::Record;
use paysync_provider::model::{Field, Transaction};

/// Fewer rows are quicker by the upsert: it takes one round trip, a copy of two tables takes four.
pub(super) const MIN_COPY_ROWS: usize = 50;

/// What is sent at once: a page's payloads are not gathered in one buffer.
const CHUNK: usize = 64 << 10;

/// Columns that come before those of the transaction.
const OWN_COLUMNS: [&str; 6] = [
    "account_id",
    "provider",
    "observed_at",
    "payload_hash",
    "columns_hash",
    "payment_key",
];

static TRANSACTIONS: LazyLock<String> = LazyLock::new(|| {
    let (own, names) = (OWN_COLUMNS.join(", "), columns::names());
    format!("COPY paysync.transactions ({own}, {names}) FROM STDIN (FORMAT binary)")
});

const PAYLOADS: &str = "\
    COPY paysync.raw_transactions (account_id, provider_transaction_id, payload) FROM STDIN (FORMAT binary)";

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// What the rows of a page have in common.
#[derive(Clone, Copy)]
pub(super) struct RowOrigin<'p> {
    pub(super) account_id: &'p str,
    pub(super) spec: &'p Spec,
    pub(super) observed_at: DateTime<Utc>,
}

/// Copies new rows, and adds them to the daily sums. Only the payloads and what the sums need stay in
/// memory.
///
/// # Errors
/// Also if one of the rows has been stored meanwhile.
pub(super) async fn copy<'a>(
    work: &mut DbWork<'_>,
    origin: RowOrigin<'_>,
    records: impl Iterator<Item = Record<'a>>,
) -> Result<Written, sqlx::Error> {
    let mut written = Written::default();
    let connection = work.connection();
    let mut copy = connection.copy_in_raw(&TRANSACTIONS).await?;
    let mut rows = Rows::new();
    let (mut new, mut payloads) = (NewRows::default(), Vec::new());
    for mut record in records {
        let encoded = rows.transaction(origin, &record.transaction, record.hash);
        let links = origin.spec.payment_links;
        written.unjoined.push(&record.transaction, links);
        let id = std::mem::take(&mut record.transaction.provider_transaction_id);
        payloads.push((id, record.payload));
        new.push(record.transaction);
        if let Err(error) = encoded {
            copy.abort("a value cannot be sent").await?;
            return Err(sqlx::Error::Encode(error));
        }
        rows.send_if_many(&mut copy).await?;
    }
    written.inserted = rows.finish(copy).await?;

    let mut copy = connection.copy_in_raw(PAYLOADS).await?;
    let mut rows = Rows::new();
    for (id, payload) in &payloads {
        if let Err(error) = rows.payload(origin, id, payload) {
            copy.abort("a value cannot be sent").await?;
            return Err(sqlx::Error::Encode(error));
        }
        rows.send_if_many(&mut copy).await?;
    }
    rows.finish(copy).await?;
    new.add(work, origin.account_id).await?;
    Ok(written)
}

type Copy<'c> = PgCopyIn<&'c mut PgConnection>;

/// Rows in PostgreSQL's binary format.
struct Rows(PgArgumentBuffer);

impl Rows {
    fn new() -> Self {
        let mut rows = Self(PgArgumentBuffer::default());
        rows.0.extend_from_slice(HEADER);
        rows
    }

    async fn send_if_many(&mut self, copy: &mut Copy<'_>) -> Result<(), sqlx::Error> {
        if self.0.len() >= CHUNK {
            copy.send(self.0.as_slice()).await?;
            self.0.clear();
        }
        Ok(())
    }

    async fn finish(mut self, mut copy: Copy<'_>) -> Result<u64, sqlx::Error> {
        self.0.extend_from_slice(&TRAILER);
        copy.send(self.0.as_slice()).await?;
        copy.finish().await
    }

    fn start(&mut self, columns: usize) -> Result<(), BoxDynError> {
        let columns = i16::try_from(columns)?;
        self.0.extend_from_slice(&columns.to_be_bytes());
        Ok(())
    }

    fn put<'q, T: Encode<'q, Postgres>>(&mut self, value: Option<T>) -> Result<(), BoxDynError> {
        let at = self.0.len();
        self.0.extend_from_slice(&NULL);
        let Some(value) = value else { return Ok(()) };
        if let IsNull::Yes = value.encode_by_ref(&mut self.0)? {
            return Ok(());
        }
        let length = i32::try_from(self.0.len() - at - NULL.len())?;
        if let Some(place) = self.0.get_mut(at..at + NULL.len()) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn transaction(
        &mut self,
        origin: RowOrigin<'_>,
        t: &Transaction,
        hash: Uuid,
    ) -> Result<(), BoxDynError> {
        self.start(OWN_COLUMNS.len() + Transaction::COLUMNS.len())?;
        self.put(Some(origin.account_id))?;
        self.put(Some(origin.spec.code))?;
        self.put(Some(origin.observed_at))?;
        self.put(Some(hash))?;
        self.put(Some(t.columns_hash()))?;
        self.put(Some(t.own_payment_key(origin.spec.payment_links)))?;
        for column in Transaction::COLUMNS {
            match column.field {
                Field::Text { get, .. } => self.put(get(t))?,
                Field::Numeric { get, .. } => self.put(get(t))?,
                Field::Timestamptz { get, .. } => self.put(get(t))?,
                Field::Boolean { get, .. } => self.put(get(t))?,
            }
        }
        Ok(())
    }

    fn payload(
        &mut self,
        origin: RowOrigin<'_>,
        id: &str,
        payload: &str,
    ) -> Result<(), BoxDynError> {
        self.start(3)?;
        self.put(Some(origin.account_id))?;
        self.put(Some(id))?;
        self.put(Some(payload))
    }
}
