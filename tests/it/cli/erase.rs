//! `paysync erase`: what it shows, whom it finds, and that the sums stay.

use serde_json::{Value, json};

use super::fixture::Fixture;
use super::one_line;

const ACCOUNT: &str = "simulated-convergegate";

const SOMEBODY: &str = "SELECT min(customer_email) FROM paysync.transactions WHERE account_id = $1";

const ROWS: &str = "SELECT count(*) FROM paysync.transactions WHERE customer_email = $1";

const ERASED: &str =
    "SELECT count(*) FROM paysync.transactions WHERE account_id = $1 AND erased_at IS NOT NULL";

async fn report(fixture: &Fixture) -> String {
    let (from, to) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    let arguments = [
        "report",
        "--account",
        ACCOUNT,
        "--from",
        from,
        "--to",
        to,
        "--format",
        "csv",
    ];
    fixture.run(&arguments).await.out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_erased_and_the_report_stays() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    let person = fixture.ask_text(SOMEBODY, ACCOUNT).await;
    let rows = fixture.ask(ROWS, &person).await;
    let before = report(&fixture).await;
    assert!(rows > 0 && before.lines().count() > 5, "{before}");

    let of = ["erase", "--customer", &person];
    let dry = fixture.run(&[&of[..], &["--dry-run"]].concat()).await;
    assert_eq!((dry.code, dry.err.as_str()), (0, ""), "{dry:?}");
    let counts = "rows, 0 replaced versions, ";
    assert!(
        dry.out.contains(counts) && dry.out.contains(" would be erased"),
        "{dry:?}"
    );
    assert_eq!(
        fixture.ask(ERASED, ACCOUNT).await,
        0,
        "a dry run changes nothing"
    );

    let unconfirmed = fixture.run(&of).await;
    assert_eq!(unconfirmed.code, 2, "{unconfirmed:?}");
    assert_eq!(
        fixture.ask(ERASED, ACCOUNT).await,
        0,
        "nothing changes unconfirmed"
    );

    let other = [
        &of[..],
        &["--account", "simulated-begateway-dwh", "--yes", "--json"],
    ]
    .concat();
    let other = fixture.run(&other).await;
    assert_eq!(other.code, 1, "nobody there: {other:?}");
    let ran = fixture
        .run(&[&of[..], &["--account", ACCOUNT, "--yes", "--json"]].concat())
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let printed: Value = serde_json::from_str(&ran.out).unwrap();
    let account = json!({
        "id": ACCOUNT, "rows": rows, "versions": 0, "payloads": rows, "quarantined": 0, "left_in_quarantine": 0,
    });
    assert_eq!(printed, json!({"erased": true, "accounts": [account]}));
    assert!(ran.err.contains("a person was erased"), "{ran:?}");
    assert!(
        !ran.err.contains(&person) && !ran.out.contains(&person),
        "{ran:?}"
    );
    assert_eq!(fixture.ask(ERASED, ACCOUNT).await, rows);
    assert_eq!(report(&fixture).await, before);

    let id = "SELECT min(provider_transaction_id) FROM paysync.transactions WHERE account_id = $1 AND erased_at IS NOT NULL";
    let id = fixture.ask_text(id, ACCOUNT).await;
    let why = fixture.run(&["why", ACCOUNT, &id]).await;
    assert!(
        why.out.contains("its payload: none; the person was erased"),
        "{why:?}"
    );
    let replay = fixture.run(&["replay", "--account", ACCOUNT]).await;
    let said = format!("{rows} without a payload (deleted by retention, or erased)");
    assert!(replay.out.contains(&said), "{replay:?}");
    let verify = fixture.run(&["verify"]).await;
    assert!(
        verify.code == 0 && verify.out.contains("by retention or erased"),
        "{verify:?}"
    );

    // Reading it all again finds the provider's rows unchanged, and the person in none of them.
    let (from, to) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    let resync = [
        "resync",
        "--yes",
        "--account",
        ACCOUNT,
        "--from",
        from,
        "--to",
        to,
    ];
    assert_eq!(fixture.run(&resync).await.code, 0);
    assert_eq!(fixture.run(&["sync"]).await.code, 0);
    assert_eq!(fixture.ask(ROWS, &person).await, 0);
    let again = fixture.run(&[&of[..], &["--yes"]].concat()).await;
    assert_eq!((again.code, again.out.as_str()), (1, ""), "{again:?}");
    let line = one_line(&again);
    assert!(
        line.starts_with("no transaction has this customer_id or customer_email"),
        "{line}"
    );
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_erasure_is_refused_in_one_line() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.run(&["migrate"]).await.code, 0);
    for (arguments, code, said) in [
        (&["--customer", " "][..], 2, "--customer is empty"),
        (
            &["--customer", "x", "--account", "nobody", "--yes"],
            2,
            "account nobody is not in the database: it has no accounts",
        ),
        (
            &["--customer", "x", "--dry-run", "--yes"],
            2,
            "cannot be used with",
        ),
        (&[], 2, "--customer"),
        (
            &["--customer", "x"],
            2,
            "cannot ask for confirmation without a terminal: add --yes",
        ),
        (
            &["--customer", "x", "--json"],
            2,
            "cannot ask for confirmation with --json: add --yes",
        ),
        (&["--customer", "x", "--yes"], 1, "no transaction has this"),
    ] {
        let ran = fixture.run(&[&["erase"], arguments].concat()).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{arguments:?}: {ran:?}"
        );
        assert!(one_line(&ran).contains(said), "{arguments:?}: {ran:?}");
    }
    fixture.end().await;
}
