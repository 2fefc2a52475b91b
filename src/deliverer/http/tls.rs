//! TLS: which provider, which roots, which versions, and who we are.

use std::error::Error;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
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

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl TlsVersion {
    fn and_later(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls12 => vec![&TLS13, &TLS12],
            Self::Tls13 => vec![&TLS13],
        }
    }
}

/// Who we are: a certificate and those that it was issued by, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What the builder was told about TLS.
#[derive(Debug, Default)]
pub(super) struct TlsOptions {
    /// Trusted beside the platform's.
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) identity: Option<Identity>,
    pub(super) minimum: TlsVersion,
    pub(super) accepts_invalid_certificates: bool,
}

/// Why there is no configuration.
#[derive(Debug)]
pub(super) enum NoConfig {
    /// This machine's fault.
    Unavailable(TlsUnavailable),
    /// The client certificate or its key.
    Identity(rustls::Error),
}

impl TlsOptions {
    /// Whether nothing was said.
    pub(super) fn is_default(&self) -> bool {
        let Self { roots, identity, minimum, accepts_invalid_certificates } = self;
        let is_usual = *minimum == TlsVersion::default() && !accepts_invalid_certificates;
        roots.is_empty() && identity.is_none() && is_usual
    }

    /// The configuration: of the process's provider or else the one compiled in, and the platform's
    /// roots beside those given.
    pub(super) fn into_config(self) -> Result<ClientConfig, NoConfig> {
        let unusable =
            |error: rustls::Error| NoConfig::Unavailable(TlsUnavailable::Unusable(error.into()));
        let provider = CryptoProvider::get_default().cloned().or_else(compiled);
        let provider = provider.ok_or(NoConfig::Unavailable(TlsUnavailable::NoProvider))?;
        let verifier: Arc<dyn ServerCertVerifier> = if self.accepts_invalid_certificates {
            Arc::new(Credulous(provider.clone()))
        } else {
            let verifier = Verifier::new_with_extra_roots(self.roots, provider.clone());
            Arc::new(verifier.map_err(unusable)?)
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.minimum.and_later())
            .map_err(unusable)?;
        let config = config.dangerous().with_custom_certificate_verifier(verifier);
        match self.identity {
            None => Ok(config.with_no_client_auth()),
            Some((chain, key)) => {
                config.with_client_auth_cert(chain, key).map_err(NoConfig::Identity)
            }
        }
    }
}

/// Takes any certificate for good, if who shows it has its key.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
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
