//! Templates: requests that are made of events, signed and sent as they were made.

use artifact_triggers::clock::Clock as _;
use artifact_triggers::delivery::{DeadReason, Outcome, RetrySchedule, State, StateName};
use artifact_triggers::document::Problems;
use artifact_triggers::engine::{PingError, ReplayPlan};
use artifact_triggers::event::{Event, EventKind, Scope};
use artifact_triggers::id::TriggerId;
use artifact_triggers::payload::{PayloadFormat, Template, TriggerName};
use artifact_triggers::request::{Method, Request};
use artifact_triggers::signature::{Scheme, Verifier};
use artifact_triggers::storage::DeliveryQuery;
use artifact_triggers::trigger::TriggerBuilder;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bench::*;

fn with(template: Template) -> TriggerBuilder {
    webhook("t").format(PayloadFormat::Template(template))
}

fn put() -> Template {
    Template::new(r#"{"of": "{{ artifact.name }} {{ event.kind }}", "by": {{ trigger }}}"#)
        .with_method("PUT")
        .with_path("packages/{{ artifact.name }}")
        .with_query("version", "{{ artifact.version }}")
        .with_header("x-kind", "{{ event.kind }}")
}

fn problems(builder: TriggerBuilder) -> Vec<String> {
    let problems: Problems = builder.build().unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[tokio::test]
async fn defect_37_a_delivery_a_ping_and_a_preview_are_made_by_the_same_template() {
    let bench = bench(Script::statuses([200])).await;
    let trigger = bench.trigger(with(put())).await;
    bench.engine.publish(event("a/b")).await.unwrap();
    bench.work(MINUTE).await;
    bench.engine.ping(&Scope::root(), trigger.id).await.unwrap();
    let shown = bench.engine.preview(&Scope::root(), trigger.id, event("a/b")).unwrap().unwrap();
    let sent = bench.script.requests();
    let by = json!({"id": trigger.id, "name": "t"});
    for (request, name, kind, version) in [
        (&sent[0], "a/b", "artifact.ingested", "1"),
        (&shown, "a/b", "artifact.ingested", "1"),
        (&sent[1], "hello", "ping", "1.4.2"),
    ] {
        assert_eq!(request.method, Method::Put);
        let encoded = name.replace('/', "%2F");
        let url = format!("https://hooks.example/x/packages/{encoded}?version={version}");
        assert_eq!(request.url.as_str(), url);
        assert_eq!(body(request), json!({"of": format!("{name} {kind}"), "by": by}));
        assert_eq!(request.headers.only("x-kind"), Some(kind.as_bytes()));
        assert_eq!(request.headers.only("content-type"), Some(&b"application/json"[..]));
        assert!(request.headers.iter().all(|(name, _)| !name.starts_with(':')), "{request:?}");
    }
}

#[tokio::test]
async fn defect_29_what_a_template_makes_is_what_is_signed() {
    let bench = bench(Script::statuses([200])).await;
    let scheme = Scheme::HttpMessage;
    bench.trigger(with(put()).scheme(scheme)).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(MINUTE).await;
    let sent = &bench.script.requests()[0];
    let covered = sent.headers.only("signature-input").unwrap();
    assert!(String::from_utf8_lossy(covered).contains(r#""@method" "@target-uri""#));
    let started = bench.log(&bench.only().await).await[0].attempt.started_at;
    // A verifier is for one address and a POST: this is neither.
    let other = Verifier::http_message(&sent.url, [SECRET.parse().unwrap()]);
    assert!(other.verify(&sent.headers, &sent.body, started).is_err());
    let posted = with(put().with_method("POST")).scheme(Scheme::HttpMessage);
    let spec = posted.build().unwrap();
    let id = bench.deliveries().await[0].trigger;
    bench.engine.update_trigger(id, 1, spec).await.unwrap();
    let now = bench.clock.now();
    bench.engine.publish(event("b")).await.unwrap();
    bench.work(MINUTE).await;
    let sent = &bench.script.requests()[1];
    let verifier = Verifier::http_message(&sent.url, [SECRET.parse().unwrap()]);
    verifier.verify(&sent.headers, &sent.body, now).unwrap();
}

#[tokio::test]
async fn every_attempt_sends_what_was_made_first_whatever_becomes_of_the_template() {
    let bench = bench(Script::statuses([500, 200])).await;
    let trigger = bench.trigger(with(put())).await;
    bench.engine.publish(event("a")).await.unwrap();
    bench.work(std::time::Duration::from_secs(1)).await;
    let changed = with(Template::new(r#"{"other": 1}"#)).build().unwrap();
    bench.engine.update_trigger(trigger.id, 1, changed).await.unwrap();
    bench.work(DAY).await;
    let sent = bench.script.requests();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].body, sent[1].body);
    assert_eq!((sent[0].method, &sent[0].url), (sent[1].method, &sent[1].url));
}

#[tokio::test]
async fn what_cannot_be_made_is_a_dead_letter_with_the_reason_and_goes_once_it_is_mended() {
    let bench = bench(Script::statuses([200])).await;
    let strict = Template::new(r#"{"team": "{{ event.data.team }}"}"#);
    let retry = RetrySchedule::never();
    let policy = artifact_triggers::delivery::DeliveryPolicy::default().with_retry(retry);
    let trigger = bench.trigger(with(strict).policy(policy.clone())).await;
    bench.trigger(webhook("beside")).await;
    bench.engine.publish(event("a")).await.unwrap();
    let told = |name: &str| {
        Event::builder(EventKind::ARTIFACT_INGESTED)
            .artifact(event(name).artifact.unwrap())
            .data(json!({"team": "x"}))
            .build()
            .unwrap()
    };
    bench.engine.publish(told("b")).await.unwrap();
    bench.work(MINUTE).await;
    assert_eq!(bench.script.requests().len(), 3, "the other events and triggers go");
    let query = DeliveryQuery::of_scope(Scope::root()).with_state(StateName::Dead);
    let dead = bench.engine.deliveries(query).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].state, State::Dead { reason: DeadReason::Invalid });
    let log = bench.log(&dead[0]).await;
    assert_eq!((log.len(), &log[0].attempt.outcome), (1, &Outcome::Invalid));
    assert_eq!(
        log[0].attempt.error.as_deref(),
        Some("the template: body: line 1: `event.data.team` is undefined")
    );

    let mended = Template::new(r#"{"team": "{{ event.data.team | default('none') }}"}"#);
    let mended = with(mended).policy(policy).build().unwrap();
    bench.engine.update_trigger(trigger.id, 1, mended).await.unwrap();
    bench.engine.start_replay(ReplayPlan::of_scope(Scope::root())).await.unwrap();
    bench.work(MINUTE).await;
    let sent = bench.script.requests();
    assert_eq!((sent.len(), body(&sent[3])), (4, json!({"team": "none"})));
    let query = DeliveryQuery::of_scope(Scope::root()).with_state(StateName::Delivered);
    assert_eq!(bench.engine.deliveries(query).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_preview_and_a_ping_say_what_a_template_cannot_make() {
    let bench = bench(Script::statuses([200])).await;
    let template = Template::new("{{ event.data.team | upper }}");
    let trigger = bench.trigger(with(template.with_content_type("text/plain"))).await;
    let shown = bench.engine.preview(&Scope::root(), trigger.id, event("a")).unwrap_err();
    let expected = "body: line 1: `event.data.team` is undefined";
    assert!(matches!(&shown, PingError::Unmade { reason } if reason == expected), "{shown}");
    let pinged = bench.engine.ping(&Scope::root(), trigger.id).await.unwrap();
    assert_eq!(pinged.attempt.outcome, Outcome::Invalid);
    assert!(bench.script.requests().is_empty());
}

#[test]
fn a_trigger_whose_template_makes_no_request_of_its_events_is_refused() {
    let template = Template::new("{\n\n\"a\": {{ artifact.nmae }}}")
        .with_header("Webhook-Id", "x")
        .with_header("x y", "x");
    let found = problems(with(template).header("x-own", "a"));
    assert_eq!(
        found[0],
        "target.webhook.format.template.headers.Webhook-Id: \
        is set by the crate or the connection and cannot be overridden"
    );
    assert_eq!(
        found[1],
        "target.webhook.format.template.headers: \
        expected names of header fields, found \"x y\""
    );
    assert!(
        found[2].starts_with(
            "target.webhook.format.template.body: line 3: artifact has no \"nmae\", but registry"
        ),
        "{found:?}"
    );
    let twice = with(put()).header("X-Kind", "a");
    assert_eq!(
        problems(twice),
        ["target.webhook.headers.X-Kind: is set by the format and cannot be overridden"]
    );
    let odd = webhook("t")
        .on("acme.mirror.done".parse().unwrap())
        .format(PayloadFormat::Template(Template::new("{{ event.data.x }}")));
    assert!(odd.build().is_ok());
    let every = webhook("t")
        .on_any("*".parse().unwrap())
        .format(PayloadFormat::Template(Template::new("{{ artifact.name }}")));
    let found = problems(every);
    assert_eq!(
        found,
        ["target.webhook.format.template.body: line 1: `artifact.name` is undefined \
          (in an event of kind quota.warning)"]
    );
}

#[test]
fn a_template_is_read_and_written_as_json() {
    let format = json!({"template": {
        "method": "PUT", "path": "a", "query": {"b": "{{ event.id }}"}, "headers": {"x-c": "d"},
        "content_type": "text/plain", "body": "{{ trigger.name }}"
    }});
    let spec = json!({
        "name": "t", "kinds": ["*"],
        "target": {"webhook": {"url": "https://a.example/", "format": format}}
    });
    let read = artifact_triggers::trigger::TriggerSpec::from_value(spec).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap()["target"]["webhook"]["format"], format);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn made(
    template: &Template,
    event: &Event,
) -> Result<artifact_triggers::payload::Payload, Problems> {
    let name = TriggerName { id: TriggerId::from_bytes([7; 16]), name: "t" };
    template.render(&event.to_json(), name)
}

proptest! {
    #[test]
    fn whatever_stands_in_an_event_is_in_the_body_as_it_was(data in any_json(), name in "\\PC{1,40}") {
        let mut event = event(&name);
        event.data = Some(data.clone());
        let text = r#"{"data": {{ event.data }}, "name": {{ artifact.name }},
            "in": "<{{ artifact.name }}>", "text": "{{ event.data }}", "event": {{ event }}}"#;
        let made = made(&Template::new(text), &event).unwrap();
        let body: Value = serde_json::from_slice(&made.body).unwrap();
        prop_assert_eq!(&body["data"], &data);
        prop_assert_eq!(&body["name"], &name);
        prop_assert_eq!(&body["in"], &format!("<{name}>"));
        prop_assert_eq!(&body["event"], &serde_json::to_value(&event).unwrap());
        let text = body["text"].as_str().unwrap();
        match &data {
            Value::String(whole) => prop_assert_eq!(text, whole),
            data => prop_assert_eq!(&serde_json::from_str::<Value>(text).unwrap(), data),
        }
    }

    #[test]
    fn whatever_stands_in_an_event_adds_nothing_to_a_url(
        name in prop_oneof!["\\PC{1,40}", "[./%2eE\\\\?#@:]{1,6}", "(\\.\\./){1,3}[a-z]{0,3}"],
    ) {
        let template = Template::new("{}").with_path("a/{{ artifact.name }}/b")
            .with_query("q", "{{ artifact.name }}");
        let bench = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let event = event(&name);
        let Ok(payload) = made(&template, &event) else {
            prop_assert!(matches!(&*name, "." | ".."), "{}", name);
            return Ok(());
        };
        drop(payload);
        let request = bench.block_on(async {
            let bench = crate::bench::bench(Script::statuses([200])).await;
            let trigger = bench.trigger(with(template.clone())).await;
            bench.engine.preview(&Scope::root(), trigger.id, event).unwrap().unwrap()
        });
        prop_assert_eq!(request.url.origin().ascii_serialization(), "https://hooks.example");
        let segments: Vec<&str> = request.url.path_segments().unwrap().collect();
        prop_assert_eq!(segments.len(), 4);
        prop_assert_eq!((segments[0], segments[1], segments[3]), ("x", "a", "b"));
        let query: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
        prop_assert_eq!(query, [("q".to_owned(), name)]);
        prop_assert_eq!(request.url.fragment(), None);
    }
}
