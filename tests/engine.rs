//! The engine on a clock that stands still until told: hours of delivery in milliseconds.
#![cfg(feature = "engine")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::action::{Action, ActionCall, ActionError};
use artifact_triggers::clock::{Clock, ManualClock, Timestamp};
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::{
    DeadReason, Delivery, DeliveryPolicy, Jitter, Outcome, RetrySchedule, State, StateName,
};
use artifact_triggers::engine::{Engine, EngineOptions, PublishError, TriggerError};
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::id::EventId;
use artifact_triggers::request::{Request, Response};
use artifact_triggers::signature::Verifier;
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::{
    Claim, Claims, DeliveryQuery, EventQuery, LoggedAttempt, MemoryStorage, Pruned, Record,
    Recorded, Replay, Settle, Settled, Storage, StorageError, TriggerChange, TriggerWrite,
};
use artifact_triggers::trigger::{KindPattern, SuspendReason, Trigger, TriggerBuilder};
use async_trait::async_trait;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Answers as it is told, one answer after another and then the last one for ever.
#[derive(Debug, Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<Request>>>,
    in_flight: Arc<AtomicUsize>,
    most_in_flight: Arc<AtomicUsize>,
}

#[derive(Debug, Clone)]
enum Answer {
    Status(u16),
    RetryAfter(u16, &'static str),
    Error(DeliverError),
    Hang,
    Panic,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Self::default();
        *script.answers.lock().unwrap() = answers.into_iter().collect();
        script
    }

    fn statuses(statuses: impl IntoIterator<Item = u16>) -> Self {
        Self::new(statuses.into_iter().map(Answer::Status))
    }

    fn then(&self, answer: Answer) {
        *self.answers.lock().unwrap() = [answer].into();
    }

    fn next(&self) -> Answer {
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

#[async_trait]
impl Deliverer for Script {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        self.requests.lock().unwrap().push(request);
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        let mut response = Response::default();
        match self.next() {
            Answer::Status(status) => response.status = status,
            Answer::RetryAfter(status, value) => {
                response.status = status;
                response.headers.push("retry-after", value);
            }
            Answer::Error(error) => return Err(error),
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("a deliverer that panics, on purpose"),
        }
        Ok(response)
    }

    fn check_url(&self, url: &url::Url) -> Result<(), String> {
        if url.host_str() == Some("refused.example") {
            Err("is refused here".to_owned())
        } else {
            Ok(())
        }
    }
}

struct Bench<S: Storage + Clone = MemoryStorage> {
    engine: Engine,
    clock: ManualClock,
    script: Script,
    storage: S,
}

async fn bench(script: Script) -> Bench {
    // No other node changes triggers here, so a look an hour is plenty and days pass quickly.
    let options = EngineOptions::default().with_refresh(Duration::from_secs(3_600));
    bench_on(MemoryStorage::new(), script, options).await
}

async fn bench_on<S: Storage + Clone>(
    storage: S,
    script: Script,
    options: EngineOptions,
) -> Bench<S> {
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let engine = Engine::builder(storage.clone())
        .deliverer(script.clone())
        .clock(clock.clone())
        .action("flaky", Flaky::default())
        .options(options)
        .build()
        .await
        .unwrap();
    Bench { engine, clock, script, storage }
}

fn webhook(name: &str) -> TriggerBuilder {
    Trigger::builder(name)
        .on_any("artifact.*".parse::<KindPattern>().unwrap())
        .webhook("https://hooks.example/x", SECRET.parse().unwrap())
        .policy(DeliveryPolicy::default().with_jitter(Jitter::None))
}

fn event(name: &str) -> Event {
    let artifact = Artifact::new("generic", name).with_version("1");
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap()
}

impl<S: Storage + Clone> Bench<S> {
    async fn trigger(&self, builder: TriggerBuilder) -> Arc<Trigger> {
        self.engine.create_trigger(builder.build().unwrap()).await.unwrap()
    }

    /// Lets the engine work, and time pass for it, until nothing is left to do within `span`.
    async fn work(&self, span: Duration) {
        let end = self.clock.now() + span;
        let engine = self.engine.clone();
        let run = engine.run();
        let mut run = std::pin::pin!(run);
        loop {
            for _ in 0..200 {
                let turn = std::pin::pin!(tokio::task::yield_now());
                futures_util::future::select(run.as_mut(), turn).await;
            }
            match self.clock.next_wake() {
                Some(at) if at <= end => self.clock.set(at),
                _ => break,
            }
        }
        self.clock.set(end.max(self.clock.now()));
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        self.engine.deliveries(DeliveryQuery::of_scope(Scope::root())).await.unwrap()
    }

    async fn only(&self) -> Delivery {
        let deliveries = self.deliveries().await;
        assert_eq!(deliveries.len(), 1, "{deliveries:?}");
        deliveries[0].clone()
    }

    async fn log(&self, delivery: &Delivery) -> Vec<LoggedAttempt> {
        self.engine.attempts(&Scope::root(), delivery.id).await.unwrap()
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_published_event_reaches_the_endpoint_signed() {
    let bench = bench(Script::statuses([204])).await;
    bench.trigger(webhook("t")).await;
    let published = bench.engine.publish(event("a")).await.unwrap();
    bench.work(Duration::ZERO).await;
    let delivery = bench.only().await;
    assert_eq!(
        (published.deliveries, delivery.state.clone()),
        (vec![delivery.id], State::Delivered)
    );
    let request = &bench.script.requests()[0];
    let secret: SigningSecret = SECRET.parse().unwrap();
    let verified = Verifier::standard_webhooks([secret])
        .verify(&request.headers, &request.body, bench.clock.now())
        .unwrap();
    let body: serde_json::Value = serde_json::from_slice(verified.body()).unwrap();
    assert_eq!(body["type"], "artifact.ingested");
    assert_eq!(body["data"]["artifact"]["name"], "a");
    let log = bench.log(&delivery).await;
    assert_eq!((log[0].attempt.number, log[0].attempt.status), (1, Some(204)));
}

#[tokio::test]
async fn an_event_published_twice_is_delivered_once() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(webhook("t")).await;
    let event = event("a");
    assert!(!bench.engine.publish(event.clone()).await.unwrap().duplicate);
    let again = bench.engine.publish_all(vec![event.clone(), event]).await.unwrap();
    assert!(again.iter().all(|published| published.duplicate && published.deliveries.is_empty()));
    bench.work(MINUTE).await;
    assert_eq!(bench.script.requests().len(), 1);
}

#[tokio::test]
async fn a_failing_endpoint_is_tried_by_the_schedule_with_the_same_message() {
    let bench = bench(Script::statuses([500, 404, 200])).await;
    bench.trigger(webhook("t")).await;
    let begin = bench.clock.now();
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(DAY).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Delivered);
    let log = bench.log(&delivery).await;
    let waited: Vec<u64> =
        log.iter().map(|a| a.attempt.started_at.since(begin).as_secs()).collect();
    assert_eq!(waited, [0, 5, 305]);
    let requests = bench.script.requests();
    let id = |request: &Request| request.headers.only("webhook-id").unwrap().to_vec();
    let time = |request: &Request| request.headers.only("webhook-timestamp").unwrap().to_vec();
    assert!(requests.iter().all(|r| id(r) == id(&requests[0]) && r.body == requests[0].body));
    assert_ne!(time(&requests[0]), time(&requests[1]));
}

#[tokio::test]
async fn after_the_last_attempt_the_delivery_is_a_dead_letter_that_can_be_replayed() {
    let bench = bench(Script::statuses([500])).await;
    let policy = DeliveryPolicy::default().with_retry(RetrySchedule::Pauses(vec![MINUTE]));
    let trigger = bench.trigger(webhook("t").policy(policy)).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(DAY).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Dead { reason: DeadReason::Exhausted });
    bench.script.then(Answer::Status(200));
    let dead =
        DeliveryQuery::of_scope(Scope::root()).with_trigger(trigger.id).with_state(StateName::Dead);
    assert_eq!(bench.engine.replay(dead.clone()).await.unwrap(), [delivery.id]);
    bench.work(MINUTE).await;
    assert_eq!(bench.only().await.state, State::Delivered);
    assert_eq!(bench.engine.replay(dead).await.unwrap(), []);
    let positions: Vec<_> =
        bench.log(&delivery).await.iter().map(|a| (a.position, a.attempt.number)).collect();
    assert_eq!(positions, [(1, 1), (2, 2), (3, 1)]);
    let ids: Vec<_> = bench
        .script
        .requests()
        .iter()
        .map(|r| r.headers.only("webhook-id").unwrap().to_vec())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn a_dead_letter_is_told_as_an_event_but_not_of_itself() {
    let bench = bench(Script::statuses([500])).await;
    let policy = DeliveryPolicy::default().with_retry(RetrySchedule::never());
    bench.trigger(webhook("all").on_any(KindPattern::any()).policy(policy)).await;
    let cause = bench.engine.publish(event("a")).await.unwrap().id;
    bench.work(DAY).await;
    let events = bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
    let told: Vec<&Event> = events.iter().filter(|e| e.kind == EventKind::DELIVERY_DEAD).collect();
    assert_eq!(told.len(), 1, "{events:?}");
    assert_eq!(told[0].correlation.cause, Some(cause));
    assert_eq!(told[0].attributes["reason"], "exhausted");
    let states: Vec<_> = bench.deliveries().await.iter().map(|d| d.state.name()).collect();
    assert_eq!(states, [StateName::Dead, StateName::Dead]);
}

#[tokio::test]
async fn gone_kills_the_delivery_suspends_the_trigger_and_parks_what_follows() {
    let bench = bench(Script::statuses([410])).await;
    let trigger = bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.only().await.state, State::Dead { reason: DeadReason::Gone });
    let now = bench.engine.trigger(&Scope::root(), trigger.id).unwrap();
    assert_eq!((now.suspended, now.spec.enabled), (Some(SuspendReason::EndpointGone), true));
    let kinds: Vec<_> = bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
    assert!(kinds.iter().any(|event| event.kind == EventKind::TRIGGER_DISABLED));

    bench.engine.publish(event("b")).await.unwrap();
    bench.work(DAY).await;
    let parked = DeliveryQuery::of_scope(Scope::root()).with_state(StateName::Parked);
    assert_eq!(bench.engine.deliveries(parked.clone()).await.unwrap().len(), 1);
    assert_eq!(bench.script.requests().len(), 1);

    bench.script.then(Answer::Status(200));
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    assert_eq!(bench.engine.replay(parked).await.unwrap().len(), 1);
    bench.work(MINUTE).await;
    assert_eq!(bench.script.requests().len(), 2);
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let bench = bench(Script::new([Answer::RetryAfter(503, "3600"), Answer::Status(200)])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(Duration::from_secs(3_599)).await;
    assert_eq!(bench.script.requests().len(), 1);
    bench.work(Duration::from_secs(721)).await;
    assert_eq!(bench.only().await.state, State::Delivered);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let bench = bench(Script::statuses([302, 200])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let log = bench.log(&bench.only().await).await;
    assert_eq!((log[0].attempt.status, &log[0].attempt.outcome), (Some(302), &Outcome::Rejected));
    assert_eq!(log.len(), 2);
}

#[tokio::test]
async fn a_blocked_address_is_dead_at_once_with_its_reason() {
    let blocked = DeliverError::Blocked { reason: "the address is not public".to_owned() };
    let bench = bench(Script::new([Answer::Error(blocked)])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(DAY).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Dead { reason: DeadReason::Blocked });
    let log = bench.log(&delivery).await;
    assert_eq!(log[0].attempt.error.as_deref(), Some("blocked: the address is not public"));
}

#[tokio::test]
async fn a_deliverer_that_hangs_or_panics_costs_one_attempt() {
    let bench = bench(Script::new([Answer::Hang, Answer::Panic, Answer::Status(200)])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(DAY).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Delivered);
    let errors: Vec<_> = bench.log(&delivery).await.into_iter().map(|a| a.attempt.error).collect();
    let expected =
        [Some("no answer within 20s".to_owned()), Some("the handler panicked".to_owned()), None];
    assert_eq!(errors, expected);
}

#[tokio::test]
async fn a_triggers_scope_kinds_filter_and_switch_decide() {
    let bench = bench(Script::statuses([200])).await;
    let filter = br#"{"artifact": {"name": [{"prefix": "a"}]}}"#;
    let filter = artifact_triggers::trigger::filter::Filter::from_json(filter).unwrap();
    let trigger = bench.trigger(webhook("t").scope("acme".parse().unwrap()).filter(filter)).await;
    let count = async |scope: &str, name: &str| {
        let mut event = event(name);
        event.scope = scope.parse().unwrap();
        bench.engine.publish(event).await.unwrap().deliveries.len()
    };
    assert_eq!(count("acme/x", "abc").await, 1);
    assert_eq!(count("acme", "b").await, 0);
    assert_eq!(count("", "abc").await, 0);
    assert_eq!(count("acme-eu", "abc").await, 0);
    bench.engine.disable_trigger(trigger.id).await.unwrap();
    assert_eq!(count("acme", "abc").await, 0);
    bench.engine.enable_trigger(trigger.id).await.unwrap();
    assert_eq!(count("acme", "abc").await, 1);
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    assert_eq!(count("acme", "abc").await, 0);
}

#[tokio::test]
async fn what_waits_is_parked_when_disabled_and_cancelled_when_deleted() {
    let bench = bench(Script::statuses([200])).await;
    let disabled = bench.trigger(webhook("a")).await;
    let deleted = bench.trigger(webhook("b")).await;
    bench.engine.publish(event("x")).await.unwrap();
    bench.engine.disable_trigger(disabled.id).await.unwrap();
    bench.engine.delete_trigger(deleted.id).await.unwrap();
    bench.work(MINUTE).await;
    for delivery in bench.deliveries().await {
        let expected =
            if delivery.trigger == disabled.id { State::Parked } else { State::Cancelled };
        assert_eq!(delivery.state, expected);
    }
    assert_eq!(bench.script.requests().len(), 0);
}

#[tokio::test]
async fn an_update_from_an_old_revision_is_a_conflict() {
    let bench = bench(Script::statuses([200])).await;
    let first = bench.trigger(webhook("a")).await;
    let second = bench.engine.update_trigger(first.id, 1, first.spec.clone()).await.unwrap();
    assert_eq!(second.revision, 2);
    let late = bench.engine.update_trigger(first.id, 1, first.spec.clone()).await.unwrap_err();
    assert!(matches!(late, TriggerError::Storage(StorageError::Conflict { .. })), "{late:?}");
    let twin = bench.engine.create_trigger(webhook("a").build().unwrap()).await.unwrap_err();
    assert!(matches!(twin, TriggerError::Storage(StorageError::Conflict { .. })), "{twin:?}");
}

#[tokio::test]
async fn a_trigger_that_cannot_work_here_is_refused_with_all_its_problems() {
    let bench = bench(Script::statuses([200])).await;
    let policy = DeliveryPolicy::default().with_timeout(Duration::from_secs(31));
    let refused = webhook("a").unsigned_webhook("https://refused.example/").policy(policy);
    let error =
        bench.engine.create_trigger(refused.build().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("policy.timeout: expected at most 30s"), "{error}");
    assert!(error.contains("target.webhook.url: is refused here"), "{error}");
    let unknown = Trigger::builder("b").on(EventKind::PING).action("nobody").build().unwrap();
    let error = bench.engine.create_trigger(unknown).await.unwrap_err().to_string();
    assert!(
        error.contains("target.action.name: expected the name of a registered action"),
        "{error}"
    );
}

#[tokio::test]
async fn another_engine_on_the_storage_follows_the_triggers() {
    let bench = bench(Script::statuses([200])).await;
    let other = Engine::builder(bench.storage.clone())
        .deliverer(bench.script.clone())
        .clock(bench.clock.clone())
        .build()
        .await
        .unwrap();
    let trigger = bench.trigger(webhook("t")).await;
    assert!(other.trigger(&Scope::root(), trigger.id).is_none());
    other.refresh_triggers().await.unwrap();
    assert_eq!(other.trigger(&Scope::root(), trigger.id), Some(trigger.clone()));
    bench.engine.delete_trigger(trigger.id).await.unwrap();
    other.refresh_triggers().await.unwrap();
    assert_eq!(other.triggers(&Scope::root()), []);
}

#[tokio::test]
async fn an_invalid_event_is_refused_before_anything_is_stored() {
    let bench = bench(Script::statuses([200])).await;
    let mut broken = event("a");
    broken.artifact = None;
    let error = bench.engine.publish_all(vec![event("b"), broken]).await.unwrap_err();
    assert!(error.to_string().contains("artifact: expected a name"), "{error}");
    let mut large = event("c");
    large.data = Some(serde_json::json!("x".repeat(1024 * 1024)));
    let error = bench.engine.publish(large).await.unwrap_err();
    assert!(matches!(error, PublishError::Invalid { .. }), "{error}");
    assert_eq!(bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap(), []);
}

#[derive(Debug, Default)]
struct Flaky(AtomicUsize);

#[async_trait]
impl Action for Flaky {
    async fn run(&self, call: ActionCall) -> Result<String, ActionError> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Err(ActionError::Transient("not yet".to_owned())),
            1 => Ok(format!("did {} for attempt {}", call.config, call.attempt)),
            _ => Err(ActionError::Permanent("never".to_owned())),
        }
    }
}

#[tokio::test]
async fn an_action_is_retried_logged_and_can_refuse_for_good() {
    let bench = bench(Script::statuses([200])).await;
    let action = Trigger::builder("t")
        .on(EventKind::ARTIFACT_INGESTED)
        .action_with("flaky", serde_json::json!("it"))
        .policy(DeliveryPolicy::default().with_jitter(Jitter::None));
    bench.trigger(action).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let delivery = bench.only().await;
    assert_eq!(delivery.state, State::Delivered);
    let log = bench.log(&delivery).await;
    assert_eq!(log[0].attempt.error.as_deref(), Some("not yet"));
    assert_eq!(log[1].attempt.response.as_deref(), Some("did \"it\" for attempt 2"));
    bench.engine.publish(event("b")).await.unwrap();
    bench.work(MINUTE).await;
    let last = bench.deliveries().await.into_iter().find(|d| d.id != delivery.id).unwrap();
    assert_eq!(last.state, State::Dead { reason: DeadReason::Invalid });
}

#[tokio::test]
async fn no_endpoint_gets_more_at_once_than_it_may_whatever_runs() {
    let options = EngineOptions::default().with_per_endpoint(3).with_concurrency(50);
    let bench = bench_on(MemoryStorage::new(), Script::statuses([200]), options).await;
    bench.trigger(webhook("t")).await;
    let events = (0..100).map(|n| event(&format!("a{n}"))).collect();
    bench.engine.publish_all(events).await.unwrap();
    let other = bench.engine.clone();
    let second = tokio::spawn(async move { other.run().await });
    bench.work(MINUTE).await;
    second.abort();
    assert_eq!(bench.script.requests().len(), 100);
    assert_eq!(bench.script.most_in_flight.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_run_that_is_dropped_loses_nothing_and_its_deliveries_resume_after_the_lease() {
    let bench = bench(Script::new([Answer::Hang])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(Duration::from_secs(1)).await;
    assert_eq!(bench.only().await.state.name(), StateName::Leased);
    bench.script.then(Answer::Status(200));
    bench.work(Duration::from_secs(58)).await;
    assert_eq!(bench.script.requests().len(), 1);
    bench.work(Duration::from_secs(2)).await;
    assert_eq!(bench.only().await.state, State::Delivered);
    assert_eq!(bench.only().await.attempts, 2);
}

#[tokio::test]
async fn a_delivery_whose_attempts_are_all_lost_ends_without_another() {
    let policy = DeliveryPolicy::default().with_retry(RetrySchedule::Pauses(vec![MINUTE]));
    let bench = bench(Script::new([Answer::Hang])).await;
    bench.trigger(webhook("t").policy(policy)).await;
    bench.engine.publish(event("a")).await.unwrap();
    for _ in 0..3 {
        bench.work(Duration::from_secs(1)).await;
        bench.clock.advance(MINUTE);
    }
    assert_eq!(bench.only().await.state, State::Dead { reason: DeadReason::Exhausted });
    assert_eq!(bench.script.requests().len(), 2);
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_in_flight_and_releases_the_rest() {
    let bench = bench(Script::new([Answer::Hang])).await;
    bench.trigger(webhook("t")).await;
    bench.engine.publish(event("a")).await.unwrap();
    let engine = bench.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    while bench.script.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let engine = bench.engine.clone();
    let shutdown = tokio::spawn(async move { engine.shutdown(Duration::from_secs(10)).await });
    while !shutdown.is_finished() {
        tokio::task::yield_now().await;
        if let Some(at) = bench.clock.next_wake() {
            bench.clock.set(at);
        }
    }
    run.await.unwrap();
    let delivery = bench.only().await;
    assert_eq!((delivery.state.name(), delivery.attempts), (StateName::Waiting, 0));
    // The engine still takes events; they wait for another one to deliver them.
    bench.engine.publish(event("b")).await.unwrap();
    assert_eq!(bench.deliveries().await.len(), 2);
}

#[tokio::test]
async fn pruning_takes_what_is_final_and_old_and_nothing_else() {
    let bench = bench(Script::statuses([200, 500])).await;
    bench.trigger(webhook("t")).await;
    let old = event("old");
    bench.engine.publish(old.clone()).await.unwrap();
    bench.work(MINUTE).await;
    bench.engine.publish(event("failing")).await.unwrap();
    bench.clock.set(Timestamp::now() + DAY * 2);
    let pruned = bench.engine.prune(DAY).await.unwrap();
    assert_eq!((pruned.deliveries, pruned.events), (1, 1));
    assert_eq!(bench.only().await.state.name(), StateName::Waiting);
    let query = EventQuery::of_scope(Scope::root()).with_id(old.id);
    assert_eq!(bench.engine.events(query).await.unwrap(), []);
}

#[tokio::test]
async fn nobody_reads_across_scopes() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(webhook("t").scope("acme".parse().unwrap())).await;
    let mut told = event("a");
    told.scope = "acme/x".parse().unwrap();
    bench.engine.publish(told).await.unwrap();
    bench.work(MINUTE).await;
    let delivery = bench.only().await;
    let stranger: Scope = "other".parse().unwrap();
    assert_eq!(bench.engine.trigger(&stranger, trigger.id), None);
    assert_eq!(bench.engine.attempts(&stranger, delivery.id).await.unwrap(), []);
    let query = DeliveryQuery::of_scope(stranger.clone()).with_id(delivery.id);
    assert_eq!(bench.engine.deliveries(query.clone()).await.unwrap(), []);
    assert_eq!(bench.engine.replay(query).await.unwrap(), []);
    assert_eq!(bench.engine.events(EventQuery::of_scope(stranger)).await.unwrap(), []);
}

/// A storage that is out of order for a while, before or after it has written.
#[derive(Debug, Clone, Default)]
struct Unreliable {
    inner: MemoryStorage,
    calls: Arc<AtomicU32>,
}

impl Unreliable {
    /// Whether this call fails, and whether after it was carried out.
    fn fault(&self) -> (bool, bool) {
        // Scattered, but the same in every run (Knuth's multiplicative hash).
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let scattered = call.wrapping_mul(2_654_435_769) >> 24;
        (scattered < 60, (60..120).contains(&scattered))
    }

    async fn through<T>(
        &self,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let lost = || Err(StorageError::Unavailable { reason: "on purpose".to_owned() });
        let (before, after) = self.fault();
        if before {
            return lost();
        }
        let result = call.await;
        if after { lost() } else { result }
    }
}

#[async_trait]
impl Storage for Unreliable {
    async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        self.inner.write_trigger(write).await
    }
    async fn trigger_changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TriggerChange>, StorageError> {
        self.inner.trigger_changes(after, limit).await
    }
    async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StorageError> {
        self.through(self.inner.record(records)).await
    }
    async fn cursors(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, StorageError> {
        self.through(self.inner.cursors(keys)).await
    }
    async fn claim(&self, claim: Claim) -> Result<Claims, StorageError> {
        self.through(self.inner.claim(claim)).await
    }
    async fn settle(
        &self,
        settlements: Vec<Settle>,
        now: Timestamp,
    ) -> Result<Vec<Settled>, StorageError> {
        self.through(self.inner.settle(settlements, now)).await
    }
    async fn events(&self, query: EventQuery) -> Result<Vec<Event>, StorageError> {
        self.inner.events(query).await
    }
    async fn deliveries(&self, query: DeliveryQuery) -> Result<Vec<Delivery>, StorageError> {
        self.inner.deliveries(query).await
    }
    async fn attempts(
        &self,
        delivery: artifact_triggers::id::DeliveryId,
    ) -> Result<Vec<LoggedAttempt>, StorageError> {
        self.inner.attempts(delivery).await
    }
    async fn replay(
        &self,
        replay: Replay,
    ) -> Result<Vec<artifact_triggers::id::DeliveryId>, StorageError> {
        self.inner.replay(replay).await
    }
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<Pruned, StorageError> {
        self.inner.prune(before, limit).await
    }
}

#[tokio::test]
async fn a_storage_that_fails_before_or_after_writing_loses_no_event() {
    let options = EngineOptions::default().with_concurrency(4);
    let bench = bench_on(Unreliable::default(), Script::statuses([200]), options).await;
    bench.trigger(webhook("t")).await;
    let mut acknowledged: Vec<EventId> = Vec::new();
    for n in 0..30 {
        let event = event(&format!("a{n}"));
        while bench.engine.publish(event.clone()).await.is_err() {}
        acknowledged.push(event.id);
    }
    bench.work(Duration::from_secs(3_600)).await;
    let query = DeliveryQuery::of_scope(Scope::root()).with_state(StateName::Delivered);
    let delivered = bench.engine.deliveries(query).await.unwrap();
    let mut events: Vec<EventId> = delivered.iter().map(|d| d.event).collect();
    events.sort_unstable();
    acknowledged.sort_unstable();
    assert_eq!(events, acknowledged);
}

mod incoming {
    use artifact_triggers::engine::{IncomingError, Received};
    use artifact_triggers::incoming::Incoming;
    use artifact_triggers::incoming::distribution::DistributionReceiver;
    use artifact_triggers::incoming::known::SkipReason;
    use artifact_triggers::request::Headers;
    use artifact_triggers::secret::Secret;

    use super::*;

    fn receiver() -> DistributionReceiver {
        let verifier = Verifier::header_token("authorization", Secret::new("Bearer testbed-token"));
        DistributionReceiver::new("acme".parse().unwrap(), verifier)
    }

    fn headers(token: &str) -> Headers {
        let media_type = "application/vnd.docker.distribution.events.v1+json";
        [("Authorization", token), ("Content-Type", media_type)].into_iter().collect()
    }

    /// The body of a notification as a real registry sent it.
    fn capture(n: u32) -> Vec<u8> {
        let path =
            format!("{}/tests/data/distribution/all/{n:03}.body", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    }

    async fn receive<S: Storage + Clone>(
        bench: &Bench<S>,
        body: &[u8],
    ) -> Result<Vec<Received>, IncomingError> {
        let headers = headers("Bearer testbed-token");
        bench.engine.receive(&receiver(), Incoming { headers: &headers, body }).await
    }

    #[tokio::test]
    async fn what_a_real_registry_told_becomes_events_in_order() {
        let bench = bench(Script::statuses([200])).await;
        bench.trigger(webhook("t").scope("acme".parse().unwrap())).await;
        let mut skipped = Vec::new();
        for n in 1..=45 {
            for received in receive(&bench, &capture(n)).await.unwrap() {
                if let Received::Skipped { reason, .. } = received {
                    skipped.push((n, reason));
                }
            }
        }
        assert_eq!(skipped, [(34, SkipReason::Unchanged)]);
        let query = EventQuery::of_scope(Scope::root()).with_limit(100);
        let events = bench.engine.events(query).await.unwrap();
        let count = |kind: EventKind| events.iter().filter(|event| event.kind == kind).count();
        assert_eq!(count(EventKind::ARTIFACT_DELETED), 2);
        assert_eq!(count(EventKind::TAG_DELETED), 3);
        assert_eq!(count(EventKind::ARTIFACT_SIGNED), 1);
        assert_eq!(count(EventKind::BLOB_DELETED), 1);
        bench.work(MINUTE).await;
        let artifacts = events.iter().filter(|event| event.kind.as_str().starts_with("artifact."));
        assert_eq!(bench.script.requests().len(), artifacts.count());
    }

    #[tokio::test]
    async fn a_resent_envelope_is_recognised() {
        let bench = bench(Script::statuses([200])).await;
        bench.trigger(webhook("t")).await;
        let first = receive(&bench, &capture(3)).await.unwrap();
        assert!(
            matches!(&first[0], Received::Published(p) if p.deliveries.len() == 1),
            "{first:?}"
        );
        let again = receive(&bench, &capture(3)).await.unwrap();
        assert!(matches!(&again[0], Received::Skipped { .. }), "{again:?}");
        assert_eq!(bench.deliveries().await.len(), 1);
    }

    #[tokio::test]
    async fn each_refusal_has_its_status_and_stores_nothing() {
        let bench = bench(Script::statuses([200])).await;
        let body = capture(3);
        let wrong = headers("Bearer wrong");
        let refused =
            bench.engine.receive(&receiver(), Incoming { headers: &wrong, body: &body }).await;
        assert_eq!(refused.unwrap_err().status(), 401);
        assert_eq!(receive(&bench, b"{\"events\": 7}").await.unwrap_err().status(), 400);
        assert_eq!(bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap(), []);
    }

    #[tokio::test]
    async fn receivers_that_race_decide_anew() {
        let storage = MemoryStorage::new();
        let first =
            bench_on(storage.clone(), Script::statuses([200]), EngineOptions::default()).await;
        let second = bench_on(storage, Script::statuses([200]), EngineOptions::default()).await;
        // Two pushes of one tag with different digests, told to two nodes at once.
        let (a, b) = (capture(3), String::from_utf8(capture(3)).unwrap());
        let b = b.replace("072b6187", "172b6187").replace("a0e576ed", "b0e576ed").into_bytes();
        let (a, b) = tokio::join!(receive(&first, &a), receive(&second, &b));
        assert!(a.is_ok() && b.is_ok());
        let events = first.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
        let mut kinds: Vec<_> = events.iter().map(|event| event.kind.as_str().to_owned()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["artifact.ingested", "artifact.updated"]);
    }

    #[tokio::test]
    async fn a_storage_that_is_down_asks_the_sender_to_come_again() {
        let options = EngineOptions::default();
        let bench = bench_on(Unreliable::default(), Script::statuses([200]), options).await;
        let mut refused = 0;
        while let Err(error) = receive(&bench, &capture(3)).await {
            assert_eq!(error.status(), 503);
            refused += 1;
            assert!(refused < 100);
        }
        assert!(receive_until_ok(&bench, &capture(19)).await);
        let events = bench.engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
        assert_eq!(events.len(), 2);
    }

    async fn receive_until_ok(bench: &Bench<Unreliable>, body: &[u8]) -> bool {
        for _ in 0..100 {
            if receive(bench, body).await.is_ok() {
                return true;
            }
        }
        false
    }
}
