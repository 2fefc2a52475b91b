//! Each provider proves itself in its own way, and in no other.

use artifact_triggers::incoming::provider::{NoVerifier, Provider, ProviderReceiver};
use artifact_triggers::incoming::{Incoming, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::secret::Secret;
use artifact_triggers::signature::{Message, ParseSecretError, Scheme, Verifier, VerifyError};

use crate::sample;

const SECRET: &str = "test-secret";
const BODY: &[u8] = b"hello world";
/// HMAC-SHA256 of the body by the secret, by OpenSSL 3.
const SHA256: &str = "046e2496e13e0bfd8dbef84244dd188311a48086646355161bc4ad0769a49cf4";

/// HMAC-SHA1 likewise.
#[cfg(feature = "sha1")]
const SHA1: &str = "80a144c4c1f0fc73d3e9dee60fa6807e36c626a3";

/// The field that each provider sends, if it sends any.
fn field(provider: Provider) -> Option<(&'static str, String)> {
    match provider {
        Provider::ArtifactHub => Some(("X-ArtifactHub-Secret", SECRET.to_owned())),
        Provider::Gitea => Some(("X-Gitea-Signature", SHA256.to_owned())),
        Provider::GitHub => Some(("X-Hub-Signature-256", format!("sha256={SHA256}"))),
        Provider::GitLab => Some(("X-Gitlab-Token", SECRET.to_owned())),
        Provider::Harness => Some(("X-Gitness-Signature", SHA256.to_owned())),
        Provider::JFrog => Some(("X-JFrog-Event-Auth", SHA256.to_owned())),
        #[cfg(feature = "sha1")]
        Provider::Nexus => Some(("X-Nexus-Webhook-Signature", SHA1.to_owned())),
        Provider::Npm => Some(("x-npm-signature", format!("sha256={SHA256}"))),
        Provider::Verdaccio => Some(("Authorization", SECRET.to_owned())),
        Provider::Angos => Some(("X-Registry-Signature-256", format!("sha256={SHA256}"))),
        Provider::CdEvents | Provider::CloudEvents => {
            Some(("Authorization", format!("Bearer {SECRET}")))
        }
        Provider::Acr | Provider::Ecr | Provider::Harbor | Provider::Zot => {
            Some(("Authorization", SECRET.to_owned()))
        }
        Provider::ArtifactRegistry | Provider::DockerHub | Provider::Quay => None,
        other => panic!("which field does {other} send?"),
    }
}

fn verify(provider: Provider, fields: &[(&str, &str)]) -> Result<(), VerifyError> {
    let headers: Headers = fields.iter().copied().collect();
    let verifier = provider.verifier(&Secret::new(SECRET)).unwrap();
    verifier.verify(&headers, BODY, sample::now()).map(|_| ())
}

#[test]
fn each_provider_is_verified_by_what_it_sends() {
    let is_elsewhere = |provider: &Provider| {
        *provider == Provider::Kellnr || (*provider == Provider::Nexus && !cfg!(feature = "sha1"))
    };
    for provider in Provider::all().filter(|provider| !is_elsewhere(provider)) {
        let Some((name, value)) = field(provider) else {
            let refused = provider.verifier(&Secret::new(SECRET)).unwrap_err();
            let has_token = provider == Provider::ArtifactRegistry;
            let reason = if has_token { NoVerifier::Token } else { NoVerifier::Unable };
            assert_eq!(refused, reason, "{provider}");
            continue;
        };
        assert_eq!(verify(provider, &[(name, &value)]), Ok(()), "{provider}");
        let wrong = format!("{}0", &value[..value.len() - 1]);
        assert_eq!(verify(provider, &[(name, &wrong)]), Err(VerifyError::Mismatch), "{provider}");
        let absent = |fields: &[(&str, &str)]| {
            matches!(verify(provider, fields), Err(VerifyError::Header { .. }))
        };
        assert!(absent(&[]) && absent(&[(name, "")]), "{provider}");
        assert!(absent(&[(name, &value), (name, &value)]), "{provider}");
    }
}

#[test]
fn a_signing_token_is_one_of_standard_webhooks() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for provider in [Provider::GitLab, Provider::Kellnr] {
        let verifier = provider.verifier(&Secret::new(secret)).unwrap();
        let message = Message::new("msg_1", sample::now(), BODY);
        let signed = Scheme::StandardWebhooks.sign(&[secret.parse().unwrap()], &message).unwrap();
        assert!(verifier.verify(&signed, BODY, sample::now()).is_ok(), "{provider}");
        let refused = verifier.verify(&signed, b"other", sample::now());
        assert_eq!(refused.map(drop), Err(VerifyError::Mismatch), "{provider}");
        let token: Headers = [("X-Gitlab-Token", secret)].into_iter().collect();
        assert!(verifier.verify(&token, BODY, sample::now()).is_err(), "{provider}");
    }
    let refused = Provider::Kellnr.verifier(&Secret::new(SECRET));
    assert!(matches!(refused, Err(NoVerifier::Secret(_))), "{refused:?}");
}

#[cfg(not(feature = "sha1"))]
#[test]
fn what_this_build_cannot_verify_is_said() {
    let refused = Provider::Nexus.verifier(&Secret::new(SECRET)).unwrap_err();
    assert_eq!(refused, NoVerifier::Feature { name: "sha1" });
    let said = "this provider's signatures are verified with the feature sha1";
    assert_eq!(refused.to_string(), said);
}

#[test]
fn each_sample_is_recognised_as_its_providers_and_nothing_else_depends_on_that() {
    for sample in sample::all() {
        let recognised = Provider::recognise(&sample.headers(), &sample.bytes());
        assert_eq!(recognised, Some(sample.provider), "{}", sample.name());
    }
    let headers = [("X-GitHub-Event", "package"), ("X-Gitea-Event", "package")];
    let incoming = Incoming { headers: &headers.into_iter().collect(), body: b"{}" };
    let receiver = ProviderReceiver::new(
        Provider::GitHub,
        "acme".parse().unwrap(),
        Verifier::accept_unverified(),
    );
    assert_eq!(
        receiver.open(incoming, sample::now()).unwrap_err().to_string(),
        "action: expected a string, found nothing; package: expected an object, found nothing; \
         it looks like gitea's, but the receiver is github's"
    );
}

#[test]
fn a_secret_that_nothing_can_be_signed_with_is_refused() {
    let refused = Provider::Angos.verifier(&Secret::new("")).unwrap_err();
    assert_eq!(refused, NoVerifier::Secret(ParseSecretError::Text));
    for unsendable in ["", "a\r\nb", "é"] {
        for provider in [Provider::Harbor, Provider::CloudEvents] {
            let refused = provider.verifier(&Secret::new(unsendable)).unwrap_err();
            assert_eq!(refused, NoVerifier::Value, "{provider}: {unsendable:?}");
        }
    }
    assert!(Provider::Harbor.verifier(&Secret::new("x".repeat(2_000))).is_ok());
    let refused = Provider::Angos.verifier(&Secret::new([0xff, 0xfe])).unwrap_err();
    assert_eq!(refused, NoVerifier::Secret(ParseSecretError::Text));
}

#[test]
fn who_is_not_verified_is_not_read() {
    for sample in sample::all() {
        let Ok(verifier) = sample.provider.verifier(&Secret::new(SECRET)) else { continue };
        let receiver = ProviderReceiver::new(sample.provider, "acme".parse().unwrap(), verifier);
        let (headers, body) = (sample.headers(), sample.bytes());
        let incoming = Incoming { headers: &headers, body: &body };
        let error = receiver.open(incoming, sample::now()).unwrap_err();
        assert_eq!(error.status(), 401, "{}", sample.name());
    }
}
