//! Batches: several events of a trigger in one request.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::Clock as _;
use artifact_triggers::delivery::{
    Batch, DeadReason, Delivery, DeliveryPolicy, Jitter, RetrySchedule, State, StateName,
};
use artifact_triggers::endpoint::{EndpointPolicy, Rate};
use artifact_triggers::engine::{EngineOptions, ReplayPlan, TriggerError};
use artifact_triggers::event::{EventKind, Scope};
use artifact_triggers::id::MessageId;
use artifact_triggers::payload::PayloadFormat;
use artifact_triggers::request::Request;
use artifact_triggers::signature::Verifier;
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::{MemoryStorage, Storage};
use artifact_triggers::trigger::TriggerBuilder;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::bench::*;

const SECOND: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_secs(600);

fn gathered(events: usize) -> DeliveryPolicy {
    let batch = Batch::default().with_max_events(events).with_max_wait(WAIT);
    DeliveryPolicy::default().with_jitter(Jitter::None).with_batch(batch)
}

fn batching(events: usize) -> TriggerBuilder {
    webhook("t").policy(gathered(events))
}

impl<S: Storage + Clone> Bench<S> {
    /// Publishes events of artifacts that are called by their numbers, one after the other.
    async fn publish_numbers(&self, numbers: std::ops::Range<usize>) {
        for n in numbers {
            self.engine.publish(event(&n.to_string())).await.unwrap();
            self.clock.advance(Duration::from_millis(1));
        }
    }

    /// The numbers that each request told of, in their order.
    fn batches(&self) -> Vec<Vec<usize>> {
        self.script.requests().iter().map(numbers).collect()
    }

    async fn states_and_attempts(&self) -> HashSet<(StateName, u32)> {
        let deliveries = self.deliveries().await;
        deliveries.iter().map(|delivery| (delivery.state.name(), delivery.attempts)).collect()
    }
}

/// Lets what runs beside the test go on.
async fn turns() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn entries(request: &Request) -> Vec<Value> {
    serde_json::from_slice(&request.body).expect("it is an array")
}

fn numbers(request: &Request) -> Vec<usize> {
    let number = |entry: &Value| entry["data"]["artifact"]["name"].as_str()?.parse().ok();
    entries(request).iter().map(|entry| number(entry).expect("it is called so")).collect()
}

fn webhook_id(request: &Request) -> Vec<u8> {
    request.headers.only("webhook-id").unwrap().to_vec()
}

fn of(deliveries: &[Delivery], state: StateName) -> usize {
    deliveries.iter().filter(|delivery| delivery.state.name() == state).count()
}

#[tokio::test]
async fn enough_events_go_at_once_and_what_is_left_once_it_has_waited() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(batching(3)).await;
    bench.publish_numbers(0..8).await;
    bench.work(SECOND).await;
    let mut told = bench.batches();
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
    assert!(told.iter().all(|numbers| numbers.is_sorted()), "in the order in which they were made");
    assert_eq!(of(&bench.deliveries().await, StateName::Waiting), 2);
    bench.work(WAIT / 2).await;
    assert_eq!(bench.batches().len(), 2);
    bench.work(WAIT).await;
    told = bench.batches();
    let all: BTreeSet<usize> = told.iter().flatten().copied().collect();
    assert_eq!((told.len(), told[2].len(), all.len()), (3, 2, 8));
    assert_eq!(bench.states_and_attempts().await, HashSet::from([(StateName::Delivered, 1)]));
}

#[tokio::test]
async fn enough_events_go_at_once_however_few_may_be_in_flight() {
    let options = EngineOptions::default().with_concurrency(3).with_refresh(DAY);
    let bench = bench_on(MemoryStorage::new(), Script::statuses([200]), options).await;
    bench.trigger(batching(3)).await;
    bench.publish_numbers(0..31).await;
    bench.work(SECOND).await;
    assert_eq!(bench.batches().iter().map(Vec::len).collect::<Vec<_>>(), [3; 10]);
}

#[tokio::test]
async fn each_member_counts_among_those_that_a_run_attempts_at_once() {
    let options = EngineOptions::default().with_concurrency(6).with_stalled(0).with_refresh(DAY);
    let bench = bench_on(MemoryStorage::new(), Script::new([Answer::Hang]), options).await;
    bench.trigger(batching(3)).await;
    bench.publish_numbers(0..31).await;
    bench.work(SECOND).await;
    assert_eq!(bench.batches().iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(of(&bench.deliveries().await, StateName::Leased), 6);
}

#[tokio::test]
async fn one_event_alone_is_a_batch_too() {
    let bench = bench(Script::statuses([200])).await;
    bench.trigger(batching(3)).await;
    bench.publish_numbers(7..8).await;
    bench.work(2 * WAIT).await;
    assert_eq!(bench.batches(), [[7]]);
    let log = bench.log(&bench.only().await).await;
    assert_eq!(log[0].attempt.started_at, bench.only().await.created_at + WAIT);
}

#[tokio::test]
async fn a_batch_is_signed_as_a_whole_in_either_format_and_tells_its_members() {
    for (format, content_type, id) in [
        (PayloadFormat::Native, "application/json", "id"),
        (PayloadFormat::CloudeventsStructured, "application/cloudevents-batch+json", "messageid"),
    ] {
        let bench = bench(Script::statuses([200])).await;
        bench.trigger(batching(2).format(format)).await;
        bench.publish_numbers(0..2).await;
        bench.work(SECOND).await;
        let request = bench.script.requests().remove(0);
        let secret: SigningSecret = SECRET.parse().unwrap();
        let verifier = Verifier::standard_webhooks([secret]);
        verifier.verify(&request.headers, &request.body, bench.clock.now()).unwrap();
        assert_eq!(request.headers.only("content-type").unwrap(), content_type.as_bytes());
        assert_eq!(request.headers.all("artifact-triggers-hops").count(), 1);
        let mut deliveries = bench.deliveries().await;
        deliveries.sort_by_key(|delivery| delivery.created_at);
        let ids: Vec<MessageId> = deliveries.iter().map(|delivery| delivery.message_id).collect();
        assert_eq!(webhook_id(&request), MessageId::of_batch(&ids).to_string().into_bytes());
        let members: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let told: Vec<Value> = entries(&request).iter().map(|entry| entry[id].clone()).collect();
        assert_eq!(told, members);
    }
}

#[tokio::test]
async fn a_batch_that_failed_is_tried_again_as_it_was() {
    let bench = bench(Script::statuses([503, 200])).await;
    bench.trigger(batching(3)).await;
    bench.publish_numbers(0..3).await;
    bench.work(MINUTE).await;
    let requests = bench.script.requests();
    assert_eq!(bench.batches(), [[0, 1, 2], [0, 1, 2]]);
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(webhook_id(&requests[0]), webhook_id(&requests[1]));
    for delivery in bench.deliveries().await {
        let log = bench.log(&delivery).await;
        let numbers: Vec<_> =
            log.iter().map(|one| (one.attempt.number, one.attempt.status)).collect();
        assert_eq!(numbers, [(1, Some(503)), (2, Some(200))]);
        assert_eq!(delivery.state, State::Delivered);
    }
}

#[tokio::test]
async fn what_failed_is_not_taken_along_before_its_time() {
    let bench = bench(Script::statuses([500, 200])).await;
    let policy = gathered(2).with_retry(RetrySchedule::Pauses(vec![5 * MINUTE]));
    bench.trigger(webhook("t").policy(policy)).await;
    bench.publish_numbers(0..2).await;
    bench.work(SECOND).await;
    bench.publish_numbers(2..4).await;
    bench.work(MINUTE).await;
    assert_eq!(bench.batches(), [[0, 1], [2, 3]]);
    bench.publish_numbers(4..5).await;
    bench.work(5 * MINUTE).await;
    assert_eq!(bench.batches()[2], [0, 1], "a full batch has no room for what waits");
}

#[tokio::test]
async fn each_member_counts_and_ends_by_itself() {
    let bench = bench(Script::statuses([500, 500, 200])).await;
    let policy = gathered(3).with_retry(RetrySchedule::Pauses(vec![MINUTE])).with_max_age(DAY);
    let trigger = bench.trigger(webhook("t").policy(policy)).await;
    bench.publish_numbers(0..1).await;
    bench.work(WAIT + SECOND).await;
    // Its last attempt takes along two that have one more.
    bench.publish_numbers(1..3).await;
    bench.work(WAIT).await;
    let told: Vec<Vec<usize>> = bench.batches();
    assert_eq!(told[..2], [vec![0], vec![0, 1, 2]]);
    let states: Vec<_> = {
        let mut deliveries = bench.deliveries().await;
        deliveries.sort_by_key(|delivery| delivery.created_at);
        deliveries.iter().map(|delivery| (delivery.state.name(), delivery.attempts)).collect()
    };
    let (dead, done) = (StateName::Dead, StateName::Delivered);
    assert_eq!(states, [(dead, 2), (done, 2), (done, 2)]);
    // One that has grown too old ends without the others.
    bench.engine.pause_all().await.unwrap();
    bench.publish_numbers(3..4).await;
    bench.clock.advance(DAY);
    bench.publish_numbers(4..6).await;
    bench.engine.resume_all().await.unwrap();
    bench.work(2 * WAIT).await;
    assert_eq!(bench.batches()[3..], [[4, 5]]);
    let old =
        bench.deliveries().await.into_iter().find(|d| d.attempts == 1 && d.state.name() == dead);
    assert_eq!(old.unwrap().state, State::Dead { reason: DeadReason::TooOld });
    assert_eq!(bench.engine.trigger(&Scope::root(), trigger.id).unwrap().suspended, None);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_ends_all_and_disables_the_trigger_once() {
    let bench = bench(Script::statuses([410])).await;
    let trigger = bench.trigger(batching(3)).await;
    bench.engine.publish(event("0")).await.unwrap();
    let listener = webhook("listens").on(EventKind::TRIGGER_DISABLED);
    bench.trigger(listener.unsigned_webhook("https://other.example")).await;
    bench.publish_numbers(1..3).await;
    bench.work(SECOND).await;
    let deliveries = bench.deliveries().await;
    let gone = State::Dead { reason: DeadReason::Gone };
    let own = |delivery: &&Delivery| delivery.trigger == trigger.id;
    assert!(deliveries.iter().filter(own).all(|delivery| delivery.state == gone));
    let suspended = bench.engine.trigger(&Scope::root(), trigger.id).unwrap().suspended;
    assert!(suspended.is_some());
}

#[tokio::test]
async fn the_endpoint_counts_one_request_and_rests_for_all() {
    let bench = bench(Script::new([Answer::RetryAfter(429, "120"), Answer::Status(200)])).await;
    bench.trigger(batching(3)).await;
    bench.publish_numbers(0..3).await;
    bench.work(MINUTE).await;
    bench.publish_numbers(3..6).await;
    bench.work(MINUTE / 2).await;
    assert_eq!(bench.batches(), [[0, 1, 2]], "it rests for two minutes");
    let endpoint = bench.engine.endpoints().remove(0);
    assert!(endpoint.resting_until.is_some(), "{endpoint:?}");
    bench.work(2 * MINUTE).await;
    assert_eq!(bench.batches().len(), 3);
    let policy = EndpointPolicy::default().with_rate(Rate::new(1, MINUTE).with_burst(1));
    let options = EngineOptions::default().with_endpoint(policy).with_refresh(DAY);
    let bench = bench_on(MemoryStorage::new(), Script::statuses([200]), options).await;
    bench.trigger(batching(3)).await;
    bench.publish_numbers(0..9).await;
    bench.work(2 * MINUTE + SECOND).await;
    assert_eq!(bench.batches().concat().len(), 9, "three requests in two minutes");
}

#[tokio::test]
async fn a_crash_loses_nothing_and_repeats_the_same_messages() {
    let first = bench(Script::new([Answer::Hang])).await;
    first.trigger(batching(3)).await;
    first.publish_numbers(0..3).await;
    first.work(SECOND).await;
    let sent = first.script.requests().remove(0);
    let options = EngineOptions::default();
    let second = bench_on(first.storage.clone(), Script::statuses([200]), options).await;
    second.clock.set(first.clock.now());
    second.work(2 * MINUTE).await;
    let again = second.script.requests().remove(0);
    assert_eq!((sent.body.clone(), webhook_id(&sent)), (again.body.clone(), webhook_id(&again)));
    assert_eq!(second.states_and_attempts().await, HashSet::from([(StateName::Delivered, 2)]));
    assert_eq!(second.batches().len(), 1);
}

#[tokio::test]
async fn a_member_whose_lease_was_lost_is_settled_by_who_has_it() {
    let gate = Arc::new(Semaphore::new(0));
    let first = bench(Script::new([Answer::Later(500, gate.clone())])).await;
    first.trigger(batching(3)).await;
    first.publish_numbers(0..3).await;
    let engine = first.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    turns().await;
    assert_eq!(first.batches().len(), 1);
    let options = EngineOptions::default();
    let second = bench_on(first.storage.clone(), Script::statuses([200]), options).await;
    second.clock.set(first.clock.now() + 2 * MINUTE);
    second.work(MINUTE).await;
    assert_eq!(second.states_and_attempts().await, HashSet::from([(StateName::Delivered, 2)]));
    gate.add_permits(1);
    turns().await;
    assert_eq!(second.states_and_attempts().await, HashSet::from([(StateName::Delivered, 2)]));
    run.abort();
}

#[tokio::test]
async fn no_request_is_larger_than_it_may_be_and_bytes_make_a_batch_full() {
    let bench = bench(Script::statuses([200])).await;
    let batch = Batch::default().with_max_wait(WAIT).with_max_bytes(2_048);
    let policy = DeliveryPolicy::default().with_batch(batch);
    bench.trigger(webhook("t").policy(policy)).await;
    for (n, size) in [600, 700, 100, 5_000, 100, 100].into_iter().enumerate() {
        let mut event = event(&n.to_string());
        event.data = Some("x".repeat(size).into());
        bench.engine.publish(event).await.unwrap();
        bench.clock.advance(SECOND);
    }
    bench.work(MINUTE).await;
    let sizes: Vec<(usize, usize)> =
        bench.script.requests().iter().map(|one| (entries(one).len(), one.body.len())).collect();
    assert!(!sizes.is_empty() && bench.batches().contains(&vec![3]), "{sizes:?}");
    bench.work(2 * WAIT).await;
    for request in bench.script.requests() {
        let members = entries(&request).len();
        let alone = request.body.len() - members * 46 - 2;
        assert!(alone <= 2_048 || members == 1, "{members} of {alone} bytes");
    }
    assert_eq!(bench.batches().concat().len(), 6);
    assert!(bench.batches().iter().any(|numbers| numbers.len() > 1));
}

#[tokio::test]
async fn a_shutdown_gives_all_members_back() {
    let bench = bench(Script::new([Answer::Hang])).await;
    bench.trigger(batching(3)).await;
    bench.publish_numbers(0..3).await;
    let engine = bench.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    turns().await;
    assert_eq!(bench.states_and_attempts().await, HashSet::from([(StateName::Leased, 1)]));
    bench.engine.shutdown(Duration::ZERO).await;
    run.await.unwrap();
    assert_eq!(bench.states_and_attempts().await, HashSet::from([(StateName::Waiting, 0)]));
}

#[tokio::test]
async fn triggers_of_one_endpoint_have_batches_of_their_own_and_delay_no_other() {
    let bench = bench(Script::statuses([200])).await;
    let one = bench.trigger(batching(3)).await;
    let other = bench.trigger(webhook("other").policy(gathered(3))).await;
    bench.trigger(webhook("alone")).await;
    bench.publish_numbers(0..2).await;
    bench.work(SECOND).await;
    let requests = bench.script.requests();
    assert_eq!(requests.len(), 2, "what goes alone does not wait for what lingers");
    assert!(requests.iter().all(|request| request.body.starts_with(b"{")));
    bench.publish_numbers(2..3).await;
    bench.work(SECOND).await;
    let requests = bench.script.requests();
    let batches: Vec<Vec<Value>> =
        requests[2..].iter().filter(|one| one.body.starts_with(b"[")).map(entries).collect();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
    let mut triggers = BTreeSet::new();
    for batch in &batches {
        let of: BTreeSet<&str> =
            batch.iter().map(|entry| entry["trigger"]["id"].as_str().unwrap()).collect();
        assert_eq!(of.len(), 1, "no request has events of two triggers");
        triggers.extend(of.into_iter().map(ToOwned::to_owned));
    }
    assert_eq!(triggers, BTreeSet::from([one.id.to_string(), other.id.to_string()]));
}

#[tokio::test]
async fn what_lingers_goes_in_its_time_whatever_another_endpoint_holds_up() {
    let policy = EndpointPolicy::default().with_concurrency(1);
    let options = EngineOptions::default().with_endpoint(policy).with_refresh(DAY);
    let bench = bench_on(MemoryStorage::new(), Script::new([Answer::Hang]), options).await;
    let batch = Batch::default().with_max_wait(10 * SECOND);
    bench.trigger(webhook("t").policy(DeliveryPolicy::default().with_batch(batch))).await;
    bench.trigger(webhook("other").unsigned_webhook("https://other.example")).await;
    let engine = bench.engine.clone();
    let run = tokio::spawn(async move { engine.run().await });
    turns().await;
    bench.engine.publish_all(vec![event("0"), event("1")]).await.unwrap();
    turns().await;
    bench.clock.advance(12 * SECOND);
    turns().await;
    run.abort();
    let bodies = bench.script.requests();
    let batches = bodies.iter().filter(|request| request.body.starts_with(b"[")).count();
    assert_eq!((bodies.len(), batches), (2, 1));
}

#[tokio::test]
async fn a_trigger_that_no_longer_batches_or_changes_its_format_sends_each_as_it_was_made() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(batching(3)).await;
    bench.publish_numbers(0..2).await;
    let changed = batching(3).format(PayloadFormat::CloudeventsStructured).build().unwrap();
    let trigger = bench.engine.update_trigger(trigger.id, trigger.revision, changed).await.unwrap();
    bench.publish_numbers(2..4).await;
    bench.work(2 * WAIT).await;
    let mut told = bench.batches();
    told.sort();
    assert_eq!(told, [[0, 1], [2, 3]]);
    bench.publish_numbers(4..6).await;
    let spec = webhook("t").build().unwrap();
    bench.engine.update_trigger(trigger.id, trigger.revision, spec).await.unwrap();
    bench.work(2 * WAIT).await;
    let alone = &bench.script.requests()[2..];
    assert!(alone.len() == 2 && alone.iter().all(|request| request.body.starts_with(b"{")));
}

#[tokio::test]
async fn what_is_replayed_goes_in_batches_and_a_new_id_shows() {
    let bench = bench(Script::statuses([400, 200])).await;
    let policy = gathered(3).with_retry(RetrySchedule::never());
    bench.trigger(webhook("t").policy(policy)).await;
    bench.publish_numbers(0..3).await;
    bench.work(SECOND).await;
    let plan = ReplayPlan::of_scope(Scope::root()).with_new_message_ids();
    bench.engine.start_replay(plan).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.batches(), [[0, 1, 2], [0, 1, 2]]);
    let requests = bench.script.requests();
    let ids = |request: &Request| -> BTreeSet<String> {
        entries(request).iter().map(|entry| entry["id"].to_string()).collect()
    };
    assert!(ids(&requests[0]).is_disjoint(&ids(&requests[1])));
    assert_ne!(webhook_id(&requests[0]), webhook_id(&requests[1]));
}

#[tokio::test]
async fn a_ping_and_a_preview_have_the_form_of_a_batch_and_take_nothing_along() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(batching(3)).await;
    bench.publish_numbers(0..2).await;
    bench.engine.ping(&Scope::root(), trigger.id).await.unwrap();
    assert_eq!(entries(&bench.script.requests()[0]).len(), 1);
    let shown = bench.engine.preview(&Scope::root(), trigger.id, event("9")).unwrap().unwrap();
    assert_eq!(numbers(&shown), [9]);
    bench.work(2 * WAIT).await;
    assert_eq!(numbers(&bench.script.requests()[1]), [0, 1]);
}

#[tokio::test]
async fn a_batch_that_a_run_could_never_fill_is_refused() {
    let bench = bench(Script::default()).await;
    let error = bench.engine.create_trigger(batching(257).build().unwrap()).await.unwrap_err();
    let TriggerError::Invalid { problems, .. } = error else { panic!("{error}") };
    assert_eq!(
        problems.to_string(),
        "policy.batch.max_events: expected at most 256, how many a run attempts at once, found 257"
    );
}
