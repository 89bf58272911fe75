//! A transaction of the DWH.

use chrono_tz::Tz;
use serde::Deserialize;

use crate::begateway::{Card, Customer, Identified, exponent, kind, status};
use crate::error::RecordError;
use crate::model::Transaction;
use crate::spec::Redaction;
use crate::wire::{self, Raw};

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
};

pub(super) fn normalize(item: &str) -> Result<Transaction, RecordError> {
    let item: Item<'_> = wire::item(item)?;
    let shop: Identified<'_> = wire::object(item.shop);
    let gateway: Identified<'_> = wire::object(item.gateway);
    let provider: ProviderRaw<'_> = wire::object(item.provider_raw);
    let customer: Customer<'_> = wire::object(item.customer);
    let method: Method<'_> = wire::object(item.method);
    let card: Card<'_> = wire::object(method.credit_card);

    let uid = wire::required_id(item.uid, "uid")?;
    let parent = wire::text(item.parent_uid);
    let provider_kind = wire::text(item.kind);
    let provider_status = wire::text(item.status);
    let status = status(provider_status.as_deref());
    let currency = wire::text(item.currency);
    let converted_currency = wire::text(item.converted_currency);
    let amount = |raw, field, currency: &Option<String>| {
        wire::minor_amount(raw, field, currency.as_deref(), exponent)
    };
    // Requests are in UTC, so a time without an offset is UTC.
    let instant = |raw, field| wire::instant(raw, field, Tz::UTC);
    let reason = |raw| status.is_unsuccessful().then(|| wire::text(raw)).flatten();

    Ok(Transaction {
        payment_group_id: parent.clone().or_else(|| Some(uid.clone())),
        provider_transaction_id: uid,
        parent_transaction_id: parent,
        merchant_reference: wire::text(item.tracking_id),
        shop_id: wire::text(item.shop_id).or_else(|| wire::text(shop.id)),
        kind: kind(provider_kind.as_deref()),
        provider_kind,
        status,
        provider_status,
        amount: amount(item.amount, "amount", &currency)?,
        converted_amount: amount(
            item.converted_amount,
            "converted_amount",
            &converted_currency,
        )?,
        currency,
        converted_currency,
        created_at: instant(item.created_at, "created_at")?,
        updated_at: instant(item.updated_at, "updated_at")?,
        paid_at: instant(item.paid_at, "paid_at")?,
        settled_at: instant(item.settled_at, "settled_at")?,
        payment_method: wire::text(method.kind)
            .or_else(|| wire::is_object(method.credit_card).then(|| "credit_card".to_owned())),
        card_brand: wire::text(card.brand),
        card_bin: wire::text(card.bin_8).or_else(|| wire::text(card.bin)),
        card_last4: wire::text(card.last_4),
        card_issuer_country: wire::text(card.issuer_country),
        customer_id: wire::text(customer.id),
        customer_email: wire::text(customer.email),
        customer_ip: wire::text(customer.ip),
        error_code: reason(item.code),
        error_message: reason(item.message),
        rrn: wire::text(provider.rrn),
        auth_code: wire::text(provider.auth_code),
        provider_reference: wire::text(provider.ref_id),
        gateway: wire::text(gateway.id),
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
    tracking_id: Raw<'a>,
    shop_id: Raw<'a>,
    shop: Raw<'a>,
    #[serde(rename = "type")]
    kind: Raw<'a>,
    status: Raw<'a>,
    amount: Raw<'a>,
    currency: Raw<'a>,
    converted_amount: Raw<'a>,
    converted_currency: Raw<'a>,
    created_at: Raw<'a>,
    updated_at: Raw<'a>,
    paid_at: Raw<'a>,
    settled_at: Raw<'a>,
    code: Raw<'a>,
    message: Raw<'a>,
    description: Raw<'a>,
    test: Raw<'a>,
    provider_raw: Raw<'a>,
    gateway: Raw<'a>,
    customer: Raw<'a>,
    method: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ProviderRaw<'a> {
    #[serde(borrow)]
    auth_code: Raw<'a>,
    rrn: Raw<'a>,
    ref_id: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Method<'a> {
    #[serde(rename = "type", borrow)]
    kind: Raw<'a>,
    credit_card: Raw<'a>,
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
            Err(RecordError::Currency { field: "amount" })
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
        assert_eq!(
            created("soon"),
            Err(RecordError::Time {
                field: "created_at"
            })
        );
    }
}
