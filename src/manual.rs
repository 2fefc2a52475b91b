//! The manual: one page for each thing that somebody wants to know.
//!
//! | page | for |
//! |---|---|
//! | [`embedding`] | registry developers: from the first event to the shutdown |
//! | [`outbox`] | registry developers: events in the registry's own transactions |
//! | [`testing`] | registry developers: that nobody forgot to tell what happened |
//! | [`guarantees`] | everyone: what is promised, and what is not |
//! | [`filters`] | who writes triggers |
//! | [`coalescing`] | who writes triggers: fewer deliveries than events |
//! | [`schedules`] | who writes triggers that fire by the clock |
//! | [`wire_format`] | who receives or stores events: the JSON, field by field |
//! | [`receivers`] | who is told by other registries: which, how each is verified, what becomes what |
//! | [`watches`] | who waits for new versions in registries that tell nobody; with feature `watch` |
//! | [`formats`] | who receives webhooks, and who sets up a service to receive them |
//! | [`templates`] | who writes triggers: requests of one's own design |
//! | [`mapping`] | who is told by a build system or a script: any JSON as events, without code |
//! | [`actions`] | registry developers: pipelines, notices, scans and retention, each as it stands |
//! | [`signing`] | who receives webhooks: how to verify them |
//! | [`secrets`] | operators and tenants: where secrets are kept, how they are rotated, who sees what |
//! | [`writing_a_backend`] | integrators: `Storage` and `Deliverer` |
//! | [`operating`] | operators: what to watch, what to do when |
//! | [`scaling`] | operators: from one process to many nodes to many databases |
//! | [`observing`] | operators: logs, metrics and their names |
//! | [`known_defects`] | who has seen such systems fail: why that cannot happen here |
//! | [`dependencies`] | who has to answer for what is linked: each dependency and why |

macro_rules! page {
    ($name:ident, $file:literal) => {
        #[doc = include_str!($file)]
        pub mod $name {}
    };
}

page!(embedding, "manual/embedding.md");
page!(outbox, "manual/outbox.md");
page!(testing, "manual/testing.md");
page!(guarantees, "manual/guarantees.md");
page!(filters, "manual/filters.md");
page!(coalescing, "manual/coalescing.md");
#[cfg(feature = "schedule")]
page!(schedules, "manual/schedules.md");
page!(wire_format, "manual/wire_format.md");
page!(receivers, "manual/receivers.md");
page!(formats, "manual/formats.md");
#[cfg(feature = "template")]
page!(templates, "manual/templates.md");
page!(mapping, "manual/mapping.md");
#[cfg(feature = "watch")]
page!(watches, "manual/watches.md");
page!(actions, "manual/actions.md");
page!(signing, "manual/signing.md");
page!(secrets, "manual/secrets.md");
page!(writing_a_backend, "manual/writing_a_backend.md");
page!(operating, "manual/operating.md");
page!(scaling, "manual/scaling.md");
page!(observing, "manual/observing.md");
page!(known_defects, "manual/known_defects.md");
page!(dependencies, "manual/dependencies.md");
