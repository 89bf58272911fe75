//! The connections to the database: few at rest, more when there is work for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::number::size;

/// So many do for polls in which nothing happens, of some hundred accounts.
const FEW: usize = 4;

/// How long one of the few is waited for before another is opened: many short statements pass in it.
const PATIENCE: Duration = Duration::from_millis(50);

/// For how long nothing is waited for after waiting did not help.
const CROWDED: Duration = Duration::from_secs(1);

/// After how long without a crowd those beyond the few are closed.
const CALM: Duration = Duration::from_secs(30);

/// For how long a connection that lies idle is taken to be there still.
const TRUSTED: Duration = Duration::from_secs(1);

/// How long a connection is waited for before the database counts as away.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A pool that is used sparingly. It takes connections in turn, so none would lie idle long enough to
/// be closed.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: PgPool,
    few: Arc<Semaphore>,
    crowded: Arc<Mutex<Option<Instant>>>,
}

/// A place among the few connections, until it is dropped; none in a crowd.
pub(super) type Place = Option<OwnedSemaphorePermit>;

impl Connections {
    /// Connects when it is first used.
    pub(super) fn new(options: PgConnectOptions, max_connections: u32) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Duration::from_mins(1))
            // A connection that was in use a moment ago is not asked whether it is there.
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(
                    async move { Ok(about.idle_for < TRUSTED || connection.ping().await.is_ok()) },
                )
            })
            .connect_lazy_with(options);
        Self::of(pool)
    }

    pub(super) fn of(pool: PgPool) -> Self {
        Self {
            pool,
            few: Arc::new(Semaphore::new(FEW)),
            crowded: Arc::default(),
        }
    }

    pub(super) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn acquire(&self) -> Result<(PoolConnection<Postgres>, Place), sqlx::Error> {
        let place = self.place().await;
        Ok((self.pool.acquire().await?, place))
    }

    /// Whether a connection that is given back is one too many.
    pub(super) fn are_too_many(&self) -> bool {
        let open = size(self.pool.size());
        open > FEW && !self.were_crowded_within(CALM)
    }

    async fn place(&self) -> Place {
        if let Ok(place) = self.few.clone().try_acquire_owned() {
            return Some(place);
        }
        if self.were_crowded_within(CROWDED) {
            return None;
        }
        let waiting = tokio::time::timeout(PATIENCE, self.few.clone().acquire_owned());
        if let Ok(Ok(place)) = waiting.await {
            return Some(place);
        }
        *self.crowded.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        None
    }

    fn were_crowded_within(&self, span: Duration) -> bool {
        let crowded = *self.crowded.lock().unwrap_or_else(PoisonError::into_inner);
        crowded.is_some_and(|crowded| crowded.elapsed() < span)
    }
}
