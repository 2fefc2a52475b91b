//! Providers: who holds the credentials that triggers only name.
//!
//! In: a name, the scope of the trigger that uses it, and for whom and for what. Out: the
//! credential, or that it cannot be had now. A vault, a file that something else mounts, a table of
//! your own: the engine knows none.

use std::fmt;

use async_trait::async_trait;

use crate::event::Scope;
use crate::secret::Secret;

/// Holds credentials for triggers that only name them.
///
/// # Contract
/// 1. **A scope gets what is its own.** Whoever may write a trigger chooses the name in it, so
///    `secret` and `check` refuse names that are not for [`SecretAsk::scope`], and, where whoever
///    writes a trigger is not to learn the credential, not for [`SecretAsk::origin`]: they choose
///    that too. The engine cannot know.
/// 2. `secret` may be called at any time, by any number at once; the engine asks the same
///    once at a time, keeps the answer for
///    [`provider_cache`](crate::engine::EngineOptions::provider_cache), and stops waiting after
///    [`provider_timeout`](crate::engine::EngineOptions::provider_timeout). A future that is
///    dropped leaves nothing behind.
/// 3. Errors are for an operator, and tell nothing of a credential.
#[async_trait]
pub trait SecretProvider: fmt::Debug + Send + Sync + 'static {
    /// The credential of a name: of a secret for signing its text, `whsec_…`, `whsk_…` or `text:…`.
    /// A panic counts as an error.
    ///
    /// # Errors
    /// That it cannot be had now. What was to be sent waits and uses up no attempt.
    async fn secret(&self, ask: SecretAsk<'_>) -> Result<Secret, ProviderError>;

    /// Says beforehand whether a trigger of a scope may use a name, for the comfort of who writes
    /// it.
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
    /// Whom it is for: the origin of the endpoint, such as `https://hooks.example`, or that of the
    /// token endpoint.
    pub origin: &'a str,
    /// What it is for.
    pub usage: SecretUse,
}

impl<'a> SecretAsk<'a> {
    /// Asks for the credential of a name, for triggers of a scope.
    pub fn new(reference: &'a str, scope: &'a Scope, origin: &'a str, usage: SecretUse) -> Self {
        Self { reference, scope, origin, usage }
    }
}

/// What a credential is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretUse {
    /// It signs what is sent to the origin, which does not learn it.
    Signing,
    /// It is sent to the origin: a token, a password, a key, or a client's secret.
    Authentication,
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
