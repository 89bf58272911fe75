//! The options of a report account: payment methods, time axes, one status.

use serde::Deserialize;

use crate::error::SettingsError;
use crate::provider::Settings;

/// The statuses of the API's filter.
const STATUSES: &[&str] = &["all", "successful", "failed", "pending", "incomplete"];

/// The time axis of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum DateType {
    #[serde(rename = "created_at")]
    Created,
    #[serde(rename = "paid_at")]
    Paid,
    #[serde(rename = "settled_at")]
    Settled,
}

impl DateType {
    /// The value of `date_type` in requests.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created_at",
            Self::Paid => "paid_at",
            Self::Settled => "settled_at",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    /// The payment methods, each read by streams of its own. Not limited to the documented ones: brands of
    /// the platform add others, such as `alternative`.
    pub(super) payment_method_types: Vec<String>,
    /// The time axes, which include creation.
    pub(super) date_types: Vec<DateType>,
    /// Whether manually corrected rows are read by streams of their own.
    pub(super) manual_corrections: bool,
    /// The status to read.
    pub(super) status: String,
    /// The id before which the backfill starts to page backwards; none to page forwards.
    pub(super) backfill_before: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            payment_method_types: vec!["credit_card".to_owned()],
            date_types: vec![DateType::Created, DateType::Paid, DateType::Settled],
            manual_corrections: true,
            // Rows have more statuses than the filter.
            status: "all".to_owned(),
            backfill_before: None,
        }
    }
}

impl Options {
    pub(super) fn read(settings: &Settings) -> Result<Self, SettingsError> {
        let options: Self = settings.options()?;
        let error = |option, reason: &str| Err(SettingsError::option(option, reason));
        let methods = &options.payment_method_types;
        if methods.is_empty() || methods.iter().any(|method| method.trim().is_empty()) {
            return error("payment_method_types", "a payment method is expected");
        }
        if !options.date_types.contains(&DateType::Created) {
            let reason = "created_at is missing, and the history is read by it";
            return error("date_types", reason);
        }
        if has_repeated(methods) {
            return error("payment_method_types", "a value occurs twice");
        }
        if has_repeated(&options.date_types) {
            return error("date_types", "a value occurs twice");
        }
        if options.backfill_before == Some(0) {
            return error("backfill_before", "an id above every row's is expected");
        }
        if !STATUSES.contains(&options.status.as_str()) {
            let reason = format!("expected one of {}", STATUSES.join(", "));
            return error("status", &reason);
        }
        Ok(options)
    }
}

fn has_repeated<T: PartialEq>(values: &[T]) -> bool {
    let is_again = |(index, value): (usize, &T)| values.iter().take(index).any(|v| v == value);
    values.iter().enumerate().any(is_again)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use serde_json::{Value, json};

    use super::*;

    fn read(options: Value) -> Result<Options, SettingsError> {
        Options::read(&Settings {
            time_zone: Tz::UTC,
            options,
        })
    }

    #[test]
    fn the_defaults_read_cards_along_every_axis() {
        let options = read(json!({})).unwrap();
        assert_eq!(options.payment_method_types, ["credit_card"]);
        assert_eq!(options.date_types.len(), 3);
        assert_eq!(options.status, "all");
        assert!(options.manual_corrections);
    }

    #[test]
    fn wrong_options_are_named() {
        for (value, expected) in [
            (
                json!({"payment_method_types": []}),
                "options.payment_method_types: a payment method",
            ),
            (
                json!({"payment_method_types": [""]}),
                "options.payment_method_types: a payment method",
            ),
            (
                json!({"payment_method_types": ["erip", "erip"]}),
                "options.payment_method_types: a value occurs twice",
            ),
            (
                json!({"date_types": ["paid_at"]}),
                "options.date_types: created_at is missing",
            ),
            (
                json!({"date_types": ["created_at", "created_at"]}),
                "options.date_types: a value occurs twice",
            ),
            (
                json!({"date_types": ["updated_at"]}),
                "options.date_types[0]: unknown variant `updated_at`",
            ),
            (
                json!({"status": "error"}),
                "options.status: expected one of all, successful",
            ),
            (
                json!({"manual_corrections": "no"}),
                "options.manual_corrections: invalid type",
            ),
            (
                json!({"backfill_before": "x"}),
                "options.backfill_before: invalid type",
            ),
            (
                json!({"backfill_before": 0}),
                "options.backfill_before: an id above every row's is expected",
            ),
        ] {
            let error = read(value).unwrap_err().0;
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
