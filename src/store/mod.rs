//! PostgreSQL: leases, progress, and the page commit.
//!
//! Statements name the schema and need no session state, so that they work behind a pooler in transaction
//! mode.

#![allow(
    clippy::as_conversions,
    reason = "sqlx's macros take the types of arrays as casts"
)]

pub mod account;
mod columns;
mod error;
pub mod inspect;
pub mod page;
mod pool;
pub mod progress;
pub mod quarantine;
pub mod recount;
pub mod replay;
pub mod retention;

use std::str::FromStr;

use sqlx::Connection as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

pub use error::StoreError;
use error::{is_away, is_conflict};
use pool::connections::{ACQUIRE_TIMEOUT, Connections};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Creates the roles and grants their rights; can be repeated.
pub const ROLES: &str = include_str!("../../migrations/20261201100700_roles.sql");

/// A handle on the database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    connections: Connections,
    /// The connection that bypasses a pooler in transaction mode, if there is one.
    direct: Option<PgConnectOptions>,
}

impl Store {
    /// A store that connects when it is first used.
    ///
    /// # Errors
    /// If the URL is not one of PostgreSQL.
    pub fn new(url: &str, max_connections: u32) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connections: Connections::new(options(url)?, max_connections),
            direct: None,
        })
    }

    /// The same behind a pooler in transaction mode: statements are not prepared by name, and migrations use
    /// the direct connection.
    ///
    /// # Errors
    /// If a URL is not one of PostgreSQL.
    pub fn behind_pooler(
        url: &str,
        direct_url: &str,
        max_connections: u32,
    ) -> Result<Self, sqlx::Error> {
        let pooled = options(url)?.statement_cache_capacity(0);
        Ok(Self {
            connections: Connections::new(pooled, max_connections),
            direct: Some(options(direct_url)?),
        })
    }

    /// A store on an existing pool.
    pub fn with_pool(pool: PgPool) -> Self {
        Self {
            connections: Connections::of(pool),
            direct: None,
        }
    }

    /// Whether there is a pooler in transaction mode.
    const fn is_pooled(&self) -> bool {
        self.direct.is_some()
    }

    /// The pool, for queries that are not the daemon's.
    pub const fn pool(&self) -> &PgPool {
        self.connections.pool()
    }

    /// Brings the schema up to date. If it is, no right to change it is needed.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        if self.is_up_to_date().await? {
            return Ok(());
        }
        let done = match &self.direct {
            None => MIGRATIONS.run(self.pool()).await,
            Some(direct) => {
                let one = PgPoolOptions::new().max_connections(1);
                let pool = one.connect_with(direct.clone()).await?;
                MIGRATIONS.run(&pool).await
            }
        };
        done.map_err(|error| match error {
            MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)
                if is_away(&cause) || is_conflict(&cause) =>
            {
                cause.into()
            }
            MigrateError::VersionMismatch(_) => StoreError::DevelopmentBuild,
            MigrateError::VersionMissing(version)
                if MIGRATIONS.iter().all(|ours| version < ours.version) =>
            {
                StoreError::DevelopmentBuild
            }
            other => other.into(),
        })
    }

    /// Whether exactly this program's migrations have been applied.
    async fn is_up_to_date(&self) -> Result<bool, StoreError> {
        let held = sqlx::query_scalar!(
            r#"SELECT to_regclass('paysync._sqlx_migrations') IS NOT NULL AS "held!""#
        )
        .fetch_one(self.one_shot())
        .await?;
        if !held {
            return Ok(false);
        }
        // No macro: sqlx makes this table.
        let applied: Vec<(i64, Vec<u8>, bool)> = sqlx::query_as(
            "SELECT version, checksum, success FROM paysync._sqlx_migrations ORDER BY version",
        )
        .fetch_all(self.one_shot())
        .await?;
        let ours = MIGRATIONS.iter();
        let ours = ours.map(|ours| (ours.version, ours.checksum.to_vec(), true));
        Ok(ours.eq(applied))
    }

    /// The roles of [`ROLES`] that do not exist.
    pub async fn missing_roles(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            SELECT role AS "role!"
            FROM unnest(ARRAY['paysync_writer', 'paysync_bi', 'paysync_operator']) AS role
            WHERE role NOT IN (SELECT rolname FROM pg_roles)
            "#
        )
        .fetch_all(self.one_shot())
        .await?)
    }

    /// Opens a connection beside the pool, to learn why there is none: the pool would only report that it
    /// waited. Also fails if a pooler shares sessions.
    pub async fn reach(&self) -> Result<(), StoreError> {
        let options = self.pool().connect_options();
        let connecting = async {
            if self.is_pooled() {
                let connection = PgConnection::connect_with(&options).await?;
                Ok(connection.close().await?)
            } else {
                pool::pooler_check::refuse_shared_sessions(&options).await
            }
        };
        let reached = tokio::time::timeout(ACQUIRE_TIMEOUT, connecting).await;
        reached.unwrap_or(Err(StoreError::Away(sqlx::Error::PoolTimedOut)))
    }

    /// Checks that the database answers; returns its clock.
    pub async fn ping(&self) -> Result<chrono::DateTime<chrono::Utc>, StoreError> {
        let now = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#);
        Ok(now.fetch_one(self.one_shot()).await?)
    }

    /// The server's version, e.g. `15.8`.
    pub async fn server_version(&self) -> Result<String, StoreError> {
        let version =
            sqlx::query_scalar!(r#"SELECT current_setting('server_version') AS "version!""#);
        Ok(version.fetch_one(self.one_shot()).await?)
    }
}

fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("paysync");
    // No column is a float, and older poolers refuse the parameter.
    Ok(options.extra_float_digits(None))
}
