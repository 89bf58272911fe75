//! The rows of the ledger.

use chrono::SecondsFormat;
use serde::Serialize;

use crate::clock::instant;

/// A row that paysync's table `transactions` should have.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

/// A time of an API that sends whole seconds.
pub(super) fn seconds(time: i64) -> String {
    micros(time.div_euclid(1_000_000).saturating_mul(1_000_000))
}

pub(super) fn micros(time: i64) -> String {
    instant(time).to_rfc3339_opts(SecondsFormat::Micros, true)
}
