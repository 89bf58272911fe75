//! The two beGateway APIs, and the currency decimals, vocabulary and error answers that they share.
//!
//! Currency decimals follow the platform's library, <https://github.com/begateway/begateway-api-php>,
//! and differ from ISO 4217 (IDR, IQD, CLF, CVE, LAK, MOP and others). Vocabulary and error answers:
//! <https://doc.begateway.com/en/>.

pub mod dwh;
pub mod report;

use chrono_tz::Tz;

use crate::error::RecordError;
use crate::model::{Kind, Status, Transaction, money};
use crate::wire::{self, Object};

/// Decimals of a currency on this platform; none if neither the platform nor ISO 4217 has the code.
fn exponent(currency: &str) -> Option<u8> {
    let currency = currency.to_ascii_uppercase();
    match currency.as_str() {
        "BHD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => Some(3),
        "MOP" => Some(1),
        "BIF" | "BYR" | "CLF" | "CLP" | "CVE" | "DJF" | "GNF" | "IDR" | "IQD" | "IRR" | "ISK"
        | "JPY" | "KMF" | "KPW" | "KRW" | "LAK" | "LBP" | "MMK" | "PYG" | "RWF" | "SLL" | "STD"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => Some(0),
        other => money::iso_4217_exponent(other).map(|_| 2),
    }
}

fn kind(text: Option<&str>) -> Kind {
    match wire::keyword(text).as_str() {
        "payment" | "p2p" => Kind::Payment,
        "authorization" => Kind::Authorization,
        "capture" => Kind::Capture,
        "void" => Kind::Void,
        "refund" => Kind::Refund,
        "payout" | "credit" => Kind::Payout,
        "chargeback" => Kind::Chargeback,
        "tokenization" | "checkup" => Kind::Verification,
        _ => Kind::Other,
    }
}

/// A successful authorization is `Succeeded`: the status is the step's, not the payment's.
fn status(text: Option<&str>) -> Status {
    match wire::keyword(text).as_str() {
        "successful" => Status::Succeeded,
        "pending" | "incomplete" | "initial" => Status::Pending,
        "failed" | "error" => Status::Failed,
        "expired" | "deleted" => Status::Canceled,
        _ => Status::Unknown,
    }
}

/// The message of any of the platform's three error shapes: `{"error":{…}}`, `{"response":{…}}`, or the same fields at the top.
fn message(body: &Object<'_>) -> Option<String> {
    let nested = |key| body.text(key).or_else(|| details(&body.object(key)));
    nested("error")
        .or_else(|| nested("response"))
        .or_else(|| details(body))
}

/// `code: message (message for customers); field: validation error`.
fn details(error: &Object<'_>) -> Option<String> {
    let friendly = error.text("friendly_message");
    let message = match (error.text("message"), friendly) {
        (Some(message), Some(friendly)) if message != friendly => {
            Some(format!("{message} ({friendly})"))
        }
        (message, friendly) => message.or(friendly),
    };
    let headline = wire::joined(error.text("code").into_iter().chain(message), ": ");
    let errors = error.object("errors");
    wire::joined(
        headline.into_iter().chain(wire::field_errors(&errors)),
        "; ",
    )
}

/// The columns that both APIs fill from the same fields.
fn shared_columns(
    item: &Object<'_>,
    customer: &Object<'_>,
    card: &Object<'_>,
) -> Result<Transaction, RecordError> {
    let provider_transaction_id = item.id("uid")?;
    let provider_kind = item.text("type");
    let provider_status = item.text("status");
    let currency = item.text("currency");
    Ok(Transaction {
        provider_transaction_id,
        merchant_reference: item.text("tracking_id"),
        shop_id: item.object("shop").text("id"),
        kind: kind(provider_kind.as_deref()),
        provider_kind,
        status: status(provider_status.as_deref()),
        provider_status,
        amount: item.minor_amount("amount", currency.as_deref(), exponent)?,
        currency,
        // Requests are in UTC, so a time without an offset is UTC.
        created_at: item.instant("created_at", Tz::UTC)?,
        paid_at: item.instant("paid_at", Tz::UTC)?,
        card_brand: card.text("brand"),
        card_bin: card.text("bin"),
        card_last4: card.text("last_4"),
        card_issuer_country: card.text("issuer_country"),
        customer_email: customer.text("email"),
        customer_ip: customer.text("ip"),
        description: item.text("description"),
        is_test: item.flag("test"),
        ..Transaction::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_the_platforms_own() {
        let table = [
            ("BHD JOD KWD LYD OMR TND", Some(3)),
            ("USD eur MGA", Some(2)),
            ("MOP", Some(1)),
            (
                "BIF BYR CLF CLP CVE DJF GNF IDR IQD IRR ISK JPY KMF KPW",
                Some(0),
            ),
            (
                "KRW LAK LBP MMK PYG RWF SLL STD UYI VND VUV XAF XOF XPF",
                Some(0),
            ),
            ("ZZZ XXX", None),
        ];
        for (currencies, expected) in table {
            for currency in currencies.split(' ') {
                assert_eq!(exponent(currency), expected, "{currency}");
            }
        }
        assert_eq!(exponent(""), None);
    }

    #[test]
    fn kinds_and_statuses_are_mapped() {
        assert_eq!(kind(Some("p2p")), Kind::Payment);
        assert_eq!(kind(Some("Authorization")), Kind::Authorization);
        assert_eq!(kind(Some("credit")), Kind::Payout);
        assert_eq!(kind(Some("checkup")), Kind::Verification);
        assert_eq!(kind(Some("fraud_advice")), Kind::Other);
        assert_eq!(kind(None), Kind::Other);
        assert_eq!(status(Some("SUCCESSFUL")), Status::Succeeded);
        assert_eq!(status(Some("incomplete")), Status::Pending);
        assert_eq!(status(Some("initial")), Status::Pending);
        assert_eq!(status(Some("error")), Status::Failed);
        assert_eq!(status(Some("deleted")), Status::Canceled);
        assert_eq!(status(Some("teleported")), Status::Unknown);
        assert_eq!(status(None), Status::Unknown);
    }

    #[test]
    fn the_three_error_shapes_are_read() {
        let said = |body: &str| Object::parse(body).and_then(|body| message(&body));
        assert_eq!(
            said(r#"{"response":{"message":"Unprocessable","errors":{"from":["can't be blank","is odd"],"to":"is odd"}}}"#).as_deref(),
            Some("Unprocessable; from: can't be blank, is odd; to: is odd")
        );
        assert_eq!(
            said(r#"{"code":"F.1000","friendly_message":"Try later","message":"Out of order","errors":{}}"#).as_deref(),
            Some("F.1000: Out of order (Try later)")
        );
        assert_eq!(
            said(r#"{"error":{"code":"unauthorized","message":"Unauthorized","friendly_message":"You can't have access to this area","help":"https://doc.ecomcharge.com/codes/unauthorized"}}"#).as_deref(),
            Some("unauthorized: Unauthorized (You can't have access to this area)")
        );
        assert_eq!(
            said(r#"{"error":"Forbidden"}"#).as_deref(),
            Some("Forbidden")
        );
        assert_eq!(
            said(r#"{"message":"Same","friendly_message":"Same"}"#).as_deref(),
            Some("Same")
        );
        assert_eq!(said(r#"{"error":{}}"#), None);
        assert_eq!(said("[1]"), None);
        assert_eq!(said("<html>"), None);
    }
}
