//! SIGHUP: `paysync run` reloads the accounts from the configuration.
//!
//! A wrong configuration changes nothing. Other sections need a restart.

use std::path::PathBuf;

use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::app::with_accounts_of;
use crate::cli::interface::errors;
use crate::config::{Account, Config, environment};
use crate::engine::Engine;

/// Reloads the configuration at each signal.
pub(crate) async fn on_hangup(
    mut hangups: Signal,
    path: Option<PathBuf>,
    started: Config,
    current: watch::Sender<Engine>,
) {
    let mut config = started.clone();
    while hangups.recv().await.is_some() {
        let engine = current.borrow().clone();
        let read = Config::load(path.as_deref(), &environment())
            .map_err(anyhow::Error::from)
            .and_then(|new| Ok((with_accounts_of(&engine, &config, &new)?, new)));
        match read {
            Ok((engine, new)) => {
                log_changes(&started, &config, &new);
                current.send_replace(engine);
                config = new;
            }
            Err(error) => {
                error!(
                    error = errors::line(&error),
                    hint = "fix it, test it with paysync check, and send SIGHUP again",
                    "the configuration cannot be reloaded: nothing was changed"
                );
            }
        }
    }
}

fn log_changes(started: &Config, old: &Config, new: &Config) {
    let has =
        |config: &Config, account: &Account| config.accounts.iter().any(|it| it.id == account.id);
    let ids = |accounts: Vec<&Account>| {
        let ids: Vec<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
        ids.join(", ")
    };
    let (kept, added): (Vec<_>, Vec<_>) = new.accounts.iter().partition(|it| has(old, it));
    let (unchanged, changed): (Vec<_>, Vec<_>) =
        kept.into_iter().partition(|it| old.accounts.contains(it));
    let removed: Vec<_> = old.accounts.iter().filter(|it| !has(new, it)).collect();
    info!(
        added = ids(added),
        removed = ids(removed),
        changed = ids(changed),
        unchanged = unchanged.len(),
        "the configuration was reloaded"
    );
    let later = started.sections_that_differ(new);
    if !later.is_empty() {
        warn!(
            sections = later.join(", "),
            hint = "restart paysync run",
            "SIGHUP reloads accounts only; a change of other sections needs a restart"
        );
    }
}
