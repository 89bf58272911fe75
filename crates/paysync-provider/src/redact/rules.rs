//! Configured rules: members of an item that are masked, hashed or dropped, by their paths.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::wire;

/// The replacement of a masked value.
const MASK: &str = "\"***\"";

/// Prefix of a hash.
const HASH_PREFIX: &str = "hash:";

/// Hexadecimal digits of a hash: 128 bits.
const HASH_DIGITS: usize = 32;

/// The action for a member. If several rules match, the greatest applies, which is the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Hash,
    Mask,
    Drop,
}

/// The paths of members to mask, hash or drop. A path is the keys from an item's top level, joined by
/// dots; `*` matches any one key.
#[derive(Debug, Clone, Default)]
pub struct RulePaths {
    /// Members whose value becomes `***`.
    pub mask: Vec<String>,
    /// Members whose value becomes a keyed hash.
    pub hash: Vec<String>,
    /// Members that are removed with their key.
    pub drop: Vec<String>,
    /// The key of the hashes; required if `hash` is not empty.
    pub salt: Option<SecretString>,
}

impl PartialEq for RulePaths {
    fn eq(&self, other: &Self) -> bool {
        let salt = |redact: &Self| redact.salt.as_ref().map(|it| it.expose_secret().to_owned());
        self.lists() == other.lists() && salt(self) == salt(other)
    }
}

impl RulePaths {
    /// The paths with the configuration key of their action.
    pub fn lists(&self) -> [(&'static str, &[String]); 3] {
        [
            ("mask", &self.mask),
            ("hash", &self.hash),
            ("drop", &self.drop),
        ]
    }

    /// The action and path of the first rule that matches a key at an item's top level.
    pub fn rule_for(&self, key: &str) -> Option<(&'static str, &str)> {
        self.lists().into_iter().find_map(|(action, paths)| {
            let path = paths.iter().find(|path| *path == key || *path == "*")?;
            Some((action, path.as_str()))
        })
    }
}

/// An account's rules, as a tree of keys.
#[derive(Clone, Default)]
pub struct Rules {
    root: Node,
    /// Without it, values to be hashed are masked.
    mac: Option<Hmac<Sha256>>,
}

/// A key of a path.
#[derive(Clone, Default)]
struct Node {
    /// None for any key.
    key: Option<String>,
    action: Option<Action>,
    children: Vec<Node>,
}

impl Rules {
    /// Builds the tree of these paths.
    pub fn new(redact: &RulePaths) -> Self {
        let mut root = Node::default();
        let actions = [Action::Mask, Action::Hash, Action::Drop];
        for (action, (_, paths)) in actions.into_iter().zip(redact.lists()) {
            for path in paths {
                root.add(path.split('.'), action);
            }
        }
        let key = redact.salt.as_ref();
        let mac = key.and_then(|it| Hmac::new_from_slice(it.expose_secret().as_bytes()).ok());
        Self { root, mac }
    }

    /// The replacement of a value; none if it stays. Null stays, and so does an earlier replacement, so
    /// that redacting twice changes nothing.
    pub(super) fn replacement(&self, value: &str, action: Action) -> Option<Cow<'static, str>> {
        if value == "null" {
            return None;
        }
        match (action, &self.mac) {
            (Action::Hash, Some(mac)) => {
                let text = wire::unescape(value).unwrap_or(Cow::Borrowed(value));
                (!is_hash(&text)).then(|| hash(mac.clone(), &text).into())
            }
            _ => (value != MASK).then_some(Cow::Borrowed(MASK)),
        }
    }
}

impl Node {
    fn add<'p>(&mut self, path: impl Iterator<Item = &'p str>, action: Action) {
        let mut node = self;
        for key in path {
            let key = (key != "*").then(|| key.to_owned());
            let known = node.children.iter().position(|child| child.key == key);
            let index = known.unwrap_or(node.children.len());
            if known.is_none() {
                node.children.push(Self {
                    key,
                    ..Self::default()
                });
            }
            let Some(child) = node.children.get_mut(index) else {
                return;
            };
            node = child;
        }
        node.action = node.action.max(Some(action));
    }

    /// The children that match a key, by name and by `*`.
    fn matching(&self, key: &str) -> impl Iterator<Item = &Self> {
        let matches = move |name: &String| name == key;
        let children = self.children.iter();
        children.filter(move |child| child.key.as_ref().is_none_or(matches))
    }
}

/// A stack of the rules whose paths match the keys down to the current value: those of the innermost
/// object last.
pub(super) struct PartialMatches<'r>(Vec<&'r Node>);

/// The part of the stack that applies inside an object or array: start and end.
pub(super) type Span = (usize, usize);

impl<'r> PartialMatches<'r> {
    /// The stack at an item's top level.
    pub(super) fn new(rules: &'r Rules) -> Self {
        let has_rules = !rules.root.children.is_empty();
        Self(has_rules.then_some(&rules.root).into_iter().collect())
    }

    /// Whether there are no rules.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) const fn all(&self) -> Span {
        (0, self.0.len())
    }

    /// The part that applies in the value of the last key, inside the object of `outer`.
    pub(super) const fn after(&self, outer: Span) -> Span {
        (outer.1, self.0.len())
    }

    /// Matches one more key inside the object of this span; the strictest action of the paths that end
    /// there.
    pub(super) fn descend(&mut self, (from, to): Span, key: &str) -> Option<Action> {
        self.0.truncate(to);
        let mut action = None;
        for index in from..to {
            let Some(node) = self.0.get(index).copied() else {
                break;
            };
            for child in node.matching(key) {
                action = action.max(child.action);
                self.0.push(child);
            }
        }
        action
    }
}

/// The hash of a text, as a JSON string.
fn hash(mut mac: Hmac<Sha256>, text: &str) -> String {
    mac.update(text.as_bytes());
    let bytes = mac.finalize().into_bytes();
    let first = bytes.first_chunk().copied().unwrap_or_default();
    let number = u128::from_be_bytes(first);
    format!("\"{HASH_PREFIX}{number:0HASH_DIGITS$x}\"")
}

fn is_hash(text: &str) -> bool {
    let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    let digits = text.strip_prefix(HASH_PREFIX);
    digits.is_some_and(|it| it.len() == HASH_DIGITS && it.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::redact::{EXTRACTED, Redacted, RedactionCounts, redact, redact_and_extract};
    use crate::spec::Redaction;

    const SPEC: Redaction = Redaction {
        exact: &["id"],
        cards: &["pan"],
        dropped: &["secret"],
        exact_columns: &[],
    };
    const CARD: &str = "4111111111111111";

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    fn rules(mask: &[&str], hash: &[&str], drop: &[&str]) -> Rules {
        Rules::new(&RulePaths {
            mask: paths(mask),
            hash: paths(hash),
            drop: paths(drop),
            salt: Some("a salt of 16 bytes and more".into()),
        })
    }

    fn redacted<'a>(item: &'a str, rules: &Rules) -> Redacted<'a> {
        let redacted = redact_and_extract(item, &SPEC, rules, [""; EXTRACTED]);
        assert!(redacted.valid, "{item}");
        let again = redact_and_extract(&redacted.text, &SPEC, rules, [""; EXTRACTED]);
        assert_eq!(again.text, redacted.text, "{item}");
        assert_eq!(again.counts, RedactionCounts::default(), "{item}");
        redacted
    }

    #[test]
    fn values_of_every_type_are_masked() {
        let rules = rules(&["a", "b.c"], &[], &[]);
        for (item, left) in [
            (r#"{"a":"x"}"#, r#"{"a":"***"}"#),
            (r#"{ "a" : 1 , "b" : 2 }"#, r#"{ "a" : "***" , "b" : 2 }"#),
            (
                r#"{"a":true,"b":{"c":-1.5e3}}"#,
                r#"{"a":"***","b":{"c":"***"}}"#,
            ),
            (
                r#"{"a":{"c":[{"cvv":1},{"cvv":1,"x":"4111111111111111"}]},"z":1}"#,
                r#"{"a":"***","z":1}"#,
            ),
            (
                r#"{"a":[],"b":{"c":["x"],"d":1}}"#,
                r#"{"a":"***","b":{"c":"***","d":1}}"#,
            ),
            (
                r#"{"a":null,"b":{"c":null}}"#,
                r#"{"a":null,"b":{"c":null}}"#,
            ),
            (
                r#"{"\u0061":"x","a":"y","A":1}"#,
                r#"{"\u0061":"***","a":"***","A":1}"#,
            ),
            (r#"{"cvv":1,"a":"x","cvc":2}"#, r#"{"a":"***"}"#),
            (r#"{"a":"x","cvv":1,"c":"a"}"#, r#"{"a":"***","c":"a"}"#),
            (
                r#"{"x":{"a":1},"c":1,"b":"c"}"#,
                r#"{"x":{"a":1},"c":1,"b":"c"}"#,
            ),
            (
                r#"["a",{"a":1},[{"a":1}]]"#,
                r#"["a",{"a":"***"},[{"a":"***"}]]"#,
            ),
            (r#""a""#, r#""a""#),
        ] {
            assert_eq!(redacted(item, &rules).text, left);
        }
    }

    #[test]
    fn members_are_dropped_with_their_commas() {
        let rules = rules(&[], &[], &["a", "b.c", "x.*.y"]);
        for (item, left) in [
            (r#"{"a":1}"#, "{}"),
            (r#"{"a":1,"cvv":2,"z":3}"#, r#"{"z":3}"#),
            (
                r#"{"z":3,"a":{"b":[1,2]},"b":{"c":1}}"#,
                r#"{"z":3,"b":{}}"#,
            ),
            (r#"{"a":null}"#, "{}"),
            (
                r#"{"x":{"p":{"y":1,"z":2},"y":3,"q":{"q":{"y":4}}}}"#,
                r#"{"x":{"p":{"z":2},"y":3,"q":{"q":{"y":4}}}}"#,
            ),
        ] {
            assert_eq!(redacted(item, &rules).text, left);
        }
    }

    #[test]
    fn paths_pass_through_arrays() {
        let rules = rules(
            &["cards.number", "cards.*.deep"],
            &[],
            &["cards.holder.name"],
        );
        let item = r#"{"cards":[{"number":1,"n":{"deep":1},"holder":[[{"name":1,"x":{"name":2}}]]},[{"number":2}],{"n":1,"number":[3]}],"number":4}"#;
        let left = r#"{"cards":[{"number":"***","n":{"deep":"***"},"holder":[[{"x":{"name":2}}]]},[{"number":"***"}],{"n":1,"number":"***"}],"number":4}"#;
        let redacted = redacted(item, &rules);
        assert_eq!(redacted.text, left);
        let counts = RedactionCounts {
            masked: 4,
            dropped: 1,
            ..RedactionCounts::default()
        };
        assert_eq!(redacted.counts, counts);
    }

    #[test]
    fn of_several_actions_the_strictest_applies() {
        let rules = rules(&["c.*"], &["*.email", "id"], &["*.phone", "c.name"]);
        let item =
            r#"{"c":{"email":"x","phone":"y","name":"z","more":1},"d":{"email":null,"phone":1}}"#;
        let left = r#"{"c":{"email":"***","more":"***"},"d":{"email":null}}"#;
        assert_eq!(redacted(item, &rules).text, left);
    }

    #[test]
    fn a_card_number_in_the_key_of_a_masked_value_is_masked() {
        let item = format!(r#"{{"{CARD}":{{"a":"{CARD}"}}}}"#);
        let redacted = redacted(&item, &rules(&["*"], &[], &[]));
        assert_eq!(redacted.text, r#"{"411111******1111":"***"}"#);
        assert_eq!((redacted.counts.cards, redacted.counts.masked), (1, 1));
    }

    /// The first half of `printf '%s' VALUE | openssl dgst -sha256 -hmac 'a salt of 16 bytes and more'`.
    #[test]
    fn hashes_are_of_the_unescaped_value() {
        let rules = rules(&[], &["a"], &[]);
        let hashed = |value: &str| {
            let item = format!(r#"{{"a":{value}}}"#);
            let text = redacted(&item, &rules).text.into_owned();
            let (_, hash) = text.split_once(':').unwrap();
            hash.trim_matches(['"', '}']).to_owned()
        };
        assert_eq!(
            hashed(r#""10.0.0.1""#),
            "hash:0c4d11d3bec865a2043e8af2159848e8"
        );
        assert_eq!(hashed(r#""10.0.0.\u0031""#), hashed(r#""10.0.0.1""#));
        assert_eq!(hashed(r#""é\/""#), hashed(r#""\u00e9/""#));
        assert_eq!(hashed("17"), hashed(r#""17""#));
        assert_ne!(hashed(r#""10.0.0.2""#), hashed(r#""10.0.0.1""#));
        assert_eq!(
            hashed("{\"b\":[1]}"),
            "hash:2f0debe82ad3ce7bed434a8b641da3b5"
        );
        assert_eq!(hashed("[1]").len(), "hash:".len() + 32);
        assert!(hashed(r#""\ud800""#).starts_with("hash:"));
        let counts = RedactionCounts {
            hashed: 1,
            ..RedactionCounts::default()
        };
        assert_eq!(redacted(r#"{"a":1}"#, &rules).counts, counts);
        let once = hashed("false");
        assert_eq!(hashed(&format!("\"{once}\"")), once);
        assert_ne!(hashed(&format!("\"{once}0\"")), format!("{once}0"));
    }

    #[test]
    fn a_stricter_action_redacts_a_stored_item_as_the_item_itself() {
        let [hash, mask, drop] = [
            rules(&[], &["a"], &[]),
            rules(&["a"], &[], &[]),
            rules(&[], &[], &["a"]),
        ];
        let item = r#"{"a":"x","b":1}"#;
        for (old, new) in [(&hash, &mask), (&hash, &drop), (&mask, &drop)] {
            let stored = redacted(item, old).text;
            assert_eq!(redacted(&stored, new).text, redacted(item, new).text);
        }
        let stored = redact(item, &SPEC).text;
        for new in [&hash, &mask, &drop] {
            assert_eq!(redacted(&stored, new).text, redacted(item, new).text);
        }
    }

    #[test]
    fn without_a_salt_hashed_values_are_masked() {
        let rules = Rules::new(&RulePaths {
            hash: paths(&["a"]),
            ..RulePaths::default()
        });
        let redacted = redact_and_extract(r#"{"a":1}"#, &SPEC, &rules, [""; EXTRACTED]);
        assert_eq!(redacted.text, r#"{"a":"***"}"#);
    }

    #[test]
    fn extracted_members_are_not_redacted() {
        let rules = rules(&["*"], &[], &[]);
        let item = r#"{"id": "x", "at" : 1 }"#;
        let redacted = redact_and_extract(item, &SPEC, &rules, ["id", "at"]);
        assert_eq!(redacted.extracted, [Some("\"x\""), Some("1")]);
        assert_eq!(redacted.text, r#"{"id": "***", "at" : "***" }"#);
        let nested = redact_and_extract(r#"{"x":{"id":1},"at":2}"#, &SPEC, &rules, ["id", "at"]);
        assert_eq!(nested.extracted, [None, Some("2")]);
    }

    #[test]
    fn a_rule_for_a_key_at_the_top_is_found() {
        let rules = |mask: &[&str], drop: &[&str]| RulePaths {
            mask: paths(mask),
            drop: paths(drop),
            ..RulePaths::default()
        };
        assert_eq!(rules(&["id.x"], &["a"]).rule_for("id"), None);
        assert_eq!(rules(&["b"], &["id"]).rule_for("id"), Some(("drop", "id")));
        assert_eq!(rules(&["*"], &["id"]).rule_for("id"), Some(("mask", "*")));
    }

    #[test]
    fn rules_are_equal_with_the_same_paths_and_the_same_salt() {
        let rules = |mask: &str, salt: &str| RulePaths {
            mask: paths(&[mask]),
            salt: Some(salt.into()),
            ..RulePaths::default()
        };
        assert_eq!(rules("a", "salt"), rules("a", "salt"));
        assert_ne!(rules("a", "salt"), rules("b", "salt"));
        assert_ne!(rules("a", "salt"), rules("a", "tlas"));
    }

    /// The same rules on the parsed value, with the rest of the matching `paths`.
    fn model(value: &Value, paths: &[(Action, Vec<&str>)], rules: &Rules) -> Value {
        match value {
            Value::Array(elements) => elements
                .iter()
                .map(|element| model(element, paths, rules))
                .collect(),
            Value::Object(members) => members
                .iter()
                .filter_map(|(key, value)| {
                    let matches = paths.iter().filter_map(|(action, path)| {
                        let (first, rest) = path.split_first()?;
                        (*first == "*" || first == key).then(|| (*action, rest.to_vec()))
                    });
                    let matches: Vec<(Action, Vec<&str>)> = matches.collect();
                    let ended = matches.iter().filter(|(_, rest)| rest.is_empty());
                    let value = match ended.map(|(action, _)| *action).max() {
                        Some(Action::Drop) => return None,
                        Some(action) => {
                            let text = value.to_string();
                            let other = rules.replacement(&text, action);
                            other.map_or(value.clone(), |it| serde_json::from_str(&it).unwrap())
                        }
                        None => model(value, &matches, rules),
                    };
                    Some((key.clone(), value))
                })
                .collect::<serde_json::Map<_, _>>()
                .into(),
            _ => value.clone(),
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i16>().prop_map(Value::from),
            "[ab\"\\\\é]{0,3}".prop_map(Value::from),
            Just(json!("***")),
            Just(json!("hash:00112233445566778899aabbccddeeff")),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn any_paths() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[abc*](\\.[abc*]){0,3}", 0..3)
    }

    proptest! {
        #[test]
        fn rules_agree_with_their_model(
            value in any_json(),
            mask in any_paths(),
            hash in any_paths(),
            drop in any_paths(),
            pretty in any::<bool>(),
        ) {
            let redact = RulePaths { mask, hash, drop, salt: Some("0123456789abcdef".into()) };
            let rules = Rules::new(&redact);
            // Hashes of objects and arrays depend on their exact text.
            let item = if pretty && redact.hash.is_empty() {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let lists = [
                (Action::Mask, &redact.mask),
                (Action::Hash, &redact.hash),
                (Action::Drop, &redact.drop),
            ];
            let paths: Vec<(Action, Vec<&str>)> = lists
                .into_iter()
                .flat_map(|(action, paths)| paths.iter().map(move |path| (action, path.split('.').collect())))
                .collect();
            let once = redacted(&item, &rules);
            let read: Value = serde_json::from_str(&once.text).unwrap();
            prop_assert_eq!(read, model(&value, &paths, &rules));
            prop_assert_eq!(once.counts.total() == 0, matches!(once.text, Cow::Borrowed(_)));
        }

        /// New paths give stored items the text that they give the provider's: so a re-scan finds the rows
        /// unchanged.
        #[test]
        fn further_rules_redact_a_stored_item_as_the_item_itself(
            value in any_json(), mask in any_paths(), drop in any_paths(), old in (0..3_usize, 0..3_usize),
        ) {
            let item = value.to_string();
            let fewer = RulePaths {
                mask: mask.iter().take(old.0).cloned().collect(),
                drop: drop.iter().take(old.1).cloned().collect(),
                ..RulePaths::default()
            };
            let today = Rules::new(&RulePaths { mask, drop, ..RulePaths::default() });
            let stored = redacted(&item, &Rules::new(&fewer)).text;
            prop_assert_eq!(redacted(&stored, &today).text, redacted(&item, &today).text);
        }
    }
}
