//! The connections to the database: few at rest, more under load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Postgres, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::number::size;

/// Enough for the polls of some hundred accounts without changes.
const CORE_CONNECTIONS: usize = 4;

/// How long to wait for a core connection before a burst opens another: many short statements pass in it.
const BURST_AFTER: Duration = Duration::from_millis(50);

/// How long a burst lasts: meanwhile nothing waits for a core connection.
const BURST_HOLD: Duration = Duration::from_secs(1);

/// How long after the last burst the connections beyond the core are closed.
const SHRINK_AFTER: Duration = Duration::from_secs(30);

/// How long an idle connection counts as alive without a ping.
const SKIP_PING_WITHIN: Duration = Duration::from_secs(1);

/// How long to wait for a connection before the database counts as away.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A pool that is used sparingly. sqlx's pool takes its connections in turn, so that none of them would
/// be idle long enough to be closed.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pool: PgPool,
    core: Arc<Semaphore>,
    last_burst: Arc<Mutex<Option<Instant>>>,
    /// Whether the server's default is another isolation than READ COMMITTED.
    is_isolated: Arc<AtomicBool>,
}

/// The right to a core connection, until it is dropped; none in a burst.
pub(super) type CorePermit = Option<OwnedSemaphorePermit>;

impl Connections {
    /// Connects when it is first used.
    pub(crate) fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let is_isolated: Arc<AtomicBool> = Arc::default();
        let found = is_isolated.clone();
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Duration::from_mins(1))
            // A connection that was in use a moment ago needs no ping.
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    Ok(about.idle_for < SKIP_PING_WITHIN || connection.ping().await.is_ok())
                })
            })
            .after_connect(move |connection, _| {
                let found = found.clone();
                Box::pin(async move {
                    let default = "SELECT current_setting('default_transaction_isolation') <> 'read committed'";
                    // A connection that breaks now shows it at its first statement.
                    if let Ok(row) = sqlx::raw_sql(default).fetch_one(connection).await {
                        found.store(row.try_get(0)?, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        Self {
            is_isolated,
            ..Self::of(pool)
        }
    }

    pub(crate) fn of(pool: PgPool) -> Self {
        Self {
            pool,
            core: Arc::new(Semaphore::new(CORE_CONNECTIONS)),
            last_burst: Arc::default(),
            is_isolated: Arc::default(),
        }
    }

    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Whether a statement by itself is isolated more than its transaction should be.
    pub(super) fn is_isolated(&self) -> bool {
        self.is_isolated.load(Ordering::Relaxed)
    }

    pub(super) async fn acquire(
        &self,
    ) -> Result<(PoolConnection<Postgres>, CorePermit), sqlx::Error> {
        let permit = self.permit().await;
        Ok((self.pool.acquire().await?, permit))
    }

    /// Whether a returned connection is one too many.
    pub(super) fn are_too_many(&self) -> bool {
        let open = size(self.pool.size());
        open > CORE_CONNECTIONS && !self.had_burst_within(SHRINK_AFTER)
    }

    async fn permit(&self) -> CorePermit {
        if let Ok(permit) = self.core.clone().try_acquire_owned() {
            return Some(permit);
        }
        if self.had_burst_within(BURST_HOLD) {
            return None;
        }
        let waiting = tokio::time::timeout(BURST_AFTER, self.core.clone().acquire_owned());
        if let Ok(Ok(permit)) = waiting.await {
            return Some(permit);
        }
        *self.last_burst() = Some(Instant::now());
        None
    }

    fn had_burst_within(&self, span: Duration) -> bool {
        self.last_burst().is_some_and(|last| last.elapsed() < span)
    }

    fn last_burst(&self) -> MutexGuard<'_, Option<Instant>> {
        let last = self.last_burst.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }
}
