//! Attempts, as they come by on the wire.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{DeliveryPolicy, EndpointKey};
use artifact_triggers::id::{DeliveryId, MessageId};
use artifact_triggers::request::Request;
use serde_json::{Map, Value};

use super::endpoints::Ticket;
use super::{Account, Books, Held, Ledger, Trip};
use crate::invariants::Invariant;
use crate::network::Reply;
use crate::node::Life;
use crate::trace::short;

/// A message as it comes by.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) message: Option<MessageId>,
    pub(crate) body: Vec<u8>,
    /// Of a batch.
    pub(crate) is_entry: bool,
}

impl Parcel {
    /// What a request carries: one message, or those of a batch.
    pub(crate) fn of(request: &Request) -> Vec<Self> {
        let id = request.headers.only("webhook-id").unwrap_or_default();
        let message = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
        let Ok(entries) = serde_json::from_slice::<Vec<Map<String, Value>>>(&request.body) else {
            return vec![Self { message, body: request.body.to_vec(), is_entry: false }];
        };
        let entry = |mut entry: Map<String, Value>| {
            let id = entry.remove("id");
            let message = id.and_then(|id| id.as_str()?.parse().ok());
            let body = serde_json::to_vec(&entry).expect("it was read");
            Self { message, body, is_entry: true }
        };
        let mut parcels: Vec<Self> = entries.into_iter().map(entry).collect();
        let ids: Vec<MessageId> = parcels.iter().filter_map(|parcel| parcel.message).collect();
        if message != Some(MessageId::of_batch(&ids)) {
            for parcel in &mut parcels {
                parcel.message = None;
            }
        }
        parcels
    }

    /// Whether it is what was recorded.
    fn is(&self, body: &[u8]) -> bool {
        let read = |body: &[u8]| serde_json::from_slice::<Value>(body).ok();
        if self.is_entry { read(&self.body) == read(body) } else { self.body == body }
    }
}

/// An attempt that is on its way, of one delivery or of those of a batch; cut off if it is dropped.
pub(crate) struct Visit {
    pub(crate) messages: Vec<MessageId>,
    ledger: Ledger,
    life: Life,
    /// The deliveries, each with its trip.
    trips: Vec<(DeliveryId, usize)>,
    endpoint: EndpointKey,
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
        let books = &mut *self.ledger.lock();
        let policy = &books.rules.endpoints[&self.endpoint];
        if let Some(endpoint) = books.endpoints.get_mut(&(self.life, self.endpoint.clone())) {
            endpoint.end(self.ticket, class, &policy.breaker, now);
        }
        let cap = now + DeliveryPolicy::MAX_RETRY_AFTER;
        let not_before = not_before.map(|at| at.min(cap));
        for (delivery, trip) in &self.trips {
            self.ledger.trace.note(
                class,
                &[
                    ("node", self.life.node),
                    ("delivery", short(delivery.as_bytes())),
                    ("status", status.unwrap_or_default().into()),
                ],
            );
            books.fared(books.accounts[delivery].delivery.trigger, class == "accepted", now);
            let account = books.accounts.get_mut(delivery).expect("it was begun");
            let trip = &mut account.visits[*trip];
            *trip = Trip { ended_at: Some(now), class, status, not_before, ..*trip };
        }
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
    /// An attempt begins, at a time by the clock of the node. `None` if nobody knows a message of
    /// it.
    pub(crate) fn visit(
        &self,
        life: Life,
        parcels: &[Parcel],
        nodes_time: Timestamp,
    ) -> Option<Visit> {
        let now = self.time.now();
        let books = &mut *self.lock();
        let known = |parcel: &Parcel| {
            let message = parcel.message?;
            Some((message, *books.by_message.get(&message)?))
        };
        let Some(found) = parcels.iter().map(known).collect::<Option<Vec<_>>>() else {
            let what = format!("{life:?} sends {parcels:?}, which was never recorded");
            books.violate(now, Invariant::MessagesStayTheSame, what);
            return None;
        };
        if let Some(what) = books.misfit(parcels, &found) {
            books.violate(now, Invariant::BatchesAreWhole, what);
        }
        let mut asked_at = now;
        let mut trips = Vec::new();
        for (parcel, (_, delivery)) in parcels.iter().zip(&found) {
            let bytes = parcel.body.len() as u64;
            let id = short(delivery.as_bytes());
            let noted = [("node", life.node), ("delivery", id), ("bytes", bytes)];
            self.trace.note("attempt", &noted);
            let (token, asked) = books.enter(life, *delivery, nodes_time, now);
            asked_at = asked_at.min(asked);
            for (invariant, what) in books.problems(*delivery, token, parcel, now) {
                books.violate(now, invariant, format!("{delivery}: {what}"));
            }
            trips.push((*delivery, token));
        }
        let ticket = books.count(life, trips[0].0, asked_at, now);
        books.counts.attempts += trips.len();
        books.counts.batches += usize::from(trips.len() > 1);
        let endpoint = books.accounts[&trips[0].0].delivery.endpoint.clone();
        let mut begin = |(delivery, token)| {
            let account = books.accounts.get_mut(&delivery).expect("messages are of deliveries");
            account.made += 1;
            let (class, status, not_before) = ("transient", None, None);
            account.visits.push(Trip { life, token, ended_at: None, class, status, not_before });
            (delivery, account.visits.len() - 1)
        };
        let trips = trips.into_iter().map(&mut begin).collect();
        let messages = found.into_iter().map(|(message, _)| message).collect();
        let ledger = self.clone();
        Some(Visit { messages, ledger, life, trips, endpoint, ticket, has_ended: false })
    }
}

impl Books {
    /// What is wrong with how messages were put together.
    fn misfit(&self, parcels: &[Parcel], found: &[(MessageId, DeliveryId)]) -> Option<String> {
        let of = |delivery: &DeliveryId| {
            let delivery = &self.accounts[delivery].delivery;
            (delivery.trigger, &delivery.endpoint)
        };
        let first = of(&found.first()?.1);
        let batch = self.promises[&first.0].batch;
        if batch.is_some() != parcels[0].is_entry {
            return Some(format!("{found:?} has a form that {batch:?} does not ask for"));
        }
        if found.iter().any(|(_, delivery)| of(delivery) != first) {
            return Some(format!("{found:?} is not of one trigger and endpoint"));
        }
        let bytes: usize =
            found.iter().map(|(_, delivery)| self.accounts[delivery].body.len()).sum();
        let is_too_large = batch.is_some_and(|batch| {
            found.len() > batch.max_events || found.len() > 1 && bytes > batch.max_bytes
        });
        is_too_large.then(|| format!("{found:?} of {bytes} bytes is more than {batch:?}"))
    }

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
        parcel: &Parcel,
        now: Timestamp,
    ) -> Vec<(Invariant, String)> {
        let account = &self.accounts[&delivery];
        let promise = &self.promises[&account.delivery.trigger];
        let mut problems = Vec::new();
        if !parcel.is(&account.body) {
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
            && promise.coalesce.is_none()
            && promise.is_healthy
            && self.rules.is_calm;
        if is_measured && !story.was_suspended && !story.was_disabled {
            self.counts.measured += 1;
            let patience = self.rules.patience(account.before) + promise.linger();
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
