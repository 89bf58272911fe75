//! Load, re-scan and change next to COPY; the variants take turns, so that drift of the machine affects all alike.

use std::path::{Path, PathBuf};

use crate::copy::Stored;
use crate::database::{Database, Server};
use crate::process;
use crate::run::{Run, Sync};
use crate::simulator::{PROVIDERS, Simulator, configuration};

/// The provider of the main measurement: rows of 2.4 kB, in keyset pages of 1000.
pub const PROVIDER: &str = "begateway_dwh";
pub const ACCOUNT: &str = "simulated-begateway-dwh";

/// The simulator caches its answers, so that its own work is not measured.
const KEEP: [&str; 2] = ["--keep", "8192"];

/// One row in this many has changed in a re-scan with changes.
pub const CHANGED: &str = "10";

/// The runs of all rounds, by the number of concurrent connections or requests.
#[derive(Default)]
pub struct Figures {
    pub copy: [Vec<Run>; 2],
    pub load: [Vec<Run>; 2],
    pub rescan: [Vec<Run>; 2],
    pub changed: [Vec<Run>; 2],
}

/// The programs and files that the sections share.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    pub program: &'a Path,
    /// The program that simulates the provider.
    pub simulator: &'a Path,
    pub directory: &'a Path,
    pub until: &'a str,
}

impl Setup<'_> {
    /// Starts providers with a history that does not change.
    pub fn simulator(&self, rows: u64, more: &[&str]) -> Simulator {
        let rows = rows.to_string();
        let quiet = ["--rate", "0", "--churn", "0", "--until", self.until];
        let arguments = [&["--rows", &rows][..], &quiet, more].concat();
        Simulator::start(self.simulator, &arguments)
    }

    pub fn configuration(&self, name: &str, database: &Database, accounts: &str) -> PathBuf {
        configuration(self.directory, name, &database.url, accounts)
    }

    /// Forgets the coverage, as an operator does.
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

pub async fn measure(server: &mut Server, setup: &Setup<'_>, rows: u64, rounds: u32) -> Figures {
    let plain = setup.simulator(rows, &KEEP);
    let moved = setup.simulator(rows, &[&KEEP[..], &["--changed", CHANGED]].concat());
    let account = |simulator: &Simulator, at_once: usize| {
        simulator.account(
            PROVIDER,
            &format!("concurrency = {at_once}\npage_size = 1000"),
        )
    };

    // Warms everything up and provides the rows for COPY.
    eprintln!("load: warming up");
    let database = server.database().await;
    let config = setup.configuration("warm", &database, &account(&plain, 2));
    let sync = |simulator| Sync {
        program: setup.program,
        server,
        simulator,
    };
    sync(&plain).load(&database, &config).await;
    let copied = Stored::of(&database).await;
    setup.forget(&config);
    let config = setup.configuration("warm", &database, &account(&moved, 2));
    sync(&moved).rescan(&database, &config).await;
    server.drop(database).await;

    let mut figures = Figures::default();
    for round in 0..rounds {
        let mut variants = [(1, true), (1, false), (2, true), (2, false)];
        variants.rotate_left(usize::try_from(round).unwrap() % 4);
        for (at_once, is_copy) in variants {
            let database = server.database().await;
            let config = setup.configuration("round", &database, &account(&plain, at_once));
            setup.migrate(&config);
            if is_copy {
                let run = copied.copy(server, &database, at_once).await;
                print_run(round, "COPY", at_once, &run);
                figures.copy[at_once - 1].push(run);
            } else {
                let sync = |simulator| Sync {
                    program: setup.program,
                    server,
                    simulator,
                };
                let run = sync(&plain).load(&database, &config).await;
                print_run(round, "load", at_once, &run);
                figures.load[at_once - 1].push(run);

                database.vacuum().await;
                setup.forget(&config);
                let run = sync(&plain).rescan(&database, &config).await;
                print_run(round, "re-scan", at_once, &run);
                figures.rescan[at_once - 1].push(run);

                let config = setup.configuration("round", &database, &account(&moved, at_once));
                setup.forget(&config);
                let run = sync(&moved).rescan(&database, &config).await;
                print_run(round, "10 % changed", at_once, &run);
                figures.changed[at_once - 1].push(run);
            }
            server.drop(database).await;
        }
    }
    figures
}

/// Loads from every provider once, after a load that warms the simulator up.
pub async fn providers(
    server: &mut Server,
    setup: &Setup<'_>,
    rows: u64,
) -> Vec<(&'static str, Run)> {
    let simulator = setup.simulator(rows, &KEEP);
    let mut runs = Vec::new();
    for provider in PROVIDERS {
        let mut last = Run::default();
        for _ in 0..2 {
            let database = server.database().await;
            let accounts = simulator.account(provider, "");
            let config = setup.configuration("provider", &database, &accounts);
            setup.migrate(&config);
            let sync = Sync {
                program: setup.program,
                server,
                simulator: &simulator,
            };
            last = sync.load(&database, &config).await;
            server.drop(database).await;
        }
        print_run(0, provider, 2, &last);
        runs.push((provider, last));
    }
    runs
}

fn print_run(round: u32, what: &str, at_once: usize, run: &Run) {
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
