//! Items that cannot be read, or only just: what is put aside, what is kept, and that the rest of
//! their page is stored in any case.

use std::collections::BTreeMap;

use paysync::engine::replay::{Replayed, replay};
use paysync::engine::{Account, Outcome};
use paysync_provider::model::Window;
use paysync_provider::redact::redact;
use paysync_provider::{Position, Response};
use paysync_simulator::{Fault, Handle, Provider};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::PgPool;

use super::trouble::answer;
use super::{SMALL, forget_everything};
use crate::support::{
    PATIENCE, assert_exact, config_text, engine_of, history, providers, start, sync, sync_covers,
};

/// Longer than any text of a payment; fits an answer.
const LONG: usize = 5_000_000;

/// What has to become of an item.
enum Fate {
    /// Put aside for this reason.
    Aside(&'static str),
    /// Stored, with this description.
    Kept(Option<String>),
}

use Fate::{Aside, Kept};

struct Poison {
    /// Its id, where it can be read.
    id: Option<&'static str>,
    item: String,
    fate: Fate,
}

/// Makes items like a true one.
struct Kitchen {
    provider: Provider,
    id: &'static str,
    description: &'static str,
    created: &'static str,
    item: BTreeMap<String, Box<RawValue>>,
}

impl Kitchen {
    fn new(provider: Provider, id: &'static str, item: &str) -> Self {
        Self {
            provider,
            id,
            description: match provider {
                Provider::Ecommpay => "payment_description",
                Provider::Firekassa => "comment",
                _ => "description",
            },
            created: match provider {
                Provider::Ecommpay => "operation_created_at",
                Provider::Convergegate => "created",
                _ => "created_at",
            },
            item: serde_json::from_str(item).unwrap(),
        }
    }

    /// The item with other members, each as raw JSON.
    fn with(&self, members: &[(&str, &str)]) -> String {
        let mut item = self.item.clone();
        for (key, json) in members {
            let value = RawValue::from_string((*json).to_owned()).unwrap();
            item.insert((*key).to_owned(), value);
        }
        serde_json::to_string(&item).unwrap()
    }

    /// The item with another id and one more member.
    fn like(&self, id: &'static str, key: &str, json: &str, fate: Fate) -> Poison {
        let id_json = format!("\"{id}\"");
        Poison {
            id: Some(id),
            item: self.with(&[(self.id, &id_json), (key, json)]),
            fate,
        }
    }

    fn describes(&self, id: &'static str, json: &str, kept: Option<&str>) -> Poison {
        self.like(id, self.description, json, Kept(kept.map(str::to_owned)))
    }

    fn costs(&self, id: &'static str, amount: &str, currency: &str, fate: Fate) -> Poison {
        if self.provider == Provider::Ecommpay {
            let sum = format!(r#"{{"amount":{amount},"currency":"{currency}"}}"#);
            return self.like(id, "sum_initial", &sum, fate);
        }
        let (id_json, currency) = (format!("\"{id}\""), format!("\"{currency}\""));
        Poison {
            id: Some(id),
            item: self.with(&[
                (self.id, &id_json),
                ("amount", amount),
                ("currency", &currency),
            ]),
            fate,
        }
    }

    fn unreadable(&self) -> Vec<Poison> {
        let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        let digits = "9".repeat(200_000);
        let no_amount = || Aside("unreadable_amount");
        let mut poison = vec![
            Poison {
                id: None,
                item: self.with(&[(self.id, "null")]),
                fate: Aside("missing_id"),
            },
            Poison {
                id: None,
                item: "\"no object\"".to_owned(),
                fate: Aside("unreadable_item"),
            },
            Poison {
                id: None,
                item: "[]".to_owned(),
                fate: Aside("unreadable_item"),
            },
            self.like("deep", "more", &nested, Aside("nested_too_deep")),
            self.like(
                "no time",
                self.created,
                "\"soon\"",
                Aside("unreadable_time"),
            ),
            self.costs("no amount", "\"a lot\"", "EUR", no_amount()),
            self.costs("a list", "[1]", "EUR", no_amount()),
            self.costs("beyond numeric", "1e200000", "EUR", no_amount()),
            self.costs("many digits", &digits, "EUR", no_amount()),
        ];
        if !self.has_major_units() {
            let unknown = Aside("unknown_currency");
            poison.push(self.costs("no such money", "100", "QQQ", unknown));
        }
        poison
    }

    fn odd(&self) -> Vec<Poison> {
        let long = "x".repeat(LONG);
        let mut odd = vec![
            self.describes("nul", r#""a\u0000b""#, Some("a\u{fffd}b")),
            self.describes("half a pair", r#""a\ud800b""#, Some("a\u{fffd}b")),
            self.describes("an object", r#"{"a":[1]}"#, None),
            self.describes("long", &format!("\"{long}\""), Some(&long)),
            Poison {
                id: Some("a long id"),
                item: self.with(&[(self.id, &format!("\"{long}\""))]),
                fate: Aside("refused_by_database"),
            },
        ];
        if self.has_major_units() {
            // Any currency will do where no decimals have to be known.
            odd.push(self.costs("no such money", "100", "QQQ", Kept(self.own_description())));
        }
        odd
    }

    fn has_major_units(&self) -> bool {
        matches!(self.provider, Provider::Convergegate | Provider::Firekassa)
    }

    fn own_description(&self) -> Option<String> {
        let raw = self.item.get(self.description)?;
        serde_json::from_str(raw.get()).unwrap()
    }
}

/// The account's first stream, its whole history, and a true answer about it.
struct Scene {
    account: std::sync::Arc<Account>,
    whole: Window,
    response: Response,
}

impl Scene {
    async fn of(simulator: &Handle, text: &str) -> Self {
        let engine = engine_of(text).await;
        let account = engine.accounts[0].clone();
        engine.store.pool().close().await;
        let settings = simulator.settings();
        let whole = Window::new(settings.from, settings.until).unwrap();
        let response = answer(&account, &account.streams[0].spec.name, whole, 50).await;
        Self {
            account,
            whole,
            response,
        }
    }

    /// Works on the item as it is stored, so that raw texts can be compared.
    fn kitchen(&self, provider: Provider) -> Kitchen {
        let spec = &self.account.spec;
        let item = redact(self.first_item(), &spec.redaction);
        Kitchen::new(provider, spec.id_key, &item.text)
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

    /// The answer with more items before the first one.
    fn body_with<'p>(&'p self, items: impl Iterator<Item = &'p str>) -> String {
        let first = self.first_item();
        let items: Vec<&str> = items.chain([first]).collect();
        self.response.body.replacen(first, &items.join(","), 1)
    }

    /// Reads everything again; the first request is answered by `fault`.
    async fn read(&self, simulator: &Handle, provider: Provider, text: &str, fault: Fault) {
        forget_everything(text).await;
        simulator.fail_next(provider, fault);
        let engine = engine_of(text).await;
        let outcomes = sync(&engine, PATIENCE).await;
        assert_eq!(outcomes[&self.account.id], Outcome::Covered);
        engine.store.pool().close().await;
    }
}

/// Reason and id of what is put aside, by the raw text.
async fn put_aside(pool: &PgPool, account: &str) -> BTreeMap<String, (String, Option<String>)> {
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

async fn forget_rows(pool: &PgPool, account: &str, ids: &[&str]) {
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

/// Reads all that is stored again, after which nothing may be otherwise.
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

/// Each kind of poison in a page of each provider.
#[sqlx::test(migrations = "./migrations")]
async fn poison_is_put_aside_and_the_rest_is_stored(pool: PgPool) {
    for provider in providers() {
        // So few rows that no filter seems to be ignored, whichever stream asks first.
        let simulator = start(history(2, 1)).await;
        let text = config_text(&simulator, &pool, &[provider], SMALL);
        let scene = Scene::of(&simulator, &text).await;
        let account = &scene.account.id;
        let kitchen = scene.kitchen(provider);
        let mut aside = 0;
        for poison in [kitchen.unreadable(), kitchen.odd()] {
            let witness = kitchen.describes("witness", "\"seen\"", Some("seen"));
            let items = || poison.iter().chain([&witness]);
            let body = scene.body_with(items().map(|poison| poison.item.as_str()));
            scene
                .read(&simulator, provider, &text, Fault::Body(body))
                .await;

            let put_aside = put_aside(&pool, account).await;
            for poison in items() {
                let name = poison.id.unwrap_or(&poison.item);
                match &poison.fate {
                    Aside(reason) => {
                        let (found, id) = put_aside
                            .get(&poison.item)
                            .unwrap_or_else(|| panic!("{account}: {name} is lost"));
                        assert_eq!(found, reason, "{account}: {name}");
                        let known = match *reason {
                            "refused_by_database" => Some(LONG),
                            _ => poison.id.map(str::len),
                        };
                        assert_eq!(id.as_ref().map(String::len), known, "{account}: {name}");
                        aside += 1;
                    }
                    Kept(description) => {
                        let id = poison.id.unwrap();
                        let (found, payload) = row(&pool, account, id)
                            .await
                            .unwrap_or_else(|| panic!("{account}: {id} is not stored"));
                        assert!(found == *description, "{account}: {id}");
                        assert!(payload == poison.item, "{account}: {id}");
                    }
                }
            }
            assert_eq!(put_aside.len(), aside, "{account}");
            forget_rows(&pool, account, &["witness"]).await;
        }
        // Each tells in which window it was met, and when.
        let told: i64 = sqlx::query_scalar(
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
        assert_eq!(usize::try_from(told).unwrap(), aside, "{account}");

        // What was stored with replaced characters is read again just so, and what does not fit stays.
        let replayed = replayed(&text).await;
        assert_eq!(
            replayed.quarantine.stored + replayed.quarantine.superseded,
            0
        );
        let left: u64 = replayed.quarantine.remaining.values().sum();
        assert_eq!(usize::try_from(left).unwrap(), aside);

        let odd = kitchen.odd();
        let ids: Vec<&str> = odd.iter().filter_map(|poison| poison.id).collect();
        forget_rows(&pool, account, &ids).await;
        forget_everything(&text).await;
        sync_covers(&text).await;
        assert_exact(&pool, &simulator, &[provider]).await;
        simulator.stop().await;
    }
}

/// Broken bytes spoil the item they are in, and nothing else.
#[sqlx::test(migrations = "./migrations")]
async fn broken_bytes_spoil_their_item_alone(pool: PgPool) {
    for provider in providers() {
        let simulator = start(history(3, 1)).await;
        let text = config_text(&simulator, &pool, &[provider], SMALL);
        let scene = Scene::of(&simulator, &text).await;
        let account = &scene.account.id;
        let kitchen = scene.kitchen(provider);
        let broken = kitchen.describes("broken", "\"a@@b\"", None);
        let nameless = kitchen.with(&[(kitchen.id, "\"broken @@ too\"")]);
        let whole = kitchen.describes("whole", "\"ä€😀\"", Some("ä€😀"));
        let items = [&broken.item, &nameless, &whole.item];
        let body = scene.body_with(items.into_iter().map(String::as_str));
        let mut bytes = body.into_bytes();
        while let Some(place) = bytes.windows(2).position(|pair| pair == b"@@") {
            bytes[place] = 0xff;
            bytes[place + 1] = 0xc3;
        }
        scene
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
        assert_eq!(put_aside(&pool, account).await, expected);
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

/// Of an id that occurs twice the last one is kept, and the other is counted.
#[sqlx::test(migrations = "./migrations")]
async fn of_an_id_that_occurs_twice_the_last_is_kept(pool: PgPool) {
    for provider in providers() {
        let simulator = start(history(3, 1)).await;
        let text = config_text(&simulator, &pool, &[provider], SMALL);
        let scene = Scene::of(&simulator, &text).await;
        let account = &scene.account.id;
        let kitchen = scene.kitchen(provider);
        let first = kitchen.describes("twice", "\"first\"", None);
        let last = kitchen.describes("twice", "\"last\"", None);
        let items = [&first.item, &last.item].into_iter().map(String::as_str);
        let body = scene.body_with(items);
        scene
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
        assert!(put_aside(&pool, account).await.is_empty());
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

/// An object where the list of items is due is no page: asked for again, and nothing is put aside.
#[sqlx::test(migrations = "./migrations")]
async fn an_object_in_place_of_the_list_is_asked_for_again(pool: PgPool) {
    for provider in providers() {
        let simulator = start(history(30, 1)).await;
        let text = config_text(&simulator, &pool, &[provider], SMALL);
        let scene = Scene::of(&simulator, &text).await;
        let mut body: Value = serde_json::from_str(&scene.response.body).unwrap();
        assert!(without_list(&mut body));
        let fault = Fault::Body(body.to_string());
        scene.read(&simulator, provider, &text, fault).await;
        assert_eq!(simulator.requests(provider).faults, 1);
        assert!(put_aside(&pool, &scene.account.id).await.is_empty());
        assert_exact(&pool, &simulator, &[provider]).await;
        simulator.stop().await;
    }
}
