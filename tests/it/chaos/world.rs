//! One schedule at work: its providers, its database, its processes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use fastrand::Rng;
use paysync::store::Store;
use paysync_provider::model::Window;
use paysync_simulator::{BetweenPages, Handle};
use sqlx::postgres::{PgPoolOptions, PgQueryResult};
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;

use super::process::{Process, died_at_its_place, work_by_a_wrong_clock};
use super::schedule::{Act, Schedule};
use super::{Tally, invariants};
use crate::support::{
    account_of, assert_exact, config_text, in_time, next_second, now, start, sync_covers,
};

/// Processes at work at once, at most.
const MOST_PROCESSES: usize = 2;

/// How often what no stream shows is read again.
#[derive(Clone, Copy)]
enum Rescan {
    Sometimes,
    Always,
}

pub(super) struct World {
    pub(super) schedule: Schedule,
    simulator: Arc<Handle>,
    /// A database of the server, but not the schedule's own.
    server: PgPool,
    name: String,
    pool: PgPool,
    folder: TempDir,
    config: PathBuf,
    processes: Vec<Process>,
    started: u32,
    random: Rng,
    pub(super) tally: Tally,
}

async fn try_execute(pool: &PgPool, statement: &str) -> Result<PgQueryResult, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(pool).await
}

async fn execute(pool: &PgPool, statement: &str) {
    try_execute(pool, statement)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Whether two altered the same at once.
fn is_at_once(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.is_unique_violation() || error.message() == "tuple concurrently updated"
    })
}

impl World {
    pub(super) async fn new(schedule: Schedule, server: PgPool) -> Self {
        let name = format!("paysync_chaos_{}_{:08x}", schedule.seed, fastrand::u32(..));
        execute(&server, &format!("CREATE DATABASE {name}")).await;
        let options = server.connect_options().as_ref().clone().database(&name);
        let simulator = start(schedule.settings.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let world = Self {
            random: Rng::with_seed(schedule.seed),
            schedule,
            simulator: Arc::new(simulator),
            server,
            name,
            pool: PgPoolOptions::new()
                .max_connections(4)
                .connect_lazy_with(options),
            config: folder.path().join("paysync.toml"),
            folder,
            processes: Vec::new(),
            started: 0,
            tally: Tally::default(),
        };
        std::fs::write(&world.config, world.text(Rescan::Sometimes)).unwrap();
        world
    }

    /// The configuration. Where a provider shows every change, nothing is read twice.
    fn text(&self, rescan: Rescan) -> String {
        let schedule = &self.schedule;
        let text = config_text(
            &self.simulator,
            &self.pool,
            &schedule.providers,
            &schedule.account,
        );
        let every = match rescan {
            Rescan::Sometimes => "3s",
            Rescan::Always => "1ms",
        };
        let mut parts = text.split("[[accounts]]\n");
        let head = parts.next().unwrap().to_owned();
        let accounts = parts.map(|part| {
            let shows_changes =
                part.contains("\"convergegate\"") || part.contains("\"begateway_dwh\"");
            let tiers = if shows_changes {
                String::new()
            } else {
                format!("{{ within = \"40d\", every = \"{every}\" }}")
            };
            format!("[[accounts]]\nrescan = [{tiers}]\n{part}")
        });
        let text: String = std::iter::once(head).chain(accounts).collect();
        text.replace("\"2s\"", &format!("\"{}ms\"", schedule.lease_ttl_ms))
            .replacen("[database]\n", "[database]\nmax_connections = 6\n", 1)
    }

    /// Everything happens while the merchants go on.
    pub(super) async fn happen(&mut self) {
        let life_ms = self.schedule.life_ms;
        let (providers, simulator) = (self.schedule.providers.clone(), self.simulator.clone());
        let mut random = self.random.fork();
        let life = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(random.u64(0..life_ms * 2))).await;
                let provider = *random.choice(&providers).unwrap();
                if random.u32(0..4) == 0 {
                    simulator.insert_now(provider, 1);
                } else {
                    simulator.touch(provider, 1);
                }
            }
        });
        for (act, pause) in self.schedule.acts.clone() {
            self.act(act).await;
            tokio::time::sleep(pause).await;
            self.bury();
        }
        life.abort();
    }

    /// Forgets the processes that ended.
    fn bury(&mut self) {
        let tally = &mut self.tally;
        self.processes.retain_mut(|process| {
            let Some(status) = process.ended() else {
                return true;
            };
            tally.deaths_at_places += u64::from(died_at_its_place(status));
            false
        });
    }

    fn one_process(&mut self) -> Option<Process> {
        self.bury();
        let at = self.random.usize(0..self.processes.len().max(1));
        (at < self.processes.len()).then(|| self.processes.swap_remove(at))
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Start { command, places } => {
                self.bury();
                if self.processes.len() == MOST_PROCESSES {
                    self.processes.remove(0).kill().await;
                    self.tally.kills += 1;
                }
                self.started += 1;
                let log = self.folder.path().join(format!("{}.log", self.started));
                let process = Process::start(command, &self.config, &places, &log);
                self.processes.push(process);
                self.tally.starts += 1;
            }
            Act::Shifted { by, daemon, lives } => {
                let text = self.text(Rescan::Sometimes);
                work_by_a_wrong_clock(&text, by, daemon, lives).await;
            }
            Act::Kill => {
                if let Some(process) = self.one_process() {
                    process.kill().await;
                    self.tally.kills += 1;
                }
            }
            Act::Terminate => {
                if let Some(mut process) = self.one_process() {
                    process.signal("TERM");
                    self.processes.push(process);
                }
            }
            Act::Freeze(long) => {
                if let Some(mut process) = self.one_process() {
                    process.signal("STOP");
                    tokio::time::sleep(long).await;
                    process.signal("CONT");
                    self.processes.push(process);
                }
            }
            Act::Resync { days_ago, days } => {
                let from = now() - TimeDelta::days(days_ago);
                let span = Window::new(from, from + TimeDelta::days(days)).unwrap();
                let provider = *self.random.choice(&self.schedule.providers).unwrap();
                let store = Store::with_pool(self.pool.clone());
                // Before the first start there is no schema yet.
                let forgotten = store
                    .forget_coverage(&account_of(provider), None, span)
                    .await;
                self.tally.resyncs += forgotten.unwrap_or_default();
            }
            Act::Pause(long) => {
                let provider = *self.random.choice(&self.schedule.providers).unwrap();
                let store = Store::with_pool(self.pool.clone());
                if store.set_paused(&account_of(provider), true).await.is_ok() {
                    tokio::time::sleep(long).await;
                    store
                        .set_paused(&account_of(provider), false)
                        .await
                        .unwrap();
                }
            }
            Act::Faults(provider, faults) => {
                for fault in faults {
                    self.simulator.fail_next(provider, fault);
                }
            }
            Act::Chance(provider, per_mille) => self.simulator.fail_per_mille(provider, per_mille),
            Act::Insert(provider, count) => drop(self.simulator.insert_now(provider, count)),
            Act::Touch(provider, count) => drop(self.simulator.touch(provider, count)),
            Act::Moves(provider, moves) => self.simulator.between_pages(provider, moves),
            Act::Cut(percent) => self.cut(percent).await,
            Act::Closed(long) => {
                self.set("ALLOW_CONNECTIONS false").await;
                self.cut(100).await;
                tokio::time::sleep(long).await;
                self.set("ALLOW_CONNECTIONS true").await;
            }
            Act::ReadOnly(long) => {
                self.set("SET default_transaction_read_only = on").await;
                self.cut(100).await;
                tokio::time::sleep(long).await;
                self.set("RESET default_transaction_read_only").await;
                self.cut(100).await;
            }
            Act::Locked(long) => self.lock(long).await,
        }
    }

    async fn set(&self, what: &str) {
        let statement = format!("ALTER DATABASE {} {what}", self.name);
        // A migration alters the database, too: the second session is refused, not made to wait.
        let tries = async {
            while let Err(error) = try_execute(&self.server, &statement).await {
                assert!(is_at_once(&error), "{statement}: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        in_time(&statement, tries).await;
    }

    async fn cut(&mut self, percent: u32) {
        let cut: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = $1 AND random() * 100 < $2",
        )
        .bind(&self.name)
        .bind(i32::try_from(percent).unwrap())
        .fetch_one(&self.server)
        .await
        .unwrap();
        self.tally.cuts += u64::try_from(cut).unwrap();
    }

    /// Renewals, commits and takeovers wait.
    async fn lock(&self, long: Duration) {
        let Ok(mut transaction) = self.pool.begin().await else {
            return;
        };
        let locked = sqlx::query("SELECT FROM paysync.accounts FOR UPDATE")
            .execute(&mut *transaction)
            .await;
        if locked.is_ok() {
            tokio::time::sleep(long).await;
        }
    }

    /// All is quiet; what is held is compared with what is true.
    pub(super) async fn settle(&mut self) {
        self.bury();
        for process in std::mem::take(&mut self.processes) {
            process.kill().await;
        }
        for &provider in &self.schedule.providers {
            self.simulator.clear_faults(provider);
            self.simulator.fail_per_mille(provider, 0);
            self.simulator
                .between_pages(provider, BetweenPages::default());
        }
        next_second().await;
        let store = Store::with_pool(self.pool.clone());
        store.migrate().await.unwrap();
        // A slow machine must not fail here: a longer timeout.
        let calm = |rescan| {
            self.text(rescan)
                .replace("timeout = \"1s\"", "timeout = \"60s\"")
        };
        sync_covers(&calm(Rescan::Sometimes)).await;
        sync_covers(&calm(Rescan::Always)).await;
        assert_exact(&self.pool, &self.simulator, &self.schedule.providers).await;
        invariants::check(&self.pool, &mut self.tally).await;
        for &provider in &self.schedule.providers {
            self.tally.faults += self.simulator.requests(provider).faults;
        }
    }

    pub(super) async fn end(self) {
        self.pool.close().await;
        execute(
            &self.server,
            &format!("DROP DATABASE {} WITH (FORCE)", self.name),
        )
        .await;
    }

    /// What is not right in the tables.
    pub(super) async fn state(&self) -> String {
        let state = "
            SELECT concat_ws(' | ', account_id, lease_holder, lease_until - now(), 'paused: ' || paused, suspended_reason)
            FROM paysync.accounts
            UNION ALL
            SELECT concat_ws(' | ', account_id, stream, last_error_at - now(), last_error, suspended_reason)
            FROM paysync.streams
            UNION ALL
            SELECT concat_ws(' | ', account_id, stream, lane, window_start, window_end, checkpoint, pages, failures, retry_at - now(), error)
            FROM paysync.windows WHERE outcome IS NULL
            UNION ALL
            SELECT concat_ws(' | ', pid, state, wait_event, now() - xact_start, left(query, 80))
            FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let lines = sqlx::query_scalar::<_, String>(state).fetch_all(&self.pool);
        lines.await.unwrap_or_default().join("\n")
    }

    /// The last that the processes said.
    pub(super) fn last_words(&self) -> String {
        let logs = (1..=self.started).map(|number| {
            let log = self.folder.path().join(format!("{number}.log"));
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(6)..].join("\n");
            format!("--- process {number}\n{last}\n")
        });
        logs.collect()
    }
}
