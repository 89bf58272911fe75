//! ConvergeGate: `GET /api/v1/payments`, a shop's payments, newest first.
//!
//! Documentation: "Get Payments", <https://developer.convergegate.com/v1/payments/get-payments>.
//! - Times have no offset and mean UTC; the bounds are half-open, in whole seconds.
//! - Pages are offsets in an order that shifts; `hasMore` marks the last page.
//! - A filter goes by the time of update, but items do not contain it.
//! - Newer engines default `created.gte` to a day ago, which would hide updates of older payments: the
//!   stream `updated` always sends an old one.
//! - Amounts are JSON numbers in major units with up to 18 decimals.
//! - A request without `User-Agent` gets a web page with status 403.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{PageError, RecordError, SettingsError};
use crate::model::{Kind, PaymentLinks, Status, Transaction, window};
use crate::protocol::{Page, Position, Request, Response};
use crate::provider::{Entry, Provider, Settings};
use crate::spec::{Auth, Axis, Paging, Redaction, Role, Spec, StreamSpec, Tier, TimeField};
use crate::wire::{self, Object, Raw};

/// ConvergeGate in the table of providers.
pub const ENTRY: Entry = Entry {
    code: "convergegate",
    build: |settings| Ok(Box::new(ConvergeGate::new(settings)?)),
};

const MAX_PAGE_SIZE: u32 = 1000;
const MAX_OFFSET: u64 = 1_000_000;
const SECOND: TimeDelta = TimeDelta::seconds(1);
const DAY: TimeDelta = TimeDelta::days(1);
/// Older than any payment.
const BEGINNING: &str = "2000-01-01T00:00:00";

/// The provider; it has no options.
#[derive(Debug)]
struct ConvergeGate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {}

impl ConvergeGate {
    fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let Options {} = settings.options()?;
        Ok(Self)
    }
}

/// The documentation says UTC, so the account's zone does not apply.
const CREATED: TimeField = TimeField {
    axis: Axis::Created,
    key: "created",
    zone: Tz::UTC,
};

impl Provider for ConvergeGate {
    fn spec(&self) -> Spec {
        let stream = |name: &str, role, axis, rescan| StreamSpec {
            name: name.to_owned(),
            role,
            paging: Paging::Shifting,
            axis,
            unit: SECOND,
            slack: TimeDelta::zero(),
            max_window: DAY,
            lag: TimeDelta::seconds(30),
            overlap: TimeDelta::minutes(10),
            rescan,
            repoll: Vec::new(),
            audit: Vec::new(),
            short_page_ends: true,
        };
        let rescan = vec![Tier::new(3, 24), Tier::new(35, 7 * 24)];
        Spec {
            code: ENTRY.code,
            documentation: "https://developer.convergegate.com/v1/payments/get-payments",
            streams: vec![
                stream("created", Role::History, Some(CREATED), rescan),
                stream("updated", Role::Change, None, Vec::new()),
            ],
            auth: Auth::Bearer { token: "token" },
            credentials: &["token"],
            optional_credentials: &[],
            page_size: MAX_PAGE_SIZE,
            max_page_size: MAX_PAGE_SIZE,
            requests_per_minute: 60,
            timeout: Duration::from_mins(1),
            retry_after_floor: Duration::from_secs(1),
            by_id: None,
            id_key: "id",
            payment_links: PaymentLinks {
                parent: true,
                group: false,
            },
            redaction: REDACTION,
        }
    }

    fn request(&self, at: &Position<'_>) -> Result<Request, PageError> {
        let offset = at.offset()?;
        if offset > MAX_OFFSET {
            return Err(PageError::Cursor("the API accepts offsets up to 1000000"));
        }
        let start = time(window::floor(at.window.start(), SECOND));
        let end = time(window::ceil(at.window.end(), SECOND));
        let request = Request::get("/api/v1/payments").header("Accept", "application/json");
        let request = match at.stream {
            "created" => request
                .query("created.gte", &start)
                .query("created.lt", &end),
            "updated" => request
                .query("created.gte", &BEGINNING)
                .query("updated.gte", &start)
                .query("updated.lt", &end),
            _ => return Err(PageError::Position("no such stream")),
        };
        let request = request.query("limit", &at.page_size.clamp(1, MAX_PAGE_SIZE));
        Ok(request.query("offset", &offset))
    }

    fn page<'r>(&self, at: &Position<'_>, response: &'r Response) -> Result<Page<'r>, PageError> {
        let envelope: Envelope<'_> = wire::envelope(response)?;
        let items = wire::items(envelope.result, "result")?;
        let more = wire::flag(envelope.has_more).ok_or(PageError::Missing("hasMore"))?;
        Page::at_offset(at, items, more)
    }

    fn normalize(&self, item: &str) -> Result<Transaction, RecordError> {
        normalize(item)
    }

    fn error_message(&self, body: &Object<'_>) -> Option<String> {
        message(body)
    }
}

fn time(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%S").to_string()
}

fn normalize(item: &str) -> Result<Transaction, RecordError> {
    let item = Object::item(item)?;
    let method = item.object("paymentMethodDetails");
    let customer = item.object("customer");

    let id = item.id("id")?;
    // In the documentation's example, a payment is its own parent.
    let parent = item.text("parentPaymentId").filter(|it| *it != id);
    let provider_kind = item.text("paymentType");
    let provider_status = item.text("state");
    let status = status(provider_status.as_deref());
    let account = method.text("customerAccountNumber");
    let (card_bin, card_last4) = account.as_deref().map_or((None, None), wire::card_digits);
    let reason = |key| status.is_unsuccessful().then(|| item.text(key)).flatten();

    Ok(Transaction {
        payment_group_id: parent.clone().or_else(|| Some(id.clone())),
        provider_transaction_id: id,
        parent_transaction_id: parent,
        merchant_reference: item.text("referenceId"),
        shop_id: item.text("shopName"),
        kind: kind(provider_kind.as_deref()),
        provider_kind,
        status,
        provider_status,
        amount: item.major_amount("amount")?,
        currency: item.text("currency"),
        converted_amount: item.major_amount("customerAmount")?,
        converted_currency: item.text("customerCurrency"),
        fee: item.major_amount("externalFeeAmount")?,
        fee_currency: item.text("externalFeeCurrency"),
        created_at: item.instant(CREATED.key, CREATED.zone)?,
        payment_method: item.text("paymentMethod"),
        card_brand: method.text("cardBrand"),
        card_bin,
        card_last4,
        card_issuer_country: method.text("cardIssuingCountryCode"),
        customer_id: customer.text("referenceId"),
        customer_email: customer.text("email"),
        error_code: reason("errorCode"),
        error_message: reason("errorMessage"),
        provider_reference: item.text("terminalName"),
        gateway: item.text("terminalName"),
        description: item.text("description"),
        ..Transaction::default()
    })
}

fn kind(text: Option<&str>) -> Kind {
    match wire::keyword(text).as_str() {
        "deposit" => Kind::Payment,
        "refund" => Kind::Refund,
        "withdrawal" => Kind::Payout,
        "cardverify" => Kind::Verification,
        _ => Kind::Other,
    }
}

fn status(text: Option<&str>) -> Status {
    match wire::keyword(text).as_str() {
        "completed" => Status::Succeeded,
        "authorized" => Status::Authorized,
        "checkout" | "pending" | "awaiting approval" => Status::Pending,
        "declined" => Status::Failed,
        "cancelled" => Status::Canceled,
        _ => Status::Unknown,
    }
}

/// `Bad Request: message; field: validation error`.
fn message(body: &Object<'_>) -> Option<String> {
    let mut headline = vec![body.text("error"), body.text("message")];
    // Both may be "Unauthorized".
    headline.dedup();
    let headline = wire::joined(headline.into_iter().flatten(), ": ");
    let errors = body.raw("errors").map_or("[]", RawValue::get);
    let errors: Vec<Object<'_>> = serde_json::from_str(errors).unwrap_or_default();
    let errors = errors.iter().filter_map(|error| {
        let message = error.text("defaultMessage")?;
        wire::joined(error.text("field").into_iter().chain([message]), ": ")
    });
    wire::joined(headline.into_iter().chain(errors), "; ")
}

const REDACTION: Redaction = Redaction {
    exact: &[
        "amount",
        "created",
        "customerAmount",
        "depositsAmount",
        "externalFeeAmount",
        "id",
        "parentPaymentId",
        "referenceId",
        "terminalName",
        "withdrawalsAmount",
    ],
    cards: &["customerAccountNumber"],
    // Tokens with which a card can be charged.
    dropped: &["cardToken", "recurringToken"],
    exact_columns: &[
        "provider_transaction_id",
        "parent_transaction_id",
        "payment_group_id",
        "merchant_reference",
        "customer_id",
        "provider_reference",
        "gateway",
    ],
};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    has_more: Raw<'a>,
    result: Option<wire::Items<'a>>,
}

#[cfg(test)]
mod tests {
    use bigdecimal::BigDecimal;
    use serde_json::json;

    use super::*;
    use crate::model::Window;
    use crate::protocol::{Checkpoint, Next};

    fn at<'a>(stream: &'a str, checkpoint: Option<&'a Checkpoint>) -> Position<'a> {
        let instant = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        Position {
            stream,
            window: Window::new(instant(1_704_067_200), instant(1_704_067_201)).unwrap(),
            checkpoint,
            page_size: 50,
        }
    }

    fn page(checkpoint: Option<&Checkpoint>, body: &str) -> Result<Next, PageError> {
        ConvergeGate
            .page(&at("created", checkpoint), &Response::json(&body))
            .map(|page| page.next)
    }

    #[test]
    fn an_id_is_enough() {
        let expected = Transaction {
            provider_transaction_id: "p".to_owned(),
            payment_group_id: Some("p".to_owned()),
            ..Transaction::default()
        };
        assert_eq!(normalize(r#"{"id":"p"}"#), Ok(expected));
    }

    #[test]
    fn a_payment_is_not_its_own_parent() {
        let own = normalize(r#"{"id":"p","parentPaymentId":"p"}"#).unwrap();
        assert_eq!(own.parent_transaction_id, None);
        assert_eq!(own.payment_group_id.as_deref(), Some("p"));
        let refund = normalize(r#"{"id":"r","parentPaymentId":"p"}"#).unwrap();
        assert_eq!(refund.parent_transaction_id.as_deref(), Some("p"));
        assert_eq!(refund.payment_group_id.as_deref(), Some("p"));
    }

    #[test]
    fn amounts_keep_eighteen_decimals() {
        let amount = |text: &str| {
            normalize(&format!(r#"{{"id":"p","amount":{text}}}"#)).map(|row| {
                row.amount
                    .map(|amount: BigDecimal| amount.to_plain_string())
            })
        };
        for (sent, kept) in [
            ("15", "15"),
            ("11.12", "11.12"),
            (
                "999999999.123456789012345678",
                "999999999.123456789012345678",
            ),
            ("1E-18", "0.000000000000000001"),
            ("\"0.1\"", "0.1"),
        ] {
            assert_eq!(amount(sent), Ok(Some(kept.to_owned())), "{sent}");
        }
        assert_eq!(amount("null"), Ok(None));
        assert_eq!(amount("true").unwrap_err().reason(), "unreadable_amount");
    }

    #[test]
    fn kinds_and_statuses_are_mapped() {
        assert_eq!(kind(Some("DEPOSIT")), Kind::Payment);
        assert_eq!(kind(Some("Withdrawal")), Kind::Payout);
        assert_eq!(kind(Some("SPLIT")), Kind::Other);
        assert_eq!(kind(None), Kind::Other);
        assert_eq!(status(Some("AUTHORIZED")), Status::Authorized);
        assert_eq!(status(Some("AWAITING_APPROVAL")), Status::Pending);
        assert_eq!(status(Some("CANCELLED")), Status::Canceled);
        assert_eq!(status(Some("FROZEN")), Status::Unknown);
        assert_eq!(status(None), Status::Unknown);
    }

    #[test]
    fn times_are_utc_in_any_form() {
        let created = |time: &str| {
            normalize(&format!(r#"{{"id":"p","created":"{time}"}}"#)).map(|row| row.created_at)
        };
        let plain = created("2025-09-01T09:02:22").unwrap();
        assert_eq!(created("2025-09-01T11:02:22+02:00").unwrap(), plain);
        assert_eq!(created("2025-09-01T09:02:22Z").unwrap(), plain);
        assert!(created("2025-09-01T09:02:22.552859857").unwrap() > plain);
        assert_eq!(created(""), Ok(None));
    }

    #[test]
    fn offsets_count_rows() {
        let more = |offset| {
            Next::More(Checkpoint::Offset {
                offset,
                last_id: None,
            })
        };
        let body = r#"{"hasMore":true,"result":[{},{}]}"#;
        assert_eq!(page(None, body), Ok(more(2)));
        let start = Checkpoint::Offset {
            offset: 950,
            last_id: Some("p".to_owned()),
        };
        assert_eq!(page(Some(&start), body), Ok(more(952)));
        assert_eq!(
            page(Some(&start), r#"{"hasMore":false,"result":[]}"#),
            Ok(Next::End)
        );
        assert_eq!(
            page(None, r#"{"result":[]}"#),
            Err(PageError::Missing("hasMore"))
        );
        assert_eq!(
            page(None, r#"{"hasMore":false}"#),
            Err(PageError::Missing("result"))
        );

        let request = ConvergeGate.request(&at("updated", Some(&start))).unwrap();
        assert!(
            request
                .query
                .contains(&("offset".to_owned(), "950".to_owned()))
        );
        let beyond = Checkpoint::Offset {
            offset: MAX_OFFSET + 1,
            last_id: None,
        };
        assert!(ConvergeGate.request(&at("created", Some(&beyond))).is_err());
        let other = Checkpoint::Page {
            page: 2,
            size: None,
        };
        assert!(ConvergeGate.request(&at("created", Some(&other))).is_err());
    }

    #[test]
    fn it_has_no_options() {
        let settings = |options| Settings {
            time_zone: Tz::UTC,
            options,
        };
        assert!(ConvergeGate::new(&settings(json!({}))).is_ok());
        let error = ConvergeGate::new(&settings(json!({"fields": 1}))).unwrap_err();
        assert_eq!(
            error.0,
            "options.fields: unknown field `fields`, there are no fields"
        );
    }
}
