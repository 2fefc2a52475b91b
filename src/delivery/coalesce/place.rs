//! Places: under which keys is kept what is remembered of events that coalesce, and how it goes.
//!
//! The keys of a trigger begin with it, so that they go with it. Below it they lie in a
//! [ring](Ring) of stretches of time: a trigger to which nothing comes any more keeps no more than
//! is there until it is deleted.

use std::time::Duration;

use super::{Coalesce, Per, PlaceOf};
use crate::clock::Timestamp;
use crate::clock::ring::Ring;
use crate::delivery::Order;
use crate::delivery::turn::identity;
use crate::event::{Artifact, Event, OciRole};
use crate::id::{OrderingKey, TriggerId};

const LOOKED_AT: usize = Ring::LOOKED_AT;
/// The shortest stretch, so that clocks may differ by as much.
const SHORTEST: Duration = Duration::from_secs(60);

/// Where it is remembered what concerns the events of a trigger that coalesce with one event.
///
/// ```
/// use artifact_triggers::clock::Timestamp;
/// use artifact_triggers::delivery::{Coalesce, Places};
/// use artifact_triggers::event::{Event, EventKind};
/// use artifact_triggers::id::TriggerId;
///
/// let now = Timestamp::UNIX_EPOCH;
/// let trigger = TriggerId::derived(now, &[]);
/// let event = Event::sample(EventKind::ARTIFACT_INGESTED);
/// let places = Places::of(&Coalesce::newest(), trigger, &event, now);
/// assert!(places.keys().iter().all(|key| key.starts_with(&Places::prefix(trigger))));
/// ```
#[derive(Debug, Clone)]
pub struct Places {
    ring: Ring,
    names: Vec<OrderingKey>,
}

/// A key, the text that was read there, and what is to be there; `None` for nothing.
pub(super) type Move = (String, Option<String>, Option<String>);

impl Places {
    /// Where it is remembered what concerns an event.
    pub fn of(coalesce: &Coalesce, trigger: TriggerId, event: &Event, now: Timestamp) -> Self {
        let span = stretch_of(coalesce);
        let since = now.since(Timestamp::MIN).as_millis();
        let stretch = u64::try_from(since / span).unwrap_or(u64::MAX / 2);
        Self {
            ring: Ring::new(Self::prefix_of(coalesce, trigger), stretch),
            names: names(coalesce, trigger, event),
        }
    }

    /// What all keys of a trigger begin with.
    pub fn prefix(trigger: TriggerId) -> String {
        format!("coalesce/{trigger}/")
    }

    /// What the keys of a trigger begin with as long as it coalesces so. What is remembered for
    /// another span lies elsewhere, and is of no use any more.
    pub fn prefix_of(coalesce: &Coalesce, trigger: TriggerId) -> String {
        format!("{}{}/", Self::prefix(trigger), stretch_of(coalesce))
    }

    /// What is remembered apart: who decides of the same names decides from the same.
    pub fn names(&self) -> &[OrderingKey] {
        &self.names
    }

    /// The keys to read: of each name in the stretches before, now and next, and which stretch the
    /// slot of now is used for. None if nothing is remembered of such an event.
    pub fn keys(&self) -> Vec<String> {
        if self.names.is_empty() {
            return Vec::new();
        }
        let all = self.names.iter().flat_map(|name| self.keys_of(*name));
        all.chain([self.ring.slot_key()]).collect()
    }

    /// What was remembered under each name, of the values of the keys in their order. The latest
    /// stretch that has something says it.
    pub(super) fn read<'v>(&self, values: &'v [Option<String>]) -> Vec<Option<&'v str>> {
        let of_name = |stretches: &'v [Option<String>]| {
            stretches.iter().rev().find_map(|value| value.as_deref())
        };
        let of_names = values.chunks(LOOKED_AT).map(of_name).take(self.names.len());
        of_names.chain(std::iter::repeat(None)).take(self.names.len()).collect()
    }

    /// What brings other texts in the place of those that were read, one for each name.
    pub(super) fn moves(&self, values: &[Option<String>], texts: &[Option<String>]) -> Vec<Move> {
        let read = |n: usize| values.get(n).cloned().flatten();
        let mut moves = Vec::new();
        for (n, (name, text)) in self.names.iter().zip(texts).enumerate() {
            let before: Vec<Option<String>> =
                (0..LOOKED_AT).map(|of| read(n * LOOKED_AT + of)).collect();
            // Where it is in the next stretch, it stays there: others look for it there.
            let to = if before[2].is_some() { 2 } else { 1 };
            for (of, (key, expected)) in self.keys_of(*name).into_iter().zip(before).enumerate() {
                let value = text.clone().filter(|_| of == to);
                moves.push((key, expected, value));
            }
        }
        let slot = self.slot(values);
        if !self.ring.has_slot(slot) && !moves.is_empty() {
            let before = slot.map(str::to_owned);
            moves.push((self.ring.slot_key(), before, Some(self.ring.slot_value())));
        }
        moves
    }

    /// What is to be forgotten with moves to other texts: the stretch whose slot is used now.
    pub(super) fn forgotten(&self, values: &[Option<String>]) -> Option<String> {
        (!self.ring.has_slot(self.slot(values))).then(|| self.ring.slot_of_now())
    }

    /// For which stretch the slot of now is used, of the values of the keys.
    fn slot<'v>(&self, values: &'v [Option<String>]) -> Option<&'v str> {
        values.get(self.names.len() * LOOKED_AT)?.as_deref()
    }

    fn keys_of(&self, name: OrderingKey) -> [String; LOOKED_AT] {
        self.ring.looked_at().map(|stretch| self.ring.key(stretch, &format!("{stretch}/{name}")))
    }
}

/// How long a stretch is, in milliseconds.
fn stretch_of(coalesce: &Coalesce) -> u128 {
    coalesce.known_for().max(SHORTEST).as_millis()
}

/// What is remembered apart.
fn names(coalesce: &Coalesce, trigger: TriggerId, event: &Event) -> Vec<OrderingKey> {
    match coalesce {
        Coalesce::Newest { per }
        | Coalesce::Quiet { per, .. }
        | Coalesce::AtMostEvery { per, .. } => {
            let order = match per {
                Per::Artifact => Order::PerArtifact,
                Per::Trigger => Order::Strict,
            };
            order.key(trigger, event).into_iter().collect()
        }
        Coalesce::IndexWithin { .. } => {
            let artifact = event.artifact.as_ref();
            let digests = manifests(artifact);
            let identity = identity(artifact);
            let name = |digest: &str| key(trigger, &[&identity[..], &[digest.as_bytes()]].concat());
            digests.into_iter().map(name).collect()
        }
        Coalesce::AllOf { names, by, .. } => {
            let place = place_of(*by, event);
            let is_one = place.is_some_and(|place| names.iter().any(|name| name == place));
            let version = event.artifact.as_ref().filter(|_| is_one).and_then(version);
            version.map(|parts| key(trigger, &parts)).into_iter().collect()
        }
    }
}

fn key(trigger: TriggerId, parts: &[&[u8]]) -> OrderingKey {
    let parts: Vec<&[u8]> =
        [&trigger.as_bytes()[..]].into_iter().chain(parts.iter().copied()).collect();
    OrderingKey::derived(Timestamp::UNIX_EPOCH, &parts)
}

/// The manifests that an index stands for, or the one that may be stood for.
fn manifests(artifact: Option<&Artifact>) -> Vec<&str> {
    let Some((artifact, oci)) = artifact.and_then(|one| Some((one, one.oci.as_ref()?))) else {
        return Vec::new();
    };
    if !oci.child_digests.is_empty() {
        let children = oci.child_digests.iter().map(String::as_str);
        return children.take(Coalesce::MAX_CHILDREN).collect();
    }
    let is_child = oci.role == Some(OciRole::Child) || oci.parent_digest.is_some();
    artifact.digest.as_deref().filter(|_| is_child).into_iter().collect()
}

/// Whether an event tells of an index that stands for children.
pub(super) fn is_index(event: &Event) -> bool {
    let oci = event.artifact.as_ref().and_then(|artifact| artifact.oci.as_ref());
    oci.is_some_and(|oci| !oci.child_digests.is_empty())
}

/// The name of the place that an event tells of.
pub(super) fn place_of(by: PlaceOf, event: &Event) -> Option<&str> {
    match by {
        PlaceOf::Registry => event.artifact.as_ref()?.registry.as_deref(),
        PlaceOf::Source => Some(&event.source.name),
    }
}

/// What a version is called wherever it is. The namespace of an image is the registry's, that of
/// any other package its own.
fn version(artifact: &Artifact) -> Option<[&[u8]; 4]> {
    let version = artifact.version.as_deref().or(artifact.tags.first().map(String::as_str))?;
    let [_, _, of_type, namespace, name] = identity(Some(artifact));
    let is_image = of_type == b"oci" || of_type == b"docker";
    let namespace = if is_image { &b""[..] } else { namespace };
    Some([of_type, namespace, name, version.as_bytes()])
}

#[cfg(test)]
mod tests;
