//! The CloudEvents that an engine sends, read by libraries that we did not write, and theirs, read
//! by us.
//!
//! `tests/cloudevents_interop/` has the scripts that ask the libraries, and which versions. Of
//! header fields those of npm and of the crate read a value as it stands, where the HTTP binding
//! has it percent-decoded: from them only such values are asked for as need no encoding.

mod judge;

use std::sync::Mutex;
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::{Batch, DeliveryPolicy};
use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::incoming::{Incoming, Receiver};
use artifact_triggers::payload::PayloadFormat;
use artifact_triggers::request::{Headers, Request, Response};
use artifact_triggers::signature::Verifier;
use artifact_triggers::storage::MemoryStorage;
use artifact_triggers::trigger::Trigger;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloudevents::binding::http::builder::Builder;
use cloudevents::binding::http::{Serializer, to_event};
use cloudevents::message::{BinaryDeserializer as _, StructuredDeserializer as _};
use hyper::header::{HeaderMap, HeaderValue};
use judge::Judge;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// What a library of others is able to.
struct Abilities {
    decodes: bool,
    batches: bool,
}

/// Takes what an engine sends.
#[derive(Debug)]
struct Taker(Mutex<UnboundedSender<Request>>);

#[async_trait]
impl Deliverer for Taker {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        let _ = self.0.lock().unwrap().send(request);
        Ok(Response { status: 202, ..Response::default() })
    }

    fn check_url(&self, _: &Scope, _: &url::Url) -> Result<(), String> {
        Ok(())
    }
}

fn event(scope: &str, name: &str) -> Event {
    Event::builder(EventKind::ARTIFACT_INGESTED)
        .scope(scope.parse().unwrap())
        .artifact(Artifact::new("cargo", name).with_version("1.0.219"))
        .data(json!({"number": 1.5, "text": "caf\u{e9} \u{2603}", "nothing": null}))
        .build()
        .unwrap()
}

/// What an engine sends of an event in each mode: alone, binary and structured, and twice in a
/// batch.
fn sent(event: &Event) -> Vec<Request> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (sender, mut taken) = unbounded_channel();
        let engine = Engine::builder(MemoryStorage::new())
            .deliverer(Taker(Mutex::new(sender)))
            .build()
            .await
            .unwrap();
        let batch = Batch::default().with_max_events(2).with_max_wait(Duration::from_secs(60));
        for (name, format, policy) in [
            ("binary", PayloadFormat::CloudeventsBinary, DeliveryPolicy::default()),
            ("structured", PayloadFormat::CloudeventsStructured, DeliveryPolicy::default()),
            (
                "batch",
                PayloadFormat::CloudeventsStructured,
                DeliveryPolicy::default().with_batch(batch),
            ),
        ] {
            let kind =
                if name == "batch" { EventKind::ARTIFACT_SIGNED } else { event.kind.clone() };
            let spec = Trigger::builder(name)
                .on(kind)
                .unsigned_webhook(format!("https://hooks.example/{name}"))
                .format(format)
                .policy(policy);
            engine.create_trigger(spec.build().unwrap()).await.unwrap();
        }
        let signed = |name: &str| {
            let mut signed = self::event("", name);
            signed.kind = EventKind::ARTIFACT_SIGNED;
            signed
        };
        engine.publish_all(vec![event.clone(), signed("a"), signed("b")]).await.unwrap();
        engine.spawn(1);
        let mut requests = Vec::new();
        while requests.len() < 3 {
            requests.push(taken.recv().await.unwrap());
        }
        engine.shutdown(Duration::from_secs(5)).await;
        requests
    })
}

/// What is asked of a library about a request.
fn asked(request: &Request) -> Value {
    let fields = request.headers.iter();
    let fields: Map<String, Value> = fields
        .map(|(name, value)| (name.to_owned(), json!(String::from_utf8_lossy(value))))
        .collect();
    json!({"op": "read", "headers": fields, "body": STANDARD.encode(&request.body)})
}

fn time(event: &Value) -> Timestamp {
    event["time"].as_str().unwrap_or_else(|| panic!("{event}")).parse().unwrap()
}

/// Whether they read what we send.
fn check_ours(name: &str, abilities: &Abilities, ask: &mut impl FnMut(&Value) -> Value) {
    let mut scopes = vec!["acme/platform"];
    if abilities.decodes {
        scopes.push("acme/caf\u{e9} \"\u{2603}\" 100%");
    }
    let mut count = 0;
    for scope in scopes {
        let event = event(scope, "serde");
        for request in sent(&event) {
            let is_batch = request.url.path() == "/batch";
            if is_batch && !abilities.batches {
                continue;
            }
            let told = ask(&asked(&request));
            let events = told["events"].as_array().unwrap_or_else(|| panic!("{name}: {told}"));
            assert_eq!(events.len(), if is_batch { 2 } else { 1 }, "{name}: {told}");
            count += events.len();
            if is_batch {
                assert_eq!(events[1]["type"], "artifact-triggers.artifact.signed", "{name}");
                continue;
            }
            let found = &events[0];
            assert_eq!(found["specversion"], "1.0", "{name}");
            assert_eq!(found["id"], json!(event.id), "{name}");
            assert_eq!(found["source"], "/registry", "{name}");
            assert_eq!(found["type"], "artifact-triggers.artifact.ingested", "{name}");
            assert_eq!(found["scope"], scope, "{name}");
            assert_eq!(found["datacontenttype"], "application/json", "{name}");
            assert_eq!(found["data"], serde_json::to_value(&event).unwrap(), "{name}");
            // Some keep milliseconds of a time and no more.
            let off =
                event.occurred_at.since(time(found)).max(time(found).since(event.occurred_at));
            assert!(off < Duration::from_millis(1), "{name}: {found}");
        }
    }
    println!("{name}: read {count} of ours");
}

/// Events of theirs: the attributes, and the data in the JSON format.
fn samples() -> Vec<Value> {
    let sample = |id: &str, more: Value| {
        let mut event = json!({
            "specversion": "1.0",
            "id": id,
            "source": "https://ci.example/builds?a=b",
            "type": "com.example.build.finished",
            "time": "2026-11-26T12:00:00Z",
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    vec![
        sample("1", json!({"datacontenttype": "application/json", "data": {"ok": [1.5, null]}})),
        sample("2", json!({"datacontenttype": "text/plain", "data": "caf\u{e9} \u{2603}"})),
        sample("3", json!({"datacontenttype": "application/x-y", "data_base64": "/wD+"})),
        sample(
            "4",
            json!({
                "subject": "with space, 100% \"quoted\"",
                "dataschema": "https://ci.example/schema.json",
                "comexample1": "value",
                "datacontenttype": "application/json",
                "data": {},
            }),
        ),
    ]
}

/// Whether we read what they send.
fn check_theirs(name: &str, ask: &mut impl FnMut(&Value) -> Value) {
    let verifier = Verifier::accept_unverified();
    let receiver = ProviderReceiver::new(Provider::CloudEvents, Scope::root(), verifier);
    let mut count = 0;
    for sample in samples() {
        for mode in ["binary", "structured"] {
            let told = ask(&json!({"op": "write", "mode": mode, "event": sample}));
            let fields = told["headers"].as_object().unwrap_or_else(|| panic!("{name}: {told}"));
            let headers: Headers = fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                .collect();
            let body = STANDARD.decode(told["body"].as_str().unwrap()).unwrap();
            let incoming = Incoming { headers: &headers, body: &body };
            let notices = receiver.open(incoming, Timestamp::now());
            let notices = notices.unwrap_or_else(|error| panic!("{name}, {mode}: {error}: {told}"));
            let mut found = notices[0].event.data.clone().unwrap();
            assert_eq!(time(&found), time(&sample), "{name}, {mode}");
            found["time"].clone_from(&sample["time"]);
            assert_eq!(found, sample, "{name}, {mode}");
            count += 1;
        }
    }
    println!("{name}: {count} of theirs read");
}

fn check(name: &str, abilities: &Abilities, mut ask: impl FnMut(&Value) -> Value) {
    check_ours(name, abilities, &mut ask);
    check_theirs(name, &mut ask);
}

/// Collects what the crate writes.
#[derive(Default)]
struct Written(Vec<(String, String)>);

impl Builder<Value> for Written {
    fn header(&mut self, key: &str, value: HeaderValue) {
        self.0.push((key.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    }

    fn body(&mut self, bytes: Vec<u8>) -> cloudevents::message::Result<Value> {
        let headers: Map<String, Value> =
            self.0.drain(..).map(|(name, value)| (name, json!(value))).collect();
        Ok(json!({"headers": headers, "body": STANDARD.encode(bytes)}))
    }

    fn finish(&mut self) -> cloudevents::message::Result<Value> {
        self.body(Vec::new())
    }
}

#[test]
fn cloudevents_go_both_ways_with_the_crate_cloudevents_sdk() {
    let abilities = Abilities { decodes: false, batches: false };
    check("crate cloudevents-sdk", &abilities, |ask| {
        if ask["op"] == "write" {
            let event: cloudevents::Event = serde_json::from_value(ask["event"].clone()).unwrap();
            let serializer = Serializer::new(Written::default());
            if ask["mode"] == "binary" {
                return event.deserialize_binary(serializer).unwrap();
            }
            return event.deserialize_structured(serializer).unwrap();
        }
        let fields = ask["headers"].as_object().unwrap().iter();
        let headers: HeaderMap = fields
            .map(|(name, value)| (name.parse().unwrap(), value.as_str().unwrap().parse().unwrap()))
            .collect();
        let body = STANDARD.decode(ask["body"].as_str().unwrap()).unwrap();
        let mut event = serde_json::to_value(to_event(&headers, body).unwrap()).unwrap();
        // In binary mode it leaves the data to whoever knows the media type.
        if let Some(data) = event["data_base64"].as_str() {
            let data = STANDARD.decode(data).unwrap();
            event["data"] = serde_json::from_slice(&data).unwrap();
        }
        json!({"events": [event]})
    });
}

#[test]
#[ignore = "installs packages from PyPI; .ci/run has it"]
fn cloudevents_go_both_ways_with_the_library_of_pypi() {
    let mut judge = Judge::of_pypi("cloudevents_interop");
    let abilities = Abilities { decodes: true, batches: false };
    check("PyPI cloudevents", &abilities, |ask| judge.ask(ask));
}

#[test]
#[ignore = "installs packages from npm; .ci/run has it"]
fn cloudevents_go_both_ways_with_the_library_of_npm() {
    let mut judge = Judge::of_npm("cloudevents_interop");
    let abilities = Abilities { decodes: false, batches: true };
    check("npm cloudevents", &abilities, |ask| judge.ask(ask));
}
