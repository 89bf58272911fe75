//! What a check found.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Proven,
    /// Nothing is lost, but an operator may want to know.
    Noted,
    /// Something is missing, or not as paysync left it.
    Unproven,
}

impl Verdict {
    /// The word in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Noted => "noted",
            Self::Unproven => "NOT PROVEN",
        }
    }
}

/// The result of a check, what was found, and what an operator can do.
pub(super) type Finding = (Verdict, String, Option<String>);

pub(super) fn proven(detail: impl Into<String>) -> Finding {
    (Verdict::Proven, detail.into(), None)
}

pub(super) fn noted(detail: String, hint: Option<&str>) -> Finding {
    (Verdict::Noted, detail, hint.map(str::to_owned))
}

pub(super) fn failed(detail: impl Into<String>, hint: impl Into<String>) -> Finding {
    (Verdict::Unproven, detail.into(), Some(hint.into()))
}

/// A count with the word for one or for many.
pub(super) fn are(count: impl Into<i128>, one: &str, many: &str) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { one } else { many })
}

pub(super) fn instant(instant: Option<DateTime<Utc>>) -> String {
    instant.map_or_else(
        || "for ever".to_owned(),
        |instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}
