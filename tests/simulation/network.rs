//! The network: receivers that behave as receivers do, and remember what they got.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::action::{Action, ActionCall, ActionError, Done};
use artifact_triggers::clock::{Clock as _, Timestamp};
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::event::Scope;
use artifact_triggers::id::{MessageId, TriggerId};
use artifact_triggers::request::{Request, Response};
use async_trait::async_trait;

use crate::clock::Time;
use crate::ledger::{Ledger, Parcel, Visit};
use crate::node::{Life, Node};
use crate::plan::{ReceiverPlan, SECOND};
use crate::random::Random;

/// How a receiver treats what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Healthy,
    /// Takes its time, sometimes more than it has.
    Slow,
    /// Does not answer.
    Dead,
    /// Answers no.
    Refusing,
    /// Is well and dead in turns.
    Flapping,
    /// Takes a few a minute, and wants to be left alone otherwise.
    Throttling,
    /// Takes what it gets, but the answer is lost.
    Lying,
    /// Is gone after a while.
    Gone,
    /// Moves after a while, and refuses at its old address.
    Moving,
}

impl Behaviour {
    pub(crate) const ALL: [Self; 9] = [
        Self::Healthy,
        Self::Slow,
        Self::Dead,
        Self::Refusing,
        Self::Flapping,
        Self::Throttling,
        Self::Lying,
        Self::Gone,
        Self::Moving,
    ];
    /// Those that an action can have, which has no status to answer with.
    pub(crate) const OF_ACTIONS: [Self; 5] =
        [Self::Healthy, Self::Slow, Self::Dead, Self::Flapping, Self::Lying];
}

/// What comes of a visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(u16),
    /// A status, and `Retry-After` as it is written, with when it means.
    RetryAfter(u16, String, Option<Timestamp>),
    TimesOut,
    NoConnection,
    BreaksOff,
    Blocked,
    /// Never anything, whatever the time-out.
    Silence,
}

struct Reaction {
    after: Duration,
    takes: bool,
    reply: Reply,
}

impl Reaction {
    fn takes(after: Duration, status: u16) -> Self {
        Self { after, takes: true, reply: Reply::Status(status) }
    }

    fn refuses(after: Duration, reply: Reply) -> Self {
        Self { after, takes: false, reply }
    }
}

#[derive(Debug)]
struct Receiver {
    plan: ReceiverPlan,
    has_moved: bool,
    /// The minute that is counted, and what was taken in it.
    window: (i64, u32),
    /// What it took, with when.
    got: BTreeMap<MessageId, Vec<Timestamp>>,
}

/// Clones share one network.
#[derive(Clone)]
pub(crate) struct Network {
    receivers: Arc<Mutex<Vec<Receiver>>>,
    time: Time,
    start: Timestamp,
    faults_end: Timestamp,
    random: Random,
    ledger: Ledger,
    swallows: bool,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    pub(crate) fn new(
        plans: &[ReceiverPlan],
        faults_end: Timestamp,
        time: Time,
        random: Random,
        ledger: Ledger,
    ) -> Self {
        let receiver = |plan: &ReceiverPlan| Receiver {
            plan: plan.clone(),
            has_moved: false,
            window: (0, 0),
            got: BTreeMap::new(),
        };
        let receivers = Arc::new(Mutex::new(plans.iter().map(receiver).collect()));
        let start = time.now();
        Self { receivers, time, start, faults_end, random, ledger, swallows: false }
    }

    /// Answers 200 to a part of what it gets without handing it over, from now on: to show that
    /// this is noticed.
    pub(crate) fn swallowing(mut self) -> Self {
        self.swallows = true;
        self
    }

    /// A receiver refuses at its old address from now on.
    pub(crate) fn move_away(&self, receiver: usize) {
        self.receivers.lock().unwrap()[receiver].has_moved = true;
    }

    /// Whether a receiver has taken a message.
    pub(crate) fn has_got(&self, receiver: usize, message: MessageId) -> bool {
        self.receivers.lock().unwrap()[receiver].got.contains_key(&message)
    }

    /// How often a receiver took messages that it had taken before.
    pub(crate) fn doubles(&self) -> usize {
        let receivers = self.receivers.lock().unwrap();
        receivers.iter().flat_map(|one| one.got.values()).map(|times| times.len() - 1).sum()
    }

    async fn visit(&self, visit: Visit, receiver: usize, path: &str, timeout: Duration) -> Reply {
        let reaction = self.react(receiver, path, timeout);
        if self.swallows && self.random.chance(50) {
            self.time.sleep(reaction.after).await;
            return visit.ends(Reply::Status(200));
        }
        if reaction.takes && self.random.chance(500) {
            self.take(receiver, &visit.messages);
            self.wait(&reaction).await;
        } else {
            self.wait(&reaction).await;
            if reaction.takes {
                self.take(receiver, &visit.messages);
            }
        }
        visit.ends(reaction.reply)
    }

    async fn wait(&self, reaction: &Reaction) {
        if reaction.reply == Reply::Silence {
            pending::<()>().await;
        }
        self.time.sleep(reaction.after).await;
    }

    fn take(&self, receiver: usize, messages: &[MessageId]) {
        let now = self.time.now();
        let got = &mut self.receivers.lock().unwrap()[receiver].got;
        for message in messages {
            got.entry(*message).or_default().push(now);
        }
    }

    fn react(&self, receiver: usize, path: &str, timeout: Duration) -> Reaction {
        let now = self.time.now();
        let random = &self.random;
        let soon = random.span(Duration::from_millis(1), Duration::from_millis(50));
        let status = random.pick(&[200, 201, 202, 204]);
        let well = Reaction::takes(soon, status);
        let receivers = &mut self.receivers.lock().unwrap()[receiver];
        let plan = &receivers.plan;
        if plan.heals && now >= self.faults_end && plan.behaviour != Behaviour::Moving {
            return well;
        }
        let spell = now.since(self.start).as_micros() / plan.period.as_micros();
        match plan.behaviour {
            Behaviour::Slow => {
                let after = random.span(soon, timeout * 3 / 2);
                match after.checked_sub(timeout) {
                    None => Reaction::takes(after, status),
                    Some(_) => Reaction { after: timeout, takes: true, reply: Reply::TimesOut },
                }
            }
            Behaviour::Refusing => refusing(random, soon),
            Behaviour::Flapping if spell.is_multiple_of(2) => well,
            Behaviour::Flapping | Behaviour::Dead => dead(random, soon, timeout),
            Behaviour::Throttling => throttling(random, soon, now, &mut receivers.window, well),
            Behaviour::Lying if random.chance(400) => well,
            Behaviour::Lying => Reaction { after: soon, takes: true, reply: Reply::BreaksOff },
            Behaviour::Gone if spell == 0 => well,
            Behaviour::Gone => Reaction::refuses(soon, Reply::Status(410)),
            Behaviour::Moving if receivers.has_moved && path == OLD_PATH => {
                Reaction::refuses(soon, Reply::Status(random.pick(&[404, 301, 500])))
            }
            Behaviour::Moving | Behaviour::Healthy => well,
        }
    }
}

/// Where a receiver is at first.
pub(crate) const OLD_PATH: &str = "old";
/// Where it is once it has moved.
pub(crate) const NEW_PATH: &str = "new";

fn dead(random: &Random, soon: Duration, timeout: Duration) -> Reaction {
    match random.below(10) {
        0 => Reaction::refuses(soon, Reply::NoConnection),
        1 => Reaction::refuses(timeout, Reply::Silence),
        _ => Reaction::refuses(timeout, Reply::TimesOut),
    }
}

fn refusing(random: &Random, soon: Duration) -> Reaction {
    let reply = match random.below(40) {
        0 => Reply::Blocked,
        _ => Reply::Status(random.pick(&[400, 401, 404, 302, 408, 425, 500, 502, 503, 504])),
    };
    Reaction::refuses(soon, reply)
}

fn throttling(
    random: &Random,
    soon: Duration,
    now: Timestamp,
    window: &mut (i64, u32),
    well: Reaction,
) -> Reaction {
    let minute = now.unix_seconds() / 60;
    if window.0 != minute {
        *window = (minute, 0);
    }
    window.1 += 1;
    if window.1 <= 2 {
        return well;
    }
    let seconds = random.pick(&[0, 1, 30, 120, 3_600, 7_200]);
    let until = now + soon + SECOND * seconds;
    let reply = match random.below(4) {
        0 => Reply::Status(429),
        1 => Reply::RetryAfter(503, "a while".to_owned(), None),
        2 => {
            let text = until.to_datetime().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            Reply::RetryAfter(429, text, Some(Timestamp::from_unix_seconds(until.unix_seconds())))
        }
        _ => Reply::RetryAfter(429, seconds.to_string(), Some(until)),
    };
    Reaction::refuses(soon, reply)
}

/// The network as one life of a node sees it.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) network: Network,
    pub(crate) node: Arc<Node>,
    pub(crate) life: Life,
}

impl Wire {
    /// An attempt begins, unless the node died a moment before.
    async fn visit(&self, parcels: &[Parcel]) -> Option<Visit> {
        if self.node.life() != self.life {
            pending::<()>().await;
        }
        self.network.ledger.visit(self.life, parcels, self.node.clock.now())
    }

    async fn send(&self, request: Request) -> Reply {
        let Some(visit) = self.visit(&Parcel::of(&request)).await else {
            return Reply::Status(400);
        };
        let host = request.url.host_str().unwrap_or_default();
        let number = host.strip_prefix('r').and_then(|rest| rest.strip_suffix(".example"));
        let receiver = number.and_then(|number| number.parse().ok()).expect("we wrote the URL");
        let path = request.url.path().trim_start_matches('/').to_owned();
        self.network.visit(visit, receiver, &path, request.timeout).await
    }
}

#[async_trait]
impl Deliverer for Wire {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        let after = request.timeout;
        let because = || "on purpose".to_owned();
        match self.send(request).await {
            Reply::Status(status) => Ok(Response { status, ..Response::default() }),
            Reply::RetryAfter(status, value, _) => {
                let headers = [("retry-after", value)].into_iter().collect();
                Ok(Response { status, headers, ..Response::default() })
            }
            Reply::TimesOut | Reply::Silence => Err(DeliverError::Timeout { after }),
            Reply::NoConnection => Err(DeliverError::Connect { reason: because() }),
            Reply::BreaksOff => Err(DeliverError::Broken { reason: because() }),
            Reply::Blocked => Err(DeliverError::Blocked { reason: because() }),
        }
    }

    fn check_url(&self, _: &Scope, _: &url::Url) -> Result<(), String> {
        Ok(())
    }
}

/// An action that goes the way of a receiver.
#[derive(Debug, Clone)]
pub(crate) struct Hand {
    pub(crate) wire: Wire,
    pub(crate) receiver: usize,
    /// How long it may take, by the trigger.
    pub(crate) timeouts: BTreeMap<TriggerId, Duration>,
}

#[async_trait]
impl Action for Hand {
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
        let timeout = self.timeouts[&call.trigger];
        let network = &self.wire.network;
        let (message, body) = (Some(call.message_id), call.event.to_json());
        let Some(visit) = self.wire.visit(&[Parcel { message, body, is_entry: false }]).await
        else {
            return Err(ActionError::Permanent("unknown".to_owned()));
        };
        match network.visit(visit, self.receiver, OLD_PATH, timeout).await {
            Reply::Status(_) => Ok("done".into()),
            _ => Err(ActionError::Transient("not now".to_owned())),
        }
    }
}
