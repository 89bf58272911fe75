//! The configuration: the environment overrides the file, which overrides the built-in defaults.
//!
//! `config/default.toml` holds the defaults and lists every key. Unknown keys are errors, so that no
//! typing mistake goes unnoticed. An error is one line with place, problem and remedy; it never shows a
//! secret.

mod account;
mod environment;
mod error;
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
pub use paysync_provider::redact::RulePaths;
use secrecy::{ExposeSecret as _, SecretString};

use crate::telemetry::LogFormat;
pub use account::Account;
pub use environment::environment;
pub use error::ConfigError;
pub use origin::{Origin, Origins};
use schema::DEFAULTS;
pub use schema::schema;
use table::{Context, Table};
pub use value::CaFile;

/// The file that is read if it exists and no other file is named.
const DEFAULT_PATH: &str = "config/paysync.toml";

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database.
    pub database: Database,
    /// Health, metrics and the status page.
    pub http: Http,
    /// The engine.
    pub engine: Engine,
    /// How long data is kept.
    pub retention: Retention,
    /// Logs.
    pub log: Log,
    /// Redaction rules for all accounts; each account's rules include them.
    pub redact: RulePaths,
    /// The accounts, in the order of the file.
    pub accounts: Vec<Account>,
    /// Where each setting comes from.
    pub origins: Origins,
}

/// The connections to the database.
#[derive(Debug, Clone)]
pub struct Database {
    /// Connection URL; may hold a password.
    pub url: SecretString,
    /// Maximum number of connections of this process.
    pub max_connections: u32,
    /// Whether statements are prepared by name; false behind a pooler in transaction mode that does not
    /// support it.
    pub prepared_statements: bool,
    /// Connection URL that bypasses a pooler, for migrations; may hold a password.
    pub direct_url: Option<SecretString>,
}

/// Health, metrics and the status page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Address to listen on; `None` for `"off"`.
    pub listen: Option<SocketAddr>,
}

/// The engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Time without a heartbeat after which another process takes a lease over.
    pub lease_ttl: Duration,
    /// Memory for the pages being processed, of all accounts together, in MiB.
    pub page_memory_mib: u32,
}

/// How long data is kept; `None`: without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Windows of the ledger, since they got their outcome; older ones are folded into totals.
    pub windows: Option<Duration>,
    /// Versions of transactions, since they were replaced.
    pub history: Option<Duration>,
    /// Items in quarantine, since they were last seen.
    pub quarantine: Option<Duration>,
    /// Payloads, since their transaction last changed.
    pub raw: Option<Duration>,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Format of a line; `None` for text on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
    /// Filter, in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub filter: String,
}

impl Config {
    /// Reads all layers. The file `path` must exist; without it, the default path is read if it exists.
    ///
    /// [`Account::provider`] checks an account against its provider.
    pub fn load(
        path: Option<&Path>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let default = Some(Path::new(DEFAULT_PATH)).filter(|path| path.exists());
        let file = path.or(default);
        let text = file.map(read).transpose()?.unwrap_or_default();
        Self::of(file, &text, environment)
    }

    /// Reads all layers, with `text` in place of the file.
    pub fn of_text(
        text: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        Self::of(None, text, environment)
    }

    /// The sections other than the accounts in which another configuration differs.
    pub fn sections_that_differ(&self, other: &Self) -> Vec<&'static str> {
        let secret = |url: &SecretString| url.expose_secret().to_owned();
        let database = |config: &Self| {
            let it = &config.database;
            let urls = (secret(&it.url), it.direct_url.as_ref().map(secret));
            (urls, it.prepared_statements, it.max_connections)
        };
        let mut sections = vec![
            ("database", database(self) != database(other)),
            ("http", self.http != other.http),
            ("engine", self.engine != other.engine),
            ("retention", self.retention != other.retention),
            ("log", self.log != other.log),
        ];
        sections.retain(|(_, differs)| *differs);
        sections.into_iter().map(|(section, _)| section).collect()
    }

    fn of(
        file: Option<&Path>,
        text: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let overrides = environment::overrides(environment)?;
        let syntax_error = |error| error::syntax_error(file, &error);
        let written = ::config::Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .build()
            .map_err(syntax_error)?;
        let mut layers = ::config::Config::builder()
            .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
            .add_source(written.clone());
        for (key, (_, value)) in &overrides {
            let layered = layers.set_override(key, value.as_str());
            layers = layered.map_err(|error| ConfigError(format!("{key}: {error}")))?;
        }
        let merged = layers.build().map_err(syntax_error)?;
        let variables = overrides.into_iter().map(|(key, (name, _))| (key, name));
        let context = Context {
            file,
            environment,
            variables: variables.collect(),
        };
        let origins = Origins::new(file, &written.cache, &context.variables);
        Self::read(Table::root(&context, merged.cache)?, origins)
    }

    fn read(mut root: Table<'_>, origins: Origins) -> Result<Self, ConfigError> {
        let database = root.section("database", |table| {
            Ok(Database {
                url: table.required(
                    "url",
                    ": set it in config/paysync.toml, in the file of --config, or in the environment as DATABASE_URL",
                    value::database_url,
                )?,
                max_connections: table.required("max_connections", "", value::positive)?,
                prepared_statements: table.required("prepared_statements", "", value::boolean)?,
                direct_url: table.optional("direct_url", value::database_url)?,
            })
        })?;
        if !database.prepared_statements && database.direct_url.is_none() {
            return Err(ConfigError(
                "database.direct_url: required with prepared_statements = false, because migrations need a session \
                 of their own"
                    .to_owned(),
            ));
        }
        let http = root.section("http", |table| {
            let listen = table.required("listen", "", value::listen)?;
            Ok(Http { listen })
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

#[cfg(test)]
mod tests;
