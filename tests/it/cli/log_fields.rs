//! The fields of each kind of log line, which operators filter and alert by.

use std::collections::{BTreeMap, BTreeSet};

use paysync_simulator::{Fault, Provider};
use serde_json::{Value, json};

use super::fixture::{Fixture, Ran};
use crate::providers;

const DWH: &str = "simulated-begateway-dwh";
const CONVERGEGATE: &str = "simulated-convergegate";

const SUSPENDED: &str = "the account is suspended";

/// The identifiers of a window's line.
const WINDOW: [&str; 5] = [
    "account.id",
    "stream.name",
    "lane",
    "window.start",
    "window.end",
];

/// The fields of the lines logged so far, by their messages; a field that only some lines of a message
/// have is left out.
#[derive(Default)]
struct Logged(BTreeMap<String, BTreeSet<String>>);

impl Logged {
    fn add(&mut self, ran: &Ran) {
        for text in ran.err.lines() {
            let line: BTreeMap<String, Value> = serde_json::from_str(text).unwrap();
            for key in line.keys() {
                let times = text.matches(&format!("\"{key}\":")).count();
                assert_eq!(times, 1, "{key} is there more than once: {text}");
            }
            for key in ["timestamp", "level", "target", "message"] {
                assert!(line[key].is_string(), "{key}: {text}");
            }
            assert!(line.values().all(|value| !value.is_object()), "{text}");
            let fields: BTreeSet<String> = line.keys().cloned().collect();
            let message = line["message"].as_str().unwrap().to_owned();
            self.0
                .entry(message)
                .and_modify(|known| known.retain(|field| fields.contains(field)))
                .or_insert(fields);
        }
    }

    fn assert_has(&self, message: &str, fields: &[&str]) {
        let Some(logged) = self.0.get(message) else {
            panic!("never logged: {message}; but {:?}", self.0.keys());
        };
        let missing: Vec<_> = fields.iter().filter(|f| !logged.contains(**f)).collect();
        assert!(missing.is_empty(), "{message}: no {missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_line_has_its_fields() {
    let fixture = Fixture::new().await;
    let text = fixture.text() + "[log]\nfilter = \"paysync=debug\"\n";
    let file = fixture.file("log.toml", &text);
    let mut logged = Logged::default();
    let mut sync = async |account, code, faults: Vec<Fault>| {
        let provider = match account {
            DWH => Provider::BegatewayDwh,
            _ => Provider::Convergegate,
        };
        let before = fixture.simulator.requests(provider).faults;
        for fault in faults {
            fixture.simulator.fail_next(provider, fault);
        }
        // A sync within the second after the one before has nothing to request.
        while fixture.simulator.requests(provider).faults == before {
            let arguments = ["sync", "--give-up-after", "2s", "--account", account];
            let ran = fixture.run_with(&file, &arguments, &[]).await;
            logged.add(&ran);
            let served = fixture.simulator.requests(provider).faults > before;
            assert!(ran.code == code || !served, "{ran:?}");
        }
        fixture.simulator.clear_faults(provider);
    };
    let mut item = providers::fixture("convergegate", "last").json()["result"][0].take();
    item["status"] = json!("a new word");
    // Some streams filter by a time that items do not show: each gets the items.
    let items = vec![Fault::Extra(format!("{item},{{}}")); 6];
    let faults = [vec![Fault::Status(500)], items].concat();
    sync(CONVERGEGATE, 0, faults).await;
    sync(DWH, 0, vec![Fault::Status(401)]).await;
    sync(DWH, 0, vec![Fault::Status(404)]).await;
    let an_hour = Some("3600".to_owned());
    sync(DWH, 1, vec![Fault::RateLimited(an_hour)]).await;

    let failure = [&WINDOW[..], &["error", "hint", "times", "retry_ms"]].concat();
    logged.assert_has("reading a window failed", &failure);
    logged.assert_has("the stream is suspended", &failure);
    logged.assert_has(SUSPENDED, &failure);
    let counts = [
        "records.items",
        "records.inserted",
        "records.updated",
        "records.unchanged",
        "records.stale",
        "records.duplicate",
        "records.quarantined",
        "duration_ms",
    ];
    logged.assert_has("window read", &[&WINDOW[..], &counts[..]].concat());
    let page = [
        "account.id",
        "stream.name",
        "lane",
        "window.id",
        "records.items",
        "records.inserted",
        "records.updated",
        "records.unchanged",
        "redactions",
    ];
    logged.assert_has("page stored", &page);
    let retry = ["account.id", "stream.name", "error", "delay_ms"];
    logged.assert_has("request failed, trying again", &retry);
    let of_a_page = ["account.id", "stream.name", "window.start", "window.end"];
    let noticed = [&of_a_page[..], &["times", "hint"]].concat();
    let quarantined = [&noticed[..], &["records.quarantined", "error"]].concat();
    logged.assert_has("items were put into quarantine", &quarantined);
    let outside = [&noticed[..], &["records.outside", "records.items"]].concat();
    logged.assert_has("rows lie outside the window asked for", &outside);
    logged.assert_has(
        "the provider's word is stored as unknown or other",
        &["account.id", "column", "word", "hint"],
    );
    fixture.end().await;
}

/// A filter that shows warnings only shows them with all their fields.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_takes_no_field_away() {
    let fixture = Fixture::new().await;
    for filter in ["warn", "paysync::engine=warn", "error,paysync::engine=info"] {
        let text = format!("{}[log]\nfilter = \"{filter}\"\n", fixture.text());
        let file = fixture.file("log.toml", &text);
        let refused = Fault::Status(401);
        fixture.simulator.fail_next(Provider::BegatewayDwh, refused);
        let mut logged = Logged::default();
        // As above.
        while !logged.0.contains_key(SUSPENDED) {
            let arguments = ["sync", "--account", DWH];
            let ran = fixture.run_with(&file, &arguments, &[]).await;
            assert_eq!(ran.code, 0, "{ran:?}");
            logged.add(&ran);
        }
        logged.assert_has(SUSPENDED, &WINDOW);
    }
    fixture.end().await;
}
