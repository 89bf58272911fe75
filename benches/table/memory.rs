//! Peak memory by the length of the history (the same shop after 1, 9 and 90 days), and with many shops at once.

use crate::database::Server;
use crate::idle::{ACCOUNTS, twin};
use crate::load::{PROVIDER, Setup};
use crate::run::{Run, Sync};
use crate::simulator::Simulator;
use crate::spread::Spread;

/// The runs of one length of history.
pub struct Memory {
    /// Rows per account.
    pub rows: u64,
    /// Of one account, and of two with different providers at once.
    pub runs: [Vec<Run>; 2],
}

impl Memory {
    pub fn peak(&self, accounts: usize) -> Spread {
        self.runs[accounts - 1].iter().map(Run::peak_mib).collect()
    }
}

/// Days of the longest history.
const DAYS: u64 = 90;

/// Loads a hundredth, a tenth and all of `most` rows, with the same number of rows per day; the longest history only
/// once, because it takes long.
pub async fn measure(
    server: &mut Server,
    setup: &Setup<'_>,
    most: u64,
    rounds: u32,
) -> Vec<Memory> {
    let mut all = Vec::new();
    for part in [100, 10, 1] {
        let rows = (most / part).max(1);
        let days = DAYS.div_ceil(part).to_string();
        let simulator = setup.simulator(rows, &["--days", &days]);
        let one = simulator.account(PROVIDER, "");
        let two = simulator.account("convergegate", "") + &one;
        let mut runs = [Vec::new(), Vec::new()];
        for _ in 0..if part == 1 { 1 } else { rounds } {
            for (runs, accounts) in runs.iter_mut().zip([&one, &two]) {
                runs.push(load(server, setup, &simulator, accounts).await);
            }
        }
        all.push(Memory { rows, runs });
    }
    all
}

/// Loads the histories of many accounts at once.
pub async fn crowd(server: &mut Server, setup: &Setup<'_>, rows: u64) -> Run {
    let simulator = setup.simulator(rows, &["--days", "9"]);
    let accounts: String = (1..=ACCOUNTS)
        .map(|number| twin(&simulator, PROVIDER, number))
        .collect();
    load(server, setup, &simulator, &accounts).await
}

async fn load(
    server: &mut Server,
    setup: &Setup<'_>,
    simulator: &Simulator,
    accounts: &str,
) -> Run {
    let database = server.database().await;
    let config = setup.configuration("memory", &database, accounts);
    let sync = Sync {
        program: setup.program,
        server,
        simulator,
    };
    let run = sync.load(&database, &config).await;
    server.drop(database).await;
    eprintln!("memory: {} rows, peak {:.1} MiB", run.rows, run.peak_mib());
    run
}
