//! Failures of PostgreSQL, on a server of each test's own: it may be stopped, filled and broken.
//!
//! Whatever happens to it, the daemon goes on by itself, and the tables end as if nothing had
//! happened. Failures that need an operator are logged with a hint.

use std::time::Duration;

use paysync::launcher::{Cluster, Options};
use paysync_simulator::{Handle, Provider};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tempfile::TempDir;

use crate::support::daemon::Daemon;
use crate::support::{
    account_of, config_text, count, differences, history, in_time, ledger, start, stored,
};

/// Small pages, so that there are many commits to disturb.
const SETTINGS: &str = "page_size = 20\nlag = \"0s\"\noverlap = \"5s\"\npoll_interval = \"1s\"\n";

/// A server that commits as a real one does.
struct Server {
    cluster: Option<Cluster>,
    folder: TempDir,
    port: Option<u16>,
    url: String,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let mut server = Self {
            cluster: None,
            folder,
            port: None,
            url: String::new(),
        };
        server.up().await;
        // The daemon is no superuser, for whom some limits are none.
        server.run("CREATE ROLE paysync LOGIN").await;
        server.run("ALTER DATABASE paysync OWNER TO paysync").await;
        server
    }

    async fn up(&mut self) {
        let options = Options {
            directory: Some(self.folder.path().join("cluster")),
            durable: true,
            port: self.port,
        };
        let cluster = Cluster::start(&options).await.unwrap();
        self.url = cluster.create_database("paysync").await.unwrap();
        self.port = url::Url::parse(&self.url).unwrap().port();
        self.cluster = Some(cluster);
    }

    /// Stops it: sessions end with a word, or as if the power had failed.
    async fn down(&mut self, gently: bool) {
        let cluster = self.cluster.take().unwrap();
        if gently {
            cluster.stop().await.unwrap();
        } else {
            tokio::task::spawn_blocking(|| drop(cluster)).await.unwrap();
        }
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// Does something as its superuser.
    async fn run(&self, statement: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

/// The simulated accounts that these tests read.
const PROVIDERS: [Provider; 2] = [Provider::Convergegate, Provider::BegatewayDwh];

/// A simulator that takes its time.
async fn simulated(rows: u64) -> Handle {
    let mut settings = history(rows, 10);
    settings.latency = Duration::from_millis(5);
    start(settings).await
}

/// A daemon that reads the simulated accounts.
fn daemon(simulator: &Handle, server: &Server) -> Daemon {
    let url = server.url.replace("postgres@", "paysync@");
    let pool = PgPool::connect_lazy(&url).unwrap();
    Daemon::start(&config_text(simulator, &pool, &PROVIDERS, SETTINGS))
}

/// Waits until so many rows are stored.
async fn until_stored(server: &Server, rows: i64) {
    let mut connection = server.connect().await;
    let waiting = async {
        loop {
            let count = "SELECT count(*) FROM paysync.transactions";
            let stored = sqlx::query_scalar::<_, i64>(count).fetch_one(&mut connection);
            // The table may not be there yet.
            if stored.await.is_ok_and(|stored| stored >= rows) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time("the rows", waiting).await;
}

/// Waits until every account holds just what is true, and ends the daemon: nothing is doubled, and
/// nothing was ever replaced.
async fn ends_exact(server: Server, simulator: Handle, daemon: Daemon) {
    let pool = PgPool::connect(&server.url).await.unwrap();
    let exact = async {
        for provider in PROVIDERS {
            let true_rows = ledger(&simulator, provider);
            while !differences(&stored(&pool, &account_of(provider)).await, &true_rows).is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    if tokio::time::timeout(crate::support::TIMEOUT, exact)
        .await
        .is_err()
    {
        panic!("the tables are still not right: {:#?}", daemon.log());
    }
    for nothing in [
        "SELECT count(*) FROM paysync.transaction_history",
        "SELECT count(*) FROM paysync.quarantine",
    ] {
        assert_eq!(count(&pool, nothing).await, 0, "{nothing}");
    }
    pool.close().await;
    for line in daemon.stop().await {
        assert_ne!(line["level"], "ERROR", "{line}");
        let said = line["message"]
            .as_str()
            .unwrap_or_else(|| panic!("no line: {line}"));
        assert!(
            !said.contains("crashed") && !said.contains("panicked"),
            "{line}"
        );
    }
    simulator.stop().await;
    drop(server);
}

/// Cuts the daemon's connections; how many there were.
async fn cut(admin: &mut PgConnection) -> i64 {
    let cut =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'paysync'";
    sqlx::query_scalar(cut).fetch_one(admin).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_waits_for_a_restarting_server() {
    let simulator = simulated(700).await;
    let mut server = Server::start().await;
    server.down(true).await;
    let daemon = daemon(&simulator, &server);
    daemon
        .says(&["waiting for the database", "paysync waits and goes on"])
        .await;
    server.up().await;
    for (gently, rows) in [(true, 100), (false, 250), (true, 400)] {
        until_stored(&server, rows).await;
        server.down(gently).await;
        server.up().await;
    }
    until_stored(&server, 550).await;
    server.down(false).await;
    daemon
        .says(&["the database cannot be used", "paysync waits and goes on"])
        .await;
    server.up().await;
    ends_exact(server, simulator, daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_waits_for_a_free_connection() {
    let simulator = simulated(600).await;
    let mut server = Server::start().await;
    server.run("ALTER SYSTEM SET max_connections = 16").await;
    server.down(true).await;
    server.up().await;
    let mut admin = server.connect().await;
    server.run("CREATE ROLE greedy LOGIN").await;
    let url = server.url.replace("postgres@", "greedy@");
    let daemon = daemon(&simulator, &server);
    until_stored(&server, 200).await;
    let mut taken = Vec::new();
    loop {
        let left = cut(&mut admin).await;
        while let Ok(connection) = PgConnection::connect(&url).await {
            taken.push(connection);
        }
        if left == 0 {
            break;
        }
    }
    daemon
        .says(&["the database cannot be used", "out of connections"])
        .await;
    drop(taken);
    ends_exact(server, simulator, daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_waits_for_a_read_only_server() {
    let simulator = simulated(600).await;
    let server = Server::start().await;
    let daemon = daemon(&simulator, &server);
    until_stored(&server, 200).await;
    server
        .run("ALTER SYSTEM SET default_transaction_read_only = on")
        .await;
    server.run("SELECT pg_reload_conf()").await;
    daemon
        .says(&[
            "the database cannot be used",
            "read-only transaction",
            "name the primary",
        ])
        .await;
    let mut admin = server.connect().await;
    for statement in [
        "SET default_transaction_read_only = off",
        "ALTER SYSTEM RESET default_transaction_read_only",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    ends_exact(server, simulator, daemon).await;
}

/// PostgreSQL's own words, by a trigger; `the_daemon_waits_for_space_on_a_full_disk` fills a real disk.
#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_waits_after_a_disk_full_error() {
    let simulator = simulated(600).await;
    let server = Server::start().await;
    let daemon = daemon(&simulator, &server);
    until_stored(&server, 200).await;
    server
        .run(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE EXCEPTION USING ERRCODE = '53100',
                     MESSAGE = 'could not extend file \"base/1/2\": No space left on device',
                     HINT = 'Check free disk space.';
             END $$;
             CREATE TRIGGER full_disk BEFORE INSERT ON paysync.transactions EXECUTE FUNCTION full_disk()",
        )
        .await;
    daemon
        .says(&["the database cannot be used", "No space left", "free space"])
        .await;
    server.run("DROP FUNCTION full_disk CASCADE").await;
    ends_exact(server, simulator, daemon).await;
}

/// The same on a real disk, which only a superuser can make so small.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a small disk: run scripts/disk-full"]
async fn the_daemon_waits_for_space_on_a_full_disk() {
    let disk = std::env::var("PAYSYNC_SMALL_DISK").expect("run scripts/disk-full");
    let simulator = simulated(600).await;
    let server = Server::start().await;
    let admin = server.url.replace("/paysync", "/postgres");
    let mut admin = PgConnection::connect(&admin).await.unwrap();
    for statement in [
        format!("CREATE TABLESPACE small LOCATION '{disk}/data'"),
        "ALTER DATABASE paysync SET TABLESPACE small".to_owned(),
    ] {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        statement.execute(&mut admin).await.unwrap();
    }
    let daemon = daemon(&simulator, &server);
    until_stored(&server, 200).await;
    let ballast = std::path::Path::new(&disk).join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
    // A new connection may be refused in other words before a page is.
    daemon.says(&["the database cannot be used", "hint"]).await;
    drop(file);
    std::fs::remove_file(ballast).unwrap();
    ends_exact(server, simulator, daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_timeout_is_logged_and_retried() {
    let simulator = simulated(600).await;
    let server = Server::start().await;
    let mut admin = server.connect().await;
    let daemon = daemon(&simulator, &server);
    until_stored(&server, 200).await;
    server
        .run("ALTER ROLE paysync SET statement_timeout = '1ms'")
        .await;
    // Once all is read, no statement takes a millisecond that does not have to wait.
    let mut rival = server.connect().await;
    let mut locked = rival.begin().await.unwrap();
    sqlx::query("LOCK TABLE paysync.accounts")
        .execute(&mut *locked)
        .await
        .unwrap();
    cut(&mut admin).await;
    daemon
        .says(&["statement timeout", "raise statement_timeout"])
        .await;
    locked.rollback().await.unwrap();
    server
        .run("ALTER ROLE paysync RESET statement_timeout")
        .await;
    cut(&mut admin).await;
    ends_exact(server, simulator, daemon).await;
}

/// Another session locks in the opposite order; of the two it is paysync that PostgreSQL lets down.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_logged_and_retried() {
    let simulator = simulated(600).await;
    let server = Server::start().await;
    let daemon = daemon(&simulator, &server);
    until_stored(&server, 100).await;
    let mut rival = server.connect().await;
    let run = async |rival: &mut PgConnection, statement: &'static str| {
        sqlx::query(statement).execute(rival).await.unwrap();
    };
    let mut admin = server.connect().await;
    run(&mut rival, "SET deadlock_timeout = '1min'").await;
    while !daemon
        .log()
        .iter()
        .any(|line| line.to_string().contains("deadlock detected"))
    {
        run(&mut rival, "BEGIN").await;
        run(&mut rival, "SELECT FROM paysync.accounts FOR UPDATE").await;
        // A page that has written its rows.
        let waits = "SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid)
            WHERE usename = 'paysync' AND wait_event_type = 'Lock'
              AND relation = 'paysync.transactions'::regclass AND mode = 'RowExclusiveLock'";
        while sqlx::query_scalar::<_, i64>(waits)
            .fetch_one(&mut admin)
            .await
            .unwrap()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Granted when paysync has given up its own lock on the table.
        run(&mut rival, "LOCK TABLE paysync.transactions IN SHARE MODE").await;
        run(&mut rival, "ROLLBACK").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon
        .says(&["deadlock detected", "the page is retried"])
        .await;
    ends_exact(server, simulator, daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_connections_lose_nothing() {
    let simulator = simulated(800).await;
    let server = Server::start().await;
    let mut admin = server.connect().await;
    let daemon = daemon(&simulator, &server);
    let mut random = fastrand::Rng::with_seed(7);
    let mut cut = 0;
    for rows in (0..750).step_by(15) {
        until_stored(&server, rows).await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..15))).await;
        // One that works, if there is one.
        let one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE usename = 'paysync' ORDER BY state, random() LIMIT 1";
        let done: Option<bool> = sqlx::query_scalar(one)
            .fetch_optional(&mut admin)
            .await
            .unwrap();
        cut += u32::from(done == Some(true));
    }
    assert!(cut > 20, "only {cut} connections were cut");
    ends_exact(server, simulator, daemon).await;
}
