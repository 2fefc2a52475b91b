//! `metrics`, looked at through a recorder that keeps everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use artifact_triggers::observer::Observer;
use artifact_triggers::observer::metrics::{METRICS, Metric, MetricKind, MetricsObserver};
use artifact_triggers::storage::MemoryStorage;
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use super::{table, tell_all};
use crate::bench::Script;
use crate::observing::{assert_no_canary, canaries, observed};

#[derive(Debug, Default)]
struct Kept {
    described: Mutex<BTreeMap<String, (Option<Unit>, String)>>,
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<String, Arc<Values>>>,
    shapes: Mutex<BTreeMap<String, Shape>>,
}

/// What a metric was recorded as, and the names of the labels that it had.
type Shape = (&'static str, BTreeSet<Vec<String>>);

#[derive(Debug, Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

/// A key as `name{label=value}`.
fn text(key: &Key) -> String {
    let labels: Vec<String> =
        key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl Kept {
    fn describe(&self, name: &KeyName, unit: Option<Unit>, about: &SharedString) {
        let described = (unit, about.to_string());
        self.described.lock().unwrap().insert(name.as_str().to_owned(), described);
    }

    fn shape(&self, key: &Key, kind: &'static str) {
        let labels = key.labels().map(|label| label.key().to_owned()).collect();
        let mut shapes = self.shapes.lock().unwrap();
        let shape = shapes.entry(key.name().to_owned()).or_insert((kind, BTreeSet::new()));
        assert_eq!(shape.0, kind, "{} is of one kind", key.name());
        shape.1.insert(labels);
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let counters = self.counters.lock().unwrap();
        counters.iter().map(|(key, value)| (key.clone(), value.load(Ordering::SeqCst))).collect()
    }

    fn gauge(&self, key: &str) -> f64 {
        f64::from_bits(self.gauges.lock().unwrap()[key].load(Ordering::SeqCst))
    }

    fn values(&self, key: &str) -> Vec<f64> {
        self.histograms.lock().unwrap()[key].0.lock().unwrap().clone()
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, about: SharedString) {
        self.describe(&name, unit, &about);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, about: SharedString) {
        self.describe(&name, unit, &about);
    }
    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, about: SharedString) {
        self.describe(&name, unit, &about);
    }
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.shape(key, "counter");
        let mut counters = self.counters.lock().unwrap();
        Counter::from_arc(counters.entry(text(key)).or_default().clone())
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.shape(key, "gauge");
        Gauge::from_arc(self.gauges.lock().unwrap().entry(text(key)).or_default().clone())
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.shape(key, "histogram");
        let mut histograms = self.histograms.lock().unwrap();
        Histogram::from_arc(histograms.entry(text(key)).or_default().clone())
    }
}

fn kind(metric: &Metric) -> &'static str {
    match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
        _ => unreachable!("there are three kinds"),
    }
}

fn keep(observer: impl FnOnce() -> MetricsObserver) -> Kept {
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || tell_all(&observer()));
    kept
}

#[test]
fn the_manual_lists_every_metric_as_the_code_has_it() {
    let rows: Vec<String> = table("Metrics").iter().map(|row| row.join(" | ")).collect();
    let expected: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let mut labels: Vec<String> =
                metric.labels.iter().map(|label| format!("`{label}`")).collect();
            labels.extend(metric.scoped.then(|| "(`scope`)".to_owned()));
            let labels = labels.join(", ");
            format!("`{}` | {} | {labels} | {}", metric.name, kind(metric), metric.about)
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_metric_is_described_and_recorded_with_its_labels_and_no_other() {
    for segments in [0, 2] {
        let kept = keep(|| MetricsObserver::new().with_scope(segments));
        let described = kept.described.lock().unwrap();
        let shapes = kept.shapes.lock().unwrap();
        assert_eq!((described.len(), shapes.len()), (METRICS.len(), METRICS.len()));
        for metric in METRICS {
            let unit = match metric.kind {
                MetricKind::Histogram => Unit::Seconds,
                _ => Unit::Count,
            };
            assert_eq!(described[metric.name], (Some(unit), metric.about.to_owned()));
            let scope = (metric.scoped && segments > 0).then_some("scope");
            let labels = metric.labels.iter().copied().chain(scope).map(str::to_owned).collect();
            assert_eq!(shapes[metric.name], (kind(metric), [labels].into()), "{}", metric.name);
        }
    }
}

#[test]
fn transitions_are_counted_and_measured() {
    let kept = keep(MetricsObserver::new);
    let counts = kept.counts();
    let count = |key: &str| counts[&format!("artifact_triggers_{key}")];
    assert_eq!(count("events_published_total{by=caller,kind=artifact.ingested}"), 1);
    assert_eq!(count("events_published_total{by=caller,kind=other}"), 1);
    assert_eq!(count("events_duplicate_total{by=receiver}"), 1);
    assert_eq!(count("webhooks_refused_total{status=413}"), 1);
    assert_eq!(count("webhooks_refused_total{status=429}"), 1);
    assert_eq!(count("deliveries_made_total{state=parked}"), 1);
    assert_eq!(count("deliveries_settled_total{settlement=dead}"), 1);
    assert_eq!(count("deliveries_dead_total{reason=exhausted}"), 1);
    assert_eq!(count("deliveries_replayed_total{}"), 2);
    assert_eq!(count("attempts_total{outcome=accepted}"), 1);
    assert_eq!(count("storage_failures_total{call=record}"), 1);
    assert_eq!(count("pruned_total{what=events}"), 3);
    assert_eq!(count("pruned_total{what=contents}"), 4);
    let values = |key: &str| kept.values(&format!("artifact_triggers_{key}"));
    assert_eq!(values("publish_seconds{by=receiver}"), [1.0, 1.0]);
    assert_eq!(values("attempt_overdue_seconds{}"), [2.0]);
    assert_eq!(values("attempt_seconds{outcome=accepted}"), [3.0]);
    assert_eq!(values("delivered_seconds{}"), [61.0]);
    assert!(kept.gauge("artifact_triggers_attempts_in_flight{}").abs() < f64::EPSILON);
}

#[test]
fn the_scope_is_cut_to_so_many_segments() {
    let kept = keep(|| MetricsObserver::new().with_scope(2));
    let key = "artifact_triggers_attempts_total{outcome=accepted,scope=acme/platform}";
    assert_eq!(kept.counts()[key], 1);
}

#[tokio::test]
async fn no_secret_header_path_or_query_is_a_label() {
    let kept = Kept::default();
    let _guard = metrics::set_default_local_recorder(&kept);
    let observer: Arc<dyn Observer> = Arc::new(MetricsObserver::new().with_scope(1));
    let script = Script::statuses([500, 410]);
    canaries(&observed(MemoryStorage::new(), script, [observer]).await).await;
    let counts = kept.counts();
    assert_eq!(counts["artifact_triggers_deliveries_dead_total{reason=gone,scope=}"], 1);
    assert_no_canary(&format!("{counts:?} {:?}", kept.histograms));
}
