//! Errors before a cluster is ready.

use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use thiserror::Error;

/// Why a cluster could not be started or stopped; says what to do.
#[derive(Debug, Error)]
pub enum LauncherError {
    /// No usable binaries of the versions that are accepted.
    #[error(
        "no PostgreSQL server binaries found ({0}): run scripts/postgres, set PG_BIN to the directory of initdb \
         and postgres, or set DATABASE_URL to use a running server"
    )]
    NoServer(String),
    /// `PG_BIN` is set and wrong.
    #[error("PG_BIN={} does not contain initdb, pg_ctl and postgres ({wanted})", .directory.display())]
    BadPgBin {
        /// The value of `PG_BIN`.
        directory: PathBuf,
        /// The versions that are accepted.
        wanted: String,
    },
    /// Started by root, and no user exists to run the server as.
    #[error(
        "PostgreSQL refuses to run as root and there is neither a user postgres nor nobody: start paysync as another user"
    )]
    NoUser,
    /// Another launcher holds the lock of the directory.
    #[error("{} is in use by another paysync: stop it or choose another directory", .0.display())]
    InUse(PathBuf),
    /// No port of the range is free.
    #[error("no free port between {} and {}", .0.start, .0.end)]
    NoPort(Range<u16>),
    /// A file or directory cannot be used.
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
        /// The user to run as, if not the current one.
        user: Option<u32>,
        /// The reason.
        source: io::Error,
    },
    /// `initdb` or `pg_ctl` failed.
    #[error("{program} failed{}: {output}", as_user(*.user))]
    Failed {
        /// Its name.
        program: &'static str,
        /// The user it ran as, if not the current one.
        user: Option<u32>,
        /// The end of what it printed.
        output: String,
    },
    /// The server ended, or did not become ready.
    #[error("the PostgreSQL server {what}; see {}: {tail}", .log.display())]
    Server {
        /// The event, a verb phrase.
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

pub(super) fn path_error<P: AsRef<OsStr> + ?Sized>(
    path: &P,
) -> impl FnOnce(io::Error) -> LauncherError + use<P> {
    let path = PathBuf::from(path);
    move |source| LauncherError::Path { path, source }
}

pub(super) fn as_user(user: Option<u32>) -> String {
    let reason =
        "since PostgreSQL refuses root: its directory and binaries must not lie below /root";
    user.map(|user| format!(" (as uid {user}, {reason})"))
        .unwrap_or_default()
}
