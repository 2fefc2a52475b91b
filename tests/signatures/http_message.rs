//! HTTP Message Signatures: what is signed, and what of it may be left out.

use std::time::Duration;

use artifact_triggers::request::Headers;
use artifact_triggers::signature::{
    Message, Scheme, SignError, SigningSecret, Verifier, VerifyError,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use url::Url;

use crate::{BODY, ID, SENT, at, secret, text, with};

const INPUT: &str = "signature-input";

fn url() -> Url {
    "https://hooks.example/in?a=b".parse().unwrap()
}

fn signed(secrets: &[SigningSecret]) -> Headers {
    let url = url();
    let message =
        Message::new(ID, at(SENT), BODY).with_url(&url).with_content_type("application/json");
    let mut headers = Scheme::HttpMessage.sign(secrets, &message).unwrap();
    headers.push("content-type", "application/json");
    headers
}

fn verifier() -> Verifier {
    Verifier::http_message(&url(), [secret(1)])
}

fn verdict(headers: &Headers, body: &[u8]) -> Result<(), VerifyError> {
    verifier().verify(headers, body, at(SENT)).map(|verified| assert_eq!(verified.body(), body))
}

fn value(headers: &Headers, name: &str) -> String {
    String::from_utf8(headers.only(name).unwrap().to_vec()).unwrap()
}

/// A message signed by hand, with what a signature says and the text it covers.
fn by_hand(fields: &[(&str, &str)], input: &str, lines: &str) -> Headers {
    use base64::Engine as _;
    let base = format!("{lines}\"@signature-params\": {input}");
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&[1; 32]).unwrap().chain_update(base);
    let mac = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let mut headers: Headers = fields.iter().copied().collect();
    headers.push("Signature-Input", format!("x={input}"));
    headers.push("Signature", format!("x=:{mac}:"));
    headers
}

/// The fields of a message without type and id, and their lines.
fn plain() -> ([(&'static str, String); 1], String) {
    let digest = value(&signed(&[secret(1)]), "content-digest");
    let line = format!("\"content-digest\": {digest}\n");
    ([("content-digest", digest)], line)
}

#[test]
fn what_is_signed_is_told_and_verifies() {
    let headers = signed(&[secret(1)]);
    let names: Vec<&str> = headers.iter().map(|(name, _)| name).collect();
    let expected = ["webhook-id", "webhook-timestamp", "content-digest", INPUT, "signature"];
    assert_eq!(names[..5], expected);
    let covered = r#"("@method" "@target-uri" "content-digest" "content-type" "webhook-id" "webhook-timestamp")"#;
    let key = secret(1).key_id();
    let input = format!("sig1={covered};created={SENT};keyid=\"{key}\";alg=\"hmac-sha256\"");
    assert_eq!(value(&headers, INPUT), input);
    assert_eq!(verdict(&headers, BODY), Ok(()));
    assert_eq!(verdict(&headers, b""), Err(VerifyError::Digest));
}

#[test]
fn any_of_the_secrets_may_have_signed() {
    let both = signed(&[text("new"), secret(1)]);
    assert_eq!(verdict(&both, BODY), Ok(()));
    assert!(value(&both, INPUT).contains(", sig2=("));
    assert_eq!(verdict(&signed(&[secret(2)]), BODY), Err(VerifyError::Mismatch));
    let verifier = Verifier::http_message(&url(), []);
    assert!(verifier.verify(&both, BODY, at(SENT)).is_err());
}

#[test]
fn a_message_that_goes_elsewhere_is_refused() {
    for other in [
        "https://hooks.example/in",
        "https://hooks.example/in?a=c",
        "http://hooks.example/in?a=b",
        "https://hooks.example:444/in?a=b",
    ] {
        let verifier = Verifier::http_message(&other.parse().unwrap(), [secret(1)]);
        let refused = verifier.verify(&signed(&[secret(1)]), BODY, at(SENT)).unwrap_err();
        assert_eq!(refused, VerifyError::Mismatch, "{other}");
    }
    let same =
        Verifier::http_message(&"https://HOOKS.example:443/in?a=b#x".parse().unwrap(), [secret(1)]);
    assert!(same.verify(&signed(&[secret(1)]), BODY, at(SENT)).is_ok());
}

#[test]
fn every_field_that_is_covered_is_checked() {
    let headers = signed(&[secret(1)]);
    let other =
        with(&headers, "content-digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
    assert_eq!(verdict(&other, b""), Err(VerifyError::Mismatch), "a digest that fits another body");
    for (name, found) in
        [("content-type", "text/html"), ("webhook-id", "msg_2"), ("webhook-timestamp", "1")]
    {
        assert_eq!(
            verdict(&with(&headers, name, found), BODY),
            Err(VerifyError::Mismatch),
            "{name}"
        );
        let without: Headers = headers.iter().filter(|(field, _)| *field != name).collect();
        let absent = Err(VerifyError::Header { name: name.to_owned() });
        assert_eq!(verdict(&without, BODY), absent);
        let mut twice = headers.clone();
        twice.push(name.to_uppercase(), value(&headers, name));
        assert_eq!(verdict(&twice, BODY), absent);
    }
    for name in [INPUT, "signature", "content-digest"] {
        let absent = Err(VerifyError::Header { name: name.to_owned() });
        let without: Headers = headers.iter().filter(|(field, _)| *field != name).collect();
        assert_eq!(verdict(&without, BODY), absent);
        assert_eq!(verdict(&with(&headers, name, ""), BODY), absent);
        let mut twice = headers.clone();
        twice.push(name, value(&headers, name));
        assert_eq!(verdict(&twice, BODY), absent);
    }
}

#[test]
fn a_signature_covers_method_address_digest_and_what_else_there_is() {
    let ([digest], line) = plain();
    let fields = [(digest.0, digest.1.as_str())];
    let method = "\"@method\": POST\n";
    let address = "\"@authority\": hooks.example\n\"@path\": /in\n";
    let input = |list: &str| format!("({list});created={SENT}");
    let whole = input(r#""@method" "@authority" "@path" "@query" "content-digest""#);
    let lines = format!("{method}{address}\"@query\": ?a=b\n{line}");
    assert_eq!(verdict(&by_hand(&fields, &whole, &lines), BODY), Ok(()));
    for (list, lines, component) in [
        (
            r#""@authority" "@path" "@query" "content-digest""#,
            format!("{address}\"@query\": ?a=b\n{line}"),
            "@method",
        ),
        (
            r#""@method" "@authority" "@path" "content-digest""#,
            format!("{method}{address}{line}"),
            "@target-uri",
        ),
        (r#""@method" "content-digest""#, format!("{method}{line}"), "@target-uri"),
        (
            r#""@method" "@authority" "@path" "@query""#,
            format!("{method}{address}\"@query\": ?a=b\n"),
            "content-digest",
        ),
    ] {
        let headers = by_hand(&fields, &input(list), &lines);
        assert_eq!(verdict(&headers, BODY), Err(VerifyError::NotCovered { component }), "{list}");
    }
    for (list, value) in [("@authority", "hooks.example"), ("@path", "/in")] {
        let input = input(&format!("\"@method\" \"{list}\" \"@query\" \"content-digest\""));
        let lines = format!("{method}\"{list}\": {value}\n\"@query\": ?a=b\n{line}");
        let expected = VerifyError::NotCovered { component: "@target-uri" };
        assert_eq!(verdict(&by_hand(&fields, &input, &lines), BODY), Err(expected), "{list}");
    }
    for component in ["content-type", "webhook-id"] {
        let mut headers = by_hand(&fields, &whole, &lines);
        headers.push(component, "x");
        assert_eq!(verdict(&headers, BODY), Err(VerifyError::NotCovered { component }));
    }
    let without_query =
        Verifier::http_message(&"https://hooks.example/in".parse().unwrap(), [secret(1)]);
    let input = input(r#""@method" "@authority" "@path" "content-digest""#);
    let headers = by_hand(&fields, &input, &format!("{method}{address}{line}"));
    assert!(without_query.verify(&headers, BODY, at(SENT)).is_ok());
}

#[test]
fn times_are_near_and_expiries_have_not_come() {
    let headers = signed(&[secret(1)]);
    let strict = verifier().with_tolerance(Duration::from_secs(2));
    assert!(strict.verify(&headers, BODY, at(SENT + 2)).is_ok());
    let expected = VerifyError::Time { off_seconds: 3, tolerance_seconds: 2 };
    assert_eq!(strict.verify(&headers, BODY, at(SENT + 3)).unwrap_err(), expected);
    assert_eq!(strict.verify(&headers, BODY, at(SENT - 3)).unwrap_err(), expected);
    let ([digest], line) = plain();
    let fields = [(digest.0, digest.1.as_str())];
    let lines = format!("\"@method\": POST\n\"@target-uri\": https://hooks.example/in?a=b\n{line}");
    let list = r#"("@method" "@target-uri" "content-digest")"#;
    let of =
        |parameters: &str| verdict(&by_hand(&fields, &format!("{list}{parameters}"), &lines), BODY);
    assert_eq!(of(&format!(";created={SENT};expires={SENT}")), Ok(()));
    let late = SENT - 5;
    let expected = VerifyError::Time { off_seconds: 5, tolerance_seconds: 0 };
    assert_eq!(of(&format!(";created={SENT};expires={late}")), Err(expected));
    assert_eq!(of(""), Err(VerifyError::Timestamp { name: "created" }));
    assert_eq!(of(";created=9999999999999"), Err(VerifyError::Timestamp { name: "created" }));
    // The algorithm is the key's, whatever is told; another one is not taken for it.
    assert_eq!(of(&format!(";created={SENT};alg=\"hmac-sha256\"")), Ok(()));
    for other in ["ed25519", "hmac-sha1", "rsa-v1_5-sha256", "none", ""] {
        let found = of(&format!(";created={SENT};alg=\"{other}\""));
        assert_eq!(found, Err(VerifyError::Mismatch), "{other}");
    }
}

#[test]
fn one_good_signature_among_others_is_enough() {
    let headers = signed(&[secret(1)]);
    let (input, signature) = (value(&headers, INPUT), value(&headers, "signature"));
    let other = with(&headers, INPUT, format!("a=(\"@method\");created=1, {input}"));
    assert_eq!(verdict(&with(&other, "signature", format!("b=:AA==:, {signature}")), BODY), Ok(()));
    for (before, is_accepted) in [(15, true), (16, false)] {
        let others: Vec<_> = (0..before).map(|n| format!("a{n}=(\"@method\"), ")).collect();
        let found = verdict(&with(&headers, INPUT, others.concat() + &input), BODY);
        assert_eq!(found.is_ok(), is_accepted, "{before}");
    }
    let renamed = with(&headers, "signature", signature.replace("sig1", "sig2"));
    assert_eq!(verdict(&renamed, BODY), Err(VerifyError::Mismatch));
    let malformed = VerifyError::Malformed { name: INPUT, specification: "RFC 9421" };
    assert_eq!(verdict(&with(&headers, INPUT, format!("{input},")), BODY), Err(malformed));
}

#[test]
fn a_message_without_an_address_cannot_be_signed() {
    let refused = Scheme::HttpMessage.sign(&[secret(1)], &Message::new(ID, at(SENT), BODY));
    assert_eq!(refused.unwrap_err(), SignError::Incomplete { what: "address" });
}

#[test]
fn a_fingerprint_is_of_the_id_where_it_is_covered_and_else_of_all() {
    let of = |headers: &Headers| {
        *verifier().verify(headers, BODY, at(SENT)).unwrap().fingerprint().unwrap().as_bytes()
    };
    assert_eq!(of(&signed(&[secret(1)])), of(&signed(&[secret(1), secret(2)])));
    let ([digest], line) = plain();
    let fields = [(digest.0, digest.1.as_str())];
    let lines = format!("\"@method\": POST\n\"@target-uri\": https://hooks.example/in?a=b\n{line}");
    let at_second = |second| {
        let input = format!("(\"@method\" \"@target-uri\" \"content-digest\");created={second}");
        of(&by_hand(&fields, &input, &lines))
    };
    assert_eq!(at_second(SENT), at_second(SENT));
    assert_ne!(at_second(SENT), at_second(SENT + 1));
}

#[cfg(feature = "ed25519")]
#[test]
fn ed25519_signs_too() {
    let pair = SigningSecret::generate_ed25519();
    let headers = signed(std::slice::from_ref(&pair));
    assert!(value(&headers, INPUT).ends_with("alg=\"ed25519\""));
    let by_public = Verifier::http_message(&url(), [secret(1)]).with_public_keys(pair.public_key());
    assert!(by_public.verify(&headers, BODY, at(SENT)).is_ok());
    assert_eq!(verdict(&headers, BODY), Err(VerifyError::Mismatch));
}
