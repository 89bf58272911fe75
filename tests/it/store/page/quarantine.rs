//! Items of a page that cannot become rows.

use std::borrow::Cow;

use chrono::{TimeZone as _, Utc};
use paysync_provider::item::Record;
use sqlx::PgPool;

use crate::store::{
    assert_adds_up, bad, close, hash, leased_store, more, open_one, page, record, reject, rows,
    span, state,
};

#[sqlx::test(migrations = "./migrations")]
async fn only_refused_rows_are_quarantined(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let mut records: Vec<Record<'static>> = (0..100)
        .map(|number| record(&format!("{number:04}"), 1))
        .collect();
    // Longer than an entry of an index may be, and not to be compressed.
    let mut random = fastrand::Rng::with_seed(7);
    let long: String = (0..10_000).map(|_| random.alphanumeric()).collect();
    records.insert(13, record(&long, 1));
    let mut long_ago = record("long ago", 1);
    long_ago.transaction.updated_at = Utc.with_ymd_and_hms(-5000, 1, 1, 0, 0, 0).single();
    records.insert(60, long_ago);
    records.push(Record {
        payload: Cow::Borrowed("{"),
        ..record("no json", 1)
    });
    let mut nul = record("nul", 1);
    nul.transaction.provider_transaction_id = "nul\0".to_owned();
    records.push(nul);
    let mut commit = page(&window, records, close());
    reject(&mut commit, vec![bad("[]")]);
    let counts = store.commit_page(&lease, commit).await.unwrap().counts;
    assert_adds_up(&counts);
    assert_eq!(
        (counts.items, counts.inserted, counts.quarantined),
        (105, 100, 5)
    );
    assert_eq!(rows(&pool).await.len(), 100);
    assert_eq!(
        state(&store).await.progress.coverage.windows(),
        [span(0, 1)]
    );
    let details: Vec<String> = sqlx::query_scalar(
        "SELECT detail FROM paysync.quarantine WHERE reason = 'refused_by_database' ORDER BY detail",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(
        details,
        [
            "SQLSTATE 22008",
            "SQLSTATE 22021",
            "SQLSTATE 22P02",
            "SQLSTATE 54000"
        ]
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn payloads_may_hold_text_that_jsonb_refuses(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let texts = [
        r#"{"id":"a","text":"nul \u0000 in it"}"#,
        r#"{"id":"b","text":"half a pair \ud83d"}"#,
        r#"{"id":"c",  "twice":1, "twice":2, "number":1.50e+3}"#,
    ];
    let records: Vec<Record<'_>> = ["a", "b", "c"]
        .into_iter()
        .zip(texts)
        .map(|(id, text)| Record {
            payload: Cow::Borrowed(text),
            hash: hash(text),
            ..record(id, 1)
        })
        .collect();
    let counts = store
        .commit_page(&lease, page(&window, records, close()))
        .await
        .unwrap()
        .counts;
    assert_eq!(counts.inserted, 3);
    let held: Vec<String> = rows(&pool).await.into_iter().map(|row| row.2).collect();
    assert_eq!(held, texts);
}

#[sqlx::test(migrations = "./migrations")]
async fn a_repeated_item_is_one_row_of_the_quarantine(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    for then in [more(1), close()] {
        let mut commit = page(&window, Vec::new(), then);
        // Twice in one page as well.
        reject(&mut commit, vec![bad("[]"), bad("[]")]);
        assert_eq!(
            store
                .commit_page(&lease, commit)
                .await
                .unwrap()
                .counts
                .quarantined,
            2
        );
    }
    let seen: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT payload, times_seen, reason FROM paysync.quarantine")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(seen, [("[]".to_owned(), 2, "unreadable_item".to_owned())]);
}
