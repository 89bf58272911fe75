//! `paysync report`: what is held of a time, what the provider counts, and what proves it.

use serde_json::Value;

use super::fixture::{Fixture, Ran};

const ACCOUNT: &str = "simulated-begateway-dwh";
const FROM: &str = "2020-01-01T00:00:00Z";
const TO: &str = "2100-01-01T00:00:00Z";

/// As if the provider had counted two rows more than are held of a window that was read.
const COUNTED: &str = "
    WITH counted AS (
        INSERT INTO paysync.windows (account_id, stream, lane, window_start, window_end, items, unchanged, provider_count, outcome, closed_at)
        SELECT account_id, stream, 'audit', window_start, window_end, 10, 10, 12, 'closed', now()
        FROM paysync.windows
        WHERE account_id = $1 AND stream = 'created_at' AND outcome = 'closed'
        ORDER BY window_id LIMIT 1
        RETURNING 1
    ) SELECT count(*) FROM counted";

const HELD: &str =
    "SELECT count(*) FROM paysync.transactions WHERE account_id = $1 AND is_test IS NOT TRUE";

async fn report(fixture: &Fixture, format: &str) -> Ran {
    let arguments = [
        "report",
        "--account",
        ACCOUNT,
        "--from",
        FROM,
        "--to",
        TO,
        "--format",
        format,
    ];
    fixture.run(&arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_adds_up_and_shows_what_the_provider_counts() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    let held = fixture.ask(HELD, ACCOUNT).await;
    assert!(held > 0);

    let ran = report(&fixture, "json").await;
    // The time asked for reaches beyond what is wanted.
    assert_eq!(ran.code, 1, "{ran:?}");
    let printed: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(printed["agrees"], false);
    assert!(!printed["gaps"].as_array().unwrap().is_empty());
    let totals = printed["totals"].as_array().unwrap();
    let sum: i64 = totals
        .iter()
        .map(|total| total["transactions"].as_i64().unwrap())
        .sum();
    assert_eq!(sum, held);
    assert!(
        totals.iter().all(|total| total["amount"].is_string()),
        "exact, as text"
    );
    let read = printed["windows"].as_array().unwrap().len();
    assert!(read > 0);

    let csv = report(&fixture, "csv").await;
    let lines: Vec<&str> = csv.out.lines().collect();
    assert_eq!(lines[0], "day,currency,kind,status,transactions,amount");
    assert_eq!(lines.len(), totals.len() + 1);

    assert_eq!(fixture.ask(COUNTED, ACCOUNT).await, 1);
    let printed: Value = serde_json::from_str(&report(&fixture, "json").await.out).unwrap();
    let windows = printed["windows"].as_array().unwrap();
    let audit = windows
        .iter()
        .find(|window| window["difference"] == 2)
        .unwrap();
    assert_eq!(
        (audit["is_open"].as_bool(), audit["provider_count"].as_i64()),
        (Some(true), Some(12))
    );
    let table = report(&fixture, "table").await.out;
    assert!(
        table.contains("counts of the provider: ") && table.contains("windows that read it: "),
        "{table}"
    );

    let wrong = fixture
        .run(&["report", "--account", ACCOUNT, "--from", TO, "--to", FROM])
        .await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statements_for_the_roles_are_printed() {
    let fixture = Fixture::new().await;
    let ran = fixture.run(&["migrate", "--print-roles"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    for role in ["paysync_writer", "paysync_bi", "paysync_operator"] {
        assert!(ran.out.contains(role), "{role}");
    }
    assert!(ran.out.contains("CREATE ROLE"));
    fixture.end().await;
}
