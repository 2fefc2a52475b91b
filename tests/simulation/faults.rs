//! What stands between an engine and its storage: calls that fail before or after they were carried
//! out, that are slow or answered late, and nodes that die between two of them.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::Delivery;
use artifact_triggers::event::Event;
use artifact_triggers::id::DeliveryId;
use artifact_triggers::storage::{
    Backlog, Claim, Claims, DeliveryQuery, EventQuery, LoggedAttempt, Page, Prune, Pruned, Record,
    Recorded, Replay, Settle, Settled, Storage, StorageError, TriggerChange, TriggerWrite,
};
use async_trait::async_trait;

use crate::clock::Time;
use crate::ledger::Ledger;
use crate::node::{Life, Node};
use crate::random::Random;
use crate::storage::{Answer, Call, Port};
use crate::trace::Trace;

/// How often a call goes wrong, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Odds {
    pub(crate) fails_before: u64,
    pub(crate) fails_after: u64,
    pub(crate) slow: u64,
    pub(crate) late: u64,
    pub(crate) dies: u64,
    /// How long a slow or late one takes at most.
    pub(crate) longest: Duration,
}

/// How the storage fares. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    odds: Odds,
    /// No call succeeds before this.
    outage_until: Timestamp,
}

impl Default for State {
    fn default() -> Self {
        Self { odds: Odds::default(), outage_until: Timestamp::MIN }
    }
}

impl Weather {
    pub(crate) fn set(&self, odds: Odds) {
        self.0.lock().unwrap().odds = odds;
    }

    pub(crate) fn break_until(&self, at: Timestamp) {
        self.0.lock().unwrap().outage_until = at;
    }

    fn fault(&self, now: Timestamp, random: &Random) -> Fault {
        let State { odds, outage_until } = *self.0.lock().unwrap();
        let mut fault = Fault::default();
        if now < outage_until {
            fault.kind = FaultKind::FailsBefore;
            return fault;
        }
        let span = || random.span(Duration::ZERO, odds.longest);
        if odds.slow > 0 && random.chance(odds.slow) {
            fault.before = Some(span());
        }
        if odds.late > 0 && random.chance(odds.late) {
            fault.after = Some(span());
        }
        let at = random.below(1_000);
        let kinds = [
            (odds.fails_before, FaultKind::FailsBefore),
            (odds.fails_after, FaultKind::FailsAfter),
            (odds.dies, FaultKind::DiesBefore),
            (odds.dies, FaultKind::DiesAfter),
        ];
        let mut end = 0;
        for (chance, kind) in kinds {
            end += chance;
            if at < end {
                fault.kind = kind;
                break;
            }
        }
        fault
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Fault {
    before: Option<Duration>,
    after: Option<Duration>,
    kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum FaultKind {
    #[default]
    None,
    FailsBefore,
    FailsAfter,
    DiesBefore,
    DiesAfter,
}

/// The storage as one life of a node sees it.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) node: Arc<Node>,
    pub(crate) life: Life,
    pub(crate) port: Arc<dyn Port>,
    pub(crate) ledger: Ledger,
    pub(crate) weather: Weather,
    pub(crate) time: Time,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the storage of {:?}", self.life)
    }
}

impl Front {
    async fn call(&self, call: Call) -> Result<Answer, StorageError> {
        if self.node.life() != self.life {
            // The node died a moment before, in the same turn.
            pending::<()>().await;
        }
        let asked_at = self.time.now();
        let fault = self.weather.fault(self.time.now(), &self.random);
        if let Some(span) = fault.before {
            self.time.sleep(span).await;
        }
        match fault.kind {
            FaultKind::FailsBefore => {
                self.note(&call, "fails before");
                return Err(lost());
            }
            FaultKind::DiesBefore => self.die(&call, "dies before").await,
            _ => {}
        }
        let answer = self.port.call(self.life, &call);
        if fault.kind == FaultKind::DiesAfter {
            self.die(&call, "dies after").await;
        }
        if let Some(span) = fault.after {
            self.time.sleep(span).await;
        }
        if fault.kind == FaultKind::FailsAfter {
            self.note(&call, "fails after");
            return Err(lost());
        }
        if let Ok(answer) = &answer {
            self.ledger.told(self.life, &call, answer, asked_at);
        }
        answer
    }

    async fn die(&self, call: &Call, how: &'static str) {
        self.note(call, how);
        let down = self.random.span(Duration::from_millis(1), Duration::from_secs(600));
        self.node.die(self.time.now() + down);
        self.ledger.forget(self.life);
        pending::<()>().await;
    }

    fn note(&self, call: &Call, how: &'static str) {
        self.trace.note(call.name(), &[("node", self.life.node), (how, 1)]);
    }
}

fn lost() -> StorageError {
    StorageError::Unavailable { reason: "on purpose".to_owned() }
}

/// Calls, and takes the answer out.
macro_rules! ask {
    ($front:ident, $call:expr, $answer:path) => {
        match $front.call($call).await? {
            $answer(value) => Ok(value),
            other => unreachable!("{other:?} answers another call"),
        }
    };
}

#[async_trait]
impl Storage for Front {
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        self.call(Call::WriteTrigger(write)).await.map(drop)
    }

    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        ask!(self, Call::TriggerChanges(after, limit), Answer::Changes)
    }

    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        ask!(self, Call::Record(records), Answer::Recorded)
    }

    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        ask!(self, Call::Cursors(keys), Answer::Cursors)
    }

    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError> {
        ask!(self, Call::Claim(claim), Answer::Claims)
    }

    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        ask!(self, Call::Settle(settlements, now), Answer::Settled)
    }

    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StorageError> {
        ask!(self, Call::Events(query), Answer::Events)
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<Page<Delivery>, StorageError> {
        ask!(self, Call::Deliveries(query), Answer::Deliveries)
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<LoggedAttempt>, StorageError> {
        ask!(self, Call::Attempts(delivery), Answer::Attempts)
    }

    async fn replay(&self, replay: Replay) -> Result<Vec<DeliveryId>, StorageError> {
        ask!(self, Call::Replay(replay), Answer::Replayed)
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        ask!(self, Call::Backlog, Answer::Backlog)
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, StorageError> {
        ask!(self, Call::Prune(prune), Answer::Pruned)
    }
}
