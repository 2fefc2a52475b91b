//! Planning of a million versions, beside a sort of the same by package and age.
//!
//!     cargo bench --bench retention
//!
//! Prints medians of several rounds and their ratio; both are done by turns in the same run.

use std::time::{Duration, Instant};

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::Artifact;
use artifact_triggers::retention::{RetentionPolicy, Version, plan};

const VERSIONS: u64 = 1_000_000;
const PACKAGES: u64 = 20_000;
const ROUNDS: usize = 7;
const DAY: u64 = 86_400;

fn main() {
    let versions: Vec<Version> = (0..VERSIONS).map(version).collect();
    let now = Timestamp::from_unix_seconds(2_000_000_000);
    let policy = RetentionPolicy::keep_last(10)
        .with_keep_younger_than(Duration::from_secs(30 * DAY))
        .with_keep_downloaded_within(Duration::from_secs(7 * DAY));
    let (mut planned, mut sorted, mut deleted) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        deleted = plan(&versions, &policy, now).deleted().count();
        planned.push(begun.elapsed());
        let begun = Instant::now();
        std::hint::black_box(sort(&versions));
        sorted.push(begun.elapsed());
    }
    let (planned, sorted) = (median(planned), median(sorted));
    println!("{VERSIONS} versions of {PACKAGES} packages, {deleted} deleted");
    println!("plan: {planned:?}");
    println!("sort: {sorted:?}");
    println!("plan / sort: {:.2}", planned.as_secs_f64() / sorted.as_secs_f64());
}

/// In no order: neither of packages nor of age.
fn version(n: u64) -> Version {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (package, pushed) = (mixed % PACKAGES, (mixed >> 20) % (700 * DAY));
    let artifact = Artifact::new("cargo", format!("package-{package}"))
        .with_registry("registry.example")
        .with_version(format!("1.{n}.0"));
    let pushed = i64::try_from(pushed).expect("two years");
    Version::new(artifact, Timestamp::from_unix_seconds(2_000_000_000 - pushed))
}

/// The places of the versions in the order of packages, the newest of each first.
fn sort(versions: &[Version]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..versions.len()).collect();
    let key = |n: usize| {
        let artifact = &versions[n].artifact;
        let (registry, repository) = (&artifact.registry, &artifact.repository);
        (registry, repository, &artifact.package_type, &artifact.namespace, &artifact.name)
    };
    order.sort_unstable_by(|one, other| {
        let newest_first = versions[*other].created_at.cmp(&versions[*one].created_at);
        key(*one).cmp(&key(*other)).then(newest_first)
    });
    order
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
