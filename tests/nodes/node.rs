//! A node: publishes as many events as it is told to, delivers, and tells what was acknowledged.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::{Clock, Sleep, Timestamp, TokioClock};
use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::{DeliveryPolicy, RetrySchedule};
use artifact_triggers::engine::{Engine, EngineOptions};
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::observer::{Observer, StorageCall, Transition};
use artifact_triggers::request::{Request, Response};
use artifact_triggers::storage::StorageError;
use artifact_triggers::storage::postgres::{PostgresOptions, PostgresStorage};
use artifact_triggers::trigger::Trigger;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::orders::{CONCURRENCY, LEASE, Orders, POLL, SENDER, TRIGGERS, Told, Word};

const PUBLISHERS: usize = 4;
/// How many artifacts each publisher tells of.
const ARTIFACTS: usize = 25;
/// How many events in a row are of one artifact.
const IN_A_ROW: usize = 3;
/// The most events that are published at once.
const TOGETHER: usize = 7;
/// How long a node waits before it asks again a server that does not answer.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn run(orders: &Orders) {
    // The test runner has begun a line of its own.
    println!();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("there are threads");
    runtime.block_on(work(orders));
}

async fn work(orders: &Orders) {
    let mut words = words();
    let engine = loop {
        match open(orders).await {
            Ok(engine) => break engine,
            // The server is being restarted.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    engine.spawn(1);
    tell(&Told::Ready);
    let may_publish = Arc::new(Semaphore::new(0));
    let mut publishers = JoinSet::new();
    for n in 0..PUBLISHERS {
        let name = format!("n{}p{n}", orders.node);
        publishers.spawn(publish(engine.clone(), name, may_publish.clone()));
    }
    while let Some(word) = words.recv().await {
        match word {
            Word::Publish(events) => may_publish.add_permits(events),
            Word::Hold(events) => {
                let held = |n| event(EventKind::ARTIFACT_DELETED, format!("held {n}"), n);
                acknowledge(&engine, (0..events).map(held).collect()).await;
            }
            Word::Rest => {
                may_publish.close();
                while publishers.join_next().await.is_some() {}
                tell(&Told::Rests);
            }
        }
    }
    engine.shutdown(Duration::from_secs(5)).await;
}

/// What the test tells, until it closes the pipe or is gone.
fn words() -> mpsc::UnboundedReceiver<Word> {
    let (sender, words) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let word = Word::of_line(&line.expect("it is text")).expect("it is a word");
            if sender.send(word).is_err() {
                return;
            }
        }
    });
    words
}

fn tell(told: &Told) {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(told.to_line().as_bytes()).expect("the test listens");
    stdout.flush().expect("the test listens");
}

async fn open(orders: &Orders) -> Result<Engine, Box<dyn std::error::Error>> {
    let server = format!("{}?application_name={}", orders.server, orders.application());
    let of_schema = PostgresOptions::default().with_schema(&orders.schema).with_connections(6);
    let storage = PostgresStorage::connect(&server, &of_schema).await?;
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    let http = HttpDeliverer::builder().address_policy(policy).build()?;
    // Nothing beside the concurrency: it is the measure of what a kill may cost.
    let options = EngineOptions::default()
        .with_concurrency(CONCURRENCY)
        .with_stalled(0)
        .with_lease(LEASE)
        .with_refresh(POLL);
    let engine = Engine::builder(storage)
        .deliverer(Signed { http, node: orders.node })
        .clock(Ahead(orders.ahead))
        .observer(Unanswered)
        .options(options)
        .build()
        .await?;
    for ((name, order, kind), endpoint) in TRIGGERS.into_iter().zip(&orders.endpoints) {
        let policy = DeliveryPolicy::default()
            .with_retry(RetrySchedule::Pauses(vec![Duration::from_millis(20); 99]))
            .with_timeout(LEASE / 2)
            .with_order(order);
        let trigger = Trigger::builder(name)
            .on(kind)
            .webhook(endpoint, orders.secret.clone())
            .policy(policy)
            .build()?;
        engine.ensure_trigger(trigger).await?;
    }
    Ok(engine)
}

/// Publishes as many as it may, one by one and many at once in turns.
async fn publish(engine: Engine, name: String, may_publish: Arc<Semaphore>) {
    let mut number = 0;
    for together in [1, TOGETHER].into_iter().cycle() {
        let permits = u32::try_from(together).expect("it is small");
        let Ok(permits) = may_publish.acquire_many(permits).await else { return };
        permits.forget();
        let events = (number..number + together).map(|n| {
            let artifact = n / IN_A_ROW % ARTIFACTS;
            event(EventKind::ARTIFACT_INGESTED, format!("{name}a{artifact}"), n)
        });
        acknowledge(&engine, events.collect()).await;
        number += together;
    }
}

fn event(kind: EventKind, artifact: String, version: usize) -> Event {
    let artifact = Artifact::new("generic", artifact).with_version(version.to_string());
    Event::builder(kind).artifact(artifact).build().expect("it is an event")
}

/// Publishes until it is answered, and tells so.
async fn acknowledge(engine: &Engine, events: Vec<Event>) {
    loop {
        if let Ok(published) = engine.publish_all(events.clone()).await {
            tell(&Told::Acknowledged(published.iter().map(|one| one.id).collect()));
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A clock that is wrong.
#[derive(Debug)]
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        TokioClock.now() + self.0
    }

    fn sleep(&self, span: Duration) -> Sleep {
        TokioClock.sleep(span)
    }
}

/// Sends by HTTP, and says which node it is.
#[derive(Debug)]
struct Signed {
    http: HttpDeliverer,
    node: usize,
}

#[async_trait::async_trait]
impl Deliverer for Signed {
    async fn deliver(&self, mut request: Request) -> Result<Response, DeliverError> {
        request.headers.push(SENDER, self.node.to_string());
        self.http.deliver(request).await
    }

    fn check_url(&self, scope: &Scope, url: &url::Url) -> Result<(), String> {
        self.http.check_url(scope, url)
    }
}

/// Tells of calls that may have been carried out without an answer.
#[derive(Debug)]
struct Unanswered;

impl Observer for Unanswered {
    fn observe(&self, transition: &Transition<'_>) {
        let Transition::StorageFailed { call, error } = transition else { return };
        let StorageError::Unavailable { reason } = error else { return };
        let is_sent = !reason.starts_with("no connection");
        if is_sent && matches!(call, StorageCall::Claim | StorageCall::Settle) {
            tell(&Told::Unanswered);
        }
    }
}
