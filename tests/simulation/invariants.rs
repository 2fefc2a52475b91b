//! What must hold in every run, whatever happens.

use std::fmt;

use artifact_triggers::clock::Timestamp;

/// A rule, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    NothingIsLost = 1,
    SettledStaysSettled = 2,
    OrderIsKept = 3,
    HealthyEndpointsAreServed = 4,
    LimitsHold = 5,
    EverythingEnds = 6,
    MemoryIsBounded = 7,
    MessagesStayTheSame = 8,
    PausesAreKept = 9,
    AttemptsAreCounted = 10,
    LeasesAreExclusive = 11,
    DeadLettersAreTold = 12,
    EnginesRest = 13,
    NothingIsDoubledForNothing = 14,
    DisabledOnlyIfFailing = 15,
    JobsEnd = 16,
    BatchesAreWhole = 17,
    BurstsGoOnce = 18,
    SchedulesFireOnce = 19,
}

impl Invariant {
    pub(crate) const ALL: [(Self, &'static str); 19] = [
        (
            Self::NothingIsLost,
            "What was acknowledged is delivered to each trigger that wanted it, or dead, parked or \
             cancelled for a reason that happened; and what is logged is what happened.",
        ),
        (
            Self::SettledStaysSettled,
            "A delivery that has ended is not claimed, attempted or settled again, unless it is \
             replayed.",
        ),
        (
            Self::OrderIsKept,
            "Where an order is promised, one delivery of a key goes at a time, in the order in which \
             they were recorded, and nothing overtakes one that blocks.",
        ),
        (
            Self::HealthyEndpointsAreServed,
            "If nothing fails but other endpoints, a healthy one hears within a second and 150 ms \
             for each delivery before it, plus how long it may wait for others to go with, plus the time-outs of one round of the others if these \
             can take all slots.",
        ),
        (
            Self::LimitsHold,
            "No endpoint has more attempts in flight from an engine than it may, or in any span of \
             time, or more than one while it fails; and no claim gives more than it was asked for.",
        ),
        (
            Self::EverythingEnds,
            "Once faults have stopped, every delivery comes to an end within its schedule, unless it \
             waits behind one that blocks.",
        ),
        (
            Self::MemoryIsBounded,
            "An engine holds no more deliveries, attempts and timers than its options allow.",
        ),
        (
            Self::MessagesStayTheSame,
            "Every attempt of a delivery has the message id and the body that were recorded.",
        ),
        (
            Self::PausesAreKept,
            "No attempt is made before the pause of the policy, or what Retry-After asks for, has \
             passed.",
        ),
        (
            Self::AttemptsAreCounted,
            "No delivery has more attempts than its schedule, and each attempt a lease of its own.",
        ),
        (
            Self::LeasesAreExclusive,
            "A delivery has at most one lease that has not run out, only the latest settles it, and no \
             attempt begins under one that has run out.",
        ),
        (
            Self::DeadLettersAreTold,
            "A dead letter of a published event is told as an event, in one with its settlement.",
        ),
        (Self::EnginesRest, "Nothing works for ever without time passing."),
        (
            Self::NothingIsDoubledForNothing,
            "If nothing fails on our side, no delivery is attempted twice at once, or again after \
             it was accepted.",
        ),
        (
            Self::DisabledOnlyIfFailing,
            "A trigger is disabled only after its span of failure without a break, and gets nothing \
             then: what comes for it is parked.",
        ),
        (
            Self::JobsEnd,
            "A replay or a backfill comes to its end, and has tried again all that was dead or parked \
             when it began, or made all that was missing then.",
        ),
        (
            Self::BatchesAreWhole,
            "What goes in one request is of one trigger that batches and one endpoint, no more than its \
             policy allows, and alone or in an array as it says.",
        ),
        (
            Self::BurstsGoOnce,
            "Of what stands for each other one waits, no two go within a span that one may, and nothing \
             is superseded but by what goes in its place.",
        ),
        (
            Self::SchedulesFireOnce,
            "A schedule is fired once for each due time, not before that, and none is left out; each \
             firing is sent to its trigger.",
        ),
    ];

    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn sentence(self) -> &'static str {
        Self::ALL.iter().find(|(one, _)| *one == self).expect("each has a sentence").1
    }
}

/// Something that must not be.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) at: Timestamp,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, sentence) = (self.invariant.number(), self.invariant.sentence());
        write!(f, "{}: {}\n  breaks invariant {number}: {sentence}", self.at, self.what)
    }
}
