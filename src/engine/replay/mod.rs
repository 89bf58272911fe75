//! Replay: reads stored payloads again by today's code and options, and redacts all that is stored by today's
//! rules.
//!
//! It corrects rows that differ, and stores items in quarantine that have become readable. Each batch is a
//! transaction: memory is bounded, a daemon may run beside it, and it may be stopped at any moment. It
//! needs no lease, as it moves no checkpoint: a version that is written meanwhile wins. A payload that
//! cannot be read leaves its row as it is, but for what is redacted.

mod redactor;
pub(super) mod rows;

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::engine::account::Account;
use crate::number::count;
use crate::store::quarantine::QuarantinedItem;
use crate::store::replay::quarantine::{Retried, RetryOutcome};
use crate::store::replay::redaction::{RedactedItem, StoredVersion};
use crate::store::{Store, StoreError};
use paysync_provider::item::{INVALID_UTF8, Record, Rejected, record};
use paysync_provider::model::Difference;
use redactor::Redactor;

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
    /// Replaced versions looked at.
    pub versions: u64,
    /// Items in quarantine tried again.
    pub retried: u64,
    /// What became of them.
    pub quarantine: RetryOutcome,
    /// What today's rules redacted further.
    pub redacted: RedactedTexts,
    /// The first of the changed rows.
    pub changes: Vec<ChangedRow>,
    /// The first of the unreadable ones.
    pub complaints: Vec<UnreadableRow>,
}

/// Stored texts that today's rules redacted further, or would.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RedactedTexts {
    /// Payloads of rows.
    pub payloads: u64,
    /// Rows that could not be read again, in their columns.
    pub rows: u64,
    /// Replaced versions.
    pub versions: u64,
    /// Items in quarantine.
    pub quarantined: u64,
    /// Error messages of the account, its streams and windows.
    pub errors: u64,
}

impl RedactedTexts {
    /// The counts with their names in reports.
    pub const fn by_kind(&self) -> [(&'static str, u64); 5] {
        [
            ("payloads", self.payloads),
            ("rows", self.rows),
            ("versions", self.versions),
            ("quarantine", self.quarantined),
            ("errors", self.errors),
        ]
    }
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
    let replay = Replay {
        store,
        account,
        redactor: Redactor::new(account),
        dry_run,
    };
    let mut replayed = Replayed::default();
    replay.read_rows(&mut replayed, &progress).await?;
    // After the rows: a page that replaced one meanwhile has added what it replaced to the versions.
    replay.redact_versions(&mut replayed, &progress).await?;
    // Before the retry: an item that gets a later key is not retried twice.
    replay.redact_quarantine(&mut replayed).await?;
    replay.retry_quarantine(&mut replayed, &progress).await?;
    replay.redact_errors(&mut replayed).await?;
    Ok(replayed)
}

/// A replay of an account.
struct Replay<'a> {
    store: &'a Store,
    account: &'a Account,
    redactor: Redactor<'a>,
    dry_run: bool,
}

impl Replay<'_> {
    async fn read_rows(
        &self,
        replayed: &mut Replayed,
        progress: impl Fn(&Replayed),
    ) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let batch = self.store.stored_after(&self.account.id, &after).await?;
            let Some(last) = batch.last() else {
                return Ok(());
            };
            after.clone_from(&last.transaction.provider_transaction_id);
            self.read_again(batch, replayed).await?;
            progress(replayed);
        }
    }

    async fn redact_versions(
        &self,
        replayed: &mut Replayed,
        progress: impl Fn(&Replayed),
    ) -> Result<(), StoreError> {
        let id = &self.account.id;
        let mut after = (String::new(), 0);
        loop {
            let batch = self.store.versions_after(id, (&after.0, after.1)).await?;
            let Some(last) = batch.last() else {
                return Ok(());
            };
            after
                .0
                .clone_from(&last.transaction.provider_transaction_id);
            after.1 = last.version;
            replayed.versions += count(batch.len());
            let redacted = batch.into_iter().filter_map(|stored| {
                let row = self.redactor.row(&stored.provider, &stored.transaction);
                Some(StoredVersion {
                    transaction: row?,
                    ..stored
                })
            });
            let redacted: Vec<StoredVersion> = redacted.collect();
            replayed.redacted.versions += match redacted.len() {
                found if self.dry_run || found == 0 => count(found),
                _ => self.store.redact_versions(id, &redacted).await?,
            };
            progress(replayed);
        }
    }

    async fn redact_quarantine(&self, replayed: &mut Replayed) -> Result<(), StoreError> {
        let (id, provider) = (&self.account.id, self.account.spec.code);
        let mut after = (String::new(), Uuid::nil());
        loop {
            let batch = self.store.quarantined_after(id, (&after.0, after.1));
            let batch = batch.await?;
            let Some(last) = batch.last() else {
                return Ok(());
            };
            after = (last.stream.clone(), last.hash);
            let redacted = batch.iter().filter_map(|item| {
                let payload = self.redactor.item(provider, &item.payload)?;
                Some(RedactedItem { item, payload })
            });
            let redacted: Vec<RedactedItem<'_>> = redacted.collect();
            replayed.redacted.quarantined += match redacted.len() {
                found if self.dry_run || found == 0 => count(found),
                _ => self.store.redact_quarantined(id, &redacted).await?,
            };
        }
    }

    async fn retry_quarantine(
        &self,
        replayed: &mut Replayed,
        progress: impl Fn(&Replayed),
    ) -> Result<(), StoreError> {
        let id = &self.account.id;
        let mut after = (String::new(), Uuid::nil());
        loop {
            let batch = self.store.quarantined_after(id, (&after.0, after.1));
            let batch = batch.await?;
            let Some(last) = batch.last() else {
                return Ok(());
            };
            after = (last.stream.clone(), last.hash);
            let retried = batch.iter().map(|item| Retried {
                item,
                outcome: retry(self.account, item),
            });
            let items: Vec<Retried<'_>> = retried.collect();
            replayed.retried += count(items.len());
            replayed.quarantine += if self.dry_run {
                self.store.preview_retry(id, &items).await?
            } else {
                self.store
                    .retry_quarantine(id, &self.account.spec, &items)
                    .await?
            };
            progress(replayed);
        }
    }

    async fn redact_errors(&self, replayed: &mut Replayed) -> Result<(), StoreError> {
        let id = &self.account.id;
        for message in self.store.error_messages(id).await? {
            let redacted = self.account.redact_message(&message);
            if redacted == message {
                continue;
            }
            replayed.redacted.errors += 1;
            if !self.dry_run {
                let replace = self.store.replace_error_message(id, &message, &redacted);
                replace.await?;
            }
        }
        Ok(())
    }
}

/// A word and a sentence.
pub(super) type Reason = (&'static str, String);

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
