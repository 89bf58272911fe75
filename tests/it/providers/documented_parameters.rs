//! Requests and options beside the names that the documentation has.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use paysync_provider::{PROVIDERS, Settings};
use serde_json::{Value, json};

use crate::providers::{build, checkpoint_of, fixture, fixtures, position, show};

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
fn the_dwh_requests_only_documented_fields() {
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
