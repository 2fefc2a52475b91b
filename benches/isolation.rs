//! What healthy endpoints feel of endpoints that hang: 1,000 endpoints, of which 900 stop
//! answering, beside the same load with all of them healthy; in turns, in one run.
//!
//! `cargo bench --bench isolation`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::delivery::DeliveryPolicy;
use artifact_triggers::engine::Engine;
use artifact_triggers::event::{Artifact, Event, EventKind};
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use artifact_triggers::storage::sqlite::SqliteStorage;
use artifact_triggers::storage::{MemoryStorage, Storage};
use artifact_triggers::trigger::{Trigger, filter::field};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const ROUNDS: usize = 3;
const ENDPOINTS: usize = 1_000;
const HEALTHY: usize = 100;
/// Events a second, to each endpoint in turn.
const RATE: u32 = 1_000;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(10);
/// What is on its way at the end has so long to arrive.
const REST: Duration = Duration::from_secs(2);

fn main() {
    println!("| storage | endpoints that hang | p50 | p99 | arrived of what was sent |");
    println!("|---|---|---|---|---|");
    measure("memory", || (MemoryStorage::new(), None));
    measure("SQLite FULL", || {
        let folder = tempfile::tempdir().expect("there is room");
        let storage = SqliteStorage::open(folder.path().join("bench.db")).expect("it opens");
        (storage, Some(folder))
    });
}

fn measure<S: Storage>(name: &str, storage: impl Fn() -> (S, Option<tempfile::TempDir>)) {
    let (mut all_well, mut some_hang) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (hangs, rounds) in [(false, &mut all_well), (true, &mut some_hang)] {
            let (storage, _folder) = storage();
            rounds.push(runtime().block_on(round(storage, hangs)));
        }
    }
    let [well, hang] = [all_well, some_hang].map(Figures::median);
    for (figures, hanging) in [(&well, 0), (&hang, ENDPOINTS - HEALTHY)] {
        let Figures { p50, p99, arrived } = figures;
        println!("| {name} | {hanging} | {p50:.2?} | {p99:.2?} | {:.1} % |", arrived * 100.0);
    }
    let ratio = hang.p99.as_secs_f64() / well.p99.as_secs_f64();
    let throughput = hang.arrived / well.arrived;
    println!("| {name} | ratio | | {ratio:.2}× (goal ≤ 1.1×) | {throughput:.3}× (goal ≥ 0.95×) |");
}

/// What the healthy endpoints felt.
#[derive(Debug, Clone, Copy)]
struct Figures {
    p50: Duration,
    p99: Duration,
    arrived: f64,
}

impl Figures {
    fn median(mut rounds: Vec<Self>) -> Self {
        let middle = rounds.len() / 2;
        let mut of = |key: fn(&Self) -> f64| {
            rounds.sort_by(|one, other| key(one).total_cmp(&key(other)));
            rounds[middle]
        };
        Self {
            p50: of(|figures| figures.p50.as_secs_f64()).p50,
            p99: of(|figures| figures.p99.as_secs_f64()).p99,
            arrived: of(|figures| figures.arrived).arrived,
        }
    }
}

async fn round<S: Storage>(storage: S, hangs: bool) -> Figures {
    let hang = Arc::new(AtomicBool::new(false));
    let (sink, mut arrivals) = Sink::start(hang.clone()).await;
    let engine = engine(storage, &sink).await;
    engine.spawn(2);
    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    let (mut sent, mut number) = (0_u32, 0_usize);
    while began.elapsed() < WARM_UP + MEASURED {
        ticks.tick().await;
        let is_measured = began.elapsed() >= WARM_UP;
        hang.store(hangs && is_measured, Ordering::Relaxed);
        number += 1;
        let endpoint = number % ENDPOINTS;
        sent += u32::from(is_measured && endpoint < HEALTHY);
        publish(&engine, endpoint, is_measured, began);
    }
    tokio::time::sleep(REST).await;
    engine.shutdown(Duration::ZERO).await;
    let mut latencies = Vec::new();
    while let Ok((sent_at, arrived_at)) = arrivals.try_recv() {
        latencies.push(arrived_at.duration_since(began).saturating_sub(sent_at));
    }
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    let arrived = f64::from(u32::try_from(latencies.len()).expect("there are few"));
    Figures { p50: at(50), p99: at(99), arrived: arrived / f64::from(sent) }
}

/// Publishes an event for one endpoint without waiting for it, as a registry's handlers do.
fn publish(engine: &Engine, endpoint: usize, is_measured: bool, began: Instant) {
    let sent = if is_measured { began.elapsed().as_micros().to_string() } else { "none".into() };
    let artifact = Artifact::new("generic", format!("app-{endpoint}"));
    let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact);
    let event = event.attribute("sent", sent).build().expect("it is an event");
    let engine = engine.clone();
    tokio::spawn(async move { engine.publish(event).await.expect("it is stored") });
}

async fn engine<S: Storage>(storage: S, sink: &Sink) -> Engine {
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    let deliverer = HttpDeliverer::builder().address_policy(policy).build();
    let deliverer = deliverer.expect("it needs nothing from outside");
    let engine = Engine::builder(storage).deliverer(deliverer).build().await.expect("it starts");
    for endpoint in 0..ENDPOINTS {
        let spec = Trigger::builder(format!("t{endpoint}"))
            .on(EventKind::ARTIFACT_INGESTED)
            .filter(field::name().is(format!("app-{endpoint}")))
            .webhook(sink.url(endpoint), SigningSecret::generate())
            .policy(DeliveryPolicy::default().with_timeout(Duration::from_secs(5)))
            .build()
            .expect("it is a trigger");
        engine.create_trigger(spec).await.expect("it is stored");
    }
    engine
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("the system has threads")
}

/// Answers on every loopback address, so that there are as many endpoints as one likes.
struct Sink {
    port: u16,
}

/// When it was sent, and when it arrived.
type Arrival = (Duration, Instant);

impl Sink {
    async fn start(hang: Arc<AtomicBool>) -> (Self, mpsc::UnboundedReceiver<Arrival>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("there is a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (tell, arrivals) = mpsc::unbounded_channel();
        for endpoint in 0..ENDPOINTS {
            let listener = TcpListener::bind((address(endpoint), port)).await;
            let listener = listener.expect("every loopback address has that port free");
            let (tell, hang) = (tell.clone(), hang.clone());
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, endpoint, hang.clone(), tell.clone()));
                }
            });
        }
        drop(listener);
        (Self { port }, arrivals)
    }

    fn url(&self, endpoint: usize) -> String {
        format!("http://{}:{}/", address(endpoint), self.port)
    }
}

/// A loopback address of its own for each endpoint.
fn address(endpoint: usize) -> std::net::Ipv4Addr {
    let [.., high, low] = u32::try_from(endpoint + 256).expect("there are few").to_be_bytes();
    std::net::Ipv4Addr::new(127, 0, high, low)
}

async fn serve(
    mut stream: TcpStream,
    endpoint: usize,
    hang: Arc<AtomicBool>,
    tell: mpsc::UnboundedSender<Arrival>,
) {
    let mut buffer = Vec::new();
    loop {
        let Some(body) = read_request(&mut stream, &mut buffer).await else { return };
        if endpoint >= HEALTHY && hang.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        if endpoint < HEALTHY
            && let Some(sent) = sent_at(&body)
        {
            // Once the round is over nobody counts any more.
            let _ = tell.send((sent, Instant::now()));
        }
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// Reads a request and gives its body; `None` once the connection is closed.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length: usize =
                head.split("content-length:").nth(1)?.lines().next()?.trim().parse().ok()?;
            let whole = end + 4 + length;
            if buffer.len() >= whole {
                let body = buffer[end + 4..whole].to_vec();
                buffer.drain(..whole);
                return Some(body);
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// When an event was sent, of those that are measured.
fn sent_at(body: &[u8]) -> Option<Duration> {
    let body = std::str::from_utf8(body).ok()?;
    let sent = body.split("\"sent\":\"").nth(1)?.split('"').next()?;
    Some(Duration::from_micros(sent.parse().ok()?))
}
