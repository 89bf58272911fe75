//! ConvergeGate's rows in paysync's words.
//!
//! - A `parentPaymentId` equal to the own id is no parent; the group is the parent or the row.
//! - `customerAmount` is the converted amount, `externalFeeAmount` the fee.
//! - `terminalName` is the provider's reference and the gateway; there is no shop.
//! - `updated_at`, `paid_at` and `settled_at` are null: the items don't have them.
//! - `card_bin` is what stands before the mask: six or eight digits.

use super::{LedgerRow, seconds};
use crate::convergegate::item::{self, Extras};
use crate::facts::{Facts, filled};
use crate::world::{Row, World};

pub(super) fn line(shared: LedgerRow, world: &World, row: &Row, facts: &Facts) -> LedgerRow {
    let extras = Extras::of(row, facts);
    let id = item::id(row);
    let parent = world.parent(row).map(item::id);
    let card = facts.card();
    LedgerRow {
        payment_group_id: Some(parent.clone().unwrap_or_else(|| id.clone())),
        parent_transaction_id: parent,
        provider_transaction_id: id,
        merchant_reference: facts.reference.clone(),
        provider_kind: item::kind(row).to_owned(),
        provider_status: item::state(row).to_owned(),
        converted_amount: extras.customer_amount.map(|(amount, _)| amount.canonical()),
        converted_currency: extras.customer_amount.map(|(_, code)| code.to_owned()),
        fee: extras.fee.map(|(amount, _)| amount.canonical()),
        fee_currency: extras.fee.map(|(_, code)| code.to_owned()),
        created_at: Some(seconds(row.created)),
        payment_method: extras.method.map(str::to_owned),
        card_brand: card.map(|card| card.brand.to_uppercase()),
        card_bin: card.map(|card| item::shown_bin(card, facts)),
        card_last4: card.map(|card| card.last_4.clone()),
        card_issuer_country: card.map(|card| card.country.to_owned()),
        customer_id: facts.customer_id.clone(),
        customer_email: facts.email.clone(),
        error_code: extras.error.map(|(code, _)| code.to_owned()),
        error_message: extras.error.map(|(_, message)| message.to_owned()),
        provider_reference: filled(extras.terminal.clone()),
        gateway: filled(extras.terminal),
        ..shared
    }
}
