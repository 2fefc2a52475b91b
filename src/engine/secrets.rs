//! Secrets of triggers: rotated, sealed anew under a newer key, and kept or dropped when a trigger
//! is changed by who does not see them.

use std::sync::Arc;
use std::time::Duration;

use super::triggers::{PAGE, TriggerError};
use super::{Core, Engine};
use crate::document::Problems;
use crate::event::Scope;
use crate::id::TriggerId;
use crate::signature::standard_webhooks::SigningSecret;
use crate::storage::{StorageError, TriggerState, TriggerWrite};
use crate::trigger::{OpenError, Trigger};

/// A secret that was [rotated](Engine::rotate_secret).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rotated {
    /// The trigger as it is now.
    pub trigger: Arc<Trigger>,
    /// The new secret, for the receiver. It is told here and never again.
    pub secret: SigningSecret,
}

/// A trigger that was [changed by its JSON](Engine::revise_trigger).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Updated {
    /// The trigger as it is now.
    pub trigger: Arc<Trigger>,
    /// The paths of credentials that were stored and are no more, since they were not given anew
    /// for another origin: tell who made the change.
    pub dropped: Vec<String>,
}

/// What [`reseal`](Engine::reseal) did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resealed {
    /// How many triggers were sealed anew, or for the first time.
    pub resealed: usize,
    /// How many were sealed under the newest key already, or have nothing to seal.
    pub current: usize,
    /// Those that cannot be read. They are as they were.
    pub unreadable: Vec<TriggerId>,
}

impl Engine {
    /// Gives a trigger a new secret for signing, and lets those that it has expire after `overlap`:
    /// until then messages carry a signature by each, and receivers change over.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if there is no such trigger at or below the scope;
    /// [`TriggerError::Invalid`] if it has an action, a scheme in which not each of several
    /// `whsec_` secrets signs, a secret that a provider holds or of another form, or as many
    /// secrets as may be; [`StorageError::Conflict`] if it was changed meanwhile.
    pub async fn rotate_secret(
        &self,
        scope: &Scope,
        id: TriggerId,
        overlap: Duration,
    ) -> Result<Rotated, TriggerError> {
        let current = self.core.fresh_of(scope, id).await?;
        let secret = SigningSecret::generate_with(&*self.core.entropy);
        let end = self.core.clock.now() + overlap;
        let mut rotated = current.spec.clone();
        rotated.rotate_secret(&secret, end);
        Problems::gather(|problems| {
            current.spec.check_rotation(problems);
            Some(())
        })
        .and_then(|()| rotated.validate())
        .map_err(|problems| TriggerError::Invalid { name: rotated.name.clone(), problems })?;
        let trigger = self.update_trigger(id, current.revision, rotated).await?;
        Ok(Rotated { trigger, secret })
    }

    /// Changes a trigger by the [JSON](crate::manual::wire_format) of a trigger or a spec in which
    /// secrets may stand as they are shown: what is `[redacted]` or absent stays as it is stored.
    /// The trigger's times, revision and suspension stay, whatever is said of them. If the URL's
    /// origin is another one, it does not: credentials for one origin never go to another unless
    /// they are given anew. For management APIs, whose users do not see what is stored.
    ///
    /// # Errors
    /// [`TriggerError`], also for a scope that is not at or below the one given;
    /// [`StorageError::Conflict`] if the trigger is not at that revision, and
    /// [`StorageError::NotFound`] if there is none at or below the scope.
    pub async fn revise_trigger(
        &self,
        scope: &Scope,
        id: TriggerId,
        revision: u64,
        json: &[u8],
    ) -> Result<Updated, TriggerError> {
        let current = self.core.fresh_of(scope, id).await?;
        let revised = current.revised(json).map_err(|problems| {
            let name = current.spec.name.clone();
            TriggerError::Invalid { name, problems }
        })?;
        if !scope.contains(&revised.spec.scope) {
            let problems = Problems::at("scope", format!("expected one at or below {scope:?}"));
            return Err(TriggerError::Invalid { name: revised.spec.name, problems });
        }
        let trigger = self.update_trigger(id, revision, revised.spec).await?;
        Ok(Updated { trigger, dropped: revised.dropped })
    }

    /// Seals anew what is sealed under another key than the
    /// [sealer](super::EngineBuilder::sealer)'s newest, or not at all. Each trigger that it writes
    /// gets a new revision and is otherwise the same. Once it answers that nothing is unreadable,
    /// older keys can be taken away on all nodes. It can be called at any time, by several nodes at
    /// once, and again if it failed.
    ///
    /// Without a sealer it does nothing.
    ///
    /// # Errors
    /// The storage's; what was sealed anew before stays so.
    pub async fn reseal(&self) -> Result<Resealed, StorageError> {
        let mut resealed = Resealed::default();
        let Some(sealer) = &self.core.sealer else { return Ok(resealed) };
        let mut after = 0;
        loop {
            let changes = self.core.storage.trigger_changes(after, PAGE).await?;
            let Some(last) = changes.last() else { return Ok(resealed) };
            // What is changed meanwhile, here or by others, comes further on.
            after = last.sequence;
            for change in changes {
                match change.trigger {
                    TriggerState::Deleted => {}
                    TriggerState::Unreadable { .. } => resealed.unreadable.push(change.id),
                    TriggerState::Stored(trigger)
                        if !trigger.is_sealable()
                            || trigger.sealed_under() == Some(sealer.key_id()) =>
                    {
                        resealed.current += 1;
                    }
                    TriggerState::Stored(trigger) => match trigger.opened(Some(&**sealer)) {
                        Ok(opened) => resealed.resealed += self.core.reseal_one(opened).await?,
                        Err(_) => resealed.unreadable.push(change.id),
                    },
                }
            }
        }
    }
}

impl Core {
    /// Writes a trigger as it is, so that it is sealed. Tells how many that were: none, if another
    /// change came in between.
    async fn reseal_one(&self, opened: Trigger) -> Result<usize, StorageError> {
        let revision = opened.revision + 1;
        let trigger = Arc::new(Trigger { revision, ..opened });
        match self.write_trigger(TriggerWrite::Update(trigger)).await {
            Ok(()) => Ok(1),
            Err(StorageError::Conflict { .. } | StorageError::NotFound { .. }) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The trigger of an id as the storage has it now, if it belongs to the scope or one below it.
    async fn fresh_of(&self, scope: &Scope, id: TriggerId) -> Result<Arc<Trigger>, StorageError> {
        let trigger = self.fresh(id).await?;
        let is_inside = scope.contains(&trigger.spec.scope);
        if is_inside { Ok(trigger) } else { Err(StorageError::no_trigger(id)) }
    }

    /// What is stored of a write: its target sealed, if there is something to seal it with.
    pub(super) fn sealed(&self, write: &TriggerWrite) -> Result<TriggerWrite, StorageError> {
        let Some(sealer) = &self.sealer else { return Ok(write.clone()) };
        let seal = |trigger: &Trigger| {
            let stored = trigger.sealed(&**sealer, &*self.entropy);
            stored.map(Arc::new).map_err(|error| StorageError::Unavailable {
                reason: format!("trigger {}: {error}", trigger.id),
            })
        };
        Ok(match write {
            TriggerWrite::Create(trigger) => TriggerWrite::Create(seal(trigger)?),
            TriggerWrite::Update(trigger) => TriggerWrite::Update(seal(trigger)?),
            TriggerWrite::Delete(id) => TriggerWrite::Delete(*id),
        })
    }

    /// What is stored, opened. What does not open counts as what cannot be read.
    pub(super) fn opened(&self, state: TriggerState) -> TriggerState {
        let TriggerState::Stored(trigger) = state else { return state };
        let is_sealed = trigger.sealed_under().is_some();
        if !(is_sealed || self.sealed_only && trigger.is_sealable()) {
            return TriggerState::Stored(trigger);
        }
        let sealer = self.sealer.as_deref();
        let opened = if is_sealed { trigger.opened(sealer) } else { Err(OpenError::NotSealed) };
        match opened {
            Ok(trigger) => TriggerState::Stored(Arc::new(trigger)),
            Err(error) => TriggerState::Unreadable { reason: error.to_string() },
        }
    }
}
