//! Triggers: created, changed and deleted in the storage and in the index that matches them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Core, Engine};
use crate::delivery::Batch;
use crate::document::{Problems, cut};
use crate::event::Scope;
use crate::id::TriggerId;
use crate::signature::Scheme;
use crate::storage::{StorageError, TriggerChange, TriggerState, TriggerWrite};
use crate::trigger::index::TriggerIndex;
use crate::trigger::{SuspendReason, Target, Trigger, TriggerSpec};

/// How many changes are read at once.
pub(super) const PAGE: usize = 1_000;
/// How often a change is made anew when another one comes in between.
const TRIES: usize = 8;

/// What an engine knows of the triggers that are stored.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) index: TriggerIndex,
    /// Why each of those that cannot be read is not in the index.
    pub(super) unreadable: BTreeMap<TriggerId, String>,
}

impl Known {
    /// Takes in what has become of a trigger. Of one that cannot be read no older revision stays:
    /// the newer one may have disabled it, or sent it elsewhere.
    fn apply(&mut self, id: TriggerId, state: TriggerState) {
        self.unreadable.remove(&id);
        match state {
            TriggerState::Stored(trigger) => self.index.insert(trigger),
            TriggerState::Deleted => self.index.remove(id),
            TriggerState::Unreadable { reason } => {
                self.index.remove(id);
                self.unreadable.insert(id, reason);
            }
        }
    }
}

/// Why a trigger was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TriggerError {
    /// The spec breaks a rule; nothing was stored.
    #[error("trigger {name:?}: {problems}")]
    Invalid {
        /// The trigger's name.
        name: String,
        /// What is wrong with it.
        problems: Problems,
    },
    /// Somebody else changed it first, its name is taken, it is not there, or the storage did not
    /// answer. Nothing was changed, or in the last case perhaps.
    #[error("the trigger could not be stored")]
    Storage(#[from] StorageError),
}

impl Engine {
    /// Stores a new trigger. It sees what is published from now on.
    ///
    /// # Errors
    /// [`TriggerError`].
    pub async fn create_trigger(&self, spec: TriggerSpec) -> Result<Arc<Trigger>, TriggerError> {
        let spec = self.core.good(spec)?;
        let now = self.core.clock.now();
        let id = TriggerId::new(now, &*self.core.entropy);
        let trigger = Arc::new(Trigger::new(id, spec, now));
        self.core.write_trigger(TriggerWrite::Create(trigger.clone())).await?;
        Ok(trigger)
    }

    /// Stores a trigger, or brings the one of its name and scope up to date. For registries that
    /// bring their triggers along: triggers are stored, and are there at the next start.
    ///
    /// # Errors
    /// [`TriggerError`].
    pub async fn ensure_trigger(&self, spec: TriggerSpec) -> Result<Arc<Trigger>, TriggerError> {
        let spec = self.core.good(spec)?;
        let mut tries = 0;
        loop {
            self.core.refresh().await?;
            let stored = match self.core.named(&spec.scope, &spec.name) {
                Some(there) if there.spec == spec => return Ok(there),
                Some(there) => self.update_trigger(there.id, there.revision, spec.clone()).await,
                None => self.create_trigger(spec.clone()).await,
            };
            tries += 1;
            match stored {
                Err(TriggerError::Storage(
                    StorageError::Conflict { .. } | StorageError::NotFound { .. },
                )) if tries < TRIES => {}
                stored => return stored,
            }
        }
    }

    /// Puts a new spec in the place of the one of a revision. Waiting deliveries go where the new
    /// spec says. All that the new spec holds is meant for where it says, whatever was there
    /// before: for a change by who does not see secrets there is
    /// [`revise_trigger`](Self::revise_trigger). What the engine had suspended stays so until it is
    /// [enabled](Self::enable_trigger).
    ///
    /// # Errors
    /// [`TriggerError`]; [`StorageError::Conflict`] if the trigger is not at that revision.
    pub async fn update_trigger(
        &self,
        id: TriggerId,
        revision: u64,
        spec: TriggerSpec,
    ) -> Result<Arc<Trigger>, TriggerError> {
        let spec = self.core.good(spec)?;
        let current = self.core.fresh(id).await?;
        if current.revision != revision {
            return Err(StorageError::changed(id, revision, current.revision).into());
        }
        let suspended = current.suspended;
        let trigger = Arc::new(current.changed(spec, suspended, self.core.clock.now()));
        Ok(self.core.replace(trigger).await?)
    }

    /// Enables a trigger, also one that the engine suspended. What was parked meanwhile stays so
    /// until it is [replayed](Self::replay).
    ///
    /// # Errors
    /// [`StorageError::NotFound`] and others.
    pub async fn enable_trigger(&self, id: TriggerId) -> Result<Arc<Trigger>, StorageError> {
        self.core
            .change(id, |_, spec, suspended| {
                spec.enabled = true;
                *suspended = None;
            })
            .await
    }

    /// Takes a trigger from work. What happens meanwhile is not delivered; what waits is parked
    /// when it comes due.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] and others.
    pub async fn disable_trigger(&self, id: TriggerId) -> Result<Arc<Trigger>, StorageError> {
        self.core.change(id, |_, spec, _| spec.enabled = false).await
    }

    /// Deletes a trigger, also one that [cannot be read](Self::unreadable_triggers). What waits is
    /// cancelled when it comes due; a dead letter that others are queued behind is discarded by a
    /// [`run`](Self::run), so that they come due.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] and others.
    pub async fn delete_trigger(&self, id: TriggerId) -> Result<(), StorageError> {
        self.core.write_trigger(TriggerWrite::Delete(id)).await
    }

    /// The trigger of an id, if it belongs to the scope given or one below it.
    pub fn trigger(&self, scope: &Scope, id: TriggerId) -> Option<Arc<Trigger>> {
        let trigger = self.core.known().index.get(id).cloned();
        trigger.filter(|trigger| scope.contains(&trigger.spec.scope))
    }

    /// The triggers at and below a scope, in the order of their ids.
    pub fn triggers(&self, scope: &Scope) -> Vec<Arc<Trigger>> {
        let known = self.core.known();
        let inside = known.index.iter().filter(|trigger| scope.contains(&trigger.spec.scope));
        let mut triggers: Vec<Arc<Trigger>> = inside.cloned().collect();
        triggers.sort_unstable_by_key(|trigger| trigger.id);
        triggers
    }

    /// The triggers that are stored and cannot be read, each with the reason, in the order of their
    /// ids and whatever their scope: it is not known.
    ///
    /// Until one is deleted, or mended in the storage, nothing goes out by it, not even by an older
    /// revision that was read before: no event matches it, and what waits is parked when it comes
    /// due.
    pub fn unreadable_triggers(&self) -> Vec<(TriggerId, String)> {
        let known = self.core.known();
        known.unreadable.iter().map(|(id, reason)| (*id, reason.clone())).collect()
    }

    /// Takes in what other nodes changed. [`run`](Self::run) does it every
    /// [`refresh`](super::EngineOptions::refresh).
    ///
    /// # Errors
    /// The storage's; the index is as it was, or has some of the changes.
    pub async fn refresh_triggers(&self) -> Result<(), StorageError> {
        self.core.refresh().await
    }
}

impl Core {
    /// A spec that may be stored, without the secrets that sign no more.
    fn good(&self, mut spec: TriggerSpec) -> Result<TriggerSpec, TriggerError> {
        self.check(&spec)?;
        spec.drop_expired(self.clock.now());
        Ok(spec)
    }

    /// Checks what only the engine knows, besides the spec itself.
    fn check(&self, spec: &TriggerSpec) -> Result<(), TriggerError> {
        let checked = spec.validate().and_then(|()| {
            Problems::gather(|problems| {
                if matches!(spec.target, Target::Webhook(_)) {
                    self.check_timeout(spec.policy.timeout, problems);
                }
                self.check_target(spec, problems);
                self.check_credentials(spec, problems);
                self.check_watch(spec, problems);
                self.check_batch(spec.policy.batch, problems);
                spec.filter.check_within(&self.options.filter_limits, "filter", problems);
                Some(())
            })
        });
        checked.map_err(|problems| TriggerError::Invalid { name: spec.name.clone(), problems })
    }

    fn check_timeout(&self, timeout: Duration, problems: &mut Problems) {
        let longest = self.options.longest_timeout();
        if timeout > longest {
            let message = format!("expected at most {longest:?}, half of the engine's lease");
            problems.add("policy.timeout", format!("{message}, found {timeout:?}"));
        }
    }

    fn check_batch(&self, batch: Option<Batch>, problems: &mut Problems) {
        let most = self.options.concurrency;
        if let Some(found) = batch.map(|batch| batch.max_events).filter(|found| *found > most) {
            let message = format!("expected at most {most}, how many a run attempts at once");
            problems.add("policy.batch.max_events", format!("{message}, found {found}"));
        }
    }

    fn check_target(&self, spec: &TriggerSpec, problems: &mut Problems) {
        match &spec.target {
            Target::Webhook(endpoint) => {
                if let Err(message) = self.deliverer.check_url(&spec.scope, &endpoint.url) {
                    problems.add("target.webhook.url", message);
                }
                if let Scheme::Signer { name } = &endpoint.scheme
                    && let Err(message) = self.check_signer(name, &spec.scope)
                {
                    problems.add("target.webhook.scheme.signer", message);
                }
            }
            Target::Action(target) => {
                let Some(action) = self.actions.get(&target.name) else {
                    let expected = "expected the name of a registered action";
                    let message = format!("{expected}, found {:?}", target.name);
                    problems.add("target.action.name", message);
                    return;
                };
                if let Err(message) = action.check_config(&target.config) {
                    problems.add("target.action.config", message);
                }
            }
        }
    }

    fn check_watch(&self, spec: &TriggerSpec, problems: &mut Problems) {
        let Some(watch) = &spec.watch else { return };
        let Some(upstream) = self.upstreams.get(&watch.upstream) else {
            let found = cut(&watch.upstream);
            let message = format!("expected the name of a registered upstream, found {found:?}");
            problems.add("watch.upstream", message);
            return;
        };
        if let Err(message) = upstream.check(&spec.scope, &watch.package) {
            problems.add("watch.package", message);
        }
    }

    fn check_signer(&self, name: &str, scope: &Scope) -> Result<(), String> {
        let signer = self.signers.get(name);
        let unknown = || format!("expected the name of a registered signer, found {:?}", cut(name));
        signer.ok_or_else(unknown)?.check(scope)
    }

    fn named(&self, scope: &Scope, name: &str) -> Option<Arc<Trigger>> {
        let is_it =
            |trigger: &&Arc<Trigger>| trigger.spec.scope == *scope && trigger.spec.name == name;
        self.known().index.iter().find(is_it).cloned()
    }

    /// Suspends a trigger as it was attempted. Nothing to do if it is gone, cannot be read, or was
    /// changed since: who changed or enabled it knows better than an answer to what it was before.
    pub(super) async fn suspend(
        &self,
        attempted: &Trigger,
        reason: SuspendReason,
    ) -> Result<(), StorageError> {
        let suspend = |current: &Trigger, _: &mut TriggerSpec, suspended: &mut Option<_>| {
            if current.revision == attempted.revision {
                *suspended = Some(reason);
            }
        };
        match self.change(attempted.id, suspend).await {
            Ok(_) | Err(StorageError::NotFound { .. } | StorageError::Corrupt { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Changes a trigger as it stands, anew if another change comes in between.
    pub(super) async fn change(
        &self,
        id: TriggerId,
        change: impl Fn(&Trigger, &mut TriggerSpec, &mut Option<SuspendReason>) + Send + Sync,
    ) -> Result<Arc<Trigger>, StorageError> {
        let mut tries = 0;
        loop {
            let current = self.fresh(id).await?;
            let (mut spec, mut suspended) = (current.spec.clone(), current.suspended);
            change(&current, &mut spec, &mut suspended);
            spec.drop_expired(self.clock.now());
            if spec == current.spec && suspended == current.suspended {
                return Ok(current);
            }
            let trigger = Arc::new(current.changed(spec, suspended, self.clock.now()));
            tries += 1;
            match self.replace(trigger).await {
                Err(StorageError::Conflict { .. }) if tries < TRIES => {}
                result => return result,
            }
        }
    }

    /// The trigger as the storage has it now.
    pub(super) async fn fresh(&self, id: TriggerId) -> Result<Arc<Trigger>, StorageError> {
        self.refresh().await?;
        let known = self.known();
        known.index.get(id).cloned().ok_or_else(|| match known.unreadable.get(&id) {
            Some(reason) => StorageError::Corrupt { reason: format!("trigger {id}: {reason}") },
            None => StorageError::no_trigger(id),
        })
    }

    async fn replace(&self, trigger: Arc<Trigger>) -> Result<Arc<Trigger>, StorageError> {
        self.write_trigger(TriggerWrite::Update(trigger.clone())).await?;
        Ok(trigger)
    }

    /// Writes a change down, and then into the index.
    pub(super) async fn write_trigger(&self, write: TriggerWrite) -> Result<(), StorageError> {
        let sealed = self.sealed(&write)?;
        // Held throughout: the index takes changes in the order in which they were written.
        let _in_order = self.applied.lock().await;
        self.storage.write_trigger(sealed).await?;
        self.tell_written(&write);
        if let TriggerWrite::Delete(id) = write {
            self.remains.note(id);
        }
        let (id, state) = match write {
            TriggerWrite::Create(trigger) | TriggerWrite::Update(trigger) => {
                (trigger.id, TriggerState::Stored(trigger))
            }
            TriggerWrite::Delete(id) => (id, TriggerState::Deleted),
        };
        self.note_outgrown(id, &state);
        self.change_known(|known| known.apply(id, state));
        self.note_fed([id]);
        Ok(())
    }

    /// Applies the changes that the index does not have.
    pub(super) async fn refresh(&self) -> Result<(), StorageError> {
        let mut applied = self.applied.lock().await;
        loop {
            let changes = self.storage.trigger_changes(*applied, PAGE).await?;
            let count = changes.len();
            if let Some(last) = changes.last() {
                *applied = last.sequence;
                let is_gone = |change: &&TriggerChange| change.trigger == TriggerState::Deleted;
                changes.iter().filter(is_gone).for_each(|change| self.remains.note(change.id));
                for change in &changes {
                    self.note_outgrown(change.id, &change.trigger);
                }
                let ids: Vec<TriggerId> = changes.iter().map(|change| change.id).collect();
                self.change_known(|known| {
                    for TriggerChange { id, trigger, .. } in changes {
                        known.apply(id, self.opened(trigger));
                    }
                });
                self.note_fed(ids);
            }
            if count < PAGE {
                return Ok(());
            }
        }
    }

    /// Takes in what a trigger looks at no more that is known and about to be changed.
    fn note_outgrown(&self, id: TriggerId, state: &TriggerState) {
        if let TriggerState::Stored(after) = state {
            let before = self.known().index.get(id).cloned();
            self.remains.note_changed(before.as_deref(), after);
        }
    }

    /// Takes in which of some triggers have a schedule to be fired or a watch to be polled. To be
    /// called while `applied` is locked.
    fn note_fed(&self, changed: impl IntoIterator<Item = TriggerId>) {
        let known = self.known();
        for id in changed {
            let trigger = known.index.get(id).filter(|trigger| trigger.spec.enabled);
            self.watches.note(id, trigger.filter(|trigger| trigger.spec.watch.is_some()));
            #[cfg(feature = "schedule")]
            self.schedules.note(id, trigger.filter(|trigger| trigger.spec.schedule.is_some()));
        }
    }
}
