//! ECommPay's operations in the ledger, as if all fields had been requested.
//!
//! - The group is `project_id:payment_id`, the merchant's reference `payment_id`, the shop
//!   `project_id`; operations name no parent.
//! - `updated_at` is `operation_completed_at`, null where that is empty (pending rows and some
//!   that have ended); `paid_at` is `provider_date` on succeeded rows only; `settled_at` is
//!   `shipment_date`. All in whole seconds.
//! - The converted amount is `sum_converted` as sent, also where it equals `sum_initial`.
//! - The method is `payment_method_name`; the brand is `payment_method_type` of card rows only.

use super::row::{LedgerRow, seconds};
use crate::merchants::details::Details;
use crate::merchants::row::{Phase, Row};
use crate::providers::ecommpay::item::{self, Extras};

pub(super) fn line(shared: LedgerRow, row: &Row, details: &Details) -> LedgerRow {
    let extras = Extras::of(row, details);
    let card = details.card();
    let payment_id = item::payment_id(row, details);
    let (converted, converted_currency) = extras.converted;
    let text = |text: Option<&str>| text.map(str::to_owned);
    LedgerRow {
        provider_transaction_id: item::id(row),
        payment_group_id: Some(format!("{}:{payment_id}", details.merchant)),
        merchant_reference: Some(payment_id),
        shop_id: Some(details.merchant.to_string()),
        provider_kind: item::kind(row).to_owned(),
        provider_status: item::status(row).to_owned(),
        converted_amount: Some(converted.canonical()),
        converted_currency: text(Some(converted_currency.code)),
        created_at: Some(seconds(row.created)),
        updated_at: extras.completed.map(seconds),
        paid_at: row
            .paid
            .filter(|_| row.phase == Phase::Succeeded)
            .map(seconds),
        settled_at: row.settled.map(seconds),
        payment_method: text(extras.method),
        card_brand: card.map(|card| card.brand.to_owned()),
        card_bin: card.map(|card| card.bin.clone()),
        card_last4: card.map(|card| card.last_4.clone()),
        card_issuer_country: card.map(|card| card.country.to_owned()),
        customer_id: details.customer_id.clone(),
        customer_email: details.email.clone(),
        customer_ip: details.ip.clone(),
        error_code: text(extras.code.filter(|_| row.phase.is_unsuccessful())),
        error_message: text(extras.message.filter(|_| row.phase.is_unsuccessful())),
        rrn: details.rrn.clone(),
        arn: details.arn.clone(),
        auth_code: details.auth_code.clone(),
        provider_reference: details.acquirer_reference.clone(),
        ..shared
    }
}
