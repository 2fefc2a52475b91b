//! Credentials: what an attempt signs with and proves itself by, at its time.
//!
//! In: an endpoint. Out: its secrets that are active, and the credential of its `auth`, fetched
//! from the provider where the trigger only names them. What cannot be had now is nobody's failure
//! but ours: the delivery is given back, and no attempt is made.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, join, join_all, select};
use url::Url;

use super::fetched::Answer;
use super::{Core, token};
use crate::clock::Timestamp;
use crate::document::Problems;
use crate::event::Scope;
use crate::observer::Transition;
use crate::provider::{ProviderError, SecretAsk, SecretUse};
use crate::secret::Secret;
use crate::signature::SigningSecret;
use crate::trigger::{
    Credential, Endpoint, EndpointAuth, EndpointSecret, Target, Trigger, TriggerSpec,
};

/// How long a provider that gave nothing is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// What an attempt signs with and proves itself by. All of it is held here.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    pub(super) secrets: Vec<SigningSecret>,
    pub(super) auth: Option<EndpointAuth>,
}

/// What a provider was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    scope: Scope,
    reference: String,
    origin: String,
    usage: SecretUse,
}

impl Asked {
    fn new(reference: &str, scope: &Scope, recipient: &Url, usage: SecretUse) -> Self {
        let origin = recipient.origin().ascii_serialization();
        Self { scope: scope.clone(), reference: reference.to_owned(), origin, usage }
    }

    fn ask(&self) -> SecretAsk<'_> {
        SecretAsk::new(&self.reference, &self.scope, &self.origin, self.usage)
    }
}

/// Why an attempt cannot be made now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unready {
    #[error("no secret is active")]
    NoneActive,
    #[error("the provider does not give {reference:?}: {error}")]
    Provider { reference: String, error: ProviderError },
    #[error("what the provider gives for {reference:?} is no {expected}")]
    Unfit { reference: String, expected: &'static str },
}

impl Core {
    /// What an attempt of a trigger, made now, signs with and proves itself by.
    pub(super) async fn credentials(&self, trigger: &Trigger) -> Result<Credentials, Unready> {
        let Target::Webhook(endpoint) = &trigger.spec.target else {
            return Ok(Credentials::default());
        };
        let now = self.clock.now();
        let active: Vec<_> =
            endpoint.secrets.iter().filter(|secret| secret.is_active(now)).collect();
        // What was to be signed does not go out unsigned.
        if active.is_empty() && !endpoint.secrets.is_empty() {
            return Err(Unready::NoneActive);
        }
        if endpoint.provided().next().is_none() {
            return Ok(Credentials::at_hand(endpoint, now));
        }
        let scope = &trigger.spec.scope;
        let secrets = active.iter().map(|one| self.signing_secret(scope, endpoint, &one.value));
        let auth = async {
            match &endpoint.auth {
                Some(auth) => self.held_auth(scope, &endpoint.url, auth).await.map(Some),
                None => Ok(None),
            }
        };
        let (secrets, auth) = Box::pin(join(join_all(secrets), auth)).await;
        Ok(Credentials { secrets: secrets.into_iter().collect::<Result<_, _>>()?, auth: auth? })
    }

    /// Whether nobody has to be asked for the credentials of a trigger, but for a token.
    pub(super) fn are_at_hand(&self, trigger: &Trigger) -> bool {
        let Target::Webhook(endpoint) = &trigger.spec.target else { return true };
        let now = self.clock.now();
        let scope = &trigger.spec.scope;
        let mut asked = endpoint.provided();
        asked.all(|(reference, recipient, usage)| {
            self.provided.has(&Asked::new(reference, scope, recipient, usage), now, |_| true)
        })
    }

    async fn signing_secret(
        &self,
        scope: &Scope,
        endpoint: &Endpoint,
        secret: &Credential<SigningSecret>,
    ) -> Result<SigningSecret, Unready> {
        match secret {
            Credential::Held(secret) => Ok(secret.clone()),
            Credential::Provided(reference) => {
                let asked = Asked::new(reference, scope, &endpoint.url, SecretUse::Signing);
                let text = self.provided(asked).await?;
                let unfit = |expected| Unready::Unfit { reference: reference.clone(), expected };
                let parsed = std::str::from_utf8(text.expose()).ok().and_then(|t| t.parse().ok());
                let secret = parsed
                    .ok_or_else(|| unfit("secret for signing (whsec_…, whsk_… or text:…)"))?;
                endpoint.scheme.refuses(&secret).map_or(Ok(secret), |expected| Err(unfit(expected)))
            }
        }
    }

    async fn held_auth(
        &self,
        scope: &Scope,
        url: &Url,
        auth: &EndpointAuth,
    ) -> Result<EndpointAuth, Unready> {
        let Credential::Provided(reference) = auth.credential() else { return Ok(auth.clone()) };
        let recipient = auth.recipient(url);
        let asked = Asked::new(reference, scope, recipient, SecretUse::Authentication);
        let secret = self.provided(asked).await?;
        let is_text = |byte: &u8| (0x20..=0x7e).contains(byte);
        if secret.expose().is_empty() || !secret.expose().iter().all(is_text) {
            let expected = "printable ASCII";
            return Err(Unready::Unfit { reference: reference.clone(), expected });
        }
        Ok(auth.with_credential(secret))
    }

    /// What the provider holds under a name. An answer is kept for a while, also that there is
    /// none: who waited for it does not ask again.
    async fn provided(&self, asked: Asked) -> Result<Secret, Unready> {
        let (key, fetch) = (asked.clone(), self.ask(asked.ask()));
        let (answer, _) = self.provided.get(key, &*self.clock, |_| true, fetch).await;
        answer.map_err(|error| Unready::Provider { reference: asked.reference.clone(), error })
    }

    async fn ask(&self, ask: SecretAsk<'_>) -> Answer<Result<Secret, ProviderError>> {
        let value = match &self.provider {
            None => Err(ProviderError::new("this engine has no secret provider")),
            Some(provider) => {
                let limit = self.options.longest_ask();
                // Within the async block, since what makes the future may panic too.
                let asked = async { provider.secret(ask).await };
                let asked = pin!(AssertUnwindSafe(asked).catch_unwind());
                match select(asked, self.clock.sleep(limit)).await {
                    Either::Left((Ok(answer), _)) => answer,
                    Either::Left((Err(_), _)) => Err(ProviderError::new("it panicked")),
                    Either::Right(_) => {
                        Err(ProviderError::new(format!("it did not answer within {limit:?}")))
                    }
                }
            }
        };
        let kept = if value.is_ok() { self.options.provider_cache } else { PAUSE };
        Answer { value, until: self.clock.now() + kept }
    }

    /// Tells observers why an attempt cannot be made.
    pub(super) fn tell_unready(&self, trigger: &Trigger, unready: &Unready) {
        let reason = unready.to_string();
        let transition = Transition::CredentialsMissing { trigger: trigger.id, reason: &reason };
        self.observers.tell(&transition);
    }

    /// Reports names that no provider may be asked for, and times at which nothing would sign.
    pub(super) fn check_credentials(&self, spec: &TriggerSpec, problems: &mut Problems) {
        let Target::Webhook(endpoint) = &spec.target else { return };
        let path = "target.webhook";
        endpoint.check_secrets_from(self.clock.now(), path, problems);
        for (reference, recipient, usage) in endpoint.provided() {
            let asked = Asked::new(reference, &spec.scope, recipient, usage);
            let checked = match &self.provider {
                None => Err("expected no reference: this engine has no secret provider".to_owned()),
                Some(provider) => provider.check(asked.ask()),
            };
            if let Err(message) = checked {
                problems.add(path, format!("provider {reference:?}: {message}"));
            }
        }
        if let Some(EndpointAuth::OAuth2(client)) = &endpoint.auth
            && let Err(message) = self.deliverer.check_url(&spec.scope, &client.token_url)
        {
            problems.add(format!("{path}.auth.oauth2.token_url"), message);
        }
    }
}

impl Credentials {
    /// The field that proves who sends it, unless that takes a token.
    pub(super) fn field(&self) -> Option<(String, Secret)> {
        let auth = self.auth.as_ref()?;
        let Credential::Held(secret) = auth.credential() else { return None };
        let value = match auth {
            EndpointAuth::Bearer { .. } => token::bearer(secret),
            EndpointAuth::Basic { user, .. } => token::basic(user, secret),
            EndpointAuth::ApiKey { .. } => secret.clone(),
            EndpointAuth::OAuth2(_) => return None,
        };
        Some((auth.header(), value))
    }

    /// What there is without asking anyone, for a preview.
    pub(super) fn at_hand(endpoint: &Endpoint, now: Timestamp) -> Self {
        let active = endpoint.secrets.iter().filter(|secret| secret.is_active(now));
        let secrets = active.filter_map(EndpointSecret::held).cloned().collect();
        let is_held = |auth: &&EndpointAuth| auth.credential().reference().is_none();
        Self { secrets, auth: endpoint.auth.as_ref().filter(is_held).cloned() }
    }
}
