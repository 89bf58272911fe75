//! An item of `transactions` in the report: the JSON of a row.
//!
//! The vocabulary is that of `begateway_dwh`, which is the same platform.

use chrono::SecondsFormat;

use crate::clock::instant;
use crate::merchants::details::{Details, Method};
use crate::merchants::row::Row;
use crate::merchants::table::Table;
use crate::providers::begateway_dwh::item::{self as dwh, Extras};
use crate::providers::json::Json;

/// The shop of the only credential.
pub(crate) const SHOP: u64 = 363;

/// The integer id that pages follow.
pub(crate) fn number(row: &Row) -> u64 {
    row.number.saturating_add(28_859)
}

/// The provider's id: a UUID, or the older format for some rows.
pub(crate) fn uid(row: &Row) -> String {
    if row.number.is_multiple_of(10) {
        format!("{}-{:010x}", number(row), row.salt >> 24)
    } else {
        dwh::uid(row)
    }
}

/// Shared by the rows of one payment.
pub(crate) fn order_id(row: &Row) -> u64 {
    row.family >> 16
}

pub(crate) fn method(details: &Details) -> &'static str {
    method_name(matches!(details.method, Method::Account(..)))
}

pub(crate) fn method_name(has_account: bool) -> &'static str {
    if has_account {
        "alternative"
    } else {
        "credit_card"
    }
}

pub(crate) fn write(json: &mut Json, table: &Table, row: &Row) {
    let details = Details::of(row);
    let extras = Extras::of(row, &details);
    json.open('{');
    person(json, &details);
    payment(json, row, &details, &extras);
    if let Method::Card(card) = &details.method {
        json.open_at("credit_card", '{');
        json.text("holder", card.holder);
        json.text("token", &format!("{:064x}", row.family));
        json.text_or_null("brand", extras.brand.then_some(card.brand));
        json.text("last_4", &card.last_4);
        json.text("first_1", &card.bin.chars().take(1).collect::<String>());
        json.text("bin", &card.bin);
        json.text("issuer_country", card.country);
        json.null("issuer_name");
        json.number("exp_month", card.month);
        json.number("exp_year", card.year);
        json.text("product", &card.brand.to_uppercase());
        json.close('}');
    }
    json.open_at("shop", '{');
    json.number("id", SHOP);
    json.close('}');
    json.text("gateway_note", "");
    json.text("uid", &uid(row));
    json.number("id", number(row));
    if let Some(parent) = table.parent(row) {
        json.text("parent_uid", &uid(parent));
    }
    json.text("payment_method_type", method(&details));
    json.text("status", dwh::status(row));
    json.text_or_null("message", extras.message);
    json.number("amount", row.amount.digits);
    for name in [
        "discount_rate",
        "transaction_rate",
        "pay_to_merchant",
        "transaction_fee",
    ] {
        json.raw(name, "0.0");
    }
    json.flag("test", row.test);
    json.text("currency", row.currency.code);
    json.text_or_null("description", details.description.as_deref());
    json.text_or_null("tracking_id", details.reference.as_deref());
    json.text("type", dwh::kind(row));
    json.number("order_id", order_id(row));
    json.text("created_at", &time(row.created));
    for (name, at) in [
        ("paid_at", row.paid),
        ("settled_at", row.settled),
        ("manually_corrected_at", row.corrected),
    ] {
        json.text_or_null(name, at.map(time).as_deref());
    }
    json.close('}');
}

fn person(json: &mut Json, details: &Details) {
    json.open_at("billing_address", '{');
    json.text("first_name", details.first_name);
    json.text("last_name", details.last_name);
    json.null("address");
    json.text("country", details.country);
    json.close('}');
    json.open_at("customer", '{');
    json.text_or_null("ip", details.ip.as_deref());
    json.text_or_null("email", details.email.as_deref());
    json.close('}');
}

fn payment(json: &mut Json, row: &Row, details: &Details, extras: &Extras) {
    json.open_at("payment", '{');
    json.number("gateway_id", details.gateway);
    json.text_or_null("ref_id", details.acquirer_reference.as_deref());
    json.text_or_null("message", extras.message);
    json.text("status", dwh::status(row));
    json.text("gateway_name", "Demo");
    json.text_or_null("auth_code", details.auth_code.as_deref());
    json.text_or_null("bank_code", extras.bank_code);
    json.text_or_null("rrn", details.rrn.as_deref());
    json.null("billing_descriptor");
    json.close('}');
}

/// Whole seconds, as in the documentation's example.
fn time(micros: i64) -> String {
    instant(micros).to_rfc3339_opts(SecondsFormat::Secs, true)
}
