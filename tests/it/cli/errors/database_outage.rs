//! A database that is away, missing or empty, and an address in use.

use std::net::TcpListener;
use std::path::PathBuf;

use paysync_simulator::Provider;
use serde_json::Value;

use super::ACCOUNT;
use crate::cli::fixture::{ACCOUNTS, ClosableProxy, Fixture, get, until};
use crate::cli::one_line;

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_database_is_reported_in_one_line() {
    let fixture = Fixture::new().await;
    let (_closed, file) = with_closed_proxy(&fixture).await;
    let commands: [&[&str]; 6] = [
        &["sync"],
        &["status"],
        &["status", "--json"],
        &["migrate"],
        &["pause", "--account", ACCOUNT],
        &[
            "resync",
            "--yes",
            "--account",
            ACCOUNT,
            "--from",
            "2026-01-01T00:00:00Z",
            "--to",
            "2026-01-02T00:00:00Z",
        ],
    ];
    let runs = commands.map(|command| fixture.run_with(&file, command, &[]));
    for (ran, command) in futures_util::future::join_all(runs)
        .await
        .iter()
        .zip(commands)
    {
        assert_eq!(ran.code, 1, "{command:?}: {ran:?}");
        assert_eq!(ran.out, "", "{command:?}");
        let line = one_line(ran);
        assert!(
            line.starts_with("the database cannot be used: "),
            "{command:?}: {line}"
        );
        assert!(line.contains("check database.url"), "{command:?}: {line}");
    }
    let ran = fixture.run_with(&file, &["check"], &[]).await;
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
    assert!(
        ran.out.contains("database: FAILED, ") && ran.out.contains("check database.url"),
        "{ran:?}"
    );
    assert!(
        ran.out.contains("account simulated-convergegate: ok"),
        "the rest is tried too: {ran:?}"
    );
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_exist_is_named() {
    let fixture = Fixture::new().await;
    let text = fixture.text().replace("/paysync_cli_", "/no_such_");
    let file = fixture.file("missing.toml", &text);
    for command in ["sync", "status", "migrate"] {
        let ran = fixture.run_with(&file, &[command], &[]).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        let line = one_line(&ran);
        assert!(
            line.contains("\"no_such_") && line.contains("does not exist"),
            "{line}"
        );
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_of_an_empty_database_says_what_to_do() {
    let fixture = Fixture::new().await;
    for command in [
        &["status"][..],
        &[
            "resync",
            "--yes",
            "--account",
            ACCOUNT,
            "--from",
            "2026-01-01T00:00:00Z",
            "--to",
            "2026-01-02T00:00:00Z",
        ],
    ] {
        let ran = fixture.run(command).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(one_line(&ran).contains("paysync migrate"), "{ran:?}");
    }
    fixture.end().await;
}

/// The configuration with a closed proxy before the database.
async fn with_closed_proxy(fixture: &Fixture) -> (ClosableProxy, PathBuf) {
    let proxy = ClosableProxy::to(&fixture.database).await;
    let (there, here) = (fixture.database.address(), proxy.address.to_string());
    let text = fixture.text();
    assert!(text.contains(&there));
    let file = fixture.file("with_closed_proxy.toml", &text.replace(&there, &here));
    (proxy, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn run_waits_for_an_unreachable_database() {
    let fixture = Fixture::new().await;
    let (mut proxy, file) = with_closed_proxy(&fixture).await;
    let mut daemon = fixture.spawn_with(&file, &["run"]);
    let address = daemon.address().await;
    daemon.log("waiting for the database").await;
    assert_eq!(get(&address, "/healthz").await.unwrap().0, 503);
    proxy.open().await;
    until("the accounts are covered", || all_ok(&address)).await;
    proxy.close().await;
    let news = fixture.simulator.insert_now(Provider::Convergegate, 3);
    assert_eq!(get(&address, "/healthz").await.unwrap().0, 503);
    assert_eq!(get(&address, "/status.json").await.unwrap().0, 503);
    proxy.open().await;
    let question = "SELECT count(*) FROM paysync.transactions WHERE provider_transaction_id = $1";
    for id in &news {
        until("a row that came meanwhile", || async {
            (fixture.ask(question, id).await == 1).then_some(())
        })
        .await;
    }
    daemon.terminate();
    let ran = daemon.end().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    fixture.end().await;
}

async fn all_ok(address: &str) -> Option<()> {
    let (code, text) = get(address, "/status.json").await?;
    let status: Value = serde_json::from_str(&text).ok().filter(|_| code == 200)?;
    let accounts = status["accounts"].as_array()?;
    let ok = accounts.len() == 2 && accounts.iter().all(|account| account["state"] == "ok");
    ok.then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_waits_for_the_database_can_be_stopped() {
    let fixture = Fixture::new().await;
    let (_closed, file) = with_closed_proxy(&fixture).await;
    let mut daemon = fixture.spawn_with(&file, &["run"]);
    daemon.log("waiting for the database").await;
    daemon.terminate();
    let ran = daemon.end().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_reported_in_one_line() {
    let fixture = Fixture::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = fixture
        .run_with(
            &fixture.configuration,
            &["run"],
            &[("PAYSYNC__HTTP__LISTEN", address.as_str())],
        )
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        one_line(&ran).contains("set http.listen to a free address"),
        "{ran:?}"
    );
    let ran = fixture
        .run_plain(&["simulate", "--listen", &address], &[])
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(one_line(&ran).contains("--listen"), "{ran:?}");
    fixture.end().await;
}

/// Some teams let all their transactions be serializable; pages state what they need.
#[tokio::test(flavor = "multi_thread")]
async fn the_servers_default_isolation_costs_no_try() {
    let fixture = Fixture::new().await;
    let name = &fixture.database.name;
    let serializable =
        format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
    fixture.database.on_server(&[serializable]).await;
    for _ in 0..3 {
        let ran = fixture.run(&["sync"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        for said in ["page rolled back", "reading a window failed"] {
            assert!(!ran.err.contains(said), "{ran:?}");
        }
        let everything = [
            "resync",
            "--from",
            "2000-01-01T00:00:00Z",
            "--to",
            "2100-01-01T00:00:00Z",
            "--yes",
        ];
        for (account, _) in ACCOUNTS {
            let of = ["--account", account];
            let ran = fixture.run(&[&everything[..], &of].concat()).await;
            assert_eq!(ran.code, 0, "{ran:?}");
        }
    }
    fixture.end().await;
}
