//! Group commit: one thread runs all writes that wait in as few transactions as it can, and answers
//! each once it is committed. Claims go first, in a transaction of their own: they write next to
//! never, so they do not wait for the disk. Reads have a thread and a connection of their own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::thread::JoinHandle;

use rusqlite::{CachedStatement, Connection, Error, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use super::first_due::FirstDue;
use super::leases::{ById, Leases, Told};
use super::schema::{self, Opening};
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
    /// The leases that were given; of a reader none.
    pub(super) leases: Leases,
    told: Told,
    /// How often something was undone.
    pub(super) rollbacks: u64,
    /// The statements that were used, whose plans are tested.
    #[cfg(test)]
    pub(super) prepared: RefCell<std::collections::BTreeSet<String>>,
}

/// What of a session is taken back with what it wrote.
#[derive(Clone, Copy)]
struct Mark {
    turn: i64,
    leases: usize,
}

impl Session {
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StorageError> {
        #[cfg(test)]
        self.prepared.borrow_mut().insert(sql.to_owned());
        self.connection.prepare_cached(sql).map_err(unavailable)
    }

    /// The leases of the moment as of which a transaction that begins with this reads.
    pub(super) fn leases_told(&self) -> Result<ById, StorageError> {
        // The writer cannot commit meanwhile; and the first read settles as of when all read.
        let told = self.told.lock();
        self.prepare("SELECT count FROM openings")?.exists([]).map_err(unavailable)?;
        Ok(told.clone())
    }

    fn mark(&self) -> Mark {
        Mark { turn: self.turn, leases: self.leases.changes() }
    }

    /// Forgets what was learnt since in a transaction that is undone.
    fn forget(&mut self, since: Mark) {
        self.rollbacks += 1;
        self.endpoints.clear();
        self.first_due.take();
        self.tally.take();
        self.turn = since.turn;
        self.leases.undo(since.leases);
    }

    fn run(&self, sql: &str) -> Result<(), StorageError> {
        self.prepare(sql)?.execute([]).map(drop).map_err(unavailable)
    }

    /// Commits, and in the same moment tells which leases there are.
    fn commit(&mut self) -> Result<(), StorageError> {
        let mut told = self.told.lock();
        self.connection
            .prepare_cached("COMMIT")
            .and_then(|mut commit| commit.execute([]))
            .map_err(unavailable)?;
        self.leases.tell(&mut told);
        Ok(())
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

    /// Whether it goes before the others.
    fn is_claim(&self) -> bool;

    /// Answers with the result, unless what it wrote is not there.
    fn answer(self: Box<Self>, committed: Result<(), StorageError>);
}

struct Work<T, F> {
    run: F,
    is_claim: bool,
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

    fn is_claim(&self) -> bool {
        self.is_claim
    }

    fn answer(self: Box<Self>, committed: Result<(), StorageError>) {
        let Self { result, answer, .. } = *self;
        let result = || result.expect("what is committed was carried out");
        // Nobody may be waiting any more.
        let _ = answer.send(committed.and_then(|()| result()));
    }
}

type Queue = mpsc::Receiver<Box<dyn Call>>;

/// What a thread does.
#[derive(Clone, Copy)]
struct Ways {
    /// Carries out a call, and others of the queue with it as may be.
    carry_out: fn(&mut Session, Box<dyn Call>, &mut Queue),
    /// What is last.
    close: fn(&Session),
}

/// A thread that owns a connection and carries out calls in order.
pub(super) struct Thread {
    calls: Option<mpsc::Sender<Box<dyn Call>>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// A thread whose calls share commits, and that tells of leases.
    pub(super) fn writer(connection: Connection, opening: &Opening, told: Told) -> Self {
        let leases = Leases::new(opening);
        let ways = Ways { carry_out: commit, close };
        Self::start("artifact-triggers-sqlite-writer", connection, leases, told, ways)
    }

    /// A thread whose calls only read, each in one transaction.
    pub(super) fn reader(connection: Connection, told: Told) -> Self {
        let leases = Leases::new(&Opening { number: 0, suspect: 0 });
        let ways = Ways { carry_out: read, close: |_| () };
        Self::start("artifact-triggers-sqlite-reader", connection, leases, told, ways)
    }

    fn start(name: &str, connection: Connection, leases: Leases, told: Told, ways: Ways) -> Self {
        let (calls, mut queue) = mpsc::channel::<Box<dyn Call>>(QUEUE);
        let mut session = Session {
            connection,
            endpoints: HashMap::new(),
            first_due: RefCell::default(),
            tally: RefCell::default(),
            turn: 0,
            leases,
            told,
            rollbacks: 0,
            #[cfg(test)]
            prepared: RefCell::default(),
        };
        let work = move || {
            while let Some(first) = queue.blocking_recv() {
                (ways.carry_out)(&mut session, first, &mut queue);
            }
            (ways.close)(&session);
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        let handle = thread.spawn(work).expect("the system lets this process have another thread");
        Self { calls: Some(calls), handle: Some(handle) }
    }

    /// Has a call carried out, perhaps more than once, of which the last counts.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Session) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.send(false, work).await
    }

    /// The same, of a call that goes before the others.
    pub(super) async fn claim<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Session) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.send(true, work).await
    }

    async fn send<T: Send + 'static>(
        &self,
        is_claim: bool,
        work: impl FnMut(&mut Session) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (answer, answered) = oneshot::channel();
        let call = Box::new(Work { run: work, is_claim, result: None, answer });
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

/// Notes that the file is closed, unless something is leased: what that counted goes with it. If it
/// cannot be noted, the next opening is careful without need.
fn close(session: &Session) {
    if session.leases.is_empty() {
        let _ = schema::note_closing(&session.connection);
    }
}

/// Carries out all calls that wait, first the claims, and answers each once it is committed.
fn commit(session: &mut Session, first: Box<dyn Call>, queue: &mut Queue) {
    let mut calls = vec![first];
    take_more(&mut calls, queue);
    let (claims, others) = calls.into_iter().partition(|call| call.is_claim());
    transaction(session, claims, None);
    transaction(session, others, Some(queue));
}

fn take_more(calls: &mut Vec<Box<dyn Call>>, queue: &mut Queue) {
    while calls.len() < BATCH
        && let Ok(call) = queue.try_recv()
    {
        calls.push(call);
    }
}

/// Carries out calls in one transaction, and what comes meanwhile, and answers them once it is
/// committed.
fn transaction(session: &mut Session, mut calls: Vec<Box<dyn Call>>, queue: Option<&mut Queue>) {
    if calls.is_empty() {
        return;
    }
    let mark = session.mark();
    let committed = together(session, &mut calls, queue).or_else(|error| {
        roll_back(session, mark);
        // A call that was alone has its own error; one of many must not take the others with it.
        if calls.len() == 1 { Err(error) } else { apart(session, &mut calls) }
    });
    if committed.is_err() {
        roll_back(session, mark);
    }
    for call in calls {
        call.answer(committed.clone());
    }
}

/// Carries out calls in one transaction as if none failed; an error if one did.
fn together(
    session: &mut Session,
    calls: &mut Vec<Box<dyn Call>>,
    mut queue: Option<&mut Queue>,
) -> Result<(), StorageError> {
    session.run("BEGIN IMMEDIATE")?;
    let mut done = 0;
    while let Some(call) = calls.get_mut(done) {
        call.carry_out(session)?;
        done += 1;
        if let Some(queue) = &mut queue
            && done == calls.len()
        {
            take_more(calls, queue);
        }
    }
    session.commit()
}

/// Carries out calls in one transaction so that what a failed one wrote is undone. An error is of
/// the whole transaction.
fn apart(session: &mut Session, calls: &mut [Box<dyn Call>]) -> Result<(), StorageError> {
    session.run("BEGIN IMMEDIATE")?;
    for call in calls {
        let mark = session.mark();
        session.run("SAVEPOINT one")?;
        if let Err(error) = call.carry_out(session) {
            // A full disk and its like may end the transaction as a whole, with all that ran
            // before.
            if session.connection.is_autocommit() {
                return Err(error);
            }
            session.run("ROLLBACK TO one")?;
            session.forget(mark);
        }
        session.run("RELEASE one")?;
    }
    session.commit()
}

fn roll_back(session: &mut Session, to: Mark) {
    session.forget(to);
    end(session);
}

/// Ends the transaction, if there is one.
fn end(session: &Session) {
    if !session.connection.is_autocommit() {
        // If even this fails, the next BEGIN does too, and says why.
        let _ = session.run("ROLLBACK");
    }
}
