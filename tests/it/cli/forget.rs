//! `paysync forget`: nothing of the account stays in any table, whatever interrupts it, and nothing else goes.

use std::collections::BTreeMap;

use paysync_simulator::Provider;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::fixture::{self, Fixture, Ran};
use super::one_line;

const ACCOUNT: &str = "simulated-convergegate";
const OTHER: &str = "simulated-begateway-dwh";

/// A person in the payloads, whom no output names.
const PERSON: &str = "planted@example.com";

/// Rows written by hand, so that it takes several batches.
const ROWS: &str = "
    INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, kind, status, payload_hash, observed_at)
    SELECT 'simulated-convergegate', 'convergegate', 'by hand ' || n, 'payment', 'succeeded', gen_random_uuid(), now()
    FROM generate_series(1, 4500) AS n;
    INSERT INTO paysync.transaction_history
    SELECT now(), now(), rows.* FROM paysync.transactions AS rows WHERE provider_transaction_id LIKE 'by hand %';
    INSERT INTO paysync.raw_transactions
    SELECT account_id, provider_transaction_id, '{\"email\":\"planted@example.com\"}'::json
    FROM paysync.transactions WHERE provider_transaction_id LIKE 'by hand %'
    UNION ALL
    -- Payloads whose row is gone, before all ids and after them.
    SELECT 'simulated-convergegate', id, '{}'::json FROM unnest(ARRAY['!', '~']) AS id;
    INSERT INTO paysync.quarantine (account_id, stream, payload_hash, reason, detail, payload, window_start, window_end, observed_at)
    SELECT 'simulated-convergegate', 'created', gen_random_uuid(), 'x', 'x', 'planted@example.com', now(), now(), now()
    FROM generate_series(1, 3);
    INSERT INTO paysync.window_totals (account_id, stream, lane, day) VALUES ('simulated-convergegate', 'created', 'live', '2026-01-01');
    INSERT INTO paysync.rescans (account_id, stream, lane, within_seconds, started_at)
    VALUES ('simulated-convergegate', 'created', 'audit', 1, now()) ON CONFLICT DO NOTHING;
";

/// The tables that may keep rows of an account that is still configured.
const KEPT: [&str; 3] = ["accounts", "forgotten_accounts", "payment_locks"];

async fn database(fixture: &Fixture) -> PgConnection {
    PgConnection::connect(fixture.database.url()).await.unwrap()
}

async fn execute(fixture: &Fixture, sql: &'static str) {
    let mut connection = database(fixture).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

/// Rows of an account in each table that names accounts, those of later versions among them.
async fn held(fixture: &Fixture, account: &str) -> BTreeMap<String, i64> {
    let mut connection = database(fixture).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
         WHERE table_schema = 'paysync' AND column_name = 'account_id' AND table_type = 'BASE TABLE'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() >= 12, "{tables:?}");
    let mut held = BTreeMap::new();
    for table in tables {
        let count = format!("SELECT count(*) FROM paysync.{table} WHERE account_id = $1");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .bind(account)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        held.insert(table, rows);
    }
    held
}

/// The same, of the tables that are emptied.
async fn removable(fixture: &Fixture) -> BTreeMap<String, i64> {
    let mut held = held(fixture, ACCOUNT).await;
    held.retain(|table, _| !KEPT.contains(&table.as_str()));
    held
}

/// The records: account, whether it has ended, what was removed.
async fn records(fixture: &Fixture) -> Vec<(String, bool, Value)> {
    sqlx::query_as(
        "SELECT account_id, ended_at IS NOT NULL, removed FROM paysync.forgotten_accounts ORDER BY begun_at",
    )
    .fetch_all(&mut database(fixture).await)
    .await
    .unwrap()
}

/// A database in which every table has rows of the account.
async fn filled() -> Fixture {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    execute(&fixture, ROWS).await;
    let empty: Vec<_> = removable(&fixture)
        .await
        .into_iter()
        .filter(|(_, rows)| *rows == 0)
        .collect();
    assert!(empty.is_empty(), "nothing to remove from {empty:?}");
    fixture
}

/// Removes the account from the configuration.
fn unconfigure(fixture: &Fixture) {
    let text = fixture.text();
    let mut parts = text.split("[[accounts]]\n");
    let mut kept = parts.next().unwrap().to_owned();
    for account in parts.filter(|account| !account.contains(ACCOUNT)) {
        kept += "[[accounts]]\n";
        kept += account;
    }
    fixture.file("paysync.toml", &kept);
}

async fn forget(fixture: &Fixture, more: &[&str]) -> Ran {
    let ran = fixture
        .run(&[&["forget", "--account", ACCOUNT], more].concat())
        .await;
    assert!(
        !ran.out.contains(PERSON) && !ran.err.contains(PERSON),
        "{ran:?}"
    );
    ran
}

async fn pause(fixture: &Fixture) {
    let ran = fixture.run(&["pause", "--account", ACCOUNT]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

fn printed(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_forgotten_and_the_others_stay() {
    let fixture = filled().await;
    let (before, others) = (removable(&fixture).await, held(&fixture, OTHER).await);
    let everything = held(&fixture, ACCOUNT).await;

    let dry = forget(&fixture, &["--dry-run", "--json"]).await;
    assert_eq!(
        printed(&dry),
        json!({"account": ACCOUNT, "forgotten": false, "rows": before})
    );
    let dry = forget(&fixture, &["--dry-run"]).await;
    assert!(
        dry.code == 0 && dry.out.contains(" 4 800 transactions, "),
        "{dry:?}"
    );
    for (arguments, code, said) in [
        (
            &["--yes"][..],
            1,
            "is configured and not paused: run paysync pause --account simulated-convergegate",
        ),
        (
            &[],
            2,
            "cannot ask for confirmation without a terminal: add --yes",
        ),
        (
            &["--json"],
            2,
            "cannot ask for confirmation with --json: add --yes",
        ),
        (&["--dry-run", "--yes"], 2, "cannot be used with"),
    ] {
        let ran = forget(&fixture, arguments).await;
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{ran:?}");
        assert!(one_line(&ran).contains(said), "{ran:?}");
    }
    let unknown = fixture
        .run(&["forget", "--account", "unknown", "--yes"])
        .await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(
        one_line(&unknown).contains("account unknown is not in the database"),
        "{unknown:?}"
    );
    assert_eq!(
        held(&fixture, ACCOUNT).await,
        everything,
        "nothing was removed"
    );
    assert_eq!(fixture.leases().await, 0);

    unconfigure(&fixture);
    let ran = forget(&fixture, &["--yes", "--json"]).await;
    let report = printed(&ran);
    assert_eq!(report["rows"], json!(before));
    assert!(
        report["begun_at"].is_string() && report["ended_at"].is_string(),
        "{report}"
    );
    assert!(ran.err.contains("account forgotten"), "{ran:?}");
    let mut left = held(&fixture, ACCOUNT).await;
    assert_eq!(left.remove("forgotten_accounts"), Some(1));
    assert!(left.values().all(|rows| *rows == 0), "{left:?}");
    assert_eq!(held(&fixture, OTHER).await, others);
    assert_eq!(
        records(&fixture).await,
        [(ACCOUNT.to_owned(), true, json!(before))]
    );
    for command in ["verify", "status", "check"] {
        let ran = fixture.run(&[command]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!ran.out.contains(ACCOUNT), "{ran:?}");
    }

    // A script that runs it again gets the same answer.
    assert_eq!(
        printed(&forget(&fixture, &["--yes", "--json"]).await),
        report
    );
    let again = forget(&fixture, &["--yes"]).await;
    assert!(
        again.code == 0 && again.out.contains(": forgotten at "),
        "{again:?}"
    );
    assert_eq!(records(&fixture).await.len(), 1);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_resumed_by_the_next() {
    let fixture = filled().await;
    pause(&fixture).await;
    let before = removable(&fixture).await;
    let arguments = ["forget", "--account", ACCOUNT, "--yes"];
    let covered = "SELECT count(*) FROM paysync.streams WHERE account_id = $1 AND coverage <> '{}'";
    let open = "SELECT count(*) FROM paysync.windows WHERE account_id = $1 AND outcome IS NULL";
    execute(
        &fixture,
        "UPDATE paysync.windows SET outcome = NULL, closed_at = NULL WHERE window_id IN
         (SELECT max(window_id) FROM paysync.windows WHERE account_id = 'simulated-convergegate')",
    )
    .await;

    fixture.die(&arguments, "forget.begin.before=return").await;
    assert_eq!(removable(&fixture).await, before);
    assert!(fixture.ask(covered, ACCOUNT).await > 0);
    fixture.die(&arguments, "forget.begin.after=return").await;
    assert_eq!(
        removable(&fixture).await,
        before,
        "the coverage is gone first"
    );
    assert_eq!(fixture.ask(covered, ACCOUNT).await, 0);
    // Its first pages are going to be removed: no process may read it to its end.
    assert_eq!(fixture.ask(open, ACCOUNT).await, 0);
    for place in [
        "forget.batch.before=return",
        "forget.batch.after=2*off->return",
        "forget.batch.before=5*off->return",
        "forget.batch.after=1*off->return",
        "forget.end.before=return",
    ] {
        fixture.die(&arguments, place).await;
        let resumed = fixture.run(&["resume", "--account", ACCOUNT]).await;
        assert_eq!(resumed.code, 1, "{resumed:?}");
        assert!(
            one_line(&resumed).contains("is being forgotten: run paysync forget"),
            "{resumed:?}"
        );
        let (held, records) = (removable(&fixture).await, records(&fixture).await);
        let [(_, false, removed)] = &records[..] else {
            panic!("{records:?}");
        };
        for (table, rows) in &before {
            let removed = removed[table].as_i64().unwrap_or_default();
            assert_eq!(held[table] + removed, *rows, "{place}: {table}");
        }
    }
    // The last kill is after the end.
    fixture.die(&arguments, "forget.end.after=return").await;
    assert_eq!(
        printed(&forget(&fixture, &["--yes", "--json"]).await)["rows"],
        json!(before)
    );
    assert_eq!(
        records(&fixture).await,
        [(ACCOUNT.to_owned(), true, json!(before))]
    );
    assert!(removable(&fixture).await.values().all(|rows| *rows == 0));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_stays_configured_is_read_anew() {
    let fixture = filled().await;
    let token = "SELECT lease_token FROM paysync.accounts WHERE account_id = $1";
    pause(&fixture).await;
    let first = printed(&forget(&fixture, &["--yes", "--json"]).await);
    let left = held(&fixture, ACCOUNT).await;
    for (table, rows) in left {
        assert_eq!(rows, i64::from(KEPT.contains(&table.as_str())), "{table}");
    }
    let sync = fixture.run(&["sync", "--account", ACCOUNT]).await;
    assert!(sync.code == 1 && sync.out.contains("paused"), "{sync:?}");
    assert_eq!(
        printed(&forget(&fixture, &["--yes", "--json"]).await),
        first,
        "nothing to forget"
    );

    assert_eq!(fixture.run(&["resume", "--account", ACCOUNT]).await.code, 0);
    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    let verify = fixture.run(&["verify"]).await;
    assert_eq!(verify.code, 0, "{verify:?}");
    let rows = fixture
        .ask(
            "SELECT count(*) FROM paysync.transactions WHERE account_id = $1",
            ACCOUNT,
        )
        .await;
    assert_eq!(
        usize::try_from(rows).unwrap(),
        fixture.simulator.ledger(Provider::Convergegate).len()
    );

    // Out of the configuration, it leaves for good; if it comes back, no fencing token is used twice.
    let last = fixture.ask(token, ACCOUNT).await;
    unconfigure(&fixture);
    let second = printed(&forget(&fixture, &["--yes", "--json"]).await);
    assert_eq!(second["rows"]["transactions"], json!(rows));
    assert_eq!(records(&fixture).await.len(), 2);
    fixture.file("paysync.toml", &fixture.text());
    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    assert!(fixture.ask(token, ACCOUNT).await > last + 1);
    let verify = fixture.run(&["verify"]).await;
    assert_eq!(verify.code, 0, "{verify:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_and_a_forgetting_exclude_each_other() {
    let fixture = filled().await;
    let configured = fixture.file("daemon.toml", &fixture.text());
    let mut daemon = fixture.spawn_with(&configured, &["run"]);
    daemon.address().await;
    let is_read =
        "SELECT count(*) FROM paysync.accounts WHERE account_id = $1 AND lease_until IS NOT NULL";
    let reads = || async { (fixture.ask(is_read, ACCOUNT).await == 1).then_some(()) };
    fixture::until("the daemon reads the account", reads).await;
    unconfigure(&fixture);
    let refused = forget(&fixture, &["--yes"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let daemons = "SELECT lease_holder FROM paysync.accounts WHERE account_id = $1";
    let holder = fixture.ask_text(daemons, ACCOUNT).await;
    let said = format!("the process {holder} works on account {ACCOUNT}: remove the account");
    assert!(refused.err.contains(&said), "{refused:?}");
    assert!(held(&fixture, ACCOUNT).await["streams"] > 0);

    // A paused account is free soon. The daemon goes on with the others, and does not bring it back.
    let paused = fixture
        .run_with(&configured, &["pause", "--account", ACCOUNT], &[])
        .await;
    assert_eq!(paused.code, 0, "{paused:?}");
    fixture
        .die(
            &["forget", "--account", ACCOUNT, "--yes"],
            "forget.batch.after=return",
        )
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let (held_half, [(_, ended, _)]) =
        (held(&fixture, ACCOUNT).await, &records(&fixture).await[..])
    else {
        panic!("one record");
    };
    assert!(!ended && held_half["transactions"] == 4800, "{held_half:?}");
    assert_eq!(forget(&fixture, &["--yes"]).await.code, 0);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let mut left = held(&fixture, ACCOUNT).await;
    left.remove("forgotten_accounts");
    assert!(left.values().all(|rows| *rows == 0), "{left:?}");
    assert_eq!(fixture.ask(is_read, OTHER).await, 1);
    daemon.terminate();
    let ran = daemon.end().await;
    assert!(ran.code == 0 && !ran.err.contains("\"ERROR\""), "{ran:?}");
    fixture.end().await;
}
