//! How an upstream is asked for what it does not show to everybody.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// What an upstream is told of who asks. Sent to the upstream itself, by the address that it was
/// given, and nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// Nothing.
    #[default]
    Anonymous,
    /// A user and a password (RFC 7617).
    Basic {
        /// The user, without a colon.
        user: String,
        /// The password or the token in its place.
        password: Secret,
    },
    /// A token (RFC 6750).
    Bearer {
        /// The token.
        token: Secret,
    },
}

impl Credentials {
    /// A user and a password.
    pub fn basic(user: impl Into<String>, password: impl AsRef<str>) -> Self {
        Self::Basic { user: user.into(), password: Secret::new(password.as_ref()) }
    }

    /// A token.
    pub fn bearer(token: impl AsRef<str>) -> Self {
        Self::Bearer { token: Secret::new(token.as_ref()) }
    }

    /// The value of `authorization`.
    pub(super) fn authorization(&self) -> Option<Secret> {
        match self {
            Self::Anonymous => None,
            Self::Basic { user, password } => {
                let both = Secret::new([user.as_bytes(), b":", password.expose()].concat());
                Some(Secret::new(format!("Basic {}", STANDARD.encode(both.expose()))))
            }
            Self::Bearer { token } => Some(bearer(token)),
        }
    }
}

/// The value of `authorization` for a token.
pub(super) fn bearer(token: &Secret) -> Secret {
    Secret::new([b"Bearer ", token.expose()].concat())
}

/// An address that is none for an upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an http or https URL without user, query and fragment: {reason}")]
pub struct UpstreamUrlError {
    pub(super) reason: String,
}

impl UpstreamUrlError {
    pub(super) fn new(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}
