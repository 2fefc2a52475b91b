//! A storage of your own, and a crash that it lives through: one process publishes and dies before
//! anything is delivered, and the next one delivers.
//!
//! `storage.rs` is the part to begin with, `content.rs` the one that does the work.
//!
//! Run it with `cargo run --example own_storage`. Everything stays on this machine.

mod change;
mod content;
mod journal;
mod storage;

use std::env;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use artifact_triggers::action::{Action, ActionCall, ActionError, Done};
use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::storage::DeliveryQuery;
use artifact_triggers::trigger::Trigger;
use async_trait::async_trait;

use storage::LogStorage;

type AnyError = Box<dyn Error + Send + Sync>;

/// What the trigger runs: an action of the registry's own process.
#[derive(Debug)]
struct Mirror;

#[async_trait]
impl Action for Mirror {
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
        let purl = call.event.artifact.and_then(|artifact| artifact.purl).unwrap_or_default();
        println!("   mirrored {purl}");
        Ok("mirrored".into())
    }
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    if let Some(log) = env::args_os().nth(1) {
        return publish_and_die(Path::new(&log)).await;
    }
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("triggers.jsonl");

    println!("1. A process publishes three events and dies");
    let died = Command::new(env::current_exe()?).arg(&log).status()?;
    println!("   it ended with {died}");

    println!("2. A fourth event was being written when the power failed");
    OpenOptions::new().append(true).open(&log)?.write_all(br#"[{"event":{"spec_ver"#)?;

    println!("3. The next process opens the log");
    let storage = LogStorage::open(&log)?;
    let second = LogStorage::open(&log).expect_err("one process has the log");
    println!("   nobody else can open it meanwhile: {second}");
    let engine = Engine::builder(storage).action("mirror", Mirror).build().await?;
    print_states(&engine).await?;

    println!("4. It delivers what was answered for");
    engine.spawn(1);
    while !engine.deliveries(everything()).await?.iter().all(|d| d.state.is_final()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    print_states(&engine).await?;
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// The process that crashes: nothing is delivered, since nothing runs the engine.
async fn publish_and_die(log: &Path) -> Result<(), AnyError> {
    let storage = LogStorage::open(log)?;
    let engine = Engine::builder(storage).action("mirror", Mirror).build().await?;
    let trigger = Trigger::builder("mirror").on(EventKind::ARTIFACT_INGESTED).action("mirror");
    engine.create_trigger(trigger.build()?).await?;
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        let artifact = Artifact::new("cargo", "serde").with_version(version);
        let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build()?;
        // Once this is Ok, the event and its delivery are on disk.
        println!("   published {}", engine.publish(event).await?.id);
    }
    std::process::abort();
}

async fn print_states(engine: &Engine) -> Result<(), AnyError> {
    for delivery in engine.deliveries(everything()).await? {
        println!("   {} of {} is {:?}", delivery.id, delivery.event, delivery.state.name());
    }
    Ok(())
}

fn everything() -> DeliveryQuery {
    DeliveryQuery::of_scope(Scope::root())
}
