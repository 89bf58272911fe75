//! A private PostgreSQL server, run as a child process, for the demo and for tests.
//!
//! The binaries are those of this machine (`scripts/postgres` installs them where they are missing). The server listens
//! on loopback only and requires no password, so every local user can use it: fine for generated payments, not for real
//! ones. PostgreSQL refuses to run as root; a launcher started by root runs it as `postgres` or `nobody`.
//!
//! A file lock, which ends with the process, allows one launcher per directory. The holder of the lock may therefore
//! stop a server that it finds running there: a launcher that was killed left it behind.

mod binaries;
mod error;
mod instance;

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sqlx::Postgres;
use sqlx::migrate::MigrateDatabase;
use tokio::process::{Child, Command};

use binaries::find_binaries;
pub use error::LauncherError;
use error::path_error;
use instance::{Instance, SUPERUSER};

/// Ports to choose from, below those that systems use for outgoing connections.
const PORTS: Range<u16> = 20_000..32_000;

/// How a cluster is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Directory of the cluster, which the next launcher starts again; `None` for a temporary one that is removed when
    /// the cluster stops.
    pub directory: Option<PathBuf>,
    /// Whether commits survive a crash of the machine; slower.
    pub durable: bool,
    /// The TCP port on loopback; `None` chooses a free one.
    pub port: Option<u16>,
}

/// A running server: [`Cluster::stop`] shuts it down, dropping it kills it.
#[derive(Debug)]
pub struct Cluster {
    instance: Instance,
    /// `None` once stopped.
    server: Option<Child>,
    port: u16,
    temporary: bool,
    _lock: File,
}

impl Cluster {
    /// Starts a server and returns as soon as it accepts connections.
    pub async fn start(options: &Options) -> Result<Self, LauncherError> {
        let root = match &options.directory {
            Some(directory) => {
                std::fs::create_dir_all(directory).map_err(path_error(directory))?;
                directory.canonicalize().map_err(path_error(directory))?
            }
            None => create_temporary()?,
        };
        let started = Self::start_in(&root, options).await;
        if started.is_err() && options.directory.is_none() {
            remove(&root);
        }
        started
    }

    async fn start_in(root: &Path, options: &Options) -> Result<Self, LauncherError> {
        let lock = lock(root)?;
        let data = root.join("data");
        let existing = std::fs::read_to_string(data.join("PG_VERSION")).ok();
        let instance = Instance {
            binaries: find_binaries(existing.as_deref().map(str::trim)).await?,
            root: root.to_owned(),
            user: unprivileged(&data).await?,
        };
        if existing.is_none() {
            instance.initialize().await?;
        } else if instance.has_server().await? {
            instance.pg_ctl_stop("fast").await?;
        }
        let port = options.port.or_else(free_port);
        let port = port.ok_or(LauncherError::NoPort(PORTS))?;
        let server = instance.spawn(port, options.durable).await?;
        let mut cluster = Self {
            instance,
            server: Some(server),
            port,
            temporary: options.directory.is_none(),
            _lock: lock,
        };
        if let Some(server) = &mut cluster.server {
            cluster.instance.wait_until_ready(server).await?;
        }
        Ok(cluster)
    }

    /// The URL of a database of this cluster; `postgres` always exists.
    pub fn url(&self, database: &str) -> String {
        let host = Ipv4Addr::LOCALHOST;
        format!("postgres://{SUPERUSER}@{host}:{}/{database}", self.port)
    }

    /// Creates a database unless it exists, and returns its URL.
    pub async fn create_database(&self, name: &str) -> Result<String, LauncherError> {
        let url = self.url(name);
        let refused = |source| LauncherError::Database {
            name: name.to_owned(),
            source,
        };
        if !Postgres::database_exists(&url).await.map_err(refused)? {
            Postgres::create_database(&url).await.map_err(refused)?;
        }
        Ok(url)
    }

    /// Ends the sessions, stops the server and removes a temporary directory.
    pub async fn stop(mut self) -> Result<(), LauncherError> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        if let Err(error) = self.instance.pg_ctl_stop("fast").await {
            self.server = Some(server);
            return Err(error);
        }
        let root = &self.instance.root;
        server.wait().await.map_err(path_error(root))?;
        if self.temporary {
            let removed = tokio::fs::remove_dir_all(root).await;
            removed.map_err(path_error(root))?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.take().is_some() {
            // Does not wait for a shutdown checkpoint: a kept directory goes through crash recovery at its next start.
            let mut stop = self.instance.stop_command("immediate");
            let _status = stop.as_std_mut().status();
            if self.temporary {
                remove(&self.instance.root);
            }
        }
    }
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

/// Locks the directory until the file is closed.
fn lock(root: &Path) -> Result<File, LauncherError> {
    let path = root.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(path_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LauncherError::InUse(root.to_owned())),
        Err(TryLockError::Error(source)) => Err(path_error(&path)(source)),
    }
}

fn create_temporary() -> Result<PathBuf, LauncherError> {
    let name = format!("paysync-pg.{:016x}", fastrand::u64(..));
    let path = std::env::temp_dir().join(name);
    // The server may run as another user, who needs access; the data directory below is private to that user.
    let created = DirBuilder::new().mode(0o755).create(&path);
    created.map_err(path_error(&path))?;
    Ok(path)
}

/// Removes a directory where no error can be returned.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "removing a temporary PostgreSQL directory failed");
    }
}

fn free_port() -> Option<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..100).map(|_| fastrand::u16(PORTS)).find(is_free)
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
    async fn temporary_serves_and_leaves_nothing() {
        let cluster = Cluster::start(&Options::default()).await.unwrap();
        let root = cluster.instance.root.clone();
        assert_eq!(answer(&cluster, "SHOW server_encoding").await, "UTF8");
        assert_eq!(answer(&cluster, "SHOW fsync").await, "off");
        assert!(PORTS.contains(&cluster.port));

        let url = cluster.create_database("demo").await.unwrap();
        assert_eq!(cluster.create_database("demo").await.unwrap(), url);
        assert!(Postgres::database_exists(&url).await.unwrap());

        cluster.stop().await.unwrap();
        assert!(!root.exists());
    }

    #[tokio::test]
    async fn dropped_temporary_leaves_nothing() {
        let cluster = Cluster::start(&Options::default()).await.unwrap();
        let (root, port) = (cluster.instance.root.clone(), cluster.port);
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

        let mut cluster = Cluster::start(&options).await.unwrap();
        cluster.create_database("kept").await.unwrap();
        assert!(matches!(
            Cluster::start(&options).await,
            Err(LauncherError::InUse(_))
        ));

        // The server is killed: its lock file stays behind.
        cluster.server.as_mut().unwrap().kill().await.unwrap();
        drop(cluster);
        let mut cluster = Cluster::start(&options).await.unwrap();

        // The launcher is killed: its server stays behind.
        std::mem::forget(cluster.server.take());
        drop(cluster);
        let cluster = Cluster::start(&options).await.unwrap();

        assert_eq!(answer(&cluster, "SHOW fsync").await, "on");
        let kept = cluster.url("kept");
        assert!(Postgres::database_exists(&kept).await.unwrap());
        cluster.stop().await.unwrap();
        assert!(parent.path().join("cluster/data").exists());
    }

    #[tokio::test]
    async fn error_names_what_the_server_said() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let error = Cluster::start(&Options {
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
}
