//! Claims of PostgreSQL while a transaction of somebody else's keeps an old snapshot, so that no
//! dead row can go; beside the same where they went.
//!
//! `bash tests/with_postgres cargo bench --features postgres --bench old_snapshot`

use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use claims::take_and_settle;
use fill::fill;

#[path = "backlog/claims.rs"]
mod claims;
#[path = "database/mod.rs"]
mod database;
#[path = "backlog/fill.rs"]
mod fill;

const ROUNDS: usize = 3;
/// How many are claimed and settled first, each of which leaves two dead rows.
const DEAD: usize = 100_000;
/// How many are claimed and settled at once to make them.
const AT_ONCE: usize = 500;
/// How many are claimed at once, and how often, while it is measured.
const BATCH: usize = 16;
const BATCHES: usize = 1_000;

#[tokio::main(worker_threads = 2)]
async fn main() {
    println!("| 99 % of {BATCHES} claims of {BATCH} within | found | reference | reached | goal |");
    println!("|---|---|---|---|---|");
    if database::url().is_none() || !cfg!(feature = "postgres") {
        return println!("{}", database::LEFT_OUT);
    }
    let (mut clean, mut pinned) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        clean.push(slowest(&format!("clean_{round}"), false).await);
        pinned.push(slowest(&format!("pinned_{round}"), true).await);
    }
    let [clean, pinned] = [clean, pinned].map(|mut all: Vec<Duration>| {
        all.sort_unstable();
        all[ROUNDS / 2]
    });
    let ratio = pinned.as_secs_f64() / clean.as_secs_f64();
    println!(
        "| PostgreSQL: {DEAD} claimed and settled before under an old snapshot | {pinned:.2?} | {clean:.2?} vacuumed | {ratio:.2}× | ≤ 3× |"
    );
}

/// Within what time 99 of 100 claims answer.
async fn slowest(schema: &str, is_pinned: bool) -> Duration {
    let storage = database::storage(schema).await.expect("there is a server");
    fill(storage.clone(), DEAD + BATCH * BATCHES).await;
    let other = connect().await;
    if is_pinned {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        other.batch_execute(begin).await.expect("it begins");
        let look = format!("SELECT 1 FROM {schema}.deliveries LIMIT 1");
        other.batch_execute(&look).await.expect("it answers");
    }
    for _ in 0..DEAD / AT_ONCE {
        take_and_settle(&storage, AT_ONCE).await;
    }
    if !is_pinned {
        let vacuum = format!("VACUUM ANALYZE {schema}.deliveries");
        other.batch_execute(&vacuum).await.expect("it answers");
    }
    let mut took = Vec::new();
    for _ in 0..BATCHES {
        took.push(take_and_settle(&storage, BATCH).await);
    }
    took.sort_unstable();
    took[BATCHES * 99 / 100]
}

async fn connect() -> Client {
    let url = database::url().expect("there is a server");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("it is well");
    // It ends with its client.
    tokio::spawn(connection);
    client
}
