//! A connection for one piece of work.
//!
//! Work may be cut off at any of its waits: its lease is lost, a neighbour failed. A connection that
//! was left while the database began a transaction looks as if it were in none, and whatever it is
//! used for next would never be committed. So it goes back to the pool only if the work was done.
//!
//! Behind a pooler in transaction mode, what follows a statement may reach another server. There each
//! statement is unnamed and inside a transaction, which holds one server from the first word of the
//! statement to its last, and no two of paysync's meet at one name.

use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Describe, Either, Execute, Executor, Postgres, SqlStr, Transaction};

use super::Store;
use super::connections::{Connections, Place};

type Answer = Either<PgQueryResult, PgRow>;

/// A connection that is closed unless its work is done.
pub(crate) struct Session {
    connection: PoolConnection<Postgres>,
    connections: Connections,
    place: Place,
    unnamed: bool,
    is_done: bool,
}

/// What statements are sent to: a transaction, or where none is needed the connection itself.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    link: Link<'a>,
    unnamed: bool,
}

#[derive(Debug)]
enum Link<'a> {
    Plain(&'a mut PgConnection),
    Transaction(Transaction<'a, Postgres>),
}

/// Sends one statement, by whatever connection is free.
#[derive(Debug)]
pub(crate) struct Once {
    connections: Connections,
    unnamed: bool,
}

/// A statement that no server has to remember.
struct Unnamed<E>(E);

impl Store {
    /// A connection for several statements; [`Session::done`] gives it back.
    pub(crate) async fn session(&self) -> Result<Session, sqlx::Error> {
        self.once().session().await
    }

    /// Where a statement goes that needs no other.
    pub(crate) fn once(&self) -> Once {
        Once {
            connections: self.connections.clone(),
            unnamed: self.is_pooled(),
        }
    }
}

impl Session {
    /// Begins a transaction.
    pub(crate) async fn begin(&mut self) -> Result<Work<'_>, sqlx::Error> {
        self.begin_with("BEGIN").await
    }

    /// Begins a transaction by these words.
    pub(crate) async fn begin_with(
        &mut self,
        words: &'static str,
    ) -> Result<Work<'_>, sqlx::Error> {
        Ok(Work {
            link: Link::Transaction(self.connection.begin_with(words).await?),
            unnamed: self.unnamed,
        })
    }

    /// For a statement that is a transaction of its own; [`Work::commit`] ends it.
    pub(crate) async fn alone(&mut self) -> Result<Work<'_>, sqlx::Error> {
        if self.unnamed {
            return self.begin().await;
        }
        Ok(Work {
            link: Link::Plain(&mut self.connection),
            unnamed: false,
        })
    }

    /// The work is done, and no transaction is open.
    pub(crate) fn done(mut self) {
        // A page leaves buffers of its own size behind.
        self.connection.shrink_buffers();
        self.is_done = true;
        if self.connections.are_too_many() {
            self.connection.close_on_drop();
            return;
        }
        // The place is free when the connection can be used, or whoever comes next would open another.
        let (back, place) = (self.connection.return_to_pool(), self.place.take());
        tokio::spawn(async move {
            back.await;
            drop(place);
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

impl Work<'_> {
    /// Begins a part that can be taken back by itself.
    pub(crate) async fn begin(&mut self) -> Result<Work<'_>, sqlx::Error> {
        let unnamed = self.unnamed;
        Ok(Work {
            link: Link::Transaction(self.connection().begin().await?),
            unnamed,
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

    /// The connection itself, for what no statement can say.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        match &mut self.link {
            Link::Plain(connection) => connection,
            Link::Transaction(transaction) => transaction,
        }
    }
}

impl Once {
    async fn session(self) -> Result<Session, sqlx::Error> {
        let (connection, place) = self.connections.acquire().await?;
        Ok(Session {
            connection,
            connections: self.connections,
            place,
            unnamed: self.unnamed,
            is_done: false,
        })
    }
}

impl<'c> Executor<'c> for &'c mut Work<'_> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.unnamed {
            self.connection().fetch_many(Unnamed(query))
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
        if self.unnamed {
            self.connection().fetch_optional(Unnamed(query))
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

impl<'c> Executor<'c> for Once {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answers = async move {
            let mut session = self.session().await?;
            let mut work = session.alone().await?;
            let answers: Vec<Answer> = work.fetch_many(query).try_collect().await?;
            work.commit().await?;
            session.done();
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

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
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
