//! `paysync verify`: one line per account and check, or JSON.

use super::interface::arguments::Accounts;
use super::interface::output;
use crate::app::App;
use crate::config::Config;
use crate::engine::inspect::verify;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    accounts: Accounts,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let app = App::new(config, &args.accounts.account)?;
    app.store.reach().await?;
    let verification = verify::verify(&app.store, &app.engine.accounts).await?;
    if args.json {
        output::json(&verification)?;
        return Ok(verification.proven);
    }
    if verification.accounts.is_empty() {
        output::line("no account to verify: add an [[accounts]] entry to the configuration");
    }
    let mut rows = Vec::new();
    for account in &verification.accounts {
        for check in &account.checks {
            rows.push(vec![
                account.id.clone(),
                check.check.to_owned(),
                check.state.as_str().to_owned(),
                output::with_hint(&check.detail, check.hint.as_deref()),
            ]);
        }
    }
    for line in output::table(&rows) {
        output::line(line);
    }
    Ok(verification.proven)
}
