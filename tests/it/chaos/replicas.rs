//! Three replicas, one of them killed every few seconds: the same tables, no account read by two
//! processes at once, no budget exceeded, and each survivor ends with its share.
//!
//! Every process is a named client of the simulator. `PAYSYNC_CHAOS_REPLICAS_SECONDS`
//! says how long the killing goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fastrand::Rng;
use paysync_simulator::{Call, Handle, Provider};
use sqlx::PgPool;
use tempfile::TempDir;

use super::process::Process;
use super::{Tally, invariants, number};
use crate::support::{
    TIMEOUT, account_of, config_text, differences, history, in_time, ledger, start, stored,
};

/// Its accounts can be told apart by their credentials.
const PROVIDERS: [Provider; 3] = [
    Provider::Convergegate,
    Provider::BegatewayDwh,
    Provider::Firekassa,
];

/// Accounts of each provider.
const TWINS: usize = 3;

const REPLICAS: usize = 3;

/// Requests in any 60 s, for every account.
const PER_MINUTE: usize = 180;

const SECONDS: u64 = 18;

/// Writes down who holds which account from when on.
const DIARY: &str = "
    CREATE TABLE holders (at timestamptz, account_id text, token bigint, holder text);
    CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO holders VALUES (clock_timestamp(), NEW.account_id, NEW.lease_token, NEW.lease_holder);
        RETURN NULL;
    END $$;
    CREATE TRIGGER write_down AFTER UPDATE OF lease_token ON paysync.accounts
    FOR EACH ROW WHEN (OLD.lease_token <> NEW.lease_token) EXECUTE FUNCTION write_down();
";

/// The replicas, and what they share.
struct Replicas {
    text: String,
    folder: TempDir,
    alive: Vec<(String, Process)>,
    started: usize,
}

impl Replicas {
    fn start_one(&mut self) {
        self.started += 1;
        let name = format!("replica{}", self.started);
        let text = self.text.replace("/CLIENT/", &format!("/~{name}/"));
        let path = |end: &str| -> PathBuf { self.folder.path().join(format!("{name}.{end}")) };
        std::fs::write(path("toml"), text).unwrap();
        let process = Process::start("run", &path("toml"), "", &path("log"));
        self.alive.push((name, process));
    }

    async fn kill_one(&mut self, random: &mut Rng) {
        let (_, process) = self.alive.swap_remove(random.usize(0..self.alive.len()));
        process.kill().await;
    }
}

/// Every account several times, as twins with other credentials, each of a client to be named.
fn twins(simulator: &Handle, text: &str) -> String {
    let address = simulator.addr().to_string();
    let (accounts, rest) = text.split_once("[http]").unwrap();
    let mut parts = accounts.split("[[accounts]]\n");
    let mut all = vec![parts.next().unwrap().to_owned()];
    for account in parts {
        for twin in 0..TWINS {
            let twin = account
                .replace("\"\nprovider", &format!("-{twin}\"\nprovider"))
                .replace(
                    "\"simulator-token\"",
                    &format!("\"simulator-token-{twin}\""),
                )
                .replace(
                    "_id = \"simulator\"",
                    &format!("_id = \"simulator-{twin}\""),
                )
                .replace("60000", &PER_MINUTE.to_string())
                .replace(&address, &format!("{address}/CLIENT"));
            all.push(format!("[[accounts]]\n{twin}\n"));
        }
    }
    format!("{}[http]{rest}", all.concat())
}

/// The account that a credential belongs to.
fn account_of_call(call: &Call) -> String {
    let twin = call.credential.rsplit('-').next().unwrap();
    format!("{}-{twin}", account_of(call.provider))
}

/// Calls of different clients that an account answered at one moment.
fn together(calls: &[&Call]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, call) in calls.iter().enumerate() {
        for later in &calls[place + 1..] {
            if later.client != call.client && call.ended.is_none_or(|ended| later.began < ended) {
                found.push(format!("{call:?} and {later:?}"));
            }
        }
    }
    found
}

/// By how many requests an account was asked more than a burst and the rhythm after it allow.
fn beyond_the_budget(calls: &[&Call]) -> usize {
    let burst = PER_MINUTE / 10;
    let interval_ms = 60_000 / (PER_MINUTE + 1 - burst);
    let mut most = 0;
    for (place, first) in calls.iter().enumerate() {
        for (asked, last) in calls[place..].iter().enumerate() {
            let ms = (last.began - first.began).num_milliseconds();
            let allowed = burst + usize::try_from(ms).unwrap() / interval_ms;
            most = most.max((asked + 1).saturating_sub(allowed));
        }
    }
    most
}

/// Calls by a process that did not hold the account when they came.
async fn without_a_lease(pool: &PgPool, account: &str, calls: &[&Call]) -> Vec<String> {
    let holders: Vec<(DateTime<Utc>, String)> =
        sqlx::query_as("SELECT at, holder FROM holders WHERE account_id = $1 ORDER BY token")
            .bind(account)
            .fetch_all(pool)
            .await
            .unwrap();
    let mut found = Vec::new();
    for call in calls {
        let holder = holders.iter().rfind(|(at, _)| *at <= call.began);
        if holder.is_none_or(|(_, holder)| !holder.starts_with(&format!("{}/", call.client))) {
            found.push(format!("{call:?} while {holder:?}"));
        }
    }
    found
}

/// Waits until every account holds just what is true.
async fn until_exact(pool: &PgPool, simulator: &Handle) {
    for provider in PROVIDERS {
        for twin in 0..TWINS {
            let account = format!("{}-{twin}", account_of(provider));
            loop {
                let held = stored(pool, &account).await;
                if differences(&held, &ledger(simulator, provider)).is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Waits until each of these processes holds its share.
async fn until_even(pool: &PgPool, alive: &[&str]) {
    let share = i64::try_from(PROVIDERS.len() * TWINS / alive.len()).unwrap();
    loop {
        let shares: Vec<(String, i64)> = sqlx::query_as(
            "SELECT split_part(lease_holder, '/', 1) AS holder, count(*) FROM paysync.accounts
             WHERE lease_until > clock_timestamp() GROUP BY holder",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        let even = shares.len() == alive.len()
            && shares
                .iter()
                .all(|(holder, held)| alive.contains(&holder.as_str()) && *held == share);
        if even {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Every request came from the process that held the account, alone, and within its budget. How many
/// requests there were, and how often an account changed hands.
async fn assert_fair(pool: &PgPool, simulator: &Handle) -> (usize, usize) {
    let calls = simulator.calls();
    let mut by_account: BTreeMap<String, Vec<&Call>> = BTreeMap::new();
    for call in &calls {
        by_account
            .entry(account_of_call(call))
            .or_default()
            .push(call);
    }
    let accounts: Vec<&String> = by_account.keys().collect();
    assert_eq!(accounts.len(), PROVIDERS.len() * TWINS, "{accounts:?}");
    let mut moves = 0;
    for (account, calls) in &by_account {
        moves += calls
            .windows(2)
            .filter(|pair| pair[0].client != pair[1].client)
            .count();
        let found = together(calls);
        assert!(
            found.is_empty(),
            "{account} was read by two at once: {found:#?}"
        );
        let found = without_a_lease(pool, account, calls).await;
        assert!(
            found.is_empty(),
            "{account} was read without a lease: {found:#?}"
        );
        // One or two may be overtaken on their way.
        let beyond = beyond_the_budget(calls);
        assert!(beyond <= 2, "{account} was asked {beyond} times too often");
    }
    assert!(
        moves >= TWINS * 2,
        "accounts changed hands only {moves} times"
    );
    for provider in PROVIDERS {
        for (credential, used) in simulator.requests(provider).credentials {
            assert!(
                used.highest_per_minute <= PER_MINUTE,
                "{credential}: {used:?}"
            );
        }
    }
    (calls.len(), moves)
}

#[sqlx::test(migrations = "./migrations")]
async fn killed_replicas_lose_and_double_nothing(pool: PgPool) {
    sqlx::raw_sql(DIARY).execute(&pool).await.unwrap();
    let mut settings = history(250, 2);
    settings.latency = Duration::from_millis(20);
    let simulator = start(settings).await;
    // Where no stream shows a change, what is young is read again all the time.
    let settings = "page_size = 16\nlag = \"0s\"\noverlap = \"20s\"\npoll_interval = \"4s\"\nconcurrency = 2\n\
                    rescan = [{ within = \"3d\", every = \"15s\" }]\nrepoll = []\naudit = []\n";
    let text = config_text(&simulator, &pool, &PROVIDERS, settings);
    let text = text.replacen("[database]\n", "[database]\nmax_connections = 6\n", 1);
    let mut replicas = Replicas {
        text: twins(&simulator, &text).replace("\"2s\"\n", "\"1500ms\"\n"),
        folder: tempfile::tempdir().unwrap(),
        alive: Vec::new(),
        started: 0,
    };
    for _ in 0..REPLICAS {
        replicas.start_one();
    }
    let mut random = Rng::with_seed(number("PAYSYNC_CHAOS_SEED", 1));
    let seconds = number("PAYSYNC_CHAOS_REPLICAS_SECONDS", SECONDS);
    for _ in 0..seconds.div_ceil(3) {
        tokio::time::sleep(Duration::from_millis(random.u64(2_000..4_000))).await;
        for provider in PROVIDERS {
            simulator.insert_now(provider, 3);
            simulator.touch(provider, 3);
        }
        replicas.kill_one(&mut random).await;
        replicas.start_one();
    }
    in_time("the last rows", until_exact(&pool, &simulator)).await;
    let (requests, moves) = assert_fair(&pool, &simulator).await;
    let alive: Vec<&str> = replicas
        .alive
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    in_time("an even share", until_even(&pool, &alive)).await;
    println!(
        "{} processes, {moves} changes of hands, {} requests",
        replicas.started, requests
    );
    for (_, mut process) in replicas.alive {
        process.signal("TERM");
        let ended = async {
            while process.ended().is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, ended).await.unwrap();
    }
    invariants::check(&pool, &mut Tally::default()).await;
    simulator.stop().await;
}
