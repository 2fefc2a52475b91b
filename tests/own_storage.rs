//! What the storage of `examples/own_storage` promises: a log cut off anywhere is as if the last
//! line had never been, and a log that was damaged is not read at all.

#[path = "../examples/own_storage"]
mod example {
    mod change;
    mod content;
    mod journal;
    pub(crate) mod storage;
}

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{
    Attempt, Delivery, EndpointKey, Outcome, Settlement, State, StateName,
};
use artifact_triggers::event::{Event, EventKind, Scope};
use artifact_triggers::id::TriggerId;
use artifact_triggers::payload::{PayloadFormat, TriggerName};
use artifact_triggers::storage::{
    Claim, ClaimOf, CursorMove, DeliveryQuery, EventQuery, NewEvent, Record, Settle, Settled,
    Storage, TriggerState, TriggerWrite,
};
use artifact_triggers::trigger::Trigger;
use example::storage::LogStorage;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn stored_trigger() -> Arc<Trigger> {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    let spec = Trigger::builder("t").on(EventKind::PING).webhook("https://a.example", secret);
    Arc::new(Trigger::new(TriggerId::derived(NOW, &[b"t"]), spec.build().unwrap(), NOW))
}

fn record() -> Record {
    let event =
        Event::builder(EventKind::PING).data(serde_json::json!({"size": 2.75, "text": "é\n"}));
    let event = event.build_at(NOW, &artifact_triggers::entropy::OsEntropy).unwrap();
    let new = NewEvent::of(event);
    let event = &new.event;
    let trigger = TriggerName { id: stored_trigger().id, name: "t" };
    let payload = PayloadFormat::Native.render(event, new.json(), trigger);
    let endpoint = EndpointKey::new("https://a.example");
    let delivery = Delivery::new(event.id, trigger.id, Scope::root(), endpoint, NOW);
    let cursor = CursorMove::Set { key: "k".into(), expected: None, value: Some("v".into()) };
    let deliveries = vec![(delivery, payload)];
    Record { cursors: vec![cursor], ..Record::of_event(new, deliveries) }
}

fn claim() -> Claim {
    let lease = Duration::from_secs(60);
    Claim {
        now: NOW,
        due_by: NOW,
        lease,
        limit: 9,
        per_endpoint: 9,
        quotas: Vec::new(),
        of: ClaimOf::Endpoints,
    }
}

fn everything() -> DeliveryQuery {
    DeliveryQuery::of_scope(Scope::root())
}

/// A log of four lines: a trigger, an event with a delivery, a claim and its settlement.
async fn log() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let storage = LogStorage::open(path(&folder)).unwrap();
    storage.write_trigger(TriggerWrite::Create(stored_trigger())).await.unwrap();
    storage.record(vec![record()]).await.unwrap();
    let lease = storage.claim(claim()).await.unwrap().deliveries[0].lease;
    let retry_after = Some(Duration::from_secs(7));
    let attempt = Attempt::new(1, NOW, NOW, Outcome::Throttled { retry_after });
    let attempts = vec![attempt.with_status(503).with_response(b"later")];
    let settlement = Settlement::Retry { at: NOW + Duration::from_secs(7) };
    let settle = Settle { lease, settlement, attempts, records: Vec::new() };
    assert_eq!(storage.settle(vec![settle], NOW).await.unwrap(), [Settled::Done]);
    folder
}

fn path(folder: &TempDir) -> impl AsRef<Path> + use<> {
    folder.path().join("log.jsonl")
}

/// The length of the log without its last line.
fn without_last_line(log: &[u8]) -> usize {
    log[..log.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1
}

async fn told(storage: &LogStorage) -> String {
    let deliveries = storage.deliveries(everything()).await.unwrap().items;
    let attempts = storage.attempts(deliveries[0].id).await.unwrap();
    let events = storage.events(EventQuery::of_scope(Scope::root())).await.unwrap().items;
    let cursors = storage.cursors(vec!["k".to_owned()]).await.unwrap();
    let changes = storage.trigger_changes(0, 9).await.unwrap();
    format!("{deliveries:?} {attempts:?} {events:?} {cursors:?} {changes:?}")
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_reopening() {
    let folder = log().await;
    let storage = LogStorage::open(path(&folder)).unwrap();
    let before = told(&storage).await;
    let change = storage.trigger_changes(0, 9).await.unwrap().remove(0).trigger;
    assert_eq!(change, TriggerState::Stored(stored_trigger()));
    let delivery = &storage.deliveries(everything()).await.unwrap().items[0];
    assert_eq!(delivery.state, State::Waiting { due: NOW + Duration::from_secs(7) });
    let attempt = &storage.attempts(delivery.id).await.unwrap()[0].attempt;
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(attempt.outcome, Outcome::Throttled { retry_after });
    assert_eq!(attempt.response.as_deref(), Some("later"));
    drop(storage);
    assert_eq!(told(&LogStorage::open(path(&folder)).unwrap()).await, before);
}

#[tokio::test]
async fn a_last_line_that_was_cut_off_or_has_holes_never_was() {
    let folder = log().await;
    let whole = fs::read(path(&folder)).unwrap();
    let kept = without_last_line(&whole);
    let cuts = (kept..whole.len()).map(|end| whole[..end].to_vec());
    let holes = (kept..whole.len() - 1).step_by(7).map(|hole| {
        let mut holed = whole.clone();
        let end = holed.len() - 1;
        holed[hole..end].fill(0);
        holed
    });
    for torn in cuts.chain(holes) {
        fs::write(path(&folder), torn).unwrap();
        let storage = LogStorage::open(path(&folder)).unwrap();
        let delivery = &storage.deliveries(everything()).await.unwrap().items[0];
        assert_eq!((delivery.state.name(), delivery.attempts), (StateName::Leased, 1));
        assert_eq!(fs::read(path(&folder)).unwrap(), whole[..kept]);
    }
}

#[tokio::test]
async fn a_log_damaged_before_its_end_is_refused() {
    let folder = log().await;
    let whole = fs::read(path(&folder)).unwrap();
    let mut damaged = whole.clone();
    damaged[without_last_line(&whole) - 3] = 0;
    let mut foreign = whole.clone();
    foreign.extend(b"[{\"of a later version\": 1}]\n");
    for unreadable in [damaged, foreign] {
        fs::write(path(&folder), &unreadable).unwrap();
        LogStorage::open(path(&folder)).unwrap_err();
        assert_eq!(fs::read(path(&folder)).unwrap(), unreadable);
    }
}

#[tokio::test]
async fn one_opening_at_a_time() {
    let folder = log().await;
    let storage = LogStorage::open(path(&folder)).unwrap();
    let refused = LogStorage::open(path(&folder)).unwrap_err();
    assert_eq!(refused.to_string(), "another process has it open");
    drop(storage);
    LogStorage::open(path(&folder)).unwrap();
}
