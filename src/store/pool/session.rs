//! A connection for one piece of work.
//!
//! Work can be cancelled at any of its awaits: its lease is lost, or another window failed. A connection
//! that was left while the database began a transaction looks as if it were in none, and its next
//! statements would never be committed. So it returns to the pool only when its work is done.
//!
//! Behind a pooler in transaction mode, the next statement may reach another server. There each statement
//! is unprepared and inside a transaction: the transaction keeps one server from the statement's first
//! message to its last, and no two statements of paysync share a name.

use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Describe, Either, Execute, Executor, Postgres, SqlStr, Transaction};

use super::connections::{Connections, CorePermit};

type Answer = Either<PgQueryResult, PgRow>;

/// A connection that is closed unless [`Session::return_to_pool`] ends its work.
pub(crate) struct Session {
    connection: PoolConnection<Postgres>,
    connections: Connections,
    permit: CorePermit,
    is_unprepared: bool,
    is_done: bool,
}

/// Executes statements, in a transaction or directly on the connection.
#[derive(Debug)]
pub(crate) struct DbWork<'a> {
    link: Link<'a>,
    is_unprepared: bool,
}

#[derive(Debug)]
enum Link<'a> {
    Plain(&'a mut PgConnection),
    Transaction(Transaction<'a, Postgres>),
}

/// Executes one statement on any free connection.
#[derive(Debug)]
pub(crate) struct OneShot {
    connections: Connections,
    is_unprepared: bool,
}

/// A statement that no server has to remember.
struct Unprepared<E>(E);

impl Session {
    /// Begins a transaction, in which each statement sees what was committed before it, whatever the server's
    /// default is: the statements lock the rows that they depend on.
    pub(crate) async fn begin(&mut self) -> Result<DbWork<'_>, sqlx::Error> {
        self.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")
            .await
    }

    /// Begins a transaction with this statement.
    pub(crate) async fn begin_with(
        &mut self,
        begin: &'static str,
    ) -> Result<DbWork<'_>, sqlx::Error> {
        Ok(DbWork {
            link: Link::Transaction(self.connection.begin_with(begin).await?),
            is_unprepared: self.is_unprepared,
        })
    }

    /// For a statement that is a transaction of its own; [`DbWork::commit`] ends it.
    pub(crate) async fn autocommit(&mut self) -> Result<DbWork<'_>, sqlx::Error> {
        if self.is_unprepared || self.connections.is_isolated() {
            return self.begin().await;
        }
        Ok(DbWork {
            link: Link::Plain(&mut self.connection),
            is_unprepared: false,
        })
    }

    /// Ends the work; no transaction may be open.
    pub(crate) fn return_to_pool(mut self) {
        // A page leaves buffers of its own size behind.
        self.connection.shrink_buffers();
        self.is_done = true;
        if self.connections.are_too_many() {
            self.connection.close_on_drop();
            return;
        }
        // The connection is returned before the permit; otherwise the next session opens a new connection.
        let (returned, permit) = (self.connection.return_to_pool(), self.permit.take());
        tokio::spawn(async move {
            returned.await;
            drop(permit);
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_done {
            self.connection.close_on_drop();
        }
    }
}

impl DbWork<'_> {
    /// Begins a part that can be rolled back by itself.
    pub(crate) async fn begin(&mut self) -> Result<DbWork<'_>, sqlx::Error> {
        let is_unprepared = self.is_unprepared;
        Ok(DbWork {
            link: Link::Transaction(self.connection().begin().await?),
            is_unprepared,
        })
    }

    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self.link {
            Link::Plain(_) => Ok(()),
            Link::Transaction(transaction) => transaction.commit().await,
        }
    }

    pub(crate) async fn rollback(self) -> Result<(), sqlx::Error> {
        match self.link {
            Link::Plain(_) => Ok(()),
            Link::Transaction(transaction) => transaction.rollback().await,
        }
    }

    /// The connection itself, for what is not a statement.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        match &mut self.link {
            Link::Plain(connection) => connection,
            Link::Transaction(transaction) => transaction,
        }
    }
}

impl OneShot {
    pub(super) fn new(connections: Connections, is_unprepared: bool) -> Self {
        Self {
            connections,
            is_unprepared,
        }
    }

    pub(super) async fn session(self) -> Result<Session, sqlx::Error> {
        let (connection, permit) = self.connections.acquire().await?;
        Ok(Session {
            connection,
            connections: self.connections,
            permit,
            is_unprepared: self.is_unprepared,
            is_done: false,
        })
    }
}

impl<'c> Executor<'c> for &'c mut DbWork<'_> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.is_unprepared {
            self.connection().fetch_many(Unprepared(query))
        } else {
            self.connection().fetch_many(query)
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.is_unprepared {
            self.connection().fetch_optional(Unprepared(query))
        } else {
            self.connection().fetch_optional(query)
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connection().prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connection().describe(sql)
    }
}

impl<'c> Executor<'c> for OneShot {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answers = async move {
            let mut session = self.session().await?;
            let mut work = session.autocommit().await?;
            let answers: Vec<Answer> = work.fetch_many(query).try_collect().await?;
            work.commit().await?;
            session.return_to_pool();
            Ok::<_, sqlx::Error>(stream::iter(answers.into_iter().map(Ok)))
        };
        stream::once(answers).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move {
            let mut rows = self.fetch_many(query);
            while let Some(answer) = rows.try_next().await? {
                if let Either::Right(row) = answer {
                    return Ok(Some(row));
                }
            }
            Ok(None)
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        async move { self.connections.pool().prepare_with(sql, parameters).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        async move { self.connections.pool().describe(sql).await }.boxed()
    }
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unprepared<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}
