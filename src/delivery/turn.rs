//! Order: which deliveries wait for which.
//!
//! In: a trigger's [`Order`] and an event. Out: the [`Turn`] of the delivery. Deliveries with one
//! ordering key go one after the other, in the order in which they were recorded; storages keep
//! that by [`Delivery::holds_turn`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Delivery, State};
use crate::clock::Timestamp;
use crate::document::{Field, Problems, or_mismatch};
use crate::event::{Artifact, Event};
use crate::id::{OrderingKey, TriggerId};

/// Which deliveries of a trigger go one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Order {
    /// None: each goes when it is due.
    #[default]
    None,
    /// Those of one artifact, whatever its version, tag or digest; those of events without an
    /// artifact together.
    PerArtifact,
    /// All.
    Strict,
}

/// What a dead letter, or a parked delivery, is to those behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnDead {
    /// They go on without it.
    #[default]
    Skip,
    /// They wait until it was replayed and delivered, or discarded, or pruned.
    Block,
}

/// The place of a delivery in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Deliveries with the same key go one after the other.
    pub key: OrderingKey,
    /// What a dead letter is to those behind it.
    pub on_dead: OnDead,
}

impl Order {
    const NAMES: [(Self, &'static str); 3] =
        [(Self::None, "none"), (Self::PerArtifact, "per_artifact"), (Self::Strict, "strict")];

    pub(super) fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(order, _)| *order == self).expect("each has a name").1
    }

    /// The ordering key of an event's delivery to a trigger, if there is an order.
    pub fn key(self, trigger: TriggerId, event: &Event) -> Option<OrderingKey> {
        match self {
            Self::None => None,
            Self::PerArtifact => Some(key(trigger, &identity(event.artifact.as_ref()))),
            Self::Strict => Some(key(trigger, &[])),
        }
    }
}

fn key(trigger: TriggerId, parts: &[&[u8]]) -> OrderingKey {
    let parts: Vec<&[u8]> =
        [&trigger.as_bytes()[..]].into_iter().chain(parts.iter().copied()).collect();
    OrderingKey::derived(Timestamp::UNIX_EPOCH, &parts)
}

/// What an artifact is called, whichever version of it.
pub(super) fn identity(artifact: Option<&Artifact>) -> [&[u8]; 5] {
    let of = |field: fn(&Artifact) -> &Option<String>| {
        artifact.and_then(|artifact| field(artifact).as_deref()).unwrap_or_default().as_bytes()
    };
    [
        of(|artifact| &artifact.registry),
        of(|artifact| &artifact.repository),
        of(|artifact| &artifact.package_type),
        of(|artifact| &artifact.namespace),
        of(|artifact| &artifact.name),
    ]
}

impl Delivery {
    /// Makes one that is waiting and has an order wait for its turn: what a storage does with each
    /// that it records or replays, before it lets the first of the order go.
    pub fn queue(&mut self) {
        if self.turn.is_some() && matches!(self.state, State::Waiting { .. }) {
            self.state = State::Queued;
        }
    }

    /// Whether those behind it in its order have to wait for it: it is waiting or leased, or it is
    /// dead or parked and blocks.
    pub fn holds_turn(&self) -> bool {
        let Some(turn) = self.turn else { return false };
        match self.state {
            State::Waiting { .. } | State::Leased { .. } => true,
            State::Dead { .. } | State::Parked => turn.on_dead == OnDead::Block,
            State::Queued | State::Delivered | State::Cancelled { .. } => false,
        }
    }
}

impl Field for Order {
    const EXPECTED: &'static str = "none, per_artifact or strict";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let known = Self::NAMES.iter().find(|(_, name)| value.as_str() == Some(name));
        let known = known.map(|(order, _)| *order);
        or_mismatch(known, &value, Self::EXPECTED, path, problems)
    }
}

impl Field for OnDead {
    const EXPECTED: &'static str = "skip or block";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        or_mismatch(Self::deserialize(&value).ok(), &value, Self::EXPECTED, path, problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;
    use crate::event::EventKind;

    fn event(artifact: Artifact) -> Event {
        Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap()
    }

    #[test]
    fn an_artifact_keeps_its_key_whatever_its_version_and_others_have_their_own() {
        let trigger = TriggerId::new(Timestamp::UNIX_EPOCH, &OsEntropy);
        let key = |artifact| Order::PerArtifact.key(trigger, &event(artifact)).unwrap();
        let app = || Artifact::new("oci", "app");
        assert_eq!(key(app().with_tag("v1")), key(app().with_version("2")));
        assert_ne!(key(app()), key(Artifact::new("oci", "other")));
        assert_ne!(key(app()), key(app().with_registry("r")));
        assert_ne!(Some(key(app())), Order::Strict.key(trigger, &event(app())));
        let another = TriggerId::new(Timestamp::UNIX_EPOCH, &OsEntropy);
        assert_ne!(
            Order::Strict.key(trigger, &event(app())),
            Order::Strict.key(another, &event(app()))
        );
        assert_eq!(Order::None.key(trigger, &event(app())), None);
    }
}
