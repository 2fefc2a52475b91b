//! The ledger: everything that happened, seen at the storage and on the wire, and checked against
//! the invariants at once. It decides by rules of its own, not by the engine's code.

mod bursts;
mod claims;
mod ending;
mod endpoints;
mod health;
mod jobs;
mod order;
mod pruned;
mod schedules;
mod settlements;
mod visits;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{CancelReason, Delivery, EndpointKey, Settlement, State};
use artifact_triggers::event::EventKind;
use artifact_triggers::id::{DeliveryId, EventId, MessageId, OrderingKey, TriggerId};
use artifact_triggers::storage::{Fate, Prune, Record, Recorded, Replay};

pub(crate) use visits::{Parcel, Visit};

use bursts::Told;
use endpoints::Endpoint;
use health::Story;
use jobs::Job;
use schedules::Timetable;

use crate::clock::Time;
use crate::invariants::{Invariant, Violation};
use crate::node::Life;
use crate::plan::{EventPlan, Promise, Rules, TriggerPlan};
use crate::storage::{Answer, Call};
use crate::trace::{Trace, short};

/// What the engine itself tells, and no dead letter is told of.
const OWN: [EventKind; 3] =
    [EventKind::DELIVERY_DEAD, EventKind::TRIGGER_DISABLED, EventKind::TRIGGER_FAILING];
/// The most violations that are kept.
const MAX_VIOLATIONS: usize = 20;

/// Clones share one ledger.
#[derive(Clone)]
pub(crate) struct Ledger {
    books: Arc<Mutex<Books>>,
    time: Time,
    trace: Trace,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ledger")
    }
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    rules: Rules,
    promises: BTreeMap<TriggerId, Promise>,
    accounts: BTreeMap<DeliveryId, Account>,
    by_message: BTreeMap<MessageId, DeliveryId>,
    events: BTreeSet<EventId>,
    /// Deliveries of events that the engine itself tells.
    own: BTreeSet<EventId>,
    stories: BTreeMap<TriggerId, Story>,
    plans: BTreeMap<TriggerId, TriggerPlan>,
    acknowledged: Vec<(EventId, EventPlan)>,
    /// What each life was given and has not been told to be settled.
    held: BTreeMap<Life, BTreeMap<DeliveryId, Held>>,
    endpoints: BTreeMap<(Life, EndpointKey), Endpoint>,
    /// The deliveries of each ordering key, in the order in which they were recorded.
    lines: BTreeMap<OrderingKey, Vec<DeliveryId>>,
    jobs: BTreeMap<String, Job>,
    timetables: BTreeMap<TriggerId, Timetable>,
    /// How many turns were given and taken.
    turns: u64,
    /// How many deliveries have not ended.
    open: usize,
    /// What has ended may be gone.
    is_pruned: bool,
    violations: Vec<Violation>,
    pub(crate) counts: Counts,
}

/// A lease as the engine knows it.
#[derive(Debug, Clone, Copy)]
struct Held {
    token: u64,
    /// By the clock of the node.
    until: Timestamp,
    /// When it was asked for, in true time.
    asked_at: Timestamp,
    is_attempted: bool,
}

/// What came to pass, to show that it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) deliveries: usize,
    pub(crate) attempts: usize,
    pub(crate) leases_lost: usize,
    pub(crate) dead: usize,
    pub(crate) parked: usize,
    pub(crate) cancelled: usize,
    pub(crate) disabled: usize,
    pub(crate) replayed: usize,
    pub(crate) jobs: usize,
    pub(crate) backfilled: usize,
    /// Attempts whose delay was held against what healthy endpoints are promised.
    pub(crate) measured: usize,
    /// Messages that receivers took more than once.
    pub(crate) doubles: usize,
    /// Requests with several deliveries.
    pub(crate) batches: usize,
    pub(crate) superseded: usize,
    /// Due times that were fired.
    pub(crate) fired: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.deliveries += other.deliveries;
        self.attempts += other.attempts;
        self.leases_lost += other.leases_lost;
        self.dead += other.dead;
        self.parked += other.parked;
        self.cancelled += other.cancelled;
        self.disabled += other.disabled;
        self.replayed += other.replayed;
        self.jobs += other.jobs;
        self.backfilled += other.backfilled;
        self.measured += other.measured;
        self.doubles += other.doubles;
        self.batches += other.batches;
        self.superseded += other.superseded;
        self.fired += other.fired;
    }
}

/// A delivery as it must stand.
#[derive(Debug)]
struct Account {
    delivery: Delivery,
    body: Arc<[u8]>,
    token: u64,
    visits: Vec<Trip>,
    /// Attempts that were made since it was recorded or replayed.
    made: u32,
    /// How often it was given back without an attempt being counted, or the count was lost with its
    /// process.
    released: u32,
    /// How many attempts were counted when that was last written down.
    kept: u32,
    /// Whether it may have ended the process before, so that its attempts are written down with
    /// claims.
    is_suspect: bool,
    /// No attempt before this, in true time.
    floor: Timestamp,
    recorded_at: Timestamp,
    settled_at: Timestamp,
    /// The storage has it no more.
    is_gone: bool,
    /// A backfill made it.
    is_late: bool,
    replays: u32,
    /// When its turn in an order came, and when it was put back into the line, by the number of
    /// turns.
    turn_at: u64,
    queued_at: u64,
    /// How many healthy deliveries were open when it was recorded.
    before: usize,
    /// What it is coalesced by, if it is.
    told: Option<Told>,
}

/// One attempt as it went by.
#[derive(Debug)]
struct Trip {
    life: Life,
    token: u64,
    ended_at: Option<Timestamp>,
    /// As [`Outcome::class`](artifact_triggers::delivery::Outcome::class) names it.
    class: &'static str,
    status: Option<u16>,
    not_before: Option<Timestamp>,
}

impl Ledger {
    pub(crate) fn new(rules: Rules, time: Time, trace: Trace) -> Self {
        let books = Books { rules, ..Books::default() };
        Self { books: Arc::new(Mutex::new(books)), time, trace }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    pub(crate) fn promise(&self, trigger: TriggerId, plan: &TriggerPlan) {
        let mut books = self.lock();
        books.promises.insert(trigger, plan.promise.clone());
        if let Some(schedule) = &plan.schedule {
            let table = Timetable::of(trigger, schedule, self.time.now(), !plan.is_touched);
            books.timetables.insert(trigger, table);
        }
        books.plans.insert(trigger, plan.clone());
    }

    pub(crate) fn acknowledge(&self, event: EventId, plan: &EventPlan) {
        self.trace.note("acknowledged", &[("event", short(event.as_bytes()))]);
        self.lock().acknowledged.push((event, plan.clone()));
    }

    /// How many deliveries and jobs have not ended, and will end by themselves, and how many due
    /// times have come and are not fired.
    pub(crate) fn open(&self) -> usize {
        let books = self.lock();
        let stuck = if books.open == 0 { 0 } else { books.stuck() };
        books.open - stuck + books.running_jobs() + books.not_fired(self.time.now())
    }

    pub(crate) fn violate(&self, invariant: Invariant, what: String) {
        self.lock().violate(self.time.now(), invariant, what);
    }

    pub(crate) fn is_broken(&self) -> bool {
        !self.lock().violations.is_empty()
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    /// A call was carried out, whether or not its caller hears of it.
    pub(crate) fn observe(&self, life: Life, call: &Call, answer: &Answer) {
        let now = self.time.now();
        let mut books = self.lock();
        match (call, answer) {
            (Call::WriteTrigger(write), Answer::Written) => books.trigger(write, now),
            (Call::Record(records), Answer::Recorded(recorded)) => {
                for (record, recorded) in records.iter().zip(recorded) {
                    books.record(record, *recorded, now);
                    let event = record.event_id().map_or(0, |id| short(id.as_bytes()));
                    let deliveries = record.deliveries.len() as u64;
                    self.trace.note("record", &[("event", event), ("deliveries", deliveries)]);
                }
            }
            (Call::Claim(claim), Answer::Claims(claims)) => {
                books.claim(claim, claims, now, life, &self.trace);
            }
            (Call::Settle(settlements, at), Answer::Settled(settled)) => {
                let mut all: Vec<_> = settlements.iter().zip(settled).collect();
                // What is given up at the end of a run comes in no order, and changes no line.
                all.sort_by_key(|(settle, _)| {
                    let is_released = matches!(settle.settlement, Settlement::Released { .. });
                    is_released.then_some(settle.lease.delivery)
                });
                for (settle, settled) in all {
                    books.settle(life, settle, *settled, *at, now, &self.trace);
                }
            }
            (Call::Replay(replay), Answer::Replayed(ids)) => {
                for (place, id) in (0..).zip(ids) {
                    books.replay(*id, replay, place, now);
                    self.trace.note("replay", &[("delivery", short(id.as_bytes()))]);
                }
                for id in ids {
                    books.next_after(*id, replay.now);
                }
            }
            (Call::Prune(_), Answer::Pruned(_)) => books.is_pruned = true,
            _ => {}
        }
    }

    /// An engine heard the answer to its call.
    pub(crate) fn told(&self, life: Life, call: &Call, answer: &Answer, asked_at: Timestamp) {
        let now = self.time.now();
        let mut books = self.lock();
        match (call, answer) {
            (Call::Claim(_), Answer::Claims(claims)) => {
                let held = books.held.entry(life).or_default();
                held.extend(claims.deliveries.iter().map(|claimed| {
                    let until = claimed.delivery.state.claimable_at().unwrap_or(Timestamp::MIN);
                    let token = claimed.lease.token;
                    (claimed.delivery.id, Held { token, until, asked_at, is_attempted: false })
                }));
                let (held, rules) = (held.len(), &books.rules);
                let most = (rules.places + rules.largest_batch - 1) * rules.runs;
                if held > most {
                    let what = format!("{life:?} holds {held} deliveries, more than {most}");
                    books.violate(now, Invariant::MemoryIsBounded, what);
                }
            }
            (Call::Settle(settlements, _), _) => {
                let held = books.held.entry(life).or_default();
                for settle in settlements {
                    let id = settle.lease.delivery;
                    let Some(own) = held.get_mut(&id) else { continue };
                    match settle.settlement {
                        _ if own.token != settle.lease.token => {}
                        Settlement::Extended { until } => own.until = until,
                        _ => drop(held.remove(&id)),
                    }
                }
            }
            _ => {}
        }
    }

    /// The storage has pruned, and has this left.
    pub(crate) fn pruned(&self, left: &[Delivery], prune: &Prune) {
        let now = self.time.now();
        self.lock().prune(left, prune, now);
    }

    /// A life ended, and with it all that it knew.
    pub(crate) fn forget(&self, life: Life) {
        self.trace.note("life ends", &[("node", life.node), ("life", life.number)]);
        self.lock().held.remove(&life);
    }

    /// The storage was opened anew by the only process that may: all leases are given up, with what
    /// was counted under them. If there were any, what is stored may have ended the process.
    pub(crate) fn reopened(&self) {
        let accounts = &mut self.lock().accounts;
        let is_leased = |account: &Account| matches!(account.delivery.state, State::Leased { .. });
        let was_leased = accounts.values().any(is_leased);
        for account in accounts.values_mut() {
            account.is_suspect = was_leased;
            if let State::Leased { .. } = account.delivery.state {
                account.delivery.state = State::Waiting { due: Timestamp::UNIX_EPOCH };
                account.released += account.delivery.attempts - account.kept;
                account.delivery.attempts = account.kept;
            }
        }
    }
}

impl Books {
    fn violate(&mut self, at: Timestamp, invariant: Invariant, what: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { invariant, at, what });
        }
    }

    fn record(&mut self, record: &Record, recorded: Recorded, now: Timestamp) {
        let Some(event) = record.event.as_ref().map(|new| &new.event) else {
            return self.record_more(record, recorded, now);
        };
        let id = event.id;
        let is_known = self.events.contains(&id);
        match recorded {
            Recorded::Duplicate if is_known => return,
            Recorded::Stored if is_known && !self.is_pruned => {
                let what = format!("{id} was stored, and is new again");
                self.violate(now, Invariant::NothingIsLost, what);
                return;
            }
            Recorded::Stored => {}
            Recorded::CursorMoved if !record.cursors.is_empty() => return,
            _ => {
                let what = format!("{id} is new, and answered with {recorded:?}");
                self.violate(now, Invariant::NothingIsLost, what);
                return;
            }
        }
        self.events.insert(id);
        if OWN.contains(&event.kind) {
            self.own.insert(id);
        }
        self.follow_firing(event, record, now);
        self.record_more(record, recorded, now);
    }

    /// Deliveries, and what else there is beside an event or without one.
    fn record_more(&mut self, record: &Record, recorded: Recorded, now: Timestamp) {
        if recorded != Recorded::Stored {
            return;
        }
        self.follow_jobs(&record.cursors, now);
        for (delivery, payload) in &record.deliveries {
            let former = self.accounts.get(&delivery.id);
            if former.is_none_or(|account| account.is_gone) {
                let former = former.and_then(|account| account.told.clone());
                let is_parked = delivery.state == State::Parked;
                if !is_parked && self.is_known_suspended(delivery.trigger, now) {
                    let what = format!("{} is not parked", delivery.id);
                    self.violate(now, Invariant::DisabledOnlyIfFailing, what);
                }
                self.begin(delivery, payload.body.clone(), now);
                let event = record.event.as_ref();
                let told = event.and_then(|new| self.told(&new.event, delivery)).or(former);
                let account = self.accounts.get_mut(&delivery.id).expect("it was begun");
                (account.is_late, account.told) = (event.is_none(), told);
                self.counts.backfilled += usize::from(event.is_none());
            }
        }
        self.supersede(record, now);
    }

    fn begin(&mut self, delivery: &Delivery, body: Arc<[u8]>, now: Timestamp) {
        let is_healthy = |account: &&Account| {
            !account.delivery.state.is_final()
                && self.promises.get(&account.delivery.trigger).is_some_and(|p| p.is_healthy)
        };
        let account = Account {
            delivery: delivery.clone(),
            body,
            token: 0,
            visits: Vec::new(),
            made: 0,
            released: 0,
            kept: delivery.attempts,
            is_suspect: false,
            floor: Timestamp::MIN,
            is_gone: false,
            is_late: false,
            replays: 0,
            turn_at: 0,
            queued_at: 0,
            recorded_at: now,
            settled_at: delivery.created_at,
            before: self.accounts.values().filter(is_healthy).count(),
            told: None,
        };
        self.counts.deliveries += 1;
        self.open += usize::from(!delivery.state.is_final());
        self.by_message.insert(delivery.message_id, delivery.id);
        self.accounts.insert(delivery.id, account);
        self.line_up(delivery.id);
        self.next_after(delivery.id, delivery.created_at);
    }

    fn replay(&mut self, id: DeliveryId, replay: &Replay, place: u32, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(&id) else { return };
        let Fate::Again { due, spacing, new_message_ids } = replay.fate else {
            account.delivery.state = State::Cancelled { reason: CancelReason::Discarded };
            account.settled_at = replay.now;
            // The engine does so for what others wait for, and the operator never does.
            if !self.stories[&account.delivery.trigger].was_deleted {
                let what = format!("{id} is discarded, although its trigger is there");
                self.violate(now, Invariant::SettledStaysSettled, what);
            }
            return;
        };
        let due = due + spacing * place;
        let state = std::mem::replace(&mut account.delivery.state, State::Waiting { due });
        (account.delivery.attempts, account.kept) = (0, 0);
        account.settled_at = replay.now;
        account.replays += 1;
        (account.made, account.released, account.floor) = (0, 0, Timestamp::MIN);
        if new_message_ids {
            account.delivery.message_id = account.delivery.message_id.next();
            self.by_message.insert(account.delivery.message_id, id);
        }
        self.put_back(id);
        self.open += 1;
        self.counts.replayed += 1;
        if !matches!(state, State::Dead { .. } | State::Parked) {
            let what = format!("{id} is replayed, although it is {state:?}");
            self.violate(now, Invariant::SettledStaysSettled, what);
        }
    }
}
