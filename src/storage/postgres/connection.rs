//! Connections: taken from the pool, given back only when the server has answered, and errors in
//! words for an operator.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Client, Object, Pool, Transaction};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, IsolationLevel, Row};

use super::{OpenError, TimeSource};
use crate::clock::Timestamp;
use crate::storage::StorageError;

/// How long a server may take to say anything.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a statement may take, in milliseconds: longer than the engine waits for one.
const STATEMENT_MILLIS: u32 = 60_000;
/// The server's time, in microseconds since 1970.
const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
/// How often a transaction is begun anew that the server undid in favour of another.
const TRIES: usize = 10;

/// Values for the parameters of a statement.
pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A pool, and where in its database the tables are.
pub(crate) struct Database {
    pub(crate) pool: Pool,
    /// The schema's name, quoted.
    pub(crate) schema: String,
    pub(crate) time: TimeSource,
}

/// Work that is to be done in one transaction, perhaps more than once, of which the last counts.
#[async_trait]
pub(crate) trait Work {
    type Answer: Send;

    async fn run(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
    ) -> Result<Self::Answer, Failed>;
}

/// Why work was not done.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The server or the way to it.
    Postgres(tokio_postgres::Error),
    /// What a caller is to be told.
    Told(StorageError),
}

impl Database {
    /// A statement in which `{s}` stands for the schema and `{now}` for the server's time.
    pub(crate) fn sql(&self, text: &str) -> String {
        text.replace("{s}", &self.schema).replace("{now}", NOW)
    }

    /// The time to go by, for a statement that has it as a parameter: the caller's, or `None` for
    /// the server's.
    pub(crate) fn now(&self, now: Timestamp) -> Option<i64> {
        match self.time {
            TimeSource::Server => None,
            TimeSource::Caller => Some(now.unix_micros()),
        }
    }

    /// Runs one statement by itself.
    pub(crate) async fn query(
        &self,
        sql: &str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, StorageError> {
        self.run(sql, values).await.map_err(Failed::told)
    }

    /// The same, with why it failed as it is.
    pub(super) async fn run(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Failed> {
        for _ in 1..TRIES {
            match self.run_once(sql, values).await {
                Err(failed) if failed.is_conflict() => {}
                done => return done,
            }
        }
        self.run_once(sql, values).await
    }

    async fn run_once(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Failed> {
        let connection = Connection::take(&self.pool).await?;
        let answer = async {
            let statement = connection.client().prepare_cached(&self.sql(sql)).await?;
            connection.client().query(&statement, values).await
        };
        let answer = answer.await.map_err(Failed::Postgres);
        connection.give_back(answer)
    }

    /// Does work in one transaction.
    pub(crate) async fn transact<W: Work + Sync>(&self, work: &W) -> Result<W::Answer, Failed> {
        for _ in 1..TRIES {
            match self.transact_once(work).await {
                Err(failed) if failed.is_conflict() => {}
                done => return done,
            }
        }
        self.transact_once(work).await
    }

    async fn transact_once<W: Work + Sync>(&self, work: &W) -> Result<W::Answer, Failed> {
        let mut connection = Connection::take(&self.pool).await?;
        let answer = self.transaction(connection.client_mut(), work).await;
        connection.give_back(answer)
    }

    async fn transaction<W: Work + Sync>(
        &self,
        client: &mut Client,
        work: &W,
    ) -> Result<W::Answer, Failed> {
        // Each statement sees what was committed before it, whatever the database's default is.
        let begin = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
        let transaction = begin.start().await?;
        let answer = work.run(self, &transaction).await?;
        transaction.commit().await?;
        Ok(answer)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Runs a statement of a transaction.
pub(crate) async fn query(
    database: &Database,
    transaction: &Transaction<'_>,
    sql: &str,
    values: Values<'_>,
) -> Result<Vec<Row>, Failed> {
    let statement = transaction.prepare_cached(&database.sql(sql)).await?;
    Ok(transaction.query(&statement, values).await?)
}

/// How to connect by a URL. A server that does not answer is given up, and gives up itself.
pub(super) fn config(url: &str) -> Result<Config, OpenError> {
    // What the client says of it may have the password in it.
    let mut config: Config = url.parse().map_err(|_| OpenError::Url {
        reason: "expected postgres://user:password@host/database, or key=value pairs".to_owned(),
    })?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(PATIENCE);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(PATIENCE);
    }
    let options = config.get_options().unwrap_or_default();
    if !options.contains("statement_timeout") {
        // A statement whose caller gave up would wait for its locks for ever.
        let options = format!("{options} -c statement_timeout={STATEMENT_MILLIS}");
        config.options(options.trim());
    }
    Ok(config)
}

/// A connection that is closed, not given back, if its user gives up before the server answered:
/// who takes it next would wait for an answer that is not his.
struct Connection(Option<Client>);

impl Connection {
    async fn take(pool: &Pool) -> Result<Self, StorageError> {
        match pool.get().await {
            Ok(client) => Ok(Self(Some(client))),
            Err(error) => {
                let reason = format!("no connection to PostgreSQL: {}", chain(&error));
                Err(StorageError::Unavailable { reason })
            }
        }
    }

    fn client(&self) -> &Client {
        self.0.as_ref().expect("it is taken out at the end only")
    }

    fn client_mut(&mut self) -> &mut Client {
        self.0.as_mut().expect("it is taken out at the end only")
    }

    /// Ends its use: the pool gets it back, unless the way to the server is what failed.
    fn give_back<T>(mut self, answer: Result<T, Failed>) -> Result<T, Failed> {
        if !matches!(&answer, Err(Failed::Postgres(error)) if error.as_db_error().is_none()) {
            drop(self.0.take());
        }
        answer
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}

impl Failed {
    /// Whether the server undid it in favour of another, so that it may go well the next time.
    fn is_conflict(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let conflicts = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
        error.code().is_some_and(|code| conflicts.contains(code))
    }

    /// Whether the server says that a value is not as it has to be: it will say so again.
    pub(super) fn is_of_values(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let classes = ["22", "23", "54"];
        error.code().is_some_and(|code| classes.iter().any(|class| code.code().starts_with(class)))
    }

    /// What a caller is told.
    pub(crate) fn told(self) -> StorageError {
        self.to_told()
    }

    /// The same, of one that others are told of too.
    pub(super) fn to_told(&self) -> StorageError {
        match self {
            Self::Told(error) => error.clone(),
            Self::Postgres(error) => unavailable(error),
        }
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        Self::Told(error)
    }
}

/// What the server or the client says, in words for an operator.
pub(crate) fn unavailable(error: &tokio_postgres::Error) -> StorageError {
    let Some(answer) = error.as_db_error() else {
        return StorageError::Unavailable { reason: chain(error) };
    };
    let advice = match *answer.code() {
        SqlState::DISK_FULL => "the disk is full: ",
        SqlState::READ_ONLY_SQL_TRANSACTION => "the server is read-only (a standby?): ",
        SqlState::TOO_MANY_CONNECTIONS => "the server has no connection left: ",
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::INVALID_SCHEMA_NAME => {
            "the tables are not as this version expects them (was `migrate` run?): "
        }
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
            return StorageError::Corrupt { reason: answer.message().to_owned() };
        }
        _ => "",
    };
    let reason = format!("{advice}{} ({})", answer.message(), answer.code().code());
    StorageError::Unavailable { reason }
}

/// An error with what it comes from.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
