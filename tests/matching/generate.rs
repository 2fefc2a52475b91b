//! Triggers and events of a small world, so that most triggers nearly match most events.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::{
    Actor, ActorKind, Artifact, Event, EventKind, File, OciFacts, OciRole,
};
use artifact_triggers::id::TriggerId;
use artifact_triggers::trigger::Trigger;
use artifact_triggers::trigger::filter::Filter;
use serde_json::{Value, json};

/// A small generator of numbers: the same ones for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % limit as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

const TEXTS: [&str; 12] = [
    "app",
    "App",
    "team-1/app",
    "team-1/api",
    "team-2/app",
    "v1.2.3",
    "1.2.3",
    "2.0.0-rc.1",
    "latest",
    "10.1.2.3",
    "",
    "straße",
];
const SCOPES: [&str; 5] = ["", "acme", "acme/a", "acme/b", "other"];
const KINDS: [&str; 4] = ["artifact.ingested", "artifact.updated", "tag.moved", "ping"];

/// Paths of an event; the first ones are looked up by slots, the others by walking.
const PATHS: [&[&str]; 16] = [
    &["artifact", "registry"],
    &["artifact", "repository"],
    &["artifact", "repository"],
    &["artifact", "name"],
    &["artifact", "version"],
    &["artifact", "tags"],
    &["artifact", "tags"],
    &["artifact", "oci", "role"],
    &["actor", "name"],
    &["actor", "kind"],
    &["source", "name"],
    &["attributes", "team"],
    &["artifact", "files", "name"],
    &["artifact", "size"],
    &["data", "x", "y"],
    &["artifact", "purl"],
];

fn condition(random: &mut Random) -> Value {
    let text = random.pick(&TEXTS);
    let some = if text.is_empty() { "a" } else { text };
    match random.below(26) {
        0..6 => json!(text),
        6 => random.pick(&[json!(5), json!(null), json!(true), json!(7.5)]),
        7 | 8 => json!({"prefix": text.get(..text.len().min(4)).unwrap_or("s")}),
        9 => json!({"suffix": text.get(text.len().saturating_sub(3)..).unwrap_or("e")}),
        10 => json!({"prefix": {"equals-ignore-case": some.to_uppercase()}}),
        11 => json!({"suffix": {"equals-ignore-case": some}}),
        12 => json!({"equals-ignore-case": some.to_uppercase()}),
        13 => json!({"anything-but": [text, random.pick(&TEXTS)]}),
        14 => json!({"anything-but": {"prefix": some}}),
        15 => json!({"numeric": [">=", random.below(8)]}),
        16 => json!({"exists": random.one_in(2)}),
        17 => json!({"cidr": "10.0.0.0/8"}),
        18 => json!({"wildcard": random.pick(&["*app", "team-*/a*", "*1*2*", "*-1/*", "v*"])}),
        19 | 20 => {
            json!({"glob": random.pick(&["team-*/app", "**", "*", "team-?/**", "*/a*i", "?pp"])})
        }
        21 => json!({"semver": random.pick(&[">=1", "^1.2", "=2.0.0-rc.1", "<2"])}),
        22 => json!({"regex": random.pick(&["^v?[0-9]", "app$", "team-(1|2)/", "^$", "(?i)APP"])}),
        _ => json!({"contains": random.pick(&["-1/a", "app", "2.3", "a", "team"])}),
    }
}

fn leaf(random: &mut Random) -> Value {
    let count = 1 + random.below(8) / 5;
    let any: Vec<Value> = (0..count).map(|_| condition(random)).collect();
    let path = random.pick(&PATHS);
    path.iter().rev().fold(Value::Array(any), |inner, name| json!({ *name: inner }))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(there) => merge(there, value),
                    None => {
                        into.insert(name, value);
                    }
                }
            }
        }
        (into, from) => *into = from,
    }
}

pub(crate) fn pattern(random: &mut Random, depth: usize) -> Value {
    let mut pattern = json!({});
    for _ in 0..=random.below(3) {
        merge(&mut pattern, leaf(random));
    }
    if depth > 0 && random.one_in(4) {
        let any: Vec<Value> =
            (0..2 + random.below(2)).map(|_| self::pattern(random, depth - 1)).collect();
        pattern["$or"] = Value::Array(any);
        if random.one_in(2) {
            pattern = json!({"$or": pattern["$or"]});
        }
    }
    if depth > 0 && random.one_in(8) {
        pattern["$and"] =
            json!([self::pattern(random, depth - 1), self::pattern(random, depth - 1)]);
    }
    if depth > 0 && random.one_in(8) {
        pattern["$not"] = self::pattern(random, depth - 1);
    }
    pattern
}

/// A trigger, and the JSON of its filter as it was written.
pub(crate) fn trigger(random: &mut Random, number: u32) -> (Trigger, Value) {
    let written = if random.one_in(12) { json!({}) } else { pattern(random, 2) };
    let filter = Filter::from_value(&written).unwrap_or_else(|p| panic!("{written}: {p}"));
    let mut builder = Trigger::builder(format!("t{number}"))
        .scope(random.pick(&SCOPES).parse().unwrap())
        .filter(filter)
        .action("a");
    for _ in 0..=random.below(2) {
        let kind = random.pick(&["artifact.*", "*", "artifact.ingested", "tag.*", "tag.moved"]);
        builder = builder.on_any(kind.parse().unwrap());
    }
    if random.one_in(20) {
        builder = builder.disabled();
    }
    let now = Timestamp::from_unix_seconds(i64::from(number));
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    (Trigger::new(TriggerId::from_bytes(id), builder.build().unwrap(), now), written)
}

pub(crate) fn event(random: &mut Random) -> Event {
    let kind: EventKind = random.pick(&KINDS).parse().unwrap();
    let mut text = || {
        let text = random.pick(&TEXTS);
        if text.is_empty() { "x" } else { text }
    };
    let mut artifact = Artifact::new("oci", text()).with_repository(text()).with_tag(text());
    let (registry, version, tag, file, role) = (text(), text(), text(), text(), text());
    let (actor, team) = (text(), text());
    if random.one_in(2) {
        artifact = artifact.with_registry(registry).with_tag(tag).with_size(5);
    }
    if random.one_in(2) {
        artifact = artifact.with_version(version);
    }
    for n in 0..random.below(3) {
        artifact = artifact.with_file(File::new(file).with_size(n as u64));
    }
    if random.one_in(2) {
        artifact = artifact.with_oci(OciFacts::of_role(OciRole::Other(role.to_owned())));
    }
    let scope = random.pick(&SCOPES[1..]);
    let mut builder = Event::builder(kind).scope(scope.parse().unwrap()).artifact(artifact);
    if random.one_in(2) {
        builder = builder.actor(Actor::new(ActorKind::Robot, actor));
    }
    if random.one_in(2) {
        builder = builder.attribute("team", team);
    }
    if random.one_in(2) {
        let y = random.pick(&[json!("app"), json!(5), json!([]), json!(["team-1/app", null, 7.5])]);
        builder = builder.data(json!({"x": [{"y": y}, {"z": 1}]}));
    }
    builder.build().unwrap()
}
