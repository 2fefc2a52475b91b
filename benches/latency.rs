//! How long an event takes from `publish` to its arrival at 150 events a second, beside a bare post
//! of the same client at the same rate; in turns, in one run.
//!
//! `bash tests/with_postgres cargo bench --features postgres --bench latency`; without the server
//! and the feature, memory and SQLite alone.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::payload::{PayloadFormat, TriggerName};
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::sqlite::SqliteStorage;
use artifact_triggers::storage::{MemoryStorage, Storage};
use artifact_triggers::trigger::Trigger;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;

#[path = "database/mod.rs"]
mod database;
#[path = "sink/mod.rs"]
mod sink;

const RATE: u32 = 150;
const WARM_UP: u32 = 150;
const MEASURED: u32 = 3_000;

fn main() {
    println!("| {RATE} events a second | p50 | p99 | more at p50 | more at p99 | goal |");
    println!("|---|---|---|---|---|---|");
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("there are threads");
    runtime.block_on(async {
        measure("memory", MemoryStorage::new()).await;
        let folder = tempfile::tempdir().expect("there is room");
        let storage = SqliteStorage::open(folder.path().join("bench.db")).expect("it opens");
        measure("SQLite FULL", storage).await;
        match database::storage("latency").await {
            Some(storage) => measure("PostgreSQL", storage).await,
            None => println!("{}", database::LEFT_OUT),
        }
    });
}

async fn measure(name: &str, storage: impl Storage) {
    let [bare, whole] = run(storage).await;
    let [bare50, whole50] = [&bare, &whole].map(|all| all[all.len() / 2]);
    let [bare99, whole99] = [&bare, &whole].map(|all| all[all.len() * 99 / 100]);
    println!("| bare post beside {name} | {bare50:.2?} | {bare99:.2?} | | | |");
    let (more50, more99) = (whole50.saturating_sub(bare50), whole99.saturating_sub(bare99));
    println!(
        "| publish → arrived, {name} | {whole50:.2?} | {whole99:.2?} | + {more50:.2?} | + {more99:.2?} | ≤ + 1 ms, ≤ + 5 ms |"
    );
}

/// Posts and publishes in turns. Gives how long the bare posts took to arrive, and the events.
async fn run(storage: impl Storage) -> [Vec<Duration>; 2] {
    let (tell_bare, mut bare_arrived) = mpsc::unbounded_channel();
    let (tell_whole, mut whole_arrived) = mpsc::unbounded_channel();
    let tell = Mutex::new((tell_bare, tell_whole));
    let url = sink::start(move |head| {
        let tell = tell.lock().expect("nobody panics");
        let to = if head.starts_with("POST /bare") { &tell.0 } else { &tell.1 };
        // Nobody waits any more at the end.
        let _ = to.send(Instant::now());
    })
    .await;
    let engine = sink::engine(storage, 64).await;
    let spec = Trigger::builder("bench")
        .on(EventKind::ARTIFACT_INGESTED)
        .webhook(format!("{url}/hook"), SigningSecret::generate())
        .build();
    engine.create_trigger(spec.expect("it is a trigger")).await.expect("it is stored");
    engine.spawn(1);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let bare_url = format!("{url}/bare");
    let body = body();
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / (2 * RATE));
    for n in 0..WARM_UP + MEASURED {
        ticks.tick().await;
        let began = Instant::now();
        let request = hyper::Request::post(&bare_url).header("content-type", "application/json");
        let request = request.body(Full::new(body.clone())).expect("it is a request");
        let answer = client.request(request).await.expect("the sink answers");
        answer.into_body().collect().await.expect("there is no body");
        let arrived = bare_arrived.recv().await.expect("the sink lives");
        if n >= WARM_UP {
            bare.push(arrived - began);
        }
        ticks.tick().await;
        let event = event();
        let began = Instant::now();
        engine.publish(event).await.expect("it is stored");
        let arrived = whole_arrived.recv().await.expect("the sink lives");
        if n >= WARM_UP {
            whole.push(arrived - began);
        }
    }
    sink::end(&engine).await;
    bare.sort_unstable();
    whole.sort_unstable();
    [bare, whole]
}

fn event() -> Event {
    let artifact = Artifact::new("oci", "app").with_repository("team/app").with_tag("v1");
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().expect("it is an event")
}

fn body() -> Bytes {
    let event = event();
    let id = artifact_triggers::id::TriggerId::derived(event.occurred_at, &[]);
    let name = TriggerName { id, name: "bench" };
    Bytes::from_owner(PayloadFormat::Native.render(&event, &event.to_json(), name).body)
}
