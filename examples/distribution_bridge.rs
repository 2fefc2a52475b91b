//! Puts triggers on a Docker/OCI distribution registry that knows nothing of them: takes its
//! notifications, works out what was pushed, updated and deleted, and sends signed webhooks.
//!
//! ```text
//! BRIDGE_LISTEN=127.0.0.1:5001 \
//! BRIDGE_AUTHORIZATION="Bearer a-long-random-token" \
//! BRIDGE_DATABASE=bridge.db \
//! WEBHOOK_URL=http://127.0.0.1:9000/hooks/artifact \
//! WEBHOOK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw \
//! cargo run --example distribution_bridge
//! ```
//!
//! and in the registry's configuration:
//!
//! ```yaml
//! notifications:
//!   endpoints:
//!     - name: bridge
//!       url: http://127.0.0.1:5001/notifications
//!       headers: { Authorization: ["Bearer a-long-random-token"] }
//!       timeout: 2s
//!       threshold: 3
//!       backoff: 2s
//! ```
//!
//! With `BRIDGE_PROVIDER=verdaccio`, or another [`Provider`] that proves itself by a secret, it
//! takes what that one sends instead; `BRIDGE_AUTHORIZATION` is the secret that was agreed on with
//! it then. Example `inbox` has tokens in URLs, for those that cannot prove who they are, and
//! answers handshakes.

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::engine::{Engine, Received};
use artifact_triggers::event::{EventKind, Scope};
use artifact_triggers::incoming::distribution::DistributionReceiver;
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::incoming::{Incoming, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::secret::Secret;
use artifact_triggers::signature::Verifier;
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::sqlite::SqliteStorage;
use artifact_triggers::trigger::Trigger;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

type AnyError = Box<dyn Error + Send + Sync>;

struct Bridge {
    engine: Engine,
    receiver: Box<dyn Receiver>,
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let engine = engine().await?;
    let bridge = Arc::new(Bridge { engine: engine.clone(), receiver: receiver()? });

    let app = Router::new()
        .route("/notifications", post(notifications))
        .layer(DefaultBodyLimit::max(artifact_triggers::incoming::MAX_BODY_BYTES))
        .with_state(bridge);
    let listener = tokio::net::TcpListener::bind(setting("BRIDGE_LISTEN")?).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(told_to_stop()).await?;

    // What is in flight has five seconds; what is left is delivered after the next start.
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// What understands the notifications. Only who knows the token may tell what happened.
fn receiver() -> Result<Box<dyn Receiver>, AnyError> {
    let token = Secret::new(setting("BRIDGE_AUTHORIZATION")?);
    let Ok(name) = env::var("BRIDGE_PROVIDER") else {
        let verifier = Verifier::header_token("authorization", token);
        return Ok(Box::new(DistributionReceiver::new(Scope::root(), verifier)));
    };
    let provider = Provider::all().find(|provider| provider.as_str() == name);
    let provider = provider.ok_or_else(|| format!("BRIDGE_PROVIDER: {name:?} is no provider"))?;
    let verifier = provider.verifier(&token)?;
    Ok(Box::new(ProviderReceiver::new(provider, Scope::root(), verifier)))
}

/// The engine, with one trigger for each of the three things that can happen.
async fn engine() -> Result<Engine, AnyError> {
    // Everything here is on one machine. Leave the policy out where receivers are elsewhere.
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    let deliverer = HttpDeliverer::builder().address_policy(policy).build()?;
    let storage = SqliteStorage::open(setting("BRIDGE_DATABASE")?)?;
    let engine = Engine::builder(storage).deliverer(deliverer).build().await?;

    let url = setting("WEBHOOK_URL")?;
    let secret: SigningSecret = setting("WEBHOOK_SECRET")?.parse()?;
    for (name, kind) in [
        ("on-ingestion", EventKind::ARTIFACT_INGESTED),
        ("on-update", EventKind::ARTIFACT_UPDATED),
        ("on-deletion", EventKind::ARTIFACT_DELETED),
    ] {
        let spec = Trigger::builder(name).on(kind).webhook(url.clone(), secret.clone()).build()?;
        // Triggers are stored: on the next start they are there, and only brought up to date.
        engine.ensure_trigger(spec).await?;
    }
    engine.spawn(1);
    Ok(engine)
}

/// Answers well only once everything is stored, so that the registry resends what was not.
async fn notifications(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers: Headers = fields.collect();
    let incoming = Incoming { headers: &headers, body: &body };
    match bridge.engine.receive(&*bridge.receiver, incoming).await {
        Ok(received) => {
            for one in received {
                match one {
                    Received::Published(published) => {
                        println!("{}: {} deliveries", published.id, published.deliveries.len());
                    }
                    Received::Skipped { id, reason } => println!("{id}: skipped, {reason:?}"),
                    _ => {}
                }
            }
            StatusCode::ACCEPTED
        }
        Err(error) => {
            eprintln!("refused with {}: {error}", error.status());
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

#[cfg(unix)]
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be listened to");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(not(unix))]
async fn told_to_stop() {
    tokio::signal::ctrl_c().await.expect("it can be listened to");
}

fn setting(name: &str) -> Result<String, AnyError> {
    env::var(name).map_err(|_| format!("set {name}; see the head of this example").into())
}
