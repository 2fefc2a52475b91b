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
use super::credentials::Credentials;
use super::gate::Slot;
use super::token::NoToken;
use crate::action::{ActionCall, ActionError};
use crate::clock::Timestamp;
use crate::deliverer::DeliverError;
use crate::delivery::{
    Attempt, Claimed, DeadReason, Delivery, Lease, Outcome, Settlement, Settling,
};
use crate::event::Event;
use crate::payload::BatchForm;
use crate::request::{Request, Response};
use crate::storage::{Settle, Settled, StorageError};
use crate::trigger::{ActionTarget, EndpointAuth, Target, Trigger};

/// How much longer than its time-out the engine waits for an attempt.
const GRACE: Duration = Duration::from_millis(500);
/// How long a drain waits before it tries again what could not be tried for a failure of ours.
const DRAIN_PAUSE: Duration = Duration::from_secs(1);

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
        Self { settle, delivery, trigger: None, tells_of_endpoint: false, is_settled: false }
    }
}

/// An attempt that was made.
pub(super) struct Made {
    pub(super) attempt: Attempt,
    /// Whether it tells of the endpoint.
    pub(super) tells_of_endpoint: bool,
}

impl From<Attempt> for Made {
    fn from(attempt: Attempt) -> Self {
        Self { attempt, tells_of_endpoint: true }
    }
}

impl Core {
    /// Tries what goes together: one delivery, or several of a trigger that batches.
    pub(super) async fn attempt(&self, together: Vec<Claimed>) -> Vec<Finished> {
        let settlement = match self.trigger_of(&together[0].delivery).await {
            Ok(Ok(trigger)) if trigger.suspended.is_none() && trigger.spec.enabled => {
                return self.attempt_with(trigger, together).await;
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

    /// What follows where something of ours failed: no attempt is used up. A drain would take what is
    /// due later for done, so it gets it again soon.
    async fn put_off(&self, claimed: &Claimed) -> Settlement {
        let is_draining = self.due_by.borrow().is_some();
        if is_draining {
            self.clock.sleep(DRAIN_PAUSE).await;
            return Settlement::Released { at: claimed.due };
        }
        Settlement::Released { at: self.clock.now() + self.options.refresh }
    }

    /// Tries what goes together, of a trigger that is at work. Each ends by itself.
    pub(super) async fn attempt_with(
        &self,
        trigger: Arc<Trigger>,
        together: Vec<Claimed>,
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
        if going.is_empty() {
            return finished;
        }
        let Some((request, credentials)) = self.ready(&trigger, &going).await else {
            let put_off = join_all(going.iter().map(|claimed| self.put_off(claimed))).await;
            let ended = going.into_iter().zip(put_off);
            finished.extend(ended.map(|(one, then)| without_attempt(&trigger, one, then)));
            return finished;
        };
        let made = self.guarded(&trigger, &going, request, &credentials).await;
        finished.extend(self.ended(&trigger, going, &made));
        finished
    }

    /// The request of an attempt, none of an action, and what else it takes; `None` if it cannot be
    /// made now, which observers are told.
    async fn ready(
        &self,
        trigger: &Trigger,
        going: &[Claimed],
    ) -> Option<(Option<Request>, Credentials)> {
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
    fn ended(&self, trigger: &Arc<Trigger>, going: Vec<Claimed>, made: &Made) -> Vec<Finished> {
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
            let (trigger, tells_of_endpoint) = (Some(trigger.clone()), made.tells_of_endpoint);
            Finished { settle, delivery, trigger, tells_of_endpoint, is_settled: false }
        };
        going.into_iter().map(end).collect()
    }

    /// What follows for a delivery of which no attempt is to be made.
    fn without_attempt(&self, trigger: &Trigger, claimed: &Claimed) -> Option<Settlement> {
        let number = claimed.delivery.attempts;
        let policy = &trigger.spec.policy;
        // More attempts were begun than there are: their outcomes were lost, one crash after another.
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

    /// Tells the endpoint's gate what came of an attempt, or that none was made.
    pub(super) fn report(&self, finished: &[Finished], slot: Slot) {
        let mut telling = finished.iter().filter(|one| one.tells_of_endpoint);
        match telling.find_map(|one| one.settle.attempts.last()) {
            Some(Attempt { outcome: Outcome::Accepted, .. }) => {
                slot.end(&Outcome::Accepted, true, 0.0);
            }
            Some(attempt) => {
                let said = matches!(attempt.outcome, Outcome::Throttled { .. } | Outcome::Invalid);
                let answered = attempt.status.is_some() || said;
                slot.end(&attempt.outcome, answered, self.entropy.fraction());
            }
            None => slot.unused(),
        }
    }

    /// The trigger of a delivery; without one, what follows. One that the index does not have may be
    /// new, of another node.
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
            None => Err(Settlement::Cancelled),
        })
    }

    /// Makes the attempt, within its time and whatever it does.
    async fn guarded(
        &self,
        trigger: &Trigger,
        going: &[Claimed],
        request: Option<Request>,
        credentials: &Credentials,
    ) -> Made {
        let number = going[0].delivery.attempts;
        let started_at = self.clock.now();
        let observed: Vec<_> =
            going.iter().map(|claimed| self.observe_attempt(claimed, started_at)).collect();
        let leases: Vec<Lease> = going.iter().map(|claimed| claimed.lease).collect();
        let timeout = self.timeout_of(trigger);
        let attempt = self.make(trigger, going, request, credentials, started_at);
        let attempt = AssertUnwindSafe(attempt).catch_unwind();
        let made = match self.within(&leases, timeout + GRACE, attempt).await {
            Some(Ok(made)) => made,
            Some(Err(_)) => Attempt::new(number, started_at, self.clock.now(), Outcome::Transient)
                .with_error("the handler panicked")
                .into(),
            None => {
                let answer = Err(DeliverError::Timeout { after: timeout });
                let attempt = Attempt::answered(number, started_at, self.clock.now(), &answer);
                // Where it takes a token, that may be what was waited for.
                let tells_of_endpoint = !matches!(credentials.auth, Some(EndpointAuth::OAuth2(_)));
                Made { attempt, tells_of_endpoint }
            }
        };
        for observed in observed {
            observed.ended(&made.attempt);
        }
        made
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

    /// Waits for an attempt to end within its time, and extends its leases if they may run out before;
    /// `None` if the time is up, or others have them all.
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
        credentials: &Credentials,
        started_at: Timestamp,
    ) -> Made {
        let number = going[0].delivery.attempts;
        match (&trigger.spec.target, request) {
            (Target::Webhook(_), None) => unreachable!("a webhook's request was made"),
            (Target::Webhook(endpoint), Some(request)) => {
                let answer = self.exchange(trigger, endpoint, request, credentials).await;
                answered(number, started_at, self.clock.now(), answer)
            }
            (Target::Action(target), _) => {
                let answer = self.act(target, &going[0]).await;
                acted(number, started_at, self.clock.now(), answer).into()
            }
        }
    }

    async fn act(&self, target: &ActionTarget, claimed: &Claimed) -> Result<String, ActionError> {
        let Some(action) = self.actions.get(&target.name) else {
            let reason = format!("no action {:?} is registered here", target.name);
            return Err(ActionError::Transient(reason));
        };
        let event = Event::from_json(&claimed.payload.body).map_err(|problems| {
            ActionError::Permanent(format!("the event is damaged: {problems}"))
        })?;
        let delivery = &claimed.delivery;
        let mut call = ActionCall::new(event, delivery.trigger).with_config(target.config.clone());
        call.message_id = delivery.message_id;
        call.attempt = delivery.attempts;
        action.run(call).await
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
    ended_at: Timestamp,
    answer: Result<Result<Response, DeliverError>, NoToken>,
) -> Made {
    match answer {
        Ok(answer) => Attempt::answered(number, started_at, ended_at, &answer).into(),
        Err(NoToken { outcome, reason }) => {
            let attempt = Attempt::new(number, started_at, ended_at, outcome).with_error(reason);
            Made { attempt, tells_of_endpoint: false }
        }
    }
}

fn acted(
    number: u32,
    started_at: Timestamp,
    ended_at: Timestamp,
    answer: Result<String, ActionError>,
) -> Attempt {
    let attempt = |outcome| Attempt::new(number, started_at, ended_at, outcome);
    match answer {
        Ok(note) => attempt(Outcome::Accepted).with_response(note.as_bytes()),
        Err(error) => {
            let outcome = match &error {
                ActionError::Transient(_) => Outcome::Transient,
                ActionError::Throttled { retry_after, .. } => {
                    Outcome::Throttled { retry_after: Some(*retry_after) }
                }
                ActionError::Permanent(_) => Outcome::Invalid,
            };
            attempt(outcome).with_error(error.to_string())
        }
    }
}
