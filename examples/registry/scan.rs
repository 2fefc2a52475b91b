//! Scanning: a scanner that is easy to set off, and what happens to what it finds.

use std::sync::Arc;

use artifact_triggers::action::{Action, ActionCall, ActionError, Done};
use artifact_triggers::event::{Artifact, Scope};
use artifact_triggers::scan::{Findings, ScanError, ScanReport, Scanner, Severity};

use super::store::{Coordinates, Store};

/// What the scanner is called in events.
pub(crate) const SCANNER: &str = "mark";
/// What the scanner takes for malware.
const MARK: &[u8] = b"THIS-IS-A-TEST-VIRUS";

/// Looks for a mark in the content.
#[derive(Debug)]
pub(crate) struct MarkScanner(pub(crate) Arc<Store>);

#[async_trait::async_trait]
impl Scanner for MarkScanner {
    async fn scan(&self, _: &Scope, artifact: &Artifact) -> Result<ScanReport, ScanError> {
        let Some(digest) = artifact.digest.as_deref() else {
            return Err(ScanError::Permanent("it has no digest".to_owned()));
        };
        let path = self.0.path_of(digest);
        let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
        let read = read.map_err(|error| ScanError::Transient(error.to_string()))?;
        // What was deleted meanwhile cannot be scanned any more.
        let content = read.map_err(|error| ScanError::Permanent(error.to_string()))?;
        if content.windows(MARK.len()).any(|window| window == MARK) {
            let findings = Findings::default().with(Severity::Critical, 1);
            return Ok(ScanReport::of(findings).with_summary("it has the mark of a test virus"));
        }
        Ok(ScanReport::passed())
    }
}

/// Locks away what a scan found fault with.
#[derive(Debug)]
pub(crate) struct Quarantine(pub(crate) Arc<Store>);

#[async_trait::async_trait]
impl Action for Quarantine {
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
        let artifact = call.event.artifact.unwrap_or_default();
        let (Some(package), Some(version), Some(digest)) =
            (artifact.name, artifact.version, artifact.digest)
        else {
            return Err(ActionError::Permanent("the event names no version".to_owned()));
        };
        let summary = call.event.data.unwrap_or_default()["summary"].take();
        let reason = summary.as_str().unwrap_or("a scan found fault with it").to_owned();
        let of = Coordinates::new(package, version).map_err(ActionError::Permanent)?;
        let store = self.0.clone();
        // The store tells of it by itself, in the transaction that locks it away.
        let work = move || store.quarantine(&of, &digest, &reason);
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(|error| error.to_string());
        match done.and_then(|done| done.map_err(|error| error.to_string())) {
            Ok(true) => Ok("quarantined".into()),
            Ok(false) => Ok("it is quarantined already, or has other content now".into()),
            Err(error) => Err(ActionError::Transient(error)),
        }
    }
}
