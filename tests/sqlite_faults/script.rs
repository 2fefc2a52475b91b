//! What a worker does, and a model does after it: calls that follow from a seed.

use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{
    Attempt, DeadReason, Delivery, EndpointKey, OnDead, Outcome, Settlement, Turn,
};
use artifact_triggers::event::{Artifact, Event, EventKind, Scope, Source};
use artifact_triggers::id::{DeliveryId, OrderingKey, TriggerId};
use artifact_triggers::payload::{PayloadFormat, TriggerName};
use artifact_triggers::storage::{
    Claim, ClaimOf, CursorMove, DeliveryQuery, Fate, NewEvent, Prune, Record, Replay, Settle,
    Storage, StorageError, TriggerWrite,
};
use artifact_triggers::trigger::Trigger;

use super::random::{Random, mix};

/// A call, which takes effect whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// Publishes events by their numbers.
    Record(Vec<u32>),
    /// Claims a delivery and settles it; an event may follow from it.
    Settle {
        event: u32,
        trigger: u8,
        to: u64,
        then: Option<u32>,
    },
    Replay {
        limit: usize,
    },
    Prune {
        before: u64,
    },
    Create(u8),
    Delete(u8),
    /// Moves one cursor on: the smallest write there is.
    Beat(u32),
    /// Gives room back, which changes nothing that can be seen.
    Shrink,
}

/// Events are of four classes, by their number. Calls at once are of a class each and touch nothing
/// of another's.
const CLASSES: u32 = 4;
/// The triggers that events go to.
const TRIGGERS: u8 = 3;

/// The steps of a seed, one after the other; the calls of a step are made at once.
pub(crate) fn steps(seed: u64, count: usize) -> Vec<Vec<Call>> {
    let random = Random::of(seed);
    let mut script = Script { random, next: 0, step: 0 };
    (0..count).map(|_| script.step()).collect()
}

struct Script {
    random: Random,
    /// The next event's number, in steps of all classes.
    next: u32,
    step: u64,
}

impl Script {
    fn step(&mut self) -> Vec<Call> {
        self.step += 1;
        let at_once = u32::try_from(self.random.between(1, 3)).expect("it is small");
        match self.random.below(20) {
            0..9 => (0..at_once).map(|class| self.record(class)).collect(),
            9..15 => (0..at_once).map(|class| self.settle(class)).collect(),
            15 => vec![Call::Replay { limit: 3 }],
            16 => vec![Call::Prune { before: 100_000 + self.step }],
            17 => vec![Call::Create(self.small())],
            18 => vec![Call::Delete(self.small())],
            _ => vec![Call::Shrink],
        }
    }

    fn small(&self) -> u8 {
        u8::try_from(self.random.below(3)).expect("it is small")
    }

    fn new_event(&mut self, class: u32) -> u32 {
        self.next += 1;
        self.next * CLASSES + class
    }

    fn record(&mut self, class: u32) -> Call {
        Call::Record((0..self.random.between(1, 2)).map(|_| self.new_event(class)).collect())
    }

    fn settle(&mut self, class: u32) -> Call {
        // One of the latest, most of which are there and not settled yet.
        let back = u32::try_from(self.random.below(6)).expect("it is small");
        let event = self.next.saturating_sub(back).max(1) * CLASSES + class;
        let then = self.random.chance(200).then(|| self.new_event(class));
        Call::Settle { event, trigger: self.small(), to: self.random.below(5), then }
    }
}

/// A time of the script; all of them are long past.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000) + Duration::from_secs(seconds)
}

/// A time at which all that waits is due.
pub(crate) fn late() -> Timestamp {
    at(1_000_000_000)
}

fn trigger_id(n: u8) -> TriggerId {
    TriggerId::derived(at(0), &[&[n]])
}

fn event(n: u32) -> Event {
    let artifact = Artifact::new("generic", format!("artifact-{n}"));
    let length = usize::try_from(mix(n.into()) % 7_000).expect("it is small");
    Event::builder(EventKind::ARTIFACT_INGESTED)
        .source(Source::new("test").with_id(n.to_string()))
        .scope("acme".parse().expect("it is a scope"))
        .occurred_at(at(n.into()))
        .artifact(artifact)
        .data(serde_json::json!({ "n": n, "text": "x".repeat(length) }))
        .build_at(at(n.into()), &artifact_triggers::entropy::OsEntropy)
        .expect("it is an event")
}

/// The event of a number with its deliveries and, of some, a cursor.
fn record(n: u32) -> Record {
    let new = NewEvent::of(event(n));
    let first = u8::try_from(mix(n.into()) % 3).expect("it is small");
    let triggers = (0..TRIGGERS).filter(|trigger| *trigger != first);
    let deliveries = triggers.map(|trigger| {
        let id = trigger_id(trigger);
        let endpoint = EndpointKey::new(format!("https://{trigger}.example"));
        let mut delivery = Delivery::new(new.event.id, id, Scope::root(), endpoint, at(n.into()));
        if (n / CLASSES).is_multiple_of(3) {
            let class = u8::try_from(n % CLASSES).expect("it is small");
            let key = OrderingKey::derived(at(0), &[&[class, trigger]]);
            let on_dead = if trigger == 0 { OnDead::Block } else { OnDead::Skip };
            delivery = delivery.with_turn(Turn { key, on_dead });
        }
        let name = TriggerName { id, name: "t" };
        (delivery, PayloadFormat::Native.render(&new.event, new.json(), name))
    });
    let deliveries = deliveries.collect();
    let mut record = Record::of_event(new, deliveries);
    if n.is_multiple_of(5) {
        record.cursors.push(CursorMove::Set {
            key: cursor(n),
            expected: None,
            value: Some(n.to_string()),
        });
    }
    record
}

fn cursor(n: u32) -> String {
    format!("c{n}")
}

/// The keys of all cursors that calls may set.
pub(crate) fn cursors(calls: &[Call]) -> Vec<String> {
    let events = calls.iter().flat_map(|call| match call {
        Call::Record(events) => events.clone(),
        Call::Settle { then, .. } => then.iter().copied().collect(),
        _ => Vec::new(),
    });
    events.map(cursor).chain([BEAT.to_owned()]).collect()
}

const BEAT: &str = "beat";

/// Makes a call. One that is refused, for what is there, has taken effect.
pub(crate) async fn perform(storage: &dyn Storage, call: &Call) -> Result<(), StorageError> {
    let answer = match call {
        Call::Record(events) => {
            storage.record(events.iter().map(|n| record(*n)).collect()).await.map(drop)
        }
        Call::Settle { event, trigger, to, then } => {
            settle(storage, (*event, *trigger), *to, *then).await
        }
        Call::Replay { limit } => {
            let fate =
                Fate::Again { due: at(200_000), spacing: Duration::ZERO, new_message_ids: false };
            let query = DeliveryQuery::of_scope(Scope::root()).with_limit(*limit);
            let replay = Replay { query, unchanged_since: None, now: at(200_000), fate };
            storage.replay(replay).await.map(drop)
        }
        Call::Prune { before } => {
            storage.prune(Prune::older(at(*before), at(*before), 1_000)).await.map(drop)
        }
        Call::Create(n) => {
            let spec = Trigger::builder(format!("t{n}")).on(EventKind::PING).action("a").build();
            let spec = spec.expect("it is a trigger");
            let trigger = Trigger::new(trigger_id(*n), spec, at(0)).into();
            storage.write_trigger(TriggerWrite::Create(trigger)).await
        }
        Call::Delete(n) => storage.write_trigger(TriggerWrite::Delete(trigger_id(*n))).await,
        Call::Beat(n) => {
            let value = |n: u32| Some(n.to_string());
            let expected = n.checked_sub(1).and_then(value);
            let beat = CursorMove::Set { key: BEAT.to_owned(), expected, value: value(*n) };
            storage.record(vec![Record::of_cursors(vec![beat])]).await.map(drop)
        }
        Call::Shrink => Ok(()),
    };
    match answer {
        Err(StorageError::Conflict { .. } | StorageError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

async fn settle(
    storage: &dyn Storage,
    (n, trigger): (u32, u8),
    to: u64,
    then: Option<u32>,
) -> Result<(), StorageError> {
    let delivery = DeliveryId::of(event(n).id, trigger_id(trigger));
    let claims = storage.claim(claim(ClaimOf::One(delivery))).await?;
    let Some(claimed) = claims.deliveries.into_iter().next() else { return Ok(()) };
    let now = at(100_000 + u64::from(n));
    let settlement = match to {
        0 => Settlement::Retry { at: now },
        1 => Settlement::Dead(DeadReason::Exhausted),
        2 => Settlement::Parked,
        _ => Settlement::Delivered,
    };
    let attempt = Attempt::new(1, at(1), at(2), Outcome::Transient).with_response(&[b'y'; 300]);
    let settle = Settle {
        lease: claimed.lease,
        settlement,
        attempts: vec![attempt],
        records: then.map(record).into_iter().collect(),
    };
    storage.settle(vec![settle], now).await.map(drop)
}

/// A claim of what there is, due or not.
pub(crate) fn claim(of: ClaimOf) -> Claim {
    Claim {
        now: at(0),
        due_by: late(),
        lease: Duration::from_secs(60),
        limit: usize::MAX >> 1,
        per_endpoint: usize::MAX >> 1,
        quotas: Vec::new(),
        of,
    }
}
