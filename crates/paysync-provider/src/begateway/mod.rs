//! The two beGateway APIs, and the currency decimals, vocabulary and error answers that they share.
//!
//! Currency decimals follow the platform's library, <https://github.com/begateway/begateway-api-php>,
//! and differ from ISO 4217 (IDR, IQD, CLF, CVE, LAK, MOP and others). Vocabulary and error answers:
//! <https://doc.begateway.com/en/>.

pub mod dwh;
pub mod report;

use serde::Deserialize;

use crate::error::Refusal;
use crate::model::{Kind, Status, money};
use crate::protocol::Response;
use crate::wire::{self, Raw};

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

/// Reads a refusal in any of the platform's three error shapes.
fn refusal(response: &Response) -> Refusal {
    wire::refusal(response, message(&response.body))
}

/// `{"error":{…}}`, `{"response":{…}}`, or the same fields at the top.
fn message(body: &str) -> Option<String> {
    let body: ErrorBody<'_> = wire::object(Some(serde_json::from_str(body).ok()?));
    let nested = |raw: Raw<'_>| wire::text(raw).or_else(|| wire::object::<Details<'_>>(raw).text());
    let top = Details {
        code: body.code,
        message: body.message,
        friendly_message: body.friendly_message,
        errors: body.errors,
    };
    nested(body.error)
        .or_else(|| nested(body.response))
        .or_else(|| top.text())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    error: Raw<'a>,
    response: Raw<'a>,
    code: Raw<'a>,
    message: Raw<'a>,
    friendly_message: Raw<'a>,
    errors: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details<'a> {
    #[serde(borrow)]
    code: Raw<'a>,
    message: Raw<'a>,
    friendly_message: Raw<'a>,
    errors: Raw<'a>,
}

impl Details<'_> {
    /// `code: message (message for customers); field: validation error`.
    fn text(&self) -> Option<String> {
        let code = wire::text(self.code);
        let friendly = wire::text(self.friendly_message);
        let message = match (wire::text(self.message), friendly) {
            (Some(message), Some(friendly)) if message != friendly => {
                Some(format!("{message} ({friendly})"))
            }
            (message, friendly) => message.or(friendly),
        };
        let headline = match (code, message) {
            (Some(code), Some(message)) => Some(format!("{code}: {message}")),
            (code, message) => message.or(code),
        };
        let parts: Vec<String> = headline
            .into_iter()
            .chain(wire::field_errors(self.errors))
            .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// A shop or a gateway.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Identified<'a> {
    #[serde(borrow)]
    id: Raw<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Customer<'a> {
    #[serde(borrow)]
    id: Raw<'a>,
    ip: Raw<'a>,
    email: Raw<'a>,
}

/// A card; `bin_8` is in the DWH only, `product` in the report only.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Card<'a> {
    #[serde(borrow)]
    bin: Raw<'a>,
    bin_8: Raw<'a>,
    last_4: Raw<'a>,
    brand: Raw<'a>,
    product: Raw<'a>,
    issuer_country: Raw<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_the_platforms_own() {
        let table = [
            ("USD", Some(2)),
            ("eur", Some(2)),
            ("JPY", Some(0)),
            ("KWD", Some(3)),
            ("IDR", Some(0)),
            ("IQD", Some(0)),
            ("MOP", Some(1)),
            ("MGA", Some(2)),
            ("ZZZ", None),
            ("XXX", None),
            ("", None),
        ];
        for (currency, expected) in table {
            assert_eq!(exponent(currency), expected, "{currency}");
        }
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
        let said = |body: &str| message(body);
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
