use serde_json::json;

use super::*;

fn problems(value: serde_json::Value) -> Vec<String> {
    let problems = Watch::from_value(value).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_watch_reads_back_from_its_json() {
    let rule = VersionRule::all().or_glob("v1.*").unwrap().or_glob("2.*").unwrap();
    let full = Watch::new("hub", "library/debian")
        .with_interval(Duration::from_secs(3_600))
        .with_jitter(Duration::from_secs(30))
        .with_first(FirstPoll::Fire)
        .with_moved(OnChange::Ignore)
        .with_removed(OnChange::Fire)
        .with_versions(rule.with_semver(">=1.2, <3").unwrap());
    for watch in [Watch::new("hub", "a"), full] {
        assert_eq!(Watch::from_value(watch.to_value()).unwrap(), watch);
    }
}

#[test]
fn what_is_not_said_is_as_usual() {
    let watch = Watch::from_value(json!({"upstream": "hub", "package": "a"})).unwrap();
    assert_eq!(watch, Watch::new("hub", "a"));
    assert_eq!(watch.jitter, Duration::from_secs(90));
}

#[test]
fn every_problem_is_told_at_its_place() {
    let found = problems(json!({
        "upstream": "", "package": "a\nb", "every": "1s", "jitter": "2s",
        "first": "later", "moved": true, "removed": 1,
        "versions": {"glob": ["***", 1], "semver": "new"}, "else": 1,
    }));
    for expected in [
        "first: expected baseline or fire, found \"later\"",
        "moved: expected ignore or fire, found true",
        "removed: expected ignore or fire, found 1",
        "versions.glob[1]: expected a string, found 1",
        "versions.semver: \"new\" is not a version requirement",
        "else: is not a member of this object",
    ] {
        assert!(found.iter().any(|found| found.starts_with(expected)), "{expected}: {found:?}");
    }
    let found = problems(json!({"upstream": "", "package": "a\nb", "every": "1s", "jitter": "2s"}));
    assert_eq!(
        found,
        [
            "upstream: expected 1 to 256 bytes without control characters, found \"\"",
            "package: expected 1 to 256 bytes without control characters, found \"a\\nb\"",
            "every: expected 10s to 30d, found 1s",
            "jitter: expected at most every, 1s, found 2s",
        ]
    );
    let found = problems(json!({"upstream": "a", "package": "b", "versions": {}}));
    assert_eq!(found, ["versions: expected an object with glob, semver or both"]);
}

#[test]
fn a_rule_admits_what_fits_a_pattern_and_the_requirement() {
    let rule = VersionRule::all().or_glob("v*").unwrap().or_glob("1.2.3").unwrap();
    let rule = rule.with_semver(">=1.2, <2").unwrap();
    for (version, expected) in [
        ("v1.2.0", true),
        ("1.2.3", true),
        ("1.2.4", false),
        ("v2.0.0", false),
        ("v1.3.0-rc.1", false),
        ("vulcan", false),
        ("", false),
    ] {
        assert_eq!(rule.admits(version), expected, "{version}");
    }
    assert!(VersionRule::all().admits("anything"));
}

#[test]
fn failures_double_the_interval_up_to_a_day_and_the_upstream_is_heard() {
    let watch = Watch::new("hub", "a").with_jitter(Duration::ZERO);
    let trigger = TriggerId::from_bytes([7; 16]);
    let now = Timestamp::from_unix_seconds(1_000);
    let after = |failures, retry_after: Option<u64>| {
        let retry_after = retry_after.map(Duration::from_secs);
        watch.again_at(trigger, now, failures, retry_after).since(now).as_secs()
    };
    assert_eq!([after(0, None), after(1, None), after(2, None)], [900, 1_800, 3_600]);
    assert_eq!([after(40, None), after(u32::MAX, None)], [86_400, 86_400]);
    assert_eq!([after(0, Some(1_000)), after(0, Some(5))], [1_000, 900]);
    assert_eq!(after(1, Some(u64::MAX)), 86_400);
}

#[test]
fn the_jitter_only_adds_and_is_the_same_for_the_same_trigger() {
    let watch = Watch::new("hub", "a").with_jitter(Duration::from_secs(100));
    let now = Timestamp::from_unix_seconds(1_000);
    let at = |id: u8| watch.again_at(TriggerId::from_bytes([id; 16]), now, 0, None).since(now);
    let all: std::collections::BTreeSet<Duration> = (0..50).map(at).collect();
    assert_eq!(all.len(), 50);
    assert!(all.iter().all(|span| (900..1_000).contains(&span.as_secs())), "{all:?}");
    assert_eq!(at(1), at(1));
}
