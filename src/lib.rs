//! Triggers and webhooks for artifact registries, in-process.
//!
//! A registry tells the crate what happens to its artifacts. The crate finds the triggers that this
//! concerns, and sees to it that each one's target hears of it: a webhook, signed, or an action in
//! the registry's own process. At least once, across crashes, slow receivers and hostile input.
//!
//! # The way of an event
//!
//! ```text
//!  registry code            third party          clock            upstream registry
//!       │ outbox         incoming             schedule         watch
//!       │                verify → parse       engine::tick     engine::poll → diff
//!       └───────────┬────────────┴────────────────┴─────────────────┘
//!                   ▼
//!                 event             what happened, to what, by whom
//!                   ▼  engine::publish
//!             trigger::index        which triggers does it concern?
//!                   ▼  hold              which deliveries stand for others (delivery::coalesce)
//!                   ▼
//!                storage            event + its deliveries with their payloads, one atomic write
//!                   ▼  engine::run
//!                   ▼  claim, gate       a lease; no endpoint gets more than it can take
//!                   ▼  batch             what goes in one request
//!                   ▼  attempt           credentials → sign → request → exchange → deliverer, or
//!                   ▼                    action; then one pure decision: delivered · retry · dead
//!                   ▼  settle, health    written down, with the events that follow
//!                storage            logged and settled, fenced by the lease
//! ```
//!
//! # In three steps
//!
//! Build an [`Engine`](engine::Engine) on a [`Storage`](storage::Storage), give it
//! [triggers](trigger::Trigger), and [`publish`](engine::Engine::publish) [events](event::Event):
//!
#![cfg_attr(all(feature = "tokio", feature = "purl"), doc = "```")]
#![cfg_attr(not(all(feature = "tokio", feature = "purl")), doc = "```ignore")]
//! use artifact_triggers::action::{Action, ActionCall, ActionError, Done};
//! use artifact_triggers::engine::Engine;
//! use artifact_triggers::event::{Artifact, Event, EventKind};
//! use artifact_triggers::storage::MemoryStorage;
//! use artifact_triggers::trigger::Trigger;
//!
//! #[derive(Debug)]
//! struct Notify(tokio::sync::mpsc::UnboundedSender<String>);
//!
//! #[async_trait::async_trait]
//! impl Action for Notify {
//!     async fn run(&self, call: ActionCall) -> Result<Done, ActionError> {
//!         let purl = call.event.artifact.and_then(|artifact| artifact.purl).unwrap_or_default();
//!         self.0.send(purl).map_err(|_| ActionError::Transient("nobody listens".into()))?;
//!         Ok("notified".into())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (sender, mut arrived) = tokio::sync::mpsc::unbounded_channel();
//! let engine =
//!     Engine::builder(MemoryStorage::new()).action("notify", Notify(sender)).build().await?;
//! engine.spawn(1);
//!
//! let trigger = Trigger::builder("new-crates").on(EventKind::ARTIFACT_INGESTED).action("notify");
//! engine.create_trigger(trigger.build()?).await?;
//!
//! let artifact = Artifact::new("cargo", "serde").with_version("1.0.219");
//! let event = Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build()?;
//! engine.publish(event).await?;
//! assert_eq!(arrived.recv().await.unwrap(), "pkg:cargo/serde@1.0.219");
//! # Ok(())
//! # }
//! ```
//!
//! The [`manual`] says what is guaranteed, how to operate it and how to write a backend.
//!
//! # Features
//!
//! | feature | brings | default |
//! |---|---|---|
//! | *(none)* | everything but what is named below | always |
//! | `engine` | [`engine`]: plain futures on any executor, time through [`clock::Clock`] | yes |
//! | `tokio` | [`clock::TokioClock`], [`Engine::spawn`](engine::Engine::spawn) | yes |
//! | `http` | [`deliverer::http`]; `http-aws-lc-rs` and `http-ring` compile a TLS provider in | yes, with `http-aws-lc-rs` |
//! | `sqlite` | [`storage::sqlite`], [`outbox::sqlite`] | yes |
//! | `postgres` | [`storage::postgres`], [`outbox::postgres`] | |
//! | `ed25519` | `whsk_` and `whpk_` keys: Standard Webhooks `v1a`, HTTP message signatures | |
//! | `oidc` | [`signature::oidc`]: verifying tokens of OpenID Connect, as Google Pub/Sub sends them | |
//! | `sha1` | [`signature::hub_sha1`]: verifying HMAC-SHA1, for senders that have nothing better | |
//! | `purl` | [`Artifact::derive_purl`](event::Artifact::derive_purl), done when an event is built | yes |
//! | `command` | [`scan::command`]: scanners that are programs, on Unix | |
//! | `schedule` | [schedules](schedule): cron expressions with time zones, times, periods | yes |
//! | `versions` | version requirements of npm, PyPI, Maven and Debian in [filters](manual::filters) | |
//! | `encryption` | [`XChaChaSealer`](secret::XChaChaSealer): what is secret of triggers, [sealed](manual::secrets) where it is stored | |
//! | `web` | [`web`]: the [inbox](engine::inbox) of incoming webhooks as an axum router and a tower service | |
//! | `watch` | upstreams of [watches](watch): OCI registries, Helm repositories, crates, npm, PyPI | |
//! | `template` | [`Template`](payload::Template): [requests made of events](manual::templates) by a webhook's owner | |
//! | `tracing` | [`observer::tracing`]: what the engine does, as events of that façade | |
//! | `metrics` | [`observer::metrics`]: what it does, counted and measured through that façade | |
//! | `conformance` | [`conformance`]: test suites for storages and deliverers of your own | |
//!
//! The documentation is whole with all of them: `cargo doc --all-features`. With fewer, links to
//! what the others bring lead nowhere.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Whoever builds it with all features, as CI and docs.rs do, is told of a link that is broken.
#![cfg_attr(
    not(all(
        feature = "command",
        feature = "conformance",
        feature = "ed25519",
        feature = "encryption",
        feature = "http",
        feature = "metrics",
        feature = "oidc",
        feature = "postgres",
        feature = "purl",
        feature = "schedule",
        feature = "sha1",
        feature = "sqlite",
        feature = "template",
        feature = "tokio",
        feature = "tracing",
        feature = "versions",
        feature = "watch",
        feature = "web",
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

pub mod action;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod deliverer;
pub mod delivery;
pub mod document;
pub mod endpoint;
#[cfg(feature = "engine")]
pub mod engine;
pub mod entropy;
pub mod event;
pub mod id;
pub mod incoming;
pub mod manual;
pub mod observer;
pub mod outbox;
pub mod payload;
pub mod provider;
pub mod request;
pub mod retention;
pub mod scan;
#[cfg(feature = "schedule")]
pub mod schedule;
pub mod schema;
pub mod secret;
pub mod signature;
pub mod storage;
pub mod trigger;
pub mod watch;
#[cfg(feature = "web")]
pub mod web;

/// The README's code is tested as it stands there.
#[cfg(all(doctest, feature = "tokio", feature = "http", feature = "sqlite"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
