//! Quarantined items that are tried again beside pages that are written meanwhile.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeZone as _, Utc};
use paysync::store::Store;
use paysync::store::quarantine::QuarantinedItem;
use paysync::store::replay::quarantine::{Retried, RetryOutcome};
use paysync_provider::item::Rejected;
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::replay::{PROVIDER, amounts, commit, named};
use crate::store::{ACCOUNT, hour, leased_store, real_provider, record, stamped};
use crate::support::{count, versions};

/// A bad item of a row, with the payload of a version of it.
fn quarantined(id: &str, version: i64, reason: &'static str) -> Rejected<'static> {
    let record = record(id, version);
    Rejected {
        provider_transaction_id: Some(id.to_owned()),
        reason,
        detail: "for a test".to_owned(),
        payload: record.payload,
        hash: record.hash,
    }
}

async fn kept(store: &Store) -> Vec<QuarantinedItem> {
    let first = (String::new(), Uuid::nil());
    store
        .quarantined_after(ACCOUNT, (&first.0, first.1))
        .await
        .unwrap()
}

/// Items as a corrected reader reads them: as records, except those whose payload has this text in it.
fn retry<'a>(items: &'a [QuarantinedItem], still_bad: &str) -> Vec<Retried<'a>> {
    let read = |kept: &'a QuarantinedItem| {
        let value: serde_json::Value = serde_json::from_str(&kept.payload).unwrap();
        let (id, version) = (
            value["id"].as_str().unwrap(),
            value["version"].as_i64().unwrap(),
        );
        if kept.payload.contains(still_bad) {
            return Err(Rejected {
                reason: "unreadable_time",
                detail: "of today".to_owned(),
                ..quarantined(id, version, "")
            });
        }
        Ok(record(id, version))
    };
    items
        .iter()
        .map(|kept| Retried {
            item: kept,
            outcome: read(kept),
        })
        .collect()
}

fn outcome(stored: u64, superseded: u64, left: &[(&str, u64)]) -> RetryOutcome {
    let left = left
        .iter()
        .map(|(reason, items)| ((*reason).to_owned(), *items));
    RetryOutcome {
        stored,
        superseded,
        remaining: left.collect::<BTreeMap<_, _>>(),
    }
}

/// Items that leave the quarantine follow the version rule: by the provider's stamp, else by the request.
#[sqlx::test(migrations = "./migrations")]
async fn an_older_item_never_replaces_a_newer_row(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let rows = ["held newer", "held older", "same", "bad older", "bad newer"];
    let records = rows.iter().map(|id| record(id, 5)).collect();
    commit(&store, &lease, 10, records, vec![]).await;
    let older = vec![
        quarantined("held newer", 4, "x"),
        quarantined("same", 5, "x"),
        quarantined("bad older", 4, "x"),
        quarantined("not held", 1, "x"),
    ];
    commit(&store, &lease, 9, vec![], older).await;
    let newer = vec![
        quarantined("held older", 6, "x"),
        quarantined("bad newer", 6, "x"),
        // An earlier version of one that is quarantined as well.
        quarantined("not held", 2, "x"),
    ];
    commit(&store, &lease, 11, vec![], newer).await;

    let items = kept(&store).await;
    let retried = retry(&items, "bad");
    let expected = outcome(4, 2, &[("unreadable_time", 1)]);
    let before = versions(&pool).await;
    assert_eq!(
        store.preview_retry(ACCOUNT, &retried).await.unwrap(),
        expected
    );
    assert_eq!(versions(&pool).await, before);
    assert_eq!(kept(&store).await.len(), 7);
    assert_eq!(
        store
            .retry_quarantine(ACCOUNT, &real_provider(PROVIDER).spec(), &retried)
            .await
            .unwrap(),
        expected
    );

    let mut expected = [
        named("bad newer", "5"),
        named("bad older", "5"),
        named("held newer", "5"),
        named("held older", "6"),
        named("not held", "2"),
        named("same", "5"),
    ];
    expected.sort();
    assert_eq!(amounts(&pool).await, expected);
    let left = kept(&store).await;
    let left: Vec<(Option<&str>, &str, &str)> = left
        .iter()
        .map(|kept| {
            let id = kept.provider_transaction_id.as_deref();
            (id, kept.reason.as_str(), kept.detail.as_str())
        })
        .collect();
    assert_eq!(left, [(Some("bad newer"), "unreadable_time", "of today")]);
    // The version of the request that brought it.
    let observed: DateTime<Utc> = sqlx::query_scalar(
        "SELECT observed_at FROM paysync.transactions WHERE provider_transaction_id = 'held older'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(observed, hour(11));
    let history = count(&pool, "SELECT count(*) FROM paysync.transaction_history").await;
    assert_eq!(history, 2, "of held older, and of not held");
}

/// Without a stamp the requests decide.
#[sqlx::test(migrations = "./migrations")]
async fn without_stamps_the_request_decides(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let records = vec![stamped("a", 5, None), stamped("b", 5, None)];
    commit(&store, &lease, 10, records, vec![]).await;
    commit(&store, &lease, 9, vec![], vec![quarantined("a", 6, "x")]).await;
    commit(&store, &lease, 11, vec![], vec![quarantined("b", 6, "x")]).await;
    let items = kept(&store).await;
    let read = |kept| {
        let id = |kept: &QuarantinedItem| kept.provider_transaction_id.clone().unwrap();
        let outcome = Ok(stamped(&id(kept), 6, None));
        Retried {
            item: kept,
            outcome,
        }
    };
    let retried: Vec<Retried<'_>> = items.iter().map(read).collect();
    let done = store
        .retry_quarantine(ACCOUNT, &real_provider(PROVIDER).spec(), &retried)
        .await
        .unwrap();
    assert_eq!(done, outcome(1, 1, &[]));
    assert_eq!(amounts(&pool).await, [named("a", "5"), named("b", "6")]);
    assert!(kept(&store).await.is_empty());
}

/// An item that a page brings again while it is tried stays for the next time.
#[sqlx::test(migrations = "./migrations")]
async fn an_item_that_is_seen_again_meanwhile_stays(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let both = || vec![quarantined("a", 1, "x"), quarantined("b", 1, "x")];
    commit(&store, &lease, 1, vec![], both()).await;
    let items = kept(&store).await;
    commit(&store, &lease, 2, vec![], vec![quarantined("b", 1, "x")]).await;
    let retried = retry(&items, "none");
    let done = store
        .retry_quarantine(ACCOUNT, &real_provider(PROVIDER).spec(), &retried)
        .await
        .unwrap();
    assert_eq!(done, outcome(1, 0, &[("x", 1)]));
    let items = kept(&store).await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].observed_at, hour(2));
    let retried = retry(&items, "none");
    let done = store
        .retry_quarantine(ACCOUNT, &real_provider(PROVIDER).spec(), &retried)
        .await
        .unwrap();
    assert_eq!(done, outcome(1, 0, &[]));
}

/// A request that was sent earlier does not make an item older.
#[sqlx::test(migrations = "./migrations")]
async fn an_item_is_as_new_as_its_last_request(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    for requested in [2, 3, 1] {
        commit(
            &store,
            &lease,
            requested,
            vec![],
            vec![quarantined("a", 1, "x")],
        )
        .await;
    }
    assert_eq!(kept(&store).await[0].observed_at, hour(3));
}

/// Items as a reader reads them that misreads one time by millennia.
fn retry_with_long_ago(items: &[QuarantinedItem]) -> Vec<Retried<'_>> {
    let mut retried = retry(items, "none");
    for item in &mut retried {
        if let Ok(record) = &mut item.outcome
            && record.transaction.provider_transaction_id == "b"
        {
            record.transaction.updated_at = Utc.with_ymd_and_hms(-5000, 1, 1, 0, 0, 0).single();
        }
    }
    retried
}

/// Rows that PostgreSQL refuses stay in quarantine; the others leave it.
#[sqlx::test(migrations = "./migrations")]
async fn refused_rows_stay_in_quarantine(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let bad = ["a", "b", "c", "d"]
        .map(|id| quarantined(id, 1, "x"))
        .to_vec();
    commit(&store, &lease, 1, vec![], bad).await;
    let items = kept(&store).await;
    let done = store
        .retry_quarantine(
            ACCOUNT,
            &real_provider(PROVIDER).spec(),
            &retry_with_long_ago(&items),
        )
        .await
        .unwrap();
    let expected = outcome(3, 0, &[("refused_by_database", 1)]);
    assert_eq!(done, expected);
    let left = kept(&store).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].reason, "refused_by_database");
    assert_eq!(left[0].detail, "SQLSTATE 22008");
    assert_eq!(left[0].provider_transaction_id.as_deref(), Some("b"));
    // A dry run expects the same, and the next replay finds the same.
    let expected = outcome(0, 0, &[("refused_by_database", 1)]);
    let preview = store
        .preview_retry(ACCOUNT, &retry_with_long_ago(&left))
        .await
        .unwrap();
    assert_eq!(preview, expected);
    let done = store
        .retry_quarantine(
            ACCOUNT,
            &real_provider(PROVIDER).spec(),
            &retry_with_long_ago(&left),
        )
        .await
        .unwrap();
    assert_eq!(done, expected);
}

/// The account is forgotten between the reading of the items and their retry, or is being forgotten.
#[sqlx::test(migrations = "./migrations")]
async fn a_replay_brings_back_no_row_that_was_forgotten(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let both = || vec![quarantined("a", 1, "x"), quarantined("b", 1, "x")];
    commit(&store, &lease, 1, vec![record("c", 1)], both()).await;
    let items = kept(&store).await;
    let retried = retry(&items, "none");
    store.release(&[lease]).await.unwrap();
    let forgetting = crate::store::forget::begin(&store).await;
    let left = async || {
        let spec = real_provider(PROVIDER).spec();
        let done = store.retry_quarantine(ACCOUNT, &spec, &retried);
        assert_eq!(done.await.unwrap(), outcome(0, 0, &[]));
        count(&pool, "SELECT count(*) FROM paysync.transactions").await
    };
    assert_eq!(left().await, 1);
    crate::store::forget::end(&store, &forgetting, true).await;
    assert_eq!(left().await, 0);
    let totals = "SELECT count(*) FROM paysync.window_totals";
    assert_eq!(count(&pool, totals).await, 0);
}
