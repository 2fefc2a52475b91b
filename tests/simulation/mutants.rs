//! Parts that break their contract on purpose, each with the invariant that notices.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::delivery::EndpointKey;
use artifact_triggers::id::DeliveryId;
use artifact_triggers::storage::{Recorded, Settled, StorageError};

use crate::clock::ClockFault;
use crate::invariants::Invariant;
use crate::node::Life;
use crate::storage::{Answer, Call, Port};
use crate::world::{Kind, Sabotage, simulate};

/// How many seeds a mutant may survive.
const SEEDS: u64 = 200;

/// How a storage breaks its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    SettlesWithoutFencing,
    LeasesTwice,
    ForgetsSettlements,
    LosesRecords,
    CountsNoAttempts,
    IgnoresQuotas,
    GivesTooEarly,
    SettlesTwice,
    ChangesBodies,
    GivesNothing,
    SkipsTheHealthy,
    ForgetsOrder,
}

/// A storage with a flaw.
#[derive(Debug)]
struct Flawed {
    inner: Arc<dyn Port>,
    flaw: Flaw,
    calls: AtomicU64,
    tokens: Mutex<BTreeMap<DeliveryId, u64>>,
}

impl Port for Flawed {
    fn call(&self, life: Life, call: &Call) -> Result<Answer, StorageError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut call = call.clone();
        self.bend(&mut call);
        match (self.flaw, &call) {
            (Flaw::ForgetsSettlements, Call::Settle(settlements, _))
                if number.is_multiple_of(5) =>
            {
                Ok(Answer::Settled(vec![Settled::Done; settlements.len()]))
            }
            (Flaw::LosesRecords, Call::Record(records)) if number.is_multiple_of(5) => {
                Ok(Answer::Recorded(vec![Recorded::Stored; records.len()]))
            }
            (Flaw::GivesNothing, Call::Claim(_)) => {
                Ok(Answer::Claims(artifact_triggers::storage::Claims::default()))
            }
            (Flaw::SettlesTwice, Call::Settle(settlements, _)) => {
                self.inner.call(life, &call)?;
                Ok(Answer::Settled(vec![Settled::Done; settlements.len()]))
            }
            _ => {
                let answer = self.inner.call(life, &call)?;
                Ok(self.bend_back(answer))
            }
        }
    }

    fn reopen(&self) -> bool {
        self.inner.reopen()
    }
}

impl Flawed {
    /// Changes what is asked.
    fn bend(&self, call: &mut Call) {
        match (self.flaw, call) {
            (Flaw::SettlesWithoutFencing, Call::Settle(settlements, _)) => {
                for settle in settlements {
                    let latest = self.tokens.lock().unwrap();
                    settle.lease.token = latest[&settle.lease.delivery];
                }
            }
            (Flaw::LeasesTwice, Call::Claim(claim)) => claim.lease = Duration::ZERO,
            (Flaw::ForgetsOrder, Call::Record(records)) => {
                for (delivery, _) in records.iter_mut().flat_map(|one| &mut one.deliveries) {
                    delivery.turn = None;
                }
            }
            (Flaw::IgnoresQuotas, Call::Claim(claim)) => {
                claim.quotas.clear();
                claim.per_endpoint = claim.limit;
            }
            (Flaw::GivesTooEarly, Call::Claim(claim)) => {
                claim.due_by = claim.due_by + Duration::from_secs(30);
            }
            (Flaw::SkipsTheHealthy, Call::Claim(claim)) if claim.now.unix_seconds() % 120 < 60 => {
                claim.quotas.push((EndpointKey::new("https://r0.example"), 0));
                claim.quotas.sort_unstable();
            }
            _ => {}
        }
    }

    /// Changes what is answered.
    fn bend_back(&self, mut answer: Answer) -> Answer {
        let Answer::Claims(claims) = &mut answer else { return answer };
        for claimed in &mut claims.deliveries {
            self.tokens.lock().unwrap().insert(claimed.lease.delivery, claimed.lease.token);
            match self.flaw {
                Flaw::CountsNoAttempts => claimed.delivery.attempts = 1,
                Flaw::ChangesBodies if claimed.delivery.attempts > 1 => {
                    claimed.payload.body = Arc::from(&b"{}"[..]);
                }
                _ => {}
            }
        }
        answer
    }
}

macro_rules! flawed {
    ($flaw:ident) => {
        Sabotage {
            storage: Some(|inner| {
                let flaw = Flaw::$flaw;
                let (calls, tokens) = (AtomicU64::new(0), Mutex::default());
                Arc::new(Flawed { inner, flaw, calls, tokens })
            }),
            ..Sabotage::default()
        }
    };
}

/// The simulation catches it: within a few seeds, one of these invariants is broken.
fn is_caught(sabotage: Sabotage, expected: &[Invariant]) {
    let found = (0..SEEDS).find_map(|seed| {
        let outcome = simulate(seed, Kind::Memory, sabotage, false);
        outcome.violations.first().map(|violation| violation.invariant)
    });
    assert!(found.is_some_and(|found| expected.contains(&found)), "{found:?}");
}

#[test]
fn the_simulation_catches_a_storage_that_settles_without_fencing() {
    is_caught(
        flawed!(SettlesWithoutFencing),
        &[Invariant::LeasesAreExclusive, Invariant::SettledStaysSettled, Invariant::OrderIsKept],
    );
}

#[test]
fn the_simulation_catches_a_storage_that_gives_a_lease_twice() {
    is_caught(flawed!(LeasesTwice), &[Invariant::LeasesAreExclusive]);
}

#[test]
fn the_simulation_catches_a_storage_that_forgets_settlements() {
    is_caught(
        flawed!(ForgetsSettlements),
        &[
            Invariant::SettledStaysSettled,
            Invariant::LeasesAreExclusive,
            Invariant::NothingIsLost,
            Invariant::OrderIsKept,
            Invariant::PausesAreKept,
        ],
    );
}

#[test]
fn the_simulation_catches_a_storage_that_loses_what_it_acknowledged() {
    is_caught(
        flawed!(LosesRecords),
        &[Invariant::NothingIsLost, Invariant::EverythingEnds, Invariant::OrderIsKept],
    );
}

#[test]
fn the_simulation_catches_a_storage_that_does_not_count_attempts() {
    is_caught(flawed!(CountsNoAttempts), &[Invariant::AttemptsAreCounted]);
}

#[test]
fn the_simulation_catches_a_storage_that_forgets_the_order() {
    is_caught(flawed!(ForgetsOrder), &[Invariant::OrderIsKept]);
}

#[test]
fn the_simulation_catches_a_storage_that_ignores_quotas() {
    is_caught(flawed!(IgnoresQuotas), &[Invariant::LimitsHold]);
}

#[test]
fn the_simulation_catches_a_storage_that_gives_what_is_not_due() {
    is_caught(flawed!(GivesTooEarly), &[Invariant::PausesAreKept, Invariant::LeasesAreExclusive]);
}

#[test]
fn the_simulation_catches_a_storage_that_takes_settlements_of_lost_leases() {
    is_caught(
        flawed!(SettlesTwice),
        &[Invariant::LeasesAreExclusive, Invariant::SettledStaysSettled],
    );
}

#[test]
fn the_simulation_catches_a_storage_that_changes_bodies() {
    is_caught(flawed!(ChangesBodies), &[Invariant::MessagesStayTheSame]);
}

#[test]
fn the_simulation_catches_a_storage_that_gives_nothing() {
    is_caught(flawed!(GivesNothing), &[Invariant::EverythingEnds]);
}

#[test]
fn the_simulation_catches_a_storage_that_keeps_the_healthy_waiting() {
    is_caught(flawed!(SkipsTheHealthy), &[Invariant::HealthyEndpointsAreServed]);
}

#[test]
fn the_simulation_catches_a_deliverer_that_swallows_what_it_is_given() {
    let sabotage = Sabotage { swallows: true, ..Sabotage::default() };
    is_caught(sabotage, &[Invariant::NothingIsLost]);
}

#[test]
fn the_simulation_catches_a_clock_that_goes_too_fast() {
    let sabotage = Sabotage { clock: ClockFault::Fast, ..Sabotage::default() };
    is_caught(sabotage, &[Invariant::PausesAreKept]);
}

#[test]
fn the_simulation_catches_a_clock_that_wakes_nobody() {
    let sabotage = Sabotage { clock: ClockFault::Stuck, ..Sabotage::default() };
    is_caught(sabotage, &[Invariant::EverythingEnds, Invariant::HealthyEndpointsAreServed]);
}
