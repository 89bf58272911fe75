//! What snapshots hold: requests, pages and transactions as text that is read by eye.

use std::fmt::Write;

use bigdecimal::BigDecimal;
use chrono::SecondsFormat;
use paysync_provider::model::{Field, Transaction};
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
    let mut lines = format!("{:?}\n", row.provider_transaction_id);
    for column in Transaction::COLUMNS {
        let value = match column.field {
            Field::Text { .. } if column.name == "provider_transaction_id" => None,
            Field::Text { get, .. } if ["kind", "status"].contains(&column.name) => {
                get(row).map(str::to_owned)
            }
            Field::Text { get, .. } => get(row).map(|text| format!("{text:?}")),
            Field::Numeric { get, .. } => get(row).map(BigDecimal::to_plain_string),
            Field::Timestamptz { get, .. } => {
                get(row).map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
            Field::Boolean { get, .. } => get(row).map(|flag| flag.to_string()),
        };
        if let Some(value) = value {
            writeln!(lines, "  {}: {value}", column.name).unwrap();
        }
    }
    lines
}
