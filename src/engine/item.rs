//! One item of a page: redacted, hashed, and read if it is news; or put aside with the reason.

use std::borrow::Cow;
use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::redact::redact_and_find;
use crate::model::{Transaction, Window};
use crate::provider::{Axis, Provider, Shown, Spec, StreamSpec, wire};
use crate::store::page::{Item, Quarantined, Record};
use crate::store::quarantine::INVALID_UTF8;

/// Deeper nesting is an attack or a defect.
const MAX_DEPTH: u32 = 128;

/// What the items of one page have in common.
#[derive(Clone, Copy)]
pub(crate) struct ItemContext<'r> {
    pub(crate) provider: &'r dyn Provider,
    pub(crate) spec: &'r Spec,
    /// The time that the window filters.
    pub(crate) axis: Option<Shown>,
    /// Whether some bytes of the answer were no UTF-8.
    pub(crate) lossy: bool,
    /// What is told of them.
    pub(crate) notes: &'r Notes<'r>,
}

/// What reading items leaves behind.
#[derive(Default)]
pub(crate) struct Notes<'r> {
    /// Told of each transaction that was read.
    read: Option<&'r (dyn Fn(&Transaction) + Sync)>,
    /// Why the first item was put aside.
    why: OnceLock<String>,
}

impl<'r> Notes<'r> {
    /// Notes that tell this function of each transaction that was read.
    pub(crate) fn telling(read: &'r (dyn Fn(&Transaction) + Sync)) -> Self {
        Self {
            read: Some(read),
            why: OnceLock::new(),
        }
    }

    /// Why the first item was put aside.
    pub(crate) fn why(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }
}

/// An item whose row has a name. Its meaning is read only if it is news.
pub(crate) struct Sent<'a, 'r> {
    id: String,
    /// Its time on the stream's axis, if it shows one.
    time: Option<DateTime<Utc>>,
    payload: Cow<'a, str>,
    hash: Uuid,
    context: ItemContext<'r>,
}

/// The items of a page, sorted out.
#[derive(Default)]
pub(crate) struct Sorted<'a, 'r> {
    pub(crate) items: Vec<Sent<'a, 'r>>,
    pub(crate) quarantined: Vec<Quarantined<'a>>,
}

/// Sorts the items of a page. Nothing of an item is stored or hashed before it is redacted.
pub(crate) fn sort_out<'a, 'r>(context: ItemContext<'r>, items: &[&'a RawValue]) -> Sorted<'a, 'r> {
    let mut sorted = Sorted {
        items: Vec::with_capacity(items.len()),
        ..Sorted::default()
    };
    for raw in items {
        match look_at(context, raw.get()) {
            Ok(item) => sorted.items.push(item),
            Err(bad) => sorted.quarantined.push(bad),
        }
    }
    sorted
}

/// Makes a record of an item, or says why it can be none. `lossy`: some bytes of what it came in were
/// no UTF-8.
pub(super) fn record<'a>(
    provider: &dyn Provider,
    spec: &Spec,
    item: &'a str,
    lossy: bool,
) -> Result<Record<'a>, Quarantined<'a>> {
    let context = ItemContext {
        provider,
        spec,
        axis: None,
        lossy,
        notes: &Notes::default(),
    };
    look_at(context, item)?.read()
}

/// Redacts and hashes an item, and finds its name and its time; most items are known already, and no
/// more of them is read.
fn look_at<'a, 'r>(
    context: ItemContext<'r>,
    item: &'a str,
) -> Result<Sent<'a, 'r>, Quarantined<'a>> {
    let Spec {
        redaction, id_key, ..
    } = context.spec;
    let time_key = context.axis.map_or("", |shown| shown.key);
    let redacted = redact_and_find(item, redaction, [id_key, time_key]);
    let broken = context.lossy && redacted.text.contains('\u{fffd}');
    let [id, time] = redacted.members;
    let mut item = Sent {
        id: id.and_then(wire::text_of).unwrap_or_default(),
        time: context.axis.and_then(|shown| {
            let text = wire::text_of(time?)?;
            wire::parse_instant(&text, shown.zone)
        }),
        hash: Uuid::from_u128(xxh3_128(redacted.text.as_bytes())),
        payload: redacted.text,
        context,
    };
    if redacted.depth > MAX_DEPTH {
        let detail = format!("more than {MAX_DEPTH} levels of nesting");
        return Err(item.put_aside("nested_too_deep", detail));
    }
    if broken {
        // An id with broken bytes is the id of nothing.
        if item.id.contains('\u{fffd}') {
            item.id.clear();
        }
        let detail = "bytes that are not UTF-8".to_owned();
        return Err(item.put_aside(INVALID_UTF8, detail));
    }
    if item.id.is_empty() {
        match item.normalize() {
            Ok(transaction) => item.id = transaction.provider_transaction_id,
            Err((reason, detail)) => return Err(item.put_aside(reason, detail)),
        }
    }
    Ok(item)
}

impl<'a> Sent<'a, '_> {
    fn normalize(&self) -> Result<Transaction, (&'static str, String)> {
        let made = self.context.provider.normalize(&self.payload);
        made.map_err(|error| (error.reason(), error.to_string()))
    }

    fn put_aside(self, reason: &'static str, detail: String) -> Quarantined<'a> {
        self.context.notes.why.get_or_init(|| detail.clone());
        Quarantined {
            provider_transaction_id: (!self.id.is_empty()).then_some(self.id),
            reason,
            detail,
            payload: self.payload,
            hash: self.hash,
        }
    }
}

impl<'a> Item<'a> for Sent<'a, '_> {
    fn id(&self) -> &str {
        &self.id
    }

    fn hash(&self) -> Uuid {
        self.hash
    }

    fn read(self) -> Result<Record<'a>, Quarantined<'a>> {
        let transaction = match self.normalize() {
            Ok(transaction) => transaction,
            Err((reason, detail)) => return Err(self.put_aside(reason, detail)),
        };
        if let Some(note) = self.context.notes.read {
            note(&transaction);
        }
        Ok(Record {
            transaction,
            payload: self.payload,
            hash: self.hash,
        })
    }
}

/// How many items show a time on the stream's axis, and how many of these times lie outside the
/// window, beyond what the widened request may rightly bring.
pub(crate) fn outside(stream: &StreamSpec, window: Window, items: &[Sent<'_, '_>]) -> (u64, u64) {
    let Some(shown) = stream.axis else {
        return (0, 0);
    };
    let right = (window.start() - stream.slack)..=(window.end() + stream.slack);
    let is_outside = |item: &Sent<'_, '_>| match item.time {
        Some(time) => Some(!right.contains(&time)),
        // A row that was never corrected has no place among corrections.
        None => (shown.axis == Axis::Corrected).then_some(true),
    };
    items
        .iter()
        .filter_map(is_outside)
        .fold((0, 0), |(shown, outside), is_outside| {
            (shown + 1, outside + u64::from(is_outside))
        })
}
