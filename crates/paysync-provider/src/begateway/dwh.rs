//! beGateway DWH v2: `POST /api/v2/transactions/list`, the transactions of all merchants of a PSP.
//!
//! Documentation: "Get the list of processed transactions",
//! <https://help.ecomcharge.com/en/knowledge-base/api-get-the-list-of-processed-transactions-v2>.
//! - The cursor is the time of the first row not yet sent, in microseconds: it is sent back as the exact
//!   text.
//! - Whether the bounds are inclusive is not documented: both are widened by a second.
//! - Requests are in UTC; `options.time_zone` must match the offset of the dates.
//! - `pagination.date_from` and `date_to` are not those of the request, unlike documented: unused.
//! - Test transactions are listed only by separate requests, so they have streams of their own.
//! - The endpoints `count` and `uids_export` serve the audit and the repoll of rows that are not final.
//! - `paid_at` is also set on failed payments.

mod item;
mod options;
mod uids_export;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::options::Options;
use crate::error::{PageError, RecordError, SettingsError};
use crate::model::{PaymentLinks, Status, Transaction, window};
use crate::protocol::{Checkpoint, Next, Page, Position, Request, Response};
use crate::provider::{Entry, Provider, Settings};
use crate::spec::{Auth, Axis, ById, Paging, Role, Spec, StreamSpec, Tier, TimeField};
use crate::wire::{self, Object};

/// The DWH in the table of providers.
pub const ENTRY: Entry = Entry {
    code: "begateway_dwh",
    build: |settings| Ok(Box::new(Dwh::new(settings)?)),
};

/// The API allows 90 days; answers for a week are fast.
const MAX_WINDOW: TimeDelta = TimeDelta::days(7);
const MAX_PAGE_SIZE: u32 = 1000;
/// Ids in one request.
const BATCH: u32 = 100;
const SECOND: TimeDelta = TimeDelta::seconds(1);
/// Suffix of the streams of test transactions.
const TEST_SUFFIX: &str = "/test";

/// One account's settings.
#[derive(Debug)]
struct Dwh {
    options: Options,
    /// The fields that the response parameters request.
    fields: Vec<String>,
}

impl Dwh {
    fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let (options, fields) = Options::read(settings)?;
        Ok(Self { options, fields })
    }

    /// The body of a request for the number of rows of a stream in an interval.
    fn body(
        &self,
        stream: &str,
        (date_from, date_to): (String, String),
    ) -> Result<Body<'_>, PageError> {
        let of_test = stream.strip_suffix(TEST_SUFFIX);
        let of_test = of_test.filter(|_| self.options.include_test);
        let date_type = match of_test.unwrap_or(stream) {
            "created_at" => "created_at",
            "updated_at" => "updated_at",
            _ => return Err(PageError::Position("no such stream")),
        };
        Ok(Body {
            options: BodyOptions {
                limit: None,
                time_zone: "Etc/UTC",
            },
            filter: BodyFilter {
                date_from,
                uid_from: None,
                date_to,
                date_type,
                test: of_test.map(|_| true),
                further: &self.options.filter,
            },
            response_parameters: None,
        })
    }
}

impl Provider for Dwh {
    fn spec(&self) -> Spec {
        let stream = |suffix: &str, key: &'static str, axis, role, rescan| StreamSpec {
            name: format!("{key}{suffix}"),
            role,
            paging: Paging::Keyset,
            axis: Some(TimeField {
                axis,
                key,
                zone: Tz::UTC,
            }),
            unit: SECOND,
            slack: SECOND,
            max_window: MAX_WINDOW,
            lag: TimeDelta::seconds(30),
            overlap: TimeDelta::minutes(10),
            rescan,
            repoll: Vec::new(),
            audit: Vec::new(),
            short_page_ends: false,
        };
        let test = self.options.include_test.then_some(TEST_SUFFIX);
        // Whether a settlement moves `updated_at` is not documented.
        let rescan = vec![Tier::new(35, 7 * 24)];
        let (history, change) = (Role::History, Role::Change);
        let mut streams = Vec::new();
        for suffix in [Some(""), test].into_iter().flatten() {
            streams.extend([
                stream(suffix, "created_at", Axis::Created, history, rescan.clone()),
                stream(suffix, "updated_at", Axis::Updated, change, Vec::new()),
            ]);
        }
        // Both endpoints cover the rows of all streams: only the first stream uses them.
        if let Some(first) = streams.first_mut() {
            first.repoll = vec![Tier::new(35, 24)];
            first.audit = vec![Tier::new(90, 24)];
        }
        Spec {
            code: ENTRY.code,
            documentation: "https://help.ecomcharge.com/en/knowledge-base/api-get-the-list-of-processed-transactions-v2",
            streams,
            auth: Auth::Basic {
                user: "psp_id",
                password: "secret_key",
            },
            credentials: &["psp_id", "secret_key"],
            optional_credentials: &[],
            page_size: MAX_PAGE_SIZE,
            max_page_size: MAX_PAGE_SIZE,
            requests_per_minute: 60,
            timeout: Duration::from_mins(1),
            retry_after_floor: Duration::from_secs(1),
            by_id: Some(ById {
                batch: BATCH,
                statuses: &[Status::Pending, Status::Unknown],
            }),
            id_key: "uid",
            payment_links: PaymentLinks {
                parent: true,
                group: false,
            },
            redaction: item::REDACTION,
        }
    }

    fn request(&self, at: &Position<'_>) -> Result<Request, PageError> {
        let start = date(window::floor(at.window.start(), SECOND) - SECOND);
        let end = date(window::ceil(at.window.end(), SECOND) + SECOND);
        let mut body = self.body(at.stream, (start, end))?;
        match at.checkpoint {
            None => {}
            Some(Checkpoint::Date {
                next_date,
                next_uid,
            }) => {
                body.filter.date_from.clone_from(next_date);
                body.filter.uid_from.clone_from(next_uid);
            }
            Some(_) => return Err(PageError::Position("not a checkpoint of dates")),
        }
        body.options.limit = Some(at.page_size.clamp(1, MAX_PAGE_SIZE));
        body.response_parameters = Some(&self.options.response_parameters);
        post("/api/v2/transactions/list", &body)
    }

    fn page<'r>(&self, _at: &Position<'_>, response: &'r Response) -> Result<Page<'r>, PageError> {
        const NO_DATE: PageError =
            PageError::Cursor("has_next_page is true, but there is no next_date");
        let envelope: Envelope<'_> = wire::envelope(response)?;
        let data = envelope.data.ok_or(PageError::Missing("data"))?;
        let items = wire::items(data.transactions, "data.transactions")?;
        let missing = PageError::Missing("data.pagination");
        let pagination = data.pagination.ok_or(missing)?;
        let missing = PageError::Missing("data.pagination.has_next_page");
        let more = pagination.flag("has_next_page").ok_or(missing)?;
        let next = if more {
            Next::More(Checkpoint::Date {
                next_date: pagination.text("next_date").ok_or(NO_DATE)?,
                // Installations of 2023 page by `next_date` alone.
                next_uid: pagination.text("next_uid"),
            })
        } else {
            Next::End
        };
        Ok(Page {
            items,
            next,
            count: None,
        })
    }

    fn request_by_id(&self, ids: &[String]) -> Result<Request, PageError> {
        let body = json!({
            "filter": {"uids": ids},
            "response_parameters": self.options.response_parameters,
        });
        post("/api/v2/transactions/uids_export", &body)
    }

    fn items_by_id<'r>(&self, response: &'r Response) -> Result<Vec<&'r RawValue>, PageError> {
        uids_export::items(response, &self.fields)
    }

    fn request_count(&self, at: &Position<'_>) -> Result<Request, PageError> {
        let interval = (date(at.window.start()), date(at.window.end()));
        let body = self.body(at.stream, interval)?;
        post("/api/v2/transactions/count", &body)
    }

    fn count(&self, response: &Response) -> Result<u64, PageError> {
        let envelope: Object<'_> = wire::envelope(response)?;
        // `{"data":{"count":1486}}`
        let count = envelope.object("data").text("count");
        let count = count.and_then(|count| count.parse().ok());
        count.ok_or(PageError::Missing("data.count"))
    }

    fn normalize(&self, item: &str) -> Result<Transaction, RecordError> {
        item::normalize(item)
    }

    fn error_message(&self, body: &Object<'_>) -> Option<String> {
        super::message(body)
    }
}

fn post(path: &'static str, body: &impl Serialize) -> Result<Request, PageError> {
    Ok(Request::post(path, body)?.header("Accept", "application/json"))
}

/// With the offset of UTC: it must match `options.time_zone`.
fn date(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

#[derive(Serialize)]
struct Body<'a> {
    options: BodyOptions,
    filter: BodyFilter<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_parameters: Option<&'a str>,
}

#[derive(Serialize)]
struct BodyOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    time_zone: &'static str,
}

#[derive(Serialize)]
struct BodyFilter<'a> {
    date_from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_from: Option<String>,
    date_to: String,
    date_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<bool>,
    #[serde(flatten)]
    further: &'a BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    transactions: Option<wire::Items<'a>>,
    #[serde(borrow)]
    pagination: Option<Object<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Window;

    fn dwh() -> Dwh {
        Dwh::new(&Settings {
            time_zone: chrono_tz::Europe::Vilnius,
            options: json!({"filter": {"currency": ["EUR", "USD"]}}),
        })
        .unwrap()
    }

    fn at<'a>(stream: &'a str, checkpoint: Option<&'a Checkpoint>) -> Position<'a> {
        let instant = |micros| DateTime::from_timestamp_micros(micros).unwrap();
        Position {
            stream,
            window: Window::new(
                instant(1_704_067_200_000_000),
                instant(1_704_067_260_000_000),
            )
            .unwrap(),
            checkpoint,
            page_size: 5000,
        }
    }

    fn body(checkpoint: Option<&Checkpoint>) -> Value {
        let request = dwh().request(&at("created_at", checkpoint)).unwrap();
        serde_json::from_str(&request.body.unwrap()).unwrap()
    }

    fn page(pagination: &Value) -> Result<Next, PageError> {
        let body = json!({"data": {"transactions": [], "pagination": pagination}});
        dwh()
            .page(&at("created_at", None), &Response::json(&body))
            .map(|page| page.next)
    }

    #[test]
    fn both_bounds_are_widened_and_the_limit_is_kept() {
        let body = body(None);
        assert_eq!(
            body["filter"],
            json!({
                "date_from": "2023-12-31T23:59:59+00:00",
                "date_to": "2024-01-01T00:01:01+00:00",
                "date_type": "created_at",
                "currency": "EUR,USD",
            })
        );
        assert_eq!(
            body["options"],
            json!({"limit": 1000, "time_zone": "Etc/UTC"})
        );
    }

    #[test]
    fn the_cursor_is_sent_back_unchanged() {
        for (next_date, next_uid) in [
            ("2024-01-01T07:30:24.978000+02:00", json!("f1cb7674")),
            ("2024-01-01T05:30:24.9780009Z", Value::Null),
        ] {
            let pagination =
                json!({"has_next_page": true, "next_date": next_date, "next_uid": next_uid});
            let Ok(Next::More(checkpoint)) = page(&pagination) else {
                panic!("no next page");
            };
            let stored = serde_json::to_string(&checkpoint).unwrap();
            let loaded: Checkpoint = serde_json::from_str(&stored).unwrap();
            let filter = &body(Some(&loaded))["filter"];
            assert_eq!(filter["date_from"], next_date);
            assert_eq!(filter["uid_from"], next_uid);
            assert_eq!(filter["date_to"], "2024-01-01T00:01:01+00:00");
        }
    }

    #[test]
    fn a_next_page_needs_a_date() {
        assert_eq!(page(&json!({"has_next_page": false})), Ok(Next::End));
        assert!(matches!(
            page(&json!({"has_next_page": true, "next_uid": "f1cb7674", "next_date": ""})),
            Err(PageError::Cursor(_))
        ));
        assert_eq!(
            page(&json!({"next_date": "2024-01-01T05:30:24Z"})),
            Err(PageError::Missing("data.pagination.has_next_page"))
        );
    }

    #[test]
    fn test_streams_exist_only_with_include_test() {
        assert!(dwh().request(&at("created_at/test", None)).is_err());
        assert_eq!(dwh().spec().streams.len(), 2);
        let page = Checkpoint::Page {
            page: 2,
            size: None,
        };
        assert!(dwh().request(&at("created_at", Some(&page))).is_err());
    }

    #[test]
    fn a_count_is_a_number_or_an_error() {
        let count = |body: Value| dwh().count(&Response::json(&body));
        assert_eq!(count(json!({"data": {"count": 1486}})), Ok(1486));
        assert_eq!(count(json!({"data": {"count": "7"}})), Ok(7));
        for body in [
            json!({"data": {}}),
            json!({"data": {"count": -1}}),
            json!({}),
        ] {
            assert!(count(body).is_err());
        }
    }

    #[test]
    fn an_export_names_its_rows_and_fields() {
        let mut dwh = dwh();
        dwh.options.response_parameters = "query { x }".to_owned();
        let request = dwh.request_by_id(&["a".to_owned(), "b".to_owned()]);
        let request = request.unwrap();
        let body: Value = serde_json::from_str(&request.body.unwrap()).unwrap();
        assert_eq!(request.path, "/api/v2/transactions/uids_export");
        assert_eq!(
            body,
            json!({"filter": {"uids": ["a", "b"]}, "response_parameters": "query { x }"})
        );
    }
}
