//! Small commands of operators: migrate, pause, resume, resync.

use anyhow::bail;

use super::{ResyncArgs, output};
use crate::app::{self, App, UsageError};
use crate::config::Config;
use crate::model::Window;

pub(crate) async fn migrate(config: &Config) -> anyhow::Result<bool> {
    let store = app::store(config)?;
    store.reach().await?;
    store.migrate().await?;
    output::line("the database's schema is up to date");
    Ok(true)
}

pub(crate) async fn pause(config: &Config, account: &str) -> anyhow::Result<bool> {
    set_paused(config, account, true).await?;
    output::line(format!(
        "{account} is paused; paysync resume --account {account} starts it again"
    ));
    Ok(true)
}

pub(crate) async fn resume(config: &Config, account: &str) -> anyhow::Result<bool> {
    set_paused(config, account, false).await?;
    app::store(config)?.lift_suspension(account, true).await?;
    output::line(format!("{account} is read again"));
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
    app.store.reach().await?;
    let streams = app
        .store
        .forget_coverage(&args.account, args.stream.as_deref(), span)
        .await?;
    output::line(format!(
        "{}: {span} is read again in {streams} streams",
        args.account
    ));
    Ok(true)
}
