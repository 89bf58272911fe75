//! Errors of providers: one line for each account, with the provider's own words and a hint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::cli::fixture::{Fixture, WRONG_TOKEN};
use crate::providers;

/// The providers, in the order of the accounts' ids.
const CODES: [&str; 5] = [
    "begateway_dwh",
    "begateway_report",
    "convergegate",
    "ecommpay",
    "firekassa",
];

const CREDENTIALS: &str =
    "check the account's credentials and their rights at the provider; probed every 15 min";
const PATH: &str = "check base_url: there is no such API below it";
const OPTIONS: &str =
    "check the account's options, time_zone and base_url against the provider's message";
const NOT_JSON: &str =
    "check base_url: it leads to a web page, or a proxy answers in the provider's place";
const REDIRECT: &str = "set base_url to the final address: this one answers with a redirect";
const BLOCKED: &str =
    "a proxy in front of the provider blocks this address or client: ask the provider to allow it";
const UNAVAILABLE: &str = "the provider is unavailable; retried until it succeeds";
const AWAY: &str =
    "check base_url, DNS, TLS and the way out to the provider; retried until it succeeds";
const FILTER: &str =
    "the provider ignores the time filter: check the account's options that name it, and time_zone";

/// What is wrong with an account, and what helps.
type Said = (String, &'static str);

fn said(words: &str, hint: &'static str) -> Said {
    (words.to_owned(), hint)
}

fn id(code: &str) -> String {
    format!("simulated-{}", code.replace('_', "-"))
}

/// A configuration with an account at every provider.
fn configuration(fixture: &Fixture) -> String {
    let text = fixture.simulator.config_toml(fixture.database.url());
    format!("{text}\n[http]\nlisten = \"off\"\n[engine]\nlease_ttl = \"2s\"\n")
}

/// The same, leading to another address.
fn elsewhere(fixture: &Fixture, address: &str) -> String {
    configuration(fixture).replace(&fixture.simulator.addr().to_string(), address)
}

/// Status, content type and body.
type Answer = (u16, &'static str, String);

/// A server that always answers a provider's clients in the same way.
struct Always {
    address: String,
    serving: JoinHandle<()>,
}

impl Always {
    async fn says(answer: impl Fn(&'static str) -> Answer) -> Self {
        let answers: BTreeMap<&'static str, Answer> =
            CODES.into_iter().map(|code| (code, answer(code))).collect();
        let router = Router::new().fallback(say).with_state(Arc::new(answers));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, serving }
    }
}

async fn say(
    State(answers): State<Arc<BTreeMap<&'static str, Answer>>>,
    request: Request,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let code = request.uri().path().split('/').nth(1).unwrap();
    let (status, content_type, body) = answers[code].clone();
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", content_type)], body)
}

/// `check` says this of each account, on one line.
async fn check_says(fixture: &Fixture, configuration: &str, expected: impl Fn(&str) -> Said) {
    let file = fixture.file("lines.toml", configuration);
    let ran = fixture.run_with(&file, &["check"], &[]).await;
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
    for code in CODES {
        let (words, hint) = expected(code);
        let line = format!("account {}: FAILED, {words}; {hint}", id(code));
        let lines: Vec<&str> = ran
            .out
            .lines()
            .filter(|it| it.contains(&id(code)))
            .collect();
        assert_eq!(lines, [line]);
    }
}

/// `sync` says this of each of these accounts, on one line; and each line of its log names the
/// account and says the same.
async fn sync_says(
    fixture: &Fixture,
    configuration: &str,
    codes: &[&str],
    expected: impl Fn(&str) -> Said,
) {
    let file = fixture.file("lines.toml", configuration);
    let ids: Vec<String> = codes.iter().map(|code| id(code)).collect();
    let chosen = ids.iter().flat_map(|id| ["--account", id.as_str()]);
    let arguments: Vec<&str> = ["sync", "--give-up-after", "1s"]
        .into_iter()
        .chain(chosen)
        .collect();
    let ran = fixture.run_with(&file, &arguments, &[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.out.lines().count(), codes.len(), "{ran:?}");
    let mut logged = BTreeSet::new();
    for line in ran.err.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["error"].is_string() {
            let parts = ["account.id", "error", "hint"];
            logged.insert(parts.map(|part| line[part].as_str().unwrap().to_owned()));
        }
    }
    let mut printed = BTreeSet::new();
    for code in codes {
        let (words, hint) = expected(code);
        let line = ran
            .out
            .lines()
            .find(|it| it.starts_with(&format!("{}: ", id(code))));
        let line = line.unwrap_or_else(|| panic!("{ran:?}"));
        let end = format!("; NOT covered: {words} ({hint})");
        assert!(line.ends_with(&end), "{line}");
        printed.insert([id(code), words, hint.to_owned()]);
    }
    assert_eq!(logged, printed);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_reported_in_the_providers_words() {
    let fixture = Fixture::new().await;
    let mut text = configuration(&fixture);
    for (key, right) in [
        ("token", "simulator-token"),
        ("secret_key", "simulator-secret"),
        ("secret_key", "secret_key"),
        ("secret", "simulator-secret"),
    ] {
        let right = format!("{key} = \"{right}\"");
        assert!(text.contains(&right), "{right}");
        text = text.replace(&right, &format!("{key} = \"{WRONG_TOKEN}\""));
    }
    let expected = |code: &str| {
        let words = match code {
            "begateway_dwh" => "unauthorized: Unauthorized (You can't have access to this area)",
            "ecommpay" => "Authorization Required: Signature is invalid",
            "firekassa" => "Unauthenticated.",
            _ => "Unauthorized",
        };
        said(&format!("status 401: {words}"), CREDENTIALS)
    };
    check_says(&fixture, &text, expected).await;
    sync_says(&fixture, &text, &CODES, expected).await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_url_with_a_wrong_path_is_reported() {
    let fixture = Fixture::new().await;
    let text = CODES.iter().fold(configuration(&fixture), |text, code| {
        text.replace(&format!("/{code}"), &format!("/{code}/v7"))
    });
    let expected = |code: &str| {
        let words = match code {
            "begateway_dwh" => "not_found: Request is refused (Not found)",
            "convergegate" => "Not Found: No endpoint for this path",
            "ecommpay" => "Not Found: Page not found.",
            _ => "Not found",
        };
        said(&format!("status 404: {words}"), PATH)
    };
    check_says(&fixture, &text, expected).await;
    sync_says(&fixture, &text, &CODES, expected).await;
    fixture.end().await;
}

/// The documented refusals of what was asked, an unknown time zone among them.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_request_is_reported_in_the_providers_words() {
    let fixture = Fixture::new().await;
    let server = Always::says(|code| {
        let status = match code {
            "convergegate" | "ecommpay" => 400,
            _ => 422,
        };
        let body = providers::fixture(code, &format!("refusal-{status}")).body;
        (status, "application/json", body)
    })
    .await;
    let expected = |code: &str| {
        let words = match code {
            "begateway_dwh" => {
                "status 422: unprocessable_entity: Unprocessable entity (Date_from is required.)"
            }
            "begateway_report" => "status 422: time_zone is invalid; time_zone: is invalid",
            "convergegate" => {
                "status 400: Bad Request: Validation failed; limit: must be less than or equal to 1000"
            }
            "ecommpay" => "status 400: Bad Request: interval is invalid",
            _ => "status 422: The given data was invalid; amount: Min amount is 100.00",
        };
        said(words, OPTIONS)
    };
    let text = elsewhere(&fixture, &server.address);
    check_says(&fixture, &text, expected).await;
    sync_says(&fixture, &text, &CODES, expected).await;
    server.serving.abort();
    fixture.end().await;
}

/// A host without the API: a closed port, a web server, another protocol.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_the_api_is_reported() {
    let fixture = Fixture::new().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = closed.local_addr().unwrap();
    drop(closed);
    let refusal = TcpStream::connect(nowhere).await.unwrap_err();
    let refused = format!("cannot connect to {nowhere}: {refusal}");
    let text = elsewhere(&fixture, &nowhere.to_string());
    check_says(&fixture, &text, |_| said(&refused, AWAY)).await;

    let page = "<!DOCTYPE html>\n<html><title>Welcome</title><body>Hello</body></html>";
    let html = "text/html; charset=utf-8";
    for (status, kind, body, words, hint) in [
        (
            200,
            html,
            page,
            "the answer is a web page, not JSON",
            NOT_JSON,
        ),
        (404, html, page, "status 404: a web page, not JSON", PATH),
        (404, "text/plain", "", "status 404: no message", PATH),
        (
            301,
            html,
            page,
            "status 301: a web page, not JSON",
            REDIRECT,
        ),
        (403, html, page, "status 403: a web page, not JSON", BLOCKED),
    ] {
        let server = Always::says(|_| (status, kind, body.to_owned())).await;
        let text = elsewhere(&fixture, &server.address);
        check_says(&fixture, &text, |_| said(words, hint)).await;
        if status == 200 {
            sync_says(&fixture, &text, &["firekassa"], |_| said(words, hint)).await;
        }
        server.serving.abort();
    }

    let address = fixture.simulator.addr();
    let tls = configuration(&fixture).replace("http://", "https://");
    let words =
        format!("cannot connect to {address}: received corrupt message of type InvalidContentType");
    check_says(&fixture, &tls, |_| said(&words, AWAY)).await;
    fixture.end().await;
}

/// A refusal with status 200 is shown in the provider's words, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_with_status_200_is_reported_in_the_providers_words() {
    let fixture = Fixture::new().await;
    let refusal = |code| providers::fixture(code, "refusal-401").body;
    let server = Always::says(|code| (200, "text/html", refusal(code))).await;
    let expected = |code: &str| {
        let words = match code {
            "begateway_dwh" => {
                "data; the provider says: unauthorized: Unauthorized (You can't have access to this area)"
            }
            "begateway_report" => {
                "transactions; the provider says: unauthorized: Unauthorized (You can't have access to this area)"
            }
            "ecommpay" => {
                "operations; the provider says: Authorization Required: You have no access to project_id = 22"
            }
            "firekassa" => "items; the provider says: Unauthenticated.",
            _ => "result; the provider says: Unauthorized: Invalid token",
        };
        let hint = "the provider refuses with status 200: check the credentials and options against its message";
        said(&format!("the answer lacks {words}"), hint)
    };
    let text = elsewhere(&fixture, &server.address);
    check_says(&fixture, &text, expected).await;
    sync_says(&fixture, &text, &CODES, expected).await;
    server.serving.abort();
    fixture.end().await;
}

/// An error shows nothing of an answer but what the provider's error fields say: the rest may be payments.
#[tokio::test(flavor = "multi_thread")]
async fn no_payment_is_told_as_an_error() {
    let fixture = Fixture::new().await;
    for status in [203, 206, 422, 500] {
        let server = Always::says(|code| (status, "application/json", old_rows(code))).await;
        let text = elsewhere(&fixture, &server.address);
        let expected = |code: &str| {
            let length = old_rows(CODES.into_iter().find(|it| *it == code).unwrap()).len();
            let words =
                format!("no message of the provider's API (application/json, {length} bytes)");
            let hint = if status == 422 { OPTIONS } else { UNAVAILABLE };
            said(&format!("status {status}: {words}"), hint)
        };
        sync_says(&fixture, &text, &CODES, expected).await;
        server.serving.abort();
    }
    fixture.end().await;
}

/// FireKassa's filter by its other name, and answers that are always the same at all providers whose
/// items show the time that is filtered.
#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_filter_is_reported() {
    let fixture = Fixture::new().await;
    let ignored = |rows| {
        let words = format!(
            "all {rows} rows of the first page that show their time lie outside the window asked for"
        );
        (words, FILTER)
    };
    let text = configuration(&fixture);
    let token = "provider = \"firekassa\"\n";
    let names =
        "options.created_filter = [\"filter[created_at][min]\", \"filter[created_at][max]\"]\n";
    assert!(text.contains(token));
    let text = text.replace(token, &format!("{token}{names}"));
    let file = fixture.file("lines.toml", &text);
    let check = ["check", "--account", "simulated-firekassa"];
    let ran = fixture.run_with(&file, &check, &[]).await;
    let (words, hint) = ignored(10);
    let line = format!("account simulated-firekassa: FAILED, {words}; {hint}");
    assert_eq!(ran.out.lines().last(), Some(line.as_str()), "{ran:?}");
    sync_says(&fixture, &text, &["firekassa"], |_| ignored(100)).await;

    let server = Always::says(|code| (200, "application/json", old_rows(code))).await;
    let text = elsewhere(&fixture, &server.address);
    let codes = [
        "begateway_dwh",
        "begateway_report",
        "convergegate",
        "firekassa",
    ];
    sync_says(&fixture, &text, &codes, |_| ignored(12)).await;
    server.serving.abort();
    fixture.end().await;
}

/// A page of twelve rows of 2024 which says that it is the last.
fn old_rows(code: &'static str) -> String {
    let (items, key) = match code {
        "begateway_dwh" => ("/data/transactions", "uid"),
        "begateway_report" => ("/transactions", "uid"),
        "convergegate" => ("/result", "id"),
        "ecommpay" => ("/operations", "operation_id"),
        _ => ("/items", "id"),
    };
    let mut page = providers::fixture(code, "last").json();
    let items = page.pointer_mut(items).unwrap();
    let rows = (0..12).map(|number| {
        let mut row = items[0].clone();
        row[key] = json!(format!("row-{number}"));
        row
    });
    *items = rows.collect();
    if code == "firekassa" {
        page["page"]["number"] = 1.into();
    }
    page.to_string()
}
