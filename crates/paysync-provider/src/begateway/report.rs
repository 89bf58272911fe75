//! beGateway's pagination report (API version 3): `POST /api/reports`, the transactions of one shop.
//!
//! Documentation: <https://doc.begateway.com/en/payment_management/reports/>, "Pagination reports API".
//! - A report lists one payment method along one time axis: each pair is a stream.
//! - Rows have no time of change. Older rows are paid, settled and corrected later, so these axes are
//!   change streams.
//! - Pages follow the integer `id`. The documentation describes `count` in two ways, so it never ends a
//!   window.
//! - How to start backwards is not documented: the id to start before is an option.
//! - Whether the bounds are inclusive is not documented: both are widened, by a second or a day.
//! - Requests are in UTC, for settlements in the account's calendar days.

mod item;
mod options;
mod stream;

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use self::options::{DateType, Options};
use self::stream::StreamAxis;
use crate::error::{PageError, RecordError, SettingsError};
use crate::model::{PaymentLinks, Transaction, window};
use crate::protocol::{Checkpoint, Next, Page, Position, Request, Response};
use crate::provider::{Entry, Provider, Settings};
use crate::spec::{Auth, Spec};
use crate::wire::{self, Object, Raw};

/// The report in the table of providers.
pub const ENTRY: Entry = Entry {
    code: "begateway_report",
    build: |settings| Ok(Box::new(Report::new(settings)?)),
};

const SECOND: TimeDelta = TimeDelta::seconds(1);
/// Largest age of a row that is still corrected.
const CORRECTED_WITHIN: TimeDelta = TimeDelta::days(90);

/// One account's settings.
#[derive(Debug)]
struct Report {
    /// Zone of calendar days.
    zone: Tz,
    options: Options,
    axes: Vec<StreamAxis>,
}

impl Report {
    fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let options = Options::read(settings)?;
        let dates = options.date_types.iter().copied().map(StreamAxis::Date);
        let corrected = options.manual_corrections;
        let corrections = corrected.then_some(StreamAxis::Corrections);
        Ok(Self {
            zone: settings.time_zone,
            axes: dates.chain(corrections).collect(),
            options,
        })
    }

    /// A stream's axis and payment method.
    fn stream(&self, name: &str) -> Result<(StreamAxis, &str), PageError> {
        let found = name.split_once('/').and_then(|(axis, method)| {
            let axis = self.axes.iter().find(|known| known.name() == axis)?;
            let mut methods = self.options.payment_method_types.iter();
            let method = methods.find(|known| *known == method)?;
            Some((*axis, method.as_str()))
        });
        found.ok_or(PageError::Position("no such stream"))
    }
}

impl Provider for Report {
    fn spec(&self) -> Spec {
        let methods = &self.options.payment_method_types;
        let axes = self.axes.iter();
        let streams = axes.flat_map(|axis| methods.iter().map(|it| axis.stream(it, self.zone)));
        Spec {
            code: ENTRY.code,
            documentation: "https://doc.begateway.com/en/payment_management/reports/",
            streams: streams.collect(),
            auth: Auth::Basic {
                user: "shop_id",
                password: "secret_key",
            },
            credentials: &["shop_id", "secret_key"],
            optional_credentials: &[],
            // The API has no parameter for it. Windows are planned for about four pages, the thousand
            // rows up to which the documentation recommends the one-day report.
            page_size: 250,
            max_page_size: 1000,
            requests_per_minute: 60,
            timeout: Duration::from_mins(1),
            retry_after_floor: Duration::from_secs(1),
            by_id: None,
            id_key: "uid",
            payment_links: PaymentLinks {
                parent: true,
                group: true,
            },
            redaction: item::REDACTION,
        }
    }

    fn request(&self, at: &Position<'_>) -> Result<Request, PageError> {
        let (axis, method) = self.stream(at.stream)?;
        let start = window::floor(at.window.start(), SECOND) - SECOND;
        let end = window::ceil(at.window.end(), SECOND) + SECOND;
        let (date_type, from, to) = match axis {
            StreamAxis::Date(DateType::Settled) => {
                let (first, last) = self.days(at);
                (DateType::Settled, first.to_string(), last.to_string())
            }
            StreamAxis::Date(date_type) => (date_type, time(start), time(end)),
            StreamAxis::Corrections => {
                (DateType::Created, time(start - CORRECTED_WITHIN), time(end))
            }
        };
        let corrected = (axis == StreamAxis::Corrections).then(|| (time(start), time(end)));
        let (correction_from, correction_to) = corrected.unzip();
        let (after, before) = match at.checkpoint {
            None => (None, None),
            Some(Checkpoint::Object { last_object_id: id }) => {
                (Some(id.as_str()).filter(|id| !id.is_empty()), None)
            }
            Some(Checkpoint::ObjectBefore {
                first_object_id, ..
            }) => (None, Some(first_object_id.as_str())),
            Some(_) => return Err(PageError::Position("not an object's id")),
        };
        let body = Body {
            report_params: Params {
                date_type: date_type.as_str(),
                from,
                to,
                status: &self.options.status,
                payment_method_type: method,
                time_zone: match date_type {
                    DateType::Settled => self.zone.name(),
                    DateType::Created | DateType::Paid => "UTC",
                },
                starting_after: after,
                ending_before: before,
                manual_correction_from: correction_from,
                manual_correction_to: correction_to,
            },
        };
        Ok(Request::post("/api/reports", &body)?.header("X-Api-Version", "3"))
    }

    fn page<'r>(&self, at: &Position<'_>, response: &'r Response) -> Result<Page<'r>, PageError> {
        let envelope: Envelope<'_> = wire::envelope(response)?;
        let items = wire::items(envelope.transactions, "transactions")?;
        let more = wire::flag(envelope.has_more).ok_or(PageError::Missing("has_more"))?;
        let (first, last) = (envelope.first_object_id, envelope.last_object_id);
        Ok(Page {
            items,
            next: next(at, more, wire::text(first), wire::text(last))?,
            count: wire::text(envelope.count).and_then(|count| count.parse().ok()),
        })
    }

    fn backfill_start(&self) -> Option<Checkpoint> {
        Some(Checkpoint::ObjectBefore {
            first_object_id: self.options.backfill_before?.to_string(),
            highest_id: None,
        })
    }

    fn normalize(&self, item: &str) -> Result<Transaction, RecordError> {
        item::normalize(item, self.zone)
    }

    fn error_message(&self, body: &Object<'_>) -> Option<String> {
        super::message(body)
    }
}

impl Report {
    /// The first and last calendar day that a window overlaps, widened by a day at either end.
    fn days(&self, at: &Position<'_>) -> (NaiveDate, NaiveDate) {
        let day = |instant: DateTime<Utc>| instant.with_timezone(&self.zone).date_naive();
        let first = day(at.window.start());
        let last = day(at.window.end() - TimeDelta::microseconds(1));
        (
            first.checked_sub_days(Days::new(1)).unwrap_or(first),
            last.checked_add_days(Days::new(1)).unwrap_or(last),
        )
    }
}

/// Where the next page starts, in the direction of this one. Paging backwards reverses at its end and
/// reads the rows above its first page, so that no row is lost if the configured start id was too low.
fn next(
    at: &Position<'_>,
    more: bool,
    first: Option<String>,
    last: Option<String>,
) -> Result<Next, PageError> {
    const NO_ID: PageError =
        PageError::Cursor("has_more is true, but there is no object id to continue from");
    let next = match at.checkpoint {
        Some(Checkpoint::ObjectBefore { highest_id, .. }) => {
            let highest_id = highest_id.clone().or(last);
            if !more {
                let last_object_id = highest_id.unwrap_or_default();
                return Ok(Next::Reverse(Checkpoint::Object { last_object_id }));
            }
            Checkpoint::ObjectBefore {
                first_object_id: first.ok_or(NO_ID)?,
                highest_id,
            }
        }
        _ if !more => return Ok(Next::End),
        _ => Checkpoint::Object {
            last_object_id: last.ok_or(NO_ID)?,
        },
    };
    if at.checkpoint.and_then(Checkpoint::object_id) == next.object_id() {
        return Err(PageError::Cursor(
            "has_more is true, but the object id is the one the page started from",
        ));
    }
    Ok(Next::More(next))
}

fn time(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[derive(Serialize)]
struct Body<'a> {
    report_params: Params<'a>,
}

#[derive(Serialize)]
struct Params<'a> {
    date_type: &'static str,
    from: String,
    to: String,
    status: &'a str,
    payment_method_type: &'a str,
    time_zone: &'a str,
    /// Strings, as the documentation's table says; its example answers with integers.
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_before: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manual_correction_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manual_correction_to: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    transactions: Option<wire::Items<'a>>,
    count: Raw<'a>,
    has_more: Raw<'a>,
    first_object_id: Raw<'a>,
    last_object_id: Raw<'a>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Window;

    fn report(time_zone: Tz) -> Report {
        Report::new(&Settings {
            time_zone,
            options: json!({"payment_method_types": ["credit_card", "alternative"]}),
        })
        .unwrap()
    }

    fn at<'a>(stream: &'a str, checkpoint: Option<&'a Checkpoint>) -> Position<'a> {
        let instant = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        Position {
            stream,
            window: Window::new(instant(1_704_067_200), instant(1_704_153_600)).unwrap(),
            checkpoint,
            page_size: 250,
        }
    }

    fn params(report: &Report, at: &Position<'_>) -> Value {
        let request = report.request(at).unwrap();
        assert_eq!(request.headers, [("X-Api-Version", "3".to_owned())]);
        let body: Value = serde_json::from_str(&request.body.unwrap()).unwrap();
        body["report_params"].clone()
    }

    fn page(at: &Position<'_>, body: &Value) -> Result<(Next, Option<u64>), PageError> {
        report(Tz::UTC)
            .page(at, &Response::json(body))
            .map(|page| (page.next, page.count))
    }

    fn after(id: &str) -> Checkpoint {
        Checkpoint::Object {
            last_object_id: id.to_owned(),
        }
    }

    #[test]
    fn both_bounds_are_widened_by_a_second() {
        assert_eq!(
            params(&report(Tz::UTC), &at("paid_at/alternative", None)),
            json!({
                "date_type": "paid_at",
                "from": "2023-12-31 23:59:59",
                "to": "2024-01-02 00:00:01",
                "status": "all",
                "payment_method_type": "alternative",
                "time_zone": "UTC",
            })
        );
    }

    #[test]
    fn settlements_are_requested_by_the_accounts_days() {
        let days = |zone| {
            let params = params(&report(zone), &at("settled_at/credit_card", None));
            ["from", "to", "time_zone"].map(|key| params[key].as_str().unwrap().to_owned())
        };
        assert_eq!(days(Tz::UTC), ["2023-12-31", "2024-01-02", "UTC"]);
        // The UTC day overlaps two days there.
        assert_eq!(
            days(chrono_tz::Europe::Minsk),
            ["2023-12-31", "2024-01-03", "Europe/Minsk"]
        );
    }

    #[test]
    fn corrections_are_requested_in_rows_of_ninety_days() {
        let params = params(
            &report(Tz::UTC),
            &at("manually_corrected_at/credit_card", None),
        );
        assert_eq!(params["date_type"], "created_at");
        assert_eq!(params["from"], "2023-10-02 23:59:59");
        assert_eq!(params["to"], "2024-01-02 00:00:01");
        assert_eq!(params["manual_correction_from"], "2023-12-31 23:59:59");
        assert_eq!(params["manual_correction_to"], "2024-01-02 00:00:01");
    }

    #[test]
    fn pages_follow_in_either_direction() {
        let body = json!({
            "transactions": [{}], "has_more": true, "count": 7, "first_object_id": 28_860, "last_object_id": "28861",
        });
        let stream = "created_at/credit_card";
        let next = Next::More(after("28861"));
        assert_eq!(page(&at(stream, None), &body), Ok((next, Some(7))));
        let start = after("28859");
        let sent = params(&report(Tz::UTC), &at(stream, Some(&start)));
        assert_eq!(sent["starting_after"], "28859");
        assert_eq!(sent.get("ending_before"), None);

        let start = Checkpoint::ObjectBefore {
            first_object_id: "28900".to_owned(),
            highest_id: Some("28899".to_owned()),
        };
        let sent = params(&report(Tz::UTC), &at(stream, Some(&start)));
        assert_eq!(sent["ending_before"], "28900");
        assert_eq!(sent.get("starting_after"), None);
        let (Next::More(before), _) = page(&at(stream, Some(&start)), &body).unwrap() else {
            panic!("no next page");
        };
        let stored = serde_json::to_string(&before).unwrap();
        assert_eq!(
            stored,
            r#"{"first_object_id":"28860","highest_id":"28899"}"#
        );
        assert_eq!(serde_json::from_str::<Checkpoint>(&stored).unwrap(), before);
    }

    #[test]
    fn the_backfill_may_page_backwards() {
        assert_eq!(report(Tz::UTC).backfill_start(), None);
        let report = Report::new(&Settings {
            time_zone: Tz::UTC,
            options: json!({"backfill_before": 30_000}),
        })
        .unwrap();
        let start = report.backfill_start().unwrap();
        let stream = "created_at/credit_card";
        let sent = params(&report, &at(stream, Some(&start)));
        assert_eq!(sent["ending_before"], "30000");

        // At its end it reads the rows above its first page.
        let page = |checkpoint: &Checkpoint, more: bool, ids: Option<(u64, u64)>| {
            let body = json!({
                "transactions": [], "has_more": more, "first_object_id": ids.map(|ids| ids.0), "last_object_id": ids.map(|ids| ids.1),
            });
            page(&at(stream, Some(checkpoint)), &body).unwrap().0
        };
        let Next::More(second) = page(&start, true, Some((20, 29))) else {
            panic!("no second page");
        };
        let stored = serde_json::to_string(&second).unwrap();
        assert_eq!(stored, r#"{"first_object_id":"20","highest_id":"29"}"#);
        assert_eq!(serde_json::from_str::<Checkpoint>(&stored).unwrap(), second);
        assert_eq!(
            page(&second, false, Some((10, 19))),
            Next::Reverse(after("29"))
        );
        assert_eq!(page(&start, false, None), Next::Reverse(after("")));
        let sent = params(&report, &at(stream, Some(&after(""))));
        assert_eq!(sent.get("starting_after"), None);
    }

    #[test]
    fn a_cursor_that_does_not_advance_is_an_error() {
        let stream = "created_at/credit_card";
        let body =
            |last: Value| json!({"transactions": [{}], "has_more": true, "last_object_id": last});
        let start = after("28861");
        for last in [Value::Null, json!(""), json!(28_861), json!("28861")] {
            let outcome = page(&at(stream, Some(&start)), &body(last));
            assert!(matches!(outcome, Err(PageError::Cursor(_))), "{outcome:?}");
        }
        let silent = json!({"transactions": [], "last_object_id": 1});
        assert_eq!(
            page(&at(stream, None), &silent),
            Err(PageError::Missing("has_more"))
        );
    }

    #[test]
    fn a_count_does_not_end_a_window() {
        let stream = "created_at/credit_card";
        let body = json!({"transactions": [{}], "has_more": true, "count": 1, "last_object_id": 5});
        assert_eq!(
            page(&at(stream, None), &body),
            Ok((Next::More(after("5")), Some(1)))
        );
        let body = json!({"transactions": [{}], "has_more": false, "count": "many"});
        assert_eq!(page(&at(stream, None), &body), Ok((Next::End, None)));
    }

    #[test]
    fn streams_are_pairs_of_axis_and_method() {
        let names: Vec<String> = report(Tz::UTC)
            .spec()
            .streams
            .into_iter()
            .map(|stream| stream.name)
            .collect();
        assert_eq!(
            names,
            [
                "created_at/credit_card",
                "created_at/alternative",
                "paid_at/credit_card",
                "paid_at/alternative",
                "settled_at/credit_card",
                "settled_at/alternative",
                "manually_corrected_at/credit_card",
                "manually_corrected_at/alternative",
            ]
        );
        for unknown in ["created_at", "created_at/erip", "updated_at/credit_card"] {
            assert!(report(Tz::UTC).request(&at(unknown, None)).is_err());
        }
        let page = Checkpoint::Page {
            page: 2,
            size: None,
        };
        let at = at("created_at/credit_card", Some(&page));
        assert!(report(Tz::UTC).request(&at).is_err());
    }
}
