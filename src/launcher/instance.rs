//! A PostgreSQL instance: the directory of a cluster and the programs that run it.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::error::{LauncherError, path_error};

/// Name of the superuser, and of the database that every cluster has.
pub(super) const SUPERUSER: &str = "postgres";

/// How long a server may take to accept connections, crash recovery included.
const START_TIMEOUT: Duration = Duration::from_mins(2);

const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// The directory of a cluster and the programs that run it.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) binaries: PathBuf,
    pub(super) root: PathBuf,
    /// User and group to run as, if not the current ones.
    pub(super) user: Option<(u32, u32)>,
}

impl Instance {
    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command
            .current_dir(&self.root)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal reaches the whole process group; the server must outlive its clients.
            .process_group(0);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Runs a program to its end; returns whether it succeeded, and its output.
    async fn run(&self, mut command: Command) -> Result<(bool, String), LauncherError> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().await;
        let output = output.map_err(|source| self.cannot_run(&command, source))?;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        Ok((output.status.success(), printed))
    }

    /// Creates the data directory, atomically.
    pub(super) async fn initialize(&self) -> Result<(), LauncherError> {
        let unfinished = self.root.join("data.new");
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished).map_err(path_error(&unfinished))?;
        }
        let created = DirBuilder::new().mode(0o700).create(&unfinished);
        created.map_err(path_error(&unfinished))?;
        if let Some((user, group)) = self.user {
            chown(&unfinished, Some(user), Some(group)).map_err(path_error(&unfinished))?;
        }
        let mut command = self.command("initdb");
        command
            .arg("--pgdata")
            .arg(&unfinished)
            .arg(format!("--username={SUPERUSER}"))
            .args(["--encoding=UTF8", "--locale=C", "--auth=trust", "--no-sync"]);
        let (done, output) = self.run(command).await?;
        if !done {
            return Err(self.failed("initdb", &output));
        }
        std::fs::rename(&unfinished, self.data()).map_err(path_error(&unfinished))
    }

    pub(super) async fn spawn(&self, port: u16, durable: bool) -> Result<Child, LauncherError> {
        let log = self.log();
        let log_file = File::options().create(true).append(true).open(&log);
        let log_file = log_file.map_err(path_error(&log))?;
        let lz4 = self.has_lz4().await?;
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .arg("-c")
            .arg(format!("port={port}"))
            .stderr(log_file);
        if lz4 {
            command.args(["-c", "default_toast_compression=lz4"]);
        }
        if !durable {
            command
                .args(["-c", "fsync=off"])
                .args(["-c", "synchronous_commit=off"])
                .args(["-c", "full_page_writes=off"]);
        }
        let server = command.spawn();
        server.map_err(|source| self.cannot_run(&command, source))
    }

    /// Whether the server was built with lz4.
    async fn has_lz4(&self) -> Result<bool, LauncherError> {
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-c", "default_toast_compression=lz4"])
            .args(["-C", "default_toast_compression"]);
        Ok(self.run(command).await?.0)
    }

    pub(super) async fn has_server(&self) -> Result<bool, LauncherError> {
        let mut command = self.command("pg_ctl");
        command.arg("status").arg("-D").arg(self.data());
        Ok(self.run(command).await?.0)
    }

    pub(super) async fn pg_ctl_stop(&self, mode: &str) -> Result<(), LauncherError> {
        let (done, output) = self.run(self.stop_command(mode)).await?;
        // A server that has ended by itself is stopped, too.
        if !done && self.has_server().await? {
            return Err(self.failed("pg_ctl", &output));
        }
        Ok(())
    }

    pub(super) fn stop_command(&self, mode: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command
            .args(["stop", "--wait", "--silent", "--mode", mode])
            .arg(format!("--timeout={}", STOP_TIMEOUT.as_secs()))
            .arg("--pgdata")
            .arg(self.data());
        command
    }

    /// Waits until the server accepts connections.
    ///
    /// The server writes its state to line 8 of its lock file, where `pg_ctl --wait` reads it, too.
    pub(super) async fn wait_until_ready(&self, server: &mut Child) -> Result<(), LauncherError> {
        let path = self.data().join("postmaster.pid");
        let pid = server.id().map(|pid| pid.to_string());
        let started = Instant::now();
        while started.elapsed() < START_TIMEOUT {
            if server.try_wait().map_err(path_error(&self.root))?.is_some() {
                return Err(self.server_error("ended at once"));
            }
            let lock_file = tokio::fs::read_to_string(&path).await.unwrap_or_default();
            let mut lines = lock_file.lines().map(str::trim);
            let own = lines.next() == pid.as_deref();
            if own && lines.nth(6) == Some("ready") {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err(self.server_error("does not become ready"))
    }

    fn cannot_run(&self, command: &Command, source: io::Error) -> LauncherError {
        LauncherError::Run {
            program: command.as_std().get_program().into(),
            user: self.user.map(|(user, _)| user),
            source,
        }
    }

    fn failed(&self, program: &'static str, output: &str) -> LauncherError {
        LauncherError::Failed {
            program,
            user: self.user.map(|(user, _)| user),
            output: last_lines(output),
        }
    }

    pub(super) fn server_error(&self, what: &'static str) -> LauncherError {
        let log = self.log();
        let text = std::fs::read(&log).unwrap_or_default();
        LauncherError::Server {
            what,
            tail: last_lines(&String::from_utf8_lossy(&text)),
            log,
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().rev().take(6).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
