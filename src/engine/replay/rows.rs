//! Stored rows that are read and redacted again, a batch at a time.

use super::redactor::Redactor;
use super::{ChangedRow, EXAMPLES, Reason, Replay, Replayed, UnreadableRow, parse};
use crate::engine::account::Account;
use crate::store::StoreError;
use crate::store::replay::{Corrected, Correction, RedactedPayload, StoredRow};
use paysync_provider::model::{Difference, Transaction, differences};

/// A stored row, and what today's code makes of it.
struct RereadRow {
    stored: StoredRow,
    /// The payload, if it is redacted further.
    payload: Option<RedactedPayload>,
    /// The row, if it was read again and differs, or if it is redacted further.
    row: Option<Transaction>,
    reading: Reading,
}

enum Reading {
    /// What differs.
    Read(Vec<Difference>),
    Unreadable(Reason),
    /// There is no payload.
    Without,
    /// It is of another provider, from before the account was changed.
    Foreign,
}

impl RereadRow {
    fn new(account: &Account, redactor: &Redactor<'_>, stored: StoredRow) -> Self {
        let provider = stored.provider.as_str();
        let payload = redactor.payload(&stored);
        let redacted = payload.as_ref().map(|it| it.text.as_str());
        let current = redacted.or(stored.payload.as_deref());
        let reading = match current {
            _ if provider != account.spec.code => Err(Reading::Foreign),
            None => Err(Reading::Without),
            Some(payload) => {
                let id = &stored.transaction.provider_transaction_id;
                normalize(account, id, payload).map_err(Reading::Unreadable)
            }
        };
        let (row, reading) = match reading {
            Ok(row) => {
                let columns = differences(&stored.transaction, &row);
                let row = (!columns.is_empty()).then_some(row);
                (row, Reading::Read(columns))
            }
            Err(reading) => (redactor.row(provider, &stored.transaction), reading),
        };
        Self {
            stored,
            payload,
            row,
            reading,
        }
    }

    fn id(&self) -> &str {
        &self.stored.transaction.provider_transaction_id
    }

    fn correction(&self) -> Option<Correction> {
        if self.row.is_none() && self.payload.is_none() {
            return None;
        }
        let row = self.row.as_ref().unwrap_or(&self.stored.transaction);
        let mut correction = Correction::of(&self.stored, row.clone(), self.payload.clone());
        if let Reading::Read(_) = self.reading {
            correction.columns_hash = Some(row.columns_hash());
        }
        Some(correction)
    }

    /// Gives up the reading that PostgreSQL refuses; what is redacted is still written.
    fn refuse(&mut self, redactor: &Redactor<'_>, detail: String) {
        self.row = redactor.row(&self.stored.provider, &self.stored.transaction);
        self.reading = Reading::Unreadable(("refused_by_database", detail));
    }
}

/// What today's code makes of the payload of a stored row.
pub(in crate::engine) fn normalize(
    account: &Account,
    id: &str,
    payload: &str,
) -> Result<Transaction, Reason> {
    let normalized = account.provider.normalize(parse(payload)?.get());
    let transaction = normalized.map_err(|error| (error.reason(), error.to_string()))?;
    if transaction.provider_transaction_id != id {
        let detail = "the payload is now read as another row's".to_owned();
        return Err(("another_id", detail));
    }
    Ok(transaction)
}

impl Replay<'_> {
    /// Reads a batch of rows again, and corrects them unless it is a dry run.
    pub(super) async fn read_again(
        &self,
        batch: Vec<StoredRow>,
        replayed: &mut Replayed,
    ) -> Result<(), StoreError> {
        let id = &self.account.id;
        let rows = batch.into_iter();
        let rows = rows.map(|stored| RereadRow::new(self.account, &self.redactor, stored));
        let mut rows: Vec<RereadRow> = rows.collect();
        let corrections: Vec<Correction> = rows.iter().filter_map(RereadRow::correction).collect();
        let mut corrected = Corrected::default();
        if !self.dry_run && !corrections.is_empty() {
            corrected = self.store.correct(id, &corrections).await?;
            let mut left = Vec::new();
            for (id, detail) in std::mem::take(&mut corrected.refused) {
                if let Some(row) = rows.iter_mut().find(|row| row.id() == id) {
                    row.refuse(&self.redactor, detail);
                    left.extend(row.correction());
                }
            }
            if !left.is_empty() {
                let mut left = self.store.correct(id, &left).await?;
                corrected.written.append(&mut left.written);
            }
        }
        for row in rows {
            let is_written = self.dry_run || corrected.written.contains(row.id());
            replayed.count(row, is_written);
        }
        Ok(())
    }
}

impl Replayed {
    fn count(&mut self, row: RereadRow, is_written: bool) {
        let id = row.id().to_owned();
        let is_due = row.row.is_some() || row.payload.is_some();
        self.redacted.payloads += u64::from(row.payload.is_some() && is_written);
        let is_redacted = row.row.is_some() && is_written;
        match row.reading {
            Reading::Read(_) if is_due && !is_written => {
                self.read += 1;
                self.overtaken += 1;
            }
            Reading::Read(columns) if columns.is_empty() => {
                self.read += 1;
                self.unchanged += 1;
            }
            Reading::Read(columns) => {
                self.read += 1;
                self.changed += 1;
                if self.changes.len() < EXAMPLES {
                    self.changes.push(ChangedRow { id, columns });
                }
            }
            Reading::Unreadable((reason, detail)) => {
                self.read += 1;
                self.unreadable += 1;
                self.redacted.rows += u64::from(is_redacted);
                if self.complaints.len() < EXAMPLES {
                    self.complaints.push(UnreadableRow { id, reason, detail });
                }
            }
            Reading::Without => {
                self.without_payload += 1;
                self.redacted.rows += u64::from(is_redacted);
            }
            Reading::Foreign => self.redacted.rows += u64::from(is_redacted),
        }
    }
}
