//! `paysync check --print-config`: the settings in force, each with where it comes from.
//!
//! Of a secret only the reference is shown, never the value, nor how long it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::{Value, json};

use super::output;
use crate::config::{self, Config, Origin};
use crate::engine::Account;
use crate::engine::account::Stream;
use crate::plan::{Lane, Recheck};
use paysync_provider::wire::one_line;

/// What stands in the place of a secret.
const SECRET: &str = "***";

/// A setting in force.
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
        if let Some(at_work) = accounts.iter().find(|it| it.id == account.id) {
            settings.extend(of_account(config, place, account, at_work));
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
    let setting = |key: &str, value: Value| Setting {
        key: key.to_owned(),
        value,
        origin: config.origins.of(key).unwrap_or(Origin::Default),
    };
    let listen = config.http.listen;
    let format = config.log.format;
    vec![
        setting("database.url", secret(config, "database.url")),
        setting(
            "database.max_connections",
            config.database.max_connections.into(),
        ),
        setting(
            "database.prepared_statements",
            config.database.prepared_statements.into(),
        ),
        setting(
            "database.direct_url",
            match config.database.direct_url {
                Some(_) => secret(config, "database.direct_url"),
                None => Value::Null,
            },
        ),
        setting(
            "http.listen",
            listen.map_or("off".into(), |at| at.to_string().into()),
        ),
        setting("engine.lease_ttl", length(config.engine.lease_ttl)),
        setting(
            "engine.page_memory_mib",
            config.engine.page_memory_mib.into(),
        ),
        setting("retention.windows", kept(config.retention.windows)),
        setting("retention.history", kept(config.retention.history)),
        setting("retention.quarantine", kept(config.retention.quarantine)),
        setting("raw.retention", kept(config.retention.raw)),
        setting(
            "log.format",
            format.map_or(Value::Null, |format| format.as_str().into()),
        ),
        setting("log.filter", config.log.filter.as_str().into()),
        setting("redact.mask", json!(config.redact.mask)),
        setting("redact.hash", json!(config.redact.hash)),
        setting("redact.drop", json!(config.redact.drop)),
        setting(
            "redact.salt",
            match config.redact.salt {
                Some(_) => secret(config, "redact.salt"),
                None => Value::Null,
            },
        ),
    ]
}

fn of_account(
    config: &Config,
    place: usize,
    account: &config::Account,
    at_work: &Account,
) -> Vec<Setting> {
    let written = format!("accounts[{place}].");
    let from = |key: &str, value: Value, default: Origin| Setting {
        key: format!("account {}: {key}", account.id),
        value,
        origin: config
            .origins
            .of(&format!("{written}{key}"))
            .unwrap_or(default),
    };
    let own = |key: &str, value: Value| from(key, value, Origin::Default);
    let fit = |key: &str, value: Value| from(key, value, Origin::Provider);
    let streams = |value: fn(&Stream) -> Value| per_stream(at_work, value);
    let mut settings = vec![
        own("provider", account.provider.as_str().into()),
        own("base_url", account.base_url.as_str().into()),
        own("start_from", output::instant(account.start_from).into()),
    ];
    settings.extend(account.credentials.keys().map(|key| {
        let key = format!("credentials.{key}");
        own(&key, secret(config, &format!("{written}{key}")))
    }));
    settings.extend(account.redact.lists().map(|(action, paths)| {
        let key = format!("redact.{action}");
        let for_all = config.origins.of(&key).unwrap_or(Origin::Default);
        from(&key, json!(paths), for_all)
    }));
    settings.extend([
        own("time_zone", account.time_zone.name().into()),
        own("poll_interval", length(account.poll_interval)),
        own("concurrency", account.concurrency.into()),
        own("allow_http", account.allow_http.into()),
        own(
            "ca_file",
            account
                .ca_file
                .as_ref()
                .map_or(Value::Null, |file| file.path.as_str().into()),
        ),
        own("options", account.options.clone()),
        fit("page_size", at_work.page_size.into()),
        fit(
            "requests_per_minute",
            account
                .requests_per_minute
                .unwrap_or(at_work.spec.requests_per_minute)
                .into(),
        ),
        fit(
            "timeout",
            length(account.timeout.unwrap_or(at_work.spec.timeout)),
        ),
        fit("lag", streams(|stream| span(stream.policy.lag))),
        fit("overlap", streams(|stream| span(stream.policy.overlap))),
        fit(
            "max_window",
            streams(|stream| span(stream.policy.max_window)),
        ),
        fit("rescan", streams(|stream| tiers(stream, Lane::Rescan))),
        fit("repoll", streams(|stream| tiers(stream, Lane::Repoll))),
        fit("audit", streams(|stream| tiers(stream, Lane::Audit))),
    ]);
    settings
}

/// The value of all streams, or of each where they differ.
fn per_stream(account: &Account, value: fn(&Stream) -> Value) -> Value {
    let values: BTreeMap<&str, Value> = account
        .streams
        .iter()
        .map(|stream| (stream.spec.name.as_str(), value(stream)))
        .collect();
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

/// How long something is kept.
fn kept(age: Option<Duration>) -> Value {
    age.map_or("forever".into(), length)
}

/// As it can be written in the file, in days at most: nobody thinks of 35 days as a month and a bit.
fn length(duration: Duration) -> Value {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(duration.subsec_nanos()), "ns"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() {
        return "0s".into();
    }
    parts.join(" ").into()
}

fn span(span: TimeDelta) -> Value {
    length(span.to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_they_are_read() {
        for text in ["35d", "1d 2h 3m 4s", "90d", "1s 500000000ns", "0s"] {
            let read = humantime::parse_duration(text).unwrap();
            assert_eq!(length(read), text);
        }
    }
}
