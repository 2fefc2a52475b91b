//! Whatever is begun, ends and passes: the limits hold, and what is closed says when it opens.

use std::time::Duration;

use artifact_triggers::delivery::{DeliveryPolicy, Outcome};
use artifact_triggers::endpoint::{BreakerPolicy, BreakerState, EndpointPolicy, Permit, Rate};
use proptest::prelude::*;

use crate::{Place, SECOND};

#[derive(Debug, Clone)]
enum Step {
    Pass(Duration),
    Begin(usize),
    /// Begins one whether there is room or not, as a storage might that knows no quota.
    Force,
    End(usize, Option<Outcome>),
    GiveBack(usize),
}

fn outcomes() -> impl Strategy<Value = Option<Outcome>> {
    let throttled = |seconds| {
        let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds));
        Some(Outcome::Throttled { retry_after })
    };
    prop_oneof![
        3 => Just(Some(Outcome::Accepted)),
        4 => Just(Some(Outcome::Transient)),
        2 => (0..400_u64).prop_map(throttled),
        1 => prop::sample::select(vec![
            Outcome::Gone, Outcome::Rejected, Outcome::Blocked, Outcome::Invalid,
        ]).prop_map(Some),
        1 => Just(None),
    ]
}

fn steps(forced: u32) -> impl Strategy<Value = Vec<Step>> {
    let millis = prop_oneof![0..2_000_u64, 0..100_000_u64, 0..10_000_000_u64];
    let step = prop_oneof![
        3 => millis.prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        4 => (1..5_usize).prop_map(Step::Begin),
        forced => Just(Step::Force),
        6 => (any::<usize>(), outcomes()).prop_map(|(which, outcome)| Step::End(which, outcome)),
        1 => any::<usize>().prop_map(Step::GiveBack),
    ];
    prop::collection::vec(step, 1..150)
}

fn policies() -> impl Strategy<Value = EndpointPolicy> {
    let rate = prop::option::of((1..100_u32, 1..20_u32));
    (1..12_usize, rate, 1..6_u32).prop_map(|(concurrency, rate, failures)| {
        let breaker = BreakerPolicy::default()
            .with_failures(failures)
            .with_ratio(50, 6, SECOND * 10)
            .with_pauses(SECOND * 3, SECOND * 20);
        let policy = EndpointPolicy::default().with_concurrency(concurrency).with_breaker(breaker);
        match rate {
            Some((events, burst)) => policy.with_rate(Rate::per_second(events).with_burst(burst)),
            None => policy,
        }
    })
}

/// A permit, and whether it is of a probe.
type Held = (Permit, bool);

fn begin(place: &mut Place, held: &mut Vec<Held>) {
    let is_probe = place.status().breaker == BreakerState::HalfOpen;
    held.push((place.state.begin(place.now), is_probe));
}

fn take(place: &mut Place, held: &mut Vec<Held>, step: Step) {
    match step {
        Step::Pass(span) => place.pass(span),
        Step::Begin(wanted) => {
            for _ in 0..wanted.min(place.room()) {
                begin(place, held);
            }
        }
        Step::Force => begin(place, held),
        Step::End(which, outcome) if !held.is_empty() => {
            let (permit, _) = held.swap_remove(which % held.len());
            place.state.end(permit, outcome.as_ref(), place.now, 0.5);
        }
        Step::GiveBack(which) if !held.is_empty() => {
            let (permit, _) = held.swap_remove(which % held.len());
            place.state.give_back(permit, place.now);
        }
        Step::End(..) | Step::GiveBack(_) => {}
    }
}

fn check(place: &mut Place, policy: &EndpointPolicy, held: &[Held]) {
    let status = place.status();
    let room = place.room();
    assert_eq!(status.in_flight, held.len());
    assert!((1..=policy.concurrency).contains(&status.allowed), "{status:?}");
    assert!(room <= status.allowed.saturating_sub(held.len()), "{room} with {status:?}");
    let probes = held.iter().filter(|(_, is_probe)| *is_probe).count();
    match status.breaker {
        BreakerState::Probing => assert_eq!((probes, room), (1, 0), "{status:?}"),
        BreakerState::HalfOpen => assert!(probes == 0 && room <= 1, "{status:?}"),
        BreakerState::Open => assert_eq!((probes, room), (0, 0), "{status:?}"),
        BreakerState::Closed => assert_eq!(probes, 0, "{status:?}"),
    }
    if status.resting_until.is_some() {
        assert_eq!(room, 0, "{status:?}");
    }
    if let Some(opens) = place.state.opens_at(place.now) {
        assert!(room == 0 && opens > place.now, "{status:?}");
        let instant = Duration::from_micros(1);
        assert_eq!(place.clone().state.room(opens.before(instant)), 0, "{status:?}");
        assert!(place.clone().state.room(opens) > 0, "{status:?} at {opens}");
    } else if room == 0 {
        assert!(!held.is_empty(), "nothing will ever open {status:?}");
    }
}

proptest! {
    #[test]
    fn there_is_never_more_than_allowed_nor_a_second_probe(
        policy in policies(), steps in steps(0),
    ) {
        let mut place = Place::new(policy.clone());
        let mut held = Vec::new();
        for step in steps {
            take(&mut place, &mut held, step);
            check(&mut place, &policy, &held);
            // What is in flight may exceed what is allowed only by what was begun before.
            prop_assert!(held.len() <= policy.concurrency);
        }
    }

    #[test]
    fn one_that_is_begun_without_room_is_no_second_probe(
        policy in policies(), steps in steps(2),
    ) {
        let mut place = Place::new(policy.clone());
        let mut held = Vec::new();
        for step in steps {
            take(&mut place, &mut held, step);
            check(&mut place, &policy, &held);
        }
    }

    #[test]
    fn once_nothing_happens_for_a_day_nothing_is_remembered(
        policy in policies(), steps in steps(1),
    ) {
        let mut place = Place::new(policy.clone());
        let mut held = Vec::new();
        for step in steps {
            take(&mut place, &mut held, step);
        }
        for (permit, _) in held.drain(..) {
            prop_assert!(!place.state.is_idle(place.now));
            place.state.end(permit, None, place.now, 0.0);
        }
        // First the pause ends, then the rest is forgotten.
        place.pass(DeliveryPolicy::MAX_RETRY_AFTER);
        place.room();
        place.pass(DeliveryPolicy::MAX_RETRY_AFTER);
        prop_assert!(place.state.is_idle(place.now));
        let mut fresh = Place::new(policy);
        prop_assert_eq!(place.room(), fresh.room());
    }
}

#[test]
fn defect_12_retry_after_is_a_floor_that_is_capped_and_jitter_only_adds() {
    let day = DeliveryPolicy::MAX_RETRY_AFTER;
    for (wanted, kept) in
        [(SECOND * 60, SECOND * 60), (SECOND * 10_000_000, day), (Duration::MAX, day)]
    {
        for fraction in [0.0, 0.5, 0.999] {
            let mut place = Place::new(EndpointPolicy::default());
            let permit = place.state.begin(place.now);
            let outcome = Outcome::Throttled { retry_after: Some(wanted) };
            place.state.end(permit, Some(&outcome), place.now, fraction);
            let opens = place.state.opens_at(place.now).unwrap();
            let rest = opens.since(place.now);
            assert!(rest >= kept && rest <= kept.mul_f64(1.2), "{wanted:?} gave {rest:?}");
            assert_eq!(place.state.room(opens.before(Duration::from_micros(1))), 0);
            assert_eq!(place.state.room(opens), 64);
        }
    }
}

#[test]
fn a_shorter_retry_after_does_not_cut_a_longer_one_short() {
    let mut place = Place::new(EndpointPolicy::default());
    for seconds in [100, 10] {
        place.attempt(&Outcome::Throttled { retry_after: Some(Duration::from_secs(seconds)) });
    }
    assert_eq!(place.state.opens_at(place.now), Some(place.now + SECOND * 100));
}

#[test]
fn an_endpoint_that_asks_for_less_gets_half_and_then_one_more_for_each_success() {
    let throttled = Outcome::Throttled { retry_after: None };
    let policy = EndpointPolicy::default().with_concurrency(9).with_breaker(BreakerPolicy::off());
    let mut place = Place::new(policy);
    let flock: Vec<_> = (0..9).map(|_| place.state.begin(place.now)).collect();
    for permit in flock {
        place.state.end(permit, Some(&throttled), place.now, 0.0);
    }
    // All of them began before it said so first.
    assert_eq!(place.state.allowed(), 4);
    let mut seen = Vec::new();
    for outcome in [&throttled, &throttled, &throttled, &Outcome::Accepted, &Outcome::Rejected] {
        place.attempt(outcome);
        seen.push(place.state.allowed());
    }
    assert_eq!(seen, [2, 1, 1, 2, 3]);
    place.attempts(20, &Outcome::Accepted);
    assert_eq!(place.state.allowed(), 9);
    assert_eq!(place.room(), 9);
}
