//! The command line of the benchmark.

use std::path::PathBuf;

use clap::Parser;

/// Measures paysync and the limit of PostgreSQL, and prints one table in Markdown.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo bench --bench table --")]
pub struct Args {
    /// Rows of a load.
    #[arg(long, default_value_t = 100_000)]
    pub rows: u64,
    /// Rounds; the table shows medians.
    #[arg(long, default_value_t = 5)]
    pub rounds: u32,
    /// Only these sections.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub only: Vec<Section>,
    /// Rows per provider in the section providers.
    #[arg(long, default_value_t = 50_000)]
    pub provider_rows: u64,
    /// Rows of the longest history in the section memory, which also loads a tenth and a hundredth of it.
    #[arg(long, default_value_t = 1_000_000)]
    pub memory_rows: u64,
    /// Seconds for which an idle daemon is watched, per round.
    #[arg(long, default_value_t = 120)]
    pub idle_seconds: u64,
    /// Seconds for which new rows are timed.
    #[arg(long, default_value_t = 120)]
    pub fresh_seconds: u64,
    /// The program to measure, instead of the one that cargo built.
    #[arg(long, value_name = "FILE")]
    pub paysync: Option<PathBuf>,
    /// A second program: both load and re-scan in turn, and nothing else is measured.
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    pub against: Option<PathBuf>,
    /// Cargo passes it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A section of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Section {
    /// COPY, load, re-scan and change.
    Load,
    /// A load from every provider.
    Providers,
    /// Peak memory by the length of the history.
    Memory,
    /// Peak memory of many accounts that load at once.
    Crowd,
    /// Accounts without new rows.
    Idle,
    /// Time from the provider to a query.
    Fresh,
}

impl Args {
    pub fn wants(&self, section: Section) -> bool {
        self.against.is_none() && (self.only.is_empty() || self.only.contains(&section))
    }
}
