//! The verifier of every scheme.
//!
//! In: a byte that chooses the scheme, lines of header fields, an empty line, and the body. There
//! is one message of each scheme that was signed; no other one is accepted, and nobody here can
//! sign.

#![no_main]

use std::sync::LazyLock;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::request::Headers;
use artifact_triggers::secret::Secret;
use artifact_triggers::signature::{Message, Scheme, SigningSecret, Verifier};
use libfuzzer_sys::fuzz_target;
use url::Url;

const BODY: &[u8] = b"Hello, World!";
const SENT: i64 = 1_614_265_330;

static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases);

fuzz_target!(|data: &[u8]| {
    let Some((choice, message)) = data.split_first() else { return };
    let case = &CASES[usize::from(*choice) % CASES.len()];
    let (headers, body) = read(message);
    if case.accepts(&headers, body) {
        assert!(case.is_signed(&headers, body), "{}: {headers:?}", case.name);
    }
});

/// The header fields and the body of a message.
fn read(mut message: &[u8]) -> (Headers, &[u8]) {
    let mut headers = Headers::new();
    loop {
        let end = message.iter().position(|byte| *byte == b'\n').unwrap_or(message.len());
        let (line, rest) = message.split_at(end);
        message = rest.get(1..).unwrap_or_default();
        if line.is_empty() {
            return (headers, message);
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let name = String::from_utf8_lossy(name);
        headers.push(name, value.get(1..).unwrap_or_default());
    }
}

struct Case {
    name: &'static str,
    verifier: Verifier,
    covers_body: bool,
    /// What must stand in fields that are there once each.
    expected: Vec<(String, Expected)>,
}

/// White space around a value is no part of it.
enum Expected {
    Only(Vec<u8>),
    /// Beside what the scheme passes over, such as signatures of versions that it does not know.
    Among(Vec<Vec<u8>>),
}

impl Case {
    /// That of a message that was signed, of which fields in `lists` may hold more than these
    /// parts.
    fn new(
        name: &'static str,
        verifier: Verifier,
        signed: &Headers,
        lists: &[(&str, &[&str])],
    ) -> Self {
        let expected = signed.iter().map(|(field, value)| {
            let marks = lists.iter().find(|(list, _)| *list == field).map(|(_, marks)| *marks);
            let expected = match marks {
                None => Expected::Only(value.to_vec()),
                Some(marks) => Expected::Among(parts(value, marks)),
            };
            (field.to_owned(), expected)
        });
        let case = Self { name, verifier, covers_body: true, expected: expected.collect() };
        assert!(case.accepts(signed, BODY) && case.is_signed(signed, BODY), "{name}");
        case
    }

    fn accepts(&self, headers: &Headers, body: &[u8]) -> bool {
        self.verifier.verify(headers, body, Timestamp::from_unix_seconds(SENT)).is_ok()
    }

    /// Whether it is the message that was signed, in all that the scheme covers.
    fn is_signed(&self, headers: &Headers, body: &[u8]) -> bool {
        let holds = |(name, expected): &(String, Expected)| {
            headers.only(name).is_some_and(|found| match expected {
                Expected::Only(value) => found.trim_ascii() == value,
                Expected::Among(parts) => parts.iter().all(|part| contains(found, part)),
            })
        };
        (!self.covers_body || body == BODY) && self.expected.iter().all(holds)
    }
}

/// The parts of a value that begin with these marks, each up to the next comma.
fn parts(value: &[u8], marks: &[&str]) -> Vec<Vec<u8>> {
    let from = |mark: &&str| {
        let at = value.windows(mark.len()).position(|window| window == mark.as_bytes());
        let part = &value[at.expect("it is signed so")..];
        let end = part.iter().skip(mark.len()).position(|byte| *byte == b',');
        part[..end.map_or(part.len(), |end| end + mark.len())].to_vec()
    };
    marks.iter().map(from).collect()
}

fn contains(found: &[u8], part: &[u8]) -> bool {
    found.windows(part.len()).any(|window| window == part)
}

fn cases() -> Vec<Case> {
    let secret = || SigningSecret::from_bytes(&[1; 32]).expect("32 bytes are enough");
    let pair = || SigningSecret::from_ed25519_bytes(&[7; 32]).expect("32 bytes are a seed");
    let text = || SigningSecret::from_text("It's a Secret to Everybody").expect("a text");
    let url = Url::parse("https://hooks.example/in?a=b").expect("a URL");
    let harness = Scheme::Harness { prefix: "Gitness".to_owned() };
    let stamped = Scheme::Timestamped { header: "acme-signature".to_owned() };
    let standard: &[_] = &["webhook-id", "webhook-timestamp", "webhook-signature"];
    let message: &[_] = &[
        "webhook-id",
        "webhook-timestamp",
        "content-type",
        "content-digest",
        "signature-input",
        "signature",
    ];
    let messages: [(&str, &[&str]); 2] = [("signature-input", &["(\""]), ("signature", &[":"])];
    vec![
        Case::new(
            "v1",
            Verifier::standard_webhooks([secret()]),
            &signed(&Scheme::StandardWebhooks, secret(), &url, standard),
            &[("webhook-signature", &["v1,"])],
        ),
        Case::new(
            "v1a",
            Verifier::standard_webhooks([]).with_public_keys(pair().public_key()),
            &signed(&Scheme::StandardWebhooks, pair(), &url, standard),
            &[("webhook-signature", &["v1a,"])],
        ),
        Case::new(
            "github",
            Verifier::github([text()]),
            &signed(&Scheme::Github, text(), &url, &["x-hub-signature-256"]),
            &[],
        ),
        Case::new(
            "harness",
            Verifier::harness("Gitness", [text()]),
            &signed(&harness, text(), &url, &["x-gitness-signature"]),
            &[],
        ),
        Case::new(
            "timestamped",
            Verifier::timestamped("acme-signature", [text()]),
            &signed(&stamped, text(), &url, &["acme-signature"]),
            &[("acme-signature", &["t=", "v1="])],
        ),
        Case::new(
            "http-message",
            Verifier::http_message(&url, [secret()]),
            &signed(&Scheme::HttpMessage, secret(), &url, message),
            &messages,
        ),
        Case::new(
            "http-message by Ed25519",
            Verifier::http_message(&url, []).with_public_keys(pair().public_key()),
            &signed(&Scheme::HttpMessage, pair(), &url, message),
            &messages,
        ),
        Case::new("sha1", Verifier::hub_sha1([text()]), &one("x-hub-signature", SHA1), &[]),
        Case::new(
            "bare-sha1",
            Verifier::bare_sha1("x-nexus", [text()]),
            &one("x-nexus", &SHA1[5..]),
            &[],
        ),
        token(),
    ]
}

/// Of a published vector: this crate signs nothing by it.
const SHA1: &str = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";

fn one(name: &str, value: &str) -> Headers {
    [(name, value)].into_iter().collect()
}

/// Agreed on, and nothing is signed.
fn token() -> Case {
    let value = "Bearer s3cret";
    let verifier = Verifier::header_token("authorization", Secret::new(value));
    let case = Case::new("token", verifier, &one("authorization", value), &[]);
    Case { covers_body: false, ..case }
}

/// The fields of the message that count.
fn signed(scheme: &Scheme, key: SigningSecret, url: &Url, fields: &[&str]) -> Headers {
    let message = Message::new("msg_1", Timestamp::from_unix_seconds(SENT), BODY);
    let message = message.with_url(url).with_content_type("a/b");
    let signed = scheme.sign(&[key], &message).expect("the message tells all");
    let all = signed.into_iter().chain([("content-type".to_owned(), b"a/b".to_vec())]);
    all.filter(|(name, _)| fields.contains(&name.as_str())).collect()
}
