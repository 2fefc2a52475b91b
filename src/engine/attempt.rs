//! Attempt: one try of a delivery, from the lease to what follows.
//!
//! In: a claimed delivery, or several that go in one request. Out: [`Finished`] for each, to be
//! settled. Whatever happens here, a panic in a deliverer or a trigger that is gone, ends in one.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, join_all, select};

use super::Core;
use super::coalesce::newest_of;
use super::credentials::Credentials;
use super::exchange::Exchanged;
use super::place::Place;
use super::token::NoToken;
use crate::clock::{Clock, Timestamp};
use crate::deliverer::DeliverError;
use crate::delivery::{
    Attempt, CancelReason, Claimed, DeadReason, Delivery, Lease, Outcome, Settlement, Settling,
};
use crate::payload::BatchForm;
use crate::request::Request;
use crate::storage::{NewEvent, Settle, Settled, StorageError};
use crate::trigger::{EndpointAuth, Target, Trigger};

/// How much longer than its time-out the engine waits for an attempt.
const GRACE: Duration = Duration::from_millis(500);
/// How long a drain waits before it tries again what could not be tried for a failure of ours.
const DRAIN_PAUSE: Duration = Duration::from_secs(1);

/// The longest that what cannot be attempted for a failure of ours is left alone, unless triggers
/// are looked at less often.
const LONGEST_PUT_OFF: Duration = Duration::from_secs(60);

/// An attempt that ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) settle: Settle,
    /// The delivery as it was claimed.
    pub(super) delivery: Delivery,
    /// The trigger, if it was there to be attempted or to end.
    pub(super) trigger: Option<Arc<Trigger>>,
    /// Whether what came of it tells of the endpoint, and not of one that had to be asked before.
    pub(super) tells_of_endpoint: bool,
    /// What the action told, to be recorded with the outcome.
    pub(super) events: Vec<NewEvent>,
    /// Whether it is written down, and only what follows for its trigger is not.
    pub(super) is_settled: bool,
}

impl Finished {
    /// What ends without an attempt being made.
    pub(super) fn without_attempt(
        lease: Lease,
        delivery: Delivery,
        settlement: Settlement,
    ) -> Self {
        let settle = Settle { lease, settlement, attempts: Vec::new(), records: Vec::new() };
        let (tells_of_endpoint, events, is_settled) = (false, Vec::new(), false);
        Self { settle, delivery, trigger: None, tells_of_endpoint, events, is_settled }
    }
}

/// An attempt that was made.
pub(super) struct Made {
    pub(super) attempt: Attempt,
    /// Whether it tells of the endpoint.
    pub(super) tells_of_endpoint: bool,
    /// What an action told.
    pub(super) events: Vec<NewEvent>,
}

/// When an attempt can be made that cannot be made now. None is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Later {
    /// Once what it takes can be had; observers were told why it cannot.
    OnceReady,
    /// Once there is room at its endpoint.
    OnceThereIsRoom,
    /// Then: before, somebody who has to be asked is not.
    At(Timestamp),
}

impl From<Attempt> for Made {
    fn from(attempt: Attempt) -> Self {
        Self { attempt, tells_of_endpoint: true, events: Vec::new() }
    }
}

impl Core {
    /// Tries what goes together: one delivery, or several of a trigger that batches.
    pub(super) async fn attempt(&self, together: Vec<Claimed>, place: &mut Place) -> Vec<Finished> {
        let settlement = match self.trigger_of(&together[0].delivery).await {
            Ok(Ok(trigger)) if trigger.suspended.is_none() && trigger.spec.enabled => {
                return self.attempt_newest(trigger, together, place).await;
            }
            Ok(Ok(_)) => Settlement::Parked,
            Ok(Err(without)) => without,
            Err(_) => self.put_off(&together[0]).await,
        };
        let without_attempt = |claimed: Claimed| {
            Finished::without_attempt(claimed.lease, claimed.delivery, settlement.clone())
        };
        together.into_iter().map(without_attempt).collect()
    }

    /// Tries what goes together, unless a newer one stands for it.
    async fn attempt_newest(
        &self,
        trigger: Arc<Trigger>,
        mut together: Vec<Claimed>,
        place: &mut Place,
    ) -> Vec<Finished> {
        if newest_of(&trigger).is_none() {
            return self.attempt_with(trigger, together, place).await;
        }
        // There are others only where the trigger batched when they were put together. Each is
        // asked about by itself.
        let now = self.clock.now();
        let others = together.split_off(1).into_iter().map(|one| {
            let released = Settlement::Released { at: one.due.min(now) };
            without_attempt(&trigger, one, released)
        });
        let mut finished: Vec<Finished> = others.collect();
        // The storage is asked; what goes meanwhile is not to go closer to this than it may.
        place.leave();
        let then = match self.is_outdated(&trigger, &together[0].delivery).await {
            Ok(false) => {
                finished.extend(self.attempt_with(trigger, together, place).await);
                return finished;
            }
            Ok(true) => Settlement::Cancelled(CancelReason::Superseded),
            Err(_) => self.put_off(&together[0]).await,
        };
        let first = together.into_iter().map(|one| without_attempt(&trigger, one, then.clone()));
        finished.extend(first);
        finished
    }

    /// What follows where something of ours failed: no attempt is used up. A drain would take what
    /// is due later for done, so it gets it again soon. What has waited for long waits a little
    /// longer: thousands that nobody signs must not be taken up again and again.
    async fn put_off(&self, claimed: &Claimed) -> Settlement {
        let is_draining = self.due_by.borrow().is_some();
        if is_draining {
            self.clock.sleep(DRAIN_PAUSE).await;
            return Settlement::Released { at: claimed.due };
        }
        let now = self.clock.now();
        let waited = now.since(claimed.delivery.created_at) / 4;
        let pause = waited.min(LONGEST_PUT_OFF).max(self.options.refresh);
        Settlement::Released { at: now + pause }
    }

    /// Tries what goes together, of a trigger that is at work. Each ends by itself.
    pub(super) async fn attempt_with(
        &self,
        trigger: Arc<Trigger>,
        together: Vec<Claimed>,
        place: &mut Place,
    ) -> Vec<Finished> {
        let mut finished = Vec::with_capacity(together.len());
        let mut going: Vec<Claimed> = Vec::with_capacity(together.len());
        for claimed in together {
            let without = self.without_attempt(&trigger, &claimed);
            match without.or_else(|| self.apart(&trigger, going.first(), &claimed)) {
                Some(settlement) => finished.push(without_attempt(&trigger, claimed, settlement)),
                None => going.push(claimed),
            }
        }
        let going = self.make_unmade(&trigger, going, &mut finished);
        if going.is_empty() {
            return finished;
        }
        match self.made(&trigger, &going, place).await {
            Ok(made) => finished.extend(self.ended(&trigger, going, made)),
            Err(later) => {
                let then = join_all(going.iter().map(|claimed| self.later(claimed, later))).await;
                let ended = going.into_iter().zip(then);
                finished.extend(ended.map(|(one, then)| without_attempt(&trigger, one, then)));
            }
        }
        finished
    }

    /// Makes the attempt of what goes together, if it can be made now.
    async fn made(
        &self,
        trigger: &Trigger,
        going: &[Claimed],
        place: &mut Place,
    ) -> Result<Made, Later> {
        let (request, credentials) =
            self.ready(trigger, going, place).await.ok_or(Later::OnceReady)?;
        if !self.is_back(place) {
            return Err(Later::OnceThereIsRoom);
        }
        self.guarded(trigger, going, request, (&credentials, place)).await
    }

    /// Whether a place is held, after it may have been left.
    pub(super) fn is_back(&self, place: &mut Place) -> bool {
        let runs = *self.runs.borrow();
        place.take_again(runs)
    }

    /// What follows for a delivery of which no attempt could be made now; none is used up.
    async fn later(&self, claimed: &Claimed, later: Later) -> Settlement {
        match later {
            Later::OnceReady => self.put_off(claimed).await,
            Later::OnceThereIsRoom => {
                Settlement::Released { at: claimed.due.min(self.clock.now()) }
            }
            Later::At(at) => Settlement::Released { at },
        }
    }

    /// The request of an attempt, none of an action, and what else it takes; `None` if it cannot be
    /// made now, which observers are told.
    async fn ready(
        &self,
        trigger: &Trigger,
        going: &[Claimed],
        place: &mut Place,
    ) -> Option<(Option<Request>, Credentials)> {
        if !self.are_at_hand(trigger) {
            place.leave();
        }
        let credentials = match self.credentials(trigger).await {
            Ok(credentials) => credentials,
            Err(unready) => {
                self.tell_unready(trigger, &unready);
                return None;
            }
        };
        let request = self.signed_request(trigger, going, &credentials).await.ok()?;
        // It may have taken as long as the lease lasts: then another may be at it.
        let is_late = going.iter().any(|claimed| self.is_over(claimed));
        (!is_late).then_some((request, credentials))
    }

    /// What follows for each of what was tried together.
    fn ended(&self, trigger: &Arc<Trigger>, going: Vec<Claimed>, mut made: Made) -> Vec<Finished> {
        // One for all: those that failed together come due together.
        let fraction = self.entropy.fraction();
        let end = |Claimed { lease, delivery, .. }: Claimed| {
            let attempt = Attempt { number: delivery.attempts, ..made.attempt.clone() };
            let settling = Settling {
                number: attempt.number,
                outcome: &attempt.outcome,
                status: attempt.status,
                created_at: delivery.created_at,
            };
            let settlement = trigger.spec.policy.settle(&settling, attempt.ended_at, fraction);
            let attempts = vec![attempt];
            let settle = Settle { lease, settlement, attempts, records: Vec::new() };
            // Actions take deliveries one by one.
            let (trigger, events) = (Some(trigger.clone()), std::mem::take(&mut made.events));
            let tells_of_endpoint = made.tells_of_endpoint;
            Finished { settle, delivery, trigger, tells_of_endpoint, events, is_settled: false }
        };
        going.into_iter().map(end).collect()
    }

    /// What follows for a delivery of which no attempt is to be made.
    fn without_attempt(&self, trigger: &Trigger, claimed: &Claimed) -> Option<Settlement> {
        let number = claimed.delivery.attempts;
        let policy = &trigger.spec.policy;
        // More attempts were begun than there are: their outcomes were lost, one crash after
        // another.
        if number > 1 && policy.retry.pause_after(number - 1).is_none() {
            return Some(Settlement::Dead(DeadReason::Exhausted));
        }
        let now = self.clock.now();
        if policy.is_too_old(claimed.delivery.created_at, now) {
            return Some(Settlement::Dead(DeadReason::TooOld));
        }
        // The claim was answered late, or the process stood still. Another may be at work on it; if
        // not, it is given at once.
        self.is_over(claimed).then(|| Settlement::Released { at: claimed.due.min(now) })
    }

    /// Whether a delivery's lease has run out.
    fn is_over(&self, claimed: &Claimed) -> bool {
        claimed.delivery.state.claimable_at().is_some_and(|end| end <= self.clock.now())
    }

    /// What follows for a delivery that was to go with another and cannot: the trigger was changed
    /// since they were put together, or between the making of the two.
    fn apart(
        &self,
        trigger: &Trigger,
        first: Option<&Claimed>,
        claimed: &Claimed,
    ) -> Option<Settlement> {
        let form = BatchForm::of(&first?.payload).filter(|_| trigger.spec.policy.batch.is_some());
        let fits = form.is_some() && form == BatchForm::of(&claimed.payload);
        (!fits).then(|| Settlement::Released { at: claimed.due.min(self.clock.now()) })
    }

    /// The trigger of a delivery; without one, what follows. One that the index does not have may
    /// be new, of another node.
    async fn trigger_of(
        &self,
        delivery: &Delivery,
    ) -> Result<Result<Arc<Trigger>, Settlement>, StorageError> {
        let id = delivery.trigger;
        if let Some(trigger) = self.known().index.get(id) {
            return Ok(Ok(trigger.clone()));
        }
        self.refresh().await?;
        let known = self.known();
        Ok(match known.index.get(id) {
            Some(trigger) => Ok(trigger.clone()),
            None if known.unreadable.contains_key(&id) => Err(Settlement::Parked),
            None => Err(Settlement::Cancelled(CancelReason::TriggerDeleted)),
        })
    }

    /// Makes the attempt, within its time and whatever it does.
    async fn guarded(
        &self,
        trigger: &Trigger,
        going: &[Claimed],
        request: Option<Request>,
        (credentials, place): (&Credentials, &mut Place),
    ) -> Result<Made, Later> {
        let number = going[0].delivery.attempts;
        let started_at = self.clock.now();
        let observed: Vec<_> =
            going.iter().map(|claimed| self.observe_attempt(claimed, started_at)).collect();
        let leases: Vec<Lease> = going.iter().map(|claimed| claimed.lease).collect();
        let timeout = self.timeout_of(trigger);
        let attempt = self.make(trigger, going, request, (credentials, place), started_at);
        let attempt = AssertUnwindSafe(attempt).catch_unwind();
        let made = match self.within(&leases, timeout + GRACE, attempt).await {
            Some(Ok(made)) => made?,
            Some(Err(_)) => Attempt::new(number, started_at, self.clock.now(), Outcome::Transient)
                .with_error("the handler panicked")
                .into(),
            None => {
                let answer = Err(DeliverError::Timeout { after: timeout });
                let attempt = Attempt::answered(number, started_at, self.clock.now(), &answer);
                // Where it takes a token, that may be what was waited for.
                let tells_of_endpoint = !matches!(credentials.auth, Some(EndpointAuth::OAuth2(_)));
                Made { attempt, tells_of_endpoint, events: Vec::new() }
            }
        };
        for observed in observed {
            observed.ended(&made.attempt);
        }
        Ok(made)
    }

    /// How long an attempt of a trigger may take. A webhook's no longer than the lease leaves room
    /// for: it may have been longer when the trigger was stored.
    pub(super) fn timeout_of(&self, trigger: &Trigger) -> Duration {
        let timeout = trigger.spec.policy.timeout;
        match trigger.spec.target {
            Target::Webhook(_) => timeout.min(self.options.longest_timeout()),
            Target::Action(_) => timeout,
        }
    }

    /// Waits for an attempt to end within its time, and extends its leases if they may run out
    /// before; `None` if the time is up, or others have them all.
    pub(super) async fn within<T>(
        &self,
        leases: &[Lease],
        limit: Duration,
        attempt: impl Future<Output = T>,
    ) -> Option<T> {
        let mut attempt = std::pin::pin!(attempt);
        let mut left = limit;
        // Often enough that one extension may fail.
        let step = if limit < self.options.lease * 3 / 4 { limit } else { self.options.lease / 3 };
        loop {
            let span = step.min(left);
            match select(attempt.as_mut(), self.clock.sleep(span)).await {
                Either::Left((ended, _)) => return Some(ended),
                Either::Right(_) => left = left.saturating_sub(span),
            }
            if left.is_zero() || !self.extend(leases).await {
                return None;
            }
        }
    }

    /// Makes leases last as long again from now on; tells whether any may still be held.
    async fn extend(&self, leases: &[Lease]) -> bool {
        let now = self.clock.now();
        let settlement = Settlement::Extended { until: now + self.options.lease };
        let extended = |lease: &Lease| Settle {
            lease: *lease,
            settlement: settlement.clone(),
            attempts: Vec::new(),
            records: Vec::new(),
        };
        let settled = self.storage.settle(leases.iter().map(extended).collect(), now).await;
        // A storage that does not answer now may do so before the leases run out.
        settled.map_or(true, |settled| settled.iter().any(|one| *one != Settled::LeaseLost))
    }

    async fn make(
        &self,
        trigger: &Trigger,
        going: &[Claimed],
        request: Option<Request>,
        (credentials, place): (&Credentials, &mut Place),
        started_at: Timestamp,
    ) -> Result<Made, Later> {
        let number = going[0].delivery.attempts;
        match (&trigger.spec.target, request) {
            (Target::Webhook(_), None) => unreachable!("a webhook's request was made"),
            (Target::Webhook(endpoint), Some(request)) => {
                let exchange = self.exchange(trigger, endpoint, request, (credentials, place));
                answered(number, started_at, exchange.await, &*self.clock)
            }
            // Boxed, since every attempt of a webhook would have to be so large otherwise.
            (Target::Action(target), _) => {
                Ok(Box::pin(self.act(target, &going[0], started_at)).await)
            }
        }
    }
}

/// What ends without an attempt being made, of a trigger that is there.
fn without_attempt(trigger: &Arc<Trigger>, claimed: Claimed, settlement: Settlement) -> Finished {
    Finished {
        trigger: Some(trigger.clone()),
        ..Finished::without_attempt(claimed.lease, claimed.delivery, settlement)
    }
}

/// The attempt that an exchange ends.
fn answered(
    number: u32,
    started_at: Timestamp,
    exchanged: Exchanged,
    clock: &dyn Clock,
) -> Result<Made, Later> {
    match exchanged {
        Exchanged::Answered { answer, run } => {
            let attempt = Attempt::answered(number, started_at, clock.now(), &answer);
            Ok(Attempt { run, ..attempt }.into())
        }
        Exchanged::WithoutToken(NoToken { outcome, reason }) => {
            let attempt = Attempt::new(number, started_at, clock.now(), outcome).with_error(reason);
            Ok(Made { attempt, tells_of_endpoint: false, events: Vec::new() })
        }
        Exchanged::Later(later) => Err(later),
    }
}
