//! The executor: one thread that polls who is runnable, in an order that the seed chooses.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::random::Random;

/// The most polls between two moments. More are a loop that waits for nothing.
const MAX_POLLS: usize = 20_000;

pub(crate) struct Executor {
    tasks: Vec<Task>,
    random: Random,
    polls: u64,
}

struct Task {
    /// `None` once it has ended.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    runnable: Arc<Runnable>,
    waker: Waker,
}

struct Runnable(AtomicBool);

impl Wake for Runnable {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The tasks never come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restless;

impl Executor {
    pub(crate) fn new(random: Random) -> Self {
        Self { tasks: Vec::new(), random, polls: 0 }
    }

    pub(crate) fn spawn(&mut self, future: impl Future<Output = ()> + 'static) {
        let runnable = Arc::new(Runnable(AtomicBool::new(true)));
        let waker = Waker::from(runnable.clone());
        self.tasks.push(Task { future: Some(Box::pin(future)), runnable, waker });
    }

    /// Polls until nobody is runnable.
    pub(crate) fn settle(&mut self) -> Result<(), Restless> {
        let mut ready = Vec::new();
        for _ in 0..MAX_POLLS {
            ready.clear();
            let runnable = self.tasks.iter().enumerate().filter(|(_, task)| {
                task.future.is_some() && task.runnable.0.load(Ordering::Relaxed)
            });
            ready.extend(runnable.map(|(at, _)| at));
            match ready.as_slice() {
                [] => return Ok(()),
                [only] => self.poll(*only),
                several => self.poll(several[self.random.index(several.len())]),
            }
        }
        Err(Restless)
    }

    fn poll(&mut self, at: usize) {
        self.polls += 1;
        let task = &mut self.tasks[at];
        task.runnable.0.store(false, Ordering::Relaxed);
        let Some(future) = &mut task.future else { return };
        if let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(&task.waker)) {
            task.future = None;
        }
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls
    }
}
