//! Events matched and recorded per second, beside the same rows written straight through the client
//! crate.
//!
//! `bash tests/with_postgres cargo bench --features postgres --bench publish`; without the server
//! and the feature, SQLite alone.

mod postgres;
mod sqlite;

use std::sync::Arc;
use std::time::Instant;

use artifact_triggers::delivery::{Delivery, EndpointKey};
use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::payload::{PayloadFormat, TriggerName};
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::Storage;
use artifact_triggers::trigger::Trigger;

#[path = "../database/mod.rs"]
mod database;

const ROUNDS: usize = 7;
const EVENTS: usize = 10_000;
const BATCH: usize = 100;
const PUBLISHERS: usize = 64;
const TRIGGERS: usize = 1_000;
const ENDPOINTS: usize = 50;

fn main() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("there are threads");
    println!("| events matched and recorded, {TRIGGERS} triggers | per second | reached | goal |");
    println!("|---|---|---|---|");
    let rounds: Vec<_> = (0..ROUNDS).map(|_| sqlite::round(&runtime)).collect();
    table("SQLite FULL", "rusqlite", &rounds);
    if database::url().is_none() || !cfg!(feature = "postgres") {
        return println!("{}", database::LEFT_OUT);
    }
    let rounds: Vec<_> = (0..ROUNDS).map(|n| runtime.block_on(postgres::round(n))).collect();
    table("PostgreSQL", "tokio-postgres", &rounds);
}

/// What a round found, per second: the rows alone, `publish_all`, and many publishers. Taken in
/// turns, so that what else the machine does falls on all alike.
type Round = [f64; 3];

fn table(name: &str, client: &str, rounds: &[Round]) {
    let [straight, batched, single] =
        [0, 1, 2].map(|n| median(rounds.iter().map(|round| round[n]).collect()));
    println!(
        "| {name}: the same rows through {client}, {BATCH} a transaction | {straight:.0} | | |"
    );
    for (what, rate) in [
        (format!("`publish_all` of {BATCH}"), batched),
        (format!("{PUBLISHERS} publishers of one event each"), single),
    ] {
        println!("| {name}: {what} | {rate:.0} | {:.0} % | ≥ 50 % |", 100.0 * rate / straight);
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
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
async fn engine(storage: impl Storage) -> Engine {
    let engine = Engine::builder(storage).build().await.expect("it can be built");
    for n in 0..TRIGGERS {
        let host = n % ENDPOINTS;
        let spec = Trigger::builder(format!("team-{n}"))
            .scope(format!("acme/team-{n}").parse().expect("it is a scope"))
            .on(EventKind::ARTIFACT_INGESTED)
            .webhook(format!("https://hooks-{host}.example/x"), SigningSecret::generate())
            .build()
            .expect("it is a trigger");
        engine.create_trigger(spec).await.expect("it can be stored");
    }
    engine
}

async fn publish_batches(engine: &Engine) -> f64 {
    let batches: Vec<Vec<Event>> =
        (0..EVENTS / BATCH).map(|b| (0..BATCH).map(|n| event(b * BATCH + n)).collect()).collect();
    let began = Instant::now();
    for batch in batches {
        let published = engine.publish_all(batch).await.expect("it can be stored");
        assert!(published.iter().all(|one| one.deliveries.len() == 1));
    }
    per_second(began)
}

async fn publish_one_by_one(engine: &Engine) -> f64 {
    let mut shares: Vec<Vec<Event>> = vec![Vec::new(); PUBLISHERS];
    // In the order in which they are published, as their ids tell.
    (0..EVENTS).for_each(|n| shares[n % PUBLISHERS].push(event(n)));
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

/// What a storage writes for an event, made before the clock starts.
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
    let host = team % ENDPOINTS;
    let endpoint = EndpointKey::new(format!("https://hooks-{host}.example"));
    let scope = event.scope.clone();
    let delivery = Delivery::new(event.id, trigger, scope, endpoint, event.received_at);
    let headers = serde_json::to_string(&payload.headers).expect("it is JSON");
    let endpoint = i64::try_from(host).expect("it is small");
    Rows { event, event_json, delivery, headers, body: payload.body, endpoint }
}
