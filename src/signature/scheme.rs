//! Which scheme an endpoint's messages are signed by.

use serde_json::{Value, json};

use super::key::{Form, SigningSecret};
use super::{
    Message, SignError, github, harness, hex_mac, http_message, standard_webhooks, timestamped,
};
use crate::document::{Field, Object, Problems, cut, misshapen};
use crate::request::Headers;

/// How an endpoint's messages are signed.
///
/// In JSON it is the `scheme` of a webhook: `"standard-webhooks"`, `"github"`,
/// `{"harness": {"prefix": "Gitness"}}`, `{"timestamped": {"header": "Acme-Signature"}}`,
/// `{"hex-sha256": {"header": "X-Signature", "prefix": "sha256="}}`, `"http-message-signatures"` or
/// `{"signer": "vault"}`. The [manual](crate::manual::signing) says what
/// each covers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scheme {
    /// [Standard Webhooks](standard_webhooks) 1.0, by `whsec_` and `whsk_` secrets; not signed if
    /// there are none.
    #[default]
    StandardWebhooks,
    /// [GitHub's](github), by the first `text:` secret.
    Github,
    /// [Harness'](harness), by the first `text:` secret.
    Harness {
        /// What stands in the middle of the header's name; there it is
        /// [`Gitness`](harness::DEFAULT_PREFIX) unless it is set.
        prefix: String,
    },
    /// HMAC-SHA256 over the body as hex digits in a header, by the first `text:` secret, as many a
    /// receiver has it, each with a name of its own.
    HexSha256 {
        /// The header's name.
        header: String,
        /// What stands before the digits, such as `sha256=`; it may be empty.
        prefix: String,
    },
    /// A [time and signatures](timestamped) in one header, by `text:` secrets.
    Timestamped {
        /// The header's name.
        header: String,
    },
    /// [HTTP Message Signatures](http_message), by secrets of any form.
    HttpMessage,
    /// A [`Signer`](super::Signer) of the embedder's own, which has its keys elsewhere.
    Signer {
        /// The name that it was registered under.
        name: String,
    },
}

impl Scheme {
    /// The longest prefix of [`Harness`](Self::Harness) and [`HexSha256`](Self::HexSha256), in
    /// bytes.
    pub const MAX_PREFIX_BYTES: usize = 40;

    /// The header fields that carry a message's id, its time and its signature, the newest secret
    /// first. In each scheme there are `webhook-id` and `webhook-timestamp`; not in each are they
    /// covered.
    ///
    /// # Errors
    /// [`SignError::Incomplete`] if the scheme covers what the message does not tell, and
    /// [`SignError::NoSigner`] for [`Signer`](Self::Signer), which only an engine knows.
    pub fn sign(
        &self,
        secrets: &[SigningSecret],
        message: &Message<'_>,
    ) -> Result<Headers, SignError> {
        let mut fields: Headers = standard_webhooks::id_and_time(message).into_iter().collect();
        match self {
            Self::StandardWebhooks => fields.extend(standard_webhooks::sign(secrets, message)),
            Self::Github => fields.extend(github::sign(secrets, message.body)),
            Self::Harness { prefix } => {
                fields.extend(harness::sign(prefix, secrets, message.body));
            }
            Self::HexSha256 { header, prefix } => {
                fields.extend(hex_mac::sign(header, prefix, secrets, message.body));
            }
            Self::Timestamped { header } => {
                fields.extend([timestamped::sign(header, secrets, message)]);
            }
            Self::HttpMessage => fields.extend(http_message::sign(secrets, message)?),
            Self::Signer { name } => return Err(SignError::NoSigner { name: name.clone() }),
        }
        Ok(fields)
    }

    /// Whether each of several `whsec_` secrets signs.
    #[cfg(feature = "engine")]
    pub(crate) fn rotates(&self) -> bool {
        matches!(self, Self::StandardWebhooks | Self::HttpMessage)
    }

    /// The names of the header fields that are the scheme's to set, in lower case, beside those
    /// that begin with `webhook-`. Those of a signer are not known.
    pub(crate) fn header_names(&self) -> Vec<String> {
        match self {
            Self::StandardWebhooks | Self::Signer { .. } => Vec::new(),
            Self::Github => vec![github::SIGNATURE_HEADER.to_owned()],
            Self::Harness { prefix } => vec![harness::header(prefix)],
            Self::HexSha256 { header, .. } | Self::Timestamped { header } => {
                vec![header.to_ascii_lowercase()]
            }
            Self::HttpMessage => {
                use http_message::{DIGEST_HEADER, INPUT_HEADER, SIGNATURE_HEADER};
                [DIGEST_HEADER, INPUT_HEADER, SIGNATURE_HEADER].map(str::to_owned).to_vec()
            }
        }
    }

    /// Checks the scheme, and that an endpoint's secrets are what it signs with; `None` stands for
    /// one that is not known before it signs.
    pub(crate) fn check<'s>(
        &self,
        path: &str,
        secrets: impl ExactSizeIterator<Item = Option<&'s SigningSecret>>,
        problems: &mut Problems,
    ) {
        self.check_prefix(&format!("{path}.scheme"), problems);
        let needs_one = !matches!(self, Self::StandardWebhooks | Self::Signer { .. });
        if needs_one && secrets.len() == 0 {
            problems.add(format!("{path}.secrets"), "expected one that the scheme signs with");
        }
        if secrets.len() > 0 && matches!(self, Self::Signer { .. }) {
            problems.add(format!("{path}.secrets"), "expected none, since the signer has its own");
            return;
        }
        for (n, secret) in secrets.enumerate() {
            if let Some(expected) = secret.and_then(|secret| self.refuses(secret)) {
                problems.add(format!("{path}.secrets[{n}]"), format!("expected {expected}"));
            }
        }
    }

    fn check_prefix(&self, path: &str, problems: &mut Problems) {
        let most = Self::MAX_PREFIX_BYTES;
        let (name, prefix, expected, fits) = match self {
            Self::Harness { prefix } => {
                let is_inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
                let fits = (1..=most).contains(&prefix.len()) && prefix.bytes().all(is_inner);
                let expected = format!("expected 1 to {most} letters, digits and hyphens");
                ("harness", prefix, expected, fits)
            }
            Self::HexSha256 { prefix, .. } => {
                let fits = prefix.len() <= most && prefix.bytes().all(|b| b.is_ascii_graphic());
                let expected = format!("expected at most {most} printable ASCII characters");
                ("hex-sha256", prefix, expected, fits)
            }
            _ => return,
        };
        if !fits {
            let found = cut(prefix);
            problems.add(format!("{path}.{name}.prefix"), format!("{expected}, found {found:?}"));
        }
    }

    /// What is expected in the place of a secret that the scheme does not take.
    pub(crate) fn refuses(&self, secret: &SigningSecret) -> Option<&'static str> {
        let form = secret.form();
        match self {
            Self::StandardWebhooks if form == Form::Text => {
                Some("whsec_ and base64, as Standard Webhooks has it, found text:")
            }
            Self::Github
            | Self::Harness { .. }
            | Self::HexSha256 { .. }
            | Self::Timestamped { .. }
                if form != Form::Text =>
            {
                Some(
                    "text: and what the receiver has for its secret, since the scheme takes it as it is",
                )
            }
            _ => None,
        }
    }

    fn read_hex(mut told: Object, problems: &mut Problems) -> Option<Self> {
        let header = told.required("header", problems);
        let prefix = told.optional("prefix", problems).unwrap_or_default();
        told.finish(problems);
        header.map(|header| Self::HexSha256 { header, prefix })
    }

    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::StandardWebhooks => json!("standard-webhooks"),
            Self::Github => json!("github"),
            Self::Harness { prefix } => json!({"harness": {"prefix": prefix}}),
            Self::HexSha256 { header, prefix } => {
                json!({"hex-sha256": {"header": header, "prefix": prefix}})
            }
            Self::Timestamped { header } => json!({"timestamped": {"header": header}}),
            Self::HttpMessage => json!("http-message-signatures"),
            Self::Signer { name } => json!({"signer": name}),
        }
    }
}

impl Field for Scheme {
    const EXPECTED: &'static str = "standard-webhooks, github, http-message-signatures, or an object \
                                    with harness, hex-sha256, timestamped or signer";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        match value.as_str() {
            Some("standard-webhooks") => return Some(Self::StandardWebhooks),
            Some("github") => return Some(Self::Github),
            Some("http-message-signatures") => return Some(Self::HttpMessage),
            _ if !value.is_object() => {
                misshapen(&value, Self::EXPECTED, path, problems);
                return None;
            }
            _ => {}
        }
        let before = problems.len();
        let mut object = Object::read(value, path, problems)?;
        let harness = object.optional::<Object>("harness", problems).map(|mut harness| {
            let prefix = harness.optional("prefix", problems);
            harness.finish(problems);
            let prefix = prefix.unwrap_or_else(|| harness::DEFAULT_PREFIX.to_owned());
            Self::Harness { prefix }
        });
        let hex = object.optional::<Object>("hex-sha256", problems);
        let hex = hex.and_then(|told| Self::read_hex(told, problems));
        let timestamped =
            object.optional::<Object>("timestamped", problems).and_then(|mut told| {
                let header = told.required("header", problems);
                told.finish(problems);
                header.map(|header| Self::Timestamped { header })
            });
        let signer = object.optional("signer", problems).map(|name| Self::Signer { name });
        object.finish(problems);
        let mut all = harness.into_iter().chain(hex).chain(timestamped).chain(signer);
        if let (Some(scheme), None) = (all.next(), all.next()) {
            return Some(scheme);
        }
        if problems.len() == before {
            problems.add(path, format!("expected {}, one of them", Self::EXPECTED));
        }
        None
    }
}
