//! Triggers and events that somebody made to hurt: what they cost in time and memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::trigger::Trigger;
use artifact_triggers::trigger::filter::{Filter, MAX_FILTER_DEPTH, MAX_WILDCARDS};
use serde_json::{Value, json};

use super::measure::{allocated, bytes, live, median, nanos, time};
use super::rule::{self, KINDS};
use super::subject::Index;

pub(crate) fn measure(limit: usize) {
    println!(
        "\n| hostile | triggers | insert one | index per trigger | time per event | matched | allocated per event | change one |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    one_key(limit);
    let some = limit.min(10_000);
    nested(some.min(1_000));
    consistent(some.min(100));
    let megabyte = event(json!({"text": "a".repeat(1_000_000)}));
    let text = |condition: Value| json!({"data": {"text": [condition]}});
    let literals = |n: usize| {
        text(match n % 4 {
            0 => json!({"contains": format!("aaaab{n}")}),
            1 => json!({"regex": format!("a+b{n}(c|d)*$")}),
            2 => json!({"wildcard": format!("a*aab{n}*")}),
            _ => json!({"glob": format!("a**aab{n}?")}),
        })
    };
    run("a megabyte, patterns with literals", some, &megabyte, literals);
    let bare = |n: usize| text(json!({"regex": format!("(a|b)*[xyz][0-9]{{{}}}$", 1 + n % 50)}));
    run("a megabyte, regexes without any", some.min(200), &megabyte, bare);
    let stars = |n: usize| {
        let (one, many) = ("a*".repeat(MAX_WILDCARDS), "*aaaaaaab".repeat(MAX_WILDCARDS - 1));
        let pattern =
            if n.is_multiple_of(2) { format!("{one}b{n}") } else { format!("{many}*b{n}") };
        text(json!({"wildcard": pattern}))
    };
    run("a\\*a\\*…b against a megabyte of a", some, &megabyte, stars);
    let short = event(json!({"text": "a".repeat(4_096)}));
    run("a\\*a\\*…b against 4,096 a", some, &short, stars);
}

/// All want the same kind, registry and repository, and beside it one version or all tags but two;
/// the event is of one of those versions, and its tags are refused by all.
fn one_key(limit: usize) {
    let artifact = Artifact::new("oci", "app")
        .with_registry("registry-0.example")
        .with_repository("team-0/app")
        .with_version("1.2.4")
        .with_tag("v1.2.4");
    let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build();
    run("all share one key", limit, &event.expect("it is an event"), |n| {
        let mut artifact =
            json!({"registry": ["registry-0.example"], "repository": ["team-0/app"]});
        if n.is_multiple_of(2) {
            let version = format!("={}.{}.{}", n / 10_000, n / 100 % 100, n % 100);
            artifact["version"] = json!([{"semver": version}]);
        } else {
            artifact["tags"] = json!([{"anything-but": ["v1.2.4", format!("build-{n}")]}]);
        }
        json!({"artifact": artifact})
    });
}

/// `$or`, `$not` and objects within each other, as deep as it goes.
fn nested(triggers: usize) {
    let deep = |n: usize, depth: usize| {
        (0..depth).fold(json!({"x": [n]}), |inner, level| match level % 3 {
            0 => json!({"m": inner}),
            1 => json!({"$or": [{format!("f{n}"): [level]}, inner]}),
            _ => json!({"$not": inner}),
        })
    };
    let fits = |depth: &usize| Filter::from_value(&json!({"data": deep(0, *depth)})).is_ok();
    let depth = (1..=2 * MAX_FILTER_DEPTH).rev().find(fits).expect("one is not too deep");
    let data = (0..depth).fold(json!({"x": "x"}), |inner, _| json!({"m": inner, "f": 1}));
    let name = format!("nested {} deep", depth + 1);
    run(&name, triggers, &event(data), |n| json!({"data": deep(n, depth)}));
}

/// An `$or` in each of many objects within each other, all below one array of which no element
/// fits: as flat rules they would be two to the power of the depth.
fn consistent(triggers: usize) {
    let deep = |n: usize, depth: usize| {
        let last = json!({"$or": [{"a": [n]}, {"b": [n]}]});
        (0..depth).fold(last, |inner, _| json!({"$or": [{"a": [1]}, {"b": [1]}], "m": inner}))
    };
    let fits =
        |depth: &usize| Filter::from_value(&json!({"data": {"rows": deep(9, *depth)}})).is_ok();
    let depth = (1..=2 * MAX_FILTER_DEPTH).rev().find(fits).expect("one is not too deep");
    let row = (0..depth).fold(json!({"a": 1, "b": 1}), |m, _| json!({"a": 1, "b": 1, "m": m}));
    let event = event(json!({"rows": vec![row; 1_000]}));
    let name = format!("{} `$or`s below an array of 1,000", depth + 1);
    run(&name, triggers, &event, |n| json!({"data": {"rows": deep(n + 9, depth)}}));
}

fn event(data: Value) -> Event {
    let artifact = Artifact::new("oci", "app").with_repository("team-0/app");
    let builder = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).data(data);
    builder.build().expect("it is an event")
}

/// Measures an index of such triggers with one event, and a change of one of them.
#[expect(clippy::cast_precision_loss, reason = "there are few")]
fn run(name: &str, triggers: usize, event: &Event, pattern: impl Fn(usize) -> Value) {
    let made = |n| rule::trigger(n, [KINDS[0].0.clone()], &pattern(n));
    let all: Vec<Arc<Trigger>> = (0..triggers).map(made).collect();
    let before = live();
    let began = Instant::now();
    let mut index = Index::default();
    for trigger in all.iter().cloned() {
        index.insert(trigger);
    }
    let inserted = nanos(began) / triggers as f64;
    let kept = live().saturating_sub(before) / triggers;
    let mut found = Vec::with_capacity(triggers);
    // The first match may make what the later ones use.
    let ((_, earlier), began) = (allocated(), Instant::now());
    let first = clocked(|| index.find(event, &mut found));
    let mut asked = allocated().1 - earlier;
    let matched = found.len();
    let mut times = Vec::new();
    while times.len() < 50 && began.elapsed() < Duration::from_secs(3) {
        found.clear();
        let (_, earlier) = allocated();
        times.push(clocked(|| index.find(event, &mut found)));
        asked = allocated().1 - earlier;
    }
    drop(found);
    if times.is_empty() {
        times.push(first);
    }
    let grown = live().saturating_sub(before) / triggers;
    let began = Instant::now();
    let mut changes = Vec::new();
    for n in (0..triggers).step_by(triggers.div_ceil(50)) {
        if began.elapsed() > Duration::from_secs(2) {
            break;
        }
        let _held = index.snapshot();
        changes.push(clocked(|| index.remove(all[n].id)));
        changes.push(clocked(|| index.insert(all[n].clone())));
    }
    println!(
        "| {name} | {triggers} | {} | {kept} B, {grown} B after matching | {} (the first: {}) | {matched} | {} | {} |",
        time(inserted),
        time(median(&mut times)),
        time(first),
        bytes(asked),
        time(median(&mut changes)),
    );
}

fn clocked(act: impl FnOnce()) -> f64 {
    let began = Instant::now();
    act();
    nanos(began)
}
