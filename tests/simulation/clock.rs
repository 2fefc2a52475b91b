//! Time: the true one, which jumps from sleeper to sleeper, and the nodes' skewed views of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use artifact_triggers::clock::{Clock, Sleep, Timestamp};

/// The true time. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Time(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now: Timestamp,
    next: u64,
    /// In the order in which they wake: by time, then by who lay down first.
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
}

impl Time {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(State { now, next: 0, sleepers: BTreeMap::new() })))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.lock().unwrap().now
    }

    pub(crate) fn sleep(&self, span: Duration) -> TrueSleep {
        let mut state = self.0.lock().unwrap();
        state.next += 1;
        TrueSleep { time: self.clone(), key: (state.now + span, state.next) }
    }

    pub(crate) fn sleep_until(&self, at: Timestamp) -> TrueSleep {
        let now = self.now();
        self.sleep(at.since(now))
    }

    /// Goes on to the next time that somebody sleeps until, and wakes all who do. False if nobody
    /// sleeps.
    pub(crate) fn jump(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        let Some((&(at, _), _)) = state.sleepers.first_key_value() else { return false };
        state.now = state.now.max(at);
        while let Some(entry) = state.sleepers.first_entry()
            && entry.key().0 <= at
        {
            entry.remove().wake();
        }
        true
    }
}

pub(crate) struct TrueSleep {
    time: Time,
    key: (Timestamp, u64),
}

impl Future for TrueSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.time.0.lock().unwrap();
        if self.key.0 <= state.now {
            return Poll::Ready(());
        }
        state.sleepers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for TrueSleep {
    fn drop(&mut self) {
        self.time.0.lock().unwrap().sleepers.remove(&self.key);
    }
}

/// How a node's clock goes wrong, in a run that is to show that this is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ClockFault {
    #[default]
    None,
    /// It goes three times as fast as the true time.
    Fast,
    /// Who sleeps is never woken.
    Stuck,
}

/// The clock of one node, which is wrong by an offset. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct NodeClock {
    time: Time,
    start: Timestamp,
    offset_micros: Arc<AtomicI64>,
    sleeping: Arc<AtomicUsize>,
    fault: ClockFault,
}

impl NodeClock {
    pub(crate) fn new(time: Time, fault: ClockFault) -> Self {
        let start = time.now();
        Self { time, start, offset_micros: Arc::default(), sleeping: Arc::default(), fault }
    }

    /// Is wrong by so many microseconds from now on.
    pub(crate) fn skew(&self, micros: i64) {
        self.offset_micros.store(micros, Ordering::Relaxed);
    }

    /// How many sleep on it.
    pub(crate) fn sleeping(&self) -> usize {
        self.sleeping.load(Ordering::Relaxed)
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let now = self.time.now();
        let gained = match self.fault {
            ClockFault::Fast => now.since(self.start) * 2,
            ClockFault::None | ClockFault::Stuck => Duration::ZERO,
        };
        let micros = (now + gained).unix_micros() + self.offset_micros.load(Ordering::Relaxed);
        Timestamp::from_unix_micros(micros)
    }

    fn sleep(&self, span: Duration) -> Sleep {
        self.sleeping.fetch_add(1, Ordering::Relaxed);
        let sleep = match self.fault {
            ClockFault::None => self.time.sleep(span),
            ClockFault::Fast => self.time.sleep(span / 3 + Duration::from_micros(1)),
            ClockFault::Stuck => self.time.sleep(span + Duration::from_secs(86_400 * 365)),
        };
        Box::pin(Counted { sleep, sleeping: self.sleeping.clone() })
    }
}

struct Counted {
    sleep: TrueSleep,
    sleeping: Arc<AtomicUsize>,
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.sleep).poll(context)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.sleeping.fetch_sub(1, Ordering::Relaxed);
    }
}
