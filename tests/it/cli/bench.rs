//! A workbench: a simulator, a database of its own, a configuration, and the program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use paysync::clock::{Clock as _, SystemClock};
use paysync_provider::PROVIDERS;
use paysync_simulator::{Handle, Provider, Settings};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::{JoinHandle, JoinSet};

/// Rows of history per provider.
pub(super) const ROWS: u64 = 300;

/// The accounts of the configuration, by id.
pub(super) const ACCOUNTS: [(&str, Provider); 2] = [
    ("simulated-begateway-dwh", Provider::BegatewayDwh),
    ("simulated-convergegate", Provider::Convergegate),
];

/// A password that the database never asks for.
pub(super) const PASSWORD: &str = "canary-8d1f-password";

/// A token that no provider knows.
pub(super) const WRONG_TOKEN: &str = "canary-51c7-token";

/// What no output may contain: the secrets of the accounts, also as they travel, and the canaries.
const SECRETS: &[&str] = &[
    PASSWORD,
    WRONG_TOKEN,
    "simulator-token",
    "simulator-secret",
    "c2ltdWxhdG9yOnNpbXVsYXRvci1zZWNyZXQ=",
];

/// Longer than anything here takes; reached only by a program that hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// A database of one test.
pub(super) struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    async fn create() -> Self {
        let server = std::env::var("DATABASE_URL").expect(
            "these tests need PostgreSQL: run them by cargo, or set DATABASE_URL to a server where databases may be created",
        );
        let name = format!(
            "paysync_cli_{}",
            uuid::Uuid::from_u128(fastrand::u128(..)).simple()
        );
        let mut connection = PgConnection::connect(&server).await.unwrap();
        execute(&mut connection, format!("CREATE DATABASE {name}")).await;
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        if url.password().is_none() {
            url.set_password(Some(PASSWORD)).unwrap();
        }
        Self {
            server,
            name,
            url: url.to_string(),
        }
    }

    /// Its URL, with a password.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Host and port of the server.
    pub(super) fn address(&self) -> String {
        let url = url::Url::parse(&self.url).unwrap();
        format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
    }

    async fn on_server(&self, statements: &[String]) {
        let mut connection = PgConnection::connect(&self.server).await.unwrap();
        for statement in statements {
            execute(&mut connection, statement.clone()).await;
        }
    }
}

async fn execute(connection: &mut PgConnection, statement: String) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(connection)
        .await
        .unwrap();
}

/// A way to the database that can be closed.
pub(super) struct Gate {
    pub(super) address: SocketAddr,
    server: String,
    open: Option<JoinHandle<()>>,
}

impl Gate {
    /// A closed gate.
    pub(super) async fn before(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            server: database.address(),
            open: None,
        }
    }

    /// Lets everybody in.
    pub(super) async fn open(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let server = self.server.clone();
        self.open = Some(tokio::spawn(async move {
            // Dropped with this task, and every connection with it.
            let mut connections = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let server = server.clone();
                connections.spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    // However it ends, it ends both sides.
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                });
            }
        }));
    }

    /// Lets nobody in any more, and cuts the connections there are.
    pub(super) async fn close(&mut self) {
        let open = self.open.take().unwrap();
        open.abort();
        assert!(open.await.unwrap_err().is_cancelled());
    }
}

/// Everything that a run of the program needs.
pub(super) struct Bench {
    pub(super) simulator: Handle,
    pub(super) database: Database,
    pub(super) configuration: PathBuf,
    folder: TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings {
            rows: ROWS,
            ..Settings::new(SystemClock.now(), 10)
        };
        let simulator = paysync_simulator::start(settings, listener).await.unwrap();
        let database = Database::create().await;
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Self {
            simulator,
            database,
            configuration: PathBuf::new(),
            folder,
        };
        bench.configuration = bench.file("paysync.toml", &bench.text());
        bench
    }

    /// The configuration: the simulated accounts whose provider there is.
    pub(super) fn text(&self) -> String {
        let text = self.simulator.config_toml(self.database.url());
        let known = |account: &&str| {
            PROVIDERS
                .iter()
                .any(|provider| account.contains(&format!("provider = \"{}\"\n", provider.code)))
        };
        let mut parts = text.split("[[accounts]]\n");
        let mut kept = parts.next().unwrap().to_owned();
        kept += "[engine]\nlease_ttl = \"2s\"\n[http]\nlisten = \"127.0.0.1:0\"\n";
        for account in parts.filter(known).filter(|account| {
            // Two are enough here, and the same two whichever others there are.
            ["\"convergegate\"", "\"begateway_dwh\""]
                .iter()
                .any(|code| account.contains(&format!("provider = {code}")))
        }) {
            kept += "[[accounts]]\npoll_interval = \"1s\"\n";
            kept += account;
        }
        kept
    }

    /// Writes a file beside the configuration.
    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs a command to its end, with the configuration.
    pub(super) async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&self.configuration, arguments, &[]).await
    }

    /// Runs a command to its end, with another configuration and more environment.
    pub(super) async fn run_with(
        &self,
        configuration: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Ran {
        let configuration = configuration.to_str().unwrap();
        let arguments = [arguments, &["--config", configuration]].concat();
        self.run_plain(&arguments, environment).await
    }

    /// Runs a command to its end, as it is.
    pub(super) async fn run_plain(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .unwrap_or_else(|_| panic!("paysync {arguments:?} does not end"))
            .unwrap();
        let ran = Ran {
            code: output.status.code().expect("ended by itself"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        ran.shows_no_secret();
        ran
    }

    /// Starts a command that goes on.
    pub(super) fn spawn(&self, arguments: &[&str]) -> Running {
        self.spawn_with(&self.configuration, arguments)
    }

    /// Starts a command that goes on, with another configuration.
    pub(super) fn spawn_with(&self, configuration: &Path, arguments: &[&str]) -> Running {
        let configuration = configuration.to_str().unwrap();
        let mut child = self
            .command(&[arguments, &["--config", configuration]].concat())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Running {
            child,
            out,
            err,
            so_far: Ran {
                code: 0,
                out: String::new(),
                err: String::new(),
            },
        }
    }

    /// In an empty folder and an empty environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paysync"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Asks the database for one number.
    pub(super) async fn ask(&self, question: &'static str, argument: &str) -> i64 {
        let mut connection = PgConnection::connect(self.database.url()).await.unwrap();
        sqlx::query_scalar(question)
            .bind(argument)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    /// Asks the database for one text.
    pub(super) async fn ask_text(&self, question: &'static str, argument: &str) -> String {
        let mut connection = PgConnection::connect(self.database.url()).await.unwrap();
        sqlx::query_scalar(question)
            .bind(argument)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    /// Leases that are held now.
    pub(super) async fn leases(&self) -> i64 {
        let question =
            "SELECT count(*) FROM paysync.accounts WHERE lease_until IS NOT NULL AND $1 = ''";
        self.ask(question, "").await
    }

    /// Takes everything down.
    pub(super) async fn end(self) {
        self.simulator.stop().await;
        let name = &self.database.name;
        let statement = format!("DROP DATABASE {name} WITH (FORCE)");
        self.database.on_server(&[statement]).await;
    }
}

impl Ran {
    fn shows_no_secret(&self) {
        for secret in SECRETS {
            assert!(!self.out.contains(secret), "shows a secret: {self:?}");
            assert!(!self.err.contains(secret), "shows a secret: {self:?}");
        }
    }
}

/// A command at work.
pub(super) struct Running {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
    so_far: Ran,
}

impl Running {
    /// The address it says it serves.
    pub(super) async fn address(&mut self) -> String {
        let line = self.log("http.listen").await;
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        line["http.listen"].as_str().unwrap().to_owned()
    }

    /// The next line of its log that has a text in it.
    pub(super) async fn log(&mut self, text: &str) -> String {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.err.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.so_far));
            let Some(line) = line.unwrap() else {
                panic!("ended without {text:?}: {:?}", self.so_far);
            };
            self.so_far.err += &line;
            self.so_far.err.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The next line it prints.
    pub(super) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.out.next_line()).await;
        let line = line.unwrap().unwrap().expect("a line");
        self.so_far.out += &line;
        self.so_far.out.push('\n');
        line
    }

    /// Sends SIGTERM.
    pub(super) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal.
    pub(super) fn signal(&self, name: &str) {
        let pid = self.child.id().expect("still running").to_string();
        // The shell's own: a small system has no program of this name.
        let status = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits until it ends.
    pub(super) async fn end(self) -> Ran {
        let ran = self.end_with_secrets().await;
        ran.shows_no_secret();
        ran
    }

    /// The same, where secrets are meant to be shown.
    pub(super) async fn end_with_secrets(mut self) -> Ran {
        let mut out = self.out.into_inner();
        let mut err = self.err.into_inner();
        let (mut ran, child) = (self.so_far, &mut self.child);
        let ((), status) = tokio::time::timeout(PATIENCE, async {
            tokio::join!(
                async {
                    out.read_to_string(&mut ran.out).await.unwrap();
                    err.read_to_string(&mut ran.err).await.unwrap();
                },
                child.wait()
            )
        })
        .await
        .expect("the program does not end");
        ran.code = status.unwrap().code().expect("ended by itself");
        ran
    }
}

/// Status and text of an answer; none if nobody answers.
pub(super) async fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let client = paysync::transport::client().unwrap();
    let answer = client
        .get(format!("http://{address}{path}"))
        .send()
        .await
        .ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

/// Asks until there is an answer.
pub(super) async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| panic!("never came: {what}"))
}
