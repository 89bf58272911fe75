//! `paysync report`: the totals of an interval, the counts of the provider, and the windows that prove them.

use serde_json::json;

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

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let span = args.interval.window()?;
    let account = &args.account;
    let App { store, .. } = App::new(config, std::slice::from_ref(account))?;
    store.reach().await?;
    let totals = store.totals(account, span).await?;
    let windows = store.closed_windows(account, span).await?;
    let gaps = store.uncovered(account, span).await?;
    // The interval is covered, and no count of the provider exceeds the stored rows.
    let agrees = gaps.is_empty() && windows.iter().all(|window| !window.is_open);
    match args.format {
        Format::Json => output::json(&json!({
            "account": account, "from": span.start(), "to": span.end(), "agrees": agrees,
            "totals": totals, "windows": windows, "gaps": gaps,
        }))?,
        Format::Csv => {
            for row in totals_table(&totals) {
                let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
                output::line(cells.join(","));
            }
        }
        Format::Table => {
            output::line(format!("{account}: {span}\n"));
            for line in output::table(&totals_table(&totals)) {
                output::line(line);
            }
            show_windows(&windows);
            show_gaps(&gaps);
        }
    }
    Ok(agrees)
}

fn show_windows(windows: &[ClosedWindow]) {
    let (counted, read): (Vec<_>, Vec<_>) =
        windows.iter().partition(|window| window.lane == "audit");
    let nothing = "\nthe provider has counted nothing in this interval; not every API can count";
    output::line(match counted.len() {
        0 => nothing.to_owned(),
        some => format!("\ncounts of the provider: {some}"),
    });
    output::indented_table(&evidence_table(counted.into_iter()));
    output::line(format!("\nwindows that read it: {}", read.len()));
    output::indented_table(&evidence_table(read.iter().copied().take(SHOWN)));
    let more = read.len().saturating_sub(SHOWN);
    if more > 0 {
        output::line(format!("  and {more} more; --format json shows them all"));
    }
}

fn show_gaps(gaps: &[Gap]) {
    output::line(match gaps.len() {
        0 => "\nall of it is covered".to_owned(),
        some => format!("\nnot covered: {some} gaps"),
    });
    for gap in gaps {
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
