//! Bodies that are no page, cut short or altered: errors, never panics.

use paysync_provider::{PROVIDERS, PageError, Provider, wire};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::providers::{build, fixture, pages, position, response};

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
fn a_body_that_is_no_page_is_an_error() {
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
