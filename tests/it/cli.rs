//! The built program: every command and exit code, what it says of bad input, and that it shows no secret.

mod check;
mod demo;
mod erase;
mod errors;
mod fixture;
mod forget;
mod help;
mod log_fields;
mod reload;
mod replay;
mod report;
mod verify;
mod why;

use std::collections::BTreeSet;

use fixture::{Fixture, Ran};
use paysync_simulator::Provider;
use serde_json::Value;

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
    let fixture = Fixture::new().await;
    let first = fixture.run(&["sync", "--json"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    let report: Value = serde_json::from_str(&first.out).unwrap();
    assert_eq!(report["covered"], true);
    assert_eq!(report["accounts"].as_array().unwrap().len(), 2);
    for account in report["accounts"].as_array().unwrap() {
        assert_eq!(account["covered"], true, "{account}");
        assert_eq!(account["error"], Value::Null);
        assert_eq!(account["quarantined"], 0);
    }
    for (account, provider) in fixture::ACCOUNTS {
        let rows: i64 = fixture
            .ask(
                "SELECT count(*) FROM paysync.transactions WHERE account_id = $1",
                account,
            )
            .await;
        assert_eq!(
            usize::try_from(rows).unwrap(),
            fixture.simulator.ledger(provider).len(),
            "{account}"
        );
    }

    let again = fixture
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

    let table = fixture.run(&["status"]).await;
    assert_eq!(table.code, 0, "{table:?}");
    assert!(table.out.starts_with("ACCOUNT"), "{table:?}");
    assert!(table.out.contains("simulated-begateway-dwh") && table.out.contains("  ok  "));
    assert!(!table.out.contains('\u{1b}'), "colour where no terminal is");

    let status = fixture.run(&["status", "--json"]).await;
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
    fixture.end().await;
}

/// The names that scripts rely on are there; more may be.
fn holds(object: &Value, names: &[&str]) {
    let keys = keys(object);
    for name in names {
        assert!(keys.contains(name), "{name} is not among {keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_serves_its_pages_and_stops_gracefully() {
    let fixture = Fixture::new().await;
    let mut daemon = fixture.spawn(&["run"]);
    let address = daemon.address().await;
    let status: Value = fixture::until("every account is covered", || async {
        let (code, text) = fixture::get(&address, "/status.json").await?;
        let status: Value = serde_json::from_str(&text).ok().filter(|_| code == 200)?;
        let accounts = status["accounts"].as_array()?;
        let done = accounts.len() == 2 && accounts.iter().all(|account| account["state"] == "ok");
        done.then_some(status)
    })
    .await;
    assert_eq!(status["healthy"], true);
    assert_eq!(
        fixture::get(&address, "/healthz").await,
        Some((200, "ok\n".to_owned()))
    );
    assert_eq!(
        fixture::get(&address, "/readyz").await,
        Some((200, "ok\n".to_owned()))
    );
    let (code, page) = fixture::get(&address, "/").await.unwrap();
    assert_eq!(code, 200);
    for account in status["accounts"].as_array().unwrap() {
        let id = account["id"].as_str().unwrap();
        assert!(page.contains(id), "{id} is not on the page");
    }
    assert!(page.contains("aria-label=\"100 % covered") && page.contains("healthy"));
    assert!(!page.contains("<script"), "the page needs no script");
    // The gauge of leases moves when they are renewed.
    let metrics = fixture::until("the leases are counted", || async {
        let (code, metrics) = fixture::get(&address, "/metrics").await?;
        (code == 200 && metrics.contains("paysync_leases 2\n")).then_some(metrics)
    })
    .await;
    let printed: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let documented = crate::documents::metrics();
    let documented: BTreeSet<&str> = documented.iter().map(String::as_str).collect();
    assert_eq!(
        printed, documented,
        "served, and described in docs/OPERATIONS.md"
    );
    assert_eq!(fixture.leases().await, 2);

    let text = fixture.text().replace("127.0.0.1:0", &address);
    let file = fixture.file("listening.toml", &text);
    for arguments in [["health"].as_slice(), &["health", "--ready"]] {
        let ran = fixture.run_with(&file, arguments, &[]).await;
        assert_eq!((ran.code, ran.out.as_str()), (0, "ok\n"), "{ran:?}");
    }

    daemon.terminate();
    let ran = daemon.end().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let gone = fixture.run_with(&file, &["health"], &[]).await;
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(
        gone.err.contains("is paysync run running?: error sending"),
        "{gone:?}"
    );
    assert_eq!(fixture.leases().await, 0, "leases are given back");
    assert_eq!(ran.out, "");
    for line in ran.err.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(line["message"].is_string() && line["level"].is_string());
        assert_ne!(line["level"], "ERROR", "{line}");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_pause_resume_and_read_again() {
    let fixture = Fixture::new().await;
    let account = "simulated-convergegate";
    assert_eq!(fixture.run(&["sync"]).await.code, 0);

    let paused = fixture.run(&["pause", "--account", account]).await;
    assert_eq!((paused.code, paused.err.as_str()), (0, ""), "{paused:?}");
    let status: Value =
        serde_json::from_str(&fixture.run(&["status", "--json"]).await.out).unwrap();
    let found: Vec<&Value> = status["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| &account["state"])
        .collect();
    assert_eq!(found, ["ok", "paused"]);
    assert_eq!(status["healthy"], true, "what an operator wants is healthy");
    let sync = fixture.run(&["sync", "--account", account]).await;
    assert_eq!(sync.code, 1, "{sync:?}");
    assert!(
        sync.out.contains("paused") && sync.out.contains("paysync resume"),
        "{sync:?}"
    );

    let resumed = fixture
        .run(&["resume", "--account", account, "--json"])
        .await;
    assert_eq!((resumed.code, resumed.err.as_str()), (0, ""), "{resumed:?}");
    let resumed: Value = serde_json::from_str(&resumed.out).unwrap();
    assert_eq!(resumed["paused"], false);
    let from = fixture.simulator.settings().from.to_rfc3339();
    let until = fixture.simulator.settings().until.to_rfc3339();
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
    let dry = fixture.run(&[&again[..], &["--dry-run"]].concat()).await;
    assert_eq!((dry.code, dry.err.as_str()), (0, ""), "{dry:?}");
    assert_eq!(
        fixture.ask(gaps, account).await,
        0,
        "a dry run forgets nothing"
    );
    let script = [&again[..], &["--dry-run", "--json"]].concat();
    let printed: Value = serde_json::from_str(&fixture.run(&script).await.out).unwrap();
    assert_eq!(printed["forgotten"], false);
    assert_eq!(printed["streams"][0]["rows"], fixture::ROWS, "{printed}");
    let rows = format!("about {} rows to read again", fixture::ROWS);
    let created = dry.out.lines().find(|line| line.starts_with("  created: "));
    let created = created.unwrap_or_else(|| panic!("{dry:?}"));
    assert!(created.contains(&rows), "{dry:?}");
    for (more, place) in [
        (&[][..], "without a terminal"),
        (&["--json"], "with --json"),
    ] {
        let refused = fixture.run(&[&again[..], more].concat()).await;
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{refused:?}");
        let said = format!("cannot ask for confirmation {place}: add --yes");
        assert!(one_line(&refused).starts_with(&said), "{refused:?}");
        assert_eq!(fixture.ask(gaps, account).await, 0, "nothing is forgotten");
    }
    let again = fixture.run(&[&again[..], &["--yes"]].concat()).await;
    assert!(
        again.out.starts_with(&dry.out),
        "the same is shown first: {again:?}"
    );
    assert_eq!((again.code, again.err.as_str()), (0, ""), "{again:?}");
    let gaps: i64 = fixture.ask(gaps, account).await;
    assert!(gaps > 0, "the interval is a gap again");
    let before = fixture.simulator.requests(Provider::Convergegate).rows;
    let sync = fixture.run(&["sync", "--account", account]).await;
    assert_eq!(sync.code, 0, "{sync:?}");
    let rows = fixture.simulator.requests(Provider::Convergegate).rows - before;
    assert!(rows >= fixture::ROWS, "only {rows} rows were read again");
    assert!(sync.out.contains(" 0 new or changed"), "{sync:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_brings_the_schema_and_can_be_repeated() {
    let fixture = Fixture::new().await;
    for _ in 0..2 {
        let ran = fixture.run(&["migrate"]).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        assert_eq!(ran.out.lines().count(), 1);
    }
    let ran = fixture.run(&["migrate", "--json"]).await;
    let printed: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(printed["migrated"], true);
    let rows: i64 = fixture
        .ask(
            "SELECT count(*) FROM paysync.transactions WHERE account_id = $1",
            "",
        )
        .await;
    assert_eq!(rows, 0);
    let status = fixture.run(&["status"]).await;
    assert_eq!(status.code, 0, "{status:?}");
    assert!(
        status.out.contains("paysync sync"),
        "says what to do: {status:?}"
    );
    fixture.end().await;
}

/// One line on standard error, in the program's name.
fn one_line(ran: &Ran) -> &str {
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    ran.err
        .strip_prefix("paysync: ")
        .unwrap_or_else(|| panic!("{ran:?}"))
        .trim_end()
}
