//! Helpers of the tests with a database: a simulator, a configuration, and the comparison of paysync's
//! tables with the simulator's ledger.

pub(crate) mod daemon;
pub(crate) mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::Write as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use paysync::app::App;
use paysync::clock::{Clock as _, SystemClock};
use paysync::config::Config;
use paysync::engine::inspect::verify::{Verification, verify};
use paysync::engine::{Engine, Outcome};
use paysync_provider::PROVIDERS;
use paysync_simulator::{Handle, Provider, Settings};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

/// Folders with the workspace's code.
pub(crate) const SOURCES: [&str; 3] = [
    "src",
    "crates/paysync-provider/src",
    "crates/paysync-simulator/src",
];

/// Longer than anything here takes on a slow machine.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(3);

/// Columns of `transactions` as the ledger writes them.
const TEXTS: &[&str] = &[
    "provider_transaction_id",
    "parent_transaction_id",
    "payment_group_id",
    "merchant_reference",
    "shop_id",
    "kind",
    "provider_kind",
    "status",
    "provider_status",
    "currency",
    "converted_currency",
    "fee_currency",
    "payment_method",
    "card_brand",
    "card_bin",
    "card_last4",
    "card_issuer_country",
    "customer_id",
    "customer_email",
    "customer_ip",
    "error_code",
    "error_message",
    "rrn",
    "arn",
    "auth_code",
    "provider_reference",
    "gateway",
    "description",
    "is_test",
];
const AMOUNTS: &[&str] = &["amount", "paid_amount", "converted_amount", "fee"];
const TIMES: &[&str] = &["created_at", "updated_at", "paid_at", "settled_at"];

/// Rows by their ids.
pub(crate) type Table = BTreeMap<String, Map<String, Value>>;

pub(crate) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

/// Gives up on what hangs.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: still going on after {TIMEOUT:?}"))
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(what, waiting).await;
}

/// Waits until a number has not changed for a second, and returns it.
pub(crate) async fn settled(what: &str, number: impl Fn() -> u64) -> u64 {
    let mut last = (number(), Instant::now());
    eventually(what, async || {
        if number() != last.0 {
            last = (number(), Instant::now());
        }
        last.1.elapsed() >= Duration::from_secs(1)
    })
    .await;
    last.0
}

/// Waits for the next second: a row of this one is wanted from then on.
pub(crate) async fn next_second() {
    let this = now().timestamp();
    while now().timestamp() == this {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The URL of a test's own database.
pub(crate) fn url(pool: &PgPool) -> String {
    pool.connect_options().to_url_lossy().to_string()
}

/// The simulated APIs, in the order of the table of providers: a provider needs no simulator.
pub(crate) fn providers() -> Vec<Provider> {
    let providers: Vec<Provider> = PROVIDERS
        .iter()
        .filter_map(|entry| Provider::by_slug(entry.code))
        .collect();
    assert_eq!(providers.len(), Provider::ALL.len(), "a slug is no code");
    providers
}

/// The account that reads a simulated API.
pub(crate) fn account_of(provider: Provider) -> String {
    format!("simulated-{}", provider.slug().replace('_', "-"))
}

/// A history of whole days that ended an hour ago.
pub(crate) fn history(rows: u64, days: u32) -> Settings {
    Settings {
        rows,
        ..Settings::new(now() - TimeDelta::hours(1), days)
    }
}

pub(crate) async fn start(settings: Settings) -> Handle {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    paysync_simulator::start(settings, listener).await.unwrap()
}

/// A configuration file's text: the simulated accounts of these providers, each with more settings.
pub(crate) fn config_text(
    simulator: &Handle,
    pool: &PgPool,
    providers: &[Provider],
    settings: &str,
) -> String {
    let text = simulator.config_toml(&url(pool));
    let mut parts = text.split("[[accounts]]\n");
    let mut kept = vec![parts.next().unwrap().to_owned()];
    for part in parts {
        let wanted = providers
            .iter()
            .any(|provider| part.contains(&format!("provider = \"{}\"", provider.slug())));
        if wanted {
            kept.push(format!("[[accounts]]\n{part}{settings}\n\n"));
        }
    }
    kept.concat() + "[http]\nlisten = \"off\"\n\n[engine]\nlease_ttl = \"2s\"\n"
}

pub(crate) fn file_of(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

pub(crate) fn config_of(text: &str) -> Config {
    let file = file_of(text);
    Config::load(Some(file.path()), &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"))
}

/// An engine for a configuration's accounts, which the database knows.
pub(crate) async fn engine_of(text: &str) -> Engine {
    let engine = App::new(&config_of(text), &[]).unwrap().engine;
    engine.register().await.unwrap();
    engine
}

/// What `paysync verify` finds for an engine's accounts.
pub(crate) async fn verification(engine: &Engine) -> Verification {
    verify(&engine.store, &engine.accounts).await.unwrap()
}

/// Reads all accounts once; each account's outcome.
pub(crate) async fn sync(engine: &Engine, give_up_after: Duration) -> BTreeMap<String, Outcome> {
    let stop = CancellationToken::new();
    let report = in_time("sync", engine.sync(give_up_after, &stop)).await;
    report
        .unwrap()
        .into_iter()
        .map(|(account, outcome)| (account.id.clone(), outcome))
        .collect()
}

/// Reads all accounts with a fresh engine, until everything is covered.
pub(crate) async fn sync_covers(text: &str) {
    let engine = engine_of(text).await;
    let outcomes = sync(&engine, TIMEOUT).await;
    for (account, outcome) in &outcomes {
        let trouble = engine
            .accounts
            .iter()
            .find(|known| known.id == *account)
            .and_then(|known| known.progress.current_failure());
        assert_eq!(*outcome, Outcome::Covered, "{account}: {trouble:?}");
    }
    assert_eq!(outcomes.len(), engine.accounts.len());
    engine.store.pool().close().await;
}

/// What paysync holds of an account, in the ledger's words.
pub(crate) async fn stored(pool: &PgPool, account: &str) -> Table {
    let columns: Vec<&str> = TEXTS.iter().chain(AMOUNTS).chain(TIMES).copied().collect();
    let texts = TEXTS.iter().map(|column| format!("{column}::text"));
    let amounts = AMOUNTS
        .iter()
        .map(|column| format!("trim_scale({column})::text"));
    let times = TIMES.iter().map(|column| {
        format!(r#"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#)
    });
    let values: Vec<String> = texts.chain(amounts).chain(times).collect();
    let sql = format!(
        "SELECT json_object(ARRAY['{}'], ARRAY[{}])::text FROM paysync.transactions WHERE account_id = $1",
        columns.join("', '"),
        values.join(", "),
    );
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(account)
        .fetch_all(pool)
        .await
        .unwrap();
    by_id(rows.iter().map(|row| serde_json::from_str(row).unwrap()))
}

/// What is true of a provider.
pub(crate) fn ledger(simulator: &Handle, provider: Provider) -> Table {
    let rows = simulator.ledger(provider);
    by_id(rows.iter().map(|row| serde_json::to_value(row).unwrap()))
}

fn by_id(rows: impl Iterator<Item = Value>) -> Table {
    rows.map(|row| {
        let Value::Object(row) = row else {
            panic!("{row} is no row");
        };
        let id = row["provider_transaction_id"].as_str().unwrap().to_owned();
        (id, row)
    })
    .collect()
}

/// How a table differs from the truth; empty if it does not.
pub(crate) fn differences(stored: &Table, ledger: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (id, true_row) in ledger {
        let Some(row) = stored.get(id) else {
            found.push(format!("{id} is lost: {true_row:?}"));
            continue;
        };
        assert_eq!(row.len(), true_row.len(), "columns: {row:?} {true_row:?}");
        for (column, value) in true_row {
            if row.get(column) != Some(value) {
                let held = row.get(column);
                found.push(format!("{id}: {column} is {held:?}, not {value:?}"));
            }
        }
    }
    let invented = stored.keys().filter(|id| !ledger.contains_key(*id));
    found.extend(invented.map(|id| format!("{id} is invented")));
    found
}

/// Every row of every registered provider is stored just as the ledger has it, with its payload,
/// and nothing else is.
pub(crate) async fn assert_exact(pool: &PgPool, simulator: &Handle, providers: &[Provider]) {
    for &provider in providers {
        let account = account_of(provider);
        let (stored, ledger) = (stored(pool, &account).await, ledger(simulator, provider));
        assert!(!ledger.is_empty());
        let found = differences(&stored, &ledger);
        let first: Vec<&String> = found.iter().take(8).collect();
        assert!(
            found.is_empty(),
            "{account}: {} rows stored of {}, {} differences: {first:#?}",
            stored.len(),
            ledger.len(),
            found.len(),
        );
        let payloads: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM paysync.transactions JOIN paysync.raw_transactions
             USING (account_id, provider_transaction_id) WHERE account_id = $1",
        )
        .bind(&account)
        .fetch_one(pool)
        .await
        .unwrap();
        assert_eq!(usize::try_from(payloads).unwrap(), ledger.len());
    }
    assert_eq!(
        count(pool, "SELECT count(*) FROM paysync.coverage_gaps").await,
        0
    );
    assert_eq!(
        count(
            pool,
            "SELECT count(*) FROM paysync.windows WHERE outcome IS NULL"
        )
        .await,
        0
    );
}

/// The keys and sums that are stored equal those that a recount makes of the rows.
pub(crate) async fn assert_recounted(pool: &PgPool) {
    let derived = "SELECT concat_ws(' ', account_id, day, currency, kind, status, transactions, trim_scale(amount), unknown_amounts)
        FROM paysync.daily_totals
        UNION ALL SELECT concat_ws(' ', account_id, provider_transaction_id, payment_key) FROM paysync.transactions
        ORDER BY 1";
    let mut work = pool.begin().await.unwrap();
    let stored = |rows: Vec<String>| rows.into_iter().collect::<BTreeSet<String>>();
    let before = stored(
        sqlx::query_scalar(derived)
            .fetch_all(&mut *work)
            .await
            .unwrap(),
    );
    recount(&mut work).await;
    let after = stored(
        sqlx::query_scalar(derived)
            .fetch_all(&mut *work)
            .await
            .unwrap(),
    );
    work.rollback().await.unwrap();
    let differing: Vec<&String> = before.symmetric_difference(&after).take(8).collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

/// Rebuilds payment keys and daily sums, for rows that were written by hand.
pub(crate) async fn recount(connection: &mut PgConnection) {
    let all = "SELECT paysync.recount_account(account_id) FROM (SELECT DISTINCT account_id FROM paysync.transactions) AS stored";
    sqlx::query(all).execute(connection).await.unwrap();
}

pub(crate) async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// The row versions of the bulk tables: equal before and after if no row was written, deleted or
/// even locked (`xmax`) in between.
pub(crate) async fn versions(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT format('transaction %s %s %s %s', provider_transaction_id, xmin, xmax, ctid) FROM paysync.transactions
         UNION ALL
         SELECT format('payload %s %s %s %s', provider_transaction_id, xmin, xmax, ctid) FROM paysync.raw_transactions
         UNION ALL
         SELECT format('version %s %s %s %s', version, xmin, xmax, ctid) FROM paysync.transaction_history
         ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// The tables of paysync that have a row with this text in any column.
pub(crate) async fn tables_with(pool: &PgPool, text: &str) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'paysync'::regnamespace AND relkind = 'r' ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let sql = format!(
            "SELECT count(*) FROM paysync.{table} AS held WHERE position(lower($1) IN lower(held::text)) > 0"
        );
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(text)
            .fetch_one(pool)
            .await
            .unwrap();
        if rows > 0 {
            found.push(format!("{table}: {text}, {rows} times"));
        }
    }
    found
}
