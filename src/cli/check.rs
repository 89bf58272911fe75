//! `paysync check`: configuration, database, one real request per account. Writes nothing.

use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;
use tokio::time::Instant;

use super::{advice, output, settings};
use crate::app::App;
use crate::clock::{Clock as _, SystemClock, WORST_SKEW};
use crate::config::{Config, environment, schema};
use crate::engine::Account;
use crate::engine::failure::Failure;
use paysync_provider::Position;
use paysync_provider::item::{ItemContext, PageItems};
use paysync_provider::model::Window;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this account; may be given more than once
    #[arg(long, value_name = "ID")]
    account: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Try nothing; print the settings in force and where each comes from, without secrets
    #[arg(long)]
    print_config: bool,
    /// Try nothing; print a JSON Schema of the configuration file, for editors
    #[arg(long, conflicts_with_all = ["print_config", "json", "account"])]
    print_schema: bool,
}

/// One thing that was tried.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

pub(crate) async fn check(path: Option<&Path>, args: &Args) -> anyhow::Result<bool> {
    if args.print_schema {
        output::json(&schema())?;
        return Ok(true);
    }
    let config = Config::load(path, &environment())?;
    let app = App::new(&config, &args.account)?;
    if args.print_config {
        settings::print(&config, &app.engine.accounts, args.json)?;
        return Ok(true);
    }
    let mut findings = vec![Finding {
        what: "configuration".to_owned(),
        ok: true,
        detail: match config.accounts.len() {
            1 => "1 account".to_owned(),
            count => format!("{count} accounts"),
        },
        hint: config
            .accounts
            .is_empty()
            .then(|| "add an [[accounts]] entry to read one".to_owned()),
    }];
    findings.push(database(&app).await);
    let tries = app
        .engine
        .accounts
        .iter()
        .map(|account| try_account(account));
    findings.extend(futures_util::future::join_all(tries).await);
    let ok = findings.iter().all(|finding| finding.ok);
    if args.json {
        output::json(&serde_json::json!({ "ok": ok, "checks": findings }))?;
        return Ok(ok);
    }
    for finding in &findings {
        let word = if finding.ok { "ok" } else { "FAILED" };
        let hint = finding
            .hint
            .as_ref()
            .map(|hint| format!("; {hint}"))
            .unwrap_or_default();
        output::line(format!(
            "{}: {word}, {}{hint}",
            finding.what, finding.detail
        ));
    }
    Ok(ok)
}

async fn database(app: &App) -> Finding {
    let what = "database".to_owned();
    let now = SystemClock.now();
    let asked = match app.store.reach().await {
        Ok(()) => app.store.ping().await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(theirs) => {
            let skew = (theirs - now).abs();
            let version = app.store.server_version().await.unwrap_or_default();
            let hint = (skew > WORST_SKEW).then(|| {
                format!(
                    "its clock and this machine's are {} s apart",
                    skew.num_seconds()
                )
            });
            Finding {
                what,
                ok: true,
                detail: format!("PostgreSQL {version}"),
                hint,
            }
        }
        Err(error) => {
            let hint = advice(&error).map(str::to_owned);
            Finding {
                what,
                ok: false,
                detail: Failure::from(error).to_string(),
                hint,
            }
        }
    }
}

/// Asks for the newest page of the first stream.
async fn try_account(account: &Account) -> Finding {
    let what = format!("account {}", account.id);
    let started = Instant::now();
    let mut skew = None;
    let asked = request(account, &mut skew).await;
    // A clock that is wrong can be why an account is refused or its rows are missed.
    let clock = skew
        .filter(|skew: &TimeDelta| skew.abs() > WORST_SKEW)
        .map(|skew| {
            let (apart, side) = (skew.num_seconds().abs(), skew.num_seconds() < 0);
            let side = if side { "ahead of" } else { "behind" };
            format!("set this machine's clock: it is {apart} s {side} the provider's")
        });
    match asked {
        Ok(items) => {
            let millis = started.elapsed().as_millis();
            let detail = format!(
                "{} answered with {items} items in {millis} ms",
                account.spec.code
            );
            Finding {
                what,
                ok: clock.is_none(),
                detail,
                hint: clock,
            }
        }
        Err(failure) => {
            let hint = failure.hint();
            Finding {
                what,
                ok: false,
                detail: failure.to_string(),
                hint: Some(
                    clock.map_or_else(|| hint.to_owned(), |clock| format!("{clock}; {hint}")),
                ),
            }
        }
    }
}

/// Items of the page; and how far the provider's clock is ahead, as soon as it answers.
async fn request(account: &Account, skew: &mut Option<TimeDelta>) -> Result<usize, Failure> {
    let Some(stream) = account.streams.first() else {
        return Ok(0);
    };
    let now = SystemClock.now();
    let end = stream.policy.horizon(now);
    let span = stream
        .policy
        .max_window
        .min(TimeDelta::hours(1))
        .max(stream.policy.unit);
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
    let answer = tokio::time::timeout(
        Duration::from_secs(330),
        account.client.send(&*account.provider, request, now),
    );
    let answer = match answer.await {
        Ok(answer) => answer?,
        Err(_) => return Err(Failure::Stopped),
    };
    *skew = answer.date.map(|date| date - SystemClock.now());
    if answer.response.status != 200 {
        let refusal = account.refusal(&answer.response);
        return Err(Failure::Refused {
            status: answer.response.status,
            refusal,
            retry_after: answer.retry_after,
        });
    }
    let page = account.provider.page(&at, &answer.response)?;
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
        return Err(Failure::FilterIgnored { rows: outside });
    }
    Ok(page.items.len())
}
