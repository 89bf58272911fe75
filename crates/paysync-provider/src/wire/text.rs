//! Text of strings, numbers and booleans.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::error::RecordError;

/// A field in its exact text; none if absent or null.
pub type Raw<'a> = Option<&'a RawValue>;

/// The trimmed text of a string, number or boolean; none for null, blank strings, objects and lists. NUL
/// and lone surrogates, which PostgreSQL rejects, become U+FFFD.
pub fn text(raw: Raw<'_>) -> Option<String> {
    text_of(raw?.get())
}

/// [`text`] of a JSON value in its exact text.
pub fn text_of(token: &str) -> Option<String> {
    let text = match token.as_bytes().first()? {
        b'"' => unescape(token)?,
        b'{' | b'[' | b'n' => return None,
        _ => Cow::Borrowed(token),
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A boolean: `true`, `1`, `"true"` or `"1"`, and likewise for false.
pub fn flag(raw: Raw<'_>) -> Option<bool> {
    match text(raw)?.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A kind or status of a provider in a form to compare: lower case, words separated by blanks, so that
/// `AWAITING_APPROVAL` equals `awaiting-approval`. Empty for none.
pub fn keyword(text: Option<&str>) -> String {
    let lower = text.unwrap_or_default().trim().to_ascii_lowercase();
    lower.replace(['_', '-'], " ")
}

/// The text of a string or number; `error` for objects, lists and booleans.
pub(super) fn scalar_text(raw: Raw<'_>, error: RecordError) -> Result<Option<String>, RecordError> {
    match raw.and_then(|raw| raw.get().bytes().next()) {
        Some(b'{' | b'[' | b't' | b'f') => Err(error),
        _ => Ok(text(raw)),
    }
}

/// The value of a JSON string, with NUL and lone surrogates replaced; none for other JSON.
pub(crate) fn unescape(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let text = serde_json::from_str(token).unwrap_or_else(|_| replace_lone_surrogates(inner));
    Some(Cow::Owned(text.replace('\0', "\u{fffd}")))
}

/// Unescapes a string that `serde_json` rejects for a lone surrogate.
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
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(json: &str) -> Option<String> {
        text(Some(&RawValue::from_string(json.to_owned()).unwrap()))
    }

    #[test]
    fn text_reads_strings_and_numbers() {
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
    fn characters_that_postgres_rejects_are_replaced() {
        assert_eq!(text_of(r#""a\u0000b""#).as_deref(), Some("a\u{fffd}b"));
        assert_eq!(text_of(r#""a\ud800b""#).as_deref(), Some("a\u{fffd}b"));
        assert_eq!(
            text_of(r#""\ud83d\ude00\udc00\"""#).as_deref(),
            Some("😀\u{fffd}\"")
        );
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
