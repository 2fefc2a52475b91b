//! `tracing` and `metrics`: what they are told is what the manual lists, and holds no secret.
#![cfg(any(feature = "tracing", feature = "metrics"))]

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tracing")]
mod tracing;

use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{
    CancelReason, DeadReason, Delivery, EndpointKey, Outcome, Settlement, State,
};
use artifact_triggers::event::{Event, EventKind, Scope};
use artifact_triggers::id::TriggerId;
use artifact_triggers::incoming::ReceiveError;
use artifact_triggers::incoming::known::SkipReason;
use artifact_triggers::observer::{Observer, Publisher, StorageCall, Transition, TriggerStep};
use artifact_triggers::signature::SignError;
use artifact_triggers::storage::{Pruned, StorageError};
use artifact_triggers::trigger::SuspendReason;
use artifact_triggers::watch::UpstreamError;

use crate::bench::event;

const SECOND: Duration = Duration::from_secs(1);

/// The rows of the table in the manual that has a heading.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let page = include_str!("../../src/manual/observing.md");
    let section = page.split(&format!("# {heading}\n")).nth(1).expect("the page has the heading");
    let section = section.split("\n# ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches(['|', ' ']).split(" | ").collect()).collect()
}

fn delivery() -> Delivery {
    let trigger = TriggerId::from_bytes([1; 16]);
    let endpoint = EndpointKey::new("https://hooks.example");
    Delivery::new(event("a").id, trigger, scope(), endpoint, Timestamp::UNIX_EPOCH)
}

fn scope() -> Scope {
    "acme/platform/eu".parse().unwrap()
}

/// Tells an observer every transition there is, in every form that makes a difference.
fn tell_all(observer: &dyn Observer) {
    of_events(observer);
    of_deliveries(observer);
    let (id, scope) = (TriggerId::from_bytes([1; 16]), scope());
    for change in [
        TriggerStep::Created,
        TriggerStep::Changed,
        TriggerStep::Enabled,
        TriggerStep::Disabled,
        TriggerStep::Suspended(SuspendReason::EndpointGone),
        TriggerStep::Deleted,
    ] {
        let name = "scan-on-push";
        observer.observe(&Transition::TriggerChanged { trigger: id, scope: &scope, name, change });
    }
    let error = &StorageError::Unavailable { reason: "on purpose".to_owned() };
    observer.observe(&Transition::CredentialsMissing { trigger: id, reason: "on purpose" });
    observer.observe(&Transition::StorageFailed { call: StorageCall::Record, error });
    let error = &SignError::NoSigner { name: "vault".to_owned() };
    observer.observe(&Transition::NotSigned { trigger: id, error });
    let error = &UpstreamError::Throttled { retry_after: None };
    observer.observe(&Transition::PollFailed { trigger: id, error, failures: 2 });
    let problems = &Event::from_json(b"{}").unwrap_err();
    observer.observe(&Transition::OutboxRefused { position: 7, problems });
    observer.observe(&Transition::BackedOff { pause: SECOND });
    observer.observe(&Transition::RunBegun { runs: 1 });
    observer.observe(&Transition::RunEnded { runs: 0 });
    let mut pruned = Pruned::default();
    (pruned.deliveries, pruned.events, pruned.contents) = (2, 3, 4);
    observer.observe(&Transition::Pruned { pruned });
}

fn of_events(observer: &dyn Observer) {
    observer.observe(&Transition::Received { endpoint: Some("quay"), events: 1 });
    let error = &ReceiveError::TooLarge { found: 2, limit: 1 };
    observer.observe(&Transition::ReceiveRefused { endpoint: Some("quay"), error });
    for (endpoint, status) in [(Some("quay"), 429), (None, 404)] {
        observer.observe(&Transition::RequestRefused { endpoint, status });
    }
    let mut event = event("a");
    event.scope = scope();
    let id = event.id;
    for reason in [SkipReason::Unchanged, SkipReason::LeftOut, SkipReason::Replayed] {
        observer.observe(&Transition::Skipped { event: id, reason });
    }
    let problems = &Event::from_json(b"{}").unwrap_err();
    for by in [Publisher::Caller, Publisher::Receiver, Publisher::Outbox, Publisher::Engine] {
        observer.observe(&Transition::EventRefused { event: id, by, problems });
        observer.observe(&Transition::Accepted { event: &event, by });
        for duplicate in [false, true] {
            let event = &event;
            let (deliveries, took) = (usize::from(!duplicate), SECOND);
            observer.observe(&Transition::Published { event, by, duplicate, deliveries, took });
        }
    }
    let mut own = event.clone();
    own.kind = "acme.mirrored".parse::<EventKind>().unwrap();
    let by = Publisher::Caller;
    let published =
        |event| Transition::Published { event, by, duplicate: false, deliveries: 0, took: SECOND };
    observer.observe(&published(&own));
}

fn of_deliveries(observer: &dyn Observer) {
    let delivery = &delivery();
    let parked = &delivery.clone().with_state(State::Parked);
    observer.observe(&Transition::DeliveryMade { delivery });
    observer.observe(&Transition::DeliveryMade { delivery: parked });
    observer.observe(&Transition::Claimed { delivery });
    observer.observe(&Transition::AttemptBegun { delivery, overdue: Some(SECOND * 2) });
    observer.observe(&Transition::AttemptBegun { delivery, overdue: None });
    observer.observe(&Transition::AttemptEnded {
        delivery,
        outcome: &Outcome::Accepted,
        status: Some(200),
        took: SECOND * 3,
        since_due: Some(SECOND * 5),
        since_published: SECOND * 60,
    });
    observer.observe(&Transition::AttemptAbandoned { delivery });
    let at = Timestamp::UNIX_EPOCH;
    for settlement in &[
        Settlement::Delivered,
        Settlement::Retry { at },
        Settlement::Dead(DeadReason::Exhausted),
        Settlement::Cancelled(CancelReason::Superseded),
        Settlement::Parked,
        Settlement::Released { at },
    ] {
        let since_published = SECOND * 61;
        observer.observe(&Transition::Settled { delivery, settlement, since_published });
    }
    observer.observe(&Transition::LeaseLost { delivery, settlement: &Settlement::Delivered });
    observer.observe(&Transition::Replayed { deliveries: &[delivery.id, parked.id] });
}
