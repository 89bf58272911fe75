//! The normalized row: what BI reads, whatever provider it came from.

use std::fmt;

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};

/// What a row does. `other` never loses the provider's word: see [`Transaction::provider_kind`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Money taken from a customer in one step.
    Payment,
    /// Money held, to be captured or voided.
    Authorization,
    /// Held money taken.
    Capture,
    /// Held money let go.
    Void,
    /// Money given back.
    Refund,
    /// Money sent to a customer.
    Payout,
    /// Money taken back by the customer's bank.
    Chargeback,
    /// A card or account checked without moving money.
    Verification,
    /// Anything else, and words not known yet.
    #[default]
    Other,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Payment,
        Self::Authorization,
        Self::Capture,
        Self::Void,
        Self::Refund,
        Self::Payout,
        Self::Chargeback,
        Self::Verification,
        Self::Other,
    ];

    /// The kind that a word in the `kind` column stands for.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The word in the `kind` column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Authorization => "authorization",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Payout => "payout",
            Self::Chargeback => "chargeback",
            Self::Verification => "verification",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How this one step ended, not what became of the whole payment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Done. It stays so when the money is given back: that is a row of its own.
    Succeeded,
    /// Held by the provider itself, waiting for a capture or a void.
    Authorized,
    /// Not decided yet.
    Pending,
    /// Refused or broken.
    Failed,
    /// Called off or run out of time.
    Canceled,
    /// A word not known yet; the provider's own stands beside it.
    #[default]
    Unknown,
}

impl Status {
    const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Authorized,
        Self::Pending,
        Self::Failed,
        Self::Canceled,
        Self::Unknown,
    ];

    /// The status that a word in the `status` column stands for.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// The word in the `status` column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Authorized => "authorized",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Unknown => "unknown",
        }
    }

    /// Whether an error code on the row tells why it ended so.
    pub const fn is_unsuccessful(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One step of a payment. Ids are text, amounts exact decimals in major units, times UTC instants
/// in whole microseconds. Absent, null and empty are all `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The provider's id of this row, unique within the account.
    pub provider_transaction_id: String,
    /// The row this one follows from (the payment of a refund).
    pub parent_transaction_id: Option<String>,
    /// What all rows of one payment share; none where nothing says so. Rows that name no parent are one
    /// payment if they share it: `docs/ARCHITECTURE.md`, "Views are a contract".
    pub payment_group_id: Option<String>,
    /// The merchant's own reference.
    pub merchant_reference: Option<String>,
    /// The provider's shop or project.
    pub shop_id: Option<String>,
    /// What the row does.
    pub kind: Kind,
    /// The provider's word for it.
    pub provider_kind: Option<String>,
    /// How the step ended.
    pub status: Status,
    /// The provider's word for it.
    pub provider_status: Option<String>,
    /// Amount asked for, in `currency`.
    pub amount: Option<BigDecimal>,
    /// Currency of `amount` as the provider writes it.
    pub currency: Option<String>,
    /// Amount really paid, where the provider tells it apart; in `currency`.
    pub paid_amount: Option<BigDecimal>,
    /// Amount in the other currency of a conversion.
    pub converted_amount: Option<BigDecimal>,
    /// Currency of `converted_amount`.
    pub converted_currency: Option<String>,
    /// The provider's fee.
    pub fee: Option<BigDecimal>,
    /// Currency of `fee`.
    pub fee_currency: Option<String>,
    /// When the provider made the row.
    pub created_at: Option<DateTime<Utc>>,
    /// When the provider last changed it; the version guard.
    pub updated_at: Option<DateTime<Utc>>,
    /// When it was paid, in the provider's words; no proof of success.
    pub paid_at: Option<DateTime<Utc>>,
    /// When it was settled.
    pub settled_at: Option<DateTime<Utc>>,
    /// Payment method, the provider's word.
    pub payment_method: Option<String>,
    /// Card brand, the provider's word.
    pub card_brand: Option<String>,
    /// First six to eight digits of the card.
    pub card_bin: Option<String>,
    /// Last four digits of the card.
    pub card_last4: Option<String>,
    /// Country of the card's issuer, ISO 3166-1 alpha-2 as sent.
    pub card_issuer_country: Option<String>,
    /// The customer's id.
    pub customer_id: Option<String>,
    /// The customer's e-mail address.
    pub customer_email: Option<String>,
    /// The customer's network address.
    pub customer_ip: Option<String>,
    /// Why it failed, a code; only on failed and canceled rows.
    pub error_code: Option<String>,
    /// Why it failed, in words; only on failed and canceled rows.
    pub error_message: Option<String>,
    /// Retrieval reference number.
    pub rrn: Option<String>,
    /// Acquirer reference number.
    pub arn: Option<String>,
    /// Authorization code.
    pub auth_code: Option<String>,
    /// The acquirer's or method's own reference.
    pub provider_reference: Option<String>,
    /// Gateway or terminal that handled it.
    pub gateway: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Whether it moved no real money.
    pub is_test: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        // A new one does not compile here until it has a place among all.
        let place = |kind| match kind {
            Kind::Payment => 0,
            Kind::Authorization => 1,
            Kind::Capture => 2,
            Kind::Void => 3,
            Kind::Refund => 4,
            Kind::Payout => 5,
            Kind::Chargeback => 6,
            Kind::Verification => 7,
            Kind::Other => 8,
        };
        assert_eq!(Kind::ALL.map(place), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let place = |status| match status {
            Status::Succeeded => 0,
            Status::Authorized => 1,
            Status::Pending => 2,
            Status::Failed => 3,
            Status::Canceled => 4,
            Status::Unknown => 5,
        };
        assert_eq!(Status::ALL.map(place), [0, 1, 2, 3, 4, 5]);
        for kind in Kind::ALL {
            assert_eq!(Kind::of_word(kind.as_str()), Some(kind));
        }
        for status in Status::ALL {
            assert_eq!(Status::of_word(status.as_str()), Some(status));
        }
        assert_eq!(Kind::of_word("gift"), None);
        assert_eq!(Status::of_word(""), None);
    }
}
