//! Attempt: one try of a delivery, from the lease to what follows.
//!
//! In: a claimed delivery. Out: [`Finished`], to be settled. Whatever happens here, a panic in a
//! deliverer or a trigger that is gone, ends in one.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};

use super::Core;
use super::gate::Slot;
use crate::action::{ActionCall, ActionError};
use crate::clock::Timestamp;
use crate::deliverer::DeliverError;
use crate::delivery::{
    Attempt, Claimed, DeadReason, Delivery, Lease, Outcome, Settlement, Settling,
};
use crate::event::Event;
use crate::request::{Headers, Request};
use crate::signature::{Message, standard_webhooks};
use crate::storage::{Settle, Settled, StorageError};
use crate::trigger::{ActionTarget, Endpoint, Target, Trigger};

/// How much longer than its time-out the engine waits for an attempt.
const GRACE: Duration = Duration::from_millis(500);

/// An attempt that ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) settle: Settle,
    /// The delivery as it was claimed.
    pub(super) delivery: Delivery,
    /// The trigger, if it was there to be attempted or to end.
    pub(super) trigger: Option<Arc<Trigger>>,
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
        Self { settle, delivery, trigger: None, is_settled: false }
    }
}

impl Core {
    /// Tries a delivery.
    pub(super) async fn attempt(&self, claimed: Claimed) -> Finished {
        let without_attempt = |settlement| {
            Finished::without_attempt(claimed.lease, claimed.delivery.clone(), settlement)
        };
        let trigger = match self.trigger_of(&claimed.delivery).await {
            Ok(Ok(trigger)) => trigger,
            Ok(Err(without)) => return without_attempt(without),
            Err(_) => {
                let at = self.clock.now() + self.options.refresh;
                return without_attempt(Settlement::Released { at });
            }
        };
        if trigger.suspended.is_some() || !trigger.spec.enabled {
            return without_attempt(Settlement::Parked);
        }
        self.attempt_with(trigger, claimed).await
    }

    /// Tries a delivery of a trigger that is at work.
    pub(super) async fn attempt_with(&self, trigger: Arc<Trigger>, claimed: Claimed) -> Finished {
        let without_attempt = |settlement| {
            Finished::without_attempt(claimed.lease, claimed.delivery.clone(), settlement)
        };
        let number = claimed.delivery.attempts;
        let policy = &trigger.spec.policy;
        // More attempts were begun than there are: their outcomes were lost, one crash after another.
        if number > 1 && policy.retry.pause_after(number - 1).is_none() {
            let settlement = Settlement::Dead(DeadReason::Exhausted);
            return Finished { trigger: Some(trigger), ..without_attempt(settlement) };
        }
        if policy.is_too_old(claimed.delivery.created_at, self.clock.now()) {
            let settlement = Settlement::Dead(DeadReason::TooOld);
            return Finished { trigger: Some(trigger), ..without_attempt(settlement) };
        }
        // The claim was answered late, or the process stood still. Another may be at work on it; if
        // not, it is given at once.
        let now = self.clock.now();
        if claimed.delivery.state.claimable_at().is_some_and(|end| end <= now) {
            return without_attempt(Settlement::Released { at: now });
        }
        let attempt = self.guarded(&trigger, &claimed).await;
        let settling = Settling {
            number,
            outcome: &attempt.outcome,
            status: attempt.status,
            created_at: claimed.delivery.created_at,
        };
        let settlement = policy.settle(&settling, attempt.ended_at, self.entropy.fraction());
        let attempts = vec![attempt];
        let settle = Settle { lease: claimed.lease, settlement, attempts, records: Vec::new() };
        let delivery = claimed.delivery;
        Finished { settle, delivery, trigger: Some(trigger), is_settled: false }
    }

    /// Tells the endpoint's gate what came of an attempt, or that none was made.
    pub(super) fn report(&self, finished: &Finished, slot: Slot) {
        match finished.settle.attempts.last() {
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
    async fn guarded(&self, trigger: &Trigger, claimed: &Claimed) -> Attempt {
        let number = claimed.delivery.attempts;
        let started_at = self.clock.now();
        let observed = self.observe_attempt(claimed, started_at);
        let timeout = self.timeout_of(trigger);
        let attempt = self.make(trigger, claimed, timeout, started_at);
        let attempt = AssertUnwindSafe(attempt).catch_unwind();
        let attempt = match self.within(claimed.lease, timeout + GRACE, attempt).await {
            Some(Ok(attempt)) => attempt,
            Some(Err(_)) => Attempt::new(number, started_at, self.clock.now(), Outcome::Transient)
                .with_error("the handler panicked"),
            None => {
                let answer = Err(DeliverError::Timeout { after: timeout });
                Attempt::answered(number, started_at, self.clock.now(), &answer)
            }
        };
        observed.ended(&attempt);
        attempt
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

    /// Waits for an attempt to end within its time, and extends its lease if that may run out before;
    /// `None` if the time is up, or another worker has the lease.
    async fn within<T>(
        &self,
        lease: Lease,
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
            if left.is_zero() || !self.extend(lease).await {
                return None;
            }
        }
    }

    /// Makes a lease last as long again from now on; tells whether it may still be held.
    async fn extend(&self, lease: Lease) -> bool {
        let now = self.clock.now();
        let settlement = Settlement::Extended { until: now + self.options.lease };
        let settle = Settle { lease, settlement, attempts: Vec::new(), records: Vec::new() };
        // A storage that does not answer now may do so before the lease runs out.
        !matches!(self.storage.settle(vec![settle], now).await.as_deref(), Ok([Settled::LeaseLost]))
    }

    async fn make(
        &self,
        trigger: &Trigger,
        claimed: &Claimed,
        timeout: Duration,
        started_at: Timestamp,
    ) -> Attempt {
        let number = claimed.delivery.attempts;
        match &trigger.spec.target {
            Target::Webhook(endpoint) => {
                let request = signed_request(endpoint, claimed, timeout, started_at);
                let answer = self.deliverer.deliver(request).await;
                Attempt::answered(number, started_at, self.clock.now(), &answer)
            }
            Target::Action(target) => {
                let answer = self.act(target, claimed).await;
                acted(number, started_at, self.clock.now(), answer)
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

/// The request of an attempt: signed first, so that no other field can stand before the signature.
pub(super) fn signed_request(
    endpoint: &Endpoint,
    claimed: &Claimed,
    timeout: Duration,
    timestamp: Timestamp,
) -> Request {
    let id = claimed.delivery.message_id.to_string();
    let message = Message { id: &id, timestamp, body: &claimed.payload.body };
    let mut headers: Headers =
        standard_webhooks::sign(&endpoint.secrets, &message).into_iter().collect();
    headers.extend(
        claimed.payload.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
    );
    headers.extend(endpoint.headers.iter());
    Request { url: endpoint.url.clone(), headers, body: claimed.payload.body.clone(), timeout }
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
