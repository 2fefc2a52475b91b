//! The inbox over real sockets, against senders that are slow, endless, many, or write what is no
//! HTTP.

#[cfg(any(feature = "http-aws-lc-rs", feature = "http-ring"))]
mod chain;
mod hostile;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use artifact_triggers::engine::Engine;
use artifact_triggers::engine::inbox::{Inbox, IncomingEndpoint};
use artifact_triggers::event::Scope;
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::observer::{Observer, Transition};
use artifact_triggers::signature::Verifier;
use artifact_triggers::storage::{EventQuery, MemoryStorage};
use artifact_triggers::web::WebOptions;
use axum::Router;
use axum::http::Request;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service as _;

const LIMIT: usize = 64 * 1024;

/// Counts the requests to `ci` that the inbox refused by itself, by their status.
#[derive(Debug, Clone, Default)]
struct Refused(Arc<Mutex<BTreeMap<u16, usize>>>);

impl Observer for Refused {
    fn observe(&self, transition: &Transition<'_>) {
        if let Transition::RequestRefused { endpoint: Some("ci"), status } = *transition {
            *self.0.lock().unwrap().entry(status).or_default() += 1;
        }
    }
}

struct Bench {
    engine: Engine,
    refused: Refused,
    inbox: Inbox,
    address: SocketAddr,
}

/// An inbox with the endpoint `ci`, served below `/hooks`.
async fn bench(options: Option<WebOptions>) -> Bench {
    let refused = Refused::default();
    let engine = Engine::builder(MemoryStorage::new()).observer(refused.clone());
    let engine = engine.build().await.unwrap();
    let verifier = Verifier::accept_unverified();
    let receiver = ProviderReceiver::new(Provider::CloudEvents, Scope::root(), verifier)
        .with_max_body_bytes(LIMIT);
    let inbox = Inbox::new();
    inbox.insert("ci", IncomingEndpoint::new(receiver).with_origin("ci.example")).unwrap();
    let app = match options {
        None => Router::new().nest("/hooks", inbox.router(&engine)),
        Some(options) => Router::new().nest_service("/hooks", inbox.service(&engine, &options)),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Bench { engine, refused, inbox, address }
}

impl Bench {
    /// How many requests observers were told to be refused so.
    fn refused(&self, status: u16) -> usize {
        self.refused.0.lock().unwrap().get(&status).copied().unwrap_or(0)
    }

    async fn stored(&self) -> usize {
        let mut query = EventQuery::of_scope(Scope::root()).with_limit(500);
        let mut count = 0;
        loop {
            let events = self.engine.events(query.clone()).await.unwrap();
            count += events.len();
            let Some(last) = events.last() else { return count };
            query = query.with_after(last.id);
        }
    }

    /// What is answered to these bytes, until the connection closes.
    async fn send(&self, bytes: &[u8]) -> Answered {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        Answered::read(&mut stream).await
    }
}

/// An answer as it came.
#[derive(Debug)]
struct Answered {
    text: String,
}

impl Answered {
    async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A connection that is reset has told its answer before.
        let _ = stream.read_to_end(&mut bytes).await;
        Self { text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    fn status(&self) -> u16 {
        let status = self.text.split(' ').nth(1).unwrap_or_else(|| panic!("{:?}", self.text));
        status.parse().unwrap()
    }

    fn detail(&self) -> String {
        let (_, body) = self.text.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        body["detail"].as_str().unwrap().to_owned()
    }

    fn has_field(&self, field: &str) -> bool {
        self.text.lines().any(|line| line.eq_ignore_ascii_case(field))
    }
}

/// The JSON of a CloudEvent.
fn event(n: usize) -> String {
    format!(r#"{{"specversion":"1.0","id":"{n}","source":"/ci","type":"t","data":{{}}}}"#)
}

/// The head of a request, closing the connection behind it.
fn head(path: &str, fields: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/cloudevents+json\r\n{fields}\r\n"
    )
}

fn post(path: &str, body: &str) -> String {
    head(path, &format!("content-length: {}\r\n", body.len())) + body
}

#[tokio::test]
async fn a_nested_inbox_answers_below_its_path_alone() {
    let bench = bench(None).await;
    let answer = bench.send(post("/hooks/ci", &event(1)).as_bytes()).await;
    assert_eq!(answer.status(), 202, "{answer:?}");
    let answer = bench.send(post("/hooks/none", &event(2)).as_bytes()).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.detail(), "there is no such endpoint");
    assert!(answer.has_field("content-type: application/problem+json"), "{answer:?}");
    assert_eq!(bench.send(post("/ci", &event(3)).as_bytes()).await.status(), 404);
    let options = head("/hooks/ci", "webhook-request-origin: ci.example\r\n");
    let answer = bench.send(options.replace("POST", "OPTIONS").as_bytes()).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.has_field("webhook-allowed-origin: ci.example"), "{answer:?}");
    assert!(answer.has_field("webhook-allowed-rate: *"), "{answer:?}");
    let answer = bench.send(head("/hooks/ci", "").replace("POST", "PUT").as_bytes()).await;
    assert_eq!(answer.status(), 405);
    assert!(answer.has_field("allow: POST, OPTIONS"), "{answer:?}");
    assert_eq!(bench.stored().await, 1);
}

#[tokio::test]
async fn the_service_takes_any_body_without_a_server() {
    let bench = bench(None).await;
    let mut service = bench.inbox.service(&bench.engine, &WebOptions::default());
    let request = Request::post("https://x.example/ci")
        .header("content-type", "application/cloudevents+json")
        .body(event(1))
        .unwrap();
    let response = service.call(request).await.unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(bench.stored().await, 1);
}

#[tokio::test]
async fn a_thousand_at_once_are_all_stored() {
    let bench = bench(None).await;
    let files = std::fs::read_to_string("/proc/self/limits").ok();
    let files = files.as_deref().and_then(|limits| {
        let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
        line.split_whitespace().nth(3)?.parse::<usize>().ok()
    });
    // Each is a socket here and one there.
    let count = files.map_or(1_000, |files| (files.saturating_sub(100) / 2).min(1_000));
    println!("{count} at once");
    assert!(count >= 400, "{files:?} files may be open");
    let mut streams = Vec::with_capacity(count);
    for n in 0..count {
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        let whole = post("/hooks/ci", &event(n));
        let (most, last) = whole.split_at(whole.len() - 1);
        stream.write_all(most.as_bytes()).await.unwrap();
        streams.push((stream, last.to_owned()));
    }
    // All of them wait for their last byte now.
    for (stream, last) in &mut streams {
        stream.write_all(last.as_bytes()).await.unwrap();
    }
    for (stream, _) in &mut streams {
        assert_eq!(Answered::read(stream).await.status(), 202);
    }
    assert_eq!(bench.stored().await, count);
}
