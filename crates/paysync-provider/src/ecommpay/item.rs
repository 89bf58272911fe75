//! An operation of ECommPay, which is one step of a payment.

use bigdecimal::BigDecimal;
use chrono_tz::Tz;

use crate::error::RecordError;
use crate::model::money::{AmountError, iso_4217_exponent};
use crate::model::{Kind, Status, Transaction};
use crate::spec::Redaction;
use crate::wire::{self, Object};

pub(super) const REDACTION: Redaction = Redaction {
    exact: &[
        "amount",
        "arn",
        "auth_code",
        "balance_id",
        "completed_refund",
        "currency_rate",
        "customer_id",
        "merchant_id",
        "operation_completed_at",
        "operation_created_at",
        "operation_id",
        "payment_id",
        "project_id",
        "provider_date",
        "provider_payment_id",
        "recurring_id",
        "remaining_refund",
        "rrn",
        "shipment_date",
        "transaction_completed_at",
        "transaction_created_at",
    ],
    cards: &["account_number"],
    // Tokens with which a card can be charged.
    dropped: &["card_token"],
    exact_columns: &[
        "provider_transaction_id",
        "payment_group_id",
        "merchant_reference",
        "shop_id",
        "customer_id",
        "rrn",
        "arn",
        "auth_code",
        "provider_reference",
    ],
};

/// Reads an operation; `zone` applies to times without an offset. Only the id is required: the
/// account's options select the fields.
pub(super) fn normalize(item: &str, zone: Tz) -> Result<Transaction, RecordError> {
    let item = Object::item(item)?;
    let provider_kind = item.text("operation_type");
    let provider_status = item.text("operation_status");
    let status = status(provider_status.as_deref());
    let project = item.text("project_id");
    let payment = item.text("payment_id");
    // Payment ids are unique within a project only.
    let group = project.as_ref().zip(payment.as_ref());
    let group = group.map(|(project, payment)| format!("{project}:{payment}"));
    let (amount, currency) = sum(&item, "sum_initial")?;
    let (converted_amount, converted_currency) = sum(&item, "sum_converted")?;
    let account = item.text("account_number");
    let (first_digits, card_last4) = account.as_deref().map_or((None, None), wire::card_digits);
    let bin = item.text("bin");
    let is_card = bin.is_some() || card_last4.is_some();
    let reason = |key| status.is_unsuccessful().then(|| item.text(key)).flatten();
    let paid_at = match status {
        Status::Succeeded => item.instant("provider_date", zone)?,
        _ => None,
    };

    Ok(Transaction {
        provider_transaction_id: item.id("operation_id")?,

        payment_group_id: group,
        merchant_reference: payment,
        shop_id: project,
        kind: kind(provider_kind.as_deref()),
        provider_kind,
        status,
        provider_status,
        amount,
        currency,
        converted_amount,
        converted_currency,
        created_at: item.instant("operation_created_at", zone)?,
        updated_at: item.instant("operation_completed_at", zone)?,
        paid_at,
        settled_at: item.instant("shipment_date", zone)?,
        payment_method: item.text("payment_method_name"),
        card_brand: item.text("payment_method_type").filter(|_| is_card),
        card_bin: bin.or(first_digits),
        card_last4,
        card_issuer_country: item.text("country_by_bin"),
        customer_id: item.text("customer_id"),
        customer_email: item.text("customer_email"),
        customer_ip: item.text("customer_ip"),
        error_code: reason("payment_provider_code"),
        error_message: reason("payment_provider_message"),
        rrn: item.text("rrn"),
        arn: item.text("arn"),
        auth_code: item.text("auth_code"),
        provider_reference: item.text("provider_payment_id"),
        description: item.text("payment_description"),
        // Without `is_test` and fees: test operations are in projects of their own, fees have another
        // endpoint.
        ..Transaction::default()
    })
}

/// `{"amount":1200,"currency":"USD"}`, whole minor units by ISO 4217.
fn sum(
    item: &Object<'_>,
    field: &'static str,
) -> Result<(Option<BigDecimal>, Option<String>), RecordError> {
    // An amount in an unknown shape is an error, not a missing amount.
    if !item.is_object(field) && item.raw(field).is_some_and(|raw| raw.get() != "\"\"") {
        return Err(RecordError::Amount(field, AmountError::NotANumber));
    }
    let sum = item.object(field);
    let currency = sum.text("currency");
    let exponent = |code: &str| iso_4217_exponent(&code.to_ascii_uppercase());
    let amount = sum.minor_amount("amount", currency.as_deref(), exponent);
    // An error names the sum.
    let amount = amount.map_err(|error| match error {
        RecordError::Amount(_, cause) => RecordError::Amount(field, cause),
        RecordError::Currency(_) => RecordError::Currency(field),
        other => other,
    })?;
    Ok((amount, currency))
}

fn kind(text: Option<&str>) -> Kind {
    match wire::keyword(text).as_str() {
        "sale" | "recurring" | "invoice" | "payment confirmation" | "create cash voucher" => {
            Kind::Payment
        }
        "auth" | "incremental" => Kind::Authorization,
        "capture" | "capture settlement" => Kind::Capture,
        "cancel" | "reversal" => Kind::Void,
        "refund" => Kind::Refund,
        "payout" => Kind::Payout,
        "account verification" => Kind::Verification,
        _ => Kind::Other,
    }
}

fn status(text: Option<&str>) -> Status {
    match wire::keyword(text).as_str() {
        "success" => Status::Succeeded,
        "decline" | "error" | "internal error" | "external error" => Status::Failed,
        "expired" | "invoice cancelled" | "cancelled" => Status::Canceled,
        "processing" | "external processing" | "invoice sent" => Status::Pending,
        word if word.starts_with("awaiting ") => Status::Pending,
        _ => Status::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn row(item: &Value) -> Result<Transaction, RecordError> {
        normalize(&item.to_string(), chrono_tz::Asia::Dubai)
    }

    #[test]
    fn an_id_is_enough() {
        let expected = Transaction {
            provider_transaction_id: "6435212162442".to_owned(),
            ..Transaction::default()
        };
        assert_eq!(
            row(&json!({"operation_id": "6435212162442"})),
            Ok(expected.clone())
        );
        assert_eq!(
            row(&json!({"operation_id": 6_435_212_162_442_u64})),
            Ok(expected)
        );
    }

    #[test]
    fn a_group_is_a_payment_of_a_project() {
        let group = |item: Value| row(&item).unwrap().payment_group_id;
        let both = json!({"operation_id": "1", "project_id": 11, "payment_id": "06c1-b285"});
        assert_eq!(group(both), Some("11:06c1-b285".to_owned()));
        assert_eq!(
            group(json!({"operation_id": "1", "payment_id": "06c1"})),
            None
        );
        assert_eq!(
            group(json!({"operation_id": "1", "project_id": "11", "payment_id": ""})),
            None
        );
    }

    #[test]
    fn amounts_follow_iso_4217() {
        let amount = |sum: Value| {
            row(&json!({"operation_id": "1", "sum_initial": sum}))
                .map(|row| row.amount.map(|amount| amount.to_plain_string()))
        };
        let text = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            amount(json!({"amount": 45066, "currency": "GBP"})),
            text("450.66")
        );
        assert_eq!(
            amount(json!({"amount": "45066", "currency": "gbp"})),
            text("450.66")
        );
        assert_eq!(
            amount(json!({"amount": 200, "currency": "JPY"})),
            text("200")
        );
        assert_eq!(
            amount(json!({"amount": 150_155, "currency": "KWD"})),
            text("150.155")
        );
        assert_eq!(
            amount(json!({"amount": 5000, "currency": "IDR"})),
            text("50.00")
        );
        assert_eq!(amount(json!("")), Ok(None));
        assert_eq!(amount(Value::Null), Ok(None));
        assert_eq!(amount(json!({"currency": "GBP"})), Ok(None));
        for (sum, reason) in [
            (json!({"amount": 1, "currency": "ZZZ"}), "unknown_currency"),
            (json!({"amount": 1}), "unknown_currency"),
            (
                json!({"amount": 1.5, "currency": "EUR"}),
                "unreadable_amount",
            ),
            (json!(1200), "unreadable_amount"),
            (json!([1200, "USD"]), "unreadable_amount"),
        ] {
            let error = amount(sum.clone()).unwrap_err();
            assert_eq!(error.reason(), reason, "{sum}");
            assert!(error.to_string().starts_with("sum_initial: "), "{error}");
        }
    }

    #[test]
    fn an_empty_time_is_missing() {
        let item = |status: &str| {
            row(&json!({
                "operation_id": "1", "operation_status": status, "operation_created_at": "2018-08-01 12:28:47",
                "operation_completed_at": "", "provider_date": "2018-08-01T08:28:47+00:00", "shipment_date": "",
            }))
            .unwrap()
        };
        let paid = item("success");
        assert_eq!((paid.updated_at, paid.settled_at), (None, None));
        assert_eq!(paid.paid_at, paid.created_at);
        assert_eq!(item("decline").paid_at, None);
    }

    #[test]
    fn cards_are_distinguished_from_wallets() {
        let card = |account: &str, bin: Value| {
            let row = row(&json!({
                "operation_id": "1", "account_number": account, "bin": bin,
                "payment_method_name": "method", "payment_method_type": "visa",
            }))
            .unwrap();
            (row.card_brand, row.card_bin, row.card_last4)
        };
        let some = |text: &str| Some(text.to_owned());
        let visa = (some("visa"), some("424242"), some("4242"));
        assert_eq!(card("424242******4242", Value::Null), visa);
        assert_eq!(card("4242424242424242", json!("")), visa);
        assert_eq!(
            card("424242******4242", json!("42424242")),
            (some("visa"), some("42424242"), some("4242"))
        );
        assert_eq!(card("Z123456789012", Value::Null), (None, None, None));
        assert_eq!(card("", Value::Null), (None, None, None));
    }

    #[test]
    fn kinds_and_statuses_are_mapped() {
        for (word, expected) in [
            ("sale", Kind::Payment),
            ("create_cash_voucher", Kind::Payment),
            ("payment confirmation", Kind::Payment),
            ("auth", Kind::Authorization),
            ("capture settlement", Kind::Capture),
            ("reversal", Kind::Void),
            ("refund", Kind::Refund),
            ("refund reverse", Kind::Other),
            ("account verification", Kind::Verification),
            ("customer action", Kind::Other),
        ] {
            assert_eq!(kind(Some(word)), expected, "{word}");
        }
        for (word, expected) in [
            ("success", Status::Succeeded),
            ("Decline", Status::Failed),
            ("internal error", Status::Failed),
            ("awaiting 3ds result", Status::Pending),
            ("awaiting_approval", Status::Pending),
            ("external processing", Status::Pending),
            ("invoice cancelled", Status::Canceled),
            ("unknown", Status::Unknown),
            ("awaiting", Status::Unknown),
        ] {
            assert_eq!(status(Some(word)), expected, "{word}");
        }
        assert_eq!((kind(None), status(None)), (Kind::Other, Status::Unknown));
    }

    #[test]
    fn reasons_belong_to_operations_that_failed() {
        let item = |status: &str| {
            row(&json!({
                "operation_id": "1", "operation_type": "auth", "operation_status": status,
                "payment_provider_code": "51", "payment_provider_message": "Not sufficient funds",
            }))
            .unwrap()
        };
        assert_eq!(item("decline").error_code.as_deref(), Some("51"));
        assert_eq!(
            item("expired").error_message.as_deref(),
            Some("Not sufficient funds")
        );
        let held = item("success");
        assert_eq!(
            (held.kind, held.status),
            (Kind::Authorization, Status::Succeeded)
        );
        assert_eq!((held.error_code, held.error_message), (None, None));
    }
}
