//! A network of its own, in which the addresses that must not be dialled are there and count who
//! comes: over whatever way a URL gets in, nobody does.
//!
//! The test starts itself again in a namespace without any network but its own loopback, to which
//! it adds the addresses. Nothing leaves it. Without the right to make one it is left out; in CI
//! (`CI` is set) it fails then.
#![cfg(all(feature = "http", feature = "tokio"))]

#[path = "namespace/canaries.rs"]
mod canaries;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::{HttpDeliverer, Resolve};
use artifact_triggers::delivery::{
    DeadReason, Delivery, DeliveryPolicy, Jitter, Outcome, RetrySchedule, State, StateName,
};
use artifact_triggers::engine::{BackfillPlan, Engine, ReplayPlan, TriggerError};
use artifact_triggers::entropy::OsEntropy;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope, Source};
use artifact_triggers::id::TriggerId;
use artifact_triggers::storage::{DeliveryQuery, MemoryStorage, Storage as _, TriggerWrite};
use artifact_triggers::trigger::{Trigger, TriggerBuilder};
use async_trait::async_trait;
use canaries::{Canaries, PRIVATE, PUBLIC};
use tokio::time::{sleep, timeout};

/// How long what is to end may take. Only a failure takes it.
const PATIENCE: Duration = Duration::from_secs(60);

/// URLs that lead to where nothing may.
fn forbidden() -> Vec<String> {
    let literal = |address: &&str| {
        if address.contains(':') { format!("[{address}]") } else { (*address).to_owned() }
    };
    let mut hosts: Vec<String> = PRIVATE.iter().map(literal).collect();
    let spellings = [
        "[::ffff:169.254.169.254]",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169。254。169。254",
        "localhost",
        "a.localhost.",
        "0",
        "127.1",
    ];
    hosts.extend(spellings.map(str::to_owned));
    hosts
        .iter()
        .flat_map(|host| ["http", "https"].map(|scheme| format!("{scheme}://{host}/")))
        .collect()
}

/// URLs that nobody can judge without asking for the name.
const NAMES: [&str; 4] = [
    "http://metadata.example/",
    "https://metadata.example/",
    "http://both.example/",
    "http://rebind.example/",
];

/// Answers with metadata, with a public address and a private one, or with a public one first and
/// with this machine from then on.
#[derive(Debug, Default)]
struct Hostile(Mutex<HashMap<String, usize>>);

#[async_trait]
impl Resolve for Hostile {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut asked = self.0.lock().unwrap();
        let count = asked.entry(name.to_owned()).or_default();
        *count += 1;
        let answer: &[&str] = match name {
            "metadata.example" => &["169.254.169.254"],
            "both.example" => &[PUBLIC, "10.0.0.1"],
            "rebind.example" if *count == 1 => &[PUBLIC],
            _ => &["127.0.0.1"],
        };
        Ok(answer.iter().map(|address| address.parse().unwrap()).collect())
    }
}

fn webhook(url: &str) -> TriggerBuilder {
    let retry = RetrySchedule::Pauses(vec![Duration::from_millis(10)]);
    let policy = DeliveryPolicy::default().with_retry(retry).with_jitter(Jitter::None);
    Trigger::builder(format!("to {url}"))
        .on(EventKind::ARTIFACT_INGESTED)
        .unsigned_webhook(url)
        .policy(policy)
}

fn event() -> Event {
    let artifact = Artifact::new("generic", "a").with_version("1");
    let event = Event::builder(EventKind::ARTIFACT_INGESTED).source(Source::new("registry"));
    event.artifact(artifact).build().unwrap()
}

/// Puts triggers into a storage without asking anybody.
async fn store(storage: &MemoryStorage, urls: &[String]) -> Vec<TriggerId> {
    let mut ids = Vec::new();
    for url in urls {
        let id = TriggerId::new(Timestamp::now(), &OsEntropy);
        let mut spec = webhook(url).build().unwrap();
        spec.name = id.to_string();
        let trigger = Arc::new(Trigger::new(id, spec, Timestamp::now()));
        storage.write_trigger(TriggerWrite::Create(trigger)).await.unwrap();
        ids.push(id);
    }
    ids
}

/// An engine on what is stored.
async fn engine(policy: AddressPolicy, storage: &MemoryStorage) -> Engine {
    let deliverer = HttpDeliverer::builder().address_policy(policy.allow_http());
    let deliverer = deliverer.resolver(Hostile::default()).build().unwrap();
    let engine = Engine::builder(storage.clone()).deliverer(deliverer).build().await.unwrap();
    engine.spawn(1);
    engine
}

/// All deliveries, once each has ended.
async fn ended(engine: &Engine) -> Vec<Delivery> {
    let all = || engine.deliveries(DeliveryQuery::of_scope(Scope::root()).with_limit(10_000));
    let ended = async {
        loop {
            let deliveries = all().await.unwrap();
            let is_final =
                |one: &Delivery| matches!(one.state.name(), StateName::Delivered | StateName::Dead);
            if deliveries.iter().all(is_final) {
                return deliveries;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("they end")
}

fn assert_blocked(deliveries: &[Delivery], count: usize) {
    assert_eq!(deliveries.len(), count);
    for delivery in deliveries {
        assert_eq!(delivery.state, State::Dead { reason: DeadReason::Blocked }, "{delivery:?}");
    }
}

#[test]
fn nothing_reaches_what_it_may_not_over_any_way_and_once_allowed_one_request_does() {
    let test = "nothing_reaches_what_it_may_not_over_any_way_and_once_allowed_one_request_does";
    if canaries::enter(test) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let canaries = Canaries::listen();
        runtime.block_on(by_the_engines_doors(&canaries));
        runtime.block_on(by_what_is_stored(&canaries));
        runtime.block_on(by_a_redirect(&canaries));
        runtime.block_on(once_allowed(&canaries));
    }
}

/// Triggers that are created and changed are refused; of names it shows when they are dialled.
async fn by_the_engines_doors(canaries: &Canaries) {
    let engine = engine(AddressPolicy::public_only(), &MemoryStorage::new()).await;
    let good = webhook(&format!("http://{PUBLIC}/good")).disabled().build().unwrap();
    let good = engine.create_trigger(good).await.unwrap();
    for url in forbidden() {
        let refused = engine.create_trigger(webhook(&url).build().unwrap()).await;
        assert!(matches!(refused, Err(TriggerError::Invalid { .. })), "{url}: {refused:?}");
        let refused = engine.ensure_trigger(webhook(&url).build().unwrap()).await;
        assert!(matches!(refused, Err(TriggerError::Invalid { .. })), "{url}: {refused:?}");
        let spec = webhook(&url).build().unwrap();
        let refused = engine.update_trigger(good.id, good.revision, spec).await;
        assert!(matches!(refused, Err(TriggerError::Invalid { .. })), "{url}: {refused:?}");
    }
    for url in NAMES {
        engine.create_trigger(webhook(url).build().unwrap()).await.unwrap();
    }
    engine.publish(event()).await.unwrap();
    assert_blocked(&ended(&engine).await, NAMES.len());
    let public = canaries.take(PUBLIC);
    assert_eq!(public.len(), 1, "the first answer of the name that is rebound: {public:?}");
    canaries.assert_untouched();
}

/// Rows that were stored past the engine: published to, pinged, previewed, replayed, filled back.
async fn by_what_is_stored(canaries: &Canaries) {
    let urls: Vec<String> =
        forbidden().into_iter().chain(NAMES[..3].iter().map(|url| (*url).to_owned())).collect();
    let storage = MemoryStorage::new();
    let ids = store(&storage, &urls).await;
    let engine = engine(AddressPolicy::public_only(), &storage).await;
    engine.publish(event()).await.unwrap();
    assert_blocked(&ended(&engine).await, urls.len());
    for id in &ids {
        let pinged = engine.ping(&Scope::root(), *id).await.unwrap();
        assert_eq!(pinged.attempt.outcome, Outcome::Blocked);
        engine.preview(&Scope::root(), *id, event()).unwrap();
    }
    let plan = ReplayPlan::of_scope(Scope::root()).with_state(StateName::Dead).with_rate(10_000);
    engine.start_replay(plan).await.unwrap();
    over(&engine).await;
    assert_blocked(&ended(&engine).await, 2 * urls.len());
    let query = DeliveryQuery::of_scope(Scope::root()).with_state(StateName::Dead);
    assert_eq!(engine.replay(query.with_limit(10_000)).await.unwrap().len(), 2 * urls.len());
    assert_blocked(&ended(&engine).await, 2 * urls.len());
    let later = store(&storage, &urls).await;
    engine.refresh_triggers().await.unwrap();
    for id in later {
        engine.start_backfill(BackfillPlan::of_trigger(id).with_rate(10_000)).await.unwrap();
    }
    over(&engine).await;
    let deliveries = ended(&engine).await;
    assert!(deliveries.len() >= 3 * urls.len(), "{} were filled back", deliveries.len());
    assert_blocked(&deliveries, deliveries.len());
    assert_eq!(canaries.take(PUBLIC), [""; 0]);
    canaries.assert_untouched();
}

/// Waits until no job is left to be done.
async fn over(engine: &Engine) {
    let over = async {
        while !engine.jobs().await.unwrap().iter().all(|job| job.is_over) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, over).await.expect("jobs end");
}

/// A receiver that may be dialled answers with where it may not.
async fn by_a_redirect(canaries: &Canaries) {
    let url = format!("http://{PUBLIC}/redirect");
    let storage = MemoryStorage::new();
    store(&storage, &[url]).await;
    let engine = engine(AddressPolicy::public_only(), &storage).await;
    engine.publish(event()).await.unwrap();
    let deliveries = ended(&engine).await;
    assert_eq!(deliveries[0].state, State::Dead { reason: DeadReason::Exhausted });
    let public = canaries.take(PUBLIC);
    assert_eq!(public, ["POST /redirect HTTP/1.1"; 2], "it is tried again, and not followed");
    canaries.assert_untouched();
}

/// What the operator allows is reached, and nothing beside it.
async fn once_allowed(canaries: &Canaries) {
    let allowed = "169.254.169.254";
    let policy = AddressPolicy::public_only();
    let policy = policy.allow_network(format!("{allowed}/32").parse().unwrap());
    let urls = [format!("http://{allowed}/once"), "http://169.254.170.2/never".to_owned()];
    let storage = MemoryStorage::new();
    store(&storage, &urls).await;
    let engine = engine(policy, &storage).await;
    engine.publish(event()).await.unwrap();
    let deliveries = ended(&engine).await;
    let delivered = deliveries.iter().filter(|one| one.state == State::Delivered).count();
    assert_eq!((deliveries.len(), delivered), (2, 1));
    assert_eq!(canaries.take(allowed), ["POST /once HTTP/1.1"]);
    canaries.assert_untouched();
}
