//! Whom the deliverer trusts, as whom it shows itself, and which versions it speaks.

use std::sync::Arc;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::deliverer::Deliverer as _;
use artifact_triggers::deliverer::http::{HttpBuildError, HttpDeliverer, TlsVersion};
use artifact_triggers::delivery::Outcome;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Version;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::{Endpoint, endpoint, local, provider, request, serving};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A certificate of an authority for a name, and its key, in PEM.
fn issued(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
}

/// An endpoint of an authority that speaks these versions, and asks clients for a certificate of
/// that authority if it is strict.
async fn demanding(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    is_strict: bool,
) -> Endpoint {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider());
    let config = config.with_protocol_versions(versions).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let config = if is_strict {
        config.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        config.with_no_client_auth()
    };
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    serving(config, &["h2", "http/1.1"], authority.der()).await
}

/// Endpoints with a certificate that is not good, and what is wrong with it.
async fn impostors() -> Vec<(&'static str, Endpoint)> {
    let untrusted = endpoint(&[], |_| ()).await;
    let self_signed = rcgen::generate_simple_self_signed(["hooks.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(self_signed.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![self_signed.cert.der().clone()], key)
        .unwrap();
    let self_signed = serving(config, &[], untrusted.root.as_slice()).await;
    let other_name = endpoint(&[], |params| {
        *params = CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
    });
    let expired = endpoint(&[], |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let early = endpoint(&[], |params| params.not_before = rcgen::date_time_ymd(3000, 1, 1));
    let (other_name, expired, early) = (other_name.await, expired.await, early.await);
    vec![
        ("untrusted", untrusted),
        ("self-signed", self_signed),
        ("of another name", other_name),
        ("expired", expired),
        ("early", early),
    ]
}

#[tokio::test]
async fn defect_32_no_option_but_the_one_that_says_so_trusts_a_wrong_certificate() {
    let authority = authority();
    let (chain, key) = issued(&authority, "us.example");
    for (kind, endpoint) in impostors().await {
        // All but the first two are of an issuer that is trusted.
        let roots = match kind {
            "untrusted" | "self-signed" => Vec::new(),
            _ => vec![endpoint.root.clone()],
        };
        let trusting = || local().root_certificates(roots.clone());
        for (options, builder) in [
            ("no option", trusting()),
            ("a root", trusting().root_certificate(authority.der().to_vec())),
            ("roots in PEM", trusting().root_certificates_pem(pem("CERTIFICATE", authority.der()))),
            ("a client certificate", trusting().client_certificate_pem(&chain, &key)),
            ("a least version", trusting().minimum_tls(TlsVersion::Tls13)),
        ] {
            let request = request(&endpoint, "hooks.example", "/alone");
            let answer = builder.build().unwrap().deliver(request).await;
            let outcome = Outcome::of(&answer, Timestamp::UNIX_EPOCH);
            assert_eq!(outcome, Outcome::Transient, "{kind}, {options}: {answer:?}");
            let sent = endpoint.versions.lock().unwrap();
            assert!(sent.is_empty(), "{kind}, {options}: nothing is sent");
        }
        let credulous = local().danger_accept_invalid_certificates().build().unwrap();
        let answer = credulous.deliver(request(&endpoint, "hooks.example", "/alone")).await;
        assert_eq!(answer.unwrap().status, 200, "{kind}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks_for_it() {
    let authority = authority();
    let endpoint = demanding(&authority, &[&TLS13, &TLS12], true).await;
    let trusting = || local().root_certificates_pem(pem("CERTIFICATE", authority.der()));
    let request = || request(&endpoint, "hooks.example", "/alone");
    // By TLS 1.3 a client hears that it is refused after its side of the handshake is done.
    let refused = trusting().build().unwrap().deliver(request()).await;
    assert_eq!(Outcome::of(&refused, Timestamp::UNIX_EPOCH), Outcome::Transient, "{refused:?}");
    assert!(endpoint.versions.lock().unwrap().is_empty(), "nothing is sent");
    let (chain, key) = issued(&authority, "us.example");
    let known = trusting().client_certificate_pem(&chain, &key);
    let shown = format!("{known:?}");
    assert!(!shown.contains(key.lines().nth(1).unwrap()), "the key is not shown");
    assert_eq!(known.build().unwrap().deliver(request()).await.unwrap().status, 200);
    assert_eq!(*endpoint.versions.lock().unwrap(), [Version::HTTP_2], "by HTTP/2 too");
    let both = format!("{key}{chain}");
    let known = trusting().client_certificate_pem(&both, &both).build().unwrap();
    assert_eq!(known.deliver(request()).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_older_version_than_the_least_is_not_spoken() {
    let authority = authority();
    let old = demanding(&authority, &[&TLS12], false).await;
    let new = demanding(&authority, &[&TLS13], false).await;
    let trusting = || local().root_certificate(authority.der().to_vec());
    for (endpoint, least, expected) in [
        (&old, TlsVersion::Tls12, Some(200)),
        (&new, TlsVersion::Tls12, Some(200)),
        (&new, TlsVersion::Tls13, Some(200)),
        (&old, TlsVersion::Tls13, None),
    ] {
        let deliverer = trusting().minimum_tls(least).build().unwrap();
        let answer = deliverer.deliver(request(endpoint, "hooks.example", "/alone")).await;
        assert_eq!(answer.map(|response| response.status).ok(), expected, "{least:?}");
    }
}

#[test]
fn what_is_no_certificate_or_no_key_is_told_when_it_is_built() {
    let authority = authority();
    let (chain, key) = issued(&authority, "us.example");
    let (_, other) = issued(&authority, "us.example");
    let builder = HttpDeliverer::builder;
    for builder in [
        builder().root_certificates_pem("no PEM at all"),
        builder().root_certificates_pem(&key),
        builder().client_certificate_pem(&chain, "no PEM at all"),
        builder().client_certificate_pem(&chain, &chain),
        builder().client_certificate_pem(&key, &key),
    ] {
        let error = builder.build().unwrap_err();
        assert!(matches!(error, HttpBuildError::Pem { .. }), "{error}");
    }
    let error = builder().client_certificate_pem(&chain, &other).build().unwrap_err();
    assert!(matches!(error, HttpBuildError::ClientCertificate { .. }), "{error}");
}
