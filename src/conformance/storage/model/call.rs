//! Random calls, and what can be seen of their answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{array, collection, option, sample};

use super::super::Answer as _;
use super::super::samples::{
    MINUTE, at, batched, claim, companions, event, everything, in_order, record, set, settle,
    trigger, trigger_id,
};
use crate::clock::Timestamp;
use crate::delivery::{CancelReason, Claimed, DeadReason, Lease, OnDead, Settlement, StateName};
use crate::id::DeliveryId;
use crate::storage::{
    Claim, ClaimOf, Claims, Companions, CursorMove, Cutoff, Fate, Prune, Record, Replay, Storage,
    TriggerWrite,
};

/// One call, to be made of both storages. Times are spans from the call before.
#[derive(Debug, Clone)]
pub(super) enum Call {
    /// With a move of a cursor from nothing, or to nothing.
    Record {
        n: u32,
        triggers: Vec<u8>,
        cursor: Option<bool>,
    },
    RecordInOrder {
        n: u32,
        key: u8,
        on_dead: OnDead,
    },
    RecordBatched {
        n: u32,
        triggers: Vec<u8>,
        wait: u64,
    },
    RecordInstead {
        n: u32,
        key: Option<u8>,
        of: Vec<u32>,
    },
    Claim {
        wait: u64,
        per_endpoint: usize,
        skipped: Option<u8>,
    },
    ClaimCompanions {
        trigger: u8,
        until: u64,
        limit: usize,
        max_bytes: usize,
    },
    /// Of the deliveries there are, one.
    ClaimOne(sample::Index),
    /// By one of the leases that were given.
    Settle {
        which: sample::Index,
        to: u8,
        stale: bool,
    },
    Replay {
        limit: usize,
        how: u8,
    },
    Prune(Prune),
    Write {
        n: u8,
        name: u8,
        how: u8,
    },
    MoveCursor(u8),
    RemoveCursors(u8),
}

pub(super) fn any_calls() -> impl Strategy<Value = Vec<Call>> {
    collection::vec(any_call(), 1..60)
}

fn any_call() -> impl Strategy<Value = Call> {
    let triggers = |least| collection::vec(1_u8..4, least..3);
    let on_dead = prop_oneof![Just(OnDead::Skip), Just(OnDead::Block)];
    let skipped = option::weighted(0.2, 1_u8..4);
    prop_oneof![
        4 => (0_u32..40, triggers(0), any::<Option<bool>>())
            .prop_map(|(n, triggers, cursor)| Call::Record { n, triggers, cursor }),
        3 => (0_u32..40, 0_u8..3, on_dead)
            .prop_map(|(n, key, on_dead)| Call::RecordInOrder { n, key, on_dead }),
        2 => (0_u32..40, triggers(1), 0_u64..60)
            .prop_map(|(n, triggers, wait)| Call::RecordBatched { n, triggers, wait }),
        2 => (0_u32..40, option::of(0_u8..3), collection::vec(0_u32..40, 1..20))
            .prop_map(|(n, key, of)| Call::RecordInstead { n, key, of }),
        3 => (0_u64..40, 1_usize..3, skipped).prop_map(|(wait, per_endpoint, skipped)| {
            Call::Claim { wait, per_endpoint, skipped }
        }),
        2 => (1_u8..4, 0_u64..60, 0_usize..5, 0_usize..4_000).prop_map(
            |(trigger, until, limit, max_bytes)| {
                Call::ClaimCompanions { trigger, until, limit, max_bytes }
            }
        ),
        1 => any::<sample::Index>().prop_map(Call::ClaimOne),
        3 => (any::<sample::Index>(), 0_u8..7, any::<bool>())
            .prop_map(|(which, to, stale)| Call::Settle { which, to, stale }),
        1 => (0_usize..4, 0_u8..3).prop_map(|(limit, how)| Call::Replay { limit, how }),
        3 => any_prune().prop_map(Call::Prune),
        1 => (1_u8..4, 0_u8..3, 0_u8..3).prop_map(|(n, name, how)| Call::Write { n, name, how }),
        1 => (0_u8..4).prop_map(Call::MoveCursor),
        1 => (0_u8..4).prop_map(Call::RemoveCursors),
    ]
}

fn any_cutoff(most: u64) -> impl Strategy<Value = Cutoff> {
    let before = option::of((0..most).prop_map(at));
    let at_most = option::weighted(0.3, 0_usize..6);
    (before, at_most).prop_map(|(before, at_most)| Cutoff { before, at_most })
}

/// What is held, and events with deliveries, count among the newest or not, so there are none here
/// where that matters.
fn any_prune() -> impl Strategy<Value = Prune> {
    let cutoffs = array::uniform4(any_cutoff(2_000));
    let contents = option::weighted(0.2, (0_u64..1_000).prop_map(at));
    let held = option::weighted(0.3, sample::select(vec!["acme/x", "acme", "x"]));
    let limit = sample::select(vec![0_usize, 1_000, 1_000, 1_000]);
    (cutoffs, any_cutoff(60), contents, held, limit).prop_map(
        |(cutoffs, events, contents, held, limit)| {
            let unheld = |cutoff: Cutoff| Cutoff {
                at_most: cutoff.at_most.filter(|_| held.is_none()),
                ..cutoff
            };
            let [delivered, dead, parked, cancelled] = cutoffs.map(unheld);
            let mut prune = Prune::new(at(0), limit)
                .with(StateName::Delivered, delivered)
                .with(StateName::Dead, dead)
                .with(StateName::Parked, parked)
                .with(StateName::Cancelled, cancelled)
                .with_events(Cutoff { at_most: None, ..events })
                .with_held(
                    held.map(|scope| scope.parse().expect("it is a scope")).into_iter().collect(),
                );
            prune.contents_before = contents;
            prune
        },
    )
}

/// What a storage is asked with: time, and the leases that it gave.
pub(super) struct Run {
    now: Timestamp,
    leases: Vec<Lease>,
    latest: HashMap<DeliveryId, u64>,
}

impl Default for Run {
    fn default() -> Self {
        Self { now: at(0), leases: Vec::new(), latest: HashMap::new() }
    }
}

impl Run {
    /// Makes a call and tells all that can be seen of its answer.
    pub(super) async fn make(&mut self, storage: &dyn Storage, call: &Call) -> String {
        match call {
            Call::Record { .. }
            | Call::RecordInOrder { .. }
            | Call::RecordBatched { .. }
            | Call::RecordInstead { .. }
            | Call::MoveCursor(_)
            | Call::RemoveCursors(_) => {
                format!("{:?}", storage.record(vec![self.record(call)]).await)
            }
            Call::Claim { .. } | Call::ClaimCompanions { .. } | Call::ClaimOne(_) => {
                let Some(asked) = self.claim(storage, call).await else { return String::new() };
                let mut claims: Claims = storage.claim(asked).await.answer();
                if matches!(call, Call::Claim { .. }) {
                    // Whose turn it is first is not promised.
                    claims.deliveries.sort_by_key(|claimed| claimed.delivery.id);
                }
                for Claimed { lease, .. } in &mut claims.deliveries {
                    self.leases.push(*lease);
                    // Which number it is is not promised, but that it is larger than that before.
                    let before = self.latest.insert(lease.delivery, lease.token);
                    lease.token = u64::from(before < Some(lease.token));
                }
                format!("{claims:?}")
            }
            Call::Settle { which, to, stale } => {
                if self.leases.is_empty() {
                    return String::new();
                }
                let mut lease = self.leases[which.index(self.leases.len())];
                lease.token -= u64::from(*stale);
                let one = settle(lease, self.settlement(*to), 1);
                format!("{:?}", storage.settle(vec![one], self.now).await)
            }
            Call::Replay { limit, how } => {
                format!("{:?}", storage.replay(self.replay(*limit, *how)).await)
            }
            Call::Prune(prune) => {
                // A delivery that is stored again after it went begins anew.
                self.latest.clear();
                let pruned = storage.prune(Prune { now: self.now, ..prune.clone() }).await.answer();
                // Nor is it said whether a lease of it from before is one of it.
                let left = storage.deliveries(everything().with_limit(1_000)).await.answer().items;
                self.leases.retain(|lease| left.iter().any(|one| one.id == lease.delivery));
                format!("{} {} {}", pruned.deliveries, pruned.events, pruned.contents)
            }
            Call::Write { n, name, how } => {
                let one = trigger(*n, &format!("name-{name}"));
                let write = match how {
                    0 => TriggerWrite::Create(one),
                    1 => TriggerWrite::Update(Arc::new(one.changed(one.spec.clone(), None, at(1)))),
                    _ => TriggerWrite::Delete(one.id),
                };
                let answer = storage.write_trigger(write).await;
                // What is in conflict is told in words of the storage's own.
                answer.map_err(|error| kind(&error)).map_or_else(|kind| kind, |()| "Ok".to_owned())
            }
        }
    }

    fn record(&self, call: &Call) -> Record {
        match call {
            Call::Record { n, triggers, cursor } => {
                let moved = cursor
                    .iter()
                    .map(|fresh| set("c/1", (!fresh).then_some("v"), fresh.then_some("v")));
                Record { cursors: moved.collect(), ..record(*n, triggers) }
            }
            Call::RecordInOrder { n, key, on_dead } => in_order(*n, *key, *on_dead),
            Call::RecordBatched { n, triggers, wait } => {
                batched(*n, triggers, self.now + Duration::from_secs(*wait))
            }
            Call::RecordInstead { n, key, of } => {
                let own = match key {
                    Some(key) => in_order(*n, *key, OnDead::Skip),
                    None => record(*n, &[1]),
                };
                let of = of.iter().map(|n| DeliveryId::of(event(*n).id, trigger_id(1)));
                Record { supersedes: of.collect(), ..own }
            }
            Call::MoveCursor(key) => {
                Record::of_cursors(vec![set(&format!("c/{key}"), None, Some("w"))])
            }
            Call::RemoveCursors(key) => {
                Record::of_cursors(vec![CursorMove::RemoveBelow { prefix: format!("c/{key}") }])
            }
            other => unreachable!("{other:?} records nothing"),
        }
    }

    async fn claim(&mut self, storage: &dyn Storage, call: &Call) -> Option<Claim> {
        match call {
            Call::Claim { wait, per_endpoint, skipped } => {
                self.now = self.now + Duration::from_secs(*wait);
                let skip = |trigger: &u8| (super::super::samples::endpoint(*trigger), 0);
                let quotas = skipped.iter().map(skip).collect();
                let per_endpoint = *per_endpoint;
                Some(Claim { per_endpoint, quotas, ..claim(self.now, 1_000) })
            }
            Call::ClaimCompanions { trigger, until, limit, max_bytes } => {
                let until = self.now + Duration::from_secs(*until);
                let of_one = companions(*trigger, until, *limit);
                let one = Companions { max_bytes: *max_bytes, ..of_one };
                Some(Claim { of: ClaimOf::Companions(vec![one]), ..claim(self.now, 1_000) })
            }
            Call::ClaimOne(which) => {
                let all = everything().with_limit(1_000);
                let known = storage.deliveries(all).await.answer().items;
                let of = (!known.is_empty()).then(|| known[which.index(known.len())].id)?;
                Some(Claim { of: ClaimOf::One(of), ..claim(self.now, 1) })
            }
            other => unreachable!("{other:?} claims nothing"),
        }
    }

    fn settlement(&self, to: u8) -> Settlement {
        match to {
            0 => Settlement::Delivered,
            1 => Settlement::Retry { at: self.now + MINUTE },
            2 => Settlement::Dead(DeadReason::Exhausted),
            3 => Settlement::Cancelled(CancelReason::TriggerDeleted),
            4 => Settlement::Parked,
            5 => Settlement::Extended { until: self.now + 2 * MINUTE },
            _ => Settlement::Released { at: self.now },
        }
    }

    fn replay(&self, limit: usize, how: u8) -> Replay {
        let fate = match how {
            0 => Fate::Discarded,
            n => Fate::Again { due: self.now, spacing: MINUTE, new_message_ids: n == 1 },
        };
        let unchanged_since = (limit == 3).then(|| self.now.before(Duration::from_secs(10)));
        Replay { query: everything().with_limit(limit), unchanged_since, now: self.now, fate }
    }
}

/// Which error it is.
fn kind(error: &crate::storage::StorageError) -> String {
    let shown = format!("{error:?}");
    shown.split([' ', '{']).next().unwrap_or_default().to_owned()
}
