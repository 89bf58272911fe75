//! One item of a page: redacted, hashed, normalized, or put aside with the reason.

use std::borrow::Cow;

use serde_json::value::RawValue;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::account::Stream;
use super::redact::redact;
use crate::model::{Transaction, Window};
use crate::provider::{Axis, Provider, Redaction, Response, wire};
use crate::store::page::{Quarantined, Record};
use crate::store::quarantine::INVALID_UTF8;

/// Deeper nesting is an attack or a defect.
const MAX_DEPTH: u32 = 128;

/// The items of a page, sorted out.
#[derive(Debug, Default)]
pub(crate) struct Sorted<'a> {
    pub(crate) records: Vec<Record<'a>>,
    pub(crate) quarantined: Vec<Quarantined<'a>>,
    /// Card numbers cut.
    pub(crate) masked: u64,
}

/// Makes records of items. Nothing of an item is stored or hashed before it is redacted.
pub(crate) fn sort_out<'a>(
    provider: &dyn Provider,
    rules: &Redaction,
    response: &'a Response,
    items: &[&'a RawValue],
) -> Sorted<'a> {
    let mut sorted = Sorted {
        records: Vec::with_capacity(items.len()),
        ..Sorted::default()
    };
    for item in items {
        let (made, masked) = record(provider, rules, item, response.lossy);
        sorted.masked += u64::from(masked);
        match made {
            Ok(record) => sorted.records.push(record),
            Err(bad) => sorted.quarantined.push(bad),
        }
    }
    sorted
}

/// Makes a record of an item, or says why it can be none; and how many card numbers were cut.
/// `lossy`: some bytes of what it came in were no UTF-8.
pub(super) fn record<'a>(
    provider: &dyn Provider,
    rules: &Redaction,
    item: &'a RawValue,
    lossy: bool,
) -> (Result<Record<'a>, Quarantined<'a>>, u32) {
    let redacted = redact(item.get(), rules);
    let hash = Uuid::from_u128(xxh3_128(redacted.text.as_bytes()));
    let broken = lossy && redacted.text.contains('\u{fffd}');
    let made = if redacted.depth > MAX_DEPTH {
        Err((
            "nested_too_deep",
            format!("more than {MAX_DEPTH} levels of nesting"),
        ))
    } else if broken {
        Err((INVALID_UTF8, "bytes that are not UTF-8".to_owned()))
    } else {
        normalize(
            provider,
            item,
            match &redacted.text {
                Cow::Borrowed(_) => None,
                Cow::Owned(text) => Some(text.as_str()),
            },
        )
    };
    let payload = redacted.text;
    let made = match made {
        Ok(transaction) => Ok(Record {
            transaction,
            payload,
            hash,
        }),
        Err((reason, detail)) => Err(Quarantined {
            // An id with broken bytes is the id of nothing.
            provider_transaction_id: wire::member(item, provider.spec().id_key)
                .filter(|id| !(broken && id.contains('\u{fffd}'))),
            reason,
            detail,
            payload,
            hash,
        }),
    };
    (made, redacted.masked)
}

/// The time of a transaction on a stream's axis.
pub(crate) fn time_on(
    axis: Axis,
    transaction: &Transaction,
) -> Option<chrono::DateTime<chrono::Utc>> {
    match axis {
        Axis::Created => transaction.created_at,
        Axis::Updated | Axis::Corrected => transaction.updated_at,
        Axis::Paid => transaction.paid_at,
        Axis::Settled => transaction.settled_at,
    }
}

fn normalize(
    provider: &dyn Provider,
    item: &RawValue,
    redacted: Option<&str>,
) -> Result<Transaction, (&'static str, String)> {
    let made = match redacted {
        None => provider.normalize(item),
        Some(text) => match serde_json::from_str::<&RawValue>(text) {
            Ok(item) => provider.normalize(item),
            Err(error) => {
                return Err((
                    "unreadable_item",
                    format!("not JSON after redaction: {error}"),
                ));
            }
        },
    };
    made.map_err(|error| (error.reason(), error.to_string()))
}

/// How many rows show a time on the stream's axis, and how many of these times lie outside the
/// window, beyond what the widened request may rightly bring.
pub(crate) fn outside(stream: &Stream, window: Window, records: &[Record<'_>]) -> (u64, u64) {
    let Some(axis) = stream.spec.axis else {
        return (0, 0);
    };
    let slack = stream.spec.slack;
    let right = (window.start() - slack)..=(window.end() + slack);
    let is_outside = |record: &Record<'_>| match time_on(axis, &record.transaction) {
        Some(time) => Some(!right.contains(&time)),
        // A row that was never corrected has no place among corrections.
        None => (axis == Axis::Corrected).then_some(true),
    };
    records
        .iter()
        .filter_map(is_outside)
        .fold((0, 0), |(shown, outside), is_outside| {
            (shown + 1, outside + u64::from(is_outside))
        })
}
