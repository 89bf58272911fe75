//! One element of `transactions` in the report: its shape for a row.
//!
//! Kinds and statuses are the words of `begateway_dwh`: one platform, one vocabulary.

use chrono::SecondsFormat;

use crate::begateway_dwh::item::{self as dwh, Extras};
use crate::clock::instant;
use crate::facts::{Facts, Method};
use crate::json::Json;
use crate::world::{Row, World};

/// The shop of the one credential that there is.
pub(crate) const SHOP: u64 = 363;

/// The integer identifier that pages go by.
pub(crate) fn number(row: &Row) -> u64 {
    row.number.saturating_add(28_859)
}

/// The provider's identifier: a UUID, or the older form on some rows.
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

pub(crate) fn method(facts: &Facts) -> &'static str {
    method_name(matches!(facts.method, Method::Account(..)))
}

pub(crate) fn method_name(has_account: bool) -> &'static str {
    if has_account {
        "alternative"
    } else {
        "credit_card"
    }
}

pub(crate) fn write(json: &mut Json, world: &World, row: &Row) {
    let facts = Facts::of(row);
    let extras = Extras::of(row, &facts);
    json.open('{');
    person(json, &facts);
    payment(json, row, &facts, &extras);
    if let Method::Card(card) = &facts.method {
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
    if let Some(parent) = world.parent(row) {
        json.text("parent_uid", &uid(parent));
    }
    json.text("payment_method_type", method(&facts));
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
    json.text_or_null("description", facts.description.as_deref());
    json.text_or_null("tracking_id", facts.reference.as_deref());
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

fn person(json: &mut Json, facts: &Facts) {
    json.open_at("billing_address", '{');
    json.text("first_name", facts.first_name);
    json.text("last_name", facts.last_name);
    json.null("address");
    json.text("country", facts.country);
    json.close('}');
    json.open_at("customer", '{');
    json.text_or_null("ip", facts.ip.as_deref());
    json.text_or_null("email", facts.email.as_deref());
    json.close('}');
}

fn payment(json: &mut Json, row: &Row, facts: &Facts, extras: &Extras) {
    json.open_at("payment", '{');
    json.number("gateway_id", facts.gateway);
    json.text_or_null("ref_id", facts.acquirer_reference.as_deref());
    json.text_or_null("message", extras.message);
    json.text("status", dwh::status(row));
    json.text("gateway_name", "Demo");
    json.text_or_null("auth_code", facts.auth_code.as_deref());
    json.text_or_null("bank_code", extras.bank_code);
    json.text_or_null("rrn", facts.rrn.as_deref());
    json.null("billing_descriptor");
    json.close('}');
}

/// Whole seconds, as in the page's example.
fn time(micros: i64) -> String {
    instant(micros).to_rfc3339_opts(SecondsFormat::Secs, true)
}
