//! CloudEvents 1.0 (CNCF, version 1.0.2): JSON format and HTTP protocol binding.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::Payload;
use super::encode::{header_value, percent_encode};
use crate::event::{Artifact, Event, Source};

/// The attributes of an event, in the order of the specification.
fn attributes(event: &Event) -> Vec<(&'static str, String)> {
    let mut attributes = told(event);
    for (_, value) in &mut attributes {
        *value = value.chars().map(allowed).collect();
    }
    attributes
}

/// What an attribute may hold in the place of a character: all but the code points that Unicode
/// keeps for no character (specification, "Type System"). An event has no control characters.
fn allowed(c: char) -> char {
    let is_none = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    if is_none { char::REPLACEMENT_CHARACTER } else { c }
}

fn told(event: &Event) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("id", event.id.to_string()),
        ("source", source_uri(&event.source)),
        ("type", format!("artifact-triggers.{}", event.kind)),
        ("time", event.occurred_at.to_string()),
    ];
    if let Some(subject) = event.artifact.as_ref().and_then(reference) {
        attributes.push(("subject", subject));
    }
    if !event.scope.as_str().is_empty() {
        attributes.push(("scope", event.scope.to_string()));
    }
    // The distributed tracing extension.
    if let Some(trace) = &event.correlation.trace_parent {
        attributes.push(("traceparent", trace.clone()));
    }
    if let Some(state) = &event.correlation.trace_state {
        attributes.push(("tracestate", state.clone()));
    }
    attributes
}

pub(super) fn structured(event: &Event, event_json: &[u8]) -> Payload {
    let mut envelope: Map<String, Value> = attributes(event)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    envelope.insert("datacontenttype".to_owned(), json!("application/json"));
    let mut body = serde_json::to_vec(&envelope).expect("the keys are strings");
    body.pop();
    body.extend_from_slice(b",\"data\":");
    body.extend_from_slice(event_json);
    body.push(b'}');
    Payload::new("application/cloudevents+json", body)
}

pub(super) fn binary(event: &Event, event_json: &[u8]) -> Payload {
    let mut payload = Payload::new("application/json", event_json.to_vec());
    let fields = attributes(event);
    payload.headers.extend(
        fields.into_iter().map(|(name, value)| (format!("ce-{name}"), header_value(&value))),
    );
    payload
}

/// `source` as a relative URI reference: what told the event, and which one of its kind.
pub(super) fn source_uri(source: &Source) -> String {
    let mut uri = String::from("/");
    percent_encode(&source.name, &mut uri);
    if let Some(instance) = &source.instance {
        uri.push('/');
        percent_encode(instance, &mut uri);
    }
    uri
}

/// What the event is about, as a package URL or a reference: `registry/repository:tag@digest`.
pub(super) fn reference(artifact: &Artifact) -> Option<String> {
    if artifact.purl.is_some() {
        return artifact.purl.clone();
    }
    let mut reference = artifact.repository.clone().or_else(|| artifact.name.clone())?;
    if let Some(registry) = &artifact.registry {
        reference = format!("{registry}/{reference}");
    }
    if let Some(version) = artifact.tags.first().or(artifact.version.as_ref()) {
        let _ = write!(reference, ":{version}");
    }
    if let Some(digest) = &artifact.digest {
        let _ = write!(reference, "@{digest}");
    }
    Some(reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    fn event() -> Event {
        let image =
            Artifact::new("generic", "t \"ü\"").with_version("1").with_purl("pkg:generic/t@1");
        Event::builder(EventKind::ARTIFACT_INGESTED)
            .source(Source::new("distribution").with_instance("vm:5510"))
            .scope("acme/ü x".parse().unwrap())
            .artifact(image)
            .build()
            .unwrap()
    }

    #[test]
    fn structured_carries_the_required_attributes_and_the_event() {
        let event = event();
        let payload = structured(&event, &event.to_json());
        let body: Value = serde_json::from_slice(&payload.body).unwrap();
        assert_eq!(
            payload.headers,
            [("content-type".into(), "application/cloudevents+json".into())]
        );
        assert_eq!(
            body,
            json!({
                "specversion": "1.0",
                "id": event.id,
                "source": "/distribution/vm%3A5510",
                "type": "artifact-triggers.artifact.ingested",
                "time": event.occurred_at,
                "subject": "pkg:generic/t@1",
                "scope": "acme/ü x",
                "datacontenttype": "application/json",
                "data": event,
            })
        );
    }

    #[test]
    fn binary_headers_are_printable_ascii() {
        let event = event();
        let payload = binary(&event, &event.to_json());
        let scope = payload.headers.iter().find(|(name, _)| name == "ce-scope").unwrap();
        assert_eq!(scope.1, "acme/%C3%BC%20x");
        assert_eq!(&*payload.body, event.to_json());
        assert!(payload.headers.iter().all(|(_, v)| v.bytes().all(|b| b.is_ascii_graphic())));
    }

    #[test]
    fn an_attribute_has_no_code_point_that_is_no_character() {
        let mut event = event();
        event.artifact.as_mut().unwrap().purl = Some("a\u{fdd0}b\u{ffff}c\u{10fffe}d".to_owned());
        let payload = structured(&event, &event.to_json());
        let body: Value = serde_json::from_slice(&payload.body).unwrap();
        assert_eq!(body["subject"], "a\u{fffd}b\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn attribute_names_are_lower_case_letters_and_digits_and_not_long() {
        let mut event = event();
        event.correlation.trace_parent = Some("00-a".to_owned());
        event.correlation.trace_state = Some("a=b".to_owned());
        let attributes = attributes(&event);
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        assert!(attributes.iter().all(|(name, _)| name.len() <= 20 && name.bytes().all(is_name)));
        assert!(attributes.iter().all(|(_, value)| !value.is_empty()));
        assert_eq!(attributes.len(), 9);
    }

    #[test]
    fn an_artifact_without_purl_is_named_by_its_reference() {
        let image = Artifact::default()
            .with_registry("r:5000")
            .with_repository("a/b")
            .with_tag("v1")
            .with_digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let expected = format!("r:5000/a/b:v1@{}", image.digest.as_ref().unwrap());
        assert_eq!(reference(&image), Some(expected));
    }
}
