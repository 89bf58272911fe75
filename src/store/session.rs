//! A connection for one piece of work.
//!
//! Work may be cut off at any of its waits: its lease is lost, a neighbour failed. A connection that
//! was left while the database began a transaction looks as if it were in none, and whatever it is
//! used for next would never be committed. So it goes back to the pool only if the work was done.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use super::Store;

/// A connection that is closed unless its work is done.
pub(crate) struct Session {
    connection: PoolConnection<Postgres>,
    is_done: bool,
}

impl Store {
    /// A connection for several statements; [`Session::done`] gives it back.
    pub(crate) async fn session(&self) -> Result<Session, sqlx::Error> {
        Ok(Session {
            connection: self.pool().acquire().await?,
            is_done: false,
        })
    }
}

impl Session {
    /// Begins a transaction.
    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
        self.connection.begin().await
    }

    /// The work is done, and no transaction is open.
    pub(crate) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_done {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
