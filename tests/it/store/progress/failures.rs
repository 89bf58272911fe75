//! Failed windows and suspended accounts and streams.

use sqlx::PgPool;

use crate::store::{ACCOUNT, STREAM, failure, leased_store, more, open_one, page, state};

#[sqlx::test(migrations = "./migrations")]
async fn a_failed_window_waits_until_a_page_is_stored(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    store
        .commit_page(&lease, page(&window, vec![], more(5)))
        .await
        .unwrap();
    store
        .fail_window(&lease, window.id, failure())
        .await
        .unwrap();
    store
        .fail_window(&lease, window.id, failure())
        .await
        .unwrap();
    let failed = state(&store).await.open.remove(0);
    assert_eq!((failed.failures, &failed.checkpoint), (2, &None));
    assert!(failed.retry_at.unwrap() > store.ping().await.unwrap());
    let said: (Option<String>, Option<String>) =
        sqlx::query_as("SELECT last_error, hint FROM paysync.sync_health")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(
        said,
        (Some("broken".to_owned()), Some("mend it".to_owned()))
    );

    store
        .commit_page(&lease, page(&window, vec![], more(6)))
        .await
        .unwrap();
    let mended = state(&store).await.open.remove(0);
    assert_eq!((mended.failures, mended.retry_at), (0, None));
    assert_eq!(mended.checkpoint.unwrap().offset(), 6);
}

#[sqlx::test(migrations = "./migrations")]
async fn a_suspension_has_a_reason_until_it_is_lifted(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let health = || async {
        let row: (Option<String>, Option<String>) =
            sqlx::query_as("SELECT suspended_reason, hint FROM paysync.sync_health")
                .fetch_one(&pool)
                .await
                .unwrap();
        row
    };
    let words = |reason: &str, hint: &str| (Some(reason.to_owned()), Some(hint.to_owned()));
    store
        .suspend_stream(&lease, STREAM, "no such field", "look")
        .await
        .unwrap();
    assert_eq!(health().await, words("no such field", "look"));
    store
        .suspend_account(&lease, "who are you", "ask them")
        .await
        .unwrap();
    assert_eq!(health().await, words("who are you", "ask them"));
    let account = store.account(ACCOUNT).await.unwrap();
    assert!(account.suspended_at.is_some());

    store.lift_suspension(ACCOUNT, false).await.unwrap();
    assert_eq!(health().await, words("no such field", "look"));
    assert!(state(&store).await.suspended_at.is_some());
    store.lift_suspension(ACCOUNT, true).await.unwrap();
    assert_eq!(health().await, (None, None));
    assert!(state(&store).await.suspended_at.is_none());
}
