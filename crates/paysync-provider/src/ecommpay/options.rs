//! The options of an ECommPay account: filters, fields and signatures.

use chrono::{DateTime, Offset as _, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use serde::Deserialize;

use super::signature::Order;
use crate::error::SettingsError;
use crate::provider::Settings;

/// Fields without which rows cannot be stored or identified.
const NEEDED_FIELDS: &[&str] = &["operation_id", "project_id", "payment_id"];

/// Objects of amount and currency; `fields` may name them as a whole or by dotted parts.
const SUMS: &[&str] = &["sum_initial", "sum_converted"];

/// The reaction to an answer with a wrong signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verify {
    /// The answer is used, with a warning.
    #[default]
    Warn,
    /// The answer is an error.
    Require,
    /// Signatures are not checked.
    Off,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    /// Projects to read; all that the token has access to if empty.
    pub(super) project_ids: Vec<u64>,
    /// The operation types to read; all if empty.
    pub(super) operation_types: Vec<String>,
    /// The operation statuses to read; all if empty.
    pub(super) operation_statuses: Vec<String>,
    /// The fields to request; the API's default fields if empty.
    pub(super) fields: Vec<String>,
    pub(super) signature_order: Order,
    pub(super) verify_signature: Verify,
}

impl Options {
    pub(super) fn read(settings: &Settings) -> Result<Self, SettingsError> {
        let mut options: Self = settings.options()?;
        for (option, names) in [
            ("operation_types", &options.operation_types),
            ("operation_statuses", &options.operation_statuses),
            ("fields", &options.fields),
        ] {
            if names.iter().any(|name| name.trim().is_empty()) {
                return Err(SettingsError::option(option, "a name is empty"));
            }
        }
        let fields = &mut options.fields;
        let has = |name: &str| fields.iter().any(|field| field == name);
        for sum in SUMS {
            let (amount, currency) = (format!("{sum}.amount"), format!("{sum}.currency"));
            if has(&amount) && !has(&currency) && !has(sum) {
                let reason =
                    format!("{currency} is missing, and {amount} cannot be read without it");
                return Err(SettingsError::option("fields", reason));
            }
        }
        if !fields.is_empty() {
            // The list may replace the API's default fields.
            let mut missing = NEEDED_FIELDS.to_vec();
            missing.retain(|name| !has(name));
            fields.extend(missing.into_iter().map(str::to_owned));
        }
        Ok(options)
    }
}

/// The zone of request intervals and of times without an offset in answers: the account's if its clocks
/// never change, else UTC. Intervals have no offset, so an hour that occurs twice in autumn would be
/// ambiguous in requests and answers.
pub(super) fn interval_zone(zone: Tz) -> Tz {
    let weeks = (0..52 * 100).filter_map(|week| {
        // From 2000: no operation is older.
        DateTime::from_timestamp(946_684_800, 0)?.checked_add_signed(TimeDelta::weeks(week))
    });
    let mut offsets = weeks.map(|at| zone.offset_from_utc_datetime(&at.naive_utc()).fix());
    let first = offsets.next();
    if offsets.all(|offset| Some(offset) == first) {
        zone
    } else {
        Tz::UTC
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn options(options: Value) -> Result<Options, String> {
        let settings = Settings {
            time_zone: Tz::UTC,
            options,
        };
        Options::read(&settings).map_err(|error| error.0)
    }

    fn fields(fields: &Value) -> Result<Vec<String>, String> {
        options(json!({ "fields": fields })).map(|options| options.fields)
    }

    #[test]
    fn the_defaults_request_everything() {
        let options = options(json!({})).unwrap();
        assert!(options.project_ids.is_empty());
        assert!(options.operation_types.is_empty());
        assert!(options.fields.is_empty());
        assert_eq!(options.signature_order, Order::Natural);
        assert_eq!(options.verify_signature, Verify::Warn);
    }

    #[test]
    fn required_fields_are_requested() {
        let all = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(
            fields(&json!(["bin", "payment_id"])),
            all(&["bin", "payment_id", "operation_id", "project_id"])
        );
        assert!(fields(&json!(["sum_initial.amount", "sum_initial.currency"])).is_ok());
        assert!(fields(&json!(["sum_initial.amount", "sum_initial"])).is_ok());
    }

    #[test]
    fn wrong_options_are_named() {
        let error = fields(&json!(["sum_converted.amount", "sum_initial"])).unwrap_err();
        assert!(
            error.contains("sum_converted.currency is missing"),
            "{error}"
        );
        assert!(fields(&json!([""])).unwrap_err().contains("options.fields"));
        for (value, expected) in [
            (
                json!({"project_ids": ["11"]}),
                "project_ids[0]: invalid type",
            ),
            (
                json!({"project_ids": [1, -1]}),
                "project_ids[1]: invalid value",
            ),
            (
                json!({"signature_order": "reverse"}),
                "signature_order: unknown variant `reverse`",
            ),
            (
                json!({"verify_signature": true}),
                "verify_signature: invalid type",
            ),
            (
                json!({"operation_type": "sale"}),
                "operation_type: unknown field",
            ),
        ] {
            let Err(error) = options(value.clone()) else {
                panic!("{value} is taken");
            };
            assert!(error.starts_with(&format!("options.{expected}")), "{error}");
        }
    }

    #[test]
    fn only_a_zone_whose_clocks_never_change_is_sent() {
        use chrono_tz::{Africa, Asia, Etc, Europe, Indian};
        for zone in [Tz::UTC, Etc::UTC, Indian::Mauritius, Asia::Dubai] {
            // Mauritius had summer time in 2008.
            let expected = if zone == Indian::Mauritius {
                Tz::UTC
            } else {
                zone
            };
            assert_eq!(interval_zone(zone), expected, "{zone}");
        }
        for zone in [Europe::Vilnius, Europe::Moscow, Africa::Casablanca] {
            assert_eq!(interval_zone(zone), Tz::UTC, "{zone}");
        }
    }
}
