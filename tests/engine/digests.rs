//! Digests: several events in one message of a chat service.

use std::fs;
use std::time::Duration;

use artifact_triggers::delivery::{Batch, DeliveryPolicy, Jitter};
use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::payload::{Chat, PayloadFormat};
use artifact_triggers::trigger::KindPattern;
use serde_json::{Map, Value, json};

use crate::bench::*;

const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digests.json");

fn formats() -> [(&'static str, PayloadFormat); 3] {
    let chat = || Chat::default().with_label("staging");
    [
        ("slack", PayloadFormat::Slack(chat())),
        ("teams", PayloadFormat::Teams(chat())),
        ("discord", PayloadFormat::Discord(chat())),
    ]
}

/// The messages in which events arrive that come within a minute.
async fn sent(format: PayloadFormat, events: Vec<Event>) -> Vec<Value> {
    let bench = bench(Script::statuses([200])).await;
    let batch = Batch::default().with_max_events(100).with_max_wait(MINUTE);
    let policy = DeliveryPolicy::default().with_jitter(Jitter::None).with_batch(batch);
    let trigger = webhook("t").on_any("*".parse::<KindPattern>().unwrap());
    bench.trigger(trigger.format(format).policy(policy)).await;
    for event in events {
        bench.engine.publish(event).await.unwrap();
        bench.clock.advance(Duration::from_millis(1));
    }
    bench.work(2 * MINUTE).await;
    let requests = bench.script.requests();
    requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

fn told(n: usize, kind: EventKind, artifact: Artifact) -> Event {
    let at = format!("2026-11-23T11:00:{n:02}Z").parse().unwrap();
    Event::builder(kind).occurred_at(at).artifact(artifact).build().unwrap()
}

fn few() -> Vec<Event> {
    let image = Artifact::new("oci", "hello").with_repository("library/hello").with_tag("v1");
    vec![
        told(1, EventKind::ARTIFACT_INGESTED, image.with_url("https://registry.example/hello(1)")),
        told(2, EventKind::POLICY_VIOLATED, Artifact::new("npm", "left-pad").with_version("1.3.0")),
        told(3, EventKind::ARTIFACT_DELETED, Artifact::new("cargo", "<!channel> *a* @everyone")),
    ]
}

#[tokio::test]
async fn several_events_are_one_message_as_the_snapshots_show() {
    let mut all = Map::new();
    for (name, format) in formats() {
        let mut messages = sent(format, few()).await;
        assert_eq!(messages.len(), 1, "{name}");
        all.insert(name.to_owned(), messages.remove(0));
    }
    let all = Value::Object(all);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(EXPECTED, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
    }
    let expected: Value = serde_json::from_slice(&fs::read(EXPECTED).unwrap()).unwrap();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn one_event_alone_is_told_as_without_a_batch() {
    for (name, format) in formats() {
        let bench = bench(Script::statuses([200])).await;
        bench.trigger(webhook("t").format(format.clone())).await;
        let event = few().remove(0);
        bench.engine.publish(event.clone()).await.unwrap();
        bench.work(MINUTE).await;
        let alone: Value = serde_json::from_slice(&bench.script.requests()[0].body).unwrap();
        assert_eq!(sent(format, vec![event]).await, [alone], "{name}");
    }
}

/// Every text in a document.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_message_of_very_many_large_events_keeps_to_each_service_s_limits() {
    let name = "\u{1f4e6}*[a](b)".repeat(40);
    let url = format!("https://registry.example/{}", "x".repeat(900));
    let events = || {
        let artifact = Artifact::new("generic", &name).with_url(&url);
        (0..100).map(|n| told(n % 60, EventKind::ARTIFACT_INGESTED, artifact.clone())).collect()
    };
    for (service, format) in formats() {
        let messages = sent(format, events()).await;
        assert_eq!(messages.len(), 1, "{service}");
        let message = &messages[0];
        assert!(message.to_string().contains("100 events"), "{service}");
        match service {
            "slack" => {
                assert_eq!(message["blocks"].as_array().unwrap().len(), 42);
                assert_eq!(message["blocks"][41]["text"]["text"], "and 80 more");
            }
            "teams" => {
                assert!(message.to_string().len() < 28 * 1024, "{}", message.to_string().len());
                assert!(texts(message).contains(&"and 80 more"));
            }
            _ => {
                let said = message["embeds"][0]["description"].as_str().unwrap();
                assert!(said.encode_utf16().count() <= 4_096);
                assert!(said.contains("\nand ") && said.ends_with(" more"), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn what_somebody_pushed_is_no_markup_in_a_digest_either() {
    let [slack, teams, discord] = formats();
    let slack = sent(slack.1, few()).await.remove(0);
    for block in slack["blocks"].as_array().unwrap() {
        let plain = block["type"] == "context" || block["text"]["type"] == "plain_text";
        assert!(plain, "{block}");
    }
    assert!(!texts(&slack["blocks"][6]).concat().contains("channel"), "only in plain text");
    let teams = sent(teams.1, few()).await.remove(0);
    for block in teams["attachments"][0]["content"]["body"].as_array().unwrap() {
        assert_eq!(block["inlines"][0]["type"], "TextRun", "{block}");
    }
    let discord = sent(discord.1, few()).await.remove(0);
    assert_eq!(discord["allowed_mentions"], json!({"parse": []}));
    let said = discord["embeds"][0]["description"].as_str().unwrap();
    assert!(said.contains(r"\<\!channel\> \*a\* \@everyone"), "{said}");
    assert!(said.contains("](https://registry.example/hello%281%29)"), "{said}");
}
