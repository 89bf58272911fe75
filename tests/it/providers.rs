//! Every provider against its fixtures: what it asks, what it reads, what it makes of it.
//!
//! A folder under `tests/fixtures/` is named after a provider's code. Its files, by name:
//! `first`, `middle`, `last`: three pages of one window; `refusal-<status>`: an answer that is no
//! page; `published-request…`: request bodies from the documentation; `documented`: names from its
//! tables; all others: further pages (`bad-item`; `card-like-ids`: every id, reference and amount
//! passes Luhn; `published…`: the documentation's own examples).

mod documented_parameters;
pub(crate) mod redaction;
mod robustness;
mod sent_requests;
mod show;
mod time_zones;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{TimeZone as _, Utc};
use chrono_tz::Tz;
use paysync_provider::model::Window;
use paysync_provider::{Checkpoint, Next, PROVIDERS, Position, Provider, Response, Settings, wire};
use serde_json::{Value, json};

/// Items on the full pages among the fixtures.
const PAGE_SIZE: u32 = 3;

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
fn bad_items_are_distinguished_from_good_ones() {
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
