//! Items like a correct one, each with one thing wrong or unusual.

use std::collections::BTreeMap;

use paysync_simulator::Provider;
use serde_json::value::RawValue;

use Expected::{Quarantined, Stored};

/// Longer than any text of a payment; fits a response.
pub(super) const LONG: usize = 5_000_000;

/// The outcome of an item.
pub(super) enum Expected {
    /// Quarantined for this reason.
    Quarantined(&'static str),
    /// Stored, with this description.
    Stored(Option<String>),
}

pub(super) struct Case {
    /// Its id, where it can be read.
    pub(super) id: Option<&'static str>,
    pub(super) item: String,
    pub(super) expected: Expected,
}

/// Builds items that resemble a correct one.
pub(super) struct ItemBuilder {
    provider: Provider,
    pub(super) id: &'static str,
    description: &'static str,
    created: &'static str,
    item: BTreeMap<String, Box<RawValue>>,
}

impl ItemBuilder {
    pub(super) fn new(provider: Provider, id: &'static str, item: &str) -> Self {
        Self {
            provider,
            id,
            description: match provider {
                Provider::Ecommpay => "payment_description",
                Provider::Firekassa => "comment",
                _ => "description",
            },
            created: match provider {
                Provider::Ecommpay => "operation_created_at",
                Provider::Convergegate => "created",
                _ => "created_at",
            },
            item: serde_json::from_str(item).unwrap(),
        }
    }

    /// The item with other members, each as raw JSON.
    pub(super) fn with(&self, members: &[(&str, &str)]) -> String {
        let mut item = self.item.clone();
        for (key, json) in members {
            let value = RawValue::from_string((*json).to_owned()).unwrap();
            item.insert((*key).to_owned(), value);
        }
        serde_json::to_string(&item).unwrap()
    }

    /// The item with another id and one more member.
    fn with_member(&self, id: &'static str, key: &str, json: &str, expected: Expected) -> Case {
        let id_json = format!("\"{id}\"");
        Case {
            id: Some(id),
            item: self.with(&[(self.id, &id_json), (key, json)]),
            expected,
        }
    }

    pub(super) fn with_description(
        &self,
        id: &'static str,
        json: &str,
        description: Option<&str>,
    ) -> Case {
        self.with_member(
            id,
            self.description,
            json,
            Stored(description.map(str::to_owned)),
        )
    }

    fn with_amount(
        &self,
        id: &'static str,
        amount: &str,
        currency: &str,
        expected: Expected,
    ) -> Case {
        if self.provider == Provider::Ecommpay {
            let sum = format!(r#"{{"amount":{amount},"currency":"{currency}"}}"#);
            return self.with_member(id, "sum_initial", &sum, expected);
        }
        let (id_json, currency) = (format!("\"{id}\""), format!("\"{currency}\""));
        Case {
            id: Some(id),
            item: self.with(&[
                (self.id, &id_json),
                ("amount", amount),
                ("currency", &currency),
            ]),
            expected,
        }
    }

    pub(super) fn unreadable_items(&self) -> Vec<Case> {
        let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        let digits = "9".repeat(200_000);
        let no_amount = || Quarantined("unreadable_amount");
        let mut cases = vec![
            Case {
                id: None,
                item: self.with(&[(self.id, "null")]),
                expected: Quarantined("missing_id"),
            },
            Case {
                id: None,
                item: "\"no object\"".to_owned(),
                expected: Quarantined("unreadable_item"),
            },
            Case {
                id: None,
                item: "[]".to_owned(),
                expected: Quarantined("unreadable_item"),
            },
            self.with_member("deep", "more", &nested, Quarantined("nested_too_deep")),
            self.with_member(
                "no time",
                self.created,
                "\"soon\"",
                Quarantined("unreadable_time"),
            ),
            self.with_amount("no amount", "\"a lot\"", "EUR", no_amount()),
            self.with_amount("a list", "[1]", "EUR", no_amount()),
            self.with_amount("beyond numeric", "1e200000", "EUR", no_amount()),
            self.with_amount("many digits", &digits, "EUR", no_amount()),
        ];
        if !self.has_major_units() {
            let unknown = Quarantined("unknown_currency");
            cases.push(self.with_amount("no such money", "100", "QQQ", unknown));
        }
        cases
    }

    pub(super) fn unusual_items(&self) -> Vec<Case> {
        let long = "x".repeat(LONG);
        let mut cases = vec![
            self.with_description("nul", r#""a\u0000b""#, Some("a\u{fffd}b")),
            self.with_description("half a pair", r#""a\ud800b""#, Some("a\u{fffd}b")),
            self.with_description("an object", r#"{"a":[1]}"#, None),
            self.with_description("long", &format!("\"{long}\""), Some(&long)),
            Case {
                id: Some("a long id"),
                item: self.with(&[(self.id, &format!("\"{long}\""))]),
                expected: Quarantined("refused_by_database"),
            },
        ];
        if self.has_major_units() {
            // Any currency will do where no decimals have to be known.
            cases.push(self.with_amount(
                "no such money",
                "100",
                "QQQ",
                Stored(self.own_description()),
            ));
        }
        cases
    }

    fn has_major_units(&self) -> bool {
        matches!(self.provider, Provider::Convergegate | Provider::Firekassa)
    }

    fn own_description(&self) -> Option<String> {
        let raw = self.item.get(self.description)?;
        serde_json::from_str(raw.get()).unwrap()
    }
}
