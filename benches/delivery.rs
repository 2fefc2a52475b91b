//! The whole way, from many publishers to the log of what was delivered, per second; beside a bare
//! loop of the same HTTP client that posts the same signed bodies to the same sink over as many
//! connections.
//!
//! `bash tests/with_postgres cargo bench --features postgres --bench delivery`; without the server
//! and the feature, memory and SQLite alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::StateName;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::payload::{PayloadFormat, TriggerName};
use artifact_triggers::signature::{Message, Scheme, SigningSecret};
use artifact_triggers::storage::sqlite::SqliteStorage;
use artifact_triggers::storage::{DeliveryQuery, MemoryStorage, Storage};
use artifact_triggers::trigger::Trigger;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

#[path = "database/mod.rs"]
mod database;
#[path = "sink/mod.rs"]
mod sink;

const ROUNDS: usize = 7;
const DELIVERIES: usize = 20_000;
const CONNECTIONS: usize = 64;
const PUBLISHERS: usize = 64;

fn main() {
    // The sink has a thread of its own, so that what it costs is the same for all.
    let sinks = runtime(1);
    let sink = sinks.block_on(Sink::start());
    let runtime = runtime(2);
    let (mut bare, mut memory, mut sqlite, mut postgres) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // In turns, so that what else the machine does falls on all alike.
    for round in 0..ROUNDS {
        bare.push(runtime.block_on(post_bare(&sink)));
        memory.push(runtime.block_on(deliver(MemoryStorage::new(), &sink)));
        let folder = tempfile::tempdir().expect("there is room");
        let storage = SqliteStorage::open(folder.path().join("bench.db")).expect("it opens");
        sqlite.push(runtime.block_on(deliver(storage, &sink)));
        if let Some(storage) = runtime.block_on(database::storage(&format!("delivery_{round}"))) {
            postgres.push(runtime.block_on(deliver(storage, &sink)));
        }
    }
    let reference = median(&mut bare);
    println!(
        "| {PUBLISHERS} publishers, a sink on loopback, {CONNECTIONS} connections | per second | reached | goal |"
    );
    println!("|---|---|---|---|");
    println!("| bare loop of the same client | {reference:.0} | | |");
    row("publish → delivered, memory", median(&mut memory), reference, 80);
    row("publish → delivered, SQLite FULL", median(&mut sqlite), reference, 50);
    if postgres.is_empty() {
        return println!("{}", database::LEFT_OUT);
    }
    row("publish → delivered, PostgreSQL", median(&mut postgres), reference, 25);
}

fn runtime(threads: usize) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build().expect("there are threads")
}

fn row(name: &str, rate: f64, reference: f64, goal: u32) {
    println!("| {name} | {rate:.0} | {:.0} % | ≥ {goal} % |", 100.0 * rate / reference);
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "there are few")]
fn per_second(began: Instant) -> f64 {
    DELIVERIES as f64 / began.elapsed().as_secs_f64()
}

/// Where posts go, and how many have.
struct Sink {
    url: String,
    posts: Arc<AtomicUsize>,
}

impl Sink {
    async fn start() -> Self {
        let posts = Arc::new(AtomicUsize::new(0));
        let counted = posts.clone();
        let count = move |_: &str| {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        Self { url: sink::start(count).await, posts }
    }
}

fn event(n: usize) -> Event {
    let artifact = Artifact::new("oci", "app")
        .with_registry("registry.example")
        .with_repository("team/app")
        .with_tag(format!("v{n}"))
        .with_digest(format!("sha256:{n:064x}"));
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().expect("it is an event")
}

/// Posts as many bodies as the engine does, each signed when it is sent, and does nothing else.
async fn post_bare(sink: &Sink) -> f64 {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let secrets = Arc::new([SigningSecret::generate()]);
    let event = event(1);
    let id = artifact_triggers::id::TriggerId::derived(event.occurred_at, &[]);
    let name = TriggerName { id, name: "bench" };
    let body = PayloadFormat::Native.render(&event, &event.to_json(), name).body;
    let left = Arc::new(AtomicUsize::new(DELIVERIES));
    let before = sink.posts.load(Ordering::Relaxed);
    let began = Instant::now();
    let loops = (0..CONNECTIONS).map(|_| {
        let (client, secrets, body, left, url) =
            (client.clone(), secrets.clone(), body.clone(), left.clone(), sink.url.clone());
        tokio::spawn(async move {
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                let id = "msg_0193e5d2f0a07c3e8f00d1a2b3c4d5e6";
                let message = Message::new(id, Timestamp::now(), &body);
                let signed = Scheme::StandardWebhooks.sign(&*secrets, &message);
                let mut request =
                    hyper::Request::post(&url).header("content-type", "application/json");
                for (name, value) in signed.expect("it covers nothing else") {
                    request = request.header(name, value);
                }
                let body = Full::new(Bytes::from_owner(body.clone()));
                let response = client.request(request.body(body).expect("it is a request")).await;
                let response = response.expect("the sink answers");
                assert_eq!(response.status(), 204);
                response.into_body().collect().await.expect("there is no body");
            }
        })
    });
    for one in loops.collect::<Vec<_>>() {
        one.await.expect("it does not panic");
    }
    let rate = per_second(began);
    assert_eq!(sink.posts.load(Ordering::Relaxed) - before, DELIVERIES);
    rate
}

/// Publishes, and lets the engine deliver meanwhile, until the last is settled.
async fn deliver(storage: impl Storage + Clone, sink: &Sink) -> f64 {
    let engine = sink::engine(storage, CONNECTIONS).await;
    let spec = Trigger::builder("bench")
        .on(EventKind::ARTIFACT_INGESTED)
        .webhook(&sink.url, SigningSecret::generate())
        .build();
    engine.create_trigger(spec.expect("it is a trigger")).await.expect("it is stored");
    engine.spawn(2);
    let mut shares: Vec<Vec<Event>> = vec![Vec::new(); PUBLISHERS];
    // In the order in which they are published, as their ids tell.
    (0..DELIVERIES).for_each(|n| shares[n % PUBLISHERS].push(event(n)));
    let before = sink.posts.load(Ordering::Relaxed);
    let began = Instant::now();
    for share in shares {
        let engine = engine.clone();
        tokio::spawn(async move {
            for event in share {
                engine.publish(event).await.expect("it is stored");
            }
        });
    }
    while sink.posts.load(Ordering::Relaxed) - before < DELIVERIES {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // What was posted is not yet what was settled: the shutdown waits for that.
    sink::end(&engine).await;
    let rate = per_second(began);
    for state in [StateName::Waiting, StateName::Leased, StateName::Dead] {
        let query = DeliveryQuery::of_scope(Scope::root()).with_state(state).with_limit(1);
        assert!(engine.deliveries(query).await.expect("it answers").is_empty());
    }
    rate
}
