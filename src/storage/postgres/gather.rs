//! Gathering: records that wait are stored together, so that many who publish share a commit.
//!
//! Who comes first begins at once, in a task that goes on if its caller gives up; who comes
//! meanwhile waits for the next that begins.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use tokio::sync::oneshot;

use super::Shared;
use super::connection::Failed;
use crate::storage::{Record, Recorded, StorageError};

/// How many tasks store at once: while one waits for the disk, another sends what it has.
const TASKS: usize = 2;
/// The most records that one takes together.
const TOGETHER: usize = 512;
/// The most bytes that they send, unless one alone has more.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// With so many waiting, those whose callers gave up are looked for.
const MANY: usize = 1_024;

/// What waits to be stored.
#[derive(Default)]
pub(super) struct Gathered(Mutex<Content>);

/// Shows nothing of what waits.
impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathered")
    }
}

#[derive(Default)]
struct Content {
    waiting: VecDeque<Waiting>,
    tasks: usize,
}

/// Where a caller is told.
type Answer = oneshot::Sender<Result<Vec<Recorded>, StorageError>>;

struct Waiting {
    records: Vec<Record>,
    /// About how many bytes they send.
    bytes: usize,
    answer: Answer,
}

impl Gathered {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no code panics while it holds what waits")
    }

    /// Takes in what is to be stored. Tells whether a task is to begin.
    fn push(&self, waiting: Waiting) -> bool {
        let mut content = self.lock();
        if content.waiting.len() >= MANY {
            content.waiting.retain(|one| !one.answer.is_closed());
        }
        content.waiting.push_back(waiting);
        let begins = content.tasks < TASKS;
        content.tasks += usize::from(begins);
        begins
    }

    /// What a task stores next.
    fn next(&self) -> Vec<Waiting> {
        let mut content = self.lock();
        let (mut some, mut records, mut bytes) = (Vec::new(), 0, 0);
        while let Some(first) = content.waiting.front()
            && (some.is_empty()
                || records + first.records.len() <= TOGETHER && bytes + first.bytes <= MAX_BYTES)
        {
            records += first.records.len();
            bytes += first.bytes;
            some.extend(content.waiting.pop_front());
        }
        // Nobody would hear of it.
        some.retain(|one: &Waiting| !one.answer.is_closed());
        some
    }
}

/// A task that stores. However it ends, another may begin.
struct Task {
    shared: Arc<Shared>,
    has_ended: bool,
}

impl Task {
    async fn run(mut self) {
        while !self.ends() {
            let some = self.shared.gathered.next();
            if !some.is_empty() {
                self.store(some).await;
            }
        }
    }

    /// Ends it if nothing is left to do. In one step, so that who comes then begins another.
    fn ends(&mut self) -> bool {
        let mut content = self.shared.gathered.lock();
        self.has_ended = content.waiting.is_empty();
        content.tasks -= usize::from(self.has_ended);
        self.has_ended
    }

    async fn store(&self, some: Vec<Waiting>) {
        let (mut callers, records): (Vec<_>, Vec<_>) =
            some.into_iter().map(|one| ((one.records.len(), one.answer), one.records)).unzip();
        let records: Vec<Record> = records.into_iter().flatten().collect();
        let Some(stored) = self.store_for(&mut callers, &records).await else { return };
        let alone = callers.len() == 1;
        let mut at = 0;
        for (count, answer) in callers {
            let own = at..at + count;
            at += count;
            let told = match &stored {
                Ok(all) => Ok(all[own].to_vec()),
                // What is wrong with one must not be told to the others.
                Err(failed) if failed.is_of_values() && !alone => {
                    if answer.is_closed() {
                        continue;
                    }
                    self.shared.store(&records[own]).await.map_err(Failed::told)
                }
                Err(failed) => Err(failed.to_told()),
            };
            // Nobody may be waiting any more.
            let _ = answer.send(told);
        }
    }
}

impl Task {
    /// Stores records as long as one of their callers waits; `None` if none does any more.
    async fn store_for(
        &self,
        callers: &mut [(usize, Answer)],
        records: &[Record],
    ) -> Option<Result<Vec<Recorded>, Failed>> {
        let mut stored = pin!(self.shared.store(records));
        poll_fn(|context| {
            if let Poll::Ready(stored) = stored.as_mut().poll(context) {
                return Poll::Ready(Some(stored));
            }
            let gave_up =
                |(_, answer): &mut (usize, Answer)| answer.poll_closed(context).is_ready();
            if callers.iter_mut().all(gave_up) { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}

/// About how many bytes a record sends.
fn bytes(record: &Record) -> usize {
    let event = record.event.as_ref().map_or(0, |new| new.json().len());
    let bodies = record.deliveries.iter().map(|(_, payload)| payload.body.len());
    event + bodies.sum::<usize>()
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared.gathered.lock().tasks -= 1;
        }
    }
}

impl Shared {
    pub(super) async fn record(
        self: &Arc<Self>,
        records: Vec<Record>,
    ) -> Result<Vec<Recorded>, StorageError> {
        let (answer, answered) = oneshot::channel();
        let bytes = records.iter().map(bytes).sum();
        if self.gathered.push(Waiting { records, bytes, answer }) {
            tokio::spawn(Task { shared: Arc::clone(self), has_ended: false }.run());
        }
        let gone =
            |_| StorageError::Unavailable { reason: "the task that stores ended".to_owned() };
        answered.await.map_err(gone)?
    }
}
