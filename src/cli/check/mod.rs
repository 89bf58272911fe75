//! `paysync check`: tests the configuration, the database, and one request per account. Writes nothing.

mod settings;

use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use paysync_provider::Position;
use paysync_provider::model::Window;
use serde::Serialize;
use tokio::time::Instant;

use super::interface::arguments::Accounts;
use super::interface::{errors, output};
use crate::app::App;
use crate::clock::{Clock as _, MAX_CLOCK_SKEW, SystemClock};
use crate::config::{Config, environment, schema};
use crate::engine::Account;
use crate::engine::failure::Failure;
use paysync_provider::item::{ItemContext, PageItems};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    accounts: Accounts,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Test nothing; print the effective settings and their origin, without secrets
    #[arg(long)]
    print_config: bool,
    /// Test nothing; print a JSON Schema of the configuration file, for editors
    #[arg(long, conflicts_with_all = ["print_config", "json", "account"])]
    print_schema: bool,
}

/// The result of one test.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Finding {
    fn new(what: impl Into<String>, result: Result<String, String>, hint: Option<String>) -> Self {
        Self {
            what: what.into(),
            ok: result.is_ok(),
            detail: result.unwrap_or_else(|error| error),
            hint,
        }
    }
}

pub(crate) async fn run(path: Option<&Path>, args: &Args) -> anyhow::Result<bool> {
    if args.print_schema {
        output::json(&schema())?;
        return Ok(true);
    }
    let config = Config::load(path, &environment())?;
    let app = App::new(&config, &args.accounts.account)?;
    if args.print_config {
        settings::print(&config, &app.engine.accounts, args.json)?;
        return Ok(true);
    }
    let accounts = match config.accounts.len() {
        1 => "1 account".to_owned(),
        count => format!("{count} accounts"),
    };
    let hint = config.accounts.is_empty();
    let hint = hint.then(|| "add an [[accounts]] entry to read one".to_owned());
    let mut findings = vec![Finding::new("configuration", Ok(accounts), hint)];
    findings.push(test_database(&app).await);
    let accounts = app.engine.accounts.iter();
    let tests = accounts.map(|account| test_account(account));
    findings.extend(futures_util::future::join_all(tests).await);
    let ok = findings.iter().all(|finding| finding.ok);
    if args.json {
        output::json(&serde_json::json!({ "ok": ok, "checks": findings }))?;
        return Ok(ok);
    }
    for finding in &findings {
        let word = if finding.ok { "ok" } else { "FAILED" };
        let detail = output::with_hint(&finding.detail, finding.hint.as_deref());
        output::line(format!("{}: {word}, {detail}", finding.what));
    }
    Ok(ok)
}

async fn test_database(app: &App) -> Finding {
    let now = SystemClock.now();
    let answer = match app.store.reach().await {
        Ok(()) => app.store.ping().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(database_now) => {
            let skew = (database_now - now).abs();
            let version = app.store.server_version().await.unwrap_or_default();
            let seconds = skew.num_seconds();
            let hint = (skew > MAX_CLOCK_SKEW).then(|| {
                format!("set the clocks: the database's and this machine's differ by {seconds} s")
            });
            Finding::new("database", Ok(format!("PostgreSQL {version}")), hint)
        }
        Err(error) => {
            let hint = errors::database_hint(&error).map(str::to_owned);
            Finding::new("database", Err(Failure::from(error).to_string()), hint)
        }
    }
}

/// Requests the newest page of the first stream.
async fn test_account(account: &Account) -> Finding {
    let what = format!("account {}", account.id);
    let started = Instant::now();
    let mut skew = None;
    let answer = request(account, &mut skew).await;
    // A wrong clock may be the cause of a refusal, and of missed rows.
    let clock = skew
        .filter(|skew: &TimeDelta| skew.abs() > MAX_CLOCK_SKEW)
        .map(|skew| {
            let (apart, side) = (skew.num_seconds().abs(), skew.num_seconds() < 0);
            let side = if side { "ahead of" } else { "behind" };
            format!("set this machine's clock: it is {apart} s {side} the provider's")
        });
    match answer {
        Ok(items) => {
            let millis = started.elapsed().as_millis();
            let code = account.spec.code;
            let detail = format!("{code} answered with {items} items in {millis} ms");
            let mut finding = Finding::new(what, Ok(detail), clock);
            finding.ok = finding.hint.is_none();
            finding
        }
        Err(failure) => {
            let hint = clock.map_or_else(String::new, |clock| format!("{clock}; "));
            let hint = hint + failure.hint();
            Finding::new(what, Err(failure.to_string()), Some(hint))
        }
    }
}

/// Returns the number of items of the page; sets `skew` to the lead of the provider's clock, even if the
/// provider refuses.
async fn request(account: &Account, skew: &mut Option<TimeDelta>) -> Result<usize, Failure> {
    let Some(stream) = account.streams.first() else {
        return Ok(0);
    };
    let now = SystemClock.now();
    let end = stream.policy.horizon(now);
    let longest = stream.policy.max_window.min(TimeDelta::hours(1));
    let span = longest.max(stream.policy.unit);
    let Some(window) = Window::new(end - span, end) else {
        return Ok(0);
    };
    let at = Position {
        stream: &stream.spec.name,
        window,
        checkpoint: None,
        page_size: account.page_size.min(10),
    };
    let request = account.provider.request(&at)?;
    let answer = account.client.send(&*account.provider, request, now);
    let answer = tokio::time::timeout(Duration::from_secs(330), answer).await;
    let answer = answer.map_err(|_| Failure::Stopped)??;
    *skew = answer.date.map(|date| date - SystemClock.now());
    if answer.response.status != 200 {
        return Err(Failure::Refused {
            status: answer.response.status,
            refusal: account.refusal(&answer.response),
            retry_after: answer.retry_after,
        });
    }
    let page = account.page(&at, &answer.response)?;
    let context = ItemContext {
        provider: &*account.provider,
        spec: &account.spec,
        rules: &account.rules,
        axis: stream.spec.axis,
        lossy: answer.response.lossy,
    };
    let sorted = PageItems::prepare(context, &page.items);
    let right = stream.spec.accepted_times(window);
    let (shown, outside) = sorted.outside(stream.spec.axis, &right);
    if outside == shown && outside >= u64::from(at.page_size) {
        return Err(Failure::FilterIgnored(outside));
    }
    Ok(page.items.len())
}
