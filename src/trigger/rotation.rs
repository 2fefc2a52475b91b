//! Rotation: which secrets sign when, which have had their time, and how a new one takes over.
//!
//! In: secrets with the times in which they sign, and a time. Nothing here reads a clock or makes a
//! secret.

use url::Url;

use super::{Endpoint, EndpointSecret, Target, TriggerSpec};
use crate::clock::Timestamp;
use crate::document::Problems;
use crate::provider::SecretUse;
use crate::signature::standard_webhooks::SigningSecret;

impl TriggerSpec {
    /// Forgets the secrets that sign no more.
    pub(crate) fn drop_expired(&mut self, now: Timestamp) {
        if let Target::Webhook(endpoint) = &mut self.target {
            endpoint.drop_expired(now);
        }
    }

    /// Puts a new secret before those that there are, which expire at `end` if not before.
    pub(crate) fn rotate_secret(&mut self, secret: &SigningSecret, end: Timestamp) {
        if let Target::Webhook(endpoint) = &mut self.target {
            endpoint.rotate(secret, end);
        }
    }

    /// Reports what has no secret that could be rotated here.
    pub(crate) fn check_rotation(&self, problems: &mut Problems) {
        match &self.target {
            Target::Action(_) => problems.add("target", "expected a webhook, found an action"),
            Target::Webhook(endpoint) => {
                if endpoint.secrets.iter().any(|secret| secret.value.reference().is_some()) {
                    let message =
                        "expected secrets that the trigger holds, found one of a provider";
                    problems.add("target.webhook.secrets", message);
                }
                // Receivers of another scheme or form would not know what to do with a new
                // `whsec_`.
                let mut held = endpoint.secrets.iter().filter_map(EndpointSecret::held);
                if !endpoint.scheme.rotates() || !held.all(SigningSecret::is_shared) {
                    let message = "expected a scheme in which all whsec_ secrets sign, and none of \
                                   another form; give the new one in an update instead";
                    problems.add("target.webhook.scheme", message);
                }
            }
        }
    }
}

impl Endpoint {
    /// What is to be asked of a provider: for each credential that it holds the name, whom it is
    /// for, and what for.
    pub(crate) fn provided(&self) -> impl Iterator<Item = (&str, &Url, SecretUse)> {
        let signing = self.secrets.iter().filter_map(|secret| secret.value.reference());
        let signing = signing.map(|reference| (reference, &self.url, SecretUse::Signing));
        let sent = self.auth.as_ref().and_then(|auth| {
            let reference = auth.credential().reference()?;
            Some((reference, auth.recipient(&self.url), SecretUse::Authentication))
        });
        signing.chain(sent)
    }

    /// Forgets the secrets that sign no more; none if there is no other, or it would not be signed.
    fn drop_expired(&mut self, now: Timestamp) {
        if self.secrets.iter().any(|secret| !secret.has_expired(now)) {
            self.secrets.retain(|secret| !secret.has_expired(now));
        }
    }

    /// Puts a new secret before those that there are, which expire at `end` if not before. One that
    /// would begin only then is forgotten.
    fn rotate(&mut self, new: &SigningSecret, end: Timestamp) {
        self.secrets.retain(|secret| secret.active_from.is_none_or(|from| from < end));
        for secret in &mut self.secrets {
            secret.expires_at = Some(secret.expires_at.map_or(end, |before| before.min(end)));
        }
        self.secrets.insert(0, new.clone().into());
    }

    /// Reports a time from now on at which nothing would sign what is to be signed.
    pub(crate) fn check_secrets_from(&self, now: Timestamp, path: &str, problems: &mut Problems) {
        if !self.secrets.is_empty()
            && let Some(gap) = uncovered_from(&self.secrets, now)
        {
            let expected = "expected one that is active at any time from now on";
            problems
                .add(format!("{path}.secrets"), format!("{expected}, found none from {gap} on"));
        }
    }
}

/// From when on no secret of a list is active; `None` if there is always one from `now` on. Of
/// secrets that follow one another without a gap one is active throughout.
fn uncovered_from(secrets: &[EndpointSecret], now: Timestamp) -> Option<Timestamp> {
    let mut covered = now;
    // Each round gets further, or ends.
    loop {
        let active = secrets.iter().filter(|secret| secret.is_active(covered));
        // One without an end outlasts all others.
        match active.map(|secret| secret.expires_at.unwrap_or(Timestamp::MAX)).max() {
            Some(Timestamp::MAX) => return None,
            Some(end) => covered = end,
            None => return Some(covered),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn secret(from: Option<i64>, end: Option<i64>) -> EndpointSecret {
        let mut secret = EndpointSecret::provided("a");
        (secret.active_from, secret.expires_at) = (from.map(at), end.map(at));
        secret
    }

    #[test]
    fn a_time_at_which_none_is_active_is_found_wherever_it_lies() {
        for (secrets, expected) in [
            (vec![secret(None, None)], None),
            (vec![secret(None, Some(30)), secret(Some(30), None)], None),
            (vec![secret(Some(20), None), secret(None, Some(30))], None),
            (vec![secret(None, Some(30)), secret(Some(31), None)], Some(30)),
            (vec![secret(Some(11), None)], Some(10)),
            (vec![secret(None, Some(20)), secret(None, Some(40))], Some(40)),
            (vec![secret(None, Some(5))], Some(10)),
        ] {
            assert_eq!(uncovered_from(&secrets, at(10)), expected.map(at), "{secrets:?}");
        }
    }
}
