//! The thread that has the outbox's connection: SQLite waits for locks and the disk, futures do
//! not.

use std::fmt;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::storage::StorageError;

/// How many calls may wait; more have to wait for a place.
const QUEUE: usize = 16;

type Call = Box<dyn FnOnce(&mut Connection) + Send>;

/// A thread that carries out calls in order, and ends once it is dropped.
pub(super) struct Thread {
    calls: Option<mpsc::Sender<Call>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    pub(super) fn start(mut connection: Connection) -> Self {
        let (calls, mut queue) = mpsc::channel::<Call>(QUEUE);
        let work = move || {
            while let Some(call) = queue.blocking_recv() {
                call(&mut connection);
            }
        };
        let thread = std::thread::Builder::new().name("artifact-triggers-outbox".to_owned());
        let handle = thread.spawn(work).expect("the system lets this process have another thread");
        Self { calls: Some(calls), handle: Some(handle) }
    }

    /// Has a call carried out, unless nobody waits for it any more.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (answer, answered) = oneshot::channel();
        let call: Call = Box::new(move |connection| {
            if !answer.is_closed() {
                // Who gave up meanwhile finds what was done by asking again.
                let _ = answer.send(work(connection));
            }
        });
        let unavailable = |reason: String| StorageError::Unavailable { reason };
        let gone = || unavailable("the outbox's thread ended".to_owned());
        let calls = self.calls.as_ref().expect("it is taken in drop only");
        calls.send(call).await.map_err(|_| gone())?;
        let result = answered.await.map_err(|_| gone())?;
        result.map_err(|error| unavailable(error.to_string()))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(handle) = self.handle.take() {
            // It ends once its queue is empty; if it panicked, its callers were told.
            let _ = handle.join();
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Thread")
    }
}
