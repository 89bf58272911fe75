//! FireKassa's own behaviour: deposits are paid after they expired, and the feed holds whole
//! card numbers.

use std::sync::Arc;

use chrono::TimeDelta;
use paysync::clock::ShiftedClock;
use paysync::engine::Outcome;
use paysync_provider::model::Window;
use paysync_simulator::{Fault, Handle, Provider};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::{SMALL, fetch, forget_everything};
use crate::providers::fixture;
use crate::support::{
    TIMEOUT, account_of, assert_exact, config_text, count, engine_of, history, ledger, start,
    stored, sync,
};

const ONLY: [Provider; 1] = [Provider::Firekassa];

/// Syncs as it will be some time from now.
async fn sync_later(text: &str, by: TimeDelta) {
    let mut engine = engine_of(text).await;
    engine.clock = Arc::new(ShiftedClock(by));
    let outcomes = sync(&engine, TIMEOUT).await;
    assert_eq!(outcomes[&account_of(ONLY[0])], Outcome::Covered);
    engine.store.pool().close().await;
}

/// The provider's word for how a row ended, by its own ledger.
fn word(simulator: &Handle, id: &str) -> String {
    let rows = ledger(simulator, ONLY[0]);
    rows[id]["provider_status"].as_str().unwrap().to_owned()
}

/// Everything that is stored in the schema, as text, a line per row.
async fn everything(pool: &PgPool) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'paysync'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut text = String::new();
    for table in tables {
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT row::text FROM {table} AS row"
        )))
        .fetch_all(pool)
        .await
        .unwrap();
        text += &rows.join("\n");
    }
    text
}

/// With the rescans that the provider declares, and nothing else that would show the change.
#[sqlx::test(migrations = "./migrations")]
async fn an_expired_deposit_that_is_paid_late_is_read_again(pool: PgPool) {
    let simulator = start(history(60, 2)).await;
    let text = config_text(&simulator, &pool, &ONLY, SMALL);
    sync_later(&text, TimeDelta::zero()).await;
    let account = account_of(ONLY[0]);
    let held = stored(&pool, &account).await;
    let expired = |row: &&String| held[*row]["provider_status"] == "expired";
    let id = held.keys().find(expired).expect("an expired deposit");
    assert_eq!(held[id]["status"], "canceled");
    while word(&simulator, id) == "expired" {
        assert!(simulator.touch_one(ONLY[0], id));
    }
    assert_eq!(word(&simulator, id), "paid");

    // Due once an hour.
    sync_later(&text, TimeDelta::minutes(30)).await;
    assert_eq!(stored(&pool, &account).await[id]["status"], "canceled");
    sync_later(&text, TimeDelta::minutes(90)).await;
    let row = &stored(&pool, &account).await[id];
    assert_eq!(
        (&row["status"], &row["provider_status"]),
        (&"succeeded".into(), &"paid".into())
    );
    assert_eq!(row["paid_amount"], row["amount"]);
    assert_exact(&pool, &simulator, &ONLY).await;
    let versions: Vec<(String, String, String, bool)> = sqlx::query_as(
        "SELECT old.provider_transaction_id, old.status, old.provider_status,
             old.valid_from < old.valid_to AND old.valid_to = new.version_from
         FROM paysync.transaction_history AS old
         JOIN paysync.transactions AS new USING (account_id, provider_transaction_id)",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let before = (
        id.clone(),
        "canceled".to_owned(),
        "expired".to_owned(),
        true,
    );
    assert_eq!(versions, [before]);
    simulator.stop().await;
}

/// Not in any table: as a requisite, as an account, in a text, in a quarantined item, in a
/// version that was replaced.
#[sqlx::test(migrations = "./migrations")]
async fn no_whole_card_number_reaches_the_disk(pool: PgPool) {
    let simulator = start(history(60, 2)).await;
    let text = config_text(&simulator, &pool, &ONLY, SMALL);

    // The simulator's own feed.
    let engine = engine_of(&text).await;
    let whole = Window::new(simulator.settings().from, simulator.settings().until).unwrap();
    let feed = fetch(&engine.accounts[0], "created_at", whole, 50).await;
    let feed: Value = serde_json::from_str(&feed.body).unwrap();
    let mut cards: Vec<String> = feed["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| Some(item["card_number"].as_str()?.to_owned()))
        .collect();
    assert!(cards.len() > 5 && cards.iter().all(|card| card.len() == 16));
    engine.store.pool().close().await;
    sync_later(&text, TimeDelta::zero()).await;

    // The page's own example, whose card number fails Luhn's check, and worse.
    let published = fixture("firekassa", "published").json()["items"][0].clone();
    let created = simulator.settings().from + TimeDelta::hours(30);
    let item = |id: &str, changes: Value| {
        let mut item = published.clone();
        item["id"] = id.into();
        item["created_at"] = created.to_rfc3339().into();
        item["updated_at"] = created.to_rfc3339().into();
        for (name, value) in changes.as_object().unwrap() {
            item[name] = value.clone();
        }
        item
    };
    let page = |items: &[Value]| {
        let body = json!({"items": items, "page": {"number": 1, "size": 50}});
        Fault::Body(body.to_string())
    };
    let named = item(
        "a",
        json!({"account": "4111111111111111", "status": "expired"}),
    );
    let first = [
        named.clone(),
        item("b", json!({"account": "5555-5555-5555-4444"})),
        item("c", json!({"account": 6_011_111_111_111_117_u64})),
        item(
            "d",
            json!({"comment": "take 4242424242424242 or 3782 822463 10005"}),
        ),
        item("e", json!({"amount": "a lot", "account": "30569309025904"})),
    ];
    let mut paid = named;
    paid["status"] = "paid".into();
    for items in [&first[..], &[paid][..]] {
        forget_everything(&text).await;
        simulator.fail_next(ONLY[0], page(items));
        sync_later(&text, TimeDelta::zero()).await;
    }
    cards.extend(
        [
            "3947333443347584",
            "4111111111111111",
            "5555-5555-5555-4444",
            "6011111111111117",
            "4242424242424242",
            "3782 822463 10005",
            "30569309025904",
        ]
        .map(str::to_owned),
    );
    let stored = everything(&pool).await;
    for card in &cards {
        assert!(!stored.contains(card), "{card} is stored");
    }
    // The masked numbers are there, in each kind of table.
    assert!(stored.contains("394733******7584") && stored.contains("411111******1111"));
    for (table, rows) in [
        (
            "SELECT count(*) FROM paysync.quarantine WHERE payload LIKE '%305693****5904%'",
            1,
        ),
        (
            "SELECT count(*) FROM paysync.transaction_history WHERE card_last4 = '7584'",
            1,
        ),
    ] {
        assert_eq!(count(&pool, table).await, rows, "{table}");
    }
    simulator.stop().await;
}
