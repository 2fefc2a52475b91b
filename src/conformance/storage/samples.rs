//! Samples: what the suite stores, and how it asks.
//!
//! Public, so that a test of what only your storage promises reads as those of the rules do.
//! Numbers tell them apart: event 3 is received in second 3, and goes to trigger 1 at
//! `https://1.example`. The same number gives the same ids each time.

use std::sync::Arc;
use std::time::Duration;

use super::Answer as _;
use crate::clock::Timestamp;
use crate::delivery::{
    Attempt, Claimed, Delivery, EndpointKey, Lease, OnDead, Outcome, Settlement, State, StateName,
    Turn,
};
use crate::entropy::OsEntropy;
use crate::event::{Artifact, Event, EventKind, Scope, Source};
use crate::id::{OrderingKey, TriggerId};
use crate::payload::{PayloadFormat, TriggerName};
use crate::storage::{
    Claim, ClaimOf, Companions, CursorMove, DeliveryQuery, EventQuery, Fate, NewEvent, Record,
    Replay, Settle, Settled, Storage,
};
use crate::trigger::{Trigger, TriggerSpec};

/// How long a lease lasts.
pub const MINUTE: Duration = Duration::from_secs(60);

/// A time, in seconds after the first.
pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000) + Duration::from_secs(seconds)
}

/// The id of a trigger.
pub fn trigger_id(n: u8) -> TriggerId {
    TriggerId::derived(at(0), &[&[n]])
}

/// What a trigger of a name says.
pub fn spec(name: &str) -> TriggerSpec {
    Trigger::builder(name).on(EventKind::PING).action("a").build().expect("it is a good one")
}

/// A trigger of a name, at its first revision.
pub fn trigger(n: u8, name: &str) -> Arc<Trigger> {
    Arc::new(Trigger::new(trigger_id(n), spec(name), at(0)))
}

/// An event of the scope `acme/x`, received in the second of its number.
pub fn event(n: u32) -> Event {
    Event::builder(EventKind::ARTIFACT_INGESTED)
        .source(Source::new("test").with_id(n.to_string()))
        .scope("acme/x".parse().expect("it is a scope"))
        .occurred_at(at(n.into()))
        .artifact(Artifact::new("generic", format!("artifact-{n}")))
        .build_at(at(n.into()), &OsEntropy)
        .expect("it is a good one")
}

/// The endpoint of a trigger.
pub fn endpoint(trigger: u8) -> EndpointKey {
    EndpointKey::new(format!("https://{trigger}.example"))
}

/// An event with a delivery to each of some triggers of the scope `acme`, each with an endpoint of
/// its own, due in the second of the event's number.
pub fn record(n: u32, triggers: &[u8]) -> Record {
    let new = NewEvent::of(event(n));
    let deliveries = triggers.iter().map(|trigger| {
        let id = trigger_id(*trigger);
        let scope = "acme".parse().expect("it is a scope");
        let delivery = Delivery::new(new.event.id, id, scope, endpoint(*trigger), at(n.into()));
        let name = TriggerName { id, name: "t" };
        (delivery, PayloadFormat::Native.render(&new.event, new.json(), name))
    });
    let deliveries = deliveries.collect();
    Record::of_event(new, deliveries)
}

/// An event with one delivery to trigger 1 that has an order.
pub fn in_order(n: u32, key: u8, on_dead: OnDead) -> Record {
    let mut record = record(n, &[1]);
    let key = OrderingKey::derived(at(0), &[&[key]]);
    record.deliveries[0].0.turn = Some(Turn { key, on_dead });
    record
}

/// An event with a delivery to each of some triggers, all with one endpoint, that may go in one
/// request with others and is due at a time.
pub fn batched(n: u32, triggers: &[u8], due: Timestamp) -> Record {
    let mut record = record(n, triggers);
    for (delivery, _) in &mut record.deliveries {
        delivery.batched = true;
        delivery.endpoint = EndpointKey::new("https://shared.example");
        delivery.state = State::Waiting { due };
    }
    record
}

/// Asks for companions of a trigger to that endpoint, however large.
pub fn companions(trigger: u8, until: Timestamp, limit: usize) -> Companions {
    let endpoint = EndpointKey::new("https://shared.example");
    Companions { trigger: trigger_id(trigger), endpoint, until, limit, max_bytes: usize::MAX }
}

/// A move of a cursor.
pub fn set(key: &str, expected: Option<&str>, value: Option<&str>) -> CursorMove {
    let own = |text: Option<&str>| text.map(str::to_owned);
    CursorMove::Set { key: key.to_owned(), expected: own(expected), value: own(value) }
}

/// Asks for what is due of all endpoints, for a [`MINUTE`].
pub fn claim(now: Timestamp, limit: usize) -> Claim {
    let (per_endpoint, quotas, of) = (usize::MAX, Vec::new(), ClaimOf::Endpoints);
    Claim { now, due_by: now, lease: MINUTE, limit, per_endpoint, quotas, of }
}

/// A settlement that logs one attempt.
pub fn settle(lease: Lease, settlement: Settlement, number: u32) -> Settle {
    let attempt = Attempt::new(number, at(1), at(2), Outcome::Transient).with_status(500);
    Settle { lease, settlement, attempts: vec![attempt], records: Vec::new() }
}

/// What makes deliveries of a selection wait again, due at a time.
pub fn again(query: DeliveryQuery, due: Timestamp) -> Replay {
    let fate = Fate::Again { due, spacing: Duration::ZERO, new_message_ids: false };
    Replay { query, unchanged_since: None, now: due, fate }
}

/// The first hundred deliveries.
pub fn everything() -> DeliveryQuery {
    DeliveryQuery::of_scope(Scope::root())
}

/// The first hundred events.
pub fn all_events() -> EventQuery {
    EventQuery::of_scope(Scope::root())
}

/// Claims what is due of all endpoints.
pub async fn take(storage: &dyn Storage, now: Timestamp, limit: usize) -> Vec<Claimed> {
    storage.claim(claim(now, limit)).await.answer().deliveries
}

/// Settles one lease in second 900 and logs an attempt.
pub async fn settle_one(storage: &dyn Storage, lease: Lease, settlement: Settlement) -> Settled {
    storage.settle(vec![settle(lease, settlement, 1)], at(900)).await.answer()[0]
}

/// Where the first hundred deliveries stand, in the order of their ids.
pub async fn states(storage: &dyn Storage) -> Vec<StateName> {
    let deliveries = storage.deliveries(everything()).await.answer().items;
    deliveries.iter().map(|delivery| delivery.state.name()).collect()
}
