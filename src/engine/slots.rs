//! Slots: how many may work at once, all together and of one tenant, and how many may wait.
//!
//! In: the scope for which somebody wants to work. Out: a slot once there is one, in the order in
//! which they were asked for. Whoever waits for a share of their tenant's holds none of the
//! others'.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::event::Scope;

/// Whose a scope is: its first part. The root scope's has no name.
pub(super) fn tenant(scope: &Scope) -> &str {
    scope.ancestors().nth(1).unwrap_or_default()
}

/// The slots of all and those of each tenant.
#[derive(Debug)]
pub(super) struct Slots {
    all: Semaphore,
    of_one: usize,
    waiting_of_one: usize,
    /// The tenants that work or wait.
    by_tenant: Mutex<HashMap<String, Share>>,
}

/// What a tenant has of the slots.
#[derive(Debug)]
struct Share {
    slots: Arc<Semaphore>,
    /// How many hold a [`Member`] of it.
    members: usize,
    /// How many of them hold a [`Place`].
    waiting: usize,
}

/// The right to work, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot<'s> {
    _of_all: SemaphorePermit<'s>,
    _of_tenant: OwnedSemaphorePermit,
    _member: Member<'s>,
}

/// The right to wait, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'s>(Member<'s>);

/// One of a tenant; with the last of them what is known of the tenant goes.
#[derive(Debug)]
struct Member<'s> {
    slots: &'s Slots,
    tenant: String,
}

impl Slots {
    /// So many of all, at least one, and so many of one tenant, at least one and fewer than all if
    /// there is more than one; so many of a tenant may wait.
    pub(super) fn new(all: usize, of_one: usize, waiting_of_one: usize) -> Self {
        let all = all.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Semaphore::new(all),
            of_one: of_one.clamp(1, (all - 1).max(1)),
            waiting_of_one,
            by_tenant: Mutex::default(),
        }
    }

    /// A slot for a scope. Nothing is held once this is dropped.
    pub(super) async fn take(&self, scope: &Scope) -> Slot<'_> {
        let (member, slots) = self.join(tenant(scope));
        let of_tenant = slots.acquire_owned().await.expect("it is never closed");
        let of_all = self.all.acquire().await.expect("it is never closed");
        Slot { _of_all: of_all, _of_tenant: of_tenant, _member: member }
    }

    /// A place to wait in for a scope; `None` if as many of its tenant wait as may.
    pub(super) fn place(&self, scope: &Scope) -> Option<Place<'_>> {
        let (member, _) = self.join(tenant(scope));
        // Dropped before the member, which locks it too.
        let mut shares = self.shares();
        let share = shares.get_mut(&member.tenant)?;
        if share.waiting >= self.waiting_of_one {
            return None;
        }
        share.waiting += 1;
        drop(shares);
        Some(Place(member))
    }

    fn join(&self, tenant: &str) -> (Member<'_>, Arc<Semaphore>) {
        let mut shares = self.shares();
        let share = shares.entry(tenant.to_owned()).or_insert_with(|| Share {
            slots: Arc::new(Semaphore::new(self.of_one)),
            members: 0,
            waiting: 0,
        });
        share.members += 1;
        (Member { slots: self, tenant: tenant.to_owned() }, share.slots.clone())
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<String, Share>> {
        self.by_tenant.lock().expect("no code panics while it looks")
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(share) = self.0.slots.shares().get_mut(&self.0.tenant) {
            share.waiting -= 1;
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        let mut shares = self.slots.shares();
        if let Some(share) = shares.get_mut(&self.tenant) {
            share.members -= 1;
            if share.members == 0 {
                shares.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::poll_immediate;

    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn a_tenant_takes_no_more_than_its_share_and_the_root_scope_is_one() {
        let slots = Slots::new(5, 2, 9);
        let take = |text| slots.take(&scope(text)).now_or_never();
        let held = ["acme", "acme/platform", "", ""].map(take);
        assert!(held.iter().all(Option::is_some));
        assert!(take("acme/other").is_none());
        assert!(take("").is_none());
        let umbrella = take("umbrella");
        assert!(umbrella.is_some());
        assert!(take("last").is_none(), "there are five");
    }

    #[test]
    fn no_tenant_has_all_unless_there_is_one_only() {
        for (all, of_one, share) in [(1, 2, 1), (2, 2, 1), (3, 9, 2), (9, 0, 1), (0, 0, 1)] {
            let slots = Slots::new(all, of_one, 9);
            let held: Vec<_> =
                (0..9).filter_map(|_| slots.take(&scope("acme")).now_or_never()).collect();
            assert_eq!(held.len(), share, "{of_one} of {all}");
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_share_holds_nothing_and_gives_up_without_a_trace() {
        let (slots, acme) = (Slots::new(2, 1, 9), scope("acme"));
        let first = slots.take(&acme).await;
        let mut second = Box::pin(slots.take(&acme));
        assert!(poll_immediate(second.as_mut()).await.is_none());
        let other = slots.take(&scope("umbrella")).now_or_never();
        assert!(other.is_some());
        drop((second, first));
        assert!(slots.take(&acme).now_or_never().is_some());
        assert_eq!(slots.shares().len(), 1, "nothing is kept of who is gone");
        drop(other);
        assert!(slots.shares().is_empty());
    }

    #[test]
    fn no_more_of_a_tenant_wait_than_may() {
        let slots = Slots::new(2, 1, 2);
        let place = |text| slots.place(&scope(text));
        let acme = [place("acme"), place("acme/platform")];
        assert!(acme.iter().all(Option::is_some));
        assert!(place("acme").is_none());
        assert!(place("umbrella").is_some());
        drop(acme);
        assert!(place("acme").is_some());
        assert!(slots.shares().is_empty());
    }
}
