//! ConvergeGate's rows in the ledger.
//!
//! - A `parentPaymentId` equal to the row's id is not a parent; the group is the parent's id or the row's.
//! - `customerAmount` is the converted amount, `externalFeeAmount` the fee.
//! - `terminalName` is the provider's reference and the gateway; there is no shop.
//! - `updated_at`, `paid_at` and `settled_at` are null: items do not contain them.
//! - `card_bin` is the digits before the mask: six or eight.

use super::row::{LedgerRow, seconds};
use crate::merchants::details::{Details, non_empty};
use crate::merchants::row::Row;
use crate::merchants::table::Table;
use crate::providers::convergegate::item::{self, Extras};

pub(super) fn line(shared: LedgerRow, table: &Table, row: &Row, details: &Details) -> LedgerRow {
    let extras = Extras::of(row, details);
    let id = item::id(row);
    let parent = table.parent(row).map(item::id);
    let card = details.card();
    LedgerRow {
        payment_group_id: Some(parent.clone().unwrap_or_else(|| id.clone())),
        parent_transaction_id: parent,
        provider_transaction_id: id,
        merchant_reference: details.reference.clone(),
        provider_kind: item::kind(row).to_owned(),
        provider_status: item::state(row).to_owned(),
        converted_amount: extras.customer_amount.map(|(amount, _)| amount.canonical()),
        converted_currency: extras.customer_amount.map(|(_, code)| code.to_owned()),
        fee: extras.fee.map(|(amount, _)| amount.canonical()),
        fee_currency: extras.fee.map(|(_, code)| code.to_owned()),
        created_at: Some(seconds(row.created)),
        payment_method: extras.method.map(str::to_owned),
        card_brand: card.map(|card| card.brand.to_uppercase()),
        card_bin: card.map(|card| item::shown_bin(card, details)),
        card_last4: card.map(|card| card.last_4.clone()),
        card_issuer_country: card.map(|card| card.country.to_owned()),
        customer_id: details.customer_id.clone(),
        customer_email: details.email.clone(),
        error_code: extras.error.map(|(code, _)| code.to_owned()),
        error_message: extras.error.map(|(_, message)| message.to_owned()),
        provider_reference: non_empty(extras.terminal.clone()),
        gateway: non_empty(extras.terminal),
        ..shared
    }
}
