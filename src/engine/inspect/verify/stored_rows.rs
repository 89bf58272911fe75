//! What is stored: each row beside its payload, its payment and the totals.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::finding::{Finding, are, failed, noted, proven};
use crate::engine::account::Account;
use crate::engine::replay::rows::normalize;
use crate::store::inspect::stored_rows::{Deviations, Row};
use crate::store::{Store, StoreError};
use paysync_provider::model::differences;

/// Rows of one statement; one is in memory at a time.
pub(super) const BATCH: u32 = 1000;

pub(super) async fn misplaced_rows(store: &Store, account: &str) -> Result<Deviations, StoreError> {
    let mut misplaced = Deviations::default();
    let mut after = Some(String::new());
    while let Some(last) = after {
        let (found, next) = store.misplaced_rows(account, &last, BATCH).await?;
        misplaced.count += found.count;
        misplaced.example = misplaced.example.or(found.example);
        after = next;
    }
    Ok(misplaced)
}

/// The rows of an account with their payloads, as far as they have been read.
#[derive(Debug, Default)]
pub(super) struct StoredRows {
    seen: u64,
    expired: u64,
    missing: u64,
    altered_payloads: u64,
    /// The first row with a fault of its payload.
    payload_example: Option<String>,
    altered_columns: Deviations,
    outdated_columns: Deviations,
}

impl StoredRows {
    pub(super) fn see(&mut self, account: &Account, row: &Row) {
        self.seen += 1;
        self.check_payload(row);
        // Rows of another provider, from before the account was changed, cannot be read.
        let payload = row.payload.as_ref();
        let payload = payload.filter(|_| row.provider == account.spec.code);
        let different = payload.map(|payload| different(account, row, payload));
        if different.as_ref().is_some_and(String::is_empty) {
            return;
        }
        let as_written = row
            .columns_hash
            .is_none_or(|hash| hash == row.transaction.columns_hash());
        let deviations = match &different {
            _ if !as_written => &mut self.altered_columns,
            Some(_) => &mut self.outdated_columns,
            None => return,
        };
        deviations.count += 1;
        deviations.example.get_or_insert_with(|| {
            let id = &row.transaction.provider_transaction_id;
            different.map_or_else(|| id.clone(), |columns| format!("{id} ({columns})"))
        });
    }

    fn check_payload(&mut self, row: &Row) {
        let fault = match &row.payload {
            None if row.may_be_missing => {
                self.expired += 1;
                return;
            }
            None => &mut self.missing,
            Some(text) if Uuid::from_u128(xxh3_128(text.as_bytes())) != row.hash => {
                &mut self.altered_payloads
            }
            Some(_) => return,
        };
        *fault += 1;
        self.payload_example
            .get_or_insert_with(|| row.transaction.provider_transaction_id.clone());
    }

    /// Every row has the payload that it was made of, unless that has expired.
    pub(super) fn payloads(&self) -> Finding {
        let (seen, altered) = (self.seen, self.altered_payloads);
        if let Some(id) = &self.payload_example {
            let missing = are(self.missing, "is", "are");
            return failed(
                format!("of {seen} {missing} missing and {altered} altered, as that of {id}"),
                "payloads were changed behind paysync's back: restore them from a backup",
            );
        }
        let mut detail = format!("{} are those their rows were made of", seen - self.expired);
        if self.expired > 0 {
            let expired = are(self.expired, "was deleted", "were deleted");
            detail = format!("{detail}, {expired} by retention or erased");
        }
        proven(detail)
    }

    /// Every row is what its payload says, or at least as paysync wrote it.
    pub(super) fn columns(&self, account: &str) -> Finding {
        let (altered, outdated) = (&self.altered_columns, &self.outdated_columns);
        if let Some(example) = &altered.example {
            let rows = are(altered.count, "row is", "rows are");
            return failed(
                format!("{rows} not as paysync wrote them, as {example}"),
                format!(
                    "rows were changed behind paysync's back: paysync replay --account {account} reads them again from their \
                     payloads, and paysync recount --account {account} sums them up again; restore those without a payload \
                     from a backup"
                ),
            );
        }
        if let Some(example) = &outdated.example {
            let rows = are(outdated.count, "row was", "rows were");
            let hint = format!("paysync replay --account {account} reads them again");
            return noted(
                format!(
                    "{rows} read by another version of paysync or by other options, as {example}"
                ),
                Some(&hint),
            );
        }
        proven(are(self.seen, "row is", "rows are") + " as read")
    }
}

/// The columns in which a row differs from what its payload says, or why the payload says nothing; empty if
/// there is no difference.
fn different(account: &Account, row: &Row, payload: &str) -> String {
    let stored = &row.transaction;
    match normalize(account, &stored.provider_transaction_id, payload) {
        Ok(read) => {
            let columns = differences(stored, &read);
            let columns: Vec<&str> = columns.iter().map(|difference| difference.column).collect();
            columns.join(", ")
        }
        Err((reason, _)) => reason.to_owned(),
    }
}

/// Every row is in the payment that the rows say.
pub(super) fn payments(account: &str, misplaced: &Deviations) -> Finding {
    let Some(id) = &misplaced.example else {
        return proven("each row belongs to its payment");
    };
    let rows = are(misplaced.count, "row has", "rows have");
    let hint = format!("paysync recount --account {account} derives it again");
    failed(
        format!("{rows} another payment_key than the rows say, as {id}"),
        hint,
    )
}

/// The totals are those of the rows.
pub(super) fn totals(account: &str, wrong: &Deviations) -> Finding {
    let Some(sum) = &wrong.example else {
        return proven("the sums by day are those of the rows");
    };
    let sums = are(wrong.count, "sum by day is", "sums by day are");
    let hint = format!("paysync recount --account {account} sums the rows up again");
    failed(format!("{sums} not that of the rows, as {sum}"), hint)
}
