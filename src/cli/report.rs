//! `paysync report`: the totals of an interval, the counts of the provider, and the windows that prove them.

use chrono::{DateTime, Utc};
use paysync_provider::model::Window;
use serde::Serialize;

use super::interface::arguments::Interval;
use super::interface::output;
use crate::app::App;
use crate::config::Config;
use crate::store::inspect::report::{ClosedWindow, Gap, Total};

/// Number of windows in the table; JSON has them all.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The account
    #[arg(long, value_name = "ID")]
    account: String,
    #[command(flatten)]
    interval: Interval,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// The totals, for spreadsheets
    Csv,
    /// Everything, for scripts
    Json,
}

/// The report as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    account: &'a str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    /// Whether the interval is covered and no count of the provider exceeds the stored rows.
    agrees: bool,
    totals: Vec<Total>,
    windows: Vec<ClosedWindow>,
    gaps: Vec<Gap>,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let span = args.interval.window()?;
    let App { store, .. } = App::new(config, std::slice::from_ref(&args.account))?;
    store.reach().await?;
    let totals = store.totals(&args.account, span).await?;
    let windows = store.closed_windows(&args.account, span).await?;
    let gaps = store.uncovered(&args.account, span).await?;
    let report = Report {
        account: &args.account,
        from: span.start(),
        to: span.end(),
        agrees: gaps.is_empty() && windows.iter().all(|window| !window.is_open),
        totals,
        windows,
        gaps,
    };
    match args.format {
        Format::Json => output::json(&report)?,
        Format::Csv => {
            for row in totals_table(&report.totals) {
                let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
                output::line(cells.join(","));
            }
        }
        Format::Table => show(&report, span),
    }
    Ok(report.agrees)
}

fn show(report: &Report<'_>, span: Window) {
    output::line(format!("{}: {span}\n", report.account));
    for line in output::table(&totals_table(&report.totals)) {
        output::line(line);
    }
    let counted: Vec<&ClosedWindow> = report
        .windows
        .iter()
        .filter(|window| window.lane == "audit")
        .collect();
    output::line(match counted.len() {
        0 => "\nthe provider has counted nothing in this interval; not every API can count"
            .to_owned(),
        some => format!("\ncounts of the provider: {some}"),
    });
    output::indented_table(&evidence_table(counted.iter().copied()));
    let read: Vec<&ClosedWindow> = report
        .windows
        .iter()
        .filter(|window| window.lane != "audit")
        .collect();
    output::line(format!("\nwindows that read it: {}", read.len()));
    output::indented_table(&evidence_table(read.iter().copied().take(SHOWN)));
    if read.len() > SHOWN {
        output::line(format!(
            "  and {} more; --format json shows them all",
            read.len().saturating_sub(SHOWN)
        ));
    }
    output::line(match report.gaps.len() {
        0 => "\nall of it is covered".to_owned(),
        gaps => format!("\nnot covered: {gaps} gaps"),
    });
    for gap in &report.gaps {
        let (from, to) = (output::instant(gap.from), output::instant(gap.to));
        output::line(format!("  {}: from {from} to {to}", gap.stream));
    }
}

fn totals_table(totals: &[Total]) -> Vec<Vec<String>> {
    let header = "day, currency, kind, status, transactions, amount";
    let row = |total: &Total| {
        vec![
            total.day.to_string(),
            total.currency.clone().unwrap_or_default(),
            total.kind.clone(),
            total.status.clone(),
            total.transactions.to_string(),
            total.amount.clone().unwrap_or_default(),
        ]
    };
    output::with_header(header, totals.iter().map(row))
}

fn evidence_table<'a>(windows: impl Iterator<Item = &'a ClosedWindow>) -> Vec<Vec<String>> {
    let header = "WINDOW, STREAM, LANE, FROM, TO, CLOSED AT, ITEMS, COUNTED, DIFFERENCE";
    let number = |count: Option<i64>| count.map(|count| count.to_string()).unwrap_or_default();
    let row = |window: &ClosedWindow| {
        let is_reread = window.difference.is_some_and(|by| by > 0) && !window.is_open;
        vec![
            window.window_id.to_string(),
            window.stream.clone(),
            window.lane.clone(),
            output::instant(window.window_start),
            output::instant(window.window_end),
            output::instant(window.closed_at),
            window.items.to_string(),
            number(window.provider_count),
            number(window.difference) + if is_reread { ", read again since" } else { "" },
        ]
    };
    output::with_header(header, windows.map(row))
}

/// A cell of CSV (RFC 4180); the prefix ' keeps spreadsheets from evaluating it as a formula.
fn quoted(cell: &str) -> String {
    let cell = if cell.starts_with(['=', '@', '+', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if cell.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn cells_of_csv_stay_cells() {
        for (cell, written) in [
            ("EUR", "EUR"),
            ("-1.50", "-1.50"),
            ("a,b", "\"a,b\""),
            ("say \"x\"\nthere", "\"say \"\"x\"\"\nthere\""),
            ("=1+1", "'=1+1"),
        ] {
            assert_eq!(quoted(cell), written);
        }
    }
}
