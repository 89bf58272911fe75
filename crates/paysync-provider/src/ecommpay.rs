//! ECommPay Data API: `POST /operations/get`, the operations of a merchant's projects.
//!
//! Documentation: <https://api-data.ecommpay.com/>,
//! <https://developers.ecommpay.com/en/en_dbl_api_overview.html>.
//! - The body contains token and signature; answers are signed with the same key, refusals are not.
//! - The interval filters by the time when operations were finalised or last updated, so one stream
//!   lists both new operations and changes. Whether it lists operations that are not final is unknown.
//! - Order and inclusivity are not documented: offsets may shift, both bounds are widened.
//! - A page may be shorter than requested without being the last one.
//! - An answer may take minutes.

mod item;
mod options;
mod signature;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::options::{Options, Verify, interval_zone};
use self::signature::{Order, Values};
use crate::error::{PageError, RecordError, SettingsError};
use crate::model::{PaymentLinks, Transaction, window};
use crate::protocol::{Authenticity, Credential, Page, Position, Request, Response};
use crate::provider::{Entry, Provider, Settings};
use crate::spec::{Auth, Paging, Role, Spec, StreamSpec, Tier};
use crate::wire::{self, Object};

/// ECommPay in the table of providers.
pub const ENTRY: Entry = Entry {
    code: "ecommpay",
    build: |settings| Ok(Box::new(EcommPay::new(settings)?)),
};

const STREAM: &str = "completed_at";
const TOKEN: &str = "token";
const SECRET: &str = "secret";
const MAX_PAGE_SIZE: u32 = 1000;
const SECOND: TimeDelta = TimeDelta::seconds(1);
const DAY: TimeDelta = TimeDelta::days(1);

/// One account's settings.
#[derive(Debug)]
struct EcommPay {
    zone: Tz,
    options: Options,
}

impl EcommPay {
    fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            zone: interval_zone(settings.time_zone),
            options: Options::read(settings)?,
        })
    }

    /// `YYYY-MM-DD hh:mm:ss`, as the guide and its examples write it.
    fn time(&self, instant: DateTime<Utc>) -> String {
        let local = instant.with_timezone(&self.zone);
        local.format("%Y-%m-%d %H:%M:%S").to_string()
    }
}

impl Provider for EcommPay {
    fn spec(&self) -> Spec {
        Spec {
            code: ENTRY.code,
            documentation: "https://api-data.ecommpay.com/",
            streams: vec![StreamSpec {
                name: STREAM.to_owned(),
                role: Role::History,
                paging: Paging::Shifting,
                // The interval goes by "the most recent actions"; an item's own times may be earlier.
                axis: None,
                unit: SECOND,
                slack: SECOND,
                max_window: DAY,
                lag: TimeDelta::seconds(90),
                overlap: TimeDelta::hours(2),
                rescan: vec![Tier::new(7, 24), Tier::new(35, 7 * 24)],
                repoll: Vec::new(),
                audit: Vec::new(),
                short_page_ends: false,
            }],
            auth: Auth::Signed,
            credentials: &[TOKEN, SECRET],
            optional_credentials: &[],
            page_size: MAX_PAGE_SIZE,
            max_page_size: MAX_PAGE_SIZE,
            requests_per_minute: 60,
            // Answers may take five minutes.
            timeout: Duration::from_secs(330),
            retry_after_floor: Duration::from_secs(3),
            by_id: None,
            id_key: "operation_id",
            payment_links: PaymentLinks {
                parent: false,
                group: true,
            },
            redaction: item::REDACTION,
        }
    }

    fn request(&self, at: &Position<'_>) -> Result<Request, PageError> {
        if at.stream != STREAM {
            return Err(PageError::Position("no such stream"));
        }
        let body = Body {
            project_id: &self.options.project_ids,
            interval: Interval {
                from: self.time(window::floor(at.window.start(), SECOND) - SECOND),
                to: self.time(window::ceil(at.window.end(), SECOND) + SECOND),
            },
            tz: self.zone.name(),
            limit: limit(at),
            offset: at.offset()?,
            operation_type: OneOrMore::of(&self.options.operation_types),
            operation_status: OneOrMore::of(&self.options.operation_statuses),
            fields: &self.options.fields,
        };
        Request::post("/operations/get", &body)
    }

    fn page<'r>(&self, at: &Position<'_>, response: &'r Response) -> Result<Page<'r>, PageError> {
        let envelope: Envelope<'_> = wire::envelope(response)?;
        let items = wire::items(envelope.operations, "operations")?;
        // Nothing else marks the last page: the engine confirms the end after a short page.
        let is_full = u32::try_from(items.len()).is_ok_and(|rows| rows >= limit(at));
        Page::at_offset(at, items, is_full)
    }

    fn normalize(&self, item: &str) -> Result<Transaction, RecordError> {
        item::normalize(item, self.zone)
    }

    fn authenticate(&self, credential: &Credential, mut request: Request) -> Request {
        let body = request.body.as_deref().map(serde_json::from_str);
        let Some(Ok(mut members)) = body else {
            return request;
        };
        let members: &mut Map<String, Value> = &mut members;
        members.insert(TOKEN.to_owned(), credential.expose(TOKEN).into());
        let unsigned = Value::Object(members.clone()).to_string();
        if let Some(mut values) = Values::of(&unsigned) {
            let signature = values.sign(credential.expose(SECRET), self.options.signature_order);
            members.insert(signature::KEY.to_owned(), signature.into());
        }
        request.body = Some(Value::Object(members.clone()).to_string());
        request
    }

    /// Accepts both sort orders, because the provider's order for long lists is unconfirmed. Checks JSON
    /// objects only: any other answer fails in `page`, with a better error.
    fn verify(
        &self,
        credential: &Credential,
        response: &Response,
    ) -> Result<Authenticity, PageError> {
        if self.options.verify_signature == Verify::Off {
            return Ok(Authenticity::Accepted);
        }
        let Ok(signed) = wire::envelope::<Object<'_>>(response) else {
            return Ok(Authenticity::Accepted);
        };
        let given = signed.text(signature::KEY);
        let values = Values::of(&response.body);
        let matches = given.zip(values).is_some_and(|(given, mut values)| {
            let mut fits = |order| values.sign(credential.expose(SECRET), order) == given;
            fits(Order::Natural) || fits(Order::Lexical)
        });
        match self.options.verify_signature {
            _ if matches => Ok(Authenticity::Accepted),
            Verify::Require => Err(PageError::Signature),
            Verify::Warn | Verify::Off => Ok(Authenticity::Mismatch),
        }
    }

    fn error_message(&self, body: &Object<'_>) -> Option<String> {
        message(body)
    }
}

fn limit(at: &Position<'_>) -> u32 {
    at.page_size.clamp(1, MAX_PAGE_SIZE)
}

/// `Authorization Required: You have no access to project_id = 22`.
fn message(body: &Object<'_>) -> Option<String> {
    let parts = [body.text("name"), body.text("message")];
    wire::joined(parts.into_iter().flatten(), ": ")
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    project_id: &'a [u64],
    interval: Interval,
    tz: &'a str,
    limit: u32,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_type: Option<OneOrMore<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_status: Option<OneOrMore<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    fields: &'a [String],
}

#[derive(Serialize)]
struct Interval {
    from: String,
    to: String,
}

/// A string or a list: the documentation describes one type per request, a copy of it a list.
#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMore<'a> {
    One(&'a str),
    More(&'a [String]),
}

impl<'a> OneOrMore<'a> {
    fn of(names: &'a [String]) -> Option<Self> {
        match names {
            [] => None,
            [one] => Some(Self::One(one)),
            more => Some(Self::More(more)),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    operations: Option<wire::Items<'a>>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;
    use crate::model::Window;
    use crate::protocol::{Checkpoint, Next};

    fn provider(time_zone: Tz, options: Value) -> EcommPay {
        EcommPay::new(&Settings { time_zone, options }).unwrap()
    }

    fn credential() -> Credential {
        let part = |name: &str, value: &str| (name.to_owned(), SecretString::from(value));
        Credential::new(BTreeMap::from([
            part("token", "ZOyTL5shY8ddhpxdQyplRPJYmGV7Kv"),
            part("secret", "secret"),
        ]))
    }

    fn at(checkpoint: Option<&Checkpoint>) -> Position<'_> {
        let instant = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        Position {
            stream: STREAM,
            // A second less at either end, so that the widened interval is the whole day.
            window: Window::new(instant(1_704_067_201), instant(1_704_153_599)).unwrap(),
            checkpoint,
            page_size: 5000,
        }
    }

    fn body(provider: &EcommPay, checkpoint: Option<&Checkpoint>) -> Value {
        let request = provider.request(&at(checkpoint)).unwrap();
        serde_json::from_str(&request.body.unwrap()).unwrap()
    }

    #[test]
    fn an_authenticated_request_is_signed() {
        let provider = provider(
            Tz::UTC,
            json!({
                "project_ids": [4, 12], "operation_statuses": ["success", "decline"],
                "fields": ["operation_id", "operation_status", "project_id", "payment_id"],
            }),
        );
        let request = provider.request(&at(None)).unwrap();
        let signed = provider.authenticate(&credential(), request);
        assert!(signed.authorization.is_none());
        let body: Value = serde_json::from_str(&signed.body.unwrap()).unwrap();
        assert_eq!(
            body,
            json!({
                "token": "ZOyTL5shY8ddhpxdQyplRPJYmGV7Kv",
                "project_id": [4, 12],
                "interval": {"from": "2024-01-01 00:00:00", "to": "2024-01-02 00:00:00"},
                "tz": "UTC",
                "limit": 1000,
                "offset": 0,
                "operation_status": ["success", "decline"],
                "fields": ["operation_id", "operation_status", "project_id", "payment_id"],
                "signature": body["signature"],
            })
        );
        let signature = Values::of(&body.to_string())
            .unwrap()
            .sign("secret", Order::Natural);
        assert_eq!(body["signature"], signature);
    }

    #[test]
    fn the_sort_order_of_the_signature_is_an_option() {
        let fields: Vec<String> = (0..12).map(|index| format!("f{index}")).collect();
        let signature = |order: &str| {
            let provider = provider(Tz::UTC, json!({"fields": fields, "signature_order": order}));
            let request = provider.request(&at(None)).unwrap();
            let body = provider.authenticate(&credential(), request).body.unwrap();
            let body: Value = serde_json::from_str(&body).unwrap();
            body["signature"].clone()
        };
        assert_ne!(signature("natural"), signature("lexical"));
    }

    #[test]
    fn one_name_is_a_text_and_more_are_a_list() {
        let one = provider(Tz::UTC, json!({"operation_types": ["sale"]}));
        assert_eq!(body(&one, None)["operation_type"], "sale");
        let two = provider(Tz::UTC, json!({"operation_types": ["sale", "refund"]}));
        assert_eq!(
            body(&two, None)["operation_type"],
            json!(["sale", "refund"])
        );
    }

    #[test]
    fn intervals_are_in_a_zone_without_clock_changes() {
        let dubai = body(&provider(chrono_tz::Asia::Dubai, json!({})), None);
        assert_eq!(dubai["tz"], "Asia/Dubai");
        assert_eq!(dubai["interval"]["from"], "2024-01-01 04:00:00");
        let vilnius = body(&provider(chrono_tz::Europe::Vilnius, json!({})), None);
        assert_eq!(vilnius["tz"], "UTC");
        assert_eq!(vilnius["interval"]["to"], "2024-01-02 00:00:00");
    }

    #[test]
    fn only_a_full_page_has_a_next_page() {
        let provider = provider(Tz::UTC, json!({}));
        let start = Checkpoint::Offset {
            offset: 999,
            last_id: Some("1".to_owned()),
        };
        let next = |checkpoint, rows: usize| {
            let response = Response::json(&json!({"operations": vec![json!({}); rows]}));
            provider
                .page(&at(checkpoint), &response)
                .map(|page| page.next)
        };
        let more = |offset| {
            Ok(Next::More(Checkpoint::Offset {
                offset,
                last_id: None,
            }))
        };
        assert_eq!(next(None, 1000), more(1000));
        assert_eq!(next(Some(&start), 1000), more(1999));
        assert_eq!(next(None, 999), Ok(Next::End));
        assert_eq!(next(None, 0), Ok(Next::End));
        assert_eq!(body(&provider, Some(&start))["offset"], 999);
        let other = Checkpoint::Object {
            last_object_id: "1".to_owned(),
        };
        assert!(provider.request(&at(Some(&other))).is_err());
    }

    #[test]
    fn answers_are_checked_as_the_option_says() {
        let operations: Vec<Value> = (0..12).map(|id| json!({"operation_id": id})).collect();
        let mut answer = json!({ "operations": operations });
        let verify = |option: &str, answer: &Value| {
            provider(Tz::UTC, json!({ "verify_signature": option }))
                .verify(&credential(), &Response::json(answer))
        };
        for order in [Order::Natural, Order::Lexical] {
            let mut values = Values::of(&answer.to_string()).unwrap();
            answer["signature"] = values.sign("secret", order).into();
            for option in ["warn", "require", "off"] {
                assert_eq!(
                    verify(option, &answer),
                    Ok(Authenticity::Accepted),
                    "{option}"
                );
            }
        }
        answer["operations"][0]["operation_id"] = 7.into();
        let unsigned = json!({"operations": []});
        for wrong in [&answer, &unsigned] {
            assert_eq!(verify("warn", wrong), Ok(Authenticity::Mismatch));
            assert_eq!(verify("require", wrong), Err(PageError::Signature));
            assert_eq!(verify("off", wrong), Ok(Authenticity::Accepted));
        }
    }

    /// The signature covers the text of a number, not its value.
    #[test]
    fn signed_numbers_keep_their_text() {
        let body = r#"{"operations":[{"operation_id":"1","rate":1.50}],"signature":"SIGNATURE"}"#;
        let signature = STANDARD.encode(crate::auth::hmac_sha512(
            "secret",
            "operations:0:operation_id:1;operations:0:rate:1.50",
        ));
        let response = Response::json(&body.replace("SIGNATURE", &signature));
        let provider = provider(Tz::UTC, json!({"verify_signature": "require"}));
        assert_eq!(
            provider.verify(&credential(), &response),
            Ok(Authenticity::Accepted)
        );
    }

    #[test]
    fn an_answer_that_is_not_an_object_fails_in_page() {
        let provider = provider(Tz::UTC, json!({"verify_signature": "require"}));
        for body in ["<html>wait</html>", "{\"operations\":[", "null", ""] {
            let response = Response::json(&body);
            assert_eq!(
                provider.verify(&credential(), &response),
                Ok(Authenticity::Accepted)
            );
            assert!(provider.page(&at(None), &response).is_err(), "{body}");
        }
    }
}
