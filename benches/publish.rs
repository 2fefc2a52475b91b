//! Events matched and recorded per second, beside the same rows written straight through rusqlite.
//!
//! `cargo bench --bench publish`

use std::sync::Arc;
use std::time::Instant;

use artifact_triggers::delivery::{Delivery, EndpointKey};
use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::payload::{PayloadFormat, TriggerName};
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::sqlite::SqliteStorage;
use artifact_triggers::trigger::Trigger;
use rusqlite::{Connection, params};
use tempfile::TempDir;

const ROUNDS: usize = 7;
const EVENTS: usize = 10_000;
const BATCH: usize = 100;
const PUBLISHERS: usize = 64;
const TRIGGERS: usize = 1_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("there are threads");
    let (mut straight, mut batched) = (Vec::new(), Vec::new());
    let (mut straight_shared, mut single) = (Vec::new(), Vec::new());
    // In turns, so that what else the machine does falls on all alike.
    for _ in 0..ROUNDS {
        straight.push(write_straight(BATCH));
        batched.push(runtime.block_on(publish_batches()));
        straight_shared.push(write_straight(PUBLISHERS));
        single.push(runtime.block_on(publish_one_by_one()));
    }
    println!(
        "| events matched and recorded, {TRIGGERS} triggers, SQLite FULL | per second | of the reference | goal |"
    );
    println!("|---|---|---|---|");
    let reference = median(&mut straight);
    println!(
        "| the same rows through rusqlite, {BATCH} a transaction | {reference:.0} | 100 % | |"
    );
    row(&format!("`publish_all` of {BATCH}"), median(&mut batched), reference);
    // No commit can be shared by more than all of the publishers.
    let reference = median(&mut straight_shared);
    println!(
        "| the same rows through rusqlite, {PUBLISHERS} a transaction | {reference:.0} | 100 % | |"
    );
    row(&format!("{PUBLISHERS} publishers of one event each"), median(&mut single), reference);
}

fn row(name: &str, rate: f64, reference: f64) {
    println!("| {name} | {rate:.0} | {:.0} % | ≥ 50 % |", 100.0 * rate / reference);
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "there are few")]
fn per_second(began: Instant) -> f64 {
    EVENTS as f64 / began.elapsed().as_secs_f64()
}

fn event(n: usize) -> Event {
    let artifact = Artifact::new("oci", "app")
        .with_registry("registry.example")
        .with_repository(format!("team-{}/app", n % TRIGGERS))
        .with_tag(format!("v{n}"))
        .with_digest(format!("sha256:{n:064x}"));
    let scope = format!("acme/team-{}", n % TRIGGERS).parse().expect("it is a scope");
    let builder = Event::builder(EventKind::ARTIFACT_INGESTED).scope(scope).artifact(artifact);
    builder.build().expect("it is an event")
}

/// An engine whose triggers each see the events of one team.
async fn engine(folder: &TempDir) -> Engine {
    let storage = SqliteStorage::open(folder.path().join("bench.db")).expect("it can be opened");
    let engine = Engine::builder(storage).build().await.expect("it can be built");
    for n in 0..TRIGGERS {
        let spec = Trigger::builder(format!("team-{n}"))
            .scope(format!("acme/team-{n}").parse().expect("it is a scope"))
            .on(EventKind::ARTIFACT_INGESTED)
            .webhook(format!("https://hooks-{}.example/x", n % 50), SigningSecret::generate())
            .build()
            .expect("it is a trigger");
        engine.create_trigger(spec).await.expect("it can be stored");
    }
    engine
}

async fn publish_batches() -> f64 {
    let folder = tempfile::tempdir().expect("there is room");
    let engine = engine(&folder).await;
    let batches: Vec<Vec<Event>> =
        (0..EVENTS / BATCH).map(|b| (0..BATCH).map(|n| event(b * BATCH + n)).collect()).collect();
    let began = Instant::now();
    for batch in batches {
        let published = engine.publish_all(batch).await.expect("it can be stored");
        assert!(published.iter().all(|one| one.deliveries.len() == 1));
    }
    per_second(began)
}

async fn publish_one_by_one() -> f64 {
    let folder = tempfile::tempdir().expect("there is room");
    let engine = engine(&folder).await;
    let shares: Vec<Vec<Event>> =
        (0..PUBLISHERS).map(|p| (p..EVENTS).step_by(PUBLISHERS).map(event).collect()).collect();
    let began = Instant::now();
    let publishers = shares.into_iter().map(|share| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for event in share {
                assert_eq!(engine.publish(event).await.expect("it is stored").deliveries.len(), 1);
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.expect("it does not panic");
    }
    per_second(began)
}

/// What the storage writes for an event, made before the clock starts.
struct Rows {
    event: Event,
    event_json: Vec<u8>,
    delivery: Delivery,
    headers: String,
    body: Arc<[u8]>,
    endpoint: i64,
}

fn rows(n: usize) -> Rows {
    let event = event(n);
    let event_json = event.to_json();
    let team = n % TRIGGERS;
    let trigger =
        artifact_triggers::id::TriggerId::derived(event.occurred_at, &[&team.to_be_bytes()]);
    let name = TriggerName { id: trigger, name: "team" };
    let payload = PayloadFormat::Native.render(&event, &event_json, name);
    let endpoint = EndpointKey::new(format!("https://hooks-{}.example", team % 50));
    let scope = event.scope.clone();
    let delivery = Delivery::new(event.id, trigger, scope, endpoint, event.received_at);
    let headers = serde_json::to_string(&payload.headers).expect("it is JSON");
    let endpoint = i64::try_from(team % 50).expect("it is small");
    Rows { event, event_json, delivery, headers, body: payload.body, endpoint }
}

/// Writes the same rows into the same tables, as fast as rusqlite can, so many a transaction.
fn write_straight(batch: usize) -> f64 {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("bench.db");
    drop(SqliteStorage::open(&path).expect("it can be opened"));
    let mut connection = Connection::open(&path).expect("it can be opened");
    connection.pragma_update(None, "journal_mode", "WAL").expect("it is SQLite");
    connection.pragma_update(None, "synchronous", "FULL").expect("it is SQLite");
    connection.pragma_update(None, "cache_size", -65_536).expect("it is SQLite");
    let all: Vec<Rows> = (0..EVENTS).map(rows).collect();
    let began = Instant::now();
    for batch in all.chunks(batch) {
        let transaction = connection.transaction().expect("it begins");
        for one in batch {
            write(&transaction, one).expect("it is written");
        }
        transaction.commit().expect("it is on disk");
    }
    per_second(began)
}

fn write(connection: &Connection, rows: &Rows) -> rusqlite::Result<()> {
    let Rows { event, delivery, .. } = rows;
    connection
        .prepare_cached(
            "INSERT INTO events (id, scope, received_at, document) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            event.id.as_bytes(),
            event.scope.as_str(),
            event.received_at.unix_micros(),
            rows.event_json,
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO deliveries (id, message, event, trigger_id, scope, endpoint, state, claim_at,
                 attempts, created_at, changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, 0, ?7, ?7)",
        )?
        .execute(params![
            delivery.id.as_bytes(),
            delivery.message_id.as_bytes(),
            delivery.event.as_bytes(),
            delivery.trigger.as_bytes(),
            delivery.scope.as_str(),
            rows.endpoint,
            delivery.created_at.unix_micros(),
        ])?;
    connection
        .prepare_cached("INSERT INTO payloads (delivery, headers, body) VALUES (?1, ?2, ?3)")?
        .execute(params![connection.last_insert_rowid(), rows.headers, &*rows.body])?;
    Ok(())
}
