//! Admission: a scan that a registry awaits before it admits an artifact.
//!
//! In: an artifact that somebody pushes. Out: whether it is admitted, within a time, whatever the
//! scanner does. What came of it is published as an event besides.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, poll_immediate, select};
use sha2::{Digest as _, Sha256};

use super::Engine;
use super::fetched::{Answer, Fetched};
use super::slots::Slots;
use crate::clock::Timestamp;
use crate::event::{Artifact, Event, EventKind, Scope, Source};
use crate::id::EventId;
use crate::scan::{ScanError, ScanReport, Scanner, Severity, told};

/// How a [`ScanGate`] decides.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanGateOptions {
    /// How long a scan takes at most.
    pub timeout: Duration,
    /// Whether an artifact is admitted whose scan failed or took too long.
    pub fail_open: bool,
    /// Whether an artifact is admitted that was not scanned, since too many others were. Whoever
    /// can push much decides then what is let in without a scan.
    pub fail_open_when_busy: bool,
    /// Findings from this severity on keep an artifact out.
    pub refuse_from: Severity,
    /// How many scans there may be at once; others wait for their turn.
    pub concurrency: usize,
    /// How many of them may be of one tenant: of scopes with the same first part. The root scope is
    /// a tenant of its own. A tenant never has all of them, unless there is one only; many tenants
    /// together may.
    pub concurrency_of_one: usize,
    /// How long a push waits for its turn to be scanned at most.
    pub wait: Duration,
    /// How many pushes of one tenant may wait, for their turn or for the scan of another that
    /// pushes the same; what comes on top is scanned at once or not at all.
    pub waiting_of_one: usize,
    /// How long the verdict on an artifact counts in its scope.
    pub keep: Duration,
}

impl Default for ScanGateOptions {
    /// A minute to wait and another to be scanned, nothing admitted of which nothing can be said or
    /// that has any finding, four scans at once and two of one tenant, of which 64 may wait,
    /// verdicts that count for ten minutes.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            fail_open: false,
            fail_open_when_busy: false,
            refuse_from: Severity::Unknown,
            concurrency: 4,
            concurrency_of_one: 2,
            wait: Duration::from_secs(60),
            waiting_of_one: 64,
            keep: Duration::from_secs(600),
        }
    }
}

impl ScanGateOptions {
    /// Sets how long a scan takes at most.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets whether an artifact is admitted whose scan failed or took too long.
    pub fn with_fail_open(mut self, fail_open: bool) -> Self {
        self.fail_open = fail_open;
        self
    }

    /// Sets whether an artifact is admitted that was not scanned, since too many others were.
    pub fn with_fail_open_when_busy(mut self, fail_open: bool) -> Self {
        self.fail_open_when_busy = fail_open;
        self
    }

    /// Sets from which severity on findings keep an artifact out.
    pub fn with_refuse_from(mut self, severity: Severity) -> Self {
        self.refuse_from = severity;
        self
    }

    /// Sets how many scans there may be at once, at least one.
    pub fn with_concurrency(mut self, scans: usize) -> Self {
        self.concurrency = scans;
        self
    }

    /// Sets how many of them may be of one tenant, at least one and fewer than all.
    pub fn with_concurrency_of_one(mut self, scans: usize) -> Self {
        self.concurrency_of_one = scans;
        self
    }

    /// Sets how long a push waits for its turn to be scanned at most.
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets how many pushes of one tenant may wait.
    pub fn with_waiting_of_one(mut self, pushes: usize) -> Self {
        self.waiting_of_one = pushes;
        self
    }

    /// Sets how long the verdict on an artifact counts in its scope.
    pub fn with_keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }
}

/// Scans artifacts before a registry admits them.
///
/// Several who push the same into one scope at once share a scan, and its verdict counts for a
/// while. The same is what has a digest and differs in nothing but its tags: the bytes of a digest
/// may be valid as two things, of which the scanner passes one. Failures are told to those who
/// waited for them, and not kept.
///
/// The slots are shared out by tenant: no tenant takes those of all, unless there is one only, but
/// many tenants together may. That there are too many scans says nothing of the scanner: it admits
/// nothing because of [`fail_open`](ScanGateOptions::fail_open).
///
/// Each scan is published as `scan.completed` or `scan.failed`, with the attribute `gate` of
/// `admitted` or `refused`. Of what was not scanned ([`ScanError::Busy`]) nothing is published.
///
/// ```
/// # use artifact_triggers::engine::{Engine, ScanGate, ScanGateOptions};
/// # use artifact_triggers::{event::{Artifact, Scope}, scan::Scanner};
/// # async fn push(engine: Engine, scanner: impl Scanner, scope: Scope, artifact: Artifact) {
/// let gate = ScanGate::new(&engine, "trivy", scanner, ScanGateOptions::default());
/// let admission = gate.admit(&scope, &artifact).await;
/// if !admission.is_admitted {
///     println!("403: {admission}");
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct ScanGate {
    engine: Engine,
    name: String,
    scanner: Arc<dyn Scanner>,
    options: ScanGateOptions,
    slots: Slots,
    verdicts: Fetched<Pushed, Found>,
    /// How many pushes of something with a digest have asked, of any scope: the next one's number.
    asked: AtomicU64,
}

type Verdict = Result<ScanReport, ScanError>;

/// What shares a scan: a scope, and the [`fingerprint`] of an artifact.
type Pushed = (Scope, [u8; 32]);

/// What came of a scan.
#[derive(Debug, Clone)]
struct Found {
    verdict: Verdict,
    /// How many pushes had asked, of anything, when it was found. Those of the same artifact with a
    /// smaller number waited for it.
    asked: u64,
}

/// Whether an artifact is admitted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admission {
    /// Whether it is.
    pub is_admitted: bool,
    /// What the scanner said, or why nothing.
    pub verdict: Result<ScanReport, ScanError>,
    /// Whether the verdict was there already.
    pub was_kept: bool,
    /// The event that tells of it; none if the verdict was there already, if nothing was scanned,
    /// or if it could not be stored in time.
    pub event: Option<EventId>,
}

impl ScanGate {
    /// A gate by a scanner that events call by this name; they are published by the engine.
    pub fn new(
        engine: &Engine,
        name: impl Into<String>,
        scanner: impl Scanner,
        options: ScanGateOptions,
    ) -> Self {
        Self {
            engine: engine.clone(),
            name: name.into(),
            scanner: Arc::new(scanner),
            slots: Slots::new(
                options.concurrency,
                options.concurrency_of_one,
                options.waiting_of_one,
            ),
            options,
            verdicts: Fetched::default(),
            asked: AtomicU64::new(0),
        }
    }

    /// Says whether an artifact of a scope is admitted. Answers within the time to wait and the
    /// time-out, once more the time-out if others that it waited for gave up, and once more if the
    /// event cannot be stored.
    ///
    /// # Cancel safety
    /// If it is dropped before it answered, the scan is given up, unless others wait for it: one of
    /// them begins it anew.
    pub async fn admit(&self, scope: &Scope, artifact: &Artifact) -> Admission {
        let (verdict, was_kept) = self.verdict(scope, artifact).await;
        let is_busy = matches!(verdict, Err(ScanError::Busy(_)));
        let is_admitted = match &verdict {
            Ok(report) => {
                report.findings.worst().is_none_or(|worst| worst < self.options.refuse_from)
            }
            Err(_) if is_busy => self.options.fail_open_when_busy,
            Err(_) => self.options.fail_open,
        };
        let mut admission = Admission { is_admitted, verdict, was_kept, event: None };
        if !was_kept && !is_busy {
            admission.event = self.publish(scope, artifact, &admission).await;
        }
        admission
    }

    /// The verdict, and whether it was there already or another's.
    async fn verdict(&self, scope: &Scope, artifact: &Artifact) -> (Verdict, bool) {
        let clock = &*self.engine.core.clock;
        let begun = clock.now();
        let Some(fingerprint) = fingerprint(artifact) else {
            return (self.scan_in_turn(scope, artifact, begun).await, false);
        };
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        // As long as another may take that has just begun. Others who give up one after the other
        // may take longer: then it is scanned for this push alone.
        let longest = self.options.wait.saturating_add(self.options.timeout);
        let turn = self.verdicts.turn((scope.clone(), fingerprint));
        let mut turn = self.wait(scope, longest, turn).await.ok();
        if let Some(Answer { value: found, until }) = turn.as_deref().and_then(Option::as_ref)
            && (number < found.asked || found.verdict.is_ok() && clock.now() < *until)
        {
            return (found.verdict.clone(), true);
        }
        let verdict = self.scan_in_turn(scope, artifact, begun).await;
        let kept_for = match &verdict {
            Ok(_) => self.options.keep,
            // Those who wait get it, and nobody else: it takes no verdict's place.
            Err(_) => Duration::ZERO,
        };
        if let Some(turn) = &mut turn
            && !matches!(verdict, Err(ScanError::Busy(_)))
        {
            let asked = self.asked.load(Ordering::Relaxed);
            let value = Found { verdict: verdict.clone(), asked };
            **turn = Some(Answer { value, until: clock.now() + kept_for });
        }
        (verdict, false)
    }

    /// Scans once there is a slot; busy only if there is none in the time since it was begun.
    async fn scan_in_turn(&self, scope: &Scope, artifact: &Artifact, begun: Timestamp) -> Verdict {
        let waited = self.engine.core.clock.now().since(begun);
        let wait = self.options.wait.saturating_sub(waited);
        match self.wait(scope, wait, self.slots.take(scope)).await {
            Ok(_slot) => self.scan(scope, artifact).await,
            Err(why) => Err(ScanError::Busy(why)),
        }
    }

    /// Waits for something in a place of the tenant's, unless it is there at once.
    async fn wait<T>(
        &self,
        scope: &Scope,
        span: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, String> {
        let mut work = std::pin::pin!(work);
        if let Some(answer) = poll_immediate(work.as_mut()).await {
            return Ok(answer);
        }
        let Some(_place) = self.slots.place(scope) else {
            let most = self.options.waiting_of_one;
            return Err(format!("as many wait for their turn to be scanned as may: {most}"));
        };
        self.within(span, work).await.ok_or_else(|| {
            let seconds = self.options.wait.as_secs_f64();
            format!("its turn did not come within {seconds} s: too much is being scanned")
        })
    }

    async fn scan(&self, scope: &Scope, artifact: &Artifact) -> Verdict {
        // Made within, so that a panic before the first await counts too.
        let scan = async { self.scanner.scan(scope, artifact).await };
        let scan = AssertUnwindSafe(scan).catch_unwind();
        let failed = match self.within(self.options.timeout, scan).await {
            Some(Ok(verdict)) => return verdict,
            Some(Err(_)) => "the scanner panicked".to_owned(),
            None => {
                format!("there was no verdict within {} s", self.options.timeout.as_secs_f64())
            }
        };
        Err(ScanError::Transient(failed))
    }

    /// Publishes what came of a scan.
    async fn publish(
        &self,
        scope: &Scope,
        artifact: &Artifact,
        admission: &Admission,
    ) -> Option<EventId> {
        let core = &self.engine.core;
        let event = Event::builder(EventKind::SCAN_COMPLETED)
            .scope(scope.clone())
            .source(Source::new("gate"))
            .artifact(artifact.clone())
            .attribute("gate", if admission.is_admitted { "admitted" } else { "refused" });
        let event = told(event, &self.name, &admission.verdict);
        let event = event.build_at(core.clock.now(), &*core.entropy).ok()?;
        let published = self.within(self.options.timeout, self.engine.publish(event)).await;
        Some(published?.ok()?.id)
    }

    async fn within<T>(&self, span: Duration, work: impl Future<Output = T>) -> Option<T> {
        let work = std::pin::pin!(work);
        match select(work, self.engine.core.clock.sleep(span)).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        }
    }
}

/// What tells artifacts apart of which a scanner may say different things: all but the tags, as
/// JSON; `None` without a digest, since nothing else says what the content is.
fn fingerprint(artifact: &Artifact) -> Option<[u8; 32]> {
    artifact.digest.as_ref()?;
    let untagged = Artifact { tags: Vec::new(), ..artifact.clone() };
    Some(Sha256::digest(serde_json::to_vec(&untagged).ok()?).into())
}

impl fmt::Display for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_admitted { "admitted: " } else { "refused: " })?;
        match &self.verdict {
            Ok(report) => write!(f, "{report}"),
            Err(error) => write!(f, "nothing is known of it: {error}"),
        }
    }
}
