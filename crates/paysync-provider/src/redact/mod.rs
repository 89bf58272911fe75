//! Redaction: what is removed from an item before any part of it is stored or logged.
//!
//! One pass over the JSON text, which is copied only if something is removed. Card numbers are masked but
//! for the first six and the last four digits; card verification codes and 3-D Secure payloads are
//! dropped with their keys; members that configured rules name are masked, hashed or dropped. Keys that a
//! provider declares exact (identifiers, amounts, times) keep their digits, because one identifier in ten
//! passes Luhn's check by chance. Accepts any depth of nesting without recursion. The structure is checked
//! only as far as removing members requires: items come from a JSON parser.

mod cards;
mod columns;
mod keys;
mod redacted;
mod rules;
mod scan;
mod strings;

use std::borrow::Cow;

use cards::{Check, mask};
use scan::Scan;

pub use columns::redact_row;
pub use keys::DROPPED;
pub use redacted::{EXTRACTED, Redacted, RedactionCounts};
pub use rules::{RulePaths, Rules};

use crate::spec::Redaction;

/// Removes from an item what must never be stored; idempotent.
pub fn redact<'a>(item: &'a str, spec: &Redaction) -> Redacted<'a> {
    redact_and_extract(item, spec, &Rules::default(), [""; EXTRACTED])
}

/// Redacts with configured rules as well, and extracts the values of top-level members by their `keys`,
/// so that a caller does not parse the item a second time.
pub fn redact_and_extract<'a>(
    item: &'a str,
    spec: &Redaction,
    rules: &Rules,
    keys: [&str; EXTRACTED],
) -> Redacted<'a> {
    let mut scan = Scan::new(item, spec, rules, keys);
    if scan.run().is_some() {
        return scan.finish();
    }
    let masked = mask(item, Check::Luhn);
    Redacted {
        counts: RedactionCounts {
            cards: masked.as_ref().map_or(0, |it| u64::from(it.numbers)),
            ..RedactionCounts::default()
        },
        text: masked.map_or(Cow::Borrowed(item), |it| Cow::Owned(it.text)),
        depth: scan.depth,
        extracted: [None; EXTRACTED],
        valid: false,
    }
}

/// Masks the card numbers of a text that is not JSON.
pub fn redact_text(text: &str) -> String {
    mask(text, Check::Luhn).map_or_else(|| text.to_owned(), |masked| masked.text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const SPEC: Redaction = Redaction {
        exact: &["id", "amount", "ids"],
        cards: &["pan", "card.number"],
        dropped: &["secret", "tab\tle"],
        exact_columns: &["merchant_reference"],
    };
    const CARD: &str = "4111111111111111";

    /// Each lacks a part of [`SPEC`].
    const WEAKER: [Redaction; 3] = [
        Redaction {
            dropped: &[],
            ..SPEC
        },
        Redaction {
            dropped: &["secret"],
            ..SPEC
        },
        Redaction {
            exact: &["id", "amount", "ids", "x", "pan", ""],
            ..SPEC
        },
    ];

    fn redacted(item: &str) -> String {
        let redacted = redact(item, &SPEC);
        assert!(redacted.valid, "{item}");
        redacted.text.into_owned()
    }

    #[test]
    fn an_item_without_secrets_is_borrowed() {
        let item =
            r#"{"id": 4111111111111111, "note": "ünï 12345", "list": [1, {"a": null}], "t": true}"#;
        let redacted = redact(item, &SPEC);
        assert!(matches!(redacted.text, Cow::Borrowed(text) if text == item));
        assert_eq!(
            (redacted.counts, redacted.depth),
            (RedactionCounts::default(), 3)
        );
    }

    #[test]
    fn card_numbers_are_masked_anywhere() {
        for (item, left) in [
            (r#""4111111111111111""#, r#""411111******1111""#),
            ("4111111111111111", r#""411111******1111""#),
            (" -4111111111111111 ", r#" "-411111******1111" "#),
            ("4111111111111111.0", r#""411111******1111.0""#),
            ("0.4111111111111111", "0.4111111111111111"),
            ("4222222222222", r#""422222***2222""#),
            ("4111111111111112", "4111111111111112"),
            ("1e4111111111111111", "1e4111111111111111"),
            (
                r#"{"a":{"b":[[4111111111111111]]}}"#,
                r#"{"a":{"b":[["411111******1111"]]}}"#,
            ),
            (r#"{"4111111111111111":1}"#, r#"{"411111******1111":1}"#),
            (
                r#"{"x":"{\"n\":\"4111111111111111\"}"}"#,
                r#"{"x":"{\"n\":\"411111******1111\"}"}"#,
            ),
            (
                r#"{"x":"\u0034\u0031\u0031\u0031111111111111"}"#,
                r#"{"x":"\u0034\u0031\u0031\u003111******1111"}"#,
            ),
            (
                r#"{"x":"4111 1111-1111 1111"}"#,
                r#"{"x":"4111 11**-**** 1111"}"#,
            ),
            (
                r#"{"pan":"4111111111111112"}"#,
                r#"{"pan":"411111******1112"}"#,
            ),
            (
                r#"{"p\u0061n":[4111111111111112]}"#,
                r#"{"p\u0061n":["411111******1112"]}"#,
            ),
            (
                r#"{"id":{"x":"4111111111111111"}}"#,
                r#"{"id":{"x":"411111******1111"}}"#,
            ),
            (
                r#"{"ID":"4111111111111111"}"#,
                r#"{"ID":"411111******1111"}"#,
            ),
        ] {
            assert_eq!(redacted(item), left);
        }
    }

    #[test]
    fn exact_keys_keep_their_digits() {
        for item in [
            r#"{"id":"4111111111111111"}"#,
            r#"{"ids":[4111111111111111,["4111 1111 1111 1111"]],"x":1}"#,
            r#"{"\u0069d":4111111111111111}"#,
            r#"{"x":"a1111111-1111-4111-8111-111111111111"}"#,
        ] {
            assert_eq!(redacted(item), item);
        }
    }

    #[test]
    fn dropped_members_leave_valid_json() {
        for (item, left) in [
            (r#"{"cvv":"123"}"#, "{}"),
            (r#"{"CVV":"123","a":1}"#, r#"{"a":1}"#),
            (r#"{"a":1,"md":{"x":[1,{"cvv":"2"}]}}"#, r#"{"a":1}"#),
            (r#"{"a":1,"PaReq":"x","b":2}"#, r#"{"a":1,"b":2}"#),
            (r#"{"cvv":1,"cvc":2,"a":3,"creq":4,"cres":5}"#, r#"{"a":3}"#),
            (r#"{ "cvv" : 1 , "cvc" : 2 }"#, "{    }"),
            (
                r#"[{"cv\u0076":1},{"secret":2,"Secret":3}]"#,
                r#"[{},{"Secret":3}]"#,
            ),
            (
                r#"{"tab\tle":1,"a":{"cavv":"4111111111111111","b":2}}"#,
                r#"{"a":{"b":2}}"#,
            ),
            (
                r#"{"cvv_result":"M","md":null,"4111111111111111":0}"#,
                r#"{"cvv_result":"M","411111******1111":0}"#,
            ),
        ] {
            assert_eq!(redacted(item), left);
        }
        let redacted = redact(r#"{"md":["4111111111111111",{"cvv":1}],"cvv":1}"#, &SPEC);
        assert_eq!((redacted.counts.cards, redacted.counts.keys), (0, 2));
    }

    /// Of several numbers under a card's key, an older program that did not know the key cut each of them, where
    /// today's cuts the whole.
    #[test]
    fn a_number_that_luhn_cut_is_what_a_cards_key_leaves() {
        let weaker = Redaction { cards: &[], ..SPEC };
        for number in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111111111111112",
            "1",
        ] {
            let item = format!(r#"{{"pan":"{number}","x":{{"pan":["{number}"]}}}}"#);
            let stored = redact(&item, &weaker).text;
            assert_eq!(redact(&stored, &SPEC).text, redact(&item, &SPEC).text);
        }
        let item = r#"{"pan":"4111111111111111 4222222222222"}"#;
        let stored = redact(item, &weaker).text;
        assert_ne!(redact(&stored, &SPEC).text, redact(item, &SPEC).text);
    }

    #[test]
    fn a_text_that_is_not_json_is_masked_as_a_whole() {
        for item in [
            "{",
            "{]",
            "[1,]",
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            "[1] x",
            "nul",
            r#""abc"#,
            r#""\"#,
            "}",
        ] {
            let text = format!("{item}{CARD}");
            let redacted = redact(&text, &SPEC);
            assert!(!redacted.valid, "{text}");
            assert_eq!(redacted.text, format!("{item}411111******1111"));
            assert_eq!(redact(&redacted.text, &SPEC).text, redacted.text);
        }
    }

    #[test]
    fn deep_nesting_is_accepted_and_counted() {
        let deep = format!("{}{CARD}{}", "[".repeat(100_000), "]".repeat(100_000));
        let redacted = redact(&deep, &SPEC);
        assert!(redacted.valid);
        assert_eq!((redacted.depth, redacted.counts.cards), (100_000, 1));
        let open = "{\"a\":".repeat(100_000);
        assert_eq!(redact(&open, &SPEC).depth, 100_000);
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z\"\\\\é/ ]{0,6}",
            proptest::sample::select(
                &["id", "amount", "pan", "cvv", "MD", "secret", "tab\tle"][..]
            )
            .prop_map(str::to_owned),
        ]
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i16>().prop_map(|whole| json!(f64::from(whole))),
            Just(json!(-12.5)),
            "[0-9 -]{0,30}".prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            Just(json!(CARD)),
            Just(json!(4_111_111_111_111_111_u64)),
        ];
        leaf.prop_recursive(6, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(key(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The same redaction on the parsed value.
    fn model(value: &Value, key: &str) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .filter(|(key, _)| {
                    !DROPPED.contains(&key.to_lowercase().as_str())
                        && !SPEC.dropped.contains(&key.as_str())
                })
                .map(|(key, value)| (key.clone(), model(value, key)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Array(elements) => elements.iter().map(|element| model(element, key)).collect(),
            Value::String(text) => masked(text, key).map_or(value.clone(), Value::from),
            Value::Number(number) if number.is_f64() => value.clone(),
            Value::Number(number) => {
                masked(&number.to_string(), key).map_or(value.clone(), Value::from)
            }
            Value::Bool(_) | Value::Null => value.clone(),
        }
    }

    fn masked(text: &str, key: &str) -> Option<String> {
        let check = match key {
            "id" | "amount" => return None,
            "pan" => Check::Length,
            _ => Check::Luhn,
        };
        mask(text, check).map(|masked| masked.text)
    }

    proptest! {
        #[test]
        fn redaction_agrees_with_its_model(value in any_json(), pretty in any::<bool>()) {
            let item = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let once = redact(&item, &SPEC);
            prop_assert!(once.valid);
            let read: Value = serde_json::from_str(&once.text).unwrap();
            prop_assert_eq!(read, model(&value, ""));
            prop_assert_eq!(once.counts.total() == 0, matches!(once.text, Cow::Borrowed(_)));
            let twice = redact(&once.text, &SPEC);
            prop_assert_eq!(&twice.text, &once.text);
            prop_assert_eq!(twice.counts, RedactionCounts::default());
        }

        /// What an older program stored, redacted again, is what the provider's item is redacted to now: so a
        /// re-scan finds the row unchanged. In items with blanks, members that are dropped one after the other
        /// leave fewer of them.
        #[test]
        fn what_weaker_rules_left_is_redacted_as_the_item_itself(value in any_json(), weaker in 0..WEAKER.len()) {
            let item = value.to_string();
            let stored = redact(&item, &WEAKER[weaker]).text;
            prop_assert_eq!(redact(&stored, &SPEC).text, redact(&item, &SPEC).text);
        }

        #[test]
        fn any_text_is_redacted_once(
            text in "([{}\\[\\],:\"\\\\ ]|[0-9]{1,17}|4111111111111111|\"cvv\":|\"id\":|\"[a-z]\":|true|\\\\u003[0-9]|\\PC){0,24}",
        ) {
            let once = redact(&text, &SPEC);
            let twice = redact(&once.text, &SPEC);
            prop_assert_eq!(&twice.text, &once.text);
            prop_assert_eq!(twice.valid, once.valid);
            if serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok() {
                prop_assert!(once.valid);
                prop_assert!(serde_json::from_str::<Box<serde_json::value::RawValue>>(&once.text).is_ok());
            }
        }
    }
}
