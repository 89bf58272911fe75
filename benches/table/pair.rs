//! Two programs in turn: what a change costs, in one run, so that a drift of the machine hits both alike.

use std::path::Path;

use crate::database::Server;
use crate::load::{PROVIDER, Setup};
use crate::run::{Run, Sync};
use crate::simulator::Simulator;

/// The runs of one program, round by round.
#[derive(Default)]
pub struct Runs {
    pub load: Vec<Run>,
    pub rescan: Vec<Run>,
}

/// Loads and re-reads the same rows with each program; the one that begins changes every round.
pub async fn measure(
    server: &mut Server,
    setups: &[Setup<'_>; 2],
    rows: u64,
    rounds: u32,
) -> [Runs; 2] {
    let simulator = setups[0].simulator(rows, &["--keep", "8192"]);
    eprintln!("pair: warming up");
    for setup in setups {
        round(server, setup, &simulator).await;
    }
    let mut figures = [Runs::default(), Runs::default()];
    for number in 0..rounds {
        let mut turns = [0, 1];
        turns.rotate_left(usize::try_from(number).unwrap() % 2);
        for turn in turns {
            let (load, rescan) = round(server, &setups[turn], &simulator).await;
            for (what, run) in [("load", load), ("re-scan", rescan)] {
                eprintln!(
                    "round {} {what:7} {}: µs/row: client {:.1}, server {:.1}; WAL {:.0} B/row; {:.0} rows/s",
                    number + 1,
                    name(setups[turn].program),
                    run.each(run.client),
                    run.each(run.server),
                    run.wal_each(),
                    run.rate(),
                );
            }
            figures[turn].load.push(load);
            figures[turn].rescan.push(rescan);
        }
    }
    figures
}

/// One load into a new database, and one re-scan of it.
async fn round(server: &mut Server, setup: &Setup<'_>, simulator: &Simulator) -> (Run, Run) {
    let database = server.database().await;
    let account = simulator.account(PROVIDER, "concurrency = 2\npage_size = 1000");
    let config = setup.configuration("pair", &database, &account);
    setup.migrate(&config);
    let sync = Sync {
        program: setup.program,
        server,
        simulator,
    };
    let load = sync.load(&database, &config).await;
    database.vacuum().await;
    setup.forget(&config);
    let rescan = sync.rescan(&database, &config).await;
    server.drop(database).await;
    (load, rescan)
}

/// The name of a program in the progress lines.
fn name(program: &Path) -> String {
    program.display().to_string()
}
