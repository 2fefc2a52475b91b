//! What we sign, verified by libraries that we did not write, and the other way round; and one byte
//! changed anywhere, refused by both.
//!
//! `tests/signatures_interop/` has the scripts that ask the libraries, and which versions.

mod judge;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::request::Headers;
use artifact_triggers::signature::{Message, Scheme, SigningSecret, Verifier};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use judge::Judge;
use serde_json::{Value, json};
use url::Url;

const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY: &str = "{\"type\": \"artifact.ingested\", \"name\": \"caf\u{e9} \\u2603\"}";

type Fields = Vec<(String, String)>;

/// Another's library and the scheme that it knows.
struct Library {
    name: &'static str,
    scheme: Scheme,
    secret: SigningSecret,
    verifier: Verifier,
}

fn url() -> Url {
    "https://hooks.example/in?a=b".parse().unwrap()
}

fn libraries(of: &str) -> Vec<Library> {
    let shared = || "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<SigningSecret>().unwrap();
    let text = || "text:It's a Secret to Everybody".parse::<SigningSecret>().unwrap();
    let standard = |name| Library {
        name,
        scheme: Scheme::StandardWebhooks,
        secret: shared(),
        verifier: Verifier::standard_webhooks([shared()]),
    };
    let github = || Library {
        name: "npm @octokit/webhooks-methods",
        scheme: Scheme::Github,
        secret: text(),
        verifier: Verifier::github([text()]),
    };
    let stripe = || Library {
        name: "PyPI stripe",
        scheme: Scheme::Timestamped { header: "stripe-signature".to_owned() },
        secret: text(),
        verifier: Verifier::timestamped("stripe-signature", [text()]),
    };
    let http_message = |name, secret: SigningSecret| Library {
        name,
        scheme: Scheme::HttpMessage,
        verifier: Verifier::http_message(&url(), [secret.clone()]),
        secret,
    };
    match of {
        "npm" => vec![standard("npm standardwebhooks"), github()],
        "PyPI" => vec![
            standard("PyPI standardwebhooks"),
            standard("PyPI svix"),
            stripe(),
            http_message("PyPI http-message-signatures", shared()),
            #[cfg(feature = "ed25519")]
            http_message(
                "PyPI http-message-signatures, ed25519",
                SigningSecret::generate_ed25519(),
            ),
        ],
        _ => vec![standard("crate standardwebhooks")],
    }
}

impl Library {
    fn is_http_message(&self) -> bool {
        self.scheme == Scheme::HttpMessage
    }

    /// The headers that a receiver of the scheme reads, signed by us.
    fn signed(&self, now: Timestamp) -> Fields {
        let url = url();
        let message = Message::new(ID, now, BODY.as_bytes()).with_url(&url);
        let message = message.with_content_type("application/json");
        let signed = self.scheme.sign(std::slice::from_ref(&self.secret), &message).unwrap();
        let covers_id = matches!(self.scheme, Scheme::StandardWebhooks | Scheme::HttpMessage);
        let content_type = ("content-type".to_owned(), b"application/json".to_vec());
        let others = self.is_http_message().then_some(content_type);
        let fields = signed.into_iter().chain(others);
        let fields = fields.filter(|(name, _)| covers_id || !name.starts_with("webhook-"));
        fields.map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect()
    }

    fn ask(&self, op: &str, now: Timestamp, fields: &[(String, String)], body: &[u8]) -> Value {
        let headers: serde_json::Map<String, Value> =
            fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let secret = self.secret.expose();
        json!({
            "library": self.name,
            "op": op,
            "secret": secret.strip_prefix("text:").unwrap_or(&secret),
            "id": ID,
            "time": now.unix_seconds(),
            "headers": headers,
            "body": STANDARD.encode(body),
            "url": url().as_str(),
        })
    }

    fn is_accepted_here(&self, now: Timestamp, fields: &[(String, String)], body: &[u8]) -> bool {
        let headers: Headers =
            fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        self.verifier.verify(&headers, body, now).is_ok()
    }
}

/// Every message that differs in one byte, as its fields and its body.
fn changed(fields: &[(String, String)]) -> Vec<(Fields, Vec<u8>)> {
    let mut all = Vec::new();
    for (n, (_, value)) in fields.iter().enumerate() {
        for at in 0..value.len() {
            let mut changed = fields.to_vec();
            let other = other_byte(value.as_bytes(), at);
            changed[n].1.replace_range(at..=at, &char::from(other).to_string());
            all.push((changed, BODY.as_bytes().to_vec()));
        }
    }
    for at in 0..BODY.len() {
        let mut body = BODY.as_bytes().to_vec();
        body[at] ^= 1;
        // Some take the body for a text, in which what is no UTF-8 has no place.
        if std::str::from_utf8(&body).is_ok() {
            all.push((fields.to_vec(), body));
        }
    }
    all
}

/// Another byte in the place of one. Before the padding of base64 it is a digit that stands for
/// other bits: only some of them count there, and many a library takes the others as they come.
fn other_byte(value: &[u8], at: usize) -> u8 {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let place = DIGITS.iter().position(|digit| *digit == value[at]);
    match place.filter(|_| value.get(at + 1) == Some(&b'=')) {
        Some(place) => DIGITS[(place + 32) % 64],
        None => value[at] ^ 1,
    }
}

/// Has each message signed by one side and verified by the other, whole and changed.
fn check(libraries: &[Library], mut ask: impl FnMut(&Value) -> Value) {
    for library in libraries {
        let now = Timestamp::now();
        let fields = library.signed(now);
        let mut accepts = |fields: &[(String, String)], body: &[u8]| {
            ask(&library.ask("verify", now, fields, body))["accepted"] == json!(true)
        };
        assert!(library.is_accepted_here(now, &fields, BODY.as_bytes()), "{}", library.name);
        assert!(accepts(&fields, BODY.as_bytes()), "{}: ours, as it was signed", library.name);
        let all = changed(&fields);
        for (fields, body) in &all {
            let shown =
                || format!("{}: {fields:?} {}", library.name, String::from_utf8_lossy(body));
            assert!(!library.is_accepted_here(now, fields, body), "here: {}", shown());
            assert!(!accepts(fields, body), "there: {}", shown());
        }
        let signed = ask(&library.ask("sign", now, &[], BODY.as_bytes()));
        let theirs: Fields = signed["headers"]
            .as_object()
            .expect("it signs")
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().unwrap().to_owned()))
            .collect();
        assert!(
            library.is_accepted_here(now, &theirs, BODY.as_bytes()),
            "{}: {theirs:?}",
            library.name
        );
        for (fields, body) in changed(&theirs) {
            assert!(!library.is_accepted_here(now, &fields, &body), "{}: {fields:?}", library.name);
        }
        println!("{}: both ways; {} changed messages refused by both", library.name, all.len());
    }
}

#[test]
fn messages_go_both_ways_with_the_crate_standardwebhooks() {
    check(&libraries("crate"), |ask| {
        let webhook = standardwebhooks::Webhook::new(ask["secret"].as_str().unwrap()).unwrap();
        let body = STANDARD.decode(ask["body"].as_str().unwrap()).unwrap();
        if ask["op"] == "sign" {
            let time = ask["time"].as_i64().unwrap();
            let signature = webhook.sign(ID, time, &body).unwrap();
            return json!({"headers": {
                "webhook-id": ID,
                "webhook-timestamp": time.to_string(),
                "webhook-signature": signature,
            }});
        }
        let fields = ask["headers"].as_object().unwrap().iter();
        let headers = fields
            .map(|(name, value)| (name.parse().unwrap(), value.as_str().unwrap().parse().unwrap()));
        let headers: hyper::HeaderMap = headers.collect();
        json!({"accepted": webhook.verify(&body, &headers).is_ok()})
    });
}

#[test]
#[ignore = "installs packages from PyPI; .ci/run has it"]
fn messages_go_both_ways_with_libraries_of_pypi() {
    let mut judge = Judge::of_pypi("signatures_interop");
    check(&libraries("PyPI"), |ask| judge.ask(ask));
}

#[test]
#[ignore = "installs packages from npm; .ci/run has it"]
fn messages_go_both_ways_with_libraries_of_npm() {
    let mut judge = Judge::of_npm("signatures_interop");
    check(&libraries("npm"), |ask| judge.ask(ask));
}
