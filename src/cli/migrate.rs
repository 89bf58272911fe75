//! `paysync migrate`: brings the schema up to date.

use serde_json::json;

use super::interface::output;
use crate::app;
use crate::config::Config;
use crate::store::ROLES;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; print the SQL that creates the roles for readers, operators and the daemon
    #[arg(long, conflicts_with = "json")]
    pub(crate) print_roles: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the SQL that creates the roles; needs no configuration.
pub(crate) fn print_roles() -> bool {
    output::line(ROLES.trim_end());
    true
}

pub(crate) async fn run(config: &Config, args: &Args) -> anyhow::Result<bool> {
    let store = app::store(config)?;
    store.reach().await?;
    store.migrate().await?;
    let missing = store.missing_roles().await?;
    if args.json {
        output::json(&json!({"migrated": true, "missing_roles": missing}))?;
        return Ok(true);
    }
    output::line("the database's schema is up to date");
    if !missing.is_empty() {
        output::line(format!(
            "without the roles {}, which this database user may not create: to have them, let a superuser run the \
             output of paysync migrate --print-roles",
            missing.join(", ")
        ));
    }
    Ok(true)
}
