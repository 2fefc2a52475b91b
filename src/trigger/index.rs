//! Finds the triggers that an event concerns, among any number of them.
//!
//! In: an event. Out: every enabled trigger whose kinds, scope and filter fit, and none else. One
//! with a schedule or a watch is known by its id alone: the engine makes its events for it, and
//! nobody else's reach it.
//!
//! Triggers lie in a place for their scope (`place`), and there under what their filter holds on to
//! (`access`): on a shelf for the one or two fields whose texts are known as a whole, and there, if
//! something else is known besides, a tail such as the beginning or a part of another text, in a
//! table of its own (`tailed`). An event is looked up in the places of its scope and all above it,
//! by what stands in it (`probe`) and the parts of that (`parts`). Of what is found so, a word
//! tells whether the kind may fit (`kind_set`), and then the filter is judged: by its screen first,
//! which reads one run of bytes, and where that says perhaps by the filter itself.
//!
//! # Cost
//! A place has at most one shelf for each pair of eighteen fields, and a shelf has for a pair of
//! texts at most 64 tails, and one or two that know a value at any path. A tail takes one look-up
//! for each value at its path, or one for each byte of them if a text may stand anywhere in it.
//! Beside that, matching costs as much as judging those triggers that hold on to what the event
//! has: each at most once for each of its ways, of which it has at most 32. A filter that says
//! nothing to hold on to is judged for every event of its scope and kinds.

mod access;
mod beginnings;
mod hash;
mod kind_set;
mod parts;
mod place;
mod probe;
mod table;
mod tailed;
mod tails;

use std::fmt;
use std::sync::Arc;

use super::Trigger;
use super::filter::slot::{Slots, SlotsOfJson};
use crate::document::{self, Borrowed, Problems};
use crate::event::node::Node;
use crate::event::{Event, EventKind, MAX_EVENT_BYTES, Scope};
use crate::id::TriggerId;
use hash::Hasher;
use kind_set::{KindSet, KnownKinds};
use place::{Held, Keys, Near, Place, Spot};
use probe::Probe;
use table::Table;
use tails::Tails;

/// All triggers, found by what they want.
///
/// A clone is a snapshot: it costs next to nothing, shares all that does not change, and stays as
/// it is while the index goes on. Readers need no lock.
#[derive(Clone)]
pub struct TriggerIndex {
    keys: Keys,
    by_id: Table<Known, 8, 16>,
    kinds: KnownKinds,
    places: Table<Place>,
}

/// A trigger under its id, and where it lies in the place of its scope.
#[derive(Clone)]
struct Known {
    trigger: Arc<Trigger>,
    kinds: KindSet,
    spots: Spots,
}

/// Mostly one.
#[derive(Clone)]
enum Spots {
    One(Spot),
    Many(Arc<[Spot]>),
}

impl Default for TriggerIndex {
    fn default() -> Self {
        Self {
            keys: Keys { hasher: Hasher::random(), tails: Tails::default() },
            by_id: Table::default(),
            kinds: KnownKinds::default(),
            places: Table::default(),
        }
    }
}

impl fmt::Debug for TriggerIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerIndex").field("triggers", &self.len()).finish_non_exhaustive()
    }
}

impl TriggerIndex {
    /// An index without triggers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a trigger in, in the place of an older revision of it; keeps a newer one.
    pub fn insert(&mut self, trigger: Arc<Trigger>) {
        if let Some(known) = self.known(trigger.id).cloned() {
            if known.trigger.revision >= trigger.revision {
                return;
            }
            self.take(&known);
        }
        let known = if trigger.spec.enabled && !trigger.spec.is_fed() {
            self.hold(trigger)
        } else {
            Known { trigger, kinds: KindSet::default(), spots: Spots::none() }
        };
        self.by_id.insert(self.id_key(known.trigger.id), known);
    }

    /// Takes a trigger out.
    pub fn remove(&mut self, id: TriggerId) {
        if let Some(known) = self.known(id).cloned() {
            self.take(&known);
        }
    }

    fn take(&mut self, known: &Known) {
        let key = self.id_key(known.trigger.id);
        // Early, so that it is fetched while the rest is looked for.
        self.by_id.touch_way(key, known);
        self.release(known);
        self.by_id.remove(key, known);
    }

    /// The trigger of an id.
    pub fn get(&self, id: TriggerId) -> Option<&Arc<Trigger>> {
        self.known(id).map(|known| &known.trigger)
    }

    fn known(&self, id: TriggerId) -> Option<&Known> {
        let mut found = None;
        self.by_id.each(self.id_key(id), |known| {
            if known.trigger.id == id {
                found = Some(known);
            }
        });
        found
    }

    /// All triggers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Trigger>> {
        self.by_id.iter().map(|known| &known.trigger)
    }

    /// How many triggers there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The enabled triggers that an event concerns, each once, in the order of their ids.
    pub fn matching(&self, event: &Event) -> Vec<Arc<Trigger>> {
        let mut found = Vec::new();
        self.find(event, &mut found);
        found.sort_unstable_by_key(|trigger| trigger.id);
        found.into_iter().cloned().collect()
    }

    /// Adds the enabled triggers that an event concerns, each once, in no order.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use artifact_triggers::clock::Timestamp;
    /// use artifact_triggers::entropy::OsEntropy;
    /// use artifact_triggers::event::{Artifact, Event, EventKind};
    /// use artifact_triggers::id::TriggerId;
    /// use artifact_triggers::trigger::{Trigger, filter::field, index::TriggerIndex};
    ///
    /// let spec = Trigger::builder("releases")
    ///     .on(EventKind::ARTIFACT_INGESTED)
    ///     .filter(field::version().satisfies_semver(">=1"))
    ///     .action("announce")
    ///     .build()?;
    /// let now = Timestamp::UNIX_EPOCH;
    /// let mut index = TriggerIndex::new();
    /// index.insert(Arc::new(Trigger::new(TriggerId::new(now, &OsEntropy), spec, now)));
    ///
    /// let mut found = Vec::new();
    /// let serde = Artifact::new("cargo", "serde").with_version("1.0.219");
    /// index.find(&Event::builder(EventKind::ARTIFACT_INGESTED).artifact(serde).build()?, &mut found);
    /// assert_eq!(found[0].spec.name, "releases");
    /// # Ok::<(), artifact_triggers::document::Problems>(())
    /// ```
    pub fn find<'i>(&'i self, event: &Event, found: &mut Vec<&'i Arc<Trigger>>) {
        let slots = Slots::Event(event);
        slots.touch();
        let mut probe = Probe::new(&self.keys.hasher, &slots, Node::Event(event));
        self.search(&event.scope, &event.kind, &mut probe, found);
    }

    /// Adds what [`find`](Self::find) finds, from an event's JSON as [`Event::to_json`] writes it,
    /// without making an event of it.
    ///
    /// # Errors
    /// The JSON is none, or has something else in a field than an event has. It is not checked any
    /// further: what others wrote must be read by [`Event::from_json`].
    pub fn find_json<'i>(
        &'i self,
        json: &[u8],
        found: &mut Vec<&'i Arc<Trigger>>,
    ) -> Result<(), Problems> {
        let event = document::parse_borrowed(json, MAX_EVENT_BYTES)?;
        let slots = SlotsOfJson::read(&event)?;
        let slots = Slots::Json(&slots);
        let (scope, kind) = Problems::gather(|problems| {
            let scope = parsed::<Scope>(event.get("scope"), "scope", problems);
            let kind = parsed::<EventKind>(event.get("kind"), "kind", problems);
            Some((scope?, kind?))
        })?;
        let mut probe = Probe::new(&self.keys.hasher, &slots, Node::Borrowed(&event));
        self.search(&scope, &kind, &mut probe, found);
        Ok(())
    }

    fn search<'i>(
        &'i self,
        scope: &Scope,
        kind: &EventKind,
        probe: &mut Probe<'_>,
        found: &mut Vec<&'i Arc<Trigger>>,
    ) {
        let start = found.len();
        let kinds = self.kinds.of_event(kind, &self.keys.hasher);
        let mut near = Near::new(kind, kinds, probe.view(), found);
        // Where all triggers are of the root, there is nothing to look for below it.
        let mut unseen = self.places.len();
        for above in scope.ancestors() {
            if unseen == 0 {
                break;
            }
            self.places.each(self.place_key(above), |place| {
                if place.is_of(above) {
                    place.search(probe, &mut near);
                    unseen -= 1;
                }
            });
        }
        if near.judge_all() {
            forget_repeated(start, found);
        }
    }

    /// The enabled triggers that see what happens in a scope, whatever they want of it and without
    /// those that have a schedule or a watch: at most so many, each once.
    pub fn seeing(&self, scope: &Scope, most: usize) -> Vec<&Arc<Trigger>> {
        self.seeing_within(&Scope::root(), scope, most)
    }

    /// Those of them that are at or below another scope, which the first is in.
    pub(crate) fn seeing_within(
        &self,
        within: &Scope,
        scope: &Scope,
        most: usize,
    ) -> Vec<&Arc<Trigger>> {
        let mut seeing = Vec::new();
        for above in scope.ancestors().filter(|above| above.len() >= within.as_str().len()) {
            self.places.each(self.place_key(above), |place| {
                if place.is_of(above) {
                    seeing.extend(place.triggers().take(most));
                }
            });
        }
        seeing.sort_unstable_by_key(|trigger| trigger.id);
        seeing.dedup_by_key(|trigger| trigger.id);
        seeing.truncate(most);
        seeing
    }

    /// Lays a trigger under all that it holds on to.
    fn hold(&mut self, trigger: Arc<Trigger>) -> Known {
        let kinds = self.kinds.add(&trigger.spec.kinds, &self.keys.hasher);
        let ways = access::ways(trigger.spec.filter.root(), &self.keys.hasher);
        let held = Held::new(&trigger, kinds, ways.len());
        let (key, mut place) = self.place(&trigger.spec.scope);
        let spots = ways.iter().map(|way| place.insert(way, held.clone(), &self.keys)).collect();
        self.places.insert(key, place);
        Known { trigger, kinds, spots }
    }

    /// Takes a trigger away from all that it holds on to.
    fn release(&mut self, known: &Known) {
        let spots = known.spots.as_slice();
        if spots.is_empty() {
            return;
        }
        let held = Held::new(&known.trigger, known.kinds, spots.len());
        let (key, mut place) = self.place(&known.trigger.spec.scope);
        for spot in spots {
            place.remove(*spot, &held);
        }
        if place.is_empty() {
            self.places.remove(key, &place);
        } else {
            self.places.insert(key, place);
        }
        self.kinds.remove(known.kinds);
    }

    /// The place of a scope, and its key; a new one, if there is none.
    fn place(&self, scope: &Scope) -> (u64, Place) {
        let key = self.place_key(scope.as_str());
        let mut found = None;
        self.places.each(key, |place| {
            if place.is_of(scope.as_str()) {
                found = Some(place.clone());
            }
        });
        (key, found.unwrap_or_else(|| Place::new(scope.clone())))
    }

    fn place_key(&self, scope: &str) -> u64 {
        self.keys.hasher.bytes(scope.as_bytes())
    }

    fn id_key(&self, id: TriggerId) -> u64 {
        self.keys.hasher.bytes(id.as_bytes())
    }
}

impl Spots {
    fn none() -> Self {
        Self::Many(Arc::from([]))
    }

    fn as_slice(&self) -> &[Spot] {
        match self {
            Self::One(spot) => std::slice::from_ref(spot),
            Self::Many(spots) => spots,
        }
    }
}

impl FromIterator<Spot> for Spots {
    fn from_iter<I: IntoIterator<Item = Spot>>(spots: I) -> Self {
        let spots: Vec<Spot> = spots.into_iter().collect();
        match spots.as_slice() {
            [spot] => Self::One(*spot),
            _ => Self::Many(spots.into()),
        }
    }
}

/// Leaves each trigger once among those found from a place on.
fn forget_repeated(start: usize, found: &mut Vec<&Arc<Trigger>>) {
    found[start..].sort_unstable_by_key(|trigger| Arc::as_ptr(trigger));
    let mut last = start;
    for at in start + 1..found.len() {
        if !Arc::ptr_eq(found[at], found[last]) {
            last += 1;
            found[last] = found[at];
        }
    }
    found.truncate(last + 1);
}

fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
    value: Option<&Borrowed<'_>>,
    path: &str,
    problems: &mut Problems,
) -> Option<T> {
    let Some(Borrowed::Text(text)) = value else {
        problems.add(path, "expected a string");
        return None;
    };
    text.parse().map_err(|error| problems.add(path, format!("{error}"))).ok()
}

impl table::Entry for Known {
    fn identity(&self) -> u64 {
        // Ids that are hashed alike are not expected: they need not be told apart quickly.
        0
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.trigger, &other.trigger)
    }

    fn touch(&self) -> usize {
        Arc::strong_count(&self.trigger)
    }
}

#[cfg(test)]
mod tests;
