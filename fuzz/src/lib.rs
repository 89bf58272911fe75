//! Properties that hold for every answer of a provider, even a malformed or hostile one.

use chrono::{DateTime, TimeDelta, Utc};
use paysync_provider::model::{Transaction, Window};
use paysync_provider::redact::redact;
use paysync_provider::{Checkpoint, Next, Position, Provider, Response, Settings, StreamSpec};
use serde_json::json;
use serde_json::value::RawValue;

/// Items nested deeper go to quarantine unread.
const MAX_DEPTH: u32 = 128;

/// Digits of the shortest card number.
const MIN_CARD_DIGITS: usize = 13;

/// More characters than any amount has.
const MAX_AMOUNT_LENGTH: usize = 1_000;

fn build(code: &str) -> Box<dyn Provider> {
    let settings = Settings {
        time_zone: chrono_tz::Tz::UTC,
        options: json!({}),
    };
    paysync_provider::build(code, &settings).expect(code)
}

/// Reads an answer and its items, and builds the request for the next page. The last byte of `data` selects
/// the stream and the checkpoint; the bytes before it are the body.
pub fn page(code: &str, data: &[u8]) {
    let Some((&choice, body)) = data.split_last() else {
        return;
    };
    let provider = build(code);
    let spec = provider.spec();
    let choice = usize::from(choice);
    let stream = &spec.streams[choice % spec.streams.len()];
    let checkpoint = checkpoint(choice / spec.streams.len());
    let at = Position {
        stream: &stream.name,
        window: window(stream),
        checkpoint: checkpoint.as_ref(),
        page_size: 3,
    };
    let response = |status| {
        let (body, lossy) = match std::str::from_utf8(body) {
            Ok(body) => (body.to_owned(), false),
            Err(_) => (String::from_utf8_lossy(body).into_owned(), true),
        };
        Response {
            status,
            content_type: "application/json".to_owned(),
            body,
            lossy,
        }
    };
    for status in [400, 401, 403, 422, 429, 500] {
        let refusal = provider.refusal(&response(status));
        assert!(refusal.message.len() < 1_000, "a message is truncated");
    }
    let answer = response(200);
    let _count = provider.count(&answer);
    for item in provider.items_by_id(&answer).into_iter().flatten() {
        check_item(&*provider, item);
    }
    let Ok(page) = provider.page(&at, &answer) else {
        return;
    };
    for item in &page.items {
        check_item(&*provider, item);
    }
    if let Next::More(next) | Next::Reverse(next) = &page.next {
        let stored = serde_json::to_string(next).expect("a checkpoint can be stored");
        let read: Checkpoint = serde_json::from_str(&stored).expect("and read again");
        assert_eq!(read, *next, "{stored}");
        let at = Position {
            checkpoint: Some(next),
            ..at
        };
        let again = provider.page(&at, &answer).map(|page| page.next);
        let _request = provider.request(&at);
        if let Ok(Next::More(again)) = again {
            assert!(serde_json::to_string(&again).is_ok());
        }
    }
}

/// Reads one item, as sent and as stored.
pub fn normalize(code: &str, data: &[u8]) {
    let Ok(item) = serde_json::from_slice::<&RawValue>(data) else {
        return;
    };
    check_item(&*build(code), item);
}

fn check_item(provider: &dyn Provider, item: &RawValue) {
    let rules = provider.spec().redaction;
    let stored = redact(item.get(), &rules);
    assert!(stored.valid, "an item is JSON");
    if stored.depth > MAX_DEPTH {
        return;
    }
    let again = redact(&stored.text, &rules);
    assert_eq!(again.text, stored.text, "redaction is idempotent");
    let kept: &RawValue = serde_json::from_str(&stored.text).expect("a redacted item is JSON");
    let Ok(transaction) = provider.normalize(kept.get()) else {
        return;
    };
    assert_storable(&transaction);
    let twice = provider
        .normalize(kept.get())
        .expect("a second reading succeeds");
    assert_eq!(
        transaction, twice,
        "a second reading gives the same transaction"
    );
    // Redaction does not change amounts, ids and times.
    let whole = provider
        .normalize(item.get())
        .expect("the unredacted item is readable");
    assert_eq!(money(&transaction), money(&whole));
}

fn money(transaction: &Transaction) -> impl PartialEq + std::fmt::Debug {
    (
        transaction.provider_transaction_id.clone(),
        transaction.amount.clone(),
        // A currency without an amount is free text, and long text may contain a card number.
        transaction
            .amount
            .as_ref()
            .and(transaction.currency.clone())
            .filter(|currency| currency.len() < MIN_CARD_DIGITS),
        transaction.kind,
        transaction.status,
        transaction.created_at,
    )
}

/// The database can store the transaction.
fn assert_storable(transaction: &Transaction) {
    assert!(!transaction.provider_transaction_id.is_empty());
    let amounts = [
        &transaction.amount,
        &transaction.paid_amount,
        &transaction.converted_amount,
        &transaction.fee,
    ];
    for amount in amounts.into_iter().flatten() {
        let (_, scale) = amount.as_bigint_and_exponent();
        assert!(
            scale.unsigned_abs() < 1_000 && amount.to_string().len() < MAX_AMOUNT_LENGTH,
            "{amount:e}"
        );
    }
}

fn window(stream: &StreamSpec) -> Window {
    let start = DateTime::<Utc>::from_timestamp(1_704_067_200, 0).expect("a time");
    Window::new(start, start + TimeDelta::days(2).max(stream.unit)).expect("a window")
}

fn checkpoint(choice: usize) -> Option<Checkpoint> {
    match choice % 7 {
        1 => Some(Checkpoint::Object {
            last_object_id: "2".to_owned(),
        }),
        2 => Some(Checkpoint::ObjectBefore {
            first_object_id: "9".to_owned(),
            highest_id: Some("12".to_owned()),
        }),
        3 => Some(Checkpoint::Date {
            next_date: "2024-01-01T10:00:00.000000Z".to_owned(),
            next_uid: Some("a".to_owned()),
        }),
        4 => Some(Checkpoint::Offset {
            offset: 2,
            last_id: Some("a".to_owned()),
        }),
        5 => Some(Checkpoint::Page {
            page: 2,
            size: Some(3),
        }),
        6 => Some(Checkpoint::Row {
            row_id: "a".to_owned(),
            created_at: DateTime::<Utc>::from_timestamp(1_704_067_200, 0).expect("a time"),
        }),
        _ => None,
    }
}
