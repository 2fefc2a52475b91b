//! Group commit: one thread runs all writes that wait in one transaction, and answers once it is on
//! disk. Reads have a thread of their own.

use std::collections::HashMap;
use std::fmt;
use std::thread::JoinHandle;

use rusqlite::{CachedStatement, Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use crate::delivery::EndpointKey;
use crate::storage::StorageError;

/// How many calls may wait; more have to wait for a place.
const QUEUE: usize = 1_024;
/// The most calls that share a transaction.
const BATCH: usize = 512;

/// A connection and what is remembered beside it.
pub(super) struct Session {
    pub(super) connection: Connection,
    /// The ids of endpoints that were looked up. Forgotten when a transaction fails.
    pub(super) endpoints: HashMap<EndpointKey, i64>,
    /// The endpoint that was served last; the next turn is of the one behind it.
    pub(super) turn: i64,
}

impl Session {
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StorageError> {
        self.connection.prepare_cached(sql).map_err(unavailable)
    }

    fn run(&self, sql: &str) -> Result<(), StorageError> {
        self.prepare(sql)?.execute([]).map(drop).map_err(unavailable)
    }
}

/// What SQLite says, in words for an operator.
#[expect(clippy::needless_pass_by_value, reason = "it is for map_err")]
pub(super) fn unavailable(error: rusqlite::Error) -> StorageError {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full: ",
        Some(ErrorCode::ReadOnly) => "the file is read-only: ",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return StorageError::Corrupt { reason: error.to_string() };
        }
        _ => "",
    };
    StorageError::Unavailable { reason: format!("{advice}{error}") }
}

/// A call, run in a transaction or told why there is none. It answers once the commit is known.
type Call = Box<dyn FnOnce(Result<&mut Session, StorageError>) -> Answer + Send>;

struct Answer {
    /// Whether the call went wrong, so that what it wrote must go.
    failed: bool,
    send: Box<dyn FnOnce(Result<(), StorageError>) + Send>,
}

/// A thread that owns a connection and carries out calls in order.
pub(super) struct Thread {
    calls: Option<mpsc::Sender<Call>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// A thread whose calls share commits.
    pub(super) fn writer(connection: Connection) -> Self {
        Self::start("artifact-triggers-sqlite-writer", connection, commit)
    }

    /// A thread whose calls only read.
    pub(super) fn reader(connection: Connection) -> Self {
        Self::start("artifact-triggers-sqlite-reader", connection, |session, calls| {
            for call in calls {
                (call(Ok(session)).send)(Ok(()));
            }
        })
    }

    fn start(name: &str, connection: Connection, carry_out: fn(&mut Session, Vec<Call>)) -> Self {
        let (calls, mut queue) = mpsc::channel::<Call>(QUEUE);
        let mut session = Session { connection, endpoints: HashMap::new(), turn: 0 };
        let work = move || {
            while let Some(first) = queue.blocking_recv() {
                let mut calls = vec![first];
                while calls.len() < BATCH
                    && let Ok(next) = queue.try_recv()
                {
                    calls.push(next);
                }
                carry_out(&mut session, calls);
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        let handle = thread.spawn(work).expect("the system lets this process have another thread");
        Self { calls: Some(calls), handle: Some(handle) }
    }

    /// Has a call carried out. If the caller goes away before the answer, it is carried out all the
    /// same.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (answer, answered) = oneshot::channel();
        let call: Call = Box::new(move |session| {
            let result = session.and_then(work);
            let failed = result.is_err();
            let send = Box::new(move |committed: Result<(), StorageError>| {
                // Nobody may be waiting any more.
                let _ = answer.send(committed.and(result));
            });
            Answer { failed, send }
        });
        let gone = || StorageError::Unavailable { reason: "the storage's thread ended".to_owned() };
        let calls = self.calls.as_ref().expect("it is taken in drop only");
        calls.send(call).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
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

/// Carries out calls in one transaction and answers them all once it is committed.
fn commit(session: &mut Session, calls: Vec<Call>) {
    let mut answers = Vec::with_capacity(calls.len());
    let mut committed = session.run("BEGIN IMMEDIATE");
    for call in calls {
        match &committed {
            Ok(()) => match carry_out(session, call) {
                Ok(answer) => answers.push(answer),
                Err((answer, error)) => {
                    answers.push(answer);
                    committed = Err(error);
                }
            },
            Err(error) => answers.push(call(Err(error.clone()))),
        }
    }
    let committed = committed.and_then(|()| session.run("COMMIT"));
    if committed.is_err() {
        session.endpoints.clear();
        if !session.connection.is_autocommit() {
            // If even this fails, the next BEGIN does too, and says why.
            let _ = session.run("ROLLBACK");
        }
    }
    for answer in answers {
        (answer.send)(committed.clone());
    }
}

/// Carries out one call so that what a failed one wrote is undone. An error is of the whole
/// transaction.
fn carry_out(session: &mut Session, call: Call) -> Result<Answer, (Answer, StorageError)> {
    if let Err(error) = session.run("SAVEPOINT one") {
        return Err((call(Err(error.clone())), error));
    }
    let answer = call(Ok(session));
    // A full disk and its like end the transaction as a whole, and what ran before is gone too.
    if session.connection.is_autocommit() {
        let reason = "the transaction was rolled back: is the disk full?".to_owned();
        return Err((answer, StorageError::Unavailable { reason }));
    }
    let end = if answer.failed {
        session.endpoints.clear();
        session.run("ROLLBACK TO one").and_then(|()| session.run("RELEASE one"))
    } else {
        session.run("RELEASE one")
    };
    match end {
        Ok(()) => Ok(answer),
        Err(error) => Err((answer, error)),
    }
}
