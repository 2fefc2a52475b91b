//! Providers: who holds the credentials that triggers only name.
//!
//! In: a name, and the scope of the trigger that uses it. Out: the credential, or that it cannot be
//! had now. A vault, a file that something else mounts, a table of your own: the engine knows none.

use std::fmt;

use async_trait::async_trait;

use crate::event::Scope;
use crate::secret::Secret;

/// Holds credentials for triggers that only name them.
///
/// # Contract
/// 1. **A scope gets what is its own.** Whoever may write a trigger chooses the name in it, so
///    `secret` and `check` refuse names that are not for [`SecretAsk::scope`]. The engine cannot know.
/// 2. `secret` may be called at any time, by any number at once; the engine asks for one name of one
///    scope once at a time, keeps the answer for
///    [`provider_cache`](crate::engine::EngineOptions::provider_cache), and stops waiting after
///    [`provider_timeout`](crate::engine::EngineOptions::provider_timeout). A future that is dropped
///    leaves nothing behind.
/// 3. Errors are for an operator, and tell nothing of a credential.
#[async_trait]
pub trait SecretProvider: fmt::Debug + Send + Sync + 'static {
    /// The credential of a name: of a secret for signing its text, `whsec_…`, `whsk_…` or `text:…`.
    /// A panic counts as an error.
    ///
    /// # Errors
    /// That it cannot be had now. What was to be sent waits and uses up no attempt.
    async fn secret(&self, ask: SecretAsk<'_>) -> Result<Secret, ProviderError>;

    /// Says beforehand whether a trigger of a scope may use a name, for the comfort of who writes it.
    ///
    /// # Errors
    /// What is wrong with it, for a person. The trigger is not stored.
    fn check(&self, ask: SecretAsk<'_>) -> Result<(), String>;
}

/// Asks for a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretAsk<'a> {
    /// The name, as the trigger has it.
    pub reference: &'a str,
    /// The scope of the trigger.
    pub scope: &'a Scope,
}

impl<'a> SecretAsk<'a> {
    /// Asks for the credential of a name, for triggers of a scope.
    pub fn new(reference: &'a str, scope: &'a Scope) -> Self {
        Self { reference, scope }
    }
}

/// Why a provider has no credential to give now. The delivery is tried later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ProviderError {
    /// Why, for an operator; nothing of a credential.
    pub reason: String,
}

impl ProviderError {
    /// Tells why.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}
