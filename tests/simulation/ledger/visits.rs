//! Attempts, as they come by on the wire.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{DeliveryPolicy, EndpointKey};
use artifact_triggers::id::{DeliveryId, MessageId};

use super::endpoints::Ticket;
use super::{Account, Books, Held, Ledger, Trip};
use crate::invariants::Invariant;
use crate::network::Reply;
use crate::node::Life;
use crate::trace::short;

/// An attempt that is on its way; cut off if it is dropped.
pub(crate) struct Visit {
    pub(crate) message: MessageId,
    ledger: Ledger,
    life: Life,
    delivery: DeliveryId,
    endpoint: EndpointKey,
    trip: usize,
    ticket: Ticket,
    has_ended: bool,
}

impl Visit {
    /// It ends with a reply.
    pub(crate) fn ends(mut self, reply: Reply) -> Reply {
        self.end(&reply);
        reply
    }

    fn end(&mut self, reply: &Reply) {
        self.has_ended = true;
        let now = self.ledger.time.now();
        let (class, status, not_before) = read(reply);
        self.ledger.trace.note(
            class,
            &[
                ("node", self.life.node),
                ("delivery", short(self.delivery.as_bytes())),
                ("status", status.unwrap_or_default().into()),
            ],
        );
        let books = &mut *self.ledger.lock();
        let policy = &books.rules.endpoints[&self.endpoint];
        if let Some(endpoint) = books.endpoints.get_mut(&(self.life, self.endpoint.clone())) {
            endpoint.end(self.ticket, class, &policy.breaker, now);
        }
        books.fared(books.accounts[&self.delivery].delivery.trigger, class == "accepted", now);
        let account = books.accounts.get_mut(&self.delivery).expect("it was begun");
        let trip = &mut account.visits[self.trip];
        let cap = now + DeliveryPolicy::MAX_RETRY_AFTER;
        let not_before = not_before.map(|at| at.min(cap));
        *trip = Trip { ended_at: Some(now), class, status, not_before, ..*trip };
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(&Reply::Silence);
        }
    }
}

/// What a reply means, by the rules of the design.
fn read(reply: &Reply) -> (&'static str, Option<u16>, Option<Timestamp>) {
    match reply {
        Reply::Status(status) => (class(*status), Some(*status), None),
        Reply::RetryAfter(status, _, until) => (class(*status), Some(*status), *until),
        Reply::Blocked => ("blocked", None, None),
        Reply::TimesOut | Reply::NoConnection | Reply::BreaksOff | Reply::Silence => {
            ("transient", None, None)
        }
    }
}

fn class(status: u16) -> &'static str {
    match status {
        200..=299 => "accepted",
        410 => "gone",
        429 | 502 | 503 | 504 => "throttled",
        408 | 425 | 500..=599 => "transient",
        _ => "rejected",
    }
}

impl Ledger {
    /// An attempt begins, at a time by the clock of the node. `None` if nobody knows the message.
    pub(crate) fn visit(
        &self,
        life: Life,
        message: Option<MessageId>,
        body: &[u8],
        nodes_time: Timestamp,
    ) -> Option<Visit> {
        let now = self.time.now();
        let mut books = self.lock();
        let found = message.and_then(|message| Some((message, *books.by_message.get(&message)?)));
        let Some((message, delivery)) = found else {
            let what = format!("{life:?} sends {message:?}, which was never recorded");
            books.violate(now, Invariant::MessagesStayTheSame, what);
            return None;
        };
        self.trace.note(
            "attempt",
            &[
                ("node", life.node),
                ("delivery", short(delivery.as_bytes())),
                ("bytes", body.len() as u64),
            ],
        );
        let (token, asked_at) = books.enter(life, delivery, nodes_time, now);
        for (invariant, what) in books.problems(delivery, token, body, now) {
            books.violate(now, invariant, format!("{delivery}: {what}"));
        }
        let ticket = books.count(life, delivery, asked_at, now);
        let account = books.accounts.get_mut(&delivery).expect("messages are of deliveries");
        account.made += 1;
        let (class, status, not_before) = ("transient", None, None);
        account.visits.push(Trip { life, token, ended_at: None, class, status, not_before });
        let (trip, endpoint) = (account.visits.len() - 1, account.delivery.endpoint.clone());
        books.counts.attempts += 1;
        let ledger = self.clone();
        Some(Visit { message, ledger, life, delivery, endpoint, trip, ticket, has_ended: false })
    }
}

impl Books {
    /// Checks the lease of an attempt that begins, and tells its token and when it was asked for.
    fn enter(
        &mut self,
        life: Life,
        delivery: DeliveryId,
        at: Timestamp,
        now: Timestamp,
    ) -> (u64, Timestamp) {
        let held = self.held.get_mut(&life).and_then(|held| held.get_mut(&delivery));
        let Some(held) = held.filter(|held| !held.is_attempted) else {
            let what = format!("{delivery} is attempted by {life:?} without a lease of its own");
            self.violate(now, Invariant::AttemptsAreCounted, what);
            return (0, now);
        };
        held.is_attempted = true;
        let Held { token, until, asked_at, .. } = *held;
        if until <= at {
            let what = format!("{delivery} is attempted under a lease that ran out at {until}");
            self.violate(now, Invariant::LeasesAreExclusive, what);
        }
        (token, asked_at)
    }

    fn problems(
        &mut self,
        delivery: DeliveryId,
        token: u64,
        body: &[u8],
        now: Timestamp,
    ) -> Vec<(Invariant, String)> {
        let account = &self.accounts[&delivery];
        let promise = &self.promises[&account.delivery.trigger];
        let mut problems = Vec::new();
        if *account.body != *body {
            problems.push((Invariant::MessagesStayTheSame, "the body is another".to_owned()));
        }
        // One that was begun under a lease that was lost may come after the end.
        if account.delivery.state.is_final() && self.rules.is_calm {
            let what = format!("it is attempted, but {:?}", account.delivery.state);
            problems.push((Invariant::SettledStaysSettled, what));
        }
        // Who has lost the lease by another's clock cannot know what another has settled.
        if token == account.token && now + self.rules.slack() < account.floor {
            let what = format!("it is attempted, although not before {}", account.floor);
            problems.push((Invariant::PausesAreKept, what));
        }
        let most = promise.attempts() + account.released;
        if account.made >= most {
            let what = format!("it is attempted once more than {most} times");
            problems.push((Invariant::AttemptsAreCounted, what));
        }
        problems.extend(self.doubled(account));
        if token == account.token {
            problems.extend(self.overtaken(account));
        }
        if self.is_known_suspended(account.delivery.trigger, now) {
            let what = "it is attempted, although its trigger is suspended".to_owned();
            problems.push((Invariant::DisabledOnlyIfFailing, what));
        }
        let waited = now.since(account.recorded_at);
        let story = self.stories[&account.delivery.trigger];
        let is_measured = account.visits.is_empty()
            && account.delivery.turn.is_none()
            && !account.is_late
            && promise.is_healthy
            && self.rules.is_calm;
        if is_measured && !story.was_suspended && !story.was_disabled {
            self.counts.measured += 1;
            let patience = self.rules.patience(account.before);
            if waited > patience {
                let what = format!("it waited {waited:?}, longer than {patience:?}");
                problems.push((Invariant::HealthyEndpointsAreServed, what));
            }
        }
        problems
    }

    fn doubled(&self, account: &Account) -> Option<(Invariant, String)> {
        let needless = |trip: &Trip| trip.ended_at.is_none() || trip.class == "accepted";
        (self.rules.is_calm && account.visits.iter().any(needless)).then(|| {
            let what = "it is attempted again, beside or after an attempt that is enough";
            (Invariant::NothingIsDoubledForNothing, what.to_owned())
        })
    }

    fn count(
        &mut self,
        life: Life,
        delivery: DeliveryId,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Ticket {
        let key = self.accounts[&delivery].delivery.endpoint.clone();
        let policy = &self.rules.endpoints[&key];
        let endpoint = self.endpoints.entry((life, key.clone())).or_default();
        let (ticket, problem) = endpoint.begin(policy, &self.rules, asked_at, now);
        if let Some(problem) = problem {
            let what = format!("{life:?} makes {problem} to {key}");
            self.violate(now, Invariant::LimitsHold, what);
        }
        let from_here = self.endpoints.iter().filter(|((of, _), _)| *of == life);
        let total: usize = from_here.map(|(_, endpoint)| endpoint.in_flight()).sum();
        let most = self.rules.places * self.rules.runs;
        if total > most {
            let what = format!("{life:?} makes {total} attempts at once, more than {most}");
            self.violate(now, Invariant::MemoryIsBounded, what);
        }
        ticket
    }
}
