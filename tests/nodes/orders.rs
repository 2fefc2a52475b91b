//! What the test and its nodes tell each other: orders in the environment, words on a pipe.

use std::process::Command;
use std::time::Duration;

use artifact_triggers::delivery::Order;
use artifact_triggers::event::EventKind;
use artifact_triggers::id::EventId;
use artifact_triggers::signature::standard_webhooks::SigningSecret;

/// The triggers, each with its order and with what it is told of. Each has an endpoint of its own.
pub(crate) const TRIGGERS: [(&str, Order, EventKind); 4] = [
    ("plain", Order::None, EventKind::ARTIFACT_INGESTED),
    ("ordered", Order::PerArtifact, EventKind::ARTIFACT_INGESTED),
    ("in-turn", Order::PerArtifact, EventKind::ARTIFACT_INGESTED),
    ("held", Order::None, EventKind::ARTIFACT_DELETED),
];
/// Which of [`TRIGGERS`] it is whose endpoint does not answer at first.
pub(crate) const HELD: usize = 3;
/// The header that tells which node sends.
pub(crate) const SENDER: &str = "x-node";
/// How many deliveries a node attempts at once.
pub(crate) const CONCURRENCY: usize = 32;
/// How long a node has the right to a delivery.
pub(crate) const LEASE: Duration = Duration::from_secs(5);
/// How often a node looks what others left.
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// What a node is to do, as it stands in its environment.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) node: usize,
    pub(crate) server: String,
    pub(crate) schema: String,
    /// An endpoint for each of [`TRIGGERS`].
    pub(crate) endpoints: Vec<String>,
    pub(crate) secret: SigningSecret,
    /// How far its clock is ahead.
    pub(crate) ahead: Duration,
}

const NODE: &str = "NODES_NODE";
const SERVER: &str = "NODES_SERVER";
const SCHEMA: &str = "NODES_SCHEMA";
const ENDPOINTS: &str = "NODES_ENDPOINTS";
const SECRET: &str = "NODES_SECRET";
const AHEAD: &str = "NODES_AHEAD";

impl Orders {
    pub(crate) fn from_environment() -> Option<Self> {
        let node = std::env::var(NODE).ok()?.parse().expect("it is a number");
        let text = |name| std::env::var(name).expect("the orders are whole");
        Some(Self {
            node,
            server: text(SERVER),
            schema: text(SCHEMA),
            endpoints: text(ENDPOINTS).split(' ').map(str::to_owned).collect(),
            secret: text(SECRET).parse().expect("it is a secret"),
            ahead: Duration::from_secs(text(AHEAD).parse().expect("it is a number")),
        })
    }

    pub(crate) fn write_to(&self, command: &mut Command) {
        command.env(NODE, self.node.to_string()).env(SERVER, &self.server);
        command.env(SCHEMA, &self.schema).env(ENDPOINTS, self.endpoints.join(" "));
        command.env(SECRET, &*self.secret.expose());
        command.env(AHEAD, self.ahead.as_secs().to_string());
    }

    /// What its connections are called, so that they can be cut.
    pub(crate) fn application(&self) -> String {
        format!("{}_{}", self.schema, self.node)
    }
}

/// What a node is told while it works. When nothing more can come it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Word {
    /// To publish so many events more.
    Publish(usize),
    /// To publish so many that go to the endpoint that does not answer.
    Hold(usize),
    /// To tell once all is acknowledged that it was to publish, and publish nothing more.
    Rest,
}

impl Word {
    pub(crate) fn to_line(self) -> String {
        match self {
            Self::Publish(events) => format!("publish {events}\n"),
            Self::Hold(events) => format!("hold {events}\n"),
            Self::Rest => "rest\n".to_owned(),
        }
    }

    pub(crate) fn of_line(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            Some(("publish", events)) => Some(Self::Publish(events.parse().ok()?)),
            Some(("hold", events)) => Some(Self::Hold(events.parse().ok()?)),
            _ => (line == "rest").then_some(Self::Rest),
        }
    }
}

/// What a node tells.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// It delivers, and can be told to publish.
    Ready,
    /// Events whose `publish` was answered.
    Acknowledged(Vec<EventId>),
    /// A claim or a settlement may have been carried out, and no answer came.
    Unanswered,
    /// It publishes nothing more.
    Rests,
}

impl Told {
    pub(crate) fn to_line(&self) -> String {
        match self {
            Self::Ready => "ready\n".to_owned(),
            Self::Acknowledged(events) => {
                let ids: Vec<String> = events.iter().map(|id| format!(" {id}")).collect();
                format!("acknowledged{}\n", ids.concat())
            }
            Self::Unanswered => "unanswered\n".to_owned(),
            Self::Rests => "rests\n".to_owned(),
        }
    }

    /// `None` for what the test runner says.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        match words.next()? {
            "ready" => Some(Self::Ready),
            "acknowledged" => {
                let ids = words.map(|id| id.parse().expect("it is an id"));
                Some(Self::Acknowledged(ids.collect()))
            }
            "unanswered" => Some(Self::Unanswered),
            "rests" => Some(Self::Rests),
            _ => None,
        }
    }
}
