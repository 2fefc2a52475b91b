//! Deliverers: what carries a request to its endpoint.

pub mod address;
#[cfg(feature = "http")]
pub mod http;

use std::fmt;

use async_trait::async_trait;

pub use crate::request::{DeliverError, retry_after};

use crate::event::Scope;
use crate::request::{Request, Response};

/// Carries requests to endpoints: HTTP, or whatever stands for it.
///
/// # Contract
/// Each rule has tests in the suite of the feature `conformance`, whose names begin with its
/// number: see [writing a backend](crate::manual::writing_a_backend).
///
/// *What is sent and told*
/// 1. `deliver` asks by the method that was given and sends the body byte by byte as it was, since
///    the signature covers it, and every header field once, those of one name in their order. A
///    field that [frames the message](crate::request::frames_the_message) is refused as
///    [`DeliverError::Invalid`] before anything is dialled.
/// 2. It follows no redirect, retries nothing and makes no decision: it answers with what the
///    endpoint said, whatever the status. One call makes at most one request.
///
/// *How it ends*
///
/// 3. It ends within `request.timeout`, with [`DeliverError::Timeout`] if need be. The engine stops
///    waiting a little later anyway.
/// 4. It answers with the status as soon as the head of the response is complete: a body that
///    breaks off, drips or is too large costs its rest, not the status. [`Response::complete`] is
///    said only of a body of which nothing is missing.
/// 5. An error is of the kind that says what follows, and tells what happened in words that a
///    tenant may read: no secret, no path, no internal address.
/// 6. Dropping the future abandons the request; nothing is left running for it, except what the
///    system has begun and cannot cancel (a name's look-up by `getaddrinfo`), which is bounded. The
///    endpoint may have got it.
///
/// *Beside each other*
///
/// 7. Any number of calls run side by side; none waits for another.
/// 8. `check_url` refuses no URL that `deliver` would dial. It may let one through that is refused
///    then.
#[async_trait]
pub trait Deliverer: fmt::Debug + Send + Sync + 'static {
    /// Makes the request. Made again it is sent again: that it is one message is told by its
    /// headers.
    ///
    /// # Errors
    /// [`DeliverError`], where there is no status to answer with. The engine makes a dead letter of
    /// what is [`Blocked`](DeliverError::Blocked) or [`Invalid`](DeliverError::Invalid), and tries
    /// the others again by the trigger's policy. A panic counts as an attempt that failed and is
    /// tried again.
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError>;

    /// Says beforehand whether a URL could be dialled at all for a trigger of a scope, for the
    /// comfort of who enters it. The check that counts is made when the connection is.
    ///
    /// # Errors
    /// What is wrong with the URL, for a person. A trigger with such a URL is not stored.
    fn check_url(&self, scope: &Scope, url: &url::Url) -> Result<(), String>;
}
