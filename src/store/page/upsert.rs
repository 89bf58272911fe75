//! The bulk write path of transactions that are new or different.

use std::collections::BTreeSet;
use std::ops::AddAssign;

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::diff::RowKey;
use crate::number::{count, unsigned};
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

/// The transactions of a bulk write, column by column.
pub(crate) struct Columns<'a>(pub(crate) Vec<&'a Transaction>);

impl<'a> Columns<'a> {
    pub(crate) fn words(&self, column: fn(&'a Transaction) -> &'a str) -> Vec<&'a str> {
        self.0.iter().map(|t| column(t)).collect()
    }

    pub(crate) fn texts(
        &self,
        column: fn(&Transaction) -> &Option<String>,
    ) -> Vec<Option<&'a str>> {
        self.0.iter().map(|t| column(t).as_deref()).collect()
    }

    pub(crate) fn amounts(
        &self,
        column: fn(&Transaction) -> &Option<BigDecimal>,
    ) -> Vec<Option<&'a BigDecimal>> {
        self.0.iter().map(|t| column(t).as_ref()).collect()
    }

    pub(crate) fn times(
        &self,
        column: fn(&Transaction) -> Option<DateTime<Utc>>,
    ) -> Vec<Option<DateTime<Utc>>> {
        self.0.iter().map(|t| column(t)).collect()
    }

    pub(crate) fn flags(&self, column: fn(&Transaction) -> Option<bool>) -> Vec<Option<bool>> {
        self.0.iter().map(|t| column(t)).collect()
    }
}

/// Writes rows in bulk: transaction and payload in one round trip. A row that another lane wrote
/// since it was asked for is guarded by the same rule again.
#[allow(
    clippy::too_many_lines,
    reason = "one statement with one parameter per column"
)]
pub(crate) async fn upsert(
    connection: &mut DbWork<'_>,
    account_id: &str,
    provider: &str,
    records: &[Observed<'_, '_>],
) -> Result<Written, sqlx::Error> {
    if records.is_empty() {
        return Ok(Written::default());
    }
    let columns = Columns(records.iter().map(|r| &r.record.transaction).collect());
    let hashes: Vec<Uuid> = records.iter().map(|r| r.record.hash).collect();
    let payloads: Vec<&str> = records.iter().map(|r| r.record.payload.as_ref()).collect();
    let observed: Vec<DateTime<Utc>> = records.iter().map(|r| r.at).collect();
    let rows = sqlx::query!(
        r#"
        WITH incoming AS (
            SELECT *
            FROM UNNEST(
                $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
                $12::text[], $13::numeric[], $14::text[], $15::numeric[], $16::numeric[], $17::text[], $18::numeric[],
                $19::text[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[], $23::timestamptz[],
                $24::text[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::text[],
                $32::text[], $33::text[], $34::text[], $35::text[], $36::text[], $37::text[], $38::text[], $39::text[],
                $40::bool[], $41::uuid[], $42::text[], $3::timestamptz[]
            ) AS incoming(
                provider_transaction_id, parent_transaction_id, payment_group_id, merchant_reference, shop_id, kind,
                provider_kind, status, provider_status, amount, currency, paid_amount, converted_amount,
                converted_currency, fee, fee_currency, created_at, updated_at, paid_at, settled_at, payment_method,
                card_brand, card_bin, card_last4, card_issuer_country, customer_id, customer_email, customer_ip,
                error_code, error_message, rrn, arn, auth_code, provider_reference, gateway, description, is_test,
                payload_hash, payload, observed_at
            )
        ), written AS (
            INSERT INTO paysync.transactions AS held (
                account_id, provider, observed_at, provider_transaction_id, parent_transaction_id, payment_group_id,
                merchant_reference, shop_id, kind, provider_kind, status, provider_status, amount, currency,
                paid_amount, converted_amount, converted_currency, fee, fee_currency, created_at, updated_at, paid_at,
                settled_at, payment_method, card_brand, card_bin, card_last4, card_issuer_country, customer_id,
                customer_email, customer_ip, error_code, error_message, rrn, arn, auth_code, provider_reference,
                gateway, description, is_test, payload_hash
            )
            SELECT $1, $2, observed_at, provider_transaction_id, parent_transaction_id, payment_group_id, merchant_reference,
                   shop_id, kind, provider_kind, status, provider_status, amount, currency, paid_amount,
                   converted_amount, converted_currency, fee, fee_currency, created_at, updated_at, paid_at,
                   settled_at, payment_method, card_brand, card_bin, card_last4, card_issuer_country, customer_id,
                   customer_email, customer_ip, error_code, error_message, rrn, arn, auth_code, provider_reference,
                   gateway, description, is_test, payload_hash
            FROM incoming
            -- Of an erased row, the columns that name a person stay empty: those of Store::erase.
            ON CONFLICT (account_id, provider_transaction_id) DO UPDATE SET
                provider = EXCLUDED.provider,
                observed_at = EXCLUDED.observed_at,
                changed_at = now(),
                parent_transaction_id = EXCLUDED.parent_transaction_id,
                payment_group_id = EXCLUDED.payment_group_id,
                merchant_reference = EXCLUDED.merchant_reference,
                shop_id = EXCLUDED.shop_id,
                kind = EXCLUDED.kind,
                provider_kind = EXCLUDED.provider_kind,
                status = EXCLUDED.status,
                provider_status = EXCLUDED.provider_status,
                amount = EXCLUDED.amount,
                currency = EXCLUDED.currency,
                paid_amount = EXCLUDED.paid_amount,
                converted_amount = EXCLUDED.converted_amount,
                converted_currency = EXCLUDED.converted_currency,
                fee = EXCLUDED.fee,
                fee_currency = EXCLUDED.fee_currency,
                created_at = EXCLUDED.created_at,
                updated_at = EXCLUDED.updated_at,
                paid_at = EXCLUDED.paid_at,
                settled_at = EXCLUDED.settled_at,
                payment_method = EXCLUDED.payment_method,
                card_brand = EXCLUDED.card_brand,
                card_bin = CASE WHEN held.erased_at IS NULL THEN EXCLUDED.card_bin END,
                card_last4 = CASE WHEN held.erased_at IS NULL THEN EXCLUDED.card_last4 END,
                card_issuer_country = EXCLUDED.card_issuer_country,
                customer_id = CASE WHEN held.erased_at IS NULL THEN EXCLUDED.customer_id END,
                customer_email = CASE WHEN held.erased_at IS NULL THEN EXCLUDED.customer_email END,
                customer_ip = CASE WHEN held.erased_at IS NULL THEN EXCLUDED.customer_ip END,
                error_code = EXCLUDED.error_code,
                error_message = EXCLUDED.error_message,
                rrn = EXCLUDED.rrn,
                arn = EXCLUDED.arn,
                auth_code = EXCLUDED.auth_code,
                provider_reference = EXCLUDED.provider_reference,
                gateway = EXCLUDED.gateway,
                description = CASE WHEN held.erased_at IS NULL THEN EXCLUDED.description END,
                is_test = EXCLUDED.is_test,
                payload_hash = EXCLUDED.payload_hash
            WHERE held.payload_hash <> EXCLUDED.payload_hash
              AND NOT paysync.is_older(EXCLUDED.updated_at, EXCLUDED.observed_at, held.updated_at, held.observed_at)
            -- No system column tells: distributed and partitioned tables have none to return.
            RETURNING provider_transaction_id, first_seen_at = now() AS inserted, held.erased_at IS NOT NULL AS erased
        ), kept AS (
            INSERT INTO paysync.raw_transactions (account_id, provider_transaction_id, payload)
            SELECT $1, incoming.provider_transaction_id, incoming.payload::json
            FROM incoming
            JOIN written USING (provider_transaction_id)
            WHERE NOT written.erased
            ON CONFLICT (account_id, provider_transaction_id) DO UPDATE SET payload = EXCLUDED.payload
        )
        SELECT provider_transaction_id AS "id!", inserted AS "inserted!" FROM written
        "#,
        account_id,
        provider,
        &observed,
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
        &payloads as &[&str],
    )
    .fetch_all(&mut *connection)
    .await?;

    let inserted = rows.iter().filter(|row| row.inserted).count();
    let mut written = Written {
        inserted: count(inserted),
        updated: count(rows.len() - inserted),
        ..Written::default()
    };
    if rows.len() < records.len() {
        // Another lane was quicker with some of them: what are they now?
        let known: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let overtaken: Vec<&Record<'_>> = records
            .iter()
            .map(|r| r.record)
            .filter(|record| !known.contains(record.transaction.provider_transaction_id.as_str()))
            .collect();
        written.unchanged = still_equal(connection, account_id, &overtaken).await?;
        written.stale = count(overtaken.len()) - written.unchanged;
    }
    Ok(written)
}

/// How many of these rows are stored just so.
async fn still_equal(
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
