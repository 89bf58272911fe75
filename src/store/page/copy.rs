//! New rows by COPY: what a page brings that is not stored yet, as fast as PostgreSQL takes rows.
//!
//! The rows go in PostgreSQL's binary format, which is what it keeps: no text is parsed but JSON.
//! A row that another lane stored in the meantime makes all of it fail; then the upsert does it.

use chrono::{DateTime, Utc};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgConnection, PgCopyIn};
use sqlx::{Encode, Postgres};
use uuid::Uuid;

use crate::store::pool::DbWork;
use paysync_provider::item::Record;
use paysync_provider::model::Transaction;

/// Fewer rows are quicker by the upsert: it takes one round trip, a copy of two tables takes four.
pub(super) const MIN_COPY_ROWS: usize = 50;

/// What is sent at once: a page's payloads are not gathered in one buffer.
const CHUNK: usize = 64 << 10;

const TRANSACTIONS: &str = "\
    COPY paysync.transactions (
        account_id, provider, observed_at, provider_transaction_id, parent_transaction_id, payment_group_id,
        merchant_reference, shop_id, kind, provider_kind, status, provider_status, amount, currency, paid_amount,
        converted_amount, converted_currency, fee, fee_currency, created_at, updated_at, paid_at, settled_at,
        payment_method, card_brand, card_bin, card_last4, card_issuer_country, customer_id, customer_email,
        customer_ip, error_code, error_message, rrn, arn, auth_code, provider_reference, gateway, description,
        is_test, payload_hash
    ) FROM STDIN (FORMAT binary)";

const PAYLOADS: &str = "\
    COPY paysync.raw_transactions (account_id, provider_transaction_id, payload) FROM STDIN (FORMAT binary)";

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// What the rows of a page have in common.
#[derive(Clone, Copy)]
pub(super) struct RowOrigin<'p> {
    pub(super) account_id: &'p str,
    pub(super) provider: &'p str,
    pub(super) observed_at: DateTime<Utc>,
}

/// Stores rows that were not there a moment ago; their number. Of what it has sent it keeps the payloads
/// alone.
///
/// # Errors
/// Also if one of them is there by now.
pub(super) async fn copy<'a>(
    work: &mut DbWork<'_>,
    origin: RowOrigin<'_>,
    records: impl Iterator<Item = Record<'a>>,
) -> Result<u64, sqlx::Error> {
    let connection = work.connection();
    let mut copy = connection.copy_in_raw(TRANSACTIONS).await?;
    let mut rows = Rows::new();
    let mut payloads = Vec::new();
    for record in records {
        let encoded = rows.transaction(origin, &record.transaction, record.hash);
        let id = record.transaction.provider_transaction_id;
        payloads.push((id, record.payload));
        if let Err(error) = encoded {
            copy.abort("a value cannot be sent").await?;
            return Err(sqlx::Error::Encode(error));
        }
        rows.send_if_many(&mut copy).await?;
    }
    let stored = rows.finish(copy).await?;

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
    Ok(stored)
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

    fn start(&mut self, columns: i16) {
        self.0.extend_from_slice(&columns.to_be_bytes());
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
        self.start(41);
        self.put(Some(origin.account_id))?;
        self.put(Some(origin.provider))?;
        self.put(Some(origin.observed_at))?;
        self.put(Some(t.provider_transaction_id.as_str()))?;
        self.put(t.parent_transaction_id.as_deref())?;
        self.put(t.payment_group_id.as_deref())?;
        self.put(t.merchant_reference.as_deref())?;
        self.put(t.shop_id.as_deref())?;
        self.put(Some(t.kind.as_str()))?;
        self.put(t.provider_kind.as_deref())?;
        self.put(Some(t.status.as_str()))?;
        self.put(t.provider_status.as_deref())?;
        self.put(t.amount.as_ref())?;
        self.put(t.currency.as_deref())?;
        self.put(t.paid_amount.as_ref())?;
        self.put(t.converted_amount.as_ref())?;
        self.put(t.converted_currency.as_deref())?;
        self.put(t.fee.as_ref())?;
        self.put(t.fee_currency.as_deref())?;
        self.put(t.created_at)?;
        self.put(t.updated_at)?;
        self.put(t.paid_at)?;
        self.put(t.settled_at)?;
        self.put(t.payment_method.as_deref())?;
        self.put(t.card_brand.as_deref())?;
        self.put(t.card_bin.as_deref())?;
        self.put(t.card_last4.as_deref())?;
        self.put(t.card_issuer_country.as_deref())?;
        self.put(t.customer_id.as_deref())?;
        self.put(t.customer_email.as_deref())?;
        self.put(t.customer_ip.as_deref())?;
        self.put(t.error_code.as_deref())?;
        self.put(t.error_message.as_deref())?;
        self.put(t.rrn.as_deref())?;
        self.put(t.arn.as_deref())?;
        self.put(t.auth_code.as_deref())?;
        self.put(t.provider_reference.as_deref())?;
        self.put(t.gateway.as_deref())?;
        self.put(t.description.as_deref())?;
        self.put(t.is_test)?;
        self.put(Some(hash))
    }

    fn payload(
        &mut self,
        origin: RowOrigin<'_>,
        id: &str,
        payload: &str,
    ) -> Result<(), BoxDynError> {
        self.start(3);
        self.put(Some(origin.account_id))?;
        self.put(Some(id))?;
        self.put(Some(payload))
    }
}
