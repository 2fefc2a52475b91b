//! The registry that is killed: it publishes while it delivers, and tells what was acknowledged.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::delivery::{DeliveryPolicy, RetrySchedule};
use artifact_triggers::engine::{Engine, Published};
use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::sqlite::SqliteStorage;
use artifact_triggers::trigger::Trigger;

/// What a line begins with that tells of an acknowledged event.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged ";
/// The endpoint's paths, each of a trigger of its own.
pub(crate) const PATHS: [&str; 2] = ["/pipeline", "/team"];

const PUBLISHERS: usize = 4;
/// The most events of one process, so that the load is bounded.
const EVENTS: usize = 2_000;

/// What a registry is to do, as it stands in its environment.
pub(crate) struct Orders {
    pub(crate) file: PathBuf,
    pub(crate) endpoint: String,
    pub(crate) secret: SigningSecret,
    /// Whether it publishes until it is killed, or only delivers what is left and ends.
    pub(crate) publishes: bool,
}

const FILE: &str = "CRASH_REGISTRY_FILE";
const ENDPOINT: &str = "CRASH_REGISTRY_ENDPOINT";
const SECRET: &str = "CRASH_REGISTRY_SECRET";
const PUBLISHES: &str = "CRASH_REGISTRY_PUBLISHES";

impl Orders {
    pub(crate) fn from_environment() -> Option<Self> {
        let file: OsString = std::env::var_os(FILE)?;
        let text = |name| std::env::var(name).expect("the orders are whole");
        let secret = text(SECRET).parse().expect("it is a secret");
        let publishes = text(PUBLISHES) == "yes";
        Some(Self { file: file.into(), endpoint: text(ENDPOINT), secret, publishes })
    }

    pub(crate) fn write_to(&self, command: &mut Command) {
        command.env(FILE, &self.file).env(ENDPOINT, &self.endpoint);
        command.env(SECRET, &*self.secret.expose());
        command.env(PUBLISHES, if self.publishes { "yes" } else { "no" });
    }
}

pub(crate) fn run(orders: &Orders) {
    // The test runner has begun a line of its own.
    println!();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("there are threads");
    runtime.block_on(async {
        let engine = open(orders).await;
        engine.spawn(2);
        if orders.publishes {
            let publishers = (0..PUBLISHERS).map(|n| tokio::spawn(publish(engine.clone(), n)));
            for publisher in publishers.collect::<Vec<_>>() {
                publisher.await.expect("it does not panic");
            }
            std::future::pending::<()>().await;
        }
        delivered(&orders.file).await;
        engine.shutdown(Duration::from_secs(5)).await;
    });
}

async fn open(orders: &Orders) -> Engine {
    let storage = SqliteStorage::open(&orders.file).expect("the file survived");
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    let deliverer = HttpDeliverer::builder().address_policy(policy).build().expect("it is built");
    let engine = Engine::builder(storage).deliverer(deliverer).build().await.expect("it is built");
    for path in PATHS {
        let retry = RetrySchedule::Pauses(vec![Duration::from_millis(20); 99]);
        let trigger = Trigger::builder(&path[1..])
            .on(EventKind::ARTIFACT_INGESTED)
            .webhook(format!("{}{path}", orders.endpoint), orders.secret.clone())
            .policy(DeliveryPolicy::default().with_retry(retry))
            .build();
        engine.ensure_trigger(trigger.expect("it is a trigger")).await.expect("it is stored");
    }
    engine
}

/// Publishes, one by one and many at once in turns.
async fn publish(engine: Engine, publisher: usize) {
    for n in 0..EVENTS / PUBLISHERS / 4 {
        let events: Vec<Event> = (0..if n % 2 == 0 { 1 } else { 7 })
            .map(|m| event(&format!("{}-{publisher}-{n}-{m}", std::process::id())))
            .collect();
        acknowledge(&engine.publish_all(events).await.expect("the storage takes it"));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn event(version: &str) -> Event {
    let artifact = Artifact::new("generic", "app").with_version(version);
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().expect("it is an event")
}

fn acknowledge(published: &[Published]) {
    let lines: Vec<String> =
        published.iter().map(|one| format!("{ACKNOWLEDGED}{}\n", one.id)).collect();
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(lines.concat().as_bytes()).expect("the test listens");
    stdout.flush().expect("the test listens");
}

/// Waits until everything is delivered. Asks the file itself, for all states at one moment: a
/// delivery that fails goes from leased to waiting between two questions.
async fn delivered(file: &Path) {
    let connection = rusqlite::Connection::open(file).expect("it can be opened");
    let count = |condition: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM deliveries WHERE {condition}");
        connection.query_row(&sql, [], |row| row.get(0)).expect("it answers")
    };
    while count("claim_at IS NOT NULL") > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // 2: delivered.
    assert_eq!(count("state <> 2"), 0, "deliveries that ended in another state");
}
