//! Stored payloads and the rows made of them, for reading them again.
//!
//! Works beside the daemon without a lease: it moves no checkpoint, and a row is corrected only if it
//! is still the version that was read.

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::page::bisect::{Bisection, refused_data};
use super::page::upsert::Columns;
use super::pool::DbWork;
use super::{Store, StoreError};
use crate::number::unsigned;
use paysync_provider::model::{Kind, Status, Transaction};

/// Rows read at once, at most.
pub(super) const BATCH_ROWS: i64 = 1000;

/// Bytes of payload after which a batch ends: the next payload may go over it.
pub(super) const BATCH_BYTES: i64 = 16 << 20;

/// A row with its payload.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The row.
    pub transaction: Transaction,
    /// The item it was made of, redacted.
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

/// What became of corrections.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Corrected {
    /// Rows written.
    pub written: u64,
    /// Rows that PostgreSQL refuses, by id, with what it says.
    pub refused: Vec<(String, String)>,
}

impl Store {
    /// How many rows that a provider's items were made of have no payload any more.
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

    /// The next rows that a provider's items were made of, in the order of their ids; empty after the
    /// last.
    ///
    /// # Errors
    /// Also if a row has a word that this program does not know: a newer one wrote it.
    pub async fn stored_after(
        &self,
        account_id: &str,
        provider: &str,
        after: &str,
    ) -> Result<Vec<Stored>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT provider_transaction_id, parent_transaction_id, payment_group_id, merchant_reference, shop_id, kind,
                   provider_kind, status, provider_status, amount, currency, paid_amount, converted_amount,
                   converted_currency, fee, fee_currency, created_at, updated_at, paid_at, settled_at, payment_method,
                   card_brand, card_bin, card_last4, card_issuer_country, customer_id, customer_email, customer_ip,
                   error_code, error_message, rrn, arn, auth_code, provider_reference, gateway, description, is_test,
                   payload_hash, changed_at, payload AS "payload!"
            FROM (
                SELECT *, sum(octet_length(payload)) OVER (ORDER BY provider_transaction_id) - octet_length(payload) AS before
                FROM (
                    SELECT held.*, raw.payload::text AS payload
                    FROM paysync.transactions AS held
                    JOIN paysync.raw_transactions AS raw USING (account_id, provider_transaction_id)
                    WHERE account_id = $1 AND held.provider = $2
                      -- Of both, or a merge of them would start over with each batch.
                      AND held.provider_transaction_id > $3 AND raw.provider_transaction_id > $3
                    ORDER BY provider_transaction_id
                    LIMIT $4
                ) AS next
            ) AS batch
            WHERE before < $5
            ORDER BY provider_transaction_id
            "#,
            account_id,
            provider,
            after,
            BATCH_ROWS,
            BATCH_BYTES,
        )
        .fetch_all(self.one_shot())
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Stored {
                    transaction: Transaction {
                        kind: Kind::of_word(&row.kind).ok_or_else(|| unknown("kind", &row.kind))?,
                        status: Status::of_word(&row.status)
                            .ok_or_else(|| unknown("status", &row.status))?,
                        provider_transaction_id: row.provider_transaction_id,
                        parent_transaction_id: row.parent_transaction_id,
                        payment_group_id: row.payment_group_id,
                        merchant_reference: row.merchant_reference,
                        shop_id: row.shop_id,
                        provider_kind: row.provider_kind,
                        provider_status: row.provider_status,
                        amount: row.amount,
                        currency: row.currency,
                        paid_amount: row.paid_amount,
                        converted_amount: row.converted_amount,
                        converted_currency: row.converted_currency,
                        fee: row.fee,
                        fee_currency: row.fee_currency,
                        created_at: row.created_at,
                        updated_at: row.updated_at,
                        paid_at: row.paid_at,
                        settled_at: row.settled_at,
                        payment_method: row.payment_method,
                        card_brand: row.card_brand,
                        card_bin: row.card_bin,
                        card_last4: row.card_last4,
                        card_issuer_country: row.card_issuer_country,
                        customer_id: row.customer_id,
                        customer_email: row.customer_email,
                        customer_ip: row.customer_ip,
                        error_code: row.error_code,
                        error_message: row.error_message,
                        rrn: row.rrn,
                        arn: row.arn,
                        auth_code: row.auth_code,
                        provider_reference: row.provider_reference,
                        gateway: row.gateway,
                        description: row.description,
                        is_test: row.is_test,
                    },
                    payload: row.payload,
                    hash: row.payload_hash,
                    changed_at: row.changed_at,
                })
            })
            .collect()
    }

    /// Corrects rows, in one transaction. A row that was written since it was read is left alone.
    pub async fn correct(
        &self,
        account_id: &str,
        corrections: &[Correction],
    ) -> Result<Corrected, StoreError> {
        let mut corrections: Vec<&Correction> = corrections.iter().collect();
        // As pages are sorted, so that neither waits for the other in a circle.
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

fn unknown(column: &str, word: &str) -> StoreError {
    let message = format!("{column} {word} was written by a newer version of paysync");
    StoreError::Database(sqlx::Error::Decode(message.into()))
}

#[allow(
    clippy::too_many_lines,
    reason = "one statement with one parameter per column"
)]
async fn update(
    connection: &mut DbWork<'_>,
    account_id: &str,
    corrections: &[&Correction],
) -> Result<u64, sqlx::Error> {
    let columns = Columns(corrections.iter().map(|c| &c.transaction).collect());
    let hashes: Vec<Uuid> = corrections.iter().map(|c| c.hash).collect();
    let changed: Vec<DateTime<Utc>> = corrections.iter().map(|c| c.changed_at).collect();
    let updated = sqlx::query!(
        r#"
        WITH correct AS (
            SELECT correct.*
            FROM UNNEST(
                $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                $10::text[], $11::numeric[], $12::text[], $13::numeric[], $14::numeric[], $15::text[], $16::numeric[],
                $17::text[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[],
                $22::text[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[],
                $30::text[], $31::text[], $32::text[], $33::text[], $34::text[], $35::text[], $36::text[], $37::text[],
                $38::bool[], $39::uuid[], $40::timestamptz[]
            ) WITH ORDINALITY AS correct(
                provider_transaction_id, parent_transaction_id, payment_group_id, merchant_reference, shop_id, kind,
                provider_kind, status, provider_status, amount, currency, paid_amount, converted_amount,
                converted_currency, fee, fee_currency, created_at, updated_at, paid_at, settled_at, payment_method,
                card_brand, card_bin, card_last4, card_issuer_country, customer_id, customer_email, customer_ip,
                error_code, error_message, rrn, arn, auth_code, provider_reference, gateway, description, is_test,
                payload_hash, changed_at, place
            )
            JOIN paysync.transactions AS held
                ON held.account_id = $1 AND held.provider_transaction_id = correct.provider_transaction_id
            -- Still the version that was read: a newer one wins.
            WHERE (held.payload_hash, held.changed_at) = (correct.payload_hash, correct.changed_at)
              -- Nobody who was erased since then comes back.
              AND held.erased_at IS NULL
            ORDER BY correct.place
            FOR NO KEY UPDATE OF held
        )
        UPDATE paysync.transactions AS held SET
            changed_at = now(),
            parent_transaction_id = correct.parent_transaction_id,
            payment_group_id = correct.payment_group_id,
            merchant_reference = correct.merchant_reference,
            shop_id = correct.shop_id,
            kind = correct.kind,
            provider_kind = correct.provider_kind,
            status = correct.status,
            provider_status = correct.provider_status,
            amount = correct.amount,
            currency = correct.currency,
            paid_amount = correct.paid_amount,
            converted_amount = correct.converted_amount,
            converted_currency = correct.converted_currency,
            fee = correct.fee,
            fee_currency = correct.fee_currency,
            created_at = correct.created_at,
            updated_at = correct.updated_at,
            paid_at = correct.paid_at,
            settled_at = correct.settled_at,
            payment_method = correct.payment_method,
            card_brand = correct.card_brand,
            card_bin = correct.card_bin,
            card_last4 = correct.card_last4,
            card_issuer_country = correct.card_issuer_country,
            customer_id = correct.customer_id,
            customer_email = correct.customer_email,
            customer_ip = correct.customer_ip,
            error_code = correct.error_code,
            error_message = correct.error_message,
            rrn = correct.rrn,
            arn = correct.arn,
            auth_code = correct.auth_code,
            provider_reference = correct.provider_reference,
            gateway = correct.gateway,
            description = correct.description,
            is_test = correct.is_test
        FROM correct
        WHERE held.account_id = $1 AND held.provider_transaction_id = correct.provider_transaction_id
        "#,
        account_id,
        &columns.words(|t| &t.provider_transaction_id) as &[&str],
        &columns.texts(|t| &t.parent_transaction_id) as &[Option<&str>],
        &columns.texts(|t| &t.payment_group_id) as &[Option<&str>],
        &columns.texts(|t| &t.merchant_reference) as &[Option<&str>],
        &columns.texts(|t| &t.shop_id) as &[Option<&str>],
        &columns.words(|t| t.kind.as_str()) as &[&str],
        &columns.texts(|t| &t.provider_kind) as &[Option<&str>],
        &columns.words(|t| t.status.as_str()) as &[&str],
        &columns.texts(|t| &t.provider_status) as &[Option<&str>],
        &columns.amounts(|t| &t.amount) as &[Option<&BigDecimal>],
        &columns.texts(|t| &t.currency) as &[Option<&str>],
        &columns.amounts(|t| &t.paid_amount) as &[Option<&BigDecimal>],
        &columns.amounts(|t| &t.converted_amount) as &[Option<&BigDecimal>],
        &columns.texts(|t| &t.converted_currency) as &[Option<&str>],
        &columns.amounts(|t| &t.fee) as &[Option<&BigDecimal>],
        &columns.texts(|t| &t.fee_currency) as &[Option<&str>],
        &columns.times(|t| t.created_at) as &[Option<DateTime<Utc>>],
        &columns.times(|t| t.updated_at) as &[Option<DateTime<Utc>>],
        &columns.times(|t| t.paid_at) as &[Option<DateTime<Utc>>],
        &columns.times(|t| t.settled_at) as &[Option<DateTime<Utc>>],
        &columns.texts(|t| &t.payment_method) as &[Option<&str>],
        &columns.texts(|t| &t.card_brand) as &[Option<&str>],
        &columns.texts(|t| &t.card_bin) as &[Option<&str>],
        &columns.texts(|t| &t.card_last4) as &[Option<&str>],
        &columns.texts(|t| &t.card_issuer_country) as &[Option<&str>],
        &columns.texts(|t| &t.customer_id) as &[Option<&str>],
        &columns.texts(|t| &t.customer_email) as &[Option<&str>],
        &columns.texts(|t| &t.customer_ip) as &[Option<&str>],
        &columns.texts(|t| &t.error_code) as &[Option<&str>],
        &columns.texts(|t| &t.error_message) as &[Option<&str>],
        &columns.texts(|t| &t.rrn) as &[Option<&str>],
        &columns.texts(|t| &t.arn) as &[Option<&str>],
        &columns.texts(|t| &t.auth_code) as &[Option<&str>],
        &columns.texts(|t| &t.provider_reference) as &[Option<&str>],
        &columns.texts(|t| &t.gateway) as &[Option<&str>],
        &columns.texts(|t| &t.description) as &[Option<&str>],
        &columns.flags(|t| t.is_test) as &[Option<bool>],
        &hashes,
        &changed,
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected())
}
