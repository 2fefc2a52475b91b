//! Batch: which deliveries of a trigger go in one request, and when it has enough of them.
//!
//! In: deliveries as they are made, and as they are claimed. Out: when one is due, and groups that
//! go together, filled up with what waits for company. A group is never empty; most are of one.
//!
//! One that makes a batch full is due at once and takes those before it along. It is never taken
//! along itself while others wait (rule 16 of the storage), and given back where a run has no room
//! for those before it, so whatever is enough for a batch goes at once.

use std::collections::HashMap;
use std::sync::Mutex;

use super::Core;
use crate::clock::Timestamp;
use crate::delivery::{Batch, Claimed, EndpointKey};
use crate::id::TriggerId;
use crate::payload::BatchForm;
use crate::storage::{Claim, ClaimOf, Claims, Companions};

/// The most triggers of which is known what they gather.
const MAX_KNOWN: usize = 100_000;

/// What each trigger that batches has gathered since its last batch was full, as far as this engine
/// made it. To forget it costs time: what waits then goes when it is due.
#[derive(Debug, Default)]
pub(super) struct Gathering(Mutex<HashMap<TriggerId, Gathered>>);

#[derive(Debug)]
struct Gathered {
    events: usize,
    bytes: usize,
    /// When the first of them is due, and with it the others.
    until: Timestamp,
}

impl Gathering {
    /// When a delivery that is made now is due: at once if it makes a batch full.
    pub(super) fn due(
        &self,
        trigger: TriggerId,
        batch: Batch,
        bytes: usize,
        now: Timestamp,
    ) -> Timestamp {
        let mut known = self.0.lock().expect("no code panics while it counts");
        if known.len() >= MAX_KNOWN && !known.contains_key(&trigger) {
            known.clear();
        }
        let until = now + batch.max_wait;
        let begin = || Gathered { events: 0, bytes: 0, until };
        let gathered = known.entry(trigger).or_insert_with(begin);
        // What was due has gone. A clock that was set back must not make it wait for longer.
        if gathered.until <= now || gathered.until > until {
            *gathered = begin();
        }
        gathered.events += 1;
        gathered.bytes = gathered.bytes.saturating_add(bytes);
        if gathered.events < batch.max_events && gathered.bytes < batch.max_bytes {
            return until;
        }
        known.remove(&trigger);
        now
    }
}

/// What goes in one request.
struct Group {
    members: Vec<Claimed>,
    bytes: usize,
    /// What others go with it; `None` if it goes alone.
    rule: Option<(Batch, BatchForm)>,
}

impl Group {
    fn of(claimed: Claimed, rule: Option<(Batch, BatchForm)>) -> Self {
        Self { bytes: claimed.payload.body.len(), members: vec![claimed], rule }
    }

    fn key(&self) -> (TriggerId, &EndpointKey) {
        (self.members[0].delivery.trigger, &self.members[0].delivery.endpoint)
    }

    /// Whether so many more, of so many bytes, may go with it.
    fn has_room(&self, events: usize, bytes: usize) -> bool {
        self.rule.is_some_and(|(batch, _)| {
            self.members.len() + events <= batch.max_events
                && self.bytes.saturating_add(bytes) <= batch.max_bytes
        })
    }

    /// Whether another may go with it.
    fn fits(&self, other: &Self) -> bool {
        let form = |group: &Self| group.rule.map(|(_, form)| form);
        self.key() == other.key()
            && form(self) == form(other)
            && self.has_room(other.members.len(), other.bytes)
    }

    /// Since when the first of them could be claimed.
    fn due(&self) -> Timestamp {
        self.members.iter().map(|claimed| claimed.due).min().unwrap_or(Timestamp::MAX)
    }

    /// Whether this is the first attempt of all.
    fn is_new(&self) -> bool {
        self.members.iter().all(|claimed| claimed.delivery.attempts == 1)
    }

    /// Asks for what it has room for.
    fn ask(&self, now: Timestamp) -> Option<Companions> {
        let (batch, _) = self.rule.filter(|_| self.has_room(1, 1))?;
        let (trigger, endpoint) = self.key();
        Some(Companions {
            trigger,
            endpoint: endpoint.clone(),
            until: now + batch.max_wait,
            limit: batch.max_events - self.members.len(),
            max_bytes: batch.max_bytes - self.bytes,
        })
    }

    fn take(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.members.extend(other.members);
    }
}

/// What was claimed, by the requests that it goes in.
#[derive(Default)]
struct Groups {
    going: Vec<Group>,
    /// Those that are not filled up now; they come first the next time.
    spare: Vec<Group>,
    asked: Vec<Companions>,
}

impl Groups {
    /// Asks for companions of the group that has been due for longest, and of others as far as a
    /// run may have so many deliveries.
    fn new(mut all: Vec<Group>, limit: usize, now: Timestamp) -> Self {
        all.sort_by_key(Group::due);
        let rows: usize = all.iter().map(|group| group.members.len()).sum();
        let mut left = limit.saturating_sub(rows);
        let mut groups = Self::default();
        for group in all {
            match group.ask(now) {
                Some(ask) if groups.asked.is_empty() || ask.limit <= left => {
                    left = left.saturating_sub(ask.limit);
                    groups.asked.push(ask);
                    groups.going.push(group);
                }
                Some(_) if group.is_new() => groups.spare.push(group),
                _ => groups.going.push(group),
            }
        }
        groups
    }

    /// Gives each group those that it asked for: a storage gives them one group after the other, to
    /// each as many as fit.
    fn fill(&mut self, given: Vec<Claimed>) {
        for claimed in given {
            let one = Group::of(claimed, None);
            let mut own = self.going.iter_mut().filter(|group| group.key() == one.key());
            // There is always one; were there none, it would come back once its lease runs out.
            if let Some(group) = own.find(|group| group.has_room(1, one.bytes)) {
                group.take(one);
            }
        }
    }

    /// What goes, and what is given back. A group that was not filled has nobody left to wait for,
    /// so that those of one kind go together.
    fn finish(self) -> Together {
        let mut going = merge(self.going, |_| true);
        let mut returned = Vec::new();
        for group in self.spare {
            match going.iter_mut().find(|other| other.fits(&group)) {
                Some(other) => other.take(group),
                None => returned.extend(group.members),
            }
        }
        let in_order = |mut group: Group| {
            group.members.sort_by_key(|one| (one.delivery.created_at, one.delivery.id));
            group.members
        };
        Together { going: going.into_iter().map(in_order).collect(), returned }
    }
}

/// Puts groups together that may go together, as far as they are to be.
fn merge(groups: Vec<Group>, is_to_be: impl Fn(&Group) -> bool) -> Vec<Group> {
    let mut merged: Vec<Group> = Vec::with_capacity(groups.len());
    for group in groups {
        let fits = |other: &&mut Group| is_to_be(other) && other.fits(&group);
        match merged.iter_mut().find(fits).filter(|_| is_to_be(&group)) {
            Some(other) => other.take(group),
            None => merged.push(group),
        }
    }
    merged
}

/// What was claimed, put together.
#[derive(Debug)]
pub(super) struct Together {
    /// What goes, each in one request.
    pub(super) going: Vec<Vec<Claimed>>,
    /// What is given back.
    pub(super) returned: Vec<Claimed>,
}

impl Core {
    /// Puts together what goes in one request, filled up with what waits for company: no more
    /// requests than were claimed, and no more deliveries than the limit but for one batch.
    pub(super) async fn together(
        &self,
        claimed: Vec<Claimed>,
        limit: usize,
        now: Timestamp,
    ) -> Together {
        let group = |claimed| {
            let rule = self.rule_of(&claimed);
            Group::of(claimed, rule)
        };
        let all: Vec<Group> = claimed.into_iter().map(group).collect();
        if all.iter().all(|group| group.rule.is_none()) {
            let going = all.into_iter().map(|group| group.members).collect();
            return Together { going, returned: Vec::new() };
        }
        // Those that failed together go together again.
        let all = merge(all, |group| !group.is_new());
        let mut groups = Groups::new(all, limit, now);
        let asked = std::mem::take(&mut groups.asked);
        if !asked.is_empty() {
            groups.fill(self.companions(asked, now).await.deliveries);
        }
        groups.finish()
    }

    /// How others may go with a delivery, if they may.
    fn rule_of(&self, claimed: &Claimed) -> Option<(Batch, BatchForm)> {
        if !claimed.delivery.batched {
            return None;
        }
        let batch = self.known().index.get(claimed.delivery.trigger)?.spec.policy.batch?;
        Some((batch, BatchForm::of(&claimed.payload)?))
    }

    /// Takes companions under a lease. Those who wait for them have theirs already, so they go
    /// without if the storage does not answer.
    async fn companions(&self, asked: Vec<Companions>, now: Timestamp) -> Claims {
        let claim = Claim {
            now,
            due_by: now,
            lease: self.options.lease,
            limit: asked.iter().map(|one| one.limit).sum(),
            per_endpoint: 0,
            quotas: Vec::new(),
            of: ClaimOf::Companions(asked),
        };
        self.storage.claim(claim).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::delivery::{Delivery, Lease};
    use crate::event::Scope;
    use crate::id::EventId;
    use crate::payload::Payload;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const SECOND: Duration = Duration::from_secs(1);

    fn trigger(n: u8) -> TriggerId {
        TriggerId::derived(NOW, &[&[n]])
    }

    #[test]
    fn what_makes_a_batch_full_is_due_at_once_and_the_next_one_begins_anew() {
        let gathering = Gathering::default();
        let batch = Batch::default().with_max_events(3).with_max_bytes(1_024);
        let due = |n, bytes, now| gathering.due(trigger(n), batch, bytes, now);
        let wait = batch.max_wait;
        assert_eq!([due(1, 1, NOW), due(1, 1, NOW), due(1, 1, NOW)], [NOW + wait, NOW + wait, NOW]);
        assert_eq!([due(1, 1, NOW), due(2, 1, NOW)], [NOW + wait, NOW + wait]);
        assert_eq!(due(2, 1_023, NOW), NOW, "by bytes too");
    }

    #[test]
    fn what_went_in_its_time_is_not_waited_for() {
        let gathering = Gathering::default();
        let batch = Batch::default().with_max_events(3);
        let due = |now| gathering.due(trigger(1), batch, 1, now);
        due(NOW);
        due(NOW + SECOND);
        let later = NOW + batch.max_wait;
        assert_eq!(
            [due(later), due(later), due(later)],
            [later + batch.max_wait, later + batch.max_wait, later]
        );
        due(later);
        assert_eq!(due(NOW), NOW + batch.max_wait, "a clock set back begins anew");
    }

    fn group(n: u8, due: Timestamp) -> Group {
        let (event, key) = (EventId::derived(NOW, &[]), EndpointKey::new(format!("e{n}")));
        let mut delivery = Delivery::new(event, trigger(n), Scope::root(), key, NOW);
        delivery.attempts = 1;
        let lease = Lease { delivery: delivery.id, token: 1 };
        let payload = Payload { headers: Vec::new(), body: b"{}".as_slice().into() };
        let claimed = Claimed { lease, delivery, due, payload };
        Group::of(claimed, Some((Batch::default(), BatchForm::Native)))
    }

    #[test]
    fn where_there_is_room_for_one_batch_it_is_of_what_has_been_due_for_longest() {
        let groups = Groups::new(vec![group(1, NOW + SECOND), group(2, NOW)], 2, NOW + SECOND);
        let Together { going, returned } = groups.finish();
        assert_eq!((going.len(), returned.len()), (1, 1));
        assert_eq!(going[0][0].delivery.trigger, trigger(2));
        assert_eq!(returned[0].delivery.trigger, trigger(1));
    }
}
