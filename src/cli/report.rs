//! `paysync report`: what is held of a time, beside what the provider counts, and what proves it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::output;
use crate::app::{App, UsageError};
use crate::config::Config;
use crate::store::inspect::report::{ClosedWindow, Gap, Total};
use paysync_provider::model::Window;

/// Windows that only were read: the table shows so many, JSON all.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The account
    #[arg(long, value_name = "ID")]
    account: String,
    /// Start of the time, RFC 3339
    #[arg(long, value_name = "TIME")]
    from: DateTime<Utc>,
    /// End of the time, RFC 3339; not in it
    #[arg(long, value_name = "TIME")]
    to: DateTime<Utc>,
    /// How to print it
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
    /// Whether all of the time was read, and no count of the provider exceeds what is held.
    agrees: bool,
    totals: Vec<Total>,
    windows: Vec<ClosedWindow>,
    gaps: Vec<Gap>,
}

pub(crate) async fn report(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let Some(span) = Window::new(args.from, args.to) else {
        let said = format!("--from {} is not before --to {}", args.from, args.to);
        return Err(UsageError(said).into());
    };
    let App { store, .. } = App::new(config, std::slice::from_ref(&args.account))?;
    store.reach().await?;
    let totals = store.totals(&args.account, span).await?;
    let windows = store.closed_windows(&args.account, span).await?;
    let gaps = store.uncovered(&args.account, span).await?;
    let report = Report {
        account: &args.account,
        from: args.from,
        to: args.to,
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
        0 => "\nthe provider has counted nothing of this time; not every API can".to_owned(),
        some => format!("\ncounts of the provider: {some}"),
    });
    let rows = evidence_table(counted.iter().copied());
    for line in output::table(&rows).iter().filter(|_| rows.len() > 1) {
        output::line(format!("  {line}"));
    }
    let read: Vec<&ClosedWindow> = report
        .windows
        .iter()
        .filter(|window| window.lane != "audit")
        .collect();
    output::line(format!("\nwindows that read it: {}", read.len()));
    let rows = evidence_table(read.iter().copied().take(SHOWN));
    for line in output::table(&rows).iter().filter(|_| rows.len() > 1) {
        output::line(format!("  {line}"));
    }
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
    let header = [
        "day",
        "currency",
        "kind",
        "status",
        "transactions",
        "amount",
    ];
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
    let header = header.map(str::to_owned).to_vec();
    std::iter::once(header)
        .chain(totals.iter().map(row))
        .collect()
}

fn evidence_table<'a>(windows: impl Iterator<Item = &'a ClosedWindow>) -> Vec<Vec<String>> {
    let header = [
        "WINDOW",
        "STREAM",
        "LANE",
        "FROM",
        "TO",
        "CLOSED AT",
        "ITEMS",
        "COUNTED",
        "DIFFERENCE",
    ];
    let number = |count: Option<i64>| count.map(|count| count.to_string()).unwrap_or_default();
    let row = |window: &ClosedWindow| {
        let answered = window.difference.is_some_and(|by| by > 0) && !window.is_open;
        vec![
            window.window_id.to_string(),
            window.stream.clone(),
            window.lane.clone(),
            output::instant(window.window_start),
            output::instant(window.window_end),
            output::instant(window.closed_at),
            window.items.to_string(),
            number(window.provider_count),
            number(window.difference) + if answered { ", read again since" } else { "" },
        ]
    };
    let header = header.map(str::to_owned).to_vec();
    std::iter::once(header).chain(windows.map(row)).collect()
}

/// A cell of CSV (RFC 4180); what a spreadsheet would take for a formula stays text.
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
