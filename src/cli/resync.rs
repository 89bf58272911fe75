//! `paysync resync`: forgets the coverage of an interval, so that it is read again.

use paysync_provider::model::Window;
use serde_json::json;

use super::interface::arguments::Interval;
use super::interface::confirmation::Confirmation;
use super::interface::output::{self, duration, grouped};
use crate::app::{App, UsageError};
use crate::config::Config;
use crate::store::progress::stream::ForgetPreview;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The account
    #[arg(long, value_name = "ID")]
    account: String,
    #[command(flatten)]
    interval: Interval,
    /// Only this stream
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let span = args.interval.window()?;
    let account = &args.account;
    let App { store, engine } = App::new(config, std::slice::from_ref(account))?;
    if let (Some(stream), Some(account)) = (&args.stream, engine.accounts.first())
        && account.stream(stream).is_none()
    {
        let known = account.streams.iter();
        let known: Vec<&str> = known.map(|stream| stream.spec.name.as_str()).collect();
        let known = known.join(", ");
        let problem = format!("stream {stream} does not exist, expected one of {known}");
        return Err(UsageError(problem).into());
    }
    args.confirmation.check()?;
    let Confirmation { dry_run, json, .. } = args.confirmation;
    store.reach().await?;
    let stream = args.stream.as_deref();
    let forgotten = store.preview_forget(account, stream, span).await?;
    if !json {
        for line in preview(account, span, &forgotten) {
            output::line(line);
        }
    }
    if !dry_run {
        let question = "forget this, so that it is read again?";
        if !args.confirmation.ask(question)? {
            output::line("nothing was changed");
            return Ok(false);
        }
        let streams = store.forget_coverage(account, stream, span).await?;
        if !json {
            output::line(format!(
                "{account}: {span} is read again in {streams} streams"
            ));
        }
    }
    if json {
        output::json(&json!({
            "account": account, "from": span.start(), "to": span.end(), "forgotten": !dry_run,
            "streams": forgotten,
        }))?;
    }
    Ok(true)
}

/// One line per stream with the time to forget and the cost of reading it again.
fn preview(account: &str, span: Window, forgotten: &[ForgetPreview]) -> Vec<String> {
    if forgotten.is_empty() {
        return vec![format!("{account}: nothing of {span} has been read")];
    }
    let line = |stream: &ForgetPreview| {
        let cost = match (stream.rows, stream.requests) {
            (Some(rows), Some(requests)) => format!(
                "about {} rows to read again, in about {} requests",
                grouped(rows),
                grouped(requests.max(1))
            ),
            _ => "the ledger does not show how many rows".to_owned(),
        };
        format!(
            "  {}: {} to forget, {} open windows to roll back, {cost}",
            stream.stream,
            duration(stream.seconds),
            stream.open_windows
        )
    };
    let head = format!("{account}: {span}");
    let lines = forgotten.iter().map(line);
    std::iter::once(head).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preview_shows_what_the_ledger_knows() {
        let span = Window::new(
            "2026-01-01T00:00:00Z".parse().unwrap(),
            "2026-01-02T00:00:00Z".parse().unwrap(),
        )
        .unwrap();
        let stream = |rows| ForgetPreview {
            stream: "created".to_owned(),
            seconds: 7200,
            open_windows: 1,
            rows,
            requests: rows.map(|_| 0),
        };
        let lines = preview("acme", span, &[stream(Some(1234)), stream(None)]);
        assert_eq!(lines.len(), 3);
        let known = " to forget, 1 open windows to roll back, about 1 234 rows to read again, in about 1 requests";
        assert!(lines[1].ends_with(known), "{lines:?}");
        let unknown = "the ledger does not show how many rows";
        assert!(lines[2].ends_with(unknown), "{lines:?}");
        assert!(preview("acme", span, &[])[0].starts_with("acme: nothing of "));
    }
}
