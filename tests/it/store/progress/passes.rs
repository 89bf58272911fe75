//! Passes of the lanes that read again: rescan, repoll and audit.

use std::time::Duration;

use chrono::TimeDelta;
use paysync::plan::{Lane, Pass, Plan, Planned};
use paysync::store::account::Lease;
use paysync::store::page::PageContext;
use paysync::store::progress::window::WindowFailure;
use sqlx::PgPool;

use crate::store::{
    ACCOUNT, STREAM, close, hour, leased_store, open, open_recheck, page, planned, span, state,
};

#[sqlx::test(migrations = "./migrations")]
async fn a_rescan_window_is_removed_from_its_pass(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let day = TimeDelta::days(1);
    let pass = Pass {
        lane: Lane::Rescan,
        within: day,
        started_at: hour(30),
        remaining: [span(0, 4), span(6, 8)].into_iter().collect(),
    };
    let rescan = Planned {
        lane: Lane::Rescan,
        tier: Some(day),
        ..planned(2, 4)
    };
    let plan = Plan {
        open: vec![rescan],
        begin: vec![pass.clone()],
    };
    let window = store
        .open(&lease, STREAM, hour(24), &plan)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(state(&store).await.progress.passes, [pass]);
    store
        .commit_page(&lease, page(&window, vec![], close()))
        .await
        .unwrap();
    let passes = state(&store).await.progress.passes;
    assert_eq!(passes[0].remaining.windows(), [span(0, 2), span(6, 8)]);
}

/// Only windows that were listed to their end are covered; a count can refute that, a request by id says nothing.
#[sqlx::test(migrations = "./migrations")]
async fn rechecks_add_no_coverage(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let windows = open(&store, &lease, &[planned(0, 6)]).await;
    store
        .commit_page(&lease, page(&windows[0], vec![], close()))
        .await
        .unwrap();

    let repoll = open_recheck(&store, &lease, Lane::Repoll, 4, 9).await;
    store
        .commit_page(&lease, page(&repoll, vec![], close()))
        .await
        .unwrap();
    assert_eq!(
        state(&store).await.progress.coverage.windows(),
        [span(0, 6)]
    );

    for (from, to, counted, covered) in [
        (0, 2, 0, vec![span(0, 6)]),
        (2, 4, 1, vec![span(0, 2), span(4, 6)]),
    ] {
        let audit = open_recheck(&store, &lease, Lane::Audit, from, to).await;
        let context = PageContext {
            provider_count: Some(counted),
            ..page(&audit, vec![], close()).context
        };
        let held = store.stored_count(ACCOUNT, &audit).await.unwrap();
        assert_eq!((held.rows, held.at_end), (0, 0));
        store.close_audit(&lease, &context, held).await.unwrap();
        let progress = state(&store).await.progress;
        assert_eq!(progress.coverage.windows(), covered);
        let pass = progress.passes.iter().find(|pass| pass.lane == Lane::Audit);
        assert!(!pass.unwrap().remaining.covers(span(from, to)));
    }
}

/// A provider that refuses ends the pass, and gets requests again when the next one is due.
#[sqlx::test(migrations = "./migrations")]
async fn an_abandoned_pass_leaves_no_open_window(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let repoll = open_recheck(&store, &lease, Lane::Repoll, 0, 24).await;
    let failure = WindowFailure {
        error: "status 404: no such path",
        hint: "set repoll = []",
        pause: Duration::ZERO,
        restart: false,
    };
    let stale = Lease {
        token: lease.token - 1,
        ..lease.clone()
    };
    store.give_up_pass(&stale, &repoll, failure).await.unwrap();
    assert_eq!(state(&store).await.open.len(), 1);
    store.give_up_pass(&lease, &repoll, failure).await.unwrap();
    let state = state(&store).await;
    assert!(state.open.is_empty());
    assert!(state.progress.passes[0].remaining.is_empty());
    let said: (String, String, String) =
        sqlx::query_as("SELECT outcome, error, hint FROM paysync.windows")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(
        said,
        (
            "dropped".to_owned(),
            failure.error.to_owned(),
            failure.hint.to_owned()
        )
    );
}
