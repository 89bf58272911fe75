//! SIGHUP: the accounts of `paysync run` become those that the configuration has now.
//!
//! A configuration that is wrong changes nothing. What is not about accounts needs a restart.

use std::path::PathBuf;

use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::line;
use crate::app::with_accounts_of;
use crate::config::{Account, Config, environment};
use crate::engine::Engine;

/// Reads the configuration again at each signal.
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
                tell(&started, &config, &new);
                current.send_replace(engine);
                config = new;
            }
            Err(error) => {
                error!(
                    error = line(&error),
                    hint = "mend it and send SIGHUP again; paysync check tries it",
                    "the configuration cannot be used: everything stays as it is"
                );
            }
        }
    }
}

fn tell(started: &Config, old: &Config, new: &Config) {
    let has =
        |config: &Config, account: &Account| config.accounts.iter().any(|it| it.id == account.id);
    let ids = |accounts: Vec<&Account>| -> String {
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
        "the configuration was read again"
    );
    let later = started.sections_that_differ(new);
    if !later.is_empty() {
        warn!(
            sections = later.join(", "),
            hint = "restart paysync run",
            "only accounts are taken over by SIGHUP; the rest of the configuration needs a restart"
        );
    }
}
