//! Tokens of OpenID Connect, made by the package jsonwebtoken with keys made by OpenSSL.

use std::fs;
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::request::Headers;
use artifact_triggers::signature::oidc::{KeySet, KeySource, Oidc};
use artifact_triggers::signature::{Verifier, VerifyError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://hooks.acme.example/gar";
const EMAIL: &str = "pubsub-push@acme.iam.gserviceaccount.com";
const NOW: i64 = 1_764_000_000;

fn data(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/data/oidc/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn keys() -> KeySet {
    KeySet::from_json(&data("jwks.json")).unwrap()
}

fn verifier() -> Verifier {
    Verifier::oidc(Oidc::google(AUDIENCE, EMAIL)).with_key_set(keys())
}

fn claims() -> Value {
    json!({
        "iss": "https://accounts.google.com", "aud": AUDIENCE, "azp": "113774264463038321964",
        "sub": "113774264463038321964", "email": EMAIL, "email_verified": true,
        "iat": NOW - 60, "exp": NOW + 3_540,
    })
}

fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn header(algorithm: Algorithm, kid: Option<&str>) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    header
}

fn rsa(file: &str) -> EncodingKey {
    EncodingKey::from_rsa_der(&data(file))
}

/// A token of the issuer with these claims.
fn token(claims: &Value) -> String {
    encode(&header(Algorithm::RS256, Some("rsa-1")), claims, &rsa("rsa.der")).unwrap()
}

fn verify_at(verifier: &Verifier, token: &str, at: i64) -> Result<(), VerifyError> {
    let field = ("Authorization", format!("Bearer {token}"));
    let headers: Headers = [field].into_iter().collect();
    verifier.verify(&headers, b"{}", Timestamp::from_unix_seconds(at)).map(|_| ())
}

fn verify(token: &str) -> Result<(), VerifyError> {
    verify_at(&verifier(), token, NOW)
}

fn malformed() -> Result<(), VerifyError> {
    Err(VerifyError::Malformed {
        name: "authorization",
        specification: "a bearer token of RFC 7519, by RS256 or ES256,",
    })
}

/// A token of a header and claims as they are, with a signature.
fn raw(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_token_of_the_issuer_fits_whichever_of_its_keys_signed() {
    assert_eq!(verify(&token(&claims())), Ok(()));
    let second = header(Algorithm::RS256, Some("rsa-2"));
    assert_eq!(verify(&encode(&second, &claims(), &rsa("other_rsa.der")).unwrap()), Ok(()));
    let curve = header(Algorithm::ES256, Some("ec-1"));
    let key = EncodingKey::from_ec_der(&data("ec.der"));
    assert_eq!(verify(&encode(&curve, &claims(), &key).unwrap()), Ok(()));
    // Both ways in which Google writes itself, and an audience among several.
    assert_eq!(verify(&token(&claims_with("iss", json!("accounts.google.com")))), Ok(()));
    assert_eq!(verify(&token(&claims_with("aud", json!(["other", AUDIENCE])))), Ok(()));
}

#[test]
fn each_claim_that_is_another_one_or_missing_is_named() {
    let wrong = json!("https://evil.example");
    for (name, values) in [
        ("iss", vec![Value::Null, wrong.clone(), json!(["https://accounts.google.com"])]),
        ("iss", vec![json!("https://accounts.google.com/"), json!("")]),
        ("aud", vec![Value::Null, wrong.clone(), json!([]), json!([wrong]), json!({})]),
        ("email", vec![Value::Null, json!("x@acme.iam.gserviceaccount.com"), json!([EMAIL])]),
        ("email_verified", vec![Value::Null, json!(false), json!("true"), json!(1)]),
        ("exp", vec![Value::Null, json!("never"), json!(-1), json!(1e300)]),
        ("iat", vec![json!("now"), json!([])]),
        ("nbf", vec![json!(true)]),
    ] {
        for value in values {
            let found = verify(&token(&claims_with(name, value.clone())));
            assert_eq!(found, Err(VerifyError::Claim { name }), "{name}: {value}");
        }
    }
}

#[test]
fn an_email_is_asked_for_only_where_one_is_given() {
    let oidc = Oidc::new("https://id.example", "us", KeySource::Given(keys()));
    let verifier = Verifier::oidc(oidc);
    let claims = json!({"iss": "https://id.example", "aud": "us", "exp": NOW});
    assert_eq!(verify_at(&verifier, &token(&claims), NOW), Ok(()));
}

#[test]
fn a_token_counts_from_its_time_until_it_expires_within_the_tolerance() {
    let verifier = verifier().with_tolerance(Duration::from_secs(30));
    let token = token(&claims());
    let off = |off_seconds| Err(VerifyError::Time { off_seconds, tolerance_seconds: 30 });
    assert_eq!(verify_at(&verifier, &token, NOW - 90), Ok(()));
    assert_eq!(verify_at(&verifier, &token, NOW - 91), off(31));
    assert_eq!(verify_at(&verifier, &token, NOW + 3_570), Ok(()));
    assert_eq!(verify_at(&verifier, &token, NOW + 3_571), off(31));
    let later = self::token(&claims_with("nbf", json!(NOW + 31)));
    assert_eq!(verify_at(&verifier, &later, NOW), off(31));
    assert_eq!(verify_at(&verifier, &later, NOW + 1), Ok(()));
}

#[test]
fn no_other_algorithm_is_taken_whatever_the_key() {
    // The public key, taken for a shared secret: what verifiers do that let the token choose.
    let keys: Value = serde_json::from_slice(&data("jwks.json")).unwrap();
    let modulus = keys["keys"][0]["n"].as_str().unwrap();
    for secret in [modulus.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(modulus).unwrap()] {
        let shared = EncodingKey::from_secret(&secret);
        let header = header(Algorithm::HS256, Some("rsa-1"));
        assert_eq!(verify(&encode(&header, &claims(), &shared).unwrap()), malformed());
    }
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let token = encode(&header(algorithm, Some("rsa-1")), &claims(), &rsa("rsa.der")).unwrap();
        assert_eq!(verify(&token), malformed(), "{algorithm:?}");
    }
    for name in ["none", "None", "NONE", "", "rs256", "RS256 "] {
        let header = json!({"alg": name, "kid": "rsa-1"});
        assert_eq!(verify(&raw(&header, &claims(), b"")), malformed(), "{name:?}");
    }
    // One that says another algorithm than its key is for.
    let signature = [1; 64];
    let header = json!({"alg": "ES256", "kid": "rsa-1"});
    assert_eq!(verify(&raw(&header, &claims(), &signature)), Err(VerifyError::Mismatch));
    let header = json!({"alg": "RS256", "kid": "ec-1"});
    assert_eq!(verify(&raw(&header, &claims(), &signature)), Err(VerifyError::Mismatch));
    for kid in ["for-encryption", "another-kind", "shared"] {
        let token = encode(&self::header(Algorithm::RS256, Some(kid)), &claims(), &rsa("rsa.der"));
        assert_eq!(verify(&token.unwrap()), Err(VerifyError::Mismatch), "{kid}");
    }
}

#[test]
fn a_token_of_somebody_else_does_not_fit() {
    let of_other = |kid| {
        let header = header(Algorithm::RS256, kid);
        verify(&encode(&header, &claims(), &rsa("other_rsa.der")).unwrap())
    };
    assert_eq!(of_other(Some("rsa-1")), Err(VerifyError::Mismatch));
    assert_eq!(of_other(Some("unknown")), Err(VerifyError::Mismatch));
    // Which of several keys is meant has to be said.
    assert_eq!(of_other(None), Err(VerifyError::Mismatch));
    // Whose signature does not fit is told of no claim.
    let wrong = claims_with("aud", json!("somebody"));
    let forged = raw(&json!({"alg": "RS256", "kid": "rsa-1"}), &wrong, &[0; 256]);
    assert_eq!(verify(&forged), Err(VerifyError::Mismatch));
}

#[test]
fn the_only_key_need_not_be_named() {
    let set: Value = serde_json::from_slice(&data("jwks.json")).unwrap();
    let mut key = set["keys"][0].clone();
    key.as_object_mut().unwrap().remove("kid");
    let keys = KeySet::from_json(json!({"keys": [key]}).to_string().as_bytes()).unwrap();
    let verifier = Verifier::oidc(Oidc::google(AUDIENCE, EMAIL)).with_key_set(keys);
    let token = encode(&header(Algorithm::RS256, None), &claims(), &rsa("rsa.der")).unwrap();
    assert_eq!(verify_at(&verifier, &token, NOW), Ok(()));
}

#[test]
fn no_byte_of_a_token_can_be_another() {
    let good = token(&claims());
    for at in (0..good.len()).step_by(3) {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let found = verify(&changed);
        // The last character of a part has bits that stand for nothing, and must be zero.
        assert!(found == Err(VerifyError::Mismatch) || found == malformed(), "{at}: {found:?}");
    }
    for at in 0..good.len() {
        assert!(verify(&good[..at]).is_err(), "{at}");
    }
    for wrong in [format!("{good}="), format!("{good}."), format!(".{good}"), format!(" {good}")] {
        assert_eq!(verify(&wrong), malformed(), "{wrong}");
    }
}

#[test]
fn what_is_no_bearer_token_is_refused_and_nothing_of_it_told() {
    let verify_field = |value: &str| {
        let headers: Headers = [("authorization", value)].into_iter().collect();
        verifier().verify(&headers, b"", Timestamp::from_unix_seconds(NOW)).map(|_| ())
    };
    let token = token(&claims());
    assert_eq!(verify_field(&format!("bearer {token}")), Ok(()), "the scheme has no case");
    let others = [token.clone(), format!("Basic {token}"), format!("Digest {token}")];
    for value in others.into_iter().chain(["Bearer ", "x"].map(str::to_owned)) {
        let found = verify_field(&value);
        assert_eq!(found, malformed(), "{value}");
        assert!(!found.unwrap_err().to_string().contains("eyJ"));
    }
    assert_eq!(verify_field(&format!("Bearer {}", "a.".repeat(10_000))), malformed());
    assert_eq!(verify_field(""), Err(VerifyError::Header { name: "authorization".to_owned() }));
    for member in ["crit", "b64"] {
        let header = json!({"alg": "RS256", "kid": "rsa-1", member: ["exp"]});
        assert_eq!(verify(&raw(&header, &claims(), &[0; 256])), malformed(), "{member}");
    }
}

#[test]
fn without_the_keys_nothing_verifies() {
    let verifier = Verifier::oidc(Oidc::google(AUDIENCE, EMAIL));
    assert_eq!(verify_at(&verifier, &token(&claims()), NOW), Err(VerifyError::NoKeySet));
    let headers: Headers =
        [("authorization", format!("Bearer {}", token(&claims())))].into_iter().collect();
    let missing = verifier.missing_keys(&headers).unwrap();
    assert_eq!(missing.url.as_str(), "https://www.googleapis.com/oauth2/v3/certs");
    assert_eq!(missing.key_id.as_deref(), Some("rsa-1"));
    let nothing: Headers = [("authorization", "Bearer x")].into_iter().collect();
    assert!(verifier.missing_keys(&nothing).is_none());
    assert!(verifier.clone().with_key_set(keys()).missing_keys(&headers).is_none());
    assert!(Verifier::accept_unverified().missing_keys(&headers).is_none());
}

#[test]
fn of_a_key_set_the_keys_that_are_for_this_are_kept() {
    let keys = keys();
    let has = ["rsa-1", "rsa-2", "ec-1"].map(|kid| keys.has(kid));
    assert_eq!(has, [true; 3]);
    let has = ["for-encryption", "another-kind", "shared", ""].map(|kid| keys.has(kid));
    assert_eq!(has, [false; 4]);
    let error = |json: &str| KeySet::from_json(json.as_bytes()).unwrap_err().to_string();
    assert_eq!(error("{}"), "keys: expected an array, found nothing");
    assert_eq!(error(r#"{"keys": 1}"#), "keys: expected an array, found 1");
    let none = "keys: expected a key for RS256 or ES256, found none";
    assert_eq!(error(r#"{"keys": [1, {}, {"kty": "RSA", "n": "!", "e": "AQAB"}]}"#), none);
    assert_eq!(error(r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}"#), none);
    assert!(error("[").starts_with("expected JSON"));
}

#[test]
fn a_key_set_has_a_most_and_shows_the_ids_of_its_keys() {
    let mut set: Value = serde_json::from_slice(&data("jwks.json")).unwrap();
    let of = |set: &Value| KeySet::from_json(set.to_string().as_bytes());
    let key = set["keys"][0].clone();
    set["keys"] = vec![key.clone(); KeySet::MAX_KEYS].into();
    assert!(of(&set).unwrap().has("rsa-1"));
    set["keys"].as_array_mut().unwrap().push(key);
    assert_eq!(of(&set).unwrap_err().to_string(), "keys: expected at most 100, found 101");
    let shown = format!("{:?}", keys());
    assert!(shown.starts_with('{') && shown.contains("\"rsa-1\""), "{shown}");
}

#[test]
fn a_key_is_left_out_for_each_thing_that_is_not_for_this() {
    let set: Value = serde_json::from_slice(&data("jwks.json")).unwrap();
    let is_kept = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        KeySet::from_json(json!({ "keys": [key] }).to_string().as_bytes()).is_ok()
    };
    let (rsa, curve) = (&set["keys"][0], &set["keys"][2]);
    for key in [rsa, curve] {
        assert!(is_kept(key, "key_ops", json!(["sign", "verify"])));
        assert!(!is_kept(key, "key_ops", json!(["sign"])));
        assert!(!is_kept(key, "use", json!("enc")));
        assert!(!is_kept(key, "kty", json!("oct")));
        assert!(!is_kept(key, "alg", json!("PS256")));
    }
    assert!(!is_kept(curve, "crv", json!("P-384")));
    assert!(!is_kept(curve, "x", json!("AAAA")));
}

#[test]
fn a_token_is_as_long_as_it_may_be() {
    let key = EncodingKey::from_ec_der(&data("ec.der"));
    let of_length = |length: usize| {
        let padded = |by: usize| {
            let claims = claims_with("pad", json!("a".repeat(by)));
            encode(&header(Algorithm::ES256, Some("ec-1")), &claims, &key).unwrap()
        };
        let about = (length - padded(0).len()) / 4 * 3;
        (about..about + 8).map(padded).find(|token| token.len() >= length).unwrap()
    };
    let longest = of_length(16 * 1024);
    assert_eq!((longest.len(), verify(&longest)), (16 * 1024, Ok(())));
    assert_eq!(verify(&of_length(16 * 1024 + 1)), malformed());
}
