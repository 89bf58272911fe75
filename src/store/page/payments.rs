//! Rows and their payments: which of the rows that were written must be joined with stored ones.
//!
//! The rule is in the migration `payment_keys`.

use crate::store::pool::DbWork;
use paysync_provider::model::{PaymentLinks, Transaction};

/// What is still to be joined before the transaction commits.
#[derive(Debug, Default)]
pub(crate) struct Unjoined {
    /// New rows that may be linked with stored ones, each with the row that it follows from and its group.
    ids: Vec<String>,
    followed_ids: Vec<Option<String>>,
    /// None if the provider names no groups.
    named_groups: Option<Vec<Option<String>>>,
    /// Payments that a changed row may have left.
    pub(crate) left_keys: Vec<String>,
}

impl Unjoined {
    /// Remembers a new row, if it may be linked with stored ones.
    pub(super) fn push(&mut self, row: &Transaction, links: PaymentLinks) {
        if !row.may_join(links) {
            return;
        }
        self.ids.push(row.provider_transaction_id.clone());
        self.followed_ids.push(row.followed_id().map(str::to_owned));
        if links.group {
            let groups = self.named_groups.get_or_insert_default();
            groups.push(row.payment_group_id.clone());
        }
    }

    pub(crate) fn append(&mut self, mut part: Self) {
        self.ids.append(&mut part.ids);
        self.followed_ids.append(&mut part.followed_ids);
        if let Some(mut groups) = part.named_groups {
            self.named_groups
                .get_or_insert_default()
                .append(&mut groups);
        }
        self.left_keys.append(&mut part.left_keys);
    }
}

/// The key of a new row of the provider `$2` as far as the row alone determines it, in SQL.
pub(crate) const OWN_KEY: &str = "paysync.own_payment_key($2, kind, provider_transaction_id, parent_transaction_id, payment_group_id)";

/// The key of the payment that a changed row may have left, in SQL: null if its links stay.
pub(crate) const LEFT_KEY: &str = "
    CASE WHEN (
        paysync.followed_id(new.kind, new.provider_transaction_id, new.parent_transaction_id),
        paysync.named_group(new.provider, new.payment_group_id)
    ) IS DISTINCT FROM (
        paysync.followed_id(old.kind, old.provider_transaction_id, old.parent_transaction_id),
        paysync.named_group(old.provider, old.payment_group_id)
    ) THEN old.payment_key END";

/// Joins rows to their payments. From here to the commit, no other writer of the account joins.
pub(crate) async fn join(
    work: &mut DbWork<'_>,
    account_id: &str,
    unjoined: &Unjoined,
) -> Result<(), sqlx::Error> {
    if unjoined.ids.is_empty() && unjoined.left_keys.is_empty() {
        return Ok(());
    }
    sqlx::query_scalar!(
        "SELECT paysync.join_payments($1, $2, $3, $4, $5)",
        account_id,
        &unjoined.ids,
        &unjoined.followed_ids as &[Option<String>],
        unjoined.named_groups.as_deref() as Option<&[Option<String>]>,
        &unjoined.left_keys,
    )
    .fetch_one(work)
    .await?;
    Ok(())
}
