//! The configuration files of the repository: defaults, examples, schema.

use super::*;

/// `config/default.toml` with its commented keys set.
fn uncommented() -> String {
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
    let (folder, path) = written(&uncommented());
    let authority = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(folder.path().join("authority.pem"), authority).unwrap();
    let variables = [("ACME_TOKEN", "x"), ("PAYSYNC_SALT", "0123456789abcdef")];
    let config = Config::load(Some(&path), &environment(variables)).unwrap();
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
    for (action, paths) in config.redact.lists() {
        assert_eq!(paths.len(), 1, "redact.{action}");
    }
    assert!(config.redact.salt.is_some() && full.redact != config.redact);
    assert_eq!(bare.redact, RulePaths::default());
    assert!(full.ca_file.is_some());

    let known = complaint(&account("a", "unknown = 1"));
    let (_, known) = known.split_once("expected one of ").unwrap();
    for key in known.split(", ") {
        assert!(
            uncommented().contains(&format!("\n{key} = ")),
            "{key} is not in config/default.toml"
        );
    }
    for key in environment::KEYS {
        let (_, key) = key.split_once('.').unwrap();
        assert!(
            uncommented().contains(&format!("\n{key} = ")),
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
        assert!(account.provider().is_ok(), "{}", account.id);
    }
}

/// The configurations of compose.production.yml and of Kubernetes, with secrets from a temporary folder.
#[test]
fn the_configurations_for_production_load() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    for name in ["database_url", "acme_token", "acme-token"] {
        std::fs::write(folder.path().join(name), "postgres://x\n").unwrap();
    }
    for (text, place, url) in [
        (PRODUCTION, "/run/secrets", ""),
        (MIGRATE, "/run/secrets", ""),
        (KUBERNETES, "/etc/paysync-accounts", "postgres://x"),
    ] {
        assert!(text.contains(place), "{text}");
        let config = load_with(&text.replace(place, at), [("DATABASE_URL", url)]).unwrap();
        for account in &config.accounts {
            assert!(account.provider().is_ok(), "{}", account.id);
        }
    }
}

const PRODUCTION: &str = include_str!("../../../config/production.toml");
const MIGRATE: &str = include_str!("../../../deploy/compose/migrate.toml");
const KUBERNETES: &str = include_str!("../../../deploy/kubernetes/paysync.toml");
const SCHEMA: &str = include_str!("../../../config/paysync.schema.json");

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

/// Each table of the schema has the keys that the reader accepts.
#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema = schema();
    let sections = &schema["properties"];
    for (table, wrong) in [
        ("database", "database.x = 1"),
        ("http", "http.x = 1"),
        ("engine", "engine.x = 1"),
        ("log", "log.x = 1"),
        ("redact", "redact.x = 1"),
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
    let compose = include_str!("../../../config/compose.toml");
    let bare = account("a", "").replace("nowhere", "convergegate");
    for right in [
        DEFAULTS,
        &uncommented(),
        EXAMPLE,
        compose,
        PRODUCTION,
        MIGRATE,
        KUBERNETES,
        &bare,
    ] {
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
        ("[[accounts]]", "redact.mask = [\"a..b\"]\n[[accounts]]"),
        ("start_from", "redact = { salt = \"x\" }\nstart_from"),
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
    // The environment overrides the reference in the file.
    variables.insert("DATABASE_URL".to_owned(), "postgres://y".to_owned());
    let origins = Config::load(Some(&path), &variables).unwrap().origins;
    assert_eq!(origins.reference("database.url"), None);
}
