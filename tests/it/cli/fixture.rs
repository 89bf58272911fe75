//! A simulator, a database, a configuration, and the program.

mod database;
mod process;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use paysync::clock::{Clock as _, SystemClock};
use paysync_provider::PROVIDERS;
use paysync_simulator::{Handle, Provider, Settings};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

pub(super) use database::ClosableProxy;
use database::Database;
pub(super) use process::{Ran, Running};

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

/// Longer than anything here takes; reached only by a program that hangs.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Everything that a run of the program needs.
pub(super) struct Fixture {
    pub(super) simulator: Handle,
    pub(super) database: Database,
    pub(super) configuration: PathBuf,
    folder: TempDir,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings {
            rows: ROWS,
            ..Settings::new(SystemClock.now(), 10)
        };
        let simulator = paysync_simulator::start(settings, listener).await.unwrap();
        let database = Database::create().await;
        let folder = tempfile::tempdir().unwrap();
        let mut fixture = Self {
            simulator,
            database,
            configuration: PathBuf::new(),
            folder,
        };
        fixture.configuration = fixture.file("paysync.toml", &fixture.text());
        fixture
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
        let output = tokio::time::timeout(TIMEOUT, command.output())
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

    /// Runs a command that dies at a failpoint.
    pub(super) async fn die(&self, arguments: &[&str], failpoints: &str) {
        let mut command = self.command(arguments);
        command.arg("--config").arg(&self.configuration);
        command.env("FAILPOINTS", failpoints);
        let output = tokio::time::timeout(TIMEOUT, command.output()).await;
        let output = output.unwrap().unwrap();
        assert_eq!(output.status.code(), None, "{failpoints}: {output:?}");
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

/// Status and text of a response; `None` without a server.
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
    tokio::time::timeout(TIMEOUT, asking)
        .await
        .unwrap_or_else(|_| panic!("never came: {what}"))
}
