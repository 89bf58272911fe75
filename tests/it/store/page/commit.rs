//! The commit of a page: its counts, its columns, and the version that is kept.

use bigdecimal::BigDecimal;
use chrono::TimeDelta;
use paysync::store::page::{CommittedPage, PageCommit, PageCounts};
use paysync_provider::RecordError;
use paysync_provider::item::Record;
use paysync_provider::model::{Kind, Status};
use sqlx::PgPool;

use crate::store::{
    ACCOUNT, assert_adds_up, bad, close, hour, items, leased_store, more, open_one, page, record,
    reject, rows, stamped,
};
use crate::support::{count, versions};

#[sqlx::test(migrations = "./migrations")]
async fn every_item_is_counted_once(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let first = vec![
        record("same", 1),
        record("newer", 1),
        record("older", 5),
        record("twice", 1),
        record("twice", 2),
    ];
    let counts = store
        .commit_page(&lease, page(&window, first, more(1)))
        .await
        .unwrap()
        .counts;
    let expected = PageCounts {
        items: 5,
        inserted: 4,
        duplicate: 1,
        ..PageCounts::default()
    };
    assert_eq!(counts, expected);

    let second = vec![
        record("same", 1),
        record("newer", 2),
        record("older", 4),
        record("new", 1),
        // The last of a page wins, even if it carries an older stamp.
        record("again", 9),
        record("again", 3),
    ];
    let mut commit = page(&window, second, close());
    reject(&mut commit, vec![bad("[]"), bad("{}")]);
    commit.context.outside = 2;
    commit.context.provider_count = Some(77);
    let counts = store.commit_page(&lease, commit).await.unwrap().counts;
    let expected = PageCounts {
        items: 8,
        inserted: 2,
        updated: 1,
        unchanged: 1,
        stale: 1,
        duplicate: 1,
        quarantined: 2,
        outside: 2,
    };
    assert_eq!(counts, expected);
    assert_adds_up(&counts);

    let ledger: (i64, i64, i64, i64, i64, i64, i64, i64, i64, Option<i64>) = sqlx::query_as(
        "SELECT pages, items, inserted, updated, unchanged, stale, duplicate, quarantined, outside, provider_count
         FROM paysync.windows",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(ledger, (2, 13, 6, 1, 1, 1, 2, 2, 2, Some(77)));
    let amounts: Vec<(String, String)> = rows(&pool)
        .await
        .into_iter()
        .map(|(id, amount, _)| (id, amount))
        .collect();
    let expected = [
        ("again", "3"),
        ("new", "1"),
        ("newer", "2"),
        ("older", "5"),
        ("same", "1"),
        ("twice", "2"),
    ];
    let expected = expected.map(|(id, amount)| (id.to_owned(), amount.to_owned()));
    assert_eq!(amounts, expected);
}

#[sqlx::test(migrations = "./migrations")]
async fn the_last_item_of_a_row_that_can_be_read_is_stored(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let versions = (1..5).map(|version| record("a", version));
    let (items, mut provider) = items(versions.collect());
    provider.transactions.remove(r#"{"id":"a","version":4}"#);
    let page = PageCommit {
        items: &items,
        provider: &provider,
        ..page(&window, vec![], close())
    };
    let committed = store.commit_page(&lease, page).await.unwrap();
    let counts = committed.counts;
    assert_adds_up(&counts);
    assert_eq!(
        (counts.inserted, counts.duplicate, counts.quarantined),
        (1, 2, 1)
    );
    let reason = RecordError::Shape.to_string();
    assert_eq!(committed.first_rejection, Some(reason));
    let stored = rows(&pool).await;
    assert_eq!(
        stored.into_iter().map(|row| row.1).collect::<Vec<_>>(),
        ["3"]
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn every_column_is_stored(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let text = |text: &str| Some(text.to_owned());
    let number = |digits: &str| Some(digits.parse::<BigDecimal>().unwrap());
    let mut full = record("full", 1);
    let row = &mut full.transaction;
    row.parent_transaction_id = text("parent");
    row.payment_group_id = text("group");
    row.merchant_reference = text("reference");
    row.shop_id = text("shop");
    row.kind = Kind::Refund;
    row.provider_kind = text("REFUND");
    row.status = Status::Failed;
    row.provider_status = text("DECLINED");
    row.amount = number("12345678901234567890.123456789012345678");
    row.currency = text("EUR");
    row.paid_amount = number("0.01");
    row.converted_amount = number("-7");
    row.converted_currency = text("JPY");
    row.fee = number("0.5");
    row.fee_currency = text("USD");
    row.created_at = Some(hour(1) + TimeDelta::microseconds(1));
    row.updated_at = Some(hour(2));
    row.paid_at = Some(hour(3));
    row.settled_at = Some(hour(4));
    row.payment_method = text("card");
    row.card_brand = text("VISA");
    row.card_bin = text("42424242");
    row.card_last4 = text("0001");
    row.card_issuer_country = text("LV");
    row.customer_id = text("customer");
    row.customer_email = text("a@example.com");
    row.customer_ip = text("192.0.2.1");
    row.error_code = text("05");
    row.error_message = text("declined");
    row.rrn = text("rrn");
    row.arn = text("arn");
    row.auth_code = text("auth");
    row.provider_reference = text("provider reference");
    row.gateway = text("gateway");
    row.description = text("description");
    row.is_test = Some(false);
    let empty = record("less", 1);
    let commit = page(&window, vec![full, empty], close());
    store.commit_page(&lease, commit).await.unwrap();
    let table = crate::support::stored(&pool, ACCOUNT).await;
    let expected = serde_json::json!({
        "provider_transaction_id": "full", "parent_transaction_id": "parent", "payment_group_id": "group",
        "merchant_reference": "reference", "shop_id": "shop", "kind": "refund", "provider_kind": "REFUND",
        "status": "failed", "provider_status": "DECLINED",
        "amount": "12345678901234567890.123456789012345678", "currency": "EUR", "paid_amount": "0.01",
        "converted_amount": "-7", "converted_currency": "JPY", "fee": "0.5", "fee_currency": "USD",
        "created_at": "2026-03-01T01:00:00.000001Z", "updated_at": "2026-03-01T02:00:00.000000Z",
        "paid_at": "2026-03-01T03:00:00.000000Z", "settled_at": "2026-03-01T04:00:00.000000Z",
        "payment_method": "card", "card_brand": "VISA", "card_bin": "42424242", "card_last4": "0001",
        "card_issuer_country": "LV", "customer_id": "customer", "customer_email": "a@example.com",
        "customer_ip": "192.0.2.1", "error_code": "05", "error_message": "declined", "rrn": "rrn",
        "arn": "arn", "auth_code": "auth", "provider_reference": "provider reference",
        "gateway": "gateway", "description": "description", "is_test": "false",
    });
    assert_eq!(serde_json::Value::Object(table["full"].clone()), expected);
    assert!(table["less"]["fee"].is_null() && table["less"]["is_test"].is_null());
}

#[sqlx::test(migrations = "./migrations")]
async fn an_unchanged_page_writes_no_row(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let records = || -> Vec<Record<'static>> {
        (0..300)
            .map(|number| record(&format!("{number:04}"), 1))
            .collect()
    };
    let counts = store
        .commit_page(&lease, page(&window, records(), more(1)))
        .await
        .unwrap()
        .counts;
    assert_eq!(counts.inserted, 300);
    let before = versions(&pool).await;
    assert_eq!(before.len(), 600);
    let counts = store
        .commit_page(&lease, page(&window, records(), more(2)))
        .await
        .unwrap()
        .counts;
    assert_eq!((counts.items, counts.unchanged), (300, 300));
    assert_eq!(versions(&pool).await, before);

    // One row with news: only that one is written.
    let mut records = records();
    records[7] = record("0007", 2);
    let counts = store
        .commit_page(&lease, page(&window, records, close()))
        .await
        .unwrap()
        .counts;
    assert_eq!((counts.unchanged, counts.updated), (299, 1));
    let after = versions(&pool).await;
    let untouched = before.iter().filter(|row| after.contains(row)).count();
    assert_eq!((untouched, after.len()), (598, 601));
}

/// Stamps and requests decide which version is kept, whatever order they come in.
#[sqlx::test(migrations = "./migrations")]
async fn the_newest_version_is_current_and_the_others_are_history(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let commit = |record: Record<'static>, requested: i64| {
        let mut commit = page(
            &window,
            vec![record],
            more(u64::try_from(requested).unwrap()),
        );
        commit.context.requested_at = hour(requested);
        store.commit_page(&lease, commit)
    };
    let of = |page: CommittedPage| {
        let counts = page.counts;
        (
            counts.inserted,
            counts.updated,
            counts.unchanged,
            counts.stale,
        )
    };
    let (new, updated, unchanged, stale) = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1));

    assert_eq!(of(commit(record("a", 2), 10).await.unwrap()), new);
    assert_eq!(of(commit(record("a", 3), 11).await.unwrap()), updated);
    assert_eq!(of(commit(record("a", 1), 12).await.unwrap()), stale);
    assert_eq!(of(commit(record("a", 3), 13).await.unwrap()), unchanged);
    // Equal stamps, other contents: the later request wins.
    let same_stamp = |version| stamped("a", version, record("a", 3).transaction.updated_at);
    assert_eq!(of(commit(same_stamp(7), 9).await.unwrap()), stale);
    assert_eq!(of(commit(same_stamp(8), 20).await.unwrap()), updated);
    // A newer stamp wins even if it was asked for earlier.
    assert_eq!(of(commit(record("a", 10), 5).await.unwrap()), updated);
    // Without stamps only the request counts.
    assert_eq!(of(commit(stamped("b", 1, None), 10).await.unwrap()), new);
    assert_eq!(of(commit(stamped("b", 2, None), 9).await.unwrap()), stale);
    assert_eq!(
        of(commit(stamped("b", 3, None), 11).await.unwrap()),
        updated
    );

    let held: Vec<String> = rows(&pool).await.into_iter().map(|row| row.2).collect();
    assert_eq!(
        held,
        [r#"{"id":"a","version":10}"#, r#"{"id":"b","version":3}"#]
    );
    let history: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT provider_transaction_id, amount::text, valid_from < valid_to
         FROM paysync.transaction_history ORDER BY provider_transaction_id, version",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let expected = [
        ("a", "2", true),
        ("a", "3", true),
        ("a", "8", true),
        ("b", "1", true),
    ]
    .map(|(id, amount, ordered)| (id.to_owned(), amount.to_owned(), ordered));
    assert_eq!(history, expected);
    // The versions follow each other without a hole, up to the one that is held.
    let holes = count(
        &pool,
        "SELECT count(*) FROM (
            SELECT valid_to, coalesce(
                lead(valid_from) OVER (PARTITION BY provider_transaction_id ORDER BY version),
                (SELECT version_from FROM paysync.transactions AS held
                 WHERE held.provider_transaction_id = history.provider_transaction_id)
            ) AS next_from
            FROM paysync.transaction_history AS history
        ) AS pairs WHERE valid_to <> next_from",
    );
    assert_eq!(holes.await, 0);
}
