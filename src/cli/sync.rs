//! `paysync sync`: reads until everything wanted is covered.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::interface::arguments::Accounts;
use super::interface::output::{self, grouped};
use super::interface::signals;
use crate::app::App;
use crate::config::Config;
use crate::engine::{Account, Outcome};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    accounts: Accounts,
    /// Give up on an account that has been failing for this long
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    give_up_after: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let bars = std::io::stderr().is_terminal() && !args.json;
    telemetry::init(config.log.format, log_filter(config, bars))?;
    let app = App::new(config, &args.accounts.account)?;
    let stop = signals::stop_token()?;
    app.store.reach().await?;
    app.migrate_and_register().await?;
    let started = Instant::now();
    let done = CancellationToken::new();
    let display =
        bars.then(|| tokio::spawn(show_progress(app.engine.accounts.clone(), done.clone())));
    let report = app.engine.sync(args.give_up_after, &stop).await;
    done.cancel();
    if let Some(display) = display {
        display.await?;
    }
    let report = report?;
    let covered = report.iter().all(|(_, it)| *it == Outcome::Covered);
    if args.json {
        let accounts = report.iter().map(|(account, it)| of_account(account, *it));
        let accounts: Vec<Value> = accounts.collect();
        output::json(&json!({ "covered": covered, "accounts": accounts }))?;
    } else if report.is_empty() {
        output::line("no account to read: add an [[accounts]] entry to the configuration");
    } else {
        for (account, outcome) in &report {
            output::line(summary(account, *outcome, started.elapsed()));
        }
    }
    Ok(covered)
}

/// Log lines disturb progress bars on the same terminal: by default only warnings are logged there.
fn log_filter(config: &Config, bars: bool) -> &str {
    if bars && config.origins.of("log.filter").is_none() {
        "warn"
    } else {
        &config.log.filter
    }
}

fn of_account(account: &Account, outcome: Outcome) -> Value {
    let totals = account.progress.totals();
    let (error, hint) = reason(account, outcome).unzip();
    json!({
        "id": account.id,
        "covered": outcome == Outcome::Covered,
        "items": totals.items,
        "written": totals.written,
        "quarantined": totals.quarantined,
        "pages": totals.pages,
        "windows": totals.windows,
        "error": error,
        "hint": hint,
    })
}

fn summary(account: &Account, outcome: Outcome, elapsed: Duration) -> String {
    let totals = account.progress.totals();
    let mut text = format!(
        "{}: {} items read, {} new or changed, in {}.{:03} s",
        account.id,
        grouped(totals.items),
        grouped(totals.written),
        elapsed.as_secs(),
        elapsed.subsec_millis(),
    );
    if totals.quarantined > 0 {
        let items = grouped(totals.quarantined);
        text.extend(["; ", &items, " in quarantine, see paysync.quarantine"]);
    }
    match reason(account, outcome) {
        None => text + "; everything is covered",
        Some((error, hint)) => format!("{text}; NOT covered: {error} ({hint})"),
    }
}

/// Why an account is not covered, and a hint.
fn reason(account: &Account, outcome: Outcome) -> Option<(String, String)> {
    let (error, hint) = match outcome {
        Outcome::Covered => return None,
        Outcome::NotLeased => (
            "another process works on the account",
            "it keeps the account up to date; stop it to read the account here",
        ),
        Outcome::Paused => {
            let hint = format!("paysync resume --account {} starts it again", account.id);
            return Some(("the account is paused".to_owned(), hint));
        }
        Outcome::Stopped => ("stopped", "start it again: it continues where it stopped"),
        Outcome::GaveUp => match account.progress.current_failure() {
            Some(failure) => return Some(failure),
            None => ("something is still being read", "see paysync status"),
        },
    };
    Some((error.to_owned(), hint.to_owned()))
}

/// Shows progress bars until `done`.
async fn show_progress(accounts: Vec<Arc<Account>>, done: CancellationToken) {
    let all = MultiProgress::new();
    let width = accounts.iter().map(|account| account.id.len()).max();
    let width = width.unwrap_or(0);
    let template = format!("{{prefix:{width}}} {{bar:30}} {{percent:>3}} % {{msg}}");
    let style =
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bars = accounts.into_iter().map(|account| {
        let bar = ProgressBar::new(1).with_style(style.clone());
        let bar = all.add(bar.with_prefix(account.id.clone()));
        (account, bar)
    });
    let bars: Vec<(Arc<Account>, ProgressBar)> = bars.collect();
    let started = Instant::now();
    while signals::wait(Duration::from_millis(200), &done).await {
        for (account, bar) in &bars {
            update(account, bar, started.elapsed());
        }
    }
    for (account, bar) in &bars {
        update(account, bar, started.elapsed());
        bar.abandon();
    }
}

fn update(account: &Account, bar: &ProgressBar, elapsed: Duration) {
    let progress = &account.progress;
    let totals = progress.totals();
    let (wanted, left) = progress.seconds();
    bar.set_length(wanted.max(1));
    bar.set_position(wanted.saturating_sub(left));
    let seconds = elapsed.as_secs().max(1);
    let rate = totals.items / seconds;
    let done = wanted.saturating_sub(left).max(1);
    let eta = match i64::try_from(left.saturating_mul(seconds) / done) {
        _ if left == 0 => String::new(),
        eta => format!(", {} left", output::duration(eta.unwrap_or(0))),
    };
    let trouble = progress.current_failure();
    let trouble = trouble
        .map(|(error, _)| format!("  {error}"))
        .unwrap_or_default();
    bar.set_message(format!(
        "{} windows, {} rows, {} rows/s{eta}{trouble}",
        grouped(totals.windows),
        grouped(totals.items),
        grouped(rate),
    ));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn progress_bars_quieten_the_log_unless_its_filter_is_set() {
        for (text, bars, filter) in [
            ("", true, "warn"),
            ("", false, "info"),
            ("log.filter = \"info\"", true, "info"),
        ] {
            let text = format!("database.url = \"postgres://x\"\n{text}\n");
            let config = Config::of_text(&text, &BTreeMap::new()).unwrap();
            assert_eq!(log_filter(&config, bars), filter, "{text}");
        }
    }
}
