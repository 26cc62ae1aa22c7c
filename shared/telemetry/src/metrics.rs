//! Declared metrics and their reference.
//!
//! Metrics are declared with literals when a service starts, so a wrong declaration panics: it cannot pass the first test.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt::{self, Display},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use tracing::error;

use crate::process;

/// Bucket limits for latencies in seconds, from a query to a phone call.
pub const LATENCY_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// What every name begins with.
const PREFIX: &str = "mfa_";

/// The kind of a metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

impl MetricKind {
    /// The word that Prometheus uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The description of a metric.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MetricDoc {
    /// The name, which begins with `mfa_`.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// What it counts or measures, in which unit.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

struct Declared {
    doc: MetricDoc,
    metric: Box<dyn Any + Send>,
}

/// All metrics of a service. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Registry,
    /// By name. A std mutex: it is held to declare and to list, never over an await.
    declared: Arc<Mutex<BTreeMap<&'static str, Declared>>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

impl Metrics {
    /// No metrics but those of the process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a counter. The same declaration again gives the same counter.
    ///
    /// # Panics
    /// If the name or a label is not allowed, or the name is declared differently elsewhere; so do `gauge` and `histogram`.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> IntCounterVec {
        self.declare(MetricDoc { name, kind: MetricKind::Counter, help, labels }, || {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            if labels.is_empty() {
                // So that it is 0 before it is first used, and a rate over it sees the first increment.
                counter.with_label_values(labels);
            }
            Ok(counter)
        })
    }

    /// Declares a gauge. The same declaration again gives the same gauge.
    ///
    /// # Panics
    /// As `counter`.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> IntGaugeVec {
        self.declare(MetricDoc { name, kind: MetricKind::Gauge, help, labels }, || {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            if labels.is_empty() {
                gauge.with_label_values(labels);
            }
            Ok(gauge)
        })
    }

    /// Declares a histogram with these upper limits of its buckets, such as `LATENCY_SECONDS`.
    /// The same declaration again gives the same histogram, with its first buckets.
    ///
    /// # Panics
    /// As `counter`.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        buckets: &[f64],
    ) -> HistogramVec {
        self.declare(MetricDoc { name, kind: MetricKind::Histogram, help, labels }, || {
            let histogram =
                HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?;
            if labels.is_empty() {
                histogram.with_label_values(labels);
            }
            Ok(histogram)
        })
    }

    /// All values in the text format of Prometheus, with those of the process as of now.
    pub fn render(&self) -> String {
        let mut text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            error!(error = %error, "metrics cannot be written");
            String::new()
        });
        process::render(&mut text);
        text
    }

    /// All declared metrics and those of the process, by name.
    pub fn reference(&self) -> Vec<MetricDoc> {
        let mut docs: Vec<_> = self.lock().values().map(|declared| declared.doc.clone()).collect();
        docs.extend(process::DOCS);
        docs.sort_by_key(|doc| doc.name);
        docs
    }

    fn declare<M: Collector + Clone + 'static>(
        &self,
        doc: MetricDoc,
        build: impl FnOnce() -> prometheus::Result<M>,
    ) -> M {
        let name = doc.name;
        let metric = self.find_or_register(doc, build);
        metric.unwrap_or_else(|problem| refuse(name, &problem))
    }

    fn find_or_register<M: Collector + Clone + 'static>(
        &self,
        doc: MetricDoc,
        build: impl FnOnce() -> prometheus::Result<M>,
    ) -> Result<M, String> {
        let mut declared = self.lock();
        if let Some(known) = declared.get(doc.name) {
            let same = known.metric.downcast_ref::<M>().filter(|_| known.doc == doc);
            return same.cloned().ok_or_else(|| "it is declared differently elsewhere".to_owned());
        }
        if !doc.name.starts_with(PREFIX) {
            return Err(format!("the name does not begin with {PREFIX}"));
        }
        if process::DOCS.iter().any(|process| process.name == doc.name) {
            return Err("the name belongs to the process".to_owned());
        }
        let metric = build().map_err(|error| error.to_string())?;
        self.registry.register(Box::new(metric.clone())).map_err(|error| error.to_string())?;
        declared.insert(doc.name, Declared { doc, metric: Box::new(metric.clone()) });
        Ok(metric)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Declared>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::panic,
    reason = "a metric declared wrongly in the code has no other way to be noticed at start"
)]
fn refuse(name: &str, problem: &dyn Display) -> ! {
    panic!("metric {name}: {problem}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_declaration_gives_the_same_metric() {
        let metrics = Metrics::new();
        metrics.counter("mfa_calls_total", "Calls placed.", &["carrier"]).with_label_values(&["a"]).inc();
        let again = metrics.clone().counter("mfa_calls_total", "Calls placed.", &["carrier"]);
        again.with_label_values(&["a"]).inc();
        assert!(metrics.render().contains("mfa_calls_total{carrier=\"a\"} 2\n"));
    }

    #[test]
    fn metrics_without_labels_are_rendered_before_their_first_use() {
        let metrics = Metrics::new();
        metrics.counter("mfa_polls_total", "Polls.", &[]);
        metrics.gauge("mfa_open_calls", "Calls.", &[]);
        metrics.histogram("mfa_poll_seconds", "Time of a poll.", &[], LATENCY_SECONDS);
        let text = metrics.render();
        for line in ["mfa_polls_total 0\n", "mfa_open_calls 0\n", "mfa_poll_seconds_bucket{le=\"120\"} 0\n"] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn reference_lists_all_metrics_by_name_even_before_they_have_a_value() {
        let metrics = Metrics::new();
        metrics.histogram("mfa_z_seconds", "Time.", &["route"], LATENCY_SECONDS);
        metrics.gauge("mfa_a", "Things.", &[]);
        let reference = metrics.reference();
        let (first, last) = (reference.first().unwrap(), reference.last().unwrap());
        assert_eq!((first.name, first.kind.as_str(), first.help), ("mfa_a", "gauge", "Things."));
        assert_eq!(
            (last.name, last.kind, last.labels),
            ("mfa_z_seconds", MetricKind::Histogram, &["route"][..])
        );
        assert_eq!(reference.len(), 2 + process::DOCS.len());
    }

    #[test]
    fn wrong_declarations_are_refused() {
        let metrics = Metrics::new();
        metrics.gauge("mfa_a", "Things.", &[]);
        let doc = |name, kind, labels| MetricDoc { name, kind, help: "Things.", labels };
        let counter = |name| move || IntCounterVec::new(Opts::new(name, "Things."), &[]);
        for (name, labels, problem) in [
            ("mfa_a", &[][..], "it is declared differently elsewhere"),
            ("calls", &[], "the name does not begin with mfa_"),
            ("mfa_process_threads", &[], "the name belongs to the process"),
            ("mfa_a-b", &[], "'mfa_a-b' is not a valid metric name"),
        ] {
            let declared = metrics.find_or_register(doc(name, MetricKind::Counter, labels), counter(name));
            let error = declared.expect_err(name);
            assert!(error.contains(problem), "{name}: {error}");
        }
    }

    #[test]
    fn process_values_are_rendered_with_help_and_kind() {
        let text = Metrics::new().render();
        for doc in process::DOCS {
            let head = format!("# HELP {0} {1}\n# TYPE {0} {2}\n{0} ", doc.name, doc.help, doc.kind);
            let (_, rest) = text.split_once(&head).expect(doc.name);
            let value: f64 = rest.lines().next().unwrap().parse().unwrap();
            assert!(value > 0.0 || doc.kind == MetricKind::Counter, "{}", doc.name);
        }
    }
}
