//! The receivers of named providers, and the one that a mapping tells what to do.
//!
//! In: a line with a provider's name, or with a mapping, and a body. Whatever comes in, the answer
//! is events that can be decided and stored, or problems that say where.

#![no_main]

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::{Event, Scope};
use artifact_triggers::incoming::known::{decide, keys};
use artifact_triggers::incoming::mapping::{Mapping, MappingReceiver};
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::incoming::{Incoming, Notice, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::signature::Verifier;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(line) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (name, body) = (&input[..line], &input[line + 1..]);
    let headers = headers();
    let _ = Provider::recognise(&headers, body);
    let Some(receiver) = receiver(name) else { return };
    let open = || receiver.open(Incoming { headers: &headers, body }, Timestamp::UNIX_EPOCH);
    match open() {
        Ok(notices) => {
            notices.iter().for_each(check);
            assert_eq!(open().as_ref(), Ok(&notices));
        }
        Err(error) => {
            assert!([400, 415].contains(&error.status()));
            assert!(!error.to_string().is_empty());
        }
    }
});

fn receiver(name: &[u8]) -> Option<Box<dyn Receiver>> {
    let verifier = Verifier::accept_unverified();
    if let Some(provider) = Provider::all().find(|it| it.as_str().as_bytes() == name) {
        return Some(Box::new(ProviderReceiver::new(provider, Scope::root(), verifier)));
    }
    let mapping = Mapping::from_json(name).ok()?;
    Some(Box::new(MappingReceiver::new(mapping, Scope::root(), verifier)))
}

/// What each provider has in header fields.
fn headers() -> Headers {
    let fields = [
        ("content-type", "application/json"),
        ("x-gitea-event", "package"),
        ("x-gitea-delivery", "1"),
        ("x-github-event", "package"),
        ("x-github-delivery", "1"),
        ("x-nexus-webhook-id", "rm:repository:component"),
    ];
    fields.into_iter().collect()
}

/// It can be stored, and decided whatever is known.
fn check(notice: &Notice) {
    let event = &notice.event;
    assert_eq!(Event::from_json(&event.to_json()).as_ref(), Ok(event));
    for value in [None, Some("manifest"), Some("blob"), Some("sha256:0")] {
        let values = vec![value.map(ToOwned::to_owned); keys(notice).len()];
        decide(notice.clone(), &values);
    }
}
