//! Refusals that suspend an account or a stream, until a probe or an operator lifts the suspension.

use std::time::Duration;

use paysync::engine::Outcome;
use paysync::engine::inspect::status::State;
use paysync_simulator::{Fault, Provider};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::engine::failures::{PROVIDER, Seen, is_ok, until_seen};
use crate::engine::{SMALL, forget_everything};
use crate::support::{
    TIMEOUT, account_of, assert_exact, config_text, count, engine_of, history, in_time, settled,
    start, sync, sync_covers,
};

/// A refusal in the middle of a run holds the account until a probe is let in again.
#[sqlx::test(migrations = "./migrations")]
async fn a_probe_resumes_an_account_after_a_temporary_refusal(pool: PgPool) {
    let mut settings = history(600, 6);
    settings.latency = Duration::from_millis(5);
    let simulator = start(settings).await;
    let both = [PROVIDER, Provider::BegatewayDwh];
    let text = config_text(&simulator, &pool, &both, SMALL);
    let cases = [
        (
            Fault::Status(401),
            "status 401",
            "check the account's credentials",
        ),
        (
            Fault::Status(403),
            "status 403",
            "check the account's credentials",
        ),
        (
            Fault::Web(403),
            "status 403: a web page, not JSON",
            "a proxy in front of the provider blocks",
        ),
    ];
    for (fault, error, hint) in cases {
        let engine = engine_of(&text).await;
        let account = account_of(PROVIDER);
        let stop = CancellationToken::new();
        let watch = async {
            let begun = simulator.requests(PROVIDER).pages;
            while simulator.requests(PROVIDER).pages < begun + 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for _ in 0..1_000 {
                simulator.fail_next(PROVIDER, fault.clone());
            }
            let waits = |seen: &Seen| seen.state == State::Suspended;
            let seen = until_seen(&engine, &account, waits).await;
            assert!(seen.error.starts_with(error), "{seen:?}");
            assert!(seen.hint.contains(hint), "{seen:?}");
            simulator.clear_faults(PROVIDER);
            until_seen(&engine, &account_of(both[1]), is_ok).await;
        };
        // It is probed three times in the time after which a sync gives up.
        let syncing = engine.sync(Duration::from_secs(3), &stop);
        let report = in_time(error, async { tokio::join!(syncing, watch).0 }).await;
        for (account, outcome) in report.unwrap() {
            assert_eq!(outcome, Outcome::Covered, "{}: {error}", account.id);
        }
        let healed = until_seen(&engine, &account, |_| true).await;
        assert_eq!(
            (healed.state, healed.hint.as_str()),
            (State::Ok, ""),
            "{healed:?}"
        );
        engine.store.pool().close().await;
        assert_exact(&pool, &simulator, &both).await;
        forget_everything(&text).await;
    }
    simulator.stop().await;
}

/// A daemon whose operator resumes the account does not wait for the next probe.
#[sqlx::test(migrations = "./migrations")]
async fn a_waiting_daemon_reacts_to_resume(pool: PgPool) {
    let simulator = start(history(100, 2)).await;
    let text = config_text(&simulator, &pool, &[PROVIDER], SMALL);
    for _ in 0..100 {
        simulator.fail_next(PROVIDER, Fault::Status(401));
    }
    let engine = engine_of(&text).await;
    let account = account_of(PROVIDER);
    let stop = CancellationToken::new();
    let watch = async {
        let refused = || simulator.requests(PROVIDER).requests;
        until_seen(&engine, &account, |seen| seen.state == State::Suspended).await;
        // Those under way when the first was refused are the last.
        let known = settled("requests", refused).await;
        assert!(
            (1..=3).contains(&known),
            "{known} requests while it was refused"
        );
        simulator.clear_faults(PROVIDER);
        engine.store.lift_suspension(&account, true).await.unwrap();
        let healed = until_seen(&engine, &account, is_ok);
        let in_time = tokio::time::timeout(Duration::from_secs(40), healed).await;
        assert!(in_time.is_ok(), "it was not tried again at once");
        stop.cancel();
    };
    let running = Box::pin(engine.run(&stop));
    in_time("resume", async { tokio::join!(running, watch) }).await;
    assert_exact(&pool, &simulator, &[PROVIDER]).await;
    simulator.stop().await;
}

/// What a provider will never take holds up the stream that asked for it, and no other.
#[sqlx::test(migrations = "./migrations")]
async fn a_rejected_request_suspends_its_stream_alone(pool: PgPool) {
    let options = "check the account's options, time_zone and base_url";
    for (status, hint) in [
        (400, options),
        (404, "check base_url: there is no such API"),
        (422, options),
    ] {
        let simulator = start(history(200, 3)).await;
        let dwh = [Provider::BegatewayDwh];
        // One window of a stream at a time: another that is read would show that all is well.
        let settings = format!("{SMALL}concurrency = 1\n");
        let text = config_text(&simulator, &pool, &dwh, &settings);
        let engine = engine_of(&text).await;
        let account = account_of(dwh[0]);
        simulator.fail_next(dwh[0], Fault::Status(status));
        let stop = CancellationToken::new();
        let watch = async {
            let others = |seen: &Seen| seen.state == State::Suspended;
            let seen = until_seen(&engine, &account, others).await;
            assert!(
                seen.error.starts_with(&format!("status {status}")),
                "{seen:?}"
            );
            assert!(seen.hint.contains(hint), "{seen:?}");
            let covered = "SELECT count(*) FROM paysync.sync_health
                WHERE gap_seconds = 0 AND open_windows = 0 AND suspended_reason IS NULL";
            while count(&pool, covered).await < 3 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let waiting = "SELECT count(*) FROM paysync.streams WHERE suspended_reason IS NOT NULL";
            assert_eq!(count(&pool, waiting).await, 1);
            stop.cancel();
        };
        let syncing = async { tokio::join!(engine.sync(TIMEOUT, &stop), watch).0 };
        let report = in_time("the other streams", syncing).await.unwrap();
        assert_eq!(report[0].1, Outcome::Stopped);
        engine.store.pool().close().await;

        sync_covers(&text).await;
        assert_exact(&pool, &simulator, &dwh).await;
        forget_everything(&text).await;
        simulator.stop().await;
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn a_wrong_token_suspends_its_account_alone(pool: PgPool) {
    let simulator = start(history(100, 3)).await;
    let both = [Provider::Convergegate, Provider::BegatewayDwh];
    let right = config_text(&simulator, &pool, &both, SMALL);
    let wrong = right.replace("\"simulator-token\"", "\"not-the-token\"");
    assert_ne!(right, wrong);
    let (refused, other) = (account_of(both[0]), account_of(both[1]));

    let engine = engine_of(&wrong).await;
    let outcomes = sync(&engine, Duration::from_secs(2)).await;
    assert_eq!(outcomes[&refused], Outcome::GaveUp);
    assert_eq!(outcomes[&other], Outcome::Covered);
    engine.store.pool().close().await;
    let said: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT account_id, suspended_reason, hint FROM paysync.accounts WHERE suspended_at IS NOT NULL",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let [(account, Some(reason), Some(hint))] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(*account, refused);
    assert!(
        reason.contains("401") && reason.contains("Unauthorized"),
        "{reason}"
    );
    assert!(hint.contains("credentials"), "{hint}");
    assert!(!reason.contains("not-the-token"), "{reason}");
    // The account is probed, not stormed.
    let requests = simulator.requests(both[0]).requests;
    assert!(
        (2..=8).contains(&requests),
        "{requests} requests with a wrong token"
    );

    sync_covers(&right).await;
    assert_exact(&pool, &simulator, &both).await;
    let left = "SELECT count(*) FROM paysync.sync_health WHERE suspended_reason IS NOT NULL";
    assert_eq!(count(&pool, left).await, 0);
    simulator.stop().await;
}
