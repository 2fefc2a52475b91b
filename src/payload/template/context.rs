//! Context: what a template sees of an event.
//!
//! In: an event's JSON. Out: values by the names of the wire format. Objects and lists that an
//! event may have are always there, empty if need be; a text that it has not is undefined. Of an
//! event that stands for others a misspelt name is an error that tells which names there are.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};

use minijinja::value::{DynObject, Enumerator, Object, ObjectExt as _, ObjectRepr};
use minijinja::{Error, ErrorKind, Value};
use serde_json::{Map, Number, Value as Json};

use super::TriggerName;
use super::escape::{Place, Ready};
use crate::event::{Actor, Artifact, Correlation, Event, File, OciFacts, Platform, Source};

/// What an object may have in it.
#[derive(Debug)]
struct Shape {
    /// What it is called where something is wrong with it.
    name: &'static str,
    /// All members that are known.
    members: &'static [&'static str],
    /// Those that are objects, or lists of objects.
    objects: &'static [(&'static str, &'static Shape)],
    /// Those that are lists.
    lists: &'static [&'static str],
}

static EVENT: Shape = Shape {
    name: "event",
    members: Event::MEMBERS,
    objects: &[
        ("source", &Shape { members: Source::MEMBERS, ..bare("event.source") }),
        ("artifact", &ARTIFACT),
        ("from", &ARTIFACT),
        ("actor", &Shape { members: Actor::MEMBERS, ..bare("event.actor") }),
        (
            "correlation",
            &Shape { members: Correlation::MEMBERS, lists: &["hops"], ..bare("event.correlation") },
        ),
        ("attributes", &TEXTS),
        ("data", &TEXTS),
    ],
    lists: &[],
};

static ARTIFACT: Shape = Shape {
    name: "artifact",
    members: Artifact::MEMBERS,
    objects: &[
        ("oci", &OCI),
        ("files", &Shape { members: File::MEMBERS, ..bare("a file of the artifact") }),
    ],
    lists: &["tags", "files"],
};

static OCI: Shape = Shape {
    name: "artifact.oci",
    members: OciFacts::MEMBERS,
    objects: &[
        ("platform", &Shape { members: Platform::MEMBERS, ..bare("artifact.oci.platform") }),
        ("annotations", &TEXTS),
    ],
    lists: &["child_digests"],
};

impl Shape {
    fn inner(&self, name: &str) -> Option<&'static Self> {
        self.objects.iter().find(|(object, _)| *object == name).map(|(_, shape)| *shape)
    }
}

/// Texts by whatever names.
static TEXTS: Shape = bare("");

const fn bare(name: &'static str) -> Shape {
    Shape { name, members: &[], objects: &[], lists: &[] }
}

/// An object of an event. It is made once and shared, so that looking at it costs the same however
/// large it is.
#[derive(Debug)]
struct Part {
    members: BTreeMap<String, Value>,
    shape: &'static Shape,
    /// Of an event that stands for others.
    sample: Option<Sample>,
}

impl Part {
    fn value(members: Map<String, Json>, shape: &'static Shape, sample: Option<&Sample>) -> Value {
        let members = members.into_iter().map(|(name, member)| {
            let inner = shape.inner(&name);
            (name, value_of(member, inner, sample))
        });
        Value::from_object(Self { members: members.collect(), shape, sample: sample.cloned() })
    }

    /// A member that the event does not have.
    fn absent(&self, name: &str) -> Option<Value> {
        if self.shape.lists.contains(&name) {
            return Some(Value::from(Vec::<Value>::new()));
        }
        if let Some(sample) = self.sample.as_ref().filter(|_| name == "data") {
            return Some(Value::from_object(sample.clone()));
        }
        if let Some(shape) = self.shape.inner(name) {
            return Some(Self::value(Map::new(), shape, self.sample.as_ref()));
        }
        self.sample.as_ref()?;
        if self.shape.name.is_empty() {
            return Some(Value::from("sample"));
        }
        if self.shape.members.contains(&name) {
            return None;
        }
        let known = self.shape.members.join(", ");
        let message = format!("{} has no {name:?}, but {known}", self.shape.name);
        Some(Value::from(Error::new(ErrorKind::UndefinedError, message)))
    }
}

impl Object for Part {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        self.members.get(name).cloned().or_else(|| self.absent(name))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|part| {
            Box::new(part.members.keys().map(|name| Value::from(name.as_str())))
        })
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.members.len())
    }

    /// Equal to itself alone: to look through two objects would be work that nobody counts.
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other: &Self = other.downcast_ref()?;
        Some(std::ptr::from_ref::<Self>(self).cmp(&std::ptr::from_ref(other)))
    }

    /// As what cannot be printed by itself, for the same reason.
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[object]")
    }
}

/// Stands for what nobody can know beforehand: it has every member, and is a list of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    /// Whether anything was made of it, so that what fails may fail for that.
    is_used: Arc<AtomicBool>,
}

impl Sample {
    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(atomic::Ordering::Relaxed)
    }

    fn used(&self) -> Value {
        self.is_used.store(true, atomic::Ordering::Relaxed);
        Value::from_object(self.clone())
    }
}

impl Object for Sample {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(self.used())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(vec![self.used()])
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.used();
        f.write_str("sample")
    }
}

/// What a template sees: `event`, `artifact` and `trigger`.
pub(super) fn of(event: Map<String, Json>, trigger: TriggerName<'_>) -> Value {
    context(event, trigger, None)
}

/// The same of an event that stands for others.
pub(super) fn of_sample(
    mut event: Map<String, Json>,
    trigger: TriggerName<'_>,
    sample: &Sample,
) -> Value {
    // What is in it is the source's own.
    event.remove("data");
    context(event, trigger, Some(sample))
}

fn context(event: Map<String, Json>, trigger: TriggerName<'_>, sample: Option<&Sample>) -> Value {
    let event = Part::value(event, &EVENT, sample);
    let artifact = event.get_attr("artifact").unwrap_or_default();
    let trigger = Value::from_pairs([
        ("id", Value::from(trigger.id.to_string())),
        ("name", Value::from(trigger.name)),
    ]);
    Value::from_pairs([("event", event), ("artifact", artifact), ("trigger", trigger)])
}

fn value_of(json: Json, shape: Option<&'static Shape>, sample: Option<&Sample>) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(truth),
        Json::Number(number) => value_of_number(&number),
        Json::String(text) => Value::from(text),
        Json::Array(items) => items.into_iter().map(|item| value_of(item, shape, sample)).collect(),
        // What the crate does not know has no shape, and nothing in it is always there.
        Json::Object(members) => match shape {
            Some(shape) => Part::value(members, shape, sample),
            None => Part::value(members, &TEXTS, None),
        },
    }
}

/// A number as the engine counts; one that it would change, as it is written.
fn value_of_number(number: &Number) -> Value {
    if let Some(number) = number.as_i64() {
        return Value::from(number);
    }
    if let Some(number) = number.as_u64() {
        return Value::from(number);
    }
    let text = number.to_string();
    match number
        .as_f64()
        .filter(|float| Number::from_f64(*float).is_some_and(|same| same.to_string() == text))
    {
        Some(float) => Value::from(float),
        None => Value::from_object(Ready { place: Place::Json, text }),
    }
}
