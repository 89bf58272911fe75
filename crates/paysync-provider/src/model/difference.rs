//! What differs between two readings of one transaction, column by column.

use chrono::SecondsFormat;
use serde::Serialize;

use super::{Column, Field, Transaction};

/// A column that holds something else than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Name of the column.
    pub column: &'static str,
    /// What it held: text as it is, amounts without trailing zeros, times in UTC.
    pub old: Option<String>,
    /// What it holds now.
    pub new: Option<String>,
}

/// The columns in which two transactions differ, in the table's order. Amounts are compared by value:
/// 1.5 is 1.50.
pub fn differences(old: &Transaction, new: &Transaction) -> Vec<Difference> {
    if old == new {
        return Vec::new();
    }
    let difference = |column: &Column| {
        let (old, new) = match column.field {
            Field::Text { get, .. } => changed(get(old), get(new), str::to_owned),
            Field::Numeric { get, .. } => changed(get(old), get(new), |amount| {
                amount.normalized().to_plain_string()
            }),
            Field::Timestamptz { get, .. } => changed(get(old), get(new), |time| {
                time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
            }),
            Field::Boolean { get, .. } => changed(get(old), get(new), |flag| flag.to_string()),
        }?;
        Some(Difference {
            column: column.name,
            old,
            new,
        })
    };
    Transaction::COLUMNS.iter().filter_map(difference).collect()
}

/// Two values as text; none if they are equal.
fn changed<T: PartialEq>(
    old: Option<T>,
    new: Option<T>,
    text: fn(T) -> String,
) -> Option<(Option<String>, Option<String>)> {
    (old != new).then(|| (old.map(text), new.map(text)))
}

#[cfg(test)]
mod tests {
    use bigdecimal::BigDecimal;
    use chrono::DateTime;

    use super::*;
    use crate::model::{Kind, Status};

    fn difference(column: &'static str, old: Option<&str>, new: Option<&str>) -> Difference {
        Difference {
            column,
            old: old.map(str::to_owned),
            new: new.map(str::to_owned),
        }
    }

    fn amount(text: &str) -> BigDecimal {
        text.parse().unwrap()
    }

    #[test]
    fn each_column_that_differs_is_told() {
        let old = Transaction {
            provider_transaction_id: "a".to_owned(),
            kind: Kind::Payment,
            amount: Some(amount("12.340")),
            currency: Some("EUR".to_owned()),
            created_at: DateTime::from_timestamp_micros(1_500_000),
            ..Transaction::default()
        };
        assert_eq!(differences(&old, &old), []);
        let new = Transaction {
            kind: Kind::Refund,
            status: Status::Failed,
            amount: Some(amount("1234")),
            currency: None,
            created_at: DateTime::from_timestamp_micros(1_000_000),
            is_test: Some(true),
            ..old.clone()
        };
        assert_eq!(
            differences(&old, &new),
            [
                difference("kind", Some("payment"), Some("refund")),
                difference("status", Some("unknown"), Some("failed")),
                difference("amount", Some("12.34"), Some("1234")),
                difference("currency", Some("EUR"), None),
                difference(
                    "created_at",
                    Some("1970-01-01T00:00:01.500Z"),
                    Some("1970-01-01T00:00:01Z")
                ),
                difference("is_test", None, Some("true")),
            ]
        );
    }

    #[test]
    fn amounts_differ_by_value_only() {
        let of = |text| Transaction {
            amount: Some(amount(text)),
            ..Transaction::default()
        };
        assert_eq!(differences(&of("1.5"), &of("1.5000")), []);
        assert_eq!(differences(&of("1.5"), &of("1.51")).len(), 1);
    }
}
