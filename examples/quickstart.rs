//! The whole way of an event, in one process: a registry tells what happens to an artifact, a
//! trigger wants to know, and a receiver gets signed webhooks; then the receiver fails for a while.
//!
//! Run it with `cargo run --example quickstart`. Everything stays on this machine.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::delivery::{
    Delivery, DeliveryPolicy, Jitter, RetrySchedule, State, StateName,
};
use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::signature::Verifier;
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::DeliveryQuery;
use artifact_triggers::storage::sqlite::SqliteStorage;
use artifact_triggers::trigger::Trigger;

type AnyError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // The receiver's side: an HTTP endpoint that knows the secret.
    let secret = SigningSecret::generate();
    let receiver = receiver::start(secret.clone()).await?;

    // The registry's side: a storage that outlives the process, and an engine on it.
    let folder = tempfile::tempdir()?;
    let storage = SqliteStorage::open(folder.path().join("triggers.db"))?;
    // Endpoints on this machine are refused unless loopback is allowed, as here.
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    let deliverer = HttpDeliverer::builder().address_policy(policy).build()?;
    let engine = Engine::builder(storage).deliverer(deliverer).build().await?;
    engine.spawn(1);

    // A trigger: when (kinds, within a scope), what (a webhook), how (a delivery policy).
    let pauses = [100, 200].map(Duration::from_millis).to_vec();
    let policy = DeliveryPolicy::default()
        .with_retry(RetrySchedule::Pauses(pauses))
        .with_jitter(Jitter::None);
    let trigger = Trigger::builder("tell-the-team")
        .scope("acme".parse()?)
        .on(EventKind::ARTIFACT_INGESTED)
        .on(EventKind::ARTIFACT_UPDATED)
        .on(EventKind::ARTIFACT_DELETED)
        .webhook(receiver.url.clone(), secret)
        .policy(policy)
        .build()?;
    engine.create_trigger(trigger).await?;

    println!("1. An artifact is pushed, updated and deleted");
    let (old, new) = (digest('a'), digest('b'));
    let image = Artifact::new("oci", "hello")
        .with_registry("registry.example")
        .with_repository("library/hello")
        .with_tag("v1");
    let pushed = image.clone().with_digest(&old);
    let moved = image.clone().with_digest(&new);
    publish(&engine, Event::builder(EventKind::ARTIFACT_INGESTED).artifact(pushed.clone())).await?;
    publish(
        &engine,
        Event::builder(EventKind::ARTIFACT_UPDATED).artifact(moved.clone()).from(pushed),
    )
    .await?;
    publish(&engine, Event::builder(EventKind::ARTIFACT_DELETED).artifact(moved)).await?;
    print_log(&engine).await?;

    println!("\n2. The receiver fails: the delivery is retried, and then a dead letter");
    receiver.answer_with(500);
    let next = image.with_digest(digest('c'));
    publish(&engine, Event::builder(EventKind::ARTIFACT_INGESTED).artifact(next)).await?;
    print_log(&engine).await?;

    println!("\n3. The receiver is back: the dead letter is replayed, with the same message id");
    receiver.answer_with(200);
    let dead = DeliveryQuery::of_scope("acme".parse()?).with_state(StateName::Dead);
    engine.replay(dead).await?;
    settled(&engine).await?;
    print_log(&engine).await?;

    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Tells the engine what happened, and waits until everybody who wants to know was told.
async fn publish(
    engine: &Engine,
    event: artifact_triggers::event::EventBuilder,
) -> Result<(), AnyError> {
    // Once this is Ok, the event and its deliveries are on disk: a crash loses nothing.
    let published = engine.publish(event.scope("acme/platform".parse()?).build()?).await?;
    assert_eq!(published.deliveries.len(), 1, "the trigger wants it");
    settled(engine).await
}

/// Waits until no delivery is on its way.
async fn settled(engine: &Engine) -> Result<(), AnyError> {
    loop {
        let deliveries = engine.deliveries(DeliveryQuery::of_scope(Scope::root())).await?;
        if deliveries.iter().all(|delivery| delivery.state.is_final()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Prints the newest delivery's state and log, or all of them if they went well.
async fn print_log(engine: &Engine) -> Result<(), AnyError> {
    let deliveries = engine.deliveries(DeliveryQuery::of_scope(Scope::root())).await?;
    println!("   delivery log:");
    for delivery in deliveries.iter().rev().take(if deliveries.len() > 3 { 1 } else { 3 }).rev() {
        println!("     {} {}", delivery.message_id, outcome(delivery));
        for logged in engine.attempts(&Scope::root(), delivery.id).await? {
            let attempt = logged.attempt;
            let took = attempt.ended_at.since(attempt.started_at).as_millis();
            let status = attempt.status.map_or("no answer".to_owned(), |status| status.to_string());
            println!(
                "       attempt {}{} at {}: {status} in {took} ms",
                attempt.number,
                // A replay counts anew; the position in the log does not.
                if logged.position > attempt.number.into() { " of the replay" } else { "" },
                time(attempt.started_at)
            );
        }
    }
    Ok(())
}

fn outcome(delivery: &Delivery) -> String {
    match &delivery.state {
        State::Dead { reason } => format!("dead ({reason})"),
        State::Delivered => "delivered".to_owned(),
        other => format!("{other:?}"),
    }
}

fn time(at: Timestamp) -> String {
    at.to_datetime().format("%H:%M:%S%.3f").to_string()
}

fn digest(fill: char) -> String {
    format!("sha256:{}", fill.to_string().repeat(64))
}

/// A receiver as somebody else would write it: an HTTP endpoint that verifies what it gets.
mod receiver {
    use super::{AnyError, Arc, AtomicU16, Ordering, SigningSecret, Timestamp, Verifier};
    use artifact_triggers::request::Headers;
    use axum::Router;
    use axum::body::Bytes;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;

    pub(crate) struct Receiver {
        pub(crate) url: String,
        status: Arc<AtomicU16>,
    }

    impl Receiver {
        pub(crate) fn answer_with(&self, status: u16) {
            self.status.store(status, Ordering::SeqCst);
        }
    }

    pub(crate) async fn start(secret: SigningSecret) -> Result<Receiver, AnyError> {
        let status = Arc::new(AtomicU16::new(200));
        let verifier = Verifier::standard_webhooks([secret]);
        let answer = status.clone();
        let hook = post(move |headers: HeaderMap, body: Bytes| async move {
            let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            let headers: Headers = fields.collect();
            // Verify first, and look at the body only through what that gives.
            let Ok(checked) = verifier.verify(&headers, &body, Timestamp::now()) else {
                return StatusCode::UNAUTHORIZED;
            };
            let status = answer.load(Ordering::SeqCst);
            print_arrival(checked.body(), status);
            StatusCode::from_u16(status).expect("it is a status")
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        tokio::spawn(
            async move { axum::serve(listener, Router::new().route("/hook", hook)).await },
        );
        Ok(Receiver { url, status })
    }

    fn print_arrival(body: &[u8], status: u16) {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let kind = body["type"].as_str().unwrap_or("?");
        let purl = body["data"]["artifact"]["purl"].as_str().unwrap_or("?");
        let short = purl.split('?').next().unwrap_or_default();
        println!("   arrived: {kind} {short:.34}…, signature verified, answered {status}");
    }
}
