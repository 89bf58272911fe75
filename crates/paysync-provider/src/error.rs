//! Errors in settings, answers and items, and the meaning of refusals.

use std::fmt;

use thiserror::Error;

use crate::model::money::AmountError;

/// An account's setting that its provider rejects; the text starts with the key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

impl SettingsError {
    pub(crate) fn option(option: &str, reason: impl fmt::Display) -> Self {
        Self(format!("options.{option}: {reason}"))
    }
}

/// An answer that is not a valid page, or a request that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PageError {
    /// The body is not JSON, or truncated.
    #[error("the answer is not valid JSON (line {line}, column {column})")]
    NotJson {
        /// Line of the syntax error, from 1.
        line: usize,
        /// Column of the syntax error, from 1.
        column: usize,
    },
    /// HTML instead of JSON.
    #[error("the answer is a web page, not JSON")]
    Html,
    /// JSON without a required field.
    #[error("the answer lacks {0}")]
    Missing(&'static str),
    /// JSON without a required field, in which the provider refuses.
    #[error("the answer lacks {field}; the provider says: {message}")]
    Refused {
        /// The field.
        field: &'static str,
        /// What the provider says, on one line.
        message: String,
    },
    /// More items than [`wire::MAX_ITEMS`](crate::wire::MAX_ITEMS).
    #[error("the answer holds more than {0} items")]
    TooMany(usize),
    /// The provider's cursor cannot be used.
    #[error("the answer has no usable cursor: {0}")]
    Cursor(&'static str),
    /// A wrong or missing signature, where the account requires one.
    #[error("the answer's signature does not match")]
    Signature,
    /// A checkpoint of another provider or an unknown stream: a defect of paysync, not of the answer.
    #[error("cannot build a request: {0}")]
    Position(&'static str),
}

/// An item that cannot become a transaction; with the provider's name of the field.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The item is not a JSON object of the expected shape.
    #[error("not an object of the expected shape")]
    Shape,
    /// A missing or empty id.
    #[error("{0} is missing")]
    MissingId(&'static str),
    /// An amount that is not a valid decimal number.
    #[error("{0}: {1}")]
    Amount(&'static str, AmountError),
    /// An amount in minor units of a currency whose decimals are unknown.
    #[error("{0}: the decimals of this currency are unknown")]
    Currency(&'static str),
    /// A time in no known format.
    #[error("{0}: not a time")]
    Time(&'static str),
}

impl RecordError {
    /// The value of the quarantine's `reason` column.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Shape => "unreadable_item",
            Self::MissingId(_) => "missing_id",
            Self::Amount(..) => "unreadable_amount",
            Self::Currency(_) => "unknown_currency",
            Self::Time(_) => "unreadable_time",
        }
    }
}

/// The meaning of an answer with an error status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind, which decides the reaction of the engine.
    pub kind: RefusalKind,
    /// The provider's message, truncated, on one line.
    pub message: String,
}

/// Kinds of refusals, by what the engine does about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// A temporary failure: retried later.
    Unavailable,
    /// Too many requests: retried after a pause.
    RateLimited,
    /// Wrong credentials, or credentials without a permission.
    Unauthorized,
    /// A proxy's HTML page instead of the API's answer.
    Blocked,
    /// A request that the API will never accept.
    Rejected,
    /// A redirect, which is not followed.
    Redirected,
}

impl RefusalKind {
    /// The kind that follows from an HTTP status alone.
    pub const fn of_status(status: u16, html: bool) -> Self {
        match status {
            // Part of an answer, or one that a proxy changed.
            201..=299 | 408 | 425 | 500..=599 => Self::Unavailable,
            429 => Self::RateLimited,
            403 if html => Self::Blocked,
            401 | 403 => Self::Unauthorized,
            300..=399 => Self::Redirected,
            _ => Self::Rejected,
        }
    }
}
