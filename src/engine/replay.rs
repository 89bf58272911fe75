//! Replay: reads stored payloads again by today's code and options.
//!
//! It corrects rows that differ, and stores items in quarantine that have become readable. Each batch is a
//! transaction: memory is bounded, a daemon may run beside it, and it may be stopped at any moment. It
//! needs no lease, as it moves no checkpoint: a version that is written meanwhile wins. What cannot be read
//! stays as it is.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::engine::account::Account;
use crate::store::quarantine::QuarantinedItem;
use crate::store::replay::quarantine::{Retried, RetryOutcome};
use crate::store::replay::{Correction, StoredRow};
use crate::store::{Store, StoreError};
use paysync_provider::item::{INVALID_UTF8, ItemContext, Record, Rejected, record};
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
    pub changes: Vec<Change>,
    /// The first of the unreadable ones.
    pub complaints: Vec<Complaint>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The provider's id.
    pub id: String,
    /// What differs.
    pub columns: Vec<Difference>,
}

/// A row whose payload cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
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
    let mut replayed = Replayed::default();
    let mut after = String::new();
    loop {
        // Rows of another provider, from before the account was changed, are left out.
        let batch = store
            .stored_after(&account.id, account.spec.code, &after)
            .await?;
        let Some(last) = batch.last() else { break };
        after.clone_from(&last.transaction.provider_transaction_id);
        let corrections = replayed.read_again(account, batch);
        if !dry_run && !corrections.is_empty() {
            let corrected = store.correct(&account.id, &corrections).await?;
            for (id, detail) in &corrected.refused {
                replayed.complain(id, "refused_by_database", detail.clone());
            }
            let refused = u64::try_from(corrected.refused.len()).unwrap_or(u64::MAX);
            let wanted = u64::try_from(corrections.len()).unwrap_or(u64::MAX);
            let overtaken = wanted.saturating_sub(corrected.written + refused);
            replayed.overtaken += overtaken;
            replayed.changed -= overtaken + refused;
        }
        progress(&replayed);
    }
    replayed.without_payload = store
        .rows_without_payload(&account.id, account.spec.code)
        .await?;
    let mut after = (String::new(), Uuid::nil());
    loop {
        let batch = store
            .quarantined_after(&account.id, (&after.0, after.1))
            .await?;
        let Some(last) = batch.last() else { break };
        after = (last.stream.clone(), last.hash);
        let items: Vec<Retried<'_>> = batch
            .iter()
            .map(|item| Retried {
                item,
                outcome: retry(account, item),
            })
            .collect();
        replayed.retried += u64::try_from(items.len()).unwrap_or(u64::MAX);
        replayed.quarantine += if dry_run {
            store.preview_retry(&account.id, &items).await?
        } else {
            store
                .retry_quarantine(&account.id, account.spec.code, &items)
                .await?
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
            let transaction = match normalize(account, &stored.payload) {
                Ok(transaction) if transaction.provider_transaction_id == *id => transaction,
                Ok(_) => {
                    let detail = "the payload is now read as another row's".to_owned();
                    self.complain(id, "another_id", detail);
                    continue;
                }
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
                self.changes.push(Change { id, columns });
            }
            corrections.push(Correction {
                transaction,
                hash: stored.hash,
                changed_at: stored.changed_at,
            });
        }
        corrections
    }

    fn complain(&mut self, id: &str, reason: &'static str, detail: String) {
        self.unreadable += 1;
        if self.complaints.len() < EXAMPLES {
            let id = id.to_owned();
            self.complaints.push(Complaint { id, reason, detail });
        }
    }
}

fn normalize(account: &Account, payload: &str) -> Result<Transaction, (&'static str, String)> {
    let item: &RawValue = serde_json::from_str(payload).map_err(|error| not_json(&error))?;
    account
        .provider
        .normalize(item.get())
        .map_err(|error| (error.reason(), error.to_string()))
}

/// What today's code makes of an item in quarantine; bytes that are lost stay lost.
fn retry<'a>(account: &Account, kept: &'a QuarantinedItem) -> Result<Record<'a>, Rejected<'a>> {
    let item: &RawValue = serde_json::from_str(&kept.payload).map_err(|error| {
        let (reason, detail) = not_json(&error);
        Rejected {
            provider_transaction_id: None,
            reason,
            detail,
            payload: kept.payload.as_str().into(),
            hash: kept.hash,
        }
    })?;
    // Today's redaction rules apply to what is stored now.
    let context = ItemContext {
        provider: &*account.provider,
        spec: &account.spec,
        rules: &account.rules,
        axis: None,
        lossy: kept.reason == INVALID_UTF8,
    };
    record(context, item.get())
}

fn not_json(error: &serde_json::Error) -> (&'static str, String) {
    ("unreadable_item", format!("not JSON: {error}"))
}
