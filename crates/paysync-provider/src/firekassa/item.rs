//! A transaction of FireKassa.

use chrono_tz::Tz;

use crate::error::RecordError;
use crate::model::{Kind, Status, Transaction};
use crate::redact::redact_text;
use crate::spec::Redaction;
use crate::wire::{self, Object};

/// `account` may be a card number, so it is not exact.
pub(super) const REDACTION: Redaction = Redaction {
    exact: &[
        "amount",
        "bank_id",
        "commission",
        "created_at",
        "crypto_address",
        "id",
        "order_id",
        "payment_amount",
        "payment_code",
        "payment_id",
        "updated_at",
    ],
    cards: &["card_number", "wallet_number"],
    dropped: &[],
    exact_columns: &[
        "provider_transaction_id",
        "merchant_reference",
        "provider_reference",
    ],
};

/// Reads an item; `zone` applies to times without an offset.
pub(super) fn normalize(item: &str, zone: Tz) -> Result<Transaction, RecordError> {
    let item = Object::item(item)?;
    let provider_kind = item.text("action");
    let provider_status = item.text("status");
    let status = status(provider_status.as_deref());
    let currency = item.text("currency");
    let fee = item.major_amount("commission")?;
    let reason = |key| status.is_unsuccessful().then(|| item.text(key)).flatten();
    let last4 = |number: Option<String>| wire::card_digits(&number?).1;
    let account = item.text("account");
    let account_is_card = account.as_deref().is_some_and(is_card);

    Ok(Transaction {
        provider_transaction_id: item.id("id")?,
        merchant_reference: item.text("order_id"),
        kind: kind(provider_kind.as_deref()),
        provider_kind,
        status,
        provider_status,
        amount: item.major_amount("amount")?,
        paid_amount: item.major_amount("payment_amount")?,
        fee_currency: fee.is_some().then(|| currency.clone()).flatten(),
        fee,
        currency,
        created_at: item.instant("created_at", zone)?,
        updated_at: item.instant("updated_at", zone)?,
        payment_method: item.text("method"),
        card_last4: last4(item.text("card_number"))
            .or_else(|| last4(account.clone().filter(|_| account_is_card))),
        // A card number does not identify a customer.
        customer_id: account.filter(|_| !account_is_card),
        error_code: reason("payment_error_code"),
        error_message: reason("payment_error"),
        provider_reference: item.text("payment_code"),
        description: item.text("comment"),
        // Without `paid_at`: the last change of a paid row need not be its payment.
        ..Transaction::default()
    })
}

fn kind(text: Option<&str>) -> Kind {
    match wire::keyword(text).as_str() {
        "deposit" => Kind::Payment,
        "withdrawal" => Kind::Payout,
        _ => Kind::Other,
    }
}

fn status(text: Option<&str>) -> Status {
    match wire::keyword(text).as_str() {
        "paid" | "overpaid" => Status::Succeeded,
        "process" | "waiting" | "partially paid" => Status::Pending,
        "error" | "failed" | "declined" => Status::Failed,
        "expired" | "cancel" | "canceled" | "cancelled" => Status::Canceled,
        _ => Status::Unknown,
    }
}

/// Whether an account is a card number: complete, by Luhn's check as in the redaction, or masked.
fn is_card(account: &str) -> bool {
    let compact = account.replace([' ', '-'], "");
    let is_part = |byte: u8| byte.is_ascii_digit() || byte == b'*';
    let is_number = (13..=19).contains(&compact.len()) && compact.bytes().all(is_part);
    is_number && (compact.contains('*') || redact_text(&compact) != compact)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn row(item: &Value) -> Result<Transaction, RecordError> {
        normalize(&item.to_string(), chrono_tz::Europe::Moscow)
    }

    #[test]
    fn an_id_is_enough_as_text_or_number() {
        let expected = |id: &str| Transaction {
            provider_transaction_id: id.to_owned(),
            ..Transaction::default()
        };
        assert_eq!(row(&json!({"id": 20})), Ok(expected("20")));
        assert_eq!(row(&json!({"id": "507164249"})), Ok(expected("507164249")));
        for id in [Value::Null, json!(""), json!({})] {
            assert_eq!(row(&json!({ "id": id })), Err(RecordError::MissingId("id")));
        }
    }

    #[test]
    fn kinds_and_statuses_are_mapped() {
        assert_eq!(kind(Some("deposit")), Kind::Payment);
        assert_eq!(kind(Some("WITHDRAWAL")), Kind::Payout);
        assert_eq!(kind(Some("transfer")), Kind::Other);
        assert_eq!(kind(None), Kind::Other);
        for (word, expected) in [
            ("paid", Status::Succeeded),
            ("overpaid", Status::Succeeded),
            ("process", Status::Pending),
            ("waiting", Status::Pending),
            ("partially-paid", Status::Pending),
            ("error", Status::Failed),
            ("declined", Status::Failed),
            ("expired", Status::Canceled),
            ("cancel", Status::Canceled),
            ("cancelled", Status::Canceled),
            ("frozen", Status::Unknown),
        ] {
            assert_eq!(status(Some(word)), expected, "{word}");
        }
        assert_eq!(status(None), Status::Unknown);
    }

    #[test]
    fn an_expired_deposit_may_be_paid() {
        let item = |status: &str, paid: &str, updated: &str| {
            row(&json!({
                "id": 20, "action": "deposit", "status": status, "amount": "105.23",
                "payment_amount": paid, "updated_at": updated, "payment_error": "too late",
            }))
            .unwrap()
        };
        let expired = item("expired", "0.00", "2024-01-01T11:00:00+03:00");
        let paid = item("paid", "105.23", "2024-01-03T11:00:00+03:00");
        assert_eq!(expired.status, Status::Canceled);
        assert_eq!(expired.error_message.as_deref(), Some("too late"));
        assert_eq!(paid.status, Status::Succeeded);
        assert_eq!(paid.error_message, None);
        // The later version replaces the earlier one.
        assert!(expired.updated_at < paid.updated_at);
    }

    #[test]
    fn amounts_are_exact_and_fees_have_a_currency() {
        let item = row(&json!({
            "id": 1, "amount": "105.23", "payment_amount": "55.230", "commission": "2.04", "currency": "RUB",
        }))
        .unwrap();
        let plain = |amount: Option<bigdecimal::BigDecimal>| amount.map(|it| it.to_plain_string());
        assert_eq!(plain(item.amount).as_deref(), Some("105.23"));
        assert_eq!(plain(item.paid_amount).as_deref(), Some("55.230"));
        assert_eq!(plain(item.fee).as_deref(), Some("2.04"));
        assert_eq!(item.fee_currency.as_deref(), Some("RUB"));
        let free = row(&json!({"id": 1, "commission": "", "currency": "RUB"})).unwrap();
        assert_eq!((free.fee, free.fee_currency), (None, None));
        assert_eq!(
            row(&json!({"id": 1, "amount": "1 000,00"}))
                .unwrap_err()
                .reason(),
            "unreadable_amount"
        );
    }

    #[test]
    fn only_the_last_digits_of_a_card_are_read() {
        let card = |item: Value| {
            let row = row(&item).unwrap();
            (row.card_bin, row.card_last4, row.customer_id)
        };
        let last4 = |text: &str| Some(text.to_owned());
        assert_eq!(
            card(json!({"id": 1, "card_number": "3947333443347584", "account": "account123"})),
            (None, last4("7584"), last4("account123"))
        );
        // Masked by the redaction: the same result.
        assert_eq!(
            card(json!({"id": 1, "card_number": "394733******7584", "account": "account123"})),
            (None, last4("7584"), last4("account123"))
        );
        for account in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "411111******1111",
        ] {
            assert_eq!(
                card(json!({"id": 1, "account": account})),
                (None, last4("1111"), None),
                "{account}"
            );
        }
        // Not cards: a phone number, a bank account, a number with a wrong check digit.
        for account in ["79344344444", "40817810099910004312", "4111111111111112"] {
            assert_eq!(
                card(json!({"id": 1, "account": account})),
                (None, None, last4(account))
            );
        }
    }

    #[test]
    fn times_without_offset_are_in_the_accounts_zone() {
        let created = |time: &str| {
            row(&json!({"id": 1, "created_at": time}))
                .unwrap()
                .created_at
        };
        let utc = created("2020-01-01T00:00:00Z");
        assert!(utc.is_some());
        assert_eq!(created("2020-01-01T03:00:00+03:00"), utc);
        assert_eq!(created("2020-01-01 03:00:00"), utc);
        assert_eq!(created(""), None);
    }
}
