//! TLS: which provider and which roots.

use std::error::Error;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

/// Why there is no TLS here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsUnavailable {
    /// No provider is compiled in.
    #[error("no TLS provider: enable http-aws-lc-rs or http-ring, or install a process default")]
    NoProvider,
    /// The provider or the platform's roots cannot be used.
    #[error("TLS cannot be used here")]
    Unusable(#[source] Box<dyn Error + Send + Sync>),
}

/// The configuration that needs no asking: the process's provider or else the one compiled in, and
/// the platform's roots beside those given.
pub(super) fn default_config(
    roots: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, TlsUnavailable> {
    let unusable = |error: rustls::Error| TlsUnavailable::Unusable(error.into());
    let provider = CryptoProvider::get_default().cloned().or_else(compiled);
    let provider = provider.ok_or(TlsUnavailable::NoProvider)?;
    let verifier = Verifier::new_with_extra_roots(roots, provider.clone());
    let verifier = verifier.map_err(unusable)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(config.with_no_client_auth())
}

#[cfg(feature = "http-aws-lc-rs")]
#[expect(clippy::unnecessary_wraps, reason = "without the features there is none")]
fn compiled() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(all(feature = "http-ring", not(feature = "http-aws-lc-rs")))]
#[expect(clippy::unnecessary_wraps, reason = "without the features there is none")]
fn compiled() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(any(feature = "http-aws-lc-rs", feature = "http-ring")))]
fn compiled() -> Option<Arc<CryptoProvider>> {
    None
}
