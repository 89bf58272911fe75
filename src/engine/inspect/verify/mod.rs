//! `paysync verify`: proves of each account, from the database alone, that the ledger, the coverage and the
//! rows agree. A loss that paysync did not cause makes a check fail.

mod finding;
mod stored_rows;

use std::sync::Arc;

use serde::Serialize;

use super::status::STALE_SECONDS;
use crate::engine::account::Account;
use crate::number::count;
use crate::store::inspect::verify::{Evidence, StreamEvidence};
use crate::store::{Store, StoreError};
pub use finding::Verdict;
use finding::{Finding, are, failed, instant, noted, proven};
use stored_rows::{BATCH, StoredRows, misplaced_rows, payments, totals};

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
    pub state: Verdict,
    /// What was found.
    pub detail: String,
    /// What an operator can do.
    pub hint: Option<String>,
}

/// Checks these accounts; sends no request and writes nothing.
pub async fn verify(store: &Store, accounts: &[Arc<Account>]) -> Result<Verification, StoreError> {
    let mut proofs = Vec::with_capacity(accounts.len());
    for account in accounts {
        let checks = checks(store, account).await?;
        proofs.push(AccountProof {
            id: account.id.clone(),
            proven: checks.iter().all(|check| check.state != Verdict::Unproven),
            checks,
        });
    }
    Ok(Verification {
        proven: proofs.iter().all(|account| account.proven),
        accounts: proofs,
    })
}

async fn checks(store: &Store, account: &Account) -> Result<Vec<Check>, StoreError> {
    let id = account.id.as_str();
    let evidence = store.evidence(id).await?;
    let findings = match evidence.filter(|evidence| !evidence.streams.is_empty()) {
        None => {
            let hint = format!("paysync sync --account {id} reads it");
            vec![("coverage", failed("the account has never been read", hint))]
        }
        Some(evidence) => {
            let mut stored = StoredRows::default();
            let mut after = Some(String::new());
            while let Some(last) = after {
                let see = |row| stored.see(account, &row);
                after = store.each_row(id, &last, BATCH, see).await?;
            }
            let misplaced = misplaced_rows(store, id).await?;
            let wrong_sums = store.wrong_sums(id).await?;
            vec![
                ("coverage", coverage(id, &evidence.streams)),
                ("gaps", gaps(&evidence.streams)),
                ("ledger", ledger(&evidence)),
                ("rows", rows(&evidence)),
                ("payloads", stored.payloads()),
                ("columns", stored.columns(id)),
                ("payments", payments(id, &misplaced)),
                ("totals", totals(id, &wrong_sums)),
                ("counts", counts(id, &evidence)),
                ("freshness", freshness(&evidence.streams)),
                ("open", open(&evidence)),
                ("quarantine", quarantine(&evidence)),
            ]
        }
    };
    let check = |(check, (state, detail, hint))| Check {
        check,
        state,
        detail,
        hint,
    };
    Ok(findings.into_iter().map(check).collect())
}

/// Everything covered was read by a window that reached its end.
fn coverage(account: &str, streams: &[StreamEvidence]) -> Finding {
    if let Some(found) = streams.iter().find(|stream| stream.unread.intervals > 0) {
        let (stream, unread) = (&found.stream, &found.unread);
        let intervals = are(unread.intervals, "interval is", "intervals are");
        let (from, to) = (instant(unread.from), instant(unread.to));
        return failed(
            format!(
                "{stream}: {intervals} covered without having been read, between {from} and {to}"
            ),
            format!(
                "paysync resync --account {account} --stream {stream} --from {from} --to {to} has it read again"
            ),
        );
    }
    let covered = || streams.iter().map(|stream| &stream.covered);
    let from = covered().filter_map(|extent| extent.from).min();
    let to = covered().filter_map(|extent| extent.to).max();
    let names = are(count(streams.len()), "stream", "streams");
    if from.is_none() || to.is_none() {
        return proven(format!("{names}, nothing covered yet"));
    }
    let (from, to) = (instant(from), instant(to));
    proven(format!(
        "{names}, what is covered was read, from {from} to {to}"
    ))
}

/// Everything wanted is covered or in an open window.
fn gaps(streams: &[StreamEvidence]) -> Finding {
    let hint = "paysync run and paysync sync read what is missing; paysync status says what keeps them from it";
    if let Some(found) = streams.iter().find(|stream| stream.gaps.intervals > 0) {
        let intervals = are(found.gaps.intervals, "interval is", "intervals are");
        let (from, to) = (instant(found.gaps.from), instant(found.gaps.to));
        let stream = &found.stream;
        let detail = format!("{stream}: {intervals} missing, between {from} and {to}");
        return failed(detail, hint);
    }
    match streams.iter().find(|stream| stream.untried) {
        Some(found) => failed(format!("{}: nothing has been read yet", found.stream), hint),
        None => proven("none"),
    }
}

/// The counts of each entry of the ledger add up.
fn ledger(evidence: &Evidence) -> Finding {
    let ledger = &evidence.ledger;
    if ledger.wrong > 0 {
        let wrong = are(ledger.wrong, "entry", "entries");
        return failed(
            format!("the counts of {wrong} do not add up"),
            "somebody changed paysync.windows or paysync.window_totals: restore them from a backup",
        );
    }
    proven(are(ledger.windows, "window", "windows") + " add up")
}

/// As many rows are stored as were inserted.
fn rows(evidence: &Evidence) -> Finding {
    let (held, inserted) = (evidence.rows, evidence.ledger.inserted);
    let mut detail = match inserted - held {
        0 => format!("{held} are held, as many as were inserted"),
        missing @ 1.. => format!(
            "{} missing: {inserted} were inserted, {held} are held",
            are(missing, "is", "are")
        ),
        missing => format!(
            "{} too many: {inserted} were inserted, {held} are held",
            are(-missing, "is", "are")
        ),
    };
    if inserted == held && evidence.orphans == 0 {
        return proven(detail);
    }
    if inserted == held {
        detail += ", but not the same";
    }
    if let Some(id) = &evidence.orphan {
        let orphans = are(evidence.orphans, "payload is", "payloads are");
        detail = format!("{detail}; {orphans} without a row, as that of {id}");
    }
    failed(
        detail,
        "rows or the ledger were changed behind paysync's back: restore them from a backup; what was removed on purpose \
         is entered in paysync.window_totals",
    )
}

/// The coverage is judged up to what was last wanted; the time since then is unread, which is no loss.
fn freshness(streams: &[StreamEvidence]) -> Finding {
    let overdue = |stream: &&StreamEvidence| stream.overdue_seconds > STALE_SECONDS;
    match streams.iter().find(overdue) {
        None => proven("what was due has been read"),
        Some(found) => noted(
            format!(
                "{}: nothing was read since {}",
                found.stream,
                instant(found.wanted_until)
            ),
            Some("paysync run and paysync sync read on from there"),
        ),
    }
}

/// No provider count exceeds the rows stored.
fn counts(account: &str, evidence: &Evidence) -> Finding {
    let Some(doubt) = evidence.doubts.first() else {
        return proven("no count of the provider is unanswered");
    };
    let (from, to) = (instant(Some(doubt.from)), instant(Some(doubt.to)));
    let stream = &doubt.stream;
    failed(
        format!(
            "{stream}: the provider counted {} rows from {from} to {to}, {} were held, and it was not read again",
            doubt.counted, doubt.held,
        ),
        format!(
            "if it is no gap that is read anyway, paysync resync --account {account} --stream {stream} --from {from} --to {to}"
        ),
    )
}

/// Open windows are unfinished, which is no loss.
fn open(evidence: &Evidence) -> Finding {
    let open: i64 = evidence.streams.iter().map(|stream| stream.open).sum();
    let windows = are(open, "window is", "windows are");
    match open {
        0 => proven("no window is being read"),
        _ if evidence.leased => noted(windows + " being read", None),
        _ => noted(
            windows + " left open, and no process works on the account",
            Some("paysync run and paysync sync go on with them"),
        ),
    }
}

/// Items in quarantine are stored, but are no rows.
fn quarantine(evidence: &Evidence) -> Finding {
    let hint = "see paysync.quarantine for the reasons";
    match evidence.quarantined {
        0 => proven("empty"),
        items => noted(are(items, "item is", "items are") + " no row", Some(hint)),
    }
}
