//! The fields of an event that most filters ask for, each in a place of its own.
//!
//! Each of them is one text, or absent; only the tags are several. What stands in them can be told
//! without walking the event's tree.

use crate::document::{Borrowed, Problems};
use crate::event::{ActorKind, Artifact, Event, OciRole};

/// A field of an event that is one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u8);

/// The paths of the slots; first those that tell most events apart.
const PATHS: [&[&str]; 18] = [
    &["artifact", "digest"],
    &["artifact", "purl"],
    &["artifact", "repository"],
    &["artifact", "name"],
    &["artifact", "version"],
    &["artifact", "namespace"],
    &["artifact", "registry"],
    &["actor", "name"],
    &["actor", "id"],
    &["source", "instance"],
    &["from", "repository"],
    &["from", "registry"],
    &["artifact", "oci", "artifact_type"],
    &["source", "name"],
    &["artifact", "package_type"],
    &["artifact", "oci", "media_type"],
    &["actor", "kind"],
    &["artifact", "oci", "role"],
];

/// How many slots there are.
pub(crate) const SLOTS: usize = PATHS.len();

/// The objects that slots lie in: never in an array, so that they are the same for all who ask.
const OBJECTS: [&[&str]; 5] =
    [&["artifact"], &["artifact", "oci"], &["from"], &["actor"], &["source"]];

/// Where the tags are.
const TAGS: &[&str] = &["artifact", "tags"];

impl Slot {
    /// The slots that name what an event is about, and narrow the search by themselves.
    pub(crate) fn names_the_artifact(self) -> bool {
        self.0 < 5
    }

    /// The slot of a path.
    pub(crate) fn of_path(path: &[&str]) -> Option<Self> {
        let at = PATHS.iter().position(|known| *known == path)?;
        u8::try_from(at).ok().map(Self)
    }
}

/// Whether the tags are at a path.
pub(crate) fn is_tags(path: &[&str]) -> bool {
    path == TAGS
}

/// Whether slots lie in the object at a path.
pub(crate) fn is_object_of_slots(path: &[&str]) -> bool {
    OBJECTS.contains(&path)
}

/// What stands in the slots of an event.
#[derive(Clone, Copy)]
pub(crate) enum Slots<'e> {
    /// Read when it is asked for: most of an event is never looked at.
    Event(&'e Event),
    Json(&'e SlotsOfJson<'e>),
}

/// What stands in the slots of an event's JSON.
pub(crate) struct SlotsOfJson<'e> {
    texts: [Option<&'e str>; SLOTS],
    tags: &'e [Borrowed<'e>],
}

impl<'e> Slots<'e> {
    /// Reads where the texts lie that filters ask for most, so that the processor fetches them
    /// together.
    pub(crate) fn touch(&self) {
        let Self::Event(Event { kind, scope, artifact: Some(artifact), .. }) = self else { return };
        let Artifact { registry, repository, version, .. } = artifact;
        let texts = [Some(kind.as_str()), Some(scope.as_str())];
        let texts = texts.into_iter().chain([registry, repository, version].map(|t| t.as_deref()));
        let texts = texts.flatten().chain(artifact.tags.iter().take(2).map(String::as_str));
        let first = texts.filter_map(|text| text.as_bytes().first());
        std::hint::black_box(first.fold(0, |all, byte| all | byte));
    }

    /// What stands in a slot.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&'e str> {
        match self {
            Self::Event(event) => of_event(event, slot),
            Self::Json(slots) => slots.texts[usize::from(slot.0)],
        }
    }

    /// Shows each tag.
    #[inline]
    pub(crate) fn each_tag(&self, mut show: impl FnMut(&'e str)) {
        match self {
            Self::Event(event) => {
                let tags = event.artifact.iter().flat_map(|artifact| &artifact.tags);
                tags.for_each(|tag| show(tag));
            }
            Self::Json(slots) => {
                for tag in slots.tags {
                    if let Borrowed::Text(tag) = tag {
                        show(tag);
                    }
                }
            }
        }
    }
}

/// What stands in a slot of an event.
fn of_event(event: &Event, slot: Slot) -> Option<&str> {
    let artifact = || event.artifact.as_ref();
    let oci = || artifact()?.oci.as_ref();
    let from = || event.from.as_ref();
    let actor = || event.actor.as_ref();
    match slot.0 {
        0 => artifact()?.digest.as_deref(),
        1 => artifact()?.purl.as_deref(),
        2 => artifact()?.repository.as_deref(),
        3 => artifact()?.name.as_deref(),
        4 => artifact()?.version.as_deref(),
        5 => artifact()?.namespace.as_deref(),
        6 => artifact()?.registry.as_deref(),
        7 => actor()?.name.as_deref(),
        8 => actor()?.id.as_deref(),
        9 => event.source.instance.as_deref(),
        10 => from()?.repository.as_deref(),
        11 => from()?.registry.as_deref(),
        12 => oci()?.artifact_type.as_deref(),
        13 => Some(event.source.name.as_str()),
        14 => artifact()?.package_type.as_deref(),
        15 => oci()?.media_type.as_deref(),
        16 => actor()?.kind.as_ref().map(ActorKind::as_str),
        17 => oci()?.role.as_ref().map(OciRole::as_str),
        _ => None,
    }
}

impl<'e> SlotsOfJson<'e> {
    /// Reads the slots of an event's JSON.
    ///
    /// # Errors
    /// The slots in which something else stands than the events of this crate have there.
    pub(crate) fn read(event: &'e Borrowed<'e>) -> Result<Self, Problems> {
        Problems::gather(|problems| {
            let mut slots = Self { texts: [None; SLOTS], tags: &[] };
            slots.read_members(event, &[], problems);
            Some(slots)
        })
    }

    /// Reads the slots and the tags among an object's members, each member looked at once.
    fn read_members(
        &mut self,
        object: &'e Borrowed<'e>,
        path: &[&'e str],
        problems: &mut Problems,
    ) {
        let Borrowed::Object(members) = object else {
            problems.add(path.join("."), "expected an object");
            return;
        };
        for (name, value) in members {
            match (path, &**name, value) {
                (["artifact"], "tags", tags) => self.read_tags(tags, problems),
                ([], "artifact" | "from" | "actor" | "source", _) | (["artifact"], "oci", _) => {
                    let inner = [path.first().map_or(&**name, |outer| outer), name];
                    self.read_members(value, &inner[..=path.len()], problems);
                }
                (path, name, value) => {
                    let Some(slot) = slot_of(path, name) else { continue };
                    match value {
                        Borrowed::Text(text) => self.texts[slot] = Some(text),
                        _ => problems.add(PATHS[slot].join("."), "expected a string"),
                    }
                }
            }
        }
    }

    fn read_tags(&mut self, tags: &'e Borrowed<'e>, problems: &mut Problems) {
        let is_text = |tag: &Borrowed<'_>| matches!(tag, Borrowed::Text(_));
        match tags {
            Borrowed::Array(tags) if tags.iter().all(is_text) => self.tags = tags,
            _ => problems.add(TAGS.join("."), "expected an array of strings"),
        }
    }
}

/// The slot of a member, as [`PATHS`] has it, found without comparing paths one after the other.
fn slot_of(path: &[&str], name: &str) -> Option<usize> {
    Some(match (path, name) {
        (["artifact"], "digest") => 0,
        (["artifact"], "purl") => 1,
        (["artifact"], "repository") => 2,
        (["artifact"], "name") => 3,
        (["artifact"], "version") => 4,
        (["artifact"], "namespace") => 5,
        (["artifact"], "registry") => 6,
        (["actor"], "name") => 7,
        (["actor"], "id") => 8,
        (["source"], "instance") => 9,
        (["from"], "repository") => 10,
        (["from"], "registry") => 11,
        (["artifact", "oci"], "artifact_type") => 12,
        (["source"], "name") => 13,
        (["artifact"], "package_type") => 14,
        (["artifact", "oci"], "media_type") => 15,
        (["actor"], "kind") => 16,
        (["artifact", "oci"], "role") => 17,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::event::node::{Leaf, Node, Shape};

    #[test]
    fn what_stands_in_a_slot_is_what_stands_at_its_path() {
        let event = Event::from_json(&fs::read("tests/data/event_full.json").unwrap()).unwrap();
        let json = event.to_json();
        let borrowed: Borrowed<'_> = serde_json::from_slice(&json).unwrap();
        for slots in [Slots::Event(&event), Slots::Json(&SlotsOfJson::read(&borrowed).unwrap())] {
            for (at, path) in PATHS.iter().enumerate() {
                let node =
                    path.iter().try_fold(Node::Event(&event), |node, name| node.member(name));
                let Some(Shape::Leaf(Leaf::Text(expected))) = node.map(Node::shape) else {
                    panic!("{path:?} is no text in event_full.json");
                };
                let slot = Slot::of_path(path).unwrap();
                assert_eq!(usize::from(slot.0), at);
                assert_eq!(slots.get(slot), Some(expected), "{path:?}");
            }
            let mut tags = Vec::new();
            slots.each_tag(|tag| tags.push(tag));
            assert_eq!(tags, event.artifact.as_ref().unwrap().tags);
            assert!(!tags.is_empty());
        }
    }

    #[test]
    fn json_that_no_event_has_is_refused() {
        let json = br#"{"artifact": [], "from": {"registry": null}, "actor": {"name": 5}}"#;
        let borrowed: Borrowed<'_> = serde_json::from_slice(json).unwrap();
        let problems = SlotsOfJson::read(&borrowed).err().unwrap().to_string();
        let expected = "artifact: expected an object; from.registry: expected a string; \
                        actor.name: expected a string";
        assert_eq!(problems, expected);
    }
}
