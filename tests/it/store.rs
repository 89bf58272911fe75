//! Each method of the store on a real PostgreSQL, a database per test.

mod columns;
mod copies;
mod cuts;
mod erase;
mod gate;
mod lanes;
mod near;
mod replay;
mod retention;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bigdecimal::BigDecimal;
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use paysync::plan::{Lane, Pass, Plan, Planned};
use paysync::store::account::Lease;
use paysync::store::page::{CommittedPage, PageCommit, PageContext, PageCounts, WindowTransition};
use paysync::store::progress::stream::{NewStream, StreamState};
use paysync::store::progress::window::{OpenWindow, WindowFailure};
use paysync::store::{Store, StoreError};
use paysync_provider::item::{PageItems, PreparedItem, Record, Rejected};
use paysync_provider::model::{Kind, Status, Transaction, Window};
use paysync_provider::{
    Checkpoint, Page, PageError, Position, Provider, RecordError, Refusal, Request, Response, Spec,
};
use sqlx::PgPool;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::support::{count, in_time, url, versions};

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
async fn bench(pool: &PgPool) -> (Store, Lease) {
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
        unimplemented!()
    }

    fn request(&self, _: &Position<'_>) -> Result<Request, PageError> {
        unimplemented!()
    }

    fn page<'r>(&self, _: &Position<'_>, _: &'r Response) -> Result<Page<'r>, PageError> {
        unimplemented!()
    }

    fn refusal(&self, _: &Response) -> Refusal {
        unimplemented!()
    }
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

async fn gaps(pool: &PgPool) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    sqlx::query_as("SELECT gap_from, gap_to FROM paysync.coverage_gaps ORDER BY gap_from")
        .fetch_all(pool)
        .await
        .unwrap()
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

#[sqlx::test(migrations = "./migrations")]
async fn the_program_and_the_tests_migrate_alike(pool: PgPool) {
    let store = Store::with_pool(pool.clone());
    store.migrate().await.unwrap();
    let kept: (Option<String>, Option<String>) = sqlx::query_as(
        "SELECT to_regclass('paysync._sqlx_migrations')::text, to_regclass('public._sqlx_migrations')::text",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(kept, (Some("paysync._sqlx_migrations".to_owned()), None));
}

#[sqlx::test(migrations = "./migrations")]
async fn an_empty_database_is_migrated_by_the_program(pool: PgPool) {
    sqlx::query("DROP SCHEMA paysync CASCADE")
        .execute(&pool)
        .await
        .unwrap();
    let store = Store::with_pool(pool.clone());
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    let (_store, _lease) = bench(&pool).await;
    let skew = store.ping().await.unwrap() - crate::support::now();
    assert!(skew.abs() < TimeDelta::minutes(5), "{skew}");
    assert!(!store.server_version().await.unwrap().is_empty());
}

#[sqlx::test(migrations = "./migrations")]
async fn what_is_known_already_is_not_written_again(pool: PgPool) {
    let written = || async {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT format('%s %s %s', account_id, xmin, ctid) FROM paysync.accounts
             UNION ALL SELECT format('%s %s %s', stream, xmin, ctid) FROM paysync.streams ORDER BY 1",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        rows
    };
    let store = Store::with_pool(pool.clone());
    let register = |zone: &'static str, new: NewStream<'static>| {
        let store = store.clone();
        async move {
            store
                .register_account(ACCOUNT, "convergegate", zone)
                .await
                .unwrap();
            store.register_stream(ACCOUNT, &new).await.unwrap();
        }
    };
    register("UTC", new_stream(STREAM)).await;
    let before = written().await;
    assert_eq!(before.len(), 2);
    register("UTC", new_stream(STREAM)).await;
    assert_eq!(written().await, before);

    let earlier = NewStream {
        wanted_from: hour(-5),
        ..new_stream(STREAM)
    };
    register("Europe/Riga", earlier).await;
    let after = written().await;
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|row| !before.contains(row)), "{after:?}");
    assert_eq!(state(&store).await.progress.wanted_from, hour(-5));
    let first_seen = store.account(ACCOUNT).await.unwrap().first_seen_at;
    register("UTC", new_stream(STREAM)).await;
    let again = store.account(ACCOUNT).await.unwrap().first_seen_at;
    assert_eq!(first_seen, again);
}

#[sqlx::test(migrations = "./migrations")]
async fn a_lease_is_held_renewed_and_given_back(pool: PgPool) {
    let (store, mine) = bench(&pool).await;
    assert_eq!(lease(&store, "other").await, None);
    let renewed = store.renew(std::slice::from_ref(&mine), TTL).await.unwrap();
    assert_eq!(renewed, [ACCOUNT]);
    store.release(std::slice::from_ref(&mine)).await.unwrap();
    let late = store.renew(std::slice::from_ref(&mine), TTL).await.unwrap();
    assert!(late.is_empty(), "what was given back is not taken again");
    let other = lease(&store, "other").await.unwrap();
    assert!(other.token > mine.token);

    // What is no longer held can neither be renewed nor given back.
    let renewed = store.renew(std::slice::from_ref(&mine), TTL).await.unwrap();
    assert!(renewed.is_empty());
    store.release(std::slice::from_ref(&mine)).await.unwrap();
    assert_eq!(lease(&store, "me").await, None);
    // A holder that lost sight of its own lease gets it back, under a new token.
    let again = lease(&store, "other").await.unwrap();
    assert!(again.token > other.token);
}

#[sqlx::test(migrations = "./migrations")]
async fn a_lease_is_taken_over_when_its_time_is_up(pool: PgPool) {
    let (store, mine) = bench(&pool).await;
    let short = Duration::from_millis(1);
    store
        .renew(std::slice::from_ref(&mine), short)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let other = lease(&store, "other").await.unwrap();
    assert_eq!(other.token, mine.token + 1);
    let holder: Option<String> = sqlx::query_scalar("SELECT lease_holder FROM paysync.accounts")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(holder.as_deref(), Some("other"));
}

/// Past its end a lease is nobody's, though nobody has taken it over: it cannot be renewed.
#[sqlx::test(migrations = "./migrations")]
async fn a_lease_that_ran_out_is_not_renewed(pool: PgPool) {
    let (store, mine) = bench(&pool).await;
    assert_eq!(mine.idle, None, "nobody had it before");
    let past = "UPDATE paysync.accounts SET lease_until = clock_timestamp() - interval '3 s'";
    sqlx::query(past).execute(&pool).await.unwrap();
    let renewed = store.renew(std::slice::from_ref(&mine), TTL).await.unwrap();
    assert!(renewed.is_empty());
    // Whoever takes it is told since when the account may not have been asked for anything.
    let other = lease(&store, "other").await.unwrap();
    let idle = other.idle.unwrap();
    assert!(idle >= Duration::from_secs(3), "{idle:?}");
    store.release(std::slice::from_ref(&other)).await.unwrap();
    let again = lease(&store, "me").await.unwrap();
    assert!(again.idle.is_some_and(|soon| soon < idle), "{again:?}");
}

#[sqlx::test(migrations = "./migrations")]
async fn a_paused_account_is_neither_taken_nor_kept(pool: PgPool) {
    let (store, mine) = bench(&pool).await;
    assert!(store.set_paused(ACCOUNT, true).await.unwrap());
    let renewed = store.renew(std::slice::from_ref(&mine), TTL).await.unwrap();
    assert!(renewed.is_empty());
    store.release(std::slice::from_ref(&mine)).await.unwrap();
    assert_eq!(lease(&store, "me").await, None);
    assert!(store.account(ACCOUNT).await.unwrap().paused);
    assert!(store.set_paused(ACCOUNT, false).await.unwrap());
    assert!(lease(&store, "me").await.is_some());
    assert!(!store.set_paused("unknown", true).await.unwrap());
}

#[sqlx::test(migrations = "./migrations")]
async fn two_leasers_at_once_share(pool: PgPool) {
    let store = Store::with_pool(pool.clone());
    let ids: Vec<String> = (0..20).map(|number| format!("a{number:02}")).collect();
    for id in &ids {
        store
            .register_account(id, "convergegate", "UTC")
            .await
            .unwrap();
    }
    // The other process is in the middle of taking the first half.
    let mut other = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM paysync.accounts WHERE account_id < 'a10' FOR UPDATE")
        .execute(&mut *other)
        .await
        .unwrap();
    let taken = store.acquire(&ids, "me", TTL, 100);
    let taken = in_time("a leaser waits for the other", taken)
        .await
        .unwrap();
    let mut taken: Vec<String> = taken.into_iter().map(|lease| lease.account_id).collect();
    taken.sort();
    assert_eq!(taken, ids[10..]);
    other.rollback().await.unwrap();

    let (left, right) = tokio::join!(
        store.acquire(&ids, "left", TTL, 5),
        store.acquire(&ids, "right", TTL, 5)
    );
    let all: Vec<Lease> = left.unwrap().into_iter().chain(right.unwrap()).collect();
    let distinct: BTreeSet<&String> = all.iter().map(|lease| &lease.account_id).collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    // One may find locked what the other takes, and gets it the next time.
    let rest = store.acquire(&ids, "third", TTL, 100).await.unwrap();
    assert_eq!(all.len() + rest.len(), 10);
}

#[sqlx::test(migrations = "./migrations")]
async fn nothing_is_written_under_an_old_token(pool: PgPool) {
    let (store, old) = bench(&pool).await;
    let window = open_one(&store, &old).await;
    store.release(std::slice::from_ref(&old)).await.unwrap();
    let new = lease(&store, "other").await.unwrap();

    let mut commit = page(&window, vec![record("a", 1), record("b", 1)], close());
    reject(&mut commit, vec![bad("[]")]);
    let lost = store.commit_page(&old, commit).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    let lost = store
        .commit_page(&old, page(&window, vec![], close()))
        .await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    let plan = Plan {
        open: vec![planned(1, 2)],
        begin: Vec::new(),
    };
    let lost = store.open(&old, STREAM, hour(9), &plan).await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    let lost = store.suspend_account(&old, "reason", "hint").await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    let lost = store.suspend_stream(&old, STREAM, "reason", "hint").await;
    assert!(matches!(lost, Err(StoreError::LeaseLost)), "{lost:?}");
    store.fail_window(&old, window.id, trouble()).await.unwrap();

    assert!(versions(&pool).await.is_empty());
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.quarantine").await,
        0
    );
    let state = state(&store).await;
    assert_eq!(state.open, std::slice::from_ref(&window));
    assert!(state.progress.coverage.is_empty() && state.suspended_at.is_none());
    assert_eq!(store.account(ACCOUNT).await.unwrap().suspended_reason, None);

    let commit = page(&window, vec![record("a", 1)], close());
    assert_eq!(
        store
            .commit_page(&new, commit)
            .await
            .unwrap()
            .counts
            .inserted,
        1
    );
}

fn trouble() -> WindowFailure<'static> {
    WindowFailure {
        error: "broken",
        hint: "mend it",
        pause: Duration::from_mins(1),
        restart: true,
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn a_window_goes_on_at_its_checkpoint_and_ends_in_the_coverage(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let windows = open(&store, &lease, &[planned(1, 2), planned(0, 1)]).await;
    let starts: Vec<_> = windows.iter().map(|w| w.planned.window).collect();
    assert_eq!(starts, [span(1, 2), span(0, 1)]);

    let commit = page(&windows[0], vec![record("a", 1)], more(1));
    store.commit_page(&lease, commit).await.unwrap();
    let resumed = state(&store).await;
    let held = resumed.open.iter().find(|w| w.id == windows[0].id).unwrap();
    assert_eq!(held.checkpoint.as_ref().unwrap().offset(), 1);
    assert_eq!((held.pages, held.items), (1, 1));
    assert!(resumed.progress.coverage.is_empty());
    assert_eq!(resumed.progress.length, TimeDelta::hours(1));

    let commit = page(&windows[0], vec![record("b", 1)], close());
    store.commit_page(&lease, commit).await.unwrap();
    let closed = state(&store).await;
    assert_eq!(closed.progress.coverage.windows(), [span(1, 2)]);
    assert_eq!(closed.progress.length, TimeDelta::hours(2));
    assert_eq!(closed.open, [windows[1].clone()]);
    let again = store
        .commit_page(&lease, page(&windows[0], vec![], close()))
        .await;
    assert!(matches!(again, Err(StoreError::WindowGone)), "{again:?}");

    store
        .commit_page(&lease, page(&windows[1], vec![], close()))
        .await
        .unwrap();
    let joined = state(&store).await;
    assert_eq!(joined.progress.coverage.windows(), [span(0, 2)]);
    assert!(joined.open.is_empty());
}

#[sqlx::test(migrations = "./migrations")]
async fn a_split_window_lives_on_in_its_halves(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let whole = open(&store, &lease, &[planned(0, 4)]).await.remove(0);
    let then = WindowTransition::Split {
        halves: (span(0, 2), span(2, 4)),
        length: TimeDelta::hours(2),
    };
    let commit = page(&whole, vec![record("a", 1)], then);
    assert_eq!(
        store
            .commit_page(&lease, commit)
            .await
            .unwrap()
            .counts
            .inserted,
        1
    );
    let mut split = state(&store).await;
    assert!(split.progress.coverage.is_empty());
    split.open.sort_by_key(|window| window.planned.window);
    let halves: Vec<Planned> = split.open.iter().map(|w| w.planned).collect();
    assert_eq!(halves, [planned(0, 2), planned(2, 4)]);
    assert_eq!(split.open[0].checkpoint, None);
    for half in &split.open {
        store
            .commit_page(&lease, page(half, vec![], close()))
            .await
            .unwrap();
    }
    let done = state(&store).await;
    assert_eq!(done.progress.coverage.windows(), [span(0, 4)]);
    let outcomes: Vec<Option<String>> =
        sqlx::query_scalar("SELECT outcome FROM paysync.windows ORDER BY window_id")
            .fetch_all(&pool)
            .await
            .unwrap();
    let words: Vec<&str> = outcomes.iter().flatten().map(String::as_str).collect();
    assert_eq!(words, ["split", "closed", "closed"]);
}

#[sqlx::test(migrations = "./migrations")]
async fn a_rescan_takes_what_it_read_off_its_pass(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let day = TimeDelta::days(1);
    let pass = Pass {
        lane: Lane::Rescan,
        within: day,
        started_at: hour(30),
        remaining: [span(0, 4), span(6, 8)].into_iter().collect(),
    };
    let rescan = Planned {
        lane: Lane::Rescan,
        tier: Some(day),
        ..planned(2, 4)
    };
    let plan = Plan {
        open: vec![rescan],
        begin: vec![pass.clone()],
    };
    let window = store
        .open(&lease, STREAM, hour(24), &plan)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(state(&store).await.progress.passes, [pass]);
    store
        .commit_page(&lease, page(&window, vec![], close()))
        .await
        .unwrap();
    let passes = state(&store).await.progress.passes;
    assert_eq!(passes[0].remaining.windows(), [span(0, 2), span(6, 8)]);
}

/// Opens a window of a lane that looks again, with the pass it belongs to.
async fn open_again(store: &Store, lease: &Lease, lane: Lane, from: i64, to: i64) -> OpenWindow {
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

/// Only what was listed to its end is covered; a count can refute it, and asking by id says nothing.
#[sqlx::test(migrations = "./migrations")]
async fn what_looks_again_proves_no_coverage(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let windows = open(&store, &lease, &[planned(0, 6)]).await;
    store
        .commit_page(&lease, page(&windows[0], vec![], close()))
        .await
        .unwrap();

    let repoll = open_again(&store, &lease, Lane::Repoll, 4, 9).await;
    store
        .commit_page(&lease, page(&repoll, vec![], close()))
        .await
        .unwrap();
    assert_eq!(
        state(&store).await.progress.coverage.windows(),
        [span(0, 6)]
    );

    for (from, to, counted, covered) in [
        (0, 2, 0, vec![span(0, 6)]),
        (2, 4, 1, vec![span(0, 2), span(4, 6)]),
    ] {
        let audit = open_again(&store, &lease, Lane::Audit, from, to).await;
        let context = PageContext {
            provider_count: Some(counted),
            ..page(&audit, vec![], close()).context
        };
        let held = store.stored_count(ACCOUNT, &audit).await.unwrap();
        assert_eq!((held.rows, held.at_end), (0, 0));
        store.close_audit(&lease, &context, held).await.unwrap();
        let progress = state(&store).await.progress;
        assert_eq!(progress.coverage.windows(), covered);
        let pass = progress.passes.iter().find(|pass| pass.lane == Lane::Audit);
        assert!(!pass.unwrap().remaining.covers(span(from, to)));
    }
}

/// A provider that will not do it costs a pass, and is asked again when the next one is due.
#[sqlx::test(migrations = "./migrations")]
async fn a_pass_that_is_given_up_keeps_nothing_waiting(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let repoll = open_again(&store, &lease, Lane::Repoll, 0, 24).await;
    let trouble = WindowFailure {
        error: "status 404: no such path",
        hint: "set repoll = []",
        pause: Duration::ZERO,
        restart: false,
    };
    let stale = Lease {
        token: lease.token - 1,
        ..lease.clone()
    };
    store.give_up_pass(&stale, &repoll, trouble).await.unwrap();
    assert_eq!(state(&store).await.open.len(), 1);
    store.give_up_pass(&lease, &repoll, trouble).await.unwrap();
    let state = state(&store).await;
    assert!(state.open.is_empty());
    assert!(state.progress.passes[0].remaining.is_empty());
    let said: (String, String, String) =
        sqlx::query_as("SELECT outcome, error, hint FROM paysync.windows")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(
        said,
        (
            "dropped".to_owned(),
            trouble.error.to_owned(),
            trouble.hint.to_owned()
        )
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn forgotten_coverage_takes_windows_back(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let windows = open(&store, &lease, &[planned(0, 6), planned(6, 8)]).await;
    store
        .commit_page(&lease, page(&windows[0], vec![], close()))
        .await
        .unwrap();

    assert_eq!(
        store
            .forget_coverage("unknown", None, span(0, 9))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        store
            .forget_coverage(ACCOUNT, Some("other"), span(0, 9))
            .await
            .unwrap(),
        0
    );
    // Neighbours of what is forgotten stay.
    assert_eq!(
        store
            .forget_coverage(ACCOUNT, Some(STREAM), span(2, 6))
            .await
            .unwrap(),
        1
    );
    let left = state(&store).await;
    assert_eq!(left.progress.coverage.windows(), [span(0, 2)]);
    assert_eq!(left.open, [windows[1].clone()]);

    store
        .forget_coverage(ACCOUNT, None, span(1, 7))
        .await
        .unwrap();
    let left = state(&store).await;
    assert_eq!(left.progress.coverage.windows(), [span(0, 1)]);
    assert!(left.open.is_empty());
    let mut commit = page(&windows[1], vec![record("a", 1)], close());
    reject(&mut commit, vec![bad("[]")]);
    let gone = store.commit_page(&lease, commit).await;
    assert!(matches!(gone, Err(StoreError::WindowGone)), "{gone:?}");
    assert!(versions(&pool).await.is_empty());
    assert_eq!(
        count(&pool, "SELECT count(*) FROM paysync.quarantine").await,
        0
    );
    assert_eq!(
        state(&store).await.progress.coverage.windows(),
        [span(0, 1)]
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn every_item_is_counted_once(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let window = open_one(&store, &lease).await;
    let first = vec![
        record("same", 1),
        record("newer", 1),
        record("older", 5),
        record("twice", 1),
        record("twice", 2),
    ];
    let counts = store
        .commit_page(&lease, page(&window, first, more(1)))
        .await
        .unwrap()
        .counts;
    let expected = PageCounts {
        items: 5,
        inserted: 4,
        duplicate: 1,
        ..PageCounts::default()
    };
    assert_eq!(counts, expected);

    let second = vec![
        record("same", 1),
        record("newer", 2),
        record("older", 4),
        record("new", 1),
        // The last of a page wins, even if it carries an older stamp.
        record("again", 9),
        record("again", 3),
    ];
    let mut commit = page(&window, second, close());
    reject(&mut commit, vec![bad("[]"), bad("{}")]);
    commit.context.outside = 2;
    commit.context.provider_count = Some(77);
    let counts = store.commit_page(&lease, commit).await.unwrap().counts;
    let expected = PageCounts {
        items: 8,
        inserted: 2,
        updated: 1,
        unchanged: 1,
        stale: 1,
        duplicate: 1,
        quarantined: 2,
        outside: 2,
    };
    assert_eq!(counts, expected);
    assert_adds_up(&counts);

    let ledger: (i64, i64, i64, i64, i64, i64, i64, i64, i64, Option<i64>) = sqlx::query_as(
        "SELECT pages, items, inserted, updated, unchanged, stale, duplicate, quarantined, outside, provider_count
         FROM paysync.windows",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(ledger, (2, 13, 6, 1, 1, 1, 2, 2, 2, Some(77)));
    let amounts: Vec<(String, String)> = rows(&pool)
        .await
        .into_iter()
        .map(|(id, amount, _)| (id, amount))
        .collect();
    let expected = [
        ("again", "3"),
        ("new", "1"),
        ("newer", "2"),
        ("older", "5"),
        ("same", "1"),
        ("twice", "2"),
    ];
    let expected = expected.map(|(id, amount)| (id.to_owned(), amount.to_owned()));
    assert_eq!(amounts, expected);
}

#[sqlx::test(migrations = "./migrations")]
async fn the_last_item_of_a_row_that_can_be_read_is_stored(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let window = open_one(&store, &lease).await;
    let versions = (1..5).map(|version| record("a", version));
    let (items, mut provider) = items(versions.collect());
    provider.transactions.remove(r#"{"id":"a","version":4}"#);
    let page = PageCommit {
        items: &items,
        provider: &provider,
        ..page(&window, vec![], close())
    };
    let committed = store.commit_page(&lease, page).await.unwrap();
    let counts = committed.counts;
    assert_adds_up(&counts);
    assert_eq!(
        (counts.inserted, counts.duplicate, counts.quarantined),
        (1, 2, 1)
    );
    let reason = RecordError::Shape.to_string();
    assert_eq!(committed.first_rejection, Some(reason));
    let stored = rows(&pool).await;
    assert_eq!(
        stored.into_iter().map(|row| row.1).collect::<Vec<_>>(),
        ["3"]
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn every_column_is_stored(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let window = open_one(&store, &lease).await;
    let text = |text: &str| Some(text.to_owned());
    let number = |digits: &str| Some(digits.parse::<BigDecimal>().unwrap());
    let mut full = record("full", 1);
    let row = &mut full.transaction;
    row.parent_transaction_id = text("parent");
    row.payment_group_id = text("group");
    row.merchant_reference = text("reference");
    row.shop_id = text("shop");
    row.kind = Kind::Refund;
    row.provider_kind = text("REFUND");
    row.status = Status::Failed;
    row.provider_status = text("DECLINED");
    row.amount = number("12345678901234567890.123456789012345678");
    row.currency = text("EUR");
    row.paid_amount = number("0.01");
    row.converted_amount = number("-7");
    row.converted_currency = text("JPY");
    row.fee = number("0.5");
    row.fee_currency = text("USD");
    row.created_at = Some(hour(1) + TimeDelta::microseconds(1));
    row.updated_at = Some(hour(2));
    row.paid_at = Some(hour(3));
    row.settled_at = Some(hour(4));
    row.payment_method = text("card");
    row.card_brand = text("VISA");
    row.card_bin = text("42424242");
    row.card_last4 = text("0001");
    row.card_issuer_country = text("LV");
    row.customer_id = text("customer");
    row.customer_email = text("a@example.com");
    row.customer_ip = text("192.0.2.1");
    row.error_code = text("05");
    row.error_message = text("declined");
    row.rrn = text("rrn");
    row.arn = text("arn");
    row.auth_code = text("auth");
    row.provider_reference = text("provider reference");
    row.gateway = text("gateway");
    row.description = text("description");
    row.is_test = Some(false);
    let empty = record("less", 1);
    let commit = page(&window, vec![full, empty], close());
    store.commit_page(&lease, commit).await.unwrap();
    let table = crate::support::stored(&pool, ACCOUNT).await;
    let expected = serde_json::json!({
        "provider_transaction_id": "full", "parent_transaction_id": "parent", "payment_group_id": "group",
        "merchant_reference": "reference", "shop_id": "shop", "kind": "refund", "provider_kind": "REFUND",
        "status": "failed", "provider_status": "DECLINED",
        "amount": "12345678901234567890.123456789012345678", "currency": "EUR", "paid_amount": "0.01",
        "converted_amount": "-7", "converted_currency": "JPY", "fee": "0.5", "fee_currency": "USD",
        "created_at": "2026-03-01T01:00:00.000001Z", "updated_at": "2026-03-01T02:00:00.000000Z",
        "paid_at": "2026-03-01T03:00:00.000000Z", "settled_at": "2026-03-01T04:00:00.000000Z",
        "payment_method": "card", "card_brand": "VISA", "card_bin": "42424242", "card_last4": "0001",
        "card_issuer_country": "LV", "customer_id": "customer", "customer_email": "a@example.com",
        "customer_ip": "192.0.2.1", "error_code": "05", "error_message": "declined", "rrn": "rrn",
        "arn": "arn", "auth_code": "auth", "provider_reference": "provider reference",
        "gateway": "gateway", "description": "description", "is_test": "false",
    });
    assert_eq!(serde_json::Value::Object(table["full"].clone()), expected);
    assert!(table["less"]["fee"].is_null() && table["less"]["is_test"].is_null());
}

#[sqlx::test(migrations = "./migrations")]
async fn a_page_without_news_writes_no_row(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let window = open_one(&store, &lease).await;
    let records = || -> Vec<Record<'static>> {
        (0..300)
            .map(|number| record(&format!("{number:04}"), 1))
            .collect()
    };
    let counts = store
        .commit_page(&lease, page(&window, records(), more(1)))
        .await
        .unwrap()
        .counts;
    assert_eq!(counts.inserted, 300);
    let before = versions(&pool).await;
    assert_eq!(before.len(), 600);
    let counts = store
        .commit_page(&lease, page(&window, records(), more(2)))
        .await
        .unwrap()
        .counts;
    assert_eq!((counts.items, counts.unchanged), (300, 300));
    assert_eq!(versions(&pool).await, before);

    // One row with news: only that one is written.
    let mut records = records();
    records[7] = record("0007", 2);
    let counts = store
        .commit_page(&lease, page(&window, records, close()))
        .await
        .unwrap()
        .counts;
    assert_eq!((counts.unchanged, counts.updated), (299, 1));
    let after = versions(&pool).await;
    let untouched = before.iter().filter(|row| after.contains(row)).count();
    assert_eq!((untouched, after.len()), (598, 601));
}

/// Stamps and requests decide which version is kept, whatever order they come in.
#[sqlx::test(migrations = "./migrations")]
async fn the_newest_version_is_kept_and_the_others_are_history(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let window = open_one(&store, &lease).await;
    let commit = |record: Record<'static>, requested: i64| {
        let mut commit = page(
            &window,
            vec![record],
            more(u64::try_from(requested).unwrap()),
        );
        commit.context.requested_at = hour(requested);
        store.commit_page(&lease, commit)
    };
    let of = |page: CommittedPage| {
        let counts = page.counts;
        (
            counts.inserted,
            counts.updated,
            counts.unchanged,
            counts.stale,
        )
    };
    let (new, updated, unchanged, stale) = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1));

    assert_eq!(of(commit(record("a", 2), 10).await.unwrap()), new);
    assert_eq!(of(commit(record("a", 3), 11).await.unwrap()), updated);
    assert_eq!(of(commit(record("a", 1), 12).await.unwrap()), stale);
    assert_eq!(of(commit(record("a", 3), 13).await.unwrap()), unchanged);
    // Equal stamps, other contents: the later request wins.
    let same_stamp = |version| stamped("a", version, record("a", 3).transaction.updated_at);
    assert_eq!(of(commit(same_stamp(7), 9).await.unwrap()), stale);
    assert_eq!(of(commit(same_stamp(8), 20).await.unwrap()), updated);
    // A newer stamp wins even if it was asked for earlier.
    assert_eq!(of(commit(record("a", 10), 5).await.unwrap()), updated);
    // Without stamps only the request counts.
    assert_eq!(of(commit(stamped("b", 1, None), 10).await.unwrap()), new);
    assert_eq!(of(commit(stamped("b", 2, None), 9).await.unwrap()), stale);
    assert_eq!(
        of(commit(stamped("b", 3, None), 11).await.unwrap()),
        updated
    );

    let held: Vec<String> = rows(&pool).await.into_iter().map(|row| row.2).collect();
    assert_eq!(
        held,
        [r#"{"id":"a","version":10}"#, r#"{"id":"b","version":3}"#]
    );
    let history: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT provider_transaction_id, amount::text, valid_from < valid_to
         FROM paysync.transaction_history ORDER BY provider_transaction_id, version_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let expected = [
        ("a", "2", true),
        ("a", "3", true),
        ("a", "8", true),
        ("b", "1", true),
    ]
    .map(|(id, amount, ordered)| (id.to_owned(), amount.to_owned(), ordered));
    assert_eq!(history, expected);
    // The versions follow each other without a hole, up to the one that is held.
    let holes = count(
        &pool,
        "SELECT count(*) FROM (
            SELECT valid_to, coalesce(
                lead(valid_from) OVER (PARTITION BY provider_transaction_id ORDER BY version_id),
                (SELECT changed_at FROM paysync.transactions AS held
                 WHERE held.provider_transaction_id = history.provider_transaction_id)
            ) AS next_from
            FROM paysync.transaction_history AS history
        ) AS pairs WHERE valid_to <> next_from",
    );
    assert_eq!(holes.await, 0);
}

#[sqlx::test(migrations = "./migrations")]
async fn what_postgresql_refuses_is_put_aside_alone(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let window = open_one(&store, &lease).await;
    let mut records: Vec<Record<'static>> = (0..100)
        .map(|number| record(&format!("{number:04}"), 1))
        .collect();
    // Longer than an entry of an index may be, and not to be compressed.
    let mut random = fastrand::Rng::with_seed(7);
    let long: String = (0..10_000).map(|_| random.alphanumeric()).collect();
    records.insert(13, record(&long, 1));
    let mut long_ago = record("long ago", 1);
    long_ago.transaction.updated_at = Utc.with_ymd_and_hms(-5000, 1, 1, 0, 0, 0).single();
    records.insert(60, long_ago);
    records.push(Record {
        payload: Cow::Borrowed("{"),
        ..record("no json", 1)
    });
    let mut nul = record("nul", 1);
    nul.transaction.provider_transaction_id = "nul\0".to_owned();
    records.push(nul);
    let mut commit = page(&window, records, close());
    reject(&mut commit, vec![bad("[]")]);
    let counts = store.commit_page(&lease, commit).await.unwrap().counts;
    assert_adds_up(&counts);
    assert_eq!(
        (counts.items, counts.inserted, counts.quarantined),
        (105, 100, 5)
    );
    assert_eq!(rows(&pool).await.len(), 100);
    assert_eq!(
        state(&store).await.progress.coverage.windows(),
        [span(0, 1)]
    );
    let details: Vec<String> = sqlx::query_scalar(
        "SELECT detail FROM paysync.quarantine WHERE reason = 'refused_by_database' ORDER BY detail",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(
        details,
        [
            "SQLSTATE 22008",
            "SQLSTATE 22021",
            "SQLSTATE 22P02",
            "SQLSTATE 54000"
        ]
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn payloads_keep_what_jsonb_refuses(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let window = open_one(&store, &lease).await;
    let texts = [
        r#"{"id":"a","text":"nul \u0000 in it"}"#,
        r#"{"id":"b","text":"half a pair \ud83d"}"#,
        r#"{"id":"c",  "twice":1, "twice":2, "number":1.50e+3}"#,
    ];
    let records: Vec<Record<'_>> = ["a", "b", "c"]
        .into_iter()
        .zip(texts)
        .map(|(id, text)| Record {
            payload: Cow::Borrowed(text),
            hash: hash(text),
            ..record(id, 1)
        })
        .collect();
    let counts = store
        .commit_page(&lease, page(&window, records, close()))
        .await
        .unwrap()
        .counts;
    assert_eq!(counts.inserted, 3);
    let held: Vec<String> = rows(&pool).await.into_iter().map(|row| row.2).collect();
    assert_eq!(held, texts);
}

#[sqlx::test(migrations = "./migrations")]
async fn an_item_met_again_in_quarantine_is_one_row(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let window = open_one(&store, &lease).await;
    for then in [more(1), close()] {
        let mut commit = page(&window, Vec::new(), then);
        // Twice in one page as well.
        reject(&mut commit, vec![bad("[]"), bad("[]")]);
        assert_eq!(
            store
                .commit_page(&lease, commit)
                .await
                .unwrap()
                .counts
                .quarantined,
            2
        );
    }
    let seen: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT payload, times_seen, reason FROM paysync.quarantine")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(seen, [("[]".to_owned(), 2, "unreadable_item".to_owned())]);
}

/// Lanes overlap: pages with the same rows in other orders and versions, at the same time.
#[sqlx::test(migrations = "./migrations")]
async fn lanes_side_by_side_neither_wait_in_a_circle_nor_count_twice(pool: PgPool) {
    const LANES: u64 = 10;
    const PAGES: u64 = 8;
    let (_, lease) = bench(&pool).await;
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

#[sqlx::test(migrations = "./migrations")]
async fn gaps_are_what_is_neither_covered_nor_being_read(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    assert!(gaps(&pool).await.is_empty(), "nothing was wanted yet");
    let plan = Plan {
        open: vec![planned(2, 4), planned(6, 8)],
        begin: Vec::new(),
    };
    let windows = store.open(&lease, STREAM, hour(10), &plan).await.unwrap();
    let expected = [(hour(0), hour(2)), (hour(4), hour(6)), (hour(8), hour(10))];
    assert_eq!(gaps(&pool).await, expected);
    store
        .commit_page(&lease, page(&windows[0], vec![], close()))
        .await
        .unwrap();
    assert_eq!(gaps(&pool).await, expected);

    // What is only read again is no reason to call it covered.
    let rescan = Planned {
        lane: Lane::Rescan,
        tier: Some(TimeDelta::days(1)),
        ..planned(0, 10)
    };
    let plan = Plan {
        open: vec![rescan],
        begin: Vec::new(),
    };
    store.open(&lease, STREAM, hour(10), &plan).await.unwrap();
    assert_eq!(gaps(&pool).await, expected);

    let rest = open(
        &store,
        &lease,
        &[planned(0, 2), planned(4, 6), planned(8, 24)],
    )
    .await;
    assert!(gaps(&pool).await.is_empty());
    for window in rest.iter().chain(&windows[1..]) {
        store
            .commit_page(&lease, page(window, vec![], close()))
            .await
            .unwrap();
    }
    assert!(gaps(&pool).await.is_empty());
    store
        .forget_coverage(ACCOUNT, None, span(3, 5))
        .await
        .unwrap();
    assert_eq!(gaps(&pool).await, [(hour(3), hour(5))]);
    let earlier = NewStream {
        wanted_from: hour(-1),
        ..new_stream(STREAM)
    };
    store.register_stream(ACCOUNT, &earlier).await.unwrap();
    assert_eq!(gaps(&pool).await, [(hour(-1), hour(0)), (hour(3), hour(5))]);
}

#[sqlx::test(migrations = "./migrations")]
async fn a_failed_window_waits_and_a_stored_page_forgives(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let window = open_one(&store, &lease).await;
    store
        .commit_page(&lease, page(&window, vec![], more(5)))
        .await
        .unwrap();
    store
        .fail_window(&lease, window.id, trouble())
        .await
        .unwrap();
    store
        .fail_window(&lease, window.id, trouble())
        .await
        .unwrap();
    let failed = state(&store).await.open.remove(0);
    assert_eq!((failed.failures, &failed.checkpoint), (2, &None));
    assert!(failed.retry_at.unwrap() > store.ping().await.unwrap());
    let said: (Option<String>, Option<String>) =
        sqlx::query_as("SELECT last_error, hint FROM paysync.sync_health")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(
        said,
        (Some("broken".to_owned()), Some("mend it".to_owned()))
    );

    store
        .commit_page(&lease, page(&window, vec![], more(6)))
        .await
        .unwrap();
    let mended = state(&store).await.open.remove(0);
    assert_eq!((mended.failures, mended.retry_at), (0, None));
    assert_eq!(mended.checkpoint.unwrap().offset(), 6);
}

#[sqlx::test(migrations = "./migrations")]
async fn what_is_suspended_says_why_until_it_is_lifted(pool: PgPool) {
    let (store, lease) = bench(&pool).await;
    let health = || async {
        let row: (Option<String>, Option<String>) =
            sqlx::query_as("SELECT suspended_reason, hint FROM paysync.sync_health")
                .fetch_one(&pool)
                .await
                .unwrap();
        row
    };
    let words = |reason: &str, hint: &str| (Some(reason.to_owned()), Some(hint.to_owned()));
    store
        .suspend_stream(&lease, STREAM, "no such field", "look")
        .await
        .unwrap();
    assert_eq!(health().await, words("no such field", "look"));
    store
        .suspend_account(&lease, "who are you", "ask them")
        .await
        .unwrap();
    assert_eq!(health().await, words("who are you", "ask them"));
    let account = store.account(ACCOUNT).await.unwrap();
    assert!(account.suspended_at.is_some());

    store.lift_suspension(ACCOUNT, false).await.unwrap();
    assert_eq!(health().await, words("no such field", "look"));
    assert!(state(&store).await.suspended_at.is_some());
    store.lift_suspension(ACCOUNT, true).await.unwrap();
    assert_eq!(health().await, (None, None));
    assert!(state(&store).await.suspended_at.is_none());
}
