//! Claims, as they must be.

use std::collections::BTreeMap;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Claimed, EndpointKey, State};
use artifact_triggers::storage::{Claim, ClaimOf, Claims};

use super::Books;
use crate::invariants::Invariant;
use crate::node::Life;
use crate::plan::Promise;
use crate::trace::{Trace, short};

impl Books {
    pub(super) fn claim(
        &mut self,
        claim: &Claim,
        claims: &Claims,
        now: Timestamp,
        life: Life,
        trace: &Trace,
    ) {
        let mut given: BTreeMap<EndpointKey, usize> = BTreeMap::new();
        for claimed in &claims.deliveries {
            *given.entry(claimed.delivery.endpoint.clone()).or_default() += 1;
            let delivery = short(claimed.delivery.id.as_bytes());
            trace.note(
                "claim",
                &[
                    ("node", life.node),
                    ("delivery", delivery),
                    ("attempt", claimed.delivery.attempts.into()),
                ],
            );
            if let Some((invariant, what)) = self.lease(claim, claimed) {
                self.violate(now, invariant, format!("{}: {what}", claimed.delivery.id));
            }
        }
        let total = claims.deliveries.len();
        if total > claim.limit {
            let what = format!("{total} deliveries are given, more than {}", claim.limit);
            self.violate(now, Invariant::LimitsHold, what);
        }
        if let ClaimOf::Companions(asked) = &claim.of {
            let is_asked_for = |claimed: &Claimed| {
                let Claimed { delivery, .. } = claimed;
                delivery.batched
                    && asked.iter().any(|one| {
                        (one.trigger, &one.endpoint) == (delivery.trigger, &delivery.endpoint)
                    })
            };
            if !claims.deliveries.iter().all(is_asked_for) {
                let what = format!("{asked:?} is answered with others");
                self.violate(now, Invariant::LimitsHold, what);
            }
            return;
        }
        for (endpoint, count) in given {
            let own = claim.quotas.iter().find(|(key, _)| *key == endpoint);
            let most = own.map_or(claim.per_endpoint, |(_, quota)| *quota);
            if count > most {
                let what = format!("{count} deliveries of {endpoint} are given, more than {most}");
                self.violate(now, Invariant::LimitsHold, what);
            }
        }
    }

    /// Takes a claim down, and tells what is wrong with it.
    fn lease(&mut self, claim: &Claim, claimed: &Claimed) -> Option<(Invariant, String)> {
        let Some(account) = self.accounts.get_mut(&claimed.delivery.id) else {
            return Some((Invariant::MessagesStayTheSame, "it was never recorded".to_owned()));
        };
        let (found, known) = (&claimed.delivery, &mut account.delivery);
        let linger = self.promises.get(&found.trigger).map(Promise::linger).unwrap_or_default();
        let is_taken_along = matches!(claim.of, ClaimOf::Companions(_)) && known.attempts == 0;
        let soon = if is_taken_along { claim.due_by + linger } else { claim.due_by };
        let before = std::mem::replace(&mut known.state, found.state.clone());
        let counted = std::mem::replace(&mut known.attempts, found.attempts) + 1;
        if account.is_suspect {
            account.kept = found.attempts;
        }
        let token = std::mem::replace(&mut account.token, claimed.lease.token);
        let problem = match before {
            State::Waiting { due } if due > soon => {
                Some((Invariant::PausesAreKept, format!("it is claimed, but due at {due} only")))
            }
            State::Leased { until } if until > claim.due_by => {
                let what = format!("it is claimed, but leased until {until}");
                Some((Invariant::LeasesAreExclusive, what))
            }
            State::Waiting { .. } | State::Leased { .. } => None,
            State::Queued => {
                let what = format!("it is claimed before its turn, {:?}", known.turn);
                Some((Invariant::OrderIsKept, what))
            }
            ended => {
                self.open += 1;
                let what = format!("it is claimed, but {ended:?}");
                Some((Invariant::SettledStaysSettled, what))
            }
        };
        let until = claim.now + claim.lease;
        if problem.is_some() {
            return problem;
        }
        if found.state != (State::Leased { until }) || claimed.lease.token <= token {
            let what = format!("the lease is {:?}, {:?} after {token}", found.state, claimed.lease);
            return Some((Invariant::LeasesAreExclusive, what));
        }
        if found.attempts != counted {
            let what = format!("it has {} attempts, not {counted}", found.attempts);
            return Some((Invariant::AttemptsAreCounted, what));
        }
        if found.message_id != known.message_id || claimed.payload.body != account.body {
            return Some((Invariant::MessagesStayTheSame, "it is another message".to_owned()));
        }
        None
    }
}
