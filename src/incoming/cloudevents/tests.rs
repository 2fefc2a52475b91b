use serde_json::json;

use super::*;

fn headers(fields: &[(&str, &str)]) -> Headers {
    fields.iter().copied().collect()
}

const REQUIRED: [(&str, &str); 4] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "1234-1234-1234"),
    ("ce-source", "/mycontext/subcontext"),
    ("ce-type", "com.example.someevent"),
];

fn with(fields: &[(&str, &str)]) -> Headers {
    let mut all = headers(&REQUIRED);
    all.extend(fields.iter().copied());
    all
}

fn one(headers: &Headers, body: &str) -> CloudEvent {
    let mut events = read(headers, body.as_bytes()).unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn structured(body: &str) -> Result<Vec<CloudEvent>, ParseError> {
    read(&headers(&[("content-type", "application/cloudevents+json")]), body.as_bytes())
}

fn error(result: Result<Vec<CloudEvent>, ParseError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn binary_structured_and_batched_tell_the_same() {
    let binary = with(&[
        ("CE-Time", "2018-04-05T03:56:24Z"),
        ("ce-subject", "larger%20context"),
        ("ce-comexampleextension", "value"),
        ("content-type", "application/json; charset=utf-8"),
    ]);
    let expected = json!({
        "specversion": "1.0",
        "id": "1234-1234-1234",
        "source": "/mycontext/subcontext",
        "type": "com.example.someevent",
        "time": "2018-04-05T03:56:24Z",
        "subject": "larger context",
        "comexampleextension": "value",
        "datacontenttype": "application/json; charset=utf-8",
        "data": { "a": [1, null] },
    });
    let event = one(&binary, r#"{"a": [1, null]}"#);
    assert_eq!(Value::Object(event.into_json()), expected);
    for media_type in ["application/cloudevents+json", "Application/CloudEvents+JSON;charset=UTF-8"]
    {
        let event = one(&headers(&[("Content-Type", media_type)]), &expected.to_string());
        assert_eq!(Value::Object(event.into_json()), expected);
    }
    let batch = headers(&[("content-type", "application/cloudevents-batch+json; charset=utf-8")]);
    let events = read(&batch, format!("[{expected}, {expected}]").as_bytes()).unwrap();
    let events: Vec<Value> = events.into_iter().map(|e| Value::Object(e.into_json())).collect();
    assert_eq!(events, [expected.clone(), expected]);
    assert!(read(&batch, b"[]").unwrap().is_empty());
}

#[test]
fn data_is_what_its_media_type_says() {
    let data =
        |media_type: &str, body: &str| one(&with(&[("content-type", media_type)]), body).data;
    assert_eq!(data("application/vnd.x+json", "\"a\""), Data::Json(json!("a")));
    assert_eq!(data("text/xml", "<a/>"), Data::Text("<a/>".to_owned()));
    assert_eq!(data("application/json", ""), Data::None);
    assert_eq!(one(&with(&[]), "[1]").data, Data::Json(json!([1])));
    assert_eq!(one(&with(&[]), "[1").data, Data::Text("[1".to_owned()));
    let bytes = read(&with(&[("content-type", "application/x")]), b"\xff").unwrap().remove(0).data;
    assert_eq!(bytes, Data::Bytes(vec![0xff]));
    let envelope = |members: &str| {
        let body =
            format!(r#"{{"specversion":"1.0","id":"1","source":"/a","type":"t",{members}}}"#);
        structured(&body).unwrap().remove(0).data
    };
    let text = |text: &str| Data::Text(text.to_owned());
    assert_eq!(envelope(r#""data":"I'm just a string""#), Data::Json(json!("I'm just a string")));
    assert_eq!(envelope(r#""data":"<a/>","datacontenttype":"text/xml""#), text("<a/>"));
    assert_eq!(envelope(r#""data":null,"subject":null"#), Data::None);
    assert_eq!(envelope(r#""data_base64":"/w==""#), Data::Bytes(vec![0xff]));
    assert_eq!(
        envelope(r#""data_base64":"eyJhIjoxfQ==","datacontenttype":"application/json""#),
        Data::Json(json!({ "a": 1 }))
    );
}

#[test]
fn an_extension_is_a_text_a_whole_number_or_a_truth_value() {
    let body = |value: &str| {
        format!(r#"{{"specversion":"1.0","id":"1","source":"/a","type":"t","ext1":{value}}}"#)
    };
    let event = structured(&body("5")).unwrap().remove(0);
    assert_eq!(event.extensions["ext1"], json!(5));
    let expected = "expected a string, a whole number, true or false, found";
    assert_eq!(error(structured(&body("1.5"))), format!("ext1: {expected} 1.5"));
    assert_eq!(error(structured(&body("{}"))), format!("ext1: {expected} an object"));
    assert_eq!(error(structured(&body("[]"))), format!("ext1: {expected} an array"));
}

#[test]
fn every_attribute_that_is_missing_or_wrong_is_named_where_it_stands() {
    assert_eq!(
        error(read(&headers(&[("ce-type", "")]), b"")),
        "ce-specversion: expected 1.0, found nothing; ce-id: expected a text, found nothing; \
         ce-source: expected a URI reference, found nothing; ce-type: expected a text, found nothing"
    );
    assert_eq!(
        error(read(&with(&[("ce-time", "yesterday"), ("content-type", "json")]), b"{}")),
        "content-type: expected a media type, found \"json\"; \
         ce-time: expected a time as RFC 3339 has it, such as 2026-11-23T14:42:23Z, found \
         \"yesterday\""
    );
    let batch = headers(&[("content-type", "application/cloudevents-batch+json")]);
    let body = r#"[{"specversion":"1.0","id":"1","source":"/a","type":"t"},
                   {"dataschema":"/x","id":1,"source":"a b","specversion":"0.3","type":"\u0007"}]"#;
    assert_eq!(
        error(read(&batch, body.as_bytes())),
        "[1].dataschema: expected a URI, found \"/x\"; \
         [1].source: expected a URI reference, found \"a b\"; \
         [1].specversion: expected version 1.x, found \"0.3\"; \
         [1].type: expected no control characters, found \"\\u{7}\"; \
         [1].id: expected a string, found 1"
    );
}

#[test]
fn names_that_no_attribute_may_have_are_refused() {
    let named = |field: &str| error(read(&with(&[(field, "1")]), b""));
    let expected = "expected a name of letters a to z and digits, other than data, found";
    assert_eq!(named("ce-my-extension"), format!("ce-my-extension: {expected} \"my-extension\""));
    assert_eq!(named("ce-data"), format!("ce-data: {expected} \"data\""));
    assert_eq!(named("ce-"), format!("ce-: {expected} \"\""));
    let body = r#"{"specversion":"1.0","id":"1","source":"/a","type":"t","Ext":"1"}"#;
    assert_eq!(error(structured(body)), format!("Ext: {expected} \"Ext\""));
}

#[test]
fn data_that_cannot_be_is_named() {
    let body = |members: &str| {
        format!(r#"{{"specversion":"1.0","id":"1","source":"/a","type":"t",{members}}}"#)
    };
    assert_eq!(
        error(structured(&body(r#""data":1,"data_base64":"""#))),
        "data_base64: expected nothing, since there is data"
    );
    let found = error(structured(&body(r#""data_base64":"?""#)));
    assert!(found.starts_with("data_base64: expected Base64: "), "{found}");
    assert_eq!(
        error(structured(&body(r#""data_base64":1"#))),
        "data_base64: expected a string, found 1"
    );
    let found = error(read(&with(&[("content-type", "application/json")]), b"{"));
    assert!(found.starts_with("data: expected JSON: "), "{found}");
    let found = error(structured("{"));
    assert!(found.starts_with("expected JSON: "), "{found}");
    assert_eq!(error(structured("[]")), "expected an object, found an array");
}

#[test]
fn what_is_no_cloudevent_is_of_another_media_type() {
    for (fields, found) in [
        (vec![("content-type", "application/json")], "\"application/json\""),
        (vec![], "none, or more than one"),
        (vec![("content-type", "application/cloudevents+avro"), ("ce-id", "1")], "avro"),
        (vec![("content-type", "application/cloudevents-batch+xml"), ("ce-id", "1")], "xml"),
    ] {
        let error = read(&headers(&fields), b"{}").unwrap_err();
        assert!(matches!(&error, ParseError::MediaType { .. }), "{error}");
        assert!(error.to_string().contains(found), "{error}");
    }
    let twice = with(&[("content-type", "text/xml"), ("content-type", "application/json")]);
    let expected = "content-type: expected it once, found it more than once";
    assert_eq!(error(read(&twice, b"")), expected);
}

#[test]
fn a_batch_has_an_end() {
    let batch = headers(&[("content-type", "application/cloudevents-batch+json")]);
    let body = format!("[{}0]", "0,".repeat(MAX_EVENTS));
    assert_eq!(error(read(&batch, body.as_bytes())), "expected at most 1000 events, found 1001");
    assert_eq!(error(read(&batch, b"{}")), "expected an array of events, found an object");
}
