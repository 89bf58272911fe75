//! The history of one row: its versions, the windows that can have read it, its items in quarantine.
//!
//! It holds no payload, only the statement that reads it.

use std::collections::BTreeSet;

use bigdecimal::BigDecimal;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::engine::account::{Account, Stream};
use crate::store::inspect::row_history::{CandidateWindow, QuarantineSummary, StreamSpan, Version};
use crate::store::{Store, StoreError};
use paysync_provider::Axis;

/// Windows listed at most; a row of the busiest stream has far fewer.
const MAX_WINDOWS: i64 = 1000;

/// Columns that change with every version and say nothing about the row.
const VERSION_COLUMNS: &[&str] = &[
    "first_seen_at",
    "observed_at",
    "changed_at",
    "payload_hash",
    "version",
    "version_from",
];

/// Columns that only the history has, or that no reader can use.
const HIDDEN_COLUMNS: &[&str] = &["valid_from", "valid_to", "payload_hash"];

/// Columns that are compared by value: 1.5 is 1.50.
const AMOUNTS: &[&str] = &["amount", "paid_amount", "converted_amount", "fee"];

/// All that is known of one row.
#[derive(Debug, Serialize)]
pub struct RowHistory {
    /// The account.
    pub account: String,
    /// The provider's id of the row.
    pub id: String,
    /// The columns as they are now, as text; none if no version was ever stored.
    pub row: Option<Map<String, Value>>,
    /// The versions that were replaced, oldest first.
    pub versions: Vec<ReplacedVersion>,
    /// The windows that can have read it, newest first.
    pub windows: Vec<CandidateWindow>,
    /// Items in quarantine that show its id.
    pub quarantine: Vec<QuarantineSummary>,
    /// How to read its payload; none where there is none.
    pub payload: Option<String>,
    /// Why a row has no payload.
    pub payload_gone: Option<&'static str>,
}

/// A version that was replaced.
#[derive(Debug, Serialize)]
pub struct ReplacedVersion {
    /// When it was stored.
    pub valid_from: DateTime<Utc>,
    /// When the next one replaced it.
    pub valid_to: Option<DateTime<Utc>>,
    /// Always `provider`: a new reading of the same payload makes no version.
    pub by: &'static str,
    /// Columns that differ in the next version.
    pub changes: Vec<Change>,
    /// Its columns.
    pub row: Map<String, Value>,
}

/// A column that differs in the next version.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Name of the column.
    pub column: String,
    /// What it held.
    pub old: Option<String>,
    /// What the next version holds.
    pub new: Option<String>,
}

/// Loads the history of a row; none if nothing has its id.
pub async fn load(
    store: &Store,
    account: &Account,
    id: &str,
) -> Result<Option<RowHistory>, StoreError> {
    let mut versions = store.versions(&account.id, id).await?;
    for version in &mut versions {
        in_utc(&mut version.columns);
    }
    let quarantine = store.quarantine_of(&account.id, id).await?;
    if versions.is_empty() && quarantine.is_empty() {
        return Ok(None);
    }
    let mut places: BTreeSet<StreamSpan> = account
        .streams
        .iter()
        .flat_map(|stream| versions.iter().flat_map(|version| places(stream, version)))
        .collect();
    places.extend(quarantine.iter().map(|held| StreamSpan {
        stream: held.stream.clone(),
        from: held.window_start,
        to: held.window_end,
    }));
    let places: Vec<StreamSpan> = places.into_iter().collect();
    let windows = store.candidate_windows(&account.id, &places, MAX_WINDOWS);
    let windows = windows.await?;
    let current = versions.last().filter(|it| it.valid_to.is_none());
    let row = current.map(|version| visible(&version.columns));
    let has_payload = row.is_some() && store.has_payload(&account.id, id).await?;
    let gone = |row: &Map<String, Value>| match row.get("erased_at") {
        Some(Value::String(_)) => "the person was erased from this row, and the payload with it",
        _ => "it is no longer stored: it expired (raw.retention), or it was deleted by hand",
    };
    Ok(Some(RowHistory {
        account: account.id.clone(),
        id: id.to_owned(),
        payload: has_payload.then(|| payload_query(&account.id, id)),
        payload_gone: row.as_ref().filter(|_| !has_payload).map(gone),
        row,
        versions: replaced(&versions),
        windows,
        quarantine,
    }))
}

/// The times at which a window of the stream can have read a version.
fn places(stream: &Stream, version: &Version) -> Vec<StreamSpan> {
    let columns: &[&str] = match stream.spec.axis.map(|shown| shown.axis) {
        Some(Axis::Created) => &["created_at"],
        Some(Axis::Updated | Axis::Corrected) => &["updated_at"],
        Some(Axis::Paid) => &["paid_at"],
        Some(Axis::Settled) => &["settled_at"],
        // The API filters by a time that items do not show, close to one that they do.
        None => &["created_at", "updated_at", "paid_at", "settled_at"],
    };
    let slack = stream.spec.slack;
    let instant = |column: &&str| {
        let text = version.columns.get(*column)?.as_str()?;
        DateTime::parse_from_rfc3339(text).ok()
    };
    let place = |at: DateTime<chrono::FixedOffset>| StreamSpan {
        stream: stream.spec.name.clone(),
        from: at.to_utc() - slack,
        to: at.to_utc() + slack,
    };
    columns.iter().filter_map(instant).map(place).collect()
}

/// Times as they are printed everywhere else.
fn in_utc(columns: &mut Map<String, Value>) {
    let times = columns.iter_mut().filter(|(name, _)| name.ends_with("_at"));
    for (_, value) in times {
        if let Some(Ok(at)) = value.as_str().map(DateTime::parse_from_rfc3339) {
            let at = at.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true);
            *value = at.into();
        }
    }
}

fn replaced(versions: &[Version]) -> Vec<ReplacedVersion> {
    let pairs = versions.iter().zip(versions.iter().skip(1));
    pairs
        .map(|(old, new)| ReplacedVersion {
            valid_from: old.valid_from,
            valid_to: old.valid_to,
            by: "provider",
            changes: changes(&old.columns, &new.columns),
            row: visible(&old.columns),
        })
        .collect()
}

fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<Change> {
    let text = |row: &Map<String, Value>, column: &str| {
        let value = row.get(column)?.as_str()?;
        Some(value.to_owned())
    };
    let differs = |change: &Change| {
        let amount = |text: &Option<String>| text.as_ref()?.parse::<BigDecimal>().ok();
        let same_amount = AMOUNTS.contains(&change.column.as_str())
            && amount(&change.old).is_some_and(|old| Some(old) == amount(&change.new));
        change.old != change.new && !same_amount
    };
    new.keys()
        .filter(|column| !VERSION_COLUMNS.contains(&column.as_str()))
        .map(|column| Change {
            column: column.clone(),
            old: text(old, column),
            new: text(new, column),
        })
        .filter(differs)
        .collect()
}

fn visible(columns: &Map<String, Value>) -> Map<String, Value> {
    let mut row = columns.clone();
    row.retain(|column, _| !HIDDEN_COLUMNS.contains(&column.as_str()));
    row
}

/// The statement that reads the payload.
fn payload_query(account_id: &str, id: &str) -> String {
    format!(
        "SELECT payload FROM paysync.raw_transactions WHERE account_id = {} AND provider_transaction_id = {}",
        literal(account_id),
        literal(id)
    )
}

/// A text in SQL, whatever the server makes of backslashes.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        return format!("E'{}'", quoted.replace('\\', "\\\\"));
    }
    format!("'{quoted}'")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_compared_by_value_and_ids_as_they_are() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let old = map(
            json!({"amount": "1.5", "rrn": "01", "fee": null, "status": "pending", "observed_at": "1"}),
        );
        let new = map(
            json!({"amount": "1.50", "rrn": "1", "fee": "0", "status": "failed", "observed_at": "2"}),
        );
        let change = |column: &str, old: Option<&str>, new: Option<&str>| Change {
            column: column.to_owned(),
            old: old.map(str::to_owned),
            new: new.map(str::to_owned),
        };
        assert_eq!(
            changes(&old, &new),
            [
                change("rrn", Some("01"), Some("1")),
                change("fee", None, Some("0")),
                change("status", Some("pending"), Some("failed")),
            ]
        );
    }

    #[test]
    fn the_statement_reads_this_row_only() {
        assert_eq!(
            payload_query("acme", "it's"),
            "SELECT payload FROM paysync.raw_transactions WHERE account_id = 'acme' AND provider_transaction_id = 'it''s'"
        );
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
    }
}
