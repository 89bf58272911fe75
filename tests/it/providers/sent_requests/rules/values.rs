//! The forms of a parameter's value.

use chrono::{DateTime, FixedOffset, NaiveDateTime};
use chrono_tz::Tz;
use serde_json::Value;

use crate::providers::sent_requests::rules::Parameters;

pub(super) fn without(parameters: &Parameters, names: &[&str]) -> Parameters {
    let mut rest = parameters.clone();
    rest.retain(|name, _| !names.contains(&name.as_str()));
    rest
}

pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// A whole number in a text.
pub(super) fn number(value: &Value) -> Option<u64> {
    let digits = text(value)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// A list of one or more.
pub(super) fn list(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().filter(|list| !list.is_empty())
}

pub(super) fn one_of(value: &Value, words: &[&str]) -> bool {
    text(value).is_some_and(|word| words.contains(&word))
}

pub(super) fn one_or_more(value: &Value, words: &[&str]) -> bool {
    one_of(value, words)
        || list(value).is_some_and(|list| list.iter().all(|value| one_of(value, words)))
}

/// Texts in one text, "separated with commas".
pub(super) fn commas(value: &Value, is_right: impl Fn(&str) -> bool) -> bool {
    text(value).is_some_and(|texts| texts.split(',').all(is_right))
}

pub(super) fn is_zone(value: &Value) -> bool {
    text(value).is_some_and(|name| name.parse::<Tz>().is_ok())
}

/// Whether a text has this shape: `d` stands for a digit, everything else for itself.
pub(super) fn fits(value: &Value, shape: &str) -> bool {
    text(value).is_some_and(|text| {
        text.len() == shape.len()
            && text
                .chars()
                .zip(shape.chars())
                .all(|(c, shape)| match shape {
                    'd' => c.is_ascii_digit(),
                    shape => c == shape,
                })
    })
}

/// A time without a zone.
pub(super) fn is_time(value: &Value, shape: &str) -> bool {
    let parsed = |text: &str| text.replace(' ', "T").parse::<NaiveDateTime>().is_ok();
    fits(value, shape) && text(value).is_some_and(parsed)
}

pub(super) fn is_instant(value: &Value, shape: &str) -> bool {
    fits(value, shape) && instant(value).is_some()
}

pub(super) fn instant(value: &Value) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(text(value)?).ok()
}
