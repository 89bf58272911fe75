//! The words of the pages as rules for one request.

mod values;

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use chrono::{NaiveDate, TimeDelta};
use paysync_simulator::Provider;
use serde_json::{Value, json};

use super::recorder::Seen;
use values::{
    commas, fits, instant, is_instant, is_time, is_zone, list, number, one_of, one_or_more, text,
    without,
};

/// Parameters by their dotted names.
type Parameters = BTreeMap<String, Value>;

/// Headers that HTTP itself needs, or that say who asks.
const USUAL_HEADERS: &[&str] = &["accept", "accept-encoding", "host", "user-agent"];
const BODY_HEADERS: &[&str] = &["content-length", "content-type"];

/// Operation types and statuses in the provider's table.
const OPERATION_TYPES: &[&str] = &["account verification", "payout", "refund", "sale"];
const OPERATION_STATUSES: &[&str] = &["decline", "success"];
const DWH_TYPES: &[&str] = &[
    "authorization",
    "payment",
    "tokenization",
    "payout",
    "capture",
    "void",
    "refund",
    "credit",
    "chargeback",
];
const DWH_STATUSES: &[&str] = &["successful", "failed", "incomplete", "error", "pending"];

/// Checks a request; `before` are those before it. Returns its parameters.
pub(super) fn check(provider: Provider, request: &Seen, before: &[Seen]) -> Parameters {
    // The simulator reads the page in its own way, signatures included.
    assert_eq!(request.status, 200, "{request:?}");
    let agent = text_of(&request.headers, "user-agent");
    assert!(agent.starts_with("paysync/"), "{request:?}");
    let (method, path, headers) = match provider {
        Provider::Convergegate => ("GET", "/api/v1/payments", vec![("authorization", BEARER)]),
        Provider::Ecommpay => ("POST", "/v1/operations/get", Vec::new()),
        Provider::BegatewayReport => (
            "POST",
            "/api/reports",
            // The documentation's own example: shop 363, secret secret_key.
            vec![
                ("authorization", "Basic MzYzOnNlY3JldF9rZXk="),
                ("x-api-version", "3"),
            ],
        ),
        Provider::BegatewayDwh => (
            "POST",
            "/api/v2/transactions/list",
            vec![(
                "authorization",
                "Basic c2ltdWxhdG9yOnNpbXVsYXRvci1zZWNyZXQ=",
            )],
        ),
        Provider::Firekassa => (
            "GET",
            "/api/v2/transactions",
            vec![("authorization", BEARER), ("accept-language", "en")],
        ),
    };
    assert_eq!(request.method, method, "{request:?}");
    assert_eq!(request.path, format!("/{}{path}", provider.slug()));
    check_headers(provider, request, &headers);
    let parameters = if method == "GET" {
        assert_eq!(request.body, "", "{request:?}");
        of_query(&request.query)
    } else {
        assert_eq!(request.query, "", "{request:?}");
        of_body(&request.body)
    };
    for (name, value) in &parameters {
        let right = match provider {
            Provider::Convergegate => convergegate(name, value),
            Provider::Ecommpay => ecommpay(name, value),
            Provider::BegatewayReport => report(name, value, &parameters),
            Provider::BegatewayDwh => dwh(name, value),
            Provider::Firekassa => firekassa(name, value),
        };
        assert!(right, "{provider:?}: {name} = {value}");
    }
    match provider {
        Provider::Ecommpay => {
            assert!(parameters["interval.from"].as_str() < parameters["interval.to"].as_str());
        }
        Provider::BegatewayReport => report_as_a_whole(&parameters, before),
        Provider::BegatewayDwh => dwh_as_a_whole(&parameters, before),
        Provider::Firekassa => firekassa_as_a_whole(request),
        Provider::Convergegate => assert!(parameters.contains_key("created.gte"), "{request:?}"),
    }
    parameters
}

const BEARER: &str = "Bearer simulator-token";

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Each header once, those that the page wants, and no others that mean anything.
fn check_headers(provider: Provider, request: &Seen, wanted: &[(&str, &str)]) {
    let headers = &request.headers;
    for (name, value) in wanted {
        assert_eq!(text_of(headers, name), *value, "{request:?}");
    }
    assert_eq!(
        text_of(headers, "accept"),
        "application/json",
        "{request:?}"
    );
    let has_body = request.method == "POST";
    if has_body {
        assert_eq!(text_of(headers, "content-type"), "application/json");
    }
    for name in headers.keys().map(axum::http::HeaderName::as_str) {
        let known = USUAL_HEADERS.contains(&name)
            || (has_body && BODY_HEADERS.contains(&name))
            || wanted.iter().any(|(wanted, _)| *wanted == name)
            || (provider == Provider::Firekassa && name == "signature");
        assert!(known, "{provider:?}: {name}");
        assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
    }
}

/// Every parameter once. Brackets, blanks and plus signs are encoded.
fn of_query(query: &str) -> Parameters {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~*%+=&".contains(c);
    assert!(query.chars().all(plain), "{query}");
    let mut parameters = Parameters::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let twice = parameters.insert(name.into_owned(), value.into());
        assert_eq!(twice, None, "{query}");
    }
    parameters
}

fn of_body(body: &str) -> Parameters {
    fn collect(prefix: &str, value: Value, parameters: &mut Parameters) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    collect(&format!("{prefix}.{name}"), value, parameters);
                }
            }
            value => {
                parameters.insert(prefix.trim_start_matches('.').to_owned(), value);
            }
        }
    }
    let mut parameters = Parameters::new();
    collect("", serde_json::from_str(body).unwrap(), &mut parameters);
    parameters
}

fn convergegate(name: &str, value: &Value) -> bool {
    match name {
        "offset" => number(value).is_some_and(|offset| offset <= 1_000_000),
        "limit" => number(value).is_some_and(|limit| (1..=1000).contains(&limit)),
        "created.gte" | "created.lt" | "updated.gte" | "updated.lt" => {
            is_time(value, "dddd-dd-ddTdd:dd:dd")
        }
        _ => false,
    }
}

fn ecommpay(name: &str, value: &Value) -> bool {
    match name {
        "project_id" => list(value).is_some_and(|ids| ids.iter().all(Value::is_u64)),
        "interval.from" | "interval.to" => is_time(value, "dddd-dd-dd dd:dd:dd"),
        "tz" => is_zone(value),
        "limit" => value
            .as_u64()
            .is_some_and(|limit| (1..=1000).contains(&limit)),
        "offset" => value.is_u64(),
        "operation_type" => one_or_more(value, OPERATION_TYPES),
        "operation_status" => one_or_more(value, OPERATION_STATUSES),
        "token" => *value == json!("simulator-token-ecommpay-0000000"),
        "fields" => list(value).is_some_and(|names| {
            let needed = ["operation_id", "project_id", "payment_id"];
            names.iter().all(Value::is_string)
                && needed.iter().all(|name| names.contains(&json!(name)))
        }),
        // Base64 of 512 bits; the simulator has computed it as well.
        "signature" => text(value).is_some_and(|it| it.len() == 88 && it.ends_with("==")),
        _ => false,
    }
}

fn report(name: &str, value: &Value, all: &Parameters) -> bool {
    let Some(name) = name.strip_prefix("report_params.") else {
        return false;
    };
    match name {
        "date_type" => one_of(value, &["created_at", "paid_at", "settled_at"]),
        "from" | "to" if all["report_params.date_type"] == "settled_at" => {
            fits(value, "dddd-dd-dd")
                && text(value).is_some_and(|day| day.parse::<NaiveDate>().is_ok())
        }
        "from" | "to" | "manual_correction_from" | "manual_correction_to" => {
            is_time(value, "dddd-dd-dd dd:dd:dd")
        }
        "status" => one_of(
            value,
            &["all", "successful", "failed", "pending", "incomplete"],
        ),
        "payment_method_type" => *value == json!("credit_card"),
        "time_zone" => is_zone(value),
        "starting_after" => value.is_string() && number(value).is_some(),
        _ => false,
    }
}

/// Required parameters are there, and a further page is requested with the same parameters and the
/// `last_object_id` of the answer before.
fn report_as_a_whole(parameters: &Parameters, before: &[Seen]) {
    for name in [
        "date_type",
        "from",
        "to",
        "status",
        "payment_method_type",
        "time_zone",
    ] {
        assert!(
            parameters.contains_key(&format!("report_params.{name}")),
            "{name}"
        );
    }
    let cursor = "report_params.starting_after";
    let Some(after) = parameters.get(cursor) else {
        return;
    };
    let leads_here = |seen: &Seen| {
        let answer: Value = serde_json::from_str(&seen.answer).unwrap();
        answer["has_more"] == true
            && answer["last_object_id"].as_u64() == number(after)
            && without(&of_body(&seen.body), &[cursor]) == without(parameters, &[cursor])
    };
    assert!(before.iter().any(leads_here), "{parameters:?}");
}

fn dwh(name: &str, value: &Value) -> bool {
    if name == "response_parameters" {
        let query = text(value).unwrap_or_default();
        let count = |brace: char| query.matches(brace).count();
        return query.starts_with("query { transactions {")
            && query.trim_end().ends_with('}')
            && count('{') == count('}');
    }
    if let Some(option) = name.strip_prefix("options.") {
        return match option {
            "limit" => value
                .as_u64()
                .is_some_and(|limit| (1..=1000).contains(&limit)),
            "time_zone" => is_zone(value),
            _ => false,
        };
    }
    let Some(filter) = name.strip_prefix("filter.") else {
        return false;
    };
    // The longest text that the table names.
    let short = |length: usize| text(value).is_some_and(|it| it.chars().count() <= length);
    let integers = || commas(value, |it| it.parse::<u64>().is_ok());
    let digits = |length: usize| short(length) && number(value).is_some();
    match filter.strip_prefix("recipient_").unwrap_or(filter) {
        "date_from" | "date_to" => {
            is_instant(value, "dddd-dd-ddTdd:dd:dd+00:00")
                // The cursor, as it came.
                || (filter == "date_from" && is_instant(value, "dddd-dd-ddTdd:dd:dd.dddddd+00:00"))
        }
        "uid_from" | "uid" => text(value).is_some_and(|uid| uid.len() == 36),
        "date_type" => one_of(value, &["created_at", "paid_at", "updated_at"]),
        "test" => value.is_boolean(),
        "shop_business_category_id" => value.is_u64(),
        "merchant_id" | "shop_id" | "amount" | "gateway_id" | "gateway_agent_id" => integers(),
        "currency" => commas(value, |it| {
            it.len() == 3 && it.bytes().all(|byte| byte.is_ascii_uppercase())
        }),
        "type" => commas(value, |it| DWH_TYPES.contains(&it)),
        "status" => commas(value, |it| DWH_STATUSES.contains(&it)),
        "recurring_type" => commas(value, |it| ["recurring", "initial", "null"].contains(&it)),
        "gateway_type" => commas(value, |it| !it.is_empty()),
        "method_type" => one_of(value, &["credit_card", "alternative"]),
        "fraud" => one_of(value, &["reject", "review"]),
        "code" => short(7),
        "credit_card_first_1" => digits(1),
        "credit_card_bin" => digits(6),
        "credit_card_bin_8" | "credit_card_last_4" => digits(8),
        "credit_card_issuer_country" => short(2),
        "credit_card_brand" | "credit_card_sub_brand" => short(60),
        "provider_raw_rrn" => short(64),
        "credit_card_holder" => short(70),
        "customer_phone" => short(100),
        "credit_card_stamp" => short(128),
        "customer_id"
        | "customer_ip"
        | "customer_full_name"
        | "customer_email"
        | "method_alternative_account"
        | "credit_card_product" => short(255),
        "tracking_id" => short(500),
        "provider_raw_ref_id" => short(510),
        "description" => short(1024),
        _ => false,
    }
}

/// At most 90 days in the offset of the zone; a further page is asked for with the cursor of an
/// answer before, and the same range and date type.
fn dwh_as_a_whole(parameters: &Parameters, before: &[Seen]) {
    let at = |name: &str| instant(&parameters[name]).unwrap();
    let (from, to) = (at("filter.date_from"), at("filter.date_to"));
    assert!(
        from <= to && to - from <= TimeDelta::days(90),
        "{from} {to}"
    );
    assert_eq!(parameters["options.time_zone"], "Etc/UTC");
    let Some(uid) = parameters.get("filter.uid_from") else {
        assert!(fits(
            &parameters["filter.date_from"],
            "dddd-dd-ddTdd:dd:dd+00:00"
        ));
        return;
    };
    let cursor = ["filter.date_from", "filter.uid_from"];
    let leads_here = |seen: &Seen| {
        let answer: Value = serde_json::from_str(&seen.answer).unwrap();
        let pagination = &answer["data"]["pagination"];
        pagination["has_next_page"] == true
            && pagination["next_date"] == parameters["filter.date_from"]
            && pagination["next_uid"] == *uid
            && without(&of_body(&seen.body), &cursor) == without(parameters, &cursor)
    };
    assert!(before.iter().any(leads_here), "{parameters:?}");
}

fn firekassa(name: &str, value: &Value) -> bool {
    let short =
        |length: usize| text(value).is_some_and(|it| (1..=length).contains(&it.chars().count()));
    match name {
        "filter[id]" => short(200) && commas(value, |id| !id.is_empty()),
        "filter[order_id]" | "filter[account]" | "filter[method]" => short(255),
        "filter[action]" => one_of(value, &["deposit", "withdrawal"]),
        "filter[type]" => one_of(value, &["site", "invoice", "registry"]),
        "filter[create_at][start]" | "filter[create_at][end]" => {
            is_instant(value, "dddd-dd-ddTdd:dd:dd+dd:dd")
        }
        "filter[amount][min]" | "filter[amount][max]" => text(value)
            .is_some_and(|it| it.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit())),
        "page[number]" | "page[size]" => number(value).is_some_and(|number| number >= 1),
        "sort" => one_of(value, &["id", "-id"]),
        _ => false,
    }
}

/// Brackets and the plus of the offset travel encoded; the second secret signs.
fn firekassa_as_a_whole(request: &Seen) {
    assert!(
        request.query.contains("filter%5Bcreate_at%5D%5Bstart%5D="),
        "{request:?}"
    );
    assert!(request.query.contains("%2B00%3A00"), "{request:?}");
    let signature = text_of(&request.headers, "signature");
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    assert!(
        signature.len() == 128 && signature.bytes().all(is_hex),
        "{request:?}"
    );
}
