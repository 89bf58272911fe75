//! What can be wrong with settings, pages, items, and what a refusal means.

use thiserror::Error;

use crate::model::money::AmountError;

/// An account's settings do not fit its provider. Says which key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

/// An answer that is no page of the API.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PageError {
    /// The body is not JSON, or cut short.
    #[error("the answer is not valid JSON (line {line}, column {column})")]
    NotJson {
        /// Line of the first offence, from 1.
        line: usize,
        /// Column of it.
        column: usize,
    },
    /// A web page where JSON is due.
    #[error("the answer is a web page, not JSON")]
    Html,
    /// JSON of another shape.
    #[error("the answer lacks {0}")]
    Missing(&'static str),
    /// More items than any page has.
    #[error("the answer holds more than {0} items")]
    TooMany(usize),
    /// The provider's cursor cannot be used.
    #[error("the answer has no usable cursor: {0}")]
    Cursor(&'static str),
    /// The answer's signature does not match.
    #[error("the answer's signature does not match")]
    Signature,
    /// A checkpoint of another provider, or a stream that does not exist: a defect, not an answer.
    #[error("no request can be made: {0}")]
    Position(&'static str),
}

/// An item that cannot become a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The item is not a JSON object of the expected shape.
    #[error("not an object of the expected shape")]
    Shape,
    /// No id, or an empty one.
    #[error("{field} is missing")]
    MissingId {
        /// The provider's name of the field.
        field: &'static str,
    },
    /// An amount that cannot be read.
    #[error("{field}: {cause}")]
    Amount {
        /// The provider's name of the field.
        field: &'static str,
        /// Why.
        cause: AmountError,
    },
    /// A currency without known decimals, at a provider that sends minor units.
    #[error("{field}: the decimals of this currency are unknown")]
    Currency {
        /// The provider's name of the field.
        field: &'static str,
    },
    /// A time that cannot be read.
    #[error("{field}: not a time")]
    Time {
        /// The provider's name of the field.
        field: &'static str,
    },
}

impl RecordError {
    /// The word in the quarantine's `reason` column.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Shape => "unreadable_item",
            Self::MissingId { .. } => "missing_id",
            Self::Amount { .. } => "unreadable_amount",
            Self::Currency { .. } => "unknown_currency",
            Self::Time { .. } => "unreadable_time",
        }
    }
}

/// What an answer that is no page means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What to do about it.
    pub kind: RefusalKind,
    /// The provider's own words, cut to a line.
    pub message: String,
}

/// What to do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Passing trouble: ask again later.
    Unavailable,
    /// Too many requests.
    RateLimited,
    /// The credentials are wrong, or lack a right.
    Unauthorized,
    /// A proxy in between said no, with a web page.
    Blocked,
    /// This request will never be taken as it is.
    Rejected,
    /// The host points elsewhere; the answer is not followed.
    Redirected,
}

impl RefusalKind {
    /// The meaning of an HTTP status, unless the provider knows more.
    pub const fn of_status(status: u16, html: bool) -> Self {
        match status {
            408 | 425 | 500..=599 => Self::Unavailable,
            429 => Self::RateLimited,
            403 if html => Self::Blocked,
            401 | 403 => Self::Unauthorized,
            300..=399 => Self::Redirected,
            _ => Self::Rejected,
        }
    }
}
