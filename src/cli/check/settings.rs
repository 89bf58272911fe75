//! `paysync check --print-config`: the effective settings, each with its origin.
//!
//! A secret shows as its reference, never as its value or length.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use paysync_provider::wire::one_line;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::interface::output;
use crate::config::{self, Config, Origin};
use crate::engine::Account;
use crate::engine::account::Stream;
use crate::plan::{Lane, Recheck};
use crate::telemetry::LogFormat;

/// Placeholder of a secret that is not a reference.
const SECRET: &str = "***";

/// An effective setting.
#[derive(Debug, Serialize)]
struct Setting {
    key: String,
    value: Value,
    #[serde(flatten)]
    origin: Origin,
}

/// Prints the settings of the program and of these accounts.
pub(crate) fn print(
    config: &Config,
    accounts: &[Arc<Account>],
    as_json: bool,
) -> anyhow::Result<()> {
    let mut settings = program(config);
    for (place, account) in config.accounts.iter().enumerate() {
        if let Some(running) = accounts.iter().find(|it| it.id == account.id) {
            settings.extend(of_account(config, place, account, running));
        }
    }
    if as_json {
        return output::json(&json!({ "settings": settings }));
    }
    for setting in settings {
        let origin = match &setting.origin {
            Origin::Default => "default".to_owned(),
            Origin::Provider => "default of the provider".to_owned(),
            Origin::File(path) => format!("file {}", path.display()),
            Origin::Environment(name) => format!("environment {name}"),
        };
        let line = format!("{} = {}", setting.key, setting.value);
        output::line(format!("{}  # {}", one_line(&line), one_line(&origin)));
    }
    Ok(())
}

fn program(config: &Config) -> Vec<Setting> {
    let (database, engine) = (&config.database, &config.engine);
    let (retention, log, redact) = (&config.retention, &config.log, &config.redact);
    let direct_url = database.direct_url.as_ref();
    let salt = redact.salt.as_ref();
    let listen = config.http.listen;
    let listen = listen.map_or("off".to_owned(), |at| at.to_string());
    let direct_url = direct_url.map(|_| secret(config, "database.direct_url"));
    let salt = salt.map(|_| secret(config, "redact.salt"));
    let prepared = database.prepared_statements;
    let settings = [
        ("database.url", secret(config, "database.url")),
        ("database.max_connections", json!(database.max_connections)),
        ("database.prepared_statements", json!(prepared)),
        ("database.direct_url", json!(direct_url)),
        ("http.listen", json!(listen)),
        ("engine.lease_ttl", duration(engine.lease_ttl)),
        ("engine.page_memory_mib", json!(engine.page_memory_mib)),
        ("retention.windows", kept(retention.windows)),
        ("retention.history", kept(retention.history)),
        ("retention.quarantine", kept(retention.quarantine)),
        ("raw.retention", kept(retention.raw)),
        ("log.format", json!(log.format.map(LogFormat::as_str))),
        ("log.filter", json!(log.filter)),
        ("redact.mask", json!(redact.mask)),
        ("redact.hash", json!(redact.hash)),
        ("redact.drop", json!(redact.drop)),
        ("redact.salt", json!(salt)),
    ];
    let setting = |(key, value): (&str, Value)| Setting {
        key: key.to_owned(),
        value,
        origin: config.origins.of(key).unwrap_or(Origin::Default),
    };
    settings.map(setting).into()
}

fn of_account(
    config: &Config,
    place: usize,
    account: &config::Account,
    running: &Account,
) -> Vec<Setting> {
    let prefix = format!("accounts[{place}].");
    let origin = |key: &str| config.origins.of(&format!("{prefix}{key}"));
    let setting = |key: &str, value: Value, default: Origin| Setting {
        key: format!("account {}: {key}", account.id),
        value,
        origin: origin(key).unwrap_or(default),
    };
    let fixed = |(key, value): (&str, Value)| setting(key, value, Origin::Default);
    let mut settings = vec![
        fixed(("provider", json!(account.provider))),
        fixed(("base_url", json!(account.base_url.as_str()))),
        fixed(("start_from", json!(output::instant(account.start_from)))),
    ];
    settings.extend(account.credentials.keys().map(|key| {
        let key = format!("credentials.{key}");
        fixed((&key, secret(config, &format!("{prefix}{key}"))))
    }));
    settings.extend(account.redact.lists().map(|(action, paths)| {
        let key = format!("redact.{action}");
        let for_all = config.origins.of(&key).unwrap_or(Origin::Default);
        setting(&key, json!(paths), for_all)
    }));
    let ca_file = account.ca_file.as_ref().map(|file| &file.path);
    let with_default = [
        ("time_zone", json!(account.time_zone.name())),
        ("poll_interval", duration(account.poll_interval)),
        ("concurrency", json!(account.concurrency)),
        ("allow_http", json!(account.allow_http)),
        ("ca_file", json!(ca_file)),
        ("options", account.options.clone()),
    ];
    settings.extend(with_default.map(fixed));
    let spec = &running.spec;
    let requests = account.requests_per_minute;
    let requests = requests.unwrap_or(spec.requests_per_minute);
    let timeout = account.timeout.unwrap_or(spec.timeout);
    let streams = |value: fn(&Stream) -> Value| per_stream(running, value);
    let max_window = streams(|stream| span(stream.policy.max_window));
    let by_provider = [
        ("page_size", json!(running.page_size)),
        ("requests_per_minute", json!(requests)),
        ("timeout", duration(timeout)),
        ("lag", streams(|stream| span(stream.policy.lag))),
        ("overlap", streams(|stream| span(stream.policy.overlap))),
        ("max_window", max_window),
        ("rescan", streams(|stream| tiers(stream, Lane::Rescan))),
        ("repoll", streams(|stream| tiers(stream, Lane::Repoll))),
        ("audit", streams(|stream| tiers(stream, Lane::Audit))),
    ];
    settings.extend(by_provider.map(|(key, value)| setting(key, value, Origin::Provider)));
    settings
}

/// The value that all streams share, or the value of each stream.
fn per_stream(account: &Account, value: fn(&Stream) -> Value) -> Value {
    let streams = account.streams.iter();
    let values = streams.map(|stream| (stream.spec.name.as_str(), value(stream)));
    let values: BTreeMap<&str, Value> = values.collect();
    let mut distinct: Vec<&Value> = values.values().collect();
    distinct.dedup();
    match distinct.as_slice() {
        [one] => (*one).clone(),
        _ => json!(values),
    }
}

fn tiers(stream: &Stream, lane: Lane) -> Value {
    let tier = |recheck: &Recheck| json!({ "within": span(recheck.tier.within), "every": span(recheck.tier.every) });
    let again = stream.policy.rechecks.iter();
    again.filter(|again| again.lane == lane).map(tier).collect()
}

fn secret(config: &Config, key: &str) -> Value {
    let reference = config.origins.reference(key);
    reference.map_or_else(|| SECRET.into(), |reference| json!(reference))
}

fn kept(age: Option<Duration>) -> Value {
    age.map_or("forever".into(), duration)
}

/// A duration in the syntax of the file. The largest unit is the day: 35 days are not a month and a bit.
fn duration(duration: Duration) -> Value {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(duration.subsec_nanos()), "ns"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts = parts.map(|(count, unit)| format!("{count}{unit}"));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() {
        return "0s".into();
    }
    parts.join(" ").into()
}

fn span(span: TimeDelta) -> Value {
    duration(span.to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["35d", "1d 2h 3m 4s", "90d", "1s 500000000ns", "0s"] {
            let read = humantime::parse_duration(text).unwrap();
            assert_eq!(duration(read), text);
        }
    }
}
