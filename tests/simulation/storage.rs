//! The storage as one synchronous port: a call and its answer as values, so that whatever watches,
//! breaks or delays it is one function.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::Delivery;
use artifact_triggers::event::Event;
use artifact_triggers::id::DeliveryId;
use artifact_triggers::storage::sqlite::{SqliteOptions, SqliteStorage, Synchronous};
use artifact_triggers::storage::{
    Backlog, Claim, Claims, DeliveryQuery, EventQuery, LoggedAttempt, MemoryStorage, Page, Prune,
    Pruned, Record, Recorded, Replay, Settle, Settled, Storage, StorageError, TriggerChange,
    TriggerWrite,
};

use crate::node::Life;

/// What is asked of a storage.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    WriteTrigger(TriggerWrite),
    TriggerChanges(u64, usize),
    Record(Vec<Record>),
    Cursors(Vec<String>),
    Claim(Claim),
    Settle(Vec<Settle>, Timestamp),
    Events(EventQuery),
    Deliveries(DeliveryQuery),
    Attempts(DeliveryId),
    Replay(Replay),
    Backlog,
    Prune(Prune),
}

impl Call {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::WriteTrigger(_) => "write_trigger",
            Self::TriggerChanges(..) => "trigger_changes",
            Self::Record(_) => "record",
            Self::Cursors(_) => "cursors",
            Self::Claim(_) => "claim",
            Self::Settle(..) => "settle",
            Self::Events(_) => "events",
            Self::Deliveries(_) => "deliveries",
            Self::Attempts(_) => "attempts",
            Self::Replay(_) => "replay",
            Self::Backlog => "backlog",
            Self::Prune(_) => "prune",
        }
    }
}

/// What a storage answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Written,
    Changes(Vec<TriggerChange>),
    Recorded(Vec<Recorded>),
    Cursors(Vec<Option<String>>),
    Claims(Claims),
    Settled(Vec<Settled>),
    Events(Page<Event>),
    Deliveries(Page<Delivery>),
    Attempts(Vec<LoggedAttempt>),
    Replayed(Vec<DeliveryId>),
    Backlog(Vec<Backlog>),
    Pruned(Pruned),
}

/// A storage, or what stands before one.
pub(crate) trait Port: fmt::Debug + Send + Sync + 'static {
    fn call(&self, life: Life, call: &Call) -> Result<Answer, StorageError>;

    /// Begins anew after the process that owned it has ended. False if no process owns it.
    fn reopen(&self) -> bool {
        false
    }
}

impl Port for MemoryStorage {
    fn call(&self, _: Life, call: &Call) -> Result<Answer, StorageError> {
        wait(answer(self, call.clone()))
    }
}

/// An SQLite file. Each call is carried out before it returns, so that runs are equal.
pub(crate) struct SqliteFile {
    path: PathBuf,
    /// Open, except while it is opened anew.
    storage: Mutex<Option<SqliteStorage>>,
}

impl SqliteFile {
    pub(crate) fn open(path: PathBuf) -> Self {
        let storage = Mutex::new(Some(open(&path)));
        Self { path, storage }
    }
}

fn open(path: &PathBuf) -> SqliteStorage {
    // The process ends here, not the power.
    let options = SqliteOptions::default().with_synchronous(Synchronous::Normal);
    SqliteStorage::open_with(path, &options).expect("the folder is ours")
}

impl fmt::Debug for SqliteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteFile")
    }
}

impl Port for SqliteFile {
    fn call(&self, _: Life, call: &Call) -> Result<Answer, StorageError> {
        let storage = self.storage.lock().unwrap().clone().expect("it is open");
        wait(answer(&storage, call.clone()))
    }

    fn reopen(&self) -> bool {
        let mut storage = self.storage.lock().unwrap();
        // Closed first: two at once are refused.
        *storage = None;
        *storage = Some(open(&self.path));
        true
    }
}

async fn answer(storage: &impl Storage, call: Call) -> Result<Answer, StorageError> {
    Ok(match call {
        Call::WriteTrigger(write) => {
            storage.write_trigger(write).await?;
            Answer::Written
        }
        Call::TriggerChanges(after, limit) => {
            Answer::Changes(storage.trigger_changes(after, limit).await?)
        }
        Call::Record(records) => Answer::Recorded(storage.record(records).await?),
        Call::Cursors(keys) => Answer::Cursors(storage.cursors(keys).await?),
        Call::Claim(claim) => Answer::Claims(storage.claim(claim).await?),
        Call::Settle(settlements, now) => Answer::Settled(storage.settle(settlements, now).await?),
        Call::Events(query) => Answer::Events(storage.events(query).await?),
        Call::Deliveries(query) => Answer::Deliveries(storage.deliveries(query).await?),
        Call::Attempts(delivery) => Answer::Attempts(storage.attempts(delivery).await?),
        Call::Replay(replay) => Answer::Replayed(storage.replay(replay).await?),
        Call::Backlog => Answer::Backlog(storage.backlog().await?),
        Call::Prune(prune) => Answer::Pruned(storage.prune(prune).await?),
    })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
