//! paysync beside the limit of the machine, in one run and one table.
//!
//! `cargo bench --bench table` starts a durable PostgreSQL, the simulated providers and `paysync` as processes of their
//! own, all on this machine, measures each by what the kernel and the server count, and prints Markdown.
//! `-- --help` tells what can be chosen. Without other work on the machine it takes some 40 minutes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark reads the time, prints ratios, and may stop at the first surprise"
)]

mod args;
mod copy;
mod database;
mod fresh;
mod idle;
mod load;
mod machine;
mod memory;
mod pair;
mod process;
mod report;
mod run;
mod simulator;
mod spread;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use clap::Parser as _;

use args::{Args, Section};
use database::Server;
use load::Place;
use report::Report;

/// Built beside this program.
const PAYSYNC: &str = env!("CARGO_BIN_EXE_paysync");

/// Where the server and the configurations are; gone with the benchmark, however it ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} is left behind: {error}", self.0.display());
        }
    }
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let name = format!("paysync-bench-{}", std::process::id());
    let scratch = Scratch(std::env::temp_dir().join(name));
    std::fs::create_dir_all(&scratch.0).unwrap();
    // The server does not hear Ctrl-C; dropped, it is stopped.
    tokio::select! {
        () = measure(&args, &scratch.0) => {}
        _ = tokio::signal::ctrl_c() => eprintln!("stopped before the end"),
    }
}

async fn measure(args: &Args, directory: &Path) {
    let program = args
        .paysync
        .clone()
        .unwrap_or_else(|| PathBuf::from(PAYSYNC));
    let until = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let place = Place {
        program: &program,
        simulator: PAYSYNC.as_ref(),
        directory,
        until: &until,
    };
    let mut server = Server::start(directory.join("postgres")).await;
    let machine = machine::describe(&server.version().await);
    let mut report = Report::default();
    if let Some(other) = &args.against {
        let other = Place {
            program: other,
            ..place
        };
        let runs = pair::measure(&mut server, &[place, other], args.rows, args.rounds).await;
        report.pair(&runs);
    }
    if args.wants(Section::Load) {
        let load = load::measure(&mut server, &place, args.rows, args.rounds).await;
        report.load(&load, args.rows);
    }
    if args.wants(Section::Providers) {
        report.providers(&load::providers(&mut server, &place, args.provider_rows).await);
    }
    if args.wants(Section::Memory) {
        report.memory(&memory::measure(&mut server, &place, args.memory_rows, args.rounds).await);
    }
    if args.wants(Section::Crowd) {
        let rows = (args.memory_rows / 100).max(1);
        report.crowd(memory::crowd(&mut server, &place, rows).await, rows);
    }
    if args.wants(Section::Idle) {
        let round = Duration::from_secs(args.idle_seconds);
        report.idle(&idle::measure(&mut server, &place, round, args.rounds).await);
    }
    if args.wants(Section::Fresh) {
        let watched = Duration::from_secs(args.fresh_seconds);
        report.fresh(&fresh::measure(&mut server, &place, watched).await);
    }
    report.print(&machine, args.rounds);
    server.stop().await;
}
