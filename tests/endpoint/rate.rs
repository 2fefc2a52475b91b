//! The rate: never too much in any window, whatever the clock does, and all of what is allowed.

use std::num::NonZeroU32;
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::Outcome;
use artifact_triggers::endpoint::{BreakerPolicy, EndpointPolicy, Rate};
use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use proptest::prelude::*;

use crate::{Place, SECOND};

fn limited(rate: Rate) -> Place {
    let policy = EndpointPolicy::default().with_breaker(BreakerPolicy::off()).with_rate(rate);
    Place::new(policy.with_concurrency(EndpointPolicy::MAX_CONCURRENCY))
}

impl Place {
    /// Begins and ends all that may be begun, at most so many.
    fn drain(&mut self, most: usize) -> usize {
        let count = self.room().min(most);
        self.attempts(count, &Outcome::Accepted);
        count
    }
}

/// In any window, both ends included, there is no more than the rate says.
fn assert_within(rate: Rate, begun: &[Timestamp]) {
    for (first, from) in begun.iter().enumerate() {
        for (count, until) in (1_u128..).zip(&begun[first..]) {
            let paid = until.since(*from).as_micros() * u128::from(rate.events);
            let most = u128::from(rate.burst) + paid / rate.per.as_micros();
            assert!(count <= most, "{count} from {from} to {until}, at most {most}");
        }
    }
}

fn rates() -> impl Strategy<Value = Rate> {
    let per = prop_oneof![Just(1_u64), Just(7), Just(1_000), Just(86_400_000), 1..100_000_u64];
    (1..2_000_u32, per, 1..50_u32).prop_map(|(events, per, burst)| {
        Rate::new(events, Duration::from_millis(per)).with_burst(burst)
    })
}

proptest! {
    #[test]
    fn no_window_has_more_than_the_burst_and_what_its_length_pays(
        rate in rates(),
        steps in prop::collection::vec((0..3_u64, 0..2_000_u64, 0..20_usize), 1..40),
    ) {
        let mut place = limited(rate);
        let mut begun = Vec::new();
        for (scale, micros, wanted) in steps {
            place.pass(Duration::from_micros(micros * 1_000_u64.pow(u32::try_from(scale).unwrap())));
            let count = place.drain(wanted);
            begun.extend(std::iter::repeat_n(place.now, count));
        }
        assert_within(rate, &begun);
    }

    #[test]
    fn what_is_given_back_unused_makes_room_but_never_too_much(
        rate in rates(),
        steps in prop::collection::vec((0..2_000_u64, 0..6_usize, 0..6_usize), 1..40),
    ) {
        let mut place = limited(rate);
        let mut used = Vec::new();
        let mut held = Vec::new();
        for (micros, wanted, returned) in steps {
            place.pass(Duration::from_micros(micros));
            for _ in 0..place.room().min(wanted) {
                held.push((place.now, place.state.begin(place.now)));
            }
            for _ in 0..returned.min(held.len()) {
                let (_, permit) = held.remove(0);
                place.state.give_back(permit, place.now);
            }
            used.extend(held.drain(..held.len() / 2).map(|(at, permit)| {
                place.state.end(permit, Some(&Outcome::Accepted), place.now, 0.0);
                at
            }));
        }
        used.sort_unstable();
        assert_within(rate, &used);
    }

    #[test]
    fn it_gives_as_much_as_another_limiter(
        // What the oracle has no rounding for: it counts in whole nanoseconds for each event.
        nanos in (1..100_000_u64).prop_map(|micros| micros * 1_000),
        burst in 1..20_u32,
        steps in prop::collection::vec((0..300_000_u64, 0..25_usize), 1..60),
    ) {
        let period = Duration::from_nanos(nanos);
        let events = 1_000;
        let mut place = limited(Rate::new(events, period * events).with_burst(burst));
        let clock = FakeRelativeClock::default();
        let quota = Quota::with_period(period).unwrap().allow_burst(NonZeroU32::new(burst).unwrap());
        let oracle = RateLimiter::direct_with_clock(quota, clock.clone());
        for (micros, wanted) in steps {
            place.pass(Duration::from_micros(micros));
            clock.advance(Duration::from_micros(micros));
            let allowed = (0..wanted).filter(|_| oracle.check().is_ok()).count();
            prop_assert_eq!(place.drain(wanted), allowed);
        }
    }

    #[test]
    fn a_clock_that_goes_back_lets_no_more_through_and_holds_up_for_no_longer(
        rate in rates().prop_filter("short", |rate| rate.per <= SECOND && rate.events > 10),
        steps in prop::collection::vec((0..100_000_u64, 0..10_000_000_u64, 0..20_usize), 1..40),
    ) {
        let mut place = limited(rate);
        let mut truth = place.now;
        let mut begun = Vec::new();
        for (passed, back, wanted) in steps {
            truth = truth + Duration::from_micros(passed);
            place.pass(Duration::from_micros(passed));
            place.now = place.now.before(Duration::from_micros(back.saturating_sub(5_000_000)));
            let count = place.drain(wanted);
            begun.extend(std::iter::repeat_n(truth, count));
        }
        assert_within(rate, &begun);
        place.pass(SECOND + (rate.per * rate.burst).div_f64(f64::from(rate.events)) + SECOND);
        prop_assert_eq!(place.room(), usize::try_from(rate.burst).unwrap());
    }
}

#[test]
fn nothing_is_lost_to_rounding_in_a_day() {
    // A seventh of a second is no whole number of microseconds.
    let mut place = limited(Rate::per_second(7).with_burst(2));
    let begin = place.now;
    let mut count = 0;
    while place.now.since(begin) < SECOND * 86_400 {
        count += place.drain(usize::MAX);
        place.now = place.state.opens_at(place.now).unwrap();
    }
    assert_eq!(count, 1 + 7 * 86_400);
}

#[test]
fn a_jump_ahead_gives_one_burst_and_no_more() {
    let mut place = limited(Rate::per_second(10).with_burst(5));
    assert_eq!(place.drain(usize::MAX), 5);
    place.pass(SECOND * 1_000_000);
    assert_eq!(place.drain(usize::MAX), 5);
    assert_eq!(place.room(), 0);
    let opens = place.state.opens_at(place.now).unwrap();
    assert_eq!(opens.since(place.now), Duration::from_millis(100));
}
