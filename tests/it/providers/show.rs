//! What snapshots hold: requests, pages and transactions as text that is read by eye.

use std::fmt::Write;

use bigdecimal::BigDecimal;
use chrono::{DateTime, SecondsFormat, Utc};
use paysync_provider::model::Transaction;
use paysync_provider::{Page, RecordError, Request, Spec};
use serde_json::Value;

/// A spec, a line per stream.
pub(super) fn spec(spec: &Spec) -> String {
    let mut text = format!(
        "documentation: {}\nauth: {:?}\ncredentials: {:?}, optional {:?}\npage size: {}, at most {}\nrequests per minute: {}, timeout {:?}, after a 429 {:?}\n",
        spec.documentation,
        spec.auth,
        spec.credentials,
        spec.optional_credentials,
        spec.page_size,
        spec.max_page_size,
        spec.requests_per_minute,
        spec.timeout,
        spec.retry_after_floor,
    );
    for stream in &spec.streams {
        writeln!(
            text,
            "{}: {}, {:?}, axis {:?}, unit {}, slack {}, window {}, lag {}, overlap {}, short page ends: {}",
            stream.name,
            stream.role.as_str(),
            stream.paging,
            stream.axis.map(|shown| shown.axis),
            stream.unit,
            stream.slack,
            stream.max_window,
            stream.lag,
            stream.overlap,
            stream.short_page_ends,
        )
        .unwrap();
        for (lane, tiers) in [
            ("rescan", &stream.rescan),
            ("repoll", &stream.repoll),
            ("audit", &stream.audit),
        ] {
            for tier in tiers {
                writeln!(text, "  {lane} within {} every {}", tier.within, tier.every).unwrap();
            }
        }
    }
    text
}

/// A request: line, query, headers, body with its keys in order.
pub(super) fn request(request: &Request) -> String {
    let mut text = format!("{} {}\n", request.method.as_str(), request.path);
    for (name, value) in &request.query {
        writeln!(text, "  {name} = {value}").unwrap();
    }
    for (name, value) in &request.headers {
        writeln!(text, "{name}: {value}").unwrap();
    }
    if let Some(body) = &request.body {
        let body: Value = serde_json::from_str(body).unwrap();
        writeln!(text, "{}", serde_json::to_string_pretty(&body).unwrap()).unwrap();
    }
    text
}

/// A page's envelope.
pub(super) fn page(page: &Page<'_>) -> String {
    format!(
        "items: {}, next: {:?}, count: {:?}\n",
        page.items.len(),
        page.next,
        page.count
    )
}

/// A transaction's columns that hold something, or why there is none.
pub(super) fn outcome(outcome: &Result<Transaction, RecordError>) -> String {
    match outcome {
        Ok(row) => transaction(row),
        Err(error) => format!("quarantine: {} ({error})\n", error.reason()),
    }
}

/// Dotted paths of the values inside a JSON document; lists count as values.
pub(super) fn paths(value: &Value) -> Vec<String> {
    let Value::Object(fields) = value else {
        return Vec::new();
    };
    fields
        .iter()
        .flat_map(|(name, value)| {
            if value.is_object() {
                let inner = paths(value);
                inner.iter().map(|path| format!("{name}.{path}")).collect()
            } else {
                vec![name.clone()]
            }
        })
        .collect()
}

fn transaction(row: &Transaction) -> String {
    let text = |value: &Option<String>| value.as_ref().map(|text| format!("{text:?}"));
    let amount = |value: &Option<BigDecimal>| value.as_ref().map(BigDecimal::to_plain_string);
    let time = |value: &Option<DateTime<Utc>>| {
        value.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    };
    // Taken apart by name, so that a new column is not forgotten here.
    let Transaction {
        provider_transaction_id,
        parent_transaction_id,
        payment_group_id,
        merchant_reference,
        shop_id,
        kind,
        provider_kind,
        status,
        provider_status,
        amount: amount_,
        currency,
        paid_amount,
        converted_amount,
        converted_currency,
        fee,
        fee_currency,
        created_at,
        updated_at,
        paid_at,
        settled_at,
        payment_method,
        card_brand,
        card_bin,
        card_last4,
        card_issuer_country,
        customer_id,
        customer_email,
        customer_ip,
        error_code,
        error_message,
        rrn,
        arn,
        auth_code,
        provider_reference,
        gateway,
        description,
        is_test,
    } = row;
    let columns = [
        ("parent_transaction_id", text(parent_transaction_id)),
        ("payment_group_id", text(payment_group_id)),
        ("merchant_reference", text(merchant_reference)),
        ("shop_id", text(shop_id)),
        ("kind", Some(kind.to_string())),
        ("provider_kind", text(provider_kind)),
        ("status", Some(status.to_string())),
        ("provider_status", text(provider_status)),
        ("amount", amount(amount_)),
        ("currency", text(currency)),
        ("paid_amount", amount(paid_amount)),
        ("converted_amount", amount(converted_amount)),
        ("converted_currency", text(converted_currency)),
        ("fee", amount(fee)),
        ("fee_currency", text(fee_currency)),
        ("created_at", time(created_at)),
        ("updated_at", time(updated_at)),
        ("paid_at", time(paid_at)),
        ("settled_at", time(settled_at)),
        ("payment_method", text(payment_method)),
        ("card_brand", text(card_brand)),
        ("card_bin", text(card_bin)),
        ("card_last4", text(card_last4)),
        ("card_issuer_country", text(card_issuer_country)),
        ("customer_id", text(customer_id)),
        ("customer_email", text(customer_email)),
        ("customer_ip", text(customer_ip)),
        ("error_code", text(error_code)),
        ("error_message", text(error_message)),
        ("rrn", text(rrn)),
        ("arn", text(arn)),
        ("auth_code", text(auth_code)),
        ("provider_reference", text(provider_reference)),
        ("gateway", text(gateway)),
        ("description", text(description)),
        ("is_test", is_test.map(|test| test.to_string())),
    ];
    let mut lines = format!("{provider_transaction_id:?}\n");
    for (name, value) in columns {
        if let Some(value) = value {
            writeln!(lines, "  {name}: {value}").unwrap();
        }
    }
    lines
}
