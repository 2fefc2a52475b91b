//! What filters of other systems got wrong: rows 34 to 36 of the list of known defects.

use std::sync::Arc;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::id::TriggerId;
use artifact_triggers::trigger::filter::Filter;
use artifact_triggers::trigger::filter::harness::{
    HarnessCondition, HarnessOperator, HarnessOptions, from_harness,
};
use artifact_triggers::trigger::index::TriggerIndex;
use artifact_triggers::trigger::{Trigger, TriggerSpec};
use serde_json::{Value, json};

fn filter(pattern: &Value) -> Filter {
    Filter::from_value(pattern).unwrap_or_else(|problems| panic!("{pattern}: {problems}"))
}

#[test]
fn defect_34_what_is_not_in_the_event_is_not_skipped() {
    let event = json!({"artifact": {"name": "app"}});
    for pattern in [
        json!({"artifact": {"name": ["app"], "version": ["1.0"]}}),
        json!({"artifact": {"name": ["app"], "version": [{"prefix": ""}]}}),
        json!({"artifact": {"name": ["app"], "version": [{"anything-but": "1.0"}]}}),
        json!({"artifact": {"name": ["app"], "size": [{"numeric": [">", 0]}]}}),
        json!({"artifact": {"name": ["app"]}, "actor": {"name": ["alice"]}}),
        json!({"artifact": {"name": ["app"], "version": [{"exists": true}]}}),
    ] {
        assert!(!filter(&pattern).matches_value(&event), "{pattern}");
    }
    let absent = json!({"artifact": {"name": ["app"], "version": [{"exists": false}]}});
    assert!(filter(&absent).matches_value(&event));
}

#[test]
fn defect_35_a_list_of_alternatives_is_no_list_of_regexes() {
    let of_version = |version: &str| json!({"artifact": {"version": version}});
    let exact = filter(&json!({"artifact": {"version": ["1.0", "2.*"]}}));
    for (version, matches) in [("1.0", true), ("1x0", false), ("2.*", true), ("2.1", false)] {
        assert_eq!(exact.matches_value(&of_version(version)), matches, "{version}");
    }
    let condition =
        HarnessCondition::new("<+trigger.artifact.build>", HarnessOperator::In, "1.0, 2.*");
    let translated = from_harness(&[condition], &HarnessOptions::default()).unwrap();
    for (tag, matches) in [("1.0", true), ("1x0", false), ("2.*", true), ("2.1", false)] {
        let artifact = Artifact::new("oci", "app").with_tag(tag);
        let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build();
        assert_eq!(translated.matches(&event.unwrap()), matches, "{tag}");
    }
}

#[test]
fn defect_36_a_filter_counts_whatever_else_is_empty() {
    let event = |name: &str| {
        let artifact = Artifact::new("oci", name);
        Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap()
    };
    let begun = || {
        let filter = filter(&json!({"artifact": {"name": ["app"]}}));
        Trigger::builder("t").on(EventKind::ARTIFACT_INGESTED).filter(filter)
    };
    for spec in [
        begun().action("note"),
        begun().action_with("note", json!({})),
        begun().action("note").scope(Scope::root()),
    ] {
        let id = TriggerId::from_bytes([1; 16]);
        let mut index = TriggerIndex::new();
        let spec = spec.build().unwrap();
        index.insert(Arc::new(Trigger::new(id, spec, Timestamp::UNIX_EPOCH)));
        assert_eq!(index.matching(&event("app")).len(), 1);
        assert_eq!(index.matching(&event("other")).len(), 0);
    }
    // What may not be empty is refused instead.
    let refused = TriggerSpec::from_value(json!({
        "name": "t", "kinds": [], "filter": {"artifact": {"name": ["app"]}},
        "target": {"action": {"name": "note"}}
    }));
    assert!(refused.unwrap_err().iter().any(|problem| problem.path() == "kinds"));
}
