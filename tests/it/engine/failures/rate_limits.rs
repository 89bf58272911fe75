//! `Retry-After` in each of its forms.

use std::time::Duration;

use chrono::TimeDelta;
use paysync::engine::Outcome;
use paysync::engine::inspect::status::State;
use paysync_simulator::{Fault, Provider};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::engine::SMALL;
use crate::engine::failures::{PROVIDER, Seen, is_ok, until_seen};
use crate::support::{
    TIMEOUT, account_of, assert_exact, config_text, engine_of, history, in_time, now, start, sync,
    sync_covers,
};

/// However a wait is written, it ends: seconds, a date, nothing, or nonsense.
#[sqlx::test(migrations = "./migrations")]
async fn every_form_of_retry_after_is_understood(pool: PgPool) {
    let simulator = start(history(100, 2)).await;
    let two = [PROVIDER, Provider::Firekassa];
    let text = config_text(&simulator, &pool, &two, SMALL);
    let date = |seconds| {
        let date = now() + TimeDelta::seconds(seconds);
        Some(date.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    };
    let headers = [
        Some("0".to_owned()),
        Some("1".to_owned()),
        date(2),
        date(-3600),
        None,
        Some("soon".to_owned()),
        Some("-1".to_owned()),
        Some("1.5".to_owned()),
    ];
    for header in &headers {
        for provider in two {
            simulator.fail_next(provider, Fault::RateLimited(header.clone()));
        }
    }
    sync_covers(&text).await;
    for provider in two {
        assert_eq!(simulator.requests(provider).faults, 8);
    }
    assert_exact(&pool, &simulator, &two).await;
    simulator.stop().await;
}

/// A provider that is away says when it will be back, as one that asks to go slower.
#[sqlx::test(migrations = "./migrations")]
async fn a_provider_that_is_away_is_not_asked_before_its_time(pool: PgPool) {
    let simulator = start(history(100, 2)).await;
    let text = config_text(&simulator, &pool, &[PROVIDER], SMALL);
    let engine = engine_of(&text).await;
    simulator.fail_next(PROVIDER, Fault::Away("120".to_owned()));
    let outcomes = sync(&engine, Duration::from_secs(3)).await;
    assert_eq!(outcomes[&account_of(PROVIDER)], Outcome::GaveUp);
    // Three places for requests: what was under way already may come in.
    let requests = simulator.requests(PROVIDER).requests;
    assert!((1..=3).contains(&requests), "{requests} requests");
    engine.store.pool().close().await;
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &[PROVIDER]).await;
    simulator.stop().await;
}

/// A long wait is the account's own, the status shows it, and a stop does not wait for its end.
#[sqlx::test(migrations = "./migrations")]
async fn a_wait_of_hours_is_reported_and_delays_no_other(pool: PgPool) {
    let simulator = start(history(100, 2)).await;
    let both = [PROVIDER, Provider::BegatewayDwh];
    let text = config_text(&simulator, &pool, &both, SMALL);
    let ages = u64::MAX.to_string();
    simulator.fail_next(PROVIDER, Fault::RateLimited(Some(ages)));
    let engine = engine_of(&text).await;
    let stop = CancellationToken::new();
    let watch = async {
        let waits = |seen: &Seen| seen.state == State::Failing;
        let seen = until_seen(&engine, &account_of(PROVIDER), waits).await;
        // Of the requests that were under way one was refused; those after it are held back.
        let is_told = seen.error.starts_with("status 429: ")
            || seen.error.starts_with("the provider asked to wait");
        assert!(is_told, "{seen:?}");
        assert!(seen.hint.contains("requests_per_minute"), "{seen:?}");
        until_seen(&engine, &account_of(both[1]), is_ok).await;
        stop.cancel();
    };
    let syncing = async { tokio::join!(engine.sync(TIMEOUT, &stop), watch).0 };
    in_time("a stop", syncing).await.unwrap();
    // Three places for requests: what was under way already may come in.
    let requests = simulator.requests(PROVIDER).requests;
    assert!(
        (1..=3).contains(&requests),
        "{requests} requests, it did not wait"
    );
    // A sync does not wait for its end either.
    let outcomes = sync(&engine, Duration::from_secs(1)).await;
    assert_eq!(outcomes[&account_of(PROVIDER)], Outcome::GaveUp);
    assert_eq!(simulator.requests(PROVIDER).requests, requests);
    engine.store.pool().close().await;
    // A new process does not know of the wait.
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &both).await;
    simulator.stop().await;
}
