//! PostgreSQL: the durable storage that many nodes share.
//!
//! What is due is claimed with `FOR UPDATE SKIP LOCKED`, so nodes do not wait for each other; the
//! server's time is the only one that leases and due times go by. Runs on tokio.

mod claim;
mod companions;
pub(crate) mod connection;
mod cursors;
mod endpoints;
mod first_due;
mod gather;
mod hold;
mod lock;
mod notify;
mod pages;
mod prune;
mod record;
mod replay;
pub(crate) mod rows;
mod schema;
mod settle;
mod supersede;
mod triggers;
mod turn;

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
pub use deadpool_postgres;
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;

use super::{
    Backlog, Claim, Claims, DeliveryQuery, EventQuery, LoggedAttempt, Page, Prune, Pruned, Record,
    Recorded, Replay, Settle, Settled, Storage, StorageError, TriggerChange, TriggerWrite,
};
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::event::Event;
use crate::id::DeliveryId;
use connection::Database;
use endpoints::Remembered;
use first_due::FirstDue;
use gather::Gathered;
pub use notify::Listener;
use notify::News;
use prune::Ends;

/// Keeps everything in a schema of a PostgreSQL database, which any number of nodes share.
///
/// What was answered `Ok` is committed: as durable as the server's `synchronous_commit` makes it,
/// which must not be `off`. Clones share one pool.
#[derive(Debug, Clone)]
pub struct PostgresStorage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    database: Arc<Database>,
    endpoints: Remembered,
    first_due: FirstDue,
    gathered: Gathered,
    ends: Ends,
    news: News,
    notifies: bool,
    /// Held by the claim that is under way.
    claiming: tokio::sync::Mutex<()>,
}

/// How a [`PostgresStorage`] uses its database.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The schema of its tables, `artifact_triggers` unless set.
    pub schema: String,
    /// The most connections of a pool that is made by [`PostgresStorage::connect`], 16 unless set.
    pub connections: usize,
    /// Whose time it goes by.
    pub time: TimeSource,
    /// Whether it [notifies](PostgresStorage::listen) other nodes of what it stores, ten times a
    /// second at most; yes unless set. Without, everything is found by looking.
    pub notifies: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        let schema = "artifact_triggers".to_owned();
        Self { schema, connections: 16, time: TimeSource::Server, notifies: true }
    }
}

impl PostgresOptions {
    /// Sets the schema of the tables.
    pub fn with_schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// Sets the most connections of a pool that is made by [`PostgresStorage::connect`].
    pub fn with_connections(mut self, most: usize) -> Self {
        self.connections = most;
        self
    }

    /// Sets whether it notifies other nodes of what it stores.
    pub fn with_notifies(mut self, notifies: bool) -> Self {
        self.notifies = notifies;
        self
    }

    /// Sets whose time it goes by.
    pub fn with_time(mut self, time: TimeSource) -> Self {
        self.time = time;
        self
    }
}

/// Whose time a [`PostgresStorage`] goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TimeSource {
    /// The server's: the clocks of nodes may differ, since what they say of time is taken as a span
    /// from their now.
    #[default]
    Server,
    /// Each caller's own, for tests whose time is not the true one.
    Caller,
}

/// Why a storage cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is none that PostgreSQL's clients know, or asks for what needs a pool of one's own.
    #[error("the connection string cannot be used: {reason}")]
    Url {
        /// What is wrong; holds no password.
        reason: String,
    },
    /// The name cannot be that of a schema.
    #[error(
        "expected a schema's name of 1 to 63 bytes without braces and dollars, found {found:?}"
    )]
    Schema {
        /// What was found.
        found: String,
    },
    /// The tables were made by a newer version of this crate that this one cannot work beside.
    #[error("the schema has version {found}, this crate knows up to {known}")]
    NewerSchema {
        /// The tables' version.
        found: i32,
        /// The newest that this crate knows.
        known: i32,
    },
    /// The tables are not there, or those of an older version: [`PostgresStorage::migrate`] was not
    /// run.
    #[error("the schema has version {found}, this crate needs {known}: run `migrate`")]
    OlderSchema {
        /// The tables' version; 0 if there are none.
        found: i32,
        /// The one that this crate needs.
        known: i32,
    },
    /// The server cannot be reached or does not do as asked.
    #[error("PostgreSQL cannot be used")]
    Postgres {
        /// What the server or the client says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl OpenError {
    fn pool(error: PoolError) -> Self {
        Self::Postgres { source: Box::new(error) }
    }
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres { source: Box::new(error) }
    }
}

impl PostgresStorage {
    /// Connects by a URL or a `key=value` string as libpq knows them, without TLS, and brings the
    /// tables up to date. For TLS give a [pool](Self::migrate) that was made with it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn connect(url: &str, options: &PostgresOptions) -> Result<Self, OpenError> {
        let config = connection::config(url)?;
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, NoTls, how);
        let pool = Pool::builder(manager)
            .max_size(options.connections.max(1))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| OpenError::Url { reason: error.to_string() })?;
        Self::migrate(pool, options).await
    }

    /// Uses a pool, and brings the tables up to date. Nodes that start at once wait for each other.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn migrate(pool: Pool, options: &PostgresOptions) -> Result<Self, OpenError> {
        let storage = Self::of(pool, options)?;
        schema::migrate(&storage.shared.database).await?;
        Ok(storage)
    }

    /// Uses a pool whose role may not change tables, and which somebody else brought up to date.
    ///
    /// # Errors
    /// [`OpenError`], [`OpenError::OlderSchema`] among them.
    pub async fn open(pool: Pool, options: &PostgresOptions) -> Result<Self, OpenError> {
        let storage = Self::of(pool, options)?;
        schema::check(&storage.shared.database).await?;
        Ok(storage)
    }

    /// The database that it uses.
    pub(crate) fn database(&self) -> Arc<Database> {
        self.shared.database.clone()
    }

    fn of(pool: Pool, options: &PostgresOptions) -> Result<Self, OpenError> {
        let schema = schema::quoted(&options.schema)?;
        let database = Database { pool, schema, time: options.time };
        let shared = Shared {
            database: Arc::new(database),
            endpoints: Remembered::default(),
            first_due: FirstDue::default(),
            gathered: Gathered::default(),
            ends: Ends::default(),
            news: News::default(),
            notifies: options.notifies,
            claiming: tokio::sync::Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl Storage for PostgresStorage {
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        self.shared.write_trigger(write).await
    }

    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        self.shared.trigger_changes(after, limit).await
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        self.shared.record(records).await
    }

    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        self.shared.cursors(&keys).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError> {
        self.shared.claim(&claim).await
    }

    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        self.shared.settle(&settlements, now).await
    }

    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StorageError> {
        self.shared.events(&query).await
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Page<Delivery>, StorageError> {
        self.shared.deliveries(&query).await
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<LoggedAttempt>, StorageError> {
        self.shared.attempts(delivery).await
    }

    async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError> {
        self.shared.replay(&replay).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        self.shared.backlog().await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StorageError> {
        self.shared.prune(&prune).await
    }
}
