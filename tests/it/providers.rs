//! Every provider against its fixtures: what it asks, what it reads, what it makes of it.
//!
//! A folder under `tests/fixtures/` is named after a provider's code. Its files, by name:
//! `first`, `middle`, `last`: three pages of one window; `refusal-<status>`: an answer that is no
//! page; `published-request…`: request bodies from the documentation; `documented`: names from its
//! tables; all others: further pages (`bad-item`; `card-like-ids`: every id, reference and amount
//! passes Luhn; `published…`: the documentation's own examples).

pub(crate) mod redaction;
mod show;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{TimeZone, Utc};
use chrono_tz::Tz;
use paysync_provider::model::Window;
use paysync_provider::redact::{Rules, redact, redact_and_extract};
use paysync_provider::{
    Axis, Checkpoint, Next, PROVIDERS, PageError, Position, Provider, Response, Settings, wire,
};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Items on the full pages among the fixtures.
const PAGE_SIZE: u32 = 3;

/// Whole card numbers among the fixtures: made up, and FireKassa's published one, which fails Luhn.
const CARDS: &[&str] = &["4242424242424242", "3947333443347584"];

pub(crate) struct Fixture {
    code: &'static str,
    name: String,
    pub(crate) body: String,
}

impl Fixture {
    fn is_page(&self) -> bool {
        !self.name.starts_with("refusal")
            && !self.name.starts_with("published-request")
            && self.name != "documented"
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn response(&self) -> Response {
        response(200, self.body.clone())
    }
}

fn response(status: u16, body: String) -> Response {
    let html = body.trim_start().starts_with('<');
    Response {
        status,
        content_type: if html {
            "text/html"
        } else {
            "application/json"
        }
        .to_owned(),
        body,
        lossy: false,
    }
}

fn folder(code: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(code)
}

fn fixtures(code: &'static str) -> Vec<Fixture> {
    // That a folder is missing is said once, where each file that is missing is named.
    let Ok(files) = fs::read_dir(folder(code)) else {
        return Vec::new();
    };
    let mut fixtures: Vec<Fixture> = files
        .map(|file| {
            let path = file.unwrap().path();
            Fixture {
                code,
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                body: fs::read_to_string(&path).unwrap(),
            }
        })
        .collect();
    fixtures.sort_by(|a, b| a.name.cmp(&b.name));
    fixtures
}

pub(crate) fn fixture(code: &'static str, name: &str) -> Fixture {
    fixtures(code)
        .into_iter()
        .find(|fixture| fixture.name == name)
        .unwrap_or_else(|| panic!("tests/fixtures/{code}/{name}.json is missing"))
}

fn pages() -> Vec<Fixture> {
    PROVIDERS
        .iter()
        .flat_map(|entry| fixtures(entry.code))
        .filter(Fixture::is_page)
        .collect()
}

pub(crate) fn build(code: &str, options: Value) -> Box<dyn Provider> {
    let settings = Settings {
        time_zone: Tz::UTC,
        options,
    };
    paysync_provider::build(code, &settings)
        .unwrap_or_else(|error| panic!("{code} cannot do with these options: {error}"))
}

fn window() -> Window {
    let day = |day| Utc.with_ymd_and_hms(2024, 1, day, 0, 0, 0).unwrap();
    Window::new(day(1), day(3)).unwrap()
}

fn position<'a>(stream: &'a str, checkpoint: Option<&'a Checkpoint>) -> Position<'a> {
    Position {
        stream,
        window: window(),
        checkpoint,
        page_size: PAGE_SIZE,
    }
}

/// Where a fixture's page starts: `middle` where `first` says, `last` where `middle` says.
fn checkpoint_of(provider: &dyn Provider, fixture: &Fixture) -> Option<Checkpoint> {
    let before = match fixture.name.as_str() {
        "middle" => "first",
        "last" => "middle",
        _ => return None,
    };
    let before = self::fixture(fixture.code, before);
    let start = checkpoint_of(provider, &before);
    let stream = provider.spec().streams[0].name.clone();
    let response = before.response();
    let page = provider
        .page(&position(&stream, start.as_ref()), &response)
        .unwrap();
    match page.next {
        Next::More(checkpoint) => Some(checkpoint),
        Next::End | Next::Reverse(_) => panic!(
            "{}/{} says that it is the last page",
            before.code, before.name
        ),
    }
}

/// Reads a page and normalizes its items; only for seeing that nothing panics.
fn digest(provider: &dyn Provider, body: String) -> bool {
    let stream = provider.spec().streams[0].name.clone();
    let response = response(200, body);
    let Ok(page) = provider.page(&position(&stream, None), &response) else {
        return false;
    };
    for item in page.items {
        let _outcome = provider.normalize(item.get()).is_ok();
    }
    true
}

#[test]
fn every_provider_has_its_fixtures() {
    assert!(!PROVIDERS.is_empty());
    let mut missing = Vec::new();
    for entry in PROVIDERS {
        let names: BTreeSet<String> = fixtures(entry.code).into_iter().map(|f| f.name).collect();
        for name in [
            "first",
            "middle",
            "last",
            "bad-item",
            "card-like-ids",
            "documented",
            "published",
        ] {
            if !names.contains(name) {
                missing.push(format!("tests/fixtures/{}/{name}.json", entry.code));
            }
        }
        if !names.iter().any(|name| name.starts_with("refusal-")) {
            missing.push(format!(
                "tests/fixtures/{}/refusal-<status>.json",
                entry.code
            ));
        }
    }
    assert!(
        missing.is_empty(),
        "missing; the head of this file says what is in them: {missing:#?}"
    );
}

#[test]
fn every_folder_belongs_to_a_provider() {
    for folder in fs::read_dir(folder(".")).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(
            name == "databases" || PROVIDERS.iter().any(|entry| entry.code == name),
            "tests/fixtures/{name}: no such provider"
        );
    }
}

#[test]
fn specs() {
    for entry in PROVIDERS {
        let spec = build(entry.code, json!({})).spec();
        assert_eq!(spec.code, entry.code);
        assert!(spec.page_size <= spec.max_page_size, "{}", spec.code);
        assert!(
            spec.redaction.exact.contains(&spec.id_key),
            "{}: an id may look like a card number",
            spec.code
        );
        let names: BTreeSet<&str> = spec.streams.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            names.len(),
            spec.streams.len(),
            "{}: a name twice",
            spec.code
        );
        insta::assert_snapshot!(format!("{}__spec", spec.code), show::spec(&spec));
    }
}

#[test]
fn requests() {
    for entry in PROVIDERS {
        let provider = build(entry.code, json!({}));
        let texts: Vec<String> = provider
            .spec()
            .streams
            .iter()
            .map(|stream| {
                let request = provider.request(&position(&stream.name, None)).unwrap();
                format!("# {}\n{}", stream.name, show::request(&request))
            })
            .collect();
        insta::assert_snapshot!(format!("{}__requests", entry.code), texts.join("\n"));
        assert!(provider.request(&position("no_such_stream", None)).is_err());
    }
}

#[test]
fn pages_and_transactions() {
    for fixture in pages() {
        let provider = build(fixture.code, json!({}));
        let stream = provider.spec().streams[0].name.clone();
        let checkpoint = checkpoint_of(provider.as_ref(), &fixture);
        let at = position(&stream, checkpoint.as_ref());
        let response = fixture.response();
        let page = provider.page(&at, &response).unwrap();
        match fixture.name.as_str() {
            "first" | "middle" => assert_ne!(page.next, Next::End, "{}", fixture.code),
            "last" => assert_eq!(page.next, Next::End, "{}", fixture.code),
            _ => {}
        }
        let mut text = show::page(&page);
        if checkpoint.is_some() {
            let request = provider.request(&at).unwrap();
            text = format!("{}\n{text}", show::request(&request));
        }
        for item in &page.items {
            let outcome = provider.normalize(item.get());
            if let Ok(row) = &outcome {
                let id = wire::Object::item(item.get())
                    .unwrap()
                    .text(provider.spec().id_key);
                assert_eq!(id.as_ref(), Some(&row.provider_transaction_id));
            }
            if matches!(fixture.name.as_str(), "first" | "middle" | "last") {
                assert!(outcome.is_ok(), "{}/{}", fixture.code, fixture.name);
            }
            text.push('\n');
            text.push_str(&show::outcome(&outcome));
        }
        insta::assert_snapshot!(format!("{}__{}", fixture.code, fixture.name), text);
    }
}

#[test]
fn bad_items_are_told_apart_from_good_ones() {
    for entry in PROVIDERS {
        let provider = build(entry.code, json!({}));
        let stream = provider.spec().streams[0].name.clone();
        let response = fixture(entry.code, "bad-item").response();
        let page = provider.page(&position(&stream, None), &response).unwrap();
        let good = page
            .items
            .iter()
            .filter(|item| provider.normalize(item.get()).is_ok())
            .count();
        assert!(
            0 < good && good < page.items.len(),
            "{}: {good} of {} items in bad-item.json are good",
            entry.code,
            page.items.len()
        );
    }
}

#[test]
fn refusals() {
    for entry in PROVIDERS {
        let provider = build(entry.code, json!({}));
        let mut texts = Vec::new();
        for fixture in fixtures(entry.code) {
            let Some(rest) = fixture.name.strip_prefix("refusal-") else {
                continue;
            };
            let status: u16 = rest.split('-').next().unwrap().parse().unwrap();
            let refusal = provider.refusal(&response(status, fixture.body.clone()));
            texts.push(format!("{}: {refusal:#?}", fixture.name));
        }
        let blocked = provider.refusal(&response(403, "<html>error code: 1010</html>".to_owned()));
        texts.push(format!("a web page: {blocked:#?}"));
        let empty = provider.refusal(&response(502, String::new()));
        texts.push(format!("nothing: {empty:#?}"));
        insta::assert_snapshot!(format!("{}__refusals", entry.code), texts.join("\n"));
    }
}

#[test]
fn what_is_no_page_is_an_error() {
    for entry in PROVIDERS {
        let provider = build(entry.code, json!({}));
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "\"ok\"",
            "<html>wait</html>",
            "{\"data\":{}}",
        ] {
            assert!(
                !digest(provider.as_ref(), body.to_owned()),
                "{}: {body}",
                entry.code
            );
        }
    }
}

/// Memory is bounded by more than the size of a body: the smallest items take the most beside their text.
#[test]
fn more_items_than_any_page_has_are_refused() {
    for entry in PROVIDERS {
        let provider = build(entry.code, json!({}));
        let stream = provider.spec().streams[0].name.clone();
        let first = fixture(entry.code, "first").response();
        let at = position(&stream, None);
        let item = provider.page(&at, &first).unwrap().items[0].get();
        let full = |items: usize| {
            let many = format!("{item}{}", ",0".repeat(items));
            response(200, first.body.replacen(item, &many, 1))
        };
        assert!(provider.page(&at, &full(1000)).is_ok(), "{}", entry.code);
        let refused = provider.page(&at, &full(wire::MAX_ITEMS)).err();
        let expected = Some(PageError::TooMany(wire::MAX_ITEMS));
        assert_eq!(refused, expected, "{}", entry.code);
    }
}

#[test]
fn redaction_changes_no_transaction() {
    for fixture in pages() {
        let provider = build(fixture.code, json!({}));
        let keys = provider.spec().redaction;
        let stream = provider.spec().streams[0].name.clone();
        let checkpoint = checkpoint_of(provider.as_ref(), &fixture);
        let response = fixture.response();
        let page = provider
            .page(&position(&stream, checkpoint.as_ref()), &response)
            .unwrap();
        for item in page.items {
            let stored = redact(item.get(), &keys).text.into_owned();
            for redacted in [
                redaction::redact(item, &keys),
                RawValue::from_string(stored).unwrap(),
            ] {
                for card in CARDS {
                    assert!(!redacted.get().contains(card));
                }
                assert_eq!(
                    provider.normalize(redacted.get()),
                    provider.normalize(item.get()),
                    "{}/{}: {}",
                    fixture.code,
                    fixture.name,
                    redacted.get()
                );
            }
        }
    }
}

/// A row's name and time are found without reading its item.
#[test]
fn what_is_found_on_the_way_is_what_is_read() {
    let mut times = 0;
    for fixture in pages() {
        let provider = build(fixture.code, json!({}));
        let spec = provider.spec();
        let stream = spec.streams[0].name.clone();
        let checkpoint = checkpoint_of(provider.as_ref(), &fixture);
        let response = fixture.response();
        let page = provider
            .page(&position(&stream, checkpoint.as_ref()), &response)
            .unwrap();
        for (item, stream) in page
            .items
            .iter()
            .flat_map(|item| spec.streams.iter().map(move |stream| (item, stream)))
        {
            let Ok(read) = provider.normalize(item.get()) else {
                continue;
            };
            let key = stream.axis.map_or("", |shown| shown.key);
            let found = redact_and_extract(
                item.get(),
                &spec.redaction,
                &Rules::default(),
                [spec.id_key, key],
            );
            let [id, time] = found.extracted.map(|member| member.and_then(wire::text_of));
            assert_eq!(
                id.as_ref(),
                Some(&read.provider_transaction_id),
                "{}/{}",
                fixture.code,
                fixture.name
            );
            let Some(shown) = stream.axis else { continue };
            let time = time.and_then(|time| wire::parse_instant(&time, shown.zone));
            let column = match shown.axis {
                Axis::Created => read.created_at,
                Axis::Updated | Axis::Corrected => read.updated_at,
                Axis::Paid => read.paid_at,
                Axis::Settled => read.settled_at,
            };
            assert_eq!(
                time, column,
                "{}/{}: {}",
                fixture.code, fixture.name, stream.name
            );
            times += usize::from(time.is_some());
        }
    }
    assert!(times > 50, "{times}");
}

#[test]
fn only_documented_parameters_are_sent() {
    for entry in PROVIDERS {
        let provider = build(entry.code, json!({}));
        let documented: BTreeSet<String> =
            serde_json::from_value(fixture(entry.code, "documented").json()).unwrap();
        let mut sent = BTreeSet::new();
        for stream in provider.spec().streams {
            let mut checkpoints = vec![None];
            for name in ["middle", "last"] {
                checkpoints.push(checkpoint_of(provider.as_ref(), &fixture(entry.code, name)));
            }
            for checkpoint in checkpoints {
                let request = provider
                    .request(&position(&stream.name, checkpoint.as_ref()))
                    .unwrap();
                sent.extend(request.query.into_iter().map(|(name, _)| name));
                if let Some(body) = request.body {
                    sent.extend(show::paths(&serde_json::from_str(&body).unwrap()));
                }
            }
        }
        let undocumented: Vec<&String> = sent.difference(&documented).collect();
        assert!(undocumented.is_empty(), "{}: {undocumented:?}", entry.code);
        for fixture in fixtures(entry.code) {
            if fixture.name.starts_with("published-request") {
                let published: BTreeSet<String> =
                    show::paths(&fixture.json()).into_iter().collect();
                let unknown: Vec<&String> = published.difference(&documented).collect();
                assert!(unknown.is_empty(), "{}: {unknown:?}", entry.code);
            }
        }
    }
}

#[test]
fn unknown_options_are_named() {
    for entry in PROVIDERS {
        let settings = Settings {
            time_zone: Tz::UTC,
            options: json!({"colour": "red"}),
        };
        let Err(error) = paysync_provider::build(entry.code, &settings) else {
            panic!("{} takes any option", entry.code);
        };
        assert!(error.0.contains("colour"), "{error}");
    }
}

/// Every documented filter is taken, and the query's fields are those of the page's own sample.
#[test]
fn the_dwh_asks_for_what_its_page_documents() {
    let code = "begateway_dwh";
    let own = ["date_from", "date_to", "date_type", "test", "uid_from"];
    let documented: Vec<String> =
        serde_json::from_value(fixture(code, "documented").json()).unwrap();
    for filter in documented
        .iter()
        .filter_map(|path| path.strip_prefix("filter."))
    {
        let accepts = |value: Value| {
            let settings = Settings {
                time_zone: Tz::UTC,
                options: json!({"filter": {filter: value}}),
            };
            paysync_provider::build(code, &settings).is_ok()
        };
        let taken = accepts(json!("1")) || accepts(json!(1));
        assert_eq!(taken, !own.contains(&filter), "{filter}");
    }

    let words = |query: &str| -> BTreeSet<String> {
        query
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let request = build(code, json!({}))
        .request(&position("created_at", None))
        .unwrap();
    let body: Value = serde_json::from_str(&request.body.unwrap()).unwrap();
    let asked = words(body["response_parameters"].as_str().unwrap());
    let published = fixture(code, "published-request").json();
    let mut sample = words(published["response_parameters"].as_str().unwrap());
    for secret in ["cavv", "creq", "md", "pa_req", "token"] {
        assert!(sample.remove(secret), "{secret}");
    }
    assert_eq!(asked, sample);
}

#[test]
fn test_transactions_have_streams_of_their_own() {
    let provider = build("begateway_dwh", json!({"include_test": true}));
    let names: Vec<String> = provider
        .spec()
        .streams
        .into_iter()
        .map(|s| s.name)
        .collect();
    assert_eq!(
        names,
        [
            "created_at",
            "updated_at",
            "created_at/test",
            "updated_at/test"
        ]
    );
    for name in names {
        let request = provider.request(&position(&name, None)).unwrap();
        let body: Value = serde_json::from_str(&request.body.unwrap()).unwrap();
        let expected = name.ends_with("/test").then_some(json!(true));
        assert_eq!(body["filter"].get("test").cloned(), expected, "{name}");
        assert_eq!(body["filter"]["date_type"], name.trim_end_matches("/test"));
    }
}

fn nodes(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                nodes(value, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                nodes(value, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!([1, "a", null])),
        Just(json!({"id": {"id": []}})),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn a_truncated_page_is_an_error(which in any::<Index>(), length in any::<Index>()) {
        let pages = pages();
        let fixture = which.get(&pages);
        let whole: Vec<char> = fixture.body.trim_end().chars().collect();
        let cut: String = whole.iter().take(length.index(whole.len())).collect();
        let provider = build(fixture.code, json!({}));
        prop_assert!(!digest(provider.as_ref(), cut));
    }

    #[test]
    fn a_changed_byte_never_panics(which in any::<Index>(), place in any::<Index>(), c in any::<char>()) {
        let pages = pages();
        let fixture = which.get(&pages);
        let mut chars: Vec<char> = fixture.body.chars().collect();
        let place = place.index(chars.len());
        chars[place] = c;
        digest(build(fixture.code, json!({})).as_ref(), chars.into_iter().collect());
    }

    #[test]
    fn a_changed_value_never_panics(which in any::<Index>(), place in any::<Index>(), odd in odd_value()) {
        let pages = pages();
        let fixture = which.get(&pages);
        let mut body = fixture.json();
        let mut found = Vec::new();
        nodes(&body, "", &mut found);
        let path = place.get(&found);
        *body.pointer_mut(path).unwrap() = odd;
        digest(build(fixture.code, json!({})).as_ref(), body.to_string());
    }

    #[test]
    fn any_refusal_is_one_line(status in 201u16..600, body in any::<String>()) {
        for entry in PROVIDERS {
            let refusal = build(entry.code, json!({})).refusal(&response(status, body.clone()));
            prop_assert_eq!(&refusal.message, &wire::one_line(&refusal.message));
        }
    }
}
