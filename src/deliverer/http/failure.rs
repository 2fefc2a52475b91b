//! What a client's error is for the engine, in words for tenants.

use std::error::Error;
use std::io;

use hyper_util::client::legacy;

use super::connector::{TooSlow, Unresolved};
use crate::deliverer::DeliverError;
use crate::deliverer::address::Refusal;

/// What a client's error is for the engine, in words for tenants: no address, no path.
pub(super) fn told(error: &legacy::Error) -> DeliverError {
    if let Some(refusal) = cause::<Refusal>(error) {
        return DeliverError::Blocked { reason: refusal.to_string() };
    }
    if !error.is_connect() {
        let reason = match cause::<hyper::Error>(error) {
            Some(error) if error.is_parse() => "the answer is not HTTP, or its head is too large",
            Some(error) if error.is_incomplete_message() => "the connection was closed",
            _ => "the connection broke",
        };
        return DeliverError::Broken { reason: reason.to_owned() };
    }
    let reason = if let Some(unresolved) = cause::<Unresolved>(error) {
        unresolved.to_string()
    } else if let Some(slow) = cause::<TooSlow>(error) {
        slow.to_string()
    } else if let Some(error) = cause::<rustls::Error>(error) {
        format!("TLS failed: {error}")
    } else {
        "the endpoint does not take connections".to_owned()
    };
    DeliverError::Connect { reason }
}

/// The first error of a kind in a chain of causes. An I/O error may hold one inside.
fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = error.downcast_ref().or_else(|| inside?.downcast_ref());
        if found.is_some() {
            return found;
        }
        next = error.source();
    }
    None
}
