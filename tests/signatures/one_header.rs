//! Schemes that have their signature in one header: GitHub's, Harness', timestamped, HMAC-SHA1.

use std::time::Duration;

use artifact_triggers::request::Headers;
use artifact_triggers::signature::{Scheme, SigningSecret, Verifier, VerifyError};

use crate::{BODY, BodyVector, ID, SENT, at, secret, signed_by, text, vectors, with};

const GITHUB: &str = "x-hub-signature-256";
const HARNESS: &str = "x-gitness-signature";
const STAMPED: &str = "acme-signature";
const MISMATCH: Result<(), VerifyError> = Err(VerifyError::Mismatch);

fn harness() -> Scheme {
    Scheme::Harness { prefix: "Gitness".to_owned() }
}

fn stamped() -> Scheme {
    Scheme::Timestamped { header: "Acme-Signature".to_owned() }
}

fn signed(scheme: &Scheme) -> Headers {
    signed_by(scheme, &[text("s3cret")], ID, SENT, BODY)
}

fn value(headers: &Headers, name: &str) -> String {
    String::from_utf8(headers.only(name).unwrap().to_vec()).unwrap()
}

fn verdict(verifier: &Verifier, headers: &Headers, body: &[u8]) -> Result<(), VerifyError> {
    verifier.verify(headers, body, at(SENT)).map(|verified| assert_eq!(verified.body(), body))
}

/// Each scheme as it signs and as it verifies, with its header.
fn all(secrets: &[SigningSecret]) -> [(Scheme, Verifier, &'static str); 3] {
    let secrets = || secrets.to_vec();
    [
        (Scheme::Github, Verifier::github(secrets()), GITHUB),
        (harness(), Verifier::harness("Gitness", secrets()), HARNESS),
        (stamped(), Verifier::timestamped(STAMPED, secrets()), STAMPED),
    ]
}

fn check(
    scheme: &Scheme,
    verify: impl Fn(SigningSecret) -> Verifier,
    name: &str,
    all: Vec<BodyVector>,
) {
    for vector in all {
        let (secret, body) = (text(&vector.secret), vector.body.as_bytes());
        let time = vector.timestamp.unwrap_or(SENT);
        let headers = signed_by(scheme, std::slice::from_ref(&secret), ID, time, body);
        assert_eq!(value(&headers, name), vector.header, "{}", vector.source);
        let alone: Headers = [(name, vector.header)].into_iter().collect();
        verify(secret).verify(&alone, body, at(time)).expect(&vector.source);
    }
}

#[test]
fn the_published_vectors_are_signed_and_verified() {
    let vectors = vectors();
    check(&Scheme::Github, |one| Verifier::github([one]), GITHUB, vectors.github_sha256);
    let verify = |one| Verifier::harness("Gitness", [one]);
    check(&harness(), verify, HARNESS, vectors.harness_sha256_hex);
    let verify = |one| Verifier::timestamped("Acme-Signature", [one]);
    check(&stamped(), verify, STAMPED, vectors.timestamped);
}

#[test]
fn id_and_time_are_told_and_the_signature_once() {
    for (scheme, _, name) in all(&[text("s3cret")]) {
        let headers = signed(&scheme);
        let names: Vec<&str> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["webhook-id", "webhook-timestamp", name]);
    }
}

#[test]
fn the_prefix_of_harness_names_the_header() {
    let headers = signed(&Scheme::Harness { prefix: "Acme".to_owned() });
    assert_eq!(verdict(&Verifier::harness("ACME", [text("s3cret")]), &headers, BODY), Ok(()));
    let absent = Err(VerifyError::Header { name: HARNESS.to_owned() });
    assert_eq!(verdict(&Verifier::harness("Gitness", [text("s3cret")]), &headers, BODY), absent);
}

#[test]
fn bodies_need_not_be_text() {
    let body = [0, 0xff, 0xfe, b'\n', 0x80];
    for (scheme, verifier, _) in all(&[text("s3cret")]) {
        let headers = signed_by(&scheme, &[text("s3cret")], ID, SENT, &body);
        assert_eq!(verdict(&verifier, &headers, &body), Ok(()));
        assert_eq!(verdict(&verifier, &headers, &body[..4]), MISMATCH);
    }
}

#[test]
fn any_of_the_secrets_may_have_signed() {
    for (scheme, verifier, _) in all(&[text("new"), text("old")]) {
        for signer in ["new", "old"] {
            let headers = signed_by(&scheme, &[text(signer)], ID, SENT, BODY);
            assert_eq!(verdict(&verifier, &headers, BODY), Ok(()), "{signer}");
        }
        let headers = signed_by(&scheme, &[text("other")], ID, SENT, BODY);
        assert_eq!(verdict(&verifier, &headers, BODY), MISMATCH);
    }
    for (scheme, verifier, _) in all(&[]) {
        assert_eq!(verdict(&verifier, &signed(&scheme), BODY), MISMATCH, "without a secret");
    }
}

#[test]
fn where_there_is_room_for_one_signature_the_first_secret_signs() {
    let both = [text("new"), text("old")];
    let [github, harness, stamped] = all(&[text("old")]);
    for (scheme, verifier, _) in [github, harness] {
        assert_eq!(verdict(&verifier, &signed_by(&scheme, &both, ID, SENT, BODY), BODY), MISMATCH);
    }
    // Here both do.
    let headers = signed_by(&stamped.0, &both, ID, SENT, BODY);
    assert_eq!(verdict(&stamped.1, &headers, BODY), Ok(()));
}

#[test]
fn defect_33_an_empty_signature_or_a_bare_prefix_is_none() {
    for (scheme, verifier, name) in all(&[text("s3cret")]) {
        let headers = signed(&scheme);
        let absent = Err(VerifyError::Header { name: name.to_owned() });
        let without: Headers = headers.iter().filter(|(field, _)| *field != name).collect();
        assert_eq!(verdict(&verifier, &without, BODY), absent);
        assert_eq!(verdict(&verifier, &with(&headers, name, ""), BODY), absent);
        let mut twice = headers.clone();
        twice.push(name.to_uppercase(), value(&headers, name));
        assert_eq!(verdict(&verifier, &twice, BODY), absent);
    }
    let verifier = Verifier::github([text("s3cret")]);
    for bare in ["sha256=", "sha256", "=", " ", "sha1="] {
        let headers = with(&signed(&Scheme::Github), GITHUB, bare);
        assert_eq!(verdict(&verifier, &headers, BODY), MISMATCH, "{bare:?}");
    }
    let verifier = Verifier::timestamped("acme-signature", [text("s3cret")]);
    for bare in [format!("t={SENT},v1="), format!("t={SENT},v1"), format!("t={SENT}")] {
        let headers = with(&signed(&stamped()), STAMPED, bare.clone());
        assert_eq!(verdict(&verifier, &headers, BODY), MISMATCH, "{bare:?}");
    }
}

#[test]
fn a_header_of_any_name_is_verified_bare_or_with_its_prefix() {
    for vector in vectors().github_sha256 {
        let body = vector.body.as_bytes();
        let hex = vector.header.strip_prefix("sha256=").unwrap();
        let secrets = || [text("x"), text(&vector.secret)];
        let bare = Verifier::hex_sha256("X-JFrog-Event-Auth", "", secrets());
        let headers = [("x-jfrog-event-auth", hex)].into_iter().collect();
        assert_eq!(verdict(&bare, &headers, body), Ok(()), "{}", vector.source);
        assert_eq!(verdict(&bare, &headers, b"other"), MISMATCH);
        let prefixed = Verifier::hex_sha256("x-npm-signature", "sha256=", secrets());
        let headers = [("X-Npm-Signature", vector.header.as_str())].into_iter().collect();
        assert_eq!(verdict(&prefixed, &headers, body), Ok(()), "{}", vector.source);
        for (verifier, name, value) in [
            (&bare, "x-jfrog-event-auth", vector.header.as_str()),
            (&prefixed, "x-npm-signature", hex),
            (&prefixed, "x-npm-signature", "sha256="),
        ] {
            let headers = [(name, value)].into_iter().collect();
            assert_eq!(verdict(verifier, &headers, body), MISMATCH, "{name}: {value}");
        }
    }
}

#[test]
fn a_signature_that_is_nearly_one_is_none() {
    for (scheme, verifier, name) in all(&[text("s3cret")]) {
        let headers = signed(&scheme);
        let fits = value(&headers, name);
        let (prefix, hex) = fits.split_at(fits.len() - 64);
        for found in [
            format!("{prefix}{}", hex.to_uppercase()),
            format!("{prefix}{}", &hex[..63]),
            format!("{prefix}{}", &hex[..62]),
            format!("{prefix}{}", &hex[..8]),
            format!("{prefix}{hex}0"),
            format!("{prefix}{hex}00"),
            format!("{prefix} {hex}"),
            format!("{prefix}{hex}\n"),
            format!("{prefix}0x{}", &hex[2..]),
            format!("{prefix}{}", "0".repeat(64)),
            format!("{hex}{fits}"),
            format!("x{fits}"),
        ] {
            let changed = with(&headers, name, found.clone());
            assert!(verdict(&verifier, &changed, BODY).is_err(), "{found:?}");
        }
    }
}

#[test]
fn prefixes_and_algorithms_are_exact() {
    let headers = signed(&Scheme::Github);
    let verifier = Verifier::github([text("s3cret")]);
    let hex = value(&headers, GITHUB)[7..].to_owned();
    for found in
        [hex.clone(), format!("SHA256={hex}"), format!("sha512={hex}"), format!("sha1={hex}")]
    {
        assert_eq!(verdict(&verifier, &with(&headers, GITHUB, found), BODY), MISMATCH);
    }
    // Harness' is bare.
    let headers = with(&signed(&harness()), HARNESS, format!("sha256={hex}"));
    let verifier = Verifier::harness("Gitness", [text("s3cret")]);
    assert_eq!(verdict(&verifier, &headers, BODY), MISMATCH);
    for version in ["v0", "V1", "v1a", "v2", "1"] {
        let fits = value(&signed(&stamped()), STAMPED);
        let headers = with(&signed(&stamped()), STAMPED, fits.replace("v1", version));
        let verifier = Verifier::timestamped(STAMPED, [text("s3cret")]);
        assert_eq!(verdict(&verifier, &headers, BODY), MISMATCH, "{version}");
    }
}

#[test]
fn a_timestamp_is_read_as_it_was_signed_and_once() {
    let headers = signed(&stamped());
    let fits = value(&headers, STAMPED);
    let verifier = Verifier::timestamped(STAMPED, [text("s3cret")]);
    let malformed = Err(VerifyError::Timestamp { name: "t" });
    for found in ["+1614265330", "-1", "", " 1614265330", "1614265330.0", "1e9", "9999999999999"] {
        let changed = with(&headers, STAMPED, fits.replace("1614265330", found));
        assert_eq!(verdict(&verifier, &changed, BODY), malformed, "{found:?}");
    }
    let twice = with(&headers, STAMPED, format!("t=1614265330,{fits}"));
    assert_eq!(verdict(&verifier, &twice, BODY), malformed);
    let none = with(&headers, STAMPED, fits.replace("t=1614265330,", ""));
    assert_eq!(verdict(&verifier, &none, BODY), malformed);
    // The same time in other digits is not what was signed.
    let zero = with(&headers, STAMPED, fits.replace("t=", "t=0"));
    assert_eq!(verdict(&verifier, &zero, BODY), MISMATCH);
    // Unknown parts are skipped, and only the first 16 signatures looked at.
    let others = with(&headers, STAMPED, format!("v0=x,{fits},scheme=y"));
    assert_eq!(verdict(&verifier, &others, BODY), Ok(()));
    let before = |count| format!("v1={},", "0".repeat(64)).repeat(count) + &fits;
    assert_eq!(verdict(&verifier, &with(&headers, STAMPED, before(15)), BODY), Ok(()));
    assert_eq!(verdict(&verifier, &with(&headers, STAMPED, before(16)), BODY), MISMATCH);
}

#[test]
fn the_past_and_the_future_are_refused_beyond_the_tolerance() {
    let headers = signed(&stamped());
    let usual = Verifier::timestamped(STAMPED, [text("s3cret")]);
    let strict = usual.clone().with_tolerance(Duration::from_secs(2));
    for (verifier, tolerance_seconds) in [(usual, 300), (strict, 2)] {
        let edge = i64::try_from(tolerance_seconds).unwrap();
        assert!(verifier.verify(&headers, BODY, at(SENT + edge)).is_ok());
        assert!(verifier.verify(&headers, BODY, at(SENT - edge)).is_ok());
        for now in [SENT + edge + 1, SENT - edge - 1] {
            let off_seconds = tolerance_seconds + 1;
            let expected = VerifyError::Time { off_seconds, tolerance_seconds };
            assert_eq!(verifier.verify(&headers, BODY, at(now)).unwrap_err(), expected);
        }
    }
}

#[test]
fn a_hundred_thousand_headers_are_looked_through_once() {
    for (scheme, verifier, _) in all(&[text("s3cret")]) {
        let mut headers = signed(&scheme);
        headers.extend((0..100_000).map(|n| (format!("x-{n}"), "v1=0")));
        assert_eq!(verdict(&verifier, &headers, BODY), Ok(()));
    }
}

/// The id where there is one, else all that is signed; nothing of how the signature is written.
#[test]
fn a_fingerprint_is_of_the_message_and_the_key_and_not_of_the_header() {
    let of = |verifier: &Verifier, headers: &Headers, body: &[u8], now| {
        *verifier.verify(headers, body, at(now)).unwrap().fingerprint().unwrap().as_bytes()
    };
    let verifier = Verifier::timestamped(STAMPED, [text("s3cret")]);
    let headers = signed(&stamped());
    let first = of(&verifier, &headers, BODY, SENT);
    let other = format!("v0=1,{},v1=2", value(&headers, STAMPED));
    assert_eq!(of(&verifier, &with(&headers, STAMPED, other), BODY, SENT + 9), first);
    let later = signed_by(&stamped(), &[text("s3cret")], ID, SENT + 1, BODY);
    assert_ne!(of(&verifier, &later, BODY, SENT), first);
    let empty = signed_by(&stamped(), &[text("s3cret")], ID, SENT, b"");
    assert_ne!(of(&verifier, &empty, b"", SENT), first);
    let verifier = Verifier::github([text("s3cret")]);
    let (one, two) =
        (signed(&Scheme::Github), signed_by(&Scheme::Github, &[text("s3cret")], ID, SENT, b""));
    assert_ne!(of(&verifier, &one, BODY, SENT), of(&verifier, &two, b"", SENT));
    // Of Standard Webhooks every attempt of a message has the same.
    let verifier = Verifier::standard_webhooks([secret(1), secret(2)]);
    let attempt = |key, id, time| {
        let headers = signed_by(&Scheme::StandardWebhooks, &[secret(key)], id, time, BODY);
        of(&verifier, &headers, BODY, SENT)
    };
    assert_eq!(attempt(1, ID, SENT), attempt(1, ID, SENT + 60));
    assert_ne!(attempt(1, ID, SENT), attempt(1, "msg_2", SENT));
    assert_ne!(attempt(1, ID, SENT), attempt(2, ID, SENT), "another sender's");
    let span = verifier.verify(
        &signed_by(&Scheme::StandardWebhooks, &[secret(1)], ID, SENT, BODY),
        BODY,
        at(SENT),
    );
    assert_eq!(span.unwrap().fingerprint().unwrap().span(), Duration::from_secs(600));
}

#[cfg(feature = "sha1")]
mod sha1 {
    use super::*;

    const HEADER: &str = "x-hub-signature";

    #[test]
    fn the_published_vectors_are_verified_with_and_without_their_prefix() {
        for vector in vectors().hub_sha1 {
            let body = vector.body.as_bytes();
            let headers: Headers = [(HEADER, vector.header.as_str())].into_iter().collect();
            let verifier = Verifier::hub_sha1([text("x"), text(&vector.secret)]);
            assert_eq!(verdict(&verifier, &headers, body), Ok(()), "{}", vector.source);
            let first = Verifier::hub_sha1([text(&vector.secret), text("x")]);
            assert_eq!(verdict(&first, &headers, body), Ok(()), "in any place");
            assert_eq!(verdict(&verifier, &headers, b"other"), MISMATCH);
            let bare = [("X-Nexus-Webhook-Signature", &vector.header[5..])].into_iter().collect();
            let verifier = Verifier::bare_sha1("x-nexus-webhook-signature", [text(&vector.secret)]);
            assert_eq!(verdict(&verifier, &bare, body), Ok(()), "{}", vector.source);
        }
    }

    #[test]
    fn it_is_taken_for_no_other_and_no_other_for_it() {
        let vector = vectors().hub_sha1.remove(0);
        let (key, body) = (text(&vector.secret), vector.body.as_bytes());
        for (name, value) in [
            (GITHUB, vector.header.clone()),
            (GITHUB, vector.header.replace("sha1", "sha256")),
            (HARNESS, vector.header[5..].to_owned()),
            (STAMPED, format!("t={SENT},v1={}", &vector.header[5..])),
        ] {
            let headers: Headers = [(name, value)].into_iter().collect();
            for (_, verifier, own) in all(std::slice::from_ref(&key)) {
                if own == name {
                    assert_eq!(verdict(&verifier, &headers, body), MISMATCH, "{name}");
                }
            }
        }
        let sha256 =
            value(&signed_by(&Scheme::Github, std::slice::from_ref(&key), ID, SENT, body), GITHUB);
        for found in [
            sha256.replace("sha256", "sha1"),
            format!("sha1={}", &sha256[7..47]),
            "sha1=".to_owned(),
        ] {
            let headers: Headers = [(HEADER, found)].into_iter().collect();
            assert_eq!(verdict(&Verifier::hub_sha1([key.clone()]), &headers, body), MISMATCH);
        }
    }
}
