//! beGateway's DWH API, version 2.
//!
//! `POST /api/v2/transactions/list`, `count` and `uids_export`, and `GET /api/health`. Rows are sorted by
//! date and uid; the cursor is the first row not yet sent. Undocumented behaviour is a setting.

use axum::http::Method;
use serde_json::{Map, Value};

use crate::credentials::{DWH_PSP_ID, DWH_SECRET_KEY};
use crate::merchants::row::Row;
use crate::merchants::table::Table;
use crate::providers::json::Json;
use crate::providers::protocol::{Answer, Call, is_credential};
use crate::providers::row_cache::RowCache;
use crate::settings::Settings;
use item::Item;
use request::{Refusal, Request};

pub(crate) mod item;
mod request;
mod selection;

const LIST: &str = "/api/v2/transactions/list";
const COUNT: &str = "/api/v2/transactions/count";
const UIDS_EXPORT: &str = "/api/v2/transactions/uids_export";
const HEALTH: &str = "/api/health";

/// The answer to a call; a refusal is an error.
pub(crate) fn answer(
    table: &Table,
    cache: &mut RowCache,
    settings: &Settings,
    call: &Call,
) -> Result<Answer, Answer> {
    if call.path == HEALTH && call.method == Method::GET {
        return Ok(Answer::json("{}".to_owned()));
    }
    check(call)?;
    let body = body(call).map_err(unprocessable)?;
    match call.path.as_str() {
        LIST => {
            Request::read(&body, settings).map(|request| list(table, cache, settings, &request))
        }
        COUNT => Request::read(&body, settings).map(|request| count(table, &request)),
        _ => uids_export(table, &body),
    }
    .map_err(unprocessable)
}

fn list(table: &Table, cache: &mut RowCache, settings: &Settings, request: &Request) -> Answer {
    let limit = settings.page_limit(request.limit);
    let mut found = selected(table, request);
    let positions: Vec<usize> = found.by_ref().take(limit).collect();
    let next = found.next().and_then(|position| table.row(position));
    let rows: Vec<&Row> = positions.iter().filter_map(|&at| table.row(at)).collect();
    let mut json = Json::new();
    json.open('{');
    json.open_at("data", '{');
    json.open_at("transactions", '[');
    cache.set_format(format!("{:?} {:?}", request.zone, request.fields));
    cache.write_rows(&mut json, table, &positions, |json, row| {
        let item = Item::new(table, row, request.zone);
        match &request.fields {
            Some(fields) => item.write(json, fields),
            None => item.write_default(json),
        }
    });
    json.close(']');
    json.open_at("pagination", '{');
    json.text("date_type", request.date_type);
    json.flag("has_next_page", next.is_some());
    // As in the documentation's example: the times of the first and last row, unlike in its table.
    let time = |row: &&Row| {
        let micros = request.axis.of(row)?;
        Some(item::time(micros, request.zone, false))
    };
    json.text_or_null("date_from", rows.first().and_then(time).as_deref());
    json.text_or_null("date_to", rows.last().and_then(time).as_deref());
    if !settings.dwh_without_uids {
        let uid = |row: &&Row| item::uid(row);
        json.text_or_null("uid_from", rows.first().map(uid).as_deref());
        json.text_or_null("uid_to", rows.last().map(uid).as_deref());
    }
    if let Some(next) = next {
        json.text_or_null("next_date", time(&next).as_deref());
        if !settings.dwh_without_uids {
            json.text("next_uid", &item::uid(next));
        }
    }
    json.close('}');
    json.close('}');
    json.close('}');
    Answer::page(json.finish(), positions)
}

fn count(table: &Table, request: &Request) -> Answer {
    let count = selected(table, request).count();
    Answer::json(format!(r#"{{"data":{{"count":{count}}}}}"#))
}

fn uids_export(table: &Table, body: &Map<String, Value>) -> Result<Answer, Refusal> {
    request::check_names(body, &["options", "filter", "response_parameters"])?;
    let filter = body
        .get("filter")
        .ok_or_else(|| request::missing("Filter"))?;
    let filter = request::object(filter, "Filter")?;
    request::check_names(filter, &["uids"])?;
    let uids = filter
        .get("uids")
        .and_then(Value::as_array)
        .ok_or_else(|| request::missing("Uids"))?;
    let fields = request::selected_fields(body)?;
    let mut json = Json::new();
    json.open('{');
    json.open_at("data", '[');
    for uid in uids.iter().filter_map(Value::as_str) {
        let position = uuid::Uuid::parse_str(uid)
            .ok()
            .and_then(|uid| table.position(uid.as_u128()));
        if let Some(row) = position.and_then(|position| table.row(position)) {
            let item = Item::new(table, row, chrono_tz::Tz::Etc__UTC);
            match &fields {
                Some(fields) => item.write(&mut json, fields),
                None => item.write_default(&mut json),
            }
        }
    }
    json.close(']');
    json.close('}');
    Ok(Answer::json(json.finish()))
}

fn selected<'a>(table: &'a Table, request: &'a Request) -> impl Iterator<Item = usize> + 'a {
    table
        .after(request.axis, (request.from, request.uid_from), request.end)
        .filter(|&position| table.row(position).is_some_and(|row| request.matches(row)))
}

fn check(call: &Call) -> Result<(), Answer> {
    if ![LIST, COUNT, UIDS_EXPORT].contains(&call.path.as_str()) {
        return Err(refuse(404, "path", "not_found", "Not found"));
    }
    if call.method != Method::POST {
        return Err(refuse(
            405,
            "method",
            "method_not_allowed",
            "Method is not allowed",
        ));
    }
    let allowed = call
        .basic()
        .is_some_and(|(user, secret)| is_credential(&user, DWH_PSP_ID) && secret == DWH_SECRET_KEY);
    if !allowed {
        let message = "You can't have access to this area";
        return Err(refuse(401, "credentials", "unauthorized", message));
    }
    if !call.sends_json() {
        let message = "Content-Type must be application/json";
        return Err(refuse(
            415,
            "content type",
            "unsupported_media_type",
            message,
        ));
    }
    if !call.accepts_json() {
        let message = "Accept must be application/json";
        return Err(refuse(406, "accept", "not_acceptable", message));
    }
    if !call.query.is_empty() {
        let message = "Parameters belong in the body";
        return Err(refuse(422, "query", "unprocessable_entity", message));
    }
    Ok(())
}

fn body(call: &Call) -> Result<Map<String, Value>, Refusal> {
    let text = std::str::from_utf8(&call.body)
        .map_err(|_| ("body", "The body must be UTF-8.".to_owned()))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(("body", "The body must be a JSON object.".to_owned())),
    }
}

fn unprocessable((why, message): Refusal) -> Answer {
    refuse(422, why, "unprocessable_entity", &message)
}

fn refuse(status: u16, why: &'static str, code: &str, friendly_message: &str) -> Answer {
    let message = match code {
        "unauthorized" => "Unauthorized",
        "unprocessable_entity" => "Unprocessable entity",
        _ => "Request is refused",
    };
    let mut json = Json::new();
    json.open('{');
    json.open_at("error", '{');
    json.text("code", code);
    json.text("message", message);
    json.text("friendly_message", friendly_message);
    json.text("help", &format!("https://doc.ecomcharge.com/codes/{code}"));
    json.close('}');
    json.close('}');
    Answer::refusal(status, why, json.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::{Method, header};
    use serde_json::{Value, json};

    use crate::provider_state::ProviderState;
    use crate::providers::protocol::{Answer, Call};
    use crate::settings::{BetweenPages, Provider, Settings};

    fn call(path: &str, body: &Value) -> Call {
        let mut call = Call::test(Method::POST, path, &body.to_string());
        call.set_basic("simulator", "simulator-secret");
        call
    }

    fn list(state: &mut ProviderState, settings: &Settings, body: &Value) -> Answer {
        state.answer(settings, &call(super::LIST, body))
    }

    fn body(limit: u64) -> Value {
        json!({
            "options": {"limit": limit},
            "filter": {
                "date_from": "2026-01-01T00:00:00+00:00",
                "date_to": "2026-03-01T12:00:00+00:00",
            },
            "response_parameters": "query { transactions { uid updated_at created_at test } }",
        })
    }

    /// Follows the cursor to the end.
    fn read_all(state: &mut ProviderState, settings: &Settings, mut body: Value) -> Vec<String> {
        let mut uids = Vec::new();
        loop {
            let answer = list(state, settings, &body);
            assert_eq!(answer.status, 200, "{}", answer.body);
            let data = &answer.value()["data"];
            let rows = data["transactions"].as_array().unwrap();
            uids.extend(
                rows.iter()
                    .map(|row| row["uid"].as_str().unwrap().to_owned()),
            );
            let pagination = data["pagination"].as_object().unwrap();
            if pagination["has_next_page"] == false {
                assert!(!pagination.contains_key("next_date"));
                assert!(!pagination.contains_key("next_uid"));
                return uids;
            }
            body["filter"]["date_from"] = pagination["next_date"].clone();
            if let Some(uid) = pagination.get("next_uid") {
                body["filter"]["uid_from"] = uid.clone();
            }
        }
    }

    fn unique(uids: &[String]) -> usize {
        uids.iter().collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn every_row_is_listed_once_through_a_burst() {
        let settings = Settings {
            burst: 350,
            ..Settings::for_tests()
        };
        let mut state = ProviderState::new(Provider::BegatewayDwh, &settings);
        let tests = state
            .ledger(0, usize::MAX)
            .iter()
            .filter(|line| line.is_test.as_deref() == Some("true"))
            .count();
        for date_type in ["created_at", "updated_at"] {
            let mut request = body(100);
            request["filter"]["date_type"] = date_type.into();
            let uids = read_all(&mut state, &settings, request.clone());
            assert_eq!((uids.len(), unique(&uids)), (1_000 - tests, 1_000 - tests));
            request["filter"]["test"] = true.into();
            assert_eq!(read_all(&mut state, &settings, request).len(), tests);
        }
        assert!(tests > 0);
    }

    #[test]
    fn rows_that_change_during_paging_are_listed_again() {
        let settings = Settings {
            between_pages: BetweenPages {
                insert: 1,
                update: 3,
            },
            ..Settings::for_tests()
        };
        let mut state = ProviderState::new(Provider::BegatewayDwh, &settings);
        let mut request = body(100);
        request["filter"]["date_type"] = "updated_at".into();
        request["filter"]["date_to"] = "2026-03-02T12:00:00+00:00".into();
        let uids = read_all(&mut state, &settings, request);
        assert!(uids.len() > unique(&uids));
        let seen: BTreeSet<_> = uids.into_iter().collect();
        for line in state.ledger(0, 1_000) {
            if line.is_test.as_deref() == Some("false") {
                assert!(seen.contains(&line.provider_transaction_id));
            }
        }
    }

    #[test]
    fn an_old_installation_pages_by_date_alone_and_repeats_its_cursor_in_a_burst() {
        let settings = Settings {
            dwh_without_uids: true,
            burst: 0,
            ..Settings::for_tests()
        };
        let mut state = ProviderState::new(Provider::BegatewayDwh, &settings);
        let uids = read_all(&mut state, &settings, body(100));
        assert!(unique(&uids) > 900);
        let settings = Settings {
            burst: 500,
            ..settings
        };
        let mut state = ProviderState::new(Provider::BegatewayDwh, &settings);
        let mut request = body(100);
        let burst = state.ledger(0, usize::MAX);
        let created = burst[500]
            .created_at
            .clone()
            .unwrap()
            .replace('Z', "+00:00");
        request["filter"]["date_from"] = created.clone().into();
        let pagination =
            list(&mut state, &settings, &request).value()["data"]["pagination"].clone();
        assert_eq!(pagination["next_date"], created);
        assert!(pagination.get("next_uid").is_none() && pagination.get("uid_to").is_none());
    }

    #[test]
    fn times_are_in_the_requested_zone() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::BegatewayDwh, &settings);
        let mut request = body(1);
        request
            .as_object_mut()
            .unwrap()
            .remove("response_parameters");
        let data = list(&mut state, &settings, &request).value()["data"].clone();
        let row = data["transactions"][0].as_object().unwrap();
        let keys: Vec<_> = row.keys().map(String::as_str).collect();
        let mut expected = vec![
            "amount",
            "created_at",
            "currency",
            "merchant_id",
            "paid_at",
            "shop_id",
            "status",
            "type",
            "uid",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert!(row["created_at"].as_str().unwrap().ends_with('Z'));
        assert!(
            data["pagination"]["next_date"]
                .as_str()
                .unwrap()
                .ends_with("+00:00")
        );
        request["options"]["time_zone"] = "Europe/Vilnius".into();
        let answer = list(&mut state, &settings, &request);
        assert_eq!((answer.status, answer.refused), (422, Some("time zone")));
        request["filter"]["date_from"] = "2026-01-01T00:00:00+02:00".into();
        request["filter"]["date_to"] = "2026-03-01T12:00:00+02:00".into();
        let data = list(&mut state, &settings, &request).value()["data"].clone();
        assert!(
            data["pagination"]["next_date"]
                .as_str()
                .unwrap()
                .ends_with("+02:00")
        );
        assert_eq!(data["pagination"]["next_date"].as_str().unwrap().len(), 32);
    }

    #[test]
    fn invalid_requests_are_refused() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::BegatewayDwh, &settings);
        let cases = [
            ("/options/limit", json!(0), "limit"),
            ("/options/limit", json!(1001), "limit"),
            ("/options/limit", json!("10"), "limit"),
            ("/options/time_zone", json!("Mars/Olympus"), "time zone"),
            ("/options/sort", json!("asc"), "unknown parameter"),
            (
                "/filter/date_from",
                json!("2026-01-01T00:00:00Z"),
                "time format",
            ),
            (
                "/filter/date_from",
                json!("2026-01-01 00:00:00+00:00"),
                "time format",
            ),
            (
                "/filter/date_from",
                json!("2025-11-01T00:00:00+00:00"),
                "date range",
            ),
            (
                "/filter/date_from",
                json!("2026-03-02T00:00:00+00:00"),
                "date range",
            ),
            ("/filter/date_from", json!(5), "parameter type"),
            ("/filter/date_type", json!("settled_at"), "date type"),
            ("/filter/uid_from", json!("1234"), "uid_from"),
            ("/filter/test", json!("true"), "parameter type"),
            (
                "/filter/status",
                json!("successful,refunded"),
                "filter value",
            ),
            ("/filter/merchant_id", json!(366), "parameter type"),
            ("/filter/nothing", json!("x"), "unknown parameter"),
            ("/filter", json!([]), "parameter type"),
            (
                "/response_parameters",
                json!("query { transactions { nothing } }"),
                "response parameters",
            ),
            ("/page", json!(1), "unknown parameter"),
        ];
        for (pointer, value, why) in cases {
            let mut request = body(10);
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            request.pointer_mut(parent).unwrap()[key] = value;
            let answer = list(&mut state, &settings, &request);
            assert_eq!(
                (answer.status, answer.refused),
                (422, Some(why)),
                "{pointer}"
            );
            assert_eq!(answer.value()["error"]["code"], "unprocessable_entity");
        }
        let answer = list(&mut state, &settings, &json!({}));
        assert_eq!(
            answer.value()["error"]["friendly_message"],
            "Filter is required."
        );
        let answer = list(&mut state, &settings, &json!({"filter": {}}));
        assert_eq!(
            answer.value()["error"]["friendly_message"],
            "Date_from is required."
        );
        for (name, value, status) in [
            (header::AUTHORIZATION, "Basic eDp5", 401),
            (header::CONTENT_TYPE, "text/plain", 415),
            (header::ACCEPT, "*/*", 406),
        ] {
            let mut call = call(super::LIST, &body(10));
            call.set(name, value);
            assert_eq!(state.answer(&settings, &call).status, status);
        }
    }

    #[test]
    fn filters_count_and_exports_agree() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::BegatewayDwh, &settings);
        let mut request = body(1_000);
        request["filter"]["currency"] = "JPY,KWD".into();
        request["filter"]["status"] = "successful".into();
        let uids = read_all(&mut state, &settings, request.clone());
        let expected = state
            .ledger(0, usize::MAX)
            .into_iter()
            .filter(|line| {
                matches!(line.currency.as_deref(), Some("JPY" | "KWD"))
                    && line.status == "succeeded"
                    && line.is_test.as_deref() == Some("false")
            })
            .count();
        assert_eq!(uids.len(), expected);
        let count = state
            .answer(&settings, &call(super::COUNT, &request))
            .value();
        assert_eq!(count, json!({"data": {"count": expected}}));
        let export = json!({"filter": {"uids": uids[..3]}});
        let rows = state
            .answer(&settings, &call(super::UIDS_EXPORT, &export))
            .value();
        assert_eq!(rows["data"].as_array().unwrap().len(), 3);
        assert_eq!(rows["data"][1]["uid"], uids[1].as_str());
        let health = Call::test(Method::GET, super::HEALTH, "");
        assert_eq!(state.answer(&settings, &health).status, 200);
    }

    #[test]
    fn the_ledger_agrees_with_the_items() {
        let settings = Settings::for_tests();
        let mut state = ProviderState::new(Provider::BegatewayDwh, &settings);
        state.touch(50, settings.until.timestamp_micros() - 1);
        let mut request = body(1_000);
        request["response_parameters"] = "query { transactions { uid parent_uid amount currency \
            converted_amount converted_currency code status updated_at shop{id} gateway{id} \
            method{credit_card{bin bin_8 last_4 brand} type} provider_raw{rrn} } }"
            .into();
        let answer = list(&mut state, &settings, &request).value();
        let ledger = state.ledger(0, usize::MAX);
        for item in answer["data"]["transactions"].as_array().unwrap() {
            let line = ledger
                .iter()
                .find(|line| item["uid"] == line.provider_transaction_id.as_str())
                .unwrap();
            assert_eq!(item["updated_at"].as_str(), line.updated_at.as_deref());
            assert_eq!(
                item["parent_uid"].as_str(),
                line.parent_transaction_id.as_deref()
            );
            assert_eq!(item["provider_raw"]["rrn"].as_str(), line.rrn.as_deref());
            let decimals = match line.currency.as_deref().unwrap() {
                "JPY" | "ISK" | "IDR" | "IQD" | "LAK" => 0,
                "MOP" => 1,
                "KWD" => 3,
                _ => 2,
            };
            let (whole, fraction) = {
                let amount = line.amount.as_deref().unwrap();
                let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
                (whole.to_owned(), format!("{fraction:0<decimals$}"))
            };
            assert_eq!(
                item["amount"].to_string(),
                format!("{whole}{fraction}").trim_start_matches('0')
            );
            let card = &item["method"]["credit_card"];
            let bin = card["bin_8"].as_str().or(card["bin"].as_str());
            assert_eq!(bin, line.card_bin.as_deref());
            if line.status == "failed" {
                assert_eq!(item["code"].as_str(), line.error_code.as_deref());
            } else {
                assert_eq!(line.error_code, None);
            }
        }
    }
}
