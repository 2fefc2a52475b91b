//! Signed messages that were changed in any way: none is accepted.
//!
//! What a scheme's own rules call the same message, such as header fields in another order or a
//! signature of an unknown version beside the one that fits, is told apart by a reading of those
//! rules that is written here anew, and not counted.

use std::collections::BTreeMap;

use artifact_triggers::request::Headers;
use artifact_triggers::signature::{Message, Scheme, SigningSecret, Verifier};

use crate::{BODY, ID, SENT, at, secret, text};

/// Random enough, and the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit
    }

    fn piece(&mut self) -> &'static [u8] {
        PIECES[self.below(PIECES.len())]
    }
}

#[derive(Clone, PartialEq)]
struct Signed {
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Signed {
    fn is_accepted(&self, verifier: &Verifier) -> bool {
        let headers: Headers = self.fields.iter().cloned().collect();
        verifier.verify(&headers, &self.body, at(SENT)).is_ok()
    }
}

/// How a value of a header is read.
#[derive(Clone, Copy)]
enum Reading {
    /// Byte by byte.
    Exact,
    /// As entries between spaces, of which one is enough.
    Spaces,
    /// As parts between commas: the time once and in its place, of the signatures one is enough.
    Commas,
    /// As members of a dictionary, of which one is enough.
    Members,
}

struct Case {
    name: &'static str,
    verifier: Verifier,
    signed: Signed,
    readings: BTreeMap<&'static str, Reading>,
    share: u32,
}

fn case(
    name: &'static str,
    (scheme, key): (Scheme, SigningSecret),
    verifier: Verifier,
    readings: &[(&'static str, Reading)],
    share: u32,
) -> Case {
    let url = "https://hooks.example/in".parse().unwrap();
    let message = Message::new(ID, at(SENT), BODY).with_url(&url).with_content_type("a/b");
    let headers = scheme.sign(&[key], &message).unwrap();
    let covers_type = matches!(scheme, Scheme::HttpMessage);
    let content_type = covers_type.then(|| ("content-type".to_owned(), b"a/b".to_vec()));
    let readings: BTreeMap<_, _> = readings.iter().copied().collect();
    // What a scheme does not cover is left out.
    let fields = headers.into_iter().filter(|(name, _)| readings.contains_key(name.as_str()));
    let fields = fields.chain(content_type).collect();
    Case { name, verifier, signed: Signed { fields, body: BODY.to_vec() }, readings, share }
}

fn cases() -> Vec<Case> {
    use Reading::{Commas, Exact, Members, Spaces};
    let standard =
        [("webhook-id", Exact), ("webhook-timestamp", Exact), ("webhook-signature", Spaces)];
    let http_message = [
        ("webhook-id", Exact),
        ("webhook-timestamp", Exact),
        ("content-type", Exact),
        ("content-digest", Exact),
        ("signature-input", Members),
        ("signature", Members),
    ];
    let stamped = Scheme::Timestamped { header: "acme-signature".to_owned() };
    let harness = Scheme::Harness { prefix: "Gitness".to_owned() };
    let (url, key) = ("https://hooks.example/in".parse().unwrap(), || text("s3cret"));
    let verifier = Verifier::standard_webhooks([secret(1), secret(2)]);
    let mut all = vec![
        case("v1", (Scheme::StandardWebhooks, secret(1)), verifier, &standard, 300),
        case(
            "github",
            (Scheme::Github, key()),
            Verifier::github([key()]),
            &[("x-hub-signature-256", Exact)],
            250,
        ),
        case(
            "harness",
            (harness, key()),
            Verifier::harness("Gitness", [key()]),
            &[("x-gitness-signature", Exact)],
            150,
        ),
        case(
            "timestamped",
            (stamped, key()),
            Verifier::timestamped("acme-signature", [key()]),
            &[("acme-signature", Commas)],
            200,
        ),
        case(
            "http-message",
            (Scheme::HttpMessage, secret(1)),
            Verifier::http_message(&url, [secret(1)]),
            &http_message,
            120,
        ),
    ];
    all.extend(of_features(&standard, &http_message, &url));
    all
}

fn of_features(
    standard: &[(&'static str, Reading)],
    http_message: &[(&'static str, Reading)],
    url: &url::Url,
) -> Vec<Case> {
    #[allow(unused_mut, reason = "without the features there are none")]
    let mut all = Vec::new();
    #[cfg(feature = "ed25519")]
    {
        let pair = || SigningSecret::from_ed25519_bytes(&[7; 32]).unwrap();
        let verifier = Verifier::standard_webhooks([]).with_public_keys(pair().public_key());
        all.push(case("v1a", (Scheme::StandardWebhooks, pair()), verifier, standard, 20));
        let verifier = Verifier::http_message(url, []).with_public_keys(pair().public_key());
        all.push(case(
            "http-message ed25519",
            (Scheme::HttpMessage, pair()),
            verifier,
            http_message,
            20,
        ));
    }
    #[cfg(feature = "sha1")]
    {
        let signed = Signed {
            fields: vec![(
                "x-hub-signature".to_owned(),
                b"sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59".to_vec(),
            )],
            body: b"Hello, World!".to_vec(),
        };
        let verifier = Verifier::hub_sha1([text("It's a Secret to Everybody")]);
        let readings = [("x-hub-signature", Reading::Exact)].into();
        all.push(Case { name: "sha1", verifier, signed, readings, share: 50 });
    }
    let _ = (standard, http_message, url);
    all
}

/// Whether the rules of its scheme call a message the same as the one that was signed.
fn is_same(case: &Case, changed: &Signed) -> bool {
    let field = |message: &Signed, name: &str| -> Option<Vec<u8>> {
        let mut all = message.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        all.next().filter(|_| all.next().is_none()).map(|(_, value)| value.clone())
    };
    let is_same = |(name, reading): (&&str, &Reading)| {
        let signed = field(&case.signed, name).expect("it was signed");
        field(changed, name).is_some_and(|found| reading.is_same(&signed, &found))
    };
    changed.body == case.signed.body && case.readings.iter().all(is_same)
}

impl Reading {
    fn is_same(self, signed: &[u8], found: &[u8]) -> bool {
        let has = |found: &[u8], sign: u8, part: &[u8]| {
            found.split(|byte| *byte == sign).any(|one| one.trim_ascii() == part)
        };
        match self {
            Self::Exact => signed == found,
            Self::Spaces => found.split(|byte| *byte == b' ').any(|one| one == signed),
            Self::Members => has(found, b',', signed),
            Self::Commas => {
                let time = |value: &[u8]| -> Vec<Vec<u8>> {
                    let parts = value.split(|byte| *byte == b',');
                    parts.filter(|part| part.starts_with(b"t=")).map(<[u8]>::to_vec).collect()
                };
                let signature = signed.split(|byte| *byte == b',').nth(1).expect("it is signed");
                time(signed) == time(found)
                    && found.split(|b| *b == b',').any(|one| one == signature)
            }
        }
    }
}

/// Pieces that stand in such fields, or nearly.
const PIECES: [&[u8]; 26] = [
    b"",
    b" ",
    b",",
    b".",
    b"=",
    b"\0",
    b"\n",
    b"\"",
    b";",
    b"v1,",
    b"v1a,",
    b"v2,",
    b"v1=",
    b"t=",
    b"sha256=",
    b"sha1=",
    b"sig1=",
    b"sig2=:AA==:",
    b"0",
    b"+",
    b"-1",
    b"1614265330",
    b"(\"@method\")",
    b";created=1614265330",
    b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    b"\xff\xfe",
];

fn change_bytes(random: &mut Random, bytes: &mut Vec<u8>) {
    let place = random.below(bytes.len() + 1);
    match random.below(9) {
        0..=2 if place < bytes.len() => bytes[place] ^= 1 << random.below(8),
        3 if place < bytes.len() => {
            bytes.remove(place);
        }
        4 => bytes.truncate(place),
        5 => bytes.splice(place..place, random.piece().iter().copied()).for_each(drop),
        6 => bytes.extend_from_slice(random.piece()),
        7 => bytes.make_ascii_uppercase(),
        8 => *bytes = random.piece().to_vec(),
        _ => bytes.insert(place, u8::try_from(random.below(256)).unwrap()),
    }
}

fn change_name(random: &mut Random, name: &mut String) {
    let mut bytes = std::mem::take(name).into_bytes();
    if random.below(2) == 0 {
        bytes.make_ascii_uppercase();
    } else {
        change_bytes(random, &mut bytes);
    }
    *name = String::from_utf8_lossy(&bytes).into_owned();
}

/// Changes a message in one way.
fn change(random: &mut Random, message: &mut Signed) {
    let count = message.fields.len();
    if count == 0 {
        return change_bytes(random, &mut message.body);
    }
    let (one, other) = (random.below(count), random.below(count));
    match random.below(12) {
        0..=3 => change_bytes(random, &mut message.fields[one].1),
        4..=6 => change_bytes(random, &mut message.body),
        7 => change_name(random, &mut message.fields[one].0),
        8 => drop(message.fields.remove(one)),
        9 => {
            let mut twice = message.fields[one].clone();
            if random.below(2) == 0 {
                change_bytes(random, &mut twice.1);
            }
            message.fields.insert(other, twice);
        }
        10 => {
            let value = message.fields[one].1.clone();
            message.fields[one].1 = std::mem::replace(&mut message.fields[other].1, value);
        }
        _ => {
            // What ends one part begins the next.
            let end = message.fields[one].1.pop();
            message.body.splice(0..0, end);
        }
    }
}

/// Changes messages of all schemes, each so many times its share; tells how many were refused.
fn mutate(times: u32) -> u32 {
    let cases = cases();
    let refused: u32 = std::thread::scope(|scope| {
        let begun: Vec<_> =
            cases.iter().map(|case| scope.spawn(|| refuse(case, case.share * times))).collect();
        begun.into_iter().map(|one| one.join().expect("none was accepted")).sum()
    });
    println!("{refused} changed messages, none accepted");
    refused
}

/// Changes a message so many times.
fn refuse(case: &Case, times: u32) -> u32 {
    assert!(case.signed.is_accepted(&case.verifier), "{}, not changed", case.name);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut changed, mut same) = (0, 0);
    while changed < times {
        let mut message = case.signed.clone();
        for _ in 0..=random.below(3) {
            change(&mut random, &mut message);
        }
        if is_same(case, &message) {
            same += 1;
            continue;
        }
        let accepted = message.is_accepted(&case.verifier);
        let body = String::from_utf8_lossy(&message.body);
        assert!(!accepted, "{}: {:?} {body:?}", case.name, message.fields);
        changed += 1;
    }
    println!("{}: {changed} changed, all refused; {same} that mean the same", case.name);
    changed
}

#[test]
fn changed_messages_are_refused() {
    assert!(mutate(5) >= 5_000);
}

#[test]
#[ignore = "takes half a minute; .ci/run has it"]
fn of_a_million_changed_messages_none_is_accepted() {
    assert!(mutate(1_000) >= 1_000_000);
}

/// The reading above is no way out: what it calls the same is accepted where that is certain.
#[test]
fn what_means_the_same_is_accepted() {
    for case in cases() {
        let mut message = case.signed.clone();
        message.fields.reverse();
        message.fields.iter_mut().for_each(|(name, _)| name.make_ascii_uppercase());
        message.fields.push(("x-other".to_owned(), b"v1,".to_vec()));
        assert!(is_same(&case, &message) && message.is_accepted(&case.verifier), "{}", case.name);
        message.body.push(b' ');
        assert!(!is_same(&case, &message) && !message.is_accepted(&case.verifier), "{}", case.name);
    }
}
