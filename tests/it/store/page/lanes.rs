//! Lanes commute: whichever page is stored first, the version that was requested last stays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use paysync::plan::Planned;
use paysync::store::Store;
use paysync::store::page::PageCounts;
use sqlx::PgPool;

use crate::store::{
    assert_adds_up, close, hour, leased_store, more, open, open_one, page, planned, record, rows,
    span, stamped, state,
};
use crate::support::{count, in_time, url};

/// Versions of rows at a provider that shows no time of change.
#[derive(Default)]
struct Provider {
    versions: BTreeMap<String, i64>,
    clock: i64,
    /// The version that was asked for last, of each row.
    newest: BTreeMap<String, i64>,
}

/// An answer under way.
struct Answer {
    requested_at: DateTime<Utc>,
    rows: Vec<(String, i64)>,
}

impl Provider {
    fn change(&mut self, id: u32) {
        *self.versions.entry(format!("{id:02}")).or_insert(0) += 1;
    }

    fn list(&mut self, random: &mut fastrand::Rng) -> Answer {
        self.clock += 1;
        let requested_at = hour(100) + TimeDelta::seconds(self.clock);
        let shown = self.versions.iter().filter(|_| random.u8(0..3) > 0);
        let rows: Vec<(String, i64)> = shown.map(|(id, version)| (id.clone(), *version)).collect();
        self.newest.extend(rows.iter().cloned());
        Answer { requested_at, rows }
    }
}

async fn held(pool: &PgPool) -> BTreeMap<String, i64> {
    let rows = rows(pool).await.into_iter();
    rows.map(|(id, amount, _)| (id, amount.parse().unwrap()))
        .collect()
}

#[sqlx::test(migrations = "./migrations")]
async fn any_interleaving_of_lanes_gives_the_same_tables(pool: PgPool) {
    const LANES: usize = 4;
    let (store, lease) = leased_store(&pool).await;
    let window = open_one(&store, &lease).await;
    let mut stored = 0;
    for seed in 0..40 {
        sqlx::query("TRUNCATE paysync.transactions, paysync.raw_transactions")
            .execute(&pool)
            .await
            .unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut provider = Provider::default();
        let mut lanes: [Option<Answer>; LANES] = Default::default();
        for step in 0..60 {
            provider.change(random.u32(0..8));
            let lane = &mut lanes[random.usize(0..LANES)];
            let answer = match lane.take() {
                None if step < 50 => {
                    *lane = Some(provider.list(&mut random));
                    continue;
                }
                None => continue,
                Some(answer) => answer,
            };
            let records = answer.rows.iter().map(|(id, v)| stamped(id, *v, None));
            stored += 1;
            let mut commit = page(&window, records.collect(), more(stored));
            commit.context.requested_at = answer.requested_at;
            store.commit_page(&lease, commit).await.unwrap();
        }
        for answer in lanes.into_iter().flatten() {
            let records = answer.rows.iter().map(|(id, v)| stamped(id, *v, None));
            stored += 1;
            let mut commit = page(&window, records.collect(), more(stored));
            commit.context.requested_at = answer.requested_at;
            store.commit_page(&lease, commit).await.unwrap();
        }
        assert_eq!(held(&pool).await, provider.newest, "seed {seed}");
    }
}

/// The same with pages that are stored at the same time.
#[sqlx::test(migrations = "./migrations")]
async fn concurrent_lanes_never_undo_each_other(pool: PgPool) {
    const ROUNDS: u64 = 60;
    let (_, lease) = leased_store(&pool).await;
    let store = Store::new(&url(&pool), 8).unwrap();
    let window = Arc::new(open_one(&store, &lease).await);
    let provider = Arc::new(Mutex::new(Provider::default()));
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..6 {
        let (store, lease, window, provider) = (
            store.clone(),
            lease.clone(),
            window.clone(),
            provider.clone(),
        );
        lanes.spawn(async move {
            let mut random = fastrand::Rng::with_seed(lane);
            for round in 1..=ROUNDS {
                let answer = {
                    let mut provider = provider.lock().unwrap();
                    provider.change(random.u32(0..8));
                    provider.list(&mut random)
                };
                tokio::time::sleep(Duration::from_micros(random.u64(0..4000))).await;
                let records = answer.rows.iter().map(|(id, v)| stamped(id, *v, None));
                let mut commit = page(&window, records.collect(), more(lane * ROUNDS + round));
                commit.context.requested_at = answer.requested_at;
                store.commit_page(&lease, commit).await.unwrap();
            }
        });
    }
    lanes.join_all().await;
    let newest = provider.lock().unwrap().newest.clone();
    assert_eq!(held(&pool).await, newest);
}

/// Lanes overlap: pages with the same rows in other orders and versions, at the same time.
#[sqlx::test(migrations = "./migrations")]
async fn concurrent_lanes_neither_deadlock_nor_count_twice(pool: PgPool) {
    const LANES: u64 = 10;
    const PAGES: u64 = 8;
    let (_, lease) = leased_store(&pool).await;
    let store = Store::new(&url(&pool), 10).unwrap();
    let windows: Vec<Planned> = (0..10).map(|number| planned(number, number + 1)).collect();
    let windows = open(&store, &lease, &windows).await;

    let mut lanes = tokio::task::JoinSet::new();
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    for (lane, window) in (0..LANES).zip(windows) {
        let mut random = fastrand::Rng::with_seed(lane);
        let pages: Vec<Vec<(String, i64)>> = (0..PAGES)
            .map(|_| {
                (0..60)
                    .map(|_| (format!("{:03}", random.u32(0..150)), random.i64(0..50)))
                    .collect()
            })
            .collect();
        for page in &pages {
            // Within a page the last one counts.
            let last: BTreeMap<&String, i64> = page.iter().map(|(id, v)| (id, *v)).collect();
            for (id, version) in last {
                let held = newest.entry(id.clone()).or_insert(version);
                *held = version.max(*held);
            }
        }
        let (store, lease) = (store.clone(), lease.clone());
        lanes.spawn(async move {
            let mut total = PageCounts::default();
            for (number, rows) in (1..).zip(pages) {
                let items = u64::try_from(rows.len()).unwrap();
                let records = rows
                    .iter()
                    .map(|(id, version)| record(id, *version))
                    .collect();
                let then = if number == PAGES {
                    close()
                } else {
                    more(number)
                };
                let counts = store
                    .commit_page(&lease, page(&window, records, then))
                    .await
                    .unwrap()
                    .counts;
                assert_eq!(counts.items, items);
                assert_adds_up(&counts);
                total.inserted += counts.inserted;
                total.updated += counts.updated;
            }
            total
        });
    }
    let totals = in_time("lanes that wait for each other", lanes.join_all()).await;
    let sum = |of: fn(&PageCounts) -> u64| totals.iter().map(of).sum::<u64>();
    let held: BTreeMap<String, i64> = rows(&pool)
        .await
        .into_iter()
        .map(|(id, amount, _)| (id, amount.parse().unwrap()))
        .collect();
    assert_eq!(held, newest);
    assert_eq!(
        sum(|counts| counts.inserted),
        u64::try_from(held.len()).unwrap()
    );
    let history = count(&pool, "SELECT count(*) FROM paysync.transaction_history").await;
    assert_eq!(
        sum(|counts| counts.updated),
        u64::try_from(history).unwrap()
    );
    assert_eq!(
        state(&store).await.progress.coverage.windows(),
        [span(0, 10)]
    );
    store.pool().close().await;
}
