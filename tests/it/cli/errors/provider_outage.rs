//! Providers that are away, refuse, or answer something else.

use std::net::TcpListener;

use chrono::TimeDelta;
use paysync::clock::{Clock as _, SystemClock};
use paysync_simulator::{Fault, Provider};
use serde_json::Value;

use super::ACCOUNT;
use crate::cli::fixture::{Fixture, Ran, WRONG_TOKEN};

/// An address without a listener.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The configuration with the simulator's address replaced.
fn unreachable(fixture: &Fixture) -> String {
    let address = fixture.simulator.addr().to_string();
    fixture.text().replace(&address, &nowhere())
}

fn wrong_token(fixture: &Fixture) -> String {
    fixture.text().replace(
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
async fn check_reports_provider_errors() {
    let fixture = Fixture::new().await;
    let check = ["check", "--account", ACCOUNT];
    for (name, text, parts) in [
        (
            "token.toml",
            wrong_token(&fixture),
            ["FAILED, status 401", "check the account's credentials"],
        ),
        (
            "away.toml",
            unreachable(&fixture),
            ["FAILED, cannot connect to 127.0.0.1:", "check base_url"],
        ),
    ] {
        let file = fixture.file(name, &text);
        let ran = fixture.run_with(&file, &check, &[]).await;
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
        fixture.simulator.fail_next(Provider::Convergegate, fault);
        let ran = fixture.run(&check).await;
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:?}");
        assert!(line_of(&ran).starts_with("FAILED, "), "{ran:?}");
        assert!(line_of(&ran).contains(part), "{part}: {ran:?}");
    }
    fixture.end().await;
}

/// A wrong clock is distinguished from a wrong key and a wrong host.
#[tokio::test(flavor = "multi_thread")]
async fn check_reports_a_wrong_clock() {
    let fixture = Fixture::new().await;
    let check = ["check", "--account", ACCOUNT];
    let file = fixture.file("token.toml", &wrong_token(&fixture));
    for (hours, side) in [(2, "behind"), (-2, "ahead of")] {
        fixture
            .simulator
            .set_now(SystemClock.now() + TimeDelta::hours(hours));
        let ran = fixture.run(&check).await;
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
        let ran = fixture.run_with(&file, &check, &[]).await;
        let line = line_of(&ran);
        assert!(line.starts_with("FAILED, status 401"), "{line}");
        assert!(
            line.contains("the provider's; check the account's credentials"),
            "{line}"
        );
    }
    fixture.simulator.set_now(SystemClock.now());
    let ran = fixture.run(&check).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_gives_up_on_a_failing_account_and_status_reports_it() {
    let fixture = Fixture::new().await;
    let sync = ["sync", "--give-up-after", "1s"];
    let file = fixture.file("token.toml", &wrong_token(&fixture));
    let ran = fixture.run_with(&file, &sync, &[]).await;
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

    let status = fixture.run(&["status"]).await;
    assert_eq!((status.code, status.err.as_str()), (1, ""), "{status:?}");
    assert!(
        status.out.contains("suspended") && status.out.contains("status 401"),
        "{status:?}"
    );
    let status: Value =
        serde_json::from_str(&fixture.run(&["status", "--json"]).await.out).unwrap();
    assert_eq!(status["healthy"], false);
    let account = &status["accounts"][1];
    assert_eq!(account["state"], "suspended");
    let hint = account["hint"].as_str().unwrap();
    assert!(hint.contains("credentials"), "{hint}");

    // The right token again: nothing but the next sync is needed.
    let healed = fixture.run(&["sync"]).await;
    assert_eq!(healed.code, 0, "{healed:?}");
    assert_eq!(fixture.run(&["status"]).await.code, 0);

    // An earlier start, so that there is something to read.
    let from = fixture.simulator.settings().from.format("%Y");
    let text =
        unreachable(&fixture).replace(&format!("start_from = \"{from}"), "start_from = \"2020");
    let file = fixture.file("away.toml", &text);
    let ran = fixture
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
    fixture.end().await;
}
