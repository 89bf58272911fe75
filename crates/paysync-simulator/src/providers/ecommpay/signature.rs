//! ECommPay's signature of requests and answers.
//!
//! HMAC-SHA512 in Base64 over lines `path:to:key:value`, sorted by path in natural order and joined by `;`:
//! <https://developers.ecommpay.com/en/en_platform_signature.html>.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha512;

use crate::settings::Settings;

/// Ends a cached line; no text of the simulator contains it.
const END: char = '\0';

/// The sort order of the lines.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Natural,
    Lexical,
}

impl Order {
    pub(crate) fn of(settings: &Settings) -> Self {
        if settings.ecommpay_lexical {
            Self::Lexical
        } else {
            Self::Natural
        }
    }

    /// The signature of `body`, which does not cover itself.
    pub(crate) fn sign(self, body: &Value, secret: &str) -> String {
        hmac(secret, |mac| {
            mac.update(self.lines(body).join(";").as_bytes());
        })
    }

    /// The lines of one item of a list, without the prefix of its position.
    pub(crate) fn lines_of_item(self, json: &str) -> String {
        let item: Value = serde_json::from_str(json).unwrap_or_default();
        let lines = self.lines(&item).into_iter();
        lines.flat_map(|line| [line, END.to_string()]).collect()
    }

    /// The signature of an object with only the list `key`, from the lines of its items.
    pub(crate) fn sign_list<'a>(
        self,
        key: &str,
        items: impl Iterator<Item = &'a str>,
        secret: &str,
    ) -> String {
        let mut items: Vec<(String, &str)> = (0_usize..)
            .zip(items)
            .map(|(at, lines)| (format!("{key}:{at}:"), lines))
            .collect();
        if matches!(self, Self::Lexical) {
            items.sort_unstable();
        }
        hmac(secret, |mac| {
            let mut separator = "";
            let mut text = String::new();
            for (position, lines) in items {
                for line in lines.split_terminator(END) {
                    text.extend([separator, &position, line]);
                    separator = ";";
                }
                mac.update(text.as_bytes());
                text.clear();
            }
        })
    }

    fn lines(self, body: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        if let Value::Object(map) = body {
            for (key, value) in map.iter().filter(|(key, _)| *key != "signature") {
                flatten(&key.replace(':', "::"), value, &mut lines);
            }
        }
        lines.sort_by(|(one, _), (other, _)| match self {
            Self::Lexical => one.cmp(other),
            Self::Natural => natural(one, other),
        });
        lines
            .into_iter()
            .map(|(path, value)| format!("{path}:{value}"))
            .collect()
    }
}

/// The HMAC of the text that `write` adds, in Base64.
fn hmac(secret: &str, write: impl FnOnce(&mut Hmac<Sha512>)) -> String {
    let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    write(&mut mac);
    STANDARD.encode(mac.finalize().into_bytes())
}

fn flatten(path: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                flatten(&format!("{path}:{}", key.replace(':', "::")), value, lines);
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                flatten(&format!("{path}:{at}"), value, lines);
            }
        }
        Value::Null => lines.push((path.to_owned(), String::new())),
        Value::Bool(flag) => lines.push((path.to_owned(), u8::from(*flag).to_string())),
        Value::Number(number) => lines.push((path.to_owned(), number.to_string())),
        Value::String(text) => lines.push((path.to_owned(), text.clone())),
    }
}

/// Compares runs of digits as numbers, other text by bytes.
fn natural(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        match (one.split_first(), other.split_first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some((first, _)), Some((second, _)))
                if first.is_ascii_digit() && second.is_ascii_digit() =>
            {
                let (number, rest) = digits(one);
                let (other_number, other_rest) = digits(other);
                let order = number
                    .len()
                    .cmp(&other_number.len())
                    .then_with(|| number.cmp(other_number));
                if order != Ordering::Equal {
                    return order;
                }
                (one, other) = (rest, other_rest);
            }
            (Some((first, rest)), Some((second, other_rest))) => {
                if first != second {
                    return first.cmp(second);
                }
                (one, other) = (rest, other_rest);
            }
        }
    }
}

/// The digits at the start, without leading zeros, and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (mut number, rest) = text.split_at_checked(length).unwrap_or((text, &[]));
    while let Some((b'0', shorter)) = number.split_first() {
        number = shorter;
    }
    (number, rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Order::{Lexical, Natural};

    #[test]
    fn published_signatures_match() {
        let cases = [
            (
                "secret",
                json!({"customer":{"project_id":0,"id":"sutm_id"},"card":{"pan":"4242424242424242","year":2020,"month":8,"card_holder":"John Smith","cvv":"123","save":true}}),
                "lY0LTSAzpR7zGce5qfYGacOuYlHGWqkMcQlqmjlsDDZI2gVcE1qVeWANnkIR7mdOqRXJnL1kO0lUmkQ0YYLWRg==",
            ),
            (
                "qwerty",
                json!({"payment":{"id":"test-payment"},"errors":[{"code":"123","message":"grand crash","description":["description-str",{"description1":1}]},{"code":"456","message":"minor crash","description":null}]}),
                "dxjnun8oySSl0CWlhhjy/k1V9CZcCtaHvu/Y5qJQbWHq8wd6TqTUt4bIfHrlWxT8ba9NOJfkgGHrGc5OgyQVGA==",
            ),
            (
                "qwerty",
                json!({"project_id":11,"payment_currency":"EUR","some_bool_param":true,"two_levels_param":{"param1":1,"param2":2}}),
                "ehwG+e+Sq6b0QEek2hmHGUFzViX9/Xfcgnh0Ysn1+AqCY8BsKhC/Vcyr4XH8CKXW3iS0vW9S2mTwOt/0Ozf5pg==",
            ),
        ];
        for (secret, body, expected) in cases {
            assert_eq!(Natural.sign(&body, secret), expected);
        }
    }

    #[test]
    fn natural_and_lexical_order_differ_beyond_ten_elements() {
        let fields: Vec<String> = (0..12).map(|at| format!("f{at}")).collect();
        let body = json!({"token": "t", "fields": fields, "signature": "left out"});
        assert_eq!(
            Natural.sign(&body, "secret"),
            "Yx490jzKiQKpvwTcffdb7uYnqssjEf/PUsIhrc4BWluSnOqVA3ZS7yg1/fIoNEAKkQS04zkAHlGbI95YMZn1+A=="
        );
        assert_eq!(
            Lexical.sign(&body, "secret"),
            "GjwKo50SmPds5WDSn/H/egFqKE9hUqELheLLivEknSTvrPHXRBt9FimeWYJXEoGKnAxhZ552bRMQPJPFnAfyeA=="
        );
    }

    #[test]
    fn a_list_of_cached_lines_has_the_same_signature() {
        for length in [0, 1, 25] {
            let item =
                |at: usize| json!({"b10": "x;y", "b9": {"c": at, "a": null}, "n": "one\ntwo"});
            let body =
                json!({"rows": (0..length).map(item).collect::<Vec<_>>(), "signature": "left out"});
            for order in [Natural, Lexical] {
                let items: Vec<String> = (0..length)
                    .map(|at| order.lines_of_item(&item(at).to_string()))
                    .collect();
                let signed = order.sign_list("rows", items.iter().map(String::as_str), "secret");
                assert_eq!(signed, order.sign(&body, "secret"), "{length} {order:?}");
            }
        }
    }

    #[test]
    fn the_signed_text_includes_nulls_but_no_empty_objects() {
        let body = json!({"a":{"b":1_111_111_111_111_111_u64,"c":2},"d":false,"f":["g",{"h":7,"i":{"k":8}}],"e":[4,5],"j":null,"z":{},"y":[]});
        assert_eq!(
            Lexical.lines(&body).join(";"),
            "a:b:1111111111111111;a:c:2;d:0;e:0:4;e:1:5;f:0:g;f:1:h:7;f:1:i:k:8;j:"
        );
    }
}
