//! What a backlog of a million deliveries costs with SQLite, beside one of a thousand or none: claims and
//! settlements, resident memory, and how long a start takes to its first delivery.
//!
//! `cargo bench --bench backlog` (a few minutes, and 2 GiB of disk)

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Attempt, Outcome, Settlement};
use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::sqlite::{SqliteOptions, SqliteStorage, Synchronous};
use artifact_triggers::storage::{Claim, ClaimOf, Settle, Storage};
use artifact_triggers::trigger::Trigger;

#[path = "sink/mod.rs"]
mod sink;

const ROUNDS: usize = 7;
const LARGE: usize = 1_000_000;
const SMALL: usize = 1_000;
/// Triggers, to each of which goes each event; they share an endpoint.
const TRIGGERS: usize = 10;
/// How many are claimed at once, and settled at once.
const BATCH: usize = 64;
/// How many deliveries are claimed and settled in a round.
const MEASURED: usize = 640;
const CONNECTIONS: usize = 64;
/// How many are delivered before memory is looked at.
const DELIVERED: usize = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, task, path] = &arguments[..]
        && task == "memory"
    {
        return runtime().block_on(print_memory(Path::new(path)));
    }
    let folder = tempfile::tempdir().expect("there is room");
    let large = folder.path().join("large.db");
    runtime().block_on(fill(&large, LARGE));
    println!("| SQLite, with {LARGE} deliveries waiting | found | reference | | goal |");
    println!("|---|---|---|---|---|");
    runtime().block_on(claims(&large, folder.path()));
    runtime().block_on(starts(&large, folder.path()));
    memory(&large, folder.path());
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("the system has threads")
}

fn median<T: PartialOrd + Copy>(values: &mut [T]) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).expect("they can be compared"));
    values[values.len() / 2]
}

/// Publishes until so many deliveries wait; to be on disk is not waited for.
async fn fill(path: &Path, deliveries: usize) {
    let options = SqliteOptions::default().with_synchronous(Synchronous::Normal);
    let storage = SqliteStorage::open_with(path, &options).expect("it opens");
    let engine = Engine::builder(storage).build().await.expect("it can be built");
    for n in 0..TRIGGERS {
        let spec = Trigger::builder(format!("bench-{n}"))
            .on(EventKind::ARTIFACT_INGESTED)
            .webhook("http://127.0.0.1:9/", SigningSecret::generate())
            .build();
        engine.create_trigger(spec.expect("it is a trigger")).await.expect("it is stored");
    }
    let mut left = deliveries / TRIGGERS;
    while left > 0 {
        let events = (0..left.min(1_000)).map(event);
        left -= engine.publish_all(events.collect()).await.expect("it is stored").len();
    }
}

fn event(n: usize) -> Event {
    let artifact = Artifact::new("oci", "app")
        .with_registry("registry.example")
        .with_repository("team/app")
        .with_digest(format!("sha256:{n:064x}"));
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().expect("it is an event")
}

/// Claims and settles with the large backlog and with a small one, in turns.
async fn claims(large: &Path, folder: &Path) {
    let large = SqliteStorage::open(large).expect("it opens");
    let (mut many, mut few) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        many.push(claim_and_settle(&large).await);
        let small = folder.join(format!("small-{round}.db"));
        fill(&small, SMALL).await;
        few.push(claim_and_settle(&SqliteStorage::open(&small).expect("it opens")).await);
    }
    let (many, few) = (median(&mut many), median(&mut few));
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    println!(
        "| claim and settle {MEASURED}, by {BATCH} | {many:.2?} | {few:.2?} with {SMALL} | {ratio:.2}× | ≤ 1.3× |"
    );
}

async fn claim_and_settle(storage: &dyn Storage) -> Duration {
    // The first claim of a storage looks up which endpoints there are.
    take_and_settle(storage).await;
    let began = Instant::now();
    for _ in 0..MEASURED / BATCH {
        take_and_settle(storage).await;
    }
    began.elapsed()
}

async fn take_and_settle(storage: &dyn Storage) {
    let now = Timestamp::now();
    let claim = Claim {
        now,
        due_by: now,
        lease: Duration::from_secs(60),
        limit: BATCH,
        per_endpoint: usize::MAX,
        quotas: Vec::new(),
        of: ClaimOf::Endpoints,
    };
    let claims = storage.claim(claim).await.expect("it answers").deliveries;
    assert_eq!(claims.len(), BATCH);
    let settlements = claims.into_iter().map(|claimed| Settle {
        lease: claimed.lease,
        settlement: Settlement::Delivered,
        attempts: vec![Attempt::new(1, now, now, Outcome::Accepted).with_status(204)],
        records: Vec::new(),
    });
    storage.settle(settlements.collect(), now).await.expect("it answers");
}

/// Opens the large backlog and one of a few, in turns, until the first post arrives.
async fn starts(large: &Path, folder: &Path) {
    let small = folder.join("start.db");
    fill(&small, SMALL).await;
    let (mut many, mut few) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        many.push(first_delivery(large).await);
        few.push(first_delivery(&small).await);
    }
    let (many, few) = (median(&mut many), median(&mut few));
    let more = many.saturating_sub(few);
    println!(
        "| start to first delivery | {many:.2?} | {few:.2?} with a few | + {more:.2?} | ≤ + 100 ms |"
    );
}

async fn first_delivery(path: &Path) -> Duration {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let url = sink::start(move |_| tell.send(Instant::now()).expect("it is waited for")).await;
    point_at(path, &url).await;
    let began = Instant::now();
    let engine = sink::engine(SqliteStorage::open(path).expect("it opens"), 1).await;
    engine.spawn(1);
    let first = told.recv().await.expect("the sink lives");
    engine.shutdown(Duration::ZERO).await;
    told.close();
    first - began
}

/// Has the triggers of a file deliver to a sink.
async fn point_at(path: &Path, url: &str) {
    let storage = SqliteStorage::open(path).expect("it opens");
    let engine = Engine::builder(storage).build().await.expect("it can be built");
    for trigger in engine.triggers(&Scope::root()) {
        let spec = Trigger::builder(&trigger.spec.name)
            .on(EventKind::ARTIFACT_INGESTED)
            .webhook(url, SigningSecret::generate())
            .build()
            .expect("it is a trigger");
        engine.update_trigger(trigger.id, trigger.revision, spec).await.expect("it is stored");
    }
}

/// Has processes of their own deliver from the large backlog, or nothing, and tell what they take.
fn memory(large: &Path, folder: &Path) {
    let idle = folder.join("idle.db");
    let resident = |path: &Path| {
        let this = std::env::current_exe().expect("this program is a file");
        let output = Command::new(this).arg("memory").arg(path).output().expect("it starts");
        let told = String::from_utf8(output.stdout).expect("it is text");
        told.trim().parse::<u64>().expect("it tells a number")
    };
    let (many, none) = (resident(large), resident(&idle));
    let more = many.saturating_sub(none) / 1_024;
    println!(
        "| resident memory at its highest, {DELIVERED} delivered | {} MiB | {} MiB idle | + {more} MiB | ≤ + 32 MiB |",
        many / 1_024,
        none / 1_024
    );
}

/// Tells the most memory that this process took while it delivered, in KiB.
async fn print_memory(path: &Path) {
    let posts = Arc::new(AtomicUsize::new(0));
    let counted = posts.clone();
    let url = sink::start(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    })
    .await;
    point_at(path, &url).await;
    let engine = sink::engine(SqliteStorage::open(path).expect("it opens"), CONNECTIONS).await;
    engine.spawn(2);
    if !engine.backlog().await.expect("it answers").is_empty() {
        while posts.load(Ordering::Relaxed) < DELIVERED {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    sink::end(&engine).await;
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let highest = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let highest = highest.and_then(|line| line.split_whitespace().next());
    println!("{}", highest.expect("Linux tells it"));
}
