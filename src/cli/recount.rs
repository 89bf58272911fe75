//! `paysync recount`: rebuilds payment keys and daily sums from the rows.

use chrono::{Days, NaiveDate};
use serde_json::json;
use tracing::info;

use super::interface::output::{self, grouped};
use crate::app;
use crate::config::Config;
use crate::store::{Store, StoreError};
use crate::telemetry;

/// Days of one transaction.
const RANGE_DAYS: u64 = 7;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this account, which need not be configured
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    telemetry::init(config.log.format, &config.log.filter)?;
    let store = app::store(config)?;
    store.reach().await?;
    store.migrate().await?;
    let mut report = Vec::new();
    for account in app::stored_accounts(&store, args.account.as_deref()).await? {
        let moved = recount_payments(&store, &account).await?;
        recount_daily_sums(&store, &account).await?;
        info!(account.id = account, moved, "account recounted");
        if !args.json {
            output::line(format!(
                "{account}: rows with another payment_key: {}; daily sums rebuilt",
                grouped(moved)
            ));
        }
        report.push(json!({"id": account, "rows_with_another_payment_key": moved}));
    }
    if args.json {
        output::json(&json!({ "accounts": report }))?;
    }
    Ok(true)
}

/// Returns how many rows got another key.
async fn recount_payments(store: &Store, account: &str) -> Result<u64, StoreError> {
    let (mut moved, mut after) = (0, Some(String::new()));
    while let Some(key) = after {
        let range = store.recount_payments(account, &key).await?;
        moved += range.moved;
        after = range.last_key;
    }
    Ok(moved)
}

async fn recount_daily_sums(store: &Store, account: &str) -> Result<(), StoreError> {
    // Before the first and after the last day of rows there may be sums all the same.
    let mut first: Option<NaiveDate> = None;
    if let Some((mut next, end)) = store.days(account).await? {
        while next < end {
            let last = next + Days::new(RANGE_DAYS);
            store.recount_daily_sums(account, first, Some(last)).await?;
            next = last + Days::new(1);
            first = Some(next);
        }
    }
    store.recount_daily_sums(account, first, None).await
}
