//! Two processes on one database.

use std::collections::BTreeMap;
use std::time::Duration;

use paysync_simulator::{Handle, Provider};
use sqlx::PgPool;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::SMALL;
use crate::support::{
    TIMEOUT, account_of, config_text, count, differences, engine_of, eventually, history, ledger,
    start, stored,
};

/// Accounts of each provider, each with a credential of its own.
const TWINS: usize = 3;

const PROVIDERS: [Provider; 2] = [Provider::Convergegate, Provider::BegatewayDwh];

/// Every account several times, as twins with other credentials.
fn twins(text: &str) -> String {
    let mut parts = text.split("[[accounts]]\n");
    let mut all = vec![parts.next().unwrap().to_owned()];
    let parts: Vec<&str> = parts.collect();
    let (last, engine) = parts.last().unwrap().split_once("[http]").unwrap();
    let accounts = parts[..parts.len() - 1].iter().copied().chain([last]);
    for account in accounts {
        for twin in 0..TWINS {
            let twin = account
                .replace("\"\nprovider", &format!("-{twin}\"\nprovider"))
                .replace(
                    "\"simulator-token\"",
                    &format!("\"simulator-token-{twin}\""),
                )
                .replace(
                    "psp_id = \"simulator\"",
                    &format!("psp_id = \"simulator-{twin}\""),
                );
            all.push(format!("[[accounts]]\n{twin}\n"));
        }
    }
    format!("{}[http]{engine}", all.concat())
}

/// A process of its own: all its tasks end at once when it is killed.
fn replica(text: &str, holder: &'static str, stop: &CancellationToken) -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (text, stop) = (text.to_owned(), stop.clone());
    runtime.spawn(async move {
        let mut engine = engine_of(&text).await;
        holder.clone_into(&mut engine.holder);
        engine.run(&stop).await;
    });
    runtime
}

async fn holders(pool: &PgPool) -> BTreeMap<String, (Option<String>, i64)> {
    let rows: Vec<(String, Option<String>, i64)> =
        sqlx::query_as("SELECT account_id, lease_holder, lease_token FROM paysync.accounts")
            .fetch_all(pool)
            .await
            .unwrap();
    rows.into_iter()
        .map(|(account, holder, token)| (account, (holder, token)))
        .collect()
}

/// Waits until every account holds just what is true.
async fn until_exact(pool: &PgPool, simulator: &Handle) {
    let exact = async {
        for provider in PROVIDERS {
            for twin in 0..TWINS {
                let account = format!("{}-{twin}", account_of(provider));
                loop {
                    let held = stored(pool, &account).await;
                    if differences(&held, &ledger(simulator, provider)).is_empty() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    let in_time = tokio::time::timeout(TIMEOUT, exact).await;
    assert!(in_time.is_ok(), "the tables are still not right");
}

/// Waits until each of these processes holds its share and no other process holds a lease.
async fn until_even(pool: &PgPool, alive: &[&str]) -> BTreeMap<String, (Option<String>, i64)> {
    let even = async {
        loop {
            let holders = holders(pool).await;
            let share = |process: &str| {
                let held = holders.values();
                held.filter(|(holder, _)| holder.as_deref() == Some(process))
                    .count()
            };
            if alive
                .iter()
                .all(|process| share(process) * alive.len() == holders.len())
            {
                return holders;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let even = tokio::time::timeout(TIMEOUT, even).await;
    even.expect("the accounts are not shared evenly")
}

#[sqlx::test(migrations = "./migrations")]
async fn replicas_share_the_accounts_evenly_and_take_over_leases(pool: PgPool) {
    let mut settings = history(200, 3);
    settings.latency = Duration::from_millis(10);
    let simulator = start(settings).await;
    let live = format!("{SMALL}poll_interval = \"1s\"\nconcurrency = 1\n");
    let text = twins(&config_text(&simulator, &pool, &PROVIDERS, &live));
    let stop = CancellationToken::new();
    let mut replicas = BTreeMap::new();
    for holder in ["one", "two"] {
        replicas.insert(holder, replica(&text, holder, &stop));
    }
    until_exact(&pool, &simulator).await;
    let before = until_even(&pool, &["one", "two"]).await;
    assert_eq!(before.len(), PROVIDERS.len() * TWINS);

    // Kill one that holds something.
    let dead = before.values().next().unwrap().0.clone().unwrap();
    let (dead, runtime) = replicas.remove_entry(dead.as_str()).unwrap();
    runtime.shutdown_background();
    for provider in PROVIDERS {
        simulator.insert_now(provider, 5);
    }
    until_exact(&pool, &simulator).await;
    let alive: Vec<&str> = replicas.keys().copied().collect();
    let after = until_even(&pool, &alive).await;
    for (account, (holder, token)) in &after {
        let (holder_before, token_before) = &before[account];
        let taken_over = i64::from(holder_before.as_deref() == Some(dead));
        assert_ne!(holder.as_deref(), Some(dead), "{account}");
        assert_eq!(*token, token_before + taken_over, "{account}");
    }

    // One window at a time, and one live window besides: two processes would make it more.
    for provider in PROVIDERS {
        let counts = simulator.requests(provider);
        assert_eq!(counts.credentials.len(), TWINS, "{counts:?}");
        for (credential, used) in counts.credentials {
            let highest = used.highest_concurrent;
            assert!((1..=2).contains(&highest), "{credential}: {used:?}");
        }
    }
    stop.cancel();
    let (_, runtime) = replicas.pop_first().unwrap();
    let held = "SELECT count(*) FROM paysync.accounts WHERE lease_until IS NOT NULL";
    eventually("a stop", async || count(&pool, held).await == 0).await;
    runtime.shutdown_background();
    simulator.stop().await;
}
