//! Polls an upstream registry once and prints what is new as events, one a line: a watch without an
//! engine. What is known is kept in a file.
//!
//! ```text
//! cargo run --example poll_upstream --features watch -- \
//!     helm https://charts.jetstack.io cert-manager known.json
//! ```
//!
//! The first run is the baseline and prints nothing. The last line on standard error says whether
//! anything was listed at all.

use std::error::Error;
use std::sync::Arc;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::deliverer::Deliverer;
use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::event::Scope;
use artifact_triggers::id::TriggerId;
use artifact_triggers::trigger::{OnChange, Watch};
use artifact_triggers::watch::{
    Ask, CrateIndex, HelmRepository, Known, Listed, NpmRegistry, OciRegistry, PythonIndex,
    Upstream, diff,
};

const USAGE: &str = "usage: poll_upstream oci|charts|helm|crates|npm|pypi URL PACKAGE FILE";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, url, package, file] = arguments.as_slice() else { return Err(USAGE.into()) };
    let upstream = upstream(kind, url)?;
    let watch = Watch::new(kind, package).with_removed(OnChange::Fire);
    let known = std::fs::read_to_string(file).ok();
    let known = known.map(|text| Known::from_text(&text)).transpose()?;

    let scope = Scope::root();
    let listed = upstream.list(Ask::new(&watch, &scope, known.as_ref())).await?;
    let Listed::Versions(listing) = listed else {
        eprintln!("unchanged");
        return Ok(());
    };
    let step = diff(known.as_ref(), listing, &watch)?;

    // An engine derives the ids from the trigger and the time at which the poll came due, so that a
    // poll that is repeated after a crash gives the same ones.
    let (trigger, now) = (TriggerId::from_bytes([0; 16]), Timestamp::now());
    for change in &step.changes {
        let event = change.to_event(change.event_id(trigger, now), &watch, &scope, now)?;
        println!("{}", serde_json::to_string(&event)?);
    }
    // What is known moves on once the events are where they are to be.
    std::fs::write(file, step.known.to_text())?;
    eprintln!("listed");
    Ok(())
}

fn upstream(kind: &str, url: &str) -> Result<Box<dyn Upstream>, Box<dyn Error>> {
    // Registries of one's own are tried out on this machine: what is public, and that.
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    let deliverer: Arc<dyn Deliverer> =
        Arc::new(HttpDeliverer::builder().address_policy(policy).build()?);
    Ok(match kind {
        "oci" => Box::new(OciRegistry::new(url, deliverer)?),
        "charts" => Box::new(OciRegistry::new(url, deliverer)?.charts()),
        "helm" => Box::new(HelmRepository::new(url, deliverer)?),
        "crates" => Box::new(CrateIndex::new(url, deliverer)?),
        "npm" => Box::new(NpmRegistry::new(url, deliverer)?),
        "pypi" => Box::new(PythonIndex::new(url, deliverer)?),
        other => return Err(format!("{other:?} is no kind of upstream; {USAGE}").into()),
    })
}
