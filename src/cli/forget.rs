//! `paysync forget`: removes everything of an account and leaves a record.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;
use tracing::info;

use super::interface::confirmation::Confirmation;
use super::interface::output::{self, grouped, instant};
use crate::app;
use crate::config::Config;
use crate::number::unsigned;
use crate::store::retention::forget::{Batch, Begun, Forgetting, Forgotten, RowCounts};
use crate::store::{Store, StoreError};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The account: paused, or not configured
    #[arg(long, value_name = "ID")]
    account: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    args.confirmation.check()?;
    let Confirmation { dry_run, json, .. } = args.confirmation;
    let account = args.account.as_str();
    telemetry::init(config.log.format, &config.log.filter)?;
    let store = app::store(config)?;
    store.reach().await?;
    if !dry_run {
        store.migrate().await?;
    }
    let is_configured = config.accounts.iter().any(|known| known.id == account);
    let rows = store.rows_of_account(account).await?;
    let unknown = app::stored_accounts(&store, Some(account)).await.err();
    let is_empty = rows.values().all(|rows| *rows == 0);
    let last = store.last_forgotten(account).await?;
    // After the end of a run, which may have been killed before it reported.
    if let Some(record) = last.filter(|record| record.ended_at.is_some())
        && is_empty
        && (is_configured || unknown.is_some())
    {
        report(account, &record, json)?;
        return Ok(true);
    }
    if let Some(error) = unknown {
        return Err(error);
    }
    if dry_run {
        if json {
            output::json(&json!({"account": account, "forgotten": false, "rows": rows}))?;
        } else {
            output::line(format!("{account}: {} would be removed", words(&rows)));
        }
        return Ok(true);
    }
    if is_configured && !store.is_paused(account).await? {
        return Err(not_paused(account));
    }
    if !json {
        output::line(format!("{account}: {} to remove", words(&rows)));
    }
    let question = "everything of this account is removed; it cannot be undone; type its id:";
    if !args.confirmation.ask_for(account, question)? {
        output::line("nothing was changed");
        return Ok(false);
    }
    let forgetting = begin(&store, config, account, is_configured).await?;
    let stopped = "not all of it is removed: run this command again, it goes on";
    forget(&store, &forgetting, is_configured)
        .await
        .context(stopped)?;
    let record = store.last_forgotten(account).await?;
    let record = record.context("the record is gone")?;
    info!(
        account.id = account,
        rows = record.removed.values().sum::<i64>(),
        "account forgotten"
    );
    report(account, &record, json)?;
    Ok(true)
}

/// Acquires the account's lease, if need be after the end of a dead process's, and removes the coverage.
async fn begin(
    store: &Store,
    config: &Config,
    account: &str,
    is_configured: bool,
) -> anyhow::Result<Forgetting> {
    let ttl = config.engine.lease_ttl;
    let holder = app::holder();
    let mut first_end = None;
    loop {
        match store
            .begin_forgetting(account, is_configured, &holder, ttl)
            .await?
        {
            Begun::Begun(forgetting) => return Ok(forgetting),
            Begun::Unknown => bail!("account {account} is not in the database"),
            Begun::NotPaused => return Err(not_paused(account)),
            Begun::OtherHolder { holder, until }
                if first_end.is_some_and(|first| until > first) =>
            {
                bail!(
                    "the process {holder} works on account {account}: remove the account from its configuration and \
                 send it SIGHUP, or stop it; then run this command again"
                )
            }
            Begun::OtherHolder { until, .. } => {
                if first_end.is_none() {
                    info!(
                        account.id = account,
                        "waiting for the lease of another process"
                    );
                    first_end = Some(until);
                }
            }
        }
        tokio::time::sleep(ttl.min(Duration::from_secs(3)) / 6).await;
    }
}

fn not_paused(account: &str) -> anyhow::Error {
    anyhow!(
        "account {account} is configured and not paused: run paysync pause --account {account}, \
         or remove it from the configuration"
    )
}

async fn forget(store: &Store, forgetting: &Forgetting, stays: bool) -> Result<(), StoreError> {
    let mut batch = Batch::Others;
    while batch != Batch::Nothing {
        batch = store.forget_batch(forgetting, batch).await?;
    }
    store.end_forgetting(forgetting, stays).await
}

fn report(account: &str, record: &Forgotten, json: bool) -> anyhow::Result<()> {
    let Forgotten {
        begun_at,
        ended_at,
        removed,
    } = record;
    if json {
        return output::json(&json!({
            "account": account, "forgotten": true, "rows": removed, "begun_at": begun_at, "ended_at": ended_at,
        }));
    }
    let ended_at = ended_at.map(instant).unwrap_or_default();
    output::line(format!(
        "{account}: forgotten at {ended_at}: {} removed",
        words(removed)
    ));
    Ok(())
}

/// `1 200 transactions, 1 200 raw_transactions, 31 windows`.
fn words(rows: &RowCounts) -> String {
    let rows = rows.iter().filter(|(_, rows)| **rows > 0);
    let words = rows.map(|(table, rows)| format!("{} {table}", grouped(unsigned(*rows))));
    let words = words.collect::<Vec<_>>();
    if words.is_empty() {
        "no rows".to_owned()
    } else {
        words.join(", ")
    }
}
