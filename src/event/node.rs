//! An event as the tree of JSON that it is written as, read in place.
//!
//! In: an [`Event`], a JSON value, or an event's bytes. Out: members, elements and leaves, as
//! filters ask for them; nothing is serialised.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::{Map, Value};

use super::{
    Actor, ActorKind, Artifact, Correlation, Event, File, OciFacts, OciRole, Platform, Source,
};
use crate::document::{Borrowed, Decimal};

/// A place in the tree.
#[derive(Clone, Copy)]
pub(crate) enum Node<'e> {
    Leaf(Leaf<'e>),
    Event(&'e Event),
    Source(&'e Source),
    Artifact(&'e Artifact),
    Oci(&'e OciFacts),
    Platform(&'e Platform),
    Actor(&'e Actor),
    Correlation(&'e Correlation),
    File(&'e File),
    Files(&'e [File]),
    Texts(&'e [String]),
    Map(&'e BTreeMap<String, String>),
    Value(&'e Value),
    Borrowed(&'e Borrowed<'e>),
}

/// What stands at the end of a path.
#[derive(Clone, Copy)]
pub(crate) enum Leaf<'e> {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(&'e str),
    /// A text that is only made when somebody reads it.
    Shown(&'e dyn Display),
}

/// What a place is.
#[derive(Clone, Copy)]
pub(crate) enum Shape<'e> {
    Object,
    /// An array of so many elements.
    Array(usize),
    Leaf(Leaf<'e>),
}

impl Leaf<'_> {
    /// Asks something of a text; `None` if it is none.
    pub(crate) fn with_text<T>(&self, ask: impl FnOnce(&str) -> T) -> Option<T> {
        match self {
            Self::Text(text) => Some(ask(text)),
            Self::Shown(shown) => Some(ask(&shown.to_string())),
            _ => None,
        }
    }

    /// The leaf as JSON.
    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => number.to_value(),
            Self::Text(text) => Value::String(text.to_owned()),
            Self::Shown(shown) => Value::String(shown.to_string()),
        }
    }
}

impl<'e> Node<'e> {
    /// What the place is.
    pub(crate) fn shape(self) -> Shape<'e> {
        match self {
            Self::Leaf(leaf) => Shape::Leaf(leaf),
            Self::Files(files) => Shape::Array(files.len()),
            Self::Texts(texts) => Shape::Array(texts.len()),
            Self::Value(value) => match value {
                Value::Null => Shape::Leaf(Leaf::Null),
                Value::Bool(value) => Shape::Leaf(Leaf::Bool(*value)),
                Value::Number(number) => Shape::Leaf(Leaf::Number(number.into())),
                Value::String(text) => Shape::Leaf(Leaf::Text(text)),
                Value::Array(items) => Shape::Array(items.len()),
                Value::Object(_) => Shape::Object,
            },
            Self::Borrowed(value) => match value {
                Borrowed::Null => Shape::Leaf(Leaf::Null),
                Borrowed::Bool(value) => Shape::Leaf(Leaf::Bool(*value)),
                Borrowed::Number(number) => Shape::Leaf(Leaf::Number(*number)),
                Borrowed::Text(text) => Shape::Leaf(Leaf::Text(text)),
                Borrowed::Array(items) => Shape::Array(items.len()),
                Borrowed::Object(_) => Shape::Object,
            },
            _ => Shape::Object,
        }
    }

    /// An element of an array.
    pub(crate) fn element(self, at: usize) -> Option<Self> {
        match self {
            Self::Files(files) => files.get(at).map(Self::File),
            Self::Texts(texts) => texts.get(at).map(|text| Self::Leaf(Leaf::Text(text))),
            Self::Value(Value::Array(items)) => items.get(at).map(Self::Value),
            Self::Borrowed(Borrowed::Array(items)) => items.get(at).map(Self::Borrowed),
            _ => None,
        }
    }

    /// A member of an object.
    pub(crate) fn member(self, name: &str) -> Option<Self> {
        match self {
            Self::Event(event) => event.member(name),
            Self::Source(source) => source.member(name),
            Self::Artifact(artifact) => artifact.member(name),
            Self::Oci(oci) => oci.member(name),
            Self::Platform(platform) => platform.member(name),
            Self::Actor(actor) => actor.member(name),
            Self::Correlation(correlation) => correlation.member(name),
            Self::File(file) => file.member(name),
            Self::Map(map) => map.get(name).map(|text| Self::Leaf(Leaf::Text(text))),
            Self::Value(value) => value.get(name).map(Self::Value),
            Self::Borrowed(value) => value.get(name).map(Self::Borrowed),
            Self::Leaf(_) | Self::Files(_) | Self::Texts(_) => None,
        }
    }

    /// Shows every member of an object.
    pub(crate) fn each_member(self, show: &mut dyn FnMut(&'e str, Self)) {
        let (known, extra): (&'static [&'static str], Option<&'e Map<String, Value>>) = match self {
            Self::Event(event) => (Event::MEMBERS, Some(&event.extra)),
            Self::Source(source) => (Source::MEMBERS, Some(&source.extra)),
            Self::Artifact(artifact) => (Artifact::MEMBERS, Some(&artifact.extra)),
            Self::Oci(oci) => (OciFacts::MEMBERS, Some(&oci.extra)),
            Self::Platform(platform) => (Platform::MEMBERS, Some(&platform.extra)),
            Self::Actor(actor) => (Actor::MEMBERS, Some(&actor.extra)),
            Self::Correlation(correlation) => (Correlation::MEMBERS, Some(&correlation.extra)),
            Self::File(file) => (File::MEMBERS, Some(&file.extra)),
            Self::Value(Value::Object(members)) => (&[], Some(members)),
            Self::Map(map) => {
                for (name, text) in map {
                    show(name, Self::Leaf(Leaf::Text(text)));
                }
                return;
            }
            Self::Borrowed(Borrowed::Object(members)) => {
                for (name, value) in members {
                    show(name, Self::Borrowed(value));
                }
                return;
            }
            _ => return,
        };
        for name in known {
            if let Some(node) = self.member(name) {
                show(name, node);
            }
        }
        for (name, value) in extra.into_iter().flatten() {
            show(name, Self::Value(value));
        }
    }
}

fn text(text: Option<&String>) -> Option<Node<'_>> {
    text.map(|text| Node::Leaf(Leaf::Text(text)))
}

fn shown(shown: &dyn Display) -> Node<'_> {
    Node::Leaf(Leaf::Shown(shown))
}

fn number(number: Option<u64>) -> Option<Node<'static>> {
    number.map(|number| Node::Leaf(Leaf::Number(number.into())))
}

fn texts(texts: &[String]) -> Option<Node<'_>> {
    (!texts.is_empty()).then_some(Node::Texts(texts))
}

fn map(map: &BTreeMap<String, String>) -> Option<Node<'_>> {
    (!map.is_empty()).then_some(Node::Map(map))
}

impl Event {
    fn member(&self, name: &str) -> Option<Node<'_>> {
        match name {
            "spec_version" => text(Some(&self.spec_version)),
            "id" => Some(shown(&self.id)),
            "kind" => Some(Node::Leaf(Leaf::Text(self.kind.as_str()))),
            "scope" => Some(Node::Leaf(Leaf::Text(self.scope.as_str()))),
            "source" => Some(Node::Source(&self.source)),
            "occurred_at" => Some(shown(&self.occurred_at)),
            "received_at" => Some(shown(&self.received_at)),
            "artifact" => self.artifact.as_ref().map(Node::Artifact),
            "from" => self.from.as_ref().map(Node::Artifact),
            "actor" => self.actor.as_ref().map(Node::Actor),
            "correlation" => {
                (!self.correlation.is_empty()).then_some(Node::Correlation(&self.correlation))
            }
            "attributes" => map(&self.attributes),
            "data" => self.data.as_ref().map(Node::Value),
            _ => self.extra.get(name).map(Node::Value),
        }
    }
}

impl Source {
    fn member(&self, name: &str) -> Option<Node<'_>> {
        match name {
            "name" => text(Some(&self.name)),
            "instance" => text(self.instance.as_ref()),
            "id" => text(self.id.as_ref()),
            _ => self.extra.get(name).map(Node::Value),
        }
    }
}

impl Artifact {
    fn member(&self, name: &str) -> Option<Node<'_>> {
        match name {
            "registry" => text(self.registry.as_ref()),
            "repository" => text(self.repository.as_ref()),
            "package_type" => text(self.package_type.as_ref()),
            "namespace" => text(self.namespace.as_ref()),
            "name" => text(self.name.as_ref()),
            "version" => text(self.version.as_ref()),
            "tags" => texts(&self.tags),
            "digest" => text(self.digest.as_ref()),
            "purl" => text(self.purl.as_ref()),
            "url" => text(self.url.as_ref()),
            "size" => number(self.size),
            "oci" => self.oci.as_ref().map(Node::Oci),
            "files" => (!self.files.is_empty()).then_some(Node::Files(&self.files)),
            _ => self.extra.get(name).map(Node::Value),
        }
    }
}

impl OciFacts {
    fn member(&self, name: &str) -> Option<Node<'_>> {
        match name {
            "media_type" => text(self.media_type.as_ref()),
            "artifact_type" => text(self.artifact_type.as_ref()),
            "role" => self.role.as_ref().map(|role| Node::Leaf(Leaf::Text(role.as_str()))),
            "parent_digest" => text(self.parent_digest.as_ref()),
            "child_digests" => texts(&self.child_digests),
            "subject_digest" => text(self.subject_digest.as_ref()),
            "platform" => self.platform.as_ref().map(Node::Platform),
            "annotations" => map(&self.annotations),
            _ => self.extra.get(name).map(Node::Value),
        }
    }
}

impl OciRole {
    /// The role as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Index => "index",
            Self::Manifest => "manifest",
            Self::Child => "child",
            Self::Referrer => "referrer",
            Self::Blob => "blob",
            Self::Other(role) => role,
        }
    }
}

impl Platform {
    fn member(&self, name: &str) -> Option<Node<'_>> {
        match name {
            "architecture" => text(self.architecture.as_ref()),
            "os" => text(self.os.as_ref()),
            "variant" => text(self.variant.as_ref()),
            _ => self.extra.get(name).map(Node::Value),
        }
    }
}

impl Actor {
    fn member(&self, name: &str) -> Option<Node<'_>> {
        match name {
            "id" => text(self.id.as_ref()),
            "name" => text(self.name.as_ref()),
            "kind" => self.kind.as_ref().map(|kind| Node::Leaf(Leaf::Text(kind.as_str()))),
            "address" => text(self.address.as_ref()),
            _ => self.extra.get(name).map(Node::Value),
        }
    }
}

impl ActorKind {
    /// The kind as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::User => "user",
            Self::Robot => "robot",
            Self::Internal => "internal",
            Self::Anonymous => "anonymous",
            Self::Other(kind) => kind,
        }
    }
}

impl Correlation {
    fn member(&self, name: &str) -> Option<Node<'_>> {
        match name {
            "trace_parent" => text(self.trace_parent.as_ref()),
            "trace_state" => text(self.trace_state.as_ref()),
            "request_id" => text(self.request_id.as_ref()),
            "cause" => self.cause.as_ref().map(|cause| shown(cause)),
            "hops" => texts(&self.hops),
            _ => self.extra.get(name).map(Node::Value),
        }
    }
}

impl File {
    fn member(&self, name: &str) -> Option<Node<'_>> {
        match name {
            "name" => text(Some(&self.name)),
            "size" => number(self.size),
            "digest" => text(self.digest.as_ref()),
            "media_type" => text(self.media_type.as_ref()),
            _ => self.extra.get(name).map(Node::Value),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn to_value(node: Node<'_>) -> Value {
        match node.shape() {
            Shape::Leaf(leaf) => leaf.to_value(),
            Shape::Array(len) => (0..len).map(|at| to_value(node.element(at).unwrap())).collect(),
            Shape::Object => {
                let mut members = Map::new();
                node.each_member(&mut |name, member| {
                    members.insert(name.to_owned(), to_value(member));
                });
                Value::Object(members)
            }
        }
    }

    #[test]
    fn the_tree_of_an_event_is_its_json() {
        let full = fs::read("tests/data/event_full.json").unwrap();
        let event = Event::from_json(&full).unwrap();
        let json = event.to_json();
        let borrowed: Borrowed<'_> = serde_json::from_slice(&json).unwrap();
        let expected: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(to_value(Node::Event(&event)), expected);
        assert_eq!(to_value(Node::Borrowed(&borrowed)), expected);
        assert_eq!(to_value(Node::Value(&expected)), expected);
    }
}
