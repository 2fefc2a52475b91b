//! What the engine does as events of [`tracing`](https://docs.rs/tracing).

use tracing::{Level, event};

use super::{Observer, Transition, TriggerStep};
use crate::delivery::{DeadReason, Delivery, Settlement};
use crate::storage::Pruned;

/// The target of every event.
pub const TARGET: &str = "artifact_triggers";

/// Tells each transition as an event of `tracing`, with the transition's name as its name.
///
/// Names, levels and fields are listed in the [manual](crate::manual::observing) and change only as
/// the API does; messages may change.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TracingObserver;

impl TracingObserver {
    /// An observer for the subscriber of whichever thread a transition happens in.
    pub fn new() -> Self {
        Self
    }
}

/// An event of a delivery: its name, its level, the delivery, its own fields, its message.
macro_rules! of_delivery {
    ($name:literal, $level:expr, $delivery:expr, {$($fields:tt)*}, $message:literal) => {
        event!(
            name: $name,
            target: TARGET,
            $level,
            delivery = %$delivery.id,
            event = %$delivery.event,
            trigger = %$delivery.trigger,
            scope = %$delivery.scope,
            endpoint = %$delivery.endpoint,
            $($fields)*
            $message
        )
    };
}

/// An event of anything else: its name, its level, its fields, its message.
macro_rules! of {
    ($name:literal, $level:expr, {$($fields:tt)*}, $message:literal) => {
        event!(name: $name, target: TARGET, $level, $($fields)* $message)
    };
}

impl Observer for TracingObserver {
    fn observe(&self, transition: &Transition<'_>) {
        match transition {
            Transition::Received { .. }
            | Transition::ReceiveRefused { .. }
            | Transition::RequestRefused { .. }
            | Transition::Skipped { .. }
            | Transition::EventRefused { .. }
            | Transition::Accepted { .. }
            | Transition::Published { .. } => of_event(transition),
            Transition::DeliveryMade { .. }
            | Transition::Claimed { .. }
            | Transition::AttemptBegun { .. }
            | Transition::AttemptEnded { .. }
            | Transition::AttemptAbandoned { .. } => of_attempt(transition),
            Transition::Settled { delivery, settlement, since_published } => {
                settled(delivery, settlement, since_published.as_secs_f64());
            }
            Transition::LeaseLost { delivery, settlement } => {
                let settlement = settlement.name();
                of_delivery!("lease_lost", Level::WARN, delivery, {settlement,}, "lease lost");
            }
            _ => of_engine(transition),
        }
    }
}

fn of_event(transition: &Transition<'_>) {
    match transition {
        Transition::Received { endpoint, events } => {
            of!("received", Level::DEBUG, {endpoint, events,}, "incoming webhook received");
        }
        Transition::ReceiveRefused { endpoint, error } => {
            let status = error.status();
            of!("receive_refused", Level::WARN,
                {endpoint, status, %error,},
                "incoming webhook refused");
        }
        Transition::RequestRefused { endpoint: endpoint @ Some(_), status } => {
            of!("request_refused", Level::WARN, {endpoint, status,}, "request refused");
        }
        // Whoever scans for endpoints is not to fill the log.
        Transition::RequestRefused { endpoint, status } => {
            of!("request_refused", Level::DEBUG, {endpoint, status,}, "request refused");
        }
        Transition::Skipped { event, reason } => {
            let reason = reason.as_str();
            of!("skipped", Level::DEBUG, {%event, reason,}, "event of a webhook skipped");
        }
        Transition::EventRefused { event, by, problems } => {
            let by = by.as_str();
            of!("event_refused", Level::WARN, {%event, by, %problems,}, "event refused");
        }
        Transition::Accepted { event, by } => {
            let (id, kind, scope, by) = (event.id, &event.kind, &event.scope, by.as_str());
            let trace_parent = event.correlation.trace_parent.as_deref();
            of!("accepted", Level::TRACE,
                {event = %id, %kind, %scope, by, trace_parent,},
                "event accepted");
        }
        Transition::Published { event, by, duplicate, deliveries, took } => {
            let (id, kind, scope, by) = (event.id, &event.kind, &event.scope, by.as_str());
            let trace_parent = event.correlation.trace_parent.as_deref();
            let took_seconds = took.as_secs_f64();
            of!("published", Level::DEBUG,
                {event = %id, %kind, %scope, by, trace_parent, duplicate, deliveries, took_seconds,},
                "event published");
        }
        _ => {}
    }
}

fn of_attempt(transition: &Transition<'_>) {
    match transition {
        Transition::DeliveryMade { delivery } => {
            let parked = delivery.state.is_final();
            of_delivery!("delivery_made", Level::DEBUG, delivery, {parked,}, "delivery made");
        }
        Transition::Claimed { delivery } => {
            let attempt = delivery.attempts;
            of_delivery!("claimed", Level::TRACE, delivery, {attempt,}, "delivery claimed");
        }
        Transition::AttemptBegun { delivery, overdue } => {
            let attempt = delivery.attempts;
            let overdue_seconds = overdue.map(|span| span.as_secs_f64());
            of_delivery!("attempt_begun", Level::DEBUG, delivery,
                {attempt, overdue_seconds,},
                "attempt begun");
        }
        Transition::AttemptEnded {
            delivery,
            outcome,
            status,
            took,
            since_due,
            since_published,
        } => {
            let (attempt, outcome) = (delivery.attempts, outcome.class());
            let took_seconds = took.as_secs_f64();
            let since_due_seconds = since_due.map(|span| span.as_secs_f64());
            let since_published_seconds = since_published.as_secs_f64();
            of_delivery!("attempt_ended", Level::DEBUG, delivery,
                {attempt, outcome, status, took_seconds, since_due_seconds,
                 since_published_seconds,},
                "attempt ended");
        }
        Transition::AttemptAbandoned { delivery } => {
            let attempt = delivery.attempts;
            of_delivery!("attempt_abandoned", Level::INFO, delivery, {attempt,}, "attempt abandoned");
        }
        _ => {}
    }
}

/// The level depends on what followed, and an event has its level for good, so there are three.
fn settled(delivery: &Delivery, settlement: &Settlement, since_published_seconds: f64) {
    let attempts = delivery.attempts;
    let name = settlement.name();
    let reason = match settlement {
        Settlement::Dead(reason) => Some(DeadReason::as_str(*reason)),
        _ => None,
    };
    let due = match settlement {
        Settlement::Retry { at } | Settlement::Released { at } => Some(tracing::field::display(at)),
        _ => None,
    };
    macro_rules! settled_at {
        ($level:expr) => {
            of_delivery!("settled", $level, delivery,
                {settlement = name, reason, due, attempts, since_published_seconds,},
                "delivery settled")
        };
    }
    match settlement {
        Settlement::Dead(_) => settled_at!(Level::WARN),
        Settlement::Retry { .. } => settled_at!(Level::INFO),
        _ => settled_at!(Level::DEBUG),
    }
}

fn of_engine(transition: &Transition<'_>) {
    match transition {
        Transition::Replayed { deliveries } => {
            let deliveries = deliveries.len();
            of!("replayed", Level::INFO, {deliveries,}, "deliveries replayed");
        }
        Transition::TriggerChanged { trigger, scope, name, change } => {
            let step = change.as_str();
            if let TriggerStep::Suspended(_) = change {
                of!("trigger_changed", Level::WARN,
                    {%trigger, %scope, trigger_name = *name, change = step,},
                    "trigger suspended");
            } else {
                of!("trigger_changed", Level::INFO,
                    {%trigger, %scope, trigger_name = *name, change = step,},
                    "trigger changed");
            }
        }
        Transition::StorageFailed { call, error } => {
            let call = call.as_str();
            of!("storage_failed", Level::ERROR, {call, %error,}, "storage failed");
        }
        Transition::CredentialsMissing { trigger, reason } => {
            of!("credentials_missing", Level::ERROR, {%trigger, reason,}, "credentials missing");
        }
        Transition::PollFailed { trigger, error, failures } => {
            of!("poll_failed", Level::WARN, {%trigger, %error, failures,}, "watch not polled");
        }
        Transition::NotSigned { trigger, error } => {
            of!("not_signed", Level::WARN, {%trigger, %error,}, "request not signed");
        }
        Transition::OutboxRefused { position, problems } => {
            of!("outbox_refused", Level::WARN, {position, %problems,}, "set aside in the outbox");
        }
        Transition::BackedOff { pause } => {
            let pause_seconds = pause.as_secs_f64();
            of!("backed_off", Level::WARN, {pause_seconds,}, "storage left alone for a while");
        }
        Transition::RunBegun { runs } => of!("run_begun", Level::INFO, {runs,}, "run begun"),
        Transition::RunEnded { runs } => of!("run_ended", Level::INFO, {runs,}, "run ended"),
        Transition::Pruned { pruned } => {
            let Pruned { deliveries, events, contents, .. } = *pruned;
            of!("pruned", Level::INFO, {deliveries, events, contents,}, "history pruned");
        }
        _ => {}
    }
}
