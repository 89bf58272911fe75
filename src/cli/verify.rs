//! `paysync verify`: a line for each account and check, JSON for scripts.

use super::{VerifyArgs, output};
use crate::app::App;
use crate::config::Config;
use crate::engine::inspect::verify;

pub(crate) async fn verify(config: &Config, args: &VerifyArgs) -> anyhow::Result<bool> {
    let app = App::new(config, &args.account)?;
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
            let hint = check
                .hint
                .as_ref()
                .map(|hint| format!("; {hint}"))
                .unwrap_or_default();
            rows.push(vec![
                account.id.clone(),
                check.check.to_owned(),
                check.state.as_str().to_owned(),
                format!("{}{hint}", check.detail),
            ]);
        }
    }
    for line in output::table(&rows) {
        output::line(line);
    }
    Ok(verification.proven)
}
