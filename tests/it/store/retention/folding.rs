//! Folding of windows: no sum and no proof is lost.

use std::time::Duration;

use chrono::NaiveDate;
use paysync::plan::Lane;
use paysync::store::Store;
use paysync::store::account::Lease;
use paysync::store::page::{PageContext, WindowTransition};
use paysync::store::retention::Folded;
use sqlx::PgPool;

use crate::store::retention::{LIMIT, MONTH};
use crate::store::{
    ACCOUNT, STREAM, bad, close, hour, leased_store, more, new_stream, open, open_recheck, page,
    planned, record, reject, span, state,
};
use crate::support::{count, eventually, in_time, url};

/// Sums of the ledger, by stream, lane and day.
type Sums = Vec<(String, String, NaiveDate, i64, i64, i64, i64, i64, i64)>;

async fn sums(pool: &PgPool) -> Sums {
    sqlx::query_as(
        "SELECT stream, lane, day, windows, pages, items, inserted, updated, quarantined FROM paysync.ledger
         ORDER BY stream, lane, day",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// The covered instants that no window of the ledger has read, nor a folded one.
async fn unread(store: &Store) -> i64 {
    let evidence = store.evidence(ACCOUNT).await.unwrap().unwrap();
    evidence
        .streams
        .iter()
        .map(|stream| stream.unread.intervals)
        .sum()
}

/// Makes windows as old as if they had got their outcome so many days ago.
async fn age(pool: &PgPool, windows: &str, days: i32) {
    let sql = format!(
        "UPDATE paysync.windows SET opened_at = opened_at - make_interval(days => $1), closed_at = closed_at - make_interval(days => $1)
         WHERE {windows}"
    );
    let aged = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(days)
        .execute(pool)
        .await
        .unwrap();
    assert!(aged.rows_affected() > 0, "{windows}");
}

async fn fold(store: &Store) -> Folded {
    let before = store.foldable_before(ACCOUNT, STREAM, MONTH).await.unwrap();
    store
        .fold_windows(ACCOUNT, STREAM, before, 0, LIMIT)
        .await
        .unwrap()
}

/// Windows of every outcome: two closed, one split, one dropped, two open; one of these has a page.
async fn ledger(store: &Store, lease: &Lease) {
    let windows = [planned(0, 2), planned(2, 4), planned(4, 6), planned(6, 8)];
    let windows = open(store, lease, &windows).await;
    let rows = vec![record("a", 1), record("b", 1)];
    let commit = page(&windows[0], rows, close());
    store.commit_page(lease, commit).await.unwrap();
    let mut commit = page(&windows[1], vec![record("a", 2), record("c", 1)], close());
    reject(&mut commit, vec![bad("[]")]);
    store.commit_page(lease, commit).await.unwrap();
    let split = WindowTransition::Split {
        halves: (span(4, 5), span(5, 6)),
        length: chrono::TimeDelta::hours(1),
    };
    let commit = page(&windows[2], vec![record("d", 1)], split);
    store.commit_page(lease, commit).await.unwrap();
    let commit = page(&windows[3], vec![record("e", 1)], more(1));
    store.commit_page(lease, commit).await.unwrap();
    store
        .forget_coverage(ACCOUNT, None, span(7, 8))
        .await
        .unwrap();
    let windows = open(store, lease, &[planned(7, 8)]).await;
    let commit = page(&windows[0], vec![record("f", 1)], more(1));
    store.commit_page(lease, commit).await.unwrap();
}

#[sqlx::test(migrations = "./migrations")]
async fn folding_keeps_every_sum_and_what_was_read(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    ledger(&store, &lease).await;
    let nothing = Folded {
        windows: 0,
        next: None,
    };
    assert_eq!(fold(&store).await, nothing, "all of it is young");
    age(&pool, "true", 31).await;
    // One that is young enough stays.
    age(&pool, "window_start = '2026-03-01T02:00:00Z'", -2).await;

    let before = (sums(&pool).await, state(&store).await);
    assert_eq!(unread(&store).await, 0);
    let folded = fold(&store).await;
    // One closed, one split, one dropped.
    assert_eq!((folded.windows, folded.next), (3, None));
    let after = (sums(&pool).await, state(&store).await);
    assert_eq!(after.0, before.0);
    // The planner sees the same progress.
    assert_eq!(
        format!("{:?}", after.1.progress),
        format!("{:?}", before.1.progress)
    );
    assert_eq!(unread(&store).await, 0);
    let left = "SELECT count(*) FROM paysync.windows WHERE outcome IS NULL OR closed_at > now() - interval '30 days'";
    assert_eq!(count(&pool, left).await, 4);
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.windows").await,
        4
    );
    assert_eq!(fold(&store).await, nothing);

    // More of the same day is added to what is there.
    age(&pool, "outcome IS NOT NULL", 2).await;
    let before = sums(&pool).await;
    assert_eq!(fold(&store).await.windows, 1);
    assert_eq!(sums(&pool).await, before);
    let entries = "SELECT count(*) FROM paysync.window_totals";
    assert_eq!(count(&pool, entries).await, 1);
    assert_eq!(unread(&store).await, 0);
    let inserted = "SELECT sum(inserted)::bigint FROM paysync.ledger";
    let rows = "SELECT count(*) FROM paysync.transactions";
    assert_eq!(count(&pool, inserted).await, count(&pool, rows).await);
    // The fold of a stream leaves others alone.
    store
        .register_stream(ACCOUNT, &new_stream("other"))
        .await
        .unwrap();
    let names = store.stream_names().await.unwrap();
    assert_eq!(
        names,
        [(ACCOUNT, STREAM), (ACCOUNT, "other")].map(|(a, s)| (a.to_owned(), s.to_owned()))
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn batches_resume_where_the_last_one_ended(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let windows: Vec<_> = (0..10).map(|start| planned(start, start + 1)).collect();
    for window in open(&store, &lease, &windows).await {
        store
            .commit_page(&lease, page(&window, vec![], close()))
            .await
            .unwrap();
    }
    age(&pool, "window_start < '2026-03-01T07:00:00Z'", 31).await;
    let before = store.foldable_before(ACCOUNT, STREAM, MONTH).await.unwrap();
    let (mut next, mut folded) = (Some(0), Vec::new());
    while let Some(after) = next {
        let batch = store
            .fold_windows(ACCOUNT, STREAM, before, after, 3)
            .await
            .unwrap();
        folded.push(batch.windows);
        next = batch.next;
    }
    // The third batch is full and has an old window in it, so that a fourth is looked at.
    assert_eq!(folded, [3, 3, 1, 0]);
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.windows").await,
        3
    );
    assert_eq!(unread(&store).await, 0);
}

/// Folders wait for each other, so that no window is counted twice.
#[sqlx::test(migrations = "./migrations")]
async fn concurrent_folds_count_once(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    ledger(&store, &lease).await;
    age(&pool, "true", 31).await;
    let before = sums(&pool).await;
    // The first is in the middle of it: both others have seen the windows before they are gone.
    let mut first = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM paysync.streams FOR NO KEY UPDATE")
        .execute(&mut *first)
        .await
        .unwrap();
    let others = Store::new(&url(&pool), 4).unwrap();
    let folding: Vec<_> = (0..2)
        .map(|_| {
            let store = others.clone();
            tokio::spawn(async move { fold(&store).await.windows })
        })
        .collect();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    eventually("both wait", async || count(&pool, waiting).await >= 2).await;
    first.commit().await.unwrap();
    let mut folded = 0;
    for folding in folding {
        folded += in_time("folding", folding).await.unwrap();
    }
    assert_eq!(folded, 4);
    assert_eq!(sums(&pool).await, before);
}

/// A page that closes its window while others are folded causes no deadlock, and loses nothing.
#[sqlx::test(migrations = "./migrations")]
async fn folding_does_not_block_lanes(pool: PgPool) {
    const PAGES: i64 = 120;
    let (_, lease) = leased_store(&pool).await;
    let store = Store::new(&url(&pool), 6).unwrap();
    let reading = {
        let (store, lease) = (store.clone(), lease.clone());
        tokio::spawn(async move {
            for start in 0..PAGES {
                let window = open(&store, &lease, &[planned(start, start + 1)]).await;
                let rows = vec![record(&start.to_string(), 1), record("every page", start)];
                store
                    .commit_page(&lease, page(&window[0], rows, close()))
                    .await
                    .unwrap();
            }
        })
    };
    let mut folding = Vec::new();
    for _ in 0..2 {
        let (store, reading) = (store.clone(), reading.abort_handle());
        folding.push(tokio::spawn(async move {
            let mut folded = 0;
            while !reading.is_finished() {
                let before = store.foldable_before(ACCOUNT, STREAM, Duration::ZERO).await;
                let batch = store
                    .fold_windows(ACCOUNT, STREAM, before.unwrap(), 0, 7)
                    .await;
                folded += batch.unwrap().windows;
            }
            folded
        }));
    }
    in_time("reading", reading).await.unwrap();
    let mut folded = 0;
    for folding in folding {
        folded += folding.await.unwrap();
    }
    assert!(folded > 0);
    let sums: (i64, i64, i64) = sqlx::query_as(
        "SELECT sum(windows)::bigint, sum(items)::bigint, sum(inserted)::bigint FROM paysync.ledger",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(sums, (PAGES, 2 * PAGES, PAGES + 1));
    assert_eq!(unread(&store).await, 0);
    assert_eq!(
        state(&store).await.progress.coverage.windows(),
        [span(0, PAGES)]
    );
}

/// A count that nothing has answered stays in the ledger, with all that might answer it.
#[sqlx::test(migrations = "./migrations")]
async fn an_unanswered_count_is_not_folded(pool: PgPool) {
    let doubts = "SELECT count(*) FROM paysync.count_doubts";
    let (store, lease) = leased_store(&pool).await;
    let audit = async |from, to, counted| {
        let window = open_recheck(&store, &lease, Lane::Audit, from, to).await;
        let context = PageContext {
            provider_count: Some(counted),
            ..page(&window, vec![], close()).context
        };
        let held = store.stored_count(ACCOUNT, &window).await.unwrap();
        store.close_audit(&lease, &context, held).await.unwrap();
    };
    let read = async |from, to, rows| {
        let windows = open(&store, &lease, &[planned(from, to)]).await;
        let commit = page(&windows[0], rows, close());
        store.commit_page(&lease, commit).await.unwrap();
    };
    // The row is made at hour 0: at the end of the window before, and at the start of the next.
    read(-4, 4, vec![record("a", 1)]).await;
    audit(-2, 0, 1).await;
    assert_eq!(count(&pool, doubts).await, 0, "the end may be counted");
    let at_end = "SELECT sum(outside)::bigint FROM paysync.windows WHERE lane = 'audit'";
    assert_eq!(count(&pool, at_end).await, 1);

    audit(1, 4, 2).await;
    assert_eq!(count(&pool, doubts).await, 1);
    // Half of an answer is none.
    read(1, 2, vec![]).await;
    assert_eq!(count(&pool, doubts).await, 1);
    age(&pool, "true", 31).await;
    assert_eq!(fold(&store).await.windows, 2, "what came before is folded");
    assert_eq!(count(&pool, doubts).await, 1);
    // A later count that agrees answers as well.
    audit(2, 4, 0).await;
    assert_eq!(count(&pool, doubts).await, 0);
    age(&pool, "true", 31).await;
    assert_eq!(fold(&store).await.windows, 3);
    assert_eq!(unread(&store).await, 0);

    // A time that is no longer wanted needs no answer.
    audit(0, 4, 9).await;
    assert_eq!(count(&pool, doubts).await, 1);
    let mut later = new_stream(STREAM);
    later.wanted_from = hour(4);
    store.register_stream(ACCOUNT, &later).await.unwrap();
    assert_eq!(count(&pool, doubts).await, 0);
}
