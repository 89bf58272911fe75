//! What an account may ask of ECommPay besides times, and how signatures are made and checked.

use chrono::{DateTime, Offset as _, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use serde::Deserialize;

use super::signature::Order;
use crate::SettingsError;

/// Fields without which rows cannot be stored or told apart.
const NEEDED_FIELDS: &[&str] = &["operation_id", "project_id", "payment_id"];

/// Amounts with their currencies, in the dotted names that `fields` takes.
const SUMS: &[&str] = &["sum_initial", "sum_converted"];

/// What is done about an answer whose signature does not match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verify {
    /// It is taken, with a warning.
    #[default]
    Warn,
    /// It is not taken.
    Require,
    /// Signatures are not looked at.
    Off,
}

/// The `options` of an account, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// Projects to read; all that the token may see if empty.
    #[serde(default)]
    pub(super) project_ids: Vec<u64>,
    #[serde(default)]
    operation_types: Vec<String>,
    #[serde(default)]
    operation_statuses: Vec<String>,
    #[serde(default)]
    fields: Vec<String>,
    /// How requests are signed.
    #[serde(default)]
    pub(super) signature_order: Order,
    /// How answers are checked.
    #[serde(default)]
    pub(super) verify_signature: Verify,
}

impl Options {
    /// The operation types to read; all of them if empty.
    pub(super) fn operation_types(&self) -> Result<Vec<String>, SettingsError> {
        names("operation_types", &self.operation_types)
    }

    /// The operation statuses to read; all of them if empty.
    pub(super) fn operation_statuses(&self) -> Result<Vec<String>, SettingsError> {
        names("operation_statuses", &self.operation_statuses)
    }

    /// The fields to ask for; those that always come if empty. What paysync cannot do without is
    /// added, as such a list may replace the usual fields.
    pub(super) fn fields(&self) -> Result<Vec<String>, SettingsError> {
        let mut fields = names("fields", &self.fields)?;
        let has = |name: &str| fields.iter().any(|field| field == name);
        for sum in SUMS {
            let (amount, currency) = (format!("{sum}.amount"), format!("{sum}.currency"));
            if has(&amount) && !has(&currency) && !has(sum) {
                return Err(SettingsError(format!(
                    "options.fields: {currency} is missing, and {amount} cannot be read without it"
                )));
            }
        }
        if !fields.is_empty() {
            let missing: Vec<String> = NEEDED_FIELDS
                .iter()
                .filter(|name| !has(name))
                .map(|name| (*name).to_owned())
                .collect();
            fields.extend(missing);
        }
        Ok(fields)
    }
}

fn names(option: &str, names: &[String]) -> Result<Vec<String>, SettingsError> {
    if names.iter().any(|name| name.trim().is_empty()) {
        return Err(SettingsError(format!("options.{option}: a name is empty")));
    }
    Ok(names.to_vec())
}

/// The zone that intervals are written in, and naive times of answers read in: the account's, if its
/// clocks never change, else UTC. An interval has no offset, so that of an hour that comes twice in
/// autumn would be read in either way, and so would be times in the answers; widening it would fetch
/// two hours for each second of them.
pub(super) fn interval_zone(zone: Tz) -> Tz {
    let weeks = (0..52 * 100).filter_map(|week| {
        // From 2000 on: no operation is older.
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

    fn options(value: Value) -> Result<Options, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    fn fields(fields: &Value) -> Result<Vec<String>, String> {
        options(json!({ "fields": fields }))?
            .fields()
            .map_err(|error| error.0)
    }

    #[test]
    fn the_defaults_ask_for_everything() {
        let options = options(json!({})).unwrap();
        assert!(options.project_ids.is_empty());
        assert_eq!(options.operation_types(), Ok(Vec::new()));
        assert_eq!(options.fields(), Ok(Vec::new()));
        assert_eq!(options.signature_order, Order::Natural);
        assert_eq!(options.verify_signature, Verify::Warn);
    }

    #[test]
    fn what_rows_need_is_asked_for() {
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
            (json!({"project_ids": ["11"]}), "u64"),
            (json!({"project_ids": [-1]}), "u64"),
            (
                json!({"signature_order": "reverse"}),
                "`natural` or `lexical`",
            ),
            (json!({"verify_signature": true}), "invalid type: boolean"),
            (
                json!({"verify_signature": "always"}),
                "`warn`, `require`, `off`",
            ),
            (json!({"operation_type": "sale"}), "operation_type"),
        ] {
            let Err(error) = options(value.clone()) else {
                panic!("{value} is taken");
            };
            assert!(error.contains(expected), "{error}");
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
