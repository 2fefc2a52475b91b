//! An outbox in the schema of a [`PostgresStorage`]: events are left by the same transactions that
//! change the embedder's own tables of that database.
//!
//! Any language leaves one by the function `record_event(jsonb)` of the schema. Nobody is notified:
//! a `NOTIFY` would have all transactions of the database commit one after the other, and the
//! engine looks soon enough.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
pub use tokio_postgres;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use super::{Outbox, OutboxDone, OutboxEntry};
use crate::document::Problems;
use crate::entropy::{Entropy as _, OsEntropy};
use crate::event::{Event, MAX_EVENT_BYTES};
use crate::storage::StorageError;
use crate::storage::postgres::PostgresStorage;
use crate::storage::postgres::connection::{Database, Failed, Work, query};
use crate::storage::postgres::rows;

/// The most bytes that are given at once, unless one entry has more.
const MAX_BYTES: i64 = 8 * 1024 * 1024;

/// The most bytes of one that can be an event.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "it is a MiB")]
const MAX_EVENT: i32 = MAX_EVENT_BYTES as i32;

/// Why an event was not left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// It breaks a limit or a rule, and could never be published.
    #[error("the event cannot be published: {0}")]
    Invalid(Problems),
    /// PostgreSQL did not take it.
    #[error("the event could not be left in the outbox")]
    Postgres(#[from] tokio_postgres::Error),
}

/// The outbox in the schema of a storage.
#[derive(Debug)]
pub struct PostgresOutbox {
    database: Arc<Database>,
    /// Which taker it is.
    taker: Uuid,
}

impl PostgresOutbox {
    /// The outbox beside a storage, for the engine of that storage or of another.
    pub fn of(storage: &PostgresStorage) -> Self {
        let mut taker = [0; 16];
        OsEntropy.fill(&mut taker);
        Self { database: storage.database(), taker: Uuid::from_bytes(taker) }
    }

    /// Leaves an event in a transaction of the embedder's: it is heard of once that is committed,
    /// and never if it is not. On a client outside of a transaction it is committed by itself.
    ///
    /// # Errors
    /// [`LeaveError`]. After one of PostgreSQL's the transaction can only be rolled back.
    pub async fn record_in(
        &self,
        transaction: &impl GenericClient,
        event: &Event,
    ) -> Result<(), LeaveError> {
        event.validate().map_err(LeaveError::Invalid)?;
        let json = String::from_utf8(event.to_json()).expect("JSON is text");
        let insert = self.database.sql("INSERT INTO {s}.outbox (event) VALUES ($1)");
        transaction.execute(&insert, &[&json]).await?;
        Ok(())
    }
}

#[async_trait]
impl Outbox for PostgresOutbox {
    async fn take(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxEntry>, StorageError> {
        // Most looks find nothing, and write nothing.
        let any = "SELECT 1 FROM {s}.outbox LIMIT 1";
        if limit == 0 || self.database.query(any, &[]).await?.is_empty() {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let take = Take { taker: self.taker, limit, lease: rows::span(lease) };
        self.database.transact(&take).await.map_err(Failed::told)
    }

    async fn done(&self, done: Vec<OutboxDone>) -> Result<(), StorageError> {
        self.database.transact(&Finish { taker: self.taker, done }).await.map_err(Failed::told)
    }
}

struct Take {
    taker: Uuid,
    limit: i64,
    lease: i64,
}

#[async_trait]
impl Work for Take {
    type Answer = Vec<OutboxEntry>;

    async fn run(
        &self,
        database: &Database,
        transaction: &Transaction<'_>,
    ) -> Result<Vec<OutboxEntry>, Failed> {
        let lease = "WITH t AS MATERIALIZED (
                         SELECT {now} AS now)
                     INSERT INTO {s}.outbox_lease AS held (one, taker, lasts_til)
                     SELECT true, $1, t.now + $2 FROM t
                     ON CONFLICT (one) DO UPDATE
                     SET taker = excluded.taker, lasts_til = excluded.lasts_til
                     WHERE held.taker = excluded.taker OR held.lasts_til <= (SELECT now FROM t)
                     RETURNING 1";
        if query(database, transaction, lease, &[&self.taker, &self.lease]).await?.is_empty() {
            return Ok(Vec::new());
        }
        // Of one that is too large to be an event, as much as tells so.
        let first = "SELECT position, key,
                         CASE WHEN octet_length(event) <= $3 THEN event ELSE left(event, $3 + 1) END
                     FROM (
                         SELECT position, key, event,
                             sum(octet_length(event)) OVER (ORDER BY position)
                                 - octet_length(event) AS before
                         FROM (SELECT * FROM {s}.outbox ORDER BY position LIMIT $1) AS o) AS o
                     WHERE before < $2 ORDER BY position";
        let found =
            query(database, transaction, first, &[&self.limit, &MAX_BYTES, &MAX_EVENT]).await?;
        Ok(found.iter().map(entry).collect::<Result<_, _>>()?)
    }
}

fn entry(row: &Row) -> Result<OutboxEntry, StorageError> {
    let position: i64 = rows::get(row, 0)?;
    let key = rows::get::<Uuid>(row, 1)?.into_bytes();
    let json = rows::get::<String>(row, 2)?.into_bytes();
    Ok(OutboxEntry { position: position.unsigned_abs(), key, json })
}

struct Finish {
    taker: Uuid,
    done: Vec<OutboxDone>,
}

#[async_trait]
impl Work for Finish {
    type Answer = ();

    async fn run(&self, database: &Database, transaction: &Transaction<'_>) -> Result<(), Failed> {
        let position = |one: &OutboxDone| i64::try_from(one.position).unwrap_or(i64::MAX);
        let positions: Vec<i64> = self.done.iter().map(position).collect();
        let reasons: Vec<Option<Cow<'_, str>>> =
            self.done.iter().map(|one| one.refused.as_deref().map(rows::text)).collect();
        let finish = "WITH d AS (
                          SELECT * FROM unnest($1::bigint[], $2::text[]) AS d(position, reason)),
                      gone AS (
                          DELETE FROM {s}.outbox WHERE position = ANY ($1)
                          RETURNING position, key, event),
                      released AS (DELETE FROM {s}.outbox_lease WHERE taker = $3)
                      INSERT INTO {s}.outbox_refused (position, key, event, reason)
                      SELECT position, key, event, reason FROM gone JOIN d USING (position)
                      WHERE reason IS NOT NULL ON CONFLICT (position) DO NOTHING";
        query(database, transaction, finish, &[&positions, &reasons, &self.taker]).await.map(drop)
    }
}
