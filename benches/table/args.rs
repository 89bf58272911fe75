//! The command line of the benchmark.

use std::path::PathBuf;

use clap::Parser;

/// Measures paysync beside PostgreSQL's own limit, and prints one table in Markdown.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo bench --bench table --")]
pub struct Args {
    /// Rows of a load.
    #[arg(long, default_value_t = 100_000)]
    pub rows: u64,
    /// Rounds; of what is repeated, the median is shown.
    #[arg(long, default_value_t = 5)]
    pub rounds: u32,
    /// Only these sections.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub only: Vec<Section>,
    /// Rows per provider where each is read once.
    #[arg(long, default_value_t = 50_000)]
    pub provider_rows: u64,
    /// Most rows of the memory section, which also reads a tenth and a hundredth of them.
    #[arg(long, default_value_t = 1_000_000)]
    pub memory_rows: u64,
    /// Seconds for which an idle daemon is watched, per round.
    #[arg(long, default_value_t = 120)]
    pub idle_seconds: u64,
    /// Seconds for which new rows are timed.
    #[arg(long, default_value_t = 120)]
    pub fresh_seconds: u64,
    /// Another program to measure than the one that was built beside this.
    #[arg(long, value_name = "FILE")]
    pub paysync: Option<PathBuf>,
    /// A second program: both load and re-scan in turn, and nothing else is measured.
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    pub against: Option<PathBuf>,
    /// Cargo's own word to a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Section {
    /// COPY, load, re-scan and change, side by side.
    Load,
    /// Every provider once.
    Providers,
    /// Peak memory by rows.
    Memory,
    /// Peak memory of many accounts that load at once.
    Crowd,
    /// Accounts in which nothing happens.
    Idle,
    /// From the provider to a query.
    Fresh,
}

impl Args {
    pub fn wants(&self, section: Section) -> bool {
        self.against.is_none() && (self.only.is_empty() || self.only.contains(&section))
    }
}
