//! Wrong configurations and command lines: exit code 2, one line, what and where.

use crate::cli::fixture::{Fixture, PASSWORD, WRONG_TOKEN};
use crate::cli::one_line;

/// A configuration that would do, spoilt: what is replaced, by what, and what is said.
const SPOILT: &[(&str, &str, &[&str])] = &[
    (
        "[engine]\n",
        "[engine]\nlease_tll = \"1s\"\n",
        &["engine.lease_tll: unknown key", "lease_ttl"],
    ),
    (
        "[[accounts]]\n",
        "colour = 1\n[[accounts]]\n",
        &["unknown key"],
    ),
    (
        "poll_interval",
        "poll_intervall",
        &[
            "account simulated-",
            "poll_intervall: unknown key",
            "poll_interval,",
        ],
    ),
    (
        "poll_interval = \"1s\"",
        "poll_interval = \"1 fortnight\"",
        &[
            "poll_interval",
            "\"1 fortnight\" is not a duration",
            "\"10m\"",
        ],
    ),
    (
        "poll_interval = \"1s\"",
        "time_zone = \"Mars/Olympus\"",
        &[
            "account simulated-",
            "time_zone: \"Mars/Olympus\" is not an IANA time zone, like \"UTC\" or \"Europe/Riga\"",
        ],
    ),
    (
        "token = \"simulator-token\"",
        "token = { env = \"NO_SUCH_TOKEN\" }",
        &["credentials.token", "NO_SUCH_TOKEN is not set"],
    ),
    (
        "token = \"simulator-token\"",
        "token = { file = \"no-such-file\" }",
        &["credentials.token", "no-such-file cannot be read"],
    ),
    (
        "credentials = { token = \"simulator-token\" }",
        "",
        &["account simulated-convergegate: credentials.token is missing"],
    ),
    (
        "{ token =",
        "{ secret =",
        &["credentials.secret: unknown key, convergegate takes token"],
    ),
    (
        "provider = \"convergegate\"",
        "provider = \"convergate\"",
        &["unknown provider \"convergate\"", "convergegate"],
    ),
    (
        "url = \"postgres://",
        "url = \"mysql://",
        &["database.url", "not a PostgreSQL URL"],
    ),
    (
        "url = \"postgres://",
        "url = \"postgres//",
        &["database.url", "not a PostgreSQL URL"],
    ),
    (
        "base_url = \"http://127.0.0.1",
        "base_url = \"http://example.com",
        &["base_url", "plain http"],
    ),
    (
        "start_from = \"20",
        "start_from = \"yesterday 20",
        &["start_from", "is not an instant"],
    ),
    (
        "id = \"simulated-convergegate\"",
        "id = \"Acme EUR\"",
        &["is not an id"],
    ),
    (
        "lease_ttl = \"2s\"",
        "lease_ttl = 2",
        &["engine.lease_ttl", "expected a duration"],
    ),
    ("lease_ttl = \"2s\"", "lease_ttl = \"2s", &["line "]),
];

#[tokio::test(flavor = "multi_thread")]
async fn invalid_configurations_are_reported_in_one_line_with_code_2() {
    let fixture = Fixture::new().await;
    for (right, wrong, parts) in SPOILT {
        let text = fixture.text();
        assert!(text.contains(right), "{right}");
        let file = fixture.file("wrong.toml", &text.replace(right, wrong));
        for command in ["run", "sync", "check"] {
            let ran = fixture.run_with(&file, &[command], &[]).await;
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{wrong}: {ran:?}");
            let line = one_line(&ran);
            for part in *parts {
                assert!(line.contains(part), "{part:?} is not in {line:?}");
            }
        }
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_reports_a_missing_database_url() {
    let fixture = Fixture::new().await;
    for command in [
        &["run"][..],
        &["sync"],
        &["check"],
        &["status"],
        &["migrate"],
        &["replay"],
        &["pause", "--account", "x"],
        &["resume", "--account", "x"],
    ] {
        // No file, and no DATABASE_URL.
        let ran = fixture.run_plain(command, &[]).await;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        let line = one_line(&ran);
        assert!(line.starts_with("database.url is missing"), "{line}");
        assert!(
            line.contains("DATABASE_URL") && line.contains("config/paysync.toml"),
            "{line}"
        );
    }
    let ran = fixture
        .run_plain(&["status", "--config", "nowhere.toml"], &[])
        .await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        one_line(&ran).starts_with("nowhere.toml: cannot be read"),
        "{ran:?}"
    );
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_environment_is_reported() {
    let fixture = Fixture::new().await;
    let url = format!("mysql://root:{PASSWORD}@localhost/x");
    for (name, value, part) in [
        ("DATABASE_URL", url.as_str(), "not a PostgreSQL URL"),
        (
            "PAYSYNC__DATABASE__URL",
            WRONG_TOKEN,
            "not a PostgreSQL URL",
        ),
        (
            "PAYSYNC__HTTP__LISTEN",
            "8080",
            "PAYSYNC__HTTP__LISTEN: \"8080\" is not an address",
        ),
        (
            "PAYSYNC__HTTP__PORT",
            "8080",
            "PAYSYNC__HTTP__PORT: unknown setting",
        ),
        (
            "PAYSYNC__LOG__FILTER",
            "loudly=very",
            "PAYSYNC__LOG__FILTER",
        ),
    ] {
        let ran = fixture
            .run_with(&fixture.configuration, &["sync"], &[(name, value)])
            .await;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        assert!(one_line(&ran).contains(part), "{ran:?}");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_command_lines_are_reported_in_one_line_with_code_2() {
    let fixture = Fixture::new().await;
    let times = [
        "--from",
        "2026-01-02T00:00:00Z",
        "--to",
        "2026-01-01T00:00:00Z",
    ];
    let resync =
        |more: &[&'static str]| [&["resync", "--account", "simulated-convergegate"], more].concat();
    for (arguments, part) in [
        (
            vec!["sync", "--account", "nobody"],
            "account nobody is not configured: expected one of simulated-",
        ),
        (
            vec!["pause", "--account", "nobody"],
            "account nobody is not configured",
        ),
        (
            vec!["replay", "--account", "nobody", "--dry-run"],
            "account nobody is not configured: expected one of simulated-",
        ),
        (vec!["fly"], "unrecognized subcommand 'fly'"),
        (vec!["stats"], "a similar subcommand exists: 'status'"),
        (
            vec!["status", "--jsn"],
            "a similar argument exists: '--json'",
        ),
        (vec!["sync", "--acount", "x"], "--account"),
        (vec!["sync", "--give-up-after", "soon"], "--give-up-after"),
        (vec!["pause"], "--account"),
        (resync(&times), "is not before"),
        (
            resync(&["--from", "yesterday", "--to", "2026-01-01T00:00:00Z"]),
            "--from",
        ),
        (
            resync(&[
                "--from",
                "2026-01-01T00:00:00Z",
                "--to",
                "2026-01-02T00:00:00Z",
                "--stream",
                "x",
            ]),
            "stream x does not exist, expected one of ",
        ),
        (vec!["simulate", "--fail", "10%"], "is not a share"),
    ] {
        let ran = fixture.run(&arguments).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (2, ""),
            "{arguments:?}: {ran:?}"
        );
        let line = one_line(&ran);
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_without_accounts_is_reported() {
    let fixture = Fixture::new().await;
    let file = fixture.file("empty.toml", "");
    let url = [("DATABASE_URL", fixture.database.url())];
    for command in ["sync", "check", "replay"] {
        let ran = fixture.run_with(&file, &[command], &url).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.contains("add an [[accounts]] entry"), "{ran:?}");
    }
    fixture.end().await;
}
