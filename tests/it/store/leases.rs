//! Leases on accounts: acquire, renew, release, take over; an old token writes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use paysync::plan::Plan;
use paysync::store::account::Lease;
use paysync::store::{Store, StoreError};
use sqlx::PgPool;

use crate::store::{
    ACCOUNT, STREAM, TTL, bad, close, failure, hour, lease, leased_store, open_one, page, planned,
    record, reject, state,
};
use crate::support::{count, in_time, versions};

#[sqlx::test(migrations = "./migrations")]
async fn a_lease_is_held_renewed_and_released(pool: PgPool) {
    let (store, mine) = leased_store(&pool).await;
    assert_eq!(lease(&store, "other").await, None);
    let renewed = store.renew(std::slice::from_ref(&mine), TTL).await.unwrap();
    assert_eq!(renewed, [ACCOUNT]);
    store.release(std::slice::from_ref(&mine)).await.unwrap();
    let late = store.renew(std::slice::from_ref(&mine), TTL).await.unwrap();
    assert!(late.is_empty(), "a released lease is not renewed");
    let other = lease(&store, "other").await.unwrap();
    assert!(other.token > mine.token);

    // A lease that is no longer held can neither be renewed nor released.
    let renewed = store.renew(std::slice::from_ref(&mine), TTL).await.unwrap();
    assert!(renewed.is_empty());
    store.release(std::slice::from_ref(&mine)).await.unwrap();
    assert_eq!(lease(&store, "me").await, None);
    // A holder that lost sight of its own lease gets it back, under a new token.
    let again = lease(&store, "other").await.unwrap();
    assert!(again.token > other.token);
}

#[sqlx::test(migrations = "./migrations")]
async fn an_expired_lease_is_taken_over(pool: PgPool) {
    let (store, mine) = leased_store(&pool).await;
    let short = Duration::from_millis(1);
    store
        .renew(std::slice::from_ref(&mine), short)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let other = lease(&store, "other").await.unwrap();
    assert_eq!(other.token, mine.token + 1);
    let holder: Option<String> = sqlx::query_scalar("SELECT lease_holder FROM paysync.accounts")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(holder.as_deref(), Some("other"));
}

/// An expired lease cannot be renewed, even if no other process has taken it over.
#[sqlx::test(migrations = "./migrations")]
async fn an_expired_lease_is_not_renewed(pool: PgPool) {
    let (store, mine) = leased_store(&pool).await;
    assert_eq!(mine.idle, None, "no process had it before");
    let past = "UPDATE paysync.accounts SET lease_until = clock_timestamp() - interval '3 s'";
    sqlx::query(past).execute(&pool).await.unwrap();
    let renewed = store.renew(std::slice::from_ref(&mine), TTL).await.unwrap();
    assert!(renewed.is_empty());
    // The next holder learns for how long the account may have been idle.
    let other = lease(&store, "other").await.unwrap();
    let idle = other.idle.unwrap();
    assert!(idle >= Duration::from_secs(3), "{idle:?}");
    store.release(std::slice::from_ref(&other)).await.unwrap();
    let again = lease(&store, "me").await.unwrap();
    assert!(again.idle.is_some_and(|soon| soon < idle), "{again:?}");
}

#[sqlx::test(migrations = "./migrations")]
async fn a_paused_account_is_neither_leased_nor_renewed(pool: PgPool) {
    let (store, mine) = leased_store(&pool).await;
    assert!(store.set_paused(ACCOUNT, true).await.unwrap());
    let renewed = store.renew(std::slice::from_ref(&mine), TTL).await.unwrap();
    assert!(renewed.is_empty());
    store.release(std::slice::from_ref(&mine)).await.unwrap();
    assert_eq!(lease(&store, "me").await, None);
    assert!(store.account(ACCOUNT).await.unwrap().paused);
    assert!(store.set_paused(ACCOUNT, false).await.unwrap());
    assert!(lease(&store, "me").await.is_some());
    assert!(!store.set_paused("unknown", true).await.unwrap());
}

#[sqlx::test(migrations = "./migrations")]
async fn concurrent_processes_share_the_accounts(pool: PgPool) {
    let store = Store::with_pool(pool.clone());
    let ids: Vec<String> = (0..20).map(|number| format!("a{number:02}")).collect();
    for id in &ids {
        store
            .register_account(id, "convergegate", "UTC")
            .await
            .unwrap();
    }
    // The other process is in the middle of taking the first half.
    let mut other = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM paysync.accounts WHERE account_id < 'a10' FOR UPDATE")
        .execute(&mut *other)
        .await
        .unwrap();
    let taken = store.acquire(&ids, "me", TTL, 100);
    let taken = in_time("a leaser waits for the other", taken)
        .await
        .unwrap();
    let mut taken: Vec<String> = taken.into_iter().map(|lease| lease.account_id).collect();
    taken.sort();
    assert_eq!(taken, ids[10..]);
    other.rollback().await.unwrap();

    let (left, right) = tokio::join!(
        store.acquire(&ids, "left", TTL, 5),
        store.acquire(&ids, "right", TTL, 5)
    );
    let all: Vec<Lease> = left.unwrap().into_iter().chain(right.unwrap()).collect();
    let distinct: BTreeSet<&String> = all.iter().map(|lease| &lease.account_id).collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    // One may find locked what the other takes, and gets it the next time.
    let rest = store.acquire(&ids, "third", TTL, 100).await.unwrap();
    assert_eq!(all.len() + rest.len(), 10);
}

#[sqlx::test(migrations = "./migrations")]
async fn nothing_is_written_under_an_old_token(pool: PgPool) {
    let (store, old) = leased_store(&pool).await;
    let window = open_one(&store, &old).await;
    store.release(std::slice::from_ref(&old)).await.unwrap();
    let new = lease(&store, "other").await.unwrap();

    let mut commit = page(&window, vec![record("a", 1), record("b", 1)], close());
    reject(&mut commit, vec![bad("[]")]);
    let lost = store.commit_page(&old, commit).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    let lost = store
        .commit_page(&old, page(&window, vec![], close()))
        .await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    let plan = Plan {
        open: vec![planned(1, 2)],
        begin: Vec::new(),
    };
    let lost = store.open(&old, STREAM, hour(9), &plan).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    let lost = store.suspend_account(&old, "reason", "hint").await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    let lost = store.suspend_stream(&old, STREAM, "reason", "hint").await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    store.fail_window(&old, window.id, failure()).await.unwrap();

    assert!(versions(&pool).await.is_empty());
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.quarantine").await,
        0
    );
    let state = state(&store).await;
    assert_eq!(state.open, std::slice::from_ref(&window));
    assert!(state.progress.coverage.is_empty() && state.suspended_at.is_none());
    assert_eq!(store.account(ACCOUNT).await.unwrap().suspended_reason, None);

    let commit = page(&window, vec![record("a", 1)], close());
    assert_eq!(
        store
            .commit_page(&new, commit)
            .await
            .unwrap()
            .counts
            .inserted,
        1
    );
}
