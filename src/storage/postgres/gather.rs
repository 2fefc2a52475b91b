//! Gathering: records that wait are stored together, so that many who publish share a commit.
//!
//! Who comes first begins at once, in a task that goes on if its caller gives up; who comes meanwhile
//! waits for the next that begins.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use super::Shared;
use crate::storage::{Record, Recorded, StorageError};

/// How many tasks store at once: while one waits for the disk, another sends what it has.
const TASKS: usize = 2;
/// The most records that one takes together.
const TOGETHER: usize = 512;

/// What waits to be stored.
#[derive(Debug, Default)]
pub(super) struct Gathered(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    waiting: VecDeque<Waiting>,
    tasks: usize,
}

#[derive(Debug)]
struct Waiting {
    records: Vec<Record>,
    answer: oneshot::Sender<Result<Vec<Recorded>, StorageError>>,
}

impl Gathered {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no code panics while it holds what waits")
    }

    /// Takes in what is to be stored. Tells whether a task is to begin.
    fn push(&self, waiting: Waiting) -> bool {
        let mut content = self.lock();
        content.waiting.push_back(waiting);
        let begins = content.tasks < TASKS;
        content.tasks += usize::from(begins);
        begins
    }

    /// What a task stores next.
    fn next(&self) -> Vec<Waiting> {
        let mut content = self.lock();
        let (mut some, mut records) = (Vec::new(), 0);
        while let Some(first) = content.waiting.front()
            && (some.is_empty() || records + first.records.len() <= TOGETHER)
        {
            records += first.records.len();
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
        let (callers, records): (Vec<_>, Vec<_>) =
            some.into_iter().map(|one| ((one.records.len(), one.answer), one.records)).unzip();
        let records: Vec<Record> = records.into_iter().flatten().collect();
        let stored = self.shared.store(&records).await;
        let alone = callers.len() == 1;
        let mut at = 0;
        for (count, answer) in callers {
            let own = at..at + count;
            at += count;
            // What is wrong with one must not be told to the others.
            let told = match &stored {
                Ok(all) => Ok(all[own].to_vec()),
                Err(error) if alone => Err(error.clone()),
                Err(_) => self.shared.store(&records[own]).await,
            };
            // Nobody may be waiting any more.
            let _ = answer.send(told);
        }
    }
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
        if self.gathered.push(Waiting { records, answer }) {
            tokio::spawn(Task { shared: Arc::clone(self), has_ended: false }.run());
        }
        let gone =
            |_| StorageError::Unavailable { reason: "the task that stores ended".to_owned() };
        answered.await.map_err(gone)?
    }
}
