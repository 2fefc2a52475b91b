//! A transport of your own: a registry in a sealed network has one way out, a relay on its own
//! machine, and speaks a protocol of its own with it.
//!
//! `RelayDeliverer` is the part to copy. It meets the numbered contract of
//! [`Deliverer`](artifact_triggers::deliverer::Deliverer), and each rule is cited where it is met.
//!
//! Run it with `cargo run --example own_deliverer`. Everything stays on this machine.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::{DeliveryPolicy, Jitter, RetrySchedule};
use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::request::{Headers, Request, Response, frames_the_message};
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::{DeliveryQuery, MemoryStorage};
use artifact_triggers::trigger::Trigger;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

type AnyError = Box<dyn Error + Send + Sync>;

/// Hands requests to a relay: each over a connection of its own, as a line of JSON and the body.
#[derive(Debug)]
struct RelayDeliverer {
    relay: SocketAddr,
}

/// What goes to the relay before the body.
#[derive(Serialize, Deserialize)]
struct RequestHead {
    url: String,
    headers: Vec<(String, String)>,
    body_bytes: usize,
}

/// What comes back before the body.
#[derive(Serialize, Deserialize)]
struct ResponseHead {
    status: u16,
    headers: Vec<(String, String)>,
}

/// The longest head that is read: a relay gone wrong must not fill the memory.
const MAX_HEAD_BYTES: u64 = 64 * 1024;
/// The most of a response's body that is read: the log keeps no more.
const MAX_BODY_BYTES: u64 = 1024;

#[async_trait]
impl Deliverer for RelayDeliverer {
    /// Rule 7: `&self` holds an address and nothing that calls could wait for each other on.
    ///
    /// Rule 6: the connection belongs to this future and is closed with it; nothing is spawned.
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        // Rule 3: one deadline for everything, from the connection to the last byte read.
        let deadline = Instant::now() + request.timeout;
        let late = |_| DeliverError::Timeout { after: request.timeout };
        let head = request_head(&request)?;
        let connected = timeout_at(deadline, self.connect()).await.map_err(late)?;
        let mut relay = BufReader::new(connected?);
        let exchange = exchange(&mut relay, &head, &request.body);
        let head = timeout_at(deadline, exchange).await.map_err(late)??;

        // Rule 4: the status is known. A body that breaks off or drips past the deadline, or is
        // longer than what is wanted of it, costs its rest and nothing else.
        let mut body = Vec::new();
        let _ = timeout_at(deadline, relay.take(MAX_BODY_BYTES).read_to_end(&mut body)).await;
        // Whether that is all of it would take a look at how the answer is framed.
        let complete = false;

        // Rule 2: whatever the status says, the engine decides what follows.
        let headers = head.headers.into_iter().collect();
        Ok(Response { status: head.status, headers, body, complete })
    }

    /// A comfort for who enters the URL. What counts is what the relay says when it dials.
    fn check_url(&self, _: &Scope, url: &url::Url) -> Result<(), String> {
        if url.scheme() == "https" { Ok(()) } else { Err("the relay speaks https alone".into()) }
    }
}

impl RelayDeliverer {
    async fn connect(&self) -> Result<TcpStream, DeliverError> {
        let connected = TcpStream::connect(self.relay).await;
        // Rule 5: a tenant reads this, so the relay's address stays out of it.
        connected.map_err(|_| DeliverError::Connect { reason: "the relay is away".into() })
    }
}

/// Rule 1: every header field once, in order. One that frames the message, or that the protocol
/// cannot carry as it is, makes the request impossible before anything is dialled; it is not
/// mended.
fn request_head(request: &Request) -> Result<Vec<u8>, DeliverError> {
    let mut headers = Vec::new();
    for (name, value) in request.headers.iter() {
        if frames_the_message(name) {
            let reason = format!("the header {name} is the relay's to set");
            return Err(DeliverError::Invalid { reason });
        }
        let text = std::str::from_utf8(value).map_err(|_| DeliverError::Invalid {
            reason: format!("the relay takes text only, and the header {name} is none"),
        })?;
        headers.push((name.to_owned(), text.to_owned()));
    }
    let (url, body_bytes) = (request.url.to_string(), request.body.len());
    let head = RequestHead { url, headers, body_bytes };
    let mut line = serde_json::to_vec(&head).expect("the keys are strings");
    line.push(b'\n');
    Ok(line)
}

/// Sends the request and reads the response as far as its head.
async fn exchange(
    relay: &mut BufReader<TcpStream>,
    head: &[u8],
    body: &[u8],
) -> Result<ResponseHead, DeliverError> {
    // Rule 5 again: words of our own, not the operating system's, which name addresses.
    let broken = || DeliverError::Broken { reason: "the relay hung up".into() };
    relay.write_all(head).await.map_err(|_| broken())?;
    // Rule 1: the body byte by byte, beside the JSON and not within it: the signature covers it.
    relay.write_all(body).await.map_err(|_| broken())?;
    let mut line = Vec::new();
    let mut limited = (&mut *relay).take(MAX_HEAD_BYTES);
    limited.read_until(b'\n', &mut line).await.map_err(|_| broken())?;
    if line.is_empty() {
        return Err(broken());
    }
    serde_json::from_slice(&line)
        .map_err(|_| DeliverError::Broken { reason: "the relay's answer is none".into() })
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // The other side: a relay with its answers laid out, `None` for silence.
    let secret = SigningSecret::generate();
    let answers = vec![Some(204), Some(503), None, Some(200)];
    let relay = relay::start(secret.clone(), answers).await?;

    // The engine with the transport in the place of HTTP. All else is as ever.
    let engine =
        Engine::builder(MemoryStorage::new()).deliverer(RelayDeliverer { relay }).build().await?;
    engine.spawn(1);

    // Short time-outs and pauses, so that the demonstration is one.
    let policy = DeliveryPolicy::default()
        .with_timeout(Duration::from_millis(300))
        .with_retry(RetrySchedule::Pauses(vec![Duration::from_millis(100); 3]))
        .with_jitter(Jitter::None);
    let trigger = Trigger::builder("tell-the-team")
        .on(EventKind::ARTIFACT_INGESTED)
        .webhook("https://hooks.example.com/registry", secret.clone())
        .policy(policy);
    engine.create_trigger(trigger.build()?).await?;

    println!("1. The transport judges URLs when a trigger is made");
    let plain = Trigger::builder("plain").on(EventKind::PING);
    let plain = plain.webhook("http://hooks.example.com/", secret).build()?;
    let refused = engine.create_trigger(plain).await.expect_err("plain http is refused");
    println!("   refused: {refused}");

    println!("2. A request that the endpoint takes");
    publish(&engine, "1.0.0").await?;
    println!("3. The endpoint is busy, then silent, then well: the engine tries again");
    publish(&engine, "1.0.1").await?;

    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Publishes a version, waits until its delivery is settled, and prints the log.
async fn publish(engine: &Engine, version: &str) -> Result<(), AnyError> {
    let artifact = Artifact::new("cargo", "serde").with_version(version);
    let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build()?;
    let published = engine.publish(event).await?;
    let query = DeliveryQuery::of_scope(Scope::root()).with_event(published.id);
    let delivery = loop {
        match engine.deliveries(query.clone()).await?.pop() {
            Some(delivery) if delivery.state.is_final() => break delivery,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    for logged in engine.attempts(&Scope::root(), delivery.id).await? {
        let attempt = logged.attempt;
        let status = attempt.status.map(|status| status.to_string());
        let result = status.or(attempt.error).unwrap_or_default();
        println!("   attempt {}: {result}", attempt.number);
    }
    println!("   the delivery is now {:?}", delivery.state);
    Ok(())
}

/// A relay that dials nobody: it verifies what it is given, prints it and answers from a list.
mod relay {
    use super::{
        AnyError, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Headers, RequestHead,
        ResponseHead, SigningSecret, SocketAddr, TcpStream,
    };
    use artifact_triggers::clock::Timestamp;
    use artifact_triggers::signature::Verifier;

    pub(crate) async fn start(
        secret: SigningSecret,
        answers: Vec<Option<u16>>,
    ) -> Result<SocketAddr, AnyError> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let verifier = Verifier::standard_webhooks([secret]);
        tokio::spawn(async move {
            for answer in answers {
                let (connection, _) = listener.accept().await?;
                serve(BufReader::new(connection), &verifier, answer).await?;
            }
            Ok::<(), AnyError>(())
        });
        Ok(address)
    }

    async fn serve(
        mut registry: BufReader<TcpStream>,
        verifier: &Verifier,
        answer: Option<u16>,
    ) -> Result<(), AnyError> {
        let mut line = String::new();
        registry.read_line(&mut line).await?;
        let head: RequestHead = serde_json::from_str(&line)?;
        let mut body = vec![0; head.body_bytes];
        registry.read_exact(&mut body).await?;

        let headers: Headers = head.headers.into_iter().collect();
        let checked = verifier.verify(&headers, &body, Timestamp::now())?;
        let sent: serde_json::Value = serde_json::from_slice(checked.body())?;
        let purl = sent["data"]["artifact"]["purl"].as_str().unwrap_or("?");
        print!("   relay: {purl} for {}, signature verified, ", head.url);

        if let Some(status) = answer {
            println!("answered {status}");
            let answer = ResponseHead { status, headers: Vec::new() };
            let line = serde_json::to_string(&answer)? + "\n";
            registry.write_all(line.as_bytes()).await?;
        } else {
            println!("not answered");
            // Until the deliverer has waited long enough and hangs up.
            drop(registry.read_u8().await);
        }
        Ok(())
    }
}
