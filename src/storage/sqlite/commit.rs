//! Group commit: one thread runs all writes that wait in as few transactions as it can, and answers
//! each once it counts as done: on disk, or for claims, handed to the system. Claims go first, in a
//! transaction of their own, so that they do not wait for the disk; what a loss of power takes back of
//! them is due again. Reads have a thread and a connection of their own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::thread::JoinHandle;

use rusqlite::{CachedStatement, Connection, Error, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use super::Synchronous;
use super::first_due::FirstDue;
use super::tally::Tally;
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
    /// When each endpoint has something to claim at the earliest; `None` if that is to be read.
    pub(super) first_due: RefCell<Option<FirstDue>>,
    /// How many stand in each line of what may be pruned; `None` if that is to be counted.
    pub(super) tally: RefCell<Option<Tally>>,
    /// The endpoint that was served last; the next turn is of the one behind it.
    pub(super) turn: i64,
    /// When a commit counts as done.
    synchronous: Synchronous,
    /// How often something was undone.
    pub(super) rollbacks: u64,
}

impl Session {
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StorageError> {
        self.connection.prepare_cached(sql).map_err(unavailable)
    }

    /// Forgets what was learnt in a transaction that is undone.
    fn forget(&mut self, turn: i64) {
        self.rollbacks += 1;
        self.endpoints.clear();
        self.first_due.take();
        self.tally.take();
        self.turn = turn;
    }

    fn run(&self, sql: &str) -> Result<(), StorageError> {
        self.prepare(sql)?.execute([]).map(drop).map_err(unavailable)
    }

    /// Begins a transaction whose commit counts as done then.
    fn begin(&mut self, synchronous: Synchronous) -> Result<(), StorageError> {
        if self.synchronous != synchronous {
            // With `NORMAL`, SQLite syncs its log before a checkpoint; with `FULL`, at each commit, with
            // all that is in it.
            self.run(match synchronous {
                Synchronous::Normal => "PRAGMA synchronous = NORMAL",
                Synchronous::Full => "PRAGMA synchronous = FULL",
            })?;
            self.synchronous = synchronous;
        }
        self.run("BEGIN IMMEDIATE")
    }
}

/// What SQLite says, in words for an operator.
#[expect(clippy::needless_pass_by_value, reason = "it is for map_err")]
pub(super) fn unavailable(error: rusqlite::Error) -> StorageError {
    if let Error::FromSqlConversionFailure(..)
    | Error::InvalidColumnType(..)
    | Error::IntegralValueOutOfRange(..) = error
    {
        return StorageError::Corrupt { reason: error.to_string() };
    }
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

/// What a caller waits for.
trait Call: Send {
    /// Carries it out and keeps its result until it is answered. Carried out again, it begins anew.
    fn carry_out(&mut self, session: &mut Session) -> Result<(), StorageError>;

    /// When what it writes counts as done.
    fn synchronous(&self) -> Synchronous;

    /// Answers with the result, unless what it wrote is not there.
    fn answer(self: Box<Self>, committed: Result<(), StorageError>);
}

struct Work<T, F> {
    run: F,
    synchronous: Synchronous,
    result: Option<Result<T, StorageError>>,
    answer: oneshot::Sender<Result<T, StorageError>>,
}

impl<T, F> Call for Work<T, F>
where
    T: Send,
    F: FnMut(&mut Session) -> Result<T, StorageError> + Send,
{
    fn carry_out(&mut self, session: &mut Session) -> Result<(), StorageError> {
        if self.answer.is_closed() {
            // Its caller gave up: whatever it would write, nobody would hear of.
            let reason = "its caller gave up".to_owned();
            self.result = Some(Err(StorageError::Unavailable { reason }));
            return Ok(());
        }
        let result = (self.run)(session);
        let done = result.as_ref().map(drop).map_err(StorageError::clone);
        self.result = Some(result);
        done
    }

    fn synchronous(&self) -> Synchronous {
        self.synchronous
    }

    fn answer(self: Box<Self>, committed: Result<(), StorageError>) {
        let Self { result, answer, .. } = *self;
        let result = || result.expect("what is committed was carried out");
        // Nobody may be waiting any more.
        let _ = answer.send(committed.and_then(|()| result()));
    }
}

type Queue = mpsc::Receiver<Box<dyn Call>>;

/// Carries out a call, and others of the queue with it as may be.
type CarryOut = fn(&mut Session, Box<dyn Call>, &mut Queue);

/// A thread that owns a connection and carries out calls in order.
pub(super) struct Thread {
    calls: Option<mpsc::Sender<Box<dyn Call>>>,
    handle: Option<JoinHandle<()>>,
    synchronous: Synchronous,
}

impl Thread {
    /// A thread whose calls share commits.
    pub(super) fn writer(connection: Connection, synchronous: Synchronous) -> Self {
        Self::start("artifact-triggers-sqlite-writer", connection, synchronous, commit)
    }

    /// A thread whose calls only read, each in one transaction.
    pub(super) fn reader(connection: Connection) -> Self {
        Self::start("artifact-triggers-sqlite-reader", connection, Synchronous::Normal, read)
    }

    fn start(
        name: &str,
        connection: Connection,
        synchronous: Synchronous,
        carry_out: CarryOut,
    ) -> Self {
        let (calls, mut queue) = mpsc::channel::<Box<dyn Call>>(QUEUE);
        let mut session = Session {
            connection,
            endpoints: HashMap::new(),
            first_due: RefCell::default(),
            tally: RefCell::default(),
            turn: 0,
            synchronous,
            rollbacks: 0,
        };
        let work = move || {
            while let Some(first) = queue.blocking_recv() {
                carry_out(&mut session, first, &mut queue);
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        let handle = thread.spawn(work).expect("the system lets this process have another thread");
        Self { calls: Some(calls), handle: Some(handle), synchronous }
    }

    /// Has a call carried out, perhaps more than once, of which the last counts.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Session) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.call_with(self.synchronous, work).await
    }

    /// The same, of a call whose writes count as done then.
    pub(super) async fn call_with<T: Send + 'static>(
        &self,
        synchronous: Synchronous,
        work: impl FnMut(&mut Session) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (answer, answered) = oneshot::channel();
        let call = Box::new(Work { run: work, synchronous, result: None, answer });
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

fn read(session: &mut Session, mut call: Box<dyn Call>, _queue: &mut Queue) {
    let read = session.run("BEGIN").and_then(|()| call.carry_out(session));
    end(session);
    call.answer(read);
}

/// Carries out all calls that wait, first those that need not be on disk, and answers each once it
/// counts as done.
fn commit(session: &mut Session, first: Box<dyn Call>, queue: &mut Queue) {
    let mut calls = vec![first];
    while !calls.is_empty() {
        take_more(&mut calls, queue);
        let (later, soon): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|call| call.synchronous() == Synchronous::Full);
        calls = Vec::new();
        for (synchronous, some) in [(Synchronous::Normal, soon), (Synchronous::Full, later)] {
            if !some.is_empty() {
                calls.extend(transaction(session, synchronous, some, queue));
            }
        }
    }
}

fn take_more(calls: &mut Vec<Box<dyn Call>>, queue: &mut Queue) {
    while calls.len() < BATCH
        && let Ok(call) = queue.try_recv()
    {
        calls.push(call);
    }
}

/// Carries out calls in one transaction, those of its kind too that come meanwhile, and answers
/// them once it is committed. Gives back the others that came.
fn transaction(
    session: &mut Session,
    synchronous: Synchronous,
    mut calls: Vec<Box<dyn Call>>,
    queue: &mut Queue,
) -> Vec<Box<dyn Call>> {
    let mut others = Vec::new();
    let turn = session.turn;
    let committed =
        together(session, synchronous, &mut calls, &mut others, queue).or_else(|error| {
            roll_back(session, turn);
            // A call that was alone has its own error; one of many must not take the others with it.
            if calls.len() == 1 { Err(error) } else { apart(session, synchronous, &mut calls) }
        });
    if committed.is_err() {
        roll_back(session, turn);
    }
    for call in calls {
        call.answer(committed.clone());
    }
    others
}

/// Carries out calls in one transaction as if none failed; an error if one did.
fn together(
    session: &mut Session,
    synchronous: Synchronous,
    calls: &mut Vec<Box<dyn Call>>,
    others: &mut Vec<Box<dyn Call>>,
    queue: &mut Queue,
) -> Result<(), StorageError> {
    session.begin(synchronous)?;
    let mut done = 0;
    while let Some(call) = calls.get_mut(done) {
        call.carry_out(session)?;
        done += 1;
        while done == calls.len()
            && done + others.len() < BATCH
            && let Ok(call) = queue.try_recv()
        {
            if call.synchronous() == synchronous { calls.push(call) } else { others.push(call) }
        }
    }
    session.run("COMMIT")
}

/// Carries out calls in one transaction so that what a failed one wrote is undone. An error is of the
/// whole transaction.
fn apart(
    session: &mut Session,
    synchronous: Synchronous,
    calls: &mut [Box<dyn Call>],
) -> Result<(), StorageError> {
    session.begin(synchronous)?;
    for call in calls {
        let turn = session.turn;
        session.run("SAVEPOINT one")?;
        if let Err(error) = call.carry_out(session) {
            // A full disk and its like may end the transaction as a whole, with all that ran before.
            if session.connection.is_autocommit() {
                return Err(error);
            }
            session.run("ROLLBACK TO one")?;
            session.forget(turn);
        }
        session.run("RELEASE one")?;
    }
    session.run("COMMIT")
}

fn roll_back(session: &mut Session, turn: i64) {
    session.forget(turn);
    end(session);
}

/// Ends the transaction, if there is one.
fn end(session: &Session) {
    if !session.connection.is_autocommit() {
        // If even this fails, the next BEGIN does too, and says why.
        let _ = session.run("ROLLBACK");
    }
}
