//! What the engine does, counted and measured through [`metrics`](https://docs.rs/metrics).

use std::time::Duration;

use metrics::{Label, Unit};

use super::{Observer, Publisher, Transition, TriggerStep};
use crate::delivery::{Delivery, Outcome, Settlement};
use crate::event::{Event, EventKind, Scope};

/// A metric that [`MetricsObserver`] records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its labels, in order, without that of the scope.
    pub labels: &'static [&'static str],
    /// Whether it can have the label [`SCOPE`].
    pub scoped: bool,
    /// What it tells.
    pub about: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Grows and shrinks.
    Gauge,
    /// A distribution of spans of time, in seconds.
    Histogram,
}

/// The label of [`MetricsObserver::with_scope`].
pub const SCOPE: &str = "scope";

/// The value of the label `kind` for an event whose kind this crate does not know.
pub const OTHER_KIND: &str = "other";

macro_rules! metrics_table {
    ($($name:ident: $kind:ident $text:literal $labels:tt $scoped:literal $about:literal;)*) => {
        $(const $name: &str = $text;)*

        /// All metrics that [`MetricsObserver`] records.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: MetricKind::$kind,
            labels: &$labels,
            scoped: $scoped,
            about: $about,
        }),*];
    };
}

metrics_table! {
    ACCEPTED: Counter "artifact_triggers_events_accepted_total" ["by"] true
        "events that were good and went to the storage";
    PUBLISHED: Counter "artifact_triggers_events_published_total" ["by", "kind"] true
        "events that were stored";
    DUPLICATE: Counter "artifact_triggers_events_duplicate_total" ["by"] true
        "events that were known by their id";
    REFUSED: Counter "artifact_triggers_events_refused_total" ["by"] false
        "events that broke a rule";
    SKIPPED: Counter "artifact_triggers_events_skipped_total" ["reason"] false
        "events of incoming webhooks that are told to nobody";
    RECEIVED: Counter "artifact_triggers_webhooks_received_total" [] false
        "incoming webhooks that were verified and understood";
    RECEIVE_REFUSED: Counter "artifact_triggers_webhooks_refused_total" ["status"] false
        "incoming webhooks that were refused, by the status to answer with";
    MADE: Counter "artifact_triggers_deliveries_made_total" ["state"] true
        "deliveries made, waiting or parked";
    CLAIMED: Counter "artifact_triggers_deliveries_claimed_total" [] true
        "leases taken";
    SETTLED: Counter "artifact_triggers_deliveries_settled_total" ["settlement"] true
        "what followed";
    DEAD: Counter "artifact_triggers_deliveries_dead_total" ["reason"] true
        "dead letters";
    LEASES_LOST: Counter "artifact_triggers_leases_lost_total" [] true
        "results that were dropped, the lease being another's";
    REPLAYED: Counter "artifact_triggers_deliveries_replayed_total" [] false
        "dead and parked deliveries that wait again";
    ATTEMPTS: Counter "artifact_triggers_attempts_total" ["outcome"] true
        "attempts that ended, by what came of them";
    ABANDONED: Counter "artifact_triggers_attempts_abandoned_total" [] true
        "attempts that were dropped before their outcome was known";
    IN_FLIGHT: Gauge "artifact_triggers_attempts_in_flight" [] true
        "attempts under way";
    TRIGGERS: Counter "artifact_triggers_triggers_changed_total" ["change"] true
        "changes made to triggers through this engine";
    NOT_SIGNED: Counter "artifact_triggers_requests_not_signed_total" [] false
        "requests that could not be signed";
    POLLS_FAILED: Counter "artifact_triggers_polls_failed_total" [] false
        "what was watched and could not be polled";
    OUTBOX_REFUSED: Counter "artifact_triggers_outbox_refused_total" [] false
        "what was left in the outbox and set aside";
    CREDENTIALS_MISSING: Counter "artifact_triggers_credentials_missing_total" [] false
        "attempts that could not be made for want of a credential";
    STORAGE_FAILURES: Counter "artifact_triggers_storage_failures_total" ["call"] false
        "calls to the storage that failed";
    BACK_OFFS: Counter "artifact_triggers_storage_back_offs_total" [] false
        "pauses made since the storage failed";
    RUNS: Gauge "artifact_triggers_runs" [] false
        "runs that deliver";
    PRUNED: Counter "artifact_triggers_pruned_total" ["what"] false
        "deliveries and events deleted as history, and deliveries whose contents were dropped";
    PUBLISH_SECONDS: Histogram "artifact_triggers_publish_seconds" ["by"] true
        "from the call to publish until the event was durable";
    OVERDUE_SECONDS: Histogram "artifact_triggers_attempt_overdue_seconds" [] true
        "from when a delivery was due until its attempt began";
    ATTEMPT_SECONDS: Histogram "artifact_triggers_attempt_seconds" ["outcome"] true
        "how long attempts took";
    DELIVERED_SECONDS: Histogram "artifact_triggers_delivered_seconds" [] true
        "from when a delivery was made until it was delivered and written down";
}

/// Counts and measures transitions through the recorder that `metrics` has.
///
/// Names, units and labels are [`METRICS`], listed in the [manual](crate::manual::observing). Every
/// label has a small number of values whatever is published: neither endpoints nor triggers are
/// labels, and a kind of event that this crate does not know is [`OTHER_KIND`].
#[derive(Debug, Clone, Default)]
pub struct MetricsObserver {
    scope_segments: usize,
}

impl MetricsObserver {
    /// An observer without scopes, which describes its metrics to the recorder there is: install
    /// that first.
    pub fn new() -> Self {
        for metric in METRICS {
            let (name, about) = (metric.name, metric.about);
            match metric.kind {
                MetricKind::Counter => metrics::describe_counter!(name, Unit::Count, about),
                MetricKind::Gauge => metrics::describe_gauge!(name, Unit::Count, about),
                MetricKind::Histogram => metrics::describe_histogram!(name, Unit::Seconds, about),
            }
        }
        Self::default()
    }

    /// Adds the label [`SCOPE`] with the first so many segments of the scope. It has as many values
    /// as there are such scopes: choose accordingly.
    pub fn with_scope(mut self, segments: usize) -> Self {
        self.scope_segments = segments;
        self
    }

    fn labels<const N: usize>(
        &self,
        scope: &Scope,
        labels: [(&'static str, &'static str); N],
    ) -> Vec<Label> {
        let mut all = fixed(labels);
        if self.scope_segments > 0 {
            let cut = scope.ancestors().take(self.scope_segments + 1).last().unwrap_or_default();
            all.push(Label::new(SCOPE, cut.to_owned()));
        }
        all
    }

    fn published(&self, event: &Event, by: Publisher, duplicate: bool, took: Duration) {
        let (scope, by) = (&event.scope, ("by", by.as_str()));
        if duplicate {
            count(DUPLICATE, 1, self.labels(scope, [by]));
        } else {
            count(PUBLISHED, 1, self.labels(scope, [by, ("kind", kind(&event.kind))]));
        }
        measure(PUBLISH_SECONDS, took, self.labels(scope, [by]));
    }

    fn ended(&self, delivery: &Delivery, outcome: &Outcome, took: Duration) {
        let labels = self.labels(&delivery.scope, [("outcome", outcome.class())]);
        count(ATTEMPTS, 1, labels.clone());
        measure(ATTEMPT_SECONDS, took, labels);
        self.in_flight(delivery, -1.0);
    }

    fn in_flight(&self, delivery: &Delivery, change: f64) {
        metrics::gauge!(IN_FLIGHT, self.labels(&delivery.scope, [])).increment(change);
    }

    fn settled(&self, delivery: &Delivery, settlement: &Settlement, since_published: Duration) {
        let scope = &delivery.scope;
        count(SETTLED, 1, self.labels(scope, [("settlement", settlement.name())]));
        match settlement {
            Settlement::Delivered => {
                measure(DELIVERED_SECONDS, since_published, self.labels(scope, []));
            }
            Settlement::Dead(reason) => {
                count(DEAD, 1, self.labels(scope, [("reason", reason.as_str())]));
            }
            _ => {}
        }
    }

    fn of_delivery(&self, transition: &Transition<'_>) {
        match *transition {
            Transition::DeliveryMade { delivery } => {
                let state = if delivery.state.is_final() { "parked" } else { "waiting" };
                count(MADE, 1, self.labels(&delivery.scope, [("state", state)]));
            }
            Transition::Claimed { delivery } => {
                count(CLAIMED, 1, self.labels(&delivery.scope, []));
            }
            Transition::AttemptBegun { delivery, overdue } => {
                if let Some(overdue) = overdue {
                    measure(OVERDUE_SECONDS, overdue, self.labels(&delivery.scope, []));
                }
                self.in_flight(delivery, 1.0);
            }
            Transition::AttemptEnded { delivery, outcome, took, .. } => {
                self.ended(delivery, outcome, took);
            }
            Transition::AttemptAbandoned { delivery } => {
                count(ABANDONED, 1, self.labels(&delivery.scope, []));
                self.in_flight(delivery, -1.0);
            }
            Transition::Settled { delivery, settlement, since_published } => {
                self.settled(delivery, settlement, since_published);
            }
            Transition::LeaseLost { delivery, .. } => {
                count(LEASES_LOST, 1, self.labels(&delivery.scope, []));
            }
            _ => {}
        }
    }
}

impl Observer for MetricsObserver {
    fn observe(&self, transition: &Transition<'_>) {
        match *transition {
            Transition::Received { .. } => count(RECEIVED, 1, Vec::new()),
            Transition::ReceiveRefused { error, .. } => receive_refused(error.status()),
            Transition::RequestRefused { status, .. } => receive_refused(status),
            Transition::Skipped { reason, .. } => {
                count(SKIPPED, 1, fixed([("reason", reason.as_str())]));
            }
            Transition::EventRefused { by, .. } => count(REFUSED, 1, fixed([("by", by.as_str())])),
            Transition::Accepted { event, by } => {
                count(ACCEPTED, 1, self.labels(&event.scope, [("by", by.as_str())]));
            }
            Transition::Published { event, by, duplicate, took, .. } => {
                self.published(event, by, duplicate, took);
            }
            Transition::TriggerChanged { scope, change, .. } => {
                count(TRIGGERS, 1, self.labels(scope, [("change", TriggerStep::as_str(change))]));
            }
            Transition::Replayed { deliveries } => count(REPLAYED, deliveries.len(), Vec::new()),
            Transition::CredentialsMissing { .. } => count(CREDENTIALS_MISSING, 1, fixed([])),
            Transition::StorageFailed { call, .. } => {
                count(STORAGE_FAILURES, 1, fixed([("call", call.as_str())]));
            }
            Transition::PollFailed { .. } => count(POLLS_FAILED, 1, Vec::new()),
            Transition::NotSigned { .. } => count(NOT_SIGNED, 1, Vec::new()),
            Transition::OutboxRefused { .. } => count(OUTBOX_REFUSED, 1, Vec::new()),
            Transition::BackedOff { .. } => count(BACK_OFFS, 1, Vec::new()),
            // Not set but changed: several engines of a process share the gauge.
            Transition::RunBegun { .. } => metrics::gauge!(RUNS).increment(1.0),
            Transition::RunEnded { .. } => metrics::gauge!(RUNS).decrement(1.0),
            Transition::Pruned { pruned } => {
                count(PRUNED, pruned.deliveries, fixed([("what", "deliveries")]));
                count(PRUNED, pruned.events, fixed([("what", "events")]));
                count(PRUNED, pruned.contents, fixed([("what", "contents")]));
            }
            _ => self.of_delivery(transition),
        }
    }
}

fn receive_refused(status: u16) {
    count(RECEIVE_REFUSED, 1, vec![Label::new("status", status.to_string())]);
}

fn fixed<const N: usize>(labels: [(&'static str, &'static str); N]) -> Vec<Label> {
    labels.into_iter().map(|(name, value)| Label::from_static_parts(name, value)).collect()
}

/// A kind of event as a label.
fn kind(kind: &EventKind) -> &'static str {
    EventKind::KNOWN.iter().find(|known| *known == kind).map_or(OTHER_KIND, EventKind::as_str)
}

fn count(name: &'static str, amount: usize, labels: Vec<Label>) {
    metrics::counter!(name, labels).increment(amount as u64);
}

fn measure(name: &'static str, span: Duration, labels: Vec<Label>) {
    metrics::histogram!(name, labels).record(span.as_secs_f64());
}
