//! The program and the engine as things that can be killed, frozen and torn down.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use paysync::app::App;
use paysync::clock::{Clock, SystemClock};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::support::{TIMEOUT, config_of};

/// The number of SIGABRT: how the program ends at a failpoint.
const ABORTED: i32 = 6;

/// The program at work; it dies with its owner.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts a command; what it says goes to `log`.
    pub(super) fn start(command: &str, config: &Path, places: &str, log: &Path) -> Self {
        let arguments: &[&str] = match command {
            "sync" => &["sync", "--give-up-after", "2m"],
            other => &[other],
        };
        let output = File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_paysync"))
            .args(arguments)
            .arg("--config")
            .arg(config)
            .env_clear()
            .env("FAILPOINTS", places)
            .env("HOSTNAME", log.file_stem().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child }
    }

    /// How it ended; none while it works.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal, by the shell's own `kill`: a small system has no program of this name.
    pub(super) fn signal(&mut self, name: &str) {
        // Its number may be another process's once it has been waited for.
        let Some(pid) = self.child.id() else { return };
        let status = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status();
        assert!(status.unwrap().success());
    }

    /// Kills it without warning.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Whether a process died at one of its places.
pub(super) fn died_at_its_place(status: ExitStatus) -> bool {
    status.signal() == Some(ABORTED)
}

/// A machine's clock that is off, while the database's is right.
#[derive(Debug)]
pub(super) struct WrongClock(pub(super) TimeDelta);

impl Clock for WrongClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }
}

/// The engine in a runtime of its own, by a clock that is off, until the runtime is torn down: no
/// task goes on, nothing is given back.
pub(super) async fn work_by_a_wrong_clock(
    text: &str,
    by: TimeDelta,
    daemon: bool,
    lives: Duration,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let config = config_of(text);
    runtime.spawn(async move {
        let mut engine = App::new(&config, &[]).unwrap().engine;
        engine.clock = Arc::new(WrongClock(by));
        let stop = CancellationToken::new();
        // The database may be closed, or not be there yet.
        if engine.store.migrate().await.is_err() || engine.register().await.is_err() {
            return;
        }
        if daemon {
            engine.run(&stop).await;
        } else {
            drop(engine.sync(TIMEOUT, &stop).await);
        }
    });
    tokio::time::sleep(lives).await;
    runtime.shutdown_background();
}
