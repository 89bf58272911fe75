//! Peak memory by the length of the history: the same shop after a day, after nine, after ninety; and of many
//! shops at once.

use crate::database::Server;
use crate::idle::{ACCOUNTS, twin};
use crate::load::{PROVIDER, Place};
use crate::run::{Run, Sync};
use crate::simulator::Simulator;
use crate::spread::Spread;

/// The runs of one length of history.
pub struct Memory {
    /// Rows per account.
    pub rows: u64,
    /// One account; and two at once, of opposite habits.
    pub runs: [Vec<Run>; 2],
}

impl Memory {
    pub fn peak(&self, accounts: usize) -> Spread {
        self.runs[accounts - 1].iter().map(Run::peak_mib).collect()
    }
}

/// Days of the longest history.
const DAYS: u64 = 90;

/// Loads a hundredth, a tenth and all of `most` rows, as many a day; the longest history once, as it
/// takes long.
pub async fn measure(
    server: &mut Server,
    place: &Place<'_>,
    most: u64,
    rounds: u32,
) -> Vec<Memory> {
    let mut all = Vec::new();
    for part in [100, 10, 1] {
        let rows = (most / part).max(1);
        let days = DAYS.div_ceil(part).to_string();
        let simulator = place.simulator(rows, &["--days", &days]);
        let one = simulator.account(PROVIDER, "");
        let two = simulator.account("convergegate", "") + &one;
        let mut runs = [Vec::new(), Vec::new()];
        for _ in 0..if part == 1 { 1 } else { rounds } {
            for (runs, accounts) in runs.iter_mut().zip([&one, &two]) {
                runs.push(load(server, place, &simulator, accounts).await);
            }
        }
        all.push(Memory { rows, runs });
    }
    all
}

/// Loads a history of each of many accounts at once.
pub async fn crowd(server: &mut Server, place: &Place<'_>, rows: u64) -> Run {
    let simulator = place.simulator(rows, &["--days", "9"]);
    let accounts: String = (1..=ACCOUNTS)
        .map(|number| twin(&simulator, PROVIDER, number))
        .collect();
    load(server, place, &simulator, &accounts).await
}

async fn load(
    server: &mut Server,
    place: &Place<'_>,
    simulator: &Simulator,
    accounts: &str,
) -> Run {
    let database = server.database().await;
    let config = place.configuration("memory", &database, accounts);
    let sync = Sync {
        program: place.program,
        server,
        simulator,
    };
    let run = sync.load(&database, &config).await;
    server.drop(database).await;
    eprintln!("memory: {} rows, peak {:.1} MiB", run.rows, run.peak_mib());
    run
}
