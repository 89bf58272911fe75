//! `paysync replay`: what it says, and that a dry run writes nothing.

use serde_json::{Value, json};

use super::fixture::{Fixture, Ran};
use super::one_line;

const ACCOUNT: &str = "simulated-convergegate";

/// As if one row had been read wrongly.
const MISREAD: &str = "
    WITH misread AS (
        UPDATE paysync.transactions
        SET status = 'unknown', amount = 0.010, description = E'two\\nlines \\x1b[31m', card_bin = NULL
        WHERE (account_id, provider_transaction_id) = (
            SELECT account_id, min(provider_transaction_id) FROM paysync.transactions
            WHERE account_id = $1 AND card_bin IS NOT NULL AND description IS NOT NULL
            GROUP BY account_id
        )
        RETURNING 1
    ) SELECT count(*) FROM misread";

/// As if one item had not been understood, and another one never will be.
const MISUNDERSTOOD: &str = r#"
    WITH gone AS (
        DELETE FROM paysync.transactions
        WHERE (account_id, provider_transaction_id) = (
            SELECT account_id, max(provider_transaction_id) FROM paysync.transactions
            WHERE account_id = $1 GROUP BY account_id
        )
        RETURNING *
    ), aside AS (
        INSERT INTO paysync.quarantine (
            account_id, stream, payload_hash, reason, detail, payload, window_start, window_end, observed_at
        )
        SELECT account_id, 'created', payload_hash, 'x', 'x', payload::text, observed_at - interval '1 h', observed_at, observed_at
        FROM gone JOIN paysync.raw_transactions USING (account_id, provider_transaction_id)
        UNION ALL
        SELECT account_id, 'created', gen_random_uuid(), 'x', 'x', '{"amount":1,"card":"4111111111111111"}', now() - interval '1 h', now(), now()
        FROM gone
        RETURNING 1
    ) SELECT count(*) FROM aside"#;

/// As if an older program had stored what a provider said.
const UNREDACTED: &str = "
    WITH failed AS (
        UPDATE paysync.streams SET last_error = 'no such card: 4111111111111111' WHERE account_id = $1 RETURNING 1
    ) SELECT count(*) FROM failed";

const UNKNOWN: &str =
    "SELECT count(*) FROM paysync.transactions WHERE account_id = $1 AND status = 'unknown'";

fn json_of(ran: &Ran) -> Value {
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_shows_what_it_would_do_and_then_does_it() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    assert_eq!(fixture.ask(MISREAD, ACCOUNT).await, 1);
    assert_eq!(fixture.ask(MISUNDERSTOOD, ACCOUNT).await, 2);
    let errors = fixture.ask(UNREDACTED, ACCOUNT).await;

    let dry = fixture.run(&["replay", "--dry-run"]).await;
    assert_eq!((dry.code, dry.err.as_str()), (0, ""), "{dry:?}");
    let lines: Vec<&str> = dry.out.lines().collect();
    let [summary, _id, changes @ .., other] = lines.as_slice() else {
        panic!("{dry:?}");
    };
    assert_eq!(
        *summary,
        format!(
            "{ACCOUNT}: 299 rows read, 1 would be corrected; 2 items in quarantine: 1 would be stored, \
             0 superseded by newer versions, 1 left (missing_id 1); would be redacted: quarantine 1, errors {errors}"
        )
    );
    assert_eq!(
        *other,
        "simulated-begateway-dwh: 300 rows read, 0 would be corrected; nothing in quarantine"
    );
    for (line, start) in changes.iter().zip([
        "    status: unknown → ",
        "    amount: 0.01 → ",
        "    card_bin: null → ",
    ]) {
        assert!(line.starts_with(start), "{changes:?}");
    }
    // A provider's text can neither break the line nor speak to the terminal.
    assert!(
        changes[3].starts_with("    description: two lines [31m → "),
        "{changes:?}"
    );
    assert_eq!(changes.len(), 4);
    assert!(!dry.out.contains('\u{1b}'));
    assert_eq!(
        fixture.ask(UNKNOWN, ACCOUNT).await,
        1,
        "a dry run writes nothing"
    );

    let dry = ["replay", "--dry-run", "--json", "--account", ACCOUNT];
    let report = json_of(&fixture.run(&dry).await);
    assert_eq!(report["dry_run"], true);
    let accounts = report["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 1);
    let account = &accounts[0];
    assert_eq!(account["id"], ACCOUNT);
    assert_eq!(
        account["rows"],
        json!({"read": 299, "unchanged": 298, "changed": 1, "overtaken": 0, "unreadable": 0, "without_payload": 0})
    );
    assert_eq!(
        account["quarantine"],
        json!({"read": 2, "fit": 1, "superseded": 0, "left": 1, "left_by_reason": {"missing_id": 1}})
    );
    assert_eq!(
        account["redacted"],
        json!({"payloads": 0, "rows": 0, "versions": 0, "quarantine": 1, "errors": errors})
    );
    let columns = account["changes"][0]["columns"].as_array().unwrap();
    assert_eq!(columns[1]["column"], "amount");
    assert_eq!(columns[1]["old"], "0.01");
    assert_eq!(columns[2]["old"], Value::Null);
    assert!(
        !report.to_string().contains("paymentMethodDetails"),
        "no payload is shown"
    );

    let ran = fixture.run(&["replay", "--account", ACCOUNT]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert_eq!(ran.out.lines().count(), 1, "{ran:?}");
    assert!(
        ran.out.contains(" 1 corrected; ")
            && ran.out.contains(": 1 stored, ")
            && ran.out.contains("; redacted: quarantine 1, errors "),
        "{ran:?}"
    );
    assert_eq!(fixture.ask(UNKNOWN, ACCOUNT).await, 0);

    let again = json_of(&fixture.run(&["replay", "--json"]).await);
    for account in again["accounts"].as_array().unwrap() {
        assert_eq!(account["rows"]["read"], 300, "{account}");
        assert_eq!(account["rows"]["unchanged"], 300, "{account}");
        assert_eq!(account["quarantine"]["fit"], 0, "{account}");
        assert_eq!(account["redacted"]["errors"], 0, "{account}");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_reports_its_errors() {
    let fixture = Fixture::new().await;
    // A dry run does not even migrate.
    let ran = fixture.run(&["replay", "--dry-run"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(
        one_line(&ran).ends_with("run paysync migrate first"),
        "{ran:?}"
    );
    let ran = fixture.run(&["replay", "--account", ACCOUNT]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert_eq!(
        ran.out.trim_end(),
        format!("{ACCOUNT}: 0 rows read, 0 corrected; nothing in quarantine")
    );
    let away = [("DATABASE_URL", "postgres://paysync@127.0.0.1:1/nowhere")];
    let ran = fixture
        .run_with(&fixture.configuration, &["replay"], &away)
        .await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(
        one_line(&ran).starts_with("the database cannot be used"),
        "{ran:?}"
    );
    fixture.end().await;
}

/// All that is made of the rows, as one text.
const DERIVED: &str = "
    SELECT md5(string_agg(line, '' ORDER BY line)) FROM (
        SELECT concat_ws(' ', account_id, day, currency, kind, status, transactions, trim_scale(amount), unknown_amounts) AS line
        FROM paysync.daily_totals
        UNION ALL SELECT concat_ws(' ', account_id, provider_transaction_id, payment_key) FROM paysync.transactions
    ) AS derived WHERE $1 = ''";

#[tokio::test(flavor = "multi_thread")]
async fn recount_repairs_keys_and_sums() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    let right = fixture.ask_text(DERIVED, "").await;
    let damaged = fixture
        .ask(
            "WITH gone AS (DELETE FROM paysync.daily_sums),
             doubled AS (INSERT INTO paysync.daily_sums SELECT account_id, day, currency, kind, status, 7, 7, 0, true, gen_random_uuid()
                 FROM paysync.daily_sums WHERE currency <> 'EUR'),
             mixed AS (UPDATE paysync.transactions
                 SET payment_key = CASE WHEN hashtext(provider_transaction_id) % 2 = 0 THEN '' ELSE 't:one' END WHERE $1 = '' RETURNING 1)
             SELECT count(*) FROM mixed",
            "",
        )
        .await;
    assert_ne!(fixture.ask_text(DERIVED, "").await, right);
    let ran = fixture.run(&["recount", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let moved = report["accounts"].as_array().unwrap().iter();
    let moved: i64 = moved
        .map(|it| it["rows_with_another_payment_key"].as_i64().unwrap())
        .sum();
    assert!(moved >= damaged, "{report}");
    assert_eq!(fixture.ask_text(DERIVED, "").await, right);

    let ran = fixture.run(&["recount"]).await;
    assert!(
        ran.out.contains("rows with another payment_key: 0;"),
        "{ran:?}"
    );
    assert_eq!(fixture.ask_text(DERIVED, "").await, right);
    let ran = fixture.run(&["recount", "--account", "nobody"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("expected one of "), "{ran:?}");
    fixture.end().await;
}
