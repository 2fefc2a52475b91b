//! Serving over HTTP with axum, or with anything that takes a tower service.
//!
//! In: an [`Inbox`] and the engine that it tells. Out: a router or a service. Types of axum are
//! named here and nowhere else. Connections, TLS and the time that a head may take are the
//! server's.
//!
//! ```
//! use artifact_triggers::engine::Engine;
//! use artifact_triggers::engine::inbox::Inbox;
//!
//! fn app(inbox: &Inbox, engine: &Engine) -> axum::Router {
//!     axum::Router::new().nest("/hooks", inbox.router(engine))
//! }
//! ```

mod body;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service;

use crate::engine::Engine;
use crate::engine::inbox::{Inbox, later, problem};
use crate::incoming::Answer;
use crate::request::Headers;

/// After what span a request may come again that did not get through.
const SOON: Duration = Duration::from_secs(1);

/// How much time and room requests get.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WebOptions {
    /// How long it may take until the body is there; 10 seconds unless it is set. Then the answer
    /// is 408.
    pub body_timeout: Duration,
    /// How long it may take to store what a request tells; 30 seconds unless it is set. Then the
    /// answer is 503.
    pub answer_timeout: Duration,
    /// How many bytes of bodies may be held at once, of all requests together; 64 MiB unless it is
    /// set. Beyond it the answer is 503. A body that is larger than this is never taken.
    pub max_buffered_bytes: usize,
}

impl Default for WebOptions {
    fn default() -> Self {
        Self {
            body_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            max_buffered_bytes: 64 * 1024 * 1024,
        }
    }
}

impl WebOptions {
    /// Sets [`body_timeout`](Self::body_timeout).
    pub fn with_body_timeout(mut self, span: Duration) -> Self {
        self.body_timeout = span;
        self
    }

    /// Sets [`answer_timeout`](Self::answer_timeout).
    pub fn with_answer_timeout(mut self, span: Duration) -> Self {
        self.answer_timeout = span;
        self
    }

    /// Sets [`max_buffered_bytes`](Self::max_buffered_bytes).
    pub fn with_max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.max_buffered_bytes = bytes;
        self
    }
}

impl Inbox {
    /// A router that answers by this inbox, to be nested wherever its endpoints shall be.
    pub fn router(&self, engine: &Engine) -> Router {
        Router::new().fallback_service(self.service(engine, &WebOptions::default()))
    }

    /// A service that answers by this inbox, for [`Router::nest_service`] and for other servers: it
    /// takes a request's path as it is.
    pub fn service(&self, engine: &Engine, options: &WebOptions) -> InboxService {
        let buffered = options.max_buffered_bytes.min(Semaphore::MAX_PERMITS);
        InboxService {
            inbox: self.clone(),
            engine: engine.clone(),
            options: options.clone(),
            buffered: Arc::new(Semaphore::new(buffered)),
        }
    }
}

/// Answers requests by an [`Inbox`]. Clones share one room for bodies. It needs a tokio runtime.
#[derive(Debug, Clone)]
pub struct InboxService {
    inbox: Inbox,
    engine: Engine,
    options: WebOptions,
    buffered: Arc<Semaphore>,
}

impl InboxService {
    async fn answer<B>(self, request: Request<B>) -> Answer
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
    {
        let (head, body) = request.into_parts();
        let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers: Headers = fields.collect();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let method = head.method.as_str();
        let admitted = match self.inbox.admit(&self.engine, method, path, &headers) {
            Ok(admitted) => admitted,
            Err(answer) => return answer,
        };
        let read = body::read(body, admitted.max_body_bytes(), &self.buffered);
        let body = match timeout(self.options.body_timeout, read).await {
            Ok(Ok(body)) => body,
            Ok(Err(answer)) => return admitted.refused(&self.engine, answer),
            Err(_) => {
                let answer = problem(408, "the body was not there in time");
                return admitted.refused(&self.engine, answer);
            }
        };
        let taken = self.inbox.take(&self.engine, &admitted, &headers, &body.bytes);
        // Who is not answered sends all of it again, and what was stored is recognised.
        let late = |_| {
            let answer = later(problem(503, "it could not be stored in time"), SOON);
            admitted.refused(&self.engine, answer)
        };
        timeout(self.options.answer_timeout, taken).await.unwrap_or_else(late)
    }
}

impl<B> Service<Request<B>> for InboxService
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(response(service.answer(request).await)) })
    }
}

/// An answer as HTTP has it. A receiver of the embedder's own may have made what HTTP does not: a
/// status that is none is an error of ours, a field that is none is left out.
fn response(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
