//! The receiver that counts: writes down what arrives at each endpoint, refuses some, is late with
//! others, and holds those that are to be in flight when a node is killed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use artifact_triggers::id::{EventId, MessageId};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::orders::{HELD, SENDER, TRIGGERS};

/// A request, in the order in which they came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) message: MessageId,
    pub(crate) event: EventId,
    /// Which of [`TRIGGERS`] it came from.
    pub(crate) trigger: usize,
    /// Who sent it.
    pub(crate) node: usize,
    pub(crate) at: Instant,
    /// Whether it is answered with success, if that still reaches anybody.
    pub(crate) taken: bool,
}

pub(crate) struct Receiver {
    endpoints: Vec<String>,
    judge: Arc<Judge>,
    _runtime: Runtime,
}

struct Judge {
    arrivals: Mutex<Vec<Arrival>>,
    taken: AtomicUsize,
    held: Mutex<HashSet<MessageId>>,
    released: watch::Sender<bool>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("there are threads");
        let judge = Arc::new(Judge {
            arrivals: Mutex::default(),
            taken: AtomicUsize::new(0),
            held: Mutex::default(),
            released: watch::Sender::new(false),
        });
        let mut endpoints = Vec::new();
        for trigger in 0..TRIGGERS.len() {
            let listener = runtime
                .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
                .expect("there is a port");
            let address = listener.local_addr().expect("it is bound");
            endpoints.push(format!("http://{address}/"));
            let hook = Router::new().route("/", post(take)).with_state((judge.clone(), trigger));
            runtime.spawn(async move { axum::serve(listener, hook).await });
        }
        Self { endpoints, judge, _runtime: runtime }
    }

    /// One for each of [`TRIGGERS`].
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// How many requests were taken.
    pub(crate) fn taken(&self) -> usize {
        self.judge.taken.load(Ordering::Relaxed)
    }

    /// All that arrived.
    pub(crate) fn arrivals(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.judge.arrivals.lock().expect("nobody panics with it")
    }

    /// What arrived at the endpoint that holds.
    pub(crate) fn held(&self) -> Vec<Arrival> {
        self.arrivals().iter().filter(|arrival| arrival.trigger == HELD).copied().collect()
    }

    /// Answers all that is held, and what comes there from now on.
    pub(crate) fn release(&self) {
        self.judge.released.send_replace(true);
    }
}

impl Judge {
    /// Holds a message that comes for the first time.
    async fn hold(&self, message: MessageId) {
        let is_first = self.held.lock().expect("nobody panics with it").insert(message);
        if is_first {
            // The sender lives as long as this does.
            let _ = self.released.subscribe().wait_for(|released| *released).await;
        }
    }
}

async fn take(
    State((judge, trigger)): State<(Arc<Judge>, usize)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let document: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
    let text = |name: &str| headers[name].to_str().expect("it is text");
    let message = text("webhook-id").parse().expect("it is a message's id");
    let event = document["data"]["id"].as_str().expect("it has an id");
    let (event, node) =
        (event.parse().expect("it is an id"), text(SENDER).parse().expect("a number"));
    let (place, taken) = {
        let mut arrivals = judge.arrivals.lock().expect("nobody panics with it");
        let place = arrivals.len();
        let taken = trigger == HELD || place % 16 != 7;
        let at = Instant::now();
        arrivals.push(Arrival { message, event, trigger, node, at, taken });
        (place, taken)
    };
    judge.taken.fetch_add(usize::from(taken), Ordering::Relaxed);
    if trigger == HELD {
        judge.hold(message).await;
    } else if place % 8 == 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if taken { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR }
}
