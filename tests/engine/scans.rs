//! Scans, by an action when its trigger fires and by a gate before a registry admits an artifact.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::{Clock as _, ManualClock};
use artifact_triggers::delivery::{DeadReason, DeliveryPolicy, Jitter, State};
use artifact_triggers::engine::{Admission, Engine, EngineOptions, ScanGate, ScanGateOptions};
use artifact_triggers::event::{Artifact, Event, EventKind, OciFacts, Scope};
use artifact_triggers::scan::{Findings, ScanAction, ScanError, ScanReport, Scanner, Severity};
use artifact_triggers::storage::{EventQuery, MemoryStorage, Storage};
use artifact_triggers::trigger::Trigger;
use artifact_triggers::trigger::filter::Filter;
use async_trait::async_trait;
use futures_util::future::{join_all, poll_immediate};
use tokio::sync::Semaphore;

use crate::bench::*;
use crate::faults::Unreliable;

const HOUR: Duration = Duration::from_secs(3_600);

/// What a scanner does, one after the other and then the last for ever.
#[derive(Debug, Clone)]
enum Says {
    Report(ScanReport),
    Fails(ScanError),
    Panics,
    Hangs,
    /// It has passed, once the gate is open.
    Later(Arc<Semaphore>),
}

#[derive(Debug, Clone, Default)]
struct Script {
    says: Arc<Mutex<VecDeque<Says>>>,
    scans: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Script {
    fn new(says: impl IntoIterator<Item = Says>) -> Self {
        Self { says: Arc::new(Mutex::new(says.into_iter().collect())), ..Self::default() }
    }

    fn scans(&self) -> usize {
        self.scans.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Scanner for Script {
    async fn scan(&self, _: &Scope, _: &Artifact) -> Result<ScanReport, ScanError> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let says = {
            let mut says = self.says.lock().unwrap();
            if says.len() > 1 { says.pop_front().unwrap() } else { says[0].clone() }
        };
        let answer = match says {
            Says::Report(report) => Ok(report),
            Says::Fails(error) => Err(error),
            Says::Panics => panic!("a scanner that panics, on purpose"),
            Says::Hangs => std::future::pending().await,
            Says::Later(gate) => {
                let _open = gate.acquire().await;
                Ok(ScanReport::passed())
            }
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

fn found(severity: Severity) -> Says {
    Says::Report(ScanReport::of(Findings::default().with(severity, 1)).with_summary("CVE-1"))
}

fn away() -> Says {
    Says::Fails(ScanError::Transient("the scanner is away".to_owned()))
}

async fn scanning<S: Storage + Clone>(storage: S, scanner: Script) -> Bench<S> {
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let script = crate::bench::Script::statuses([200]);
    let engine = Engine::builder(storage.clone())
        .deliverer(script.clone())
        .clock(clock.clone())
        .action("scan", ScanAction::new("mine", scanner))
        .options(EngineOptions::default().with_refresh(DAY))
        .build()
        .await
        .unwrap();
    let scan = Trigger::builder("scan")
        .on(EventKind::ARTIFACT_INGESTED)
        .action("scan")
        .policy(DeliveryPolicy::default().with_jitter(Jitter::None));
    engine.create_trigger(scan.build().unwrap()).await.unwrap();
    Bench { engine, clock, script, storage }
}

async fn told(storage: &MemoryStorage, kind: EventKind) -> Vec<Event> {
    let mut events = storage.events(EventQuery::of_scope(Scope::root())).await.unwrap().items;
    events.retain(|event| event.kind == kind);
    events
}

#[tokio::test]
async fn what_is_critical_is_told_to_who_locks_it_away() {
    let scanner = Script::new([found(Severity::Critical), found(Severity::Low)]);
    let bench = scanning(MemoryStorage::new(), scanner).await;
    let critical = br#"{"data": {"findings": {"critical": [{"numeric": [">=", 1]}]}}}"#;
    let alarm = Trigger::builder("alarm")
        .on(EventKind::SCAN_COMPLETED)
        .filter(Filter::from_json(critical).unwrap())
        .unsigned_webhook("https://alarm.example/");
    bench.trigger(alarm).await;
    for name in ["bad", "better"] {
        bench.engine.publish(event(name)).await.unwrap();
        bench.work(MINUTE).await;
    }
    let told = told(&bench.storage, EventKind::SCAN_COMPLETED).await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].artifact.as_ref().unwrap().name.as_deref(), Some("bad"));
    let attributes = ["scanner", "verdict", "severity"].map(|name| &*told[0].attributes[name]);
    assert_eq!(attributes, ["mine", "findings", "critical"]);
    assert_eq!(told[0].data.as_ref().unwrap()["summary"], "CVE-1");
    assert_eq!(bench.script.requests().len(), 1);
}

#[tokio::test]
async fn a_scanner_that_fails_is_tried_again_before_that_is_told() {
    let never = Says::Fails(ScanError::Permanent("it is no image".to_owned()));
    let pass = Says::Report(ScanReport::passed());
    let scanner = Script::new([away(), Says::Panics, pass, away(), away(), away(), never]);
    let bench = scanning(MemoryStorage::new(), scanner.clone()).await;
    let mut scans = Vec::new();
    for name in ["passes", "is never scanned", "is no image"] {
        bench.engine.publish(event(name)).await.unwrap();
        bench.work(HOUR).await;
        scans.push(scanner.scans());
    }
    assert_eq!(scans, [3, 6, 7]);
    let completed = told(&bench.storage, EventKind::SCAN_COMPLETED).await;
    assert_eq!(completed[0].attributes["verdict"], "passed");
    let failed = told(&bench.storage, EventKind::SCAN_FAILED).await;
    let errors: Vec<_> =
        failed.iter().map(|event| event.data.as_ref().unwrap()["error"].clone()).collect();
    assert_eq!(errors, ["the scanner is away", "it is no image"]);
    assert!(bench.deliveries().await.iter().all(|one| one.state == State::Delivered));
}

#[tokio::test]
async fn what_has_no_artifact_is_dead_a_ping_is_not_scanned_and_a_wrong_configuration_is_refused() {
    let scanner = Script::new([found(Severity::Low)]);
    let bench = scanning(MemoryStorage::new(), scanner.clone()).await;
    let of = |kind| Trigger::builder("other").on(kind).action_with("scan", serde_json::json!({}));
    let trigger = bench.trigger(of(EventKind::SCHEDULE_FIRED)).await;
    let fired = Event::builder(EventKind::SCHEDULE_FIRED).build().unwrap();
    bench.engine.publish(fired).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.only().await.state, State::Dead { reason: DeadReason::Invalid });
    let pinged = bench.engine.ping(&Scope::root(), trigger.id).await.unwrap();
    assert_eq!(pinged.attempt.response.as_deref(), Some("nothing is scanned for a ping"));
    assert_eq!(scanner.scans(), 0);
    let wrong = serde_json::json!({"attempts": 0, "tries": 3});
    let wrong = Trigger::builder("wrong").on(EventKind::PING).action_with("scan", wrong);
    let error = bench.engine.create_trigger(wrong.build().unwrap()).await.unwrap_err().to_string();
    let expected = "target.action.config: tries: is not a member of this object; \
                    attempts: expected 1 or more, found 0";
    assert!(error.contains(expected), "{error}");
}

fn image(name: &str) -> Artifact {
    let digest = format!("sha256:{:0>64}", name.len());
    Artifact::new("oci", name).with_digest(digest)
}

/// A gate, and what a push is answered.
struct Door {
    bench: Bench,
    gate: ScanGate,
    scanner: Script,
}

async fn door(says: impl IntoIterator<Item = Says>, options: ScanGateOptions) -> Door {
    let scanner = Script::new(says);
    let bench = scanning(MemoryStorage::new(), scanner.clone()).await;
    let gate = ScanGate::new(&bench.engine, "mine", scanner.clone(), options);
    Door { bench, gate, scanner }
}

impl Door {
    async fn push(&self, name: &str) -> Admission {
        self.admit("acme", image(name)).await
    }

    async fn admit(&self, scope: &str, artifact: Artifact) -> Admission {
        self.gate.admit(&scope.parse().unwrap(), &artifact).await
    }
}

#[tokio::test]
async fn findings_keep_out_from_the_severity_on_that_is_set_and_the_verdict_is_an_event() {
    let says = || [found(Severity::Medium), Says::Report(ScanReport::passed())];
    let strict = door(says(), ScanGateOptions::default()).await;
    let refused = strict.push("a").await;
    strict.bench.clock.advance(Duration::from_millis(1));
    let admitted = strict.push("bb").await;
    assert_eq!(refused.to_string(), "refused: 1 finding: 1 medium");
    assert_eq!(admitted.to_string(), "admitted: passed");
    let told = told(&strict.bench.storage, EventKind::SCAN_COMPLETED).await;
    let gates: Vec<_> =
        told.iter().map(|event| (Some(event.id), &*event.attributes["gate"])).collect();
    assert_eq!(gates, [(refused.event, "refused"), (admitted.event, "admitted")]);
    assert_eq!(told[0].scope.as_str(), "acme");
    let options = ScanGateOptions::default().with_refuse_from(Severity::High);
    assert!(door(says(), options).await.push("a").await.is_admitted);
    let options = ScanGateOptions::default().with_refuse_from(Severity::Medium);
    assert!(!door(says(), options).await.push("a").await.is_admitted);
}

#[tokio::test]
async fn what_nothing_is_known_of_is_kept_out_or_let_in_and_not_remembered() {
    for (fail_open, verdict) in [(false, "refused"), (true, "admitted")] {
        for (says, why) in [(away(), "the scanner is away"), (Says::Panics, "the scanner panicked")]
        {
            let options = ScanGateOptions::default().with_fail_open(fail_open);
            let door = door([says, found(Severity::Critical)], options).await;
            let answer = door.push("a").await;
            assert_eq!(answer.to_string(), format!("{verdict}: nothing is known of it: {why}"));
            let failed = told(&door.bench.storage, EventKind::SCAN_FAILED).await;
            assert_eq!(
                (Some(failed[0].id), &*failed[0].attributes["gate"]),
                (answer.event, verdict)
            );
            assert!(!door.push("a").await.is_admitted, "it is scanned again");
        }
    }
}

#[tokio::test]
async fn a_scanner_that_hangs_keeps_nobody_waiting_for_longer_than_the_time_out() {
    let options = ScanGateOptions::default().with_timeout(Duration::from_secs(5));
    let door = door([Says::Hangs], options).await;
    let clock = door.bench.clock.clone();
    let begun = clock.now();
    let pass = async {
        while let Some(at) = clock.next_wake() {
            clock.set(at);
            tokio::task::yield_now().await;
        }
    };
    let pushes = join_all(["a", "a", "bb"].map(|name| door.push(name)));
    let mut pushes = std::pin::pin!(pushes);
    // All of them are asked before time passes.
    assert!(poll_immediate(pushes.as_mut()).await.is_none());
    let (answers, ()) = futures_util::future::join(pushes, pass).await;
    for answer in answers {
        let expected = "refused: nothing is known of it: there was no verdict within 5 s";
        assert_eq!(answer.to_string(), expected);
    }
    assert_eq!(clock.now().since(begun), Duration::from_secs(5));
}

#[tokio::test]
async fn those_who_push_one_digest_at_once_share_a_scan_and_its_verdict_counts_for_a_while() {
    let gate = Arc::new(Semaphore::new(0));
    let door = door([Says::Later(gate.clone())], ScanGateOptions::default()).await;
    let pushes = join_all(["a", "a", "a"].map(|name| door.push(name)));
    let mut pushes = std::pin::pin!(pushes);
    assert!(poll_immediate(pushes.as_mut()).await.is_none());
    gate.add_permits(1);
    let answers = pushes.await;
    assert_eq!(answers.iter().filter(|answer| answer.was_kept).count(), 2);
    assert_eq!(answers.iter().filter(|answer| answer.event.is_some()).count(), 1);
    assert_eq!(door.scanner.scans(), 1);
    assert!(door.push("a").await.was_kept);
    door.gate.admit(&"other".parse().unwrap(), &image("a")).await;
    assert_eq!(door.scanner.scans(), 2, "another scope hears of it too");
    door.bench.clock.set(door.bench.clock.now() + Duration::from_secs(601));
    assert!(!door.push("a").await.was_kept);
}

#[tokio::test]
async fn what_has_one_digest_and_is_another_thing_is_scanned_again_and_another_tag_is_no_other_thing()
 {
    let says = [Says::Report(ScanReport::passed()), found(Severity::Critical)];
    let door = door(says, ScanGateOptions::default()).await;
    assert!(door.admit("acme", image("a").with_tag("1")).await.is_admitted);
    let retagged = door.admit("acme", image("a").with_tag("2").with_tag("3")).await;
    assert!(retagged.was_kept && retagged.is_admitted);
    let index = "application/vnd.oci.image.index.v1+json";
    let others = [
        image("a").with_package_type("npm"),
        image("a").with_version("2"),
        image("a").with_oci(OciFacts::default().with_media_type(index)),
    ];
    for other in others {
        let answer = door.admit("acme", other).await;
        assert!(!answer.was_kept && !answer.is_admitted, "{answer}");
    }
    assert_eq!(door.scanner.scans(), 4);
}

#[tokio::test]
async fn those_who_push_one_digest_as_two_things_at_once_share_no_scan() {
    let gate = Arc::new(Semaphore::new(0));
    let says = [Says::Later(gate.clone()), found(Severity::Critical)];
    let door = door(says, ScanGateOptions::default()).await;
    let mut first = std::pin::pin!(door.push("a"));
    assert!(poll_immediate(first.as_mut()).await.is_none());
    assert!(!door.admit("acme", image("a").with_package_type("npm")).await.is_admitted);
    gate.add_permits(1);
    assert!(first.await.is_admitted);
}

#[tokio::test]
async fn what_failed_takes_the_place_of_no_verdict() {
    let door = door([Says::Report(ScanReport::passed()), away()], ScanGateOptions::default()).await;
    assert!(door.push("a").await.is_admitted);
    door.bench.clock.advance(Duration::from_secs(1));
    for number in 0..10_001 {
        door.admit("acme", image("bb").with_version(number.to_string())).await;
    }
    assert!(door.push("a").await.was_kept);
}

#[tokio::test]
async fn there_are_no_more_scans_at_once_than_may_be() {
    let gate = Arc::new(Semaphore::new(0));
    let options = ScanGateOptions::default().with_concurrency(2);
    let door = door([Says::Later(gate.clone())], options).await;
    let pushes = ["a", "bb", "ccc", "dddd", "eeeee"].map(|name| door.admit(name, image(name)));
    let mut pushes = std::pin::pin!(join_all(pushes));
    assert!(poll_immediate(pushes.as_mut()).await.is_none());
    gate.add_permits(1);
    assert!(pushes.await.iter().all(|answer| answer.is_admitted));
    assert_eq!((door.scanner.scans(), door.scanner.most.load(Ordering::SeqCst)), (5, 2));
}

#[tokio::test]
async fn a_tenant_that_pushes_what_is_slow_to_scan_keeps_no_other_from_being_scanned() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = Says::Later(gate.clone());
    let says = [slow.clone(), slow, found(Severity::Critical)];
    let door = door(says, ScanGateOptions::default().with_fail_open(true)).await;
    let slow = join_all(["a", "bb", "ccc", "dddd", "eeeee"].map(|name| door.push(name)));
    let mut slow = std::pin::pin!(slow);
    assert!(poll_immediate(slow.as_mut()).await.is_none());
    let other = door.gate.admit(&"umbrella".parse().unwrap(), &image("a")).await;
    assert_eq!(other.to_string(), "refused: 1 finding: 1 critical");
    assert_eq!(door.scanner.scans(), 3);
}

#[tokio::test]
async fn what_had_no_turn_is_let_in_only_if_that_is_asked_for_itself() {
    for (when_busy, verdict) in [(false, "refused"), (true, "admitted")] {
        let options = ScanGateOptions::default()
            .with_fail_open(true)
            .with_fail_open_when_busy(when_busy)
            .with_concurrency(1)
            .with_timeout(HOUR)
            .with_wait(Duration::from_secs(5));
        let door = door([Says::Hangs], options).await;
        let mut first = std::pin::pin!(door.push("a"));
        assert!(poll_immediate(first.as_mut()).await.is_none());
        // One of the same digest as another that waits too hears of its own turn only.
        let mut others = std::pin::pin!(join_all(["bb", "bb"].map(|name| door.push(name))));
        assert!(poll_immediate(others.as_mut()).await.is_none());
        door.bench.clock.advance(Duration::from_secs(5));
        let why = "its turn did not come within 5 s: too much is being scanned";
        for answer in others.await {
            assert_eq!(answer.to_string(), format!("{verdict}: nothing is known of it: {why}"));
            assert!(matches!(answer.verdict, Err(ScanError::Busy(_))));
            assert_eq!(answer.event, None);
        }
        assert!(told(&door.bench.storage, EventKind::SCAN_FAILED).await.is_empty());
        door.bench.clock.advance(HOUR);
        assert!(first.await.is_admitted, "that one was scanned, and the scanner failed");
    }
}

#[tokio::test]
async fn a_scan_that_was_begun_for_who_gave_up_has_its_whole_time_and_its_failure_is_not_busyness()
{
    let options = ScanGateOptions::default()
        .with_fail_open_when_busy(true)
        .with_wait(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(10));
    let door = door([Says::Hangs], options).await;
    let mut first = Box::pin(door.push("a"));
    assert!(poll_immediate(first.as_mut()).await.is_none());
    let mut second = std::pin::pin!(door.push("a"));
    assert!(poll_immediate(second.as_mut()).await.is_none());
    door.bench.clock.advance(Duration::from_secs(9));
    assert!(poll_immediate(first.as_mut()).await.is_none());
    drop(first);
    assert!(poll_immediate(second.as_mut()).await.is_none());
    assert_eq!(door.scanner.scans(), 2);
    door.bench.clock.advance(Duration::from_secs(9));
    assert!(poll_immediate(second.as_mut()).await.is_none(), "its scan has a second left");
    door.bench.clock.advance(Duration::from_secs(1));
    let expected = "refused: nothing is known of it: there was no verdict within 10 s";
    assert_eq!(second.await.to_string(), expected);
}

#[tokio::test]
async fn who_waits_in_vain_for_the_scan_of_another_has_one_of_its_own() {
    let options = ScanGateOptions::default()
        .with_wait(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(10));
    let door = door([Says::Hangs, Says::Report(ScanReport::passed())], options).await;
    // Nobody goes on with it, nor drops it.
    let mut first = std::pin::pin!(door.push("a"));
    assert!(poll_immediate(first.as_mut()).await.is_none());
    let mut second = std::pin::pin!(door.push("a"));
    assert!(poll_immediate(second.as_mut()).await.is_none());
    door.bench.clock.advance(Duration::from_secs(15));
    assert_eq!(second.await.to_string(), "admitted: passed");
}

#[tokio::test]
async fn no_more_of_a_tenant_wait_than_may_and_who_need_not_wait_is_scanned() {
    let gate = Arc::new(Semaphore::new(0));
    let says = [Says::Later(gate.clone()), Says::Report(ScanReport::passed())];
    let options = ScanGateOptions::default().with_concurrency(2).with_waiting_of_one(1);
    let door = door(says, options).await;
    let mut first = std::pin::pin!(door.push("a"));
    assert!(poll_immediate(first.as_mut()).await.is_none());
    let mut second = std::pin::pin!(door.push("a"));
    assert!(poll_immediate(second.as_mut()).await.is_none());
    for name in ["a", "bb"] {
        let why = "as many wait for their turn to be scanned as may: 1";
        assert_eq!(door.push(name).await.verdict, Err(ScanError::Busy(why.to_owned())));
    }
    assert!(door.admit("umbrella", image("a")).await.is_admitted);
    gate.add_permits(1);
    assert!(first.await.is_admitted && second.await.was_kept);
    assert!(door.push("bb").await.is_admitted);
}

#[tokio::test]
async fn waiting_for_a_turn_takes_nothing_of_the_time_of_a_scan() {
    let gate = Arc::new(Semaphore::new(0));
    let options = ScanGateOptions::default()
        .with_concurrency(1)
        .with_timeout(Duration::from_secs(10))
        .with_wait(Duration::from_secs(10));
    let door = door([Says::Later(gate.clone()), Says::Later(gate.clone())], options).await;
    let mut first = std::pin::pin!(door.push("a"));
    assert!(poll_immediate(first.as_mut()).await.is_none());
    let mut second = std::pin::pin!(door.push("bb"));
    assert!(poll_immediate(second.as_mut()).await.is_none());
    door.bench.clock.advance(Duration::from_secs(9));
    gate.add_permits(1);
    assert!(first.await.is_admitted);
    let taken = gate.try_acquire().unwrap();
    assert!(poll_immediate(second.as_mut()).await.is_none());
    door.bench.clock.advance(Duration::from_secs(9));
    assert!(poll_immediate(second.as_mut()).await.is_none(), "its scan has a second left");
    drop(taken);
    assert!(second.await.is_admitted);
}

#[tokio::test]
async fn who_gives_up_gives_the_slot_back() {
    let options = ScanGateOptions::default().with_concurrency(1);
    let door = door([Says::Hangs, Says::Report(ScanReport::passed())], options).await;
    assert!(poll_immediate(std::pin::pin!(door.push("a"))).await.is_none());
    assert!(door.push("bb").await.is_admitted);
    assert!(door.push("a").await.is_admitted);
}

#[tokio::test]
async fn a_storage_that_hangs_keeps_no_verdict_back() {
    let storage = Unreliable::sound();
    let scanner = Script::new([Says::Report(ScanReport::passed())]);
    let bench = scanning(storage.clone(), scanner.clone()).await;
    let gate = ScanGate::new(&bench.engine, "mine", scanner, ScanGateOptions::default());
    storage.stick(true);
    let scope = Scope::root();
    let artifact = image("a");
    let mut admission = std::pin::pin!(gate.admit(&scope, &artifact));
    assert!(poll_immediate(admission.as_mut()).await.is_none());
    bench.clock.set(bench.clock.now() + HOUR);
    let answer = admission.await;
    assert!(answer.is_admitted);
    assert_eq!(answer.event, None);
}
