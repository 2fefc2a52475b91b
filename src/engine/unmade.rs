//! Unmade: deliveries whose request could not be made when they were.
//!
//! In: a claimed delivery of a template that could make nothing of its event. Out: the same with
//! what the trigger makes of the event now, or a dead letter that says why that is nothing. No
//! endpoint was asked for it; once the template is mended, a replay makes the request.

use std::sync::Arc;

use super::Core;
use super::attempt::Finished;
use crate::delivery::{Attempt, Claimed, DeadReason, Outcome, Settlement};
use crate::document::Problems;
use crate::event::Event;
use crate::payload::{Payload, TriggerName};
use crate::trigger::{Target, Trigger};

/// The most that templates make of one event before it is stored, in bytes.
const MAX_MADE_BYTES: usize = 64 * 1024 * 1024;
/// What each counts for at least, since it takes time too.
const LEAST_MADE_BYTES: usize = 64 * 1024;

/// How much templates may still make of an event while somebody waits for it to be stored. What is
/// beyond that is made when it is sent.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    pub(super) fn new() -> Self {
        Self(MAX_MADE_BYTES)
    }
}

/// What a trigger sends of an event, as long as there is room for it.
pub(super) fn payload_in(
    room: &mut Room,
    event: &Event,
    json: &[u8],
    trigger: &Trigger,
) -> Payload {
    let is_template = matches!(&trigger.spec.target, Target::Webhook(endpoint)
        if endpoint.format.is_template());
    if !is_template {
        return payload(event, json, trigger);
    }
    if room.0 == 0 {
        return Payload::of_unmade(json, "it is made when it is sent");
    }
    let payload = payload(event, json, trigger);
    room.0 = room.0.saturating_sub(payload.body.len().max(LEAST_MADE_BYTES));
    payload
}

/// What a trigger sends of an event.
fn payload(event: &Event, json: &[u8], trigger: &Trigger) -> Payload {
    match &trigger.spec.target {
        Target::Webhook(endpoint) => {
            let name = TriggerName { id: trigger.id, name: &trigger.spec.name };
            endpoint.format.render(event, json, name).with_hops(event, trigger.id)
        }
        Target::Action(_) => Payload::of_action(json),
    }
}

impl Core {
    /// Makes what is to go, where it is not made yet. What cannot be made ends here.
    pub(super) fn make_unmade(
        &self,
        trigger: &Arc<Trigger>,
        going: Vec<Claimed>,
        finished: &mut Vec<Finished>,
    ) -> Vec<Claimed> {
        let make = |mut claimed: Claimed| {
            if claimed.payload.unmade().is_some() {
                match remade(&claimed.payload, trigger) {
                    Ok(payload) => claimed.payload = payload,
                    Err(why) => {
                        finished.push(self.never_made(trigger, claimed, &why));
                        return None;
                    }
                }
            }
            Some(claimed)
        };
        going.into_iter().filter_map(make).collect()
    }

    /// The end of a delivery of which nothing can be made.
    fn never_made(&self, trigger: &Arc<Trigger>, claimed: Claimed, why: &str) -> Finished {
        let now = self.clock.now();
        let Claimed { lease, delivery, .. } = claimed;
        let attempt = Attempt::new(delivery.attempts, now, now, Outcome::Invalid).with_error(why);
        let settlement = Settlement::Dead(DeadReason::Invalid);
        let mut finished = Finished::without_attempt(lease, delivery, settlement);
        finished.settle.attempts.push(attempt);
        finished.trigger = Some(trigger.clone());
        finished
    }
}

/// What a trigger makes now of what nothing could be made of.
fn remade(unmade: &Payload, trigger: &Trigger) -> Result<Payload, String> {
    let damaged = |problems: Problems| format!("the event is damaged: {problems}");
    let event = Event::from_json(&unmade.body).map_err(damaged)?;
    let payload = payload(&event, &unmade.body, trigger);
    match payload.unmade() {
        Some(why) => Err(format!("the template: {why}")),
        None => Ok(payload),
    }
}

#[cfg(all(test, feature = "template"))]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use crate::id::TriggerId;
    use crate::payload::{PayloadFormat, Template};

    #[test]
    fn what_many_templates_make_of_one_event_is_left_until_it_is_sent() {
        let format = PayloadFormat::Template(Template::new("{{ event.kind }}"));
        let spec = Trigger::builder("t")
            .on(EventKind::PING)
            .unsigned_webhook("https://a.example/")
            .format(format);
        let event = Event::sample(EventKind::PING);
        let id = TriggerId::derived(event.occurred_at, &[]);
        let trigger = Trigger::new(id, spec.build().unwrap(), event.occurred_at);
        let mut room = Room(LEAST_MADE_BYTES + 1);
        let json = event.to_json();
        let mut next = || payload_in(&mut room, &event, &json, &trigger);
        let (first, second, third) = (next(), next(), next());
        assert_eq!((&*first.body, first.unmade()), (&b"\"ping\""[..], None));
        assert_eq!(second, first);
        assert_eq!(third.unmade(), Some("it is made when it is sent"));
        assert_eq!(remade(&third, &trigger), Ok(first));
    }
}
