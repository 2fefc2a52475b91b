//! Serves an inbox with one endpoint, and prints the `curl` that tells it something.
//!
//! ```text
//! cargo run --example inbox --features web
//! ```
//!
//! A program elsewhere sends a CloudEvent; the trigger that wants it calls an action of this one.

use std::error::Error;

use artifact_triggers::action::{Action, ActionCall, ActionError, Done};
use artifact_triggers::endpoint::Rate;
use artifact_triggers::engine::Engine;
use artifact_triggers::engine::inbox::{Inbox, IncomingEndpoint, new_token};
use artifact_triggers::entropy::OsEntropy;
use artifact_triggers::event::EventKind;
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::signature::Verifier;
use artifact_triggers::storage::MemoryStorage;
use artifact_triggers::trigger::Trigger;
use artifact_triggers::trigger::filter::Filter;

#[derive(Debug)]
struct Print;

#[async_trait::async_trait]
impl Action for Print {
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
        println!("{}: {}", call.event.kind, call.event.data.unwrap_or_default());
        Ok("printed".into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder(MemoryStorage::new()).action("print", Print).build().await?;
    engine.spawn(1);
    let filter = Filter::from_json(br#"{"data": {"type": ["com.example.build.finished"]}}"#)?;
    let trigger =
        Trigger::builder("builds").on(EventKind::WEBHOOK_RECEIVED).filter(filter).action("print");
    engine.create_trigger(trigger.build()?).await?;

    // The sender of this example signs nothing, so its URL is one that nobody guesses.
    let verifier = Verifier::accept_unverified();
    let receiver = ProviderReceiver::new(Provider::CloudEvents, "acme".parse()?, verifier);
    let token = new_token(&OsEntropy);
    let shown = String::from_utf8(token.expose().to_vec())?;
    let endpoint =
        IncomingEndpoint::new(receiver).with_token(token).with_rate(Rate::per_second(100));
    let inbox = Inbox::new();
    inbox.insert("builds", endpoint)?;

    let app = axum::Router::new().nest("/hooks", inbox.router(&engine));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!(
        "curl -i http://{address}/hooks/builds/{shown} \\\n  \
         -H 'content-type: application/cloudevents+json' \\\n  \
         -d '{{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"/ci\", \
         \"type\": \"com.example.build.finished\", \"data\": {{\"ok\": true}}}}'"
    );
    axum::serve(listener, app).await?;
    Ok(())
}
