//! One item of a page: redacted, hashed, and read if it is news; or put aside with the reason.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::store::page::{Item, Quarantined, Record};
use crate::store::quarantine::INVALID_UTF8;
use paysync_provider::model::Transaction;
use paysync_provider::redact::{RedactionCounts, Rules, redact_and_extract};
use paysync_provider::{Axis, Provider, Spec, TimeField, wire};

/// Deeper nesting is an attack or a defect.
const MAX_DEPTH: u32 = 128;

/// What the items of one page have in common.
#[derive(Clone, Copy)]
pub(crate) struct ItemContext<'r> {
    pub(crate) provider: &'r dyn Provider,
    pub(crate) spec: &'r Spec,
    /// What the installation takes out besides.
    pub(crate) rules: &'r Rules,
    /// The time that the window filters.
    pub(crate) axis: Option<TimeField>,
    /// Whether some bytes of the answer were no UTF-8.
    pub(crate) lossy: bool,
}

/// What reading items leaves behind.
pub(crate) struct Notes<'r> {
    /// Told of each transaction that was read.
    read: Option<&'r (dyn Fn(&Transaction) + Sync)>,
    /// Why the first item was put aside.
    why: OnceLock<String>,
    /// What was taken out of the items.
    pub(crate) taken: RedactionCounts,
}

impl<'r> Notes<'r> {
    /// Notes on what was sorted out, which tell this function of each transaction that is read.
    pub(crate) fn telling(read: &'r (dyn Fn(&Transaction) + Sync), sorted: &Sorted<'_>) -> Self {
        let notes = Self {
            read: Some(read),
            why: OnceLock::new(),
            taken: sorted.taken,
        };
        if let Some(first) = sorted.quarantined.first() {
            notes.put_aside(&first.detail);
        }
        notes
    }

    fn put_aside(&self, detail: &str) {
        self.why.get_or_init(|| detail.to_owned());
    }

    /// Why the first item was put aside.
    pub(crate) fn why(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }
}

/// An item whose row has a name. Its meaning is read only if it is news.
pub(crate) struct Sent<'a> {
    id: String,
    /// Its time on the stream's axis, if it shows one.
    time: Option<DateTime<Utc>>,
    payload: Cow<'a, str>,
    hash: Uuid,
}

/// An item that can be read.
pub(crate) struct Readable<'a> {
    sent: &'a Sent<'a>,
    provider: &'a dyn Provider,
    notes: &'a Notes<'a>,
}

/// The items of a page, sorted out.
#[derive(Default)]
pub(crate) struct Sorted<'a> {
    pub(crate) items: Vec<Sent<'a>>,
    pub(crate) quarantined: Vec<Quarantined<'a>>,
    /// What was taken out of them.
    pub(crate) taken: RedactionCounts,
}

impl<'a> Sorted<'a> {
    /// Sorts an item. Nothing of it is stored or hashed before it is redacted.
    pub(crate) fn add(&mut self, context: ItemContext<'_>, item: &'a RawValue) {
        match look_at(context, item.get(), &mut self.taken) {
            Ok(item) => self.items.push(item),
            Err(bad) => self.quarantined.push(bad),
        }
    }

    /// All of a page's items.
    pub(crate) fn of(context: ItemContext<'_>, items: &[&'a RawValue]) -> Self {
        let mut sorted = Self::default();
        for item in items {
            sorted.add(context, item);
        }
        sorted
    }

    /// The items, to be read by their provider.
    pub(crate) fn readable(
        &'a self,
        provider: &'a dyn Provider,
        notes: &'a Notes<'a>,
    ) -> Vec<Readable<'a>> {
        let readable = |sent| Readable {
            sent,
            provider,
            notes,
        };
        self.items.iter().map(readable).collect()
    }
}

/// Makes a record of an item, or says why it can be none.
pub(super) fn record<'a>(
    context: ItemContext<'_>,
    item: &'a str,
) -> Result<Record<'a>, Quarantined<'a>> {
    look_at(context, item, &mut RedactionCounts::default())?.read(context.provider)
}

/// Redacts and hashes an item, and finds its name and its time; most items are known already, and no
/// more of them is read. Adds up what is taken out.
fn look_at<'a>(
    context: ItemContext<'_>,
    item: &'a str,
    taken: &mut RedactionCounts,
) -> Result<Sent<'a>, Quarantined<'a>> {
    let Spec {
        redaction, id_key, ..
    } = context.spec;
    let time_key = context.axis.map_or("", |shown| shown.key);
    let redacted = redact_and_extract(item, redaction, context.rules, [id_key, time_key]);
    *taken += redacted.counts;
    let broken = context.lossy && redacted.text.contains('\u{fffd}');
    let [id, time] = redacted.extracted;
    let mut item = Sent {
        id: id.and_then(wire::text_of).unwrap_or_default(),
        time: context.axis.and_then(|shown| {
            let text = wire::text_of(time?)?;
            wire::parse_instant(&text, shown.zone)
        }),
        hash: Uuid::from_u128(xxh3_128(redacted.text.as_bytes())),
        payload: redacted.text,
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
        match context.provider.normalize(&item.payload) {
            Ok(transaction) => item.id = transaction.provider_transaction_id,
            Err(error) => return Err(item.put_aside(error.reason(), error.to_string())),
        }
    }
    Ok(item)
}

impl<'a> Sent<'a> {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn read(self, provider: &dyn Provider) -> Result<Record<'a>, Quarantined<'a>> {
        match provider.normalize(&self.payload) {
            Ok(transaction) => Ok(Record {
                transaction,
                payload: self.payload,
                hash: self.hash,
            }),
            Err(error) => Err(self.put_aside(error.reason(), error.to_string())),
        }
    }

    fn put_aside(self, reason: &'static str, detail: String) -> Quarantined<'a> {
        Quarantined {
            provider_transaction_id: (!self.id.is_empty()).then_some(self.id),
            reason,
            detail,
            payload: self.payload,
            hash: self.hash,
        }
    }

    fn borrowed(&self) -> Sent<'_> {
        Sent {
            id: self.id.clone(),
            time: self.time,
            payload: Cow::Borrowed(&self.payload),
            hash: self.hash,
        }
    }
}

impl<'a> Item<'a> for Readable<'a> {
    fn id(&self) -> &str {
        &self.sent.id
    }

    fn hash(&self) -> Uuid {
        self.sent.hash
    }

    fn read(&self) -> Result<Record<'a>, Quarantined<'a>> {
        let read = self.sent.borrowed().read(self.provider);
        match &read {
            Ok(record) => {
                if let Some(note) = self.notes.read {
                    note(&record.transaction);
                }
            }
            Err(bad) => self.notes.put_aside(&bad.detail),
        }
        read
    }
}

/// How many items show a time on the stream's axis, and how many of these times are none of the `right`
/// ones ([`StreamSpec::accepted_times`](paysync_provider::StreamSpec::accepted_times)).
pub(crate) fn outside(
    axis: Option<TimeField>,
    right: &RangeInclusive<DateTime<Utc>>,
    items: &[Sent<'_>],
) -> (u64, u64) {
    let Some(shown) = axis else {
        return (0, 0);
    };
    let is_outside = |item: &Sent<'_>| match item.time {
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

/// Between which times the items were created, as far as they show it and it is one of the `right` times.
pub(crate) fn created(
    axis: Option<TimeField>,
    right: &RangeInclusive<DateTime<Utc>>,
    items: &[Sent<'_>],
) -> Option<RangeInclusive<DateTime<Utc>>> {
    axis.filter(|shown| shown.axis == Axis::Created)?;
    let times = items.iter().filter_map(|item| item.time);
    times
        .filter(|time| right.contains(time))
        .map(|time| (time, time))
        .reduce(|(first, last), (time, _)| (first.min(time), last.max(time)))
        .map(|(first, last)| first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn sent(second: Option<i64>) -> Sent<'static> {
        Sent {
            id: "1".to_owned(),
            time: second.map(at),
            payload: Cow::Borrowed("{}"),
            hash: Uuid::nil(),
        }
    }

    fn by(axis: Axis) -> TimeField {
        TimeField {
            axis,
            key: "at",
            zone: chrono_tz::UTC,
        }
    }

    #[test]
    fn a_page_was_created_between_its_first_and_last_right_time() {
        let right = at(98)..=at(202);
        let items = [None, Some(140), Some(7), Some(98), Some(130), Some(9_000)].map(sent);
        let by_creation = Some(by(Axis::Created));
        assert_eq!(created(by_creation, &right, &items), Some(at(98)..=at(140)));
        assert_eq!(created(by_creation, &right, &items[..1]), None);
        assert_eq!(created(by_creation, &right, &items[2..3]), None);
        assert_eq!(created(Some(by(Axis::Updated)), &right, &items), None);
        assert_eq!(created(None, &right, &items), None);
    }

    #[test]
    fn what_shows_no_time_is_outside_only_among_corrections() {
        let right = at(98)..=at(202);
        let items = [None, Some(140), Some(7)].map(sent);
        assert_eq!(outside(Some(by(Axis::Created)), &right, &items), (2, 1));
        assert_eq!(outside(Some(by(Axis::Corrected)), &right, &items), (3, 2));
        assert_eq!(outside(None, &right, &items), (0, 0));
    }
}
