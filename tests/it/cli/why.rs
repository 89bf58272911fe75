//! `paysync why`: what it knows of a row, and that it never shows a payload.

use serde_json::Value;

use super::fixture::{Fixture, Ran};
use super::one_line;

const ACCOUNT: &str = "simulated-convergegate";

/// As if an older version of one row had been stored.
const OUTDATE: &str = "
    WITH outdated AS (
        UPDATE paysync.transactions
        SET status = 'pending', error_code = 'it''s \u{1b}[31m', payload_hash = gen_random_uuid()
        WHERE account_id = $1 AND provider_transaction_id = (
            SELECT min(provider_transaction_id) FROM paysync.transactions
            WHERE account_id = $1 AND status = 'succeeded'
        )
        RETURNING 1
    ) SELECT count(*) FROM outdated";

/// As if the row had been read wrongly.
const MISREAD: &str = "
    WITH misread AS (
        UPDATE paysync.transactions SET status = 'unknown'
        WHERE account_id = $1 AND provider_transaction_id = (
            SELECT min(provider_transaction_id) FROM paysync.transaction_history WHERE account_id = $1
        )
        RETURNING 1
    ) SELECT count(*) FROM misread";

/// Two items that could not be read: one shows the row's id, one the id of nothing else.
const ASIDE: &str = r#"
    WITH aside AS (
        INSERT INTO paysync.quarantine (
            account_id, stream, payload_hash, provider_transaction_id, reason, detail, payload, window_start, window_end, observed_at
        )
        SELECT account_id, 'created', gen_random_uuid(), id, 'unknown_currency', 'amount: no such currency', '{"never":"shown"}',
               created_at, created_at + interval '1 h', observed_at
        FROM paysync.transactions CROSS JOIN LATERAL (VALUES (provider_transaction_id), ('never stored')) AS both_of(id)
        WHERE account_id = $1 AND provider_transaction_id = (
            SELECT min(provider_transaction_id) FROM paysync.transaction_history WHERE account_id = $1
        )
        RETURNING 1
    ) SELECT count(*) FROM aside"#;

fn json_of(ran: &Ran) -> Value {
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

/// The id of the row that was made to change.
async fn changed_row(fixture: &Fixture) -> String {
    let question = "SELECT min(provider_transaction_id) FROM paysync.transaction_history WHERE account_id = $1";
    fixture.ask_text(question, ACCOUNT).await
}

/// Forgets all coverage of the account.
async fn resync_all(fixture: &Fixture) {
    let span = "--from 2020-01-01T00:00:00Z --to 2100-01-01T00:00:00Z";
    let resync = format!("resync --yes --account {ACCOUNT} {span}");
    let resync: Vec<&str> = resync.split(' ').collect();
    assert_eq!(fixture.run(&resync).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_prints_the_history_of_a_row() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    assert_eq!(fixture.ask(OUTDATE, ACCOUNT).await, 1);
    resync_all(&fixture).await;
    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    assert_eq!(fixture.ask(MISREAD, ACCOUNT).await, 1);
    assert_eq!(fixture.run(&["replay"]).await.code, 0);
    assert_eq!(fixture.ask(ASIDE, ACCOUNT).await, 2);
    let id = changed_row(&fixture).await;

    let life = json_of(&fixture.run(&["why", ACCOUNT, &id, "--json"]).await);
    assert_eq!(life["row"]["provider_transaction_id"], id.as_str());
    assert_eq!(life["row"]["status"], "succeeded");
    let amount = life["row"]["amount"].as_str().unwrap();
    let question =
        "SELECT amount::text FROM paysync.transactions WHERE provider_transaction_id = $1";
    assert_eq!(
        fixture.ask_text(question, &id).await,
        amount,
        "exact, as text"
    );
    let versions = life["versions"].as_array().unwrap();
    let printed: Vec<(&str, &str, &str)> = versions
        .iter()
        .map(|version| {
            let change = version["changes"].as_array().unwrap().iter();
            let status = change.clone().find(|it| it["column"] == "status").unwrap();
            let text = |value: &'_ Value| -> &'static str {
                String::leak(value.as_str().unwrap().to_owned())
            };
            (
                text(&version["by"]),
                text(&status["old"]),
                text(&status["new"]),
            )
        })
        .collect();
    assert_eq!(
        printed,
        // The correction by replay made no version.
        [("provider", "pending", "succeeded")]
    );
    for pair in versions.windows(2) {
        assert_eq!(pair[0]["valid_to"], pair[1]["valid_from"]);
    }
    // Both readings of the history, and what read the changes, if it reaches back so far.
    let windows = life["windows"].as_array().unwrap();
    let created = life["row"]["created_at"].as_str().unwrap();
    let of_history = windows.iter().filter(|it| it["stream"] == "created");
    let of_history: Vec<&Value> = of_history.filter(|it| it["outcome"] == "closed").collect();
    assert!(of_history.len() >= 2, "{windows:?}");
    let at =
        |text: &Value| -> chrono::DateTime<chrono::Utc> { text.as_str().unwrap().parse().unwrap() };
    for window in &of_history {
        let created = at(&Value::from(created));
        let slack = chrono::TimeDelta::minutes(2);
        assert!(at(&window["window_start"]) - slack <= created, "{window}");
        assert!(created <= at(&window["window_end"]) + slack, "{window}");
    }
    let all = "SELECT count(*) FROM paysync.windows WHERE account_id = $1";
    let all = usize::try_from(fixture.ask(all, ACCOUNT).await).unwrap();
    assert!(windows.len() < all, "not simply all {all} of them");
    assert_eq!(life["quarantine"][0]["reason"], "unknown_currency");

    let ran = fixture.run(&["why", ACCOUNT, &id]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    for part in [
        &format!("{ACCOUNT} {id}: "),
        "succeeded",
        amount,
        "replaced versions: 1\n",
        "by provider: status: pending → succeeded",
        "error_code: it's [31m → null",
        "in quarantine: 1\n  created: unknown_currency (amount: no such currency), seen 1 times",
    ] {
        assert!(ran.out.contains(part), "{part:?} is missing: {}", ran.out);
    }
    assert!(
        !ran.out.contains("shown") && !ran.out.contains('\u{1b}'),
        "{ran:?}"
    );
    let query = ran
        .out
        .lines()
        .find(|line| line.contains("SELECT payload FROM"));
    let query = query.unwrap().trim().trim_end_matches(';').to_owned();
    let count = format!("SELECT count(*) FROM ({query}) AS it WHERE $1 = ''");
    assert_eq!(fixture.ask(count.leak(), "").await, 1, "{query}");

    let ran = fixture.run(&["why", ACCOUNT, "never stored"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.out
            .contains("never stored: not stored, see the quarantine"),
        "{ran:?}"
    );
    assert!(!ran.out.contains("SELECT"), "there is no payload: {ran:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_row_is_reported_in_one_line() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.run(&["migrate"]).await.code, 0);
    for json in [&[][..], &["--json"]] {
        let ran = fixture
            .run(&[&["why", ACCOUNT, "-nothing-"], json].concat())
            .await;
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
        let line = one_line(&ran);
        assert!(
            line.starts_with(&format!("account {ACCOUNT} has no transaction -nothing-, ")),
            "{line}"
        );
    }
    let ran = fixture.run(&["why", "nobody", "1"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(
        one_line(&ran).contains("account nobody is not configured"),
        "{ran:?}"
    );
    fixture.end().await;
}
