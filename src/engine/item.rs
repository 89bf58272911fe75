//! One item of a page: redacted, hashed, normalized, or put aside with the reason.

use std::borrow::Cow;

use serde_json::value::RawValue;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::account::Stream;
use super::redact::redact;
use crate::model::{Transaction, Window};
use crate::provider::{Axis, Provider, Redaction, Response};
use crate::store::page::{Quarantined, Record};

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
        let redacted = redact(item.get(), rules);
        sorted.masked += u64::from(redacted.masked);
        let hash = Uuid::from_u128(xxh3_128(redacted.text.as_bytes()));
        let made = if redacted.depth > MAX_DEPTH {
            Err((
                "nested_too_deep",
                format!("more than {MAX_DEPTH} levels of nesting"),
            ))
        } else if response.lossy && redacted.text.contains('\u{fffd}') {
            Err(("invalid_utf8", "bytes that are not UTF-8".to_owned()))
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
        match made {
            Ok(transaction) => sorted.records.push(Record {
                transaction,
                payload: redacted.text,
                hash,
            }),
            Err((reason, detail)) => sorted.quarantined.push(Quarantined {
                provider_transaction_id: None,
                reason,
                detail,
                payload: redacted.text,
                hash,
            }),
        }
    }
    sorted
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
