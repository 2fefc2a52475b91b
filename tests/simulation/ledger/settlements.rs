//! Settlements, as they must follow from what happened.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Attempt, CancelReason, DeadReason, Settlement, State};
use artifact_triggers::event::EventKind;
use artifact_triggers::storage::{Record, Recorded, Settle, Settled};

use super::{Account, Books, Story, Trip};
use crate::invariants::Invariant;
use crate::node::Life;
use crate::plan::{Promise, Rules, SECOND};
use crate::trace::{Trace, short};

type Problem = (Invariant, String);

impl Books {
    pub(super) fn settle(
        &mut self,
        life: Life,
        settle: &Settle,
        settled: Settled,
        at: Timestamp,
        now: Timestamp,
        trace: &Trace,
    ) {
        let id = settle.lease.delivery;
        trace.note(
            name(&settle.settlement),
            &[
                ("node", life.node),
                ("delivery", short(id.as_bytes())),
                ("lost", u64::from(settled == Settled::LeaseLost)),
            ],
        );
        if let Some((invariant, what)) = self.check_holder(settle, settled) {
            self.violate(now, invariant, format!("{id}: {what}"));
        }
        if settled == Settled::LeaseLost {
            self.counts.leases_lost += 1;
            return;
        }
        for (invariant, what) in self.check_settlement(life, settle, at) {
            self.violate(now, invariant, format!("{id}: {what}"));
        }
        self.write_down(life, settle, at);
        if settle.settlement == Settlement::Delivered {
            self.succeeded(self.accounts[&id].delivery.trigger, now);
        }
        for record in &settle.records {
            if record.event_id().is_some_and(|event| !self.events.contains(&event)) {
                self.record(record, Recorded::Stored, now);
            }
        }
        self.next_after(id, at);
    }

    /// Whether the lease is what the storage says of it.
    fn check_holder(&self, settle: &Settle, settled: Settled) -> Option<Problem> {
        let Some(account) = self.accounts.get(&settle.lease.delivery) else {
            return Some((Invariant::NothingIsLost, "it was never recorded".to_owned()));
        };
        let state = &account.delivery.state;
        let is_leased = matches!(state, State::Leased { .. });
        let is_held = is_leased && account.token == settle.lease.token;
        match settled {
            Settled::Done if state.is_final() => {
                let what = format!("it is settled, but {state:?}");
                Some((Invariant::SettledStaysSettled, what))
            }
            Settled::Done if !is_held => {
                let what = format!("it is settled by {:?}, the latest is another", settle.lease);
                Some((Invariant::LeasesAreExclusive, what))
            }
            Settled::LeaseLost if is_held => {
                Some((Invariant::LeasesAreExclusive, "its latest lease counts as lost".to_owned()))
            }
            _ => None,
        }
    }

    fn check_settlement(&self, life: Life, settle: &Settle, at: Timestamp) -> Vec<Problem> {
        let account = &self.accounts[&settle.lease.delivery];
        let promise = &self.promises[&account.delivery.trigger];
        let story = self.stories[&account.delivery.trigger];
        let mut problems = Vec::new();
        let is_superseded = settle.settlement == Settlement::Cancelled(CancelReason::Superseded);
        if is_superseded && !account.is_late && !self.is_outdated(account) {
            let what = "it is superseded, and the newest".to_owned();
            problems.push((Invariant::BurstsGoOnce, what));
        }
        match settle.attempts.as_slice() {
            _ if is_superseded => {}
            [] => {
                problems.extend(without_attempt(account, promise, story, &settle.settlement, at));
            }
            [attempt] => {
                let trip = account.trip(life, settle.lease.token);
                problems.extend(with_attempt(account, promise, settle, attempt, trip, &self.rules));
            }
            _ => {
                let what = "a settlement logs more than one attempt".to_owned();
                problems.push((Invariant::NothingIsLost, what));
            }
        }
        let is_exhausted = settle.settlement == Settlement::Dead(DeadReason::Exhausted);
        if is_exhausted && self.rules.is_calm && account.made < promise.attempts() {
            let what = format!("it is dead after {} attempts only", account.made);
            problems.push((Invariant::AttemptsAreCounted, what));
        }
        let is_dead = matches!(settle.settlement, Settlement::Dead(_));
        let tells = || {
            let id = account.delivery.id.to_string();
            settle.records.iter().any(|record| is_death_of(record, &id))
        };
        if is_dead && !self.own.contains(&account.delivery.event) && !tells() {
            problems.push((Invariant::DeadLettersAreTold, "it is dead, and not told".to_owned()));
        }
        problems
    }

    fn write_down(&mut self, life: Life, settle: &Settle, at: Timestamp) {
        let account = self.accounts.get_mut(&settle.lease.delivery).expect("it was checked");
        let promise = &self.promises[&account.delivery.trigger];
        let was_final = account.delivery.state.is_final();
        account.delivery.state = settle.settlement.state();
        account.settled_at = at;
        if let Settlement::Extended { .. } = settle.settlement {
            return;
        }
        if matches!(settle.settlement, Settlement::Parked | Settlement::Released { .. }) {
            account.delivery.attempts = account.delivery.attempts.saturating_sub(1);
            account.released += 1;
        }
        account.kept = account.delivery.attempts;
        account.floor = match (&settle.settlement, account.trip(life, settle.lease.token)) {
            (Settlement::Retry { .. }, Some(Trip { ended_at: Some(ended), not_before, .. })) => {
                let pause = promise.pause(settle.attempts.first().map_or(0, |a| a.number));
                let policy = *ended + promise.least(pause.unwrap_or_default());
                not_before.map_or(policy, |at| at.max(policy))
            }
            _ => Timestamp::MIN,
        };
        self.open += usize::from(was_final);
        self.open -= usize::from(account.delivery.state.is_final());
        let counts = &mut self.counts;
        match settle.settlement {
            Settlement::Dead(_) => counts.dead += 1,
            Settlement::Parked => counts.parked += 1,
            Settlement::Cancelled(_) => counts.cancelled += 1,
            _ => {}
        }
    }
}

impl Account {
    /// The attempt that was made under a lease, if it has ended.
    fn trip(&self, life: Life, token: u64) -> Option<&Trip> {
        let is_it = |trip: &&Trip| trip.life == life && trip.token == token;
        self.visits.iter().rev().find(is_it).filter(|trip| trip.ended_at.is_some())
    }
}

fn name(settlement: &Settlement) -> &'static str {
    match settlement {
        Settlement::Delivered => "settle delivered",
        Settlement::Retry { .. } => "settle retry",
        Settlement::Dead(reason) => reason.as_str(),
        Settlement::Cancelled(_) => "settle cancelled",
        Settlement::Parked => "settle parked",
        Settlement::Released { .. } => "settle released",
        Settlement::Extended { .. } => "settle extended",
        _ => "settle",
    }
}

/// Whether a record tells of the death of a delivery.
fn is_death_of(record: &Record, delivery: &str) -> bool {
    record.event.as_ref().is_some_and(|new| {
        let of = new.event.attributes.get("delivery").map(String::as_str);
        new.event.kind == EventKind::DELIVERY_DEAD && of == Some(delivery)
    })
}

fn without_attempt(
    account: &Account,
    promise: &Promise,
    story: Story,
    settlement: &Settlement,
    nodes_time: Timestamp,
) -> Option<Problem> {
    let is_justified = match settlement {
        // The lease of an attempt that goes on.
        Settlement::Extended { .. } => account.visits.iter().any(|trip| trip.ended_at.is_none()),
        Settlement::Released { .. } => true,
        Settlement::Parked => story.was_disabled || story.was_suspended,
        Settlement::Cancelled(CancelReason::TriggerDeleted) => story.was_deleted,
        // All its attempts were begun, and their outcomes lost.
        Settlement::Dead(DeadReason::Exhausted) => account.delivery.attempts > promise.attempts(),
        Settlement::Dead(DeadReason::TooOld) => {
            promise.max_age.is_some_and(|age| nodes_time > account.delivery.created_at + age)
        }
        _ => false,
    };
    let what = format!("it is settled as {settlement:?} without an attempt or a reason");
    (!is_justified).then_some((Invariant::NothingIsLost, what))
}

fn with_attempt(
    account: &Account,
    promise: &Promise,
    settle: &Settle,
    attempt: &Attempt,
    trip: Option<&Trip>,
    rules: &Rules,
) -> Option<Problem> {
    let Some(trip) = trip else {
        let what = "an attempt is logged that was never made".to_owned();
        return Some((Invariant::NothingIsLost, what));
    };
    // An action has no status.
    let is_status = promise.is_action || attempt.status == trip.status;
    if attempt.outcome.class() != trip.class || !is_status {
        let (logged, was) = (&attempt.outcome, trip.class);
        return Some((Invariant::NothingIsLost, format!("{logged:?} is logged, it was {was}")));
    }
    if attempt.number != account.delivery.attempts {
        let what = format!("attempt {} is logged as {}", account.delivery.attempts, attempt.number);
        return Some((Invariant::AttemptsAreCounted, what));
    }
    let pause = promise.pause(attempt.number);
    let asked = trip.not_before.map_or(attempt.ended_at, |at| at.max(attempt.ended_at));
    let at = match (&settle.settlement, pause) {
        (Settlement::Retry { at }, Some(_)) => *at,
        (Settlement::Retry { .. }, None) => {
            let what = format!("attempt {} is to be followed by another", attempt.number);
            return Some((Invariant::AttemptsAreCounted, what));
        }
        _ => {
            // As late as jitter may make it.
            let latest = (attempt.ended_at + pause.unwrap_or_default() * 6 / 5)
                .max(asked + asked.since(attempt.ended_at) / 5 + rules.slack() + SECOND);
            let is_too_old =
                promise.max_age.is_some_and(|age| latest > account.delivery.created_at + age);
            return follows(promise, trip, pause.is_some(), is_too_old, &settle.settlement);
        }
    };
    if ["accepted", "gone", "blocked"].contains(&trip.class) {
        let what = format!("it is to be tried again after it was {}", trip.class);
        return Some((Invariant::NothingIsLost, what));
    }
    let least = attempt.ended_at + promise.least(pause.unwrap_or_default());
    // A date has whole seconds, and is read by a clock that may be wrong.
    let is_early = at < least || at + rules.slack() + SECOND < asked;
    is_early.then(|| (Invariant::PausesAreKept, format!("it is due at {at}, not {least}, {asked}")))
}

/// Whether an end follows from an attempt.
fn follows(
    promise: &Promise,
    trip: &Trip,
    has_more: bool,
    is_too_old: bool,
    settlement: &Settlement,
) -> Option<Problem> {
    let is_refused = trip.status.is_some_and(|status| promise.final_statuses.contains(&status));
    let is_justified = match settlement {
        Settlement::Delivered => trip.class == "accepted",
        Settlement::Dead(DeadReason::Gone) => trip.class == "gone",
        Settlement::Dead(DeadReason::Blocked) => trip.class == "blocked",
        Settlement::Dead(DeadReason::Refused) => is_refused,
        Settlement::Dead(DeadReason::Exhausted) => trip.class != "accepted" && !has_more,
        Settlement::Dead(DeadReason::TooOld) => trip.class != "accepted" && is_too_old,
        _ => false,
    };
    let what = format!("{settlement:?} follows an attempt that was {}", trip.class);
    (!is_justified).then_some((Invariant::NothingIsLost, what))
}
