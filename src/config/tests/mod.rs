mod files;
mod problems;
mod redact;

use std::path::PathBuf;

use chrono::TimeDelta;
use paysync_provider::{Auth, Redaction, Spec, Tier};
use secrecy::ExposeSecret;
use serde_json::json;
use tempfile::TempDir;

use super::*;

const EXAMPLE: &str = include_str!("../../../config/example.toml");

const DATABASE: &str = "database.url = \"postgres://localhost/paysync\"\n";

/// The shortest account, and `more`.
fn account(id: &str, more: &str) -> String {
    format!(
        "[[accounts]]\nid = \"{id}\"\nprovider = \"nowhere\"\nbase_url = \"https://api.example.com\"\n\
         start_from = \"2024-01-01T00:00:00Z\"\ncredentials = {{ token = \"t0p\" }}\n{more}\n"
    )
}

fn environment<const N: usize>(variables: [(&str, &str); N]) -> BTreeMap<String, String> {
    variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paysync.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn load_with<const N: usize>(
    text: &str,
    variables: [(&str, &str); N],
) -> Result<Config, ConfigError> {
    let (_folder, path) = written(text);
    Config::load(Some(&path), &environment(variables))
}

fn load(text: &str) -> Config {
    load_with(&format!("{DATABASE}{text}"), []).unwrap()
}

fn only(text: &str) -> Account {
    load(text).accounts.pop().unwrap()
}

/// The error message without the name of the file.
fn complaint(text: &str) -> String {
    let (_folder, path) = written(&format!("{DATABASE}{text}"));
    let error = Config::load(Some(&path), &BTreeMap::new())
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\n'), "{error}");
    let file = format!("{}: ", path.display());
    error.strip_prefix(&file).expect(&error).to_owned()
}

/// Checks the message about each line's TOML, which stands before ` => `. `;` is a line break of the TOML.
fn check_messages(cases: &str, document: impl Fn(&str) -> String) {
    for case in cases.trim().lines() {
        let (toml, expected) = case.trim().split_once(" => ").unwrap();
        let message = complaint(&document(&toml.replace(';', "\n")));
        assert!(message.starts_with(expected), "{toml}: {message}");
        assert!(
            !message.contains("0123456789"),
            "a secret is shown: {message}"
        );
    }
}

#[test]
fn defaults_hold_where_nothing_is_set() {
    let config = load("");
    assert_eq!(config.database.max_connections, 8);
    assert_eq!(config.http.listen, Some("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(config.engine.lease_ttl, Duration::from_secs(30));
    assert_eq!(
        (config.log.format, config.log.filter.as_str()),
        (None, "info")
    );
    let kept = Retention {
        windows: Some(Duration::from_hours(30 * 24)),
        history: None,
        quarantine: None,
        raw: None,
    };
    assert_eq!(config.retention, kept, "by default nothing is lost");
    assert!(config.accounts.is_empty());
}

#[test]
fn how_long_something_is_kept_can_be_said() {
    let text = "[retention]\nwindows = \"forever\"\nhistory = \"1y\"\nquarantine = \"1ms\"\n";
    let kept = load(text).retention;
    assert_eq!(kept.windows, None);
    assert!(kept.history > Some(Duration::from_hours(365 * 24)));
    assert_eq!(kept.quarantine, Some(Duration::from_millis(1)));
    let variables = [("PAYSYNC__RETENTION__WINDOWS", "7d")];
    let config = load_with(&format!("{DATABASE}{text}"), variables).unwrap();
    assert_eq!(config.retention.windows, Some(Duration::from_hours(7 * 24)));
    let kept = load("[raw]\nretention = \"90d\"\n").retention;
    assert_eq!(kept.raw, Some(Duration::from_hours(90 * 24)));
    let expected = "expected a duration, like \"30d\" or \"2y\", or \"forever\"";
    for (wrong, said) in [
        ("30", format!("retention.windows: {expected}")),
        (
            "\"0s\"",
            format!("retention.windows: \"0s\" keeps nothing, {expected}"),
        ),
        (
            "\"for ever\"",
            format!("retention.windows: \"for ever\" is not a duration, {expected}"),
        ),
    ] {
        assert_eq!(
            complaint(&format!("[retention]\nwindows = {wrong}\n")),
            said
        );
    }
}

#[test]
fn the_file_wins_over_defaults_and_the_environment_over_both() {
    let text =
        "[database]\nurl = \"postgres://file\"\nmax_connections = 3\n[log]\nformat = \"text\"\n";
    let url = |config: &Config| config.database.url.expose_secret().to_owned();

    let config = load_with(text, []).unwrap();
    assert_eq!(
        (url(&config).as_str(), config.database.max_connections),
        ("postgres://file", 3)
    );
    assert_eq!(config.log.format, Some(LogFormat::Text));

    let config = load_with(text, [("DATABASE_URL", "postgres://plain")]).unwrap();
    assert_eq!(url(&config), "postgres://plain");

    let variables = [
        ("DATABASE_URL", "postgres://plain"),
        ("PAYSYNC__DATABASE__URL", "postgres://ours"),
        ("PAYSYNC__DATABASE__MAX_CONNECTIONS", "5"),
        ("PAYSYNC__HTTP__LISTEN", "off"),
        ("PAYSYNC__ENGINE__LEASE_TTL", "1m"),
        ("PAYSYNC__LOG__FORMAT", "json"),
        ("PAYSYNC__LOG__FILTER", "paysync=debug"),
        ("PAYSYNC_OTHER", "not ours"),
    ];
    let config = load_with(text, variables).unwrap();
    assert_eq!(
        (url(&config).as_str(), config.database.max_connections),
        ("postgres://ours", 5)
    );
    assert_eq!(config.http.listen, None);
    assert_eq!(config.engine.lease_ttl, Duration::from_mins(1));
    assert_eq!(config.log.format, Some(LogFormat::Json));
    assert_eq!(config.log.filter, "paysync=debug");

    let config = load_with(text, [("DATABASE_URL", ""), ("PAYSYNC__DATABASE__URL", "")]).unwrap();
    assert_eq!(url(&config), "postgres://file");
}

#[test]
fn an_account_needs_little() {
    let account = only(&account("acme-eur", ""));
    assert_eq!(
        (account.id.as_str(), account.provider.as_str()),
        ("acme-eur", "nowhere")
    );
    assert_eq!(account.start_from.to_rfc3339(), "2024-01-01T00:00:00+00:00");
    assert_eq!(
        account.credentials.get("token").unwrap().expose_secret(),
        "t0p"
    );
    assert_eq!(account.time_zone, chrono_tz::UTC);
    assert_eq!(
        (account.poll_interval, account.concurrency),
        (Duration::from_mins(1), 2)
    );
    assert_eq!(
        (account.lag, account.overlap, account.max_window),
        (None, None, None)
    );
    assert_eq!(
        (
            account.timeout,
            account.page_size,
            account.requests_per_minute
        ),
        (None, None, None)
    );
    assert_eq!((account.rescan, account.allow_http), (None, false));
    assert_eq!(account.options, json!({}));
}

#[test]
fn an_account_can_say_more() {
    let more = r#"
        time_zone = "Europe/Riga"
        poll_interval = "1m 30s"
        lag = "0s"
        overlap = "10m"
        max_window = "1d"
        timeout = "2m"
        page_size = 100
        concurrency = 16
        requests_per_minute = 600
        rescan = [{ within = "3d", every = "1h" }]
    "#;
    let account = only(&account("a", more));
    assert_eq!(account.time_zone, chrono_tz::Europe::Riga);
    assert_eq!(account.poll_interval, Duration::from_secs(90));
    assert_eq!(account.lag, Some(Duration::ZERO));
    assert_eq!(account.overlap, Some(Duration::from_mins(10)));
    assert_eq!(account.max_window, Some(Duration::from_hours(24)));
    assert_eq!(account.timeout, Some(Duration::from_mins(2)));
    assert_eq!(
        (account.page_size, account.requests_per_minute),
        (Some(100), Some(600))
    );
    assert_eq!(account.concurrency, 16);
    let tier = Tier {
        within: TimeDelta::days(3),
        every: TimeDelta::hours(1),
    };
    assert_eq!(account.rescan, Some(vec![tier]));
}

#[test]
fn option_keys_survive_as_they_are_written() {
    let inline = r#"options = { created_filter = ["filter[create_at][start]", "filter[create_at][end]"], "a.b" = 1, "x[0]" = true, Upper = { "d.e[1]" = 1.5, "" = [] } }"#;
    let account = only(&account("a", inline));
    assert_eq!(
        account.options,
        json!({
            "created_filter": ["filter[create_at][start]", "filter[create_at][end]"],
            "a.b": 1,
            "x[0]": true,
            "Upper": { "d.e[1]": 1.5, "": [] },
        })
    );
    let account = only(&self::account(
        "a",
        "[accounts.options.filter]\n\"filter[Status]\" = \"Done\"\n\"merchant.id\" = [1, 2]\n",
    ));
    assert_eq!(
        account.options,
        json!({ "filter": { "filter[Status]": "Done", "merchant.id": [1, 2] } })
    );
}

#[test]
fn start_from_may_be_a_date_time_of_toml() {
    let text = account("a", "").replace(
        "\"2024-01-01T00:00:00Z\"",
        "2024-01-01T02:00:00.1234567+02:00",
    );
    assert_eq!(
        only(&text).start_from.to_rfc3339(),
        "2024-01-01T00:00:00.123456+00:00"
    );
}

#[test]
fn secrets_come_from_text_environment_and_files() {
    let credentials =
        r#"{ plain = "p", number = 77, var = { env = "A_TOKEN" }, near = { file = "near.txt" } }"#;
    let text = format!(
        "{DATABASE}{}",
        account("a", "").replace("{ token = \"t0p\" }", credentials)
    );
    let (folder, path) = written(&text);
    fs::write(folder.path().join("near.txt"), "\u{feff}from-file\r\n").unwrap();
    let variables = environment([("A_TOKEN", "\u{feff}from-env\n")]);
    let config = Config::load(Some(&path), &variables).unwrap();
    let account = &config.accounts[0];
    let part = |key| account.credentials.get(key).unwrap().expose_secret();
    assert_eq!(
        (part("plain"), part("number"), part("var"), part("near")),
        ("p", "77", "from-env", "from-file")
    );
    assert_eq!(
        account.credentials.keys().collect::<Vec<_>>(),
        ["near", "number", "plain", "var"]
    );
    assert!(!format!("{config:?}").contains("from-env"));

    let (folder, path) = written("[database]\nurl = { file = \"url\" }\n");
    fs::write(folder.path().join("url"), "postgres://secret\n").unwrap();
    let config = Config::load(Some(&path), &BTreeMap::new()).unwrap();
    assert_eq!(config.database.url.expose_secret(), "postgres://secret");
    let config = Config::load(
        Some(&path),
        &environment([("DATABASE_URL", "postgres://over")]),
    )
    .unwrap();
    assert_eq!(config.database.url.expose_secret(), "postgres://over");
}
