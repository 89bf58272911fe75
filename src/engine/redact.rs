//! Privacy: what an item loses before anything of it is stored or shown.
//!
//! One pass over the JSON text, which is passed through byte by byte where nothing has to go. Card
//! numbers are cut to first six and last four; card verification codes and 3-D Secure payloads are
//! dropped with their keys. Keys that a provider declares exact (identifiers, amounts, times) keep
//! their digits, as one identifier in ten passes Luhn's check by chance. Takes any nesting without
//! recursion and checks the structure only as far as dropping needs it: items come from a JSON parser.

mod cards;
mod keys;
mod strings;

use std::borrow::Cow;

use cards::{Rule, SHORTEST, cut};
use keys::{DroppedKeys, unescaped};
use strings::{may_hold_card, string_end};

pub use keys::DROPPED;

use crate::provider::Redaction;

/// An item that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted<'a> {
    /// The text: borrowed if nothing had to go.
    pub text: Cow<'a, str>,
    /// Card numbers cut.
    pub masked: u32,
    /// Keys dropped.
    pub dropped: u32,
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

/// Takes out of an item what must not be stored. Redacting twice gives the same as redacting once.
pub fn redact<'a>(item: &'a str, rules: &Redaction) -> Redacted<'a> {
    redact_and_find(item, rules, [""; MEMBERS])
}

/// The same, and finds members by their keys: the item is not read once more for them.
pub fn redact_and_find<'a>(
    item: &'a str,
    rules: &Redaction,
    keys: [&str; MEMBERS],
) -> Redacted<'a> {
    let mut scan = Scan::new(item, rules, keys);
    if scan.run().is_some() {
        return scan.finish();
    }
    let plain = cut(item, Rule::Luhn);
    Redacted {
        masked: plain.as_ref().map_or(0, |cut| cut.numbers),
        text: plain.map_or(Cow::Borrowed(item), |cut| Cow::Owned(cut.text)),
        dropped: 0,
        depth: scan.depth,
        members: [None; MEMBERS],
        valid: false,
    }
}

/// Cuts the card numbers of a text that is no JSON.
pub fn redact_text(text: &str) -> String {
    cut(text, Rule::Luhn).map_or_else(|| text.to_owned(), |cut| cut.text)
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
}

/// An open object or array.
#[derive(Clone, Copy)]
struct Frame {
    is_array: bool,
    /// Where the key stands that names the value being read, without its quotes; arrays have their own.
    key: (usize, usize),
    /// Whether a member was kept.
    kept: bool,
    /// Where the last comma stands.
    comma: usize,
}

/// A member being dropped.
#[derive(Clone, Copy)]
struct Dropping {
    /// Frames open at its key.
    level: usize,
    /// Where the cut starts.
    from: usize,
}

/// A member asked for, being read.
#[derive(Clone, Copy)]
struct Finding {
    place: usize,
    /// Where its value starts, or the blanks before it.
    from: usize,
}

struct Scan<'a, 'r> {
    item: &'a str,
    rules: &'r Redaction,
    keys: [&'r str; MEMBERS],
    finding: Option<Finding>,
    members: [Option<&'a str>; MEMBERS],
    dropped_keys: DroppedKeys,
    at: usize,
    frames: Vec<Frame>,
    dropping: Option<Dropping>,
    out: String,
    /// How much of the item is in `out`, or left out of it.
    copied: usize,
    masked: u32,
    dropped: u32,
    depth: u32,
}

impl<'a, 'r> Scan<'a, 'r> {
    fn new(item: &'a str, rules: &'r Redaction, keys: [&'r str; MEMBERS]) -> Self {
        Self {
            item,
            rules,
            keys,
            finding: None,
            members: [None; MEMBERS],
            dropped_keys: DroppedKeys::new(rules.dropped),
            at: 0,
            frames: Vec::with_capacity(8),
            dropping: None,
            out: String::new(),
            copied: 0,
            masked: 0,
            dropped: 0,
            depth: 0,
        }
    }

    /// Reads the whole text; `None` if it is not built like JSON.
    fn run(&mut self) -> Option<()> {
        let mut expect = Expect::Value;
        loop {
            let Some(byte) = self.skip_blanks() else {
                return (expect == Expect::CommaOrEnd && self.frames.is_empty()).then_some(());
            };
            expect = match (expect, byte) {
                (Expect::Value | Expect::ValueOrEnd, b'{') => self.open(false),
                (Expect::Value | Expect::ValueOrEnd, b'[') => self.open(true),
                (Expect::Value | Expect::ValueOrEnd, b'"') => self.string()?,
                (Expect::ValueOrEnd | Expect::CommaOrEnd, b']') => self.close(true)?,
                (Expect::Value | Expect::ValueOrEnd, _) => self.scalar(byte)?,
                (Expect::Key | Expect::KeyOrEnd, b'"') => self.key()?,
                (Expect::KeyOrEnd | Expect::CommaOrEnd, b'}') => self.close(false)?,
                (Expect::CommaOrEnd, b',') => self.comma()?,
                (Expect::Key | Expect::KeyOrEnd | Expect::CommaOrEnd, _) => return None,
            };
        }
    }

    fn finish(mut self) -> Redacted<'a> {
        let text = if self.masked == 0 && self.dropped == 0 {
            Cow::Borrowed(self.item)
        } else {
            self.out
                .push_str(self.item.get(self.copied..).unwrap_or_default());
            Cow::Owned(self.out)
        };
        Redacted {
            text,
            masked: self.masked,
            dropped: self.dropped,
            depth: self.depth,
            members: self.members,
            valid: true,
        }
    }

    fn byte(&self) -> Option<u8> {
        self.item.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn open(&mut self, is_array: bool) -> Expect {
        self.at += 1;
        let key = self.frames.last().filter(|_| is_array);
        self.frames.push(Frame {
            is_array,
            key: key.map_or((0, 0), |frame| frame.key),
            kept: false,
            comma: 0,
        });
        self.depth = self
            .depth
            .max(u32::try_from(self.frames.len()).unwrap_or(u32::MAX));
        if is_array {
            Expect::ValueOrEnd
        } else {
            Expect::KeyOrEnd
        }
    }

    fn close(&mut self, is_array: bool) -> Option<Expect> {
        self.frames.pop_if(|frame| frame.is_array == is_array)?;
        self.at += 1;
        Some(self.after_value())
    }

    fn comma(&mut self) -> Option<Expect> {
        let at = self.at;
        self.at += 1;
        let frame = self.frames.last_mut()?;
        frame.comma = at;
        if frame.is_array {
            return Some(Expect::Value);
        }
        if !frame.kept && self.dropping.is_none() {
            // All members so far were dropped: their commas go too.
            self.replace(at, at + 1, "");
        }
        Some(Expect::Key)
    }

    /// Ends a value: if it belongs to a dropped member, both go.
    fn after_value(&mut self) -> Expect {
        if self.frames.len() == 1
            && let Some(Finding { place, from }) = self.finding.take()
            && let Some(member) = self.members.get_mut(place)
        {
            *member = self.item.get(from..self.at).map(str::trim);
        }
        match self.dropping {
            None => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.kept = true;
                }
            }
            Some(dropping) if dropping.level == self.frames.len() => {
                self.dropping = None;
                self.dropped += 1;
                self.replace(dropping.from, self.at, "");
            }
            Some(_) => {}
        }
        Expect::CommaOrEnd
    }

    fn key(&mut self) -> Option<Expect> {
        let quote = self.at;
        let (end, escape) = string_end(self.item.as_bytes(), quote + 1)?;
        let key = self.item.get(quote + 1..end)?;
        self.at = end + 1;
        let level = self.frames.len();
        let frame = self.frames.last_mut()?;
        frame.key = (quote + 1, end);
        if self.dropping.is_none() {
            let from = if frame.kept { frame.comma } else { quote };
            if self.dropped_keys.contain(key, escape) {
                self.dropping = Some(Dropping { level, from });
            } else if may_hold_card(key, escape) {
                self.mask_string(quote + 1, end, Rule::Luhn);
            }
        }
        if self.skip_blanks()? != b':' {
            return None;
        }
        self.at += 1;
        if level == 1
            && let Some(place) = self.keys.iter().position(|asked| *asked == key)
        {
            let from = self.at;
            self.finding = Some(Finding { place, from });
        }
        Some(Expect::Value)
    }

    fn string(&mut self) -> Option<Expect> {
        let start = self.at + 1;
        let (end, escape) = string_end(self.item.as_bytes(), start)?;
        self.at = end + 1;
        if self.dropping.is_none()
            && may_hold_card(self.item.get(start..end)?, escape)
            && let Some(rule) = self.rule()
        {
            self.mask_string(start, end, rule);
        }
        Some(self.after_value())
    }

    fn scalar(&mut self, first: u8) -> Option<Expect> {
        let start = self.at;
        let rest = self.item.as_bytes().get(start..)?;
        let literal: &[u8] = match first {
            b't' => b"true",
            b'f' => b"false",
            b'n' => b"null",
            b'-' | b'0'..=b'9' => {
                let is_part =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = rest.iter().take_while(|byte| is_part(byte)).count();
                self.at += length;
                if length >= SHORTEST && self.dropping.is_none() {
                    self.mask_number(start);
                }
                return Some(self.after_value());
            }
            _ => return None,
        };
        if !rest.starts_with(literal) {
            return None;
        }
        self.at += literal.len();
        Some(self.after_value())
    }

    /// How the digits of the value being read are cut, by its key; `None` if they are exact.
    fn rule(&self) -> Option<Rule> {
        let Some(&Frame {
            key: (start, end), ..
        }) = self.frames.last()
        else {
            return Some(Rule::Luhn);
        };
        let written = self.item.get(start..end).unwrap_or_default();
        let key = unescaped(written);
        if self.rules.cards.contains(&key.as_ref()) {
            Some(Rule::Always)
        } else if self.rules.exact.contains(&key.as_ref()) {
            None
        } else {
            Some(Rule::Luhn)
        }
    }

    fn mask_string(&mut self, start: usize, end: usize, rule: Rule) {
        if let Some(cut) = self.item.get(start..end).and_then(|text| cut(text, rule)) {
            self.masked += cut.numbers;
            self.replace(start, end, &cut.text);
        }
    }

    /// Cuts a number whose whole part is a card; it becomes a string. Fractions alone are no cards.
    fn mask_number(&mut self, start: usize) {
        let Some(token) = self.item.get(start..self.at) else {
            return;
        };
        let whole = token.split(['.', 'e', 'E']).next().unwrap_or_default();
        if whole.len() < SHORTEST {
            return;
        }
        if let Some(rule) = self.rule()
            && cut(whole, rule).is_some()
            && let Some(cut) = cut(token, rule)
        {
            self.masked += cut.numbers;
            self.replace(start, self.at, &format!("\"{}\"", cut.text));
        }
    }

    fn replace(&mut self, start: usize, end: usize, with: &str) {
        if self.copied == 0 {
            self.out.reserve(self.item.len());
        }
        self.out
            .push_str(self.item.get(self.copied..start).unwrap_or_default());
        self.out.push_str(with);
        self.copied = end;
    }
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
        assert_eq!(
            (redacted.masked, redacted.dropped, redacted.depth),
            (0, 0, 3)
        );
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
        assert_eq!((redacted.masked, redacted.dropped), (0, 2));
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
        assert_eq!((redacted.depth, redacted.masked), (100_000, 1));
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
            prop_assert_eq!(once.masked + once.dropped == 0, matches!(once.text, Cow::Borrowed(_)));
            let twice = redact(&once.text, &RULES);
            prop_assert_eq!(&twice.text, &once.text);
            prop_assert_eq!((twice.masked, twice.dropped), (0, 0));
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
