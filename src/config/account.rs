//! Accounts: each is one set of credentials and settings at a provider.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use paysync_provider::redact::RulePaths;
use paysync_provider::{Credential, Provider, Settings, Spec, Tier};
use url::{Host, Url};

use super::error::ConfigError;
use super::redact;
use super::table::Table;
use super::value::{self, CaFile};

/// Maximum number of concurrent requests.
const MAX_CONCURRENCY: u32 = 16;

/// One set of credentials and settings at a provider. For a setting that is `None`, the provider's
/// [`Spec`] has the default.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// A slug, unique: the `account_id` of every row.
    pub id: String,
    /// The provider's code.
    pub provider: String,
    /// The provider's paths are appended to it: https, or http where allowed; without credentials, query
    /// and fragment.
    pub base_url: Url,
    /// The first instant wanted, in whole microseconds.
    pub start_from: DateTime<Utc>,
    /// The secrets, by the provider's names for them.
    pub credentials: Credential,
    /// Time zone of times without a zone, and of the reporting day.
    pub time_zone: Tz,
    /// Time between two polls for new transactions.
    pub poll_interval: Duration,
    /// Time until new rows are visible.
    pub lag: Option<Duration>,
    /// How much of the covered range each poll reads again.
    pub overlap: Option<Duration>,
    /// The longest window requested.
    pub max_window: Option<Duration>,
    /// Time limit of one request.
    pub timeout: Option<Duration>,
    /// Items requested per page.
    pub page_size: Option<u32>,
    /// Concurrent requests, 1 to 16.
    pub concurrency: u32,
    /// Maximum number of requests in any 60 s.
    pub requests_per_minute: Option<u32>,
    /// When old windows are read again; never if empty.
    pub rescan: Option<Vec<Tier>>,
    /// When non-final rows are requested by id, where the API supports it; never if empty.
    pub repoll: Option<Vec<Tier>>,
    /// When the provider's count is compared, where the API supports it; never if empty.
    pub audit: Option<Vec<Tier>>,
    /// Whether plain http to other machines is allowed.
    pub allow_http: bool,
    /// Redaction rules of its items: those for all accounts and its own.
    pub redact: RulePaths,
    /// Authorities that are trusted in addition to those of the system.
    pub ca_file: Option<CaFile>,
    /// The provider's own options, an object.
    pub options: serde_json::Value,
}

impl Account {
    /// Builds the provider and checks the account's settings against it.
    pub fn provider(&self) -> Result<Box<dyn Provider>, ConfigError> {
        let settings = Settings {
            time_zone: self.time_zone,
            options: self.options.clone(),
        };
        let provider = paysync_provider::build(&self.provider, &settings)
            .map_err(|error| self.error(&error.to_string()))?;
        self.check(&provider.spec())?;
        Ok(provider)
    }

    /// Checks credentials, page size and redaction rules against what a provider declares.
    pub fn check(&self, spec: &Spec) -> Result<(), ConfigError> {
        let code = spec.code;
        let takes = || spec.credentials.iter().chain(spec.optional_credentials);
        let is_unknown = |key: &&str| !takes().any(|known| known == key);
        if let Some(key) = self.credentials.keys().find(is_unknown) {
            let known = takes().copied().collect::<Vec<_>>().join(", ");
            let problem = format!("credentials.{key}: unknown key, {code} takes {known}");
            return Err(self.error(&problem));
        }
        let is_missing = |key: &&&str| self.credentials.get(key).is_none();
        if let Some(key) = spec.credentials.iter().find(is_missing) {
            let needed = spec.credentials.join(" and ");
            let problem = format!("credentials.{key} is missing ({code} needs {needed})");
            return Err(self.error(&problem));
        }
        if let Some(size) = self.page_size.filter(|size| *size > spec.max_page_size) {
            return Err(self.error(&format!(
                "page_size: {size} is more than {code} allows, expected 1 to {}",
                spec.max_page_size
            )));
        }
        if let Some((action, path)) = self.redact.rule_for(spec.id_key) {
            return Err(self.error(&format!(
                "redact.{action}: {path:?} removes {}, the id of {code}'s rows",
                spec.id_key
            )));
        }
        Ok(())
    }

    fn error(&self, problem: &str) -> ConfigError {
        ConfigError(format!("account {}: {problem}", self.id))
    }
}

/// Reads the list of accounts.
pub(super) fn read_all(
    root: &mut Table<'_>,
    redact: &RulePaths,
) -> Result<Vec<Account>, ConfigError> {
    let mut ids = BTreeSet::new();
    let accounts = root.sections("accounts", |table| {
        let id = table.required("id", "", value::slug)?;
        if !ids.insert(id.clone()) {
            return Err(table.error("id", format!("{id:?} is also the id of another account")));
        }
        table.set_prefix(format!("account {id}: "));
        read(table, id, redact)
    })?;
    Ok(accounts.unwrap_or_default())
}

fn read(table: &mut Table<'_>, id: String, redact: &RulePaths) -> Result<Account, ConfigError> {
    let account = Account {
        id,
        provider: table.required("provider", "", value::text)?,
        base_url: table.required("base_url", "", value::base_url)?,
        start_from: table.required(
            "start_from",
            ": set the first instant wanted, like \"2024-01-01T00:00:00Z\"",
            value::instant,
        )?,
        credentials: Credential::new(
            table.section("credentials", |keys| keys.rest(value::secret))?,
        ),
        time_zone: table.or("time_zone", value::time_zone, Tz::UTC)?,
        poll_interval: table.or("poll_interval", value::interval, Duration::from_mins(1))?,
        lag: table.optional("lag", value::duration)?,
        overlap: table.optional("overlap", value::duration)?,
        max_window: table.optional("max_window", value::interval)?,
        timeout: table.optional("timeout", value::interval)?,
        page_size: table.optional("page_size", value::positive)?,
        concurrency: table.or("concurrency", value::positive, 2)?,
        requests_per_minute: table.optional("requests_per_minute", value::positive)?,
        rescan: table.sections("rescan", read_tier)?,
        repoll: table.sections("repoll", read_tier)?,
        audit: table.sections("audit", read_tier)?,
        allow_http: table.or("allow_http", value::boolean, false)?,
        redact: table.section("redact", |own| redact::read_more(redact, own))?,
        ca_file: table.optional("ca_file", value::ca_file)?,
        options: table.or("options", value::options, serde_json::json!({}))?,
    };
    if account.concurrency > MAX_CONCURRENCY {
        let problem = format!("expected a number from 1 to {MAX_CONCURRENCY}");
        return Err(table.error("concurrency", problem));
    }
    let url = &account.base_url;
    if url.scheme() == "http" && !account.allow_http && !is_loopback(url) {
        let problem = "plain http sends secrets unencrypted: use https, or set allow_http = true";
        return Err(table.error("base_url", problem));
    }
    Ok(account)
}

fn read_tier(table: &mut Table<'_>) -> Result<Tier, ConfigError> {
    let mut span = |key| {
        let span = table.required(key, "", value::interval)?;
        TimeDelta::from_std(span).map_err(|error| table.error(key, error))
    };
    Ok(Tier {
        within: span("within")?,
        every: span("every")?,
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
