//! Behind a real `PgBouncer` in transaction mode: few servers for many sessions, and each transaction on
//! the next of them.

use std::fs::{Permissions, metadata, set_permissions, write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use paysync::store::{Store, StoreError};
use paysync_simulator::Provider;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::daemon::Daemon;
use crate::support::servers::nowhere;
use crate::support::{
    account_of, assert_exact, config_text, count, differences, eventually, file_of, history,
    in_time, ledger, next_second, start, stored, sync_covers, url,
};

/// Servers that all sessions share.
const SERVERS: u32 = 2;

const PROVIDERS: [Provider; 2] = [Provider::Convergegate, Provider::BegatewayDwh];

/// `PgBouncer` at work; it ends with its owner.
struct Pooler {
    child: Child,
    folder: TempDir,
    url: String,
}

impl Pooler {
    /// One before a database. The database's user is everybody's.
    async fn before(database: &str, settings: &str) -> Self {
        let database = url::Url::parse(database).unwrap();
        let (port, server) = (nowhere().await.port(), database.port().unwrap());
        let name = database.path().trim_start_matches('/');
        let folder = TempDir::new().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let ini = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n{name} = host=127.0.0.1 port={server} user={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = {SERVERS}\n{settings}\n",
            database.username(),
        );
        write(&ini, text).unwrap();
        let mut url = database.clone();
        url.set_port(Some(port)).unwrap();
        url.set_query(None);
        let pooler = Self {
            child: spawn(&ini, &folder.path().join("log")),
            folder,
            url: url.into(),
        };
        let up = async || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        eventually("PgBouncer", up).await;
        pooler
    }

    /// The configuration of a test that reads through it.
    fn configured(&self, text: &str, direct: &str) -> String {
        let through = format!(
            "url = \"{}\"\nprepared_statements = false\ndirect_url",
            self.url
        );
        let text = text.replacen("url", &through, 1);
        assert!(text.contains(direct), "{text}");
        text
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Where it is.
fn program() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/pgbouncer");
    let found = Command::new(script).output().unwrap();
    assert!(
        found.status.success(),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    let path = String::from_utf8(found.stdout).unwrap();
    path.trim().to_owned()
}

/// What makes it keep no prepared statements; older ones know neither the word nor the statements.
fn keeping_none() -> &'static str {
    let said = Command::new(program()).arg("--version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let minor = said
        .split(['.', '\n'])
        .nth(1)
        .and_then(|it| it.parse().ok());
    if minor.is_some_and(|minor: u32| minor >= 21) {
        "max_prepared_statements = 0"
    } else {
        ""
    }
}

fn spawn(ini: &Path, log: &Path) -> Child {
    let mut command = Command::new(program());
    command
        .arg(ini)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(log).unwrap());
    if metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        // It refuses to run as root; 65534 is the unprivileged user on every system.
        command.uid(65_534).gid(65_534);
    }
    command.spawn().unwrap()
}

/// Two accounts with leases, renewals, rescans, maintenance and live changes; every transaction on
/// the server that was not used last.
#[sqlx::test(migrations = false)]
async fn accounts_are_read_exactly_through_a_pooler_in_transaction_mode(pool: PgPool) {
    let mut settings = history(600, 10);
    settings.latency = Duration::from_millis(5);
    let simulator = start(settings).await;
    let pooler = Pooler::before(&url(&pool), "server_round_robin = 1").await;
    let text = config_text(
        &simulator,
        &pool,
        &PROVIDERS,
        "page_size = 20\nlag = \"0s\"\noverlap = \"5s\"\npoll_interval = \"1s\"\nconcurrency = 3\n",
    );
    let text = pooler.configured(&text, &url(&pool));
    let daemon = Daemon::start(&text);
    let exact = async {
        loop {
            for provider in PROVIDERS {
                simulator.touch(provider, 1);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            // The schema comes by the direct way, and it comes first.
            let stored = sqlx::query_scalar("SELECT count(*) FROM paysync.transactions")
                .fetch_one(&pool)
                .await;
            if stored.is_ok_and(|stored: i64| stored >= 1200) {
                return;
            }
        }
    };
    in_time("the history", exact).await;
    let settled = async {
        for provider in PROVIDERS {
            while !differences(
                &stored(&pool, &account_of(provider)).await,
                &ledger(&simulator, provider),
            )
            .is_empty()
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    in_time("the changes", settled).await;
    for line in daemon.stop().await {
        assert!(!line.to_string().contains("database"), "{line}");
    }
    // The other commands' statements.
    let registered = "SELECT count(*) FROM paysync.accounts WHERE lease_holder IS NULL";
    assert_eq!(
        count(&pool, registered).await,
        2,
        "a lease was not given back"
    );
    next_second().await;
    let file = file_of(&text);
    for command in [
        &["sync"][..],
        &["status"],
        &["verify"],
        &["replay"],
        &["check"],
    ] {
        let ran = tokio::process::Command::new(env!("CARGO_BIN_EXE_paysync"))
            .args(command)
            .arg("--config")
            .arg(file.path())
            .env_clear()
            .output();
        let ran = in_time("a command", ran).await.unwrap();
        assert!(ran.status.success(), "{command:?}: {ran:?}");
    }
    assert_exact(&pool, &simulator, &PROVIDERS).await;
    let backends = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'paysync' AND pid <> pg_backend_pid()";
    let shared = count(&pool, backends).await;
    let allowed = 1..=i64::from(SERVERS);
    assert!(allowed.contains(&shared), "{shared}: {}", pooler.log());
    simulator.stop().await;
}

/// A statement prepared on one server would be missing on the next, or be another statement there. The
/// program reports that before it does anything, each time.
#[sqlx::test(migrations = false)]
async fn a_pooler_without_prepared_statements_is_refused_with_a_hint(pool: PgPool) {
    let pooler = Pooler::before(&url(&pool), keeping_none()).await;
    for _ in 0..2 {
        let store = Store::new(&pooler.url, 2).unwrap();
        let error = store.reach().await.unwrap_err();
        assert!(matches!(error, StoreError::SharedSessions), "{error:?}");
        assert!(
            error
                .hint()
                .contains("database.prepared_statements = false")
        );
    }
    let simulator = start(history(10, 1)).await;
    let text = config_text(&simulator, &pool, &PROVIDERS, "");
    let direct = url(&pool);
    let file = file_of(&text.replacen(&direct, &pooler.url, 1));
    for command in ["run", "sync", "check", "migrate"] {
        let ran = tokio::process::Command::new(env!("CARGO_BIN_EXE_paysync"))
            .args([command, "--config"])
            .arg(file.path())
            .env_clear()
            .output();
        let ran = in_time("a command", ran).await.unwrap();
        let printed = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{command}: {printed}");
        for part in [
            "a pooler in transaction mode that does not support prepared statements",
            "set database.prepared_statements = false",
        ] {
            assert!(printed.contains(part), "{command}: {printed}");
        }
    }
    let schema = "SELECT count(*) FROM pg_namespace WHERE nspname = 'paysync'";
    assert_eq!(count(&pool, schema).await, 0, "something was written");
    // A direct connection has a session of its own.
    Store::new(&direct, 2).unwrap().reach().await.unwrap();
    Store::new(&direct, 2).unwrap().reach().await.unwrap();
    let right = pooler.configured(&text, &direct);
    Store::behind_pooler(&pooler.url, &direct, 2)
        .unwrap()
        .migrate()
        .await
        .unwrap();
    sync_covers(&right).await;
    assert_exact(&pool, &simulator, &PROVIDERS).await;
    simulator.stop().await;
}
