//! Scanning: what a scanner says of an artifact, and what is told of it.
//!
//! In: an artifact, by a [`Scanner`] of the embedder's own or a command. Out: a [`ScanReport`],
//! told as `scan.completed`, or why there is none, told as `scan.failed`. A [`ScanAction`] scans
//! when its trigger fires; a gate of the engine (`engine::ScanGate`) scans before a registry admits
//! an artifact.

mod action;
#[cfg(all(feature = "command", unix))]
pub mod command;
mod report;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use action::ScanAction;
pub use report::{Findings, ScanReport, Severity};

use crate::event::{Artifact, EventBuilder, EventKind, Scope};

/// Looks at artifacts and says what is wrong with them.
///
/// # Contract
/// 1. `scan` may be called more than once for an artifact, and at once for several.
/// 2. It may be dropped before it answered: its time is up, or nobody waits for it any more.
/// 3. A panic counts as a failure that may pass.
/// 4. `scan` does not ask the gate that asks it (`engine::ScanGate`), nor wait for anything that
///    does: it holds a slot, and the slots may all be held by those who wait for another.
#[async_trait]
pub trait Scanner: fmt::Debug + Send + Sync + 'static {
    /// Scans an artifact of a scope.
    ///
    /// # Errors
    /// [`ScanError`], if nothing can be said of it.
    async fn scan(&self, scope: &Scope, artifact: &Artifact) -> Result<ScanReport, ScanError>;
}

#[async_trait]
impl<S: Scanner + ?Sized> Scanner for Arc<S> {
    async fn scan(&self, scope: &Scope, artifact: &Artifact) -> Result<ScanReport, ScanError> {
        (**self).scan(scope, artifact).await
    }
}

/// Why nothing can be said of an artifact. The text is told to tenants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// It may be known later: the scanner is away or too slow.
    #[error("{0}")]
    Transient(String),
    /// It will never be known: the scanner cannot scan such an artifact.
    #[error("{0}")]
    Permanent(String),
    /// Nobody had time to scan it: too many others are being scanned. It may be known later.
    #[error("{0}")]
    Busy(String),
}

/// Makes of an event what is told of a scan: its kind, `data`, and the attributes `scanner`,
/// `verdict` (`passed`, `findings` or `error`) and, with findings, `severity`, the worst of them.
pub(crate) fn told(
    event: EventBuilder,
    scanner: &str,
    result: &Result<ScanReport, ScanError>,
) -> EventBuilder {
    let event = event.attribute("scanner", scanner);
    match result {
        Ok(report) => {
            let event = event.kind(EventKind::SCAN_COMPLETED).data(report.to_value());
            let event = event.attribute("verdict", report.verdict());
            match report.findings.worst() {
                Some(worst) => event.attribute("severity", worst.as_str()),
                None => event,
            }
        }
        Err(error) => {
            let text: String = error.to_string().chars().take(ScanReport::MAX_CHARS).collect();
            event
                .kind(EventKind::SCAN_FAILED)
                .attribute("verdict", "error")
                .data(serde_json::json!({"error": text}))
        }
    }
}
