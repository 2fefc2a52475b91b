//! Hidden: takes out of what was answered what it repeats of a trigger's secrets.
//!
//! In: what a request carried, and what came back. Out: the latter, with `[redacted]` where it
//! repeats one of them, as they were sent or percent-encoded. Some endpoints answer with the
//! request.

use url::form_urlencoded;

use super::credentials::Credentials;
use super::token;
use crate::deliverer::DeliverError;
use crate::delivery::Attempt;
use crate::request::{Headers, Response};
use crate::secret::Secret;
use crate::trigger::{Credential, Endpoint, EndpointAuth};

const REDACTED: &[u8] = b"[redacted]";
/// What is shorter is found in texts by chance.
const SHORTEST: usize = 4;
/// The shortest part of a URL's path that may be a token.
const SHORTEST_SEGMENT: usize = 8;

/// What is not to be kept.
#[derive(Debug)]
pub(super) struct Hidden(Vec<Secret>);

impl Hidden {
    /// The secrets of an endpoint, the tokens that it was sent, and the parts of its URL that may
    /// be.
    pub(super) fn of(endpoint: &Endpoint, credentials: &Credentials, tokens: &[Secret]) -> Self {
        let mut hidden = Self(Vec::new());
        for token in tokens {
            hidden.add(token.expose());
        }
        for secret in &credentials.secrets {
            let text = secret.expose();
            hidden.add(text.as_bytes());
            // Behind the prefix is what a receiver of another scheme knows.
            let prefixes = ["text:", "whsec_", "whsk_"];
            let bare = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
            hidden.add(bare.unwrap_or_default().as_bytes());
        }
        for (_, value) in endpoint.headers.iter() {
            hidden.add(value);
            // Behind the scheme, as in `Bearer …`.
            hidden.add(value.rsplit(|byte| *byte == b' ').next().unwrap_or_default());
        }
        if let Some(auth) = &credentials.auth {
            hidden.add_auth(auth);
        }
        let url = &endpoint.url;
        for segment in url.path().split('/').filter(|text| text.len() >= SHORTEST_SEGMENT) {
            hidden.add(segment.as_bytes());
        }
        hidden.add(url.query().unwrap_or_default().as_bytes());
        for (_, value) in url.query_pairs() {
            hidden.add(value.as_bytes());
        }
        hidden
    }

    /// Also what a signer gave.
    pub(super) fn and_of_signer(mut self, fields: &Headers) -> Self {
        let ours = ["webhook-", "content-", "ce-", "artifact-triggers-"];
        let theirs = fields.iter().filter(|(name, _)| {
            let lower = name.to_ascii_lowercase();
            !ours.iter().any(|prefix| lower.starts_with(prefix))
        });
        theirs.for_each(|(_, value)| self.add(value));
        self
    }

    fn add_auth(&mut self, auth: &EndpointAuth) {
        let Credential::Held(secret) = auth.credential() else { return };
        self.add(secret.expose());
        if let EndpointAuth::Basic { user, .. } = auth {
            let field = token::basic(user, secret);
            self.add(field.expose().strip_prefix(b"Basic ").unwrap_or_default());
        }
    }

    fn add(&mut self, secret: &[u8]) {
        if secret.len() < SHORTEST {
            return;
        }
        self.0.push(Secret::new(secret));
        let encoded: String = form_urlencoded::byte_serialize(secret).collect();
        if encoded.as_bytes() != secret {
            self.0.push(Secret::new(encoded));
        }
    }

    /// An answer without them.
    pub(super) fn out_of(
        &self,
        answer: Result<Response, DeliverError>,
    ) -> Result<Response, DeliverError> {
        answer
            .map(|response| Response { body: self.out_of_body(&response.body), ..response })
            .map_err(|error| match error {
                DeliverError::Blocked { reason } => {
                    DeliverError::Blocked { reason: self.out_of_text(&reason) }
                }
                DeliverError::Invalid { reason } => {
                    DeliverError::Invalid { reason: self.out_of_text(&reason) }
                }
                DeliverError::Connect { reason } => {
                    DeliverError::Connect { reason: self.out_of_text(&reason) }
                }
                DeliverError::Broken { reason } => {
                    DeliverError::Broken { reason: self.out_of_text(&reason) }
                }
                timeout @ DeliverError::Timeout { .. } => timeout,
            })
    }

    /// What went wrong, without them.
    pub(super) fn out_of_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.out_of_body(text.as_bytes())).into_owned()
    }

    /// The beginning of a text without them, as much of it as is kept. One that the text breaks off
    /// within is taken out as far as it goes.
    fn out_of_body(&self, text: &[u8]) -> Vec<u8> {
        let longest = self.0.iter().map(|secret| secret.expose().len()).max().unwrap_or(0);
        let text = &text[..text.len().min(Attempt::MAX_RESPONSE_BYTES + longest)];
        let mut kept = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            if let Some(length) = self.length_at(&text[at..]) {
                kept.extend_from_slice(REDACTED);
                at += length;
            } else {
                kept.push(text[at]);
                at += 1;
            }
        }
        kept
    }

    /// The length of the longest of them that a text begins with, or ends within.
    fn length_at(&self, text: &[u8]) -> Option<usize> {
        let begins = |secret: &Secret| {
            let secret = secret.expose();
            let common = secret.len().min(text.len());
            let is_all = common == secret.len() || common >= SHORTEST;
            (is_all && secret[..common] == text[..common]).then_some(common)
        };
        self.0.iter().filter_map(begins).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hiding(secrets: &[&str]) -> Hidden {
        let mut hidden = Hidden(Vec::new());
        for secret in secrets {
            hidden.add(secret.as_bytes());
        }
        hidden
    }

    #[test]
    fn each_is_taken_out_wherever_it_stands_also_percent_encoded() {
        let hidden = hiding(&["hunter2", "hunter2 and more", "a+b/c", "abc"]);
        for (text, expected) in [
            ("hunter2hunter2", "[redacted][redacted]"),
            ("x=hunter2 and more.", "x=[redacted]."),
            ("x=hunter2 and less.", "x=[redacted] and less."),
            ("a+b/c a%2Bb%2Fc", "[redacted] [redacted]"),
            ("abc hunter", "abc [redacted]"),
            ("hunter3 hun", "hunter3 hun"),
            ("", ""),
        ] {
            assert_eq!(hidden.out_of_text(text), expected, "{text}");
        }
    }

    #[test]
    fn a_secret_is_taken_out_without_its_prefix_too_and_what_a_signer_gave() {
        let endpoint = Endpoint::new("https://hooks.example/".parse().unwrap());
        let secrets = vec![crate::signature::SigningSecret::from_text("hunter2").unwrap()];
        let credentials = Credentials { secrets, auth: None };
        let fields = [("x-vault", "hunter3"), ("webhook-id", "msg_1")].into_iter().collect();
        let hidden = Hidden::of(&endpoint, &credentials, &[]).and_of_signer(&fields);
        let told = hidden.out_of_text("text:hunter2 hunter2 hunter3 msg_1");
        assert_eq!(told, "[redacted] [redacted] [redacted] msg_1");
    }

    #[test]
    fn what_is_kept_of_a_long_answer_ends_within_none() {
        let hidden = hiding(&["hunter2hunter2"]);
        let mut body = vec![b'.'; Attempt::MAX_RESPONSE_BYTES - 6];
        body.extend_from_slice(b"hunter2hunter2");
        let kept = hidden.out_of_body(&body);
        assert!(!String::from_utf8_lossy(&kept).contains("hunter"));
        body.truncate(Attempt::MAX_RESPONSE_BYTES);
        assert!(!String::from_utf8_lossy(&hidden.out_of_body(&body)).contains("hunter"));
    }
}
