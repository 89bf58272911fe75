//! `paysync verify`: proves of each account, from the database alone, that the ledger, the coverage and the
//! rows agree. A loss that paysync did not cause makes a check fail.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::engine::account::Account;
use crate::store::inspect::verify::{Evidence, Extent, Payload, StreamEvidence};
use crate::store::{Store, StoreError};

/// Payloads of one statement; one is in memory at a time.
const BATCH: u32 = 1000;

/// The answer of `verify --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Whether no check failed.
    pub proven: bool,
    /// The accounts, in the order of the configuration.
    pub accounts: Vec<AccountProof>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountProof {
    /// Its id.
    pub id: String,
    /// Whether no check failed.
    pub proven: bool,
    /// The checks.
    pub checks: Vec<Check>,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub check: &'static str,
    /// Its result.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What an operator can do.
    pub hint: Option<String>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Proven,
    /// Nothing is lost, but an operator may want to know.
    Noted,
    /// Something is missing, or not as paysync left it.
    Unproven,
}

impl State {
    /// The word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Noted => "noted",
            Self::Unproven => "NOT PROVEN",
        }
    }
}

/// Checks these accounts; sends no request and writes nothing.
pub async fn verify(store: &Store, accounts: &[Arc<Account>]) -> Result<Verification, StoreError> {
    let mut proofs = Vec::with_capacity(accounts.len());
    for account in accounts {
        let checks = checks(store, &account.id).await?;
        proofs.push(AccountProof {
            id: account.id.clone(),
            proven: checks.iter().all(|check| check.state != State::Unproven),
            checks,
        });
    }
    Ok(Verification {
        proven: proofs.iter().all(|account| account.proven),
        accounts: proofs,
    })
}

async fn checks(store: &Store, id: &str) -> Result<Vec<Check>, StoreError> {
    let evidence = store.evidence(id).await?;
    let Some(evidence) = evidence.filter(|evidence| !evidence.streams.is_empty()) else {
        return Ok(vec![Check {
            check: "coverage",
            state: State::Unproven,
            detail: "the account has never been read".to_owned(),
            hint: Some(format!("paysync sync --account {id} reads it")),
        }]);
    };
    let mut payloads = Payloads::default();
    let mut after = Some(String::new());
    while let Some(last) = after {
        after = store
            .each_payload(id, &last, BATCH, |payload| payloads.see(payload))
            .await?;
    }
    Ok(vec![
        coverage(id, &evidence.streams),
        gaps(&evidence.streams),
        ledger(&evidence),
        rows(&evidence),
        payloads.check(),
        counts(id, &evidence),
        open(&evidence),
        quarantine(&evidence),
    ])
}

/// Everything covered was read by a window that reached its end.
fn coverage(account: &str, streams: &[StreamEvidence]) -> Check {
    let check = "coverage";
    let found = streams
        .iter()
        .find(|stream| stream.unread.intervals > 0)
        .map(|stream| (&stream.stream, &stream.unread));
    if let Some((stream, unread)) = found {
        return failed(
            check,
            format!(
                "{stream}: {} covered without having been read, {}",
                are(unread.intervals, "interval is", "intervals are"),
                between(unread),
            ),
            format!(
                "paysync resync --account {account} --stream {stream} --from {} --to {} has it read again",
                instant(unread.from),
                instant(unread.to),
            ),
        );
    }
    let covered = streams.iter().map(|stream| &stream.covered);
    let (from, to) = (
        covered.clone().filter_map(|extent| extent.from).min(),
        covered.filter_map(|extent| extent.to).max(),
    );
    let names = are(count(streams.len()), "stream", "streams");
    let detail = match (from, to) {
        (Some(_), Some(_)) => format!(
            "{names}, what is covered was read, from {} to {}",
            instant(from),
            instant(to)
        ),
        _ => format!("{names}, nothing covered yet"),
    };
    proven(check, detail)
}

/// Everything wanted is covered or being read.
fn gaps(streams: &[StreamEvidence]) -> Check {
    let check = "gaps";
    let hint = "paysync run and paysync sync read what is missing; paysync status says what keeps them from it";
    if let Some(stream) = streams.iter().find(|stream| stream.gaps.intervals > 0) {
        let detail = format!(
            "{}: {} missing, {}",
            stream.stream,
            are(stream.gaps.intervals, "interval is", "intervals are"),
            between(&stream.gaps),
        );
        return failed(check, detail, hint.to_owned());
    }
    if let Some(stream) = streams.iter().find(|stream| stream.untried) {
        let detail = format!("{}: nothing has been read yet", stream.stream);
        return failed(check, detail, hint.to_owned());
    }
    proven(check, "none".to_owned())
}

/// The counts of each entry of the ledger add up.
fn ledger(evidence: &Evidence) -> Check {
    let ledger = &evidence.ledger;
    if ledger.wrong > 0 {
        return failed(
            "ledger",
            format!(
                "the counts of {} do not add up",
                are(ledger.wrong, "entry", "entries")
            ),
            "somebody changed paysync.windows or paysync.window_totals: restore them from a backup"
                .to_owned(),
        );
    }
    proven(
        "ledger",
        format!("{} add up", are(ledger.windows, "window", "windows")),
    )
}

/// As many rows are stored as were inserted.
fn rows(evidence: &Evidence) -> Check {
    let (held, inserted) = (evidence.rows, evidence.ledger.inserted);
    let detail = match inserted - held {
        0 if evidence.orphans == 0 => {
            return proven("rows", format!("{held} are held, as many as were inserted"));
        }
        0 => format!("{held} are held, as many as were inserted, but not the same"),
        1.. => format!(
            "{} missing: {inserted} were inserted, {held} are held",
            are(inserted - held, "is", "are")
        ),
        _ => format!(
            "{} too many: {inserted} were inserted, {held} are held",
            are(held - inserted, "is", "are")
        ),
    };
    let orphans = match &evidence.orphan {
        None => String::new(),
        Some(id) => format!(
            "; {} without a row, as that of {id}",
            are(evidence.orphans, "payload is", "payloads are")
        ),
    };
    failed(
        "rows",
        detail + &orphans,
        "rows or the ledger were changed behind paysync's back: restore them from a backup; what was removed on purpose \
         is entered in paysync.window_totals"
            .to_owned(),
    )
}

/// The payloads of an account so far.
#[derive(Debug, Default)]
struct Payloads {
    seen: u64,
    expired: u64,
    missing: u64,
    altered: u64,
    /// The first row with a fault.
    example: Option<String>,
}

impl Payloads {
    fn see(&mut self, payload: Payload<'_>) {
        self.seen += 1;
        let fault = match payload.text {
            None if payload.may_be_missing => {
                self.expired += 1;
                return;
            }
            None => &mut self.missing,
            Some(text) if Uuid::from_u128(xxh3_128(text.as_bytes())) != payload.hash => {
                &mut self.altered
            }
            Some(_) => return,
        };
        *fault += 1;
        self.example.get_or_insert_with(|| payload.id.to_owned());
    }

    /// Every row has the payload that it was made of, unless that has expired.
    fn check(self) -> Check {
        match self.example {
            None if self.expired == 0 => proven(
                "payloads",
                format!("{} are those their rows were made of", self.seen),
            ),
            None => proven(
                "payloads",
                format!(
                    "{} are those their rows were made of, {} by retention or erased",
                    self.seen - self.expired,
                    are(self.expired, "was deleted", "were deleted"),
                ),
            ),
            Some(id) => failed(
                "payloads",
                format!(
                    "of {} {} missing and {} altered, as that of {id}",
                    self.seen,
                    are(self.missing, "is", "are"),
                    self.altered
                ),
                "payloads were changed behind paysync's back: restore them from a backup"
                    .to_owned(),
            ),
        }
    }
}

/// No provider count exceeds the rows stored.
fn counts(account: &str, evidence: &Evidence) -> Check {
    let Some(doubt) = evidence.doubts.first() else {
        return proven(
            "counts",
            "no count of the provider is unanswered".to_owned(),
        );
    };
    let (from, to) = (instant(Some(doubt.from)), instant(Some(doubt.to)));
    failed(
        "counts",
        format!(
            "{}: the provider counted {} rows from {from} to {to}, {} were held, and it was not read again",
            doubt.stream, doubt.counted, doubt.held,
        ),
        format!(
            "if it is no gap that is read anyway, paysync resync --account {account} --stream {} --from {from} --to {to}",
            doubt.stream,
        ),
    )
}

/// Open windows are unfinished, which is no loss.
fn open(evidence: &Evidence) -> Check {
    let open: i64 = evidence.streams.iter().map(|stream| stream.open).sum();
    match open {
        0 => proven("open", "no window is being read".to_owned()),
        _ if evidence.leased => noted(
            "open",
            format!("{} being read", are(open, "window is", "windows are")),
            None,
        ),
        _ => noted(
            "open",
            format!(
                "{} left open, and no process works on the account",
                are(open, "window is", "windows are")
            ),
            Some("paysync run and paysync sync go on with them"),
        ),
    }
}

/// Items in quarantine are stored, but are no rows.
fn quarantine(evidence: &Evidence) -> Check {
    match evidence.quarantined {
        0 => proven("quarantine", "empty".to_owned()),
        items => noted(
            "quarantine",
            format!("{} no row", are(items, "item is", "items are")),
            Some("see paysync.quarantine for the reasons"),
        ),
    }
}

fn proven(check: &'static str, detail: String) -> Check {
    Check {
        check,
        state: State::Proven,
        detail,
        hint: None,
    }
}

fn noted(check: &'static str, detail: String, hint: Option<&str>) -> Check {
    Check {
        check,
        state: State::Noted,
        detail,
        hint: hint.map(str::to_owned),
    }
}

fn failed(check: &'static str, detail: String, hint: String) -> Check {
    Check {
        check,
        state: State::Unproven,
        detail,
        hint: Some(hint),
    }
}

/// A count with the word for one or for many.
fn are(count: impl Into<i128>, one: &str, many: &str) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { one } else { many })
}

fn between(extent: &Extent) -> String {
    format!(
        "between {} and {}",
        instant(extent.from),
        instant(extent.to)
    )
}

fn instant(instant: Option<DateTime<Utc>>) -> String {
    instant.map_or_else(
        || "for ever".to_owned(),
        |instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
