//! The breaker: when it opens, how it asks again, and that the manual draws it as it is.

use artifact_triggers::delivery::Outcome;
use artifact_triggers::endpoint::{BreakerPolicy, BreakerState, EndpointPolicy, Permit};

use crate::{Place, SECOND};

const THROTTLED: Outcome = Outcome::Throttled { retry_after: None };

fn place() -> Place {
    Place::new(EndpointPolicy::default())
}

impl Place {
    fn breaker(&mut self) -> BreakerState {
        self.status().breaker
    }

    /// Lets the pause end.
    fn wait(&mut self) {
        self.now = self.state.opens_at(self.now).unwrap();
    }
}

#[test]
fn it_opens_after_so_many_failures_in_a_row() {
    let mut place = place();
    place.attempts(9, &Outcome::Transient);
    place.attempt(&Outcome::Accepted);
    place.attempts(9, &Outcome::Transient);
    assert_eq!(place.breaker(), BreakerState::Closed);
    place.attempt(&Outcome::Transient);
    assert_eq!(place.breaker(), BreakerState::Open);
    assert_eq!((place.room(), place.status().since), (0, Some(place.now)));
}

#[test]
fn it_opens_once_half_of_enough_outcomes_are_failures() {
    let mut place = place();
    for _ in 0..9 {
        place.attempt(&Outcome::Accepted);
        place.attempt(&Outcome::Transient);
    }
    place.attempt(&Outcome::Accepted);
    assert_eq!(place.breaker(), BreakerState::Closed);
    place.attempt(&Outcome::Transient);
    assert_eq!(place.breaker(), BreakerState::Open);
}

#[test]
fn what_is_older_than_the_window_does_not_count() {
    let mut place = place();
    for _ in 0..9 {
        place.attempt(&Outcome::Transient);
        place.attempt(&Outcome::Accepted);
    }
    place.pass(SECOND * 61);
    place.attempts(2, &Outcome::Transient);
    assert_eq!(place.breaker(), BreakerState::Closed);
}

#[test]
fn each_outcome_counts_as_what_it_says_of_the_endpoint() {
    for (outcome, opens) in [
        (Outcome::Transient, true),
        (THROTTLED, true),
        (Outcome::Accepted, false),
        (Outcome::Rejected, false),
        (Outcome::Gone, false),
        (Outcome::Blocked, false),
        (Outcome::Invalid, false),
    ] {
        let mut place = place();
        place.attempts(10, &outcome);
        assert_eq!(place.breaker() == BreakerState::Open, opens, "{outcome:?}");
    }
    let mut place = place();
    place.attempts(9, &Outcome::Transient);
    place.attempts(30, &Outcome::Blocked);
    place.attempt(&Outcome::Transient);
    assert_eq!(place.breaker(), BreakerState::Open, "nothing is learnt from a blocked address");
}

#[test]
fn the_pause_doubles_with_each_probe_that_fails_up_to_the_longest_and_jitter_only_adds() {
    for (fraction, fifth) in [(0.0, 0.0), (0.75, 0.15)] {
        let mut place = place();
        place.attempts(9, &Outcome::Transient);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let permit = place.state.begin(place.now);
            place.state.end(permit, Some(&Outcome::Transient), place.now, fraction);
            pauses.push(place.state.opens_at(place.now).unwrap().since(place.now).as_secs_f64());
            place.wait();
        }
        let expected = [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0];
        assert_eq!(pauses, expected.map(|pause: f64| pause + pause * fifth));
        place.attempt(&Outcome::Accepted);
        place.attempts(10, &Outcome::Transient);
        let again = place.state.opens_at(place.now).unwrap();
        assert_eq!(again.since(place.now), SECOND * 30, "it begins anew once it was closed");
    }
}

#[test]
fn a_clock_that_goes_back_makes_the_pause_no_longer() {
    let mut place = place();
    place.attempts(10, &Outcome::Transient);
    place.now = place.now.before(SECOND * 86_400);
    assert_eq!(place.state.opens_at(place.now), Some(place.now + SECOND * 30));
    place.pass(SECOND * 30);
    assert_eq!(place.room(), 1);
}

#[test]
fn one_that_is_off_never_opens() {
    let policy = EndpointPolicy::default().with_breaker(BreakerPolicy::off());
    let mut place = Place::new(policy);
    place.attempts(1_000, &Outcome::Transient);
    assert_eq!(place.breaker(), BreakerState::Closed);
}

#[test]
fn outcomes_of_attempts_from_before_it_opened_change_nothing() {
    for late in [Outcome::Accepted, Outcome::Transient] {
        let mut place = place();
        let mut before: Vec<Permit> = (0..40).map(|_| place.state.begin(place.now)).collect();
        place.attempts(10, &Outcome::Transient);
        let opened = place.status();
        let mut end_some = |place: &mut Place| {
            for permit in before.drain(..10) {
                place.state.end(permit, Some(&late), place.now, 0.9);
            }
        };
        end_some(&mut place);
        assert_eq!(
            (place.breaker(), place.status().open_until),
            (BreakerState::Open, opened.open_until)
        );
        place.wait();
        end_some(&mut place);
        assert_eq!((place.breaker(), place.room()), (BreakerState::HalfOpen, 1));
        let probe = place.state.begin(place.now);
        end_some(&mut place);
        assert_eq!(place.breaker(), BreakerState::Probing);
        place.state.end(probe, Some(&Outcome::Accepted), place.now, 0.0);
        end_some(&mut place);
        assert_eq!(place.breaker(), BreakerState::Closed);
    }
}

#[test]
fn a_probe_without_an_attempt_gives_the_probe_back() {
    let mut place = place();
    place.attempts(10, &Outcome::Transient);
    place.wait();
    let parked = place.state.begin(place.now);
    assert_eq!(place.room(), 0);
    place.state.give_back(parked, place.now);
    assert_eq!(place.room(), 1);
    let dropped = place.state.begin(place.now);
    place.state.end(dropped, None, place.now, 0.0);
    assert_eq!(place.room(), 1);
}

// The table in the manual, checked cell by cell.

fn policy_of_the_table() -> EndpointPolicy {
    EndpointPolicy::default().with_breaker(BreakerPolicy::default().with_failures(2))
}

/// An endpoint in a state, an attempt under way that counts in that state if there can be one, and
/// one from before the state was reached.
fn arrange(state: BreakerState) -> (Place, Option<Permit>, Permit) {
    let mut place = Place::new(policy_of_the_table());
    let late = place.state.begin(place.now);
    let mut current = None;
    place.attempts(2, &Outcome::Transient);
    if state != BreakerState::Open {
        place.wait();
        place.room();
    }
    match state {
        BreakerState::Open | BreakerState::HalfOpen => {}
        BreakerState::Probing => current = Some(place.state.begin(place.now)),
        BreakerState::Closed => {
            place.attempt(&Outcome::Accepted);
            current = Some(place.state.begin(place.now));
        }
    }
    assert_eq!(place.breaker(), state);
    (place, current, late)
}

/// What follows where something happens in a state; `None` if it cannot.
type Happens = fn(Place, Option<Permit>, Permit) -> Option<BreakerState>;

fn ends(mut place: Place, permit: Permit, outcome: &Outcome) -> BreakerState {
    place.state.end(permit, Some(outcome), place.now, 0.0);
    place.breaker()
}

const HAPPENINGS: [(&str, Happens); 8] = [
    ("a delivery is begun", |mut place, _, _| {
        (place.room() > 0).then(|| {
            let _in_flight = place.state.begin(place.now);
            place.breaker()
        })
    }),
    ("an attempt succeeds", |place, current, _| Some(ends(place, current?, &Outcome::Accepted))),
    ("an attempt fails, no limit is reached", |place, current, _| {
        Some(ends(place, current?, &Outcome::Transient))
    }),
    ("an attempt fails, a limit is reached", |mut place, current, _| {
        let current = current?;
        if place.breaker() == BreakerState::Closed {
            place.attempt(&Outcome::Transient);
        }
        Some(ends(place, current, &Outcome::Transient))
    }),
    ("an attempt tells nothing", |place, current, _| {
        Some(ends(place, current?, &Outcome::Blocked))
    }),
    ("an attempt is not made or not seen to its end", |mut place, current, _| {
        place.state.end(current?, None, place.now, 0.0);
        Some(place.breaker())
    }),
    ("an attempt from before ends", |place, _, late| Some(ends(place, late, &Outcome::Transient))),
    ("the pause ends", |mut place, _, _| {
        place.status().open_until.map(|until| {
            place.now = until;
            place.breaker()
        })
    }),
];

fn name(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
        BreakerState::Probing => "probing",
    }
}

#[test]
fn the_table_in_the_manual_is_what_the_code_does() {
    let mut drawn = vec![format!("| in | {} |", BreakerState::ALL.map(name).join(" | "))];
    drawn.push("|---|---|---|---|---|".to_owned());
    for (happening, happens) in HAPPENINGS {
        let cells = BreakerState::ALL.map(|state| {
            let (place, current, late) = arrange(state);
            happens(place, current, late).map_or("–", name)
        });
        drawn.push(format!("| {happening} | {} |", cells.join(" | ")));
    }
    let manual = include_str!("../../src/manual/operating.md");
    let table: Vec<&str> = manual
        .lines()
        .skip_while(|line| !line.starts_with("| in | "))
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(table, drawn);
}

#[test]
fn every_arrow_of_the_drawing_is_a_change_in_the_table() {
    let manual = include_str!("../../src/manual/operating.md");
    let arrows: Vec<(&str, &str)> = manual
        .lines()
        .filter_map(|line| line.split_once(" ──"))
        .filter_map(|(from, rest)| Some((from.trim(), rest.split_once("─▶ ")?.1.trim())))
        .collect();
    let mut changes = Vec::new();
    for state in BreakerState::ALL {
        for (_, happens) in HAPPENINGS {
            let (place, current, late) = arrange(state);
            let after = happens(place, current, late).filter(|after| *after != state);
            changes.extend(after.map(|after| (name(state), name(after))));
        }
    }
    changes.dedup();
    assert_eq!(arrows, changes);
}
