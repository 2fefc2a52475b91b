//! Nodes: they live, stand still, die and live again.
//!
//! A node's memory is its [`Engine`]; all futures of a life are polled through [`Node::during`],
//! which drops them at the node's death and does not poll them while it stands still.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use artifact_triggers::clock::Timestamp;
use artifact_triggers::engine::Engine;

use crate::clock::NodeClock;

/// One life of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) node: u64,
    pub(crate) number: u64,
}

#[derive(Debug)]
pub(crate) struct Node {
    index: u64,
    pub(crate) clock: NodeClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    life: u64,
    is_paused: bool,
    /// When it may live again after it died.
    down_until: Timestamp,
    engine: Option<Engine>,
    waiting: Vec<Waker>,
}

impl Node {
    pub(crate) fn new(index: u64, clock: NodeClock) -> Arc<Self> {
        let state = State {
            life: 0,
            is_paused: false,
            down_until: Timestamp::MIN,
            engine: None,
            waiting: Vec::new(),
        };
        Arc::new(Self { index, clock, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn life(&self) -> Life {
        Life { node: self.index, number: self.lock().life }
    }

    pub(crate) fn down_until(&self) -> Timestamp {
        self.lock().down_until
    }

    /// The engine, once it is built, of the life that goes on.
    pub(crate) fn engine(&self) -> Option<(Life, Engine)> {
        let state = self.lock();
        let life = Life { node: self.index, number: state.life };
        state.engine.clone().map(|engine| (life, engine))
    }

    pub(crate) fn set_engine(&self, engine: Engine) {
        self.lock().engine = Some(engine);
    }

    /// Ends the life that goes on, in the midst of whatever it does.
    pub(crate) fn die(&self, down_until: Timestamp) {
        let engine = {
            let mut state = self.lock();
            state.life += 1;
            state.is_paused = false;
            state.down_until = down_until;
            state.engine.take()
        };
        drop(engine);
        self.wake();
    }

    pub(crate) fn pause(&self, is_paused: bool) {
        self.lock().is_paused = is_paused;
        self.wake();
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Polls a future as long as a life goes on; `None` if it ends first.
    pub(crate) async fn during<T>(&self, life: Life, future: impl Future<Output = T>) -> Option<T> {
        let mut future = Some(Box::pin(future));
        poll_fn(|context| self.poll(life, &mut future, context)).await
    }

    fn poll<F: Future>(
        &self,
        life: Life,
        future: &mut Option<Pin<Box<F>>>,
        context: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        if self.life() == life && !self.lock().is_paused {
            let running = future.as_mut().expect("it is not polled after it ended");
            if let Poll::Ready(output) = running.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
        }
        // It may have died in this very poll.
        if self.life() != life {
            *future = None;
            return Poll::Ready(None);
        }
        let mut state = self.lock();
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}
