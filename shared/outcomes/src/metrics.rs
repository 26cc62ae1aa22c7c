//! The metrics of this crate.

use fleet_telemetry::{Histogram, IntCounter, IntCounterVec, IntGauge, LATENCY_SECONDS, Metrics};

/// Bucket limits for the number of documents in a pipeline.
const BATCH_SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

/// What becomes of documents.
#[derive(Clone)]
pub(crate) struct WriteMetrics {
    pub(crate) written: IntCounterVec,
    pub(crate) seconds: Histogram,
    pub(crate) batch: Histogram,
    pub(crate) waiting: IntGauge,
}

impl WriteMetrics {
    pub(crate) fn declare(metrics: &Metrics) -> Self {
        let none: [&str; 0] = [];
        Self {
            written: metrics.counter(
                "mfa_outcomes_written_total",
                "Documents by what became of them: written, older than what Redis has, expired, failed.",
                &["result"],
            ),
            seconds: metrics
                .histogram(
                    "mfa_outcomes_write_seconds",
                    "Time from handing a document in until Redis answered for it.",
                    &[],
                    LATENCY_SECONDS,
                )
                .with_label_values(&none),
            batch: metrics
                .histogram("mfa_outcomes_batch_size", "Documents in one pipeline.", &[], BATCH_SIZES)
                .with_label_values(&none),
            waiting: metrics
                .gauge("mfa_outcomes_waiting", "Documents that wait for the pipeline.", &[])
                .with_label_values(&none),
        }
    }
}

/// How the connection is.
#[derive(Clone)]
pub(crate) struct ConnectionMetrics {
    pub(crate) up: IntGauge,
    pub(crate) reconnects: IntCounter,
}

impl ConnectionMetrics {
    pub(crate) fn declare(metrics: &Metrics) -> Self {
        let none: [&str; 0] = [];
        Self {
            up: metrics
                .gauge("mfa_outcomes_up", "1 while Redis takes writes, else 0.", &[])
                .with_label_values(&none),
            reconnects: metrics
                .counter(
                    "mfa_outcomes_reconnects_total",
                    "Connections to Redis that replaced an earlier one.",
                    &[],
                )
                .with_label_values(&none),
        }
    }
}
