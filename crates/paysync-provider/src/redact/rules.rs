//! The installation's own rules: which members of an item are masked, hashed or dropped, by their
//! paths.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::wire;

/// What stands in the place of a masked value.
const MASK: &str = "\"***\"";

/// What hashes start with.
const HASH: &str = "hash:";

/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 32;

/// What becomes of a member; of several actions the last one here, the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Hash,
    Mask,
    Drop,
}

/// Members of items by their paths, and what becomes of them. A path is the keys from an item's top,
/// joined by dots; `*` is any one key.
#[derive(Debug, Clone, Default)]
pub struct RulePaths {
    /// Their value becomes `***`.
    pub mask: Vec<String>,
    /// Their value becomes a keyed hash.
    pub hash: Vec<String>,
    /// They go, key and value.
    pub drop: Vec<String>,
    /// The key of the hashes; there if anything is hashed.
    pub salt: Option<SecretString>,
}

/// Whether they take out the same in the same way.
impl PartialEq for RulePaths {
    fn eq(&self, other: &Self) -> bool {
        let salt = |redact: &Self| redact.salt.as_ref().map(|it| it.expose_secret().to_owned());
        self.lists() == other.lists() && salt(self) == salt(other)
    }
}

impl RulePaths {
    /// The paths, by the key that names their action.
    pub fn lists(&self) -> [(&'static str, &[String]); 3] {
        [
            ("mask", &self.mask),
            ("hash", &self.hash),
            ("drop", &self.drop),
        ]
    }

    /// The action and path of the first rule that takes out a key at an item's top.
    pub fn takes(&self, key: &str) -> Option<(&'static str, &str)> {
        self.lists().into_iter().find_map(|(action, paths)| {
            let path = paths.iter().find(|path| *path == key || *path == "*")?;
            Some((action, path.as_str()))
        })
    }
}

/// The rules of an account, as a tree of keys.
#[derive(Clone, Default)]
pub struct Rules {
    top: Node,
    /// Makes the hashes; without it, values to be hashed are masked.
    mac: Option<Hmac<Sha256>>,
}

/// A key of a path.
#[derive(Clone, Default)]
struct Node {
    /// None for any key.
    key: Option<String>,
    action: Option<Action>,
    below: Vec<Node>,
}

impl Rules {
    /// The rules of these paths.
    pub fn new(redact: &RulePaths) -> Self {
        let mut top = Node::default();
        let lists = [
            (Action::Mask, &redact.mask),
            (Action::Hash, &redact.hash),
            (Action::Drop, &redact.drop),
        ];
        for (action, path) in lists
            .into_iter()
            .flat_map(|(action, paths)| paths.iter().map(move |path| (action, path)))
        {
            top.add(path.split('.'), action);
        }
        let key = redact.salt.as_ref();
        let mac = key.and_then(|it| Hmac::new_from_slice(it.expose_secret().as_bytes()).ok());
        Self { top, mac }
    }

    /// What is written in the place of a value; none if it stays. Null stays, and so does what was
    /// written in a value's place before.
    pub(super) fn in_place_of(&self, value: &str, action: Action) -> Option<Cow<'static, str>> {
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
            let known = node.below.iter().position(|below| below.key == key);
            let place = known.unwrap_or(node.below.len());
            if known.is_none() {
                node.below.push(Self {
                    key,
                    ..Self::default()
                });
            }
            let Some(below) = node.below.get_mut(place) else {
                return;
            };
            node = below;
        }
        node.action = node.action.max(Some(action));
    }

    /// Where this key leads to: by its own name, and as any key.
    fn below(&self, key: &str) -> impl Iterator<Item = &Self> {
        self.below
            .iter()
            .filter(move |below| below.key.as_deref().is_none_or(|name| name == key))
    }
}

/// The rules of which a first part of the path is met, as an item is gone through: those of the
/// innermost object last.
pub(super) struct UnderWay<'r>(Vec<&'r Node>);

/// Which of the rules under way hold inside an object or a list: from here to there.
pub(super) type Span = (usize, usize);

impl<'r> UnderWay<'r> {
    /// At an item's top.
    pub(super) fn new(rules: &'r Rules) -> Self {
        let are_there = !rules.top.below.is_empty();
        Self(are_there.then_some(&rules.top).into_iter().collect())
    }

    /// Whether there are no rules at all.
    pub(super) const fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) const fn all(&self) -> Span {
        (0, self.0.len())
    }

    /// Those that hold in the value of the key followed last, in the object where these hold.
    pub(super) const fn after(&self, held: Span) -> Span {
        (held.1, self.0.len())
    }

    /// Goes one key on, in the object where these hold; the strictest action of those that end there.
    pub(super) fn follow(&mut self, (from, to): Span, key: &str) -> Option<Action> {
        self.0.truncate(to);
        let mut action = None;
        for place in from..to {
            let Some(node) = self.0.get(place).copied() else {
                break;
            };
            for below in node.below(key) {
                action = action.max(below.action);
                self.0.push(below);
            }
        }
        action
    }
}

/// The hash of a value, as JSON.
fn hash(mut mac: Hmac<Sha256>, text: &str) -> String {
    mac.update(text.as_bytes());
    let bytes = mac.finalize().into_bytes();
    let first = bytes.first_chunk().copied().unwrap_or_default();
    let number = u128::from_be_bytes(first);
    format!("\"{HASH}{number:0HASH_DIGITS$x}\"")
}

fn is_hash(text: &str) -> bool {
    text.strip_prefix(HASH).is_some_and(|digits| {
        digits.len() == HASH_DIGITS
            && digits
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::{MEMBERS, Redacted, Taken, redact_and_find};
    use super::*;
    use crate::Redaction;

    const SPEC: Redaction = Redaction {
        exact: &["id"],
        cards: &["pan"],
        dropped: &["secret"],
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
        let redacted = redact_and_find(item, &SPEC, rules, [""; MEMBERS]);
        assert!(redacted.valid, "{item}");
        let again = redact_and_find(&redacted.text, &SPEC, rules, [""; MEMBERS]);
        assert_eq!(again.text, redacted.text, "{item}");
        assert_eq!(again.taken, Taken::default(), "{item}");
        redacted
    }

    #[test]
    fn values_are_masked_whatever_they_are() {
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
    fn lists_on_the_way_are_passed_through() {
        let rules = rules(
            &["cards.number", "cards.*.deep"],
            &[],
            &["cards.holder.name"],
        );
        let item = r#"{"cards":[{"number":1,"n":{"deep":1},"holder":[[{"name":1,"x":{"name":2}}]]},[{"number":2}],{"n":1,"number":[3]}],"number":4}"#;
        let left = r#"{"cards":[{"number":"***","n":{"deep":"***"},"holder":[[{"x":{"name":2}}]]},[{"number":"***"}],{"n":1,"number":"***"}],"number":4}"#;
        let redacted = redacted(item, &rules);
        assert_eq!(redacted.text, left);
        let taken = Taken {
            masked: 4,
            dropped: 1,
            ..Taken::default()
        };
        assert_eq!(redacted.taken, taken);
    }

    #[test]
    fn of_several_actions_the_strictest_is_taken() {
        let rules = rules(&["c.*"], &["*.email", "id"], &["*.phone", "c.name"]);
        let item =
            r#"{"c":{"email":"x","phone":"y","name":"z","more":1},"d":{"email":null,"phone":1}}"#;
        let left = r#"{"c":{"email":"***","more":"***"},"d":{"email":null}}"#;
        assert_eq!(redacted(item, &rules).text, left);
    }

    #[test]
    fn a_key_that_stays_is_cut_where_it_is_a_card_number() {
        let item = format!(r#"{{"{CARD}":{{"a":"{CARD}"}}}}"#);
        let redacted = redacted(&item, &rules(&["*"], &[], &[]));
        assert_eq!(redacted.text, r#"{"411111******1111":"***"}"#);
        assert_eq!((redacted.taken.cards, redacted.taken.masked), (1, 1));
    }

    /// `printf '%s' VALUE | openssl dgst -sha256 -hmac 'a salt of 16 bytes and more'`, its first half.
    #[test]
    fn hashes_are_those_of_the_meaning() {
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
        let once = hashed("false");
        assert_eq!(hashed(&format!("\"{once}\"")), once);
        assert_ne!(hashed(&format!("\"{once}0\"")), format!("{once}0"));
    }

    #[test]
    fn without_a_salt_nothing_stays_clear() {
        let rules = Rules::new(&RulePaths {
            hash: paths(&["a"]),
            ..RulePaths::default()
        });
        let redacted = redact_and_find(r#"{"a":1}"#, &SPEC, &rules, [""; MEMBERS]);
        assert_eq!(redacted.text, r#"{"a":"***"}"#);
    }

    #[test]
    fn members_are_found_as_they_were() {
        let rules = rules(&["*"], &[], &[]);
        let item = r#"{"id": "x", "at" : 1 }"#;
        let redacted = redact_and_find(item, &SPEC, &rules, ["id", "at"]);
        assert_eq!(redacted.members, [Some("\"x\""), Some("1")]);
        assert_eq!(redacted.text, r#"{"id": "***", "at" : "***" }"#);
    }

    /// What the rules mean, on the parsed value; `paths` with what is left of them here.
    fn model(value: &Value, paths: &[(Action, Vec<&str>)], rules: &Rules) -> Value {
        match value {
            Value::Array(elements) => elements
                .iter()
                .map(|element| model(element, paths, rules))
                .collect(),
            Value::Object(members) => members
                .iter()
                .filter_map(|(key, value)| {
                    let met = paths.iter().filter_map(|(action, path)| {
                        let (first, rest) = path.split_first()?;
                        (*first == "*" || first == key).then(|| (*action, rest.to_vec()))
                    });
                    let met: Vec<(Action, Vec<&str>)> = met.collect();
                    let ended = met.iter().filter(|(_, rest)| rest.is_empty());
                    let value = match ended.map(|(action, _)| *action).max() {
                        Some(Action::Drop) => return None,
                        Some(action) => {
                            let text = value.to_string();
                            let other = rules.in_place_of(&text, action);
                            other.map_or(value.clone(), |it| serde_json::from_str(&it).unwrap())
                        }
                        None => model(value, &met, rules),
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
            // Of objects and lists the text is hashed as it is written.
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
            prop_assert_eq!(once.taken.total() == 0, matches!(once.text, Cow::Borrowed(_)));
        }
    }
}
