//! A transaction of the simulated merchants.

use super::money::{Amount, Currency};

/// The kind of a row; each API has its own word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    #[default]
    Payment,
    Authorization,
    Capture,
    Void,
    Refund,
    Reversal,
    Payout,
    Credit,
    Chargeback,
    Verification,
    Recurring,
    PeerToPeer,
    Advice,
}

/// The state of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    /// The customer has not completed the payment.
    #[default]
    Opened,
    Pending,
    /// The provider waits for an approval.
    Approval,
    /// The money is held until a capture or a void.
    Authorized,
    Succeeded,
    /// The customer paid more than the amount.
    Overpaid,
    Failed,
    /// Failed by a technical error.
    Broken,
    Canceled,
    Expired,
}

impl Phase {
    /// Whether the row is going to change.
    pub(crate) fn is_open(self) -> bool {
        matches!(
            self,
            Self::Opened | Self::Pending | Self::Approval | Self::Authorized
        )
    }

    /// Whether the row ended without a movement of money.
    pub(crate) fn is_unsuccessful(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Broken | Self::Canceled | Self::Expired
        )
    }
}

/// A transaction; times are microseconds since 1970.
///
/// A row stores what can change and two salts. Everything else (cards, customers, descriptions) is derived
/// from the salts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Row {
    /// A random 128-bit identifier.
    pub(crate) id: u128,
    /// The number of the row in the order of creation, from 1.
    pub(crate) number: u64,
    /// Seed of the row's own details.
    pub(crate) salt: u64,
    /// Seed of the details that the row shares with its parent.
    pub(crate) family: u64,
    /// Position of the parent in the table.
    pub(crate) parent: Option<usize>,
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
    /// Whether the row is authorized first and captured later.
    pub(crate) authorized_first: bool,
    pub(crate) test: bool,
    pub(crate) amount: Amount,
    pub(crate) currency: Currency,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) paid: Option<i64>,
    pub(crate) settled: Option<i64>,
    pub(crate) corrected: Option<i64>,
    /// Number of changes without a change of phase.
    pub(crate) revision: u32,
}

/// A time of a row that an index sorts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Axis {
    Created,
    Updated,
    Paid,
    Settled,
}

impl Axis {
    pub(super) const ALL: [Self; 4] = [Self::Created, Self::Updated, Self::Paid, Self::Settled];

    pub(crate) fn of(self, row: &Row) -> Option<i64> {
        match self {
            Self::Created => Some(row.created),
            Self::Updated => Some(row.updated),
            Self::Paid => row.paid,
            Self::Settled => row.settled,
        }
    }
}
