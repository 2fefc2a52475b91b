//! Ed25519 keys: Standard Webhooks v1a and HTTP message signatures.

use artifact_triggers::request::Headers;
use artifact_triggers::signature::{
    PairError, ParseSecretError, PublicKey, Scheme, SigningSecret, Verifier, VerifyError,
};

use crate::{BODY, ID, SENT, Vector, at, secret, signed_by, vectors, with};

const SCHEME: Scheme = Scheme::StandardWebhooks;

fn vector() -> Vector {
    vectors().standard_webhooks_v1a.remove(0)
}

fn pair() -> SigningSecret {
    vector().secret.parse().unwrap()
}

fn public() -> PublicKey {
    vector().public.unwrap().parse().unwrap()
}

fn by_public() -> Verifier {
    Verifier::standard_webhooks([]).with_public_keys([public()])
}

#[test]
fn the_published_vectors_are_signed_and_verified() {
    for vector in vectors().standard_webhooks_v1a {
        let (secret, body) =
            (vector.secret.parse::<SigningSecret>().unwrap(), vector.body.as_bytes());
        let public: PublicKey = vector.public.unwrap().parse().unwrap();
        assert_eq!(secret.public_key(), Some(public.clone()));
        let headers = signed_by(&SCHEME, &[secret], &vector.id, vector.timestamp, body);
        let signature = headers.only("webhook-signature").unwrap();
        assert_eq!(signature, vector.signature.as_bytes(), "{}", vector.source);
        let verifier = Verifier::standard_webhooks([]).with_public_keys([public]);
        verifier.verify(&headers, body, at(vector.timestamp)).unwrap();
    }
}

#[test]
fn a_key_is_its_seed_or_seed_and_public_key_that_fit() {
    let text = pair().expose();
    assert_eq!(*text, vector().secret);
    let bytes = base64_of(&text[5..]);
    let seed = SigningSecret::from_ed25519_bytes(&bytes[..32]).unwrap();
    assert!(seed == pair());
    let mut other = bytes.clone();
    other[40] ^= 1;
    assert_eq!(SigningSecret::from_ed25519_bytes(&other), Err(PairError::Mismatch));
    for length in [0, 31, 33, 63] {
        let wrong = SigningSecret::from_ed25519_bytes(&bytes[..length]);
        assert_eq!(wrong, Err(PairError::Length), "{length}");
    }
    for wrong in ["whsk_", "whsk_!", "whsk_6Xb/dCcHpPea21PS1N9VY"] {
        let expected = ParseSecretError::Pair(PairError::Length);
        assert_eq!(wrong.parse::<SigningSecret>(), Err(expected));
    }
    assert!(SigningSecret::generate_ed25519() != SigningSecret::generate_ed25519());
    assert_eq!(secret(1).public_key(), None);
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[test]
fn a_public_key_is_a_point_that_does_not_fit_everything() {
    assert_eq!(public().to_string(), vector().public.unwrap());
    // Points of the orders 1, 4 and 8: some signature by them fits any message.
    let mut one = [0; 32];
    one[0] = 1;
    let eight = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ];
    for weak in [one, [0; 32], eight] {
        assert!(PublicKey::from_bytes(&weak).is_err(), "{weak:?}");
    }
    assert!(PublicKey::from_bytes(&[7; 31]).is_err());
    assert_eq!(format!("{:?}", public()), public().to_string(), "it is no secret");
    for wrong in ["", "whpk_", "whsk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="] {
        assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
    }
}

#[test]
fn one_message_may_carry_both_kinds_and_each_is_checked_by_its_own() {
    let both = signed_by(&SCHEME, &[secret(1), pair()], ID, SENT, BODY);
    for verifier in [
        by_public(),
        Verifier::standard_webhooks([secret(1)]),
        Verifier::standard_webhooks([pair()]),
        Verifier::standard_webhooks([secret(9)]).with_public_keys([public()]),
    ] {
        assert!(verifier.verify(&both, BODY, at(SENT)).is_ok());
        assert!(verifier.verify(&both, b"", at(SENT)).is_err());
    }
    let other = SigningSecret::generate_ed25519();
    for verifier in
        [Verifier::standard_webhooks([other, secret(2)]), Verifier::standard_webhooks([])]
    {
        let refused = verifier.verify(&both, BODY, at(SENT)).unwrap_err();
        assert_eq!(refused, VerifyError::Mismatch);
    }
}

/// The public key is known to all: whoever signs with it as if it were a shared secret gets
/// nowhere.
#[test]
fn a_mac_by_the_public_key_is_no_signature() {
    let key = SigningSecret::from_bytes(&base64_of(&vector().public.unwrap()[5..])).unwrap();
    let headers = signed_by(&SCHEME, &[key], ID, SENT, BODY);
    let value = String::from_utf8(headers.only("webhook-signature").unwrap().to_vec()).unwrap();
    for found in [value.clone(), value.replace("v1,", "v1a,")] {
        let headers = with(&headers, "webhook-signature", found);
        for verifier in [by_public(), Verifier::standard_webhooks([pair()])] {
            assert_eq!(
                verifier.verify(&headers, BODY, at(SENT)).unwrap_err(),
                VerifyError::Mismatch
            );
        }
    }
}

#[test]
fn every_other_byte_of_a_signature_is_refused() {
    let headers = signed_by(&SCHEME, &[pair()], ID, SENT, BODY);
    let value = headers.only("webhook-signature").unwrap().to_vec();
    for at_byte in 0..value.len() {
        let mut changed = value.clone();
        changed[at_byte] ^= 1;
        let headers: Headers = with(&headers, "webhook-signature", changed);
        assert!(by_public().verify(&headers, BODY, at(SENT)).is_err(), "{at_byte}");
    }
    assert!(by_public().verify(&headers, BODY, at(SENT)).is_ok());
}

/// Whichever of the keys it is, and in whatever place the signature stands.
#[test]
fn any_of_the_public_keys_may_have_signed() {
    let other = SigningSecret::generate_ed25519();
    let keys = [public(), other.public_key().unwrap()];
    let verifier = Verifier::standard_webhooks([]).with_public_keys(keys);
    let both = signed_by(&SCHEME, &[pair(), SigningSecret::generate_ed25519()], ID, SENT, BODY);
    for headers in [both, signed_by(&SCHEME, &[other], ID, SENT, BODY)] {
        assert!(verifier.verify(&headers, BODY, at(SENT)).is_ok());
    }
}

#[test]
fn a_fingerprint_is_of_the_message_and_the_key() {
    let other = SigningSecret::generate_ed25519();
    let keys = [public(), other.public_key().unwrap()];
    let receiver = Verifier::standard_webhooks([]).with_public_keys(keys);
    let of = |key: &SigningSecret, id, time| {
        let headers = signed_by(&SCHEME, std::slice::from_ref(key), id, time, BODY);
        let verified = receiver.verify(&headers, BODY, at(SENT)).unwrap();
        *verified.fingerprint().unwrap().as_bytes()
    };
    let first = of(&pair(), ID, SENT);
    assert_eq!(of(&pair(), ID, SENT + 60), first);
    assert_ne!(of(&pair(), "msg_2", SENT), first);
    assert_ne!(of(&other, ID, SENT), first);
}
