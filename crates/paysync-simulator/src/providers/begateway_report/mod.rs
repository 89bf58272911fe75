//! beGateway's pagination report (`POST /api/reports`, API version 3).
//!
//! Pages follow the integer `id`, ascending; `starting_after` and `ending_before` are exclusive. `from` and
//! `to` are inclusive in whole seconds, or days for `settled_at`. Not documented, chosen here: a page has
//! 250 rows, `count` is the report's total, and `manual_correction_*` restricts the report.

use std::ops::Range;

use axum::http::Method;
use chrono::{NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use crate::credentials::{REPORT_SECRET_KEY, REPORT_SHOP_ID};
use crate::merchants::details;
use crate::merchants::row::{Axis, Row};
use crate::merchants::table::Table;
use crate::providers::begateway_dwh::item::status;
use crate::providers::json::Json;
use crate::providers::protocol::{Answer, Call, is_credential};
use crate::providers::row_cache::RowCache;
use crate::settings::Settings;

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

/// The answer to a call; a refusal is an error.
pub(crate) fn answer(
    table: &Table,
    cache: &mut RowCache,
    settings: &Settings,
    call: &Call,
) -> Result<Answer, Answer> {
    let body = check(call)?;
    let request = Request::read(&body)?;
    let mut found: Vec<usize> = table
        .between(request.axis, request.span.clone())
        .filter(|&position| table.row(position).is_some_and(|row| request.matches(row)))
        .collect();
    found.sort_unstable();
    let count = found.len();
    let number = |position: &usize| table.row(*position).map_or(0, item::number);
    let size = settings.page_limit(PAGE);
    let has_more;
    let page: Vec<usize> = if let Some(before) = request.before {
        found.retain(|position| number(position) < before);
        has_more = found.len() > size;
        found.split_off(found.len().saturating_sub(size))
    } else {
        found.retain(|position| request.after.is_none_or(|after| number(position) > after));
        has_more = found.len() > size;
        found.truncate(size);
        found
    };
    let mut json = Json::new();
    json.open('{');
    json.open_at("transactions", '[');
    cache.write_rows(&mut json, table, &page, |json, row| {
        item::write(json, table, row);
    });
    json.close(']');
    json.number("count", count);
    json.flag("has_more", has_more);
    for (name, position) in [
        ("first_object_id", page.first()),
        ("last_object_id", page.last()),
    ] {
        match position {
            Some(position) => json.number(name, number(position)),
            None => json.null(name),
        }
    }
    json.close('}');
    Ok(Answer::page(json.finish(), page))
}

fn check(call: &Call) -> Result<Map<String, Value>, Answer> {
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

/// A valid request; times are microseconds, spans half-open.
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
            return Err(invalid("unknown parameter", name));
        }
        let params = body
            .get("report_params")
            .and_then(Value::as_object)
            .ok_or_else(|| invalid("missing parameter", "report_params"))?;
        if let Some(name) = params
            .keys()
            .find(|key| !PARAMETERS.contains(&key.as_str()))
        {
            return Err(invalid("unknown parameter", name));
        }
        let zone: Tz = required(params, "time_zone")?
            .parse()
            .map_err(|_| invalid("time zone", "time_zone"))?;
        let axis = match required(params, "date_type")? {
            "created_at" => Axis::Created,
            "paid_at" => Axis::Paid,
            "settled_at" => Axis::Settled,
            _ => return Err(invalid("date type", "date_type")),
        };
        let span = if axis == Axis::Settled {
            let end = day(params, "to", zone)?.end;
            day(params, "from", zone)?.start..end
        } else {
            let end = second(params, "to", zone)?.end;
            second(params, "from", zone)?.start..end
        };
        if span.end <= span.start {
            return Err(invalid("date range", "to"));
        }
        let status = match required(params, "status")? {
            "all" => None,
            status @ ("successful" | "failed" | "pending" | "incomplete") => {
                Some(status.to_owned())
            }
            _ => return Err(invalid("status", "status")),
        };
        let method = match required(params, "payment_method_type")? {
            method @ ("credit_card" | "alternative") => method.to_owned(),
            _ => return Err(invalid("payment method type", "payment_method_type")),
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

    fn matches(&self, row: &Row) -> bool {
        self.status
            .as_ref()
            .is_none_or(|wanted| wanted == status(row))
            && self.corrected.as_ref().is_none_or(|span| {
                row.corrected
                    .is_some_and(|corrected| span.contains(&corrected))
            })
            && item::method_name(details::has_account(row)) == self.method
    }
}

fn required<'a>(params: &'a Map<String, Value>, name: &str) -> Result<&'a str, Answer> {
    params
        .get(name)
        .ok_or_else(|| invalid("missing parameter", name))?
        .as_str()
        .ok_or_else(|| invalid("parameter type", name))
}

/// The span of a second.
fn second(params: &Map<String, Value>, name: &str, zone: Tz) -> Result<Range<i64>, Answer> {
    let text = required(params, name)?;
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
        .ok()
        .filter(|_| text.len() == 19)
        .and_then(|naive| span(naive, TimeDelta::seconds(1), zone))
        .ok_or_else(|| invalid("time format", name))
}

/// The span of a day.
fn day(params: &Map<String, Value>, name: &str, zone: Tz) -> Result<Range<i64>, Answer> {
    let text = required(params, name)?;
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .filter(|_| text.len() == 10)
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .and_then(|naive| span(naive, TimeDelta::days(1), zone))
        .ok_or_else(|| invalid("time format", name))
}

fn span(start: NaiveDateTime, length: TimeDelta, zone: Tz) -> Option<Range<i64>> {
    let end = start.checked_add_signed(length)?;
    let micros = |naive: NaiveDateTime| {
        // Where clocks are set forward at midnight, the day starts later.
        let time = (0..=4).find_map(|quarter| {
            let later = naive.checked_add_signed(TimeDelta::minutes(15 * quarter))?;
            zone.from_local_datetime(&later).earliest()
        })?;
        Some(time.timestamp_micros())
    };
    Some(micros(start)?..micros(end)?)
}

/// An object id: a string in the documentation's table, an integer in its example.
fn cursor(params: &Map<String, Value>, name: &str) -> Result<Option<u64>, Answer> {
    match params.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .map(Some)
            .ok_or_else(|| invalid("cursor", name)),
    }
}

fn invalid(why: &'static str, name: &str) -> Answer {
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

    use crate::provider_state::ProviderState;
    use crate::providers::protocol::{Answer, Call};
    use crate::settings::{Provider, Settings};

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
    fn paging_forwards_and_backwards_lists_every_row_once() {
        let settings = Settings {
            burst: 300,
            ..Settings::for_tests()
        };
        let mut state = ProviderState::new(Provider::BegatewayReport, &settings);
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
                    let answer = state.answer(&settings, &call(&request));
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
                    // A string, as in the documentation's table.
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
        let mut state = ProviderState::new(Provider::BegatewayReport, &settings);
        let value = state
            .answer(&settings, &call(&params("credit_card")))
            .value();
        let ledger = state.ledger(0, usize::MAX);
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
        let mut state = ProviderState::new(Provider::BegatewayReport, &settings);
        let mut request = params("credit_card");
        request["report_params"]["date_type"] = "settled_at".into();
        request["report_params"]["from"] = "2026-02-10".into();
        request["report_params"]["to"] = "2026-02-10".into();
        let answer = state.answer(&settings, &call(&request));
        let expected = state
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
    fn invalid_requests_are_refused() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::BegatewayReport, &settings);
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
            let answer = state.answer(&settings, &call(&request));
            assert_eq!((answer.status, answer.refused), (422, Some(why)), "{name}");
        }
        let mut request = call(&params("credit_card"));
        request.headers.remove("x-api-version");
        assert_eq!(state.answer(&settings, &request).refused, Some("version"));
        request.set_basic("363", "wrong");
        assert_eq!(state.answer(&settings, &request).status, 401);
    }
}
