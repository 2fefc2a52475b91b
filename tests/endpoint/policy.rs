//! Policies as JSON.

use std::time::Duration;

use artifact_triggers::endpoint::{BreakerPolicy, EndpointPolicy, Rate};

#[test]
fn a_policy_reads_as_it_was_printed() {
    let policy = EndpointPolicy::default()
        .with_concurrency(3)
        .with_rate(Rate::new(90, Duration::from_secs(60)).with_burst(4))
        .with_breaker(BreakerPolicy::off().with_ratio(75, 8, Duration::from_secs(5)));
    for policy in [EndpointPolicy::default(), policy] {
        let json = serde_json::to_vec(&policy).unwrap();
        assert_eq!(EndpointPolicy::from_json(&json).unwrap(), policy);
    }
}

#[test]
fn what_is_not_given_is_as_by_default() {
    assert_eq!(EndpointPolicy::from_json(b"{}").unwrap(), EndpointPolicy::default());
    let json = br#"{"rate": {"events": 100, "per": "1s"}, "breaker": {"pause": "1h"}}"#;
    let policy = EndpointPolicy::from_json(json).unwrap();
    assert_eq!(policy.rate, Some(Rate::per_second(100)));
    assert_eq!(policy.rate.unwrap().burst, 10);
    let hour = Duration::from_secs(3600);
    assert_eq!(policy.breaker, BreakerPolicy::default().with_pauses(hour, hour));
}

#[test]
fn every_problem_is_told_at_once_with_its_path() {
    let json = br#"{"concurrency": 0, "rate": {"events": 99999999999, "per": "2d", "burst": 0},
        "breaker": {"failures": 0, "percent": 101, "outcomes": 0, "window": "0s", "pause": "10m",
                    "longest_pause": "1m"}}"#;
    let problems = EndpointPolicy::from_json(json).unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "concurrency: expected 1 to 1000000, found 0",
            "rate.events: expected 1 to 1000000, found 4294967295",
            "rate.burst: expected 1 to 1000000, found 0",
            "rate.per: expected 1ms to 1d, found 2d",
            "breaker.failures: expected 1 to 1000000, found 0",
            "breaker.percent: expected 1 to 100, found 101",
            "breaker.outcomes: expected 1 to 1000000, found 0",
            "breaker.window: expected 1ms to 1d, found 0s",
            "breaker.longest_pause: expected 10m (the first pause) to 1d, found 1m",
        ]
    );
}

#[test]
fn what_is_no_member_or_of_the_wrong_type_is_refused() {
    for (json, expected) in [
        (r#"{"per_endpoint": 3}"#, "per_endpoint: is not a member of this object"),
        (r#"{"rate": {"events": 3}}"#, "rate.per: expected a span of time"),
        (r#"{"rate": {"events": 3, "per": "1"}}"#, "rate.per: expected a span of time"),
        (r#"{"breaker": "off"}"#, "breaker: expected an object"),
        (r#"{"breaker": {"enabled": 1}}"#, "breaker.enabled: expected true or false, found 1"),
        ("[]", "expected an object"),
    ] {
        let told = EndpointPolicy::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(told.contains(expected), "{json}: {told}");
    }
}
