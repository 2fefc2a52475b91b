//! Each sample becomes what stands beside it, in every field.

use std::fs;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::Event;
use artifact_triggers::incoming::provider::Provider;
use artifact_triggers::incoming::{Incoming, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::signature::Verifier;
use serde_json::{Value, json};

use crate::sample::{self, Sample, as_json};

/// What becomes of a sample: an answer at once, or notices.
fn outcome(sample: &Sample) -> Value {
    let (headers, body) = (sample.headers(), sample.bytes());
    let verified = Verifier::accept_unverified().verify(&headers, &body, sample::now()).unwrap();
    if let Some(answer) = sample.receiver().handshake(verified, &headers) {
        let body = String::from_utf8(answer.body).unwrap();
        let fields = |headers: &Headers| -> Value {
            let pair = |(name, value): (&str, &[u8])| {
                (name.to_owned(), String::from_utf8_lossy(value).into())
            };
            Value::Object(headers.iter().map(pair).collect())
        };
        let (status, headers) = (answer.status, fields(&answer.headers));
        return json!({"answer": {"status": status, "headers": headers, "body": body}});
    }
    let notices = sample.open().unwrap_or_else(|error| panic!("{}: {error}", sample.name()));
    let shown = notices.iter().map(
        |notice| json!({"change": format!("{:?}", notice.change), "event": as_json(&notice.event)}),
    );
    Value::Array(shown.collect())
}

#[test]
fn every_field_of_every_sample_is_mapped_as_expected() {
    let mut wrong = Vec::new();
    for sample in sample::all() {
        let found = outcome(&sample);
        let path = sample.path.with_extension("notices.json");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
        }
        let expected = fs::read(&path).unwrap_or_else(|_| panic!("there is {}", path.display()));
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        if found != expected {
            wrong.push(format!("{}: {found:#} instead of {expected:#}", sample.name()));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_expectation_belongs_to_a_sample() {
    let samples: Vec<_> = sample::all().into_iter().map(|sample| sample.path).collect();
    for provider in Provider::all() {
        for path in sample::entries(&sample::data().join(provider.as_str())) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let of = name.strip_suffix(".notices.json").map(|name| format!("{name}.json"));
            let is_known = samples.contains(&of.map_or(path.clone(), |of| path.with_file_name(of)));
            assert!(is_known || name == "README.md", "{}", path.display());
        }
    }
}

#[test]
fn every_event_reads_back_from_its_json() {
    for sample in sample::all() {
        for notice in sample.open().unwrap() {
            let event = notice.event;
            assert_eq!(Event::from_json(&event.to_json()).unwrap(), event, "{}", sample.name());
        }
    }
}

/// Row 7: what is told again is known again, whenever that is, unless it tells no time.
#[test]
fn defect_07_the_same_body_gives_the_same_ids_whenever_it_is_told() {
    let later: Timestamp = "2026-11-26T12:01:00Z".parse().unwrap();
    for sample in sample::all() {
        let (headers, body) = (sample.headers(), sample.bytes());
        let incoming = Incoming { headers: &headers, body: &body };
        let ids = |at| -> Vec<_> {
            let notices = sample.receiver().open(incoming, at).unwrap();
            notices.into_iter().map(|notice| notice.event.id).collect()
        };
        let mut first = ids(sample::now());
        assert_eq!(first, ids(later), "{}", sample.name());
        first.sort_unstable();
        let count = first.len();
        first.dedup();
        assert_eq!(first.len(), count, "{}: two events have one id", sample.name());
    }
}

/// Row 8: no tag of what providers tell is a digest or empty.
#[test]
fn defect_08_no_tag_is_a_digest_or_empty() {
    let mut tags = 0;
    for sample in sample::all() {
        for notice in sample.open().unwrap() {
            for tag in notice.event.artifact.into_iter().flat_map(|artifact| artifact.tags) {
                assert!(!tag.is_empty() && !tag.contains(':'), "{}: {tag:?}", sample.name());
                tags += 1;
            }
        }
    }
    assert!(tags > 10, "{tags}");
}
