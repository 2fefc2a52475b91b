//! Events, deliveries and claims to test with, at the true time.

use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Attempt, Claimed, Delivery, EndpointKey, Outcome, Settlement};
use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::id::TriggerId;
use artifact_triggers::payload::Payload;
use artifact_triggers::storage::postgres::PostgresStorage;
use artifact_triggers::storage::{
    Claim, ClaimOf, DeliveryQuery, NewEvent, Record, Settle, Settled, Storage as _,
};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// An event with a delivery to an endpoint, made at a time.
pub(crate) fn record(endpoint: u32, now: Timestamp) -> Record {
    let event = Event::builder(EventKind::ARTIFACT_INGESTED)
        .scope("acme".parse().unwrap())
        .artifact(Artifact::new("generic", "a"))
        .build()
        .unwrap();
    let trigger = TriggerId::derived(Timestamp::UNIX_EPOCH, &[&endpoint.to_le_bytes()]);
    let key = EndpointKey::new(format!("https://{endpoint}.example"));
    let delivery = Delivery::new(event.id, trigger, event.scope.clone(), key, now);
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let payload = Payload { headers, body: vec![b'x'; 200].into() };
    Record::of_event(NewEvent::of(event), vec![(delivery, payload)])
}

pub(crate) fn claim(now: Timestamp, limit: usize) -> Claim {
    let (per_endpoint, quotas, of) = (usize::MAX, Vec::new(), ClaimOf::Endpoints);
    Claim { now, due_by: now, lease: MINUTE, limit, per_endpoint, quotas, of }
}

pub(crate) async fn take(storage: &PostgresStorage, now: Timestamp, limit: usize) -> Vec<Claimed> {
    storage.claim(claim(now, limit)).await.unwrap().deliveries
}

pub(crate) async fn settle(
    storage: &PostgresStorage,
    claimed: &Claimed,
    settlement: Settlement,
    now: Timestamp,
) -> Settled {
    let attempt = Attempt::new(claimed.delivery.attempts, now, now, Outcome::Transient);
    let (lease, attempts, records) = (claimed.lease, vec![attempt], Vec::new());
    storage.settle(vec![Settle { lease, settlement, attempts, records }], now).await.unwrap()[0]
}

pub(crate) fn everything() -> DeliveryQuery {
    DeliveryQuery::of_scope("acme".parse().unwrap()).with_limit(100_000)
}
