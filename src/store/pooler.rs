//! A pooler between paysync and the database, such as `PgBouncer` in transaction mode: sessions share a
//! few servers, and the next transaction may reach another one.
//!
//! Statements that were prepared by name on one server are then missing on the next, or worse: the
//! name is another session's statement there. So a pooler that does not keep them apart is looked for
//! before anything is written.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};

use super::StoreError;

/// A mark that a session finds only if another one has left it: on a server that both share. The
/// statement is sent without a name and reaches one server as a whole.
const MARK: &str = "SELECT coalesce(current_setting('paysync.session', true), '') <> '' AS seen,
    set_config('paysync.session', 'shared', false)";

/// The name that this very statement has on the server. A pooler that keeps statements apart gives
/// them names of its own.
const NAMED: &str =
    "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name LIKE 'sqlx\\_s\\_%')";

/// Fails if statements by name may reach the wrong server, or another session's statement.
pub(super) async fn look(options: &PgConnectOptions) -> Result<(), StoreError> {
    for _ in 0..2 {
        let mut connection = PgConnection::connect_with(options).await?;
        let shared: bool = sqlx::raw_sql(MARK)
            .fetch_one(&mut connection)
            .await?
            .try_get("seen")?;
        if shared {
            let named = sqlx::query_scalar(NAMED).fetch_one(&mut connection).await;
            // An error is an answer too: the statement was met by another of this name, or by none.
            if named.unwrap_or(true) {
                return Err(StoreError::SharedSessions);
            }
        }
        connection.close().await?;
    }
    Ok(())
}
