//! SIGHUP: accounts come, change and go; work in hand and what is wrong change nothing.

use paysync_simulator::Provider;
use serde_json::Value;

use super::fixture::{ACCOUNTS, Fixture, Running, get, until};

const STAYS: &str = "simulated-convergegate";
const COMES: &str = "simulated-begateway-dwh";

/// How often the account was taken up.
async fn taken_up(fixture: &Fixture, account: &str) -> i64 {
    let question = "SELECT lease_token FROM paysync.accounts WHERE account_id = $1";
    fixture.ask(question, account).await
}

async fn held(fixture: &Fixture, account: &str) -> bool {
    let question =
        "SELECT count(*) FROM paysync.accounts WHERE account_id = $1 AND lease_until IS NOT NULL";
    fixture.ask(question, account).await == 1
}

/// Waits until exactly these accounts are there and well.
async fn all_ok(address: &str, ids: &[&str]) {
    until("the accounts are covered", || async {
        let (code, text) = get(address, "/status.json").await?;
        let status: Value = serde_json::from_str(&text).ok().filter(|_| code == 200)?;
        let accounts = status["accounts"].as_array()?;
        let ok = accounts.iter().all(|account| account["state"] == "ok");
        let found: Vec<&str> = accounts.iter().filter_map(|it| it["id"].as_str()).collect();
        (ok && found == ids).then_some(())
    })
    .await;
}

/// Rows that come now are read.
async fn is_read(fixture: &Fixture, provider: Provider) {
    let question = "SELECT count(*) FROM paysync.transactions WHERE provider_transaction_id = $1";
    for id in fixture.simulator.insert_now(provider, 2) {
        until("a new row", || async {
            (fixture.ask(question, &id).await == 1).then_some(())
        })
        .await;
    }
}

/// Writes the configuration, sends SIGHUP, and gives what is logged then.
async fn reload(fixture: &Fixture, daemon: &mut Running, text: &str, logged: &str) -> Value {
    fixture.file("reloaded.toml", text);
    daemon.signal("HUP");
    serde_json::from_str(&daemon.log(logged).await).unwrap()
}

async fn gauges_of_what_is_gone_are_silent(address: &str) {
    let (_, metrics) = get(address, "/metrics").await.unwrap();
    let lag = metrics
        .lines()
        .filter(|line| line.starts_with("paysync_lag_seconds{"));
    let (gone, there): (Vec<&str>, Vec<&str>) = lag.partition(|line| line.contains(COMES));
    assert!(
        !there.is_empty() && there.iter().all(|line| !line.ends_with("NaN")),
        "{metrics}"
    );
    assert!(
        gone.iter().all(|line| line.ends_with("NaN")),
        "no alert goes on: {metrics}"
    );
}

const READ: &str = "the configuration was reloaded";

#[tokio::test(flavor = "multi_thread")]
async fn run_takes_over_the_accounts_of_a_new_configuration() {
    let fixture = Fixture::new().await;
    assert_eq!(ACCOUNTS.map(|(id, _)| id), [COMES, STAYS]);
    // Rows appear at once here.
    let soon = "poll_interval = \"1s\"\nlag = \"0s\"";
    let both = fixture.text().replace("poll_interval = \"1s\"", soon);
    let parts: Vec<&str> = both.split("[[accounts]]\n").collect();
    let one = parts.iter().filter(|part| !part.contains(COMES));
    let one: Vec<&str> = one.copied().collect();
    let one = one.join("[[accounts]]\n");

    let file = fixture.file("reloaded.toml", &one);
    let mut daemon = fixture.spawn_with(&file, &["run"]);
    let address = daemon.address().await;
    all_ok(&address, &[STAYS]).await;
    let first = taken_up(&fixture, STAYS).await;

    let line = reload(&fixture, &mut daemon, &both, READ).await;
    assert_eq!(
        (&line["added"], &line["removed"]),
        (&COMES.into(), &"".into())
    );
    assert_eq!(
        (&line["changed"], &line["unchanged"]),
        (&"".into(), &1.into())
    );
    all_ok(&address, &[COMES, STAYS]).await;
    assert_eq!(taken_up(&fixture, STAYS).await, first, "goes on untouched");

    for (broken, part) in [
        (
            both.replace("lease_ttl = \"2s\"", "lease_ttl = \"2s"),
            "line ",
        ),
        (
            both.replace("poll_interval", "pol_interval"),
            "pol_interval: unknown key",
        ),
        (
            both.replace("provider = \"convergegate\"", "provider = \"other\""),
            "unknown provider",
        ),
    ] {
        let kept = "nothing was changed";
        let line = reload(&fixture, &mut daemon, &broken, kept).await;
        assert_eq!(line["level"], "ERROR");
        assert!(line["error"].as_str().unwrap().contains(part), "{line}");
    }
    for (_, provider) in ACCOUNTS {
        is_read(&fixture, provider).await;
    }
    assert_eq!(taken_up(&fixture, STAYS).await, first, "still untouched");

    // Another setting of one account, and one that is not about accounts.
    let untouched = taken_up(&fixture, COMES).await;
    let place = both.find(&format!("id = \"{STAYS}\"")).unwrap();
    let (before, after) = both.split_at(place);
    let changed = format!("{before}page_size = 7\n{after}")
        .replace("lease_ttl = \"2s\"", "lease_ttl = \"9s\"");
    let line = reload(&fixture, &mut daemon, &changed, READ).await;
    assert_eq!((&line["added"], &line["removed"]), (&"".into(), &"".into()));
    assert_eq!(
        (&line["changed"], &line["unchanged"]),
        (&STAYS.into(), &1.into())
    );
    let line: Value = serde_json::from_str(&daemon.log("needs a restart").await).unwrap();
    assert_eq!(
        (&line["level"], &line["sections"]),
        (&"WARN".into(), &"engine".into())
    );
    until("it is taken up again", || async {
        (taken_up(&fixture, STAYS).await == first + 1 && held(&fixture, STAYS).await).then_some(())
    })
    .await;
    is_read(&fixture, Provider::Convergegate).await;
    assert_eq!(taken_up(&fixture, COMES).await, untouched);

    let line = reload(&fixture, &mut daemon, &one, READ).await;
    assert_eq!(
        (&line["removed"], &line["changed"]),
        (&COMES.into(), &STAYS.into())
    );
    until("its lease is given back", || async {
        (!held(&fixture, COMES).await).then_some(())
    })
    .await;
    all_ok(&address, &[STAYS]).await;
    is_read(&fixture, Provider::Convergegate).await;
    assert_eq!(
        taken_up(&fixture, COMES).await,
        untouched,
        "nobody takes it up"
    );
    gauges_of_what_is_gone_are_silent(&address).await;

    daemon.terminate();
    let ran = daemon.end().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.err.matches("\"ERROR\"").count(), 3, "{ran:?}");
    assert_eq!(fixture.leases().await, 0);
    fixture.end().await;
}
