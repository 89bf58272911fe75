//! Work on the database that is cancelled at any of its waits, as when a lease is lost.

use paysync::plan::Plan;
use paysync::store::{Store, StoreError};
use sqlx::PgPool;

use super::stalling_proxy::StallingProxy;
use super::{ACCOUNT, STREAM, close, hour, leased_store, open_one, page, planned, record};
use crate::support::{count, in_time, url};

/// Other sessions must see every write that the store reports as done: its one connection, which cancelled
/// work has just used, must not be inside a transaction that stays open.
async fn assert_commits(store: &Store, pool: &PgPool, paused: bool, when: &str) {
    assert!(store.set_paused(ACCOUNT, paused).await.unwrap());
    let seen: bool =
        sqlx::query_scalar("SELECT paused FROM paysync.accounts WHERE account_id = $1")
            .bind(ACCOUNT)
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(seen, paused, "{when}: the write was not committed");
    // Giving a connection back has an answer of its own.
    let idle = async {
        while store.pool().num_idle() == 0 {
            tokio::task::yield_now().await;
        }
    };
    in_time("the connection", idle).await;
}

/// Cuts work off at the first answer of the server, at the second, and so on, until it is done; how
/// often, and its result.
async fn cut_everywhere<T>(
    what: &str,
    proxy: &StallingProxy,
    store: &Store,
    pool: &PgPool,
    work: impl AsyncFn() -> T,
) -> (u64, T) {
    assert_commits(store, pool, true, what).await;
    let mut cuts = 0;
    loop {
        let done = proxy.cut_off(work(), cuts).await;
        let when = format!("{what}, after {cuts} answers");
        assert_commits(store, pool, cuts % 2 == 1, &when).await;
        match done {
            None => cuts += 1,
            Some(done) => return (cuts, done),
        }
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn cancelled_work_leaves_no_open_transaction(pool: PgPool) {
    let (known, lease) = leased_store(&pool).await;
    let proxy = StallingProxy::to(&url(&pool)).await;
    let store = Store::new(&proxy.url, 1).unwrap();
    let plan = Plan {
        open: vec![planned(5, 6)],
        begin: Vec::new(),
    };
    let opening = async || store.open(&lease, STREAM, hour(24), &plan).await;
    let (cuts, opened) = cut_everywhere("open", &proxy, &store, &pool, opening).await;
    assert_eq!(opened.unwrap().len(), 1);
    // At least: the transaction begins, two statements, each prepared and done, and it ends.
    assert!(cuts >= 6, "open was cut off only {cuts} times");

    let window = open_one(&known, &lease).await;
    let committing = async || {
        let commit = page(&window, vec![record("a", 1), record("b", 1)], close());
        store.commit_page(&lease, commit).await
    };
    let (cuts, done) = cut_everywhere("commit", &proxy, &store, &pool, committing).await;
    // The last that was cut off had done its commit.
    assert!(
        matches!(done, Ok(_) | Err(StoreError::WindowGone)),
        "{done:?}"
    );
    // The question, the transaction, the rows, the window, and its end.
    assert!(cuts >= 8, "a commit was cut off only {cuts} times");
    let stored = "SELECT count(*) FROM paysync.transactions";
    assert_eq!(count(&pool, stored).await, 2);

    let window = open_one(&known, &lease).await;
    let copying = async || {
        let rows = (0..60).map(|number| record(&format!("{number:02}"), 1));
        store
            .commit_page(&lease, page(&window, rows.collect(), close()))
            .await
    };
    let (cuts, done) = cut_everywhere("copy", &proxy, &store, &pool, copying).await;
    assert!(
        matches!(done, Ok(_) | Err(StoreError::WindowGone)),
        "{done:?}"
    );
    // The question, the transaction, two copies, the window, and its end.
    assert!(cuts >= 6, "a copy was cut off only {cuts} times");
    assert_eq!(count(&pool, stored).await, 62);
    store.pool().close().await;
}
