//! Pages of new rows, which are copied: the same comes out as by the upsert, whatever is in the way.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{TimeDelta, TimeZone as _, Utc};
use paysync::store::page::PageCommit;
use paysync_provider::item::Record;
use paysync_provider::model::{Field, Transaction};
use sqlx::PgPool;

use crate::store::{
    ACCOUNT, assert_adds_up, close, hash, hour, items, leased_store, more, open, open_one, page,
    planned, record,
};
use crate::support::{count, in_time};

const ROWS: usize = 120;

/// Rows each of which lacks other columns.
fn rows_of_all_kinds() -> Vec<Record<'static>> {
    let amounts = [
        "12345678901234567890.123456789012345678",
        "-0.000000000000000001",
        "1e30",
        "0",
        "-7",
        "100.00",
    ];
    let mut rows: Vec<Record<'static>> = (0..ROWS)
        .map(|number| record(&format!("{number:04}"), 1))
        .collect();
    for (number, row) in rows.iter_mut().enumerate() {
        let mut random = fastrand::Rng::with_seed(u64::try_from(number).unwrap());
        let nothing = Transaction::default();
        let t = &mut row.transaction;
        for column in Transaction::COLUMNS {
            match column.field {
                // The key and the words stay.
                Field::Text { get, .. } if get(&nothing).is_some() => {}
                Field::Text { set, .. } => {
                    let text = format!("{} é€😀 {number}", column.name);
                    set(t, random.bool().then_some(text)).unwrap();
                }
                Field::Numeric { set, .. } => {
                    let text = amounts.get(random.usize(0..8));
                    set(t, text.map(|text| text.parse().unwrap()));
                }
                Field::Timestamptz { set, .. } => {
                    let after = TimeDelta::microseconds(random.i64(0..1_000_000_000_000));
                    set(t, random.bool().then(|| hour(0) + after));
                }
                Field::Boolean { set, .. } => set(t, [None, Some(true), Some(false)][number % 3]),
            }
        }
    }
    rows
}

async fn payloads(pool: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT provider_transaction_id, payload::text FROM paysync.raw_transactions ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrations = "./migrations")]
async fn copied_rows_equal_upserted_rows(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    // A copy that fails is made good by the upsert without a sign.
    sqlx::raw_sql(
        "CREATE TABLE statements (text text);
         CREATE FUNCTION log_statement() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN INSERT INTO public.statements VALUES (current_query()); RETURN NULL; END';
         CREATE TRIGGER log_statement AFTER INSERT ON paysync.transactions EXECUTE FUNCTION log_statement()",
    )
    .execute(&pool)
    .await
    .unwrap();
    let windows = open(&store, &lease, &[planned(0, 1), planned(1, 2)]).await;
    let counts = store
        .commit_page(&lease, page(&windows[0], rows_of_all_kinds(), close()))
        .await
        .unwrap()
        .counts;
    assert_eq!((counts.items, counts.inserted), (120, 120));
    let copied = (
        crate::support::stored(&pool, ACCOUNT).await,
        payloads(&pool).await,
    );
    assert_eq!(copied.0.len(), ROWS);
    let copies = "SELECT count(*) FROM statements WHERE text LIKE 'COPY paysync.transactions%'";
    assert_eq!(count(&pool, copies).await, 1);
    sqlx::query("TRUNCATE paysync.transactions, paysync.raw_transactions")
        .execute(&pool)
        .await
        .unwrap();

    // Small pages are upserted.
    let mut rows = rows_of_all_kinds();
    while !rows.is_empty() {
        let part = rows.split_off(rows.len().saturating_sub(20));
        let then = if rows.is_empty() { close() } else { more(1) };
        store
            .commit_page(&lease, page(&windows[1], part, then))
            .await
            .unwrap();
    }
    let upserted = (
        crate::support::stored(&pool, ACCOUNT).await,
        payloads(&pool).await,
    );
    assert_eq!(copied, upserted);
}

#[sqlx::test(migrations = "./migrations")]
async fn only_rejected_rows_of_a_copy_are_not_stored(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let mut rows = rows_of_all_kinds();
    rows[60].payload = Cow::Borrowed("{");
    rows[61].transaction.created_at = Utc.with_ymd_and_hms(-5000, 1, 1, 0, 0, 0).single();
    rows[62].transaction.description = Some("a\0b".to_owned());
    let counts = store
        .commit_page(&lease, page(&window, rows, close()))
        .await
        .unwrap()
        .counts;
    assert_adds_up(&counts);
    assert_eq!((counts.inserted, counts.quarantined), (117, 3));
    assert_eq!(payloads(&pool).await.len(), 117);
}

/// A page's records are never all in memory: each is read when PostgreSQL has taken those before it.
#[sqlx::test(migrations = "./migrations")]
async fn a_copied_item_is_read_lazily(pool: PgPool) {
    // PostgreSQL stores so many rows at once; the others are more than fits on the way to it.
    const AT_ONCE: usize = 1_000;
    const ALL: usize = AT_ONCE + 100;
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let large = "x".repeat(400 << 10);
    let rows = (0..ALL).map(|number| {
        let mut row = record(&format!("{number:04}"), 1);
        row.transaction.description = (number >= AT_ONCE).then(|| large.clone());
        row
    });
    let (items, provider) = items(rows.collect());
    let page = PageCommit {
        items: &items,
        provider: &provider,
        ..page(&window, vec![], close())
    };
    let mut other = pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, kind, status, payload_hash, observed_at)
         VALUES ($1, 'convergegate', '0000', 'payment', 'succeeded', gen_random_uuid(), now())",
    )
    .bind(ACCOUNT)
    .execute(&mut *other)
    .await
    .unwrap();
    let waiting = async {
        wait_for_a_copy_that_waits(&pool).await;
        let read = provider.reads.load(Ordering::Relaxed);
        assert!((AT_ONCE..ALL).contains(&read), "{read} items were read");
        other.rollback().await.unwrap();
    };
    let both = futures_util::future::join(store.commit_page(&lease, page), waiting);
    let (committed, ()) = in_time("a copy that waits for another lane", both).await;
    assert_eq!(committed.unwrap().counts.inserted, 1_100);
    assert_eq!(provider.reads.load(Ordering::Relaxed), ALL);
}

/// Until a copy waits for a row that another lane has not committed.
async fn wait_for_a_copy_that_waits(pool: &PgPool) {
    let is_waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock' AND query LIKE '%COPY paysync.transactions%'";
    while count(pool, is_waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The question comes too early to see what another lane is about to commit.
#[sqlx::test(migrations = "./migrations")]
async fn a_concurrently_inserted_row_does_not_fail_the_copy(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let rows = || -> Vec<Record<'static>> {
        (0..ROWS)
            .map(|number| record(&format!("{number:04}"), 2))
            .collect()
    };
    let mut other = pool.begin().await.unwrap();
    for (id, hash, seconds) in [
        ("0003", rows()[3].hash, 2),
        ("0004", hash("older"), 1),
        ("0005", hash("newer"), 3),
    ] {
        sqlx::query(
            "INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, kind, status, updated_at, payload_hash, observed_at)
             VALUES ($1, 'convergegate', $2, 'payment', 'succeeded', $3, $4, now())",
        )
        .bind(ACCOUNT)
        .bind(id)
        .bind(hour(0) + TimeDelta::seconds(seconds))
        .bind(hash)
        .execute(&mut *other)
        .await
        .unwrap();
    }
    let committing = store.commit_page(&lease, page(&window, rows(), close()));
    let waiting = async {
        wait_for_a_copy_that_waits(&pool).await;
        other.commit().await.unwrap();
    };
    let both = futures_util::future::join(committing, waiting);
    let (counts, ()) = in_time("a copy that waits for another lane", both).await;
    let counts = counts.unwrap().counts;
    assert_adds_up(&counts);
    assert_eq!(
        (
            counts.inserted,
            counts.updated,
            counts.unchanged,
            counts.stale
        ),
        (117, 1, 1, 1)
    );
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.transaction_history").await,
        1
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn a_page_with_fewer_new_rows_than_expected_is_stored(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let windows = open(&store, &lease, &[planned(0, 1), planned(1, 2)]).await;
    let mut rows = rows_of_all_kinds();
    for row in &mut rows {
        row.transaction.updated_at = Some(hour(0));
    }
    let mut held = rows.split_off(117);
    let older = held.last_mut().unwrap();
    older.hash = hash("older");
    older.transaction.updated_at = Some(hour(0) - TimeDelta::seconds(1));
    store
        .commit_page(&lease, page(&windows[0], held, close()))
        .await
        .unwrap();

    let mut rows = rows_of_all_kinds();
    for row in &mut rows {
        row.transaction.updated_at = Some(hour(0));
    }
    rows[60].transaction.description = Some("a\0b".to_owned());
    let mut page = page(&windows[1], rows, close());
    page.likely_new = true;
    // Nothing is found there: the copy fails.
    page.created = Some(hour(50)..=hour(51));
    let counts = store.commit_page(&lease, page).await.unwrap().counts;
    assert_adds_up(&counts);
    assert_eq!((counts.inserted, counts.updated), (116, 1));
    assert_eq!((counts.unchanged, counts.quarantined), (2, 1));
    assert_eq!(payloads(&pool).await.len(), 119);
}
