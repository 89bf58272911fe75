//! The time from a row's appearance at the provider to a query that sees it.
//!
//! A separate connection queries new rows every few milliseconds, as a reader would: it sees only committed rows. The
//! simulated provider shows a row as soon as it is created, so that its creation time is the moment it becomes visible.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::database::Server;
use crate::load::{ACCOUNT, PROVIDER, Setup};
use crate::process::Daemon;
use crate::simulator::Simulator;

/// Time between two polls of the daemon.
pub const POLL: Duration = Duration::from_secs(5);
/// New rows per second.
pub const RATE: &str = "5";
/// Time between two queries of the reader.
const QUERY_INTERVAL: Duration = Duration::from_millis(5);
/// A row may become visible this much later than a newer one.
const DISORDER: TimeDelta = TimeDelta::seconds(10);
/// Time until the history is read.
const WARM_UP: Duration = Duration::from_secs(30);

/// Times from visible to seen, ascending.
pub struct Fresh(Vec<f64>);

impl Fresh {
    /// The percentile of the times in milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        let at = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(at).copied().unwrap_or(f64::NAN)
    }

    pub fn rows(&self) -> usize {
        self.0.len()
    }
}

pub async fn measure(server: &mut Server, setup: &Setup<'_>, watched: Duration) -> Fresh {
    let simulator = Simulator::start(
        setup.simulator,
        &["--rows", "5000", "--rate", RATE, "--churn", "0"],
    );
    let settings = format!("poll_interval = \"{}s\"\nlag = \"0s\"\n", POLL.as_secs());
    let database = server.database().await;
    let accounts = simulator.account(PROVIDER, &settings);
    let config = setup.configuration("fresh", &database, &accounts);
    setup.migrate(&config);
    let daemon = Daemon::start(setup.program, &config);
    tokio::time::sleep(WARM_UP).await;

    let mut connection = database.pool.acquire().await.unwrap();
    let begin = Utc::now();
    let end_of_rows = begin + TimeDelta::from_std(watched).unwrap();
    let (mut seen, mut times, mut newest) = (BTreeSet::new(), Vec::new(), begin);
    // Waits for all rows that are created until the end.
    while Utc::now() < end_of_rows + POLL * 3 {
        let rows: Vec<(String, DateTime<Utc>)> = sqlx::query_as(
            "SELECT provider_transaction_id, created_at FROM paysync.transactions
             WHERE account_id = $1 AND created_at > $2 AND created_at < $3",
        )
        .bind(ACCOUNT)
        .bind(begin.max(newest - DISORDER))
        .bind(end_of_rows)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
        let now = Utc::now();
        for (id, created) in rows {
            newest = newest.max(created);
            if seen.insert(id) {
                times.push((now - created).num_microseconds().unwrap() as f64 / 1000.0);
            }
        }
        tokio::time::sleep(QUERY_INTERVAL).await;
    }
    let stored: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM paysync.transactions WHERE account_id = $1 AND created_at > $2 AND created_at < $3",
    )
    .bind(ACCOUNT)
    .bind(begin)
    .bind(end_of_rows)
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    assert_eq!(
        usize::try_from(stored),
        Ok(times.len()),
        "a row was seen too late to be timed"
    );
    drop(connection);
    daemon.end();
    server.drop(database).await;
    times.sort_by(f64::total_cmp);
    let fresh = Fresh(times);
    eprintln!(
        "fresh: {} rows, p50 {:.0} ms, p99 {:.0} ms",
        fresh.rows(),
        fresh.percentile(50),
        fresh.percentile(99)
    );
    fresh
}
