//! The normalized row: what BI reads, whatever provider it came from.

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};

/// Declares an enum of the words that a column may hold: each variant with its word.
macro_rules! words {
    ($(#[$meta:meta])+ $name:ident { $($(#[$doc:meta])+ $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])+
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])+ $variant,)+
        }

        impl $name {
            /// The value that a word in the column stands for.
            pub fn of_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The word in the column.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// What a row does. `other` never loses the provider's word: see [`Transaction::provider_kind`].
    Kind {
        /// Money taken from a customer in one step.
        Payment = "payment",
        /// Money held, to be captured or voided.
        Authorization = "authorization",
        /// Held money taken.
        Capture = "capture",
        /// Held money released.
        Void = "void",
        /// Money given back.
        Refund = "refund",
        /// Money sent to a customer.
        Payout = "payout",
        /// Money taken back by the customer's bank.
        Chargeback = "chargeback",
        /// A card or account checked without moving money.
        Verification = "verification",
        /// Anything else, and words not known yet.
        #[default]
        Other = "other",
    }
}

words! {
    /// How this one step ended, not what became of the whole payment.
    Status {
        /// Done. It stays so when the money is given back: that is a row of its own.
        Succeeded = "succeeded",
        /// Held by the provider itself, waiting for a capture or a void.
        Authorized = "authorized",
        /// Not decided yet.
        Pending = "pending",
        /// Refused or broken.
        Failed = "failed",
        /// Called off or run out of time.
        Canceled = "canceled",
        /// A word not known yet; the provider's own stands beside it.
        #[default]
        Unknown = "unknown",
    }
}

impl Status {
    /// Whether an error code on the row gives the reason for this end.
    pub const fn is_unsuccessful(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled)
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
        let kinds =
            "payment authorization capture void refund payout chargeback verification other";
        for word in kinds.split(' ') {
            assert_eq!(Kind::of_word(word).unwrap().as_str(), word);
        }
        let statuses = "succeeded authorized pending failed canceled unknown";
        for word in statuses.split(' ') {
            assert_eq!(Status::of_word(word).unwrap().as_str(), word);
        }
        assert_eq!(Kind::of_word("gift"), None);
        assert_eq!(Status::of_word(""), None);
    }
}
