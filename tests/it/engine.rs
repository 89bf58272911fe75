//! The engine against the simulator, over real HTTP into a real PostgreSQL: what it claims to have
//! covered is compared with the simulator's ledger, row by row and column by column.

mod backpressure;
mod failures;
mod firekassa;
mod maintenance;
mod moving_rows;
mod paging;
mod published_examples;
mod quarantine;
mod recheck;
mod replay;
mod replicas;
mod verify;

use std::time::Duration;

use paysync::engine::inspect::status::{self, stalled_streams};
use paysync::engine::{Account, Outcome};
use paysync_provider::model::Window;
use paysync_provider::{Position, Response};
use sqlx::PgPool;

use crate::support::{
    account_of, assert_exact, config_text, count, engine_of, eventually, history, in_time, ledger,
    now, providers, start, stored, sync, sync_covers, versions,
};

/// Small pages, nothing awaited: a page holds few rows, so that a test reads many.
pub(crate) const SMALL: &str = "page_size = 50\nlag = \"0s\"\noverlap = \"5s\"\n";

/// As if nothing had been read, so that everything is read again.
pub(crate) async fn forget_everything(text: &str) {
    let engine = engine_of(text).await;
    let epoch = chrono::DateTime::from_timestamp(0, 0).unwrap();
    let always = Window::new(epoch, now()).unwrap();
    for account in &engine.accounts {
        engine
            .store
            .forget_coverage(&account.id, None, always)
            .await
            .unwrap();
    }
    engine.store.pool().close().await;
}

/// A correct response about a window.
async fn fetch(account: &Account, stream: &str, window: Window, page_size: u32) -> Response {
    let at = Position {
        stream,
        window,
        checkpoint: None,
        page_size,
    };
    let request = account.provider.request(&at).unwrap();
    let answer = account
        .client
        .send(&*account.provider, request, now())
        .await;
    answer.unwrap().response
}

#[sqlx::test(migrations = "./migrations")]
async fn a_sync_is_exact_and_a_second_one_writes_nothing(pool: PgPool) {
    let mut settings = history(1_500, 10);
    settings.burst = 40;
    let simulator = start(settings).await;
    let text = config_text(&simulator, &pool, &providers(), SMALL);
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &providers()).await;
    let before = versions(&pool).await;

    sync_covers(&text).await;
    assert_eq!(versions(&pool).await, before);
    // Nor does reading everything again.
    forget_everything(&text).await;
    sync_covers(&text).await;
    assert_eq!(versions(&pool).await, before);
    assert_exact(&pool, &simulator, &providers()).await;
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.quarantine").await,
        0
    );
    simulator.stop().await;
}

/// An earlier `start_from` is a gap like any other.
#[sqlx::test(migrations = "./migrations")]
async fn an_earlier_start_reads_what_is_missing(pool: PgPool) {
    let simulator = start(history(600, 10)).await;
    let text = config_text(&simulator, &pool, &providers(), SMALL);
    let from = simulator.settings().from;
    let written = |days| {
        let instant = from + chrono::TimeDelta::days(days);
        instant.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    sync_covers(&text.replace(&written(0), &written(5))).await;
    for provider in providers() {
        let held = stored(&pool, &account_of(provider)).await.len();
        let true_rows = ledger(&simulator, provider).len();
        assert!(0 < held && held < true_rows, "{held} of {true_rows}");
    }
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &providers()).await;
    simulator.stop().await;
}

/// Tiers of age that are due again before a pass over them ends keep no sync from ending.
#[sqlx::test(migrations = "./migrations")]
async fn a_sync_rescans_once(pool: PgPool) {
    let mut settings = history(400, 10);
    settings.latency = Duration::from_millis(5);
    let simulator = start(settings).await;
    let rescan = "rescan = [{ within = \"40d\", every = \"1ms\" }]\n";
    let text = config_text(&simulator, &pool, &providers(), &format!("{SMALL}{rescan}"));
    sync_covers(&text).await;
    // Changed behind the back of every stream that shows changes.
    sqlx::query("UPDATE paysync.transactions SET payload_hash = gen_random_uuid(), status = 'unknown', updated_at = NULL")
        .execute(&pool)
        .await
        .unwrap();
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &providers()).await;
    simulator.stop().await;
}

/// Whatever is cut off at any moment, the next sync goes on, and the tables are those of an
/// undisturbed run.
#[sqlx::test(migrations = "./migrations")]
async fn an_aborted_sync_resumes(pool: PgPool) {
    let mut settings = history(1_200, 10);
    settings.latency = Duration::from_millis(10);
    let simulator = start(settings).await;
    let settings = SMALL.replace("50", "25");
    let text = config_text(&simulator, &pool, &providers(), &settings);
    let mut random = fastrand::Rng::with_seed(42);
    let mut cut = 0;
    while cut < 12 {
        // A runtime of its own dies like a process: no task goes on, nothing is given back.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let doomed = text.clone();
        let work = runtime.spawn(async move {
            let engine = engine_of(&doomed).await;
            sync(&engine, crate::support::TIMEOUT).await
        });
        tokio::time::sleep(Duration::from_millis(random.u64(20..220))).await;
        let finished = work.is_finished();
        runtime.shutdown_background();
        assert!(!finished, "the history is too short: read after {cut} cuts");
        cut += 1;
        // As if the time of the lease were up.
        sqlx::query("UPDATE paysync.accounts SET lease_until = NULL")
            .execute(&pool)
            .await
            .unwrap();
    }
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &providers()).await;
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.transaction_history").await,
        0
    );
    simulator.stop().await;
}

/// A sync that is asked to stop ends soon, gives its leases back, and the next one goes on.
#[sqlx::test(migrations = "./migrations")]
async fn a_graceful_stop_releases_the_leases(pool: PgPool) {
    let mut settings = history(1_000, 10);
    settings.latency = Duration::from_millis(10);
    let simulator = start(settings).await;
    let text = config_text(&simulator, &pool, &providers(), SMALL);
    let engine = engine_of(&text).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let stopper = async {
        let reads = async || {
            engine
                .accounts
                .iter()
                .all(|a| a.progress.totals().pages > 0)
        };
        eventually("the first page of each", reads).await;
        stop.cancel();
    };
    let syncing = async { tokio::join!(engine.sync(crate::support::TIMEOUT, &stop), stopper).0 };
    let report = in_time("a stop", syncing).await.unwrap();
    assert!(
        report
            .iter()
            .all(|(_, outcome)| *outcome == Outcome::Stopped)
    );
    let held = "SELECT count(*) FROM paysync.accounts WHERE lease_until IS NOT NULL";
    assert_eq!(count(&pool, held).await, 0);
    engine.store.pool().close().await;
    sync_covers(&text).await;
    assert_exact(&pool, &simulator, &providers()).await;
    simulator.stop().await;
}

/// Only configured accounts count.
#[sqlx::test(migrations = "./migrations")]
async fn a_process_is_ready_while_every_stream_makes_progress(pool: PgPool) {
    let simulator = start(history(50, 2)).await;
    let text = config_text(&simulator, &pool, &providers()[..2], SMALL);
    let engine = engine_of(&text).await;
    let lines = stalled_streams(&engine.store, &engine.accounts)
        .await
        .unwrap();
    assert!(
        lines
            .iter()
            .all(|line| line.ends_with("nothing was read yet")),
        "{lines:?}"
    );
    assert!(lines.len() >= 4);
    sync_covers(&text).await;
    assert_eq!(
        stalled_streams(&engine.store, &engine.accounts)
            .await
            .unwrap(),
        [""; 0]
    );

    // As if nothing had been read for two hours.
    let stream = engine.accounts[0].streams[0].spec.name.clone();
    let age = "UPDATE paysync.streams
               SET coverage = coverage - tstzmultirange(tstzrange(now() - interval '2 hours', NULL))
               WHERE account_id = $1 AND stream = $2";
    let aged = sqlx::query(age).bind(&engine.accounts[0].id).bind(&stream);
    aged.execute(&pool).await.unwrap();
    let lines = stalled_streams(&engine.store, &engine.accounts)
        .await
        .unwrap();
    let expected = format!("{} {stream}: no progress, 2h behind", engine.accounts[0].id);
    assert_eq!(lines, [expected]);
    // The status reports an account that waits for an operator.
    let paused = engine.store.set_paused(&engine.accounts[0].id, true).await;
    assert!(paused.unwrap());
    assert_eq!(
        stalled_streams(&engine.store, &engine.accounts)
            .await
            .unwrap(),
        [""; 0]
    );
    simulator.stop().await;
}

#[sqlx::test(migrations = "./migrations")]
async fn the_status_lists_configured_accounts_only(pool: PgPool) {
    let simulator = start(history(50, 2)).await;
    let both = &providers()[..2];
    sync_covers(&config_text(&simulator, &pool, both, SMALL)).await;
    let one = engine_of(&config_text(&simulator, &pool, &both[..1], SMALL)).await;
    let status = status::load(&one.store, &one.accounts).await.unwrap();
    let listed: Vec<&str> = status
        .accounts
        .iter()
        .map(|account| account.id.as_str())
        .collect();
    assert_eq!(listed, [account_of(both[0])]);
    assert!(status.healthy);
    simulator.stop().await;
}
