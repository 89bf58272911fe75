//! Items that cannot be read, or only just: which are quarantined, which are stored, and that the rest of
//! their page is always stored.

mod item_builder;

use std::collections::BTreeMap;

use paysync::engine::replay::{Replayed, replay};
use paysync::engine::{Account, Outcome};
use paysync_provider::model::Window;
use paysync_provider::redact::redact;
use paysync_provider::{Position, Response};
use paysync_simulator::{Fault, Handle, Provider};
use serde_json::Value;
use sqlx::PgPool;

use item_builder::Expected::{Quarantined, Stored};
use item_builder::{ItemBuilder, LONG};

use super::{SMALL, fetch, forget_everything};
use crate::support::{
    TIMEOUT, assert_exact, config_text, engine_of, history, providers, start, sync, sync_covers,
};

/// The account's first stream, its whole history, and a correct response about it.
struct FirstPage {
    account: std::sync::Arc<Account>,
    whole: Window,
    response: Response,
}

impl FirstPage {
    async fn fetch(simulator: &Handle, text: &str) -> Self {
        let engine = engine_of(text).await;
        let account = engine.accounts[0].clone();
        engine.store.pool().close().await;
        let settings = simulator.settings();
        let whole = Window::new(settings.from, settings.until).unwrap();
        let response = fetch(&account, &account.streams[0].spec.name, whole, 50).await;
        Self {
            account,
            whole,
            response,
        }
    }

    /// Works on the item as it is stored, so that raw texts can be compared.
    fn item_builder(&self, provider: Provider) -> ItemBuilder {
        let spec = &self.account.spec;
        let item = redact(self.first_item(), &spec.redaction);
        ItemBuilder::new(provider, spec.id_key, &item.text)
    }

    fn first_item(&self) -> &str {
        let at = Position {
            stream: &self.account.streams[0].spec.name,
            window: self.whole,
            checkpoint: None,
            page_size: 50,
        };
        let page = self.account.provider.page(&at, &self.response).unwrap();
        page.items[0].get()
    }

    /// The response with more items before the first one.
    fn body_with<'p>(&'p self, items: impl Iterator<Item = &'p str>) -> String {
        let first = self.first_item();
        let items: Vec<&str> = items.chain([first]).collect();
        self.response.body.replacen(first, &items.join(","), 1)
    }

    /// Reads everything again; the first request is answered by `fault`.
    async fn read(&self, simulator: &Handle, provider: Provider, text: &str, fault: Fault) {
        forget_everything(text).await;
        simulator.fail_next(provider, fault);
        let mut engine = engine_of(text).await;
        // On a busy machine a page of megabytes takes longer to prepare than a lease of two seconds. If the lease
        // expired, the page would be rolled back and the window read again, with the correct response.
        engine.lease_ttl = TIMEOUT;
        let outcomes = sync(&engine, TIMEOUT).await;
        assert_eq!(outcomes[&self.account.id], Outcome::Covered);
        engine.store.pool().close().await;
    }
}

/// Reason and id of the items in quarantine, by their raw text.
async fn quarantined_items(
    pool: &PgPool,
    account: &str,
) -> BTreeMap<String, (String, Option<String>)> {
    let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(
        "SELECT payload, reason, provider_transaction_id FROM paysync.quarantine WHERE account_id = $1",
    )
    .bind(account)
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(payload, reason, id)| (payload, (reason, id)))
        .collect()
}

/// Description and raw payload of a row.
async fn row(pool: &PgPool, account: &str, id: &str) -> Option<(Option<String>, String)> {
    sqlx::query_as(
        "SELECT description, payload::text
         FROM paysync.transactions JOIN paysync.raw_transactions USING (account_id, provider_transaction_id)
         WHERE account_id = $1 AND provider_transaction_id = $2",
    )
    .bind(account)
    .bind(id)
    .fetch_optional(pool)
    .await
    .unwrap()
}

async fn delete_rows(pool: &PgPool, account: &str, ids: &[&str]) {
    for table in ["transactions", "raw_transactions"] {
        let sql = format!(
            "DELETE FROM paysync.{table} WHERE account_id = $1 AND provider_transaction_id = ANY($2)"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(account)
            .bind(ids)
            .execute(pool)
            .await
            .unwrap();
    }
}

/// Replays everything that is stored; nothing may change.
async fn replayed(text: &str) -> Replayed {
    let engine = engine_of(text).await;
    let replayed = replay(&engine.store, &engine.accounts[0], false, |_| ())
        .await
        .unwrap();
    engine.store.pool().close().await;
    assert_eq!(replayed.unchanged, replayed.read, "{:?}", replayed.changes);
    assert_eq!((replayed.unreadable, replayed.overtaken), (0, 0));
    replayed
}

/// Each case in a page of each provider.
#[sqlx::test(migrations = "./migrations")]
async fn unreadable_items_are_quarantined_and_the_rest_is_stored(pool: PgPool) {
    for provider in providers() {
        // So few rows that no filter seems to be ignored, whichever stream asks first.
        let simulator = start(history(2, 1)).await;
        let text = config_text(&simulator, &pool, &[provider], SMALL);
        let first_page = FirstPage::fetch(&simulator, &text).await;
        let account = &first_page.account.id;
        let builder = first_page.item_builder(provider);
        let mut quarantined = 0;
        for cases in [builder.unreadable_items(), builder.unusual_items()] {
            let witness = builder.with_description("witness", "\"seen\"", Some("seen"));
            let items = || cases.iter().chain([&witness]);
            let body = first_page.body_with(items().map(|case| case.item.as_str()));
            first_page
                .read(&simulator, provider, &text, Fault::Body(body))
                .await;

            let quarantined_items = quarantined_items(&pool, account).await;
            for case in items() {
                let name = case.id.unwrap_or(&case.item);
                match &case.expected {
                    Quarantined(reason) => {
                        let (found, id) = quarantined_items
                            .get(&case.item)
                            .unwrap_or_else(|| panic!("{account}: {name} is lost"));
                        assert_eq!(found, reason, "{account}: {name}");
                        let known = match *reason {
                            "refused_by_database" => Some(LONG),
                            _ => case.id.map(str::len),
                        };
                        assert_eq!(id.as_ref().map(String::len), known, "{account}: {name}");
                        quarantined += 1;
                    }
                    Stored(description) => {
                        let id = case.id.unwrap();
                        let (found, payload) = row(&pool, account, id)
                            .await
                            .unwrap_or_else(|| panic!("{account}: {id} is not stored"));
                        assert!(found == *description, "{account}: {id}");
                        assert!(payload == case.item, "{account}: {id}");
                    }
                }
            }
            assert_eq!(quarantined_items.len(), quarantined, "{account}");
            delete_rows(&pool, account, &["witness"]).await;
        }
        // Each has its window and the time of its request.
        let located: i64 = sqlx::query_scalar(
            "SELECT count(DISTINCT (stream, payload_hash))
             FROM paysync.quarantine AS held
             JOIN paysync.windows USING (account_id, stream, window_start, window_end)
             WHERE account_id = $1 AND windows.quarantined > 0 AND times_seen = 1
               AND observed_at >= opened_at - interval '1 minute' AND observed_at <= first_seen_at",
        )
        .bind(account)
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(usize::try_from(located).unwrap(), quarantined, "{account}");

        // A replay leaves rows with replaced characters unchanged, and unreadable items in quarantine.
        let replayed = replayed(&text).await;
        assert_eq!(
            replayed.quarantine.stored + replayed.quarantine.superseded,
            0
        );
        let left: u64 = replayed.quarantine.remaining.values().sum();
        assert_eq!(usize::try_from(left).unwrap(), quarantined);

        let unusual = builder.unusual_items();
        let ids: Vec<&str> = unusual.iter().filter_map(|case| case.id).collect();
        delete_rows(&pool, account, &ids).await;
        forget_everything(&text).await;
        sync_covers(&text).await;
        assert_exact(&pool, &simulator, &[provider]).await;
        simulator.stop().await;
    }
}

/// Invalid bytes send the item that holds them to quarantine, and no other.
/// Items that are no JSON do not take the others of their page with them.
#[sqlx::test(migrations = "./migrations")]
async fn broken_json_quarantines_its_item_only(pool: PgPool) {
    for provider in providers() {
        let simulator = start(history(3, 1)).await;
        let text = config_text(&simulator, &pool, &[provider], SMALL);
        let first_page = FirstPage::fetch(&simulator, &text).await;
        let account = &first_page.account.id;
        let builder = first_page.item_builder(provider);
        let placeholder = builder.with_description("broken", "\"@@\"", None).item;
        let broken =
            ["NaN", "\"a\nb\"", "\"a\\x41\""].map(|value| placeholder.replace("\"@@\"", value));
        let whole = builder.with_description("whole", "\"whole\"", Some("whole"));
        let items = broken.iter().chain([&whole.item]).map(String::as_str);
        let body = first_page.body_with(items);
        assert!(serde_json::from_str::<Value>(&body).is_err());
        first_page
            .read(&simulator, provider, &text, Fault::Body(body))
            .await;

        let mended = ["null", "\"a\\u000ab\"", "\"a\\\\x41\""];
        let mended = mended.map(|value| placeholder.replace("\"@@\"", value));
        let reason = ("unreadable_item".to_owned(), None);
        let expected = mended.map(|item| (format!("[{item}]"), reason.clone()));
        let expected = BTreeMap::from(expected);
        assert_eq!(quarantined_items(&pool, account).await, expected);
        assert!(row(&pool, account, "whole").await.is_some());
        delete_rows(&pool, account, &["whole"]).await;
        forget_everything(&text).await;
        sync_covers(&text).await;
        assert_exact(&pool, &simulator, &[provider]).await;
        simulator.stop().await;
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn invalid_bytes_quarantine_their_item_only(pool: PgPool) {
    for provider in providers() {
        let simulator = start(history(3, 1)).await;
        let text = config_text(&simulator, &pool, &[provider], SMALL);
        let first_page = FirstPage::fetch(&simulator, &text).await;
        let account = &first_page.account.id;
        let builder = first_page.item_builder(provider);
        let broken = builder.with_description("broken", "\"a@@b\"", None);
        let nameless = builder.with(&[(builder.id, "\"broken @@ too\"")]);
        let whole = builder.with_description("whole", "\"ä€😀\"", Some("ä€😀"));
        let items = [&broken.item, &nameless, &whole.item];
        let body = first_page.body_with(items.into_iter().map(String::as_str));
        let mut bytes = body.into_bytes();
        while let Some(place) = bytes.windows(2).position(|pair| pair == b"@@") {
            bytes[place] = 0xff;
            bytes[place + 1] = 0xc3;
        }
        first_page
            .read(&simulator, provider, &text, Fault::Bytes(bytes))
            .await;

        let replaced = |item: &str| item.replace("@@", "\u{fffd}\u{fffd}");
        let reason = "invalid_utf8".to_owned();
        let expected = BTreeMap::from([
            (
                replaced(&broken.item),
                (reason.clone(), Some("broken".to_owned())),
            ),
            (replaced(&nameless), (reason, None)),
        ]);
        assert_eq!(quarantined_items(&pool, account).await, expected);
        let stored = row(&pool, account, "whole").await.unwrap();
        assert_eq!(stored.0.as_deref(), Some("ä€😀"));
        // Bytes that are lost do not come back.
        assert_eq!(
            replayed(&text).await.quarantine.remaining,
            BTreeMap::from([("invalid_utf8".to_owned(), 2)])
        );
        simulator.stop().await;
    }
}

/// The last item of an id that occurs twice is stored, and the other is counted.
#[sqlx::test(migrations = "./migrations")]
async fn of_an_id_that_occurs_twice_the_last_is_kept(pool: PgPool) {
    for provider in providers() {
        let simulator = start(history(3, 1)).await;
        let text = config_text(&simulator, &pool, &[provider], SMALL);
        let first_page = FirstPage::fetch(&simulator, &text).await;
        let account = &first_page.account.id;
        let builder = first_page.item_builder(provider);
        let first = builder.with_description("twice", "\"first\"", None);
        let last = builder.with_description("twice", "\"last\"", None);
        let items = [&first.item, &last.item].into_iter().map(String::as_str);
        let body = first_page.body_with(items);
        first_page
            .read(&simulator, provider, &text, Fault::Body(body))
            .await;

        let stored = row(&pool, account, "twice").await.unwrap();
        assert_eq!(stored.0.as_deref(), Some("last"), "{account}");
        let duplicates: i64 = sqlx::query_scalar(
            "SELECT sum(duplicate)::bigint FROM paysync.windows WHERE account_id = $1",
        )
        .bind(account)
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(duplicates, 1, "{account}");
        assert!(quarantined_items(&pool, account).await.is_empty());
        simulator.stop().await;
    }
}

/// Replaces the first list by an object.
fn without_list(value: &mut Value) -> bool {
    match value {
        Value::Array(_) => {
            *value = Value::Object(serde_json::Map::new());
            true
        }
        Value::Object(members) => members.values_mut().any(without_list),
        _ => false,
    }
}

/// An object where the list of items is due is no page: it is requested again, and nothing is quarantined.
#[sqlx::test(migrations = "./migrations")]
async fn a_page_with_an_object_in_place_of_the_list_is_requested_again(pool: PgPool) {
    for provider in providers() {
        let simulator = start(history(30, 1)).await;
        let text = config_text(&simulator, &pool, &[provider], SMALL);
        let first_page = FirstPage::fetch(&simulator, &text).await;
        let mut body: Value = serde_json::from_str(&first_page.response.body).unwrap();
        assert!(without_list(&mut body));
        let fault = Fault::Body(body.to_string());
        first_page.read(&simulator, provider, &text, fault).await;
        assert_eq!(simulator.requests(provider).faults, 1);
        assert!(
            quarantined_items(&pool, &first_page.account.id)
                .await
                .is_empty()
        );
        assert_exact(&pool, &simulator, &[provider]).await;
        simulator.stop().await;
    }
}
