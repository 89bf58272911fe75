//! What the two beGateway APIs share: currency decimals, vocabulary, error answers.
//!
//! Currency decimals: the platform's own library, <https://github.com/begateway/begateway-api-php>;
//! they differ from ISO 4217 (IDR, IQD, CLF, CVE, LAK, MOP and others). Words and error shapes:
//! <https://doc.begateway.com/en/>.

pub mod dwh;
pub mod report;

use serde::Deserialize;

use super::error::Refusal;
use super::exchange::Response;
use super::wire::{self, Raw};
use crate::model::{Kind, Status, money};

/// Decimals of a currency on this platform; `None` for a code that neither it nor ISO 4217 names.
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

/// What a transaction type does.
fn kind(text: Option<&str>) -> Kind {
    match wire::word(text.unwrap_or_default()).as_str() {
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

/// How a step ended. A successful authorization is a step that succeeded.
fn status(text: Option<&str>) -> Status {
    match wire::word(text.unwrap_or_default()).as_str() {
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
    let answer: Answer<'_> = wire::object(Some(serde_json::from_str(body).ok()?));
    let nested = |raw: Raw<'_>| wire::text(raw).or_else(|| wire::object::<Fault<'_>>(raw).text());
    let top = Fault {
        code: answer.code,
        message: answer.message,
        friendly_message: answer.friendly_message,
        errors: answer.errors,
    };
    nested(answer.error)
        .or_else(|| nested(answer.response))
        .or_else(|| top.text())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer<'a> {
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
struct Fault<'a> {
    #[serde(borrow)]
    code: Raw<'a>,
    message: Raw<'a>,
    friendly_message: Raw<'a>,
    errors: Raw<'a>,
}

impl Fault<'_> {
    /// `code: message (what the provider shows customers); field: complaint`.
    fn text(&self) -> Option<String> {
        let code = wire::text(self.code);
        let friendly = wire::text(self.friendly_message);
        let said = match (wire::text(self.message), friendly) {
            (Some(message), Some(friendly)) if message != friendly => {
                Some(format!("{message} ({friendly})"))
            }
            (message, friendly) => message.or(friendly),
        };
        let headline = match (code, said) {
            (Some(code), Some(said)) => Some(format!("{code}: {said}")),
            (code, said) => said.or(code),
        };
        let parts: Vec<String> = headline
            .into_iter()
            .chain(wire::complaints(self.errors))
            .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
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
    fn every_word_has_its_place() {
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
