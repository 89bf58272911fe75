//! One measured run of the program: the resources used by it, the server and the provider.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::database::{Database, Server, Versions};
use crate::process;
use crate::simulator::Simulator;

/// The resources that one run used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Run {
    /// Rows written, or read again.
    pub rows: u64,
    pub wall: Duration,
    pub client: Duration,
    pub server: Duration,
    pub provider: Duration,
    pub wal: u64,
    pub peak_kib: u64,
    /// For a re-scan: the writes to the tables of rows.
    pub after: Option<After>,
}

/// The writes of a re-scan to the tables of rows.
#[derive(Debug, Clone, Copy)]
pub struct After {
    pub wal: u64,
    pub inserted: i64,
    pub updated: i64,
}

impl Run {
    pub fn rate(&self) -> f64 {
        self.rows as f64 / self.wall.as_secs_f64()
    }

    /// Microseconds per row.
    pub fn each(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.rows as f64
    }

    pub fn wal_each(&self) -> f64 {
        self.wal as f64 / self.rows as f64
    }

    pub fn peak_mib(&self) -> f64 {
        self.peak_kib as f64 / 1024.0
    }
}

/// Runs `paysync sync`.
pub struct Sync<'a> {
    pub program: &'a Path,
    pub server: &'a Server,
    pub simulator: &'a Simulator,
}

impl Sync<'_> {
    /// A first load: counts the rows in the table afterwards.
    pub async fn load(&self, database: &Database, config: &Path) -> Run {
        let mut run = self.run(config).await;
        run.rows = database.rows().await;
        run
    }

    /// Reads the same rows again: counts the items read.
    pub async fn rescan(&self, database: &Database, config: &Path) -> Run {
        let (items, before) = (database.items().await, database.versions().await);
        let start = self.server.counts().await.wal;
        let mut run = self.run(config).await;
        let Versions { inserted, updated } = database.versions().await;
        run.rows = database.items().await - items;
        run.after = Some(After {
            wal: database.bulk_wal(start).await,
            inserted: inserted - before.inserted,
            updated: updated - before.updated,
        });
        run
    }

    async fn run(&self, config: &Path) -> Run {
        self.server.checkpoint().await;
        let provider = self.simulator.cpu();
        let before = self.server.counts().await;
        let clock = Instant::now();
        let child = process::paysync(self.program, Some(config))
            .arg("sync")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let ended = tokio::task::spawn_blocking(move || process::measure(child, clock))
            .await
            .unwrap();
        assert!(
            ended.status.success(),
            "paysync sync failed: {}",
            config.display()
        );
        self.server.settle().await;
        let spent = self.server.since(&before).await;
        Run {
            wall: ended.wall,
            client: ended.cpu,
            server: spent.cpu,
            provider: self.simulator.cpu().saturating_sub(provider),
            wal: spent.wal,
            peak_kib: ended.peak_kib,
            ..Run::default()
        }
    }
}
