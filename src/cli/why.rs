//! `paysync why`: the history of one row.

use anyhow::bail;
use paysync_provider::wire::one_line;
use serde_json::{Map, Value};

use super::interface::output;
use crate::app::App;
use crate::config::Config;
use crate::engine::inspect::row_history::{self, Change, ReplacedVersion, RowHistory};
use crate::store::inspect::row_history::CandidateWindow;

/// Number of windows shown; JSON has them all.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The account
    account: String,
    /// The provider's id of the row
    #[arg(allow_hyphen_values = true)]
    transaction: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let app = App::new(config, std::slice::from_ref(&args.account))?;
    app.store.reach().await?;
    let Some(account) = app.engine.accounts.first() else {
        bail!("account {} is not configured", args.account);
    };
    let Some(life) = row_history::load(&app.store, account, &args.transaction).await? else {
        bail!(
            "account {} has no transaction {}, not in quarantine either: check the id (provider_transaction_id), \
             and paysync status for gaps in the coverage",
            args.account,
            one_line(&args.transaction)
        );
    };
    if args.json {
        output::json(&life)?;
    } else {
        show(&life);
    }
    Ok(true)
}

fn show(life: &RowHistory) {
    let name = format!("{} {}", life.account, one_line(&life.id));
    match &life.row {
        Some(row) => show_row(&name, row),
        None => output::line(format!("{name}: not stored, see the quarantine")),
    }
    if life.row.is_some() {
        output::line(format!("\nreplaced versions: {}", life.versions.len()));
    }
    for version in &life.versions {
        output::line(format!("  {}", replacement(version)));
    }
    output::line(format!(
        "\nwindows that may have read it, as far as the ledger reaches: {}",
        life.windows.len()
    ));
    let header = "STREAM, LANE, FROM, TO, OUTCOME, CLOSED AT, ITEMS, NEW, CHANGED, SAME";
    let shown = life.windows.iter().take(SHOWN);
    output::indented_table(&output::with_header(header, shown.map(cells)));
    let more = life.windows.len().saturating_sub(SHOWN);
    if more > 0 {
        output::line(format!("  and {more} older ones; --json shows them all"));
    }
    output::line(format!("\nin quarantine: {}", life.quarantine.len()));
    for held in &life.quarantine {
        output::line(format!(
            "  {}: {} ({}), seen {} times, first {}, last {}",
            held.stream,
            held.reason,
            one_line(&held.detail),
            held.times_seen,
            output::instant(held.first_seen_at),
            output::instant(held.last_seen_at),
        ));
    }
    if let Some(query) = &life.payload {
        output::line(format!("\nits payload:\n  {};", one_line(query)));
    }
    if let Some(gone) = life.payload_gone {
        output::line(format!("\nits payload: none; {gone}"));
    }
}

/// Shows the main columns; JSON has them all.
fn show_row(name: &str, row: &Map<String, Value>) {
    let cell = |column: &str| row.get(column).and_then(Value::as_str).map(one_line);
    let named = |columns: &[&str]| {
        let cell = |column: &&str| Some(format!("{column} {}", cell(column)?));
        let cells: Vec<String> = columns.iter().filter_map(cell).collect();
        cells.join(", ")
    };
    let words = ["kind", "status", "amount", "currency"];
    let words: Vec<String> = words.iter().filter_map(|column| cell(column)).collect();
    output::line(format!("{name}: {}", words.join(" ")));
    for columns in [
        &["provider_kind", "provider_status", "paid_amount", "fee"][..],
        &["created_at", "updated_at", "paid_at", "settled_at"],
        &["first_seen_at", "observed_at", "changed_at", "erased_at"],
        &[
            "parent_transaction_id",
            "payment_group_id",
            "merchant_reference",
            "shop_id",
        ],
        &["error_code", "error_message"],
    ] {
        let line = named(columns);
        if !line.is_empty() {
            output::line(format!("  {line}"));
        }
    }
}

fn replacement(version: &ReplacedVersion) -> String {
    let cell = |value: &Option<String>| value.as_deref().map_or("null".to_owned(), one_line);
    let change = |change: &Change| {
        let (old, new) = (cell(&change.old), cell(&change.new));
        format!("{}: {old} → {new}", change.column)
    };
    let changes: Vec<String> = version.changes.iter().map(change).collect();
    let changes = match changes.as_slice() {
        [] => "only the payload changed".to_owned(),
        changes => changes.join(", "),
    };
    let until = version.valid_to.map(output::instant).unwrap_or_default();
    let from = output::instant(version.valid_from);
    format!("{from} to {until}, by {}: {changes}", version.by)
}

fn cells(window: &CandidateWindow) -> Vec<String> {
    let closed_at = window.closed_at.map(output::instant);
    vec![
        window.stream.clone(),
        window.lane.clone(),
        output::instant(window.window_start),
        output::instant(window.window_end),
        window.outcome.clone().unwrap_or_else(|| "open".to_owned()),
        closed_at.unwrap_or_else(|| "-".to_owned()),
        window.items.to_string(),
        window.inserted.to_string(),
        window.updated.to_string(),
        window.unchanged.to_string(),
    ]
}
