//! The truth about every simulated row in paysync's words, to compare its tables with.
//!
//! Written from the simulator's own state, never from its JSON. All values are texts or null:
//! - amounts: decimal, major units, no zeros at the end of the fraction, no bare point (`12`, `0.5`);
//! - times: RFC 3339, `Z`, six digits (`2026-01-31T10:00:00.000000Z`), cut to whole seconds
//!   where an API shows no fractions (all but the DWH);
//! - flags: `true` or `false`; `is_test` is null where the items of an API don't tell.
//!
//! Choices where the facts leave room: each provider's file says them at its head.
//! Everywhere: empty texts are null; error code and message only on `failed` and `canceled`
//! rows; currency codes, brands and methods are written as the provider writes them.

use chrono::SecondsFormat;
use serde::Serialize;

use super::clock::instant;
use super::facts::{Facts, filled};
use super::settings::Provider;
use super::world::{Kind, Phase, Row, World};

mod begateway;
mod convergegate;
mod ecommpay;
mod firekassa;
mod payment;

pub use payment::LedgerPayment;
pub(crate) use payment::payments;

/// One transaction as paysync's `transactions` table should have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[allow(missing_docs, reason = "the fields are the columns of `transactions`")]
pub struct LedgerRow {
    pub provider_transaction_id: String,
    pub parent_transaction_id: Option<String>,
    pub payment_group_id: Option<String>,
    pub merchant_reference: Option<String>,
    pub shop_id: Option<String>,
    pub kind: String,
    pub provider_kind: String,
    pub status: String,
    pub provider_status: String,
    pub amount: Option<String>,
    pub currency: Option<String>,
    pub paid_amount: Option<String>,
    pub converted_amount: Option<String>,
    pub converted_currency: Option<String>,
    pub fee: Option<String>,
    pub fee_currency: Option<String>,
    pub created_at: Option<String>,
    pub updated_at: Option<String>,
    pub paid_at: Option<String>,
    pub settled_at: Option<String>,
    pub payment_method: Option<String>,
    pub card_brand: Option<String>,
    pub card_bin: Option<String>,
    pub card_last4: Option<String>,
    pub card_issuer_country: Option<String>,
    pub customer_id: Option<String>,
    pub customer_email: Option<String>,
    pub customer_ip: Option<String>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub rrn: Option<String>,
    pub arn: Option<String>,
    pub auth_code: Option<String>,
    pub provider_reference: Option<String>,
    pub gateway: Option<String>,
    pub description: Option<String>,
    pub is_test: Option<String>,
}

/// The ledger's line for a row.
pub(crate) fn line(provider: Provider, world: &World, row: &Row) -> LedgerRow {
    let facts = Facts::of(row);
    let shared = LedgerRow {
        kind: kind(row).to_owned(),
        status: status(row).to_owned(),
        amount: Some(row.amount.canonical()),
        currency: Some(row.currency.code.to_owned()),
        description: filled(facts.description.clone()),
        ..LedgerRow::default()
    };
    match provider {
        Provider::Convergegate => convergegate::line(shared, world, row, &facts),
        Provider::BegatewayDwh => begateway::dwh(shared, world, row, &facts),
        Provider::BegatewayReport => begateway::report(shared, world, row, &facts),
        Provider::Ecommpay => ecommpay::line(shared, row, &facts),
        Provider::Firekassa => firekassa::line(shared, row, &facts),
    }
}

fn kind(row: &Row) -> &'static str {
    match row.kind {
        Kind::Payment | Kind::Recurring | Kind::PeerToPeer => "payment",
        Kind::Authorization => "authorization",
        Kind::Capture => "capture",
        Kind::Void | Kind::Reversal => "void",
        Kind::Refund => "refund",
        Kind::Payout | Kind::Credit => "payout",
        Kind::Chargeback => "chargeback",
        Kind::Verification => "verification",
        Kind::Advice => "other",
    }
}

fn status(row: &Row) -> &'static str {
    match row.phase {
        Phase::Opened | Phase::Pending | Phase::Approval => "pending",
        Phase::Held => "authorized",
        Phase::Succeeded | Phase::Overpaid => "succeeded",
        Phase::Failed | Phase::Broken => "failed",
        Phase::Canceled | Phase::Expired => "canceled",
    }
}

/// The time as an API tells it that knows whole seconds only.
fn seconds(time: i64) -> String {
    micros(time.div_euclid(1_000_000).saturating_mul(1_000_000))
}

fn micros(time: i64) -> String {
    instant(time).to_rfc3339_opts(SecondsFormat::Micros, true)
}
