//! Three nodes on one PostgreSQL publish and deliver, the clock of one half an hour ahead, while
//! nodes are killed and started again, connections cut and the server restarted. A receiver that
//! counts, and what the storage has in the end, are the judges: every acknowledged event arrives at
//! each of its triggers, in order where that was asked for; no delivery is settled twice; and what
//! arrives twice was in flight when something happened.
//!
//! `tests/with_postgres cargo test --features postgres --test nodes -- --ignored --nocapture`;
//! `NODES_DELIVERIES` sets how many deliveries there are (9,000), `NODES_FAULTS` how often
//! something happens (12), and `NODES_SEED` repeats what and when.

#[path = "nodes/faults.rs"]
mod faults;
#[path = "nodes/judge.rs"]
mod judge;
#[path = "nodes/node.rs"]
mod node;
#[path = "nodes/orders.rs"]
mod orders;
#[path = "nodes/process.rs"]
mod process;
#[path = "nodes/receiver.rs"]
mod receiver;
#[path = "nodes/server.rs"]
mod server;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver as Lines, Sender, channel};
use std::time::{Duration, Instant};

use artifact_triggers::signature::standard_webhooks::SigningSecret;
use faults::Fault;
use judge::Acknowledged;
use orders::{CONCURRENCY, LEASE, Orders, POLL, TRIGGERS, Told, Word};
use process::Process;
use receiver::Receiver;
use server::Server;

const TEST: &str = "three_nodes_lose_nothing_and_keep_the_order";
/// How far the clock of the last node is ahead.
const AHEAD: Duration = Duration::from_secs(30 * 60);
const NODES: usize = 3;
/// How many deliveries one event has.
const FAN_OUT: usize = TRIGGERS.len() - 1;
/// How many events may be acknowledged and not delivered, about, and be on their way to that.
const BACKLOG: usize = 600;
/// How many deliveries are in flight when a node is killed for them.
const IN_FLIGHT: usize = 12;
/// How long nothing may arrive while something is left to. Only a failure takes it.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs a server, and takes half a minute or so"]
fn three_nodes_lose_nothing_and_keep_the_order() {
    if let Some(orders) = Orders::from_environment() {
        return node::run(&orders);
    }
    let deliveries = number_from_environment("NODES_DELIVERIES").unwrap_or(9_000);
    let count = number_from_environment("NODES_FAULTS").unwrap_or(12);
    let seed = number_from_environment("NODES_SEED").unwrap_or_else(faults::rand_seed);
    println!("NODES_SEED={seed}");
    let faults = faults::draw(seed, NODES, count, deliveries);
    let begun = Instant::now();
    let mut scene = Scene::start();
    scene.deliver(deliveries.div_ceil(FAN_OUT), faults);
    scene.rest();
    let took = begun.elapsed();
    let resumed = scene.kill_with_deliveries_in_flight();
    scene.until_delivered();
    let arrivals = scene.receiver.arrivals().clone();
    let found = judge::judge(&scene.server, &scene.schema, &scene.acknowledged, &arrivals);
    let Costs { kills, cuts, connections, restarts, unanswered } = scene.costs;
    println!(
        "{NODES} nodes, {kills} kills, {connections} connections cut in {cuts} cuts, {restarts} \
         restarts of the server, {unanswered} claims and settlements without an answer; {} events \
         acknowledged, {} deliveries in {:.1} s, {} requests, {} of them of what was taken before, of \
         {} claims that were lost with nothing written down; what a killed node had in flight went on \
         {:.2} s after the kill (lease {} s, poll {} s)",
        scene.acknowledged.len(),
        found.deliveries,
        took.as_secs_f64(),
        found.arrivals,
        found.repeats,
        found.lost_claims,
        resumed.as_secs_f64(),
        LEASE.as_secs(),
        POLL.as_secs(),
    );
    let most = CONCURRENCY * (kills + NODES * restarts + unanswered);
    assert!(found.lost_claims <= most, "{} claims were lost, of {most}", found.lost_claims);
    scene.end();
}

fn number_from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found {text:?}")))
}

/// What happened, and may have cost something.
#[derive(Debug, Default)]
struct Costs {
    kills: usize,
    cuts: usize,
    connections: usize,
    restarts: usize,
    unanswered: usize,
}

/// A node, and how many events it was told to publish and has not acknowledged.
struct Node {
    orders: Orders,
    process: Process,
    owes: usize,
    is_ready: bool,
    rests: bool,
}

struct Scene {
    server: Server,
    schema: String,
    receiver: Receiver,
    nodes: Vec<Node>,
    teller: Sender<(usize, Told)>,
    told: Lines<(usize, Told)>,
    acknowledged: Acknowledged,
    costs: Costs,
}

impl Scene {
    fn start() -> Self {
        let server = Server::of_environment();
        let receiver = Receiver::start();
        let schema = format!("nodes_{}", std::process::id());
        let secret = SigningSecret::generate();
        let (teller, told) = channel();
        let nodes = (0..NODES).map(|node| {
            let orders = Orders {
                node,
                server: server.url().to_owned(),
                schema: schema.clone(),
                endpoints: receiver.endpoints().to_vec(),
                secret: secret.clone(),
                ahead: if node + 1 == NODES { AHEAD } else { Duration::ZERO },
            };
            Node::start(orders, &teller)
        });
        let nodes = nodes.collect();
        let (acknowledged, costs) = (HashMap::new(), Costs::default());
        Self { server, schema, receiver, nodes, teller, told, acknowledged, costs }
    }

    /// Takes in what nodes tell for a while.
    fn listen(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while let Ok((node, told)) =
            self.told.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            self.hear(node, told);
        }
    }

    fn hear(&mut self, node: usize, told: Told) {
        let node = &mut self.nodes[node];
        match told {
            Told::Ready => node.is_ready = true,
            Told::Acknowledged(events) => {
                node.owes = node.owes.saturating_sub(events.len());
                for event in events {
                    let place = self.acknowledged.len();
                    self.acknowledged.insert(event, (place, node.rests));
                }
            }
            Told::Unanswered => self.costs.unanswered += 1,
            Told::Rests => node.rests = true,
        }
    }

    /// Listens until something is so. Fails if nothing arrives any more.
    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let (mut taken, mut at) = (self.receiver.taken(), Instant::now());
        while !is_so(self) {
            self.listen(Duration::from_millis(20));
            if self.receiver.taken() > taken {
                (taken, at) = (self.receiver.taken(), Instant::now());
            }
            assert!(at.elapsed() < PATIENCE, "nothing arrived for {PATIENCE:?}, not yet: {what}");
            let failed = self.nodes.iter_mut().any(|node| node.process.has_failed());
            assert!(!failed, "a node ended by itself");
        }
    }

    /// Has events published and delivered, while faults happen.
    fn deliver(&mut self, events: usize, faults: Vec<(usize, Fault)>) {
        for (at, fault) in faults {
            self.publish_until(events, |scene| scene.receiver.taken() >= at);
            self.befall(fault);
        }
        self.publish_until(events, |scene| scene.acknowledged.len() >= events);
    }

    /// Has events published, as many as there is room for in the backlog, until something is so.
    fn publish_until(&mut self, events: usize, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            let seen = self.progress();
            self.give_work(events);
            let is_seen = |scene: &Self| scene.progress() == seen;
            self.until("something happens", |scene| !is_seen(scene) || is_so(scene));
        }
    }

    /// What decides how much work there is to give.
    fn progress(&self) -> [usize; 3] {
        let ready = self.nodes.iter().filter(|node| node.is_ready).count();
        [ready, self.acknowledged.len(), self.receiver.taken()]
    }

    fn give_work(&mut self, events: usize) {
        let owed: usize = self.nodes.iter().map(|node| node.owes).sum();
        let acknowledged = self.acknowledged.len();
        let waiting = acknowledged.saturating_sub(self.receiver.taken() / FAN_OUT);
        // A little more than is wanted: publishers that wait for several get them.
        let wanted = (events + BACKLOG).saturating_sub(acknowledged + owed);
        let room = BACKLOG.saturating_sub(waiting + owed).min(wanted);
        let ready = self.nodes.iter().filter(|node| node.is_ready).count();
        for node in self.nodes.iter_mut().filter(|node| node.is_ready) {
            node.publish(room / ready);
        }
    }

    fn befall(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { node, pause } => {
                self.kill(node);
                self.listen(pause);
                self.nodes[node] = Node::start(self.nodes[node].orders.clone(), &self.teller);
            }
            Fault::Cut { node } => {
                self.costs.cuts += 1;
                let application = self.nodes[node].orders.application();
                self.costs.connections += self.server.cut(&application);
            }
            Fault::Restart { crashes } => {
                self.costs.restarts += 1;
                self.server.restart(crashes);
            }
        }
    }

    fn kill(&mut self, node: usize) {
        self.costs.kills += 1;
        self.nodes[node].process.kill();
        // What it told before, so that nothing of it is taken for the next one's.
        self.listen(Duration::ZERO);
    }

    /// Has the nodes publish nothing more, and all be delivered.
    fn rest(&mut self) {
        self.until("all nodes are ready", |scene| scene.nodes.iter().all(|node| node.is_ready));
        self.nodes.iter_mut().for_each(|node| node.process.tell(Word::Rest));
        self.until("all nodes rest", |scene| scene.nodes.iter().all(|node| node.rests));
        self.until_delivered();
    }

    fn until_delivered(&mut self) {
        let sql = format!(
            "SELECT 1 FROM {}.deliveries WHERE claim_at IS NOT NULL OR state = 6 LIMIT 1",
            self.schema
        );
        self.until("all is delivered", |scene| scene.server.query(&sql, &[]).is_empty());
    }

    /// Kills a node that has deliveries in flight, and waits until they arrive from others. Tells
    /// how long the last of them took.
    fn kill_with_deliveries_in_flight(&mut self) -> Duration {
        let events = self.acknowledged.len() + IN_FLIGHT;
        self.nodes[0].process.tell(Word::Hold(IN_FLIGHT));
        self.until("they are in flight", |scene| {
            scene.receiver.held().len() >= IN_FLIGHT && scene.acknowledged.len() == events
        });
        let of = |scene: &Self, node| {
            let held = scene.receiver.held();
            held.into_iter().filter(move |arrival| arrival.node == node)
        };
        let node = (0..NODES).max_by_key(|node| of(self, *node).count()).expect("there are nodes");
        let killed_at = Instant::now();
        self.kill(node);
        let lost: Vec<_> = of(self, node).map(|arrival| arrival.message).collect();
        self.receiver.release();
        let again = |scene: &Self| {
            let held = scene.receiver.held().into_iter();
            let again = held.filter(|one| one.node != node && lost.contains(&one.message));
            again.map(|arrival| (arrival.message, arrival.at)).collect::<HashMap<_, _>>()
        };
        self.until("others have them", |scene| again(scene).len() == lost.len());
        let resumed_at = again(self).into_values().max().expect("some were lost");
        self.nodes[node] = Node::start(self.nodes[node].orders.clone(), &self.teller);
        resumed_at - killed_at
    }

    /// Has the nodes end well.
    fn end(self) {
        for node in self.nodes {
            let status = node.process.end();
            assert!(status.success(), "node {} failed: {status}", node.orders.node);
        }
    }
}

impl Node {
    fn start(orders: Orders, told: &Sender<(usize, Told)>) -> Self {
        let process = Process::start(TEST, &orders, told.clone());
        Self { orders, process, owes: 0, is_ready: false, rests: false }
    }

    fn publish(&mut self, events: usize) {
        if events > 0 {
            self.owes += events;
            self.process.tell(Word::Publish(events));
        }
    }
}
