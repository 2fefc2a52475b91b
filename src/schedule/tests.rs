use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::id::TriggerId;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn trigger(n: u8) -> TriggerId {
    TriggerId::from_bytes([n; 16])
}

fn cron(expression: &str, zone: &str) -> Schedule {
    Schedule::cron(expression).unwrap().in_zone(zone).unwrap()
}

fn upcoming(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
    schedule.upcoming(at(after), count).iter().map(ToString::to_string).collect()
}

#[test]
fn a_time_that_the_wall_clock_leaves_out_is_due_behind_the_gap() {
    // On 2026-03-29 it goes from 02:00 to 03:00.
    let schedule = cron("30 2 * * *", "Europe/Berlin");
    assert_eq!(
        upcoming(&schedule, "2026-03-28T00:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
}

#[test]
fn a_time_that_the_wall_clock_shows_twice_is_due_once() {
    // On 2026-10-25 it goes from 03:00 back to 02:00.
    let schedule = cron("30 2 * * *", "Europe/Berlin");
    assert_eq!(
        upcoming(&schedule, "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
}

#[test]
fn what_is_due_every_hour_is_due_in_each_that_passes() {
    let schedule = cron("0 * * * *", "Europe/Berlin");
    for day in ["2026-03-28", "2026-03-29", "2026-10-25"] {
        let due = schedule.upcoming(at(&format!("{day}T00:30:00Z")), 4);
        let steps: Vec<u64> = due.windows(2).map(|two| two[1].since(two[0]).as_secs()).collect();
        assert_eq!(steps, [3600; 3], "{day}: {due:?}");
    }
}

#[test]
fn zones_that_differ_by_half_hours_and_years_that_leap_are_kept() {
    let schedule = cron("0 0 29 2 *", "Asia/Kolkata");
    assert_eq!(
        upcoming(&schedule, "2026-01-01T00:00:00Z", 2),
        ["2028-02-28T18:30:00Z", "2032-02-28T18:30:00Z"]
    );
    let quartz = cron("0 15 10 L * ?", "UTC");
    assert_eq!(upcoming(&quartz, "2026-02-01T00:00:00Z", 1), ["2026-02-28T10:15:00Z"]);
}

#[test]
fn a_period_goes_on_from_its_beginning_and_a_time_comes_once() {
    let hours = |n: u64| Duration::from_secs(n * 3600);
    let every = Schedule::every(hours(6), at("2026-01-01T01:00:00Z")).unwrap();
    assert_eq!(
        upcoming(&every, "2025-12-31T00:00:00Z", 2),
        ["2026-01-01T01:00:00Z", "2026-01-01T07:00:00Z"]
    );
    assert_eq!(upcoming(&every, "2026-01-01T07:00:00Z", 1), ["2026-01-01T13:00:00Z"]);
    let once = Schedule::at(at("2026-01-01T00:00:00Z"));
    assert_eq!(upcoming(&once, "2025-01-01T00:00:00Z", 2), ["2026-01-01T00:00:00Z"]);
    assert_eq!(once.next_after(at("2026-01-01T00:00:00Z")), None);
}

#[test]
fn what_was_missed_follows_the_policy() {
    let hourly = |missed| cron("0 * * * *", "UTC").with_missed(missed);
    let (seen, now) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T05:30:00Z"));
    let fired = |schedule: &Schedule| {
        let due = schedule.due(trigger(1), seen, now);
        assert_eq!(due.seen, at("2026-01-01T05:00:00Z"));
        assert_eq!(due.again_at, Some(at("2026-01-01T06:00:00Z")));
        due.fire.iter().map(|at| at.unix_seconds() % 86_400 / 3600).collect::<Vec<_>>()
    };
    assert_eq!(fired(&hourly(Missed::Skip)), [0; 0]);
    assert_eq!(fired(&hourly(Missed::Once)), [5]);
    assert_eq!(fired(&hourly(Missed::All(3))), [3, 4, 5]);
    assert_eq!(fired(&hourly(Missed::All(100))), [1, 2, 3, 4, 5]);

    let in_time = hourly(Missed::Skip).due(trigger(1), seen, at("2026-01-01T01:00:59Z"));
    assert_eq!(in_time.fire, [at("2026-01-01T01:00:00Z")]);
    let nothing = hourly(Missed::Once).due(trigger(1), seen, at("2026-01-01T00:59:59Z"));
    assert_eq!((nothing.fire, nothing.seen), (Vec::new(), seen));
}

#[test]
fn years_without_anybody_there_are_made_up_for_at_once() {
    let every_second = cron("* * * * * *", "UTC").with_missed(Missed::All(2));
    let (seen, now) = (at("1990-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
    let due = every_second.due(trigger(1), seen, now);
    assert_eq!(due.fire, [at("2025-12-31T23:59:59Z"), now]);
    assert_eq!(due.seen, now);
}

#[test]
fn jitter_only_adds_and_is_the_same_on_every_node() {
    let daily = cron("0 0 * * *", "UTC").with_jitter(Duration::from_secs(3600));
    let (seen, midnight) = (at("2026-01-01T12:00:00Z"), at("2026-01-02T00:00:00Z"));
    let fires_at = |n| daily.due(trigger(n), seen, midnight.before(MIN_PERIOD)).again_at.unwrap();
    let all: Vec<Timestamp> = (0..50).map(fires_at).collect();
    assert_eq!(all, (0..50).map(fires_at).collect::<Vec<_>>());
    assert!(all.iter().all(|at| at.since(midnight) < Duration::from_secs(3600) && *at >= midnight));
    let late = all.iter().filter(|at| at.since(midnight) > Duration::from_secs(1800)).count();
    assert!((10..40).contains(&late), "{late} of 50 in the second half");
    let due = daily.due(trigger(1), seen, all[1]);
    assert_eq!(due.fire, [midnight]);
}

#[test]
fn what_is_due_once_is_fired_later_by_its_jitter_too() {
    let midnight = at("2026-01-02T00:00:00Z");
    let once = Schedule::at(midnight).with_jitter(Duration::from_secs(3600));
    let fires_at = |n| once.fires_at(trigger(n), midnight);
    assert!((0..50).all(|n| fires_at(n).since(midnight) < Duration::from_secs(3600)));
    assert!((0..50).any(|n| fires_at(n) > midnight));
    let seen = at("2026-01-01T12:00:00Z");
    let before = once.due(trigger(1), seen, fires_at(1).before(Duration::from_millis(1)));
    assert_eq!((before.fire, before.again_at), (Vec::new(), Some(fires_at(1))));
    let due = once.due(trigger(1), seen, fires_at(1));
    assert_eq!((due.fire, due.again_at), (vec![midnight], None));
}

#[test]
fn what_is_wrong_is_named_and_what_is_expected() {
    let problems = |value: Value| Schedule::from_value(value).unwrap_err().to_string();
    let found = problems(json!({"cron": "61 * * * *"}));
    let expected = "cron: expected a cron expression of five fields, or of six with seconds first, \
                    such as \"0 3 * * MON-FRI\"; found \"61 * * * *\": ";
    assert!(found.starts_with(expected), "{found}");
    for (value, expected) in [
        (json!({}), "expected cron, at, or every with from, and one of them"),
        (
            json!({"cron": "@daily", "every": "1h"}),
            "expected cron, at, or every with from, and one of them",
        ),
        (
            json!({"cron": "0 0 30 2 *"}),
            "cron: expected an expression that comes due at some time, found \"0 0 30 2 *\", which \
             never does",
        ),
        (
            json!({"cron": "@daily", "time_zone": "Berlin"}),
            "time_zone: expected the name of a time zone such as Europe/Berlin or UTC, found \"Berlin\"",
        ),
        (json!({"at": "2026-01-01T00:00:00Z", "time_zone": "UTC"}), "time_zone: is for cron alone"),
        (
            json!({"every": "500ms", "from": "2026-01-01T00:00:00Z"}),
            "every: expected a period of 1s or more, found 500ms",
        ),
        (
            json!({"cron": "@daily", "missed": {"all": 0}, "jitters": 1}),
            "missed: expected skip, once, or an object with all, from 1 to 1000, found an object; \
             jitters: is not a member of this object",
        ),
    ] {
        assert_eq!(problems(value), expected);
    }
    let long = Schedule::cron(&"1,".repeat(200)).unwrap_err().to_string();
    assert!(long.ends_with("expected at most 256 characters of ASCII"), "{long}");
}

#[test]
fn what_is_read_is_written_the_same() {
    for value in [
        json!({"cron": "0 3 * * MON-FRI", "time_zone": "Europe/Berlin", "missed": "skip"}),
        json!({"at": "2026-01-01T00:00:00Z", "missed": "once"}),
        json!({"every": "6h", "from": "2026-01-01T00:00:00Z", "missed": {"all": 7}, "jitter": "5m"}),
    ] {
        let schedule = Schedule::from_value(value.clone()).unwrap();
        assert_eq!(schedule.to_value(), value);
    }
}

proptest! {
    #[test]
    fn whatever_is_parsed_is_understood_or_refused_and_what_is_due_lies_ahead(
        expression in "[0-9*/,LW#? \\-@a-z]{0,24}",
        seconds in 0..4_000_000_000_i64,
    ) {
        if let Ok(schedule) = Schedule::cron(&expression) {
            let after = Timestamp::from_unix_seconds(seconds);
            for pair in schedule.upcoming(after, 3).windows(2) {
                prop_assert!(after < pair[0] && pair[0] < pair[1]);
            }
        }
    }
}

#[test]
fn a_jitter_by_which_a_due_time_would_be_fired_after_the_next_is_refused() {
    let from = at("2026-01-01T00:00:00Z");
    let every = |seconds| Schedule::every(Duration::from_secs(seconds), from).unwrap();
    for (schedule, most) in [
        (every(60), 60),
        (every(7 * 86_400), 86_400),
        (Schedule::at(from), 86_400),
        (cron("*/5 * * * *", "UTC"), 300),
        (cron("0 9,10 * * MON", "Europe/Berlin"), 3_600),
        (cron("0 0 31 12 *", "UTC"), 86_400),
        (cron("0 0 29 2 *", "UTC"), 86_400),
        (cron("0 0 0 1 1 * 2030", "UTC"), 86_400),
    ] {
        let check = |seconds| {
            let mut problems = Problems::default();
            let jitter = Duration::from_secs(seconds);
            schedule.clone().with_jitter(jitter).check("schedule", &mut problems);
            problems.to_string()
        };
        assert_eq!(check(most), "", "{schedule}");
        let told = check(most + 1);
        assert!(told.starts_with("schedule.jitter: expected at most "), "{schedule}");
        assert_eq!(told.contains("between two due times"), most < 86_400, "{schedule}: {told}");
    }
}
