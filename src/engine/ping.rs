//! Ping: tests a trigger by a synthetic event, and shows what would be sent without sending.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::observe::Publishing;
use super::place::Place;
use super::unmade::Room;
use super::{Core, Engine, PublishError};
use crate::clock::Timestamp;
use crate::delivery::{Attempt, CancelReason, Claimed, Lease, RetrySchedule, Settlement, State};
use crate::event::{Event, EventKind, Scope, Source};
use crate::id::{DeliveryId, EventId, TriggerId};
use crate::observer::Publisher;
use crate::request::Request;
use crate::storage::{Claim, ClaimOf, NewEvent, Record, StorageError};
use crate::trigger::{ENGINE, Target, Trigger};

/// How long a ping's delivery is left to the one who pings, before a run may take it.
const OWN_TIME: Duration = Duration::from_secs(3_600);

/// What came of a [ping](Engine::ping).
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Pinged {
    /// The event, of kind `ping`.
    pub event: EventId,
    /// Its delivery, which is in the history with its log.
    pub delivery: DeliveryId,
    /// The attempt.
    pub attempt: Attempt,
}

/// Why a trigger could not be pinged or shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// There is no such trigger at or below the scope.
    #[error("trigger {id} does not exist")]
    NoTrigger {
        /// The id that was asked for.
        id: TriggerId,
    },
    /// The ping could not be stored. Nothing was sent, or its outcome is not written down.
    #[error("the ping could not be stored")]
    Storage(#[from] StorageError),
    /// The trigger's template makes nothing of the event.
    #[error("the template makes no request: {reason}")]
    Unmade {
        /// Why, with the path of the text.
        reason: String,
    },
    /// There are too many [pings](crate::engine::EngineOptions::pings) under way, or events on
    /// their way into the storage.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Engine {
    /// Sends a synthetic event of kind `ping` to a trigger, the whole way: stored, signed,
    /// attempted once and logged, whatever the trigger's filter and schedule say, whether it is
    /// enabled, and whatever the limits, breaker or pause of its endpoint are. Answers with what
    /// came of it, which neither ends nor lengthens a span of failure of the trigger.
    ///
    /// # Errors
    /// [`PingError`].
    ///
    /// # Cancel safety
    /// If it is dropped, the ping may have been sent; a run takes what is left of it after about an
    /// hour, like any delivery of the trigger.
    pub async fn ping(&self, scope: &Scope, id: TriggerId) -> Result<Pinged, PingError> {
        let trigger = self.trigger(scope, id).ok_or(PingError::NoTrigger { id })?;
        let _place = self.core.place(&self.core.pinging, 1).await?;
        let claimed = {
            let _room = self.core.room(1).await?;
            self.core.record_ping(&trigger).await?
        };
        let (event, delivery) = (claimed.delivery.event, claimed.delivery.id);
        let (once, mut place) = (once(&trigger), Place::Unlimited);
        let mut finished = self.core.attempt_with(once, vec![claimed], &mut place).await;
        // What could not be tried now, such as one that could not be signed, is not sent later.
        for one in finished.iter_mut().filter(|one| one.settle.attempts.is_empty()) {
            one.settle.settlement = Settlement::Cancelled(CancelReason::NotSent);
        }
        let attempt = finished.iter().find_map(|one| one.settle.attempts.first().cloned());
        let settled = self.core.settle(finished).await;
        settled.map_err(|_| lost("the storage did not take the ping's outcome"))?;
        let attempt = attempt.ok_or_else(|| lost("no attempt was made"))?;
        Ok(Pinged { event, delivery, attempt })
    }

    /// What a trigger would send of an event, signed as of now; nothing is stored or sent, and
    /// nobody is asked: what takes a [signer](crate::engine::EngineBuilder::signer), a secret
    /// provider or a token endpoint is left out. The request holds credentials: show its body, and
    /// of its fields the names. `None` for a trigger with an action. Whether the trigger wants the
    /// event is for [`explain`](Self::explain) to say.
    ///
    /// # Errors
    /// [`PingError::NoTrigger`], [`PingError::Unmade`].
    pub fn preview(
        &self,
        scope: &Scope,
        id: TriggerId,
        event: Event,
    ) -> Result<Option<Request>, PingError> {
        let trigger = self.trigger(scope, id).ok_or(PingError::NoTrigger { id })?;
        let (delivery, payload) =
            self.core.delivery(&NewEvent::of(event), &trigger, &mut Room::new());
        if let Some(reason) = payload.unmade() {
            return Err(PingError::Unmade { reason: reason.to_owned() });
        }
        let lease = Lease { delivery: delivery.id, token: 0 };
        let now = self.core.clock.now();
        let claimed = [Claimed { lease, delivery, payload, due: now }];
        Ok(self.core.shown_request(&trigger, &claimed, now))
    }
}

impl Core {
    /// Stores a ping and takes its delivery under a lease.
    async fn record_ping(&self, trigger: &Trigger) -> Result<Claimed, PingError> {
        let now = self.clock.now();
        let event = Event::builder(EventKind::PING)
            .scope(trigger.spec.scope.clone())
            .source(Source::new(ENGINE))
            .attribute("trigger", trigger.id.to_string())
            .build_at(now, &*self.entropy);
        let event = event.expect("what a ping tells is short");
        let new = NewEvent::of(with_sample(event, trigger));
        let (mut delivery, payload) = self.delivery(&new, trigger, &mut Room::new());
        let due = now + OWN_TIME;
        (delivery.turn, delivery.batched) = (None, false);
        let delivery = delivery.with_state(State::Waiting { due });
        let id = delivery.id;
        let by = Publishing { by: Publisher::Engine, since: now };
        self.record(vec![Record::of_event(new, vec![(delivery, payload)])], by).await?;
        self.claim_one(id, now, due).await?.ok_or_else(|| lost("another took the ping").into())
    }

    /// Takes one delivery under a lease, as if it were the time when it is due.
    async fn claim_one(
        &self,
        id: DeliveryId,
        now: Timestamp,
        due_by: Timestamp,
    ) -> Result<Option<Claimed>, StorageError> {
        let (lease, of) = (self.options.lease, ClaimOf::One(id));
        let (limit, per_endpoint, quotas) = (1, 1, Vec::new());
        let claim = Claim { now, due_by, lease, limit, per_endpoint, quotas, of };
        Ok(self.storage.claim(claim).await?.deliveries.pop())
    }
}

/// The trigger as a ping attempts it: once, and enabled.
fn once(trigger: &Trigger) -> Arc<Trigger> {
    let mut trigger = trigger.clone();
    trigger.spec.policy.retry = RetrySchedule::never();
    trigger.spec.policy.max_age = None;
    trigger.spec.policy.disable_after = None;
    trigger.spec.enabled = true;
    trigger.suspended = None;
    Arc::new(trigger)
}

/// A ping with what the template of a trigger may ask for, of the kind that it gets otherwise.
fn with_sample(mut ping: Event, trigger: &Trigger) -> Event {
    let mut known = EventKind::KNOWN.iter();
    let wanted = |kind: &&EventKind| trigger.spec.kinds.iter().any(|one| one.matches(kind));
    if let Target::Webhook(endpoint) = &trigger.spec.target
        && endpoint.format.as_str() == "template"
        && let Some(kind) = known.find(wanted)
    {
        let sample = Event::sample(kind.clone());
        (ping.artifact, ping.from) = (sample.artifact, sample.from);
        (ping.actor, ping.data) = (sample.actor, sample.data);
        ping.attributes.extend(sample.attributes);
    }
    ping
}

fn lost(reason: &str) -> StorageError {
    StorageError::Unavailable { reason: reason.to_owned() }
}
