//! Finds the triggers that an event concerns.
//!
//! In: an event. Out: every trigger whose kinds, scope and filter fit, and none else. Triggers lie
//! under their scope and each of their kinds; an event is looked up under its scope and all above
//! it, with its kind and every pattern above that. Only what is found so has its filter evaluated.

use std::collections::HashMap;
use std::sync::Arc;

use super::filter::event_value;
use super::{KindPattern, Trigger};
use crate::event::{Event, Scope};
use crate::id::TriggerId;

/// All triggers, found by what they want.
#[derive(Debug, Default)]
pub struct TriggerIndex {
    triggers: HashMap<TriggerId, Arc<Trigger>>,
    /// By scope, then by the text of a kind pattern.
    places: HashMap<Scope, HashMap<String, Vec<Arc<Trigger>>>>,
}

impl TriggerIndex {
    /// An index without triggers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a trigger in, in the place of an older revision of it; keeps a newer one.
    pub fn insert(&mut self, trigger: Arc<Trigger>) {
        if self.triggers.get(&trigger.id).is_some_and(|known| known.revision >= trigger.revision) {
            return;
        }
        self.remove(trigger.id);
        let place = self.places.entry(trigger.spec.scope.clone()).or_default();
        for key in keys(&trigger) {
            place.entry(key.as_str().to_owned()).or_default().push(trigger.clone());
        }
        self.triggers.insert(trigger.id, trigger);
    }

    /// Takes a trigger out.
    pub fn remove(&mut self, id: TriggerId) {
        let Some(trigger) = self.triggers.remove(&id) else { return };
        let Some(place) = self.places.get_mut(&trigger.spec.scope) else { return };
        for key in keys(&trigger) {
            if let Some(there) = place.get_mut(key.as_str()) {
                there.retain(|other| other.id != id);
                if there.is_empty() {
                    place.remove(key.as_str());
                }
            }
        }
        if place.is_empty() {
            self.places.remove(&trigger.spec.scope);
        }
    }

    /// The trigger of an id.
    pub fn get(&self, id: TriggerId) -> Option<&Arc<Trigger>> {
        self.triggers.get(&id)
    }

    /// All triggers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Trigger>> {
        self.triggers.values()
    }

    /// How many triggers there are.
    pub fn len(&self) -> usize {
        self.triggers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.triggers.is_empty()
    }

    /// The enabled triggers that an event concerns, each once, in the order of their ids.
    pub fn matching(&self, event: &Event) -> Vec<Arc<Trigger>> {
        let mut found: Vec<Arc<Trigger>> = Vec::new();
        for scope in event.scope.ancestors() {
            let Some(place) = self.places.get(scope) else { continue };
            for key in KindPattern::fitting(&event.kind) {
                found.extend(place.get(&key).into_iter().flatten().cloned());
            }
        }
        found.sort_unstable_by_key(|trigger| trigger.id);
        found.dedup_by_key(|trigger| trigger.id);
        found.retain(|trigger| trigger.spec.enabled);
        // The event is made into JSON once, and only if some filter looks at it.
        if found.iter().any(|trigger| !trigger.spec.filter.wants_everything()) {
            let value = event_value(event);
            found.retain(|trigger| trigger.spec.filter.matches_value(&value));
        }
        found
    }
}

/// The kinds that a trigger lies under, each once.
fn keys(trigger: &Trigger) -> Vec<&KindPattern> {
    let mut keys: Vec<&KindPattern> = trigger.spec.kinds.iter().collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{Artifact, EventKind};
    use crate::trigger::TriggerSpec;
    use crate::trigger::filter::{Condition, Filter};

    fn trigger(n: u32, scope: &str, kinds: &[&str], name: Option<&str>, enabled: bool) -> Trigger {
        let mut builder =
            Trigger::builder(format!("t{n}")).scope(scope.parse().unwrap()).action("a");
        for kind in kinds {
            builder = builder.on_any(kind.parse().unwrap());
        }
        if let Some(name) = name {
            builder = builder
                .filter(Filter::everything().and(["artifact", "name"], [Condition::equals(name)]));
        }
        let mut spec: TriggerSpec = builder.build().unwrap();
        spec.enabled = enabled;
        let now = Timestamp::from_unix_seconds(i64::from(n));
        Trigger::new(TriggerId::derived(now, &[&n.to_be_bytes()]), spec, now)
    }

    fn event(scope: &str, kind: &str, name: &str) -> Event {
        let kind: EventKind = kind.parse().unwrap();
        let artifact = Artifact::new("generic", name).with_tag("t");
        Event::builder(kind).scope(scope.parse().unwrap()).artifact(artifact).build().unwrap()
    }

    /// The rule as the documentation says it.
    fn concerns(trigger: &Trigger, event: &Event) -> bool {
        trigger.spec.enabled
            && trigger.spec.scope.contains(&event.scope)
            && trigger.spec.kinds.iter().any(|pattern| pattern.matches(&event.kind))
            && trigger.spec.filter.matches(event)
    }

    #[test]
    fn a_newer_revision_takes_the_place_of_the_older_one_and_not_the_other_way_round() {
        let old = trigger(1, "a", &["artifact.*"], None, true);
        let mut spec = old.spec.clone();
        spec.scope = "b".parse().unwrap();
        let new = old.changed(spec, None, Timestamp::UNIX_EPOCH);
        let mut index = TriggerIndex::new();
        index.insert(Arc::new(old.clone()));
        index.insert(Arc::new(new));
        index.insert(Arc::new(old));
        assert_eq!(index.matching(&event("a", "artifact.ingested", "x")).len(), 0);
        assert_eq!(index.matching(&event("b", "artifact.ingested", "x")).len(), 1);
        assert_eq!(index.len(), 1);
    }

    fn scope() -> impl Strategy<Value = String> {
        prop::collection::vec("[ab]", 0..4).prop_map(|segments| segments.join("/"))
    }

    fn pattern() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "*",
            "artifact.*",
            "artifact.ingested",
            "tag.*",
            "ping",
            "tag.moved",
        ])
    }

    type Row = (String, Vec<&'static str>, Option<String>, bool);

    fn row() -> impl Strategy<Value = Row> {
        (scope(), prop::collection::vec(pattern(), 1..4), prop::option::of("[xy]"), any::<bool>())
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_scan_finds(
            rows in prop::collection::vec(row(), 0..20),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
            scope in scope(),
            kind in prop::sample::select(vec!["artifact.ingested", "tag.moved", "ping", "tag.moved.far"]),
            name in "[xy]",
        ) {
            let mut index = TriggerIndex::new();
            let mut all = Vec::new();
            for (n, (scope, kinds, name, enabled)) in rows.iter().enumerate() {
                let n = u32::try_from(n).unwrap();
                let trigger = Arc::new(trigger(n, scope, kinds, name.as_deref(), *enabled));
                index.insert(trigger.clone());
                all.push(trigger);
            }
            for choice in removed {
                if !all.is_empty() {
                    index.remove(all.remove(choice.index(all.len())).id);
                }
            }
            let event = event(&scope, kind, &name);
            let expected: Vec<_> = all.iter().filter(|t| concerns(t, &event)).map(|t| t.id).collect();
            let found: Vec<_> = index.matching(&event).iter().map(|t| t.id).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(index.len(), all.len());
        }
    }
}
