//! `paysync pause` and `paysync resume`: stop and start an account.

use anyhow::bail;
use serde_json::json;

use super::interface::output;
use crate::app::App;
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The account
    #[arg(long, value_name = "ID")]
    account: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn pause(config: &Config, args: &Args) -> anyhow::Result<bool> {
    set_paused(config, args, true).await?;
    let account = &args.account;
    report(
        args,
        true,
        format!("{account} is paused; paysync resume --account {account} starts it again"),
    )
}

pub(crate) async fn resume(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let app = set_paused(config, args, false).await?;
    app.store.lift_suspension(&args.account, true).await?;
    report(args, false, format!("{} is read again", args.account))
}

async fn set_paused(config: &Config, args: &Args, paused: bool) -> anyhow::Result<App> {
    let app = App::new(config, std::slice::from_ref(&args.account))?;
    app.store.reach().await?;
    app.migrate_and_register().await?;
    if !app.store.set_paused(&args.account, paused).await? {
        bail!("account {} is not in the database", args.account);
    }
    Ok(app)
}

fn report(args: &Args, paused: bool, text: String) -> anyhow::Result<bool> {
    if args.json {
        output::json(&json!({"account": args.account, "paused": paused}))?;
    } else {
        output::line(text);
    }
    Ok(true)
}
