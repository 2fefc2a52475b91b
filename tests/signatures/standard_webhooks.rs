//! Standard Webhooks, against published vectors and against everything that is nearly right.

use std::time::Duration;

use artifact_triggers::id::MessageId;
use artifact_triggers::request::Headers;
use artifact_triggers::signature::{
    ParseSecretError, Scheme, SigningSecret, Verifier, VerifyError,
};
use proptest::prelude::*;

use crate::{BODY, ID, SENT, at, secret, signed_by, vectors, with};

fn signed(secrets: &[SigningSecret], id: &str, timestamp: i64, body: &[u8]) -> Headers {
    signed_by(&Scheme::StandardWebhooks, secrets, id, timestamp, body)
}

/// The headers of the usual message, signed with one secret.
fn usual() -> Headers {
    signed(&[secret(1)], ID, SENT, BODY)
}

fn signature(headers: &Headers) -> String {
    String::from_utf8(headers.only("webhook-signature").unwrap().to_vec()).unwrap()
}

/// What a receiver that knows some secrets says at the time of sending.
fn verdict(secrets: &[SigningSecret], headers: &Headers, body: &[u8]) -> Result<(), VerifyError> {
    let verifier = Verifier::standard_webhooks(secrets.to_vec());
    let answer = verifier.verify(headers, body, at(SENT));
    answer.map(|verified| assert_eq!(verified.body(), body))
}

#[test]
fn the_published_vectors_are_signed_and_verified() {
    for vector in vectors().standard_webhooks_v1 {
        let secret: SigningSecret = vector.secret.parse().unwrap();
        let body = vector.body.as_bytes();
        let headers = signed(std::slice::from_ref(&secret), &vector.id, vector.timestamp, body);
        let timestamp = vector.timestamp.to_string();
        let expected: Headers = [
            ("webhook-id", vector.id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", vector.signature),
        ]
        .into_iter()
        .collect();
        assert!(headers == expected, "{}", vector.source);
        let verifier = Verifier::standard_webhooks([secret]);
        verifier.verify(&headers, body, at(vector.timestamp)).unwrap();
    }
}

#[test]
fn the_headers_are_found_in_any_case_and_order() {
    let headers = usual();
    let mut fields: Vec<_> =
        headers.iter().map(|(name, value)| (name.to_uppercase(), value.to_vec())).collect();
    fields.reverse();
    assert_eq!(verdict(&[secret(1)], &fields.into_iter().collect(), BODY), Ok(()));
}

#[test]
fn any_of_the_secrets_may_have_signed_and_any_of_the_signatures_may_fit() {
    let both = signed(&[secret(1), secret(2)], ID, SENT, BODY);
    assert_eq!(signature(&both).split(' ').count(), 2);
    for known in [vec![secret(1)], vec![secret(2)], vec![secret(9), secret(2)]] {
        assert_eq!(verdict(&known, &both, BODY), Ok(()));
        let swapped: Vec<String> = signature(&both).split(' ').rev().map(str::to_owned).collect();
        let swapped = with(&both, "webhook-signature", swapped.join(" "));
        assert_eq!(verdict(&known, &swapped, BODY), Ok(()));
    }
    for known in [vec![secret(3)], vec![]] {
        assert_eq!(verdict(&known, &both, BODY), Err(VerifyError::Mismatch));
    }
}

#[test]
fn without_a_secret_nothing_is_signed_and_nothing_verifies() {
    let headers = signed(&[], ID, SENT, BODY);
    assert_eq!(
        headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["webhook-id", "webhook-timestamp"]
    );
    let missing = Err(VerifyError::Header { name: "webhook-signature".to_owned() });
    assert_eq!(verdict(&[], &headers, BODY), missing);
}

#[test]
fn signatures_of_unknown_versions_are_skipped() {
    let fits = signature(&usual());
    let other = vectors().standard_webhooks_v1a.remove(0).signature;
    for found in
        [format!("{other} {fits}"), format!("{fits} v2,{}", &fits[3..]), format!("v1 {fits}")]
    {
        let headers = with(&usual(), "webhook-signature", found);
        assert_eq!(verdict(&[secret(1)], &headers, BODY), Ok(()));
    }
    for found in [other, format!("v2,{}", &fits[3..]), format!("V1,{}", &fits[3..])] {
        let headers = with(&usual(), "webhook-signature", found);
        assert_eq!(verdict(&[secret(1)], &headers, BODY), Err(VerifyError::Mismatch));
    }
}

#[test]
fn a_signature_that_is_nearly_one_is_none() {
    let fits = signature(&usual());
    let base64 = &fits[3..];
    let unpadded = base64.trim_end_matches('=');
    for found in [
        "v1,".to_owned(),
        "v1".to_owned(),
        base64.to_owned(),
        fits[..11].to_owned(),
        format!("v1,{unpadded}"),
        format!("v1,{base64}="),
        format!("v1, {base64}"),
        format!("v1,{base64}\n"),
        format!("v1,-{}", &base64[1..]),
        format!("v1,{base64}{base64}"),
        "v1,!!!!".to_owned(),
        " ".to_owned(),
    ] {
        let headers = with(&usual(), "webhook-signature", found.clone());
        let mismatch = Err(VerifyError::Mismatch);
        assert_eq!(verdict(&[secret(1)], &headers, BODY), mismatch, "{found:?}");
    }
}

#[test]
fn the_first_sixteen_signatures_are_looked_at() {
    let other = signature(&signed(&[secret(2)], ID, SENT, BODY));
    for (before, expected) in [(15, Ok(())), (16, Err(VerifyError::Mismatch))] {
        let found = format!("{other} ").repeat(before) + &signature(&usual());
        let headers = with(&usual(), "webhook-signature", found);
        assert_eq!(verdict(&[secret(1)], &headers, BODY), expected, "{before}");
    }
    // What can be none is not counted.
    let found = "v1,AAAA ".repeat(100) + &signature(&usual());
    let headers = with(&usual(), "webhook-signature", found);
    assert_eq!(verdict(&[secret(1)], &headers, BODY), Ok(()));
}

#[test]
fn the_time_may_be_off_by_the_tolerance_either_way_and_no_more() {
    let headers = usual();
    let usual = Verifier::standard_webhooks([secret(1)]);
    let strict = usual.clone().with_tolerance(Duration::from_millis(2_900));
    for (verifier, tolerance_seconds) in [(usual, 300), (strict, 2)] {
        let edge = i64::try_from(tolerance_seconds).unwrap();
        for now in [SENT, SENT + edge, SENT - edge] {
            assert!(verifier.verify(&headers, BODY, at(now)).is_ok(), "{}", now - SENT);
        }
        for now in [SENT + edge + 1, SENT - edge - 1] {
            let off_seconds = tolerance_seconds + 1;
            let expected = VerifyError::Time { off_seconds, tolerance_seconds };
            assert_eq!(verifier.verify(&headers, BODY, at(now)).unwrap_err(), expected);
        }
    }
}

#[test]
fn a_time_that_is_no_plain_number_is_refused() {
    let timestamp = SENT.to_string();
    for found in [
        "x",
        "-1",
        "+1614265330",
        "1614265330.0",
        " 1614265330",
        "1e9",
        "1614265330000000000",
        "0x60",
        "１",
    ] {
        let headers = with(&usual(), "webhook-timestamp", found);
        let expected = Err(VerifyError::Timestamp { name: "webhook-timestamp" });
        assert_eq!(verdict(&[secret(1)], &headers, BODY), expected, "{found}");
    }
    // The same time in other digits is not what was signed.
    let headers = with(&usual(), "webhook-timestamp", format!("0{timestamp}"));
    assert_eq!(verdict(&[secret(1)], &headers, BODY), Err(VerifyError::Mismatch));
}

#[test]
fn whatever_was_changed_on_the_way_does_not_fit() {
    let headers = usual();
    assert_eq!(
        verdict(&[secret(1)], &headers, b"{\"test\": 2432232315}"),
        Err(VerifyError::Mismatch)
    );
    assert_eq!(verdict(&[secret(1)], &headers, b""), Err(VerifyError::Mismatch));
    let later = (SENT + 1).to_string();
    let other = signature(&signed(&[secret(2)], ID, SENT, BODY));
    for (name, value) in
        [("webhook-id", "msg_other"), ("webhook-timestamp", &later), ("webhook-signature", &other)]
    {
        let changed = with(&headers, name, value);
        assert_eq!(verdict(&[secret(1)], &changed, BODY), Err(VerifyError::Mismatch), "{name}");
    }
}

#[test]
fn each_header_is_there_exactly_once_and_not_empty() {
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let expected = Err(VerifyError::Header { name: name.to_owned() });
        let headers = usual();
        let own = headers.only(name).unwrap().to_vec();
        let absent: Headers = headers.iter().filter(|(field, _)| *field != name).collect();
        assert_eq!(verdict(&[secret(1)], &absent, BODY), expected);
        assert_eq!(verdict(&[secret(1)], &with(&headers, name, ""), BODY), expected);
        let mut twice = headers.clone();
        twice.push(name.to_uppercase(), own);
        assert_eq!(verdict(&[secret(1)], &twice, BODY), expected);
    }
}

/// `a` with the body `1.b` and `a.1` with the body `b` would have one and the same signature.
#[test]
fn an_id_with_a_full_stop_is_refused_since_its_end_could_be_moved() {
    let body = [format!("{SENT}.").as_bytes(), BODY].concat();
    let honest = signed(&[secret(1)], ID, SENT, &body);
    assert_eq!(verdict(&[secret(1)], &honest, &body), Ok(()));
    let moved = with(&honest, "webhook-id", format!("{ID}.{SENT}"));
    assert_eq!(verdict(&[secret(1)], &moved, BODY), Err(VerifyError::Id { name: "webhook-id" }));
}

#[test]
fn the_ids_of_deliveries_hold_no_full_stop() {
    for fill in 0..=255 {
        assert!(!MessageId::from_bytes([fill; 16]).to_string().contains('.'));
    }
}

#[test]
fn a_secret_has_its_prefix_and_24_to_64_bytes() {
    for length in [24, 25, 26, 64] {
        let secret = SigningSecret::from_bytes(&vec![7; length]).unwrap();
        let text = secret.expose();
        assert!(text.parse::<SigningSecret>().unwrap() == secret);
        assert!(text.trim_end_matches('=').parse::<SigningSecret>().unwrap() == secret);
    }
    for length in [0, 1, 23, 65, 1_000] {
        assert!(SigningSecret::from_bytes(&vec![7; length]).is_err(), "{length}");
    }
    for text in [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa",
        "whsec_MfKQ9r8GKYqr-wjUPD8ILPZIo2LaLaSw",
    ] {
        let error = text.parse::<SigningSecret>().unwrap_err();
        if !text.starts_with("whsk_") {
            assert_eq!(error, ParseSecretError::Shared, "{text}");
        }
    }
}

#[test]
fn nothing_prints_a_secret() {
    let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    let verifier = Verifier::standard_webhooks([secret.clone()]);
    let shown = format!("{secret:?} {verifier:?}");
    assert!(!shown.contains("MfKQ9r8G") && shown.contains("redacted"), "{shown}");
}

fn any_secret() -> impl Strategy<Value = SigningSecret> {
    prop::collection::vec(any::<u8>(), 24..=64)
        .prop_map(|bytes| SigningSecret::from_bytes(&bytes).unwrap())
}

/// Seconds that have no sign and fit what a receiver takes for a time.
fn any_time() -> impl Strategy<Value = i64> {
    0_i64..253_402_300_799
}

proptest! {
    #[test]
    fn what_was_signed_verifies(
        secrets in prop::collection::vec(any_secret(), 1..4),
        which in any::<prop::sample::Index>(),
        id in "[!-\\-/-~]{1,64}",
        timestamp in any_time(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let headers = signed(&secrets, &id, timestamp, &body);
        let verifier = Verifier::standard_webhooks([which.get(&secrets).clone()]);
        prop_assert!(verifier.verify(&headers, &body, at(timestamp)).is_ok());
    }

    #[test]
    fn one_changed_byte_anywhere_is_refused(
        secret in any_secret(),
        body in prop::collection::vec(any::<u8>(), 1..60),
        place in 0_usize..4,
        which in any::<prop::sample::Index>(),
        change in 1_u8..=255,
    ) {
        let secrets = [secret];
        let headers = signed(&secrets, ID, SENT, &body);
        let mut changed_body = body.clone();
        let mut changed = headers.clone();
        if let Some(name) = ["webhook-id", "webhook-timestamp", "webhook-signature"].get(place) {
            let mut value = headers.only(name).unwrap().to_vec();
            *which.get_mut(&mut value) ^= change;
            changed = with(&headers, name, value);
        } else {
            *which.get_mut(&mut changed_body) ^= change;
        }
        prop_assert!(verdict(&secrets, &changed, &changed_body).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(
        fields in prop::collection::vec(
            (
                prop::sample::select(vec!["webhook-id", "webhook-timestamp", "webhook-signature"]),
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..80),
                    "[0-9]{1,14}".prop_map(String::into_bytes),
                    "(v1,[A-Za-z0-9+/=]{0,48} ?){0,20}".prop_map(String::into_bytes),
                ],
            ),
            0..5,
        ),
        body in prop::collection::vec(any::<u8>(), 0..60),
        now in any::<i64>(),
    ) {
        let headers = fields.into_iter().collect();
        let verifier = Verifier::standard_webhooks([secret(1)]).with_tolerance(Duration::MAX);
        prop_assert!(verifier.verify(&headers, &body, at(now)).is_err());
    }

    #[test]
    fn no_text_makes_the_parser_of_secrets_panic(text in "(whsec_)?\\PC{0,100}") {
        if let Ok(secret) = text.parse::<SigningSecret>() {
            prop_assert!(secret.expose().parse::<SigningSecret>().unwrap() == secret);
        }
    }
}
