//! Endpoints: one that fails, is slow or is paused is nobody else's trouble, and none gets more
//! than it may.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::{Clock, ManualClock, Timestamp};
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::{DeliveryPolicy, EndpointKey, Jitter, RetrySchedule, StateName};
use artifact_triggers::endpoint::{BreakerPolicy, BreakerState, EndpointPolicy, Rate};
use artifact_triggers::engine::{BuildError, Engine, EngineOptions};
use artifact_triggers::event::Scope;
use artifact_triggers::id::DeliveryId;
use artifact_triggers::payload::Payload;
use artifact_triggers::request::{Request, Response};
use artifact_triggers::storage::{DeliveryQuery, MemoryStorage, Record, Storage};
use artifact_triggers::trigger::TriggerBuilder;
use async_trait::async_trait;

use crate::bench::{DAY, MINUTE, SECRET, event, webhook};

const SECOND: Duration = Duration::from_secs(1);

/// What the endpoint of a host does.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Answers at once with a status.
    Status(u16),
    /// Answers at once that it wants to be left alone for so many seconds.
    RetryAfter(u16, u64),
    /// Answers with a status after a span of time.
    Slow(u16, Duration),
    /// Never answers.
    Mute,
}

/// Endpoints by their hosts, each with a manner; 200 at once if it has none.
#[derive(Debug, Clone)]
struct World {
    clock: ManualClock,
    manners: Arc<Mutex<HashMap<String, Manner>>>,
    /// What arrived, when and where.
    arrived: Arc<Mutex<Vec<(Timestamp, String)>>>,
    in_flight: Arc<AtomicUsize>,
    most_in_flight: Arc<AtomicUsize>,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let (manners, arrived) = (Arc::default(), Arc::default());
        let (in_flight, most_in_flight) = (Arc::default(), Arc::default());
        Self { clock, manners, arrived, in_flight, most_in_flight }
    }

    fn set(&self, host: &str, manner: Manner) {
        self.manners.lock().unwrap().insert(host.to_owned(), manner);
    }

    fn times(&self, host: &str) -> Vec<Timestamp> {
        let arrived = self.arrived.lock().unwrap();
        arrived.iter().filter(|(_, to)| to == host).map(|(at, _)| *at).collect()
    }
}

/// Counts a request as long as it lives.
struct Counted<'w>(&'w World);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Deliverer for World {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        let host = request.url.host_str().unwrap().to_owned();
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        let _counted = Counted(self);
        let manner = self.manners.lock().unwrap().get(&host).copied();
        self.arrived.lock().unwrap().push((self.clock.now(), host));
        tokio::task::yield_now().await;
        let mut response = Response::default();
        response.status = match manner.unwrap_or(Manner::Status(200)) {
            Manner::Status(status) => status,
            Manner::RetryAfter(status, seconds) => {
                response.headers.push("retry-after", seconds.to_string());
                status
            }
            Manner::Slow(status, span) => {
                self.clock.sleep(span).await;
                status
            }
            Manner::Mute => std::future::pending().await,
        };
        Ok(response)
    }

    fn check_url(&self, _: &Scope, _: &url::Url) -> Result<(), String> {
        Ok(())
    }
}

struct House {
    engine: Engine,
    storage: MemoryStorage,
    world: World,
}

fn options() -> EngineOptions {
    EngineOptions::default().with_refresh(Duration::from_secs(86_400))
}

async fn house(options: EngineOptions) -> House {
    house_with(options, &[]).await
}

async fn house_with(options: EngineOptions, own: &[(&str, EndpointPolicy)]) -> House {
    let (world, storage) = (World::new(), MemoryStorage::new());
    let mut builder = Engine::builder(storage.clone())
        .deliverer(world.clone())
        .clock(world.clock.clone())
        .options(options);
    for (host, policy) in own {
        builder = builder.endpoint(key(host), policy.clone());
    }
    House { engine: builder.build().await.unwrap(), storage, world }
}

fn key(host: &str) -> EndpointKey {
    EndpointKey::new(format!("https://{host}"))
}

fn to(host: &str) -> TriggerBuilder {
    let url = format!("https://{host}/x");
    webhook(host).webhook(&url, SECRET.parse().unwrap())
}

/// Tried again every minute, for long.
fn every_minute() -> DeliveryPolicy {
    let pauses = vec![MINUTE; 99];
    let policy = DeliveryPolicy::default().with_jitter(Jitter::None);
    policy.with_retry(RetrySchedule::Pauses(pauses))
}

impl House {
    async fn trigger(&self, builder: TriggerBuilder) {
        self.engine.create_trigger(builder.build().unwrap()).await.unwrap();
    }

    async fn publish(&self, count: usize) {
        let begin = self.world.arrived.lock().unwrap().len();
        for chunk in (0..count).collect::<Vec<_>>().chunks(1_000) {
            let events = chunk.iter().map(|n| event(&format!("{begin}-{n}"))).collect();
            self.engine.publish_all(events).await.unwrap();
        }
    }

    /// Makes so many of the only delivery that there is, without the cost of publishing them.
    async fn multiply(&self, count: u128) {
        let query = DeliveryQuery::of_scope(Scope::root());
        let one = self.engine.deliveries(query).await.unwrap().remove(0);
        let payload = Payload { headers: Vec::new(), body: event("many").to_json().into() };
        let copy = |n: u128| {
            let mut copy = one.clone();
            copy.id = DeliveryId::from_bytes(n.to_be_bytes());
            (copy, payload.clone())
        };
        let deliveries = (1..count).map(copy).collect();
        let record = Record { deliveries, ..Record::default() };
        self.storage.record(vec![record]).await.unwrap();
    }

    /// Lets so many runs work, and time pass for them, until nothing is left to do within `span`.
    async fn work(&self, runs: usize, span: Duration) {
        self.work_by(runs, span, 60).await;
    }

    /// The same, with so many turns of the executor before time goes on.
    async fn work_by(&self, runs: usize, span: Duration, turns: usize) {
        let end = self.world.clock.now() + span;
        let engine = &self.engine;
        let runs = futures_util::future::join_all((0..runs).map(|_| engine.run()));
        let mut runs = std::pin::pin!(runs);
        loop {
            take_turns(&mut runs, turns).await;
            match self.world.clock.next_wake() {
                Some(at) if at <= end => self.world.clock.set(at),
                _ => break,
            }
        }
        self.world.clock.set(end.max(self.world.clock.now()));
    }

    async fn count(&self, state: StateName) -> usize {
        let query = DeliveryQuery::of_scope(Scope::root()).with_state(state).with_limit(1_000_000);
        self.engine.deliveries(query).await.unwrap().len()
    }

    async fn attempts(&self) -> Vec<u32> {
        let query = DeliveryQuery::of_scope(Scope::root()).with_limit(1_000_000);
        let deliveries = self.engine.deliveries(query).await.unwrap();
        deliveries.iter().map(|delivery| delivery.attempts).collect()
    }

    fn breaker(&self, host: &str) -> BreakerState {
        let all = self.engine.endpoints();
        all.iter()
            .find(|status| status.key == key(host))
            .map_or(BreakerState::Closed, |s| s.breaker)
    }
}

/// Lets runs go as far as they can at this time.
async fn take_turns(runs: &mut (impl Future + Unpin), turns: usize) {
    for _ in 0..turns {
        let turn = std::pin::pin!(tokio::task::yield_now());
        futures_util::future::select(&mut *runs, turn).await;
    }
}

#[tokio::test]
async fn defect_12_an_endpoint_that_asks_for_rest_gets_no_delivery_before() {
    let house = house(options()).await;
    house.trigger(to("busy.example").policy(every_minute())).await;
    house.world.set("busy.example", Manner::RetryAfter(429, 3_600));
    house.publish(1).await;
    house.work(1, SECOND).await;
    // Those that come later were told nothing themselves, and wait too.
    house.world.set("busy.example", Manner::Status(200));
    house.publish(200).await;
    house.work(1, Duration::from_secs(3_598)).await;
    assert_eq!(house.world.times("busy.example").len(), 1);
    assert_eq!(house.attempts().await.iter().sum::<u32>(), 1);
    house.work(1, Duration::from_secs(3_600)).await;
    assert_eq!(house.count(StateName::Delivered).await, 201);
    let times = house.world.times("busy.example");
    let rest = times[1].since(times[0]).as_secs();
    assert!((3_600..=4_320).contains(&rest), "{rest} s");
}

#[tokio::test]
async fn defect_21_no_endpoint_gets_more_at_once_than_it_may_whatever_runs_and_ends() {
    let policy = EndpointPolicy::default().with_concurrency(5).with_breaker(BreakerPolicy::off());
    let house = house(options().with_endpoint(policy)).await;
    house.trigger(to("slow.example").policy(every_minute())).await;
    house.world.set("slow.example", Manner::Slow(200, SECOND));
    house.publish(300).await;
    house.work(3, SECOND * 60).await;
    assert_eq!(house.count(StateName::Delivered).await, 300);
    assert_eq!(house.world.most_in_flight.load(Ordering::SeqCst), 5);
    let first = house.world.times("slow.example")[0];
    let last = *house.world.times("slow.example").last().unwrap();
    assert_eq!(last.since(first), SECOND * 59, "and it always gets all that it may");
}

#[tokio::test]
async fn defect_22_a_thousand_dead_endpoints_delay_no_healthy_one() {
    let breaker = BreakerPolicy::default().with_pauses(MINUTE * 5, MINUTE * 5);
    let policy = EndpointPolicy::default().with_breaker(breaker);
    let house = house(options().with_endpoint(policy)).await;
    for n in 0..1_000 {
        let host = format!("dead-{n}.example");
        house.world.set(&host, if n % 20 == 0 { Manner::Mute } else { Manner::Status(500) });
        house.trigger(to(&host).policy(every_minute())).await;
    }
    house.publish(12).await;
    house.work(1, MINUTE * 4).await;
    let states: Vec<_> = house.engine.endpoints().iter().map(|status| status.breaker).collect();
    assert_eq!(states, [BreakerState::Open; 1_000]);
    house.trigger(to("fine.example")).await;
    house.work(1, MINUTE).await;
    // From now on they are asked, one after the other, whether they are well again.
    for _ in 0..4 {
        house.world.arrived.lock().unwrap().clear();
        let begin = house.world.clock.now();
        house.publish(1).await;
        house.work(1, SECOND * 15).await;
        assert_eq!(house.world.times("fine.example"), [begin]);
        assert!(house.world.arrived.lock().unwrap().len() > 50, "the dead are asked meanwhile");
    }
    // What waited all that time used up no attempt but the probes'.
    assert!(house.attempts().await.iter().sum::<u32>() <= 1_000 * 13);
}

#[tokio::test]
async fn a_breaker_opens_asks_with_one_delivery_and_closes_and_no_attempt_is_burnt() {
    let house = house(options()).await;
    house.trigger(to("down.example").policy(every_minute())).await;
    house.world.set("down.example", Manner::Status(500));
    let begin = house.world.clock.now();
    house.publish(10).await;
    house.work(1, SECOND).await;
    assert_eq!(house.breaker("down.example"), BreakerState::Open);
    house.publish(500).await;
    house.work(1, SECOND * 600).await;
    let since = |at: &Timestamp| at.since(begin).as_secs();
    let probes: Vec<u64> = house.world.times("down.example")[10..].iter().map(since).collect();
    // One at a time, after 30, 60, 120, 240 s and up to a fifth more each.
    assert_eq!(probes.len(), 4, "{probes:?}");
    let pauses: Vec<u64> =
        [0].iter().chain(&probes).zip(&probes).map(|(from, to)| to - from).collect();
    for (pause, least) in pauses.iter().zip([30, 60, 120, 240]) {
        assert!((least..=least * 6 / 5 + 1).contains(pause), "{pauses:?}");
    }
    assert_eq!(house.attempts().await.iter().sum::<u32>(), 14);
    house.world.set("down.example", Manner::Status(200));
    house.work(1, SECOND * 600).await;
    assert_eq!(house.breaker("down.example"), BreakerState::Closed);
    assert_eq!(house.count(StateName::Delivered).await, 510);
    // Each of them took one attempt when the endpoint was well again.
    assert_eq!(house.attempts().await.iter().sum::<u32>(), 14 + 510);
}

#[tokio::test]
async fn a_probe_that_makes_no_attempt_or_is_lost_with_its_run_is_asked_again() {
    let house = house(options()).await;
    house.trigger(to("down.example").policy(every_minute())).await;
    house.world.set("down.example", Manner::Status(500));
    house.publish(10).await;
    house.work(1, SECOND).await;
    house.world.set("down.example", Manner::Mute);
    house.work(1, SECOND * 40).await;
    assert_eq!(house.world.in_flight.load(Ordering::SeqCst), 0, "its run was dropped");
    assert_eq!(house.breaker("down.example"), BreakerState::HalfOpen);
    let triggers = house.engine.triggers(&Scope::root());
    house.engine.disable_trigger(triggers[0].id).await.unwrap();
    house.trigger(to("down.example").policy(every_minute()).scope("other".parse().unwrap())).await;
    house.world.set("down.example", Manner::Status(200));
    house.work(1, MINUTE * 2).await;
    assert_eq!(house.count(StateName::Parked).await, 10);
    assert_eq!(house.breaker("down.example"), BreakerState::HalfOpen);
}

#[tokio::test]
async fn a_run_hears_of_the_room_that_another_run_makes() {
    let policy = EndpointPolicy::default().with_concurrency(1);
    let house = house(options().with_endpoint(policy).with_concurrency(1)).await;
    house.trigger(to("slow.example")).await;
    house.world.set("slow.example", Manner::Slow(200, SECOND));
    house.publish(10).await;
    let begin = house.world.clock.now();
    house.work(4, SECOND * 20).await;
    let times: Vec<u64> =
        house.world.times("slow.example").iter().map(|at| at.since(begin).as_secs()).collect();
    assert_eq!(times, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_endpoint_that_comes_back_with_a_hundred_thousand_due_gets_its_rate_and_no_more() {
    let policy = EndpointPolicy::default().with_rate(Rate::per_second(100).with_burst(20));
    let house = house_with(options(), &[("back.example", policy)]).await;
    let unsigned = webhook("back").unsigned_webhook("https://back.example/x");
    house.trigger(unsigned.policy(every_minute())).await;
    house.world.set("back.example", Manner::Status(503));
    house.publish(1).await;
    house.multiply(100_000).await;
    house.work(1, SECOND * 65).await;
    house.world.set("back.example", Manner::Status(200));
    let before = house.world.times("back.example").len();
    house.work_by(2, SECOND * 100, 12).await;
    let times = house.world.times("back.example");
    // What is begun within less than a second: the burst, and what that time pays, which is 99.
    let until = |from: Timestamp| times.partition_point(|at| at.since(from) < SECOND);
    let most = times.iter().enumerate().map(|(n, from)| until(*from) - n).max().unwrap();
    assert!(most <= 20 + 99, "{most} within a second");
    // And it gets all of it, from the probe on that found it well again.
    let span = house.world.clock.now().since(times[before]).as_millis();
    let got = times.len() - before;
    assert!(span > 20_000, "{span} ms");
    assert!((span / 10 - 20..=span / 10 + 20).contains(&(got as u128)), "{got} in {span} ms");
    assert_eq!(house.count(StateName::Delivered).await, got);
    // All others still wait, and used up no attempt.
    assert_eq!(house.attempts().await.iter().sum::<u32>() as usize, times.len());
}

#[tokio::test]
async fn what_is_paused_waits_without_an_attempt_until_it_is_resumed() {
    let house = house(options()).await;
    for host in ["paused.example", "fine.example"] {
        house.trigger(to(host)).await;
    }
    house.engine.pause(key("paused.example")).await.unwrap();
    house.publish(100).await;
    house.work(1, DAY).await;
    assert_eq!(
        (house.world.times("paused.example").len(), house.world.times("fine.example").len()),
        (0, 100)
    );
    assert_eq!(house.engine.paused().endpoints, [key("paused.example")].into());
    let status = &house.engine.endpoints()[0];
    assert_eq!((&status.key, status.paused), (&key("paused.example"), true));
    house.engine.resume(&key("paused.example")).await.unwrap();
    house.work(1, MINUTE).await;
    assert_eq!(house.count(StateName::Delivered).await, 200);
    assert!(house.attempts().await.iter().all(|attempts| *attempts == 1));
    assert_eq!(house.engine.endpoints(), []);
}

#[tokio::test]
async fn a_resume_is_heard_at_once_by_a_run_that_waits() {
    let house = house(options()).await;
    for host in ["a.example", "b.example"] {
        house.trigger(to(host)).await;
    }
    house.engine.pause(key("a.example")).await.unwrap();
    house.engine.pause_all().await.unwrap();
    house.publish(5).await;
    let runs = house.engine.run();
    let mut runs = std::pin::pin!(runs);
    take_turns(&mut runs, 60).await;
    assert_eq!(house.world.arrived.lock().unwrap().len(), 0);
    assert!(house.engine.paused().all);
    house.engine.resume_all().await.unwrap();
    take_turns(&mut runs, 60).await;
    let reached = |host| house.world.times(host).len();
    assert_eq!((reached("a.example"), reached("b.example")), (0, 5));
    house.engine.resume(&key("a.example")).await.unwrap();
    take_turns(&mut runs, 60).await;
    assert_eq!((reached("a.example"), reached("b.example")), (5, 5));
}

#[tokio::test]
async fn an_endpoint_of_its_own_policy_gets_what_that_says() {
    let own = EndpointPolicy::default().with_concurrency(2);
    let house = house_with(options(), &[("small.example", own)]).await;
    house.trigger(to("small.example")).await;
    house.world.set("small.example", Manner::Slow(200, SECOND));
    house.publish(20).await;
    house.work(1, MINUTE).await;
    assert_eq!(house.world.most_in_flight.load(Ordering::SeqCst), 2);
    let shown = serde_json::to_value(house.engine.endpoints()).unwrap();
    assert_eq!(
        shown,
        serde_json::json!([{
            "key": "https://small.example", "in_flight": 0, "allowed": 2, "breaker": "closed",
            "since": null, "open_until": null, "resting_until": null, "tokens": null,
            "paused": false,
        }])
    );
}

#[tokio::test]
async fn while_nothing_can_be_begun_nothing_is_looked_for() {
    let house = house(options()).await;
    house.trigger(to("down.example").policy(every_minute())).await;
    house.world.set("down.example", Manner::RetryAfter(503, 3_600));
    house.publish(100).await;
    let begin = house.world.clock.now();
    let runs = house.engine.run();
    let mut runs = std::pin::pin!(runs);
    take_turns(&mut runs, 60).await;
    let status = house.engine.endpoints().remove(0);
    assert!(status.resting_until.is_some_and(|until| until.since(begin) >= MINUTE * 60));
    assert!(house.world.clock.next_wake().is_some_and(|at| at.since(begin) >= MINUTE * 60));
}

#[tokio::test]
async fn a_policy_that_breaks_a_rule_is_refused_with_its_endpoint() {
    let none = EndpointPolicy::default().with_concurrency(0);
    let build = |options, own: Option<EndpointPolicy>| async move {
        let builder = Engine::builder(MemoryStorage::new()).options(options);
        let builder = match own {
            Some(policy) => builder.endpoint(key("a.example"), policy),
            None => builder,
        };
        let error = builder.clock(World::new().clock).build().await.unwrap_err();
        assert!(matches!(error, BuildError::Endpoint { .. }));
        error.to_string()
    };
    assert_eq!(
        build(options().with_endpoint(none.clone()), None).await,
        "endpoint policy: concurrency: expected 1 to 1000000, found 0"
    );
    assert_eq!(
        build(options(), Some(none)).await,
        "endpoint policy of https://a.example: concurrency: expected 1 to 1000000, found 0"
    );
}
