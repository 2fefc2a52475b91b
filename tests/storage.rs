//! The storage contract, rule by rule, for each storage of the crate and the example's; what only SQLite promises; and
//! random calls that SQLite has to answer as the model does.

#[path = "../examples/own_storage"]
mod example {
    mod change;
    mod content;
    mod journal;
    pub(crate) mod storage;
}
#[macro_use]
#[path = "storage/rules.rs"]
mod rules;
#[path = "storage/batches.rs"]
mod batches;
#[cfg(feature = "sqlite")]
#[path = "storage/model.rs"]
mod model;
#[cfg(feature = "sqlite")]
#[path = "storage/only_sqlite.rs"]
mod only_sqlite;
#[cfg(feature = "sqlite")]
#[path = "storage/operating.rs"]
mod operating;
#[path = "storage/order.rs"]
mod order;
#[path = "storage/retention.rs"]
mod retention;
#[cfg(feature = "postgres")]
#[path = "postgres/server.rs"]
mod server;

use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{
    Attempt, Claimed, Delivery, EndpointKey, Lease, OnDead, Outcome, Settlement, StateName, Turn,
};
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::id::{EventId, OrderingKey, TriggerId};
use artifact_triggers::payload::{PayloadFormat, TriggerName};
use artifact_triggers::storage::{
    Claim, ClaimOf, Companions, CursorMove, DeliveryQuery, Fate, MemoryStorage, NewEvent, Prune,
    Record, Replay, Settle, Settled, Storage,
};
use artifact_triggers::trigger::Trigger;

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000) + Duration::from_secs(seconds)
}

fn trigger_id(n: u8) -> TriggerId {
    TriggerId::derived(at(0), &[&[n]])
}

fn event(n: u32) -> Event {
    let artifact = Artifact::new("generic", format!("artifact-{n}"));
    let source = artifact_triggers::event::Source::new("test").with_id(n.to_string());
    Event::builder(EventKind::ARTIFACT_INGESTED)
        .source(source)
        .scope("acme/x".parse().unwrap())
        .occurred_at(at(n.into()))
        .artifact(artifact)
        .build_at(at(n.into()), &artifact_triggers::entropy::OsEntropy)
        .unwrap()
}

/// An event with a delivery to each of some triggers, each with an endpoint of its own.
fn record(n: u32, triggers: &[u8]) -> Record {
    let new = NewEvent::of(event(n));
    let event = &new.event;
    let deliveries = triggers.iter().map(|trigger| {
        let id = trigger_id(*trigger);
        let endpoint = EndpointKey::new(format!("https://{trigger}.example"));
        let scope = "acme".parse().unwrap();
        let delivery = Delivery::new(event.id, id, scope, endpoint, at(n.into()));
        let name = TriggerName { id, name: "t" };
        (delivery, PayloadFormat::Native.render(event, &new.json, name))
    });
    let deliveries = deliveries.collect();
    Record::of_event(new, deliveries)
}

/// An event with one delivery to a trigger that has an order.
fn in_order(n: u32, key: u8, on_dead: OnDead) -> Record {
    let mut record = record(n, &[1]);
    let key = OrderingKey::derived(at(0), &[&[key]]);
    record.deliveries[0].0.turn = Some(Turn { key, on_dead });
    record
}

/// What makes deliveries of a selection wait again at a time, as they were.
fn again(query: DeliveryQuery, due: Timestamp) -> Replay {
    let fate = Fate::Again { due, spacing: Duration::ZERO, new_message_ids: false };
    Replay { query, unchanged_since: None, now: due, fate }
}

fn everything() -> DeliveryQuery {
    DeliveryQuery::of_scope(Scope::root())
}

fn claim(now: Timestamp, limit: usize) -> Claim {
    let (per_endpoint, quotas, of) = (usize::MAX, Vec::new(), ClaimOf::Endpoints);
    Claim { now, due_by: now, lease: MINUTE, limit, per_endpoint, quotas, of }
}

async fn take(storage: &dyn Storage, now: Timestamp, limit: usize) -> Vec<Claimed> {
    storage.claim(claim(now, limit)).await.unwrap().deliveries
}

fn settle(lease: Lease, settlement: Settlement, number: u32) -> Settle {
    let attempt = Attempt::new(number, at(1), at(2), Outcome::Transient).with_status(500);
    Settle { lease, settlement, attempts: vec![attempt], records: Vec::new() }
}

async fn settle_one(storage: &dyn Storage, lease: Lease, settlement: Settlement) -> Settled {
    storage.settle(vec![settle(lease, settlement, 1)], at(900)).await.unwrap()[0]
}

async fn states(storage: &dyn Storage) -> Vec<StateName> {
    let deliveries = storage.deliveries(everything()).await.unwrap().items;
    deliveries.iter().map(|delivery| delivery.state.name()).collect()
}

fn spec(name: &str) -> artifact_triggers::trigger::TriggerSpec {
    Trigger::builder(name).on(EventKind::PING).action("a").build().unwrap()
}

fn trigger(n: u8, name: &str) -> Arc<Trigger> {
    Arc::new(Trigger::new(trigger_id(n), spec(name), at(0)))
}
fn set(key: &str, expected: Option<&str>, value: Option<&str>) -> CursorMove {
    let own = |text: Option<&str>| text.map(str::to_owned);
    CursorMove::Set { key: key.to_owned(), expected: own(expected), value: own(value) }
}

contract!(memory, (MemoryStorage::new(), ()));

#[cfg(feature = "sqlite")]
contract!(sqlite, only_sqlite::temporary());

#[cfg(feature = "postgres")]
contract!(postgres, (fresh_postgres().await, ()));

/// An empty storage that goes by the time of its callers.
#[cfg(feature = "postgres")]
async fn fresh_postgres() -> artifact_triggers::storage::postgres::PostgresStorage {
    use artifact_triggers::storage::postgres::{PostgresStorage, TimeSource};
    let options = server::options().with_time(TimeSource::Caller);
    PostgresStorage::connect(&server::url(), &options).await.unwrap()
}

// What integrators copy from keeps the contract too.
contract!(own_storage, {
    let folder = tempfile::tempdir().unwrap();
    (example::storage::LogStorage::open(folder.path().join("log.jsonl")).unwrap(), folder)
});
