//! The world: a storage, nodes, receivers, publishers and an operator, put together from a seed and
//! run until everything has come to an end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use artifact_triggers::engine::Engine;
use artifact_triggers::event::Scope;
use artifact_triggers::id::TriggerId;
use artifact_triggers::storage::{DeliveryQuery, MemoryStorage, StorageError};
use futures_util::future::join_all;
use tempfile::TempDir;

use crate::clock::{ClockFault, NodeClock, Time};
use crate::executor::Executor;
use crate::faults::{Front, Weather};
use crate::invariants::{Invariant, Violation};
use crate::ledger::{Counts, Ledger};
use crate::network::{Hand, Network, OLD_PATH, Wire};
use crate::node::{Life, Node};
use crate::plan::{Plan, SECOND, TriggerPlan, action_name};
use crate::random::Random;
use crate::storage::{Answer, Call, Port, SqliteFile, wait};
use crate::trace::Trace;
use crate::{chaos, operator, publisher};

/// How long what is left when faults end may take. Of a line behind a receiver that fails now and
/// then, each may need all of its attempts, which take three days.
const DRAIN: Duration = Duration::from_secs(24 * 86_400);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
}

/// Puts something before a storage.
pub(crate) type Wrap = fn(Arc<dyn Port>) -> Arc<dyn Port>;

/// What is broken on purpose, to show that it is noticed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sabotage {
    pub(crate) storage: Option<Wrap>,
    pub(crate) clock: ClockFault,
    pub(crate) swallows: bool,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) hash: u64,
    pub(crate) violations: Vec<Violation>,
    pub(crate) counts: Counts,
    pub(crate) span: Duration,
    pub(crate) polls: u64,
}

/// What all parts of a run share.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) time: Time,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) network: Network,
    pub(crate) weather: Weather,
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) triggers: Vec<(TriggerId, TriggerPlan)>,
    /// How many publishers have something left to publish.
    pub(crate) publishing: AtomicUsize,
    port: Arc<dyn Port>,
    random: Random,
    _folder: Option<TempDir>,
}

/// Sees to it that everything that a call did is in the ledger.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn Port>,
    ledger: Ledger,
}

impl Port for Watched {
    fn call(&self, life: Life, call: &Call) -> Result<Answer, StorageError> {
        let answer = self.inner.call(life, call)?;
        self.ledger.observe(life, call, &answer);
        if let Call::Prune(prune) = call {
            let Answer::Deliveries(left) = self.inner.call(life, &everything())? else {
                unreachable!("it is asked for deliveries")
            };
            self.ledger.pruned(&left.items, prune);
        }
        Ok(answer)
    }

    fn reopen(&self) -> bool {
        let is_owned = self.inner.reopen();
        if is_owned {
            self.ledger.reopened();
        }
        is_owned
    }
}

/// Asks for all deliveries that there are.
fn everything() -> Call {
    Call::Deliveries(DeliveryQuery::of_scope(Scope::root()).with_limit(1_000_000))
}

pub(crate) fn simulate(seed: u64, kind: Kind, sabotage: Sabotage, loud: bool) -> Outcome {
    let random = Random::of(seed);
    let plan = Plan::draw(&random, kind == Kind::Sqlite);
    if loud {
        println!("{plan:#?}");
    }
    let world = Arc::new(World::build(plan, kind, sabotage, &random, loud));
    let mut executor = Executor::new(random.fork());
    for node in &world.nodes {
        executor.spawn(live(world.clone(), node.clone()));
    }
    for events in world.plan.events.clone() {
        executor.spawn(publisher::publish(world.clone(), events, random.fork()));
    }
    executor.spawn(chaos::strike(world.clone(), random.fork()));
    executor.spawn(operator::operate(world.clone(), random.fork()));
    executor.spawn(operator::move_receivers(world.clone(), random.fork()));
    world.run(&mut executor);
    world.close(&executor)
}

impl World {
    fn build(plan: Plan, kind: Kind, sabotage: Sabotage, random: &Random, loud: bool) -> Self {
        let time = Time::at(plan.start);
        let trace = Trace::new(time.clone(), loud);
        let ledger = Ledger::new(plan.rules.clone(), time.clone(), trace.clone());
        let folder = (kind == Kind::Sqlite).then(|| tempfile::tempdir().expect("there is room"));
        let inner: Arc<dyn Port> = match &folder {
            Some(folder) => Arc::new(SqliteFile::open(folder.path().join("triggers.db"))),
            None => Arc::new(MemoryStorage::new()),
        };
        let inner = sabotage.storage.map_or(inner.clone(), |wrap| wrap(inner));
        let port = Arc::new(Watched { inner, ledger: ledger.clone() });
        let (receivers, end) = (&plan.receivers, plan.faults_end);
        let network = Network::new(receivers, end, time.clone(), random.fork(), ledger.clone());
        let network = if sabotage.swallows { network.swallowing() } else { network };
        let clock = |_| NodeClock::new(time.clone(), sabotage.clock);
        let nodes: Vec<_> =
            (0..).zip((0..plan.rules.nodes).map(clock)).map(|(n, c)| Node::new(n, c)).collect();
        let mut world = Self {
            publishing: AtomicUsize::new(plan.events.len()),
            triggers: Vec::new(),
            random: random.fork(),
            _folder: folder,
            weather: Weather::default(),
            plan,
            time,
            trace,
            ledger,
            network,
            nodes,
            port,
        };
        world.create_triggers();
        world.weather.set(world.plan.odds);
        chaos::skew(&world, random);
        world
    }

    /// Before anything fails.
    fn create_triggers(&mut self) {
        let node = self.nodes[0].clone();
        let life = Life { node: 0, number: 0 };
        let engine = wait(self.engine(&node, life)).expect("nothing fails yet");
        for plan in self.plan.triggers.clone() {
            let trigger = wait(engine.create_trigger(plan.spec(OLD_PATH))).expect("it is valid");
            self.ledger.promise(trigger.id, &plan);
            self.triggers.push((trigger.id, plan));
        }
    }

    async fn engine(&self, node: &Arc<Node>, life: Life) -> Option<Engine> {
        let front = Front {
            node: node.clone(),
            life,
            port: self.port.clone(),
            ledger: self.ledger.clone(),
            weather: self.weather.clone(),
            time: self.time.clone(),
            random: self.random.fork(),
            trace: self.trace.clone(),
        };
        let wire = Wire { network: self.network.clone(), node: node.clone(), life };
        let timeouts: BTreeMap<_, _> =
            self.triggers.iter().map(|(id, plan)| (*id, plan.promise.timeout)).collect();
        let mut builder = Engine::builder(front);
        for (receiver, plan) in self.plan.receivers.iter().enumerate() {
            builder = builder.endpoint(plan.key(receiver), plan.policy.clone());
            let hand = Hand { wire: wire.clone(), receiver, timeouts: timeouts.clone() };
            builder = builder.action(action_name(receiver), hand);
        }
        let built = builder
            .deliverer(wire)
            .clock(node.clock.clone())
            .entropy(self.random.fork())
            .options(self.plan.options.clone())
            .build();
        built.await.ok()
    }

    /// An engine of some node that has one, with its life.
    pub(crate) fn some_engine(&self, random: &Random) -> Option<(Arc<Node>, Life, Engine)> {
        let node = &self.nodes[random.index(self.nodes.len())];
        let (life, engine) = node.engine()?;
        Some((node.clone(), life, engine))
    }

    fn run(&self, executor: &mut Executor) {
        let end = self.plan.faults_end + DRAIN;
        loop {
            if executor.settle().is_err() {
                let what = "the tasks do not come to rest".to_owned();
                self.ledger.violate(Invariant::EnginesRest, what);
            }
            self.count_timers();
            let is_done = self.time.now() >= self.plan.faults_end
                && self.publishing.load(Ordering::Relaxed) == 0
                && self.ledger.open() == 0;
            let is_over = is_done || self.time.now() >= end || self.ledger.is_broken();
            if is_over || !self.time.jump() {
                return;
            }
        }
    }

    fn count_timers(&self) {
        // One for each attempt; for each run its own and those of its three calls of the storage at
        // most; one for each other call: of publishers, the operator, who moves, and who shuts
        // down.
        let fires = self.plan.triggers.iter().any(|trigger| trigger.schedule.is_some());
        // Who fires has one, and one for its call.
        let others = self.plan.events.len() + 3 + if fires { 2 } else { 0 };
        let most = self.plan.rules.runs * (self.plan.rules.places + 4) + others;
        for node in &self.nodes {
            let found = node.clock.sleeping();
            if found > most {
                let what = format!("{:?} has {found} timers, more than {most}", node.life());
                self.ledger.violate(Invariant::MemoryIsBounded, what);
            }
        }
    }

    fn close(&self, executor: &Executor) -> Outcome {
        let all = self.port.call(Life { node: 0, number: 0 }, &everything());
        let Ok(Answer::Deliveries(stored)) = all else { panic!("{all:?}") };
        if !self.ledger.is_broken() {
            self.ledger.close(&stored.items, &self.triggers, &self.network);
        }
        let counts = Counts { doubles: self.network.doubles(), ..self.ledger.lock().counts };
        Outcome {
            hash: self.trace.hash(),
            violations: self.ledger.violations(),
            counts,
            span: self.time.now().since(self.plan.start),
            polls: executor.polls(),
        }
    }
}

/// A node, from life to life.
async fn live(world: Arc<World>, node: Arc<Node>) {
    loop {
        world.time.sleep_until(node.down_until()).await;
        let life = node.life();
        world.trace.note("life begins", &[("node", life.node), ("life", life.number)]);
        world.port.reopen();
        node.during(life, live_once(&world, &node, life)).await;
        // It was shut down, unless it died.
        if node.life() == life {
            kill(&world, &node, SECOND);
        }
    }
}

async fn live_once(world: &World, node: &Arc<Node>, life: Life) {
    let engine = loop {
        match world.engine(node, life).await {
            Some(engine) => break engine,
            None => world.time.sleep(SECOND * 5).await,
        }
    };
    node.set_engine(engine.clone());
    join_all((0..world.plan.rules.runs).map(|_| engine.run())).await;
}

/// Ends the life of a node that goes on.
pub(crate) fn kill(world: &World, node: &Node, down: Duration) {
    world.ledger.forget(node.life());
    node.die(world.time.now() + down);
}
