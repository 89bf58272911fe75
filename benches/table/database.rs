//! The measured server: a private, durable PostgreSQL with production settings.

use std::path::PathBuf;
use std::time::Duration;

use paysync::launcher::{Cluster, Options};
use sqlx::{AssertSqlSafe, PgPool};

use crate::process;

/// Settings of a production server of this size, each with its reason; the others are PostgreSQL's defaults.
pub const SETTINGS: [(&str, &str, &str); 5] = [
    ("shared_buffers", "2GB", "the tables of a run fit"),
    (
        "max_wal_size",
        "16GB",
        "no checkpoint is forced in the middle of a measurement",
    ),
    (
        "checkpoint_timeout",
        "30min",
        "nor started by the clock; each measurement begins with one instead",
    ),
    (
        "wal_compression",
        "off",
        "as shipped: WAL bytes are those of the rows",
    ),
    ("max_connections", "50", "of which paysync may use 8"),
];

/// Tables with rows of providers.
pub const BULK: [&str; 2] = ["transactions", "raw_transactions"];
/// Tables to which a re-scan of unchanged rows must not write.
const UNCHANGED: [&str; 4] = [
    "transactions",
    "raw_transactions",
    "transaction_history",
    "daily_sums",
];

/// A running server.
pub struct Server {
    cluster: Cluster,
    /// For queries outside the measured databases.
    admin: PgPool,
    postmaster: u32,
    databases: u32,
}

/// Counters of the server at one moment.
#[derive(Debug, Clone)]
pub struct Counts {
    cpu: Duration,
    /// Bytes since the start of the WAL.
    pub wal: i64,
}

/// The difference of two [`Counts`].
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    pub cpu: Duration,
    pub wal: u64,
}

/// Row versions written so far to the [`UNCHANGED`] tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub inserted: i64,
    pub updated: i64,
}

impl Server {
    pub async fn start(directory: PathBuf) -> Self {
        let options = || Options {
            directory: Some(directory.clone()),
            durable: true,
            port: None,
        };
        // Some settings take effect only at a restart.
        let first = Cluster::start(&options()).await.unwrap();
        let pool = PgPool::connect(&first.url("postgres")).await.unwrap();
        for (name, value, _) in SETTINGS {
            execute(&pool, &format!("ALTER SYSTEM SET {name} = '{value}'")).await;
        }
        pool.close().await;
        first.stop().await.unwrap();
        let cluster = Cluster::start(&options()).await.unwrap();
        let admin = PgPool::connect(&cluster.url("postgres")).await.unwrap();
        let lock_file = std::fs::read_to_string(directory.join("data/postmaster.pid")).unwrap();
        let postmaster = lock_file.lines().next().unwrap().trim().parse().unwrap();
        Self {
            cluster,
            admin,
            postmaster,
            databases: 0,
        }
    }

    pub async fn stop(self) {
        self.admin.close().await;
        self.cluster.stop().await.unwrap();
    }

    pub async fn version(&self) -> String {
        scalar(&self.admin, "SELECT current_setting('server_version')").await
    }

    /// Creates an empty database for one variant of one round.
    pub async fn database(&mut self) -> Database {
        self.databases += 1;
        let name = format!("round_{}", self.databases);
        let url = self.cluster.create_database(&name).await.unwrap();
        let pool = PgPool::connect(&url).await.unwrap();
        execute(&pool, "CREATE EXTENSION IF NOT EXISTS pg_walinspect").await;
        Database { name, url, pool }
    }

    pub async fn drop(&self, database: Database) {
        database.pool.close().await;
        let sql = format!("DROP DATABASE {} WITH (FORCE)", database.name);
        execute(&self.admin, &sql).await;
    }

    /// Writes dirty buffers out, so that all measurements begin alike.
    pub async fn checkpoint(&self) {
        execute(&self.admin, "CHECKPOINT").await;
    }

    pub async fn counts(&self) -> Counts {
        Counts {
            cpu: process::cpu_of_family(self.postmaster),
            wal: scalar(
                &self.admin,
                "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint",
            )
            .await,
        }
    }

    pub async fn since(&self, before: &Counts) -> Spent {
        let now = self.counts().await;
        Spent {
            cpu: now.cpu.saturating_sub(before.cpu),
            wal: u64::try_from(now.wal - before.wal).unwrap(),
        }
    }

    /// Waits until paysync's connections are closed: its statistics are complete only then.
    pub async fn settle(&self) {
        while self.connections().await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Connections of paysync to any database.
    pub async fn connections(&self) -> i64 {
        scalar(
            &self.admin,
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'paysync'",
        )
        .await
    }
}

/// One database, with a small pool.
pub struct Database {
    name: String,
    pub url: String,
    pub pool: PgPool,
}

impl Database {
    pub async fn rows(&self) -> u64 {
        let rows: i64 = scalar(&self.pool, "SELECT count(*) FROM paysync.transactions").await;
        u64::try_from(rows).unwrap()
    }

    /// Items of all windows so far.
    pub async fn items(&self) -> u64 {
        let sql = "SELECT coalesce(sum(items), 0)::bigint FROM paysync.windows";
        u64::try_from(scalar::<i64>(&self.pool, sql).await).unwrap()
    }

    /// Transactions committed or rolled back here so far.
    pub async fn transactions(&self) -> i64 {
        scalar(
            &self.pool,
            "SELECT (xact_commit + xact_rollback)::bigint FROM pg_stat_database WHERE datname = current_database()",
        )
        .await
    }

    /// Brings the database into the state of one that has run for a while: no dead rows, hint bits, statistics.
    pub async fn vacuum(&self) {
        execute(&self.pool, "VACUUM (ANALYZE)").await;
    }

    pub async fn versions(&self) -> Versions {
        let names = UNCHANGED.map(|name| format!("'{name}'")).join(", ");
        let sql = format!(
            "SELECT coalesce(sum(n_tup_ins), 0)::bigint, coalesce(sum(n_tup_upd), 0)::bigint \
             FROM pg_stat_user_tables WHERE schemaname = 'paysync' AND relname IN ({names})"
        );
        let (inserted, updated) = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .unwrap();
        Versions { inserted, updated }
    }

    /// Bytes of WAL since `from` that changed an [`UNCHANGED`] table, its indexes or its TOAST table.
    pub async fn bulk_wal(&self, from: i64) -> u64 {
        let names = UNCHANGED.map(|name| format!("'{name}'")).join(", ");
        let sql = format!(
            "WITH bulk AS (
                 SELECT oid, reltoastrelid FROM pg_class
                 WHERE relnamespace = 'paysync'::regnamespace AND relname IN ({names})
             ), relations AS (
                 SELECT oid FROM bulk
                 UNION SELECT reltoastrelid FROM bulk WHERE reltoastrelid <> 0
             ), files AS (
                 SELECT pg_relation_filenode(oid) AS file FROM relations
                 UNION SELECT pg_relation_filenode(indexrelid) FROM pg_index JOIN relations ON oid = indrelid
             )
             SELECT coalesce(sum(record_length), 0)::bigint
             FROM pg_get_wal_records_info('0/0'::pg_lsn + {from}::numeric, pg_current_wal_flush_lsn())
             CROSS JOIN LATERAL regexp_match(block_ref, 'rel [0-9]+/([0-9]+)/([0-9]+)') AS named(rel)
             JOIN files ON file::text = rel[2]
             WHERE rel[1] = (SELECT oid::text FROM pg_database WHERE datname = current_database())"
        );
        u64::try_from(scalar::<i64>(&self.pool, &sql).await).unwrap()
    }
}

pub async fn execute(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(pool)
        .await
        .unwrap();
}

pub async fn scalar<T>(pool: &PgPool, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(pool)
        .await
        .unwrap()
}
