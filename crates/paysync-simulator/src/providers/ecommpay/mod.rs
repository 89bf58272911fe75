//! ECommPay's `POST /v1/operations/get`.
//!
//! Requests and answers are signed, refusals are not. The interval filters by the time of the last update,
//! with inclusive bounds in whole seconds. The order is newest update first, with rows of the same second
//! in another order in every request. Neither is documented.

use std::sync::Arc;

use axum::http::Method;
use chrono::{NaiveDateTime, TimeZone as _};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use crate::credentials::{ECOMMPAY_SECRET, ECOMMPAY_TOKEN};
use crate::merchants::details::Details;
use crate::merchants::row::{Axis, Row};
use crate::merchants::table::Table;
use crate::providers::json::Json;
use crate::providers::paging;
use crate::providers::protocol::{Answer, Call, is_credential};
use crate::providers::row_cache::{RenderedRow, RowCache};
use crate::settings::Settings;
use signature::Order;

pub(crate) mod item;
mod signature;

const PATH: &str = "/v1/operations/get";
const PARAMETERS: &[&str] = &[
    "token",
    "signature",
    "project_id",
    "interval",
    "tz",
    "limit",
    "offset",
    "operation_type",
    "operation_status",
    "customer_id",
    "customer_email",
    "fields",
];
/// Projects that the token has access to.
const PROJECTS: std::ops::RangeInclusive<u64> = 360..=369;
const SECOND: i64 = 1_000_000;

/// The credential that a request counts for: the token in its body.
pub(crate) fn credential(body: &[u8]) -> String {
    serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|body| Some(body.get("token")?.as_str()?.to_owned()))
        .unwrap_or_default()
}

/// The answer to a call; a refusal is an error.
pub(crate) fn answer(
    table: &Table,
    cache: &mut RowCache,
    settings: &Settings,
    call: &Call,
) -> Result<Answer, Answer> {
    let body = check(settings, call)?;
    let request = Request::read(&body)?;
    let limit = settings.page_limit(request.limit);
    let updated = table
        .between(Axis::Updated, request.from..request.end)
        .rev()
        .filter(|&position| table.row(position).is_some_and(|row| request.matches(row)));
    let window = (request.offset, limit);
    let positions = paging::newest(table, Axis::Updated, updated, call.number, window);
    let mut json = Json::new();
    json.open('{');
    json.open_at("operations", '[');
    let order = Order::of(settings);
    cache.set_format(format!("{:?} {:?}", request.zone, request.fields));
    let rows: Vec<Arc<RenderedRow>> = positions
        .iter()
        .filter_map(|&position| Some((position, table.row(position)?)))
        .map(|(position, row)| {
            cache.get_or_render(position, row, || {
                let mut json = Json::new();
                item::write(&mut json, row, request.zone, &request.fields);
                let json = json.finish();
                let signed = order.lines_of_item(&json);
                RenderedRow { json, signed }
            })
        })
        .collect();
    json.reserve(
        rows.iter()
            .map(|row| row.json.len().saturating_add(1))
            .sum(),
    );
    for row in &rows {
        json.element(&row.json);
    }
    json.close(']');
    let signed = rows.iter().map(|row| row.signed.as_str());
    let signature = order.sign_list("operations", signed, ECOMMPAY_SECRET);
    json.text("signature", &signature);
    json.close('}');
    Ok(Answer::page(json.finish(), positions))
}

fn check(settings: &Settings, call: &Call) -> Result<Map<String, Value>, Answer> {
    if call.path != PATH {
        return Err(refuse(404, "path", "Page not found."));
    }
    if call.method != Method::POST {
        return Err(refuse(405, "method", "Method is not allowed"));
    }
    if !call.sends_json() {
        return Err(refuse(400, "content type", "The body must be JSON"));
    }
    if !call.query.is_empty() {
        return Err(refuse(400, "query", "Parameters belong in the body"));
    }
    let Ok(whole @ Value::Object(_)) = serde_json::from_slice(&call.body) else {
        return Err(refuse(400, "body", "Syntax error"));
    };
    let given = |name: &str| whole.get(name).and_then(Value::as_str).unwrap_or_default();
    if !is_credential(given("token"), ECOMMPAY_TOKEN) {
        return Err(refuse(401, "credentials", "Token is invalid"));
    }
    let expected = Order::of(settings).sign(&whole, ECOMMPAY_SECRET);
    if given("signature") != expected {
        return Err(refuse(401, "signature", "Signature is invalid"));
    }
    match whole {
        Value::Object(map) => Ok(map),
        _ => Err(refuse(400, "body", "Syntax error")),
    }
}

/// A valid request; times are microseconds.
struct Request {
    projects: Vec<u64>,
    types: Vec<String>,
    statuses: Vec<String>,
    customers: Vec<String>,
    email: Option<String>,
    from: i64,
    end: i64,
    zone: Tz,
    limit: usize,
    offset: usize,
    fields: Vec<String>,
}

impl Request {
    fn read(body: &Map<String, Value>) -> Result<Self, Answer> {
        if let Some(name) = body.keys().find(|key| !PARAMETERS.contains(&key.as_str())) {
            return Err(invalid("unknown parameter", name));
        }
        let zone: Tz = match body.get("tz") {
            None => Tz::UTC,
            Some(zone) => zone
                .as_str()
                .and_then(|name| name.parse().ok())
                .ok_or_else(|| invalid("time zone", "tz"))?,
        };
        let (from, end) = interval(body, zone)?;
        let fields = texts(body, "fields")?;
        for field in &fields {
            let name = field.split('.').next().unwrap_or_default();
            if !item::ALWAYS.contains(&name) && !item::ON_REQUEST.contains(&name) {
                return Err(invalid("unknown field", field));
            }
        }
        let email = match body.get("customer_email") {
            None => None,
            Some(Value::String(email)) => Some(email.clone()),
            Some(_) => return Err(invalid("parameter type", "customer_email")),
        };
        Ok(Self {
            projects: projects(body)?,
            types: texts(body, "operation_type")?,
            statuses: texts(body, "operation_status")?,
            customers: texts(body, "customer_id")?,
            email,
            from,
            end,
            zone,
            limit: number(body, "limit", 1000, 1000)?,
            offset: number(body, "offset", 0, usize::MAX)?,
            fields,
        })
    }

    fn matches(&self, row: &Row) -> bool {
        let has_filter = !self.projects.is_empty()
            || !self.types.is_empty()
            || !self.statuses.is_empty()
            || !self.customers.is_empty()
            || self.email.is_some();
        if !has_filter {
            return true;
        }
        let details = Details::of(row);
        let among = |wanted: &[String], value: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted == value)
        };
        (self.projects.is_empty() || self.projects.contains(&details.merchant))
            && among(&self.types, item::kind(row))
            && among(&self.statuses, item::status(row))
            && among(
                &self.customers,
                details.customer_id.as_deref().unwrap_or_default(),
            )
            && (self.email.is_none() || self.email == details.email)
    }
}

fn interval(body: &Map<String, Value>, zone: Tz) -> Result<(i64, i64), Answer> {
    let Some(interval) = body.get("interval") else {
        return Ok((i64::MIN, i64::MAX));
    };
    let map = interval
        .as_object()
        .ok_or_else(|| invalid("parameter type", "interval"))?;
    if let Some(name) = map
        .keys()
        .find(|key| !["from", "to"].contains(&key.as_str()))
    {
        return Err(invalid("unknown parameter", name));
    }
    let second = |name: &str| {
        map.get(name)
            .and_then(Value::as_str)
            .filter(|text| text.len() == 19)
            .and_then(|text| {
                NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
                    .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S"))
                    .ok()
            })
            .and_then(|naive| zone.from_local_datetime(&naive).earliest())
            .map(|time| time.timestamp_micros())
            .ok_or_else(|| invalid("time format", name))
    };
    let (from, to) = (second("from")?, second("to")?);
    if to < from {
        return Err(invalid("interval", "interval"));
    }
    Ok((from, to.saturating_add(SECOND)))
}

fn projects(body: &Map<String, Value>) -> Result<Vec<u64>, Answer> {
    let list = match body.get("project_id") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    list.iter()
        .map(|project| {
            let project = project
                .as_u64()
                .ok_or_else(|| invalid("parameter type", "project_id"))?;
            if PROJECTS.contains(&project) {
                Ok(project)
            } else {
                let message = format!("You have no access to project_id = {project}");
                Err(refuse(401, "project", &message))
            }
        })
        .collect()
}

/// One text or a list of them.
fn texts(body: &Map<String, Value>, name: &str) -> Result<Vec<String>, Answer> {
    let list = match body.get(name) {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    list.iter()
        .map(|one| {
            one.as_str()
                .map(str::to_owned)
                .ok_or_else(|| invalid("parameter type", name))
        })
        .collect()
}

fn number(
    body: &Map<String, Value>,
    name: &str,
    default: usize,
    most: usize,
) -> Result<usize, Answer> {
    match body.get(name) {
        None => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| *number <= most)
            .ok_or_else(|| invalid("number out of range", name)),
    }
}

fn invalid(why: &'static str, name: &str) -> Answer {
    refuse(400, why, &format!("{name}: {why}"))
}

fn refuse(status: u16, why: &'static str, message: &str) -> Answer {
    let name = match status {
        400 => "Bad Request",
        401 => "Authorization Required",
        404 => "Not Found",
        _ => "Method Not Allowed",
    };
    let mut json = Json::new();
    json.open('{');
    json.text("name", name);
    json.text("message", message);
    json.number("code", 0);
    json.number("status", status);
    json.close('}');
    Answer::refusal(status, why, json.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::Method;
    use serde_json::{Value, json};

    use super::signature::Order;
    use crate::provider_state::ProviderState;
    use crate::providers::protocol::{Answer, Call};
    use crate::settings::{BetweenPages, Provider, Settings};

    fn send(state: &mut ProviderState, settings: &Settings, body: &Value) -> Answer {
        let mut body = body.clone();
        body["token"] = super::ECOMMPAY_TOKEN.into();
        body["signature"] = Order::Natural.sign(&body, super::ECOMMPAY_SECRET).into();
        let mut call = Call::test(Method::POST, super::PATH, &body.to_string());
        call.number = state.next_request();
        state.answer(settings, &call)
    }

    fn body(offset: usize) -> Value {
        json!({
            "interval": {"from": "2026-01-01 00:00:00", "to": "2026-03-01 11:59:59"},
            "tz": "UTC",
            "limit": 100,
            "offset": offset,
        })
    }

    fn read_all(state: &mut ProviderState, settings: &Settings) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let value = send(state, settings, &body(all.len())).value();
            let rows = value["operations"].as_array().unwrap();
            if rows.is_empty() {
                return all;
            }
            all.extend(
                rows.iter()
                    .map(|row| row["operation_id"].as_str().unwrap().to_owned()),
            );
        }
    }

    #[test]
    fn paging_to_the_empty_page_lists_every_row_once() {
        // Pages are shorter than requested without being the last one.
        let settings = Settings {
            page_cap: Some(70),
            ..Settings::for_tests()
        };
        let mut state = ProviderState::new(Provider::Ecommpay, &settings);
        let all = read_all(&mut state, &settings);
        let unique: BTreeSet<_> = all.iter().collect();
        assert!(unique.len() >= 990, "{}", unique.len());
        let settings = Settings {
            between_pages: BetweenPages {
                insert: 0,
                update: 3,
            },
            ..settings
        };
        let mut state = ProviderState::new(Provider::Ecommpay, &settings);
        let moved: BTreeSet<_> = read_all(&mut state, &settings).into_iter().collect();
        assert!(moved.len() < unique.len());
    }

    #[test]
    fn answers_are_signed_and_requests_checked() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::Ecommpay, &settings);
        let value = send(&mut state, &settings, &body(0)).value();
        let expected = Order::Natural.sign(&value, super::ECOMMPAY_SECRET);
        assert_eq!(value["signature"], expected);
        let first = &value["operations"][0];
        assert!(first["project_id"].is_string() && first["sum_initial"]["amount"].is_u64());
        assert!(first.get("auth_code").is_none());
        let mut request = body(0);
        request["fields"] = json!(["auth_code", "sum_initial.amount"]);
        let value = send(&mut state, &settings, &request).value();
        assert!(value["operations"][0]["auth_code"].is_string());

        let mut unsigned = body(0);
        unsigned["token"] = super::ECOMMPAY_TOKEN.into();
        unsigned["signature"] = "wrong".into();
        let call = Call::test(Method::POST, super::PATH, &unsigned.to_string());
        let answer = state.answer(&settings, &call);
        assert_eq!((answer.status, answer.refused), (401, Some("signature")));
        assert!(answer.value().get("signature").is_none());
        unsigned["token"] = "other".into();
        let call = Call::test(Method::POST, super::PATH, &unsigned.to_string());
        assert_eq!(state.answer(&settings, &call).refused, Some("credentials"));
    }

    #[test]
    fn the_ledger_agrees_with_the_operations() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::Ecommpay, &settings);
        let mut request = body(0);
        request["limit"] = 1_000.into();
        request["fields"] = json!(["bin", "customer_id"]);
        let value = send(&mut state, &settings, &request).value();
        let ledger = state.ledger(0, usize::MAX);
        let text = |value: &Value| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        for item in value["operations"].as_array().unwrap() {
            let line = ledger
                .iter()
                .find(|line| item["operation_id"] == line.provider_transaction_id.as_str())
                .unwrap();
            let decimals = match line.currency.as_deref().unwrap() {
                "JPY" | "ISK" => 0,
                "KWD" | "IQD" => 3,
                _ => 2,
            };
            let amount = line.amount.as_deref().unwrap();
            let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
            let minor = format!("{whole}{fraction:0<decimals$}");
            assert_eq!(item["sum_initial"]["amount"].to_string(), minor);
            assert_eq!(text(&item["bin"]), line.card_bin);
            assert_eq!(text(&item["customer_id"]), line.customer_id);
            assert_eq!(text(&item["payment_description"]), line.description);
            let completed = text(&item["operation_completed_at"]);
            let completed = completed.map(|time| time.replace("+00:00", ".000000Z"));
            assert_eq!(completed, line.updated_at);
        }
    }

    #[test]
    fn invalid_requests_are_refused() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::Ecommpay, &settings);
        for (name, value, status, why) in [
            ("limit", json!(1001), 400, "number out of range"),
            ("limit", json!("2"), 400, "number out of range"),
            ("tz", json!("Mars"), 400, "time zone"),
            ("project_id", json!([22]), 401, "project"),
            (
                "interval",
                json!({"from": "2026-01-01", "to": "2026-01-02"}),
                400,
                "time format",
            ),
            ("fields", json!(["nothing"]), 400, "unknown field"),
            ("page", json!(1), 400, "unknown parameter"),
        ] {
            let mut request = body(0);
            request[name] = value;
            let answer = send(&mut state, &settings, &request);
            assert_eq!(
                (answer.status, answer.refused),
                (status, Some(why)),
                "{name}"
            );
            assert_eq!(answer.value()["status"], status);
        }
    }
}
