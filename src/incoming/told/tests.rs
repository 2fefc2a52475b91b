use super::*;
use crate::request::Headers;
use crate::signature::Verifier;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn told() -> Told {
    Told::new(EventKind::ARTIFACT_INGESTED, Change::None, Artifact::new("oci", "app"))
}

/// The event of something told of a registry.
fn event(told: Told, registry: Option<&str>) -> Event {
    let scope = "acme".parse().unwrap();
    let telling = Telling { provider: "quay", scope: &scope, registry, body: b"{}", now: NOW };
    let mut problems = Problems::default();
    let notice = told.notice(0, &telling, "", &mut problems);
    notice.unwrap_or_else(|| panic!("{problems}")).event
}

#[test]
fn what_two_registries_tell_with_the_same_words_are_two_events() {
    let of = |registry| event(told(), registry).id;
    assert_eq!(of(Some("prod")), of(Some("prod")));
    assert_ne!(of(Some("prod")), of(Some("staging")));
    let verified = Verifier::accept_unverified().verify(&Headers::new(), b"{}", NOW).unwrap();
    let known = |provider, registry| fingerprint(provider, registry, verified);
    assert_eq!(known("quay", Some("prod")), known("quay", Some("prod")));
    assert_ne!(known("quay", Some("prod")), known("quay", Some("staging")));
    assert_ne!(known("quay", None), known("jfrog", None));
}

#[test]
fn an_id_that_no_signature_covers_is_shown_and_tells_no_event_from_another() {
    let delivered = |id: &str| {
        let mut told = told();
        told.delivery = Some(id.to_owned());
        event(told, None)
    };
    let (one, other) = (delivered("1"), delivered("2"));
    assert_eq!((one.id, one.source.id.as_deref()), (other.id, Some("1")));
    assert_eq!(other.source.id.as_deref(), Some("2"));
}

#[test]
fn what_is_nested_too_deep_is_left_out_and_told_nevertheless() {
    let deep = |levels| (0..levels).fold(json!(1), |value, _| json!([value]));
    let data = |levels| {
        let mut told = told();
        told.rest.insert("manifest".to_owned(), deep(levels));
        event(told, None).data.unwrap()
    };
    assert_eq!(data(60), json!({ "manifest": deep(60) }));
    assert_eq!(data(100), json!({ "left_out": "it is nested too deep" }));
}

#[test]
fn what_many_events_share_is_kept_as_long_as_it_is_small() {
    let rest = |numbers: usize| {
        let members = json!({ "x": vec![0; numbers] });
        members.as_object().unwrap().clone()
    };
    assert_eq!(shared(&rest(10), 1_000), rest(10));
    assert_eq!(shared(&rest(10_000), 1), rest(10_000));
    let left_out = json!({ "left_out": "it is too much for each of 1000 events" });
    assert_eq!(Value::Object(shared(&rest(10_000), 1_000)), left_out);
}
