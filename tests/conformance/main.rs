//! Deliberately wrong storages and deliverers: the suites find each, and name the rule that it
//! breaks.

mod deliverers;
mod storages;

use std::collections::BTreeMap;
use std::future::Future;

use artifact_triggers::conformance::{Rule, Verdict};

/// The tests that fail, each with what it says; without those of the random calls, which test all
/// rules.
fn broken<S: Send + 'static, F: Future<Output = S> + Send + 'static>(
    rules: Vec<Rule<S>>,
    fresh: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> BTreeMap<&'static str, String> {
    let of_one = rules.into_iter().filter(|rule| rule.name().starts_with("rule_"));
    let broken = of_one.filter_map(|rule| match rule.check(fresh.clone()) {
        Verdict::Broken { message } => Some((rule.name(), message)),
        _ => None,
    });
    broken.collect()
}

/// Fails unless there are failures, all of them are tests of one rule, and each names it and tells
/// what was expected and what was found.
fn assert_breaks(rule: &str, broken: &BTreeMap<&'static str, String>) {
    assert!(!broken.is_empty(), "nobody notices");
    for (name, message) in broken {
        assert!(name.starts_with(&format!("rule_{rule}_")), "expected only {rule}: {broken:#?}");
        assert!(message.starts_with(&format!("{name} is broken: ")), "{message}");
        assert!(message.contains("expected ") && message.contains("found "), "{message}");
    }
}
