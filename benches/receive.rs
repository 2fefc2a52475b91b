//! How fast incoming webhooks are received: verified, understood, decided, matched and published
//! with memory storage; beside the least that any receiver does with the same bodies, an HMAC and a
//! parse to `serde_json::Value`. In turns, in one run, on one thread, one request after the other.
//!
//! `cargo bench --bench receive`

use std::time::Instant;

use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::id::TriggerId;
use artifact_triggers::incoming::distribution::DistributionReceiver;
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::incoming::{Incoming, Receiver};
use artifact_triggers::payload::{PayloadFormat, TriggerName};
use artifact_triggers::request::Headers;
use artifact_triggers::signature::{Message, Scheme, SigningSecret, Verifier};
use artifact_triggers::storage::MemoryStorage;
use artifact_triggers::trigger::Trigger;
use serde_json::Value;

const ROUNDS: usize = 15;
const REQUESTS: usize = 2_000;
const SECRET: &str = "text:a secret that both sides know";

/// A request, ready to be received.
struct Told {
    headers: Headers,
    body: Vec<u8>,
}

/// A kind of request and who receives it.
struct Case {
    name: &'static str,
    receiver: Box<dyn Receiver>,
    told: fn(usize) -> Told,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("there is a thread");
    println!("| requests | bytes | bare | received | ratio | goal |");
    println!("|---|---|---|---|---|---|");
    for case in cases() {
        runtime.block_on(measure(&case));
    }
}

fn cases() -> Vec<Case> {
    let secret = || SECRET.parse::<SigningSecret>().expect("it is one");
    let cloudevents = || {
        let verifier = Verifier::github([secret()]);
        Box::new(ProviderReceiver::new(Provider::CloudEvents, Scope::root(), verifier))
    };
    vec![
        Case {
            name: "a push at a distribution registry",
            receiver: Box::new(DistributionReceiver::new(
                Scope::root(),
                Verifier::github([secret()]),
            )),
            told: push,
        },
        Case {
            name: "an engine's event, CloudEvents structured",
            receiver: cloudevents(),
            told: event,
        },
        Case { name: "a CloudEvent of any type", receiver: cloudevents(), told: any },
    ]
}

/// Receives the same requests both ways in turns, and prints the medians.
async fn measure(case: &Case) {
    let verifier = Verifier::github([SECRET.parse::<SigningSecret>().expect("it is one")]);
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for round in 0..ROUNDS {
        let told: Vec<Told> = (0..REQUESTS).map(|n| (case.told)(round * REQUESTS + n)).collect();
        bytes = told[0].body.len();
        let begin = Instant::now();
        for one in &told {
            let now = artifact_triggers::clock::Timestamp::now();
            verifier.verify(&one.headers, &one.body, now).expect("it is signed");
            let value: Value = serde_json::from_slice(&one.body).expect("it is JSON");
            std::hint::black_box(value);
        }
        bare.push(begin.elapsed());
        // A storage that is new each round, so that each round has as much to look through.
        let engine = engine().await;
        let begin = Instant::now();
        for one in &told {
            let incoming = Incoming { headers: &one.headers, body: &one.body };
            let received = engine.receive(&*case.receiver, incoming).await.expect("it is taken");
            std::hint::black_box(received);
        }
        whole.push(begin.elapsed());
    }
    let [bare, whole] = [bare, whole].map(|mut all| {
        all.sort_unstable();
        all[all.len() / 2] / u32::try_from(REQUESTS).expect("they are few")
    });
    let ratio = bare.as_secs_f64() / whole.as_secs_f64();
    println!(
        "| {} | {bytes} | {bare:.2?} | {whole:.2?} | {:.0} % | ≥ 50 % |",
        case.name,
        100.0 * ratio
    );
}

/// An engine with a trigger that wants none of the events.
async fn engine() -> Engine {
    let engine = Engine::builder(MemoryStorage::new()).build().await.expect("it is built");
    let spec = Trigger::builder("t")
        .on(EventKind::ARTIFACT_DELETED)
        .unsigned_webhook("https://hooks.example/");
    engine.create_trigger(spec.build().expect("it is valid")).await.expect("it is stored");
    engine
}

fn signed(content_type: &str, body: Vec<u8>) -> Told {
    let secret = SECRET.parse::<SigningSecret>().expect("it is one");
    let message = Message::new("1", artifact_triggers::clock::Timestamp::now(), &body);
    let mut headers = Scheme::Github.sign(&[secret], &message).expect("it can be signed");
    headers.push("content-type", content_type);
    Told { headers, body }
}

/// The push of a tag, as version 2 of the registry tells it.
fn push(n: usize) -> Told {
    let capture = include_str!("../tests/data/distribution/all/003.body");
    let number = format!("{n:08x}");
    let body = capture
        .replace("072b6187", &number)
        .replace("a0e576ed", &number)
        .replace("\"id\": \"", &format!("\"id\": \"{number}"));
    signed("application/vnd.docker.distribution.events.v1+json", body.into_bytes())
}

fn event(n: usize) -> Told {
    let artifact = Artifact::new("cargo", format!("crate-{n}")).with_version("1.0.219");
    let event = Event::builder(EventKind::ARTIFACT_INGESTED)
        .scope("acme/platform".parse().expect("it is one"))
        .artifact(artifact)
        .build()
        .expect("it is valid");
    let trigger = TriggerName { id: TriggerId::derived(event.occurred_at, &[]), name: "t" };
    let payload = PayloadFormat::CloudeventsStructured.render(&event, &event.to_json(), trigger);
    signed("application/cloudevents+json", payload.body.to_vec())
}

fn any(n: usize) -> Told {
    let body = serde_json::json!({
        "specversion": "1.0",
        "id": format!("A234-{n}"),
        "source": "https://ci.example/builds",
        "type": "com.example.build.finished",
        "time": "2018-04-05T17:31:00Z",
        "subject": "build/7",
        "datacontenttype": "application/json",
        "data": {"ok": true, "branch": "main", "commit": "9f2c1b7", "durations": [1.5, 2, 30]},
    });
    signed("application/cloudevents+json", body.to_string().into_bytes())
}
