//! The composition root: makes the running parts of a configuration.

use std::sync::Arc;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;

use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::engine::{Account, Engine, PageMemory};
use crate::store::Store;
use crate::transport;

/// The parts that every command with accounts needs.
pub struct App {
    /// The database.
    pub store: Store,
    /// The engine, with the accounts chosen.
    pub engine: Engine,
}

/// The store of a configuration; connects when it is first used.
pub fn store(config: &Config) -> anyhow::Result<Store> {
    let url = config.database.url.expose_secret();
    let connections = config.database.max_connections;
    let store = match &config.database.direct_url {
        Some(direct) if !config.database.prepared_statements => {
            Store::behind_pooler(url, direct.expose_secret(), connections)
        }
        _ => Store::new(url, connections),
    };
    // The parser's own message may quote the URL, which may hold a password.
    store.map_err(|_| {
        UsageError(
            "database.url: not a PostgreSQL URL, write it like \"postgres://user@host/database\""
                .into(),
        )
        .into()
    })
}

/// Wrong use of the command line or the configuration: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

impl App {
    /// The parts for these accounts of a configuration, or all of them if none is named.
    pub fn new(config: &Config, chosen: &[String]) -> anyhow::Result<Self> {
        for id in chosen {
            if !config.accounts.iter().any(|account| account.id == *id) {
                let known: Vec<&str> = config
                    .accounts
                    .iter()
                    .map(|account| account.id.as_str())
                    .collect();
                let there = if known.is_empty() {
                    "no account at all: add an [[accounts]] entry".to_owned()
                } else {
                    known.join(", ")
                };
                return Err(UsageError(format!(
                    "account {id} is not configured, there is {there}"
                ))
                .into());
            }
        }
        let accounts = accounts(config, chosen, |_| None)?;
        let store = store(config)?;
        let engine = Engine {
            store: store.clone(),
            clock: Arc::new(SystemClock),
            accounts,
            lease_ttl: config.engine.lease_ttl,
            page_memory: PageMemory::of_kib(config.engine.page_memory_mib.saturating_mul(1 << 10)),
            retention: config.retention,
            holder: holder(),
        };
        Ok(Self { store, engine })
    }
}

/// The same engine with the accounts of another configuration. Those whose settings are the same are the
/// same accounts.
pub fn with_accounts_of(engine: &Engine, old: &Config, new: &Config) -> anyhow::Result<Engine> {
    let same = |settings: &config::Account| {
        let known = old.accounts.contains(settings);
        let mut accounts = engine.accounts.iter().filter(|_| known);
        accounts.find(|account| account.id == settings.id).cloned()
    };
    Ok(Engine {
        accounts: accounts(new, &[], same)?,
        ..engine.clone()
    })
}

/// The accounts chosen, or all; `known` may have one already. All are checked, whichever is chosen.
fn accounts(
    config: &Config,
    chosen: &[String],
    known: impl Fn(&config::Account) -> Option<Arc<Account>>,
) -> anyhow::Result<Vec<Arc<Account>>> {
    let client = transport::client().context("the HTTP client cannot be set up")?;
    let mut accounts = Vec::with_capacity(config.accounts.len());
    for settings in &config.accounts {
        let provider = settings
            .provider()
            .map_err(|error| UsageError(error.to_string()))?;
        if chosen.is_empty() || chosen.contains(&settings.id) {
            let account = if let Some(account) = known(settings) {
                account
            } else {
                let client = client_of(settings, &client)?;
                Arc::new(Account::new(settings, provider, client))
            };
            accounts.push(account);
        }
    }
    Ok(accounts)
}

/// The client of an account: the process's, unless it trusts more than others.
fn client_of(
    settings: &config::Account,
    shared: &reqwest::Client,
) -> Result<reqwest::Client, UsageError> {
    let Some(file) = &settings.ca_file else {
        return Ok(shared.clone());
    };
    transport::client_that_trusts(&file.certificates).map_err(|_| {
        UsageError(format!(
            "account {}: ca_file: a certificate in the file {} cannot be used",
            settings.id, file.path
        ))
    })
}

/// This process, for operators: host and process id, and a number that no other start has.
fn holder() -> String {
    let host = std::env::var("HOSTNAME")
        .ok()
        .filter(|host| !host.is_empty());
    let host = host.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let host = host.as_deref().unwrap_or("localhost").trim();
    format!("{host}/{}/{:08x}", std::process::id(), fastrand::u32(..))
}
