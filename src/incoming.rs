//! Receivers: what others tell, verified and understood.
//!
//! In: a request as it came in. Out: [`Notice`]s, each an event and what it says about what was
//! known before; [`known`] decides from both what is published, and [`replay`] whether the request
//! came before. Nothing here reads a clock, a storage or the network.

mod answer;
mod cloudevents;
pub mod distribution;
mod fields;
mod hops;
mod kept;
pub mod known;
pub mod mapping;
mod media;
mod moments;
mod names;
mod oci;
mod percent;
pub mod provider;
mod purl;
pub mod replay;
mod told;

use std::fmt;

pub use answer::Answer;
pub use hops::hops;
pub use kept::KeptHeaders;

use crate::clock::Timestamp;
use crate::document::Problems;
use crate::event::Event;
use crate::request::Headers;
use crate::signature::{Fingerprint, Verified, Verifier, VerifyError};

/// The largest body that a receiver takes unless it says otherwise, in bytes.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// A request as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The header fields.
    pub headers: &'a Headers,
    /// The body, byte by byte as it came: signatures cover it.
    pub body: &'a [u8],
}

/// Understands what one kind of sender tells.
///
/// # Contract
/// 1. `parse` gives every event of the body or none: a sender that is refused tells all of it
///    again.
/// 2. `parse` gives the same event ids for the same body, whenever it is told, so that a repeated
///    one is recognised.
/// 3. `parse` gives the notices in the order in which they happened, as far as the body tells.
pub trait Receiver: fmt::Debug + Send + Sync {
    /// What checks who sent it.
    fn verifier(&self) -> &Verifier;

    /// The largest body taken, in bytes. Whoever reads the body stops there.
    fn max_body_bytes(&self) -> usize {
        MAX_BODY_BYTES
    }

    /// What to answer to a verified body that tells no event but asks whether anybody is there; it
    /// is not parsed then.
    fn handshake(&self, body: Verified<'_>, headers: &Headers) -> Option<Answer> {
        let _ = (body, headers);
        None
    }

    /// What tells a verified body from all others when it comes again; `None` if its events' ids
    /// alone do.
    fn fingerprint(&self, body: Verified<'_>) -> Option<Fingerprint> {
        body.fingerprint()
    }

    /// Understands a verified body, received now.
    ///
    /// # Errors
    /// [`ParseError`] with everything that is wrong with it. No event of it may be stored then.
    fn parse(
        &self,
        body: Verified<'_>,
        headers: &Headers,
        now: Timestamp,
    ) -> Result<Vec<Notice>, ParseError>;

    /// Checks a request: its size, then who sent it.
    ///
    /// # Errors
    /// [`ReceiveError`], with the [`status`](ReceiveError::status) to answer.
    fn check<'a>(
        &self,
        incoming: Incoming<'a>,
        now: Timestamp,
    ) -> Result<Verified<'a>, ReceiveError> {
        self.check_by(self.verifier(), incoming, now)
    }

    /// Checks a request as [`check`](Self::check) does, by the receiver's verifier with what it
    /// needs besides, such as keys that were fetched.
    ///
    /// # Errors
    /// [`ReceiveError`], with the [`status`](ReceiveError::status) to answer.
    fn check_by<'a>(
        &self,
        verifier: &Verifier,
        incoming: Incoming<'a>,
        now: Timestamp,
    ) -> Result<Verified<'a>, ReceiveError> {
        let (found, limit) = (incoming.body.len(), self.max_body_bytes());
        if found > limit {
            return Err(ReceiveError::TooLarge { found, limit });
        }
        Ok(verifier.verify(incoming.headers, incoming.body, now)?)
    }

    /// Takes a request: [checks](Self::check) it, then what it says. Whether it came before is not
    /// looked at: see [`replay`].
    ///
    /// The notices are to be decided and stored one after the other, since each may say something
    /// about the next.
    ///
    /// # Errors
    /// [`ReceiveError`], with the [`status`](ReceiveError::status) to answer.
    fn open(&self, incoming: Incoming<'_>, now: Timestamp) -> Result<Vec<Notice>, ReceiveError> {
        let verified = self.check(incoming, now)?;
        if self.handshake(verified, incoming.headers).is_some() {
            return Ok(Vec::new());
        }
        Ok(self.parse(verified, incoming.headers, now)?)
    }
}

/// An event as its sender tells it, and what it says about what was known before.
///
/// The event's kind is provisional: many a sender says only "push", and whether that is a new
/// artifact, another content of a tag or nothing new is for [`known::decide`] to say. The event's
/// id does not depend on that.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The event.
    pub event: Event,
    /// What it says about what was known before.
    pub change: Change,
}

/// What a [`Notice`] says about what was known of its event's repository, or, where a version is
/// told or no repository, of its package.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Nothing: the event is published as it is.
    None,
    /// The receiver was told to leave such events out: it is not published.
    LeftOut,
    /// A manifest or another artifact was pushed.
    Push {
        /// The tag it was pushed by; `None` if it was pushed by its digest alone.
        tag: Option<String>,
        /// Its digest.
        digest: String,
    },
    /// Something was pushed by a tag or a version; the sender does not tell its digest.
    PushTag {
        /// The tag or version.
        tag: String,
    },
    /// A blob was pushed or mounted.
    PushBlob {
        /// Its digest.
        digest: String,
    },
    /// An artifact or a blob was deleted; the sender does not say which of the two.
    DeleteDigest {
        /// Its digest.
        digest: String,
    },
    /// A tag was removed.
    DeleteTag {
        /// The tag.
        tag: String,
    },
    /// The repository was deleted, with all that was in it; of a package that is in none, the
    /// package with all its versions.
    DeleteRepository,
}

/// Why a verified body did not become events. No event of it was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It is not what this receiver understands. The sender is set up for another one.
    #[error("content-type: expected {expected}, found {found}")]
    MediaType {
        /// The media types that the receiver understands.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// It does not say what it must. Told again it will be refused again.
    #[error(transparent)]
    Document(#[from] Problems),
}

impl ParseError {
    /// One problem with the document: where, and what was found and expected there.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        let mut problems = Problems::default();
        problems.add(path, message);
        Self::Document(problems)
    }
}

/// Why a request was not accepted. Nothing of it was stored. The display tells the sender's
/// operator what to mend and holds nothing of any secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The body is larger than the receiver takes; it was not looked at.
    #[error("body: expected at most {limit} bytes, found {found}")]
    TooLarge {
        /// Its size, in bytes.
        found: usize,
        /// The most that is taken, in bytes.
        limit: usize,
    },
    /// Nobody knows who sent it; the body was not looked at.
    #[error(transparent)]
    NotVerified(#[from] VerifyError),
    /// It was verified but not understood.
    #[error(transparent)]
    NotUnderstood(#[from] ParseError),
}

impl ReceiveError {
    /// The HTTP status to answer with (RFC 9110, section 15).
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            #[cfg(feature = "oidc")]
            Self::NotVerified(VerifyError::NoKeySet) => 503,
            Self::NotVerified(_) => 401,
            Self::NotUnderstood(ParseError::MediaType { .. }) => 415,
            Self::NotUnderstood(ParseError::Document(_)) => 400,
        }
    }
}
