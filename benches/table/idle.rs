//! A daemon with many accounts without new rows.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::database::{Database, Server};
use crate::load::Setup;
use crate::process::{self, Daemon};
use crate::simulator::{PROVIDERS, Simulator};
use crate::spread::Spread;

/// Accounts, equally many of each provider.
pub const ACCOUNTS: usize = 100;
/// Time until the first polls are over.
const WARM_UP: Duration = Duration::from_secs(70);
const HISTORY: [&str; 2] = ["--days", "3"];
const ROWS: u64 = 300;

/// The measurements, one value per round.
#[derive(Default)]
pub struct Idle {
    /// CPU in percent of one core.
    pub client: Spread,
    pub server: Spread,
    /// Maximum number at one moment.
    pub connections: Spread,
    /// Transactions of the database per second.
    pub commits: Spread,
    /// Requests to the providers in each second of all rounds.
    pub requests: Spread,
    /// Peak resident memory, MiB.
    pub resident: f64,
}

pub async fn measure(server: &mut Server, setup: &Setup<'_>, round: Duration, rounds: u32) -> Idle {
    let simulator = setup.simulator(ROWS, &HISTORY);
    let accounts: String = (0..ACCOUNTS)
        .map(|at| twin(&simulator, PROVIDERS[at % PROVIDERS.len()], at + 1))
        .collect();
    let database = server.database().await;
    let config = setup.configuration("idle", &database, &accounts);
    eprintln!("idle: {ACCOUNTS} accounts are read up to now");
    let synced = process::paysync(setup.program, Some(&config))
        .arg("sync")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(synced.success(), "paysync sync failed");
    server.settle().await;
    let mut daemon = Daemon::start(setup.program, &config);
    tokio::time::sleep(WARM_UP).await;
    let mut idle = Idle::default();
    for number in 0..rounds {
        watch(&mut idle, server, &database, &simulator, &daemon, round).await;
        eprintln!(
            "idle, round {}: client {} % of a core, server {} %, connections {}, commits/s {}, requests/s {}",
            number + 1,
            idle.client,
            idle.server,
            idle.connections,
            idle.commits,
            idle.requests
        );
    }
    assert!(daemon.is_alive(), "paysync run ended");
    idle.resident = process::peak(daemon.id()).unwrap_or(0) as f64 / 1024.0;
    daemon.end();
    server.drop(database).await;
    idle
}

async fn watch(
    idle: &mut Idle,
    server: &Server,
    database: &Database,
    simulator: &Simulator,
    daemon: &Daemon,
    round: Duration,
) {
    let clock = Instant::now();
    let client = process::cpu(daemon.id());
    let before = server.counts().await;
    let commits = database.transactions().await;
    let mut requests = simulator.requests();
    let mut connections = 0;
    let mut second = 0;
    while clock.elapsed() < round {
        second += 1;
        tokio::time::sleep(Duration::from_secs(second).saturating_sub(clock.elapsed())).await;
        connections = connections.max(server.connections().await);
        let now = simulator.requests();
        idle.requests.push((now - requests) as f64);
        requests = now;
    }
    let seconds = clock.elapsed().as_secs_f64();
    let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / seconds;
    idle.client
        .push(share(process::cpu(daemon.id()).saturating_sub(client)));
    idle.server.push(share(server.since(&before).await.cpu));
    idle.connections.push(connections as f64);
    // Includes the few queries of this benchmark.
    let commits = database.transactions().await - commits;
    idle.commits.push(commits as f64 / seconds);
}

/// Another account at a provider, with its own credentials.
pub fn twin(simulator: &Simulator, provider: &str, number: usize) -> String {
    let names = BTreeMap::from([
        ("begateway_dwh", "psp_id = \"simulator\""),
        ("begateway_report", "shop_id = \"363\""),
        ("convergegate", "token = \"simulator-token\""),
        ("ecommpay", "token = \"simulator-token-ecommpay-0000000\""),
        ("firekassa", "token = \"simulator-token\""),
    ]);
    let user = names[provider];
    let account = simulator.account(provider, "");
    let id = format!("id = \"simulated-{}", provider.replace('_', "-"));
    assert!(account.contains(user) && account.contains(&id));
    account
        .replace(user, &format!("{}-{number}\"", user.trim_end_matches('"')))
        .replace(&id, &format!("{id}-{number}"))
}
