//! The example answers of the providers' documentation, word for word, served over HTTP and read by
//! a real sync: every item becomes a row, with its payload as redacted.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use paysync::clock::ShiftedClock;
use paysync::engine::Outcome;
use paysync_simulator::{Fault, Handle, Provider};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::SMALL;
use crate::providers::{build, fixture, redaction};
use crate::support::{
    TIMEOUT, account_of, config_text, count, engine_of, history, now, start, stored, sync,
};

/// What the examples hold and no payload may: a card number, card tokens, 3-D Secure payloads.
const SECRETS: &[&str] = &[
    "3947333443347584",
    "544ffa4a-d16f-4ebb-b390-d997c29858c9",
    "3529d42227424875af8722cbf54d7073",
    "\"recurringToken\"",
    "eJxVUtFy2jAQ",
    "\"md\"",
    "\"cavv\"",
];

/// A published answer, and what the tables hold once it is read.
struct Example {
    provider: Provider,
    /// Its file among the provider's fixtures.
    name: &'static str,
    /// What is wanted, so that the answer is what was asked for: from then …
    from: &'static str,
    /// … until then, which is also the time of the reading.
    now: &'static str,
    /// Where the items are, and the member that is an item's id.
    items: &'static str,
    id: &'static str,
    /// Id, kind, status, amount, currency and creation of each row, in the order of ids.
    rows: &'static [&'static str],
}

const EXAMPLES: &[Example] = &[
    Example {
        provider: Provider::BegatewayDwh,
        name: "published",
        from: "2024-01-01T05:00:00Z",
        now: "2024-01-01T06:00:00Z",
        items: "/data/transactions",
        id: "uid",
        rows: &[
            "1cd98e2e-7ed4-44f6-a4d3-42211e42ce3c payment succeeded 46.39 USD 2024-01-01 05:30:22.841",
            "3c0c6f09-b6d6-419b-940e-7fe1b98a6ac6 capture succeeded 8.79 USD 2024-01-01 05:30:21.423",
            "794734e6-3932-47d0-99b1-c640730e7293 authorization succeeded 19.79 USD 2024-01-01 05:30:22.04",
            "9084b001-6a55-4eed-b09c-0467ee6941b9 authorization succeeded 12.57 EUR 2024-01-01 05:30:24.186",
            "95813fc8-0488-4fda-893a-d03130456d2f authorization succeeded 36.08 USD 2024-01-01 05:30:20.762",
        ],
    },
    Example {
        provider: Provider::BegatewayReport,
        name: "published",
        from: "2022-01-27T14:00:00Z",
        now: "2022-01-27T15:00:00Z",
        items: "/transactions",
        id: "uid",
        rows: &[
            "20528-f87e29fa35 payment pending 10.00 USD 2022-01-27 14:07:00",
            "20529-66a8451797 payment pending 10.00 USD 2022-01-27 14:11:53",
        ],
    },
    Example {
        provider: Provider::Convergegate,
        name: "published",
        from: "2030-12-25T10:00:00Z",
        now: "2030-12-25T11:00:00Z",
        items: "/result",
        id: "id",
        rows: &["91d27876e87f4b22b3ecd53924bf973d payment pending 11.12 EUR 2030-12-25 10:11:12"],
    },
    Example {
        provider: Provider::Ecommpay,
        name: "published",
        from: "2018-08-01T08:00:00Z",
        now: "2018-08-01T09:00:00Z",
        items: "/operations",
        id: "operation_id",
        rows: &[
            "1232452442 refund succeeded 58.00 EUR 2018-08-01 08:28:47",
            "6435212162442 payment succeeded 12.00 USD 2018-08-01 08:28:47",
        ],
    },
    Example {
        provider: Provider::Firekassa,
        name: "published",
        from: "2019-12-31T20:00:00Z",
        now: "2019-12-31T22:00:00Z",
        items: "/items",
        id: "id",
        rows: &["20 payment pending 105.23 RUB 2019-12-31 21:00:00"],
    },
    Example {
        provider: Provider::Firekassa,
        name: "recorded",
        from: "2023-04-20T15:00:00Z",
        now: "2023-04-20T17:00:00Z",
        items: "/items",
        id: "id",
        rows: &["507164249 payment canceled 20.00 RUB 2023-04-20 15:47:01"],
    },
];

/// The page of the DWH with Smart Routing: its items have no uid, and the cursor lies a day on.
const SMART_ROUTING: Example = Example {
    provider: Provider::BegatewayDwh,
    name: "published-smart-routing",
    from: "2024-01-01T03:00:00Z",
    now: "2024-01-02T06:00:00Z",
    items: "/data/transactions",
    id: "uid",
    rows: &[
        "36d87fc6-8a51-4d8e-a573-0c8ee0764b28 other unknown 2024-01-01 03:30:20.762",
        "ddadaae1-812e-42c6-a551-114ca178e91f other unknown 2024-01-01 03:30:21.423",
    ],
};

impl Example {
    fn code(&self) -> &'static str {
        self.provider.slug()
    }

    fn body(&self) -> String {
        fixture(self.code(), self.name).body
    }

    fn items(&self, body: &str) -> Vec<Value> {
        let body: Value = serde_json::from_str(body).unwrap();
        body.pointer(self.items)
            .unwrap()
            .as_array()
            .unwrap()
            .clone()
    }

    /// The answers to what is asked next because of this one. Where there are none, the simulator
    /// itself answers, which has no rows of that time.
    fn answers_to_follow(&self) -> Vec<String> {
        match self.provider {
            // The cursor is in the zone that the example's request names.
            Provider::BegatewayDwh => vec![
                json!({"data": {"transactions": [], "pagination": {"has_next_page": false}}})
                    .to_string(),
            ],
            // A short page is no proof of the end: the last row is asked for again.
            Provider::Ecommpay => {
                let last = self.items(&self.body()).pop().unwrap();
                vec![json!({"operations": [last], "signature": "k4iXC845FvT+"}).to_string()]
            }
            _ => Vec::new(),
        }
    }

    /// The account that reads it: its history only, from just before the example.
    fn configuration(&self, simulator: &Handle, pool: &PgPool) -> String {
        let options = match self.provider {
            Provider::BegatewayReport => {
                "options.date_types = [\"created_at\"]\noptions.manual_corrections = false\n"
            }
            _ => "",
        };
        // One window at a time: the first request is the example's, and all of its time is in it.
        let text = config_text(
            simulator,
            pool,
            &[self.provider],
            &format!("{SMALL}concurrency = 1\n{options}"),
        );
        let line = |line: &str| match line.split(' ').next() {
            Some("start_from") => format!("start_from = \"{}\"\n", self.from),
            Some("options") => String::new(),
            _ => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    /// Syncs when it is `now`, with `body` as the first answer.
    async fn read(&self, simulator: &Handle, pool: &PgPool, body: String) {
        let served = simulator.requests(self.provider).faults;
        let bodies = [vec![body], self.answers_to_follow()].concat();
        for body in &bodies {
            simulator.fail_next(self.provider, Fault::Body(body.clone()));
        }
        let mut engine = engine_of(&self.configuration(simulator, pool)).await;
        let time: DateTime<Utc> = self.now.parse().unwrap();
        engine.clock = Arc::new(ShiftedClock(time - now()));
        // Streams of changes ask from when the account was first seen: not within this test.
        sqlx::query("UPDATE paysync.accounts SET first_seen_at = '2040-01-01'")
            .execute(pool)
            .await
            .unwrap();
        let outcomes = sync(&engine, TIMEOUT).await;
        let account = account_of(self.provider);
        assert_eq!(outcomes[&account], Outcome::Covered, "{}", self.code());
        engine.store.pool().close().await;
        let served = simulator.requests(self.provider).faults - served;
        assert_eq!(
            usize::try_from(served).unwrap(),
            bodies.len(),
            "{}",
            self.code()
        );
        let outside = "SELECT coalesce(sum(outside), 0)::bigint FROM paysync.windows";
        assert_eq!(count(pool, outside).await, 0, "{}", self.code());
    }

    async fn rows(&self, pool: &PgPool) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT concat_ws(' ', provider_transaction_id, kind, status, amount, currency,
                 created_at AT TIME ZONE 'UTC')
             FROM paysync.transactions WHERE account_id = $1
             ORDER BY provider_transaction_id COLLATE \"C\"",
        )
        .bind(account_of(self.provider))
        .fetch_all(pool)
        .await
        .unwrap()
    }

    /// The payload of every item of `body` is stored, and nothing that is always taken out of it.
    async fn assert_payloads(&self, pool: &PgPool, body: &str) {
        let keys = build(self.code(), json!({})).spec().redaction;
        for item in self.items(body) {
            let id = item[self.id].to_string();
            let id = id.trim_matches('"');
            let payload: String = sqlx::query_scalar(
                "SELECT payload::text FROM paysync.raw_transactions
                 WHERE account_id = $1 AND provider_transaction_id = $2",
            )
            .bind(account_of(self.provider))
            .bind(id)
            .fetch_one(pool)
            .await
            .unwrap();
            for secret in SECRETS {
                assert!(!payload.contains(secret), "{} {id}: {secret}", self.code());
            }
            let item = RawValue::from_string(item.to_string()).unwrap();
            let expected = redaction::redact_plainly(&item, &keys);
            let read = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
            assert_eq!(read(&payload), read(expected.get()), "{} {id}", self.code());
        }
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn every_item_of_a_published_example_is_a_row(pool: PgPool) {
    let simulator = start(history(10, 1)).await;
    for example in EXAMPLES {
        let body = example.body();
        assert_eq!(example.items(&body).len(), example.rows.len());
        example.read(&simulator, &pool, body.clone()).await;
        assert_eq!(example.rows(&pool).await, example.rows);
        example.assert_payloads(&pool, &body).await;
        let table = stored(&pool, &account_of(example.provider)).await;
        let shown: Vec<Value> = table.into_values().map(without_nulls).collect();
        insta::assert_json_snapshot!(format!("{}__{}", example.code(), example.name), shown);
        // The next example is read by an account that knows nothing.
        sqlx::query("TRUNCATE paysync.transactions, paysync.raw_transactions, paysync.windows, paysync.streams, paysync.rescans")
            .execute(&pool)
            .await
            .unwrap();
    }
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.quarantine").await,
        0
    );
    simulator.stop().await;
}

fn without_nulls(row: serde_json::Map<String, Value>) -> Value {
    row.into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect()
}

/// The page says that every item has a uid, and then shows items without one: they go to quarantine
/// whole. With the uids that its own pagination names, they are rows.
#[sqlx::test(migrations = "./migrations")]
async fn the_example_of_smart_routing_is_not_lost(pool: PgPool) {
    let simulator = start(history(10, 1)).await;
    let body = SMART_ROUTING.body();
    SMART_ROUTING.read(&simulator, &pool, body.clone()).await;
    assert!(SMART_ROUTING.rows(&pool).await.is_empty());
    let aside: Vec<(String, String, String)> =
        sqlx::query_as("SELECT reason, detail, payload FROM paysync.quarantine ORDER BY payload")
            .fetch_all(&pool)
            .await
            .unwrap();
    let items = SMART_ROUTING.items(&body);
    assert_eq!(aside.len(), items.len());
    for ((reason, detail, payload), item) in aside.iter().zip(&items) {
        assert_eq!(
            (reason.as_str(), detail.as_str()),
            ("missing_id", "uid is missing")
        );
        let payload: Value = serde_json::from_str(payload).unwrap();
        assert_eq!(payload, *item);
    }

    let mut whole: Value = serde_json::from_str(&body).unwrap();
    for (place, end) in [(0, "uid_from"), (1, "uid_to")] {
        let uid = whole["data"]["pagination"][end].clone();
        whole["data"]["transactions"][place]["uid"] = uid;
    }
    sqlx::query("TRUNCATE paysync.windows, paysync.streams, paysync.rescans")
        .execute(&pool)
        .await
        .unwrap();
    let body = whole.to_string();
    SMART_ROUTING.read(&simulator, &pool, body.clone()).await;
    assert_eq!(SMART_ROUTING.rows(&pool).await, SMART_ROUTING.rows);
    SMART_ROUTING.assert_payloads(&pool, &body).await;
    simulator.stop().await;
}
