//! The metrics of this crate.

use std::time::Duration;

use fleet_telemetry::{HistogramVec, IntCounterVec, Metrics};

use crate::error::Operation;

/// Up to the longest request time-out that the settings allow.
const SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0];

#[derive(Clone)]
pub(crate) struct CarrierMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl CarrierMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counter(
                "mfa_twilio_requests_total",
                "Requests to the carrier, by operation and by result: ok or the kind of error.",
                &["operation", "result"],
            ),
            seconds: metrics.histogram(
                "mfa_twilio_request_seconds",
                "Time from a request to the carrier to its whole answer or its failure.",
                &["operation"],
                SECONDS,
            ),
        }
    }

    pub(crate) fn record(&self, operation: Operation, result: &str, took: Duration) {
        self.requests.with_label_values(&[operation.label(), result]).inc();
        self.seconds.with_label_values(&[operation.label()]).observe(took.as_secs_f64());
    }
}
