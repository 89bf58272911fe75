//! The built program: every command and exit code, what it says of bad input, and that it shows no secret.

mod bench;
mod canary;
mod erase;
mod input;
mod lines;
mod log_fields;
mod reload;
mod replay;
mod report;
mod trouble;
mod verify;
mod why;

use std::collections::BTreeSet;

use paysync_simulator::Provider;
use serde_json::Value;

use bench::{Bench, Ran};

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_reads_everything_and_status_says_so() {
    let bench = Bench::new().await;
    let first = bench.run(&["sync", "--json"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    let report: Value = serde_json::from_str(&first.out).unwrap();
    assert_eq!(report["covered"], true);
    assert_eq!(report["accounts"].as_array().unwrap().len(), 2);
    for account in report["accounts"].as_array().unwrap() {
        assert_eq!(account["covered"], true, "{account}");
        assert_eq!(account["error"], Value::Null);
        assert_eq!(account["quarantined"], 0);
    }
    for (account, provider) in bench::ACCOUNTS {
        let rows: i64 = bench
            .ask(
                "SELECT count(*) FROM paysync.transactions WHERE account_id = $1",
                account,
            )
            .await;
        assert_eq!(
            usize::try_from(rows).unwrap(),
            bench.simulator.ledger(provider).len(),
            "{account}"
        );
    }

    let again = bench
        .run(&["sync", "--account", "simulated-convergegate"])
        .await;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(again.out.lines().count(), 1, "{again:?}");
    assert!(
        again.out.starts_with("simulated-convergegate: "),
        "{again:?}"
    );
    assert!(again.out.contains(" 0 new or changed"), "{again:?}");
    assert!(again.out.trim_end().ends_with("; everything is covered"));

    let table = bench.run(&["status"]).await;
    assert_eq!(table.code, 0, "{table:?}");
    assert!(table.out.starts_with("ACCOUNT"), "{table:?}");
    assert!(table.out.contains("simulated-begateway-dwh") && table.out.contains("  ok  "));
    assert!(!table.out.contains('\u{1b}'), "colour where no terminal is");

    let status = bench.run(&["status", "--json"]).await;
    assert_eq!((status.code, status.err.as_str()), (0, ""), "{status:?}");
    let status: Value = serde_json::from_str(&status.out).unwrap();
    holds(&status, &["healthy", "version", "accounts"]);
    assert_eq!(status["healthy"], true);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    for account in status["accounts"].as_array().unwrap() {
        holds(account, &["id", "provider", "state", "hint", "streams"]);
        assert_eq!(
            (&account["state"], &account["hint"]),
            (&"ok".into(), &Value::Null)
        );
        for stream in account["streams"].as_array().unwrap() {
            holds(
                stream,
                &[
                    "stream",
                    "role",
                    "lag_seconds",
                    "covered_from",
                    "covered_until",
                    "gap_seconds",
                    "open_windows",
                    "last_error",
                    "hint",
                ],
            );
            assert!(["history", "change"].contains(&stream["role"].as_str().unwrap()));
            assert_eq!(
                (&stream["gap_seconds"], &stream["open_windows"]),
                (&0.into(), &0.into())
            );
            assert!(stream["covered_until"].as_str().unwrap().ends_with('Z'));
        }
    }
    bench.end().await;
}

/// The names that scripts rely on are there; more may be.
fn holds(object: &Value, names: &[&str]) {
    let keys = keys(object);
    for name in names {
        assert!(keys.contains(name), "{name} is not among {keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_serves_its_pages_and_stops_softly() {
    let bench = Bench::new().await;
    let mut daemon = bench.spawn(&["run"]);
    let address = daemon.address().await;
    let status: Value = bench::until("every account is covered", || async {
        let (code, text) = bench::get(&address, "/status.json").await?;
        let status: Value = serde_json::from_str(&text).ok().filter(|_| code == 200)?;
        let accounts = status["accounts"].as_array()?;
        let done = accounts.len() == 2 && accounts.iter().all(|account| account["state"] == "ok");
        done.then_some(status)
    })
    .await;
    assert_eq!(status["healthy"], true);
    assert_eq!(
        bench::get(&address, "/healthz").await,
        Some((200, "ok\n".to_owned()))
    );
    assert_eq!(
        bench::get(&address, "/readyz").await,
        Some((200, "ok\n".to_owned()))
    );
    let (code, page) = bench::get(&address, "/").await.unwrap();
    assert_eq!(code, 200);
    for account in status["accounts"].as_array().unwrap() {
        let id = account["id"].as_str().unwrap();
        assert!(page.contains(id), "{id} is not on the page");
    }
    assert!(page.contains("aria-label=\"100 % covered") && page.contains("healthy"));
    assert!(!page.contains("<script"), "the page needs no script");
    // The gauge of leases moves when they are renewed.
    let metrics = bench::until("the leases are counted", || async {
        let (code, metrics) = bench::get(&address, "/metrics").await?;
        (code == 200 && metrics.contains("paysync_leases 2\n")).then_some(metrics)
    })
    .await;
    let told: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let documented = crate::documents::metrics();
    let documented: BTreeSet<&str> = documented.iter().map(String::as_str).collect();
    assert_eq!(
        told, documented,
        "served, and described in docs/OPERATIONS.md"
    );
    assert_eq!(bench.leases().await, 2);

    let text = bench.text().replace("127.0.0.1:0", &address);
    let file = bench.file("listening.toml", &text);
    for arguments in [["health"].as_slice(), &["health", "--ready"]] {
        let ran = bench.run_with(&file, arguments, &[]).await;
        assert_eq!((ran.code, ran.out.as_str()), (0, "ok\n"), "{ran:?}");
    }

    daemon.terminate();
    let ran = daemon.end().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let gone = bench.run_with(&file, &["health"], &[]).await;
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(
        gone.err.contains("is paysync run running?: error sending"),
        "{gone:?}"
    );
    assert_eq!(bench.leases().await, 0, "leases are given back");
    assert_eq!(ran.out, "");
    for line in ran.err.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(line["message"].is_string() && line["level"].is_string());
        assert_ne!(line["level"], "ERROR", "{line}");
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_pause_resume_and_read_again() {
    let bench = Bench::new().await;
    let account = "simulated-convergegate";
    assert_eq!(bench.run(&["sync"]).await.code, 0);

    let paused = bench.run(&["pause", "--account", account]).await;
    assert_eq!((paused.code, paused.err.as_str()), (0, ""), "{paused:?}");
    let status: Value = serde_json::from_str(&bench.run(&["status", "--json"]).await.out).unwrap();
    let found: Vec<&Value> = status["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| &account["state"])
        .collect();
    assert_eq!(found, ["ok", "paused"]);
    assert_eq!(status["healthy"], true, "what an operator wants is healthy");
    let sync = bench.run(&["sync", "--account", account]).await;
    assert_eq!(sync.code, 1, "{sync:?}");
    assert!(
        sync.out.contains("paused") && sync.out.contains("paysync resume"),
        "{sync:?}"
    );

    let resumed = bench.run(&["resume", "--account", account, "--json"]).await;
    assert_eq!((resumed.code, resumed.err.as_str()), (0, ""), "{resumed:?}");
    let resumed: Value = serde_json::from_str(&resumed.out).unwrap();
    assert_eq!(resumed["paused"], false);
    let from = bench.simulator.settings().from.to_rfc3339();
    let until = bench.simulator.settings().until.to_rfc3339();
    let again = [
        "resync",
        "--account",
        account,
        "--from",
        &from,
        "--to",
        &until,
    ];
    let gaps = "SELECT count(*) FROM paysync.coverage_gaps WHERE account_id = $1";
    let dry = bench.run(&[&again[..], &["--dry-run"]].concat()).await;
    assert_eq!((dry.code, dry.err.as_str()), (0, ""), "{dry:?}");
    assert_eq!(
        bench.ask(gaps, account).await,
        0,
        "a dry run forgets nothing"
    );
    let script = [&again[..], &["--dry-run", "--json"]].concat();
    let told: Value = serde_json::from_str(&bench.run(&script).await.out).unwrap();
    assert_eq!(told["forgotten"], false);
    assert_eq!(told["streams"][0]["rows"], bench::ROWS, "{told}");
    let rows = format!("about {} rows to read again", bench::ROWS);
    let created = dry.out.lines().find(|line| line.starts_with("  created: "));
    let created = created.unwrap_or_else(|| panic!("{dry:?}"));
    assert!(created.contains(&rows), "{dry:?}");
    for (more, place) in [
        (&[][..], "without a terminal"),
        (&["--json"], "with --json"),
    ] {
        let refused = bench.run(&[&again[..], more].concat()).await;
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{refused:?}");
        let said = format!("cannot ask for confirmation {place}: add --yes");
        assert!(one_line(&refused).starts_with(&said), "{refused:?}");
        assert_eq!(bench.ask(gaps, account).await, 0, "nothing is forgotten");
    }
    let again = bench.run(&[&again[..], &["--yes"]].concat()).await;
    assert!(
        again.out.starts_with(&dry.out),
        "the same is shown first: {again:?}"
    );
    assert_eq!((again.code, again.err.as_str()), (0, ""), "{again:?}");
    let gaps: i64 = bench.ask(gaps, account).await;
    assert!(gaps > 0, "the interval is a gap again");
    let before = bench.simulator.requests(Provider::Convergegate).rows;
    let sync = bench.run(&["sync", "--account", account]).await;
    assert_eq!(sync.code, 0, "{sync:?}");
    let rows = bench.simulator.requests(Provider::Convergegate).rows - before;
    assert!(rows >= bench::ROWS, "only {rows} rows were read again");
    assert!(sync.out.contains(" 0 new or changed"), "{sync:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_brings_the_schema_and_can_be_repeated() {
    let bench = Bench::new().await;
    for _ in 0..2 {
        let ran = bench.run(&["migrate"]).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        assert_eq!(ran.out.lines().count(), 1);
    }
    let ran = bench.run(&["migrate", "--json"]).await;
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["migrated"], true);
    let rows: i64 = bench
        .ask(
            "SELECT count(*) FROM paysync.transactions WHERE account_id = $1",
            "",
        )
        .await;
    assert_eq!(rows, 0);
    let status = bench.run(&["status"]).await;
    assert_eq!(status.code, 0, "{status:?}");
    assert!(
        status.out.contains("paysync sync"),
        "says what to do: {status:?}"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tries_everything_and_writes_nothing() {
    let bench = Bench::new().await;
    let ran = bench.run(&["check"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 4, "{ran:?}");
    for (line, start) in lines.iter().zip([
        "configuration: ok, 2 accounts",
        "database: ok, PostgreSQL ",
        "account simulated-convergegate: ok, ",
        "account simulated-begateway-dwh: ok, ",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    let json = bench
        .run(&["check", "--json", "--account", "simulated-convergegate"])
        .await;
    let report: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &report["ok"]), (0, &true.into()));
    assert_eq!(report["checks"].as_array().unwrap().len(), 3);
    let schemas: i64 = bench
        .ask("SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'paysync' AND $1 = ''", "")
        .await;
    assert_eq!(schemas, 0, "check writes nothing");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simulate_serves_and_prints_a_configuration() {
    let bench = Bench::new().await;
    let mut simulator = bench.spawn(&["simulate", "--listen", "127.0.0.1:0", "--rows", "50"]);
    let line = simulator.line().await;
    let address = line
        .split_once("http://")
        .unwrap()
        .1
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let (code, text) = bench::get(&address, "/_simulator/requests").await.unwrap();
    assert!(code == 200 && text.contains("convergegate"), "{text}");
    simulator.terminate();
    let ran = simulator.end_with_secrets().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let configuration = bench.file("simulated.toml", &ran.out);
    let sync = bench.run_with(&configuration, &["status"], &[]).await;
    assert_eq!(
        sync.code, 1,
        "the printed configuration can be read: {sync:?}"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_reads_shows_and_ends() {
    let bench = Bench::new().await;
    let arguments = ["demo", "--once", "--rows", "200", "--rate", "0"];
    let url = bench.database.url().to_owned();
    let ran = bench
        .run_plain(&arguments, &[("DATABASE_URL", url.as_str())])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    // A history that ends today may hold a kind that has no mapping, and nothing else to warn of.
    let surprises =
        |line: &&str| !line.contains("the provider's word is stored as unknown or other");
    assert_eq!(ran.err.lines().find(surprises), None, "{ran:?}");
    for part in [
        "using the database of DATABASE_URL",
        "everything is covered",
        "What was paid, by currency?",
        "How many payments are approved, by provider?",
        "Is anything missing?",
    ] {
        assert!(ran.out.contains(part), "{part} is missing: {}", ran.out);
    }
    for provider in Provider::ALL {
        let rows: i64 = bench
            .ask(
                "SELECT count(*) FROM paysync.transactions WHERE provider = $1",
                provider.slug(),
            )
            .await;
        // A row that has not come to its end yet may not be shown yet.
        assert!(rows > 150, "{}: {rows}", provider.slug());
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_version_are_there() {
    let bench = Bench::new().await;
    let version = bench.run_plain(&["--version"], &[]).await;
    assert_eq!(version.code, 0);
    assert_eq!(
        version.out.trim(),
        concat!("paysync ", env!("CARGO_PKG_VERSION"))
    );
    let help = bench.run_plain(&["--help"], &[]).await;
    assert_eq!(help.code, 0);
    for command in paysync::cli::command().get_subcommands() {
        assert!(help.out.contains(command.get_name()));
        let help = bench.run_plain(&[command.get_name(), "--help"], &[]).await;
        assert_eq!(help.code, 0, "{help:?}");
        assert!(help.out.contains("Usage: paysync "), "{help:?}");
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_the_settings_in_force_without_secrets() {
    let bench = Bench::new().await;
    let text = bench.text().replace(
        "token = \"simulator-token\"",
        "token = { env = \"SOME_TOKEN\" }",
    );
    let text = text.replacen(
        "[[accounts]]",
        "[redact]\nmask = [\"a.b\"]\nsalt = { env = \"SOME_SALT\" }\n\n[[accounts]]\nredact = { drop = [\"c\"] }",
        1,
    );
    let file = bench.file("printed.toml", &text);
    let variables = [
        ("SOME_SALT", "0123456789abcdef"),
        ("SOME_TOKEN", bench::WRONG_TOKEN),
        ("PAYSYNC__LOG__FILTER", "debug"),
    ];
    let ran = bench
        .run_with(&file, &["check", "--print-config"], &variables)
        .await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let path = file.display();
    for line in [
        format!("database.url = \"***\"  # file {path}"),
        "database.max_connections = 8  # default".to_owned(),
        "log.filter = \"debug\"  # environment PAYSYNC__LOG__FILTER".to_owned(),
        format!("engine.lease_ttl = \"2s\"  # file {path}"),
        format!(
            "account simulated-convergegate: credentials.token = {{\"env\":\"SOME_TOKEN\"}}  # file {path}"
        ),
        format!("account simulated-begateway-dwh: credentials.secret_key = \"***\"  # file {path}"),
        "redact.hash = []  # default".to_owned(),
        format!("redact.salt = {{\"env\":\"SOME_SALT\"}}  # file {path}"),
        format!("account simulated-convergegate: redact.mask = [\"a.b\"]  # file {path}"),
        format!("account simulated-convergegate: redact.drop = [\"c\"]  # file {path}"),
        "account simulated-begateway-dwh: redact.drop = []  # default".to_owned(),
        format!("account simulated-convergegate: poll_interval = \"1s\"  # file {path}"),
        "account simulated-convergegate: concurrency = 2  # default".to_owned(),
        "account simulated-convergegate: page_size = 1000  # default of the provider".to_owned(),
    ] {
        let told = ran.out.lines().any(|it| it == line);
        assert!(told, "{line} is not in {}", ran.out);
    }
    let json = [
        "check",
        "--print-config",
        "--json",
        "--account",
        "simulated-convergegate",
    ];
    let ran = bench.run_with(&file, &json, &variables).await;
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let settings = report["settings"].as_array().unwrap();
    let filter = settings
        .iter()
        .find(|it| it["key"] == "log.filter")
        .unwrap();
    let expected = ["debug", "environment", "PAYSYNC__LOG__FILTER"];
    assert_eq!(["value", "from", "name"].map(|key| &filter[key]), expected);
    assert!(!ran.out.contains("begateway"), "one account only: {ran:?}");
    let schemas = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'paysync' AND $1 = ''";
    assert_eq!(bench.ask(schemas, "").await, 0);
    assert_eq!(
        bench.simulator.requests(Provider::Convergegate).pages,
        0,
        "nothing was tried"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_a_man_page() {
    let bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let ran = bench
        .run_plain(&["man", pages.to_str().unwrap()], &[])
        .await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    for command in paysync::cli::command().get_subcommands() {
        let name = format!("paysync-{}.1", command.get_name());
        let page = std::fs::read_to_string(pages.join(&name)).unwrap();
        assert!(
            page.contains(".SH SYNOPSIS") && page.contains("Examples"),
            "{name}: {page}"
        );
    }
    // A file is no folder.
    let file = pages.join("paysync.1");
    let ran = bench.run_plain(&["man", file.to_str().unwrap()], &[]).await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(one_line(&ran).contains("the man pages cannot be written to"));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_know_the_commands() {
    let bench = Bench::new().await;
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let ran = bench.run_plain(&["completions", shell], &[]).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        for word in ["paysync", "resync", "give-up-after", "print-config"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
    let ran = bench.run_plain(&["completions", "tcsh"], &[]).await;
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(one_line(&ran).contains("powershell"), "{ran:?}");
    bench.end().await;
}

/// One line on standard error, in the program's name.
fn one_line(ran: &Ran) -> &str {
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    ran.err
        .strip_prefix("paysync: ")
        .unwrap_or_else(|| panic!("{ran:?}"))
        .trim_end()
}
