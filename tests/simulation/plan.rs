//! The plan: all that a seed decides beforehand.

use std::collections::BTreeMap;
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{
    Batch, Coalesce, DeliveryPolicy, EndpointKey, Jitter, OnDead, Order, RetrySchedule,
};
use artifact_triggers::endpoint::{BreakerPolicy, EndpointPolicy, Rate};
use artifact_triggers::engine::EngineOptions;
use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::schedule::{Missed, Schedule};
use artifact_triggers::trigger::{KindPattern, Trigger, TriggerSpec};

use crate::faults::Odds;
use crate::network::Behaviour;
use crate::random::Random;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

const KINDS: [EventKind; 3] =
    [EventKind::ARTIFACT_INGESTED, EventKind::ARTIFACT_UPDATED, EventKind::ARTIFACT_DELETED];
const SCOPES: [&str; 3] = ["acme", "acme/app", "other"];
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) start: Timestamp,
    /// From here on nothing fails any more, except what is broken for good.
    pub(crate) faults_end: Timestamp,
    pub(crate) rules: Rules,
    pub(crate) options: EngineOptions,
    pub(crate) odds: Odds,
    pub(crate) receivers: Vec<ReceiverPlan>,
    pub(crate) triggers: Vec<TriggerPlan>,
    /// By publisher, in the order of time.
    pub(crate) events: Vec<Vec<EventPlan>>,
    pub(crate) actions_of_operator: u64,
    pub(crate) blows: u64,
}

/// What the invariants are measured by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// Nothing fails on our side: neither nodes nor storage.
    pub(crate) is_calm: bool,
    /// How often something befalls the nodes.
    pub(crate) blows: u32,
    pub(crate) nodes: usize,
    /// The runs of each engine.
    pub(crate) runs: usize,
    pub(crate) concurrency: usize,
    /// How many attempts each run may have in all, with those that have waited long.
    pub(crate) places: usize,
    /// The most that go in one request; a run may have so many more, but for one.
    pub(crate) largest_batch: usize,
    pub(crate) refresh: Duration,
    pub(crate) endpoints: BTreeMap<EndpointKey, EndpointPolicy>,
    /// No clock is wrong by more.
    pub(crate) skew: Duration,
    /// How much each endpoint may be given at once that does anything but take what it gets.
    pub(crate) failing: Vec<usize>,
    pub(crate) longest_timeout: Duration,
}

impl Rules {
    /// How long a healthy endpoint may have to wait for a delivery that has so many before it.
    pub(crate) fn patience(&self, before: usize) -> Duration {
        let number = |count: usize| u32::try_from(count).expect("there are few");
        let own = SECOND + Duration::from_millis(150) * number(before);
        let taken: usize = self.failing.iter().map(|most| most.div_ceil(self.runs)).sum();
        if taken < self.concurrency {
            return own;
        }
        let rounds = 1 + taken.div_ceil(self.concurrency);
        own + (self.longest_timeout + SECOND / 2) * number(rounds)
    }

    /// How much longer a node's clock may make a span, by being set.
    pub(crate) fn leaps(&self) -> Duration {
        if self.is_calm { Duration::ZERO } else { self.slack() * self.blows }
    }

    /// How far two times may seem apart that are the same.
    pub(crate) fn slack(&self) -> Duration {
        self.skew * 2
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ReceiverPlan {
    pub(crate) behaviour: Behaviour,
    /// Whether it is healthy once faults have ended.
    pub(crate) heals: bool,
    /// How long a spell of it lasts.
    pub(crate) period: Duration,
    /// An action of the engine's own, no endpoint.
    pub(crate) is_action: bool,
    pub(crate) policy: EndpointPolicy,
}

impl ReceiverPlan {
    /// What the engine knows the receiver of a number by.
    pub(crate) fn key(&self, number: usize) -> EndpointKey {
        EndpointKey::new(if self.is_action {
            format!("action:{}", action_name(number))
        } else {
            format!("https://r{number}.example")
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) struct TriggerPlan {
    pub(crate) index: usize,
    pub(crate) receiver: usize,
    pub(crate) is_action: bool,
    pub(crate) kinds: Vec<usize>,
    /// Wants also what the engine itself tells.
    pub(crate) wants_any: bool,
    pub(crate) scope: &'static str,
    /// Gets nothing but what this fires.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) promise: Promise,
    /// Whether the operator may take it from work.
    pub(crate) is_touched: bool,
}

/// What a trigger's policy promises.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    pub(crate) receiver: usize,
    pub(crate) is_healthy: bool,
    pub(crate) is_action: bool,
    pub(crate) pauses: Vec<Duration>,
    pub(crate) jitter: Jitter,
    pub(crate) timeout: Duration,
    pub(crate) max_age: Option<Duration>,
    pub(crate) final_statuses: Vec<u16>,
    pub(crate) order: Order,
    pub(crate) on_dead: OnDead,
    pub(crate) disable_after: Option<Duration>,
    pub(crate) batch: Option<Batch>,
    pub(crate) coalesce: Option<Coalesce>,
}

impl Promise {
    pub(crate) fn attempts(&self) -> u32 {
        u32::try_from(self.pauses.len()).expect("there are few") + 1
    }

    /// How long one waits for others.
    pub(crate) fn linger(&self) -> Duration {
        self.batch.map_or(Duration::ZERO, |batch| batch.max_wait)
    }

    /// The pause after an attempt; `None` after the last.
    pub(crate) fn pause(&self, attempt: u32) -> Option<Duration> {
        self.pauses.get(usize::try_from(attempt).ok()?.checked_sub(1)?).copied()
    }

    /// The shortest that jitter may make of a pause.
    pub(crate) fn least(&self, pause: Duration) -> Duration {
        match self.jitter {
            Jitter::Equal => pause / 2,
            Jitter::Full => Duration::ZERO,
            _ => pause,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct EventPlan {
    pub(crate) at: Timestamp,
    pub(crate) kind: usize,
    pub(crate) scope: &'static str,
    pub(crate) number: usize,
    /// Told once more after it was acknowledged.
    pub(crate) is_repeated: bool,
}

impl EventPlan {
    pub(crate) fn event(&self, now: Timestamp, random: &Random) -> Event {
        let artifact = Artifact::new("generic", format!("a{}", self.number % 4));
        Event::builder(KINDS[self.kind].clone())
            .scope(self.scope.parse().expect("it is a scope"))
            .artifact(artifact)
            .build_at(now, random)
            .expect("it is a small event")
    }
}

impl TriggerPlan {
    pub(crate) fn wants(&self, event: &EventPlan) -> bool {
        let below = event.scope.strip_prefix(self.scope);
        let inside = self.scope.is_empty()
            || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        inside && self.schedule.is_none() && (self.wants_any || self.kinds.contains(&event.kind))
    }

    pub(crate) fn spec(&self, path: &str) -> TriggerSpec {
        let promise = &self.promise;
        let mut policy = DeliveryPolicy::default()
            .with_retry(RetrySchedule::Pauses(promise.pauses.clone()))
            .with_jitter(promise.jitter)
            .with_timeout(promise.timeout)
            .with_order(promise.order)
            .with_on_dead(promise.on_dead)
            .with_disable_after(promise.disable_after);
        policy.max_age = promise.max_age;
        policy.batch = promise.batch;
        policy.coalesce = promise.coalesce.clone().map(Box::new);
        policy.final_statuses.clone_from(&promise.final_statuses);
        let mut builder = Trigger::builder(format!("t{}", self.index)).policy(policy);
        if !self.scope.is_empty() {
            builder = builder.scope(self.scope.parse().expect("it is a scope"));
        }
        if let Some(schedule) = &self.schedule {
            builder = builder.schedule(schedule.clone());
        }
        for kind in self.kinds.iter().filter(|_| self.schedule.is_none()) {
            builder = builder.on(KINDS[*kind].clone());
        }
        if self.wants_any && self.schedule.is_none() {
            builder = builder.on_any(KindPattern::any());
        }
        let receiver = self.receiver;
        let builder = if self.is_action {
            builder.action(action_name(receiver))
        } else {
            builder.unsigned_webhook(format!("https://r{receiver}.example/{path}"))
        };
        builder.build().expect("it is a small trigger")
    }
}

impl Plan {
    pub(crate) fn draw(random: &Random, one_node: bool) -> Self {
        let start: Timestamp = "2026-11-23T00:00:00Z".parse().expect("it is a time");
        let span = random.span(HOUR * 12, DAY * 3);
        let is_calm = random.chance(300);
        let lease = random.pick(&[10, 20, 60]);
        let options = EngineOptions::default()
            .with_concurrency(random.pick(&[1, 2, 4, 8, 16]))
            .with_stalled(random.pick(&[0, 0, 2, 8]))
            .with_lease(SECOND * lease)
            .with_refresh(random.span(MINUTE * 20, HOUR * 3));
        let nodes = if one_node { 1 } else { random.pick(&[1, 2, 3]) };
        let receivers = draw_receivers(random);
        let mut triggers = draw_triggers(random, &receivers, options.concurrency);
        for trigger in triggers.iter_mut().skip(1) {
            trigger.schedule = random.chance(200).then(|| draw_schedule(random, span));
            if trigger.schedule.is_some() {
                trigger.promise.coalesce = None;
            }
        }
        let batches = triggers.iter().filter_map(|trigger| trigger.promise.batch);
        let largest_batch = batches.map(|batch| batch.max_events).max().unwrap_or(1);
        let skewed = random.chance(600);
        let blows = if is_calm { 0 } else { random.between(1, 10) };
        let rules = Rules {
            is_calm,
            blows: u32::try_from(blows).expect("they are few"),
            nodes,
            runs: random.pick(&[1, 1, 2]),
            concurrency: options.concurrency,
            places: options.concurrency + options.stalled,
            largest_batch,
            refresh: options.refresh,
            endpoints: (0..)
                .zip(&receivers)
                .map(|(n, one)| (one.key(n), one.policy.clone()))
                .collect(),
            skew: if skewed { options.lease / 8 } else { Duration::ZERO },
            failing: draw_failing(&receivers),
            longest_timeout: triggers.iter().map(|t| t.promise.timeout).max().expect("some"),
        };
        Self {
            start,
            faults_end: start + span,
            odds: if is_calm { Odds::default() } else { draw_odds(random) },
            actions_of_operator: random.below(14),
            blows,
            events: draw_events(random, start, span),
            rules,
            options,
            receivers,
            triggers,
        }
    }
}

/// The name under which every engine has a receiver that is an action.
pub(crate) fn action_name(receiver: usize) -> String {
    format!("r{receiver}")
}

fn draw_odds(random: &Random) -> Odds {
    let most = random.pick(&[5, 30, 120]);
    Odds {
        fails_before: random.below(most),
        fails_after: random.below(most),
        slow: random.below(most),
        late: random.below(most),
        dies: random.below(most / 5 + 1),
        longest: random.pick(&[SECOND / 10, SECOND * 5, SECOND * 90]),
    }
}

fn draw_receivers(random: &Random) -> Vec<ReceiverPlan> {
    let count = random.between(2, 5);
    let draw = |at| {
        let is_action = random.chance(120);
        // The first one is what the others must not harm.
        let behaviour = match at {
            0 => Behaviour::Healthy,
            _ if is_action => random.pick(&Behaviour::OF_ACTIONS),
            _ => random.pick(&Behaviour::ALL),
        };
        let period = random.span(MINUTE, HOUR * 6);
        let policy = draw_endpoint(random);
        ReceiverPlan { behaviour, heals: random.chance(700), period, is_action, policy }
    };
    (0..count).map(draw).collect()
}

fn draw_failing(receivers: &[ReceiverPlan]) -> Vec<usize> {
    let failing = receivers.iter().filter(|one| one.behaviour != Behaviour::Healthy);
    failing.map(|one| one.policy.concurrency).collect()
}

fn draw_endpoint(random: &Random) -> EndpointPolicy {
    let breaker = if random.chance(300) {
        BreakerPolicy::off()
    } else {
        let first = random.span(SECOND, MINUTE);
        // It opens by failures in a row alone: that is what the ledger reckons with.
        BreakerPolicy::default()
            .with_failures(u32::try_from(random.between(1, 6)).expect("it is small"))
            .with_ratio(100, 1_000_000, MINUTE)
            .with_pauses(first, first + random.span(Duration::ZERO, MINUTE * 10))
    };
    let policy = EndpointPolicy::default()
        .with_concurrency(random.pick(&[1, 1, 2, 4]))
        .with_breaker(breaker);
    if random.chance(200) {
        let events = random.pick(&[1, 2, 5]);
        let rate = Rate::new(events, random.span(SECOND / 10, MINUTE));
        return policy.with_rate(rate.with_burst(random.pick(&[1, 2, 4])));
    }
    policy
}

fn draw_triggers(
    random: &Random,
    receivers: &[ReceiverPlan],
    concurrency: usize,
) -> Vec<TriggerPlan> {
    let mut triggers = Vec::new();
    // Each receiver has a trigger, and some have another.
    let shared = (0..random.below(3)).map(|_| random.index(receivers.len()));
    for receiver in (0..receivers.len()).chain(shared) {
        let plan = &receivers[receiver];
        let moves = plan.behaviour == Behaviour::Moving && !plan.is_action;
        triggers.push(TriggerPlan {
            index: triggers.len(),
            receiver,
            is_action: plan.is_action,
            kinds: (0..KINDS.len()).filter(|kind| *kind == 0 || random.chance(600)).collect(),
            wants_any: random.chance(150),
            scope: random.pick(&["", "", "acme", "acme/app"]),
            schedule: None,
            promise: draw_promise(random, receiver, plan, concurrency),
            is_touched: !moves && random.chance(100),
        });
    }
    triggers
}

/// Over by the end of the day on which faults end: what is fired then must have an end too.
fn draw_schedule(random: &Random, span: Duration) -> Schedule {
    let (minute, hours) = (random.below(60), random.pick(&[1, 2, 5]));
    let last = 23 + span.as_secs() / DAY.as_secs();
    let expression = format!("0 {minute} */{hours} 23-{last} 11 * 2026");
    let schedule = Schedule::cron(&expression).expect("it is one");
    let jitter = random.pick(&[Duration::ZERO, Duration::ZERO, MINUTE * 20]);
    schedule.with_missed(Missed::All(1_000)).with_jitter(jitter)
}

fn draw_promise(
    random: &Random,
    receiver: usize,
    plan: &ReceiverPlan,
    concurrency: usize,
) -> Promise {
    let standard = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    let pauses: Vec<u64> = match random.below(4) {
        0 => standard.to_vec(),
        1 => vec![1; 3],
        2 => (0..random.below(7)).map(|n| 10 << n).collect(),
        _ => (0..random.between(1, 6)).map(|_| random.below(7_200)).collect(),
    };
    let order = random.pick(&[Order::None, Order::None, Order::PerArtifact, Order::Strict]);
    let batch = draw_batch(random, plan, order).filter(|batch| batch.max_events <= concurrency);
    let max_age = random.chance(150).then(|| random.span(MINUTE, DAY));
    let coalesce = draw_coalesce(random)
        .filter(|_| batch.is_none() && order == Order::None && max_age.is_none());
    Promise {
        receiver,
        is_healthy: plan.behaviour == Behaviour::Healthy && plan.policy.rate.is_none(),
        is_action: plan.is_action,
        pauses: pauses.into_iter().map(Duration::from_secs).collect(),
        jitter: random.pick(&[Jitter::None, Jitter::Added, Jitter::Equal, Jitter::Full]),
        timeout: draw_timeout(random, plan),
        max_age,
        final_statuses: if random.chance(150) { vec![404] } else { Vec::new() },
        disable_after: draw_disable_after(random, order),
        batch,
        coalesce,
        order,
        on_dead: random.pick(&[OnDead::Skip, OnDead::Block]),
    }
}

/// Never only without an order: there, each would be tried for days, one after the other.
fn draw_disable_after(random: &Random, order: Order) -> Option<Duration> {
    match random.below(4) {
        0 if order == Order::None => None,
        1 => Some(random.span(HOUR, DAY * 2)),
        _ => Some(DeliveryPolicy::DISABLE_AFTER),
    }
}

/// Only where nothing goes in order, and never of an action.
fn draw_batch(random: &Random, plan: &ReceiverPlan, order: Order) -> Option<Batch> {
    if plan.is_action || order != Order::None || random.chance(400) {
        return None;
    }
    let batch = Batch::default()
        .with_max_events(random.pick(&[2, 2, 3, 5]))
        .with_max_wait(random.span(SECOND / 10, MINUTE * 10));
    // Room for two or three events.
    Some(if random.chance(200) { batch.with_max_bytes(2_048) } else { batch })
}

/// Only where nothing goes in order, in batches or grows too old.
fn draw_coalesce(random: &Random) -> Option<Coalesce> {
    // A storage keeps spans to the millisecond.
    let whole = |span: Duration| Duration::from_millis(u64::try_from(span.as_millis()).unwrap());
    let span = whole(random.span(SECOND * 30, MINUTE * 30));
    match random.below(9) {
        0 | 1 => Some(Coalesce::newest()),
        2 => Some(Coalesce::quiet(span)),
        3 => {
            let more = whole(random.span(Duration::ZERO, HOUR));
            Some(Coalesce::quiet(span).with_max_wait(span + more))
        }
        4 | 5 => Some(Coalesce::at_most_every(span)),
        _ => None,
    }
}

/// An action may take longer than a lease.
fn draw_timeout(random: &Random, plan: &ReceiverPlan) -> Duration {
    if plan.is_action && random.chance(300) {
        return random.span(SECOND * 5, MINUTE * 3);
    }
    Duration::from_millis(random.pick(&[500, 1_000, 2_000, 4_000]))
}

fn draw_events(random: &Random, start: Timestamp, span: Duration) -> Vec<Vec<EventPlan>> {
    let mut number = 0;
    let mut draw_publisher = || {
        let bursts = (0..random.between(2, 5)).map(|_| start + random.span(Duration::ZERO, span));
        let mut events = Vec::new();
        for at in bursts {
            for _ in 0..random.between(1, 6) {
                number += 1;
                events.push(EventPlan {
                    at: at + random.span(Duration::ZERO, random.pick(&[SECOND / 100, MINUTE])),
                    kind: random.index(KINDS.len()),
                    scope: random.pick(&SCOPES),
                    number,
                    is_repeated: random.chance(50),
                });
            }
        }
        events.sort_by_key(|event| event.at);
        events
    };
    (0..2).map(|_| draw_publisher()).collect()
}
