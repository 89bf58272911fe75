//! The part of the payment rule that needs one row only. The migration `payment_keys` has the whole rule, and joins
//! payments that several rows link.

use super::{Kind, Transaction};

/// Which columns of a provider's rows say that rows are one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentLinks {
    /// `parent_transaction_id`.
    pub parent: bool,
    /// `payment_group_id`: the provider itself names the group. Elsewhere the column repeats the parent.
    pub group: bool,
}

impl Transaction {
    /// The row that this one follows from within its payment. A payment or authorization begins a payment of
    /// its own even if it names a parent: a recurring charge names the first one.
    pub fn followed_id(&self) -> Option<&str> {
        let parent = self.parent_transaction_id.as_deref()?;
        let begins = matches!(self.kind, Kind::Payment | Kind::Authorization);
        (!begins && parent != self.provider_transaction_id).then_some(parent)
    }

    /// `payment_key` as far as the row alone determines it.
    pub fn own_payment_key(&self, links: PaymentLinks) -> String {
        let group = self.payment_group_id.as_deref().filter(|_| links.group);
        match group {
            Some(group) => format!("g:{group}"),
            None => format!(
                "t:{}",
                self.followed_id().unwrap_or(&self.provider_transaction_id)
            ),
        }
    }

    /// Whether rows that are stored already may be linked with this one.
    pub fn may_join(&self, links: PaymentLinks) -> bool {
        links.parent && (links.group || self.followed_id().is_some())
    }
}
