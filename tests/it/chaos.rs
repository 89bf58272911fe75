//! Nothing lost, nothing doubled, whatever happens: schedules of faults drawn from seeds.
//!
//! Each has a database, a simulator and processes of its own, and everything happens to them while
//! rows come and change. Then all is quiet, and the tables must be what the simulator's ledger says,
//! row by row and column by column. `PAYSYNC_CHAOS_SEED` and `PAYSYNC_CHAOS_SCHEDULES` say where the
//! seeds start and how many there are; a schedule that fails prints its seed. The seed decides what
//! happens, the machine how fast.

mod clocks;
mod invariants;
mod process;
mod regressions;
mod replicas;
mod schedule;
mod world;

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::path::Path;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use schedule::Schedule;
use sqlx::PgPool;
use world::World;

/// Without a word about it: what a run between two changes can afford.
const SCHEDULES: u64 = 20;

/// Counts of what happened in schedules: a schedule without faults proves nothing.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    starts: u64,
    kills: u64,
    deaths_at_places: u64,
    /// Connections to the database that broke.
    cuts: u64,
    /// Streams that had to forget coverage.
    resyncs: u64,
    faults: u64,
    /// Streams in which reading failed.
    failures: u64,
    rows: u64,
    versions: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.starts += other.starts;
        self.kills += other.kills;
        self.deaths_at_places += other.deaths_at_places;
        self.cuts += other.cuts;
        self.resyncs += other.resyncs;
        self.faults += other.faults;
        self.failures += other.failures;
        self.rows += other.rows;
        self.versions += other.versions;
    }
}

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text}: not a number"))
    })
}

/// Every place in the source where a failpoint can end the program.
fn places() -> Vec<String> {
    let mut places = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(path).unwrap();
                let calls = text.split("failpoint(\"").skip(1);
                places.extend(calls.filter_map(|call| Some(call.split_once("\");")?.0.to_owned())));
            }
        }
    }
    places.into_iter().collect()
}

/// Runs a schedule; returns its counts, or the error in short, after printing all that is known about it.
async fn run(seed: u64, places: Arc<[String]>, server: PgPool) -> Result<Tally, String> {
    let mut world = World::new(Schedule::draw(seed, &places), server).await;
    let ran = async {
        world.happen().await;
        world.settle().await;
    };
    let Err(panic) = std::panic::AssertUnwindSafe(ran).catch_unwind().await else {
        let tally = world.tally;
        world.end().await;
        return Ok(tally);
    };
    let what = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&what| what.to_owned()));
    println!(
        "seed {seed}\n{}\n{}\n{}",
        world.schedule.describe(),
        world.state().await,
        world.last_words(),
    );
    Err(format!(
        "PAYSYNC_CHAOS_SEED={seed} PAYSYNC_CHAOS_SCHEDULES=1: {}",
        what.unwrap_or_default(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_schedule_of_faults_loses_or_doubles_a_row() {
    let server = std::env::var("DATABASE_URL").expect(
        "this test needs PostgreSQL: run it by cargo, or set DATABASE_URL to a server where databases may be created",
    );
    let server = PgPool::connect(&server).await.unwrap();
    let places: Arc<[String]> = places().into();
    assert!(places.len() >= 20, "{places:?}");
    let first = number("PAYSYNC_CHAOS_SEED", 1);
    let schedules = number("PAYSYNC_CHAOS_SCHEDULES", SCHEDULES);
    let cores = std::thread::available_parallelism().unwrap().get();
    let runs = (first..first + schedules).map(|seed| {
        let (places, server) = (places.clone(), server.clone());
        async move { tokio::spawn(run(seed, places, server)).await.unwrap() }
    });
    let mut runs = futures_util::stream::iter(runs).buffer_unordered(4 * cores);
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    let mut done = 0;
    while let Some(run) = runs.next().await {
        match run {
            Ok(ran) => tally += ran,
            Err(what) => wrong.push(what),
        }
        done += 1;
        if done % SCHEDULES == 0 {
            println!(
                "{done} of {schedules} schedules, {} of them wrong",
                wrong.len()
            );
        }
    }
    println!("{schedules} schedules from seed {first}: {tally:?}");
    assert!(
        wrong.is_empty(),
        "{} of {schedules} schedules:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // Few schedules may be lucky.
    if schedules >= SCHEDULES {
        let some = [
            tally.kills,
            tally.deaths_at_places,
            tally.cuts,
            tally.resyncs,
            tally.faults,
            tally.failures,
            tally.versions,
        ];
        assert!(some.iter().all(|times| *times > 0), "{tally:?}");
    }
}
