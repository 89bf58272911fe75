//! The options of a FireKassa account: filters, and the names of the filter by creation time.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::SettingsError;
use crate::provider::text_or_integer;

/// Filters with one value, in the documentation's order, with the values it allows.
const TEXT_FILTERS: &[(&str, &[&str])] = &[
    ("order_id", &[]),
    ("account", &[]),
    ("action", &["deposit", "withdrawal"]),
    ("method", &[]),
    ("type", &["site", "invoice", "registry"]),
];

/// The filter with several ids, separated by commas.
const ID_FILTER: &str = "id";

/// The filter with a lower and an upper bound.
const AMOUNT_FILTER: &str = "amount";
const BOUNDS: &[&str] = &["min", "max"];

/// Filters that paysync sets itself.
const OWN_FILTERS: &[&str] = &["create_at", "created_at"];

/// Parameters that paysync sets itself.
const OWN_PARAMETERS: &[&str] = &["page[number]", "page[size]", "sort"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    #[serde(default)]
    filter: BTreeMap<String, Value>,
    created_filter: Option<[String; 2]>,
}

impl Options {
    pub(super) fn filter(&self) -> Result<Vec<(String, String)>, SettingsError> {
        let filters = self.filter.iter();
        let filters = filters.map(|(name, value)| parameters(name, value));
        Ok(filters.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The names of the filters for creation after and before a time; by default those of the
    /// documentation's table, which its example contradicts.
    pub(super) fn created_filter(self) -> Result<[String; 2], SettingsError> {
        let Some(names) = self.created_filter else {
            return Ok(["filter[create_at][start]", "filter[create_at][end]"].map(str::to_owned));
        };
        let error = |reason: &str| Err(SettingsError::option("created_filter", reason));
        let [after, before] = &names;
        if names.iter().any(|name| name.trim().is_empty()) {
            return error("a name is empty");
        }
        if after == before {
            return error("both names are the same");
        }
        let own = |name: &&String| OWN_PARAMETERS.contains(&name.as_str());
        if let Some(own) = names.iter().find(own) {
            return error(&format!("paysync sets {own} itself"));
        }
        Ok(names)
    }
}

fn parameters(name: &str, value: &Value) -> Result<Vec<(String, String)>, SettingsError> {
    let problem = |reason: &str| SettingsError::option(&format!("filter.{name}"), reason);
    let error = |reason: &str| Err(problem(reason));
    if OWN_FILTERS.contains(&name) {
        return error("paysync sets this filter itself; its name is options.created_filter");
    }
    let parameter = format!("filter[{name}]");
    if name == AMOUNT_FILTER {
        let Value::Object(bounds) = value else {
            return error("a table with min, max or both is expected");
        };
        let is_unknown = |bound: &&String| !BOUNDS.contains(&bound.as_str());
        if let Some(bound) = bounds.keys().find(is_unknown) {
            return error(&format!("unknown bound {bound}, expected min or max"));
        }
        let value = |bound| Some((bound, bounds.get(bound)?));
        let given = BOUNDS.iter().copied().filter_map(value);
        let expected = "a text or an integer is expected";
        let parameters = given.map(|(bound, value)| match text(value) {
            Some(text) => Ok((format!("{parameter}[{bound}]"), text)),
            None => Err(problem(&format!("{bound}: {expected}"))),
        });
        return parameters.collect();
    }
    let allowed = TEXT_FILTERS.iter().find(|(known, _)| *known == name);
    let text = match (allowed, value) {
        (None, Value::Array(ids)) if name == ID_FILTER => {
            let ids: Option<Vec<String>> = ids.iter().map(text).collect();
            ids.map(|ids| ids.join(","))
        }
        (None, _) if name != ID_FILTER => return error("unknown filter"),
        (_, value) => text(value),
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return error("a text is expected");
    };
    match allowed {
        Some((_, words)) if !words.is_empty() && !words.contains(&text.as_str()) => {
            error(&format!("expected one of {}", words.join(", ")))
        }
        _ => Ok(vec![(parameter, text)]),
    }
}

/// The text of a string or an integer; none for blank strings and other values.
fn text(value: &Value) -> Option<String> {
    text_or_integer(value).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use serde_json::json;

    use super::*;
    use crate::provider::Settings;

    fn options(options: Value) -> Result<Options, String> {
        let settings = Settings {
            time_zone: Tz::UTC,
            options,
        };
        settings.options().map_err(|error| error.0)
    }

    fn filter(value: &Value) -> Result<String, String> {
        let parameters = options(json!({ "filter": value }))?
            .filter()
            .map_err(|error| error.0)?;
        let texts: Vec<String> = parameters
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Ok(texts.join(" "))
    }

    #[test]
    fn documented_filters_are_accepted() {
        let all = json!({
            "id": [507_164_249, "507164250"], "order_id": "order 123", "account": "9222",
            "action": "withdrawal", "method": "wallet-card", "type": "site",
            "amount": {"min": "10.50", "max": 100},
        });
        assert_eq!(
            filter(&all).as_deref(),
            Ok(
                "filter[account]=9222 filter[action]=withdrawal filter[amount][min]=10.50 \
                 filter[amount][max]=100 filter[id]=507164249,507164250 \
                 filter[method]=wallet-card filter[order_id]=order 123 filter[type]=site"
            )
        );
        assert_eq!(filter(&json!({"id": 20})).as_deref(), Ok("filter[id]=20"));
        assert_eq!(filter(&json!({})).as_deref(), Ok(""));
    }

    #[test]
    fn wrong_filters_are_named() {
        for (value, expected) in [
            (
                json!({"colour": "red"}),
                "options.filter.colour: unknown filter",
            ),
            (
                json!({"create_at": {"start": "2024-01-01"}}),
                "options.filter.create_at: paysync sets this filter itself; its name is options.created_filter",
            ),
            (
                json!({"action": "deposits"}),
                "options.filter.action: expected one of deposit, withdrawal",
            ),
            (
                json!({"method": ""}),
                "options.filter.method: a text is expected",
            ),
            (
                json!({"method": ["a"]}),
                "options.filter.method: a text is expected",
            ),
            (json!({"id": []}), "options.filter.id: a text is expected"),
            (
                json!({"amount": 10}),
                "options.filter.amount: a table with min, max or both is expected",
            ),
            (
                json!({"amount": {"from": 10}}),
                "options.filter.amount: unknown bound from, expected min or max",
            ),
            (
                json!({"amount": {"min": 10.5}}),
                "options.filter.amount: min: a text or an integer is expected",
            ),
        ] {
            assert_eq!(filter(&value), Err(expected.to_owned()));
        }
    }

    #[test]
    fn the_time_filter_has_two_names() {
        let names = |value: Value| {
            options(json!({ "created_filter": value }))?
                .created_filter()
                .map_err(|error| error.0)
        };
        let own = ["filter[created_at][min]", "filter[created_at][max]"];
        assert_eq!(names(json!(own)), Ok(own.map(str::to_owned)));
        assert!(names(json!(["a"])).unwrap_err().contains("length"));
        for (value, expected) in [
            (json!(["a", "a"]), "both names are the same"),
            (json!(["a", " "]), "a name is empty"),
            (json!(["sort", "a"]), "paysync sets sort itself"),
        ] {
            let error = names(value).unwrap_err();
            assert_eq!(error, format!("options.created_filter: {expected}"));
        }
    }
}
