//! From registry to registry: a push at one, told to the other's inbox over HTTP, fires a trigger
//! there; where the other tells it back, the loop is cut.

use std::net::SocketAddr;
use std::time::Duration;

use artifact_triggers::action::{Action, ActionCall, ActionError, Done};
use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::delivery::State;
use artifact_triggers::engine::inbox::{Inbox, IncomingEndpoint};
use artifact_triggers::engine::{Engine, EngineOptions, LOOP};
use artifact_triggers::event::{Event, EventKind, Scope};
use artifact_triggers::incoming::distribution::DistributionReceiver;
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::payload::PayloadFormat;
use artifact_triggers::secret::Secret;
use artifact_triggers::signature::{SigningSecret, Verifier};
use artifact_triggers::storage::{DeliveryQuery, EventQuery, MemoryStorage};
use artifact_triggers::trigger::{KindPattern, Trigger};
use async_trait::async_trait;
use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::Answered;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MAX_HOPS: usize = 6;
/// What the test may take until it is given up: how long something takes is not asserted.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// Tells the test which events triggers wanted.
#[derive(Debug)]
struct Tell(UnboundedSender<Event>);

#[async_trait]
impl Action for Tell {
    async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
        let _ = self.0.send(call.event);
        Ok("told".into())
    }
}

/// A registry's engine and its inbox, in which other engines have an endpoint of a scope.
struct Registry {
    engine: Engine,
    address: SocketAddr,
    wanted: UnboundedReceiver<Event>,
}

impl Registry {
    async fn new(scope: &str) -> Self {
        let policy = AddressPolicy::public_only().allow_loopback().allow_http();
        let deliverer = HttpDeliverer::builder().address_policy(policy).build().unwrap();
        let (sender, wanted) = unbounded_channel();
        let engine = Engine::builder(MemoryStorage::new())
            .deliverer(deliverer)
            .action("tell", Tell(sender))
            .options(EngineOptions::default().with_max_hops(MAX_HOPS))
            .build()
            .await
            .unwrap();
        engine.spawn(1);
        let inbox = Inbox::new();
        let token = Verifier::header_token("authorization", Secret::new("Bearer testbed-token"));
        let distribution = DistributionReceiver::new(Scope::root(), token);
        inbox.insert("distribution", IncomingEndpoint::new(distribution)).unwrap();
        let signed = Verifier::standard_webhooks([SECRET.parse::<SigningSecret>().unwrap()]);
        let scope = scope.parse().unwrap();
        let engines = ProviderReceiver::new(Provider::CloudEvents, scope, signed);
        inbox.insert("engines", IncomingEndpoint::new(engines)).unwrap();
        let app = Router::new().nest("/hooks", inbox.router(&engine));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { engine, address, wanted }
    }

    /// Adds a trigger that tells another registry of every artifact.
    async fn tell(&self, other: &Self, format: PayloadFormat) {
        let url = format!("http://{}/hooks/engines", other.address);
        let spec = Trigger::builder("to-the-other")
            .on_any("artifact.*".parse::<KindPattern>().unwrap())
            .webhook(url, SECRET.parse().unwrap())
            .format(format);
        self.engine.create_trigger(spec.build().unwrap()).await.unwrap();
    }

    /// Adds a trigger that calls the action for every new artifact.
    async fn want(&self) {
        let spec = Trigger::builder("want").on(EventKind::ARTIFACT_INGESTED).action("tell");
        self.engine.create_trigger(spec.build().unwrap()).await.unwrap();
    }

    async fn push(&self) {
        use tokio::io::AsyncWriteExt as _;

        let path = "tests/data/distribution/all/003.body";
        let body = std::fs::read(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let head = format!(
            "POST /hooks/distribution HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             authorization: Bearer testbed-token\r\n\
             content-type: application/vnd.docker.distribution.events.v1+json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        assert_eq!(Answered::read(&mut stream).await.status(), 202);
    }

    async fn next_wanted(&mut self) -> Event {
        timeout(GIVEN_UP, self.wanted.recv()).await.expect("it is wanted in time").unwrap()
    }

    async fn events(&self) -> Vec<Event> {
        let query = EventQuery::of_scope(Scope::root()).with_limit(100);
        self.engine.events(query).await.unwrap()
    }

    async fn has_open_deliveries(&self) -> bool {
        let query = DeliveryQuery::of_scope(Scope::root()).with_limit(100);
        let deliveries = self.engine.deliveries(query).await.unwrap();
        deliveries.iter().any(|delivery| delivery.state != State::Delivered)
    }
}

/// Waits until nothing is under way at either.
async fn settled(registries: [&Registry; 2]) {
    let quiet = async {
        loop {
            let before = [registries[0].events().await.len(), registries[1].events().await.len()];
            let mut is_open = false;
            for registry in registries {
                is_open |= registry.has_open_deliveries().await;
            }
            let after = [registries[0].events().await.len(), registries[1].events().await.len()];
            if !is_open && before == after {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(GIVEN_UP, quiet).await.expect("it comes to an end");
}

#[tokio::test]
async fn a_push_at_one_registry_fires_a_trigger_at_the_other() {
    for format in [PayloadFormat::CloudeventsBinary, PayloadFormat::CloudeventsStructured] {
        let (here, mut there) = (Registry::new("").await, Registry::new("mirror").await);
        here.tell(&there, format).await;
        there.want().await;
        here.push().await;
        let event = there.next_wanted().await;
        let pushed = here.events().await.remove(0);
        assert_eq!(event.scope.as_str(), "mirror");
        assert_eq!(event.kind, EventKind::ARTIFACT_INGESTED);
        assert_eq!(event.artifact, pushed.artifact);
        assert_eq!(event.correlation.cause, Some(pushed.id));
        assert_eq!(event.correlation.hops.len(), 1);
    }
}

#[tokio::test]
async fn registries_that_tell_each_other_end_when_the_hops_are_used_up() {
    let (here, mut there) = (Registry::new("there").await, Registry::new("here").await);
    here.tell(&there, PayloadFormat::CloudeventsStructured).await;
    there.tell(&here, PayloadFormat::CloudeventsBinary).await;
    there.want().await;
    here.push().await;
    there.next_wanted().await;
    settled([&here, &there]).await;
    let (of_this, of_that) = (here.events().await, there.events().await);
    // The push, and what came of each hop.
    assert_eq!(of_this.len() + of_that.len(), 1 + MAX_HOPS);
    let all = || of_this.iter().chain(&of_that);
    let cut: Vec<&Event> = all().filter(|event| event.attributes.contains_key(LOOP)).collect();
    assert_eq!(cut.len(), 1);
    assert_eq!(cut[0].correlation.hops.len(), MAX_HOPS);
    let query = DeliveryQuery::of_scope(Scope::root()).with_limit(100);
    for registry in [&here, &there] {
        let deliveries = registry.engine.deliveries(query.clone()).await.unwrap();
        assert!(deliveries.iter().all(|delivery| delivery.event != cut[0].id));
    }
}

#[tokio::test]
async fn registries_that_trust_each_other_wholly_know_an_event_again_when_it_comes_back() {
    let (here, mut there) = (Registry::new("").await, Registry::new("").await);
    here.tell(&there, PayloadFormat::CloudeventsStructured).await;
    there.tell(&here, PayloadFormat::CloudeventsStructured).await;
    there.want().await;
    here.push().await;
    let event = there.next_wanted().await;
    settled([&here, &there]).await;
    let ids = |events: Vec<Event>| -> Vec<_> { events.iter().map(|event| event.id).collect() };
    assert_eq!(ids(here.events().await), [event.id]);
    assert_eq!(ids(there.events().await), [event.id]);
}
