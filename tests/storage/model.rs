//! Random calls, which SQLite has to answer as the memory storage does.

use artifact_triggers::delivery::DeadReason;
use artifact_triggers::storage::{Cutoff, EventQuery, TriggerWrite};
use proptest::prelude::*;

use super::batches::{batched, companions};
use super::only_sqlite::temporary;
use super::*;

/// One call, to be made of both storages.
#[derive(Debug, Clone)]
enum Call {
    Record(u32, Vec<u8>, Option<bool>),
    RecordInOrder {
        n: u32,
        key: u8,
        blocks: bool,
    },
    Claim {
        wait: u64,
        per_endpoint: usize,
    },
    RecordBatched {
        n: u32,
        triggers: Vec<u8>,
        wait: u64,
    },
    ClaimCompanions {
        trigger: u8,
        until: u64,
        limit: usize,
        max_bytes: usize,
    },
    /// Of the deliveries there are, one.
    ClaimOnly(prop::sample::Index),
    Settle {
        which: prop::sample::Index,
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
    Cursor(u8, bool),
}

fn any_call() -> impl Strategy<Value = Call> {
    let triggers = prop::collection::vec(1_u8..4, 0..3);
    prop_oneof![
        4 => (0_u32..40, triggers, any::<Option<bool>>()).prop_map(|(n, t, c)| Call::Record(n, t, c)),
        3 => (0_u64..40, 1_usize..3)
            .prop_map(|(wait, per_endpoint)| Call::Claim { wait, per_endpoint }),
        3 => (any::<prop::sample::Index>(), 0_u8..7, any::<bool>())
            .prop_map(|(which, to, stale)| Call::Settle { which, to, stale }),
        1 => (0_usize..4, 0_u8..3).prop_map(|(limit, how)| Call::Replay { limit, how }),
        3 => (0_u32..40, 0_u8..3, any::<bool>())
            .prop_map(|(n, key, blocks)| Call::RecordInOrder { n, key, blocks }),
        2 => (0_u32..40, prop::collection::vec(1_u8..4, 1..3), 0_u64..60)
            .prop_map(|(n, triggers, wait)| Call::RecordBatched { n, triggers, wait }),
        2 => (1_u8..4, 0_u64..60, 0_usize..5, 0_usize..4_000).prop_map(
            |(trigger, until, limit, max_bytes)| {
                Call::ClaimCompanions { trigger, until, limit, max_bytes }
            }
        ),
        1 => any::<prop::sample::Index>().prop_map(Call::ClaimOnly),
        3 => any_prune().prop_map(Call::Prune),
        1 => (1_u8..4, 0_u8..3, 0_u8..3).prop_map(|(n, name, how)| Call::Write { n, name, how }),
        1 => (0_u8..4, any::<bool>()).prop_map(|(k, below)| Call::Cursor(k, below)),
    ]
}

fn any_cutoff(most: u64) -> impl Strategy<Value = Cutoff> {
    let before = prop::option::of((0..most).prop_map(at));
    let at_most = prop::option::weighted(0.3, 0_usize..6);
    (before, at_most).prop_map(|(before, at_most)| Cutoff { before, at_most })
}

/// What is held, and events with deliveries, count among the newest or not, so there are none here
/// where that matters.
fn any_prune() -> impl Strategy<Value = Prune> {
    let cutoffs = prop::array::uniform4(any_cutoff(2_000));
    let contents = prop::option::weighted(0.2, (0_u64..1_000).prop_map(at));
    let held = prop::option::weighted(0.3, prop::sample::select(vec!["acme/x", "acme", "x"]));
    let limit = prop::sample::select(vec![0_usize, 1_000, 1_000, 1_000]);
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
                .with_held(held.map(|scope| scope.parse().unwrap()).into_iter().collect());
            prune.contents_before = contents;
            prune
        },
    )
}

/// What both storages are asked with: time and the leases that were given.
struct Run {
    now: Timestamp,
    leases: Vec<Lease>,
}

impl Run {
    /// Makes a call and tells all that can be seen of its answer.
    async fn make(&mut self, storage: &dyn Storage, call: &Call) -> String {
        match call {
            Call::Record(n, triggers, cursor) => {
                let cursors = cursor
                    .iter()
                    .map(|fresh| set("c/1", (!fresh).then_some("v"), fresh.then_some("v")));
                let one = Record { cursors: cursors.collect(), ..record(*n, triggers) };
                format!("{:?}", storage.record(vec![one]).await)
            }
            Call::RecordInOrder { n, key, blocks } => {
                let on_dead = if *blocks { OnDead::Block } else { OnDead::Skip };
                format!("{:?}", storage.record(vec![in_order(*n, *key, on_dead)]).await)
            }
            Call::RecordBatched { n, triggers, wait } => {
                let due = self.now + Duration::from_secs(*wait);
                format!("{:?}", storage.record(vec![batched(*n, triggers, due)]).await)
            }
            Call::ClaimCompanions { trigger, until, limit, max_bytes } => {
                let until = self.now + Duration::from_secs(*until);
                let one =
                    Companions { max_bytes: *max_bytes, ..companions(*trigger, until, *limit) };
                let of = ClaimOf::Companions(vec![one]);
                let claims = storage.claim(Claim { of, ..claim(self.now, 1_000) }).await.unwrap();
                self.leases.extend(claims.deliveries.iter().map(|claimed| claimed.lease));
                format!("{claims:?}")
            }
            Call::ClaimOnly(which) => {
                let known = storage.deliveries(everything().with_limit(1_000)).await.unwrap().items;
                if known.is_empty() {
                    return String::new();
                }
                let of = ClaimOf::One(known[which.index(known.len())].id);
                let claims = storage.claim(Claim { of, ..claim(self.now, 1) }).await.unwrap();
                self.leases.extend(claims.deliveries.iter().map(|claimed| claimed.lease));
                format!("{claims:?}")
            }
            Call::Claim { wait, per_endpoint } => {
                self.now = self.now + Duration::from_secs(*wait);
                let asked = Claim { per_endpoint: *per_endpoint, ..claim(self.now, 1_000) };
                let mut claims = storage.claim(asked).await.unwrap();
                // Whose turn it is first is not promised.
                claims.deliveries.sort_by_key(|claimed| claimed.delivery.id);
                self.leases.extend(claims.deliveries.iter().map(|claimed| claimed.lease));
                format!("{claims:?}")
            }
            Call::Settle { which, to, stale } => {
                if self.leases.is_empty() {
                    return String::new();
                }
                let mut lease = self.leases[which.index(self.leases.len())];
                lease.token -= u64::from(*stale);
                let settlement = match to {
                    0 => Settlement::Delivered,
                    1 => Settlement::Retry { at: self.now + MINUTE },
                    2 => Settlement::Dead(DeadReason::Exhausted),
                    3 => Settlement::Cancelled,
                    4 => Settlement::Parked,
                    5 => Settlement::Extended { until: self.now + 2 * MINUTE },
                    _ => Settlement::Released { at: self.now },
                };
                let one = settle(lease, settlement, 1);
                format!("{:?}", storage.settle(vec![one], self.now).await)
            }
            Call::Replay { limit, how } => {
                let query = everything().with_limit(*limit);
                let fate = match how {
                    0 => Fate::Discarded,
                    n => Fate::Again { due: self.now, spacing: MINUTE, new_message_ids: *n == 1 },
                };
                let unchanged_since =
                    (*limit == 3).then(|| self.now.before(Duration::from_secs(10)));
                let replay = Replay { query, unchanged_since, now: self.now, fate };
                format!("{:?}", storage.replay(replay).await)
            }
            Call::Prune(prune) => {
                let pruned = storage.prune(Prune { now: self.now, ..prune.clone() }).await.unwrap();
                format!("{} {} {}", pruned.deliveries, pruned.events, pruned.contents)
            }
            Call::Write { n, name, how } => {
                let one = trigger(*n, &format!("name-{name}"));
                let write = match how {
                    0 => TriggerWrite::Create(one),
                    1 => TriggerWrite::Update(Arc::new(one.changed(one.spec.clone(), None, at(1)))),
                    _ => TriggerWrite::Delete(one.id),
                };
                format!("{:?}", storage.write_trigger(write).await)
            }
            Call::Cursor(key, below) => {
                let cursors = if *below {
                    vec![CursorMove::RemoveBelow { prefix: format!("c/{key}") }]
                } else {
                    vec![set(&format!("c/{key}"), None, Some("w"))]
                };
                let n = 1_000 + u32::from(*key) * 2 + u32::from(*below);
                let one = Record { cursors, ..record(n, &[]) };
                format!("{:?}", storage.record(vec![one]).await)
            }
        }
    }
}

async fn everything_told(storage: &dyn Storage) -> String {
    let deliveries = storage.deliveries(everything().with_limit(1_000)).await.unwrap().items;
    let mut attempts = Vec::new();
    for delivery in &deliveries {
        attempts.push(storage.attempts(delivery.id).await);
    }
    let events = storage.events(EventQuery::of_scope(Scope::root()).with_limit(1_000)).await;
    let cursors = storage.cursors((0..4).map(|n| format!("c/{n}")).collect()).await;
    let changes = storage.trigger_changes(0, 1_000).await;
    let backlog = storage.backlog().await;
    format!("{backlog:?}{deliveries:?}{attempts:?}{events:?}{cursors:?}{changes:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_answers_as_the_model_does(calls in prop::collection::vec(any_call(), 1..60)) {
        runtime().block_on(answers_as_the_model(&temporary().0, &calls));
    }
}

#[cfg(feature = "postgres")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn postgres_answers_as_the_model_does(calls in prop::collection::vec(any_call(), 1..60)) {
        runtime().block_on(async {
            answers_as_the_model(&super::fresh_postgres().await, &calls).await;
        });
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn answers_as_the_model(storage: &dyn Storage, calls: &[Call]) {
    let memory = MemoryStorage::new();
    let mut runs = [0, 1].map(|_| Run { now: at(0), leases: Vec::new() });
    for call in calls {
        let expected = runs[0].make(&memory, call).await;
        let found = runs[1].make(storage, call).await;
        assert_eq!(found, expected, "{call:?}");
    }
    assert_eq!(everything_told(storage).await, everything_told(&memory).await);
}
