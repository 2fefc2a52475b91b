//! TLS: which provider and which roots.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls_platform_verifier::BuilderVerifierExt as _;

/// The configuration that needs no asking, or why there is none here.
pub(super) fn default_config() -> Result<ClientConfig, String> {
    let provider = CryptoProvider::get_default().cloned().or_else(compiled);
    let provider = provider.ok_or(
        "no TLS provider: enable http-aws-lc-rs or http-ring, or install a process default",
    )?;
    let failed = |error: rustls::Error| format!("TLS cannot be used here: {error}");
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    Ok(config.with_platform_verifier().map_err(failed)?.with_no_client_auth())
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
