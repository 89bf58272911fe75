//! Load, re-scan and change beside COPY, round by round, so that a drift of the machine hits all alike.

use std::path::{Path, PathBuf};

use crate::copy::Stored;
use crate::database::{Database, Server};
use crate::process;
use crate::run::{Run, Sync};
use crate::simulator::{PROVIDERS, Simulator, configuration};

/// The provider whose rows are the measure: 2.4 kB each, in keyset pages of 1000.
pub const PROVIDER: &str = "begateway_dwh";
pub const ACCOUNT: &str = "simulated-begateway-dwh";

/// The provider has its answers ready: its own work is not the measure.
const KEEP: [&str; 2] = ["--keep", "8192"];

/// Every so-manieth row has changed where some have.
pub const CHANGED: &str = "10";

/// The runs of every round, by the number of connections or requests at once.
#[derive(Default)]
pub struct Figures {
    pub copy: [Vec<Run>; 2],
    pub load: [Vec<Run>; 2],
    pub again: [Vec<Run>; 2],
    pub changed: [Vec<Run>; 2],
}

/// What the sections have in common.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub program: &'a Path,
    /// The program that serves as the provider.
    pub simulator: &'a Path,
    pub directory: &'a Path,
    pub until: &'a str,
}

impl Place<'_> {
    /// Providers with a quiet history.
    pub fn simulator(&self, rows: u64, more: &[&str]) -> Simulator {
        let rows = rows.to_string();
        let quiet = ["--rate", "0", "--churn", "0", "--until", self.until];
        let arguments = [&["--rows", &rows][..], &quiet, more].concat();
        Simulator::start(self.simulator, &arguments)
    }

    pub fn configuration(&self, name: &str, database: &Database, accounts: &str) -> PathBuf {
        configuration(self.directory, name, &database.url, accounts)
    }

    /// Forgets what was read, as an operator does.
    pub fn forget(&self, config: &Path) {
        let status = process::paysync(self.program, Some(config))
            .args(["resync", "--account", ACCOUNT, "--yes"])
            .args(["--from", "2000-01-01T00:00:00Z", "--to", self.until])
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "paysync resync failed");
    }

    pub fn migrate(&self, config: &Path) {
        let status = process::paysync(self.program, Some(config))
            .arg("migrate")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "paysync migrate failed");
    }
}

pub async fn measure(server: &mut Server, place: &Place<'_>, rows: u64, rounds: u32) -> Figures {
    let plain = place.simulator(rows, &KEEP);
    let moved = place.simulator(rows, &[&KEEP[..], &["--changed", CHANGED]].concat());
    let account = |simulator: &Simulator, at_once: usize| {
        simulator.account(
            PROVIDER,
            &format!("concurrency = {at_once}\npage_size = 1000"),
        )
    };

    // Warms everything up, and gives COPY its rows.
    eprintln!("load: warming up");
    let database = server.database().await;
    let config = place.configuration("warm", &database, &account(&plain, 2));
    let sync = |simulator| Sync {
        program: place.program,
        server,
        simulator,
    };
    sync(&plain).load(&database, &config).await;
    let copied = Stored::of(&database).await;
    place.forget(&config);
    let config = place.configuration("warm", &database, &account(&moved, 2));
    sync(&moved).again(&database, &config).await;
    server.drop(database).await;

    let mut figures = Figures::default();
    for round in 0..rounds {
        let mut variants = [(1, true), (1, false), (2, true), (2, false)];
        variants.rotate_left(usize::try_from(round).unwrap() % 4);
        for (at_once, is_copy) in variants {
            let database = server.database().await;
            let config = place.configuration("round", &database, &account(&plain, at_once));
            place.migrate(&config);
            if is_copy {
                let run = copied.copy(server, &database, at_once).await;
                tell(round, "COPY", at_once, &run);
                figures.copy[at_once - 1].push(run);
            } else {
                let sync = |simulator| Sync {
                    program: place.program,
                    server,
                    simulator,
                };
                let run = sync(&plain).load(&database, &config).await;
                tell(round, "load", at_once, &run);
                figures.load[at_once - 1].push(run);

                database.vacuum().await;
                place.forget(&config);
                let run = sync(&plain).again(&database, &config).await;
                tell(round, "re-scan", at_once, &run);
                figures.again[at_once - 1].push(run);

                let config = place.configuration("round", &database, &account(&moved, at_once));
                place.forget(&config);
                let run = sync(&moved).again(&database, &config).await;
                tell(round, "10 % changed", at_once, &run);
                figures.changed[at_once - 1].push(run);
            }
            server.drop(database).await;
        }
    }
    figures
}

/// Every provider once, after a first reading that warms the provider up.
pub async fn providers(
    server: &mut Server,
    place: &Place<'_>,
    rows: u64,
) -> Vec<(&'static str, Run)> {
    let simulator = place.simulator(rows, &KEEP);
    let mut runs = Vec::new();
    for provider in PROVIDERS {
        let mut last = Run::default();
        for _ in 0..2 {
            let database = server.database().await;
            let accounts = simulator.account(provider, "");
            let config = place.configuration("provider", &database, &accounts);
            place.migrate(&config);
            let sync = Sync {
                program: place.program,
                server,
                simulator: &simulator,
            };
            last = sync.load(&database, &config).await;
            server.drop(database).await;
        }
        tell(0, provider, 2, &last);
        runs.push((provider, last));
    }
    runs
}

fn tell(round: u32, what: &str, at_once: usize, run: &Run) {
    eprintln!(
        "round {} {what:12} × {at_once}: {:>7} rows in {:>6.2} s, {:>7.0} rows/s; µs/row: client {:.1}, server {:.1}, \
         provider {:.1}; WAL {:.0} B/row; peak {:.0} MiB{}",
        round + 1,
        run.rows,
        run.wall.as_secs_f64(),
        run.rate(),
        run.each(run.client),
        run.each(run.server),
        run.each(run.provider),
        run.wal_each(),
        run.peak_mib(),
        run.after.map_or_else(String::new, |after| format!(
            "; rows' tables: {} inserted, {} updated, {} B of WAL",
            after.inserted, after.updated, after.wal
        )),
    );
}
