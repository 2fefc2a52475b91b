//! First due: when each endpoint has something to claim at the earliest, as far as this node knows,
//! so that a claim asks for those endpoints only, and begins behind what others claimed and settled
//! before.
//!
//! What this node writes it knows at once. What others write it finds when it
//! [looks](Shared::look), as part of a claim: once a second, mostly behind the place where it found
//! the first the last time, and every ten seconds from the beginning, for what was committed long
//! after it was due.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio_postgres::types::ToSql;

use super::endpoints::Numbers;
use super::{Shared, TimeSource, rows};
use crate::clock::Timestamp;
use crate::delivery::EndpointKey;
use crate::storage::{Claim, Claims, StorageError, columns};

/// How old what is known of other nodes may be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a look goes over everything.
const WHOLE_EVERY: Duration = Duration::from_secs(10);
/// How long after its time a transaction may commit and be found by the next look already.
const COMMITS_WITHIN: Duration = Duration::from_secs(2);

/// What can be claimed since a write, and from when on.
#[derive(Debug, Default)]
pub(super) struct Noted {
    endpoints: Vec<(i64, i64)>,
}

impl Noted {
    pub(super) fn push(&mut self, endpoint: i64, claim_at: i64) {
        self.endpoints.push((endpoint, claim_at));
    }

    pub(super) fn is_claimable(&self) -> bool {
        !self.endpoints.is_empty()
    }
}

/// What a node knows.
#[derive(Debug, Default)]
pub(super) struct FirstDue(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    endpoints: BTreeMap<i64, Endpoint>,
    /// When it looked last, by the clock of its callers.
    looked_at: Option<Timestamp>,
    /// When it last went over everything.
    whole_at: Option<Timestamp>,
    /// What the server's time was ahead of the callers', the last time both were known.
    skew: i64,
    /// The endpoint that was served last; next is the one behind it.
    last_served: i64,
}

#[derive(Debug)]
struct Endpoint {
    /// Not known of one that was only written to.
    key: Option<EndpointKey>,
    /// From when on something can be claimed at the earliest.
    first: i64,
    /// What of that this node wrote since it asked the last time.
    noted: i64,
    /// What is claimable from before is no longer there.
    floor: i64,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { key: None, first: i64::MAX, noted: i64::MAX, floor: i64::MIN }
    }
}

/// What to ask of an endpoint.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) endpoint: i64,
    pub(super) floor: i64,
    pub(super) room: i64,
}

impl FirstDue {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no code panics while it holds what is due")
    }

    /// Takes in which endpoints there are.
    pub(super) fn name(&self, numbers: &Numbers) {
        let mut content = self.lock();
        for (key, number) in numbers {
            let endpoint = content.endpoints.entry(*number).or_default();
            endpoint.key.get_or_insert_with(|| key.clone());
        }
    }

    fn note(&self, noted: &Noted) {
        let mut content = self.lock();
        for (endpoint, at) in &noted.endpoints {
            let known = content.endpoints.entry(*endpoint).or_default();
            known.first = known.first.min(*at);
            known.noted = known.noted.min(*at);
            known.floor = known.floor.min(*at);
        }
    }

    /// Has the next claim look what others wrote.
    pub(super) fn look_again(&self) {
        self.lock().looked_at = None;
    }

    /// Has the next claim go over everything.
    fn look_over_all(&self) {
        let mut content = self.lock();
        (content.looked_at, content.whole_at) = (None, None);
    }

    /// Whether it is time to look what others wrote.
    fn is_old(&self, now: Timestamp, every: Duration) -> bool {
        let content = self.lock();
        content.looked_at.is_none_or(|at| now < at || at + every <= now)
            || content.endpoints.values().any(|endpoint| endpoint.key.is_none())
    }

    /// From where on to look: each endpoint with its floor; none for everything.
    fn floors(&self, now: Timestamp, whole_every: Duration) -> (Vec<i64>, Vec<i64>) {
        let mut content = self.lock();
        // Before it looks, so that who says meanwhile that there is more is heard.
        content.looked_at = Some(now);
        let is_whole = content.whole_at.is_none_or(|at| now < at || at + whole_every <= now);
        if is_whole {
            content.whole_at = Some(now);
            content.endpoints.retain(|_, endpoint| endpoint.first < i64::MAX);
        }
        let known = content.endpoints.iter_mut();
        let of = |(id, endpoint): (&i64, &mut Endpoint)| {
            endpoint.noted = i64::MAX;
            (*id, if is_whole { i64::MIN } else { endpoint.floor })
        };
        known.map(of).unzip()
    }

    /// What to ask for, in turn: endpoints that may have something due.
    pub(super) fn ask(&self, claim: &Claim) -> Vec<Asked> {
        let quotas: HashMap<_, _> = claim.quotas.iter().map(|(key, quota)| (key, *quota)).collect();
        let mut content = self.lock();
        let by = claim.due_by.unix_micros() + content.skew;
        let last = content.last_served;
        let mut asked = Vec::new();
        let ranges =
            [(Bound::Excluded(last), Bound::Unbounded), (Bound::Unbounded, Bound::Included(last))];
        for range in ranges {
            for (id, endpoint) in content.endpoints.range_mut(range) {
                let quota = quota(endpoint, &quotas, claim);
                if quota > 0 && endpoint.first <= by && endpoint.key.is_some() {
                    endpoint.noted = i64::MAX;
                    let room = columns::integer(quota.min(claim.limit));
                    asked.push(Asked { endpoint: *id, floor: endpoint.floor, room });
                }
            }
        }
        asked
    }

    /// Takes in when each endpoint has something next, as it was at a time of the server's.
    pub(super) fn found(&self, next: &[(i64, Option<i64>)], at: i64) {
        let mut content = self.lock();
        for (id, next) in next {
            if let Some(endpoint) = content.endpoints.get_mut(id) {
                endpoint.first = next.unwrap_or(i64::MAX).min(endpoint.noted);
                let settled = at.saturating_sub(rows::span(COMMITS_WITHIN));
                endpoint.floor = endpoint.first.min(settled);
            }
        }
    }

    /// Tells what was left of each endpoint that was not skipped.
    pub(super) fn tell_left(&self, claim: &Claim, claims: &mut Claims) {
        let quotas: HashMap<_, _> = claim.quotas.iter().map(|(key, quota)| (key, *quota)).collect();
        let content = self.lock();
        for endpoint in content.endpoints.values() {
            if endpoint.first < i64::MAX && quota(endpoint, &quotas, claim) > 0 {
                let next = Timestamp::from_unix_micros(endpoint.first.saturating_sub(content.skew));
                claims.note_left(Some(next), claim.due_by);
            }
        }
    }

    /// Takes in which endpoint was served last, and what time it was for both.
    pub(super) fn served(&self, last: Option<i64>, server: i64, caller: Timestamp) {
        let mut content = self.lock();
        content.skew = server - caller.unix_micros();
        content.last_served = last.unwrap_or(content.last_served);
    }
}

fn quota(endpoint: &Endpoint, quotas: &HashMap<&EndpointKey, usize>, claim: &Claim) -> usize {
    let own = endpoint.key.as_ref().and_then(|key| quotas.get(key));
    own.copied().unwrap_or(claim.per_endpoint)
}

impl Shared {
    /// Takes in what was written.
    pub(super) fn note(&self, noted: &Noted) {
        self.first_due.note(noted);
    }

    /// Looks what others wrote, if that is not known.
    pub(super) async fn look(&self, now: Timestamp) -> Result<(), StorageError> {
        // A caller whose time jumps cannot rely on what was found in another.
        let (every, whole_every) = match self.database.time {
            TimeSource::Server => (LOOK_EVERY, WHOLE_EVERY),
            TimeSource::Caller => (Duration::ZERO, Duration::ZERO),
        };
        if !self.first_due.is_old(now, every) {
            return Ok(());
        }
        let (ids, floors) = self.first_due.floors(now, whole_every);
        let sql = "SELECT e.id, e.key, first.claim_at,
                       coalesce($3, {now})
                   FROM {s}.endpoints e
                   LEFT JOIN unnest($1::bigint[], $2::bigint[]) AS f(id, floor) ON f.id = e.id
                   CROSS JOIN LATERAL (
                       SELECT d.claim_at FROM {s}.deliveries d
                       WHERE d.endpoint = e.id AND d.claim_at >= coalesce(f.floor, $4)
                       ORDER BY d.claim_at LIMIT 1) AS first";
        let values: [&(dyn ToSql + Sync); 4] = [&ids, &floors, &self.database.now(now), &i64::MIN];
        let found = self.database.query(sql, &values).await;
        let found = found.inspect_err(|_| self.first_due.look_over_all())?;
        let mut next = Vec::with_capacity(found.len());
        let mut at = i64::MIN;
        {
            let mut content = self.first_due.lock();
            for row in &found {
                let (id, key): (i64, &str) = (rows::get(row, 0)?, rows::get(row, 1)?);
                let endpoint = content.endpoints.entry(id).or_default();
                endpoint.key.get_or_insert_with(|| EndpointKey::new(key));
                next.push((id, Some(rows::get(row, 2)?)));
                at = rows::get(row, 3)?;
            }
            if at > i64::MIN {
                content.skew = at - now.unix_micros();
            }
        }
        // Those that were asked for and have nothing.
        let with: HashSet<i64> = next.iter().map(|(id, _)| *id).collect();
        next.extend(ids.into_iter().filter(|id| !with.contains(id)).map(|id| (id, None)));
        self.first_due.found(&next, at);
        Ok(())
    }
}
