//! The options of a report account: payment methods, time axes, one status.

use serde::Deserialize;

use crate::error::SettingsError;

/// The statuses of the API's filter; rows have more.
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
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    payment_method_types: Option<Vec<String>>,
    date_types: Option<Vec<DateType>>,
    /// Whether manually corrected rows are read by streams of their own.
    #[serde(default = "yes")]
    pub(super) manual_corrections: bool,
    status: Option<String>,
    backfill_before: Option<u64>,
}

const fn yes() -> bool {
    true
}

impl Options {
    /// The payment methods, each read by streams of its own. Not limited to the documented ones: brands of
    /// the platform add others, such as `alternative`.
    pub(super) fn payment_method_types(&self) -> Result<Vec<String>, SettingsError> {
        let methods = match &self.payment_method_types {
            None => vec!["credit_card".to_owned()],
            Some(methods) => methods.clone(),
        };
        if methods.is_empty() || methods.iter().any(|method| method.trim().is_empty()) {
            return error("payment_method_types", "a payment method is expected");
        }
        distinct("payment_method_types", &methods)?;
        Ok(methods)
    }

    /// The time axes, which include creation.
    pub(super) fn date_types(&self) -> Result<Vec<DateType>, SettingsError> {
        let all = [DateType::Created, DateType::Paid, DateType::Settled];
        let date_types = self.date_types.clone().unwrap_or_else(|| all.to_vec());
        if !date_types.contains(&DateType::Created) {
            return error(
                "date_types",
                "created_at is missing, and the history is read by it",
            );
        }
        distinct("date_types", &date_types)?;
        Ok(date_types)
    }

    /// The id before which the backfill starts to page backwards; none to page forwards.
    pub(super) fn backfill_before(&self) -> Result<Option<String>, SettingsError> {
        match self.backfill_before {
            Some(0) => error("backfill_before", "an id above every row's is expected"),
            before => Ok(before.map(|id| id.to_string())),
        }
    }

    /// The status to read; all by default, because rows have more statuses than the filter.
    pub(super) fn status(&self) -> Result<&'static str, SettingsError> {
        let wanted = self.status.as_deref().unwrap_or("all");
        match STATUSES.iter().find(|status| **status == wanted) {
            Some(status) => Ok(status),
            None => error(
                "status",
                &format!("expected one of {}", STATUSES.join(", ")),
            ),
        }
    }
}

fn distinct<T: PartialEq>(option: &str, values: &[T]) -> Result<(), SettingsError> {
    let is_again = |(index, value): (usize, &T)| values.iter().take(index).any(|v| v == value);
    if values.iter().enumerate().any(is_again) {
        return error(option, "a value occurs twice");
    }
    Ok(())
}

fn error<T>(option: &str, reason: &str) -> Result<T, SettingsError> {
    Err(SettingsError(format!("options.{option}: {reason}")))
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::Settings;

    fn read(options: Value) -> Result<(Vec<String>, Vec<DateType>, &'static str), SettingsError> {
        let settings = Settings {
            time_zone: Tz::UTC,
            options,
        };
        let options: Options = settings.options()?;
        options.backfill_before()?;
        Ok((
            options.payment_method_types()?,
            options.date_types()?,
            options.status()?,
        ))
    }

    #[test]
    fn the_defaults_read_cards_along_every_axis() {
        let (methods, date_types, status) = read(json!({})).unwrap();
        assert_eq!(methods, ["credit_card"]);
        assert_eq!(date_types.len(), 3);
        assert_eq!(status, "all");
        let options: Options = serde_json::from_value(json!({})).unwrap();
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
