//! Run: the loop that claims, attempts and settles, as one plain future.
//!
//! In: wake-ups, time, and ends of what it began. From claim to settlement it holds at most
//! [`concurrency`](super::EngineOptions::concurrency) deliveries and one batch more, those aside
//! that are [stalled](super::stalled). One claim, one settlement and one refresh are under way at
//! most, so that the first two grow with the load.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
#[cfg(feature = "schedule")]
use futures_util::future::join;
use futures_util::future::{BoxFuture, join3};
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::Core;
use super::attempt::Finished;
use super::claim::{NextClaim, Taken};
use super::gate::{RunId, Slot};
use super::place::Place;
use super::stalled::Stalled;
#[cfg(feature = "schedule")]
use super::tick;
use super::{outbox, poll};
use crate::clock::{Sleep, Timestamp};
use crate::delivery::{Claimed, Delivery, Lease, Settlement};
use crate::id::DeliveryId;
use crate::observer::Transition;
use crate::storage::StorageError;

/// The first pause after the storage failed; it doubles up to the longest.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause after the storage failed, and how long it has to answer after a shutdown.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest that a claim is taken to have been of itself, and not the storage's other work.
const LONGEST_CLAIM: Duration = Duration::from_millis(5);
/// The most attempts that are taken in before the loop goes on.
const MAX_ENDED: usize = 64;

pub(super) async fn run(core: &Arc<Core>) {
    let _counted = Counted::new(core);
    let delivering = join3(deliver(core), outbox::follow(core), poll::follow(core));
    #[cfg(feature = "schedule")]
    let delivering = join(delivering, tick::follow(core));
    delivering.await;
}

async fn deliver(core: &Arc<Core>) {
    let mut worker = Worker::new(core.clone());
    loop {
        // One reading for each turn, or what comes due between two would be neither begun nor
        // timed.
        let now = core.clock.now();
        if worker.is_done(now) {
            return;
        }
        worker.begin(now);
        let step = worker.next(now).await;
        worker.take(step);
    }
}

/// Counts a `run` as long as it lives.
struct Counted(Arc<Core>);

impl Counted {
    fn new(core: &Arc<Core>) -> Self {
        core.runs.send_modify(|runs| *runs += 1);
        core.observers.tell(&Transition::RunBegun { runs: *core.runs.borrow() });
        Self(core.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let left = self.0.runs.borrow().saturating_sub(1);
        self.0.observers.tell(&Transition::RunEnded { runs: left });
        // Last: who waits for the last run to end has been told of it then.
        self.0.runs.send_modify(|runs| *runs -= 1);
        // The others may have more of each endpoint now.
        self.0.wake();
    }
}

/// What the loop waited for.
enum Step {
    Claimed(Result<Taken, StorageError>),
    Attempted(Vec<Finished>),
    Settled(Result<Option<Timestamp>, Vec<Finished>>),
    /// With the time at which a job goes on.
    Refreshed(Result<Option<Timestamp>, StorageError>),
    /// There may be something new to claim, or it is to end.
    Woken,
    /// The time has come for something.
    Due,
}

/// What the loop has begun and not seen the end of.
#[derive(Default)]
struct Begun {
    attempts: FuturesUnordered<BoxFuture<'static, Vec<Finished>>>,
    /// How many deliveries those are of.
    in_attempts: usize,
    /// The attempts that ended and wait for others to end in the same turn.
    ended: Vec<Finished>,
    /// Whether they have waited for a turn of the executor.
    waited: bool,
    claim: Option<BoxFuture<'static, Result<Taken, StorageError>>>,
    settlement: Option<BoxFuture<'static, Result<Option<Timestamp>, Vec<Finished>>>>,
    refresh: Option<BoxFuture<'static, Result<Option<Timestamp>, StorageError>>>,
}

impl Begun {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if let Some(result) = ended(&mut self.settlement, context) {
            return Poll::Ready(Step::Settled(result));
        }
        if let Some(result) = ended(&mut self.claim, context) {
            return Poll::Ready(Step::Claimed(result));
        }
        if let Poll::Ready(finished) = self.poll_attempts(context) {
            return Poll::Ready(Step::Attempted(finished));
        }
        match ended(&mut self.refresh, context) {
            Some(result) => Poll::Ready(Step::Refreshed(result)),
            None => Poll::Pending,
        }
    }

    /// Takes in the attempts that ended. They get one turn of the executor to become more: answers
    /// come in flocks, and one settlement of many costs little more than one of one.
    fn poll_attempts(&mut self, context: &mut Context<'_>) -> Poll<Vec<Finished>> {
        while self.ended.len() < MAX_ENDED {
            let Poll::Ready(Some(finished)) = self.attempts.poll_next_unpin(context) else { break };
            self.in_attempts -= finished.len();
            self.ended.extend(finished);
        }
        if self.ended.is_empty() {
            return Poll::Pending;
        }
        if !std::mem::replace(&mut self.waited, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.waited = false;
        Poll::Ready(std::mem::take(&mut self.ended))
    }
}

/// What came of something begun, once, if it has ended.
fn ended<T>(begun: &mut Option<BoxFuture<'static, T>>, context: &mut Context<'_>) -> Option<T> {
    let Poll::Ready(result) = begun.as_mut()?.as_mut().poll(context) else { return None };
    *begun = None;
    Some(result)
}

struct Worker {
    core: Arc<Core>,
    id: RunId,
    signal: watch::Receiver<Option<Timestamp>>,
    begun: Begun,
    /// How long what is attempted has waited for an answer.
    stalled: Stalled,
    /// What is attempted.
    attempted: HashMap<DeliveryId, (Lease, Delivery)>,
    /// What is to be settled.
    finished: Vec<Finished>,
    /// How many deliveries are being settled.
    in_settlement: usize,
    /// When to claim next; not before a wake-up if `None`.
    claim_at: Option<Timestamp>,
    /// When the claim under way was begun.
    claim_begun: Timestamp,
    /// No claim before this, so that claims that give little take no more than a fifth of the time:
    /// where there are many endpoints each is dear, and the later one gives more.
    claim_not_before: Timestamp,
    /// Whether an attempt that ends makes room for what is due.
    claim_when_free: bool,
    /// Whether one ended since the claim under way was begun.
    freed: bool,
    refresh_at: Timestamp,
    /// The storage failed: no call before this.
    pause_until: Timestamp,
    pause: Duration,
    timer: Option<(Timestamp, Sleep)>,
}

impl Worker {
    fn new(core: Arc<Core>) -> Self {
        let now = core.clock.now();
        Self {
            id: core.next_run.fetch_add(1, Ordering::Relaxed),
            signal: core.signal.subscribe(),
            begun: Begun::default(),
            stalled: Stalled::default(),
            attempted: HashMap::new(),
            finished: Vec::new(),
            in_settlement: 0,
            claim_at: Some(now),
            claim_begun: now,
            claim_not_before: Timestamp::MIN,
            claim_when_free: false,
            freed: false,
            refresh_at: now,
            pause_until: Timestamp::MIN,
            pause: FIRST_PAUSE,
            timer: None,
            core,
        }
    }

    /// When a shutdown ends, if there is one.
    fn deadline(&self) -> Option<Timestamp> {
        *self.signal.borrow()
    }

    fn is_done(&self, now: Timestamp) -> bool {
        let Some(deadline) = self.deadline() else { return false };
        let settled = self.finished.is_empty() && self.begun.settlement.is_none();
        let idle = settled && self.attempted.is_empty() && self.begun.claim.is_none();
        // A storage that does not answer must not keep the process from ending.
        idle || now >= deadline + LONGEST_PAUSE
    }

    /// Begins what can be begun now.
    fn begin(&mut self, now: Timestamp) {
        // A clock that was set back must not make any of these last longer.
        self.claim_not_before = self.claim_not_before.min(now + LONGEST_CLAIM * 4);
        self.pause_until = self.pause_until.min(now + LONGEST_PAUSE);
        self.refresh_at = self.refresh_at.min(now + self.core.options.refresh);
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.abandon(now);
        }
        if now < self.pause_until {
            return;
        }
        self.begin_settlement();
        if self.deadline().is_none() {
            self.begin_claim(now);
            self.begin_refresh(now);
        }
    }

    fn begin_settlement(&mut self) {
        if self.begun.settlement.is_some() || self.finished.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.finished);
        self.in_settlement = batch.len();
        let core = self.core.clone();
        self.begun.settlement = Some(Box::pin(async move { core.settle(batch).await }));
    }

    fn begin_claim(&mut self, now: Timestamp) {
        // Attempts whose leases were lost count too, until they end.
        let attempts = self.begun.in_attempts + self.begun.ended.len();
        let stalled = self.stalled.count(now).min(self.core.options.stalled);
        let held = attempts.saturating_sub(stalled) + self.finished.len() + self.in_settlement;
        let room = self.core.options.concurrency.saturating_sub(held);
        let due = self.claim_at.is_some_and(|at| at.max(self.claim_not_before) <= now);
        if self.begun.claim.is_some() || room == 0 || !due {
            return;
        }
        self.claim_at = None;
        self.claim_begun = now;
        self.freed = false;
        let (core, id) = (self.core.clone(), self.id);
        self.begun.claim = Some(Box::pin(async move { core.claim(id, room).await }));
    }

    fn begin_refresh(&mut self, now: Timestamp) {
        if self.begun.refresh.is_some() {
            return;
        }
        let has_new_job = self.core.has_new_job.swap(false, Ordering::AcqRel);
        if self.refresh_at > now && !has_new_job {
            return;
        }
        self.refresh_at = now + self.core.options.refresh;
        let core = self.core.clone();
        self.begun.refresh = Some(Box::pin(async move {
            // Takes in what others changed first.
            core.work_at_jobs().await
        }));
    }

    /// Gives back what is still attempted.
    fn abandon(&mut self, now: Timestamp) {
        self.begun.attempts.clear();
        self.begun.in_attempts = 0;
        self.stalled.clear();
        for (_, (lease, delivery)) in self.attempted.drain() {
            let released = Settlement::Released { at: now };
            self.finished.push(Finished::without_attempt(lease, delivery, released));
        }
    }

    /// Waits for something to end, a signal, or the time.
    async fn next(&mut self, now: Timestamp) -> Step {
        self.set_timer(now);
        let Self { signal, begun, timer, .. } = self;
        let mut changed = std::pin::pin!(signal.changed());
        poll_fn(|context| {
            if let Poll::Ready(step) = begun.poll(context) {
                return Poll::Ready(step);
            }
            // The core holds the sender, so this is never an error.
            if changed.as_mut().poll(context).is_ready() {
                return Poll::Ready(Step::Woken);
            }
            match timer {
                Some((_, sleep)) => sleep.as_mut().poll(context).map(|()| Step::Due),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Sets the timer to the next time at which there is something to do.
    fn set_timer(&mut self, now: Timestamp) {
        let end = self.deadline();
        let paused = (self.pause_until > now).then_some(self.pause_until);
        // What waits to be claimed may have room once something in flight counts as stalled.
        let stalls = self.claim_at.and(self.stalled.next_at());
        let claim_at = self.claim_at.map(|at| at.max(self.claim_not_before));
        let work = [Some(self.refresh_at), claim_at, stalls];
        let next = [paused, end, end.map(|deadline| deadline + LONGEST_PAUSE)]
            .into_iter()
            .chain(work)
            .flatten()
            .filter(|at| *at > now)
            .min();
        if self.timer.as_ref().map(|(at, _)| *at) != next {
            self.timer = next.map(|at| (at, self.core.clock.sleep(at.since(now))));
        }
    }

    fn take(&mut self, step: Step) {
        let now = self.core.clock.now();
        match step {
            Step::Claimed(Ok(taken)) => self.take_claim(taken, now),
            Step::Claimed(Err(_)) => {
                self.claim_by(Some(now));
                self.back_off(now);
            }
            Step::Attempted(finished) => self.take_attempts(finished, now),
            Step::Settled(result) => {
                self.in_settlement = 0;
                match result {
                    Ok(due) => {
                        self.pause = FIRST_PAUSE;
                        self.claim_by(due);
                    }
                    Err(batch) => {
                        self.finished.extend(batch);
                        self.back_off(now);
                    }
                }
            }
            // Besides, finds what other nodes left: wake-ups are only hints. A look at triggers
            // that failed is tried again soon, and what is known can be delivered meanwhile.
            Step::Woken | Step::Refreshed(Err(_)) => self.claim_by(Some(now)),
            Step::Refreshed(Ok(job_at)) => {
                self.refresh_at = job_at.into_iter().fold(self.refresh_at, Timestamp::min);
                self.claim_by(Some(now));
            }
            Step::Due => self.timer = None,
        }
    }

    fn take_claim(&mut self, taken: Taken, now: Timestamp) {
        self.pause = FIRST_PAUSE;
        self.claim_when_free = taken.when_free;
        let given = u32::try_from(taken.deliveries.len()).unwrap_or(u32::MAX);
        let pause = now.since(self.claim_begun).min(LONGEST_CLAIM) * 4 / given.saturating_add(1);
        self.claim_not_before = now + pause;
        let next = match taken.next {
            NextClaim::Now => Some(now),
            NextClaim::At(at) => Some(at),
            NextClaim::WhenWoken => None,
        };
        self.claim_by(next);
        if self.claim_when_free && std::mem::take(&mut self.freed) {
            self.claim_by(Some(now));
        }
        for Claimed { lease, delivery, due, .. } in taken.returned {
            let released = Settlement::Released { at: due.min(now) };
            self.finished.push(Finished::without_attempt(lease, delivery, released));
        }
        for (together, slot) in taken.deliveries {
            self.begin_attempt(together, slot);
        }
    }

    fn begin_attempt(&mut self, together: Vec<Claimed>, slot: Slot) {
        let core = self.core.clone();
        let now = core.clock.now();
        for Claimed { lease, delivery, .. } in &together {
            self.stalled.begin(*lease, now);
            self.attempted.insert(lease.delivery, (*lease, delivery.clone()));
        }
        self.begun.in_attempts += together.len();
        self.begun.attempts.push(Box::pin(async move {
            let mut place = Place::Held(slot);
            let finished = core.attempt(together, &mut place).await;
            core.report(&finished, place);
            finished
        }));
    }

    fn take_attempts(&mut self, finished: Vec<Finished>, now: Timestamp) {
        for one in finished {
            // One that was abandoned after it had ended is settled as abandoned already; one whose
            // delivery was claimed again meanwhile is not to end the attempt that followed.
            let lease = one.settle.lease;
            self.stalled.end(lease);
            if self.attempted.get(&lease.delivery).is_some_and(|(held, _)| *held == lease) {
                self.attempted.remove(&lease.delivery);
                self.finished.push(one);
            }
        }
        self.freed = true;
        if std::mem::take(&mut self.claim_when_free) {
            self.claim_at = Some(now);
        }
    }

    /// Claims at a time, or before if there was reason to.
    fn claim_by(&mut self, at: Option<Timestamp>) {
        self.claim_at = self.claim_at.into_iter().chain(at).min();
    }

    fn back_off(&mut self, now: Timestamp) {
        self.pause_until = now + self.pause;
        self.core.observers.tell(&Transition::BackedOff { pause: self.pause });
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
