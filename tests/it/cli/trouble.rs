//! Providers and databases that are away, refuse, or answer something else.

use std::net::TcpListener;
use std::path::PathBuf;

use chrono::TimeDelta;
use paysync::clock::{Clock as _, SystemClock};
use paysync_simulator::{Fault, Provider};
use serde_json::Value;

use super::bench::{Bench, Gate, Ran, WRONG_TOKEN, get, until};
use super::one_line;

const ACCOUNT: &str = "simulated-convergegate";

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The configuration with the simulator's address replaced.
fn unreachable(bench: &Bench) -> String {
    let address = bench.simulator.addr().to_string();
    bench.text().replace(&address, &nowhere())
}

fn wrong_token(bench: &Bench) -> String {
    bench.text().replace(
        "token = \"simulator-token\"",
        &format!("token = \"{WRONG_TOKEN}\""),
    )
}

/// The line of an account in the answer of `check`.
fn line_of(ran: &Ran) -> &str {
    let start = format!("account {ACCOUNT}: ");
    let line = ran.out.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{ran:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_is_wrong_with_a_provider() {
    let bench = Bench::new().await;
    let check = ["check", "--account", ACCOUNT];
    for (name, text, parts) in [
        (
            "token.toml",
            wrong_token(&bench),
            ["FAILED, status 401", "check the account's credentials"],
        ),
        (
            "away.toml",
            unreachable(&bench),
            ["FAILED, cannot connect to 127.0.0.1:", "check base_url"],
        ),
    ] {
        let file = bench.file(name, &text);
        let ran = bench.run_with(&file, &check, &[]).await;
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
        for part in parts {
            assert!(line_of(&ran).contains(part), "{part}: {ran:?}");
        }
        assert!(ran.out.contains("database: ok"), "{ran:?}");
    }
    let page = "<!DOCTYPE html><html><body>Welcome</body></html>".to_owned();
    for (fault, part) in [
        (Fault::Body(page), "check base_url: it leads to a web page"),
        (Fault::Html, "status 502"),
        (Fault::WrongJson, "check that base_url is the API"),
        (Fault::RateLimited(None), "status 429"),
    ] {
        bench.simulator.fail_next(Provider::Convergegate, fault);
        let ran = bench.run(&check).await;
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
        assert!(line_of(&ran).starts_with("FAILED, "), "{ran:?}");
        assert!(line_of(&ran).contains(part), "{part}: {ran:?}");
    }
    bench.end().await;
}

/// A wrong clock is told from a wrong key and a wrong host.
#[tokio::test(flavor = "multi_thread")]
async fn check_tells_a_wrong_clock() {
    let bench = Bench::new().await;
    let check = ["check", "--account", ACCOUNT];
    let file = bench.file("token.toml", &wrong_token(&bench));
    for (hours, side) in [(2, "behind"), (-2, "ahead of")] {
        bench
            .simulator
            .set_now(SystemClock.now() + TimeDelta::hours(hours));
        let ran = bench.run(&check).await;
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
        let line = line_of(&ran);
        assert!(line.starts_with("FAILED, convergegate answered "), "{line}");
        assert!(
            line.contains("; set this machine's clock: it is 7"),
            "{line}"
        );
        assert!(
            line.ends_with(&format!(" s {side} the provider's")),
            "{line}"
        );
        // It may be why the key is refused, or it may not.
        let ran = bench.run_with(&file, &check, &[]).await;
        let line = line_of(&ran);
        assert!(line.starts_with("FAILED, status 401"), "{line}");
        assert!(
            line.contains("the provider's; check the account's credentials"),
            "{line}"
        );
    }
    bench.simulator.set_now(SystemClock.now());
    let ran = bench.run(&check).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_gives_up_on_what_it_cannot_read_and_status_remembers() {
    let bench = Bench::new().await;
    let sync = ["sync", "--give-up-after", "1s"];
    let file = bench.file("token.toml", &wrong_token(&bench));
    let ran = bench.run_with(&file, &sync, &[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert!(
        lines[0].ends_with("; everything is covered"),
        "the other account: {ran:?}"
    );
    for part in ["NOT covered: status 401", "check the account's credentials"] {
        assert!(lines[1].contains(part), "{part}: {ran:?}");
    }

    let status = bench.run(&["status"]).await;
    assert_eq!((status.code, status.err.as_str()), (1, ""), "{status:?}");
    assert!(
        status.out.contains("suspended") && status.out.contains("status 401"),
        "{status:?}"
    );
    let status: Value = serde_json::from_str(&bench.run(&["status", "--json"]).await.out).unwrap();
    assert_eq!(status["healthy"], false);
    let account = &status["accounts"][1];
    assert_eq!(account["state"], "suspended");
    let hint = account["hint"].as_str().unwrap();
    assert!(hint.contains("credentials"), "{hint}");

    // The right token again: nothing but the next sync is needed.
    let healed = bench.run(&["sync"]).await;
    assert_eq!(healed.code, 0, "{healed:?}");
    assert_eq!(bench.run(&["status"]).await.code, 0);

    // An earlier start, so that there is something to read.
    let from = bench.simulator.settings().from.format("%Y");
    let text =
        unreachable(&bench).replace(&format!("start_from = \"{from}"), "start_from = \"2020");
    let file = bench.file("away.toml", &text);
    let ran = bench
        .run_with(&file, &[&sync[..], &["--json"]].concat(), &[])
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["covered"], false);
    for account in report["accounts"].as_array().unwrap() {
        assert!(
            account["error"]
                .as_str()
                .unwrap()
                .starts_with("cannot connect to 127.0.0.1:")
        );
        assert!(account["hint"].as_str().unwrap().contains("base_url"));
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_one_line() {
    let bench = Bench::new().await;
    let (_closed, file) = gated(&bench).await;
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
    let runs = commands.map(|command| bench.run_with(&file, command, &[]));
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
    let ran = bench.run_with(&file, &["check"], &[]).await;
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
    assert!(
        ran.out.contains("database: FAILED, ") && ran.out.contains("check database.url"),
        "{ran:?}"
    );
    assert!(
        ran.out.contains("account simulated-convergegate: ok"),
        "the rest is tried too: {ran:?}"
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_exist_is_named() {
    let bench = Bench::new().await;
    let text = bench.text().replace("/paysync_cli_", "/no_such_");
    let file = bench.file("missing.toml", &text);
    for command in ["sync", "status", "migrate"] {
        let ran = bench.run_with(&file, &[command], &[]).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        let line = one_line(&ran);
        assert!(
            line.contains("\"no_such_") && line.contains("does not exist"),
            "{line}"
        );
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_of_an_empty_database_says_what_to_do() {
    let bench = Bench::new().await;
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
        let ran = bench.run(command).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(one_line(&ran).contains("paysync migrate"), "{ran:?}");
    }
    bench.end().await;
}

/// The configuration with a closed gate before the database.
async fn gated(bench: &Bench) -> (Gate, PathBuf) {
    let gate = Gate::before(&bench.database).await;
    let (there, here) = (bench.database.address(), gate.address.to_string());
    let text = bench.text();
    assert!(text.contains(&there));
    let file = bench.file("gated.toml", &text.replace(&there, &here));
    (gate, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn run_waits_for_the_database_whenever_it_is_away() {
    let bench = Bench::new().await;
    let (mut gate, file) = gated(&bench).await;
    let mut daemon = bench.spawn_with(&file, &["run"]);
    let address = daemon.address().await;
    daemon.log("waiting for the database").await;
    assert_eq!(get(&address, "/healthz").await.unwrap().0, 503);
    gate.open().await;
    until("the accounts are covered", || all_ok(&address)).await;
    gate.close().await;
    let news = bench.simulator.insert_now(Provider::Convergegate, 3);
    assert_eq!(get(&address, "/healthz").await.unwrap().0, 503);
    assert_eq!(get(&address, "/status.json").await.unwrap().0, 503);
    gate.open().await;
    let question = "SELECT count(*) FROM paysync.transactions WHERE provider_transaction_id = $1";
    for id in &news {
        until("a row that came meanwhile", || async {
            (bench.ask(question, id).await == 1).then_some(())
        })
        .await;
    }
    daemon.terminate();
    let ran = daemon.end().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    bench.end().await;
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
    let bench = Bench::new().await;
    let (_closed, file) = gated(&bench).await;
    let mut daemon = bench.spawn_with(&file, &["run"]);
    daemon.log("waiting for the database").await;
    daemon.terminate();
    let ran = daemon.end().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_one_line() {
    let bench = Bench::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = bench
        .run_with(
            &bench.configuration,
            &["run"],
            &[("PAYSYNC__HTTP__LISTEN", address.as_str())],
        )
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        one_line(&ran).contains("set http.listen to a free address"),
        "{ran:?}"
    );
    let ran = bench
        .run_plain(&["simulate", "--listen", &address], &[])
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(one_line(&ran).contains("--listen"), "{ran:?}");
    bench.end().await;
}
