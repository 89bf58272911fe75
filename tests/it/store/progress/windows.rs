//! Windows: opened, resumed, split, closed and forgotten.

use chrono::{DateTime, TimeDelta, Utc};
use paysync::plan::{Lane, Plan, Planned};
use paysync::store::StoreError;
use paysync::store::page::WindowTransition;
use paysync::store::progress::stream::NewStream;
use sqlx::PgPool;

use crate::store::{
    ACCOUNT, STREAM, bad, close, hour, leased_store, more, new_stream, open, page, planned, record,
    reject, span, state,
};
use crate::support::{count, versions};

async fn gaps(pool: &PgPool) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    sqlx::query_as("SELECT gap_from, gap_to FROM paysync.coverage_gaps ORDER BY gap_from")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[sqlx::test(migrations = "./migrations")]
async fn a_window_resumes_at_its_checkpoint_and_becomes_coverage(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let windows = open(&store, &lease, &[planned(1, 2), planned(0, 1)]).await;
    let starts: Vec<_> = windows.iter().map(|w| w.planned.window).collect();
    assert_eq!(starts, [span(1, 2), span(0, 1)]);

    let commit = page(&windows[0], vec![record("a", 1)], more(1));
    store.commit_page(&lease, commit).await.unwrap();
    let resumed = state(&store).await;
    let held = resumed.open.iter().find(|w| w.id == windows[0].id).unwrap();
    assert_eq!(held.checkpoint.as_ref().unwrap().offset(), 1);
    assert_eq!((held.pages, held.items), (1, 1));
    assert!(resumed.progress.coverage.is_empty());
    assert_eq!(resumed.progress.length, TimeDelta::hours(1));

    let commit = page(&windows[0], vec![record("b", 1)], close());
    store.commit_page(&lease, commit).await.unwrap();
    let closed = state(&store).await;
    assert_eq!(closed.progress.coverage.windows(), [span(1, 2)]);
    assert_eq!(closed.progress.length, TimeDelta::hours(2));
    assert_eq!(closed.open, [windows[1].clone()]);
    let again = store
        .commit_page(&lease, page(&windows[0], vec![], close()))
        .await;
    assert!(matches!(again, Err(StoreError::WindowGone)), "{again:?}");

    store
        .commit_page(&lease, page(&windows[1], vec![], close()))
        .await
        .unwrap();
    let joined = state(&store).await;
    assert_eq!(joined.progress.coverage.windows(), [span(0, 2)]);
    assert!(joined.open.is_empty());
}

#[sqlx::test(migrations = "./migrations")]
async fn a_split_window_is_replaced_by_its_halves(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let whole = open(&store, &lease, &[planned(0, 4)]).await.remove(0);
    let then = WindowTransition::Split {
        halves: (span(0, 2), span(2, 4)),
        length: TimeDelta::hours(2),
    };
    let commit = page(&whole, vec![record("a", 1)], then);
    assert_eq!(
        store
            .commit_page(&lease, commit)
            .await
            .unwrap()
            .counts
            .inserted,
        1
    );
    let mut split = state(&store).await;
    assert!(split.progress.coverage.is_empty());
    split.open.sort_by_key(|window| window.planned.window);
    let halves: Vec<Planned> = split.open.iter().map(|w| w.planned).collect();
    assert_eq!(halves, [planned(0, 2), planned(2, 4)]);
    assert_eq!(split.open[0].checkpoint, None);
    for half in &split.open {
        store
            .commit_page(&lease, page(half, vec![], close()))
            .await
            .unwrap();
    }
    let done = state(&store).await;
    assert_eq!(done.progress.coverage.windows(), [span(0, 4)]);
    let outcomes: Vec<Option<String>> =
        sqlx::query_scalar("SELECT outcome FROM paysync.windows ORDER BY window_id")
            .fetch_all(&pool)
            .await
            .unwrap();
    let words: Vec<&str> = outcomes.iter().flatten().map(String::as_str).collect();
    assert_eq!(words, ["split", "closed", "closed"]);
}

#[sqlx::test(migrations = "./migrations")]
async fn forgotten_coverage_drops_its_windows(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let windows = open(&store, &lease, &[planned(0, 6), planned(6, 8)]).await;
    store
        .commit_page(&lease, page(&windows[0], vec![], close()))
        .await
        .unwrap();

    assert_eq!(
        store
            .forget_coverage("unknown", None, span(0, 9))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        store
            .forget_coverage(ACCOUNT, Some("other"), span(0, 9))
            .await
            .unwrap(),
        0
    );
    // Neighbours of what is forgotten stay.
    assert_eq!(
        store
            .forget_coverage(ACCOUNT, Some(STREAM), span(2, 6))
            .await
            .unwrap(),
        1
    );
    let left = state(&store).await;
    assert_eq!(left.progress.coverage.windows(), [span(0, 2)]);
    assert_eq!(left.open, [windows[1].clone()]);

    store
        .forget_coverage(ACCOUNT, None, span(1, 7))
        .await
        .unwrap();
    let left = state(&store).await;
    assert_eq!(left.progress.coverage.windows(), [span(0, 1)]);
    assert!(left.open.is_empty());
    let mut commit = page(&windows[1], vec![record("a", 1)], close());
    reject(&mut commit, vec![bad("[]")]);
    let gone = store.commit_page(&lease, commit).await;
    assert!(matches!(gone, Err(StoreError::WindowGone)), "{gone:?}");
    assert!(versions(&pool).await.is_empty());
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.quarantine").await,
        0
    );
    assert_eq!(
        state(&store).await.progress.coverage.windows(),
        [span(0, 1)]
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn gaps_are_neither_covered_nor_in_an_open_window(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    assert!(gaps(&pool).await.is_empty(), "nothing was wanted yet");
    let plan = Plan {
        open: vec![planned(2, 4), planned(6, 8)],
        begin: Vec::new(),
    };
    let windows = store.open(&lease, STREAM, hour(10), &plan).await.unwrap();
    let expected = [(hour(0), hour(2)), (hour(4), hour(6)), (hour(8), hour(10))];
    assert_eq!(gaps(&pool).await, expected);
    store
        .commit_page(&lease, page(&windows[0], vec![], close()))
        .await
        .unwrap();
    assert_eq!(gaps(&pool).await, expected);

    // An open window of a rescan does not close a gap.
    let rescan = Planned {
        lane: Lane::Rescan,
        tier: Some(TimeDelta::days(1)),
        ..planned(0, 10)
    };
    let plan = Plan {
        open: vec![rescan],
        begin: Vec::new(),
    };
    store.open(&lease, STREAM, hour(10), &plan).await.unwrap();
    assert_eq!(gaps(&pool).await, expected);

    let rest = open(
        &store,
        &lease,
        &[planned(0, 2), planned(4, 6), planned(8, 24)],
    )
    .await;
    assert!(gaps(&pool).await.is_empty());
    for window in rest.iter().chain(&windows[1..]) {
        store
            .commit_page(&lease, page(window, vec![], close()))
            .await
            .unwrap();
    }
    assert!(gaps(&pool).await.is_empty());
    store
        .forget_coverage(ACCOUNT, None, span(3, 5))
        .await
        .unwrap();
    assert_eq!(gaps(&pool).await, [(hour(3), hour(5))]);
    let earlier = NewStream {
        wanted_from: hour(-1),
        ..new_stream(STREAM)
    };
    store.register_stream(ACCOUNT, &earlier).await.unwrap();
    assert_eq!(gaps(&pool).await, [(hour(-1), hour(0)), (hour(3), hour(5))]);
}
