//! What a backlog of a million deliveries costs, beside one of a thousand or none: claims and
//! settlements, how long a start takes to its first delivery, and with SQLite resident memory.
//!
//! `bash tests/with_postgres cargo bench --features postgres --bench backlog` (3 GiB of disk);
//! without the server and the feature, SQLite alone.

mod claims;
mod fill;
mod memory;
mod place;
mod starts;

use std::path::Path;
use std::time::{Duration, Instant};

use artifact_triggers::storage::Storage;
use claims::take_and_settle;
use fill::fill;
use place::{File, Place, Schema};

#[path = "../database/mod.rs"]
mod database;
#[path = "../sink/mod.rs"]
mod sink;

const ROUNDS: usize = 7;
const LARGE: usize = 1_000_000;
const SMALL: usize = 1_000;
/// How many are claimed at once, and settled at once.
const BATCH: usize = 64;
/// How many batches are claimed and settled in a round.
const BATCHES: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, task, path] = &arguments[..]
        && task == "memory"
    {
        return runtime().block_on(memory::tell(Path::new(path)));
    }
    println!("| with {LARGE} deliveries waiting | found | reference | reached | goal |");
    println!("|---|---|---|---|---|");
    let folder = tempfile::tempdir().expect("there is room");
    let file = |name: String| File(folder.path().join(name));
    let large = file("large".to_owned());
    runtime().block_on(measure("SQLite", &large, &file));
    memory::compare(&large.0, &folder.path().join("idle"));
    if database::url().is_none() || !cfg!(feature = "postgres") {
        return println!("{}", database::LEFT_OUT);
    }
    let schema = |name: String| Schema(format!("backlog_{name}"));
    runtime().block_on(measure("PostgreSQL", &schema("large".to_owned()), &schema));
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("the system has threads")
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

async fn measure<P: Place>(name: &str, large: &P, place: &impl Fn(String) -> P) {
    fill(large.open_fast().await, LARGE).await;
    claims(name, large, place).await;
    starts::compare(name, large, place).await;
}

/// Claims and settles with the large backlog and with a small one, in turns.
async fn claims<P: Place>(name: &str, large: &P, place: &impl Fn(String) -> P) {
    let large = large.open().await;
    let (mut many, mut few) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        many.push(claim_and_settle(&large).await);
        let small = place(format!("small_{round}"));
        fill(small.open_fast().await, SMALL).await;
        few.push(claim_and_settle(&small.open().await).await);
    }
    let (many, few) = (median(many), median(few));
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    println!(
        "| {name}: claim and settle {BATCH}, {BATCHES} times | {many:.2?} | {few:.2?} with {SMALL} | {ratio:.2}× | ≤ 1.3× |"
    );
}

async fn claim_and_settle(storage: &impl Storage) -> Duration {
    // The first claim of a storage looks up which endpoints there are.
    take_and_settle(storage, BATCH).await;
    let began = Instant::now();
    for _ in 0..BATCHES {
        take_and_settle(storage, BATCH).await;
    }
    began.elapsed()
}
