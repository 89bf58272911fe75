//! Slow responses and a database that hangs: leases outlive the former, requests wait for the latter.

use std::time::Duration;

use paysync::engine::{Engine, PageMemory};
use paysync_simulator::{Handle, Provider};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::SMALL;
use crate::support::{
    TIMEOUT, account_of, assert_exact, config_text, count, engine_of, eventually, history, in_time,
    providers, settled, start,
};

const PROVIDER: Provider = Provider::Convergegate;

fn requests(simulator: &Handle) -> u64 {
    simulator.requests(PROVIDER).requests
}

/// As with a response of five minutes and the default lease: no other process gets the account meanwhile.
#[sqlx::test(migrations = "./migrations")]
async fn a_response_slower_than_ten_leases_loses_no_lease(pool: PgPool) {
    let mut settings = history(30, 1);
    settings.latency = Duration::from_secs(5);
    let simulator = start(settings).await;
    let text = config_text(&simulator, &pool, &[PROVIDER], SMALL);
    let mut engine = engine_of(&text).await;
    engine.lease_ttl = Duration::from_millis(500);
    let syncing = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.sync(TIMEOUT, &CancellationToken::new()).await })
    };
    let account = [account_of(PROVIDER)];
    let rivalry = async {
        let mut tries = 0;
        while engine.accounts[0].progress.totals().pages == 0 {
            if requests(&simulator) > 0 {
                let rival = engine.store.acquire(&account, "rival", TIMEOUT, 1);
                assert!(rival.await.unwrap().is_empty(), "after {tries} tries");
                tries += 1;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tries
    };
    assert!(in_time("the first page", rivalry).await > 0);
    in_time("a sync", syncing).await.unwrap().unwrap();
    assert_exact(&pool, &simulator, &[PROVIDER]).await;
    let once = "SELECT count(*) FROM paysync.accounts WHERE lease_token = 1";
    assert_eq!(count(&pool, once).await, 1, "the lease was taken again");
    simulator.stop().await;
}

/// While the database hangs, each window fetches one page ahead and no more.
#[sqlx::test(migrations = "./migrations")]
async fn a_hanging_database_holds_back_requests(pool: PgPool) {
    // Windows of many pages each.
    let provider = Provider::BegatewayDwh;
    let simulator = slow_history(1_000).await;
    let text = config_text(&simulator, &pool, &[provider], &SMALL.replace("50", "5"));
    let engine = engine_of(&text).await;
    let hung = while_hanging(&pool, &simulator, engine).await;
    assert!(
        hung.begun < hung.pages,
        "nothing is fetched ahead: {hung:?}"
    );
    assert!(hung.pages <= hung.open * 2, "{hung:?}");
    assert_exact(&pool, &simulator, &[provider]).await;
    simulator.stop().await;
}

/// Where there is memory for one page, one window has one in memory, and all others wait.
#[sqlx::test(migrations = "./migrations")]
async fn all_accounts_share_the_memory_for_pages(pool: PgPool) {
    let simulator = slow_history(600).await;
    let text = config_text(&simulator, &pool, &providers(), SMALL);
    let mut engine = engine_of(&text).await;
    // Less than any page takes.
    engine.page_memory = PageMemory::of_kib(1);
    let hung = while_hanging(&pool, &simulator, engine).await;
    assert_eq!(hung.pages, 1, "{hung:?}");
    assert_exact(&pool, &simulator, &providers()).await;
    simulator.stop().await;
}

/// The last page of a window asks the provider for nothing: while it is stored the next window is
/// begun, and no other before that.
#[sqlx::test(migrations = "./migrations")]
async fn the_next_window_begins_while_one_is_stored(pool: PgPool) {
    let simulator = slow_history(600).await;
    // Windows of one page, read one by one.
    let one_by_one = "concurrency = 1\nmax_window = \"1h\"\nlag = \"0s\"\noverlap = \"5s\"\n";
    let text = config_text(&simulator, &pool, &[PROVIDER], one_by_one);
    let engine = engine_of(&text).await;
    let syncing =
        tokio::spawn(async move { engine.sync(TIMEOUT, &CancellationToken::new()).await });
    let backfill = "SELECT count(*) FROM paysync.windows WHERE lane = 'backfill'";
    let begun = async || count(&pool, backfill).await >= 5;
    eventually("the first windows", begun).await;
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE paysync.transactions IN SHARE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let open = "SELECT count(*) FROM paysync.windows WHERE outcome IS NULL";
    let two = async || count(&pool, open).await >= 2;
    eventually("a second window", two).await;
    settled("requests", || requests(&simulator)).await;
    assert_eq!(count(&pool, open).await, 2);
    lock.rollback().await.unwrap();
    in_time("a sync", syncing).await.unwrap().unwrap();
    assert_exact(&pool, &simulator, &[PROVIDER]).await;
    simulator.stop().await;
}

async fn slow_history(rows: u64) -> Handle {
    let mut settings = history(rows, 2);
    settings.latency = Duration::from_millis(5);
    start(settings).await
}

/// The work of an engine while the database hangs.
#[derive(Debug)]
struct Hung {
    /// Pages that are fetched and not stored.
    pages: u64,
    /// Windows, and those of them that have stored a page.
    open: u64,
    begun: u64,
}

/// Syncs; after the first pages the database hangs until no more requests come.
async fn while_hanging(pool: &PgPool, simulator: &Handle, engine: Engine) -> Hung {
    let requests = || -> u64 {
        let all = providers().into_iter();
        all.map(|provider| simulator.requests(provider).requests)
            .sum()
    };
    let accounts = engine.accounts.clone();
    let syncing =
        tokio::spawn(async move { engine.sync(TIMEOUT, &CancellationToken::new()).await });
    let stored = || -> u64 { accounts.iter().map(|a| a.progress.totals().pages).sum() };
    eventually("the first pages", async || stored() >= 20).await;
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE paysync.windows IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let hanging = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let hangs = async || count(pool, hanging).await > 0;
    eventually("a commit that waits", hangs).await;
    let pages = settled("requests", requests).await - stored();
    let open = "SELECT count(*), count(*) FILTER (WHERE pages > 0) FROM paysync.windows WHERE outcome IS NULL";
    let open = sqlx::query_as(open).fetch_one(&mut *lock).await;
    let (open, begun): (i64, i64) = open.unwrap();
    lock.rollback().await.unwrap();
    in_time("a sync", syncing).await.unwrap().unwrap();
    Hung {
        pages,
        open: open.unsigned_abs(),
        begun: begun.unsigned_abs(),
    }
}
