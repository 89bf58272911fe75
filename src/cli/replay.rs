//! `paysync replay`: reads stored payloads and the quarantine again.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use indicatif::ProgressBar;
use paysync_provider::wire::one_line;
use serde_json::{Value, json};

use super::interface::arguments::Accounts;
use super::interface::output::{self, grouped};
use crate::app::App;
use crate::config::Config;
use crate::engine::Account;
use crate::engine::replay::{Replayed, replay};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    accounts: Accounts,
    /// Write nothing; show what would change
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    telemetry::init(config.log.format, &config.log.filter)?;
    let app = App::new(config, &args.accounts.account)?;
    app.store.reach().await?;
    if !args.dry_run {
        app.store.migrate().await?;
    }
    let mut reports = Vec::with_capacity(app.engine.accounts.len());
    for account in &app.engine.accounts {
        let bar = (std::io::stderr().is_terminal() && !args.json).then(ProgressBar::new_spinner);
        let observe = |replayed: &Replayed| {
            if let Some(bar) = &bar {
                bar.set_message(progress(account, replayed));
                bar.tick();
            }
        };
        let replayed = replay(&app.store, account, args.dry_run, observe).await?;
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        if args.json {
            reports.push(report(account, &replayed));
        } else {
            show(account, &replayed, args.dry_run);
        }
    }
    if args.json {
        output::json(&json!({ "dry_run": args.dry_run, "accounts": reports }))?;
    } else if app.engine.accounts.is_empty() {
        output::line("no account to replay: add an [[accounts]] entry to the configuration");
    }
    Ok(true)
}

fn progress(account: &Account, replayed: &Replayed) -> String {
    format!(
        "{}: {} rows, {} versions, {} items in quarantine",
        account.id,
        grouped(replayed.read),
        grouped(replayed.versions),
        grouped(replayed.retried)
    )
}

fn report(account: &Account, replayed: &Replayed) -> Value {
    let changes = replayed.changes.iter();
    let changes = changes.map(|change| json!({ "id": change.id, "columns": change.columns }));
    let complaints = replayed.complaints.iter().map(|complaint| {
        json!({ "id": complaint.id, "reason": complaint.reason, "detail": complaint.detail })
    });
    json!({
        "id": account.id,
        "rows": {
            "read": replayed.read,
            "unchanged": replayed.unchanged,
            "changed": replayed.changed,
            "overtaken": replayed.overtaken,
            "unreadable": replayed.unreadable,
            "without_payload": replayed.without_payload,
        },
        "quarantine": {
            "read": replayed.retried,
            "fit": replayed.quarantine.stored,
            "superseded": replayed.quarantine.superseded,
            "left": replayed.quarantine.remaining.values().sum::<u64>(),
            "left_by_reason": replayed.quarantine.remaining,
        },
        "redacted": replayed.redacted.by_kind().into_iter().collect::<BTreeMap<_, _>>(),
        "changes": changes.collect::<Vec<_>>(),
        "unreadable": complaints.collect::<Vec<_>>(),
    })
}

fn show(account: &Account, replayed: &Replayed, dry_run: bool) {
    output::line(summary(account, replayed, dry_run));
    for change in replayed.changes.iter().filter(|_| dry_run) {
        output::line(format!("  {}", one_line(&change.id)));
        for column in &change.columns {
            let (old, new) = (cell(column.old.as_deref()), cell(column.new.as_deref()));
            output::line(format!("    {}: {old} → {new}", column.column));
        }
    }
    let more = |shown: usize, all: u64| {
        let more = all.saturating_sub(u64::try_from(shown).unwrap_or(u64::MAX));
        if more > 0 {
            output::line(format!("  and {} more", grouped(more)));
        }
    };
    if dry_run {
        more(replayed.changes.len(), replayed.changed);
    }
    for complaint in &replayed.complaints {
        output::line(format!(
            "  {} is left unchanged: {} ({})",
            one_line(&complaint.id),
            complaint.reason,
            complaint.detail
        ));
    }
    more(replayed.complaints.len(), replayed.unreadable);
}

/// The value of a column on one line: the provider may send any text.
fn cell(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), one_line)
}

/// `acme: 1 200 rows read, 3 corrected; 5 items in quarantine: 4 stored, 1 left (missing_id 1); redacted: payloads 2`.
fn summary(account: &Account, replayed: &Replayed, dry_run: bool) -> String {
    let would_be = if dry_run { "would be " } else { "" };
    let without_payload = "without a payload (deleted by retention, or erased)";
    let mut text = format!(
        "{}: {} rows read, {} {would_be}corrected",
        account.id,
        grouped(replayed.read),
        grouped(replayed.changed),
    );
    for (rows, what) in [
        (replayed.overtaken, "left to a newer version"),
        (replayed.unreadable, "unreadable now"),
        (replayed.without_payload, without_payload),
    ] {
        if rows > 0 {
            text.extend([", ", &grouped(rows), " ", what]);
        }
    }
    text.push_str(&quarantine(replayed, would_be));
    let redacted = replayed.redacted.by_kind().into_iter();
    let redacted = redacted.filter(|(_, texts)| *texts > 0);
    let redacted: Vec<String> = redacted
        .map(|(what, texts)| format!("{what} {}", grouped(texts)))
        .collect();
    if !redacted.is_empty() {
        text.extend(["; ", would_be, "redacted: ", &redacted.join(", ")]);
    }
    text
}

fn quarantine(replayed: &Replayed, would_be: &str) -> String {
    if replayed.retried == 0 {
        return "; nothing in quarantine".to_owned();
    }
    let emptied = &replayed.quarantine;
    let left: u64 = emptied.remaining.values().sum();
    let mut text = format!(
        "; {} items in quarantine: {} {would_be}stored, {} superseded by newer versions, {} left",
        grouped(replayed.retried),
        grouped(emptied.stored),
        grouped(emptied.superseded),
        grouped(left),
    );
    if left > 0 {
        let remaining = emptied.remaining.iter();
        let reasons = remaining.map(|(reason, items)| format!("{reason} {}", grouped(*items)));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        text.extend([" (", &reasons, ")"]);
    }
    text
}
