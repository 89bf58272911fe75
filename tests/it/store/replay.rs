//! A replay: rows that are corrected, and quarantined items that are tried again.

mod corrections;
mod quarantine;
mod redaction;

use paysync::store::Store;
use paysync::store::account::Lease;
use paysync::store::page::PageCounts;
use paysync_provider::item::{Record, Rejected};
use sqlx::PgPool;

use crate::store::{close, hour, open_one, page, reject, rows};

const PROVIDER: &str = "convergegate";

/// A page with these rows and bad items, asked for at this hour.
async fn commit(
    store: &Store,
    lease: &Lease,
    requested: i64,
    records: Vec<Record<'static>>,
    rejected: Vec<Rejected<'static>>,
) -> PageCounts {
    let window = open_one(store, lease).await;
    let mut commit = page(&window, records, close());
    commit.context.requested_at = hour(requested);
    reject(&mut commit, rejected);
    store.commit_page(lease, commit).await.unwrap().counts
}

async fn amounts(pool: &PgPool) -> Vec<(String, String)> {
    let rows = rows(pool).await.into_iter();
    rows.map(|(id, amount, _)| (id, amount)).collect()
}

fn named(id: &str, amount: &str) -> (String, String) {
    (id.to_owned(), amount.to_owned())
}
