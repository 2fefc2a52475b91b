//! The receiver that counts: verifies, writes down what arrived, and now and then refuses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use artifact_triggers::clock::Timestamp;
use artifact_triggers::request::Headers;
use artifact_triggers::signature::Verifier;
use artifact_triggers::signature::standard_webhooks::SigningSecret;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::runtime::Runtime;

/// A request whose signature was right.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) message_id: String,
    pub(crate) path: String,
    pub(crate) event: String,
    pub(crate) body: Vec<u8>,
    /// Whether it was answered with success.
    pub(crate) taken: bool,
}

pub(crate) struct Receiver {
    address: std::net::SocketAddr,
    judge: Arc<Judge>,
    _runtime: Runtime,
}

struct Judge {
    verifier: Verifier,
    arrivals: Mutex<Vec<Arrival>>,
    wrong: AtomicUsize,
}

impl Receiver {
    pub(crate) fn start(secret: SigningSecret) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("there are threads");
        let judge = Arc::new(Judge {
            verifier: Verifier::standard_webhooks([secret]),
            arrivals: Mutex::default(),
            wrong: AtomicUsize::new(0),
        });
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("there is a port");
        let address = listener.local_addr().expect("it is bound");
        let hooks = Router::new().route("/{hook}", post(take)).with_state(judge.clone());
        runtime.spawn(async move { axum::serve(listener, hooks).await });
        Self { address, judge, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that arrived.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        assert_eq!(self.judge.wrong.load(Ordering::SeqCst), 0, "requests with a wrong signature");
        self.judge.arrivals.lock().expect("nobody panics with it").clone()
    }
}

async fn take(
    State(judge): State<Arc<Judge>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields: Headers =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    if judge.verifier.verify(&fields, &body, Timestamp::now()).is_err() {
        judge.wrong.fetch_add(1, Ordering::SeqCst);
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let document: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
    let text = |name: &str| headers[name].to_str().expect("it is text").to_owned();
    let mut arrivals = judge.arrivals.lock().expect("nobody panics with it");
    let behaviour = arrivals.len() % 10;
    arrivals.push(Arrival {
        message_id: text("webhook-id"),
        path: uri.path().to_owned(),
        event: document["data"]["id"].as_str().expect("it has an id").to_owned(),
        body: body.to_vec(),
        taken: !matches!(behaviour, 3 | 7),
    });
    match behaviour {
        3 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        7 => cut_off(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

/// A failure whose body breaks off, and the connection with it.
fn cut_off() -> Response {
    let broken =
        futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
    (StatusCode::INTERNAL_SERVER_ERROR, Body::from_stream(broken)).into_response()
}
