//! What differs between two readings of one transaction, column by column.

use bigdecimal::BigDecimal;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::Transaction;

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
    cells(old)
        .into_iter()
        .zip(cells(new))
        .filter(|((_, old), (_, new))| old != new)
        .map(|((column, old), (_, new))| Difference {
            column,
            old: old.shown(),
            new: new.shown(),
        })
        .collect()
}

#[derive(PartialEq)]
enum Cell<'a> {
    Text(Option<&'a str>),
    Amount(Option<&'a BigDecimal>),
    Time(Option<DateTime<Utc>>),
    Flag(Option<bool>),
}

impl Cell<'_> {
    fn shown(&self) -> Option<String> {
        match self {
            Self::Text(text) => text.map(str::to_owned),
            Self::Amount(amount) => amount.map(|amount| amount.normalized().to_plain_string()),
            Self::Time(time) => time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Self::Flag(flag) => flag.map(|flag| flag.to_string()),
        }
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(word: &'a str) -> Self {
        Self::Text(Some(word))
    }
}

impl<'a> From<&'a Option<String>> for Cell<'a> {
    fn from(text: &'a Option<String>) -> Self {
        Self::Text(text.as_deref())
    }
}

impl<'a> From<&'a Option<BigDecimal>> for Cell<'a> {
    fn from(amount: &'a Option<BigDecimal>) -> Self {
        Self::Amount(amount.as_ref())
    }
}

impl From<&Option<DateTime<Utc>>> for Cell<'_> {
    fn from(time: &Option<DateTime<Utc>>) -> Self {
        Self::Time(*time)
    }
}

impl From<&Option<bool>> for Cell<'_> {
    fn from(flag: &Option<bool>) -> Self {
        Self::Flag(*flag)
    }
}

fn cells(transaction: &Transaction) -> [(&'static str, Cell<'_>); 37] {
    // Taken apart by name, so that a new column is not forgotten here.
    let Transaction {
        provider_transaction_id,
        parent_transaction_id,
        payment_group_id,
        merchant_reference,
        shop_id,
        kind,
        provider_kind,
        status,
        provider_status,
        amount,
        currency,
        paid_amount,
        converted_amount,
        converted_currency,
        fee,
        fee_currency,
        created_at,
        updated_at,
        paid_at,
        settled_at,
        payment_method,
        card_brand,
        card_bin,
        card_last4,
        card_issuer_country,
        customer_id,
        customer_email,
        customer_ip,
        error_code,
        error_message,
        rrn,
        arn,
        auth_code,
        provider_reference,
        gateway,
        description,
        is_test,
    } = transaction;
    [
        (
            "provider_transaction_id",
            provider_transaction_id.as_str().into(),
        ),
        ("parent_transaction_id", parent_transaction_id.into()),
        ("payment_group_id", payment_group_id.into()),
        ("merchant_reference", merchant_reference.into()),
        ("shop_id", shop_id.into()),
        ("kind", kind.as_str().into()),
        ("provider_kind", provider_kind.into()),
        ("status", status.as_str().into()),
        ("provider_status", provider_status.into()),
        ("amount", amount.into()),
        ("currency", currency.into()),
        ("paid_amount", paid_amount.into()),
        ("converted_amount", converted_amount.into()),
        ("converted_currency", converted_currency.into()),
        ("fee", fee.into()),
        ("fee_currency", fee_currency.into()),
        ("created_at", created_at.into()),
        ("updated_at", updated_at.into()),
        ("paid_at", paid_at.into()),
        ("settled_at", settled_at.into()),
        ("payment_method", payment_method.into()),
        ("card_brand", card_brand.into()),
        ("card_bin", card_bin.into()),
        ("card_last4", card_last4.into()),
        ("card_issuer_country", card_issuer_country.into()),
        ("customer_id", customer_id.into()),
        ("customer_email", customer_email.into()),
        ("customer_ip", customer_ip.into()),
        ("error_code", error_code.into()),
        ("error_message", error_message.into()),
        ("rrn", rrn.into()),
        ("arn", arn.into()),
        ("auth_code", auth_code.into()),
        ("provider_reference", provider_reference.into()),
        ("gateway", gateway.into()),
        ("description", description.into()),
        ("is_test", is_test.into()),
    ]
}

#[cfg(test)]
mod tests {
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
