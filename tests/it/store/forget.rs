//! An account is forgotten beside processes that write without its lease, and beside those that lost it.

use std::time::Duration;

use paysync::store::retention::forget::{Batch, Begun, Forgetting};
use paysync::store::{Store, StoreError};
use serde_json::Value;
use sqlx::PgPool;

use super::{ACCOUNT, TTL, lease, leased_store, new_stream};
use crate::support::count;

/// The right to forget the account, which is not configured.
pub(super) async fn begin(store: &Store) -> Forgetting {
    match store
        .begin_forgetting(ACCOUNT, false, "me", TTL)
        .await
        .unwrap()
    {
        Begun::Begun(forgetting) => forgetting,
        other => panic!("{other:?}"),
    }
}

/// Removes all batches.
async fn remove(store: &Store, forgetting: &Forgetting) {
    let mut batch = Batch::Others;
    while batch != Batch::Nothing {
        batch = store.forget_batch(forgetting, batch).await.unwrap();
    }
}

/// Forgets the account to the end.
pub(super) async fn end(store: &Store, forgetting: &Forgetting, stays: bool) {
    remove(store, forgetting).await;
    store.end_forgetting(forgetting, stays).await.unwrap();
}

#[sqlx::test(migrations = "./migrations")]
async fn only_the_holder_of_the_lease_forgets(pool: PgPool) {
    let (store, held) = leased_store(&pool).await;
    let attempt = async |configured| {
        store
            .begin_forgetting(ACCOUNT, configured, "other", TTL)
            .await
            .unwrap()
    };
    assert!(matches!(attempt(false).await, Begun::OtherHolder { holder, .. } if holder == "me"));
    assert!(matches!(attempt(true).await, Begun::NotPaused));
    store.release(std::slice::from_ref(&held)).await.unwrap();
    assert!(
        matches!(attempt(true).await, Begun::NotPaused),
        "a free account, too"
    );
    let forgetting = begin(&store).await;
    assert!(
        matches!(attempt(true).await, Begun::OtherHolder { .. }),
        "it is paused now"
    );
    assert_eq!(lease(&store, "me").await, None, "no process reads it");
    let unknown = store
        .begin_forgetting("unknown", false, "me", TTL)
        .await
        .unwrap();
    assert!(matches!(unknown, Begun::Unknown));

    // Taken over, it removes nothing more.
    let expire = "UPDATE paysync.accounts SET lease_until = now() - interval '1 second'";
    sqlx::query(expire).execute(&pool).await.unwrap();
    let next = begin(&store).await;
    let batch = store.forget_batch(&forgetting, Batch::Others).await;
    assert!(matches!(batch, Err(StoreError::LeaseLost)), "{batch:?}");
    let ended = store.end_forgetting(&forgetting, false).await;
    assert!(matches!(ended, Err(StoreError::LeaseLost)), "{ended:?}");
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.streams").await,
        1
    );
    end(&store, &next, false).await;
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.forgotten_accounts").await,
        1
    );

    // If the account comes back, the tokens of its former leases stay invalid.
    store
        .register_account(ACCOUNT, "convergegate", "UTC")
        .await
        .unwrap();
    store
        .register_stream(ACCOUNT, &new_stream("created"))
        .await
        .unwrap();
    let new = lease(&store, "me").await.unwrap();
    assert!(new.token > held.token + 2, "{new:?}");
    assert_eq!(
        store.renew(&[held], TTL).await.unwrap(),
        Vec::<String>::new()
    );
}

/// A fold or a recount that began before the end writes its sums first, and they are removed.
#[sqlx::test(migrations = "./migrations")]
async fn sums_that_are_written_meanwhile_are_removed(pool: PgPool) {
    let (store, held) = leased_store(&pool).await;
    store.release(&[held]).await.unwrap();
    let forgetting = begin(&store).await;
    remove(&store, &forgetting).await;
    let mut recount = pool.begin().await.unwrap();
    for statement in [
        "SELECT paysync.lock_payments('acme')",
        "INSERT INTO paysync.daily_sums (account_id, day, kind, status, transactions, amount, unknown_amounts)
         VALUES ('acme', '2026-01-01', 'payment', 'succeeded', 1, 1, 0)",
    ] {
        sqlx::query(statement).execute(&mut *recount).await.unwrap();
    }
    let ending = tokio::spawn(async move { store.end_forgetting(&forgetting, false).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!ending.is_finished(), "it waits for the recount");
    recount.commit().await.unwrap();
    ending.await.unwrap().unwrap();
    let left = "SELECT (SELECT count(*) FROM paysync.daily_sums) + (SELECT count(*) FROM paysync.payment_locks)";
    assert_eq!(count(&pool, left).await, 0);
    let removed: Value = sqlx::query_scalar("SELECT removed FROM paysync.forgotten_accounts")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(removed["daily_sums"], 1);
}
