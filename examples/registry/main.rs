//! A small registry of generic artifacts with triggers in it: pushes are scanned, what passes
//! starts a pipeline, what does not is locked away, a chat hears of both, and old versions go at
//! night.
//!
//! ```text
//! cargo run --example registry
//! curl -T app.tgz http://127.0.0.1:8123/packages/app/1.0.0
//! ```
//!
//! The README walks through it. Contents are files, all else is SQLite, in the folder that the
//! first argument names. With `--gate` a push waits for the scan's verdict. `REGISTRY_ADDRESS` sets
//! where it listens.

mod http;
mod neighbours;
mod retain;
mod scan;
mod store;
mod triggers;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::engine::{Engine, ScanGate, ScanGateOptions};
use artifact_triggers::outbox::sqlite::SqliteOutbox;
use artifact_triggers::retention::RetentionAction;
use artifact_triggers::scan::ScanAction;
use artifact_triggers::storage::sqlite::SqliteStorage;

use http::Registry;
use retain::Versions;
use scan::{MarkScanner, Quarantine, SCANNER};
use store::Store;

type AnyError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let (gates, paths): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|a| a == "--gate");
    let folder = paths.first().map_or_else(|| PathBuf::from("registry-data"), PathBuf::from);
    let store = Arc::new(Store::open(&folder)?);
    store.sweep()?;
    let address = std::env::var("REGISTRY_ADDRESS").unwrap_or_else(|_| "127.0.0.1:8123".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;

    // The neighbours are played by this process. Elsewhere, only public addresses are dialled.
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    let scanner = Arc::new(MarkScanner(store.clone()));
    let versions = Versions(store.clone());
    let engine = Engine::builder(SqliteStorage::open(folder.join("triggers.db"))?)
        .outbox(SqliteOutbox::open(folder.join("registry.db"))?)
        .deliverer(HttpDeliverer::builder().address_policy(policy).build()?)
        .action("scan", ScanAction::new(SCANNER, scanner.clone()))
        .action("quarantine", Quarantine(store.clone()))
        .action("retention", RetentionAction::new(versions.clone()))
        .build()
        .await?;
    for trigger in triggers::all(&format!("http://{address}"))? {
        engine.ensure_trigger(trigger).await?;
    }
    engine.spawn(2);

    let gate = || ScanGate::new(&engine, SCANNER, scanner, ScanGateOptions::default());
    let gate = (!gates.is_empty()).then(gate).map(Arc::new);
    let registry = Registry { store, engine: engine.clone(), versions, gate };
    println!("listening at http://{address}, with everything in {}", folder.display());
    axum::serve(listener, http::router(registry).merge(neighbours::router()))
        .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await?;
    // What is not delivered by then is after the next start.
    engine.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
