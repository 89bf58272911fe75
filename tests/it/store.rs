//! Each method of the store on a real PostgreSQL, a database per test.

mod cancellation;
mod erase;
mod forget;
mod leases;
mod page;
mod progress;
mod registration;
mod replay;
mod retention;
mod stalling_proxy;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bigdecimal::BigDecimal;
use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use paysync::plan::{Lane, Pass, Plan, Planned};
use paysync::store::Store;
use paysync::store::account::Lease;
use paysync::store::page::{PageCommit, PageContext, PageCounts, WindowTransition};
use paysync::store::progress::stream::{NewStream, StreamState};
use paysync::store::progress::window::{OpenWindow, WindowFailure};
use paysync_provider::item::{PageItems, PreparedItem, Record, Rejected};
use paysync_provider::model::{Kind, Status, Transaction, Window};
use paysync_provider::wire::Object;
use paysync_provider::{
    Checkpoint, Page, PageError, Position, Provider, RecordError, Request, Response, Settings, Spec,
};
use sqlx::PgPool;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

const ACCOUNT: &str = "acme";
const STREAM: &str = "created";
const TTL: Duration = Duration::from_secs(30);

fn hour(hour: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 0, 0, 0).unwrap() + TimeDelta::hours(hour)
}

fn span(start: i64, end: i64) -> Window {
    Window::new(hour(start), hour(end)).unwrap()
}

fn planned(start: i64, end: i64) -> Planned {
    Planned {
        window: span(start, end),
        lane: Lane::Backfill,
        tier: None,
    }
}

fn new_stream(name: &str) -> NewStream<'_> {
    NewStream {
        stream: name,
        role: "history",
        expected_lag: TimeDelta::zero(),
        wanted_from: hour(0),
        length: TimeDelta::hours(1),
    }
}

/// A row whose payload is its id, version and stamp.
fn record(id: &str, version: i64) -> Record<'static> {
    stamped(id, version, Some(hour(0) + TimeDelta::seconds(version)))
}

fn stamped(id: &str, version: i64, updated_at: Option<DateTime<Utc>>) -> Record<'static> {
    let payload = format!(r#"{{"id":"{id}","version":{version}}}"#);
    Record {
        transaction: Transaction {
            provider_transaction_id: id.to_owned(),
            kind: Kind::Payment,
            status: Status::Succeeded,
            amount: Some(BigDecimal::from(version)),
            currency: Some("EUR".to_owned()),
            created_at: Some(hour(0)),
            updated_at,
            ..Transaction::default()
        },
        hash: hash(&payload),
        payload: Cow::Owned(payload),
    }
}

fn hash(payload: &str) -> Uuid {
    Uuid::from_u128(xxh3_128(payload.as_bytes()))
}

fn bad(payload: &'static str) -> Rejected<'static> {
    Rejected {
        provider_transaction_id: None,
        reason: "unreadable_item",
        detail: "for a test".to_owned(),
        payload: Cow::Borrowed(payload),
        hash: hash(payload),
    }
}

/// A store with one account, one stream, and the lease on it.
async fn leased_store(pool: &PgPool) -> (Store, Lease) {
    let store = Store::with_pool(pool.clone());
    store
        .register_account(ACCOUNT, "convergegate", "UTC")
        .await
        .unwrap();
    let new = new_stream(STREAM);
    store.register_stream(ACCOUNT, &new).await.unwrap();
    let lease = lease(&store, "me").await.unwrap();
    (store, lease)
}

async fn lease(store: &Store, holder: &str) -> Option<Lease> {
    let accounts = [ACCOUNT.to_owned()];
    let leases = store.acquire(&accounts, holder, TTL, 1).await.unwrap();
    leases.into_iter().next()
}

async fn open(store: &Store, lease: &Lease, windows: &[Planned]) -> Vec<OpenWindow> {
    let plan = Plan {
        open: windows.to_vec(),
        begin: Vec::new(),
    };
    store.open(lease, STREAM, hour(24), &plan).await.unwrap()
}

async fn open_one(store: &Store, lease: &Lease) -> OpenWindow {
    open(store, lease, &[planned(0, 1)]).await.remove(0)
}

/// A provider that knows what its items say, by their payloads.
struct Records {
    code: &'static str,
    transactions: BTreeMap<String, Transaction>,
    /// How many items were read.
    reads: AtomicUsize,
}

impl Provider for Records {
    fn normalize(&self, item: &str) -> Result<Transaction, RecordError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let transaction = self.transactions.get(item);
        transaction.cloned().ok_or(RecordError::Shape)
    }

    fn spec(&self) -> Spec {
        real_provider(self.code).spec()
    }

    fn request(&self, _: &Position<'_>) -> Result<Request, PageError> {
        unreachable!("the store only normalizes")
    }

    fn page<'r>(&self, _: &Position<'_>, _: &'r Response) -> Result<Page<'r>, PageError> {
        unreachable!("the store only normalizes")
    }

    fn error_message(&self, _: &Object<'_>) -> Option<String> {
        unreachable!("the store only normalizes")
    }
}

fn real_provider(code: &str) -> Box<dyn Provider> {
    let settings = Settings {
        time_zone: chrono_tz::Tz::UTC,
        options: serde_json::json!({}),
    };
    paysync_provider::build(code, &settings).unwrap()
}

/// The items that are read as these records.
fn items(records: Vec<Record<'_>>) -> (PageItems<'_>, Records) {
    let mut transactions = BTreeMap::new();
    let mut items = PageItems::default();
    for record in records {
        items.items.push(PreparedItem {
            id: record.transaction.provider_transaction_id.clone(),
            time: None,
            payload: record.payload.clone(),
            hash: record.hash,
        });
        transactions.insert(record.payload.into_owned(), record.transaction);
    }
    let provider = Records {
        code: "convergegate",
        transactions,
        reads: AtomicUsize::new(0),
    };
    (items, provider)
}

fn page<'a>(
    window: &'a OpenWindow,
    records: Vec<Record<'a>>,
    transition: WindowTransition,
) -> PageCommit<'a> {
    // A page only borrows its items: those of a test live as long as the test.
    let (items, provider) = items(records);
    PageCommit {
        context: PageContext {
            provider_code: "convergegate",
            window,
            requested_at: hour(100),
            outside: 0,
            provider_count: None,
        },
        items: Box::leak(Box::new(items)),
        provider: Box::leak(Box::new(provider)),
        created: None,
        likely_new: false,
        transition,
    }
}

/// Adds items that can become no rows.
fn reject<'a>(page: &mut PageCommit<'a>, rejected: Vec<Rejected<'a>>) {
    page.items = Box::leak(Box::new(PageItems {
        items: page.items.items.clone(),
        rejected,
        redactions: page.items.redactions,
    }));
}

fn more(offset: u64) -> WindowTransition {
    WindowTransition::More(Checkpoint::Offset {
        offset,
        last_id: None,
    })
}

fn close() -> WindowTransition {
    WindowTransition::Close {
        length: Some(TimeDelta::hours(2)),
        refuted: false,
    }
}

async fn state(store: &Store) -> StreamState {
    store.streams(ACCOUNT).await.unwrap().remove(0)
}

fn assert_adds_up(counts: &PageCounts) {
    let parts = counts.inserted
        + counts.updated
        + counts.unchanged
        + counts.stale
        + counts.duplicate
        + counts.quarantined;
    assert_eq!(counts.items, parts, "{counts:?}");
}

/// Id, amount, payload of what is stored.
async fn rows(pool: &PgPool) -> Vec<(String, String, String)> {
    sqlx::query_as(
        "SELECT provider_transaction_id, amount::text, payload::text
         FROM paysync.transactions JOIN paysync.raw_transactions USING (account_id, provider_transaction_id)
         ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

fn failure() -> WindowFailure<'static> {
    WindowFailure {
        error: "broken",
        hint: "mend it",
        pause: Duration::from_mins(1),
        restart: true,
    }
}

/// Opens a window of a lane that looks again, with the pass it belongs to.
async fn open_recheck(store: &Store, lease: &Lease, lane: Lane, from: i64, to: i64) -> OpenWindow {
    let day = TimeDelta::days(1);
    let plan = Plan {
        open: vec![Planned {
            lane,
            tier: Some(day),
            ..planned(from, to)
        }],
        begin: vec![Pass {
            lane,
            within: day,
            started_at: hour(30),
            remaining: [span(0, 24)].into_iter().collect(),
        }],
    };
    let opened = store.open(lease, STREAM, hour(24), &plan).await.unwrap();
    opened.into_iter().next().unwrap()
}
