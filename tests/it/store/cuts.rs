//! Work on the database that is cut off at any of its waits, as it is when a lease is lost.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use paysync::plan::Plan;
use paysync::store::{Store, StoreError};
use sqlx::PgPool;

use super::{ACCOUNT, STREAM, bench, close, hour, open_one, page, planned, record};
use crate::support::{count, url};

/// Lets work go on until it has waited `waits` times, then drops it; its result if it was done.
async fn cut_off<F: Future>(work: F, waits: u32) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut left = waits;
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// What a store says it has done must be seen by others: its one connection, which was just used by
/// what was cut off, must not be inside a transaction that nobody will end.
async fn assert_commits(store: &Store, pool: &PgPool, paused: bool, when: &str) {
    assert!(store.set_paused(ACCOUNT, paused).await.unwrap());
    let seen: bool =
        sqlx::query_scalar("SELECT paused FROM paysync.accounts WHERE account_id = $1")
            .bind(ACCOUNT)
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(seen, paused, "{when}: what was done was not committed");
}

#[sqlx::test(migrations = "./migrations")]
async fn work_cut_off_anywhere_leaves_no_transaction_behind(pool: PgPool) {
    let (known, lease) = bench(&pool).await;
    let store = Store::new(&url(&pool), 1).unwrap();
    let plan = Plan {
        open: vec![planned(5, 6)],
        begin: Vec::new(),
    };
    let mut waits = 0;
    loop {
        let opening = store.open(&lease, STREAM, hour(24), &plan);
        let done = cut_off(opening, waits).await.is_some();
        assert_commits(
            &store,
            &pool,
            waits % 2 == 0,
            &format!("open, {waits} waits"),
        )
        .await;
        if done {
            break;
        }
        waits += 1;
    }
    assert!(waits > 3, "it was never cut off");

    let window = open_one(&known, &lease).await;
    let mut waits = 0;
    loop {
        let commit = page(&window, vec![record("a", 1), record("b", 1)], close());
        let done = cut_off(store.commit_page(&lease, commit), waits).await;
        assert_commits(
            &store,
            &pool,
            waits % 2 == 0,
            &format!("commit, {waits} waits"),
        )
        .await;
        match done {
            None => waits += 1,
            // The last that was cut off had its commit under way.
            Some(done) => {
                assert!(
                    matches!(done, Ok(_) | Err(StoreError::WindowGone)),
                    "{done:?}"
                );
                break;
            }
        }
    }
    assert!(waits > 5, "it was never cut off");
    let stored = "SELECT count(*) FROM paysync.transactions";
    assert_eq!(count(&pool, stored).await, 2);
}
