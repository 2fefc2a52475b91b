//! Schedules beside another implementation of cron, over years and zones.
//!
//! Left out is where the two differ by definition: the days around a change of the clock, which the
//! two treat each in its own way (ours is held to by tests of its own), and days of the month and
//! of the week that are both restricted while one of them begins with an asterisk: there Vixie cron
//! takes the days that are in both, and `Schedule` those that are in either. So are the last day
//! and the last of a weekday (`L`, `5L`) of December, which cronexpr 1.7 passes over.
#![cfg(feature = "schedule")]

use artifact_triggers::clock::Timestamp;
use artifact_triggers::schedule::Schedule;
use cronexpr::{MakeTimestamp, parse_crontab};
use proptest::prelude::*;

/// Of whole, half and quarter hours, on both halves of the globe, with and without changes. All of
/// these change by whole hours at whole hours: of others, such as `Australia/Lord_Howe` and
/// `America/St_Johns`, cronexpr 1.7 comes to no end: it rounds back to before the change.
const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Adelaide",
    "Pacific/Auckland",
];
const HOUR: i64 = 3_600;
/// How many due times are compared.
const COUNT: usize = 25;

/// The seconds by which a zone is ahead of UTC.
fn offset(zone: &jiff::tz::TimeZone, seconds: i64) -> i32 {
    zone.to_offset(jiff::Timestamp::from_second(seconds).unwrap()).seconds()
}

/// Whether the clock of a zone is not changed within a day.
fn is_calm(zone: &jiff::tz::TimeZone, seconds: i64) -> bool {
    let hours = (-26..=26).map(|hour| offset(zone, seconds + hour * HOUR));
    let all: Vec<i32> = hours.collect();
    all.iter().all(|offset| *offset == all[0])
}

fn ours(expression: &str, zone: &str, after: i64) -> Vec<i64> {
    let schedule = Schedule::cron(expression).unwrap().in_zone(zone).unwrap();
    let due = schedule.upcoming(Timestamp::from_unix_seconds(after), COUNT);
    due.into_iter().map(Timestamp::unix_seconds).collect()
}

fn theirs(expression: &str, zone: &str, after: i64) -> Vec<i64> {
    let crontab = parse_crontab(&format!("{expression} {zone}")).unwrap();
    let due = crontab.iter_after(MakeTimestamp::from_second(after).unwrap()).unwrap();
    due.take(COUNT).map_while(Result::ok).map(|at| at.timestamp().as_second()).collect()
}

/// What both have within the span that both have told of, without the days around a change.
fn compare(expression: &str, zone: &str, after: i64) -> (Vec<i64>, Vec<i64>) {
    let (ours, theirs) = (ours(expression, zone, after), theirs(expression, zone, after));
    let last = theirs.last().or(ours.first()).map_or(after, |at| *at);
    let last = ours.last().map_or(last, |at| last.min(*at));
    let zone = jiff::tz::TimeZone::get(zone).unwrap();
    let kept = |due: Vec<i64>| {
        due.into_iter().filter(|at| *at <= last && is_calm(&zone, *at)).collect::<Vec<_>>()
    };
    (kept(ours), kept(theirs))
}

/// A field of numbers: any, a list, a range, with a step.
fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    let one = least..=most;
    let range = move || (least..=most, least..=most).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => one.prop_map(|n| n.to_string()),
        1 => (2..=most).prop_map(|step| format!("*/{step}")),
        1 => range().prop_map(|(from, to)| format!("{from}-{to}")),
        1 => (range(), 1_u32..5).prop_map(|((from, to), step)| format!("{from}-{to}/{step}")),
        1 => prop::collection::btree_set(least..=most, 1..4).prop_map(|all| {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }),
    ]
}

fn days() -> impl Strategy<Value = (String, String)> {
    let any = || Just("*".to_owned());
    let week = || {
        prop_oneof![
            field(0, 6),
            field(0, 7).prop_filter("a step of a week ends at Saturday", |one| !one.contains('/')),
            prop::sample::select(vec!["MON-FRI", "SAT,SUN", "TUE", "5#2"])
                .prop_map(ToOwned::to_owned),
        ]
    };
    let plain = |one: &String| !one.starts_with('*');
    prop_oneof![
        (field(1, 28), any()),
        (any(), week()),
        (
            field(1, 28).prop_filter("it is restricted", plain),
            week().prop_filter("so is it", plain)
        ),
        (prop::sample::select(vec!["29", "30", "31"]).prop_map(ToOwned::to_owned), any()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_due_is_what_another_cron_says(
        minute in field(0, 59),
        hour in field(0, 23),
        (day, weekday) in days(),
        month in field(1, 12),
        zone in prop::sample::select(ZONES.to_vec()),
        // From 1990 to 2037.
        after in 631_152_000_i64..2_114_380_800,
    ) {
        let expression = format!("{minute} {hour} {day} {month} {weekday}");
        // 31 of a month that has 30 days never comes.
        prop_assume!(Schedule::cron(&expression).is_ok());
        let (ours, theirs) = compare(&expression, zone, after);
        prop_assert_eq!(ours, theirs, "{} in {} after {}", expression, zone, after);
    }
}

#[test]
fn what_is_known_to_be_hard_is_the_same() {
    for (expression, zone) in [
        ("0 0 29 2 *", "Asia/Kolkata"),
        ("30 2 * * *", "Europe/Berlin"),
        ("0 12 1 * MON", "America/New_York"),
        ("59 23 L 1-11 *", "Pacific/Auckland"),
        ("0 6 * 1-11 5L", "America/Sao_Paulo"),
        ("*/7 * * * *", "Australia/Lord_Howe"),
    ] {
        for year in (1990..2037).step_by(3) {
            let after = format!("{year}-02-27T00:00:00Z").parse::<Timestamp>().unwrap();
            let (ours, theirs) = compare(expression, zone, after.unix_seconds());
            assert_eq!(ours, theirs, "{expression} in {zone}, {year}");
        }
    }
}
