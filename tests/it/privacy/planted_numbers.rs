//! Card numbers in every spelling and place, and items that hold them.

use std::fmt::Write as _;

use paysync_provider::Redaction;
use paysync_simulator::Provider;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::providers::build;
use crate::support::account_of;

/// What stands where a planted value has to be written.
pub(super) const PLACE: &str = "@@";

/// What is in the place of 3-D Secure payloads and of all that rules take out.
pub(super) const CANARY: &str = "canary";

/// How a number is written.
#[derive(Debug, Clone)]
pub(super) enum Spelling {
    /// A JSON number, perhaps with a sign or decimals.
    Number(&'static str, &'static str),
    /// Within other text; both sides are letters and marks.
    Text(String, String),
    /// In a JSON text inside a JSON text.
    Nested,
}

/// A card number and how it is written.
#[derive(Debug, Clone)]
pub(super) struct Planted {
    pub(super) digits: String,
    /// What stands after each digit but the last.
    pub(super) gaps: Vec<&'static str>,
    /// Which digits are written as escapes.
    pub(super) escaped: Vec<bool>,
    pub(super) spelling: Spelling,
}

impl Planted {
    /// The digits with gaps and escapes, inside a JSON text.
    pub(super) fn spelled(&self) -> String {
        let gaps = self.gaps.iter().copied().chain(std::iter::repeat(""));
        let digits = self.digits.chars().zip(&self.escaped).zip(gaps);
        digits.fold(String::new(), |mut text, ((digit, escaped), gap)| {
            let escape = if *escaped { "\\u003" } else { "" };
            write!(text, "{escape}{digit}{gap}").unwrap();
            text
        })
    }

    /// A JSON value.
    pub(super) fn value(&self) -> String {
        match &self.spelling {
            Spelling::Number(before, after) => format!("{before}{}{after}", self.digits),
            Spelling::Text(..) | Spelling::Nested => self.text(),
        }
    }

    /// A JSON text, as keys have to be.
    pub(super) fn text(&self) -> String {
        match &self.spelling {
            Spelling::Number(..) => format!("\"{}\"", self.digits),
            Spelling::Text(before, after) => format!("\"{before}{}{after}\"", self.spelled()),
            Spelling::Nested => format!(r#""{{\"number\":\"{}\"}}""#, self.spelled()),
        }
    }
}

/// Where a number is planted.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Instead of a value that the provider sent.
    Instead(Index),
    /// In a further member.
    Member,
    /// Deeper in objects and lists.
    Deep,
    /// As a key.
    Key,
    /// In a list beside another one.
    List,
}

/// What makes an item unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    No,
    Time,
    Id,
    Nesting,
    /// It is a list, or a text.
    List,
    Text,
}

/// One item: numbers with their places, and what is wrong with it besides.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) numbers: Vec<(Planted, Place)>,
    pub(super) defect: Defect,
}

pub(super) fn number() -> impl Strategy<Value = String> {
    "[1-9][0-9]{11,17}".prop_map(|body| {
        (0..10)
            .map(|check| format!("{body}{check}"))
            .find(|number| is_luhn(number))
            .unwrap()
    })
}

/// As the books write it: from the right.
pub(super) fn is_luhn(number: &str) -> bool {
    let sum: u32 = number
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0') * if place % 2 == 1 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

pub(super) fn planted() -> impl Strategy<Value = Planted> {
    let spelling = prop_oneof![
        (
            proptest::sample::select(&["", "-"][..]),
            proptest::sample::select(&["", ".0", "e0"][..])
        )
            .prop_map(|(before, after)| Spelling::Number(before, after)),
        (
            "([a-zé(#:/]{0,9}[a-zé(#:/] ?)?",
            "( ?[a-zü).,;/][a-zü).,;/]{0,9})?"
        )
            .prop_map(|(before, after)| Spelling::Text(before, after)),
        Just(Spelling::Nested),
    ];
    let gaps = prop_oneof![
        Just(vec![]),
        proptest::collection::vec(
            proptest::sample::select(&["", "", " ", "-", "\\u0020", "\\u002d"][..]),
            18
        ),
        Just(vec!["", "", "", " ", "", "", "", " ", "", "", "", " "]),
    ];
    let escaped = prop_oneof![
        Just(vec![false; 19]),
        proptest::collection::vec(any::<bool>(), 19),
    ];
    (number(), gaps, escaped, spelling).prop_map(|(digits, mut gaps, escaped, spelling)| {
        gaps.truncate(digits.len() - 1);
        Planted {
            digits,
            gaps,
            escaped,
            spelling,
        }
    })
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let place = prop_oneof![
        any::<Index>().prop_map(Place::Instead),
        Just(Place::Member),
        Just(Place::Deep),
        Just(Place::Key),
        Just(Place::List),
    ];
    let defect = prop_oneof![
        4 => Just(Defect::No),
        1 => Just(Defect::Time),
        1 => Just(Defect::Id),
        1 => Just(Defect::Nesting),
        1 => Just(Defect::List),
        1 => Just(Defect::Text),
    ];
    let numbers = proptest::collection::vec((planted(), place), 1..8);
    (numbers, defect).prop_map(|(numbers, defect)| Plan { numbers, defect })
}

/// A true item of a provider, to be planted in.
pub(super) struct Template {
    pub(super) provider: Provider,
    pub(super) id_key: &'static str,
    pub(super) redaction: Redaction,
    pub(super) item: Value,
}

impl Template {
    pub(super) async fn of(provider: Provider, pool: &PgPool) -> Self {
        let spec = build(provider.slug(), json!({})).spec();
        let payload: String = sqlx::query_scalar(
            "SELECT payload::text FROM paysync.raw_transactions WHERE account_id = $1
             ORDER BY provider_transaction_id LIMIT 1",
        )
        .bind(account_of(provider))
        .fetch_one(pool)
        .await
        .unwrap();
        Self {
            provider,
            id_key: spec.id_key,
            redaction: spec.redaction,
            item: serde_json::from_str(&payload).unwrap(),
        }
    }

    /// The item as a plan wants it, by this id.
    pub(super) fn fill(&self, plan: &Plan, id: &str) -> String {
        let values = plan.numbers.iter().map(|(number, _)| number.value());
        match plan.defect {
            Defect::List => return format!("[{}]", values.collect::<Vec<_>>().join(",")),
            Defect::Text => return plan.numbers[0].0.text(),
            _ => {}
        }
        let mut item = self.item.clone();
        for (at, (_, place)) in plan.numbers.iter().enumerate() {
            let mark = format!("{PLACE}{at}{PLACE}");
            match place {
                Place::Instead(index) => {
                    let mut leaves = Vec::new();
                    self.leaves(&mut item, "", &mut leaves);
                    let chosen = index.index(leaves.len());
                    *leaves.swap_remove(chosen) = mark.into();
                }
                Place::Member => item[format!("planted {at}")] = mark.into(),
                Place::Deep => {
                    item[format!("planted {at}")] = json!([{ "a": [1, { "b": mark }] }]);
                }
                Place::Key => item[format!("planted {at}")] = json!({ mark: { "a": null } }),
                Place::List => item[format!("planted {at}")] = json!([mark, "and", mark]),
            }
        }
        item[self.id_key] = id.into();
        item["3ds"] = json!({ "cavv": CANARY, "PaReq": { "x": CANARY }, "y": 1 });
        let secrets: Value = json!([CANARY, { "x": CANARY }]);
        item["ruled"] = json!({ "mask": secrets, "hash": CANARY, "drop": secrets });
        item["all"] = json!([{ "mask": CANARY }]);
        match plan.defect {
            Defect::Time => {
                for key in ["created", "created_at", "operation_created_at"] {
                    if item.get(key).is_some() {
                        item[key] = "soon".into();
                    }
                }
            }
            Defect::Id => item[self.id_key] = Value::Null,
            Defect::Nesting => {
                item["deep"] =
                    (0..200).fold(json!(format!("{PLACE}0{PLACE}")), |it, _| json!([it]));
            }
            Defect::No | Defect::List | Defect::Text => {}
        }
        let text = item.to_string();
        plan.numbers
            .iter()
            .enumerate()
            .fold(text, |text, (at, (number, place))| {
                let mark = format!("\"{PLACE}{at}{PLACE}\"");
                match place {
                    Place::Key => {
                        let as_key = format!("{mark}:");
                        let key = format!("{}:", number.text());
                        text.replace(&as_key, &key).replace(&mark, &number.value())
                    }
                    _ => text.replace(&mark, &number.value()),
                }
            })
    }

    /// The values of an item whose digits need not stay exact.
    pub(super) fn leaves<'v>(
        &self,
        value: &'v mut Value,
        key: &str,
        leaves: &mut Vec<&'v mut Value>,
    ) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    self.leaves(value, key, leaves);
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    self.leaves(element, key, leaves);
                }
            }
            _ if self.redaction.exact.contains(&key) => {}
            leaf => leaves.push(leaf),
        }
    }
}
