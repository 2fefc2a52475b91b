//! The receiver of distribution's envelopes.
//!
//! In: any bytes as a body. Whatever comes in, the answer is events that can be decided and stored,
//! or problems that say where; the same body gives the same events.

#![no_main]

use std::sync::LazyLock;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::Event;
use artifact_triggers::incoming::distribution::DistributionReceiver;
use artifact_triggers::incoming::known::{decide, keys};
use artifact_triggers::incoming::{Incoming, Notice, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::signature::Verifier;
use libfuzzer_sys::fuzz_target;

static RECEIVER: LazyLock<DistributionReceiver> = LazyLock::new(|| {
    let scope = "acme".parse().expect("a scope");
    DistributionReceiver::new(scope, Verifier::accept_unverified())
});

fuzz_target!(|body: &[u8]| {
    let media_type = "application/vnd.docker.distribution.events.v1+json";
    let headers: Headers = [("content-type", media_type)].into_iter().collect();
    let open = |now| RECEIVER.open(Incoming { headers: &headers, body }, now);
    match open(Timestamp::UNIX_EPOCH) {
        Ok(notices) => {
            notices.iter().for_each(check);
            let ids = |notices: &[Notice]| -> Vec<_> {
                notices.iter().map(|notice| notice.event.id).collect()
            };
            let later = open(Timestamp::from_unix_seconds(1_800_000_000));
            assert_eq!(ids(&later.expect("what is read is read again")), ids(&notices));
        }
        Err(error) => {
            assert_eq!(error.status(), 400);
            assert!(!error.to_string().is_empty());
        }
    }
});

/// It can be stored, and decided whatever is known.
fn check(notice: &Notice) {
    let event = &notice.event;
    assert_eq!(Event::from_json(&event.to_json()).as_ref(), Ok(event));
    for value in [None, Some("manifest"), Some("blob"), Some("sha256:0")] {
        let values = vec![value.map(ToOwned::to_owned); keys(notice).len()];
        decide(notice.clone(), &values);
    }
}
