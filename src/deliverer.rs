//! Deliverers: what carries a request to its endpoint.

pub mod address;
#[cfg(feature = "http")]
pub mod http;

use std::fmt;

use async_trait::async_trait;

pub use crate::request::{DeliverError, retry_after};

use crate::request::{Request, Response};

/// Carries requests to endpoints: HTTP, or whatever stands for it.
///
/// # Contract
/// 1. `deliver` sends the body byte by byte as it was given, since the signature covers it, and every
///    header field once, those of one name in their order. A field that [frames the
///    message](crate::request::frames_the_message) is refused as [`DeliverError::Invalid`] before
///    anything is dialled.
/// 2. It follows no redirect, retries nothing and makes no decision: it answers with what the
///    endpoint said, whatever the status.
/// 3. It ends within `request.timeout`, with [`DeliverError::Timeout`] if need be. The engine stops
///    waiting a little later anyway.
/// 4. It answers with the status as soon as the head of the response is complete: a body that
///    breaks off, drips or is too large costs its rest, not the status.
/// 5. An error tells what happened in words that a tenant may read: no secret, no internal address.
/// 6. Dropping the future abandons the request; nothing is left running for it, except what the
///    system has begun and cannot cancel (a name's look-up by `getaddrinfo`), which is bounded.
/// 7. Any number of calls run side by side.
#[async_trait]
pub trait Deliverer: fmt::Debug + Send + Sync + 'static {
    /// Makes the request.
    ///
    /// # Errors
    /// [`DeliverError`], where there is no status to answer with.
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError>;

    /// Says beforehand whether a URL could be dialled at all, for the comfort of who enters it. The
    /// check that counts is made when the connection is.
    ///
    /// # Errors
    /// What is wrong with the URL, for a person.
    fn check_url(&self, url: &url::Url) -> Result<(), String>;
}
