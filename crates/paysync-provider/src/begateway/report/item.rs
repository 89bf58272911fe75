//! A transaction of the report.

use chrono_tz::Tz;
use serde::Deserialize;

use crate::begateway::{Card, Customer, Identified, exponent, kind, status};
use crate::error::RecordError;
use crate::model::Transaction;
use crate::spec::Redaction;
use crate::wire::{self, Raw};

pub(super) const REDACTION: Redaction = Redaction {
    exact: &[
        "amount",
        "auth_code",
        "created_at",
        "discount_rate",
        "gateway_id",
        "id",
        "manually_corrected_at",
        "order_id",
        "paid_at",
        "parent_uid",
        "pay_to_merchant",
        "ref_id",
        "request_id",
        "rrn",
        "settled_at",
        "tracking_id",
        "transaction_fee",
        "transaction_rate",
        "uid",
        "xid",
    ],
    cards: &[],
    // Tokens with which a card can be charged.
    dropped: &["token"],
};

/// Reads an item; calendar days are in `zone`.
pub(super) fn normalize(text: &str, zone: Tz) -> Result<Transaction, RecordError> {
    let item: Item<'_> = wire::item(text)?;
    let provider_kind = wire::text(item.kind);
    let payment: Step<'_> = wire::object(item.payment);
    // Steps other than payments have an object named after their type.
    let own = provider_kind
        .as_deref()
        .and_then(|kind| wire::member(text, kind));
    let own: Step<'_> = wire::object(own);
    let card: Card<'_> = wire::object(item.credit_card);
    let shop: Identified<'_> = wire::object(item.shop);
    let customer: Customer<'_> = wire::object(item.customer);

    let provider_status = wire::text(item.status);
    let status = status(provider_status.as_deref());
    let currency = wire::text(item.currency);
    // The unit of fees is not documented: read as major units of the row's currency.
    let fee = wire::major_amount(item.transaction_fee, "transaction_fee")?;
    let text = |payment, own| wire::text(payment).or_else(|| wire::text(own));
    // Requests are in UTC, so a time without an offset is UTC.
    let instant = |raw, field| wire::instant(raw, field, Tz::UTC);
    let reason = |text: Option<String>| text.filter(|_| status.is_unsuccessful());

    Ok(Transaction {
        provider_transaction_id: wire::required_id(item.uid, "uid")?,
        parent_transaction_id: text(item.parent_uid, own.parent_uid),
        payment_group_id: wire::text(item.order_id),
        merchant_reference: wire::text(item.tracking_id),
        shop_id: wire::text(shop.id),
        kind: kind(provider_kind.as_deref()),
        provider_kind,
        status,
        provider_status,
        amount: wire::minor_amount(item.amount, "amount", currency.as_deref(), exponent)?,
        fee_currency: fee.is_some().then(|| currency.clone()).flatten(),
        fee,
        currency,
        created_at: instant(item.created_at, "created_at")?,
        updated_at: instant(item.manually_corrected_at, "manually_corrected_at")?,
        paid_at: instant(item.paid_at, "paid_at")?,
        settled_at: wire::instant(item.settled_at, "settled_at", zone)?,
        payment_method: wire::text(item.payment_method_type),
        card_brand: text(card.brand, card.product),
        card_bin: wire::text(card.bin),
        card_last4: wire::text(card.last_4),
        card_issuer_country: wire::text(card.issuer_country),
        customer_email: wire::text(customer.email),
        customer_ip: wire::text(customer.ip),
        error_code: reason(text(payment.bank_code, own.bank_code)),
        error_message: reason(
            wire::text(item.message).or_else(|| text(payment.message, own.message)),
        ),
        rrn: text(payment.rrn, own.rrn),
        auth_code: text(payment.auth_code, own.auth_code),
        provider_reference: text(payment.ref_id, own.ref_id),
        gateway: text(payment.gateway_id, own.gateway_id),
        description: wire::text(item.description),
        is_test: wire::flag(item.test),
        ..Transaction::default()
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Item<'a> {
    #[serde(borrow)]
    uid: Raw<'a>,
    parent_uid: Raw<'a>,
    order_id: Raw<'a>,
    tracking_id: Raw<'a>,
    shop: Raw<'a>,
    #[serde(rename = "type")]
    kind: Raw<'a>,
    status: Raw<'a>,
    message: Raw<'a>,
    amount: Raw<'a>,
    currency: Raw<'a>,
    transaction_fee: Raw<'a>,
    created_at: Raw<'a>,
    paid_at: Raw<'a>,
    settled_at: Raw<'a>,
    manually_corrected_at: Raw<'a>,
    payment_method_type: Raw<'a>,
    description: Raw<'a>,
    test: Raw<'a>,
    payment: Raw<'a>,
    credit_card: Raw<'a>,
    customer: Raw<'a>,
}

/// The gateway's result of one step.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Step<'a> {
    #[serde(borrow)]
    parent_uid: Raw<'a>,
    gateway_id: Raw<'a>,
    ref_id: Raw<'a>,
    message: Raw<'a>,
    auth_code: Raw<'a>,
    bank_code: Raw<'a>,
    rrn: Raw<'a>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{Kind, Status};

    fn row_of(item: &str) -> Result<Transaction, RecordError> {
        let item = item.to_owned();
        normalize(&item, chrono_tz::Europe::Minsk)
    }

    fn row(item: &Value) -> Result<Transaction, RecordError> {
        row_of(&item.to_string())
    }

    #[test]
    fn a_uid_is_enough() {
        let expected = Transaction {
            provider_transaction_id: "20528-f87e29fa35".to_owned(),
            ..Transaction::default()
        };
        assert_eq!(row(&json!({"uid": "20528-f87e29fa35"})), Ok(expected));
        assert_eq!(
            row(&json!({"id": 28_860})),
            Err(RecordError::MissingId { field: "uid" })
        );
    }

    #[test]
    fn amounts_have_the_platforms_decimals() {
        let amount = |amount: Value, currency: &str| {
            row(&json!({"uid": "u", "amount": amount, "currency": currency}))
                .map(|row| row.amount.map(|amount| amount.to_plain_string()))
        };
        let text = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(amount(json!(1200), "USD"), text("12.00"));
        assert_eq!(amount(json!(200), "JPY"), text("200"));
        assert_eq!(amount(json!(150_155), "KWD"), text("150.155"));
        assert_eq!(amount(json!(5000), "IDR"), text("5000"));
        assert_eq!(
            amount(json!(1), "ZZZ"),
            Err(RecordError::Currency { field: "amount" })
        );
    }

    #[test]
    fn fees_keep_their_exact_text() {
        let fee = |text: &str| {
            let item = format!(r#"{{"uid":"u","currency":"USD","transaction_fee":{text}}}"#);
            row_of(&item).map(|row| (row.fee.map(|fee| fee.to_plain_string()), row.fee_currency))
        };
        let dollars = |text: &str| Ok((Some(text.to_owned()), Some("USD".to_owned())));
        // No floating-point number represents these.
        assert_eq!(
            fee("0.1000000000000000055"),
            dollars("0.1000000000000000055")
        );
        assert_eq!(fee("0.0"), dollars("0.0"));
        assert_eq!(fee("1.5e-3"), dollars("0.0015"));
        assert_eq!(fee("null"), Ok((None, None)));
        assert_eq!(fee("{}").unwrap_err().reason(), "unreadable_amount");
    }

    #[test]
    fn a_parent_is_read_from_either_place() {
        let parent = |item: Value| {
            let row = row(&item).unwrap();
            (row.parent_transaction_id, row.rrn)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parent(
                json!({"uid": "u", "type": "refund", "parent_uid": "p", "payment": {"rrn": "1"}})
            ),
            (some("p"), some("1"))
        );
        assert_eq!(
            parent(
                json!({"uid": "u", "type": "refund", "refund": {"parent_uid": "p", "rrn": "2"}})
            ),
            (some("p"), some("2"))
        );
        // Only the object of the row's own type is read.
        assert_eq!(
            parent(json!({"uid": "u", "type": "void", "refund": {"parent_uid": "p"}})),
            (None, None)
        );
        assert_eq!(
            parent(json!({"uid": "u", "type": "status", "status": "failed"})),
            (None, None)
        );
    }

    #[test]
    fn the_time_of_a_correction_is_the_version() {
        let row = row(&json!({
            "uid": "u", "created_at": "2022-01-27T14:07:00Z", "manually_corrected_at": "2022-01-28 10:00:00",
        }))
        .unwrap();
        assert_eq!(
            row.updated_at.unwrap().to_rfc3339(),
            "2022-01-28T10:00:00+00:00"
        );
        assert!(row.updated_at > row.created_at);
    }

    #[test]
    fn a_day_of_settlement_is_in_the_accounts_zone() {
        let settled = |time: &str| {
            row(&json!({"uid": "u", "settled_at": time}))
                .map(|row| row.settled_at.map(|time| time.to_rfc3339()))
        };
        let text = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(settled("2022-01-28"), text("2022-01-27T21:00:00+00:00"));
        assert_eq!(
            settled("2022-01-28T00:00:00Z"),
            text("2022-01-28T00:00:00+00:00")
        );
        assert_eq!(settled(""), Ok(None));
    }

    #[test]
    fn reasons_belong_to_rows_that_failed() {
        let item = |status: &str, message: Value| {
            row(&json!({
                "uid": "u", "type": "payment", "status": status, "message": message,
                "payment": {"bank_code": "51", "message": "Insufficient funds"},
            }))
            .unwrap()
        };
        let failed = item("failed", Value::Null);
        assert_eq!(failed.kind, Kind::Payment);
        assert_eq!(failed.error_code.as_deref(), Some("51"));
        assert_eq!(failed.error_message.as_deref(), Some("Insufficient funds"));
        let declined = item("error", json!("Declined"));
        assert_eq!(declined.error_message.as_deref(), Some("Declined"));
        let paid = item("successful", json!("Approved"));
        assert_eq!((paid.error_code, paid.error_message), (None, None));
        assert_eq!(item("melted", Value::Null).status, Status::Unknown);
    }

    #[test]
    fn a_missing_brand_is_read_from_the_product() {
        let brand = |card: Value| {
            row(&json!({"uid": "u", "credit_card": card}))
                .unwrap()
                .card_brand
        };
        assert_eq!(
            brand(json!({"brand": "visa", "product": "VISA"})).as_deref(),
            Some("visa")
        );
        assert_eq!(
            brand(json!({"brand": null, "product": "VISA"})).as_deref(),
            Some("VISA")
        );
        assert_eq!(brand(json!("4242")), None);
    }
}
