//! PostgreSQL: progress, leases, and the page commit.
//!
//! Everything is qualified with the schema and needs no session state, so that it works behind a
//! pooler in transaction mode.

#![allow(
    clippy::as_conversions,
    reason = "sqlx's macros take the types of arrays as casts"
)]

pub mod account;
pub mod again;
mod culprits;
pub mod emptying;
mod error;
pub mod health;
pub mod life;
pub mod page;
pub mod quarantine;
mod range;
pub mod replay;
pub mod retention;
mod session;
pub mod stream;
pub mod totals;
mod transaction;
pub mod verify;
pub mod window;

use std::str::FromStr;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

pub use error::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a connection is waited for before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A handle on the database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// A store that connects when it is first used.
    ///
    /// # Errors
    /// If the URL is not one of PostgreSQL.
    pub fn new(url: &str, max_connections: u32) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?.application_name("paysync");
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Duration::from_mins(1))
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    /// A store on a pool that exists already.
    pub const fn with_pool(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The pool, for queries that are not the daemon's own.
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        MIGRATIONS
            .run(&self.pool)
            .await
            .map_err(|error| match error {
                MigrateError::Execute(cause) => match StoreError::from(cause) {
                    StoreError::Database(cause) => MigrateError::Execute(cause).into(),
                    passing => passing,
                },
                MigrateError::ExecuteMigration(cause, version) => match StoreError::from(cause) {
                    StoreError::Database(cause) => {
                        MigrateError::ExecuteMigration(cause, version).into()
                    }
                    passing => passing,
                },
                other => other.into(),
            })
    }

    /// Opens a connection beside the pool, to learn why there is none: the pool would wait, and say
    /// nothing but that it has waited.
    pub async fn reach(&self) -> Result<(), StoreError> {
        let options = self.pool.connect_options();
        let connecting = sqlx::PgConnection::connect_with(&options);
        match tokio::time::timeout(ACQUIRE_TIMEOUT, connecting).await {
            Ok(connection) => Ok(connection?.close().await?),
            Err(_) => Err(StoreError::Away(sqlx::Error::PoolTimedOut)),
        }
    }

    /// Asks the database for a sign of life, and for its clock.
    pub async fn ping(&self) -> Result<chrono::DateTime<chrono::Utc>, StoreError> {
        let now = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#)
            .fetch_one(&self.pool)
            .await?;
        Ok(now)
    }

    /// The server's version, e.g. `15.8`.
    pub async fn server_version(&self) -> Result<String, StoreError> {
        let version =
            sqlx::query_scalar!(r#"SELECT current_setting('server_version') AS "version!""#)
                .fetch_one(&self.pool)
                .await?;
        Ok(version)
    }
}
