//! beGateway's rows in the ledger.
//!
//! DWH:
//! - the group is `parent_uid`, else the row's uid: the parent, not the root of a chain;
//! - `shop.id` (or the flat `shop_id`) is the shop, `gateway.id` as text the gateway,
//!   `provider_raw.ref_id` the provider's reference;
//! - the method is `method.type`, or `credit_card` for a card without a type;
//! - `card_bin` is `bin_8`, else `bin`; the brand is `credit_card.brand` alone;
//! - `converted_amount` has the decimals of `converted_currency`, by beGateway's own table;
//! - `paid_at` is as sent, on failed rows too.
//!
//! Report:
//! - the group is `order_id`; the parent is `parent_uid`, which capture, void, refund and
//!   chargeback rows have at the top level (undocumented);
//! - `updated_at` is `manually_corrected_at`, else null; times are whole seconds;
//! - the brand is `credit_card.brand`, else `credit_card.product`; the bin has six digits;
//! - error code and message are `payment.bank_code` and the row's own `message`;
//! - the gateway is `payment.gateway_id` as text, the provider's reference `payment.ref_id`;
//! - the fee is `transaction_fee` as written, in the row's currency (its unit is undocumented);
//!   it is `0.0` for every row.

use super::row::{LedgerRow, micros, seconds};
use crate::merchants::details::{Details, Method};
use crate::merchants::row::Row;
use crate::merchants::table::Table;
use crate::providers::begateway_dwh::item::{self, Extras};
use crate::providers::begateway_report::item as report_item;

pub(super) fn dwh(shared: LedgerRow, table: &Table, row: &Row, details: &Details) -> LedgerRow {
    let extras = Extras::of(row, details);
    let uid = item::uid(row);
    let parent = table.parent(row).map(item::uid);
    let card = details.card();
    let text = |text: Option<&str>| text.map(str::to_owned);
    LedgerRow {
        payment_group_id: Some(parent.clone().unwrap_or_else(|| uid.clone())),
        parent_transaction_id: parent,
        provider_transaction_id: uid,
        merchant_reference: details.reference.clone(),
        shop_id: Some(details.shop.to_string()),
        provider_kind: item::kind(row).to_owned(),
        provider_status: item::status(row).to_owned(),
        converted_amount: extras.converted.map(|(amount, _)| amount.canonical()),
        converted_currency: text(extras.converted.map(|(_, currency)| currency.code)),
        created_at: Some(micros(row.created)),
        updated_at: Some(micros(row.updated)),
        paid_at: row.paid.map(micros),
        settled_at: row.settled.map(micros),
        payment_method: match &details.method {
            Method::Card(_) => Some("credit_card".to_owned()),
            Method::Account(name, _) => Some((*name).to_owned()),
            Method::Nothing => None,
        },
        card_brand: card
            .filter(|_| extras.brand)
            .map(|card| card.brand.to_owned()),
        card_bin: card.map(|card| {
            if extras.eight_digits {
                card.bin_8.clone()
            } else {
                card.bin.clone()
            }
        }),
        card_last4: card.map(|card| card.last_4.clone()),
        card_issuer_country: card.map(|card| card.country.to_owned()),
        customer_id: details.customer_id.clone(),
        customer_email: details.email.clone(),
        customer_ip: details.ip.clone(),
        error_code: text(extras.code.filter(|_| row.phase.is_unsuccessful())),
        error_message: text(extras.message.filter(|_| row.phase.is_unsuccessful())),
        rrn: details.rrn.clone(),
        auth_code: details.auth_code.clone(),
        provider_reference: details.acquirer_reference.clone(),
        gateway: Some(details.gateway.to_string()),
        is_test: Some(row.test.to_string()),
        ..shared
    }
}

pub(super) fn report(shared: LedgerRow, table: &Table, row: &Row, details: &Details) -> LedgerRow {
    let extras = Extras::of(row, details);
    let card = details.card();
    let text = |text: Option<&str>| text.map(str::to_owned);
    let bank_code = extras.bank_code.filter(|code| !code.is_empty());
    LedgerRow {
        provider_transaction_id: report_item::uid(row),
        parent_transaction_id: table.parent(row).map(report_item::uid),
        payment_group_id: Some(report_item::order_id(row).to_string()),
        merchant_reference: details.reference.clone(),
        shop_id: Some(report_item::SHOP.to_string()),
        provider_kind: item::kind(row).to_owned(),
        provider_status: item::status(row).to_owned(),
        fee: Some("0".to_owned()),
        fee_currency: shared.currency.clone(),
        created_at: Some(seconds(row.created)),
        updated_at: row.corrected.map(seconds),
        paid_at: row.paid.map(seconds),
        settled_at: row.settled.map(seconds),
        payment_method: text(Some(report_item::method(details))),
        card_brand: card.map(|card| {
            if extras.brand {
                card.brand.to_owned()
            } else {
                card.brand.to_uppercase()
            }
        }),
        card_bin: card.map(|card| card.bin.clone()),
        card_last4: card.map(|card| card.last_4.clone()),
        card_issuer_country: card.map(|card| card.country.to_owned()),
        customer_email: details.email.clone(),
        customer_ip: details.ip.clone(),
        error_code: text(bank_code.filter(|_| row.phase.is_unsuccessful())),
        error_message: text(extras.message.filter(|_| row.phase.is_unsuccessful())),
        rrn: details.rrn.clone(),
        auth_code: details.auth_code.clone(),
        provider_reference: details.acquirer_reference.clone(),
        gateway: Some(details.gateway.to_string()),
        is_test: Some(row.test.to_string()),
        ..shared
    }
}
