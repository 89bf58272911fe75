//! Errors of the store: whether waiting helps, and what an operator can do.

use rustls::CertificateError;
use sqlx::migrate::MigrateError;
use thiserror::Error;

use crate::tls::certificate_error;

/// Why an operation of the store failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process took the account over; the transaction is rolled back.
    #[error("the lease on the account was lost")]
    LeaseLost,
    /// An operator dropped the window, or it was closed under another lease.
    #[error("the window is no longer open")]
    WindowGone,
    /// The counts of a page do not add up, which is a defect; the page is rolled back.
    #[error("the page does not add up: {0}")]
    DoesNotAddUp(String),
    /// The database cannot be used now: it is away, shutting down, read-only, full or out of connections.
    #[error("the database cannot be used")]
    Away(#[source] sqlx::Error),
    /// A deadlock or the like: the database asks for another attempt.
    #[error("the database asks to try again")]
    Conflict(#[source] sqlx::Error),
    /// The database refused a statement.
    #[error("the database refused")]
    Database(#[source] sqlx::Error),
    /// Sessions share servers, and a prepared statement may be missing on the next one.
    #[error(
        "the connection goes through a pooler in transaction mode that does not support prepared statements"
    )]
    SharedSessions,
    /// Migrations of this database are not this program's: until the first release, they are edited.
    #[error(
        "the database was made by a development build of paysync, whose tables are other than this version's"
    )]
    DevelopmentBuild,
    /// A migration failed, or the schema is newer than this program.
    #[error("migrating the database failed")]
    Migrate(#[from] MigrateError),
}

impl StoreError {
    /// Whether the same operation can succeed later without a change to paysync.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Conflict(_))
    }

    /// Whether a connection was lost; the next one may work.
    pub fn is_cut(&self) -> bool {
        match self {
            Self::Away(sqlx::Error::Io(_)) => true,
            Self::Away(cause) => is_of_class(cause, &["57P"]),
            _ => false,
        }
    }

    /// The error of the database or of the connection to it.
    pub fn cause(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Away(cause) | Self::Conflict(cause) | Self::Database(cause) => Some(cause),
            _ => None,
        }
    }

    /// What helps against this cause, if it is known.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::SharedSessions => return Some(POOLED),
            Self::DevelopmentBuild => return Some(START_EMPTY),
            _ => {}
        }
        let cause = self.cause()?;
        let Some(code) = sqlstate(cause) else {
            return match cause {
                sqlx::Error::PoolTimedOut => {
                    Some("check the database; if it is well, raise database.max_connections")
                }
                sqlx::Error::Io(_) => certificate_error(cause).map(of_certificate),
                sqlx::Error::Tls(_) => Some(certificate_error(cause).map_or(TLS, of_certificate)),
                _ => None,
            };
        };
        let advice = match code.as_str() {
            "26000" | "42P05" => POOLED,
            "25006" => {
                "the server takes no writes: name the primary in database.url, and see default_transaction_read_only"
            }
            "28000" | "28P01" => "check the user and the password in database.url",
            "3D000" => "create the database, or check database.url",
            "42P01" | "42703" | "3F000" => "run paysync migrate first",
            "42501" => "give the user of database.url the rights it needs",
            "53100" => "free space on the database's disk; paysync goes on by itself",
            "53300" => {
                "the server is out of connections: lower database.max_connections, or raise the server's limit"
            }
            "57014" => {
                "a statement was cancelled: raise statement_timeout for the user of database.url"
            }
            "57P01" | "57P02" | "57P03" => "the server stops or starts; paysync goes on by itself",
            _ => return None,
        };
        Some(advice)
    }

    /// What an operator can do.
    pub fn hint(&self) -> &'static str {
        if let Some(advice) = self.advice() {
            return advice;
        }
        match self {
            Self::Away(_) => "check the database; paysync waits and goes on, nothing is lost",
            Self::Conflict(_) => "nothing to do: the page is retried",
            Self::Database(_) => "see the error; paysync retries until it is fixed",
            Self::LeaseLost | Self::WindowGone => "nothing to do: another process goes on",
            Self::DoesNotAddUp(_) => {
                "a defect of paysync: please report it; nothing of the page was kept"
            }
            Self::SharedSessions | Self::DevelopmentBuild | Self::Migrate(_) => {
                "see the error, then start again"
            }
        }
    }
}

/// What helps if the tables are those of a development build.
const START_EMPTY: &str = "start with an empty schema: DROP SCHEMA paysync CASCADE, or name another database in database.url; paysync reads everything again";

/// What helps if sessions share servers.
const POOLED: &str = "set database.prepared_statements = false and database.direct_url, or let the pooler keep prepared statements (PgBouncer 1.21 and later: max_prepared_statements)";

const TLS: &str = "check sslmode and sslrootcert in database.url, and the server's ssl";

/// What helps where the server's certificate is refused.
const fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is from an unknown authority: name the authority's file in database.url, as in \
             ?sslmode=verify-full&sslrootcert=/path/authority.pem"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "name the host in database.url as the server's certificate does; another server may be answering in its place"
        }
        _ => TLS,
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_away(&error) {
            Self::Away(error)
        } else if is_conflict(&error) {
            Self::Conflict(error)
        } else {
            Self::Database(error)
        }
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the database cannot be used now.
pub(super) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        // Connection, resources, operator intervention, system errors; no connections for a while; read-only.
        other => is_of_class(other, &["08", "53", "57", "58", "55000", "25006"]),
    }
}

/// Serialization and deadlock; lock timeout.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    is_of_class(error, &["40", "55P03"])
}

/// Whether the SQLSTATE begins with one of these.
fn is_of_class(error: &sqlx::Error, classes: &[&str]) -> bool {
    sqlstate(error).is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}

/// PostgreSQL's message about data that it refuses; none if the error is of another kind.
pub(crate) fn refused_data(error: &sqlx::Error) -> Option<String> {
    if let sqlx::Error::Encode(_) = error {
        return Some("a value cannot be sent to the database".to_owned());
    }
    // Data exceptions, constraint violations, and values past a limit of the program.
    let is_data = is_of_class(error, &["22", "23", "54"]);
    let code = sqlstate(error).filter(|_| is_data)?;
    Some(format!("SQLSTATE {code}"))
}
