//! What EventBridge documents, and what we have besides, as fixtures: filters with events that they
//! want and events that they don't, and filters that are refused.

use artifact_triggers::trigger::filter::Filter;
use serde_json::Value;

use super::naive;

fn fixtures(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap()
}

#[test]
fn accepted_filters_want_what_is_documented() {
    let all = fixtures(include_str!("../data/filters/accepted.json"));
    for fixture in &all {
        let name = &fixture["name"];
        let pattern = &fixture["filter"];
        let filter = Filter::from_value(pattern).unwrap_or_else(|p| panic!("{name}: {p}"));
        for (list, expected) in [("matches", true), ("others", false)] {
            for event in fixture[list].as_array().unwrap() {
                assert_eq!(filter.matches_value(event), expected, "{name}: {event}");
                assert_eq!(naive::matches(pattern, event), expected, "naive, {name}: {event}");
            }
        }
    }
    assert!(all.len() >= 60, "{}", all.len());
}

#[test]
fn what_cannot_be_right_is_refused_at_the_spot() {
    let all = fixtures(include_str!("../data/filters/refused.json"));
    for fixture in &all {
        let name = &fixture["name"];
        let problems = Filter::from_value(&fixture["filter"]).expect_err(&name.to_string());
        let (path, message) =
            (fixture["path"].as_str().unwrap(), fixture["message"].as_str().unwrap());
        let is_it = |problem: &&_| problem_is(problem, path, message);
        assert!(problems.iter().any(|p| is_it(&p)), "{name}: {problems}");
    }
    assert!(all.len() >= 45, "{}", all.len());
}

fn problem_is(problem: &artifact_triggers::document::Problem, path: &str, message: &str) -> bool {
    problem.path() == path && problem.message().contains(message)
}
