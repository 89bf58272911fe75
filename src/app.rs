//! The composition root: builds the running parts from the configuration.

use std::sync::Arc;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;

use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::engine::{Account, Engine, PageMemory};
use crate::store::{Store, StoreError};
use crate::transport;

/// The parts that every command with accounts needs.
pub struct App {
    /// The database.
    pub store: Store,
    /// The engine, with the chosen accounts.
    pub engine: Engine,
}

/// The store of a configuration; connects at its first use.
pub fn store(config: &Config) -> anyhow::Result<Store> {
    let url = config.database.url.expose_secret();
    let connections = config.database.max_connections;
    let store = match &config.database.direct_url {
        Some(direct) if !config.database.prepared_statements => {
            Store::behind_pooler(url, direct.expose_secret(), connections)
        }
        _ => Store::new(url, connections),
    };
    // The message of the parser may quote the URL, which may contain a password.
    store.map_err(|_| {
        UsageError(
            "database.url: not a PostgreSQL URL: write it like \"postgres://user@host/database\""
                .into(),
        )
        .into()
    })
}

/// A wrong command line or configuration: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

impl App {
    /// The parts for these accounts of a configuration, or for all if `chosen` is empty.
    pub fn new(config: &Config, chosen: &[String]) -> anyhow::Result<Self> {
        let known: Vec<&str> = config.accounts.iter().map(|it| it.id.as_str()).collect();
        if let Some(id) = chosen.iter().find(|id| !known.contains(&id.as_str())) {
            let known = match known.as_slice() {
                [] => "add an [[accounts]] entry".to_owned(),
                known => format!("expected one of {}", known.join(", ")),
            };
            return Err(UsageError(format!("account {id} is not configured: {known}")).into());
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

    /// Brings the schema up to date and registers the accounts.
    pub async fn migrate_and_register(&self) -> Result<(), StoreError> {
        self.store.migrate().await?;
        self.engine.register().await
    }
}

/// The same engine with the accounts of another configuration; accounts with unchanged settings stay the
/// same objects.
pub fn with_accounts_of(engine: &Engine, old: &Config, new: &Config) -> anyhow::Result<Engine> {
    let unchanged = |settings: &config::Account| {
        let known = old.accounts.contains(settings);
        let mut accounts = engine.accounts.iter().filter(|_| known);
        accounts.find(|account| account.id == settings.id).cloned()
    };
    Ok(Engine {
        accounts: accounts(new, &[], unchanged)?,
        ..engine.clone()
    })
}

/// Builds the chosen accounts, or all, except those that `existing` returns. Checks all accounts of the
/// configuration, not only the chosen ones.
fn accounts(
    config: &Config,
    chosen: &[String],
    existing: impl Fn(&config::Account) -> Option<Arc<Account>>,
) -> anyhow::Result<Vec<Arc<Account>>> {
    let client = transport::client().context("the HTTP client cannot be built")?;
    let mut accounts = Vec::with_capacity(config.accounts.len());
    for settings in &config.accounts {
        let provider = settings
            .provider()
            .map_err(|error| UsageError(error.to_string()))?;
        if chosen.is_empty() || chosen.contains(&settings.id) {
            let account = if let Some(account) = existing(settings) {
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

/// The HTTP client of an account: the shared one, unless the account trusts more authorities or is read from this
/// machine.
fn client_of(
    settings: &config::Account,
    shared: &reqwest::Client,
) -> anyhow::Result<reqwest::Client> {
    let Some(file) = &settings.ca_file else {
        // A proxy cannot reach the addresses of this machine.
        return match settings.base_url.host() {
            Some(host) if transport::is_local(&host) && settings.base_url.scheme() == "http" => {
                transport::local_client().context("the HTTP client cannot be built")
            }
            _ => Ok(shared.clone()),
        };
    };
    transport::client_that_trusts(&file.certificates).map_err(|_| {
        let text = format!(
            "account {}: ca_file: a certificate in the file {} cannot be used",
            settings.id, file.path
        );
        UsageError(text).into()
    })
}

/// The name of this process in leases: host, process id and a random number.
pub fn holder() -> String {
    let host = std::env::var("HOSTNAME")
        .ok()
        .filter(|host| !host.is_empty());
    let host = host.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let host = host.as_deref().unwrap_or("localhost").trim();
    format!("{host}/{}/{:08x}", std::process::id(), fastrand::u32(..))
}

/// The accounts of the database, configured or not: all of them, or the chosen one.
///
/// # Errors
/// Also if the chosen one is not among them.
pub async fn stored_accounts(store: &Store, chosen: Option<&str>) -> anyhow::Result<Vec<String>> {
    let known = store.account_ids().await?;
    let Some(chosen) = chosen else {
        return Ok(known);
    };
    if known.iter().any(|id| id == chosen) {
        return Ok(vec![chosen.to_owned()]);
    }
    let known = match known.as_slice() {
        [] => "it has no accounts".to_owned(),
        known => format!("expected one of {}", known.join(", ")),
    };
    let problem = format!("account {chosen} is not in the database: {known}");
    Err(UsageError(problem).into())
}
