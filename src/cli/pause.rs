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

pub(crate) async fn run(config: &Config, args: &Args, paused: bool) -> anyhow::Result<bool> {
    let account = &args.account;
    let app = App::new(config, std::slice::from_ref(account))?;
    app.store.reach().await?;
    app.migrate_and_register().await?;
    let forgotten = app.store.last_forgotten(account).await?;
    if !paused && forgotten.is_some_and(|record| record.ended_at.is_none()) {
        bail!(
            "account {account} is being forgotten: run paysync forget --account {account} until it ends, then resume"
        );
    }
    if !app.store.set_paused(account, paused).await? {
        bail!("account {account} is not in the database");
    }
    if !paused {
        app.store.lift_suspension(account, true).await?;
    }
    if args.json {
        output::json(&json!({"account": account, "paused": paused}))?;
    } else if paused {
        output::line(format!(
            "{account} is paused; paysync resume --account {account} starts it again"
        ));
    } else {
        output::line(format!("{account} is read again"));
    }
    Ok(true)
}
