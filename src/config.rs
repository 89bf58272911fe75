//! The configuration: built-in defaults, below a file, below the environment.
//!
//! `config/default.toml` is the first layer and lists every key. Reading is strict: a key that is not
//! known is an error, so that no typing mistake goes unnoticed. Errors are one line that says where,
//! what, and what would be right, and never shows a secret.

mod account;
mod origin;
mod redact;
mod schema;
mod table;
mod value;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ::config::{File, FileFormat};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

pub use account::Account;
pub use origin::{Origin, Origins};
pub use paysync_provider::redact::RulePaths;
pub use schema::schema;
use table::{Context, Table};
pub use value::CaFile;

use crate::telemetry::LogFormat;

/// The file that is read if it exists and no other is named.
pub const DEFAULT_PATH: &str = "config/paysync.toml";

/// The built-in defaults: every key, with comments.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// What the name of an environment variable that sets a key starts with.
const PREFIX: &str = "PAYSYNC__";

/// The keys that the environment can set.
const SETTINGS: &[&str] = &[
    "database.url",
    "database.max_connections",
    "database.prepared_statements",
    "database.direct_url",
    "http.listen",
    "engine.lease_ttl",
    "engine.page_memory_mib",
    "retention.windows",
    "retention.history",
    "retention.quarantine",
    "raw.retention",
    "log.format",
    "log.filter",
];

/// What is wrong with the configuration: one line, what and where, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the tables are.
    pub database: Database,
    /// Health, metrics and the status page.
    pub http: Http,
    /// The engine.
    pub engine: Engine,
    /// What is kept how long.
    pub retention: Retention,
    /// Logs.
    pub log: Log,
    /// What is taken out of the items of all accounts; each has it among its own.
    pub redact: RulePaths,
    /// The accounts, in the file's order.
    pub accounts: Vec<Account>,
    /// Where each setting comes from.
    pub origins: Origins,
}

/// Where the tables are.
#[derive(Debug, Clone)]
pub struct Database {
    /// Connection URL; may hold a password.
    pub url: SecretString,
    /// Connections of this process, at most.
    pub max_connections: u32,
    /// Whether statements may be prepared by name; not behind a pooler in transaction mode that does
    /// not keep them.
    pub prepared_statements: bool,
    /// The way around a pooler, for migrations; may hold a password.
    pub direct_url: Option<SecretString>,
}

/// Health, metrics and the status page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Address to listen on; none if it is `"off"`.
    pub listen: Option<SocketAddr>,
}

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Time after a holder's last sign of life until its accounts are taken over.
    pub lease_ttl: Duration,
    /// Answers of providers in work at once, all accounts together, in MiB.
    pub page_memory_mib: u32,
}

/// What is kept how long; none is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Windows of the ledger, from when they got their outcome; older ones are folded into sums.
    pub windows: Option<Duration>,
    /// Versions of transactions, from when they were replaced.
    pub history: Option<Duration>,
    /// Items in quarantine, from when they were last met.
    pub quarantine: Option<Duration>,
    /// Payloads, from when their transaction last changed.
    pub raw: Option<Duration>,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How a line looks; if none, text on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
    /// What is logged, in the words of `tracing-subscriber`'s `EnvFilter`.
    pub filter: String,
}

/// The variables of the process's environment; those that are no UTF-8 are left out.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Config {
    /// Reads all layers. A file named by `path` must exist; without one, [`DEFAULT_PATH`] may.
    ///
    /// Says nothing of whether accounts fit their providers: [`Account::provider`] does.
    pub fn load(
        path: Option<&Path>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let default = Some(Path::new(DEFAULT_PATH)).filter(|path| path.exists());
        let file = path.or(default);
        let text = file.map(read).transpose()?.unwrap_or_default();
        Self::of(file, &text, environment)
    }

    /// Reads all layers, with `text` in the place of the file.
    pub fn of_text(
        text: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        Self::of(None, text, environment)
    }

    /// The sections besides the accounts in which another configuration differs.
    pub fn sections_that_differ(&self, other: &Self) -> Vec<&'static str> {
        let url = |config: &Self| config.database.url.expose_secret().to_owned();
        let direct = |config: &Self| {
            let url = config.database.direct_url.as_ref();
            url.map(|url| url.expose_secret().to_owned())
        };
        let differs = [
            (
                "database",
                url(self) != url(other)
                    || direct(self) != direct(other)
                    || self.database.prepared_statements != other.database.prepared_statements
                    || self.database.max_connections != other.database.max_connections,
            ),
            ("http", self.http != other.http),
            ("engine", self.engine != other.engine),
            ("retention", self.retention != other.retention),
            ("log", self.log != other.log),
        ];
        differs
            .into_iter()
            .filter_map(|(section, differs)| differs.then_some(section))
            .collect()
    }

    fn of(
        file: Option<&Path>,
        text: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let overrides = overrides(environment)?;
        let mut layers = ::config::Config::builder()
            .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
            .add_source(File::from_str(text, FileFormat::Toml));
        for (key, (_, value)) in &overrides {
            layers = layers
                .set_override(key, value.as_str())
                .map_err(|error| ConfigError(format!("{key}: {error}")))?;
        }
        let merged = layers.build().map_err(|error| unreadable(file, &error))?;
        let written = ::config::Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .build()
            .map_err(|error| unreadable(file, &error))?;
        let context = Context {
            file,
            environment,
            variables: overrides
                .into_iter()
                .map(|(key, (variable, _))| (key, variable))
                .collect(),
        };
        let origins = Origins::new(file, &written.cache, &context.variables);
        Self::read(Table::root(&context, merged.cache)?, origins)
    }

    fn read(mut root: Table<'_>, origins: Origins) -> Result<Self, ConfigError> {
        let database = root.section("database", |table| {
            Ok(Database {
                url: table.required(
                    "url",
                    ", set it in config/paysync.toml, in the file of --config, or in the environment as DATABASE_URL",
                    value::database_url,
                )?,
                max_connections: table.required("max_connections", "", value::positive)?,
                prepared_statements: table.required("prepared_statements", "", value::boolean)?,
                direct_url: table.optional("direct_url", value::database_url)?,
            })
        })?;
        if !database.prepared_statements && database.direct_url.is_none() {
            return Err(ConfigError(
                "database.direct_url: required where prepared_statements = false; migrations take it, \
                 as they need a session of their own"
                    .to_owned(),
            ));
        }
        let http = root.section("http", |table| {
            Ok(Http {
                listen: table.required("listen", "", value::listen)?,
            })
        })?;
        let engine = root.section("engine", |table| {
            Ok(Engine {
                lease_ttl: table.required("lease_ttl", "", value::interval)?,
                page_memory_mib: table.required("page_memory_mib", "", value::positive)?,
            })
        })?;
        let mut retention = root.section("retention", |table| {
            Ok(Retention {
                windows: table.required("windows", "", value::retention)?,
                history: table.required("history", "", value::retention)?,
                quarantine: table.required("quarantine", "", value::retention)?,
                raw: None,
            })
        })?;
        retention.raw = root.section("raw", |table| {
            table.required("retention", "", value::retention)
        })?;
        let log = root.section("log", |table| {
            Ok(Log {
                format: table.optional("format", value::log_format)?,
                filter: table.required("filter", "", value::log_filter)?,
            })
        })?;
        let redact = root.section("redact", redact::read)?;
        let accounts = account::read_all(&mut root, &redact)?;
        root.finish()?;
        Ok(Self {
            database,
            http,
            engine,
            retention,
            log,
            redact,
            accounts,
            origins,
        })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path)
        .map_err(|error| ConfigError(format!("{}: cannot be read: {error}", path.display())))
}

/// The keys that the environment sets, with the variable that does and its value. Empty ones count as
/// not set.
fn overrides(
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, (String, String)>, ConfigError> {
    let mut overrides = BTreeMap::new();
    let set = environment.iter().filter(|(_, value)| !value.is_empty());
    for (name, value) in set {
        let upper = name.to_ascii_uppercase();
        let Some(rest) = upper.strip_prefix(PREFIX) else {
            continue;
        };
        let key = rest.to_ascii_lowercase().replace("__", ".");
        if !SETTINGS.contains(&key.as_str()) {
            return Err(ConfigError(not_a_setting(name, &key)));
        }
        overrides.insert(key, (name.clone(), value.clone()));
    }
    if let Some(url) = environment
        .get("DATABASE_URL")
        .filter(|url| !url.is_empty())
    {
        overrides
            .entry("database.url".to_owned())
            .or_insert_with(|| ("DATABASE_URL".to_owned(), url.clone()));
    }
    Ok(overrides)
}

fn not_a_setting(name: &str, key: &str) -> String {
    if key == "accounts" || key.starts_with("accounts.") {
        return format!(
            "{name}: accounts are set in the file; their secrets can come from the environment, \
             as in credentials = {{ token = {{ env = \"NAME\" }} }}"
        );
    }
    let known: Vec<String> = SETTINGS
        .iter()
        .map(|key| format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__")))
        .collect();
    format!(
        "{name}: no such setting, expected one of {}",
        known.join(", ")
    )
}

/// A syntax error without the lines it quotes, which may hold secrets.
fn unreadable(file: Option<&Path>, error: &::config::ConfigError) -> ConfigError {
    let text = match error {
        ::config::ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let first = text.lines().next().unwrap_or_default();
    let place = first.strip_prefix("TOML parse error at ");
    let last = text.lines().last().filter(|_| place.is_some());
    let file = file.map_or("the defaults".into(), Path::to_string_lossy);
    ConfigError(match last {
        Some(last) => format!("{file}: {}: {last}", place.unwrap_or_default()),
        None => format!("{file}: {first}"),
    })
}

#[cfg(test)]
mod tests;
