//! beGateway's pagination report (`POST /api/reports`, API version 3), from the provider's side.
//!
//! Pages go by the integer `id`, ascending, `starting_after` and `ending_before` exclusive.
//! `from` and `to` are both inclusive in whole seconds, or days for `settled_at`. Undocumented
//! and chosen here: the page holds 250 rows, `count` is the report's total, and
//! `manual_correction_*` narrows the report.

use std::ops::Range;

use axum::http::Method;
use chrono::{NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::begateway_dwh::item::status;
use super::credentials::{REPORT_SECRET_KEY, REPORT_SHOP_ID};
use super::exchange::{Answer, Call, is_credential};
use super::facts;
use super::json::Json;
use super::kept::Kept;
use super::settings::Settings;
use super::world::{Axis, Row, World};

pub(crate) mod item;

const PATH: &str = "/api/reports";
const PAGE: usize = 250;
const PARAMETERS: &[&str] = &[
    "date_type",
    "from",
    "to",
    "status",
    "payment_method_type",
    "time_zone",
    "starting_after",
    "ending_before",
    "manual_correction_from",
    "manual_correction_to",
];

pub(crate) fn answer(world: &World, kept: &mut Kept, settings: &Settings, call: &Call) -> Answer {
    match report(world, kept, settings, call) {
        Ok(answer) | Err(answer) => answer,
    }
}

fn report(
    world: &World,
    kept: &mut Kept,
    settings: &Settings,
    call: &Call,
) -> Result<Answer, Answer> {
    let body = admit(call)?;
    let request = Request::read(&body)?;
    let mut found: Vec<usize> = world
        .between(request.axis, request.span.clone())
        .filter(|&place| world.row(place).is_some_and(|row| request.admits(row)))
        .collect();
    found.sort_unstable();
    let count = found.len();
    let number = |place: &usize| world.row(*place).map_or(0, item::number);
    let cap = settings.page_cap.and_then(|cap| usize::try_from(cap).ok());
    let size = PAGE.min(cap.unwrap_or(PAGE));
    let has_more;
    let page: Vec<usize> = if let Some(before) = request.before {
        found.retain(|place| number(place) < before);
        has_more = found.len() > size;
        found.split_off(found.len().saturating_sub(size))
    } else {
        found.retain(|place| request.after.is_none_or(|after| number(place) > after));
        has_more = found.len() > size;
        found.truncate(size);
        found
    };
    let mut json = Json::new();
    json.open('{');
    json.open_at("transactions", '[');
    kept.list(&mut json, world, &page, |json, row| {
        item::write(json, world, row);
    });
    json.close(']');
    json.number("count", count);
    json.flag("has_more", has_more);
    for (name, place) in [
        ("first_object_id", page.first()),
        ("last_object_id", page.last()),
    ] {
        match place {
            Some(place) => json.number(name, number(place)),
            None => json.null(name),
        }
    }
    json.close('}');
    Ok(Answer::page(json.finish(), page))
}

fn admit(call: &Call) -> Result<Map<String, Value>, Answer> {
    if call.path != PATH {
        return Err(refuse(404, "path", "Not found"));
    }
    if call.method != Method::POST {
        return Err(refuse(405, "method", "Method is not allowed"));
    }
    let allowed = call.basic().is_some_and(|(user, secret)| {
        is_credential(&user, REPORT_SHOP_ID) && secret == REPORT_SECRET_KEY
    });
    if !allowed {
        return Err(refuse(401, "credentials", "Unauthorized"));
    }
    let version = call.headers.get("x-api-version");
    if version.is_none_or(|version| version != "3") {
        return Err(refuse(422, "version", "X-Api-Version must be 3"));
    }
    if !call.sends_json() {
        return Err(refuse(
            415,
            "content type",
            "Content-Type must be application/json",
        ));
    }
    match serde_json::from_slice(&call.body) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(refuse(422, "body", "The body must be a JSON object")),
    }
}

/// A checked request; times are microseconds, spans half open.
struct Request {
    axis: Axis,
    span: Range<i64>,
    corrected: Option<Range<i64>>,
    status: Option<String>,
    method: String,
    after: Option<u64>,
    before: Option<u64>,
}

impl Request {
    fn read(body: &Map<String, Value>) -> Result<Self, Answer> {
        if let Some(name) = body.keys().find(|key| *key != "report_params") {
            return Err(bad("unknown parameter", name));
        }
        let params = body
            .get("report_params")
            .and_then(Value::as_object)
            .ok_or_else(|| bad("missing parameter", "report_params"))?;
        if let Some(name) = params
            .keys()
            .find(|key| !PARAMETERS.contains(&key.as_str()))
        {
            return Err(bad("unknown parameter", name));
        }
        let zone: Tz = required(params, "time_zone")?
            .parse()
            .map_err(|_| bad("time zone", "time_zone"))?;
        let axis = match required(params, "date_type")? {
            "created_at" => Axis::Created,
            "paid_at" => Axis::Paid,
            "settled_at" => Axis::Settled,
            _ => return Err(bad("date type", "date_type")),
        };
        let span = if axis == Axis::Settled {
            let end = day(params, "to", zone)?.end;
            day(params, "from", zone)?.start..end
        } else {
            let end = second(params, "to", zone)?.end;
            second(params, "from", zone)?.start..end
        };
        if span.end <= span.start {
            return Err(bad("date range", "to"));
        }
        let status = match required(params, "status")? {
            "all" => None,
            status @ ("successful" | "failed" | "pending" | "incomplete") => {
                Some(status.to_owned())
            }
            _ => return Err(bad("status", "status")),
        };
        let method = match required(params, "payment_method_type")? {
            method @ ("credit_card" | "alternative") => method.to_owned(),
            _ => return Err(bad("payment method type", "payment_method_type")),
        };
        let correction = ["manual_correction_from", "manual_correction_to"];
        let corrected = if correction.iter().any(|name| params.contains_key(*name)) {
            let end = second(params, "manual_correction_to", zone)?.end;
            Some(second(params, "manual_correction_from", zone)?.start..end)
        } else {
            None
        };
        Ok(Self {
            axis,
            span,
            corrected,
            status,
            method,
            after: cursor(params, "starting_after")?,
            before: cursor(params, "ending_before")?,
        })
    }

    fn admits(&self, row: &Row) -> bool {
        self.status
            .as_ref()
            .is_none_or(|wanted| wanted == status(row))
            && self.corrected.as_ref().is_none_or(|span| {
                row.corrected
                    .is_some_and(|corrected| span.contains(&corrected))
            })
            && item::method_name(facts::has_account(row)) == self.method
    }
}

fn required<'a>(params: &'a Map<String, Value>, name: &str) -> Result<&'a str, Answer> {
    params
        .get(name)
        .ok_or_else(|| bad("missing parameter", name))?
        .as_str()
        .ok_or_else(|| bad("parameter type", name))
}

/// The second that is named, as a span.
fn second(params: &Map<String, Value>, name: &str, zone: Tz) -> Result<Range<i64>, Answer> {
    let text = required(params, name)?;
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
        .ok()
        .filter(|_| text.len() == 19)
        .and_then(|naive| span(naive, TimeDelta::seconds(1), zone))
        .ok_or_else(|| bad("time format", name))
}

/// The day that is named, as a span.
fn day(params: &Map<String, Value>, name: &str, zone: Tz) -> Result<Range<i64>, Answer> {
    let text = required(params, name)?;
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .filter(|_| text.len() == 10)
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .and_then(|naive| span(naive, TimeDelta::days(1), zone))
        .ok_or_else(|| bad("time format", name))
}

fn span(start: NaiveDateTime, length: TimeDelta, zone: Tz) -> Option<Range<i64>> {
    let end = start.checked_add_signed(length)?;
    let micros = |naive: NaiveDateTime| {
        // Where clocks are set ahead at midnight, the day begins later.
        let time = (0..=4).find_map(|quarter| {
            let later = naive.checked_add_signed(TimeDelta::minutes(15 * quarter))?;
            zone.from_local_datetime(&later).earliest()
        })?;
        Some(time.timestamp_micros())
    };
    Some(micros(start)?..micros(end)?)
}

/// An object id: the table says string, the example has integers.
fn cursor(params: &Map<String, Value>, name: &str) -> Result<Option<u64>, Answer> {
    match params.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .map(Some)
            .ok_or_else(|| bad("cursor", name)),
    }
}

fn bad(why: &'static str, name: &str) -> Answer {
    let mut json = Json::new();
    json.open('{');
    json.open_at("response", '{');
    json.text("message", &format!("{name} is invalid"));
    json.open_at("errors", '{');
    json.open_at(name, '[');
    json.close(']');
    json.close('}');
    json.close('}');
    json.close('}');
    Answer::refusal(422, why, json.finish())
}

fn refuse(status: u16, why: &'static str, message: &str) -> Answer {
    let mut json = Json::new();
    json.open('{');
    json.open_at("response", '{');
    json.text("message", message);
    json.close('}');
    json.close('}');
    Answer::refusal(status, why, json.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::Method;
    use serde_json::{Value, json};

    use super::super::desk::Desk;
    use super::super::exchange::{Answer, Call};
    use super::super::settings::{Provider, Settings};

    fn call(body: &Value) -> Call {
        let mut call = Call::test(Method::POST, super::PATH, &body.to_string());
        call.set_basic("363", "secret_key");
        call.headers.insert("x-api-version", "3".parse().unwrap());
        call
    }

    fn params(method: &str) -> Value {
        json!({"report_params": {
            "date_type": "created_at",
            "from": "2026-01-01 00:00:00",
            "to": "2026-03-01 12:00:00",
            "status": "all",
            "payment_method_type": method,
            "time_zone": "UTC",
        }})
    }

    fn ids(answer: &Answer) -> Vec<u64> {
        let value = answer.value();
        let rows = value["transactions"].as_array().unwrap();
        rows.iter().map(|row| row["id"].as_u64().unwrap()).collect()
    }

    #[test]
    fn a_walk_forwards_and_backwards_meets_every_row_once() {
        let settings = Settings {
            burst: 300,
            ..Settings::for_tests()
        };
        let mut desk = Desk::new(Provider::BegatewayReport, &settings);
        let mut seen = BTreeSet::new();
        let mut count = 0;
        for method in ["credit_card", "alternative"] {
            for (cursor, end) in [
                ("starting_after", "last_object_id"),
                ("ending_before", "first_object_id"),
            ] {
                let mut request = params(method);
                if cursor == "ending_before" {
                    request["report_params"][cursor] = u64::MAX.into();
                }
                let mut all = Vec::new();
                loop {
                    let answer = desk.answer(&settings, &call(&request));
                    let value = answer.value();
                    let page = ids(&answer);
                    assert!(page.is_sorted());
                    assert_eq!(value["first_object_id"], page[0]);
                    all.extend(page);
                    if value["has_more"] == false {
                        assert_eq!(value["count"], all.len());
                        break;
                    }
                    assert_ne!(
                        value["count"],
                        value["transactions"].as_array().unwrap().len()
                    );
                    // As the table says: text.
                    request["report_params"][cursor] = value[end].to_string().into();
                }
                count += all.len();
                seen.extend(all);
            }
        }
        assert_eq!((count, seen.len()), (2_000, 1_000));
    }

    #[test]
    fn the_ledger_agrees_with_the_items() {
        let settings = Settings::for_tests();
        let mut desk = Desk::new(Provider::BegatewayReport, &settings);
        let value = desk
            .answer(&settings, &call(&params("credit_card")))
            .value();
        let ledger = desk.ledger(0, usize::MAX);
        let mut parents = 0;
        for item in value["transactions"].as_array().unwrap() {
            let line = ledger
                .iter()
                .find(|line| item["uid"] == line.provider_transaction_id.as_str())
                .unwrap();
            assert_eq!(
                item["parent_uid"].as_str(),
                line.parent_transaction_id.as_deref()
            );
            parents += usize::from(line.parent_transaction_id.is_some());
            assert_eq!(
                item["order_id"].to_string(),
                line.payment_group_id.as_deref().unwrap()
            );
            assert_eq!(item["payment"]["rrn"].as_str(), line.rrn.as_deref());
            let paid = item["paid_at"]
                .as_str()
                .map(|time| time.replace('Z', ".000000Z"));
            assert_eq!(paid, line.paid_at);
        }
        assert!(parents > 5);
    }

    #[test]
    fn days_of_settlement_are_inclusive() {
        let settings = Settings::for_tests();
        let mut desk = Desk::new(Provider::BegatewayReport, &settings);
        let mut request = params("credit_card");
        request["report_params"]["date_type"] = "settled_at".into();
        request["report_params"]["from"] = "2026-02-10".into();
        request["report_params"]["to"] = "2026-02-10".into();
        let answer = desk.answer(&settings, &call(&request));
        let expected = desk
            .ledger(0, usize::MAX)
            .into_iter()
            .filter(|line| {
                line.payment_method.as_deref() == Some("credit_card")
                    && line
                        .settled_at
                        .as_ref()
                        .is_some_and(|at| at.starts_with("2026-02-10"))
            })
            .count();
        assert!(expected > 0);
        assert_eq!(ids(&answer).len(), expected);
    }

    #[test]
    fn what_the_page_forbids_is_refused() {
        let settings = Settings::for_tests();
        let mut desk = Desk::new(Provider::BegatewayReport, &settings);
        for (name, value, why) in [
            ("from", json!("2026-01-01"), "time format"),
            ("to", json!("2026-01-01T00:00:00"), "time format"),
            ("to", json!("2025-01-01 00:00:00"), "date range"),
            ("date_type", json!("updated_at"), "date type"),
            ("status", json!("error"), "status"),
            ("payment_method_type", json!("all"), "payment method type"),
            ("time_zone", json!("Nowhere"), "time zone"),
            ("starting_after", json!("abc"), "cursor"),
            ("limit", json!(5), "unknown parameter"),
        ] {
            let mut request = params("credit_card");
            request["report_params"][name] = value;
            let answer = desk.answer(&settings, &call(&request));
            assert_eq!((answer.status, answer.refused), (422, Some(why)), "{name}");
        }
        let mut request = call(&params("credit_card"));
        request.headers.remove("x-api-version");
        assert_eq!(desk.answer(&settings, &request).refused, Some("version"));
        request.set_basic("363", "wrong");
        assert_eq!(desk.answer(&settings, &request).status, 401);
    }
}
