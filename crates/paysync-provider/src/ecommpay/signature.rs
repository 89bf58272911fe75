//! ECommPay's signature of requests and answers: HMAC-SHA512 over the sorted values of a JSON object.
//!
//! <https://developers.ecommpay.com/en/en_platform_signature.html>. The documentation sorts in natural
//! order, some of the provider's libraries in lexical order; the orders differ for lists of more than
//! ten elements. The signature covers the exact text of values, so numbers keep theirs.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::auth::hmac_sha512;

/// Key of the signature, which the signature itself does not cover.
pub(super) const KEY: &str = "signature";

/// Objects nested deeper cannot be signed; no body of the API is.
const MAX_DEPTH: usize = 32;

/// Sort order of the signed values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    /// Runs of digits compare as numbers: `fields:2` before `fields:10`.
    #[default]
    Natural,
    /// Byte by byte: `fields:10` before `fields:2`.
    Lexical,
}

/// The values of a JSON object with their paths.
#[derive(Debug)]
pub(super) struct Values(Vec<(String, String)>);

impl Values {
    /// The values of an object without its signature; none if the text is not an object.
    pub(super) fn of(object: &str) -> Option<Self> {
        let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(object).ok()?;
        members.remove(KEY);
        let mut values = Vec::new();
        for (key, value) in members {
            flatten(escaped(&key), value.get(), MAX_DEPTH, &mut values)?;
        }
        Some(Self(values))
    }

    /// The signature in Base64.
    pub(super) fn sign(&mut self, secret: &str, order: Order) -> String {
        STANDARD.encode(hmac_sha512(secret, &self.text(order)))
    }

    /// The signed text: `path:to:key:value`, joined with semicolons.
    fn text(&mut self, order: Order) -> String {
        self.0.sort_by(|(one, _), (other, _)| match order {
            Order::Natural => natural(one, other),
            Order::Lexical => one.cmp(other),
        });
        let lines = self.0.iter().map(|(path, value)| format!("{path}:{value}"));
        lines.collect::<Vec<_>>().join(";")
    }
}

/// Adds the values below a path; none if one is invalid or nested too deep.
fn flatten(
    path: String,
    value: &str,
    depth: usize,
    values: &mut Vec<(String, String)>,
) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let scalar = match value.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(value).ok()?;
            for (key, value) in members {
                let path = format!("{path}:{}", escaped(&key));
                flatten(path, value.get(), depth, values)?;
            }
            return Some(());
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(value).ok()?;
            for (index, value) in elements.into_iter().enumerate() {
                flatten(format!("{path}:{index}"), value.get(), depth, values)?;
            }
            return Some(());
        }
        b'"' => serde_json::from_str(value).ok()?,
        b't' => "1".to_owned(),
        b'f' => "0".to_owned(),
        b'n' => String::new(),
        _ => value.to_owned(),
    };
    values.push((path, scalar));
    Some(())
}

/// A colon inside a key is doubled.
fn escaped(key: &str) -> String {
    key.replace(':', "::")
}

/// Compares texts byte by byte, but runs of digits as numbers.
fn natural(one: &str, other: &str) -> Ordering {
    parts(one).cmp(parts(other))
}

/// The bytes and numbers of a text, in an order of their own: a number by its length without leading zeros,
/// then by its digits.
fn parts(text: &str) -> impl Iterator<Item = (u8, usize, &[u8])> {
    let is_number = |one: &u8, next: &u8| one.is_ascii_digit() && next.is_ascii_digit();
    text.as_bytes().chunk_by(is_number).map(|part| match part {
        [b'0'..=b'9', ..] => {
            let zeros = part.iter().take_while(|byte| **byte == b'0').count();
            let number = part.get(zeros..).unwrap_or_default();
            (b'0', number.len(), number)
        }
        byte => (byte.first().copied().unwrap_or_default(), 0, byte),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sign(secret: &str, body: &str, order: Order) -> String {
        Values::of(body).unwrap().sign(secret, order)
    }

    fn text(body: &str, order: Order) -> String {
        Values::of(body).unwrap().text(order)
    }

    /// From the provider's libraries for PHP and JavaScript, Go, Python and Java.
    #[test]
    fn published_signatures_match_in_either_order() {
        let cases = [
            (
                "secret",
                r#"{"customer":{"project_id":0,"id":"sutm_id"},"card":{"pan":"4242424242424242","year":2020,"month":8,"card_holder":"John Smith","cvv":"123","save":true},"frame_mode":"popup"}"#,
                "lY0LTSAzpR7zGce5qfYGacOuYlHGWqkMcQlqmjlsDDZI2gVcE1qVeWANnkIR7mdOqRXJnL1kO0lUmkQ0YYLWRg==",
            ),
            (
                "qwerty",
                r#"{"project_id":11,"payment_currency":"EUR","some_bool_param":true,"two_levels_param":{"param1":1,"param2":2}}"#,
                "ehwG+e+Sq6b0QEek2hmHGUFzViX9/Xfcgnh0Ysn1+AqCY8BsKhC/Vcyr4XH8CKXW3iS0vW9S2mTwOt/0Ozf5pg==",
            ),
            (
                "qwerty",
                r#"{"payment":{"id":"test-payment","status":"success"}}"#,
                "UGzKT0NC26f4u0niyJSQPx5q3kFFIndwLXeJVXahfCFwbY+Svg1WoXIxzrIyyjWUSLFhT8wAQ5SfBDRHnwm6Yg==",
            ),
            (
                "qwerty",
                r#"{"payment":{"id":"test.test-payment","status":"success","valid":true},"some-data":1234}"#,
                "Z0YwpWdNwBspA/6wicHVr4f6n0xMFuyZnAlIxnO86Zu/EIo3FZUEntClEVjulKpBrVF+HlyPEK1X41iCjbFgWg==",
            ),
            (
                "qwerty",
                r#"{"payment":{"id":"test-payment"},"errors":[{"code":"123","message":"grand crash","description":["description-str",{"description1":1}]},{"code":"456","message":"minor crash","description":null}]}"#,
                "dxjnun8oySSl0CWlhhjy/k1V9CZcCtaHvu/Y5qJQbWHq8wd6TqTUt4bIfHrlWxT8ba9NOJfkgGHrGc5OgyQVGA==",
            ),
        ];
        for (secret, body, expected) in cases {
            // The payment page's libraries omit this member; the Data API does not have it.
            let body = body.replace(r#","frame_mode":"popup""#, "");
            for order in [Order::Natural, Order::Lexical] {
                assert_eq!(sign(secret, &body, order), expected, "{body}");
            }
        }
    }

    #[test]
    fn published_texts_match() {
        assert_eq!(
            text(
                r#"{"customer":{"project_id":0,"id":"sutm_id"},"card":{"pan":"4242424242424242","year":2020,"month":8,"card_holder":"John Smith","cvv":"123","save":true}}"#,
                Order::Natural
            ),
            "card:card_holder:John Smith;card:cvv:123;card:month:8;card:pan:4242424242424242;card:save:1;card:year:2020;customer:id:sutm_id;customer:project_id:0"
        );
        assert_eq!(
            text(
                r#"{"a":{"b":1111111111111111,"c":2},"d":false,"f":["g",{"h":7,"i":{"k":8}}],"e":[4,5],"j":null}"#,
                Order::Natural
            ),
            "a:b:1111111111111111;a:c:2;d:0;e:0:4;e:1:5;f:0:g;f:1:h:7;f:1:i:k:8;j:"
        );
    }

    #[test]
    fn a_signature_does_not_cover_itself() {
        let body = r#"{"token":"ZOyTL5shY8ddhpxdQyplRPJYmGV7Kv","project_id":[4,12],"interval":{"from":"2024-01-01 00:00:00","to":"2024-01-02 00:00:00"},"tz":"UTC","limit":1000,"offset":0,"operation_status":["success","decline"],"fields":["operation_id","operation_status"],"signature":"left out"}"#;
        assert_eq!(
            text(body, Order::Natural),
            "fields:0:operation_id;fields:1:operation_status;interval:from:2024-01-01 00:00:00;interval:to:2024-01-02 00:00:00;limit:1000;offset:0;operation_status:0:success;operation_status:1:decline;project_id:0:4;project_id:1:12;token:ZOyTL5shY8ddhpxdQyplRPJYmGV7Kv;tz:UTC"
        );
        assert_eq!(
            sign("secret", body, Order::Natural),
            "cxWSlrlf+x3x/Jl6MM6GgyhTpsJxNE6dTFw8zbmSJuT1qEO/boKRumN6/ni1bw3BNFK3RvW1yzXCrofzZdRiGw=="
        );
    }

    #[test]
    fn the_orders_differ_for_twelve_fields() {
        let fields: Vec<String> = (0..12).map(|index| format!("\"f{index}\"")).collect();
        let body = format!(r#"{{"token":"t","fields":[{}]}}"#, fields.join(","));
        assert_eq!(
            sign("secret", &body, Order::Natural),
            "Yx490jzKiQKpvwTcffdb7uYnqssjEf/PUsIhrc4BWluSnOqVA3ZS7yg1/fIoNEAKkQS04zkAHlGbI95YMZn1+A=="
        );
        assert_eq!(
            sign("secret", &body, Order::Lexical),
            "GjwKo50SmPds5WDSn/H/egFqKE9hUqELheLLivEknSTvrPHXRBt9FimeWYJXEoGKnAxhZ552bRMQPJPFnAfyeA=="
        );
    }

    #[test]
    fn values_keep_their_exact_text() {
        assert_eq!(
            text(
                r#"{ "n": 1.50e2, "m": 12345678901234567890, "s": "a\u0041\n", "e": {}, "l": [ ], "c:d": "x:y;z" }"#,
                Order::Natural
            ),
            "c::d:x:y;z;m:12345678901234567890;n:1.50e2;s:aA\n"
        );
        for not_signed in ["", "[1]", "null", "{\"a\":", r#"{"a":"\ud800"}"#] {
            assert!(Values::of(not_signed).is_none(), "{not_signed}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Values::of(&deep).is_none());
    }

    #[test]
    fn numbers_inside_paths_compare_as_numbers() {
        for (less, more) in [
            ("a:2", "a:10"),
            ("a:2:z", "a:10:a"),
            ("a:9", "a:a"),
            ("a", "a:0"),
            ("a:1", "a::1"),
            ("a-1", "a1"),
            ("f2", "f10"),
        ] {
            assert_eq!(natural(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(natural(more, less), Ordering::Greater, "{less} {more}");
        }
        assert_eq!(natural("a:007", "a:7"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn indexes_sort_by_value(one in any::<u64>(), other in any::<u64>()) {
            prop_assert_eq!(natural(&format!("a:{one}:b"), &format!("a:{other}:b")), one.cmp(&other));
        }

        #[test]
        fn any_body_is_signed_or_not(body in "\\PC*") {
            let _outcome = Values::of(&body).map(|mut values| values.sign("s", Order::Natural));
        }
    }
}
