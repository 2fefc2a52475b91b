//! CDEvents, judged by the specification's JSON Schemas: see `tests/data/cdevents/README.md`.

use std::fs;

use artifact_triggers::event::Event;
use artifact_triggers::payload::{Cdevents, CdeventsVersion, PayloadFormat};
use jsonschema::Validator;
use serde_json::{Value, json};

use super::{body, data, event, events, header, read, render};

/// The schema that an event of a type is held to; `None` if the version has none.
fn schema(version: CdeventsVersion, kind: &str) -> Option<Validator> {
    let name = if kind.starts_with("dev.cdeventsx.") {
        "custom".to_owned()
    } else {
        format!("artifact{}", kind.split('.').nth(3).unwrap())
    };
    let path = format!("cdevents/{}/{name}.json", version.as_str());
    if !fs::exists(data(&path)).unwrap() {
        return None;
    }
    let mut schema = read(&path);
    let context = &mut schema["properties"]["context"]["properties"];
    // Links are optional and not sent: what they refer to is not needed.
    context.as_object_mut().unwrap().remove("links");
    // What was read before its release has the same type but for this word.
    if let Some(draft) = context["type"]["enum"][0].as_str() {
        context["type"]["enum"][0] = json!(draft.trim_end_matches("-draft"));
    }
    Some(jsonschema::options().should_validate_formats(true).build(&schema).unwrap())
}

fn cdevent(version: CdeventsVersion, event: &Event) -> Value {
    let format = PayloadFormat::Cdevents(Cdevents::default().with_version(version));
    body(&render(&format, event))["data"].clone()
}

fn kind_of(cdevent: &Value) -> &str {
    cdevent["context"]["type"].as_str().unwrap()
}

#[test]
fn every_event_fulfils_the_schema_of_its_version() {
    for version in CdeventsVersion::ALL {
        for (name, event) in events() {
            let cdevent = cdevent(version, &event);
            let kind = kind_of(&cdevent);
            let Some(schema) = schema(version, kind) else {
                // Custom events came with 0.4.
                assert!(version == CdeventsVersion::V0_3_0 && kind.starts_with("dev.cdeventsx."));
                continue;
            };
            let found: Vec<String> =
                schema.iter_errors(&cdevent).map(|error| error.to_string()).collect();
            assert_eq!(found, [""; 0], "{} of {name}: {cdevent:#}", version.as_str());
        }
    }
}

#[test]
fn a_schema_refuses_what_is_not_of_its_version() {
    let told = cdevent(CdeventsVersion::V0_4_1, &event("new image"));
    let latest = schema(CdeventsVersion::V0_5_0, "dev.cdevents.artifact.published.0.3.0").unwrap();
    assert!(!latest.is_valid(&told));
    let mut without = told.clone();
    without["context"].as_object_mut().unwrap().remove("source");
    let own = schema(CdeventsVersion::V0_4_1, kind_of(&told)).unwrap();
    assert!(own.is_valid(&told) && !own.is_valid(&without));
}

#[test]
fn each_version_has_its_own_words() {
    use CdeventsVersion as V;
    for (name, version, expected) in [
        ("new image", V::V0_3_0, "dev.cdevents.artifact.published.0.1.1"),
        ("new image", V::V0_4_1, "dev.cdevents.artifact.published.0.2.0"),
        ("new image", V::V0_5_0, "dev.cdevents.artifact.published.0.3.0"),
        ("image under the same tag", V::V0_4_1, "dev.cdevents.artifact.published.0.2.0"),
        ("image signed", V::V0_3_0, "dev.cdevents.artifact.signed.0.1.0"),
        ("image signed", V::V0_5_0, "dev.cdevents.artifact.signed.0.3.0"),
        ("chart pulled", V::V0_4_1, "dev.cdevents.artifact.downloaded.0.1.0"),
        ("chart pulled", V::V0_3_0, "dev.cdeventsx.artifacttriggers-artifact.downloaded.0.1.0"),
        ("image deleted by its digest", V::V0_5_0, "dev.cdevents.artifact.deleted.0.2.0"),
        ("tag removed", V::V0_4_1, "dev.cdeventsx.artifacttriggers-tag.deleted.0.1.0"),
        ("schedule came due", V::V0_5_0, "dev.cdeventsx.artifacttriggers-schedule.fired.0.1.0"),
        (
            "a registry's own kind",
            V::V0_4_1,
            "dev.cdeventsx.artifacttriggers-acme.mirrorsyncdone.0.1.0",
        ),
    ] {
        assert_eq!(kind_of(&cdevent(version, &event(name))), expected, "{name}");
    }
}

#[test]
fn the_subject_is_the_package_url_and_of_a_signature_what_it_signs() {
    let subject = |name: &str| {
        let cdevent = cdevent(CdeventsVersion::V0_4_1, &event(name));
        cdevent["subject"]["id"].as_str().unwrap().to_owned()
    };
    let artifact = |name: &str| event(name).artifact.unwrap();
    assert_eq!(subject("new image"), artifact("new image").purl.unwrap());
    let signed = artifact("image signed").oci.unwrap().subject_digest.unwrap();
    let place = "repository_url=registry.example:5000%2Flibrary%2Fhello";
    assert_eq!(subject("image signed"), format!("pkg:oci/hello@{signed}?{place}"));
    assert_eq!(subject("tag removed"), "registry.example:5000/library/hello:v1.2.0");
    assert_eq!(subject("schedule came due"), event("schedule came due").id.to_string());
}

#[test]
fn binary_and_structured_tell_the_same() {
    for (name, event) in events() {
        let format = Cdevents::default().with_version(CdeventsVersion::V0_5_0);
        let structured = body(&render(&PayloadFormat::Cdevents(format), &event));
        let binary = render(&PayloadFormat::Cdevents(format.with_binary(true)), &event);
        assert_eq!(body(&binary), structured["data"], "{name}");
        assert_eq!(header(&binary, "content-type"), Some("application/cdevents+json"));
        assert_eq!(structured["datacontenttype"], "application/cdevents+json");
        for attribute in ["specversion", "id", "source", "type", "time"] {
            let field = header(&binary, &format!("ce-{attribute}"));
            assert_eq!(field, structured[attribute].as_str(), "{name}: {attribute}");
        }
    }
}

#[test]
fn the_event_itself_goes_along() {
    for (name, event) in events() {
        let cdevent = cdevent(CdeventsVersion::V0_5_0, &event);
        assert_eq!(cdevent["customData"], serde_json::to_value(&event).unwrap(), "{name}");
    }
}
