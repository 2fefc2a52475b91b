//! Act: an attempt by an action, and what it gives back.
//!
//! In: a claimed delivery of a trigger with an action. Out: the attempt, with the events that the
//! action told, checked and ready to be recorded. They are recorded with the settlement, in one
//! write: a crash in between tells nothing and loses nothing.

use super::Core;
use super::attempt::Made;
use crate::action::{ActionCall, ActionError, Done, RunRef};
use crate::clock::Timestamp;
use crate::delivery::{Attempt, Claimed, Outcome};
use crate::event::{Event, EventBuilder, MAX_EVENT_BYTES};
use crate::id::EventId;
use crate::storage::NewEvent;
use crate::trigger::ActionTarget;

/// What an action did, as far as it can be written down.
struct Acted {
    text: String,
    run: Option<RunRef>,
    events: Vec<NewEvent>,
}

impl Core {
    /// Has an action handle a delivery.
    pub(super) async fn act(
        &self,
        target: &ActionTarget,
        claimed: &Claimed,
        started_at: Timestamp,
    ) -> Made {
        let acted = self.acted(target, claimed).await;
        let ended_at = self.clock.now();
        let attempt =
            |outcome| Attempt::new(claimed.delivery.attempts, started_at, ended_at, outcome);
        match acted {
            Ok(Acted { text, run, events }) => {
                let mut attempt = attempt(Outcome::Accepted).with_response(text.as_bytes());
                attempt.run = run.filter(|run| !run.is_empty());
                Made { events, ..attempt.into() }
            }
            Err(error) => attempt(outcome_of(&error)).with_error(error.to_string()).into(),
        }
    }

    async fn acted(&self, target: &ActionTarget, claimed: &Claimed) -> Result<Acted, ActionError> {
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
        let correlation = call.correlation();
        let Done { text, events, run } = action.run(call).await?;
        let told = events.into_iter().zip(0_u32..).map(|(event, place)| {
            // A replay with a new message does it all again, and says so.
            let parts = [&b"action"[..], delivery.message_id.as_bytes(), &place.to_be_bytes()];
            let id = EventId::derived(delivery.created_at, &parts);
            let event = event.caused_by(correlation.clone());
            if event.has_own_id() { event } else { event.id(id) }
        });
        let events = self.told(told.collect()).map_err(ActionError::Permanent)?;
        Ok(Acted { text, run, events })
    }

    /// The events that an action told, within their limits.
    fn told(&self, events: Vec<EventBuilder>) -> Result<Vec<NewEvent>, String> {
        let (found, most) = (events.len(), Done::MAX_EVENTS);
        if found > most {
            return Err(format!("events: expected at most {most}, found {found}"));
        }
        let mut told = Vec::with_capacity(found);
        let mut bytes = 0;
        for (place, event) in events.into_iter().enumerate() {
            let at = |problems| format!("events[{place}]: {problems}");
            let event = event.build_at(self.clock.now(), &*self.entropy).map_err(at)?;
            let new = self.within_limits(event).map_err(at)?;
            bytes += new.json().len();
            told.push(new);
        }
        if bytes > MAX_EVENT_BYTES {
            let expected = format!("expected at most {MAX_EVENT_BYTES} bytes of JSON in all");
            return Err(format!("events: {expected}, found {bytes}"));
        }
        Ok(told)
    }
}

fn outcome_of(error: &ActionError) -> Outcome {
    match error {
        ActionError::Transient(_) => Outcome::Transient,
        ActionError::Throttled { retry_after, .. } => {
            Outcome::Throttled { retry_after: Some(*retry_after) }
        }
        ActionError::Permanent(_) => Outcome::Invalid,
    }
}
