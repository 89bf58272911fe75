//! A transaction of the DWH.

use chrono_tz::Tz;

use crate::begateway::{exponent, shared_columns};
use crate::error::RecordError;
use crate::model::Transaction;
use crate::spec::Redaction;
use crate::wire::Object;

pub(super) const REDACTION: Redaction = Redaction {
    exact: &[
        "agent_id",
        "amount",
        "auth_code",
        "bank_id",
        "business_category_id",
        "closed_at",
        "converted_amount",
        "created_at",
        "device_id",
        "expired_at",
        "id",
        "manually_corrected_at",
        "merchant_id",
        "paid_at",
        "parent_uid",
        "product_id",
        "psp_settled_at",
        "ref_id",
        "rrn",
        "settled_at",
        "shop_id",
        "stamp",
        "subscription_id",
        "tracking_id",
        "uid",
        "updated_at",
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
        "customer_id",
        "rrn",
        "auth_code",
        "provider_reference",
        "gateway",
    ],
};

pub(super) fn normalize(item: &str) -> Result<Transaction, RecordError> {
    let item = Object::item(item)?;
    let method = item.object("method");
    let customer = item.object("customer");
    let card = method.object("credit_card");
    let provider = item.object("provider_raw");
    let row = shared_columns(&item, &customer, &card)?;
    let parent = item.text("parent_uid");
    let id = &row.provider_transaction_id;
    let converted_currency = item.text("converted_currency");
    let currency = converted_currency.as_deref();
    let is_unsuccessful = row.status.is_unsuccessful();
    let reason = |key| is_unsuccessful.then(|| item.text(key)).flatten();

    Ok(Transaction {
        payment_group_id: Some(parent.as_ref().unwrap_or(id).clone()),
        parent_transaction_id: parent,
        shop_id: item.text("shop_id").or(row.shop_id),
        converted_amount: item.minor_amount("converted_amount", currency, exponent)?,
        converted_currency,
        updated_at: item.instant("updated_at", Tz::UTC)?,
        settled_at: item.instant("settled_at", Tz::UTC)?,
        payment_method: method.text("type").or_else(|| {
            let is_card = method.is_object("credit_card");
            is_card.then(|| "credit_card".to_owned())
        }),
        card_bin: card.text("bin_8").or(row.card_bin),
        customer_id: customer.text("id"),
        error_code: reason("code"),
        error_message: reason("message"),
        rrn: provider.text("rrn"),
        auth_code: provider.text("auth_code"),
        provider_reference: provider.text("ref_id"),
        gateway: item.object("gateway").text("id"),
        ..row
    })
}

#[cfg(test)]
mod tests {
    use bigdecimal::BigDecimal;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{Kind, Status};

    fn row(item: &Value) -> Result<Transaction, RecordError> {
        normalize(&item.to_string())
    }

    #[test]
    fn a_uid_is_enough() {
        let row = row(&json!({"uid": "u"})).unwrap();
        let expected = Transaction {
            provider_transaction_id: "u".to_owned(),
            payment_group_id: Some("u".to_owned()),
            ..Transaction::default()
        };
        assert_eq!(row, expected);
    }

    #[test]
    fn amounts_shift_by_the_platforms_decimals() {
        let amount = |amount: Value, currency: &str| {
            let item = json!({"uid": "u", "amount": amount, "currency": currency});
            row(&item).map(|row| {
                row.amount
                    .map(|amount: BigDecimal| amount.to_plain_string())
            })
        };
        let text = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(amount(json!(3608), "USD"), text("36.08"));
        assert_eq!(amount(json!("3608"), "usd"), text("36.08"));
        assert_eq!(amount(json!(200), "JPY"), text("200"));
        assert_eq!(amount(json!(150_155), "KWD"), text("150.155"));
        assert_eq!(amount(json!(5000), "IDR"), text("5000"));
        assert_eq!(amount(json!(15), "MOP"), text("1.5"));
        assert_eq!(amount(Value::Null, "ZZZ"), Ok(None));
        assert_eq!(
            amount(json!(1), "ZZZ"),
            Err(RecordError::Currency("amount"))
        );
    }

    #[test]
    fn shops_are_flat_or_nested() {
        let shop = |item: Value| row(&item).unwrap().shop_id;
        let nested = json!({"id": 343});
        assert_eq!(
            shop(json!({"uid": "u", "shop_id": 1, "shop": nested})),
            Some("1".to_owned())
        );
        assert_eq!(
            shop(json!({"uid": "u", "shop": nested})),
            Some("343".to_owned())
        );
        assert_eq!(shop(json!({"uid": "u", "shop": "x", "shop_id": ""})), None);
    }

    #[test]
    fn methods_are_named_or_recognized_by_a_card() {
        let method = |method: Value| {
            row(&json!({"uid": "u", "method": method}))
                .unwrap()
                .payment_method
        };
        assert_eq!(
            method(json!({"type": "alternative", "credit_card": {}})),
            Some("alternative".to_owned())
        );
        assert_eq!(
            method(json!({"credit_card": {}})),
            Some("credit_card".to_owned())
        );
        assert_eq!(method(json!({"type": "", "credit_card": null})), None);
        assert_eq!(method(json!([])), None);
    }

    #[test]
    fn reasons_belong_to_rows_that_failed() {
        let item = |status: &str| {
            row(&json!({"uid": "u", "status": status, "code": "F.0114", "message": "no", "type": "refund"}))
                .unwrap()
        };
        assert_eq!(item("failed").error_code.as_deref(), Some("F.0114"));
        assert_eq!(item("expired").error_message.as_deref(), Some("no"));
        assert_eq!(item("successful").error_code, None);
        assert_eq!(item("successful").error_message, None);
        assert_eq!(item("pending").error_code, None);
        assert_eq!(item("successful").kind, Kind::Refund);
        assert_eq!(item("expired").status, Status::Canceled);
    }

    #[test]
    fn times_with_and_without_offset_are_read() {
        let created =
            |time: &str| row(&json!({"uid": "u", "created_at": time})).map(|row| row.created_at);
        let utc = created("2024-01-01T05:30:20.762001Z").unwrap();
        assert!(utc.is_some());
        assert_eq!(created("2024-01-01T07:30:20.762001+02:00").unwrap(), utc);
        assert_eq!(created("2024-01-01 05:30:20.762001").unwrap(), utc);
        assert_eq!(created("").unwrap(), None);
        assert_eq!(created("soon"), Err(RecordError::Time("created_at")));
    }
}
