//! Sealed triggers: what is secret of a target, closed up before a storage gets it.
//!
//! In: a trigger as the engine works with it. Out: the same as it is stored, and back. All that a
//! webhook's target says is sealed together: the URL with its path and query, which may hold a
//! token, secrets, header fields and how it is authenticated. The origin and the format stay
//! readable.

use serde_json::Value;
use url::Url;

use super::target::{Secrets, no_url};
use super::{Endpoint, Target, Trigger};
use crate::document::{Field as _, Problems};
use crate::entropy::Entropy;
use crate::id::TriggerId;
use crate::secret::{SealError, Sealed, SecretSealer};

/// Why a stored trigger cannot be opened, for an operator; shows nothing of what is sealed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("its target is sealed under key {key_id:?}, and this engine has no sealer")]
    NoSealer { key_id: String },
    #[error("its target is not sealed, and this engine takes none that is not")]
    NotSealed,
    #[error("its target: {0}")]
    Seal(#[from] SealError),
    #[error("what is sealed in its target is none: {0}")]
    Text(Problems),
    #[error("its target is sealed with another origin than the one beside it")]
    Origin,
}

/// Where a sealed target belongs. Sealed there, it opens nowhere else.
fn place(id: TriggerId) -> String {
    format!("{id}/target.webhook")
}

impl Trigger {
    /// The id of the key that its target is sealed under.
    pub(crate) fn sealed_under(&self) -> Option<&str> {
        let Target::Webhook(endpoint) = &self.spec.target else { return None };
        endpoint.sealed.as_ref().map(Sealed::key_id)
    }

    /// Whether there is a target of the kind that is sealed.
    pub(crate) fn is_sealable(&self) -> bool {
        matches!(self.spec.target, Target::Webhook(_))
    }

    /// The trigger as it is stored.
    pub(crate) fn sealed(
        &self,
        sealer: &dyn SecretSealer,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        let mut trigger = self.clone();
        if let Target::Webhook(endpoint) = &mut trigger.spec.target {
            let text = endpoint.expose_json();
            let mut stored = Endpoint::new(endpoint.origin());
            stored.format.clone_from(&endpoint.format);
            stored.sealed = Some(sealer.seal(&text, &place(self.id), entropy)?);
            *endpoint = stored;
        }
        Ok(trigger)
    }

    /// The trigger as the engine works with it.
    pub(crate) fn opened(&self, sealer: Option<&dyn SecretSealer>) -> Result<Self, OpenError> {
        let mut trigger = self.clone();
        if let Target::Webhook(endpoint) = &mut trigger.spec.target
            && let Some(sealed) = endpoint.sealed.take()
        {
            let key_id = || sealed.key_id().to_owned();
            let sealer = sealer.ok_or_else(|| OpenError::NoSealer { key_id: key_id() })?;
            let text = sealer.open(&sealed, &place(self.id))?;
            let opened = read(text.expose()).map_err(OpenError::Text)?;
            // Whoever can write rows must not make the one shown and the one dialled differ.
            if opened.origin() != endpoint.url {
                return Err(OpenError::Origin);
            }
            *endpoint = opened;
        }
        Ok(trigger)
    }
}

fn read(text: &[u8]) -> Result<Endpoint, Problems> {
    Problems::gather(|problems| {
        // The parser's words may repeat a piece of the text.
        let Ok(value) = serde_json::from_slice::<Value>(text) else {
            problems.add("target.webhook", "expected JSON");
            return None;
        };
        let endpoint = Endpoint::read(value, "target.webhook", problems)?;
        Target::Webhook(endpoint.clone()).check("target", problems);
        Some(endpoint)
    })
}

impl Endpoint {
    /// The URL's origin, as a URL.
    fn origin(&self) -> Url {
        let origin = self.url.origin().ascii_serialization();
        origin.parse().unwrap_or_else(|_| no_url())
    }

    fn expose_json(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let value = self.to_value(Secrets::Exposed);
        zeroize::Zeroizing::new(serde_json::to_vec(&value).expect("the keys are strings"))
    }
}
