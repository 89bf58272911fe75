//! Measures paysync and the limit of the machine in one run, and prints one table.
//!
//! `cargo bench --bench table` starts a durable PostgreSQL, the simulated providers and `paysync` as processes of their
//! own on this machine, measures each by the counters of the kernel and the server, and prints Markdown.
//! `-- --help` shows the options. On an idle machine it takes about 40 minutes.
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
    reason = "a benchmark reads the time, prints ratios, and may panic"
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
use load::Setup;
use report::Report;

/// The program that cargo built for this benchmark.
const PAYSYNC: &str = env!("CARGO_BIN_EXE_paysync");

/// The folder of the server and the configurations, removed when the benchmark ends.
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
    // Ctrl-C does not reach the server; dropping it stops it.
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
    let setup = Setup {
        program: &program,
        simulator: PAYSYNC.as_ref(),
        directory,
        until: &until,
    };
    let mut server = Server::start(directory.join("postgres")).await;
    let machine = machine::describe(&server.version().await);
    let mut report = Report::default();
    if let Some(other) = &args.against {
        let other = Setup {
            program: other,
            ..setup
        };
        let runs = pair::measure(&mut server, &[setup, other], args.rows, args.rounds).await;
        report.pair(&runs);
    }
    if args.wants(Section::Load) {
        let load = load::measure(&mut server, &setup, args.rows, args.rounds).await;
        report.load(&load, args.rows);
    }
    if args.wants(Section::Providers) {
        report.providers(&load::providers(&mut server, &setup, args.provider_rows).await);
    }
    if args.wants(Section::Memory) {
        report.memory(&memory::measure(&mut server, &setup, args.memory_rows, args.rounds).await);
    }
    if args.wants(Section::Crowd) {
        let rows = (args.memory_rows / 100).max(1);
        report.crowd(memory::crowd(&mut server, &setup, rows).await, rows);
    }
    if args.wants(Section::Idle) {
        let round = Duration::from_secs(args.idle_seconds);
        report.idle(&idle::measure(&mut server, &setup, round, args.rounds).await);
    }
    if args.wants(Section::Fresh) {
        let watched = Duration::from_secs(args.fresh_seconds);
        report.fresh(&fresh::measure(&mut server, &setup, watched).await);
    }
    report.print(&machine, args.rounds);
    server.stop().await;
}
