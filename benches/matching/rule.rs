//! What a trigger of the benchmark wants, before it is made into anybody's own form.

use std::sync::Arc;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::EventKind;
use artifact_triggers::id::TriggerId;
use artifact_triggers::trigger::filter::Filter;
use artifact_triggers::trigger::{KindPattern, Trigger};
use serde_json::{Map, Value, json};

use super::random::Random;
use super::subject;

/// The kinds of the events, and how many of a hundred are of them.
pub(crate) const KINDS: [(EventKind, usize); 10] = [
    (EventKind::ARTIFACT_INGESTED, 44),
    (EventKind::ARTIFACT_UPDATED, 20),
    (EventKind::ARTIFACT_DELETED, 10),
    (EventKind::ARTIFACT_DOWNLOADED, 6),
    (EventKind::ARTIFACT_PROMOTED, 5),
    (EventKind::ARTIFACT_COPIED, 4),
    (EventKind::ARTIFACT_SIGNED, 3),
    (EventKind::ARTIFACT_RESTORED, 3),
    (EventKind::ARTIFACT_YANKED, 3),
    (EventKind::ARTIFACT_QUARANTINED, 2),
];

/// One of the kinds, by how frequent they are.
pub(crate) fn kind(random: &mut Random) -> usize {
    let mut left = random.below(100);
    let within = |(_, share): &(EventKind, usize)| {
        let within = left < *share;
        left = left.saturating_sub(*share);
        within
    };
    KINDS.iter().position(within).expect("the shares make a hundred")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Registry,
    Repository,
    Tags,
    Version,
    Actor,
    Label,
}

impl Field {
    pub(crate) fn path(self) -> [&'static str; 2] {
        match self {
            Self::Registry => ["artifact", "registry"],
            Self::Repository => ["artifact", "repository"],
            Self::Tags => ["artifact", "tags"],
            Self::Version => ["artifact", "version"],
            Self::Actor => ["actor", "name"],
            Self::Label => ["attributes", "component"],
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Test {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Glob(String),
    Wildcard(String),
    Regex(String),
    Semver(String),
    AnythingBut(Vec<String>),
}

impl Test {
    fn to_value(&self) -> Value {
        match self {
            Self::Exact(text) => json!(text),
            Self::Prefix(text) => json!({"prefix": text}),
            Self::Suffix(text) => json!({"suffix": text}),
            Self::Contains(text) => json!({"contains": text}),
            Self::Glob(text) => json!({"glob": text}),
            Self::Wildcard(text) => json!({"wildcard": text}),
            Self::Regex(text) => json!({"regex": text}),
            Self::Semver(text) => json!({"semver": text}),
            Self::AnythingBut(texts) => json!({"anything-but": texts}),
        }
    }

    /// What every text that passes begins with.
    pub(crate) fn head(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
            Self::Glob(text) | Self::Wildcard(text) => text.split(['*', '?']).next().unwrap_or(""),
            _ => "",
        }
    }
}

/// Every field has one test at most; the registry's comes first.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Places in [`KINDS`]; `artifact.*` if it is empty.
    pub(crate) kinds: Vec<usize>,
    pub(crate) tests: Vec<(Field, Test)>,
}

impl Rule {
    pub(crate) fn test(&self, field: Field) -> Option<&Test> {
        self.tests.iter().find(|(other, _)| *other == field).map(|(_, test)| test)
    }

    /// The filter as JSON.
    pub(crate) fn pattern(&self) -> Map<String, Value> {
        let mut pattern = Map::new();
        for (field, test) in &self.tests {
            let [outer, inner] = field.path();
            let member = pattern.entry(outer).or_insert_with(|| json!({}));
            member[inner] = json!([test.to_value()]);
        }
        pattern
    }

    pub(crate) fn trigger(&self, n: usize) -> Arc<Trigger> {
        let kinds = self.kinds.iter().map(|&kind| KINDS[kind].0.clone());
        trigger(n, kinds, &Value::Object(self.pattern()))
    }
}

/// A trigger with a number for its id; it wants `artifact.*` if it is given no kinds.
pub(crate) fn trigger(
    n: usize,
    kinds: impl IntoIterator<Item = EventKind>,
    pattern: &Value,
) -> Arc<Trigger> {
    let filter: Filter = subject::filter(pattern);
    let mut builder = Trigger::builder(format!("trigger-{n}")).filter(filter).action("bench");
    let mut any = true;
    for kind in kinds {
        builder = builder.on(kind);
        any = false;
    }
    if any {
        let all: KindPattern = "artifact.*".parse().expect("it is a pattern");
        builder = builder.on_any(all);
    }
    let spec = builder.build().expect("it is a trigger");
    Arc::new(Trigger::new(id(n), spec, Timestamp::from_unix_seconds(1_790_000_000)))
}

pub(crate) fn id(n: usize) -> TriggerId {
    TriggerId::from_bytes((n as u128).to_be_bytes())
}
