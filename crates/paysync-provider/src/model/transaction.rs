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

/// A column of the table `transactions`: a field of [`Transaction`].
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name, in the table and in the struct.
    pub name: &'static str,
    /// The type, and access to the field.
    pub field: Field,
    /// Whether it may name a person: erasing the person empties it.
    pub is_personal: bool,
}

/// A column's type in PostgreSQL, and access to the field; `None` is null.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    /// A text: free, or the word of a [`Kind`] or [`Status`].
    Text {
        /// Reads the field.
        get: fn(&Transaction) -> Option<&str>,
        /// Writes the field, or returns a text that the field's type does not know.
        set: fn(&mut Transaction, Option<String>) -> Result<(), String>,
    },
    /// An exact decimal.
    Numeric {
        /// Reads the field.
        get: fn(&Transaction) -> Option<&BigDecimal>,
        /// Writes the field.
        set: fn(&mut Transaction, Option<BigDecimal>),
    },
    /// An instant in whole microseconds.
    Timestamptz {
        /// Reads the field.
        get: fn(&Transaction) -> Option<DateTime<Utc>>,
        /// Writes the field.
        set: fn(&mut Transaction, Option<DateTime<Utc>>),
    },
    /// A truth value.
    Boolean {
        /// Reads the field.
        get: fn(&Transaction) -> Option<bool>,
        /// Writes the field.
        set: fn(&mut Transaction, Option<bool>),
    },
}

impl Field {
    /// The column's type as PostgreSQL spells it.
    pub const fn sql_type(self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Numeric { .. } => "numeric",
            Self::Timestamptz { .. } => "timestamptz",
            Self::Boolean { .. } => "boolean",
        }
    }
}

/// Declares the columns of [`Transaction`], one per line: `name: type`, and `personal` after the type if
/// erasing a person empties the column. The type is that of the migration, with two exceptions: `key` is
/// the text that identifies the row, and an enum with `as_str` and `of_word` is a text of a few words.
///
/// The struct, the comparison of two rows, and the store's statements all follow from this declaration.
macro_rules! transaction {
    ($($(#[$doc:meta])+ $name:ident: $type:ident $($personal:ident)?,)+) => {
        /// One step of a payment. Ids are text, amounts exact decimals in major units, times UTC instants
        /// in whole microseconds. Absent, null and empty are all `None`.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Transaction {
            $($(#[$doc])+ pub $name: transaction!(@type $type),)+
        }

        impl Transaction {
            /// The columns, in the table's order.
            pub const COLUMNS: &'static [Column] = &[$(Column {
                name: stringify!($name),
                field: transaction!(@field $type $name),
                is_personal: transaction!(@personal $($personal)?),
            }),+];
        }
    };

    (@type key) => { String };
    (@type text) => { Option<String> };
    (@type numeric) => { Option<BigDecimal> };
    (@type timestamptz) => { Option<DateTime<Utc>> };
    (@type boolean) => { Option<bool> };
    (@type $word:ident) => { $word };

    (@field key $name:ident) => {
        Field::Text {
            get: |row| Some(&row.$name),
            set: |row, key| {
                row.$name = key.unwrap_or_default();
                Ok(())
            },
        }
    };
    (@field text $name:ident) => {
        Field::Text {
            get: |row| row.$name.as_deref(),
            set: |row, text| {
                row.$name = text;
                Ok(())
            },
        }
    };
    (@field numeric $name:ident) => {
        Field::Numeric { get: |row| row.$name.as_ref(), set: |row, number| row.$name = number }
    };
    (@field timestamptz $name:ident) => {
        Field::Timestamptz { get: |row| row.$name, set: |row, time| row.$name = time }
    };
    (@field boolean $name:ident) => {
        Field::Boolean { get: |row| row.$name, set: |row, flag| row.$name = flag }
    };
    (@field $word:ident $name:ident) => {
        Field::Text {
            get: |row| Some(row.$name.as_str()),
            set: |row, word| {
                let word = word.unwrap_or_default();
                row.$name = $word::of_word(&word).ok_or(word)?;
                Ok(())
            },
        }
    };

    (@personal) => { false };
    (@personal personal) => { true };
}

transaction! {
    /// The provider's id of this row, unique within the account.
    provider_transaction_id: key,
    /// The row this one follows from (the payment of a refund).
    parent_transaction_id: text,
    /// What all rows of one payment share; none where nothing says so. Rows that name no parent are one
    /// payment if they share it: `docs/ARCHITECTURE.md`, "Views are a contract".
    payment_group_id: text,
    /// The merchant's own reference.
    merchant_reference: text,
    /// The provider's shop or project.
    shop_id: text,
    /// What the row does.
    kind: Kind,
    /// The provider's word for it.
    provider_kind: text,
    /// How the step ended.
    status: Status,
    /// The provider's word for it.
    provider_status: text,
    /// Amount asked for, in `currency`.
    amount: numeric,
    /// Currency of `amount` as the provider writes it.
    currency: text,
    /// Amount really paid, where the provider tells it apart; in `currency`.
    paid_amount: numeric,
    /// Amount in the other currency of a conversion.
    converted_amount: numeric,
    /// Currency of `converted_amount`.
    converted_currency: text,
    /// The provider's fee.
    fee: numeric,
    /// Currency of `fee`.
    fee_currency: text,
    /// When the provider made the row.
    created_at: timestamptz,
    /// When the provider last changed it; the version guard.
    updated_at: timestamptz,
    /// When it was paid, in the provider's words; no proof of success.
    paid_at: timestamptz,
    /// When it was settled.
    settled_at: timestamptz,
    /// Payment method, the provider's word.
    payment_method: text,
    /// Card brand, the provider's word.
    card_brand: text,
    /// First six to eight digits of the card.
    card_bin: text personal,
    /// Last four digits of the card.
    card_last4: text personal,
    /// Country of the card's issuer, ISO 3166-1 alpha-2 as sent.
    card_issuer_country: text,
    /// The customer's id.
    customer_id: text personal,
    /// The customer's e-mail address.
    customer_email: text personal,
    /// The customer's network address.
    customer_ip: text personal,
    /// Why it failed, a code; only on failed and canceled rows.
    error_code: text,
    /// Why it failed, in words; only on failed and canceled rows.
    error_message: text,
    /// Retrieval reference number.
    rrn: text,
    /// Acquirer reference number.
    arn: text,
    /// Authorization code.
    auth_code: text,
    /// The acquirer's or method's own reference.
    provider_reference: text,
    /// Gateway or terminal that handled it.
    gateway: text,
    /// Free text.
    description: text personal,
    /// Whether it moved no real money.
    is_test: boolean,
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
