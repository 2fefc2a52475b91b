//! Why something may not be dialled, in words for tenants.

use crate::request::{MAX_URL_BYTES, Spelling};

/// Why something may not be dialled. For tenants to read: it does not tell what a name resolved to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The address is not public and not allowed.
    #[error("the address is not public ({block}) and not allowed here")]
    NotPublic {
        /// The special-purpose block that the address lies in.
        block: &'static str,
    },
    /// The name resolves to an address that may not be dialled.
    #[error("the host resolves to an address that may not be dialled")]
    Resolved,
    /// The network is denied by the operator.
    #[error("the address is denied here")]
    Denied,
    /// The host is denied by the operator, or is none of those that are not.
    #[error("the host is denied here")]
    DeniedHost,
    /// The port is denied by the operator, or is none of those that are not.
    #[error("the port is denied here")]
    DeniedPort,
    /// The name resolves to nothing.
    #[error("the host resolves to no address")]
    NoAddress,
    /// The text is no absolute URL.
    #[error("expected an absolute URL such as https://example.com/hook: {reason}")]
    NoUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The scheme is not one to dial.
    #[error("expected https{}, found {found}", if *.http { " or http" } else { " (or http, where the address policy allows it)" })]
    Scheme {
        /// The scheme.
        found: String,
        /// Whether http is allowed too.
        http: bool,
    },
    /// The URL holds a user or a password.
    #[error("expected no user and password in the URL")]
    UserInfo,
    /// The host is none that can be dialled.
    #[error("expected a host name or an address, found {found:?}")]
    Host {
        /// The host.
        found: String,
    },
    /// The host is a name of this machine, and loopback is not allowed.
    #[error("the host is a name of this machine, which is not allowed here")]
    Localhost,
    /// Nothing can be dialled on port 0.
    #[error("expected a port from 1 to 65535, found 0")]
    Port,
    /// The URL is too long.
    #[error("expected a URL of at most {most} bytes, found {found}")]
    Length {
        /// Its length, in bytes.
        found: usize,
        /// The longest, in bytes.
        most: usize,
    },
}

impl From<Spelling> for Refusal {
    fn from(spelling: Spelling) -> Self {
        match spelling {
            Spelling::Length { found } => Self::Length { found, most: MAX_URL_BYTES },
            Spelling::UserInfo => Self::UserInfo,
            Spelling::Ambiguous | Spelling::Slashes => Self::NoUrl { reason: spelling.to_string() },
        }
    }
}
