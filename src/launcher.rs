//! A private PostgreSQL server, run as a child process, for the demo and for tests.
//!
//! The binaries are the machine's own (`scripts/postgres` gets them where they are missing). The server listens on
//! loopback only and asks for no password, so every local user may use it: fine for generated payments, not for real
//! ones. Started by root it runs as `postgres` or `nobody`, for PostgreSQL refuses to run as root.
//!
//! A directory has one launcher at a time, by a file lock that ends with the process. Whoever holds the lock may
//! therefore stop a server found in there: a launcher that was killed left it behind.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sqlx::migrate::MigrateDatabase;
use thiserror::Error;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The oldest major version that paysync is tested with.
const OLDEST_VERSION: u16 = 15;

/// How long a server may take to accept connections, crash recovery included.
const START_TIMEOUT: Duration = Duration::from_mins(2);

const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// Ports to choose from, below those that systems hand out for outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Names the superuser, which is also the database that is there from the start.
const SUPERUSER: &str = "postgres";

/// How a cluster is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the cluster lives, kept when it stops and started again by the next launcher; `None` is a new directory
    /// that is removed in the end.
    pub directory: Option<PathBuf>,
    /// Whether what is committed survives a crash of the machine; slower.
    pub durable: bool,
    /// The TCP port on loopback; `None` chooses a free one.
    pub port: Option<u16>,
}

/// Why there is no cluster, and what to do about it.
#[derive(Debug, Error)]
pub enum LauncherError {
    /// No usable binaries on this machine.
    #[error(
        "no PostgreSQL server binaries found ({wanted}): run scripts/postgres, set PG_BIN to the directory of initdb \
         and postgres, or set DATABASE_URL to use a server that runs already"
    )]
    NoServer {
        /// The versions that would do.
        wanted: String,
    },
    /// `PG_BIN` is set and wrong.
    #[error("PG_BIN={} holds no initdb, pg_ctl and postgres ({wanted})", .directory.display())]
    BadPgBin {
        /// The value of `PG_BIN`.
        directory: PathBuf,
        /// The versions that would do.
        wanted: String,
    },
    /// Started by root without anyone to run the server as.
    #[error(
        "PostgreSQL refuses to run as root and there is neither a user postgres nor nobody: start as another user"
    )]
    NoUser,
    /// Another launcher works in the directory.
    #[error("{} is in use by another paysync: stop it or choose another directory", .0.display())]
    InUse(PathBuf),
    /// No port of the range could be bound.
    #[error("found no free port between {} and {}", PORTS.start, PORTS.end)]
    NoPort,
    /// The file system said no.
    #[error("cannot use {}", .path.display())]
    Path {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A program of PostgreSQL could not be started.
    #[error("cannot run {}{}", .program.display(), as_user(*.user))]
    Run {
        /// The program.
        program: PathBuf,
        /// The user it was to run as, if not the present one.
        user: Option<u32>,
        /// The reason.
        source: io::Error,
    },
    /// `initdb` or `pg_ctl` failed.
    #[error("{program} failed{}: {output}", as_user(*.user))]
    Failed {
        /// Its name.
        program: &'static str,
        /// The user it ran as, if not the present one.
        user: Option<u32>,
        /// The end of what it printed.
        output: String,
    },
    /// The server ended, or does not get ready.
    #[error("the PostgreSQL server {what}; see {}: {tail}", .log.display())]
    Server {
        /// What happened.
        what: &'static str,
        /// Its log file.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// The server runs but a database could not be created.
    #[error("cannot create the database {name}")]
    Database {
        /// Its name.
        name: String,
        /// The reason.
        source: sqlx::Error,
    },
}

/// A running server, stopped by [`Cluster::stop`] or, less gently, when dropped.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    /// `None` once stopped.
    server: Option<Child>,
    port: u16,
    throwaway: bool,
    /// Held as long as the cluster is.
    _lock: File,
}

/// Where a cluster lives and what runs it.
#[derive(Debug)]
struct Place {
    binaries: PathBuf,
    root: PathBuf,
    /// User and group to run as, if not the present ones.
    user: Option<(u32, u32)>,
}

impl Cluster {
    /// Starts a server and returns as soon as it accepts connections.
    pub async fn start(options: Options) -> Result<Self, LauncherError> {
        let throwaway = options.directory.is_none();
        let root = match options.directory {
            Some(directory) => {
                std::fs::create_dir_all(&directory).map_err(at(&directory))?;
                directory.canonicalize().map_err(at(&directory))?
            }
            None => create_throwaway()?,
        };
        match Self::start_in(&root, throwaway, options.durable, options.port).await {
            Ok(cluster) => Ok(cluster),
            Err(error) => {
                if throwaway {
                    remove(&root);
                }
                Err(error)
            }
        }
    }

    async fn start_in(
        root: &Path,
        throwaway: bool,
        durable: bool,
        port: Option<u16>,
    ) -> Result<Self, LauncherError> {
        let lock = lock(root)?;
        let data = root.join("data");
        let existing = std::fs::read_to_string(data.join("PG_VERSION")).ok();
        let place = Place {
            binaries: find_binaries(existing.as_deref().map(str::trim)).await?,
            root: root.to_owned(),
            user: unprivileged(&data).await?,
        };
        if existing.is_none() {
            place.initialize().await?;
        } else if place.has_server().await? {
            place.pg_ctl_stop("fast").await?;
        }
        let port = port.or_else(free_port).ok_or(LauncherError::NoPort)?;
        let server = place.spawn(port, durable).await?;
        let mut cluster = Self {
            place,
            server: Some(server),
            port,
            throwaway,
            _lock: lock,
        };
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    /// The URL of a database on this cluster; `postgres` is there from the start.
    pub fn url(&self, database: &str) -> String {
        let host = Ipv4Addr::LOCALHOST;
        format!("postgres://{SUPERUSER}@{host}:{}/{database}", self.port)
    }

    /// Creates a database unless it is there, and returns its URL.
    pub async fn create_database(&self, name: &str) -> Result<String, LauncherError> {
        let url = self.url(name);
        let refused = |source| LauncherError::Database {
            name: name.to_owned(),
            source,
        };
        if !sqlx::Postgres::database_exists(&url)
            .await
            .map_err(refused)?
        {
            sqlx::Postgres::create_database(&url)
                .await
                .map_err(refused)?;
        }
        Ok(url)
    }

    /// Ends the sessions, stops the server and removes a throwaway directory.
    pub async fn stop(mut self) -> Result<(), LauncherError> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        if let Err(error) = self.place.pg_ctl_stop("fast").await {
            self.server = Some(server);
            return Err(error);
        }
        server.wait().await.map_err(at(&self.place.root))?;
        if self.throwaway {
            tokio::fs::remove_dir_all(&self.place.root)
                .await
                .map_err(at(&self.place.root))?;
        }
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<(), LauncherError> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        let ready = timeout(START_TIMEOUT, self.place.until_ready(server)).await;
        match ready {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(self.place.server_error("ended at once")),
            Ok(Err(source)) => Err(at(&self.place.root)(source)),
            Err(_elapsed) => Err(self.place.server_error("does not get ready")),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.take().is_some() {
            // Nobody waits for this one: crash recovery is the price, paid by a directory that is kept.
            let mut command = self.place.command("pg_ctl");
            self.place.pg_ctl_stop_arguments(&mut command, "immediate");
            let _status = command.as_std_mut().status();
            if self.throwaway {
                remove(&self.place.root);
            }
        }
    }
}

impl Place {
    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command
            .current_dir(&self.root)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in a terminal reaches a whole process group; the server has to outlive its clients.
            .process_group(0);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Runs a program to its end and returns whether it succeeded, and what it printed.
    async fn run(&self, mut command: Command) -> Result<(bool, String), LauncherError> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command
            .output()
            .await
            .map_err(|source| self.cannot_run(&command, source))?;
        let printed = [output.stdout, output.stderr].concat();
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&printed).into_owned(),
        ))
    }

    /// Makes the data directory, whole or not at all.
    async fn initialize(&self) -> Result<(), LauncherError> {
        let unfinished = self.root.join("data.new");
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished).map_err(at(&unfinished))?;
        }
        DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .map_err(at(&unfinished))?;
        if let Some((user, group)) = self.user {
            chown(&unfinished, Some(user), Some(group)).map_err(at(&unfinished))?;
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
        std::fs::rename(&unfinished, self.data()).map_err(at(&unfinished))
    }

    async fn spawn(&self, port: u16, durable: bool) -> Result<Child, LauncherError> {
        let log = self.log();
        let log_file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(at(&log))?;
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
        command
            .spawn()
            .map_err(|source| self.cannot_run(&command, source))
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

    async fn has_server(&self) -> Result<bool, LauncherError> {
        let mut command = self.command("pg_ctl");
        command.arg("status").arg("-D").arg(self.data());
        Ok(self.run(command).await?.0)
    }

    async fn pg_ctl_stop(&self, mode: &str) -> Result<(), LauncherError> {
        let mut command = self.command("pg_ctl");
        self.pg_ctl_stop_arguments(&mut command, mode);
        let (done, output) = self.run(command).await?;
        // A server that ended by itself needs no stopping.
        if !done && self.has_server().await? {
            return Err(self.failed("pg_ctl", &output));
        }
        Ok(())
    }

    fn pg_ctl_stop_arguments(&self, command: &mut Command, mode: &str) {
        command
            .args(["stop", "--wait", "--silent", "--mode", mode])
            .arg("--timeout")
            .arg(STOP_TIMEOUT.as_secs().to_string())
            .arg("--pgdata")
            .arg(self.data());
    }

    /// Returns `true` once the server accepts connections, `false` when it ended.
    ///
    /// The server notes its state in line 8 of its lock file, which is what `pg_ctl --wait` reads, too.
    async fn until_ready(&self, server: &mut Child) -> io::Result<bool> {
        let path = self.data().join("postmaster.pid");
        let pid = server.id().map(|pid| pid.to_string());
        loop {
            if server.try_wait()?.is_some() {
                return Ok(false);
            }
            let note = tokio::fs::read_to_string(&path).await.unwrap_or_default();
            let mut lines = note.lines().map(str::trim);
            let own = lines.next() == pid.as_deref();
            if own && lines.nth(6) == Some("ready") {
                return Ok(true);
            }
            sleep(Duration::from_millis(20)).await;
        }
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

    fn server_error(&self, what: &'static str) -> LauncherError {
        let log = self.log();
        let text = std::fs::read(&log).unwrap_or_default();
        LauncherError::Server {
            what,
            tail: last_lines(&String::from_utf8_lossy(&text)),
            log,
        }
    }
}

/// Finds the directory of `initdb`, `pg_ctl` and `postgres`; of exactly the version that made an existing cluster.
async fn find_binaries(existing: Option<&str>) -> Result<PathBuf, LauncherError> {
    let wanted = match existing {
        Some(version) => format!("version {version}, which made the data directory"),
        None => format!("version {OLDEST_VERSION} or newer"),
    };
    let fits = |found: u16| match existing {
        Some(version) => version == found.to_string(),
        None => found >= OLDEST_VERSION,
    };
    if let Some(directory) = std::env::var_os("PG_BIN").filter(|value| !value.is_empty()) {
        let directory = PathBuf::from(directory);
        return if version(&directory).await.is_some_and(fits) {
            Ok(directory)
        } else {
            Err(LauncherError::BadPgBin { directory, wanted })
        };
    }
    for directory in candidates() {
        if version(&directory).await.is_some_and(fits) {
            return Ok(directory);
        }
    }
    Err(LauncherError::NoServer { wanted })
}

/// The major version of a directory's server; `None` if it is not complete or does not run.
async fn version(directory: &Path) -> Option<u16> {
    let complete = ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|program| directory.join(program).is_file());
    if !complete {
        return None;
    }
    let output = Command::new(directory.join("postgres"))
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "postgres (PostgreSQL) 19beta1"
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, number) = text.split_once(") ")?;
    leading_number(number)
}

/// Places to look, best first: the same as in `scripts/postgres`.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
        (".paysync/postgres", ""),
    ] {
        let mut below: Vec<(u16, PathBuf)> = std::fs::read_dir(parent)
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let rest = name.strip_prefix(prefix)?;
                let number = leading_number(rest.trim_start_matches('@')).unwrap_or(0);
                Some((number, std::path::absolute(entry.path()).ok()?.join("bin")))
            })
            .collect();
        below.sort();
        found.extend(below.into_iter().rev().map(|(_, directory)| directory));
    }
    found
}

fn leading_number(text: &str) -> Option<u16> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.get(..end.unwrap_or(text.len()))?.parse().ok()
}

/// User and group to run the server as; `None` is the present user.
async fn unprivileged(data: &Path) -> Result<Option<(u32, u32)>, LauncherError> {
    if id(&["-u"]).await != Some(0) {
        return Ok(None);
    }
    if let Ok(owner) = data.metadata() {
        return Ok(Some((owner.uid(), owner.gid())));
    }
    for name in ["postgres", "nobody"] {
        if let (Some(user), Some(group)) = (id(&["-u", name]).await, id(&["-g", name]).await) {
            return Ok(Some((user, group)));
        }
    }
    Err(LauncherError::NoUser)
}

async fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().await.ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Takes the directory for this process, until the file is closed.
fn lock(root: &Path) -> Result<File, LauncherError> {
    let path = root.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LauncherError::InUse(root.to_owned())),
        Err(TryLockError::Error(source)) => Err(at(&path)(source)),
    }
}

fn create_throwaway() -> Result<PathBuf, LauncherError> {
    let name = format!("paysync-pg.{:016x}", fastrand::u64(..));
    let path = std::env::temp_dir().join(name);
    // Open to the server's user, who may be another; what needs protection is in a directory of its own below.
    DirBuilder::new()
        .mode(0o755)
        .create(&path)
        .map_err(at(&path))?;
    Ok(path)
}

/// Removes a directory as far as possible, where there is nobody to tell.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove a throwaway PostgreSQL directory");
    }
}

fn free_port() -> Option<u16> {
    (0..100)
        .map(|_| fastrand::u16(PORTS))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().rev().take(6).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn at<P: AsRef<OsStr> + ?Sized>(path: &P) -> impl FnOnce(io::Error) -> LauncherError + use<P> {
    let path = PathBuf::from(path);
    move |source| LauncherError::Path { path, source }
}

fn as_user(user: Option<u32>) -> String {
    user.map_or_else(String::new, |user| {
        format!(
            " (as uid {user}, since PostgreSQL refuses root: its directory and binaries must not lie below /root)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(cluster: &Cluster, question: &'static str) -> String {
        use sqlx::Connection as _;
        let url = cluster.url("postgres");
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        sqlx::query_scalar(question)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn throwaway_serves_and_leaves_nothing() {
        let cluster = Cluster::start(Options::default()).await.unwrap();
        let root = cluster.place.root.clone();
        assert_eq!(answer(&cluster, "SHOW server_encoding").await, "UTF8");
        assert_eq!(answer(&cluster, "SHOW fsync").await, "off");
        assert!(PORTS.contains(&cluster.port));

        let url = cluster.create_database("demo").await.unwrap();
        assert_eq!(cluster.create_database("demo").await.unwrap(), url);
        assert!(sqlx::Postgres::database_exists(&url).await.unwrap());

        cluster.stop().await.unwrap();
        assert!(!root.exists());
    }

    #[tokio::test]
    async fn dropped_throwaway_leaves_nothing() {
        let cluster = Cluster::start(Options::default()).await.unwrap();
        let (root, port) = (cluster.place.root.clone(), cluster.port);
        drop(cluster);
        assert!(!root.exists());
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[tokio::test]
    async fn kept_directory_starts_again_after_any_end() {
        let parent = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let options = Options {
            directory: Some(parent.path().join("cluster")),
            durable: true,
            port: None,
        };

        let mut cluster = Cluster::start(options.clone()).await.unwrap();
        cluster.create_database("kept").await.unwrap();
        assert!(matches!(
            Cluster::start(options.clone()).await,
            Err(LauncherError::InUse(_))
        ));

        // The server is killed: its lock file stays behind.
        cluster.server.as_mut().unwrap().kill().await.unwrap();
        drop(cluster);
        let mut cluster = Cluster::start(options.clone()).await.unwrap();

        // The launcher is killed: its server stays behind.
        std::mem::forget(cluster.server.take());
        drop(cluster);
        let cluster = Cluster::start(options.clone()).await.unwrap();

        assert_eq!(answer(&cluster, "SHOW fsync").await, "on");
        let kept = cluster.url("kept");
        assert!(sqlx::Postgres::database_exists(&kept).await.unwrap());
        cluster.stop().await.unwrap();
        assert!(parent.path().join("cluster/data").exists());
    }

    #[tokio::test]
    async fn error_names_what_the_server_said() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let error = Cluster::start(Options {
            port: Some(taken.local_addr().unwrap().port()),
            ..Options::default()
        })
        .await
        .unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        let LauncherError::Server { log, .. } = error else {
            panic!("{error}");
        };
        assert!(!log.parent().unwrap().exists());
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(leading_number("15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(leading_number("19beta1"), Some(19));
        assert_eq!(leading_number(""), None);
    }
}
