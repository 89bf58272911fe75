//! One item of a page on its way to a row: redacted and hashed first, read only if the row is new or
//! changed; or rejected, with the reason.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::model::{Kind, Status, Transaction};
use crate::redact::{RedactionCounts, Rules, redact_and_extract};
use crate::{Axis, Provider, Spec, TimeField, wire};

/// The reason of an item that arrived with bytes that are not UTF-8.
pub const INVALID_UTF8: &str = "invalid_utf8";

/// Deeper nesting is an attack or a defect.
const MAX_DEPTH: u32 = 128;

/// What the items of one page have in common.
#[derive(Clone, Copy)]
pub struct ItemContext<'r> {
    /// Reads the items.
    pub provider: &'r dyn Provider,
    /// What the provider declares.
    pub spec: &'r Spec,
    /// The installation's own redaction.
    pub rules: &'r Rules,
    /// The time that the window filters.
    pub axis: Option<TimeField>,
    /// Whether some bytes of the answer were not UTF-8.
    pub lossy: bool,
}

/// An item that belongs to a known row. [`PreparedItem::normalize`] makes a transaction of it.
#[derive(Debug, Clone)]
pub struct PreparedItem<'a> {
    /// The provider's id of the row.
    pub id: String,
    /// Its time on the stream's axis, if it shows one.
    pub time: Option<DateTime<Utc>>,
    /// The item as sent, redacted.
    pub payload: Cow<'a, str>,
    /// XXH3-128 of `payload`.
    pub hash: Uuid,
}

/// An item and the transaction made of it.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The normalized row.
    pub transaction: Transaction,
    /// The item as sent, redacted.
    pub payload: Cow<'a, str>,
    /// XXH3-128 of `payload`.
    pub hash: Uuid,
}

/// An item that can become no row; it is stored in the quarantine.
#[derive(Debug, Clone)]
pub struct Rejected<'a> {
    /// The provider's id, where it could be read.
    pub provider_transaction_id: Option<String>,
    /// The reason, one word.
    pub reason: &'static str,
    /// The reason in words; no data of the item.
    pub detail: String,
    /// The item as sent, redacted.
    pub payload: Cow<'a, str>,
    /// XXH3-128 of `payload`.
    pub hash: Uuid,
}

/// The items of a page, in the order they were sent.
#[derive(Debug, Default)]
pub struct PageItems<'a> {
    /// Those that belong to a known row.
    pub items: Vec<PreparedItem<'a>>,
    /// Those that can become no row.
    pub rejected: Vec<Rejected<'a>>,
    /// What the redaction took out of all of them.
    pub redactions: RedactionCounts,
}

impl<'a> PageItems<'a> {
    /// Prepares all items of a page.
    pub fn prepare(context: ItemContext<'_>, items: &[&'a RawValue]) -> Self {
        let mut prepared = Self::default();
        for item in items {
            prepared.push(context, item);
        }
        prepared
    }

    /// Prepares a further item.
    pub fn push(&mut self, context: ItemContext<'_>, item: &'a RawValue) {
        match prepare(context, item.get(), &mut self.redactions) {
            Ok(item) => self.items.push(item),
            Err(rejected) => self.rejected.push(rejected),
        }
    }

    /// How many items show a time on the stream's axis, and how many of these times are not `accepted`
    /// ([`StreamSpec::accepted_times`](crate::StreamSpec::accepted_times)).
    pub fn outside(
        &self,
        axis: Option<TimeField>,
        accepted: &RangeInclusive<DateTime<Utc>>,
    ) -> (u64, u64) {
        let Some(shown) = axis else {
            return (0, 0);
        };
        let is_outside = |item: &PreparedItem<'_>| match item.time {
            Some(time) => Some(!accepted.contains(&time)),
            // A row that was never corrected has no place among corrections.
            None => (shown.axis == Axis::Corrected).then_some(true),
        };
        let shown = self.items.iter().filter_map(is_outside);
        shown.fold((0, 0), |(shown, outside), is_outside| {
            (shown + 1, outside + u64::from(is_outside))
        })
    }

    /// The span of the items' creation times, as far as items show one that is `accepted`.
    pub fn created(
        &self,
        axis: Option<TimeField>,
        accepted: &RangeInclusive<DateTime<Utc>>,
    ) -> Option<RangeInclusive<DateTime<Utc>>> {
        axis.filter(|shown| shown.axis == Axis::Created)?;
        let times = self.items.iter().filter_map(|item| item.time);
        let times = times.filter(|time| accepted.contains(time));
        Some(times.clone().min()?..=times.max()?)
    }
}

/// Makes a record of one item.
pub fn record<'a>(context: ItemContext<'_>, item: &'a str) -> Result<Record<'a>, Rejected<'a>> {
    prepare(context, item, &mut RedactionCounts::default())?.into_record(context.provider)
}

/// Redacts and hashes an item, and finds its id and its time. Most items are stored already: they are
/// read no further. Adds up what the redaction takes out.
fn prepare<'a>(
    context: ItemContext<'_>,
    item: &'a str,
    redactions: &mut RedactionCounts,
) -> Result<PreparedItem<'a>, Rejected<'a>> {
    let time_key = context.axis.map_or("", |shown| shown.key);
    let keys = [context.spec.id_key, time_key];
    let redacted = redact_and_extract(item, &context.spec.redaction, context.rules, keys);
    *redactions += redacted.counts;
    let is_broken = context.lossy && redacted.text.contains('\u{fffd}');
    let [id, time] = redacted.extracted;
    let mut item = PreparedItem {
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
        return Err(item.reject("nested_too_deep", detail));
    }
    if is_broken {
        // An id with broken bytes identifies no row.
        if item.id.contains('\u{fffd}') {
            item.id.clear();
        }
        let detail = "bytes that are not UTF-8".to_owned();
        return Err(item.reject(INVALID_UTF8, detail));
    }
    if item.id.is_empty() {
        match context.provider.normalize(&item.payload) {
            Ok(transaction) => item.id = transaction.provider_transaction_id,
            Err(error) => return Err(item.reject(error.reason(), error.to_string())),
        }
    }
    Ok(item)
}

impl Record<'_> {
    /// The provider's words that are stored as `unknown` or `other`, with their columns.
    pub fn unknown_words(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let row = &self.transaction;
        let status = (row.status == Status::Unknown).then_some(("status", &row.provider_status));
        let kind = (row.kind == Kind::Other).then_some(("kind", &row.provider_kind));
        let columns = [status, kind].into_iter().flatten();
        columns.filter_map(|(column, word)| Some((column, word.as_deref()?)))
    }
}

impl<'a> PreparedItem<'a> {
    /// Makes a record of the item; the same each time.
    pub fn normalize(&self, provider: &dyn Provider) -> Result<Record<'_>, Rejected<'_>> {
        let borrowed = PreparedItem {
            id: self.id.clone(),
            time: self.time,
            payload: Cow::Borrowed(&self.payload),
            hash: self.hash,
        };
        borrowed.into_record(provider)
    }

    fn into_record(self, provider: &dyn Provider) -> Result<Record<'a>, Rejected<'a>> {
        match provider.normalize(&self.payload) {
            Ok(transaction) => Ok(Record {
                transaction,
                payload: self.payload,
                hash: self.hash,
            }),
            Err(error) => Err(self.reject(error.reason(), error.to_string())),
        }
    }

    fn reject(self, reason: &'static str, detail: String) -> Rejected<'a> {
        Rejected {
            provider_transaction_id: (!self.id.is_empty()).then_some(self.id),
            reason,
            detail,
            payload: self.payload,
            hash: self.hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn page(times: &[Option<i64>]) -> PageItems<'static> {
        let item = |second: &Option<i64>| PreparedItem {
            id: "1".to_owned(),
            time: second.map(at),
            payload: Cow::Borrowed("{}"),
            hash: Uuid::nil(),
        };
        PageItems {
            items: times.iter().map(item).collect(),
            ..PageItems::default()
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
    fn a_page_was_created_between_its_first_and_last_accepted_time() {
        let accepted = at(98)..=at(202);
        let times = [None, Some(140), Some(7), Some(98), Some(130), Some(9_000)];
        let created = |axis, times: &[_]| page(times).created(axis, &accepted);
        let by_creation = Some(by(Axis::Created));
        assert_eq!(created(by_creation, &times), Some(at(98)..=at(140)));
        assert_eq!(created(by_creation, &times[..1]), None);
        assert_eq!(created(by_creation, &times[2..3]), None);
        assert_eq!(created(Some(by(Axis::Updated)), &times), None);
        assert_eq!(created(None, &times), None);
    }

    #[test]
    fn an_item_without_a_time_is_outside_only_among_corrections() {
        let accepted = at(98)..=at(202);
        let page = page(&[None, Some(140), Some(7)]);
        let outside = |axis| page.outside(axis, &accepted);
        assert_eq!(outside(Some(by(Axis::Created))), (2, 1));
        assert_eq!(outside(Some(by(Axis::Corrected))), (3, 2));
        assert_eq!(outside(None), (0, 0));
    }

    #[test]
    fn a_word_is_unknown_only_where_the_row_has_none_for_it() {
        let words = |kind, status| {
            let record = Record {
                transaction: Transaction {
                    kind,
                    provider_kind: Some("LOAN".to_owned()),
                    status,
                    provider_status: Some("MAYBE".to_owned()),
                    ..Transaction::default()
                },
                payload: Cow::Borrowed("{}"),
                hash: Uuid::nil(),
            };
            let words = record.unknown_words();
            words.map(|(_, word)| word.to_owned()).collect::<Vec<_>>()
        };
        assert!(words(Kind::Payment, Status::Failed).is_empty());
        assert_eq!(words(Kind::Other, Status::Failed), ["LOAN"]);
        assert_eq!(words(Kind::Other, Status::Unknown), ["MAYBE", "LOAN"]);
    }
}
