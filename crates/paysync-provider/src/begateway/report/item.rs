//! A transaction of the report.

use chrono_tz::Tz;

use crate::begateway::shared_columns;
use crate::error::RecordError;
use crate::model::Transaction;
use crate::spec::Redaction;
use crate::wire::Object;

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
    exact_columns: &[
        "provider_transaction_id",
        "parent_transaction_id",
        "payment_group_id",
        "merchant_reference",
        "shop_id",
        "rrn",
        "auth_code",
        "provider_reference",
        "gateway",
    ],
};

/// Reads an item; calendar days are in `zone`.
pub(super) fn normalize(item: &str, zone: Tz) -> Result<Transaction, RecordError> {
    let item = Object::item(item)?;
    let customer = item.object("customer");
    let card = item.object("credit_card");
    let payment = item.object("payment");
    // The unit of fees is not documented: read as major units of the row's currency.
    let fee = item.major_amount("transaction_fee")?;
    let row = shared_columns(&item, &customer, &card)?;
    // Steps other than payments have an object named after their type.
    let own = item.object(row.provider_kind.as_deref().unwrap_or_default());
    let step = |key| payment.text(key).or_else(|| own.text(key));
    let is_unsuccessful = row.status.is_unsuccessful();
    let reason = |text: Option<String>| text.filter(|_| is_unsuccessful);

    Ok(Transaction {
        parent_transaction_id: item.text("parent_uid").or_else(|| own.text("parent_uid")),
        payment_group_id: item.text("order_id"),
        fee_currency: fee.is_some().then(|| row.currency.clone()).flatten(),
        fee,
        updated_at: item.instant("manually_corrected_at", Tz::UTC)?,
        settled_at: item.instant("settled_at", zone)?,
        payment_method: item.text("payment_method_type"),
        card_brand: row.card_brand.or_else(|| card.text("product")),
        error_code: reason(step("bank_code")),
        error_message: reason(item.text("message").or_else(|| step("message"))),
        rrn: step("rrn"),
        auth_code: step("auth_code"),
        provider_reference: step("ref_id"),
        gateway: step("gateway_id"),
        ..row
    })
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
            Err(RecordError::MissingId("uid"))
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
            Err(RecordError::Currency("amount"))
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
