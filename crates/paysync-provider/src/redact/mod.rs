//! Privacy: what an item loses before anything of it is stored or shown.
//!
//! One pass over the JSON text, which is passed through byte by byte where nothing has to go. Card
//! numbers are cut to first six and last four; card verification codes and 3-D Secure payloads are
//! dropped with their keys; members that the installation's rules name are masked, hashed or dropped.
//! Keys that a provider declares exact (identifiers, amounts, times) keep their digits, as one
//! identifier in ten passes Luhn's check by chance. Takes any nesting without recursion and checks the
//! structure only as far as dropping needs it: items come from a JSON parser.

mod cards;
mod keys;
mod rules;
mod scan;
mod strings;

use std::borrow::Cow;
use std::ops::AddAssign;

use cards::{Rule, cut};
use scan::Scan;

pub use keys::DROPPED;
pub use rules::{RulePaths, Rules};

use crate::Redaction;

/// An item that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted<'a> {
    /// The text: borrowed if nothing had to go.
    pub text: Cow<'a, str>,
    /// What had to go.
    pub taken: Taken,
    /// The deepest nesting of objects and arrays; 0 for a scalar.
    pub depth: u32,
    /// Values of the members asked for, as the item writes them: of each key the last one, at its top.
    pub members: [Option<&'a str>; MEMBERS],
    /// Whether the text is built like JSON. If not, nothing is dropped and every card number in it is
    /// cut as if the whole were one string.
    pub valid: bool,
}

/// Members that can be asked for on the way.
pub const MEMBERS: usize = 2;

/// What was taken out of items, in numbers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Card numbers cut.
    pub cards: u64,
    /// Members dropped because they always are, for every provider or for this one.
    pub keys: u64,
    /// Values masked by the installation's rules.
    pub masked: u64,
    /// Values hashed by them.
    pub hashed: u64,
    /// Members dropped by them.
    pub dropped: u64,
}

impl Taken {
    /// A word and a number each.
    pub const fn by_kind(&self) -> [(&'static str, u64); 5] {
        [
            ("card", self.cards),
            ("key", self.keys),
            ("mask", self.masked),
            ("hash", self.hashed),
            ("drop", self.dropped),
        ]
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.by_kind().iter().map(|(_, number)| number).sum()
    }
}

impl AddAssign for Taken {
    fn add_assign(&mut self, other: Self) {
        self.cards += other.cards;
        self.keys += other.keys;
        self.masked += other.masked;
        self.hashed += other.hashed;
        self.dropped += other.dropped;
    }
}

/// Takes out of an item what must never be stored. Redacting twice gives the same as redacting once.
pub fn redact<'a>(item: &'a str, spec: &Redaction) -> Redacted<'a> {
    redact_and_find(item, spec, &Rules::default(), [""; MEMBERS])
}

/// The same with the installation's rules; and finds members by their keys, as they were before: the
/// item is not read once more for them.
pub fn redact_and_find<'a>(
    item: &'a str,
    spec: &Redaction,
    rules: &Rules,
    keys: [&str; MEMBERS],
) -> Redacted<'a> {
    let mut scan = Scan::new(item, spec, rules, keys);
    if scan.run().is_some() {
        return scan.finish();
    }
    let plain = cut(item, Rule::Luhn);
    Redacted {
        taken: Taken {
            cards: plain.as_ref().map_or(0, |cut| u64::from(cut.numbers)),
            ..Taken::default()
        },
        text: plain.map_or(Cow::Borrowed(item), |cut| Cow::Owned(cut.text)),
        depth: scan.depth,
        members: [None; MEMBERS],
        valid: false,
    }
}

/// Cuts the card numbers of a text that is no JSON.
pub fn redact_text(text: &str) -> String {
    cut(text, Rule::Luhn).map_or_else(|| text.to_owned(), |cut| cut.text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const RULES: Redaction = Redaction {
        exact: &["id", "amount", "ids"],
        cards: &["pan", "card.number"],
        dropped: &["secret", "tab\tle"],
    };
    const CARD: &str = "4111111111111111";

    fn redacted(item: &str) -> String {
        let redacted = redact(item, &RULES);
        assert!(redacted.valid, "{item}");
        redacted.text.into_owned()
    }

    #[test]
    fn an_item_without_secrets_is_borrowed() {
        let item =
            r#"{"id": 4111111111111111, "note": "ünï 12345", "list": [1, {"a": null}], "t": true}"#;
        let redacted = redact(item, &RULES);
        assert!(matches!(redacted.text, Cow::Borrowed(text) if text == item));
        assert_eq!((redacted.taken, redacted.depth), (Taken::default(), 3));
    }

    #[test]
    fn cards_are_cut_wherever_they_stand() {
        for (item, left) in [
            (r#""4111111111111111""#, r#""411111******1111""#),
            ("4111111111111111", r#""411111******1111""#),
            (" -4111111111111111 ", r#" "-411111******1111" "#),
            ("4111111111111111.0", r#""411111******1111.0""#),
            ("0.4111111111111111", "0.4111111111111111"),
            ("4111111111111112", "4111111111111112"),
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
        let redacted = redact(r#"{"md":["4111111111111111",{"cvv":1}],"cvv":1}"#, &RULES);
        assert_eq!((redacted.taken.cards, redacted.taken.keys), (0, 2));
    }

    #[test]
    fn a_text_that_is_no_json_is_cut_as_a_whole() {
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
            let redacted = redact(&text, &RULES);
            assert!(!redacted.valid, "{text}");
            assert_eq!(redacted.text, format!("{item}411111******1111"));
            assert_eq!(redact(&redacted.text, &RULES).text, redacted.text);
        }
    }

    #[test]
    fn deep_nesting_is_only_counted() {
        let deep = format!("{}{CARD}{}", "[".repeat(100_000), "]".repeat(100_000));
        let redacted = redact(&deep, &RULES);
        assert!(redacted.valid);
        assert_eq!((redacted.depth, redacted.taken.cards), (100_000, 1));
        let open = "{\"a\":".repeat(100_000);
        assert_eq!(redact(&open, &RULES).depth, 100_000);
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

    /// What redaction means, on the parsed value.
    fn model(value: &Value, key: &str) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .filter(|(key, _)| {
                    !DROPPED.contains(&key.to_lowercase().as_str())
                        && !RULES.dropped.contains(&key.as_str())
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
        let rule = match key {
            "id" | "amount" => return None,
            "pan" => Rule::Always,
            _ => Rule::Luhn,
        };
        cut(text, rule).map(|cut| cut.text)
    }

    proptest! {
        #[test]
        fn redaction_agrees_with_its_model(value in any_json(), pretty in any::<bool>()) {
            let item = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let once = redact(&item, &RULES);
            prop_assert!(once.valid);
            let read: Value = serde_json::from_str(&once.text).unwrap();
            prop_assert_eq!(read, model(&value, ""));
            prop_assert_eq!(once.taken.total() == 0, matches!(once.text, Cow::Borrowed(_)));
            let twice = redact(&once.text, &RULES);
            prop_assert_eq!(&twice.text, &once.text);
            prop_assert_eq!(twice.taken, Taken::default());
        }

        #[test]
        fn any_text_is_taken_and_redacted_once(
            text in "([{}\\[\\],:\"\\\\ ]|[0-9]{1,17}|4111111111111111|\"cvv\":|\"id\":|\"[a-z]\":|true|\\\\u003[0-9]|\\PC){0,24}",
        ) {
            let once = redact(&text, &RULES);
            let twice = redact(&once.text, &RULES);
            prop_assert_eq!(&twice.text, &once.text);
            prop_assert_eq!(twice.valid, once.valid);
            if serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok() {
                prop_assert!(once.valid);
                prop_assert!(serde_json::from_str::<Box<serde_json::value::RawValue>>(&once.text).is_ok());
            }
        }
    }
}
