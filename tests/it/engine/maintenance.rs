//! Maintenance beside the work of the engine.

use std::time::Duration;

use paysync::engine::maintenance::{Budget, RoundReport, run_round};
use paysync_simulator::{Handle, Provider};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::SMALL;
use crate::support::{
    account_of, assert_exact, config_text, count, differences, engine_of, eventually, history,
    in_time, ledger, start, stored, sync_covers, verification,
};

const ONE: [Provider; 1] = [Provider::Convergegate];

const WINDOWS: &str = "SELECT count(*) FROM paysync.windows";

/// A history read to its end, and the configuration but for its retention.
async fn read_history(pool: &PgPool) -> (Handle, String) {
    let simulator = start(history(200, 3)).await;
    let text = config_text(&simulator, pool, &ONE, SMALL);
    sync_covers(&text).await;
    (simulator, text)
}

async fn maintain(text: &str, batches: u32, stop: &CancellationToken) -> RoundReport {
    let engine = engine_of(text).await;
    let budget = Budget {
        batches,
        pause: Duration::ZERO,
    };
    let round = run_round(&engine.store, engine.retention, budget, stop).await;
    engine.store.pool().close().await;
    round.unwrap()
}

#[sqlx::test(migrations = "./migrations")]
async fn retention_follows_the_configuration(pool: PgPool) {
    let (simulator, text) = read_history(&pool).await;
    for sql in [
        "WITH kept AS (INSERT INTO paysync.transaction_history SELECT version_from, now(), * FROM paysync.transactions)
         UPDATE paysync.transactions SET payload_hash = gen_random_uuid(), updated_at = NULL, version = version + 1",
        "INSERT INTO paysync.quarantine (account_id, stream, payload_hash, reason, detail, payload, window_start, window_end, observed_at)
         SELECT account_id, stream, gen_random_uuid(), '', '', '', wanted_from, wanted_until, now() FROM paysync.streams",
        // A year and a bit ago.
        "UPDATE paysync.transaction_history SET valid_to = now() - interval '400 days' WHERE provider_transaction_id < '8'",
        "UPDATE paysync.quarantine SET last_seen_at = now() - interval '400 days'",
        "UPDATE paysync.windows SET opened_at = opened_at - interval '29 days', closed_at = closed_at - interval '29 days'",
    ] {
        assert!(sqlx::query(sql).execute(&pool).await.unwrap().rows_affected() > 0, "{sql}");
    }
    let versions = "SELECT count(*) FROM paysync.transaction_history WHERE valid_to < now() - interval '1 year'";
    let old = count(&pool, versions).await.unsigned_abs();
    let streams = count(&pool, "SELECT count(*) FROM paysync.streams").await;
    let windows = count(&pool, WINDOWS).await.unsigned_abs();
    let go_on = CancellationToken::new();
    let nothing = RoundReport::default();
    assert_eq!(
        maintain(&text, 100, &go_on).await,
        nothing,
        "by default nothing is lost"
    );

    let strict =
        text.clone() + "[retention]\nwindows = \"28d\"\nhistory = \"1y\"\nquarantine = \"1y\"\n";
    let stopped = CancellationToken::new();
    stopped.cancel();
    assert_eq!(maintain(&strict, 100, &stopped).await, nothing);
    assert_eq!(maintain(&strict, 0, &go_on).await, nothing);
    let all = RoundReport {
        windows,
        versions: old,
        payloads: 0,
        quarantined: streams.unsigned_abs(),
    };
    assert_eq!(maintain(&strict, 100, &go_on).await, all);
    assert_eq!(maintain(&strict, 100, &go_on).await, nothing);
    assert!(count(&pool, "SELECT count(*) FROM paysync.transaction_history").await > 0);
    simulator.stop().await;
}

/// More than one batch, and no more than the effort allows: the next round goes on.
#[sqlx::test(migrations = "./migrations")]
async fn a_round_is_bounded(pool: PgPool) {
    let (simulator, text) = read_history(&pool).await;
    let many = "INSERT INTO paysync.windows (account_id, stream, lane, window_start, window_end, outcome, closed_at, opened_at)
         SELECT account_id, stream, 'live', wanted_from, wanted_until, 'closed', now() - interval '31 days', now() - interval '31 days'
         FROM paysync.streams CROSS JOIN generate_series(1, 3500)
         WHERE stream = (SELECT min(stream) FROM paysync.streams)";
    sqlx::query(many).execute(&pool).await.unwrap();
    let go_on = CancellationToken::new();
    let mut folded = Vec::new();
    for batches in [1, 2, 100] {
        folded.push(maintain(&text, batches, &go_on).await.windows);
    }
    assert_eq!(folded.iter().sum::<u64>(), 3500);
    // The young ones are among those that a batch looks at.
    assert!(
        folded[0] < 1000 && folded[1] <= 2000 && folded[2] > 0,
        "{folded:?}"
    );
    simulator.stop().await;
}

#[sqlx::test(migrations = "./migrations")]
async fn the_daemon_folds_while_it_reads(pool: PgPool) {
    let (simulator, text) = read_history(&pool).await;
    let before = count(&pool, WINDOWS).await;
    assert!(before > 0);
    let engine = engine_of(&(text.clone() + "[retention]\nwindows = \"1ms\"\n")).await;
    let stop = CancellationToken::new();
    let running = {
        let stop = stop.clone();
        tokio::spawn(async move { engine.run(&stop).await })
    };
    let totals = "SELECT coalesce(sum(windows), 0)::bigint FROM paysync.window_totals";
    eventually("folding", async || count(&pool, totals).await >= before).await;
    stop.cancel();
    in_time("the daemon", running).await.unwrap();
    assert!(verification(&engine_of(&text).await).await.proven);
    simulator.stop().await;
}

/// A failure of the maintenance keeps no account from being read.
#[sqlx::test(migrations = "./migrations")]
async fn failing_maintenance_disturbs_no_sync(pool: PgPool) {
    let (simulator, text) = read_history(&pool).await;
    sqlx::query("DROP TABLE paysync.window_totals CASCADE")
        .execute(&pool)
        .await
        .unwrap();
    super::forget_everything(&text).await;
    let text = text + "[retention]\nwindows = \"1ms\"\n";
    let engine = engine_of(&text).await;
    let budget = Budget {
        batches: 1,
        pause: Duration::ZERO,
    };
    let go_on = CancellationToken::new();
    let round = run_round(&engine.store, engine.retention, budget, &go_on).await;
    assert!(round.is_err());
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &ONE).await;
    simulator.stop().await;
}

/// Payloads go by their age, and nothing that is proven of the rest gets weaker for it.
#[sqlx::test(migrations = "./migrations")]
async fn expired_payloads_are_no_loss(pool: PgPool) {
    let (simulator, text) = read_history(&pool).await;
    let rows = count(&pool, "SELECT count(*) FROM paysync.transactions").await;
    let old = "UPDATE paysync.transactions SET version_from = version_from - interval '91 days' WHERE provider_transaction_id < '8'";
    let old = sqlx::query(old)
        .execute(&pool)
        .await
        .unwrap()
        .rows_affected();
    assert!(old > 0 && old < rows.unsigned_abs());
    let go_on = CancellationToken::new();
    let kept = text.clone() + "[raw]\nretention = \"90d\"\n";
    let report = maintain(&kept, 100, &go_on).await;
    assert_eq!((report.payloads, report.versions), (old, 0));
    assert_eq!(maintain(&kept, 100, &go_on).await, RoundReport::default());
    let payloads = "SELECT count(*) FROM paysync.raw_transactions";
    let left = rows - i64::try_from(old).unwrap();
    assert_eq!(count(&pool, payloads).await, left);

    // The default configuration, which keeps payloads forever, proves it, too.
    for text in [&kept, &text] {
        let verification = verification(&engine_of(text).await).await;
        assert!(verification.proven, "{verification:?}");
        let mut checks = verification.accounts[0].checks.iter();
        let check = checks.find(|check| check.check == "payloads").unwrap();
        let said = format!("{left} are those their rows were made of, {old} were deleted");
        assert!(check.detail.starts_with(&said), "{check:?}");
    }
    super::forget_everything(&text).await;
    sync_covers(&text).await;
    let held = stored(&pool, &account_of(ONE[0])).await;
    assert_eq!(differences(&held, &ledger(&simulator, ONE[0])), [""; 0]);
    assert_eq!(count(&pool, payloads).await, left, "nothing had changed");
    simulator.stop().await;
}
