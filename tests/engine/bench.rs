//! An engine on a clock that stands still until told, with a deliverer that answers by a script.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artifact_triggers::clock::{Clock, ManualClock};
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::delivery::{Delivery, DeliveryPolicy, Jitter};
use artifact_triggers::engine::{Engine, EngineOptions};
use artifact_triggers::event::{Artifact, Event, EventKind, Scope};
use artifact_triggers::request::{Request, Response};
use artifact_triggers::storage::{DeliveryQuery, LoggedAttempt, MemoryStorage, Storage};
use artifact_triggers::trigger::{KindPattern, Trigger, TriggerBuilder};
use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::actions::Flaky;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Answers as it is told, one answer after another and then the last one for ever.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) answers: Arc<Mutex<VecDeque<Answer>>>,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    pub(crate) in_flight: Arc<AtomicUsize>,
    pub(crate) most_in_flight: Arc<AtomicUsize>,
}

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16),
    RetryAfter(u16, &'static str),
    /// A status and a body.
    Body(u16, &'static str),
    Error(DeliverError),
    /// A status, once the gate is open.
    Later(u16, Arc<Semaphore>),
    Hang,
    Panic,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Self::default();
        *script.answers.lock().unwrap() = answers.into_iter().collect();
        script
    }

    pub(crate) fn statuses(statuses: impl IntoIterator<Item = u16>) -> Self {
        Self::new(statuses.into_iter().map(Answer::Status))
    }

    pub(crate) fn then(&self, answer: Answer) {
        *self.answers.lock().unwrap() = [answer].into();
    }

    pub(crate) fn next(&self) -> Answer {
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

#[async_trait]
impl Deliverer for Script {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        self.requests.lock().unwrap().push(request);
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        let mut response = Response::default();
        match self.next() {
            Answer::Status(status) => response.status = status,
            Answer::RetryAfter(status, value) => {
                response.status = status;
                response.headers.push("retry-after", value);
            }
            Answer::Body(status, body) => {
                response.status = status;
                response.body = body.into();
            }
            Answer::Error(error) => return Err(error),
            Answer::Later(status, gate) => {
                let _open = gate.acquire().await;
                response.status = status;
            }
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("a deliverer that panics, on purpose"),
        }
        Ok(response)
    }

    fn check_url(&self, scope: &Scope, url: &url::Url) -> Result<(), String> {
        let is_narrow = scope.as_str() == "narrow" && url.host_str() == Some("wide.example");
        if is_narrow || url.host_str() == Some("refused.example") {
            Err("is refused here".to_owned())
        } else {
            Ok(())
        }
    }
}

pub(crate) struct Bench<S: Storage + Clone = MemoryStorage> {
    pub(crate) engine: Engine,
    pub(crate) clock: ManualClock,
    pub(crate) script: Script,
    pub(crate) storage: S,
}

pub(crate) async fn bench(script: Script) -> Bench {
    // No other node changes triggers here, so a look an hour is plenty and days pass quickly.
    let options = EngineOptions::default().with_refresh(Duration::from_secs(3_600));
    bench_on(MemoryStorage::new(), script, options).await
}

pub(crate) async fn bench_on<S: Storage + Clone>(
    storage: S,
    script: Script,
    options: EngineOptions,
) -> Bench<S> {
    let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
    let engine = Engine::builder(storage.clone())
        .deliverer(script.clone())
        .clock(clock.clone())
        .action("flaky", Flaky::default())
        .options(options)
        .build()
        .await
        .unwrap();
    Bench { engine, clock, script, storage }
}

pub(crate) fn webhook(name: &str) -> TriggerBuilder {
    Trigger::builder(name)
        .on_any("artifact.*".parse::<KindPattern>().unwrap())
        .webhook("https://hooks.example/x", SECRET.parse().unwrap())
        .policy(DeliveryPolicy::default().with_jitter(Jitter::None))
}

pub(crate) fn event(name: &str) -> Event {
    let artifact = Artifact::new("generic", name).with_version("1");
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap()
}

impl<S: Storage + Clone> Bench<S> {
    pub(crate) async fn trigger(&self, builder: TriggerBuilder) -> Arc<Trigger> {
        self.engine.create_trigger(builder.build().unwrap()).await.unwrap()
    }

    /// Lets the engine work, and time pass for it, until nothing is left to do within `span`.
    pub(crate) async fn work(&self, span: Duration) {
        let end = self.clock.now() + span;
        let engine = self.engine.clone();
        let run = engine.run();
        let mut run = std::pin::pin!(run);
        loop {
            for _ in 0..200 {
                let turn = std::pin::pin!(tokio::task::yield_now());
                futures_util::future::select(run.as_mut(), turn).await;
            }
            match self.clock.next_wake() {
                Some(at) if at <= end => self.clock.set(at),
                _ => break,
            }
        }
        self.clock.set(end.max(self.clock.now()));
    }

    pub(crate) async fn deliveries(&self) -> Vec<Delivery> {
        self.engine.deliveries(DeliveryQuery::of_scope(Scope::root())).await.unwrap()
    }

    pub(crate) async fn only(&self) -> Delivery {
        let deliveries = self.deliveries().await;
        assert_eq!(deliveries.len(), 1, "{deliveries:?}");
        deliveries[0].clone()
    }

    pub(crate) async fn log(&self, delivery: &Delivery) -> Vec<LoggedAttempt> {
        self.engine.attempts(&Scope::root(), delivery.id).await.unwrap()
    }
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
