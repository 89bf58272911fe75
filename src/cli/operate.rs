//! Small commands of operators: migrate, pause, resume, resync.

use anyhow::bail;
use serde_json::json;

use super::confirm::Confirmation;
use super::output::{duration, grouped};
use super::{OneArgs, ResyncArgs, output};
use crate::app::{self, App, UsageError};
use crate::config::Config;
use crate::store::progress::stream::ForgetPreview;
use paysync_provider::model::Window;

pub(crate) async fn migrate(config: &Config, json: bool) -> anyhow::Result<bool> {
    let store = app::store(config)?;
    store.reach().await?;
    store.migrate().await?;
    let missing = store.missing_roles().await?;
    let without = if missing.is_empty() {
        String::new()
    } else {
        format!(
            "\nwithout the roles {}, which this database user may not create: have a superuser run what \
             paysync migrate --print-roles prints, if you want them",
            missing.join(", ")
        )
    };
    let said = format!("the database's schema is up to date{without}");
    tell(
        json,
        &json!({"migrated": true, "missing_roles": missing}),
        said,
    )
}

pub(crate) async fn pause(config: &Config, args: &OneArgs) -> anyhow::Result<bool> {
    let account = &args.account;
    set_paused(config, account, true).await?;
    let said = format!("{account} is paused; paysync resume --account {account} starts it again");
    tell(
        args.json,
        &json!({"account": account, "paused": true}),
        said,
    )
}

pub(crate) async fn resume(config: &Config, args: &OneArgs) -> anyhow::Result<bool> {
    let account = &args.account;
    set_paused(config, account, false).await?;
    app::store(config)?.lift_suspension(account, true).await?;
    let said = format!("{account} is read again");
    tell(
        args.json,
        &json!({"account": account, "paused": false}),
        said,
    )
}

fn tell(as_json: bool, value: &serde_json::Value, said: String) -> anyhow::Result<bool> {
    if as_json {
        output::json(value)?;
    } else {
        output::line(said);
    }
    Ok(true)
}

async fn set_paused(config: &Config, account: &str, paused: bool) -> anyhow::Result<()> {
    let known = App::new(config, &[account.to_owned()])?;
    known.store.reach().await?;
    known.store.migrate().await?;
    known.engine.register().await?;
    if !known.store.set_paused(account, paused).await? {
        bail!("account {account} is not in the database");
    }
    Ok(())
}

pub(crate) async fn resync(config: &Config, args: &ResyncArgs) -> anyhow::Result<bool> {
    let Some(span) = Window::new(args.from, args.to) else {
        return Err(UsageError(format!(
            "--from {} is not before --to {}",
            args.from, args.to
        ))
        .into());
    };
    let app = App::new(config, std::slice::from_ref(&args.account))?;
    if let (Some(stream), Some(account)) = (&args.stream, app.engine.accounts.first())
        && account.stream(stream).is_none()
    {
        let known: Vec<&str> = account
            .streams
            .iter()
            .map(|stream| stream.spec.name.as_str())
            .collect();
        return Err(UsageError(format!(
            "stream {stream} does not exist, there is {}",
            known.join(", ")
        ))
        .into());
    }
    args.confirmation.check()?;
    let Confirmation { dry_run, json, .. } = args.confirmation;
    app.store.reach().await?;
    let stream = args.stream.as_deref();
    let forgotten = app
        .store
        .preview_forget(&args.account, stream, span)
        .await?;
    if !json {
        for line in preview(&args.account, span, &forgotten) {
            output::line(line);
        }
    }
    if !dry_run {
        let question = "forget this, so that it is read again?";
        if !args.confirmation.ask(question)? {
            output::line("nothing was changed");
            return Ok(false);
        }
        let streams = app
            .store
            .forget_coverage(&args.account, stream, span)
            .await?;
        if !json {
            let account = &args.account;
            output::line(format!(
                "{account}: {span} is read again in {streams} streams"
            ));
        }
    }
    if json {
        output::json(&json!({
            "account": args.account, "from": span.start(), "to": span.end(), "forgotten": !dry_run,
            "streams": forgotten,
        }))?;
    }
    Ok(true)
}

/// What would be forgotten, a line per stream.
fn preview(account: &str, span: Window, forgotten: &[ForgetPreview]) -> Vec<String> {
    if forgotten.is_empty() {
        return vec![format!("{account}: nothing of {span} has been read")];
    }
    let line = |stream: &ForgetPreview| {
        let cost = match (stream.rows, stream.requests) {
            (Some(rows), Some(requests)) => format!(
                "about {} rows to read again, in {} requests or so",
                grouped(rows),
                grouped(requests.max(1))
            ),
            _ => "the ledger does not tell how many rows".to_owned(),
        };
        format!(
            "  {}: {} to forget, {} open windows to take back, {cost}",
            stream.stream,
            duration(stream.seconds),
            stream.open_windows
        )
    };
    let head = format!("{account}: {span}");
    std::iter::once(head)
        .chain(forgotten.iter().map(line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preview_tells_what_the_ledger_knows() {
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
        let told = preview("acme", span, &[stream(Some(1234)), stream(None)]);
        assert_eq!(told.len(), 3);
        assert!(told[1].ends_with(
            " to forget, 1 open windows to take back, about 1 234 rows to read again, in 1 requests or so"
        ), "{told:?}");
        assert!(
            told[2].ends_with("the ledger does not tell how many rows"),
            "{told:?}"
        );
        assert!(preview("acme", span, &[])[0].starts_with("acme: nothing of "));
    }
}
