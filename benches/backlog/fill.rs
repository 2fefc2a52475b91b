//! Makes a backlog, and says where it is to be delivered.

use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::Storage;
use artifact_triggers::trigger::{Trigger, TriggerSpec};

/// Triggers, to each of which goes each event; they share an endpoint.
const TRIGGERS: usize = 10;

/// Publishes until so many deliveries wait.
pub(super) async fn fill(storage: impl Storage, deliveries: usize) {
    let engine = Engine::builder(storage).build().await.expect("it can be built");
    for n in 0..TRIGGERS {
        let spec = spec(&format!("bench-{n}"), "https://hooks.example");
        engine.create_trigger(spec).await.expect("it is stored");
    }
    let mut left = deliveries / TRIGGERS;
    while left > 0 {
        let events = (0..left.min(100)).map(event);
        left -= engine.publish_all(events.collect()).await.expect("it is stored").len();
    }
}

pub(super) fn spec(name: &str, url: &str) -> TriggerSpec {
    let builder = Trigger::builder(name).on(EventKind::ARTIFACT_INGESTED);
    builder.webhook(url, SigningSecret::generate()).build().expect("it is a trigger")
}

fn event(n: usize) -> Event {
    let artifact = Artifact::new("oci", "app")
        .with_registry("registry.example")
        .with_repository("team/app")
        .with_digest(format!("sha256:{n:064x}"));
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().expect("it is an event")
}
