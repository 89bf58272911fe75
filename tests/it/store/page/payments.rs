//! Payments: rows get the same `payment_key` in whatever order they arrive.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use paysync::store::Store;
use paysync::store::account::Lease;
use paysync::store::progress::window::OpenWindow;
use paysync_provider::item::Record;
use paysync_provider::model::{Kind, PaymentLinks, Transaction};
use sqlx::PgPool;

use crate::store::{
    ACCOUNT, Records, hash, items, leased_store, more, open, page, planned, real_provider, record,
};
use crate::support::assert_recounted;

const PROVIDERS: [&str; 5] = [
    "begateway_report",
    "begateway_dwh",
    "convergegate",
    "ecommpay",
    "firekassa",
];

const KINDS: [Kind; 6] = [
    Kind::Payment,
    Kind::Authorization,
    Kind::Capture,
    Kind::Refund,
    Kind::Void,
    Kind::Other,
];

fn links_of(provider: &str) -> PaymentLinks {
    real_provider(provider).spec().payment_links
}

/// The key of each row by the rule, from all rows at once.
fn expected(links: PaymentLinks, rows: &BTreeMap<String, Transaction>) -> BTreeMap<String, String> {
    let nodes = |row: &Transaction| {
        let group = row.payment_group_id.clone().filter(|_| links.group);
        let own = format!("t:{}", row.provider_transaction_id);
        let followed = row.followed_id().map(|id| format!("t:{id}"));
        [Some(own), followed, group.map(|group| format!("g:{group}"))]
            .into_iter()
            .flatten()
            .collect()
    };
    let mut payments: Vec<BTreeSet<String>> = Vec::new();
    for row in rows.values() {
        let mut payment: BTreeSet<String> = nodes(row);
        payments.retain(|other| {
            let is_apart = other.is_disjoint(&payment);
            if !is_apart {
                payment.extend(other.iter().cloned());
            }
            is_apart
        });
        payments.push(payment);
    }
    let above = |node: &str| {
        rows.get(node.strip_prefix("t:")?)?
            .followed_id()
            .map(|id| format!("t:{id}"))
    };
    let key_of = |payment: &BTreeSet<String>| {
        if let Some(group) = payment.iter().find(|node| node.starts_with("g:")) {
            return group.clone();
        }
        if let Some(top) = payment.iter().find(|node| above(node).is_none()) {
            return top.clone();
        }
        // As many steps as there are nodes end inside the cycle; as many more have seen all of it.
        let mut node = payment.first().unwrap().clone();
        let mut seen = BTreeSet::new();
        for step in 0..2 * payment.len() {
            node = above(&node).unwrap();
            if step >= payment.len() {
                seen.insert(node.clone());
            }
        }
        seen.pop_first().unwrap()
    };
    let key = |id: &String| {
        let payment = payments
            .iter()
            .find(|payment| payment.contains(&format!("t:{id}")));
        (id.clone(), key_of(payment.unwrap()))
    };
    rows.keys().map(key).collect()
}

async fn stored(pool: &PgPool) -> BTreeMap<String, String> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT provider_transaction_id, payment_key FROM paysync.transactions")
            .fetch_all(pool)
            .await
            .unwrap();
    rows.into_iter().collect()
}

fn random_row(
    random: &mut Rng,
    links: PaymentLinks,
    id: &str,
    ids: &[String],
    version: i64,
) -> Record<'static> {
    let mut record = record(id, version);
    let row = &mut record.transaction;
    row.kind = random.choice(KINDS).unwrap();
    row.parent_transaction_id = match random.u32(0..4) {
        _ if !links.parent => None,
        0 => None,
        1 => Some("missing".to_owned()),
        _ => random.choice(ids).cloned(),
    };
    let groups = [None, None, Some("x"), Some("y"), Some("z")];
    row.payment_group_id = random.choice(groups).unwrap().map(str::to_owned);
    record
}

async fn commit(
    store: &Store,
    lease: &Lease,
    window: &OpenWindow,
    provider: &'static str,
    rows: Vec<Record<'static>>,
) {
    let (items, records) = items(rows);
    let mut page = page(window, Vec::new(), more(0));
    page.context.provider_code = provider;
    page.items = Box::leak(Box::new(items));
    page.provider = Box::leak(Box::new(Records {
        code: provider,
        ..records
    }));
    store.commit_page(lease, page).await.unwrap();
}

/// Rows in random trees, cycles and groups arrive in random batches, and change.
#[sqlx::test(migrations = "./migrations")]
async fn the_order_of_arrival_does_not_change_a_payment(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open(&store, &lease, &[planned(0, 1)]).await.remove(0);
    for seed in 0..60 {
        let mut random = Rng::with_seed(seed);
        let provider = random.choice(PROVIDERS).unwrap();
        let links = links_of(provider);
        sqlx::query("TRUNCATE paysync.transactions, paysync.raw_transactions, paysync.transaction_history, paysync.daily_sums")
            .execute(&pool)
            .await
            .unwrap();
        let mut ids: Vec<String> = (0..random.u32(2..12)).map(|n| format!("{n:02}")).collect();
        let mut rows = BTreeMap::new();
        // The second half of the pages changes rows.
        random.shuffle(&mut ids);
        let changed: Vec<String> = ids.iter().filter(|_| random.bool()).cloned().collect();
        let order: Vec<(String, i64)> = ids
            .iter()
            .map(|id| (id.clone(), 1))
            .chain(changed.into_iter().map(|id| (id, 2)))
            .collect();
        let mut rest = &order[..];
        while !rest.is_empty() {
            let (next, later) = rest.split_at(random.usize(1..=rest.len().min(4)));
            rest = later;
            // The last item of a row wins.
            let page: BTreeMap<&String, Record<'_>> = next
                .iter()
                .map(|(id, version)| (id, random_row(&mut random, links, id, &ids, *version)))
                .collect();
            rows.extend(page.values().map(|row| {
                (
                    row.transaction.provider_transaction_id.clone(),
                    row.transaction.clone(),
                )
            }));
            commit(
                &store,
                &lease,
                &window,
                provider,
                page.into_values().collect(),
            )
            .await;
            assert_eq!(
                stored(&pool).await,
                expected(links, &rows),
                "seed {seed}, {provider}: {rows:#?}"
            );
        }
        assert_recounted(&pool).await;
    }
}

/// Rows that are copied in bulk are joined as those that are upserted.
#[sqlx::test(migrations = "./migrations")]
async fn copied_rows_are_joined(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let window = open(&store, &lease, &[planned(0, 1)]).await.remove(0);
    for provider in PROVIDERS {
        let mut random = Rng::with_seed(7);
        let links = links_of(provider);
        sqlx::query("TRUNCATE paysync.transactions, paysync.raw_transactions, paysync.daily_sums")
            .execute(&pool)
            .await
            .unwrap();
        let ids: Vec<String> = (0..240).map(|n| format!("{n:03}")).collect();
        let mut order: Vec<&String> = ids.iter().collect();
        random.shuffle(&mut order);
        let mut rows = BTreeMap::new();
        for page in order.chunks(80) {
            let mut page: Vec<Record<'_>> = page
                .iter()
                .map(|id| random_row(&mut random, links, id, &ids, 1))
                .collect();
            for row in &mut page {
                let n: u32 = row.transaction.provider_transaction_id.parse().unwrap();
                row.transaction.payment_group_id =
                    n.is_multiple_of(3).then(|| (n % 50).to_string());
            }
            rows.extend(page.iter().map(|row| {
                (
                    row.transaction.provider_transaction_id.clone(),
                    row.transaction.clone(),
                )
            }));
            commit(&store, &lease, &window, provider, page).await;
            assert_eq!(stored(&pool).await, expected(links, &rows), "{provider}");
        }
        assert_recounted(&pool).await;
    }
}

/// Two windows of one account are stored side by side: the page that brings a capture is not committed yet when the
/// other brings its refund.
#[sqlx::test(migrations = "./migrations")]
async fn pages_that_are_written_side_by_side_join_their_rows(pool: PgPool) {
    let (store, lease) = leased_store(&pool).await;
    let windows = open(&store, &lease, &[planned(0, 1), planned(1, 2)]).await;
    let step = |id: &str, kind: Kind, parent: &str| {
        let mut record = record(id, 1);
        record.transaction.kind = kind;
        record.transaction.parent_transaction_id = Some(parent.to_owned());
        vec![record]
    };
    // A page that has written and joined its row, and has not committed.
    let mut capture = pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO paysync.transactions (account_id, provider, provider_transaction_id, parent_transaction_id, kind, status,
             payload_hash, observed_at, payment_key)
         VALUES ($1, 'convergegate', 'capture', 'payment', 'capture', 'succeeded', $2, now(), 't:payment')",
    )
    .bind(ACCOUNT)
    .bind(hash("capture"))
    .execute(&mut *capture)
    .await
    .unwrap();
    sqlx::query("SELECT paysync.join_payments($1, '{capture}', '{payment}', NULL, '{}')")
        .bind(ACCOUNT)
        .execute(&mut *capture)
        .await
        .unwrap();
    let refund = commit(
        &store,
        &lease,
        &windows[1],
        "convergegate",
        step("refund", Kind::Refund, "capture"),
    );
    let commits = async {
        // The refund's page waits for the lock of the first.
        crate::support::eventually("a page waits to join", async || {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%join_payments%'";
            crate::support::count(&pool, waiting).await == 1
        })
        .await;
        capture.commit().await.unwrap();
    };
    tokio::join!(refund, commits);
    let keys = stored(&pool).await;
    assert_eq!(keys.values().collect::<BTreeSet<_>>().len(), 1, "{keys:?}");
    commit(
        &store,
        &lease,
        &windows[0],
        "convergegate",
        vec![record("payment", 1)],
    )
    .await;
    let keys = stored(&pool).await;
    assert!(
        keys.len() == 3 && keys.values().all(|key| key == "t:payment"),
        "{keys:?}"
    );
}

/// The SQL of the migrations says the same as the providers.
#[sqlx::test(migrations = "./migrations")]
async fn the_rule_is_the_same_in_sql(pool: PgPool) {
    for provider in PROVIDERS {
        let links = links_of(provider);
        for (kind, parent, group) in KINDS.into_iter().flat_map(|kind| {
            [None, Some("parent"), Some("id")]
                .into_iter()
                .flat_map(move |parent| [None, Some("group")].map(|group| (kind, parent, group)))
        }) {
            let row = Transaction {
                provider_transaction_id: "id".to_owned(),
                kind,
                parent_transaction_id: parent.map(str::to_owned),
                payment_group_id: group.map(str::to_owned),
                ..Transaction::default()
            };
            let (key, followed, named): (String, Option<String>, Option<String>) = sqlx::query_as(
                "SELECT paysync.own_payment_key($1, $2, 'id', $3, $4), paysync.followed_id($2, 'id', $3), paysync.named_group($1, $4)",
            )
            .bind(provider)
            .bind(kind.as_str())
            .bind(parent)
            .bind(group)
            .fetch_one(&pool)
            .await
            .unwrap();
            assert_eq!(key, row.own_payment_key(links), "{provider} {row:?}");
            assert_eq!(followed.as_deref(), row.followed_id(), "{row:?}");
            assert_eq!(
                named.as_deref(),
                group.filter(|_| links.group),
                "{provider}"
            );
        }
    }
}
