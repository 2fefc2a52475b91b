//! What a client's error is for the engine, in words for tenants.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::Duration;

use hyper_util::client::legacy;

use super::connector::{Reached, Unreachable, Unresolved};
use super::proxy::ProxyFailed;
use super::tls::TlsUnavailable;
use crate::deliverer::DeliverError;
use crate::deliverer::address::Refusal;

/// An answer that cannot be read.
pub(super) const TOO_LARGE: &str = "the answer is not HTTP, or its head is too large";

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// The time was up.
    Late {
        /// How long it was waited for.
        after: Duration,
    },
    /// The client's own error.
    Client(legacy::Error),
}

/// What a failure is for the engine: no address, no path, no name out of a certificate.
///
/// Who chose the URL must not learn from it which ports are open where they could not look
/// themselves. A connection that was not made is told alike, whatever hindered it; and so is all
/// that comes later, if it goes to an address that is not public and that the operator does not let
/// be told.
pub(super) fn told(failed: &Failed, reached: Option<Reached>) -> DeliverError {
    let error = match (failed, reached) {
        (Failed::Late { after }, Some(Reached { is_told: true, .. })) => {
            return DeliverError::Timeout { after: *after };
        }
        (_, Some(Reached { is_told: false, .. })) | (Failed::Late { .. }, None) => {
            return DeliverError::Connect { reason: Unreachable.to_string() };
        }
        (Failed::Client(error), _) => error,
    };
    if let Some(refusal) = cause::<Refusal>(error) {
        return DeliverError::Blocked { reason: refusal.to_string() };
    }
    if !error.is_connect() {
        return DeliverError::Broken { reason: broken(error) };
    }
    DeliverError::Connect { reason: unconnected(error) }
}

/// What the lack of TLS is for the engine. The cause is the operator's to know.
pub(super) fn without_tls(unavailable: &TlsUnavailable) -> DeliverError {
    let reason = match unavailable {
        TlsUnavailable::NoProvider => unavailable.to_string(),
        TlsUnavailable::Unusable(_) => "TLS cannot be used on the sending machine".to_owned(),
    };
    DeliverError::Connect { reason }
}

fn broken(error: &legacy::Error) -> String {
    if let Some(error) = cause::<rustls::Error>(error) {
        return format!("TLS failed: {}", tls(error));
    }
    let reason = match cause::<hyper::Error>(error) {
        Some(error) if error.is_parse() => TOO_LARGE,
        Some(error) if error.is_incomplete_message() => "the connection was closed",
        _ => "the connection broke",
    };
    reason.to_owned()
}

fn unconnected(error: &legacy::Error) -> String {
    use io::ErrorKind as Kind;
    if let Some(unresolved) = cause::<Unresolved>(error) {
        return unresolved.to_string();
    }
    if let Some(failed) = cause::<ProxyFailed>(error) {
        return failed.to_string();
    }
    if let Some(error) = cause::<rustls::Error>(error) {
        return format!("TLS failed: {}", tls(error));
    }
    let innermost = chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).last();
    match innermost.map(io::Error::kind) {
        Some(
            Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe,
        ) => "the endpoint closed it before it was ready".to_owned(),
        _ => Unreachable.to_string(),
    }
}

/// What failed in TLS. rustls's own words may hold the names and addresses in a certificate.
fn tls(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Certificate;
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return match error {
            rustls::Error::AlertReceived(_) => "the endpoint refused the handshake",
            rustls::Error::InvalidMessage(_) => "the endpoint does not speak TLS",
            rustls::Error::PeerIncompatible(_) => "no version or cipher suite in common",
            _ => "the handshake failed",
        };
    };
    match certificate {
        Certificate::Expired | Certificate::ExpiredContext { .. } => "the certificate has expired",
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "the certificate is for another name"
        }
        Certificate::UnknownIssuer => "the certificate's issuer is not trusted",
        Certificate::Revoked => "the certificate was revoked",
        _ => "the certificate is not valid",
    }
}

/// An error and what caused it, outermost first. An I/O error holds its cause inside and skips it
/// as a source.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    successors(Some(error), |&error| match error.downcast_ref().and_then(io::Error::get_ref) {
        Some(inside) => Some(inside),
        None => error.source(),
    })
}

fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    chain(error).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lack_of_tls_tells_tenants_nothing_of_this_machine() {
        let unavailable = TlsUnavailable::Unusable("cannot read /etc/ssl/hunter2.pem".into());
        assert!(unavailable.source().unwrap().to_string().contains("hunter2"));
        let error = without_tls(&unavailable);
        assert_eq!(error.to_string(), "no connection: TLS cannot be used on the sending machine");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn a_cause_is_found_however_deep_it_is_wrapped() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let wrapped = io::Error::other(io::Error::other(refused));
        let kinds = chain(&wrapped).filter_map(|error| error.downcast_ref::<io::Error>());
        assert_eq!(kinds.last().map(io::Error::kind), Some(io::ErrorKind::ConnectionRefused));
        let tls = io::Error::other(io::Error::other(rustls::Error::DecryptError));
        assert_eq!(cause::<rustls::Error>(&tls), Some(&rustls::Error::DecryptError));
        assert!(cause::<Refusal>(&tls).is_none());
    }
}
