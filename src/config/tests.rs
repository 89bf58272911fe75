use std::path::PathBuf;

use chrono::TimeDelta;
use secrecy::ExposeSecret;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::provider::{Auth, Redaction, Spec, Tier};

const EXAMPLE: &str = include_str!("../../config/example.toml");

const DATABASE: &str = "database.url = \"postgres://localhost/paysync\"\n";

/// An account with no more than it needs, and what `more` adds.
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

/// What is said, without the name of the file.
fn complaint(text: &str) -> String {
    let (_folder, path) = written(&format!("{DATABASE}{text}"));
    let error = Config::load(Some(&path), &BTreeMap::new())
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\n'), "{error}");
    let file = format!("{}: ", path.display());
    error.strip_prefix(&file).expect(&error).to_owned()
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
    let expected = "expected a duration, like \"30d\" or \"2y\", or \"forever\"";
    for (wrong, said) in [
        ("30", format!("retention.windows: {expected}")),
        (
            "\"0s\"",
            format!("retention.windows: \"0s\" keeps nothing, {expected}"),
        ),
        (
            "\"for ever\"",
            format!("retention.windows: \"for ever\" is no duration, {expected}"),
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
fn problems_of_the_environment_name_the_variable() {
    for (name, value, said) in [
        (
            "PAYSYNC__HTTP__LISTEN",
            "8080",
            "PAYSYNC__HTTP__LISTEN: \"8080\" is no address",
        ),
        (
            "PAYSYNC__ENGINE__LEASE_TTL",
            "30",
            "PAYSYNC__ENGINE__LEASE_TTL: \"30\" is no duration",
        ),
        (
            "PAYSYNC__DATABASE__PORT",
            "1",
            "PAYSYNC__DATABASE__PORT: no such setting, expected one of PAYSYNC__DATABASE__URL,",
        ),
        (
            "PAYSYNC__ACCOUNTS__0__ID",
            "a",
            "PAYSYNC__ACCOUNTS__0__ID: accounts are set in the file",
        ),
    ] {
        let error = load_with(DATABASE, [(name, value)])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn a_named_file_must_exist() {
    let error = Config::load(Some(Path::new("no/such.toml")), &BTreeMap::new()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no/such.toml: cannot be read: ")
    );
    let config = Config::of_text("", &environment([("DATABASE_URL", "postgres://x")]));
    assert!(config.is_ok());
}

#[test]
fn the_database_must_be_named() {
    let error = load_with("", []).unwrap_err().to_string();
    assert!(error.ends_with(
        "database.url is missing, set it in config/paysync.toml, in the file of --config, or in the environment as DATABASE_URL"
    ));
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
    fs::write(folder.path().join("near.txt"), "two\nlines\r\n").unwrap();
    let config = Config::load(Some(&path), &environment([("A_TOKEN", "from env")])).unwrap();
    let account = &config.accounts[0];
    let part = |key| account.credentials.get(key).unwrap().expose_secret();
    assert_eq!(
        (part("plain"), part("number"), part("var"), part("near")),
        ("p", "77", "from env", "two\nlines")
    );
    assert_eq!(
        account.credentials.keys().collect::<Vec<_>>(),
        ["near", "number", "plain", "var"]
    );
    assert!(!format!("{config:?}").contains("from env"));

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

#[test]
fn secrets_that_cannot_be_had_are_named() {
    let with = |secret: &str| complaint(&account("a", "").replace("\"t0p\"", secret));
    let at = "account a: credentials.token: ";
    assert_eq!(
        with("{ env = \"NOT_SET\" }"),
        format!("{at}the environment variable NOT_SET is not set")
    );
    let missing = with("{ file = \"missing.txt\" }");
    assert!(
        missing.starts_with(&format!("{at}the file "))
            && missing.contains("missing.txt cannot be read: "),
        "{missing}"
    );
    for wrong in [
        "{ envs = \"X\" }",
        "{ env = \"X\", file = \"Y\" }",
        "{ env = 1 }",
        "[\"s3cret\"]",
        "true",
        "1.5",
        "{}",
    ] {
        assert_eq!(
            with(wrong),
            format!("{at}expected text, {{ env = \"NAME\" }} or {{ file = \"path\" }}"),
            "{wrong}"
        );
    }
    assert_eq!(with("\"\""), format!("{at}is empty"));
}

#[test]
fn unknown_keys_are_named_with_their_place() {
    for (text, said) in [
        (
            "[databases]\n",
            "databases: unknown key, expected one of database, http, engine, retention, log, accounts",
        ),
        (
            "[http]\nlisten_on = 1\n",
            "http.listen_on: unknown key, expected one of listen",
        ),
        (
            &account("acme", "pol = 1"),
            "account acme: pol: unknown key, expected one of id, provider, base_url,",
        ),
        (
            &account("acme", "Concurrency = 1"),
            "account acme: Concurrency: unknown key",
        ),
        (
            &account(
                "acme",
                "rescan = [{ within = \"1d\", every = \"1h\", at = 1 }]",
            ),
            "account acme: rescan[0]: at: unknown key",
        ),
    ] {
        let said_so = complaint(text);
        assert!(said_so.starts_with(said), "{said_so}");
    }
}

#[test]
fn wrong_values_are_named_with_what_would_be_right() {
    let duration = "write it like \"60s\", \"10m\" or \"3d\"";
    for (more, said) in [
        (
            "poll_interval = \"60 parsecs\"",
            format!("account a: poll_interval: \"60 parsecs\" is no duration, {duration}"),
        ),
        (
            "timeout = \"60\"",
            format!("account a: timeout: \"60\" is no duration, {duration}"),
        ),
        (
            "lag = 60",
            "account a: lag: expected a duration, like \"60s\", \"10m\" or \"3d\"".to_owned(),
        ),
        (
            "max_window = \"0s\"",
            "account a: max_window: too short".to_owned(),
        ),
        (
            "overlap = \"900years\"",
            "account a: overlap: \"900years\" is too long".to_owned(),
        ),
        (
            "time_zone = \"Riga\"",
            "account a: time_zone: \"Riga\" is no IANA time zone, like \"UTC\"".to_owned(),
        ),
        (
            "concurrency = 17",
            "account a: concurrency: expected a number from 1 to 16".to_owned(),
        ),
        (
            "concurrency = 0",
            "account a: concurrency: expected a number from 1".to_owned(),
        ),
        (
            "requests_per_minute = 0",
            "account a: requests_per_minute: expected a number from 1".to_owned(),
        ),
        (
            "page_size = -1",
            "account a: page_size: expected a whole number".to_owned(),
        ),
        (
            "rescan = [{ within = \"3d\" }]",
            "account a: rescan[0]: every is missing".to_owned(),
        ),
        (
            "rescan = \"1d\"",
            "account a: rescan: expected a list of tables".to_owned(),
        ),
        (
            "allow_http = 7.5",
            "account a: allow_http: expected true or false".to_owned(),
        ),
        (
            "options = [1]",
            "account a: options: expected a table".to_owned(),
        ),
    ] {
        let said_so = complaint(&account("a", more));
        assert!(said_so.starts_with(&said), "{said_so}");
    }
    for (text, said) in [
        ("accounts = 3", "accounts: expected a list of tables"),
        ("accounts = [3]", "accounts[0]: expected a table"),
        ("http = 3", "http: expected a table"),
        ("\"a\\nb\" = 1", "a\\nb: unknown key"),
        ("[[accounts]]", "accounts[0]: id is missing"),
        (
            "[[accounts]]\nid = \"Acme\"",
            "accounts[0]: id: \"Acme\" is no id",
        ),
        (
            "[log]\nformat = \"xml\"",
            "log.format: \"xml\" is no format, expected \"json\" or \"text\"",
        ),
        (
            "[log]\nfilter = \"a=b=c\"",
            "log.filter: \"a=b=c\" is not a log filter",
        ),
        (
            "[http]\nlisten = \"localhost\"",
            "http.listen: \"localhost\" is no address and port",
        ),
    ] {
        let said_so = complaint(text);
        assert!(said_so.starts_with(said), "{said_so}");
    }
    let two = format!("{}{}", account("a", ""), account("a", ""));
    assert_eq!(
        complaint(&two),
        "accounts[1]: id: \"a\" is the id of another account too"
    );
    let day = account("a", "").replace("T00:00:00Z", "");
    assert_eq!(
        complaint(&day),
        "account a: start_from: \"2024-01-01\" is no instant, write date, time and zone like \"2024-01-01T00:00:00Z\""
    );
}

#[test]
fn base_urls_are_safe() {
    let with = |url: &str, more: &str| account("a", more).replace("https://api.example.com", url);
    for url in [
        "https://x.example/v1",
        "http://localhost:81",
        "http://127.0.0.9",
        "http://[::1]:8080/x",
        "http://a.localhost",
    ] {
        assert_eq!(load(&with(url, "")).accounts.len(), 1, "{url}");
    }
    for (url, said) in [
        ("http://10.0.0.1", "plain http shows secrets"),
        ("http://localhost.example", "plain http shows secrets"),
        ("http://127.0.0.1.example", "plain http shows secrets"),
        (
            "https://user:s3cret@x.example",
            "holds a user name or password",
        ),
        ("https://x.example/?a=b", "must end with its path"),
        ("https://x.example/#a", "must end with its path"),
        ("ftp://x.example", "expected an https URL"),
        ("x.example", "not a URL"),
    ] {
        let said_so = complaint(&with(url, ""));
        assert!(
            said_so.starts_with(&format!("account a: base_url: {said}")),
            "{said_so}"
        );
        assert!(!said_so.contains("s3cret"));
    }
    assert!(only(&with("http://10.0.0.1", "allow_http = true")).allow_http);
}

#[test]
fn syntax_errors_quote_no_lines() {
    for text in [
        "token = s3cret",
        "token = \"s3cret",
        "token = \"s3cret\"\"",
        "a = 's3cret' b",
        "[s3cret",
        "a = \"s3cret\\q\"",
        "a = 99999999999999999999999",
        "a = { env = \"s3cret\"",
        "s3cret",
        "a = 1\na = \"s3cret\"",
    ] {
        let said = complaint(text);
        assert!(!said.contains("s3cret"), "{said}");
        assert!(said.contains("line") || said.contains("number"), "{said}");
    }
}

fn spec() -> Spec {
    Spec {
        code: "convergegate",
        documentation: "",
        streams: Vec::new(),
        auth: Auth::Signed,
        credentials: &["token"],
        optional_credentials: &["sign_token"],
        page_size: 100,
        max_page_size: 1000,
        requests_per_minute: 60,
        timeout: Duration::from_mins(1),
        retry_after_floor: Duration::from_secs(1),
        by_id: None,
        id_key: "id",
        redaction: Redaction::default(),
    }
}

#[test]
fn accounts_are_checked_against_their_provider() {
    let check = |credentials: &str, more: &str| {
        only(&account("acme-eur", more).replace("{ token = \"t0p\" }", credentials)).check(&spec())
    };
    let said = |result: Result<(), ConfigError>| result.unwrap_err().to_string();
    assert_eq!(
        check("{ token = \"x\", sign_token = \"y\" }", "page_size = 1000"),
        Ok(())
    );
    assert_eq!(
        said(check("{ sign_token = \"y\" }", "")),
        "account acme-eur: credentials.token is missing (convergegate needs token)"
    );
    assert_eq!(
        said(check("{ tokn = \"s3cret\" }", "")),
        "account acme-eur: credentials.tokn: unknown key, convergegate takes token, sign_token"
    );
    assert_eq!(
        said(check("{ token = \"x\" }", "page_size = 1001")),
        "account acme-eur: page_size: 1001 is more than convergegate allows, expected 1 to 1000"
    );
    let error = only(&account("acme-eur", "")).provider().err().unwrap();
    assert!(
        error
            .to_string()
            .starts_with("account acme-eur: provider: unknown provider \"nowhere\"")
    );
}

/// `config/default.toml` with the keys that it only shows set as shown.
fn shown() -> String {
    DEFAULTS
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(shown) if !shown.starts_with(' ') => format!("{shown}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn the_default_file_shows_every_key_and_the_true_defaults() {
    let (_folder, path) = written(&shown());
    let config = Config::load(Some(&path), &environment([("ACME_TOKEN", "x")])).unwrap();
    let bare = only(&account("a", ""));
    let full = &config.accounts[0];
    assert_eq!(
        (
            full.time_zone,
            full.poll_interval,
            full.concurrency,
            full.allow_http,
            &full.options
        ),
        (
            bare.time_zone,
            bare.poll_interval,
            bare.concurrency,
            bare.allow_http,
            &bare.options
        )
    );
    assert!(full.lag.is_some() && full.overlap.is_some() && full.max_window.is_some());
    assert!(full.timeout.is_some() && full.page_size.is_some() && full.rescan.is_some());
    assert!(full.requests_per_minute.is_some() && config.log.format.is_some());

    let known = complaint(&account("a", "unknown = 1"));
    let (_, known) = known.split_once("expected one of ").unwrap();
    for key in known.split(", ") {
        assert!(
            shown().contains(&format!("\n{key} = ")),
            "{key} is not in config/default.toml"
        );
    }
    for key in SETTINGS {
        let (_, key) = key.split_once('.').unwrap();
        assert!(
            shown().contains(&format!("\n{key} = ")),
            "{key} is not in config/default.toml"
        );
    }
}

#[test]
fn the_example_loads() {
    let variables = [
        ("PAYSYNC_DATABASE_URL", "postgres://x"),
        ("ACME_PSP_ID", "1"),
        ("ACME_SECRET_KEY", "2"),
        ("ACME_TOKEN", "3"),
    ];
    let config = load_with(EXAMPLE, variables).unwrap();
    let ids: Vec<&str> = config
        .accounts
        .iter()
        .map(|account| account.id.as_str())
        .collect();
    assert_eq!(ids, ["acme-cards", "acme-eur"]);
    for account in &config.accounts {
        let known = crate::provider::PROVIDERS
            .iter()
            .any(|entry| entry.code == account.provider);
        assert!(!known || account.provider().is_ok());
    }
}

const SCHEMA: &str = include_str!("../../config/paysync.schema.json");

fn json_of(toml: &str) -> serde_json::Value {
    let file = File::from_str(toml, FileFormat::Toml);
    let read = ::config::Config::builder().add_source(file);
    read.build().unwrap().try_deserialize().unwrap()
}

#[test]
fn the_schema_in_the_repository_is_fresh() {
    let fresh = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    assert!(
        fresh == SCHEMA,
        "run: paysync check --print-schema > config/paysync.schema.json"
    );
}

/// The keys of each table are those that the reader names.
#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema = schema();
    let sections = &schema["properties"];
    for (table, wrong) in [
        ("database", "database.x = 1"),
        ("http", "http.x = 1"),
        ("engine", "engine.x = 1"),
        ("log", "log.x = 1"),
        ("accounts", &account("a", "x = 1")),
        ("", "x = 1"),
    ] {
        let known = complaint(wrong);
        let (_, known) = known.split_once("expected one of ").unwrap();
        let table = match table {
            "" => sections,
            "accounts" => &sections[table]["items"]["properties"],
            _ => &sections[table]["properties"],
        };
        let mut keys: Vec<&str> = table
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut known: Vec<&str> = known.split(", ").collect();
        keys.sort_unstable();
        known.sort_unstable();
        assert_eq!(keys, known);
    }
}

#[test]
fn the_schema_takes_what_is_right_and_refuses_what_is_wrong() {
    let schema = jsonschema::validator_for(&schema()).unwrap();
    let compose = include_str!("../../config/compose.toml");
    let bare = account("a", "").replace("nowhere", "convergegate");
    for right in [DEFAULTS, &shown(), EXAMPLE, compose, &bare] {
        let errors: Vec<String> = schema
            .iter_errors(&json_of(right))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, [""; 0]);
    }
    for (right, wrong) in [
        ("provider = \"convergegate\"", "provider = \"nowhere\""),
        ("id = \"a\"", "id = \"A b\""),
        ("id = \"a\"", "x = 1"),
        ("{ token", "{ secret"),
        ("\"t0p\"", "{ env = \"X\", file = \"x\" }"),
        ("start_from", "concurrency = 17\nstart_from"),
        ("start_from", "lag = 30\nstart_from"),
        ("start_from", "lag = \"soon\"\nstart_from"),
        ("start_from", "rescan = [{ within = \"1d\" }]\nstart_from"),
        ("[[accounts]]", "log.format = \"xml\"\n[[accounts]]"),
    ] {
        assert!(bare.contains(right), "{right}");
        let text = bare.replace(right, wrong);
        assert!(!schema.is_valid(&json_of(&text)), "{text}");
    }
}

#[test]
fn where_settings_come_from_is_known() {
    let text = "[database]\nurl = { env = \"URL\" }\nmax_connections = 3\n".to_owned()
        + &account("a", "lag = \"1s\"").replace("\"t0p\"", "{ env = \"TOKEN\" }");
    let (_folder, path) = written(&text);
    let mut variables = environment([
        ("URL", "postgres://x"),
        ("TOKEN", "t"),
        ("PAYSYNC__LOG__FILTER", "debug"),
    ]);
    let origins = Config::load(Some(&path), &variables).unwrap().origins;
    let file = || Some(Origin::File(path.clone()));
    assert_eq!(origins.of("database.max_connections"), file());
    assert_eq!(origins.of("accounts[0].lag"), file());
    assert_eq!(origins.of("accounts[0].overlap"), None);
    assert_eq!(origins.of("http.listen"), None);
    let filter = Some(Origin::Environment("PAYSYNC__LOG__FILTER".to_owned()));
    assert_eq!(origins.of("log.filter"), filter);
    for (key, name) in [
        ("database.url", "URL"),
        ("accounts[0].credentials.token", "TOKEN"),
    ] {
        assert_eq!(origins.reference(key).unwrap()["env"], name);
    }
    // What the file refers to is not what counts any more.
    variables.insert("DATABASE_URL".to_owned(), "postgres://y".to_owned());
    let origins = Config::load(Some(&path), &variables).unwrap().origins;
    assert_eq!(origins.reference("database.url"), None);
}
