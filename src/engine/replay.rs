//! Replay: reads stored payloads again by today's code and options.
//!
//! It corrects rows that differ, and stores items in quarantine that have become readable. Each batch is a
//! transaction: memory is bounded, a daemon may run beside it, and it may be stopped at any moment. It
//! needs no lease, as it moves no checkpoint: a version that is written meanwhile wins. A payload that
//! cannot be read leaves its row as it is.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::engine::account::Account;
use crate::number::count;
use crate::store::quarantine::QuarantinedItem;
use crate::store::replay::quarantine::{Retried, RetryOutcome};
use crate::store::replay::{Correction, StoredRow};
use crate::store::{Store, StoreError};
use paysync_provider::item::{INVALID_UTF8, Record, Rejected, record};
use paysync_provider::model::{Difference, Transaction, differences};

/// Changed rows, and unreadable ones, that a report lists.
const EXAMPLES: usize = 20;

/// What a replay of an account found and did, or would do.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Rows read again.
    pub read: u64,
    /// Rows without a difference.
    pub unchanged: u64,
    /// Rows that differed and were corrected.
    pub changed: u64,
    /// Rows that another process has written since they were read; they stay as they are.
    pub overtaken: u64,
    /// Rows whose payload cannot be read any more; they stay as they are.
    pub unreadable: u64,
    /// Rows without a payload, which cannot be read again: it expired, or the row was erased.
    pub without_payload: u64,
    /// Items in quarantine tried again.
    pub retried: u64,
    /// What became of them.
    pub quarantine: RetryOutcome,
    /// The first of the changed rows.
    pub changes: Vec<ChangedRow>,
    /// The first of the unreadable ones.
    pub complaints: Vec<UnreadableRow>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedRow {
    /// The provider's id.
    pub id: String,
    /// What differs.
    pub columns: Vec<Difference>,
}

/// A row whose payload cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// The provider's id.
    pub id: String,
    /// Why, one word.
    pub reason: &'static str,
    /// Why, in words.
    pub detail: String,
}

/// Replays an account. A dry run writes nothing. `progress` is called after each batch.
pub async fn replay(
    store: &Store,
    account: &Account,
    dry_run: bool,
    progress: impl Fn(&Replayed),
) -> Result<Replayed, StoreError> {
    let (id, provider) = (&account.id, account.spec.code);
    let mut replayed = Replayed::default();
    let mut after = String::new();
    loop {
        // Rows of another provider, from before the account was changed, are left out.
        let batch = store.stored_after(id, provider, &after).await?;
        let Some(last) = batch.last() else { break };
        after.clone_from(&last.transaction.provider_transaction_id);
        let corrections = replayed.read_again(account, batch);
        if !dry_run && !corrections.is_empty() {
            let corrected = store.correct(id, &corrections).await?;
            for (id, detail) in &corrected.refused {
                replayed.complain(id, "refused_by_database", detail.clone());
            }
            let refused = count(corrected.refused.len());
            let overtaken = count(corrections.len()).saturating_sub(corrected.written + refused);
            replayed.overtaken += overtaken;
            replayed.changed -= overtaken + refused;
        }
        progress(&replayed);
    }
    replayed.without_payload = store.rows_without_payload(id, provider).await?;
    let mut after = (String::new(), Uuid::nil());
    loop {
        let batch = store.quarantined_after(id, (&after.0, after.1)).await?;
        let Some(last) = batch.last() else { break };
        after = (last.stream.clone(), last.hash);
        let retried = batch.iter().map(|item| Retried {
            item,
            outcome: retry(account, item),
        });
        let items: Vec<Retried<'_>> = retried.collect();
        replayed.retried += count(items.len());
        replayed.quarantine += if dry_run {
            store.preview_retry(id, &items).await?
        } else {
            store.retry_quarantine(id, &account.spec, &items).await?
        };
        progress(&replayed);
    }
    Ok(replayed)
}

impl Replayed {
    /// Reads a batch of rows again, and returns the corrections.
    fn read_again(&mut self, account: &Account, batch: Vec<StoredRow>) -> Vec<Correction> {
        let mut corrections = Vec::new();
        for stored in batch {
            self.read += 1;
            let id = &stored.transaction.provider_transaction_id;
            let transaction = match normalize(account, id, &stored.payload) {
                Ok(transaction) => transaction,
                Err((reason, detail)) => {
                    self.complain(id, reason, detail);
                    continue;
                }
            };
            let columns = differences(&stored.transaction, &transaction);
            if columns.is_empty() {
                self.unchanged += 1;
                continue;
            }
            self.changed += 1;
            if self.changes.len() < EXAMPLES {
                let id = id.clone();
                self.changes.push(ChangedRow { id, columns });
            }
            corrections.push(Correction {
                transaction,
                hash: stored.hash,
                version: stored.version,
            });
        }
        corrections
    }

    fn complain(&mut self, id: &str, reason: &'static str, detail: String) {
        self.unreadable += 1;
        if self.complaints.len() < EXAMPLES {
            let id = id.to_owned();
            self.complaints.push(UnreadableRow { id, reason, detail });
        }
    }
}

/// A word and a sentence.
pub(super) type Reason = (&'static str, String);

/// What today's code makes of the payload of a stored row.
pub(super) fn normalize(account: &Account, id: &str, payload: &str) -> Result<Transaction, Reason> {
    let normalized = account.provider.normalize(parse(payload)?.get());
    let transaction = normalized.map_err(|error| (error.reason(), error.to_string()))?;
    if transaction.provider_transaction_id != id {
        let detail = "the payload is now read as another row's".to_owned();
        return Err(("another_id", detail));
    }
    Ok(transaction)
}

/// What today's code makes of an item in quarantine; bytes that are lost stay lost.
fn retry<'a>(account: &Account, kept: &'a QuarantinedItem) -> Result<Record<'a>, Rejected<'a>> {
    let item = parse(&kept.payload).map_err(|(reason, detail)| Rejected {
        provider_transaction_id: None,
        reason,
        detail,
        payload: kept.payload.as_str().into(),
        hash: kept.hash,
    })?;
    // Today's redaction rules apply to what is stored now.
    let context = account.item_context(None, kept.reason == INVALID_UTF8);
    record(context, item.get())
}

fn parse(payload: &str) -> Result<&RawValue, Reason> {
    serde_json::from_str(payload).map_err(|error| ("unreadable_item", format!("not JSON: {error}")))
}
