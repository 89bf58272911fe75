//! `paysync verify`: lines, JSON and exit codes.

use serde_json::Value;

use super::fixture::{ACCOUNTS, Fixture};
use super::{keys, one_line};

const CHECKS: [&str; 12] = [
    "coverage",
    "gaps",
    "ledger",
    "rows",
    "payloads",
    "columns",
    "payments",
    "totals",
    "counts",
    "freshness",
    "open",
    "quarantine",
];

#[tokio::test(flavor = "multi_thread")]
async fn verify_proves_and_finds_what_is_lost() {
    let fixture = Fixture::new().await;
    let none = fixture.run(&["verify"]).await;
    assert_eq!((none.code, none.out.as_str()), (1, ""), "{none:?}");
    assert!(one_line(&none).ends_with("; run paysync migrate first"));
    assert_eq!(fixture.run(&["migrate"]).await.code, 0);
    let unread = fixture.run(&["verify"]).await;
    assert_eq!((unread.code, unread.err.as_str()), (1, ""), "{unread:?}");
    let said: Vec<String> = ["simulated-convergegate ", "simulated-begateway-dwh"]
        .iter()
        .map(|account| {
            let id = account.trim_end();
            format!("{account}  coverage  NOT PROVEN  the account has never been read; paysync sync --account {id} reads it")
        })
        .collect();
    assert_eq!(unread.out.lines().collect::<Vec<_>>(), said);

    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    let proven = fixture.run(&["verify"]).await;
    assert_eq!((proven.code, proven.err.as_str()), (0, ""), "{proven:?}");
    let lines: Vec<&str> = proven.out.lines().collect();
    assert_eq!(lines.len(), ACCOUNTS.len() * CHECKS.len());
    for (line, check) in lines.iter().zip(CHECKS.iter().cycle()) {
        let start = line.find(" proven  ").unwrap_or_else(|| panic!("{line}"));
        assert!(line.starts_with("simulated-") && line.contains(check));
        assert_eq!(
            start,
            lines[0].find(" proven  ").unwrap(),
            "aligned: {line}"
        );
    }

    let (account, _) = ACCOUNTS[1];
    let lost = "WITH lost AS (
                    DELETE FROM paysync.transactions
                    WHERE account_id = $1 AND provider_transaction_id = (
                        SELECT min(provider_transaction_id) FROM paysync.transactions WHERE account_id = $1
                    )
                    RETURNING 1
                )
                SELECT count(*) FROM lost";
    assert_eq!(fixture.ask(lost, account).await, 1);
    let found = fixture.run(&["verify", "--json"]).await;
    assert_eq!((found.code, found.err.as_str()), (1, ""), "{found:?}");
    let report: Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!(keys(&report), ["proven", "accounts"]);
    assert_eq!(report["proven"], false);
    for proof in report["accounts"].as_array().unwrap() {
        assert_eq!(keys(proof), ["id", "proven", "checks"]);
        let damaged = proof["id"] == account;
        assert_eq!(proof["proven"], !damaged);
        let checks = proof["checks"].as_array().unwrap();
        assert_eq!(checks.len(), CHECKS.len());
        for (check, name) in checks.iter().zip(CHECKS) {
            assert_eq!(keys(check), ["check", "state", "detail", "hint"]);
            assert_eq!(check["check"], name);
            let failed = damaged && ["rows", "totals"].contains(&name);
            assert_eq!(check["state"], if failed { "unproven" } else { "proven" });
            assert_eq!(check["hint"].is_string(), failed);
        }
    }
    // The other account is still proven.
    let other = fixture.run(&["verify", "--account", ACCOUNTS[0].0]).await;
    assert_eq!((other.code, other.out.lines().count()), (0, CHECKS.len()));
    let damaged = fixture.run(&["verify", "--account", account]).await;
    assert_eq!(damaged.code, 1);
    let line = damaged
        .out
        .lines()
        .find(|line| line.contains(" NOT PROVEN "));
    assert!(line.unwrap().contains("1 is missing: "), "{damaged:?}");
    fixture.end().await;
}
