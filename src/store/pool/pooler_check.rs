//! The check for a pooler in transaction mode, such as `PgBouncer`: sessions share a few servers, and the
//! next transaction may reach another one.
//!
//! A statement that was prepared by name on one server is then missing on the next, or worse: the name is
//! another session's statement there. A pooler that does not keep the names apart is found before
//! anything is written.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};

use crate::store::error::StoreError;

/// A mark that a session finds only if another one left it on a server that both share. The statement is
/// sent without a name, and as a whole reaches one server.
const MARK: &str = "SELECT coalesce(current_setting('paysync.session', true), '') <> '' AS seen,
    set_config('paysync.session', 'shared', false)";

/// Looks for the name of this very statement on the server. A pooler that keeps statements apart gives
/// them names of its own.
const NAMED: &str =
    "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name LIKE 'sqlx\\_s\\_%')";

/// Fails if prepared statements may reach the wrong server, or another session's statement.
pub(crate) async fn refuse_shared_sessions(options: &PgConnectOptions) -> Result<(), StoreError> {
    for _ in 0..2 {
        let mut connection = PgConnection::connect_with(options).await?;
        let shared: bool = sqlx::raw_sql(MARK)
            .fetch_one(&mut connection)
            .await?
            .try_get("seen")?;
        if shared {
            let named = sqlx::query_scalar(NAMED).fetch_one(&mut connection).await;
            // An error means the same: the server knows another statement of this name, or none.
            if named.unwrap_or(true) {
                return Err(StoreError::SharedSessions);
            }
        }
        connection.close().await?;
    }
    Ok(())
}
