//! Scanning as an action: whenever its trigger fires.

use async_trait::async_trait;
use serde_json::Value;

use super::{ScanError, Scanner, told};
use crate::action::{Action, ActionCall, ActionError, Done};
use crate::document::{Object, Problems};
use crate::event::EventKind;

/// Scans the artifact of the event that it is triggered by, and tells the result: `scan.completed`
/// or `scan.failed`, about the artifact, with the event as its cause.
///
/// A trigger may configure `{"attempts": 3}`: how often a scanner that fails is tried, by the
/// trigger's retries, before `scan.failed` is told. Without it, 3 times. If the trigger's policy
/// retries less often than that, `scan.failed` is not told, and the delivery is dead.
///
/// ```
/// # use artifact_triggers::scan::{ScanAction, Scanner};
/// # use artifact_triggers::{engine::{BuildError, Engine}, event::EventKind, storage::MemoryStorage};
/// # use artifact_triggers::trigger::{Trigger, filter::Filter};
/// # async fn example(scanner: impl Scanner) -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::builder(MemoryStorage::new())
///     .action("scan", ScanAction::new("trivy", scanner))
///     .build()
///     .await?;
/// let scan = Trigger::builder("scan").on(EventKind::ARTIFACT_INGESTED).action("scan");
/// engine.create_trigger(scan.build()?).await?;
/// // What is critical is told to another: a webhook, or an action that locks it away.
/// let critical = br#"{"data": {"findings": {"critical": [{"numeric": [">=", 1]}]}}}"#;
/// let alarm = Trigger::builder("alarm")
///     .on(EventKind::SCAN_COMPLETED)
///     .filter(Filter::from_json(critical)?)
///     .unsigned_webhook("https://alarm.example/");
/// engine.create_trigger(alarm.build()?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ScanAction<S> {
    name: String,
    scanner: S,
}

/// How often a scanner that fails is tried, if a trigger does not say.
const ATTEMPTS: u64 = 3;

impl<S: Scanner> ScanAction<S> {
    /// Scans by a scanner that events call by this name.
    pub fn new(name: impl Into<String>, scanner: S) -> Self {
        Self { name: name.into(), scanner }
    }
}

fn attempts(config: &Value) -> Result<u64, Problems> {
    if config.is_null() {
        return Ok(ATTEMPTS);
    }
    Problems::gather(|problems| {
        let mut object = Object::root(config.clone(), problems)?;
        let attempts = object.optional("attempts", problems).unwrap_or(ATTEMPTS);
        object.finish(problems);
        if attempts == 0 {
            problems.add("attempts", "expected 1 or more, found 0");
        }
        Some(attempts)
    })
}

#[async_trait]
impl<S: Scanner> Action for ScanAction<S> {
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
        let attempts = attempts(&call.config);
        let attempts =
            attempts.map_err(|problems| ActionError::Permanent(format!("config: {problems}")))?;
        let event = &call.event;
        if event.kind == EventKind::PING {
            return Ok("nothing is scanned for a ping".into());
        }
        let Some(artifact) = &event.artifact else {
            return Err(ActionError::Permanent("the event has no artifact to scan".to_owned()));
        };
        let result = self.scanner.scan(&event.scope, artifact).await;
        if let Err(ScanError::Transient(reason) | ScanError::Busy(reason)) = &result
            && u64::from(call.attempt) < attempts
        {
            return Err(ActionError::Transient(reason.clone()));
        }
        let text = match &result {
            Ok(report) => report.to_string(),
            Err(error) => format!("the scan failed: {error}"),
        };
        let scanned = call.tell(EventKind::SCAN_COMPLETED).artifact(artifact.clone());
        let scanned = match &event.from {
            Some(from) => scanned.from(from.clone()),
            None => scanned,
        };
        Ok(Done::new(text).with_event(told(scanned, &self.name, &result)))
    }

    fn check_config(&self, config: &Value) -> Result<(), String> {
        attempts(config).map(drop).map_err(|problems| problems.to_string())
    }
}
