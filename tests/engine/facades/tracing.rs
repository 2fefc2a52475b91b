//! `tracing`, looked at through a subscriber that writes everything down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use artifact_triggers::observer::Observer;
use artifact_triggers::observer::tracing::{TARGET, TracingObserver};
use artifact_triggers::storage::MemoryStorage;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::{delivery, table, tell_all};
use crate::bench::Script;
use crate::observing::{assert_no_canary, canaries, observed};

#[derive(Debug, Clone, Default)]
struct Capture(Arc<Mutex<Vec<Captured>>>);

#[derive(Debug, Clone)]
struct Captured {
    name: &'static str,
    target: String,
    level: String,
    fields: Vec<&'static str>,
    values: String,
}

struct Values(String);

impl Visit for Values {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("artifact_triggers")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut values = Values(String::new());
        event.record(&mut values);
        let fields = metadata.fields().iter().map(|field| field.name());
        self.0.lock().unwrap().push(Captured {
            name: metadata.name(),
            target: metadata.target().to_owned(),
            level: metadata.level().to_string(),
            fields: fields.filter(|field| *field != "message").collect(),
            values: values.0,
        });
    }
}

impl Capture {
    fn all(&self) -> Vec<Captured> {
        self.0.lock().unwrap().clone()
    }
}

fn capture(work: impl FnOnce()) -> Vec<Captured> {
    let capture = Capture::default();
    tracing::subscriber::with_default(capture.clone(), work);
    capture.all()
}

/// By name: the levels and the fields.
type Listed = BTreeMap<String, (BTreeSet<String>, Vec<String>)>;

#[test]
fn the_manual_lists_every_event_with_its_levels_and_fields() {
    let told = capture(|| tell_all(&TracingObserver::new()));
    assert!(told.iter().all(|event| event.target == TARGET));
    let mut found = Listed::new();
    for event in told {
        let fields: Vec<String> = event.fields.iter().map(|field| (*field).to_owned()).collect();
        let listed =
            found.entry(event.name.to_owned()).or_insert((BTreeSet::new(), fields.clone()));
        listed.0.insert(event.level);
        assert_eq!(listed.1, fields, "{} has the same fields at each level", event.name);
    }
    let words = |cell: &str| -> Vec<String> {
        let cell = cell.replace("a delivery's", "`delivery` `event` `trigger` `scope` `endpoint`");
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let rows = table("Events of tracing");
    let listed: Listed = rows
        .iter()
        .map(|row| {
            let levels =
                row[2].split(", ").map(|level| level.split(' ').next().unwrap().to_owned());
            (words(row[0])[0].clone(), (levels.collect(), words(row[3])))
        })
        .collect();
    assert_eq!(found, listed);
}

#[test]
fn an_event_has_the_values_of_its_transition() {
    let told = capture(|| tell_all(&TracingObserver::new()));
    let values = |name| told.iter().find(|event| event.name == name).unwrap().values.clone();
    let delivery = delivery();
    let of_delivery = format!("trigger={} scope=acme/platform/eu", delivery.trigger);
    let ended = values("attempt_ended");
    for part in [
        &of_delivery,
        "endpoint=https://hooks.example",
        "outcome=\"accepted\" status=200 took_seconds=3.0 since_due_seconds=5.0",
        "since_published_seconds=60.0",
    ] {
        assert!(ended.contains(part), "{part} in {ended}");
    }
    assert!(values("published").contains("kind=artifact.ingested"));
    let refused = "endpoint=\"quay\" status=413 error=body: expected at most 1 bytes";
    assert!(values("receive_refused").contains(refused), "{}", values("receive_refused"));
    let settled: Vec<_> = told.iter().filter(|event| event.name == "settled").collect();
    let levels: Vec<_> = settled.iter().map(|event| event.level.as_str()).collect();
    assert_eq!(levels, ["DEBUG", "INFO", "WARN", "DEBUG", "DEBUG", "DEBUG"]);
    assert!(settled[2].values.contains("settlement=\"dead\" reason=\"exhausted\""));
    assert!(settled[1].values.contains("settlement=\"retry\" due=1970-01-01T00:00:00Z"));
}

#[tokio::test]
async fn no_secret_header_path_or_query_reaches_a_subscriber() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let observer: Arc<dyn Observer> = Arc::new(TracingObserver::new());
    let script = Script::statuses([500, 410]);
    canaries(&observed(MemoryStorage::new(), script, [observer]).await).await;
    let told: String = capture.all().iter().map(|event| event.values.as_str()).collect();
    assert!(told.contains("settlement=\"dead\" reason=\"gone\""), "{told}");
    assert_no_canary(&told);
}
