//! Lenient readers of wire values: text or number, times in any common form, empty as none.
//!
//! Providers declare their items as structs of [`Raw`] fields, so that a field of a wrong type
//! spoils that field and not the item, and numbers keep their text.

mod items;
mod local;
mod member;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SubsecRound, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{PageError, RecordError, Refusal, RefusalKind};
use super::exchange::Response;
use crate::model::money;

pub use items::{Items, MAX_ITEMS, items};
pub use local::local_instant;
pub use member::member;

/// A field as it was sent; absent and null are none.
pub type Raw<'a> = Option<&'a RawValue>;

/// Longest message of a provider that is kept.
const MESSAGE_LENGTH: usize = 300;

/// Reads an answer's envelope, an object.
pub fn envelope<'r, T: Deserialize<'r>>(response: &'r Response) -> Result<T, PageError> {
    let envelope = serde_json::from_str(&response.body).map_err(|error| {
        if response.is_html() {
            PageError::Html
        } else if error.is_data() {
            PageError::Missing("the expected fields")
        } else {
            PageError::NotJson {
                line: error.line(),
                column: error.column(),
            }
        }
    })?;
    // Serde also reads structs from lists, by position.
    if response.body.trim_start().starts_with('{') {
        Ok(envelope)
    } else {
        Err(PageError::Missing("the expected fields"))
    }
}

/// Reads an item, an object, as a struct of [`Raw`] fields.
pub fn item<'a, T: Deserialize<'a>>(item: &'a str) -> Result<T, RecordError> {
    if !item.starts_with('{') {
        return Err(RecordError::Shape);
    }
    serde_json::from_str(item).map_err(|_| RecordError::Shape)
}

/// Reads a nested object; anything else is as good as an empty one.
pub fn object<'a, T: Deserialize<'a> + Default>(raw: Raw<'a>) -> T {
    raw.filter(|raw| is_object(Some(raw)))
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

/// Whether a field is an object.
pub fn is_object(raw: Raw<'_>) -> bool {
    raw.is_some_and(|raw| raw.get().starts_with('{'))
}

/// Text of a string or a number or a truth value; none for null, empty strings, objects and lists.
/// NUL and lone surrogates, which PostgreSQL refuses, become U+FFFD.
pub fn text(raw: Raw<'_>) -> Option<String> {
    text_of(raw?.get())
}

/// The same of a value as it is written.
pub fn text_of(token: &str) -> Option<String> {
    let text = match token.as_bytes().first()? {
        b'"' => unescape(token)?,
        b'{' | b'[' | b'n' => return None,
        _ => Cow::Borrowed(token),
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A truth value: `true`, `1`, `"true"`, `"1"` and their opposites.
pub fn flag(raw: Raw<'_>) -> Option<bool> {
    match text(raw)?.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// An identifier that must be there.
pub fn required_id(raw: Raw<'_>, field: &'static str) -> Result<String, RecordError> {
    text(raw).ok_or(RecordError::MissingId { field })
}

/// An exact amount in major units.
pub fn major_amount(raw: Raw<'_>, field: &'static str) -> Result<Option<BigDecimal>, RecordError> {
    let Some(text) = amount_text(raw, field)? else {
        return Ok(None);
    };
    money::from_major(&text)
        .map(Some)
        .map_err(|cause| RecordError::Amount { field, cause })
}

/// An exact amount from whole minor units; `exponent` gives the decimals of a currency.
pub fn minor_amount(
    raw: Raw<'_>,
    field: &'static str,
    currency: Option<&str>,
    exponent: impl FnOnce(&str) -> Option<u8>,
) -> Result<Option<BigDecimal>, RecordError> {
    let Some(text) = amount_text(raw, field)? else {
        return Ok(None);
    };
    let exponent = currency
        .and_then(exponent)
        .ok_or(RecordError::Currency { field })?;
    money::from_minor(&text, exponent)
        .map(Some)
        .map_err(|cause| RecordError::Amount { field, cause })
}

/// An instant, in whole microseconds: ISO 8601 with `T` or a blank, with or without fraction and
/// offset. Times without offset are read in `zone`.
pub fn instant(
    raw: Raw<'_>,
    field: &'static str,
    zone: Tz,
) -> Result<Option<DateTime<Utc>>, RecordError> {
    let Some(text) = scalar_text(raw, RecordError::Time { field })? else {
        return Ok(None);
    };
    parse_instant(&text, zone)
        .map(Some)
        .ok_or(RecordError::Time { field })
}

/// Parses what [`instant`] reads; a bare date is its first moment.
pub fn parse_instant(text: &str, zone: Tz) -> Option<DateTime<Utc>> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return in_range(instant.to_utc());
    }
    if let Ok(instant) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z")
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"))
    {
        return in_range(instant.to_utc());
    }
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f"))
        .or_else(|_| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN))
        })
        .ok()?;
    in_range(local_instant(naive, zone)?)
}

/// A word of a provider's vocabulary, so that `AWAITING_APPROVAL`, `awaiting-approval` and
/// `awaiting approval` are one.
pub fn word(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace(['_', '-'], " ")
}

/// First digits and last four of an account number that looks like a card: digits and `*`, at least
/// twelve places.
pub fn card_digits(account: &str) -> (Option<String>, Option<String>) {
    let compact: String = account
        .chars()
        .filter(|c| !matches!(c, ' ' | '-'))
        .collect();
    let looks_like_card = compact.len() >= 12
        && compact
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'*')
        && compact.bytes().any(|byte| byte.is_ascii_digit());
    if !looks_like_card {
        return (None, None);
    }
    let first: String = compact
        .chars()
        .take_while(char::is_ascii_digit)
        .take(8)
        .collect();
    // Without a mask the digits after the sixth are the customer's own.
    let length = if first.len() == 8 && !compact.contains('*') {
        6
    } else {
        first.len()
    };
    let bin: String = first.chars().take(length).collect();
    let tail: Vec<char> = compact
        .chars()
        .rev()
        .take_while(char::is_ascii_digit)
        .take(4)
        .collect();
    let last4: String = tail.into_iter().rev().collect();
    (
        (bin.len() >= 6).then_some(bin),
        (last4.len() == 4).then_some(last4),
    )
}

/// The refusal that an answer's status means, with the provider's `message` or the start of the body.
pub fn refusal(response: &Response, message: Option<String>) -> Refusal {
    let html = response.is_html();
    let message = match message {
        Some(message) => one_line(&message),
        None if html => "a web page, not JSON".to_owned(),
        None if response.body.trim().is_empty() => "no message".to_owned(),
        None => one_line(&response.body),
    };
    Refusal {
        kind: RefusalKind::of_status(response.status, html),
        message,
    }
}

/// `{"amount":["is too big"]}` as `amount: is too big`.
pub fn complaints(errors: Raw<'_>) -> Vec<String> {
    object::<BTreeMap<String, Raw<'_>>>(errors)
        .into_iter()
        .filter_map(|(field, complaint)| {
            let list: Vec<Raw<'_>> = complaint
                .and_then(|raw| serde_json::from_str(raw.get()).ok())
                .unwrap_or_else(|| vec![complaint]);
            let texts: Vec<String> = list.into_iter().filter_map(text).collect();
            (!texts.is_empty()).then(|| format!("{field}: {}", texts.join(", ")))
        })
        .collect()
}

/// A message on one line, cut to a length that fits a log.
pub fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len().min(MESSAGE_LENGTH));
    for word in message
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MESSAGE_LENGTH {
            let cut: String = line.chars().take(MESSAGE_LENGTH).collect();
            return cut + "…";
        }
    }
    line
}

fn amount_text(raw: Raw<'_>, field: &'static str) -> Result<Option<String>, RecordError> {
    scalar_text(
        raw,
        RecordError::Amount {
            field,
            cause: money::AmountError::NotANumber,
        },
    )
}

/// Text of a scalar; objects, lists and truth values are `error`, not nothing.
fn scalar_text(raw: Raw<'_>, error: RecordError) -> Result<Option<String>, RecordError> {
    match raw
        .map(RawValue::get)
        .and_then(|token| token.bytes().next())
    {
        Some(b'{' | b'[' | b't' | b'f') => Err(error),
        _ => Ok(text(raw)),
    }
}

fn in_range(instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    use chrono::Datelike;
    (1..=9999)
        .contains(&instant.year())
        .then(|| instant.trunc_subsecs(6))
}

/// Text of a JSON string token, with NUL and lone surrogates replaced.
pub(crate) fn unescape(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    if let Ok(text) = serde_json::from_str::<String>(token) {
        return Some(Cow::Owned(if text.contains('\0') {
            text.replace('\0', "\u{fffd}")
        } else {
            text
        }));
    }
    Some(Cow::Owned(replace_lone_surrogates(inner)))
}

/// Unescapes a string in which `serde_json` met a lone surrogate.
fn replace_lone_surrogates(inner: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    let mut buffer = [0; 2];
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut buffer));
            continue;
        }
        let escaped = match chars.next() {
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                units.push(u16::from_str_radix(&digits, 16).unwrap_or(0xfffd));
                continue;
            }
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(other) => other,
            None => break,
        };
        units.extend_from_slice(escaped.encode_utf16(&mut buffer));
    }
    String::from_utf16_lossy(&units).replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn text_of(json: &str) -> Option<String> {
        text(Some(&raw(json)))
    }

    fn instant_of(text: &str, zone: Tz) -> Option<String> {
        parse_instant(text, zone)
            .map(|instant| instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    }

    #[test]
    fn text_takes_strings_and_numbers() {
        assert_eq!(text_of("\"911\"").as_deref(), Some("911"));
        assert_eq!(
            text_of("12345678901234567890").as_deref(),
            Some("12345678901234567890")
        );
        assert_eq!(text_of("\"\""), None);
        assert_eq!(text_of("\"  \""), None);
        assert_eq!(text_of("{}"), None);
        assert_eq!(text_of("null"), None);
        assert_eq!(text_of("\"\\u0041\\n\"").as_deref(), Some("A"));
    }

    #[test]
    fn lists_are_no_objects() {
        #[derive(Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        struct One {
            id: u8,
        }
        assert_eq!(item::<One>(r#"{"id":1}"#), Ok(One { id: 1 }));
        assert_eq!(item::<One>("[1]"), Err(RecordError::Shape));
        assert_eq!(item::<One>("null"), Err(RecordError::Shape));
        assert_eq!(object::<One>(Some(&raw("[1]"))), One { id: 0 });
        let response = |body: &str| Response {
            status: 200,
            content_type: "application/json".to_owned(),
            body: body.to_owned(),
            lossy: false,
        };
        assert_eq!(envelope::<One>(&response(" {\"id\":1}")), Ok(One { id: 1 }));
        assert!(envelope::<One>(&response("[1]")).is_err());
    }

    #[test]
    fn what_postgres_refuses_is_replaced() {
        assert_eq!(text_of(r#""a\u0000b""#).as_deref(), Some("a\u{fffd}b"));
        assert_eq!(text_of(r#""a\ud800b""#).as_deref(), Some("a\u{fffd}b"));
        assert_eq!(
            text_of(r#""\ud83d\ude00\udc00\"""#).as_deref(),
            Some("😀\u{fffd}\"")
        );
    }

    #[test]
    fn times_are_read_in_every_common_form() {
        let utc = Tz::UTC;
        for text in [
            "2018-08-01T08:28:47+00:00",
            "2018-08-01T08:28:47Z",
            "2018-08-01 08:28:47",
            "2018-08-01T08:28:47",
            "2018-08-01T11:28:47+03:00",
            "2018-08-01T11:28:47+0300",
            "2018-08-01 11:28:47+03:00",
        ] {
            assert_eq!(
                instant_of(text, utc).as_deref(),
                Some("2018-08-01T08:28:47Z"),
                "{text}"
            );
        }
        assert_eq!(
            instant_of("2025-09-01T09:02:22.552859857", utc).as_deref(),
            Some("2025-09-01T09:02:22.552859Z")
        );
        assert_eq!(
            instant_of("2024-06-01", chrono_tz::Europe::Vilnius).as_deref(),
            Some("2024-05-31T21:00:00Z")
        );
        for text in [
            "soon",
            "2024-13-01T00:00:00Z",
            "2024-02-30",
            "0000-01-01T00:00:00Z",
            "1700000000",
        ] {
            assert_eq!(instant_of(text, utc), None, "{text}");
        }
    }

    #[test]
    fn local_times_survive_the_clock_change() {
        let vilnius = chrono_tz::Europe::Vilnius;
        assert_eq!(
            instant_of("2024-03-31 03:30:00", vilnius).as_deref(),
            Some("2024-03-31T01:30:00Z")
        );
        assert_eq!(
            instant_of("2024-10-27 03:30:00", vilnius).as_deref(),
            Some("2024-10-27T00:30:00Z")
        );
    }

    #[test]
    fn only_card_like_accounts_give_card_digits() {
        let digits = |account| card_digits(account);
        assert_eq!(
            digits("424242******4242"),
            (Some("424242".into()), Some("4242".into()))
        );
        assert_eq!(
            digits("400000***0002"),
            (Some("400000".into()), Some("0002".into()))
        );
        assert_eq!(
            digits("42424242****4242"),
            (Some("42424242".into()), Some("4242".into()))
        );
        assert_eq!(
            digits("4242424242424242"),
            (Some("424242".into()), Some("4242".into()))
        );
        assert_eq!(digits("wallet-9222"), (None, None));
        assert_eq!(digits("9222"), (None, None));
        assert_eq!(digits("************"), (None, None));
    }

    #[test]
    fn amounts_of_a_wrong_type_are_errors() {
        let error = |json: &str| {
            major_amount(Some(&raw(json)), "amount")
                .unwrap_err()
                .reason()
        };
        assert_eq!(error("{}"), "unreadable_amount");
        assert_eq!(error("\"12,5\""), "unreadable_amount");
        assert_eq!(error("true"), "unreadable_amount");
        assert_eq!(major_amount(Some(&raw("\"\"")), "amount"), Ok(None));
    }

    #[test]
    fn messages_fit_a_log_line() {
        assert_eq!(one_line(" a\r\n b\tc "), "a b c");
        assert!(one_line(&"word ".repeat(1000)).chars().count() <= MESSAGE_LENGTH + 1);
    }

    proptest! {
        #[test]
        fn strings_are_read_as_serde_reads_them(original in "\\PC*") {
            let token = serde_json::to_string(&original).unwrap();
            let expected = original.trim().to_owned();
            prop_assert_eq!(text_of(&token), (!expected.is_empty()).then_some(expected));
        }

        #[test]
        fn surrogates_are_unescaped_like_valid_pairs(original in "\\PC*") {
            let escaped: Vec<String> = original.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            prop_assert_eq!(replace_lone_surrogates(&escaped.concat()), original);
        }
    }
}
