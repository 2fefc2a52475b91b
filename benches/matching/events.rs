//! Events from the registries of a workload.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::{Actor, ActorKind, Artifact, Event, Source};
use artifact_triggers::id::EventId;

use super::random::Random;
use super::rule::KINDS;
use super::scan::Oracle;
use super::world::World;

const SEED: u64 = 0xe7e9_7500;
/// So many different events in the ring of a workload; half of them match something.
pub(crate) const EVENTS: usize = 4_096;

/// Events, and how many triggers each of them matches.
pub(crate) struct Events {
    /// In turns one that matches something and one that matches nothing.
    pub(crate) ring: Vec<Event>,
    pub(crate) json: Vec<Vec<u8>>,
    /// The numbers of the triggers that each event of the ring matches, in order.
    pub(crate) expected: Vec<Vec<usize>>,
}

impl Events {
    pub(crate) fn new(world: &World, oracle: &Oracle) -> Self {
        let mut random = Random::new(SEED, 0);
        let (mut ring, mut expected) = (Vec::new(), Vec::new());
        while ring.len() < EVENTS {
            let hit = ring.len() % 2 == 0;
            let event = event(world, &mut random, hit);
            let found = oracle.find(&event);
            if found.is_empty() != hit {
                ring.push(event);
                expected.push(found);
            }
        }
        let json = ring.iter().map(Event::to_json).collect();
        Self { ring, json, expected }
    }

    pub(crate) fn misses(&self) -> impl Iterator<Item = &Event> {
        self.ring.iter().skip(1).step_by(2)
    }

    /// The mean, the least and the most matches of the events that match something.
    #[expect(clippy::cast_precision_loss, reason = "there are few")]
    pub(crate) fn matches(&self) -> (f64, usize, usize) {
        let counts = || self.expected.iter().step_by(2).map(Vec::len);
        let mean = counts().sum::<usize>() as f64 / counts().count() as f64;
        (mean, counts().min().unwrap_or(0), counts().max().unwrap_or(0))
    }
}

/// An event as a registry tells it. One that is to hit nothing comes from the same registry, and
/// often the same repository, and has a version and tags that hardly anybody asks for.
fn event(world: &World, random: &mut Random, hit: bool) -> Event {
    let registry = random.below(world.registries);
    let repository = world.watched(random);
    let known = hit || random.percent(50);
    let repository_path = if known {
        world.repository(registry, repository)
    } else {
        format!("guild-{}/tool-{}", random.below(20), random.below(1_000))
    };
    let [major, minor, patch] = world.version(random);
    let major = if hit { major } else { major + 900 };
    let candidate = if random.percent(20) { "-rc1" } else { "" };
    let version = format!("{major}.{minor}.{patch}{candidate}");
    let number = random.next();
    let artifact = Artifact::new("oci", repository_path.rsplit('/').next().unwrap_or("app"))
        .with_registry(World::registry(registry))
        .with_digest(format!("sha256:{number:064x}"))
        .with_tag(format!("v{version}"))
        .with_version(version)
        .with_repository(repository_path);
    let artifact = match (random.percent(50), hit) {
        (true, true) => artifact.with_tag(format!("{}-{:06x}", world.branch(random), number >> 40)),
        (true, false) => artifact.with_tag(format!("sha-{:06x}", number >> 40)),
        _ => artifact,
    };
    let actor = random.pick(&["alice", "bob", "carol", "dave", "renovate", "replicator"]);
    let mut builder = Event::builder(KINDS[world.kind(random)].0.clone())
        .id(EventId::from_bytes((u128::from(number) << 64 | 1).to_be_bytes()))
        .occurred_at(Timestamp::from_unix_seconds(1_790_000_000))
        .scope(format!("acme/registry-{registry}").parse().expect("it is a scope"))
        .source(Source::new("registry").with_instance("node-1"))
        .artifact(artifact)
        .actor(Actor::new(ActorKind::User, actor));
    if known && random.percent(30) {
        builder = builder.attribute("component", world.component(registry, repository));
    }
    builder.build().expect("it is an event")
}
